"""The command `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from sat2map.cli.terminal import open_console, progress_bar
from sat2map.inference.backends import EngineName
from sat2map.settings import Device


def evaluate(
    *,
    data: Path,
    model: Path | None = None,
    split: str = "val",
    group_column: str | None = None,
    size: int | None = None,
    json: Path | None = None,
    report: Path | None = None,
    engine: EngineName = "auto",
    device: Device = "auto",
    mode: Literal["eval", "paper"] | None = None,
    robustness: bool = False,
    reliability: bool = False,
    against: tyro.conf.UseAppendAction[tuple[Path, ...]] = (),
    inception: Path | None = None,
    lpips: Annotated[tuple[Path, Path] | None, tyro.conf.arg(metavar="BACKBONE HEADS")] = None,
) -> None:
    """Score a model on pairs, next to what a constant map scores on them.

    Args:
        data: Folder or CSV of pairs.
        model: Model file; none: the one that comes with the package.
        split: Which split to score.
        group_column: CSV column of places; intervals then draw places, not tiles.
        size: Side at which maps are compared (px); none: that of the sources.
        json: Write everything here as JSON.
        report: Write an HTML report with the best, median and worst examples here.
        engine: What runs the model; auto: the fastest that is installed.
        device: Where to run.
        mode: eval or paper; none: what the model file says.
        robustness: Score it on degraded images and at other resolutions too.
        reliability: Compare the confidence of its classes with how often they are right.
        against: Another model file, scored in the same way in a column of its own.
        inception: Weights of FID's Inception (pytorch-fid's .pth); adds FID and KID. Nothing is downloaded.
        lpips: Weights of AlexNet (torchvision's .pth) and of LPIPS's heads (its v0.1/alex.pth); adds LPIPS.
    """
    from sat2map.evaluation import column_names, draw_examples, print_evaluation
    from sat2map.evaluation import evaluate as run_evaluation
    from sat2map.models.model import Model

    model = Model.find(model).path
    others = dict(zip(column_names(against), [Model.find(other).path for other in against], strict=True))
    with progress_bar("scoring") as progress:
        result = run_evaluation(
            model,
            data,
            split=split,
            group_column=group_column,
            size=size,
            engine=engine,
            device=device,
            mode=mode,
            robustness=robustness,
            reliability=reliability,
            against=others,
            inception=inception,
            lpips=lpips,
            progress=progress,
        )
    print_evaluation(result, open_console())
    if json:
        result.save(json)
    if report:
        from sat2map.evaluation.report import write_evaluation_report

        write_evaluation_report(result, draw_examples(result, model, data, device=device), report)
        print(f"report:      {report}")

"""The command `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sat2map.cli.data import download_if_named
from sat2map.cli.flags import DeviceFlag, Engine, GroupColumn, Mode, ModelFlag, between
from sat2map.cli.terminal import open_console, progress_bar, say


def evaluate(
    *,
    data: Path,
    model: ModelFlag = None,
    split: str = "val",
    group_column: GroupColumn = None,
    size: Annotated[int | None, Parameter(validator=between(16, 65_536))] = None,
    json: Path | None = None,
    report: Path | None = None,
    engine: Engine = "auto",
    device: DeviceFlag = "auto",
    mode: Mode = None,
    robustness: bool = False,
    reliability: bool = False,
    against: tuple[Path, ...] = (),
    inception: Path | None = None,
    lpips: tuple[Path, Path] | None = None,
) -> None:
    """Score a model on pairs, beside the score of a constant map.

    Args:
        data: Folder or CSV of pairs.
        split: Which split to score.
        size: Side at which maps are compared (px); without it, that of the sources.
        json: Write all scores to this JSON file.
        report: Write an HTML report with the best, median and worst examples to this file.
        robustness: Score degraded images and other resolutions too.
        reliability: Compare the confidence of the classes with how often they are right.
        against: Another model file, scored in the same way in a column of its own; may be repeated.
        inception: Weights of FID's Inception (pytorch-fid's .pth); adds FID and KID. Nothing is downloaded.
        lpips: Weights of AlexNet (torchvision's .pth) and of LPIPS's heads (its v0.1/alex.pth); adds LPIPS.

    Examples:
        sat2map evaluate --model runs/mine/best.safetensors --data pairs
        sat2map evaluate --data pairs --split test --report scores.html
    """
    from sat2map.extras import require

    require("scipy", "evaluate", "train")
    download_if_named(data)
    from sat2map.evaluation import column_names, draw_examples, print_evaluation
    from sat2map.evaluation import evaluate as run_evaluation
    from sat2map.models.model import Model

    path = Model.find(model).path
    others = dict(zip(column_names(against), [Model.find(other).path for other in against], strict=True))
    with progress_bar("scoring") as progress:
        result = run_evaluation(
            path,
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
            report=say,
        )
    print_evaluation(result, open_console())
    if json:
        result.save(json)
    if report:
        from sat2map.evaluation.report import write_evaluation_report

        write_evaluation_report(result, draw_examples(result, path, data, device=device), report)
        say(f"report:      {report}")

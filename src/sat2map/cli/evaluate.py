"""Owns the commands that use a model: evaluate, info, export; and the demo."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from sat2map.export import Format
from sat2map.inference.backends import EngineName
from sat2map.settings import Device

if TYPE_CHECKING:
    from rich.console import Console


def demo(*, folder: Path = Path("runs/demo"), seed: int = 0) -> None:
    """Draw pairs, train a small model on them, score it and translate a scene: minutes on a CPU.

    Args:
        folder: Where to.
        seed: Seed of all of it.
    """
    from sat2map.cli.demo import run_demo

    run_demo(folder, seed=seed, console=_console())


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
        size: Side to which images are resized (px); none: what the model was trained for.
        json: Write everything here as JSON.
        report: Write an HTML report with the best, median and worst examples here.
        engine: What runs the model; auto: the fastest that is installed.
        device: Where to run.
        mode: eval or paper; none: what the model file says.
        robustness: Score it on degraded images too.
        against: Another model file, scored in the same way in a column of its own.
        inception: Weights of FID's Inception (pytorch-fid's .pth); adds FID and KID. Nothing is downloaded.
        lpips: Weights of AlexNet (torchvision's .pth) and of LPIPS's heads (its v0.1/alex.pth); adds LPIPS.
    """
    from sat2map.evaluation import column_names, draw_examples, print_evaluation
    from sat2map.evaluation import evaluate as run_evaluation
    from sat2map.models.hub import find_model

    model = find_model(model)
    others = dict(zip(column_names(against), map(find_model, against), strict=True))
    with _progress("scoring") as progress:
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
            against=others,
            inception=inception,
            lpips=lpips,
            progress=progress,
        )
    print_evaluation(result, _console())
    if json:
        result.save(json)
    if report:
        from sat2map.evaluation.report import write_evaluation_report

        write_evaluation_report(result, draw_examples(result, model, data, device=device), report)
        print(f"report:      {report}")


def info(model: tyro.conf.Positional[Path | None] = None) -> None:
    """Say what a model file is: network, data, scores.

    Args:
        model: Model file; none: the one that comes with the package.
    """
    from sat2map.models.hub import find_model
    from sat2map.models.model_file import describe, read_header

    path = find_model(model)
    print(describe(path, read_header(path)))


def export(
    model: tyro.conf.Positional[Path],
    *,
    to: Format,
    output: Path | None = None,
    images: tuple[str, ...] = (),
    pairs: Path | None = None,
    mode: Literal["eval", "paper"] | None = None,
    limit: float | None = None,
    overwrite: bool = False,
) -> None:
    """Write a model in another format, checked against PyTorch.

    Args:
        model: Model file.
        to: What for; pth is a plain PyTorch state dict.
        output: Where to; none: beside the model.
        images: Pictures to check with and to calibrate int8 on: files, folders, globs; none: drawn towns.
        pairs: Pairs on which the cost of the export in mean class IoU is measured.
        mode: eval, for a model file that says paper; only that can be exported.
        limit: Largest mean error that passes (grey levels); none: that of the format.
        overwrite: Replace existing files.
    """
    from sat2map.export import export_model

    result = export_model(
        model, to, output, images=images, pairs=pairs, mode=mode, limit=limit, overwrite=overwrite
    )
    print(result)


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on standard error while something goes on, where that is a terminal."""
    from rich.progress import Progress

    console = _console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)

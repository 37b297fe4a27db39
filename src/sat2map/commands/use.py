"""Owns the commands that use a model: translate, evaluate, info, export; and the demo."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from sat2map.errors import Sat2MapError
from sat2map.settings import Device

if TYPE_CHECKING:
    from rich.console import Console


def demo(*, folder: Path = Path("runs/demo"), seed: int = 0) -> None:
    """Draw pairs, train a small model on them, score it and translate a scene: minutes on a CPU.

    Args:
        folder: Where to.
        seed: Seed of all of it.
    """
    from sat2map.demo import run_demo

    run_demo(folder, seed=seed, console=_console())


def translate(
    inputs: tyro.conf.Positional[list[str]],
    *,
    model: Path | None = None,
    output: Path = Path("maps"),
    overwrite: bool = False,
    device: Device = "auto",
    mode: Literal["eval", "paper"] | None = None,
) -> None:
    """Translate images into maps: files, folders, globs, of any size.

    Args:
        inputs: Image files, folders or quoted globs.
        model: Model file; none: the one that comes with the package.
        output: Folder for the maps, or an image file for a single input.
        overwrite: Replace existing files.
        device: Where to run.
        mode: eval (running statistics) or paper (batch statistics, dropout); none: what the model file says.
    """
    from rich.progress import Progress

    from sat2map.bundled import bundled_model
    from sat2map.translate import Translator
    from sat2map.translate.images import Job, plan_jobs, translate_images

    jobs = plan_jobs(inputs, output, overwrite=overwrite)
    translator = Translator.open(model or bundled_model(), device=device, mode=mode)
    console = _console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("translating", total=len(jobs))

        def done(job: Job, error: Sat2MapError | None) -> None:
            bar.advance(task)
            if error is not None:
                console.print(f"sat2map: {error}", style="red", highlight=False, markup=False, soft_wrap=True)

        failed = translate_images(translator, jobs, done)
    where = jobs[0].output if len(jobs) == 1 else output
    if failed < len(jobs):
        print(
            f"{len(jobs) - failed} of {len(jobs)} written to {where}"
            if len(jobs) > 1
            else f"written to {where}"
        )
    if failed:
        sys.exit(2)


def evaluate(
    *,
    data: Path,
    model: Path | None = None,
    split: str = "val",
    group_column: str | None = None,
    size: int | None = None,
    json: Path | None = None,
    report: Path | None = None,
    device: Device = "auto",
    mode: Literal["eval", "paper"] | None = None,
    robustness: bool = False,
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
        device: Where to run.
        mode: eval or paper; none: what the model file says.
        robustness: Score it on degraded images too.
    """
    from sat2map.bundled import bundled_model
    from sat2map.evaluation import draw_examples, print_evaluation
    from sat2map.evaluation import evaluate as run_evaluation

    model = model or bundled_model()
    result = run_evaluation(
        model,
        data,
        split=split,
        group_column=group_column,
        size=size,
        device=device,
        mode=mode,
        robustness=robustness,
    )
    print_evaluation(result, _console())
    if json:
        result.save(json)
    if report:
        from sat2map.report import write_evaluation_report

        write_evaluation_report(result, draw_examples(result, model, data, device=device), report)
        print(f"report:      {report}")


def info(model: tyro.conf.Positional[Path | None] = None) -> None:
    """Say what a model file is: network, data, scores.

    Args:
        model: Model file; none: the one that comes with the package.
    """
    from sat2map.bundled import bundled_model
    from sat2map.model_file import describe, read_header

    path = model or bundled_model()
    print(describe(path, read_header(path)))


def export(
    model: tyro.conf.Positional[Path],
    *,
    to: Literal["pth"] = "pth",
    output: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Write a model in another format.

    Args:
        model: Model file.
        to: pth: a plain PyTorch state dict.
        output: Where to; none: beside the model.
        overwrite: Replace an existing file.
    """
    from sat2map.export import export_pth

    output = output or model.with_suffix(f".{to}")
    export_pth(model, output, overwrite=overwrite)
    print(f"written to {output}")


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)

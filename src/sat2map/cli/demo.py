"""The command `demo`: the whole main job on drawn towns, in minutes on a CPU."""

from __future__ import annotations

import json
import math
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sat2map.cli.flags import Seed, between
from sat2map.cli.terminal import open_console, progress_bar, working
from sat2map.errors import RunError
from sat2map.extras import require
from sat2map.files import atomic_write_text
from sat2map.installation import command_name

if TYPE_CHECKING:
    from rich.console import Console

    from sat2map.training.loop import TrainResult

PAIRS, SIZE = 150, 256
SCENE_SEED, SCENE_SIZE = 7_000_031, 768  # a town of neither split, larger than any training image
MARKER = "demo.json"  # which demo a folder holds
MINUTES = 2.0  # of training, so that the demo takes three on any machine


def demo(
    *,
    output: Path = Path("runs/demo"),
    seed: Seed = 0,
    minutes: Annotated[float, Parameter(validator=between(0.05, 1e4))] = MINUTES,
    overwrite: bool = False,
) -> None:
    """Draw pairs, train a small model on them, score it and translate a scene: minutes on a CPU.

    What an earlier demo in the same folder has finished is kept, so one that was stopped goes on.

    Args:
        output: Folder for everything that the demo makes.
        minutes: Longest time of the training (minutes); the rest takes about one more.
        overwrite: Begin anew.

    Examples:
        sat2map demo
        sat2map demo --minutes 10 --output runs/longer
    """
    for module, extra in (("torch", "train"), ("scipy", "train"), ("matplotlib", "train")):
        require(module, "demo", extra)
    run_demo(output, seed=seed, minutes=minutes, overwrite=overwrite, console=open_console())


def run_demo(
    folder: Path, *, seed: int, minutes: float = MINUTES, overwrite: bool = False, console: Console
) -> Path:
    """Run a demo in a folder, where another one is replaced; return the path of its report.

    Raises:
        RunError: The folder holds something else.
        OutputError: It cannot be written.
        KeyboardInterrupt: It was stopped, in whichever stage.
    """
    try:
        return _run_stages(folder, seed, minutes, overwrite=overwrite, console=console)
    except KeyboardInterrupt:
        again = f"{command_name()} demo --output {shlex.quote(str(folder))}"
        console.print(f"stopped: '{again}' with the same options goes on from here", soft_wrap=True)
        raise


def _run_stages(folder: Path, seed: int, minutes: float, *, overwrite: bool, console: Console) -> Path:
    with working("loading PyTorch"):
        from sat2map.evaluation import draw_examples, evaluate, print_evaluation
        from sat2map.evaluation.report import write_demo_report
        from sat2map.images.pixels import write_image
        from sat2map.inference import Translator
        from sat2map.synthetic.towns import draw_town, write_towns
        from sat2map.training.samples import draw_grid

    pairs, report, picture = folder / "pairs", folder / "report.html", folder / "scene-map.png"
    kept = _prepare(folder, {"seed": seed, "pairs": PAIRS, "minutes": minutes}, overwrite=overwrite)
    if kept:
        console.print(f"{folder} holds an earlier demo: what it finished is kept (--overwrite begins anew)")

    console.rule("1 of 4: draw pairs")
    if not (folder / "run").exists():  # else they are complete
        with progress_bar("drawing towns") as progress:
            write_towns(pairs, count=PAIRS, size=SIZE, seed=seed, progress=progress)
    console.print(f"{PAIRS} drawn towns in {pairs}")

    console.rule("2 of 4: train")
    result = _train(folder, seed, minutes, console)
    _print_whether_short(result, minutes, console)

    console.rule("3 of 4: score")
    with progress_bar("scoring") as progress:
        evaluation = evaluate(result.best, pairs, progress=progress)
    print_evaluation(evaluation, console)
    evaluation.save(folder / "evaluation.json")

    console.rule("4 of 4: translate a scene")
    with working("drawing its map and the report"):
        scene = draw_town(SCENE_SEED + seed, size=SCENE_SIZE)
        fake = Translator.open(result.best)(scene.source)
        views = {"photo": scene.source, "generated map": fake, "real map": scene.target}
        write_image(folder / "scene.png", scene.source)
        write_image(picture, draw_grid([tuple(views.values())], tuple(views)))
        write_demo_report(
            report,
            run=result.run,
            evaluation=evaluation,
            scene=(scene.source, fake, scene.target),
            examples=draw_examples(evaluation, result.best, pairs),
        )
    console.rule("done")
    _print_end(folder, result, console)
    return report


def _prepare(folder: Path, about: dict[str, float], *, overwrite: bool) -> bool:
    """Make the folder of a demo; return whether it holds stages of this one already."""
    if folder.exists():
        marker = folder / MARKER
        if not marker.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(
                f"{folder} exists and is not an earlier demo", hint="choose another folder", setting="output"
            )
        if not overwrite and marker.exists() and marker.read_text("utf-8") == json.dumps(about) + "\n":
            return True
        shutil.rmtree(folder)
    atomic_write_text(folder / MARKER, json.dumps(about) + "\n")
    return False


def _train(folder: Path, seed: int, minutes: float, console: Console) -> TrainResult:
    """Train, or go on with a training that was stopped, or take the model of one that is finished."""
    from sat2map.run_folder import BEST, LAST, REPORT, SETTINGS
    from sat2map.settings import load_settings
    from sat2map.training.loop import TrainResult, resume, train

    run = folder / "run"
    if (run / REPORT).exists() and (run / BEST).exists():
        console.print(f"the model of the earlier demo: {run / BEST}")
        return TrainResult(run, run / BEST, run / LAST, finished=True)
    if (run / SETTINGS).exists():
        result = resume(run, console=console)
    else:
        settings = load_settings("tiny", data=folder / "pairs", run=run, seed=seed, minutes=minutes)
        result = train(settings, console=console)
    if not result.finished:
        (run / REPORT).unlink(missing_ok=True)  # which would pass for that of a finished training
        raise KeyboardInterrupt
    return result


def _print_whether_short(result: TrainResult, minutes: float, console: Console) -> None:
    """Say that the map will be poor where the minutes were over long before the epochs."""
    from sat2map.run_folder import read_metrics, read_run_settings

    done, epochs = read_metrics(result.run)[-1]["epoch"], read_run_settings(result.run).schedule.epochs
    if 2 * done < epochs:
        console.print(
            f"only {done} of {epochs} epochs fitted into {minutes:g} minutes on this machine, so its maps "
            f"will be poor: for good ones, --minutes {math.ceil(minutes * epochs / done)}",
            highlight=False,
            soft_wrap=True,
        )


def _print_end(folder: Path, result: TrainResult, console: Console) -> None:
    command = command_name()  # after `make demo` the environment is not activated
    scene, report = (shlex.quote(str(folder / name)) for name in ("scene.png", "report.html"))
    console.print(
        f"look at   {folder / 'scene-map.png'}: photo, generated map and real map of a town it never saw\n"
        f"          {report}: scores, curves and samples\n\n"
        "next, the model that comes with the package, your own pairs, and an orthophoto:\n"
        f"  {command} translate {scene} --gsd 0.9 --output map.png\n"
        f"  {command} train --data PAIRS --run runs/mine\n"
        f"  {command} translate ORTHO.tif --output map.tif",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )

"""The command `demo`: the whole main job on drawn towns, in minutes on a CPU."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sat2map.cli.flags import Seed
from sat2map.cli.terminal import open_console
from sat2map.errors import RunError
from sat2map.extras import require
from sat2map.files import atomic_write_text

if TYPE_CHECKING:
    from rich.console import Console

PAIRS, SIZE = 150, 256
SCENE_SEED, SCENE_SIZE = 7_000_000, 768  # a town that is in neither split, larger than any training image
MARKER = "demo.txt"
TRAIN_MINUTES = 2.0  # at most, so that the demo takes three on any machine; two free cores need 80 s


def demo(*, output: Path = Path("runs/demo"), seed: Seed = 0) -> None:
    """Draw pairs, train a small model on them, score it and translate a scene: minutes on a CPU.

    Args:
        output: Folder for everything that the demo makes; an earlier demo there is replaced.

    Examples:
        sat2map demo
    """
    for module, extra in (("torch", "train"), ("scipy", "train"), ("matplotlib", "train")):
        require(module, "demo", extra)
    run_demo(output, seed=seed, console=open_console())


def run_demo(folder: Path, *, seed: int, console: Console) -> Path:
    """Draw pairs, train a small model, score it, translate a scene and write a report.

    Args:
        folder: Where to; an earlier demo there is replaced.
        seed: Seed of the drawing and of the training.
        console: Where to tell about it.

    Returns:
        The report's path.

    Raises:
        RunError: The folder holds something else.
        OutputError: It cannot be written.
    """
    from sat2map.evaluation import draw_examples, evaluate, print_evaluation
    from sat2map.evaluation.report import write_demo_report
    from sat2map.images.pixels import write_image
    from sat2map.inference import Translator
    from sat2map.settings import load_settings
    from sat2map.synthetic.towns import draw_town, write_towns
    from sat2map.training.loop import train

    if folder.exists():
        if not (folder / MARKER).exists() and any(folder.iterdir()):
            raise RunError(
                f"{folder} exists and is not an earlier demo", hint="choose another folder", setting="output"
            )
        shutil.rmtree(folder)
    atomic_write_text(folder / MARKER, "Made by `sat2map demo`; the next demo replaces this folder.\n")
    pairs, run, report = folder / "pairs", folder / "run", folder / "report.html"

    console.rule("1 of 4: draw pairs")
    write_towns(pairs, count=PAIRS, size=SIZE, seed=seed)
    console.print(f"{PAIRS} drawn towns in {pairs}")

    console.rule("2 of 4: train")
    settings = load_settings("tiny", data=pairs, run=run, seed=seed, minutes=TRAIN_MINUTES)
    result = train(settings, console=console)
    if not result.finished:
        raise KeyboardInterrupt

    console.rule("3 of 4: score")
    evaluation = evaluate(result.best, pairs)
    print_evaluation(evaluation, console)
    evaluation.save(folder / "evaluation.json")

    console.rule("4 of 4: translate a scene")
    scene = draw_town(SCENE_SEED + seed, size=SCENE_SIZE)
    fake = Translator.open(result.best)(scene.source)
    for name, pixels in (("scene", scene.source), ("scene-map", fake), ("scene-truth", scene.target)):
        write_image(folder / f"{name}.png", pixels)
    write_demo_report(
        report,
        run=run,
        evaluation=evaluation,
        scene=(scene.source, fake, scene.target),
        examples=draw_examples(evaluation, result.best, pairs),
    )

    console.rule("done")
    console.print(
        f"look at        {report}\n"
        f"               {folder / 'scene-map.png'}, the map of {folder / 'scene.png'}\n"
        f"the model      sat2map info {result.best}\n"
        f"your images    sat2map translate PHOTO.png --model {result.best} --output maps\n"
        f"your pairs     sat2map data check DIR\n"
        f"               sat2map train default --data DIR --run runs/mine",
        highlight=False,
        soft_wrap=True,
    )
    return report

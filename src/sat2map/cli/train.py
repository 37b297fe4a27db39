"""The command `train`: a recipe, and an option for each setting of it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Group, Parameter

from sat2map.cli.data import download_if_named
from sat2map.cli.terminal import counted, print_notes, say, working
from sat2map.errors import SettingsError
from sat2map.extras import require
from sat2map.settings import SETTINGS, TrainSettings, flatten, load_settings, preset_names
from sat2map.settings.flat import GROUPS

if TYPE_CHECKING:
    from sat2map.training.estimate import Estimate

LONG_HOURS: Final = 24  # beyond this a dry run says what would be faster


def train(
    recipe: str = "default",
    /,
    *,
    resume: Path | None = None,
    init_from: str | None = None,
    dry_run: bool = False,
    **settings: Any,
) -> None:
    """Train a generator on pairs of images.

    Every setting of the recipe is an option too; an option wins over the recipe.

    Args:
        recipe: A preset, or a TOML file of settings.
        resume: Run folder to continue, exactly where it stopped, or with more epochs or minutes; with --data
            where its pairs have moved.
        init_from: Model file to fine-tune, here or hf://owner/name; its network replaces that of the recipe.
        dry_run: Check everything, make two steps, estimate time and memory; write nothing.

    Examples:
        sat2map train --data pairs --run runs/mine
        sat2map train paper --data pairs --run runs/paper --epochs 100
        sat2map train my.toml --dry-run
        sat2map train --resume runs/mine
    """
    require("torch", "train", "train")
    with working("loading PyTorch"):
        from sat2map import run_folder
        from sat2map.models.model import Model
        from sat2map.training import estimate, loop
        from sat2map.training.distributed import is_main_process_here

    if resume:
        given = [*settings, *(["dry_run"] if dry_run else []), *(["init_from"] if init_from else [])]
        changes = {name: settings[name] for name in ("data", "epochs", "minutes") if name in settings}
        _refuse_beside_resume([name for name in given if name not in changes], recipe)
        result = loop.resume(resume, **changes)
        used = run_folder.read_run_settings(resume)
    else:
        used = load_settings(recipe, **settings)
        start = Model.find(init_from).path if init_from else None
        download_if_named(used.data.path)
        if dry_run:
            _print_estimate(estimate.dry_run(used, init_from=start, report=say), used)
            return
        result = loop.train(used, init_from=start)
    if not is_main_process_here():  # one of several processes prints
        return
    if not result.finished:
        print(f"to continue: sat2map train --resume {result.run}", file=sys.stderr)
        sys.exit(130)
    say(f"best model:  {result.best}\nreport:      {result.run / 'report.html'}")
    say(f"next:        sat2map evaluate --model {result.best} --data {used.data.path}")


def train_with_settings(arguments: Sequence[str]) -> Callable[..., None]:
    """Return `train` with a keyword for each setting; their defaults are those of the recipe.

    Args:
        arguments: What follows `train` on the command line; the recipe in it decides the defaults shown.
    """
    presets = preset_names()
    recipe = next((text for text in arguments if text in presets or text.endswith(".toml")), "default")
    try:
        defaults = load_settings(recipe)
    except SettingsError:  # which `train` will report
        defaults = load_settings("default")

    @wraps(train)
    def command(*args: Any, **options: Any) -> None:
        train(*args, **options)

    parameters = list(inspect.signature(train, eval_str=True).parameters.values())[:-1]
    # A union, so that completion offers the presets and any other text is taken for a file.
    parameters[0] = parameters[0].replace(annotation=Literal[tuple(presets)] | str)
    values, groups = flatten(defaults), list(GROUPS)
    for name, setting in SETTINGS.items():
        if isinstance(values[name], dict):  # tables are for files
            continue
        group = Group(setting.group.capitalize(), sort_key=2 + groups.index(setting.group))
        option = Parameter(help=setting.info.description, group=group)
        parameters.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=values[name],
                annotation=Annotated[setting.info.annotation, option],
            )
        )
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _refuse_beside_resume(given: Sequence[str], recipe: str) -> None:
    """Refuse options that a resumed run, which has its own settings, would ignore."""
    ignored = [f"--{name.replace('_', '-')}" for name in given]
    ignored += [recipe] if recipe != "default" else []
    if ignored:
        raise SettingsError(
            "a resumed run has its own settings", hint=f"leave out {' and '.join(ignored)}", setting="resume"
        )


def _print_estimate(estimate: Estimate, settings: TrainSettings) -> None:
    from sat2map.plan import describe_hours

    print_notes(estimate.notes)
    hours = estimate.steps * estimate.step_seconds / 3600
    took = f"about {describe_hours(hours)} in all"
    if hours > LONG_HOURS and not estimate.on_gpu:
        took = f"{describe_hours(hours)} on this CPU: {_faster(settings)}"
    if settings.schedule.minutes and settings.schedule.minutes < 60 * hours:
        took += f"; it ends after {settings.schedule.minutes:g} minutes"
    print(f"pairs:       {estimate.pairs[0]} to train on, {estimate.pairs[1]} to validate on")
    generator, discriminator = (f"{count / 1e6:.2f} M" for count in estimate.parameters)
    print(f"parameters:  generator {generator}, discriminator {discriminator}")
    measured = "at most" if estimate.on_gpu else "for weights and optimizer, plus activations"
    print(f"memory:      {estimate.memory_bytes / 2**20:.0f} MiB {measured}")
    print(f"time:        {counted(estimate.steps, 'step')} of {estimate.step_seconds:.3f} s, {took}")


def _faster(settings: TrainSettings) -> str:
    """Say what makes a training of days shorter."""
    data, ways = settings.data, ["use a GPU"]
    if settings.network.generator != "efficient-unet" and settings.network.generator != "auto":
        ways.append("the preset default")
    if data.image_size and data.image_size > 256:
        ways.append("--image-size 256 --load-size 256 --crop-size 256")
    ways.append("fewer --epochs, or --minutes")
    return ", ".join(ways)

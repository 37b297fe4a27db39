"""Owns the command `train`: a recipe, and a flag for each setting of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import tyro

from sat2map.cli.parsing import parse_words
from sat2map.errors import SettingsError
from sat2map.settings import TrainSettings, load_settings, make_settings, preset_names


def train(words: Sequence[str]) -> None:
    """Train a generator on pairs of images."""
    assumed = words[0] if words and not words[0].startswith("-") else "default"
    flags = _train_flags(assumed, words)
    if flags["recipe"] != assumed:  # it stood behind a flag: the defaults are those of another recipe
        assumed = flags["recipe"]
        flags = _train_flags(assumed, words)
    _, resume, dry_run, init_from = (flags.pop(name) for name in ("recipe", "resume", "dry_run", "init_from"))
    from sat2map import run_folder
    from sat2map.models.model import Model
    from sat2map.training import loop, setup
    from sat2map.training.distributed import leads_here

    if resume:
        _refuse_beside_resume(flags, assumed, dry_run=dry_run, init_from=init_from)
        settings = run_folder.read_run_settings(resume)
        result = loop.resume(resume)
    else:
        settings = make_settings(flags, where="settings")
        init_from = Model.find(init_from).path if init_from else None
        if dry_run:
            _print_estimate(setup.dry_run(settings, init_from=init_from))
            return
        result = loop.train(settings, init_from=init_from)
    if not leads_here():  # of several processes one tells
        return
    if not result.finished:
        sys.exit(130)
    print(f"best model:  {result.best}\nreport:      {result.run / 'report.html'}")
    print(f"next:        sat2map evaluate --model {result.best} --data {settings.data}")


def _train_flags(recipe: str, words: Sequence[str]) -> dict[str, Any]:
    """Read the words over a recipe: every setting of it, and `recipe`, `resume` and `dry_run`."""
    flags: object = parse_words(
        _flags_of(load_settings(recipe)),
        words,
        prog="sat2map train",
        known=[*TrainSettings.model_fields, "resume", "dry_run", "init_from"],
        description=f"Train a generator on pairs of images. RECIPE is a TOML file, or one of the presets "
        f"{', '.join(preset_names())}; every setting of it is a flag too, and a flag wins.",
    )
    return vars(flags).copy()


def _refuse_beside_resume(
    flags: dict[str, Any], recipe: str, *, dry_run: bool, init_from: Path | None
) -> None:
    """A run goes on with its own settings; a flag that would be ignored is refused.

    Raises:
        SettingsError: There is such a flag.
    """
    usual = load_settings(recipe)
    others = [f"--{name.replace('_', '-')}" for name, value in flags.items() if value != getattr(usual, name)]
    others += ["--dry-run"] if dry_run else []
    others += ["--init-from"] if init_from else []
    others += [recipe] if recipe != "default" else []
    if others:
        raise SettingsError(
            f"--resume goes on with the settings of the run: leave out {' and '.join(others)}"
        )


def _flags_of(settings: TrainSettings) -> type:
    """Make a plain class with a flag for each setting, with the help texts and defaults of `settings`.

    tyro could read the model itself, but would then report bad values in pydantic's words, not ours.
    """

    def flag(kind: Any, text: str, default: object) -> tuple[Any, Any]:
        parts = get_args(kind)
        metavar = parts[0].__name__.upper() if type(None) in parts else None
        return Annotated[kind, tyro.conf.arg(help=text, metavar=metavar)], field(default=default)

    options = {
        "resume": flag(Path | None, "Run folder to go on with, exactly where it stopped.", None),
        "init_from": flag(
            Path | None, "Model file to fine-tune, here or hf://user/repo: its network wins.", None
        ),
        "dry_run": flag(
            bool,
            "Check everything, make two steps, estimate time and memory; leave the run folder alone.",
            False,
        ),
    }
    for name, info in TrainSettings.model_fields.items():
        options[name] = flag(info.annotation, info.description or "", getattr(settings, name))
    about = tyro.conf.arg(help="A preset, or a TOML file.", metavar="[RECIPE]")
    recipe = ("recipe", Annotated[tyro.conf.Positional[str], about], field(default="default"))
    return make_dataclass("Options", [recipe, *((name, *option) for name, option in options.items())])


def _print_estimate(estimate: object) -> None:
    from sat2map.training.setup import Estimate

    assert isinstance(estimate, Estimate)
    hours = estimate.steps * estimate.step_seconds / 3600
    print(f"pairs:       {estimate.pairs[0]} to train on, {estimate.pairs[1]} to validate on")
    generator, discriminator = (f"{count / 1e6:.2f} M" for count in estimate.parameters)
    print(f"parameters:  generator {generator}, discriminator {discriminator}")
    print(f"memory:      {estimate.memory_bytes / 2**20:.0f} MiB and what the activations need")
    print(f"time:        {estimate.steps} steps of {estimate.step_seconds:.3f} s, about {hours:.1f} h in all")

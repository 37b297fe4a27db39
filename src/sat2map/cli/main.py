"""Owns the command line: finds the command, and says in one sentence what is wrong.

Nothing heavy is imported before a command is known, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from sat2map.errors import Sat2MapError, SettingsError, nearest

USAGE = "usage: sat2map COMMAND ...     (sat2map COMMAND --help tells all of a command)"


class Command(NamedTuple):
    """Where a command is, and what it does.

    Attributes:
        sentence: The first line of its docstring.
        module: Where its function is; `data check` is called `data_check` there.
    """

    sentence: str
    module: str


_DATA, _GEO, _MODELS = "sat2map.cli.data", "sat2map.cli.geo", "sat2map.cli.models"

COMMANDS = {
    "demo": Command(
        "Draw pairs, train a small model on them, score it and translate a scene: minutes on a CPU.",
        "sat2map.cli.demo",
    ),
    "data check": Command(
        "Look for what is wrong with a data set; changes nothing, exits 1 when something is.", _DATA
    ),
    "data download": Command(
        "Fetch a paired data set of the pix2pix paper; a download that broke off goes on where it was.",
        _DATA,
    ),
    "data synth": Command("Draw synthetic towns: pairs of an aerial picture and its map.", _DATA),
    "data palette": Command(
        "Learn the palette of a data set's maps: their flat colours, a class each, to name and merge.",
        _DATA,
    ),
    "data from-rasters": Command(
        "Cut pairs to train on from an orthophoto and a map, or vectors drawn in a style.", _DATA
    ),
    "data pack": Command(
        "Pack a data set into tar shards, for training from a server or on more than the disk holds.",
        _DATA,
    ),
    "train": Command("Train a generator on pairs of images.", "sat2map.cli.train"),
    "evaluate": Command(
        "Score a model on pairs, next to what a constant map scores on them.", "sat2map.cli.evaluate"
    ),
    "translate": Command(
        "Translate images into maps: files, folders, globs, rasters, of any size.",
        "sat2map.cli.translate",
    ),
    "info": Command("Say what a model file is, and how this machine runs it.", _MODELS),
    "vectorize": Command(
        "Turn a map raster into vectors: polygons of each class, and centre lines of roads.", _GEO
    ),
    "tiles": Command(
        "Cut a raster into web-mercator tiles: .mbtiles, .pmtiles, or a folder of z/x/y.png.", _GEO
    ),
    "bulk": Command(
        "Translate very many rasters or images, or a very large one: here, in shards, or on a Ray cluster.",
        "sat2map.cli.bulk",
    ),
    "plan": Command(
        "Say what translating an area takes: tiles, hours, memory, storage, and what decides them.",
        "sat2map.cli.plan",
    ),
    "serve": Command("Serve a page, live maps and an API.", "sat2map.cli.serve"),
    "import": Command(
        "Make a model file of another project's generator, such as pytorch-CycleGAN's or pix2pixHD's.",
        _MODELS,
    ),
    "push": Command(
        "Put a model file on the Hugging Face Hub, with a model card written from its header.", _MODELS
    ),
    "completion": Command(
        "Print a script that teaches your shell to complete sat2map's commands and flags.",
        "sat2map.cli.completion",
    ),
    "export": Command("Write a model in another format, checked against PyTorch.", _MODELS),
}


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line; errors of the user's go to standard error in one sentence, with exit code 2."""
    try:
        _dispatch(list(sys.argv[1:] if words is None else words))
        sys.stdout.flush()  # here, where a closed pipe can still be caught
    except Sat2MapError as error:
        print(f"sat2map: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `sat2map ... | head`
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # or the exit would flush, and fail, again
        sys.exit(141)


def _dispatch(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"sat2map {version('sat2map')}")
        return
    length = 2 if words[0] == "data" else 1
    name = " ".join(words[:length])
    if name in ("data", "data -h", "data --help"):
        print(_overview("data "))
        return
    if name not in COMMANDS:
        raise SettingsError(f"no command is called '{name}', {nearest(name, COMMANDS)}")
    from sat2map.runtime.cpu import watch_load

    watch_load()  # while modules are imported
    from sat2map.cli import parsing

    parsing.run(name, COMMANDS[name].module, words[length:])


def _overview(prefix: str = "") -> str:
    lines = [
        f"  {name:<17} {command.sentence}" for name, command in COMMANDS.items() if name.startswith(prefix)
    ]
    return "\n".join(["Turn satellite imagery into maps.", "", USAGE, "", *lines])

"""The commands for model files: info, import, export, push."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import tyro

from sat2map.export import Format
from sat2map.settings import Direction


def import_(
    checkpoint: tyro.conf.Positional[Path],
    *,
    to: Path,
    direction: Direction = "source-to-target",
    mode: Literal["eval", "paper"] = "eval",
    palette: str = "none",
    gsd: float | None = None,
    overwrite: bool = False,
) -> None:
    """Make a model file of another project's generator, such as pytorch-CycleGAN's or pix2pixHD's.

    Args:
        checkpoint: Its checkpoint (.pth, .pt, .safetensors); nothing in it is run.
        to: The model file to write.
        direction: Which side of the pairs was the input.
        mode: eval, or paper: statistics of the picture itself and dropout, as those projects' own tests use.
        palette: Map classes that it draws: a built-in name, a JSON file, or none.
        gsd: Metres a pixel of its images, if known.
        overwrite: Replace an existing file.
    """
    from sat2map.extras import require

    require("torch", "importing a checkpoint", "train")
    from sat2map.models.importers import import_checkpoint

    found = import_checkpoint(
        checkpoint,
        to,
        direction=direction,
        mode=mode,
        palette=palette,
        gsd=gsd,
        overwrite=overwrite,
    )
    print(f"{checkpoint} is {found.kind}; written to {to}")
    print(f"next:        sat2map translate PHOTO.png --model {to} --output maps")


globals()["import"] = import_  # what the command is called, which no function can be defined as


def push(
    model: tyro.conf.Positional[Path],
    repo: tyro.conf.Positional[str],
    *,
    private: bool = False,
    replace_card: bool = False,
) -> None:
    """Put a model file on the Hugging Face Hub, with a model card written from its header.

    Args:
        model: Model file.
        repo: USER/REPO; made where it does not exist.
        private: Make it for your eyes only.
        replace_card: Replace a card that is there, which you may have edited.
    """
    from sat2map.models.hub import push as push_to_hub

    pushed = push_to_hub(model, repo, private=private, replace_card=replace_card)
    kept = "; its card was left as it is" if pushed.card_kept else ""
    print(f"pushed to {pushed.url}{kept}")
    print(f"next:        sat2map translate PHOTO.png --model {pushed.name} --output maps")


def info(model: tyro.conf.Positional[Path | None] = None) -> None:
    """Say what a model file is, and how this machine runs it.

    Args:
        model: Model file; none: the one that comes with the package.
    """
    from sat2map.models.model import Model
    from sat2map.models.model_file import describe
    from sat2map.runtime.cpu import describe_processor

    found = Model.find(model)
    print(describe(found.path, found.header))
    print()
    for name, fact in describe_processor().items():
        print(f"{name + ':':<11} {fact}")


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

"""Owns the commands that bring models and data from elsewhere, and take models there."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import tyro

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
        ground_sample_distance=gsd,
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


def data_download(
    name: tyro.conf.Positional[Literal["maps", "facades", "cityscapes"]],
    folder: tyro.conf.Positional[Path | None] = None,
    *,
    mirror: str | None = None,
    sha256: str | None = None,
) -> None:
    """Fetch a paired data set of the pix2pix paper; a download that broke off goes on where it was.

    Args:
        name: Which.
        folder: Where to; none: a folder of its name.
        mirror: Address of a folder with NAME.tar.gz; none: $SAT2MAP_MIRROR, or the official one.
        sha256: Checksum that the archive must have.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from sat2map.data.download import download

    console = Console(stderr=True)
    columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("fetching", total=None)
        done = download(
            name,
            folder or Path(name),
            mirror=mirror,
            sha256=sha256,
            progress=lambda have, total: bar.update(task, completed=have, total=total),
        )
    print(f"{done.images} images in {done.folder}, from {done.url}")
    print(f"archive:     {done.size / 1e6:.1f} MB, SHA-256 {done.sha256}")
    print(f"next:        sat2map data check {done.folder}")

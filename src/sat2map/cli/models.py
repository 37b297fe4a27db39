"""The commands for model files: info, import, export, push."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sat2map.cli.about_model import print_info
from sat2map.cli.flags import Gsd, Mode, ModelFlag, Overwrite, between
from sat2map.cli.terminal import print_notes, say, working
from sat2map.extras import require
from sat2map.settings import Direction, ExportFormat, InferenceMode, Skips


def import_model(
    checkpoint: Path,
    /,
    *,
    output: Path,
    direction: Direction = "source-to-target",
    mode: InferenceMode = "eval",
    palette: str = "none",
    gsd: Gsd = None,
    bands: str = "",
    generator: str | None = None,
    skips: Skips = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Make a model file of another project's generator, such as pytorch-CycleGAN's or pix2pixHD's.

    Args:
        checkpoint: Checkpoint of that project (.pth, .pt, .safetensors); no code in it is run.
        output: Model file to write.
        direction: Which side of the pairs was the input.
        mode: eval, or paper: batch statistics and dropout, as those projects' own tests use.
        palette: Map classes that it draws: a built-in name, a JSON file, or none.
        gsd: Metres per pixel of its images, if known.
        bands: Names of the bands of its input, such as red,green,blue,nir.
        generator: Key of the generator in a file of several; by default the first.
        skips: Order in which a U-Net of pytorch-CycleGAN concatenates: old is that of before 2017-09-22; auto
            tells by the layers.

    Examples:
        sat2map import latest_net_G.pth --output maps.safetensors --palette maps
    """
    require("torch", "importing a checkpoint", "train")
    from sat2map.models.importers import import_checkpoint

    found = import_checkpoint(
        checkpoint,
        output,
        direction=direction,
        mode=mode,
        palette=palette,
        gsd=gsd,
        bands=[name.strip() for name in bands.split(",")] if bands else (),
        generator=generator,
        skips=skips,
        overwrite=overwrite,
    )
    say(f"{checkpoint} is {found.kind}; written to {output}")
    print_notes(found.notes)
    say(f"next:        sat2map translate PHOTO.png --model {output} --output maps")


def push(model: Path, repo: str, /, *, private: bool = False, replace_card: bool = False) -> None:
    """Put a model file on the Hugging Face Hub, with a model card written from its header.

    Args:
        model: Model file.
        repo: OWNER/NAME; created if it does not exist.
        private: Create it private.
        replace_card: Replace the model card that is there, which may have been edited.

    Examples:
        sat2map push runs/mine/best.safetensors me/my-maps
    """
    from sat2map.models.hub import push as push_to_hub

    pushed = push_to_hub(model, repo, private=private, replace_card=replace_card)
    kept = "; its card was left as it is" if pushed.card_kept else ""
    say(f"pushed to {pushed.url}{kept}")
    say(f"next:        sat2map translate PHOTO.png --model {pushed.name} --output maps")


def info(model: ModelFlag = None) -> None:
    """Print what a model file holds, and how this machine runs it.

    Examples:
        sat2map info
        sat2map info runs/mine/best.safetensors
    """
    print_info(model)


def export(
    model: ModelFlag = None,
    *,
    to: ExportFormat,
    output: Path | None = None,
    images: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    data: Path | None = None,
    mode: Mode = None,
    limit: Annotated[float | None, Parameter(validator=between(0, 255))] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a model in another format, and check the result against the model.

    Args:
        to: Format; pth is a plain PyTorch state dict, web a folder with a page that works without a server,
            deepness an ONNX file for that plugin of QGIS.
        output: File or folder to write; without it, beside the model.
        images: Images to check with and to calibrate int8 on: files, folders, globs; default: drawn towns.
        data: Pairs on which the cost of the export in mean class IoU is measured.
        limit: Largest mean error that passes (grey levels); without it, that of the format.

    Examples:
        sat2map export runs/mine/best.safetensors --to onnx
        sat2map export runs/mine/best.safetensors --to openvino-int8 --images photos
        sat2map export --to deepness
        sat2map export --to web my-page
    """
    from sat2map.export import export_model
    from sat2map.models.model import Model

    is_file = model is None or model.startswith("hf://") or Path(model).suffix
    if to == "web" and output is None and not is_file:
        model, output = None, Path(str(model))  # `--to web FOLDER`
    with working(f"exporting to {to}, and comparing the result with the model"):
        exported = export_model(
            Model.find(model),
            to,
            output,
            images=images,
            pairs=data,
            mode=mode,
            limit=limit,
            overwrite=overwrite,
        )
    print(exported)

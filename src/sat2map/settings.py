"""Owns every training setting: its name, default, unit and meaning, and how presets, files and flags combine.

No torch here: the command line reads this file to answer `--help`.
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sat2map.errors import SettingsError, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Direction = Literal["source-to-target", "target-to-source"]
Norm = Literal["batch", "instance", "group", "none"]
Upsample = Literal["transpose", "resize", "shuffle"]
Precision = Literal["auto", "fp32", "bf16"]
Device = Literal["auto", "cpu", "cuda", "mps"]
EngineName = Literal["auto", "torch", "onnx", "openvino"]
ExportFormat = Literal["onnx", "openvino", "onnx-int8", "openvino-int8", "pt2", "pth", "pytorch-cyclegan"]
Decay = Annotated[float, Field(ge=0, lt=1)]


class TrainSettings(BaseModel):
    """Everything that decides a training; two runs with equal settings and data are equal."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # data
    data: Path = Field(Path("data"), description="Folder or CSV of pairs.")
    run: Path = Field(Path("runs/train"), description="Folder that the run is written to.")
    direction: Direction = Field("source-to-target", description="Which side is the input.")
    group_column: str | None = Field(
        None, description="CSV column of groups (places) that a split made here never cuts apart."
    )
    val_fraction: float = Field(
        0.1, gt=0, lt=1, description="Share of the pairs held out where there is no val split (0..1)."
    )
    image_size: int = Field(
        256, ge=16, description="Side to which images are resized for validation and use (px)."
    )
    load_size: int = Field(
        286, ge=16, description="Side to which training images are resized before the crop (px)."
    )
    crop_size: int = Field(256, ge=16, description="Side of the random crop that a training step sees (px).")
    augment: Literal["none", "flip", "symmetries"] = Field(
        "flip", description="Random mirror, or one of the eight right-angle symmetries."
    )
    color_jitter: float = Field(
        0.0, ge=0, le=0.5, description="Random gain and offset of the source's bands (share of the range)."
    )
    source_bands: Literal[1, 3] = Field(3, description="Bands of the source (channels).")
    target_bands: Literal[1, 3] = Field(3, description="Bands of the target (channels).")
    palette: str = Field(
        "maps",
        description="Map classes: a built-in name, a JSON file, or 'none'; what draws photos has none.",
    )
    ground_sample_distance: float | None = Field(
        None, gt=0, description="Ground size of a pixel at image_size (metres), noted in the model file."
    )

    # networks
    generator: str = Field(
        "unet", description="Architecture of the generator, such as unet, resnet9 or efficient-unet."
    )
    width: int = Field(64, ge=4, description="Channels of the generator's first layer (the paper's ngf).")
    depth: int | None = Field(
        None,
        ge=2,
        le=12,
        description="Halvings in the network; none: U-Nets as many as crop_size allows, global 4.",
    )
    norm: Norm = Field("batch", description="Normalisation in both networks.")
    upsample: Upsample = Field(
        "transpose", description="Decoder step: transposed, resize or pixel-shuffle convolution."
    )
    dropout: float = Field(
        0.5, ge=0, lt=1, description="Dropout rate in the generator's inner decoder layers."
    )
    discriminator_width: int = Field(
        64, ge=4, description="Channels of the discriminator's first layer (the paper's ndf)."
    )
    discriminator_layers: int = Field(
        3, ge=1, le=6, description="Strided layers of the PatchGAN; 3 sees 70 px."
    )

    # losses
    adversarial: Literal["bce", "lsgan", "hinge"] = Field("bce", description="Adversarial loss.")
    adversarial_weight: float = Field(
        1.0,
        ge=0,
        description="Weight of the adversarial loss of the generator; 0: no discriminator is trained.",
    )
    l1_weight: float = Field(100.0, ge=0, description="Weight of the L1 loss (the paper's lambda).")
    l1_balance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Exponent b of the L1 weight frequency^-b of a pixel's map class; 0: all weigh alike.",
    )
    class_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of the class losses: soft IoU of the map, cross-entropy of a class head; 0: off.",
    )

    # optimisation
    batch_size: int = Field(1, ge=1, description="Pairs in a training step.")
    epochs: int = Field(200, ge=1, description="Passes over the training pairs.")
    learning_rate: float = Field(2e-4, gt=0, description="Adam's step size.")
    betas: tuple[Decay, Decay] = Field((0.5, 0.999), description="Adam's decays of the two moments.")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "linear", description="Learning rate: constant, linear decay in the second half, or cosine decay."
    )
    ema: float = Field(
        0.0, ge=0, lt=1, description="Decay a step of the moving average of the generator; 0: off."
    )

    # the run
    seed: int = Field(0, ge=0, description="Seed of every random choice.")
    device: Device = Field("auto", description="Where to train; auto: cuda, then mps, then cpu.")
    precision: Precision = Field(
        "auto", description="Arithmetic of the networks; auto: bf16 where it is fast."
    )
    workers: int = Field(0, ge=0, description="Threads that decode images for the cache; 0: one a core.")
    validate_every: int = Field(1, ge=1, description="Epochs between validations.")
    checkpoint_minutes: float = Field(5.0, gt=0, description="Longest time between checkpoints (minutes).")

    @model_validator(mode="after")
    def _fits_together(self) -> TrainSettings:
        if self.crop_size > self.load_size:
            raise ValueError(
                f"crop_size {self.crop_size} is larger than load_size {self.load_size}: "
                f"lower crop_size to {self.load_size} or raise load_size"
            )
        least = 3 * 2**self.discriminator_layers
        if self.crop_size < least:
            raise ValueError(
                f"crop_size {self.crop_size} leaves the discriminator no patch with discriminator_layers "
                f"{self.discriminator_layers}: raise crop_size to {least} or lower discriminator_layers"
            )
        if self.norm == "batch" and self.batch_size == 1 and self.ema:
            raise ValueError(
                "ema with norm 'batch' at batch_size 1 averages statistics that mean nothing: "
                "raise batch_size to 4, use norm 'group', or set ema to 0"
            )
        return self

    @property
    def draws_maps(self) -> bool:
        """Whether the generator's output has map classes: there is a palette, and the output is the map."""
        return self.palette != "none" and self.direction == "source-to-target"


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    folder = resources.files("sat2map") / "presets"
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def load_settings(preset_or_toml: str | Path, **overrides: Any) -> TrainSettings:
    """Read a preset by name, or a TOML file, and apply `overrides`.

    Args:
        preset_or_toml: A name of `preset_names()`, or the path of a TOML file. A file may start from a preset
            with `preset = "name"`.
        overrides: Settings that win over those of the preset or file.

    Raises:
        SettingsError: No such preset or file, bad TOML, an unknown setting, or a value that does not fit.
    """
    values = _read_values(str(preset_or_toml))
    return make_settings({**values, **overrides}, where=str(preset_or_toml))


def make_settings(values: dict[str, Any], *, where: str) -> TrainSettings:
    """Validate `values`; `where` is named in the error.

    Raises:
        SettingsError: An unknown setting, or a value that does not fit.
    """
    for name in values:
        if name not in TrainSettings.model_fields:
            raise SettingsError(
                f"{where}: unknown setting '{name}', {nearest(name, TrainSettings.model_fields)}"
            )
    try:
        return TrainSettings(**values)
    except ValidationError as error:
        raise SettingsError(f"{where}: {explain(error)}") from None


def explain(error: ValidationError) -> str:
    """Put the first complaint of pydantic into one sentence."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":  # its input is all that was given
        return f"{name} is missing"
    return f"{name} = {first['input']!r}: {message[0].lower()}{message[1:]}" if name else message


def _read_values(preset_or_toml: str) -> dict[str, Any]:
    if preset_or_toml in preset_names():
        text = (resources.files("sat2map") / "presets" / f"{preset_or_toml}.toml").read_text("utf-8")
        return tomllib.loads(text)
    path = Path(preset_or_toml)
    if path.suffix != ".toml" and not path.exists():
        raise SettingsError(
            f"no preset is called '{preset_or_toml}', {nearest(preset_or_toml, preset_names())}"
        )
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not a TOML file: {error}") from None
    base = values.pop("preset", None)
    if base is None:
        return values
    if base not in preset_names():
        raise SettingsError(f"{path}: no preset is called {base!r}, {nearest(str(base), preset_names())}")
    return {**_read_values(base), **values}

"""What a generator is: the specification that is stored in every model file, and that of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sat2map.errors import SettingsError, nearest
from sat2map.models.architectures.registry import ARCHITECTURES, find_architecture
from sat2map.settings import Norm, Upsample

if TYPE_CHECKING:
    from sat2map.settings import TrainSettings

GROUP_CHANNELS: Final = 16  # channels that share their statistics in a GroupNorm, where that divides them

MAX_BANDS: Final = 64
MAX_CLASSES: Final = 255  # class numbers are uint8, and 255 is an ignored pixel
MAX_WIDTH: Final = 1024  # channels; the paper's network has 64


class GeneratorSpec(BaseModel):
    """All that is needed to build a generator; stored in every model file.

    The last two fields are there for networks that come from other projects.

    Attributes:
        architecture: A name of `registry.ARCHITECTURES`.
        source_bands: Bands of the input.
        target_bands: Bands of the output.
        classes: Logits of map classes after the image's bands; 0: the network has no class head.
        colours: 0: the network gives an image. More: its whole output is logits of the palette's colours, in
            the order of the palette's classes and of the colours in each class.
        width: Channels of the first layer.
        depth: Number of down-sampling steps, of the architectures that do not fix it.
        norm: Normalisation after a convolution.
        upsample: Layer that doubles the size.
        dropout: Its rate; matters in training and in `paper` mode only.
        blocks: Residual blocks of `global`.
        bias: Which convolutions have one: those before no norm or one without weights (`auto`), `all`, or the
            `last` alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    architecture: str = "unet"
    source_bands: int = Field(3, ge=1, le=MAX_BANDS)
    target_bands: int = Field(3, ge=1, le=MAX_BANDS)
    classes: int = Field(0, ge=0, le=MAX_CLASSES)
    colours: int = Field(0, ge=0, le=MAX_CLASSES)
    width: int = Field(64, ge=1, le=MAX_WIDTH)
    depth: int = Field(8, ge=1, le=12)
    norm: Norm = "batch"
    upsample: Upsample = "transpose"
    dropout: float = Field(0.5, ge=0, lt=1)
    blocks: int = Field(9, ge=1, le=64)
    bias: Literal["auto", "all", "last"] = "auto"

    @field_validator("architecture")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in ARCHITECTURES:
            raise ValueError(f"no architecture is called '{name}', {nearest(name, ARCHITECTURES)}")
        return name

    @property
    def size_divisor(self) -> int:
        """Height and width of the input are multiples of this many pixels."""
        return find_architecture(self.architecture).size_divisor(self)


def spec_of(settings: TrainSettings, *, classes: int = 0, colours: int = 0) -> GeneratorSpec:
    """Return the generator that a training builds.

    Args:
        settings: Those of the training.
        classes: Outputs of a class head.
        colours: Colours of the palette, for a network that gives their logits.

    Raises:
        SettingsError: The architecture is unknown, or the sizes of the images do not suit it.
    """
    network, data = settings.network, settings.data
    architecture = find_architecture(network.generator)
    swapped = data.direction == "target-to-source"
    spec = GeneratorSpec(
        architecture=network.generator,
        source_bands=data.file_bands[swapped],
        target_bands=data.file_bands[not swapped],
        classes=classes,
        colours=colours,
        width=network.width,
        depth=network.depth or architecture.default_depth(data.crop_size),
        norm=network.norm,
        upsample=network.upsample,
        dropout=network.dropout,
    )
    _check_sizes(settings, spec)
    return spec


def _check_sizes(settings: TrainSettings, spec: GeneratorSpec) -> None:
    divisor, data = spec.size_divisor, settings.data
    for name, size in (("crop_size", data.crop_size), ("image_size", data.image_size)):
        if size is not None and size % divisor:
            near = max(divisor, round(size / divisor) * divisor)
            raise SettingsError(
                f"{name} {size} is not a multiple of {divisor}, which this generator needs",
                hint=f"use {near}, or a smaller depth",
                setting=name,
            )
    least = find_architecture(spec.architecture).least_divisor
    if settings.network.depth is None and divisor < least <= data.crop_size // 2:
        raise SettingsError(
            f"crop_size {data.crop_size} can be halved only {spec.depth} times, too few for a U-Net",
            hint=f"use {round(data.crop_size / least) * least}, or set depth",
            setting="crop_size",
        )

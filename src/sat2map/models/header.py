"""The header of a model file: its fields, their bounds, and the upgrade of older versions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sat2map.errors import ModelFileError
from sat2map.images.bands import Limits, default_names
from sat2map.images.palette import Palette
from sat2map.models.architectures.registry import find_architecture
from sat2map.models.architectures.spec import MAX_BANDS, GeneratorSpec
from sat2map.settings import Direction, InferenceMode

FORMAT_VERSION: Final = 2

# Metres per pixel: from microscopes of plants to weather satellites.
Gsd = Annotated[float, Field(ge=1e-4, le=1e5)]
Side = Annotated[int, Field(ge=1, le=1 << 15)]  # px; larger inputs in one piece fit into no memory


class BandSpec(BaseModel):
    """One band of the input.

    Attributes:
        name: Such as `red` or `nir`.
        low: The value that the network sees as -1, as what lies below.
        high: The value that the network sees as 1, as what lies above. Files of more than 8 bits become 256
            levels between the two; files of 8 bits are used as they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    name: str = Field(min_length=1, max_length=64)
    low: float = Field(0.0, ge=-1e9, le=1e9)
    high: float = Field(255.0, ge=-1e9, le=1e9)

    @model_validator(mode="after")
    def _is_a_range(self) -> BandSpec:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        return self


class ModelHeader(BaseModel):
    """What a model file says of itself; using it needs no setting that this answers.

    Attributes:
        format_version: Version of this header; older ones are upgraded when they are read.
        created_with: Version of sat2map that wrote the file.
        generator: The network.
        direction: Which side of the pairs was the input.
        weights_checksum: SHA-256 of all tensors (see `sat2map.models.checksum`), set by `save_model`; ""
            where the file has format version 1.
        bands: One entry per band of the input; by default red, green, blue or grey photos of 0 to 255.
        image_size: Side to which images were resized for the training (px); None: native pixels.
        source_scale: Pixels of the training files per pixel of the input, where images were resized.
        gsd: Metres per pixel of the input; None: unknown.
        gsd_range: Lowest and highest gsd at which the model was trained to work.
        max_untiled_size: Longest side that is translated in one piece (px); larger images are cut into tiles.
        inference_mode: `eval` uses running statistics and no dropout; `paper` the statistics of the batch and
            dropout, as the paper tests.
        palette: The map's classes and their colours, or None.
        temperature: Divides logits before the softmax, so that confidence is calibrated; changes no class.
        settings: The training's settings, without the paths.
        data_fingerprint: Hash of the training pairs.
        steps: Updates of the generator.
        scores: Validation scores of these weights.
        notes: Anything else, in words.
        licenses: Licence and attribution of each part that others made, by the part's name.
    """

    # A score may be infinite (PSNR of a perfect copy) or NaN, which plain JSON has no numbers for.
    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_inf_nan="strings", allow_inf_nan=False, defer_build=True
    )

    format_version: Literal[2] = FORMAT_VERSION
    created_with: str = Field("", max_length=100)
    generator: GeneratorSpec
    direction: Direction = "source-to-target"
    weights_checksum: str = Field("", pattern="^([0-9a-f]{64})?$")
    bands: tuple[BandSpec, ...] = Field((), max_length=MAX_BANDS)
    image_size: Side | None = 256
    source_scale: float | None = Field(None, ge=1e-3, le=1e3)
    gsd: Gsd | None = None
    gsd_range: tuple[Gsd, Gsd] | None = None
    max_untiled_size: Side = 1024
    inference_mode: InferenceMode = "eval"
    palette: Palette | None = None
    temperature: float = Field(1.0, ge=0.01, le=100)
    settings: dict[str, Any] = Field(default_factory=dict, max_length=1000)
    data_fingerprint: str = Field("", max_length=256)
    steps: int = Field(0, ge=0, le=10**12)
    scores: dict[str, Annotated[float, Field(allow_inf_nan=True)]] = Field(
        default_factory=dict, max_length=1000
    )
    notes: str = Field("", max_length=20_000)
    licenses: dict[str, str] = Field(default_factory=dict, max_length=100)

    @model_validator(mode="after")
    def _fits_together(self) -> ModelHeader:
        spec = self.generator
        if not self.bands:
            object.__setattr__(self, "bands", default_bands(spec.source_bands))  # the model is frozen
        if len(self.bands) != spec.source_bands:
            raise ValueError(f"bands has {len(self.bands)} entries for {spec.source_bands} source bands")
        if self.gsd_range is not None and self.gsd_range[0] > self.gsd_range[1]:
            raise ValueError(f"gsd_range runs from {self.gsd_range[0]:g} down to {self.gsd_range[1]:g}")
        if bool(spec.colours) != find_architecture(spec.architecture).gives_colours:
            raise ValueError(f"{spec.architecture} does not go with generator.colours = {spec.colours}")
        if spec.colours:
            drawn = sum(len(map_class.colours) for map_class in self.palette.classes) if self.palette else 0
            if drawn != spec.colours:
                raise ValueError(f"the palette has {drawn} colours, and the generator {spec.colours}")
        return self

    @property
    def limits(self) -> Limits | None:
        """Lowest and highest value of each band; None for photos of 8 bits."""
        limits = tuple((band.low, band.high) for band in self.bands)
        return None if set(limits) == {(0.0, 255.0)} else limits

    @property
    def typical_size(self) -> int:
        """Side of an image to try the model with (px)."""
        return self.image_size or 512


def default_bands(count: int, limits: Limits | None = None) -> tuple[BandSpec, ...]:
    """Return the bands of images of 8 bits, or of others with these limits."""
    pairs = limits or ((0.0, 255.0),) * count
    return tuple(
        BandSpec(name=name, low=low, high=high)
        for name, (low, high) in zip(default_names(count), pairs, strict=True)
    )


def parse_header(raw: str, path: Path) -> ModelHeader:
    """Read a header from its JSON, of this version or an older one.

    Raises:
        ModelFileError: It is damaged, of a newer version, or has values out of bounds.
    """
    try:
        values = json.loads(raw)
        if not isinstance(values, dict):
            raise ModelFileError(f"{path} has a damaged header: it is not a JSON object")
        return ModelHeader.model_validate_json(json.dumps(upgrade(values, path)))
    except ValidationError as error:
        from sat2map.settings import explain

        raise ModelFileError(f"{path} has a header that does not fit: {explain(error)[:200]}") from None
    except (ValueError, RecursionError) as error:  # not JSON, a number of 5,000 digits, 5,000 brackets
        raise ModelFileError(f"{path} has a damaged header: {error}") from None


def upgrade(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """Bring a raw header up to today's format version, one version at a time."""
    version = values.get("format_version", 0)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {str(version)[:20]}, newer than this sat2map reads",
            hint="upgrade sat2map",
        )
    for step in range(version, FORMAT_VERSION):
        if step not in UPGRADES:
            raise ModelFileError(f"{path} has format version {version}, which does not exist: it is damaged")
        values = UPGRADES[step](values)
    return values


def upgrade_1_to_2(values: dict[str, Any]) -> dict[str, Any]:
    """Rename what version 2 renamed, and give each band its own range.

    Version 1 had one range for all bands, of which nothing made use: pixels were always 0 to 255.
    """
    renamed = {"ground_sample_distance": "gsd", "whole_limit": "max_untiled_size"}
    removed = ("source_range", "source_dtype")
    values = {renamed.get(name, name): value for name, value in values.items() if name not in removed}
    return {**values, "format_version": 2}


# One function a format version: it takes the raw header of that version and returns that of the next.
UPGRADES: Final[dict[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {1: upgrade_1_to_2}

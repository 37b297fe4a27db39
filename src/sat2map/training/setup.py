"""What must be ready before the first step: data found and cached, networks built, all of it checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version

import torch

from sat2map.data.beside import gsd_beside, palette_beside
from sat2map.data.pair_cache import LEAST_NEAR, PairCache
from sat2map.data.stream import ShardStream
from sat2map.errors import DataError, SettingsError
from sat2map.images.palette import Palette
from sat2map.models.architectures.registry import find_architecture
from sat2map.models.architectures.spec import spec_of
from sat2map.models.model_file import ModelHeader, default_bands
from sat2map.runtime import pick_device, pick_training_precision
from sat2map.settings import TrainSettings, as_rgb_recipe, change, resolve_recipe
from sat2map.training.batches import Batches, class_frequencies
from sat2map.training.distributed import SINGLE_PROCESS, DistributedContext
from sat2map.training.init import PretrainedInit
from sat2map.training.networks import Networks, make_networks
from sat2map.training.open_data import Report, open_data
from sat2map.training.palette_tensors import PaletteTensors
from sat2map.training.pretrained import encoder_of, load_pretrained, resolve_pretrained
from sat2map.training.step import TrainStep

MAX_UNTILED_SIZE = 1024  # px; a fully convolutional generator translates up to this in one piece


@dataclass(frozen=True)
class Setup:
    """All that the loop works with, on the device."""

    settings: TrainSettings
    train: PairCache | ShardStream
    val: PairCache
    palette: Palette | None
    device: torch.device
    dtype: torch.dtype
    networks: Networks
    batches: Batches
    context: DistributedContext
    tensors: PaletteTensors | None
    header: ModelHeader
    notes: list[str] = field(default_factory=list)

    def make_step(self) -> TrainStep:
        """Return what makes one update."""
        return TrainStep(
            self.networks,
            self.settings.loss,
            self.settings.optimizer,
            device=self.device,
            dtype=self.dtype,
            palette=self.tensors,
            context=self.context,
        )


def set_up(
    settings: TrainSettings,
    init: PretrainedInit | None = None,
    context: DistributedContext = SINGLE_PROCESS,
    *,
    with_weights: bool = True,
    report: Report = lambda line: None,
) -> Setup:
    """Find and cache the data and build the networks.

    Args:
        settings: All of them.
        init: The generator to start from, whose network wins over that of the settings; None: from random or
            pretrained weights, as the settings say.
        context: The processes that train together.
        with_weights: Whether starting weights are needed; a checkpoint has newer ones.
        report: Called with a line for the user about what is being done.

    Raises:
        DataError: The data cannot be used.
        SettingsError: The settings do not fit the data, the machine or the generator to start from.
        ModelFileError: The weights of the generator to start from do not fit its header.
    """
    device = pick_device(settings.compute.device)
    dtype = pick_training_precision(settings.compute.precision, device)
    settings, notes = _resolve(settings, init)
    gsd = settings.data.gsd
    if settings.optimizer.accumulate > 1 and context.size > 1:
        raise SettingsError(
            "accumulate is for a single process: several already split the batch",
            hint="leave it at 1",
            setting="accumulate",
        )
    palette = Palette.load(settings.data.palette) if settings.data.draws_maps else None
    if palette is not None and settings.data.target_bands != 3:
        raise SettingsError(
            f"palette '{palette.name}' needs 3 target bands, not {settings.data.target_bands}",
            hint="set palette to none",
            setting="palette",
        )
    if settings.data.load_size is not None:  # else the crop is yet to be fitted to the images
        spec_of(settings)  # whose errors should not wait for the decoding
    with context.first_on_machine():
        data = open_data(settings, palette, init.limits if init else None, report)
    report(f"{len(data.train)} pairs to train on, {len(data.val)} to validate on; building the networks")
    settings = _fit_crop(settings, data.val, notes)
    has_colours = find_architecture(settings.network.generator).gives_colours
    if has_colours and palette is None:
        raise SettingsError(
            f"generator '{settings.network.generator}' tells the colours of a palette apart, and the target "
            "has none",
            hint="leave the generator at auto, or use unet",
            setting="generator",
        )
    if palette is not None and has_colours:
        _check_palette(data.val, palette)
    has_head = palette is not None and settings.loss.cross_entropy_weight and not has_colours
    spec = spec_of(
        settings,
        classes=len(palette.classes) if palette and has_head else 0,
        colours=len(palette.colours) if palette and has_colours else 0,
    )
    spec = init.fit_spec(spec) if init else spec
    networks = make_networks(settings, spec, device, dtype)
    encoder = encoder_of(settings)
    licenses = {"encoder": encoder.license} if encoder else {}
    if init:
        licenses = dict(init.licenses)
        init.load_into(networks, spec)
    elif encoder is not None and with_weights:
        load_pretrained(networks.generator, encoder, spec.source_bands)
        if networks.average is not None:
            networks.average.load_state_dict(networks.generator.state_dict())
    tensors = None
    if palette is not None:
        tensors = PaletteTensors.of(palette, class_frequencies(data.train, palette), settings.loss, device)
    if gsd is None and (stored := gsd_beside(settings.data.path)) is not None:
        gsd = round(stored * (data.source_scale or 1), 6)
        notes.append(f"the network's input has {gsd:g} m per pixel, as the pairs' table says")
    # A bottleneck of one pixel has seen one size only; translate in tiles of that size.
    one_pixel = spec.size_divisor >= settings.data.crop_size
    low, high = settings.data.scale_jitter
    header = ModelHeader(
        created_with=version("sat2map"),
        generator=spec,
        direction=settings.data.direction,
        bands=default_bands(spec.source_bands, data.how.limits),
        image_size=settings.data.image_size,
        source_scale=data.source_scale,
        max_untiled_size=settings.data.crop_size if one_pixel else MAX_UNTILED_SIZE,
        gsd=gsd,
        gsd_range=(gsd * low, gsd * high) if gsd else None,
        inference_mode="eval",
        palette=palette,
        settings=settings.model_dump(mode="json", exclude={"data": {"path"}, "output": {"run"}}),
        data_fingerprint=data.train.fingerprint,
        notes=init.describe(spec) if init else "",
        licenses=licenses,
    )
    return Setup(
        settings=settings,
        train=data.train,
        val=data.val,
        palette=palette,
        device=device,
        dtype=dtype,
        networks=networks,
        batches=Batches(
            data.train,
            data.how,
            settings.data,
            batch_size=settings.optimizer.batch_size,
            seed=settings.compute.seed,
            device=device,
            context=context,
        ),
        context=context,
        tensors=tensors,
        header=header,
        notes=[*notes, header.notes] if header.notes else notes,
    )


def _resolve(settings: TrainSettings, init: PretrainedInit | None) -> tuple[TrainSettings, list[str]]:
    """Decide everything that is `auto`, so that the run records what it did."""
    notes = []
    if settings.data.palette == "auto":
        found = palette_beside(settings.data.path)
        settings = change(settings, palette=str(found or "maps"))
        notes += [f"the map classes are those of {found}"] if found and settings.data.draws_maps else []
    if init:
        if settings.network.generator == "auto" and not init.spec.colours:
            settings = as_rgb_recipe(settings)
        settings = change(init.fit_settings(settings), pretrained="none")
    settings, about_recipe = resolve_recipe(settings)
    settings, about_encoder = resolve_pretrained(settings)
    return settings, [*notes, *(note for note in (about_recipe, about_encoder) if note)]


def _fit_crop(settings: TrainSettings, val: PairCache, notes: list[str]) -> TrainSettings:
    """Make the crop as small as images that are used as they are."""
    height, width = val.pixels.shape[1:3]
    crop, least = settings.data.crop_size, min(height, width)
    if settings.data.load_size is not None or crop <= least:
        return settings
    fitted = least // 32 * 32
    if fitted < 32:
        raise DataError(
            f"the pairs are {width}×{height} px a side: training needs 32 px or more",
            hint="use larger images, or set load_size and image_size",
            setting="load_size",
        )
    notes.append(f"the pairs are {width}×{height} px a side: crops of {fitted} px are used, not of {crop}")
    return change(settings, crop_size=fitted)


def _check_palette(val: PairCache, palette: Palette) -> None:
    """Check that the targets are drawn in the colours of the palette.

    Raises:
        SettingsError: They are not: a network that tells these colours apart would learn noise.
    """
    near = val.share_near(palette)
    if near < LEAST_NEAR:
        raise SettingsError(
            f"only {near:.0%} of the target pixels have a colour of palette '{palette.name}'",
            hint="learn a palette from your maps, or set it to none where the targets are photos",
            setting="palette",
        )


def smaller_step_hint(settings: TrainSettings) -> str:
    """Return which settings make a step need less memory, and their values."""
    return (
        f"lower batch_size (now {settings.optimizer.batch_size}), crop_size (now {settings.data.crop_size}) "
        f"or width (now {settings.network.width}), or raise accumulate (now {settings.optimizer.accumulate})"
    )

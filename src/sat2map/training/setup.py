"""Owns what must be ready before the first step: data found and cached, networks built, all of it checked."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from sat2map.data.cache import PairCache, open_cache
from sat2map.data.pairs import find_pairs, first_strays
from sat2map.data.shards import find_index
from sat2map.data.stream import ShardStream, open_shards
from sat2map.errors import DataError, SettingsError
from sat2map.images.palette import Palette
from sat2map.models.architectures.generators import count_parameters
from sat2map.models.architectures.spec import spec_of
from sat2map.models.model_file import ModelHeader
from sat2map.run_folder import refuse_used_folder
from sat2map.runtime import explain_out_of_memory, pick_device, pick_precision
from sat2map.settings import TrainSettings
from sat2map.training.batches import Batches, class_frequencies
from sat2map.training.distributed import ALONE, Team
from sat2map.training.init import Start, read_start
from sat2map.training.losses import class_weights
from sat2map.training.step import Networks, make_networks, make_step
from sat2map.training.threads import adapted_threads

WHOLE_LIMIT = 1024  # px; a fully convolutional generator translates up to this in one piece


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
    team: Team
    class_weights: torch.Tensor | None
    header: ModelHeader


def set_up(settings: TrainSettings, start: Start | None = None, team: Team = ALONE) -> Setup:
    """Find and cache the data and build the networks.

    Args:
        settings: All of them.
        start: The generator to start from, whose network wins over that of the settings; None for chance.
        team: The processes that train together.

    Raises:
        DataError: The data cannot be used.
        SettingsError: The settings do not fit the data, the machine or the generator to start from.
        ModelFileError: The weights of the generator to start from do not fit its header.
    """
    device = pick_device(settings.device)
    palette = Palette.load(settings.palette) if settings.draws_maps else None
    settings = start.fit_settings(settings) if start else settings
    spec = spec_of(settings, classes=len(palette.classes) if palette and settings.class_weight else 0)
    spec = start.fit_spec(spec) if start else spec
    if palette is not None and spec.target_bands != 3:
        raise SettingsError(
            f"palette '{palette.name}' needs 3 target bands, not {spec.target_bands}: set palette to 'none'"
        )
    with team.first_on_machine():
        train, val = _open_data(settings)
    networks = make_networks(settings, spec, device)
    if start:
        start.put_into(networks, spec)
    weights = None
    if palette is not None and (settings.l1_balance or settings.class_weight):
        frequencies = torch.tensor(class_frequencies(train, palette))
        weights = class_weights(frequencies, settings.l1_balance).to(device)
    # A bottleneck of one pixel has seen one size only; translate in pieces of that size.
    one_pixel = spec.size_divisor >= settings.crop_size
    header = ModelHeader(
        created_with=version("sat2map"),
        generator=spec,
        direction=settings.direction,
        image_size=settings.image_size,
        max_untiled_size=settings.crop_size if one_pixel else WHOLE_LIMIT,
        gsd=settings.ground_sample_distance,
        inference_mode="eval",
        palette=palette,
        settings=settings.model_dump(mode="json", exclude={"data", "run"}),
        data_fingerprint=train.fingerprint,
        notes=start.describe(spec) if start else "",
    )
    return Setup(
        settings=settings,
        train=train,
        val=val,
        palette=palette,
        device=device,
        dtype=pick_precision(settings.precision, device),
        networks=networks,
        batches=Batches(train, settings, palette, device, team),
        team=team,
        class_weights=weights,
        header=header,
    )


def _open_data(settings: TrainSettings) -> tuple[PairCache | ShardStream, PairCache]:
    """Return the pairs to train on and those to validate on."""
    bands = (settings.source_bands, settings.target_bands)
    index = find_index(settings.data)
    if index is not None:
        return open_shards(
            index,
            (settings.load_size, settings.image_size),
            direction=settings.direction,
            bands=bands,
            seed=settings.seed,
            workers=settings.workers,
        )
    splits = find_pairs(
        settings.data,
        group_column=settings.group_column,
        val_fraction=settings.val_fraction,
        seed=settings.seed,
    )
    if splits.strays:
        raise DataError(
            f"{first_strays(splits.strays)} has no partner: add it or move the file away; "
            f"'sat2map data check {settings.data}' lists all"
        )

    def cache(split: str, size: int) -> PairCache:
        return open_cache(
            splits[split], size, direction=settings.direction, bands=bands, workers=settings.workers
        )

    return cache("train", settings.load_size), cache("val", settings.image_size)


@dataclass(frozen=True)
class Estimate:
    """What a dry run finds out, without writing into the run folder.

    Attributes:
        pairs: Training and validation pairs.
        parameters: Of generator and discriminator.
        steps: In the whole run.
        step_seconds: Measured on the second of two batches.
        memory_bytes: Weights, gradients, Adam's moments and the average; on a GPU the peak measured.
    """

    pairs: tuple[int, int]
    parameters: tuple[int, int]
    steps: int
    step_seconds: float
    memory_bytes: int


def smaller_step_hint(settings: TrainSettings) -> str:
    """Return which settings make a step need less memory, and their values."""
    return (
        f"lower batch_size (now {settings.batch_size}), crop_size (now {settings.crop_size}) "
        f"or width (now {settings.width})"
    )


def dry_run(settings: TrainSettings, *, init_from: Path | None = None) -> Estimate:
    """Check all settings and data, make two steps, and estimate memory and time.

    Args:
        settings: All of them.
        init_from: As in `sat2map.training.loop.train`.

    Raises:
        Sat2MapError: Whatever would stop the training at its start.
    """
    refuse_used_folder(settings.run)
    setup = set_up(settings, read_start(init_from) if init_from else None)
    settings = setup.settings
    step = make_step(settings, setup.networks, setup.device, setup.dtype, setup.class_weights, setup.palette)
    with explain_out_of_memory(smaller_step_hint(settings)), adapted_threads(setup.device):
        for i in range(2):
            began = time.monotonic()
            losses = step(setup.batches(i), i)
            float(losses["g"])  # wait for the device
            seconds = time.monotonic() - began
    generator, discriminator = (
        count_parameters(network) for network in (setup.networks.generator, setup.networks.discriminator)
    )
    copies = 4 * (generator + discriminator) + (generator if settings.ema else 0)
    on_gpu = setup.device.type == "cuda"
    return Estimate(
        pairs=(len(setup.train), len(setup.val)),
        parameters=(generator, discriminator),
        steps=settings.epochs * setup.batches.per_epoch,
        step_seconds=seconds,
        memory_bytes=torch.cuda.max_memory_allocated() if on_gpu else 4 * copies,
    )

"""The plan of a large job: tiles, hours, memory, storage and failures, from measured speeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sat2map.errors import SettingsError

if TYPE_CHECKING:  # both need extras or time, and what is said here does not
    from sat2map.geo.job_speeds import JobSpeeds
    from sat2map.inference.tiling import Grid

STRIPS_IN_MEMORY = 3  # rows of tiles: one read ahead, one at work, one being written
CUT = 8192  # px; side of the windows that large rasters are cut into
LINK_MBIT = 100.0  # Mbit/s, where the user does not say
VARIES = (0.85, 1.2)  # beyond what the measurement saw: other ground, a warmer machine


@dataclass(frozen=True)
class Stage:
    """One thing that a job spends time on.

    Its hours are those of the whole job, if it were the only one.
    """

    name: str
    hours: float


@dataclass(frozen=True)
class JobPlan:
    """What a job takes.

    Attributes:
        pixels: Pixels of the source.
        tiles: Runs of the network.
        windows: Parts of `CUT` px a side that can be done apart.
        stages: From the slowest, which is the bottleneck.
        hours: How long it takes. Fetching goes on beside the rest.
        range_hours: Between which times it will lie.
        machine_hours: Hours of one machine, times machines.
        memory_bytes: Of a worker, without the network's own.
        source_bytes: To be read.
        map_bytes: To be written; half as much again while windows are assembled into one file.
        price: Of all machine hours, or None.
    """

    pixels: float
    tiles: int
    windows: int
    stages: tuple[Stage, ...]
    hours: float
    range_hours: tuple[float, float]
    machine_hours: float
    memory_bytes: float
    source_bytes: float
    map_bytes: float
    price: float | None


def plan_job(
    area_km2: float,
    speeds: JobSpeeds,
    grid: Grid,
    *,
    machines: int = 1,
    link_mbit: float = LINK_MBIT,
    price_hour: float | None = None,
) -> JobPlan:
    """Estimate what a job takes.

    Every pixel of the source is read and every pixel of the map is written, but the network runs at the
    resolution of the model: a source of 0.3 m has nine times the pixels that a model of 0.9 m sees.

    Args:
        area_km2: Area (km²); its shape is taken to be square.
        speeds: Of each machine, for sources of the job's gsd.
        grid: How the network's tiles lie.
        machines: How many machines.
        link_mbit: Speed at which each machine gets its source (Mbit/s).
        price_hour: Price of a machine for an hour, in any currency.

    Raises:
        SettingsError: A number is not positive.
    """
    for name, value in {"area_km2": area_km2, "machines": machines, "mbit": link_mbit}.items():
        if not 0 < value < math.inf:
            raise SettingsError(f"{name} is {value:g}, but it must be more than 0", setting=name)
    pixels = area_km2 * 1e6 / speeds.gsd**2
    windows = math.ceil(pixels / CUT**2)
    seen = speeds.gsd / speeds.runs_at  # px of the network per px of the source
    if windows == 1:
        tiles = len(grid.spans(max(1, math.ceil(math.sqrt(pixels) * seen)))) ** 2
    else:  # a window's outer tiles are run for their neighbours too
        tiles = math.ceil(pixels / CUT**2 * (CUT * seen / grid.stride + 1) ** 2)
    stages = [
        Stage("fetch", pixels * speeds.source_bytes / (link_mbit * 1e6 / 8) / machines / 3600),
        Stage("network", tiles * speeds.tile_seconds / machines / 3600),
        Stage("reading, drawing and writing", pixels * speeds.pixel_seconds / machines / 3600),
    ]
    fetch, network, rest = (stage.hours for stage in stages)
    hours = max(fetch, network, rest) if speeds.on_gpu else max(fetch, network + rest)
    side = min(CUT, math.ceil(math.sqrt(pixels)))
    return JobPlan(
        pixels=pixels,
        tiles=tiles,
        windows=windows,
        stages=tuple(sorted(stages, key=lambda stage: -stage.hours)),
        hours=hours,
        range_hours=(hours * speeds.spread[0] * VARIES[0], hours * speeds.spread[1] * VARIES[1]),
        machine_hours=hours * machines,
        # A strip is as wide as a window: its source and mask in bytes, and what is blended in floats.
        memory_bytes=STRIPS_IN_MEMORY * side * grid.tile * (3 + 1 + 4 * 3),
        source_bytes=pixels * speeds.source_bytes,
        map_bytes=pixels * speeds.map_bytes,
        price=None if price_hour is None else hours * machines * price_hour,
    )


@dataclass(frozen=True)
class Failures:
    """What breaks during a job, and what that costs.

    Lost hours are machine hours of work that is done again.
    """

    machines_lost: float
    lost_hours: float


def expect_failures(job: JobPlan, hours_between: float, restart_hours: float = 0.05) -> Failures:
    """Return what to expect of machines that are lost at random.

    A machine takes the unfinished window with it: on average half of one, and the time of a restart. Finished
    windows are kept. `hours_between` is the mean time of one machine between two losses.
    """
    lost = job.machine_hours / hours_between
    return Failures(lost, lost * (job.machine_hours / job.windows / 2 + restart_hours))


def describe_plan(job: JobPlan, machines: int = 1) -> str:
    """Say in words what a job takes, a line a fact."""
    first, second = job.stages[:2]
    low, high = job.range_hours
    stored = (
        f"{describe_bytes(job.source_bytes)} of source (as JPEG), {describe_bytes(job.map_bytes)} of maps"
    )
    facts = {
        "area": f"{job.pixels / 1e6:,.0f} million px: {job.tiles:,} tiles, "
        f"{job.windows:,} windows of {CUT} px",
        "time": f"{describe_hours(low)} to {describe_hours(high)} on {machines:,} machine"
        f"{'s' if machines > 1 else ''}; about {job.machine_hours:,.1f} machine hours",
        "bottleneck": f"{first.name}; next {second.name}, {first.hours / second.hours:.1f} times faster",
        "stages": "; ".join(f"{stage.name} {describe_hours(stage.hours)}" for stage in job.stages),
        "memory": f"{job.memory_bytes / 2**20:,.0f} MiB a worker, beside the network's own",
        "storage": stored,
        "price": f"{job.price:,.2f}" if job.price is not None else "",
        "drivers": "area / gsd²; the model's width and depth; machines, while they are the bottleneck",
    }
    return "\n".join(f"{name + ':':<12} {fact}" for name, fact in facts.items() if fact)


def describe_hours(hours: float) -> str:
    """Return a time in the unit that suits it, such as `12.0 min`, `5.5 h` or `120 days`."""
    if hours < 1:
        return f"{hours * 60:.1f} min"
    return f"{hours:,.1f} h" if hours < 72 else f"{hours / 24:,.0f} days"


def describe_bytes(count: float) -> str:
    """Write a number of bytes with its unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"

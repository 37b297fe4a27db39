"""The plan of a large job: tiles, hours, memory and storage, from measured speeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sat2map.errors import SettingsError
from sat2map.inference.speeds import Speeds
from sat2map.inference.tiling import Grid

STRIPS_IN_MEMORY = 3  # rows of tiles: one read ahead, one at work, one being written
COARSEST = 4.0  # a source this many times coarser than the model is translated at its own resolution
CUT = 8192  # px; side of the windows that large rasters are cut into
LINK_MBIT = 100.0  # Mbit/s, where the user does not say


@dataclass(frozen=True)
class Stage:
    """One thing that a job spends time on.

    Attributes:
        name: `fetch`, `decode`, `inference` or `write`.
        rate: Pixels a second, of all machines.
        hours: For the whole job, if it were the only one.
    """

    name: str
    rate: float
    hours: float


@dataclass(frozen=True)
class JobPlan:
    """What a job takes.

    Attributes:
        pixels: Pixels of the source.
        tiles: Runs of the network.
        windows: Parts of `CUT` px a side that can be done apart.
        stages: From the slowest, which is the bottleneck.
        hours: How long it takes. Fetching runs beside the rest; of that, what runs on the same cores adds
            up, and a GPU's part does not.
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
    machine_hours: float
    memory_bytes: float
    source_bytes: float
    map_bytes: float
    price: float | None


def plan_job(
    area_km2: float,
    ground_sample_distance: float,
    speeds: Speeds,
    grid: Grid,
    *,
    model_gsd: float | None = None,
    machines: int = 1,
    link_mbit: float = LINK_MBIT,
    price_hour: float | None = None,
) -> JobPlan:
    """Estimate what a job takes.

    Every pixel of the source is read and every pixel of the map is written, but the network runs at the
    resolution of the model: a source of 0.3 m has 49 times the pixels that a model of 2.1 m sees.

    Args:
        area_km2: Area (km²).
        ground_sample_distance: Metres per pixel of the source.
        speeds: Of each machine.
        grid: How the network's tiles lie.
        model_gsd: Metres per pixel at which the model runs; None: the source's.
        machines: How many machines.
        link_mbit: Speed at which each machine gets its source (Mbit/s).
        price_hour: Price of a machine for an hour, in any currency.

    Raises:
        SettingsError: A number is not positive.
    """
    numbers = {"area_km2": area_km2, "gsd": ground_sample_distance, "machines": machines, "mbit": link_mbit}
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise SettingsError(f"{name} is {value:g}, but it must be more than 0", setting=name)
    pixels = area_km2 * 1e6 / ground_sample_distance**2
    windows = math.ceil(pixels / CUT**2)
    # Far coarser sources are translated as they are.
    runs_at = ground_sample_distance
    if model_gsd is not None and ground_sample_distance <= COARSEST * model_gsd:
        runs_at = model_gsd
    seen = (ground_sample_distance / runs_at) ** 2  # pixels that the network sees per pixel of the source
    # A window's outer tiles are run for their neighbours too.
    again = (1 + grid.tile / (CUT * math.sqrt(seen))) ** 2 if windows > 1 else 1.0
    rates = {
        "fetch": link_mbit * 1e6 / 8 / speeds.source_bytes,
        "decode": speeds.decode,
        "inference": speeds.inference / (again * seen),
        "write": speeds.write,
    }
    stages = [Stage(name, rate * machines, pixels / rate / machines / 3600) for name, rate in rates.items()]
    fetch, decode, inference, write = (stage.hours for stage in stages)
    hours = max(fetch, inference, decode + write) if speeds.on_gpu else max(fetch, decode + inference + write)
    side = min(CUT, math.ceil(math.sqrt(pixels)))
    return JobPlan(
        pixels=pixels,
        tiles=math.ceil(pixels * seen * again / grid.stride**2),
        windows=windows,
        stages=tuple(sorted(stages, key=lambda stage: -stage.hours)),
        hours=hours,
        machine_hours=hours * machines,
        # A strip is as wide as a window: its source and mask in bytes, and what is blended in floats.
        memory_bytes=STRIPS_IN_MEMORY * side * grid.tile * (3 + 1 + 4 * 3),
        source_bytes=pixels * speeds.source_bytes,
        map_bytes=pixels * speeds.map_bytes,
        price=None if price_hour is None else hours * machines * price_hour,
    )


def describe_plan(job: JobPlan, machines: int = 1) -> str:
    """Say in words what a job takes, a line a fact."""
    first, second = job.stages[:2]
    facts = {
        "area": f"{job.pixels / 1e6:,.0f} million px: {job.tiles:,} tiles, "
        f"{job.windows:,} windows of {CUT} px",
        "time": f"{describe_hours(job.hours)} on {machines:,} machine{'s' if machines > 1 else ''}: "
        f"{job.machine_hours:,.1f} machine hours",
        "bottleneck": f"{first.name}; next {second.name}, {first.hours / second.hours:.1f} times faster",
        "stages": ", ".join(f"{stage.name} {describe_hours(stage.hours)}" for stage in job.stages),
        "memory": f"{job.memory_bytes / 2**20:,.0f} MiB a worker, beside the network's own",
        "storage": f"{_bytes(job.source_bytes)} of source (as JPEG), {_bytes(job.map_bytes)} of maps",
        "price": f"{job.price:,.2f}" if job.price is not None else "",
        "drivers": "area / gsd²; the model's width and depth; machines, while inference is the bottleneck",
    }
    return "\n".join(f"{name + ':':<12} {fact}" for name, fact in facts.items() if fact)


def describe_hours(hours: float) -> str:
    """Return a time in the unit that suits it, such as `12.0 min`, `5.5 h` or `120 days`."""
    if hours < 1:
        return f"{hours * 60:.1f} min"
    return f"{hours:,.1f} h" if hours < 72 else f"{hours / 24:,.0f} days"


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"

"""The command `plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sat2map.cli.flags import MAX_GSD, MIN_GSD, ModelFlag, between
from sat2map.cli.terminal import counted, working
from sat2map.extras import require_geo

if TYPE_CHECKING:
    from sat2map.geo.job_speeds import JobSpeeds


def plan(
    *,
    area_km2: Annotated[float, Parameter(validator=between(1e-6, 1e9))],
    gsd: Annotated[float, Parameter(validator=between(MIN_GSD, MAX_GSD))],
    machine: str = "this",
    machines: Annotated[int, Parameter(validator=between(1, 1_000_000))] = 1,
    model: ModelFlag = None,
    mbit: Annotated[float, Parameter(validator=between(0.001, 1e6))] = 100.0,
    price_hour: Annotated[float | None, Parameter(validator=between(0, 1e6))] = None,
) -> None:
    """Estimate what translating an area takes: tiles, hours, memory, storage, and the bottleneck.

    This machine translates a drawn raster of that resolution three times, which takes some seconds; the rest
    is arithmetic.

    Args:
        area_km2: Area (km²).
        gsd: Metres per pixel of the source.
        machine: this, or 4-cores, 16-cores, 64-cores: this one's speed in proportion to the cores.
        machines: Number of machines.
        mbit: Speed at which each machine gets the source (Mbit/s).
        price_hour: Price of a machine for an hour, in any currency.

    Examples:
        sat2map plan --area-km2 1000 --gsd 0.5
        sat2map plan --area-km2 250000 --gsd 0.3 --machine 16-cores --machines 20 --price-hour 0.8
    """
    require_geo("plan")
    with working("measuring the speed of this machine"):
        from sat2map.geo.job_speeds import measure_job, pick_machine  # which takes about a second
        from sat2map.inference import Translator
        from sat2map.plan import describe_plan, plan_job

        translator = Translator.open(model)
        here = measure_job(translator, gsd)
    speeds = pick_machine(machine, here)
    job = plan_job(
        area_km2, speeds, translator.grid, machines=machines, link_mbit=mbit, price_hour=price_hour
    )
    print(f"measured:    {here.engine}, {counted(here.cores, 'core')}: {_rates(here)}")
    if machine != "this":
        print(f"arithmetic:  {machine}: {_rates(speeds)}, in proportion to its cores")
    print(describe_plan(job, machines))


def _rates(speeds: JobSpeeds) -> str:
    return (
        f"{1 / speeds.tile_seconds:.2f} tiles/s at {speeds.runs_at:g} m; reading, drawing and writing "
        f"{1e-6 / speeds.pixel_seconds:.2f} million px/s at {speeds.gsd:g} m"
    )

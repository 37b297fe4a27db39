"""The command `plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sat2map.cli.flags import MAX_GSD, MIN_GSD, ModelFlag, between
from sat2map.cli.terminal import counted, working

if TYPE_CHECKING:
    from sat2map.inference.speeds import Speeds


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

    The speed of this machine is measured for some seconds; the rest is arithmetic, and is marked as such.

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
    from sat2map.inference import Translator
    from sat2map.inference.speeds import measure, pick_machine
    from sat2map.plan import describe_plan, plan_job

    with working("measuring the speed of this machine"):
        translator = Translator.open(model)
        here = measure(translator)
    speeds = pick_machine(machine, here)
    job = plan_job(
        area_km2,
        gsd,
        speeds,
        translator.grid,
        model_gsd=translator.header.gsd,
        machines=machines,
        link_mbit=mbit,
        price_hour=price_hour,
    )
    print(f"measured:    {here.engine}, {counted(here.cores, 'core')}: {_stages_of(here)} million px/s")
    if machine != "this":
        print(f"arithmetic:  {machine}: {_stages_of(speeds)} million px/s, in proportion to its cores")
    print(describe_plan(job, machines))


def _stages_of(speeds: Speeds) -> str:
    return ", ".join(f"{name} {getattr(speeds, name) / 1e6:.2f}" for name in ("decode", "inference", "write"))

"""The command `plan`."""

from __future__ import annotations

from pathlib import Path

from sat2map.inference import Translator
from sat2map.inference.speeds import Speeds, measure, pick_machine
from sat2map.plan import LINK_MBIT, describe_plan, plan_job


def plan(
    *,
    area_km2: float,
    gsd: float,
    machine: str = "this",
    machines: int = 1,
    model: Path | None = None,
    mbit: float = LINK_MBIT,
    price_hour: float | None = None,
) -> None:
    """Say what translating an area takes: tiles, hours, memory, storage, and what decides them.

    This machine is measured for some seconds; the rest is arithmetic, and says so.

    Args:
        area_km2: Area (km²).
        gsd: Ground sample distance of the source (metres a pixel).
        machine: this, or 4-cores, 16-cores, 64-cores: this one's speed in proportion to the cores.
        machines: How many of them.
        model: Model file; none: the one that comes with the package.
        mbit: Speed at which each machine gets the source (Mbit/s).
        price_hour: Price of a machine for an hour, in any currency.
    """
    translator = Translator.open(model)
    here = measure(translator)
    speeds = pick_machine(machine, here)
    job = plan_job(
        area_km2,
        gsd,
        speeds,
        translator.grid,
        machines=machines,
        link_mbit=mbit,
        price_hour=price_hour,
    )
    print(f"measured:    {here.engine}, {here.cores} cores: {_stages_of(here)} million px/s")
    if machine != "this":
        print(f"arithmetic:  {machine}: {_stages_of(speeds)} million px/s, in proportion to its cores")
    print(describe_plan(job, machines))


def _stages_of(speeds: Speeds) -> str:
    return ", ".join(f"{name} {getattr(speeds, name) / 1e6:.2f}" for name in ("decode", "inference", "write"))

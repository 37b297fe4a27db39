"""Writes the tables of docs/scale.md from docs/scale.json, which `python -m benchmarks.plan --json` measures.

Run it as `python docs/make_scale.py`; with `--check` it only says whether the page is up to date.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from sat2map.geo.job_speeds import JobSpeeds
from sat2map.inference.tiling import Grid
from sat2map.plan import describe_bytes, describe_hours, expect_failures, plan_job

DOCS = Path(__file__).parent
BLOCK = re.compile(r"(<!-- scale: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
AREAS = {"a city (Berlin)": 891, "a country (Germany)": 357_600, "the world's land": 150_000_000}  # km²
MACHINES = 1000
HOURS_BETWEEN_LOSSES = 500.0
CORE_HOUR, TERABYTE_MONTH = 0.05, 20.0


def blocks(measured: dict[str, Any]) -> dict[str, str]:
    """Return the text of each block by its name."""
    given = measured["speeds"]
    grid = Grid(**measured["grid"])
    speeds = JobSpeeds(**{**given, "spread": tuple(given["spread"])})
    return {"check": check(measured, speeds), "areas": areas(speeds, grid), "planet": planet(speeds, grid)}


def check(measured: dict[str, Any], speeds: JobSpeeds) -> str:
    """Return predicted and real times."""
    lines = ["| raster | predicted | range | measured | measured / predicted |", "|---|--:|--:|--:|--:|"]
    for row in measured["rows"]:
        low, high = row["range"]
        ratio = row["measured"] / row["predicted"]
        lines.append(
            f"| {row['side']:,}² px of {speeds.gsd:g} m | {row['predicted']:.0f} s "
            f"| {low:.0f} to {high:.0f} s | {row['measured']:.0f} s | {ratio:.2f} |"
        )
    about = (
        f"({measured['machine']['processor']}, {speeds.engine}, {measured['date']}{measured.get('load', '')})"
    )
    return "\n".join([*lines, "", about])


def areas(speeds: JobSpeeds, grid: Grid) -> str:
    """Return what areas take at the gsd that was measured."""
    lines = [
        f"| at {speeds.gsd:g} m | area | pixels | tiles | windows | on one machine | bottleneck |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for name, area in AREAS.items():
        job = plan_job(area, speeds, grid)
        lines.append(
            f"| {name} | {area:,} km² | {job.pixels:.3g} | {job.tiles:,} | {job.windows:,} | "
            f"{describe_hours(job.hours)} | {job.stages[0].name} |"
        )
    return "\n".join(lines)


def planet(speeds: JobSpeeds, grid: Grid) -> str:
    """Return what the land of the Earth takes at 0.6 m."""
    # At another gsd the network sees as much ground, and all else has fewer pixels.
    at = JobSpeeds(**{**vars(speeds), "gsd": 0.6})
    job = plan_job(AREAS["the world's land"], at, grid, machines=MACHINES, link_mbit=1000)
    failures = expect_failures(job, HOURS_BETWEEN_LOSSES)
    low, high = job.range_hours
    lost = failures.lost_hours / job.machine_hours
    rows = {
        "pixels": f"{job.pixels:.3g}",
        "tiles": f"{job.tiles:,}",
        "windows": f"{job.windows:,}",
        "time": f"{describe_hours(low)} to {describe_hours(high)}",
        "machine hours": f"{job.machine_hours:,.0f} ({speeds.cores} cores each)",
        "bottleneck": job.stages[0].name,
        "source to fetch": describe_bytes(job.source_bytes),
        "maps to store": describe_bytes(job.map_bytes),
        "computing": f"{job.machine_hours * speeds.cores * CORE_HOUR:,.0f}",
        "storage a month": f"{job.map_bytes / 1e12 * TERABYTE_MONTH:,.0f}",
        "machines lost": f"{failures.machines_lost:,.0f}",
        "work done again": f"{failures.lost_hours:,.0f} machine hours, {lost:.2%} of all",
    }
    return "\n".join(["| | |", "|---|--:|", *(f"| {name} | {value} |" for name, value in rows.items())])


def main() -> None:
    """Write the page, or check it."""
    page = DOCS / "scale.md"
    texts = blocks(json.loads((DOCS / "scale.json").read_text("utf-8")))
    before = page.read_text("utf-8")
    after = BLOCK.sub(lambda found: f"{found[1]}{texts[found[2]]}\n{found[3]}", before)
    if "--check" in sys.argv:
        sys.exit(0 if before == after else f"{page} is out of date: run make docs")
    page.write_text(after, "utf-8")


if __name__ == "__main__":
    main()

"""Writes the tables of docs/scale.md from docs/scale.json, which `benchmarks.plan` and `.scale` measure.

Run it as `python docs/make_scale.py`; with `--check` it only says whether the page is up to date.
"""

from __future__ import annotations

import json
import math
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
# Inputs, none of them measured: prices of an example, and how often machines are lost.
HOURS_BETWEEN_LOSSES = (500.0, 20.0)
RESTART_HOURS = 0.05
CORE_HOUR, SPOT = 0.05, 0.3  # and the share of it that a spot machine costs
TERABYTE_MONTH, EGRESS = 20.0, 90.0  # for a TB
PUT_MILLION, GET_MILLION = 5.0, 0.4
LIST_SECONDS = 0.1  # for 1,000 objects
# Counted: bytes of a line, bytes of memory, requests of a raster of 8,192 px at 0.6 m.
JOB_WINDOWS, LINES = 100_000, 1000
RECORD_BYTES, WINDOW_MEMORY = 532, 1523
WINDOW_GETS = 134


def blocks(measured: dict[str, Any]) -> dict[str, str]:
    """Return the text of each block by its name."""
    given = measured["speeds"]
    grid = Grid(**measured["grid"])
    speeds = JobSpeeds(**{**given, "spread": tuple(given["spread"])})
    return {
        "check": check(measured, speeds),
        "areas": areas(speeds, grid),
        "planet": planet(speeds, grid),
        "ray": ray(measured.get("ray")),
    }


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
    low, high = job.range_hours
    jobs = math.ceil(job.windows / JOB_WINDOWS)
    manifests = math.ceil(job.windows / LINES)
    objects = job.windows + manifests + 4 * jobs  # job.json, SHA256SUMS, a VRT and what failed
    listing = (JOB_WINDOWS + JOB_WINDOWS / LINES) / 1000 * LIST_SECONDS
    puts, gets = 2 * job.windows / 1e6, job.windows * WINDOW_GETS / 1e6
    computing = job.machine_hours * speeds.cores * CORE_HOUR
    storage = job.map_bytes / 1e12 * TERABYTE_MONTH
    requests = puts * PUT_MILLION + gets * GET_MILLION
    rows = {
        "pixels": f"{job.pixels:.3g}",
        "tiles": f"{job.tiles:,}",
        "windows": f"{job.windows:,}, of {describe_bytes(job.map_bytes / job.windows)} each",
        "time": f"{describe_hours(low)} to {describe_hours(high)}",
        "machine hours": f"{job.machine_hours:,.0f} ({speeds.cores} cores each)",
        "bottleneck": job.stages[0].name,
        "source to fetch": describe_bytes(job.source_bytes),
        "maps to store": describe_bytes(job.map_bytes),
        f"jobs of {JOB_WINDOWS:,} windows": f"{jobs}",
        "objects": f"{objects:,}, {manifests:,} of them manifests",
        "manifests": f"{describe_bytes(job.windows * RECORD_BYTES)}; "
        f"{describe_bytes(JOB_WINDOWS * RECORD_BYTES)} for a job",
        "to list a job": f"{listing:,.0f} s; all at once {listing * jobs / 60:,.0f} min",
        "memory of a process for plan and manifest of a job": describe_bytes(JOB_WINDOWS * WINDOW_MEMORY),
        "requests": f"{puts:,.1f} million PUT, {gets:,.0f} million GET",
        "computing": f"{computing:,.0f}; on spot machines {computing * SPOT:,.0f}",
        "requests, price": f"{requests:,.0f}",
        "storage a month": f"{storage:,.0f}",
        "to fetch all maps out of the store once": f"{job.map_bytes / 1e12 * EGRESS:,.0f}",
        "in all, with a month": f"{computing + requests + storage:,.0f}; "
        f"on spot machines {computing * SPOT + requests + storage:,.0f}",
    }
    for hours in HOURS_BETWEEN_LOSSES:
        failures = expect_failures(job, hours, RESTART_HOURS + listing / 3600)
        lost = failures.lost_hours / job.machine_hours
        rows[f"machines lost, one every {hours:g} hours"] = (
            f"{failures.machines_lost:,.0f}; done again: {failures.lost_hours:,.0f} machine hours, {lost:.2%}"
        )
    return "\n".join(["| | |", "|---|--:|", *(f"| {name} | {value} |" for name, value in rows.items())])


def ray(measured: dict[str, Any] | None) -> str:
    """Return what Ray Data costs."""
    if measured is None:
        return "Not measured yet: `python -m benchmarks.scale --only ray --json docs/scale.json`."
    lines = [
        "| | workers | tasks | a task | tasks a second | overhead | a task's | start, end |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in measured["rows"]:
        rate = row["tasks"] / row["tasks_seconds"]
        lines.append(
            f"| {row['name']} | {row['workers']} | {row['tasks']} | {row['task_seconds']:.2f} s | {rate:.2f} "
            f"| {row['overhead']:.1%} | {1e3 * row['per_task']:.0f} ms "
            f"| {row['start']:.1f} s, {row['end']:.1f} s |"
        )
    machine = measured["machine"]
    about = f"({machine['processor']}, {machine['threads']} threads, {measured['date']})"
    return "\n".join([*lines, "", about])


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

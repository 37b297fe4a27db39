"""Kills commands with SIGKILL at random moments, resumes them, and compares with an undisturbed run.

    python -m benchmarks.kills --kills 50            # of each: rasters, bulk jobs, trainings, service jobs
    python -m benchmarks.kills --kills 3 --only raster bulk --seed 7

Only the main process is killed, as by the system when memory runs out: its children must end by themselves.
A kill is *right* where they do, the resumed command ends with code 0, its outputs are those of the
undisturbed run, and nothing lies beside them, in the folder of temporary files or in the cache. Files are
compared byte for byte, model files by their tensors, since their headers name the run. A job of the service
that was interrupted must say so, and give the same result when it is sent again (`killed_jobs.py`). It exits
with 1 if a kill is wrong, and names the moment. A kill that comes when all is done is compared, too, and
drawn again, within the time that the command takes by then. A seed repeats the draw.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.killed_jobs import JobScenario
from benchmarks.killed_processes import Scenario
from benchmarks.machine import describe_machine
from sat2map.files import atomic_write_text
from sat2map.geo.job_speeds import draw_raster
from sat2map.runtime.cpu import processor
from sat2map.synthetic.towns import write_towns

RASTER = 1200  # px; nine tiles of the network
SHEETS = 2
LATE = ("ended before", "done")  # what a kill met that met nothing: of a process, of a job
GSD = 0.9  # m: the scale of the bundled model, which therefore sees every pixel


class RasterScenario(Scenario):
    """`translate` of one raster."""

    def start(self, folder: Path) -> list[str]:
        """Return the arguments that begin in a folder."""
        return ["translate", str(self.data / "large.tif"), "--output", str(folder / "map.tif")]


class BulkScenario(Scenario):
    """`bulk` of several rasters, which are sheets of no common image."""

    def start(self, folder: Path) -> list[str]:
        """Return the arguments that begin in a folder."""
        return [
            "bulk",
            str(self.data / "rasters" / "*.tif"),
            "--output",
            str(folder / "maps"),
            "--cut",
            "512",
        ]

    def counts(self, path: Path) -> bool:
        """Whether a file is the same in each run."""
        return path.suffix != ".jsonl"


class TrainScenario(Scenario):
    """`train` of a tiny network."""

    def start(self, folder: Path) -> list[str]:
        """Return the arguments that begin in a folder."""
        words = ["--epochs", "3", "--device", "cpu", "--precision", "fp32", "--checkpoint-minutes", "0.02"]
        return ["train", "tiny", "--data", str(self.data / "pairs"), "--run", str(folder / "run"), *words]

    def resume(self, folder: Path) -> list[str]:
        """Return the arguments that continue."""
        run_folder = folder / "run"
        if (run_folder / "checkpoint.safetensors").exists():
            return ["train", "--resume", str(run_folder)]
        shutil.rmtree(run_folder, ignore_errors=True)  # killed before there was anything to resume
        return self.start(folder)

    def counts(self, path: Path) -> bool:
        """Whether a file is the same in each run."""
        # Times of day are in these; the networks are in the others.
        return path.suffix not in (".jsonl", ".html", ".json") and "tensorboard" not in path.parts


SCENARIOS: dict[str, Callable[[str, Path], Scenario]] = {
    "raster": RasterScenario,
    "bulk": BulkScenario,
    "training": TrainScenario,
    "jobs": JobScenario,
}


def main() -> None:
    """Kill, compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="kills of each kind")
    parser.add_argument("--only", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        make_data(data, given.only)
        for kind in given.only:
            rows.append(kill_often(SCENARIOS[kind](kind, data), Path(name), given.kills, given.seed))
            found = {"machine": describe_machine(processor().threads), "seed": given.seed, "rows": rows}
            if given.json:  # after each kind: the whole takes long
                given.json.parent.mkdir(parents=True, exist_ok=True)
                atomic_write_text(given.json, json.dumps(found, indent=1) + "\n")
    print(to_markdown(found))
    sys.exit(any(row["wrong"] for row in rows))


def to_markdown(found: dict[str, Any]) -> str:
    """Return the figures as a table."""
    machine = found["machine"]
    lines = [
        f"{machine['processor'].partition(' (')[0]}, {machine['date']}, seed {found['seed']}.",
        "",
        "| killed | kills | right | seconds undisturbed | what the kills met | wrong |",
        "|---|--:|--:|--:|---|---|",
    ]
    for row in found["rows"]:
        how = ", ".join(f"{count} {what}" for what, count in row["how"].items())
        right, wrong = row["kills"] - len(row["wrong"]), "; ".join(row["wrong"]) or "-"
        lines.append(f"| {row['kind']} | {row['kills']} | {right} | {row['seconds']} | {how} | {wrong} |")
    return "\n".join(lines) + "\n"


def kill_often(scenario: Scenario, folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Return how long the undisturbed run took, what kills met, and what was wrong, a sentence a kill."""
    whole = folder / scenario.name
    whole.mkdir()
    took, expected = scenario.undisturbed(whole)
    moments, met = random.Random(seed), Counter[str]()
    wrong: list[str] = []
    number = late = 0
    try:
        while number < kills:
            moment = moments.uniform(0, took)
            here = folder / f"{scenario.name}-{number}-{late}"
            here.mkdir()
            how, problem = strike(scenario, here, moment, expected)
            if problem:
                wrong.append(f"{moment:.2f} of {took:.2f} s: {problem}")
            shutil.rmtree(here)
            if how in LATE and late < kills:
                # It takes less time than before, as other programs have ended: the kill is drawn again.
                late += 1
                here.mkdir()
                took, _ = scenario.undisturbed(here)
                shutil.rmtree(here)
                continue
            met[how] += 1
            number += 1
            said = f"{scenario.name} {number} of {kills}: {len(wrong)} wrong {wrong[-1:] or ''}"
            print(said, file=sys.stderr, flush=True)
    finally:
        scenario.close()
    return {
        "kind": scenario.name,
        "kills": kills,
        "seconds": round(took, 1),
        "how": dict(sorted(met.items())) | ({"came too late, and were drawn again": late} if late else {}),
        "wrong": wrong,
    }


def strike(scenario: Scenario, here: Path, moment: float, expected: dict[str, str]) -> tuple[str, str]:
    """Kill at a moment and resume; return what the kill met, and what is wrong, if something is."""
    try:
        how, found = scenario.disturbed(here, moment)
    except subprocess.CalledProcessError as error:
        return "not resumed", f"code {error.returncode}, {last_line(error.stderr)}"
    names = sorted(n for n in {**found, **expected} if found.get(n) != expected.get(n))
    return how, ", ".join(f"{name} ({found.get(name, 'missing')[:60]})" for name in names[:4])


def make_data(folder: Path, kinds: list[str]) -> None:
    """Draw rasters and pairs."""
    if kinds != ["training"]:
        (folder / "rasters").mkdir(parents=True)
        draw_raster(folder / "large.tif", RASTER, GSD)
        for number in range(SHEETS):
            draw_raster(folder / "rasters" / f"{number}.tif", RASTER // 2 + 16 * number, GSD + 0.1 * number)
    if "training" in kinds:
        write_towns(folder / "pairs", count=16, size=128)


def last_line(text: str | None) -> str:
    """Return the last line of what a command said."""
    lines = (text or "").strip().splitlines()
    return lines[-1] if lines else ""


if __name__ == "__main__":
    main()

"""Training and translation beside a busy program, against their own time on one idle core.

    python -m benchmarks.busy                                       # this version
    python -m benchmarks.busy --before ../old/src --json busy.json  # and another version in the same rounds

All cores but one are kept busy by programs that compute without end. A work that then takes longer than on
one core by itself suffers from its own threads: the ratio is to be at most 1.3. Each figure is the median
over rounds, in each of which every case runs once, in a process of its own. Run it on a machine that does
nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sat2map.runtime.cpu import describe_processor, processor

HERE = Path(__file__).parents[1] / "src"
LIMIT = 1.3
SIDE = 1536  # px of the image and of the raster: most of the time is the network's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="sources (src) of another version, measured too")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--presets", nargs="+", default=["tiny", "default"], help="presets to train")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), arguments.presets, arguments.before, arguments.rounds)
    print(report(rows))
    if arguments.json:
        content = {"machine": describe_processor(), "limit": LIMIT, "seconds": rows}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")


def measure(
    folder: Path, presets: list[str], before: Path | None, rounds: int, *, idle: bool = True
) -> dict[str, dict[str, list[float]]]:
    """Return seconds by work and case: one core, idle, busy and, of the other version, busy before."""
    sat2map(HERE, "data", "synth", folder / "pairs", "--count", 40, "--seed", 1)
    for name, flags in {"image": [], "raster": ["--georeferenced"]}.items():
        sat2map(HERE, "data", "synth", folder / name, "--count", 1, "--size", SIDE, *flags)
    raster = next(folder.glob("raster/**/*ortho.tif"))
    image = next(folder.glob("image/**/*.png"))  # an aerial image and its map, side by side
    works: dict[str, Callable[[Path, Path], float]] = {
        f"training step, {preset}": partial(train, preset, folder / "pairs") for preset in presets
    }
    works |= {
        "translate an image": partial(translate, image),
        "translate a raster": partial(translate, raster),
    }
    cases = {"one core": (HERE, True, False), "idle": (HERE, False, False), "busy": (HERE, False, True)}
    if not idle:
        del cases["idle"]
    if before:
        cases["busy before"] = (before.resolve(), False, True)
    rows: dict[str, dict[str, list[float]]] = {work: {case: [] for case in cases} for work in works}
    for i in range(rounds):
        for name, work in works.items():
            for case, (sources, one_core, busy) in cases.items():
                output = folder / f"out-{i}-{len(list(folder.iterdir()))}"
                with all_but_one_core_busy() if busy else on_one_core(one_core):
                    seconds = work(sources, output)
                rows[name][case].append(seconds)
                print(f"round {i + 1}: {name}, {case}: {seconds:.3f} s", file=sys.stderr, flush=True)
    return rows


def report(rows: dict[str, dict[str, list[float]]]) -> str:
    """Return a Markdown table of medians and ratios."""
    cases = list(next(iter(rows.values())))
    lines = [f"- {name}: {fact}" for name, fact in describe_processor().items() if name != "threads"]
    lines += ["", f"| work | {' | '.join(f'{case} (s)' for case in cases)} | busy / one core | |"]
    lines.append("|---|" + "---:|" * (len(cases) + 1) + "---|")
    for name, row in rows.items():
        middle = {case: statistics.median(times) for case, times in row.items()}
        ratios = [middle[case] / middle["one core"] for case in cases if case.startswith("busy")]
        shown = f"{ratios[0]:.2f}" + (f" (before {ratios[1]:.2f})" if len(ratios) > 1 else "")
        verdict = "met" if ratios[0] <= LIMIT else "short"
        lines.append(
            f"| {name} | {' | '.join(f'{middle[case]:.3f}' for case in cases)} | {shown} | {verdict} |"
        )
    return "\n".join(lines)


def train(preset: str, pairs: Path, sources: Path, run: Path) -> float:
    """Return the seconds of a training step: the mean over a short run, its first line left out."""
    sat2map(sources, "train", preset, "--data", pairs, "--run", run, "--epochs", 2, "--validate-every", 2)
    settings = json.loads((run / "settings.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    speeds = [line["images_per_second"] for line in lines if "images_per_second" in line]
    batch = next(group["batch_size"] for group in settings.values() if "batch_size" in group)
    return float(batch * statistics.mean(1 / speed for speed in speeds[1:]))


def translate(source: Path, sources: Path, output: Path) -> float:
    """Return the seconds of the whole command."""
    began = time.perf_counter()
    sat2map(sources, "translate", source, "--output", output, "--device", "cpu")
    return time.perf_counter() - began


@contextmanager
def all_but_one_core_busy() -> Iterator[None]:
    """Run programs that compute without end meanwhile."""
    count = max(1, processor().threads - 1)
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(0.5)
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


@contextmanager
def on_one_core(really: bool) -> Iterator[None]:
    """Let the processes that are started meanwhile run on one core only."""
    allowed = os.sched_getaffinity(0)
    try:
        if really:
            os.sched_setaffinity(0, {min(allowed)})
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def sat2map(sources: Path, *words: object) -> None:
    """Run a command of one version's sources, with nothing set that decides on threads."""
    decided = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    environment = {name: value for name, value in os.environ.items() if name not in decided}
    environment["PYTHONPATH"] = str(sources)
    command = [sys.executable, "-m", "sat2map", *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")


if __name__ == "__main__":
    main()

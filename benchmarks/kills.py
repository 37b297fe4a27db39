"""Kills commands with SIGKILL at random moments, resumes them, and compares with an undisturbed run.

    python -m benchmarks.kills --kills 50            # of each: rasters, bulk jobs, trainings, service jobs
    python -m benchmarks.kills --kills 3 --only raster bulk --seed 7

A kill is *right* where the resumed command ends with code 0, its outputs are those of the undisturbed run,
and nothing lies beside them. Files are compared byte for byte, model files by their tensors, since their
headers name the run. It exits with 1 if a kill is wrong, and names the moment. A seed repeats it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from safetensors.numpy import load_file

from sat2map.files import sha256_of
from sat2map.geo.job_speeds import draw_raster
from sat2map.synthetic.towns import write_towns

MOST = 600.0  # s; a command that takes longer hangs
COMMAND = [sys.executable, "-m", "sat2map"]


class Scenario:
    """A command that may be killed: how it is started, resumed, and what it leaves."""

    def __init__(self, name: str, data: Path) -> None:
        """Name what is killed, and the folder of the inputs."""
        self.name, self.data = name, data

    def start(self, folder: Path) -> list[str]:
        """Return the arguments that begin in a folder."""
        raise NotImplementedError

    def resume(self, folder: Path) -> list[str]:
        """Return the arguments that continue."""
        return [*self.start(folder), "--resume"]

    def outputs(self, folder: Path) -> dict[str, str]:
        """Return the checksums of all outputs by name."""
        return {
            str(path.relative_to(folder)): checksum(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and self.counts(path)
        }

    def counts(self, path: Path) -> bool:
        """Whether a file is the same in each run; lists of times are not."""
        return True

    def undisturbed(self, folder: Path) -> tuple[float, dict[str, str]]:
        """Run without a kill; return how long it took, and the outputs."""
        start = time.monotonic()
        run(self.start(folder))
        return time.monotonic() - start, self.outputs(folder)

    def disturbed(self, folder: Path, moment: float) -> dict[str, str]:
        """Kill at a moment, resume, and return the outputs."""
        kill_at([*COMMAND, *self.start(folder)], moment)
        run(self.resume(folder))
        return self.outputs(folder)


class RasterScenario(Scenario):
    """`translate` of one raster."""

    def start(self, folder: Path) -> list[str]:
        """Return the arguments that begin in a folder."""
        return ["translate", str(self.data / "rasters" / "0.tif"), "--output", str(folder / "map.tif")]


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
            "1024",
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


class JobScenario(Scenario):
    """A job of the service, which is killed and started again with the same state."""

    def undisturbed(self, folder: Path) -> tuple[float, dict[str, str]]:
        """Run without a kill; return how long it took, and the outputs."""
        start = time.monotonic()
        outputs = self._run(folder, None)
        return time.monotonic() - start, outputs

    def disturbed(self, folder: Path, moment: float) -> dict[str, str]:
        """Kill at a moment, go on, and return the outputs."""
        return self._run(folder, moment)

    def _run(self, folder: Path, moment: float | None) -> dict[str, str]:
        process, url = serve(folder)
        try:
            start = time.monotonic()
            body = (self.data / "rasters" / "0.tif").read_bytes()
            job = ask(Request(f"{url}/v1/jobs", data=body, method="POST"))
            if moment is not None:
                time.sleep(max(0.0, moment - (time.monotonic() - start)))
                process.kill()
                process.wait()
                process, url = serve(folder)
            found = self._wait(url, job["id"])
            outputs = {}
            if found["state"] == "done":
                with urlopen(f"{url}/v1/jobs/{job['id']}/result", timeout=60) as answer:
                    outputs["result"] = hashlib.sha256(answer.read()).hexdigest()
            else:  # what a process died over is marked, and not begun again by itself
                outputs["result"] = f"{found['state']}: {(found.get('error') or {}).get('detail', '')}"
            urlopen(Request(f"{url}/v1/jobs/{job['id']}", method="DELETE"), timeout=60).close()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        left = [p for p in folder.rglob("*") if p.is_file() and p.suffix in (".tif", ".png", ".part")]
        return outputs | {f"left {path.name}": "" for path in left}

    @staticmethod
    def _wait(url: str, job: str) -> dict[str, Any]:
        until = time.monotonic() + MOST
        while time.monotonic() < until:
            found = ask(Request(f"{url}/v1/jobs/{job}"))
            if found["state"] in ("done", "failed", "cancelled"):
                return found
            time.sleep(0.1)
        raise SystemExit(f"the job {job} did not end within {MOST:.0f} s")


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
        print("| killed | kills | right | wrong |\n|---|--:|--:|---|")
        for kind in given.only:
            wrong = kill_often(SCENARIOS[kind](kind, data), Path(name), given.kills, given.seed)
            rows.append({"kind": kind, "kills": given.kills, "wrong": wrong})
            print(
                f"| {kind} | {given.kills} | {given.kills - len(wrong)} | {'; '.join(wrong) or '-'} |",
                flush=True,
            )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(any(row["wrong"] for row in rows))


def kill_often(scenario: Scenario, folder: Path, kills: int, seed: int) -> list[str]:
    """Return what was wrong, a sentence a kill."""
    whole = folder / scenario.name
    whole.mkdir()
    took, expected = scenario.undisturbed(whole)
    moments = random.Random(seed)
    wrong = []
    for number in range(kills):
        moment = moments.uniform(0, took)
        here = folder / f"{scenario.name}-{number}"
        here.mkdir()
        try:
            found = scenario.disturbed(here, moment)
        except subprocess.CalledProcessError as error:
            wrong.append(f"{moment:.2f} of {took:.2f} s: code {error.returncode}, {last_line(error.stderr)}")
        else:
            names = sorted(name for name in {**found, **expected} if found.get(name) != expected.get(name))
            if names:
                what = ", ".join(f"{name} ({found.get(name, 'missing')[:60]})" for name in names[:4])
                wrong.append(f"{moment:.2f} of {took:.2f} s: {what}")
        shutil.rmtree(here)
    return wrong


def make_data(folder: Path, kinds: list[str]) -> None:
    """Draw rasters and pairs."""
    if kinds != ["training"]:
        (folder / "rasters").mkdir(parents=True)
        for number in range(3):
            draw_raster(folder / "rasters" / f"{number}.tif", 1200 + 16 * number, 0.3 + 0.1 * number)
    if "training" in kinds:
        write_towns(folder / "pairs", count=24, size=128)


def kill_at(command: list[str], moment: float) -> None:
    """Start a command, and kill it and its children after some seconds, if it still runs."""
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(words: list[str]) -> None:
    """Run a command to its end."""
    subprocess.run([*COMMAND, *words], check=True, capture_output=True, text=True, timeout=MOST)


def serve(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a service whose state is in a folder, and return its process and address."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--state", str(folder / "state"), "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if " at http" in line:
            return process, line.split(" at ")[1].split()[0].rstrip("/")
    raise SystemExit("the service did not start")


def ask(request: Request) -> dict[str, Any]:
    """Send a request, and return the answer's JSON; a service that is busy is asked again."""
    for _ in range(50):
        try:
            with urlopen(request, timeout=60) as answer:
                found: dict[str, Any] = json.loads(answer.read())
                return found
        except HTTPError as error:
            if error.code != 503:
                raise SystemExit(f"{request.full_url}: {error.code} {error.read().decode()}") from None
        except URLError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"{request.full_url} did not answer")


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, or of a model file's tensors."""
    if path.suffix != ".safetensors":
        return sha256_of(path)
    tensors = sorted(load_file(path).items())
    return hashlib.sha256(b"".join(name.encode() + values.tobytes() for name, values in tensors)).hexdigest()


def last_line(text: str | None) -> str:
    """Return the last line of what a command said."""
    lines = (text or "").strip().splitlines()
    return lines[-1] if lines else ""


if __name__ == "__main__":
    main()

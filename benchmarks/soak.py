"""A service beside hostile clients, and under mixed load for long: each figure with *met* or *short*.

    python -m benchmarks.soak --model FILE [--minutes 30] [--json FILE]

First, what a normal request takes alone, and beside each kind of hostile client. Then mixed load: sizes and
formats, damaged images, jobs, kept images. Memory is that of all processes of the service, shared pages
counted once. The run takes `--minutes` in all, of which at least half a minute is mixed load. Exits 1 where
a figure is short.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import date
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import psutil

from benchmarks.hostile_clients import ATTACKS, attack
from benchmarks.machine import describe_machine
from benchmarks.service_process import png_of_town, run_clients, running_service
from sat2map.files import atomic_write_text
from sat2map.runtime.cpu import processor

MIB = 2**20
FLAGS = {"--memory-mib": 2048, "--cache-mib": 256, "--drawing-mib": 128}  # the defaults
PROGRAM_MIB = 300  # beside models and the budgets above (docs/operations.md): the decoder's process among it
SLOWDOWN = 3.0  # times its usual time
SLOPE = 20.0  # MiB an hour; in runs too short for that 5 % in the run, as caches still warm up
TAIL = 20.0  # p99 over p50: images of 1024² px have 16 times the pixels of most, and jobs run beside them
PAUSE = 0.2  # s between normal requests
SIDES = (256, 256, 256, 256, 200, 333, 512, 1024)
FORMATS = ("image/png", "image/png", "image/webp", "image/jpeg")


class Figure(NamedTuple):
    """A measured figure, its unit, and the most that it may be."""

    what: str
    value: float
    unit: str
    limit: float

    @property
    def verdict(self) -> str:
        """Whether it is within its limit."""
        return "met" if self.value <= self.limit else "short"


class Asked(NamedTuple):
    """What normal requests got: seconds of the answers, and how many were refused or went wrong."""

    seconds: list[float]
    refused: int
    wrong: list[str]


def ask(url: str, body: bytes, seconds: float) -> Asked:
    """Send a normal image again and again; 503 with `Retry-After` is a refusal, any other answer is wrong."""
    found = Asked([], 0, [])
    refused = 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        try:
            status, again, _ = _request(url, "POST", "/v1/translate", body)
        except (OSError, HTTPException) as error:
            found.wrong.append(repr(error))
            continue
        if status == 503 and again:
            refused += 1
        elif status != 200:
            found.wrong.append(f"status {status}")
        else:
            found.seconds.append(time.perf_counter() - start)
        time.sleep(PAUSE)
    return found._replace(refused=refused)


def beside_hostile_clients(url: str, seconds: float, say: Callable[[str], None]) -> list[Figure]:
    """Return how many times its usual time a normal request takes beside each kind of hostile client."""
    body = png_of_town(256)
    ask(url, body, min(3, seconds))
    usual = ask(url, body, seconds)
    assert usual.seconds, usual.wrong[:3]
    low, high = np.percentile(usual.seconds, [50, 95])
    say(f"alone: median {low * 1000:.0f} ms, 95 % within {high * 1000:.0f} ms")
    figures = []
    for kind in ATTACKS:
        with attack(url, kind):
            time.sleep(min(3, seconds / 3))  # they connect
            found = ask(url, body, seconds)
        # A crowd that only ever gets others refused has not starved them of an answer.
        times = np.percentile(found.seconds, [50, 95]) / (low, high) if found.seconds else np.zeros(2)
        what = f"beside {kind}: times the usual"
        figures.append(Figure(f"{what} median", float(times[0]), "", SLOWDOWN))
        figures.append(Figure(f"{what} 95th percentile", float(times[1]), "", SLOWDOWN))
        figures.append(Figure(f"beside {kind}: wrong answers", len(found.wrong), "", 0))
        say(
            f"{kind}: {len(found.seconds)} answers, {times[0]:.2f} and {times[1]:.2f} times the usual, "
            f"{found.refused} refused, {len(found.wrong)} wrong {found.wrong[:2] or ''}"
        )
        _wait_for_rest(url)
    return figures


def mixed_load(
    url: str, service: psutil.Process, seconds: float, clients: int, say: Callable[[str], None]
) -> list[Figure]:
    """Send a mix of requests for that long, and watch memory, files, threads and times.

    The first third warms up threads, processes and caches, and counts in no figure.
    """
    bodies = {side: png_of_town(side) for side in set(SIDES)}
    statuses, times, wrong = Counter[int](), list[float](), list[str]()
    numbers = iter(range(10**9))
    memory: list[tuple[float, float]] = []
    start = time.perf_counter()
    until = start + seconds / 3
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1):
            memory.append((time.perf_counter() - start, _memory(service)))
            if len(memory) % 60 == 0:
                say(f"{memory[-1][0]:.0f} s, {sum(statuses.values())} requests, {memory[-1][1]:.0f} MiB")

    def client(connection: HTTPConnection) -> None:
        while time.perf_counter() < until:
            random = np.random.default_rng(next(numbers))
            body = bodies[SIDES[random.integers(len(SIDES))]]
            began, kind = time.perf_counter(), random.random()
            accept = FORMATS[random.integers(len(FORMATS))]
            expected = {200, 503, 507}
            if kind < 0.05:  # damaged
                body, expected = body[: random.integers(9, len(body) // 2)], {422, 503}
                status, _, _ = _request(url, "POST", "/v1/translate", body, accept, connection)
            elif kind < 0.10:  # kept images, drawn at another scale
                status, _, answer = _request(url, "POST", "/v1/images", body, accept, connection)
                if status == 201:
                    path = f"/v1/images/{json.loads(answer)['id']}"
                    status, _, _ = _request(url, "GET", f"{path}/map?gsd=1.2", None, accept, connection)
                    _request(url, "DELETE", path, None, accept, connection)
            elif kind < 0.12:
                status, _, answer = _request(url, "POST", "/v1/jobs", body, accept, connection)
                expected = {202, 503, 507}
                if status == 202 and random.random() < 0.5:
                    _request(url, "DELETE", f"/v1/jobs/{json.loads(answer)['id']}", None, accept, connection)
            else:
                status, _, _ = _request(url, "POST", "/v1/translate", body, accept, connection)
                if status == 200:
                    times.append(time.perf_counter() - began)
            statuses[status] += 1
            if status not in expected:
                wrong.append(f"status {status} where {sorted(expected)} were possible")

    run_clients(url, clients, client)
    before = _handles_at_rest(url, service)
    times.clear()
    start = time.perf_counter()
    until = start + seconds * 2 / 3
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    run_clients(url, clients, client)
    ended.set()
    watcher.join()
    after = _handles_at_rest(url, service)
    say(f"answers by status: {dict(sorted(statuses.items()))} {wrong[:3] or ''}")
    at, mib = np.array(memory).T
    # By the least in each minute or tenth: a line through all points would follow the mix of sizes.
    width = max(5.0, min(60.0, seconds / 10))
    starts = np.arange(at[0], at[-1] - width / 2, width)
    lows = [mib[(at >= begin) & (at < begin + width)].min() for begin in starts]
    slope = float(np.polyfit(starts / 3600, lows, 1)[0])
    p50, p99 = np.percentile(times, [50, 99])
    say(f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms; memory {mib[0]:.0f} to {mib[-1]:.0f} MiB")
    needed = max(SLOPE, 0.05 * float(mib[0]) / (seconds / 3600)) if seconds < 900 else SLOPE
    return [
        Figure(
            f"growth of memory over the last two thirds of {seconds / 60:.1f} minutes", slope, "MiB/h", needed
        ),
        Figure("open files left", after[0] - before[0], "", 2),
        Figure("threads left", after[1] - before[1], "", 2),
        Figure("p99 over p50 of translations", p99 / p50, "", TAIL),
        Figure(f"wrong answers of {sum(statuses.values())}", len(wrong), "", 0),
    ]


def _request(
    url: str,
    method: str,
    path: str,
    body: bytes | None = None,
    accept: str = "image/png",
    connection: HTTPConnection | None = None,
) -> tuple[int, str | None, bytes]:
    """Return status, `Retry-After` and body of an answer, over a new connection or one that is kept."""
    address = urlsplit(url)
    assert address.hostname
    ours = connection or HTTPConnection(address.hostname, address.port, timeout=120)
    try:
        ours.request(method, path, body, {"Accept": f"{accept}, application/json"})
        answer = ours.getresponse()
        return answer.status, answer.getheader("Retry-After"), answer.read()
    finally:
        if connection is None:
            ours.close()


def _wait_for_rest(url: str, seconds: float = 30) -> None:
    """Wait until no job runs and the memory that was reserved is free again."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        lines = _request(url, "GET", "/metrics")[2].decode().splitlines()
        values = dict(line.rsplit(" ", 1) for line in lines if line and line[0] != "#")
        names = ("sat2map_jobs_running", "sat2map_jobs_queued", "sat2map_memory_reserved_bytes")
        if not any(float(values.get(name, 0)) for name in names):
            return
        time.sleep(0.5)


def _family(service: psutil.Process) -> list[psutil.Process]:
    return [service, *service.children(recursive=True)]


def _memory(service: psutil.Process) -> float:
    """Return the memory of all processes (MiB), shared pages once where the system counts them."""
    total = 0
    for process in _family(service):
        try:
            used = process.memory_full_info()
            total += getattr(used, "pss", used.rss)
        except psutil.Error:  # it ended meanwhile
            continue
    return total / MIB


def _handles_at_rest(url: str, service: psutil.Process) -> tuple[int, int]:
    """Return the open files and sockets, and the threads, of the main process once nothing runs."""
    _wait_for_rest(url)
    time.sleep(8)  # connections that are kept close after 5 s
    return service.num_fds() if hasattr(service, "num_fds") else 0, service.num_threads()


def measure(model: Path, minutes: float, clients: int) -> dict[str, Any]:
    """Measure all, and return the figures with the machine."""
    start = time.perf_counter()

    def say(text: str) -> None:
        print(f"[{time.perf_counter() - start:4.0f} s] {text}", file=sys.stderr, flush=True)

    def left() -> float:
        return minutes * 60 - (time.perf_counter() - start)

    flags = [word for pair in FLAGS.items() for word in pair]
    with tempfile.TemporaryDirectory() as state, running_service(model, Path(state), *flags) as (url, pid):
        service = psutil.Process(pid)
        ask(url, png_of_town(256), 3)
        idle = _memory(service)
        stated = idle + sum(FLAGS.values()) + PROGRAM_MIB
        say(f"{idle:.0f} MiB at rest; with {flags} at most {stated:.0f} MiB are stated")
        peak, ended = [idle], threading.Event()

        def watch() -> None:
            while not ended.wait(0.25):
                peak.append(max(peak.pop(), _memory(service)))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        each = min(30.0, max(2.0, minutes * 60 * 0.45 / (len(ATTACKS) + 1) - 3))
        figures = beside_hostile_clients(url, each, say)
        figures += mixed_load(url, service, max(30.0, left() - 25), clients, say)
        ended.set()
        watcher.join()
        figures.append(Figure("peak of memory, in all of it", peak[0], "MiB", stated))
    return {
        "date": date.today().isoformat(),
        "machine": describe_machine(processor().threads),
        "minutes": round((time.perf_counter() - start) / 60, 1),
        "figures": [{**figure._asdict(), "verdict": figure.verdict} for figure in figures],
    }


def to_markdown(found: dict[str, Any]) -> str:
    """Return the figures as a table."""
    processor = found["machine"]["processor"].partition(" (")[0]
    lines = [f"{processor}, {found['date']}, {found['minutes']} minutes.", ""]
    lines += ["| what | measured | at most | |", "|---|--:|--:|---|"]
    for one in found["figures"]:
        unit = f" {one['unit']}" if one["unit"] else ""
        lines.append(
            f"| {one['what']} | {one['value']:.4g}{unit} | {one['limit']:.4g}{unit} | {one['verdict']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = measure(options.model, options.minutes, options.clients)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(options.json, json.dumps(found, indent=2) + "\n")
    print(to_markdown(found))
    if any(one["verdict"] == "short" for one in found["figures"]):
        sys.exit(1)


if __name__ == "__main__":
    main()

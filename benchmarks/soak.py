"""Keeps a service busy for long: is its memory flat, and does nobody get an error?

    python -m benchmarks.soak --model FILE [--requests 20000] [--clients 8]

Sizes, formats and damaged images are mixed. Memory is read from the end of the first tenth on, when caches
are warm; the figure is its largest distance from there. Exits 1 where memory moves by more than 5 %, and
stops at an answer that is neither what was asked for nor a problem that says why.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.service_process import png_of_town, run_clients, running_service, translate

SIDES = (256, 256, 256, 256, 200, 333, 512)
FORMATS = ("image/png", "image/png", "image/webp", "image/jpeg")
DAMAGED = 0.02  # of all requests
LIMIT = 0.05


def soak(url: str, process: psutil.Process, requests: int, clients: int) -> dict[str, Any]:
    """Send the requests, and watch the service's memory."""
    bodies = {side: png_of_town(side) for side in set(SIDES)}
    numbers, statuses = iter(range(requests)), Counter[int]()
    memory: list[float] = []
    start = time.perf_counter()

    def client(connection: HTTPConnection) -> None:
        for number in numbers:
            random = np.random.default_rng(number)
            body = bodies[SIDES[random.integers(len(SIDES))]]
            broken = random.random() < DAMAGED
            if broken:
                body = body[: random.integers(9, len(body) // 2)]
            status, answer = translate(connection, body, FORMATS[random.integers(len(FORMATS))])
            assert status in (422 if broken else 200, 503), (status, answer[:200])
            statuses[status] += 1
            if number >= requests // 10 and number % 100 == 0:
                memory.append(process.memory_info().rss / 2**20)
            if number % 1000 == 0:
                told = f"{number} of {requests} requests, {process.memory_info().rss / 2**20:.0f} MiB"
                print(f"{told}, {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)

    run_clients(url, clients, client)
    with urllib.request.urlopen(f"{url}/readyz") as answer:
        assert answer.status == 200
    warm = float(np.median(memory[:5]))
    change = max(abs(size - warm) for size in memory) / warm
    return {
        "requests": requests,
        "seconds": time.perf_counter() - start,
        "statuses": dict(statuses),
        "start_mib": warm,
        "middle_mib": memory[len(memory) // 2],
        "end_mib": memory[-1],
        "largest_change": change,
        "verdict": "flat" if change <= LIMIT else f"moved by more than {LIMIT:.0%}",
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as state, running_service(options.model, Path(state)) as (url, pid):
        found = soak(url, psutil.Process(pid), options.requests, options.clients)
    print(json.dumps(found, indent=2))
    if found["largest_change"] > LIMIT:
        sys.exit(1)


if __name__ == "__main__":
    main()

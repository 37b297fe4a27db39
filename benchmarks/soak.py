"""Keeps a service busy for long: is its memory flat, and does nobody get an error?

    python benchmarks/soak.py --model FILE [--requests 20000] [--clients 8]

Sizes, formats and damaged images are mixed. Memory is read from the end of the first tenth on, when caches
are warm; the figure is its largest distance from there. Exits 1 where memory moves by more than 5 %, and
stops at an answer that is neither what was asked for nor a problem that says why.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from service_process import png_of_town, running_service

SIDES = (256, 256, 256, 256, 200, 333, 512)
FORMATS = ("image/png", "image/png", "image/webp", "image/jpeg")
DAMAGED = 0.02  # of all requests
LIMIT = 0.05


async def soak(url: str, process: psutil.Process, requests: int, clients: int) -> dict[str, Any]:
    """Send the requests, and watch the service's memory."""
    random = np.random.default_rng(0)
    bodies = {side: png_of_town(side) for side in set(SIDES)}
    left, statuses, memory = iter(range(requests)), Counter[int](), []
    watch_from, start = requests // 10, time.perf_counter()

    async def client(talking: httpx.AsyncClient) -> None:
        for number in left:
            body = bodies[SIDES[random.integers(len(SIDES))]]
            broken = random.random() < DAMAGED
            if broken:
                body = body[: random.integers(9, len(body) // 2)]
            accept = FORMATS[random.integers(len(FORMATS))]
            answer = await talking.post("/v1/translate", content=body, headers={"Accept": accept})
            statuses[answer.status_code] += 1
            expected = 422 if broken else 200
            assert answer.status_code in (expected, 503), (answer.status_code, answer.text[:200])
            if number >= watch_from and number % 100 == 0:
                memory.append(process.memory_info().rss)
            if number % 1000 == 0:
                print(
                    f"{number} requests, {process.memory_info().rss / 2**20:.0f} MiB",
                    file=sys.stderr,
                    flush=True,
                )

    async with httpx.AsyncClient(base_url=url, timeout=120) as talking:
        await asyncio.gather(*(client(talking) for _ in range(clients)))
        assert (await talking.get("/readyz")).status_code == 200
    warm = float(np.median(memory[:5]))
    return {
        "requests": requests,
        "seconds": time.perf_counter() - start,
        "statuses": dict(statuses),
        "warm_mib": warm / 2**20,
        "last_mib": memory[-1] / 2**20,
        "largest_change": max(abs(size - warm) for size in memory) / warm,
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
        found = asyncio.run(soak(url, psutil.Process(pid), options.requests, options.clients))
    print(json.dumps(found, indent=2))
    if found["largest_change"] > LIMIT:
        sys.exit(1)


if __name__ == "__main__":
    main()

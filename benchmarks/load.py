"""Measures a service under load: what it keeps of the engine's own throughput, and how long clients wait.

    python benchmarks/load.py --model FILE [--clients 8] [--seconds 20] [--rounds 5]

Engine alone and service under load take turns, so that a machine that slows down slows both. The clients are
processes of their own on the same machine, and what they use of it is taken from the service.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from service_process import png_of_town, running_service


def engine_rate(model: Path, seconds: float, batch: int) -> float:
    """Return images/s of the engine alone, on uint8 arrays, the better of one by one and in batches."""
    from sat2map.data.synthetic import draw_town
    from sat2map.translate import Translator

    translator, town = Translator.open(model), draw_town(1, size=256).source
    best = 0.0
    for size in sorted({1, batch}):
        translator.batch([town] * size)
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds / 2:
            translator.batch([town] * size)
            done += size
        best = max(best, done / (time.perf_counter() - start))
    return best


def ask(url: str, body: bytes, clients: int, seconds: float) -> list[float]:
    """Ask again and again from that many clients; returns the seconds of each answer."""

    async def client(talking: httpx.AsyncClient, until: float, times: list[float]) -> None:
        while time.perf_counter() < until:
            start = time.perf_counter()
            answer = await talking.post("/v1/translate", content=body)
            assert answer.status_code == 200, answer.text
            times.append(time.perf_counter() - start)

    async def main() -> list[float]:
        times: list[float] = []
        async with httpx.AsyncClient(base_url=url, timeout=60) as talking:
            await client(talking, time.perf_counter() + 1, [])
            until = time.perf_counter() + seconds
            await asyncio.gather(*(client(talking, until, times) for _ in range(clients)))
        return times

    return asyncio.run(main())


def measure(model: Path, clients: int, seconds: float, rounds: int, batch: int) -> dict[str, Any]:
    """Take turns between the engine and the service."""
    body, engine, service, times = png_of_town(256), [], [], []
    with tempfile.TemporaryDirectory() as state:
        for _ in range(rounds):
            with ProcessPoolExecutor(1) as own:  # gone with its memory and threads before the service starts
                engine.append(own.submit(engine_rate, model, seconds, batch).result())
            with (
                running_service(model, Path(state), "--batch", batch) as (url, _),
                ProcessPoolExecutor(1) as own,
            ):
                found = own.submit(ask, url, body, clients, seconds).result()
            service.append(len(found) / seconds)
            times += found
    p50, p99 = np.percentile(times, [50, 99])
    return {
        "clients": clients,
        "engine_images_per_s": statistics.median(engine),
        "service_images_per_s": statistics.median(service),
        "share_of_engine": statistics.median(s / e for s, e in zip(service, engine, strict=True)),
        "p50_ms": p50 * 1000,
        "p99_ms": p99 * 1000,
        "p99_over_p50": p99 / p50,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4)
    options = parser.parse_args()
    print(json.dumps(measure(**vars(options)), indent=2))

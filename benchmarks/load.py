"""Measures a service under load: what it keeps of the engine's own throughput, and how long clients wait.

    python -m benchmarks.load --model FILE [--clients 8] [--seconds 20] [--rounds 5] [--json FILE]

Engine alone and service under load take turns, so that a machine that slows down slows both; the share is
the median of the rounds. The clients are on the same machine, in a process of their own, and what they use
of it is taken from the service: they are as lean as clients that speak real HTTP can be, so that what is
measured is the service. `cpu_ms` tells where the time of all cores goes, a request.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.machine import describe_machine
from benchmarks.service_process import png_of_town, run_clients, running_service, translate
from sat2map.files import atomic_write_text
from sat2map.runtime.cpu import processor

SHARE = 0.85  # of the engine's own throughput, at least
TAIL = 4.0  # p99 over p50, less than


def engine_rate(model: Path, seconds: float, batch: int) -> float:
    """Return images/s of the engine alone, on uint8 arrays: the best of one by one, batches, and streams."""
    from sat2map.inference import Translator
    from sat2map.inference.backends import open_engine
    from sat2map.synthetic.towns import draw_town

    town = draw_town(1, size=256).source
    whole = Translator(open_engine(model, image_only=True))
    shared = Translator(open_engine(model, image_only=True, streams=min(batch, processor().threads)))

    def rate(translator: Translator, together: int) -> float:
        def run(_: int) -> int:
            done = 0
            while time.perf_counter() < until:
                translator.batch([town] * together)
                done += together
            return done

        translator.batch([town] * together)
        start = time.perf_counter()
        until = start + seconds / 3
        with ThreadPoolExecutor(translator.engine.streams) as threads:
            done = sum(threads.map(run, range(translator.engine.streams)))
        return done / (time.perf_counter() - start)

    return max(rate(whole, 1), rate(whole, batch), rate(shared, 1))


def ask(
    url: str, service: int, body: bytes, clients: int, seconds: float
) -> tuple[list[float], float, float]:
    """Ask again and again from that many clients.

    Returns:
        The seconds of each answer, and the seconds of CPU that the service and the clients took an answer.
    """
    times: list[float] = []

    def client(connection: HTTPConnection) -> None:
        while (start := time.perf_counter()) < until:
            status, answer = translate(connection, body)
            assert status == 200, answer
            times.append(time.perf_counter() - start)

    until = time.perf_counter() + min(1.0, seconds / 4)
    run_clients(url, clients, client)
    times.clear()
    before, until = (_cpu(service), time.process_time()), time.perf_counter() + seconds
    run_clients(url, clients, client)
    after = _cpu(service), time.process_time()
    return times, (after[0] - before[0]) / len(times), (after[1] - before[1]) / len(times)


def _cpu(process: int) -> float:
    used = psutil.Process(process).cpu_times()
    return float(used.user + used.system)


def stages(model: Path, body: bytes) -> dict[str, float]:
    """Return the milliseconds of CPU that each step takes by itself, with nothing else under way."""
    from sat2map.inference import Translator
    from sat2map.serve.decoder import Decoder
    from sat2map.serve.responses import encode

    translator = Translator.open(model, threads=1, image_only=True)
    decoder = Decoder(2**30)
    source = decoder.pixels(body).pixels
    fake = translator(source)

    def cpu(step: Callable[[], object]) -> float:
        times = []
        for _ in range(40):
            used = time.process_time()
            step()
            times.append(time.process_time() - used)
        return statistics.median(times) * 1000

    return {
        "decode": cpu(lambda: decoder.pixels(body)),
        "network": cpu(lambda: translator(source)),
        "encode": cpu(lambda: encode(fake, None, "image/png")),
    }


def measure(model: Path, clients: int, seconds: float, rounds: int, batch: int) -> dict[str, Any]:
    """Take turns between the engine and the service."""
    body = png_of_town(256)
    engine, service, times, in_service, in_clients = [], [], [], [], []
    with tempfile.TemporaryDirectory() as state:
        for _ in range(rounds):
            with ProcessPoolExecutor(1) as own:  # gone with its memory and threads before the service starts
                engine.append(own.submit(engine_rate, model, seconds, batch).result())
            with (
                running_service(model, Path(state), "--batch", batch) as (url, process),
                ProcessPoolExecutor(1) as own,
            ):
                found, of_service, of_clients = own.submit(ask, url, process, body, clients, seconds).result()
            service.append(len(found) / seconds)
            times += found
            in_service.append(of_service)
            in_clients.append(of_clients)
    with ProcessPoolExecutor(1) as own:
        steps = own.submit(stages, model, body).result()
    p50, p99 = np.percentile(times, [50, 99])
    share = statistics.median(s / e for s, e in zip(service, engine, strict=True))
    return {
        "machine": describe_machine(processor().threads),
        "rounds": f"{rounds} of {seconds:g} s",
        "clients": clients,
        "engine_images_per_s": statistics.median(engine),
        "service_images_per_s": statistics.median(service),
        "share_of_engine": share,
        "p50_ms": p50 * 1000,
        "p99_ms": p99 * 1000,
        "p99_over_p50": p99 / p50,
        "verdict": "met" if share >= SHARE and p99 / p50 < TAIL else "short",
        "cpu_ms": {
            **steps,
            "all of the service": statistics.median(in_service) * 1000,
            "clients": statistics.median(in_clients) * 1000,
        },
    }


def to_markdown(found: dict[str, Any]) -> str:
    """Return the figures as two tables: what was reached, and where the time of all cores goes."""
    machine, tail = found["machine"], found["p99_over_p50"]
    rates = f"{found['service_images_per_s']:.0f} of {found['engine_images_per_s']:.0f} images/s"
    waits = f"p50 {found['p50_ms']:.0f} ms, p99 {found['p99_ms']:.0f} ms"
    share = found["share_of_engine"]
    reached = "met" if share >= SHARE else "short"
    waited = "met" if tail < TAIL else "short"
    return "\n".join(
        [
            f"{machine['processor'].partition(' (')[0]}, {machine['date']}, rounds: {found['rounds']}.",
            "",
            f"| {found['clients']} clients | measured | target | |",
            "|---|--:|--:|---|",
            f"| share of the engine's rate | {share:.0%} ({rates}) | at least {SHARE:.0%} | {reached} |",
            f"| p99 over p50 | {tail:.1f} ({waits}) | less than {TAIL:g} | {waited} |",
            "",
            "| of a request | ms of CPU |",
            "|---|--:|",
            *(f"| {step} | {value:.1f} |" for step, value in found["cpu_ms"].items()),
            "",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--json", type=Path)
    options = vars(parser.parse_args())
    path = options.pop("json")
    found = measure(**options)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path, json.dumps(found, indent=2) + "\n")
    print(to_markdown(found))

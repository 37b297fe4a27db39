"""The paper's maps training on a GPU: 200 epochs, scores, inference, next to the plain loop on the same GPU.

    python -m benchmarks.gpu --data MAPS_FOLDER --output runs/gpu

writes runs/gpu/gpu.json and runs/gpu/gpu.md. `make bench-gpu DATA=MAPS_FOLDER` is the same.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import describe_machine
from benchmarks.table import Bench, Row
from sat2map.data.pairs import find_pairs
from sat2map.evaluation import evaluate
from sat2map.models.architectures.generators import build_generator
from sat2map.models.model_file import read_header, read_weights
from sat2map.runtime import autocast, pick_device, pick_precision
from sat2map.settings import load_settings
from sat2map.training.loop import train

PLAIN_STEPS = 200


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="pairs: side-by-side images in train/ and val/"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--inference-batch", type=int, default=64)
    parser.add_argument("--plain-steps", type=int, default=PLAIN_STEPS, help="0: leave the plain loop out")
    bench = run(parser.parse_args(words))
    print(bench.to_markdown())


def run(options: argparse.Namespace) -> Bench:
    """Train, score and measure; write the results."""
    device = pick_device(options.device)
    torch.backends.cudnn.benchmark = True
    settings = load_settings(
        options.preset,
        data=options.data,
        run=options.output / "run",
        device=device.type,
        epochs=options.epochs,
        batch_size=options.batch_size,
        width=options.width,
        discriminator_width=options.width,
        image_size=options.size,
        crop_size=options.size,
        load_size=options.size + options.size // 8,
        validate_every=options.epochs,
    )
    images = options.epochs * len(find_pairs(options.data)["train"])
    began = time.perf_counter()
    result = train(settings)
    seconds = time.perf_counter() - began
    rate = images / seconds

    plain = _plain_rate(options, device) if options.plain_steps else None
    group = f"Training, {options.epochs} epochs, width {options.width}, {options.size} px"
    ratio = None if plain is None else rate / plain
    note = f"{seconds / 60:.1f} minutes in all, with data, validation and files; batch {options.batch_size}"
    rows = [Row.of(group, "sat2map", [rate], "images/s", ratio=ratio, note=note)]
    if plain is not None:
        rows.insert(0, Row.of(group, "plain loop, batch 1, fp32", [plain], "images/s"))
    rates = _inference_rates(result.last, device, options.inference_batch, options.size)
    rows.append(
        Row.of(
            f"Inference at {options.size} px, batch {options.inference_batch}", "sat2map", rates, "images/s"
        )
    )
    for mode in ("eval", "paper"):
        scores = evaluate(
            result.last, options.data, mode=mode, device=options.device, baselines=False
        ).model.scores
        for name in ("mean_iou", "road_f1", "psnr", "l1"):
            if name in scores:
                rows.append(Row.of(f"Scores of the last model, {mode} mode", name, [scores[name]], ""))
    bench = Bench(machine=_machine(device), rows=tuple(rows), seconds=time.perf_counter() - began)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "gpu.json").write_text(bench.to_json(), "utf-8")
    (options.output / "gpu.md").write_text(bench.to_markdown(), "utf-8")
    return bench


def _plain_rate(options: argparse.Namespace, device: torch.device) -> float:
    script = Path(__file__).with_name("baseline.py")
    words = [str(options.data / "train"), "--steps", str(options.plain_steps), "--width", str(options.width)]
    command = [sys.executable, str(script), *words, "--device", device.type]
    told: dict[str, Any] = json.loads(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
    )
    return float(told["images"]) / float(told["seconds"])


def _inference_rates(model: Path, device: torch.device, batch: int, size: int) -> list[float]:
    """Return images a second, uint8 in and out on the device, in ten rounds."""
    header = read_header(model)
    generator = build_generator(header.generator)
    generator.load_state_dict(read_weights(model))
    generator.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    generator.eval().requires_grad_(False)
    dtype = pick_precision("auto", device)
    on_gpu = device.type == "cuda"
    network = torch.compile(generator, mode="max-autotune") if on_gpu else generator
    bands = header.generator.target_bands
    pixels = torch.randint(0, 256, (batch, size, size, header.generator.source_bands), dtype=torch.uint8)
    pixels = pixels.to(device)

    def translate() -> torch.Tensor:
        with torch.inference_mode(), autocast(device, dtype):
            fake = network(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1)[:, :bands]
            drawn: torch.Tensor = ((fake.float() + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)
            return drawn.permute(0, 2, 3, 1)

    rates = []
    calls = 20 if on_gpu else 1
    for i in range(11):
        began = time.perf_counter()
        for _ in range(calls):
            translate()
        if on_gpu:
            torch.cuda.synchronize()
        if i:  # the first compiles
            rates.append(calls * batch / (time.perf_counter() - began))
    return rates


def _machine(device: torch.device) -> dict[str, str]:
    machine = describe_machine(torch.get_num_threads())
    if device.type == "cuda":
        machine["processor"] = torch.cuda.get_device_name()
    return {**machine, "versions": f"torch {torch.__version__}, CUDA {torch.version.cuda}"}


if __name__ == "__main__":
    main()

"""`run_bench`: all groups in turn, in a temporary folder."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch

from benchmarks import inference, service, training
from benchmarks.machine import describe_machine
from benchmarks.peak import peak_rows
from benchmarks.table import Bench, Row
from sat2map.errors import SettingsError
from sat2map.inference.backends import EngineName
from sat2map.models.architectures.blocks import init_weights
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.bundled import bundled_model
from sat2map.models.model_file import ModelHeader, save_model
from sat2map.runtime.cpu import processor

GROUPS = ("inference", "training", "folder", "start", "memory")
BASELINE = Path(__file__).with_name("baseline.py")


def run_bench(
    *,
    model: Path | None = None,
    compact: Path | None = None,
    pairs: Path | None = None,
    only: tuple[str, ...] = GROUPS,
    threads: int = 0,
    quick: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Bench:
    """Measure this machine.

    Args:
        model: Model file of the paper's network, the baseline of inference; None for random weights, whose
            speed is the same and whose errors mean nothing.
        compact: A second model that races in the same tables; None for the one that comes with the package.
        pairs: Folder or CSV of pairs: int8 is calibrated on its training split, and mean class IoU taken on
            its validation split.
        only: Groups to run.
        threads: CPU threads; 0 for one a core.
        quick: A tiny network, few rounds: to see that it runs, not how fast.
        say: Told what comes next.

    Raises:
        SettingsError: There is no such group.
        Sat2MapError: A model or the pairs cannot be used.
    """
    unknown = [group for group in only if group not in GROUPS]
    if unknown:
        raise SettingsError(
            f"no group of the bench is called '{unknown[0]}': use some of {', '.join(GROUPS)}"
        )
    began = time.monotonic()
    threads = threads or processor().threads
    torch.set_num_threads(threads)
    skipped: list[str] = []
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paper = model or _untrained(folder / "paper.safetensors", quick=quick)
        compact = compact or (paper if quick else bundled_model())
        if model is None:
            skipped.append("errors of the paper's network: no trained one was given (--model)")
        openvino: list[EngineName] = ["openvino"] if find_spec("openvino") else []
        engines: list[EngineName] = ["onnx", *openvino, "torch"]
        if "inference" in only:
            say("peak of matrix products")
            peaks = peak_rows(threads, rounds=2, sides=(64,)) if quick else peak_rows(threads, rounds=10)
            rows += peaks
            say("inference: exports")
            models = {"U-Net-256": paper} if quick else {"U-Net-256": paper, "bundled": compact}
            rows += _inference(models, pairs, folder, threads, peaks, skipped, say, quick=quick)
        if "training" in only:
            say("training")
            baseline = None if quick else BASELINE
            if baseline is None:
                skipped.append("the plain training loop: left out of a quick bench")
            rows += training.training_rows(
                baseline,
                folder / "pairs",
                images=4 if quick else 24,
                rounds=1 if quick else 2,
                width=8 if quick else 64,
                size=64 if quick else 256,
            )
        if "folder" in only:
            for path in [paper] if quick else [compact, paper]:
                say(f"folder of images, {path.name}")
                count = 2 if quick else 200
                rows.append(service.folder_row(path, folder / f"f-{path.stem}", count=count, threads=threads))
        if quick:
            engines = engines[:1]
        if "start" in only:
            say("start")
            rows += service.start_rows(compact, ["auto", *engines], folder, rounds=1 if quick else 5)
        if "memory" in only:
            say("memory")
            rows += service.memory_rows(paper, engines, side=64 if quick else 1024)
    return Bench(
        machine=describe_machine(threads),
        rows=tuple(rows),
        skipped=tuple(skipped),
        seconds=time.monotonic() - began,
    )


def _inference(
    models: dict[str, Path],
    pairs: Path | None,
    folder: Path,
    threads: int,
    peaks: list[Row],
    skipped: list[str],
    say: Callable[[str], None],
    *,
    quick: bool,
) -> list[Row]:
    candidates: list[inference.Candidate] = []
    notes: dict[str, str] = {}
    for label, path in models.items():
        opened = inference.open_candidates(path, label, folder, threads, pairs, skipped.append)
        say(f"inference: errors of {path.name}")
        notes |= inference.quality_notes(opened, pairs)
        candidates += opened
    say("inference: times")
    sizes = {64: 2} if quick else {256: 15, 512: 7, 1024: 3}
    return inference.inference_rows(candidates, candidates[0], peaks, sizes, notes)


def _untrained(path: Path, *, quick: bool) -> Path:
    spec = GeneratorSpec(width=8, depth=4) if quick else GeneratorSpec()
    torch.manual_seed(0)
    generator = build_generator(spec)
    init_weights(generator)
    size = 64 if quick else 256
    save_model(path, generator.state_dict(), ModelHeader(generator=spec, image_size=size))
    return path

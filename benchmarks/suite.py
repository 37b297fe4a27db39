"""`run_bench`: all groups in turn, in a temporary folder, within some minutes."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from benchmarks import busy, inference, jobs, service, training
from benchmarks.clock import Clock
from benchmarks.machine import describe_machine
from benchmarks.peak import peak_rows
from benchmarks.table import Bench, Row
from sat2map.errors import SettingsError
from sat2map.inference.backends import EngineName, open_engine
from sat2map.inference.backends.graphs import make_graph
from sat2map.models.architectures.blocks import init_weights
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec, spec_of
from sat2map.models.bundled import bundled_model
from sat2map.models.model_file import ModelHeader, read_header, save_model
from sat2map.runtime.cpu import processor
from sat2map.settings import load_settings

GROUPS = ("start", "inference", "rasters", "jobs", "training", "busy", "folder", "memory")
EXTRA_GROUPS = ("int8",)  # calibrating takes longer than all the others
MINUTES = 8.0
BASELINE = Path(__file__).with_name("baseline.py")


def run_bench(
    *,
    model: Path | None = None,
    compact: Path | None = None,
    pairs: Path | None = None,
    only: tuple[str, ...] = GROUPS,
    threads: int = 0,
    minutes: float = MINUTES,
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
        minutes: Stages that no longer fit into these are left out.
        quick: Tiny sizes, one round: to see that it runs, not how fast.
        say: Told what comes next.

    Raises:
        SettingsError: There is no such group.
        Sat2MapError: A model or the pairs cannot be used.
    """
    unknown = [group for group in only if group not in GROUPS + EXTRA_GROUPS]
    if unknown:
        raise SettingsError(
            f"no group of the bench is called '{unknown[0]}': use some of {', '.join(GROUPS + EXTRA_GROUPS)}"
        )
    clock = Clock(minutes, say)
    threads = threads or processor().threads
    torch.set_num_threads(threads)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paper = model or _untrained(folder / "paper.safetensors", _paper(quick=quick), 64 if quick else 256)
        ours = compact or (paper if quick else bundled_model())
        if model is None:
            clock.skip("errors of the paper's network: no trained one was given (--model)")
        stages: dict[str, Callable[[], list[Row]]] = {
            "start": lambda: _start(ours, folder, clock, quick=quick),
            "inference": lambda: _inference(paper, ours, pairs, folder, threads, clock, quick=quick),
            "int8": lambda: _race(
                {"bundled": ours}, [], pairs, folder, threads, clock, int8=True, quick=quick
            ),
            "rasters": lambda: _rasters(paper, ours, folder, clock, quick=quick),
            "jobs": lambda: _jobs(folder, clock, quick=quick),
            "training": lambda: _training(folder, clock, quick=quick),
            "busy": lambda: _busy(folder, clock, quick=quick),
            "memory": lambda: _memory(paper, ours, folder, clock, quick=quick),
            "folder": lambda: _folders(paper, ours, folder, threads, clock, quick=quick),
        }
        for group, stage in stages.items():
            if group not in only:
                continue
            try:
                rows += stage()
            except Exception as error:
                if quick:
                    raise
                traceback.print_exc()  # the other stages have hours of a quiet machine to lose
                clock.skip(f"{group}: it failed ({str(error)[-200:]})")
    if quick:  # such times meet nothing and fall short of nothing
        rows = [row.model_copy(update={"limit": None}) for row in rows]
    return Bench(
        machine=describe_machine(threads),
        rows=tuple(rows),
        skipped=tuple(clock.skipped),
        seconds=clock.seconds,
    )


def _engines() -> list[EngineName]:
    openvino: list[EngineName] = ["openvino"] if find_spec("openvino") else []
    return ["onnx", *openvino, "torch"]


def _start(ours: Path, folder: Path, clock: Clock, *, quick: bool) -> list[Row]:
    if not clock.begin("start"):
        return []
    engines: list[EngineName] = ["auto", *(_engines()[:1] if quick else _engines())]
    rows = jobs.start_rows(folder, rounds=1 if quick else 5)
    return rows + service.start_rows(ours, engines, folder, rounds=1 if quick else 3)


def _inference(
    paper: Path, ours: Path, pairs: Path | None, folder: Path, threads: int, clock: Clock, *, quick: bool
) -> list[Row]:
    rows: list[Row] = []
    clock.begin("peak of matrix products")
    if quick:
        peaks = peak_rows(threads, rounds=2, sides=(64,), skip=clock.skip)
    else:
        peaks = peak_rows(threads, rounds=5, skip=clock.skip)
    rows += peaks
    # The network that came with the package before the palette network: 7.3 M parameters, six map classes.
    former = _untrained(folder / "former.safetensors", spec_of(load_settings("rgb"), classes=6), 256)
    models = {"U-Net-256": paper, "former U-Net": former, "bundled": ours}
    rows += _race(
        {"U-Net-256": paper, "bundled": ours} if quick else models,
        peaks,
        pairs,
        folder,
        threads,
        clock,
        quick=quick,
    )
    if not quick:
        rows += _against_former(rows)
    if not find_spec("openvino"):
        clock.skip("OpenVINO's benchmark_app: openvino is not installed")
    elif clock.begin("the rate of OpenVINO's benchmark_app", needs=4 if quick else 20):
        side = 64 if quick else 512
        graph = folder / "bundled.onnx"
        graph.write_bytes(make_graph(ours, read_header(ours)))
        engine = open_engine(ours, engine="openvino", device="cpu", threads=threads)
        batch = np.random.default_rng(0).uniform(-1, 1, (1, 3, side, side)).astype(np.float32)
        seconds = 1 if quick else 4
        rows += jobs.app_rows(graph, lambda: engine(batch), side=side, threads=threads, seconds=seconds)
    return rows


def _race(
    models: dict[str, Path],
    peaks: list[Row],
    pairs: Path | None,
    folder: Path,
    threads: int,
    clock: Clock,
    *,
    int8: bool = False,
    quick: bool,
) -> list[Row]:
    candidates: list[inference.Candidate] = []
    notes: dict[str, str] = {}
    for label, path in models.items():
        clock.begin(f"engines of {label}")
        opened = inference.open_candidates(path, label, folder, threads, pairs, clock.skip, int8=int8)
        notes |= inference.quality_notes(opened, pairs)
        candidates += opened
    rows: list[Row] = []
    sizes = {64: 2} if quick else {256: 9, 512: 5, 1024: 3}
    for side, rounds in sizes.items():
        if clock.begin(f"inference at {side} px", needs=0 if quick else (side / 256) ** 2 * rounds):
            rows += inference.inference_rows(candidates, candidates[0], peaks, {side: rounds}, notes)
    return rows


def _against_former(rows: list[Row]) -> list[Row]:
    """Compare the time for a megapixel with that of the former network: best fp32 engine, and best engine."""
    group = "Time for a megapixel of the bundled network over the former one's"
    largest = [row for row in rows if row.group.startswith("Inference")][-1:]
    at_largest = [row for row in rows if largest and row.group == largest[0].group]
    found = []
    for name, ends in (("best fp32 engine", ("fp32",)), ("best engine", ("fp32", "bf16"))):
        best = {
            label: min(
                (
                    row.value
                    for row in at_largest
                    if row.name.startswith(f"{label}:") and row.name.endswith(ends)
                ),
                default=0.0,
            )
            for label in ("bundled", "former U-Net")
        }
        if all(best.values()):
            ratio = best["bundled"] / best["former U-Net"]
            found.append(Row.of(group, name, [ratio], "x", limit=0.8))
    return found


def _rasters(paper: Path, ours: Path, folder: Path, clock: Clock, *, quick: bool) -> list[Row]:
    side = 256 if quick else 3072
    models = {"bundled network": ours} if quick else {"bundled network": ours, "U-Net-256": paper}
    rows = jobs.raster_rows(models, folder, clock, side=side, rounds=1)
    if clock.begin("rasters at 0.9 and 0.3 m", needs=side**2 / 5e5):
        rows += jobs.scale_rows(bundled_model(), folder, side=side)
    return rows


def _jobs(folder: Path, clock: Clock, *, quick: bool) -> list[Row]:
    rounds, model = (1, bundled_model()) if quick else (2, bundled_model())
    rows = jobs.map_rows(model, folder, clock, side=256 if quick else 3072, rounds=rounds)
    if clock.begin("bulk", needs=0 if quick else 30):
        rows += jobs.bulk_rows(
            model, folder, count=2 if quick else 44, rounds=rounds, side=64 if quick else 600
        )
    return rows


def _training(folder: Path, clock: Clock, *, quick: bool) -> list[Row]:
    if not clock.begin("training", needs=0 if quick else 60):
        return []
    if quick:
        clock.skip("the plain training loop: left out of a quick bench")
    rows = training.training_rows(
        None if quick else BASELINE,
        folder / "pairs",
        images=4 if quick else 16,
        rounds=1,
        width=8 if quick else 64,
        size=64 if quick else 256,
    )
    if clock.begin("training of the default recipe", needs=0 if quick else 25):
        rows += training.waiting_rows(folder / "pairs", steps=1 if quick else 6)
    return rows


def _busy(folder: Path, clock: Clock, *, quick: bool) -> list[Row]:
    if quick:
        clock.skip("beside a busy program: `python -m benchmarks.busy --rounds 1` tries it")
        return []
    if not clock.begin("beside a busy program", needs=70):
        return []
    measured = busy.measure(folder / "busy", ["tiny"], None, 2, idle=False)
    group = "Beside a program that keeps all cores but one busy, over the time on one core alone"
    ratios = {
        work: [b / a for a, b in zip(row["one core"], row["busy"], strict=True)]
        for work, row in measured.items()
    }
    return [Row.of(group, work, values, "x", limit=busy.LIMIT) for work, values in ratios.items()]


def _folders(paper: Path, ours: Path, folder: Path, threads: int, clock: Clock, *, quick: bool) -> list[Row]:
    rows = []
    for path in [paper] if quick else [ours, paper]:
        count = 2 if quick else 44
        if clock.begin(f"folder of images, {path.name}", needs=0 if quick else 15):
            rows.append(service.folder_row(path, folder / f"f-{path.stem}", count=count, threads=threads))
    return rows


def _memory(paper: Path, ours: Path, folder: Path, clock: Clock, *, quick: bool) -> list[Row]:
    rows: list[Row] = []
    if clock.begin("memory of one image", needs=0 if quick else 10):
        rows += service.memory_rows(
            paper, _engines()[:1] if quick else _engines(), side=64 if quick else 1024
        )
    sides = (256, 320) if quick else (4096, 12288)
    return rows + jobs.memory_rows(bundled_model(), folder, clock, sides=sides)


def _paper(*, quick: bool) -> GeneratorSpec:
    return GeneratorSpec(width=8, depth=4) if quick else GeneratorSpec()


def _untrained(path: Path, spec: GeneratorSpec, size: int) -> Path:
    torch.manual_seed(0)
    generator = build_generator(spec)
    init_weights(generator)
    save_model(path, generator.state_dict(), ModelHeader(generator=spec, image_size=size))
    return path

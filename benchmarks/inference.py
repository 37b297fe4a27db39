"""Rows of inference: every engine at three sizes, with its error and its cost in class IoU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.table import Row
from benchmarks.timing import interleave
from sat2map.evaluation.scores import ScoreSheet
from sat2map.export import Format, export_model
from sat2map.images.pixels import to_unit
from sat2map.inference import Translator
from sat2map.inference.backends import ColourBackend, EngineName, EngineOptions, Uint8Backend, open_engine
from sat2map.inference.backends.torch.engine import TorchEngine
from sat2map.inference.drawing import Drawer, Products
from sat2map.models.architectures.generators import build_generator
from sat2map.models.model_file import ModelHeader
from sat2map.runtime.cpu import processor
from sat2map.settings import Precision
from sat2map.synthetic.towns import draw_town

BASELINE = "PyTorch eager, fp32"
WAYS: tuple[tuple[EngineName, Precision | Literal["int8"], Format | None], ...] = (
    ("onnx", "fp32", None),
    ("openvino", "fp32", None),
    ("openvino", "bf16", None),
)
INT8_WAYS: tuple[tuple[EngineName, Precision | Literal["int8"], Format | None], ...] = (
    ("onnx", "int8", "onnx-int8"),
    ("openvino", "int8", "openvino-int8"),
)
SCORED = 60  # pairs, evenly over the split


@dataclass(frozen=True)
class Candidate:
    """An engine in the race.

    Attributes:
        name: In the table.
        engine: Ready to run.
        arithmetic: fp32, bf16 or int8: whose peak it is measured by.
        classes: Whether it computes the class head, where there is one.
    """

    name: str
    engine: Uint8Backend
    arithmetic: str
    classes: bool

    def translate(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the picture of one photo, uint8 (1, h, w, bands), from its bytes."""
        header = self.engine.header
        if not header.generator.colours:
            return self.engine.predict(pixels)
        if isinstance(self.engine, ColourBackend):  # as `Translator` does
            (numbers,) = self.engine.likeliest(to_unit(pixels))
            return np.moveaxis(Drawer(header).paint(numbers).image, 0, -1)[None]
        drawn = Drawer(header).draw(self.engine(to_unit(pixels))[0], Products())
        return np.moveaxis(drawn.image, 0, -1)[None]


def open_candidates(
    model: Path,
    label: str,
    folder: Path,
    threads: int,
    pairs: Path | None,
    skip: Callable[[str], None],
    *,
    int8: bool = False,
) -> list[Candidate]:
    """Open a model in every engine that is installed, PyTorch first; int8 exports go to the folder."""
    exact = EngineOptions(device="cpu", mode="eval", precision="fp32", threads=threads)
    plain = TorchEngine.open(model, exact)
    found = [Candidate(f"{label}: {BASELINE}", plain, "fp32", classes=True)]
    for engine, precision, to in (*WAYS, *(INT8_WAYS if int8 else ())):
        name = f"{label}: {'ONNX Runtime' if engine == 'onnx' else 'OpenVINO'}, {precision}"
        needed = (
            ("openvino", "nncf") if to == "openvino-int8" else ("openvino",) if engine == "openvino" else ()
        )
        missing = [module for module in needed if find_spec(module) is None]
        if missing:
            skip(f"{name}: {missing[0]} is not installed")
            continue
        if precision == "bf16" and not processor().multiplies_bf16:
            skip(f"{name}: this processor does not multiply bf16")
            continue
        path = model
        if to:  # the bench shows the error, whatever it is
            output = folder / f"{label}-{engine}{'.xml' if engine == 'openvino' else '.onnx'}"
            path = export_model(model, to, output, pairs=pairs, score=False, mode="eval", limit=255).output
        how = replace(
            exact, engine=engine, image_only=True, precision="auto" if precision == "int8" else precision
        )
        opened = open_engine(path, how)
        assert isinstance(opened, Uint8Backend)
        found.append(Candidate(name, opened, precision, classes=to == "onnx-int8"))
    return found


def inference_rows(
    candidates: list[Candidate],
    baseline: Candidate,
    peaks: list[Row],
    sizes: dict[int, int],
    notes: dict[str, str],
) -> list[Row]:
    """Time all candidates on one picture, from bytes to bytes, at sizes {side: rounds}."""
    rows = []
    for side, rounds in sizes.items():
        pixels = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
        calls = {c.name: partial(c.translate, pixels) for c in candidates}
        seconds = interleave(calls, rounds=rounds, warm_up=2)
        for c in candidates:
            amount = gmac(c.engine.header, side, classes=c.classes)
            each = [1000 * second for second in seconds[c.name]]
            peak = next((row.high for row in peaks if row.name == c.arithmetic), None)
            rows.append(
                Row.of(
                    f"Inference, one picture of {side} x {side} px",
                    c.name,
                    each,
                    "ms",
                    ratio=None if c is baseline else _ratio(seconds[baseline.name], seconds[c.name]),
                    gmac=amount,
                    share=2 * amount / float(np.median(seconds[c.name])) / peak if peak else None,
                    note=notes.get(c.name, ""),
                )
            )
    return rows


def _ratio(theirs: list[float], mine: list[float]) -> float:
    """Return the median of the ratios within a round: what slows a round down slows down both."""
    return float(np.median(np.array(theirs) / np.array(mine)))


def gmac(header: ModelHeader, side: int, *, classes: bool = True) -> float:
    """Count the multiply-adds (1e9) of the network as the paper writes it, whatever rewrites do to it."""
    spec = header.generator if classes else header.generator.model_copy(update={"classes": 0})
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build_generator(spec).eval()(torch.empty(1, spec.source_bands, side, side))
    return float(counter.get_total_flops()) / 2e9


def quality_notes(candidates: list[Candidate], pairs: Path | None) -> dict[str, str]:
    """Return each candidate's mean error against the first, and its cost in mean class IoU.

    That takes pairs, and a network that has been trained.
    """
    header = candidates[0].engine.header
    sources, targets = _pictures(header, pairs)
    palette = header.palette if header.steps else None
    expected = [_draw(candidates[0], source) for source in sources]
    notes, before = {}, 0.0
    for c in candidates:
        fakes = [_draw(c, source) for source in sources]
        differences = [np.abs(a.astype(int) - b).mean() for a, b in zip(fakes, expected, strict=True)]
        parts = [] if c is candidates[0] else [f"error {np.mean(differences):.3f} grey levels"]
        if targets and palette is not None:
            sheet = ScoreSheet(palette)
            for i, (fake, target) in enumerate(zip(fakes, targets, strict=True)):
                sheet.add(fake, target, str(i))
            score = sheet.scores()["mean_iou"]
            before = score if c is candidates[0] else before
            parts.append(f"mean class IoU {score:.4f}" + (f" ({score - before:+.4f})" if len(parts) else ""))
        notes[c.name] = ", ".join(parts)
    return notes


def _draw(candidate: Candidate, source: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return Translator(candidate.engine)(source)


def _pictures(
    header: ModelHeader, pairs: Path | None
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    if pairs is None:
        return [draw_town(8_000_000 + i, size=header.typical_size).source for i in range(8)], []
    from sat2map.data.pairs import find_pairs
    from sat2map.data.read_pair import read_pair
    from sat2map.images.pixels import resize

    found = find_pairs(pairs)["val"]
    chosen = [found[int(i)] for i in np.linspace(0, len(found) - 1, min(SCORED, len(found)))]
    both = [read_pair(pair, header.direction) for pair in chosen]
    side = header.typical_size
    return [resize(source, side, side) for source, _ in both], [
        resize(target, side, side) for _, target in both
    ]

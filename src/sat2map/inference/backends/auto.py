"""The automatic choice of an engine: the first that is installed and draws what the reference draws."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import ModelFileError, SettingsError
from sat2map.files import atomic_write_bytes
from sat2map.inference.backends import Engine
from sat2map.inference.backends.graphs import shared_graphs
from sat2map.inference.backends.options import EngineOptions
from sat2map.inference.backends.record import BackendRecord
from sat2map.models.bundled import bundled_model
from sat2map.models.header import ModelHeader
from sat2map.models.model_file import read_header

MAX_ERROR = 0.5  # grey levels, mean over the pattern; bf16 has about 0.1 on trained models
PATTERN_SIDE = 64  # px, or the network's size divisor where that is more


def open_first_right(
    records: Sequence[BackendRecord], model: Path, options: EngineOptions, mode: str
) -> Engine:
    """Open a model with the first engine that is installed and right.

    An engine that is verified has to draw a test pattern as the first engine that is not: within half a grey
    level, at the precision that it chooses or else in fp32. What the bundled weights draw is stored, since
    opening a second engine takes longer than a map.

    The two run the same graph, which is built once: so the weights are read and rewritten once.

    Raises:
        MissingExtraError: None is installed.
        ModelFileError: The model cannot be used.
        SettingsError: No engine runs it on the device.
    """
    if not records:
        raise SettingsError(
            f"no engine runs {model.name} on {options.device} in {mode} mode",
            hint="leave the device at auto",
            setting="device",
        )
    installed = [record for record in records if record.is_installed]
    if not installed:
        records[0].require("paper mode" if mode == "paper" else None)
    references = [record for record in installed if not record.is_verified]
    with shared_graphs():
        if installed[0].is_verified and not references:
            return installed[0].open(model, options)
        header = read_header(model)
        expected = stored_levels(header)
        for record in installed[: installed.index(references[0])]:
            if expected is None:
                open_reference = references[0].open_reference or references[0].open
                expected = levels(open_reference(model, options)(pattern(header)), header)
            tried = (
                [options] if options.precision == "fp32" else [options, replace(options, precision="fp32")]
            )
            for how in tried:
                try:
                    engine = record.open(model, how)
                    found = levels(engine(pattern(header)), header)
                except (RuntimeError, ModelFileError):  # whatever it does not like here, the reference runs
                    continue
                if _error(found, expected) <= MAX_ERROR:
                    return engine
        return references[0].open(model, options)


def pattern(header: ModelHeader) -> NDArray[np.float32]:
    """Return an image with detail at every scale, float32 (1, source_bands, side, side) in [-1, 1]."""
    spec = header.generator
    side = max(PATTERN_SIDE, spec.size_divisor)
    random = np.random.default_rng(0)
    total = np.zeros((spec.source_bands, side, side), np.float32)
    for scale in (1, 4, 16):
        count = -(-side // scale)
        coarse = random.uniform(-1, 1, (spec.source_bands, count, count))
        total += np.kron(coarse, np.ones((scale, scale)))[:, :side, :side].astype(np.float32)
    return np.clip(total / 2, -1, 1)[None].astype(np.float32)


def store_levels(model: Path, engine: Engine) -> None:
    """Store what an engine draws of the pattern beside a model file, for `stored_levels`."""
    drawn, header = levels(engine(pattern(engine.header)), engine.header), read_header(model)
    content = io.BytesIO()
    np.savez(content, levels=drawn.astype(np.float16), checksum=header.weights_checksum)
    atomic_write_bytes(model.with_suffix(".pattern.npz"), content.getvalue())


def stored_levels(header: ModelHeader) -> NDArray[np.float32] | None:
    """Return what the bundled weights draw of the pattern, in grey levels; None for other weights."""
    path = bundled_model().with_suffix(".pattern.npz")
    if not path.exists():
        return None
    with np.load(path) as stored:
        if str(stored["checksum"]) != header.weights_checksum:
            return None
        drawn: NDArray[np.float32] = stored["levels"].astype(np.float32)
        return drawn


def _error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    error = float(np.abs(found - expected).mean())
    return error if np.isfinite(error) else float("inf")


def levels(outputs: NDArray[np.float32], header: ModelHeader) -> NDArray[np.float32]:
    """Return outputs as an image in grey levels, float32 (n, bands, h, w); colours mixed by probability."""
    if not header.generator.colours or header.palette is None:
        image: NDArray[np.float32] = outputs[:, : header.generator.target_bands] * np.float32(127.5)
        return image
    odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    colours = [colour for map_class in header.palette.classes for colour in map_class.colours]
    shares = odds / odds.sum(axis=1, keepdims=True)
    mixed: NDArray[np.float32] = np.einsum("nchw,cb->nbhw", shares, np.array(colours, np.float32))
    return mixed

"""A model file in words."""

from __future__ import annotations

from pathlib import Path

from sat2map.models.architectures.registry import find_architecture
from sat2map.models.header import ModelHeader


def describe(path: Path, header: ModelHeader) -> str:
    """Describe a model file in words, one fact per line."""
    spec, palette = header.generator, header.palette
    outputs = (
        f"{spec.colours} colours of the palette" if spec.colours else f"{spec.target_bands} bands, uint8"
    )
    facts = {
        "file": f"{path} ({path.stat().st_size / 1e6:.1f} MB, format {header.format_version})",
        "network": find_architecture(spec.architecture).describe(spec)
        + (f", a head for {spec.classes} classes" if spec.classes else ""),
        "input": f"{_describe_bands(header)}, any size; {describe_scale(header)}",
        "output": outputs
        + (f"; map classes {', '.join(palette.names)} (palette {palette.name})" if palette else ""),
        "direction": header.direction.replace("-", " "),
        "mode": {
            "eval": "eval: running statistics, no dropout; the same output every time",
            "paper": "paper: statistics of the batch and dropout, as the paper tests",
        }[header.inference_mode],
        "training": f"{header.steps} steps, data {header.data_fingerprint[:12] or 'unknown'}, "
        f"sat2map {header.created_with or 'unknown'}",
        "scores": ", ".join(f"{name} {score:.3f}" for name, score in header.scores.items()) or "none",
        "notes": header.notes,
        "licences": "; ".join(f"{part}: {text.splitlines()[0]}" for part, text in header.licenses.items()),
    }
    return "\n".join(f"{name + ':':<11} {fact}" for name, fact in facts.items() if fact)


def _describe_bands(header: ModelHeader) -> str:
    if header.limits is None:
        return f"{', '.join(band.name for band in header.bands)} from 0 to 255"
    return ", ".join(f"{band.name} from {band.low:g} to {band.high:g}" for band in header.bands)


def describe_scale(header: ModelHeader) -> str:
    """Say at which size and scale a model was trained."""
    size = f"trained at {header.image_size} px" if header.image_size else "trained at native pixels"
    if header.gsd is None:
        return size
    if header.gsd_range is None:
        return f"{size}, {header.gsd:g} m per pixel"
    low, high = header.gsd_range
    return f"{size}, {header.gsd:g} m per pixel ({low:g} to {high:g} m)"

"""The model card: the header of a model file as the hub's page for the model."""

from __future__ import annotations

import json
from pathlib import Path

from sat2map.models.architectures.registry import find_architecture
from sat2map.models.describe import describe_scale
from sat2map.models.header import ModelHeader

_TEMPLATE = Path(__file__).with_name("card.md")


def model_card(header: ModelHeader, repo: str) -> str:
    """Write a model card; it says nothing that the header does not."""
    spec = header.generator
    draws_map = header.direction == "source-to-target"
    architecture = find_architecture(spec.architecture)
    way = "source images into their targets" if draws_map else "target images back into their sources"
    what = f"A pix2pix generator ({architecture.label}) that turns {way}"
    if header.palette is not None:
        what += f": a map with the classes {', '.join(header.palette.names)}"
    return _TEMPLATE.read_text("utf-8").format(
        repo=repo,
        title=repo.partition("/")[2],
        what=what + ".",
        map_tags="- satellite\n- map\n" if header.palette is not None else "",
        facts=_table(_facts(header)),
        scores=_table({name: f"{score:.4g}" for name, score in header.scores.items()})
        if header.scores
        else "None are in the model file: measure it with `sat2map evaluate`.",
        limits=_limits(header),
        training=_training(header),
        licenses=_licenses(header),
    )


def _facts(header: ModelHeader) -> dict[str, str]:
    spec = header.generator
    low, high = header.bands[0].low, header.bands[0].high
    return {
        "input": f"{', '.join(band.name for band in header.bands)} from {low:g} to {high:g}, any size",
        "output": f"{spec.target_bands} bands, uint8, the same size"
        + (f"; logits of {spec.colours} colours" if spec.colours else "")
        + (f"; logits of {spec.classes} classes" if spec.classes else ""),
        "scale": describe_scale(header),
        "inference mode": f"`{header.inference_mode}`",
        "network": find_architecture(spec.architecture).describe(spec),
    }


def _limits(header: ModelHeader) -> str:
    metres = header.gsd
    scale = f"about {metres:g} m a pixel" if metres else "the ground size of a pixel that it was trained at"
    scored = " The scores were taken on validation pairs during the training." if header.scores else ""
    return (
        "It draws what is likely, not what is there: a drawn road is no proof of a road. Give it images of "
        f"{scale}, of places like those it was trained on; on others it is as sure, and wrong more often."
        + scored
    )


def _training(header: ModelHeader) -> str:
    lines = [f"{header.steps} steps, sat2map {header.created_with or 'unknown'}, data fingerprint "]
    lines[0] += f"`{header.data_fingerprint or 'unknown'}`."
    if header.notes:
        lines.append(f"Notes: {header.notes.rstrip('.')}.")
    if header.settings:
        lines.append(f"```json\n{json.dumps(header.settings, indent=2)}\n```")
    return "\n\n".join(lines)


def _licenses(header: ModelHeader) -> str:
    if not header.licenses:
        return ""
    texts = [f"**{part}**\n\n```text\n{text}\n```" for part, text in header.licenses.items()]
    return "\n" + "\n\n".join(["## Parts that others made", *texts])


def _table(rows: dict[str, str]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items())])

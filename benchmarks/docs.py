"""The tables of docs/performance.md and docs/measurements.md, from the figures of a bench in docs/bench.json.

`python -m benchmarks --docs` measures and writes both; `python -m benchmarks.docs` writes the tables again.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.table import Bench, cells
from sat2map.files import atomic_write_text

DOCS = Path(__file__).parents[1] / "docs"
FIGURES, PAGES = DOCS / "bench.json", (DOCS / "performance.md", DOCS / "measurements.md")
BLOCK = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_RASTER = "A raster of 3072 x 3072 px, bundled network"
SUMMARY = {
    (
        "Start",
        "sat2map translate, start to map",
    ): "`sat2map translate photo.jpg`, from the start to the map on the disk",
    (
        "Inference, one picture of 1024 x 1024 px",
        "bundled: OpenVINO, bf16",
    ): "a megapixel through the network, bf16",
    ("Inference, one picture of 1024 x 1024 px", "bundled: OpenVINO, fp32"): "the same, fp32",
    (_RASTER, "0.9 m: time"): "a raster of 3072 x 3072 px of 0.9 m",
    ("A folder of 44 photos of 600 px with bulk", "sat2map translate"): "a folder of 44 photos of 600 px",
    ("Training of the preset default", "step"): "a step of the preset `default`, 8 crops",
    (
        "Peak memory of a raster of 12288 x 12288 px, bundled network",
        "peak",
    ): "peak memory of a raster of 12288 x 12288 px",
}
"""The rows that the page opens with, by group and name, in a reader's words."""


def write_docs(bench: Bench) -> None:
    """Write the figures and the tables."""
    atomic_write_text(FIGURES, bench.to_json())
    write_tables(bench)


def write_tables(bench: Bench) -> None:
    """Write the tables into the pages, between their markers."""
    texts = {"summary": _summary(bench), "targets": bench.targets(), "all": _folded(bench.to_markdown())}
    for path in PAGES:
        page = BLOCK.sub(lambda found: f"{found[1]}{texts[found[2]]}{found[3]}", path.read_text("utf-8"))
        atomic_write_text(path, page)


def _summary(bench: Bench) -> str:
    rows = {(row.group, row.name): row for row in bench.rows}
    lines = [f"| {bench.short_machine} | |", "|---|--:|"]
    for key, text in SUMMARY.items():
        if key in rows:
            value = cells(rows[key])[1].replace(" ", "\N{NO-BREAK SPACE}")  # kept together on a phone
            lines.append(f"| {text} | {value} |")
    return "\n".join(lines) + "\n"


def _folded(markdown: str) -> str:
    """Return the tables of all groups, each folded away under its name; the targets stand on their own."""
    facts, *groups = markdown.split("\n### ")
    texts = (group.split("\n", 1) for group in groups)
    shown = (
        f'<details markdown="1"><summary>{name}</summary>\n\n{table.strip()}\n\n</details>\n'
        for name, table in texts
        if name != "Targets"
    )
    return "\n".join((facts, *shown))


if __name__ == "__main__":
    write_tables(Bench.model_validate_json(FIGURES.read_text("utf-8")))

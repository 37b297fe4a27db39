"""The docs' tables of what the benchmarks measured, from the JSON that they wrote into docs/.

`make bench-docs`, and `make bench-peers`, `soak` and `kills` with `RUNS=docs`, measure and write the JSON;
`python -m benchmarks.docs` writes the tables, and with `--check` only says whether they are up to date.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from benchmarks import kills, load, soak
from benchmarks.table import Bench, cells
from sat2map.files import atomic_write_text

DOCS = Path(__file__).parents[1] / "docs"
FIGURES = DOCS / "bench.json"
PAGES = tuple(DOCS / name for name in ("performance.md", "measurements.md", "operations.md"))
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
    """Write the figures of a bench, and the tables."""
    atomic_write_text(FIGURES, bench.to_json())
    for path, text in pages().items():
        atomic_write_text(path, text)


def pages() -> dict[Path, str]:
    """Return the text of each page, with its tables as the figures have them."""
    texts = _tables()
    return {
        path: BLOCK.sub(lambda found: f"{found[1]}{texts[found[2]]}{found[3]}", path.read_text("utf-8"))
        for path in PAGES
    }


def _tables() -> dict[str, str]:
    def read(name: str) -> str:
        return (DOCS / f"{name}.json").read_text("utf-8")

    bench = Bench.model_validate_json(read("bench"))
    return {
        "summary": _summary(bench),
        "targets": bench.targets(),
        "all": _folded(bench.to_markdown()),
        "peers": _folded(Bench.model_validate_json(read("bench-peers")).to_markdown()),
        "soak": soak.to_markdown(json.loads(read("soak"))),
        "load": load.to_markdown(json.loads(read("load"))),
        "kills": kills.to_markdown(json.loads(read("kills"))),
    }


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


def main() -> None:
    """Write the pages, or say which are out of date."""
    stale = {path: text for path, text in pages().items() if path.read_text("utf-8") != text}
    if "--check" in sys.argv[1:]:
        if stale:
            sys.exit(f"{', '.join(path.name for path in stale)}: run `python -m benchmarks.docs`")
        return
    for path, text in stale.items():
        atomic_write_text(path, text)


if __name__ == "__main__":
    main()

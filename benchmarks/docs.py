"""The tables of docs/performance.md, from the figures of a bench in docs/bench.json.

`python -m benchmarks --docs` measures and writes both; `python -m benchmarks.docs` writes the tables again.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.table import Bench
from sat2map.files import atomic_write_text

DOCS = Path(__file__).parents[1] / "docs"
FIGURES, PAGE = DOCS / "bench.json", DOCS / "performance.md"
BLOCK = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def write_docs(bench: Bench) -> None:
    """Write the figures and the tables."""
    atomic_write_text(FIGURES, bench.to_json())
    write_tables(bench)


def write_tables(bench: Bench) -> None:
    """Write the tables into the page, between their markers."""
    texts = {"targets": bench.targets(), "all": bench.to_markdown()}
    page = BLOCK.sub(lambda found: f"{found[1]}{texts[found[2]]}{found[3]}", PAGE.read_text())
    atomic_write_text(PAGE, page)


if __name__ == "__main__":
    write_tables(Bench.model_validate_json(FIGURES.read_text()))

"""Measures this machine: training and every engine against plain PyTorch, as ratios within one run.

python -m benchmarks --json bench.json --markdown
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import cyclopts

from sat2map.extras import require


def bench(
    *,
    model: Path | None = None,
    compact: Path | None = None,
    pairs: Path | None = None,
    only: tuple[
        Literal["start", "inference", "rasters", "jobs", "training", "busy", "folder", "memory", "int8"], ...
    ] = (),
    minutes: float = 8,
    threads: int = 0,
    json: Path | None = None,
    markdown: bool = False,
    docs: bool = False,
    quick: bool = False,
) -> None:
    """Measure this machine: training and every engine against plain PyTorch, as ratios within one run.

    Args:
        model: U-Net of the paper's size, trained, for the engines' errors; none: a random one.
        compact: The small generator; none: the one that comes with the package.
        pairs: Pairs to train on; none: drawn towns.
        only: Which groups; none: all but int8, whose calibration takes long.
        minutes: Stages that no longer fit into these are left out, with a message.
        threads: CPU threads; 0: one a core.
        json: Write all figures here.
        markdown: Print tables for docs/performance.md.
        docs: Put the tables into docs/performance.md, and the figures into docs/bench.json.
        quick: One round of small sizes, to see that it works.
    """
    require("torch", "the bench", "train")
    from benchmarks import run_bench
    from benchmarks.suite import GROUPS
    from benchmarks.table import print_bench
    from sat2map.files import atomic_write_text

    result = run_bench(
        model=model,
        compact=compact,
        pairs=pairs,
        only=only or GROUPS,
        threads=threads,
        minutes=minutes,
        quick=quick,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    if docs:
        from benchmarks.docs import write_docs

        write_docs(result)
    if json:
        atomic_write_text(json, result.to_json())
    if markdown:
        print(result.to_markdown())
    else:
        print_bench(result)


if __name__ == "__main__":
    cyclopts.run(bench)

"""Tests that README, model card and benchmark show the figures of docs/results.json."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "make_results.py"
PAGES = ("README.md", "docs/benchmark.md", "docs/model-card.md")


def test_the_pages_show_the_figures_of_the_results_file() -> None:
    if not (ROOT / "docs" / "results.json").exists():
        pytest.skip("docs/results.json is missing: tools/score_release.py writes it")
    command = [sys.executable, str(SCRIPT), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_block_of_figures_stands_on_one_page() -> None:
    found = [
        name for page in PAGES for name in re.findall(r"<!-- results: (\w+) -->", (ROOT / page).read_text())
    ]
    assert sorted(found) == [
        "at_256",
        "file",
        "headline",
        "native",
        "raster",
        "reliability",
        "robustness",
        "targets",
    ]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 120

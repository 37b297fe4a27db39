"""Tests that the docs' tables of measurements are those of the JSON beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import docs, soak


def test_each_page_has_the_tables_of_the_measured_figures() -> None:
    assert {path: path.read_text("utf-8") for path in docs.PAGES} == docs.pages()


def test_a_figure_that_changes_changes_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in docs.DOCS.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    found = json.loads((tmp_path / "soak.json").read_text("utf-8"))
    found["figures"][0]["value"] = 2.718
    (tmp_path / "soak.json").write_text(json.dumps(found), encoding="utf-8")
    monkeypatch.setattr(docs, "DOCS", tmp_path)
    changed = [path.name for path, text in docs.pages().items() if text != path.read_text("utf-8")]
    assert changed == ["operations.md"]


def test_a_figure_over_its_limit_is_short() -> None:
    assert [soak.Figure("peak", value, "MiB", 3.0).verdict for value in (3.0, 3.1)] == ["met", "short"]

"""Tests of the docs site: it builds strictly, with every page, and fetches nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs")
pytest.importorskip("material")
pytest.importorskip("mkdocstrings_handlers")
pytest.importorskip("latex2mathml")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_of_the_docs_is_on_the_site(site: Path) -> None:
    pages = {page.relative_to(ROOT / "docs").with_suffix("") for page in (ROOT / "docs").rglob("*.md")}
    pages = {page.parent if page.name == "README" else page for page in pages}
    missing = {str(page) for page in pages if not (site / page / "index.html").exists()}
    assert missing == set()


def test_every_page_can_be_reached_from_the_first(site: Path) -> None:
    first = (site / "index.html").read_text("utf-8")
    for page in (
        "tutorial",
        "analyst",
        "developer",
        "install",
        "glossary",
        "leaderboard",
        "decisions",
        "data",
        "explanation",
        "architecture",
        "settings",
        "reference",
        "contributing",
    ):
        assert f'href="{page}/"' in first, page


def test_the_reference_has_what_docstrings_say(site: Path) -> None:
    reference = (site / "reference" / "index.html").read_text("utf-8")
    for words in ("Train a generator on pairs of images", "init_from", "hf://user/repo", "RunError"):
        assert words in reference, words


def test_formulas_are_mathml_and_code_is_left_alone(site: Path) -> None:
    page = (site / "explanation" / "index.html").read_text("utf-8")
    assert page.count("<math") > 10
    assert "$" not in re.sub(r"<(script|pre|code).*?</\1>", "", page, flags=re.S)
    assert "$SAT2MAP_CACHE" in (site / "data" / "index.html").read_text("utf-8")


def test_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    fetched = re.compile(
        r"<(?:script|img|iframe|link rel=\"stylesheet\")[^>]*(?:src|href)=\"(https?://[^\"]+)"
    )
    found = {url for page in site.rglob("*.html") for url in fetched.findall(page.read_text("utf-8"))}
    assert found == set()

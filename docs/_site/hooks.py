"""Hooks of the docs site: its order, its first page, and formulas without JavaScript.

Pages stand in the order of `SECTIONS`; one that is in none comes last, under its own title.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
# The page that draws in the browser: `make site` exports it before the build.
PAGE = ROOT / "build" / "page"
FRAME = """<iframe src="try/" title="Draw a map of an aerial photo" class="try" loading="lazy"></iframe>

*Try it here: your browser draws the map, and nothing is uploaded.* [A page of your own](browser.md)
"""
REPOSITORY_FILES = re.compile(
    r"\[([^\]]+)\]\((?:\.\./)*(?:Makefile|LICENSE|CITATION\.cff|pyproject\.toml|(?:src|benchmarks|notebooks|tools|\.ci)/[^)]*)\)"
)
PAGES_OF = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\\$\w])\$([^$\n]+)\$(?!\w)", re.S)
FORMULAS: dict[str, list[str]] = {}
SECTIONS = {
    "Home": ["index.md"],
    "Tutorials": ["tutorial.md", "my-town.md", "analyst.md", "developer.md", "from-the-tutorial.md"],
    "How to": [
        "install.md",
        "data.md",
        "formats.md",
        "rasters.md",
        "service.md",
        "browser.md",
        "operations.md",
        "threat-model.md",
        "scale.md",
        "tracking.md",
        "hub.md",
        "importing.md",
        "plain-pytorch.md",
        "facades.md",
        "cityscapes.md",
        "maps-to-photo.md",
    ],
    "Reference": ["settings.md", "reference.md", "glossary.md"],
    "Explanation": [
        "explanation.md",
        "benchmark.md",
        "leaderboard.md",
        "model-card.md",
        "performance.md",
        "measurements.md",
        "architecture.md",
        "decisions",
    ],
    "Project": ["contributing.md", "security.md", "changelog.md", "release.md"],
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Make pages of the files beside docs/, and bring all pages into order."""
    for name, page in PAGES_OF.items():
        text = (ROOT / name).read_text("utf-8").replace("](docs/", "](")
        if page == "index.md" and PAGE.is_dir():
            title, rest = text.split("\n", 1)
            text = f"{title}\n\n{FRAME}{rest}"
        files.append(File.generated(config, page, content=text))
    config.nav = _nav([file.src_uri for file in files.documentation_pages()])
    return files


def on_post_build(config: MkDocsConfig) -> None:
    """Put the page that the first page shows into the site."""
    if PAGE.is_dir():
        shutil.copytree(PAGE, Path(config.site_dir) / "try", dirs_exist_ok=True)


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Point links of the repository to the pages of the site, and take out the formulas."""
    for name, target in PAGES_OF.items():
        markdown = markdown.replace(f"]({name})", f"]({target})")
    markdown = REPOSITORY_FILES.sub(r"\1", markdown)
    found = FORMULAS[page.file.src_uri] = []

    def take(match: re.Match[str]) -> str:
        block = match[1] is not None
        found.append(convert((match[1] or match[2]).strip(), display="block" if block else "inline"))
        return f"FORMULA{len(found) - 1}END"

    parts = re.split(r"(^ *```.*?^ *```$|`[^`\n]+`)", markdown, flags=re.M | re.S)
    return "".join(part if i % 2 else FORMULA.sub(take, part) for i, part in enumerate(parts))


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Put the formulas back, as MathML: Markdown would take one that starts a line for a block."""
    found = FORMULAS[page.file.src_uri]
    return re.sub(r"FORMULA(\d+)END", lambda match: found[int(match[1])], html)


def _readme_first(page: str) -> tuple[bool, str]:
    return not page.endswith("README.md"), page


def _nav(pages: list[str]) -> list[Any]:
    left = set(pages)
    nav: list[Any] = []
    for title, names in SECTIONS.items():
        found: list[Any] = [
            page
            for name in names
            for page in sorted(left, key=_readme_first)
            if page == name or page.startswith(f"{name}/")
        ]
        left -= set(found)
        decisions = [page for page in found if page.startswith("decisions/")]
        if decisions:
            found = [*(page for page in found if page not in decisions), {"Decisions": decisions}]
        if found:
            nav.append({title: found[0] if len(names) == 1 else found})
    return [*nav, *sorted(left)]

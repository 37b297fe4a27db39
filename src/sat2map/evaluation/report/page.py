"""The HTML page of a report: frame, style sheet, and the elements that all sections use."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sat2map.files import atomic_write_text

IMAGE_SIDE = 1100  # px; pictures are scaled down to it
_QUALITY = 82


class Section(NamedTuple):
    """A part of a page.

    Attributes:
        title: Its heading, as plain text.
        body: HTML, with every text of others' escaped.
    """

    title: str
    body: str


def write_page(path: Path, title: str, lead: str, sections: Iterable[Section]) -> Path:
    """Write a page with everything in it, whole or not at all.

    Title and lead are plain text. Returns `path`.

    Raises:
        OutputError: It cannot be written.
    """
    style = (resources.files("sat2map.evaluation.report") / "style.css").read_text("utf-8")
    body = "\n".join(f"<section>\n<h2>{escape(s.title)}</h2>\n{s.body}\n</section>" for s in sections)
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p>{escape(lead)}</p>
</header>
<main>
{body}
</main>
<footer>Written by sat2map.</footer>
</body>
</html>
"""
    atomic_write_text(path, text)
    return path


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text; `kind` is a class of the style sheet."""
    return f"<p{_class(kind)}>{escape(text)}</p>"


def figure(content: str, caption: str, kind: str = "") -> str:
    """HTML `content` with a plain caption."""
    return f"<figure{_class(kind)}>{content}<figcaption>{escape(caption)}</figcaption></figure>"


def image(pixels: NDArray[np.uint8], alt: str) -> str:
    """An image inside the page.

    Args:
        pixels: uint8 (h, w, bands); of two bands the first is shown, of four the first three.
        alt: What it shows, as plain text.
    """
    bands = pixels.shape[2]
    shown = Image.fromarray(np.ascontiguousarray(pixels[..., :3] if bands >= 3 else pixels[..., 0]))
    shown.thumbnail((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    shown.save(file, "WEBP", quality=_QUALITY)
    data = base64.b64encode(file.getvalue()).decode()
    return (
        f'<img src="data:image/webp;base64,{data}" width="{shown.width}" height="{shown.height}" '
        f'alt="{escape(alt)}">'
    )


def tiles(figures: Iterable[str], kind: str = "pair") -> str:
    """Pieces of HTML side by side, below each other where there is no room."""
    return f'<div class="{kind}">{"".join(figures)}</div>'


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str, kind: str = "") -> str:
    """A table in a box that scrolls sideways on a small screen.

    Args:
        headings: HTML of the head's cells.
        rows: HTML of each row's cells; the first heads the row. A row of one cell heads those below it.
        caption: What the table shows, as plain text.
        kind: A class of the style sheet.
    """
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    lines = []
    for first, *rest in rows:
        if rest:
            cells = "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in rest)
            lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
        else:
            lines.append(f'<tr class="part"><th scope="rowgroup" colspan="{len(headings)}">{first}</th></tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f"<table{_class(kind)}><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead>\n<tbody>{chr(10).join(lines)}</tbody></table></div>"
    )


def details(summary: str, content: str) -> str:
    """HTML `content` folded away below a plain summary."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def shell(lines: Iterable[str]) -> str:
    """Commands to copy, plain text."""
    return f"<pre><code>{escape(chr(10).join(lines))}</code></pre>"


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""

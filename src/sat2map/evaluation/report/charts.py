"""Charts: lines over the epochs as inline SVG, the same bytes for the same numbers."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Literal, NamedTuple

# After Okabe and Ito: distinguishable by all kinds of colour vision, and readable on black and on white.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#8c6bb1")
# Stand-ins that become the page's own colours, light or dark.
_INK, _SOFT, _LINE = "#010203", "#010204", "#010205"
_PAGE_COLOURS = {_INK: "currentColor", _SOFT: "var(--soft)", _LINE: "var(--line)"}


class Line(NamedTuple):
    """One curve: where, and how much; values that are None are gaps."""

    x: Sequence[float]
    y: Sequence[float | None]


class Chart(NamedTuple):
    """A chart: its name, heading and caption, the lines and scores it draws, and the least range of y."""

    name: str
    title: str
    caption: str
    kind: Literal["validation", "train"]
    scores: tuple[str, ...]
    span: float = 0.2


def line_chart(chart: Chart, lines: Mapping[str, Line], *, mark: float | None = None) -> str:
    """Draw curves over the epochs as an SVG element.

    Args:
        chart: Whose name is unique in its page, as ids start with it.
        lines: By their name in the legend.
        mark: An epoch to draw a dotted line at.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    import matplotlib.style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[str, Any] = {
        "svg.fonttype": "none",  # text stays text: small, sharp, and read aloud
        "svg.hashsalt": chart.name,
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": _INK,
        "axes.edgecolor": _LINE,
        "axes.labelcolor": _SOFT,
        "xtick.color": _LINE,
        "ytick.color": _LINE,
        "xtick.labelcolor": _SOFT,
        "ytick.labelcolor": _SOFT,
        "grid.color": _LINE,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
    }
    with matplotlib.style.context(style):
        drawing = Figure(figsize=(5.6, 3.1), layout="constrained")
        FigureCanvasSVG(drawing)
        axes = drawing.add_subplot()
        draw_lines(axes, lines, mark=mark, span=chart.span)
        axes.set_xlabel("epoch")
        if len(lines) > 1:
            drawing.legend(
                loc="outside upper left", ncols=4, frameon=False, handlelength=1.2, columnspacing=1.2
            )
        file = io.StringIO()
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        drawing.savefig(file, format="svg", transparent=True, metadata=metadata)
    return _inline(file.getvalue(), chart.name, f"{chart.title}: {chart.caption}")


def draw_lines(axes: Any, lines: Mapping[str, Line], *, mark: float | None, span: float) -> None:
    """Draw curves into matplotlib's axes (see `line_chart`); y has at least the range `span`."""
    for (label, line), colour in zip(lines.items(), _COLOURS * len(lines), strict=False):
        y = [float("nan") if value is None else value for value in line.y]
        marker = "o" if len(y) <= 12 else None  # a single point is no line
        axes.plot(line.x, y, label=label, color=colour, linewidth=1.8, marker=marker, markersize=3.5)
    low, high = axes.get_ylim()
    if high - low < span:
        bottom = max((low + high - span) / 2, min(low, 0))
        axes.set_ylim(bottom, bottom + span)
    if mark is not None:
        axes.axvline(mark, color=_SOFT, linewidth=1, linestyle=":")
    axes.grid(axis="y", linewidth=0.8)
    axes.tick_params(length=0)


def _inline(svg: str, name: str, title: str) -> str:
    """Make an SVG file an element of a page: no prolog, ids of its own, the page's colours and font."""
    svg = svg[svg.index("<svg") :].strip()
    for element in ("metadata", "style"):
        svg = re.sub(rf"\s*<{element}\b.*?</{element}>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg).replace("xlink:href", "href")
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px; font-family: inherit", svg)
    # The view box keeps the shape; the page decides the size.
    opening = rf'<svg viewBox="\g<1>" role="img" aria-label="{escape(title)}">'
    svg = re.sub(r'^<svg [^>]*viewBox="([^"]*)"[^>]*>', opening, svg)
    for stand_in, colour in _PAGE_COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return svg

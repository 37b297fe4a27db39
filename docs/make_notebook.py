"""Run notebooks/quickstart.ipynb, which takes some minutes, and keep it with its outputs.

`--tidy` runs nothing, and only takes out what a reader of the stored outputs does not need.
"""

from __future__ import annotations

import base64
import io
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "quickstart.ipynb"


PROGRESS = re.compile(r"epoch \d+/\d+  step ")


def main() -> None:
    """Run it in an empty folder, unless `--tidy` is given."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    if sys.argv[1:] != ["--tidy"]:
        from nbclient import NotebookClient

        with tempfile.TemporaryDirectory() as work:
            NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": work}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
        if cell.cell_type == "code":
            cell.outputs = tidy(cell.outputs)
    nbformat.write(notebook, NOTEBOOK)


def tidy(outputs: list[Any]) -> list[Any]:
    """Return outputs without rich's markup and the bar's lines, and pictures with 256 colours."""
    for data in (output["data"] for output in outputs if "data" in output):
        data.pop("text/html", None)  # of what is there as text
        data.update(
            {kind: re.sub(r"\x1b\[[0-9;]*m", "", data[kind]) for kind in data if kind == "text/plain"}
        )
        if "image/png" in data:
            data["image/png"] = shrink(data["image/png"])
    texts = [*(output.get("data", {}).get("text/plain", "") for output in outputs), ""]
    following = texts[1:]
    return [
        output
        for output, text, then in zip(outputs, texts, following, strict=False)
        if not (PROGRESS.match(text) and PROGRESS.match(then))
    ]


def shrink(png: str) -> str:
    """Return a PNG in base64 with 256 colours, where that is smaller."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    file = io.BytesIO()
    image.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(file, "PNG", optimize=True)
    return min(png, base64.b64encode(file.getvalue()).decode(), key=len)


if __name__ == "__main__":
    sys.exit(main())

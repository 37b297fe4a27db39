"""Run notebooks/quickstart.ipynb, which takes some minutes, and keep it with its outputs."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "quickstart.ipynb"


def main() -> None:
    """Run it in an empty folder."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as work:
        NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": work}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            data.pop("text/html", None)  # rich's markup of what is there as text
            if "text/plain" in data:
                data["text/plain"] = re.sub(r"\x1b\[[0-9;]*m", "", data["text/plain"])
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    sys.exit(main())

"""Tests of notebooks/quickstart.ipynb: it runs from start to end, and is kept with its outputs."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import pytest

nbformat: Any = pytest.importorskip("nbformat")
nbclient: Any = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"

# Jupyter's own, of its event loop and its folders.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_the_quickstart_runs_from_start_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAT2MAP_QUICKSTART", str(tmp_path))
    monkeypatch.setenv("SAT2MAP_SHORT", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    kernels = tmp_path / "jupyter" / "kernels" / "this"
    kernels.mkdir(parents=True)
    command = f'["{sys.executable}", "-m", "ipykernel_launcher", "-f", "{{connection_file}}"]'
    (kernels / "kernel.json").write_text(
        f'{{"argv": {command}, "display_name": "this", "language": "python"}}', "utf-8"
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=1200,
        startup_timeout=600,
        kernel_name="this",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 4  # a pair, the curves, the samples, the translation
    assert all(len(base64.b64decode(picture)) > 1000 for picture in pictures)
    text = "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs
    )
    assert "constant" in text  # the baseline that two epochs are compared with
    assert "EfficientNet-Lite0" in text
    assert (tmp_path / "run" / "best.safetensors").exists()


def test_the_quickstart_is_kept_with_the_outputs_of_a_whole_run() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    assert "/tmp/" not in NOTEBOOK.read_text("utf-8")  # no folder of whoever ran it

"""Tests of what `import sat2map` offers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sat2map

SOURCE = Path(sat2map.__file__).read_text("utf-8")


def imported_after(code: str) -> set[str]:
    program = f"{code}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_names_are_sorted() -> None:
    assert sat2map.__all__ == sorted(sat2map.__all__)


@pytest.mark.parametrize("name", sat2map.__all__)
def test_each_name_is_there_and_described(name: str) -> None:
    value = getattr(sat2map, name)
    assert isinstance(value, str) or value.__doc__
    assert name in dir(sat2map)


def test_type_checkers_see_the_same_names() -> None:
    (block,) = (node for node in ast.parse(SOURCE).body if isinstance(node, ast.If))
    names = {
        alias.asname or alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted({*names, "__version__"}) == sat2map.__all__


def test_the_import_loads_neither_numpy_nor_torch_nor_pydantic() -> None:
    heavy = {"numpy", "torch", "PIL", "pydantic", "cyclopts", "rich"}
    assert imported_after("import sat2map").isdisjoint(heavy)


def test_a_name_brings_only_what_it_needs() -> None:
    assert imported_after("import sat2map; sat2map.SettingsError").isdisjoint({"numpy", "torch"})
    assert "torch" not in imported_after("import sat2map; sat2map.Translator, sat2map.Model")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sat2map' has no attribute 'Translater'"):
        _ = sat2map.Translater


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sat2map.__dict__, "train", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(sat2map.MissingExtraError, match=r"sat2map\.train needs the 'train' extra"):
        _ = sat2map.train


def test_a_raster_is_translated_with_the_bundled_model(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    transform = rasterio.Affine(2.1, 0, 4e5, 0, -2.1, 5.8e6)
    form = {"driver": "GTiff", "crs": "EPSG:32633", "transform": transform, "dtype": "uint8"}
    with rasterio.open(tmp_path / "ortho.tif", "w", count=3, width=96, height=64, **form) as raster:
        raster.write(np.full((3, 64, 96), 120, np.uint8))
    sat2map.translate_raster(tmp_path / "ortho.tif", tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as drawn:
        assert (drawn.width, drawn.height, drawn.transform) == (96, 64, transform)
    with pytest.raises(sat2map.OutputError, match="exists"):
        sat2map.translate_raster(tmp_path / "ortho.tif", tmp_path / "map.tif")


def test_the_reference_describes_every_name() -> None:
    page = (Path(__file__).parents[1] / "docs" / "reference.md").read_text("utf-8")
    described = {line.removeprefix("::: sat2map.") for line in page.splitlines() if line.startswith("::: ")}
    assert set(sat2map.__all__) - {"__version__"} <= described | {
        name for name in sat2map.__all__ if name.endswith("Error")
    }
    assert "errors" in described

"""Tests of the command `doctor`, and of the table of extras that it reads."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from sat2map.cli.main import main
from sat2map.extras import EXTRAS, missing_modules
from sat2map.installation import install_command

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    main(["doctor"])
    return capsys.readouterr().out


def test_versions_machine_and_folders_are_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SAT2MAP_CACHE", str(tmp_path / "cache"))
    out = printed(capsys)
    assert f"  numpy          {metadata.version('numpy')}" in out
    assert "  processor " in out
    assert f"{tmp_path / 'cache'}: " in out
    assert "GiB free" in out


def test_a_missing_module_is_named_with_the_extra_that_brings_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rasterio", reason="the geo extra is not installed")
    monkeypatch.setitem(sys.modules, "pmtiles", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    out = printed(capsys)
    assert "  geo            GeoTIFFs, vectors, tiles: missing (pmtiles)\n" in out
    assert "PyTorch        needs the 'train' extra" in out
    missing = [extra for extra in EXTRAS if f"  {extra:<14} " in out and missing_modules(extra)]
    assert {"train", "geo"} <= set(missing)
    assert out.endswith(f"To install what is missing, or some of it:\n  {install_command(*missing)}\n")


def test_a_user_without_a_home_folder_is_no_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for variable in ("SAT2MAP_CACHE", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", fail)
    assert "cache          none: this user has no home folder: set the environment variable" in printed(
        capsys
    )


def test_the_table_of_extras_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {"all"}

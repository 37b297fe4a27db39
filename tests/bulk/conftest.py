"""A small model, rasters for it, and one job done plainly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("rasterio", reason="the geo extra is not installed")

import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from sat2map.bulk.pipeline import run_bulk
from sat2map.bulk.planning import plan_tasks
from sat2map.bulk.tasks import BulkPlan
from sat2map.bulk.worker import WorkOptions
from sat2map.files import sha256_of
from sat2map.inference.backends import EngineOptions
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import ModelHeader, save_model
from sat2map.synthetic.towns import draw_town

CUT = 640  # px; the largest raster below is cut into 2×2 windows


def pytest_configure(config: pytest.Config) -> None:
    # rasterio 1.4 multiplies transforms as affine 2 wanted it.
    config.addinivalue_line("filterwarnings", "ignore:Use `@` matmul:PendingDeprecationWarning")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file: a small U-Net of random weights that draws with contrast, in tiles of 128 px."""
    torch.manual_seed(5)
    spec = GeneratorSpec(width=4, depth=3, dropout=0.0)
    network = build_generator(spec)
    with torch.no_grad():
        for _ in range(4):  # running statistics that fit what is fed
            network.train()(torch.rand(2, 3, 64, 64) * 2 - 1)
        for parameter in network.get_submodule("up.0").parameters():
            parameter.mul_(4)
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_model(path, network.state_dict(), ModelHeader(generator=spec, max_untiled_size=128))
    return path


def _write(path: Path, pixels: Any, nodata: int | None = None, *, alpha: bool = False) -> Path:
    bands, height, width = pixels.shape
    transform = Affine(2, 0, 400_000, 0, -2, 5_000_000)
    profile = {"driver": "GTiff", "dtype": pixels.dtype, "crs": "EPSG:32633", "transform": transform}
    with rasterio.open(path, "w", count=bands, height=height, width=width, nodata=nodata, **profile) as file:
        file.write(pixels)
        if alpha:
            file.colorinterp = [*file.colorinterp[:-1], ColorInterp.alpha]
    return path


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """A function that writes an array (bands, h, w) as a GeoTIFF."""
    return _write


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five small orthophotos and a larger one; tests leave them as they are."""
    folder = tmp_path_factory.mktemp("photos")
    town = np.moveaxis(draw_town(3, size=400, gsd=2.1).source, -1, 0)
    for i in range(5):
        _write(folder / f"small{i}.tif", np.roll(town, 31 * i, axis=2)[:, :200, :260])
    _write(folder / "large.tif", np.tile(town, (1, 3, 4))[:, :1001, :1203])
    return folder


@pytest.fixture
def options(model: Path, tmp_path: Path) -> WorkOptions:
    """How the jobs of these tests are done, into the folder `maps`."""
    return WorkOptions(
        tmp_path / "maps",
        model,
        sha256_of(model),
        engine_options=EngineOptions("torch", "cpu", precision="fp32", threads=1),
    )


@pytest.fixture(scope="session")
def plan(photos: Path) -> BulkPlan:
    """The tasks of all photos."""
    return plan_tasks([str(path) for path in sorted(photos.glob("*.tif"))], cut=CUT)


@pytest.fixture(scope="session")
def plainly(plan: BulkPlan, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every output of an undisturbed run in this process, by name."""
    folder = tmp_path_factory.mktemp("plainly") / "maps"
    options = WorkOptions(
        folder,
        model,
        sha256_of(model),
        engine_options=EngineOptions("torch", "cpu", precision="fp32", threads=1),
    )
    run_bulk(plan, options)
    return _outputs(folder)


def _outputs(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.tif"))}


@pytest.fixture(scope="session")
def outputs() -> Callable[[Path], dict[str, bytes]]:
    """A function that returns every raster in a folder, by name, byte for byte."""
    return _outputs

"""Small models, drawn ground, and rasters that some machines have."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
import torch

pytest.importorskip("rasterio", reason="the geo extra is not installed")

import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from sat2map.images.palette import Palette
from sat2map.inference import Translator
from sat2map.inference.backends.torch.engine import TorchEngine
from sat2map.inference.tiling import Grid
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import ModelHeader
from sat2map.synthetic.towns import draw_town

SHARED = Path(__file__).parents[3] / "shared" / "data"
UTM = "EPSG:32633"
HERE = Affine(2.1, 0, 400_000, 0, -2.1, 5_000_000)


def pytest_configure(config: pytest.Config) -> None:
    # rasterio 1.4 multiplies transforms as affine 2 wanted it.
    config.addinivalue_line("filterwarnings", "ignore:Use `@` matmul:PendingDeprecationWarning")


class Straight:
    """An engine that says what it sees, or a function of it: its results can be told beforehand."""

    name, streams = "straight", 1

    def __init__(self, header: ModelHeader, function: Callable[[Any], Any] = lambda x: x) -> None:
        self.header, self.function = header, function

    def __call__(self, source: Any) -> Any:
        return self.function(source)


def _straight(function: Callable[[Any], Any] = lambda x: x, *, tile: int = 64, **header: Any) -> Translator:
    """Return a translator whose network is `function`, with tiles of `tile` px."""
    spec = GeneratorSpec(width=4, depth=3, **header.pop("spec", {}))
    translator = Translator(Straight(ModelHeader(generator=spec, max_untiled_size=tile, **header), function))
    assert translator.grid == Grid.for_network(tile, 8)
    return translator


def _random_translator(*, tile: int = 128, tta: bool = False, **header: Any) -> Translator:
    """Return a translator with a small U-Net of random weights and a class head."""
    torch.manual_seed(5)
    spec = GeneratorSpec(width=8, depth=3, classes=6, dropout=0.0)
    network = build_generator(spec)
    with torch.no_grad():
        for _ in range(4):  # running statistics that fit what is fed
            network.train()(torch.rand(2, 3, 64, 64) * 2 - 1)
        for parameter in network.get_submodule("up.0").parameters():
            parameter.mul_(4)  # a picture with contrast
    given = ModelHeader(generator=spec, max_untiled_size=tile, palette=Palette.load("maps"), **header)
    return Translator(TorchEngine(network.eval(), given, torch.device("cpu")), tta=tta)


@pytest.fixture(autouse=True)
def _georeference_is_optional() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@pytest.fixture(scope="session")
def town() -> Any:
    """A drawn town, source and target uint8 (3, 300, 300)."""
    drawn = draw_town(11, size=300, gsd=2.1)
    return np.moveaxis(drawn.source, -1, 0), np.moveaxis(drawn.target, -1, 0)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes an array (bands, h, w) as a GeoTIFF in the test's folder."""

    def write(
        pixels: Any,
        name: str = "ortho.tif",
        *,
        crs: str | None = UTM,
        transform: Affine | None = HERE,
        mask: Any = None,
        **profile: Any,
    ) -> Path:
        path = tmp_path / name
        pixels = np.asarray(pixels)
        pixels = pixels[None] if pixels.ndim == 2 else pixels
        bands, height, width = pixels.shape
        profile = {"driver": "GTiff", "dtype": pixels.dtype, **profile}
        interp = profile.pop("colorinterp", None)
        if transform is not None:
            profile["transform"] = transform
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", count=bands, height=height, width=width, crs=crs, **profile) as file,
        ):
            file.write(pixels)
            if interp:
                file.colorinterp = interp
            if mask is not None:
                file.write_mask(mask)
        return path

    return write


def _read(path: Path) -> Any:
    """Return all bands of a raster."""
    with rasterio.open(path) as file:
        return file.read()


@pytest.fixture(params=["rasters", "mosaics"])
def shared(request: pytest.FixtureRequest) -> list[Path]:
    """Rasters of the real world; they may not be given away with the tests."""
    folder = SHARED / request.param
    if not folder.is_dir():
        pytest.skip(f"the real {request.param} are not on this machine")
    return sorted(p for p in folder.iterdir() if p.suffix in (".tif", ".png") and "_map" not in p.stem)


@pytest.fixture(scope="session")
def straight() -> Callable[..., Translator]:
    """See `_straight`."""
    return _straight


@pytest.fixture(scope="session")
def random_translator() -> Callable[..., Translator]:
    """See `_random_translator`."""
    return _random_translator


@pytest.fixture(scope="session")
def read() -> Callable[[Path], Any]:
    """See `_read`."""
    return _read


class TileService:
    """A running `tile_server.py`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        script = Path(__file__).with_name("tile_server.py")
        command = [sys.executable, str(script), str(folder)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def get(self, path: str) -> bytes:
        with urlopen(f"{self.url}/{path}") as answer:
            content: bytes = answer.read()
        return content

    def fault(self, kind: str, count: int = 1, *, after: int = 0, seconds: float = 60) -> None:
        """Spoil so many answers, `after` so many good ones."""
        self.get(f"control?fault={kind}&count={count}&after={after}&seconds={seconds}")

    def sent(self) -> dict[str, int]:
        """Return how many answers there were, and how many bytes of files."""
        found: dict[str, int] = json.loads(self.get("control"))
        return found

    @property
    def requests(self) -> list[str]:
        found: list[str] = json.loads(self.get("requests"))
        return found

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def serve_folder() -> Iterator[Callable[[Path], TileService]]:
    """A function that serves a folder until the test ends."""
    with ExitStack() as stack:

        def serve(folder: Path) -> TileService:
            service = TileService(folder)
            stack.callback(service.close)
            return service

        yield serve


ZOOM, COLUMN, ROW = 17, 70406, 42987  # four tiles in Berlin
TILES_BOX = (13.3758544921876, 52.5145494359001, 13.3813476562499, 52.5178922282327)


@pytest.fixture(scope="session")
def tile_ground() -> Any:
    """A drawn town of 2 × 2 tiles, uint8 (3, 512, 512), and its transform in EPSG:3857."""
    edge = math.pi * 6378137
    size = 2 * edge / 2**ZOOM / 256
    place = Affine(size, 0, COLUMN * 256 * size - edge, 0, -size, edge - ROW * 256 * size)
    return np.moveaxis(draw_town(3, size=512).source, -1, 0), place


@pytest.fixture
def tile_service(
    tile_ground: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    serve_folder: Callable[[Path], TileService],
) -> TileService:
    """A server of that town: z/x/y.png at zooms 16 and 17, the raster, a WMS."""
    from sat2map.geo.tiles import write_tiles

    monkeypatch.setenv("SAT2MAP_CACHE", str(tmp_path / "cache"))
    pixels, place = tile_ground
    folder = tmp_path / "served"
    folder.mkdir()
    about = {"driver": "COG", "crs": "EPSG:3857", "transform": place, "blocksize": 128}
    with rasterio.open(
        folder / "ortho.tif", "w", width=512, height=512, count=3, dtype="uint8", **about
    ) as file:
        file.write(pixels)
    write_tiles(folder / "ortho.tif", tmp_path / "tiles", zooms=(16, 17))
    for path in (tmp_path / "tiles").iterdir():
        path.rename(folder / path.name)
    return serve_folder(folder)

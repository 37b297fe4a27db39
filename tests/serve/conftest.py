"""A small model, a raster, and real servers to talk to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("fastapi")
pytest.importorskip("rasterio")

COMMAND = "import sys; from sat2map.cli.main import main; main(['serve', *sys.argv[1:]])"


@dataclass
class Server:
    """A running service."""

    url: str
    process: subprocess.Popen[str]
    log: list[str]
    reader: threading.Thread

    def client(self, **options: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, **options)  # type: ignore[arg-type]

    def stop(self) -> int:
        """Tell it to stop, as a service manager does; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=120)
        self.reader.join(120)
        assert not self.reader.is_alive(), "a process that the service started goes on without it"
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


Start = Callable[..., Server]


def start_server(model: Path, state: Path, *flags: object) -> Server:
    """Start a real server in a process of its own, at a free port."""
    words = ["--model", model, "--state", state, "--port", 0, *flags]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    log: list[str] = []
    for line in process.stdout:
        log.append(line)
        if line.startswith("serving "):
            break
    else:
        raise AssertionError("".join(log))
    reader = threading.Thread(target=lambda: log.extend(process.stdout or []), daemon=True)
    reader.start()
    return Server(line.split(" at ")[1].split()[0], process, log, reader)


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A U-Net with random weights; above 256 px it works in tiles."""
    import torch

    from sat2map.images.palette import Palette
    from sat2map.models.architectures.generators import build_generator
    from sat2map.models.architectures.spec import GeneratorSpec
    from sat2map.models.model_file import ModelHeader, save_model

    torch.manual_seed(0)
    spec = GeneratorSpec(width=8, depth=4)
    header = ModelHeader(
        generator=spec,
        max_untiled_size=256,
        gsd=2.1,
        palette=Palette.load("maps"),
        scores={"mean_iou": 0.4},
    )
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(path, build_generator(spec).state_dict(), header)
    return path


@pytest.fixture(scope="session")
def town() -> NDArray[np.uint8]:
    """A picture from above, uint8 (256, 256, 3)."""
    from sat2map.synthetic.towns import draw_town

    return draw_town(7, size=256, gsd=2.1).source


@pytest.fixture(scope="session")
def raster_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a raster of 1300×1100 px on the ground, one without a CRS, and traps."""
    import rasterio
    from affine import Affine

    from sat2map.synthetic.towns import draw_town

    outside = tmp_path_factory.mktemp("outside")
    folder = tmp_path_factory.mktemp("rasters")
    pixels = np.moveaxis(np.tile(draw_town(19, size=650, gsd=2.1).source, (2, 2, 1))[:1100], -1, 0)
    form = {"driver": "GTiff", "height": 1100, "width": 1300, "count": 3, "dtype": "uint8"}
    ground = Affine(2.1, 0, 583000, 0, -2.1, 4507000)
    (folder / "north").mkdir()
    for path in (folder / "north" / "town.tif", outside / "secret.tif"):
        with rasterio.open(path, "w", crs="EPSG:32618", transform=ground, **form) as file:
            file.write(pixels)
    with rasterio.open(folder / "nowhere.tif", "w", transform=ground, **form) as file:
        file.write(pixels)
    _write_aligned(folder / "aligned.tif", pixels[:, :520, :600])
    (folder / "link.tif").symlink_to(outside / "secret.tif")
    (folder / "broken.tif").write_bytes(b"II*\x00 and no more")
    (folder / "disguised.tif").write_text(
        f'<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{outside / 'secret.tif'}</SourceFilename></SimpleSource></VRTRasterBand>"
        "</VRTDataset>"
    )
    return folder


def _write_aligned(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a raster whose pixels are those of web maps at zoom 16, with nodata beyond a slanted edge.

    It lies where they are 2.1 m wide, which is what the model knows.
    """
    import rasterio
    from affine import Affine

    size = 2 * 20037508.342789244 / (256 << 16)
    ground = Affine(size, 0, 10_000 * size, 0, -size, 1_386_000 * size)
    rows, columns = np.mgrid[: pixels.shape[1], : pixels.shape[2]]
    values = np.where(columns + rows // 2 < 500, np.maximum(pixels, 1), 0).astype(np.uint8)
    form = {"driver": "GTiff", "height": 520, "width": 600, "count": 3, "dtype": "uint8", "nodata": 0}
    with rasterio.open(path, "w", crs="EPSG:3857", transform=ground, **form) as file:
        file.write(values)


@pytest.fixture(scope="session")
def server(
    model_file: Path, raster_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with usual settings, that all tests may use and none may stop."""
    running = start_server(model_file, tmp_path_factory.mktemp("state"), "--rasters", raster_folder)
    yield running
    running.stop()
    assert not any("Traceback" in line for line in running.log), "".join(running.log)


@pytest.fixture
def start(model_file: Path, tmp_path: Path) -> Iterator[Start]:
    """Start servers with other flags; all of one test share a state folder."""
    running: list[Server] = []

    def go(*flags: object) -> Server:
        running.append(start_server(model_file, tmp_path / "state", *flags))
        return running[-1]

    yield go
    for one in running:
        one.stop()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """Talk to the shared server."""
    with server.client() as talking:
        yield talking


@pytest.fixture
def page(browser: Any, server: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page of the shared server, on which no script may fail and nothing may be asked of others."""
    context = browser.new_context(
        viewport={"width": getattr(request, "param", 1280), "height": 800}, base_url=server.url
    )
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console", lambda line: faults.append(line.text) if "Content Security Policy" in line.text else None
    )
    page.on(
        "request",
        lambda request: (
            faults.append(request.url) if not request.url.startswith((server.url, "blob:")) else None
        ),
    )
    yield page
    context.close()
    assert faults == []

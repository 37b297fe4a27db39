"""Tests live maps over real HTTP: no seams, what may be read, caching."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path

import httpx
import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from sat2map.geo.translate_raster import translate_raster
from sat2map.geo.web_mercator import pixel_size, tile_corner
from sat2map.inference import Translator
from sat2map.inference.tiling import Area
from sat2map.serve.raster_folder import RasterFile, RasterFolder

TOWN = "north--town"


@pytest.fixture
def raster(raster_folder: Path) -> RasterFile:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rasterio's own, about its dependencies
        return RasterFolder(raster_folder).find(TOWN)


def _tile(client: httpx.Client, zoom: int, x: int, y: int, kind: str = "") -> NDArray[np.uint8]:
    answer = client.get(f"/rasters/{TOWN}{kind}/tiles/{zoom}/{x}/{y}.png")
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))


def _middle(raster: RasterFile, zoom: int) -> tuple[int, int]:
    area = raster.pixels(zoom)
    return (area.left + area.right) // 512, (area.top + area.bottom) // 512


def _tiles(client: httpx.Client, name: str, zoom: int, area: Area) -> NDArray[np.uint8]:
    """All tiles over an area of the world's pixels, cut to it, RGBA."""
    columns, rows = (
        range(area.left // 256, (area.right - 1) // 256 + 1),
        range(area.top // 256, (area.bottom - 1) // 256 + 1),
    )

    def read(x: int, y: int) -> NDArray[np.uint8]:
        answer = client.get(f"/rasters/{name}/tiles/{zoom}/{x}/{y}.png")
        assert answer.status_code == 200, answer.text
        return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))

    whole = np.vstack([np.hstack([read(x, y) for x in columns]) for y in rows])
    top, left = area.top - rows[0] * 256, area.left - columns[0] * 256
    return whole[top : top + area.height, left : left + area.width]


def _translate(model_file: Path, source: Path, output: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        translate_raster(Translator.open(model_file, image_only=True), source, output)
    return output


def test_it_is_the_map_that_translate_writes_up_to_the_edge_of_nodata(
    client: httpx.Client, raster_folder: Path, model_file: Path, tmp_path: Path
) -> None:
    source = raster_folder / "aligned.tif"  # its pixels are those of web maps at zoom 16
    with rasterio.open(_translate(model_file, source, tmp_path / "map.tif")) as file:
        expected, mask = np.moveaxis(file.read(), 0, -1), file.dataset_mask()
        size = pixel_size(16)
        top, left = (
            round((20037508.342789244 - file.bounds.top) / size),
            round((file.bounds.left + 20037508.342789244) / size),
        )
    shown = _tiles(client, "aligned", 16, Area(top, left, top + expected.shape[0], left + expected.shape[1]))
    np.testing.assert_array_equal(shown[..., 3], mask)
    assert 0.2 < (mask > 0).mean() < 0.9
    difference = np.abs(shown[..., :3].astype(int) - expected)[mask > 0]
    # The map's file keeps its nodata value for nodata, and moves other pixels of that value by one level.
    assert difference.max() <= 1
    assert (shown[mask == 0] == 0).all()


def test_in_another_projection_it_is_that_map_warped(
    client: httpx.Client, raster: RasterFile, model_file: Path, raster_folder: Path, tmp_path: Path
) -> None:
    path = _translate(model_file, raster_folder / "north" / "town.tif", tmp_path / "map.tif")
    x, y = _middle(raster, 16)
    left, top = tile_corner(16, x, y)
    size = pixel_size(16)
    with (
        rasterio.open(path) as file,
        WarpedVRT(
            file,
            crs="EPSG:3857",
            transform=Affine(size, 0, left, 0, -size, top),
            width=256,
            height=256,
            resampling=Resampling.bilinear,
        ) as warped,
    ):
        expected = np.moveaxis(warped.read((1, 2, 3)), 0, -1)
    difference = np.abs(_tile(client, 16, x, y)[..., :3].astype(int) - expected)
    assert difference.mean() <= 0.5, difference.mean()


def test_a_lower_zoom_is_the_mean_of_the_zoom_that_the_model_knows(
    client: httpx.Client, raster: RasterFile
) -> None:
    zoom = client.get(f"/rasters/{TOWN}/tilejson.json").json()["maxzoom"]
    x, y = _middle(raster, zoom - 1)
    children = [[_tile(client, zoom, 2 * x + i, 2 * y + j) for i in (0, 1)] for j in (0, 1)]
    pixels = np.vstack([np.hstack(row) for row in children]).reshape(256, 2, 256, 2, 4).astype(float)
    weights = pixels[..., 3:].sum(axis=(1, 3))
    colours = (pixels[..., :3] * pixels[..., 3:]).sum(axis=(1, 3)) / np.maximum(weights, 1)
    expected = np.concatenate([colours, weights / 4], axis=-1)
    assert np.abs(_tile(client, zoom - 1, x, y) - expected).max() <= 1


def test_a_higher_zoom_is_enlarged_and_meets_too(client: httpx.Client, raster: RasterFile) -> None:
    zoom = client.get(f"/rasters/{TOWN}/tilejson.json").json()["maxzoom"]
    x, y = _middle(raster, zoom)
    left, right = (_tile(client, zoom + 2, 4 * x + i, 4 * y)[..., :3].astype(int) for i in (1, 2))
    beside = np.abs(left[:, -1] - right[:, 0]).mean()
    inside = np.abs(np.diff(left, axis=1)).mean()
    assert beside < 2 * inside


def test_outside_of_the_raster_it_is_transparent_and_too_far_out_it_is_not_found(
    client: httpx.Client, raster: RasterFile
) -> None:
    described = client.get(f"/rasters/{TOWN}/tilejson.json").json()
    assert (_tile(client, described["maxzoom"], 5, 5)[..., 3] == 0).all()
    area = raster.pixels(described["maxzoom"])
    edge = _tile(client, described["maxzoom"], area.left // 256, area.top // 256)
    assert {0, 255} <= set(np.unique(edge[..., 3]))
    low = client.get(f"/rasters/{TOWN}/tiles/{described['minzoom'] - 1}/0/0.png")
    assert low.status_code == 404
    assert "zoom in" in low.json()["detail"]
    assert client.get(f"/rasters/{TOWN}/tiles/3/8/0.png").status_code == 404


def test_the_old_addresses_of_imagery_still_work(client: httpx.Client, raster: RasterFile) -> None:
    described = client.get(f"/rasters/{TOWN}/imagery/tilejson.json").json()
    assert described == client.get(f"/rasters/{TOWN}:imagery/tilejson.json").json()
    x, y, zoom = 0, 0, 0
    old = client.get(f"/rasters/{TOWN}/imagery/tiles/{zoom}/{x}/{y}.png")
    new = client.get(f"/rasters/{TOWN}:imagery/tiles/{zoom}/{x}/{y}.png")
    assert (old.status_code, old.content) == (new.status_code, new.content)


def test_the_imagery_is_where_the_raster_lies(client: httpx.Client, raster: RasterFile) -> None:
    described = client.get(f"/rasters/{TOWN}:imagery/tilejson.json").json()
    west, south, east, north = described["bounds"]
    longitude, latitude, zoom = described["center"]
    assert west < longitude < east
    assert south < latitude < north
    x = int((longitude + 180) / 360 * 2**zoom)
    y = int((1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2 * 2**zoom)
    assert (_tile(client, zoom, x, y, ":imagery")[..., 3] == 255).all()
    assert (x, y) == _middle(raster, zoom)


def test_a_tile_that_the_client_has_is_not_sent_again(client: httpx.Client, raster: RasterFile) -> None:
    x, y = _middle(raster, 15)
    address = f"/rasters/{TOWN}/tiles/15/{x}/{y}.png"
    first = client.get(address)
    assert "max-age" in first.headers["cache-control"]
    again = client.get(address, headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get(f"/rasters/{TOWN}/tiles/15/{x + 1}/{y}.png")
    assert other.headers["etag"] != first.headers["etag"]


def test_the_address_of_the_tilejson_is_that_of_the_tiles(client: httpx.Client, raster: RasterFile) -> None:
    described = client.get(f"/rasters/{TOWN}/tilejson.json?model=tiny").json()
    x, y = _middle(raster, described["maxzoom"])
    address = described["tiles"][0].replace("{z}", str(described["maxzoom"])).replace("{x}", str(x))
    assert address.startswith("http://127.0.0.1")
    assert client.get(address.replace("{y}", str(y))).headers["content-type"] == "image/png"


def test_the_list_has_what_can_be_shown_and_says_what_cannot(client: httpx.Client) -> None:
    found = {entry["name"]: entry["problem"] for entry in client.get("/rasters").json()}
    assert found[TOWN] is None
    assert "has no CRS" in found["nowhere"]
    assert "cannot be read" in found["broken"]
    assert "cannot be read" in found["disguised"]  # it is a VRT that points out of the folder
    assert "link" not in found
    assert "/" not in "".join(problem or "" for problem in found.values())
    assert client.get("/rasters/nowhere/tiles/10/1/1.png").status_code == 422


@pytest.mark.parametrize(
    "name",
    ["..", "%2e%2e%2fsecret", "..%2F..%2Fetc%2Fpasswd", "link", "/etc/passwd", "town", "north/town", "%00"],
)
def test_no_name_leads_out_of_the_folder(client: httpx.Client, name: str) -> None:
    answer = client.get(f"/rasters/{name}/tilejson.json")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_cache_holds_no_more_than_it_may(start, raster_folder: Path, raster: RasterFile) -> None:
    server = start("--rasters", raster_folder, "--cache-mib", 1)
    with server.client() as client:
        x, y = _middle(raster, 16)
        for i in range(4):
            _tile(client, 16, x + i % 2, y + i // 2)
        figures = client.get("/metrics").text
    size = next(
        float(line.split()[1]) for line in figures.splitlines() if line.startswith("sat2map_map_cache_bytes ")
    )
    assert 0 < size <= 2**20

"""Tests WMTS with GDAL's driver as the client, and the capabilities against the tiles that exist."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.warp import transform_bounds
from rasterio.windows import from_bounds

from sat2map.errors import ImageError, SettingsError
from sat2map.geo.find_source import find_source
from sat2map.geo.gdal import gdal_env
from sat2map.geo.sources import Place
from sat2map.geo.web_mercator import Coverage, CoveragePart
from sat2map.serve.wmts import OWS, WMTS, WmtsLayer, capabilities

wmts_client = pytest.importorskip("owslib.wmts")
PATH = "/wmts/1.0.0/WMTSCapabilities.xml"
NAME = "north--town"


def test_gdal_reads_a_layer_as_the_tiles_are(client: httpx.Client) -> None:
    with rasterio.open(
        f"WMTS:{client.base_url}{PATH}".replace("//wmts", "/wmts") + f",layer={NAME}:imagery"
    ) as layer:
        assert layer.crs.to_epsg() == 3857
        pixels = layer.read(out_shape=(layer.count, 128, 128))
    assert pixels[3].mean() > 200  # the raster fills its bounds
    assert 40 < pixels[:3].mean() < 200


def test_our_own_reader_of_services_gives_the_pixels_of_the_tiles(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAT2MAP_CACHE", str(tmp_path))
    base = str(client.base_url).rstrip("/")
    layer, zoom = f"{NAME}:imagery", 15
    name = f"WMTS:{base}{PATH},layer={layer}"
    with rasterio.open(name) as whole:
        west, south, east, north = transform_bounds(whole.crs, "OGC:CRS84", *whole.bounds)
    margin = (east - west) / 4, (north - south) / 4
    box = (west + margin[0], south + margin[1], east - margin[0], north - margin[1])
    with (
        gdal_env(),
        rasterio.open(find_source(name, Place(box, zoom=zoom)).path) as part,
        rasterio.open(
            find_source(f"{base}/rasters/{layer}/tiles/{{z}}/{{x}}/{{y}}.png", Place(box, zoom=zoom)).path
        ) as tiles,
    ):
        window = from_bounds(*part.bounds, transform=tiles.transform).round_offsets().round_lengths()
        pixels = part.read()
        np.testing.assert_array_equal(pixels, tiles.read(window=window))
    assert pixels[3].any()
    with pytest.raises(SettingsError, match="lies outside"):
        find_source(name, Place((10, 50, 10.1, 50.1)))
    with gdal_env(), pytest.raises(ImageError, match="Cannot find TileMatrix of zoom level 40"):
        find_source(name, Place(box, zoom=40))


def test_limits_are_the_tiles_around_the_raster(client: httpx.Client) -> None:
    root = ET.fromstring(client.get(PATH).content)
    names = [one.text for one in root.iter(f"{{{OWS}}}Identifier")]
    assert NAME in names
    limit = root.findall(f".//{{{WMTS}}}TileMatrixLimits")[-1]
    values = {child.tag.rpartition("}")[2]: int(child.text or "") for child in limit}
    zoom, row, column = values["TileMatrix"], values["MinTileRow"], values["MinTileCol"]
    last_column = values["MaxTileCol"]

    def has_pixels(row: int) -> bool:
        tiles = [
            client.get(f"/rasters/{NAME}:imagery/tiles/{zoom}/{x}/{row}.png")
            for x in range(column, last_column + 1)
        ]
        return any(np.asarray(Image.open(io.BytesIO(tile.content)))[..., 3].any() for tile in tiles)

    assert [has_pixels(row), has_pixels(row - 1)] == [True, False]


def test_key_value_requests_give_the_same_tile(client: httpx.Client) -> None:
    tile = client.get(f"/rasters/{NAME}:imagery/tiles/15/9650/12322.png").content
    query = {
        "SERVICE": "WMTS", "REQUEST": "GetTile", "Layer": f"{NAME}:imagery",
        "TileMatrixSet": "WebMercatorQuad",
        "TILEMATRIX": "15", "TILEROW": "12322", "TILECOL": "9650",
    }  # fmt: skip
    assert client.get("/wmts", params=query).content == tile


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"request": "GetFeatureInfo"}, "OperationNotSupported"),
        ({"layer": "nothing"}, "InvalidParameterValue"),
        ({"tilematrix": "-1"}, "InvalidParameterValue"),
        ({"tilematrix": "3", "tilerow": "8"}, "TileOutOfRange"),
        ({"tilematrixset": "EPSG:4326"}, "InvalidParameterValue"),
    ],
)
def test_bad_requests_get_an_exception_report(
    client: httpx.Client, change: dict[str, str], code: str
) -> None:
    query = {"request": "GetTile", "layer": NAME, "tilematrixset": "WebMercatorQuad", "tilematrix": "15"}
    answer = client.get("/wmts", params={**query, "tilerow": "0", "tilecol": "0", **change})
    assert answer.status_code == 400
    assert f'exceptionCode="{code}"' in answer.text


def test_owslib_reads_layers_tiles_and_legends(client: httpx.Client) -> None:
    service = wmts_client.WebMapTileService(f"{str(client.base_url).rstrip('/')}/wmts")
    assert {NAME, f"{NAME}:classes", f"{NAME}:imagery"} <= set(service.contents)
    tile = service.gettile(
        layer=f"{NAME}:imagery", tilematrixset="WebMercatorQuad", tilematrix="15", row=12322, column=9650
    )
    assert tile.read() == client.get(f"/rasters/{NAME}:imagery/tiles/15/9650/12322.png").content
    legend = client.get(service[NAME].styles["default"]["legend"])
    assert legend.headers["content-type"] == "image/png"


def test_names_and_addresses_are_escaped() -> None:
    class One:
        name, title, min_zoom, max_zoom = "a&b", "<b>", 0, 1

        class raster:  # noqa: N801
            coverage = Coverage((CoveragePart(0.0, 0.0, 1.0, 1.0, 0.0),), (0.5, 0.5), 1.0)

            @staticmethod
            def tile_limits(zoom: int) -> dict[str, int]:
                return {"tileMatrix": zoom}

    layer = WmtsLayer(One(), "http://x/{z}/{x}/{y}.png?model=m&key=k", None)  # type: ignore[arg-type]
    root = ET.fromstring(capabilities([layer], "http://x/wmts?", "http://x/c.xml"))
    url = root.find(f".//{{{WMTS}}}ResourceURL")
    assert url is not None
    assert url.get("template") == "http://x/{TileMatrix}/{TileCol}/{TileRow}.png?model=m&key=k"
    assert next(root.iter(f"{{{OWS}}}Identifier")).text == "a&b"

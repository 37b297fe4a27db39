"""Tests OGC API – Tiles and – Maps with owslib as the client, and vector tiles with GDAL."""

from __future__ import annotations

import io

import httpx
import morecantile
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.features import rasterize

from sat2map.images.palette import Palette
from sat2map.serve.vector_tiles import encode_vector_tile
from sat2map.synthetic.towns import draw_town

maps = pytest.importorskip("owslib.ogcapi.maps")
NAME = "north--town"


def _pixels(content: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))


def test_owslib_draws_a_map_of_an_area(client: httpx.Client) -> None:
    api = maps.Maps(f"{str(client.base_url).rstrip('/')}/ogc")
    assert f"{NAME}:imagery" in api.maps()
    west, south, east, north = client.get(f"/rasters/{NAME}/tilejson.json").json()["bounds"]
    middle = (west + east) / 2, (south + north) / 2
    bbox = [middle[0] - 0.002, middle[1] - 0.001, middle[0] + 0.002, middle[1] + 0.001]
    content = api.map(f"{NAME}:imagery", bbox=bbox, width=400, height=200, transparent=True).read()
    assert _pixels(content).shape == (200, 400, 4)
    assert (_pixels(content)[..., 3] == 255).all()


def test_links_lead_from_the_landing_page_to_a_tile(client: httpx.Client) -> None:
    def follow(page: dict, rel: str) -> str:
        return next(link["href"] for link in page["links"] if link["rel"].endswith(rel))

    landing = client.get("/ogc").json()
    collections = client.get(follow(landing, "data")).json()["collections"]
    one = next(found for found in collections if found["id"] == f"{NAME}:imagery")
    tileset = client.get(follow(one, "tilesets-map")).json()["tilesets"][0]
    described = client.get(follow(tileset, "self")).json()
    scheme = client.get(follow(described, "tiling-scheme")).json()
    limits = described["tileMatrixSetLimits"][-1]
    matrix = morecantile.TileMatrixSet.model_validate(scheme).matrix(int(limits["tileMatrix"]))
    assert matrix.matrixWidth == 2 ** int(limits["tileMatrix"])
    template = follow(described, "item")
    for name, key in (("tileMatrix", "tileMatrix"), ("tileRow", "minTileRow"), ("tileCol", "minTileCol")):
        template = template.replace(f"{{{name}}}", str(limits[key]))
    answer = client.get(template)
    assert answer.headers["content-type"] == "image/png"
    z, y, x = limits["tileMatrix"], limits["minTileRow"], limits["minTileCol"]
    assert answer.content == client.get(f"/rasters/{NAME}:imagery/tiles/{z}/{x}/{y}.png").content


def test_a_map_in_the_crs_of_the_raster_is_the_raster(client: httpx.Client, raster_folder) -> None:
    with rasterio.open(raster_folder / "north" / "town.tif") as file:
        left, top = file.transform @ (300, 300)
        right, bottom = file.transform @ (500, 400)
        expected = np.moveaxis(file.read(window=((300, 400), (300, 500))), 0, -1)
    bbox = {"bbox": f"{left},{bottom},{right},{top}", "bbox-crs": "EPSG:32618", "crs": "EPSG:32618"}
    answer = client.get(f"/ogc/collections/{NAME}:imagery/map", params={**bbox, "width": 200, "height": 100})
    assert answer.headers["content-crs"] == "<http://www.opengis.net/def/crs/EPSG/0/32618>"
    drawn = _pixels(answer.content)[..., :3].astype(int)
    # Warped to web mercator and back: edges of houses are softer, and nothing is moved.
    assert np.abs(drawn - expected).mean() < 12
    moved = [np.abs(np.roll(drawn, 3, axis) - expected).mean() for axis in (0, 1)]
    assert np.abs(drawn - expected).mean() < 0.6 * min(moved)


def test_the_axes_of_a_bbox_are_those_of_its_crs(client: httpx.Client) -> None:
    west, south, east, north = client.get(f"/rasters/{NAME}/tilejson.json").json()["bounds"]
    address = f"/ogc/collections/{NAME}:imagery/map?width=100&height=100"
    by_lon = client.get(f"{address}&bbox={west},{south},{east},{north}")
    by_lat = client.get(f"{address}&bbox={south},{west},{north},{east}&bbox-crs=EPSG:4326")
    assert by_lon.content == by_lat.content
    assert _pixels(by_lon.content)[..., 3].mean() > 200


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("bbox=1,2,3", "four numbers"),
        ("bbox=3,3,1,1", "empty"),
        ("crs=EPSG:999999", "not known"),
        ("bbox=nan,0,1,1", "four numbers"),
        ("width=4000&bbox=0,0,1,10", "px a side"),
    ],
)
def test_bad_requests_for_a_map_get_a_sentence(client: httpx.Client, query: str, words: str) -> None:
    answer = client.get(f"/ogc/collections/{NAME}/map?{query}")
    assert answer.status_code == 400
    assert words in answer.text


def test_an_area_without_the_raster_is_transparent(client: httpx.Client) -> None:
    answer = client.get(f"/ogc/collections/{NAME}/map?bbox=1,1,2,2&width=50")
    assert (_pixels(answer.content)[..., 3] == 0).all()


@pytest.mark.parametrize(
    "path",
    [
        "/rasters",
        f"/rasters/{NAME}/tilejson.json",
        f"/rasters/{NAME}:classes/style.json",
        f"/rasters/{NAME}:classes/legend.png",
        f"/rasters/{NAME}:imagery/tiles/10/301/385.png",
        "/wmts?request=GetCapabilities",
        "/wmts/1.0.0/WMTSCapabilities.xml",
        "/ogc",
        "/ogc/collections",
        f"/ogc/collections/{NAME}:imagery/map?width=64",
    ],
)
def test_head_and_conditional_requests(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == answer.headers["etag"]
    again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_polygons_of_a_vector_tile_are_the_classes_of_its_pixels(tmp_path) -> None:
    palette = Palette.load("maps")
    classes = palette.classify(draw_town(7, size=256).target)
    classes[:40] = 255  # nodata
    (tmp_path / "tile.pbf").write_bytes(encode_vector_tile(classes, palette, 16, 19300, 24640))
    meta, _, geometries, columns = pyogrio.raw.read(tmp_path / "tile.pbf")
    names = columns[list(meta["fields"]).index("class")]
    shapes = shapely.from_wkb(geometries)
    assert shapely.is_valid(shapes).all()
    drawn = rasterize(
        [(shape, palette.names.index(name)) for shape, name in zip(shapes, names, strict=True)],
        out_shape=(256, 256),
        transform=Affine(16, 0, 0, 0, -16, 4096),
        fill=255,
    )
    np.testing.assert_array_equal((drawn == 255)[:39], True)
    assert (drawn == 255)[41:].sum() == 0  # no gaps
    assert (drawn == classes).mean() > 0.98


def test_vector_tiles_are_made_of_the_tiles_of_the_class_layer(client: httpx.Client, tmp_path) -> None:
    described = client.get(f"/rasters/{NAME}:classes/vector.json").json()
    style = client.get(f"/rasters/{NAME}:classes/style.json").json()
    longitude, latitude, zoom = described["center"]
    x, y, _ = morecantile.tms.get("WebMercatorQuad").tile(longitude, latitude, zoom)
    address = described["tiles"][0].format(z=zoom, x=x, y=y)
    (tmp_path / "tile.pbf").write_bytes(client.get(address).content)
    meta, _, geometries, columns = pyogrio.raw.read(tmp_path / "tile.pbf")
    colours = {layer["id"]: layer["paint"]["fill-color"] for layer in style["layers"]}
    names = columns[list(meta["fields"]).index("class")]
    shown = _pixels(client.get(f"/rasters/{NAME}:classes/tiles/{zoom}/{x}/{y}.png").content)
    drawn = rasterize(
        [
            (shape, list(colours).index(name) + 1)
            for shape, name in zip(shapely.from_wkb(geometries), names, strict=True)
        ],
        out_shape=(256, 256),
        transform=Affine(16, 0, 0, 0, -16, 4096),
        fill=0,
    )
    table = np.array([(0, 0, 0), *(tuple(bytes.fromhex(colour[1:])) for colour in colours.values())])
    assert (table[drawn] == shown[..., :3]).all(axis=-1).mean() > 0.9
    assert client.get(described["tiles"][0].format(z=zoom + 1, x=0, y=0)).status_code == 404
    assert client.get(f"/rasters/{NAME}/vector.json").status_code == 404

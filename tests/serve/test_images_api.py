"""Tests images that are uploaded once and drawn as often as wanted."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sat2map.geo.raster_job import RasterOptions
from sat2map.geo.translate_raster import translate_raster
from sat2map.images.palette import Palette
from sat2map.inference import Translator
from sat2map.inference.drawing import Products
from sat2map.serve.auth import new_key

from .conftest import Server, start_server


def _png(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _pixels(answer: httpx.Response) -> NDArray[np.uint8]:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


@pytest.fixture
def address(client: httpx.Client, town: NDArray[np.uint8]) -> str:
    answer = client.post("/v1/images", content=_png(town[:96, :128]))
    assert answer.status_code == 201
    return answer.headers["location"]


def test_an_image_is_drawn_at_several_scales(
    client: httpx.Client, address: str, town: NDArray[np.uint8], model_file: Path
) -> None:
    translator = Translator.open(model_file, image_only=True)
    for gsd in (None, 1.05, 4.2):
        got = _pixels(client.get(f"{address}/map", params={"gsd": gsd} if gsd else {}))
        np.testing.assert_array_equal(got, translator(town[:96, :128], gsd=gsd))


def test_classes_and_their_shares_belong_to_the_map(
    client: httpx.Client, address: str, town: NDArray[np.uint8], model_file: Path
) -> None:
    palette = Palette.load("maps")
    translator = Translator.open(model_file, image_only=True)
    classes = translator.draw(town[:96, :128], Products(classes=True)).classes
    assert classes is not None
    np.testing.assert_array_equal(
        _pixels(client.get(f"{address}/map?product=classes")), palette.colourise(classes)
    )
    summary = client.get(f"{address}/summary").json()
    shares = {entry["name"]: entry["share"] for entry in summary["classes"]}
    expected = np.bincount(classes.ravel(), minlength=len(palette.names)) / classes.size
    assert shares == pytest.approx(dict(zip(palette.names, expected, strict=True)))
    assert summary["products"] == ["image", "classes"]


def test_other_colours_recolour_the_classes(client: httpx.Client, address: str) -> None:
    names = client.get("/v1/models").json()["models"][0]["colors"]
    assert "dark" in names
    dark = Palette.load("dark")
    seen = np.unique(_pixels(client.get(f"{address}/map?colors=dark")).reshape(-1, 3), axis=0)
    assert {tuple(colour) for colour in seen.tolist()} <= {one.colours[0] for one in dark.classes}
    assert client.get(f"{address}/map?colors=/etc/passwd").status_code == 400


def test_what_a_model_lacks_is_not_found(client: httpx.Client, address: str) -> None:
    assert client.get(f"{address}/map?product=confidence").status_code == 404
    assert client.get(f"{address}/map?product=doubt").status_code == 422


@pytest.fixture(scope="module")
def palette_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A palette network with random weights, which has a confidence."""
    import torch

    from sat2map.models.architectures.generators import build_generator
    from sat2map.models.architectures.spec import GeneratorSpec
    from sat2map.models.model_file import ModelHeader, save_model

    torch.manual_seed(0)
    palette = Palette.load("maps")
    count = sum(len(one.colours) for one in palette.classes)
    spec = GeneratorSpec(architecture="efficient-unet", colours=count)
    header = ModelHeader(generator=spec, max_untiled_size=256, gsd=2.1, palette=palette)
    path = tmp_path_factory.mktemp("palette") / "palette.safetensors"
    save_model(path, build_generator(spec).state_dict(), header)
    return path


@pytest.fixture(scope="module")
def palette_server(palette_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = start_server(palette_model, tmp_path_factory.mktemp("state"))
    yield running
    running.stop()


@pytest.mark.parametrize("colors", [None, "dark"])
def test_a_geotiff_has_the_classes_confidence_and_colours_of_translate(
    tmp_path: Path, palette_model: Path, palette_server: Server, raster_folder: Path, colors: str | None
) -> None:
    source = raster_folder / "aligned.tif"  # with nodata beyond a slanted edge
    paths = {name: tmp_path / f"{name}.tif" for name in ("image", "classes", "confidence")}
    options = RasterOptions(classes=paths["classes"], confidence=paths["confidence"])
    translate_raster(Translator.open(palette_model, colors=colors), source, paths["image"], options)
    with palette_server.client(params={"colors": colors} if colors else {}) as client:
        address = client.post("/v1/images", content=source.read_bytes()).headers["location"]
        shown = {}
        for product in paths:
            query = {"product": product}
            answer = client.get(f"{address}/map", params=query, headers={"Accept": "image/tiff"})
            (tmp_path / f"{product}-got.tif").write_bytes(answer.content)
            answer = client.get(f"{address}/map", params=query, headers={"Accept": "image/png"})
            shown[product] = _pixels(answer)
        summary = client.get(f"{address}/summary").json()
    wanted = {product: _bands(path) for product, path in paths.items()}
    for product, values in wanted.items():
        np.testing.assert_array_equal(_bands(tmp_path / f"{product}-got.tif"), values)
    classes = wanted["classes"][..., 0]
    there = classes != 255
    assert 0 < there.mean() < 1
    own = Palette.load("maps")
    palette = Palette.load(colors or "maps")
    flat = {one.name: one.colours[0] for one in palette.classes}
    colours = np.array([flat[name] for name in own.names])
    np.testing.assert_array_equal(shown["image"][there][:, :3], wanted["image"][there][:, :3])
    np.testing.assert_array_equal(shown["classes"][there][:, :3], colours[classes[there]])
    grey = np.rint(wanted["confidence"][there][:, 0] * np.float32(2.55))
    np.testing.assert_array_equal(shown["confidence"][there][:, 0], grey)
    assert all((picture[~there][:, -1] == 0).all() for picture in shown.values())
    shares = np.bincount(classes[there], minlength=len(own.names)) / there.sum()
    got = {one["name"]: (one["share"], one["colour"]) for one in summary["classes"]}
    assert [got[name][1] for name in own.names] == [
        "#{:02x}{:02x}{:02x}".format(*flat[name]) for name in own.names
    ]
    assert [got[name][0] for name in own.names] == pytest.approx(list(shares))
    assert summary["products"] == ["image", "classes", "confidence"]


def _bands(path: Path) -> NDArray[np.uint8]:
    """Return the pixels of a raster, uint8 (h, w, bands)."""
    import rasterio

    with rasterio.open(path) as file:
        return np.moveaxis(file.read(), 0, -1)


def test_images_are_drawn_in_the_colours_of_the_service_and_all_others_are_offered(
    palette_model: Path, tmp_path: Path, town: NDArray[np.uint8]
) -> None:
    running = start_server(palette_model, tmp_path / "state", "--colors", "dark")
    try:
        with running.client() as client:
            address = client.post("/v1/images", content=_png(town[:96, :128])).headers["location"]
            offered = client.get("/v1/models").json()["models"][0]["colors"]
            assert set(offered) == {"maps", "high-contrast", "osm", "colour-blind"}
            for name in ("dark", *offered):
                got = _pixels(client.get(f"{address}/map", params={} if name == "dark" else {"colors": name}))
                expected = Translator.open(palette_model, colors=name)(town[:96, :128])
                np.testing.assert_array_equal(got, expected)
    finally:
        running.stop()


def test_a_deleted_image_is_gone_and_ids_are_no_paths(client: httpx.Client, address: str) -> None:
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404
    for name in ("..", "%2e%2e", "..%2f..%2fjobs", "%00", "x" * 64):
        assert client.get(f"/v1/images/{name}").status_code in (404, 405, 422)


def test_a_job_can_use_an_uploaded_image(client: httpx.Client, address: str) -> None:
    answer = client.post("/v1/jobs", params={"image": address.rpartition("/")[2]})
    assert answer.status_code == 202
    assert (answer.json()["width"], answer.json()["height"]) == (128, 96)


def test_an_image_belongs_to_the_key_that_uploaded_it(start: Any, tmp_path: Path) -> None:
    keys = {name: new_key(tmp_path / "keys", name) for name in ("ann", "bob", "tiles-web")}
    server = start("--api-keys", tmp_path / "keys")
    body = _png(np.full((40, 40, 3), 90, np.uint8))
    with server.client(headers={"Authorization": f"Bearer {keys['ann']}"}) as ann:
        address = ann.post("/v1/images", content=body).headers["location"]
        assert ann.get(f"{address}/map").status_code == 200
    with server.client(auth=("any", keys["bob"])) as bob:
        assert bob.get(address).status_code == 404
    with server.client(headers={"Authorization": f"Bearer {keys['tiles-web']}"}) as web:
        assert web.post("/v1/images", content=body).status_code == 401


def test_the_oldest_images_make_room(start: Any) -> None:
    server = start("--image-mib", 1)
    body = _png(np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8))  # about 0.5 MB
    with server.client() as client:
        addresses = [client.post("/v1/images", content=body).headers["location"] for _ in range(3)]
        assert [client.get(address).status_code for address in addresses] == [404, 404, 200] or [
            client.get(address).status_code for address in addresses
        ] == [404, 200, 200]
        assert client.post("/v1/images", content=bytes(2**21)).status_code == 507

"""Tests `POST /v1/translate` and what tells of the service, over real HTTP."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rio_cogeo.cogeo import cog_validate

from sat2map.inference import Translator
from sat2map.inference.scale import ScaledTranslator


def _png(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _decode(content: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_an_image_comes_back_as_the_map_that_the_translator_makes(
    client: httpx.Client, model_file: Path, town: NDArray[np.uint8]
) -> None:
    answer = client.post("/v1/translate", content=_png(town))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["sat2map-model"] == "tiny"
    assert "network;dur=" in answer.headers["server-timing"]
    np.testing.assert_array_equal(_decode(answer.content), Translator.open(model_file, image_only=True)(town))


def test_a_large_image_in_tiles_is_what_the_translator_makes(
    client: httpx.Client, model_file: Path, town
) -> None:
    large = np.tile(town, (2, 2, 1))[:400, :300]
    answer = client.post("/v1/translate", content=_png(large))
    np.testing.assert_array_equal(
        _decode(answer.content), Translator.open(model_file, image_only=True)(large)
    )


def test_many_at_the_same_time_get_the_map_that_one_alone_gets(
    client: httpx.Client, town: NDArray[np.uint8]
) -> None:
    alone = client.post("/v1/translate", content=_png(town)).content
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda _: client.post("/v1/translate", content=_png(town)), range(24))
        assert {answer.content for answer in answers} == {alone}


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        ("image/webp", "image/webp"),
        ("image/jpeg", "image/jpeg"),
        ("image/tiff", "image/tiff"),
        ("text/html, image/webp;q=0.3, image/*;q=0.2", "image/webp"),
        ("image/webp;q=0, */*", "image/png"),
        ("", "image/png"),
    ],
)
def test_accept_chooses_the_format(
    client: httpx.Client, town: NDArray[np.uint8], accept: str, given: str
) -> None:
    answer = client.post("/v1/translate", content=_png(town), headers={"Accept": accept})
    assert answer.headers["content-type"] == given
    assert Image.open(io.BytesIO(answer.content)).size == (256, 256)


def test_a_format_that_is_not_there_is_not_acceptable(client: httpx.Client, town: NDArray[np.uint8]) -> None:
    answer = client.post("/v1/translate", content=_png(town), headers={"Accept": "image/avif, text/plain"})
    assert answer.status_code == 406
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/not-acceptable"
    assert client.get(answer.json()["type"]).json()["status"] == 406


def test_a_form_with_one_file_works_as_the_raw_body_does(
    client: httpx.Client, town: NDArray[np.uint8]
) -> None:
    raw = client.post("/v1/translate", content=_png(town))
    form = client.post("/v1/translate", files={"picture": ("../../x.png", _png(town))}, data={"a": "b"})
    assert form.content == raw.content
    assert client.post("/v1/translate", files={"a": b"", "b": b""}).status_code == 400


def test_alpha_is_carried_over_and_jpeg_refuses_it(client: httpx.Client, town: NDArray[np.uint8]) -> None:
    alpha = np.zeros(town.shape[:2], np.uint8)
    alpha[50:] = 200
    answer = client.post("/v1/translate", content=_png(np.dstack([town, alpha])))
    np.testing.assert_array_equal(_decode(answer.content)[..., 3], alpha)
    refused = client.post(
        "/v1/translate", content=_png(np.dstack([town, alpha])), headers={"Accept": "image/jpeg"}
    )
    assert refused.status_code == 406


def test_a_picture_of_known_ground_size_is_translated_at_the_models_scale(
    client: httpx.Client, model_file: Path, town: NDArray[np.uint8]
) -> None:
    expected = ScaledTranslator(Translator.open(model_file, image_only=True), 4.2)(town)  # twice the model's
    answer = client.post("/v1/translate?gsd=4.2", content=_png(town))
    np.testing.assert_array_equal(_decode(answer.content), expected)
    same = client.post("/v1/translate?gsd=2.1", content=_png(town))
    assert same.content == client.post("/v1/translate", content=_png(town)).content


@pytest.mark.parametrize(
    ("gsd", "status", "words"),
    [
        ("0.1", 422, "12×12 px"),
        ("200", 413, "24381×24381 px"),
        ("0", 422, "query.gsd"),
        ("nan", 422, "query.gsd"),
        ("1e9", 422, "query.gsd"),
    ],
)
@pytest.mark.parametrize("address", ["/v1/translate", "/v1/jobs"])
def test_a_ground_size_that_cannot_be_is_refused_in_plain_words(
    client: httpx.Client, town: NDArray[np.uint8], address: str, gsd: str, status: int, words: str
) -> None:
    answer = client.post(f"{address}?gsd={gsd}", content=_png(town))
    assert answer.status_code == status
    assert words in answer.json()["detail"]


def test_a_geotiffs_own_ground_size_counts(client: httpx.Client, raster_folder: Path) -> None:
    content = (raster_folder / "north" / "town.tif").read_bytes()
    png = {"Accept": "image/png"}
    given, own = (
        client.post(f"/v1/translate{query}", content=content, headers=png) for query in ("?gsd=9", "")
    )
    assert given.content == own.content


def test_the_ground_size_is_documented_with_an_example(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for address in ("/v1/translate", "/v1/jobs"):
        (gsd,) = [one for one in paths[address]["post"]["parameters"] if one["name"] == "gsd"]
        assert "Metres per pixel" in gsd["description"]
        assert gsd["schema"]["examples"] == [0.5]


def test_a_geotiff_comes_back_as_a_cog_on_the_same_grid(
    client: httpx.Client, raster_folder: Path, tmp_path: Path
) -> None:
    source = raster_folder / "north" / "town.tif"
    answer = client.post("/v1/translate", content=source.read_bytes())
    assert answer.headers["content-type"] == "image/tiff"
    (tmp_path / "map.tif").write_bytes(answer.content)
    with rasterio.open(source) as before, rasterio.open(tmp_path / "map.tif") as after:
        assert (after.crs, after.transform, after.shape) == (before.crs, before.transform, before.shape)
    assert cog_validate(tmp_path / "map.tif")[0]
    as_png = client.post("/v1/translate", content=source.read_bytes(), headers={"Accept": "image/png"})
    assert Image.open(io.BytesIO(as_png.content)).size == (1300, 1100)


def test_the_preview_of_a_16_bit_raster_has_8_bits(client: httpx.Client, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 3000, (3, 40, 60)).astype(np.uint16)
    with rasterio.open(
        tmp_path / "a.tif",
        "w",
        driver="GTiff",
        height=40,
        width=60,
        count=3,
        dtype="uint16",
        crs="EPSG:32618",
        transform=Affine(2, 0, 0, 0, -2, 0),
    ) as file:
        file.write(values)
    answer = client.post("/v1/preview", content=(tmp_path / "a.tif").read_bytes())
    assert _decode(answer.content).shape == (40, 60, 3)


def test_the_card_of_the_model_says_what_its_header_says(client: httpx.Client) -> None:
    card = client.get("/v1/models").json()["models"][0]
    assert card["name"] == "tiny"
    assert card["gsd"] == 2.1
    assert card["scores"] == {"mean_iou": 0.4}
    assert [entry["name"] for entry in card["classes"]][:3] == ["land", "building", "road"]
    assert card["classes"][4]["colour"] == "#b1d0fe"


def test_an_unknown_model_is_not_found_and_the_known_ones_are_named(client: httpx.Client, town) -> None:
    answer = client.post("/v1/translate?model=tinny", content=_png(town))
    assert answer.status_code == 404
    assert "did you mean 'tiny'" in answer.json()["detail"]


def test_health_readiness_and_figures(client: httpx.Client, town: NDArray[np.uint8]) -> None:
    client.post("/v1/translate", content=_png(town))
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
    figures = client.get("/metrics").text
    assert 'sat2map_requests_total{method="POST",route="/v1/translate",status="200"}' in figures
    for name in ("request_seconds", "queue_seconds", "batch_images", "queue_images", "map_cache_bytes"):
        assert f"sat2map_{name}" in figures


def test_every_answer_has_security_headers_and_no_server_name(client: httpx.Client) -> None:
    for path in ("/", "/v1/models", "/nothing", "/page/js/map.js"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers
    assert (
        "access-control-allow-origin" not in client.get("/", headers={"Origin": "https://x.example"}).headers
    )


def test_the_page_asks_nobody_else_for_anything() -> None:
    import re

    from sat2map.serve.routes.page import PAGE

    for path in [*PAGE.glob("*.html"), *PAGE.glob("css/*.css"), *PAGE.glob("js/*.js")]:
        found = re.findall(r"(?:https?:)?//[\w.]+\.\w+", path.read_text())
        assert [address for address in found if "www.w3.org" not in address] == [], path

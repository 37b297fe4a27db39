"""The service translates the same part of a file as the command does, and says what it assumed."""

from __future__ import annotations

import io
import json
import time

import httpx
import numpy as np
import pytest
from PIL import Image

from sat2map.inference import Translator
from sat2map.synthetic.towns import draw_town


@pytest.fixture(scope="module")
def pair() -> bytes:
    town = draw_town(3, size=128)
    return _file(np.hstack([town.source, town.target]))


def _file(pixels, form="PNG", **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form, **options)
    return out.getvalue()


def _map_of(answer: httpx.Response):
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def _notes(answer: httpx.Response) -> list[str]:
    return json.loads(answer.headers.get("sat2map-notes", "[]"))


def test_of_a_training_pair_the_photo_is_translated_with_a_note(client, pair, model_file):
    answer = client.post("/v1/translate", content=pair)
    expected = Translator.open(model_file, image_only=True)(draw_town(3, size=128).source)
    np.testing.assert_array_equal(_map_of(answer), expected)
    assert any(
        "looks like a training pair" in note and "the parameter 'whole'" in note for note in _notes(answer)
    )


def test_whole_takes_all_of_a_training_pair(client, pair):
    answer = client.post("/v1/translate?whole=true", content=pair)
    assert _map_of(answer).shape == (128, 256, 3)
    assert not any("training pair" in note for note in _notes(answer))


def test_every_way_through_the_service_translates_the_same_part(client, pair):
    expected = _map_of(client.post("/v1/translate", content=pair))
    address = client.post("/v1/images", content=pair).headers["location"]
    drawn = client.get(f"{address}/map")
    np.testing.assert_array_equal(_map_of(drawn), expected)
    for preview in (client.post("/v1/preview", content=pair), client.get(f"{address}/preview")):
        np.testing.assert_array_equal(_map_of(preview), draw_town(3, size=128).source)
        assert "training pair" in _notes(preview)[0]
    summary = client.get(f"{address}/summary").json()
    assert (summary["width"], summary["height"]) == (128, 128)
    assert summary["notes"] == _notes(drawn)
    job = client.post("/v1/jobs", content=pair).headers["location"]
    status = _ended(client, job)
    np.testing.assert_array_equal(_map_of(client.get(f"{job}/result")), expected)
    assert status["notes"] == _notes(drawn)


def _ended(client, job):
    for _ in range(3000):
        status = client.get(job).json()
        if status["state"] not in ("queued", "running"):
            assert status["state"] == "done", status
            return status
        time.sleep(0.1)
    raise AssertionError("the job does not end")


@pytest.mark.parametrize("form", ["TIFF", "WEBP"])
def test_page_picks_a_page_and_without_it_a_note_says_of_how_many(client, form):
    first, second = (np.full((64, 64, 3), level, np.uint8) for level in (40, 200))
    options = {"lossless": True} if form == "WEBP" else {}
    content = _file(first, form, save_all=True, append_images=[Image.fromarray(second)], **options)
    answer = client.post("/v1/preview", content=content)
    assert (_map_of(answer) == 40).all()
    assert "2 images" in _notes(answer)[0]
    assert "the parameter 'page'" in _notes(answer)[0]
    other = client.post("/v1/preview?page=2", content=content)
    assert (_map_of(other) == 200).all()
    missing = client.post("/v1/preview?page=3", content=content)
    assert (missing.status_code, missing.json()["type"]) == (422, "/problems/bad-image")


def test_a_page_larger_than_the_first_is_refused(client):
    small, large = np.zeros((32, 32, 3), np.uint8), Image.new("RGB", (400, 400))
    content = _file(small, "TIFF", save_all=True, append_images=[large])
    answer = client.post("/v1/translate?page=2", content=content)
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-many-pixels")


def test_an_assumed_resolution_is_said_and_a_given_one_is_not(client):
    town = _file(draw_town(1, size=64).source)
    notes = _notes(client.post("/v1/translate", content=town))
    assert any("2.1 m per pixel" in note and "the parameter 'gsd' takes" in note for note in notes)
    assert not any("--" in note or "the setting" in note for note in notes)
    assert _notes(client.post("/v1/translate?gsd=2.1", content=town)) == []


def test_notes_name_no_setting_that_a_request_has_not(client):
    levels = np.linspace(0, 60000, 64 * 64).astype(np.uint16).reshape(64, 64)
    notes = _notes(client.post("/v1/translate", content=_file(levels, "TIFF")))
    assert any("became" in note or "percentile" in note for note in notes), notes
    assert not any("setting" in note or "scale'" in note for note in notes), notes


def test_notes_name_no_path_of_the_service(client, raster_folder):
    content = (raster_folder / "nowhere.tif").read_bytes()
    answer = client.post("/v1/translate", content=content, headers={"Accept": "image/png"})
    assert _notes(answer)
    assert not any("/" in note for note in _notes(answer)), _notes(answer)

"""Tests jobs over real HTTP: progress, cancelling, download, restarts, expiry."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from sat2map.errors import SettingsError
from sat2map.inference import Translator
from sat2map.inference.scale import ScaledTranslator
from sat2map.serve.job_store import JobRecord, JobStore


def _wait(client: httpx.Client, address: str, *states: str) -> dict[str, Any]:
    for _ in range(6000):
        job: dict[str, Any] = client.get(address).json()
        if job["state"] in states:
            return job
        time.sleep(0.05)
    raise AssertionError(job)


def _large(side: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3)).astype(np.uint8)).save(
        out, "PNG"
    )
    return out.getvalue()


def _endless() -> bytes:
    """A picture of 700 tiles: a job that goes on while a test looks at it."""
    out = io.BytesIO()
    Image.new("RGB", (6144, 6144)).save(out, "PNG")
    return out.getvalue()


def test_a_job_tells_its_progress_and_gives_its_map(client: httpx.Client, model_file: Path) -> None:
    body = _large(700)
    created = client.post("/v1/jobs", content=body)
    assert created.status_code == 202
    address = created.headers["location"]
    assert address == f"/v1/jobs/{created.json()['id']}"
    with client.stream("GET", f"{address}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert lines[-2] == "event: done"
    last = json.loads(lines[-1].removeprefix("data: "))
    assert last["tiles_done"] == last["tiles"] > 1
    result = client.get(f"{address}/result")
    assert "map.png" in result.headers["content-disposition"]
    expected = Translator.open(model_file, image_only=True)(np.asarray(Image.open(io.BytesIO(body))))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(result.content))), expected)
    assert client.get(f"{address}/result", headers={"Range": "bytes=0-7"}).content == b"\x89PNG\r\n\x1a\n"
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404


def test_a_job_is_translated_at_the_models_scale_where_the_ground_size_is_given(
    client: httpx.Client, model_file: Path
) -> None:
    body = _large(200)
    address = client.post("/v1/jobs?gsd=6.3", content=body).headers["location"]  # three times the model's
    assert _wait(client, address, "done", "failed")["state"] == "done"
    expected = ScaledTranslator(Translator.open(model_file, image_only=True), 6.3)(
        np.asarray(Image.open(io.BytesIO(body)))
    )
    result = client.get(f"{address}/result")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(result.content))), expected)


def test_a_geotiff_job_gives_a_geotiff(client: httpx.Client, raster_folder: Path) -> None:
    body = (raster_folder / "north" / "town.tif").read_bytes()
    address = client.post("/v1/jobs", content=body).headers["location"]
    job = _wait(client, address, "done", "failed")
    assert (job["kind"], job["width"], job["height"], job["state"]) == ("raster", 1300, 1100, "done")
    result = client.get(f"{address}/result")
    assert result.headers["content-type"] == "image/tiff"
    assert result.content[:4] in (b"II*\x00", b"II+\x00")


def test_a_running_job_can_be_cancelled_and_the_next_one_runs(client: httpx.Client) -> None:
    address = client.post("/v1/jobs", content=_endless()).headers["location"]
    _wait(client, address, "running")
    assert client.get(f"{address}/result").status_code == 409
    assert client.delete(address).status_code == 204
    assert _wait(client, address, "cancelled")["finished"]
    after = client.post("/v1/jobs", content=_large(64)).headers["location"]
    assert _wait(client, after, "done", "failed")["state"] == "done"


def test_a_job_that_fails_says_why_in_plain_words_without_paths(client: httpx.Client) -> None:
    body = _large(600)[:-4000]  # the header is whole, the pixels are not
    address = client.post("/v1/jobs", content=body).headers["location"]
    job = _wait(client, address, "failed", "done")
    assert job["error"]["status"] == 422
    assert job["error"]["detail"].startswith("the image cannot be decoded")
    assert "/" not in job["error"]["detail"]


def test_jobs_survive_a_restart_and_sigterm_ends_it_cleanly(start: Any, raster_folder: Path) -> None:
    first = start("--queued-jobs", 3)
    with first.client() as client:
        done = client.post("/v1/jobs", content=_large(64)).headers["location"]
        _wait(client, done, "done")
        running = client.post("/v1/jobs", content=_endless()).headers["location"]
        queued = client.post("/v1/jobs", content=(raster_folder / "north" / "town.tif").read_bytes())
        _wait(client, running, "running")
        third = client.post("/v1/jobs", content=_large(64))
        assert third.status_code == 202
        refused = client.post("/v1/jobs", content=_large(64))
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        client.delete(third.headers["location"])
    assert first.stop() == 0
    second = start()
    with second.client() as client:
        assert client.get(f"{done}/result").status_code == 200
        assert _wait(client, running, "queued", "running")
        client.delete(running)
        assert _wait(client, queued.headers["location"], "done", "failed")["state"] == "done"


def test_sigterm_lets_a_running_translation_finish(start: Any) -> None:
    import signal
    import threading

    server = start()
    answers: list[httpx.Response] = []
    with server.client() as client:
        thread = threading.Thread(
            target=lambda: answers.append(client.post("/v1/translate", content=_large(1600)))
        )
        thread.start()
        while not answers and "sat2map_requests_running 2.0" not in client.get("/metrics").text:
            time.sleep(0.02)  # that one, and this one
        server.process.send_signal(signal.SIGTERM)
        thread.join()
    assert [answer.status_code for answer in answers] == [200]
    assert server.stop() == 0


def test_ended_jobs_expire(start: Any) -> None:
    server = start("--result-hours", 1e-6)
    with server.client() as client:
        address = client.post("/v1/jobs", content=_large(64)).headers["location"]
        _wait(client, address, "done")
    server.stop()
    with start("--result-hours", 1e-6).client() as client:
        assert client.get(address).status_code == 404


def test_two_services_do_not_share_a_state_folder(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite")
    with pytest.raises(SettingsError, match="another service"):
        JobStore(tmp_path / "jobs.sqlite")
    store.close()
    JobStore(tmp_path / "jobs.sqlite").close()


def test_the_jobs_of_an_older_version_are_kept(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as old:
        old.execute(
            "CREATE TABLE jobs (id TEXT PRIMARY KEY, owner TEXT NOT NULL, model TEXT NOT NULL, "
            "source TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL, height INTEGER NOT NULL, "
            "width INTEGER NOT NULL, bytes INTEGER NOT NULL, created REAL NOT NULL, "
            "finished REAL, error TEXT)"
        )
        old.execute(
            "INSERT INTO jobs VALUES ('a', '', 'm', 's', 'picture', 'queued', 1, 2, 5, 0.0, NULL, NULL)"
        )
        old.execute("PRAGMA user_version = 1")
        old.commit()
    for _ in range(2):
        store = JobStore(tmp_path / "jobs.sqlite")
        record = store.get("a")
        assert record is not None
        assert (record.width, record.gsd) == (2, None)
        store.close()


def test_the_oldest_queued_job_is_taken_first_and_once(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite")
    for number, name in enumerate("bac"):
        store.add(
            JobRecord(
                id=name,
                owner="",
                model="m",
                source="s",
                kind="picture",
                height=1,
                width=1,
                bytes=5,
                created=number,
            )
        )
    assert [store.take().id for _ in range(3)] == ["b", "a", "c"]
    assert store.take() is None
    assert store.total_bytes() == 15
    store.put_back("a")
    store.end("a", "cancelled")
    store.end("a", "done")
    assert store.get("a").state == "cancelled"
    store.close()

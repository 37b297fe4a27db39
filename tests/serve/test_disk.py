"""A full disk and no file handles: 507 or 503, nothing half-written, and it goes on later."""

from __future__ import annotations

import io
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def noise() -> bytes:
    """A PNG of 200 kB that no compression makes smaller."""
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def disk(make_disk: Callable[[Path, str], Path], tmp_path: Path) -> Path:
    """The service's state folder as a disk of 8 MiB."""
    return make_disk(tmp_path / "state", "8m")


def _fill(disk: Path, free: int) -> Path:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(disk).free - free))
    return ballast


def _files(disk: Path) -> set[str]:
    """Return the uploads and results in a state folder."""
    folders = ("images", "jobs", "now")
    return {str(path.relative_to(disk)) for folder in folders for path in disk.glob(f"{folder}/*")}


def _is_problem(answer: httpx.Response, status: int, slug: str, disk: Path) -> None:
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}"), answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert str(disk) not in answer.text


def _state_of(client: httpx.Client, job: str) -> dict[str, Any]:
    for _ in range(3000):
        status: dict[str, Any] = client.get(job).json()
        if status["state"] not in ("queued", "running"):
            return status
        time.sleep(0.1)
    raise AssertionError("the job does not end")


def test_an_upload_that_fills_the_disk_is_refused_and_works_once_there_is_room(
    start, disk, noise, raster_folder
):
    with start().client() as client:
        ballast = _fill(disk, 60_000)
        geotiff = (raster_folder / "north" / "town.tif").read_bytes()
        for path, content in (("/v1/images", noise), ("/v1/jobs", noise), ("/v1/translate", geotiff)):
            _is_problem(client.post(path, content=content), 507, "no-space", disk)
        assert client.post("/v1/translate", content=noise).status_code == 200  # needs no disk
        assert _files(disk) == set()
        ballast.unlink()
        assert client.post("/v1/images", content=noise).status_code == 201
        job = client.post("/v1/jobs", content=noise).headers["location"]
        assert _state_of(client, job)["state"] == "done"


def test_a_job_whose_map_fills_the_disk_fails_and_leaves_nothing(start, disk):
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (1500, 1500, 3), np.uint8)).save(
        out, "JPEG", quality=5
    )
    with start().client() as client:
        ballast = _fill(disk, len(out.getvalue()) + 30_000)
        job = client.post("/v1/jobs", content=out.getvalue()).headers["location"]
        status = _state_of(client, job)
        assert status["state"] == "failed"
        assert status["error"]["type"] == "/problems/no-space", status
        assert str(disk) not in str(status)
        assert _files(disk) == set()
        ballast.unlink()
        job = client.post("/v1/jobs", content=out.getvalue()).headers["location"]
        assert _state_of(client, job)["state"] == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="sets the limit of another process")
def test_without_file_handles_requests_get_503_and_work_once_there_are_some(start, tmp_path, noise):
    import resource

    server = start()
    with server.client() as client:
        assert client.get("/readyz").status_code == 200
        pid = server.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        highest = max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, before[1]))
        try:
            taken = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
            assert len(taken) >= highest - 8  # as good as none is free
            answers = [client.post("/v1/images", content=noise) for _ in range(3)]
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for answer in answers:
            if answer.status_code != 201:  # a handle was free
                _is_problem(answer, 503, "resources", tmp_path)
        assert client.post("/v1/images", content=noise).status_code == 201


def test_no_key_is_in_the_log_or_the_process_list(start, tmp_path, noise, raster_folder):
    from sat2map.serve.auth import new_key

    keys = tmp_path / "keys.txt"
    secret, tiles = new_key(keys, "mine"), new_key(keys, "tiles-qgis")
    server = start("--api-keys", keys, "--rasters", raster_folder)
    with server.client() as client:
        client.post("/v1/translate", content=noise, headers={"Authorization": f"Bearer {secret}"})
        client.get("/rasters", auth=("any", secret))
        client.get(f"/rasters/north/town/tilejson.json?key={tiles}")
        client.get(f"/rasters/{secret}/tiles/0/0/0.png?key={secret}")
    shown = Path(f"/proc/{server.process.pid}/cmdline").read_text() if sys.platform == "linux" else ""
    server.stop()
    log = "".join(server.log)
    assert "POST /v1/translate 200" in log
    assert tiles not in log + shown
    assert f"key={secret}" not in log
    assert secret not in shown

"""Tests of bulk jobs on a local Ray cluster of two workers; it takes most of a minute to start and stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import rasterio

from sat2map.bulk.manifest import Manifest, TaskRecord
from sat2map.bulk.on_ray import RayBackend
from sat2map.bulk.pipeline import run_bulk
from sat2map.bulk.planning import plan_tasks
from sat2map.bulk.tasks import BulkPlan
from sat2map.bulk.worker import WorkOptions
from sat2map.errors import ModelFileError, SettingsError

pytest.importorskip("ray", reason="the ray extra is not installed")

Outputs = Callable[[Path], dict[str, bytes]]

pytestmark = [
    # Ray warns of what it will change, in its own code, and leaves sockets to the end of the process.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_two_workers_make_what_one_process_makes_though_one_of_them_is_killed(
    plan: BulkPlan, options: WorkOptions, plainly: dict[str, bytes], outputs: Outputs
) -> None:
    killed: list[int] = []
    seen: list[TaskRecord] = []

    def kill_one(record: TaskRecord | None, done: int, total: int) -> None:
        if record is None:
            return
        seen.append(record)
        if not killed:
            killed.append(record.process[1])
            os.kill(record.process[1], signal.SIGKILL)  # it is at its next task by now

    summary = run_bulk(plan, options, backend=RayBackend("local", workers=2), progress=kill_one)
    assert (summary.done, summary.failed, summary.left) == (len(plan.tasks), (), 0)
    assert outputs(options.folder) == plainly
    assert killed[0] != os.getpid()
    assert len({record.process[1] for record in seen}) >= 2
    records = Manifest(options.folder).read()
    assert sorted(records) == sorted(task.output for task in plan.tasks)


def test_sheets_see_their_neighbours_on_other_workers_too(
    options: WorkOptions, photos: Path, tmp_path: Path, outputs: Outputs
) -> None:
    sheets = []
    with rasterio.open(photos / "large.tif") as file:
        for column in (0, 300, 600, 900):
            sheets.append(tmp_path / f"{column}.tif")
            window = rasterio.windows.Window(column, 0, 300, 300)
            profile = {
                **file.profile,
                "width": 300,
                "height": 300,
                "transform": file.window_transform(window),
            }
            with rasterio.open(sheets[-1], "w", **profile) as sheet:
                sheet.write(file.read(window=window))
    plan = plan_tasks([str(path) for path in sheets], cut=640, reading=options.reading())
    assert all(task.around is not None for task in plan.tasks)
    here = replace(options, folder=tmp_path / "here")
    run_bulk(plan, here)
    run_bulk(plan, options, backend=RayBackend("local", workers=2))
    assert outputs(options.folder) == outputs(here.folder)


def test_a_bad_file_stops_no_other_worker(
    plan: BulkPlan, options: WorkOptions, tmp_path: Path, plainly: dict[str, bytes], outputs: Outputs
) -> None:
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II*\0 no more")
    few = tuple(task for task in plan.tasks if task.window is None)[:3]
    bad = replace(few[0], source=str(broken), output="broken.tif")
    summary = run_bulk(BulkPlan((bad, *few)), options, backend=RayBackend("local", workers=2))
    assert (summary.done, summary.left) == (3, 1)
    assert "broken.tif" in summary.failed[0].error
    assert outputs(options.folder) == {task.output: plainly[task.output] for task in few}


def test_a_cluster_that_is_not_there_is_told(plan: BulkPlan, options: WorkOptions) -> None:
    with pytest.raises(SettingsError, match=r"no Ray cluster at 127.0.0.1:9 .*local starts one"):
        run_bulk(plan, options, backend=RayBackend("127.0.0.1:9"))


def test_a_missing_model_is_told_before_a_cluster_is_started(plan: BulkPlan, options: WorkOptions) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        run_bulk(plan, replace(options, model=Path("no.safetensors")), backend=RayBackend("local"))

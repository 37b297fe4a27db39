"""Tests of bulk jobs in one process and in shards: nothing is lost, done twice, or stopped by a bad file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from sat2map.bulk.manifest import MAX_ATTEMPTS, CrashCounter, Manifest, TaskRecord
from sat2map.bulk.pipeline import in_process, run_bulk
from sat2map.bulk.planning import plan_tasks
from sat2map.bulk.tasks import BulkPlan, Task
from sat2map.bulk.worker import WorkOptions
from sat2map.errors import OutputError, SettingsError
from sat2map.files import lock_output, sha256_of
from sat2map.geo.raster_job import RasterOptions
from sat2map.geo.translate_raster import translate_raster
from sat2map.images.pixels import read_image, write_image
from sat2map.inference import Translator
from sat2map.inference.image_files import Job, translate_image
from sat2map.models.model_file import read_header, read_weights, save_model

Outputs = Callable[[Path], dict[str, bytes]]


def times(folder: Path) -> dict[str, int]:
    """When each file in a folder was changed."""
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_windows_of_a_raster_join_to_its_map_without_a_seam(
    options: WorkOptions, photos: Path, tmp_path: Path
) -> None:
    source = str(photos / "large.tif")
    summary = run_bulk(plan_tasks([source], cut=640), options)
    translate_raster(
        Translator.open(options.model, engine="torch", device="cpu"), source, tmp_path / "whole.tif"
    )
    assert [path.name for path in summary.assembled] == ["large.vrt"]
    with rasterio.open(tmp_path / "whole.tif") as whole, rasterio.open(summary.assembled[0]) as joined:
        assert (joined.crs, joined.transform, joined.shape) == (whole.crs, whole.transform, whole.shape)
        assert joined.colorinterp == whole.colorinterp
        np.testing.assert_array_equal(joined.read(), whole.read())


def test_windows_join_at_another_resolution_and_from_16_bits_too(
    options: WorkOptions, photos: Path, tmp_path: Path, write: Callable[..., Path]
) -> None:
    with rasterio.open(photos / "large.tif") as file:
        source = write(tmp_path / "deep.tif", file.read().astype(np.uint16) * 13)
    options = replace(options, resolution=3.1)  # its pixels are 2 m
    summary = run_bulk(plan_tasks([str(source)], cut=640), options)
    translator = Translator.open(options.model, engine="torch", device="cpu")
    translate_raster(
        translator, source, tmp_path / "whole.tif", RasterOptions(resolution=3.1, keep_grid=True)
    )
    with rasterio.open(tmp_path / "whole.tif") as whole, rasterio.open(summary.assembled[0]) as joined:
        difference = np.abs(joined.read().astype(int) - whole.read())
    assert difference.max() <= 1


def test_a_raster_with_holes_is_assembled_with_its_holes(
    options: WorkOptions, tmp_path: Path, write: Callable[..., Path], photos: Path
) -> None:
    with rasterio.open(photos / "large.tif") as file:
        pixels = np.maximum(file.read(), 1)
    pixels[:, :, :700] = 0
    source = write(tmp_path / "coast.tif", pixels, nodata=0)
    summary = run_bulk(plan_tasks([str(source)], cut=512), options)
    assert not summary.failed
    with rasterio.open(summary.assembled[0]) as joined:
        mask = joined.dataset_mask()
    assert not mask[:, :700].any()
    assert mask[:, 700:].all()
    assert sum(1 for _ in (options.folder / "coast").glob("*.tif")) == 4  # of six windows


def test_windows_become_one_cog_where_that_is_asked_for(
    options: WorkOptions, photos: Path, plainly: dict[str, bytes]
) -> None:
    from rio_cogeo.cogeo import cog_validate

    summary = run_bulk(plan_tasks([str(photos / "large.tif")], cut=640), options, assemble="cog")
    path = summary.assembled[0]
    assert path.name == "large.tif"
    assert cog_validate(path, strict=False)[:2] == (True, [])
    with rasterio.open(path) as cog, rasterio.open(path.with_suffix(".vrt")) as joined:
        np.testing.assert_array_equal(cog.read(), joined.read())


def test_two_shards_make_what_one_run_makes(
    plan: BulkPlan, options: WorkOptions, plainly: dict[str, bytes], outputs: Outputs
) -> None:
    first = run_bulk(plan, options, shard=(0, 2))
    assert (first.done, first.left, first.assembled) == (5, 4, ())
    second = run_bulk(plan, options, shard=(1, 2))
    assert (second.done, second.left) == (4, 0)
    assert [path.name for path in second.assembled] == ["large.vrt"]
    assert outputs(options.folder) == plainly


def test_a_shard_that_is_run_twice_does_nothing_twice(plan: BulkPlan, options: WorkOptions) -> None:
    run_bulk(plan, options, shard=(0, 2))
    before = times(options.folder)
    again = run_bulk(plan, options, shard=(0, 2))
    assert (again.done, again.skipped) == (0, 5)
    assert times(options.folder) == before


def test_the_checksums_are_those_of_sha256sum(plan: BulkPlan, options: WorkOptions) -> None:
    run_bulk(plan, options)
    check = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=options.folder, capture_output=True, text=True
    )
    assert check.returncode == 0
    assert check.stdout.count(": OK") == len(plan.tasks)


def test_a_bad_file_stops_no_other_and_is_told_of(photos: Path, options: WorkOptions, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tif"
    content = (photos / "small0.tif").read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    sources = [str(broken), str(tmp_path / "gone.tif"), *(str(photos / f"small{i}.tif") for i in (1, 2))]
    (tmp_path / "gone.tif").write_bytes(b"")
    plan = plan_tasks(sources)
    (tmp_path / "gone.tif").unlink()
    summary = run_bulk(plan, options)
    assert (summary.done, summary.left) == (2, 2)
    assert summary.report is not None
    table = summary.report.read_text().splitlines()
    assert table[0] == "source,output,error"
    assert "broken.tif cannot be" in table[1]
    assert "gone.tif" in table[2]
    # Mended, it is done; the report goes.
    broken.write_bytes(content)
    plan = plan_tasks([sources[0], *sources[2:]])
    summary = run_bulk(plan, options, resume=True)
    assert (summary.done, summary.skipped, summary.left, summary.report) == (1, 2, 0, None)
    assert not (options.folder / "failures.csv").exists()


def test_an_unexpected_error_is_a_failure_of_its_file(
    photos: Path, options: WorkOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sometimes(translator: Translator, source: str, *rest: object, **named: object) -> object:
        if "small1" in source:
            raise ZeroDivisionError("by nothing")
        return translate_raster(translator, source, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("sat2map.bulk.raster_tasks.translate_raster", sometimes)
    summary = run_bulk(plan_tasks([str(photos / f"small{i}.tif") for i in range(3)]), options)
    assert summary.done == 2
    assert summary.failed[0].error == "unexpected ZeroDivisionError: by nothing"


def test_a_full_disk_ends_the_run(
    photos: Path, options: WorkOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OutputError("the disk is full: maps/small0.tif was not written")

    monkeypatch.setattr("sat2map.bulk.raster_tasks.translate_raster", full)
    with pytest.raises(OutputError, match=r"the disk is full.*then resume the job"):
        run_bulk(plan_tasks([str(photos / f"small{i}.tif") for i in range(3)]), options)
    assert len(Manifest(options.folder).read()) == 1


def test_a_source_that_changed_is_translated_again(
    options: WorkOptions, tmp_path: Path, photos: Path, outputs: Outputs
) -> None:
    source = tmp_path / "photo.tif"
    source.write_bytes((photos / "small0.tif").read_bytes())
    plan = plan_tasks([str(source)])
    run_bulk(plan, options)
    before = outputs(options.folder)
    source.write_bytes((photos / "small3.tif").read_bytes())
    assert run_bulk(plan, options, resume=True).done == 1
    assert outputs(options.folder) != before


def test_an_output_that_vanished_is_made_again(plan: BulkPlan, options: WorkOptions) -> None:
    run_bulk(plan, options, shard=(0, 2))
    (options.folder / plan.tasks[0].output).unlink()
    assert run_bulk(plan, options, shard=(0, 2)).done == 1


def test_a_file_that_killed_three_processes_is_given_up(photos: Path, options: WorkOptions) -> None:
    plan = plan_tasks([str(photos / "small0.tif"), str(photos / "small1.tif")])
    attempts = CrashCounter(options.folder, plan.tasks[0])
    for before in range(MAX_ATTEMPTS):
        assert attempts.begin() == before
    summary = run_bulk(plan, options, shard=(0, 1))
    assert "ended 3 processes" in summary.failed[0].error
    assert summary.done == 1
    assert run_bulk(plan, options, resume=True).left == 0  # asked again, it has three lives again


def test_images_are_done_side_by_side_and_those_that_a_process_died_over_alone(
    options: WorkOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(1)
    for i in range(9):
        Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / f"{i}.png")
    plan = plan_tasks([str(path) for path in sorted(tmp_path.glob("*.png"))])
    plainly = {
        task.output: np.asarray(Translator.open(options.model, options.engine_options)(task.source))
        for task in plan.tasks
    }
    CrashCounter(options.folder, plan.tasks[4]).begin()
    running, most, alone = set[str](), [0], []

    def noted(translator: Translator, job: Job, **more: object) -> None:
        running.add(job.source.name)
        most[0] = max(most[0], len(running))
        if job.source.name == "4.png":
            alone.append(set(running))
        original(translator, job, **more)  # type: ignore[arg-type]
        running.discard(job.source.name)

    original = translate_image
    monkeypatch.setattr("sat2map.bulk.worker.translate_image", noted)
    summary = run_bulk(plan, options, shard=(0, 1))
    assert (summary.done, summary.left) == (9, 0)
    assert (most[0] > 1, alone) == (True, [{"4.png"}])
    for output, expected in plainly.items():
        np.testing.assert_array_equal(np.asarray(Image.open(options.folder / output)), expected)


def test_a_folder_of_another_job_is_refused(plan: BulkPlan, options: WorkOptions) -> None:
    run_bulk(plan, options, shard=(0, 9))
    with pytest.raises(SettingsError, match="holds a job already: resume it"):
        run_bulk(plan, options)
    with pytest.raises(SettingsError, match="begun with another tta"):
        run_bulk(plan, replace(options, tta=True), resume=True)


def test_a_folder_with_other_things_in_it_is_refused(plan: BulkPlan, options: WorkOptions) -> None:
    options.folder.mkdir()
    (options.folder / "letter.txt").write_text("mine")
    with pytest.raises(SettingsError, match="is not empty"):
        run_bulk(plan, options)


def test_a_line_cut_short_is_passed_over(plan: BulkPlan, options: WorkOptions) -> None:
    manifest = Manifest(options.folder)
    manifest.add(TaskRecord("a.tif", "a", "done", at=1.0))
    path = next((options.folder / "manifest").glob("*.jsonl"))
    with path.open("a") as file:
        file.write('{"output": "b.tif", "sou')
    assert list(manifest.read()) == ["a.tif"]


def test_any_backend_will_do(
    plan: BulkPlan, options: WorkOptions, plainly: dict[str, bytes], outputs: Outputs
) -> None:
    def backwards(options: WorkOptions, tasks: Sequence[Task]) -> Iterator[TaskRecord]:
        return in_process(options, tasks[::-1])

    run_bulk(plan, options, backend=backwards)
    assert outputs(options.folder) == plainly


RUN = """
import sys, torch
from pathlib import Path
from sat2map.bulk.pipeline import run_bulk
from sat2map.bulk.planning import plan_tasks
from sat2map.bulk.worker import WorkOptions
from sat2map.inference.backends import EngineOptions
torch.set_num_threads(1)
photos, folder, model, sha256 = sys.argv[1:]
plan = plan_tasks([str(path) for path in sorted(Path(photos).glob("*.tif"))], cut=640)
options = WorkOptions(
    Path(folder),
    Path(model),
    sha256,
    engine_options=EngineOptions("torch", "cpu", precision="fp32", threads=1),
)
def tell(record, done, total):
    print(done, flush=True)
    if done == total - 1:
        sys.stdin.read()  # it is killed before the last
run_bulk(plan, options, shard=(0, 1), progress=tell)
"""


def test_a_killed_run_is_gone_on_with_and_nothing_differs(
    plan: BulkPlan, photos: Path, options: WorkOptions, plainly: dict[str, bytes], outputs: Outputs
) -> None:
    words = [
        sys.executable,
        "-c",
        RUN,
        *map(str, (photos, options.folder, options.model, options.model_sha256)),
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes) as process:  # type: ignore[call-overload]
        for line in process.stdout:
            if line.strip() == "3":
                time.sleep(0.05)  # into the next one
                os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    left = run_bulk(plan, options, resume=True)
    assert left.skipped >= 3
    assert left.left == 0
    assert outputs(options.folder) == plainly
    assert not list(options.folder.rglob(".*"))  # no parts, no temporary files


def test_what_a_kill_left_of_the_jobs_own_files_goes_but_what_another_shard_writes_stays(
    plan: BulkPlan, options: WorkOptions
) -> None:
    run_bulk(plan, options)
    names = (".job.sat2map-0123abcd.json", ".SHA256SUMS.sat2map-0123abcd", ".a.sat2map-0123abcd.vrt")
    left = [options.folder / name for name in names]
    for path in left:
        path.write_bytes(b"half")
    run_bulk(plan, options, shard=(0, 2))
    assert all(path.exists() for path in left)
    run_bulk(plan, options, resume=True)
    assert not list(options.folder.rglob(".*"))


def test_a_run_of_all_tasks_is_refused_beside_a_shard_and_takes_nothing_from_it(
    plan: BulkPlan, options: WorkOptions
) -> None:
    options.folder.mkdir(parents=True)
    half_written = options.folder / ".a.sat2map-0123abcd.tif"
    with lock_output(options.folder / "shard-0-of-2"):
        half_written.write_bytes(b"half")
        with pytest.raises(OutputError, match="shards of this job are being written to"):
            run_bulk(plan, options, resume=True)
        assert half_written.exists()
    run_bulk(plan, options, resume=True)
    assert not half_written.exists()


def test_photos_of_a_gsd_become_the_maps_that_the_translator_makes_of_them_at_that_gsd(
    options: WorkOptions, tmp_path: Path
) -> None:
    header = read_header(options.model).model_copy(update={"gsd": 1.0})
    at_1_m = tmp_path / "at-1-m.safetensors"
    save_model(at_1_m, read_weights(options.model), header)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    write_image(tmp_path / "photo.png", pixels)
    options = replace(options, model=at_1_m, model_sha256=sha256_of(at_1_m), gsd=2.0)
    run_bulk(plan_tasks([str(tmp_path / "photo.png")]), options)
    (made,) = options.folder.rglob("photo*.png")
    translator = Translator.open(at_1_m, options.engine_options)
    np.testing.assert_array_equal(read_image(made).pixels, translator(pixels, gsd=2.0))
    assert (read_image(made).pixels != translator(pixels)).any()

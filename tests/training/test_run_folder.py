"""Tests of sat2map.run_folder."""

from __future__ import annotations

import errno
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sat2map.errors import OutputError, RunError, SettingsError
from sat2map.run_folder import METRICS, SETTINGS, read_metrics, read_run_settings, start_run
from sat2map.settings import TrainSettings
from sat2map.training.run_writer import RunWriter

Make = Callable[..., TrainSettings]


@pytest.fixture(autouse=True)
def _no_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sat2map.training.tensorboard", None)


def test_a_line_is_one_json_object_with_kind_step_and_epoch(tmp_path: Path) -> None:
    RunWriter(tmp_path).log("train", 5, 1, {"l1": 0.1 + 0.2})
    (line,) = (tmp_path / METRICS).read_text().splitlines()
    assert json.loads(line) == {"kind": "train", "step": 5, "epoch": 1, "l1": 0.1 + 0.2}


def test_lines_are_added_and_none_is_rewritten(tmp_path: Path) -> None:
    journal = RunWriter(tmp_path)
    for step in (1, 2, 3):
        journal.log("train", step, 1, {"l1": step})
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_becomes_null(tmp_path: Path, value: float) -> None:
    RunWriter(tmp_path).log("validation", 1, 1, {"psnr": value})
    assert read_metrics(tmp_path) == [{"kind": "validation", "step": 1, "epoch": 1, "psnr": None}]


def test_a_run_without_metrics_has_no_lines(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []


@pytest.mark.parametrize("half", ['{"kind": "train", "st', "\0\0\0\0", "{"])
def test_a_half_written_last_line_is_left_out(tmp_path: Path, half: str) -> None:
    RunWriter(tmp_path).log("train", 1, 1, {})
    with (tmp_path / METRICS).open("a") as file:
        file.write(half)
    assert [line["step"] for line in read_metrics(tmp_path)] == [1]


def test_a_half_written_last_line_does_not_run_into_the_next_one(tmp_path: Path) -> None:
    RunWriter(tmp_path).log("train", 1, 1, {})
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"kind": "train", "st')
    RunWriter(tmp_path, first_step=1).log("train", 2, 1, {})
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2]


def test_lines_after_the_checkpoint_are_dropped_when_a_run_goes_on(tmp_path: Path) -> None:
    journal = RunWriter(tmp_path)
    for step in range(1, 7):
        journal.log("train", step, 1, {"l1": step / 3})
    before = (tmp_path / METRICS).read_text().splitlines()
    RunWriter(tmp_path, first_step=4)
    assert (tmp_path / METRICS).read_text().splitlines() == before[:4]


def test_a_full_disk_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = RunWriter(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OutputError, match=r"the disk is full: .*metrics\.jsonl"):
        journal.log("train", 1, 1, {})


def test_a_sample_is_kept_by_step_and_as_the_latest(tmp_path: Path) -> None:
    grid = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    RunWriter(tmp_path).show_samples(42, grid)
    for name in ("samples/step-0000042.png", "latest.png"):
        with Image.open(tmp_path / name) as image:
            np.testing.assert_array_equal(np.asarray(image), grid)


def test_tensorboard_gets_the_same_values_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "sat2map.training.tensorboard")
    reader: Any = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    journal = RunWriter(tmp_path)
    journal.log("train", 3, 1, {"l1": 0.25})
    journal.log("train", 6, 2, {"l1": 0.125})
    events = reader.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/l1")] == [(3, 0.25), (6, 0.125)]


def test_tensorboard_gets_the_sample_grids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sat2map.training.tensorboard")
    reader: Any = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    grid = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    journal = RunWriter(tmp_path)
    journal.show_samples(4, grid)
    (event,) = reader.EventAccumulator(str(tmp_path / "tensorboard")).Reload().Images("samples")
    with Image.open(io.BytesIO(event.encoded_image_string)) as image:
        np.testing.assert_array_equal(np.asarray(image), grid)


def test_tensorboard_keeps_the_steps_up_to_the_checkpoint_when_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "sat2map.training.tensorboard")
    reader: Any = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    journal = RunWriter(tmp_path)
    for step in (3, 6, 9):
        journal.log("train", step, 1, {"l1": step})
    journal = RunWriter(tmp_path, first_step=6)
    journal.log("train", 9, 1, {"l1": 90})
    events = reader.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/l1")] == [(3, 3), (6, 6), (9, 90)]


def test_the_settings_of_a_run_are_read_as_they_were(settings: Make) -> None:
    given = settings(gsd=0.9, depth=None)
    start_run(given)
    assert read_run_settings(given.output.run) == given


def test_a_run_folder_may_have_moved(settings: Make, tmp_path: Path) -> None:
    given = settings()
    start_run(given)
    moved = given.output.run.rename(tmp_path / "moved")
    assert read_run_settings(moved).output.run == moved


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not the folder of a run: it has no settings\.json"):
        read_run_settings(tmp_path)


@pytest.mark.parametrize("text", ["{", "\0", "[1]"])
def test_damaged_settings_are_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / SETTINGS).write_text(text)
    with pytest.raises((RunError, SettingsError), match=r"settings\.json"):
        read_run_settings(tmp_path)


def test_settings_of_another_version_are_refused_by_the_name_of_the_setting(
    settings: Make, tmp_path: Path
) -> None:
    given = settings()
    start_run(given)
    values = json.loads((given.output.run / SETTINGS).read_text())
    (given.output.run / SETTINGS).write_text(json.dumps({**values, "warp_factor": 9}))
    with pytest.raises(SettingsError, match=r"settings\.json: unknown setting 'warp_factor'"):
        read_run_settings(given.output.run)


def test_starting_a_run_over_another_is_refused(settings: Make) -> None:
    start_run(settings())
    with pytest.raises(RunError, match="already holds a run"):
        start_run(settings())


def test_starting_a_run_in_an_empty_folder_is_fine(settings: Make) -> None:
    given = settings()
    given.output.run.mkdir()
    start_run(given)
    assert (given.output.run / SETTINGS).exists()

"""Settings that sat2map 0.1 wrote, in files made by its code, mean what they meant."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from sat2map.errors import SettingsError
from sat2map.run_folder import read_run_settings
from sat2map.settings import TrainSettings, flatten, load_settings, make_settings, upgrade_settings

FILES = Path(__file__).with_name("files")
# New names of old ones; one weight is now two.
RENAMED = {"ground_sample_distance": "gsd", "class_weight": "iou_weight"}


def test_the_settings_of_an_old_run_keep_all_their_values(tmp_path: Path) -> None:
    text = (FILES / "run-0.1.json").read_text()
    (tmp_path / "settings.json").write_text(text)
    now, old = flatten(read_run_settings(tmp_path)), json.loads(text)
    for name, value in old.items():
        if name not in ("data", "run"):
            found = now[RENAMED.get(name, name)]
            assert (list(found) if isinstance(found, tuple) else found) == value, name
    assert now["cross_entropy_weight"] == now["iou_weight"] == 20
    assert now["class_balance"] == now["l1_balance"] == 0.5


def test_what_was_new_since_changes_nothing_in_an_old_run(tmp_path: Path) -> None:
    now = flatten(make_settings(json.loads((FILES / "run-0.1.json").read_text()), where="old"))
    assert (now["generator"], now["pretrained"], now["optimizer"]) == ("unet", "none", "adam")
    assert (now["scale_jitter"], now["photo_jitter"], now["accumulate"]) == ((1, 1), 0, 1)


def test_an_old_file_without_a_preset_has_the_defaults_of_its_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        now = load_settings(FILES / "recipe-0.1.toml")
    assert now == load_settings(
        "paper", data="pairs", gsd=0.3, width=32, depth=6, cross_entropy_weight=20, iou_weight=20,
        l1_balance=0.5, class_balance=0.5, batch_size=4, schedule="cosine", ema=0.999, warmup_steps=100,
    )  # fmt: skip
    assert "outside of tables, as sat2map 0.1 did" in caplog.text


def test_an_old_file_that_names_a_preset_changes_that(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('preset = "paper"\nepochs = 7\nground_sample_distance = 0.3\n')
    assert load_settings(tmp_path / "mine.toml") == load_settings("paper", epochs=7, gsd=0.3)


def test_settings_in_groups_are_left_alone() -> None:
    values = TrainSettings().model_dump(mode="json")
    assert upgrade_settings(values) == values


def test_a_name_that_no_version_knew_is_an_error() -> None:
    with pytest.raises(SettingsError, match="old: unknown setting 'warp', known:"):
        make_settings({"warp": 9, "width": 4}, where="old")

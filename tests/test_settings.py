"""Tests of sat2map.settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sat2map.errors import SettingsError
from sat2map.settings import TrainSettings, load_settings, make_settings, preset_names


def refused(why: str, **values: Any) -> None:
    with pytest.raises(SettingsError, match=why) as caught:
        make_settings(values, where="here")
    assert str(caught.value).startswith("here: ")
    assert "\n" not in str(caught.value)


# presets


@pytest.mark.parametrize("name", preset_names())
def test_each_preset_loads(name: str) -> None:
    assert load_settings(name).epochs > 0


def test_the_presets_are_these() -> None:
    assert preset_names() == ["cityscapes", "default", "facades", "maps-to-photo", "maps512", "paper", "tiny"]


def test_the_paper_preset_has_the_papers_values() -> None:
    s = load_settings("paper")
    assert (s.load_size, s.crop_size, s.image_size) == (286, 256, 256)
    assert (s.augment, s.batch_size, s.epochs) == ("flip", 1, 200)
    assert (s.learning_rate, s.betas, s.schedule) == (2e-4, (0.5, 0.999), "linear")
    assert (s.adversarial, s.adversarial_weight, s.l1_weight, s.l1_balance) == ("bce", 1, 100, 0)
    assert (s.norm, s.dropout, s.upsample, s.ema) == ("batch", 0.5, "transpose", 0)
    assert (s.discriminator_width, s.discriminator_layers) == (64, 3)
    assert (s.generator, s.width, s.depth) == ("unet", 64, None)


@pytest.mark.parametrize("name", ["facades", "cityscapes", "maps-to-photo"])
def test_the_presets_that_draw_photos_are_the_papers_with_instance_norm(name: str) -> None:
    assert load_settings(name) == load_settings(
        "paper", direction="target-to-source", palette="none", norm="instance"
    )


def test_the_maps512_preset_has_the_tutorials_values() -> None:
    s = load_settings("maps512")
    assert (s.load_size, s.crop_size, s.image_size) == (512, 512, 512)
    assert (s.source_bands, s.target_bands, s.width, s.depth) == (3, 3, 64, 8)
    assert (s.batch_size, s.l1_weight, s.learning_rate, s.epochs) == (8, 1000, 2e-4, 200)


def test_overrides_win_over_the_preset() -> None:
    assert load_settings("paper", epochs=3).epochs == 3


# files


def test_a_file_builds_on_a_preset(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('preset = "paper"\nepochs = 7\n')
    s = load_settings(tmp_path / "mine.toml", seed=5)
    assert s == load_settings("paper", epochs=7, seed=5)


def test_a_file_stands_alone_without_a_preset(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("width = 16\n")
    assert load_settings(tmp_path / "mine.toml") == TrainSettings(width=16)


def test_bad_toml_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("width = = 3\n")
    with pytest.raises(SettingsError, match=r"mine\.toml is not a TOML file: .*line 1"):
        load_settings(tmp_path / "mine.toml")


def test_a_binary_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="is not a TOML file"):
        load_settings(tmp_path / "mine.toml")


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no\.toml cannot be read: No such file"):
        load_settings(tmp_path / "no.toml")


def test_a_file_that_builds_on_an_unknown_preset_or_itself_is_refused(tmp_path: Path) -> None:
    for base in ("papr", str(tmp_path / "mine.toml")):
        (tmp_path / "mine.toml").write_text(f"preset = '{base}'\n")
        with pytest.raises(SettingsError, match=r"mine\.toml: no preset is called"):
            load_settings(tmp_path / "mine.toml")


# refusals


def test_an_unknown_setting_names_the_nearest() -> None:
    refused(r"unknown setting 'learningrate', did you mean 'learning_rate'\?", learningrate=1)


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"no preset is called 'papre', did you mean 'paper'\?"):
        load_settings("papre")


def test_an_unknown_preset_unlike_any_other_lists_all() -> None:
    known = "known: cityscapes, default, facades, maps-to-photo, maps512, paper, tiny"
    with pytest.raises(SettingsError, match=known):
        load_settings("zzz")


def test_a_crop_larger_than_the_loaded_image_is_refused() -> None:
    refused("crop_size 512 is larger than load_size 286: lower crop_size to 286", crop_size=512)


def test_a_batch_of_nothing_is_refused() -> None:
    refused("batch_size = 0: input should be greater than or equal to 1", batch_size=0)


def test_a_direction_that_means_nothing_is_refused() -> None:
    refused("direction = 'a2b': input should be 'source-to-target' or 'target-to-source'", direction="a2b")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0, -1e-4])
def test_a_learning_rate_that_cannot_be_one_is_refused(value: float) -> None:
    refused("learning_rate", learning_rate=value)


def test_a_crop_in_which_the_discriminator_sees_no_patch_is_refused() -> None:
    refused(r"crop_size 16 .* raise crop_size to 24", crop_size=16, image_size=64)
    assert TrainSettings(crop_size=24, image_size=64, depth=3).crop_size == 24


def test_only_what_draws_maps_with_a_palette_has_map_classes() -> None:
    assert TrainSettings().draws_maps
    assert not TrainSettings(palette="none").draws_maps
    assert not TrainSettings(direction="target-to-source").draws_maps


def test_an_average_of_statistics_of_single_images_is_refused() -> None:
    refused(
        "averages statistics that mean nothing: raise batch_size to 4", ema=0.99, batch_size=1, norm="batch"
    )


# the settings themselves


def test_there_are_fewer_than_40_settings() -> None:
    assert len(TrainSettings.model_fields) < 40


@pytest.mark.parametrize("name", TrainSettings.model_fields)
def test_every_setting_has_a_sentence(name: str) -> None:
    sentence = TrainSettings.model_fields[name].description
    assert sentence
    assert sentence[0].isupper()
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("image_size", "px"),
        ("load_size", "px"),
        ("crop_size", "px"),
        ("discriminator_layers", "px"),
        ("ground_sample_distance", "metres"),
        ("checkpoint_minutes", "minutes"),
        ("val_fraction", "0..1"),
        ("color_jitter", "share of the range"),
        ("validate_every", "Epochs"),
        ("batch_size", "Pairs"),
        ("epochs", "Passes"),
    ],
)
def test_every_quantity_names_its_unit(name: str, unit: str) -> None:
    assert unit in (TrainSettings.model_fields[name].description or "")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrainSettings().epochs = 3  # type: ignore[misc]

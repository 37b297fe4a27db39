"""Tests of sat2map.settings: groups, presets, files, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sat2map.errors import SettingsError
from sat2map.models.architectures.spec import spec_of
from sat2map.settings import (
    SETTINGS,
    TrainSettings,
    change,
    flatten,
    load_settings,
    preset_names,
    replace,
    resolve_recipe,
    to_toml,
)


def refused(why: str, **values: Any) -> None:
    with pytest.raises(SettingsError, match=why) as caught:
        load_settings("default", **values)
    assert "\n" not in str(caught.value)


def values_of(settings: TrainSettings, *names: str) -> list[Any]:
    flat = flatten(settings)
    return [flat[name] for name in names]


# presets


@pytest.mark.parametrize("name", preset_names())
def test_each_preset_loads(name: str) -> None:
    assert load_settings(name).schedule.epochs > 0


def test_the_presets_are_these() -> None:
    assert preset_names() == [
        "cityscapes", "default", "facades", "maps-to-photo", "maps512", "paper", "rgb", "tiny",
    ]  # fmt: skip


def test_the_preset_default_is_the_defaults() -> None:
    assert load_settings("default") == load_settings() == TrainSettings()


def test_the_paper_preset_has_the_papers_values() -> None:
    s = load_settings("paper")
    assert values_of(s, "load_size", "crop_size", "image_size") == [286, 256, 256]
    assert values_of(s, "augment", "batch_size", "epochs") == ["flip", 1, 200]
    assert values_of(s, "scale_jitter", "photo_jitter", "color_jitter") == [(1, 1), 0, 0]
    assert values_of(s, "optimizer", "learning_rate", "betas") == ["adam", 2e-4, (0.5, 0.999)]
    assert values_of(s, "schedule", "warmup_steps") == ["linear", 0]
    assert values_of(s, "adversarial", "adversarial_weight", "l1_weight", "l1_balance") == ["bce", 1, 100, 0]
    assert values_of(s, "cross_entropy_weight", "iou_weight") == [0, 0]
    assert values_of(s, "norm", "dropout", "upsample", "ema") == ["batch", 0.5, "transpose", 0]
    assert values_of(s, "discriminator_width", "discriminator_layers") == [64, 3]
    spec = spec_of(s)
    assert (spec.architecture, spec.width, spec.depth) == ("unet", 64, 8)


@pytest.mark.parametrize("name", ["facades", "cityscapes", "maps-to-photo"])
def test_the_presets_that_draw_photos_are_the_papers_with_instance_norm(name: str) -> None:
    assert load_settings(name) == load_settings(
        "paper", direction="target-to-source", palette="none", norm="instance"
    )


def test_the_maps512_preset_has_the_tutorials_values() -> None:
    s = load_settings("maps512")
    assert values_of(s, "load_size", "crop_size", "image_size") == [512, 512, 512]
    assert values_of(s, "source_bands", "target_bands", "width", "depth") == [3, 3, 64, 8]
    assert values_of(s, "batch_size", "l1_weight", "learning_rate", "epochs") == [8, 1000, 2e-4, 200]


def test_overrides_win_over_the_preset() -> None:
    assert load_settings("paper", epochs=3).schedule.epochs == 3


# what `auto` means


def test_with_a_palette_the_default_is_the_palette_generator() -> None:
    settings, note = resolve_recipe(TrainSettings())
    assert settings == load_settings("default", generator="efficient-unet")
    assert note == ""


@pytest.mark.parametrize("why", [{"palette": "none"}, {"direction": "target-to-source"}])
def test_without_a_palette_the_default_becomes_rgb_with_the_users_own_values(why: dict[str, Any]) -> None:
    settings, note = resolve_recipe(load_settings("default", **why, epochs=7, batch_size=2))
    assert settings == load_settings("rgb", **why, epochs=7, batch_size=2)
    assert "no palette" in note


def test_a_named_generator_stays(tmp_path: Path) -> None:
    given = load_settings("default", generator="resnet9", palette="none")
    assert resolve_recipe(given) == (given, "")


# files


def test_a_file_has_a_table_per_group(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[network]\nwidth = 16\n\n[loss.extra]\ntoy = 0.5\n")
    expected = load_settings("default", width=16, extra={"toy": 0.5})
    assert load_settings(tmp_path / "mine.toml") == expected


def test_a_file_builds_on_a_preset(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('preset = "paper"\n[schedule]\nepochs = 7\n')
    s = load_settings(tmp_path / "mine.toml", seed=5)
    assert s == load_settings("paper", epochs=7, seed=5)


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_written_as_toml_reads_back_the_same(tmp_path: Path, name: str) -> None:
    settings = load_settings(name, run="runs/with space", gsd=0.9, extra={"toy": 0.5})
    (tmp_path / "mine.toml").write_text(to_toml(settings))
    assert load_settings(tmp_path / "mine.toml") == settings


def test_bad_toml_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("width = = 3\n")
    with pytest.raises(SettingsError, match=r"mine\.toml is not a TOML file: .*line 1"):
        load_settings(tmp_path / "mine.toml")


def test_a_binary_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="is not a TOML file"):
        load_settings(tmp_path / "mine.toml")


def test_a_file_that_is_too_large_for_settings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(SettingsError, match="holds no settings"):
        load_settings(tmp_path / "mine.toml")


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no\.toml cannot be read: No such file"):
        load_settings(tmp_path / "no.toml")


def test_a_file_that_builds_on_an_unknown_preset_or_itself_is_refused(tmp_path: Path) -> None:
    for base in ("papr", str(tmp_path / "mine.toml")):
        (tmp_path / "mine.toml").write_text(f"preset = '{base}'\n")
        with pytest.raises(SettingsError, match=r"mine\.toml: no preset is called"):
            load_settings(tmp_path / "mine.toml")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[schedule]\nepoch = 3\n", r"unknown setting 'epoch', did you mean 'epochs'\?"),
        ("[network]\nepochs = 3\n", r"unknown setting 'epochs', it belongs into the table \[schedule\]"),
        ("epochs = 3\n[network]\nwidth = 8\n", r"'epochs' belongs into the table \[schedule\]"),
        ("[netwrk]\nwidth = 8\n", r"unknown setting 'netwrk', did you mean 'network'\?"),
        ("[network]\nwidth = 'x'\n", "width = 'x': input should be a valid integer"),
        ("network = 3\n", r"'network' is the name of a table, \[network\]"),
    ],
)
def test_a_setting_that_a_file_cannot_have_is_named(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(SettingsError, match=why):
        load_settings(tmp_path / "mine.toml")


# refusals


def test_an_unknown_setting_names_the_nearest() -> None:
    refused(r"default: unknown setting 'learningrate', did you mean 'learning_rate'\?", learningrate=1)


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"no preset is called 'papre', did you mean 'paper'\?"):
        load_settings("papre")


def test_an_unknown_preset_unlike_any_other_lists_all() -> None:
    known = "known: cityscapes, default, facades, maps-to-photo, maps512, paper, rgb, tiny"
    with pytest.raises(SettingsError, match=known):
        load_settings("zzz")


def test_a_crop_larger_than_the_loaded_image_is_refused() -> None:
    why = "crop_size 512 is larger than load_size 286: lower crop_size to 286"
    refused(why, crop_size=512, load_size=286)


def test_a_batch_of_nothing_is_refused() -> None:
    refused("batch_size = 0: input should be greater than or equal to 1", batch_size=0)


def test_a_direction_that_means_nothing_is_refused() -> None:
    refused("direction = 'a2b': input should be 'source-to-target' or 'target-to-source'", direction="a2b")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0, -1e-4])
def test_a_learning_rate_that_cannot_be_one_is_refused(value: float) -> None:
    refused("learning_rate", learning_rate=value)


def test_a_range_of_scales_that_runs_downwards_is_refused() -> None:
    refused("give the smaller factor first", scale_jitter=(1.5, 0.6))


def test_a_crop_in_which_the_discriminator_sees_no_patch_is_refused() -> None:
    refused(r"crop_size 16 .* raise crop_size to 24", crop_size=16, adversarial_weight=1)
    assert load_settings("paper", crop_size=24, load_size=30).data.crop_size == 24


def test_an_average_of_statistics_of_single_images_is_refused() -> None:
    why = "averages statistics that mean nothing: raise batch_size to 4"
    refused(why, ema=0.99, batch_size=1, norm="batch")


# the settings themselves


def test_only_what_draws_maps_with_a_palette_has_map_classes() -> None:
    assert TrainSettings().data.draws_maps
    assert not load_settings(palette="none").data.draws_maps
    assert not load_settings(direction="target-to-source").data.draws_maps


def test_flat_names_are_unique_and_lead_to_every_setting() -> None:
    fields = [
        field
        for group in TrainSettings.model_fields
        for field in type(getattr(TrainSettings(), group)).model_fields
    ]
    assert len(SETTINGS) == len(fields)
    assert set(flatten(TrainSettings())) == set(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_has_a_sentence(name: str) -> None:
    sentence = SETTINGS[name].info.description
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
        ("gsd", "metres"),
        ("minutes", "minutes"),
        ("checkpoint_minutes", "minutes"),
        ("val_fraction", "0..1"),
        ("color_jitter", "share of the range"),
        ("validate_every", "Epochs"),
        ("batch_size", "Pairs"),
        ("epochs", "Passes"),
    ],
)
def test_every_quantity_names_its_unit(name: str, unit: str) -> None:
    assert unit in (SETTINGS[name].info.description or "")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrainSettings().schedule.epochs = 3  # type: ignore[misc]


def test_changing_settings_makes_others_that_are_checked() -> None:
    settings = TrainSettings()
    assert change(settings, epochs=3, data="pairs") == load_settings(epochs=3, data="pairs")
    with pytest.raises(SettingsError, match="mine: epochs = 0"):
        change(settings, "mine", epochs=0)
    assert replace(settings, run=Path("x")).output.run == Path("x")


# the generator's specification


@pytest.mark.parametrize(("crop", "depth"), [(256, 8), (512, 9), (128, 7), (96, 5), (24, 3)])
def test_without_a_depth_the_u_net_halves_the_crop_as_often_as_it_can(crop: int, depth: int) -> None:
    s = load_settings("paper", crop_size=crop, load_size=crop, image_size=crop)
    assert spec_of(s).depth == depth


def test_a_size_that_does_not_divide_names_the_nearest_that_does() -> None:
    with pytest.raises(SettingsError, match=r"image_size 600 is not a multiple of 256, .*: use 512"):
        spec_of(load_settings("paper", image_size=600))


def test_a_crop_that_halves_badly_is_refused_unless_the_depth_is_given() -> None:
    sizes = {"crop_size": 200, "image_size": 200, "load_size": 200}
    with pytest.raises(SettingsError, match=r"crop_size 200 can be halved only 3 times, .* use 192"):
        spec_of(load_settings("paper", **sizes))
    assert spec_of(load_settings("paper", **sizes, depth=3)).depth == 3


def test_an_unknown_generator_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="no architecture is called 'unett': did you mean 'unet'"):
        spec_of(load_settings("paper", generator="unett"))


def test_the_other_direction_swaps_the_bands() -> None:
    s = load_settings("paper", source_bands=3, target_bands=1, direction="target-to-source")
    assert (spec_of(s).source_bands, spec_of(s).target_bands) == (1, 3)
    assert spec_of(load_settings("paper", source_bands=3, target_bands=1)).source_bands == 3


def test_a_resnet_needs_multiples_of_four_only() -> None:
    assert spec_of(load_settings("paper", generator="resnet9", image_size=252)).size_divisor == 4

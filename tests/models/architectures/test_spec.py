"""Tests of sat2map.models.architectures.spec."""

from __future__ import annotations

from typing import Any

import pytest

from sat2map.errors import SettingsError
from sat2map.models.architectures.spec import spec_of
from sat2map.settings import load_settings, preset_names
from sat2map.settings.loading import resolve_recipe


def refused(why: str, **values: Any) -> SettingsError:
    with pytest.raises(SettingsError, match=why) as caught:
        spec_of(load_settings("paper", **values))
    return caught.value


@pytest.mark.parametrize("name", preset_names())
def test_each_preset_has_a_generator(name: str) -> None:
    settings, _ = resolve_recipe(load_settings(name))
    assert spec_of(settings).size_divisor <= 512


def test_the_paper_preset_has_the_papers_network() -> None:
    spec = spec_of(load_settings("paper"))
    assert (spec.architecture, spec.width, spec.depth) == ("unet", 64, 8)


@pytest.mark.parametrize(("crop", "depth"), [(256, 8), (512, 9), (128, 7), (96, 5), (24, 3)])
def test_without_a_depth_the_u_net_halves_the_crop_as_often_as_it_can(crop: int, depth: int) -> None:
    assert spec_of(load_settings("paper", crop_size=crop, load_size=crop, image_size=crop)).depth == depth


def test_the_other_direction_swaps_the_bands() -> None:
    s = load_settings("paper", source_bands=3, target_bands=1, direction="target-to-source")
    assert (spec_of(s).source_bands, spec_of(s).target_bands) == (1, 3)
    assert spec_of(load_settings("paper", source_bands=3, target_bands=1)).source_bands == 3


def test_a_resnet_needs_multiples_of_four_only() -> None:
    assert spec_of(load_settings("paper", generator="resnet9", image_size=252)).size_divisor == 4


def test_a_size_that_does_not_divide_names_the_nearest_that_does() -> None:
    error = refused(
        "image_size 600 is not a multiple of 256, which this generator needs: use 512, or a smaller depth",
        image_size=600,
        crop_size=256,
    )
    assert error.setting == "image_size"


def test_a_crop_that_halves_badly_is_refused_unless_the_depth_is_given() -> None:
    refused("crop_size 200 can be halved only 3 times, .* use 192", crop_size=200, image_size=200)
    assert spec_of(load_settings("paper", crop_size=200, image_size=200, depth=3)).depth == 3


def test_an_unknown_architecture_names_the_nearest() -> None:
    error = refused("no architecture is called 'resnet': did you mean 'resnet9'", generator="resnet")
    assert error.setting == "generator"

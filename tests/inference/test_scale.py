"""Tests of sat2map.inference.scale: images of another ground sample distance than the model's."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sat2map.errors import ImageError, SettingsError
from sat2map.images.pixels import resize
from sat2map.inference import Translator
from sat2map.inference.scale import ScaledTranslator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import ModelHeader


class Negative:
    """An engine that inverts the image, and remembers the sizes it was given."""

    def __init__(self, metres: float | None) -> None:
        spec = GeneratorSpec(width=4, depth=2)
        self.header = ModelHeader(generator=spec, gsd=metres)
        self.name, self.streams = "negative", 1
        self.sizes: list[tuple[int, ...]] = []

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        self.sizes.append(source.shape[2:])
        return -source


def picture(height: int = 120, width: int = 200) -> NDArray[np.uint8]:
    smooth = np.linspace(20, 230, height)[:, None] + np.linspace(0, 20, width)[None]
    return np.repeat(smooth.astype(np.uint8)[..., None], 3, axis=2)


def test_an_image_twice_as_fine_reaches_the_network_at_half_its_size() -> None:
    engine = Negative(2.0)
    ScaledTranslator(Translator(engine), 1.0)(picture())
    assert engine.sizes == [(60, 100)]


def test_the_map_has_the_size_of_the_image_and_its_content() -> None:
    source = picture()
    fake = ScaledTranslator(Translator(Negative(2.0)), 1.0)(source)
    expected = 255 - resize(resize(source, 60, 100), 120, 200)
    assert fake.shape == source.shape
    assert np.abs(fake.astype(int) - expected.astype(int)).max() <= 2


def test_an_image_of_the_models_own_scale_is_not_resampled() -> None:
    source = picture()
    assert np.array_equal(ScaledTranslator(Translator(Negative(2.0)), 2.0)(source), 255 - source)


@pytest.mark.parametrize(
    ("metres", "words"), [(0.9, "2.2 times finer"), (2.0, None), (1.5, None), (5.0, "2.5 times coarser")]
)
def test_a_scale_far_from_the_models_is_warned_of(metres: float, words: str | None) -> None:
    warning = ScaledTranslator(Translator(Negative(2.0)), metres).warning
    assert warning is None if words is None else words in str(warning)


def test_an_image_with_too_few_pixels_at_the_models_scale_is_refused() -> None:
    with pytest.raises(ImageError, match="only 20×12 px at the model's scale"):
        ScaledTranslator(Translator(Negative(2.0)), 0.2)(picture())


@pytest.mark.parametrize(("own", "metres"), [(None, 1.0), (2.0, 0.0), (2.0, -1.0)])
def test_a_scale_that_cannot_be_used_is_refused(own: float | None, metres: float) -> None:
    with pytest.raises(SettingsError, match="gsd"):
        ScaledTranslator(Translator(Negative(own)), metres)

"""Tests of sat2map.inference.drawing: colours, classes and confidence of the same outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sat2map.errors import ModelFileError, SettingsError
from sat2map.images.palette import MapClass, Palette
from sat2map.inference import Translator
from sat2map.inference.drawing import Drawer, Products
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.header import ModelHeader

MAPS = Palette.load("maps")
SIZES = [len(map_class.colours) for map_class in MAPS.classes]
ALL = Products(classes=True, confidence=True)


def palette_header(**values: Any) -> ModelHeader:
    spec = GeneratorSpec(architecture="efficient-unet", colours=sum(SIZES), depth=5)
    return ModelHeader(generator=spec, palette=MAPS, **values)


def image_header(classes: int = 0, palette: Palette | None = MAPS) -> ModelHeader:
    return ModelHeader(generator=GeneratorSpec(width=4, depth=3, classes=classes), palette=palette)


def random_logits(size: tuple[int, int] = (40, 50), seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 2, (sum(SIZES), *size)).astype(np.float32)


def oracle(
    logits: NDArray[np.float32], temperature: float
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Class, colour and confidence of each pixel, by the definition, in fp64."""
    ends = np.cumsum(SIZES)
    of_class = np.stack(
        [logits[end - size : end].max(axis=0) for end, size in zip(ends, SIZES, strict=True)]
    ).astype(float)
    odds = np.exp(of_class / temperature)
    shares = odds / odds.sum(axis=0)
    return of_class.argmax(axis=0), logits.argmax(axis=0), shares.max(axis=0)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_each_pixel_has_its_likeliest_colour_and_the_class_of_that_colour(temperature: float) -> None:
    logits = random_logits()
    classes, colours, confidence = oracle(logits, temperature)
    drawn = Drawer(palette_header(temperature=temperature)).draw(logits, ALL)
    table = np.array([colour for map_class in MAPS.classes for colour in map_class.colours])
    np.testing.assert_array_equal(drawn.product("classes"), classes)
    np.testing.assert_array_equal(np.moveaxis(drawn.image, 0, -1), table[colours])
    np.testing.assert_allclose(drawn.product("confidence"), confidence * 100, atol=0.51)


def test_many_fair_shades_of_a_class_do_not_outvote_the_likeliest_colour() -> None:
    logits = np.full((sum(SIZES), 1, 1), -9.0, np.float32)
    logits[:3] = 1.0  # three shades of land: together 3 e
    logits[SIZES[0]] = 1.5  # building: e^1.5, less than they together and more than each
    drawn = Drawer(palette_header()).draw(logits, ALL)
    assert MAPS.names[drawn.product("classes").item()] == MAPS.names[1]
    assert tuple(drawn.image[:, 0, 0]) == MAPS.classes[1].colours[0]
    # by hand: 1 / (1 + e^(1 - 1.5)) = 0.622; the other classes have e^-10.5
    assert drawn.product("confidence").item() == 62


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.27, 20.0])
def test_the_temperature_changes_the_confidence_alone(temperature: float) -> None:
    logits = random_logits()
    plain = Drawer(palette_header()).draw(logits, ALL)
    drawn = Drawer(palette_header(temperature=temperature)).draw(logits, ALL)
    np.testing.assert_array_equal(drawn.image, plain.image)
    np.testing.assert_array_equal(drawn.product("classes"), plain.product("classes"))
    assert (drawn.product("confidence") != plain.product("confidence")).mean() > 0.5


def test_large_logits_overflow_nothing() -> None:
    drawn = Drawer(palette_header()).draw(random_logits() * 1e4, ALL)
    assert drawn.product("confidence").max() == 100


def test_probabilities_of_classes_add_up_to_one_and_agree_with_the_classes_and_the_confidence() -> None:
    drawer, logits = Drawer(palette_header()), random_logits()
    shares = drawer.probabilities(logits)
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-5)
    drawn = drawer.draw(logits, ALL)
    np.testing.assert_array_equal(shares.argmax(axis=0), drawn.product("classes"))
    np.testing.assert_allclose(shares.max(axis=0) * 100, drawn.product("confidence"), atol=0.51)


@pytest.mark.parametrize("name", ["high-contrast", "dark", "osm", "colour-blind"])
def test_other_colours_leave_the_classes_as_they_are(name: str) -> None:
    logits = random_logits()
    plain = Drawer(palette_header()).draw(logits, ALL)
    colors = Palette.load(name)
    drawn = Drawer(palette_header(), colors).draw(logits, ALL)
    np.testing.assert_array_equal(drawn.product("classes"), plain.product("classes"))
    found = colors.classify(np.moveaxis(drawn.image, 0, -1))
    order = np.array([colors.index(n) for n in MAPS.names])
    np.testing.assert_array_equal(found, order[plain.product("classes")])


def test_a_class_with_fewer_shades_is_drawn_in_its_first_colour() -> None:
    classes = [MapClass(name=n, colours=((i, 7, 7), (i, 9, 9))) for i, n in enumerate(MAPS.names)]
    drawer = Drawer(palette_header(), Palette(name="two", classes=tuple(classes)))
    drawn = drawer.draw(random_logits(), ALL)
    shades = drawn.image[:, drawn.product("classes") == MAPS.index("land")]
    assert set(shades[1]) == {7}


def test_colours_that_lack_a_class_are_refused() -> None:
    few = Palette(name="few", classes=MAPS.classes[:2])
    with pytest.raises(SettingsError, match="'few' lack the class 'road'"):
        Drawer(palette_header(), few)


def test_a_model_without_classes_cannot_be_recoloured() -> None:
    with pytest.raises(SettingsError, match="draws images without map classes"):
        Drawer(image_header(palette=None), MAPS)


def test_an_image_is_recoloured_through_the_class_head() -> None:
    outputs = np.random.default_rng(0).normal(size=(3 + 6, 20, 30)).astype(np.float32)
    dark = Palette.load("dark")
    drawn = Drawer(image_header(classes=6), dark).draw(outputs, Products(classes=True))
    classes = outputs[3:].argmax(axis=0)
    np.testing.assert_array_equal(drawn.product("classes"), classes)
    first = np.array([map_class.colours[0] for map_class in dark.classes])
    np.testing.assert_array_equal(np.moveaxis(drawn.image, 0, -1), first[classes])


def test_an_image_without_a_class_head_is_classified_by_the_nearest_colour() -> None:
    classes = np.random.default_rng(0).integers(0, 6, (20, 30)).astype(np.uint8)
    image = MAPS.colourise(classes)
    outputs = np.moveaxis(image, -1, 0).astype(np.float32) / 127.5 - 1
    drawn = Drawer(image_header()).draw(outputs, Products(classes=True))
    np.testing.assert_array_equal(drawn.product("classes"), classes)
    np.testing.assert_array_equal(np.moveaxis(drawn.image, 0, -1), image)


def test_classes_of_a_model_without_a_palette_are_refused() -> None:
    with pytest.raises(ModelFileError, match="no map classes"):
        Drawer(image_header(palette=None)).check(Products(classes=True))


class Colours:
    """An engine whose logits favour the colour that is nearest to the source's."""

    name, streams = "colours", 1

    def __init__(self, header: ModelHeader) -> None:
        self.header = header
        table = [colour for map_class in MAPS.classes for colour in map_class.colours]
        self.table = np.array(table, np.float32).reshape(1, -1, 3, 1, 1) / 127.5 - 1

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        return -20 * np.abs(source[:, None] - self.table).sum(axis=2, dtype=np.float32)


def half_and_half(side: int) -> NDArray[np.uint8]:
    """Water at the left of a slanted edge, land at its right."""
    rows, columns = np.mgrid[:side, :side]
    classes = np.where(columns * 3 < rows + side, MAPS.index("water"), MAPS.index("land"))
    return MAPS.colourise(classes.astype(np.uint8))


@pytest.mark.parametrize("gsd", [0.3, 0.45, 0.9, 1.8])
def test_a_map_has_no_colour_that_is_not_in_the_palette_at_any_scale(gsd: float) -> None:
    translator = Translator(Colours(palette_header(gsd=0.9)))
    generated = translator(half_and_half(96), gsd=gsd)
    assert generated.shape == (96, 96, 3)
    known = {colour for map_class in MAPS.classes for colour in map_class.colours}
    assert {tuple(colour) for colour in generated.reshape(-1, 3)} <= known


def test_an_edge_is_drawn_at_the_resolution_of_the_image() -> None:
    source = half_and_half(192)
    generated = Translator(Colours(palette_header(gsd=0.9)))(source, gsd=0.3)
    water = MAPS.classify(generated) == MAPS.index("water")
    edges = water.argmin(axis=1)  # the first column of land in each row
    assert np.unique(np.diff(edges[16:-16])).tolist() == [0, 1], "steps of one pixel, not of three"


def test_a_large_image_in_tiles_has_the_map_of_its_parts() -> None:
    translator = Translator(Colours(palette_header(gsd=0.9, max_untiled_size=128)))
    source = half_and_half(300)
    np.testing.assert_array_equal(MAPS.classify(translator(source)), MAPS.classify(source))

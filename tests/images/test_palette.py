from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from skimage.color import rgb2lab

from sat2map.errors import DataError, SettingsError
from sat2map.images.palette import MapClass, Palette
from sat2map.images.palette.lab import srgb_to_lab
from sat2map.images.palette.learn import learn_palette

MAPS = Palette.load("maps")


def random_colours(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def drawn_map(colours: list[tuple[int, int, int]], size: int = 96, noise: int = 1) -> np.ndarray:
    """Stripes of the colours, the first on half of the image, with a little noise as of a JPEG."""
    image = np.empty((size, size, 3), dtype=np.int16)
    image[:] = colours[0]
    width = size // 2 // max(1, len(colours) - 1)
    for number, colour in enumerate(colours[1:]):
        image[:, number * width : (number + 1) * width] = colour
    image += np.random.default_rng(0).integers(-noise, noise + 1, image.shape, dtype=np.int16)
    return image.clip(0, 255).astype(np.uint8)


def test_lab_equals_that_of_scikit_image() -> None:
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1)

    np.testing.assert_allclose(srgb_to_lab(grid), rgb2lab(grid), atol=2e-3)
    assert srgb_to_lab(grid).dtype == np.float32


def test_the_built_in_palette_names_six_classes_in_order() -> None:
    assert MAPS.names == ("land", "building", "road", "park", "water", "highway")
    assert MAPS.index("road") == 2


def test_every_colour_of_a_palette_is_of_its_own_class() -> None:
    for number, map_class in enumerate(MAPS.classes):
        assert (MAPS.classify(np.array(map_class.colours, dtype=np.uint8)) == number).all()


def test_classify_finds_the_nearest_colour_in_lab() -> None:
    image = random_colours(40, 30)
    anchors = [(number, colour) for number, c in enumerate(MAPS.classes) for colour in c.colours]
    lab = rgb2lab(np.array([[colour for _, colour in anchors]], dtype=np.uint8))[0]
    distances = np.linalg.norm(rgb2lab(image)[:, :, None] - lab, axis=-1)
    expected = np.array([number for number, _ in anchors])[distances.argmin(axis=-1)]

    assert (MAPS.classify(image) == expected).all()


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4), (0, 4)])
def test_classify_keeps_the_leading_shape(shape: tuple[int, ...]) -> None:
    classes = MAPS.classify(random_colours(*shape))

    assert classes.shape == shape
    assert classes.dtype == np.uint8


@pytest.mark.parametrize("bits", [3, 6])
def test_the_lookup_table_holds_the_class_at_the_centre_of_each_cell(bits: int) -> None:
    table = MAPS.lookup(bits)
    image = random_colours(500)
    cut = 8 - bits
    centres = ((image >> cut) << cut) + (1 << cut) // 2
    r, g, b = (image[:, channel].astype(int) >> cut for channel in range(3))

    assert table.shape == (1 << 3 * bits,)
    assert (table[r << 2 * bits | g << bits | b] == MAPS.classify(centres.astype(np.uint8))).all()


def test_colourise_draws_first_colours_that_classify_undoes() -> None:
    classes = np.random.default_rng(0).integers(0, 6, (7, 9), dtype=np.uint8)
    drawn = MAPS.colourise(classes)

    assert tuple(drawn[classes == 4][0]) == (177, 208, 254)
    assert (MAPS.classify(drawn) == classes).all()


colour = st.tuples(*[st.integers(0, 255)] * 3)


@settings(max_examples=30, deadline=None)
@given(st.lists(colour, min_size=2, max_size=9, unique=True), st.text(min_size=1))
def test_a_palette_survives_json(colours: list[tuple[int, int, int]], name: str) -> None:
    classes = tuple(MapClass(name=f"{name}{i}", colours=(c,)) for i, c in enumerate(colours))
    palette = Palette(name=name, classes=classes)

    assert Palette.from_json(palette.to_json()) == palette


def test_a_saved_palette_is_loaded_by_its_path(tmp_path) -> None:
    MAPS.save(tmp_path / "mine.json")

    assert Palette.load(tmp_path / "mine.json") == MAPS
    assert [file.name for file in tmp_path.iterdir()] == ["mine.json"]


def test_a_palette_is_frozen() -> None:
    with pytest.raises(ValidationError):
        MAPS.name = "other"  # type: ignore[misc]


def test_an_unknown_palette_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"'map' is neither .* did you mean 'maps'"):
        Palette.load("map")


def test_an_unknown_class_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="no class 'roads', did you mean 'road'"):
        MAPS.index("roads")


def palette_file(**changes: object) -> str:
    good = {
        "name": "p",
        "classes": [{"name": "a", "colours": [[1, 2, 3]]}, {"name": "b", "colours": [[4, 5, 6], [7, 8, 9]]}],
    }
    return json.dumps(good | changes)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "JSON"),
        ("[]", "object"),
        (palette_file(name=""), "name: .*at least 1"),
        (palette_file(colors=[]), "colors: Extra"),
        (palette_file(classes=[{"name": "a", "colours": [[1, 2, 3]]}]), "classes: .*at least 2"),
        (palette_file(classes=[{"name": "a", "colours": []}] * 2), r"classes\[0\]\.colours: .*at least 1"),
        (palette_file(classes=[{"name": "a", "colours": [[1, 2, 256]]}] * 2), r"\[2\]: .*255"),
        (palette_file(classes=[{"name": "a", "colours": [[1, -2, 3]]}] * 2), r"\[1\]: .*0"),
        (palette_file(classes=[{"name": "a", "colours": [[1, 2.5, 3]]}] * 2), "integer"),
        (palette_file(classes=[{"name": "a", "colours": [[1, 2]]}] * 2), "required"),
        (palette_file(classes=[{"name": n, "colours": [[1, 2, 3]]} for n in "ab"]), "in 'a' and in 'b'"),
        (palette_file(classes=[{"name": "a", "colours": [[i] * 3]} for i in (1, 2)]), "two classes .*'a'"),
    ],
)
def test_a_bad_palette_file_is_named_with_its_problem(tmp_path, text: str, problem: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)

    with pytest.raises(
        SettingsError, match=rf"^palette file .*bad\.json is not valid: .*{problem}"
    ) as caught:
        Palette.load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_palette_file_is_named(tmp_path) -> None:
    with pytest.raises(SettingsError, match=r"none\.json does not exist"):
        Palette.load(tmp_path / "none.json")


def test_a_palette_file_that_is_no_text_is_named(tmp_path) -> None:
    (tmp_path / "image.json").write_bytes(b"\x89PNG\xff")

    with pytest.raises(SettingsError, match=r"image\.json cannot be read"):
        Palette.load(tmp_path / "image.json")


def test_learning_finds_the_colours_that_maps_are_drawn_in() -> None:
    colours = [(232, 229, 223), (254, 254, 254), (203, 223, 172), (177, 208, 254), (247, 158, 39)]
    learned = learn_palette([drawn_map(colours)], name="mine")

    assert learned.name == "mine"
    assert {c.colours[0] for c in learned.classes} == set(colours)
    assert learned.classes[0].colours == (colours[0],)
    assert set(learned.names) == {"light-grey", "white", "light-green", "light-blue", "orange"}


def test_learning_prefers_a_rare_distinct_colour_to_a_shade() -> None:
    image = drawn_map([(232, 229, 223), (222, 219, 213)])
    image[:6, :6] = (247, 158, 39)
    learned = learn_palette([image], max_colours=2, name="mine")

    assert [c.colours[0] for c in learned.classes] == [(232, 229, 223), (247, 158, 39)]


def test_learning_merges_shades_and_makes_names_unique() -> None:
    shades = [(203, 223, 172), (204, 224, 173), (180, 210, 150), (60, 60, 60)]
    learned = learn_palette([drawn_map(shades, noise=0)], name="mine")

    assert sorted(learned.names) == ["dark-grey", "light-green", "light-green-2"]


def test_learning_ignores_the_blends_along_borders() -> None:
    image = drawn_map([(0, 0, 0), (250, 250, 250)], noise=0)
    image[:, 47:50] = np.array([[60] * 3, [120] * 3, [190] * 3])

    assert set(learn_palette([image], name="mine").names) == {"black", "white"}


def test_learning_reads_the_images_once_and_of_any_size() -> None:
    one, two = drawn_map([(0, 0, 0), (255, 255, 255)], size=40), drawn_map([(200, 0, 0)], size=24)

    assert set(learn_palette(iter([one, two]), name="mine").names) == {"black", "white", "red"}


def test_photos_are_no_maps_to_learn_from() -> None:
    with pytest.raises(DataError, match="do not look like maps: flat colours cover 0%"):
        learn_palette([random_colours(64, 64)], name="mine")


@pytest.mark.parametrize(
    ("images", "problem"), [([], "no image"), ([drawn_map([(9, 9, 9)])], "a single flat")]
)
def test_too_little_to_learn_from_is_said(images: list[np.ndarray], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        learn_palette(images, name="mine")


def test_a_learned_palette_of_one_colour_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least 2 colours, not 1"):
        learn_palette([drawn_map([(0, 0, 0), (255, 255, 255)])], max_colours=1, name="mine")

"""Tests of sat2map.translate.images: what goes in, where it comes out, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sat2map.errors import ImageError, OutputError, Sat2MapError
from sat2map.model_file import ModelHeader
from sat2map.settings import GeneratorSpec
from sat2map.translate import Translator
from sat2map.translate.images import Job, plan_jobs, translate_image, translate_images


class Inverting:
    """An engine that turns an image into its negative."""

    name = "a negative"

    def __init__(self, bands: int = 3) -> None:
        self.header = ModelHeader(generator=GeneratorSpec(depth=2, source_bands=bands, target_bands=bands))

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        return -source


@pytest.fixture
def translator() -> Translator:
    return Translator(Inverting())


def draw(path: Path, mode: str = "RGB", size: tuple[int, int] = (20, 18)) -> Path:
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], bands)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if bands == 1 else pixels).save(path)
    return path


def pixels_of(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def translate_all(translator: Translator, jobs: list[Job]) -> dict[str, Sat2MapError | None]:
    told: dict[str, Sat2MapError | None] = {}
    failed = translate_images(translator, jobs, lambda job, error: told.update({job.source.name: error}))
    assert failed == sum(error is not None for error in told.values())
    return told


def test_a_file_becomes_a_png_of_its_name_in_the_folder(tmp_path: Path) -> None:
    source = draw(tmp_path / "a.jpg")
    assert plan_jobs([source], tmp_path / "maps") == [Job(source, tmp_path / "maps" / "a.png")]


def test_a_folder_stands_for_the_images_right_in_it(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "c.TIF", "deeper/d.png", ".hidden.png"):
        draw(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    (tmp_path / "in" / "folder.png").mkdir()
    jobs = plan_jobs([tmp_path / "in"], tmp_path / "maps")
    assert [job.output.name for job in jobs] == ["a.png", "b.png", "c.png"]


def test_a_glob_stands_for_the_files_it_matches(tmp_path: Path) -> None:
    for name in ("x/a.png", "x/b.png", "y/c.png", "y/d.jpg"):
        draw(tmp_path / name)
    jobs = plan_jobs([str(tmp_path / "**" / "*.png")], tmp_path / "maps")
    assert sorted(job.source.name for job in jobs) == ["a.png", "b.png", "c.png"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    source = draw(tmp_path / "a[1].png")
    draw(tmp_path / "a1.png")
    assert [job.source for job in plan_jobs([source], tmp_path / "maps")] == [source]


def test_an_input_named_twice_is_translated_once(tmp_path: Path) -> None:
    source = draw(tmp_path / "in" / "a.png")
    assert len(plan_jobs([source, tmp_path / "in", source], tmp_path / "maps")) == 1


def test_a_single_input_may_name_its_output_file(tmp_path: Path, translator: Translator) -> None:
    source, output = draw(tmp_path / "a.png"), tmp_path / "out" / "map.webp"
    (job,) = plan_jobs([source], output)
    translate_image(translator, job)
    np.testing.assert_array_equal(pixels_of(output), 255 - pixels_of(source))


def test_several_inputs_for_one_output_file_are_refused(tmp_path: Path) -> None:
    sources = [draw(tmp_path / "a.png"), draw(tmp_path / "b.png")]
    with pytest.raises(OutputError, match=r"map\.png is one file, but there are 2 inputs"):
        plan_jobs(sources, tmp_path / "map.png")


def test_no_input_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="nothing to translate"):
        plan_jobs([], tmp_path / "map.png")


def test_an_input_that_does_not_exist_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png does not exist"):
        plan_jobs([tmp_path / "gone.png"], tmp_path / "maps")


def test_a_folder_without_images_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="empty holds no images"):
        plan_jobs([tmp_path / "empty"], tmp_path / "maps")


def test_two_inputs_of_one_name_are_refused(tmp_path: Path) -> None:
    sources = [draw(tmp_path / "x" / "a.png"), draw(tmp_path / "y" / "a.jpg")]
    with pytest.raises(ImageError, match=r"x/a\.png and .*y/a\.jpg would both be written to"):
        plan_jobs(sources, tmp_path / "maps")


def test_an_output_that_exists_is_refused(tmp_path: Path) -> None:
    source = draw(tmp_path / "a.png")
    draw(tmp_path / "maps" / "a.png")
    with pytest.raises(OutputError, match=r"maps/a\.png exists: .*--overwrite"):
        plan_jobs([source], tmp_path / "maps")


def test_an_output_that_exists_is_replaced_when_that_is_asked_for(
    tmp_path: Path, translator: Translator
) -> None:
    source, output = draw(tmp_path / "a.png"), draw(tmp_path / "maps" / "a.png", size=(3, 3))
    (job,) = plan_jobs([source], tmp_path / "maps", overwrite=True)
    translate_image(translator, job)
    assert pixels_of(output).shape == (18, 20, 3)


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_output_that_is_its_input_is_refused(tmp_path: Path, overwrite: bool) -> None:
    source = draw(tmp_path / "a.png")
    with pytest.raises(OutputError, match="would be overwritten by its own map"):
        plan_jobs([source], tmp_path, overwrite=overwrite)


def test_an_output_that_is_its_input_through_a_link_is_refused(tmp_path: Path) -> None:
    source = draw(tmp_path / "a.png")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OutputError, match="would be overwritten by its own map"):
        plan_jobs([source], tmp_path / "link", overwrite=True)


def test_alpha_is_carried_over(tmp_path: Path, translator: Translator) -> None:
    source = draw(tmp_path / "a.png", mode="RGBA")
    translate_image(translator, Job(source, tmp_path / "map.png"))
    before, after = pixels_of(source), pixels_of(tmp_path / "map.png")
    np.testing.assert_array_equal(after[..., 3], before[..., 3])
    np.testing.assert_array_equal(after[..., :3], 255 - before[..., :3])


def test_alpha_in_a_jpeg_is_refused_and_nothing_is_written(tmp_path: Path, translator: Translator) -> None:
    source = draw(tmp_path / "a.png", mode="RGBA")
    with pytest.raises(ImageError, match="JPEG cannot carry the transparency"):
        translate_image(translator, Job(source, tmp_path / "map.jpg"))
    assert not (tmp_path / "map.jpg").exists()


def test_a_grey_image_is_taken_as_rgb(tmp_path: Path, translator: Translator) -> None:
    source = draw(tmp_path / "a.png", mode="L")
    translate_image(translator, Job(source, tmp_path / "map.png"))
    expected = np.repeat(255 - pixels_of(source)[..., None], 3, axis=2)
    np.testing.assert_array_equal(pixels_of(tmp_path / "map.png"), expected)


def test_a_colour_image_is_refused_by_a_model_of_one_band(tmp_path: Path) -> None:
    source = draw(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png has 3 bands where 1 are needed"):
        translate_image(Translator(Inverting(bands=1)), Job(source, tmp_path / "map.png"))


def test_an_image_that_is_too_small_is_refused_by_name(tmp_path: Path, translator: Translator) -> None:
    source = draw(tmp_path / "dot.png", size=(1, 1))
    with pytest.raises(ImageError, match=r"dot\.png: the image is 1 x 1 px"):
        translate_image(translator, Job(source, tmp_path / "map.png"))


def test_sixteen_bits_are_refused_and_the_other_images_are_translated(
    tmp_path: Path, translator: Translator
) -> None:
    deep = np.full((20, 20), 40000, np.uint16)
    draw(tmp_path / "in" / "a.png")
    Image.fromarray(deep).save(tmp_path / "in" / "b.png")
    draw(tmp_path / "in" / "c.png")
    told = translate_all(translator, plan_jobs([tmp_path / "in"], tmp_path / "maps"))
    assert "16 bits" in str(told["b.png"])
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["a.png", "c.png"]


def test_a_disk_that_fails_stops_the_rest(
    tmp_path: Path, translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "in" / "a.png")
    draw(tmp_path / "in" / "b.png")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OutputError, match="the disk is full"):
        translate_all(translator, plan_jobs([tmp_path / "in"], tmp_path / "maps"))
    assert list((tmp_path / "maps").iterdir()) == []

"""Tests of sat2map.inference.image_files: what goes in, where it comes out, what is refused."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sat2map.errors import ImageError, OutputError, Sat2MapError
from sat2map.images import write as write_module
from sat2map.images.pixels import Picture, read_image
from sat2map.inference import Translator
from sat2map.inference import image_files as images_module
from sat2map.inference.backends import EngineOptions
from sat2map.inference.image_files import (
    MANY,
    MAX_STREAMS,
    Job,
    for_pictures,
    plan_jobs,
    translate_image,
    translate_images,
)
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import ModelHeader


class Inverting:
    """An engine that turns an image into its negative."""

    name = "a negative"

    def __init__(self, bands: int = 3, streams: int = 1) -> None:
        self.header = ModelHeader(generator=GeneratorSpec(depth=2, source_bands=bands, target_bands=bands))
        self.streams = streams
        self.busy = self.busiest = 0
        self.before: Callable[[], object] = lambda: None
        self._lock = threading.Lock()

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._lock:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        self.before()
        with self._lock:
            self.busy -= 1
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
    with pytest.raises(OutputError, match=r"maps/a\.png exists: .*replaced"):
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


def test_a_damaged_image_is_refused_and_the_other_images_are_translated(
    tmp_path: Path, translator: Translator
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        draw(tmp_path / "in" / name)
    damaged = tmp_path / "in" / "b.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    told = translate_all(translator, plan_jobs([tmp_path / "in"], tmp_path / "maps"))
    assert "b.png" in str(told["b.png"])
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["a.png", "c.png"]


@pytest.fixture
def twenty(tmp_path: Path) -> list[Job]:
    for i in range(20):
        draw(tmp_path / "in" / f"{i:02d}.png")
    return plan_jobs([tmp_path / "in"], tmp_path / "maps")


def test_a_disk_that_fails_stops_the_rest(
    tmp_path: Path, twenty: list[Job], translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(pixels: NDArray[np.uint8]) -> Iterator[bytes]:
        yield b"\x89PNG"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write_module, "png_parts", full)
    with pytest.raises(OutputError, match="the disk is full"):
        translate_all(translator, twenty)
    assert list((tmp_path / "maps").iterdir()) == []


@pytest.mark.parametrize("streams", [1, 3])
def test_the_end_of_each_is_told_in_the_order_of_the_jobs(twenty: list[Job], streams: int) -> None:
    engine = Inverting(streams=streams)
    some = iter([0.02, 0.0, 0.01, 0.0, 0.0] * 4)
    engine.before = lambda: time.sleep(next(some))
    told: list[Job] = []
    assert translate_images(Translator(engine), twenty, lambda job, error: told.append(job)) == 0
    assert told == twenty
    for job in twenty:
        np.testing.assert_array_equal(pixels_of(job.output), 255 - pixels_of(job.source))


@pytest.mark.parametrize("streams", [1, 2])
def test_no_more_are_in_the_network_than_the_engine_has_streams(twenty: list[Job], streams: int) -> None:
    engine = Inverting(streams=streams)
    together = threading.Barrier(streams, timeout=60)  # broken where fewer meet at it
    engine.before = lambda: together.wait()
    translate_images(Translator(engine), twenty, lambda job, error: None)
    assert engine.busiest == streams


def test_others_are_read_and_written_while_one_is_in_the_network(tmp_path: Path, twenty: list[Job]) -> None:
    engine, calls = Inverting(), iter(range(len(twenty)))

    def wait_for_a_file() -> None:
        if next(calls) == 1:
            until = time.monotonic() + 60
            while not list((tmp_path / "maps").glob("[0-9]*.png")):
                assert time.monotonic() < until, "nothing was written while the second was in the network"
                time.sleep(0.001)

    engine.before = wait_for_a_file
    assert translate_images(Translator(engine), twenty, lambda job, error: None) == 0


def test_only_a_few_pictures_are_in_memory_at_a_time(
    twenty: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    def read(path: Path, **options: Any) -> Picture:
        nonlocal most
        picture = read_image(path, **options)
        pixels = picture.pixels.view(Watched)
        alive.add(pixels)
        most = max(most, len(alive))
        return picture._replace(pixels=pixels)

    monkeypatch.setattr(images_module, "read_image", read)
    assert translate_images(Translator(Inverting(streams=2)), twenty, lambda job, error: None) == 0
    assert 1 <= most <= 4


class Watched(np.ndarray):
    """An array that can be weakly referenced and hashed."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


def test_a_broken_file_in_the_middle_spoils_no_other(twenty: list[Job], translator: Translator) -> None:
    twenty[9].source.write_bytes(twenty[9].source.read_bytes()[:-200])
    told = translate_all(translator, twenty)
    assert list(told) == [job.source.name for job in twenty]
    assert [name for name, error in told.items() if error] == ["09.png"]
    assert "09.png cannot be decoded" in str(told["09.png"])
    assert [job for job in twenty if not job.output.exists()] == [twenty[9]]


def test_ctrl_c_leaves_whole_files_and_begins_nothing_more(
    tmp_path: Path, twenty: list[Job], translator: Translator
) -> None:
    told: list[Job] = []

    def interrupt(job: Job, error: Sat2MapError | None) -> None:
        told.append(job)
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        translate_images(translator, twenty, interrupt)
    written = set((tmp_path / "maps").iterdir())
    whole = [job for job in twenty if job.output in written]  # any: several are written at once
    assert len(written) == len(whole) < len(twenty)
    assert {job.output for job in told} <= written
    for job in whole:
        np.testing.assert_array_equal(pixels_of(job.output), 255 - pixels_of(job.source))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("translate")]


def test_ctrl_c_ends_a_large_picture_at_its_next_tile(tmp_path: Path) -> None:
    engine = Inverting()
    engine.header = engine.header.model_copy(update={"max_untiled_size": 32})
    large, small = draw(tmp_path / "b.png", size=(400, 400)), draw(tmp_path / "a.png")
    jobs = plan_jobs([small, large], tmp_path / "maps")
    tiles, interrupted = 0, threading.Event()

    def count() -> None:
        nonlocal tiles
        tiles += 1
        if tiles == 3:  # of the large one
            assert interrupted.wait(60)
        time.sleep(0.002)

    engine.before = count

    def interrupt(job: Job, error: Sat2MapError | None) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        translate_images(Translator(engine), jobs, interrupt)
    assert tiles < 300  # of 576
    assert not jobs[1].output.exists()


# how many at the same time


def test_a_few_pictures_have_all_cores_for_each_and_many_share_them() -> None:
    options = EngineOptions(threads=6)
    assert for_pictures(options, MANY - 1).streams == 1
    assert for_pictures(options, MANY).streams == MAX_STREAMS
    assert for_pictures(EngineOptions(threads=2), 1000).streams == 2
    assert for_pictures(EngineOptions(threads=6, low_memory=True), 1000).streams == 1


def test_what_is_averaged_is_not_rounded_before() -> None:
    assert for_pictures(EngineOptions(), 1).image_only
    assert not for_pictures(EngineOptions(), 1, tta=True).image_only


def is_tiff(text: str, *, listed: bool = False) -> bool:
    return text.endswith(".tif") or (text.startswith("gdal:") and not listed)


def test_images_and_rasters_keep_the_order_of_the_inputs(tmp_path: Path) -> None:
    for name in ("in/b.tif", "in/a.png", "in/c.jpg", "z.png"):
        draw(tmp_path / name)
    jobs = plan_jobs(
        [tmp_path / "z.png", "gdal:dir/x.nc:Band1", tmp_path / "in"], tmp_path / "maps", is_raster=is_tiff
    )
    assert [job.output.name for job in jobs] == ["z.png", "x-Band1.tif", "a.png", "b.tif", "c.png"]
    assert [bool(job.raster) for job in jobs] == [False, True, False, True, False]


def test_rasters_of_one_name_are_refused(tmp_path: Path) -> None:
    sources = [draw(tmp_path / "x" / "a.tif"), draw(tmp_path / "y" / "A.tif")]
    with pytest.raises(ImageError, match="would both be written to"):
        plan_jobs(sources, tmp_path / "maps", overwrite=True, is_raster=is_tiff)


def test_what_an_earlier_run_has_written_is_kept_for_a_resume(tmp_path: Path) -> None:
    source = draw(tmp_path / "a.png")
    draw(tmp_path / "maps" / "a.png")
    assert len(plan_jobs([source], tmp_path / "maps", resume=True)) == 1

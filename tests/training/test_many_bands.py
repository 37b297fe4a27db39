"""Ten bands of uint16, as of Sentinel-2: the model keeps each band's limits, and reads every file by them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

rasterio = pytest.importorskip("rasterio")

from sat2map.data.band_limits import measure_band_limits  # noqa: E402
from sat2map.data.pairs import find_pairs  # noqa: E402
from sat2map.data.shards import pack  # noqa: E402
from sat2map.errors import DataError, ImageError  # noqa: E402
from sat2map.evaluation.evaluation_set import open_evaluation_set  # noqa: E402
from sat2map.export.mlm import describe_model  # noqa: E402
from sat2map.geo.front_door import translate_raster  # noqa: E402
from sat2map.images.bands import choose_bands, default_names  # noqa: E402
from sat2map.inference import Translator  # noqa: E402
from sat2map.inference.image_files import translate_images  # noqa: E402
from sat2map.models.describe import describe  # noqa: E402
from sat2map.models.model_file import ModelHeader, read_header  # noqa: E402
from sat2map.settings import TrainSettings  # noqa: E402
from sat2map.synthetic.towns import draw_town  # noqa: E402
from sat2map.training.init import read_init  # noqa: E402
from sat2map.training.loop import train  # noqa: E402
from sat2map.training.setup import set_up  # noqa: E402

BANDS, SIDE = 10, 48
GAINS = np.linspace(3, 40, BANDS)
OFFSETS = np.linspace(100, 1900, BANDS)
Make = Callable[..., TrainSettings]


def town(seed: int) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Draw (10, h, w) numbers of another range in each band, and the map."""
    drawn = draw_town(seed, size=SIDE, gsd=2.1)
    colours = np.moveaxis(drawn.source, -1, 0).astype(float)
    values = np.stack([colours[i % 3] * GAINS[i] + OFFSETS[i] for i in range(BANDS)])
    return np.rint(values).astype(np.uint16), drawn.target


def write_bands(path: Path, values: NDArray[np.generic], **more: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    more = {"transform": rasterio.Affine(10, 0, 5e5, 0, -10, 4e6), **more}  # else rasterio warns
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype, **more
    ) as file:
        file.write(values)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pairs to train on and two to validate on."""
    folder = tmp_path_factory.mktemp("ten")
    for i in range(8):
        values, target = town(i)
        split = folder / ("train" if i < 6 else "val")
        write_bands(split / "source" / f"{i}.tif", values)
        (split / "target").mkdir(exist_ok=True)
        Image.fromarray(target).save(split / "target" / f"{i}.png")
    return folder


@pytest.fixture
def make(settings: Make, folder: Path) -> Make:
    def with_bands(**values: object) -> TrainSettings:
        sizes = {"load_size": None, "image_size": None, "crop_size": 32, "epochs": 1}
        return settings(**{"data": folder, "source_bands": BANDS, **sizes, **values})

    return with_bands


@pytest.fixture
def model(make: Make, tmp_path: Path) -> Path:
    train(make())
    return tmp_path / "run" / "last.safetensors"


def expected_limits() -> NDArray[np.float64]:
    pooled = np.concatenate([town(i)[0].reshape(BANDS, -1) for i in range(6)], axis=1)
    return np.percentile(pooled, (2, 98), axis=1).T


def levels_of(values: NDArray[np.generic], header: ModelHeader) -> NDArray[np.uint8]:
    """What the network should see of (bands, h, w): uint8 (h, w, bands), by numpy alone."""
    low, high = (np.array([getattr(band, side) for band in header.bands]) for side in ("low", "high"))
    share = (np.moveaxis(values, 0, -1).astype(float) - low) / (high - low)
    return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)


def test_the_limits_are_percentiles_of_each_band_over_the_training_pairs(folder: Path) -> None:
    limits, note = measure_band_limits(find_pairs(folder)["train"], BANDS)
    np.testing.assert_allclose(np.array(limits), expected_limits())
    assert "6 training pairs" in note


def test_photos_of_8_bits_have_no_limits(pairs: Path) -> None:
    assert measure_band_limits(find_pairs(pairs)["train"], 3) == (None, "")


def test_training_sees_every_file_by_the_same_limits(make: Make) -> None:
    setup = set_up(make())
    for number, cached in enumerate(setup.train.sources):
        found = int(np.abs(cached.astype(int) - levels_of(town(number)[0], setup.header)).max())
        assert found <= 1  # numpy's float64 against float32
    np.testing.assert_allclose([(band.low, band.high) for band in setup.header.bands], expected_limits())


def test_image_raster_array_and_evaluation_agree_with_levels_made_by_numpy(
    model: Path, folder: Path, tmp_path: Path
) -> None:
    values = town(6)[0] // 2 + 700  # a darker scene: its own percentiles would be others
    header = read_header(model)
    translator = Translator.open(model)
    expected = translator(levels_of(values, header))
    by_array = translator(np.moveaxis(values, 0, -1))
    by_path = translator(write_bands(tmp_path / "plain.tif", values))
    ortho = write_bands(tmp_path / "ortho.tif", values, crs="EPSG:32618")
    translate_raster(ortho, tmp_path / "map.tif", model=model)
    with rasterio.open(tmp_path / "map.tif") as file:
        by_raster = np.moveaxis(file.read([1, 2, 3]), 0, -1)
    for found in (by_array, by_path, by_raster):
        assert np.abs(found.astype(int) - expected.astype(int)).max() <= 3
    scored = open_evaluation_set(header, folder, "val")
    assert np.abs(scored.inputs.sources[0].astype(int) - levels_of(town(6)[0], header)).max() <= 1


def test_an_upload_is_read_by_the_limits(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    from sat2map.serve.decoder import Decoder
    from sat2map.serve.pictures import read_picture

    values, header = town(7)[0], read_header(model)
    file = write_bands(tmp_path / "upload.tif", values)
    picture = read_picture(Decoder(10**8), file, (SIDE, SIDE), header)
    assert np.abs(picture.pixels.astype(int) - levels_of(values, header)).max() <= 1
    assert not any("percentiles" in note for note in picture.notes)


def test_the_description_of_the_model_names_each_bands_range(model: Path) -> None:
    header = read_header(model)
    assert f"band 10 from {header.bands[9].low:g} to {header.bands[9].high:g}" in describe(model, header)
    scaling = describe_model(header, "ten", 1)["properties"]["mlm:input"][0]["value_scaling"]
    assert [(one["minimum"], one["maximum"]) for one in scaling] == list(header.limits or ())


def test_ten_bands_are_taken_in_the_files_order_and_a_rest_is_named() -> None:
    named = [*"rgb", "nir", *[""] * 9]
    assert choose_bands(named[:10], default_names(10), "s2.tif") == (tuple(range(1, 11)), None)
    chosen, note = choose_bands(named, default_names(10), "s2.tif")
    assert chosen == tuple(range(1, 11))
    assert note is not None
    assert note.startswith("s2.tif has 13 bands: bands 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 were used")


def test_an_8_bit_file_is_taken_as_it_is_with_a_note(model: Path, tmp_path: Path) -> None:
    from sat2map.inference.image_files import Job

    eight = np.full((BANDS, SIDE, SIDE), 90, np.uint8)
    job = Job(write_bands(tmp_path / "eight.tif", eight), tmp_path / "map.png")
    notes: list[str] = []
    translate_images(Translator.open(model), [job], lambda job, error: None, note=notes.append)
    assert any("holds 8 bits, and the model knows values of" in note for note in notes)


def test_a_pair_of_8_bits_among_others_is_refused(make: Make, folder: Path, tmp_path: Path) -> None:
    import shutil

    mixed = shutil.copytree(folder, tmp_path / "mixed")
    write_bands(mixed / "train" / "source" / "3.tif", np.zeros((BANDS, SIDE, SIDE), np.uint8))
    with pytest.raises(ImageError, match=r"3\.tif holds 8 bits, where other numbers are known"):
        set_up(make(data=mixed))


def test_shards_without_the_common_limits_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has more than 8 bits, and shards"):
        pack(folder, tmp_path / "shards")


def test_fine_tuning_keeps_the_limits_of_the_model(
    make: Make, model: Path, folder: Path, tmp_path: Path
) -> None:
    for i in range(8):
        split = tmp_path / "bright" / ("train" if i < 6 else "val")
        write_bands(split / "source" / f"{i}.tif", town(i)[0] + 3000)
        (split / "target").mkdir(exist_ok=True)
        Image.fromarray(town(i)[1]).save(split / "target" / f"{i}.png")
    setup = set_up(make(data=tmp_path / "bright", run=tmp_path / "again"), read_init(model))
    assert setup.header.limits == read_header(model).limits

"""Translating rasters: the grid is kept, windows are crops, there are no seams, and nothing is lost."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from PIL import Image
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT
from rio_cogeo.cogeo import cog_validate

from sat2map.geo.raster_job import RasterOptions
from sat2map.geo.read import open_raster
from sat2map.geo.translate_raster import translate_raster
from sat2map.inference.tiling import Area, Grid
from sat2map.inference.translator import Translator
from sat2map.synthetic.towns import draw_town

HERE = Affine(2.1, 0, 400_000, 0, -2.1, 5_000_000)


def options(**given):
    return RasterOptions(**given)


def seam_score(pixels, grid):
    """Gradient across the tiles' borders relative to the gradient elsewhere, float."""
    image = pixels.astype(float).mean(axis=0)
    scores = []
    for steps, length in ((np.abs(np.diff(image, axis=1)).mean(axis=0), image.shape[1]),
                          (np.abs(np.diff(image, axis=0)).mean(axis=1), image.shape[0])):  # fmt: skip
        borders = {b for s in grid.spans(length) for b in (s.first, s.first + grid.overlap) if 0 < b < length}
        at = np.zeros(length - 1, bool)
        at[[b - 1 for b in borders]] = True
        scores.append(steps[at].mean() / steps[~at].mean())
    return max(scores)


def test_the_map_has_the_grid_of_its_source(write, town, tmp_path, straight):
    source = write(town[0][:, :70, :90])
    translate_raster(straight(), source, tmp_path / "map.tif")
    with rasterio.open(source) as before, rasterio.open(tmp_path / "map.tif") as after:
        assert (after.crs, after.transform, after.shape, after.bounds) == (
            before.crs, before.transform, before.shape, before.bounds,
        )  # fmt: skip
        assert after.profile["dtype"] == "uint8"
        assert after.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def test_a_network_that_changes_nothing_gives_the_source_back(write, town, tmp_path, straight, read):
    source = write(town[0][:, :201, :187])
    translate_raster(straight(), source, tmp_path / "map.tif")
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), town[0][:, :201, :187])


def test_the_file_is_a_valid_cloud_optimized_geotiff_with_overviews(write, tmp_path, straight):
    source = write(np.random.default_rng(0).integers(0, 255, (3, 700, 1100), dtype=np.uint8))
    translate_raster(straight(tile=256), source, tmp_path / "map.tif")
    valid, errors, warnings = cog_validate(tmp_path / "map.tif", strict=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.overviews(1) == [2, 4]
        assert file.profile["tiled"]
        assert file.profile["compress"] == "deflate"


def test_the_tags_say_how_the_map_was_made(write, town, tmp_path, random_translator):
    source = write(town[0][:, :64, :64].astype(np.uint16))
    translate_raster(
        random_translator(),
        source,
        tmp_path / "map.tif",
        options(scale=(0, 3000)),
        model=("m.safetensors", "ab12"),
    )
    with rasterio.open(tmp_path / "map.tif") as file:
        tags = file.tags()
    assert tags["TIFFTAG_SOFTWARE"].startswith("sat2map ")
    assert tags["SAT2MAP_MODEL"] == "m.safetensors"
    assert tags["SAT2MAP_MODEL_SHA256"] == "ab12"
    assert tags["SAT2MAP_SCALE"] == "0,3000;0,3000;0,3000"
    assert tags["SAT2MAP_BANDS"] == "1,2,3"
    assert json.loads(tags["SAT2MAP_PALETTE"])["name"] == "maps"


@pytest.mark.parametrize(
    "window", [(0, 0, 300, 300), (17, 33, 140, 101), (250, 250, 50, 50), (0, 120, 300, 1)]
)
def test_a_window_equals_the_crop_of_the_whole(write, town, tmp_path, window, random_translator, read):
    translator = random_translator()
    source = write(town[0])
    everything, part = tmp_path / "all.tif", tmp_path / "part.tif"
    translate_raster(translator, source, everything)
    translate_raster(translator, source, part, options(window=window))
    column, row, width, height = window
    np.testing.assert_array_equal(
        read(part), read(everything)[:, row : row + height, column : column + width]
    )
    with rasterio.open(part) as file:
        assert file.transform == HERE @ Affine.translation(column, row)


def test_bounds_name_the_pixels_that_they_touch(write, town, tmp_path, straight, read):
    source = write(town[0])
    left, top = HERE @ (40, 50)
    right, bottom = HERE @ (99.5, 120)
    translate_raster(straight(), source, tmp_path / "m.tif", options(bbox=(left, bottom, right, top)))
    np.testing.assert_array_equal(read(tmp_path / "m.tif"), town[0][:, 50:120, 40:100])


def test_tiles_equal_one_piece_within_a_grey_level(write, town, tmp_path, random_translator, read):
    translate_raster(random_translator(tile=256), write(town[0]), tmp_path / "tiles.tif")
    whole = random_translator(tile=1024)(np.moveaxis(town[0], 0, -1))
    difference = np.abs(read(tmp_path / "tiles.tif").astype(int) - np.moveaxis(whole, -1, 0))
    # At the picture's own edge the two see different padding.
    assert difference[:, 24:-24, 24:-24].max() <= 1


@pytest.mark.parametrize("tile", [64, 128])
def test_tiles_leave_no_seams(write, town, tmp_path, random_translator, read, tile):
    translator = random_translator(tile=tile)
    translate_raster(translator, write(town[0]), tmp_path / "map.tif")
    assert seam_score(read(tmp_path / "map.tif"), translator.grid) <= 1.05


def even(x):
    """A network that gives every tile the same mean, the worst for seams."""
    return (x - x.mean(axis=(2, 3), keepdims=True)) / 4


def test_even_a_network_that_looks_at_whole_tiles_leaves_no_seams(write, town, tmp_path, straight, read):
    translator = straight(even, tile=64)
    translate_raster(translator, write(town[0]), tmp_path / "map.tif")
    chance = seam_score(town[0], translator.grid)  # the town has edges of its own
    assert seam_score(read(tmp_path / "map.tif"), translator.grid) / chance <= 1.05


def test_the_seam_score_sees_seams(write, town, tmp_path, straight, read):
    translator = straight(even, tile=64)
    translator.grid = Grid(64, 64)
    translate_raster(translator, write(town[0]), tmp_path / "map.tif")
    assert seam_score(read(tmp_path / "map.tif"), translator.grid) > 1.3


# what is not there


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_nodata_value_is_kept_where_it_was_and_nowhere_else(write, town, tmp_path, value, straight):
    pixels = np.clip(town[0][:, :150, :170], 8, 254)
    pixels[:, :60, :50] = value
    translate_raster(
        straight(lambda x: np.full_like(x, value / 127.5 - 1)),
        write(pixels, nodata=value),
        tmp_path / "m.tif",
    )
    with rasterio.open(tmp_path / "m.tif") as file:
        assert file.nodata == value
        there = file.dataset_mask() > 0
    expected = np.ones((150, 170), bool)
    expected[:60, :50] = False
    np.testing.assert_array_equal(there, expected)


def test_a_nodata_value_of_nan_is_kept_as_zero(write, town, tmp_path, straight):
    pixels = town[0][:, :150, :170].astype(np.float32)
    pixels[:, 100:, :] = np.nan
    translate_raster(straight(), write(pixels, nodata=np.nan), tmp_path / "m.tif", options(scale=(0, 255)))
    with rasterio.open(tmp_path / "m.tif") as file:
        assert file.nodata == 0
        there = file.dataset_mask() > 0
        np.testing.assert_array_equal(file.read()[:, :100], np.maximum(town[0][:, :100, :170], 1))
    assert there[:100].all()
    assert not there[100:].any()


def test_pixels_that_are_no_number_are_not_there_even_without_a_nodata_value(
    write, town, tmp_path, straight, read
):
    pixels = town[0][:, :64, :64].astype(np.float32)
    pixels[1, 3, 5] = np.inf
    translate_raster(straight(), write(pixels), tmp_path / "m.tif", options(scale=(0, 255)))
    assert read(tmp_path / "m.tif")[:, 3, 5].tolist() == [0, 0, 0]


def test_alpha_is_kept(write, town, tmp_path, straight):
    alpha = np.full((1, 120, 100), 255, np.uint8)
    alpha[:, 40:] = 0
    pixels = np.concatenate([town[0][:, :120, :100], alpha])
    translate_raster(straight(), write(pixels, photometric="rgb", alpha="yes"), tmp_path / "m.tif")
    with rasterio.open(tmp_path / "m.tif") as file:
        assert file.colorinterp[3] == ColorInterp.alpha
        np.testing.assert_array_equal(file.read(4), alpha[0])


def test_an_internal_mask_is_kept(write, town, tmp_path, straight):
    mask = np.full((120, 100), 255, np.uint8)
    mask[:, :30] = 0
    translate_raster(straight(), write(town[0][:, :120, :100], mask=mask), tmp_path / "m.tif")
    with rasterio.open(tmp_path / "m.tif") as file:
        assert MaskFlags.per_dataset in file.mask_flag_enums[0]
        np.testing.assert_array_equal(file.dataset_mask(), mask)
        assert file.count == 3


def test_an_alpha_band_that_holds_measurements_is_no_mask(write, town, tmp_path, straight, read):
    pixels = np.concatenate([town[0], town[0][:1]])[:, :64, :64]
    result = translate_raster(straight(), write(pixels, photometric="rgb", alpha="yes"), tmp_path / "m.tif")
    assert any("marked as alpha, but holds measurements" in note for note in result.notes)
    assert read(tmp_path / "m.tif").shape[0] == 3


def test_the_network_never_sees_the_colour_of_missing_pixels(write, tmp_path, straight, read):
    pixels = np.full((3, 64, 96), 100, np.uint8)
    pixels[:, :, :40] = 0
    translator = straight(lambda x: np.broadcast_to(x.mean(axis=(2, 3), keepdims=True), x.shape))
    translate_raster(translator, write(pixels, nodata=0), tmp_path / "m.tif")
    assert set(np.unique(read(tmp_path / "m.tif"))) == {0, 100}


def test_tiles_without_a_pixel_are_not_run(write, town, tmp_path, straight):
    pixels = np.zeros((3, 300, 300), np.uint8)
    pixels[:, :30, :30] = 90
    runs = []
    translator = straight(lambda x: runs.append(1) or x)
    translate_raster(translator, write(pixels, nodata=0), tmp_path / "m.tif")
    assert len(runs) == 1


# depth, bands and grids


def test_sixteen_bits_are_scaled_by_the_limits_given(write, town, tmp_path, straight, read):
    pixels = town[0][:, :64, :64].astype(np.uint16) * 10
    translate_raster(straight(), write(pixels), tmp_path / "m.tif", options(scale=(0, 2550)))
    np.testing.assert_array_equal(read(tmp_path / "m.tif"), town[0][:, :64, :64])


def test_measured_limits_are_percentiles_2_and_98_of_each_band(write, tmp_path, straight):
    pixels = np.random.default_rng(0).normal(1000, 200, (3, 100, 100)).astype(np.float32)
    pixels[1] *= 3
    result = translate_raster(straight(), write(pixels), tmp_path / "m.tif")
    with rasterio.open(tmp_path / "m.tif") as file:
        limits = [[float(v) for v in pair.split(",")] for pair in file.tags()["SAT2MAP_SCALE"].split(";")]
    np.testing.assert_allclose(limits, [np.percentile(band, (2, 98)) for band in pixels], rtol=1e-6)
    assert any("percentiles 2 and 98" in note for note in result.notes)


def test_a_window_is_scaled_like_the_whole(write, tmp_path, straight, read):
    pixels = np.random.default_rng(0).normal(1000, 200, (3, 100, 100)).astype(np.uint16)
    pixels[:, 50:] //= 2
    source = write(pixels)
    translate_raster(straight(), source, tmp_path / "all.tif")
    translate_raster(straight(), source, tmp_path / "part.tif", options(window=(0, 60, 40, 40)))
    np.testing.assert_array_equal(read(tmp_path / "part.tif"), read(tmp_path / "all.tif")[:, 60:, :40])


def test_bands_are_read_in_the_order_given(write, town, tmp_path, straight, read):
    translate_raster(straight(), write(town[0][:, :64, :64]), tmp_path / "m.tif", options(bands=(3, 1, 1)))
    np.testing.assert_array_equal(read(tmp_path / "m.tif"), town[0][[2, 0, 0], :64, :64])


def test_red_green_blue_are_found_by_their_meaning(write, town, tmp_path, straight, read):
    source = write(
        town[0][:, :64, :64],
        colorinterp=[ColorInterp.blue, ColorInterp.green, ColorInterp.red],
        photometric="minisblack",
    )
    translate_raster(straight(), source, tmp_path / "m.tif")
    np.testing.assert_array_equal(read(tmp_path / "m.tif"), town[0][::-1, :64, :64])


def test_one_grey_band_is_repeated(write, town, tmp_path, straight, read):
    translate_raster(straight(), write(town[0][0, :64, :64]), tmp_path / "m.tif")
    np.testing.assert_array_equal(read(tmp_path / "m.tif"), town[0][[0, 0, 0], :64, :64])


@pytest.mark.parametrize(
    "transform",
    [
        Affine(2.1, 0, 4e5, 0, 2.1, 5e6),
        Affine.translation(4e5, 5e6) @ Affine.rotation(30) @ Affine.scale(2.1, -2.1),
    ],
    ids=["south up", "rotated"],
)
def test_other_grids_are_kept(write, town, tmp_path, transform, straight):
    translate_raster(straight(), write(town[0][:, :64, :64], transform=transform), tmp_path / "m.tif")
    with rasterio.open(tmp_path / "m.tif") as file:
        assert file.transform.almost_equals(transform)
        np.testing.assert_array_equal(file.read(), town[0][:, :64, :64])


def test_a_raster_without_crs_works_and_says_so(write, town, tmp_path, straight, read):
    source = write(town[0][:, :64, :64], crs=None, transform=None)
    result = translate_raster(straight(gsd=0.5), source, tmp_path / "m.tif")
    assert any("has no CRS, and neither has its map" in note for note in result.notes)
    np.testing.assert_array_equal(read(tmp_path / "m.tif"), town[0][:, :64, :64])


def test_a_vrt_and_a_png_go_through(write, town, tmp_path, straight, read):
    from rasterio.shutil import copy

    source = write(town[0][:, :64, :64])
    copy(source, tmp_path / "o.vrt", driver="VRT")
    copy(source, tmp_path / "o.png", driver="PNG")
    for name in ("o.vrt", "o.png"):
        translate_raster(straight(), tmp_path / name, tmp_path / "m.tif", options(overwrite=True))
        np.testing.assert_array_equal(read(tmp_path / "m.tif"), town[0][:, :64, :64])


# resolution


def test_a_finer_raster_is_worked_on_at_the_models_resolution_and_put_back(
    write, town, tmp_path, straight, read
):
    sizes = []
    translator = straight(lambda x: sizes.append(x.shape[-1]) or x, gsd=2.1, tile=512)
    fine = town[0].repeat(4, axis=1).repeat(4, axis=2)[:, :801, :799]
    source = write(fine, transform=from_origin(4e5, 5e6, 0.525, 0.525))
    translate_raster(translator, source, tmp_path / "m.tif")
    assert len(sizes) == 1  # 201×200 px at 2.1 m
    back = read(tmp_path / "m.tif")
    assert back.shape == fine.shape

    def likeness(shift):
        moved = np.roll(fine, (shift, shift), axis=(1, 2))[:, 8:-8, 8:-8]
        return np.corrcoef(back[:, 8:-8, 8:-8].ravel(), moved.ravel())[0, 1]

    assert likeness(0) > 0.95
    assert likeness(0) > max(likeness(-1), likeness(1))  # not moved by as much as half a pixel


def test_a_window_equals_the_crop_at_another_resolution_too(write, town, tmp_path, random_translator, read):
    translator = random_translator(gsd=4.0)
    source = write(town[0])
    translate_raster(translator, source, tmp_path / "all.tif")
    translate_raster(translator, source, tmp_path / "part.tif", options(window=(31, 57, 150, 120)))
    expected = read(tmp_path / "all.tif")[:, 57:177, 31:181].astype(int)
    assert np.abs(read(tmp_path / "part.tif") - expected).max() <= 1


def test_a_mask_is_put_back_pixel_for_pixel(write, town, tmp_path, random_translator):
    pixels = np.maximum(town[0], 1)
    pixels[:, :, 131:] = 0
    source = write(pixels, nodata=0)
    translate_raster(random_translator(gsd=6.0), source, tmp_path / "m.tif")
    with rasterio.open(tmp_path / "m.tif") as file, rasterio.open(source) as before:
        np.testing.assert_array_equal(file.dataset_mask(), before.dataset_mask())


def test_resolution_source_takes_the_raster_as_it_is(write, town, tmp_path, straight, read):
    source = write(town[0][:, :64, :64], transform=from_origin(4e5, 5e6, 0.5, 0.5))
    translator = straight(gsd=2.1)
    translate_raster(translator, source, tmp_path / "m.tif", options(resolution="source"))
    np.testing.assert_array_equal(read(tmp_path / "m.tif"), town[0][:, :64, :64])


def test_degrees_are_measured_on_the_ground(write, town, tmp_path, straight):
    # At 60° north, 0.00002° are 1.11 m from west to east and 2.23 m from south to north.
    source = write(town[0], crs="EPSG:4326", transform=from_origin(10, 60, 0.00002, 0.00001))
    result = translate_raster(straight(gsd=2.1), source, tmp_path / "m.tif")
    assert any("pixels of 1.12 m" in note for note in result.notes), result.notes


# confidence and classes


def test_classes_are_those_of_the_class_head(write, town, tmp_path, random_translator):
    translator = random_translator(tile=512)
    translate_raster(translator, write(town[0]), tmp_path / "m.tif", options(classes=tmp_path / "c.tif"))
    expected = translator.classes(np.moveaxis(town[0], 0, -1)).argmax(axis=0)
    with rasterio.open(tmp_path / "c.tif") as file:
        assert (file.read(1) == expected).mean() > 0.999
        assert file.colormap(1)[4][:3] == (177, 208, 254)
        assert file.nodata == 255


def test_confidence_is_high_where_the_symmetries_agree(write, town, tmp_path, straight, read):
    # The left half looks the same to it however it is turned; on the right it sees gradients, which turn.
    def network(x):
        steps = np.diff(x, axis=3, prepend=x[..., :1])
        return np.clip(np.where(np.abs(x) < 0.2, x, np.sign(steps)), -1, 1)

    pixels = town[0][:, :64, :64].copy()
    pixels[:, :, :32] = 128
    translate_raster(
        straight(network), write(pixels), tmp_path / "m.tif", options(confidence=tmp_path / "c.tif")
    )
    sure = read(tmp_path / "c.tif")[0]
    assert sure.max() <= 100
    assert (sure[:, :30] == 100).all()
    assert sure[:, 34:].mean() < 60


def test_confidence_with_a_class_head_is_a_probability(write, town, tmp_path, random_translator, read):
    translate_raster(
        random_translator(), write(town[0]), tmp_path / "m.tif", options(confidence=tmp_path / "c.tif")
    )
    sure = read(tmp_path / "c.tif")[0]
    assert sure.min() >= 100 // 6
    assert sure.max() <= 100
    assert len(np.unique(sure)) > 2


def test_tta_gives_a_turned_raster_a_turned_map(write, town, tmp_path, random_translator, read):
    translator = random_translator(tile=128, tta=True)  # one tile, so that padding is alike too
    translate_raster(translator, write(town[0][:, :128, :128]), tmp_path / "a.tif")
    translate_raster(
        translator, write(np.rot90(town[0][:, :128, :128], axes=(1, 2)), "b.tif"), tmp_path / "b-map.tif"
    )
    difference = np.rot90(read(tmp_path / "a.tif"), axes=(1, 2)).astype(int) - read(tmp_path / "b-map.tif")
    assert np.abs(difference).max() <= 1


# the real world


def test_all_real_rasters_go_through(shared, tmp_path, random_translator):
    translator: Translator = random_translator()
    for path in shared:
        output = tmp_path / f"{path.stem}.tif"
        translate_raster(translator, path, output, options(resolution="source"))
        assert cog_validate(output)[0]
        with rasterio.open(path) as before, rasterio.open(output) as after:
            assert (after.crs, after.transform, after.shape) == (before.crs, before.transform, before.shape)
            if "rgbn" not in path.name:
                np.testing.assert_array_equal(after.dataset_mask() > 0, before.dataset_mask() > 0)


def test_blocks_without_a_pixel_are_in_the_file_too(write, tmp_path, straight, read):
    pixels = np.zeros((3, 1100, 1100), np.uint8)
    pixels[:, 600:640, 20:60] = 9
    translate_raster(straight(tile=256), write(pixels, nodata=0), tmp_path / "m.tif")
    np.testing.assert_array_equal(read(tmp_path / "m.tif"), pixels)


def test_the_network_sees_no_black_border_where_a_raster_ends_within_a_pixel(write, town):
    """Of 100 px at 2.95 px each GDAL fills 33 of 34: the last one's centre lies beyond the raster."""
    source = write(np.full((3, 100, 100), 200, np.uint8))
    with open_raster(source, bands=None, count=3) as raster, raster.resampled(2.95, 2.95) as seen:
        assert (seen.grid.height, seen.grid.width) == (34, 34)
        assert (seen.read(Area(0, 0, 34, 34)) == 200).all()
        assert (seen.read(Area(32, 33, 34, 34)) == 200).all()
        assert (seen.read(Area(33, 0, 34, 34)) == 200).all()


def test_a_raster_finer_than_the_model_has_the_map_of_its_photo(write, tmp_path):
    """The oracle: Pillow brings the photo to the model's pixels, PyTorch the logits back."""
    translator = Translator.open(precision="fp32")
    side = 1000
    photo = draw_town(5, size=side, gsd=2.1).source
    source = write(np.moveaxis(photo, -1, 0), transform=Affine(0.3, 0, 400_000, 0, -0.3, 5_000_000))
    translate_raster(translator, source, tmp_path / "map.tif", options(classes=tmp_path / "classes.tif"))
    with open_raster(source, bands=None, count=3) as raster:
        factor = 0.9 / (raster.grid.metres() or (1, 1))[0]
    seen = math.ceil(side / factor)
    padded = np.pad(photo, ((0, 8), (0, 8), (0, 0)), mode="edge")
    box = (0, 0, seen * factor, seen * factor)
    small = np.asarray(Image.fromarray(padded).resize((seen, seen), Image.Resampling.BICUBIC, box=box))
    logits = torch.from_numpy(translator.run(small))[None]
    centres = (torch.arange(side) + 0.5) / (seen * factor) * 2 - 1
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="ij")[::-1], dim=-1)[None]
    large = torch.nn.functional.grid_sample(logits, grid, padding_mode="border", align_corners=False)[0]
    palette = translator.header.palette
    owner = np.repeat(np.arange(len(palette.classes)), [len(one.colours) for one in palette.classes])
    with rasterio.open(tmp_path / "classes.tif") as file:
        found = file.read(1)
    assert (found == owner[large.argmax(dim=0).numpy()]).mean() > 0.995


@pytest.mark.parametrize("factor", [3.0, 2.3, 0.7])
def test_a_raster_in_other_pixels_is_that_of_gdals_cubic_filter(write, factor):
    photo = np.moveaxis(draw_town(5, size=240).source, -1, 0)
    source = write(photo)
    with open_raster(source, bands=None, count=3) as raster, raster.resampled(factor, factor) as seen:
        whole = seen.grid.whole
        found = seen.read(whole)
        pieces = [
            seen.read(Area(top, 5, min(top + 30, whole.bottom), 60)) for top in range(0, whole.bottom, 30)
        ]
    with (
        rasterio.open(source) as file,
        WarpedVRT(
            file, src_crs=file.crs, crs=file.crs, transform=seen.grid.transform, height=whole.height,
            width=whole.width, resampling=Resampling.cubic,
        ) as vrt,
    ):  # fmt: skip
        expected = vrt.read()
    inner = (slice(None), slice(2, -2), slice(2, -2))
    difference = np.abs(found.astype(int) - expected)[inner]
    assert difference.mean() < 0.3
    assert np.percentile(difference, 99) <= 2
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), found[:, :, 5:60])

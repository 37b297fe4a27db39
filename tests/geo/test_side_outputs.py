"""Rasters beside the map, areas of interest and compression, against other ways to the same numbers."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.mask import raster_geometry_mask

from sat2map.errors import DataError, ModelFileError, OutputError, SettingsError
from sat2map.files import lock_output
from sat2map.geo.raster_job import RasterOptions
from sat2map.geo.translate_raster import translate_raster


@pytest.fixture
def source(write, town):
    return write(town[0][:, :130, :170])


def test_probabilities_have_a_band_for_each_class_and_name_it(source, tmp_path, random_translator):
    translator = random_translator(tile=1024)
    options = RasterOptions(probabilities=tmp_path / "p.tif", classes=tmp_path / "c.tif", resolution="source")
    translate_raster(translator, source, tmp_path / "map.tif", options)
    with rasterio.open(source) as file:
        expected = translator.classes(np.moveaxis(file.read(), 0, -1)) * 100
    with rasterio.open(tmp_path / "p.tif") as file, rasterio.open(tmp_path / "c.tif") as classes:
        found = file.read()
        assert file.descriptions == translator.header.palette.names
        assert set(file.dtypes) == {"uint8"}
        assert (file.transform, file.crs, file.shape) == (classes.transform, classes.crs, classes.shape)
        numbers = classes.read(1)
    assert np.abs(found - expected).max() <= 0.51  # rounded, and tiled
    top = found.max(axis=0)
    assert (np.take_along_axis(found, numbers[None].astype(int), axis=0)[0] == top).all()


def test_probabilities_are_masked_as_the_source_is(write, town, tmp_path, random_translator):
    pixels = np.maximum(town[0][:, :100, :100], 1)
    pixels[:, :30] = 0
    translate_raster(
        random_translator(), write(pixels, nodata=0), tmp_path / "map.tif",
        RasterOptions(probabilities=tmp_path / "p.tif"),
    )  # fmt: skip
    with rasterio.open(tmp_path / "p.tif") as file:
        assert file.nodata == 255
        assert (file.read()[:, :30] == 255).all()
        assert file.read()[:, 30:].max() <= 100


def test_a_model_that_draws_images_has_no_probabilities(source, tmp_path, straight):
    with pytest.raises(ModelFileError, match="gives no probabilities of classes"):
        translate_raster(
            straight(), source, tmp_path / "map.tif", RasterOptions(probabilities=tmp_path / "p.tif")
        )
    assert not (tmp_path / "map.tif").exists()


@pytest.mark.parametrize("compress", ["zstd", "lzw", "lerc", "webp", "none"])
def test_every_compression_keeps_every_pixel(source, tmp_path, random_translator, read, compress):
    names = {"classes": "c.tif", "probabilities": "p.tif"}
    for folder, how in (("plain", "deflate"), ("other", compress)):
        sides = {name: tmp_path / folder / file for name, file in names.items()}
        options = RasterOptions(compress=how, **sides)
        translate_raster(random_translator(), source, tmp_path / folder / "map.tif", options)
    for name in ("map.tif", *names.values()):
        np.testing.assert_array_equal(read(tmp_path / "other" / name), read(tmp_path / "plain" / name))
    with rasterio.open(tmp_path / "other" / "map.tif") as file:
        stored = file.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "none").lower()
    assert stored == compress


def test_outside_of_the_area_of_interest_the_map_is_masked(source, tmp_path, random_translator):
    circle = shapely.Point(400_000 + 181, 5_000_000 - 130).buffer(100)
    area = geopandas.GeoDataFrame(geometry=[circle], crs="EPSG:32633").to_crs("EPSG:4326")
    area.to_file(tmp_path / "area.gpkg")
    translator = random_translator()
    options = RasterOptions(aoi=tmp_path / "area.gpkg", classes=tmp_path / "c.tif", resolution="source")
    translate_raster(translator, source, tmp_path / "map.tif", options)
    translate_raster(translator, source, tmp_path / "whole.tif", RasterOptions(resolution="source"))
    with rasterio.open(tmp_path / "map.tif") as file, rasterio.open(tmp_path / "whole.tif") as whole:
        outside, transform, window = raster_geometry_mask(whole, [circle], crop=True)
        assert file.transform.almost_equals(transform, precision=1e-6)
        inside = file.dataset_mask() > 0
        assert (inside == ~outside).mean() > 0.999  # the way through degrees moves an edge by millimetres
        np.testing.assert_array_equal(file.read()[:, inside], whole.read(window=window)[:, inside])
    with rasterio.open(tmp_path / "c.tif") as file:
        np.testing.assert_array_equal(file.read(1) != 255, inside)


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        (shapely.Point(13, 45), "holds no polygon"),
        (shapely.box(0, 0, 1, 1), "lies outside"),
    ],
)
def test_an_area_that_does_not_fit_is_one_sentence(source, tmp_path, straight, shape, sentence):
    geopandas.GeoDataFrame(geometry=[shape], crs="EPSG:4326").to_file(tmp_path / "area.gpkg")
    options = RasterOptions(aoi=tmp_path / "area.gpkg")
    with pytest.raises((DataError, SettingsError), match=sentence):
        translate_raster(straight(), source, tmp_path / "map.tif", options)


def test_an_area_and_a_box_are_not_taken_together(source, tmp_path, straight):
    options = RasterOptions(aoi=tmp_path / "area.gpkg", bbox=(0.0, 0.0, 1.0, 1.0))
    with pytest.raises(SettingsError, match="name the same thing twice"):
        translate_raster(straight(), source, tmp_path / "map.tif", options)


@pytest.mark.parametrize("name", ["classes", "probabilities", "confidence", "map.json"])
def test_a_second_process_cannot_write_what_lies_beside_a_map(source, tmp_path, random_translator, name):
    sides = {} if name == "map.json" else {name: tmp_path / "side.tif"}
    options = RasterOptions(**sides, stac=not sides)
    with (
        lock_output(tmp_path / ("side.tif" if sides else name)),
        pytest.raises(OutputError, match="another process is writing"),
    ):
        translate_raster(random_translator(), source, tmp_path / "map.tif", options)

"""A map compared with references on the ground: rasters and vectors, in other CRSs, sizes and places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("rasterio", reason="the geo extra is not installed")

import pyogrio
import rasterio
import shapely
from affine import Affine
from rasterio.transform import array_bounds
from rasterio.warp import calculate_default_transform, reproject, transform_geom

from sat2map.assess import assess_map
from sat2map.cli.main import main
from sat2map.errors import DataError, ImageError, OutputError, Sat2MapError, SettingsError
from sat2map.geo.reference import ReferenceOptions
from sat2map.images.palette import Palette

pytestmark = [
    pytest.mark.geo,
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
]
MAPS = Palette.load("maps")
LAND, BUILDING, ROAD, PARK, WATER = range(5)
UTM, HERE = "EPSG:32633", Affine(2, 0, 400_000, 0, -2, 5_000_000)
MANY_VALUES = np.arange(50, dtype=np.uint8)[None]
OF_BUILDINGS = ReferenceOptions(map_class="building")


def write(path: Path, pixels: NDArray[Any], crs: str | None = UTM, place: Affine = HERE, **more: Any) -> Path:
    bands = np.atleast_3d(pixels.T).T
    with rasterio.open(
        path, "w", driver="GTiff", count=len(bands), height=bands.shape[1], width=bands.shape[2],
        dtype=bands.dtype, crs=crs, transform=place, **more,
    ) as file:  # fmt: skip
        file.write(bands)
    return path


def write_map(path: Path, classes: NDArray[np.uint8], **more: Any) -> Path:
    return write(path, np.moveaxis(MAPS.colourise(classes), -1, 0), **more)


def write_polygons(path: Path, polygons: list[Any], crs: str = UTM, **columns: list[str]) -> Path:
    fields = [np.array(values, object) for values in columns.values()]
    pyogrio.raw.write(
        path, shapely.to_wkb(np.array(polygons, object)), fields, list(columns), crs=crs,
        geometry_type="Unknown", driver="GPKG",
    )  # fmt: skip
    return path


@pytest.fixture
def town() -> NDArray[np.uint8]:
    """Class numbers of 200 × 300 px of 2 m: a park, two roads, houses of 10 × 12 px."""
    classes = np.zeros((200, 300), np.uint8)
    classes[:60, 200:] = PARK
    classes[150:] = WATER
    classes[:, 90:94] = ROAD
    classes[100:104] = ROAD
    for row in range(10, 90, 25):
        for column in (10, 40, 65):
            classes[row : row + 12, column : column + 10] = BUILDING
    return classes


def test_a_map_equals_itself_in_another_crs_at_half_the_pixel_size(
    town: NDArray[np.uint8], tmp_path: Path
) -> None:
    drawn = write_map(tmp_path / "map.tif", town)
    place, width, height = calculate_default_transform(
        UTM, "EPSG:4326", 300, 200, *array_bounds(200, 300, HERE), resolution=1e-5
    )
    there = np.full((height, width), 255, np.uint8)
    reproject(
        town, there, src_transform=HERE, src_crs=UTM, src_nodata=255, dst_transform=place,
        dst_crs="EPSG:4326", dst_nodata=255,
    )  # fmt: skip
    reference = write(tmp_path / "true.tif", there, "EPSG:4326", place, nodata=255)
    found = assess_map(drawn, reference)
    assert found.scores.scores["mean_iou"] > 0.95
    assert found.scores.scores["road_f1"] == pytest.approx(1, abs=0.001)
    assert found.scores.objects["building"] == (12, 12, 12)
    assert found.scores.protocol.share > 0.98


def test_scores_of_classes_are_those_worked_by_hand(town: NDArray[np.uint8], tmp_path: Path) -> None:
    other = town.copy()
    other[:30, 200:] = LAND  # half of the park
    found = assess_map(write_map(tmp_path / "map.tif", other), write_map(tmp_path / "true.tif", town)).scores
    park = next(one for one in found.classes if one.name == "park")
    assert (park.iou, park.precision, park.recall) == (0.5, 1.0, 0.5)
    assert found.scores["accuracy"] == 1 - 3000 / 60_000
    land = int((town == LAND).sum())
    assert found.scores["constant_mean_iou"] == pytest.approx(land / 60_000 / 5)  # of five classes that occur
    assert found.confusion[PARK][LAND] == 3000


def test_houses_of_a_geopackage_in_degrees_are_matched_one_by_one_though_they_touch(
    town: NDArray[np.uint8], tmp_path: Path
) -> None:
    houses = [
        shapely.box(x, y, x + 20, y + 24)
        for x in (400_020, 400_080, 400_130)
        for y in (4_999_956, 4_999_906, 4_999_856, 4_999_806)
    ]
    houses.append(shapely.box(400_150, 4_999_806, 400_170, 4_999_830))  # a neighbour that the map lacks
    degrees = [
        shapely.geometry.shape(transform_geom(UTM, "EPSG:4326", shapely.geometry.mapping(h))) for h in houses
    ]
    reference = write_polygons(tmp_path / "houses.gpkg", degrees, "EPSG:4326")
    found = assess_map(write_map(tmp_path / "map.tif", town), reference, OF_BUILDINGS).scores
    assert found.objects["building"] == (12, 12, 13)
    assert found.classes[0].iou == pytest.approx(12 / 13, abs=0.01)
    assert "reaches over" in found.protocol.notes[0]


def test_a_column_names_the_classes_of_polygons_and_ground_without_any_is_not_compared(
    town: NDArray[np.uint8], tmp_path: Path
) -> None:
    park, water = (
        shapely.box(400_400, 4_999_880, 400_600, 5_000_000),
        shapely.box(400_000, 4_999_600, 400_600, 4_999_700),
    )
    reference = write_polygons(tmp_path / "true.gpkg", [park, water], kind=["park", "water"])
    options = ReferenceOptions(class_column="kind")
    found = assess_map(write_map(tmp_path / "map.tif", town), reference, options).scores
    assert found.protocol.pixels == 60 * 100 + 50 * 300
    assert found.scores["mean_iou"] == pytest.approx(
        np.mean([1, (50 * 300 - 50 * 4) / (50 * 300), 0]), abs=1e-9
    )


def test_openstreetmaps_tags_are_drawn_in_the_web_style(town: NDArray[np.uint8], tmp_path: Path) -> None:
    street = shapely.LineString([(400_184, 4_999_500), (400_184, 5_000_100)])
    lake = shapely.box(400_000, 4_999_600, 400_600, 4_999_700)
    reference = write_polygons(
        tmp_path / "osm.gpkg", [street, lake], highway=["residential", ""], natural=["", "water"]
    )
    found = assess_map(write_map(tmp_path / "map.tif", town), reference, ReferenceOptions(style="web")).scores
    by_name = {one.name: one for one in found.classes}
    assert by_name["water"].iou == pytest.approx(1, abs=0.03)
    assert found.scores["road_precision"] < found.scores["road_recall"] == 1  # the map has a second road


def test_the_difference_raster_has_a_colour_and_a_name_for_each_way_to_be_wrong(
    town: NDArray[np.uint8], tmp_path: Path
) -> None:
    other = town.copy()
    other[:30, 200:] = LAND
    output = tmp_path / "difference.tif"
    assess_map(
        write_map(tmp_path / "map.tif", other), write_map(tmp_path / "true.tif", town), difference=output
    )
    names = [element.text for element in _xml(output.with_name("difference.tif.aux.xml"), "Category")]
    with rasterio.open(output) as file:
        values, colours = file.read(1), file.colormap(1)
        assert (file.crs, file.transform) == (rasterio.CRS.from_string(UTM), HERE)
    expected = np.zeros_like(town)
    expected[:30, 200:] = names.index("park, drawn as land")
    np.testing.assert_array_equal(values, expected)
    assert colours[values[0, 250]][:3] != colours[0][:3]
    labels = [element.get("label") for element in _xml(output.with_suffix(".qml"), "paletteEntry")]
    assert labels == ["agrees", "park, drawn as land"]


def test_the_difference_of_one_class_as_polygons_has_their_areas(
    town: NDArray[np.uint8], tmp_path: Path
) -> None:
    mask = (town == BUILDING).astype(np.uint8)
    mask[10:22, 10:20] = 0  # a house that only the map has
    output = tmp_path / "difference.gpkg"
    assess_map(
        write_map(tmp_path / "map.tif", town),
        write(tmp_path / "mask.tif", mask),
        OF_BUILDINGS,
        difference=output,
    )
    meta, _, shapes, fields = pyogrio.raw.read(output, layer="building in the map only")
    assert shapely.from_wkb(shapes[0]).bounds == (400_020, 4_999_956, 400_040, 4_999_980)
    area = fields[list(meta["fields"]).index("area_m2")]
    assert area == pytest.approx([480], rel=0.002)  # metres on the ground, not of the projection


def test_a_mask_without_a_crs_is_compared_pixel_by_pixel_where_it_has_the_maps_size(
    town: NDArray[np.uint8], tmp_path: Path
) -> None:
    drawn = write_map(tmp_path / "map.tif", town)
    mask = (town == BUILDING).astype(np.uint8) * 255
    found = assess_map(
        drawn, write(tmp_path / "mask.tif", mask, None, Affine.identity()), OF_BUILDINGS
    ).scores
    assert found.classes[0].iou == 1
    with pytest.raises(DataError, match="unlike the map of 300×200: they cannot be laid over each other"):
        assess_map(drawn, write(tmp_path / "cut.tif", mask[1:], None, Affine.identity()), OF_BUILDINGS)


@pytest.mark.parametrize(
    ("pixels", "options", "sentence"),
    [
        (np.eye(50, dtype=np.uint8), ReferenceOptions(), "may be the mask of one class: name the class"),
        (MANY_VALUES, ReferenceOptions(), "which are no classes of the palette 'maps'"),
        (MANY_VALUES, OF_BUILDINGS, "50 different values: it is no mask of one class"),
        (np.eye(50, dtype=np.uint8), ReferenceOptions("bulding"), "did you mean 'building'"),
        (np.full((3, 50, 50), 90, np.uint8), ReferenceOptions(), "is no map in the colours of the palette"),
    ],
)  # fmt: skip
def test_a_raster_that_does_not_say_what_it_shows_is_refused(
    town: NDArray[np.uint8],
    pixels: NDArray[np.uint8],
    options: ReferenceOptions,
    sentence: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(Sat2MapError, match=sentence):
        assess_map(write_map(tmp_path / "map.tif", town), write(tmp_path / "true.tif", pixels), options)


@pytest.mark.parametrize("kind", ["raster", "vectors"])
def test_a_reference_in_another_place_is_one_sentence(
    town: NDArray[np.uint8], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = write_map(tmp_path / "map.tif", town)
    if kind == "raster":
        reference = write_map(tmp_path / "far.tif", town, place=Affine.translation(10_000, 0) @ HERE)
    else:
        reference = write_polygons(tmp_path / "far.gpkg", [shapely.box(13, 52, 13.1, 52.1)], "EPSG:4326")
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--map", str(drawn), "--reference", str(reference), "--class", "building"])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.count("\n") == 1
    assert "lies in another place than the map" in error


def test_a_photo_a_missing_file_or_an_existing_layer_is_refused(
    town: NDArray[np.uint8], tmp_path: Path
) -> None:
    drawn = write_map(tmp_path / "map.tif", town)
    photo = write(tmp_path / "photo.tif", np.full((3, 200, 300), 80, np.uint8))
    with pytest.raises(DataError, match="no map in the colours"):
        assess_map(photo, drawn)
    with pytest.raises(ImageError, match="does not exist"):
        assess_map(tmp_path / "none.tif", drawn)
    with pytest.raises(DataError, match="does not exist"):
        assess_map(drawn, tmp_path / "none.tif")
    with pytest.raises(OutputError, match="exists"):
        assess_map(drawn, drawn, difference=photo)
    lines = write_polygons(
        tmp_path / "l.gpkg", [shapely.LineString([(400_000, 4_999_900), (400_300, 4_999_800)])]
    )
    with pytest.raises(DataError, match="only lines"):
        assess_map(drawn, lines, OF_BUILDINGS)
    with pytest.raises(SettingsError, match="no column 'class'"):
        assess_map(drawn, lines)


def test_the_command_writes_scores_a_report_and_a_layer(
    town: NDArray[np.uint8], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = write_map(tmp_path / "map.tif", town)
    outputs = {name: tmp_path / f"out.{name}" for name in ("json", "html", "tif")}
    main([
        "evaluate", "--map", str(drawn), "--reference", str(drawn), "--json", str(outputs["json"]),
        "--report", str(outputs["html"]), "--difference", str(outputs["tif"]),
    ])  # fmt: skip
    assert "12 of the true 12" in capsys.readouterr().out
    assert json.loads(outputs["json"].read_text())["scores"]["mean_iou"] == 1
    page = outputs["html"].read_text()
    assert page.count("data:image/webp") == 3
    assert outputs["tif"].exists()


def _xml(path: Path, tag: str) -> list[Any]:
    from xml.etree import ElementTree

    text = path.read_text()
    return list(
        ElementTree.fromstring(text[text.index(">") + 1 :] if text.startswith("<!") else text).iter(tag)
    )

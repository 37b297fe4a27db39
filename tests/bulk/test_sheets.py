"""Sheets of one image: each sees its neighbours, so that their maps join without a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from sat2map.bulk.pipeline import run_bulk
from sat2map.bulk.planning import plan_tasks
from sat2map.bulk.tasks import BulkPlan, Task
from sat2map.bulk.worker import WorkOptions
from sat2map.geo.raster_job import RasterOptions
from sat2map.geo.translate_raster import translate_raster
from sat2map.inference import Translator

Write = Callable[..., Path]
COLUMNS, ROWS = (0, 333, 700), (0, 290, 600)  # where the image of 600 × 700 px is cut


@pytest.fixture(scope="module")
def image(photos: Path) -> NDArray[np.uint8]:
    with rasterio.open(photos / "large.tif") as file:
        pixels: NDArray[np.uint8] = file.read()[:, : ROWS[-1], : COLUMNS[-1]]
    return pixels


def cut(image: NDArray[Any], folder: Path, **profile: Any) -> list[str]:
    """Write four sheets of an image, and return their paths."""
    folder.mkdir()
    paths = []
    for row, below in pairwise(ROWS):
        for column, right in pairwise(COLUMNS):
            part = image[:, row:below, column:right]
            place = Affine(2, 0, 400_000 + 2 * column, 0, -2, 5_000_000 - 2 * row)
            paths.append(folder / f"sheet-{row}-{column}.tif")
            with rasterio.open(
                paths[-1], "w", driver="GTiff", count=len(part), height=part.shape[1], width=part.shape[2],
                dtype=part.dtype, crs="EPSG:32633", transform=place, **profile,
            ) as file:  # fmt: skip
                file.write(part)
    return [str(path) for path in paths]


def joined(folder: Path, sheets: list[str]) -> NDArray[np.uint8]:
    """Put the maps of sheets together, with zeros where there is none."""
    whole = np.zeros((3, ROWS[-1], COLUMNS[-1]), np.uint8)
    for sheet in sheets:
        with rasterio.open(folder / Path(sheet).name) as file:
            column = round((file.transform.c - 400_000) / 2)
            row = round((5_000_000 - file.transform.f) / 2)
            whole[:, row : row + file.height, column : column + file.width] = file.read()[:3]
    return whole


def map_of(
    image: NDArray[Any], write: Write, options: WorkOptions, folder: Path, **how: Any
) -> NDArray[np.uint8]:
    """Return the map of the whole image."""
    source = write(folder / "whole.tif", image, **how.pop("profile", {}))
    translator = Translator.open(options.model, options.engine_options)
    translate_raster(
        translator,
        source,
        folder / "map.tif",
        RasterOptions(resolution=options.resolution, keep_grid=True, **how),
    )
    with rasterio.open(folder / "map.tif") as file:
        pixels: NDArray[np.uint8] = file.read()
    return pixels


def planned(sheets: list[str], options: WorkOptions) -> BulkPlan:
    return plan_tasks(sheets, cut=4096, reading=options.reading())


@pytest.mark.parametrize("resolution", ["auto", 3.1, 1.3])
def test_the_maps_of_four_sheets_are_the_map_of_the_whole(
    image: NDArray[np.uint8], resolution: Any, options: WorkOptions, write: Write, tmp_path: Path
) -> None:
    options = replace(options, resolution=resolution)
    sheets = cut(image, tmp_path / "sheets")
    run_bulk(planned(sheets, options), options)
    whole = map_of(image, write, options, tmp_path)
    np.testing.assert_array_equal(joined(options.folder, sheets), whole)
    alone = replace(options, folder=tmp_path / "alone")
    run_bulk(plan_tasks(sheets), alone)
    assert (joined(alone.folder, sheets) != whole).mean() > 0.01  # which is what there was before


def test_sheets_in_two_shards_and_in_windows_join_too(
    image: NDArray[np.uint8], options: WorkOptions, write: Write, tmp_path: Path
) -> None:
    sheets = cut(image, tmp_path / "sheets")
    plan = plan_tasks(sheets, cut=320, reading=options.reading())
    assert any(task.window is not None and task.around is not None for task in plan.tasks)
    for number in (1, 0):
        run_bulk(plan, options, shard=(number, 2))
    whole = map_of(image, write, options, tmp_path)
    for task in plan.tasks:
        assert task.around is not None
        own, window = task.around.own, task.window or (0, 0, task.around.own.width, task.around.own.height)
        column, row = own.column + window[0], own.row + window[1]
        with rasterio.open(options.folder / task.output) as file:
            part = whole[:, row : row + window[3], column : column + window[2]]
            np.testing.assert_array_equal(file.read(), part)
            assert file.tags()["SAT2MAP_SOURCE"] == Path(task.source).name


def test_limits_of_16_bits_are_those_of_all_sheets(
    image: NDArray[np.uint8], options: WorkOptions, write: Write, tmp_path: Path
) -> None:
    deep = image.astype(np.uint16) * 20
    deep[:, :290, :333] //= 3  # a dark sheet
    sheets = cut(deep, tmp_path / "sheets")
    plan = planned(sheets, options)
    scale = plan.tasks[0].scale
    assert {task.scale for task in plan.tasks} == {scale}
    run_bulk(plan, options)
    whole = map_of(deep, write, options, tmp_path, scale=scale)
    np.testing.assert_array_equal(joined(options.folder, sheets), whole)


def test_beside_a_missing_sheet_no_mask_is_made_and_nothing_is_black_ground(
    image: NDArray[np.uint8], options: WorkOptions, write: Write, tmp_path: Path
) -> None:
    sheets = cut(image, tmp_path / "sheets")
    three = sheets[:3]
    run_bulk(planned(three, options), options)
    with rasterio.open(options.folder / Path(three[2]).name) as file:
        assert [flag.name for flag in file.mask_flag_enums[0]] == ["all_valid"]
    # The truth beside the gap is the map of an image that is masked there.
    masked = np.concatenate([image, np.full((1, *image.shape[1:]), 255, np.uint8)])
    masked[:, 290:, 333:] = 0
    whole = map_of(masked, write, options, tmp_path, profile={"alpha": True})[:3]
    found = joined(options.folder, three)
    np.testing.assert_array_equal(found[:, :290], whole[:, :290])
    np.testing.assert_array_equal(found[:, :, :333], whole[:, :, :333])


def test_nodata_stays_where_it_is(
    image: NDArray[np.uint8], options: WorkOptions, write: Write, tmp_path: Path
) -> None:
    holes = np.maximum(image, 1)
    holes[:, 200:400, 300:350] = 0
    sheets = cut(holes, tmp_path / "sheets", nodata=0)
    run_bulk(planned(sheets, options), options)
    whole = map_of(holes, write, options, tmp_path, profile={"nodata": 0})
    np.testing.assert_array_equal(joined(options.folder, sheets), whole)


def test_a_damaged_neighbour_stops_no_sheet(
    image: NDArray[np.uint8], options: WorkOptions, tmp_path: Path
) -> None:
    sheets = cut(image, tmp_path / "sheets")
    plan = planned(sheets, options)
    broken = Path(sheets[0])
    broken.write_bytes(broken.read_bytes()[:4000])
    summary = run_bulk(plan, options)
    assert [record.source for record in summary.failed] == [sheets[0]]
    assert summary.done == 3
    records = [path.read_text() for path in (options.folder / "manifest").glob("*.jsonl")]
    assert records[0].count("was translated without its neighbours") == 3


def test_a_sheet_is_translated_again_when_a_neighbour_changed(
    image: NDArray[np.uint8], options: WorkOptions, tmp_path: Path
) -> None:
    sheets = cut(image, tmp_path / "sheets")
    run_bulk(planned(sheets, options), options)
    with rasterio.open(sheets[3], "r+") as file:
        file.write(255 - file.read())
    assert run_bulk(planned(sheets, options), options, resume=True).done == 4


def test_images_of_one_place_of_other_sizes_or_off_the_grid_are_no_neighbours(
    image: NDArray[np.uint8], options: WorkOptions, write: Write, tmp_path: Path
) -> None:
    sheets = cut(image, tmp_path / "sheets")
    twice = write(tmp_path / "again.tif", image[:, : ROWS[1], : COLUMNS[1]])
    assert {task.around is None for task in planned([sheets[0], str(twice)], options).tasks} == {True}
    for number, place in enumerate(
        (Affine(2, 0, 400_667, 0, -2, 5_000_000), Affine(1, 0, 400_666, 0, -1, 5_000_000))
    ):
        other = tmp_path / f"other{number}.tif"
        with (
            rasterio.open(sheets[1]) as file,
            rasterio.open(other, "w", **{**file.profile, "transform": place}) as copy,
        ):
            copy.write(file.read())
        assert {task.around is None for task in planned([sheets[0], str(other)], options).tasks} == {True}
    assert {task.around is None for task in planned(sheets[:2], options).tasks} == {False}


def test_a_task_with_neighbours_goes_through_json(
    image: NDArray[np.uint8], options: WorkOptions, tmp_path: Path
) -> None:
    task = planned(cut(image, tmp_path / "sheets"), options).tasks[0]
    assert task.around is not None
    assert Task.from_json(task.to_json()) == task


def test_only_sheets_within_reach_are_listed(options: WorkOptions, tmp_path: Path, write: Write) -> None:
    sheets = []
    for number in range(6):
        sheets.append(tmp_path / f"{number}.tif")
        with rasterio.open(
            sheets[-1], "w", driver="GTiff", count=3, height=100, width=200, dtype="uint8", crs="EPSG:32633",
            transform=Affine(2, 0, 400_000 + 400 * number, 0, -2, 5_000_000),
        ) as file:  # fmt: skip
            file.write(np.full((3, 100, 200), 7, np.uint8))
    plan = planned([str(path) for path in sheets], options)  # tiles of 128 px, and 16 beside them
    around = plan.tasks[0].around
    assert around is not None
    assert [sheet.column for sheet in around.sheets] == [200, 0]
    assert (around.width, around.height, around.whole) == (1200, 100, True)

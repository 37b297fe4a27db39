"""Tests of what a bulk job's inputs may be, and of the tasks that are made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sat2map.bulk.inputs import find_sources
from sat2map.bulk.planning import plan_tasks
from sat2map.bulk.tasks import Task
from sat2map.errors import DataError, SettingsError


def test_files_folders_and_globs_name_each_source_once(photos: Path) -> None:
    everything = find_sources([str(photos)])
    assert [Path(name).name for name in everything] == ["large.tif", *(f"small{i}.tif" for i in range(5))]
    assert find_sources([str(photos / "small*.tif"), str(photos / "large.tif"), str(photos)]) == [
        *everything[1:],
        everything[0],
    ]


@pytest.mark.parametrize("address", ["https://maps.example.org/a.tif?key=1", "s3://bucket/a.tif"])
def test_an_address_is_a_source_as_it_is(address: str) -> None:
    assert find_sources([address]) == [address]


@pytest.mark.parametrize(("header", "column"), [("id,location", None), ("id,picture", "picture")])
def test_a_csv_lists_paths_beside_itself(
    photos: Path, tmp_path: Path, header: str, column: str | None
) -> None:
    table = tmp_path / "list.csv"
    (tmp_path / "here.tif").write_bytes((photos / "small0.tif").read_bytes())
    table.write_text(f"{header}\n1,here.tif\n2,https://example.org/there.tif\n3,{photos / 'small1.tif'}\n")
    assert find_sources([str(table)], column=column) == [
        str(tmp_path / "here.tif"),
        "https://example.org/there.tif",
        str(photos / "small1.tif"),
    ]


def test_a_geoparquet_lists_paths(photos: Path, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    table = tmp_path / "index.parquet"
    pq.write_table(
        pa.table({"geometry": [b"", b""], "location": [str(photos / "small1.tif"), "a.tif"]}), table
    )
    assert find_sources([str(table)]) == [str(photos / "small1.tif"), str(tmp_path / "a.tif")]


def stac(tmp_path: Path, assets: dict[str, Any], **item: Any) -> str:
    """Write an ItemCollection of one item."""
    items = {"type": "FeatureCollection", "features": [{"id": "T33", "assets": assets, **item}]}
    path = tmp_path / "items.json"
    path.write_text(json.dumps(items))
    return str(path)


COG = "image/tiff; application=geotiff; profile=cloud-optimized"


@pytest.mark.parametrize(
    ("assets", "asset"),
    [
        ({"visual": {"href": "a.tif", "type": COG}, "B04": {"href": "b.tif", "type": COG}}, None),
        ({"ortho": {"href": "a.tif", "type": COG}, "metadata": {"href": "m.xml"}}, None),
        (
            {
                "ortho": {"href": "a.tif", "type": COG},
                "preview": {"href": "p.png", "type": "image/png", "roles": ["thumbnail"]},
            },
            None,
        ),
        ({"red": {"href": "b.tif", "type": COG}, "rgb": {"href": "a.tif", "type": COG}}, "rgb"),
    ],
)
def test_stac_items_name_their_picture(tmp_path: Path, assets: dict[str, Any], asset: str | None) -> None:
    assert find_sources([stac(tmp_path, assets)], asset=asset) == [str(tmp_path / "a.tif")]


def test_stac_items_from_a_server_are_relative_to_their_own_address(tmp_path: Path) -> None:
    links = [{"rel": "self", "href": "https://stac.example.org/c/items/T33.json"}]
    found = find_sources([stac(tmp_path, {"visual": {"href": "./a.tif"}}, links=links)])
    assert found == ["https://stac.example.org/c/items/a.tif"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.csv", "id,way\n1,a.tif\n", "list.csv has no column of paths .* name it"),
        ("list.csv", "id,path\n1,a.tif\n2,\n", "list.csv: entry 2 names no file"),
        ("items.json", '{"type": "FeatureCollection", "features": [{"id": 1}]}', "no STAC Item"),
        ("items.json", "{", "cannot be read as JSON"),
        ("items.json", "[]", "no STAC Item"),
    ],
)
def test_a_list_that_cannot_be_used_is_told(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        find_sources([str(tmp_path / name)])


def test_an_unclear_asset_is_asked_for(tmp_path: Path) -> None:
    assets = {name: {"href": f"{name}.tif", "type": COG} for name in ("B02", "B03")}
    with pytest.raises(DataError, match="item 'T33' has the assets B02, B03: name the image"):
        find_sources([stac(tmp_path, assets)])
    with pytest.raises(DataError, match="has no asset 'B04', did you mean 'B0"):
        find_sources([stac(tmp_path, assets)], asset="B04")


@pytest.mark.parametrize("inputs", [["nowhere.tif"], ["no/*.tif"], []])
def test_inputs_that_name_nothing_are_told(inputs: list[str]) -> None:
    with pytest.raises(DataError):
        find_sources(inputs)


def test_windows_cover_a_large_raster_once(photos: Path) -> None:
    plan = plan_tasks([str(photos / "large.tif"), str(photos / "small0.tif")], cut=640)
    covered = np.zeros((1001, 1203), int)
    for task in plan.mosaics[0].tasks:
        assert task.window is not None
        column, row, width, height = task.window
        covered[row : row + height, column : column + width] += 1
    assert (covered == 1).all()
    assert (plan.mosaics[0].height, plan.mosaics[0].width) == (1001, 1203)
    assert plan.tasks[-1] == Task(str(photos / "small0.tif"), "small0.tif")


def test_limits_are_measured_once_over_the_whole(tmp_path: Path, write: Callable[..., Path]) -> None:
    ramp = np.tile(np.linspace(100, 3100, 1000).astype(np.uint16), (3, 700, 1))
    source = write(tmp_path / "sixteen.tif", ramp)
    scales = {task.scale for task in plan_tasks([str(source)], cut=512).tasks}
    assert len(scales) == 1
    low, high = next(iter(scales))[:2]  # type: ignore[index]
    # Percentiles 2 and 98 of an even ramp.
    assert low == pytest.approx(160, abs=8)
    assert high == pytest.approx(3040, abs=8)


def test_namesakes_get_names_of_their_own(tmp_path: Path) -> None:
    sources = [f"s3://bucket/{folder}/ortho.tif" for folder in "ab"] + ["s3://bucket/other.tif"]
    names = [task.output for task in plan_tasks(sources).tasks]
    assert len(set(names)) == 3
    assert names[2] == "other.tif"
    assert all(name.startswith("ortho-") for name in names[:2])


def test_pictures_become_png(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (40, 40)).save(tmp_path / "photo.jpg")
    assert [task.output for task in plan_tasks([str(tmp_path / "photo.jpg")], cut=512).tasks] == ["photo.png"]


def test_a_raster_that_cannot_be_opened_waits_for_its_turn(tmp_path: Path) -> None:
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II*\0 no more")
    assert plan_tasks([str(broken)], cut=512).tasks == (Task(str(broken), "broken.tif"),)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_share_all_tasks_and_none_twice(count: int) -> None:
    plan = plan_tasks([f"s3://bucket/{i}.tif" for i in range(11)])
    shards = [plan.shard(number, count) for number in range(count)]
    together = [task for shard in shards for task in shard]
    assert sorted(task.output for task in together) == sorted(task.output for task in plan.tasks)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize(("number", "count"), [(2, 2), (0, 0), (-1, 2)])
def test_a_shard_that_is_not_there_is_told(number: int, count: int) -> None:
    with pytest.raises(SettingsError, match="shards count from 0"):
        plan_tasks(["s3://bucket/a.tif"]).shard(number, count)


def test_a_task_survives_its_line() -> None:
    for task in (Task("a.tif", "b.tif"), Task("a", "b", (1, 2, 3, 4), (0.1, 1 / 3, 5.0, 6.0))):
        assert Task.from_json(task.to_json()) == task


def test_sheets_that_do_not_touch_get_one_stretch(tmp_path: Path, write: Callable[..., Path]) -> None:
    ramp = np.tile(np.linspace(100, 3100, 400).astype(np.uint16), (3, 60, 1))
    dark = write(tmp_path / "dark.tif", ramp[:, :, :200])
    light = write(tmp_path / "light.tif", ramp[:, :, 200:])
    plan = plan_tasks([str(dark), str(light)])
    expected = tuple(np.percentile(ramp[0], (2, 98))) * 3
    for task in plan.tasks:
        assert task.scale == pytest.approx(expected, abs=1)
    assert "2 inputs hold uint16" in plan.notes[0]


def test_images_of_16_bits_get_one_stretch(tmp_path: Path) -> None:
    from PIL import Image

    ramp = np.tile(np.linspace(100, 3100, 400).astype(np.uint16), (60, 1))
    for name, part in zip("ab", np.hsplit(ramp, 2), strict=True):
        Image.fromarray(np.ascontiguousarray(part)).save(tmp_path / f"{name}.png")
    plan = plan_tasks([str(tmp_path / "a.png"), str(tmp_path / "b.png")])
    assert {task.scale for task in plan.tasks} == {tuple(np.percentile(ramp, (2, 98)))}

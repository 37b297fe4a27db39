"""Tests of the plan of a large job: its arithmetic by hand, and that a measurement is one."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("rasterio", reason="the geo extra is not installed")

from sat2map.errors import SettingsError
from sat2map.geo.job_speeds import RUNS, JobSpeeds, draw_raster, measure_job, network_gsd_of, pick_machine
from sat2map.geo.translate_raster import translate_raster
from sat2map.inference import Translator
from sat2map.inference.backends.torch.engine import TorchEngine
from sat2map.inference.tiling import Grid
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import ModelHeader
from sat2map.plan import JobPlan, describe_plan, expect_failures, plan_job

pytestmark = [
    pytest.mark.geo,
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
]
GRID = Grid(512, 480)
# 0.1 s a tile, and a second for a million pixels of all else; half a byte a pixel of source.
SPEEDS = JobSpeeds(0.5, 1.0, 0.1, 1e-6, (0.9, 1.1), 0.5, 0.25, "an engine", 2)


def a_plan(area_km2: float = 100, speeds: JobSpeeds = SPEEDS, **values: float) -> JobPlan:
    return plan_job(area_km2, speeds, GRID, **values)  # type: ignore[arg-type]


def test_a_city_by_hand() -> None:
    job = a_plan()
    assert job.pixels == 400e6  # 100 km² = 1e8 m², four pixels each
    assert job.windows == 6  # of 67 million pixels
    # 8,192 px are 4,096 px for the network: 8.53 tiles along each side, and one for the neighbours.
    assert job.tiles == math.ceil(400e6 / 8192**2 * (4096 / 480 + 1) ** 2)
    assert (job.source_bytes, job.map_bytes) == (200e6, 100e6)
    assert job.hours == pytest.approx((0.1 * job.tiles + 400) / 3600)  # 16 s to fetch meanwhile
    assert job.range_hours == pytest.approx((job.hours * 0.9 * 0.85, job.hours * 1.1 * 1.2))
    assert [stage.name for stage in job.stages] == ["reading, drawing and writing", "network", "fetch"]


def test_one_raster_takes_the_tiles_that_it_takes() -> None:
    job = a_plan(2.048**2 / 4)  # 2,048² px of 0.5 m, 1,024² px for the network
    assert (job.windows, job.tiles) == (1, len(GRID.spans(1024)) ** 2)


@pytest.mark.parametrize(("gsd", "runs_at"), [(0.2, 0.9), (3.0, 0.9), (10.0, 10.0)])
def test_the_network_runs_at_the_models_gsd_but_not_on_far_coarser_sources(
    gsd: float, runs_at: float
) -> None:
    assert network_gsd_of(ModelHeader(generator=GeneratorSpec(), gsd=0.9), gsd) == runs_at


def test_a_slow_line_says_how_long_it_takes() -> None:
    job = a_plan(link_mbit=1.0)  # 125 kB/s
    assert job.stages[0].name == "fetch"
    assert job.hours == pytest.approx(1600 / 3600)


def test_a_gpu_works_beside_the_cores() -> None:
    job = a_plan(speeds=replace(SPEEDS, on_gpu=True))
    assert job.hours == pytest.approx(400 / 3600)


def test_machines_share_the_hours_and_not_the_price() -> None:
    one, ten = a_plan(price_hour=3.0), a_plan(price_hour=3.0, machines=10)
    assert ten.hours == pytest.approx(one.hours / 10)
    assert ten.machine_hours == pytest.approx(one.machine_hours)
    assert ten.price == pytest.approx(one.price) == pytest.approx(3 * one.hours)


def test_memory_does_not_grow_with_the_area() -> None:
    assert a_plan(1e8).memory_bytes == a_plan(1e5).memory_bytes


def test_another_machine_is_this_one_in_proportion_to_its_cores() -> None:
    machine = pick_machine("16-cores", SPEEDS)
    assert (machine.tile_seconds, machine.pixel_seconds) == (0.1 / 8, 1e-6 / 8)
    assert pick_machine("this", SPEEDS) == SPEEDS
    with pytest.raises(SettingsError, match="no machine is called '16-core', did you mean '16-cores'"):
        pick_machine("16-core", SPEEDS)


@pytest.mark.parametrize("values", [{"area_km2": 0}, {"machines": 0}, {"link_mbit": -1}])
def test_numbers_that_are_none_are_told(values: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="it must be more than 0"):
        a_plan(**values)  # type: ignore[arg-type]


def test_the_words_name_a_range_the_bottleneck_and_the_storage() -> None:
    text = describe_plan(replace(a_plan(357_000), price=12.0), machines=4)
    assert "1,428,000 million px" in text
    assert re.search(r"time: +\d+ days to \d+ days on 4 machines; about [\d,.]+ machine hours", text)
    assert "714 GB of source" in text
    assert "12.00" in text


def test_a_lost_machine_takes_half_a_window_and_a_restart_with_it() -> None:
    job = replace(a_plan(), machine_hours=1000.0, windows=500)  # two hours a window
    failures = expect_failures(job, hours_between=100.0, restart_hours=0.5)
    assert (failures.machines_lost, failures.lost_hours) == (10, 10 * (1 + 0.5))


@pytest.mark.parametrize("bands", [(3, 3), (1, 1)])
def test_this_machine_is_measured_on_a_job_like_the_real_one(
    bands: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = GeneratorSpec(width=4, depth=3, source_bands=bands[0], target_bands=bands[1])
    header = ModelHeader(generator=spec, max_untiled_size=64, gsd=1.0)
    translator = Translator(TorchEngine(build_generator(spec).eval(), header, torch.device("cpu")))
    sizes = []

    def counted(translator: Translator, source: Path, output: Path) -> object:
        result = translate_raster(translator, source, output)
        sizes.append(result.tiles)
        return result

    monkeypatch.setattr("sat2map.geo.job_speeds.translate_raster", counted)
    speeds = measure_job(translator, 0.5, side=250)
    assert sizes == [len(translator.grid.spans(125)) ** 2] * RUNS  # the network sees 125 px
    assert speeds.runs_at == 1.0
    assert 0 < speeds.tile_seconds < 10
    assert 0 < speeds.pixel_seconds < 1e-3
    assert speeds.spread[0] <= 1 <= speeds.spread[1]
    assert 0 < speeds.map_bytes < 9
    assert 0.01 < speeds.source_bytes < 3
    assert speeds.engine == "PyTorch on cpu, fp32"


def test_the_sample_is_what_it_says(tmp_path: Path) -> None:
    import rasterio

    draw_raster(tmp_path / "town.tif", 1500, 0.3)
    with rasterio.open(tmp_path / "town.tif") as file:
        assert (file.shape, file.count, file.res) == ((1500, 1500), 3, (0.3, 0.3))
        assert file.read(1)[1400, 1400] > 0


def test_hours_are_described_without_the_geo_extra() -> None:
    code = "import sys; import sat2map.plan; sys.exit('rasterio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Tests of the plan of a large job: its arithmetic by hand, and that a measurement is one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sat2map.errors import SettingsError
from sat2map.inference import Translator
from sat2map.inference.backends.torch import TorchEngine
from sat2map.inference.speeds import Speeds, measure, pick_machine
from sat2map.inference.tiling import Grid
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import ModelHeader
from sat2map.plan import JobPlan, describe_plan, plan_job

GRID = Grid(512, 384)
# In pixels a second; half a byte a pixel of source.
SPEEDS = Speeds(40e6, 2e6, 40e6, 0.5, 0.25, "an engine", 2)


def a_plan(**values: float) -> JobPlan:
    given = {"area_km2": 100, "ground_sample_distance": 0.5, **values}
    return plan_job(speeds=SPEEDS, grid=GRID, **given)  # type: ignore[arg-type]


def test_a_city_by_hand() -> None:
    job = a_plan()
    assert job.pixels == 400e6  # 100 km² = 1e8 m², four pixels each
    again = (1 + 512 / 8192) ** 2  # the windows' outer tiles
    assert job.tiles == math.ceil(400e6 * again / 384**2)
    assert job.windows == math.ceil(400e6 / 8192**2)
    assert job.source_bytes == 200e6
    assert job.map_bytes == 100e6
    # 10 s to decode, 200 s in the network and 10 s to write on the same cores; 16 s to fetch meanwhile.
    assert job.hours == pytest.approx((20 + 200 * again) / 3600)
    assert [stage.name for stage in job.stages][:2] == ["inference", "fetch"]


def test_the_network_sees_the_pixels_of_the_models_resolution() -> None:
    fine, own = a_plan(model_gsd=2.0), a_plan()
    again = (1 + 512 / (8192 / 4)) ** 2  # 8,192 px of the source are 2,048 px for the model
    assert fine.pixels == own.pixels == 400e6
    assert fine.tiles == math.ceil(400e6 / 16 * again / 384**2)
    assert fine.hours == pytest.approx((20 + 200 / 16 * again) / 3600)


def test_a_source_far_coarser_than_the_model_runs_as_it_is() -> None:
    coarse = a_plan(ground_sample_distance=10.0, model_gsd=2.0)
    assert coarse.tiles == a_plan(ground_sample_distance=10.0).tiles


def test_a_slow_line_says_how_long_it_takes() -> None:
    job = a_plan(link_mbit=1.0)  # 125 kB/s, 250,000 px/s
    assert job.stages[0].name == "fetch"
    assert job.hours == pytest.approx(1600 / 3600)


def test_a_gpu_works_beside_the_cores() -> None:
    job = plan_job(100, 0.5, replace(SPEEDS, on_gpu=True, inference=80e6), GRID)
    assert job.hours == pytest.approx(20 / 3600)  # 10 s to decode and 10 s to write; 5 s in the network


def test_machines_share_the_hours_and_not_the_price() -> None:
    one, ten = a_plan(price_hour=3.0), a_plan(price_hour=3.0, machines=10)
    assert ten.hours == pytest.approx(one.hours / 10)
    assert ten.machine_hours == pytest.approx(one.machine_hours)
    assert one.price == pytest.approx(3 * one.hours)
    assert ten.price == pytest.approx(one.price)


def test_half_the_pixel_size_is_four_times_the_work() -> None:
    assert a_plan(ground_sample_distance=0.25).hours == pytest.approx(4 * a_plan().hours)


def test_memory_does_not_grow_with_the_area() -> None:
    assert a_plan(area_km2=1e8).memory_bytes == a_plan(area_km2=1e5).memory_bytes


def test_another_machine_is_this_one_in_proportion_to_its_cores() -> None:
    machine = pick_machine("16-cores", SPEEDS)
    assert (machine.decode, machine.inference, machine.write) == (320e6, 16e6, 320e6)
    assert pick_machine("this", SPEEDS) == SPEEDS
    with pytest.raises(SettingsError, match="no machine is called '16-core', did you mean '16-cores'"):
        pick_machine("16-core", SPEEDS)


@pytest.mark.parametrize("values", [{"area_km2": 0}, {"ground_sample_distance": -1}, {"machines": 0}])
def test_numbers_that_are_none_are_told(values: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="it must be more than 0"):
        a_plan(**values)


def test_the_words_name_bottleneck_time_and_storage() -> None:
    text = describe_plan(replace(a_plan(area_km2=357_000), price=12.0), machines=4)
    assert "1,428,000 million px" in text
    assert "bottleneck:  inference; next fetch, 14.1 times faster" in text
    assert "714 GB of source" in text
    assert "12.00" in text


@pytest.mark.parametrize("bands", [(3, 3), (1, 1)])
def test_this_machine_is_measured(bands: tuple[int, int]) -> None:
    spec = GeneratorSpec(width=4, depth=3, source_bands=bands[0], target_bands=bands[1])
    header = ModelHeader(generator=spec, max_untiled_size=64)
    translator = Translator(TorchEngine(build_generator(spec).eval(), header, torch.device("cpu")))
    speeds = measure(translator, seconds=0.01)
    assert min(speeds.decode, speeds.inference, speeds.write) > 1000
    assert 0 < speeds.map_bytes < 3
    assert 0.01 < speeds.source_bytes < 3
    assert speeds.engine == "PyTorch on cpu, fp32"

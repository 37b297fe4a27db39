"""Tests of the package benchmarks and of its scripts: that they run and count right, never how fast."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.clock import Clock
from benchmarks.inference import gmac
from benchmarks.timing import interleave

from benchmarks import Bench, Row, baseline, gpu, run_bench
from sat2map.errors import SettingsError
from sat2map.models.architectures.generators import build_generator, count_parameters
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.discriminator import PatchGAN
from sat2map.models.model_file import ModelHeader
from sat2map.synthetic.towns import write_towns

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench-towns")
    write_towns(folder, count=6, size=64, val_fraction=0.34, gsd=2.1)
    return folder


def test_rounds_interleave_in_changing_order() -> None:
    called: list[str] = []
    seconds = interleave({name: partial(called.append, name) for name in "abc"}, rounds=8, warm_up=1, pause=0)
    assert called[:3] == ["a", "b", "c"]
    rounds = ["".join(called[i : i + 6]) for i in range(3, len(called), 6)]
    assert len(rounds) == 8
    assert {"".join(sorted(order)) for order in rounds} == {"aabbcc"}
    assert all(order[0] == order[1] and order[2] == order[3] for order in rounds)
    assert len({order[order.index("a") - 1] for order in rounds if order[0] != "a"}) == 2  # a's neighbours
    assert {name: len(times) for name, times in seconds.items()} == {"a": 8, "b": 8, "c": 8}


def test_the_papers_network_takes_6_05_gmac() -> None:
    # By hand: encoder layer i has (256/2^i)^2 outputs of 16 inputs each; the decoder mirrors it, with skips.
    c = [3, 64, 128, 256, 512, 512, 512, 512, 512]
    down = sum(16 * c[i - 1] * c[i] * (256 >> i) ** 2 for i in range(1, 9))
    up = sum(16 * c[i] * (1 if i == 8 else 2) * (c[i - 1]) * (256 >> i) ** 2 for i in range(1, 9))
    header = ModelHeader(generator=GeneratorSpec())
    assert gmac(header, 256) == pytest.approx((down + up) / 1e9, rel=1e-6)
    assert gmac(header, 256) == pytest.approx(6.05, abs=0.005)


def test_a_quick_bench_fills_all_tables() -> None:
    bench = run_bench(quick=True, threads=1, minutes=60)
    groups = [row.group for row in bench.rows]
    starts = (
        "Matrix",
        "Inference",
        "Training step",
        "Training, whole",
        "Training of",
        "A folder",
        "Start",
        "Peak",
    )
    for start in (*starts, "A raster", "Vectors of", "Peak memory of a raster"):
        assert any(group.startswith(start) for group in groups), start
    raced = [row for row in bench.rows if row.group.startswith("Inference")]
    assert raced[0].ratio is None
    assert all(row.ratio and row.share and row.gmac for row in raced[1:])
    assert all(row.low <= row.value <= row.high for row in bench.rows)
    assert Bench.model_validate_json(bench.to_json()) == bench
    text = bench.to_markdown()
    assert text.count("\n### ") == len(set(groups)) + ("### Targets" in text)
    assert "| U-Net-256: PyTorch eager, fp32 |" in text


def test_a_row_holds_median_and_spread() -> None:
    row = Row.of("group", "name", [3.0, 1.0, 10.0], "ms")
    assert (row.value, row.low, row.high) == (3.0, 1.0, 10.0)


@pytest.mark.parametrize(
    ("value", "limit", "at_least", "verdict"),
    [
        (0.9, 1.0, False, "met"),
        (1.1, 1.0, False, "short"),
        (4.0, 3.75, True, "met"),
        (3.0, 3.75, True, "short"),
    ],
)
def test_a_row_with_a_limit_is_met_or_short(value: float, limit: float, at_least: bool, verdict: str) -> None:
    row = Row.of("group", "name", [value], "x", limit=limit, at_least=at_least)
    assert row.verdict == verdict
    assert Row.of("group", "name", [value], "x").verdict == ""
    machine = {"processor": "Chip (avx2)", "threads": "2 of 2", "date": "2026-11-26"}
    words = "at least" if at_least else "at most"
    line = f"| group: name | {value:.3g} x | {words} {limit:g} x | **{verdict}** |"
    assert Bench(machine=machine, rows=(row,)).targets() == (
        f"| Chip, 2 of 2 threads, 2026-11-26 | measured | target | |\n|---|--:|--:|---|\n{line}\n"
    )


def test_a_stage_that_no_longer_fits_is_left_out_and_said() -> None:
    told: list[str] = []
    clock = Clock(1.0, told.append)
    assert clock.begin("short", needs=1)
    assert not clock.begin("long", needs=600)
    assert told == ["[   0 s] short", "[   0 s] long: left out, no time is left"]
    assert clock.skipped[0].startswith("long: ")


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(SettingsError, match="no group of the bench is called 'speed'"):
        run_bench(only=("speed",))


# the scripts


def test_the_plain_networks_are_the_papers() -> None:
    assert count_parameters(baseline.Generator()) == count_parameters(build_generator(GeneratorSpec()))
    assert count_parameters(baseline.make_discriminator()) == count_parameters(PatchGAN(6))


def test_the_plain_generator_computes_what_ours_does() -> None:
    torch.manual_seed(0)
    plain, ours = baseline.Generator(4), build_generator(GeneratorSpec(width=4))
    shapes = [value.shape for value in plain.state_dict().values()]
    # Ours keeps the decoder from the outermost layer in.
    down: list[Any] = []
    up: list[Any] = []
    for name, value in ours.state_dict().items():
        (down if name.startswith("down") else up).append((name, value))
    up.sort(key=lambda item: -int(item[0].split(".")[1]))
    names = [name for name, _ in down + up]
    assert [value.shape for _, value in down + up] == shapes
    ours.load_state_dict(dict(zip(names, plain.state_dict().values(), strict=True)))
    x = torch.rand(1, 3, 256, 256) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), plain.eval()(x), atol=1e-5, rtol=0)


def test_the_plain_script_trains_and_tells_its_times(towns: Path) -> None:
    words = [str(towns / "train"), "--steps", "2", "--warm-up", "1", "--width", "4", "--workers", "0"]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "baseline.py"), *words], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert told["images"] == 2
    assert len(told["step_seconds"]) == 2
    assert told["seconds"] >= sum(told["step_seconds"])


def test_the_gpu_script_runs_on_a_cpu_at_a_tiny_scale(
    towns: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "--data",
        str(towns),
        "--output",
        str(tmp_path),
        "--device",
        "cpu",
        "--epochs",
        "1",
        "--batch-size",
        "2",
    ]
    words += ["--width", "4", "--size", "64", "--inference-batch", "2", "--plain-steps", "1"]
    gpu.main(words)
    bench = Bench.model_validate_json((tmp_path / "gpu.json").read_text())
    assert [row.name for row in bench.rows[:3]] == ["plain loop, batch 1, fp32", "sat2map", "sat2map"]
    assert bench.rows[1].ratio is not None
    assert {"mean_iou", "l1"} <= {row.name for row in bench.rows}
    assert (tmp_path / "gpu.md").read_text() in capsys.readouterr().out

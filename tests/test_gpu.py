"""Tests that need a CUDA GPU: it draws what a CPU draws, trains, resumes, and its files open anywhere."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from rich.console import Console  # noqa: E402

from sat2map.inference import Translator  # noqa: E402
from sat2map.models.bundled import bundled_model  # noqa: E402
from sat2map.run_folder import read_metrics  # noqa: E402
from sat2map.settings import TrainSettings, load_settings  # noqa: E402
from sat2map.synthetic.towns import draw_town, write_towns  # noqa: E402
from sat2map.training.loop import resume, train  # noqa: E402

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU"),
]


def settings(folder: Path, run: str, *, device: str = DEVICE, **values: object) -> TrainSettings:
    """Return those of a training of a few steps on drawn towns."""
    data = folder / "towns"
    if not data.exists():
        write_towns(data, count=8, size=128, val_fraction=0.25, gsd=0.9)
    return load_settings("tiny", data=data, run=folder / run, device=device, **values)


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def test_the_bundled_model_draws_on_a_gpu_what_it_draws_on_a_cpu() -> None:
    photo = draw_town(3, size=300).source
    maps = [
        Translator.open(bundled_model(), engine="torch", device=device)(photo) for device in (DEVICE, "cpu")
    ]
    assert (maps[0] == maps[1]).all(axis=-1).mean() >= 0.99


def test_a_model_trained_on_a_gpu_translates_on_a_cpu(tmp_path: Path) -> None:
    result = train(settings(tmp_path, "run", epochs=2), console=quiet())
    photo = draw_town(3, size=128).source
    assert Translator.open(result.best, device="cpu")(photo).shape == photo.shape


def test_the_losses_of_an_epoch_are_those_of_a_cpu(tmp_path: Path) -> None:
    losses = []
    for device in (DEVICE, "cpu"):
        train(settings(tmp_path, device, device=device, epochs=1, precision="fp32"), console=quiet())
        losses.append([row["g"] for row in read_metrics(tmp_path / device) if "g" in row])
    assert losses[0]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_a_training_on_a_gpu_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    train(settings(tmp_path, "run", epochs=1), console=quiet())
    assert resume(tmp_path / "run", epochs=2, console=quiet()).finished
    assert {row["epoch"] for row in read_metrics(tmp_path / "run") if "epoch" in row} == {1, 2}

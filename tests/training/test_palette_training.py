"""Training of palette generators, and what every recipe gained with it: budgets, patience, locks, losses."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from sat2map.data.pairs import find_pairs
from sat2map.data.read_pair import read_pair
from sat2map.errors import DataError, RunError, SettingsError
from sat2map.evaluation import ScoreSheet
from sat2map.images.palette import Palette
from sat2map.inference import Translator
from sat2map.models.architectures.efficient_unet import pretrained
from sat2map.models.model_file import read_header
from sat2map.run_folder import LOCK, lock_run, read_metrics, read_run_settings
from sat2map.settings import TrainSettings, load_settings
from sat2map.training import validation
from sat2map.training.init import read_init
from sat2map.training.loop import resume, train
from sat2map.training.losses import LOSSES, Loss, LossInputs
from sat2map.training.setup import set_up

Make = Callable[..., TrainSettings]

SMALL: dict[str, Any] = {
    "crop_size": 32, "batch_size": 5, "epochs": 3, "validate_every": 3, "warmup_steps": 0,
    "pretrained": "none", "device": "cpu", "precision": "fp32", "workers": 1,
}  # fmt: skip


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def finished(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training with the preset `default`."""
    run = tmp_path_factory.mktemp("palette") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sat2map.evaluation.report.write_run_report", lambda run: run)
        train(load_settings("default", data=pairs, run=run, gsd=0.9, **SMALL), console=quiet())
    return run


# the palette recipe


def test_the_losses_of_the_recipe_fall(finished: Path) -> None:
    lines = [line for line in read_metrics(finished) if line["kind"] == "train"]
    for name in ("cross_entropy", "iou", "g"):
        assert lines[-1][name] < lines[0][name], name
    assert not {"adversarial", "d"} & lines[0].keys()


def test_the_model_file_says_what_it_was_trained_for(finished: Path) -> None:
    header = read_header(finished / "best.safetensors")
    assert (header.generator.architecture, header.generator.colours) == ("efficient-unet", 14)
    assert (header.image_size, header.source_scale, header.gsd) == (None, None, 0.9)
    assert header.gsd_range == pytest.approx((0.6, 1.4), abs=0.001)
    assert header.licenses == {}
    assert header.settings["network"]["generator"] == "efficient-unet"
    assert "path" not in header.settings["data"]


def test_its_map_has_colours_of_the_palette_alone(finished: Path, pairs: Path) -> None:
    source, _ = read_pair(find_pairs(pairs)["val"][0])
    drawn = Translator.open(finished / "best.safetensors", device="cpu")(source)
    colours = {tuple(colour) for colour in Palette.load("maps").colours.tolist()}
    assert {tuple(pixel) for pixel in drawn.reshape(-1, 3).tolist()} <= colours


def test_what_was_auto_is_recorded_in_the_run(finished: Path) -> None:
    network = read_run_settings(finished).network
    assert (network.generator, network.pretrained) == ("efficient-unet", "none")


def test_the_pretrained_encoder_is_the_start_and_its_licence_is_kept(pairs: Path, tmp_path: Path) -> None:
    if not pretrained.is_installed():
        pytest.skip("needs the extra 'encoder'")
    wanted = load_settings("default", data=pairs, run=tmp_path / "run", **{**SMALL, "pretrained": "auto"})
    setup = set_up(wanted)
    assert setup.settings.network.pretrained == "efficientnet-lite0"
    assert "Apache" in setup.header.licenses["encoder"]
    expected = pretrained.read_encoder_weights()
    for network in (setup.networks.generator, setup.networks.average):
        assert network is not None
        state = network.state_dict()
        assert all(bool((state[f"encoder.{name}"] == weight).all()) for name, weight in expected.items())


def test_pixels_that_are_transparent_do_not_count_in_validation(pairs: Path, tmp_path: Path) -> None:
    data, cut = tmp_path / "data", (0, 0, 36, 18)  # the upper half
    shutil.copytree(pairs, data)
    for path in (data / "val").iterdir():
        with Image.open(path) as image:
            holed = image.convert("RGBA")
        holed.paste((0, 0, 0, 0), cut)
        holed.save(path)
    setup = set_up(load_settings("default", data=data, run=tmp_path / "run", **SMALL))
    height = setup.val.pixels.shape[1]
    for i in range(len(setup.val)):
        ignored = setup.val.ignored(i)
        assert ignored is not None
        assert ignored[: height // 2].all()
        assert not ignored[height // 2 :].any()
    assert 0 <= validation.validate(setup, 0).scores["mean_iou"] < 1


def test_without_the_package_training_starts_from_random_weights_and_says_so(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    wanted = load_settings("default", data=pairs, run=tmp_path / "run", **{**SMALL, "pretrained": "auto"})
    setup = set_up(wanted)
    assert setup.settings.network.pretrained == "none"
    assert any("no pretrained encoder is installed" in note for note in setup.notes)


def test_pairs_without_a_palette_get_the_rgb_network_with_a_note(pairs: Path, tmp_path: Path) -> None:
    wanted = load_settings(
        "default", data=pairs, run=tmp_path / "run", palette="none", image_size=32, load_size=32,
        crop_size=32, depth=3, width=4, device="cpu", workers=1,
    )  # fmt: skip
    setup = set_up(wanted)
    assert (setup.header.generator.architecture, setup.header.generator.colours) == ("unet", 0)
    assert any("no palette" in note for note in setup.notes)


def test_a_palette_generator_without_a_palette_is_refused(pairs: Path, tmp_path: Path) -> None:
    wanted = load_settings("default", data=pairs, generator="efficient-unet", palette="none", **SMALL)
    with pytest.raises(SettingsError, match="the target has none: leave the generator at auto"):
        set_up(wanted)


def test_targets_that_are_no_maps_of_the_palette_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        (tmp_path / "data" / split).mkdir(parents=True)
        for i in range(2):
            noise = rng.integers(0, 110, (64, 128, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "data" / split / f"{i}.png")
    with pytest.raises(SettingsError, match="of the target pixels have a colour of palette 'maps'"):
        set_up(load_settings("default", data=tmp_path / "data", run=tmp_path / "run", **SMALL))


def test_the_crop_fits_small_images_with_a_note(pairs: Path, tmp_path: Path) -> None:
    setup = set_up(load_settings("default", data=pairs, run=tmp_path / "run", **{**SMALL, "crop_size": 256}))
    assert setup.settings.data.crop_size == 32  # the pairs have 36 px
    assert any("crops of 32 px are used, not of 256" in note for note in setup.notes)


def test_images_smaller_than_any_crop_are_refused(tmp_path: Path) -> None:
    from sat2map.synthetic.towns import write_towns

    write_towns(tmp_path / "data", count=3, size=24, val_fraction=0.4, gsd=2.1)
    with pytest.raises(DataError, match="training needs 32 px or more"):
        set_up(load_settings("default", data=tmp_path / "data", run=tmp_path / "run", **SMALL))


def test_accumulation_in_several_processes_is_refused(settings: Make) -> None:
    from sat2map.training.distributed import DistributedContext

    with pytest.raises(SettingsError, match="accumulate is for a single process"):
        set_up(settings(accumulate=2), context=DistributedContext(0, 2))


def test_a_palette_model_can_be_fine_tuned(finished: Path, pairs: Path, tmp_path: Path) -> None:
    init = read_init(finished / "best.safetensors")
    setup = set_up(load_settings("default", data=pairs, run=tmp_path / "run", **SMALL), init)
    for name, weight in setup.networks.generator.state_dict().items():
        assert init.weights is not None
        assert bool((weight == init.weights[name]).all()), name


# a new loss is one record


def test_a_new_loss_takes_part_in_training(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def brightness(inputs: LossInputs) -> Any:
        return (inputs.fake.float().mean() - 0.5).square()

    monkeypatch.setitem(LOSSES, "toy", Loss("toy", brightness))
    result = train(settings(epochs=1, extra={"toy": 3.0}), console=quiet())
    lines = [line for line in read_metrics(result.run) if line["kind"] == "train"]
    expected = lines[0]["adversarial"] + 100 * lines[0]["l1"] + 3 * lines[0]["toy"]
    assert lines[0]["g"] == pytest.approx(expected, rel=1e-5)


def test_a_weight_of_an_unknown_loss_is_refused(settings: Make) -> None:
    with pytest.raises(SettingsError, match=r"no loss is called 'l11': did you mean 'l1'\?"):
        train(settings(extra={"l11": 1.0}), console=quiet())


def test_a_training_without_any_loss_is_refused(settings: Make) -> None:
    with pytest.raises(SettingsError, match="no loss is left to train with"):
        train(settings(l1_weight=0, adversarial_weight=0), console=quiet())


# how long


def test_a_time_budget_ends_a_training(settings: Make) -> None:
    console = quiet()
    result = train(settings(epochs=10**6, minutes=1e-4), console=console)
    assert result.finished
    assert result.best.exists()
    assert "minutes are over" in text_of(console)
    assert resume(result.run, console=quiet()).finished  # and it stays ended


def test_patience_ends_a_training_whose_score_no_longer_rises(
    settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.1])
    monkeypatch.setattr(ScoreSheet, "scores", lambda self: {"mean_iou": next(scores), "l1": 1.0})
    result = train(settings(epochs=6, patience=2), console=quiet())
    epochs = [line["epoch"] for line in read_metrics(result.run) if line["kind"] == "validation"]
    assert epochs == [1, 2, 3, 4]
    assert result.finished
    assert read_header(result.best).scores["mean_iou"] == 0.5


def test_a_finished_run_is_trained_for_more_epochs(settings: Make) -> None:
    result = train(settings(epochs=1), console=quiet())
    assert resume(result.run, epochs=3, console=quiet()).finished
    assert read_metrics(result.run)[-1]["step"] == 15
    assert read_run_settings(result.run).schedule.epochs == 3


def test_the_latest_models_are_kept(settings: Make) -> None:
    result = train(settings(epochs=4, keep_last=2), console=quiet())
    kept = sorted(path.name for path in (result.run / "kept").iterdir())
    assert kept == ["step-0000015.safetensors", "step-0000020.safetensors"]
    assert read_header(result.run / "kept" / kept[0]).steps == 15


# two trainings in one folder


def test_a_second_training_in_the_same_folder_is_refused_at_once(settings: Make) -> None:
    wanted = settings()
    with lock_run(wanted.output.run):
        with pytest.raises(RunError, match="another process is training into"):
            train(wanted, console=quiet())
        with pytest.raises(RunError, match="another process is training into"), lock_run(wanted.output.run):
            pass
    train(settings(epochs=1), console=quiet())  # it is free again


def test_what_a_killed_training_was_writing_is_gone_when_the_run_is_locked_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    killed = (
        "import os, pathlib\nfrom sat2map.files import atomic_path\nfrom sat2map.run_folder import lock_run\n"
        f"run = pathlib.Path({str(run)!r})\n"
        "with lock_run(run):\n"
        "    for name in ('checkpoint.safetensors', 'kept/step-1.safetensors', 'samples/1.png'):\n"
        "        with atomic_path(run / name) as path:\n"
        "            path.write_bytes(b'half')\n"
        "            if name.startswith('samples'):\n"
        "                os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == 9
    assert len(list((run / "samples").iterdir())) == 1
    with lock_run(run):
        assert not list((run / "samples").iterdir())
    assert sorted(path.name for path in run.rglob("*") if path.is_file()) == [
        "checkpoint.safetensors",
        "step-1.safetensors",
    ]


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    run = tmp_path / "run"
    code = (
        "import os, pathlib\nfrom sat2map.run_folder import lock_run\n"
        f"with lock_run(pathlib.Path({str(run)!r})):\n    os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert (run / LOCK).exists()
    with lock_run(run):
        pass
    assert not (run / LOCK).exists()


def test_a_lock_leaves_no_folder_behind_where_nothing_was_written(tmp_path: Path) -> None:
    with lock_run(tmp_path / "run"):
        assert (tmp_path / "run").exists()
    assert not (tmp_path / "run").exists()

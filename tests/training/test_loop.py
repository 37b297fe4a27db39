"""Tests of sat2map.training.loop: what a training does to its run folder and to its networks."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from sat2map.data.cache import open_pairs
from sat2map.data.pair_cache import PairFormat
from sat2map.data.pairs import find_pairs
from sat2map.data.read_pair import read_pair
from sat2map.errors import DataError, OutOfMemoryError, RunError, SettingsError, TrainingError
from sat2map.evaluation import ScoreSheet
from sat2map.evaluation.metrics.similarity import l1
from sat2map.images.pixels import tensor_from_unit
from sat2map.inference import Translator
from sat2map.inference.scale import size_at_model_scale
from sat2map.models.model_file import read_header, read_weights
from sat2map.run_folder import read_metrics, read_run_settings
from sat2map.settings import TrainSettings, load_settings
from sat2map.synthetic.towns import write_towns
from sat2map.training import epochs, loop, setup
from sat2map.training import estimate as estimates
from sat2map.training.batches import Batches
from sat2map.training.checkpoint import save_checkpoint
from sat2map.training.loop import resume, train
from sat2map.training.samples import GAP, HEADER, draw_batch

Make = Callable[..., TrainSettings]
LOSSES = {"d_real", "d_fake", "d", "adversarial", "l1", "g"}


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def hashes(run: Path) -> dict[str, str]:
    """Content of all files but TensorBoard's, which are written in the background, and the lock."""
    skipped = {"tensorboard", ".lock"}
    files = sorted(path for path in run.rglob("*") if path.is_file() and not skipped & set(path.parts))
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def finished(pairs: Path, tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished training of four epochs of five steps, with a validation every other epoch."""
    run = tmp_path_factory.mktemp("finished") / "run"
    values = {**tiny, "validate_every": 2, "gsd": 2.1}
    train(load_settings("rgb", data=pairs, run=run, **values), console=quiet())
    return run


def test_two_pairs_are_learnt_by_heart(settings: Make, tmp_path: Path) -> None:
    data = tmp_path / "two"
    write_towns(data, count=2, size=32, val_fraction=0, seed=7, gsd=2.1)
    shutil.copytree(data / "train", data / "val")
    plain: dict[str, Any] = {
        "augment": "none",
        "color_jitter": 0,
        "dropout": 0,
        "l1_balance": 0,
        "load_size": 32,
    }
    long: dict[str, Any] = {
        "width": 8,
        "learning_rate": 5e-3,
        "epochs": 200,
        "validate_every": 200,
        "ema": 0.9,
    }
    result = train(settings(data=data, **plain, **long), console=quiet())
    told = [line["l1"] for line in read_metrics(result.run) if line["kind"] == "train"]
    assert told[-1] < 0.1 * told[0]
    translator = Translator.open(result.last, device="cpu")
    for pair in find_pairs(data)["train"]:
        source, target = read_pair(pair)
        constant = np.broadcast_to(np.median(target, axis=(0, 1)).astype(np.uint8), target.shape)
        assert l1(translator(source), target) < 0.6 * l1(constant, target)


def test_a_run_folder_holds_all_that_the_architecture_page_names(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names >= {
        "settings.json",
        "metrics.jsonl",
        "samples",
        "latest.png",
        "checkpoint.safetensors",
        "best.safetensors",
        "last.safetensors",
        "report.html",
        "batch.png",
        "curves.png",
        "confusion.csv",
        "confusion.png",
    }


def test_photos_like_those_trained_on_come_back_at_the_scale_of_the_training(finished: Path) -> None:
    header = read_header(finished / "best.safetensors")
    assert size_at_model_scale(header, (36, 36)) == (32, 32)  # pairs of 36 px, resized to 32 px
    photo = np.zeros((72, 54, 3), np.uint8)
    assert Translator.open(finished / "best.safetensors", device="cpu")(photo).shape == photo.shape


def test_the_confusion_counts_every_pixel_of_the_validation_maps(finished: Path) -> None:
    head, *rows = (finished / "confusion.csv").read_text().splitlines()
    assert head == "real map,land,building,road,park,water,highway"
    assert sum(int(count) for row in rows for count in row.split(",")[1:]) == 3 * 32 * 32


def test_the_batch_shows_the_crops_of_the_first_step(settings: Make) -> None:
    made = setup.set_up(settings())
    grid = draw_batch(made.batches(0), made.tensors)
    first = tensor_from_unit(made.batches(0).source[0]).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(grid[HEADER : HEADER + 32, GAP : GAP + 32], first)


def test_no_half_written_file_is_left_behind(finished: Path) -> None:
    assert [path.name for path in finished.rglob(".*")] == []


def test_the_settings_are_kept_to_be_read_again(finished: Path) -> None:
    kept = json.loads((finished / "settings.json").read_text())
    assert kept["network"]["width"] == 4
    assert set(kept) == set(TrainSettings.model_fields)


def test_every_line_of_training_has_all_six_losses(finished: Path) -> None:
    lines = [line for line in read_metrics(finished) if line["kind"] == "train"]
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert all(line.keys() >= LOSSES | {"learning_rate", "images_per_second", "epoch"} for line in lines)


def test_the_six_losses_fit_together(finished: Path) -> None:
    kept = json.loads((finished / "settings.json").read_text())
    for line in read_metrics(finished):
        if line["kind"] == "train":
            assert line["d"] == pytest.approx((line["d_real"] + line["d_fake"]) / 2, rel=1e-5)
            assert line["g"] == pytest.approx(
                line["adversarial"] + kept["loss"]["l1_weight"] * line["l1"], rel=1e-5
            )


def test_the_map_is_scored_every_so_many_epochs(finished: Path) -> None:
    lines = [line for line in read_metrics(finished) if line["kind"] == "validation"]
    assert [(line["epoch"], line["step"]) for line in lines] == [(2, 10), (4, 20)]
    assert all(line.keys() >= {"l1", "psnr", "ssim", "mean_iou"} for line in lines)


def test_samples_show_source_fake_and_target_of_the_validation_pairs(finished: Path, pairs: Path) -> None:
    with Image.open(finished / "samples" / "step-0000020.png") as image:
        grid = np.asarray(image)
    val = open_pairs(find_pairs(pairs)["val"], PairFormat(32))
    assert any(np.array_equal(grid[26:58, 6:38], source) for source in val.sources)
    assert any(np.array_equal(grid[26:58, 82:114], target) for target in val.targets)


def test_latest_png_is_the_last_sample(finished: Path) -> None:
    assert sorted(path.name for path in (finished / "samples").iterdir()) == [
        "step-0000010.png",
        "step-0000020.png",
    ]
    assert (finished / "latest.png").read_bytes() == (finished / "samples/step-0000020.png").read_bytes()


@pytest.mark.parametrize("name", ["best.safetensors", "last.safetensors"])
def test_a_kept_model_opens_and_translates(finished: Path, name: str) -> None:
    fake = Translator.open(finished / name, device="cpu")(np.zeros((40, 50, 3), np.uint8))
    assert fake.shape == (40, 50, 3)


def test_a_kept_model_says_what_it_is(finished: Path) -> None:
    header = read_header(finished / "last.safetensors")
    assert (header.steps, header.image_size, header.direction) == (20, 32, "source-to-target")
    assert header.inference_mode == "eval"
    assert header.gsd == 2.1
    assert header.palette is not None
    assert header.palette.name == "maps"
    assert "run" not in header.settings


def test_the_scores_of_a_kept_model_are_those_of_its_validation(finished: Path) -> None:
    header = read_header(finished / "last.safetensors")
    (line,) = (line for line in read_metrics(finished) if line["kind"] == "validation" and line["step"] == 20)
    assert header.scores == {name: line[name] for name in header.scores}


def test_the_scores_of_a_kept_model_are_those_that_its_user_will_see(finished: Path, pairs: Path) -> None:
    from sat2map.inference.backends import EngineOptions
    from sat2map.inference.backends.torch.engine import TorchEngine

    translator = Translator(TorchEngine.open(finished / "last.safetensors", EngineOptions(device="cpu")))
    val = open_pairs(find_pairs(pairs)["val"], PairFormat(32))
    mean = np.mean([l1(translator(np.array(s)), t) for s, t in zip(val.sources, val.targets, strict=True)])
    assert mean == pytest.approx(translator.header.scores["l1"], rel=1e-4)


def test_the_best_model_is_the_one_with_the_best_mean_iou(finished: Path) -> None:
    lines = [line for line in read_metrics(finished) if line["kind"] == "validation"]
    best = max(lines, key=lambda line: line["mean_iou"])
    assert read_header(finished / "best.safetensors").steps == best["step"]


@pytest.mark.parametrize("merit", ["mean_iou", "l1"])
def test_the_best_model_is_kept_when_a_later_one_is_worse(
    settings: Make, monkeypatch: pytest.MonkeyPatch, merit: str
) -> None:
    # Without a palette there are no classes, and L1 decides, of which less is better.
    found: Iterator[dict[str, float]] = iter([{"l1": 3.0}, {"l1": 1.0}, {"l1": 2.0}])
    if merit == "mean_iou":
        found = iter([{"l1": 1, "mean_iou": 0.1}, {"l1": 3, "mean_iou": 0.3}, {"l1": 2, "mean_iou": 0.2}])
    monkeypatch.setattr(ScoreSheet, "scores", lambda self: next(found))
    palette = "none" if merit == "l1" else "maps"
    result = train(settings(epochs=3, palette=palette, l1_balance=0), console=quiet())
    assert read_header(result.best).steps == 10
    assert read_header(result.last).steps == 15


def test_without_a_palette_no_classes_are_scored(settings: Make) -> None:
    result = train(settings(epochs=1, palette="none", l1_balance=0), console=quiet())
    header = read_header(result.best)
    assert header.palette is None
    assert "l1" in header.scores
    assert "mean_iou" not in header.scores


def test_training_sees_the_training_pairs_alone(
    settings: Make, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    original = Batches.__call__

    def spy(self: Batches, step: int) -> Any:
        batch = original(self, step)
        assert isinstance(batch.target, torch.Tensor)
        seen.append(batch.target)
        return batch

    monkeypatch.setattr(Batches, "__call__", spy)
    train(settings(load_size=32, augment="none", color_jitter=0, epochs=2), console=quiet())
    targets = ((torch.cat(seen) + 1) * 127.5).round().permute(0, 2, 3, 1).numpy().astype(np.uint8)
    train_targets = {
        t.tobytes() for t in np.array(open_pairs(find_pairs(pairs)["train"], PairFormat(32)).targets)
    }
    assert {t.tobytes() for t in targets} == train_targets


def test_validation_sees_the_validation_pairs_as_they_are(
    settings: Make, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    original = Translator.__call__

    def spy(self: Translator, source: Any, *rest: Any) -> Any:
        seen.append(source.tobytes())
        return original(self, source, *rest)

    monkeypatch.setattr(Translator, "__call__", spy)
    train(settings(augment="symmetries", epochs=2), console=quiet())
    val = [
        source.tobytes() for source in np.array(open_pairs(find_pairs(pairs)["val"], PairFormat(32)).sources)
    ]
    assert seen == val + val


def cat(tensors: list[Any]) -> torch.Tensor:
    return torch.cat(tensors)


def test_an_epoch_shows_every_pair_once(settings: Make) -> None:
    ready = setup.set_up(settings(load_size=32, augment="none", color_jitter=0))
    targets = cat([ready.batches(step).target for step in range(5)])
    assert len({target.numpy().tobytes() for target in targets}) == len(ready.train) == 10


def test_epochs_differ_in_their_order(settings: Make) -> None:
    ready = setup.set_up(settings(load_size=32, augment="none", color_jitter=0))
    first, second = (cat([ready.batches(step).target for step in range(i, i + 5)]) for i in (0, 5))
    assert not torch.equal(first, second)


def test_target_to_source_trains_the_other_way_round(settings: Make, pairs: Path) -> None:
    ready = setup.set_up(settings(direction="target-to-source", load_size=32, augment="none", color_jitter=0))
    pair = find_pairs(pairs)["train"]
    maps = {target.tobytes() for target in np.array(open_pairs(pair, PairFormat(32)).targets)}
    source = ((ready.batches(0).source + 1) * 127.5).round().permute(0, 2, 3, 1).numpy().astype(np.uint8)
    assert {picture.tobytes() for picture in source} <= maps


def test_target_to_source_is_noted_in_the_model_file(settings: Make) -> None:
    result = train(settings(direction="target-to-source", epochs=1), console=quiet())
    assert read_header(result.last).direction == "target-to-source"


def test_target_to_source_swaps_the_bands(settings: Make, tmp_path: Path, pairs: Path) -> None:
    grey = tmp_path / "grey"
    for split in ("train", "val"):
        for path in (pairs / split).iterdir():
            with Image.open(path) as both:
                middle = both.width // 2
                for side, box in (
                    ("source", (0, 0, middle, both.height)),
                    ("target", (middle, 0, *both.size)),
                ):
                    picture = both.crop(box).convert("L" if side == "source" else "RGB")
                    (grey / split / side).mkdir(parents=True, exist_ok=True)
                    picture.save(grey / split / side / path.name)
    result = train(
        settings(
            data=grey, source_bands=1, direction="target-to-source", palette="none", l1_balance=0, epochs=1
        ),
        console=quiet(),
    )
    spec = read_header(result.last).generator
    assert (spec.source_bands, spec.target_bands) == (3, 1)


def test_a_palette_that_the_targets_bands_cannot_have_is_refused(settings: Make) -> None:
    with pytest.raises(SettingsError, match="palette 'maps' needs 3 target bands, not 1"):
        train(settings(target_bands=1), console=quiet())


def test_groups_are_never_cut_apart(settings: Make, tmp_path: Path, pairs: Path) -> None:
    files = sorted((pairs / "train").iterdir())
    rows = [f"{path},town {i // 3}" for i, path in enumerate(files)]
    (tmp_path / "pairs.csv").write_text("\n".join(["file,town", *rows]))
    ready = setup.set_up(settings(data=tmp_path / "pairs.csv", group_column="town", val_fraction=0.3))
    assert len(ready.train) + len(ready.val) == len(files)
    assert set(ready.train.groups).isdisjoint(ready.val.groups)


def test_the_same_seed_gives_the_same_weights(settings: Make, tmp_path: Path) -> None:
    first, second = (
        train(settings(run=tmp_path / name, epochs=1), console=quiet()).last for name in ("first", "second")
    )
    assert all(torch.equal(a, read_weights(second)[name]) for name, a in read_weights(first).items())


def test_another_seed_gives_other_weights(settings: Make, tmp_path: Path) -> None:
    first, second = (
        train(settings(run=tmp_path / str(seed), seed=seed, epochs=1), console=quiet()).last
        for seed in (0, 1)
    )
    assert not all(torch.equal(a, read_weights(second)[name]) for name, a in read_weights(first).items())


def test_the_bottleneck_of_one_pixel_is_served_in_pieces_of_the_size_it_has_seen(settings: Make) -> None:
    assert setup.set_up(settings(depth=5, image_size=64)).header.max_untiled_size == 32
    assert setup.set_up(settings(depth=4, image_size=64)).header.max_untiled_size == 1024


def poison(monkeypatch: pytest.MonkeyPatch, at: int, what: str) -> None:
    """Let step `at` (from 0) go wrong, as bf16 may after hours."""
    original = setup.Setup.make_step

    def make(self: setup.Setup) -> Any:
        step, networks = original(self), self.networks

        def wrong(batch: Any, number: int) -> Any:
            losses = step(batch, number)
            if number == at and what == "loss":
                losses["l1"] = losses["l1"] * float("nan")
            if number == at and what == "weight":
                with torch.no_grad():
                    next(networks.generator.parameters())[0, 0, 0, 0] = float("inf")
            return losses

        return wrong

    monkeypatch.setattr(setup.Setup, "make_step", make)


@pytest.mark.parametrize("what", ["loss", "weight"])
@pytest.mark.parametrize("at", [6, 9, 12])
def test_nan_stops_the_run_and_keeps_the_last_good_state(
    settings: Make, monkeypatch: pytest.MonkeyPatch, what: str, at: int
) -> None:
    wanted = settings(epochs=4)
    good: dict[str, str] = {}
    original = save_checkpoint

    def save(*args: Any) -> None:
        original(*args)
        good.update(hashes(wanted.output.run))

    for module in (loop, epochs):
        monkeypatch.setattr(module, "save_checkpoint", save)
    poison(monkeypatch, at, what)
    with pytest.raises(TrainingError, match=r"not finite any more near step .* with a lower learning_rate"):
        train(wanted, console=quiet())
    now = hashes(wanted.output.run)
    assert "NaN" not in (wanted.output.run / "metrics.jsonl").read_text()
    del now["metrics.jsonl"]  # it goes on to the last step that was good
    good.pop("metrics.jsonl", None)
    assert now == good


def test_nan_in_the_last_step_of_an_uneven_epoch_is_not_validated(
    settings: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Eleven steps an epoch have a line every second step: the last one is not looked at on its own.
    write_towns(tmp_path / "eleven", count=12, size=32, val_fraction=0.1, gsd=2.1)
    poison(monkeypatch, 10, "loss")
    wanted = settings(data=tmp_path / "eleven", batch_size=1, norm="group", ema=0, load_size=32)
    with pytest.raises(TrainingError, match="not finite"):
        train(wanted, console=quiet())
    assert not (wanted.output.run / "last.safetensors").exists()


def test_an_absurd_learning_rate_is_stopped_in_words(settings: Make) -> None:
    with pytest.raises(TrainingError, match="a lower learning_rate"):
        train(settings(learning_rate=1e30, epochs=20, norm="none", ema=0), console=quiet())


def test_a_folder_that_holds_a_run_is_refused(finished: Path, settings: Make) -> None:
    before = hashes(finished)
    with pytest.raises(RunError, match="already holds a run: resume it"):
        train(settings(run=finished), console=quiet())
    assert hashes(finished) == before


def test_a_folder_that_holds_something_else_is_refused(settings: Make, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("five years of work")
    with pytest.raises(RunError, match="exists and is not empty"):
        train(settings(), console=quiet())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_a_run_folder_that_is_a_file_is_refused(settings: Make, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(RunError, match="is a file: choose a new folder"):
        train(settings(), console=quiet())


def test_a_used_folder_is_refused_before_the_data_are_read(
    finished: Path, settings: Make, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="already holds a run"):
        train(settings(run=finished, data=tmp_path / "nowhere"), console=quiet())


def test_data_that_cannot_be_used_leave_no_run_folder(settings: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        train(settings(data=tmp_path / "nowhere"), console=quiet())
    assert not (tmp_path / "run").exists()


def test_a_stray_file_is_named_before_anything_starts(settings: Make, tmp_path: Path, pairs: Path) -> None:
    for side in ("source", "target"):
        (tmp_path / "data" / side).mkdir(parents=True)
        for path in (pairs / "train").iterdir():
            shutil.copy(path, tmp_path / "data" / side)
    (tmp_path / "data" / "target" / "00003.png").unlink()
    with pytest.raises(DataError, match=r"source/00003\.png has no partner"):
        train(settings(data=tmp_path / "data"), console=quiet())


def test_a_dry_run_estimates_and_leaves_no_run_folder(settings: Make, tmp_path: Path) -> None:
    wanted = settings(epochs=7)
    estimate = estimates.dry_run(wanted)
    ready = setup.set_up(wanted)
    counts = [
        sum(p.numel() for p in network.parameters())
        for network in (ready.networks.generator, ready.networks.discriminator)
    ]
    assert (estimate.pairs, estimate.steps) == ((10, 3), 35)
    assert list(estimate.parameters) == counts
    # fp32 weights, gradients and two moments of both, and the moving average of the generator
    assert estimate.memory_bytes == 4 * (4 * sum(counts) + counts[0])
    assert estimate.step_seconds > 0
    assert not (tmp_path / "run").exists()


def test_a_dry_run_refuses_the_folder_that_the_training_would_refuse(finished: Path, settings: Make) -> None:
    with pytest.raises(RunError, match="already holds a run"):
        estimates.dry_run(settings(run=finished))


def test_a_device_without_memory_is_told_in_words(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(setup.Setup, "make_step", lambda self: full)
    with pytest.raises(OutOfMemoryError, match=r"ran out of memory: lower batch_size \(now 2\)"):
        train(settings(), console=quiet())


def test_resuming_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not the folder of a run: it has no settings\.json"):
        resume(tmp_path, console=quiet())


def test_resuming_a_finished_run_changes_nothing_in_its_models(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    before = hashes(run)
    assert resume(run, console=quiet()).finished
    after = hashes(run)
    for name in ("best.safetensors", "last.safetensors", "metrics.jsonl", "settings.json"):
        assert after[name] == before[name]


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_run_does_not_go_on_with_other_data(
    settings: Make, pairs: Path, tmp_path: Path, split: str
) -> None:
    data = tmp_path / "data"
    shutil.copytree(pairs, data)
    wanted = settings(data=data, epochs=1)
    train(wanted, console=quiet())
    before = hashes(wanted.output.run)
    shutil.copy(data / split / "00000.png", data / split / "00001.png")
    with pytest.raises(
        DataError, match=f"{'training' if split == 'train' else 'validation'} pairs .* changed"
    ):
        resume(wanted.output.run, console=quiet())
    assert hashes(wanted.output.run) == before


def test_a_run_goes_on_with_its_data_where_they_are_now(settings: Make, pairs: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(pairs, old)
    wanted = settings(data=old, epochs=1)
    train(wanted, console=quiet())
    old.rename(new)
    assert resume(wanted.output.run, data=new, epochs=2, console=quiet()).finished
    assert read_run_settings(wanted.output.run).data.path == new
    assert resume(wanted.output.run, console=quiet()).finished  # it remembers


def test_a_run_stays_with_its_data_where_others_are_given(
    settings: Make, pairs: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(pairs, other)
    shutil.copy(other / "train" / "00000.png", other / "train" / "00001.png")
    wanted = settings(epochs=1)
    train(wanted, console=quiet())
    before = hashes(wanted.output.run)
    with pytest.raises(DataError, match=r"training pairs in .*other have changed"):
        resume(wanted.output.run, data=other, console=quiet())
    assert hashes(wanted.output.run) == before


def test_a_run_goes_on_from_another_working_directory(
    settings: Make, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pairs.parent)
    wanted = settings(data=Path(pairs.name), epochs=1)
    train(wanted, console=quiet())
    monkeypatch.chdir(tmp_path)
    assert resume(wanted.output.run, console=quiet()).finished


def test_a_run_stopped_while_it_wrote_its_first_checkpoint_can_be_resumed(settings: Make) -> None:
    wanted = settings(epochs=1)
    train(wanted, console=quiet())
    straight = read_weights(wanted.output.run / "last.safetensors")
    for path in wanted.output.run.iterdir():
        if path.is_file() and path.name != "settings.json":
            path.unlink()
    result = resume(wanted.output.run, console=quiet())
    assert all(torch.equal(straight[name], weight) for name, weight in read_weights(result.last).items())


def test_the_lines_told_have_epoch_losses_speed_and_time_left(settings: Make) -> None:
    console = quiet()
    train(settings(epochs=2), console=console)
    assert isinstance(console.file, io.StringIO)
    told = console.file.getvalue()
    for word in (
        "epoch 2/2",
        "step 10/10",
        "images/s",
        "l1 ",
        "left",
        "validation after epoch 2",
        "(best so far)",
    ):
        assert word in told

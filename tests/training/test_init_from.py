"""Tests of fine-tuning: a training that starts from a model file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor

from sat2map.errors import ModelFileError, RunError, SettingsError
from sat2map.images.palette import Palette
from sat2map.models.architectures.blocks import init_weights
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import ModelHeader, read_header, read_weights, save_model
from sat2map.settings import TrainSettings
from sat2map.training.checkpoint import CHECKPOINT
from sat2map.training.estimate import dry_run
from sat2map.training.init import START, read_init
from sat2map.training.loop import resume, train
from sat2map.training.setup import Setup, set_up

Make = Callable[..., TrainSettings]
CLASSES = len(Palette.load("maps").classes)


def model_of(path: Path, **values: Any) -> Path:
    spec = GeneratorSpec(**{"width": 4, "depth": 3, "dropout": 0, **values})
    torch.manual_seed(1)
    network = build_generator(spec)
    init_weights(network)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.1, 0.2)
    save_model(path, network.state_dict(), ModelHeader(generator=spec))
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return model_of(tmp_path / "old.safetensors")


@pytest.fixture
def grey_pairs(pairs: Path, tmp_path: Path) -> Callable[..., Path]:
    """Make the pairs as two folders, with the sources or the targets in grey."""

    def make(grey: str) -> Path:
        for path in pairs.glob("*/*"):
            with Image.open(path) as image:
                half = image.width // 2
                for side, left in (("source", 0), ("target", half)):
                    part = image.crop((left, 0, left + half, image.height))
                    to = tmp_path / "grey" / path.parent.name / side / f"{path.stem}.png"
                    to.parent.mkdir(parents=True, exist_ok=True)
                    (part.convert("L") if side == grey else part).save(to)
        return tmp_path / "grey"

    return make


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def picture(bands: int) -> Tensor:
    return torch.rand(2, bands, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def drawn(network: torch.nn.Module, source: Tensor) -> Tensor:
    with torch.no_grad():
        out: Tensor = network.eval()(source)
    return out


def old_network(model: Path) -> torch.nn.Module:
    network = build_generator(read_header(model).generator)
    network.load_state_dict(read_weights(model))
    return network


# what the run starts with


def test_a_run_starts_with_the_weights_of_the_file(settings: Make, model: Path) -> None:
    setup = set_up(settings(ema=0.9, palette="none"), read_init(model))
    for network in (setup.networks.generator, setup.networks.average):
        assert network is not None
        for name, weight in network.state_dict().items():
            assert torch.equal(weight, read_weights(model)[name]), name


def test_the_files_network_wins_over_that_of_the_settings(settings: Make, tmp_path: Path) -> None:
    old = model_of(
        tmp_path / "old.safetensors", architecture="global", depth=2, blocks=1, norm="instance", bias="all"
    )
    setup = set_up(settings(width=8, generator="unet", palette="none"), read_init(old))
    assert setup.header.generator == read_header(old).generator.model_copy(update={"dropout": 0.5})
    assert [getattr(setup.settings.network, name) for name in ("generator", "width", "norm")] == [
        "global",
        4,
        "instance",
    ]


def test_the_discriminator_starts_as_without_the_file(settings: Make, model: Path) -> None:
    fresh, tuned = set_up(settings()), set_up(settings(), read_init(model))
    for a, b in zip(
        fresh.networks.discriminator.parameters(), tuned.networks.discriminator.parameters(), strict=True
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize("architecture", ["unet", "resnet9"])
def test_a_grey_picture_draws_what_it_drew_as_rgb(
    settings: Make, grey_pairs: Callable[..., Path], tmp_path: Path, architecture: str
) -> None:
    old = model_of(tmp_path / "old.safetensors", architecture=architecture)
    setup = set_up(settings(data=grey_pairs("source"), source_bands=1, palette="none"), read_init(old))
    grey = picture(1)
    expected = drawn(old_network(old), grey.repeat(1, 3, 1, 1))
    torch.testing.assert_close(drawn(setup.networks.generator, grey), expected, atol=1e-5, rtol=0)


def test_rgb_that_is_grey_draws_what_grey_drew(settings: Make, tmp_path: Path) -> None:
    old = model_of(tmp_path / "old.safetensors", source_bands=1)
    setup = set_up(settings(palette="none"), read_init(old))
    grey = picture(1)
    now = drawn(setup.networks.generator, grey.repeat(1, 3, 1, 1))
    torch.testing.assert_close(now, drawn(old_network(old), grey), atol=1e-5, rtol=0)


def test_of_four_bands_the_first_three_stay(settings: Make, tmp_path: Path) -> None:
    old = model_of(tmp_path / "old.safetensors", source_bands=4)
    setup = set_up(settings(palette="none"), read_init(old))
    rgb = picture(3)
    expected = drawn(old_network(old), torch.cat([rgb, torch.zeros(2, 1, 32, 32)], 1))
    torch.testing.assert_close(drawn(setup.networks.generator, rgb), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("upsample", ["transpose", "resize", "shuffle"])
@pytest.mark.parametrize("architecture", ["unet", "resnet6"])
def test_a_class_head_is_added_and_the_picture_stays(
    settings: Make, tmp_path: Path, upsample: str, architecture: str
) -> None:
    old = model_of(tmp_path / "old.safetensors", upsample=upsample, architecture=architecture)
    setup = set_up(settings(cross_entropy_weight=1.0), read_init(old))
    now = drawn(setup.networks.generator, picture(3))
    assert now.shape[1] == 3 + CLASSES
    torch.testing.assert_close(now[:, :3], drawn(old_network(old), picture(3)), atol=1e-5, rtol=0)


def test_a_class_head_of_as_many_classes_is_kept(settings: Make, tmp_path: Path) -> None:
    old = model_of(tmp_path / "old.safetensors", classes=CLASSES)
    setup = set_up(settings(cross_entropy_weight=1.0), read_init(old))
    expected = drawn(old_network(old), picture(3))
    torch.testing.assert_close(drawn(setup.networks.generator, picture(3)), expected, atol=1e-5, rtol=0)


def test_a_grey_map_from_a_model_of_colour_ones_starts_with_their_mean(
    settings: Make, grey_pairs: Callable[..., Path], tmp_path: Path
) -> None:
    old = model_of(tmp_path / "old.safetensors")
    setup = set_up(settings(data=grey_pairs("target"), target_bands=1, palette="none"), read_init(old))
    before = drawn(old_network(old), picture(3)).double().atanh().mean(1, keepdim=True)
    now = drawn(setup.networks.generator, picture(3)).double().atanh()
    near = before.abs() < 3  # beyond, tanh has too few digits left to be undone
    torch.testing.assert_close(now[near], before[near], atol=1e-2, rtol=0)


# the run


def test_what_was_fitted_is_said_and_noted_in_the_model_file(
    settings: Make, grey_pairs: Callable[..., Path], model: Path
) -> None:
    console = quiet()
    result = train(
        settings(data=grey_pairs("source"), source_bands=1, epochs=1), init_from=model, console=console
    )
    note = "fine-tuned from old.safetensors; its first layer, made for 3 bands, was fitted to 1"
    assert isinstance(console.file, io.StringIO)
    assert note in console.file.getvalue()
    assert read_header(result.best).notes == note


def weights_of(path: Path) -> dict[str, bytes]:
    return {name: weight.numpy().tobytes() for name, weight in read_weights(path).items()}


def test_a_fine_tuning_is_resumed_exactly(
    settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A network that the settings alone do not describe.
    old = model_of(tmp_path / "old.safetensors", bias="last")
    straight = train(settings(run=tmp_path / "straight"), init_from=old, console=quiet())

    class KilledError(Exception):
        pass

    real, count = Setup.make_step, 0

    def mortal(*args: Any) -> Any:
        step = real(*args)

        def run(batch: Any, number: int) -> Any:
            nonlocal count
            count += 1
            if count == 12:
                raise KilledError
            return step(batch, number)

        return run

    monkeypatch.setattr(Setup, "make_step", mortal)
    with pytest.raises(KilledError):
        train(settings(), init_from=old, console=quiet())
    monkeypatch.setattr(Setup, "make_step", real)
    old.unlink()  # the checkpoint has all that is needed
    resumed = resume(tmp_path / "run", console=quiet())
    assert weights_of(resumed.last) == weights_of(straight.last)
    assert read_header(resumed.last).generator.bias == "last"
    assert read_header(resumed.last).notes.startswith("fine-tuned from old.safetensors")


def test_a_run_killed_before_its_first_checkpoint_starts_from_the_file_again(
    settings: Make, model: Path, tmp_path: Path
) -> None:
    straight = train(settings(run=tmp_path / "straight", epochs=1), init_from=model, console=quiet())
    train(settings(epochs=1), init_from=model, console=quiet())
    (tmp_path / "run" / CHECKPOINT).unlink()
    assert weights_of(resume(tmp_path / "run", console=quiet()).last) == weights_of(straight.last)
    (tmp_path / "run" / CHECKPOINT).unlink()
    model.unlink()
    with pytest.raises(ModelFileError, match=r"old\.safetensors does not exist"):
        resume(tmp_path / "run", console=quiet())


def test_a_damaged_note_of_the_start_is_one_sentence(settings: Make, model: Path, tmp_path: Path) -> None:
    train(settings(epochs=1), init_from=model, console=quiet())
    for text in ("{", "[]", json.dumps({"file": "x", "generator": {"width": 0}})):
        (tmp_path / "run" / START).write_text(text)
        with pytest.raises(RunError, match=START):
            resume(tmp_path / "run", console=quiet())


def test_a_run_from_chance_has_no_such_note(settings: Make, tmp_path: Path) -> None:
    train(settings(epochs=1), console=quiet())
    assert not (tmp_path / "run" / START).exists()


# refusals


def test_a_crop_that_does_not_fit_the_files_network_is_refused(settings: Make, tmp_path: Path) -> None:
    old = model_of(tmp_path / "old.safetensors", depth=6)
    with pytest.raises(
        SettingsError, match=r"old\.safetensors with these settings: crop_size 32 is not a multiple"
    ):
        train(settings(), init_from=old)
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_no_model_is_refused_before_anything_is_written(
    settings: Make, tmp_path: Path
) -> None:
    (tmp_path / "x.safetensors").write_text("no")
    with pytest.raises(ModelFileError, match="is not a model file"):
        train(settings(), init_from=tmp_path / "x.safetensors")
    assert not (tmp_path / "run").exists()


def test_weights_that_do_not_fit_their_header_are_refused(settings: Make, tmp_path: Path) -> None:
    other = build_generator(GeneratorSpec(width=8, depth=3)).state_dict()
    save_model(tmp_path / "x.safetensors", other, ModelHeader(generator=GeneratorSpec(width=4, depth=3)))
    with pytest.raises(
        ModelFileError, match=r"x\.safetensors: its weights do not fit the network of its header"
    ):
        train(settings(), init_from=tmp_path / "x.safetensors")


def test_a_dry_run_estimates_the_network_of_the_file(settings: Make, tmp_path: Path) -> None:
    old = model_of(tmp_path / "old.safetensors", width=6)
    parameters = dry_run(settings(), init_from=old).parameters[0]
    assert parameters == sum(p.numel() for p in build_generator(read_header(old).generator).parameters())

"""Tests of sat2map.training.checkpoint."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sat2map.errors import OutputError, RunError
from sat2map.models.architectures.spec import spec_of
from sat2map.settings import TrainSettings, load_settings
from sat2map.training.checkpoint import CHECKPOINT, TrainState, load_checkpoint, save_checkpoint
from sat2map.training.networks import Networks, make_networks
from sat2map.training.step import Batch, TrainStep

Make = Callable[..., TrainSettings]
CPU = torch.device("cpu")


def networks_of(settings: TrainSettings, steps: int = 0) -> Networks:
    networks = make_networks(settings, spec_of(settings), CPU)
    step = TrainStep(networks, settings.loss, settings.optimizer, device=CPU)
    for number in range(steps):
        step(Batch(torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)), number)
    return networks


def all_tensors(networks: Networks) -> dict[str, torch.Tensor]:
    """Everything that a step reads, found without the checkpoint's own list."""
    found: dict[str, torch.Tensor] = {}
    for name in ("generator", "discriminator", "average"):
        for key, tensor in (getattr(networks, name).state_dict() if getattr(networks, name) else {}).items():
            found[f"{name} {key}"] = tensor
    for name in ("generator_optimizer", "discriminator_optimizer"):
        for i, state in getattr(networks, name).state_dict()["state"].items():
            found.update({f"{name} {i} {key}": value for key, value in state.items()})
    return {name: tensor.clone() for name, tensor in found.items()}


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_every_tensor_comes_back_bit_for_bit(settings: Make, tmp_path: Path, ema: float) -> None:
    trained = networks_of(settings(ema=ema), steps=3)
    save_checkpoint(tmp_path, trained, TrainState())
    fresh = networks_of(settings(ema=ema, seed=1))
    load_checkpoint(tmp_path, fresh)
    before, after = all_tensors(trained), all_tensors(fresh)
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


def test_the_optimizers_moments_are_among_them(settings: Make, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, networks_of(settings(), steps=3), TrainState())
    moments = {name: t for name, t in load_file(tmp_path / CHECKPOINT).items() if ".exp_avg" in name}
    assert len(moments) > 20
    assert all(bool(tensor.any()) for tensor in moments.values())


def test_progress_comes_back_to_the_last_bit(settings: Make, tmp_path: Path) -> None:
    networks = networks_of(settings())
    progress = TrainState(
        step=7,
        best=0.1 + 0.2,
        best_step=5,
        loss_sums={"l1": 1 / 3, "g": 1e-300},
        loss_steps=2,
        seconds=12.25,
        fingerprint="abc",
        val_fingerprint="def",
    )
    save_checkpoint(tmp_path, networks, progress)
    assert load_checkpoint(tmp_path, networks) == progress


def test_a_checkpoint_is_plain_safetensors_without_a_pickle(settings: Make, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, networks_of(settings()), TrainState(step=3))
    with safe_open(tmp_path / CHECKPOINT, framework="pt") as file:
        assert json.loads(file.metadata()["progress"])["step"] == 3


def test_a_folder_without_a_checkpoint_is_refused(settings: Make, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"has no checkpoint\.safetensors, so it is not the folder of a run"):
        load_checkpoint(tmp_path, networks_of(settings()))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused(settings: Make, tmp_path: Path, share: float) -> None:
    networks = networks_of(settings())
    save_checkpoint(tmp_path, networks, TrainState())
    content = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(RunError, match=r"cannot be resumed .* damaged or of another network"):
        load_checkpoint(tmp_path, networks)


@pytest.mark.parametrize("progress", [None, "{", '{"step": 1, "surprise": 2}', "[]"])
def test_a_checkpoint_with_a_damaged_header_is_refused(
    settings: Make, tmp_path: Path, progress: str | None
) -> None:
    networks = networks_of(settings())
    save_checkpoint(tmp_path, networks, TrainState())
    tensors = load_file(tmp_path / CHECKPOINT)
    save_file(tensors, tmp_path / CHECKPOINT, {} if progress is None else {"progress": progress})
    with pytest.raises(RunError, match="cannot be resumed"):
        load_checkpoint(tmp_path, networks)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"width": 4}, {"width": 8}),
        ({"depth": 3}, {"depth": 4}),
        ({"depth": 4}, {"depth": 3}),
        ({"ema": 0.9}, {"ema": 0.0}),
        ({"ema": 0.0}, {"ema": 0.9}),
        ({"norm": "batch"}, {"norm": "instance"}),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(
    settings: Make, tmp_path: Path, mine: dict[str, Any], theirs: dict[str, Any]
) -> None:
    save_checkpoint(tmp_path, networks_of(settings(**theirs)), TrainState())
    with pytest.raises(RunError, match="of another network"):
        load_checkpoint(tmp_path, networks_of(settings(**mine)))


def test_a_tensor_of_another_shape_is_refused_even_where_it_could_be_broadcast(
    settings: Make, tmp_path: Path
) -> None:
    networks = networks_of(settings())
    save_checkpoint(tmp_path, networks, TrainState())
    with safe_open(tmp_path / CHECKPOINT, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(tmp_path / CHECKPOINT)
    tensors["generator.up.0.conv.bias"] = tensors["generator.up.0.conv.bias"][:1].clone()
    del metadata["checksum"]  # as sat2map 0.1 wrote them
    save_file(tensors, tmp_path / CHECKPOINT, metadata)
    with pytest.raises(RunError, match=r"generator\.up\.0\.conv\.bias has another shape"):
        load_checkpoint(tmp_path, networks)


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before_it(
    settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = networks_of(settings())
    save_checkpoint(tmp_path, networks, TrainState(step=1))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="the disk is full"):
        save_checkpoint(tmp_path, networks, TrainState(step=2))
    assert load_checkpoint(tmp_path, networks).step == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [CHECKPOINT]


def test_a_flipped_byte_is_found(settings: Make, tmp_path: Path) -> None:
    networks = networks_of(settings())
    save_checkpoint(tmp_path, networks, TrainState())
    content = bytearray((tmp_path / CHECKPOINT).read_bytes())
    content[-100] ^= 1
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(RunError, match="its checksum is wrong"):
        load_checkpoint(tmp_path, networks)


def test_a_state_of_the_first_version_is_read(settings: Make, tmp_path: Path) -> None:
    networks = networks_of(settings())
    save_checkpoint(tmp_path, networks, TrainState())
    tensors = load_file(tmp_path / CHECKPOINT)
    old = {"step": 3, "best": 0.5, "best_step": 2, "window": {"l1": 1.0}, "window_steps": 1, "seconds": 2.0}
    save_file(tensors, tmp_path / CHECKPOINT, {"progress": json.dumps(old)})
    expected = TrainState(step=3, best=0.5, best_step=2, loss_sums={"l1": 1.0}, loss_steps=1, seconds=2.0)
    assert load_checkpoint(tmp_path, networks) == expected


def test_a_pretrained_encoder_learns_more_slowly_and_is_checkpointed_too(
    settings: Make, tmp_path: Path
) -> None:
    wanted = load_settings("default", generator="efficient-unet", pretrained="efficientnet-lite0")
    networks = make_networks(wanted, spec_of(wanted, colours=14), CPU)
    networks.set_learning_rate(1e-3)
    encoder, rest = networks.generator_optimizer.param_groups
    assert (encoder["lr"], rest["lr"]) == (5e-4, 1e-3)
    assert len(encoder["params"]) == len(list(networks.generator.encoder.parameters()))
    for state in networks.generator_optimizer.state.values():
        state["exp_avg"].normal_()
    before = all_tensors(networks)
    save_checkpoint(tmp_path, networks, TrainState())
    fresh = make_networks(wanted, spec_of(wanted, colours=14), CPU)
    load_checkpoint(tmp_path, fresh)
    after = all_tensors(fresh)
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


def test_the_scale_of_fp16_losses_comes_back(settings: Make, tmp_path: Path) -> None:
    networks = make_networks(settings(), spec_of(settings()), CPU, torch.float16)
    assert networks.scaler is not None
    networks.scaler.load_state_dict({**networks.scaler.state_dict(), "scale": 512.0, "_growth_tracker": 7})
    save_checkpoint(tmp_path, networks, TrainState())
    fresh = make_networks(settings(), spec_of(settings()), CPU, torch.float16)
    load_checkpoint(tmp_path, fresh)
    assert fresh.scaler is not None
    assert fresh.scaler.state_dict() == networks.scaler.state_dict()

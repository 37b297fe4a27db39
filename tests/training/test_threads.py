"""Tests of sat2map.training.threads: how many threads PyTorch trains with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from sat2map import runtime
from sat2map.runtime.cpu import LoadMeter, Processor
from sat2map.training import threads
from sat2map.training.threads import adapted_threads

CPU = torch.device("cpu")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A machine of four cores; the last number in the list is its load, looked at after each step."""
    load = [0.0]
    here = Processor("any", frozenset(), frozenset(range(4)), 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(runtime, "processor", lambda: here)
    monkeypatch.setattr(threads, "processor", lambda: here)
    monkeypatch.setattr(threads, "default_threads", lambda: here.threads_beside(load[-1]))
    monkeypatch.setattr(LoadMeter, "read", lambda self: load[-1])
    monkeypatch.setattr(threads, "CHECK_SECONDS", 0.0)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield load
    torch.set_num_threads(before)


def choose_many(few: int, many: int) -> int:
    runtime.set_torch_threads(many)
    return many


def choose_few(few: int, many: int) -> int:
    runtime.set_torch_threads(few)
    return few


def test_threads_follow_the_load(load: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_measured", choose_many)
    found = []
    with adapted_threads(CPU) as adapt:
        for busy in (0.0, 1.0, 3.0, 0.0):
            load.append(busy)
            adapt()
            found.append(torch.get_num_threads())
    assert found == [4, 3, 1, 4]
    assert torch.get_num_threads() == 4


def test_more_threads_that_are_slower_are_not_taken(
    load: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_measured", choose_few)
    with adapted_threads(CPU) as adapt:
        adapt()
        assert torch.get_num_threads() == 1


@pytest.mark.parametrize("way", ["OMP_NUM_THREADS", "torch"])
def test_a_number_that_the_user_has_set_stays(
    load: list[float], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "torch":
        torch.set_num_threads(2)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", "4")
    load.append(3.0)
    with adapted_threads(CPU) as adapt:
        adapt()
        assert torch.get_num_threads() == (2 if way == "torch" else 4)


def test_the_measurement_sets_what_it_returns_and_draws_no_random_numbers(load: list[float]) -> None:
    state = torch.get_rng_state()
    chosen = threads._measured(1, 2)
    assert chosen in (1, 2)
    assert torch.get_num_threads() == chosen
    assert torch.equal(torch.get_rng_state(), state)


def test_a_number_set_for_load_is_not_taken_for_the_users(load: list[float]) -> None:
    runtime.set_torch_threads(1)
    assert runtime.may_set_torch_threads()
    torch.set_num_threads(2)
    assert not runtime.may_set_torch_threads()

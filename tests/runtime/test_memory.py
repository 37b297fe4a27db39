"""Tests of sat2map.runtime.memory."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator

import pytest

from sat2map.runtime import memory


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    memory._trim.cache_clear()
    yield
    memory._trim.cache_clear()


def test_where_the_c_library_can_give_memory_back_it_is_asked_to_keep_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[int] = []

    class Library:
        malloc_trim = staticmethod(kept.append)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library)
    memory.give_back_memory()
    assert kept == [0]


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_where_it_cannot_nothing_happens(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def missing(name: object) -> object:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", missing)
    memory.give_back_memory()


@pytest.mark.parametrize("enabled", [True, False])
def test_a_pause_of_the_collector_ends_as_it_was_found(enabled: bool) -> None:
    was_enabled = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with memory.collector_paused():
            assert not gc.isenabled()
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()

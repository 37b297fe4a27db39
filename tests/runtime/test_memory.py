"""Tests of sat2map.runtime.memory."""

from __future__ import annotations

import ctypes
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

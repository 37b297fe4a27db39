"""Tests of sat2map.inference.backends.machine: how many threads."""

from __future__ import annotations

from pathlib import Path

import pytest

from sat2map.inference.backends import machine


@pytest.mark.parametrize(
    ("content", "cores"),
    [
        ("max 100000\n", machine.MAX_THREADS),
        ("400000 100000\n", 4),
        ("150000 100000\n", 1),
        ("50000 100000\n", 1),
    ],
)
def test_a_containers_quota_counts_in_whole_cores(tmp_path: Path, content: str, cores: int) -> None:
    limit = tmp_path / "cpu.max"
    limit.write_text(content)
    assert machine._cgroup_cores(limit) == cores


def test_without_a_container_there_is_no_quota(tmp_path: Path) -> None:
    assert machine._cgroup_cores(tmp_path / "missing") == machine.MAX_THREADS


def test_two_hyperthreads_are_one_core(tmp_path: Path) -> None:
    for cpu, siblings in {0: "0,4", 1: "1,5", 4: "0,4", 5: "1,5"}.items():
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    assert machine._physical_cores({0, 1, 4, 5}, tmp_path) == 2
    assert machine._physical_cores({0, 4}, tmp_path) == 1


def test_where_the_system_does_not_tell_every_processor_is_a_core(tmp_path: Path) -> None:
    assert machine._physical_cores({0, 1, 2}, tmp_path) == 3


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (16, 16), (64, 32)])
def test_one_thread_a_core_up_to_a_limit(monkeypatch: pytest.MonkeyPatch, cores: int, threads: int) -> None:
    monkeypatch.setattr(machine, "_allowed_cores", lambda: set(range(cores)))
    monkeypatch.setattr(machine, "_physical_cores", len)
    monkeypatch.setattr(machine, "_cgroup_cores", lambda: machine.MAX_THREADS)
    assert machine.default_threads() == threads

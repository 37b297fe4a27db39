"""Tests of sat2map.files."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sat2map.errors import OutputError
from sat2map.files import (
    LEFTOVER_SECONDS,
    atomic_path,
    atomic_write_bytes,
    atomic_write_text,
    lock_output,
    locks,
    refuse_existing,
    require_new_folder,
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "report.txt"
    path.write_text("old")
    return path


def assert_untouched(path: Path) -> None:
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_replaces_the_old_content_wholly(old: Path) -> None:
    atomic_write_text(old, "n")
    assert old.read_text() == "n"
    assert list(old.parent.iterdir()) == [old]


def test_text_is_utf_8_and_bytes_are_kept(tmp_path: Path) -> None:
    atomic_write_text(tmp_path / "text", "λ = 100\n")
    atomic_write_bytes(tmp_path / "bytes", b"\x00\r\n\xff")
    assert (tmp_path / "text").read_bytes() == b"\xce\xbb = 100\n"
    assert (tmp_path / "bytes").read_bytes() == b"\x00\r\n\xff"


def test_missing_folders_are_made(tmp_path: Path) -> None:
    atomic_write_text(tmp_path / "a" / "b" / "c.txt", "x")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "x"


def test_readers_see_the_old_content_until_the_new_is_whole(old: Path) -> None:
    with atomic_path(old) as temporary:
        temporary.write_text("half")
        assert old.read_text() == "old"
    assert old.read_text() == "half"


def test_the_temporary_file_lies_beside_and_keeps_the_suffix(old: Path) -> None:
    with atomic_path(old) as temporary:
        assert temporary.parent == old.parent
        assert temporary.suffix == old.suffix
        temporary.write_text("")


def test_a_failure_keeps_the_old_content_and_leaves_no_temporary_file(old: Path) -> None:
    def fail_half_way() -> None:
        with atomic_path(old) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert_untouched(old)


def test_a_full_disk_is_one_sentence(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(
        OutputError, match=r"^the disk is full: .*report\.txt was not written; free some space"
    ):
        atomic_write_text(old, "new")
    assert_untouched(old)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_the_error_of_a_device_that_is_really_full_is_understood(old: Path) -> None:
    def write_to_a_full_device() -> None:
        with atomic_path(old):
            Path("/dev/full").write_bytes(b"x" * 10_000)

    with pytest.raises(OutputError, match=r"^the disk is full"):
        write_to_a_full_device()
    assert_untouched(old)


def test_a_write_past_the_systems_limit_keeps_the_old_file(old: Path) -> None:
    pytest.importorskip("resource", reason="file size limits are POSIX")
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from sat2map.errors import OutputError; from sat2map.files import atomic_write_bytes\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: atomic_write_bytes(Path(sys.argv[1]), bytes(100_000))\n"
        "except OutputError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program, str(old)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == f"{old} cannot be written: {os.strerror(errno.EFBIG)}; choose another place\n"
    assert_untouched(old)


def test_a_folder_in_the_place_of_the_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written: Is a directory"):
        atomic_write_text(tmp_path, "x")


def test_a_file_in_the_place_of_the_folder_is_one_sentence(old: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        atomic_write_text(old / "inside.txt", "x")
    assert_untouched(old)


# existing outputs


def test_an_existing_file_is_replaced_on_request_only(old: Path) -> None:
    with pytest.raises(OutputError, match=r"report\.txt exists") as refused:
        refuse_existing(old)
    assert refused.value.setting == "overwrite"
    refuse_existing(old, overwrite=True)
    refuse_existing(old.with_name("new.txt"))


def test_a_new_folder_is_missing_or_empty(tmp_path: Path, old: Path) -> None:
    require_new_folder(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    require_new_folder(tmp_path / "empty")
    for used in (tmp_path, old):
        with pytest.raises(OutputError, match="exists and is not empty"):
            require_new_folder(used)


# one writer at a time

HOLD = """
import sys, time
from pathlib import Path
from sat2map.files import lock_output
with lock_output(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(3600)  # until it is killed
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of `map.tif`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "map.tif")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.kill()


def test_a_second_writer_of_one_output_is_refused(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"another process is writing .*map\.tif"),
        lock_output(tmp_path / "map.tif"),
    ):
        raise AssertionError
    with lock_output(tmp_path / "other.tif"):
        pass


def test_the_lock_of_a_dead_process_is_taken_over(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    holder.kill()
    holder.wait()
    assert (tmp_path / ".map.tif.sat2map-lock").exists()
    (tmp_path / ".map.sat2map-0123abcd.tif").write_text("half")
    with lock_output(tmp_path / "map.tif"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_dead_writer_of_another_output_is_removed(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    with lock_output(tmp_path / "other.tif"):
        assert (tmp_path / ".map.tif.sat2map-lock").exists()
    holder.kill()
    holder.wait()
    with lock_output(tmp_path / "other.tif"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_leaves_no_folder_that_it_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to write"), lock_output(tmp_path / "a" / "b" / "map.tif"):
        raise ValueError("nothing to write")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_removes_old_leftovers_of_killed_writers_only(tmp_path: Path) -> None:
    left, recent, mine = (
        tmp_path / name
        for name in (".map.sat2map-0123abcd.tif", ".map.sat2map-4567abcd.tif", ".map.0123abcd.tif")
    )
    for path in (left, recent, mine):
        path.write_text("half")
    for path in (left, mine):
        os.utime(path, (0, time.time() - LEFTOVER_SECONDS - 60))
    with lock_output(tmp_path / "map.tif"):
        pass
    assert sorted(tmp_path.iterdir()) == sorted([recent, mine])


def test_a_function_holds_the_lock_of_the_path_it_is_given(tmp_path: Path) -> None:
    @locks("output")
    def write(text: str, output: Path | None = None) -> bool:
        return output is not None and (output.parent / f".{output.name}.sat2map-lock").exists()

    assert write("x", tmp_path / "map.tif")
    assert not write("x")


def test_a_name_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 251}.txt"
    atomic_write_text(path, "long")
    assert path.read_text() == "long"

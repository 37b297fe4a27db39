"""Commands that are killed with SIGKILL: how they start, how they are resumed, and what they leave."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from safetensors.numpy import load_file

from sat2map.files import sha256_of

LONGEST = 600.0  # s; a command that takes longer hangs
ORPHANS = 10.0  # s within which the children of a killed process must have ended
COMMAND = [sys.executable, "-m", "sat2map"]


class Scenario:
    """A command that may be killed: how it is started, resumed, and what it leaves."""

    def __init__(self, name: str, data: Path) -> None:
        """Name what is killed, and the folder of the inputs."""
        self.name, self.data = name, data

    def start(self, folder: Path) -> list[str]:
        """Return the arguments that begin in a folder."""
        raise NotImplementedError

    def resume(self, folder: Path) -> list[str]:
        """Return the arguments that continue."""
        return [*self.start(folder), "--resume"]

    def outputs(self, folder: Path) -> dict[str, str]:
        """Return the checksums of all files by name, also of those left in $TMPDIR or the cache."""
        return {
            str(path.relative_to(folder)): checksum(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and self.counts(path)
        }

    def counts(self, path: Path) -> bool:
        """Whether a file is the same in each run; lists of times are not."""
        return True

    def undisturbed(self, folder: Path) -> tuple[float, dict[str, str]]:
        """Run without a kill; return how long it took, and the outputs."""
        start = time.monotonic()
        run(self.start(folder), folder)
        return time.monotonic() - start, self.outputs(folder)

    def disturbed(self, folder: Path, moment: float) -> tuple[str, dict[str, str]]:
        """Kill at a moment and resume; return what the kill met, and the outputs."""
        how = "killed"
        with subprocess.Popen(
            [*COMMAND, *self.start(folder)],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(folder),
        ) as process:
            try:
                process.wait(moment)
                how = "ended before"
            except subprocess.TimeoutExpired:
                process.kill()
        left = processes_left(process)
        run(self.resume(folder), folder)
        return how, self.outputs(folder) | left

    def close(self) -> None:
        """End what runs between the kills."""


def environment(folder: Path) -> dict[str, str]:
    """Return variables with which temporary and cached files lie in a folder, where they are looked for."""
    (folder / "tmp").mkdir(exist_ok=True)
    return {**os.environ, "TMPDIR": str(folder / "tmp"), "SAT2MAP_CACHE": str(folder / "cache")}


def run(words: list[str], folder: Path) -> None:
    """Run a command to its end.

    Raises:
        CalledProcessError: It failed.
    """
    subprocess.run(
        [*COMMAND, *words],
        check=True, capture_output=True, text=True, timeout=LONGEST, env=environment(folder),
    )  # fmt: skip


def processes_left(leader: subprocess.Popen[str] | subprocess.Popen[bytes]) -> dict[str, str]:
    """Wait for the processes of a killed leader's group, and end and name what does not end by itself."""
    until = time.monotonic() + ORPHANS
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(leader.pid, 0)
            time.sleep(0.05)
        os.killpg(leader.pid, signal.SIGKILL)
        return {"processes": f"children outlived it by {ORPHANS:.0f} s"}
    return {}


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, or of a model file's tensors."""
    if path.suffix != ".safetensors":
        return sha256_of(path)
    tensors = sorted(load_file(path).items())
    return hashlib.sha256(b"".join(name.encode() + values.tobytes() for name, values in tensors)).hexdigest()

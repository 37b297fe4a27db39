"""Tests that nothing leaves the machine: no command that is given only local names looks up a host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import socket, sys


def look(host, *args, **options):
    sys.stderr.write(f"LOOKUP {host}\\n")
    raise OSError("no network")


socket.getaddrinfo = look
from sat2map.cli.main import main

folder = sys.argv[1]
main(["data", "synth", f"{folder}/pairs", "--count", "2", "--size", "64"])
picture = f"{folder}/pairs/train/00000.png"
for engine in sys.argv[2:]:
    main(["translate", f"{folder}/pairs/train", "--engine", engine, "--output", f"{folder}/{engine}"])
main(["export", "--to", "onnx", "--output", f"{folder}/model.onnx"])
main(["data", "check", f"{folder}/pairs"])
main(["info"])
"""


def test_no_host_is_looked_up_and_no_id_is_written(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    (tmp_path / "home").mkdir()
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "SAT2MAP_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), "onnx", "openvino", "torch"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert "LOOKUP" not in done.stderr
    assert done.returncode in (0, 3), done.stderr
    assert list((tmp_path / "home").iterdir()) == []

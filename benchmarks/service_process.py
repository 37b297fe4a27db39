"""Owns starting a service in a process of its own, for the measurements of it."""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

COMMAND = "import sys, tyro; from sat2map.serve.commands import serve; tyro.cli(serve, args=sys.argv[1:])"


@contextlib.contextmanager
def running_service(model: Path, state: Path, *flags: object) -> Iterator[tuple[str, int]]:
    """Start a service at a free port, yield its address and process id, and stop it."""
    words = ["--model", model, "--state", state, "--port", 0, *flags]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = next((line for line in process.stdout if line.startswith("serving ")), "")
        if not line:
            raise SystemExit(f"the service did not start: it ended with {process.wait()}")
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield line.split(" at ")[1].split()[0], process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def png_of_town(side: int) -> bytes:
    """Return a drawn town as a PNG."""
    from sat2map.data.synthetic import draw_town

    out = io.BytesIO()
    Image.fromarray(draw_town(1, size=side).source).save(out, "PNG")
    return out.getvalue()

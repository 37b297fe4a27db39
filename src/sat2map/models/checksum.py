"""The checksum of a model file's weights."""

from __future__ import annotations

import hashlib
import json
import mmap
from pathlib import Path


def checksum_of_file(path: Path) -> str:
    """Return the checksum of a safetensors file's tensors (see `checksum_of`)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return checksum_of(content)


def checksum_of(content: bytes | mmap.mmap) -> str:
    """Return the SHA-256 over name, type, shape and bytes of each tensor, in the order of their names.

    The metadata is left out: it holds the checksum.

    Args:
        content: A whole safetensors file, known to be sound.
    """
    length = int.from_bytes(content[:8], "little")
    table = json.loads(content[8 : 8 + length])
    digest = hashlib.sha256()
    with memoryview(content) as view:
        for name in sorted(table.keys() - {"__metadata__"}):
            entry = table[name]
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            digest.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
            with view[begin:end] as data:
                digest.update(data)
    return digest.hexdigest()

"""The plain PyTorch state dict."""

from __future__ import annotations

import io
from pathlib import Path

from sat2map.files import atomic_write_bytes, refuse_existing
from sat2map.models.model_file import read_header, read_weights


def export_pth(model: Path, output: Path, *, overwrite: bool = False) -> None:
    """Write a generator's weights as a plain state dict that `torch.load(..., weights_only=True)` reads.

    The README has the thirty lines of PyTorch that use it.

    Raises:
        ModelFileError: The model file cannot be used.
        OutputError: The output exists or cannot be written.
    """
    import torch

    refuse_existing(output, overwrite=overwrite)
    read_header(model)
    content = io.BytesIO()
    torch.save(read_weights(model), content)
    atomic_write_bytes(output, content.getvalue())

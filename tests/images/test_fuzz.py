"""A short run of tools/fuzz_files.py: damaged files end in an image or in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rasterio", reason="the geo extra is not installed")

from tools.fuzz_files import fuzz


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, at damaged tags
def test_damaged_files_end_in_an_image_or_in_one_sentence(tmp_path: Path) -> None:
    assert list(fuzz(tmp_path, files=250, seed=7)) == []

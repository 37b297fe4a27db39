"""Tests of what a person sees while a training runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sat2map.training.progress import Display

LOSSES = {"d": 0.5, "adversarial": 0.7, "l1": 0.2, "cross_entropy": 1.4, "iou": 0.7, "g": 2.3}


@pytest.mark.parametrize("width", [80, 110, 160])
def test_the_bar_shows_its_counts_in_full_on_a_terminal_of_any_usual_width(width: int) -> None:
    out = io.StringIO()
    display = Display(Console(file=out, width=width, force_terminal=True, legacy_windows=False))
    display.start(total=12000, start=172, per_epoch=6, seconds=None)
    with display:
        display.advance(11000)
        display.update(11000, LOSSES, 110.5)
    assert "epoch 29/2000" in out.getvalue()  # of a run that goes on at step 172
    line = out.getvalue().rpartition("epoch 1834/2000")[2]
    assert all(part in line for part in ("11000/12000", "110.5 images/s", " left"))
    assert "…" not in line
    assert ("g 2.300" in line) == (width == 160)
    assert "d 0.500" in line

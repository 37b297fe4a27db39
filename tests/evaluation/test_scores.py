"""Tests of sat2map.evaluation.scores: what counts in the sums."""

from __future__ import annotations

import numpy as np
import pytest

from sat2map.evaluation.scores import ScoreSheet
from sat2map.images.palette import Palette


def test_ignored_pixels_count_in_no_score_of_classes() -> None:
    palette = Palette.load("maps")
    land, road = (palette.classes[palette.index(name)].colours[0] for name in ("land", "road"))
    target = np.full((16, 16, 3), land, np.uint8)
    target[:, :4] = road
    fake = target.copy()
    fake[:8, 2:4] = land  # 16 of 64 pixels of road are missing
    ignored = np.zeros((16, 16), bool)
    ignored[:, 8:] = True
    fake[:, 8:] = road  # wrong, and ignored
    sheet = ScoreSheet(palette)
    sheet.add(fake, target, "a", ignored)
    scores = sheet.scores()
    # Of the left half, 64 pixels are road and 64 are land.
    assert scores["iou_road"] == pytest.approx(48 / 64)
    assert scores["iou_land"] == pytest.approx(64 / 80)
    assert scores["mean_iou"] == pytest.approx((48 / 64 + 64 / 80) / 2)
    assert scores["road_f1"] == pytest.approx(1.0)  # within 2 px
    assert sheet.confusion().sum() == 128

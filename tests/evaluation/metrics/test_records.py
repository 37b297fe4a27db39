from types import SimpleNamespace

import numpy as np
import pytest

from sat2map.evaluation import ScoreSheet, evaluate, metrics
from sat2map.evaluation.formatting import heading, score_names
from sat2map.evaluation.metrics import MODULES, PARTS, find_score, metrics_for
from sat2map.evaluation.metrics.record import mean_metric
from sat2map.images.palette import MapClass, Palette

MAPS = Palette.load("maps")
TOY = mean_metric("red", "redness", "mean of the first band, 0 to 255", lambda fake, _: fake[..., 0].mean())


def test_a_metric_of_one_file_is_scored_shown_and_given_an_interval(monkeypatch, town, model):
    monkeypatch.setattr(metrics, "MODULES", [*MODULES, SimpleNamespace(METRICS=(TOY,))])

    found = evaluate(model(lambda source: np.full_like(source, 7)), town.folder, baselines=False)

    assert found.model.scores["red"] == 7
    assert found.model.intervals["red"] == (7, 7)
    assert "red" in score_names(found)["Pixel by pixel"]
    assert heading("red") == "redness ↑"


def test_names_of_metrics_are_unique_and_each_belongs_to_a_part():
    found = metrics_for(MAPS)

    assert len({metric.name for metric in found}) == len(found)
    assert {metric.part for metric in found} <= set(PARTS)


@pytest.mark.parametrize(("palette", "has_roads"), [(MAPS, True), (None, False)])
def test_a_metric_applies_only_to_palettes_that_have_its_class(palette, has_roads):
    assert any(metric.name == "road_f1" for metric in metrics_for(palette)) == has_roads


def test_a_palette_without_roads_or_buildings_is_scored_by_its_own_classes():
    palette = Palette(
        name="two",
        classes=(
            MapClass(name="sea", colours=((0, 0, 255),)),
            MapClass(name="shore", colours=((255, 255, 0),)),
        ),
    )
    image = np.zeros((16, 16, 3), np.uint8)
    image[:8] = (0, 0, 255)
    image[8:] = (255, 255, 0)
    sheet = ScoreSheet(palette)

    scores = sheet.add(image, image, "here")

    assert scores["iou_sea"] == scores["iou_shore"] == scores["mean_iou"] == scores["boundary_f1"] == 1
    assert "road_f1" not in scores
    assert "building_recall" not in scores


def test_a_score_of_a_newer_version_is_shown_by_its_name():
    assert find_score("novelty").label == "novelty"

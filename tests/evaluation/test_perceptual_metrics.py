"""Tests of FID, KID and LPIPS in an evaluation, with stand-ins for the networks of tests/perceptual."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from sat2map.errors import SettingsError
from sat2map.evaluation import Evaluation, MetricWeights, evaluate, perceptual_metrics, print_evaluation
from sat2map.evaluation.formatting import caveats
from sat2map.evaluation.metrics.features import frechet_distance, kernel_distance
from sat2map.evaluation.perceptual.inception import FidInception
from sat2map.evaluation.perceptual.lpips import Lpips
from sat2map.evaluation.perceptual_metrics import PerceptualMetrics, load_perceptual_metrics


class Corners(FidInception):
    """In place of an Inception: an image's features are four of its pixels."""

    batches: list[int]

    def __init__(self) -> None:
        self.batches = []

    def features(self, images: np.ndarray) -> np.ndarray:
        self.batches.append(len(images))
        return images[:, ::20, ::20].reshape(len(images), -1).astype(np.float32) / 255


class Gap(Lpips):
    """In place of LPIPS: the largest difference."""

    def __init__(self) -> None: ...

    def distance(self, fake: np.ndarray, target: np.ndarray) -> float:
        return float(np.abs(fake.astype(int) - target).max()) / 255


@pytest.fixture
def corners(monkeypatch: pytest.MonkeyPatch) -> Corners:
    stand_in = Corners()
    file = MetricWeights(network="Inception", file="mine.pth", sha256="ab", published=False)
    opened = PerceptualMetrics(stand_in, Gap(), (file,))
    # By the name of the module, as the package has a function of that name.
    module = import_module("sat2map.evaluation.evaluate")
    monkeypatch.setattr(module, "load_perceptual_metrics", lambda *args, **options: opened)
    return stand_in


def shifted(town: Any, by: int) -> Callable[[np.ndarray], np.ndarray]:
    truth = town.truth()
    return lambda source: np.clip(truth(source).astype(int) + by, 0, 255).astype(np.uint8)


def test_fid_and_kid_are_those_of_the_features_of_all_maps(make_town, model, corners):
    town = make_town(train=3, val=15)
    draw = shifted(town, -20)
    found = evaluate(model(draw), town.folder)
    # In the order in which the data set has them.
    pairs = [town.pairs["val"][int(image.name)] for image in found.images]
    fakes = corners.features(np.stack([draw(source) for source, _ in pairs]))
    targets = corners.features(np.stack([target for _, target in pairs]))

    scores = found.model.scores
    assert scores["fid"] == pytest.approx(frechet_distance(fakes, targets))
    kid = kernel_distance(fakes, targets)
    assert (scores["kid"], scores["kid_std"]) == pytest.approx((kid.mean, kid.std))
    assert {"fid", "kid", "lpips"} <= found.row("truth as JPEG").scores.keys()


def test_the_real_maps_are_shown_once_and_no_more_than_eight_images_at_a_time(make_town, model, corners):
    evaluate(model(lambda source: source), make_town(train=3, val=15).folder)

    assert corners.batches == 5 * [8, 7]  # four rows and the real maps


def test_a_perfect_model_has_no_distance_and_a_worse_one_more(town, model, corners):
    found = [evaluate(model(shifted(town, by)), town.folder, baselines=False) for by in (0, -5, -40)]
    scores = [evaluation.model.scores for evaluation in found]

    assert scores[0]["fid"] == pytest.approx(0, abs=1e-6)
    assert scores[0]["lpips"] == 0
    assert scores[0]["fid"] < scores[1]["fid"] < scores[2]["fid"]
    assert [s["lpips"] for s in scores] == pytest.approx([0, 5 / 255, 40 / 255])


def test_lpips_is_a_mean_over_images_with_an_interval_as_other_pixel_scores(town, model, corners):
    found = evaluate(model(lambda source: source), town.folder)

    assert found.model.scores["lpips"] == pytest.approx(np.mean([i.scores["lpips"] for i in found.images]))
    low, high = found.model.intervals["lpips"]
    assert low <= found.model.scores["lpips"] <= high


@pytest.mark.parametrize(("images", "scores"), [(1, set()), (3, {"fid"}), (4, {"fid", "kid", "kid_std"})])
def test_with_too_few_images_for_a_covariance_or_a_subset_there_is_no_score(
    make_town, model, corners, images, scores
):
    found = evaluate(model(lambda source: source), make_town(val=images).folder)

    assert found.model.scores.keys() & {"fid", "kid", "kid_std"} == scores


def test_damaged_sources_are_not_judged(town, model, corners):
    found = evaluate(model(lambda source: source), town.folder, baselines=False, robustness=True)

    assert sum(corners.batches) == 2 * 5
    assert found.robustness[0].scores.keys() == {"mean_iou", "road_f1", "l1"}


def test_the_json_file_says_whose_weights_judged(town, model, corners, tmp_path):
    found = evaluate(model(lambda source: source), town.folder)
    found.save(tmp_path / "scores.json")

    again = Evaluation.load(tmp_path / "scores.json")
    assert again == found
    assert again.protocol.metric_weights[0].sha256 == "ab"


def test_what_weakens_fid_and_kid_is_said(town, model, corners):
    told = " ".join(caveats(evaluate(model(lambda source: source), town.folder)))

    assert "FID is biased for 5 images, fewer than its 2048 features: read KID" in told
    assert "100 random subsets of 2 images" in told
    assert "Not, byte for byte, as published: mine.pth (Inception)." in told


def test_the_table_shows_the_deviation_of_kid_beside_it_and_not_as_a_score(town, model, corners):
    found = evaluate(model(lambda source: source), town.folder)
    out = io.StringIO()

    print_evaluation(found, Console(file=out, width=100))

    scores = found.model.scores
    assert f"{scores['kid']:.4f} (± {scores['kid_std']:.4f})" in out.getvalue()
    assert "kid_std" not in out.getvalue()
    for heading in ("FID ↓", "KID ↓", "LPIPS ↓"):
        assert heading in out.getvalue()


def test_without_weights_nothing_is_opened_and_torch_is_not_asked_for(monkeypatch):
    monkeypatch.setattr(perceptual_metrics, "require", lambda *words: pytest.fail("torch was asked for"))

    assert load_perceptual_metrics(None, None, bands=1, size=16, device="auto") == PerceptualMetrics()


def test_maps_that_the_networks_cannot_see_are_refused_before_a_file_is_read():
    nowhere = Path("nowhere.pth")

    with pytest.raises(SettingsError, match="inception compares RGB images, and this model draws 4 bands"):
        load_perceptual_metrics(nowhere, None, bands=4, size=256, device="cpu")
    with pytest.raises(SettingsError, match="LPIPS needs images of 31 px or more, not 30"):
        load_perceptual_metrics(None, (nowhere, nowhere), bands=3, size=30, device="cpu")

"""Pixels whose truth is unknown count in no score; oracles are scikit-learn and scikit-image on the rest."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.metrics import structural_similarity
from sklearn.metrics import confusion_matrix, jaccard_score

from sat2map.evaluation.evaluate import evaluate
from sat2map.evaluation.metrics.similarity import ssim
from sat2map.evaluation.scores import ScoreSheet
from sat2map.images.palette import Palette

MAPS = Palette.load("maps")
SIZE = 48
COUNT = 3


def _blocks(rng):
    """Class numbers in blocks of 4 px, uint8 (48, 48)."""
    return np.kron(rng.integers(0, len(MAPS.classes), (12, 12)), np.ones((4, 4))).astype(np.uint8)


@pytest.fixture
def scenes(tmp_path):
    """Pairs with a transparent area in each target, and what a model draws for each source."""
    rng = np.random.default_rng(5)
    scenes = []
    for name in ("source", "target"):
        (tmp_path / "val" / name).mkdir(parents=True)
    for i in range(COUNT):
        source = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        target, fake = MAPS.colourise(_blocks(rng)), MAPS.colourise(_blocks(rng))
        valid = np.zeros((SIZE, SIZE), np.bool_)
        valid[: 20 + 8 * i, 6:] = True
        alpha = np.where(valid, 255, 0).astype(np.uint8)
        Image.fromarray(source).save(tmp_path / "val" / "source" / f"{i}.png")
        Image.fromarray(np.dstack([target, alpha])).save(tmp_path / "val" / "target" / f"{i}.png")
        scenes.append((source, target, fake, valid))
    return scenes


@pytest.fixture
def drawer(scenes, model):
    answers = {source.tobytes(): fake for source, _, fake, _ in scenes}
    return model(lambda source: answers[source.tobytes()], image_size=SIZE)


def _of_valid(scenes):
    pairs = [(MAPS.classify(target)[valid], MAPS.classify(fake)[valid]) for _, target, fake, valid in scenes]
    return (np.concatenate(side) for side in zip(*pairs, strict=True))


def test_class_scores_are_those_of_the_valid_pixels(scenes, drawer, tmp_path):
    found = evaluate(drawer, tmp_path, baselines=False)
    true, drawn = _of_valid(scenes)
    labels = range(len(MAPS.classes))
    np.testing.assert_array_equal(found.confusion, confusion_matrix(true, drawn, labels=labels))
    scores = found.rows[0].scores
    assert scores["mean_iou"] == pytest.approx(jaccard_score(true, drawn, average="macro"))
    each = jaccard_score(true, drawn, average=None, labels=labels)
    assert [scores[f"iou_{name}"] for name in MAPS.names] == pytest.approx(each.tolist())


def test_errors_of_pixels_are_means_over_the_valid_ones(scenes, drawer, tmp_path):
    scores = evaluate(drawer, tmp_path, baselines=False).rows[0].scores
    errors = [(fake[valid].astype(float) - target[valid]) for _, target, fake, valid in scenes]
    mse = np.array([(one**2).mean() for one in errors])
    assert scores["l1"] == pytest.approx(np.mean([np.abs(one).mean() for one in errors]))
    assert scores["rmse"] == pytest.approx(np.sqrt(mse).mean())
    assert scores["psnr"] == pytest.approx((10 * np.log10(255**2 / mse)).mean())
    assert scores["accuracy_5"] == pytest.approx(
        np.mean([(abs(one).max(axis=1) < 5).mean() for one in errors])
    )


def test_ssim_is_the_mean_over_windows_that_are_valid_throughout(scenes):
    _, target, fake, valid = scenes[2]
    _, full = structural_similarity(
        fake, target, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, full=True,
    )  # fmt: skip
    inside = ndimage.binary_erosion(valid, np.ones((11, 11)))
    assert ssim(fake, target, ~valid) == pytest.approx(full[inside].mean(), abs=1e-5)


def test_what_lies_under_ignored_pixels_changes_no_score(scenes):
    rng = np.random.default_rng(1)
    sheets = ScoreSheet(MAPS), ScoreSheet(MAPS)
    for i, (_, target, fake, valid) in enumerate(scenes):
        sheets[0].add(fake, target, str(i), ~valid)
        other, noise = (
            np.where(valid[..., None], one, MAPS.colourise(_blocks(rng))) for one in (target, fake)
        )
        sheets[1].add(noise, other, str(i), ~valid)
    assert sheets[0].scores() == sheets[1].scores()


def test_an_image_of_nothing_but_ignored_pixels_changes_no_score(scenes):
    sheet = ScoreSheet(MAPS)
    _, target, fake, valid = scenes[2]
    sheet.add(fake, target, "a", ~valid)
    before = sheet.scores()
    assert sheet.add(fake, target, "b", np.ones_like(valid)) == {}
    assert sheet.scores() == before


def test_without_a_palette_transparent_pixels_are_left_out_too(scenes, model, tmp_path):
    answers = {source.tobytes(): fake for source, _, fake, _ in scenes}
    rgb = model(lambda source: answers[source.tobytes()], image_size=SIZE, palette=None)
    errors = [np.abs(fake[valid].astype(float) - target[valid]).mean() for _, target, fake, valid in scenes]
    assert evaluate(rgb, tmp_path, baselines=False).rows[0].scores["l1"] == pytest.approx(np.mean(errors))


def test_the_constant_map_has_the_median_of_the_valid_pixels(scenes, drawer, tmp_path):
    known = np.concatenate([target[valid] for _, target, _, valid in scenes])
    middle = np.sort(known, axis=0)[(len(known) - 1) // 2]
    assert evaluate(drawer, tmp_path).protocol.constant_colour == tuple(middle.tolist())


def test_the_share_of_ignored_pixels_is_reported(scenes, drawer, tmp_path):
    lines: list[str] = []
    evaluate(drawer, tmp_path, baselines=False, report=lines.append)
    share = 1 - np.mean([valid.mean() for *_, valid in scenes])
    assert lines == [f"{share:.1%} of the pixels are transparent in source or target: they count in no score"]


def test_maps_of_other_colours_than_the_models_are_told(tmp_path, model):
    rng = np.random.default_rng(0)
    for name in ("source", "target"):
        (tmp_path / "val" / name).mkdir(parents=True)
        pixels = np.kron(rng.integers(0, 2, (12, 12, 1)) * [255, 0, 255], np.ones((4, 4, 1))).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "val" / name / "0.png")
    lines: list[str] = []
    evaluate(model(lambda source: source, image_size=SIZE), tmp_path, baselines=False, report=lines.append)
    assert len(lines) == 1
    assert "of the target pixels have a colour of the model's palette 'maps'" in lines[0]

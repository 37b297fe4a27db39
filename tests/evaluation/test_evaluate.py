from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest

from sat2map.data.pairs import find_pairs
from sat2map.errors import DataError, SettingsError
from sat2map.evaluation import Evaluation, evaluate
from sat2map.evaluation.robustness import PHOTO_DEGRADATIONS, degradations_for

CONSTANT, NEAREST, JPEG = "constant map", "nearest training tile", "truth as JPEG"


def test_a_model_that_draws_the_median_colour_scores_as_the_constant_map(town, model):
    colour = np.median(np.concatenate([target for _, target in town.pairs["train"]]), axis=(0, 1))
    constant = np.broadcast_to(colour.astype(np.uint8), (32, 32, 3))

    found = evaluate(model(lambda source: constant), town.folder)

    assert found.protocol.constant_colour == tuple(colour)
    assert found.protocol.constant_from == "train"
    assert found.model.scores == found.row(CONSTANT).scores
    assert found.model.intervals == found.row(CONSTANT).intervals


def test_a_perfect_model_has_a_mean_iou_of_1_and_no_error(town, model):
    found = evaluate(model(town.truth()), town.folder)

    scores = found.model.scores
    assert scores["mean_iou"] == scores["road_f1"] == scores["edge_f1"] == scores["ssim"] == 1
    assert scores["l1"] == 0
    assert np.count_nonzero(found.confusion) == 3  # land, road and park, each for what it is
    assert np.sum(found.confusion) == 5 * 32 * 32


def test_scores_do_not_rise_as_an_image_gets_worse(town, model):
    def spoilt(sigma):
        truth, rng = town.truth(), np.random.default_rng(0)
        return lambda s: np.clip(truth(s) + rng.normal(0, sigma, (32, 32, 3)), 0, 255).astype(np.uint8)

    found = [evaluate(model(spoilt(s)), town.folder, baselines=False).model.scores for s in (0, 2, 8, 32)]

    for name in ("mean_iou", "psnr", "ssim", "accuracy_10"):
        assert sorted((scores[name] for scores in found), reverse=True) == [s[name] for s in found]
    assert sorted(scores["l1"] for scores in found) == [scores["l1"] for scores in found]


def test_the_nearest_training_tile_of_a_training_tile_is_itself(town, model):
    source, target = town.pairs["train"][3]
    town.add("test", source, target, "seen")

    found = evaluate(model(lambda source: source), town.folder, split="test")

    assert found.row(NEAREST).scores["l1"] == 0


def test_the_truth_as_jpeg_is_close_to_the_truth_but_not_it(town, model):
    scores = evaluate(model(town.truth()), town.folder).row(JPEG).scores

    assert 0 < scores["l1"] < 8
    assert scores["mean_iou"] < 1


def test_without_a_train_split_the_constant_colour_is_that_of_the_scored_maps(make_town, model):
    town = make_town(val=3)

    found = evaluate(model(lambda source: source), town.folder)

    assert found.protocol.constant_from == "val"
    assert found.row(NEAREST) is None


def test_training_pairs_are_not_scored_against_themselves(town, model):
    assert evaluate(model(town.truth("train")), town.folder, split="train").row(NEAREST) is None


def test_without_a_palette_class_scores_are_left_out(town, model):
    found = evaluate(model(town.truth(), palette=None), town.folder)

    assert set(found.model.scores) == {
        "l1",
        "rmse",
        "rmse_gcgan",
        "psnr",
        "ssim",
        "accuracy_5",
        "accuracy_10",
    }
    assert found.confusion == ()
    assert [image.rank_key for image in found.images] == [-image.scores["l1"] for image in found.images]


def test_the_json_file_gives_back_all_of_it(town, model, tmp_path):
    found = evaluate(model(lambda source: source), town.folder, robustness=True)

    found.save(tmp_path / "scores.json")

    assert Evaluation.load(tmp_path / "scores.json") == found


def test_a_file_that_is_no_evaluation_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "scores.json").write_text('{"rows": 1}')

    with pytest.raises(DataError, match=r"scores\.json is no evaluation"):
        Evaluation.load(tmp_path / "scores.json")


def test_the_scores_of_the_set_are_means_of_those_of_its_images(town, model):
    found = evaluate(model(lambda source: source), town.folder)

    for name in ("l1", "psnr", "ssim"):
        assert found.model.scores[name] == pytest.approx(np.mean([i.scores[name] for i in found.images]))


def test_the_sliced_wasserstein_distance_needs_sixteen_images_and_is_0_for_the_truth(make_town, model):
    town = make_town(train=2, val=16)

    found = evaluate(model(town.truth()), town.folder)

    assert found.model.scores["swd"] == 0
    assert found.row(CONSTANT).scores["swd"] > 100


def test_a_model_of_the_other_direction_is_given_the_maps(town, model):
    answers = {target.tobytes(): source for source, target in town.pairs["val"]}
    backwards = model(lambda source: answers[source.tobytes()], direction="target-to-source", palette=None)

    assert evaluate(backwards, town.folder).model.scores["l1"] == 0


def test_a_missing_val_split_is_cut_as_the_training_cut_it(make_town, model):
    town = make_town(train=20)
    cut: dict[str, Any] = {"val_fraction": 0.4, "seed": 7}

    found = evaluate(model(lambda source: source, settings=cut), town.folder)

    assert [image.name for image in found.images] == [p.name for p in find_pairs(town.folder, **cut)["val"]]
    assert len(found.images) != len(find_pairs(town.folder)["val"])


def _with_places(town) -> None:
    with (town.folder / "pairs.csv").open("w", newline="") as file:
        rows = [[f"{split}/{i}.png", i // 2] for split in ("train", "val") for i in range(5)]
        csv.writer(file).writerows([["file", "place"], *rows])


def test_the_column_of_places_is_the_one_of_the_training_where_the_data_has_it(town, model):
    trained = model(lambda source: source, settings={"group_column": "place"})
    assert evaluate(trained, town.folder).protocol.group_column is None

    _with_places(town)
    found = evaluate(trained, town.folder)

    assert (found.protocol.group_column, found.protocol.images, found.protocol.groups) == ("place", 5, 3)


def test_images_of_one_place_have_no_intervals(make_town, model):
    town = make_town(val=1)

    assert evaluate(model(town.truth()), town.folder).model.intervals == {}


def test_the_first_row_of_the_robustness_table_is_the_model_itself(town, model):
    found = evaluate(model(lambda source: source), town.folder, robustness=True)

    names = [one.name for one in PHOTO_DEGRADATIONS]
    # At half their 32 px the sources would be too small.
    assert [row.name for row in found.robustness] == ["as it is", *names, "scale x2"]
    first = found.robustness[0].scores
    assert first == {name: found.model.scores[name] for name in ("mean_iou", "road_f1", "l1")}


@pytest.mark.parametrize("degradation", PHOTO_DEGRADATIONS, ids=lambda one: one.name)
def test_a_degraded_source_is_another_image_of_its_size_and_the_same_one_each_time(degradation):
    source = np.random.default_rng(0).integers(0, 256, (48, 40, 4), np.uint8)

    first, second = (degradation.translate(lambda s: s, source, image=3) for _ in range(2))

    assert first.shape == source.shape
    assert (first == second).all()
    assert (first != source).any()


def test_a_model_that_knows_its_resolution_is_scored_at_others_with_theirs_given(model):
    header = model(lambda source: source).header.model_copy(update={"gsd": 0.9})
    given = {}

    for one in degradations_for(header, 600):
        if one.gsd is not None:
            record: Any = lambda source, gsd: given.update({gsd: source.shape})  # noqa: E731
            one.translate(record, np.zeros((600, 600, 3), np.uint8), 0)

    assert given == {gsd: (round(540 / gsd), round(540 / gsd), 3) for gsd in (0.45, 0.6, 1.2, 1.5, 2.1, 2.4)}


def test_maps_are_compared_at_the_size_asked_for_and_sources_keep_that_of_the_model(town, model):
    seen = set()

    def truth(source):
        seen.add(source.shape)
        return town.truth()(source)

    found = evaluate(model(truth), town.folder, size=16, baselines=False)

    assert seen == {(32, 32, 3)}
    assert (found.protocol.size, found.protocol.input_size) == (16, 32)
    assert found.model.scores["l1"] == 0


def test_progress_counts_every_image_of_every_row(town, model):
    seen = []

    evaluate(model(lambda s: s), town.folder, progress=lambda done, total: seen.append((done, total)))

    assert seen == [(i, 20) for i in range(1, 21)]


def test_a_split_that_is_not_there_is_named(town, model):
    with pytest.raises(DataError, match="no pairs in its split 'test'"):
        evaluate(model(lambda source: source), town.folder, split="test")


def test_a_size_below_sixteen_pixels_is_refused(town, model):
    with pytest.raises(SettingsError, match="16 px"):
        evaluate(model(lambda source: source), town.folder, size=8)

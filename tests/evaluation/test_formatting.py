from __future__ import annotations

import io

import pytest
from rich.console import Console

from sat2map.evaluation import Evaluation, ImageScores, Protocol, Row, evaluate, print_evaluation
from sat2map.evaluation.formatting import beats, caveats, verdict


def _evaluation(model: dict[str, float], **rivals: dict[str, float]) -> Evaluation:
    protocol = Protocol(
        sat2map="0", model="m", model_sha256="", steps=1, engine="e", inference_mode="eval",
        direction="source-to-target", palette=None, data="d", data_fingerprint="", split="val",
        group_column="place", images=40, groups=20, size=256, constant_from="train",
    )  # fmt: skip
    rows = [Row(name="model", scores=model)]
    rows += [Row(name=name.replace("_", " "), scores=scores) for name, scores in rivals.items()]
    return Evaluation(
        protocol=protocol, rows=tuple(rows), images=(ImageScores(name="1", group="1", scores=model),)
    )


def test_a_model_that_beats_the_constant_map_on_all_map_scores_is_told_so():
    said = verdict(
        _evaluation({"mean_iou": 0.44, "road_f1": 0.7}, constant_map={"mean_iou": 0.09, "road_f1": 0})
    )

    assert said.startswith("The model beats the constant map on every map score")
    assert "road F1 (0.700 against 0.000)" in said


def test_a_model_no_better_than_a_plain_colour_is_told_so():
    said = verdict(
        _evaluation({"mean_iou": 0.08, "road_f1": 0}, constant_map={"mean_iou": 0.09, "road_f1": 0})
    )

    assert said.startswith("The model is no better than a plain colour")


def test_a_lead_that_cannot_be_seen_is_none():
    assert not beats("road_f1", 0.0001, 0)
    assert beats("road_f1", 0.001, 0)
    assert beats("l1", 9.5, 10)


def test_a_model_behind_the_nearest_tile_is_told_so():
    rivals = {"constant_map": {"road_f1": 0.0}, "nearest_training_tile": {"road_f1": 0.23}}

    assert "still better on road F1 (0.100 against 0.230)" in verdict(_evaluation({"road_f1": 0.1}, **rivals))


def test_scores_that_reward_drawing_nothing_are_called_so_only_when_the_model_is_behind():
    constant = {"mean_iou": 0.09, "psnr": 24.0}

    assert "one colour does well" in verdict(
        _evaluation({"mean_iou": 0.4, "psnr": 23.0}, constant_map=constant)
    )
    assert "one colour does well" not in verdict(
        _evaluation({"mean_iou": 0.4, "psnr": 25.0}, constant_map=constant)
    )


def test_what_weakens_the_figures_is_said():
    found = _evaluation({"l1": 1.0})
    few = found.model_copy(update={"protocol": found.protocol.model_copy(update={"groups": 3})})

    assert any("no palette" in sentence for sentence in caveats(found))
    assert any("3 places" in sentence for sentence in caveats(few))


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal_and_holds_the_scores(town, model, width):
    found = evaluate(model(lambda source: source), town.folder, robustness=True)
    out = io.StringIO()

    print_evaluation(found, Console(file=out, width=width))

    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in out.getvalue()
    row = next(line for line in lines if line.strip().startswith("mean class IoU"))
    assert f"{found.model.scores['mean_iou']:.3f}" in row
    assert f"{found.row('constant map').scores['mean_iou']:.3f}" in row
    assert any(line.strip().startswith("blur sigma 2 px") for line in lines)


def test_the_table_of_a_model_without_palette_says_what_is_left_out(town, model):
    out = io.StringIO()

    print_evaluation(evaluate(model(town.truth(), palette=None), town.folder), Console(file=out, width=100))

    assert "IoU" not in out.getvalue()
    assert "class scores are left out" in " ".join(out.getvalue().split())

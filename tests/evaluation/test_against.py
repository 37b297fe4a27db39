"""Tests of what a model is scored beside: its own class head, and other models."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from sat2map.data.pairs import find_pairs
from sat2map.errors import ModelFileError, SettingsError
from sat2map.evaluation import column_names, evaluate, print_evaluation
from sat2map.evaluation.formatting import caveats, verdict
from sat2map.images.palette import Palette
from sat2map.inference import Translator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import ModelHeader

MAPS = Palette.load("maps")
HEAD = "class head"


def same(source: np.ndarray) -> np.ndarray:
    return source


class TwoHeads:
    """Draws a picture of one grey, and has the classes of the true map in its class head, at odds of e."""

    name, streams = "a stand-in", 1

    def __init__(self, truth, classes: int = len(MAPS.names)) -> None:
        spec = GeneratorSpec(depth=2, classes=classes)
        self.header = ModelHeader(generator=spec, palette=MAPS, image_size=32)
        self._truth = truth

    def __call__(self, source: np.ndarray) -> np.ndarray:
        pixels = np.rint((source + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)
        classes = np.stack([MAPS.classify(self._truth(image)) for image in pixels])
        logits = np.moveaxis(np.eye(self.header.generator.classes)[classes], -1, 1)
        return np.concatenate([np.zeros_like(source), logits], axis=1).astype(np.float32)


def test_the_class_head_is_scored_by_its_likeliest_classes_in_their_colours(town, model):
    found = evaluate(Translator(TwoHeads(town.truth())), town.folder)

    head = found.row(HEAD).scores
    assert [row.name for row in found.rows][:2] == ["model", HEAD]
    assert head["mean_iou"] == head["road_f1"] == head["iou_park"] == 1
    assert head["l1"] == 0  # the town's maps are drawn in the classes' first colours
    assert found.row(HEAD).intervals["mean_iou"] == (1, 1)
    grey = evaluate(model(lambda source: np.full_like(source, 128)), town.folder)
    assert found.model.scores["mean_iou"] == grey.model.scores["mean_iou"]


def test_a_class_head_that_is_better_than_the_picture_is_named(town):
    said = verdict(evaluate(Translator(TwoHeads(town.truth())), town.folder))

    assert "The class head's own map is better than the drawn map on mean class IoU (1.000 against" in said


def test_a_model_without_a_class_head_or_for_other_classes_has_no_such_row(town, model):
    assert evaluate(model(same), town.folder).row(HEAD) is None
    assert evaluate(Translator(TwoHeads(town.truth(), classes=9)), town.folder).row(HEAD) is None
    alone = evaluate(Translator(TwoHeads(town.truth())), town.folder, baselines=False)
    assert [row.name for row in alone.rows] == ["model"]


def test_another_model_scores_as_it_does_by_itself(town, model):
    perfect = model(town.truth(), steps=7)

    found = evaluate(model(same), town.folder, against={"l1 only": perfect})

    alone = evaluate(perfect, town.folder).model
    assert found.row("l1 only").scores == alone.scores
    assert found.row("l1 only").intervals == alone.intervals
    assert [row.name for row in found.rows] == [
        "model", "l1 only", "constant map", "nearest training tile", "truth as JPEG",
    ]  # fmt: skip
    told = found.protocol.against[0]
    assert (told.name, told.file, told.steps, told.learned) == ("l1 only", "", 7, 0)
    assert [image.scores for image in found.images] == [
        image.scores for image in evaluate(model(same), town.folder).images
    ]


def test_another_model_sees_the_size_it_was_trained_for_and_is_scored_at_that_of_the_model(town, model):
    seen = set()

    def draw(source):
        seen.add(source.shape)
        return np.zeros_like(source)

    black = model(lambda source: np.zeros_like(source))
    found = evaluate(black, town.folder, against={"other": model(draw, image_size=64, palette=None)})

    assert seen == {(64, 64, 3)}
    assert found.row("other").scores == found.model.scores


def test_the_verdict_says_where_another_model_is_better_and_leaves_ties_out(town, model):
    found = evaluate(model(same), town.folder, against={"good": model(town.truth()), "equal": model(same)})

    said = verdict(found)

    assert "The model good is better than this one on mean class IoU (1.000 against" in said
    assert "The model equal" not in said


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"direction": "target-to-source"}, "goes from target to source and the model from source to target"),
        ({"generator": GeneratorSpec(depth=2, target_bands=1)}, "makes 1 bands of 3 and the model 3 of 3"),
    ],
)
def test_a_model_of_another_job_is_refused(town, model, header, told):
    other = model(same)
    other.header = other.header.model_copy(update=header)

    with pytest.raises(SettingsError, match=told):
        evaluate(model(same), town.folder, against={"other": other})


def test_a_name_that_the_table_has_already_is_refused(town, model):
    with pytest.raises(SettingsError, match="a column 'class head' exists already"):
        evaluate(model(same), town.folder, against={HEAD: model(same)})


def test_another_model_that_is_not_there_is_refused_before_anything_is_scored(town, model, tmp_path):
    with pytest.raises(ModelFileError, match=r"gone\.safetensors does not exist"):
        evaluate(
            model(lambda source: pytest.fail("it was scored")),
            town.folder,
            against={"gone": tmp_path / "gone.safetensors"},
        )


def test_pairs_that_another_models_training_had_cut_for_itself_are_counted_and_told(make_town, model):
    town = make_town(train=20)
    mine: dict[str, Any] = {"val_fraction": 0.4, "seed": 7}
    theirs: dict[str, Any] = {"val_fraction": 0.4, "seed": 8}
    scored = {pair.name for pair in find_pairs(town.folder, **mine)["val"]}
    learned = scored & {pair.name for pair in find_pairs(town.folder, **theirs)["train"]}
    assert learned

    others = {"theirs": model(same, settings=theirs), "mine": model(same, settings=mine), "no": model(same)}
    found = evaluate(model(same, settings=mine), town.folder, against=others)

    assert [other.learned for other in found.protocol.against] == [len(learned), 0, 0]
    assert f"theirs was trained on {len(learned)} of these pairs" in " ".join(caveats(found))


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["l1.safetensors", "runs/paper/best.safetensors"], ["l1", "paper"]),
        (["best.safetensors"], ["best"]),
        (["a/l1.safetensors", "b/l1.safetensors"], ["a/l1.safetensors", "b/l1.safetensors"]),
        (["model.onnx", "x/last.safetensors"], ["model.onnx", "x"]),
        (["hf://someone/town-maps"], ["town-maps"]),
        ([], []),
    ],
)
def test_columns_are_called_after_files_or_runs_as_far_as_that_tells_them_apart(files, names):
    assert column_names(files) == names


def test_a_file_given_twice_is_refused():
    with pytest.raises(SettingsError, match=r"l1\.safetensors is given twice"):
        column_names(["l1.safetensors", "l1.safetensors"])


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_table_with_a_class_head_and_two_other_models_fits_the_terminal(town, model, width):
    others = {"l1": model(town.truth()), "a_very_long_name_of_a_run_indeed": model(same)}
    found = evaluate(Translator(TwoHeads(town.truth())), town.folder, against=others)
    out = io.StringIO()

    print_evaluation(found, Console(file=out, width=width))

    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    row = next(line.split() for line in lines if line.strip().startswith("road F1"))
    figures = [figure for figure in row[3:] if not figure.startswith("(")]
    assert figures == [f"{r.scores['road_f1']:.3f}" for r in found.rows]
    assert ("In brackets" in out.getvalue()) == any("(" in figure for figure in row)

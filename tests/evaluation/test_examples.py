from __future__ import annotations

import numpy as np
import pytest

from sat2map.errors import DataError
from sat2map.evaluation import draw_examples, evaluate, load_examples, save_examples
from sat2map.evaluation.examples import pick_examples


@pytest.mark.parametrize(("images", "each"), [(1, 1), (2, 1), (3, 1), (5, 1), (6, 2), (9, 2)])
def test_examples_go_from_best_to_worst_and_none_comes_twice(make_town, model, images, each):
    found = evaluate(model(lambda source: source), make_town(val=images).folder, baselines=False)

    picked = pick_examples(found)

    merits = [found.images[i].rank_key for i in picked.values()]
    assert merits == sorted(merits, reverse=True)
    assert len(set(picked.values())) == len(picked) == min(images, 3 * each)
    assert merits[0] == max(image.rank_key for image in found.images)
    assert merits[-1] == min(image.rank_key for image in found.images)


def test_examples_are_the_pictures_that_were_scored(town, model):
    translator = model(town.truth())
    found = evaluate(translator, town.folder)

    for example in draw_examples(found, translator, town.folder):
        source, target = town.pairs["val"][int(example.image.name)]
        assert (example.source == source).all()
        assert (example.fake == target).all()
        assert (example.target == target).all()


def test_examples_are_read_back_as_they_were_written(town, model, tmp_path):
    translator = model(lambda source: source)
    found = evaluate(translator, town.folder)
    drawn = draw_examples(found, translator, town.folder)

    save_examples(tmp_path / "pictures", drawn)
    read = load_examples(tmp_path / "pictures", found)

    assert [(e.kind, e.image) for e in read] == [(e.kind, e.image) for e in drawn]
    for mine, theirs in zip(read, drawn, strict=True):
        assert all(np.array_equal(getattr(mine, s), getattr(theirs, s)) for s in ("source", "fake", "target"))


def test_examples_of_changed_pairs_are_refused(town, model):
    translator = model(lambda source: source)
    found = evaluate(translator, town.folder)
    town.add("val", *town.pairs["train"][0], "late")

    with pytest.raises(DataError, match="not those that were scored"):
        draw_examples(found, translator, town.folder)

"""Tests of the weights that come with the package: on each engine they draw the stored map.

After a change of the weights, `python tools/record_bundled.py` records the map anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sat2map.inference.backends import auto, open_engine
from sat2map.inference.drawing import Products
from sat2map.inference.translator import Translator
from sat2map.models.architectures.generators import build_generator
from sat2map.models.model import Model
from sat2map.models.model_file import read_weights

FOLDER = Path(__file__).parent / "bundled"


def stored(name: str) -> np.ndarray:
    return np.asarray(Image.open(FOLDER / name))


def drawn(**options: Any) -> np.ndarray:
    if options["engine"] == "openvino":
        pytest.importorskip("openvino")
    return Translator.open(device="cpu", threads=1, **options)(stored("source.png"))


def test_the_file_is_the_recorded_one() -> None:
    assert Model.find().sha256 == (FOLDER / "sha256.txt").read_text().strip()


def test_the_pattern_that_engines_are_verified_with_is_stored_as_it_is_drawn_now() -> None:
    header, engine = Model.find().header, open_engine(None, engine="onnx")
    expected = auto.stored_levels(header)
    assert expected is not None, "run tools/record_bundled.py"
    found = auto.levels(engine(auto.pattern(header)), header)
    assert np.abs(found - expected).max() < 0.5
    assert found.std() > 5
    assert auto.stored_levels(header.model_copy(update={"weights_checksum": "another"})) is None


def test_the_weights_fit_the_network_of_the_header() -> None:
    model = Model.find()
    network = build_generator(model.header.generator)
    assert network.load_state_dict(read_weights(model.path)) == ([], [])  # missing, unexpected


@pytest.mark.parametrize("engine", ["torch", "onnx", "openvino"])
def test_in_fp32_it_draws_the_stored_map(engine: str) -> None:
    found = drawn(engine=engine, precision="fp32")
    assert (found == stored("map.png")).all(axis=-1).mean() >= 0.999


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_in_reduced_precision_it_draws_the_same_classes(engine: str) -> None:
    palette = Model.find().header.palette
    assert palette is not None
    found, expected = (
        palette.classify(image) for image in (drawn(engine=engine, precision="bf16"), stored("map.png"))
    )
    assert (found == expected).mean() >= 0.99


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_it_draws_the_same_whether_logits_are_asked_for_or_not(engine: str) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    translator = Translator.open(device="cpu", threads=1, engine=engine)
    source = stored("source.png")[:201, :187]  # no multiples of the divisor
    alone, whole = (
        translator.draw(source, Products(classes=True, confidence=asked)) for asked in (False, True)
    )
    np.testing.assert_array_equal(alone.image, whole.image)
    np.testing.assert_array_equal(alone.product("classes"), whole.product("classes"))
    np.testing.assert_array_equal(translator.batch([source])[0], np.moveaxis(whole.image, 0, -1))


def test_the_stored_map_shows_classes_of_several_kinds() -> None:
    palette = Model.find().header.palette
    assert palette is not None
    counts = np.bincount(palette.classify(stored("map.png")).ravel(), minlength=len(palette.names))
    assert (counts > 200).sum() >= 3

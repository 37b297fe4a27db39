"""Tests of sat2map.models.model."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from sat2map.errors import ModelFileError
from sat2map.evaluation import evaluate
from sat2map.inference.translator import Translator
from sat2map.models.bundled import bundled_model
from sat2map.models.model import Model
from sat2map.models.model_file import read_header

OLD = Path(__file__).parent / "old_formats" / "unet-v1.safetensors"


def test_none_is_the_model_that_comes_with_the_package() -> None:
    model = Model.find()
    assert (model.path, model.name) == (bundled_model(), "bundled")
    assert model.header == read_header(bundled_model())


def test_a_path_is_found_with_its_header_and_hash() -> None:
    model = Model.find(str(OLD))
    assert model.path == OLD
    assert model.header.gsd == 2.1
    assert model.sha256 == hashlib.sha256(OLD.read_bytes()).hexdigest()


def test_a_model_that_was_found_before_is_itself() -> None:
    model = Model.find(OLD)
    assert Model.find(model) is model


def test_its_hash_is_computed_once(tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(OLD.read_bytes())
    model = Model.find(copy)
    first = model.sha256
    copy.unlink()
    assert model.sha256 == first


def test_a_missing_file_names_the_setting() -> None:
    with pytest.raises(
        ModelFileError, match=r"no\.safetensors does not exist: train a model first"
    ) as caught:
        Model.find("no.safetensors")
    assert caught.value.setting == "model"


def test_its_repr_says_what_it_is() -> None:
    assert repr(Model.find(OLD)) == f"<Model {OLD}: unet, 3 bands, 2.1 m per pixel, palette maps>"


def test_a_translator_takes_a_model_that_was_found() -> None:
    source = np.zeros((16, 16, 3), np.uint8)
    found, named = (Translator.open(it, engine="onnx") for it in (Model.find(OLD), OLD))
    assert np.array_equal(found(source), named(source))


def test_an_evaluation_of_a_missing_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        evaluate("hf/no.safetensors", tmp_path)

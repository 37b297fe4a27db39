"""The form of a model that the Deepness plugin runs."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from sat2map.errors import ModelFileError, OutputError
from sat2map.export.deepness import export_deepness
from sat2map.images.palette import Palette
from sat2map.inference import Translator
from sat2map.inference.backends.torch import TorchEngine
from sat2map.inference.drawing import Drawer, Products
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import ModelHeader, save_model
from sat2map.synthetic.towns import draw_town


def model(path, classes, palette="maps"):
    torch.manual_seed(1)
    spec = GeneratorSpec(width=4, depth=3, classes=classes)
    network = build_generator(spec)
    network.train()(torch.rand(2, 3, 64, 64))
    header = ModelHeader(generator=spec, palette=Palette.load(palette) if palette else None, gsd=2.1)
    save_model(path, network.state_dict(), header)
    return Translator(TorchEngine(network.eval(), header, torch.device("cpu")))


def run(path, picture):
    session = onnxruntime.InferenceSession(path)
    assert session.get_inputs()[0].shape == [1, 3, 512, 512]
    tile = np.moveaxis(picture, -1, 0)[None].astype(np.float32) / 255  # as the plugin gives it
    (out,) = session.run(None, {session.get_inputs()[0].name: tile})
    return out[0]


@pytest.fixture(scope="module")
def picture():
    return draw_town(4, size=512, gsd=2.1).source


def test_the_class_heads_probabilities_are_those_of_the_translator(tmp_path, picture):
    translator = model(tmp_path / "m.safetensors", 6)
    export_deepness(tmp_path / "m.safetensors", tmp_path / "m.onnx")
    np.testing.assert_allclose(run(tmp_path / "m.onnx", picture), translator.classes(picture), atol=1e-4)


def test_a_palette_networks_classes_are_as_likely_as_their_likeliest_colours(tmp_path, picture):
    palette = Palette.load("maps")
    counts = [len(map_class.colours) for map_class in palette.classes]
    spec = GeneratorSpec(architecture="efficient-unet", colours=sum(counts))
    torch.manual_seed(1)
    network = build_generator(spec)
    with torch.no_grad():
        for _ in range(100):  # the momentum is small
            network(torch.rand(2, 3, 64, 64) * 2 - 1)
    header = ModelHeader(generator=spec, palette=palette, gsd=0.9, temperature=0.5)
    save_model(tmp_path / "m.safetensors", network.state_dict(), header)
    export_deepness(tmp_path / "m.safetensors", tmp_path / "m.onnx")
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 127.5 - 1)[0]
    expected = (torch.stack([part.amax(0) for part in logits.split(counts)]) / 0.5).softmax(0)
    assert expected.std() > 0.02
    found = run(tmp_path / "m.onnx", picture)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    drawn = Drawer(header).draw(logits.numpy(), Products(classes=True)).classes
    assert (found.argmax(axis=0) == drawn).mean() > 0.9999


def test_without_a_class_head_the_nearest_colour_wins(tmp_path, picture):
    translator = model(tmp_path / "m.safetensors", 0)
    export_deepness(tmp_path / "m.safetensors", tmp_path / "m.onnx")
    out = run(tmp_path / "m.onnx", picture)
    np.testing.assert_allclose(out.sum(axis=0), 1, atol=1e-5)
    classes = Palette.load("maps").classes
    fake = translator(picture).astype(int)
    distance = [np.min([((fake - c) ** 2).sum(axis=2) for c in np.array(m.colours)], axis=0) for m in classes]
    assert (out.argmax(axis=0) == np.argmin(distance, axis=0)).mean() > 0.98


def test_the_metadata_is_what_the_plugin_reads(tmp_path):
    model(tmp_path / "m.safetensors", 6)
    export_deepness(tmp_path / "m.safetensors", tmp_path / "m.onnx")
    props = {p.key: json.loads(p.value) for p in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert props["model_type"] == "Segmentor"
    assert props["class_names"]["4"] == "water"
    assert props["resolution"] == 210
    assert props["tiles_size"] == 512


def test_what_cannot_be_exported(tmp_path):
    model(tmp_path / "m.safetensors", 0, palette=None)
    with pytest.raises(ModelFileError, match="draws no map classes"):
        export_deepness(tmp_path / "m.safetensors", tmp_path / "m.onnx")
    (tmp_path / "m.onnx").touch()
    with pytest.raises(OutputError, match="exists"):
        export_deepness(tmp_path / "m.safetensors", tmp_path / "m.onnx")

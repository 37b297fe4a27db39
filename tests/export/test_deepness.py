"""The form of a model that the Deepness plugin runs."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
import scipy.ndimage
import torch

from sat2map.cli.main import main
from sat2map.errors import ModelFileError, OutputError
from sat2map.export import export_model
from sat2map.export.deepness import export_deepness
from sat2map.images.palette import Palette
from sat2map.inference import Translator
from sat2map.inference.backends.torch.engine import TorchEngine
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


# What the plugin's ModelBase reads, and as what (qgis-plugin-deepness 0.6, processing/models/model_base.py).
READ = {
    "model_type": str, "resolution": float, "tile_size": int, "tiles_overlap": int, "seg_thresh": float,
    "seg_small_segment": int,
}  # fmt: skip


def test_the_metadata_is_what_the_plugin_reads(tmp_path):
    model(tmp_path / "m.safetensors", 6)
    export_deepness(tmp_path / "m.safetensors", tmp_path / "m.onnx")
    metadata = onnxruntime.InferenceSession(tmp_path / "m.onnx").get_modelmeta().custom_metadata_map
    read = {name: kind(json.loads(metadata[name])) for name, kind in READ.items()}
    assert read["model_type"].capitalize() == "Segmentor"
    assert (read["resolution"], read["tile_size"], read["seg_thresh"]) == (210, 512, 0)
    names = sorted(json.loads(metadata["class_names"]).items(), key=lambda item: int(item[0]))
    assert [int(number) for number, _ in names] == list(range(6))
    assert [name for _, name in names] == list(Palette.load("maps").names)


def test_the_plugins_removal_of_small_segments_keeps_a_road_of_two_pixels(tmp_path):
    model(tmp_path / "m.safetensors", 6)
    export_deepness(tmp_path / "m.safetensors", tmp_path / "m.onnx")
    metadata = onnxruntime.InferenceSession(tmp_path / "m.onnx").get_modelmeta().custom_metadata_map
    classes = np.ones((32, 32), np.uint8)
    classes[:, 15:17] = 3  # a road

    def filtered(small_segment: int) -> np.ndarray:  # as the plugin's map_processor_segmentation.py does
        return scipy.ndimage.median_filter(classes, small_segment // 2 * 2 + 1, mode="nearest")

    np.testing.assert_array_equal(filtered(json.loads(metadata["seg_small_segment"])), classes)
    assert (filtered(5) == 1).all()


def test_the_command_writes_it_beside_the_model_and_says_what_it_checked(tmp_path, capsys):
    model(tmp_path / "m.safetensors", 6)
    main(["export", str(tmp_path / "m.safetensors"), "--to", "deepness"])
    assert "have the class that the model draws" in capsys.readouterr().out
    assert (tmp_path / "m-deepness.onnx").exists()


def test_what_cannot_be_exported(tmp_path):
    model(tmp_path / "m.safetensors", 0, palette=None)
    with pytest.raises(ModelFileError, match="draws no map classes"):
        export_deepness(tmp_path / "m.safetensors", tmp_path / "m.onnx")
    (tmp_path / "m.onnx").touch()
    with pytest.raises(OutputError, match="exists"):
        export_model(tmp_path / "m.safetensors", "deepness", tmp_path / "m.onnx")

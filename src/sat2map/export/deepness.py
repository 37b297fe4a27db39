"""Models for QGIS's Deepness plugin: an image in, probabilities of classes out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from sat2map.errors import ModelFileError
from sat2map.export.check import open_reference
from sat2map.files import atomic_write_bytes, refuse_existing
from sat2map.images.palette import Palette
from sat2map.images.pixels import to_unit
from sat2map.inference.backends.graphs import make_graph
from sat2map.inference.drawing import Drawer, Products
from sat2map.models.model_file import ModelHeader, read_header
from sat2map.models.onnx.metadata import FAKE, SOURCE, write_metadata
from sat2map.synthetic.towns import draw_town

TILE = 512  # px
OVERLAP = 25  # percent of a tile
_SHARPNESS = 200.0  # of the softmax over squared distances of colours in [-1, 1]


def export_deepness(model: Path, output: Path, *, overwrite: bool = False) -> str:
    """Write a model as an ONNX segmentation with the metadata that Deepness reads.

    The plugin gives float32 (1, source_bands, 512, 512) in [0, 1] and takes (1, classes, 512, 512) that add
    up to 1: the probabilities of a class head or a palette network, else a soft choice of the nearest colour.
    See https://qgis-plugin-deepness.readthedocs.io, "Model classes and requirements". Returns what the check
    of the written graph found.

    Raises:
        ModelFileError: The model file cannot be used, or knows no map classes; or the export draws others.
        OutputError: The output exists or cannot be written.
    """
    refuse_existing(output, overwrite=overwrite)
    header = read_header(model)
    proto = onnx.load_model_from_string(make_graph(model, header, uint8_io=False))
    _change_ends(proto.graph, header)
    write_metadata(proto, deepness_metadata(header))
    onnx.checker.check_model(proto)
    content = proto.SerializeToString()
    share = _agreement(content, model, header)
    atomic_write_bytes(output, content)
    return f"{share:.2%} of the pixels of a drawn town have the class that the model draws"


def deepness_metadata(header: ModelHeader) -> dict[str, str]:
    """Return what Deepness reads from an ONNX file's metadata, each value as JSON.

    Raises:
        ModelFileError: The model knows no map classes.
    """
    palette = _palette(header)
    values = {
        "model_type": "Segmentor",
        "class_names": dict(enumerate(palette.names)),
        "tiles_size": TILE,
        "tile_size": TILE,  # the plugin's manual has the other name, its code this one
        "tiles_overlap": OVERLAP,
        "seg_thresh": 0.0,
        # The side of a median filter over class numbers, which removes narrow roads: 0 leaves them.
        "seg_small_segment": 0,
    }
    if header.gsd is not None:
        values["resolution"] = round(100 * header.gsd, 2)  # cm
    return {key: json.dumps(value) for key, value in values.items()}


def _agreement(content: bytes, model: Path, header: ModelHeader) -> float:
    """Return the share of pixels to which the export gives the model's class.

    Raises:
        ModelFileError: It is too low.
    """
    picture = draw_town(4, size=TILE).source
    picture = np.resize(picture, (TILE, TILE, header.generator.source_bands))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    tile = np.moveaxis(picture, -1, 0)[None].astype(np.float32) / 255
    (probabilities,) = session.run(None, {"pixels": tile})
    outputs = open_reference(model)(to_unit(picture[None]))[0]
    drawn = Drawer(header).draw(outputs, Products(classes=True)).classes
    share = float((probabilities[0].argmax(axis=0) == drawn).mean())
    exact = header.generator.colours or header.generator.classes
    if share < (0.995 if exact else 0.95):  # the nearest colour in RGB is not always that in CIELAB
        raise ModelFileError(
            f"the export has the model's class in {share:.1%} of the pixels: it was not written"
        )
    return share


def _palette(header: ModelHeader) -> Palette:
    if header.palette is None or (not header.generator.classes and header.generator.target_bands != 3):
        raise ModelFileError(
            "this model draws no map classes, which Deepness needs: train one with a palette"
        )
    if header.limits is not None:
        raise ModelFileError(
            "this model reads bands of more than 8 bits by limits of each: Deepness has one number for all"
        )
    return header.palette


def _change_ends(graph: onnx.GraphProto, header: ModelHeader) -> None:
    """Put [0, 1] → [-1, 1] before the generator, and its outputs → probabilities behind it."""
    bands, classes = header.generator.target_bands, header.generator.classes
    palette = _palette(header)

    def constant(name: str, array: object) -> str:
        graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    two, one = constant("two", np.float32(2)), constant("one", np.float32(1))
    before = [
        helper.make_node("Mul", ["pixels", two], ["doubled"]),
        helper.make_node("Sub", ["doubled", one], [SOURCE]),
    ]
    if header.generator.colours:
        # A class is as likely as its likeliest colour, so that the plugin draws the classes that we draw.
        counts = [len(m.colours) for m in palette.classes]
        parts, best = ([f"{name}_{i}" for i in range(len(counts))] for name in ("colours", "best"))
        behind = [
            helper.make_node("Split", [FAKE, constant("counts", np.array(counts, np.int64))], parts, axis=1),
            *(helper.make_node("ReduceMax", [a], [b], axes=[1]) for a, b in zip(parts, best, strict=True)),
            helper.make_node("Concat", best, ["of_classes"], axis=1),
            helper.make_node(
                "Div", ["of_classes", constant("temperature", np.float32(header.temperature))], ["logits"]
            ),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ]
    elif classes:
        cut = [constant("cut_" + n, np.array([v], np.int64)) for n, v in
               (("from", bands), ("to", bands + classes), ("axis", 1))]  # fmt: skip
        behind = [
            helper.make_node("Slice", [FAKE, *cut], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ]
    else:
        # -|x - c|² is 2x·c - |c|² and a term that all colours share, which a softmax does not see.
        owner = np.repeat(np.arange(len(palette.classes)), [len(m.colours) for m in palette.classes])
        share = (owner == np.arange(len(palette.classes))[:, None]).astype(np.float32)
        colours = np.array([c for m in palette.classes for c in m.colours], np.float32) / 127.5 - 1
        weight = constant("colours", 2 * _SHARPNESS * colours[:, :, None, None])
        bias = constant("colours_bias", -_SHARPNESS * (colours**2).sum(axis=1))
        behind = [
            helper.make_node("Conv", [FAKE, weight, bias], ["nearness"]),
            helper.make_node("Softmax", ["nearness"], ["of_colours"], axis=1),
            helper.make_node(
                "Conv", ["of_colours", constant("owners", share[:, :, None, None])], ["probabilities"]
            ),
        ]
    nodes = [*before, *graph.node, *behind]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    shape = [1, header.generator.source_bands, TILE, TILE]
    graph.input.append(helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape))
    shape = [1, len(palette.names), TILE, TILE]
    graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape))

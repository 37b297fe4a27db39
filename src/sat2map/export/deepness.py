"""Models for QGIS's Deepness plugin: an image in, probabilities of classes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from sat2map.errors import ModelFileError
from sat2map.export.check import open_reference
from sat2map.files import atomic_write_bytes
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


def export_deepness(model: Path, output: Path) -> str:
    """Write a model as an ONNX segmentation with the metadata that Deepness reads.

    The plugin gives float32 (1, source_bands, 512, 512) in [0, 1] and takes (1, classes, 512, 512) that add
    up to 1: the probabilities of a class head or a palette network, else a soft choice of the nearest colour.
    See https://qgis-plugin-deepness.readthedocs.io, "Model classes and requirements". Returns what the check
    of the written graph found.

    Raises:
        ModelFileError: The model file cannot be used, or knows no map classes; or the export draws others.
        OutputError: The output cannot be written.
    """
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

    def node(kind: str, inputs: list[str], *outputs: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, outputs, **attributes)

    before = [
        node("Mul", ["pixels", constant("two", np.float32(2))], "doubled"),
        node("Sub", ["doubled", constant("one", np.float32(1))], SOURCE),
    ]
    softmax = node("Softmax", ["logits"], "probabilities", axis=1)
    if header.generator.colours:
        # A class is as likely as its likeliest colour, so that the plugin draws the classes that we draw.
        counts = constant("counts", np.array([len(m.colours) for m in palette.classes], np.int64))
        temperature = constant("temperature", np.float32(header.temperature))
        parts, best = ([f"{name}_{i}" for i in range(len(palette.classes))] for name in ("colours", "best"))
        behind = [
            node("Split", [FAKE, counts], *parts, axis=1),
            *(node("ReduceMax", [part], top, axes=[1]) for part, top in zip(parts, best, strict=True)),
            node("Concat", best, "of_classes", axis=1),
            node("Div", ["of_classes", temperature], "logits"),
            softmax,
        ]
    elif classes:
        ends = {"from": bands, "to": bands + classes, "axis": 1}
        cut = [constant(f"cut_{name}", np.array([end], np.int64)) for name, end in ends.items()]
        behind = [node("Slice", [FAKE, *cut], "logits"), softmax]
    else:
        # -|x - c|² is 2x·c - |c|² and a term that all colours share, which a softmax does not see.
        share = palette.class_of_colour == np.arange(len(palette.classes))[:, None]
        colours = palette.colours.astype(np.float32) / 127.5 - 1
        weight = constant("colours", 2 * _SHARPNESS * colours[:, :, None, None])
        bias = constant("colours_bias", -_SHARPNESS * (colours**2).sum(axis=1))
        owners = constant("owners", share[:, :, None, None].astype(np.float32))
        behind = [
            node("Conv", [FAKE, weight, bias], "nearness"),
            node("Softmax", ["nearness"], "of_colours", axis=1),
            node("Conv", ["of_colours", owners], "probabilities"),
        ]
    nodes = [*before, *graph.node, *behind]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    for found, name, channels in (
        (graph.input, "pixels", header.generator.source_bands),
        (graph.output, "probabilities", len(palette.names)),
    ):
        shape = [1, channels, TILE, TILE]
        found.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

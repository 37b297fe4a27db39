"""A static folder that translates images in the visitor's browser, without a server."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sat2map.errors import ModelFileError, OutputError
from sat2map.export.check import LIMITS, Check, check_parity, open_reference
from sat2map.export.pictures import find_pictures
from sat2map.export.web_runtime import FOLDER, PAGE, find_runtime
from sat2map.files import atomic_folder, refuse_existing
from sat2map.images.png import encode_png
from sat2map.inference import Translator
from sat2map.inference.backends.graphs import make_graph
from sat2map.inference.backends.onnx.engine import OnnxEngine
from sat2map.inference.scale import MIN_SIDE
from sat2map.inference.tiling import ALIGNMENT, MIN_LAST
from sat2map.models.bundled import bundled_model
from sat2map.models.model_file import ModelHeader
from sat2map.synthetic.examples import SEEDS, draw_example

MAX_PIXELS: Final = 64_000_000  # of an image; beyond, browsers run out of memory
_SERVER_ONLY: Final = (
    *("map.html", "message.html", "docs.html", "swipe.svg", "css/map.css", "css/docs.css"),
    *("js/map.js", "js/map-panel.js", "js/map-tiles.js", "js/server.js", "js/docs.js"),
    *("vendor/leaflet", "vendor/swagger-ui"),
)
# Of the page itself; what it loads comes from its own folder, and nothing is sent anywhere.
_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self' blob:; base-uri 'none'; form-action 'none'"
)


def export_web(
    model: Path, header: ModelHeader, folder: Path, *, name: str, overwrite: bool = False
) -> Check:
    """Write the page, a palette network in fp16, and ONNX Runtime for browsers into a folder.

    Any static host serves the folder, such as `python -m http.server`. The weights are stored as float16 and
    the browser calculates in float32; images, tiles and colours are treated as by `Translator`.

    Raises:
        ModelFileError: The model is no palette network of RGB images.
        OutputError: ONNX Runtime for browsers is missing, or the folder holds something else.
    """
    _check_folder(folder, overwrite=overwrite)
    eight_bits = header.generator.source_bands == 3 and header.limits is None
    if not header.generator.colours or header.palette is None or not eight_bits:
        raise ModelFileError(
            f"{model} is not a palette network of RGB images of 8 bits, which the page needs",
            hint="train one with the default preset",
        )
    runtime = find_runtime()
    graph = half_weights(make_graph(model, header))
    engine = OnnxEngine(graph, header)
    pictures = find_pictures((), None, header, calibrate=False)
    check = check_parity(open_reference(model), engine, pictures.checked, pictures.origin, LIMITS["bf16"])
    translator = Translator(engine)
    with atomic_folder(folder) as made:
        about = _describe(translator, name, None if model == bundled_model() else model.name)
        _write(made, graph, about, runtime)
        _write_examples(made / "examples", translator)
        _write_service_worker(made)
    return check


def half_weights(graph: bytes) -> bytes:
    """Store a graph's large float32 constants as float16; they are cast back when a runtime opens it.

    Raises:
        ModelFileError: A weight is too large for float16.
    """
    proto = onnx.load_model_from_string(graph)
    casts, kept = [], []
    for constant in proto.graph.initializer:
        values = numpy_helper.to_array(constant)
        if constant.data_type == TensorProto.FLOAT and values.size > 64:
            with np.errstate(over="ignore"):
                half = values.astype(np.float16)
            if not np.isfinite(half).all():
                raise ModelFileError("the model has weights that are too large for float16")
            casts.append(
                helper.make_node("Cast", [f"{constant.name}_half"], [constant.name], to=TensorProto.FLOAT)
            )
            constant = numpy_helper.from_array(half, f"{constant.name}_half")
        kept.append(constant)
    nodes = [*casts, *proto.graph.node]
    del proto.graph.initializer[:], proto.graph.node[:]
    proto.graph.initializer.extend(kept)
    proto.graph.node.extend(nodes)
    content: bytes = proto.SerializeToString()
    return content


def _check_folder(folder: Path, *, overwrite: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / "model" / "model.json").is_file():
        raise OutputError(
            f"{folder} exists, and is no page of sat2map", hint="choose a new folder", setting="output"
        )
    refuse_existing(folder, overwrite=overwrite)


def _describe(translator: Translator, name: str, model_file: str | None) -> dict[str, Any]:
    """Return what the page needs to know of the model; the tiles are those of `Translator`."""
    header, grid = translator.header, translator.grid
    assert header.palette is not None
    return {
        "name": name,
        "file": "model.onnx",
        "modelFile": model_file,  # null: the package's own
        "gsd": header.gsd,
        "sourceScale": header.source_scale,
        "minSide": MIN_SIDE,
        "maxPixels": MAX_PIXELS,
        "temperature": header.temperature,
        "grid": {
            "tile": grid.tile,
            "overlap": grid.overlap,
            "divisor": grid.divisor,
            "minLast": MIN_LAST,
            "alignment": ALIGNMENT,
            "maxUntiled": header.max_untiled_size,
        },
        "classes": [{"name": one.name, "colours": one.colours} for one in header.palette.classes],
        "colors": {
            name: [
                next(one.colours for one in palette.classes if one.name == own)
                for own in header.palette.names
            ]
            for name, palette in header.palette.alternatives().items()
        },
        "notes": header.notes,
        "licenses": header.licenses,
    }


def _write(folder: Path, graph: bytes, model: dict[str, Any], runtime: list[Path]) -> None:
    excluded = {str(PAGE / name) for name in (*_SERVER_ONLY, "index.html", "js/local/service-worker.js")}

    def leave_out(parent: str, names: list[str]) -> list[str]:
        return [name for name in names if str(Path(parent) / name) in excluded or name == FOLDER.name]

    shutil.copytree(PAGE, folder / "page", ignore=leave_out)
    (folder / "page" / "js" / "source.js").write_text(
        'export { describe, SourceImage } from "./local/source.js"; // maps come from a worker of this page\n'
    )
    target = folder / "page" / "vendor" / FOLDER.name
    target.mkdir()
    for path in (*runtime, FOLDER / "LICENSE"):
        shutil.copyfile(path, target / path.name)
    charset = '<meta charset="utf-8">'
    html = (PAGE / "index.html").read_text("utf-8")
    policy = f'{charset}\n  <meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    (folder / "index.html").write_text(html.replace(charset, policy), "utf-8")
    (folder / "model").mkdir()
    (folder / "model" / "model.onnx").write_bytes(graph)
    (folder / "model" / "model.json").write_text(json.dumps(model, indent=1), "utf-8")


def _write_examples(folder: Path, translator: Translator) -> None:
    (folder / "maps").mkdir(parents=True)
    for number in range(1, len(SEEDS) + 1):
        town = draw_example(number, translator.header.gsd)
        (folder / f"{number}.png").write_bytes(encode_png(town))
        (folder / "maps" / f"{number}.png").write_bytes(encode_png(translator(town)))


def _write_service_worker(folder: Path) -> None:
    """Write the service worker with the list of all files, and a version that changes with any of them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    names = ["./", *(path.relative_to(folder).as_posix() for path in files if path.name != "index.html")]
    release = json.dumps({"version": digest.hexdigest()[:16], "files": names})
    script = (PAGE / "js" / "local" / "service-worker.js").read_text("utf-8")
    (folder / "service-worker.js").write_text(f"self.RELEASE = {release};\n{script}", "utf-8")

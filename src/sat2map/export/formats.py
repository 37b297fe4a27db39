"""`export_model`: header, images, conversion, parity check and writing, in that order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, get_args

from sat2map.errors import ModelFileError, OutputError, SettingsError, nearest
from sat2map.export.check import LIMITS, Check, Converted, check_parity, open_reference
from sat2map.export.pictures import Pictures, find_pictures
from sat2map.extras import require
from sat2map.files import lock_output, refuse_existing
from sat2map.inference.backends import Engine
from sat2map.models.model import Model, ModelLike
from sat2map.models.model_file import HEADER_KEY, ModelHeader, is_exported, read_header
from sat2map.settings import ExportFormat, InferenceMode

Format = ExportFormat

SUFFIXES: Final[dict[str, str]] = {
    "onnx": ".onnx",
    "onnx-int8": ".onnx",
    "openvino": ".xml",
    "openvino-int8": ".xml",
    "pt2": ".pt2",
    "pth": ".pth",
    "pytorch-cyclegan": ".pth",
    "deepness": ".onnx",
    "web": "",  # a folder
    "mlm": ".json",
}
EXPORT_KEY: Final = "sat2map_export"


@dataclass(frozen=True)
class Export:
    """What an export left.

    Attributes:
        output: The file written.
        checks: What the parity checks found; none for `pth`, which holds the weights as they are.
        mean_iou: Mean class IoU of the model and of the export, where pairs were given.
        options: Of the project that it goes to, for building the network there.
        note: What else was checked.
    """

    output: Path
    checks: tuple[Check, ...] = ()
    mean_iou: tuple[float, float] | None = None
    options: str = ""
    note: str = ""

    def __str__(self) -> str:
        lines = [f"written to {self.output}", *(str(check) for check in self.checks)]
        if self.note:
            lines.append(self.note)
        if self.options:
            lines.append(f"that project builds the network with {self.options}")
        if self.mean_iou:
            before, after = self.mean_iou
            lines.append(f"mean class IoU {before:.4f} before, {after:.4f} after ({after - before:+.4f})")
        return "\n".join(lines)


def default_output(model: Model, to: Format) -> Path:
    """Return the default path of an export: beside the model, or here for one without a path."""
    ending = "-int8" if to.endswith("int8") else f"-{to}" if to in ("web", "deepness") else ""
    name = f"{model.path.stem}{ending}{SUFFIXES[to]}"
    # Neither into the hub's cache nor into the installed package.
    is_named_by_path = model.name == str(model.path)
    return model.path.with_name(name) if is_named_by_path else Path(name)


def export_model(
    model: ModelLike,
    to: Format,
    output: Path | None = None,
    *,
    images: Sequence[str | Path] = (),
    pairs: Path | None = None,
    mode: InferenceMode | None = None,
    limit: float | None = None,
    score: bool = True,
    overwrite: bool = False,
) -> Export:
    """Write a model for another runtime, checked against PyTorch (ONNX Runtime where PyTorch is missing).

    For `web` see `export.web`. ONNX, OpenVINO and pt2 files take images as they are decoded, `source`
    uint8 (n, h, w, source_bands) in 0..255, and give `fake` uint8 (n, h, w, target_bands) in 0..255. With a
    class head they give `class_logits` float32 (n, classes, h, w) too; with a palette network,
    `colour_logits` float32 (n, colours, h, w). Batch, height and width are free, as long as height and width
    are multiples of the header's `generator.size_divisor`; any other size is an error there. Eval mode is
    baked in. The metadata has the header under `sat2map` and the checks under `sat2map_export`.

    Args:
        model: What `Model.find` takes; a model file (*.safetensors).
        to: The format; int8 is calibrated on `images`.
        output: Where to; None for `default_output`.
        images: Files, folders or globs of images to check and calibrate on; none for those of `pairs`, or
            where there are none either, drawn towns.
        pairs: Folder or CSV of pairs, on whose validation split the mean class IoU is taken before and after.
        mode: `eval`, to export a model whose header says `paper`.
        limit: Largest mean error of the parity check (grey levels); None for the format's own.
        score: Whether to take the mean class IoU on `pairs`; calibrating on them takes much less time.
        overwrite: Whether an existing file may be replaced.

    Raises:
        ModelFileError: The model cannot be exported, or the export is not the model; none is left.
        OutputError: The output exists, cannot be written, or its suffix is not that of the format.
        DataError: The images are too few, or cannot be read.
        MissingExtraError: What makes the format is not installed.
        SettingsError: There is no such format.
    """
    found = Model.find(model)
    model = found.path
    if to not in get_args(Format):
        raise SettingsError(f"no format is called '{to}', {nearest(to, get_args(Format))}")
    output = Path(output) if output else default_output(found, to)
    with lock_output(output):
        header = _header_to_export(model, mode)
        if to == "web":
            from sat2map.export.web import export_web

            check = export_web(model, header, output, name=found.path.stem, overwrite=overwrite)
            return Export(output, (check,))
        _check_output(output, to, overwrite=overwrite)
        if to in ("pth", "pytorch-cyclegan"):
            require("torch", f"exporting to {to}", "train")
            from sat2map.export.pth import export_cyclegan, export_pth

            if to == "pytorch-cyclegan":
                return Export(output, options=export_cyclegan(model, output))
            export_pth(model, output)
            return Export(output)
        if to == "mlm":
            from sat2map.export.mlm import export_mlm

            export_mlm(model, header, output)
            return Export(output)
        if to == "deepness":
            from sat2map.export.deepness import export_deepness

            return Export(output, note=export_deepness(model, output))
        pictures = find_pictures(images, pairs, header, calibrate=to.endswith("int8"))
        reference = open_reference(model)
        converted = _convert(model, header, to, pictures)
        checks, engines = [], []
        for open_candidate, kind in converted.candidates:
            engines.append(open_candidate())
            allowed = LIMITS[kind] if limit is None else limit
            checks.append(check_parity(reference, engines[-1], pictures.checked, pictures.origin, allowed))
        cost = _mean_iou_before_and_after(reference, engines[-1], pairs) if pairs and score else None
        result = Export(output, tuple(checks), cost)
        about = {
            "format": to,
            "sat2map": version("sat2map"),
            "checks": [check.model_dump() for check in checks],
            "mean_iou": cost,
        }
        converted.write(output, {HEADER_KEY: header.model_dump_json(), EXPORT_KEY: json.dumps(about)})
        return result


def _check_output(output: Path, to: Format, *, overwrite: bool) -> None:
    suffix = SUFFIXES[to]
    if output.suffix.lower() != suffix:
        raise OutputError(
            f"{output} is no name for the format {to}", hint=f"end it in {suffix}", setting="output"
        )
    for path in (output, output.with_suffix(".bin")) if suffix == ".xml" else (output,):
        refuse_existing(path, overwrite=overwrite)


def _header_to_export(model: Path, mode: InferenceMode | None) -> ModelHeader:
    if is_exported(model):
        raise ModelFileError(f"{model} is an export already: name the *.safetensors file it was made of")
    header = read_header(model)
    if (mode or header.inference_mode) == "paper":
        raise ModelFileError(
            f"{model} runs in paper mode (batch statistics and dropout), and only eval mode can be exported",
            hint="choose eval, after an evaluation in that mode has shown its cost",
            setting="mode",
        )
    return header.model_copy(update={"inference_mode": "eval"})


def _convert(model: Path, header: ModelHeader, to: Format, pictures: Pictures) -> Converted:
    if to == "pt2":
        require("torch", "exporting to pt2", "train")
        from sat2map.export.pt2 import to_pt2

        return to_pt2(model, header)
    if to in ("onnx", "onnx-int8"):
        from sat2map.export.onnx import to_onnx

        return to_onnx(model, header, pictures.calibration)
    require("openvino", "exporting to OpenVINO", "openvino")
    if to == "openvino-int8":
        require("nncf", "quantizing for OpenVINO", "int8")
    from sat2map.export.openvino import to_openvino

    return to_openvino(model, header, pictures.calibration)


def _mean_iou_before_and_after(reference: Engine, candidate: Engine, pairs: Path) -> tuple[float, float]:
    if reference.header.palette is None:
        raise ModelFileError(
            "the model names no palette, so it has no class IoU", hint="export without pairs", setting="data"
        )
    require("scipy", "scoring on pairs", "train")
    from sat2map.evaluation import evaluate
    from sat2map.inference import Translator

    before, after = (
        evaluate(Translator(engine), pairs, baselines=False).model.scores["mean_iou"]
        for engine in (reference, candidate)
    )
    return before, after

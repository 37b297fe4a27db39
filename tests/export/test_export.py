"""Tests of sat2map.export: every format is the model, says what it is, and leaves nothing where it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file

from sat2map.errors import (
    DataError,
    ImageError,
    MissingExtraError,
    ModelFileError,
    OutputError,
    SettingsError,
)
from sat2map.export import SUFFIXES, Format, default_output, export_model
from sat2map.images.palette import Palette
from sat2map.images.pixels import from_unit, to_unit
from sat2map.inference.backends import open_engine
from sat2map.inference.backends.onnx.engine import OnnxEngine
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model import Model
from sat2map.models.model_file import HEADER_KEY, ModelHeader, read_header, save_model
from sat2map.models.onnx.metadata import read_metadata
from sat2map.synthetic.towns import write_towns

SPEC = GeneratorSpec(width=8, depth=3, classes=4)
EXACT = ("onnx", "openvino", "pt2")
QUANTIZED = ("onnx-int8", "openvino-int8")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    generator = build_generator(SPEC)
    with torch.no_grad():
        for _ in range(3):
            generator(torch.randn(2, 3, 32, 32))
    path = tmp_path_factory.mktemp("export") / "model.safetensors"
    header = ModelHeader(generator=SPEC, image_size=64, palette=Palette.load("maps"), notes="naïve <x>")
    save_model(path, generator.state_dict(), header)
    return path


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("towns")
    write_towns(folder, count=12, size=64, val_fraction=0.25, layout="folders", gsd=2.1)
    return folder


def needs(to: str) -> None:
    if to.startswith("openvino"):
        pytest.importorskip("openvino")
    if to == "openvino-int8":
        pytest.importorskip("nncf")


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


@pytest.mark.parametrize("to", EXACT)
def test_an_export_kept_is_the_model_and_says_so(model: Path, tmp_path: Path, to: Any) -> None:
    needs(to)
    result = export_model(model, to, tmp_path / f"x{SUFFIXES[to]}")
    assert result.output.exists()
    exact = result.checks[0]
    assert exact.mean_error < 0.01
    assert exact.max_error <= 1
    assert exact.reference == "PyTorch on cpu, fp32"
    assert len(set(exact.sizes)) == 3
    assert exact.pictures == "drawn towns"
    assert "grey levels on average" in str(result)


@pytest.mark.parametrize("to", QUANTIZED)
def test_an_int8_export_is_small_and_near(model: Path, towns: Path, tmp_path: Path, to: Any) -> None:
    needs(to)
    result = export_model(model, to, tmp_path / f"x{SUFFIXES[to]}", images=[towns / "train" / "source"])
    assert 0 < result.checks[0].mean_error <= 1
    assert "int8" in result.checks[0].engine
    engine = open_engine(result.output)
    assert "int8" in engine.name
    source = to_unit(np.random.default_rng(0).integers(0, 256, (2, 24, 40, 3), dtype=np.uint8))
    expected = open_engine(model, engine="torch", device="cpu")(source)
    assert np.abs(engine(source) - expected).mean() * 127.5 < 3  # noise is not what it was calibrated on


def quantized_layers(xml: Path) -> tuple[int, int]:
    """Return how many convolutions have int8 weights, and how many there are."""
    import openvino

    model = openvino.Core().read_model(xml)
    convolutions = [op for op in model.get_ops() if op.get_type_name() == "Convolution"]
    count = sum(op.input_value(1).get_node().get_type_name() != "Constant" for op in convolutions)
    return count, len(convolutions)


@pytest.mark.parametrize(("much", "kept"), [(255, 3), (-1, 5)])
def test_int8_keeps_the_layers_next_to_the_pixels_and_two_more_where_it_is_far_off(
    model: Path,
    towns: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    much: float,
    kept: int,
) -> None:
    needs("openvino-int8")
    from sat2map.export import openvino as module

    monkeypatch.setattr(module, "MUCH", much)
    export_model(model, "openvino-int8", tmp_path / "x.xml", images=[towns / "train" / "source"])
    quantized, layers = quantized_layers(tmp_path / "x.xml")
    assert layers - quantized == kept  # the first, those of image and class head, perhaps the third


def test_an_encoder_layer_is_quantized_once_for_both_its_readers(
    model: Path, towns: Path, tmp_path: Path
) -> None:
    needs("openvino-int8")
    import openvino

    export_model(model, "openvino-int8", tmp_path / "x.xml", images=[towns / "train" / "source"])
    ops = openvino.Core().read_model(tmp_path / "x.xml").get_ops()
    for op in ops:
        if op.get_type_name() == "FakeQuantize":
            readers = [reader.get_node().get_type_name() for reader in op.input_value(0).get_target_inputs()]
            assert "Relu" not in readers


def test_int8_costs_what_the_pairs_say(model: Path, towns: Path, tmp_path: Path) -> None:
    result = export_model(model, "onnx-int8", tmp_path / "x.onnx", pairs=towns)
    assert result.mean_iou is not None
    before, after = result.mean_iou
    assert abs(after - before) < 0.05
    assert f"mean class IoU {before:.4f} before, {after:.4f} after" in str(result)
    assert result.checks[0].pictures == f"from {towns}"
    assert json.loads(read_metadata(result.output)["sat2map_export"])["mean_iou"] == [before, after]


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_header_and_checks_ride_in_the_metadata(model: Path, tmp_path: Path, to: Any) -> None:
    needs(to)
    result = export_model(model, to, tmp_path / f"x{SUFFIXES[to]}")
    texts = read_metadata(result.output)
    assert ModelHeader.model_validate_json(texts[HEADER_KEY]) == read_header(model)
    story = json.loads(texts["sat2map_export"])
    assert story["format"] == to
    assert [check["mean_error"] for check in story["checks"]] == [check.mean_error for check in result.checks]


def test_a_pt2_program_runs_in_plain_pytorch_at_any_size(model: Path, tmp_path: Path) -> None:
    export_model(model, "pt2", tmp_path / "x.pt2")
    texts = {HEADER_KEY: ""}
    program = torch.export.load(tmp_path / "x.pt2", extra_files=texts).module()
    assert ModelHeader.model_validate_json(texts[HEADER_KEY]) == read_header(model)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 88, 3), dtype=np.uint8)
    fake, logits = program(torch.from_numpy(pixels))
    expected = open_engine(model, engine="torch", device="cpu")(to_unit(pixels))
    np.testing.assert_array_equal(fake.numpy(), from_unit(expected[:, :3]))
    np.testing.assert_allclose(logits.numpy(), expected[:, 3:], atol=1e-5)


def test_the_onnx_file_takes_and_gives_bytes_of_any_size_in_plain_onnx_runtime(
    model: Path, tmp_path: Path
) -> None:
    export_model(model, "onnx", tmp_path / "x.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx")
    for shape in ((1, 8, 8, 3), (2, 40, 16, 3)):
        fake, logits = session.run(["fake", "class_logits"], {"source": np.zeros(shape, np.uint8)})
        assert (fake.dtype, fake.shape) == (np.uint8, shape)
        assert logits.shape == (shape[0], 4, *shape[1:3])


def test_a_pth_export_holds_the_weights_as_they_are(model: Path, tmp_path: Path) -> None:
    assert export_model(model, "pth", tmp_path / "x.pth").checks == ()
    weights = torch.load(tmp_path / "x.pth", weights_only=True)
    build_generator(SPEC).load_state_dict(weights)


@pytest.mark.parametrize("to", get_args(Format))
def test_an_export_goes_beside_the_model_by_default(to: Any) -> None:
    path = Path("runs/a/best.safetensors")
    output = default_output(Model(path, ModelHeader(generator=SPEC), str(path)), to)
    assert output.parent == Path("runs/a")
    ending = "-int8" if "int8" in to else f"-{to}" if to in ("web", "deepness") else ""
    assert output.name == f"best{ending}{SUFFIXES[to]}"


def test_an_export_of_a_model_that_no_path_names_goes_into_the_working_folder() -> None:
    bundled = Model(Path("site-packages/maps.safetensors"), ModelHeader(generator=SPEC), "bundled")
    assert default_output(bundled, "onnx") == Path("maps.onnx")


# what goes wrong


@pytest.mark.parametrize("to", ["onnx", "openvino", "pt2", "onnx-int8"])
def test_an_export_over_the_limit_fails_and_leaves_nothing(model: Path, tmp_path: Path, to: Any) -> None:
    needs(to)
    before = files(model.parent)
    with pytest.raises(ModelFileError, match=r"differs from the model, and was not written: .* grey levels"):
        export_model(model, to, tmp_path / f"x{SUFFIXES[to]}", limit=-1)
    assert files(tmp_path) == set()
    assert files(model.parent) == before


def test_a_graph_that_draws_something_else_is_not_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = OnnxEngine.__call__
    monkeypatch.setattr(OnnxEngine, "__call__", lambda engine, source: real(engine, source) + 0.01)
    with pytest.raises(ModelFileError, match="differs from the model"):
        export_model(model, "onnx", tmp_path / "x.onnx")
    assert files(tmp_path) == set()


def test_a_model_that_has_diverged_is_not_exported(tmp_path: Path) -> None:
    weights = build_generator(SPEC).state_dict()
    weights["up.0.conv.bias"] = torch.full_like(weights["up.0.conv.bias"], float("nan"))
    # of the first format, whose files had no checksum: today such weights are not even saved
    header = json.dumps({"format_version": 1, "generator": SPEC.model_dump(exclude={"colours"})})
    save_file(
        {name: weight.contiguous() for name, weight in weights.items()},
        tmp_path / "nan.safetensors",
        metadata={HEADER_KEY: header},
    )
    with pytest.raises(ModelFileError, match="not finite"):
        export_model(tmp_path / "nan.safetensors", "onnx")
    assert files(tmp_path) == {"nan.safetensors"}


@pytest.mark.parametrize("to", [to for to in get_args(Format) if to != "web"])
def test_an_existing_file_is_refused_before_any_work(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: Any
) -> None:
    monkeypatch.setattr("sat2map.export.formats.find_pictures", None)
    output = tmp_path / f"x{SUFFIXES[to]}"
    output.write_text("mine")
    with pytest.raises(OutputError, match=r"exists: choose another name, or allow it to be replaced"):
        export_model(model, to, output)
    assert output.read_text() == "mine"


def test_the_weights_beside_an_openvino_model_are_not_overwritten_either(model: Path, tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_text("mine")
    with pytest.raises(OutputError, match=r"x\.bin exists"):
        export_model(model, "openvino", tmp_path / "x.xml")


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_overwrite_replaces_the_file(model: Path, tmp_path: Path, to: Any) -> None:
    needs(to)
    output = tmp_path / f"x{SUFFIXES[to]}"
    output.write_text("old")
    export_model(model, to, output, overwrite=True)
    assert read_header(output) == read_header(model)


def test_a_suffix_that_is_not_the_formats_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"is no name for the format openvino: end it in \.xml"):
        export_model(model, "openvino", tmp_path / "x.onnx")


def test_an_unknown_format_is_refused_with_the_nearest(model: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean 'openvino'"):
        export_model(model, "openvin")  # type: ignore[arg-type]


def test_two_images_are_too_few_to_calibrate_on(model: Path, towns: Path, tmp_path: Path) -> None:
    two = sorted((towns / "train" / "source").iterdir())[:2]
    with pytest.raises(DataError, match=r"2 images are too few to calibrate int8 on: name at least 8"):
        export_model(model, "onnx-int8", tmp_path / "x.onnx", images=two)
    assert files(tmp_path) == set()


def test_images_that_do_not_exist_are_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nowhere does not exist and matches no file"):
        export_model(model, "onnx", tmp_path / "x.onnx", images=[tmp_path / "nowhere"])


@pytest.mark.parametrize(("to", "hidden"), [("openvino", "openvino"), ("openvino-int8", "nncf")])
def test_what_makes_a_format_is_named_where_it_is_not_installed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: Any, hidden: str
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr("sat2map.extras.find_spec", lambda name: None if name == hidden else real(name))
    with pytest.raises(
        MissingExtraError, match=rf"needs the '{to}' extra" if to == hidden else "needs the 'int8' extra"
    ):
        export_model(model, to, tmp_path / "x.xml")


def test_a_model_in_paper_mode_is_exported_in_eval_mode_on_request_only(model: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.safetensors"
    header = read_header(model).model_copy(update={"inference_mode": "paper"})
    save_model(paper, build_generator(SPEC).state_dict(), header)
    with pytest.raises(ModelFileError, match="only eval mode can be exported: choose eval"):
        export_model(paper, "onnx")
    output = export_model(paper, "onnx", mode="eval").output
    assert read_header(output).inference_mode == "eval"


def test_an_export_is_not_exported_again(model: Path, tmp_path: Path) -> None:
    output = export_model(model, "onnx", tmp_path / "x.onnx").output
    with pytest.raises(ModelFileError, match="is an export already"):
        export_model(output, "openvino")


def test_a_palette_networks_program_draws_as_the_package_does() -> None:
    from sat2map.export.pt2 import _OnPixels
    from sat2map.inference.drawing import Drawer

    palette = Palette.load("maps")
    spec = GeneratorSpec(architecture="efficient-unet", colours=14)
    header = ModelHeader(generator=spec, palette=palette, temperature=0.3)
    torch.manual_seed(0)
    generator = build_generator(spec).eval()
    with torch.no_grad():
        pixels = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
        drawn, logits = _OnPixels(generator, header)(pixels)
    expected = np.stack([np.moveaxis(Drawer(header).draw(it).image, 0, -1) for it in logits.numpy()])
    assert drawn.dtype == torch.uint8
    assert (drawn.numpy() == expected).all(axis=-1).mean() > 0.9999
    assert len(np.unique(expected.reshape(-1, 3), axis=0)) > 3

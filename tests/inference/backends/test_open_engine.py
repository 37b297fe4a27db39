"""Tests of sat2map.inference.backends: which engine runs a model, that all draw the same, what is refused."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sat2map.errors import MissingExtraError, ModelFileError, SettingsError
from sat2map.export import export_model
from sat2map.images.pixels import from_unit, to_unit
from sat2map.inference import Translator
from sat2map.inference.backends import ColourBackend, EngineOptions, Uint8Backend, auto, open_engine
from sat2map.inference.backends.onnx.engine import OnnxEngine
from sat2map.inference.backends.torch.engine import TorchEngine
from sat2map.inference.tiling import Area
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.bundled import bundled_model
from sat2map.models.model_file import ModelHeader, read_header, save_model
from sat2map.synthetic.towns import draw_town

SPEC = GeneratorSpec(width=8, depth=3, classes=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    generator = build_generator(SPEC)
    with torch.no_grad():
        for _ in range(3):
            generator(torch.randn(2, 3, 32, 32))
    path = tmp_path_factory.mktemp("engines") / "model.safetensors"
    save_model(path, generator.state_dict(), ModelHeader(generator=SPEC, image_size=32))
    return path


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make modules look as if they were not installed."""

    def hide(*names: str) -> None:
        real = importlib.util.find_spec

        def find(name: str, package: str | None = None) -> object:
            return None if name in names else real(name, package)

        monkeypatch.setattr("sat2map.extras.find_spec", find)

    return hide


def picture(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (2, 3, 24, 40), (5, 3, 16, 8)])
def test_all_engines_draw_the_same_in_fp32(model: Path, shape: tuple[int, ...]) -> None:
    pytest.importorskip("openvino")
    source = picture(*shape)
    torch_, onnx, openvino = (
        open_engine(model, engine=name, precision="fp32", threads=1)(source)
        for name in ("torch", "onnx", "openvino")
    )
    assert torch_.shape == (shape[0], 7, *shape[2:])
    for found in (onnx, openvino):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, torch_, atol=1e-5, rtol=1e-5)


def test_results_stay_as_they_are_when_the_engine_runs_again(model: Path) -> None:
    for name in ("torch", "onnx", *(["openvino"] if importlib.util.find_spec("openvino") else [])):
        engine = open_engine(model, engine=name)
        first = engine(picture(1, 3, 16, 16))
        before = first.copy()
        engine(-picture(1, 3, 16, 16))
        np.testing.assert_array_equal(first, before)


def test_auto_takes_openvino_where_it_is_right(model: Path) -> None:
    pytest.importorskip("openvino")
    engine = open_engine(model, device="cpu")
    assert engine.name.startswith("OpenVINO on cpu")
    reference = OnnxEngine.open(model)(picture(1, 3, 16, 16))
    found = engine(picture(1, 3, 16, 16))
    levels = [auto.levels(drawn, engine.header) for drawn in (found, reference)]
    assert np.abs(levels[0] - levels[1]).mean() < auto.MAX_ERROR


@pytest.mark.parametrize(
    "spec", [None, GeneratorSpec(width=32, depth=4, classes=4)], ids=["palette", "image"]
)
@pytest.mark.parametrize("image_only", [False, True])
def test_what_auto_compares_with_is_what_onnx_runtime_draws(
    tmp_path: Path, spec: GeneratorSpec | None, image_only: bool
) -> None:
    path = bundled_model() if spec is None else tmp_path / "model.safetensors"
    if spec is not None:
        save_model(path, build_generator(spec).state_dict(), ModelHeader(generator=spec))
    source, options = picture(1, 3, 64, 96), EngineOptions(image_only=image_only)
    found, expected = (how(path, options)(source) for how in (OnnxEngine.open_reference, OnnxEngine.open))
    header = read_header(path)
    errors = np.abs(auto.levels(found, header) - auto.levels(expected, header))
    assert errors.mean() < 0.01 * auto.MAX_ERROR


def test_auto_takes_onnx_runtime_where_there_is_no_openvino(model: Path, without: Any) -> None:
    without("openvino", "torch")
    assert open_engine(model).name.startswith("ONNX Runtime on cpu, fp32")


@pytest.mark.parametrize("wrong", ["far off", "not a number", "raises"])
def test_auto_passes_over_an_engine_that_draws_something_else(
    model: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    pytest.importorskip("openvino")
    from sat2map.inference.backends.openvino.engine import OpenVinoEngine

    real = OpenVinoEngine.__call__

    def broken(engine: OpenVinoEngine, source: np.ndarray) -> np.ndarray:
        if wrong == "raises":
            raise RuntimeError("primitive descriptor was not found")
        return real(engine, source) + (0.01 if wrong == "far off" else np.nan)

    monkeypatch.setattr(OpenVinoEngine, "__call__", broken)
    assert open_engine(model, device="cpu").name.startswith("ONNX Runtime")


@pytest.mark.parametrize("engine", ["onnx", "openvino", "torch"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_bundled_network_gives_new_arrays_of_the_same_classes(engine: Any, precision: Any) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    source = to_unit(draw_town(5, size=256).source[None])
    expected = open_engine(bundled_model(), engine="torch", precision="fp32")(source).argmax(axis=1)
    opened = open_engine(bundled_model(), engine=engine, precision=precision)
    first = opened(source)
    kept = first.copy()
    opened(-source)
    np.testing.assert_array_equal(first, kept)  # the next call writes elsewhere
    assert (first.argmax(axis=1) == expected).mean() >= (0.999 if precision == "fp32" else 0.99)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_likeliest_colours_in_a_rectangle_are_those_of_all_outputs(engine: Any) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    source, inside = to_unit(draw_town(5, size=128).source[None]), Area(32, 0, 96, 128)
    opened = open_engine(bundled_model(), engine=engine)
    assert isinstance(opened, ColourBackend)
    expected = opened(source)[0]
    outputs, numbers = opened.likeliest_inside(source, inside)
    found = outputs.argmax(axis=0)
    if numbers is not None:
        found[inside.rows] = numbers
    np.testing.assert_array_equal(found, expected.argmax(axis=0))
    np.testing.assert_array_equal(outputs[:, :32], expected[:, :32])


def test_a_size_that_the_bundled_network_would_crop_is_an_error_in_bf16_too() -> None:
    pytest.importorskip("openvino")
    engine = open_engine(bundled_model(), engine="openvino", precision="bf16")
    with pytest.raises((ValueError, RuntimeError)):
        engine(picture(1, 3, 65, 64))


def test_paper_mode_is_run_by_pytorch_alone(model: Path) -> None:
    assert isinstance(open_engine(model, mode="paper", device="cpu"), TorchEngine)
    with pytest.raises(ModelFileError, match=r"used in paper mode.*engine torch"):
        open_engine(model, engine="onnx", mode="paper")


@pytest.mark.parametrize("pictures", [False, True])
@pytest.mark.parametrize("name", ["torch", "onnx", "openvino"])
def test_a_picture_is_drawn_as_from_floating_point_numbers(model: Path, name: Any, pictures: bool) -> None:
    pytest.importorskip("openvino" if name == "openvino" else "onnxruntime")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), dtype=np.uint8)
    pixels.setflags(write=False)  # as Pillow's are
    exact = open_engine(model, engine="torch", device="cpu")
    expected = from_unit(exact(to_unit(pixels))[:, :3])
    engine = open_engine(model, engine=name, device="cpu", precision="fp32", image_only=pictures)
    assert isinstance(engine, Uint8Backend)
    drawn = engine.predict(pixels)
    assert drawn.dtype == np.uint8
    assert np.abs(drawn.astype(int) - expected).max() <= 1
    assert (drawn != expected).mean() < 0.01


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_what_is_opened_for_pictures_gives_them_without_the_class_head(model: Path, name: Any) -> None:
    pytest.importorskip("openvino" if name == "openvino" else "onnxruntime")
    source = picture(1, 3, 16, 24)
    plain = open_engine(model, engine=name, precision="fp32")(source)
    pictures = open_engine(model, engine=name, precision="fp32", image_only=True)(source)
    assert plain.shape[1] == 3 + SPEC.classes
    assert pictures.shape[1] == 3
    assert np.abs(pictures - plain[:, :3]).max() <= 1 / 127.5 + 1e-6  # a rounded grey level


def test_an_exported_model_opened_for_pictures_in_openvino_leaves_the_class_head_out(
    exports: dict[str, Path],
) -> None:
    pytest.importorskip("openvino")
    source = picture(1, 3, 16, 24)
    both = (open_engine(exports["openvino"], precision="fp32", image_only=only) for only in (False, True))
    plain, pictures = (engine(source) for engine in both)
    assert plain.shape[1] == 3 + SPEC.classes
    np.testing.assert_array_equal(pictures, plain[:, :3])


def test_classes_of_what_is_opened_for_pictures_are_refused(model: Path) -> None:
    translator = Translator.open(model, device="cpu", image_only=True)
    with pytest.raises(SettingsError, match="opened for images only"):
        translator.classes(np.zeros((32, 32, 3), np.uint8))


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_streams_change_no_pixel_and_run_at_the_same_time(model: Path, name: Any) -> None:
    pytest.importorskip("openvino" if name == "openvino" else "onnxruntime")
    sources = [picture(1, 3, 16, 8 * i) for i in range(1, 9)]
    alone = open_engine(model, engine=name, precision="fp32", threads=2)
    shared = open_engine(model, engine=name, precision="fp32", threads=2, streams=2)
    assert (alone.streams, shared.streams) == (1, 2)
    with ThreadPoolExecutor(4) as pool:
        for source, found in zip(sources, pool.map(shared, sources), strict=True):
            np.testing.assert_allclose(found, alone(source), atol=1e-5)


def test_pytorch_searches_for_kernels_only_when_a_shape_comes_again(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TorchEngine.open(model, EngineOptions(device="cpu"))
    searched: list[bool] = []

    def forward(source: torch.Tensor) -> torch.Tensor:
        searched.append(torch.backends.cudnn.benchmark)
        return source

    monkeypatch.setattr(engine._generator, "forward", forward)
    for shape in ((1, 3, 16, 16), (1, 3, 16, 24), (1, 3, 16, 16)):
        engine(picture(*shape))
    engine.predict(np.zeros((1, 16, 24, 3), np.uint8))
    assert searched == [False, False, True, True]
    assert not torch.backends.cudnn.benchmark


def test_bf16_in_pytorch_is_said_and_near(model: Path) -> None:
    engine = TorchEngine.open(model, EngineOptions(device="cpu", precision="bf16"))
    assert engine.name == "PyTorch on cpu, bf16"
    expected = TorchEngine.open(model, EngineOptions(device="cpu"))(picture(1, 3, 16, 16))
    assert np.abs(engine(picture(1, 3, 16, 16)) - expected).mean() < 0.01


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_low_memory_changes_no_pixel(model: Path, engine: Any) -> None:
    pytest.importorskip("openvino" if engine == "openvino" else "onnxruntime")
    source = picture(1, 3, 24, 16)
    plain, small = (
        open_engine(model, engine=engine, precision="fp32", low_memory=low)(source) for low in (False, True)
    )
    np.testing.assert_allclose(plain, small, atol=1e-6)


@pytest.mark.parametrize(
    ("engine", "module", "extra"), [("openvino", "openvino", "openvino"), ("torch", "torch", "train")]
)
def test_an_engine_that_is_not_installed_is_named_with_its_extra(
    model: Path, without: Any, engine: Any, module: str, extra: str
) -> None:
    without(module)
    with pytest.raises(MissingExtraError, match=rf"needs the '{extra}' extra: .* install .*\[{extra}\]"):
        open_engine(model, engine=engine)


def test_paper_mode_without_pytorch_is_named_with_its_extra(model: Path, without: Any) -> None:
    without("torch")
    with pytest.raises(MissingExtraError, match=r"paper mode needs the 'train' extra"):
        open_engine(model, mode="paper")


def test_an_unknown_engine_is_refused_with_the_nearest(model: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean 'openvino'"):
        open_engine(model, engine="opnvino")


def test_an_engine_that_cannot_use_the_gpu_says_so(model: Path) -> None:
    with pytest.raises(SettingsError, match="runs on the CPU"):
        open_engine(model, engine="onnx", device="cuda")


def test_weights_that_do_not_fit_are_refused_with_the_file(tmp_path: Path) -> None:
    other = build_generator(GeneratorSpec(width=4, depth=3))
    path = tmp_path / "other.safetensors"
    save_model(path, other.state_dict(), ModelHeader(generator=SPEC))
    for engine in ("auto", "onnx", "torch"):
        with pytest.raises(ModelFileError, match=r"other.safetensors: its weights do not fit"):
            open_engine(path, engine=engine, device="cpu")


# exported files


@pytest.fixture(scope="module")
def exports(model: Path) -> dict[str, Path]:
    pytest.importorskip("openvino")
    return {to: export_model(model, to).output for to in ("onnx", "openvino")}


@pytest.mark.parametrize(("to", "runtime"), [("onnx", "ONNX Runtime"), ("openvino", "OpenVINO")])
def test_an_exported_model_translates_as_its_model_does(
    model: Path, exports: dict[str, Path], to: str, runtime: str
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (45, 61, 3), dtype=np.uint8)
    translator = Translator.open(exports[to], precision="fp32")
    assert translator.engine.name.startswith(runtime)
    expected = Translator.open(model, engine="torch", device="cpu")
    assert np.abs(translator(pixels).astype(int) - expected(pixels)).max() <= 1
    np.testing.assert_allclose(translator.classes(pixels), expected.classes(pixels), atol=1e-4)


def test_openvino_runs_onnx_files_too(exports: dict[str, Path]) -> None:
    assert open_engine(exports["onnx"], engine="openvino").name.startswith("OpenVINO")


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_the_header_of_an_exported_model_is_that_of_its_model(
    model: Path, exports: dict[str, Path], to: str
) -> None:
    assert read_header(exports[to]) == read_header(model)


def test_an_exported_model_runs_in_no_other_engine_or_mode(exports: dict[str, Path]) -> None:
    with pytest.raises(ModelFileError, match="which PyTorch cannot run"):
        open_engine(exports["onnx"], engine="torch")
    with pytest.raises(ModelFileError, match="is an OpenVINO model"):
        open_engine(exports["openvino"], engine="onnx")
    with pytest.raises(ModelFileError, match="was exported in eval mode"):
        open_engine(exports["onnx"], mode="paper")


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
@pytest.mark.parametrize("content", [b"", b"no model at all", b"<net></net>"])
def test_a_damaged_export_is_refused_in_one_sentence(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=str(path)) as caught:
        open_engine(path)
    assert "\n" not in str(caught.value)


def test_an_openvino_model_without_its_weights_is_refused(exports: dict[str, Path], tmp_path: Path) -> None:
    alone = tmp_path / "alone.xml"
    alone.write_bytes(exports["openvino"].read_bytes())
    with pytest.raises(ModelFileError, match=r"lacks its weights: copy alone.bin"):
        open_engine(alone)

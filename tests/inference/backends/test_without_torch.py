"""Tests that a model runs where PyTorch is not installed, and does not import it where it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sat2map.images.pixels import read_image, write_image
from sat2map.inference import Translator
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import ModelHeader, save_model

FORBID = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        hidden = name.split(".")[0] in {forbidden}
        return None if hidden else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("light")
    spec = GeneratorSpec(width=4, depth=3)
    torch.manual_seed(0)
    half = {name: value.half() for name, value in build_generator(spec).state_dict().items()}
    save_model(folder / "model.safetensors", half, ModelHeader(generator=spec, max_untiled_size=64))
    pixels = np.random.default_rng(0).integers(0, 256, (100, 70, 3), dtype=np.uint8)
    write_image(folder / "photo.png", pixels)
    return folder


def run(code: str, *forbidden: str) -> str:
    code = FORBID.format(forbidden=set(forbidden) or "()") + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_translate_works_in_the_base_install(folder: Path, engine: str) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    output = folder / f"map-{engine}.png"
    code = f"""
from sat2map.cli.main import main
main(["translate", {str(folder / "photo.png")!r}, "--model", {str(folder / "model.safetensors")!r},
      "--output", {str(output)!r}])
"""
    missing = ["torch", "scipy", "matplotlib", "rasterio", "nncf"]
    run(code, *missing, *([] if engine == "openvino" else ["openvino"]))
    expected = Translator.open(folder / "model.safetensors", engine="torch", device="cpu")
    source = read_image(folder / "photo.png").pixels
    difference = np.abs(read_image(output).pixels.astype(int) - expected(source))
    assert difference.max() <= (1 if engine == "onnx" else 8)  # OpenVINO may compute in bf16


def test_translating_imports_no_pytorch_where_it_is_installed(folder: Path) -> None:
    code = f"""
import sys
import numpy as np
from sat2map.inference import Translator
Translator.open({str(folder / "model.safetensors")!r}, device="cpu")(np.zeros((64, 64, 3), np.uint8))
print(sorted({{"torch", "scipy", "matplotlib", "onnxruntime"}} & set(sys.modules)))
"""
    assert run(code).strip() == "['onnxruntime']"


def test_info_on_a_model_file_starts_no_engine(folder: Path) -> None:
    code = f"""
import sys
from sat2map.cli.main import main
main(["info", {str(folder / "model.safetensors")!r}])
assert not {{"torch", "onnx", "onnxruntime", "openvino"}} & set(sys.modules)
"""
    assert "width 4, depth 3" in run(code)

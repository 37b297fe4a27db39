"""Tests of sat2map.models.model_file."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file
from safetensors.torch import load_file
from safetensors.torch import save_file as torch_save_file

from sat2map.errors import ModelFileError, OutputError
from sat2map.images.palette import Palette
from sat2map.inference.translator import Translator
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import (
    DIGEST_KEY,
    FORMAT_VERSION,
    HEADER_KEY,
    ModelHeader,
    read_arrays,
    read_header,
    read_weights,
    save_model,
)
from sat2map.settings import TrainSettings

OLD = Path(__file__).parent / "old_formats"
SPEC = GeneratorSpec(width=4, depth=3, classes=6)


def full_header(**values: Any) -> ModelHeader:
    """Return a header in which no field has its default."""
    given: dict[str, Any] = {
        "created_with": "0.1.0",
        "generator": SPEC,
        "direction": "target-to-source",
        "bands": [{"name": name} for name in ("red", "green", "nir")],
        "image_size": 128,
        "max_untiled_size": 512,
        "gsd": 0.9,
        "gsd_range": (0.6, 2.4),
        "source_scale": 600 / 256,
        "temperature": 1.5,
        "weights_checksum": "0" * 64,
        "licenses": {"encoder": "Apache-2.0"},
        "inference_mode": "paper",
        "palette": Palette.load("maps"),
        "settings": TrainSettings().model_dump(mode="json"),
        "data_fingerprint": "abc",
        "steps": 1234,
        "scores": {"mean_iou": 0.1 + 0.2},
        "notes": "naïve",
    }
    return ModelHeader(**{**given, **values})


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = build_generator(SPEC)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network(torch.rand(2, 3, 16, 16))
    return network.state_dict()


@pytest.fixture
def model(tmp_path: Path, weights: dict[str, torch.Tensor]) -> Path:
    save_model(tmp_path / "model.safetensors", weights, full_header())
    return tmp_path / "model.safetensors"


def refused(path: Path, why: str) -> None:
    """Check that reading the header is refused in one sentence that names the file."""
    with pytest.raises(ModelFileError, match=why) as caught:
        read_header(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))


def write_header(path: Path, text: str) -> Path:
    digest = hashlib.sha256(text.encode()).hexdigest()
    save_file({"a": np.zeros(1)}, path, metadata={HEADER_KEY: text, DIGEST_KEY: digest})
    return path


def changed_header(**values: Any) -> str:
    return json.dumps({**json.loads(full_header().model_dump_json()), **values})


# round trip


def test_weights_come_back_bit_for_bit(model: Path, weights: dict[str, torch.Tensor]) -> None:
    back = read_weights(model)
    assert list(back) == sorted(weights) or set(back) == set(weights)
    for name, tensor in weights.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor), name


def test_weights_fit_the_generator_that_the_header_describes(model: Path) -> None:
    network = build_generator(read_header(model).generator)
    assert network.load_state_dict(read_weights(model)) == ([], [])  # missing, unexpected


def test_half_precision_weights_are_read_in_full_precision(tmp_path: Path) -> None:
    half = {"a": torch.tensor([1 / 3]).bfloat16()}
    save_model(tmp_path / "half.safetensors", half, full_header())
    assert read_weights(tmp_path / "half.safetensors")["a"].dtype == torch.float32


def test_the_header_comes_back_equal(model: Path) -> None:
    header = full_header()
    defaults = ModelHeader(generator=GeneratorSpec())
    same = [name for name in ModelHeader.model_fields if getattr(header, name) == getattr(defaults, name)]
    assert same == ["format_version"]  # there is but one value for it
    back = read_header(model)
    assert len(back.weights_checksum) == 64
    assert back == header.model_copy(update={"weights_checksum": back.weights_checksum})


def test_scores_that_are_infinite_or_missing_come_back(
    tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    scores = {"psnr": math.inf, "road_f1": math.nan}
    save_model(tmp_path / "m.safetensors", weights, full_header(scores=scores))
    back = read_header(tmp_path / "m.safetensors").scores
    assert back["psnr"] == math.inf
    assert math.isnan(back["road_f1"])


def test_any_program_can_read_the_file(model: Path, weights: dict[str, torch.Tensor]) -> None:
    content = model.read_bytes()
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    assert json.loads(metadata[HEADER_KEY])["generator"]["width"] == 4
    assert set(load_file(model)) == set(weights)


def test_the_header_is_read_without_torch(model: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from sat2map.models.model_file import read_header\n"
        "print(read_header(Path(sys.argv[1])).steps, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(model)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1234 False\n"


def test_other_users_may_read_the_file_as_the_umask_says(model: Path) -> None:
    (model.parent / "plain").write_text("")
    assert model.stat().st_mode == (model.parent / "plain").stat().st_mode


# refusals


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "no.safetensors", "does not exist: train a model first")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "is a folder: name the model file in it")


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(model: Path, kept: int) -> None:
    model.write_bytes(model.read_bytes()[:kept])
    refused(model, "truncated")
    with pytest.raises(ModelFileError, match="truncated"):
        read_weights(model)


def test_another_programs_safetensors_is_refused(tmp_path: Path) -> None:
    save_file({"a": np.zeros(1)}, tmp_path / "other.safetensors")
    refused(tmp_path / "other.safetensors", "of another program")


@pytest.mark.parametrize("name", ["latest_net_G.pth", "epoch=3.ckpt", "generator.pt"])
def test_a_pickled_checkpoint_is_refused_by_its_suffix(tmp_path: Path, name: str) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / name)
    refused(tmp_path / name, "is a pickled checkpoint")


def test_a_pickle_is_refused_under_any_name(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    refused(tmp_path / "model.safetensors", "is not a model file")


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    refused(tmp_path / "model.safetensors", "is not a model file")


def test_a_newer_version_asks_for_an_upgrade(tmp_path: Path) -> None:
    newer = changed_header(format_version=FORMAT_VERSION + 1, invented_later=True)
    refused(write_header(tmp_path / "m.safetensors", newer), "newer than this sat2map reads: upgrade sat2map")


@pytest.mark.parametrize("version", [0, -3])
def test_a_version_that_never_was_is_refused(tmp_path: Path, version: int) -> None:
    old = changed_header(format_version=version)
    refused(write_header(tmp_path / "m.safetensors", old), "which does not exist: it is damaged")


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "null"])
def test_a_damaged_header_is_refused(tmp_path: Path, text: str) -> None:
    refused(write_header(tmp_path / "m.safetensors", text), "damaged header")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"generator": {"architecture": "vit"}}, "generator.architecture = 'vit'"),
        ({"generator": {"depth": 60}}, "generator.depth = 60"),
        ({"generator": {"width": 10**9}}, "generator.width = 10"),
        ({"surprise": 1}, "surprise"),
        ({"image_size": 0}, "image_size = 0"),
        ({"max_untiled_size": 10**6}, "max_untiled_size = 1000000"),
        ({"gsd": math.nan}, "gsd = nan"),
        ({"gsd": "inf"}, "gsd = .inf"),
        ({"gsd": 1e-300}, "gsd = 1e-300"),
        ({"gsd": -1}, "gsd = -1"),
        ({"gsd_range": [2, 1]}, "gsd_range runs from 2 down to 1"),
        ({"temperature": 0}, "temperature = 0"),
        ({"bands": [{"name": "red"}]}, "bands has 1 entries for 3 source bands"),
        (
            {"bands": [{"name": "red", "low": 5, "high": 5}] * 3},
            r"bands.0 = .*: value error|low 5 is not below high 5",
        ),
        ({"generator": {"colours": 14}}, "unet does not go with generator.colours = 14"),
        (
            {"generator": {"architecture": "efficient-unet"}},
            "efficient-unet does not go with generator.colours = 0",
        ),
        (
            {"generator": {"architecture": "efficient-unet", "colours": 3}},
            "the palette has 14 colours, and the generator 3",
        ),
        ({"notes": "x" * 10**6}, "notes = "),
        ({"weights_checksum": "abc"}, "weights_checksum = 'abc'"),
    ],
)
def test_a_header_with_values_that_do_not_fit_is_refused(
    tmp_path: Path, values: dict[str, Any], why: str
) -> None:
    path = write_header(tmp_path / "m.safetensors", changed_header(**values))
    refused(path, f"has a header that does not fit: {why}")


def test_a_header_without_a_generator_is_refused(tmp_path: Path) -> None:
    values = json.loads(full_header().model_dump_json())
    del values["generator"]
    path = write_header(tmp_path / "m.safetensors", json.dumps(values))
    refused(path, "does not fit: generator is missing")


@pytest.mark.parametrize("text", ['{"steps": ' + "1" * 5000 + "}", "[" * 100_000])
def test_a_header_that_no_parser_can_hold_is_refused(tmp_path: Path, text: str) -> None:
    refused(write_header(tmp_path / "m.safetensors", text), "has a damaged header")


def test_a_header_of_many_megabytes_is_refused_unread(tmp_path: Path) -> None:
    path = write_header(tmp_path / "m.safetensors", changed_header(settings={"x": "y" * 9_000_000}))
    with path.open("ab") as file:  # so that the length is one that the file could have
        file.write(bytes(10))
    refused(path, "has a header of 8 MiB: it is damaged")


# checksums


def test_the_checksum_is_that_of_names_types_shapes_and_bytes(tmp_path: Path) -> None:
    weights = {"b": torch.tensor([1.0, 2.0]), "a": torch.tensor([[3]], dtype=torch.int64)}
    save_model(tmp_path / "m.safetensors", weights, full_header())
    by_hand = hashlib.sha256()
    by_hand.update(b'["a", "I64", [1, 1]]' + np.array([3], "<i8").tobytes())
    by_hand.update(b'["b", "F32", [2]]' + np.array([1, 2], "<f4").tobytes())
    assert read_header(tmp_path / "m.safetensors").weights_checksum == by_hand.hexdigest()


def test_any_flipped_byte_is_an_error_or_changes_nothing(model: Path) -> None:
    content = bytearray(model.read_bytes())
    expected_header, expected = read_header(model), read_arrays(model)
    found = 0
    for at in [*range(0, 200), *range(200, len(content), 97)]:
        content[at] ^= 4
        model.write_bytes(content)
        content[at] ^= 4
        try:
            header, arrays = read_header(model), read_arrays(model)
        except ModelFileError as error:
            found += "\n" not in str(error)
            continue
        # "format": "pt" is for other programs, and nothing here depends on it
        assert header == expected_header
        assert arrays.keys() == expected.keys()
        assert all(np.array_equal(arrays[name], expected[name]) for name in expected)
    assert found > 400


def test_exchanged_tensors_are_an_error(model: Path, weights: dict[str, torch.Tensor]) -> None:
    header = read_header(model)
    text = header.model_dump_json()
    digest = hashlib.sha256(text.encode()).hexdigest()
    changed = {name: -tensor.contiguous() for name, tensor in weights.items()}
    torch_save_file(changed, model, metadata={HEADER_KEY: text, DIGEST_KEY: digest})
    for read in (read_arrays, read_weights):
        with pytest.raises(ModelFileError, match="its weights do not match their checksum: copy the file"):
            read(model)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_neither_saved_nor_read(tmp_path: Path, value: float) -> None:
    weights = {"good": torch.ones(3), "bad.weight": torch.tensor([0.0, value])}
    path = tmp_path / "m.safetensors"
    with pytest.raises(ModelFileError, match=r"weights of bad\.weight are not finite numbers: the training"):
        save_model(path, weights, full_header())
    assert not path.exists()
    # a file of the first format, which has no checksum either
    old = json.dumps({"format_version": 1, "generator": SPEC.model_dump(exclude={"colours"})})
    torch_save_file(weights, path, metadata={HEADER_KEY: old})
    for read in (read_arrays, read_weights):
        with pytest.raises(ModelFileError, match="are not finite numbers"):
            read(path)


# older formats


def test_a_file_of_format_1_has_its_facts_under_the_new_names() -> None:
    header = read_header(OLD / "unet-v1.safetensors")
    assert header.format_version == FORMAT_VERSION
    assert (header.gsd, header.max_untiled_size, header.image_size) == (2.1, 512, 256)
    assert [(band.name, band.low, band.high) for band in header.bands] == [
        ("red", 0, 255),
        ("green", 0, 255),
        ("blue", 0, 255),
    ]
    assert (header.generator.classes, header.generator.colours, header.steps) == (2, 0, 1234)
    assert header.palette == Palette.load("maps")
    assert header.scores == {"mean_iou": 0.5, "psnr": math.inf}
    assert header.weights_checksum == ""


@pytest.mark.parametrize("name", ["unet-v1", "resnet-v1"])
def test_a_file_of_format_1_draws_what_the_old_code_drew(name: str) -> None:
    y, x = np.mgrid[:24, :40]
    source = np.stack([(7 * x + 3 * y) % 256, (5 * y + x * x) % 256, (11 * x + 13 * y) % 256], axis=-1)
    drawn = Translator.open(OLD / f"{name}.safetensors")(source.astype(np.uint8))
    expected = np.asarray(Image.open(OLD / f"{name}.png"))  # in bf16, from which fp32 is as far
    assert np.abs(drawn.astype(int) - expected).max() <= 2


# writing


def test_a_failure_keeps_the_old_file(
    model: Path, weights: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_bytes(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, os.strerror(28))

    before = model.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(OutputError, match="the disk is full"):
        save_model(model, weights, full_header(steps=1))
    assert model.read_bytes() == before
    assert list(model.parent.iterdir()) == [model]


def test_a_write_past_the_systems_limit_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="file size limits are POSIX")
    program = (
        "import resource, sys, torch; from pathlib import Path\n"
        "from sat2map.errors import OutputError\n"
        "from sat2map.models.architectures.spec import GeneratorSpec\n"
        "from sat2map.models.model_file import ModelHeader, save_model\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "header = ModelHeader(generator=GeneratorSpec())\n"
        "try: save_model(Path(sys.argv[1]), {'a': torch.zeros(100_000)}, header)\n"
        "except OutputError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "m.safetensors")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "m.safetensors cannot be written: File too large" in said
    assert list(tmp_path.iterdir()) == []

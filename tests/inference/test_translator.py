"""Tests of sat2map.inference.translator, with networks small enough to run in no time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sat2map.errors import ImageError, ModelFileError
from sat2map.inference import Translator
from sat2map.inference.backends import EngineOptions
from sat2map.inference.backends.torch.engine import TorchEngine
from sat2map.inference.tiling import Grid
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.header import ModelHeader
from sat2map.models.model_file import save_model
from sat2map.settings import InferenceMode

CPU = torch.device("cpu")


def make_network(spec: GeneratorSpec) -> torch.nn.Module:
    """A network with PyTorch's own initial weights, which draw contrasts, and statistics that fit them."""
    torch.manual_seed(0)
    network = build_generator(spec).requires_grad_(False)
    side = max(64, 2 * spec.size_divisor)
    for _ in range(30):
        network(torch.rand(2, spec.source_bands, side, side) * 2 - 1)
    return network


def make_translator(
    spec: GeneratorSpec, *, max_untiled_size: int = 128, mode: InferenceMode = "eval"
) -> Translator:
    header = ModelHeader(generator=spec, max_untiled_size=max_untiled_size, inference_mode=mode)
    return Translator(TorchEngine(make_network(spec), header, CPU))


@pytest.fixture(scope="module")
def translator() -> Translator:
    return make_translator(GeneratorSpec(width=4, depth=3, classes=5))


def aerial(height: int, width: int, bands: int = 3) -> NDArray[np.uint8]:
    """Blocks and noise: edges at all places, as a photo has."""
    rng = np.random.default_rng(height * 1000 + width)
    blocks = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, bands))
    picture = blocks.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    return np.clip(picture + rng.normal(0, 10, picture.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "size", [(16, 16), (17, 301), (301, 17), (33, 47), (64, 64), (128, 128), (129, 128), (250, 331)]
)
def test_a_map_has_the_size_of_its_image(translator: Translator, size: tuple[int, int]) -> None:
    fake = translator(aerial(*size))
    assert fake.shape == (*size, 3)
    assert fake.dtype == np.uint8


def test_it_equals_the_network_run_on_an_array_padded_by_hand() -> None:
    spec = GeneratorSpec(width=4, depth=3)
    source = aerial(45, 67)
    padded = np.pad(source, ((0, 3), (0, 5), (0, 0)), mode="reflect")
    with torch.no_grad():
        unit = torch.from_numpy(padded).permute(2, 0, 1)[None].double() / 127.5 - 1
        out = make_network(spec).eval().double()(unit)[0, :, :45, :67]
    expected = ((out + 1) * 127.5).round().permute(1, 2, 0).numpy()
    fake = make_translator(spec)(source).astype(int)
    # In fp32, where the oracle has fp64, a value in the middle of two levels may fall to either side.
    assert np.abs(fake - expected).max() <= 1
    assert (fake == expected).mean() > 0.999


def test_the_test_network_draws_pictures_of_contrast(translator: Translator) -> None:
    assert translator(aerial(64, 64)).std() > 5


@pytest.mark.parametrize("depth", [2, 3])
def test_an_image_in_tiles_is_the_image_in_one_piece_within_three_grey_levels(depth: int) -> None:
    spec = GeneratorSpec(width=4, depth=depth)
    source = aerial(896, 896)  # tiles of 512 px that share 32 px
    whole = make_translator(spec, max_untiled_size=1024)(source).astype(int)
    tiled = make_translator(spec, max_untiled_size=512)(source).astype(int)
    assert np.abs(tiled - whole).max() <= 3


def test_tiles_without_overlap_would_show() -> None:
    spec = GeneratorSpec(width=4, depth=3)
    source = aerial(1024, 1024)
    whole = make_translator(spec, max_untiled_size=1024)(source).astype(int)
    translator = make_translator(spec, max_untiled_size=512)
    translator.grid = Grid(512, 512)
    assert np.abs(translator(source).astype(int) - whole).max() > 10


def test_progress_is_told_tile_by_tile_up_to_all_of_them(translator: Translator) -> None:
    told: list[tuple[int, int]] = []
    translator(aerial(128, 250), lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_network_that_takes_multiples_larger_than_the_image_is_served() -> None:
    fake = make_translator(GeneratorSpec(width=4, depth=7), max_untiled_size=128)(aerial(20, 200))
    assert fake.shape == (20, 200, 3)


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_an_image_with_other_bands_is_refused_in_words(translator: Translator, bands: int) -> None:
    with pytest.raises(ImageError, match=rf"\(32, 32, {bands}\).*\(height, width, 3\)"):
        translator(aerial(32, 32, bands))


def test_an_array_without_bands_is_refused_in_words(translator: Translator) -> None:
    with pytest.raises(ImageError, match=r"\(32, 32\).*\(height, width, 3\)"):
        translator(aerial(32, 32)[..., 0])


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.bool_])
def test_an_array_of_another_type_is_refused_in_words(translator: Translator, dtype: type) -> None:
    with pytest.raises(ImageError, match=f"is {np.dtype(dtype)}, but this model takes uint8"):
        translator(aerial(32, 32).astype(dtype))


@pytest.mark.parametrize("size", [(15, 64), (64, 15), (1, 1), (0, 64)])
def test_an_image_under_16_pixels_is_refused_in_words(translator: Translator, size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=f"{size[1]} x {size[0]} px: it needs 16"):
        translator(np.zeros((*size, 3), np.uint8))


def test_an_array_seen_through_strides_is_translated_as_its_copy(translator: Translator) -> None:
    source = aerial(64, 64)[::-1, :, ::-1]
    assert not source.flags.c_contiguous
    np.testing.assert_array_equal(translator(source), translator(source.copy()))


def test_an_array_that_must_not_be_written_is_translated_and_left_alone(translator: Translator) -> None:
    source = aerial(64, 64)
    source.flags.writeable = False
    before = source.copy()
    translator(source)
    np.testing.assert_array_equal(source, before)


def test_the_same_image_gives_the_same_map_every_time() -> None:
    translator = make_translator(GeneratorSpec(width=4, depth=3, dropout=0.5))
    source = aerial(80, 80)
    np.testing.assert_array_equal(translator(source), translator(source))


def test_a_map_does_not_depend_on_what_else_is_in_the_batch(translator: Translator) -> None:
    unit = np.random.default_rng(0).uniform(-1, 1, (3, 3, 64, 64)).astype(np.float32)
    together = translator.engine(unit)
    for i in range(3):
        np.testing.assert_allclose(translator.engine(unit[i : i + 1])[0], together[i], atol=1e-5)


def test_a_map_does_not_depend_on_the_image_before_it(translator: Translator) -> None:
    source = aerial(64, 64)
    first = translator(source)
    translator(aerial(90, 200))
    np.testing.assert_array_equal(translator(source), first)


def test_class_probabilities_add_up_to_one(translator: Translator) -> None:
    odds = translator.classes(aerial(150, 61))
    assert odds.shape == (5, 150, 61)
    assert odds.min() >= 0
    np.testing.assert_allclose(odds.sum(axis=0), 1, atol=1e-5)


def test_class_probabilities_are_the_softmax_of_the_logits(translator: Translator) -> None:
    source = aerial(64, 64)
    expected = torch.softmax(torch.from_numpy(translator.run(source)[3:]), dim=0).numpy()
    np.testing.assert_allclose(translator.classes(source), expected, atol=1e-5)


def test_classes_of_a_model_without_a_class_head_are_refused_in_words() -> None:
    with pytest.raises(ModelFileError, match="no class head: train one on a data set with a palette"):
        make_translator(GeneratorSpec(width=4, depth=3)).classes(aerial(32, 32))


def test_paper_mode_uses_the_statistics_of_the_image() -> None:
    spec = GeneratorSpec(width=4, depth=3, dropout=0)
    dark = aerial(64, 64) // 4
    paper, network = make_translator(spec, mode="paper"), make_network(spec).train()
    with torch.no_grad():
        unit = torch.from_numpy(dark).permute(2, 0, 1)[None].float() / 127.5 - 1
        expected = ((network(unit)[0] + 1) * 127.5).round().permute(1, 2, 0).numpy()
    np.testing.assert_allclose(paper(dark), expected, atol=1)
    assert (paper(dark) != make_translator(spec)(dark)).mean() > 0.5


def test_paper_mode_draws_dropout_anew_each_time() -> None:
    paper = make_translator(GeneratorSpec(width=4, depth=4, dropout=0.5), mode="paper")
    source = aerial(64, 64)
    assert (paper(source) != paper(source)).any()


@pytest.mark.parametrize("mode", ["eval", "paper"])
def test_translating_changes_nothing_in_the_network(mode: InferenceMode) -> None:
    spec = GeneratorSpec(width=4, depth=3)
    network = make_network(spec).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    Translator(TorchEngine(network, ModelHeader(generator=spec, inference_mode=mode), CPU))(aerial(64, 64))
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    network(torch.rand(1, 3, 64, 64))
    moved = [name for name, tensor in network.state_dict().items() if not torch.equal(before[name], tensor)]
    assert any("running_mean" in name for name in moved), "a training step afterwards must move them again"


def test_a_model_file_translates_as_the_network_in_memory(tmp_path: Path) -> None:
    spec = GeneratorSpec(width=4, depth=3)
    path = tmp_path / "model.safetensors"
    save_model(path, make_network(spec).state_dict(), ModelHeader(generator=spec, max_untiled_size=128))
    source = aerial(70, 90)
    opened = Translator(TorchEngine.open(path, EngineOptions(device="cpu")))
    assert np.abs(opened(source).astype(int) - make_translator(spec)(source)).max() == 0


def test_the_mode_of_a_model_file_can_be_overruled(tmp_path: Path) -> None:
    spec = GeneratorSpec(width=4, depth=3)
    path = tmp_path / "model.safetensors"
    save_model(path, make_network(spec).state_dict(), ModelHeader(generator=spec))
    assert Translator.open(path, device="cpu").header.inference_mode == "eval"
    assert Translator.open(path, device="cpu", mode="paper").header.inference_mode == "paper"


def test_weights_that_do_not_fit_the_header_are_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    weights = make_network(GeneratorSpec(width=4, depth=3)).state_dict()
    save_model(path, weights, ModelHeader(generator=GeneratorSpec(width=4, depth=4)))
    with pytest.raises(ModelFileError, match="its weights do not fit the network of its header"):
        Translator.open(path, device="cpu")

"""Tests of sat2map.models.importers: each network draws here what it drew where it comes from."""

from __future__ import annotations

import functools
import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stand_ins as them  # type: ignore[import-not-found]
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sat2map.errors import ModelFileError, OutputError, SettingsError
from sat2map.inference import Translator
from sat2map.inference.backends import open_engine
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.discriminator import PatchGAN
from sat2map.models.importers import detect_generator, import_checkpoint
from sat2map.models.model_file import ModelHeader, read_header, read_weights, save_model
from sat2map.models.onnx.generator_graph import build_graph

NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "unet_128, batch": (lambda: them.NestedUNet(7), 128),
    "unet_256, batch": (lambda: them.NestedUNet(8), 256),
    "unet_256, instance": (lambda: them.NestedUNet(8, norm="instance"), 256),
    "unet_128, no norm": (lambda: them.NestedUNet(7, norm="none"), 128),
    "unet_128, 4 bands to 1": (lambda: them.NestedUNet(7, bands=(4, 1)), 128),
    "resnet_9blocks, instance": (lambda: them.FlatResNet(9), 32),
    "resnet_9blocks, batch, dropout": (lambda: them.FlatResNet(9, norm="batch", dropout=True), 32),
    "resnet_6blocks, instance, dropout": (lambda: them.FlatResNet(6, dropout=True), 32),
    "resnet_6blocks, no norm": (lambda: them.FlatResNet(6, norm="none"), 32),
    "pix2pixHD, instance, 5 bands": (lambda: them.FlatResNet(9, 4, biased=True, bands=(5, 3)), 64),
    "pix2pixHD, batch": (lambda: them.FlatResNet(3, 3, norm="batch", biased=True), 64),
}


def picture(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def saved(network: nn.Module, path: Path, **beside: Any) -> Path:
    torch.save({"state_dict": network.state_dict(), **beside} if beside else network.state_dict(), path)
    return path


def drawn(model: Path, source: Tensor, engine: Any = "torch") -> Tensor:
    return torch.from_numpy(open_engine(model, engine=engine, device="cpu")(source.numpy()))


def refused(checkpoint: Path, why: str) -> str:
    """Check that a checkpoint is refused in one sentence that names it, and that nothing is written."""
    output = checkpoint.with_name("out.safetensors")
    with pytest.raises(ModelFileError, match=why) as caught:
        import_checkpoint(checkpoint, output)
    told = str(caught.value)
    assert str(checkpoint) in told
    assert "\n" not in told
    assert not output.exists()
    return told


# parity


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("engine", "tolerance"), [("torch", 1e-5), ("onnx", 1e-4)])
def test_an_imported_generator_draws_what_it_drew(
    name: str, engine: str, tolerance: float, tmp_path: Path
) -> None:
    make, side = NETWORKS[name]
    theirs = them.well_used(make())
    bands = ["red", "green", "blue", "nir", "swir"] if "5 bands" in name else []
    found = import_checkpoint(saved(theirs, tmp_path / "net_G.pth"), tmp_path / "m.safetensors", bands=bands)
    source = picture(2, found.spec.source_bands, side, 2 * side)
    with torch.no_grad():
        expected = theirs(source)
    assert expected.std() > 0.05  # not all black or white, where anything would agree
    found_there = drawn(tmp_path / "m.safetensors", source, engine)
    torch.testing.assert_close(found_there, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_the_tutorials_generator_draws_the_picture_that_the_tutorial_saves(
    engine: str, tmp_path: Path
) -> None:
    theirs = them.well_used(them.TutorialGenerator())
    import_checkpoint(saved(theirs, tmp_path / "gen.pth"), tmp_path / "m.safetensors")
    source = picture(1, 3, 512, 512)
    with torch.no_grad():
        picture_saved = theirs((source + 1) / 2).clamp(0, 1)
    assert 0.05 < float((picture_saved > 0).float().mean()) < 0.95  # some of it is cut off, and some is not
    ours = (drawn(tmp_path / "m.safetensors", source, engine) + 1) / 2
    torch.testing.assert_close(ours, picture_saved, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_imported_network_is_recognised_by_name(name: str) -> None:
    found = detect_generator(them.well_used(NETWORKS[name][0]()).state_dict())
    kind, _, rest = name.partition(", ")
    if kind.startswith("unet"):
        assert (found.spec.architecture, 2**found.spec.depth) == ("unet", int(kind[5:]))
    elif kind.startswith("resnet"):
        assert found.spec.architecture == f"resnet{kind[7]}"
        assert found.spec.dropout == (0.5 if "dropout" in rest else 0)
    else:
        assert "pix2pixHD" in found.kind
    assert found.spec.norm == ("none" if "no norm" in rest else "instance" if "instance" in rest else "batch")


def test_an_imported_model_translates_an_image_of_any_size(tmp_path: Path) -> None:
    import_checkpoint(
        saved(them.well_used(them.NestedUNet(7)), tmp_path / "g.pth"), tmp_path / "m.safetensors"
    )
    translator = Translator.open(tmp_path / "m.safetensors", engine="onnx")
    source = np.random.default_rng(0).integers(0, 256, (150, 201, 3), dtype=np.uint8)
    assert translator(source).shape == (150, 201, 3)


# forms of the same checkpoint


def test_instance_norm_statistics_of_old_files_are_left_out(tmp_path: Path) -> None:
    theirs = them.well_used(them.FlatResNet(6))
    weights = theirs.state_dict()
    for name, module in theirs.named_modules():
        if isinstance(module, nn.InstanceNorm2d):
            weights[f"{name}.running_mean"] = torch.ones(module.num_features)
            weights[f"{name}.running_var"] = torch.full((module.num_features,), 9.0)
    torch.save(weights, tmp_path / "old.pth")
    import_checkpoint(tmp_path / "old.pth", tmp_path / "m.safetensors")
    source = picture(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            drawn(tmp_path / "m.safetensors", source), theirs(source), atol=1e-5, rtol=0
        )


def test_batch_norm_without_counters_as_in_old_files_is_read() -> None:
    theirs = them.well_used(them.NestedUNet(7))
    weights = theirs.state_dict()
    found = detect_generator(
        {name: w for name, w in weights.items() if not name.endswith("num_batches_tracked")}
    )
    ours = build_generator(found.spec).eval()
    ours.load_state_dict(found.weights)
    source = picture(1, 3, 128, 128)
    with torch.no_grad():
        torch.testing.assert_close(ours(source), theirs(source), atol=1e-5, rtol=0)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module.module.", "_orig_mod.module."])
def test_prefixes_of_wrappers_are_taken_off(prefix: str, tmp_path: Path) -> None:
    weights = them.FlatResNet(6).state_dict()
    torch.save({f"{prefix}{name}": w for name, w in weights.items()}, tmp_path / "g.pth")
    assert import_checkpoint(tmp_path / "g.pth", tmp_path / "m.safetensors").spec.architecture == "resnet6"


def test_the_generator_is_found_in_a_checkpoint_of_a_whole_training(tmp_path: Path) -> None:
    network, other = them.TutorialGenerator(), PatchGAN(6, width=4)
    adam = torch.optim.Adam(network.parameters())
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(
        {"epoch": 3, "disc": other.state_dict(), "gen": network.state_dict(), "o": adam.state_dict()}, path
    )
    assert import_checkpoint(path, tmp_path / "m.safetensors").spec.architecture == "tutorial"


def test_half_precision_becomes_full(tmp_path: Path) -> None:
    import_checkpoint(saved(them.FlatResNet(6).half(), tmp_path / "g.pth"), tmp_path / "m.safetensors")
    assert {weight.dtype for weight in read_weights(tmp_path / "m.safetensors").values()} == {torch.float32}
    Translator.open(tmp_path / "m.safetensors", engine="torch", device="cpu")


def test_the_header_says_where_it_comes_from_and_what_was_told(tmp_path: Path) -> None:
    import_checkpoint(
        saved(them.NestedUNet(8), tmp_path / "latest_net_G.pth"),
        tmp_path / "m.safetensors",
        direction="target-to-source",
        mode="paper",
        palette="maps",
        gsd=0.9,
    )
    header = read_header(tmp_path / "m.safetensors")
    assert header.notes == "imported from latest_net_G.pth, a U-Net of pytorch-CycleGAN-and-pix2pix"
    assert (header.direction, header.inference_mode) == ("target-to-source", "paper")
    assert (header.gsd, header.image_size, header.max_untiled_size) == (0.9, 256, 256)
    assert header.palette is not None
    assert header.palette.name == "maps"


# refusals


class Runs:
    """What a pickle can hold: something that runs when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_a_pickle_that_wants_to_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    torch.save({"weights": torch.ones(1), "extra": Runs(tmp_path / "ran")}, tmp_path / "evil.pth")
    told = refused(tmp_path / "evil.pth", "wants to run code")
    assert "mkdir" in told
    assert not (tmp_path / "ran").exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Conv2d(3, 3, 3)), tmp_path / "g.pth")
    refused(tmp_path / "g.pth", r"wants to run code .*torch\.save\(model\.state_dict\(\)")


@pytest.mark.parametrize("kept", [10, 0.3, 0.95])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, kept: float) -> None:
    path = saved(them.FlatResNet(6), tmp_path / "g.pth")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    refused(path, "is truncated, or not a checkpoint")


def onnx_model() -> bytes:
    arrays = {
        name: w.numpy() for name, w in build_generator(GeneratorSpec(width=4, depth=2)).state_dict().items()
    }
    content: bytes = build_graph(GeneratorSpec(width=4, depth=2), arrays).SerializeToString()
    return content


def torch_script() -> bytes:
    content = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Conv2d(3, 3, 3), torch.zeros(1, 3, 8, 8)), content)
    return content.getvalue()


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return content.getvalue()


OTHER_FORMATS: dict[str, Callable[[], bytes]] = {
    "a web page": lambda: b"<!DOCTYPE html><html>not found</html>",
    "a pointer of Git LFS": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "an HDF5 file, as Keras writes": lambda: b"\x89HDF\r\n\x1a\n" + bytes(100),
    "a model of Keras": lambda: zipped("config.json", "metadata.json", "model.weights.h5"),
    "a file of Torch7": lambda: (
        struct.pack("<iii", 4, 1, 3) + b"V 1" + struct.pack("<i", 13) + b"nn.Sequential"
    ),
    "an ONNX model": onnx_model,
    "a TorchScript program": torch_script,
    "a TensorFlow Lite model": lambda: b"\x1c\0\0\0TFL3" + bytes(50),
    "a zip archive": lambda: zipped("readme.txt"),
    "an empty file": lambda: b"",
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", OTHER_FORMATS)
def test_a_file_of_another_program_is_refused_by_its_name(kind: str, tmp_path: Path) -> None:
    (tmp_path / "g.pth").write_bytes(OTHER_FORMATS[kind]())
    said = refused(tmp_path / "g.pth", rf"is {kind}.*, not a checkpoint of PyTorch")
    assert "truncated" not in said


def test_safetensors_under_another_suffix_are_read(tmp_path: Path) -> None:
    save_file({n: w.contiguous() for n, w in them.FlatResNet(6).state_dict().items()}, tmp_path / "g.pth")
    assert import_checkpoint(tmp_path / "g.pth", tmp_path / "m.safetensors").spec.architecture == "resnet6"


# networks that look like another


def test_a_network_for_label_maps_is_refused_unless_its_bands_are_named(tmp_path: Path) -> None:
    path = saved(them.FlatResNet(9, 4, biased=True, bands=(36, 3)), tmp_path / "g.pth")
    refused(path, "takes 36 bands, as networks for label maps do")
    names = [f"b{i}" for i in range(36)]
    import_checkpoint(path, tmp_path / "m.safetensors", bands=names)
    assert [band.name for band in read_header(tmp_path / "m.safetensors").bands] == names


def test_another_number_of_names_than_bands_is_refused(tmp_path: Path) -> None:
    path = saved(them.FlatResNet(6), tmp_path / "g.pth")
    with pytest.raises(ModelFileError, match="takes 3 bands, and 2 are named"):
        import_checkpoint(path, tmp_path / "m.safetensors", bands=["red", "green"])


class OldNestedUNet(them.NestedUNet):  # type: ignore[misc]
    """As before 2017-09-22: a bias in every convolution, and the skip behind what comes from below."""

    def __init__(self, levels: int, *, biased: bool) -> None:
        super().__init__(levels, norm="batch")
        for module in list(self.modules()):
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and biased and module.bias is None:
                outputs = module.out_channels
                module.bias = nn.Parameter(torch.randn(outputs) / 10)
            if isinstance(module, them.SkipBlock):
                module.forward = functools.partial(old_forward, module)


def old_forward(block: them.SkipBlock, x: Tensor) -> Tensor:
    y: Tensor = block.model(x)
    return y if block.top else torch.cat([y, nn.functional.leaky_relu(x, 0.2)], 1)


@pytest.mark.parametrize(("biased", "skips"), [(True, "auto"), (True, "old"), (False, "old")])
def test_a_u_net_of_before_2017_09_22_draws_what_it_drew(biased: bool, skips: Any, tmp_path: Path) -> None:
    theirs = them.well_used(OldNestedUNet(7, biased=biased))
    found = import_checkpoint(saved(theirs, tmp_path / "g.pth"), tmp_path / "m.safetensors", skips=skips)
    assert any("before 2017-09-22" in note for note in found.notes)
    source = picture(1, 3, 128, 128)
    with torch.no_grad():
        torch.testing.assert_close(
            drawn(tmp_path / "m.safetensors", source), theirs(source), atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("mode", ["eval", "paper"])
def test_instance_norm_with_tracked_statistics_draws_what_it_drew(mode: Any, tmp_path: Path) -> None:
    theirs = them.FlatResNet(6)
    for module in theirs.modules():
        if isinstance(module, nn.Sequential):
            for i, layer in enumerate(module):
                if isinstance(layer, nn.InstanceNorm2d):
                    module[i] = nn.InstanceNorm2d(layer.num_features, track_running_stats=True)
    theirs.train()
    with torch.no_grad():
        for _ in range(5):
            theirs(torch.randn(1, 3, 32, 32) * 2 + 0.5)
    path = saved(theirs, tmp_path / "g.pth")
    found = import_checkpoint(path, tmp_path / "m.safetensors", mode=mode)
    assert any("tracks statistics" in note for note in found.notes)
    assert "tracks statistics" in read_header(tmp_path / "m.safetensors").notes
    theirs.train(mode == "paper")
    source = picture(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            drawn(tmp_path / "m.safetensors", source), theirs(source), atol=1e-5, rtol=0
        )


def two_generators() -> dict[str, nn.Module]:
    torch.manual_seed(3)
    return {"netG_A": them.FlatResNet(6), "netG_B": them.FlatResNet(9)}


@pytest.mark.parametrize("flat", [False, True])
def test_of_several_generators_the_first_is_taken_and_said_and_an_option_picks(
    flat: bool, tmp_path: Path
) -> None:
    nested = {name: network.state_dict() for name, network in two_generators().items()}
    if flat:
        weights = {f"{key}.{name}": w for key, part in nested.items() for name, w in part.items()}
        torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "g.ckpt")
        keys = ["state_dict.netG_A", "state_dict.netG_B"]
    else:
        torch.save(nested, tmp_path / "g.ckpt")
        keys = ["netG_A", "netG_B"]
    first = import_checkpoint(tmp_path / "g.ckpt", tmp_path / "a.safetensors")
    assert first.spec.architecture == "resnet6"
    assert f"of the generators {', '.join(keys)} in the file, {keys[0]} was taken" in first.notes
    second = import_checkpoint(tmp_path / "g.ckpt", tmp_path / "b.safetensors", generator=keys[1])
    assert second.spec.architecture == "resnet9"
    with pytest.raises(ModelFileError, match="holds no generator under the key 'netG_C'"):
        import_checkpoint(tmp_path / "g.ckpt", tmp_path / "c.safetensors", generator="netG_C")


def test_a_generator_beside_a_discriminator_gets_its_own_reason(tmp_path: Path) -> None:
    broken = them.FlatResNet(9).state_dict()
    del broken["model.1.weight"]
    path = tmp_path / "both.pth"
    torch.save({"D": {"model.0.weight": torch.ones(1, 6, 4, 4)}, "G": broken}, path)
    refused(path, r"model\.1\.weight is missing")


def test_a_residual_generator_of_another_project_is_not_called_a_discriminator(tmp_path: Path) -> None:
    weights = {
        "model.0.weight": torch.ones(8, 3, 7, 7),
        "model.3.block.0.weight": torch.ones(8, 8, 3, 3),
        "model.9.weight": torch.ones(3, 8, 7, 7),
    }
    torch.save(weights, tmp_path / "g.pth")
    refused(tmp_path / "g.pth", "is of an unknown network")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "no.pth", "does not exist")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "is a folder: name the checkpoint in it")


def test_a_file_without_weights_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "losses": [1.0, 2.0]}, tmp_path / "g.pth")
    refused(tmp_path / "g.pth", "holds no state dict")


def test_an_unknown_network_is_told_which_keys_were_expected_and_found(tmp_path: Path) -> None:
    torch.save({"encoder.stem.weight": torch.ones(2, 3, 3, 3)}, tmp_path / "g.pth")
    told = refused(tmp_path / "g.pth", "unknown network")
    for word in ("model.model.0.weight", "DownConvLayer1.0.weight", "found encoder.stem.weight"):
        assert word in told


def test_a_discriminator_is_refused(tmp_path: Path) -> None:
    layers = nn.Sequential(nn.Conv2d(6, 8, 4, 2, 1), nn.LeakyReLU(), nn.Conv2d(8, 1, 4, 1, 1))
    for i, prefix in enumerate(("model.", "net.", "scale0_layer0.", "Conv")):
        names = {"Conv": "ConvLayer1.0.weight"}.get(prefix, f"{prefix}0.weight")
        torch.save({names: layers.state_dict()["0.weight"]}, tmp_path / f"{i}.pth")
        refused(tmp_path / f"{i}.pth", "is a discriminator, which draws nothing: name the generator")


def test_a_missing_key_is_named_as_it_is_called_there(tmp_path: Path) -> None:
    weights = them.NestedUNet(7).state_dict()
    del weights["model.model.1.model.3.model.2.running_mean"]
    torch.save(weights, tmp_path / "g.pth")
    refused(
        tmp_path / "g.pth", r"a U-Net .*, but model\.model\.1\.model\.3\.model\.2\.running_mean is missing"
    )


def test_a_key_of_no_layer_is_named(tmp_path: Path) -> None:
    weights = them.FlatResNet(9).state_dict() | {"model.99.filt": torch.ones(3)}
    torch.save(weights, tmp_path / "g.pth")
    refused(tmp_path / "g.pth", r"model\.99\.filt belongs to no layer")


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    weights = them.TutorialGenerator().state_dict()
    weights["BottleNeck.0.bias"] = torch.ones(5)
    torch.save(weights, tmp_path / "g.pth")
    refused(tmp_path / "g.pth", r"BottleNeck\.0\.bias has shape \(5,\), not \(16,\)")


def test_norms_with_weights_but_no_statistics_are_refused(tmp_path: Path) -> None:
    weights = them.NestedUNet(7).state_dict()
    weights = {name: w for name, w in weights.items() if "running" not in name}
    torch.save(weights, tmp_path / "g.pth")
    refused(tmp_path / "g.pth", "weights but no running statistics")


def test_blocks_padded_by_zeros_are_refused(tmp_path: Path) -> None:
    weights = {
        name.replace("conv_block.1.", "conv_block.0."): w
        for name, w in them.FlatResNet(9).state_dict().items()
    }
    torch.save(weights, tmp_path / "g.pth")
    refused(tmp_path / "g.pth", "pad by zeros")


def test_the_local_enhancer_of_pix2pixhd_is_refused(tmp_path: Path) -> None:
    weights = them.FlatResNet(9, 3, biased=True).state_dict() | {"model1_1.1.weight": torch.ones(2, 3, 7, 7)}
    torch.save(weights, tmp_path / "g.pth")
    refused(tmp_path / "g.pth", "local enhancer")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    weights = them.FlatResNet(6).state_dict()
    weights["model.1.bias"][0] = torch.nan
    torch.save(weights, tmp_path / "g.pth")
    refused(tmp_path / "g.pth", "not finite")


def test_a_model_file_of_ours_is_told_apart(tmp_path: Path) -> None:
    spec = GeneratorSpec(width=4, depth=2)
    save_model(tmp_path / "m.safetensors", build_generator(spec).state_dict(), ModelHeader(generator=spec))
    refused(tmp_path / "m.safetensors", "is a model file of sat2map already")


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    path = saved(them.FlatResNet(6), tmp_path / "g.pth")
    (tmp_path / "m.safetensors").write_text("mine")
    with pytest.raises(OutputError, match="exists: choose another name, or allow it to be replaced"):
        import_checkpoint(path, tmp_path / "m.safetensors")
    assert (tmp_path / "m.safetensors").read_text() == "mine"
    import_checkpoint(path, tmp_path / "m.safetensors", overwrite=True)
    assert read_header(tmp_path / "m.safetensors").generator.architecture == "resnet6"


def test_an_output_of_another_suffix_and_an_unknown_palette_are_refused(tmp_path: Path) -> None:
    path = saved(them.FlatResNet(6), tmp_path / "g.pth")
    with pytest.raises(OutputError, match=r"does not end in \.safetensors"):
        import_checkpoint(path, tmp_path / "m.pth")
    with pytest.raises(SettingsError, match="palette"):
        import_checkpoint(path, tmp_path / "m.safetensors", palette="mapz")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g.pth"]

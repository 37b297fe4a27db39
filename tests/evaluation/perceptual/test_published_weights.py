from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sat2map.errors import ModelFileError
from sat2map.evaluation.perceptual.inception import FidInception
from sat2map.evaluation.perceptual.lpips import LpipsHeads
from sat2map.evaluation.perceptual.published_weights import open_inception, open_lpips

PICTURE = np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), np.uint8)


def saved(path: Path, **shapes: tuple[int, ...]) -> Path:
    """A state dict with these keys (two underscores for a dot) and shapes."""
    torch.save({name.replace("__", "."): torch.zeros(1).expand(s) for name, s in shapes.items()}, path)
    return path


def test_a_file_of_half_precision_gives_the_network_it_was_made_of(
    files: dict[str, Path], inception: FidInception
) -> None:
    opened = open_inception(files["inception"], "cpu")

    assert not opened.training
    assert {weight.dtype for weight in opened.parameters()} == {torch.float32}
    found, expected = opened.features(PICTURE), inception.features(PICTURE)
    assert np.abs(found - expected).mean() < 0.02 * np.abs(expected).mean()


def test_a_file_without_counts_of_batches_serves_as_do_safetensors(
    inception: FidInception, tmp_path: Path
) -> None:
    weights = {name: w for name, w in inception.state_dict().items() if "num_batches" not in name}
    save_file(weights, tmp_path / "inception.safetensors")

    opened = open_inception(tmp_path / "inception.safetensors", "cpu")

    np.testing.assert_allclose(opened.features(PICTURE), inception.features(PICTURE), rtol=1e-3, atol=1e-4)


def test_lpips_is_opened_without_the_layers_it_does_not_look_at(files: dict[str, Path]) -> None:
    lpips = open_lpips(files["alexnet"], files["heads"], "cpu")

    assert sum(weight.numel() for weight in lpips.parameters()) == 2_469_696 + 1152
    assert not lpips.training


@pytest.mark.parametrize(
    ("weights", "look"),
    [
        (
            {"AuxLogits__fc__weight": (1000, 768), "fc__weight": (1000, 2048)},
            "torchvision's own Inception, whose features give other numbers",
        ),
        ({"fc__weight": (1008, 2048)}, "FID's Inception in part, or changed"),
        ({"Mixed_7c__branch_pool__conv__weight": (192, 2048, 1, 1)}, "an Inception, but not FID's"),
        ({"features__0__weight": (64, 3, 11, 11)}, "AlexNet"),
        ({"features__28__weight": (512, 512, 3, 3)}, "VGG"),
        ({"lin0__model__1__weight": (1, 64, 1, 1)}, "LPIPS's heads for AlexNet"),
        ({"layer1__0__conv1__weight": (64, 64, 1, 1)}, "a ResNet"),
        ({"net__a": (1,), "net__b": (1,)}, "another network (its first keys: net.a, net.b)"),
    ],
)
def test_another_network_is_refused_with_what_it_is_and_what_is_wanted_and_where_that_is(
    tmp_path: Path, weights: dict[str, tuple[int, ...]], look: str
) -> None:
    path = saved(tmp_path / "weights.pth", **weights)

    with pytest.raises(ModelFileError) as refusal:
        open_inception(path)

    assert str(refusal.value) == (
        f"{path} looks like {look}: expected FID's Inception: pt_inception-2015-12-05-6726825d.pth, "
        "from a release of mseitzer/pytorch-fid on GitHub"
    )


def test_the_files_of_lpips_in_the_wrong_order_are_refused(files: dict[str, Path]) -> None:
    with pytest.raises(
        ModelFileError,
        match=r"heads\.pth looks like LPIPS's heads for AlexNet: expected AlexNet: "
        r"alexnet-owt-7be5be79\.pth, from torchvision",
    ):
        open_lpips(files["heads"], files["alexnet"])


@pytest.mark.parametrize(
    ("weights", "look"),
    [
        (
            {"lin0__model__1__weight": (1, 64, 1, 1), "lin1__model__1__weight": (1, 128, 1, 1)},
            "heads for VGG",
        ),
        ({"lin6__model__1__weight": (1, 512, 1, 1)}, "heads for SqueezeNet"),
    ],
)
def test_heads_of_another_backbone_are_refused(
    files: dict[str, Path], tmp_path: Path, weights: dict[str, tuple[int, ...]], look: str
) -> None:
    with pytest.raises(ModelFileError, match=f"{look}: expected LPIPS's heads for AlexNet"):
        open_lpips(files["alexnet"], saved(tmp_path / "vgg.pth", **weights))


def test_a_missing_file_and_one_that_is_no_checkpoint_are_told_with_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"nowhere\.pth does not exist: expected FID's Inception"):
        open_inception(tmp_path / "nowhere.pth")
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    with pytest.raises(ModelFileError, match=r"not a checkpoint of PyTorch.*expected FID's Inception"):
        open_inception(tmp_path / "page.pth")


def test_weights_that_are_not_finite_are_refused(
    files: dict[str, Path], heads: LpipsHeads, tmp_path: Path
) -> None:
    weights = dict(heads.state_dict())
    weights["lin3.model.1.weight"] = torch.full((1, 256, 1, 1), float("nan"))
    torch.save(weights, tmp_path / "heads.pth")

    with pytest.raises(ModelFileError, match="not finite"):
        open_lpips(files["alexnet"], tmp_path / "heads.pth")

"""Tests of the Inception against published numbers, against SciPy, and against its own description.

Names and shapes were compared once with torchvision's Inception3(num_classes=1008, aux_logits=False), which
pytorch-fid loads the published file into, and features with those of its code: they were equal.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates, maximum_filter, uniform_filter
from torch import nn

from sat2map.evaluation.perceptual.inception import FidInception, _average

KERAS = 23_851_784  # parameters of keras.applications.InceptionV3, 1000 outputs: batch norms without scales
TORCHVISION = 27_161_264  # of torchvision's inception_v3, 1000 outputs, with the auxiliary classifier
CHANNELS = 17_216  # of all batch norms together


def named(network: nn.Module) -> str:
    """A hash of the names and shapes of all weights, in their order."""
    shapes = [(name, tuple(weight.shape)) for name, weight in network.state_dict().items()]
    return hashlib.blake2b(repr(shapes).encode(), digest_size=8).hexdigest()


def test_it_has_as_many_parameters_as_the_published_inceptions_with_1008_outputs(
    inception: FidInception,
) -> None:
    counted = sum(weight.numel() for weight in inception.parameters())
    eight_outputs = 8 * (2048 + 1)
    auxiliary = (768 * 128 + 2 * 128) + (128 * 768 * 25 + 2 * 768) + (768 + 1) * 1000

    # Keras counts means, variances and offsets of batch norms; PyTorch offsets and scales.
    assert counted == KERAS - 3 * CHANNELS + 2 * CHANNELS + eight_outputs
    assert counted == TORCHVISION - auxiliary + eight_outputs
    assert sum(m.num_features for m in inception.modules() if isinstance(m, nn.BatchNorm2d)) == CHANNELS
    assert sum(isinstance(m, nn.Conv2d) for m in inception.modules()) == 94


def test_its_weights_have_the_names_and_shapes_of_the_published_file(inception: FidInception) -> None:
    assert named(inception) == "38e087d557e00e55"
    names = inception.state_dict().keys()
    for name in (
        "Conv2d_1a_3x3.conv.weight",
        "Mixed_5b.branch5x5_2.bn.running_var",
        "Mixed_6e.branch7x7dbl_5.conv.weight",
        "Mixed_7c.branch3x3dbl_3b.bn.bias",
        "fc.bias",
    ):
        assert name in names


def test_its_stages_have_the_sizes_of_the_paper(inception: FidInception) -> None:
    with torch.inference_mode():
        shapes = [tuple(maps.shape) for maps in inception.maps(torch.rand(2, 3, 299, 299))]

    assert shapes == [(2, 192, 35, 35), (2, 768, 17, 17), (2, 2048, 8, 8)]


def test_an_average_at_the_border_is_of_the_neighbours_there_are() -> None:
    x = np.random.default_rng(0).random((5, 6))
    there = uniform_filter(np.ones((5, 6)), 3, mode="constant")
    expected = uniform_filter(x, 3, mode="constant") / there

    np.testing.assert_allclose(_average(torch.tensor(x)[None, None])[0, 0], expected)


@pytest.mark.parametrize(("block", "inputs", "side"), [("Mixed_7b", 1280, 4), ("Mixed_7c", 2048, 4)])
def test_only_the_last_block_pools_by_the_maximum(
    inception: FidInception, block: str, inputs: int, side: int
) -> None:
    x = np.random.default_rng(0).random((inputs, side, side)).astype(np.float32)
    there = uniform_filter(np.ones((1, side, side)), (1, 3, 3), mode="constant")
    pooled = {
        "Mixed_7b": uniform_filter(x, (1, 3, 3), mode="constant") / there,
        "Mixed_7c": maximum_filter(x, (1, 3, 3), mode="constant", cval=-np.inf),
    }[block]
    module = getattr(inception, block)
    with torch.inference_mode():
        found = module(torch.tensor(x)[None])[0, -192:]
        expected = module.branch_pool(torch.tensor(pooled, dtype=torch.float32)[None])[0]

    torch.testing.assert_close(found, expected)


def test_images_are_resized_bilinearly_without_antialiasing_and_scaled_to_minus_1_to_1(
    inception: FidInception, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(inception, "maps", lambda x: seen.append(x) or (x, x, x))
    image = np.random.default_rng(0).random((3, 400, 256))
    # A pixel's centre is at a half; beyond the border its outermost pixels go on.
    rows, columns = ((np.arange(299) + 0.5) * side / 299 - 0.5 for side in (400, 256))
    at = np.meshgrid(rows, columns, indexing="ij")
    expected = [2 * map_coordinates(band, at, order=1, mode="nearest") - 1 for band in image]

    inception(torch.tensor(image)[None])

    np.testing.assert_allclose(seen[0][0], expected, atol=1e-9)


def test_features_are_means_over_the_last_maps_of_pixels_from_0_to_255(inception: FidInception) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 299, 299, 3), np.uint8)
    with torch.inference_mode():
        last = inception.maps(torch.tensor(images / 127.5 - 1).float().permute(0, 3, 1, 2))[-1]

    found = inception.features(images)

    assert found.shape == (2, 2048)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, last.numpy().mean(axis=(2, 3)), rtol=1e-3, atol=1e-4)


def test_features_of_an_image_do_not_depend_on_its_batch(inception: FidInception) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), np.uint8)

    np.testing.assert_allclose(
        inception.features(images)[1], inception.features(images[1:2])[0], rtol=1e-3, atol=1e-4
    )

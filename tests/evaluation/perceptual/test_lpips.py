"""Tests of LPIPS against a second path in NumPy, and of what must hold whatever the weights are."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from sat2map.evaluation.perceptual.lpips import LEAST_SIDE, AlexNet, Lpips, LpipsHeads


@pytest.fixture
def lpips(alexnet: AlexNet, heads: LpipsHeads) -> Lpips:
    return Lpips(alexnet, heads).eval()


def pictures(count: int = 2, height: int = 40, width: int = 47, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


def in_numpy(alexnet: AlexNet, heads: LpipsHeads, fake: np.ndarray, target: np.ndarray) -> float:
    """The paper's equation 1, place by place, on layers written as sums over windows."""
    weights = {name: w.double().numpy() for name, w in alexnet.state_dict().items()}

    def convolved(x: np.ndarray, number: int, stride: int, padding: int) -> np.ndarray:
        kernel = weights[f"features.{number}.weight"]
        padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
        windows = sliding_window_view(padded, kernel.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
        bias = weights[f"features.{number}.bias"][:, None, None]
        return np.maximum(np.tensordot(kernel, windows, ([1, 2, 3], [0, 3, 4])) + bias, 0)

    def pooled(x: np.ndarray) -> np.ndarray:
        return sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2].max(axis=(3, 4))

    def layers(image: np.ndarray) -> list[np.ndarray]:
        unit = image / 255 * 2 - 1
        x = ((unit - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]).transpose(2, 0, 1)
        found = [convolved(x, 0, 4, 2)]
        found.append(convolved(pooled(found[-1]), 3, 1, 2))
        found.append(convolved(pooled(found[-1]), 6, 1, 1))
        found.append(convolved(found[-1], 8, 1, 1))
        found.append(convolved(found[-1], 10, 1, 1))
        return found

    distance = 0.0
    for number, (a, b) in enumerate(zip(layers(fake), layers(target), strict=True)):
        weight = heads.state_dict()[f"lin{number}.model.1.weight"].double().numpy().ravel()
        height, width = a.shape[1:]
        for y in range(height):
            for x in range(width):
                p, q = (f[:, y, x] / (np.linalg.norm(f[:, y, x]) + 1e-10) for f in (a, b))
                distance += float(weight @ (p - q) ** 2) / (height * width)
    return distance


def test_the_distance_is_that_of_a_loop_over_places(
    lpips: Lpips, alexnet: AlexNet, heads: LpipsHeads
) -> None:
    fake, target = pictures()
    expected = in_numpy(alexnet, heads, fake, target)

    assert expected > 0.01
    assert lpips.distance(fake, target) == pytest.approx(expected, rel=1e-4)


def test_equal_pictures_are_at_distance_0_and_their_order_does_not_matter(lpips: Lpips) -> None:
    fake, target = pictures()

    assert lpips.distance(fake, fake) == 0
    assert lpips.distance(fake, target) == pytest.approx(lpips.distance(target, fake))


def test_with_weights_of_1_no_layer_counts_for_more_than_two_perpendicular_directions(
    alexnet: AlexNet,
) -> None:
    """Features are no less than 0 and of length one: squared, two of them are 2 apart at most."""
    ones = LpipsHeads().eval()
    for weight in ones.parameters():
        torch.nn.init.ones_(weight)

    assert 0 < Lpips(alexnet, ones).distance(*pictures()) <= 5 * 2


def test_heads_twice_as_heavy_make_the_distance_twice_as_large(lpips: Lpips, alexnet: AlexNet) -> None:
    heavier = LpipsHeads().eval()
    heavier.load_state_dict({name: 2 * w for name, w in lpips.heads.state_dict().items()})

    expected = 2 * lpips.distance(*pictures())
    assert Lpips(alexnet, heavier).distance(*pictures()) == pytest.approx(expected)


def test_the_dropout_before_the_heads_rests(lpips: Lpips) -> None:
    assert lpips.distance(*pictures()) == lpips.distance(*pictures())


def test_the_smallest_picture_is_the_one_below_which_alexnet_has_nothing_left_to_pool(lpips: Lpips) -> None:
    lpips.distance(*pictures(height=LEAST_SIDE, width=LEAST_SIDE))
    with pytest.raises(RuntimeError, match=r"[Oo]utput size is too small"):
        lpips.distance(*pictures(height=LEAST_SIDE - 1, width=LEAST_SIDE - 1))


def test_the_networks_have_the_parameters_and_names_of_the_published_files(
    alexnet: AlexNet, heads: LpipsHeads
) -> None:
    """Names and shapes are those of torchvision's AlexNet; it counts 61,100,840 parameters."""
    shapes = [(name, tuple(weight.shape)) for name, weight in alexnet.state_dict().items()]

    assert hashlib.blake2b(repr(shapes).encode(), digest_size=8).hexdigest() == "47c398cd9a8c59a8"
    assert sum(weight.numel() for weight in alexnet.parameters()) == 61_100_840
    assert [(name, tuple(w.shape)) for name, w in heads.state_dict().items()] == [
        (f"lin{i}.model.1.weight", (1, channels, 1, 1)) for i, channels in enumerate((64, 192, 384, 256, 256))
    ]

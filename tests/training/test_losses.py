"""Tests of sat2map.training.losses, against the formulas of the papers written out in numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sat2map.training.losses.adversarial import discriminator_loss, generator_loss
from sat2map.training.losses.cross_entropy import class_weights, cross_entropy_loss
from sat2map.training.losses.iou import soft_iou_loss
from sat2map.training.losses.l1 import l1_loss
from sat2map.training.losses.loss import LossInputs

Kind = Literal["bce", "lsgan", "hinge"]
Formula = Callable[[NDArray[np.float64]], NDArray[np.float64]]

LOGITS = torch.randn(2, 1, 3, 5, generator=torch.Generator().manual_seed(0)) * 3


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


ON_REAL: dict[Kind, Formula] = {
    "bce": lambda d: -np.log(sigmoid(d)),
    "lsgan": lambda d: (d - 1) ** 2,
    "hinge": lambda d: np.maximum(0, 1 - d),
}
ON_FAKE: dict[Kind, Formula] = {
    "bce": lambda d: -np.log(1 - sigmoid(d)),
    "lsgan": lambda d: d**2,
    "hinge": lambda d: np.maximum(0, 1 + d),
}
OF_GENERATOR: dict[Kind, Formula] = {
    "bce": lambda d: -np.log(sigmoid(d)),
    "lsgan": lambda d: (d - 1) ** 2,
    "hinge": lambda d: -d,
}
KINDS: tuple[Kind, ...] = ("bce", "lsgan", "hinge")


@pytest.mark.parametrize("kind", KINDS)
def test_the_discriminators_loss_follows_its_paper(kind: Kind) -> None:
    d = LOGITS.double().numpy()
    real, fake = (discriminator_loss(kind, LOGITS, real=real) for real in (True, False))
    assert float(real) == pytest.approx(ON_REAL[kind](d).mean(), rel=1e-5)
    assert float(fake) == pytest.approx(ON_FAKE[kind](d).mean(), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_generators_loss_follows_its_paper(kind: Kind) -> None:
    expected = OF_GENERATOR[kind](LOGITS.double().numpy()).mean()
    assert float(generator_loss(kind, LOGITS)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_logits_give_a_full_precision_loss(kind: Kind) -> None:
    half = LOGITS.bfloat16()
    assert discriminator_loss(kind, half, real=True).dtype == torch.float32
    assert float(generator_loss(kind, half)) == float(generator_loss(kind, half.float()))


@pytest.mark.parametrize("kind", KINDS)
def test_extreme_logits_give_a_finite_loss(kind: Kind) -> None:
    extreme = torch.tensor([-1e4, 1e4])
    assert torch.isfinite(discriminator_loss(kind, extreme, real=True))
    assert torch.isfinite(generator_loss(kind, extreme))


def test_l1_is_the_mean_absolute_difference() -> None:
    fake, target = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    expected = np.abs(fake.double().numpy() - target.double().numpy()).mean()
    assert float(l1_loss(LossInputs(fake, target, fake))) == pytest.approx(expected, rel=1e-6)


def test_l1_weighs_every_pixel_by_its_class_and_leaves_ignored_ones_out() -> None:
    fake, target = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    classes, weights = torch.randint(2, (2, 4, 5)), torch.tensor([0.5, 3.0])
    classes[0, 1, 2] = classes[1, 3, 4] = 255
    total = 0.0
    for n, y, x in (classes != 255).nonzero().tolist():
        for band in range(3):
            difference = abs(float(fake[n, band, y, x]) - float(target[n, band, y, x]))
            total += float(weights[classes[n, y, x]]) * difference
    inputs = LossInputs(fake, target, fake, labels=classes, classes=classes, l1_weights=weights)
    assert float(l1_loss(inputs)) == pytest.approx(total / (3 * (2 * 4 * 5 - 2)), rel=1e-5)


def test_l1_of_labels_without_ignored_pixels_is_the_plain_mean() -> None:
    fake, target = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    labels = torch.zeros(2, 4, 5, dtype=torch.long)
    torch.testing.assert_close(
        l1_loss(LossInputs(fake, target, fake, labels=labels)), l1_loss(LossInputs(fake, target, fake))
    )


def test_cross_entropy_is_pytorchs_weighted_mean_over_the_pixels_that_count() -> None:
    logits, labels = torch.randn(2, 4, 5, 6), torch.randint(4, (2, 5, 6))
    labels[0, :2] = 255
    weights = torch.tensor([0.2, 1.0, 3.0, 0.7])
    inputs = LossInputs(logits, logits, logits, logits=logits, labels=labels, label_weights=weights)
    expected = torch.nn.functional.cross_entropy(logits, labels, weights, ignore_index=255)
    torch.testing.assert_close(cross_entropy_loss(inputs), expected)


def test_the_soft_iou_loss_leaves_ignored_pixels_out() -> None:
    probabilities = torch.rand(1, 3, 4, 6).softmax(1)
    classes = torch.randint(3, (1, 4, 6))
    expected = soft_iou_loss(probabilities[..., :4], classes[..., :4])
    classes[..., 4:] = 255
    torch.testing.assert_close(soft_iou_loss(probabilities, classes), expected)


def test_a_batch_of_ignored_pixels_costs_nothing_finite() -> None:
    logits, labels = torch.randn(1, 4, 5, 6), torch.full((1, 5, 6), 255)
    inputs = LossInputs(logits, logits + 1, logits, logits=logits, labels=labels, classes=labels)
    assert float(cross_entropy_loss(inputs)) == 0
    assert float(l1_loss(inputs)) == 0
    assert torch.isfinite(soft_iou_loss(logits.softmax(1), labels))


@pytest.mark.parametrize("balance", [0.0, 0.3, 0.5, 1.0])
def test_the_mean_pixel_weighs_one(balance: float) -> None:
    frequencies = torch.tensor([0.6, 0.3, 0.09, 0.01])
    weights = class_weights(frequencies, balance)
    assert float((weights * frequencies).sum()) == pytest.approx(1, rel=1e-6)


def test_class_weights_of_a_case_worked_by_hand() -> None:
    # 1/√0.64 = 1.25, 1/√0.36 = 5/3; the mean pixel weighs 0.64·1.25 + 0.36·5/3 = 1.4
    weights = class_weights(torch.tensor([0.64, 0.36]), 0.5)
    torch.testing.assert_close(weights, torch.tensor([1.25 / 1.4, 5 / 3 / 1.4]))


def test_a_balance_of_one_gives_every_class_the_same_total() -> None:
    frequencies = torch.tensor([0.7, 0.2, 0.1])
    torch.testing.assert_close(class_weights(frequencies, 1.0) * frequencies, torch.full((3,), 1 / 3))


def test_a_balance_of_zero_gives_every_class_the_same_weight() -> None:
    torch.testing.assert_close(class_weights(torch.tensor([0.7, 0.2, 0.1]), 0.0), torch.ones(3))


def test_a_class_without_pixels_weighs_nothing_and_moves_no_other() -> None:
    weights = class_weights(torch.tensor([0.64, 0.0, 0.36]), 0.5)
    assert float(weights[1]) == 0
    torch.testing.assert_close(weights[[0, 2]], class_weights(torch.tensor([0.64, 0.36]), 0.5))


# soft intersection over union


def test_the_soft_iou_loss_of_a_case_worked_by_hand() -> None:
    probabilities = torch.tensor([[0.8, 0.4], [0.2, 0.6]]).view(1, 2, 1, 2)
    classes = torch.tensor([[[0, 1]]])
    # class 0: hits 0.8, union 0.8 + 0.4 + 1 - 0.8; class 1: hits 0.6, union 0.2 + 0.6 + 1 - 0.6
    expected = 1 - (0.8 / 1.4 + 0.6 / 1.2) / 2
    assert float(soft_iou_loss(probabilities, classes)) == pytest.approx(expected)


def test_the_soft_iou_loss_of_certain_classes_is_one_less_the_mean_class_iou() -> None:
    generator = torch.Generator().manual_seed(0)
    truth, guess = (torch.randint(3, (2, 8, 8), generator=generator) for _ in range(2))
    loss = soft_iou_loss(torch.nn.functional.one_hot(guess, 3).movedim(-1, 1).float(), truth)
    confusion = np.zeros((3, 3))
    np.add.at(confusion, (truth.numpy(), guess.numpy()), 1)
    hits = np.diag(confusion)
    assert float(loss) == pytest.approx(1 - (hits / (confusion.sum(0) + confusion.sum(1) - hits)).mean())


def test_classes_that_do_not_occur_are_left_out_of_the_soft_iou_loss() -> None:
    probabilities = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert float(soft_iou_loss(probabilities, torch.zeros(1, 1, 1, dtype=torch.long))) == 0


def test_the_soft_iou_loss_of_parts_summed_together_is_that_of_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(4, 3, 5, 5, generator=generator).softmax(1)
    classes = torch.randint(3, (4, 5, 5), generator=generator)
    sums: list[torch.Tensor] = []

    def keep(values: torch.Tensor) -> torch.Tensor:
        sums.append(values)
        return values

    for rows in (slice(0, 1), slice(1, 4)):
        soft_iou_loss(probabilities[rows], classes[rows], keep)
    together = soft_iou_loss(probabilities[:1], classes[:1], lambda mine: sums[0] + sums[1])
    assert float(together) == pytest.approx(float(soft_iou_loss(probabilities, classes)))

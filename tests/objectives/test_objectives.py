"""Losses against PyTorch and against definitions written out, by value."""

import pytest
import torch
import torch.nn.functional as F

from course_utils.objectives.classification import (
    binary_cross_entropy,
    cross_entropy,
    soft_binary_cross_entropy,
    soft_cross_entropy,
)

LOGITS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
SOFT = torch.rand(6, 5, generator=torch.Generator().manual_seed(1))


def test_binary_cross_entropy_equals_pytorch_and_its_gradient_is_p_minus_y():
    z, y = LOGITS[:, 0].double().requires_grad_(), torch.tensor([0, 1, 1, 0, 1, 0]).double()
    loss = binary_cross_entropy(z, y)
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(z, y))
    loss.backward()
    torch.testing.assert_close(z.grad, (z.detach().sigmoid() - y) / len(y))
    zero = torch.zeros(2, requires_grad=True)  # where max(z, 0) and |z| have a corner
    binary_cross_entropy(zero, torch.tensor([0.0, 1.0])).backward()
    torch.testing.assert_close(zero.grad, torch.tensor([0.25, -0.25]))


def test_binary_cross_entropy_stays_finite_and_exact_for_large_logits():
    z, y = torch.tensor([200.0, -200.0, 200.0]), torch.tensor([0.0, 1.0, 1.0])
    torch.testing.assert_close(binary_cross_entropy(z, y), torch.tensor(400.0 / 3))


def test_cross_entropy_equals_its_definition():
    y = torch.tensor([0, 4, 2, 2, 1, 3])
    p = LOGITS.double().exp() / LOGITS.double().exp().sum(1, keepdim=True)
    expected = -p[torch.arange(6), y].log().mean()
    torch.testing.assert_close(cross_entropy(LOGITS.double(), y), expected)


def test_soft_cross_entropy_equals_pytorch():
    target = SOFT / SOFT.sum(1, keepdim=True)
    torch.testing.assert_close(soft_cross_entropy(LOGITS, target), F.cross_entropy(LOGITS, target))


def test_soft_binary_cross_entropy_sums_over_the_answers():
    expected = F.binary_cross_entropy_with_logits(LOGITS, SOFT, reduction="none").sum(1).mean()
    torch.testing.assert_close(soft_binary_cross_entropy(LOGITS, SOFT), expected)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"shape \(6, 5\), got \(6,\)"):
        soft_cross_entropy(LOGITS, SOFT[:, 0])
    with pytest.raises(ValueError, match=r"got \(6, 5\) and \(5,\)"):
        cross_entropy(LOGITS, torch.zeros(5, dtype=torch.long))

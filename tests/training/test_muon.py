"""Muon: against torch's, and by its singular values."""

import pytest
import torch
from torch import nn

from course_utils.training.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 20, 8), (1, 6, 6)])
def test_singular_vectors_stay_and_values_become_alike(shape):
    torch.manual_seed(0)
    a = torch.randn(shape)
    u, s, v = torch.linalg.svd(a, full_matrices=False)
    inner = u.mT @ orthogonalised(a, steps=8) @ v.mT  # (n, short, short): diagonal
    values = inner.diagonal(dim1=1, dim2=2)
    assert (inner - torch.diag_embed(values)).abs().max() < 1e-4
    assert values.min() > 0.6 and values.max() < 1.3
    assert s.max() / s.min() > 2  # they were not alike before


@pytest.mark.parametrize("shape", [(64, 192), (128, 64)])
def test_some_updates_are_those_of_torch(shape):
    torch.manual_seed(0)
    start, gradients = torch.randn(shape), torch.randn(4, *shape)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    options = dict(lr=0.02, momentum=0.9, weight_decay=0.1)
    steppers = (
        Muon([ours], **options),
        torch.optim.Muon([theirs], **options, adjust_lr_fn="match_rms_adamw"),
    )
    for gradient in gradients:
        for p, optimizer in zip((ours, theirs), steppers):
            p.grad = gradient.clone()
            optimizer.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.02 * moved  # torch computes in bfloat16


def test_matrices_of_one_shape_do_not_mix_and_convolutions_are_matrices():
    torch.manual_seed(0)
    values = torch.randn(2, 8, 3, 2, 2)
    gradients = torch.randn_like(values)
    together = [nn.Parameter(v.clone()) for v in values]
    flat = [nn.Parameter(v.flatten(1).clone()) for v in values]
    for p, g in zip(together, gradients):
        p.grad = g.clone(memory_format=torch.channels_last)
    Muon(together, lr=0.1).step()
    for p, g in zip(flat, gradients):
        p.grad = g.flatten(1)
        Muon([p], lr=0.1).step()
    for a, b in zip(together, flat):
        torch.testing.assert_close(a.flatten(1), b)


def test_what_has_no_gradient_stays_and_a_bias_is_refused():
    p = nn.Parameter(torch.ones(2, 3))
    Muon([p], lr=0.1).step()
    assert torch.equal(p, torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"expected matrices and convolutions, got shape \(3,\)"):
        Muon([nn.Parameter(torch.ones(3))])

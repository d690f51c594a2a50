"""Advantages, the policy loss and its gradient, and the estimate of a divergence."""

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from course_utils.objectives.policy import group_advantages, kl_estimate, policy_loss


def test_advantages_are_relative_to_the_group():
    r = torch.tensor([[1.0, 0, 0, 0, 0, 0, 0, 0], [1.0] * 8, [0.0] * 8])
    a = group_advantages(r)
    assert a[0, 0] == 0.875 and torch.equal(a[0, 1:], torch.full((7,), -0.125))
    assert torch.equal(a[1:], torch.zeros(2, 8))
    normalised = group_advantages(r, normalise=True)
    assert normalised[0, 0].item() == pytest.approx(0.875 / (r[0].std().item() + 1e-4))
    assert torch.equal(normalised[1:], torch.zeros(2, 8))
    for wrong in (torch.zeros(3), torch.zeros(3, 1)):
        with pytest.raises(ValueError, match="prompts, group"):
            group_advantages(wrong)


def test_the_value_is_zero_and_the_gradient_is_that_of_reinforce():
    torch.manual_seed(0)
    logits = torch.randn(8, 5, 6, dtype=torch.double, requires_grad=True)
    tokens = torch.randint(6, (8, 5))
    mask = torch.arange(5) < torch.tensor([5, 3, 2, 5, 1, 4, 4, 2])[:, None]
    a = group_advantages(torch.rand(2, 4, dtype=torch.double)).flatten()

    def log_p():
        return logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]

    loss = policy_loss(log_p(), mask, a)
    (gradient,) = torch.autograd.grad(loss, logits)
    plain = -((log_p() * mask).sum(1) * a).mean()
    (want,) = torch.autograd.grad(plain, logits)
    assert torch.allclose(gradient, want, atol=1e-12) and want.abs().max() > 1e-3
    assert abs(loss.item()) < 1e-12


def test_the_gradient_of_the_expected_reward():
    """Over all texts, each as often as the model writes it, it is the true gradient, whatever
    constant is taken off the reward."""
    torch.manual_seed(1)
    logits = torch.randn(6, dtype=torch.double, requires_grad=True)
    reward = torch.rand(6, dtype=torch.double)
    (want,) = torch.autograd.grad((logits.softmax(0) * reward).sum(), logits)
    for baseline in (0.0, 0.5, reward.mean().item()):
        p = logits.softmax(0)
        log_p = logits.log_softmax(0)[:, None]
        # the mean over 6 texts, weighted by 6 p
        advantage = (reward - baseline) * 6 * p.detach()
        loss = policy_loss(log_p, torch.ones_like(log_p).bool(), advantage)
        (got,) = torch.autograd.grad(loss, logits)
        assert torch.allclose(-got, want, atol=1e-12)


def test_a_ratio_beyond_the_clip_gives_no_gradient():
    log_p = torch.tensor([[0.0], [0.0]], requires_grad=True)
    old = torch.tensor([[-1.0], [-1.0]])  # the ratio is e
    mask, a = torch.ones(2, 1).bool(), torch.tensor([1.0, -1.0])
    policy_loss(log_p, mask, a, old).backward()
    assert log_p.grad[0] == 0 and log_p.grad[1] > 0


def test_the_estimate_is_the_divergence_on_average_and_never_negative():
    torch.manual_seed(0)
    p, q = torch.randn(7).log_softmax(0), torch.randn(7).log_softmax(0)
    terms = torch.stack(
        [kl_estimate(p[i].view(1, 1), q[i].view(1, 1), torch.ones(1, 1).bool()) for i in range(7)]
    )
    want = kl_divergence(Categorical(logits=p), Categorical(logits=q))
    assert terms.min() >= 0
    assert torch.allclose((p.exp() * terms).sum(), want, atol=1e-6)
    mask = torch.tensor([[True, False]])
    one = kl_estimate(torch.tensor([[0.0, 5.0]]), torch.tensor([[0.0, -5.0]]), mask)
    assert one == 0


def test_shapes_are_checked():
    good, mask = torch.zeros(2, 3), torch.ones(2, 3).bool()
    with pytest.raises(ValueError, match="advantage"):
        policy_loss(good, mask, torch.zeros(3))
    with pytest.raises(ValueError, match="reference"):
        kl_estimate(good, torch.zeros(2, 2), mask)

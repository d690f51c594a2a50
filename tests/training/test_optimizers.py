"""Our optimisers take the steps that torch's take."""

import copy

import pytest
import torch
from torch import nn

from course_utils.training.optimizers import SGD, Adam, AdamConfig, SGDConfig

CASES = {
    "sgd": (SGD, SGDConfig(0.05), lambda p: torch.optim.SGD(p, 0.05)),
    "momentum": (
        SGD,
        SGDConfig(0.02, 0.9, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, 0.02, 0.9, weight_decay=0.1),
    ),
    "nesterov": (
        SGD,
        SGDConfig(0.02, 0.8, nesterov=True),
        lambda p: torch.optim.SGD(p, 0.02, 0.8, nesterov=True),
    ),
    "adam": (Adam, AdamConfig(0.01), lambda p: torch.optim.Adam(p, 0.01)),
    "adam, L2": (
        Adam,
        AdamConfig(0.01, weight_decay=0.1, decoupled=False),
        lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1),
    ),
    "adamw": (
        Adam,
        AdamConfig(0.01, 0.8, 0.98, 1e-6, 0.1),
        lambda p: torch.optim.AdamW(p, 0.01, (0.8, 0.98), 1e-6, 0.1),
    ),
}


def train(model, optimizer, steps, schedule=lambda t: 1.0):
    generator = torch.Generator().manual_seed(1)
    first = optimizer.param_groups[0]["lr"] if hasattr(optimizer, "param_groups") else optimizer.lr
    for t in range(steps):
        rate = first * schedule(t)
        if hasattr(optimizer, "param_groups"):
            optimizer.param_groups[0]["lr"] = rate
        else:
            optimizer.lr = rate
        x = torch.randn(16, 6, generator=generator).to(model[0].weight.dtype)
        loss = (model(x) - x[:, :2].sin()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def network(dtype):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 2)).to(dtype)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    ("dtype", "steps", "tolerance"),
    [(torch.float64, 200, 1e-12), (torch.float32, 10, 1e-6)],
    ids=str,
)
def test_steps_equal_torch(name, dtype, steps, tolerance):
    kind, config, reference = CASES[name]
    ours = network(dtype)
    theirs = copy.deepcopy(ours)
    train(ours, kind(ours.parameters(), config), steps, lambda t: 1 / (1 + 0.1 * t))
    train(theirs, reference(theirs.parameters()), steps, lambda t: 1 / (1 + 0.1 * t))
    for a, b in zip(ours.parameters(), theirs.parameters()):
        assert (a - b).abs().max() < tolerance


def end(decay, decoupled):
    """Two weights of 1 after 20 steps of Adam, with large and with small gradients."""
    p = nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = Adam([p], AdamConfig(0.01, weight_decay=decay, decoupled=decoupled))
    for _ in range(20):
        optimizer.zero_grad()
        (p * torch.tensor([100.0, 0.1], dtype=torch.float64)).sum().backward()
        optimizer.step()
    return p.detach()


def test_under_adam_l2_hardly_acts_where_gradients_are_large_and_decoupled_decay_does():
    without, l2, decoupled = end(0, True), end(0.5, False), end(0.5, True)
    assert (l2[0] - without[0]).abs() < 1e-3
    assert (without - decoupled > 0.05).all()
    assert (decoupled[0] - decoupled[1]).abs() < 1e-6  # the same for both weights


def test_parameters_without_a_gradient_are_left_alone():
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = Adam([used, unused], AdamConfig(weight_decay=0.5))
    used.sum().backward()
    optimizer.step()
    assert torch.equal(unused, torch.ones(2)) and not optimizer.memory[unused]
    assert not torch.equal(used, torch.ones(2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGDConfig(-1), "lr and weight_decay"),
        (lambda: SGDConfig(momentum=1.0), "momentum"),
        (lambda: SGDConfig(nesterov=True), "nesterov"),
        (lambda: AdamConfig(beta2=1.5), "beta2"),
        (lambda: AdamConfig(eps=0), "eps"),
        (lambda: SGD([]), "at least one parameter"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

"""Bytes kept for backward against a count by hand; checkpointed layers against plain ones."""

import copy

import pytest
import torch
from torch import nn

from course_utils.models.joint import JointConfig, JointEncoder
from course_utils.training.memory import checkpoint_layers, saved_bytes

CONFIG = JointConfig(
    dim=16, layers=3, heads=2, mlp_dim=32, vocab_size=9, visual_dim=8, patches=4, dropout=0.3
)


def inputs():
    g = torch.Generator().manual_seed(0)
    return torch.randint(0, 9, (5, 6), generator=g), torch.randn(5, 4, 8, generator=g).double()


def test_saved_bytes_equals_a_count_by_hand():
    x = torch.randn(7, 5)
    model = nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 1))
    # linear keeps its input (the first one x, the second tanh's output, which tanh keeps too),
    # the square its input; the mean nothing
    by_hand = 4 * (7 * 5 + 7 * 3 + 7 * 1)
    assert saved_bytes(lambda: model(x).square().mean(), model) == by_hand
    weights = 4 * 3  # of the second layer only: x needs no gradient
    assert saved_bytes(lambda: model(x).square().mean()) == by_hand + weights
    with pytest.raises(ValueError, match="needs none"):
        saved_bytes(lambda: x.mean())


def run(model):
    x, v = inputs()
    model.zero_grad()
    torch.manual_seed(3)  # dropout
    h = model.train()(x, v)  # (batch, positions, dim)
    h.square().mean().backward()
    return h.detach(), {n: p.grad.clone() for n, p in model.named_parameters()}


def test_checkpointed_layers_give_the_same_outputs_and_gradients_even_with_dropout():
    torch.manual_seed(0)
    plain = JointEncoder(CONFIG).double()
    light = copy.deepcopy(plain)
    checkpoint_layers(light.encoder)
    (h, gradients), (other, others) = run(plain), run(light)
    assert torch.equal(h, other) and gradients.keys() == others.keys()
    for name in gradients:
        assert torch.equal(gradients[name], others[name]), name
    assert list(plain.state_dict()) == list(light.state_dict())
    x, v = inputs()
    with torch.no_grad():
        assert torch.equal(plain.eval()(x, v), light.eval()(x, v))
    other = copy.deepcopy(light)  # a copy computes with its own weights
    with torch.no_grad():
        other.encoder.layers[0].mlp[0].weight.zero_()
        assert torch.equal(plain(x, v), light(x, v)) and not torch.equal(plain(x, v), other(x, v))


def test_they_keep_less_and_can_be_undone():
    model = JointEncoder(CONFIG).double().train()
    x, v = inputs()
    before = saved_bytes(lambda: model(x, v).square().mean(), model)
    checkpoint_layers(checkpoint_layers(model.encoder))  # twice is once
    after = saved_bytes(lambda: model(x, v).square().mean(), model)
    a_layer = 8 * 5 * 10 * 16  # bytes of h (batch, positions, dim) in double precision
    assert after < before / 2 and after >= 3 * a_layer
    checkpoint_layers(model.encoder, on=False)
    assert saved_bytes(lambda: model(x, v).square().mean(), model) == before


def test_a_module_without_layers_is_named():
    with pytest.raises(ValueError, match=r"`layers`.*got Linear"):
        checkpoint_layers(nn.Linear(2, 2))

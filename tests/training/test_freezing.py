"""Strategies of freezing in lesson 09: what is trained, and what it costs."""

import pytest
import torch

from course_utils.datasets import loader
from course_utils.datasets.files import data_path
from course_utils.datasets.world_vqa import answered
from course_utils.methods.answering import base_model
from course_utils.training import freezing
from course_utils.training.fit import train_mode
from course_utils.training.objective import answer_objective

WAYS = {
    "head": freezing.freeze_all_but_head,
    "top": freezing.freeze_all_but_top,
    "stem": freezing.freeze_stem,
    "stem, in train mode": freezing.freeze_stem_in_train_mode,
    "nothing": lambda model: None,
}


@pytest.fixture(scope="module")
def train():
    return answered("train", 16, seed=100)


def model_of(way, train):
    weights = data_path("checkpoints/world_pretrained.safetensors")
    model = base_model(len(train.answers), weights, 0)
    WAYS[way](model)
    return model


def trained_parts(model):
    return {
        name.split(".")[0]
        if not name.startswith("encoder.encoder")
        else ".".join(name.split(".")[1:4])
        for name, p in model.named_parameters()
        if p.requires_grad
    }


def test_what_is_trained(train):
    parts = {name: trained_parts(model_of(name, train)) for name in WAYS}
    assert parts["head"] == {"head"}
    top = parts["top"]
    assert top == {"head", "encoder.layers.1", "encoder.norm.weight", "encoder.norm.bias"}
    assert parts["nothing"] - parts["stem"] == {"stem"}


def test_the_stem_drifts_in_train_mode_only(train):
    batch = next(iter(loader(train, 8, seed=0)))
    for name, drifts in (("stem", False), ("stem, in train mode", True)):
        model = model_of(name, train)
        train_mode(model)  # as `fit` does
        before = {k: v.clone() for k, v in model.stem.state_dict().items() if "running" in k}
        answer_objective(model, batch).backward()
        after = model.stem.state_dict()
        assert any(not torch.equal(before[k], after[k]) for k in before) == drifts
        model.eval()
        still = {k: v.clone() for k, v in model.stem.state_dict().items()}
        answer_objective(model, batch)
        assert all(torch.equal(still[k], v) for k, v in model.stem.state_dict().items())


def test_costs_fall_with_what_is_frozen(train):
    batch = next(iter(loader(train, 8, seed=0)))
    costs = [
        freezing.cost(model_of(name, train), batch) for name in ("head", "top", "stem", "nothing")
    ]
    assert len({c["forward"] for c in costs}) == 1
    for what in ("backward", "held"):
        values = [c[what] for c in costs]
        assert values == sorted(values) and len(set(values)) == 4


def test_operations_of_one_matrix():
    """Forward 2 n in out, backward twice that if the input needs a gradient as well."""
    from torch.utils.flop_counter import FlopCounterMode

    linear, x = torch.nn.Linear(5, 7), torch.randn(3, 5, requires_grad=True)
    with FlopCounterMode(display=False) as forward:
        y = linear(x)
    with FlopCounterMode(display=False) as backward:
        y.sum().backward()
    assert forward.get_total_flops() == 2 * 3 * 5 * 7
    assert backward.get_total_flops() == 2 * forward.get_total_flops()

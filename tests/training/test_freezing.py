"""Strategies of freezing in lesson 08: what is trained, what it costs, and the table."""

from pathlib import Path

import pytest
import torch

from course_utils.datasets import loader
from course_utils.peft import count_parameters
from course_utils.studies import freezing, tuning_curve
from course_utils.studies.recipes import answer_objective
from course_utils.studies.runs import read_runs
from course_utils.training.fit import train_mode

DATA = Path(__file__).resolve().parents[2] / "data"
WEIGHTS = DATA / "checkpoints/world_pretrained.safetensors"


@pytest.fixture(scope="module")
def train():
    return freezing.questions("train", 16, seed=100)


def model_of(strategy, train):
    model = freezing.base_model(len(train.answers), WEIGHTS, 0)
    freezing.STRATEGIES[strategy](model)
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
    parts = {name: trained_parts(model_of(name, train)) for name in freezing.STRATEGIES}
    assert parts["all frozen but the head"] == {"head"}
    top = parts["top layer and head trained"]
    assert top == {"head", "encoder.layers.1", "encoder.norm.weight", "encoder.norm.bias"}
    assert parts["nothing frozen"] - parts["stem frozen"] == {"stem"}


def test_the_stem_drifts_in_train_mode_only(train):
    batch = next(iter(loader(train, 8, seed=0)))
    for name, drifts in (("stem frozen", False), ("stem frozen, in train mode", True)):
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
        freezing.cost(model_of(name, train), batch)
        for name in (
            "all frozen but the head",
            "top layer and head trained",
            "stem frozen",
            "nothing frozen",
        )
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


def test_every_run_is_there_once():
    found = read_runs(DATA / "studies" / "freezing.json")
    expected = {
        (s, rate, seed)
        for s in freezing.MEASURED
        for rate in freezing.RATES
        for seed in freezing.SEEDS
    }
    assert len(found) == len(expected)
    assert {(r["strategy"], r["rate"], r["seed"]) for r in found} == expected


def test_the_rate_is_chosen_on_validation_in_both_files():
    runs = [
        dict(strategy="stem frozen", seed=0, rate=1, validation=0.8, accuracy=0.1),
        dict(strategy="stem frozen", seed=0, rate=2, validation=0.7, accuracy=0.9),
        dict(method="head only", seed=0, rate=1, validation=0.1, accuracy=0.3),
        dict(method="head only", seed=0, rate=2, validation=0.2, accuracy=0.2),
    ]
    assert [r["accuracy"] for r in freezing.chosen(runs, "stem frozen")] == [0.1]
    assert [r["accuracy"] for r in freezing.chosen(runs, "all frozen but the head")] == [0.2]


def test_the_extremes_are_what_the_tuning_curve_trains(train):
    for strategy, method in freezing.IN_TUNING_CURVE.items():
        other = tuning_curve.base_model(len(train.answers), WEIGHTS, 0)
        tuning_curve.prepare(other, method)
        assert (
            count_parameters(model_of(strategy, train)).trainable
            == count_parameters(other).trainable
        )


def test_a_few_updates_repeat_and_leave_the_frozen_alone(train):
    torch.set_num_threads(1)
    ends = [
        freezing.tune("stem frozen", 3e-3, 0, train, train, WEIGHTS, updates=3)[0] for _ in range(2)
    ]
    start = model_of("stem frozen", train)
    for (name, a), b, s in zip(
        ends[0].state_dict().items(), ends[1].state_dict().values(), start.state_dict().values()
    ):
        assert torch.equal(a, b), name
        assert not name.startswith("stem") or torch.equal(a, s), name
    assert not torch.equal(
        ends[0].head.state_dict()[next(iter(start.head.state_dict()))],
        next(iter(start.head.state_dict().values())),
    )

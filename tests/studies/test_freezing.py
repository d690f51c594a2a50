"""Freezing in lesson 09: the table, and a short tuning."""

import pytest
import torch

from course_utils.datasets.files import data_path
from course_utils.methods.answering import base_model
from course_utils.peft import count_parameters
from course_utils.studies import freezing, tuning_curve
from course_utils.studies.runs import read_runs


def weights():
    return data_path("checkpoints/world_pretrained.safetensors")


@pytest.fixture(scope="module")
def train():
    return tuning_curve.questions("train", 16, seed=100)


def model_of(strategy, train):
    model = base_model(len(train.answers), weights(), 0)
    freezing.STRATEGIES[strategy](model)
    return model


def test_every_run_is_there_once():
    found = read_runs(data_path("studies/freezing.json"))
    expected = {
        (s, rate, seed)
        for s, rates in freezing.MEASURED.items()
        for rate in rates
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
        other = base_model(len(train.answers), weights(), 0)
        tuning_curve.prepare(other, method)
        assert (
            count_parameters(model_of(strategy, train)).trainable
            == count_parameters(other).trainable
        )


def test_a_few_updates_repeat_and_leave_the_frozen_alone(train):
    torch.set_num_threads(1)
    ends = [
        freezing.tune("stem frozen", 3e-3, 0, train, train, weights(), updates=3)[0]
        for _ in range(2)
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


def test_a_random_stem_is_new_and_has_the_statistics_of_the_pictures(train):
    model = model_of("nothing frozen", train)
    before = {name: value.clone() for name, value in model.stem.state_dict().items()}
    freezing.draw_stem(model, train, 0)
    after = model.stem.state_dict()
    assert before.keys() == after.keys()
    moved = [name for name in after if name.endswith(("running_mean", "running_var"))]
    fresh = torch.zeros(1), torch.ones(1)
    assert moved and not any((after[name] == start).all() for name in moved for start in fresh)
    weight = next(name for name in after if name.endswith("weight"))
    assert not torch.equal(before[weight], after[weight])
    assert not model.training


def test_statistics_move_and_weights_do_not(train):
    model = model_of("stem frozen", train)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    freezing.move_statistics(model, train, 2)
    moved = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert moved and all("running" in name or "tracked" in name for name in moved)

"""The table of lesson 11: complete, chosen on validation, and one run repeated."""

from pathlib import Path

import pytest
import torch

from course_utils.methods.answering import base_model
from course_utils.peft import count_parameters, ranks
from course_utils.studies import tuning_curve
from course_utils.studies.runs import read_runs

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "data/checkpoints/world_pretrained.safetensors"


def stored():
    return read_runs(ROOT / "data/studies/tuning_curve.json")


def test_every_method_rate_and_seed_is_there_once():
    found = [(r["method"], r["rate"], r["seed"]) for r in stored()]
    expected = {
        (m, rate, seed)
        for m in tuning_curve.METHODS
        for rate in tuning_curve.RATES
        for seed in tuning_curve.SEEDS
    }
    assert len(found) == len(set(found)) and set(found) == expected


def test_the_rate_is_chosen_on_validation():
    runs = [
        dict(method="a", seed=0, rate=1, validation=0.8, accuracy=0.1),
        dict(method="a", seed=0, rate=2, validation=0.7, accuracy=0.9),
        dict(method="a", seed=1, rate=1, validation=0.5, accuracy=0.2),
        dict(method="b", seed=1, rate=1, validation=0.9, accuracy=0.3),
    ]
    assert [r["accuracy"] for r in tuning_curve.chosen(runs, "a")] == [0.1, 0.2]


@pytest.mark.parametrize("method", tuning_curve.METHODS)
def test_what_is_trained_is_what_the_table_says(method):
    model = base_model(21, WEIGHTS, seed=0)
    tuning_curve.prepare(model, method)
    told = {r["trainable"] for r in stored() if r["method"] == method}
    assert told == {count_parameters(model).trainable}


def test_a_run_gives_the_stored_accuracy():
    torch.set_num_threads(1)
    again = tuning_curve.run("LoRA 1", 1e-2, 0)
    told = next(r for r in stored() if (r["method"], r["rate"], r["seed"]) == ("LoRA 1", 1e-2, 0))
    assert abs(again["accuracy"] - told["accuracy"]) < 0.04  # another processor adds differently


def test_adalora_allocates_and_its_twin_does_not():
    train = tuning_curve.questions("train", 40)
    found = {}
    for method in ("AdaLoRA 6 to 4", "AdaLoRA 6, no allocation"):
        model = base_model(len(train.answers), WEIGHTS, 0)
        tuning_curve.prepare(model, method)
        tuning_curve.tune(model, method, train, None, 1e-3, 0, updates=60)
        found[method] = set(ranks(model).values())
    assert found["AdaLoRA 6, no allocation"] == {6}
    assert found["AdaLoRA 6 to 4"] != {6}


def test_a_frozen_stem_sees_each_picture_once_and_is_there_afterwards():
    train = tuning_curve.questions("train", 20)
    model = base_model(len(train.answers), WEIGHTS, 0)
    tuning_curve.prepare(model, "LoRA 1")
    stem, seen = model.stem, []
    stem.register_forward_hook(lambda module, inputs, v: seen.append(len(v)))
    tuning_curve.tune(model, "LoRA 1", train, None, 1e-3, 0, updates=3)
    assert model.stem is stem and sum(seen) == len(train.images)
    v = tuning_curve.encoded(stem, train).images  # (images, patches, dim)
    assert torch.allclose(v[:5], stem(train.images[:5].float() / 255), atol=1e-5)

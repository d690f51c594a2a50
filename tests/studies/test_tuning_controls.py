"""The controls of the tuning curve: complete, and each part does what its name says."""

import copy

import pytest
import torch
from torch import nn

from course_utils.datasets.files import data_path
from course_utils.methods.answering import base_model
from course_utils.peft import count_parameters
from course_utils.studies import tuning_controls, tuning_curve
from course_utils.studies.runs import read_runs


def stored():
    return read_runs(data_path("studies/tuning_controls.json"))


def base():
    return base_model(21, data_path(tuning_controls.WEIGHTS), 0)


def test_every_setting_is_there_once():
    key = tuning_controls.STUDY.key
    wanted = [key(s) for s in tuning_controls.settings(tuning_controls.SEEDS, [])]
    found = [key(row) for row in stored()]
    assert len(found) == len(set(found)) and set(found) == set(wanted)


@pytest.mark.parametrize("method", tuning_controls.METHODS)
def test_what_is_trained_is_what_the_rows_say(method):
    model = base()
    tuning_curve.prepare(model, method)
    told = {r["trainable"] for r in stored() if r["method"] == method}
    assert told == {count_parameters(model).trainable}


def test_a_faster_head_is_adamw_at_a_higher_rate():
    torch.manual_seed(0)
    one, x, y = nn.Linear(4, 3), torch.randn(8, 4), torch.randint(3, (8,))
    two = copy.deepcopy(one)
    after_update = tuning_controls.faster_head(one, 3.0)
    slow, fast = (torch.optim.AdamW(m.parameters(), lr) for m, lr in ((one, 1e-3), (two, 3e-3)))
    for step in range(20):
        for model, optimizer in ((one, slow), (two, fast)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        after_update(step)
        assert torch.allclose(one.weight, two.weight, atol=1e-6)


def test_a_change_of_rank_1_is_held_by_rank_1():
    before = base()
    after = copy.deepcopy(before)
    with torch.no_grad():
        for name, p in after.named_parameters():
            if p.ndim == 2 and name.startswith("encoder.encoder.layers."):
                p.add_(torch.outer(torch.randn(p.shape[0]), torch.randn(p.shape[1])))
    shares = tuning_controls.change_in_rank(after, before, [1, 64])
    assert shares == pytest.approx([1, 1], abs=1e-5)


def test_the_base_knows_words_and_a_broken_one_does_not():
    model = base()
    assert tuning_controls.words_known(model, "zh") > 0.85
    assert tuning_controls.words_known(model, "en") > 0.7
    with torch.no_grad():
        model.encoder.encoder.norm.weight.zero_()
    assert tuning_controls.words_known(model, "en") < 0.4


def test_a_control_gives_the_stored_accuracy():
    torch.set_num_threads(1)
    again = tuning_controls.run("LoRA 4", 1e-2, 3e-2, 0)
    told = next(r for r in stored() if r["method"] == "LoRA 4" and r["seed"] == 0)
    assert abs(again["accuracy"] - told["accuracy"]) < 0.04  # another processor adds differently

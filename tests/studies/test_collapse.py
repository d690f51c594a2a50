"""The runs of lesson 06 that the lesson does not make itself."""

from itertools import product

import pytest
import torch

from course_utils.datasets.files import data_path
from course_utils.studies import beside_labels, collapse
from course_utils.studies.runs import read_runs


def test_every_run_is_there_once():
    runs = read_runs(data_path("studies/collapse.json"))
    keys = sorted((r["objective"], r["seed"]) for r in runs)
    assert keys == sorted(product(collapse.OBJECTIVES, collapse.SEEDS))
    for r in runs:
        assert 0 <= r["share"] <= 100 and 0 <= r["probe"] <= 100
        assert 1 <= r["eff. rank"] <= collapse.DIM


def test_only_what_holds_the_words_fixed_keeps_the_picture():
    runs = read_runs(data_path("studies/collapse.json"))
    share = {
        name: [r["share"] for r in runs if r["objective"] == name] for name in collapse.OBJECTIVES
    }
    assert min(share["InfoNCE given x"]) > 90
    assert max(share["VICReg, 4 x 16"] + share["SimSiam"]) < 1


@pytest.mark.parametrize("objective", ["SimSiam", "InfoNCE given x"])
def test_a_short_run_repeats(objective):
    found = collapse.run(objective, seed=0, steps=1)
    assert found == collapse.run(objective, seed=0, steps=1)
    assert found["share"] > 1  # one step does not take the picture away


def test_a_batch_has_as_many_pictures_for_each_question_as_asked_for():
    images, x, mask, group = collapse.pictures().draw(4, 16, torch.Generator().manual_seed(0))
    assert images.shape == (64, 3, 64, 64) and len(x) == len(mask) == 64
    assert group.view(4, 16).eq(group.view(4, 16)[:, :1]).all()


@pytest.mark.parametrize("way", beside_labels.WAYS)
def test_a_short_run_beside_labels_repeats(way):
    found = beside_labels.run(way, seed=1, steps=1)
    assert found == beside_labels.run(way, seed=1, steps=1)
    assert 0 <= found["right"] < 40


def test_the_cure_is_the_best_of_the_ways():
    runs = read_runs(data_path("studies/beside_labels.json"))
    mean = {
        way: sum(r["right"] for r in runs if r["way"] == way) / len(beside_labels.SEEDS)
        for way in beside_labels.WAYS
    }
    assert max(mean, key=mean.get) == "32 rows, with L_vs and its cure"

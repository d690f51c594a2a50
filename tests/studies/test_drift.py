"""Changed data: what changes, the kept runs, and one of them again."""

import pytest
import torch

from course_utils.datasets.files import data_path
from course_utils.datasets.world_vqa import WORLD_FAMILIES
from course_utils.studies import drift as d
from course_utils.studies.runs import read_runs

# What changes


def test_changes_of_pictures_leave_questions_and_answers():
    plain = d.nothing("test", 20, 3)
    for make in (d.noisy_camera, d.dim_light):
        changed = make("test", 20, 3)
        assert changed.questions == plain.questions and torch.equal(changed.y, plain.y)
        assert not torch.equal(changed.images, plain.images)
    ratio = d.dim_light("test", 20, 3).images.float().mean() / plain.images.float().mean()
    assert ratio == pytest.approx(0.5, abs=0.01)


def test_another_meaning_changes_no_input():
    plain, turned = d.nothing("test", 20, 3), d.another_meaning("test", 20, 3)
    assert turned.questions == plain.questions and torch.equal(turned.images, plain.images)
    exists = plain.family == plain.families.index("exists")
    assert (turned.y != plain.y).tolist() == exists.tolist()
    assert {plain.answers[i] for i in turned.y[exists]} == {"no", "yes"}


def test_another_family_is_one_the_model_never_met():
    found = d.another_family("test", 20, 3)
    assert {found.families[i] for i in found.family} == {"negation"}
    assert not {"negation"} & set(WORLD_FAMILIES)


# The kept runs


def stored():
    return read_runs(data_path("studies/drift.json"))


def test_every_change_and_seed_is_there_once():
    found = [(r["change"], r["seed"]) for r in stored()]
    assert len(found) == len(set(found))
    assert set(found) == {(change, seed) for change in d.CHANGES for seed in d.SEEDS}


def test_every_repair_is_there_and_the_bought_answers_are_learnt():
    for row in stored():
        names = {"as it was", "new statistics", *d.TUNED.get(row["change"], ())}
        assert set(row["accuracy"]) == names, row["change"]
        for name in names - {"as it was", "new statistics"}:
            assert row["accuracy"][name]["own"] > 0.85, (row["change"], row["seed"], name)


def test_a_run_gives_the_stored_numbers():
    torch.set_num_threads(1)
    told = next(r for r in stored() if (r["change"], r["seed"]) == ("noisy camera", 0))
    again = d.run("noisy camera", 0)
    for model, shares in told["accuracy"].items():
        for when, share in shares.items():
            assert abs(again["accuracy"][model][when] - share) < 0.05, (model, when)
    for detector in d.SIDES:
        assert again[detector]["missed"] == pytest.approx(told[detector]["missed"], abs=0.1)

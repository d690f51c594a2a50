"""FixMatch: the kept runs, and one of them again."""

import pytest
import torch

from course_utils.datasets.files import data_path
from course_utils.studies import semi_supervised as semi
from course_utils.studies.runs import read_runs


def stored():
    return read_runs(data_path("studies/semi_supervised.json"))


def test_every_method_and_seed_is_there_once():
    found = [(r["method"], r["rate"], r["seed"]) for r in stored()]
    assert len(found) == len(set(found))
    for method in semi.METHODS:
        rates = semi.RATES[:1] if method in semi.ONE_RATE else semi.RATES
        assert {(method, rate, 0) for rate in rates} <= set(found)
        seeds = semi.SEEDS[:2] if method in semi.TWO_SEEDS else semi.SEEDS
        assert tuple(r["seed"] for r in semi.chosen(stored(), method)) == seeds


def test_validation_answers_are_learnt_where_nothing_is_chosen():
    for row in semi.chosen(stored(), semi.TWICE):
        assert row["labels"] == 800 and row["validation"] is None
    assert all(r["labels"] == 400 for r in semi.chosen(stored(), semi.TRUTH))


def test_the_rate_is_chosen_on_validation_at_the_first_seed():
    runs = [
        dict(method="a", seed=0, rate=1, validation=0.8, accuracy=0.1),
        dict(method="a", seed=0, rate=2, validation=0.7, accuracy=0.9),
        dict(method="a", seed=1, rate=1, validation=0.5, accuracy=0.2),
        dict(method="a", seed=1, rate=2, validation=0.9, accuracy=0.3),
    ]
    assert [r["accuracy"] for r in semi.chosen(runs, "a")] == [0.1, 0.2]
    with pytest.raises(ValueError, match=r"expected runs of .all labels. at seed 0"):
        semi.best_rate([], "all labels")


def test_a_run_gives_the_stored_accuracy():
    torch.set_num_threads(1)
    name = "5 %, pictures as they are"
    told = next(r for r in stored() if (r["method"], r["rate"], r["seed"]) == (name, 1e-3, 0))
    again = semi.run(name, 1e-3, 0)
    assert told["labels"] == again["labels"] == 400
    assert abs(again["accuracy"] - told["accuracy"]) < 0.05  # another processor adds differently

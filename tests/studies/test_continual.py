"""One family after the other: the kept runs, and one of them again."""

import pytest
import torch

from course_utils.datasets.files import data_path
from course_utils.studies import continual as c
from course_utils.studies.runs import read_runs


def stored():
    return read_runs(data_path("studies/continual.json"))


def test_every_setting_and_seed_is_there_once():
    found = [(r["method"], r["rate"], r["strength"], r["seed"]) for r in stored()]
    assert len(found) == len(set(found))
    for method, tries in c.TRIES.items():
        assert {(method, *setting, 0) for setting in tries} <= set(found)
        runs = c.chosen(stored(), method)
        assert [r["seed"] for r in runs] == list(c.SEEDS)
        stages = 1 if method == "joint" else 4
        assert all(
            len(r[key]) == stages and all(len(row) == 4 for row in r[key])
            for r in runs
            for key in ("matrix", "among")
        )


def test_the_setting_is_chosen_on_validation_at_the_first_seed():
    row = lambda seed, rate, validation: dict(
        method="a", seed=seed, rate=rate, strength=0.0, validation=validation
    )
    runs = [row(0, 1, 0.8), row(0, 2, 0.7), row(1, 1, 0.1), row(1, 2, 0.9)]
    assert [(r["seed"], r["rate"]) for r in c.chosen(runs, "a")] == [(0, 1), (1, 1)]
    with pytest.raises(ValueError, match="expected runs of 'b'"):
        c.chosen(runs, "b")


def test_a_run_gives_the_stored_matrix():
    torch.set_num_threads(1)
    told = next(r for r in stored() if (r["method"], r["rate"], r["seed"]) == ("joint", 3e-3, 0))
    again = c.run("joint", 3e-3, 0.0, 0)
    for a, b in zip(told["matrix"][0], again["matrix"][0]):
        assert abs(a - b) < 0.08  # another processor adds differently; 500 questions each

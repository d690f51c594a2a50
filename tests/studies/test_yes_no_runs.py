"""The runs behind lesson 08's puzzle."""

from itertools import product
from pathlib import Path

import pytest
import torch

from course_utils.datasets import load_easy_vqa, loader
from course_utils.studies.runs import read_runs
from course_utils.studies.yes_no_runs import KINDS, PASSES, SEEDS, Weighted, asks_for, run

DATA = Path(__file__).resolve().parents[2] / "data"


def test_every_run_is_there_once():
    runs = read_runs(DATA / "studies" / "yes_no_runs.json")
    assert [(r["kind"], r["seed"]) for r in runs] == list(product(KINDS, SEEDS))
    for r in runs:
        assert len(r["validation"]) == PASSES
        for shares in (*r["validation"], r["train"], r["test"], r["exchanged"]):
            assert shares.keys() == {"colour", "shape"}
            assert all(0 <= share <= 1 for share in shares.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_run_repeats(kind):
    found = run(kind, seed=0, max_steps=2)
    assert found == run(kind, seed=0, max_steps=2)
    assert len(found["validation"]) == 1 and 0.4 < found["test"]["shape"] < 0.7


def test_weights_make_each_wording_as_much_yes_as_no():
    data = load_easy_vqa("train").restrict_answers(("no", "yes"))
    objective = Weighted(data, even=True)
    total = {}
    for batch in loader(data, images_per_batch=200):
        for x, y, weight in zip(batch.x, batch.y.tolist(), objective.weights(batch).tolist()):
            total.setdefault(objective.key(x), [0.0, 0.0])[y] += weight
    no, yes = torch.tensor(list(total.values())).T
    torch.testing.assert_close(no, yes, rtol=1e-3, atol=0)
    torch.testing.assert_close((no + yes).sum(), torch.tensor(float(len(data))), rtol=1e-3, atol=0)


def test_a_question_that_names_a_colour_asks_for_one():
    assert asks_for("Is there a red shape?") == "colour"
    assert asks_for("is no circle present?") == "shape"


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match=r"as they are.*got 'longer'"):
        run("longer", 0)

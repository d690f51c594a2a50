"""The runs behind lesson 08's puzzle."""

from itertools import product
from pathlib import Path

import pytest

from course_utils.studies.runs import read_runs
from course_utils.studies.yes_no_runs import KINDS, SEEDS, run

DATA = Path(__file__).resolve().parents[2] / "data"


def test_every_run_is_there_once():
    runs = read_runs(DATA / "studies" / "yes_no_runs.json")
    assert [(r["kind"], r["seed"]) for r in runs] == list(product(KINDS, SEEDS))
    for r in runs:
        assert len(r["validation"]) == (7 if r["kind"] == "seven passes" else 3)
        assert all(0 <= r[name] <= 1 for name in ("test", "exchanged"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_run_repeats(kind):
    found = run(kind, seed=0, max_steps=2)
    assert found == run(kind, seed=0, max_steps=2)
    assert len(found["validation"]) == 1 and 0.4 < found["test"] < 0.6  # as good as untrained


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match=r"seven passes.*got 'longer'"):
        run("longer", 0)

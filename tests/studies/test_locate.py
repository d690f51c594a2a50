"""The study of lesson 16: kept rows, and short runs that repeat."""

from pathlib import Path

import pytest

from course_utils.studies import locate
from course_utils.studies.runs import read_runs
from course_utils.training.fit import FitConfig

ROWS = read_runs(Path(__file__).resolve().parents[2] / "data" / "studies" / "locate.json")
SHORT = FitConfig(epochs=1, max_steps=2)


def test_every_setting_is_there_once():
    wanted = {locate.STUDY.key(s) for s in locate.settings(range(3), ROWS)}
    assert {locate.STUDY.key(row) for row in ROWS} == wanted and len(ROWS) == len(wanted)


def test_every_run_has_the_rate_that_validation_chose():
    for way in locate.WAYS:
        seeds = [
            row["seed"]
            for row in ROWS
            if (row["way"], row["mix"], row["rate"]) == (way, "mixed", locate.best_rate(ROWS, way))
        ]
        assert seeds == [0, 1, 2]


def test_a_short_run_repeats():
    found = [locate.run("towers", "mixed", 2e-3, 0, 64, 12, SHORT) for _ in range(2)]
    assert found[0] == found[1]
    row = found[0]
    for kind in ("name", "side", "near", "exchanged", "new pairs", "old pairs"):
        assert 0 <= row[kind]["right"] <= min(row[kind]["chosen"], row[kind]["found"]) + 1e-9 <= 2
    assert row["both"] <= min(row["near"]["right"], row["exchanged"]["right"])


def test_new_pairs_are_not_in_training():
    given = locate.pictures("train", 40, "pairs").given
    new = {text.removeprefix("the ") for text in locate.tests(12)["new pairs"].given.texts}
    for i in range(40):
        assert not {" ".join(one[1:3]) for one in given.scenes.describe(i)} & new


def test_other_expressions_are_about_the_same_pictures():
    one, *more = locate.sets(64, "mixed")
    assert len(more) == locate.SETS - 1
    for other in more:
        assert other.scenes is one.scenes
        assert [a.kind for a in other.said] == [a.kind for a in one.said]
    assert any(a.text != b.text for a, b in zip(one.said, more[0].said))


def test_an_unknown_mix_is_refused():
    with pytest.raises(ValueError, match="mixed, few, pairs, got 'all'"):
        locate.run("towers", "all", 2e-3, 0, 8, 8, SHORT)

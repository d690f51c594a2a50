"""The studies of lesson 15: kept rows, and short runs that repeat."""

from pathlib import Path

import pytest
import torch

from course_utils.methods.clip_answering import trained_future
from course_utils.studies import futures, order
from course_utils.studies.runs import missing, read_runs
from course_utils.training.fit import FitConfig

DATA = Path(__file__).resolve().parents[2] / "data" / "studies"
SHORT = FitConfig(epochs=2, max_steps=3)
FEW = (40, 6, 8)  # clips


def test_nothing_is_missing():
    for name, study in (("order", order.STUDY), ("futures", futures.STUDY)):
        rows = read_runs(DATA / f"{name}.json")
        assert not list(missing(study, study.seeds, rows))
        keys = [study.key(row) for row in rows]
        assert len(keys) == len(set(keys)) and rows == sorted(rows, key=study.place)


@pytest.mark.parametrize(
    ("kind", "model", "forms"), [("first", "mean", 1), ("first", "recurrence", 2)]
)
def test_a_short_run_repeats(kind, model, forms):
    found = [order.run(kind, forms, model, 1e-3, 1, SHORT, FEW) for _ in range(2)]
    assert found[0] == found[1]
    row = found[0]
    assert len(row["curve"]["right"]) == len(row["curve"]["same"])
    if model == "mean":
        assert row["same"] == 1 and row["right"] <= 0.5
    with pytest.raises(ValueError, match="got 'film'"):
        order.run(kind, forms, "film", 1e-3, 1, SHORT, FEW)


def test_which_clips_are_split_by_their_ways():
    row = order.run("which", 1, "difference", 1e-3, 0, SHORT, FEW)
    assert 0 <= row["same_way"] <= 1 and 0 <= row["opposite"] <= 1


def test_a_second_stage_begins_where_the_first_ended():
    row = order.run("first", order.AFTER, "recurrence", 1e-3, 0, SHORT, FEW)
    assert row["forms"] == order.AFTER


def test_seeing_models_are_trained_longer():
    assert order.fit_config("mean", 1, 1e-3).epochs < order.fit_config("joint", 1, 1e-3).epochs
    assert order.fit_config("joint", 2, 1e-3).epochs > order.fit_config("joint", 1, 1e-3).epochs


def test_a_short_text_to_video_repeats():
    found = [futures.run(1, clips=6, tests=4, updates=2) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0]["least_untold"] < found[0]["repeated"]


def test_the_checkpoint_is_as_good_as_its_study():
    rows = read_runs(DATA / "futures.json")
    with torch.no_grad():
        found = futures.judged(trained_future(), futures.future_data(20, 5))
    assert found["told"] < 2 * max(row["told"] for row in rows)
    assert found["right_way"] > 0.95

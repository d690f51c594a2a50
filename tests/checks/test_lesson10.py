"""Lesson 10's exercises: right answers written in another way pass, and enough wrong ones fail."""

import math
import statistics

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import f1_score

from course_utils.checks import check
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson10 import EXERCISES


def macro_f1_by_pairs(table):
    truth, said = [], []
    for i, row in enumerate(table.tolist()):
        for j, count in enumerate(row):
            truth += [i] * count
            said += [j] * count
    return f1_score(truth, said, average="macro")


def auc_by_pairs(scores, positive):
    total = 0.0
    for a in scores[positive].tolist():
        for b in scores[~positive].tolist():
            total += (a > b) + 0.5 * (a == b)
    return total / (positive.sum() * (~positive).sum())


def bootstrap_by_counts(right, picture, draws, generator):
    _, which = picture.unique(return_inverse=True)
    sums = torch.bincount(which, right.double())
    sizes = torch.bincount(which)
    picked = torch.randint(len(sums), (draws, len(sums)), generator=generator)
    return sums[picked].sum(1) / sizes[picked].sum(1)


def interval_by_numpy(values):
    if len(values) == 1:
        raise ValueError("one run")
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    return list(stats.t.interval(0.95, len(values) - 1, np.mean(values), error))


def interval_by_scipy(values):
    if len(values) < 2:
        raise ValueError("one run")
    return stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))


def interval_by_torch(values):
    if len(values) < 2:
        raise ValueError("one run")
    runs = torch.tensor(values)  # single precision
    half = stats.t.ppf(0.975, len(runs) - 1) * runs.std() / len(runs) ** 0.5
    return runs.mean() - half, runs.mean() + half


def interval_as_tensor(values):
    k = len(values)
    if k < 2:
        raise ValueError(f"{k} runs")
    half = stats.t.ppf(0.975, k - 1) * statistics.stdev(values) / k**0.5
    return torch.tensor([statistics.fmean(values) - half, statistics.fmean(values) + half]).double()


def split_by_threshold(picture, fraction, generator):
    numbers, which = picture.unique(return_inverse=True)
    luck = torch.rand(len(numbers), generator=generator)
    border = luck.sort().values[round(fraction * len(luck)) - 1]
    return (luck <= border)[which]


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("10.1", "c"),
        ("10.2", macro_f1_by_pairs),
        ("10.3", auc_by_pairs),
        ("10.5", bootstrap_by_counts),
        ("10.4", 2),
        ("10.6", interval_by_numpy),
        ("10.6", interval_as_tensor),
        ("10.6", interval_by_scipy),
        ("10.6", interval_by_torch),
        ("10.7", 84),
        ("10.8", split_by_threshold),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "10.2": [
        "micro F1",
        "mean recall",
        "mean precision",
        "First F1 of each",
        "how often they occur",
        "Hits count twice",
        "four times",
        "last class alone",
        "one number for each class",
        "0 divided by 0",
        "neither occurs nor is said",
        "never said counts",
        "never occurs counts",
    ],
    "10.3": [
        "not a whole",
        "not nothing",
        "negative one is higher",
        "one threshold",
        "not with all",
        "share the mean of their ranks",
        "Ranks start at 1",
        "below a half",
    ],
    "10.5": [
        "no three whole pictures",
        "with replacement",
        "many questions count more",
        "as many pictures as there are",
        "share from 0 to 1",
        "with replacement",
        "counts twice",
        "that were drawn, not of all",
        "NaN",
        "with `generator`",
        "not per cent",
    ],
    "10.6": [
        "one. run varies",
        "many runs",
        "root of k",
        "not by k",
        "not by k",
        "not k",
        "each side",
        "not the median",
        "two ends",
        "expected a ValueError",
    ],
    "10.8": [
        "a leak",
        "expected 10 of 48",
        "expected 10 of 48",
        "on one side",
        r"rounded with round\(\)",
        "not of all numbers",
        "not of the questions",
        "with `generator`",
        "draw each on its own",
        "draw each on its own",
    ],
}


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=f"(?i){NAMED[number][i]}"):
        check(number, wrong)


def median_f1(table):
    return (2 * table.diagonal() / (table.sum(0) + table.sum(1))).median().item()


def test_the_median_is_not_told_that_it_is_the_last_class(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    with pytest.raises(Feedback) as told:
        check("10.2", median_f1)
    assert "last class" not in str(told.value)


def split_by_count(count):
    def split(picture, fraction, generator):
        groups = picture.unique()
        order = groups[torch.randperm(len(groups), generator=generator)]
        return torch.isin(picture, order[: count(fraction * len(groups))])

    return split


@pytest.mark.parametrize("count", [int, math.ceil])
def test_pictures_are_counted_by_rounding(count):
    with pytest.raises(Feedback, match=r"rounded with round\(\)"):
        EXERCISES["10.8"].test(split_by_count(count))
    EXERCISES["10.8"].test(split_by_count(round))


def test_a_bootstrap_has_as_many_draws_as_asked_for():
    with pytest.raises(Feedback, match="use `draws`"):
        EXERCISES["10.5"].test(lambda r, p, draws, g: bootstrap_by_counts(r, p, 1000, g))


def refuses_two_runs(values):
    if len(values) < 3:
        raise ValueError("too few")
    return interval_by_scipy(values)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [("a", "never finds anything"), ("b", "threshold is already"), ("d", "how sure")],
)
def test_a_wrong_choice_is_told_why(answer, reason, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    with pytest.raises(Feedback, match=f"(?i){reason}"):
        check("10.1", answer)


def test_every_known_mistake_is_tried_above():
    for number, exercise in EXERCISES.items():
        if number not in ("10.1", "10.4", "10.7"):
            assert len(exercise.mistakes) == len(NAMED[number]) >= 3


@pytest.mark.parametrize(
    ("number", "value", "message"),
    [
        ("10.2", lambda table: None, "None"),
        ("10.3", lambda s, p: s, "number|shape"),
        ("10.5", lambda r, p, d, g: 0.5, "one mean a draw"),
        ("10.4", "wide", "0 to 50"),
        ("10.4", 0.036, "Did you mean 3.6"),
        ("10.6", lambda v: 80.0, "pair .*a number"),
        ("10.6", lambda v: (79.0, 80.0, 81.0), "pair .*3 entries"),
        ("10.6", refuses_two_runs, "ValueError for two runs, which have"),
        ("10.6", lambda v: ("low", "high"), "number"),
        ("10.7", 0.5, "Did you mean 50"),
        ("10.8", lambda p, f, g: p, "bool tensor"),
    ],
)
def test_answers_of_another_kind_are_told_so(number, value, message):
    with pytest.raises(Feedback, match=message):
        EXERCISES[number].test(value)

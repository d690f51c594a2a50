"""Lesson 07's exercises: right answers written in another way pass, and enough wrong ones fail."""

import math

import pytest
import torch

from course_utils.checks import check
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson07 import EXERCISES


def contrastive_by_loop(scores):
    total = 0
    for i in range(len(scores)):
        total = total + scores[i].logsumexp(0) + scores[:, i].logsumexp(0) - 2 * scores[i, i]
    return total / (2 * len(scores))


def push_by_hand(scores, own, temperature):
    e = torch.exp((scores - scores.max()) / temperature)
    e = torch.cat([e[:own], torch.zeros(1), e[own + 1 :]])
    return e / e.sum()


def recall_by_sorting(scores, right, k):
    hits = 0
    for row, truth in zip(scores, right):
        hits += bool(truth[row.argsort(descending=True)[:k]].any())
    return hits / len(scores)


def spread_by_loop(scores, right):
    def way(s, r):
        return sum(-s[i].log_softmax(0)[r[i]].mean() for i in range(len(s))) / len(s)

    return 0.5 * way(scores, right) + 0.5 * way(scores.T, right.T)


def hard_by_rows(scores, right, generator):
    rows = []
    for row, truth in zip(scores, right):
        wrong = (~truth).nonzero()[:, 0]
        rows.append(wrong[torch.multinomial(row[wrong].softmax(0), 1, generator=generator)])
    return torch.cat(rows)


def hard_by_gumbel(scores, right, generator):
    noise = -torch.log(-torch.log(torch.rand(scores.shape, generator=generator)))
    return (scores + noise).masked_fill(right, -torch.inf).argmax(1)


def hard_by_rejection(scores, right, generator):
    chosen = torch.full((len(scores),), -1)
    while (chosen < 0).any():
        drawn = scores.softmax(1).multinomial(1, generator=generator)  # (pictures, 1)
        good = ~right.gather(1, drawn)[:, 0] & (chosen < 0)
        chosen[good] = drawn[good, 0]
    return chosen


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("07.1", contrastive_by_loop),
        ("07.2", 5.545),
        ("07.2", 5.546),
        ("07.2", torch.tensor(256.0).log().item()),
        ("07.3", push_by_hand),
        ("07.4", recall_by_sorting),
        ("07.5", spread_by_loop),
        ("07.6", hard_by_rows),
        ("07.6", hard_by_gumbel),
        ("07.6", hard_by_rejection),
        ("07.7", 60),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "07.1": [
        "only the rows",
        "only the columns",
        "their mean",
        "sum over the batch",
        "logarithm",
        "only the diagonal",
        "softmax itself",
        "temperature already",
        "yes or no",
        "not one for the table",
        "in the denominator",
        "near 100",
    ],
    "07.2": [
        "base 2",
        "probability",
        "wrong guesses",
        "sign",
        "wrong texts only",
        "base 10",
        "averaged",
    ],
    "07.3": [
        "include the right",
        "divided by their sum",
        "multiply",
        "isn't used",
        "no exclusion",
        "cosine of -1",
    ],
    "07.4": [
        "one is enough",
        "precision",
        "several",
        "columns",
        "lowest",
        "first right choice",
        "k . 1",
        "not per cent",
        "their share",
    ],
    "07.5": [
        "isn't used",
        "sum to 1",
        "other way round",
        "another loss",
        "not pulled",
        "target of their own",
        "right.T by its own",
        "keepdim",
        "divergence",
        "counts once",
        "rows are missing",
        "are added",
    ],
    "07.6": [
        "own text",
        "own text",
        "true of it",
        "should come up",
        "should come up",
        "should come up",
        "always the same",
        "should come up",
        "same generator",
    ],
}


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=f"(?i){NAMED[number][i]}"):
        check(number, wrong)


def test_every_known_mistake_is_tried_above():
    for number, exercise in EXERCISES.items():
        if number != "07.7":
            assert len(exercise.mistakes) == len(NAMED[number]) >= 3


@pytest.mark.parametrize(
    ("number", "value", "message"),
    [
        ("07.1", lambda scores: scores, "shape|one number"),
        ("07.1", lambda scores: EXERCISES["07.1"].reference(scores).detach(), "no gradient"),
        ("07.1", lambda scores: EXERCISES["07.1"].reference(scores).item(), "expected a tensor"),
        ("07.2", "many", "number"),
        ("07.2", 5.54, "close"),
        ("07.2", math.log(250), "the loss of a model"),
        ("07.3", lambda s, own, t: torch.zeros(5), "shape"),
        ("07.4", lambda s, r, k: None, "None"),
        ("07.4", lambda s, r, k: {1: 0.4, 3: 0.8, 12: 1.0}[k], "recall at"),
        (
            "07.4",
            lambda s, r, k: r.gather(1, s.topk(k, dim=1).indices).any(1),
            "mean over the queries",
        ),
        ("07.5", lambda s, r: spread_by_loop(s.detach(), r), "no gradient"),
        (
            "07.5",
            lambda s, r: (
                sum(-(way.softmax(1) + 1e-30).log()[t].mean() for way, t in ((s, r), (s.T, r.T)))
                / 2
            ),
            "the loss",
        ),
        ("07.6", lambda s, r, g: hard_by_rows(s, r, g).float(), "whole numbers"),
        ("07.6", lambda s, r, g: hard_by_rows(s, r, g) + 3, "from 0 to 3"),
        ("07.6", lambda s, r, g: hard_by_rows(s, r, g) - 4, "from 0 to 3"),
        ("07.6", lambda s, r, g: 3, "one text number"),
        ("07.6", lambda s, r, g: s.argmax(1, keepdim=True), "one text number"),
        ("07.7", 0, "from 1 to 240"),
        ("07.7", "far", "from 1 to 240"),
    ],
)
def test_answers_of_another_kind_are_told_so(number, value, message):
    with pytest.raises(Feedback, match=message):
        EXERCISES[number].test(value)

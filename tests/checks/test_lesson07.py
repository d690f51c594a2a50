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


def masked_by_loop(logits, x, chosen):
    places = chosen.nonzero().tolist()
    losses = [logits[i, j].logsumexp(0) - logits[i, j, x[i, j]] for i, j in places]
    return sum(losses) / len(losses) if losses else torch.zeros(())


def masked_by_labels(logits, x, chosen):
    labels = torch.where(chosen, x, -100)
    if not chosen.any():
        return torch.tensor(0.0)
    return torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels)


def name_by_loop(v, sentences_of):
    best = []
    for picture in v:
        cosines = []
        for sentences in sentences_of:
            mean = sum(t / t.norm() for t in sentences) / len(sentences)
            cosines.append(float(torch.cosine_similarity(picture, mean, dim=0)))
        best.append(cosines.index(max(cosines)))
    return best


def name_by_sums(v, sentences_of):
    sums = torch.stack([(t / t.norm(dim=1, keepdim=True)).sum(0) for t in sentences_of])
    return (v @ (sums / sums.norm(dim=1, keepdim=True)).T).max(1).indices


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
        ("07.6", masked_by_loop),
        ("07.6", masked_by_labels),
        ("07.7", hard_by_rows),
        ("07.7", hard_by_gumbel),
        ("07.7", hard_by_rejection),
        ("07.7", lambda s, r, g: hard_by_rows(s, r, g).tolist()),
        ("07.8", name_by_loop),
        ("07.8", name_by_sums),
        ("07.9", " Unpaired"),
        ("07.10", 60),
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
        "gradient by the scores is not",
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
        "score of -10",
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
        "gradient by the scores is not",
    ],
    "07.6": [
        "0 / 0",
        "isn't used",
        "divided by all places",
        "number of texts",
        "texts' means",
        "sum over the chosen",
        "not chosen",
        "softmax itself",
        "multiplied by 0",
        "log of the number",
    ],
    "07.8": [
        "more say",
        "not dot products",
        "longer sum",
        "first sentence",
        "best sentence",
        "smallest",
        "number of a sentence",
    ],
    "07.7": [
        "own text",
        "own text",
        "true of it",
        "should come up",
        "should come up",
        "should come up",
        "always the same",
        "should come up",
        "same generator",
        "around -60",
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
        if number not in ("07.9", "07.10"):
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
        ("07.7", lambda s, r, g: hard_by_rows(s, r, g).float(), "whole numbers"),
        ("07.7", lambda s, r, g: hard_by_rows(s, r, g) + 3, "from 0 to 3"),
        ("07.7", lambda s, r, g: hard_by_rows(s, r, g) - 4, "from 0 to 3"),
        ("07.7", lambda s, r, g: 3, "one text number"),
        ("07.7", lambda s, r, g: s.argmax(1, keepdim=True), "one text number"),
        ("07.6", lambda z, x, c: z.detach()[c].sum() * 0 + 1, "the loss"),
        ("07.6", lambda z, x, c: masked_by_loop(z.detach(), x, c), "no gradient"),
        ("07.8", lambda v, t: torch.zeros(60), "expected int64 values|wrong"),
        ("07.9", "longer", "more updates"),
        ("07.9", "captions", "two things"),
        ("07.9", "seeds", "interval"),
        ("07.9", "pairs", "expected one of"),
        ("07.10", 0, "from 1 to 240"),
        ("07.10", "far", "from 1 to 240"),
    ],
)
def test_answers_of_another_kind_are_told_so(number, value, message):
    with pytest.raises(Feedback, match=message):
        EXERCISES[number].test(value)

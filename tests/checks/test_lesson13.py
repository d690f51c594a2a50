"""Lesson 13's exercises: right answers written in another way pass, wrong ones are told why."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from course_utils.checks import check
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson13 import COUNTS, EXERCISES, _model, _write
from course_utils.methods.generation import continued


def labels_by_loop(x, mask, start, patches):
    rows = []
    for ids, there in zip(x.tolist(), mask.tolist()):
        first = ids.index(start) + 1
        row = [-100] * patches
        row += [token if t >= first and there[t] else -100 for t, token in enumerate(ids)]
        rows.append(row)
    return torch.tensor(rows)


def labels_by_where(x, mask, start, patches):
    at = (x == start).int().argmax(1, keepdim=True)
    keep = mask & (torch.arange(x.shape[1]) > at)
    return torch.nn.functional.pad(torch.where(keep, x, -100), (patches, 0), value=-100)


def write_by_the_package(model, h, steps, end):
    x = torch.zeros(len(h), h.shape[1], dtype=torch.long)
    return continued(model, x, steps, end=end, h=h)


@torch.no_grad()
def write_by_columns(model, h, steps, end):
    cache = model.cache(h.shape[0], h.shape[1] + steps)
    columns = []
    for _ in range(steps):
        token = model.logits(model.states(h, cache=cache))[:, -1].topk(1).indices
        if columns:
            token = torch.where(columns[-1] == end, end, token)
        columns.append(token)
        if (token == end).all():
            break
        h = model.token(token)
    return torch.cat(columns, 1).tolist()


def nucleus_by_loop(logits, temperature, top_p):
    rows = []
    for p in (logits / temperature).softmax(-1):
        kept, total = torch.zeros_like(p), 0.0
        for i in p.argsort(descending=True):
            if total >= top_p:
                break
            kept[i] = p[i]
            total += p[i]
        rows.append(kept / kept.sum())
    return torch.stack(rows)


def nucleus_by_logits(logits, temperature, top_p):
    z, order = (logits / temperature).sort(dim=-1, descending=True)
    before = torch.nn.functional.pad(z.softmax(-1).cumsum(-1)[:, :-1], (1, 0))
    z = torch.where(before < top_p, z, -torch.inf)
    return torch.full_like(logits, -torch.inf).scatter(-1, order, z).softmax(-1)


def beams_by_sorting(scores, log_p, k):
    found = [
        (-(scores[b] + log_p[b, t]).item(), b, t)
        for b in range(len(scores))
        for t in range(log_p.shape[1])
    ]
    sums, beams, tokens = zip(*sorted(found)[:k])
    return -torch.tensor(sums), torch.tensor(beams), torch.tensor(tokens)


def beams_by_unravelling(scores, log_p, k):
    best, place = (log_p + scores.view(-1, 1)).reshape(-1).sort(descending=True)
    beam, token = torch.unravel_index(place[:k], log_p.shape)
    return [best[:k], beam, token]


def matches_by_counting(candidate, references, n):
    def rows(text):
        parts = text.split()
        return [" ".join(parts[i : i + n]) for i in range(len(parts) - n + 1)]

    own = rows(candidate)
    most = {g: max(rows(r).count(g) for r in references) for g in own}
    return [sum(min(own.count(g), most[g]) for g in set(own)), len(own)]


def matches_by_crossing_out(candidate, references, n):
    def rows(text):
        return Counter(zip(*(text.split()[i:] for i in range(n))))

    own = rows(candidate)
    return (sum(min(c, max(rows(r)[g] for r in references)) for g, c in own.items()), own.total())


def cider_by_vectors(candidate, reference, pictures, total):
    grams = sorted(candidate.keys() | reference.keys())
    idf = np.log([total / max(pictures.get(g, 1), 1) for g in grams])
    a, b = (np.array([text[g] for g in grams]) * idf for text in (candidate, reference))
    below = np.linalg.norm(a) * np.linalg.norm(b)
    return np.minimum(a, b) @ b / below if below > 0 else 0


def cider_by_loop(candidate, reference, pictures, total):
    above = first = second = 0.0
    for g in candidate:
        idf = math.log(total) - math.log(pictures.get(g, 1))
        above += min(candidate[g], reference[g]) * reference[g] * idf**2
        first += (candidate[g] * idf) ** 2
    for g in reference:
        idf = math.log(total) - math.log(pictures.get(g, 1))
        second += (reference[g] * idf) ** 2
    return torch.tensor(above / (first * second) ** 0.5 if first * second else 0.0)


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("13.1", labels_by_loop),
        ("13.1", labels_by_where),
        ("13.2", [343, 31]),
        ("13.2", torch.tensor([343, 31])),
        ("13.3", write_by_the_package),
        ("13.3", write_by_columns),
        ("13.6", nucleus_by_loop),
        ("13.6", nucleus_by_logits),
        ("13.4", beams_by_sorting),
        ("13.4", beams_by_unravelling),
        ("13.7", matches_by_counting),
        ("13.7", matches_by_crossing_out),
        ("13.8", cider_by_vectors),
        ("13.8", cider_by_loop),
        ("13.9", lambda r: r - r.sum(1)[:, None] / r.shape[1]),
        ("13.9", lambda r: torch.stack([row - row.mean() for row in r])),
        ("13.11", "B"),
        ("13.11", "(b)"),
        ("13.10", 0),
        ("13.10", 45.5),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "13.1": [
        "learns to ask",
        "belongs to the prompt",
        "shifted already",
        "Padding gets",
        "no text ever stops",
        "have positions too",
        "in front of the words",
        "0 is the id",
        "place of its own",
    ],
    "13.2": ["then not read", "grows by one", "18 positions", "other way round", "read once"],
    "13.3": [
        "positions were computed",
        "several times",
        "the last state",
        "filled up",
        "all texts have ended",
        "forgotten the picture",
        "every text",
    ],
    "13.6": [
        "that of temperature 1",
        "reaches top_p stays",
        "add up to 1",
        "used twice",
        "you multiplied",
        "came back sorted",
    ],
    "13.4": [
        "the same beam",
        "so far is missing",
        "are added",
        "are exchanged",
        "not beams",
        "smallest sums",
        "take the remainder",
    ],
    "13.7": [
        "Nothing is clipped",
        "added up",
        "once only",
        "not the first alone",
        "single words",
        "0 n-grams",
        "recall",
        "last n-gram is missing",
        "they don't count",
        "not the last alone",
        "not a number below",
        "whole words",
        "order of the words",
        "two words here",
        "clipped at 1",
    ],
    "13.8": [
        "plain cosine",
        "was left out",
        "logarithm is missing",
        "lengths are of all",
        "sum of squares",
        "twice as much",
        "no reference has",
        "10 comes later",
    ],
    "13.9": [
        "over all pictures",
        "mean over pictures",
        "Nothing was taken off",
        "sign is wrong",
        "0 / 0",
        "GRPO's version",
        "How much more",
        "mean of the others",
        "median",
    ],
    "13.11": ["nothing is punished", "nothing to prefer", "all rewards of a group"],
}


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=f"(?i){NAMED[number][i]}"):
        check(number, wrong)


def test_every_known_mistake_is_tried_above():
    for number, exercise in EXERCISES.items():
        if number != "13.10":
            assert len(exercise.mistakes) == len(NAMED[number]) >= 3


@pytest.mark.parametrize("guess", [-1, 101, "few", True, 0.3])
def test_a_prediction_must_be_a_possible_number(guess):
    with pytest.raises(Feedback):
        EXERCISES["13.10"].test(guess)


def test_the_counts_are_what_the_loop_computes():
    """16 patches, a word and [START] in front, 14 tokens that don't end before."""
    model, _ = _model(3)
    h = torch.randn(1, 18, 16)
    found = _write(model, h, 14, end=-1)
    assert found.shape == (1, 14) and sum(model.read) == COUNTS[1]
    assert sum(18 + t for t in range(14)) == COUNTS[0]


def test_the_texts_of_the_loop_try_every_path():
    ends = []
    for seed, steps in ((7, 12), (8, 8), (28, 12), (31, 1)):
        model, h = _model(seed)
        texts = _write(model, h, steps, 2).tolist()
        ends.append([row.index(2) if 2 in row else None for row in texts])
    assert ends[0].count(None) == 0 and len(set(ends[0])) == 3  # all end, at different tokens
    assert None in ends[1] and 0 in ends[1]  # one at once, one never


def test_answers_of_another_kind_are_named():
    with pytest.raises(Feedback, match="three tensors"):
        EXERCISES["13.4"].test(lambda scores, log_p, k: scores)
    with pytest.raises(Feedback, match="two numbers"):
        EXERCISES["13.7"].test(lambda candidate, references, n: 1)
    with pytest.raises(Feedback, match="expected a function"):
        EXERCISES["13.3"].test(3)
    with pytest.raises(Feedback, match="are wrong"):
        EXERCISES["13.3"].test(lambda *inputs: _write(*inputs) + 1)

"""Lesson 06's exercises: right answers written in another way pass, and enough wrong ones fail."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_utils.checks import check
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson06 import ALLOWED, EXERCISES


def l_vs_by_loop(h, h_other):
    rows = zip(h.reshape(-1, h.shape[-1]), h_other.reshape(-1, h.shape[-1]))
    squares = [((a - b) ** 2).sum() for a, b in rows]
    return sum(squares) / len(squares)


def l_vs_by_einsum(h, h_other):
    d = h - h_other
    return torch.einsum("...d,...d->...", d, d).mean()


def ratio_the_other_way_round(ask, images, disturbed):
    h = ask(images)
    moved = ask(torch.cat([images[1:], images[:1]]))  # the same pairs
    far, near = ((h - other).square().sum(-1).mean() for other in (moved, ask(disturbed)))
    return (far / near).item()


def ratio_by_order(ask, images, disturbed):
    h = ask(images)
    order = [-1, *range(len(images) - 1)]
    return ((h - h[:, order]) ** 2).sum() / ((h - ask(disturbed)) ** 2).sum()


def gradient_by_autograd(b, v, v_other):
    b = b.requires_grad_()
    (b @ (v - v_other).T).square().sum(0).mean().backward()
    return b.grad


def share_by_anova(h):
    h = h.double().numpy()
    every = h.reshape(-1, h.shape[-1])
    total = ((every - every.mean(0)) ** 2).mean(0).sum()
    words = ((h.mean(1) - every.mean(0)) ** 2).mean(0).sum()
    return float(np.round(1 - words / total, 9))


def fool_with_clusters(questions, pictures, dim):
    far = F.one_hot(torch.arange(questions) % dim, dim).double() * 4 + 1e-9
    return far[:, None].repeat(1, pictures, 1)


def hinge_by_loop(h, group):
    rows = [h[i] - h[group == group[i]].mean(0) for i in range(len(h))]
    freedom = len(h) - len(set(group.tolist()))
    std = (sum(r**2 for r in rows) / freedom + 1e-4) ** 0.5
    return torch.where(std < 1, 1 - std, torch.zeros_like(std)).mean()


def simsiam_by_hand(h, h_other, predictor):
    def agree(p, z):
        z = z.detach()
        return ((p * z).sum(1) / (p.norm(dim=1) * z.norm(dim=1))).mean()

    return -(agree(predictor(h), h_other) + agree(predictor(h_other), h)) / 2


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("06.1", l_vs_by_loop),
        ("06.1", l_vs_by_einsum),
        ("06.7", ratio_the_other_way_round),
        ("06.7", ratio_by_order),
        ("06.8", " Own "),
        ("06.3", gradient_by_autograd),
        ("06.2", 3),
        ("06.2", 0.01),
        ("06.4", share_by_anova),
        ("06.5", fool_with_clusters),
        ("06.6", hinge_by_loop),
        ("06.10", simsiam_by_hand),
        ("06.9", {question: sorted(names) for question, names in ALLOWED.items()}),
        (
            "06.9",
            {question: [f" {n.title()}" for n in names] for question, names in ALLOWED.items()},
        ),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "06.1": [
        "not averaged",
        "mean over pairs",
        "not only len",
        "its square",
        "square of each entry",
        "last dimension",
        "absolute",
        "expected one number, got a tensor",
        "no gradient gets back to h_other",
        "no gradient gets back to h:",
        "no gradient gets back to h:",
    ],
    "06.7": [
        "upside down",
        "not yet divided",
        "exchanges the questions",
        "entries of h",
        "clean ones",
        "keeps its place",
        "columns of pixels",
        "no pair is left out",
        "no root",
    ],
    "06.3": [
        "factor of 2",
        "not the mean",
        "difference comes first",
        "direction of a step",
        "is the expectation",
        "only the diagonal",
        "square of each row",
        "nothing is centred",
    ],
    "06.4": [
        "words' share",
        "dimension 0",
        "don't add up",
        "correction=0",
        "tiny dimensions",
        "averages over the questions",
        "means of the entries",
        "whole variance",
        "don't sum",
        "not per cent",
    ],
    "06.5": [
        "batch_std is 0.00",
        "share of the variance is 0.9",
        "share of the variance is 1,",
        "gives the collapse away",
        "careful reader",
        "e-09, not 0.* it is there",
    ],
    "06.6": [
        "whole batch",
        "degree of freedom",
        "groups' means",
        "pooled first",
        "upside down",
        "not the batch",
        "root is missing",
        "hinge of each",
        "mean is asked",
        "side by side",
        "no gradient gets back",
        "single row has none",
        "1e-4 under the root",
    ],
    "06.10": [
        "target moves",
        "wrong side",
        "only the predictor learns",
        "isn't used",
        "both directions",
        "sign is wrong",
        "without the predictor",
        "guesses itself",
        "not added",
        "only one of the two",
        "each row: dim=-1",
        "not a copy",
    ],
    "06.9": ["cut off", "more would leave", "mirror image", "answer itself is changed"],
}


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=f"(?i){NAMED[number][i]}"):
        check(number, wrong)


def test_every_known_mistake_is_tried_above():
    for number, exercise in EXERCISES.items():
        if number not in ("06.2", "06.8"):  # a prediction; a choice
            assert len(exercise.mistakes) == len(NAMED[number]) >= 3


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("parameters", "same network"),
        ("chance", "first row"),
        ("seeds", "comes first"),
        ("test", "expected one of"),
        (None, "expected one of"),
    ],
)
def test_a_wrong_choice_is_told_why(value, reason):
    with pytest.raises(Feedback, match=reason):
        EXERCISES["06.8"].test(value)


@pytest.mark.parametrize("value", [-3, 101, "many", True])
def test_a_prediction_must_be_a_percentage(value):
    with pytest.raises(Feedback):
        EXERCISES["06.2"].test(value)


@pytest.mark.parametrize(
    ("number", "value", "message"),
    [
        ("06.3", lambda b, v, o: (2 * b @ (v - o).T @ (v - o) / len(v)).T, "transposed"),
        ("06.4", lambda h: None, "None"),
        ("06.5", lambda q, p, d: torch.zeros(q, d), "expected a tensor"),
        ("06.5", lambda q, p, d: 0, "got a whole number"),
        ("06.10", 3, "expected a function"),
        ("06.5", lambda q, p, d: torch.full((q, p, d), torch.nan), "inf or nan"),
        ("06.5", lambda q, p, d: torch.ones(q, p, d, dtype=torch.complex64), "real numbers"),
        ("06.10", lambda h, o, p: F.cosine_similarity(p(h), o.detach()), r"shape \(6,\)"),
        ("06.10", lambda h, o, p: None, "return"),
        ("06.10", lambda h, o, p: -1.0, "through which gradients flow, got a number"),
        ("06.10", lambda h, o, p: simsiam_by_hand(h, o.detach_(), p), "leaves its input"),
        (
            "06.10",
            lambda h, o, p: simsiam_by_hand(h, o, p.requires_grad_(False)),
            "leaves its input",
        ),
        ("06.10", lambda h, o, p: EXERCISES["06.10"].reference(h, o, p).detach(), "no gradient"),
        ("06.9", {"noise"}, "expected a dictionary"),
        ("06.9", ALLOWED | {"what color is it?": {"noise"}}, "'what color is it.' is none of"),
        (
            "06.9",
            {k: ALLOWED[k] for k in list(ALLOWED)[1:]},
            "'what colour is the shape.': no entry",
        ),
        ("06.9", ALLOWED | {"what shape is it?": {"turn"}}, "'turn' is none of"),
        ("06.9", ALLOWED | {"what shape is it?": [["turn"]]}, "is none of"),
        ("06.9", ALLOWED | {"what shape is it?": None}, "a set of names, got None"),
        ("06.9", ALLOWED | {"what shape is it?": {"noise": False}}, "names, got a dictionary"),
        ("06.9", ALLOWED | {"what shape is it?": "noise"}, "a set of names, got a text"),
    ],
)
def test_answers_of_another_kind_are_told_so(number, value, message):
    with pytest.raises(Feedback, match=message):
        EXERCISES[number].test(value)

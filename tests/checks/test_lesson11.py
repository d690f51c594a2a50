"""Lesson 11's exercises: right answers written in another way pass, and enough wrong ones fail."""

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.checks import check
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson11 import EXERCISES
from course_utils.peft import LoRAConfig, add_lora


def forward_by_weight(x, linear, A, B, scale):
    return nn.functional.linear(x, linear.weight + scale * B @ A, linear.bias)


def count_by_tensors(shapes, rank):
    return sum(torch.empty(rank, i).numel() + torch.empty(o, rank).numel() for o, i in shapes)


def merged_by_outer(W, A, B, scale):
    new = W.clone()
    for a, b in zip(A, B.T):
        new = new + scale * torch.outer(b, a)
    return new


def prefix_by_sums(q, k, v, keys, values):
    real = (q @ k.T / q.shape[1] ** 0.5).exp()
    new = (q @ keys.T / q.shape[1] ** 0.5).exp()
    whole = real.sum(1) + new.sum(1)
    return [(real @ v + new @ values) / whole[:, None], new.sum(1) / whole]


def reported_by_hand(runs):
    best = {}
    for run in sorted(runs, key=lambda run: (run["seed"], run["rate"])):
        seed = run["seed"]
        if seed not in best or run["validation"] > best[seed]["validation"]:
            best[seed] = run
    return [run["accuracy"] for run in best.values()]


def prepare_by_hand(model):
    add_lora(model, LoRAConfig(2))
    for name, p in model.named_parameters():
        p.requires_grad_(name.endswith((".A", ".B")) or name.startswith("head."))
    return torch.optim.AdamW(filter(lambda p: p.requires_grad, model.parameters()), lr=0.1)


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("11.1", 60),
        ("11.1", 12.5),
        ("11.2", forward_by_weight),
        ("11.3", "a"),
        ("11.4", count_by_tensors),
        ("11.5", merged_by_outer),
        ("11.6", prefix_by_sums),
        ("11.7", reported_by_hand),
        ("11.7", lambda runs: torch.tensor(reported_by_hand(runs), dtype=torch.float64)),
        ("11.7", lambda runs: tuple(np.float64(a) for a in reported_by_hand(runs))),
        ("11.8", prepare_by_hand),
        ("11.9", 16.0),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "11.2": [
        "`scale` isn't used",
        "own output is missing",
        "bias",
        "Only the detour",
        "reads x",
        "A comes first",
        "not subtracted",
        "rank again",
        "gradient of x",
        "which is frozen",
        "no gradient reaches",
    ],
    "11.4": ["matrices themselves", "A only", "B only", "not multiplied", "square"],
    "11.5": [
        "change alone",
        "`scale` isn't used",
        "transposed",
        "return a new tensor",
        "rank x rank",
        "not subtracted",
        "rank again",
    ],
    "11.6": [
        "root of `dim`",
        "share one sum",
        "the real keys",
        "along axis 1",
        "values are missing",
        "Z' / Z",
        "no gradient reaches keys and values",
    ],
    "11.7": [
        "on the test",
        "first in the list",
        "the higher one",
        "validation accuracy",
        "one run",
        "one rate",
        "mean over the rates",
        "rising order",
    ],
    "11.8": [
        "it isn't trained",
        "built before they",
        "base isn't frozen",
        "no LoRA factors",
        "before the base was frozen",
        "and nowhere else",
        "and nowhere else",
        "no LoRA factors",
        "not all of it",
        "changes the pretrained",
    ],
    "11.9": [
        "A without B",
        "four bytes",
        "four matrices",
        "24 layers",
        "there are 100",
        "Rounded up",
        "round down",
        "not 1024 . 1024",
    ],
}


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=f"(?i){NAMED[number][i]}"):
        check(number, wrong)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [("b", "in all that follow"), ("c", "nearly isn't exactly"), ("d", "the base changes")],
)
def test_a_wrong_choice_is_told_why(answer, reason, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    with pytest.raises(Feedback, match=f"(?i){reason}"):
        check("11.3", answer)


def test_every_known_mistake_is_tried_above():
    for number, exercise in EXERCISES.items():
        if number not in ("11.1", "11.3"):
            assert len(exercise.mistakes) == len(NAMED[number]) >= 3


@pytest.mark.parametrize(
    ("number", "value", "message"),
    [
        ("11.1", 140, "0 to 100"),
        ("11.2", lambda x, linear, A, B, s: x[:, :2], "shape"),
        ("11.2", lambda x, linear, A, B, s: None, "None"),
        ("11.4", lambda s, r: "many", "number"),
        ("11.8", lambda model: None, "optimiser back"),
        (
            "11.8",
            lambda model: (
                add_lora(model, LoRAConfig(8)) and torch.optim.SGD(model.parameters(), lr=1.0)
            ),
            "expected rank 2, got 8",
        ),
        ("11.8", 7, "expected a function, got a whole number"),
        (
            "11.8",
            lambda model: torch.optim.SGD(prepare_by_hand(model).param_groups[0]["params"]),
            "expected an AdamW, got SGD",
        ),
        ("11.6", lambda q, k, v, keys, values: q, "expected a pair"),
        (
            "11.6",
            lambda q, k, v, keys, values: (
                EXERCISES["11.6"].reference(q, k, v, keys, values)[0],
                0.5,
            ),
            "the share",
        ),
        ("11.7", lambda runs: {0: 0.5}, "expected a list"),
        ("11.7", lambda runs: runs.sort(key=lambda r: r["rate"]), "changes its input"),
        ("11.7", lambda runs: [], "the accuracies for two seeds"),
        ("11.4", lambda s, r: torch.tensor(22.7), "the weights of 1 matrix"),
        ("11.4", lambda s, r: torch.ones(2), "one number"),
        ("11.9", 16.02, "round down"),
        ("11.9", "many", "number"),
        ("11.9", 17, "the highest rank"),
    ],
)
def test_answers_of_another_kind_are_told_so(number, value, message):
    with pytest.raises(Feedback, match=message):
        EXERCISES[number].test(value)

"""Lesson 12's exercises: right answers written in another way pass, and enough wrong ones fail."""

import pytest
import torch

from course_utils.checks import check
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson12 import EXERCISES


def report_by_sorting(validation, test):
    best = max(validation)
    return next(t for v, t in zip(validation, test) if v == best)


def means_by_matrix(v, y, classes):
    one = torch.nn.functional.one_hot(y, classes).float()
    return one.T @ v / one.sum(0)[:, None]


def consistency_in_a_loop(weak, strong, threshold):
    total = strong.sum() * 0
    for p, logp in zip(weak.detach().softmax(-1), strong.log_softmax(-1)):
        if p.max() >= threshold:
            total = total - logp[p.argmax()]
    return total / len(weak)


def lowest_by_masks(confidence, right, precision):
    good = [t for t in confidence if right[confidence >= t].float().mean() >= precision]
    return min(good) if good else None


def one_each_by_removing(scores, groups, count):
    scores, chosen = scores.clone(), []
    for _ in range(count):
        i = int(scores.argmax())
        chosen.append(i)
        scores[groups == groups[i]] = -torch.inf
    return torch.tensor(chosen)


def forgetting_in_loops(R):
    last = len(R) - 1
    falls = [max(R[i, j] for i in range(last)) - R[last, j] for j in range(last)]
    return sum(falls) / last


def fisher_by_autograd(W, items):
    total = torch.zeros_like(W)
    for x in items:
        logp = (W @ x).log_softmax(-1)
        for c in range(len(W)):
            (grad,) = torch.autograd.grad(logp[c], W, retain_graph=True)
            total = total + logp[c].detach().exp() * grad**2 / len(items)
    return total


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("12.1", 0),
        ("12.1", 99.5),
        ("12.2", report_by_sorting),
        ("12.3", means_by_matrix),
        ("12.4", consistency_in_a_loop),
        ("12.5", lowest_by_masks),
        ("12.6", "b"),
        ("12.7", one_each_by_removing),
        ("12.8", forgetting_in_loops),
        ("12.9", fisher_by_autograd),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "12.2": [
        "choose on the test",
        "too high as well",
        "mean over all",
        "take the first",
        "not its accuracy",
    ],
    "12.3": [
        "are the same",
        "don't divide",
        "of the \\*class\\*",
        "not over dimensions",
        "aren't sorted",
    ],
    "12.4": [
        "all n questions",
        "threshold isn't used",
        "strong view's own",
        "to be sure",
        "not all probabilities",
        "softmax before",
        "takes logits",
        "a mean over",
        "exchanged",
    ],
    "12.5": ["highest threshold", "measure it", "let in, not of all", "in together", ">="],
    "12.7": [
        "pay several times",
        "fewer than",
        "is sure of",
        "not the first",
        "come back later",
        "numbers of groups",
    ],
    "12.8": [
        "backward transfer",
        "leave it out",
        "turned round",
        "before the last",
        "not the sum",
        "over stages",
    ],
    "12.9": ["square of a mean", "weight each", "likeliest alone", "squared too", "not the sum"],
}


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=f"(?i){NAMED[number][i]}"):
        check(number, wrong)


@pytest.mark.parametrize(
    ("answer", "reason"), [("a", "turns round"), ("c", "above or below"), ("d", "other colours")]
)
def test_a_wrong_choice_is_told_why(answer, reason, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    with pytest.raises(Feedback, match=f"(?i){reason}"):
        check("12.6", answer)


def test_every_known_mistake_is_tried_above():
    for number, exercise in EXERCISES.items():
        if number not in ("12.1", "12.6"):
            assert len(exercise.mistakes) == len(NAMED[number]) >= 3


def without_detach(weak, strong, threshold):
    """The right value, by probabilities that let a gradient through."""
    p = weak.softmax(-1).max(-1)
    each = (
        -strong.log_softmax(-1).gather(1, p.indices[:, None])[:, 0] + p.values - p.values.detach()
    )
    return (each * (p.values >= threshold)).mean()


def detached_strong(weak, strong, threshold):
    return consistency_in_a_loop(weak, strong.detach(), threshold)


@pytest.mark.parametrize(
    ("number", "value", "message"),
    [
        ("12.1", 140, "0 to 100"),
        ("12.2", lambda v, t: None, "None"),
        ("12.3", lambda v, y, classes: v, "shape"),
        ("12.4", without_detach, "is a constant"),
        ("12.4", detached_strong, "has no gradient"),
        ("12.4", lambda w, s, t: 0.3, "tensor"),
        ("12.5", lambda c, r, p: 0.5, "too small"),
        ("12.6", "e", "expected one of"),
        ("12.7", lambda s, g, n: s, "."),
        ("12.8", lambda R: R, "one number"),
        ("12.9", lambda W, items: W[0], "shape"),
    ],
)
def test_answers_of_another_kind_are_told_so(number, value, message):
    with pytest.raises(Feedback, match=message):
        EXERCISES[number].test(value)

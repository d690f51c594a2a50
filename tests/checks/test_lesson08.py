"""Lesson 08's exercises: right answers written in another way pass, and enough wrong ones fail."""

from collections import OrderedDict, defaultdict
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_utils import checks
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson08 import EXERCISES


def bce_by_softplus(z, y):
    return (F.softplus(z) - z * y).mean()


def bce_by_logaddexp(z, y):
    return torch.logaddexp((1 - 2 * y) * z, torch.zeros_like(z)).mean()


def bce_by_maximum(z, y):
    top = torch.maximum(z, torch.zeros_like(z))
    return (top - z * y + torch.log1p(torch.exp(-z.abs()))).mean()


def split_by_substring(questions, right, names):
    named = np.array([any(name in q for name in names) for q in questions])
    parts = OrderedDict(shape=right.numpy()[~named], colour=right.numpy()[named])
    return OrderedDict((kind, np.mean(of)) for kind, of in parts.items() if len(of))


def split_by_tensor(questions, right, names):
    groups = defaultdict(list)
    for i, question in enumerate(questions):
        groups["colour" if set(question[:-1].split()) & set(names) else "shape"].append(i)
    return {kind: right[rows].float().mean() for kind, rows in groups.items()}


def softmax_loss_by_hand(logits, y):
    shifted = logits - logits.max(1, keepdim=True).values
    total = shifted.exp().sum(1).log()
    return (total - shifted[torch.arange(len(y)), y]).mean()


def softmax_loss_by_log_softmax(logits, y):
    return -(logits.log_softmax(1) * F.one_hot(y, logits.shape[1])).sum() / len(y)


def true_by_comprehension(pictures, questions, said, truth):
    asked = [(p, q) for p, q in zip(pictures, questions)]
    known = [i for i, pair in enumerate(asked) if pair in truth]
    return [len(known), torch.tensor(sum(truth[asked[i]] == said[i] for i in known))]


def smallest_by_search(s):
    p = torch.linspace(0, 1, 1001)
    yes = F.binary_cross_entropy_with_logits(p, torch.ones_like(p), reduction="none").min()
    no = F.binary_cross_entropy_with_logits(p, torch.zeros_like(p), reduction="none").min()
    return s * yes + (1 - s) * no


def score_by_counting(count, annotators=10):
    people = [True] * count + [False] * (annotators - count)
    scores = [min(sum(p for j, p in enumerate(people) if j != i) / 3, 1) for i in range(annotators)]
    return sum(scores) / annotators


def vocabulary_by_list(train, other):
    names = []
    for name in sorted(train):
        if name not in names:
            names.append(name)
    return {n: names.index(n) for n in names}, [names.index(n) if n in names else -1 for n in other]


def vocabulary_in_order(train, other):
    ids, encoded = vocabulary_by_list(train, other)
    return OrderedDict((n, np.int64(i)) for n, i in ids.items()), torch.tensor(encoded)


def accuracies_by_loop(logits, y):
    threshold = argmax = 0
    for row, true in zip(logits.tolist(), y.tolist()):
        threshold += {c for c, z in enumerate(row) if z > 0} == {true}
        argmax += max(range(len(row)), key=row.__getitem__) == true
    return torch.tensor(threshold / len(y)), argmax / len(y)


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("08.1", bce_by_softplus),
        ("08.1", bce_by_logaddexp),
        ("08.1", bce_by_maximum),
        ("08.2", smallest_by_search),
        ("08.3", 50),
        ("08.4", split_by_substring),
        ("08.4", split_by_tensor),
        ("08.5", softmax_loss_by_hand),
        ("08.5", softmax_loss_by_log_softmax),
        ("08.6", score_by_counting),
        ("08.7", true_by_comprehension),
        ("08.8", vocabulary_by_list),
        ("08.8", vocabulary_in_order),
        ("08.9", accuracies_by_loop),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


@pytest.mark.parametrize("number", [n for n in EXERCISES if n != "08.3"])
def test_there_are_three_wrong_answers_for_each(number):
    assert len(EXERCISES[number].mistakes) >= 3


@pytest.mark.parametrize("value", [-3, 101, "many", True])
def test_a_prediction_must_be_a_percentage(value):
    with pytest.raises(Feedback):
        EXERCISES["08.3"].test(value)


def identity_threshold(logits, y):
    one_hot = F.one_hot(y, logits.shape[1]).bool()
    return (
        ((logits >= 0) == one_hot).all(1).double().mean().item(),
        (logits.argmax(1) == y).double().mean().item(),
    )


def one_hot_without_size(logits, y):
    right = ((logits > 0) == F.one_hot(y).bool()).all(1).double().mean().item()
    return right, (logits.argmax(1) == y).double().mean().item()


def sorts_in_place(train, other):
    train.sort()
    return vocabulary_by_list(train, other)


@pytest.mark.parametrize(
    ("number", "wrong", "message"),
    [
        ("08.1", lambda z, y: F.binary_cross_entropy_with_logits(z, y), "PyTorch's own loss"),
        ("08.1", torch.nn.BCEWithLogitsLoss(), "PyTorch's own loss"),
        (
            "08.1",
            lambda z, y: F.cross_entropy(torch.stack([0 * z, z], 1), y.long()),
            "PyTorch's own",
        ),
        (
            "08.1",
            lambda z, y: (
                -(y * (z.sigmoid() + 1e-8).log() + (1 - y) * (1 - z.sigmoid() + 1e-8).log()).mean()
            ),
            "An epsilon",
        ),
        ("08.2", lambda s: 0.31326 * s, "sigma\\(0\\) is 0.5|too small"),
        ("08.3", 0.93, "Did you mean 93"),
        ("08.6", lambda count, annotators: score_by_counting(count, annotators), "annotators"),
        ("08.6", 0.9, "expected a function, got a number"),
        (
            "08.8",
            lambda train, other: (
                vocabulary_by_list(train, [])[0],
                [vocabulary_by_list(train, [])[0].get(n) for n in other],
            ),
            "entry 1 is None",
        ),
        ("08.8", lambda train, other: (sorted(set(train)), []), "ids: expected a dictionary"),
        ("08.8", sorts_in_place, "changes its input 1"),
        ("08.9", identity_threshold, "not above the threshold"),
    ],
)
def test_what_learners_tried_is_refused_with_a_reason(number, wrong, message):
    with pytest.raises((Feedback, TypeError), match=message):
        EXERCISES[number].test(wrong)


def test_one_hot_needs_the_number_of_answers():
    with pytest.raises(RuntimeError, match="size of tensor"):
        EXERCISES["08.9"].test(one_hot_without_size)


def test_the_score_is_checked_against_every_subset():
    assert len(list(combinations(range(10), 9))) == 10
    with pytest.raises(Feedback, match="3 of 10 people"):
        EXERCISES["08.6"].test(lambda c, n=10: score_by_counting(c, n) if c != 3 else 1.0)


def relu_form(z, y):
    return (z.relu() - z * y + torch.log1p(torch.exp(-z.abs()))).mean()


def clamp_form(z, y):
    return torch.mean(z.clamp(0) - y * z + (-z.abs()).exp().log1p())


def split_with_nan(questions, right, names):
    named = torch.tensor([any(name in q.split() for name in names) for q in questions])
    return {"colour": right[named].float().mean(), "shape": right[~named].float().mean()}


@pytest.mark.parametrize(
    ("number", "wrong", "reply"),
    [
        ("08.1", relu_form, "at z = 0 clamp, relu and abs all have the gradient 0"),
        ("08.1", clamp_form, "at z = 0 clamp, relu and abs all have the gradient 0"),
        ("08.1", lambda z, y: max(z, 0) - z * y, "Python's max, or an if"),
        ("08.1", lambda z, y: (torch.max(z, 0) - z * y).mean(), "largest value along dimension 0"),
        ("08.1", lambda z, y: bce_by_softplus(z.detach(), y), "no gradient reaches"),
        ("08.4", split_with_nan, "leave it out of the dictionary"),
        ("08.4", lambda q, right, names: right.float().mean(), "expected a dictionary"),
        ("08.5", lambda z, y: F.cross_entropy(z, y), "PyTorch's own loss"),
        ("08.5", lambda z, y: (z.logsumexp(1)[:, None] - z[:, y]).mean(), "One entry of each row"),
        ("08.5", lambda z, y: z.exp().sum(1).log() - z.gather(1, y[:, None])[:, 0], "their mean"),
        ("08.5", lambda z, y: softmax_loss_by_hand(z.detach(), y), "no gradient reaches"),
        ("08.7", lambda p, q, s, t: len(q), "expected two counts"),
    ],
)
def test_the_reply_names_the_slip(number, wrong, reply, capsys):
    checks.check(number, wrong)
    assert reply in capsys.readouterr().out

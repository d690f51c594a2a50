"""Lesson 08: visual question answering and cross-entropy."""

import math
from itertools import combinations
from unittest.mock import patch

import torch
import torch.nn.functional as F

from course_utils.checks.feedback import Exercise, Feedback, call, compare, prediction
from course_utils.objectives.classification import binary_cross_entropy

# 08.1 stable binary cross-entropy


def _not_this(*args, **kwargs):
    raise Feedback("that is PyTorch's own loss. Write the formula with functions of tensors.")


def _test_bce(function):
    """PyTorch's losses raise meanwhile; what is wanted comes from the definition, by logaddexp."""
    with patch.multiple(
        F,
        binary_cross_entropy_with_logits=_not_this,
        cross_entropy=_not_this,
        binary_cross_entropy=_not_this,
    ):
        _test_bce_values(function)


def _bce(z, y):
    """log(1 + exp(z)) - y z, mean."""
    return (torch.logaddexp(z, torch.zeros_like(z)) - y * z).mean()


def _test_bce_values(function):
    z = torch.tensor([0.3, -1.2, 2.0, 0.0])
    y = torch.tensor([1.0, 0.0, 0.0, 1.0])
    got = call(function, z, y)
    if isinstance(got, torch.Tensor) and got.shape == z.shape:
        raise Feedback("loss: got one number for each example. Take their mean.")
    compare(got, _bce(z, y), "the loss on four small logits")
    for value in (30.0, 200.0, -30.0, -200.0):
        for answer in (0.0, 1.0):
            z, y = torch.tensor([value]), torch.tensor([answer])
            got, want = call(function, z, y), _bce(z, y)
            if isinstance(got, torch.Tensor) and want > 25 and 5 < got < 25:
                raise Feedback(
                    f"z = {value:.0f} with y = {answer:.0f}: got {got:.3g}. An epsilon "
                    "or a clamp caps the loss, and there its gradient is gone."
                )
            compare(got, want, f"the loss of one logit z = {value:.0f} with y = {answer:.0f}")
    for value in (0.3, -1.2, 30.0, -200.0, 200.0):
        z, y = torch.tensor([value], requires_grad=True), torch.tensor([0.0])
        loss = function(z, y)
        if not loss.requires_grad:
            raise Feedback(
                "the value is right, but no gradient reaches the logits: use torch only."
            )
        compare(
            torch.autograd.grad(loss, z)[0],
            z.detach().sigmoid() - y,
            f"the gradient at z = {value:.0f}, which should be p - y (both branches of a "
            "torch.where are differentiated)",
        )


def _plain_bce(z, y):
    p = torch.sigmoid(z)
    return -(y * p.log() + (1 - y) * (1 - p).log()).mean()


def _bce_of_probabilities(z, y):
    return _bce(torch.sigmoid(z), y)


def _summed_bce(z, y):
    return _bce(z, y) * len(z)


def _swapped_bce(z, y):
    return _bce(-z, y)


def _bce_overflows_on_one_side(z, y):
    return ((1 - y) * z + torch.log(1 + torch.exp(-z))).mean()


# 08.2 the smallest loss with sigma applied twice


def _smallest_with_bug(s):
    return s * math.log(1 + math.exp(-1)) + (1 - s) * math.log(2)


def _test_smallest(function):
    for s in (0.25, 0.5, 1.0, 0.0):
        compare(call(function, s), _smallest_with_bug(s), f"the smallest loss for s = {s}")


# 08.4 the official score


def _vqa_score(count, annotators=10):
    left_out_agrees, left_out_differs = min((count - 1) / 3, 1), min(count / 3, 1)
    return (count * left_out_agrees + (annotators - count) * left_out_differs) / annotators


def _enumerated_score(count, annotators):
    people = [1] * count + [0] * (annotators - count)
    subsets = list(combinations(people, annotators - 1))
    return sum(min(sum(subset) / 3, 1) for subset in subsets) / len(subsets)


def _test_score(function):
    for annotators in (10, 5):
        for count in range(annotators + 1):
            got = call(function, count, annotators)
            want = _enumerated_score(count, annotators)
            compare(got, want, f"{count} of {annotators} people")
    compare(call(function, 3), _enumerated_score(3, 10), "3 of the usual 10 people")


# 08.5 answer vocabulary


def _encode_answers(train_answers, other_answers):
    ids = {name: i for i, name in enumerate(sorted(set(train_answers)))}
    return ids, [ids.get(name, -1) for name in other_answers]


def _test_vocabulary(function):
    train = ["no", "red", "no", "circle", "two", "cross", "grey", "left", "large"]
    other = ["circle", "blue", "yes", "no"]
    result = call(function, train, other)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Feedback("expected a dictionary and a list, returned together.")
    ids, encoded = result
    if any(name in ids for name in ("blue", "yes")):
        raise Feedback(
            "the dictionary holds an answer that training never saw. The model would have a logit "
            "for it, and the size of the head would depend on the test set."
        )
    compare(ids, _encode_answers(train, other)[0], "the dictionary (alphabetical ids)")
    if len(encoded) != len(other):
        raise Feedback(
            f"expected {len(other)} ids for {len(other)} answers, got {len(encoded)}: leaving out "
            "questions that can't be answered makes the accuracy too high."
        )
    compare(encoded, [0, -1, -1, ids["no"]], "the ids of the other split")


def _vocabulary_of_both(train_answers, other_answers):
    ids = {n: i for i, n in enumerate(sorted(set(train_answers) | set(other_answers)))}
    return ids, [ids[n] for n in other_answers]


def _vocabulary_skips(train_answers, other_answers):
    ids = {n: i for i, n in enumerate(sorted(set(train_answers)))}
    return ids, [ids[n] for n in other_answers if n in ids]


def _vocabulary_zero(train_answers, other_answers):
    ids = {n: i for i, n in enumerate(sorted(set(train_answers)))}
    return ids, [ids.get(n, 0) for n in other_answers]


# 08.6 threshold against argmax


def _accuracies(logits, y):
    p = logits.sigmoid()
    one_hot = F.one_hot(y, logits.shape[1]).bool()
    by_threshold = ((p > 0.5) == one_hot).all(1).double().mean().item()
    by_argmax = (logits.argmax(1) == y).double().mean().item()
    return by_threshold, by_argmax


def _test_accuracies(function):
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(40, 5, generator=generator) - 0.8
    y = logits.argmax(1)
    y[:8] = torch.randint(0, 5, (8,), generator=generator)
    got = call(function, logits, y)
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Feedback("expected two accuracies, by threshold and by argmax.")
    want = _accuracies(logits, y)
    compare(float(got[1]), want[1], "the accuracy by argmax")
    compare(float(got[0]), want[0], "the accuracy by threshold")
    logits = torch.tensor([[2.0, -1.0, 0.0, -3.0], [-1.0, 1.0, -2.0, -1.0]])
    got, want = call(function, logits, torch.tensor([0, 1])), (1.0, 1.0)
    compare(
        [float(share) for share in got],
        want,
        "two right examples of four answers, without "
        "the last answer; one logit is 0, so p = 0.5 is not above the threshold",
    )


def _elementwise_threshold(logits, y):
    one_hot = F.one_hot(y, logits.shape[1]).bool()
    right = ((logits.sigmoid() > 0.5) == one_hot).double().mean().item()
    return right, _accuracies(logits, y)[1]


def _threshold_only_the_right_one(logits, y):
    chosen = logits.sigmoid()[torch.arange(len(y)), y] > 0.5
    return chosen.double().mean().item(), _accuracies(logits, y)[1]


def _threshold_on_logits(logits, y):
    one_hot = F.one_hot(y, logits.shape[1]).bool()
    return ((logits > 0.5) == one_hot).all(1).double().mean().item(), _accuracies(logits, y)[1]


def _softmax_threshold(logits, y):
    one_hot = F.one_hot(y, logits.shape[1]).bool()
    right = ((logits.softmax(1) > 0.5) == one_hot).all(1).double().mean().item()
    return right, _accuracies(logits, y)[1]


EXERCISES = {
    "08.1": Exercise(
        "Stable binary cross-entropy",
        10,
        1,
        binary_cross_entropy,
        _test_bce,
        (
            "Never compute p. Use max(z, 0) - y z + log(1 + exp(-|z|)) for each example.",
            "z.clamp(min=0) is max(z, 0), z.abs() is |z|, torch.log1p(a) is log(1 + a), and "
            ".mean() comes last.",
        ),
        mistakes=(
            (_plain_bce, "That is the plain formula with p: it rounds to 0 or 1."),
            (_bce_of_probabilities, "It looks as if sigma were applied twice."),
            (_summed_bce, "That is the sum over the batch, not the mean."),
            (_swapped_bce, "The roles of yes and no are exchanged: look at the sign of z."),
            (_bce_overflows_on_one_side, "exp(-z) overflows for large negative z: use |z|."),
        ),
    ),
    "08.2": Exercise(
        "The smallest loss with sigma applied twice",
        10,
        2,
        _smallest_with_bug,
        _test_smallest,
        (
            "What the loss takes for a logit is a probability p. Which p in [0, 1] is best if y = "
            "1, and which if y = 0?",
            "For y = 1 the best is p = 1, at a loss of log(1 + exp(-1)). For y = 0 it is p = 0, "
            "at a loss of log 2. A share s of the examples has y = 1.",
        ),
        mistakes=(
            (lambda s: 0.0, "Zero would need a logit that grows without limit; p stops at 1."),
            (lambda s: math.log(2), "That is the loss of p = 0 everywhere. Yes can do better."),
            (lambda s: math.log(1 + math.exp(-1)), "For y = 0 the loss can't get below log 2."),
            (
                lambda s: s * math.log(1 + math.exp(-1)),
                "For y = 0 the best p is 0, but sigma(0) is 0.5, not 0.",
            ),
            (lambda s: _smallest_with_bug(1 - s), "s is the share of yes, not of no."),
        ),
    ),
    "08.3": Exercise(
        "Predict the accuracy on yes/no",
        3,
        1,
        95.0,
        prediction(0, 100, "%"),
        (
            "Any number from 0 to 100 is an answer.",
            "What does it know after two passes: words, "
            "colours, shapes, or how they belong together?",
        ),
    ),
    "08.4": Exercise(
        "The official VQA score",
        10,
        2,
        _vqa_score,
        _test_score,
        (
            "Leave one person out: either one of the `count` who agree, or one of the others. How "
            "many agree among those who stay?",
            "`count` times it is min((count - 1) / 3, 1), and `annotators - count` times it is "
            "min(count / 3, 1). Take the mean over all `annotators` ways.",
        ),
        mistakes=(
            (lambda c, n=10: min(c / 3, 1), "min(count / 3, 1) leaves nobody out."),
            (lambda c, n=10: min(max(c - 1, 0) / 3, 1), "Not everybody left out had agreed."),
            (lambda c, n=10: c / n, "That is the share of people who agree."),
        ),
    ),
    "08.5": Exercise(
        "The answer vocabulary",
        10,
        1,
        _encode_answers,
        _test_vocabulary,
        (
            "Build the dictionary from the training answers alone. What can the model say to a "
            "question whose answer is not in it?",
            "It can only be wrong, so such an answer gets the id -1, which no prediction equals: "
            "ids.get(name, -1).",
        ),
        mistakes=(
            (_vocabulary_of_both, ""),
            (_vocabulary_skips, ""),
            (_vocabulary_zero, "Id 0 is a real answer: a model that says it would count as right."),
        ),
    ),
    "08.6": Exercise(
        "Threshold against argmax",
        10,
        2,
        _accuracies,
        _test_accuracies,
        (
            "By threshold, an example is right only if the set of answers with p > 0.5 is exactly "
            "the right answer: none missing, none too many.",
            "Compare (logits.sigmoid() > 0.5) with F.one_hot(y, answers).bool() and ask for "
            ".all(1) before taking the mean.",
        ),
        mistakes=(
            (
                _elementwise_threshold,
                "That is the mean over all single entries: most of them are easy zeros.",
            ),
            (_threshold_only_the_right_one, "That ignores wrong answers above the threshold."),
            (_threshold_on_logits, "0.5 is a threshold for probabilities; for logits it is 0."),
            (lambda z, y: _accuracies(z, y)[::-1], "The two are exchanged: threshold first."),
            (_softmax_threshold, "Each answer has a probability of its own here: sigmoid."),
            (lambda z, y: tuple(100 * a for a in _accuracies(z, y)), "Shares from 0 to 1, please."),
        ),
    ),
}

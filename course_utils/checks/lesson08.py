"""Lesson 08: visual question answering and cross-entropy."""

import math
from collections import Counter
from collections.abc import Mapping
from functools import partial
from itertools import combinations
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F

from course_utils.checks.feedback import Exercise, Feedback, call, compare, kind, number, prediction
from course_utils.datasets.easy_vqa import COLOURS
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


def _loss_of(function, z, y):
    """The loss, with a reason where Python's or torch's `max` was meant for a tensor and 0."""
    try:
        return call(function, z, y)
    except RuntimeError as error:
        if "Boolean value of Tensor" in str(error):
            raise Feedback(
                "Python's max, or an if, compares single numbers. For a tensor there is "
                "torch.maximum(z, torch.zeros_like(z))."
            ) from None
        raise
    except TypeError as error:
        if "return_types.max" in str(error):
            raise Feedback(
                "torch.max(z, 0) is the largest value along dimension 0, and where it is. For each "
                "value beside 0 there is torch.maximum(z, torch.zeros_like(z))."
            ) from None
        raise


def _gradient(function, z, y):
    """The gradient of the loss with respect to z, of the shape of z."""
    z = z.clone().requires_grad_()
    loss = function(z, y)
    if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
        raise Feedback("the value is right, but no gradient reaches the logits: use torch only.")
    return torch.autograd.grad(loss, z)[0]


def _test_bce_values(function):
    z = torch.tensor([0.3, -1.2, 2.0, 0.0, 0.0])
    y = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0])
    got = _loss_of(function, z, y)
    if isinstance(got, torch.Tensor) and got.shape == z.shape:
        raise Feedback("loss: got one number for each example. Take their mean.")
    compare(got, _bce(z, y), "the loss on five small logits")
    for value in (30.0, 200.0, -30.0, -200.0, 0.0):
        for answer in (0.0, 1.0):
            z, y = torch.tensor([value]), torch.tensor([answer])
            got, want = call(function, z, y), _bce(z, y)
            if isinstance(got, torch.Tensor) and want > 25 and 5 < got < 25:
                raise Feedback(
                    f"z = {value:.0f} with y = {answer:.0f}: got {got:.3g}. An epsilon "
                    "or a clamp caps the loss, and there its gradient is gone."
                )
            compare(got, want, f"the loss of one logit z = {value:.0f} with y = {answer:.0f}")
    for value in (0.3, -1.2, 30.0, -200.0, 200.0, 0.0):
        for answer in (0.0, 1.0):
            z, y = torch.tensor([value]), torch.tensor([answer])
            compare(
                call(partial(_gradient, function), z, y),
                z.sigmoid() - y,
                f"the gradient at z = {value:g} with y = {answer:.0f}, which should be p - y",
            )
    z, y = torch.tensor([0.0, 3.0, -2.0]), torch.tensor([1.0, 0.0, 1.0])
    want = (z.sigmoid() - y) / 3
    compare(call(partial(_gradient, function), z, y), want, "the gradient of three examples")


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


def _bce_with_a_corner(z, y):
    """Right but for its gradient at 0: clamp and abs give 0 there."""
    return (z.clamp(min=0) - z * y + torch.log1p(torch.exp(-z.abs()))).mean()


def _bce_by_where(z, y):
    """Right but for its gradient: the branch that overflows is differentiated too."""
    low = -z + torch.log1p(torch.exp(z))
    return ((1 - y) * z + torch.where(z < 0, low, torch.log1p(torch.exp(-z)))).mean()


# 08.2 the smallest loss with sigma applied twice


def _smallest_with_bug(s):
    return s * math.log(1 + math.exp(-1)) + (1 - s) * math.log(2)


def _entropy(s):
    return -sum(q * math.log(q) for q in (s, 1 - s) if q > 0)


def _test_smallest(function):
    for s in (0.25, 0.5, 1.0, 0.0):
        compare(call(function, s), _smallest_with_bug(s), f"the smallest loss for s = {s}")


# 08.4 accuracy by what is asked


def _split(questions, right, names=tuple(COLOURS)):
    kinds = {}
    for question, one in zip(questions, right.tolist()):
        words = question.lower().rstrip("?").split()
        kind = "colour" if any(word in names for word in words) else "shape"
        kinds.setdefault(kind, []).append(one)
    return {kind: sum(of) / len(of) for kind, of in kinds.items()}


_NAMES = ("red", "teal", "gray")
_SPLITS = (
    (
        (
            "is there a circle?",
            "is there a red shape?",
            "is no teal shape present?",
            "does the image contain a gray shape?",
            "is there not a rectangle in the image?",
        ),
        [True, False, True, True, True],
    ),
    (("is a circle present?", "is there a triangle?", "is no circle present?"), [1, 0, 0]),
    (("is there no red shape?",), [False]),
)


def _test_split(function):
    for questions, right in _SPLITS:
        right = torch.tensor(right, dtype=torch.bool)
        want = _split(questions, right, _NAMES)
        got = call(function, questions, right, _NAMES)
        if not isinstance(got, Mapping):
            raise Feedback(f"expected a dictionary from a kind to its share, got {kind(got)}.")
        missing = [name for name in got if name not in want]
        if missing and set(missing) <= {"colour", "shape"}:
            raise Feedback(
                f"of {len(questions)} questions none asks for a {missing[0]}: leave it out of the "
                "dictionary. A share of nothing is 0 divided by 0."
            )
        got = {name: number(share) for name, share in got.items()}
        compare(got, want, f"the shares of {len(questions)} questions")


def _split_over_all(questions, right, names):
    shares = _split(questions, right, names)
    colour = [any(w in names for w in q.rstrip("?").split()) for q in questions]
    size = {"colour": sum(colour), "shape": len(colour) - sum(colour)}
    return {name: share * size[name] / len(questions) for name, share in shares.items()}


def _split_swapped(questions, right, names):
    other = {"colour": "shape", "shape": "colour"}
    return {other[name]: share for name, share in _split(questions, right, names).items()}


def _split_in_per_cent(questions, right, names):
    return {name: 100 * share for name, share in _split(questions, right, names).items()}


def _split_counts(questions, right, names):
    size = Counter(
        "colour" if any(w in names for w in q.rstrip("?").split()) else "shape" for q in questions
    )
    return {n: round(share * size[n]) for n, share in _split(questions, right, names).items()}


# 08.5 softmax cross-entropy


def _softmax_loss(logits, y):
    return (logits.logsumexp(1) - logits.gather(1, y[:, None])[:, 0]).mean()


def _test_softmax(function):
    """PyTorch's own loss raises meanwhile."""
    with patch.multiple(F, cross_entropy=_not_this, nll_loss=_not_this):
        _test_softmax_values(function)


def _test_softmax_values(function):
    generator = torch.Generator().manual_seed(5)
    cases = {
        "five rows of three answers": (
            torch.randn(5, 3, generator=generator),
            torch.tensor([2, 0, 0, 1, 2]),
        ),
        "one row of four answers": (torch.tensor([[1.0, -2.0, 0.5, 0.0]]), torch.tensor([1])),
        "equal logits": (torch.zeros(2, 3), torch.tensor([0, 2])),
        "logits of 200": (torch.tensor([[200.0, 0.0, -200.0]] * 2), torch.tensor([0, 1])),
        "logits of -200": (torch.tensor([[-200.0, -201.0]]), torch.tensor([1])),
    }
    for what, (z, y) in cases.items():
        got = call(function, z, y)
        if isinstance(got, torch.Tensor) and got.shape == y.shape and len(y) > 1:
            raise Feedback("loss: got one number for each example. Take their mean.")
        if isinstance(got, torch.Tensor) and got.shape == (1,):
            got = got[0]
        compare(got, _softmax_loss(z, y), f"the loss, {what}")
    for what, (z, y) in cases.items():
        compare(
            call(partial(_gradient, function), z, y),
            (z.softmax(1) - F.one_hot(y, z.shape[1])) / len(y),
            f"the gradient, {what}, which should be p minus the right answer's 1, over the batch",
        )


def _softmax_plain(z, y):
    p = z.exp() / z.exp().sum(1, keepdim=True)
    return -p.gather(1, y[:, None]).log().mean()


def _softmax_every_column(z, y):
    return (z.logsumexp(1)[:, None] - z[:, y]).mean()


def _softmax_of_probabilities(z, y):
    return _softmax_loss(z.softmax(1), y)


# 08.6 the official score


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


# 08.7 true of the picture that was shown


def _true_of_shown(pictures, questions, said, truth):
    facts = [truth.get((p, q)) for p, q in zip(pictures, questions)]
    known = [fact is not None for fact in facts]
    return sum(known), sum(k and f == s for k, f, s in zip(known, facts, said))


_TRUTH = {(0, "a?"): 5, (0, "b?"): 1, (1, "a?"): 0, (1, "c?"): 2, (2, "b?"): 0, (3, "a?"): 5}


def _test_true_of_shown(function):
    cases = (
        ([1, 1, 0, 0, 2, 3], ["a?", "b?", "a?", "c?", "b?", "a?"], [0, 1, 5, 2, 1, 0]),
        ([1, 3], ["a?", "a?"], [0, 5]),
        ([2, 2], ["a?", "c?"], [0, 1]),
        ([], [], []),
    )
    for pictures, questions, said in cases:
        got = call(function, pictures, questions, said, _TRUTH)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise Feedback("expected two counts: (known, true).")
        want = _true_of_shown(pictures, questions, said, _TRUTH)
        what = f"{len(questions)} questions: how many"
        compare(number(got[0]), want[0], f"{what} have a known answer")
        compare(number(got[1]), want[1], f"{what} of these were answered so")


def _unknown_counted(pictures, questions, said, truth):
    return len(questions), _true_of_shown(pictures, questions, said, truth)[1]


def _zero_is_unknown(pictures, questions, said, truth):
    facts = [truth.get((p, q)) for p, q in zip(pictures, questions)]
    return sum(bool(f) for f in facts), sum(bool(f) and f == s for f, s in zip(facts, said))


def _any_picture(pictures, questions, said, truth):
    known = {q for _, q in truth}
    facts = {(q, a) for (_, q), a in truth.items()}
    return sum(q in known for q in questions), sum((q, s) in facts for q, s in zip(questions, said))


def _share_for_a_count(pictures, questions, said, truth):
    known, true = _true_of_shown(pictures, questions, said, truth)
    return known, true / max(known, 1)


# 08.8 answer vocabulary


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
    if not isinstance(ids, Mapping):
        raise Feedback(f"ids: expected a dictionary from an answer to its number, got {kind(ids)}.")
    if isinstance(encoded, (torch.Tensor, np.ndarray)):
        encoded = encoded.tolist()
    ids = {name: number(i) for name, i in ids.items()}
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


# 08.9 threshold against argmax


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
            "Three terms for each example, then .mean(). torch.log1p(a) is log(1 + a), with the "
            "digits of a small a kept.",
            "At z = 0 max and |z| have a corner. There z.clamp(min=0) and z.relu() have the "
            "gradient 0, but torch.maximum(z, torch.zeros_like(z)) shares it: 1/2.",
        ),
        mistakes=(
            (_plain_bce, "That is the plain formula with p: it rounds to 0 or 1."),
            (_bce_of_probabilities, "It looks as if sigma were applied twice."),
            (_summed_bce, "That is the sum over the batch, not the mean."),
            (_swapped_bce, "The roles of yes and no are exchanged: look at the sign of z."),
            (_bce_overflows_on_one_side, "exp(-z) overflows for large negative z: use |z|."),
            (
                _bce_with_a_corner,
                "The values are right. But at z = 0 clamp, relu and abs all have the gradient 0: "
                "the first term must give 1/2 there, as torch.maximum(z, torch.zeros_like(z)).",
            ),
            (
                _bce_by_where,
                "The values are right. But torch.where differentiates both branches, and the one "
                "that isn't taken overflows: 0 times infinity is nan.",
            ),
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
            "For y = 1 the best p is 1, and the loss takes it for a logit: -log sigma(1). Do the "
            "same for y = 0, and weigh the two by how often they occur.",
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
            (
                _entropy,
                "That is the entropy of s: the least loss of a model that says the same p to all. "
                "This one may know every answer.",
            ),
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
        "Accuracy by what is asked",
        10,
        1,
        _split,
        _test_split,
        (
            "Collect the entries of `right` in two lists, one for each kind. What is the share of "
            "an empty list?",
            "question.rstrip('?').split() gives the words of a question. It asks for a colour if "
            "any of them is in `names`.",
        ),
        mistakes=(
            (_split_over_all, "Divide by the number of questions of that kind, not of all."),
            (_split_swapped, "The two kinds are exchanged."),
            (_split_in_per_cent, "Shares from 0 to 1, please."),
            (_split_counts, "These are counts. Divide by the number of questions of that kind."),
        ),
    ),
    "08.5": Exercise(
        "Softmax cross-entropy",
        10,
        2,
        _softmax_loss,
        _test_softmax,
        (
            "Never compute p. The loss of a row is log sum exp of its logits minus the logit of "
            "the right answer.",
            "Take the largest logit m of the row out of the sum: log sum exp(z) = m + log sum "
            "exp(z - m). logits.gather(1, y[:, None]) picks one entry of each row.",
        ),
        mistakes=(
            (_softmax_plain, "exp overflows at 200: take the largest logit out of the sum first."),
            (
                _softmax_every_column,
                "logits[:, y] takes the columns of all right answers in every row. One entry of "
                "each row is wanted.",
            ),
            (lambda z, y: _softmax_loss(z, y) * len(y), "That is the sum over the batch."),
            (lambda z, y: -_softmax_loss(z, y), "The sign: a loss is 0 at best, and above it."),
            (_softmax_of_probabilities, "It looks as if softmax were applied twice."),
            (
                lambda z, y: -z.gather(1, y[:, None]).mean(),
                "That is the first term alone. Without the other, larger logits are always better.",
            ),
        ),
    ),
    "08.6": Exercise(
        "The official VQA score",
        10,
        2,
        _vqa_score,
        _test_score,
        (
            "Leave one person out: either one of the `count` who agree, or one of the others. How "
            "many agree among those who stay?",
            "Where the person left out had agreed, count - 1 agree among the rest, and that "
            "happens `count` times. The other case happens annotators - count times.",
        ),
        mistakes=(
            (lambda c, n=10: min(c / 3, 1), "min(count / 3, 1) leaves nobody out."),
            (lambda c, n=10: min(max(c - 1, 0) / 3, 1), "Not everybody left out had agreed."),
            (lambda c, n=10: c / n, "That is the share of people who agree."),
        ),
    ),
    "08.7": Exercise(
        "True of the picture that was shown",
        10,
        2,
        _true_of_shown,
        _test_true_of_shown,
        (
            "truth.get((picture, question)) is None where nothing is known. Such a question counts "
            "in neither number.",
            "An answer may be number 0, so ask whether a fact is None, not whether it is true in "
            "the sense of `if`.",
        ),
        mistakes=(
            (_unknown_counted, "The first number counts all questions. Some are not known."),
            (_zero_is_unknown, "Answer number 0 is an answer: `if fact` takes it for unknown."),
            (_any_picture, "That looks for the question at any picture, not at the one shown."),
            (_share_for_a_count, "Two counts, please: the lesson divides them."),
        ),
    ),
    "08.8": Exercise(
        "The answer vocabulary",
        5,
        1,
        _encode_answers,
        _test_vocabulary,
        (
            "Build the dictionary from the training answers alone. What can the model say to a "
            "question whose answer is not in it?",
            "It can only be wrong, so such an answer gets an id that no prediction equals. "
            "A dictionary's .get takes what to give for a missing key.",
        ),
        mistakes=(
            (_vocabulary_of_both, ""),
            (_vocabulary_skips, ""),
            (_vocabulary_zero, "Id 0 is a real answer: a model that says it would count as right."),
        ),
    ),
    "08.9": Exercise(
        "Threshold against argmax",
        10,
        2,
        _accuracies,
        _test_accuracies,
        (
            "By threshold, an example is right only if the set of answers with p > 0.5 is exactly "
            "the right answer: none missing, none too many.",
            "F.one_hot(y, logits.shape[1]).bool() is the table that the thresholded "
            "probabilities must equal, in a whole row.",
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

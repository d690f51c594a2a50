"""Lesson 12: fewer labels, moving data."""

import torch
import torch.nn.functional as F

from course_utils.checks.feedback import (
    Exercise,
    Feedback,
    call,
    choice,
    compare,
    number,
    prediction,
)


def _draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# 11.2 choosing honestly


def _report(validation, test):
    return test[max(range(len(validation)), key=lambda i: validation[i])]


def _best_on_test(validation, test):
    return max(test)


def _validation_itself(validation, test):
    return max(validation)


def _mean_test(validation, test):
    return sum(test) / len(test)


def _chosen_number(validation, test):
    return max(range(len(validation)), key=lambda i: validation[i])


def _test_report(function):
    for validation, test in (
        ([0.5, 0.6, 0.8, 0.1], [0.3, 0.7, 0.6, 0.9]),
        ([0.6, 0.9, 0.7], [0.8, 0.5, 0.6]),
        ([0.4, 0.4, 0.4], [0.3, 0.9, 0.5]),
        ([0.2], [0.1]),
    ):
        got = number(call(function, validation, test))
        compare(
            got,
            _report(validation, test),
            f"validation {validation}, test {test}: what is reported",
        )


# 11.3 the mean of each class


def _means(v, y, classes):
    return torch.stack([v[y == c].mean(0) for c in range(classes)])


def _one_mean(v, y, classes):
    return v.mean(0).expand(classes, -1).clone()


def _sums(v, y, classes):
    return torch.stack([v[y == c].sum(0) for c in range(classes)])


def _over_dimensions(v, y, classes):
    return torch.stack([v[y == c].mean(1).mean().expand(v.shape[1]) for c in range(classes)])


def _by_all(v, y, classes):
    return torch.stack([v[y == c].sum(0) / len(v) for c in range(classes)])


def _in_order(v, y, classes):
    return torch.stack([part.mean(0) for part in v.chunk(classes)])


def _test_means(function):
    for seed, y in enumerate(([0, 1, 0, 2, 1, 0], [1, 0, 1, 1])):
        y = torch.tensor(y)
        v, classes = _draw(seed, len(y), 3), int(y.max()) + 1
        got = call(function, v, y, classes)
        compare(got, _means(v, y, classes), f"the means of {classes} classes, y = {y.tolist()}")


# 11.4 FixMatch's loss


def _consistency(weak, strong, threshold):
    confidence, labels = weak.detach().softmax(-1).max(-1)
    each = F.cross_entropy(strong, labels, reduction="none")
    return (each * (confidence >= threshold)).mean()


def _by_accepted(weak, strong, threshold):
    confidence, labels = weak.detach().softmax(-1).max(-1)
    accepted = confidence >= threshold
    each = F.cross_entropy(strong, labels, reduction="none")
    return (each * accepted).sum() / accepted.sum().clamp(min=1)


def _no_threshold(weak, strong, threshold):
    return F.cross_entropy(strong, weak.detach().argmax(-1))


def _own_label(weak, strong, threshold):
    accepted = weak.detach().softmax(-1).max(-1).values >= threshold
    each = F.cross_entropy(strong, strong.detach().argmax(-1), reduction="none")
    return (each * accepted).mean()


def _own_confidence(weak, strong, threshold):
    accepted = strong.detach().softmax(-1).max(-1).values >= threshold
    each = F.cross_entropy(strong, weak.detach().argmax(-1), reduction="none")
    return (each * accepted).mean()


def _soft_target(weak, strong, threshold):
    p = weak.detach().softmax(-1)
    each = -(p * strong.log_softmax(-1)).sum(-1)
    return (each * (p.max(-1).values >= threshold)).mean()


def _learns_weak(weak, strong, threshold):
    accepted = weak.detach().softmax(-1).max(-1).values >= threshold
    each = F.cross_entropy(weak, strong.detach().argmax(-1), reduction="none")
    return (each * accepted).mean()


def _no_softmax(weak, strong, threshold):
    confidence, labels = weak.detach().max(-1)
    each = F.cross_entropy(strong, labels, reduction="none")
    return (each * (confidence >= threshold)).mean()


def _softmax_twice(weak, strong, threshold):
    confidence, labels = weak.detach().softmax(-1).max(-1)
    each = F.cross_entropy(strong.softmax(-1), labels, reduction="none")
    return (each * (confidence >= threshold)).mean()


def _summed_loss(weak, strong, threshold):
    return _consistency(weak, strong, threshold) * len(weak)


def _test_consistency(function):
    hand = (
        torch.tensor([[0.9, 0.1], [0.4, 0.6]]).log(),
        torch.tensor([[0.5, 0.5], [0.75, 0.25]]).log(),
    )
    for weak, strong, threshold in (
        (*(2 * _draw(3, 2, 40, 5)), 0.5),
        (*hand, 0.8),
        (torch.zeros(2, 2), _draw(5, 2, 2), 0.5),
        (torch.zeros(3, 4), _draw(6, 3, 4), 0.9),
    ):
        got = call(function, weak, strong, threshold)
        compare(
            got,
            _consistency(weak, strong, threshold),
            f"the loss of {len(weak)} questions, threshold {threshold}",
        )
    weak, strong = (t.clone().requires_grad_() for t in 2 * _draw(7, 2, 30, 4))
    loss = function(weak, strong, 0.4)
    if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
        raise Feedback("the loss has no gradient: the strong view has to learn from it.")
    grads = torch.autograd.grad(loss, (weak, strong), allow_unused=True)
    if grads[0] is not None and grads[0].abs().max() > 0:
        raise Feedback("a gradient flows into the weak view: the pseudo-label is a constant.")
    if grads[1] is None or not grads[1].abs().max() > 0:
        raise Feedback("no gradient flows into the strong view, which is to learn.")


# 11.5 the threshold


def _lowest(confidence, right, precision):
    for t in confidence.sort().values.tolist():
        if right[confidence >= t].double().mean() >= precision:
            return t
    return None


def _highest(confidence, right, precision):
    for t in confidence.sort(descending=True).values.tolist():
        if right[confidence >= t].double().mean() >= precision:
            return t
    return None


def _as_confidence(confidence, right, precision):
    return precision


def _share_of_all(confidence, right, precision):
    for t in confidence.sort().values.tolist():
        if (right & (confidence >= t)).double().mean() >= precision:
            return t
    return None


def _strictly_above(confidence, right, precision):
    for t in confidence.sort().values.tolist():
        if (confidence > t).any() and right[confidence > t].double().mean() >= precision:
            return t
    return None


def _cumulative(confidence, right, precision):
    order = confidence.argsort(descending=True, stable=True)
    share = right[order].double().cumsum(0) / torch.arange(1, len(right) + 1)
    good = confidence[order][share >= precision]
    return float(good.min()) if len(good) else None


def _test_lowest(function):
    cases = (
        ([0.5, 0.6, 0.7, 0.8, 0.9], [0, 1, 0, 1, 1], 0.7),
        ([0.9, 0.3, 0.6], [1, 0, 1], 1.0),
        ([0.9, 0.6, 0.6], [1, 1, 0], 1.0),
        ([0.4, 0.8, 0.6], [1, 1, 0], 0.6),
        ([0.5, 0.9], [1, 0], 0.9),
    )
    for confidence, right, precision in cases:
        want = _lowest(torch.tensor(confidence), torch.tensor(right).bool(), precision)
        got = call(function, torch.tensor(confidence), torch.tensor(right).bool(), precision)
        what = f"confidence {confidence}, right {right}, precision {precision}: the threshold"
        if want is None and got is not None:
            raise Feedback(f"{what}: no threshold reaches it, so None was expected, got {got}.")
        if want is not None:
            compare(number(got), want, what)


# 11.7 one of each group


def _one_each(scores, groups, count):
    chosen, seen = [], set()
    for i in scores.argsort(descending=True).tolist():
        if int(groups[i]) not in seen and len(chosen) < count:
            chosen.append(i)
            seen.add(int(groups[i]))
    return chosen


def _duplicates(scores, groups, count):
    return scores.topk(count).indices.tolist()


def _fewer(scores, groups, count):
    chosen, seen = [], set()
    for i in scores.topk(count).indices.tolist():
        if int(groups[i]) not in seen:
            chosen.append(i)
            seen.add(int(groups[i]))
    return chosen


def _lowest_scores(scores, groups, count):
    return _one_each(-scores, groups, count)


def _first_of_group(scores, groups, count):
    first = [int((groups == g).nonzero()[0, 0]) for g in groups.unique()]
    return sorted(first, key=lambda i: -float(scores[i]))[:count]


def _not_as_the_last(scores, groups, count):
    chosen, last = [], None
    for i in scores.argsort(descending=True).tolist():
        if int(groups[i]) != last and len(chosen) < count:
            chosen.append(i)
            last = int(groups[i])
    return chosen


def _group_numbers(scores, groups, count):
    return [int(groups[i]) for i in _one_each(scores, groups, count)]


def _test_one_each(function):
    cases = (
        ([0.9, 0.8, 0.7, 0.6, 0.1], [4, 4, 4, 7, 9], 3),
        ([0.1, 0.9, 0.5, 0.8], [3, 3, 1, 8], 2),
        ([0.2, 0.1, 0.4], [5, 6, 5], 2),
        ([-0.2, -0.1, -0.4], [5, 6, 5], 2),
        ([0.9, 0.8, 0.7, 0.65, 0.6, 0.5, 0.4], [1, 2, 1, 2, 1, 2, 3], 3),
    )
    for scores, groups, count in cases:
        got = call(function, torch.tensor(scores), torch.tensor(groups), count)
        got = got.tolist() if isinstance(got, torch.Tensor) else got
        compare(
            got,
            _one_each(torch.tensor(scores), torch.tensor(groups), count),
            f"scores {scores}, groups {groups}, count {count}: the chosen",
        )


# 11.8 forgetting


def _forgetting(R):
    return (R[:-1].max(0).values - R[-1])[:-1].mean().item()


def _against_diagonal(R):
    return (R.diagonal() - R[-1])[:-1].mean().item()


def _last_family_too(R):
    return (R[:-1].max(0).values - R[-1]).mean().item()


def _negative(R):
    return -_forgetting(R)


def _last_stage_too(R):
    return (R.max(0).values - R[-1])[:-1].mean().item()


def _sum(R):
    return (R[:-1].max(0).values - R[-1])[:-1].sum().item()


def _best_of_row(R):
    return (R[:-1].max(1).values - R[-1, :-1]).mean().item()


MATRICES = (
    [[0.5, 0.0, 0.0], [0.8, 0.6, 0.0], [0.55, 0.65, 0.9]],
    [[0.5, 0.7, 0.0], [0.8, 0.6, 0.0], [0.6, 0.5, 0.9]],  # best before its own stage
    [[0.9, 0.1, 0.2], [0.6, 0.8, 0.3], [0.7, 0.5, 0.9]],
    [[0.7, 0.2], [0.3, 0.9]],
)


def _test_forgetting(function):
    for rows in MATRICES:
        R = torch.tensor(rows)
        compare(number(call(function, R)), _forgetting(R), f"the forgetting of {rows}")


# 11.9 the Fisher diagonal


def _fisher(W, items):
    p = (items @ W.detach().T).softmax(-1)
    return torch.einsum("nk,nj->kj", p * (1 - p), items.square()) / len(items)


def _squared_mean(W, items):
    logp = (items @ W.T).log_softmax(-1)
    y = logp.detach().exp()
    (grad,) = torch.autograd.grad((y * logp).sum(1).mean(), W)
    return grad.square()


def _unweighted(W, items):
    total = torch.zeros_like(W)
    for x in items:
        logp = (W @ x).log_softmax(-1)
        for c in range(len(W)):
            (grad,) = torch.autograd.grad(logp[c], W, retain_graph=True)
            total += grad.square() / len(W)
    return total / len(items)


def _likeliest(W, items):
    total = torch.zeros_like(W)
    for x in items:
        (grad,) = torch.autograd.grad((W @ x).log_softmax(-1).max(), W)
        total += grad.square()
    return total / len(items)


def _not_squared_input(W, items):
    p = (items @ W.detach().T).softmax(-1)
    return torch.einsum("nk,nj->kj", p * (1 - p), items) / len(items)


def _summed(W, items):
    return _fisher(W, items) * len(items)


def _test_fisher(function):
    for seed, (answers, dim, n) in enumerate(((4, 3, 20), (2, 2, 1))):
        W, items = _draw(seed, answers, dim).requires_grad_(), _draw(9 + seed, n, dim)
        got = call(function, W, items)
        got = got.detach() if isinstance(got, torch.Tensor) else got
        compare(got, _fisher(W, items), f"the Fisher diagonal of {answers} x {dim}, {n} items")


EXERCISES = {
    "12.1": Exercise(
        "Predict four examples",
        3,
        1,
        80.0,
        prediction(0, 100, "%"),
        (
            "Any number of per cent is an answer.",
            "Nobody trained the model to use examples. Might they disturb it? Where does the blank "
            "stand when they come first?",
        ),
    ),
    "12.2": Exercise(
        "What may be reported",
        6,
        1,
        _report,
        _test_report,
        (
            "Which of the two lists may decide, and which one only counts?",
            "Find the index of the largest validation accuracy; return `test` at that index.",
        ),
        mistakes=(
            (_best_on_test, "You still choose on the test."),
            (
                _validation_itself,
                "That is the validation accuracy of the chosen one: it was chosen "
                "for being high there, so it is too high as well.",
            ),
            (_mean_test, "That is the mean over all sentences; you were to report the chosen one."),
            (
                lambda validation, test: max(zip(validation, test))[1],
                "Where two are equal on validation you let the test decide: take the first.",
            ),
            (_chosen_number, "That is the index of the chosen sentence, not its accuracy."),
        ),
    ),
    "12.3": Exercise(
        "The mean of each class",
        8,
        1,
        _means,
        _test_means,
        (
            "v[y == c] has the rows of class c.",
            "torch.stack of v[y == c].mean(0) for each class from 0 to classes - 1.",
        ),
        mistakes=(
            (_one_mean, "All your means are the same: take only the rows of each class."),
            (_sums, "You add up and don't divide by the number of examples of the class."),
            (_by_all, "Divide by the number of examples of the *class*, not of all."),
            (_over_dimensions, "The mean is over examples, not over dimensions."),
            (_in_order, "The rows aren't sorted by class: `y` says which class a row is of."),
        ),
    ),
    "12.4": Exercise(
        "The loss without answers",
        12,
        2,
        _consistency,
        _test_consistency,
        (
            "The label and whether it counts come from the weak view, as constants: detach it "
            "first. softmax, then max, gives both.",
            'F.cross_entropy(strong, labels, reduction="none") times the bracket, then the mean '
            "over all n.",
        ),
        mistakes=(
            (_by_accepted, "Divide by all n questions, not only by those that were let in."),
            (_no_threshold, "The threshold isn't used."),
            (_own_label, "The label comes from the weak view; yours is the strong view's own."),
            (_own_confidence, "The weak view has to be sure, not the strong one."),
            (_soft_target, "The label is one answer, the likeliest, not all probabilities."),
            (_no_softmax, "These are logits: softmax before you compare with the threshold."),
            (_softmax_twice, "F.cross_entropy takes logits."),
            (_summed_loss, "The loss is a mean over the n questions."),
            (
                _learns_weak,
                "The roles are exchanged: the strong view learns what the weak one says.",
            ),
        ),
    ),
    "12.5": Exercise(
        "The lowest threshold",
        8,
        2,
        _lowest,
        _test_lowest,
        (
            "Only the confidences that occur can matter. Try them from the lowest on.",
            "For each t: right[confidence >= t].double().mean() >= precision? The first t with "
            "yes; None at the end.",
        ),
        mistakes=(
            (_highest, "That is the highest threshold that will do: it lets in too few."),
            (_as_confidence, "A model that is 90 % sure need not be right in 90 %: measure it."),
            (_share_of_all, "Precision is a share of those that are let in, not of all."),
            (_cumulative, "Equal confidences are let in together."),
            (_strictly_above, "The answer at the threshold itself is let in too: >=."),
        ),
    ),
    "12.6": Exercise(
        "A view that may be used",
        5,
        2,
        "b",
        choice(
            "b",
            {
                "a": "mirrored left to right, what was left is right: the answer turns round, and "
                "the pseudo-label is wrong.",
                "c": "after a quarter turn, what was left lies above or below: the answer may "
                "change.",
                "d": 'noise in the pixels is fine, but other colours are not: "the red circle" '
                "may be another one now, or none.",
            },
        ),
        (
            "Do to a picture in your head what each view does. Is the answer still right?",
            "Turned upside down, what was left is still left.",
        ),
    ),
    "12.7": Exercise(
        "One of each group",
        8,
        2,
        _one_each,
        _test_one_each,
        (
            "Go through the questions from the highest score down, and keep what you have seen.",
            "A set of groups: skip a question whose group is in it; stop at `count`.",
        ),
        mistakes=(
            (_duplicates, "Several of one group are chosen: you pay several times for one answer."),
            (_fewer, "You take the best `count` first and drop some: fewer than `count` are left."),
            (_lowest_scores, "You choose the lowest scores: those that the model is sure of."),
            (_first_of_group, "Of each group take the one with the highest score, not the first."),
            (_not_as_the_last, "A group may come back later: keep all that you have seen."),
            (_group_numbers, "Those are numbers of groups; expected are numbers of questions."),
        ),
    ),
    "12.8": Exercise(
        "Forgetting",
        10,
        2,
        _forgetting,
        _test_forgetting,
        (
            "For each family: its best accuracy before the last stage, minus that after it. The "
            "last family is left out.",
            "(R[:-1].max(0).values - R[-1])[:-1], then the mean.",
        ),
        mistakes=(
            (
                _against_diagonal,
                "That is minus the backward transfer: a family may have been best "
                "at another stage than its own.",
            ),
            (_last_family_too, "The last family can't have been forgotten yet: leave it out."),
            (_negative, "The sign is turned round: forgetting is positive where accuracy fell."),
            (
                _last_stage_too,
                "With the last stage among the best, a family that got better counts "
                "as 0: take the maximum over the stages before the last.",
            ),
            (_sum, "The mean over families is wanted, not the sum."),
            (_best_of_row, "Your maximum goes over families; it has to go over stages."),
        ),
    ),
    "12.9": Exercise(
        "The Fisher diagonal",
        15,
        3,
        _fisher,
        _test_fisher,
        (
            "One item and one answer at a time: the gradient of log p_c, squared entry by entry, "
            "times p_c. Then sum over answers and take the mean over items.",
            "torch.autograd.grad(logp[c], W, retain_graph=True) in two loops. Or the closed form "
            "p (1 - p) x^2 that was derived above.",
        ),
        mistakes=(
            (
                _squared_mean,
                "The square of a mean gradient is another thing, and near 0 here: square "
                "item by item and answer by answer.",
            ),
            (_unweighted, "The answers are drawn from p: weight each with its probability."),
            (_likeliest, "All answers count, each with its probability, not the likeliest alone."),
            (_not_squared_input, "The input is squared too: p (1 - p) x^2."),
            (_summed, "A mean over items is wanted, not the sum."),
        ),
    ),
}

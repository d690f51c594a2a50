"""Lesson 07: pretraining on pairs."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from course_utils.checks.feedback import (
    Exercise,
    Feedback,
    call,
    choice,
    compare,
    kind,
    prediction,
    value,
)
from course_utils.objectives.contrastive import contrastive_loss, hard_negatives


def _draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# 07.1 the contrastive loss


def _contrastive(scores):
    own = torch.arange(len(scores))
    return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2


def _one_way(scores):
    return F.cross_entropy(scores, torch.arange(len(scores)))


def _other_way(scores):
    return _one_way(scores.T)


def _added(scores):
    return _one_way(scores) + _one_way(scores.T)


def _summed(scores):
    return len(scores) * _contrastive(scores)


def _no_logarithm(scores):
    return 1 - (scores.softmax(1).diagonal().mean() + scores.softmax(0).diagonal().mean()) / 2


def _mean_of_all(scores):
    return -(scores.log_softmax(1).mean() + scores.log_softmax(0).mean()) / 2


def _softmax_twice(scores):
    own = torch.arange(len(scores))
    ways = F.cross_entropy(scores.softmax(1), own), F.cross_entropy(scores.T.softmax(1), own)
    return sum(ways) / 2


def _divided_again(scores):
    return _contrastive(scores / 0.07)


def _yes_or_no(scores):
    return F.binary_cross_entropy_with_logits(scores, torch.eye(len(scores)))


def _one_softmax(scores):
    return -scores.flatten().log_softmax(0).view_as(scores).diagonal().mean()


def _without_the_right_one(scores):
    others = scores.masked_fill(torch.eye(len(scores), dtype=torch.bool), -torch.inf)
    ways = others.logsumexp(0).mean() + others.logsumexp(1).mean()
    return ways / 2 - scores.diagonal().mean()


def _probabilities_first(scores):
    ways = scores.softmax(1).diagonal().log().mean(), scores.softmax(0).diagonal().log().mean()
    return -sum(ways) / 2


LARGE = torch.tensor([[95.0, 20.0, -60.0], [10.0, -30.0, 90.0], [99.0, 5.0, 40.0]])


def _survives(got):
    """Cosines divided by a temperature of 0.01 reach 100."""
    if isinstance(got, torch.Tensor) and not got.isfinite().all():
        raise Feedback(
            "with scores near 100 (a temperature of 0.01) it gives inf or nan: exp overflows, or "
            "a probability becomes 0. Use log_softmax, logsumexp or cross_entropy."
        )


def _half_cut(scores):
    return (_one_way(scores) + _one_way(scores.T.detach())) / 2


def _gradients(function, reference, *inputs):
    """The gradient by the scores, the first input, against that of the reference."""
    found = []
    for loss_of in (function, reference):
        scores = inputs[0].detach().clone().requires_grad_()
        loss = loss_of(scores, *inputs[1:])
        if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
            raise Feedback("the value is right, but no gradient gets back to the scores.")
        found.append(torch.autograd.grad(loss, scores)[0])
    compare(found[0], found[1], "the value is right, the gradient by the scores is not")


def _test_contrastive(function):
    for n in (5, 2):
        scores = 3 * _draw(n, n, n)
        got = call(function, scores)
        compare(got, _contrastive(scores), f"the loss of a table of {n} x {n} scores")
    _gradients(function, _contrastive, 3 * _draw(4, 4, 4))
    got = call(function, LARGE)
    _survives(got)
    compare(got, _contrastive(LARGE), "the loss of large scores")


# 07.3 who is pushed away


def _push(scores, own, temperature):
    wrong = scores.clone()
    wrong[own] = -torch.inf
    return (wrong / temperature).softmax(0)


def _with_own(scores, own, temperature):
    return (scores / temperature).softmax(0)


def _own_blanked(scores, own, temperature):
    p = _with_own(scores, own, temperature).clone()
    p[own] = 0
    return p


def _times(scores, own, temperature):
    return _push(scores, own, 1 / temperature)


def _no_temperature(scores, own, temperature):
    return _push(scores, own, 1.0)


def _own_is_zero(scores, own, temperature):
    wrong = scores.clone()
    wrong[own] = 0
    return (wrong / temperature).softmax(0)


def _own_is_low(scores, own, temperature):
    wrong = scores.clone()
    wrong[own] = -10
    return (wrong / temperature).softmax(0)


def _own_is_lowest(scores, own, temperature):
    wrong = scores.clone()
    wrong[own] = -1
    return (wrong / temperature).softmax(0)


def _test_push(function):
    for own, temperature in ((0, 0.5), (3, 0.07), (2, 20.0)):
        scores = torch.tanh(_draw(own, 6))
        leaf = scores.clone().requires_grad_()
        loss = F.cross_entropy(leaf[None] / temperature, torch.tensor([own]))
        (push,) = torch.autograd.grad(loss, leaf)  # (6,)
        push[own] = 0
        got = call(function, scores, own, temperature)
        compare(got, push / push.sum(), "the shares of the push (autograd's are the reference)")


# 07.4 recall at k


def _recall(scores, right, k):
    best = scores.topk(k, dim=1).indices
    return right.gather(1, best).any(1).double().mean().item()


def _found_share(scores, right, k):
    best = scores.topk(k, dim=1).indices
    return (right.gather(1, best).sum(1) / right.sum(1)).double().mean().item()


def _precision(scores, right, k):
    best = scores.topk(k, dim=1).indices
    return right.gather(1, best).double().mean().item()


def _diagonal(scores, right, k):
    best = scores.topk(k, dim=1).indices
    return (best == torch.arange(len(scores))[:, None]).any(1).double().mean().item()


def _columns(scores, right, k):
    return _recall(scores.T, right.T, k)


def _worst(scores, right, k):
    return _recall(-scores, right, k)


def _first_right_only(scores, right, k):
    first = F.one_hot(right.float().argmax(1), right.shape[1]).bool()
    return _recall(scores, first, k)


def _one_more(scores, right, k):
    return _recall(scores, right, k + 1)


def _per_cent(scores, right, k):
    return 100 * _recall(scores, right, k)


def _count(scores, right, k):
    return len(scores) * _recall(scores, right, k)


def _test_recall(function):
    right = torch.eye(10, 12, dtype=torch.bool) | (_draw(9, 10, 12) > 1.2)
    scores = _draw(8, 10, 12) + right
    for table in (scores, scores - 2 * right):
        for k in (1, 3, 12):
            got = call(function, table, right, k)
            got = _one(got) if isinstance(got, (torch.Tensor, np.ndarray)) else got
            compare(got, _recall(table, right, k), f"recall at {k}")


def _one(got):
    if math.prod(got.shape) != 1:
        raise Feedback(f"expected one number, the mean over the queries, got {tuple(got.shape)}.")
    return got.item()


# 07.5 several right answers


def _spread(scores, right):
    return contrastive_loss(scores, right)


def _first_only(scores, right):
    return _contrastive(scores)


def _unnormalised(scores, right):
    rows = -(right * scores.log_softmax(1)).sum(1).mean()
    return (rows - (right.T * scores.T.log_softmax(1)).sum(1).mean()) / 2


def _rows_only(scores, right):
    target = right / right.sum(1, keepdim=True)
    return -(target * scores.log_softmax(1)).sum(1).mean()


def _any_of_them(scores, right):
    def way(s, r):
        return -(s.softmax(1) * r).sum(1).log().mean()

    return (way(scores, right) + way(scores.T, right.T)) / 2


def _left_out(scores, right):
    """Other right answers are neither pulled nor pushed."""
    others = right & ~torch.eye(len(right), dtype=torch.bool)
    return _contrastive(scores.masked_fill(others, -torch.inf))


def _same_target_twice(scores, right):
    target = right / right.sum(1, keepdim=True)
    rows = -(target * scores.log_softmax(1)).sum(1).mean()
    return (rows - (target * scores.T.log_softmax(1)).sum(1).mean()) / 2


def _rows_target(scores, right):
    columns = (right / right.sum(1, keepdim=True)).T
    rows = -(columns.T * scores.log_softmax(1)).sum(1).mean()
    return (rows - (columns * scores.T.log_softmax(1)).sum(1).mean()) / 2


def _without_keepdim(scores, right):
    def way(s, r):
        return -(r / r.sum(1) * s.log_softmax(1)).sum(1).mean()

    return (way(scores, right) + way(scores.T, right.T)) / 2


def _divergence(scores, right):
    def way(s, r):
        target = r / r.sum(1, keepdim=True)
        return F.kl_div(s.log_softmax(1), target, reduction="batchmean")

    return (way(scores, right) + way(scores.T, right.T)) / 2


def _mean_of_pairs(scores, right):
    return -(scores.log_softmax(1)[right].mean() + scores.log_softmax(0)[right].mean()) / 2


def _columns_only(scores, right):
    return _rows_only(scores.T, right.T)


def _both_added(scores, right):
    return 2 * contrastive_loss(scores, right)


def _spread_half_cut(scores, right):
    return (_rows_only(scores, right) + _rows_only(scores.T.detach(), right.T)) / 2


def _test_spread(function):
    right = torch.eye(5, dtype=torch.bool)
    right[0, 3] = right[3, 0] = right[1, 4] = True
    for name, truth in (
        ("one right text each", torch.eye(5, dtype=torch.bool)),
        ("several right texts", right),
    ):
        scores = 2 * _draw(11, 5, 5)
        compare(call(function, scores, truth), _spread(scores, truth), f"the loss with {name}")
    _gradients(function, _spread, 2 * _draw(12, 5, 5), truth)
    truth = torch.eye(3, dtype=torch.bool)
    truth[0, 2] = True
    got = call(function, LARGE, truth)
    _survives(got)
    compare(got, _spread(LARGE, truth), "the loss of large scores")


# 07.6 masked words


def _masked(logits, x, chosen):
    loss = F.cross_entropy(logits[chosen], x[chosen], reduction="sum")
    return loss / chosen.sum().clamp(min=1)


def _nan_without_any(logits, x, chosen):
    return F.cross_entropy(logits[chosen], x[chosen])


def _every_place(logits, x, chosen):
    return F.cross_entropy(logits.flatten(0, 1), x.flatten())


def _over_every_place(logits, x, chosen):
    return F.cross_entropy(logits[chosen], x[chosen], reduction="sum") / x.numel()


def _over_texts(logits, x, chosen):
    return F.cross_entropy(logits[chosen], x[chosen], reduction="sum") / len(x)


def _text_by_text(logits, x, chosen):
    means = [_masked(z, words, at) for z, words, at in zip(logits, x, chosen) if at.any()]
    return torch.stack(means).mean() if means else 0 * logits.sum()


def _added_up(logits, x, chosen):
    return F.cross_entropy(logits[chosen], x[chosen], reduction="sum")


def _not_chosen(logits, x, chosen):
    return _masked(logits, x, ~chosen)


def _masked_softmax_twice(logits, x, chosen):
    return _masked(logits.softmax(-1), x, chosen)


def _times_chosen(logits, x, chosen):
    loss = F.cross_entropy(logits.transpose(1, 2), x, reduction="none")  # (texts, words)
    return (loss * chosen).sum() / chosen.sum().clamp(min=1)


def _logits_times_chosen(logits, x, chosen):
    return _every_place(logits * chosen[..., None], x, chosen)


def _test_masked(function):
    logits, x = 2 * _draw(21, 3, 5, 7), torch.arange(15).view(3, 5) * 4 % 7
    chosen = torch.zeros(3, 5, dtype=torch.bool)
    chosen[0, 1] = chosen[1, 0] = chosen[1, 2] = chosen[1, 4] = True
    got = call(function, logits, x, chosen)
    compare(got, _masked(logits, x, chosen), "the loss, with 1, 3 and 0 chosen places in 3 texts")
    found = []
    for loss_of in (function, _masked):
        leaf = logits.clone().requires_grad_()
        loss = loss_of(leaf, x, chosen)
        if not loss.requires_grad:
            raise Feedback("the value is right, but no gradient gets back to the logits.")
        found.append(torch.autograd.grad(loss, leaf)[0])
    compare(found[0], found[1], "the value is right, the gradient by the logits is not")
    other = logits.clone()
    other[0, 0, 3] = -torch.inf  # of a place that isn't chosen
    other[2, 1] = torch.inf
    what = "the loss, with infinite logits at places that are not chosen"
    compare(call(function, other, x, chosen), _masked(other, x, chosen), what)
    leaf = logits.clone().requires_grad_()
    got = function(leaf, x, torch.zeros_like(chosen))
    compare(got, torch.zeros(()), "the loss where no place is chosen")
    if got.requires_grad:
        (slope,) = torch.autograd.grad(got, leaf, allow_unused=True)
        if slope is not None:
            compare(slope, torch.zeros_like(slope), "the gradient where no place is chosen")


# 07.8 naming by sentences


def _name(v, sentences_of):
    means = torch.stack([F.normalize(t, dim=1).mean(0) for t in sentences_of])
    return (F.normalize(v, dim=1) @ F.normalize(means, dim=1).T).argmax(1)


def _long_ones_first(v, sentences_of):
    means = torch.stack([t.mean(0) for t in sentences_of])
    return (v @ F.normalize(means, dim=1).T).argmax(1)


def _no_cosine(v, sentences_of):
    means = torch.stack([F.normalize(t, dim=1).mean(0) for t in sentences_of])
    return (v @ means.T).argmax(1)


def _sum_not_cosine(v, sentences_of):
    sums = torch.stack([F.normalize(t, dim=1).sum(0) for t in sentences_of])
    return (v @ sums.T).argmax(1)


def _first_sentence(v, sentences_of):
    return _name(v, [t[:1] for t in sentences_of])


def _best_sentence(v, sentences_of):
    best = [(F.normalize(v, dim=1) @ F.normalize(t, dim=1).T).amax(1) for t in sentences_of]
    return torch.stack(best, 1).argmax(1)


def _farthest(v, sentences_of):
    return _name(-v, sentences_of)


def _number_of_sentence(v, sentences_of):
    return (F.normalize(v, dim=1) @ F.normalize(torch.cat(sentences_of), dim=1).T).argmax(1)


def _test_name(function):
    v = _draw(31, 60, 4) * (1 + 5 * _draw(32, 60, 1).abs())
    shift = 0.5 * _draw(33, 4)
    sentences_of = [
        (_draw(40 + i, n, 4) + shift) * (0.1 + 5 * _draw(50 + i, n, 1).abs())
        for i, n in enumerate((1, 3, 2, 3, 5))
    ]
    for pictures, what in ((v, "60 pictures"), (v[:1], "one picture")):
        got = call(function, pictures, sentences_of)
        if isinstance(got, (list, tuple, np.ndarray)):
            got = torch.as_tensor(got)
        compare(got, _name(pictures, sentences_of), f"the classes of {what}, five classes")


# 07.7 hard negatives


def _hard(scores, right, generator):
    return hard_negatives(scores, right, generator)


def _broken(scores, right, generator):
    p = scores.softmax(dim=0)
    return p.multinomial(1, generator=generator)[:, 0]


def _right_too(scores, right, generator):
    return scores.softmax(1).multinomial(1, generator=generator)[:, 0]


def _only_the_diagonal(scores, right, generator):
    p = scores.softmax(1) * ~torch.eye(len(scores), dtype=torch.bool)
    return p.multinomial(1, generator=generator)[:, 0]


def _uniform(scores, right, generator):
    return (~right).float().multinomial(1, generator=generator)[:, 0]


def _wrong_axis(scores, right, generator):
    p = scores.softmax(0) * ~right
    return p.multinomial(1, generator=generator)[:, 0]


def _easiest(scores, right, generator):
    return hard_negatives(-scores, right, generator)


def _always_the_hardest(scores, right, generator):
    return scores.masked_fill(right, -torch.inf).argmax(1)


def _low_number(scores, right, generator):
    p = scores.masked_fill(right, -10).softmax(1)
    return p.multinomial(1, generator=generator)[:, 0]


def _without_generator(scores, right, generator):
    return scores.masked_fill(right, -torch.inf).softmax(1).multinomial(1)[:, 0]


def _top_two(scores, right, generator):
    wrong = scores.masked_fill(right, -torch.inf)
    wrong = wrong.masked_fill(wrong < wrong.topk(2, dim=1).values[:, 1:], -torch.inf)
    return wrong.softmax(1).multinomial(1, generator=generator)[:, 0]


def _test_hard(function):
    scores = torch.tensor(
        [[4.0, 3.0, 1.0, 0.5], [1.0, 5.0, 0.6, 1.6], [1.5, 1.0, 3.0, 0.2], [1.0, 0.3, 1.8, 4.0]]
    )
    right = torch.eye(4, dtype=torch.bool)
    right[0, 1] = True
    draws = 1500
    counts = torch.zeros(4, 4)
    for seed in range(draws):
        got = _text_numbers(call(function, scores, right, torch.Generator().manual_seed(seed)))
        counts[torch.arange(4), got.long()] += 1
    shares = counts / draws  # (pictures, texts)
    if shares.diagonal().any():
        raise Feedback("a picture got its own text as a wrong one.")
    if (shares * right).any():
        raise Feedback(
            "picture 0 got text 1, which is true of it, as a wrong one. `right` says so."
        )
    want = scores.masked_fill(right, -torch.inf).softmax(1)  # (pictures, texts)
    off = (shares - want).abs()
    if off.max() > 0.05:  # more than three standard errors of a share of 1500 draws
        i, j = divmod(int(off.argmax()), 4)
        hint = "" if shares.max(1).values.min() < 1 else " It is always the same one."
        raise Feedback(
            f"text {j} should come up for picture {i} in {100 * want[i, j]:.0f} % of the draws, "
            f"but does in {100 * shares[i, j]:.0f} %. Each row's scores decide.{hint}"
        )
    twice = [
        torch.stack(
            [
                _text_numbers(call(function, scores, right, torch.Generator().manual_seed(seed)))
                for seed in range(20)
            ]
        )
        for _ in range(2)
    ]
    if not torch.equal(*twice):
        raise Feedback("the same generator must draw the same texts: pass it on to multinomial.")
    low = scores - 60  # scores have no lowest value
    for seed in range(20):
        got = _text_numbers(call(function, low, right, torch.Generator().manual_seed(seed)))
        if right[torch.arange(4), got.long()].any():
            raise Feedback(
                "with scores around -60 a text that is true of the picture is drawn: its score "
                "must be lower than any number."
            )


def _text_numbers(got):
    got = torch.as_tensor(got) if isinstance(got, (list, tuple, np.ndarray)) else got
    if not isinstance(got, torch.Tensor) or got.shape != (4,):
        found = tuple(got.shape) if isinstance(got, torch.Tensor) else kind(got)
        raise Feedback(f"expected one text number a picture, a tensor (4,), got {found}.")
    if got.dtype.is_floating_point or got.dtype == torch.bool:
        raise Feedback(f"expected whole numbers, got {str(got.dtype).removeprefix('torch.')}.")
    if got.min() < 0 or got.max() > 3:
        raise Feedback(f"expected numbers of texts from 0 to 3, got {got.tolist()}.")
    return got


EXERCISES = {
    "07.1": Exercise(
        "The contrastive loss",
        10,
        1,
        _contrastive,
        _test_contrastive,
        (
            "Row i of the table is a choice among texts, and text i is right: a cross-entropy "
            "with target i. Column i is a choice among pictures.",
            "F.cross_entropy(scores, own) takes the rows, with own the numbers 0, 1, 2, ... of the "
            "right texts. Which table has the columns as its rows?",
        ),
        mistakes=(
            (
                _one_way,
                "Only the rows: find the text of each picture. The other way round is missing.",
            ),
            (_other_way, "Only the columns: the other way round is missing."),
            (_added, "The two ways are added; it is their mean."),
            (_summed, "That is the sum over the batch, not the mean."),
            (_no_logarithm, "The logarithm is missing: cross-entropy is -log p, not 1 - p."),
            (_mean_of_all, "That is the mean over the whole table; only the diagonal is right."),
            (_softmax_twice, "cross_entropy takes scores and does the softmax itself."),
            (_divided_again, "The scores are divided by the temperature already."),
            (_yes_or_no, "That asks yes or no about each pair (section 3, SigLIP)."),
            (
                _one_softmax,
                "One softmax for each row and one for each column, not one for the table.",
            ),
            (_without_the_right_one, "The right text is among those in the denominator."),
            (_probabilities_first, ""),
            (_half_cut, ""),
        ),
    ),
    "07.2": Exercise(
        "The loss of a model that knows nothing",
        3,
        1,
        math.log(256),
        value(math.log(256), "the loss of a model that knows nothing", atol=0.0015 / math.log(256)),
        (
            "It gives each of the 256 texts the same probability.",
            "The loss is minus the natural logarithm of that probability.",
        ),
        mistakes=(
            (8.0, "That is the logarithm to base 2; the loss uses the natural one."),
            (1 / 256, "That is the probability; the loss is minus its logarithm."),
            (255 / 256, "That is the share of wrong guesses, not a loss."),
            (-math.log(256), "The sign: -log p of a small p is positive."),
            (
                math.log(255),
                "That counts the wrong texts only. The right one stands for choice too: 256.",
            ),
            (math.log10(256), "That is the logarithm to base 10."),
            (2 * math.log(256), "The two ways are averaged, not added."),
        ),
    ),
    "07.3": Exercise(
        "Who is pushed away",
        10,
        2,
        _push,
        _test_push,
        (
            "The gradient of the cross-entropy by score j is p_j / temperature for a wrong text j. "
            "Only their proportions matter. Among the wrong ones, do the proportions depend on "
            "the right one's score?",
            "They do not: it is a softmax over the wrong texts alone. Which score makes exp 0, so "
            "that the right one has no share?",
        ),
        mistakes=(
            (_with_own, "Your shares include the right text, which is pulled, not pushed."),
            (_own_blanked, "Without the right text they must be divided by their sum again."),
            (_times, "You multiply by the temperature; scores are divided by it."),
            (_no_temperature, "The temperature isn't used."),
            (_own_is_zero, "A score of 0 is no exclusion: exp(0) is 1. It takes -infinity."),
            (_own_is_low, "A score of -10 still gets a share at a high temperature."),
            (
                _own_is_lowest,
                "A cosine of -1 is possible, and still gets a share. It takes -infinity.",
            ),
        ),
    ),
    "07.4": Exercise(
        "Recall at k",
        8,
        2,
        _recall,
        _test_recall,
        (
            "`topk` gives the places of the k best in each row. How do you look up `right` at "
            "these places?",
            "right.gather(1, places) is (queries, k): True where one of the k best is right. What "
            "has to be true of a row?",
        ),
        mistakes=(
            (
                _found_share,
                "That is the share of the right answers that are found. Here one is enough.",
            ),
            (_precision, "That is precision: the share of the k best that is right."),
            (_diagonal, "You count answer i only, but `right` may name several."),
            (_columns, "You search through the columns: rows are the queries."),
            (_worst, "Those are the k lowest scores."),
            (
                _first_right_only,
                "You look for the first right choice of a row only; there may be several.",
            ),
            (_one_more, "Those are k + 1 choices."),
            (_per_cent, "A share from 0 to 1 is asked for, not per cent."),
            (_count, "That is the number of queries; their share is asked for."),
        ),
    ),
    "07.10": Exercise(
        "Predict the search in Chinese",
        3,
        1,
        100.0,
        prediction(1, 240),
        (
            "Any place from 1 to 240 is an answer.",
            "Has MiniLM's vocabulary Chinese characters? What would their vectors be?",
        ),
    ),
    "07.5": Exercise(
        "Several right answers",
        10,
        2,
        _spread,
        _test_spread,
        (
            "Make each row of `right` a distribution that sums to 1, and take the cross-entropy "
            "with it.",
            "right / right.sum(1, keepdim=True) are the rows' targets, scores.log_softmax(1) their "
            "log-probabilities. For the columns take scores.T, and targets of their own.",
        ),
        mistakes=(
            (_first_only, "`right` isn't used: the other right answers are still pushed away."),
            (
                _unnormalised,
                "A target must sum to 1: a text with three right pictures counts three times.",
            ),
            (_rows_only, "Only the rows: the other way round is missing."),
            (
                _any_of_them,
                "That is another loss: it is content if any one right answer has all the "
                "probability. Here it is spread evenly.",
            ),
            (
                _left_out,
                "You leave the other right answers out: not pushed, but not pulled either.",
            ),
            (
                _same_target_twice,
                "The columns need a target of their own, from right.T: a text may "
                "fit two pictures where each picture has one text.",
            ),
            (
                _rows_target,
                "The columns' target must itself sum to 1 over the pictures: divide "
                "right.T by its own sums.",
            ),
            (
                _without_keepdim,
                "right.sum(1) without keepdim=True divides column j by the sum of row j.",
            ),
            (
                _divergence,
                "That is the divergence: cross-entropy minus the target's entropy. Its "
                "gradient is the same; the cross-entropy is asked for.",
            ),
            (_mean_of_pairs, "Each row counts once, however many right texts it has."),
            (_columns_only, "Only the columns: the rows are missing."),
            (_both_added, "The two ways are added; it is their mean."),
            (_spread_half_cut, ""),
        ),
    ),
    "07.6": Exercise(
        "The loss of masked words",
        8,
        2,
        _masked,
        _test_masked,
        (
            "`logits[chosen]` and `x[chosen]` are the places that count. What does their number do "
            "to the mean where it is 0?",
            'cross_entropy with reduction="sum" gives 0 for no places. What is it divided by?',
        ),
        mistakes=(
            (_nan_without_any, "Where no place is chosen that is 0 / 0."),
            (_every_place, "`chosen` isn't used: every place counts."),
            (_over_every_place, "The sum is divided by all places; only the chosen ones count."),
            (_over_texts, "The sum is divided by the number of texts, not of chosen places."),
            (
                _text_by_text,
                "That is a mean of the texts' means: a place counts less in a text with more.",
            ),
            (_added_up, "That is the sum over the chosen places, not their mean."),
            (_not_chosen, "Those are the places that were not chosen."),
            (_masked_softmax_twice, "cross_entropy takes logits and does the softmax itself."),
            (
                _times_chosen,
                "A loss that is multiplied by 0 still counts where it is infinite: take the chosen "
                "places out first.",
            ),
            (_logits_times_chosen, "Logits of 0 have a loss too: log of the number of words."),
        ),
    ),
    "07.8": Exercise(
        "Name by sentences",
        8,
        2,
        _name,
        _test_name,
        (
            "F.normalize(t, dim=1) brings each row to length 1. Is the mean of such rows of "
            "length 1 as well?",
            "It isn't, and cosines need it. One mean a class, stacked to (classes, dim), and then "
            "a table of cosines (pictures, classes).",
        ),
        mistakes=(
            (
                _long_ones_first,
                "Long vectors have more say: bring each sentence to length 1 first.",
            ),
            (
                _no_cosine,
                "The mean of a class is shorter than 1 where its sentences differ: take cosines, "
                "not dot products.",
            ),
            (_sum_not_cosine, "A class with more sentences has a longer sum: take cosines."),
            (_first_sentence, "Only the first sentence of each class is used."),
            (_best_sentence, "That is the best sentence of a class; its mean is asked for."),
            (_farthest, "Those are the smallest cosines."),
            (_number_of_sentence, "That is the number of a sentence, not of its class."),
        ),
    ),
    "07.9": Exercise(
        "Choose the control",
        3,
        2,
        "unpaired",
        choice(
            "unpaired",
            {
                "longer": "It tests whether more updates on the same questions do as much. The "
                "pictures and captions stay unseen, paired or not.",
                "seeds": "More seeds make the interval of the gap smaller. They don't say where it "
                "comes from.",
                "captions": "That leaves out the pictures too, so two things differ: whether "
                "pictures are seen at all, and whether they are paired.",
            },
        ),
        (
            "A control differs from *pairs* in one thing only. Which thing is claimed?",
            "The pairing is claimed: pictures, captions and updates have to stay the same.",
        ),
    ),
    "07.7": Exercise(
        "Repair the hard negatives",
        8,
        2,
        _hard,
        _test_hard,
        (
            "Two things are wrong: which axis has to sum to 1, and what must never be drawn.",
            "Each row has to sum to 1. What has to be done to the scores of the right texts before "
            "the softmax, so that their probability is 0?",
        ),
        mistakes=(
            (_broken, ""),
            (_right_too, ""),
            (_only_the_diagonal, ""),
            (_uniform, ""),
            (_wrong_axis, ""),
            (_easiest, ""),
            (_always_the_hardest, ""),
            (_top_two, ""),
            (_without_generator, ""),
            (_low_number, ""),
        ),
    ),
}

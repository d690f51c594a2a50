"""Lesson 06: L_vs, consistency, and how it collapses."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from course_utils.checks.feedback import (
    Exercise,
    Feedback,
    call,
    choice,
    compare,
    kind,
    number,
    prediction,
)
from course_utils.objectives import indicators
from course_utils.objectives.consistency import consistency, simsiam, variance_hinge

# 06.1 L_vs


def _mean_over_all(h, h_other):
    return (h - h_other).square().mean()


def _sum_over_all(h, h_other):
    return (h - h_other).square().sum()


def _over_the_batch(h, h_other):
    return (h - h_other).square().sum() / len(h)


def _rooted(h, h_other):
    return (h - h_other).norm(dim=-1).mean()


def _square_of_sum(h, h_other):
    return (h - h_other).sum(-1).square().mean()


def _summed_over_rows(h, h_other):
    return (h - h_other).square().sum(0).mean()


def _absolute(h, h_other):
    return (h - h_other).abs().sum(-1).mean()


def _not_averaged(h, h_other):
    return (h - h_other).square().sum(-1)


def _one_side(h, h_other):
    return consistency(h, h_other.detach())


def _other_side(h, h_other):
    return consistency(h.detach(), h_other)


def _l_vs_detached(h, h_other):
    return consistency(h, h_other).detach()


def _test_l_vs(function):
    generator = torch.Generator().manual_seed(4)
    for shape, what in (
        ((5, 3), "a batch of 5 rows, dim 3"),
        ((1, 4), "a batch of one row"),
        ((2, 3, 4), "2 questions x 3 pictures, dim 4"),
    ):
        h, h_other = torch.randn(2, *shape, generator=generator)
        got = call(function, h, h_other)
        if isinstance(got, torch.Tensor) and got.ndim:
            raise Feedback(f"{what}: expected one number, got a tensor of {tuple(got.shape)}.")
        compare(got, consistency(h, h_other), f"L_vs of {what}")
    leaves = [leaf.clone().requires_grad_() for leaf in (h, h_other)]
    loss = function(*leaves)
    names = ("h", "h_other")
    gradients = [None, None]
    if loss.requires_grad:
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    for name, gradient, sign in zip(names, gradients, (1, -1)):
        if gradient is None:
            raise Feedback(
                f"the value is right, but no gradient gets back to {name}: work with tensors, "
                "without detach or item."
            )
        want = sign * 2 * (h - h_other) / h[..., 0].numel()
        compare(gradient, want, f"the gradient with respect to {name}")


# 06.3 the gradient of L_vs


def _gradient(b, v, v_other):
    difference = v - v_other
    return 2 * b @ difference.T @ difference / len(v)


def _without_two(b, v, v_other):
    return _gradient(b, v, v_other) / 2


def _summed(b, v, v_other):
    return _gradient(b, v, v_other) * len(v)


def _of_pictures(b, v, v_other):
    return 2 * b @ (v.T @ v - v_other.T @ v_other) / len(v)


def _wrong_sign(b, v, v_other):
    return -_gradient(b, v, v_other)


def _expectation(b, v, v_other):
    return 2 * (v - v_other).var() * b


def _diagonal_only(b, v, v_other):
    return 2 * b * (v - v_other).square().mean(0)


def _of_the_mean(b, v, v_other):
    d = (v - v_other).mean(0)
    return 2 * b @ torch.outer(d, d)


def _centred_first(b, v, v_other):
    d = v - v_other
    return 2 * b @ (d - d.mean(0)).T @ (d - d.mean(0)) / len(v)


def _test_gradient(function):
    generator = torch.Generator().manual_seed(5)
    b = torch.randn(3, 4, generator=generator)
    v, v_other = torch.randn(2, 6, 4, generator=generator)
    leaf = b.clone().requires_grad_()
    loss = ((v - v_other) @ leaf.T).square().sum(1).mean()
    got = call(function, b, v, v_other)
    if isinstance(got, torch.Tensor) and got.shape == (4, 3):
        raise Feedback(f"the gradient has the shape of B, {tuple(b.shape)}; yours is transposed.")
    compare(got, torch.autograd.grad(loss, leaf)[0], "the gradient (autograd knows it too)")


# 06.4 the picture's share of the variance


def _share(h):
    within = h.var(1, correction=0).mean(0).sum()
    return within / h.flatten(0, 1).var(0, correction=0).sum()


def _words_share(h):
    return h.mean(1).var(0, correction=0).sum() / h.flatten(0, 1).var(0, correction=0).sum()


def _over_questions(h):
    return h.var(0, correction=0).mean(0).sum() / h.flatten(0, 1).var(0, correction=0).sum()


def _of_stds(h):
    return h.std(1, correction=0).mean(0).sum() / h.flatten(0, 1).std(0, correction=0).sum()


def _unbiased(h):
    return h.var(1).mean(0).sum() / h.flatten(0, 1).var(0).sum()


def _mean_of_ratios(h):
    within = h.var(1, correction=0).mean(0)
    return (within / h.flatten(0, 1).var(0, correction=0)).mean()


def _main_effect(h):
    return h.mean(0).var(0, correction=0).sum() / h.flatten(0, 1).var(0, correction=0).sum()


def _pooled_total(h):
    return h.var(1, correction=0).mean() / h.var(correction=0)


def _within_over_words(h):
    return h.var(1, correction=0).mean(0).sum() / h.mean(1).var(0, correction=0).sum()


def _sum_over_questions(h):
    return len(h) * _share(h)


def _per_cent(h):
    return 100 * _share(h)


def _test_share(function):
    generator = torch.Generator().manual_seed(6)
    words, pictures = (
        torch.randn(4, 1, 5, generator=generator),
        torch.randn(1, 7, 5, generator=generator),
    )
    scale = torch.tensor([1.0, 3.0, 0.1, 2.0, 1.0])
    cases = {
        "words and picture": 2 * words * scale + pictures + 0.3 * words * pictures,
        "words alone": words.expand(4, 7, 5),
        "pictures alone": pictures.expand(4, 7, 5),
        "one question only": (pictures * scale).expand(1, 7, 5),
        "one picture only": (words * scale).expand(4, 1, 5),
    }
    for name, h in cases.items():
        got = call(function, h)
        got = got.item() if isinstance(got, torch.Tensor) and got.numel() == 1 else got
        compare(got, _share(h).item(), f"the share with {name}")


# 06.5 a blind spot


def _fool(questions, pictures, dim):
    generator = torch.Generator().manual_seed(0)
    words = torch.randn(questions, 1, dim, generator=generator)
    return words.expand(questions, pictures, dim)


def _constant(questions, pictures, dim):
    return torch.ones(questions, pictures, dim)


def _random(questions, pictures, dim):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(questions, pictures, dim, generator=generator)


def _turned_down(questions, pictures, dim):
    return _fool(questions, pictures, dim) + 1e-4 * _random(questions, pictures, dim)


def _only_pictures(questions, pictures, dim):
    return _random(1, pictures, dim).expand(questions, pictures, dim)


def _line(questions, pictures, dim):
    return _fool(questions, pictures, 1).expand(questions, pictures, dim)


def _small(questions, pictures, dim):
    return 0.01 * _fool(questions, pictures, dim)


def _test_fool(function):
    questions, pictures, dim = 40, 12, 16
    h = call(function, questions, pictures, dim)
    if not isinstance(h, torch.Tensor) or h.shape != (questions, pictures, dim):
        found = tuple(h.shape) if isinstance(h, torch.Tensor) else kind(h)
        raise Feedback(f"expected a tensor {(questions, pictures, dim)}, got {found}.")
    if h.is_complex() or h.dtype == torch.bool:
        raise Feedback(f"expected real numbers, got {str(h.dtype).removeprefix('torch.')}.")
    h = h.detach().double()
    if not h.isfinite().all():
        raise Feedback("h holds inf or nan.")
    share = indicators.visual_share(h)
    if share > 1e-12:  # rounding gives about 1e-15; a picture that was only turned down is there
        raise Feedback(
            f"the picture's share of the variance is {share:.2g}, not 0: at one question, every "
            "picture must give the same h."
        )
    rows = h.flatten(0, 1)  # (questions * pictures, dim)
    rank, std = indicators.effective_rank(rows), indicators.batch_std(rows)
    uniform = indicators.uniformity(rows)
    if std < 0.8:
        raise Feedback(f"batch_std is {std:.2f}. A careful reader would see that: expected 0.8.")
    if rank < 0.75 * dim:
        raise Feedback(f"the effective rank is {rank:.1f} of {dim}: it gives the collapse away.")
    if uniform > -2:
        raise Feedback(f"uniformity is {uniform:.1f}, expected -2 or less.")


# 06.6 the variance hinge, given the words


def _mixed_hinge(h, group):
    return variance_hinge(h)


def _divides_by_rows(h, group):
    return F.relu(1 - (_centred(h, group).square().mean(0) + 1e-4).sqrt()).mean()


def _only_means(h, group):
    return variance_hinge(torch.stack([h[group == g].mean(0) for g in group.unique()]))


def _hinge_of_each(h, group):
    return torch.stack([variance_hinge(h[group == g]) for g in group.unique()]).mean()


def _hinge_upside_down(h, group):
    freedom = len(h) - len(group.unique())
    return F.relu((_centred(h, group).square().sum(0) / freedom + 1e-4).sqrt() - 1).mean()


def _centred(h, group):
    return torch.cat([h[group == g] - h[group == g].mean(0) for g in group.unique()])


def _one_degree(h, group):
    return F.relu(1 - (_centred(h, group).square().sum(0) / (len(h) - 1) + 1e-4).sqrt()).mean()


def _no_root(h, group):
    freedom = len(h) - len(group.unique())
    return F.relu(1 - (_centred(h, group).square().sum(0) / freedom + 1e-4)).mean()


def _hinge_of_mean(h, group):
    freedom = len(h) - len(group.unique())
    return F.relu(1 - (_centred(h, group).square().sum(0) / freedom + 1e-4).sqrt().mean())


def _hinge_summed(h, group):
    return h.shape[1] * variance_hinge(h, group)


def _by_runs(h, group):
    return variance_hinge(h, (group.diff(prepend=group[:1]) != 0).cumsum(0))


def _detached(h, group):
    return variance_hinge(h.detach(), group)


def _mean_of_variances(h, group):
    """Each group's own variance: nan for a group of one row."""
    variance = torch.stack([h[group == g].var(0) for g in group.unique()]).mean(0)
    return F.relu(1 - (variance + 1e-4).sqrt()).mean()


def _without_epsilon(h, group):
    freedom = len(h) - len(group.unique())
    return F.relu(1 - (_centred(h, group).square().sum(0) / freedom).sqrt()).mean()


def _test_hinge(function):
    generator = torch.Generator().manual_seed(7)
    group = torch.tensor([4, 4, 4, 4, 1, 1, 1, 1, 1, 7, 7, 7])
    spreads = torch.tensor([0.2, 0.5, 0.9, 1.5, 3.0, 0.0])
    h = torch.randn(12, 6, generator=generator) * spreads * (0.3 + 0.2 * group[:, None])
    h = h + 0.5 * torch.randn(8, 6, generator=generator)[group]
    compare(call(function, h, group), variance_hinge(h, group), "the hinge with three groups")
    one = torch.zeros(12, dtype=torch.long)
    compare(call(function, h, one), variance_hinge(h), "the hinge with a single group")
    mixed = torch.tensor([7, 4, 4, 1, 1, 7, 1, 4, 1, 1, 4, 7])
    compare(call(function, h, mixed), variance_hinge(h, mixed), "the hinge with groups in disorder")
    single = torch.tensor([7, 4, 4, 1, 1, 7, 1, 4, 1, 1, 4, 2])
    compare(
        call(function, h, single), variance_hinge(h, single), "the hinge where a group has one row"
    )
    leaves = [h.clone().requires_grad_() for _ in range(2)]
    loss = function(leaves[0], single.clone())
    if not loss.requires_grad:
        raise Feedback(
            "the value is right, but no gradient gets back to h: work with tensors, "
            "without detach, item or tolist."
        )
    got, want = (
        torch.autograd.grad(one, leaf)[0]
        for one, leaf in zip((loss, variance_hinge(leaves[1], single)), leaves)
    )
    compare(got, want, "the gradient with respect to h")


# 06.7 the exchange of pictures


def _ratio(ask, images, disturbed):
    h = ask(images)
    return consistency(h, ask(images.roll(1, 0))) / consistency(h, ask(disturbed))


def _upside_down(ask, images, disturbed):
    return 1 / _ratio(ask, images, disturbed)


def _not_divided(ask, images, disturbed):
    return consistency(ask(images), ask(images.roll(1, 0)))


def _questions_exchanged(ask, images, disturbed):
    h = ask(images)
    return consistency(h, h.roll(1, 0)) / consistency(h, ask(disturbed))


def _entries_exchanged(ask, images, disturbed):
    h = ask(images)
    return consistency(h, h.roll(1, -1)) / consistency(h, ask(disturbed))


def _disturbed_exchanged(ask, images, disturbed):
    h = ask(images)
    return consistency(h, ask(disturbed.roll(1, 0))) / consistency(h, ask(disturbed))


def _turned_round(ask, images, disturbed):
    h = ask(images)
    return consistency(h, ask(images.flip(0))) / consistency(h, ask(disturbed))


def _left_and_right(ask, images, disturbed):
    h = ask(images)
    return consistency(h, ask(images.roll(1, -1))) / consistency(h, ask(disturbed))


def _one_dropped(ask, images, disturbed):
    h = ask(images)
    return consistency(h[:, 1:], h[:, :-1]) / consistency(h, ask(disturbed))


def _ratio_of_roots(ask, images, disturbed):
    return _ratio(ask, images, disturbed) ** 0.5


def _test_exchange(function):
    generator = torch.Generator().manual_seed(9)
    weights = torch.randn(3 * 4 * 5, 6, generator=generator)
    scales = torch.tensor([0.5, 1.0, 2.0])
    images, noise = torch.rand(2, 5, 3, 4, 5, generator=generator)  # (pictures, 3, 4, 5)
    disturbed = images + 0.1 * noise

    def ask(some):
        return scales[:, None, None] * torch.tanh(some.flatten(1) @ weights / 5)  # (3, pictures, 6)

    for count in (5, 2):
        given = images[:count], disturbed[:count]
        got = number(call(function, ask, *given))
        compare(got, _ratio(ask, *given).item(), f"the ratio with {count} pictures")


# 06.10 a loss that is not SimSiam


def _no_stop(h, h_other, predictor):
    one = F.cosine_similarity(predictor(h), h_other, dim=-1).mean()
    return -0.5 * (one + F.cosine_similarity(predictor(h_other), h, dim=-1).mean())


def _stops_the_predictor(h, h_other, predictor):
    one = F.cosine_similarity(predictor(h).detach(), h_other, dim=-1).mean()
    return -0.5 * (one + F.cosine_similarity(predictor(h_other).detach(), h, dim=-1).mean())


def _stops_the_input(h, h_other, predictor):
    one = F.cosine_similarity(predictor(h.detach()), h_other.detach(), dim=-1).mean()
    other = F.cosine_similarity(predictor(h_other.detach()), h.detach(), dim=-1).mean()
    return -0.5 * (one + other)


def _without_predictor(h, h_other, predictor):
    return simsiam(h, h_other, nn.Identity())


def _one_way(h, h_other, predictor):
    return -F.cosine_similarity(predictor(h), h_other.detach(), dim=-1).mean()


def _plus(h, h_other, predictor):
    return -simsiam(h, h_other, predictor)


def _predicts_the_guess(h, h_other, predictor):
    one = F.cosine_similarity(predictor(h), predictor(h_other).detach(), dim=-1).mean()
    other = F.cosine_similarity(predictor(h_other), predictor(h).detach(), dim=-1).mean()
    return -0.5 * (one + other)


def _guesses_itself(h, h_other, predictor):
    one = F.cosine_similarity(predictor(h), h.detach(), dim=-1).mean()
    other = F.cosine_similarity(predictor(h_other), h_other.detach(), dim=-1).mean()
    return -0.5 * (one + other)


def _not_halved(h, h_other, predictor):
    return 2 * simsiam(h, h_other, predictor)


def _stops_one(h, h_other, predictor):
    one = F.cosine_similarity(predictor(h), h_other.detach(), dim=-1).mean()
    return -0.5 * (one + F.cosine_similarity(predictor(h_other), h, dim=-1).mean())


def _by_columns(h, h_other, predictor):
    one = F.cosine_similarity(predictor(h), h_other.detach(), dim=0).mean()
    return -0.5 * (one + F.cosine_similarity(predictor(h_other), h.detach(), dim=0).mean())


def _copies_the_predictor(h, h_other, predictor):
    return simsiam(h, h_other, copy.deepcopy(predictor))


def _test_simsiam(function):
    with torch.random.fork_rng():
        torch.manual_seed(8)
        fresh = nn.Linear(5, 5)
        leaves = torch.randn(2, 6, 5)

    def outcome(loss_of):
        """The loss, and its gradients by h, h_other and the predictor."""
        h, h_other = (leaf.clone().requires_grad_() for leaf in leaves)
        predictor = copy.deepcopy(fresh)
        loss = loss_of(h, h_other, predictor)
        _one_number(loss)
        inputs = [h, h_other, predictor.weight]
        if not all(i.requires_grad for i in inputs):
            raise Feedback(
                "it switches gradients off in h or in the predictor itself (detach_ or "
                "requires_grad_): use detach(), which leaves its input as it is."
            )
        if not loss.requires_grad:
            raise Feedback("no gradient reaches anything: everything is detached.")
        gradients = torch.autograd.grad(loss, inputs, allow_unused=True)
        return [
            loss.detach(),
            *(torch.zeros_like(i) if g is None else g for i, g in zip(inputs, gradients)),
        ]

    if not callable(function):
        raise Feedback(f"expected a function, got {kind(function)}.")
    # `call` copies its inputs, which would cut the gradient; so it gets none, and notes the outcome
    value, g_h, g_other, g_p = call(lambda: outcome(function))
    want, *wanted = outcome(simsiam)
    compare(value, want, "the loss")
    if not g_p.any():
        raise Feedback("no gradient reaches the predictor: it stays random, and is of no use.")
    if not g_h.any() or not g_other.any():
        raise Feedback("no gradient reaches the model through h: it would never learn.")
    compare(
        torch.cat([g_h, g_other]),
        torch.cat(wanted[:2]),
        "the gradient by h and h_other (only the predicting side may get one)",
    )
    compare(g_p, wanted[2], "the gradient by the predictor")


def _one_number(loss):
    if loss is None:
        raise Feedback("got None. Is there a `return`?")
    if not isinstance(loss, torch.Tensor):
        raise Feedback(
            f"expected a tensor of one number, through which gradients flow, got {kind(loss)}."
        )
    if loss.ndim:
        raise Feedback(
            "expected the mean over the batch and both directions: one number, got a "
            f"tensor of shape {tuple(loss.shape)}."
        )


# 06.9 which perturbation for which question

ALLOWED = {
    "what colour is the shape?": {"shift", "noise", "mirror"},
    "what shape is it?": {"shift", "noise", "mirror", "mix colours"},
    "is the circle left of the square?": {"shift", "noise", "mix colours"},
    "how many shapes are there?": {"shift", "noise", "mirror", "mix colours"},
}
_CHANGES = {"shift", "noise", "mirror", "mix colours", "cut off half"}
_WHY = {
    "mirror": "the mirror image has another answer",
    "mix colours": "the answer itself is changed",
    "cut off half": "the half that is cut off may hold what is asked for",
}


def _test_allowed(answer):
    if not isinstance(answer, dict):
        raise Feedback(
            f"expected a dictionary from each question to a set of names, got {kind(answer)}."
        )
    extra = [repr(key) for key in answer if key not in ALLOWED]
    if extra:
        raise Feedback(
            f"{', '.join(extra)} is none of the four questions as the exercise spells them."
        )
    missing = [repr(question) for question in ALLOWED if question not in answer]
    if missing:
        raise Feedback(f"{', '.join(missing)}: no entry for that.")
    for question, want in ALLOWED.items():
        got = answer[question]
        if not isinstance(got, (set, frozenset, list, tuple)):
            raise Feedback(f"{question!r}: expected a set of names, got {kind(got)}.")
        got = [name.strip().lower() if isinstance(name, str) else name for name in got]
        for name in got:
            if name not in sorted(_CHANGES):
                raise Feedback(f"{question!r}: {name!r} is none of {sorted(_CHANGES)}.")
        for name in sorted(set(got) - want):
            raise Feedback(f"{question!r} with {name!r}: {_WHY[name]}.")
        if want - set(got):
            raise Feedback(
                f"{question!r}: {len(want - set(got))} more would leave the answer as it is."
            )


_ALL = dict.fromkeys(ALLOWED, _CHANGES)
_SAFE = {question: {"shift", "noise"} for question in ALLOWED}
_MIRROR = ALLOWED | {"is the circle left of the square?": {"shift", "noise", "mirror"}}
_COLOUR = ALLOWED | {"what colour is the shape?": {"shift", "noise", "mix colours"}}


EXERCISES = {
    "06.1": Exercise(
        "L_vs",
        5,
        1,
        consistency,
        _test_l_vs,
        (
            "Begin with the difference of the two, entry by entry. What squares a tensor?",
            "Two steps are left: the squares of one row become one number, over dim=-1; then the "
            "rows become one. The first is not the second.",
        ),
        mistakes=(
            (_mean_over_all, "The squares of a row are summed over dim, not averaged."),
            (
                _sum_over_all,
                "That is the sum over the pairs too; the mean over pairs is asked for.",
            ),
            (
                _over_the_batch,
                "With three dimensions there are questions x pictures pairs, not only len(h).",
            ),
            (_rooted, "That is the distance; L_vs is its square."),
            (_square_of_sum, "First the square of each entry, then the sum."),
            (_summed_over_rows, "The sum goes over the last dimension, the mean over the others."),
            (_absolute, "Those are absolute differences, not squares."),
            (_not_averaged, ""),
            (_one_side, ""),
            (_other_side, ""),
            (_l_vs_detached, ""),
        ),
    ),
    "06.3": Exercise(
        "The gradient of L_vs",
        10,
        1,
        _gradient,
        _test_gradient,
        (
            "Write d_i = v_i - v'_i. The loss is the mean of ||B d_i||^2. What is the gradient of "
            "||B d||^2 with respect to B, for one d?",
            "For one d it is 2 B d d^T, of the shape of B. Which product of the matrix "
            "`v - v_other` with itself adds up the d d^T of its rows?",
        ),
        mistakes=(
            (_without_two, "A factor of 2 comes from the square."),
            (_summed, "That is the sum over the batch, not the mean."),
            (_of_pictures, "The difference comes first, then the square."),
            (_wrong_sign, "That is the direction of a step, minus the gradient."),
            (
                _expectation,
                "That is the expectation, for independent noise of one variance. On a "
                "batch the products of different entries count too: d d^T.",
            ),
            (
                _diagonal_only,
                "Only the diagonal of d d^T is there; on a batch its other entries count too.",
            ),
            (_of_the_mean, "First the square of each row, then the mean."),
            (
                _centred_first,
                "Nothing is centred: the loss has the difference itself, not its "
                "distance from the mean.",
            ),
        ),
    ),
    "06.2": Exercise(
        "Predict the picture's share",
        3,
        1,
        5.0,
        prediction(0, 100, "%", below_1=True),
        (
            "Any number from 0 to 100 is an answer; 0.5 means half a per cent.",
            "The range before training is printed just above. Does this loss ask for the picture?",
        ),
    ),
    "06.4": Exercise(
        "The picture's share of the variance",
        10,
        2,
        _share,
        _test_share,
        (
            "Dimension 1 of h holds the pictures. The numerator is the variance over pictures, "
            "averaged over the questions, the denominator the variance over all rows.",
            "h.var(1, correction=0) is (questions, dim): average over questions, sum over dim. For "
            "the denominator make one long batch of h first (`flatten`).",
        ),
        mistakes=(
            (_words_share, "That is the words' share, Var E(h | x)."),
            (_over_questions, "That is the variance over questions: dimension 0 holds them."),
            (_of_stds, "Standard deviations don't add up, variances do."),
            (_unbiased, "With n - 1 the parts don't add up to the whole: use correction=0."),
            (_mean_of_ratios, "Sum over dim first, then divide: tiny dimensions count little."),
            (
                _main_effect,
                "That averages over the questions first, and loses what the picture "
                "does differently at each question.",
            ),
            (
                _pooled_total,
                "h.var() over everything also counts how the means of the entries "
                "differ: take the variance over rows, for each entry.",
            ),
            (_within_over_words, "The denominator is the whole variance, not the words' part."),
            (_sum_over_questions, "Average over the questions, don't sum."),
            (_per_cent, "A share from 0 to 1 is asked for, not per cent."),
        ),
    ),
    "06.5": Exercise(
        "Find the blind spot",
        10,
        2,
        _fool,
        _test_fool,
        (
            "Which h does a model give that has read the words very well, and never looked?",
            "Random vectors have a high rank. Who may have a vector of their own: the questions, "
            "the pictures, or each pair? `expand` repeats a dimension of size 1.",
        ),
        mistakes=(
            (_constant, ""),
            (_random, ""),
            (_only_pictures, ""),
            (_line, ""),
            (_small, ""),
            (_turned_down, "The picture is small here, but it is there."),
        ),
    ),
    "06.6": Exercise(
        "The variance hinge, given the words",
        15,
        2,
        lambda h, group: variance_hinge(h, group),
        _test_hinge,
        (
            "Subtract from each row the mean of its own group. `same = (group[:, None] == "
            "group).float()` has a row for each row of h: `same @ h / same.sum(1, keepdim=True)` "
            "are the means. Then go on as without groups.",
            "Then follow the text: squares, sum over rows, division, 1e-4, root. That gives one s "
            "for each entry; the hinge is F.relu of something, and the mean comes last.",
        ),
        mistakes=(
            (_mixed_hinge, "That is the variance over the whole batch: the words satisfy it."),
            (
                _divides_by_rows,
                "Each group's mean costs one degree of freedom: divide by len(h) - groups.",
            ),
            (
                _only_means,
                "That is the variance of the groups' means: the words' part, not the picture's.",
            ),
            (_hinge_of_each, "That is one hinge for each group. Here the groups are pooled first."),
            (_hinge_upside_down, "The hinge is upside down: it punishes spread above 1."),
            (_one_degree, "Each group costs one degree of freedom, not the batch as a whole."),
            (_no_root, "The root is missing: s is a standard deviation."),
            (_hinge_of_mean, "First the hinge of each entry, then the mean."),
            (_hinge_summed, "That is the sum over dim; the mean is asked for."),
            (_by_runs, "Rows of one group need not stand side by side."),
            (_detached, ""),
            (
                _mean_of_variances,
                "That takes the variance of each group on its own, and a single row has none: add "
                "up the squares of all groups, and divide once.",
            ),
            (_without_epsilon, "The 1e-4 under the root is missing."),
        ),
    ),
    "06.7": Exercise(
        "Exchange the pictures",
        10,
        2,
        _ratio,
        _test_exchange,
        (
            "The denominator is L_vs as you know it, of ask(images) and ask(disturbed). For the "
            "numerator, what should stand in the place of `disturbed`?",
            "`images` (pictures, 3, height, width) in another order: each one moved by one place "
            "along dimension 0, and what falls off comes in at the other end: `torch.roll`.",
        ),
        mistakes=(
            (_upside_down, "The ratio is upside down."),
            (_not_divided, "It is not yet divided by L_vs of the disturbed pictures."),
            (_questions_exchanged, "That exchanges the questions: dimension 0 of h holds them."),
            (_entries_exchanged, "That moves the entries of h, not the pictures."),
            (_disturbed_exchanged, "The exchanged pictures are the clean ones, not the disturbed."),
            (
                _turned_round,
                "In the opposite order a picture in the middle keeps its place: move each by one.",
            ),
            (_left_and_right, "That moves the columns of pixels: the pictures are dimension 0."),
            (_one_dropped, "The last picture takes the first place: no pair is left out."),
            (_ratio_of_roots, "L_vs is a squared distance: no root."),
        ),
    ),
    "06.8": Exercise(
        "Which number is missing?",
        5,
        1,
        "own",
        choice(
            "own",
            {
                "parameters": "All runs have the same network.",
                "chance": "Blind guessing stands in the first row of the table.",
                "seeds": "They would show how widely the runs differ, which the table tells "
                "already. They would not show why. Something else comes first.",
            },
        ),
        (
            "A run that failed and a run that was not finished look alike in this table.",
            "On which questions must a network that has been trained to the end be nearly perfect?",
        ),
    ),
    "06.10": Exercise(
        "Repair a loss that is not SimSiam",
        10,
        3,
        simsiam,
        _test_simsiam,
        (
            "Which of the two sides should learn from the comparison: the guess, or what is "
            "guessed?",
            "The side that is compared with a guess is a constant: that is where `.detach()` "
            "belongs. There are two guesses, and so two targets. Mind the sign.",
        ),
        mistakes=(
            (_no_stop, "Both sides still learn: the target moves towards the guess."),
            (_stops_the_predictor, "The guess is detached, not the target: the wrong side."),
            (_stops_the_input, "h is detached before the predictor: only the predictor learns."),
            (_without_predictor, "The predictor isn't used."),
            (_one_way, "Both directions count, half each."),
            (_plus, "The sign is wrong: agreement must make the loss smaller."),
            (_predicts_the_guess, "The target is h_other itself, without the predictor."),
            (_guesses_itself, "Each view guesses itself: it should guess the other one."),
            (_not_halved, "The two directions are averaged, not added."),
            (_stops_one, "Only one of the two directions stops the gradient."),
            (_by_columns, "The cosine is taken of each row: dim=-1."),
            (_copies_the_predictor, "The predictor itself must be called, not a copy of it."),
        ),
    ),
    "06.9": Exercise(
        "Design v'",
        10,
        1,
        ALLOWED,
        _test_allowed,
        (
            "For each pair ask: could the right answer to this question be another one after the "
            "change?",
            "Look for one picture for which the change spoils the answer. Where you find none, the "
            "change belongs in the set.",
        ),
        mistakes=((_ALL, ""), (_SAFE, ""), (_MIRROR, ""), (_COLOUR, "")),
    ),
}

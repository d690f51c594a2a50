"""Lesson 05: the joint representation h = Transformer(x, v)."""

import math

import numpy as np
import torch
from torch import nn

from course_utils.checks.feedback import (
    Exercise,
    Feedback,
    call,
    choice,
    compare,
    number,
    prediction,
)
from course_utils.models.joint import joint_mask

# 05.1 joint mask


def _test_joint_mask(function):
    mask = torch.tensor([[True, True, True, False], [True, False, False, False]])
    got = call(function, mask, 3)
    if isinstance(got, torch.Tensor) and got.ndim == 2 and got.shape == (2, 7):
        if got.dtype != torch.bool:
            raise Feedback(f"the joint mask: expected bool values, got {got.dtype}.")
        if torch.equal(got, torch.cat([joint_mask(mask, 3)[:, 4:], mask], 1)):
            raise Feedback("the joint mask: the patches come first. In h the words do.")
        if not got[:, 4:].any():
            raise Feedback("the joint mask: no patch may be attended to, so no picture is seen.")
    compare(got, joint_mask(mask, 3), "the joint mask for 4 words and 3 patches")
    compare(call(function, mask, 5), joint_mask(mask, 5), "the joint mask for 5 patches")


# 05.2 the forward pass


class _Embedding(nn.Module):
    """A sequence of words and patches: (batch, words + patches, dim)."""

    def __init__(self, dim: int):
        super().__init__()
        self.token, self.project = nn.Embedding(9, dim), nn.Linear(3, dim)

    def forward(self, x, v):
        return torch.cat([self.token(x), self.project(v)], 1)


class _Layer(nn.Module):
    """Adds to each position something of itself and of the mean over what may be read."""

    def __init__(self, dim: int):
        super().__init__()
        self.own, self.others = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, h, mask):
        if not isinstance(mask, torch.Tensor) or mask.shape != h.shape[:2]:
            shape = tuple(mask.shape) if isinstance(mask, torch.Tensor) else mask
            raise Feedback(
                f"a layer got h with {h.shape[1]} positions and a mask of shape {shape}. Which "
                "mask has an entry for each word and each patch?"
            )
        if mask.dtype != torch.bool:
            raise Feedback(f"a layer got a mask of {mask.dtype}, expected bool.")
        weights = mask[..., None].to(h) / mask.sum(1)[:, None, None]  # (batch, positions, 1)
        mean = (h * weights).sum(1, keepdim=True)  # (batch, 1, dim)
        return h + torch.tanh(self.own(h) + self.others(mean))


def _forward(x, v, mask, embedding, layers, norm):
    h, both = embedding(x, v), joint_mask(mask, v.shape[1])
    for layer in layers:
        h = layer(h, both)
    return norm(h)


def _without_norm(x, v, mask, embedding, layers, norm):
    return _forward(x, v, mask, embedding, layers, nn.Identity())


def _norm_each(x, v, mask, embedding, layers, norm):
    h, both = embedding(x, v), joint_mask(mask, v.shape[1])
    for layer in layers:
        h = norm(layer(h, both))
    return h


def _norm_first(x, v, mask, embedding, layers, norm):
    return _forward(x, v, mask, lambda *both: norm(embedding(*both)), layers, nn.Identity())


def _not_chained(x, v, mask, embedding, layers, norm):
    return norm(layers[-1](embedding(x, v), joint_mask(mask, v.shape[1])))


def _first_only(x, v, mask, embedding, layers, norm):
    return norm(layers[0](embedding(x, v), joint_mask(mask, v.shape[1])))


def _twice_added(x, v, mask, embedding, layers, norm):
    h, both = embedding(x, v), joint_mask(mask, v.shape[1])
    for layer in layers:
        h = h + layer(h, both)
    return norm(h)


def _padding_read(x, v, mask, embedding, layers, norm):
    return _forward(x, v, torch.ones_like(mask), embedding, layers, norm)


def _backwards(x, v, mask, embedding, layers, norm):
    return _forward(x, v, mask, embedding, layers[::-1], norm)


def _words_alone(x, v, mask, embedding, layers, norm):
    return _forward(x, v, mask, embedding, layers, norm)[:, : x.shape[1]]


def _test_forward(function):
    for dim, depth, lengths, patches in ((4, 3, (3, 1), 2), (6, 2, (2, 4, 3), 5), (4, 1, (2,), 1)):
        with torch.random.fork_rng():
            torch.manual_seed(dim + depth)
            embedding, norm = _Embedding(dim), nn.LayerNorm(dim)
            layers = nn.ModuleList(_Layer(dim) for _ in range(depth))
            nn.init.normal_(norm.weight)
            x = torch.randint(9, (len(lengths), max(lengths)))
            v = torch.randn(len(lengths), patches, 3)
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        with torch.no_grad():
            got = call(function, x, v, mask, embedding, layers, norm)
            want = _forward(x, v, mask, embedding, layers, norm)
        what = f"h with {depth} layer{'s' if depth > 1 else ''}"
        compare(got, want, f"{what} for {len(lengths)} texts and {patches} patches")


# 05.4 cross-attention


def _cross_attention(h, context, w_q, w_k, w_v):
    q, k, v = h @ w_q, context @ w_k, context @ w_v
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1) @ v


def _self_attention(h, context, w_q, w_k, w_v):
    return _cross_attention(h, h, w_q, w_k, w_v)


def _patches_ask(h, context, w_q, w_k, w_v):
    return _cross_attention(context, h, w_q, w_k, w_v)


def _no_scale(h, context, w_q, w_k, w_v):
    return (h @ w_q @ (context @ w_k).transpose(-2, -1)).softmax(-1) @ (context @ w_v)


def _softmax_over_words(h, context, w_q, w_k, w_v):
    q, k, v = h @ w_q, context @ w_k, context @ w_v
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-2) @ v


def _scale_by_patches(h, context, w_q, w_k, w_v):
    q, k, v = h @ w_q, context @ w_k, context @ w_v
    return (q @ k.transpose(-2, -1) / math.sqrt(k.shape[-2])).softmax(-1) @ v


def _transposed(h, context, w_q, w_k, w_v):
    return _cross_attention(h, context, w_q.T, w_k.T, w_v.T)


def _with_residual(h, context, w_q, w_k, w_v):
    return h + _cross_attention(h, context, w_q, w_k, w_v)


def _without_softmax(h, context, w_q, w_k, w_v):
    q, k, v = h @ w_q, context @ w_k, context @ w_v
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]) @ v


def _test_cross(function):
    generator = torch.Generator().manual_seed(5)
    h = torch.randn(2, 3, 8, generator=generator)  # (batch, words, dim)
    context = torch.randn(2, 5, 8, generator=generator)  # (batch, patches, dim)
    w_q, w_k, w_v = torch.randn(3, 8, 8, generator=generator) / 2
    got = call(function, h, context, w_q, w_k, w_v)
    if isinstance(got, torch.Tensor) and got.shape == (2, 5, 8):
        raise Feedback(
            "there is one vector for each patch. Queries come from h: one for each word."
        )
    compare(got, _cross_attention(h, context, w_q, w_k, w_v), "the words' update")
    one = context[:, :1]  # with one patch, its value is what every word gets
    got = call(function, h, one, w_q, w_k, w_v)
    compare(got, (one @ w_v).expand(2, 3, 8), "the words' update from a single patch")
    w_q, w_k, w_v = torch.randn(3, 6, 6, generator=generator) / 2
    got = call(function, h[:1, :, :6], context[:1, :, :6], w_q, w_k, w_v)
    want = _cross_attention(h[:1, :, :6], context[:1, :, :6], w_q, w_k, w_v)
    compare(got, want, "the words' update for one text of width 6")


# 05.5 which fusion for retrieval

FUSIONS = ("early", "late", "cross")


def _test_choice(value):
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise Feedback("expected a pair: the name of a fusion and a number of passes.")
    name, passes = value
    name = name.strip().lower() if isinstance(name, str) else name
    if not isinstance(name, str) or name not in FUSIONS:
        raise Feedback(f"the fusion: expected one of {', '.join(FUSIONS)}, got {name!r}.")
    if name != "late":
        raise Feedback(
            f"with {name} fusion the state of a word depends on the picture from the first layer "
            "on, so each of the million pictures needs a pass of its own for each new text."
        )
    passes = number(passes)
    if isinstance(passes, (bool, np.bool_)) or not isinstance(passes, (int, float, np.number)):
        raise Feedback(f"the passes: expected a whole number, got {passes!r}.")
    if passes > 1:
        raise Feedback(
            f"{passes:,} passes are too many: the pictures' vectors don't depend on the text, so "
            "they are stored already."
        )
    compare(passes, 1, "the number of passes")


# 05.6 the pair test


def _pair_test(predictions, answers):
    given, true = predictions.view(-1, 2), answers.view(-1, 2)
    both = (given == true).all(1).double().mean().item()
    return both, (given[:, 0] == given[:, 1]).double().mean().item()


def _accuracy(p, a):
    return (p == a).double().mean().item(), _pair_test(p, a)[1]


def _any_right(p, a):
    right = (p == a).view(-1, 2)
    return right.any(1).double().mean().item(), _pair_test(p, a)[1]


def _halves(p, a):
    given, true = p.view(2, -1), a.view(2, -1)
    both = (given == true).all(0).double().mean().item()
    return both, (given[0] == given[1]).double().mean().item()


def _sliding(p, a):
    right, same = p == a, p[1:] == p[:-1]
    return (right[1:] & right[:-1]).double().mean().item(), same.double().mean().item()


def _counts(p, a):
    both, same = _pair_test(p, a)
    return both * (len(p) // 2), same * (len(p) // 2)


def _per_cent(p, a):
    both, same = _pair_test(p, a)
    return 100 * both, 100 * same


def _over_questions(p, a):
    both, same = _pair_test(p, a)
    return both / 2, same / 2


def _swapped_shares(p, a):
    return _pair_test(p, a)[::-1]


def _same_and_wrong(p, a):
    given, true = p.view(-1, 2), a.view(-1, 2)
    same = (given[:, 0] == given[:, 1]) & (given != true).all(1)
    return _pair_test(p, a)[0], same.double().mean().item()


def _test_pairs(function):
    cases = (  # of predictions and answers; on the first the known mistakes differ
        ([3, 4, 5, 5, 2, 6, 7, 7, 4, 3, 8, 9, 1, 1], [3, 4, 5, 6, 2, 4, 9, 8, 3, 4, 8, 9, 1, 2]),
        ([2, 2], [2, 5]),
        ([5, 2, 4, 4, 6, 3], [5, 2, 4, 3, 6, 3]),
        ([1, 1, 1, 2], [1, 2, 3, 4]),
    )
    for predictions, answers in cases:
        p, a = torch.tensor(predictions), torch.tensor(answers)
        got, want = call(function, p, a), _pair_test(p, a)
        if isinstance(got, torch.Tensor) and got.shape == (2,):
            got = tuple(got)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise Feedback(f"expected two shares, got {got!r}.")
        of = f"for the predictions {predictions} and the answers {answers}"
        for name, one, other in zip(("both right", "the same answer"), got, want):
            one = number(one)
            one = float(one) if isinstance(one, int) and not isinstance(one, bool) else one
            compare(one, other, f"the share of pairs with {name}, {of}")


# 05.8 pointing


def _pointing(weights, target):
    return target.gather(1, weights.argmax(-1)).double().mean(0)


def _mass(weights, target):
    return (weights * target[:, None]).sum(-1).double().mean(0)


def _share_of_mass(weights, target):
    return ((weights * target[:, None]).sum(-1) / weights.sum(-1)).double().mean(0)


def _of_pictures(weights, target):
    return target.gather(1, weights.argmax(-1)).double().mean(1)


def _over_all(weights, target):
    return target.gather(1, weights.argmax(-1)).double().mean()


def _number_of_hits(weights, target):
    return target.gather(1, weights.argmax(-1)).sum(0).double()


def _smallest(weights, target):
    return _pointing(-weights, target)


def _outside(weights, target):
    return 1 - _pointing(weights, target)


def _by_mean_weights(weights, target):
    return target[:, weights.mean(0).argmax(-1)].double().mean(0)


def _one_head_for_all(weights, target):
    first = weights.mean(1).argmax(-1, keepdim=True)
    return target.gather(1, first).double().mean().expand(weights.shape[1])


def _test_pointing(function):
    generator = torch.Generator().manual_seed(8)
    for n, heads, patches in ((7, 3, 5), (4, 6, 9), (1, 2, 4)):
        weights = torch.rand(n, heads, patches, generator=generator)
        weights[..., 0] += 0.5 * torch.rand(n, heads, generator=generator)
        weights = weights / weights.sum(-1, keepdim=True)  # (n, heads, patches)
        weights[:, 0] /= 2  # this head reads words as well
        target = torch.rand(n, patches, generator=generator) < 0.4  # (n, patches)
        got = call(function, weights, target)
        what = f"the share of each of {heads} heads in {n} picture{'s' if n > 1 else ''}"
        want = _pointing(weights, target)
        if isinstance(got, (list, tuple)):
            got = torch.tensor([float(number(one)) for one in got])
        compare(got.double() if isinstance(got, torch.Tensor) else got, want, what)


EXERCISES = {
    "05.1": Exercise(
        "The joint mask",
        5,
        1,
        joint_mask,
        _test_joint_mask,
        (
            "Two parts, side by side: what is known about the words, and one True for each patch.",
            "A tensor of True of shape (batch, patches) goes behind the words' mask. Which "
            "dimension do you join along? `mask.new_ones(...)` keeps type and device.",
        ),
        mistakes=(
            (lambda m, p: torch.cat([m.new_ones(len(m), p), m], 1), ""),
            (lambda m, p: torch.cat([m, m.new_zeros(len(m), p)], 1), ""),
            (lambda m, p: torch.cat([m.float(), torch.ones(len(m), p)], 1), ""),
            (lambda m, p: m, "The patches are positions too: they need entries of their own."),
            (
                lambda m, p: torch.cat([~m, m.new_ones(len(m), p)], 1),
                "The words' part is inverted.",
            ),
            (
                lambda m, p: torch.ones(len(m), m.shape[1] + p, dtype=torch.bool),
                "The padding may be attended to: where did the words' mask go?",
            ),
        ),
    ),
    "05.2": Exercise(
        "The forward pass",
        8,
        2,
        _forward,
        _test_forward,
        (
            "Follow the drawing: embedding, mask, the layers one after the other, norm.",
            "v.shape[1] patches came in: that is what joint_mask needs. In a loop over the layers, "
            "each gets the h of the one before and the joint mask.",
        ),
        mistakes=(
            (_without_norm, "The last normalisation is missing."),
            (_norm_each, "norm comes once, after the last layer, not after each."),
            (_norm_first, "norm comes at the end, not before the layers."),
            (_not_chained, "Only the last layer's work is there: each reads the h before it."),
            (_first_only, "Only the first layer's work is there: each h goes into the next one."),
            (_twice_added, "A layer adds what came in by itself: don't add h once more."),
            (_padding_read, "The padding is read: where did the words' mask go?"),
            (_backwards, "The layers stand in the opposite order."),
            (_words_alone, "h has a position for each patch, too."),
            (lambda x, v, mask, e, layers, n: n(layers[0](e(x, v), mask)), ""),
        ),
    ),
    "05.3": Exercise(
        "Features and places in a new order",
        3,
        1,
        "patches",
        choice(
            "patches",
            {
                "all": "Each feature still meets its own place vector, so [CLS] reads the same set "
                "of vectors.",
                "nothing": "[CLS] reads the same set of vectors, but what stood at one of the "
                "patches' positions stands at another one now.",
            },
        ),
        (
            "After the sum of feature and place, what has happened to the patches' rows of the "
            "sequence?",
            "The same rows as before, in another order: that is a P of the derivation, and the "
            "words stay where they are.",
        ),
        mistakes=(("all", ""), ("nothing", ""), ("words", "")),
    ),
    "05.4": Exercise(
        "Cross-attention",
        12,
        2,
        _cross_attention,
        _test_cross,
        (
            "Words ask, patches answer: queries come from h, keys and values from the context.",
            "The scores have shape (batch, words, patches). What are they divided by, and over "
            "which dimension do the weights add up to 1?",
        ),
        mistakes=(
            (_self_attention, "It looks as if the words attended to themselves."),
            (_patches_ask, ""),
            (_no_scale, "The division by sqrt(dim) is missing."),
            (_transposed, "The matrices are multiplied from the right: h @ w_q, not h @ w_q.T."),
            (_with_residual, "Only what is read is asked for: h itself is not added here."),
            (_without_softmax, "The softmax over the patches is missing."),
            (_softmax_over_words, "The weights of one word over the patches must add up to 1."),
            (_scale_by_patches, "Divide by the root of the width of q, not of the number of keys."),
        ),
    ),
    "05.5": Exercise(
        "Which fusion for retrieval",
        4,
        1,
        ("late", 1),
        _test_choice,
        (
            "Which of the three can say something about a picture before it knows the text?",
            "What can be stored needs no pass any more. Count the passes that are left for a new "
            "text.",
        ),
        mistakes=(
            (("early", 1_000_000), ""),
            (("cross", 1_000_000), ""),
            (("late", 1_000_001), ""),
            (("late", 0), "The new text itself has to be read."),
        ),
    ),
    "05.6": Exercise(
        "The pair test",
        8,
        2,
        _pair_test,
        _test_pairs,
        (
            "Bring both tensors into the shape (pairs, 2), one row a pair.",
            "A pair counts for the first share if its row of `predictions == answers` is True "
            "throughout; for the second compare the two columns of the predictions alone.",
        ),
        mistakes=(
            (_accuracy, "The first share counts right questions: a pair needs both."),
            (_any_right, "The first share counts pairs with one right answer: a pair needs both."),
            (_halves, "Question 0 makes a pair with 1, not with one of the second half."),
            (_sliding, "Questions 1 and 2 are no pair: each question belongs to one pair only."),
            (_counts, "These are numbers of pairs: divide by how many there are."),
            (_per_cent, "Shares between 0 and 1 are asked for, not per cent."),
            (_over_questions, "Divide by the number of pairs, not of questions."),
            (_swapped_shares, "The two shares stand in the other order."),
            (
                _same_and_wrong,
                "The same answer twice is counted only where both are wrong: one may be right.",
            ),
        ),
    ),
    "05.7": Exercise(
        "Predict the accuracy with patches in disorder",
        3,
        1,
        70.0,
        prediction(0, 100, "%"),
        ("Any number from 0 to 100 is an answer.", "A coin is right in 50 % of yes/no questions."),
    ),
    "05.8": Exercise(
        "Pointing at the object",
        8,
        2,
        _pointing,
        _test_pointing,
        (
            "First find, for each picture and head, the patch with the largest weight: (n, heads).",
            "Look that patch up in the row of `target` of the same picture, for instance with "
            "`gather`. Over which dimension do you take the mean?",
        ),
        mistakes=(
            (_mass, "That is the mean weight on the object. Only where the largest lies counts."),
            (_share_of_mass, "That is the object's share of the weight, not where the largest is."),
            (_of_pictures, "That is one number a picture: take the mean over the pictures."),
            (_over_all, "That is one number for all heads: keep the heads apart."),
            (_number_of_hits, "That is the number of pictures: a share is asked for."),
            (_smallest, "That is where the smallest weight lies."),
            (_outside, "That is the share of pictures in which the head does not point at it."),
            (_by_mean_weights, "Each picture has a largest weight of its own: argmax comes first."),
            (_one_head_for_all, "The heads have been averaged before argmax: keep them apart."),
        ),
    ),
}

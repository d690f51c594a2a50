"""Lesson 02: attention and the Transformer."""

import math
import re
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.checks.feedback import (
    Exercise,
    Feedback,
    call,
    compare,
    number,
    prediction,
    value,
)

# 02.1 attention by hand: exp of the scores is 1, 4, 3, the weights 1/8, 4/8, 3/8

BY_HAND = 9.0  # 40 / 8 + 8 * 4 / 8 + 0 * 3 / 8
_POWERS, _VALUES = torch.tensor([1.0, 4.0, 3.0]), torch.tensor([40.0, 8.0, 0.0])  # (3,) each
_SCORES = _POWERS.log()  # (3,)
_BY_HAND_MISTAKES = (
    (72.0, "The weights don't add up to 1: divide by the sum of the three exp."),
    (16.0, "That is the plain mean: it doesn't use the scores."),
    (8.0, "That is the value with the largest score. The others have a weight too."),
    (
        float(_SCORES @ _VALUES / _SCORES.sum()),
        "You divided the scores by their sum. Take exp of each score first.",
    ),
    (
        float(_SCORES @ _VALUES),
        "You used the scores as weights. A softmax makes weights of scores.",
    ),
    (
        float(_POWERS.log10().softmax(0) @ _VALUES),
        "You took logarithms to base 10. Here log is the natural logarithm.",
    ),
)


def _test_by_hand(answer):
    answer = number(answer)
    for wrong, reason in _BY_HAND_MISTAKES:  # on paper, two digits are enough to know it by
        if isinstance(answer, (int, float)) and abs(answer - wrong) < 0.06:
            raise Feedback(f"the output: got {answer:.4g}. {reason}")
    value(BY_HAND, "the output", atol=1e-3)(answer)


# 02.2 attention


def _attention(q, k, v):
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1) @ v


def _attention_by(scale, axis=-1):
    def attention(q, k, v):
        return (q @ k.transpose(-2, -1) * scale(q, k)).softmax(axis) @ v

    return attention


def _weights_only(q, k, v):
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1)


def _no_softmax(q, k, v):
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]) @ v


def _all_axes_turned(q, k, v):
    turned = k.permute(*reversed(range(k.ndim)))
    return (q @ turned / math.sqrt(q.shape[-1])).softmax(-1) @ v


def _root(q, k):
    return 1 / math.sqrt(q.shape[-1])


_undivided = _attention_by(lambda q, k: 1.0)
_by_width = _attention_by(lambda q, k: 1 / q.shape[-1])
_multiplied = _attention_by(lambda q, k: math.sqrt(q.shape[-1]))
_by_keys = _attention_by(lambda q, k: 1 / math.sqrt(k.shape[-2]))
_over_queries = _attention_by(_root, axis=-2)


def _test_attention(function):
    generator = torch.Generator().manual_seed(2)
    for batch, queries, keys, dim in (((), 5, 3, 2), ((), 3, 5, 4), ((2, 3), 4, 6, 8)):
        q = torch.randn(*batch, queries, dim, generator=generator)  # (..., queries, dim)
        k = torch.randn(*batch, keys, dim, generator=generator)  # (..., keys, dim)
        v = torch.randn(*batch, keys, 5, generator=generator)  # (..., keys, 5)
        got = call(function, q, k, v)
        compare(got, _attention(q, k, v), f"the output for q of shape {tuple(q.shape)}")


# 02.3 two masks


def _two_masks(lengths, words):
    places = torch.arange(words)  # (words,)
    return places < lengths[:, None], places <= places[:, None]


def _masks_by(padding, causal):
    def masks(lengths, words):
        places = torch.arange(words)  # (words,)
        return padding(places, lengths[:, None]), causal(places, places[:, None])

    return masks


def _before(j, i):
    return j <= i


def _inside(j, length):
    return j < length


_padding_hidden = _masks_by(lambda j, length: j >= length, _before)
_one_too_many = _masks_by(lambda j, length: j <= length, _before)
_future = _masks_by(_inside, lambda j, i: j >= i)
_hides_all = _masks_by(lambda j, length: j >= length, lambda j, i: j > i)
_not_itself = _masks_by(_inside, lambda j, i: j < i)


def _exchanged(lengths, words):
    return _two_masks(lengths, words)[::-1]


def _test_two_masks(function):
    for lengths, words in (([2, 4, 1], 4), ([3, 1], 5), ([1], 1)):
        got = call(function, torch.tensor(lengths), words)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise Feedback("expected two masks: the padding mask, then the causal mask.")
        want = _two_masks(torch.tensor(lengths), words)
        case = f"for lengths {lengths} and {words} words"
        compare(got[0], want[0], f"the padding mask {case}")
        compare(got[1], want[1], f"the causal mask {case}")


# 02.4 weights under a mask


def _masked_weights(q, k, mask):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (..., queries, keys)
    return scores.masked_fill(~mask, -torch.inf).softmax(-1)  # (..., queries, keys)


def _broken_weights(q, k, mask):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return scores.softmax(-1).masked_fill(mask, 0.0)


def _only_turned(q, k, mask):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return scores.softmax(-1).masked_fill(~mask, 0.0)


def _only_moved(q, k, mask):
    return _masked_weights(q, k, ~mask)


def _score_zero(q, k, mask):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~mask, 0.0).softmax(-1)


def _score_minus_ten(q, k, mask):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~mask, -10.0).softmax(-1)


def _root_forgotten(q, k, mask):
    return _masked_weights(q * math.sqrt(q.shape[-1]), k, mask)


def _test_masked(function):
    generator = torch.Generator().manual_seed(4)
    for shape, mask in (
        ((4, 2), torch.tensor([[True, False, True, True]])),
        ((2, 3, 5, 4), torch.ones(5, 5, dtype=torch.bool).tril()),
        ((2, 3, 3, 4), torch.arange(3) < torch.tensor([1, 3])[:, None, None, None]),
    ):
        q, k = (torch.randn(shape, generator=generator) for _ in "qk")  # (..., words, dim) each
        got, want = call(function, q, k, mask), _masked_weights(q, k, mask)
        compare(got, want, f"the weights for q of shape {shape}")


# 02.5 sentences that are one without positions

SAME_WORDS = {"A", "C"}


def _letters(answer):
    """{"A", "C"} of a set, a list, or a text such as "A and C" or "AC"."""
    several = isinstance(answer, (set, frozenset, list, tuple, np.ndarray))
    text = " ".join(map(str, answer)) if several else answer
    if not isinstance(text, str):
        raise Feedback('expected letters, such as {"B"} or {"A", "B"}.')
    words = set(re.findall(r"\w+", text.upper())) - {"AND"}
    found = set("".join(words))  # "AC" is A and C
    if not found or not found <= set("ABC"):
        raise Feedback(f"expected letters from A, B and C, got {answer!r}.")
    return found


def _test_same_words(answer):
    found = _letters(answer)
    if "B" in found:
        raise Feedback("B has a word that the first sentence hasn't: right. Its vector is another.")
    for letter, wrong in (("A", "C"), ("C", "A")):
        if letter not in found:
            raise Feedback(
                f"{wrong} is one of them, and there is another. Count the words of each sentence "
                "and ignore their places."
            )


# 02.6 heads


def _split_heads(h, heads):
    return h.unflatten(-1, (heads, -1)).transpose(1, 2)


def _cut_in_reading_order(h, heads):
    batch, words, dim = h.shape
    return h.reshape(batch, heads, words, dim // heads)


def _not_turned(h, heads):
    return h.unflatten(-1, (heads, -1))


def _every_nth(h, heads):
    return h.unflatten(-1, (-1, heads)).permute(0, 3, 1, 2)


def _heads_first(h, heads):
    return _split_heads(h, heads).transpose(0, 1)


def _split_by_width(h, heads):
    return h.split(heads, -1)


def _stacked_by_width(h, heads):
    return torch.stack(h.split(heads, -1), 1)


def _test_split(function):
    generator = torch.Generator().manual_seed(6)
    for batch, words, dim, heads in ((2, 5, 12, 3), (1, 4, 8, 4), (3, 4, 6, 1)):
        h = torch.randn(batch, words, dim, generator=generator)  # (batch, words, dim)
        got, want = call(function, h, heads), _split_heads(h, heads)
        compare(got, want, f"{tuple(h.shape)} in {heads} heads")


_PIECES = (
    "Your pieces have `heads` entries each, as of split(heads, -1) or unflatten(-1, (-1, heads)). "
    "There should be `heads` pieces: chunk(heads, -1), or unflatten(-1, (heads, -1))."
)


# 02.7 the layer


def _attend(parts, h, mask, root_of=None, hide=True):
    q, k, v = (_split_heads(p(h), parts.heads) for p in (parts.query, parts.key, parts.value))
    scores = q @ k.transpose(-2, -1) / math.sqrt(root_of or q.shape[-1])
    if hide:
        scores = scores.masked_fill(~mask[:, None, None], -torch.inf)
    return parts.mix((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


def _mlp(parts, h, bend=F.gelu):
    return parts.narrow(bend(parts.widen(h)))


def _layer(parts, h, mask):
    h = parts.norm1(h + _attend(parts, h, mask))  # (batch, words, dim)
    return parts.norm2(h + _mlp(parts, h))  # (batch, words, dim)


def _no_residual(parts, h, mask):
    h = parts.norm1(_attend(parts, h, mask))
    return parts.norm2(_mlp(parts, h))


def _no_second_residual(parts, h, mask):
    h = parts.norm1(h + _attend(parts, h, mask))
    return parts.norm2(_mlp(parts, h))


def _no_first_residual(parts, h, mask):
    h = parts.norm1(_attend(parts, h, mask))
    return parts.norm2(h + _mlp(parts, h))


def _norm_first(parts, h, mask):
    h = h + _attend(parts, parts.norm1(h), mask)
    return h + _mlp(parts, parts.norm2(h))


def _mlp_of_the_input(parts, h, mask):
    mixed = parts.norm1(h + _attend(parts, h, mask))
    return parts.norm2(mixed + _mlp(parts, h))


def _mask_unused(parts, h, mask):
    h = parts.norm1(h + _attend(parts, h, mask, hide=False))
    return parts.norm2(h + _mlp(parts, h))


def _without_gelu(parts, h, mask):
    h = parts.norm1(h + _attend(parts, h, mask))
    return parts.norm2(h + _mlp(parts, h, bend=lambda hidden: hidden))


def _relu(parts, h, mask):
    h = parts.norm1(h + _attend(parts, h, mask))
    return parts.norm2(h + _mlp(parts, h, bend=F.relu))


def _root_of_all(parts, h, mask):
    h = parts.norm1(h + _attend(parts, h, mask, root_of=h.shape[-1]))
    return parts.norm2(h + _mlp(parts, h))


def _norms_exchanged(parts, h, mask):
    h = parts.norm2(h + _attend(parts, h, mask))
    return parts.norm1(h + _mlp(parts, h))


def _without_mix(parts, h, mask):
    unmixed = SimpleNamespace(**{**vars(parts), "mix": nn.Identity()})
    return _layer(unmixed, h, mask)


def _mask_across_heads(parts, h, mask):
    q, k, v = (_split_heads(p(h), parts.heads) for p in (parts.query, parts.key, parts.value))
    weights = _masked_weights(q, k, mask[:, None])  # an error where batch and heads differ
    h = parts.norm1(h + parts.mix((weights @ v).transpose(1, 2).flatten(2)))
    return parts.norm2(h + _mlp(parts, h))


def _second_sum_from_the_input(parts, h, mask):
    mixed = parts.norm1(h + _attend(parts, h, mask))
    return parts.norm2(h + _mlp(parts, mixed))


def _no_first_norm(parts, h, mask):
    h = h + _attend(parts, h, mask)
    return parts.norm2(h + _mlp(parts, h))


def _norm_of_the_output_only(parts, h, mask):
    h = h + parts.norm1(_attend(parts, h, mask))
    return h + parts.norm2(_mlp(parts, h))


def _layer_of(function, parts, h, mask):
    """What a layer returns; where it raises an error that a wider mask mends, says so."""
    try:
        return call(function, parts, h, mask)
    except RuntimeError as error:
        try:
            mended = function(parts, h.clone(), mask[:, None, None])
            compare(mended[mask], _layer(parts, h, mask)[mask], atol=1e-4)
        except Exception:  # the error has another reason
            raise error from None
    raise Feedback(
        "the mask doesn't fit the scores. It is (batch, words), they are (batch, heads, words, "
        "words): give mask[:, None, None] to masked_weights."
    )


def layer_parts(dim, heads, mlp_dim, seed=0):
    """The parts of a layer with random weights, norms too, under the names of the lesson."""
    sizes = {
        "query": (dim, dim), "key": (dim, dim), "value": (dim, dim), "mix": (dim, dim),
        "widen": (dim, mlp_dim), "narrow": (mlp_dim, dim),
    }  # fmt: skip
    modules: dict[str, nn.Module] = {name: nn.Linear(*size) for name, size in sizes.items()}
    modules |= {name: nn.LayerNorm(dim, eps=1e-12) for name in ("norm1", "norm2")}
    generator = torch.Generator().manual_seed(seed)
    for module in modules.values():
        for tensor in module.parameters():
            tensor.data.copy_(torch.randn(tensor.shape, generator=generator) * dim**-0.25)
    return SimpleNamespace(heads=heads, **modules)


def _test_layer(function):
    generator = torch.Generator().manual_seed(7)
    for batch, words, dim, heads in ((2, 5, 8, 2), (3, 4, 12, 4)):  # batch and heads: equal, not
        parts = layer_parts(dim, heads, 4 * dim, seed=dim)
        h = torch.randn(batch, words, dim, generator=generator)  # (batch, words, dim)
        lengths = torch.tensor([words, 2, 1])[:batch, None]  # (batch, 1)
        mask = torch.arange(words) < lengths  # (batch, words)
        with torch.no_grad():
            got, want = _layer_of(function, parts, h, mask), _layer(parts, h, mask)
        if isinstance(got, torch.Tensor) and got.shape == want.shape:
            got, want = got[mask], want[mask]  # (words that are there, dim): padding means nothing
        compare(got, want, f"the states of the words, for h of shape {tuple(h.shape)}", atol=1e-4)


# 02.8 parameters of a layer


def _layer_parameters(dim, mlp_dim):
    attention = 4 * (dim * dim + dim)
    mlp = dim * mlp_dim + mlp_dim + mlp_dim * dim + dim
    return attention + mlp + 2 * (dim + dim)


def _no_biases(dim, mlp_dim):
    return 4 * dim * dim + 2 * dim * mlp_dim + 4 * dim


def _matrices_only(dim, mlp_dim):
    return 4 * dim * dim + 2 * dim * mlp_dim


def _no_mix(dim, mlp_dim):
    return _layer_parameters(dim, mlp_dim) - dim * dim - dim


def _no_norms(dim, mlp_dim):
    return _layer_parameters(dim, mlp_dim) - 4 * dim


def _one_norm(dim, mlp_dim):
    return _layer_parameters(dim, mlp_dim) - 2 * dim


def _norm_of_one_number(dim, mlp_dim):
    return _layer_parameters(dim, mlp_dim) - 4 * dim + 4


def _test_parameters(function):
    cases = ((5, 3), (64, 128), (384, 1536))
    outcomes = [number(call(function, *case)) for case in cases]
    for got, (dim, mlp_dim) in zip(outcomes, cases):
        compare(got, _layer_parameters(dim, mlp_dim), f"dim = {dim}, mlp_dim = {mlp_dim}")


# 02.9 a count of sentences


def _test_count(answer):
    prediction(0, 24, "sentences")(answer)
    if not float(answer).is_integer():
        raise Feedback(f"expected a whole number of sentences from 0 to 24, got {answer}.")


_test_count.noted = True  # a prediction can't be right before it's measured


EXERCISES = {
    "02.1": Exercise(
        "Attention by hand",
        6,
        1,
        BY_HAND,
        _test_by_hand,
        (
            "First exp of each score: exp(log 4) is 4, and exp(0) is 1. Then weights.",
            "Each weight is its exp divided by the sum of all three. The weights are eighths.",
        ),
        mistakes=tuple((wrong, "") for wrong, _ in _BY_HAND_MISTAKES),
    ),
    "02.2": Exercise(
        "Attention",
        8,
        1,
        _attention,
        _test_attention,
        (
            "All scores at once are q times k turned: k.transpose(-2, -1). For one sentence, q @ "
            "k.T is the same, but in front there may be more axes, such as the batch.",
            "Three steps: scores with their root, softmax over the axis on which the keys lie, "
            "and a product with v. In (..., queries, keys) the keys are the last axis.",
        ),
        mistakes=(
            (_undivided, "The scores aren't divided by the root of d."),
            (_by_width, "You divided by d, not by its root."),
            (_multiplied, "You multiplied by the root of d: divide."),
            (_by_keys, "d is the width of a query, not the number of keys."),
            (_over_queries, "Your softmax runs over the queries. Each query weighs the keys."),
            (_no_softmax, "There is no softmax: scores may be negative and don't add up to 1."),
            (_weights_only, "Those are the weights. The output is their product with v."),
            (_all_axes_turned, "`.T` turns all axes, the batch too. Exchange the last two."),
        ),
    ),
    "02.3": Exercise(
        "The two masks",
        8,
        2,
        _two_masks,
        _test_two_masks,
        (
            "torch.arange(words) holds the places 0, 1, 2, ... A place is a word of its text if it "
            "is smaller than the text's length; compare all places with all lengths at once.",
            "lengths[:, None] has the shape (batch, 1), and a comparison with (words,) gives "
            "(batch, words). For the causal mask compare places with places[:, None]; the row is "
            "the word that reads.",
        ),
        mistakes=(
            (_padding_hidden, "Your padding mask is True at the padding. True means: may be read."),
            (_one_too_many, "A text of 2 words has the places 0 and 1: place 2 is padding."),
            (_future, "In your causal mask a word reads those that follow, not those before."),
            (_not_itself, "A word may read itself: the diagonal of the causal mask is True."),
            (_hides_all, "Both masks are the wrong way round: True means: may be read."),
            (_exchanged, "The padding mask comes first."),
        ),
    ),
    "02.4": Exercise(
        "Mend the mask",
        8,
        2,
        _masked_weights,
        _test_masked,
        (
            "Look at the weights that it printed. Which word is read? And what do the weights of a "
            "row add up to?",
            "masked_fill writes where its mask is True, so it needs `~mask` here. And hide before "
            "the softmax: which score has exp(score) = 0?",
        ),
        mistakes=(
            (_broken_weights, "That is `broken_weights`, unchanged in what it does."),
            (_only_turned, "The right words are hidden, but too late: the rows don't add up to 1."),
            (_only_moved, "Rows add up to 1, but the hidden words are those that may be read."),
            (_score_zero, "A score of 0 hides nothing: exp(0) = 1."),
            (_score_minus_ten, "A score of -10 leaks: exp(-10) is small, but not 0."),
            (_root_forgotten, "The root of d was lost."),
        ),
    ),
    "02.5": Exercise(
        "One without places",
        4,
        1,
        SAME_WORDS,
        _test_same_words,
        (
            "Without places a text is its words and how often each occurs.",
            "Write the words of each sentence in alphabetical order, and compare.",
        ),
        mistakes=(({"A"}, ""), ({"C"}, ""), ({"A", "B", "C"}, "")),
    ),
    "02.6": Exercise(
        "Split into heads",
        10,
        2,
        _split_heads,
        _test_split,
        (
            "Cut the last axis first: `h.unflatten(-1, (heads, -1))` makes (batch, words, heads, "
            "dim / heads) of (batch, words, dim).",
            "The values are right then; the axes stand in another order than asked for. "
            "`transpose(a, b)` exchanges two axes.",
        ),
        mistakes=(
            (
                _cut_in_reading_order,
                "The shape is right, but a reshape alone mixes words: cut the last axis, then "
                "exchange two axes.",
            ),
            (_not_turned, "Heads and words stand in the other order."),
            (_every_nth, "A head gets neighbouring entries: the first dim / heads of them, ..."),
            (_heads_first, "The batch is the first axis."),
            (_split_by_width, _PIECES),
            (_stacked_by_width, _PIECES),
        ),
    ),
    "02.7": Exercise(
        "The layer",
        22,
        3,
        _layer,
        _test_layer,
        (
            "Follow the drawing from top to bottom. First q, k and v, each cut into heads; weights "
            "under mask[:, None, None]; then heads put together, and `parts.mix`.",
            "After each of the two boxes comes a sum with what went into it, then a norm: norm1 "
            "after attention, norm2 after the network. `F.gelu` stands between widen and narrow.",
        ),
        mistakes=(
            (_no_residual, "Both sums are missing: each part is added to what went into it."),
            (_no_second_residual, "The second sum is missing: add what went into the network."),
            (_no_first_residual, "The first sum is missing: add what went into attention."),
            (_norm_first, "That is pre-norm. In this layer each norm follows its sum."),
            (_mlp_of_the_input, "The network gets the new h, not what came into the layer."),
            (_mask_unused, "The mask isn't used: padding is read."),
            (_without_gelu, "Between widen and narrow stands F.gelu."),
            (_relu, "MiniLM uses F.gelu, not relu."),
            (_root_of_all, "The root is of a head's width, dim / heads."),
            (_norms_exchanged, "norm1 follows attention, norm2 the network."),
            (_without_mix, "`parts.mix` is missing: it follows the heads put together."),
            (
                _mask_across_heads,
                "mask[:, None] lays the texts of the batch along the heads. The mask needs (batch, "
                "1, 1, words): mask[:, None, None].",
            ),
            (
                _second_sum_from_the_input,
                "The second sum adds the h that went into the network, not the layer's input.",
            ),
            (_no_first_norm, "norm1 is missing: it follows the first sum."),
            (
                _norm_of_the_output_only,
                "You normalised what each part returns. Take the norm of the sum.",
            ),
        ),
    ),
    "02.8": Exercise(
        "Count a layer",
        5,
        2,
        _layer_parameters,
        _test_parameters,
        (
            "Go through the eight parts of the layer. nn.Linear(a, b) has a matrix and a bias.",
            "nn.Linear(a, b) has a * b + b parameters, and nn.LayerNorm(dim) has a scale and a "
            "shift for each entry. How often does each occur?",
        ),
        mistakes=(
            (_matrices_only, "Biases and norms are missing."),
            (_no_biases, "The biases of the six nn.Linear are missing."),
            (_no_mix, "Attention has four matrices: `mix` too."),
            (
                _no_norms,
                "4 * dim are missing: the two norms have as many, and so have the four biases of "
                "attention.",
            ),
            (_one_norm, "There are two norms, each with a scale and a shift."),
            (_norm_of_one_number, "A norm has a scale and a shift for each entry, dim of each."),
        ),
    ),
    "02.9": Exercise(
        "Which word does it look at?",
        2,
        1,
        20,
        _test_count,
        (
            "A head that always prefers the first noun is right in 12 of 24.",
            "The best of 72 is chosen afterwards, so luck alone gives it more than 12.",
        ),
    ),
}

"""Lesson 05: the joint representation h = Transformer(x, v)."""

import math

import torch
from torch import nn

from course_utils.checks.feedback import Exercise, Feedback, call, compare, prediction
from course_utils.models.joint import joint_mask

# 05.1 the spread of scores


def _score_std(dim, sigma_q, sigma_k):
    return sigma_q * sigma_k


def _test_score_std(function):
    for dim, sigma_q, sigma_k in ((64, 0.5, 3.0), (16, 2.0, 2.0), (1, 1.0, 1.0), (400, 1.0, 1.5)):
        compare(
            call(function, dim, sigma_q, sigma_k),
            _score_std(dim, sigma_q, sigma_k),
            f"the standard deviation for dim = {dim}, sigma_q = {sigma_q}, sigma_k = {sigma_k}",
        )


# 05.2 an inverted mask


def _attend(attention, h, mask):
    return attention(h, h, h, key_padding_mask=~mask, need_weights=False)[0]


def _inverted(attention, h, mask):
    return attention(h, h, h, key_padding_mask=mask, need_weights=False)[0]


def _no_mask(attention, h, mask):
    return attention(h, h, h, need_weights=False)[0]


def _zeroed_keys(attention, h, mask):
    kept = h * mask[..., None]
    return attention(h, kept, kept, need_weights=False)[0]


def _zeroed_output(attention, h, mask):
    return attention(h, h, h, need_weights=False)[0] * mask[..., None]


def _test_attend(function):
    with torch.random.fork_rng():
        torch.manual_seed(4)
        attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
        h = torch.randn(3, 6, 8)
    mask = torch.arange(6) < torch.tensor([6, 4, 2])[:, None]
    with torch.no_grad():
        want, got = _attend(attention, h, mask), call(function, attention, h, mask)
        if isinstance(got, tuple):
            raise Feedback("expected the new h alone; nn.MultiheadAttention returns a pair.")
        if isinstance(got, torch.Tensor) and got.shape == want.shape and got[0].isnan().any():
            raise Feedback(
                "the new h is nan for a sentence without padding: each of its positions is masked, "
                "so the softmax has nothing to weigh."
            )
        if isinstance(got, torch.Tensor) and got.shape == want.shape:  # nobody reads the padding's
            got, want = got[mask], want[mask]  # (words of all sentences, dim)
        compare(got, want, "the new h of the words", atol=1e-4)


# 05.3 joint mask


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


# 05.4 count parameters


def _count(dim, layers, mlp_dim, vocab_size, max_words, visual_dim, patches):
    tables = (vocab_size + max_words + 2 + patches) * dim
    project = visual_dim * dim + dim
    attention = 4 * (dim * dim + dim)
    mlp = dim * mlp_dim + mlp_dim + mlp_dim * dim + dim
    norms = 2 * 2 * dim
    return tables + project + layers * (attention + mlp + norms) + 2 * dim


def _without_biases(dim, layers, mlp_dim, vocab_size, max_words, visual_dim, patches):
    tables = (vocab_size + max_words + 2 + patches) * dim
    layer = 4 * dim * dim + 2 * dim * mlp_dim + 4 * dim
    return tables + visual_dim * dim + layers * layer + 2 * dim


def _without_out(dim, layers, mlp_dim, *rest):
    return _count(dim, layers, mlp_dim, *rest) - layers * (dim * dim + dim)


def _without_types(dim, *rest):
    return _count(dim, *rest) - 2 * dim


def _one_norm_a_layer(dim, layers, *rest):
    return _count(dim, layers, *rest) - layers * 2 * dim


def _without_attention_biases(dim, layers, *rest):
    return _count(dim, layers, *rest) - layers * 4 * dim


def _without_mlp_biases(dim, layers, mlp_dim, *rest):
    return _count(dim, layers, mlp_dim, *rest) - layers * (mlp_dim + dim)


def _without_places(dim, layers, mlp_dim, vocab_size, max_words, visual_dim, patches):
    return _count(dim, layers, mlp_dim, vocab_size, max_words, visual_dim, patches) - patches * dim


def _without_projection_bias(dim, *rest):
    return _count(dim, *rest) - dim


def _without_norms(dim, layers, *rest):
    return _count(dim, layers, *rest) - layers * 4 * dim - 2 * dim


SIZES = (
    (8, 3, 16, 10, 5, 6, 4),
    (64, 2, 128, 39, 32, 64, 16),
    (768, 12, 3072, 30522, 40, 3072, 144),
)


def _test_count(function):
    for sizes in SIZES:
        got = call(function, *sizes)
        if isinstance(got, float) and got.is_integer():
            got = int(got)
        compare(
            got,
            _count(*sizes),
            "the number of parameters for (dim, layers, mlp_dim, vocab_size, max_words, "
            f"visual_dim, patches) = {sizes}",
            atol=1e-12,
        )


# 05.5 cross-attention


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


# 05.6 which fusion for retrieval

FUSIONS = ("early", "late", "cross")


def _test_choice(value):
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise Feedback("expected a pair: the name of a fusion and a number of passes.")
    name, passes = value
    if name not in FUSIONS:
        raise Feedback(f"the fusion: expected one of {', '.join(FUSIONS)}, got {name!r}.")
    if name != "late":
        raise Feedback(
            f"with {name} fusion the state of a word depends on the picture from the first layer "
            "on, so each of the million pictures needs a pass of its own for each new text."
        )
    if isinstance(passes, bool) or not isinstance(passes, (int, float)):
        raise Feedback(f"the passes: expected a whole number, got {passes!r}.")
    if passes > 1:
        raise Feedback(
            f"{passes:,} passes are too many: the pictures' vectors don't depend on the text, so "
            "they are stored already."
        )
    compare(passes, 1, "the number of passes")


EXERCISES = {
    "05.1": Exercise(
        "The spread of scores",
        5,
        1,
        _score_std,
        _test_score_std,
        (
            "q . k is a sum of dim independent products. What is the variance of one product, and "
            "of the sum?",
            "One product has variance sigma_q^2 sigma_k^2, the sum dim times that. The division by "
            "sqrt(dim) divides the variance by dim. Take the square root at the end.",
        ),
        mistakes=(
            (lambda d, a, b: a * b * math.sqrt(d), "That is the spread before the division."),
            (lambda d, a, b: (a * b) ** 2, "That is the variance, not the standard deviation."),
            (lambda d, a, b: a * b / math.sqrt(d), "The sum of dim terms was left out."),
            (lambda d, a, b: 1.0, "It is 1 only if the entries of q and k have spread 1."),
        ),
    ),
    "05.2": Exercise(
        "An inverted mask",
        5,
        1,
        _attend,
        _test_attend,
        (
            "Read what nn.MultiheadAttention says about key_padding_mask. What does True mean "
            "there?",
            "There True means: leave this key out. Ours means: there is a word. `~mask` turns one "
            "into the other.",
        ),
        mistakes=(
            (_inverted, "The mask is inverted: words are left out, and padding is read."),
            (_no_mask, "The padding is still attended to."),
            (_zeroed_keys, "A key of zeros still gets a weight: exp(0) is 1. Mask the scores."),
            (_zeroed_output, "The padding's output is 0, but the words still attend to it."),
        ),
    ),
    "05.3": Exercise(
        "The joint mask",
        5,
        1,
        joint_mask,
        _test_joint_mask,
        (
            "Two parts, side by side: what is known about the words, and one True for each patch.",
            "mask.new_ones(len(mask), patches) has the right type and device; torch.cat([...], "
            "dim=1) puts it behind the words' mask.",
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
    "05.4": Exercise(
        "Count the parameters",
        15,
        2,
        _count,
        _test_count,
        (
            "Four tables, one projection, the layers, one last normalisation. A linear map from a "
            "to b has a b + b parameters, a normalisation 2 dim.",
            "A layer: attention 4 (dim^2 + dim), the two maps of the network, two normalisations. "
            "The tables have vocab_size, max_words, 2 and patches rows.",
        ),
        mistakes=(
            (_without_biases, "Are the biases of the linear maps in?"),
            (_without_out, "Attention has four matrices: queries, keys, values and the output."),
            (_without_types, "2 dim are missing: the table of types, or the last normalisation?"),
            (_without_norms, "The normalisations are missing: 2 dim each."),
            (_one_norm_a_layer, "There are two normalisations in each layer."),
            (_without_attention_biases, "4 dim a layer are missing: the biases of the attention?"),
            (_without_mlp_biases, "mlp_dim + dim a layer are missing: biases of the network?"),
            (_without_places, "patches times dim are missing: the table of places?"),
            (_without_projection_bias, "dim is missing: the bias of the projection?"),
        ),
    ),
    "05.5": Exercise(
        "Cross-attention",
        15,
        2,
        _cross_attention,
        _test_cross,
        (
            "Words ask, patches answer: queries come from h, keys and values from the context.",
            "The scores have shape (batch, words, patches); divide by sqrt(dim), take the softmax "
            "over the last dimension, multiply with the values.",
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
    "05.6": Exercise(
        "Which fusion for retrieval",
        5,
        1,
        ("late", 1),
        _test_choice,
        (
            "Which of the three can say something about a picture before it knows the text?",
            "With two towers, the picture tower's vectors are computed once and stored. What is "
            "left for a new text is the text tower.",
        ),
        mistakes=(
            (("early", 1_000_000), ""),
            (("cross", 1_000_000), ""),
            (("late", 1_000_001), ""),
            (("late", 0), "The new text itself has to be read."),
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
}

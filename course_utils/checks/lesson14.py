"""Lesson 14: a real language model learns to see."""

import torch

from course_utils.checks.feedback import Exercise, Feedback, call, choice, compare, prediction
from course_utils.models.llama import rotary_angles, turn

# 14.2 RMSNorm


def _rms_norm(h, weight, eps):
    return h / (h.square().mean(-1, keepdim=True) + eps).sqrt() * weight


def _layer_norm(h, weight, eps):
    return _rms_norm(h - h.mean(-1, keepdim=True), weight, eps)


def _sum_of_squares(h, weight, eps):
    return h / (h.square().sum(-1, keepdim=True) + eps).sqrt() * weight


def _over_all(h, weight, eps):
    return h / (h.square().mean() + eps).sqrt() * weight


def _over_words(h, weight, eps):
    return h / (h.square().mean(-2, keepdim=True) + eps).sqrt() * weight


def _without_root(h, weight, eps):
    return h / (h.square().mean(-1, keepdim=True) + eps) * weight


def _eps_outside(h, weight, eps):
    return h / (h.square().mean(-1, keepdim=True).sqrt() + eps) * weight


def _without_weight(h, weight, eps):
    return h / (h.square().mean(-1, keepdim=True) + eps).sqrt()


def _one_plus_weight(h, weight, eps):
    return _rms_norm(h, 1 + weight, eps)


def _own_eps(h, weight, eps):
    return _rms_norm(h, weight, 1e-5)


def _without_eps(h, weight, eps):
    return h / h.square().mean(-1, keepdim=True).sqrt() * weight


def _mean_off_at_the_end(h, weight, eps):
    return (
        (h - h.mean(-1, keepdim=True)) / (h.square().mean(-1, keepdim=True) + eps).sqrt() * weight
    )


def _weight_first(h, weight, eps):
    return _without_weight(h * weight, weight, eps)


def _test_rms_norm(function):
    random = torch.Generator().manual_seed(14)
    h = torch.randn(2, 3, 5, generator=random) * 2 + 0.7  # (batch, words, dim)
    weight = torch.linspace(0.5, 2, 5)  # (dim,)
    compare(call(function, h, weight, 1e-5), _rms_norm(h, weight, 1e-5), "states of two texts")
    one = torch.tensor([[3.0, -4.0], [1.0, 2.0]])  # (words, dim)
    compare(call(function, one, torch.ones(2), 0.0), _rms_norm(one, torch.ones(2), 0.0), "eps = 0")
    small = h * 1e-3
    for eps in (1e-5, 1e-2):
        what = f"small states, where eps = {eps:g} counts"
        compare(call(function, small, weight, eps), _rms_norm(small, weight, eps), what)
    zero = torch.zeros(1, 5)  # padding may be all zeros
    got = call(function, zero, weight, 1e-5)
    if isinstance(got, torch.Tensor) and got.isnan().any():
        raise Feedback("a state of zeros gives nan: add eps to the mean square, under the root.")
    compare(got, zero, "a state of zeros")


# 14.3 Rotary positions

ANGLES = rotary_angles(torch.tensor([[0, 1, 5], [2, 3, 900]]), 8, 100.0)  # (batch, words, half)


def _parts(q, angles):
    a, b = q.chunk(2, dim=-1)
    return a, b, angles.cos()[:, None], angles.sin()[:, None]


def _backwards(q, angles):
    return turn(q, -angles)


def _neighbours(q, angles):
    a, b = q[..., 0::2], q[..., 1::2]
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)


def _same_sign(q, angles):
    a, b, cos, sin = _parts(q, angles)
    return torch.cat([a * cos + b * sin, b * cos + a * sin], -1)


def _both_minus(q, angles):
    a, b, cos, sin = _parts(q, angles)
    return torch.cat([a * cos - b * sin, b * cos - a * sin], -1)


def _swapped(q, angles):
    a, b, cos, sin = _parts(q, angles)
    return torch.cat([a * sin - b * cos, b * sin + a * cos], -1)


def _only_cos(q, angles):
    return q * torch.cat([angles.cos(), angles.cos()], -1)[:, None]


def _first_text(q, angles):
    return turn(q, angles[:1])


def _a_used_new(q, angles):
    a, b, cos, sin = _parts(q, angles)
    a = a * cos - b * sin
    return torch.cat([a, b * cos + a * sin], -1)


def _unturned(q, angles):
    return q.clone()


def _turned_by_place(q, angles):
    places = torch.arange(q.shape[2]).float()[None, :, None].expand_as(angles)
    return turn(q, places)


def _half_only(q, angles):
    a, b, cos, sin = _parts(q, angles)
    return torch.cat([a * cos - b * sin, b], -1)


def _test_turn(function):
    random = torch.Generator().manual_seed(3)
    q = torch.randn(2, 3, 3, 8, generator=random)  # (batch, heads, words, head_dim)
    compare(call(function, q, ANGLES), turn(q, ANGLES), "queries of two texts and three heads")
    quarter = torch.tensor([[[torch.pi / 2]]])  # (batch, words, half)
    east = torch.tensor([[[[1.0, 0.0]]]])  # (batch, heads, words, head_dim)
    north = torch.tensor([[[[0.0, 1.0]]]])
    compare(call(function, east, quarter), north, "the arrow (1, 0) turned by a quarter")


# 14.4 The cache


def _cache_bytes(layers, key_heads, head_dim, tokens, each=4):
    return 2 * layers * key_heads * head_dim * tokens * each


def _keys_only(layers, key_heads, head_dim, tokens, each=4):
    return layers * key_heads * head_dim * tokens * each


def _one_layer(layers, key_heads, head_dim, tokens, each=4):
    return 2 * key_heads * head_dim * tokens * each


def _one_head(layers, key_heads, head_dim, tokens, each=4):
    return 2 * layers * head_dim * tokens * each


def _numbers_not_bytes(layers, key_heads, head_dim, tokens, each=4):
    return 2 * layers * key_heads * head_dim * tokens


def _always_four(layers, key_heads, head_dim, tokens, each=4):
    return 8 * layers * key_heads * head_dim * tokens


def _pairs_of_tokens(layers, key_heads, head_dim, tokens, each=4):
    return 2 * layers * key_heads * head_dim * tokens**2 * each


def _test_cache(function):
    for sizes in ((30, 3, 64, 100, 4), (30, 9, 64, 100, 4), (2, 5, 7, 11, 2), (30, 3, 64, 0, 4)):
        names = ("layers", "key_heads", "head_dim", "tokens", "each")
        what = ", ".join(f"{name}={size}" for name, size in zip(names, sizes))
        compare(call(function, *sizes), _cache_bytes(*sizes), f"bytes for {what}")
    try:
        four = call(function, 30, 3, 64, 100)
    except TypeError:
        raise Feedback(
            "called without `each`, it fails: leave its value of 4 in the first line."
        ) from None
    compare(four, _cache_bytes(30, 3, 64, 100), "without `each`, which is then 4")


# 14.5 The picture in its place

X = torch.tensor(
    [[7, 9, 9, 4, 5], [3, 7, 9, 9, 6], [9, 2, 3, 9, 1]]
)  # (batch, words); 9 is a patch


def _with_picture(h, x, seen, placeholder):
    out = h.clone()
    for i in range(len(x)):
        out[i, x[i] == placeholder] = seen[i]
    return out


def _added(h, x, seen, placeholder):
    return h + _with_picture(torch.zeros_like(h), x, seen, placeholder)


def _in_front(h, x, seen, placeholder):
    return torch.cat([seen, h], 1)


def _places_of_text_0(h, x, seen, placeholder):
    out = h.clone()
    out[:, x[0] == placeholder] = seen
    return out


def _picture_of_text_0(h, x, seen, placeholder):
    return _with_picture(h, x, seen[:1].expand_as(seen), placeholder)


def _last_patch_first(h, x, seen, placeholder):
    return _with_picture(h, x, seen.flip(1), placeholder)


def _first_patch_everywhere(h, x, seen, placeholder):
    return _with_picture(h, x, seen[:, :1].expand_as(seen), placeholder)


def _mean_everywhere(h, x, seen, placeholder):
    return _with_picture(h, x, seen.mean(1, keepdim=True).expand_as(seen), placeholder)


def _unchanged(h, x, seen, placeholder):
    return h.clone()


def _patches_of_all_mixed(h, x, seen, placeholder):
    out = h.clone()
    out[x == placeholder] = seen.transpose(0, 1).flatten(0, 1)
    return out


def _one_run(h, x, seen, placeholder):
    out = h.clone()
    for i in range(len(x)):
        first = int((x[i] == placeholder).nonzero()[0])
        room = out[i, first : first + seen.shape[1]]
        room[:] = seen[i, : len(room)]
    return out


def _over_the_first(h, x, seen, placeholder):
    out = h.clone()
    out[:, : seen.shape[1]] = seen
    return out


def _test_with_picture(function):
    random = torch.Generator().manual_seed(5)
    h = torch.randn(3, 5, 4, generator=random)  # (batch, words, dim)
    seen = torch.randn(3, 2, 4, generator=random)  # (batch, patches, dim)
    got = call(function, h, X, seen, 9)
    compare(got, _with_picture(h, X, seen, 9), "three texts with two patches each")
    other = torch.where(X == 9, 1, X)  # another placeholder, so that 9 isn't built in
    other = torch.where(other == 6, 2, other)
    one = other[:2]
    compare(
        call(function, h[:2], one, seen[:2], 1),
        _with_picture(h[:2], one, seen[:2], 1),
        "another placeholder",
    )
    trained = seen.clone().requires_grad_()
    out = function(h.clone(), X, trained, 9)  # (batch, words, dim)
    if out.requires_grad:
        out.square().sum().backward()
    if trained.grad is None or not torch.allclose(trained.grad, 2 * seen, atol=1e-5):
        raise Feedback("no gradient comes back to the patches, so the projector could not learn.")


# 14.6 What is scored


def _scored(lengths, words):
    """`lengths` (batch,) tokens of each answer with its end; texts are padded on the left."""
    place = torch.arange(words, 0, -1)  # (words,): 1 is the last
    return place <= torch.as_tensor(lengths)[:, None]  # (batch, words)


def _from_the_left(lengths, words):
    return torch.arange(words) < torch.as_tensor(lengths)[:, None]


def _without_end(lengths, words):
    return _scored(lengths, words) & (torch.arange(words) < words - 1)


def _one_too_many(lengths, words):
    return _scored(torch.as_tensor(lengths) + 1, words)


def _one_too_few(lengths, words):
    return _scored(torch.as_tensor(lengths) - 1, words)


def _places_before(lengths, words):
    return _scored(torch.as_tensor(lengths) + 1, words) & (torch.arange(words) < words - 1)


def _all_scored(lengths, words):
    return torch.ones(len(lengths), words, dtype=torch.bool)


def _the_rest(lengths, words):
    return ~_scored(lengths, words)


def _longest_for_all(lengths, words):
    return _scored(torch.full((len(lengths),), int(max(lengths))), words)


def _test_scored(function):
    for lengths, words in ((torch.tensor([2, 4, 3]), 6), (torch.tensor([5, 1]), 5)):
        got = call(function, lengths, words)
        if isinstance(got, torch.Tensor) and got.dtype != torch.bool:
            raise Feedback(f"expected True and False, got {got.dtype}.")
        compare(got, _scored(lengths, words), f"answers of {lengths.tolist()} tokens in {words}")


EXERCISES = {
    "14.1": Exercise(
        "Which form?",
        5,
        1,
        "c",
        choice(
            "c",
            {
                "a": "The bare question is how the web continues it, not how a chat answers it.",
                "b": '"Question:" and "Answer:" are a form, but not the one that it was tuned on.',
                "d": "Who speaks next? It would have to write the mark of its own turn first.",
            },
        ),
        (
            "The model was tuned on chats. What marks did they have?",
            "Look for the text that has both marks of a turn, where it begins and where it ends, "
            "and that opens the assistant's turn.",
        ),
    ),
    "14.2": Exercise(
        "Write RMSNorm",
        10,
        1,
        _rms_norm,
        _test_rms_norm,
        (
            "Each state is divided by one number of its own. What shape must they have, so "
            "that each row is divided by its own?",
            "`keepdim=True` keeps the last axis of a mean, with length 1. eps goes under the root.",
        ),
        mistakes=(
            (_layer_norm, "You took the mean off first. That is LayerNorm."),
            (_sum_of_squares, "You divided by the length, not by the root of the mean square."),
            (_over_all, "The mean goes over all words and texts: each position has its own."),
            (_over_words, "The mean goes over the words: it goes over the entries of one state."),
            (_without_root, "You divided by the mean square, not by its root."),
            (_eps_outside, "eps is added to the mean square, under the root, not to the root."),
            (_without_weight, "Each entry is multiplied by its own weight at the end."),
            (_one_plus_weight, "You multiplied by 1 + weight. Here it is the weight itself."),
            (_without_eps, "eps is missing under the root."),
            (_mean_off_at_the_end, "The mean is taken off what is divided. It stays where it is."),
            (_weight_first, "The weights come last: the mean square is that of h alone."),
            (_own_eps, "eps is given: 1e-5 is only the value that SmolLM2 has."),
        ),
    ),
    "14.3": Exercise(
        "Turn queries and keys",
        20,
        2,
        turn,
        _test_turn,
        (
            "Cut the last axis into two halves a and b: entry i of a and entry i of b are a pair. "
            "The angles need an axis for the heads.",
            "The new a is a cos - b sin. The new b comes from the same right-angled triangle: what "
            "must it be so that (1, 0) turned by a quarter is (0, 1)?",
        ),
        mistakes=(
            (_backwards, "It turns the other way round: (1, 0) by a quarter must become (0, 1)."),
            (
                _neighbours,
                "You paired neighbours 2i and 2i + 1. Here entry i and entry i + half are a pair. "
                "With weights made for the other pairing, no error would tell you.",
            ),
            (_same_sign, "Both parts add. One of the four products has a minus."),
            (_both_minus, "Both parts subtract. Only one of the four products has a minus."),
            (_swapped, "sin and cos are exchanged: at angle 0 nothing may change."),
            (_only_cos, "Each entry must also get a part of its partner, times sin."),
            (_first_text, "All texts are turned by the angles of the first."),
            (_unturned, "Nothing was turned."),
            (_turned_by_place, "Every arrow was turned by its place: `angles` has one for each."),
            (_half_only, "The second half stays as it was. It turns, too."),
            (_a_used_new, "The second half was computed from the new a. Keep the old one for it."),
        ),
    ),
    "14.4": Exercise(
        "Count the cache",
        8,
        1,
        _cache_bytes,
        _test_cache,
        (
            "For each token, each layer keeps a key and a value for each of its key heads.",
            "A key has head_dim numbers. Multiply what there is of each, and by `each`.",
        ),
        mistakes=(
            (_keys_only, "Values are kept as well as keys."),
            (_one_layer, "Each layer has keys and values of its own."),
            (_one_head, "Each key head has keys and values of its own."),
            (_numbers_not_bytes, "That counts numbers. Each takes `each` bytes."),
            (_always_four, "You took four bytes for each number whatever `each` says."),
            (_pairs_of_tokens, "It grows with the tokens, not with pairs of them."),
        ),
    ),
    "14.5": Exercise(
        "Put the picture in its place",
        15,
        2,
        _with_picture,
        _test_with_picture,
        (
            "`x == placeholder` says where. Text i gets the patches of picture i, in their order, "
            "and nothing else changes.",
            "Work on a copy of h. A loop over the texts is fine: in text i, write to the rows "
            "where the mask is True.",
        ),
        mistakes=(
            (_added, "The patches were added to the placeholder's vector. They replace it."),
            (_in_front, "The patches stand in front. They belong where the placeholders are."),
            (_places_of_text_0, "Each text has placeholders of its own: you used the first's."),
            (_picture_of_text_0, "All texts got the first picture."),
            (_last_patch_first, "The patches stand in the reverse order."),
            (_first_patch_everywhere, "Every placeholder got the first patch."),
            (_mean_everywhere, "Every placeholder got the mean of the patches."),
            (_unchanged, "Nothing was replaced."),
            (_one_run, "Placeholders may stand apart: go by `x == placeholder`, not by the first."),
            (_over_the_first, "You wrote over the first places, whatever stands there."),
            (_patches_of_all_mixed, "Patches of different pictures are mixed up between texts."),
        ),
    ),
    "14.6": Exercise(
        "What is scored",
        10,
        2,
        _scored,
        _test_scored,
        (
            "All texts end at the same place, because padding stands on the left. So count from "
            "the end.",
            "`torch.arange(words, 0, -1)` numbers the places from the end: the last one has 1. "
            "Compare it with each text's length.",
        ),
        mistakes=(
            (_from_the_left, "You counted from the left. The answer stands at the end."),
            (_without_end, "The last token is left out: then the model never learns to stop."),
            (_one_too_many, "One token of the question's end is scored too."),
            (_one_too_few, "The first token of the answer is left out."),
            (
                _places_before,
                "Those are the places that predict an answer's token. Asked for are the places "
                "that hold one.",
            ),
            (_all_scored, "Everything is scored, the question too."),
            (_the_rest, "It is the wrong way round: the question is scored."),
            (_longest_for_all, "Each answer has a length of its own."),
        ),
    ),
    "14.7": Exercise(
        "Shape or colour?",
        3,
        1,
        "b",
        choice(
            "b",
            {
                "a": "Measured, it is the other one. What is simple for you need not be for it.",
                "c": "Measured, one of the two is not learnt yet.",
                "d": "Measured, one of the two is learnt: both networks know much already.",
            },
        ),
        (
            "Both the image network and the language model know much already.",
            "It is not the one that most people find simpler.",
        ),
    ),
    "14.8": Exercise(
        "Without the picture?",
        2,
        1,
        50,
        prediction(0, 100, "%"),
        (
            "It knows what is asked and how often each answer came.",
            "Half of all answers are yes or no. What does it answer to a colour question?",
        ),
    ),
    "14.9": Exercise(
        "Which report says that it sees?",
        6,
        2,
        "d",
        choice(
            "d",
            {
                "a": "Frequent answers to known questions may reach that without any picture.",
                "b": "A loss falls when answers are learnt by heart, too.",
                "c": "Fluent words about a picture may be fluent words about another one.",
            },
        ),
        (
            "Ask of each report: would a model without eyes reach the same?",
            "A model that learnt all by heart could send three of them. Which one could it not?",
        ),
    ),
}

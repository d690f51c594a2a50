"""Lesson 02's exercises: right answers written in another way pass, wrong ones are told why."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.checks import check
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson02 import EXERCISES, _layer, layer_parts
from course_utils.models.attention import attention_weights, causal_mask


def attention_by_pytorch(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)


def attention_by_einsum(q, k, v):
    scores = torch.einsum("...qd,...kd->...qk", q, k) * q.shape[-1] ** -0.5
    powers = scores.exp()
    return torch.einsum("...qk,...ke->...qe", powers / powers.sum(-1, keepdim=True), v)


def masks_by_loop(lengths, words):
    padding = [[place < length for place in range(words)] for length in lengths.tolist()]
    return [torch.tensor(padding), torch.ones(words, words, dtype=torch.bool).tril()]


def masks_by_package(lengths, words):
    padding = torch.zeros(len(lengths), words, dtype=torch.bool)
    for row, length in zip(padding, lengths):
        row[:length] = True
    return padding, causal_mask(words)


def weights_by_where(q, k, mask):
    scores = q @ k.mT / np.sqrt(q.shape[-1])
    return torch.where(mask, scores, float("-inf")).softmax(dim=-1)


def weights_by_addition(q, k, mask):
    hidden = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
    return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + hidden, -1)


def heads_by_view(h, heads):
    batch, words, dim = h.shape
    return h.view(batch, words, heads, dim // heads).permute(0, 2, 1, 3)


def heads_by_chunks(h, heads):
    return torch.stack(h.chunk(heads, dim=-1), dim=1)


def pytorch_layer(parts, h, mask):
    """torch's own post-norm layer with the same weights."""
    dim, width = parts.query.in_features, parts.widen.out_features
    theirs = nn.TransformerEncoderLayer(
        dim, parts.heads, width, 0.0, F.gelu, layer_norm_eps=1e-12, batch_first=True
    ).eval()
    mine = (parts.query, parts.key, parts.value)
    theirs.self_attn.in_proj_weight.data = torch.cat([part.weight for part in mine])
    theirs.self_attn.in_proj_bias.data = torch.cat([part.bias for part in mine])
    pairs = {"self_attn.out_proj": "mix", "norm1": "norm1", "norm2": "norm2",
             "linear1": "widen", "linear2": "narrow"}  # fmt: skip
    for name, own in pairs.items():
        theirs.get_submodule(name).load_state_dict(getattr(parts, own).state_dict())
    return theirs(h, src_key_padding_mask=~mask)


def layer_by_loop(parts, h, mask):
    """Text by text, without its padding, and head by head."""
    new = torch.zeros_like(h)
    for row, (text, keep) in enumerate(zip(h, mask)):
        text = text[keep]
        q, k, v = (p(text).chunk(parts.heads, -1) for p in (parts.query, parts.key, parts.value))
        mixed = [F.scaled_dot_product_attention(*(t[None] for t in qkv))[0] for qkv in zip(q, k, v)]
        text = parts.norm1(parts.mix(torch.cat(mixed, -1)) + text)
        new[row, keep] = parts.norm2(parts.narrow(nn.GELU()(parts.widen(text))) + text)
    return new


def layer_with_a_narrow_mask(parts, h, mask):
    q, k, v = (heads_by_view(p(h), parts.heads) for p in (parts.query, parts.key, parts.value))
    mixed = (weights_by_where(q, k, mask) @ v).transpose(1, 2).flatten(2)
    h = parts.norm1(h + parts.mix(mixed))
    return parts.norm2(h + parts.narrow(F.gelu(parts.widen(h))))


def parameters_of_modules(dim, mlp_dim):
    layer = nn.TransformerEncoderLayer(dim, 1, mlp_dim)
    return sum(p.numel() for p in layer.parameters())


RIGHT = [
    ("02.1", 9),
    ("02.1", torch.tensor(9.0)),
    ("02.1", np.float64(9.0000001)),
    ("02.2", attention_by_pytorch),
    ("02.2", attention_by_einsum),
    ("02.3", masks_by_loop),
    ("02.3", masks_by_package),
    ("02.4", attention_weights),
    ("02.4", weights_by_where),
    ("02.4", weights_by_addition),
    ("02.5", ["C", "A"]),
    ("02.5", "a, c"),
    ("02.5", "AC"),
    ("02.5", {"CA"}),
    ("02.5", ("A.", "C.")),
    ("02.5", frozenset("AC")),
    ("02.5", np.array(["A", "C"])),
    ("02.5", "A + C"),
    ("02.5", "{'A', 'C'}"),
    ("02.6", heads_by_view),
    ("02.6", heads_by_chunks),
    ("02.7", pytorch_layer),
    ("02.7", layer_by_loop),
    ("02.8", parameters_of_modules),
    ("02.9", 12),
    ("02.9", 24.0),
    ("02.8", lambda dim, mlp: (4 * dim + 2 * mlp + 9) * dim + mlp),
]


@pytest.mark.parametrize(("number", "answer"), RIGHT)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


def test_every_exercise_has_two_other_right_answers():
    assert all(sum(number == n for n, _ in RIGHT) >= 2 for number in EXERCISES)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "02.1": ["add up to 1", "plain mean", "largest score", "exp of each", "as weights", "natural"],
    "02.2": [
        "aren't divided",
        "not by its root",
        "you multiplied",
        "not the number of keys",
        "over the queries",
        "no softmax",
        "those are the weights",
        "turns all axes",
    ],
    "02.3": [
        "True at the padding",
        "place 2 is padding",
        "those that follow",
        "may read itself",
        "both masks are the wrong way",
        "comes first",
    ],
    "02.4": ["unchanged", "too late", "may be read", "exp\\(0\\) = 1", "exp\\(-10\\)", "root of d"],
    "02.5": ["there is another", "there is another", "hasn't"],
    "02.6": [
        "mixes words",
        "other order",
        "neighbouring entries",
        "batch is the first",
        "should be `heads` pieces",
        "should be `heads` pieces",
    ],
    "02.7": [
        "both sums",
        "second sum",
        "first sum",
        "pre-norm",
        "gets the new h",
        "padding is read",
        "stands F.gelu",
        "not relu",
        "a head's width",
        "norm1 follows attention",
        "parts.mix` is missing",
        "along the heads",
        "not the layer's input",
        "norm1 is missing",
        "norm of the sum",
    ],
    "02.8": [
        "biases and norms",
        "biases of the six",
        "`mix` too",
        "4 \\* dim are missing",
        "two norms, each",
        "for each entry",
    ],
}


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong_and_nothing_else(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=f"(?i){NAMED[number][i]}") as told:
        check(number, wrong)
    assert " Or: " not in str(told.value)


def test_every_known_mistake_is_tried_above():
    for number, exercise in EXERCISES.items():
        if number != "02.9":  # a prediction
            assert len(exercise.mistakes) == len(NAMED[number]) >= 3


def test_answers_of_another_kind_are_named():
    for number, wrong, told in (
        ("02.3", lambda lengths, words: lengths, "two masks"),
        ("02.3", lambda lengths, words: [m.float() for m in masks_by_loop(lengths, words)], "bool"),
        ("02.5", {"D"}, "letters from A, B and C"),
        ("02.5", 3, "expected letters"),
        ("02.7", lambda parts, h, mask: _layer(parts, h, mask)[:, 0], "wrong shape"),
        ("02.7", layer_with_a_narrow_mask, "doesn't fit the scores"),
    ):
        with pytest.raises(Feedback, match=told):
            EXERCISES[number].test(wrong)


def test_the_scores_of_the_hand_example_are_what_the_text_says():
    scores = torch.tensor([0.0, math.log(4), math.log(3)])  # (3,)
    assert torch.isclose(scores.softmax(0) @ torch.tensor([40.0, 8.0, 0.0]), torch.tensor(9.0))


@pytest.mark.parametrize(
    ("answer", "told"), [(4.46, "exp of each"), (11.1, "as weights"), (12.3, "natural logarithm")]
)
def test_a_mistake_by_hand_is_known_though_rounded(answer, told):
    with pytest.raises(Feedback, match=told) as feedback:
        EXERCISES["02.1"].test(answer)
    assert "close" not in str(feedback.value)


def test_another_error_in_the_layer_stays_what_it_is():
    with pytest.raises(RuntimeError):
        EXERCISES["02.7"].test(lambda parts, h, mask: parts.narrow(h))


def test_the_parts_of_a_layer_differ_from_seed_to_seed():
    one, other = (layer_parts(8, 2, 16, seed) for seed in (0, 1))
    assert not torch.equal(one.norm1.weight, other.norm1.weight)


@pytest.mark.parametrize("guess", [-1, 25, "most", True, 0.7])
def test_a_prediction_must_be_a_possible_count(guess):
    with pytest.raises(Feedback):
        EXERCISES["02.9"].test(guess)


def by_the_queries(q, k, v):
    return (q @ k.mT / math.sqrt(q.shape[-2])).softmax(-1) @ v


def one_matrix_in_the_mlp(dim, mlp_dim):
    return 4 * (dim * dim + dim) + dim * mlp_dim + mlp_dim + 4 * dim


@pytest.mark.parametrize(
    ("number", "answer"), [("02.2", by_the_queries), ("02.8", one_matrix_in_the_mlp)]
)
def test_no_reason_is_given_that_belongs_to_another_mistake(number, answer, capsys):
    check(number, answer)
    message = capsys.readouterr().out
    assert "not yet" in message
    assert not any(reason in message for _, reason in EXERCISES[number].mistakes)

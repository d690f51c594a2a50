"""Lesson 05's exercises: right answers written in another way pass, and enough wrong ones fail."""

import math

import pytest
import torch
import torch.nn.functional as F

from course_utils.checks import check, lesson05
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson05 import EXERCISES, SIZES
from course_utils.models.joint import JointConfig, JointEncoder


def std_by_steps(dim, sigma_q, sigma_k):
    return math.sqrt(dim * sigma_q**2 * sigma_k**2 / dim)


def mask_by_pad(mask, patches):
    return F.pad(mask, (0, patches), value=True)


def attend_by_scores(attention, h, mask):
    scores = torch.zeros(mask.shape).masked_fill(mask.logical_not(), float("-inf"))
    return attention(h, h, h, key_padding_mask=scores)[0]


def count_by_building(dim, layers, mlp_dim, vocab_size, max_words, visual_dim, patches):
    config = JointConfig(
        dim=dim,
        layers=layers,
        mlp_dim=mlp_dim,
        vocab_size=vocab_size,
        max_words=max_words,
        visual_dim=visual_dim,
        patches=patches,
    )
    with torch.device("meta"):
        return sum(p.numel() for p in JointEncoder(config).parameters())


def cross_by_sdpa(h, context, w_q, w_k, w_v):
    return F.scaled_dot_product_attention(h @ w_q, context @ w_k, context @ w_v)


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("05.1", std_by_steps),
        ("05.3", mask_by_pad),
        ("05.2", attend_by_scores),
        ("05.4", count_by_building),
        ("05.5", cross_by_sdpa),
        ("05.7", 62),
        ("05.6", ["late", 1.0]),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "05.1": ["before the division", "variance, not", "sum of dim terms", "spread 1"],
    "05.3": [
        "patches come first",
        "no picture is seen",
        "expected bool",
        "positions too",
        "inverted",
        "padding may be attended",
    ],
    "05.2": ["mask is inverted", "still attended to", "exp\\(0\\) is 1", "words still attend"],
    "05.4": [
        "biases",
        "four matrices",
        "table of types",
        "normalisations are missing",
        "two normalisations",
        "biases of the attention",
        "biases of the network",
        "table of places",
        "bias of the projection",
    ],
    "05.5": [
        "attended to themselves",
        "one vector for each patch",
        "division by sqrt",
        "from the right",
        "not added here",
        "softmax over the patches is missing",
        "must add up to 1",
        "not of the number of keys",
    ],
    "05.6": ["with early fusion", "with cross fusion", "stored already", "has to be read"],
}


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=f"(?i){NAMED[number][i]}"):
        check(number, wrong)


def test_every_known_mistake_is_tried_above():
    for number, exercise in EXERCISES.items():
        if number != "05.7":
            assert len(exercise.mistakes) == len(NAMED[number]) >= 3


@pytest.mark.parametrize("value", [-3, 101, "many", True])
def test_a_prediction_must_be_a_percentage(value):
    with pytest.raises(Feedback):
        EXERCISES["05.7"].test(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("late", "a pair"),
        (("two towers", 1), "one of early, late, cross"),
        (("late", "one"), "whole"),
        (("late", True), "whole"),
    ],
)
def test_a_choice_is_a_fusion_and_a_number(value, message):
    with pytest.raises(Feedback, match=message):
        EXERCISES["05.6"].test(value)


@pytest.mark.parametrize("sizes", SIZES)
def test_the_count_is_that_of_the_model(sizes):
    assert lesson05._count(*sizes) == count_by_building(*sizes)


def test_one_width_or_one_batch_size_is_not_enough():
    def fixed(h, context, w_q, w_k, w_v):
        scores = (h @ w_q) @ (context @ w_k).transpose(1, 2) / 8**0.5
        return scores.softmax(-1) @ (context @ w_v)

    for wrong in (fixed, lambda *inputs: cross_by_sdpa(*inputs).squeeze()):
        with pytest.raises(Feedback, match="one text of width 6"):
            EXERCISES["05.5"].test(wrong)


def test_the_padding_of_the_new_h_may_be_anything_and_the_mask_stays():
    def zeroed(attention, h, mask):
        return attention(h, h, h, key_padding_mask=~mask)[0] * mask[..., None]

    def inverts_the_given_mask(attention, h, mask):
        return attention(h, h, h, key_padding_mask=mask.logical_not_())[0]

    EXERCISES["05.2"].test(zeroed)
    with pytest.raises(Feedback, match="changes its input 3"):
        EXERCISES["05.2"].test(inverts_the_given_mask)


def test_a_pair_from_multihead_attention_is_named():
    def pair(attention, h, mask):
        return attention(h, h, h, key_padding_mask=~mask)

    with pytest.raises(Feedback, match="returns a pair"):
        EXERCISES["05.2"].test(pair)

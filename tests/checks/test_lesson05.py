"""Lesson 05's exercises: right answers written in another way pass, and enough wrong ones fail."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_utils.checks import check, lesson05
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson05 import EXERCISES


def mask_by_pad(mask, patches):
    return F.pad(mask, (0, patches), value=True)


def forward_by_index(x, v, mask, embedding, layers, norm):
    h = embedding(x, v)
    every = torch.ones(h.shape[:2], dtype=torch.bool)
    every[:, : mask.shape[1]] = mask
    for i in range(len(layers)):
        h = layers[i](h, every)
    return norm(h)


def cross_by_sdpa(h, context, w_q, w_k, w_v):
    return F.scaled_dot_product_attention(h @ w_q, context @ w_k, context @ w_v)


def pairs_by_stride(predictions, answers):
    right = predictions == answers
    both = (right[::2] & right[1::2]).float().mean()
    return [both, (predictions[::2] == predictions[1::2]).float().mean()]


def pairs_as_a_tensor(predictions, answers):
    return torch.stack(pairs_by_stride(predictions, answers))


def pairs_by_loop(predictions, answers):
    both = same = 0
    for i in range(0, len(predictions), 2):
        both += int(predictions[i] == answers[i] and predictions[i + 1] == answers[i + 1])
        same += int(predictions[i] == predictions[i + 1])
    return np.float64(both / (len(answers) / 2)), same / (len(answers) / 2)


def pointing_by_loop(weights, target):
    shares = []
    for head in range(weights.shape[1]):
        first = weights[:, head].argmax(1)
        shares.append(target[torch.arange(len(target)), first].float().mean())
    return torch.stack(shares)


def pointing_by_one_hot(weights, target):
    first = F.one_hot(weights.argmax(-1), weights.shape[-1])
    return (first * target[:, None]).sum(-1).float().mean(0).tolist()


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("05.1", mask_by_pad),
        ("05.2", forward_by_index),
        ("05.3", " Patches"),
        ("05.4", cross_by_sdpa),
        ("05.5", ["late", 1.0]),
        ("05.5", ("Late ", np.int64(1))),
        ("05.5", ("late", torch.tensor(1))),
        ("05.6", pairs_by_stride),
        ("05.6", pairs_as_a_tensor),
        ("05.6", pairs_by_loop),
        ("05.7", 62),
        ("05.8", pointing_by_loop),
        ("05.8", pointing_by_one_hot),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "05.1": [
        "patches come first",
        "no picture is seen",
        "expected bool",
        "positions too",
        "inverted",
        "padding may be attended",
    ],
    "05.2": [
        "last normalisation is missing",
        "not after each",
        "not before the layers",
        "Only the last layer",
        "Only the first layer",
        "adds what came in",
        "padding is read",
        "opposite order",
        "a position for each patch",
        "a mask of shape \\(2, 3\\)",
    ],
    "05.3": ["own place vector", "another one now", "expected one of"],
    "05.4": [
        "attended to themselves",
        "one vector for each patch",
        "division by sqrt",
        "from the right",
        "not added here",
        "softmax over the patches is missing",
        "must add up to 1",
        "not of the number of keys",
    ],
    "05.5": ["with early fusion", "with cross fusion", "stored already", "has to be read"],
    "05.6": [
        "counts right questions",
        "one right answer",
        "second half",
        "belongs to one pair",
        "numbers of pairs",
        "not per cent",
        "not of questions",
        "other order",
        "one may be right",
    ],
    "05.8": [
        "mean weight on the object",
        "share of the weight",
        "one number a picture",
        "one number for all heads",
        "number of pictures",
        "smallest weight",
        "does not point",
        "argmax comes first",
        "averaged before argmax",
    ],
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
        ((["late"], 1), "one of early, late, cross"),
        (("late", "one"), "whole"),
        (("late", True), "whole"),
    ],
)
def test_a_choice_is_a_fusion_and_a_number(value, message):
    with pytest.raises(Feedback, match=message):
        EXERCISES["05.5"].test(value)


def test_the_forward_pass_is_that_of_the_package():
    from course_utils.models.joint import JointConfig, JointEncoder

    encoder = JointEncoder(JointConfig(dim=8, heads=2, vocab_size=9, visual_dim=3, patches=4))
    x, v = torch.tensor([[1, 2, 0], [3, 4, 5]]), torch.randn(2, 4, 3)
    layers = [lambda h, mask, layer=layer: layer(h, mask)[0] for layer in encoder.encoder.layers]
    got = lesson05._forward(x, v, x > 0, encoder.embedding, layers, encoder.encoder.norm)
    assert torch.allclose(got, encoder(x, v, x > 0), atol=1e-5)


def test_one_width_or_one_batch_size_is_not_enough():
    def fixed(h, context, w_q, w_k, w_v):
        scores = (h @ w_q) @ (context @ w_k).transpose(1, 2) / 8**0.5
        return scores.softmax(-1) @ (context @ w_v)

    for wrong in (fixed, lambda *inputs: cross_by_sdpa(*inputs).squeeze()):
        with pytest.raises(Feedback, match="one text of width 6"):
            EXERCISES["05.4"].test(wrong)


def test_a_second_share_of_the_answers_is_seen():
    def of_the_answers(predictions, answers):
        both, _ = lesson05._pair_test(predictions, answers)
        return both, (answers[::2] == answers[1::2]).double().mean().item()

    with pytest.raises(Feedback, match="the same answer"):
        EXERCISES["05.6"].test(of_the_answers)
    with pytest.raises(Feedback, match="two shares"):
        EXERCISES["05.6"].test(lambda p, a: lesson05._pair_test(p, a)[0])


def test_no_mistake_looks_like_another_one_or_like_the_right_answer():
    p = torch.tensor([3, 4, 5, 5, 2, 6, 7, 7, 4, 3, 8, 9, 1, 1])
    a = torch.tensor([3, 4, 5, 6, 2, 4, 9, 8, 3, 4, 8, 9, 1, 2])
    found = [m(p, a) for m, _ in EXERCISES["05.6"].mistakes] + [lesson05._pair_test(p, a)]
    assert len(set(found)) == len(found)

"""Lesson 14's exercises: right answers written in another way pass, wrong ones are told why."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_utils.checks import check
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson14 import EXERCISES


def norm_by_pytorch(h, weight, eps):
    return F.rms_norm(h, h.shape[-1:], weight, eps)


def norm_by_rsqrt(h, weight, eps):
    return weight * (
        h * torch.rsqrt(eps + torch.linalg.vector_norm(h, dim=-1)[..., None] ** 2 / h.shape[-1])
    )


def turn_by_complex_numbers(q, angles):
    half = q.shape[-1] // 2
    z = torch.complex(q[..., :half], q[..., half:])
    z = z * torch.polar(torch.ones_like(angles), angles)[:, None]
    return torch.cat([z.real, z.imag], -1)


def turn_by_rotate_half(q, angles):
    both = torch.cat([angles, angles], -1)[:, None]
    half = q.shape[-1] // 2
    return q * both.cos() + torch.cat([-q[..., half:], q[..., :half]], -1) * both.sin()


def cache_by_product(layers, key_heads, head_dim, tokens, each=4):
    return int(np.prod([2, layers, key_heads, head_dim, tokens, each]))


def picture_by_scatter(h, x, seen, placeholder):
    return h.masked_scatter((x == placeholder)[..., None], seen)


def picture_by_list(h, x, seen, placeholder):
    rows = []
    for i in range(len(x)):
        patches = iter(seen[i])
        rows.append(
            torch.stack([next(patches) if id == placeholder else v for id, v in zip(x[i], h[i])])
        )
    return torch.stack(rows)


def picture_by_where(h, x, seen, placeholder):
    here = x == placeholder
    number = (here.cumsum(1) - 1).clamp(min=0)
    return torch.where(here[..., None], seen.gather(1, number[..., None].expand_as(h)), h)


def scored_by_loop(lengths, words):
    return torch.tensor([[w >= words - int(n) for w in range(words)] for n in lengths])


def scored_by_flip(lengths, words):
    return (torch.arange(words)[None] < lengths.reshape(-1, 1)).flip(1)


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("14.1", "C"),
        ("14.1", " c) "),
        ("14.2", norm_by_pytorch),
        ("14.2", norm_by_rsqrt),
        ("14.3", turn_by_complex_numbers),
        ("14.3", turn_by_rotate_half),
        ("14.4", cache_by_product),
        (
            "14.4",
            lambda layers, heads, dim, tokens, each=4: (
                torch.tensor(2 * each) * layers * heads * dim * tokens
            ),
        ),
        ("14.5", picture_by_scatter),
        ("14.5", picture_by_list),
        ("14.5", picture_by_where),
        ("14.6", scored_by_loop),
        ("14.6", scored_by_flip),
        ("14.7", "B"),
        ("14.7", "(b)"),
        ("14.8", 0),
        ("14.8", 66.9),
        ("14.9", "D"),
        ("14.9", "d)"),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "14.2": [
        "That is LayerNorm",
        "divided by the length",
        "Each position has its own|each position has its own",
        "entries of one state",
        "not by its root",
        "under the root, not to the root",
        "its own weight",
        "1 \\+ weight",
        "eps is missing",
        "stays where it is",
        "weights come last",
        "eps is given",
    ],
    "14.3": [
        "other way round",
        "paired neighbours",
        "Both parts add",
        "Both parts subtract",
        "exchanged",
        "part of its partner",
        "angles of the first",
        "Nothing was turned",
        "by its place",
        "stays as it was",
        "the new a",
    ],
    "14.4": [
        "Values are kept",
        "Each layer",
        "Each key head",
        "counts numbers",
        "whatever `each` says",
        "not with pairs",
    ],
    "14.5": [
        "replace it",
        "stand in front",
        "used the first's",
        "first picture",
        "reverse order",
        "got the first patch",
        "got the mean",
        "Nothing was replaced",
        "stand apart",
        "over the first places",
        "mixed up",
    ],
    "14.6": [
        "counted from the left",
        "never learns to stop",
        "question's end",
        "first token of the answer",
        "places that predict",
        "Everything is scored",
        "wrong way round",
        "length of its own",
    ],
}


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=NAMED[number][i]):
        check(number, wrong)


def test_every_known_mistake_is_tried_above():
    for number, names in NAMED.items():
        assert len(EXERCISES[number].mistakes) == len(names) >= 3


@pytest.mark.parametrize("number", ["14.1", "14.7", "14.9"])
def test_each_wrong_choice_has_a_reason_of_its_own(number):
    messages = set()
    for letter in "abcd":
        try:
            EXERCISES[number].test(letter)
        except Feedback as reason:
            messages.add(str(reason))
    assert len(messages) == 3


@pytest.mark.parametrize("guess", [-1, 101, "few", True, 0.67])
def test_a_prediction_must_be_a_possible_number(guess):
    with pytest.raises(Feedback):
        EXERCISES["14.8"].test(guess)


def changes_in_place(h, x, seen, placeholder):
    for i in range(len(x)):
        h[i, x[i] == placeholder] = seen[i]
    return h


def without_gradient(h, x, seen, placeholder):
    return picture_by_scatter(h, x, seen.detach(), placeholder)


def first_three_places(h, x, seen, placeholder):
    out = h.clone()
    out[:, 1:3] = seen
    return out


@pytest.mark.parametrize(
    ("number", "wrong", "said"),
    [
        ("14.5", changes_in_place, "work on a copy"),
        ("14.5", without_gradient, "no gradient comes back"),
        ("14.5", first_three_places, "three texts"),
        ("14.2", lambda h, w, e: F.layer_norm(h, h.shape[-1:], w, None, e), "states of two"),
        ("14.2", lambda h, w, e: None, "None"),
        ("14.3", lambda q, angles: q, "Nothing was turned|two texts"),
        ("14.6", lambda n, w: scored_by_flip(n, w).long(), "True and False"),
        ("14.6", lambda n, w: scored_by_flip(n, w).flip(0), "answers of"),
        ("14.4", lambda *sizes: None, "None"),
        ("14.4", lambda a, b, c, d, each: 2 * a * b * c * d * each, "leave its value"),
        ("14.4", lambda a, b, c, d, each=2: 2 * a * b * c * d * each, "without `each`"),
        ("14.4", 3, "function"),
    ],
)
def test_other_wrong_answers(number, wrong, said):
    with pytest.raises(Feedback, match=said):
        EXERCISES[number].test(wrong)

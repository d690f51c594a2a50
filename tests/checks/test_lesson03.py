"""Lesson 02's exercises: right answers written in another way pass, wrong ones are told why."""

import math

import pytest
import torch
import torch.nn.functional as F
from tokenizers import models

from course_utils.checks import check
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson03 import EXERCISES, VOCABULARY, WORDS, _wordpiece


def wordpiece_by_library(word, vocabulary):
    ids = {piece: i for i, piece in enumerate(["[UNK]", *sorted(vocabulary)])}
    return [token.value for token in models.WordPiece(ids, unk_token="[UNK]").tokenize(word)]


def largest_by_loop(q, k, power):
    rows = [torch.stack([row @ key for key in k]) / len(row) ** power for row in q]
    return sum(row.softmax(0).max().item() for row in rows) / len(rows)


def causal_by_pytorch(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def masks_with_large_numbers(mask):
    keep, leave_out, _ = masks_by_where(mask)
    return keep, leave_out, (~keep).float() * torch.finfo(torch.float32).min


def masks_by_where(mask):
    keep = mask.view(len(mask), 1, 1, -1)
    return [keep, mask == 0, torch.where(keep, 0.0, float("-inf"))]


def perplexity_by_product(log_p, mask):
    return log_p[mask].double().exp().log().mean().neg().exp().item()


def corrupt_the_other_tenth(x, chosen, lot, random, mask_id):
    shown, labels = x.clone(), torch.full_like(x, -100)
    shown[chosen & (lot < 0.8)] = mask_id
    shown[chosen & (lot >= 0.9)] = random[chosen & (lot >= 0.9)]
    labels[chosen] = x[chosen]
    return shown, labels


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("03.1", wordpiece_by_library),
        ("03.2", largest_by_loop),
        ("03.3", causal_by_pytorch),
        ("03.4", masks_by_where),
        ("03.4", masks_with_large_numbers),
        ("03.5", perplexity_by_product),
        ("03.6", 1.02),
        ("03.7", corrupt_the_other_tenth),
        ("03.8", "B"),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "03.1": [
        "longest",
        "begins with ##",
        "as a whole",
        "not in the vocabulary",
        "never goes back",
        "can't begin a word",
    ],
    "03.2": [
        "over the keys",
        "you multiplied",
        "number of keys",
        "of each query",
        "both run over",
        "isn't used",
        "aren't divided",
    ],
    "03.3": [
        "those that follow",
        "triangle",
        "may read itself",
        "one word too far",
        "too late",
        "exp\\(0\\) = 1",
        "root of the width",
        "turns all axes",
        "the last axis",
        "exp\\(-10\\)",
    ],
    "03.4": [
        "leave this one out",
        "wrong way round",
        "hardly hides",
        "0 times infinity",
        "That is `wrong_masks`",
    ],
    "03.5": [
        "counted as tokens",
        "over texts",
        "sign is missing",
        "base is e",
        "That is the loss",
        "0 times infinity",
        "same weight",
    ],
    "03.7": [
        "Label 0",
        "must have the label -100",
        "Only chosen",
        "became the mask",
        "stay as they are",
        "not those shown",
        "overwrite",
        "stays as it is",
    ],
    "03.8": ["second column", "only right words", "expected one of"],
}


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=f"(?i){NAMED[number][i]}"):
        check(number, wrong)


def test_every_known_mistake_is_tried_above():
    for number, exercise in EXERCISES.items():
        if number != "03.6":
            assert len(exercise.mistakes) == len(NAMED[number]) >= 3


@pytest.mark.parametrize("guess", [-0.1, 6, "low", True])
def test_a_prediction_must_be_a_possible_loss(guess):
    with pytest.raises(Feedback):
        EXERCISES["03.6"].test(guess)


def test_the_words_try_every_path():
    pieces = [_wordpiece(word, VOCABULARY) for word in WORDS]
    assert ["[UNK]"] in pieces and any(len(p) > 2 for p in pieces) and ["circle"] in pieces


def test_answers_of_another_kind_are_named():
    with pytest.raises(Feedback, match="three masks"):
        EXERCISES["03.4"].test(lambda mask: ~mask)
    with pytest.raises(Feedback, match="two tensors"):
        EXERCISES["03.7"].test(lambda x, *rest: x)
    with pytest.raises(Feedback, match="too small"):
        EXERCISES["03.5"].test(lambda log_p, mask: math.e)

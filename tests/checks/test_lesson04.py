"""Lesson 04's exercises: right answers written in another way pass, wrong ones are told why."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.checks import check
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson04 import (
    CONVOLUTIONS,
    EXERCISES,
    STACKS,
    _output_side,
    _receptive_field,
)


def side_by_convolution(side, kernel, stride=1, padding=0, dilation=1):
    conv = nn.Conv1d(1, 1, kernel, stride, padding, dilation)
    return conv(torch.zeros(1, 1, side)).shape[-1]


def field_from_the_end(layers):
    seen = 1
    for kernel, stride in reversed(layers):
        seen = (seen - 1) * stride + kernel
    return seen


def block_by_parts(x, conv1, conv2):
    update = conv2(F.relu(conv1(x)))
    return torch.clamp(torch.add(update, x), min=0)


def freeze_by_loops(model):
    for module in model.modules():
        module.training = True
    for module in model.backbone.modules():
        module.training = False
    for p in model.backbone.parameters():
        p.requires_grad = False


def patches_by_convolution(images, weight, bias):
    return F.conv2d(images, weight, bias, stride=weight.shape[-1]).flatten(2).mT


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("04.1", side_by_convolution),
        ("04.2", field_from_the_end),
        ("04.3", block_by_parts),
        ("04.4", freeze_by_loops),
        ("04.5", 100),
        ("04.6", patches_by_convolution),
        ("04.7", " C "),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "04.1": [
        "both sides",
        "plus one",
        "round down",
        "spans more pixels",
        "followed by a gap",
        "whole number",
    ],
    "04.2": [
        "steps multiply",
        "own stride",
        "adds K - 1",
        "multiply them",
        "begin with 1",
        "comes first",
    ],
    "04.3": [
        "plain network",
        "never take away",
        "behind the sum is missing",
        "are one",
        "What came into the block",
        "no ReLU before",
    ],
    "04.4": [
        "backbone is in train mode",
        "backbone is in train mode",
        "head is in eval mode",
        "still get gradients",
        "nothing would be learnt",
        "itself is in eval mode",
        "off for everything",
    ],
    "04.6": [
        "rows of pixels",
        "row by row",
        "channel comes first",
        "bias is missing",
        "dim comes last",
        "rows and columns are exchanged",
        "doesn't transpose",
    ],
    "04.7": ["few for a ViT", "forgotten the places", "four patches"],
}


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=f"(?i){NAMED[number][i]}"):
        check(number, wrong)


def test_every_known_mistake_is_tried_above():
    for number, exercise in EXERCISES.items():
        if number != "04.5":
            assert len(exercise.mistakes) == len(NAMED[number]) >= 3


@pytest.mark.parametrize("guess", [-1, 101, "low", True, 0.4])
def test_a_prediction_must_be_a_possible_percentage(guess):
    with pytest.raises(Feedback):
        EXERCISES["04.5"].test(guess)


def test_the_cases_tell_by_an_independent_way():
    for case in CONVOLUTIONS:
        assert _output_side(*case) == side_by_convolution(*case)
    for layers in STACKS:
        assert _receptive_field(layers) == field_from_the_end(layers)


def test_answers_of_another_kind_are_named():
    with pytest.raises(Feedback, match="expected a function"):
        EXERCISES["04.4"].test(3)
    with pytest.raises(Feedback, match="shape"):
        EXERCISES["04.3"].test(lambda x, conv1, conv2: x[:, :1])

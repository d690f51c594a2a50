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
    TOO_WIDE,
    _output_side,
    _receptive_field,
)


def side_by_convolution(side, kernel, stride=1, padding=0, dilation=1):
    conv = nn.Conv1d(1, 1, kernel, stride, padding, dilation)
    try:
        return conv(torch.zeros(1, 1, side)).shape[-1]
    except RuntimeError as error:
        raise ValueError(str(error)) from None


def side_by_count(side, kernel, stride=1, padding=0, dilation=1):
    starts = range(0, side + 2 * padding - dilation * (kernel - 1), stride)
    if not starts:
        raise ValueError
    return len(starts)


def conv_by_unfold(x, weight, bias, stride, padding):
    windows = F.unfold(x, weight.shape[2:], padding=padding, stride=stride)
    rows, columns = (
        _output_side(n, k, stride, padding) for n, k in zip(x.shape[2:], weight.shape[2:])
    )
    out = torch.einsum("ok,nkp->nop", weight.flatten(1), windows) + bias[:, None]
    return out.unflatten(2, (rows, columns))


def conv_of_entries(x, weight, bias, stride, padding):
    """A sum over the kernel's entries instead of places."""
    x = torch.constant_pad_nd(x, (padding,) * 4)
    height, width = weight.shape[2:]
    rows, columns = (_output_side(n, k, stride) for n, k in zip(x.shape[2:], weight.shape[2:]))
    out = bias[None, :, None, None].repeat(len(x), 1, rows, columns)
    for a in range(height):
        for b in range(width):
            seen = x[:, :, a::stride, b::stride][:, :, :rows, :columns]
            out = out + torch.einsum("ncij,oc->noij", seen, weight[:, :, a, b])
    return out


def bn_of_torch(x, scale, shift, running, training, momentum=0.1, eps=1e-5):
    """PyTorch's, which changes the running statistics in place."""
    mean, var = (t.clone() for t in running)
    return F.batch_norm(x, mean, var, scale, shift, training, momentum, eps), [mean, var]


def bn_by_rows(x, scale, shift, running, training, momentum=0.1, eps=1e-5):
    if training:
        flat = x.transpose(0, 1).flatten(1)  # (channels, values)
        if flat.shape[1] < 2:
            raise ValueError("one value")
        mean, var = flat.mean(1), flat.var(1, correction=0)
        now = (mean.detach(), flat.var(1).detach())
        running = [torch.lerp(old, new, momentum) for old, new in zip(running, now)]
    else:
        mean, var = running
    shaped = lambda t: t.view(1, -1, 1, 1)
    return shaped(scale / (var + eps) ** 0.5) * (x - shaped(mean)) + shaped(shift), running


def bn_in_place(x, scale, shift, running, training, momentum=0.1, eps=1e-5):
    return F.batch_norm(x, *running, scale, shift, training, momentum, eps), running


def bn_in_its_list(x, scale, shift, running, training, momentum=0.1, eps=1e-5):
    out, now = bn_of_torch(x, scale, shift, running, training, momentum, eps)
    running[0], running[1] = now
    return out, running


def bn_refuses_a_picture(x, scale, shift, running, training, momentum=0.1, eps=1e-5):
    if training and len(x) == 1:
        raise ValueError("one picture")
    return bn_of_torch(x, scale, shift, running, training, momentum, eps)


def bn_own_momentum(x, scale, shift, running, training, momentum=0.1, eps=1e-5):
    return bn_of_torch(x, scale, shift, running, training, 0.1, eps)


def bn_own_eps(x, scale, shift, running, training, momentum=0.1, eps=1e-5):
    return bn_of_torch(x, scale, shift, running, training, momentum, 1e-5)


def only_the_head(model):
    model.train()
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    model.backbone.eval()


def neck_in_eval(model):
    model.backbone.requires_grad_(False)
    model.eval()
    model.head.train()
    model.training = True


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
        ("04.1", side_by_count),
        ("04.2", conv_by_unfold),
        ("04.2", conv_of_entries),
        ("04.2", F.conv2d),
        ("04.3", field_from_the_end),
        ("04.4", bn_of_torch),
        ("04.4", bn_by_rows),
        ("04.5", block_by_parts),
        ("04.6", freeze_by_loops),
        ("04.7", 100),
        ("04.8", patches_by_convolution),
        ("04.9", " C "),
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
        "no place at all",
        "fits once",
        "padding makes room",
    ],
    "04.2": [
        "an output side each",
        "height and width may differ, too",
        "doesn't flip",
        "bias of each output channel is missing",
        "zeros are to be put around",
        "begins at row",
        "added once",
    ],
    "04.3": [
        "steps multiply",
        "own stride",
        "adds K - 1",
        "multiply them",
        "begin with 1",
        "comes first",
    ],
    "04.4": [
        "without bias",
        "biased variance: by n",
        "A tenth of the new batch",
        "don't move in train mode",
        "don't detach them there",
        "batch's own statistics",
        "pictures of the batch, too",
        "In eval mode the running statistics normalise",
        "stay as they are",
        "single value has no variance",
        "carry gradients",
        "are given: use them",
    ],
    "04.5": [
        "plain network",
        "never take away",
        "behind the sum is missing",
        "are one",
        "What came into the block",
        "no ReLU before",
    ],
    "04.6": [
        "backbone is in train mode",
        "backbone is in train mode",
        "head is in eval mode",
        "still get gradients",
        "nothing would be learnt",
        "itself is in eval mode",
        "off for everything",
    ],
    "04.8": [
        "rows of pixels",
        "row by row",
        "channel comes first",
        "bias is missing",
        "dim comes last",
        "rows and columns are exchanged",
        "doesn't transpose",
    ],
    "04.9": ["learn to see from", "forgotten the places", "four patches"],
}


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=f"(?i){NAMED[number][i]}"):
        check(number, wrong)


def test_every_known_mistake_is_tried_above():
    for number, exercise in EXERCISES.items():
        if number != "04.7":
            assert len(exercise.mistakes) == len(NAMED[number]) >= 3


@pytest.mark.parametrize("guess", [-1, 101, "low", True, 0.4])
def test_a_prediction_must_be_a_possible_percentage(guess):
    with pytest.raises(Feedback):
        EXERCISES["04.7"].test(guess)


def test_the_cases_tell_by_an_independent_way():
    for case in CONVOLUTIONS:
        assert _output_side(*case) == side_by_convolution(*case)
    for case in TOO_WIDE:
        with pytest.raises(ValueError, match="too wide"):
            _output_side(*case)
        with pytest.raises(ValueError, match=r"[Kk]ernel size"):
            side_by_convolution(*case)
    for layers in STACKS:
        assert _receptive_field(layers) == field_from_the_end(layers)


def test_batch_norm_of_another_kind_is_named():
    for wrong, words in (
        (lambda x, *rest: x, "two things"),
        (lambda x, scale, shift, running, training: (x, running[0]), "the pair"),
        (lambda x, scale, shift, running, training: (x.detach(), running), "no gradient"),
        (bn_in_place, "writes into `running`"),
        (bn_in_its_list, "writes into `running`"),
        (bn_refuses_a_picture, "ValueError for 1 picture of 2x1 in train mode, which has 2 values"),
        (bn_own_momentum, "momentum 0.3, eps 0.1, the running mean"),
        (bn_own_eps, "momentum 0.3, eps 0.1, the output"),
    ):
        with pytest.raises(Feedback, match=words):
            EXERCISES["04.4"].test(wrong)


def test_a_model_may_hold_more_than_a_backbone_and_a_head():
    for wrong, words in (
        (only_the_head, "only the backbone is frozen"),
        (neck_in_eval, "only the backbone is to be"),
    ):
        with pytest.raises(Feedback, match=words):
            EXERCISES["04.6"].test(wrong)


def test_answers_of_another_kind_are_named():
    with pytest.raises(Feedback, match="expected a function"):
        EXERCISES["04.6"].test(3)
    with pytest.raises(Feedback, match="shape"):
        EXERCISES["04.5"].test(lambda x, conv1, conv2: x[:, :1])

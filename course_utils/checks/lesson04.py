"""Lesson 04: visual features."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.checks.feedback import (
    Exercise,
    Feedback,
    call,
    choice,
    compare,
    number,
    prediction,
)

# 04.1 the side of an output


def _output_side(side, kernel, stride=1, padding=0, dilation=1):
    return (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _padding_once(side, kernel, stride=1, padding=0, dilation=1):
    return (side + padding - dilation * (kernel - 1) - 1) // stride + 1


def _without_one(side, kernel, stride=1, padding=0, dilation=1):
    return (side + 2 * padding - dilation * (kernel - 1) - 1) // stride


def _rounded_up(side, kernel, stride=1, padding=0, dilation=1):
    return -(-(side + 2 * padding - dilation * (kernel - 1) - 1) // stride) + 1


def _not_dilated(side, kernel, stride=1, padding=0, dilation=1):
    return (side + 2 * padding - kernel) // stride + 1


def _dilated_kernel(side, kernel, stride=1, padding=0, dilation=1):
    return (side + 2 * padding - dilation * kernel) // stride + 1


def _true_division(side, kernel, stride=1, padding=0, dilation=1):
    return (side + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1


CONVOLUTIONS = (
    (64, 16, 16, 0, 1),
    (64, 3, 1, 1, 1),
    (64, 7, 2, 3, 1),
    (17, 3, 2, 0, 1),
    (18, 3, 2, 1, 1),
    (32, 3, 1, 0, 2),
    (20, 5, 3, 2, 2),
    (9, 1, 2, 0, 1),
    (9, 1, 2, 1, 1),
)


def _test_output_side(function):
    compare(
        number(call(function, 17, 3)), 15, "the side for side 17, kernel 3, and nothing else given"
    )
    for side, kernel, stride, padding, dilation in CONVOLUTIONS:
        got = number(call(function, side, kernel, stride, padding, dilation))
        compare(
            got,
            _output_side(side, kernel, stride, padding, dilation),
            f"the side for side {side}, kernel {kernel}, stride {stride}, padding {padding}, "
            f"dilation {dilation}",
        )
        if not isinstance(got, (int, np.integer)):
            raise Feedback(
                f"the side {got!r} is no whole number (int): it is to be the size of a "
                "tensor. Round down with // on whole numbers."
            )


# 04.2 the receptive field


def _receptive_field(layers):
    seen, step = 1, 1
    for kernel, stride in layers:
        seen, step = seen + (kernel - 1) * step, step * stride
    return seen


def _no_strides(layers):
    return 1 + sum(kernel - 1 for kernel, _ in layers)


def _stride_first(layers):
    seen, step = 1, 1
    for kernel, stride in layers:
        step *= stride
        seen += (kernel - 1) * step
    return seen


def _whole_kernels(layers):
    seen, step = 1, 1
    for kernel, stride in layers:
        seen, step = seen + kernel * step, step * stride
    return seen


def _strides_added(layers):
    seen, step = 1, 1
    for kernel, stride in layers:
        seen, step = seen + (kernel - 1) * step, step + stride - 1
    return seen


def _from_the_last(layers):
    return _receptive_field(layers[::-1])


def _from_zero(layers):
    return _receptive_field(layers) - 1


STACKS = (
    [(3, 1)],
    [(3, 1), (3, 1)],
    [(3, 1), (2, 2), (3, 1), (2, 2)],
    [(7, 2), (3, 2), (3, 1)],
    [(16, 16)],
    [(1, 1)],
    [(1, 2), (3, 1)],
    [(3, 2), (3, 2), (3, 2), (3, 2)],
)


def _test_receptive_field(function):
    for layers in STACKS:
        compare(number(call(function, layers)), _receptive_field(layers), f"the field of {layers}")


# 04.3 a residual block


def _residual_block(x, conv1, conv2):
    return (x + conv2(conv1(x).relu())).relu()


def _not_added(x, conv1, conv2):
    return conv2(conv1(x).relu()).relu()


def _relu_before_the_sum(x, conv1, conv2):
    return x + conv2(conv1(x).relu()).relu()


def _no_last_relu(x, conv1, conv2):
    return x + conv2(conv1(x).relu())


def _no_inner_relu(x, conv1, conv2):
    return (x + conv2(conv1(x))).relu()


def _three_relus(x, conv1, conv2):
    return (x + conv2(conv1(x).relu()).relu()).relu()


def _adds_the_inner(x, conv1, conv2):
    h = conv1(x).relu()
    return (h + conv2(h)).relu()


def _test_residual(function):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, 4, 5, 5, generator=generator)  # (images, channels, rows, columns)
    w1, w2 = 0.3 * torch.randn(2, 4, 4, 3, 3, generator=generator)  # (4, 4, 3, 3) each

    def conv1(h):
        return F.conv2d(h, w1, padding=1)  # (images, 4, rows, columns)

    def conv2(h):
        return F.conv2d(h, w2, padding=1)  # (images, 4, rows, columns)

    compare(call(function, x, conv1, conv2), _residual_block(x, conv1, conv2), "the block's output")


# 04.4 frozen means eval mode too


class _Model(nn.Module):
    """A backbone with BN and dropout, and a head with dropout."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2))

    def forward(self, images):
        return self.head(self.backbone(images).mean((2, 3)))  # (images, 2)


def _start_epoch(model):
    model.train()
    model.backbone.requires_grad_(False)
    model.backbone.eval()


def _only_weights(model):
    for p in model.backbone.parameters():
        p.requires_grad = False
    model.train()


def _eval_too_early(model):
    model.backbone.requires_grad_(False)
    model.backbone.eval()
    model.train()


def _all_in_eval(model):
    model.backbone.requires_grad_(False)
    model.eval()


def _only_eval(model):
    model.train()
    model.backbone.eval()


def _only_parts_train(model):
    model.backbone.requires_grad_(False)
    model.eval()
    model.head.train()


def _no_gradients_at_all(model):
    _start_epoch(model)
    torch.set_grad_enabled(False)


def _all_frozen(model):
    model.train()
    model.requires_grad_(False)
    model.backbone.eval()


def _test_start_epoch(function):
    if not callable(function):
        raise Feedback("expected a function.")
    for mode in (True, False):
        model = _Model().train(mode)
        function(model)
        names = [name for name, module in model.backbone.named_modules() if module.training]
        if names:
            raise Feedback(
                "the backbone is in train mode, or parts of it are: BN would use each batch's "
                "statistics and keep them, and dropout would drop."
            )
        if not (model.head.training and model.head[0].training):
            raise Feedback("the head is in eval mode: its dropout does nothing.")
        if not model.training:
            raise Feedback(
                "`model` itself is in eval mode. A model may hold more than a backbone and "
                "a head: call model.train() first."
            )
        if any(p.requires_grad for p in model.backbone.parameters()):
            raise Feedback("the backbone's weights still get gradients.")
        if not all(p.requires_grad for p in model.head.parameters()):
            raise Feedback("the head's weights get no gradient: nothing would be learnt.")
        before = model.backbone.get_buffer("1.running_mean").clone()  # (4,)
        model(torch.rand(2, 3, 6, 6))
        if not torch.equal(before, model.backbone.get_buffer("1.running_mean")):
            raise Feedback("the running means of the frozen BN still move.")
        if not torch.is_grad_enabled():
            torch.set_grad_enabled(True)
            raise Feedback(
                "gradients are off for everything, the head too: freeze the backbone's "
                "weights only."
            )


# 04.6 patches


def _patch_embed(images, weight, bias):
    patch = weight.shape[-1]
    cut = F.unfold(images, patch, stride=patch).transpose(1, 2)  # (images, patches, 3 * patch**2)
    return cut @ weight.flatten(1).T + bias  # (images, patches, dim)


def _plain_reshape(images, weight, bias):
    cut = images.reshape(len(images), -1, weight[0].numel())
    return cut @ weight.flatten(1).T + bias


def _columns_first(images, weight, bias):
    _, _, height, width = images.shape
    patch = weight.shape[-1]
    grid = _patch_embed(images, weight, bias).unflatten(1, (height // patch, width // patch))
    return grid.transpose(1, 2).flatten(1, 2)


def _channels_last(images, weight, bias):
    n, channels, height, width = images.shape
    patch = weight.shape[-1]
    cut = images.reshape(n, channels, height // patch, patch, width // patch, patch)
    cut = cut.permute(0, 2, 4, 3, 5, 1).reshape(n, -1, channels * patch * patch)
    return cut @ weight.flatten(1).T + bias


def _no_bias(images, weight, bias):
    return _patch_embed(images, weight, 0 * bias)


def _dim_first(images, weight, bias):
    return _patch_embed(images, weight, bias).transpose(1, 2)


def _pixels_turned(images, weight, bias):
    return _patch_embed(images, weight.transpose(2, 3), bias)


def _weight_reshaped(images, weight, bias):
    patch = weight.shape[-1]
    cut = F.unfold(images, patch, stride=patch).transpose(1, 2)
    return cut @ weight.reshape(-1, len(weight)) + bias


def _test_patch_embed(function):
    generator = torch.Generator().manual_seed(6)
    for n, height, width, patch, dim in ((2, 8, 8, 4, 6), (3, 12, 8, 4, 5), (1, 4, 12, 2, 7)):
        images = torch.rand(n, 3, height, width, generator=generator)  # (images, 3, h, w)
        weight = torch.randn(dim, 3, patch, patch, generator=generator)  # (dim, 3, patch, patch)
        bias = torch.randn(dim, generator=generator)  # (dim,)
        compare(
            call(function, images, weight, bias),
            _patch_embed(images, weight, bias),
            f"the patches of pictures of {height}x{width}, patch {patch}",
        )


EXERCISES = {
    "04.1": Exercise(
        "The side of a convolution's output",
        5,
        1,
        _output_side,
        _test_output_side,
        (
            "Put dilation * (kernel - 1) + 1 where the formula has K. Padding is on both sides.",
            "(side + 2 * padding - span) // stride + 1, with span = dilation * (kernel - 1) + 1.",
        ),
        mistakes=(
            (_padding_once, "The padding lies on both sides of the picture."),
            (_without_one, "The first start, 0, counts too: plus one."),
            (_rounded_up, "A window that doesn't fit as a whole is left out: round down."),
            (_not_dilated, "A dilated kernel spans more pixels than it has entries."),
            (
                _dilated_kernel,
                "The last entry isn't followed by a gap: the span is dilation * (kernel - 1) + 1.",
            ),
            (_true_division, "A side is a whole number: round down with //."),
        ),
    ),
    "04.2": Exercise(
        "The receptive field",
        10,
        2,
        _receptive_field,
        _test_receptive_field,
        (
            "Keep two numbers: what is seen, and how far apart neighbours lie. Both begin with 1.",
            "In each layer first seen += (kernel - 1) * step, then step *= stride.",
        ),
        mistakes=(
            (_no_strides, "After a stride, neighbours lie further apart: the steps multiply."),
            (_stride_first, "A layer's own stride counts only for the layers behind it."),
            (_whole_kernels, "A kernel of K adds K - 1 neighbours: one of them is seen already."),
            (_strides_added, "Two strides of 2 give a step of 4: multiply them."),
            (_from_zero, "One pixel sees itself: begin with 1."),
            (
                _from_the_last,
                "The first layer comes first: a stride counts for the layers behind it.",
            ),
        ),
    ),
    "04.3": Exercise(
        "A residual block",
        10,
        1,
        _residual_block,
        _test_residual,
        (
            "F is conv2 of the relu of conv1. Add x to it, then one more relu.",
            "Two ReLUs: one between the convolutions, one behind the sum. What is added is x as it "
            "came in.",
        ),
        mistakes=(
            (_not_added, "x isn't added: that is a plain network."),
            (
                _relu_before_the_sum,
                "The last ReLU comes behind the sum. Before it, F could only add, never take away.",
            ),
            (_no_last_relu, "The ReLU behind the sum is missing."),
            (_no_inner_relu, "Without a ReLU between them the two convolutions are one."),
            (
                _adds_the_inner,
                "What came into the block is added, not what the first convolution made of it.",
            ),
            (_three_relus, "F ends with the second convolution: no ReLU before the sum."),
        ),
    ),
    "04.4": Exercise(
        "Frozen means eval mode, too",
        10,
        2,
        _start_epoch,
        _test_start_epoch,
        (
            "model.train() reaches every module inside. What has to come after it?",
            "model.train(), then model.backbone.requires_grad_(False) and model.backbone.eval().",
        ),
        mistakes=(
            (_only_weights, ""),
            (_eval_too_early, ""),
            (_all_in_eval, ""),
            (_only_eval, ""),
            (_all_frozen, ""),
            (_only_parts_train, ""),
            (_no_gradients_at_all, ""),
        ),
    ),
    "04.5": Exercise(
        "Predict the probe on raw pixels",
        2,
        1,
        40,
        prediction(0, 100, "%"),
        (
            "A linear map adds up pixels with fixed weights, wherever the thing is. Against that: "
            "it has 768 of them for each shape.",
            "Circles, squares, triangles and crosses of one size differ in how many pixels they "
            "fill.",
        ),
    ),
    "04.6": Exercise(
        "Patches are a convolution",
        15,
        2,
        _patch_embed,
        _test_patch_embed,
        (
            "reshape cuts each side in two: (images, 3, rows, patch, columns, patch). Bring the "
            "axes of one patch together with permute, before you flatten.",
            "permute(0, 2, 4, 1, 3, 5), reshape to (images, patches, 3 * patch * patch), then "
            "@ weight.flatten(1).T + bias.",
        ),
        mistakes=(
            (_plain_reshape, "A plain reshape cuts rows of pixels, not squares: permute first."),
            (_columns_first, "Patches go row by row: from the left to the right, then down."),
            (
                _channels_last,
                "In the weight the channel comes first: (dim, 3, patch, patch). "
                "Flatten the patch in the same order.",
            ),
            (_no_bias, "The bias is missing."),
            (_dim_first, "The shape is (images, patches, dim): dim comes last."),
            (
                _pixels_turned,
                "Inside each patch rows and columns are exchanged: of the two axes of "
                "length `patch` the row comes first.",
            ),
            (_weight_reshaped, "reshape doesn't transpose: weight.flatten(1).T."),
        ),
    ),
    "04.7": Exercise(
        "Which stem?",
        5,
        2,
        "c",
        choice(
            "c",
            {
                "a": "2,000 pictures are few for a ViT from scratch: see the table above.",
                "b": "The mean over patches has forgotten the places, and the question is about "
                "them.",
                "d": "11 million weights from scratch meet 2,000 pictures, and its stem leaves "
                "four patches of 64x64 pixels.",
            },
        ),
        (
            "Two things are asked for: features that few labels can't give, and places.",
            "Which option has real features and keeps the grid?",
        ),
        mistakes=(("a", ""), ("b", ""), ("d", "")),
    ),
}

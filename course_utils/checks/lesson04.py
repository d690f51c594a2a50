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
    rest = side + 2 * padding - dilation * (kernel - 1) - 1
    if rest < 0:
        raise ValueError(f"expected a window that fits, got one that is {-rest} pixels too wide")
    return rest // stride + 1


def _never_refuses(side, kernel, stride=1, padding=0, dilation=1):
    return (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _refuses_what_just_fits(side, kernel, stride=1, padding=0, dilation=1):
    if side + 2 * padding <= dilation * (kernel - 1) + 1:
        raise ValueError("too wide")
    return _never_refuses(side, kernel, stride, padding, dilation)


def _refuses_without_padding(side, kernel, stride=1, padding=0, dilation=1):
    if side < dilation * (kernel - 1) + 1:
        raise ValueError("too wide")
    return _never_refuses(side, kernel, stride, padding, dilation)


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
    (16, 16, 3, 0, 1),
    (2, 4, 1, 1, 1),
    (5, 3, 2, 0, 2),
)
TOO_WIDE = ((2, 5, 1, 0, 1), (2, 3, 2, 0, 1), (4, 3, 2, 0, 2), (1, 5, 1, 1, 1))


def _test_output_side(function):
    compare(
        number(call(function, 17, 3)), 15, "the side for side 17, kernel 3, and nothing else given"
    )
    for side, kernel, stride, padding, dilation in CONVOLUTIONS:
        try:
            got = number(call(function, side, kernel, stride, padding, dilation))
        except ValueError:
            raise Feedback(
                f"ValueError for side {side}, kernel {kernel}, stride {stride}, padding {padding}, "
                f"dilation {dilation}, where a window fits."
            ) from None
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
    for side, kernel, stride, padding, dilation in TOO_WIDE:
        try:
            got = call(function, side, kernel, stride, padding, dilation)
        except ValueError:
            continue
        raise Feedback(
            f"side {side}, kernel {kernel}, stride {stride}, padding {padding}, dilation "
            f"{dilation}: not even one window fits. Expected a ValueError, got {got!r}."
        )


# 04.2 the convolution


def _conv2d(x, weight, bias, stride, padding):
    return F.conv2d(x, weight, bias, stride, padding)  # (images, out, rows, columns)


def _square_only(x, weight, bias, stride, padding):
    side = _output_side(x.shape[2], weight.shape[2], stride, padding)
    full = F.pad(_conv2d(x, weight, bias, stride, padding), (0, side, 0, side))
    return full[:, :, :side, :side]  # (images, out, side, side)


def _kernel_square_only(x, weight, bias, stride, padding):
    size = weight.shape[2]
    square = F.pad(weight, (0, max(0, size - weight.shape[3])))[..., :size]
    return _conv2d(x, square, bias, stride, padding)


def _flipped(x, weight, bias, stride, padding):
    return _conv2d(x, weight.flip(2, 3), bias, stride, padding)


def _bias_forgotten(x, weight, bias, stride, padding):
    return _conv2d(x, weight, None, stride, padding)


def _not_padded(x, weight, bias, stride, padding):
    return _conv2d(x, weight, bias, stride, 0)


def _no_stride(x, weight, bias, stride, padding):
    rows, columns = _conv2d(x, weight, bias, stride, padding).shape[2:]
    return _conv2d(x, weight, bias, 1, padding)[:, :, :rows, :columns]


def _bias_in_each_channel(x, weight, bias, stride, padding):
    return _conv2d(x, weight, x.shape[1] * bias, stride, padding)


# images, channels in and out, height, width, kernel, stride, padding
PICTURES = (
    (2, 3, 4, 6, 9, (3, 3), 1, 1),
    (1, 1, 1, 5, 5, (3, 3), 2, 0),
    (2, 2, 3, 7, 10, (3, 2), 2, 1),
    (3, 2, 4, 8, 5, (1, 5), 1, 2),
    (1, 3, 2, 4, 4, (4, 4), 1, 0),
)


def _test_convolution(function):
    generator = torch.Generator().manual_seed(2)
    for n, c_in, c_out, height, width, kernel, stride, padding in PICTURES:
        x = torch.randn(n, c_in, height, width, generator=generator)
        weight = torch.randn(c_out, c_in, *kernel, generator=generator)
        bias = torch.randn(c_out, generator=generator)  # (out,)
        compare(
            call(function, x, weight, bias, stride, padding),
            _conv2d(x, weight, bias, stride, padding),
            f"pictures of {height}x{width}, kernel {kernel[0]}x{kernel[1]}, stride {stride}, "
            f"padding {padding}",
        )


# 04.3 the receptive field


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


# 04.4 batch normalisation


def _batch_norm(x, scale, shift, running, training, momentum=0.1, eps=1e-5):
    values = x.numel() // x.shape[1]
    if training and values == 1:
        raise ValueError("expected more than one value a channel in train mode, got 1")
    mean, var = running  # (channels,) each
    if training:
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)  # (channels,) each
        now = (mean.detach(), var.detach() * values / (values - 1))
        running = tuple((1 - momentum) * old + momentum * new for old, new in zip(running, now))
    mean, var, scale, shift = (t[:, None, None] for t in (mean, var, scale, shift))
    return (x - mean) / (var + eps).sqrt() * scale + shift, running


def _bn(x, scale, shift, running, training, momentum=0.1, eps=1e-5, **change):
    """BN with one thing changed."""
    axes = change.get("axes", (0, 2, 3))
    values = x.numel() // x.shape[1]
    if training and values == 1 and change.get("refuse", True):
        raise ValueError("one value a channel")
    mean, var = (t[:, None, None] for t in running)
    if training:
        mean, var = x.mean(axes, keepdim=True), x.var(axes, unbiased=False, keepdim=True)
        if change.get("unbiased"):
            var = x.var(axes, keepdim=True)
        if change.get("constant"):
            mean, var = mean.detach(), var.detach()
        factor = 1 if change.get("kept_biased") else values / max(values - 1, 1)
        now = (mean.mean((0, 2, 3)).detach(), var.mean((0, 2, 3)).detach() * factor)
        m = 1 - momentum if change.get("turned") else momentum
        if change.get("kept", True):
            running = tuple((1 - m) * old + m * new for old, new in zip(running, now))
        if change.get("from_running"):
            mean, var = (t[:, None, None] for t in running)
    root = var.sqrt() + eps if change.get("eps_outside") else (var + eps).sqrt()
    return (x - mean) / root * scale[:, None, None] + shift[:, None, None], running


def _one_thing_changed(**change):
    return lambda *inputs, **options: _bn(*inputs, **options, **change)


_kept_biased = _one_thing_changed(kept_biased=True)
_normalised_unbiased = _one_thing_changed(unbiased=True)
_momentum_turned = _one_thing_changed(turned=True)
_never_kept = _one_thing_changed(kept=False)
_statistics_constant = _one_thing_changed(constant=True)
_by_the_running = _one_thing_changed(from_running=True)
_each_picture = _one_thing_changed(axes=(2, 3))
_one_value_taken = _one_thing_changed(refuse=False)


def _always_training(x, scale, shift, running, training, momentum=0.1, eps=1e-5):
    return _batch_norm(x, scale, shift, running, True, momentum, eps)


def _moves_in_eval(x, scale, shift, running, training, momentum=0.1, eps=1e-5):
    out = _batch_norm(x, scale, shift, running, training, momentum, eps)[0]
    return out, _batch_norm(x, scale, shift, running, True, momentum, eps)[1]


def _running_with_graph(x, scale, shift, running, training, momentum=0.1, eps=1e-5):
    out, kept = _batch_norm(x, scale, shift, running, training, momentum, eps)
    return out, tuple(k + 0 * x.sum() for k in kept) if training else kept


def _own_constants(x, scale, shift, running, training, momentum=0.1, eps=1e-5):
    return _batch_norm(x, scale, shift, running, training)


def _bn_outcome(function, x, scale, shift, running, training, *options):
    """What BN gives, its gradients, and the running statistics."""
    leaves = [t.clone().requires_grad_() for t in (x, scale, shift)]
    given = [t.clone() for t in running]
    out = function(*leaves, given, training, *options)
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise Feedback("expected two things, the output and the running (mean, var).")
    if any(not torch.equal(now, before) for now, before in zip(given, running)):
        raise Feedback(
            "it writes into `running`, which it was given: make new tensors and give those back."
        )
    out, kept = out
    compare(out, x, "the output", atol=float("inf"))  # a tensor of this shape
    if not out.requires_grad:
        raise Feedback("no gradient passes through the output: was it detached?")
    if not isinstance(kept, (tuple, list)) or len(kept) != 2:
        raise Feedback("the second thing is to be the pair of running mean and variance.")
    if any(isinstance(t, torch.Tensor) and t.requires_grad for t in kept):
        raise Feedback(
            "the running statistics carry gradients: all batches so far would stay in memory. "
            "Use .detach() on what is kept."
        )
    weights = torch.linspace(-1, 2, x.numel()).view_as(x).sin()  # no sum over a channel is 0
    found = torch.autograd.grad((out * weights).sum(), leaves, allow_unused=True)
    found = [torch.zeros_like(t) if g is None else g for g, t in zip(found, leaves)]
    return [out.detach(), *(torch.as_tensor(t) for t in kept), *found]


BN_PARTS = ("output", "running mean", "running variance", "gradient of x")
BN_PARTS += ("gradient of the scale", "gradient of the shift")


def _test_batch_norm(function):
    if not callable(function):
        raise Feedback("expected a function.")

    def outcome(*inputs):
        return _bn_outcome(function, *inputs)

    generator = torch.Generator().manual_seed(4)
    for n, channels, rows, columns, training, *options in (
        (3, 2, 4, 5, True),
        (3, 2, 4, 5, False),
        (2, 3, 1, 1, True),
        (1, 3, 2, 1, True),
        (1, 3, 1, 1, False),
        (2, 3, 3, 2, True, 0.3, 0.1),  # momentum and eps
    ):
        x = 2 + 3 * torch.randn(n, channels, rows, columns, generator=generator)
        x[:, 0] *= 1e-3  # small enough for eps to count
        scale, shift, mean, log_var = torch.randn(4, channels, generator=generator)  # (channels,)
        inputs = (x, scale, shift, (mean, log_var.exp()), training, *options)
        mode = "train" if training else "eval"
        case = f"{n} picture{'s' * (n > 1)} of {rows}x{columns} in {mode} mode"
        case += ", momentum 0.3, eps 0.1" if options else ""
        want = _bn_outcome(_batch_norm, *inputs)
        try:
            got = call(outcome, *inputs)
        except ValueError:
            if n > 1:  # not refused, but something else that went wrong
                raise
            why = (
                f"has {rows * columns} values a channel" if training else "needs no variance of it"
            )
            raise Feedback(f"ValueError for {case}, which {why}.") from None
        for part, one, other in zip(BN_PARTS, got, want):
            compare(one, other, f"{case}, the {part}")
    one = torch.ones(1, 2, 1, 1)
    try:
        function(one, one[0, :, 0, 0], one[0, :, 0, 0], [one[0, :, 0, 0]] * 2, True)
    except ValueError:
        return
    raise Feedback(
        "one picture of 1x1 in train mode: a single value has no variance. Expected a ValueError."
    )


# 04.5 a residual block


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


# 04.6 frozen means eval mode too


class _Model(nn.Module):
    """A backbone with BN and dropout, and two more parts with dropout."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.neck = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 4))
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2))

    def forward(self, images):
        return self.head(self.neck(self.backbone(images).mean((2, 3))))  # (images, 2)


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
        if not (model.neck.training and model.neck[0].training):
            raise Feedback(
                "a part between backbone and head is in eval mode: only the backbone is to be."
            )
        if any(p.requires_grad for p in model.backbone.parameters()):
            raise Feedback("the backbone's weights still get gradients.")
        if not all(p.requires_grad for p in model.head.parameters()):
            raise Feedback("the head's weights get no gradient: nothing would be learnt.")
        if not all(p.requires_grad for p in model.neck.parameters()):
            raise Feedback(
                "a part between backbone and head gets no gradient: only the backbone is frozen."
            )
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


# 04.8 patches


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
            "How many pixels are left over once the first window lies there? If fewer than none, "
            "raise ValueError. Else each stride of them is one more place.",
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
            (_never_refuses, "A window that is wider than the padded side has no place at all."),
            (_refuses_what_just_fits, "A window exactly as wide as the padded side fits once."),
            (_refuses_without_padding, "The padding makes room, too."),
        ),
    ),
    "04.2": Exercise(
        "The convolution",
        15,
        2,
        _conv2d,
        _test_convolution,
        (
            "Pad x first. Then two loops over the output's rows and columns; its height and its "
            "width each have their own output_side.",
            "At (i, j) the window is x[:, None, :, rows, columns] with rows from i * stride to "
            "i * stride + kernel height. Multiply it with weight, and sum over what isn't "
            "images or output channels.",
        ),
        mistakes=(
            (_square_only, "Height and width have an output side each."),
            (_kernel_square_only, "The kernel's height and width may differ, too."),
            (_flipped, "The formula doesn't flip the kernel."),
            (_bias_forgotten, "The bias of each output channel is missing."),
            (_not_padded, "Zeros are to be put around x first."),
            (_no_stride, "The window at (i, j) begins at row i * stride and column j * stride."),
            (_bias_in_each_channel, "The bias is added once, not for each input channel."),
        ),
    ),
    "04.3": Exercise(
        "The receptive field",
        10,
        2,
        _receptive_field,
        _test_receptive_field,
        (
            "Keep two numbers: what is seen, and how far apart neighbours lie. Both begin with 1.",
            "In each layer `seen` grows first, by the neighbours times their distance. Only then "
            "the distance grows.",
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
    "04.4": Exercise(
        "Batch normalisation",
        15,
        2,
        _batch_norm,
        _test_batch_norm,
        (
            "x.mean((0, 2, 3)) is a mean for each channel; x.var takes unbiased=False. To subtract "
            "it, give it two more axes: mean[:, None, None].",
            "In train mode normalise by the batch's mean and biased variance, and mix a tenth of "
            "(mean, n / (n - 1) * variance), detached, into `running`. In eval mode normalise by "
            "`running`, and give it back as it is. First of all: is there more than one value?",
        ),
        mistakes=(
            (_kept_biased, "What is kept is the variance without bias: times n / (n - 1)."),
            (_normalised_unbiased, "The batch is normalised by the biased variance: by n."),
            (_momentum_turned, "A tenth of the new batch goes in, nine tenths of the old stay."),
            (_never_kept, "The running statistics don't move in train mode."),
            (_statistics_constant, "Mean and variance depend on x: don't detach them there."),
            (_by_the_running, "In train mode the batch's own statistics normalise."),
            (_each_picture, "The mean goes over the pictures of the batch, too."),
            (_always_training, "In eval mode the running statistics normalise."),
            (_moves_in_eval, "In eval mode the running statistics stay as they are."),
            (_one_value_taken, ""),
            (_running_with_graph, ""),
            (_own_constants, "`momentum` and `eps` are given: use them, not 0.1 and 1e-5."),
        ),
    ),
    "04.5": Exercise(
        "A residual block",
        5,
        1,
        _residual_block,
        _test_residual,
        (
            "Follow the drawing from left to right. What does each arrow carry?",
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
    "04.6": Exercise(
        "Frozen means eval mode, too",
        8,
        2,
        _start_epoch,
        _test_start_epoch,
        (
            "model.train() reaches every module inside. What has to come after it?",
            "Three calls: one puts everything in train mode, one stops gradients, one takes the "
            "backbone out of train mode again. Which must come last?",
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
    "04.7": Exercise(
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
    "04.8": Exercise(
        "Patches are a convolution",
        15,
        2,
        _patch_embed,
        _test_patch_embed,
        (
            "reshape cuts each side in two: (images, 3, rows, patch, columns, patch). Bring the "
            "axes of one patch together with permute, before you flatten.",
            "After permute the axes are (images, rows, columns, 3, patch, patch). Reshape to "
            "(images, patches, 3 * patch * patch) and multiply with the weight, flattened in the "
            "same order.",
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
    "04.9": Exercise(
        "Which stem?",
        5,
        2,
        "c",
        choice(
            "c",
            {
                "a": "A ViT from scratch must learn to see from 2,000 pictures; frozen features "
                "can do so already.",
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

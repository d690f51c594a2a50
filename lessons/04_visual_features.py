# ---
# jupyter:
#   course:
#     title: Visual features
#     needs: ["00", "02"]
# ---

# %% [markdown]
# The lessons before turned words into vectors. This one does it for pictures. In this lesson you
# will
#
# - name what is in photographs with a real network;
# - write a convolution, batch normalisation and a residual block, and load torchvision's weights
#   into the course's networks;
# - see how a signal fades in 30 plain layers, and what other first weights, a path around layers, and normalisation change;
# - break a frozen network by leaving it in train mode;
# - read single attributes out of frozen features, and know what to compare with;
# - build a Vision Transformer, and prove what it can't see without positions.

# %% tags=["setup"]
import copy
import math
import textwrap
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from course_utils.checks import check, hint, quiz
from course_utils.datasets import load_emoji
from course_utils.datasets.features import cached_features
from course_utils.evaluation.intervals import paired_difference
from course_utils.models.cnn import VGG, Bottleneck, ResNet, vgg_block
from course_utils.models.efficientnet import EfficientNetLite0, resize
from course_utils.models.pretrained import (
    imagenet_names,
    load_efficientnet_lite0,
)
from course_utils.models.vit import ViT, ViTConfig
from course_utils.notebook import diagrams, lab, plots
from course_utils.studies import cnn_vit, depth
from course_utils.studies.runs import read_runs
from course_utils.world.drawing import draw
from course_utils.world.scenes import compose
from matplotlib import cbook
from PIL import Image
from scipy.stats import t as student
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

# %% [markdown]
# ## 1. A network that has seen a lot · core
#
# EfficientNet-Lite0 has been trained to name the things in over a million photographs, with 1,000
# names. Three photographs are on this machine already: two come with scikit-learn, one with
# matplotlib. What does the network call them? And some emoji, which are no photographs at all?

# %%
lite = load_efficientnet_lite0()
classes = imagenet_names()


def as_tensor(pixels):
    """uint8 (height, width, 3) -> (3, height, width) in [0, 1]."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float() / 255


# %% tags=["figure"]
# (3, 427, 640) each
temple, flower = map(as_tensor, load_sample_images().images)
with Image.open(cbook.get_sample_data("grace_hopper.jpg")) as file:
    admiral = as_tensor(file.convert("RGB"))  # (3, 600, 512)
photographs = {"temple": temple, "flower": flower, "admiral": admiral}
emoji = load_emoji("all")
wanted = ["dog face", "pizza", "umbrella", "soccer ball", "violin"]
shown = {
    name: emoji.images[emoji.names.index(name)].float() / 255
    for name in wanted
    if name in emoji.names
}


def square(image, side=224):
    """The middle square of a picture (3, height, width), resized.

    Gives (1, 3, side, side).
    """
    short = min(image.shape[1:])
    top, left = ((length - short) // 2 for length in image.shape[1:])
    return resize(image[None, :, top : top + short, left : left + short], side)


squares = {n: square(image) for n, image in {**photographs, **shown}.items()}

# %%
with torch.no_grad():
    top5 = {
        name: lite.classify(image).softmax(-1).topk(5)
        for name, image in squares.items()
    }

# %% tags=["figure"]
rows = [
    [name, *(f"{classes[i]} {100 * p:.0f} %" for p, i in zip(p[0], index[0]))]
    for name, (p, index) in top5.items()
]
pictures = [image[0] for image in squares.values()]
plots.show(
    plots.images_grid(pictures, list(top5), columns=4, size=1.3),
    alt=(
        "Three photographs, of a temple, a flower and a woman in uniform, and"
        " five emoji."
    ),
)
header = ["picture", "first", "second", "third", "fourth", "fifth"]
plots.table(rows, header=header)

# %% [markdown]
# It comes close with the photographs, and with some of the drawings. There is no class for a woman:
# it names her clothes. So the 1,000 names decide what can be said at all.
#
# We want the step *before* the names: the network's **visual features** $v$. How do 150,000 numbers
# of light (3 · 224 · 224) become a few vectors of meaning? Every network of this lesson answers in
# the same form: pictures in, $v$ (images, patches, dim) out. Such a network is called a **visual
# backbone**. Its first layers are its **stem**; of a small backbone the stem may be all.

# %% tags=["figure"]
diagrams.flow(
    {
        "p": (0, 0, "pictures"),
        "b": (0, 1, "VGG, ResNet, EfficientNet\nor Vision Transformer"),
        "v": (0, 2, "visual features v"),
        "t": (0, 3, "joint Transformer\n(lesson 05)"),
        "m": (1, 3, "mean over patches,\nlinear layer: names"),
    },
    [
        ("p", "b", "(images, 3, height, width)"),
        ("b", "v", "(images, patches, dim)"),
        ("v", "t", ""),
        ("v", "m", ""),
    ],
    alt=(
        "Pictures go through a backbone, which is one of VGG, ResNet,"
        " EfficientNet or Vision Transformer, and become visual features v of"
        " shape images, patches, dim. A joint Transformer reads all patches; a"
        " classifier reads their mean."
    ),
    across=False,
    marked=["b"],
)

# %% [markdown]
# ## 2. Convolution by hand · core
#
# A linear layer from 64 x 64 x 3 pixels to as many numbers would have 151 million weights. It would
# have to learn a corner anew at each place. A **convolution** makes two assumptions: what matters
# is *local*, and what is good at one place is good at all.

# %% [markdown]
# A small window of weights, the **kernel**, slides over the picture. At each place it is multiplied
# with what lies below, and summed. On numbers, with one channel and a kernel that takes the left
# neighbour from the right one:

# %%
row = torch.tensor([[[[0.0, 0.0, 5.0, 5.0, 9.0]]]])  # (1, 1, 1, 5)
edge = torch.tensor([[[[-1.0, 1.0]]]])  # (1, 1, 1, 2)
print("pixels:", row.flatten().tolist())
print("right minus left:", F.conv2d(row, edge).flatten().tolist())

# %% [markdown]
# In general the sum also goes over the input channels:
#
# $$o_{c,i,j} = \beta_c + \sum_{k}\sum_{a=0}^{K-1}\sum_{b=0}^{K-1}
#   w_{c,k,a,b}\; x_{k,\; i s + a - p,\; j s + b - p} ,$$
#
# for output channel $c$, row $i$ and column $j$, and input channel $k$. The kernel's weights $w$
# are $K$ pixels wide and high, $\beta_c$ is a bias. $s$ is the **stride**: the window moves $s$
# pixels at a time. $p$ is the **padding**: so many rows and columns of zeros are put on each side.
# Mathematicians flip the kernel for a convolution; what we compute they call a cross-correlation.
# Networks learn the kernel, so it doesn't matter.

# %% [markdown]
# How large is the output? The padded side has $n + 2p$ pixels. A window of $K$ pixels that starts
# at $t$ fits if $t + K \le n + 2p$, so $t$ goes from 0 to $n + 2p - K$. With stride $s$ we take
# each $s$-th of these starts: $\lfloor (n + 2p - K) / s \rfloor + 1$ of them.

# %% [markdown]
# > **Exercise 04.1 · write it** · core · difficulty 1 of 3 · 5 minutes
# >
# > Write this formula for a kernel that may be **dilated**: its entries lie `dilation` pixels
# > apart, so that it spans `dilation * (kernel - 1) + 1` pixels. Where not even one window fits,
# > raise a ValueError, as PyTorch raises an error. Stuck? Run `hint("04.1")`.


# %%
def output_side(side, kernel, stride=1, padding=0, dilation=1):
    """Side of a convolution's output, in pixels: an int.

    Raises ValueError if the kernel is wider than the padded side.
    """
    ### BEGIN SOLUTION
    span = dilation * (kernel - 1) + 1
    left_over = side + 2 * padding - span
    if left_over < 0:
        raise ValueError(f"the window is {-left_over} pixels too wide")
    return left_over // stride + 1
    ### END SOLUTION


# %%
output_side = check("04.1", output_side)

# %% [markdown]
# Now the sum itself. The drawing shows one place $(i, j)$ of the output.

# %% tags=["figure"]
diagrams.flow(
    {
        "x": (0, 0, "x, padded"),
        "w": (0, 1, "window at\nrow i s, column j s"),
        "k": (1, 1, "kernels"),
        "*": (0, 2, "multiply,\nsum, + bias"),
        "o": (0, 3, "output at (i, j)"),
    },
    [
        ("x", "w", "(images, channels,\nrows, columns)"),
        ("w", "*", "(images, channels, K, K)"),
        ("k", "*", "(out, channels, K, K)"),
        ("*", "o", "(images, out)"),
    ],
    alt=(
        "From the padded pictures a window is cut out at row i s and column"
        " j s. It is multiplied with each kernel and summed, a bias is added,"
        " and that is the output at row i and column j, for each output"
        " channel."
    ),
    across=False,
    marked=["*"],
)

# %% [markdown]
# > **Exercise 04.2 · write it** · core · difficulty 2 of 3 · 15 minutes
# >
# > Write the convolution, place by place, with two loops over the rows and columns of the output.
# > Pictures and kernels need not be square. Each window meets all kernels: `[:, None]` makes room
# > for that axis. `output_side` is yours; `F.pad(x, (p,) * 4)` puts $p$ zeros on all four sides.


# %%
def conv_by_loop(x, weight, bias, stride, padding):
    """Convolution of x (images, channels, height, width).

    weight is (out, channels, kernel height, kernel width), bias (out,).
    Gives (images, out, rows, columns).
    """
    ### BEGIN SOLUTION
    height, width = weight.shape[2:]
    rows = output_side(x.shape[2], height, stride, padding)
    columns = output_side(x.shape[3], width, stride, padding)
    x = F.pad(x, (padding,) * 4)
    out = torch.zeros(len(x), len(weight), rows, columns)
    for i in range(rows):
        for j in range(columns):
            down = slice(i * stride, i * stride + height)
            right = slice(j * stride, j * stride + width)
            # (images, 1, channels, kernel height, kernel width)
            window = x[:, None, :, down, right]
            # (images, out)
            out[:, :, i, j] = (window * weight).sum((2, 3, 4)) + bias
    return out
    ### END SOLUTION


# %%
conv_by_loop = check("04.2", conv_by_loop)

# %% [markdown]
# Loops are slow. `unfold` lays each window out as one column, and the whole convolution is one
# product of matrices.


# %%
def conv_by_product(x, weight, bias, stride, padding):
    """The same, as one product."""
    sides = [
        output_side(side, kernel, stride, padding)
        for side, kernel in zip(x.shape[2:], weight.shape[2:])
    ]
    windows = F.unfold(x, weight.shape[2:], padding=padding, stride=stride)
    # windows: (images, channels * kernel * kernel, rows * columns)
    out = weight.flatten(1) @ windows + bias[:, None]
    return out.unflatten(2, sides)  # (images, out, rows, columns)


# %%
generator = torch.Generator().manual_seed(0)
# (images, channels, height, width)
x = torch.randn(2, 3, 12, 20, generator=generator)
bias = torch.randn(5, generator=generator)  # (out,)
gaps = []
for kernel, stride, padding in ((3, 1, 1), (3, 2, 1), (7, 2, 3), (4, 4, 0)):
    # (out, channels, k, k)
    weight = torch.randn(5, 3, kernel, kernel, generator=generator)
    options = (weight, bias, stride, padding)
    theirs = F.conv2d(x, *options)  # (images, out, rows, columns)
    print(f"kernel {kernel}, stride {stride}: 12x20 ->", *theirs.shape[2:])
    gaps += [
        (ours(x, *options) - theirs).abs().max()
        for ours in (conv_by_loop, conv_by_product)
    ]
lab.claim("loop and product equal F.conv2d", max(gaps) < 1e-4)

# %% [markdown]
# ### What kernels find
#
# What does a kernel find? Three that need no learning, on the temple: the difference of neighbours
# is an edge detector. In the two maps of edges, grey is about 0. White: the left (or upper) side is
# brighter. Black: the right (or lower) side is.

# %% tags=["figure"]
grey = square(temple, 160).mean(1, keepdim=True)  # (1, 1, 160, 160)
kernels = {
    "mean of 25": torch.full((5, 5), 1 / 25),
    "left minus right": torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]),
    "top minus bottom": torch.tensor([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]]),
}

# %% tags=["figure"]
figure, axes = plt.subplots(1, 4, figsize=(10, 2.8))
axes[0].imshow(grey[0, 0], cmap="gray")
axes[0].set_title("grey temple")
for axis, (name, kernel) in zip(axes[1:], kernels.items()):
    response = F.conv2d(grey, kernel[None, None])[0, 0]  # (rows, columns)
    axis.imshow(response, cmap="gray")
    axis.set_title(name)
for axis in axes:
    axis.axis("off")
plots.show(
    figure,
    alt=(
        "The temple in grey, blurred by a mean, its vertical edges, and its "
        "horizontal edges."
    ),
)

# %% [markdown]
# And the kernels that EfficientNet has *learnt* for its first layer. Each is stretched to the full
# range of colours, so their strengths can't be compared. Some go from light to dark: edges. Others
# set one colour against another.

# %% tags=["figure"]
first = lite.stem[0].weight  # (32, 3, 3, 3)
low = first.amin((1, 2, 3), keepdim=True)  # (32, 1, 1, 1)
high = first.amax((1, 2, 3), keepdim=True)  # (32, 1, 1, 1)
scaled = (first - low) / (high - low)  # (32, 3, 3, 3) each kernel in [0, 1]
figure, axes = plt.subplots(2, 16, figsize=(10, 1.6))
for axis, kernel in zip(axes.flat, scaled):
    axis.imshow(plots.as_picture(kernel))
    axis.axis("off")
figure.suptitle("The 32 learnt kernels of the first layer, 3x3 each")
plots.show(
    figure,
    alt=(
        "32 small colour patches of 3 by 3 pixels; some are edges between light"
        " and dark, some contrasts of two colours."
    ),
)

# %% [markdown]
# ### The gradient is a convolution, too · extra
#
# A weight $w_{c,k,a,b}$ touches each output $o_{c,i,j}$ once, with the pixel $x_{k,i+a,j+b}$
# (stride 1, no padding). So, with the gradient $g = \partial L / \partial o$ of each image,
#
# $$\frac{\partial L}{\partial w_{c,k,a,b}} = \sum_{\text{images}} \sum_{i,j}
#   g_{c,i,j}\; x_{k,\,i+a,\,j+b} :$$
#
# the picture convolved with $g$ as its kernel, where images take the place of channels.

# %%
weight = torch.randn(5, 3, 3, 3, generator=generator, requires_grad=True)
out = F.conv2d(x, weight)  # (2, 5, 10, 18)
g = torch.randn(out.shape, generator=generator)  # (2, 5, 10, 18)
out.backward(g)
# images and channels exchanged: (3, 2, 12, 20) and (5, 2, 10, 18)
by_hand = F.conv2d(x.transpose(0, 1), g.transpose(0, 1))  # (3, 5, 3, 3)
gap = (by_hand.transpose(0, 1) - weight.grad).abs().max()
lab.claim("the gradient of the kernel equals autograd's", gap < 1e-4)

# %% [markdown]
# ## 3. Blocks of layers, and how far they see · core
#
# VGG's idea: only 3x3 convolutions, a ReLU behind each, and now and then a **max-pooling** that
# keeps the largest of 2x2 numbers and so halves the sides. Two 3x3 layers see 5x5 pixels with $2
# \cdot 9 = 18$ weights for each pair of an input and an output channel; one 5x5 layer would have
# 25.

# %% [markdown]
# The package's `vgg_block` is this list of layers, and `VGG` a row of blocks. The names of its
# parameters are torchvision's. So torchvision's weights, a dictionary from names to tensors
# (`state_dict`), fit:

# %%
print(nn.Sequential(*vgg_block(3, 64, convs=2)))
torch.manual_seed(lab.seed)
# random weights
theirs = torchvision.models.vgg11(weights=None).features.eval()
blocks = ((64, 1), (128, 1), (256, 2), (512, 2), (512, 2))
ours = VGG(blocks, norm="none").eval()
ours.features.load_state_dict(theirs.state_dict())
images = torch.rand(2, 3, 64, 64)  # (images, 3, 64, 64)
with torch.no_grad():
    v = ours(images)  # (images, 4, 512)
    gap = (v - theirs(images).flatten(2).transpose(1, 2)).abs().max()
print(f"v {tuple(v.shape)}; difference to torchvision below 1e-5: {gap < 1e-5}")
lab.claim("our VGG equals torchvision's", gap < 1e-5)

# %% [markdown]
# 64 pixels, halved five times, are 2. So $v$ has $2 \cdot 2 = 4$ rows. Each place of this grid is
# called a **patch**, too, although it sees more than its own square of the picture. How much more?
#
# How many pixels can one entry of $v$ see, its **receptive field**? Go up from the input. One pixel
# sees itself: $r = 1$, and neighbours lie $D = 1$ pixel apart. A layer with kernel $K$ and stride
# $s$ looks at $K$ neighbours. That adds $(K - 1)\, D$ to what is seen. After it, neighbours lie $s$
# times as far apart:
#
# $$r \leftarrow r + (K - 1)\, D, \qquad D \leftarrow s\, D .$$

# %% [markdown]
# Two layers of 3x3: $r = 1 \to 3 \to 5$. A pooling of 2x2 with stride 2 first: $r = 1 \to 2$, and
# neighbours are 2 apart; then 3x3: $r = 2 + 2 \cdot 2 = 6$.

# %% [markdown]
# > **Exercise 04.3 · write it** · core · difficulty 2 of 3 · 10 minutes
# >
# > Write it for a list of (kernel, stride). Pooling counts as a layer.


# %%
def receptive_field(layers):
    """Side in pixels that one output sees; layers is a list of
    (kernel, stride), first to last."""
    ### BEGIN SOLUTION
    seen, step = 1, 1
    for kernel, stride in layers:
        seen += (kernel - 1) * step
        step *= stride
    return seen
    ### END SOLUTION


# %%
receptive_field = check("04.3", receptive_field)

# %% [markdown]
# ### The rule, tested by gradients · extra
#
# A formula for what is seen can be tested: the gradient of one output with respect to the pixels is
# zero wherever it doesn't look. Here is a small VGG of four blocks, a large picture, and the
# gradient of its middle patch. So that nothing hides, its weights are made positive, and its
# poolings take the mean: a maximum passes its gradient to one pixel of four.

# %%
torch.manual_seed(lab.seed)
small = VGG(((8, 1), (8, 1), (8, 2), (8, 2)), norm="none")
for module in small.features:
    if isinstance(module, nn.Conv2d):
        # positive: nothing cancels, no ReLU closes
        nn.init.uniform_(module.weight, 0.1, 0.2)
pooled = [
    nn.AvgPool2d(2) if isinstance(m, nn.MaxPool2d) else m
    for m in small.features
]
picture = torch.rand(1, 3, 160, 160, requires_grad=True)  # (1, 3, 160, 160)
grid = nn.Sequential(*pooled)(picture)  # (1, 8, 10, 10)
grid[0, :, 5, 5].sum().backward()
touched = picture.grad.abs().sum((0, 1))  # (160, 160)
spread = touched / touched.max()  # (160, 160)
seen = int((touched.sum(0) > 0).sum())
rule = receptive_field([(3, 1), (2, 2)] * 2 + [(3, 1), (3, 1), (2, 2)] * 2)
central = (touched > 0.1 * touched.max()).any(0).sum()

# %% tags=["figure"]
figure, axis = plt.subplots(figsize=(4.8, 3.4))
figure.colorbar(axis.imshow(spread.sqrt()), label="root of relative gradient")
axis.set_title(f"One patch sees {seen} x {seen} pixels, its centre best")
plots.show(
    figure,
    alt=(
        "A bright blob in the middle of a dark square: the gradient of one"
        " output by the pixels, strongest in the middle and exactly zero"
        " outside."
    ),
)

# %%
print(
    f"by the gradient {seen} pixels, by the rule {rule}; above a tenth of the"
    f" maximum {central}"
)
lab.claim("the receptive field by gradient is that of the rule", seen == rule)

# %% [markdown]
# The field is the *most* that an output can see. What it sees well is a smaller part in the middle:
# the last number above is the width of what is above a tenth of the maximum.

# %% [markdown]
# ### Without a ReLU, two layers are one · extra
#
# Without the ReLU between them, two convolutions are *one* convolution: a product of linear maps is
# linear. (At the border of a padded picture not quite.) Which one? Show them a single white pixel.
# As the windows pass over it, it is multiplied with each weight once, so what comes out *is* the
# kernel, mirrored.

# %%
two = nn.Sequential(
    nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 4, 3, bias=False)
).double()
# one picture a channel, one white pixel
impulse = torch.zeros(3, 3, 9, 9, dtype=torch.float64)
impulse[range(3), range(3), 4, 4] = 1
with torch.no_grad():
    answer = two(impulse)  # (3, 4, 5, 5) what one pixel does
    # (4, 3, 5, 5) mirrored back: the one kernel
    one = answer.transpose(0, 1).flip(2, 3)
    # (2, 3, 20, 20)
    x = torch.randn(2, 3, 20, 20, dtype=torch.float64, generator=generator)
    gap = (two(x) - F.conv2d(x, one)).abs().max()
    relu = nn.Sequential(two[0], nn.ReLU(), two[1])
    bent = (relu(x) - F.conv2d(x, one)).abs().max()
print(
    f"two 3x3 layers and one 5x5 layer differ by less than 1e-12: {gap < 1e-12}"
)
print(f"with a ReLU between them by {bent:.1f}")
lab.claim(
    "two convolutions without anything between are one",
    gap < 1e-12 < 0.1 < bent,
)

# %% [markdown]
# ## 4. Deep: normalisation and residuals · core
#
# More layers can say more. Can they be trained? Two ideas made it possible.
#
# **Batch normalisation** (BN) brings each channel to mean 0 and variance 1, over all places of all
# pictures of the *batch*, and then scales and shifts it by learnt $\gamma, \beta$:
#
# $$\hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}, \qquad y = \gamma \hat x + \beta ,$$
#
# where $\mu$ and $\sigma^2$ are mean and variance over the channel's $n$ values, without bias
# correction: divided by $n$.

# %% [markdown]
# A single picture has no batch. So BN also keeps *running* statistics, a tenth of each new batch
# and nine tenths of the old, and uses these in eval mode. The variance that it keeps is divided by
# $n - 1$.

# %% tags=["figure"]
diagrams.flow(
    {
        "x": (1, 0, "x"),
        "b": (1, 1, "mean and variance\nof the batch"),
        "r": (0, 1, "running mean\nand variance"),
        "n": (1, 2, "subtract, divide,\nscale, shift"),
        "y": (1, 3, "y"),
    },
    [
        ("x", "b", "(images, channels,\nrows, columns)"),
        ("x", "n", "x"),
        ("b", "n", "train mode:\n(channels,) each"),
        ("b", "r", "a tenth"),
        ("r", "n", "eval mode"),
        ("n", "y", ""),
    ],
    alt=(
        "In train mode x is normalised by mean and variance of the batch, a"
        " tenth of which goes into the running statistics. In eval mode the"
        " running statistics are used instead."
    ),
    across=False,
    marked=["n"],
)

# %% [markdown]
# > **Exercise 04.4 · write it** · core · difficulty 2 of 3 · 15 minutes
# >
# > Write both modes. With a single value a channel, such as one picture of 1x1, train mode can't
# > have a variance: raise a ValueError, as PyTorch does. What is kept must carry no gradient:
# > `.detach()` it.


# %%
def batch_norm(x, scale, shift, running, training, momentum=0.1, eps=1e-5):
    """BN of x (images, channels, rows, columns); scale, shift (channels,).

    Gives y and the new running (mean, variance), (channels,) each.
    """
    ### BEGIN SOLUTION
    mean, var = running  # (channels,) each
    if training:
        n = x.numel() // x.shape[1]  # values a channel
        if n == 1:
            raise ValueError("one value a channel has no variance")
        # (channels,) each
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        new = (mean.detach(), var.detach() * n / (n - 1))
        running = tuple(
            (1 - momentum) * old + momentum * now
            for old, now in zip(running, new)
        )
    mean, var, scale, shift = (
        t[:, None, None] for t in (mean, var, scale, shift)
    )
    # (images, channels, rows, columns)
    return (x - mean) / (var + eps).sqrt() * scale + shift, running
    ### END SOLUTION


# %%
batch_norm = check("04.4", batch_norm)

# %%
bn = nn.BatchNorm2d(4)
nn.init.uniform_(bn.weight), nn.init.uniform_(bn.bias)
running, gaps = (torch.zeros(4), torch.ones(4)), []
for step in range(5):
    bn.train(step < 4)  # four batches in train mode, one in eval mode
    x = 2 + 3 * torch.randn(6, 4, 5, 5)  # (images, channels, rows, columns)
    ours, running = batch_norm(x, bn.weight, bn.bias, running, bn.training)
    gaps.append((ours - bn(x)).abs().max().item())
gaps.append((running[1] - bn.running_var).abs().max().item())
lab.claim(
    "BN by hand equals nn.BatchNorm2d, in train and in eval mode",
    max(gaps) < 1e-5,
)

# %% [markdown]
# ### Residual blocks
#
# A **residual block** adds what it computes to what came in: $y = \mathrm{relu}(x + F(x))$. Its
# derivative is $1 + F'(x)$ where the last ReLU's input is positive. Multiply out the derivatives of
# many blocks, $(1 + F_1')(1 + F_2') \cdots$: one of the terms is $1 \cdot 1 \cdots 1$. So a part of
# the gradient comes back as it is.

# %% tags=["figure"]
diagrams.flow(
    {
        "x": (0, 0, "x"),
        "F": (0, 1, "F: convolution,\nReLU, convolution"),
        "+": (0, 2, "+"),
        "r": (0, 3, "ReLU"),
        "y": (0, 4, "y"),
    },
    [
        ("x", "F", "(images, channels,\nrows, columns)"),
        ("F", "+", ""),
        ("x", "+", "unchanged"),
        ("+", "r", ""),
        ("r", "y", ""),
    ],
    alt=(
        "A residual block: x goes through F, and x itself goes around F"
        " unchanged. Both are added and pass a ReLU."
    ),
    across=False,
    marked=["F"],
)

# %% [markdown]
# > **Exercise 04.5 · write it** · core · difficulty 1 of 3 · 5 minutes
# >
# > Write ResNet's basic block without normalisation: $F$ is a convolution, a ReLU, a convolution.


# %%
def residual_block(x, conv1, conv2):
    """relu(x + F(x)) for x (images, channels, rows, columns).

    conv1 and conv2 are functions.
    """
    ### BEGIN SOLUTION
    h = conv2(conv1(x).relu())  # (images, channels, rows, columns)
    return (x + h).relu()  # (images, channels, rows, columns)
    ### END SOLUTION


# %%
residual_block = check("04.5", residual_block)

# %% [markdown]
# ### First the pictures
#
# A picture of our world is light: its numbers lie near 0.85, and what differs from picture to
# picture is small beside that. So one takes away each colour channel's mean over all pictures, and
# divides by its standard deviation. Does that matter? Two layers, 200 updates, both ways: which of
# 8 colours has the only thing in the picture?

# %%
many, colour, shape = depth.one_thing(4000, seed=lab.seed)
test_images, test_colour, test_shape = depth.one_thing(1000, seed=1_000_000)
# (n, 3, 8, 8) each
tiny, tiny_test = F.avg_pool2d(many, 8), F.avg_pool2d(test_images, 8)
mean, std = (f((0, 2, 3), keepdim=True) for f in (tiny.mean, tiny.std))
print("mean of each colour channel:", [f"{m:.2f}" for m in mean.flatten()])
print("standard deviation:         ", [f"{s:.2f}" for s in std.flatten()])

# %%
HE = depth.NETWORKS["plain, He's start"]
losses, right = {}, {}
for name, middle, scale in (("as they are", 0, 1), ("standardised", mean, std)):
    model = depth.deep(*HE, blocks=1, seed=lab.seed).to(lab.device)
    part, part_test = ((some - middle) / scale for some in (tiny, tiny_test))
    steps = lab.steps(cpu=200, gpu=200)
    losses[name] = depth.train(model, part, colour, steps, 1e-2, lab.seed)
    right[name] = depth.accuracy(model, part_test, test_colour)
lab.claim(
    "from standardised pictures two layers learn more than 80 % of the new"
    " pictures' colours, from pictures as they are less than 50 %",
    right["as they are"] < 0.5 < 0.8 < right["standardised"],
)

# %% tags=["figure", "varies"]
plots.show(
    plots.curves(
        losses,
        "update",
        "loss",
        "Two layers learn once the pictures are standardised",
        baseline=("chance", math.log(8)),
    ),
    alt=(
        "Two losses over 200 updates. With pictures as they are it stays at"
        " chance, with standardised ones it falls close to 0."
    ),
)

# %% [markdown]
# All networks below get standardised pictures. `depth.train` is AdamW, with a rate that rises and
# then falls.

# %% [markdown]
# ### Thirty layers before training
#
# Does depth itself do harm? Five networks have a first layer and 15 pairs of convolutions, 30
# layers of width 16. They differ in three things: the start of their weights, the path around each
# pair, and BN.

# %% [markdown]
# Why the *start*? *Fan in* is the number of inputs of one output, here $9 \cdot 16$. The mean
# square of a sum of so many products is (fan in) x (variance of a weight) x (mean square of the
# inputs). PyTorch's default variance is $1 / (3 \cdot \text{fan in})$: a third is left. The ReLU
# halves that. So the mean square shrinks to a sixth, and the signal itself to
# $1 / \sqrt 6 \approx 0.41$, in each layer. **He's start** has $2 / \text{fan in}$: then the
# mean square stays, in the mean over many starts.


# %%
def before_training(kind, images, labels, seed):
    """What 30 layers make of pictures, and the gradients that come back.

    Gives the features' root mean square, how much of it differs from
    picture to picture, and the norms of the gradients of the weights and of
    the biases (or BN's shifts), layer by layer.
    """
    model = depth.deep(*kind, seed=seed)
    v = model(images).mean(1)  # (images, width)
    size = v.square().mean().sqrt()
    differs = v.var(0, unbiased=False).mean().sqrt() / size
    F.cross_entropy(model.fc(v), labels).backward()
    found = [
        [
            p.grad.norm().item()
            for name, p in model.named_parameters()
            if name.startswith("layer") and name.endswith(ends)
        ]
        for ends in (("conv1.weight", "conv2.weight"), ".bias")
    ]
    return size.item(), differs.item(), *found


standard = depth.standardised(tiny, tiny)  # (4000, 3, 8, 8)
before = {
    name: [
        before_training(kind, standard[:64], colour[:64], lab.seed + i)
        for i in range(5)
    ]
    for name, kind in depth.NETWORKS.items()
}

# %% tags=["figure"]
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True)
for axis, i, what in zip(axes, (2, 3), ("weights", "biases or shifts")):
    plots.curves(
        {name: starts[0][i] for name, starts in before.items()},
        "layer",
        "norm of the gradient",
        f"Before training: {what}",
        axis=axis,
    )
    axis.set_yscale("log")
axes[0].get_legend().remove()
axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
plots.show(
    figure,
    alt=(
        "Gradients of 30 layers on a logarithmic axis. Left, weights: those of"
        " the plain network with the default start lie many orders of magnitude"
        " below all others, in every layer. Right, biases: they fall from the"
        " last layer to the first; the last layers get as much as others."
    ),
)

# %% tags=["figure"]
first = {
    name: max(sum(start[2][:3]) / 3 for start in starts)
    for name, starts in before.items()
}
last = {
    name: min(start[3][-1] for start in starts)
    for name, starts in before.items()
}
share = {
    name: np.mean([start[1] for start in starts])
    for name, starts in before.items()
}

# %% tags=["figure"]
rows = []
for name, starts in before.items():
    size, differs, weights, biases = zip(*starts)
    logs = [
        [math.log10(value) for value in values]
        for values in (
            size,
            [sum(norms[:3]) / 3 for norms in weights],
            [norms[-1] for norms in biases],
        )
    ]
    texts = [lab.mean_spread(values) for values in logs]
    texts.insert(1, lab.mean_spread(differs, digits=2))
    rows.append([name, *texts])
header = ["30 layers, five starts", "log10 of the signal"]
header += ["part that differs between pictures"]
header += ["log10 of the gradient: first weights", "last biases"]
plots.table(rows, header=header)
power = -15 * math.log10(6)
print(f"predicted for the default start: a signal of 10^{power:.1f}")

# %%
lab.claim(
    "in the plain network with the default start the first weights get less"
    " than the 1e-8 that AdamW adds, the last biases a million times more",
    first["plain, default start"] < 1e-8
    and last["plain, default start"] > 1e6 * first["plain, default start"],
)
lab.claim(
    "in all five, more than a quarter of the signal differs between pictures",
    min(share.values()) > 0.25,
)

# %% [markdown]
# With the default start the signal fades, and the gradients of the weights with it. Both starts
# keep less than the rule says. It holds for the mean over many starts, and it knows nothing of the
# zeros around each picture. AdamW's step is about $g / (|g| + 10^{-8})$ times the rate. For $g =
# 10^{-13}$ this is $10^{-5}$ of a usual step. A weight's gradient is a product: the signal that
# comes in, small in late layers, times the gradient that comes back, small in early ones. So it is
# tiny in every layer. A bias's gradient has only the second factor: it falls from right to left.
# The *biases* of the last layers get as much gradient as in other networks. But a bias is the same
# for all pictures.

# %% [markdown]
# The pictures have not become alike: divided by the size of the signal, they differ about as much
# as with He's start. And He's start is a factor of about 30 below 1, not of 10^13. Is that enough
# to learn?

# %% [markdown]
# ### Thirty layers after training
#
# Each network was trained with 2 layers and with 30, for 300 updates, from three starts, with
# `python -m course_utils.studies depth`. Of two learning rates each has the one that is better on
# validation pictures. The last column of the table is the mean difference over the three starts. In
# brackets is a 95 % interval: made like this, 95 of 100 such intervals hold the true difference. If
# 0 lies in it, no difference is shown.

# %% tags=["figure"]
kept = read_runs(lab.data_path("studies/depth.json"))
trained = {}  # (network, blocks) -> one run a seed, of the chosen rate
for row in kept:
    name, blocks = row["network"], row["blocks"]
    rate = depth.best_rate(kept, network=name, blocks=blocks)
    if row["rate"] == rate:
        trained.setdefault((name, blocks), []).append(row)


def interval(values):
    """The mean and its 95 % interval by t, from runs that differ in seed."""
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1)
    half /= math.sqrt(len(values))
    middle = np.mean(values)
    return f"{middle:.1f} ({middle - half:.1f} to {middle + half:.1f})"


# %% tags=["figure"]
figure = plots.curves(
    {
        name: (range(10, 301, 10), trained[name, 15][0]["losses"])
        for name in depth.NETWORKS
    },
    "update",
    "loss, mean of 10 updates",
    "30 layers: only those with a path come close to 0",
    baseline=("chance", math.log(8)),
)
figure.axes[0].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
plots.show(
    figure,
    alt=(
        "Losses of 30 layers over 300 updates. The plain network with the"
        " default start stays at chance; plain with He's start and plain with"
        " BN end about half way; both residual networks come close to 0."
    ),
)

# %% tags=["figure"]
rows, lost = [], {}
for name in depth.NETWORKS:
    texts = []
    for blocks in (1, 15):
        runs = trained[name, blocks]
        for part in ("seen", "test"):
            texts.append(lab.mean_spread([run[part] for run in runs]))
    pairs = zip(trained[name, 15], trained[name, 1])
    lost[name] = [deep["test"] - two["test"] for deep, two in pairs]
    rows.append([name, *texts, interval(lost[name])])
header = ["colours right (%); chance 12.5", "2 layers: trained on"]
header += ["2: new", "30 layers: trained on", "30: new"]
plots.table(rows, header=[*header, "30 less 2, points (95 %)"])

# %%
two = [run["test"] for name in depth.NETWORKS for run in trained[name, 1]]
lab.claim("with two layers all five name more than 90 %", min(two) > 90)
lab.claim(
    "30 plain layers lose more than 15 points in each run",
    max(x for n, xs in lost.items() if "plain" in n for x in xs) < -15,
)
lab.claim(
    "30 layers with the residual path lose less than 5 points in each run",
    min(x for n, xs in lost.items() if "residual" in n for x in xs) > -5,
)

# %% [markdown]
# With two layers all five learn the task. So what is missing on the right is due to depth. With the
# default start, 30 plain layers learn nothing. A signal that stays (He) and normalisation (BN)
# each bring them part of the way. The residual path brings them all the way, here even without BN.
# The plain networks are as weak on the pictures that they were trained on as on new ones: depth
# makes them hard to *train*. What longer training would bring, these runs don't show.

# %% [markdown]
# ### A frozen network in train mode
#
# Frozen means: its weights get no gradient. But BN has something that isn't a weight. In train mode
# it normalises by the batch that happens to be there, and moves its running statistics, with or
# without gradients.
#
# We take a copy of the real network, freeze its weights, leave it in train mode and only *look* at
# pictures of our world, a few batches, without any optimiser. All pictures have 128 pixels a side:

# %%
lite = lite.to(lab.device)
left_on = copy.deepcopy(lite).requires_grad_(False).train()
frames = torch.cat([square(image, 128) for image in photographs.values()])
frames = frames.to(lab.device)  # (3, 3, 128, 128)
with torch.no_grad():
    before = lite.classify(frames).softmax(-1)  # (3, 1000)
    # (16, 3, 128, 128)
    company = torch.cat([frames[:1], resize(many[:15].to(lab.device), 128)])
    in_company = left_on.classify(company)[:1].softmax(-1)  # (1, 1000)
    for batch in many[16:336].split(16):  # 20 batches
        left_on.classify(batch.to(lab.device), 128)
    after = left_on.eval().classify(frames).softmax(-1)  # (3, 1000)
weights_equal = all(
    torch.equal(a, b) for a, b in zip(lite.parameters(), left_on.parameters())
)

# %% tags=["figure"]
rows = []
for name, *both in zip(photographs, before, after):
    texts = (f"{classes[p.argmax()]}, {100 * p.max():.0f} %" for p in both)
    rows.append([name, *texts])
header = ["photograph", "frozen, in eval mode"]
plots.table(rows, header=[*header, "after 20 batches in train mode"])
# (3,) share of the probability that moved
moved = (before - after).abs().sum(1) / 2
moved_in_company = ((before[:1] - in_company).abs().sum() / 2).item()
print("weights unchanged:", weights_equal)
print(
    f"probability that moved: {100 * moved.mean():.0f} % in the mean of the"
    " three"
)
print(
    "the temple among 15 pictures of our world, in train mode:"
    f" {100 * moved_in_company:.0f} %"
)

# %%
lab.claim(
    "no weight has changed, and the answers have",
    weights_equal and moved.mean() > 0.1,
)
lab.claim(
    "in train mode an answer depends on the company", moved_in_company > 0.1
)

# %% [markdown]
# Compare the two columns with each other, not with section 1, where pictures had 224 pixels a side.
# No weight has changed. In train mode the answer for one picture depends on the others beside it.
# `model.eval()` at the start doesn't help for long: a training loop calls `model.train()` before
# each epoch, and that reaches every module inside.

# %% [markdown]
# > **Exercise 04.6 · repair it** · core · difficulty 2 of 3 · 8 minutes
# >
# > `wrong_start` is called before each epoch. Write it right: all of `model` is in train mode,
# > except `model.backbone`, which is frozen as a whole.


# %%
def wrong_start(model):
    """Before an epoch: `model` in train mode, its backbone frozen."""
    for p in model.backbone.parameters():
        p.requires_grad = False
    model.train()


def start_epoch(model):
    """Before an epoch: `model` in train mode, its backbone frozen."""
    ### BEGIN SOLUTION
    model.train()
    model.backbone.requires_grad_(False)
    model.backbone.eval()  # after train(), which reaches it too
    ### END SOLUTION


# %%
start_epoch = check("04.6", start_epoch)

# %% [markdown]
# ### torchvision's ResNet · extra
#
# The package's `ResNet` is made of these blocks, with torchvision's names. A state dict of
# torchvision's resnet18 loads without a missing or left-over name. The stem that ImageNet networks
# begin with halves the sides twice before the first block. For 224 pixels that is fine; of 64 it
# leaves four patches. So `stem="small"` starts with one 3x3.

# %%
torch.manual_seed(lab.seed)
theirs = torchvision.models.resnet18(weights=None, num_classes=10)
ours = ResNet(classes=10)
x = torch.randn(4, 3, 64, 64)  # (images, 3, 64, 64)
theirs(x)  # one batch in train mode, so that BN has statistics of its own
print(ours.load_state_dict(theirs.state_dict()))
with torch.no_grad():
    gap = (ours.eval().classify(x) - theirs.eval()(x)).abs().max()
print(f"difference of the logits below 1e-5: {gap < 1e-5}")
lab.claim("our ResNet-18 equals torchvision's", gap < 1e-5)
for stem in ("imagenet", "small"):
    print(
        f"stem {stem!r}: v of a 64x64 picture is"
        f" {tuple(ResNet(stem=stem).eval()(x[:1]).shape)}"
    )

# %% [markdown]
# ### The gradient through BN · extra
#
# In train mode $\mu$ and $\sigma$ depend on $x$ too. With $g = \gamma\, \partial L / \partial y$
# and means over the channel's $n$ values, the chain rule gives
#
# $$\frac{\partial L}{\partial x} = \frac{1}{\sqrt{\sigma^2 + \epsilon}}
#   \bigl(g - \overline{g} - \hat x\; \overline{g \hat x}\bigr) .$$
#
# The gradient loses its mean and its part along $\hat x$: to move or stretch the whole channel
# would change nothing.

# %%
x = torch.randn(6, 4, 5, 5, dtype=torch.float64, requires_grad=True)
y = F.batch_norm(x, None, None, training=True)  # scale 1, shift 0
g = torch.randn_like(y)  # (6, 4, 5, 5)
y.backward(g)
axes, x_hat = (0, 2, 3), y.detach()  # (6, 4, 5, 5)
along = (g * x_hat).mean(axes, keepdim=True)  # (1, 4, 1, 1)
by_hand = g - g.mean(axes, keepdim=True) - x_hat * along
var = x.detach().var(axes, unbiased=False, keepdim=True)  # (1, 4, 1, 1)
gap = (by_hand / (var + 1e-5).sqrt() - x.grad).abs().max()
lab.claim("BN's gradient by hand equals autograd's", gap < 1e-9)

# %% [markdown]
# ## 5. What frozen features know · core
#
# A **linear probe** is a linear classifier on frozen features: it tells what can be read off
# *directly*. Its number says nothing alone. It needs companions: the most common answer, raw pixels,
# something as simple as a histogram of colours, and the *same network without its training*. We use
# pictures of our world with one thing, in 8 colours and 4 shapes.

# %% [markdown]
# > **Exercise 04.7 · predict first** · core · difficulty 1 of 3 · 2 minutes
# >
# > Chance is 25 % for the shape. How many percent will the probe on *raw pixels* (16x16, in
# > colour) get right, from 400 labelled pictures?

# %%
my_prediction = None
### BEGIN SOLUTION
# a square is anywhere and in any colour: no fixed pixel tells; a guess
my_prediction = 40
### END SOLUTION

# %%
my_prediction = check("04.7", my_prediction)

# %% tags=["figure"]
N, SIDE = lab.pick(cpu=400, gpu=3000), 128
probe_images = torch.cat([many[:N], test_images[:200]])  # (N + 200, 3, 64, 64)
torch.manual_seed(lab.seed)
untrained = EfficientNetLite0().to(lab.device)
for module in untrained.modules():
    if isinstance(module, nn.BatchNorm2d):
        module.momentum = None  # keep the mean over all batches, not a tenth
with torch.no_grad():
    for batch in many[-64:].split(16):  # BN gets statistics of its own
        untrained.train().grid(batch.to(lab.device), SIDE)
world_v, untrained_v = (
    cached_features(
        f"lesson04-world-{lab.seed}",
        probe_images,
        network,
        lambda p, network=network: network.grid(p, SIDE),
    ).mean(1)  # (N + 200, 1280)
    for network in (lite, untrained)
)

# %% [markdown]
# Of 600 pictures, N = 400 are drawn to fit on, and the other 200 test; five times anew. The probe
# has one setting, C: the larger it is, the larger the weights may get. For each input we take the C
# that is best on a quarter of the first 400. (On a GPU N is 3,000.)


# %%
def fitted(features, labels, c, fit, test):
    """Share of `test` rows that a probe fitted on the `fit` rows gets right."""
    line = LogisticRegression(C=c, max_iter=300, tol=1e-3)
    line = make_pipeline(StandardScaler(), line)
    line.fit(features[fit], labels[fit])
    return line.score(features[test], labels[test])


def probe(features, labels, n, divisions=5):
    """Per cent right on the rows behind the first n, for each division."""
    rng, cut = np.random.default_rng(0), 3 * n // 4
    orders = [rng.permutation(len(labels)) for _ in range(divisions)]
    first, last = orders[0][:cut], orders[0][cut:n]
    best = max(
        (0.001, 0.01, 0.1, 1.0),
        key=lambda c: fitted(features, labels, c, first, last),
    )
    return [
        100 * fitted(features, labels, best, order[:n], order[n:])
        for order in orders
    ]


# %%
bins = (15.99 * probe_images).long()  # (N + 200, 3, 64, 64) from 0 to 15
# (N + 200, 48): how many pixels of each channel are how bright
histogram = torch.cat([(bins == b).float().mean((2, 3)) for b in range(16)], 1)
inputs = {
    "histogram of colours": histogram,
    "raw pixels": F.avg_pool2d(probe_images, 4).flatten(1),  # (N + 200, 768)
    "untrained network": untrained_v,
    "frozen features": world_v,
}
world_labels = {
    "colour": torch.cat([colour[:N], test_colour[:200]]).numpy(),
    "shape": torch.cat([shape[:N], test_shape[:200]]).numpy(),
}

# %% tags=["figure", "result"]
rows, scores = [], {}
for name, labels in world_labels.items():
    common = 100 * np.bincount(labels).max() / len(labels)
    scores[name] = {
        kind: probe(features, labels, N) for kind, features in inputs.items()
    }
    texts = [lab.mean_spread(found) for found in scores[name].values()]
    rows.append([name, f"{common:.0f}", *texts])
plots.table(rows, header=["right (%)", "most common answer", *inputs])

# %% tags=["result"]
means = {
    name: {kind: np.mean(found) for kind, found in by_kind.items()}
    for name, by_kind in scores.items()
}
print(
    f"Predicted: {my_prediction} %. The probe on raw pixels:"
    f" {lab.mean_spread(scores['shape']['raw pixels'], '%')}"
)
others = [m for kind, m in means["shape"].items() if kind != "frozen features"]
lab.claim(
    "frozen features tell the shape more than 15 points better than all others",
    means["shape"]["frozen features"] > max(others) + 15,
)
lab.claim(
    "the histogram tells the colour at most 5 points worse than the features",
    means["colour"]["histogram of colours"]
    > means["colour"]["frozen features"] - 5,
)

# %% [markdown]
# Frozen features of a network that never saw our world tell its colours and shapes. But read the
# columns one by one. *Colour* is no achievement: 48 counts of pixels, without any network, tell it
# as well. *Shape* is one: all others are far below. And it comes from the training on photographs:
# the same layers without it end at chance. Even raw pixels tell more: many random layers mix up
# what came in.

# %% [markdown]
# ## 6. Patches as words: the Vision Transformer · core
#
# A Transformer takes any row of vectors. So cut the picture into patches of 16x16 pixels, and map
# each one, $16 \cdot 16 \cdot 3 = 768$ numbers, linearly to `dim`. That is all that a **ViT** knows
# about pictures.

# %% tags=["figure"]
diagrams.flow(
    {
        "p": (0, 0, "pictures"),
        "c": (0, 1, "cut into patches,\nlinear map"),
        "k": (1, 0, "class token"),
        "+": (0, 2, "+ positions"),
        "T": (0, 3, "Transformer"),
        "v": (0, 4, "v: the patches"),
        "l": (1, 4, "class token:\nlogits"),
    },
    [
        ("p", "c", "(images, 3, 64, 64)"),
        ("c", "+", "(images, 16, dim)"),
        ("k", "+", "(1, dim)"),
        ("+", "T", "(images, 17, dim)"),
        ("T", "v", "(images, 16, dim)"),
        ("T", "l", "(images, dim)"),
    ],
    alt=(
        "A Vision Transformer: pictures are cut into 16 patches and mapped"
        " linearly, a class token is put in front, positions are added, a"
        " Transformer follows. The patches give v, the class token the logits."
    ),
    across=False,
    marked=["c"],
)

# %% [markdown]
# > **Exercise 04.8 · write it** · core · difficulty 2 of 3 · 15 minutes
# >
# > Do it without a convolution: cut, flatten, multiply. (A strided `F.conv2d` would pass the
# > check; the point is to see why it equals cutting.) `weight` is (dim, 3, patch, patch), as a
# > convolution keeps it. Height and width may differ; both are multiples of the patch.


# %%
def patch_embed(images, weight, bias):
    """Patches of images (images, 3, height, width), row by row.

    Gives (images, patches, dim).
    """
    ### BEGIN SOLUTION
    n, channels, height, width = images.shape
    patch = weight.shape[-1]
    rows, columns = height // patch, width // patch
    cut = images.reshape(n, channels, rows, patch, columns, patch)
    # (images, rows, columns, channels, patch, patch)
    cut = cut.permute(0, 2, 4, 1, 3, 5)
    cut = cut.reshape(n, -1, channels * patch * patch)  # (images, patches, 768)
    return cut @ weight.flatten(1).T + bias  # (images, patches, dim)
    ### END SOLUTION


# %%
patch_embed = check("04.8", patch_embed)

# %%
torch.manual_seed(lab.seed)
vit = ViT(
    ViTConfig(image_size=64, patch=16, dim=64, layers=2, heads=4, classes=5)
).eval()
# x (images, 3, 64, 64)
x, conv = (torch.rand(2, 3, 64, 64), vit.patches.project)
with torch.no_grad():
    gap = (patch_embed(x, conv.weight, conv.bias) - vit.patches(x)).abs().max()
    print(
        f"cutting and multiplying equals the strided convolution: {gap < 1e-5}"
    )
    print(f"v {tuple(vit(x).shape)}, logits {tuple(vit.classify(x).shape)}")
    print(
        "the same network on 96x96: v"
        f" {tuple(vit(torch.rand(2, 3, 96, 96)).shape)}"
    )
lab.claim("patches are a convolution whose stride is its kernel", gap < 1e-5)

# %% [markdown]
# In front is one more learnt vector, the **class token**, as BERT's `[CLS]`; its last state gives
# the logits. Each place has a learnt position vector. For pictures of another size these are
# stretched as a picture is, 4 x 4 of them to 6 x 6 in the last line. The package's ViT equals those
# of timm, a library of vision models, and of transformers, with their weights.

# %% [markdown]
# ### Without positions
#
# Attention treats its inputs as a *set*. Permute the patches, and the class token's state is the
# same sum in another order. So without positions a ViT is blind to where things are.
#
# We draw a red circle and a blue cross, each well inside one patch, on a plain background, and ask:
# is the circle further left? For each picture there is a partner with these two patches exchanged.


# %% tags=["figure"]
def left_or_right(pairs, seed):
    """Pictures (2 * pairs, 3, 64, 64), a partner behind each.

    With them (2 * pairs,): is the circle left of the cross?
    """
    rng = np.random.default_rng(seed)
    pictures, answers = [], []
    for _ in range(pairs):
        columns = rng.choice(4, 2, replace=False)
        rows_of, nudge = rng.integers(0, 4, 2), rng.uniform(-1.5, 1.5, (2, 2))
        # (2, 2) of the patches
        centres = np.stack([16 * columns + 7.5, 16 * rows_of + 7.5], 1)
        texture = int(rng.integers(256))
        for order in ((0, 1), (1, 0)):
            at = centres[list(order)] + nudge  # (2, 2) circle, cross
            things = [
                ("small", "red", "circle", *at[0]),
                ("small", "blue", "cross", *at[1]),
            ]
            pictures.append(draw(compose(things, "plain", texture)))
            answers.append(int(at[0, 0] < at[1, 0]))
    # (2 * pairs, 3, 64, 64)
    pictures = torch.from_numpy(np.concatenate(pictures)).float() / 255
    return pictures, torch.tensor(answers)


# %%
PAIRS = lab.pick(cpu=600, gpu=5000)
pair_images, pair_labels = left_or_right(PAIRS, seed=lab.seed)
pair_test, pair_test_labels = left_or_right(300, seed=1_000_000)
plots.show(
    plots.images_grid(
        list(pair_images[:4]),
        ["left" if y else "right" for y in pair_labels[:4]],
        size=1.5,
    ),
    alt=(
        "Two pairs of pictures with a red circle and a blue cross in exchanged"
        " places."
    ),
)


# %% tags=["figure"]
def new_vit(positions, classes=2, start=0.5):
    """A small ViT; its positions begin with standard deviation `start`."""
    torch.manual_seed(lab.seed)
    dim, layers = lab.pick(cpu=(64, 2), gpu=(192, 6))
    sizes = {"dim": dim, "layers": layers, "mlp_dim": 4 * dim}
    place = {"positions": positions, "position_std": start}
    return ViT(ViTConfig(**sizes, **place, classes=classes))


# %%
blind, sighted = (
    new_vit(positions).double().eval() for positions in (False, True)
)
# (300, 3, 64, 64) each
one, partner = pair_test[0::2].double(), pair_test[1::2].double()
with torch.no_grad():
    changes = [
        (m.classify(one) - m.classify(partner)).abs().max().item()
        for m in (blind, sighted)
    ]
print(
    "exchanging two patches changes the logits by more than 1e-6: without"
    " positions",
    f"{changes[0] > 1e-6}, with positions {changes[1] > 1e-6}",
)
lab.claim(
    "without positions, exchanging patches changes nothing",
    changes[0] < 1e-6 < changes[1],
)

# %% [markdown]
# Training cannot help: whatever the weights are, a pair gets the same logits twice. So one of its
# two answers is wrong, and 50 % is all there is. And with positions?

# %%
SIDE_UPDATES = lab.steps(cpu=500, gpu=3000)
rows, side_score = [["chance, and without positions", "50 %", "50 %"]], []
for start in (0.02, 0.5):
    model = new_vit(positions=True, start=start).to(lab.device)
    depth.train(model, pair_images, pair_labels, SIDE_UPDATES, 2e-3, lab.seed)
    parts = ((pair_images, pair_labels), (pair_test, pair_test_labels))
    side_score.append([100 * depth.accuracy(model, *part) for part in parts])
    texts = [f"{score:.0f} %" for score in side_score[-1]]
    rows.append([f"positions that begin with {start}", *texts])
plots.table(rows, header=["left or right?", "trained on", "new pictures"])
lab.claim(
    "with 0.02 less than 60 % are right, even of the pictures trained on",
    max(side_score[0]) < 60,
)
lab.claim("with 0.5 it is no longer at chance", side_score[1][1] > 80)

# %% [markdown]
# The row of 0.02 is a warning. It is the usual start, and in these updates the positions are not
# found: not even the pictures that it was trained on are answered. A model with positions that
# stays at chance looks just like one without. Permuting tells them apart: without positions nothing
# changes.

# %% [markdown]
# The convolutions of sections 3 and 4 never need positions, because $v$ keeps its grid. But a
# Transformer that reads this $v$ does. Lesson 05 comes back to it.

# %% [markdown]
# ## 7. CNN against ViT · extra
#
# A convolution *assumes* that neighbours matter and that places are alike. A ViT has to learn it.
# What does that cost? Both are to name the shape of one thing in pictures of 32x32, from 100 or
# from 4,000 of them; the ViT gets patches of 8x8. Each has its usual normalisation, and the rate
# that is best on validation pictures.

# %% [markdown]
# A short and a four times longer training from one start, with
# `python -m course_utils.studies cnn_vit`. Where the longer one is no better, training had come to
# its end. What follows `±` is the deviation of three starts.

# %% tags=["figure"]
kept = read_runs(lab.data_path("studies/cnn_vit.json"))
longest = {name: UPDATES[-1] for name, UPDATES in cnn_vit.UPDATES.items()}


def race(name, pictures, updates, part):
    """Per cent of right shapes, a run a seed, at the chosen rate."""
    mine = dict(name=name, pictures=pictures, updates=longest[name])
    mine |= {"rate": cnn_vit.best_rate(kept, **mine), "updates": updates}
    return [
        row[part]
        for row in kept
        if all(row[key] == value for key, value in mine.items())
    ]


# %% tags=["figure"]
rows = [["chance", *["25.0"] * 4]]
for name, lengths in cnn_vit.UPDATES.items():
    for updates in lengths:
        texts = []
        for pictures, part in product(cnn_vit.PICTURES, ("seen", "test")):
            found = race(name, pictures, updates, part)
            many_runs = len(found) > 1
            text = lab.mean_spread(found) if many_runs else f"{found[0]:.1f}"
            texts.append(text)
        rows.append([f"{name}, {updates:,} updates", *texts])
header = ["shapes right (%)"]
header += [
    f"{n:,} pictures: {of}"
    for n in cnn_vit.PICTURES
    for of in ("trained on", "new")
]
plots.table(rows, header=header)
leads = {}
for n in cnn_vit.PICTURES:
    pair = [
        race(name, n, cnn_vit.REPEATED[name, n], "test")
        for name in cnn_vit.UPDATES
    ]
    leads[n] = [vgg - vit for vgg, vit in zip(*pair)]
    print(f"{n:,} pictures: the VGG leads by {interval(leads[n])} points")

# %%
lab.claim(
    "from 100 pictures the VGG leads by more than 15 points at each start",
    min(leads[100]) > 15,
)
lab.claim(
    "from 4,000 pictures its lead is smaller at each start",
    all(few > more for few, more in zip(leads[100], leads[4000])),
)

# %% [markdown]
# Both learn 100 pictures by heart. On new ones the VGG is far ahead, and four times the updates
# bring the ViT nothing: it lacks pictures, not time. The VGG's longer row is better still, and may
# not be its end. With 4,000 pictures the ViT comes close, after ten times as many updates. So the
# assumptions of a convolution, which are true in this world, save pictures and updates.

# %% [markdown]
# > **Exercise 04.9 · choose and justify** · extra · difficulty 2 of 3 · 5 minutes
# >
# > 2,000 labelled photographs of 64x64 pixels, the question "is the valve left of the gauge?", one
# > CPU. Which do you take? "a": a ViT from scratch. "b": the mean over patches of a frozen,
# > pretrained CNN, and a linear map. "c": all patches of that frozen CNN on pictures enlarged to
# > 128x128, with positions, and a small Transformer. "d": ResNet-18 from scratch with the ImageNet
# > stem.

# %%
my_choice = None
### BEGIN SOLUTION
# real features, and the grid is kept; b averages the places away
my_choice = "c"
### END SOLUTION

# %%
my_choice = check("04.9", my_choice)

# %% [markdown]
# ## 8. What a feature map sees · extra
#
# A **feature map** is the output of one channel at all places. EfficientNet-Lite0 is one
# convolution of 3x3, 16 blocks of convolutions with residual paths, and a last layer of 1,280
# channels, whose map is our $v$: `lite.grid` makes of 128 pixels 4 x 4 = 16 patches.

# %% [markdown]
# Here are maps on two photographs: the four channels with the largest spread, early and late, each
# map stretched on its own. (A *hook* is a function that PyTorch calls with a layer's output.)

# %%
kept = {}
STAGES = {
    "block 1": lite.blocks[0],
    "block 5": lite.blocks[4],
    "block 11": lite.blocks[10],
}
hooks = [
    module.register_forward_hook(
        lambda m, i, out, name=name: kept.update({name: out[0].cpu()})
    )
    for name, module in STAGES.items()
]

# %% tags=["figure"]
figure, axes = plt.subplots(2, 13, figsize=(9.5, 2.1))
for row, image in zip(axes, (temple, flower)):
    with torch.no_grad():
        lite(square(image).to(lab.device))
    row[0].imshow(plots.as_picture(square(image)[0]))
    # maps (channels, rows, columns)
    for i, (name, maps) in enumerate(kept.items()):
        for j, channel in enumerate(maps.flatten(1).std(1).topk(4).indices):
            row[1 + 4 * i + j].imshow(maps[channel])
        size = f"{maps.shape[1]}x{maps.shape[2]}"
        row[1 + 4 * i].set_title(f"{name}: {size}", loc="left", fontsize=8)
for axis in axes.flat:
    axis.axis("off")
for hook in hooks:
    hook.remove()
plots.show(
    figure,
    alt=(
        "Two photographs and four feature maps each from three depths: early"
        " maps show outlines at 112 by 112, late ones a few bright blobs at 14"
        " by 14."
    ),
)

# %% [markdown]
# Early maps look like the picture in other lights. Late ones are coarse, and hard to read. So ask
# the other way round: which of all emoji excite one channel of the *last* map most? We take four of
# the 200 channels whose strongest emoji differ most from the mean emoji. Each picture is encoded
# once, and its features are kept on disk.

# %%
EMOJI = lab.pick(cpu=450, gpu=len(emoji))
generator = torch.Generator().manual_seed(0)
pick = torch.randperm(len(emoji), generator=generator)[:EMOJI]  # (EMOJI,)
some = emoji.select(pick.sort().values)
emoji_v = cached_features(
    "lesson04-emoji", some.images, lite, lambda p: lite.grid(p, SIDE)
)
# emoji_v (EMOJI, 16, 1280)
peak = emoji_v.amax(1)  # (EMOJI, 1280)
stands_out = (peak / (peak.mean(0) + 0.05)).topk(6, dim=0).values.mean(0)
# picky channels, not only the very pickiest
channels = stands_out.topk(200).indices[[0, 40, 80, 120]]

# %% tags=["figure"]
figure, axes = plt.subplots(4, 6, figsize=(7.5, 4.8))
for row, channel in zip(axes, channels):
    for axis, i in zip(row, peak[:, channel].topk(6).indices):
        axis.imshow(plots.as_picture(some.images[i]))
        axis.axis("off")
    row[0].set_title(f"channel {channel}", loc="left", fontsize=9)
figure.suptitle("Six emoji that excite one channel most")
plots.show(
    figure,
    alt=(
        "Four rows of six emoji. The first row shows six people; in the others"
        " only some share a look, such as rings or grey bodies."
    ),
)

# %% [markdown]
# Look for what a row shares. All of the first row are people, seen from the chest up. In other rows
# about half of the pictures share a look, such as a ring or something grey, and the rest doesn't
# fit. So one channel seldom stands for one thing that we have a word for. We turn to the vector as
# a whole.

# %% [markdown]
# ### Nearest neighbours
#
# If like things have like vectors, a picture can be searched with a picture: by the mean of its
# patches, less what all pictures have in common, and the cosine. A photograph is cut into 12 tiles;
# can a tile find a tile of its own photograph? By chance it would in 11 of 35 cases, for about 11
# of the 36 tiles. The same with raw pixels, reduced to 16x16.


# %%
def tiles(image, side=128):
    """Twelve tiles of a photograph without overlap: (12, 3, side, side)."""
    image = resize(image[None], 4 * side)[0][:, : 3 * side]  # (3, 384, 512)
    cut = image.unfold(1, side, side).unfold(2, side, side)
    return cut.flatten(1, 2).transpose(0, 1)  # (12, 3, side, side)


# (36, 3, 128, 128)
tile = torch.cat([tiles(image) for image in photographs.values()])
source = torch.arange(3).repeat_interleave(12)  # (36,)
# (36, 16, 1280)
tile_v = cached_features("lesson04-tiles", tile, lite, lite.grid)


# %%
def nearest(vectors, k=1, family=None):
    """Indices of the k nearest other rows by cosine (rows, k).

    With `family` (rows,), only rows of other families count.
    """
    # (rows, dim) from the mean
    unit = F.normalize(vectors - vectors.mean(0), dim=1)
    cosine = (unit @ unit.T).fill_diagonal_(-2)  # (rows, rows)
    if family is not None:
        cosine = cosine.masked_fill(family[:, None] == family, -2)
    return cosine.topk(k).indices


found = {
    "features": nearest(tile_v.mean(1))[:, 0],
    "raw pixels": nearest(F.avg_pool2d(tile, 8).flatten(1))[:, 0],
}
for name, index in found.items():
    print(
        f"{name:10} {(source[index] == source).sum():2} of 36 tiles find their"
        " own photograph"
    )
hits = {name: (source[i] == source).sum() for name, i in found.items()}
lab.claim(
    "features find the photograph of more tiles than raw pixels do",
    hits["features"] > hits["raw pixels"],
)

# %% [markdown]
# Tiles of one photograph also share light and colours, so raw pixels do well too. Now the emoji.
# They come sorted into *groups* such as "Food & Drink"; the variants of one emoji are a **family**.

# %% tags=["figure"]
WANTED = ["dog face", "strawberry", "oncoming taxi", "twelve o’clock"]
names = list(some.names)
ask = [names.index(name) for name in WANTED if name in names]
neighbours = nearest(emoji_v.mean(1), 5)  # (EMOJI, 5)
rows = [j for i in ask for j in (i, *neighbours[i].tolist())]
figure = plots.images_grid(
    [some.images[j] for j in rows],
    [textwrap.fill(names[j], 14) for j in rows],
    columns=6,
    size=1.2,
)
plots.show(
    figure,
    alt=(
        "Each row: an emoji, then its five nearest neighbours. They share form"
        " and colour, and sometimes the kind."
    ),
)

# %%
near = nearest(emoji_v.mean(1), family=some.family)[:, 0]
emoji_pixels = F.avg_pool2d(some.floats(), 4).flatten(1)  # (EMOJI, 768)
pixel_near = nearest(emoji_pixels, family=some.family)[:, 0]
group = np.array(some.categories)
agree = [(group[index] == group).mean() for index in (near, pixel_near)]
by_chance = sum((group == g).mean() ** 2 for g in set(group))
print(
    "nearest neighbour of another family is in the same group: features"
    f" {100 * agree[0]:.0f} %, raw pixels {100 * agree[1]:.0f} %, by chance"
    f" {100 * by_chance:.0f} %"
)

lead = paired_difference(
    *(torch.from_numpy(group[index] == group) for index in (near, pixel_near)),
    groups=some.family,
)
print(
    f"features less pixels: {100 * lead.value:.0f} points, families drawn"
    f" again {100 * lead.low:.0f} to {100 * lead.high:.0f}"
)

# %% [markdown]
# Among emoji the neighbours are alike in form and colour first, and in kind second. "Symbols" or
# "Objects" are not things that look alike. The families were drawn again and again at random, with
# repeats: in 95 of 100 draws the lead lay between these two numbers. The interval of the difference
# holds 0, so here no lead over raw pixels is shown. Three photographs and one set of drawings are
# no benchmark.

# %% [markdown]
# ## 9. On a GPU: ResNet-50 and ViT-S · extra
#
# The same classes at the sizes of this profile, one forward pass, with the operations counted. On a
# GPU these are the published ResNet-50 and ViT-S/16, on a CPU small relatives.

# %%
from torch.utils.flop_counter import FlopCounterMode

big = lab.pick(
    cpu={
        "ResNet-18, small stem": lambda: ResNet(stem="small", classes=10),
        "ViT, 2 layers": lambda: new_vit(True, classes=10),
    },
    gpu={
        "ResNet-50": lambda: ResNet(
            (3, 4, 6, 3), block=Bottleneck, classes=1000
        ),
        "ViT-S/16": lambda: ViT(
            ViTConfig(
                image_size=224,
                dim=384,
                layers=12,
                heads=6,
                mlp_dim=1536,
                classes=1000,
            )
        ),
    },
)
side = lab.pick(cpu=64, gpu=224)
for name, make in big.items():
    model = make().to(lab.device).eval()
    # (1, 3, side, side)
    frame = torch.rand(1, 3, side, side, device=lab.device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        v = model(frame)  # (1, patches, dim)
    operations = counter.get_total_flops()
    if isinstance(model, ViT) and lab.device.type == "cpu":
        # the counter knows no attention on a CPU: two products a layer
        positions, c = v.shape[1] + 1, model.config
        operations += c.layers * 2 * 2 * positions**2 * c.dim
    print(
        f"{name}: {sum(p.numel() for p in model.parameters()):,} weights, v"
        f" {tuple(v.shape)}, {operations / 1e6:,.1f} million operations"
    )

# %% [markdown]
# | | this lesson | the `gpu` profile |
# |---|---|---|
# | ViT: width, layers | 64, 2 | 192, 6 |
# | updates, left or right | 500 | 3,000 |
# | emoji encoded | 450 | all |
# | ResNet and ViT counted | small, 64x64 | ResNet-50 and ViT-S/16, 224x224 |

# %% [markdown]
# ## 10. What you know now · core
#
# - A convolution is one small product at each place; its output side is $\lfloor (n + 2p - K)/s \rfloor + 1$.
# - A backbone gives $v$ (images, patches, dim), whatever is inside it.
# - Standardise the pictures first. Without it two layers learnt little in the same updates.
# - A plain start lets the signal of 30 layers fade. He's start and BN each helped a part of the
#   way; the residual path let 30 layers learn as two do.
# - BN has two modes and a memory that is no weight. Frozen means eval mode, too.
# - A probe's number means something only beside simpler things: chance, raw pixels, a histogram,
#   the untrained network.
# - Without positions a Transformer sees a set of patches.

# %%
quiz(
    [
        (
            "A frozen backbone gives other features each time, though no"
            " weight changes. Why?",
            "Its batch normalisation is in train mode: it uses the batch's"
            " statistics and keeps them.",
        ),
        (
            "A ViT has 16 patches of 16x16. What is its receptive field after"
            " one layer?",
            "The whole picture: each patch attends to all others.",
        ),
        (
            "What does the ReLU between two 3x3 convolutions bring?",
            "Without it they are one 5x5 convolution, though not every 5x5"
            " convolution can be written so.",
        ),
        (
            "A probe for colour is right in 95 %. Has the network learnt"
            " colours?",
            "Not shown: a histogram of the pixels may do as well. Compare with"
            " it, with raw pixels, with the untrained network and with chance.",
        ),
        (
            "A small network learns nothing from pictures in [0, 1]. What do"
            " you try first?",
            "Standardise them: take away each colour channel's mean and divide"
            " by its standard deviation.",
        ),
    ]
)

# %% [markdown]
# **Papers.** Simonyan and Zisserman 2014, *VGG* ([arXiv
# 1409.1556](https://arxiv.org/abs/1409.1556)): depth with 3x3 kernels alone, 16 to 19 layers.
# Ioffe and Szegedy 2015, *Batch Normalization* ([1502.03167](https://arxiv.org/abs/1502.03167)):
# the same accuracy in far fewer updates; why it works is still argued about. He et al. 2015,
# *Deep Residual Learning* ([1512.03385](https://arxiv.org/abs/1512.03385)): plain networks *with*
# BN train worse at 34 layers than at 18, residual ones better; its authors say that vanishing
# gradients are not the reason there. Tan and Le 2019, *EfficientNet*
# ([1905.11946](https://arxiv.org/abs/1905.11946)): depth, width and resolution grown together,
# from a base found by search (Lite0, which we use, is its smallest without the parts that phones
# are slow at). Sandler et al. 2018, *MobileNetV2*
# ([1801.04381](https://arxiv.org/abs/1801.04381)): the inverted residual block that EfficientNet
# is made of.

# %% [markdown]
# Dosovitskiy et al. 2020, *An Image is Worth 16x16 Words*
# ([2010.11929](https://arxiv.org/abs/2010.11929)): a ViT trained on ImageNet alone is behind a
# ResNet of its size unless it is strongly regularised; pretrained on hundreds of millions of
# pictures it is ahead. Touvron et al. 2020, *DeiT*
# ([2012.12877](https://arxiv.org/abs/2012.12877)): with regularisation and augmentation a ViT needs
# no more than ImageNet. Luo et al. 2016, *Understanding the Effective Receptive Field*
# ([1701.04128](https://arxiv.org/abs/1701.04128)): the centre counts most.

# %% [markdown]
# **What vision-language models use today.** Mostly a frozen or tuned ViT that was pretrained on
# pairs of pictures and texts: LLaVA takes that of CLIP
# ([2304.08485](https://arxiv.org/abs/2304.08485)), PaliGemma that of SigLIP, a CLIP with one
# logistic loss for each pair ([2303.15343](https://arxiv.org/abs/2303.15343)). DINOv2
# ([2304.07193](https://arxiv.org/abs/2304.07193)) learns all-purpose features from pictures alone,
# without labels or texts. ConvNeXt ([2201.03545](https://arxiv.org/abs/2201.03545)) brings a
# ResNet's design up to that of Transformers, and competes with them. Lesson 07 pretrains on pairs.

# %% [markdown]
# **Next:** lesson 05 puts $x$ and $v$ into one Transformer.

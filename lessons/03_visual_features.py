# ---
# jupyter:
#   course:
#     title: Visual features
#     minutes: 110
#     needs: ["00", "02"]
# ---

# %% [markdown]
# Lesson 02 turned words into vectors. This one does it for pictures. In this lesson you will
#
# - name what is in photographs with a real network, and look inside it;
# - build a convolution, a VGG block, batch normalisation and a residual block, and load
#   torchvision's names into them;
# - measure how gradients die in 30 plain layers, and what saves them;
# - build a Vision Transformer, and prove what it can't see without positions;
# - read single attributes out of frozen features, beside raw pixels and chance;
# - break a frozen network by leaving it in train mode.

# %%
import copy
import math
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from matplotlib import cbook
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from course_utils import lab, plots
from course_utils.checks import check, compare_prediction, hint, quiz
from course_utils.datasets import load_emoji
from course_utils.features import cached_features
from course_utils.models.cnn import VGG, Bottleneck, ResNet, vgg_block
from course_utils.models.efficientnet import resize
from course_utils.models.pretrained import imagenet_names, load_efficientnet_lite0
from course_utils.models.vit import ViT, ViTConfig
from course_utils.training import freeze
from course_utils.world.drawing import draw
from course_utils.world.scenes import COLOUR_NAMES, SHAPES, Scenes, compose, sample_scenes

# %% [markdown]
# ## 1. A network that has seen a lot
#
# EfficientNet-Lite0 has been trained to name the things in 1.3 million photographs, with 1000
# names. Three photographs lie on this machine already: two come with scikit-learn, one with
# matplotlib. What does the network call them, and some emoji, which are no photographs at all?

# %%
lite = load_efficientnet_lite0()
classes = imagenet_names()


def as_tensor(pixels):
    """uint8 (height, width, 3) -> (3, height, width) in [0, 1]."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float() / 255


temple, flower = map(as_tensor, load_sample_images().images)  # (3, 427, 640) each
with Image.open(cbook.get_sample_data("grace_hopper.jpg")) as file:
    admiral = as_tensor(file.convert("RGB"))  # (3, 600, 512)
photographs = {"temple": temple, "flower": flower, "admiral": admiral}
emoji = load_emoji("all")
wanted = ["dog face", "pizza", "umbrella", "soccer ball", "violin"]
shown = {name: emoji.images[emoji.names.index(name)].float() / 255
         for name in wanted if name in emoji.names}  # fmt: skip


def square(image, side=224):
    """The middle square of a picture (3, height, width), resized: (1, 3, side, side)."""
    short = min(image.shape[1:])
    top, left = ((length - short) // 2 for length in image.shape[1:])
    return resize(image[None, :, top : top + short, left : left + short], side)


with torch.no_grad():
    top5 = {name: lite.classify(square(image)).softmax(-1).topk(5)
            for name, image in {**photographs, **shown}.items()}  # fmt: skip
rows = [[name, *(f"{classes[i]} {100 * p:.0f} %" for p, i in zip(p[0], index[0]))]
        for name, (p, index) in top5.items()]  # fmt: skip
pictures = [square(image)[0] for image in {**photographs, **shown}.values()]
plots.show(plots.images_grid(pictures, list(top5), columns=4, size=1.7),
           alt="Three photographs, of a temple, a flower and a woman in uniform, and five emoji.")
plots.table(rows, header=["picture", "first", "second", "third", "fourth", "fifth"])

# %% [markdown]
# It names several things right, drawings too. There is no class for a woman: it names her clothes.
# The 1000 names decide what can be said at all. So we want the step *before* the names: the
# network's visual features. How do 150,000 numbers of light become a few vectors of meaning?
#
# ## 2. Convolution by hand
#
# A linear layer from 64 x 64 x 3 pixels to as many numbers would have 151 million weights, and
# would have to learn a corner anew at each place. A **convolution** makes two assumptions: what
# matters is *local*, and what is good at one place is good at all. A small window of weights, the
# **kernel**, slides over the picture. At each place it is multiplied with what lies below, and
# summed over the window and the channels:
#
# $$o_{c,i,j} = b_c + \sum_{k}\sum_{a,b} w_{c,k,a,b}\; x_{k,\; i s + a - p,\; j s + b - p} ,$$
#
# with stride $s$, padding $p$ (zeros around the picture), input channel $k$ and output channel $c$.
#
# How large is the output? The padded side has $n + 2p$ pixels. A window of $K$ pixels that starts
# at $t$ fits if $t + K \le n + 2p$, so $t$ goes from 0 to $n + 2p - K$. With stride $s$ we take
# each $s$-th of these starts: $\lfloor (n + 2p - K) / s \rfloor + 1$ of them.
#
# > **Exercise 03.1 · write it** · difficulty 1 of 3 · 5 minutes
# >
# > Write this formula for a kernel that may be **dilated**: its entries lie `dilation` pixels
# > apart, so that it spans `dilation * (kernel - 1) + 1` pixels. Stuck? Run `hint("03.1")`.

# %%
def output_side(side, kernel, stride=1, padding=0, dilation=1):
    """Side of a convolution's output, in pixels."""
    ### BEGIN SOLUTION
    span = dilation * (kernel - 1) + 1
    return (side + 2 * padding - span) // stride + 1
    ### END SOLUTION


# %%
output_side = check("03.1", output_side)

# %% [markdown]
# Now the sum itself. `unfold` lays each window out as one column, and the whole convolution is one
# product of matrices. A loop says the same in the order of the formula. PyTorch beside both:

# %%
def conv_by_loop(x, weight, bias, stride, padding):
    """Convolution of x (images, channels, height, width), place by place."""
    side = output_side(x.shape[2], weight.shape[2], stride, padding)
    x = F.pad(x, (padding,) * 4)  # (images, channels, height + 2 padding, width + 2 padding)
    out = torch.zeros(len(x), len(weight), side, side)  # (images, out, side, side)
    for i in range(side):
        for j in range(side):
            rows = slice(i * stride, i * stride + weight.shape[2])
            columns = slice(j * stride, j * stride + weight.shape[3])
            window = x[:, None, :, rows, columns]  # (images, 1, channels, kernel, kernel)
            out[:, :, i, j] = (window * weight).sum((2, 3, 4)) + bias  # (images, out)
    return out


def conv_by_product(x, weight, bias, stride, padding):
    """The same, as one product."""
    side = output_side(x.shape[2], weight.shape[2], stride, padding)
    windows = F.unfold(x, weight.shape[2], padding=padding, stride=stride)
    # windows: (images, channels * kernel * kernel, side * side)
    return (weight.flatten(1) @ windows + bias[:, None]).unflatten(2, (side, side))


generator = torch.Generator().manual_seed(0)
x = torch.randn(2, 3, 17, 17, generator=generator)  # (images, channels, height, width)
bias = torch.randn(5, generator=generator)  # (out,)
for kernel, stride, padding in ((3, 1, 1), (3, 2, 1), (7, 2, 3), (4, 4, 0)):
    weight = torch.randn(5, 3, kernel, kernel, generator=generator)  # (out, channels, k, k)
    theirs = F.conv2d(x, weight, bias, stride, padding)  # (images, out, side, side)
    gaps = [(ours(x, weight, bias, stride, padding) - theirs).abs().max()
            for ours in (conv_by_loop, conv_by_product)]  # fmt: skip
    print(f"kernel {kernel}, stride {stride}, padding {padding}: 17 -> {theirs.shape[-1]:2}, "
          f"largest difference below 1e-4: {max(gaps) < 1e-4}")  # fmt: skip
    lab.claim(f"a convolution by hand equals F.conv2d (kernel {kernel}, stride {stride})",
              max(gaps) < 1e-4)  # fmt: skip

# %% [markdown]
# What does a kernel find? Three that need no learning, on the temple: the difference of neighbours
# is an edge detector. Beside them, the kernels that EfficientNet has *learnt* for its first layer.

# %%
grey = square(temple, 160).mean(1, keepdim=True)  # (1, 1, 160, 160)
kernels = {"mean of 25": torch.full((5, 5), 1 / 25),
           "left minus right": torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]),
           "top minus bottom": torch.tensor([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]])}  # fmt: skip
figure, axes = plt.subplots(1, 4, figsize=(10, 2.8))
axes[0].imshow(grey[0, 0], cmap="gray")
axes[0].set_title("grey temple")
for axis, (name, kernel) in zip(axes[1:], kernels.items()):
    response = F.conv2d(grey, kernel[None, None])[0, 0]  # (rows, columns)
    axis.imshow(response, cmap="gray")
    axis.set_title(name)
for axis in axes:
    axis.axis("off")
plots.show(figure, alt="The temple in grey, blurred by a mean, its vertical edges, and its "
           "horizontal edges.")  # fmt: skip

# %%
first = lite.stem[0].weight  # (32, 3, 3, 3)
low, high = first.amin((1, 2, 3), keepdim=True), first.amax((1, 2, 3), keepdim=True)
scaled = (first - low) / (high - low)  # (32, 3, 3, 3) each kernel in [0, 1]
figure, axes = plt.subplots(2, 16, figsize=(10, 1.6))
for axis, kernel in zip(axes.flat, scaled):
    axis.imshow(plots.as_picture(kernel))
    axis.axis("off")
figure.suptitle("The 32 learnt kernels of the first layer: edges and colours")
plots.show(figure, alt="32 small colour patches of 3 by 3 pixels; some are edges between light "
           "and dark, some contrasts of two colours.")  # fmt: skip

# %% [markdown]
# ## 3. Blocks of layers, and how far they see
#
# VGG's idea: only 3x3 convolutions, a ReLU behind each, and now and then a **max-pooling** that
# keeps the largest of 2x2 numbers and so halves the sides. Two 3x3 layers see 5x5 pixels with
# $2 \cdot 9 = 18$ weights per pair of channels instead of 25. Without the ReLU between, two
# convolutions are *one* convolution: a product of linear maps is linear. Let us see that on numbers.

# %%
two = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 4, 3, bias=False)).double()
impulse = torch.zeros(3, 3, 9, 9, dtype=torch.float64)  # one picture a channel, one white pixel
impulse[range(3), range(3), 4, 4] = 1
with torch.no_grad():
    answer = two(impulse)  # (3, 4, 5, 5) what one pixel does
    one = answer.transpose(0, 1).flip(2, 3)  # (4, 3, 5, 5) the kernel that does the same
    x = torch.randn(2, 3, 20, 20, dtype=torch.float64, generator=generator)  # (2, 3, 20, 20)
    gap = (two(x) - F.conv2d(x, one)).abs().max()
    relu = nn.Sequential(two[0], nn.ReLU(), two[1])
    bent = (relu(x) - F.conv2d(x, one)).abs().max()
print(f"two 3x3 layers and one 5x5 layer differ by less than 1e-12: {gap < 1e-12}")
print(f"with a ReLU between them by {bent:.1f}")
lab.claim("two convolutions without anything between are one", gap < 1e-12 < 0.1 < bent)

# %% [markdown]
# The package's `vgg_block` is this list of layers, and `VGG` a row of blocks. The names of its
# parameters are torchvision's, so torchvision's weights fit, and give torchvision's numbers:

# %%
print(nn.Sequential(*vgg_block(3, 64, convs=2)))
torch.manual_seed(lab.seed)
theirs = torchvision.models.vgg11(weights=None).features.eval()  # random weights
ours = VGG(((64, 1), (128, 1), (256, 2), (512, 2), (512, 2)), norm="none").eval()
ours.features.load_state_dict(theirs.state_dict())
images = torch.rand(2, 3, 64, 64)  # (images, 3, 64, 64)
with torch.no_grad():
    v = ours(images)  # (images, 4, 512)
    gap = (v - theirs(images).flatten(2).transpose(1, 2)).abs().max()
print(f"v {tuple(v.shape)}; difference to torchvision below 1e-5: {gap < 1e-5}")
lab.claim("our VGG equals torchvision's", gap < 1e-5)

# %% [markdown]
# That is the interface of every stem of this course: pictures in, $v$ (images, patches, dim) out.
#
# How many pixels can one entry of $v$ see, its **receptive field**? Go up from the input. One pixel
# sees itself: $r = 1$, and neighbours lie $j = 1$ pixel apart. A layer with kernel $K$ and stride
# $s$ looks at $K$ neighbours, which adds $(K - 1)\, j$ to what is seen, and after it neighbours
# lie $s$ times as far apart:
#
# $$r \leftarrow r + (K - 1)\, j, \qquad j \leftarrow s\, j .$$
#
# > **Exercise 03.2 · write it** · difficulty 2 of 3 · 10 minutes
# >
# > Write it for a list of (kernel, stride). Pooling counts as a layer.

# %%
def receptive_field(layers):
    """Side in pixels that one output sees; layers is a list of (kernel, stride), first to last."""
    ### BEGIN SOLUTION
    seen, step = 1, 1
    for kernel, stride in layers:
        seen += (kernel - 1) * step
        step *= stride
    return seen
    ### END SOLUTION


# %%
receptive_field = check("03.2", receptive_field)

# %% [markdown]
# A formula for what is seen can be tested: the gradient of one output by the pixels is zero
# wherever it doesn't look. A small VGG of four blocks, on a large picture, and the gradient of its
# middle patch:

# %%
torch.manual_seed(lab.seed)
small = VGG(((8, 1), (8, 1), (8, 2), (8, 2)), norm="none")
for module in small.features:
    if isinstance(module, nn.Conv2d):
        nn.init.uniform_(module.weight, 0.1, 0.2)  # positive: nothing cancels, no ReLU closes
pooled = [nn.AvgPool2d(2) if isinstance(m, nn.MaxPool2d) else m for m in small.features]
picture = torch.rand(1, 3, 160, 160, requires_grad=True)  # (1, 3, 160, 160)
grid = nn.Sequential(*pooled)(picture)  # (1, 8, 10, 10)
grid[0, :, 5, 5].sum().backward()
touched = picture.grad.abs().sum((0, 1))  # (160, 160)
spread = touched / touched.max()  # (160, 160)
seen = int((touched.sum(0) > 0).sum())
rule = receptive_field([(3, 1), (2, 2)] * 2 + [(3, 1), (3, 1), (2, 2)] * 2)
central = (touched > 0.1 * touched.max()).any(0).sum()
figure, axis = plt.subplots(figsize=(3.6, 3.2))
figure.colorbar(axis.imshow(spread.sqrt()), label="root of relative gradient")
axis.set_title(f"One patch sees {seen} pixels, its centre best")
plots.show(figure, alt="A bright blob in the middle of a dark square: the gradient of one output "
           "by the pixels, strongest in the middle and exactly zero outside.")  # fmt: skip
print(f"by the gradient {seen} pixels, by the rule {rule}; above a tenth of the maximum {central}")
lab.claim("the receptive field by gradient is that of the rule", seen == rule)

# %% [markdown]
# The field is the *most* that an output can see. What it sees well is a smaller part in the middle.
#
# ## 4. What a feature map sees
#
# A **feature map** is the output of one channel at all places. Here are maps of the real network
# on two photographs: the four channels with the largest spread, early and late.

# %%
kept = {}
STAGES = {"block 1": lite.blocks[0], "block 5": lite.blocks[4], "block 11": lite.blocks[10]}
hooks = [module.register_forward_hook(lambda m, i, out, name=name: kept.update({name: out[0]}))
         for name, module in STAGES.items()]  # fmt: skip
figure, axes = plt.subplots(2, 13, figsize=(13, 2.6))
for row, image in zip(axes, (temple, flower)):
    with torch.no_grad():
        lite(square(image))
    row[0].imshow(plots.as_picture(square(image)[0]))
    for i, (name, maps) in enumerate(kept.items()):  # maps (channels, rows, columns)
        for j, channel in enumerate(maps.flatten(1).std(1).topk(4).indices):
            row[1 + 4 * i + j].imshow(maps[channel])
            if j == 0:
                row[1 + 4 * i].set_title(f"{name}: {maps.shape[1]}x{maps.shape[2]}", loc="left",
                                         fontsize=9)  # fmt: skip
for axis in axes.flat:
    axis.axis("off")
for hook in hooks:
    hook.remove()
plots.show(figure, alt="Two photographs and four feature maps each from three depths: early maps "
           "show outlines at 112 by 112, late ones a few bright blobs at 14 by 14.")  # fmt: skip

# %% [markdown]
# Early maps look like the picture in other lights. Late ones are coarse, and hard to read: so ask
# the other way round. Which of all emoji excite one channel of the *last* map most? We encode each
# once and keep the features on disk.

# %%
SIDE, EMOJI = 128, lab.pick(cpu=700, gpu=len(emoji))
pick = torch.randperm(len(emoji), generator=torch.Generator().manual_seed(0))[:EMOJI].sort().values
some = emoji.select(pick)
lite = lite.to(lab.device)
emoji_v = cached_features("lesson03-emoji", some.images, lite, lambda p: lite.grid(p, SIDE))
# emoji_v (EMOJI, 16, 1280)
peak = emoji_v.amax(1)  # (EMOJI, 1280)
channels = (peak / (peak.mean(0) + 0.05)).topk(6, dim=0).values.mean(0).topk(200).indices
channels = channels[[0, 40, 80, 120]]  # picky channels, not only the very pickiest
figure, axes = plt.subplots(4, 6, figsize=(7.5, 4.8))
for row, channel in zip(axes, channels):
    for axis, i in zip(row, peak[:, channel].topk(6).indices):
        axis.imshow(plots.as_picture(some.images[i]))
        axis.axis("off")
    row[0].set_title(f"channel {channel}", loc="left", fontsize=9)
figure.suptitle("Six emoji that excite one channel most")
plots.show(figure, alt="Four rows of six emoji; most emoji of one row look alike.")

# %% [markdown]
# The rows are families: nobody had shown the network an emoji, and it was never told to group them.
#
# ### Nearest neighbours
#
# If like things have like vectors, a picture can be searched with a picture. The mean of the
# patches, and the cosine. A photograph is cut into 12 tiles; can a tile find a tile of its own
# photograph? By chance it would in 11 of 35 cases. The same with raw pixels, reduced to 16x16.

# %%
def tiles(image, side=128):
    """Twelve tiles of a photograph without overlap: (12, 3, side, side)."""
    image = resize(image[None], 4 * side)[0][:, : 3 * side]  # (3, 384, 512)
    return image.unfold(1, side, side).unfold(2, side, side).flatten(1, 2).transpose(0, 1)


tile = torch.cat([tiles(image) for image in photographs.values()])  # (36, 3, 128, 128)
source = torch.arange(3).repeat_interleave(12)  # (36,)
tile_v = cached_features("lesson03-tiles", tile, lite, lite.grid)  # (36, 16, 1280)


def nearest(vectors, k=1):
    """Indices of the k nearest other rows by cosine: (rows, k)."""
    unit = F.normalize(vectors - vectors.mean(0), dim=1)  # (rows, dim) from the mean
    return (unit @ unit.T).fill_diagonal_(-2).topk(k).indices


found = {"features": nearest(tile_v.mean(1))[:, 0],
         "raw pixels": nearest(F.avg_pool2d(tile, 8).flatten(1))[:, 0]}  # fmt: skip
for name, index in found.items():
    print(f"{name:10} {(source[index] == source).sum():2} of 36 tiles find their own photograph")
lab.claim("tiles find their photograph far more often than by chance",
          (source[found["features"]] == source).float().mean() > 11 / 35 + 0.3)  # fmt: skip

# %%
names = list(some.names)
ask = [i for i in (names.index(n) for n in names if n in
       ("dog face", "banana", "red apple", "violin", "three o’clock", "sailboat", "grinning face",
        "tulip", "tiger face", "bus", "ambulance", "rose", "crab", "guitar"))][:4]  # fmt: skip
rows = {i: [i, *nearest(emoji_v.mean(1), 5)[i].tolist()] for i in ask}
figure = plots.images_grid([some.images[j] for row in rows.values() for j in row],
                           [names[j][:14] for row in rows.values() for j in row],
                           columns=6, size=1.2)  # fmt: skip
plots.show(figure, alt="Each row: an emoji, then its five nearest neighbours, most of its kind.")
near = nearest(emoji_v.mean(1))[:, 0]
pixel_near = nearest(F.avg_pool2d(some.floats(), 4).flatten(1))[:, 0]
group = np.array(some.categories)
agree = [(group[index] == group).mean() for index in (near, pixel_near)]
by_chance = sum((group == g).mean() ** 2 for g in set(group))
print(f"nearest neighbour in the same group: features {100 * agree[0]:.0f} %, raw pixels "
      f"{100 * agree[1]:.0f} %, by chance {100 * by_chance:.0f} %")  # fmt: skip

"""EfficientNet-Lite0: a small convolutional network for photographs, with real weights to be had.

Blocks: Sandler et al., "MobileNetV2", arXiv 1801.04381; sizes: Tan and Le, "EfficientNet",
arXiv 1905.11946. "Lite" leaves out squeeze-and-excitation and uses ReLU6, for small devices.
Real weights come from `course_utils.models.pretrained.load_efficientnet_lite0`.
"""

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

# kernel, stride of the first block, expansion, channels, blocks
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class SameConv(nn.Conv2d):
    """A convolution with ceil(side / stride) outputs a side, padded as TensorFlow does it:
    an odd row or column of padding goes to the bottom and the right."""

    def forward(self, h: Tensor) -> Tensor:
        pads = []
        for side, kernel, step in zip(h.shape[:1:-1], self.kernel_size, self.stride):  # width first
            total = max((-(-side // step) - 1) * step + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        if pads[0] == pads[1] and pads[2] == pads[3]:  # even: no copy is needed
            return F.conv2d(h, self.weight, None, self.stride, (pads[2], pads[0]), 1, self.groups)
        return F.conv2d(F.pad(h, pads), self.weight, None, self.stride, 0, 1, self.groups)


def conv_norm(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list:
    """A convolution without bias and its batch normalisation."""
    conv = SameConv(c_in, c_out, kernel, stride, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(c_out, eps=1e-3, momentum=0.01)]


class Block(nn.Module):
    """Inverted residual: widen by 1x1, filter each channel by itself, narrow by 1x1."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, expand: int):
        super().__init__()
        wide = expand * c_in
        widen = [*conv_norm(c_in, wide, 1), nn.ReLU6()] if expand > 1 else []
        self.widen = nn.Sequential(*widen)
        self.depthwise = nn.Sequential(*conv_norm(wide, wide, kernel, stride, wide), nn.ReLU6())
        self.narrow = nn.Sequential(*conv_norm(wide, c_out, 1))
        self.residual = stride == 1 and c_in == c_out

    def forward(self, h: Tensor) -> Tensor:
        update = self.narrow(self.depthwise(self.widen(h)))  # (images, c_out, rows, columns)
        return h + update if self.residual else update


class EfficientNetLite0(nn.Module):
    """4.65 million parameters, 1000 classes of ImageNet-1k, trained at 224x224.

    Pictures come in [0, 1] and of any size; one side of 32 pixels becomes one patch.
    """

    dim = 1280

    def __init__(self, classes: int = 1000):
        super().__init__()
        self.stem = nn.Sequential(*conv_norm(3, 32, 3, 2), nn.ReLU6())
        blocks, channels = [], 32
        for kernel, stride, expand, c_out, count in STAGES:
            for i in range(count):
                blocks.append(Block(channels, c_out, kernel, stride if i == 0 else 1, expand))
                channels = c_out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(*conv_norm(channels, self.dim, 1), nn.ReLU6())
        self.classifier = nn.Linear(self.dim, classes)

    def forward(
        self, images: Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, "images dim rows columns"]:
        """The feature map of the last stage.

        Raises:
            ValueError: `images` isn't (images, 3, height, width), or not floating point.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(
                "images: expected (images, 3, height, width) floating point in [0, 1], "
                f"got {tuple(images.shape)} {images.dtype}"
            )
        # channels innermost in memory: the same values, in half the time on a CPU
        images = images.contiguous(memory_format=torch.channels_last)
        h = self.stem((images - 0.5) / 0.5)  # (images, 32, height / 2, width / 2)
        return self.head(self.blocks(h))  # (images, 1280, height / 32, width / 32), rounded up

    def grid(
        self, images: Float[Tensor, "images 3 height width"], side: int | None = None
    ) -> Float[Tensor, "images patches dim"]:
        """Visual features `v`, patches row by row; with `side`, pictures are resized to it first.

        Small pictures gain from being enlarged: the network was trained on large things. The course
        takes side=128 for its pictures of 64x64, which gives 16 patches, as many as its own stems.
        """
        if side is not None:
            images = resize(images, side)  # (images, 3, side, side)
        return self(images).flatten(2).transpose(1, 2)  # (images, patches, 1280)

    def classify(
        self, images: Float[Tensor, "images 3 height width"], side: int | None = None
    ) -> Float[Tensor, "images classes"]:
        """Logits of the 1000 classes: a linear map of the mean of the patches."""
        return self.classifier(self.grid(images, side).mean(1))  # (images, classes)


def resize(images: Tensor, side: int) -> Float[Tensor, "images 3 side side"]:
    """Pictures of another size, bilinear, smoothed before they are made smaller."""
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)


PARTS = {  # in the published file -> in ours
    "_conv_stem": "stem.0",
    "_bn0": "stem.1",
    "_conv_head": "head.0",
    "_bn1": "head.1",
    "_fc": "classifier",
}
BLOCK_PARTS = {
    "_expand_conv": "widen.0",
    "_bn0": "widen.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "narrow.0",
    "_bn2": "narrow.1",
}


def weights_from_file(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published state dict under the names of `EfficientNetLite0`.

    Raises:
        ValueError: a name that the published file doesn't have.
    """
    ours = {}
    for name, value in state.items():
        found = re.fullmatch(r"(_blocks\.(\d+)\.)?(_\w+)\.(\w+)", name)
        part = (BLOCK_PARTS if found[1] else PARTS).get(found[3]) if found else None
        if not (found and part):
            raise ValueError(f"expected the weights of EfficientNet-Lite0, got {name!r} in them")
        ours[(f"blocks.{found[2]}." if found[1] else "") + f"{part}.{found[4]}"] = value
    return ours

"""Stems: from a picture to visual features `v`, one vector a patch.

Every stem is called the same way: images (images, 3, height, width) -> v (images, patches, dim),
patches row by row from the top left.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn


class PatchStem(nn.Module):
    """Cuts the picture into square patches and maps each linearly: a convolution whose stride is
    its kernel size (Dosovitskiy et al., arXiv 2010.11929, section 3.1).

    Raises:
        ValueError: the picture's side is not a multiple of `patch`.
    """

    def __init__(self, dim: int, patch: int = 16):
        super().__init__()
        self.dim, self.patch = dim, patch
        self.project = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)

    def forward(
        self, images: Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, "images patches dim"]:
        height, width = images.shape[-2:]
        if height % self.patch or width % self.patch:
            raise ValueError(
                f"images: expected sides that are multiples of {self.patch}, got {height}x{width}"
            )
        grid = self.project(images)  # (images, dim, rows, columns)
        return grid.flatten(2).transpose(1, 2)  # (images, patches, dim)


def conv_block(c_in: int, c_out: int, stride: int) -> nn.Sequential:
    """3x3 convolution, batch normalisation, ReLU: (images, c_in, H, W) -> (images, c_out, H', W')
    with H' = H / stride."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(c_out),
        nn.ReLU(),
    )


class ConvStem(nn.Module):
    """A small convolutional network: each stage halves the side, so 64x64 becomes 4x4 after four.

    The last two stages have a second convolution of stride 1. Without them a patch would see 31x31
    pixels, less than many shapes; with them it sees 79x79, the whole picture.

    Raises:
        ValueError: a picture's side is not a multiple of 2 ** stages.
    """

    def __init__(self, dim: int, width: int = 32, stages: int = 4):
        super().__init__()
        self.dim, self.stages = dim, stages
        channels = [3] + [min(dim, width * 2**i) for i in range(stages - 1)] + [dim]
        blocks = []
        for i, (c_in, c_out) in enumerate(zip(channels, channels[1:])):
            blocks.append(conv_block(c_in, c_out, stride=2))
            if i >= stages - 2:
                blocks.append(conv_block(c_out, c_out, stride=1))
        self.blocks = nn.Sequential(*blocks)

    def forward(
        self, images: Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, "images patches dim"]:
        height, width = images.shape[-2:]
        if height % 2**self.stages or width % 2**self.stages:
            raise ValueError(
                f"images: expected sides that are multiples of {2**self.stages}, "
                f"got {height}x{width}"
            )
        grid = self.blocks(images)  # (images, dim, rows, columns)
        return grid.flatten(2).transpose(1, 2)  # (images, patches, dim)


def grid_side(patches: int) -> int:
    """Rows (and columns) of a square grid of `patches` patches."""
    side = math.isqrt(patches)
    if side * side != patches:
        raise ValueError(f"patches: expected a square number, got {patches}")
    return side

"""Stems: from a picture to visual features `v`, one vector a patch.

Every stem is called the same way: images (images, 3, height, width) -> v (images, patches, dim),
patches row by row from the top left.
"""

import itertools
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


class ConvStem(nn.Module):
    """A small convolutional network: each stage is a 3x3 convolution, batch normalisation, ReLU
    and 2x2 max-pooling, which halves the side: 64x64 becomes 4x4 after four stages.

    Neighbouring patches overlap (each sees 46x46 pixels), and each is described by a small network
    instead of one matrix, which learns shapes far sooner than `PatchStem`.

    Raises:
        ValueError: a picture's side is not a multiple of 2 ** stages.
    """

    def __init__(self, dim: int = 64, width: int = 16, stages: int = 4):
        super().__init__()
        self.dim, self.stages = dim, stages
        channels = [3] + [min(dim, width * 2**i) for i in range(stages - 1)] + [dim]
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(c_in, c_out, 3, padding=1, bias=False),
                    nn.BatchNorm2d(c_out),
                    nn.ReLU(),
                    nn.MaxPool2d(2),
                )
                for c_in, c_out in itertools.pairwise(channels)
            )
        )

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

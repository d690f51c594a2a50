"""Text to video in its smallest form: words and a first frame to all later frames, in one step.

The words change the scale and the shift of each channel (Perez et al. 2017, "FiLM", arXiv
1709.07871). What is learnt by squared error is the mean of all futures that fit: where words or
frame leave several open, that is a blur of them, and its error can be computed (`least_error`).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class WordBlock(nn.Module):
    """Two 3x3 convolutions with words in between, added to what came in."""

    def __init__(self, channels: int, word_dim: int, dilation: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(word_dim, 2 * channels)

    def forward(
        self, h: Float[Tensor, "batch channels rows columns"], words: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch channels rows columns"]:
        scale, shift = self.film(words)[..., None, None].chunk(2, dim=1)  # (batch, channels, 1, 1)
        inner = self.conv1(F.gelu(self.norm(h)))  # (batch, channels, rows, columns)
        return h + self.conv2(F.gelu(inner * (1 + scale) + shift))


class FutureModel(nn.Module):
    """Later frames from the first one and words. Computes at half the side of the frames.

    Raises:
        ValueError: fewer than two frames.
    """

    def __init__(self, vocab_size: int, frames: int = 7, channels: int = 32, word_dim: int = 32):
        super().__init__()
        if frames < 2:
            raise ValueError(f"frames: expected two or more, got {frames}")
        self.frames = frames
        self.token = nn.Embedding(vocab_size, word_dim)
        self.words = nn.Sequential(nn.Linear(word_dim, word_dim), nn.GELU())
        self.down = nn.Conv2d(3, channels, 4, stride=2, padding=1)
        self.blocks = nn.ModuleList(WordBlock(channels, word_dim, d) for d in (1, 2, 4, 1))
        last = nn.Conv2d(channels, 12 * (frames - 1), 3, padding=1)
        nn.init.zeros_(last.weight)  # begins by repeating the first frame
        if last.bias is not None:
            nn.init.zeros_(last.bias)
        self.up = nn.Sequential(nn.GroupNorm(8, channels), nn.GELU(), last)

    def forward(
        self,
        first: Float[Tensor, "batch 3 height width"],
        x: Int[Tensor, "batch words"],
        mask: Bool[Tensor, "batch words"],
    ) -> Float[Tensor, "batch later 3 height width"]:
        """The later frames, as what changes from the first. A row of `mask` that is all False has
        no words.

        Raises:
            ValueError: frames with odd sides, or not one text a frame.
        """
        if first.ndim != 4 or first.shape[2] % 2 or first.shape[3] % 2 or len(first) != len(x):
            raise ValueError(
                "expected a frame (batch, 3, height, width) with even sides for each text, got "
                f"{tuple(first.shape)} and {len(x)} texts"
            )
        told = self.token(x) * mask[..., None]  # (batch, words, dim)
        words = self.words(told.sum(1) / mask.sum(1, keepdim=True).clamp(min=1))  # (batch, dim)
        h = self.down(first)  # (batch, channels, height / 2, width / 2)
        for block in self.blocks:
            h = block(h, words)
        change = F.pixel_shuffle(self.up(h), 2)  # (batch, 3 later, height, width)
        change = change.unflatten(1, (self.frames - 1, 3))  # (batch, later, 3, height, width)
        return first[:, None] + change


def mean_future(futures: Sequence[Float[Tensor, "batch *rest"]]) -> Float[Tensor, "batch *rest"]:
    """The mean of all futures: what squared error makes of them where each is as likely.

    Raises:
        ValueError: no futures.
    """
    if not len(futures):
        raise ValueError("futures: expected at least one, got none")
    return torch.stack(list(futures)).mean(0)  # (batch, ...)


def least_error(futures: Sequence[Float[Tensor, "batch *rest"]]) -> float:
    """Least mean squared error of any prediction that is the same for all futures, each as likely:
    the mean squared distance from their mean.

    Raises:
        ValueError: no futures.
    """
    middle = mean_future(futures)  # (batch, ...)
    return torch.stack([(one - middle).square().mean() for one in futures]).mean().item()


def nearest_future(
    predicted: Float[Tensor, "batch *rest"], futures: Sequence[Float[Tensor, "batch *rest"]]
) -> Int[Tensor, " batch"]:
    """The number of the future that is nearest to each prediction, by squared distance."""
    far = [(predicted - one).square().flatten(1).mean(1) for one in futures]
    return torch.stack(far).argmin(0)  # (batch,)

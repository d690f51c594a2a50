"""Ways to read a clip in time, behind one interface.

Each module takes features of frames, v (batch, frames, patches, dim), and gives visual tokens
(batch, tokens, dim) for a reader of words and patches. `FrameMean` and `FrameSet` see the frames as
a set: any order of the frames gives the same answer. The others see time.

Bertasius et al. 2021, "Is Space-Time Attention All You Need for Video Understanding?", arXiv
2102.05095: joint and divided attention. Wang et al. 2016, "Temporal Segment Networks",
arXiv 1608.00859: frames spread over the video, and their mean.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_utils.models.attention import MultiHeadAttention
from course_utils.models.heads import AnswerHead
from course_utils.models.joint import JointConfig, JointEncoder


def check_clip(v: Tensor, frames: int, patches: int, dim: int) -> None:
    """Refuses what is no batch of features of clips.

    Raises:
        ValueError: another shape; the message names it.
    """
    if v.ndim != 4 or v.shape[1:] != (frames, patches, dim):
        raise ValueError(
            f"v: expected (batch, {frames} frames, {patches} patches, {dim}), got {tuple(v.shape)}"
        )


def place_table(places: int, dim: int) -> nn.Parameter:
    """A learned vector for each place, about as large as features."""
    return nn.Parameter(torch.randn(places, dim) * 0.5)  # (places, dim)


class ClipModule(nn.Module):
    """What all ways of reading a clip share: sizes, and a table of places in the picture."""

    def __init__(self, frames: int = 7, patches: int = 16, dim: int = 64):
        super().__init__()
        self.frames, self.patches, self.dim = frames, patches, dim
        self.tokens = patches  # how many come out
        self.place = place_table(patches, dim)

    def no_weight_decay(self) -> set[str]:
        """Tables that `fit` doesn't pull to zero."""
        return {name for name in ("place", "time") if hasattr(self, name)}

    def forward(
        self, v: Float[Tensor, "batch frames patches dim"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """Visual tokens.

        Raises:
            ValueError: another shape.
        """
        check_clip(v, self.frames, self.patches, self.dim)
        return self.read(v)

    def read(self, v: Tensor) -> Tensor:
        """What a way of reading does with features of the right shape."""
        raise NotImplementedError(f"{type(self).__name__} has no `read`")


class FrameMean(ClipModule):
    """The mean of all frames, patch by patch. The frames are a set."""

    def read(self, v):
        return v.mean(1) + self.place  # (batch, patches, dim)


class FrameSet(ClipModule):
    """All patches of all frames, with their places in the picture and none in time. What attends to
    them sees the frames as a set."""

    def __init__(self, frames: int = 7, patches: int = 16, dim: int = 64):
        super().__init__(frames, patches, dim)
        self.tokens = frames * patches

    def read(self, v):
        return (v + self.place).flatten(1, 2)  # (batch, frames patches, dim)


class OneFrame(ClipModule):
    """A single frame, by its number; a middle one of an odd number where none is named.

    Raises:
        ValueError: there is no such frame.
    """

    def __init__(
        self, frames: int = 7, patches: int = 16, dim: int = 64, number: int | None = None
    ):
        super().__init__(frames, patches, dim)
        self.number = frames // 2 if number is None else number
        if not 0 <= self.number < frames:
            raise ValueError(f"number: expected 0 to {frames - 1}, got {number}")

    def read(self, v):
        return v[:, self.number] + self.place  # (batch, patches, dim)


class FrameDifference(ClipModule):
    """The mean of the later half minus the mean of the earlier half, beside the mean of all. A
    middle frame belongs to neither half.

    Raises:
        ValueError: fewer than two frames.
    """

    def __init__(self, frames: int = 7, patches: int = 16, dim: int = 64):
        if frames < 2:
            raise ValueError(f"frames: expected two or more, got {frames}")
        super().__init__(frames, patches, dim)
        self.mix = nn.Linear(2 * dim, dim)

    def read(self, v):
        half = self.frames // 2
        change = v[:, -half:].mean(1) - v[:, :half].mean(1)  # (batch, patches, dim)
        both = torch.cat([v.mean(1), change], dim=-1)  # (batch, patches, 2 dim)
        return self.mix(both) + self.place  # (batch, patches, dim)


class FrameRecurrence(ClipModule):
    """A GRU walks over the frames of each patch; its last state is the token (Cho et al. 2014,
    arXiv 1406.1078)."""

    def __init__(self, frames: int = 7, patches: int = 16, dim: int = 64):
        super().__init__(frames, patches, dim)
        self.gru = nn.GRU(dim, dim, batch_first=True)

    def read(self, v):
        rows = v.transpose(1, 2).flatten(0, 1)  # (batch patches, frames, dim)
        _, last = self.gru(rows)  # (1, batch patches, dim)
        return last[0].unflatten(0, (len(v), self.patches)) + self.place  # (batch, patches, dim)


class SpaceTime(FrameSet):
    """All patches of all frames, with places in the picture and in time. What attends to them mixes
    space and time jointly."""

    def __init__(self, frames: int = 7, patches: int = 16, dim: int = 64):
        super().__init__(frames, patches, dim)
        self.time = place_table(frames, dim)

    def read(self, v):
        return super().read(v + self.time[:, None])  # (batch, frames patches, dim)


class DividedLayer(nn.Module):
    """Attention over the frames of each patch, then over the patches of each frame, then a network
    of two layers; each is added to what came in (arXiv 2102.05095, equations 8 to 10)."""

    def __init__(self, dim: int, heads: int, mlp_dim: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.over_time = MultiHeadAttention(dim, heads)
        self.over_space = MultiHeadAttention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, mlp_dim), nn.GELU(), nn.Linear(mlp_dim, dim))

    def forward(
        self, h: Float[Tensor, "batch frames patches dim"]
    ) -> Float[Tensor, "batch frames patches dim"]:
        h = h + along_time(self.norms[0](h), self.over_time)
        h = h + along_space(self.norms[1](h), self.over_space)
        return h + self.mlp(self.norms[2](h))


def along_time(h: Tensor, attention: Callable) -> Float[Tensor, "batch frames patches dim"]:
    """Each patch attends to the same patch in all frames; h (batch, frames, patches, dim)."""
    batch, _, patches, _ = h.shape
    rows = h.transpose(1, 2).flatten(0, 1)  # (batch patches, frames, dim)
    mixed, _ = attention(rows)  # (batch patches, frames, dim)
    return mixed.unflatten(0, (batch, patches)).transpose(1, 2)  # (batch, frames, patches, dim)


def along_space(h: Tensor, attention: Callable) -> Float[Tensor, "batch frames patches dim"]:
    """Each patch attends to all patches of its frame; h (batch, frames, patches, dim)."""
    mixed, _ = attention(h.flatten(0, 1))  # (batch frames, patches, dim)
    return mixed.unflatten(0, h.shape[:2])  # (batch, frames, patches, dim)


class DividedSpaceTime(ClipModule):
    """Layers of divided attention with places in the picture and in time, then the mean over
    frames."""

    def __init__(
        self, frames: int = 7, patches: int = 16, dim: int = 64, layers: int = 1, heads: int = 4
    ):
        super().__init__(frames, patches, dim)
        self.time = place_table(frames, dim)
        self.layers = nn.ModuleList(DividedLayer(dim, heads, 4 * dim) for _ in range(layers))

    def read(self, v):
        h = v + self.place + self.time[:, None]  # (batch, frames, patches, dim)
        for layer in self.layers:
            h = layer(h)
        return h.mean(1)  # (batch, patches, dim)


READERS = {
    "middle frame": OneFrame,
    "first frame": partial(OneFrame, number=0),
    "mean": FrameMean,
    "set": FrameSet,
    "difference": FrameDifference,
    "recurrence": FrameRecurrence,
    "joint": SpaceTime,
    "divided": DividedSpaceTime,
}


class ClipAnswerer(nn.Module):
    """A way of reading a clip, a joint encoder of question and visual tokens, a head of answers."""

    def __init__(
        self, clip: ClipModule, vocab_size: int, answers: int, max_words: int = 12, layers: int = 2
    ):
        super().__init__()
        self.clip = clip
        config = JointConfig(
            dim=clip.dim,
            layers=layers,
            heads=4,
            mlp_dim=4 * clip.dim,
            vocab_size=vocab_size,
            max_words=max_words,
            visual_dim=clip.dim,
            patches=clip.tokens,
        )
        # visual tokens bring their places with them
        self.encoder = JointEncoder(config, visual_positions=False)
        self.head = AnswerHead(clip.dim, answers)

    def forward(
        self,
        v: Float[Tensor, "batch frames patches dim"],
        x: Int[Tensor, "batch words"],
        mask: Bool[Tensor, "batch words"],
    ) -> Float[Tensor, "batch answers"]:
        """Logits of all answers. The first position of x is the one that is read out."""
        h = self.encoder(x, self.clip(v), mask, keep=1)  # (batch, 1, dim)
        return self.head(h)

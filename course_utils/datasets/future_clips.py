"""First frames with all four ways in which they go on, in words and in pictures."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_utils.datasets.clips import encode
from course_utils.world.motion import DIRECTIONS, Clips, draw_clips
from course_utils.world.motion import futures as all_futures
from course_utils.world.motion_words import clip_captions

SIDE = 32  # pixels a side, of the 64 that the world draws
WAYS = tuple(DIRECTIONS)


class Futures(NamedTuple):
    """n first frames and, for each of the four ways, what is told and what comes."""

    first: Float[Tensor, "clips 3 side side"]
    later: Float[Tensor, "ways clips later 3 side side"]
    x: Int[Tensor, "ways clips words"]
    mask: Bool[Tensor, "ways clips words"]


def small_frames(clips: Clips, side: int = SIDE) -> Float[Tensor, "clips frames 3 side side"]:
    """The clips' frames in [0, 1], each pixel the mean of a square of the drawn ones.

    Raises:
        ValueError: a side that doesn't divide the drawn one.
    """
    frames = torch.from_numpy(draw_clips(clips)).float() / 255  # (clips, frames, 3, 64, 64)
    drawn = frames.shape[-1]
    if side < 1 or drawn % side:
        raise ValueError(f"side: expected a divisor of {drawn}, got {side}")
    small = F.avg_pool2d(frames.flatten(0, 1), drawn // side)  # (clips frames, 3, side, side)
    return small.unflatten(0, frames.shape[:2])  # (clips, frames, 3, side, side)


def future_data(n: int, seed: int = 0, side: int = SIDE) -> Futures:
    """n first frames of an object on a plain background, with the four futures of each."""
    found = all_futures(n, seed)
    frames = torch.stack([small_frames(found[way], side) for way in WAYS])
    texts = [text for way in WAYS for text in clip_captions(found[way])]
    x, mask = (part.unflatten(0, (len(WAYS), n)) for part in encode(texts))
    return Futures(frames[0, :, 0], frames[:, :, 1:], x, mask)


class FutureBatch(NamedTuple):
    """First frames, words or none, and the frames that come."""

    first: Float[Tensor, "batch 3 side side"]
    x: Int[Tensor, "batch words"]
    mask: Bool[Tensor, "batch words"]  # all False where nothing is told
    later: Float[Tensor, "batch later 3 side side"]


def draw_batch(data: Futures, size: int, told: float, generator: torch.Generator) -> FutureBatch:
    """A random batch: each row a clip and a way, with its words in a share `told` of the rows."""
    ways, clips = data.later.shape[:2]
    way = torch.randint(ways, (size,), generator=generator)  # (batch,)
    clip = torch.randint(clips, (size,), generator=generator)  # (batch,)
    keep = torch.rand(size, generator=generator) < told  # (batch,)
    mask = data.mask[way, clip] & keep[:, None]  # (batch, words)
    return FutureBatch(data.first[clip], data.x[way, clip], mask, data.later[way, clip])

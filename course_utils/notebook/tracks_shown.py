"""Tracks in a notebook: frames with a coloured frame around each box, as a GIF that moves and as a
row of still pictures."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from course_utils.notebook import animation, plots
from course_utils.world.tracks import Tracks

SCALE = 4  # pixels on the screen for each of a frame


def boxed(frames: Tensor | np.ndarray, tracks: Tracks, scale: int = SCALE) -> np.ndarray:
    """Frames (frames, 3, height, width), enlarged, with the boxes of the tracks drawn into them:
    (frames, height, width, 3) uint8. Tracks have colours in the order of their numbers.

    Raises:
        ValueError: no frames, or tracks of frames that aren't there.
    """
    frames = torch.as_tensor(frames)
    if frames.ndim != 4 or frames.shape[1] != 3 or not len(frames):
        raise ValueError(f"frames: expected (frames, 3, height, width), got {tuple(frames.shape)}")
    if len(tracks) and int(tracks.frame.max()) >= len(frames):
        raise ValueError(f"tracks: expected frames below {len(frames)}, got {tracks.frame.max()}")
    pictures = np.stack([plots.as_picture(frame) for frame in frames])  # (frames, h, w, 3)
    if pictures.dtype != np.uint8:
        pictures = (255 * pictures).round().astype(np.uint8)
    large = pictures.repeat(scale, axis=1).repeat(scale, axis=2).copy()
    height, width = large.shape[1:3]
    numbers = np.unique(tracks.identity)
    for t, number, box in zip(tracks.frame, tracks.identity, tracks.boxes):
        colour = plots.PALETTE[int(np.searchsorted(numbers, number)) % len(plots.PALETTE)]
        ink = np.round(255 * np.array(to_rgb(colour))).astype(np.uint8)  # (3,)
        left, top, right, bottom = (round(float(side) * scale) for side in box)
        left, right = (min(max(side, 0), width - 3) for side in (left, right))
        top, bottom = (min(max(side, 0), height - 3) for side in (top, bottom))
        for line in (top, bottom):
            large[t, line : line + 3, left : right + 3] = ink
        for line in (left, right):
            large[t, top : bottom + 3, line : line + 3] = ink
    return large


def gif(pictures: np.ndarray, ms: int = 100) -> bytes:
    """A GIF of pictures (frames, height, width, 3) uint8 that begins again at its end. A bar below
    shows the time, so that no two neighbours are equal: a GIF would merge them.

    Raises:
        ValueError: a time that GIFs can't hold.
    """
    count, _, width, _ = pictures.shape
    bars = np.full((count, 4, width, 3), 225, np.uint8)
    for t in range(count):
        bars[t, :, : (t + 1) * width // count] = 60
    return animation.encoded(np.concatenate([pictures, bars], axis=1), ms)


@plots.closed_on_error()
def stills(pictures: np.ndarray, which: Sequence[int], size: float = 2.0) -> Figure:
    """Some of the pictures side by side, with the number of each frame."""
    figure, axes = plt.subplots(
        1, len(which), figsize=(size * len(which), size + 0.3), squeeze=False
    )
    for axis, t in zip(axes[0], which):
        axis.imshow(pictures[t])
        axis.set_title(f"frame {t}", fontsize=9)
        axis.axis("off")
    return figure


def show(
    frames: Tensor | np.ndarray, tracks: Tracks, alt: str, count: int = 5, ms: int = 100
) -> None:
    """Shows a clip with its tracks as a GIF and, for print and for those to whom moving pictures
    aren't shown, `count` of its frames; both with `alt`.

    Raises:
        ValueError: as `boxed` and `gif`; `alt` says nothing.
    """
    pictures = boxed(frames, tracks)
    animation.show_gif(gif(pictures, ms), alt)
    which = np.linspace(0, len(pictures) - 1, min(count, len(pictures))).round().astype(int)
    plots.show(stills(pictures, which.tolist()), alt=alt)

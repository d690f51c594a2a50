"""Clips in a notebook: a GIF that moves, and beside it all frames side by side, for print, for
readers who want to compare them, and where moving pictures aren't shown."""

import base64
import html
import io
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML, display
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from course_utils.notebook import plots

SPEEDS = (20, 40, 50, 100, 200, 400)  # ms: whole hundredths of a second, which GIFs are counted in
SCALE = 3  # pixels on the screen for each of a frame
STRIP = 2  # rows of pixels under a frame that show which one it is
GAP = 4  # columns between two clips
NOW, LATER = 60, 225  # grey of the strip


def _check(clips: Tensor | np.ndarray) -> np.ndarray:
    """(clips, frames, height, width, 3) uint8."""
    clips = torch.as_tensor(clips)
    if clips.ndim == 4:
        clips = clips[None]
    if clips.ndim != 5 or clips.shape[2] != 3 or not clips.shape[0] or not clips.shape[1]:
        raise ValueError(
            f"clips: expected (clips, frames, 3, height, width), got {tuple(clips.shape)}"
        )
    pictures = np.stack([[plots.as_picture(f) for f in clip] for clip in clips])
    if pictures.dtype != np.uint8:
        pictures = (255 * pictures).round().astype(np.uint8)
    return pictures  # (clips, frames, height, width, 3)


def gif(clips: Tensor | np.ndarray, ms: int = 200) -> bytes:
    """A GIF of clips (clips, frames, 3, height, width) side by side, or of one clip (frames, 3,
    height, width), that begins again at its end. A strip under each clip shows the time. It also
    makes every frame differ from the one before: equal neighbours would be merged into one.

    Raises:
        ValueError: another shape, values outside [0, 1] where they are no bytes, or a time that
            GIFs can't hold.
    """
    pictures = _check(clips)
    count, frames, height, width, _ = pictures.shape
    page = np.full(
        (frames, height + STRIP, count * (width + GAP) - GAP, 3), 255, np.uint8
    )  # (frames, height + strip, all clips' width, 3)
    for i, clip in enumerate(pictures):
        left = i * (width + GAP)
        page[:, :height, left : left + width] = clip
        for t in range(frames):
            end = left + max(1, (t + 1) * width // frames)
            page[t, height:, left : left + width] = LATER
            page[t, height:, left:end] = NOW
    return encoded(page.repeat(SCALE, axis=1).repeat(SCALE, axis=2), ms)


def encoded(pictures: np.ndarray, ms: int) -> bytes:
    """A GIF of pictures (frames, height, width, 3) uint8 that begins again at its end. Neighbours
    that are equal would be merged into one.

    Raises:
        ValueError: a time that GIFs can't hold.
    """
    if ms not in SPEEDS:
        raise ValueError(f"ms: expected one of {', '.join(map(str, SPEEDS))}, got {ms}")
    images = [Image.fromarray(one) for one in pictures]
    buffer = io.BytesIO()
    images[0].save(
        buffer, "GIF", save_all=True, append_images=images[1:], duration=ms, loop=0, optimize=False
    )
    return buffer.getvalue()


def show_gif(data: bytes, alt: str) -> None:
    """Shows a GIF with its text for readers who don't see it.

    Raises:
        ValueError: `alt` says nothing.
    """
    if not isinstance(alt, str) or len(alt.split()) < 3:
        raise ValueError(f"alt: expected a sentence that says what the clips show, got {alt!r}")
    text, image = html.escape(alt, quote=True), base64.b64encode(data).decode()
    display(HTML(f'<img alt="{text}" src="data:image/gif;base64,{image}">'))


def frames_in(data: bytes) -> int:
    """How many frames a GIF holds."""
    with Image.open(io.BytesIO(data)) as file:
        return getattr(file, "n_frames", 1)


@plots.closed_on_error()
def filmstrip(clips: Tensor | np.ndarray, names: Sequence[str] = (), size: float = 1.1) -> Figure:
    """All frames: a row a clip, time from left to right, with a name for each row.

    Raises:
        ValueError: another shape, or not one name a clip.
    """
    pictures = _check(clips)
    if names and len(names) != len(pictures):
        raise ValueError(f"names: expected {len(pictures)}, one a clip, got {len(names)}")
    rows, frames = pictures.shape[:2]
    figure, axes = plt.subplots(
        rows, frames, figsize=(size * frames, size * rows + 0.35), squeeze=False
    )
    for place, axis in enumerate(axes.flat):
        i, j = divmod(place, frames)
        axis.imshow(pictures[i, j])
        axis.set_xticks([])
        axis.set_yticks([])
        if i == 0:
            axis.set_title(str(j + 1), fontsize=9)
        if j == 0 and names:
            axis.set_ylabel(plots.plain(names[i]), fontsize=9)
    return figure


def show(clips: Tensor | np.ndarray, alt: str, names: Sequence[str] = (), ms: int = 200) -> None:
    """Shows clips (clips, frames, 3, height, width) as a GIF and as a film strip, both with `alt`.

    Raises:
        ValueError: as `gif` and `filmstrip`; `alt` says nothing.
    """
    show_gif(gif(clips, ms), alt)
    plots.show(filmstrip(clips, names), alt=alt)

"""Clips of the world whose objects glide, bounce off the borders and hide each other, with the
box of every object in every frame; and what an imperfect detector would see of them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from course_utils.world.drawing import LEVELS, _coverage, boxes
from course_utils.world.scenes import COLOUR_NAMES, MAX_OBJECTS, RADII, SHAPES, SIDE, SIZES, Scenes


@dataclass(frozen=True)
class Tracks:
    """Boxes with the number of whom each belongs to, in the order of frames.

    Raises:
        ValueError: fields don't fit together, frames go back, or somebody is twice in a frame.
    """

    frame: np.ndarray  # (n,) int, from 0
    identity: np.ndarray  # (n,) int, any numbers
    boxes: np.ndarray  # (n, 4) float: left, top, right, bottom

    def __post_init__(self) -> None:
        n = len(self.frame)
        if self.identity.shape != (n,) or self.boxes.shape != (n, 4):
            raise ValueError(
                f"expected {n} identities and boxes (n, 4), got {self.identity.shape} and "
                f"{self.boxes.shape}"
            )
        if n and (np.diff(self.frame) < 0).any():
            raise ValueError("frame: expected numbers that never fall")
        pairs = np.stack([self.frame, self.identity])  # (2, n)
        if np.unique(pairs, axis=1).shape[1] < n:
            raise ValueError("identity: expected nobody twice in a frame")

    def __len__(self) -> int:
        return len(self.frame)


class Detections(NamedTuple):
    """What a detector reports, in the order of frames: boxes without names."""

    frame: np.ndarray  # (n,) int
    boxes: np.ndarray  # (n, 4) float, pixels
    colour: np.ndarray  # (n,) int, index into COLOURS: how it looks


@dataclass(frozen=True)
class Clip:
    """Frames of up to four objects; each keeps its column."""

    scenes: Scenes  # one a frame
    boxes: np.ndarray  # (frames, 4, 4) int, pixels: the whole object, hidden or not
    visible: np.ndarray  # (frames, 4): share of the object that no other hides; 0 if not there

    def __len__(self) -> int:
        return len(self.scenes)

    def truth(self) -> Tracks:
        """Every object in every frame, numbered by its column."""
        frame, column = self.scenes.present.nonzero()  # (n,) each
        return Tracks(frame, column, self.boxes[frame, column].astype(float))


def glide(
    frames: int = 30, objects: int = 4, seed: int = 0, speed: float = 3.0, colours: int = 8
) -> Clip:
    """A clip of `objects` things that move on straight lines at up to `speed` pixels a frame and
    bounce off the borders. Where two meet, the one of the higher column hides the other. Colours
    differ as long as there are enough `colours`.

    Raises:
        ValueError: a number out of range.
    """
    if frames < 1 or not 1 <= objects <= MAX_OBJECTS or not 1 <= colours <= len(COLOUR_NAMES):
        raise ValueError(
            f"expected frames >= 1, 1 <= objects <= {MAX_OBJECTS} and 1 <= colours <= "
            f"{len(COLOUR_NAMES)}, got {frames}, {objects} and {colours}"
        )
    rng = np.random.default_rng((seed, 19))
    size = rng.integers(0, len(SIZES), objects)  # (objects,)
    shape = rng.integers(0, len(SHAPES), objects)
    known = rng.permutation(len(COLOUR_NAMES))[:colours]
    colour = np.resize(known, objects)  # in turn
    room = SIDE - 2 * (RADII[size] + 1)  # (objects,) pixels in which the centre may be
    place = rng.uniform(0, room, (2, objects))
    angle = rng.uniform(0, 2 * np.pi, objects)
    step = rng.uniform(0.5, 1, objects) * speed * np.stack([np.cos(angle), np.sin(angle)])
    way = place[:, None] + step[:, None] * np.arange(frames)[None, :, None]  # (2, frames, objects)
    # a line that is folded at 0 and `room` is one that bounces there
    folded = np.abs((way + room) % (2 * room) - room) + RADII[size] + 1

    def columns(values: np.ndarray, empty: float, dtype: type) -> np.ndarray:
        out = np.full((frames, MAX_OBJECTS), empty, dtype)
        out[:, :objects] = values
        return out

    scenes = Scenes(
        columns(shape, -1, np.int8),
        columns(colour, -1, np.int8),
        columns(size, -1, np.int8),
        columns(folded[0], 0, np.float32),
        columns(folded[1], 0, np.float32),
        np.zeros(frames, np.int8),
        np.full(frames, rng.integers(0, 256), np.int16),
    )
    return Clip(scenes, boxes(scenes), visible_shares(scenes))


def visible_shares(scenes: Scenes) -> np.ndarray:
    """(n, 4): the share of each object's pixels that no later column covers; 0 where there is no
    object."""
    n = len(scenes)
    out = np.zeros((n, MAX_OBJECTS))
    open_ = np.ones((n, SIDE, SIDE))  # what the columns so far, from the last one, leave free
    for k in reversed(range(MAX_OBJECTS)):
        rows = scenes.present[:, k].nonzero()[0]
        if not len(rows):
            continue
        covered, iy, ix = _coverage(scenes, rows, k)
        mine = np.zeros((len(rows), SIDE, SIDE))
        index = np.arange(len(rows))[:, None, None], iy.clip(0, SIDE - 1), ix.clip(0, SIDE - 1)
        np.add.at(mine, index, covered)
        whole = mine.sum((1, 2)).clip(1 / LEVELS)  # (rows,)
        out[rows, k] = (mine * open_[rows]).sum((1, 2)) / whole
        open_[rows] *= 1 - mine
    return out


def detect(
    clip: Clip,
    seed: int = 0,
    noise: float = 1.0,
    missed: float = 0.1,
    false: float = 0.1,
    hidden: float = 0.3,
    right_colour: float = 0.9,
) -> Detections:
    """What a detector with known faults reports of a clip: each box moved and stretched by `noise`
    pixels (standard deviation of each side), a share `missed` left out, `false` boxes a frame where
    nothing is, and no object of which less than `hidden` can be seen.

    Raises:
        ValueError: a share outside 0 to 1, or noise below 0.
    """
    if noise < 0 or not all(0 <= p <= 1 for p in (missed, false, hidden, right_colour)):
        raise ValueError("expected noise >= 0 and shares from 0 to 1")
    rng = np.random.default_rng((seed, 20))
    frames, found, looks = [], [], []
    for t in range(len(clip)):
        there = clip.scenes.present[t] & (clip.visible[t] >= hidden)
        there &= rng.random(MAX_OBJECTS) >= missed
        box = clip.boxes[t, there] + rng.normal(0, noise, (int(there.sum()), 4))
        sure = rng.random(len(box)) < right_colour
        guess = rng.integers(0, len(COLOUR_NAMES), len(box))
        look = np.where(sure, clip.scenes.colour[t, there], guess)
        if rng.random() < false:
            corner, side = rng.uniform(0, SIDE - 20, 2), rng.uniform(8, 20, 2)
            box = np.concatenate([box, np.concatenate([corner, corner + side])[None]])
            look = np.append(look, rng.integers(0, len(COLOUR_NAMES)))
        order = rng.permutation(len(box))  # a detector knows no columns
        frames.append(np.full(len(box), t))
        found.append(box[order])
        looks.append(look[order])
    return Detections(np.concatenate(frames), np.concatenate(found), np.concatenate(looks))

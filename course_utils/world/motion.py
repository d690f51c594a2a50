"""Clips of the world: pictures with a time axis, whose objects move or appear.

clips = sample_clips("which", 100)     # 100 clips of seven frames
frames = draw_clips(clips)             # (100, 7, 3, 64, 64) uint8
draw_clips(clips.reversed())           # the same frames from last to first

Three kinds, each with a question about time (world/motion_words.py):

    direction   one object moves left, right, up or down
    which       two objects move left or right, each on its own
    first       two objects appear for one frame each, one after the other

A clip and its reverse hold the same frames, and the answer to each question is another one.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from course_utils.world.drawing import draw
from course_utils.world.scenes import (
    COLOUR_NAMES,
    GROUNDS,
    MAX_OBJECTS,
    NONE,
    RADII,
    SHAPES,
    SIDE,
    SIZES,
    Scenes,
)

KINDS = ("direction", "which", "first")
FRAMES = 7  # an odd number: the middle frame is its own mirror
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
# Pixels from the middle of a path to its ends. Short enough that most places where an object begins
# fit two directions: with longer paths, the first frame alone would tell the direction.
HALF_WAY = 8.0
FUTURE_WAY = 14.0  # pixels that an object moves in `futures`
EDGE = float(RADII.max()) + 1  # pixels between a centre and the border of the picture


@dataclass(frozen=True)
class Clips:
    """n clips of T frames with up to four objects.

    Raises:
        ValueError: an unknown kind, or arrays that don't fit together.
    """

    kind: str  # one of KINDS
    shape: np.ndarray  # (n, objects) index into SHAPES
    colour: np.ndarray  # (n, objects) index into COLOUR_NAMES
    size: np.ndarray  # (n, objects) index into SIZES
    cx: np.ndarray  # (n, T, objects) float32, centre in pixels from the left
    cy: np.ndarray  # (n, T, objects) float32, centre in pixels from the top
    shown: np.ndarray  # (n, T, objects) bool, whether the object is in the frame
    ground: np.ndarray  # (n,) index into GROUNDS
    texture: np.ndarray  # (n,) 0 to 255

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.cx.ndim != 3:
            raise ValueError(f"cx: expected (clips, frames, objects), got {self.cx.shape}")
        n, _, objects = self.cx.shape
        if objects > MAX_OBJECTS:
            raise ValueError(f"expected at most {MAX_OBJECTS} objects, got {objects}")
        expected = {"shape": (n, objects), "colour": (n, objects), "size": (n, objects)}
        expected |= {"cy": self.cx.shape, "shown": self.cx.shape, "ground": (n,), "texture": (n,)}
        for name, want in expected.items():
            if getattr(self, name).shape != want:
                got = getattr(self, name).shape
                raise ValueError(f"{name}: expected shape {want}, got {got}")

    def __len__(self) -> int:
        return len(self.ground)

    @property
    def frames(self) -> int:
        """T, how many frames each clip has."""
        return self.cx.shape[1]

    def select(self, rows: np.ndarray) -> "Clips":
        """Some of the clips, by index or bool mask."""
        arrays = (getattr(self, field.name)[rows] for field in fields(self)[1:])
        return Clips(self.kind, *arrays)

    def in_order(self, order: np.ndarray) -> "Clips":
        """Each clip with its frames in another order: order (n, T) holds, for each clip, which
        frame comes first, second, ... With fewer columns fewer frames are kept.

        Raises:
            ValueError: not one row a clip, or numbers that are no frames.
        """
        order = np.asarray(order)
        if order.ndim != 2 or len(order) != len(self):
            raise ValueError(f"order: expected ({len(self)}, frames), got {order.shape}")
        if order.size and not 0 <= order.min() <= order.max() < self.frames:
            raise ValueError(f"order: expected numbers from 0 to {self.frames - 1}")
        row = np.arange(len(self))[:, None]  # (n, 1)
        moved = {name: getattr(self, name)[row, order] for name in ("cx", "cy", "shown")}
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in moved}
        return Clips(**kept, **moved)

    def reversed(self) -> "Clips":
        """The same clips, from the last frame to the first."""
        return self.in_order(np.tile(np.arange(self.frames)[::-1], (len(self), 1)))

    def scenes(self) -> Scenes:
        """Every frame as a scene: clip by clip, frame by frame (n * T scenes)."""
        n, frames, objects = self.cx.shape
        shown = self.shown.reshape(n * frames, objects)  # (n T, objects)

        def column(values: np.ndarray, empty: float, dtype: type) -> np.ndarray:
            out = np.full((n * frames, MAX_OBJECTS), empty, dtype)
            if values.ndim == 2:  # the same in all frames
                values = np.repeat(values, frames, axis=0)  # (n T, objects)
            out[:, :objects] = np.where(shown, values.reshape(n * frames, objects), empty)
            return out

        return Scenes(
            column(self.shape, NONE, np.int8),
            column(self.colour, NONE, np.int8),
            column(self.size, NONE, np.int8),
            column(self.cx, 0, np.float32),
            column(self.cy, 0, np.float32),
            np.repeat(self.ground, frames).astype(np.int8),
            np.repeat(self.texture, frames).astype(np.int16),
        )


def draw_clips(clips: Clips) -> np.ndarray:
    """The clips' frames (n, T, 3, 64, 64) uint8."""
    pictures = draw(clips.scenes())  # (n T, 3, 64, 64)
    return pictures.reshape(len(clips), clips.frames, *pictures.shape[1:])


def sample_clips(kind: str, n: int, seed: int = 0, frames: int = FRAMES) -> Clips:
    """n random clips of a kind. Their objects differ in colour.

    Raises:
        ValueError: an unknown kind, or fewer than two frames.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    if frames < 2:
        raise ValueError(f"frames: expected two or more, got {frames}")
    rng = np.random.default_rng((seed, 21, KINDS.index(kind)))
    objects = 1 if kind == "direction" else 2
    cx = rng.uniform(EDGE, SIDE - EDGE, (n, objects))
    cy = rng.uniform(EDGE, SIDE - EDGE, (n, objects))
    if objects == 2:  # one above, one below, so that they never touch
        cy = np.stack([rng.uniform(EDGE, 22, n), rng.uniform(42, SIDE - EDGE, n)], axis=1)
    step, shown = np.zeros((n, objects, 2)), np.ones((n, frames, objects), bool)
    if kind == "first":
        shown = _flashes(n, frames, rng)  # (n, T, 2)
    else:
        moves = np.array(list(DIRECTIONS.values()))  # (4, 2): left, right, up, down
        chosen = rng.integers(0, 4 if kind == "direction" else 2, (n, objects))
        step = moves[chosen]  # (n, objects, 2)
        room = EDGE + HALF_WAY
        cx = np.where(step[..., 0] != 0, rng.uniform(room, SIDE - room, cx.shape), cx)
        cy = np.where(step[..., 1] != 0, rng.uniform(room, SIDE - room, cy.shape), cy)
    along = np.linspace(-HALF_WAY, HALF_WAY, frames)[None, :, None]  # (1, T, 1)
    shape, colour, size = _looks(n, objects, rng)
    return Clips(
        kind,
        shape,
        colour,
        size,
        (cx[:, None] + along * step[:, None, :, 0]).astype(np.float32),
        (cy[:, None] + along * step[:, None, :, 1]).astype(np.float32),
        shown,
        rng.integers(0, len(GROUNDS), n),
        rng.integers(0, 256, n),
    )


def _looks(
    n: int, objects: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shape, colour and size (n, objects); no colour twice in a clip."""
    colour = rng.random((n, len(COLOUR_NAMES))).argsort(1)[:, :objects]
    shape = rng.integers(0, len(SHAPES), (n, objects))
    return shape, colour, rng.integers(0, len(SIZES), (n, objects))


def _flashes(n: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """(n, frames, 2) bool: each of two objects is there in one frame, not in the same."""
    at = rng.random((n, frames)).argsort(1)[:, :2]  # (n, 2) two different frames
    return np.arange(frames)[None, :, None] == at[:, None]


def futures(n: int, seed: int = 0, frames: int = FRAMES) -> dict[str, Clips]:
    """n first frames with an object on a plain background, and all four ways in which each may go
    on: {"left": clips, "right": clips, "up": clips, "down": clips}, with equal first frames.

    Raises:
        ValueError: fewer than two frames.
    """
    start = sample_clips("direction", n, seed, frames)
    rng = np.random.default_rng((seed, 22))
    x, y = rng.uniform(EDGE + FUTURE_WAY, SIDE - EDGE - FUTURE_WAY, (2, n, 1, 1))
    along = np.linspace(0, FUTURE_WAY, frames)[None, :, None]  # (1, T, 1)
    kept = {f.name: getattr(start, f.name) for f in fields(start) if f.name not in ("cx", "cy")}
    kept["ground"] = np.zeros_like(start.ground)  # nothing is hidden behind the object
    return {
        name: Clips(
            **kept, cx=(x + along * dx).astype(np.float32), cy=(y + along * dy).astype(np.float32)
        )
        for name, (dx, dy) in DIRECTIONS.items()
    }


def both_ways(clips: Clips) -> Clips:
    """The clips, and behind them their reverses in the same order: 2 n clips."""
    back = clips.reversed()
    names = [field.name for field in fields(clips)[1:]]
    return Clips(
        clips.kind, *(np.concatenate([getattr(c, name) for c in (clips, back)]) for name in names)
    )


def random_orders(
    clips: int, frames: int, generator: torch.Generator
) -> Int[Tensor, "clips frames"]:
    """A random order of the frames for each clip, each its own."""
    return torch.rand(clips, frames, generator=generator).argsort(1)  # (clips, frames)


def shuffle_frames(v: Tensor, generator: torch.Generator) -> Tensor:
    """Frames or features v (clips, frames, ...), each clip's in a random order of its own.

    One order for all clips would be no test: where it happens to be close to the reverse, a model
    that sees time is wrong more often than chance.

    Raises:
        ValueError: no axis of frames.
    """
    if v.ndim < 2:
        raise ValueError(f"v: expected (clips, frames, ...), got {tuple(v.shape)}")
    order = random_orders(len(v), v.shape[1], generator).to(v.device)  # (clips, frames)
    return v[torch.arange(len(v), device=v.device)[:, None], order]  # (clips, frames, ...)

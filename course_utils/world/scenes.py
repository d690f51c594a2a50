"""Scenes: what is in each picture, kept as arrays with one row a scene and one column an object."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

SIDE = 64  # pixels a side
MAX_OBJECTS = 4
SHAPES = ("circle", "square", "triangle", "cross")
# Eight colours that also differ in lightness, so that most colour-blind readers can tell them
# apart; the pairs that stay hard are red and brown, and green and teal.
COLOURS = {
    "red": (220, 30, 30),
    "green": (40, 170, 40),
    "blue": (30, 60, 220),
    "black": (15, 15, 15),
    "gray": (128, 128, 128),
    "teal": (0, 115, 125),
    "brown": (125, 70, 25),
    "yellow": (245, 215, 40),
}
COLOUR_NAMES = tuple(COLOURS)
SIZES = ("small", "large")
RADII = np.array([5.5, 9.0], dtype=np.float32)  # pixels, of each size
GROUNDS = ("plain", "tilted", "noisy")
CELLS = 3  # places are the cells of a 3x3 grid, moved at random within the cell
NONE = -1  # in an unused column


@dataclass(frozen=True)
class Scenes:
    """n scenes of up to four objects. Unused columns hold -1 (and place 0).

    Raises:
        ValueError: arrays don't fit together.
    """

    shape: np.ndarray  # (n, 4) int8, index into SHAPES
    colour: np.ndarray  # (n, 4) int8, index into COLOURS
    size: np.ndarray  # (n, 4) int8, index into SIZES
    cx: np.ndarray  # (n, 4) float32, centre in pixels from the left
    cy: np.ndarray  # (n, 4) float32, centre in pixels from the top
    ground: np.ndarray  # (n,) int8, index into GROUNDS
    texture: np.ndarray  # (n,) int16, 0 to 255: which light, slope or noise

    def __post_init__(self) -> None:
        for field in fields(self):
            shape = getattr(self, field.name).shape
            n = len(self.ground)
            expected = (n,) if field.name in ("ground", "texture") else (n, MAX_OBJECTS)
            if shape != expected:
                raise ValueError(f"{field.name}: expected shape {expected}, got {shape}")

    def __len__(self) -> int:
        return len(self.ground)

    @property
    def present(self) -> np.ndarray:
        """(n, 4) bool: where there is an object."""
        return self.shape != NONE

    @property
    def count(self) -> np.ndarray:
        """(n,) number of objects."""
        return self.present.sum(1)

    def select(self, rows: np.ndarray) -> "Scenes":
        """Some of the scenes, by index or bool mask."""
        return Scenes(*(getattr(self, field.name)[rows] for field in fields(self)))

    def keys(self) -> list[bytes]:
        """One key a scene: equal keys mean equal scenes."""
        arrays = [
            np.ascontiguousarray(getattr(self, f.name)).view(np.uint8).reshape(len(self), -1)
            for f in fields(self)
        ]
        return [row.tobytes() for row in np.concatenate(arrays, axis=1)]

    def describe(self, i: int) -> list[tuple[str, str, str, float, float]]:
        """Scene i as (size, colour, shape, cx, cy) for each object."""
        return [
            (
                SIZES[self.size[i, k]],
                COLOUR_NAMES[self.colour[i, k]],
                SHAPES[self.shape[i, k]],
                round(float(self.cx[i, k]), 1),
                round(float(self.cy[i, k]), 1),
            )
            for k in range(MAX_OBJECTS)
            if self.present[i, k]
        ]


def sample_scenes(n: int, rng: np.random.Generator) -> Scenes:
    """n random scenes of one to four objects that don't touch.

    An object often repeats the shape or colour of the one before it, so that counts above one and
    comparisons occur often enough to be balanced.
    """
    count = rng.integers(1, MAX_OBJECTS + 1, n)  # (n,)
    present = np.arange(MAX_OBJECTS) < count[:, None]  # (n, 4)
    shape = _with_repeats(rng, n, len(SHAPES), 0.3)
    colour = _with_repeats(rng, n, len(COLOURS), 0.3)
    size = rng.integers(0, len(SIZES), (n, MAX_OBJECTS))
    cell = rng.random((n, CELLS * CELLS)).argsort(1)[:, :MAX_OBJECTS]  # (n, 4) distinct cells
    cx, cy = places(cell, size, rng)
    texture = rng.integers(0, 256, n)
    ground = rng.integers(0, len(GROUNDS), n)

    def hide(values: np.ndarray, empty: int, dtype: type) -> np.ndarray:
        return np.where(present, values, empty).astype(dtype)

    return Scenes(
        hide(shape, NONE, np.int8),
        hide(colour, NONE, np.int8),
        hide(size, NONE, np.int8),
        hide(cx, 0, np.float32),
        hide(cy, 0, np.float32),
        ground.astype(np.int8),
        texture.astype(np.int16),
    )


def places(
    cell: np.ndarray, size: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Centres (cx, cy) at random within cells, far enough from the borders not to touch."""
    side = SIDE / CELLS
    room = side / 2 - RADII[size] - 1  # how far the centre may move from the middle of its cell
    centres = []
    for index in (cell % CELLS, cell // CELLS):
        moved = (index + 0.5) * side + rng.uniform(-1, 1, cell.shape) * room
        centres.append(moved.astype(np.float32))
    return centres[0], centres[1]


def _with_repeats(rng: np.random.Generator, n: int, values: int, again: float) -> np.ndarray:
    out = rng.integers(0, values, (n, MAX_OBJECTS))
    repeat = rng.random((n, MAX_OBJECTS)) < again
    for k in range(1, MAX_OBJECTS):
        out[:, k] = np.where(repeat[:, k], out[:, k - 1], out[:, k])
    return out


def compose(
    objects: Sequence[tuple[str, str, str, float, float]], ground: str = "plain", texture: int = 0
) -> Scenes:
    """One scene by hand, from (size, colour, shape, cx, cy) for each object.

    Raises:
        ValueError: none or more than four objects, an unknown word, or a centre outside.
    """
    if not 1 <= len(objects) <= MAX_OBJECTS:
        raise ValueError(f"objects: expected 1 to {MAX_OBJECTS}, got {len(objects)}")
    rows = []
    for item in objects:
        if len(item) != 5:
            raise ValueError(f"object: expected (size, colour, shape, cx, cy), got {item!r}")
        size, colour, shape, cx, cy = item
        if not (0 <= cx < SIDE and 0 <= cy < SIDE):
            raise ValueError(f"centre: expected numbers from 0 to {SIDE - 1}, got ({cx}, {cy})")
        rows.append(
            [
                _index("size", size, SIZES),
                _index("colour", colour, COLOUR_NAMES),
                _index("shape", shape, SHAPES),
                cx,
                cy,
            ]
        )
    rows += [[NONE, NONE, NONE, 0, 0]] * (MAX_OBJECTS - len(rows))
    size, colour, shape, cx, cy = np.array(rows, dtype=np.float32).T[:, None].copy()
    return Scenes(
        shape.astype(np.int8),
        colour.astype(np.int8),
        size.astype(np.int8),
        cx,
        cy,
        np.array([_index("ground", ground, GROUNDS)], np.int8),
        np.array([texture % 256], np.int16),
    )


def _index(what: str, name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise ValueError(f"{what}: expected one of {', '.join(names)}, got {name!r}")
    return names.index(name)

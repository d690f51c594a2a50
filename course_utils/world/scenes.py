"""What is behind a picture: one to four objects on a ground, kept as a struct of arrays.

Lengths are in pixels. The picture spans 0 to 64 in x (to the right) and y (downwards); pixel i
covers the interval from i to i + 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

PICTURE = 64  # pixels on a side
MOST_OBJECTS = 4
SIZES = ("small", "large")
# The eight colour words of easy-VQA, so that both data sets share their vocabulary.
COLOURS = ("red", "green", "blue", "black", "gray", "teal", "brown", "yellow")
SHAPES = ("circle", "square", "triangle", "star")
SIDES = ("left", "right", "top", "bottom")  # halves of the picture
GROUNDS = ("plain", "tilted", "noisy")
RADII = ((4.5, 5.5), (7.5, 8.5))  # half the extent of a small and of a large object, pixels
GAP = 2.0  # pixels between the extents of two objects, at least
CLEAR = 2.5  # pixels by which any "left of" or "in the left half" is true or false, at least


@dataclass(frozen=True)
class Scenes:
    """`n` scenes. Columns from `count` onwards are empty: ids -1, lengths 0.

    Raises:
        ValueError: an array has the wrong shape, or a count is not 1 to 4.
    """

    shape: np.ndarray  # (n, 4) int8, index into SHAPES
    colour: np.ndarray  # (n, 4) int8, index into COLOURS
    size: np.ndarray  # (n, 4) int8, index into SIZES
    cx: np.ndarray  # (n, 4) float32, centre, pixels from the left
    cy: np.ndarray  # (n, 4) float32, centre, pixels from the top
    radius: np.ndarray  # (n, 4) float32, half the extent, pixels
    count: np.ndarray  # (n,) int8, objects in the scene
    ground: np.ndarray  # (n,) int8, index into GROUNDS
    tone: np.ndarray  # (n, 3) float32, mean colour of the ground, 0 to 255
    angle: np.ndarray  # (n,) float32, direction in which a tilted ground gets lighter, radians
    grain: np.ndarray  # (n,) uint32, seed of a noisy ground

    def __post_init__(self) -> None:
        n = len(self.count)
        for field in fields(self):
            expected = (n,)
            if field.name in ("shape", "colour", "size", "cx", "cy", "radius"):
                expected = (n, MOST_OBJECTS)
            elif field.name == "tone":
                expected = (n, 3)
            found = getattr(self, field.name).shape
            if found != expected:
                raise ValueError(f"{field.name}: expected an array of {expected}, got {found}")
        if n and (self.count.min() < 1 or self.count.max() > MOST_OBJECTS):
            raise ValueError(
                f"count: expected 1 to {MOST_OBJECTS} objects in a scene, "
                f"got {self.count.min()} to {self.count.max()}"
            )

    def __len__(self) -> int:
        return len(self.count)

    @property
    def present(self) -> np.ndarray:
        """Which columns hold an object, (n, 4) bool."""
        return np.arange(MOST_OBJECTS) < self.count[:, None]

    def select(self, rows: np.ndarray) -> "Scenes":
        """The scenes at `rows`: ids, a slice or a bool mask."""
        return Scenes(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def fingerprints(self) -> list[bytes]:
        """One byte string a scene; two scenes are the same if and only if these are."""
        flat = [np.ascontiguousarray(getattr(self, f.name)) for f in fields(self)]
        flat = [a.reshape(len(self), -1).view(np.uint8) for a in flat]
        return [row.tobytes() for row in np.concatenate(flat, axis=1)]

    def describe(self, i: int) -> list[dict]:
        """Scene `i` as plain words and numbers, one dictionary an object."""
        return [
            {
                "size": SIZES[self.size[i, k]],
                "colour": COLOURS[self.colour[i, k]],
                "shape": SHAPES[self.shape[i, k]],
                "cx": float(self.cx[i, k]),
                "cy": float(self.cy[i, k]),
            }
            for k in range(self.count[i])
        ]


def join(parts: Sequence[Scenes]) -> Scenes:
    """All scenes of `parts`, one after the other."""
    names = [field.name for field in fields(Scenes)]
    return Scenes(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


def draw_radius(rng: np.random.Generator, size: np.ndarray) -> np.ndarray:
    """A radius for each size id, in pixels."""
    low, high = np.array(RADII).T
    return low[size] + rng.random(size.shape) * (high - low)[size]


def draw_ground(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Grounds of `n` scenes: the last four fields of `Scenes`. Always light, nearly grey."""
    level = rng.uniform(215, 240, (n, 1)) + rng.uniform(-8, 8, (n, 3))
    return {
        "ground": rng.integers(len(GROUNDS), size=n).astype(np.int8),
        "tone": level.astype(np.float32),
        "angle": rng.uniform(0, 2 * np.pi, n).astype(np.float32),
        "grain": rng.integers(2**32, size=n, dtype=np.uint32),
    }


def _propose(rng: np.random.Generator, radius: np.ndarray, half: np.ndarray, tries: int):
    """One coordinate of each object, (rows, tries, k); `half` is 0 or 1 for a side, -1 for any."""
    u = rng.random((len(radius), tries, radius.shape[1]))
    second = np.where(half[:, None] < 0, rng.random(u.shape) < 0.5, half[:, None] == 1)
    reach = PICTURE / 2 - CLEAR - 1.5 - radius[:, None]  # length of the allowed stretch
    offset = CLEAR + u * reach
    return PICTURE / 2 + np.where(second, offset, -offset)


def place(
    rng: np.random.Generator,
    radius: np.ndarray,
    present: np.ndarray,
    side: np.ndarray,
    apart: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Centres such that no objects touch and every spatial relation is clear.

    Rejection sampling, whole scenes at a time, so the places of the objects are exchangeable.

    Args:
        radius: (n, k) pixels.
        present: (n, k) bool.
        side: (n, k) the half in which the centre must lie, index into SIDES, or -1.
        apart: (k, k) bool, which pairs of columns must keep apart.

    Returns:
        cx and cy, (n, k) float64, 0 where nothing is present.
    """
    n, k = radius.shape
    half_x = np.where(side < 2, side, -1)
    half_y = np.where(side >= 2, side - 2, -1)
    first, second = np.nonzero(np.triu(apart, 1))
    cx, cy = np.zeros((n, k)), np.zeros((n, k))
    pending = np.arange(n)
    while len(pending):
        tries = int(np.clip(100_000 // len(pending), 8, 256))
        x = _propose(rng, radius[pending], half_x[pending], tries)  # (rows, tries, k)
        y = _propose(rng, radius[pending], half_y[pending], tries)
        good = np.ones(x.shape[:2], dtype=bool)  # (rows, tries)
        for a, b in zip(first, second):
            needed = radius[pending, a] + radius[pending, b] + GAP  # (rows,)
            dx, dy = np.abs(x[..., a] - x[..., b]), np.abs(y[..., a] - y[..., b])
            fine = np.maximum(dx, dy) >= needed[:, None]
            fine &= np.minimum(dx, dy) >= CLEAR
            good &= fine | ~(present[pending, a] & present[pending, b])[:, None]
        done = good.any(axis=1)
        rows, chosen = np.nonzero(done)[0], good.argmax(axis=1)[done]
        cx[pending[done]], cy[pending[done]] = x[rows, chosen], y[rows, chosen]
        pending = pending[~done]
    return np.where(present, cx, 0), np.where(present, cy, 0)


def sample(n: int, seed: int = 0, objects: Sequence[int] = (1, 2, 3, 4)) -> Scenes:
    """`n` scenes whose objects have independent, uniform attributes (for captions and the like).

    The number of objects is uniform over `objects`.

    Raises:
        ValueError: `n` is negative or `objects` is not a list of numbers from 1 to 4.
    """
    if n < 0:
        raise ValueError(f"n: expected 0 or more scenes, got {n}")
    if not len(objects) or not set(objects) <= set(range(1, MOST_OBJECTS + 1)):
        raise ValueError(f"objects: expected numbers from 1 to {MOST_OBJECTS}, got {objects}")
    rng = np.random.default_rng(seed)
    count = rng.choice(np.array(objects), size=n)
    present = np.arange(MOST_OBJECTS) < count[:, None]  # (n, 4)
    ids = {
        name: rng.integers(len(names), size=(n, MOST_OBJECTS))
        for name, names in (("shape", SHAPES), ("colour", COLOURS), ("size", SIZES))
    }
    radius = draw_radius(rng, ids["size"])  # (n, 4)
    anywhere = np.full((n, MOST_OBJECTS), -1)
    apart = ~np.eye(MOST_OBJECTS, dtype=bool)
    cx, cy = place(rng, radius, present, anywhere, apart)
    ids = {name: np.where(present, value, -1).astype(np.int8) for name, value in ids.items()}
    lengths = {"cx": cx, "cy": cy, "radius": np.where(present, radius, 0)}
    lengths = {name: value.astype(np.float32) for name, value in lengths.items()}
    return Scenes(**ids, **lengths, count=count.astype(np.int8), **draw_ground(rng, n))


def compose(objects: Sequence[tuple], ground: str = "plain") -> Scenes:
    """One hand-made scene.

    Args:
        objects: one to four tuples (colour, shape, size, cx, cy), words and pixels, such as
            ("red", "circle", "large", 20, 30).
        ground: "plain", "tilted" or "noisy".

    Raises:
        ValueError: unknown word, 0 or more than 4 objects, or objects that touch each other or
            the border.
    """
    if not 1 <= len(objects) <= MOST_OBJECTS:
        raise ValueError(f"objects: expected 1 to {MOST_OBJECTS}, got {len(objects)}")
    ids = {name: np.full((1, MOST_OBJECTS), -1, np.int8) for name in ("shape", "colour", "size")}
    lengths = {name: np.zeros((1, MOST_OBJECTS), np.float32) for name in ("cx", "cy", "radius")}
    for k, item in enumerate(objects):
        if len(item) != 5:
            raise ValueError(f"object {k}: expected (colour, shape, size, cx, cy), got {item!r}")
        words = zip(("colour", "shape", "size"), (COLOURS, SHAPES, SIZES), item)
        for name, names, word in words:
            ids[name][0, k] = index_of(name, names, word)
        radius = sum(RADII[ids["size"][0, k]]) / 2
        for name, value in (("cx", item[3]), ("cy", item[4])):
            if not radius + 1 <= value <= PICTURE - radius - 1:
                raise ValueError(
                    f"{name} of object {k}: expected {radius + 1} to {PICTURE - radius - 1} "
                    f"pixels for a {item[2]} object, got {value}"
                )
            lengths[name][0, k] = value
        lengths["radius"][0, k] = radius
        for j in range(k):
            dx, dy = (abs(lengths[c][0, k] - lengths[c][0, j]) for c in ("cx", "cy"))
            if max(dx, dy) < radius + lengths["radius"][0, j] + 1:
                raise ValueError(f"objects {j} and {k} overlap: expected them further apart")
    return Scenes(
        **ids,
        **lengths,
        count=np.array([len(objects)], np.int8),
        ground=np.array([index_of("ground", GROUNDS, ground)], np.int8),
        tone=np.full((1, 3), 230, np.float32),
        angle=np.zeros(1, np.float32),
        grain=np.ones(1, np.uint32),
    )


def index_of(what: str, names: Sequence[str], name: str) -> int:
    """Position of `name` in `names`.

    Raises:
        ValueError: it is not there; the message lists `names`.
    """
    if name not in names:
        raise ValueError(f"{what}: expected one of {', '.join(names)}; got {name!r}")
    return names.index(name)

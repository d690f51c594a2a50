"""From scenes to pixels, in batches: signed distances turned into anti-aliased coverage.

A shape is described by its signed distance: negative inside, zero on the outline, positive
outside, in pixels. A pixel whose centre lies at distance d is covered to clip(0.5 - d, 0, 1).
"""

import numpy as np

from course_utils.world.scenes import COLOURS, MOST_OBJECTS, PICTURE, Scenes

# RGB of each word of COLOURS. Chosen so that the least different two stay apart in lightness or
# in blue against yellow for people who do not tell red from green: see tests/test_world.py.
RGB = np.array(
    [
        (220, 45, 50),  # red
        (60, 170, 60),  # green
        (40, 70, 215),  # blue
        (15, 15, 15),  # black
        (140, 140, 145),  # gray
        (0, 195, 200),  # teal
        (115, 65, 20),  # brown
        (250, 215, 30),  # yellow
    ],
    dtype=np.float32,
)
FAINT = 1 / 16  # coverage below this is left out, so that every drawn pixel visibly changes
REACH = 10  # pixels from the centre's pixel to the edge of the patch in which an object is drawn
assert len(RGB) == len(COLOURS)


def _polygon(corners: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distance to a polygon; corners (m, 2), x and y of any shape."""
    nearest = np.full(x.shape, np.inf, dtype=x.dtype)
    inside = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0)):
        ex, ey = bx - ax, by - ay
        px, py = x - ax, y - ay
        t = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0, 1)
        nearest = np.minimum(nearest, (px - t * ex) ** 2 + (py - t * ey) ** 2)
        crosses = (ay > y) != (by > y)  # a ray to the right crosses this edge
        if by != ay:
            inside ^= crosses & (px < ex * py / ey)
    return np.where(inside, -1, 1).astype(x.dtype) * np.sqrt(nearest)


def _star(points: int, outer: float, inner: float) -> np.ndarray:
    turn = np.arange(2 * points) * np.pi / points
    length = np.where(np.arange(2 * points) % 2 == 0, outer, inner)
    return np.stack([length * np.sin(turn), -length * np.cos(turn)], axis=1).astype(np.float32)


# Corners in units of the radius; every shape lies within -1 to 1.
TRIANGLE = np.array([(0, -0.95), (1, 0.85), (-1, 0.85)], np.float32)
STAR = _star(5, 1.05, 0.46) + np.array([0, 0.05], np.float32)


def _distance(shape: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distance in units of the radius."""
    if shape == 0:
        return np.hypot(x, y) - 0.97
    if shape == 1:  # exact outside of corners is not needed within half a pixel of the edge
        return np.maximum(np.abs(x), np.abs(y)) - 0.86
    return _polygon(TRIANGLE if shape == 2 else STAR, x, y)


def coverage(scenes: Scenes, column: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How much object `column` of each scene covers each pixel of a patch around it.

    Returns:
        alpha (n, side, side) float32 in [0, 1], and the patch's pixel rows and columns
        (n, side) int64; the patch may reach over the border, where alpha is 0.
    """
    steps = np.arange(-REACH, REACH + 1)
    left = np.floor(scenes.cx[:, column]).astype(np.int64)[:, None] + steps  # (n, side)
    top = np.floor(scenes.cy[:, column]).astype(np.int64)[:, None] + steps
    radius = np.maximum(scenes.radius[:, column], 1)[:, None, None]
    x = ((left + 0.5 - scenes.cx[:, column, None])[:, None, :] / radius).astype(np.float32)
    y = ((top + 0.5 - scenes.cy[:, column, None])[:, :, None] / radius).astype(np.float32)
    x, y = np.broadcast_arrays(x, y)  # (n, side, side)
    alpha = np.zeros(x.shape, dtype=np.float32)
    for shape in range(4):
        rows = np.nonzero(scenes.present[:, column] & (scenes.shape[:, column] == shape))[0]
        distance = _distance(shape, x[rows], y[rows]) * radius[rows]
        alpha[rows] = np.clip(0.5 - distance, 0, 1)
    alpha[alpha < FAINT] = 0
    within = ((left >= 0) & (left < PICTURE))[:, None, :] & ((top >= 0) & (top < PICTURE))[..., None]
    alpha[~within] = 0
    return alpha, np.clip(top, 0, PICTURE - 1), np.clip(left, 0, PICTURE - 1)


def _noise(grain: np.ndarray) -> np.ndarray:
    """Uniform noise in [-1, 1] a pixel from a seed a picture, (n, 64, 64): an integer hash."""
    h = np.arange(PICTURE * PICTURE, dtype=np.uint32) * np.uint32(2654435761)
    h = h ^ grain[:, None]
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        h ^= h >> np.uint32(shift)
        h *= np.uint32(factor)
    h ^= h >> np.uint32(16)
    noise = (h >> np.uint32(8)).astype(np.float32) * np.float32(2**-23) - 1
    return noise.reshape(len(grain), PICTURE, PICTURE)


def draw_grounds(scenes: Scenes) -> np.ndarray:
    """The pictures without their objects, (n, 3, 64, 64) float32."""
    picture = np.empty((len(scenes), 3, PICTURE, PICTURE), dtype=np.float32)
    picture[:] = scenes.tone[:, :, None, None]
    tilted, noisy = np.nonzero(scenes.ground == 1)[0], np.nonzero(scenes.ground == 2)[0]
    along = (np.arange(PICTURE, dtype=np.float32) + 0.5) / (PICTURE / 2) - 1  # -1 to 1
    cos, sin = np.cos(scenes.angle[tilted]), np.sin(scenes.angle[tilted])
    slope = cos[:, None, None] * along + sin[:, None, None] * along[:, None]  # (tilted, 64, 64)
    picture[tilted] += 10 * slope[:, None]
    picture[noisy] += 14 * _noise(scenes.grain[noisy])[:, None]
    return np.clip(picture, 0, 255)


def draw(scenes: Scenes, batch: int = 1024) -> np.ndarray:
    """The pictures, (n, 3, 64, 64) uint8. Drawing in batches of any size gives the same bytes."""
    pictures = np.empty((len(scenes), 3, PICTURE, PICTURE), dtype=np.uint8)
    for start in range(0, len(scenes), batch):
        part = scenes.select(slice(start, start + batch))
        picture = draw_grounds(part)  # (batch, 3, 64, 64)
        index = np.arange(len(part))[:, None, None]
        for column in range(MOST_OBJECTS):
            alpha, rows, columns = coverage(part, column)
            at = (index, slice(None), rows[:, :, None], columns[:, None, :])
            below = picture[at]  # (batch, side, side, 3)
            above = RGB[part.colour[:, column]][:, None, None, :]
            # Patch pixels beyond the border were clipped onto it, with coverage 0: only pixels
            # that are covered may be written.
            drawn = np.nonzero(alpha)
            picture[drawn[0], :, rows[drawn[0], drawn[1]], columns[drawn[0], drawn[2]]] = (
                below + alpha[..., None] * (above - below)
            )[drawn]
        pictures[start : start + batch] = np.rint(picture)
    return pictures


def boxes(scenes: Scenes) -> np.ndarray:
    """Boxes that enclose exactly the drawn pixels of each object.

    Returns:
        (n, 4, 4) int64: x0, y0, x1, y1 of each object; x1 and y1 are one past the last pixel, so
        that `picture[:, y0:y1, x0:x1]` cuts the object out. All 0 where there is no object.
    """
    result = np.zeros((len(scenes), MOST_OBJECTS, 4), dtype=np.int64)
    for column in range(MOST_OBJECTS):
        alpha, rows, columns = coverage(scenes, column)
        for first, covered, pixels in ((0, alpha.any(axis=1), columns), (1, alpha.any(axis=2), rows)):
            low = covered.argmax(axis=1)
            high = covered.shape[1] - 1 - covered[:, ::-1].argmax(axis=1)
            n = np.arange(len(scenes))
            result[:, column, first] = pixels[n, low]
            result[:, column, first + 2] = pixels[n, high] + 1
    return np.where(scenes.present[..., None], result, 0)

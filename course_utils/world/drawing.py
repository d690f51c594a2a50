"""Pictures of scenes, drawn in batches, with smooth edges.

The distance of a pixel's middle to a shape's edge is negative inside. The share of the pixel that
the shape covers is close to 0.5 - distance, cut to [0, 1]: that is all there is to smooth edges.
"""

import numpy as np

from course_utils.world.scenes import COLOURS, MAX_OBJECTS, RADII, SIDE, Scenes

WINDOW = 24  # side of the square in which an object is drawn
LEVELS = 16  # coverage is rounded to sixteenths, so a pixel is either touched visibly or not at all
PALETTE = np.array(list(COLOURS.values()), dtype=np.float32)  # (8, 3)


def _circle(x, y, r):
    return np.sqrt(x * x + y * y) - r


def _square(x, y, r):
    return np.maximum(np.abs(x), np.abs(y)) - 0.85 * r


def _triangle(x, y, r):
    height = np.sqrt(0.75, dtype=np.float32)
    return np.maximum(np.abs(x) * height - y / 2, y) - r / 2  # y grows downwards, tip on top


def _cross(x, y, r):
    x, y, arm = np.abs(x), np.abs(y), r / 3
    return np.minimum(np.maximum(x - r, y - arm), np.maximum(x - arm, y - r))


DISTANCES = (_circle, _square, _triangle, _cross)  # in the order of SHAPES


def _coverage(scenes: Scenes, rows: np.ndarray, k: int) -> tuple[np.ndarray, ...]:
    """Coverage (m, WINDOW, WINDOW) of object k in scenes `rows`, with its pixel indices
    iy (m, WINDOW, 1) and ix (m, 1, WINDOW); windows may reach outside the picture."""
    cx, cy = scenes.cx[rows, k], scenes.cy[rows, k]  # (m,)
    left = np.floor(cx).astype(int) - WINDOW // 2  # (m,)
    top = np.floor(cy).astype(int) - WINDOW // 2
    ix = left[:, None, None] + np.arange(WINDOW)[None, None]  # (m, 1, WINDOW)
    iy = top[:, None, None] + np.arange(WINDOW)[None, :, None]  # (m, WINDOW, 1)
    x = (ix + 0.5 - cx[:, None, None]).astype(np.float32)
    y = (iy + 0.5 - cy[:, None, None]).astype(np.float32)
    radius = RADII[scenes.size[rows, k]][:, None, None]
    distance = np.empty((len(rows), WINDOW, WINDOW), np.float32)
    for shape, function in enumerate(DISTANCES):
        these = scenes.shape[rows, k] == shape
        if these.any():
            distance[these] = function(x[these], y[these], radius[these])
    covered = np.round(np.clip(0.5 - distance, 0, 1) * LEVELS) / LEVELS
    inside = (ix >= 0) & (ix < SIDE) & (iy >= 0) & (iy < SIDE)
    return covered * inside, iy, ix


# 32 noise textures (32, 64, 64, 1), always the same
NOISE = np.random.default_rng(64).normal(0, 9, (32, SIDE, SIDE, 1)).astype(np.float32)


def _grounds(scenes: Scenes) -> np.ndarray:
    """Light grounds (n, 64, 64, 3): one light, a slope of light, or noise."""
    light = 205 + (scenes.texture % 32).astype(np.float32)  # (n,)
    picture = np.empty((len(scenes), SIDE, SIDE, 3), np.float32)
    picture[:] = light[:, None, None, None]
    tilted, noisy = scenes.ground == 1, scenes.ground == 2
    angle = scenes.texture[tilted] * np.float32(2 * np.pi / 256)  # (m,)
    line = np.linspace(-20, 20, SIDE, dtype=np.float32)
    across, down = np.cos(angle)[:, None, None] * line, np.sin(angle)[:, None, None] * line[:, None]
    picture[tilted] += (across + down)[..., None]
    picture[noisy] += NOISE[scenes.texture[noisy] // 8]
    return picture


def draw(scenes: Scenes) -> np.ndarray:
    """Pictures (n, 3, 64, 64) uint8 of the scenes."""
    out = np.empty((len(scenes), 3, SIDE, SIDE), np.uint8)
    for start in range(0, len(scenes), 500):  # some hundred at a time stay in the cache
        part = scenes.select(np.arange(start, min(start + 500, len(scenes))))
        picture = _grounds(part)  # (m, 64, 64, 3)
        for k in range(MAX_OBJECTS):
            rows = part.present[:, k].nonzero()[0]
            if len(rows):
                covered, iy, ix = _coverage(part, rows, k)
                colour = PALETTE[part.colour[rows, k]][:, None, None]  # (m, 1, 1, 3)
                _blend(picture, rows, iy, ix, covered[..., None].astype(np.float32), colour)
        out[start : start + len(part)] = picture.clip(0, 255).round().transpose(0, 3, 1, 2)
    return out


def _blend(picture, rows, iy, ix, covered, colour) -> None:
    """picture += covered * (colour - picture) in each window, where it is inside the picture."""
    reaches_out = (
        (iy[:, 0, 0] < 0) | (iy[:, -1, 0] >= SIDE) | (ix[:, 0, 0] < 0) | (ix[:, 0, -1] >= SIDE)
    )
    for some, safe in ((~reaches_out, True), (reaches_out, False)):
        if some.any():
            index = (rows[some, None, None], iy[some].clip(0, SIDE - 1), ix[some].clip(0, SIDE - 1))
            change = covered[some] * (colour[some] - picture[index])  # (m, WINDOW, WINDOW, 3)
            if safe:
                picture[index] += change
            else:  # clipped indices repeat the border; += would keep only the last of them
                np.add.at(picture, index, change)


def boxes(scenes: Scenes) -> np.ndarray:
    """(n, 4, 4) int: left, top, right, bottom of each object's drawn pixels, right and bottom
    excluded; zeros where there is no object, or where none of its pixels are inside."""
    out = np.zeros((len(scenes), MAX_OBJECTS, 4), int)
    for k in range(MAX_OBJECTS):
        rows = scenes.present[:, k].nonzero()[0]
        if not len(rows):
            continue
        covered, iy, ix = _coverage(scenes, rows, k)
        for axis, index, low, high in ((1, ix[:, 0], 0, 2), (2, iy[:, :, 0], 1, 3)):
            touched = np.any(covered > 0, axis)  # (m, WINDOW)
            first = touched.argmax(1)
            last = WINDOW - 1 - touched[:, ::-1].argmax(1)
            some, m = touched.any(1), np.arange(len(rows))
            out[rows, k, low] = np.where(some, index[m, first], 0)
            out[rows, k, high] = np.where(some, index[m, last] + 1, 0)
    return out

"""Following by detection: boxes of each frame are linked to the tracks so far.

Bewley et al. 2016, "Simple Online and Realtime Tracking" (SORT), arXiv 1602.00763: predicted boxes,
IoU and the Hungarian method; Wojke et al. 2017, arXiv 1703.07402, adds appearance.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from course_utils.evaluation.track_metrics import box_iou
from course_utils.world.tracks import Detections, Tracks


@dataclass(frozen=True)
class FollowConfig:
    """How tracks are continued."""

    least: float = 0.2  # IoU of predicted and detected box below which nothing is linked
    patience: int = 5  # frames that a track lives without a detection
    motion: bool = True  # whether a track goes on with its velocity; else it stays where it was
    smooth: float = 0.5  # share of the old velocity that is kept when a new one is seen
    appearance: float = 0.0  # what the same colour adds to IoU; with it, `reach` is enough to link
    reach: float = 20.0  # pixels between centres within which the same colour may be linked
    greedy: bool = False  # take the best pair first, instead of the best sum of all pairs

    def __post_init__(self) -> None:
        if not 0 < self.least <= 1 or self.patience < 0 or not 0 <= self.smooth < 1:
            raise ValueError(
                "expected 0 < least <= 1, patience >= 0 and 0 <= smooth < 1, got "
                f"{self.least}, {self.patience} and {self.smooth}"
            )


@dataclass
class Track:
    """One that is being followed."""

    number: int
    box: np.ndarray  # (4,) where it was seen last
    colour: int
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))  # pixels a frame
    unseen: int = 0  # frames since it was seen

    def expected(self, motion: bool) -> np.ndarray:
        """(4,) the box in the next frame."""
        moved = self.velocity * (self.unseen + 1) if motion else np.zeros(2)
        return self.box + np.tile(moved, 2)


def link(score: np.ndarray, greedy: bool = False) -> list[tuple[int, int]]:
    """Pairs (track, detection) of a table of scores (tracks, detections), each row and column once
    at most. A score of 0 means that the two must not be linked.

    The best sum of all pairs (the Hungarian method), or greedily the best pair first.
    """
    if not score.size:
        return []
    if not greedy:
        rows, columns = linear_sum_assignment(-score)
        pairs = zip(rows.tolist(), columns.tolist())
        return [(i, j) for i, j in pairs if score[i, j] > 0]
    pairs, left = [], score.copy()
    while left.max() > 0:
        i, j = (int(n) for n in np.unravel_index(left.argmax(), left.shape))
        pairs.append((i, j))
        left[i], left[:, j] = 0, 0
    return pairs


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pixels between the centres of a (n, 4) and b (m, 4), as (n, m)."""
    off = (a[:, None, :2] + a[:, None, 2:] - b[:, :2] - b[:, 2:]) / 2  # (n, m, 2)
    return np.hypot(off[..., 0], off[..., 1])


class Follower:
    """Gives each detection of a frame the number of its track; a new one where none fits."""

    def __init__(self, config: FollowConfig = FollowConfig()):
        self.config = config
        self.tracks: list[Track] = []
        self.started = 0  # tracks so far

    def update(self, boxes: np.ndarray, colours: np.ndarray) -> np.ndarray:
        """Numbers (n,) of the detections of the next frame: boxes (n, 4), colours (n,).

        Raises:
            ValueError: not one colour a box.
        """
        if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) != len(colours):
            raise ValueError(f"expected n boxes (n, 4) with a colour each, got {boxes.shape}")
        c = self.config
        expected = np.array([track.expected(c.motion) for track in self.tracks]).reshape(-1, 4)
        overlap = box_iou(expected, boxes)  # (tracks, n)
        same = np.array([track.colour for track in self.tracks])[:, None] == colours  # (tracks, n)
        allowed = overlap >= c.least  # (tracks, n)
        if c.appearance:
            allowed |= same & (_apart(expected, boxes) <= c.reach)
        score = np.where(allowed, overlap + c.appearance * same, 0.0)
        numbers = np.full(len(boxes), -1)
        seen = set()
        for i, j in link(score, c.greedy):
            self._continue(self.tracks[i], boxes[j], int(colours[j]))
            numbers[j] = self.tracks[i].number
            seen.add(i)
        for i, track in enumerate(self.tracks):
            track.unseen += i not in seen
        self.tracks = [track for track in self.tracks if track.unseen <= c.patience]
        for j in np.flatnonzero(numbers < 0):
            self.tracks.append(Track(self.started, boxes[j], int(colours[j])))
            numbers[j] = self.started
            self.started += 1
        return numbers

    def _continue(self, track: Track, box: np.ndarray, colour: int) -> None:
        moved = ((box - track.box)[:2] + (box - track.box)[2:]) / 2  # (2,) of the centre
        now = moved / (track.unseen + 1)  # pixels a frame
        keep = self.config.smooth if track.velocity.any() else 0.0
        track.velocity = keep * track.velocity + (1 - keep) * now
        track.box, track.unseen = box, 0
        if self.config.appearance == 0:
            track.colour = colour  # else the first look is kept: a single wrong one does no harm


def follow(seen: Detections, frames: int, config: FollowConfig = FollowConfig()) -> Tracks:
    """All frames of a clip, one after the other."""
    follower, numbers = Follower(config), []
    for t in range(frames):
        rows = seen.frame == t
        numbers.append(follower.update(seen.boxes[rows], seen.colour[rows]))
    return Tracks(seen.frame, np.concatenate(numbers), seen.boxes)

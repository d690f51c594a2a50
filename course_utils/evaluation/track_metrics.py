"""How well boxes are followed: MOTA, IDF1 and HOTA, equal to TrackEval 1.3.0.

CLEAR MOT: Bernardin and Stiefelhagen 2008; IDF1: Ristani et al. 2016, arXiv 1609.01775; HOTA:
Luiten et al. 2020, arXiv 2009.07736. TrackEval's conventions are kept where the papers leave room:
a match goes on from the frame before if it can; a switch is counted against the last match, however
long ago that was; HOTA solves one assignment a frame for all thresholds.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from course_utils.world.tracks import Tracks

EPSILON = np.finfo(float).eps
THRESHOLDS = np.arange(0.05, 0.99, 0.05)  # (19,) of HOTA


class Clear(NamedTuple):
    """Counted frame by frame."""

    mota: float  # 1 - (misses + false + switches) / true boxes
    motp: float  # mean IoU of the matches; 0 where there is none
    matches: int
    misses: int
    false: int
    switches: int


class Idf1(NamedTuple):
    """Counted over whole tracks, each true one with at most one given one."""

    idf1: float  # 2 right / (true boxes + given boxes)
    right: int


class Hota(NamedTuple):
    """Means over 19 thresholds of IoU."""

    hota: float  # of sqrt(det_a * ass_a)
    det_a: float  # matches / (matches + misses + false)
    ass_a: float  # over matches: how well their two tracks agree
    by_threshold: np.ndarray  # (19,) HOTA at each


@dataclass(frozen=True)
class Paired:
    """True and given tracks side by side, frame by frame. `similar` is IoU, or anything from 0 to
    1."""

    true_ids: list[np.ndarray]  # of each frame: (n,) from 0 without gaps
    given_ids: list[np.ndarray]  # of each frame: (m,)
    similar: list[np.ndarray]  # of each frame: (n, m)
    true_count: np.ndarray  # (true tracks,) boxes of each
    given_count: np.ndarray  # (given tracks,)


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of each box of a (n, 4) with each of b (m, 4), as (n, m)."""
    low = np.maximum(a[:, None, :2], b[:, :2])  # (n, m, 2)
    high = np.minimum(a[:, None, 2:], b[:, 2:])  # (n, m, 2)
    inner = (high - low).clip(0).prod(-1)  # (n, m)
    size_a, size_b = ((x[:, 2:] - x[:, :2]).clip(0).prod(-1) for x in (a, b))  # (n,), (m,)
    union = size_a[:, None] + size_b - inner  # (n, m)
    return inner / np.where(union > 0, union, 1)


def pair(true: Tracks, given: Tracks) -> Paired:
    """Frames side by side; frames with neither are left out."""
    _, true_ids = np.unique(true.identity, return_inverse=True)  # (n,)
    _, given_ids = np.unique(given.identity, return_inverse=True)  # (m,)
    frames = np.union1d(true.frame, given.frame)
    cuts = [(np.searchsorted(one.frame, frames), one) for one in (true, given)]
    ends = [np.searchsorted(one.frame, frames, side="right") for one in (true, given)]
    mine_of, theirs_of, similar_of = [], [], []
    for t in range(len(frames)):
        mine = slice(cuts[0][0][t], ends[0][t])
        theirs = slice(cuts[1][0][t], ends[1][t])
        mine_of.append(true_ids[mine])
        theirs_of.append(given_ids[theirs])
        similar_of.append(box_iou(true.boxes[mine], given.boxes[theirs]))
    counts = np.bincount(true_ids), np.bincount(given_ids)  # (true tracks,), (given tracks,)
    return Paired(mine_of, theirs_of, similar_of, *counts)


def clear(paired: Paired, threshold: float = 0.5) -> Clear:
    """CLEAR MOT. MOTA can be negative; it is nan where nothing is true.

    Raises:
        ValueError: a threshold that is not above 0 and at most 1.
    """
    _share(threshold)
    last = np.full(len(paired.true_count), -1)  # with whom each was matched, however long ago
    before = np.full(len(paired.true_count), -1)  # and in the frame before
    matches, switches, overlap = 0, 0, 0.0
    for true, given, similar in zip(paired.true_ids, paired.given_ids, paired.similar):
        if not len(true) or not len(given):
            continue
        score = 1000.0 * (given[None] == before[true][:, None]) + similar  # (n, m)
        score[similar < threshold - EPSILON] = 0
        rows, columns = linear_sum_assignment(-score)
        kept = score[rows, columns] > EPSILON
        rows, columns = rows[kept], columns[kept]
        mine, theirs = true[rows], given[columns]
        switches += int(((last[mine] >= 0) & (last[mine] != theirs)).sum())
        before[:] = -1
        last[mine] = before[mine] = theirs
        matches += len(rows)
        overlap += float(similar[rows, columns].sum())
    misses = int(paired.true_count.sum()) - matches
    false = int(paired.given_count.sum()) - matches
    total = int(paired.true_count.sum())
    mota = 1 - (misses + false + switches) / total if total else float("nan")
    return Clear(mota, overlap / max(1, matches), matches, misses, false, switches)


def idf1(paired: Paired, threshold: float = 0.5) -> Idf1:
    """IDF1: each true track gets one given track, so that as many boxes as possible agree. nan
    where there is no box at all.

    Raises:
        ValueError: as `clear`.
    """
    _share(threshold)
    agree = _agreement(paired, [similar >= threshold for similar in paired.similar])
    rows, columns = linear_sum_assignment(-agree)
    right = round(agree[rows, columns].sum())
    boxes = int(paired.true_count.sum() + paired.given_count.sum())
    return Idf1(2 * right / boxes if boxes else float("nan"), right)


def hota(paired: Paired) -> Hota:
    """HOTA with its parts; nan where there is no box at all."""
    total = int(paired.true_count.sum()), int(paired.given_count.sum())
    if not any(total):
        nan = float("nan")
        return Hota(nan, nan, nan, np.full(len(THRESHOLDS), nan))
    shared = []
    for similar in paired.similar:
        around = similar.sum(0)[None] + similar.sum(1)[:, None] - similar  # (n, m)
        shared.append(np.divide(similar, around, np.zeros_like(similar), where=around > EPSILON))
    both = _agreement(paired, shared)  # (true tracks, given tracks)
    sums = paired.true_count[:, None] + paired.given_count  # (true tracks, given tracks)
    alignment = both / np.maximum(sums - both, EPSILON)
    found: list[tuple[np.ndarray, ...]] = []
    for true, given, similar in zip(paired.true_ids, paired.given_ids, paired.similar):
        if len(true) and len(given):
            rows, columns = linear_sum_assignment(-alignment[true[:, None], given] * similar)
            found.append((true[rows], given[columns], similar[rows, columns]))
    if not found:
        return Hota(0.0, 0.0, 0.0, np.zeros(len(THRESHOLDS)))
    mine, theirs, overlap = (np.concatenate(part) for part in zip(*found))  # (pairs,) each
    place = mine * len(paired.given_count) + theirs  # (pairs,)
    det, ass = np.zeros(len(THRESHOLDS)), np.zeros(len(THRESHOLDS))
    for a, threshold in enumerate(THRESHOLDS):
        kept = place[overlap >= threshold - EPSILON]
        counts = np.bincount(kept, minlength=sums.size).reshape(sums.shape)
        det[a] = len(kept) / max(1, sum(total) - len(kept))
        ass[a] = (counts * (counts / np.maximum(1, sums - counts))).sum() / max(1, len(kept))
    both_ways = np.sqrt(det * ass)  # (19,)
    return Hota(float(both_ways.mean()), float(det.mean()), float(ass.mean()), both_ways)


def _agreement(paired: Paired, values: list[np.ndarray]) -> np.ndarray:
    """(true tracks, given tracks): sums of the frames' values (n, m)."""
    sizes = len(paired.true_count), len(paired.given_count)
    if not values:
        return np.zeros(sizes)
    place = [
        (true[:, None] * sizes[1] + given).ravel()
        for true, given in zip(paired.true_ids, paired.given_ids)
    ]
    weights = np.concatenate([value.ravel() for value in values]).astype(float)
    return np.bincount(np.concatenate(place), weights, sizes[0] * sizes[1]).reshape(sizes)


def _share(threshold: float) -> None:
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold: expected above 0 and at most 1, got {threshold}")

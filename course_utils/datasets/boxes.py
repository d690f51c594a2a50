"""Files with boxes: COCO's detections, RefCOCO's expressions and the MOT challenge's tracks.

All come out as (left, top, right, bottom) in pixels; the first pixel is 0, and right and
bottom are excluded.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from course_utils.world.tracks import Tracks


class ReferredBox(NamedTuple):
    """An expression about one object of a picture."""

    text: str
    image: int
    file: str
    box: tuple[float, float, float, float]


class DetectedBox(NamedTuple):
    """One box that a detector reports."""

    image: int
    category: int
    score: float
    box: tuple[float, float, float, float]


def _load(path: Path):
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"expected JSON in {path}, got: {error}") from None


def _corners(box: Sequence[float], where: str) -> tuple[float, float, float, float]:
    """COCO's [left, top, width, height] as corners."""
    numbers = isinstance(box, (list, tuple)) and len(box) == 4
    if not numbers or not all(isinstance(n, (int, float)) and math.isfinite(n) for n in box):
        raise ValueError(f"{where}: expected a box [left, top, width, height], got {box!r}")
    left, top, width, height = (float(n) for n in box)
    if width < 0 or height < 0:
        raise ValueError(f"{where}: expected a width and height of at least 0, got {box!r}")
    return left, top, left + width, top + height


def read_coco_detections(path: Path) -> list[DetectedBox]:
    """A file of results for COCO: a list of {image_id, category_id, bbox, score}.

    Raises:
        ValueError: another form; the message names the first bad entry.
    """
    rows = _load(path)
    if not isinstance(rows, list):
        raise ValueError(f"{path}: expected a list of detections, got {type(rows).__name__}")
    found = []
    for n, row in enumerate(rows):
        where = f"{path}, detection {n}"
        lacks = {"image_id", "category_id", "bbox", "score"} - set(row)
        if lacks:
            raise ValueError(f"{where}: expected {', '.join(sorted(lacks))}")
        box = _corners(row["bbox"], where)
        found.append(
            DetectedBox(int(row["image_id"]), int(row["category_id"]), float(row["score"]), box)
        )
    return found


def read_refcoco(refs: Path, instances: Path, split: str = "val") -> list[ReferredBox]:
    """RefCOCO's expressions of a split, with the boxes of COCO's instances.

    `refs` is the list of refs as JSON (the published `refs(unc).p` is a pickle, which may run code
    when it is opened: convert it once, in a place that you trust); `instances` is instances.json.
    Each sentence of a ref becomes a row.

    Raises:
        ValueError: another form, a split that has no ref, or a ref to an annotation that isn't
            there.
    """
    rows, told = _load(refs), _load(instances)
    try:
        boxes = {one["id"]: one["bbox"] for one in told["annotations"]}
        files = {one["id"]: one["file_name"] for one in told["images"]}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{instances}: expected images and annotations, lacks {error}") from None
    found = []
    for n, row in enumerate(rows):
        where = f"{refs}, ref {n}"
        try:
            if row["split"] != split:
                continue
            annotation, image = row["ann_id"], row["image_id"]
            texts = [sentence["sent"] for sentence in row["sentences"]]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{where}: lacks {error}") from None
        if annotation not in boxes or image not in files:
            raise ValueError(f"{where}: annotation {annotation} or image {image} isn't there")
        box = _corners(boxes[annotation], where)
        found += [ReferredBox(text.strip(), image, files[image], box) for text in texts]
    if not found:
        known = sorted({str(row.get("split")) for row in rows})
        raise ValueError(f"split: expected one of {', '.join(known)}, got {split!r}")
    return found


def read_mot(path: Path, classes: Sequence[int] | None = None) -> Tracks:
    """A file of the MOT challenge: frame, id, left, top, width, height, confidence, ... in each
    line, frames and pixels counted from 1.

    Rows with a confidence of 0 (in gt.txt: those that are not to be counted) are left out; of the
    others the `classes` in the eighth column are kept, if they are named.

    Raises:
        ValueError: a line with too few numbers, or somebody twice in a frame.
    """
    rows = []
    for n, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            numbers = [float(part) for part in line.split(",")]
            frame, identity, left, top, width, height, sure = numbers[:7]
        except ValueError:
            raise ValueError(
                f"{path}, line {n}: expected frame, id, left, top, width, height, confidence, "
                f"got {line!r}"
            ) from None
        if classes is not None and (len(numbers) < 8 or int(numbers[7]) not in classes):
            continue
        if sure != 0:
            # the first pixel is 1 there and 0 here
            corner = (left - 1, top - 1, left - 1 + width, top - 1 + height)
            rows.append((int(frame) - 1, int(identity), *corner))
    table = np.array(sorted(rows), float).reshape(-1, 6)  # (n, 6)
    return Tracks(table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2:])


def write_mot(path: Path, tracks: Tracks) -> None:
    """Writes tracks in the form that `read_mot` reads, with a confidence of 1."""
    lines = []
    for frame, identity, (left, top, right, bottom) in zip(
        tracks.frame, tracks.identity, tracks.boxes
    ):
        box = (left + 1, top + 1, right - left, bottom - top)
        numbers = ",".join(f"{number:.2f}" for number in box)
        lines.append(f"{frame + 1},{identity},{numbers},1,-1,-1,-1")
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")

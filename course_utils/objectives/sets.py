"""Set prediction: a model gives a fixed number of candidates, of which each object gets one.

Carion et al. 2020, "End-to-End Object Detection with Transformers" (DETR), arXiv 2005.12872,
equations 1 and 2. The assignment itself is the Hungarian method (Kuhn 1955), SciPy's.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from course_utils.objectives.boxes import giou, pairwise, to_corners


class Target(NamedTuple):
    """The objects of one picture."""

    labels: Int[Tensor, " objects"]  # from 0
    boxes: Float[Tensor, "objects 4"]  # centre x, centre y, width, height, in shares


class SetLoss(NamedTuple):
    """The three parts, each a mean as in DETR, and their weighted sum."""

    total: Float[Tensor, ""]
    label: Float[Tensor, ""]
    l1: Float[Tensor, ""]
    overlap: Float[Tensor, ""]


def match(cost: Float[Tensor, "candidates objects"]) -> tuple[Tensor, Tensor]:
    """Which candidate each object gets, so that the sum of the costs is the least possible: two
    rows of indices (pairs,), sorted by candidate. Where candidates are too few, the objects that
    would cost most stay without one.

    Raises:
        ValueError: no matrix, or costs that are not numbers.
    """
    table = np.asarray(torch.as_tensor(cost).detach().cpu(), dtype=np.float64)
    if table.ndim != 2 or np.isnan(table).any():
        raise ValueError(f"cost: expected a matrix of numbers, got shape {table.shape} or nan")
    rows, columns = linear_sum_assignment(table)
    return torch.as_tensor(rows), torch.as_tensor(columns)


@torch.no_grad()
def set_cost(
    logits: Float[Tensor, "candidates labels"],
    boxes: Float[Tensor, "candidates 4"],
    target: Target,
    label: float = 1,
    l1: float = 5,
    overlap: float = 2,
) -> Float[Tensor, "candidates objects"]:
    """What it costs to give a candidate to an object: l1 * L1 - overlap * GIoU - label * p(its
    label). Boxes are centre and size, in shares."""
    p = logits.softmax(-1)[:, target.labels]  # (candidates, objects)
    away = torch.cdist(boxes, target.boxes, p=1)  # (candidates, objects)
    inside = pairwise(giou, to_corners(boxes), to_corners(target.boxes))  # (candidates, objects)
    return l1 * away - overlap * inside - label * p


def set_loss(
    logits: Float[Tensor, "batch candidates labels"],
    boxes: Float[Tensor, "batch candidates 4"],
    targets: Sequence[Target],
    no_object: float = 0.1,
    l1: float = 5,
    overlap: float = 2,
) -> SetLoss:
    """DETR's loss. The last label means "no object" and has the weight `no_object`.

    Each picture is matched by `set_cost`. The label's part is the weighted mean over all
    candidates, the boxes' parts are sums over the pairs, divided by the number of objects in the
    batch.

    Raises:
        ValueError: not one target a picture, or a label outside.
    """
    if len(targets) != len(logits):
        raise ValueError(f"targets: expected {len(logits)}, one a picture, got {len(targets)}")
    nothing = logits.shape[-1] - 1
    labels = torch.full(logits.shape[:2], nothing, device=logits.device)  # (batch, candidates)
    rows, columns, wanted = [], [], []
    for i, target in enumerate(targets):
        if len(target.labels) and not 0 <= int(target.labels.min()) <= int(target.labels.max()) < (
            nothing
        ):
            raise ValueError(f"labels: expected 0 to {nothing - 1}, got {target.labels.tolist()}")
        candidates, objects = match(set_cost(logits[i], boxes[i], target, 1, l1, overlap))
        labels[i, candidates] = target.labels[objects]
        rows.append(torch.full_like(candidates, i))
        columns.append(candidates)
        wanted.append(target.boxes[objects])  # (pairs, 4)
    found = boxes[torch.cat(rows), torch.cat(columns)]  # (pairs, 4)
    weight = logits.new_ones(nothing + 1)
    weight[nothing] = no_object
    of_labels = F.cross_entropy(logits.transpose(1, 2), labels, weight)
    count = max(1, sum(len(target.labels) for target in targets))
    away = (found - torch.cat(wanted)).abs().sum() / count
    inside = giou(to_corners(found), to_corners(torch.cat(wanted)))  # (pairs,)
    apart = (1 - inside).sum() / count
    return SetLoss(of_labels + l1 * away + overlap * apart, of_labels, away, apart)

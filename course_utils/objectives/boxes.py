"""Boxes: how much two of them overlap, and losses that move one to another.

A box is (left, top, right, bottom), in pixels or in shares of a picture's sides; y grows downwards.
IoU and GIoU: Rezatofighi et al. 2019, arXiv 1902.09630.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def to_corners(boxes: Float[Tensor, "... 4"]) -> Float[Tensor, "... 4"]:
    """(centre x, centre y, width, height) -> (left, top, right, bottom)."""
    centre, size = _numbers(boxes).split(2, dim=-1)  # (..., 2) each
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)  # (..., 4)


def to_centres(boxes: Float[Tensor, "... 4"]) -> Float[Tensor, "... 4"]:
    """(left, top, right, bottom) -> (centre x, centre y, width, height)."""
    low, high = _numbers(boxes).split(2, dim=-1)  # (..., 2) each
    return torch.cat([(low + high) / 2, high - low], dim=-1)  # (..., 4)


def area(boxes: Float[Tensor, "... 4"]) -> Float[Tensor, "..."]:
    """Width times height; 0 where right is left of left, or bottom above top."""
    low, high = _numbers(boxes).split(2, dim=-1)  # (..., 2) each
    return (high - low).clamp(min=0).prod(-1)  # (...)


def _inner_and_union(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    low = torch.maximum(a[..., :2], b[..., :2])  # (..., 2)
    high = torch.minimum(a[..., 2:], b[..., 2:])  # (..., 2)
    inner = (high - low).clamp(min=0).prod(-1)  # (...)
    return inner, area(a) + area(b) - inner


def iou(a: Float[Tensor, "... 4"], b: Float[Tensor, "... 4"]) -> Float[Tensor, "..."]:
    """Intersection over union of a and b, entry by entry; shapes are broadcast. 0 where both boxes
    are empty.

    Raises:
        ValueError: the last axis isn't 4, or whole numbers, which would overflow.
    """
    inner, union = _inner_and_union(_numbers(a), _numbers(b))  # (...) each
    return inner / union.clamp(min=torch.finfo(union.dtype).tiny)  # (...)


def giou(a: Float[Tensor, "... 4"], b: Float[Tensor, "... 4"]) -> Float[Tensor, "..."]:
    """IoU minus the share of the smallest box around both that neither covers: from -1 to 1.

    Boxes apart have IoU 0, whose gradient is 0; GIoU still grows as they come nearer.

    Raises:
        ValueError: as `iou`.
    """
    inner, union = _inner_and_union(_numbers(a), _numbers(b))  # (...) each
    low = torch.minimum(a[..., :2], b[..., :2])  # (..., 2)
    high = torch.maximum(a[..., 2:], b[..., 2:])  # (..., 2)
    around = (high - low).clamp(min=0).prod(-1)  # (...)
    tiny = torch.finfo(union.dtype).tiny
    return inner / union.clamp(min=tiny) - (around - union) / around.clamp(min=tiny)


def pairwise(
    measure, a: Float[Tensor, "... n 4"], b: Float[Tensor, "... m 4"]
) -> Float[Tensor, "... n m"]:
    """`iou` or `giou` of each box of a with each of b."""
    return measure(a[..., :, None, :], b[..., None, :, :])


def box_loss(
    predicted: Float[Tensor, "... 4"], wanted: Float[Tensor, "... 4"], l1: float = 5, overlap=2
) -> Float[Tensor, "..."]:
    """l1 * sum of |centre, size differences| + overlap * (1 - GIoU), with DETR's weights (Carion et
    al. 2020, arXiv 2005.12872). Boxes in shares of the picture."""
    away = (to_centres(predicted) - to_centres(wanted)).abs().sum(-1)  # (...)
    return l1 * away + overlap * (1 - giou(predicted, wanted))


def _numbers(boxes: Tensor) -> Tensor:
    if boxes.shape[-1:] != (4,) or not boxes.is_floating_point():
        raise ValueError(
            f"boxes: expected floating point (..., 4), got {boxes.dtype} {tuple(boxes.shape)}"
        )
    return boxes

"""Finding the right one among many: recall at k, median rank, and what guessing would give."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def ranks(
    scores: Float[Tensor, "queries choices"], right: Bool[Tensor, "queries choices"] | None = None
) -> Int[Tensor, " queries"]:
    """The place of the best right answer of each query, from 1.

    That is 1 + the number of wrong answers that score at least as much: in a tie the wrong one
    comes first, so that a model which scores everything alike finds nothing.

    Args:
        right: which choices are right for which query; the diagonal when None.

    Raises:
        ValueError: shapes don't fit, a score is NaN, or a query has no right answer.
    """
    if right is None:
        if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
            raise ValueError(
                "scores: expected as many choices as queries, or `right`; got "
                f"{tuple(scores.shape)}"
            )
        right = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    if right.shape != scores.shape or right.dtype != torch.bool:
        raise ValueError(
            f"right: expected bool of the scores' shape {tuple(scores.shape)}, "
            f"got {right.dtype} {tuple(right.shape)}"
        )
    if scores.isnan().any():
        raise ValueError("scores: expected numbers, got NaN")
    if not right.any(1).all():
        missing = (~right.any(1)).nonzero()[0].item()
        raise ValueError(
            f"right: expected a right answer for every query, query {missing} has none"
        )
    best = scores.masked_fill(~right, -torch.inf).amax(1, keepdim=True)  # (queries, 1)
    return 1 + ((scores >= best) & ~right).sum(1)  # (queries,)


@dataclass(frozen=True)
class Retrieval:
    """How well a search works. Shares lie in [0, 1]."""

    r1: float  # share of queries whose best answer is right
    r5: float  # share with a right answer among the best 5
    r10: float
    median: float  # median place of the best right answer, from 1


def retrieval(
    scores: Float[Tensor, "queries choices"], right: Bool[Tensor, "queries choices"] | None = None
) -> Retrieval:
    """Recall at 1, 5 and 10, and the median rank. For the search the other way round, pass both
    arguments transposed. Raises ValueError as `ranks`."""
    place = ranks(scores, right)  # (queries,)
    at = [(place <= k).double().mean().item() for k in (1, 5, 10)]
    return Retrieval(*at, median=place.double().quantile(0.5).item())


def chance(right: Bool[Tensor, "queries choices"]) -> Retrieval:
    """The same for choices in a random order, exactly: a query with m right answers among n finds
    none of them in the first k with probability C(n - m, k) / C(n, k)."""
    count, n = right.sum(1).tolist(), right.shape[1]

    def recall(k: int) -> float:
        k = min(k, n)
        return sum(1 - math.comb(n - m, k) / math.comb(n, k) for m in count) / len(count)

    median = next(k for k in range(1, n + 1) if recall(k) >= 0.5)
    return Retrieval(recall(1), recall(5), recall(10), float(median))

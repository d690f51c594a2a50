"""Metrics of answers, as pure functions of predictions and truths. All shares lie in [0, 1].

Each equals scikit-learn's or torchmetrics' of the same name by value, as
tests/evaluation/test_metrics.py shows.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class PrecisionRecall(NamedTuple):
    """Of each class; where there is nothing to divide by, 0."""

    precision: Float[Tensor, " classes"]  # of what was called this class, how much is
    recall: Float[Tensor, " classes"]  # of what is this class, how much was called so
    f1: Float[Tensor, " classes"]  # their harmonic mean
    support: Int[Tensor, " classes"]  # how many examples there are


class Curve(NamedTuple):
    """A point for each threshold, and one before any example counts as positive."""

    x: Float[Tensor, " points"]
    y: Float[Tensor, " points"]


class Calibration(NamedTuple):
    """Of each bin of confidence; empty bins are left out."""

    confidence: Float[Tensor, " bins"]  # mean
    accuracy: Float[Tensor, " bins"]
    count: Int[Tensor, " bins"]


def confusion_matrix(
    predictions: Int[Tensor, " n"], y: Int[Tensor, " n"], classes: int
) -> Int[Tensor, "classes classes"]:
    """Counts; row: the true class, column: the predicted one.

    Raises:
        ValueError: shapes differ, there is no example, or an id isn't below `classes`.
    """
    _check(predictions, y)
    if min(predictions.min(), y.min()) < 0 or max(predictions.max(), y.max()) >= classes:
        raise ValueError(
            f"expected ids from 0 to {classes - 1}, got predictions up to {int(predictions.max())} "
            f"and truths up to {int(y.max())}"
        )
    cells = y.long() * classes + predictions.long()  # (n,) a small integer type would overflow
    return torch.bincount(cells, minlength=classes**2).view(classes, classes)


def accuracy(predictions: Int[Tensor, " n"], y: Int[Tensor, " n"]) -> float:
    """The share of right predictions: summed over all examples, divided once."""
    _check(predictions, y)
    return (predictions == y).double().mean().item()


def precision_recall(
    predictions: Int[Tensor, " n"], y: Int[Tensor, " n"], classes: int
) -> PrecisionRecall:
    """Precision, recall and F1 of each class."""
    table = confusion_matrix(predictions, y, classes).double()  # (classes, classes)
    hit, called, there = table.diagonal(), table.sum(0), table.sum(1)  # (classes,) each
    f1 = 2 * hit / (called + there)  # (classes,) the harmonic mean, written so that 0 / 0 is rare
    return PrecisionRecall(
        _or_zero(hit / called), _or_zero(hit / there), _or_zero(f1), there.long()
    )


def f1_score(
    predictions: Int[Tensor, " n"], y: Int[Tensor, " n"], classes: int, average: str = "macro"
) -> float:
    """ "macro": the mean over classes, each counting as much; "micro": from the sums over classes,
    which is the accuracy where each example has one class. Classes that neither occur nor are
    predicted are left out of the mean.

    Raises:
        ValueError: another average.
    """
    if average == "micro":
        return accuracy(predictions, y)
    if average != "macro":
        raise ValueError(f"average: expected 'macro' or 'micro', got {average!r}")
    table = confusion_matrix(predictions, y, classes)
    met = (table.sum(0) + table.sum(1)) > 0  # (classes,)
    return precision_recall(predictions, y, classes).f1[met].mean().item()


def auc(scores: Float[Tensor, " n"], positive: Bool[Tensor, " n"]) -> float:
    """The area under the ROC curve: the chance that a positive example has a higher score than a
    negative one, where a tie counts half. By ranks, as Mann and Whitney's U.

    Raises:
        ValueError: shapes differ, a score is NaN, or one of the two kinds is missing.
    """
    _both_kinds(scores, positive)
    ranks = mid_ranks(scores)  # (n,)
    ones = int(positive.sum())
    zeros = len(scores) - ones
    return ((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros)).item()


def mid_ranks(values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Ranks from 1; equal values share the mean of theirs."""
    _, group, counts = values.unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()  # (groups,) the highest rank in each
    return (ends - (counts - 1) / 2)[group]  # (n,)


def roc_curve(scores: Float[Tensor, " n"], positive: Bool[Tensor, " n"]) -> Curve:
    """x: false positives of all negatives, y: true positives of all positives, as the threshold
    falls through all different scores; from (0, 0) to (1, 1)."""
    _both_kinds(scores, positive)
    hits, alarms = _counts_above(scores, positive)
    return Curve(alarms / alarms[-1], hits / hits[-1])


def precision_recall_curve(scores: Float[Tensor, " n"], positive: Bool[Tensor, " n"]) -> Curve:
    """x: recall, y: precision, as the threshold falls; the first point is (0, 1) by convention."""
    _both_kinds(scores, positive)
    hits, alarms = _counts_above(scores, positive)
    precision = torch.cat([hits.new_ones(1), hits[1:] / (hits[1:] + alarms[1:])])  # (points,)
    return Curve(hits / hits[-1], precision)


def average_precision(scores: Float[Tensor, " n"], positive: Bool[Tensor, " n"]) -> float:
    """The area under the precision-recall curve as steps: precision where recall grows."""
    curve = precision_recall_curve(scores, positive)
    return ((curve.x[1:] - curve.x[:-1]) * curve.y[1:]).sum().item()


def calibration(
    confidence: Float[Tensor, " n"], right: Bool[Tensor, " n"], bins: int = 15
) -> Calibration:
    """Mean confidence and accuracy in bins of equal width over [0, 1], each closed on the right.

    Raises:
        ValueError: shapes differ, or a confidence lies outside of [0, 1] or is NaN.
    """
    _check(confidence, right)
    _numbers(confidence, "confidence")
    if confidence.min() < 0 or confidence.max() > 1:
        raise ValueError(
            f"confidence: expected values in [0, 1], got {confidence.min():.3g} to "
            f"{confidence.max():.3g}; logits need a softmax first"
        )
    inner = torch.arange(1, bins, dtype=torch.float64) / bins  # (bins - 1,)
    edges = inner.to(confidence)  # in the type of the confidence, so that 0.2 lies on 0.2
    place = torch.bucketize(confidence, edges)  # (n,) bin of each
    confidence = confidence.double()
    count = torch.bincount(place, minlength=bins)  # (bins,)
    sums = [
        torch.zeros(bins, dtype=torch.float64).index_add_(0, place, v)
        for v in (confidence, right.double())
    ]
    met = count > 0
    return Calibration(sums[0][met] / count[met], sums[1][met] / count[met], count[met])


def expected_calibration_error(
    confidence: Float[Tensor, " n"], right: Bool[Tensor, " n"], bins: int = 15
) -> float:
    """The mean gap between confidence and accuracy, bins weighted by their examples (Naeini et al.
    2015; Guo et al., arXiv 1706.04599, section 2). Chance alone makes it larger than 0."""
    table = calibration(confidence, right, bins)
    gaps = (table.confidence - table.accuracy).abs()  # (bins,)
    return ((gaps * table.count).sum() / table.count.sum()).item()


def _counts_above(scores: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Positives and negatives at or above each threshold, from none to all (points,)."""
    order = scores.argsort(descending=True)
    ranked, hit = scores[order], positive[order].double()
    last = torch.cat([ranked[1:] != ranked[:-1], torch.ones(1, dtype=torch.bool)])  # of equal ones
    hits, alarms = hit.cumsum(0)[last], (1 - hit).cumsum(0)[last]
    zero = hits.new_zeros(1)
    return torch.cat([zero, hits]), torch.cat([zero, alarms])


def _or_zero(values: Tensor) -> Tensor:
    return torch.nan_to_num(values, nan=0.0)


def _check(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"expected two of shape (n,), got {tuple(a.shape)} and {tuple(b.shape)}")
    if len(a) == 0:
        raise ValueError("expected at least one example, got none")


def _numbers(values: Tensor, name: str) -> None:
    """A NaN is neither above nor below any other score: every metric of it would be accident."""
    if (bad := values.isnan()).any():
        raise ValueError(
            f"{name}: expected numbers, got NaN for {int(bad.sum())} of {len(values)} examples"
        )


def _both_kinds(scores: Tensor, positive: Tensor) -> None:
    _check(scores, positive)
    if positive.dtype != torch.bool:
        raise ValueError(f"positive: expected bool, got {positive.dtype}")
    _numbers(scores, "scores")
    if positive.all() or not positive.any():
        raise ValueError(
            f"expected positive and negative examples, got {int(positive.sum())} positive ones of "
            f"{len(positive)}"
        )

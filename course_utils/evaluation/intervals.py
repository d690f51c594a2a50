"""How far a measured share can be trusted: intervals and paired tests, also for questions that
share pictures."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from scipy import stats
from torch import Tensor


class Interval(NamedTuple):
    """A value and the interval that is to hold the true one."""

    value: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the width."""
        return (self.high - self.low) / 2


def standard_error(values: Float[Tensor, " n"], groups: Int[Tensor, " n"] | None = None) -> float:
    """Of the mean of `values`. With `groups`, values of one group (questions about one picture)
    may be alike: the groups are what was drawn independently.

    Raises:
        ValueError: fewer than two values, or than two groups.
    """
    values = values.double()
    if groups is None:
        groups = torch.arange(len(values))
    _, which = groups.unique(return_inverse=True)
    count = int(which.max()) + 1 if len(which) else 0
    if count < 2:
        raise ValueError(f"expected two or more values and groups, got {len(values)} and {count}")
    off = values - values.mean()  # (n,)
    sums = torch.zeros(count, dtype=torch.float64).index_add_(0, which, off)  # (groups,)
    return (sums.square().sum() * count / (count - 1)).sqrt().item() / len(values)


def wilson(right: int, n: int, level: float = 0.95) -> Interval:
    """Of a share of n independent answers (Wilson 1927). Unlike share ± 2 standard errors it stays
    in [0, 1], and isn't empty where all are right.

    Raises:
        ValueError: not 0 <= right <= n, or n is 0.
    """
    if n < 1 or not 0 <= right <= n:
        raise ValueError(f"expected 0 <= right <= n and n >= 1, got right={right}, n={n}")
    z, p = float(stats.norm.ppf((1 + level) / 2)), right / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return Interval(p, max(0.0, middle - half), min(1.0, middle + half))


def t_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Of the mean that a recipe has over all seeds, from the results of a few runs (Student 1908).
    It takes the runs' results for normal.

    Raises:
        ValueError: fewer than two runs.
    """
    if len(values) < 2:
        raise ValueError(f"expected the results of two or more runs, got {len(values)}")
    runs = torch.as_tensor(values, dtype=torch.float64)  # (runs,)
    t = float(stats.t.ppf((1 + level) / 2, len(runs) - 1))
    mean, half = runs.mean().item(), t * (runs.std() / len(runs) ** 0.5).item()
    return Interval(mean, mean - half, mean + half)


def bootstrap(
    values: Float[Tensor, "n ..."],
    groups: Int[Tensor, " n"] | None = None,
    statistic: Callable[[Tensor], Tensor] | None = None,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The percentile interval of a statistic over data drawn again with replacement (Efron 1979).

    Args:
        groups: whole groups are drawn; single values when None.
        statistic: values (m, ...) -> a number; the mean when None, which is much faster.

    Raises:
        ValueError: fewer than two values or groups.
    """
    groups = torch.arange(len(values)) if groups is None else groups
    _, which = groups.unique(return_inverse=True)
    count = int(which.max()) + 1 if len(which) else 0
    if count < 2:
        raise ValueError(f"expected two or more values and groups, got {len(values)} and {count}")
    generator = torch.Generator().manual_seed(seed)
    if statistic is None:
        found = _means(values.double(), which, count, draws, generator)  # (draws,)
        value = values.double().mean().item()
    else:
        rows = [(which == g).nonzero()[:, 0] for g in range(count)]
        found = torch.stack(
            [
                torch.as_tensor(statistic(values[torch.cat([rows[g] for g in picked.tolist()])]))
                for picked in torch.randint(count, (draws, count), generator=generator)
            ]
        ).double()
        value = float(statistic(values))
    low, high = found.quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2]).double()).tolist()
    return Interval(value, low, high)


def _means(values: Tensor, which: Tensor, count: int, draws: int, generator) -> Tensor:
    """Means of drawn groups: sums and sizes of groups are enough."""
    sums = torch.zeros(count, dtype=torch.float64).index_add_(0, which, values)  # (groups,)
    sizes = torch.bincount(which, minlength=count).double()  # (groups,)
    picked = torch.randint(count, (draws, count), generator=generator)  # (draws, groups)
    return sums[picked].sum(1) / sizes[picked].sum(1)


def paired_difference(
    a: Bool[Tensor, " n"], b: Bool[Tensor, " n"], groups: Int[Tensor, " n"] | None = None, **options
) -> Interval:
    """The share right of model a minus that of model b on the same questions, bootstrapped."""
    _same(a, b)
    return bootstrap(a.double() - b.double(), groups, **options)


def mcnemar(a: Bool[Tensor, " n"], b: Bool[Tensor, " n"]) -> float:
    """p-value of "both models are equally good", exact: only questions that one of them alone
    answers rightly say anything, and each falls to either side like a coin (McNemar 1947). The
    questions must be independent."""
    _same(a, b)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    if only_a + only_b == 0:
        return 1.0
    return float(stats.binomtest(only_a, only_a + only_b).pvalue)


def _same(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.ndim != 1 or a.dtype != torch.bool or b.dtype != torch.bool:
        raise ValueError(
            f"expected two bool tensors of one shape (n,), got {a.dtype} {tuple(a.shape)} and "
            f"{b.dtype} {tuple(b.shape)}"
        )

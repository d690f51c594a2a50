"""Detectors of changed data: CUSUM on a number a batch, set where nothing has changed."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

PER_BATCH = 8  # pictures in an incoming batch
RINGS = 0.05  # share of unchanged streams in which a detector may ring


def cusum(z: Float[Tensor, "streams batches"], slack: float) -> Float[Tensor, "streams batches"]:
    """S_t = max(0, S_(t-1) + z_t - slack), S_0 = 0: how much more than `slack` above its mean z has
    been, summed since it was last at 0 (Page 1954). A batch of NaN is infinitely suspicious, and
    leaves the sum of the others as it was.

    Args:
        z: what is watched, standardised on unchanged data; larger is more suspicious.

    Raises:
        ValueError: z isn't (streams, batches).
    """
    if z.ndim != 2:
        raise ValueError(f"z: expected (streams, batches), got {tuple(z.shape)}")
    total, found = z.new_zeros(len(z)), []
    for column in z.T:  # (streams,)
        level = total + column - slack  # (streams,)
        found.append(torch.where(level.isnan(), torch.inf, level.clamp(min=0)))
        total = torch.where(level.isnan(), total, found[-1])
    return torch.stack(found, dim=1)  # (streams, batches)


def first_alarm(above: Bool[Tensor, "streams batches"]) -> Int[Tensor, " streams"]:
    """The first batch, from 0, in which a stream's alarm rings; the number of batches if never."""
    times = torch.arange(above.shape[1])  # (batches,)
    return torch.where(above, times, above.shape[1]).min(1).values  # (streams,)


@dataclass(frozen=True)
class Detector:
    """CUSUM on the mean of a batch."""

    mean: float  # of a batch, where nothing has changed
    std: float  # of a batch, likewise
    threshold: float  # rings above it
    both: bool = False  # whether it also watches for numbers that are too small
    slack: float = 0.5  # half of the change, in std, that is to be noticed

    def level(self, batches: Float[Tensor, "streams batches"]) -> Tensor:
        """What is compared with the threshold: (streams, batches)."""
        z = (batches - self.mean) / self.std  # (streams, batches)
        up = cusum(z, self.slack)  # (streams, batches)
        return torch.maximum(up, cusum(-z, self.slack)) if self.both else up

    def __call__(self, batches: Float[Tensor, "streams batches"]) -> Tensor:
        """Where the alarm rings: (streams, batches) bool."""
        return self.level(batches) > self.threshold


def draw_batches(
    values: Float[Tensor, "pictures dim"], streams: int, batches: int, seed: int
) -> Float[Tensor, "streams batches dim"]:
    """Means of batches of PER_BATCH pictures, drawn with replacement."""
    generator = torch.Generator().manual_seed(seed)
    picked = torch.randint(len(values), (PER_BATCH, streams, batches), generator=generator)
    total = values.new_zeros(streams, batches, values.shape[1])
    for rows in picked:  # (streams, batches): one picture of each batch
        total += values[rows]
    return total / PER_BATCH


def calibrate(
    watched: Float[Tensor, "streams batches"], both: bool = False, rings: float = RINGS
) -> Detector:
    """The detector that rings in a share `rings` of these streams, in which nothing has changed.

    Raises:
        ValueError: numbers that don't differ, or a share outside (0, 1).
    """
    if not 0 < rings < 1:
        raise ValueError(f"rings: expected a share between 0 and 1, got {rings}")
    if watched.ndim != 2 or not watched.std() > 0:
        raise ValueError("watched: expected (streams, batches) of numbers that differ")
    detector = Detector(watched.mean().item(), watched.std().item(), 0.0, both)
    highest = detector.level(watched).max(1).values  # (streams,)
    return replace(detector, threshold=highest.quantile(1 - rings).item())


def rung(detector: Detector, before: Tensor, after: Tensor) -> dict:
    """Of streams (streams, batches) that change after `before`: in which share the detector rang
    too early, and of the others the share in which it never rang, and the median delay in batches
    (None if it rang in fewer than half)."""
    first = first_alarm(detector(torch.cat([before, after], dim=1)))  # (streams,)
    late = first[first >= before.shape[1]]
    delay = late - before.shape[1] + 1  # 1: in the first changed batch
    missed = (delay > after.shape[1]).double().mean().item()
    return dict(
        early=1 - len(late) / len(first),
        missed=missed,
        delay=None if missed > 0.5 else delay.median().item(),
    )


# Numbers of a batch


def mean_doubt(batches: Float[Tensor, "streams batches 1"]) -> Float[Tensor, "streams batches"]:
    return batches[..., 0]


def shift(batches: Float[Tensor, "streams batches dim"]) -> Float[Tensor, "streams batches"]:
    """How far the mean of a batch is from 0, for standardised values: PER_BATCH times its square,
    a mean over dimensions. 1 on average where nothing has changed; larger whichever way h moves.
    (A two-sample test: of the batch against the pictures that standardised it.)"""
    return PER_BATCH * batches.square().mean(-1)

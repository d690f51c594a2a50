"""Indicators of collapse: what a loss without labels does not say about h.

Those of a batch take h (batch, dim). Those that tell words from pictures take a grid of
h (questions, pictures, dim): every question asked about every picture. None needs labels.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Batch = Float[Tensor, "batch dim"]
Grid = Float[Tensor, "questions pictures dim"]


def batch_std(h: Batch) -> float:
    """Standard deviation over the batch, mean over dim.

    Healthy: the scale that the model's last layer gives (about 1 after a LayerNorm whose input
    varies freely, 1 under VICReg). Collapsed to a constant: 0. Blind to a missing picture where
    the words vary in the batch.
    """
    _check(h, 2)
    return h.double().std(0).mean().item()


def normalised_std(h: Batch) -> float:
    """sqrt(dim) times the standard deviation of h / ||h||, mean over dim (Chen and He,
    arXiv 2011.10566, section 4.1).

    Healthy: near 1, the value of directions that are spread evenly. Collapsed to one direction: 0.
    Blind to the length of h, to a line through 0, and to a missing picture where the words vary.
    """
    _check(h, 2)
    return math.sqrt(h.shape[1]) * F.normalize(h.double(), dim=1).std(0).mean().item()


def effective_rank(h: Batch) -> float:
    """exp of the entropy of the singular values of centred h, divided by their sum (Roy and
    Vetterli, EUSIPCO 2007; RankMe, arXiv 2210.02885, leaves out the centring).

    Healthy: a good part of dim; at most min(batch - 1, dim). Collapsed to a line: 1; to a point: 1
    too, by agreement. Blind to scale: h and h / 1000 have the same.
    """
    share = torch.linalg.svdvals(_centred(h))  # (min(batch, dim),)
    share = share / share.sum().clamp(min=1e-300)
    return math.exp(torch.special.entr(share).sum().item())


def participation_ratio(h: Batch) -> float:
    """(sum of the eigenvalues of the covariance)^2 / (sum of their squares).

    Healthy: a good part of dim, smaller than the effective rank as it goes by variances. Collapsed
    to a line: 1; to a point: 0. Blind to scale.
    """
    variance = torch.linalg.svdvals(_centred(h)).square()  # (min(batch, dim),)
    return (variance.sum().square() / variance.square().sum().clamp(min=1e-300)).item()


def alignment(h: Batch, h_other: Batch) -> float:
    """Mean squared distance of the two views on the unit sphere (Wang and Isola,
    arXiv 2005.10242, section 4.1, with power 2).

    Healthy: small. Collapsed: 0, the best value. It is L_vs itself, up to the length of h.
    """
    a, b = _directions(h), _directions(h_other)  # (batch, dim) each
    return (a - b).square().sum(1).mean().item()


def uniformity(h: Batch, t: float = 2.0) -> float:
    """log of the mean of exp(-t ||f - g||^2) over pairs of different rows on the unit sphere (Wang
    and Isola, arXiv 2005.10242, section 4.1).

    Healthy: near -2 t = -4 for directions that are spread evenly in many dimensions. Collapsed to
    one direction: 0. Blind to the length of h.
    """
    return torch.pdist(_directions(h)).square().mul(-t).exp().mean().log().item()


def std_given_question(h: Grid) -> float:
    """The spread over pictures at a fixed question: std over pictures, mean over questions, dim.

    Healthy: of the size of `batch_std`. Picture lost, or h constant: 0.
    """
    _check(h, 3)
    return h.double().std(1).mean().item()


def visual_share(h: Grid) -> float:
    """The share of the variance of h that comes from the picture: E Var(h | x) / Var(h), summed
    over dim. By the law of total variance the rest, Var E(h | x), comes from the words alone.

    Healthy: well above 0. Picture lost: 0. Words lost: 1. Blind to scale; a constant h gives 0.
    """
    _check(h, 3)
    h = h.double()
    within = h.var(1, correction=0).mean(0).sum()  # ()
    total = h.flatten(0, 1).var(0, correction=0).sum()  # ()
    return (within / total.clamp(min=1e-300)).item()


def visual_sensitivity(h: Grid, h_other: Grid) -> float:
    """Var(h | x) over pictures, divided by E ||h(x, v) - h(x, v')||^2, both summed over dim.

    Healthy: well above 1, another picture moves h and a perturbation does not. 0.5: a perturbation
    moves h as much as another picture. Blind to scale: if both shrink alike it stays as it is.
    """
    _check(h, 3)
    _check(h_other, 3)
    moved = (h - h_other).double().square().sum(-1).mean()  # ()
    return (h.double().var(1).mean(0).sum() / moved.clamp(min=1e-300)).item()


def _centred(h: Tensor) -> Tensor:
    _check(h, 2)
    return h.double() - h.double().mean(0)  # (batch, dim)


def _directions(h: Tensor) -> Tensor:
    _check(h, 2)
    return F.normalize(h.double(), dim=1)  # (batch, dim)


def _check(h: Tensor, dims: int) -> None:
    shape = {2: "(batch, dim)", 3: "(questions, pictures, dim)"}[dims]
    if h.ndim != dims or h.shape[-2] < 2:
        raise ValueError(f"h: expected {shape} with 2 or more to compare, got {tuple(h.shape)}")

"""Learning without labels from pairs of views: L_vs, and what keeps it from collapsing.

`h` and `h_other` are the joint representations of the same words with a picture and with its
perturbed version, row by row, (batch, dim). `group` (batch,) says which rows share their words:
with it, the terms that keep h spread out compare pictures at the same words only.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

Views = Float[Tensor, "batch dim"]
Group = Int[Tensor, " batch"]


def consistency(h: Float[Tensor, "... dim"], h_other: Float[Tensor, "... dim"]) -> Tensor:
    """L_vs = ||T(x, v) - T(x, v')||^2, summed over dim, mean over everything else.

    Zero for every T that gives v and v' the same h, the constant included.
    """
    _same_shape(h, h_other)
    return (h - h_other).square().sum(-1).mean()


def picture_text_distance(
    v: Float[Tensor, "batch patches visual_dim"], h: Views, project: nn.Module
) -> Tensor:
    """The second loss of the name L_vs: ||W v - h||^2, the squared distance between the projected
    mean of a picture's features and the h of its text, summed over dim, mean over the batch.

    Also zero for constants: W v = h = c.
    """
    return consistency(project(v.mean(1)), h)


# Stop-gradient with a predictor: SimSiam (Chen and He, arXiv 2011.10566, section 3)


class Predictor(nn.Module):
    """The small network of SimSiam that guesses one view's h from the other's; its hidden layer
    is narrower than its ends and is batch-normalised."""

    def __init__(self, dim: int, hidden: int | None = None):
        super().__init__()
        hidden = hidden or dim // 4
        self.layers = nn.Sequential(
            nn.Linear(dim, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, dim),
        )

    def forward(self, h: Views) -> Views:
        return self.layers(h)


def simsiam(h: Views, h_other: Views, predictor: nn.Module) -> Tensor:
    """Mean negative cosine of predictor(h) with h_other and the other way round; no gradient
    reaches the side that is not predicted. From 1 (opposite) to -1 (agreement, or collapse)."""
    _same_shape(h, h_other)
    one = F.cosine_similarity(predictor(h), h_other.detach(), dim=-1)  # (batch,)
    other = F.cosine_similarity(predictor(h_other), h.detach(), dim=-1)  # (batch,)
    return -0.5 * (one + other).mean()


# Variance and covariance: VICReg (Bardes et al., arXiv 2105.04906, section 4; as in their program,
# the distance is divided by dim)


def vicreg(
    h: Views,
    h_other: Views,
    group: Group | None = None,
    weights: tuple[float, float, float] = (25.0, 25.0, 1.0),
) -> Tensor:
    """Invariance + variance + covariance with the published weights. As in the authors' program
    the variance terms of the two views are averaged, the covariance terms added."""
    _same_shape(h, h_other)
    pull, spread, decorrelate = weights
    return (
        pull * consistency(h, h_other) / h.shape[-1]
        + spread * 0.5 * (variance_hinge(h, group) + variance_hinge(h_other, group))
        + decorrelate * (covariance_penalty(h, group) + covariance_penalty(h_other, group))
    )


def variance_hinge(h: Views, group: Group | None = None, least: float = 1.0) -> Tensor:
    """Mean over dim of max(0, least - std over the batch), std = sqrt(variance + 1e-4)."""
    centred, freedom = centre(h, group)
    std = (centred.square().sum(0) / freedom + 1e-4).sqrt()  # (dim,)
    return F.relu(least - std).mean()


def covariance_penalty(h: Views, group: Group | None = None) -> Tensor:
    """Sum of the squared covariances of different dimensions, divided by dim."""
    centred, freedom = centre(h, group)
    covariance = centred.T @ centred / freedom  # (dim, dim)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / h.shape[1]


def centre(h: Views, group: Group | None = None) -> tuple[Views, int]:
    """h minus the mean of its group (of the batch when None), and the degrees of freedom left.

    What the words alone explain is the mean of a group: subtracting it leaves the picture's part.

    Raises:
        ValueError: no two rows share a group, so that nothing is left; or not one group a row.
    """
    if h.ndim != 2 or len(h) < 2:
        raise ValueError(f"h: expected (batch, dim) with 2 rows or more, got {tuple(h.shape)}")
    if group is None:
        return h - h.mean(0), len(h) - 1
    if group.shape != h.shape[:1]:
        raise ValueError(f"group: expected one for each of {len(h)} rows, got {tuple(group.shape)}")
    member = F.one_hot(group.unique(return_inverse=True)[1]).to(h.dtype)  # (batch, groups)
    freedom = len(h) - member.shape[1]
    if freedom == 0:
        raise ValueError("group: expected rows that share a group, got another one for each row")
    means = member.T @ h / member.sum(0)[:, None]  # (groups, dim)
    return h - member @ means, freedom


# Contrast: InfoNCE (van den Oord et al., arXiv 1807.03748), between two views


def info_nce(
    h: Views, h_other: Views, group: Group | None = None, temperature: float = 0.1
) -> Tensor:
    """Cross-entropy of finding each row's other view among all rows, by cosine, both ways.

    With `group` only rows with the same words stand for choice: the words cannot tell them apart.
    """
    _same_shape(h, h_other)
    a, b = F.normalize(h, dim=-1), F.normalize(h_other, dim=-1)  # (batch, dim) each
    scores = a @ b.T / temperature  # (batch, batch)
    if group is not None:
        scores = scores.masked_fill(group[:, None] != group[None, :], -torch.inf)
    target = torch.arange(len(h), device=h.device)  # (batch,)
    return 0.5 * (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target))


def _same_shape(h: Tensor, h_other: Tensor) -> None:
    if h.shape != h_other.shape:
        raise ValueError(
            f"expected two views of one shape, got {tuple(h.shape)} and {tuple(h_other.shape)}"
        )

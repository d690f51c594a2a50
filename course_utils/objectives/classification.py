"""Losses for answering questions, on logits: binary, softmax, and with soft targets.

All are means over the batch. Each is computed in a form that cannot overflow.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def binary_cross_entropy(
    logits: Float[Tensor, " batch"], y: Float[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Mean of -[y log p + (1 - y) log(1 - p)], p = sigmoid(logit).

    Written as log(1 + exp(z)) - z y with logaddexp, which is max(z, 0) + log(1 + exp(-|z|)): exact
    for any logit z, and its gradient is p - y at 0 too, where max and |z| have a corner.

    Raises:
        ValueError: shapes differ.
    """
    _same_shape(logits, y)
    y = y.to(logits.dtype)
    return (torch.logaddexp(logits, torch.zeros_like(logits)) - logits * y).mean()


def cross_entropy(
    logits: Float[Tensor, "batch answers"], y: Int[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Mean of -log softmax(logits)[y]: one right answer among exclusive ones."""
    if logits.ndim != 2 or y.shape != logits.shape[:1]:
        raise ValueError(
            f"expected logits (batch, answers) and y (batch,), got {tuple(logits.shape)} "
            f"and {tuple(y.shape)}"
        )
    return F.cross_entropy(logits, y)


def soft_cross_entropy(
    logits: Float[Tensor, "batch answers"], y: Float[Tensor, "batch answers"]
) -> Float[Tensor, ""]:
    """Mean of -sum_c y_c log softmax(logits)_c, for targets that are a distribution."""
    _same_shape(logits, y)
    return -(y * logits.log_softmax(dim=-1)).sum(-1).mean()


def soft_binary_cross_entropy(
    logits: Float[Tensor, "batch answers"], y: Float[Tensor, "batch answers"]
) -> Float[Tensor, ""]:
    """Binary cross-entropy of every answer with its soft score, summed over the answers.

    The usual loss for VQA v2, where several answers may be partly right (Teney et al.,
    arXiv 1708.02711). Without the sum over C answers, loss and gradient are C times smaller.
    """
    _same_shape(logits, y)
    return binary_cross_entropy(logits, y) * logits.shape[-1]


def _same_shape(logits: Tensor, y: Tensor) -> None:
    if logits.shape != y.shape:
        raise ValueError(
            f"expected targets of the logits' shape {tuple(logits.shape)}, got {tuple(y.shape)}"
        )

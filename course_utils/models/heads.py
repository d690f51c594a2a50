"""Heads: from the joint representation to the logits of the answers."""

from jaxtyping import Float
from torch import Tensor, nn


class AnswerHead(nn.Module):
    """A two-layer classifier on the first position of h, where `[CLS]` stands.

    With `answers=1` the single logit is that of "yes", for binary cross-entropy.
    """

    def __init__(self, dim: int, answers: int, dropout: float = 0.0):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, answers)
        )

    def forward(self, h: Float[Tensor, "batch positions dim"]) -> Float[Tensor, "batch answers"]:
        return self.layers(h[:, 0])

"""Losses that tell which picture and which text belong together.

`scores` is a table (pictures, texts): row i compares picture i with every text of the batch.
`right` (pictures, texts) is True where the text is true of the picture; without it, text i belongs
to picture i and to no other.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

Scores = Float[Tensor, "pictures texts"]
Right = Bool[Tensor, "pictures texts"]


def cosine_scores(
    pictures: Float[Tensor, "pictures dim"], texts: Float[Tensor, "texts dim"]
) -> Scores:
    """The cosine of every picture's vector with every text's, from -1 to 1."""
    if pictures.ndim != 2 or texts.ndim != 2 or pictures.shape[1] != texts.shape[1]:
        raise ValueError(
            "expected (pictures, dim) and (texts, dim) of one dim, got "
            f"{tuple(pictures.shape)} and {tuple(texts.shape)}"
        )
    return F.normalize(pictures, dim=-1) @ F.normalize(texts, dim=-1).T  # (pictures, texts)


class Temperature(nn.Module):
    """Scores divided by a temperature that is learnt, as its inverse's logarithm, so that it stays
    positive; the inverse is at most 100 (Radford et al., arXiv 2103.00020, section 2.5)."""

    def __init__(self, start: float = 0.07):
        super().__init__()
        if start <= 0:
            raise ValueError(f"start: expected a temperature above 0, got {start}")
        self.log_scale = nn.Parameter(torch.tensor(-math.log(start)))

    def forward(self, scores: Scores) -> Scores:
        return scores * self.log_scale.clamp(max=math.log(100)).exp()


def contrastive_loss(scores: Scores, right: Right | None = None) -> Float[Tensor, ""]:
    """InfoNCE, both ways: cross-entropy of finding the text of each picture among all texts, and
    the picture of each text among all pictures (van den Oord et al., arXiv 1807.03748; both ways
    as in CLIP, arXiv 2103.00020, figure 3).

    With `right`, a row's target is spread evenly over all its right texts (the form of Khosla et
    al., arXiv 2004.11362, equation 2), so that no right answer is pushed away as if it were wrong.

    Raises:
        ValueError: scores aren't square and there is no `right`; or a row or a column of `right`
            has no True.
    """
    right = _right(scores, right)
    return 0.5 * (_find(scores, right) + _find(scores.T, right.T))


def _find(scores: Tensor, right: Tensor) -> Tensor:
    target = right / right.sum(1, keepdim=True)  # (queries, choices), rows sum to 1
    log_p = scores.log_softmax(dim=1).masked_fill(~right, 0.0)  # an excluded pair has -inf
    return -(target * log_p).sum(1).mean()


def sigmoid_loss(scores: Scores, right: Right | None = None) -> Float[Tensor, ""]:
    """A yes/no question for every pair of the table, summed over texts, mean over pictures
    (Zhai et al., arXiv 2303.15343, equation 1). No row or column competes: each pair by itself.

    Most pairs are wrong, so add a learnt bias to the scores that starts far below 0.
    """
    right = _right(scores, right)
    sign = 2 * right.to(scores.dtype) - 1  # (pictures, texts) 1 where right, -1 where wrong
    return -F.logsigmoid(sign * scores).sum(1).mean()


def hard_negatives(
    scores: Scores, right: Right | None = None, generator: torch.Generator | None = None
) -> Int[Tensor, " pictures"]:
    """A wrong text for each picture, drawn with the softmax of its scores: those that the model
    confuses come most often (Li et al., ALBEF, arXiv 2107.07651, section 3.2).

    Raises:
        ValueError: a picture has no wrong text in the batch.
    """
    wrong = ~_right(scores, right)
    if not wrong.any(1).all():
        raise ValueError("expected a wrong text for every picture, but for one all are right")
    weights = scores.detach().masked_fill(~wrong, -torch.inf).softmax(dim=1)  # (pictures, texts)
    return weights.multinomial(1, generator=generator)[:, 0]  # (pictures,)


def _right(scores: Tensor, right: Tensor | None) -> Tensor:
    if right is None:
        if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
            raise ValueError(
                f"expected as many texts as pictures, got scores {tuple(scores.shape)}"
            )
        return torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    if right.shape != scores.shape or right.dtype != torch.bool:
        raise ValueError(
            f"right: expected bool of the scores' shape {tuple(scores.shape)}, "
            f"got {right.dtype} {tuple(right.shape)}"
        )
    if not (right.any(0).all() and right.any(1).all()):
        raise ValueError("right: expected a right text for each picture, and the other way round")
    return right

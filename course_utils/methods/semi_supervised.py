"""Few answers and many pictures without: FixMatch (Sohn et al., arXiv 2001.07685)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.data import DataLoader

from course_utils.datasets import Batch, perturb
from course_utils.datasets.batch import Endless
from course_utils.training.objective import answer_objective

Pictures = Float[Tensor, "images 3 height width"]
View = Callable[[Pictures, torch.Generator], Pictures]


# What is learnt from a question without an answer


class Consistency(NamedTuple):
    """The loss of a batch without answers, and which of its questions were let in."""

    loss: Float[Tensor, ""]
    accepted: Bool[Tensor, " batch"]
    labels: Int[Tensor, " batch"]  # the pseudo-labels, also of those that were not let in


def pseudo_labels(
    logits: Float[Tensor, "batch answers"], threshold: float
) -> tuple[Int[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """The likeliest answers, and whether their probability reaches `threshold`.

    Raises:
        ValueError: a threshold outside [0, 1].
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold: expected a probability from 0 to 1, got {threshold}")
    confidence, labels = logits.detach().softmax(-1).max(-1)  # (batch,), (batch,)
    return labels, confidence >= threshold


def fixmatch_loss(
    weak: Float[Tensor, "batch answers"], strong: Float[Tensor, "batch answers"], threshold: float
) -> Consistency:
    """1/n of the sum over n questions of [max p(weak) >= threshold] * -log p(strong)[argmax weak].

    `weak` and `strong` are logits for a weakly and a strongly perturbed picture. The target is a
    constant: no gradient flows into `weak`. The sum is divided by all n questions, not by those
    that were let in, so that the loss weighs little while few are (Sohn et al., arXiv 2001.07685,
    equation 4).

    Raises:
        ValueError: shapes differ, or a threshold outside [0, 1].
    """
    if weak.shape != strong.shape or weak.ndim != 2:
        raise ValueError(
            "expected weak and strong logits of one shape (batch, answers), got "
            f"{tuple(weak.shape)} and {tuple(strong.shape)}"
        )
    labels, accepted = pseudo_labels(weak, threshold)  # (batch,), (batch,)
    each = F.cross_entropy(strong, labels, reduction="none")  # (batch,)
    # not times `accepted`: 0 times an infinite loss is nan
    return Consistency(each.where(accepted, 0).mean(), accepted, labels)


# Perturbations that no question for what there is, its colour, shape or number depends on


def flip(images: Pictures, generator: torch.Generator | None = None) -> Pictures:
    """Mirrors about half of the pictures, left to right. Harmless only where no question asks for
    left or right."""
    chosen = torch.rand(len(images), generator=generator, device=images.device) < 0.5  # (images,)
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def weak_view(images: Pictures, generator: torch.Generator | None = None) -> Pictures:
    """Flipped, and moved by up to 2 pixels."""
    return perturb.shift(flip(images, generator), 2, generator)


def strong_view(images: Pictures, generator: torch.Generator | None = None) -> Pictures:
    """As the weak view, with a shift of up to 4, turned upside down, darker or lighter, noisy."""
    images = flip(flip(images, generator).transpose(2, 3), generator).transpose(2, 3)
    images = perturb.brightness(perturb.shift(images, 4, generator), 0.2, generator)
    return perturb.noise(images, 0.1, generator)


def harmful_view(images: Pictures, generator: torch.Generator | None = None) -> Pictures:
    """The strong view of a picture whose colours were mixed: the answer to a question for a colour
    is another one now, or none."""
    return strong_view(perturb.mix_colours(images, 2.0, generator), generator)


# Training


@dataclass(frozen=True)
class FixMatchConfig:
    """What an update adds up."""

    threshold: float = 0.95  # tau: the least probability of a pseudo-label that is learnt
    weight: float = 1.0  # lambda: of the loss without answers; 0 trains on answers alone
    labelled_view: View | None = weak_view  # of pictures with answers; None leaves them
    view: View = strong_view  # of pictures without answers
    truth: bool = False  # teach the true answer of what is let in: no method, but a question asked


class FixMatch:
    """(model, batch without answers) -> loss, to be handed to `fit`; each call takes the next batch
    with answers too. The answers of the first batch are never read, unless `truth` is set."""

    def __init__(self, labelled: DataLoader, config: FixMatchConfig, seed: int):
        self.labelled, self.config = Endless(labelled), config
        self.generator = torch.Generator().manual_seed(seed)
        self.accepted: list[float] = []  # share of the pseudo-labels that were let in, each update

    def state_dict(self) -> dict:
        """What `fit` keeps for a run that is taken up again."""
        return {
            "labelled": self.labelled.state_dict(),
            "generator": self.generator.get_state(),
            "accepted": self.accepted,
        }

    def load_state_dict(self, state: dict) -> None:
        self.labelled.load_state_dict(state["labelled"])
        self.generator.set_state(state["generator"])
        self.accepted = list(state["accepted"])

    def __call__(self, model: nn.Module, unlabelled: Batch) -> Tensor:
        batch, view = next(self.labelled), self.config.labelled_view
        images = batch.images if view is None else view(batch.images, self.generator)
        loss = answer_objective(model, batch._replace(images=images))
        if self.config.weight == 0:
            return loss
        u, question = unlabelled, (unlabelled.image_index, unlabelled.x, unlabelled.mask)
        with torch.no_grad():
            weak = model(weak_view(u.images, self.generator), *question)  # (batch u, answers)
        strong = model(self.config.view(u.images, self.generator), *question)
        found = fixmatch_loss(weak, strong, self.config.threshold)
        self.accepted.append(found.accepted.float().mean().item())
        taught = found.loss
        if self.config.truth:
            each = F.cross_entropy(strong, u.y, reduction="none")  # (batch u,)
            taught = (each * found.accepted).mean()  # ()
        return loss + self.config.weight * taught


# How good pseudo-labels are that nobody can check in earnest


def look(logits: Tensor, y: Tensor, threshold: float) -> dict:
    """How good pseudo-labels are that nobody can check in earnest: shares of all questions that are
    let in, and of those the share that is right."""
    labels, accepted = pseudo_labels(logits, threshold)
    right = labels == y  # (examples,)
    precision = right[accepted].double().mean().item() if accepted.any() else None
    return dict(
        accepted=accepted.double().mean().item(),
        precision=precision,
        right=right.double().mean().item(),
    )


def kept_wrong(first: Tensor, last: Tensor, y: Tensor, threshold: float) -> dict:
    """Of the wrong pseudo-labels that were let in at first (logits `first`): how many there were,
    the share that is the same wrong answer at last, and the share that was put right."""
    before, accepted = pseudo_labels(first, threshold)
    wrong, after = accepted & (before != y), last.argmax(1)  # (examples,)
    share = lambda rows: rows[wrong].double().mean().item() if wrong.any() else None
    return dict(wrong=int(wrong.sum()), same=share(after == before), mended=share(after == y))

"""Measuring a model: accuracy over all and per family, confusion, and with shuffled pictures."""

from dataclasses import dataclass
from itertools import chain

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_utils.datasets.batch import VQAData, loader


@dataclass(frozen=True)
class Evaluation:
    """Predictions of a model on a dataset, with what follows from them. Shares lie in [0, 1]."""

    predictions: Int[Tensor, " examples"]
    y: Int[Tensor, " examples"]  # -1: the true answer is none that the model can give
    family: Int[Tensor, " examples"]
    answers: tuple[str, ...]
    families: tuple[str, ...]

    @property
    def right(self) -> Tensor:
        """(examples,) bool."""
        return self.predictions == self.y

    @property
    def accuracy(self) -> float:
        """Right answers over all answers: summed over the examples, divided once."""
        return self.right.double().mean().item()

    @property
    def by_family(self) -> dict[str, float]:
        """Accuracy within each family that occurs."""
        return {
            name: self.right[self.family == i].double().mean().item()
            for i, name in enumerate(self.families)
            if (self.family == i).any()
        }

    @property
    def confusion(self) -> Int[Tensor, "answers answers"]:
        """Counts; row: the true answer, column: the predicted one. Examples whose answer the model
        can't give are left out."""
        size, known = len(self.answers), self.y >= 0
        pairs = (self.y.long() * size + self.predictions)[known]  # (known examples,)
        return torch.bincount(pairs, minlength=size * size).view(size, size)

    def select(self, rows: Tensor) -> "Evaluation":
        """The same for some of the examples."""
        return Evaluation(
            self.predictions[rows], self.y[rows], self.family[rows], self.answers, self.families
        )


@torch.no_grad()
def predict_logits(
    model: nn.Module, data: VQAData, images_per_batch: int = 64
) -> Float[Tensor, "examples answers"]:
    """Logits in the order of `data`, computed in eval mode on the model's device; the mode that
    the model was in is restored."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    batches = loader(data, images_per_batch, shuffle=False)
    parts = [
        model(*(part.to(device) for part in (b.images, b.image_index, b.x, b.mask))).cpu()
        for b in batches
    ]
    model.train(was_training)
    rows = chain.from_iterable(batches.batch_sampler or ())  # in the order of the logits
    order = torch.tensor(list(rows))  # (examples,)
    logits = torch.cat(parts)  # (examples, answers)
    return torch.empty_like(logits).index_copy_(0, order, logits)


def evaluate(model: nn.Module, data: VQAData, images_per_batch: int = 64) -> Evaluation:
    """Predicts every answer of `data`: the largest logit, or, for a model with a single logit,
    "yes" where it is above 0 (`answers` must then be ("no", "yes")).

    Soft targets (examples, answers): right is an answer with the highest score, each of them where
    several have it; where all scores are 0 no answer is right, and `y` is -1.

    Raises:
        ValueError: the model's number of logits doesn't fit the answers.
        FloatingPointError: a logit is NaN.
    """
    logits = predict_logits(model, data, images_per_batch)
    if (bad := logits.isnan().any(1)).any():
        raise FloatingPointError(f"the model's logits are NaN for {int(bad.sum())} of {len(bad)}")
    if logits.shape[1] == 1 and len(data.answers) == 2:
        predictions = (logits[:, 0] > 0).long()  # (examples,)
    elif logits.shape[1] == len(data.answers):
        predictions = logits.argmax(1)  # (examples,)
    else:
        raise ValueError(
            f"expected {len(data.answers)} logits ({', '.join(data.answers)}), "
            f"got {logits.shape[1]}"
        )
    y = data.y if data.y.ndim == 1 else _truths(data.y, predictions)  # (examples,)
    return Evaluation(predictions, y, data.family, data.answers, data.families)


def _truths(
    targets: Float[Tensor, "examples answers"], predictions: Int[Tensor, " examples"]
) -> Int[Tensor, " examples"]:
    """One right answer for each row of soft targets: the predicted one where it is among the best,
    otherwise the first of these; -1 where no answer has any score."""
    best, first = targets.max(1)  # (examples,), (examples,)
    reached = targets.gather(1, predictions[:, None])[:, 0] == best  # (examples,)
    return torch.where(reached, predictions, first).masked_fill(best <= 0, -1)


@torch.no_grad()
def representations(model: nn.Module, data: VQAData) -> Float[Tensor, "examples dim"]:
    """What the head reads of h, in the order of `data`."""
    head, model.head = model.head, nn.Flatten()  # (batch, 1, dim) -> (batch, dim)
    try:
        return predict_logits(model, data)
    finally:
        model.head = head

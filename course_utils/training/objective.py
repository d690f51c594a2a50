"""What answering questions is trained on: the logits of a batch, and the loss for `fit`."""

from jaxtyping import Float
from torch import Tensor, nn

from course_utils.datasets.batch import Batch
from course_utils.objectives.classification import cross_entropy


def answer_logits(model: nn.Module, batch: Batch) -> Float[Tensor, "batch answers"]:
    return model(batch.images, batch.image_index, batch.x, batch.mask)


def answer_objective(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy of the answers of one batch."""
    logits = model(batch.images, batch.image_index, batch.x, batch.mask)  # (batch, answers)
    return cross_entropy(logits, batch.y)

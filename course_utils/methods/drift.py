"""Watching a deployed model for changed data without answers, and tuning it on a few new ones."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from course_utils.datasets import VQAData, loader
from course_utils.evaluation.evaluate import predict_logits, representations
from course_utils.methods.continual import WithMemory
from course_utils.methods.detectors import Detector, calibrate, draw_batches, mean_doubt, shift
from course_utils.models.vqa import VQAModel
from course_utils.training.fit import FitConfig, fit
from course_utils.training.freezing import freeze_statistics
from course_utils.training.objective import answer_objective

# What is watched: of a batch, without its answers


def per_picture(
    values: Float[Tensor, "examples dim"], data: VQAData
) -> Float[Tensor, "pictures dim"]:
    """The mean over the questions of each picture."""
    sums = torch.zeros(len(data.images), values.shape[1]).index_add_(0, data.image_index, values)
    counts = torch.bincount(data.image_index, minlength=len(data.images))  # (pictures,)
    return sums / counts[:, None]


def doubt(model: VQAModel, data: VQAData) -> Float[Tensor, "pictures 1"]:
    """1 - the probability of the likeliest answer."""
    confidence = predict_logits(model, data).softmax(-1).max(-1, keepdim=True).values
    return per_picture(1 - confidence, data)


def standardised_by(values: Float[Tensor, "pictures dim"]) -> Callable[[Tensor], Tensor]:
    """Takes from each dimension the mean that it has in `values`, in units of its deviation. One
    that is constant in `values` stays 0 where it doesn't move, and is very large where it does."""
    mean = values.mean(0)  # (dim,)
    std = values.std(0).clamp(min=1e-6 * mean.abs().clamp(min=1))  # (dim,) never below rounding
    return lambda other: (other - mean) / std


@dataclass(frozen=True)
class Watch:
    """One quantity of a deployed model that is watched."""

    values: Callable[[VQAData], Tensor]  # data -> (pictures, dim), without the answers
    statistic: Callable[[Tensor], Tensor]  # (streams, batches, dim) -> (streams, batches)
    unchanged: Float[Tensor, "pictures dim"]  # of validation pictures
    batches: int  # how long the streams will be for which a detector is set
    streams: int  # how many are drawn

    def stream(
        self, values: Tensor, batches: int, seed: int, streams: int | None = None
    ) -> Float[Tensor, "streams batches"]:
        """What is seen of batches that are drawn from `values`."""
        return self.statistic(draw_batches(values, streams or self.streams, batches, seed))

    def detector(self, both: bool = False) -> Detector:
        """Set on validation pictures, for streams as long as those that will come."""
        return calibrate(self.stream(self.unchanged, self.batches, 0), both)


def watches(model: VQAModel, validation: VQAData, batches: int, streams: int) -> dict[str, Watch]:
    """Doubt, and the shift of h; see `Watch` for `batches` and `streams`."""
    plain = lambda data: per_picture(representations(model, data), data)
    h = plain(validation)  # (pictures, dim)
    scale = standardised_by(h)
    seen = {
        "doubt": (lambda data: doubt(model, data), mean_doubt, doubt(model, validation)),
        "shift of h": (lambda data: scale(plain(data)), shift, scale(h)),
    }
    return {name: Watch(*parts, batches, streams) for name, parts in seen.items()}


def retune(
    model: VQAModel,
    bought: VQAData,
    memory: VQAData | None,
    updates: int,
    images: int,
    seed: int,
    rate: float = 1e-3,
) -> VQAModel:
    """A copy, tuned on bought answers, with questions of `memory` beside them or without; `images`
    pictures of each an update."""
    tuned, batches = copy.deepcopy(model), loader(bought, images, seed)
    freeze_statistics(tuned)
    objective = answer_objective if memory is None else WithMemory(memory, images, seed)
    config = FitConfig(epochs=-(-updates // len(batches)), lr=rate, max_steps=updates)
    fit(tuned, objective, batches, config=config, device="cpu", progress=False)
    return tuned

"""Watching a deployed model for changed data without answers, and what repairs it: new statistics
of batch normalisation, or tuning on a few new answers."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

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


def probabilities(model: VQAModel, data: VQAData) -> Float[Tensor, "pictures answers"]:
    """Of each answer."""
    return per_picture(predict_logits(model, data).softmax(-1), data)


def pixels(data: VQAData) -> Float[Tensor, "pictures 2"]:
    """Mean and deviation of a picture's numbers: what needs no model."""
    v = data.images.flatten(1).float() / 255  # (pictures, numbers)
    return torch.stack([v.mean(1), v.std(1)], dim=1)


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
    """Doubt, and three shifts: of pixels, of the probabilities of answers, and of h. One half of
    the pictures standardises, the other is left for setting a detector: what has been standardised
    by itself is nearer to 0 than new pictures are. See `Watch` for `batches` and `streams`."""
    half = len(validation.images) // 2

    def moved(values: Callable[[VQAData], Tensor]) -> Watch:
        found = values(validation)  # (pictures, dim)
        scale = standardised_by(found[:half])
        return Watch(lambda data: scale(values(data)), shift, scale(found[half:]), batches, streams)

    doubted = lambda data: doubt(model, data)
    return {
        "doubt": Watch(doubted, mean_doubt, doubted(validation)[half:], batches, streams),
        "pixels": moved(pixels),
        "probabilities": moved(lambda data: probabilities(model, data)),
        "shift of h": moved(lambda data: per_picture(representations(model, data), data)),
    }


# What repairs a model


def new_statistics(model: VQAModel, images: Tensor) -> VQAModel:
    """A copy whose batch normalisation has the statistics of `images` (uint8), which go through
    its stem once; no weight is changed, and no answer is needed (Schneider et al., arXiv
    2006.16971, without mixing in the old statistics)."""
    new = copy.deepcopy(model).eval()
    for module in new.stem.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches: here of one
            module.train()
    with torch.no_grad():
        new.stem(images.float() / 255)
    return new.eval()


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

"""easy-VQA learned in a fraction of the time of lesson 07's recipe; measured in docs/BENCHMARK.md.

What is different from `recipes.train_easy_vqa`, in the order of what it saves:

- each picture becomes one vector, the largest value of every channel, instead of 16 patches: a
  corner is seen wherever it is, where a mean over patches dilutes it;
- words and picture meet in a product of two summaries (`TwoTowerEncoder`), which compares what a
  question names with what there is, instead of in two layers over all words and patches;
- the first convolution is computed from the pictures and fixed: 2x2 pixels become as many
  uncorrelated values of variance 1, so the rest works on a quarter of the pixels;
- questions that the model is certain of are mostly left out of the next pass;
- the fused update of AdamW, a higher rate, and the channels-last layout for convolutions.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_utils.datasets import VQAData, loader
from course_utils.models.fusion import TwoTowerEncoder
from course_utils.models.heads import AnswerHead
from course_utils.models.joint import JointConfig
from course_utils.models.vqa import VQAModel
from course_utils.objectives.classification import cross_entropy
from course_utils.training.fit import parameter_groups


@dataclass(frozen=True)
class SpeedConfig:
    """How to train fast."""

    passes: int = 5  # over the pictures, at most; the rate falls to 0 over all of them
    lr: float = 3e-3  # the highest learning rate
    warmup: float = 0.15  # share of the training in which the rate rises from 0
    images_per_batch: int = 8  # pictures of an update
    certain: float = 0.95  # a right answer with more probability than this is certain
    keep: float = 0.2  # share of the certain questions that the next pass asks again
    goal: float = 0.995  # training ends after the first pass with this validation score


def whitening(images: Tensor, side: int = 2, pictures: int = 500) -> nn.Conv2d:
    """A frozen convolution without overlap: its outputs over `images` (uint8) have mean 0, are
    uncorrelated and have variance 1 (as in airbench, Jordan, arXiv 2404.00498, section 3.2)."""
    first = nn.Conv2d(3, 3 * side**2, side, stride=side).requires_grad_(False)
    cut = nn.functional.unfold(images[:pictures].float() / 255, side, stride=side)
    patches = cut.transpose(1, 2).flatten(0, 1)  # (patches, 3 * side * side)
    values, vectors = torch.linalg.eigh(patches.T.cov())  # rising: (n,), (n, n)
    weight = (vectors / (values + 1e-4).sqrt()).T  # (n, n): a row an output
    first.weight.data = weight.view_as(first.weight)
    first.bias.data = -weight @ patches.mean(0)
    return first


class WhitenedStem(nn.Module):
    """The fixed convolution of `whitening`, three stages as those of `ConvStem`, and the largest
    value of each channel over the picture: v with a single patch."""

    def __init__(self, images: Tensor, dim: int = 64, width: int = 24):
        super().__init__()
        self.first = whitening(images)
        channels = [self.first.out_channels, width, dim, dim]
        stages = [
            (nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2))
            for a, b in zip(channels, channels[1:])
        ]
        self.blocks = nn.Sequential(*(layer for stage in stages for layer in stage))
        self.to(memory_format=torch.channels_last)

    def forward(
        self, images: Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, "images 1 dim"]:
        grid = self.blocks(self.first(images))  # (images, dim, rows, columns)
        return grid.amax((2, 3))[:, None]


def fast_model(data: VQAData) -> VQAModel:
    """Two small towers over the words and one vector a picture."""
    config = JointConfig(
        dim=64, layers=2, heads=8, mlp_dim=128, vocab_size=data.tokenizer.get_vocab_size(), patches=1
    )
    head = AnswerHead(config.dim, len(data.answers))
    return VQAModel(WhitenedStem(data.images, config.visual_dim), TwoTowerEncoder(config), head)


def asked(certain: Bool[Tensor, " n"], keep: float, generator: torch.Generator) -> Bool[Tensor, " n"]:
    """The questions of the next pass: all uncertain ones, and a share `keep` of the others."""
    return ~certain | (torch.rand(len(certain), generator=generator) < keep)


def learn(
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    train: VQAData,
    validate: Callable[[nn.Module], float],
    config: SpeedConfig,
    seed: int = 0,
    objective: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
) -> list[float]:
    """Trains `model` in place, until `config.goal` or to the end; the score after each pass."""
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    certain, scores = torch.zeros(len(train), dtype=torch.bool), []
    groups = [(group, group["lr"]) for o in optimizers for group in o.param_groups]
    while len(scores) < config.passes and max(scores, default=0) < config.goal:
        rows = asked(certain, config.keep, generator).nonzero().squeeze(1)  # (questions,)
        part = train.select(rows)
        batches = loader(part, config.images_per_batch, seed=seed).batch_sampler
        batches.set_epoch(len(scores))
        for i, chosen in enumerate(batches):
            for group, highest in groups:  # counted in passes, whose lengths differ
                done = (len(scores) + i / len(batches)) / config.passes
                group["lr"] = highest * rate(done, config.warmup)
            batch = Batch(*(part.to(device) for part in part.__getitems__(chosen)))
            logits = model.train()(batch.images, batch.image_index, batch.x, batch.mask)
            model.zero_grad()
            objective(logits, batch.y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
            right = logits.detach().softmax(1).gather(1, batch.y[:, None])[:, 0]  # (batch,)
            certain[rows[chosen]] = (right > config.certain).cpu()
        scores.append(validate(model.eval()))
    return scores

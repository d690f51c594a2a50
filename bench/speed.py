"""easy-VQA learned in a fraction of the time of lesson 08's recipe (see docs/BENCHMARK.md)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_utils.datasets import Batch, VQAData, loader
from course_utils.models.fusion import TwoTowerEncoder
from course_utils.models.heads import AnswerHead
from course_utils.models.joint import JointConfig
from course_utils.models.vqa import VQAModel
from course_utils.objectives.classification import cross_entropy
from course_utils.training.fit import warmup_cosine
from course_utils.training.muon import Muon, inner_and_others

GOAL = 0.995  # training ends after the first pass with this share of the validation answers right


@dataclass(frozen=True)
class SpeedConfig:
    """How to train; the defaults are those of the fast recipe."""

    passes: int = 2  # over the pictures, at most; the rates fall to 0 over all of them
    lr: float = 3e-3  # the highest learning rate of AdamW
    muon: float = 1e-2  # and of Muon
    warmup: float = 0.15  # share of the training in which the rates rise from 0
    images_per_batch: int = 8  # pictures of an update, with all their questions
    keep: float = 1.0  # share of the questions answered with certainty that is asked again
    certain: float = 0.97  # the probability of the right answer that counts as certainty


def whitening(images: Tensor, side: int = 2, pictures: int = 500) -> nn.Conv2d:
    """A frozen convolution without overlap whose outputs over `images` (uint8) have mean 0 and
    variance 1 and are uncorrelated (after airbench: Jordan, arXiv 2404.00498, section 3.2)."""
    first = nn.Conv2d(3, 3 * side**2, side, stride=side).requires_grad_(False)
    cut = nn.functional.unfold(images[:pictures].float() / 255, side, stride=side)
    patches = cut.transpose(1, 2).flatten(0, 1)  # (patches, n), n = 3 * side * side
    values, vectors = torch.linalg.eigh(patches.T.cov())  # (n,), (n, n): a column a direction
    weight = (vectors / (values + 1e-4).sqrt()).T  # (n, n)
    first.weight.data = weight.reshape(first.weight.shape)
    first.bias = nn.Parameter(-weight @ patches.mean(0), requires_grad=False)
    return first


class WhitenedStem(nn.Module):
    """The fixed convolution of `whitening`, three stages like those of `ConvStem`, and, for
    `patches=1`, the largest value of each channel: what is there, wherever it is."""

    def __init__(self, images: Tensor, widths: tuple[int, ...] = (16, 32, 64), patches: int = 1):
        super().__init__()
        self.first, self.patches = whitening(images), patches
        self.blocks = nn.Sequential()
        for before, after in zip((self.first.out_channels, *widths), widths):
            convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
            self.blocks.extend([convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)])
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        v = self.blocks(self.first(images)).flatten(2).transpose(1, 2)  # (images, patches, dim)
        return v.amax(1, keepdim=True) if self.patches == 1 else v


def fast_model(data: VQAData) -> VQAModel:
    """Words and picture, one vector each, meet in a product: what is asked times what is there."""
    config = JointConfig(heads=8, vocab_size=data.tokenizer.get_vocab_size(), patches=1)
    head = AnswerHead(config.dim, len(data.answers))
    return VQAModel(WhitenedStem(data.images), TwoTowerEncoder(config), head)


def optimizers(model: VQAModel, config: SpeedConfig) -> list[torch.optim.Optimizer]:
    """Muon for matrices and convolutions; AdamW for biases, norms, embeddings, the last layer."""
    inner, others = inner_and_others(model, last=model.head.layers[-1])
    adam = dict(lr=config.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    return [torch.optim.AdamW(others, **adam), Muon(inner, config.muon)]


def asked(certain: Tensor, keep: float, generator: torch.Generator) -> Tensor:
    """The questions of the next pass: all uncertain ones, a share `keep` of the others."""
    return ~certain | (torch.rand(len(certain), generator=generator) < keep)


def learn(
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    train: VQAData,
    validate: Callable[[nn.Module], float],
    config: SpeedConfig = SpeedConfig(),
    seed: int = 0,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    after_update: Callable[[float], None] = lambda done: None,
) -> list[float]:
    """Trains `model` in place, until GOAL or to the end; the validation score after each pass."""
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    certain, scores = torch.zeros(len(train), dtype=torch.bool), []
    groups = [(group, group["lr"]) for o in optimizers for group in o.param_groups]
    while len(scores) < config.passes and max(scores, default=0) < GOAL:
        rows = asked(certain, config.keep, generator).nonzero().squeeze(1)  # (questions,)
        part = train.select(rows)
        batches = loader(part, config.images_per_batch, seed=seed).batch_sampler
        batches.set_epoch(len(scores))
        steps = len(batches) * config.passes  # counted anew: passes differ in length
        for i, chosen in enumerate(batches, len(batches) * len(scores)):
            for group, highest in groups:
                group["lr"] = highest * warmup_cosine(i, round(config.warmup * steps), steps)
            batch = Batch(*(tensor.to(device) for tensor in part.__getitems__(chosen)))
            logits = model.train()(batch.images, batch.image_index, batch.x, batch.mask)
            model.zero_grad()
            loss(logits, batch.y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
            sure = logits.detach().softmax(1).gather(1, batch.y[:, None]) > config.certain
            certain[rows[chosen]] = sure[:, 0].cpu()
            after_update(i / steps)
        scores.append(validate(model.eval()))
    return scores

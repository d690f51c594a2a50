"""A small network on what a frozen model says of a picture and a question."""

import math
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_utils.datasets import load_world, loader
from course_utils.datasets.files import data_path
from course_utils.datasets.pairs import pair_tokenizer
from course_utils.datasets.world_vqa import WORLD_FAMILIES
from course_utils.methods.pretraining import world_pretraining_model
from course_utils.models.weights import load_weights
from course_utils.training.fit import parameter_groups, warmup_cosine

SCHEDULES = ("cosine", "cosine without warm-up", "constant")


@dataclass(frozen=True)
class SmallConfig:
    """A small network on frozen features, and how it is trained."""

    lr: float = 3e-3  # the highest learning rate
    weight_decay: float = 0.01  # AdamW's
    dropout: float = 0.1  # of the hidden values
    width: int = 64  # hidden values
    batch: int = 64  # examples an update
    epochs: int = 8  # passes over the examples
    optimizer: str = "adamw"  # "adamw", or "sgd" with momentum 0.9
    schedule: str = "cosine"  # with warm-up; or "cosine without warm-up", or "constant"
    ticks: int = 1  # steps of the schedule an update; more than 1 is a mistake

    def __post_init__(self) -> None:
        if self.optimizer not in ("adamw", "sgd") or self.schedule not in SCHEDULES:
            raise ValueError(
                f"expected optimizer 'adamw' or 'sgd' and a schedule of {SCHEDULES}, "
                f"got {self.optimizer!r} and {self.schedule!r}"
            )


class Features(NamedTuple):
    """What the frozen model says of questions, and the right answers."""

    h: Float[Tensor, "questions dim"]  # the joint representation at the first position
    y: Int[Tensor, " questions"]  # the number of the answer
    answers: int  # how many answers there are


@cache
def features(part: str, scenes: int, seed: int = 0) -> Features:
    """Features of four questions for each of so many scenes, from `world_pretrained`."""
    data = load_world(
        "composition", part, scenes, 4, WORLD_FAMILIES, seed, tokenizer=pair_tokenizer()
    )
    path = data_path("checkpoints/world_pretrained.safetensors")
    model = load_weights(world_pretraining_model(pair_tokenizer()), path)
    rows, answers = [], []
    with torch.no_grad():
        for batch in loader(data, 64, shuffle=False):
            v = model.stem(batch.images)  # (images, patches, visual_dim)
            h = model.encoder(batch.x, v[batch.image_index], batch.mask, keep=1)
            rows.append(h[:, 0])  # (batch, dim)
            answers.append(batch.y)
    return Features(torch.cat(rows), torch.cat(answers), len(data.answers))


def small_network(dim: int, answers: int, config: SmallConfig) -> nn.Sequential:
    """One hidden layer under the answers."""
    return nn.Sequential(
        nn.Linear(dim, config.width),
        nn.ReLU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.width, answers),
    )


def train_small(config: SmallConfig, data: Features, seed: int) -> nn.Module:
    """Trains from a random start; the same seed gives the same network."""
    torch.manual_seed(seed)
    model = small_network(data.h.shape[1], data.answers, config)
    groups = parameter_groups(model, config.weight_decay)
    if config.optimizer == "adamw":
        optimizer = torch.optim.AdamW(groups, lr=config.lr)
    else:
        optimizer = torch.optim.SGD(groups, lr=config.lr, momentum=0.9)
    total = config.epochs * math.ceil(len(data.y) / config.batch)  # updates
    warmup = round(0.1 * total) if config.schedule == "cosine" else 0
    factor = partial(warmup_cosine, warmup_steps=warmup, total_steps=total)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, factor if config.schedule != "constant" else lambda step: 1.0
    )
    for _ in range(config.epochs):
        for rows in torch.randperm(len(data.y)).split(config.batch):
            loss = F.cross_entropy(model(data.h[rows]), data.y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for _ in range(config.ticks):
                schedule.step()
    return model.eval()


@torch.no_grad()
def right(model: nn.Module, data: Features) -> Tensor:
    """Which answers are right: (questions,), True or False."""
    return model(data.h).argmax(1) == data.y  # (questions,)


def accuracy(model: nn.Module, data: Features) -> float:
    """Share of right answers."""
    return right(model, data).double().mean().item()

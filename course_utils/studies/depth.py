"""What do depth, start, residual path and normalisation change? For lesson 04.

    python -m course_utils.studies depth

trains networks of 2 and of 30 layers to name the colour of the only thing in a picture, and writes
data/studies/depth.json: the share of right answers on new pictures, in per cent, and on those that
were trained on. Each network has the rate that is best on validation.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.models.cnn import VGG, ResNet
from course_utils.models.vit import ViT
from course_utils.studies.runs import Row, Setting, Study
from course_utils.world.drawing import draw
from course_utils.world.scenes import sample_scenes

Backbone = ResNet | VGG | ViT
SEEDS = (0, 1, 2)
RATES = (2e-3, 1e-2)
UPDATES = 300
# network -> norm, residual, He's start
NETWORKS = {
    "plain, default start": ("none", False, False),
    "plain, He's start": ("none", False, True),
    "plain, BN": ("batch", False, False),
    "residual, default start": ("none", True, False),
    "residual, BN": ("batch", True, False),
}
BLOCKS = (1, 15)  # of two layers each


def one_thing(n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (n, 3, 64, 64) in [0, 1] of one thing each, its colours (n,) and its shapes (n,)."""
    scenes = sample_scenes(6 * n, np.random.default_rng(seed))
    scenes = scenes.select(np.flatnonzero(scenes.count == 1)[:n])
    colour, shape = (
        torch.from_numpy(a[:, 0].astype(np.int64)) for a in (scenes.colour, scenes.shape)
    )
    return torch.from_numpy(draw(scenes)).float() / 255, colour, shape


def train(
    model: Backbone,
    images: Tensor,
    labels: Tensor,
    updates: int,
    lr: float,
    seed: int,
    batch: int = 32,
) -> list[float]:
    """Trains `model.classify` in place, the rate rising, then falling; the loss of each update."""
    order, losses = torch.Generator().manual_seed(seed), []
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=max(updates, 2))
    model.train()
    for _ in range(updates):
        rows = torch.randint(len(images), (batch,), generator=order)  # (batch,)
        logits = model.classify(images[rows].to(device))  # (batch, classes)
        loss = F.cross_entropy(logits, labels[rows].to(device))  # ()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # no longer than 1
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    model.eval()
    return losses


@torch.no_grad()
def accuracy(model: Backbone, images: Tensor, labels: Tensor) -> float:
    """Share of right classes."""
    device = next(model.parameters()).device
    best = [model.classify(some.to(device)).argmax(-1).cpu() for some in images.split(256)]
    return (torch.cat(best) == labels).float().mean().item()


def deep(
    norm: str, residual: bool, he: bool, blocks: int = 15, width: int = 16, seed: int = 0
) -> ResNet:
    """A network of one stem and `blocks` blocks of two convolutions, for 8 colours."""
    torch.manual_seed(seed)
    model = ResNet((blocks,), width=width, stem="small", norm=norm, residual=residual, classes=8)
    for conv in (m for m in model.modules() if isinstance(m, nn.Conv2d)):
        if he:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        else:
            conv.reset_parameters()  # PyTorch's default
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
    return model


def standardised(images: Tensor, by: Tensor) -> Tensor:
    """Pictures less the mean of each colour channel of `by`, through its standard deviation."""
    mean, std = (f((0, 2, 3), keepdim=True) for f in (by.mean, by.std))  # (1, 3, 1, 1) each
    return (images - mean) / std


@cache
def data(seed: int, side: int) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Standardised pictures of a side, colours and shapes: 4,000 to train on, 500 for validation
    and 1,000 to test."""
    parts = [one_thing(n, s) for n, s in ((4000, seed), (500, 2_000_000 + seed), (1000, 1_000_000))]
    images = [F.avg_pool2d(part[0], 64 // side) for part in parts]
    images = [standardised(some, images[0]) for some in images]
    return images, [part[1] for part in parts], [part[2] for part in parts]


def run(network: str, blocks: int, rate: float, seed: int, updates: int = UPDATES) -> Row:
    """Per cent of right colours, and the loss in means of ten updates."""
    images, colours, _ = data(seed, 8)
    model = deep(*NETWORKS[network], blocks=blocks, seed=seed)
    losses = torch.tensor(train(model, images[0], colours[0], updates, rate, seed))
    seen, validation, test = (
        round(100 * accuracy(model, some[:1000], labels[:1000]), 2)
        for some, labels in zip(images, colours)
    )
    return dict(
        network=network,
        blocks=blocks,
        rate=rate,
        seed=seed,
        seen=seen,
        validation=validation,
        test=test,
        losses=[round(x, 3) for x in losses[: updates // 10 * 10].view(-1, 10).mean(1).tolist()],
    )


def best_rate(rows: Sequence[Row], **setting) -> float:
    """The rate with the best validation at the first seed, of the rows with a setting."""
    mine = [r for r in rows if all(r[k] == v for k, v in setting.items()) and r["seed"] == SEEDS[0]]
    return max(mine, key=lambda r: r["validation"])["rate"]


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    """All rates at the first seed, then the best of them."""
    for seed, blocks, network in product(seeds, BLOCKS, NETWORKS):
        mine = dict(network=network, blocks=blocks)
        rates = RATES if seed == SEEDS[0] else (best_rate(rows, **mine),)
        for rate in rates:
            yield dict(mine, rate=rate, seed=seed)


STUDY = Study(
    measures="lesson 04: what depth, start, residual path and normalisation change",
    takes="six minutes",
    columns={"network": NETWORKS, "blocks": None, "rate": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

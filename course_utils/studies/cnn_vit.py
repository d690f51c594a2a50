"""How do a convolutional network and a Vision Transformer learn, from how many pictures? Lesson 04.

    python -m course_utils.studies cnn_vit

trains a small VGG and a small ViT to name the shape of the only thing in a picture of 32x32, and
writes data/studies/cnn_vit.json: the share of right answers in per cent, on pictures that were
trained on and on new ones. Each length is a training of its own, whose rate rises and falls. A
network's rate is the one that is best on validation at the first seed and the longer training.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import torch

from course_utils.models.cnn import VGG
from course_utils.models.vit import ViT, ViTConfig
from course_utils.studies.depth import accuracy, best_rate, data, train
from course_utils.studies.runs import Row, Setting, Study

SEEDS = (0, 1, 2)
PICTURES = (100, 4000)
RATES = (1e-3, 3e-3)
UPDATES = {"VGG": (50, 200), "ViT": (500, 2000)}
# What the other starts are trained for: as long as it brings anything at the first one
REPEATED = {("VGG", 100): 200, ("VGG", 4000): 200, ("ViT", 100): 500, ("ViT", 4000): 2000}


def network(name: str, seed: int) -> VGG | ViT:
    """A VGG or a ViT for 32x32 and four shapes, with its usual normalisation: BN or LayerNorm."""
    torch.manual_seed(seed)
    if name == "VGG":
        return VGG(((16, 1), (32, 1), (64, 1), (64, 1)), classes=4)
    return ViT(ViTConfig(image_size=32, patch=8, position_std=0.1, classes=4))


def run(name: str, pictures: int, updates: int, rate: float, seed: int) -> Row:
    """Per cent of right shapes."""
    images, _, shapes = data(seed, 32)
    model = network(name, seed)
    train(model, images[0][:pictures], shapes[0][:pictures], updates, rate, seed)
    parts = list(zip(images, shapes))
    parts[0] = (images[0][: min(pictures, 1000)], shapes[0][: min(pictures, 1000)])
    seen, validation, test = (round(100 * accuracy(model, *part), 2) for part in parts)
    return dict(
        name=name,
        pictures=pictures,
        updates=updates,
        rate=rate,
        seed=seed,
        seen=seen,
        validation=validation,
        test=test,
    )


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    """At the first seed the longer training with all rates, and the shorter one with the best of
    them; at the other seeds one of the two, with that rate."""
    for seed, name, pictures in product(seeds, UPDATES, PICTURES):
        short, long = UPDATES[name]
        mine = dict(name=name, pictures=pictures, updates=long)
        if seed == SEEDS[0]:
            for rate in RATES:
                yield dict(mine, rate=rate, seed=seed)
            yield dict(mine, updates=short, rate=best_rate(rows, **mine), seed=seed)
        else:
            updates = REPEATED[name, pictures]
            yield dict(mine, updates=updates, rate=best_rate(rows, **mine), seed=seed)


STUDY = Study(
    measures="lesson 04: a CNN and a ViT, from 100 and from 4,000 pictures",
    takes="three minutes",
    columns={"name": UPDATES, "pictures": None, "updates": None, "rate": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

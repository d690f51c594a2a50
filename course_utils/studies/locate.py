"""Which words does a locator read? For lesson 16.

    python -m course_utils.studies locate

trains locators in which the words come in by three ways on expressions of which two in three have
a relation ("mixed"), towers where two in ten have one ("few") and without HELD_OUT pairs ("pairs"),
at three seeds, and writes data/studies/locate.json: how many boxes are right, on the named object,
and on any object, for each kind of expression. Of three learning rates the one that is better on
validation at seed 0 is taken.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from course_utils.datasets.expressions import LocateData, locate_loader
from course_utils.methods.locating import (
    accuracy,
    judge,
    locate,
    locate_objective,
    new_locator,
    place_features,
)
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import FitConfig, fit
from course_utils.world.expressions import (
    KINDS,
    Expressions,
    exchanged_anchors,
    refer,
    refer_to_pairs,
    say_again,
)

SEEDS = range(3)
WAYS = ("towers", "cross", "queries")
MIXES = {"mixed": KINDS, "few": ("name",) * 8 + ("side", "near"), "pairs": ("name",)}
RATES = (2e-3, 4e-3, 8e-3)
TRAIN, TEST = 3600, 400  # expressions; of the test, for each kind
SETS = 8  # of expressions about each training picture
FIT = FitConfig(epochs=8, warmup=0.1)


class Pictures(NamedTuple):
    """Expressions and the features of their pictures."""

    given: Expressions
    v: Tensor  # (expressions, patches, visual_dim)


@cache
def pictures(part: str, count: int, mix: str) -> Pictures:
    """Expressions of a part; the features are kept on disk."""
    split = "composition" if mix == "pairs" else "iid"
    given = refer(part, count, MIXES.get(mix, (mix,)), split=split)
    return Pictures(given, place_features(new_locator(), given.scenes, f"locate-{part}-{mix}"))


@cache
def sets(count: int, mix: str) -> list[Expressions]:
    """The training expressions, and others about the same pictures: each batch takes one set."""
    given = pictures("train", count, mix).given
    return [given, *say_again(given, SETS - 1)]


@cache
def tests(count: int) -> dict[str, Pictures]:
    """The test expressions: of each kind; "near" with the partner's second object; and about pairs
    of colour and shape that "pairs" has never seen, or has."""
    found = {kind: pictures("test", count, kind) for kind in KINDS}
    near = found["near"]
    found["exchanged"] = Pictures(exchanged_anchors(near.given), near.v)
    for name, new in (("new pairs", True), ("old pairs", False)):
        given = refer_to_pairs(count, new)
        found[name] = Pictures(
            given, place_features(new_locator(), given.scenes, f"locate-{name.replace(' ', '-')}")
        )
    return found


def run(
    way: str,
    mix: str,
    rate: float,
    seed: int,
    count: int = TRAIN,
    test: int = TEST,
    config: FitConfig = FIT,
) -> Row:
    """What one locator answers after its training.

    Raises:
        ValueError: an unknown mix, or way.
    """
    if mix not in MIXES:
        raise ValueError(f"mix: expected one of {', '.join(MIXES)}, got {mix!r}")
    train = pictures("train", count, mix)
    validation = pictures("validation", test, "mixed" if mix != "pairs" else "pairs")
    torch.manual_seed(seed)
    model = new_locator(way)
    config = FitConfig(
        epochs=config.epochs, lr=rate, warmup=config.warmup, max_steps=config.max_steps
    )
    data = LocateData(train.v, sets(count, mix))
    history = fit(
        model, locate_objective, locate_loader(data, 32, seed), config=config, device="cpu"
    )
    row: Row = dict(way=way, mix=mix, rate=rate, seed=seed)
    row["validation"] = round(accuracy(model, validation.v, validation.given), 4)
    some = Expressions(
        train.given.scenes.select(np.arange(min(test, count))),
        train.given.said[:test],
        train.given.boxes[:test],
    )
    row["train"] = round(accuracy(model, train.v[:test], some), 4)
    row["loss"] = [round(value, 3) for value in history.loss[:: max(1, len(history.loss) // 20)]]
    right = {}
    for name, (given, v) in tests(test).items():
        judged = judge(locate(model, v, given.texts), given)
        right[name] = judged.right
        row[name] = {
            "right": round(judged.right.float().mean().item(), 4),
            "chosen": round(judged.chosen.float().mean().item(), 4),
            "found": round(judged.found.float().mean().item(), 4),
        }
    both = right["near"] & right["exchanged"]
    row["both"] = round(both.float().mean().item(), 4)
    return row


def best_rate(rows: Sequence[Row], way: str) -> float:
    """That of the best validation at seed 0, on "mixed"."""
    tried = [r for r in rows if (r["way"], r["mix"], r["seed"]) == (way, "mixed", 0)]
    return max(tried, key=lambda row: row["validation"])["rate"]


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for way in WAYS:
        for rate in RATES:
            yield dict(way=way, mix="mixed", rate=rate, seed=0)
    for seed in seeds:
        for way, mix in (
            ("towers", "mixed"),
            ("cross", "mixed"),
            ("towers", "few"),
            ("queries", "mixed"),
            ("towers", "pairs"),
        ):
            yield dict(way=way, mix=mix, rate=best_rate(rows, way), seed=seed)


STUDY = Study(
    measures="lesson 16: which words a locator reads, by how they come in and by its training",
    takes="twenty minutes",
    columns={"way": WAYS, "mix": tuple(MIXES), "rate": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

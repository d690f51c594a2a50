"""Which answers to ask for: entropy, margin and diversity against luck. For lesson 12.

    python -m course_utils.studies active

lets the pretrained joint model of the world ask for answers in rounds, and writes
data/studies/active.json.

A budget counts answered questions. After each round the model is tuned from the pretrained
weights on all answers bought so far, in equally many updates. The learning rate is the one at which
*random* does best on validation, so that the baseline is not the one that suffers. The last weights
are kept: neither validation nor test stops anything.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product

import torch
from jaxtyping import Int
from torch import Tensor

from course_utils.datasets import VQAData, loader
from course_utils.datasets.files import data_path
from course_utils.datasets.world_vqa import WORLD_FAMILIES, answered
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.active import (
    Strategy,
    at_random,
    by_distance,
    by_entropy,
    by_margin,
    entropy_then_distance,
    evenly,
    filmed,
    in_the_mix_of,
)
from course_utils.methods.answering import base_model
from course_utils.models.vqa import VQAModel
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import FitConfig, fit
from course_utils.training.freezing import freeze_statistics
from course_utils.training.objective import answer_objective

FIRST = 80  # answers that every run begins with, drawn at random
EACH = 80  # answers bought in a round
ROUNDS = 3
UPDATES = 150  # of each tuning
IMAGES_PER_BATCH = 16
CANDIDATES = 5  # "entropy, then diversity" looks at so many times EACH questions
SCENES = 300  # pictures of the plain pool, with eight questions each
FILMED, FRAMES = 15, 20  # scenes that fill half of the other pool, and copies of each
RATES = (1e-3, 3e-3)
SEEDS = (0, 1, 2)

STRATEGIES: dict[str, Strategy] = {
    "random": at_random,
    "random, families evenly": evenly,
    "entropy": by_entropy,
    "margin": by_margin,
    "k-centre": by_distance,
    "random, k-centre's mix": in_the_mix_of(by_distance),
    "entropy, then k-centre": partial(entropy_then_distance, candidates=CANDIDATES),
}


# Pools


def plain_pool(seed: int) -> tuple[VQAData, Int[Tensor, " n"]]:
    """Pictures with eight questions each. Returns also the number of each question's original:
    here every question is its own."""
    pool = answered("train", SCENES, 100 + seed, 8)
    return pool, torch.arange(len(pool))


def filmed_pool(seed: int) -> tuple[VQAData, Int[Tensor, " n"]]:
    """Half of the pictures are single ones, half are frames of a few scenes."""
    return filmed(answered("train", FILMED * (FRAMES + 1), 100 + seed), FILMED, FRAMES, seed)


POOLS = {
    "pictures": (plain_pool, tuple(STRATEGIES)),
    "film": (
        filmed_pool,
        ("random", "random, families evenly", "entropy", "entropy, then k-centre"),
    ),
}


# A run


def tune(
    model: VQAModel, data: VQAData, rate: float, seed: int, updates: int = UPDATES
) -> VQAModel:
    """Tunes `model` in place; the statistics of batch normalisation stay."""
    freeze_statistics(model)
    batches = loader(data, IMAGES_PER_BATCH, seed)
    config = FitConfig(epochs=-(-updates // len(batches)), lr=rate, warmup=0.1, max_steps=updates)
    fit(model, answer_objective, batches, config=config, device="cpu", progress=False)
    return model


def run(pool: str, strategy: str, rate: float, seed: int) -> Row:
    """After each round: accuracies, different questions and pictures among those bought, and how
    many of each family."""
    asked, original = POOLS[pool][0](seed)
    validation, test = answered("validation", 150), answered("test", 500)
    weights = data_path("checkpoints/world_pretrained.safetensors")
    generator = torch.Generator().manual_seed(seed)
    bought = torch.zeros(len(asked), dtype=torch.bool)  # (n,)
    bought[torch.randperm(len(asked), generator=generator)[:FIRST]] = True
    row: Row = dict(
        pool=pool,
        strategy=strategy,
        rate=rate,
        seed=seed,
        answers=[],
        validation=[],
        accuracy=[],
        different=[],
        pictures=[],
        families=[],
        by_family=[],
    )
    for round_ in range(ROUNDS + 1):
        model = base_model(len(asked.answers), weights, seed)
        tune(model, asked.select(bought), rate, 10 * seed + round_)
        families = asked.family[bought]  # (answers bought,)
        row["answers"].append(int(bought.sum()))
        row["validation"].append(evaluate(model, validation).accuracy)
        found = evaluate(model, test)
        row["accuracy"].append(found.accuracy)
        row["by_family"].append(found.by_family)
        row["different"].append(len(original[bought].unique()))
        row["pictures"].append(len(asked.image_index[bought].unique()))
        row["families"].append(
            {f: int((families == asked.families.index(f)).sum()) for f in WORLD_FAMILIES}
        )
        if round_ < ROUNDS:
            bought[STRATEGIES[strategy](model, asked, bought, EACH, generator)] = True
    return row


def best_rate(runs: Sequence[Row]) -> float:
    """The rate with the highest mean validation accuracy of random on the plain pool, over rounds
    and seeds."""

    def mean(rate: float) -> float:
        mine = [
            torch.tensor(r["validation"]).mean()
            for r in runs
            if (r["pool"], r["strategy"], r["rate"]) == ("pictures", "random", rate)
        ]
        return torch.stack(mine).mean().item()

    return max(RATES, key=mean)


def chosen(runs: Sequence[Row], pool: str, strategy: str) -> list[Row]:
    """The runs of a strategy at `best_rate`, one a seed."""
    rate = best_rate(runs)
    mine = [r for r in runs if (r["pool"], r["strategy"], r["rate"]) == (pool, strategy, rate)]
    return sorted(mine, key=lambda r: r["seed"])


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    """The rate of *random* first, then every strategy at the best one."""
    for seed, rate in product(seeds, RATES):
        yield dict(pool="pictures", strategy="random", rate=rate, seed=seed)
    rate = best_rate(rows)
    for pool, (_, strategies) in POOLS.items():
        for seed, strategy in product(seeds, strategies):
            yield dict(pool=pool, strategy=strategy, rate=rate, seed=seed)


STUDY = Study(
    measures="lesson 12: which answers to ask for, by uncertainty, by diversity, at random",
    takes="a quarter of an hour",
    columns={"pool": POOLS, "strategy": STRATEGIES, "rate": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

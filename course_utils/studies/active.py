"""Which answers to ask for: entropy, margin and diversity against drawing at random. For lesson 11.

    python -m course_utils.studies active

lets the pretrained joint model of the world ask for answers in rounds, and writes data/studies/active.json.
Runs that the file holds already are not repeated. It takes about a quarter of an hour on one CPU
core.

A budget counts answered questions. After each round the model is tuned from the pretrained weights
on all answers bought so far, in equally many updates. The learning rate is the one at which *random*
does best on validation, so that the baseline is not the one that suffers. The last weights are kept:
neither validation nor test stops anything.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_utils.datasets import VQAData, load_world, loader, perturb
from course_utils.datasets.pairs import pair_tokenizer
from course_utils.evaluation.evaluate import evaluate, predict_logits
from course_utils.models.vqa import VQAModel
from course_utils.studies.drift import representations
from course_utils.studies.recipes import WORLD_FAMILIES, answer_objective
from course_utils.studies.runs import read_runs, write_runs
from course_utils.studies.semi_supervised import freeze_statistics
from course_utils.studies.tuning_curve import base_model
from course_utils.training.fit import FitConfig, fit

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
COMMAND = "python -m course_utils.studies active"


# Scores of questions: the larger, the rather its answer is asked for


def entropy(logits: Float[Tensor, "n answers"]) -> Float[Tensor, " n"]:
    """-sum p log p, in nat: how much of the answer is open to the model."""
    logp = logits.log_softmax(-1)  # (n, answers)
    return -(logp.exp() * logp).sum(-1)


def margin(logits: Float[Tensor, "n answers"]) -> Float[Tensor, " n"]:
    """1 - (p of the likeliest answer - p of the second): 1 where two answers are equally likely."""
    first, second = logits.softmax(-1).topk(2).values.unbind(-1)  # (n,) each
    return 1 - (first - second)


def highest(
    scores: Float[Tensor, " n"], free: Bool[Tensor, " n"], count: int
) -> Int[Tensor, " count"]:
    """The `count` free ones with the highest scores.

    Raises:
        ValueError: fewer than `count` are free.
    """
    _enough(free, count)
    return scores.masked_fill(~free, -torch.inf).argsort(descending=True, stable=True)[:count]


def farthest(
    points: Float[Tensor, "n dim"], bought: Bool[Tensor, " n"], free: Bool[Tensor, " n"], count: int
) -> Int[Tensor, " count"]:
    """Again and again the free point that is farthest from its nearest bought or chosen one: greedy
    k-centre (Sener and Savarese, arXiv 1708.00489, algorithm 1).

    Raises:
        ValueError: fewer than `count` are free, or nothing has been bought.
    """
    _enough(free, count)
    if not bought.any():
        raise ValueError("bought: expected at least one point to be far from, got none")
    nearest = torch.cdist(points, points[bought]).min(1).values  # (n,)
    nearest, chosen = nearest.masked_fill(~free, -torch.inf), []
    for _ in range(count):
        i = int(nearest.argmax())
        chosen.append(i)
        nearest = torch.minimum(nearest, (points - points[i]).norm(dim=1))  # (n,)
        nearest[i] = -torch.inf
    return torch.tensor(chosen)


def _enough(free: Tensor, count: int) -> None:
    if not 0 < count <= int(free.sum()):
        raise ValueError(f"count: expected 1 to {int(free.sum())}, the free ones, got {count}")


# Strategies: (model, pool, bought (n,) bool, generator) -> EACH rows of the pool

Strategy = Callable[[VQAModel, VQAData, Tensor, torch.Generator], Tensor]


def at_random(model: VQAModel, pool: VQAData, bought: Tensor, generator: torch.Generator) -> Tensor:
    return highest(torch.rand(len(pool), generator=generator), ~bought, EACH)


def evenly(model: VQAModel, pool: VQAData, bought: Tensor, generator: torch.Generator) -> Tensor:
    """As many of each family, otherwise at random: a control that looks at no answer of the model."""
    luck = torch.rand(len(pool), generator=generator)  # (n,)
    families = pool.family.unique()
    return torch.cat(
        [highest(luck, ~bought & (pool.family == f), EACH // len(families)) for f in families]
    )


def by_entropy(model: VQAModel, pool: VQAData, bought: Tensor, _) -> Tensor:
    return highest(entropy(predict_logits(model, pool)), ~bought, EACH)


def by_margin(model: VQAModel, pool: VQAData, bought: Tensor, _) -> Tensor:
    return highest(margin(predict_logits(model, pool)), ~bought, EACH)


def by_distance(model: VQAModel, pool: VQAData, bought: Tensor, _) -> Tensor:
    return farthest(representations(model, pool), bought, ~bought, EACH)


def entropy_then_distance(model: VQAModel, pool: VQAData, bought: Tensor, _) -> Tensor:
    """Farthest from each other among the most uncertain."""
    doubted = torch.zeros_like(bought)  # (n,)
    doubted[highest(entropy(predict_logits(model, pool)), ~bought, CANDIDATES * EACH)] = True
    return farthest(representations(model, pool), bought, doubted, EACH)


STRATEGIES: dict[str, Strategy] = {
    "random": at_random,
    "random, families evenly": evenly,
    "entropy": by_entropy,
    "margin": by_margin,
    "k-centre": by_distance,
    "entropy, then k-centre": entropy_then_distance,
}


# Pools


def questions(part: str, scenes: int, each: int, seed: int) -> VQAData:
    """`each` questions a scene, with the tokens of the pretrained model."""
    return load_world("iid", part, scenes, each, WORLD_FAMILIES, seed, tokenizer=pair_tokenizer())


def plain_pool(seed: int) -> tuple[VQAData, Int[Tensor, " n"]]:
    """Pictures with eight questions each. Returns also the number of each question's original:
    here every question is its own."""
    pool = questions("train", SCENES, 8, 100 + seed)
    return pool, torch.arange(len(pool))


def filmed(data: VQAData, scenes: int, frames: int, seed: int) -> tuple[VQAData, Int[Tensor, " n"]]:
    """`data` as a camera delivers it: each of the first `scenes` pictures comes `frames` times, a
    pixel further and with other noise, with all its questions. Returns also the number, in `data`,
    of the question that each one is a copy of.

    Raises:
        ValueError: there are fewer pictures than `scenes`, or `frames` is below 1.
    """
    if not 0 <= scenes <= len(data.images) or frames < 1:
        raise ValueError(
            f"expected up to {len(data.images)} scenes and 1 or more frames, got "
            f"{scenes} and {frames}"
        )
    times = torch.where(torch.arange(len(data.images)) < scenes, frames, 1)  # (pictures,)
    original = torch.arange(len(data.images)).repeat_interleave(times)  # (new pictures,)
    images = data.images[original].float() / 255  # (new pictures, 3, height, width)
    generator = torch.Generator().manual_seed(seed)
    images = perturb.noise(perturb.shift(images, 1, generator), 0.02, generator)
    number = [(data.image_index == i).nonzero()[:, 0] for i in range(len(data.images))]
    rows = torch.cat([number[i] for i in original.tolist()])  # (n,) rows of `data`
    # (n,)
    picture = torch.cat([torch.full((len(number[i]),), k) for k, i in enumerate(original.tolist())])
    copied = replace(
        data,
        questions=tuple(data.questions[i] for i in rows.tolist()),
        x=data.x[rows],
        mask=data.mask[rows],
        y=data.y[rows],
        family=data.family[rows],
        image_index=picture,
        images=(images * 255).round().to(torch.uint8),
    )
    return copied, rows


def filmed_pool(seed: int) -> tuple[VQAData, Int[Tensor, " n"]]:
    """Half of the pictures are single ones, half are frames of a few scenes."""
    return filmed(questions("train", FILMED * (FRAMES + 1), 4, 100 + seed), FILMED, FRAMES, seed)


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


def run(pool_name: str, strategy: str, rate: float, seed: int, weights: Path) -> dict:
    """After each round: accuracies, different questions and pictures among those bought, and how
    many of each family."""
    pool, original = POOLS[pool_name][0](seed)
    validation, test = questions("validation", 150, 4, 0), questions("test", 500, 4, 0)
    generator = torch.Generator().manual_seed(seed)
    bought = torch.zeros(len(pool), dtype=torch.bool)  # (n,)
    bought[torch.randperm(len(pool), generator=generator)[:FIRST]] = True
    row = dict(
        pool=pool_name,
        strategy=strategy,
        rate=rate,
        seed=seed,
        answers=[],
        validation=[],
        accuracy=[],
        different=[],
        pictures=[],
        families=[],
    )
    for round_ in range(ROUNDS + 1):
        model = base_model(len(pool.answers), weights, seed)
        tune(model, pool.select(bought), rate, 10 * seed + round_)
        asked = pool.family[bought]  # (answers bought,)
        row["answers"].append(int(bought.sum()))
        row["validation"].append(evaluate(model, validation).accuracy)
        row["accuracy"].append(evaluate(model, test).accuracy)
        row["different"].append(len(original[bought].unique()))
        row["pictures"].append(len(pool.image_index[bought].unique()))
        row["families"].append(
            {f: int((asked == pool.families.index(f)).sum()) for f in WORLD_FAMILIES}
        )
        if round_ < ROUNDS:
            bought[STRATEGIES[strategy](model, pool, bought, generator)] = True
    return row


def best_rate(runs: list[dict]) -> float:
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


def chosen(runs: list[dict], pool: str, strategy: str) -> list[dict]:
    """The runs of a strategy at `best_rate`, one a seed."""
    rate = best_rate(runs)
    mine = [r for r in runs if (r["pool"], r["strategy"], r["rate"]) == (pool, strategy, rate)]
    return sorted(mine, key=lambda r: r["seed"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("data/studies/active.json"))
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = read_runs(options.out)
    weights = Path("data/checkpoints/world_pretrained.safetensors")

    def add(jobs) -> None:
        done = {(r["pool"], r["strategy"], r["rate"], r["seed"]) for r in found}
        for job in jobs:
            if job not in done:
                found.append(run(*job, weights))
                found.sort(
                    key=lambda r: (
                        list(POOLS).index(r["pool"]),
                        list(STRATEGIES).index(r["strategy"]),
                        r["rate"],
                        r["seed"],
                    )
                )
                write_runs(options.out, found, COMMAND)
                new = next(
                    r for r in found if (r["pool"], r["strategy"], r["rate"], r["seed"]) == job
                )
                print(*job, [round(100 * a, 1) for a in new["accuracy"]], flush=True)

    add(("pictures", "random", rate, seed) for seed, rate in product(options.seeds, RATES))
    rate = best_rate(found)
    for pool, (_, strategies) in POOLS.items():
        add((pool, strategy, rate, seed) for seed, strategy in product(options.seeds, strategies))


if __name__ == "__main__":
    main()

"""Which answers a first model asks for in a film, and how many of them are copies. For lesson 12.

    python -m course_utils.studies film_picks

tunes the pretrained joint model of the world on 80 answers about the pool *film* of the study
`active`, lets it choose 80 more in four ways, and writes data/studies/film_picks.json.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_utils.datasets import VQAData
from course_utils.datasets.files import data_path
from course_utils.evaluation.evaluate import predict_logits, representations
from course_utils.methods.active import entropy, farthest, highest
from course_utils.methods.answering import base_model
from course_utils.studies.active import CANDIDATES, EACH, FIRST, UPDATES, filmed_pool, tune
from course_utils.studies.runs import Row, Setting, Study

RATE = 1e-3  # the best of the study `active`
SEEDS = (0, 1, 2, 3, 4)


def first_round(
    seed: int, updates: int = UPDATES
) -> tuple[VQAData, Int[Tensor, " n"], Int[Tensor, " first"], Float[Tensor, " n"], Tensor]:
    """A film, the original of each question, the FIRST that are answered, and of all questions
    entropy and h (n, dim) after tuning on these."""
    pool, original = filmed_pool(seed)
    generator = torch.Generator().manual_seed(seed)
    first = torch.randperm(len(pool), generator=generator)[:FIRST]
    weights = data_path("checkpoints/world_pretrained.safetensors")
    model = base_model(len(pool.answers), weights, seed)
    tune(model, pool.select(first), RATE, seed, updates)
    return pool, original, first, entropy(predict_logits(model, pool)), representations(model, pool)


def new_answers(rows: Tensor, first: Tensor, original: Tensor) -> int:
    """How many different questions are among `rows` that `first` has no copy of."""
    found = original[rows].unique()
    return int((~torch.isin(found, original[first])).sum())


def run(seed: int) -> Row:
    """How many of EACH bought answers are new, for each way to choose."""
    pool, original, first, doubted, h = first_round(seed)
    bought = torch.zeros(len(pool), dtype=torch.bool)  # (n,)
    bought[first] = True
    luck = torch.rand(len(pool), generator=torch.Generator().manual_seed(100 + seed))  # (n,)
    some = torch.zeros_like(bought)  # (n,)
    some[highest(doubted, ~bought, CANDIDATES * EACH)] = True
    chosen = {
        "at random": highest(luck, ~bought, EACH),
        "highest entropy": highest(doubted, ~bought, EACH),
        "highest entropy, one a picture": one_each(doubted, pool.image_index, ~bought, EACH),
        "entropy, then k-centre": farthest(h, bought, some, EACH),
    }
    return dict(seed=seed) | {
        name: new_answers(rows, first, original) for name, rows in chosen.items()
    }


def one_each(scores: Tensor, groups: Tensor, free: Tensor, count: int) -> Tensor:
    """The `count` free ones with the highest scores, at most one of each group."""
    kept: dict[int, int] = {}
    for i in highest(scores, free, int(free.sum())).tolist():
        kept.setdefault(int(groups[i]), i)
    return torch.tensor(list(kept.values())[:count])


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed in seeds:
        yield dict(seed=seed)


STUDY = Study(
    measures="lesson 12: of 80 answers that a first model asks for in a film, how many are copies",
    takes="two minutes",
    columns={"seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

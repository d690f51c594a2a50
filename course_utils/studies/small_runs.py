"""Many small trainings, for lesson 09: how optimistic is a score that was chosen on?

    python -m course_utils.studies small_runs

trains a small network 200 times on what the pretrained joint model of the world says about a
question and a picture, and writes data/studies/small_runs.json: for each run its settings, and how
many answers it gets right in each of 40 parts of 300 questions that it has never seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import product

import numpy as np

from course_utils.methods.probe import SmallConfig, features, right, train_small
from course_utils.studies.runs import Row, Setting, Study

PARTS = 40  # of the questions that nothing learns from
QUESTIONS = 300  # in each part: 75 pictures, 4 questions a picture
RUNS = 100  # of each kind


def drawn(seed: int) -> SmallConfig:
    """Settings drawn at random, from a range that somebody who doesn't know better would try."""
    draw = np.random.default_rng(seed)
    return SmallConfig(
        lr=float(10 ** draw.uniform(-3.5, -1.5)),
        weight_decay=float(10 ** draw.uniform(-4, 0)),
        dropout=float(draw.uniform(0, 0.6)),
        width=int(2 ** draw.integers(4, 9)),
        batch=int(2 ** draw.integers(4, 8)),
    )


KINDS = {"settings drawn": drawn, "only the seed changed": lambda seed: SmallConfig()}


def run(kind: str, seed: int) -> Row:
    """Trains on 1,600 answers; right answers in each part of what was never seen."""
    config = KINDS[kind](seed)
    model = train_small(config, features("train", 400, seed=100), seed)
    pool = features("validation", PARTS * QUESTIONS // 4)
    counts = right(model, pool).view(PARTS, QUESTIONS).sum(1)  # (parts,)
    return dict(kind=kind, seed=seed, **asdict(config), right=counts.tolist())


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for kind, seed in product(KINDS, seeds):
        yield dict(kind=kind, seed=seed)


STUDY = Study(
    measures="lesson 09: 200 small trainings: how optimistic is a score that was chosen on?",
    takes="two minutes",
    columns={"kind": KINDS, "seed": None},
    seeds=range(RUNS),
    settings=settings,
    run=run,
)

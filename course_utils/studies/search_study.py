"""Does Optuna's search find better settings than a random one? For lesson 09.

    python -m course_utils.studies search_study

lets Optuna's tree-structured Parzen estimator and a random search propose settings for the small
network of `small_runs`, 48 trainings each, at 12 seeds, and writes data/studies/search_study.json:
for each search the best validation accuracy so far after every training, and the accuracy of that
network on 11,700 questions that the search never saw.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import optuna

from course_utils.methods.probe import Features, SmallConfig, accuracy, features, train_small
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.search import search

TRIALS = 48  # trainings in one search
SEEDS = tuple(range(12))
CHOOSE_ON = 300  # questions that choose
SAMPLERS = ("random", "tpe")


def suggested(trial: optuna.Trial) -> SmallConfig:
    """The settings that a trial tries: five numbers, three of them on a logarithmic scale."""
    return SmallConfig(
        lr=trial.suggest_float("lr", 1e-5, 1.0, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-4, 10.0, log=True),
        dropout=trial.suggest_float("dropout", 0.0, 0.7),
        width=trial.suggest_int("width", 8, 256, log=True),
        batch=trial.suggest_categorical("batch", [32, 64, 128, 256]),
    )


def searched(sampler: str, seed: int, train: Features, pool: Features, trials: int = TRIALS) -> Row:
    """One search. The first CHOOSE_ON questions of `pool` choose, the others judge the choice."""
    chooses = Features(pool.h[:CHOOSE_ON], pool.y[:CHOOSE_ON], pool.answers)
    judges = Features(pool.h[CHOOSE_ON:], pool.y[CHOOSE_ON:], pool.answers)
    best, judged, kept = [], [], (-1.0, 0.0)

    def objective(trial: optuna.Trial) -> float:
        nonlocal kept
        # the same trial number starts from the same weights in both searches
        model = train_small(suggested(trial), train, seed=1000 * seed + trial.number)
        score = accuracy(model, chooses)
        kept = max(kept, (score, accuracy(model, judges)), key=lambda pair: pair[0])
        best.append(round(kept[0], 6))
        judged.append(round(kept[1], 6))
        return score

    study = search(objective, trials, sampler, seed)
    return dict(sampler=sampler, seed=seed, best=best, judged=judged, chosen=study.best_params)


def run(sampler: str, seed: int) -> Row:
    """One search on the data of the study."""
    train, pool = features("train", 400, seed=100), features("validation", 3000)
    return searched(sampler, seed, train, pool)


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed, sampler in product(seeds, SAMPLERS):
        yield dict(sampler=sampler, seed=seed)


STUDY = Study(
    measures="lesson 09: random search against Optuna's estimator at an equal budget",
    takes="four minutes",
    columns={"sampler": SAMPLERS, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

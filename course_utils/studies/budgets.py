"""Does a verdict on a setting outlive its budget? For lesson 09.

    python -m course_utils.studies budgets

trains the small network of `small_runs` with other learning rates, schedules and dropout, each for
few passes and for many, at five seeds (dropout: three), and writes data/studies/budgets.json: for
each training the accuracy on its own answers, on 1,500 questions that may choose, and on 10,500
others that judge.
"""

from collections.abc import Iterator, Sequence
from itertools import product

from course_utils.methods.probe import Features, SmallConfig, accuracy, features, train_small
from course_utils.studies.runs import Row, Setting, Study

PASSES = (8, 64)  # over 1,600 answers: what is compared in few passes, and in many
EVERY = tuple(round(10 ** (-4 + i / 2), 5) for i in range(10))
RATES = {8: EVERY, 64: EVERY[2:9]}
OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("constant", "cosine without warm-up")  # beside "cosine", which has a warm-up
# rates at which schedules are compared
AROUND = {(8, "adamw"): EVERY[3:7], (8, "sgd"): EVERY[6:9], (64, "adamw"): EVERY[3:7]}
DROPOUT_PASSES = {200: (40, 160), 1600: (16, 64)}  # answers to learn from -> passes
DROPOUT = (0.0, 0.5)
DROPOUT_RATES = (0.003, 0.01, 0.03)
DROPOUT_SEEDS = 3  # of the five
SEEDS = tuple(range(5))


def run(answers: int, passes: int, seed: int, **config) -> Row:
    """One training: accuracy on its own answers, on those that choose, and on others."""
    data = features("train", 400, seed=100)
    data = Features(data.h[:answers], data.y[:answers], data.answers)
    model = train_small(SmallConfig(epochs=passes, weight_decay=0.0, **config), data, seed)
    parts = {
        "train": data,
        "validation": features("validation", 375),
        "others": features("validation", 2625, seed=1),
    }
    row = dict(answers=answers, passes=passes, **config, seed=seed)
    return row | {name: round(accuracy(model, part), 5) for name, part in parts.items()}


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    common = dict(answers=1600, width=64, dropout=0.1)
    for seed, passes, optimizer in product(seeds, PASSES, OPTIMIZERS):
        same = common | dict(passes=passes, optimizer=optimizer)
        for lr in RATES[passes]:
            yield same | dict(schedule="cosine", lr=lr, seed=seed)
        for schedule, lr in product(SCHEDULES, AROUND.get((passes, optimizer), ())):
            yield same | dict(schedule=schedule, lr=lr, seed=seed)
    common = dict(width=256, optimizer="adamw", schedule="cosine")
    for seed, (answers, both) in product(seeds[:DROPOUT_SEEDS], DROPOUT_PASSES.items()):
        for passes, dropout, lr in product(both, DROPOUT, DROPOUT_RATES):
            yield common | dict(answers=answers, passes=passes, dropout=dropout, lr=lr, seed=seed)


STUDY = Study(
    measures="lesson 09: rates, schedules and dropout at a small and at a large budget",
    takes="six minutes",
    columns={
        "answers": None,
        "width": None,
        "passes": None,
        "optimizer": OPTIMIZERS,
        "schedule": ("cosine", *SCHEDULES),
        "dropout": None,
        "lr": None,
        "seed": None,
    },
    seeds=SEEDS,
    settings=settings,
    run=run,
)

"""What 20, 80 and 320 examples of one's own pictures are worth. For lesson 11.

    python -m course_utils.studies own_pictures

tunes the pretrained model for real pictures with LoRA on the worked example of
`course_utils.own.example`, and writes data/studies/own_pictures.json: the accuracy on 320 questions
about 160 other pictures. "pictures exchanged" is the same on questions each of which comes with
another picture, so it can learn nothing from pictures. The default rate of `course train` is the
one with the best mean validation accuracy with 320 examples.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from course_utils.datasets import VQAData
from course_utils.datasets.rows import by_picture, frequent_answers, read_rows
from course_utils.own.example import write_example
from course_utils.own.pictures import OWN_FIT, questions_data, score, tunable, tune
from course_utils.studies.runs import Row, Setting, Study

SIZES = (20, 80, 320)  # examples, of which a fifth chooses the epoch
SEEDS = (0, 1, 2)
RATES = (1e-3, 3e-3)
# start, examples, rates; in the order in which they are measured
MEASURED = (
    ("lora", 320, RATES),
    ("pictures exchanged", 320, (OWN_FIT.lr,)),
    ("lora", 80, (OWN_FIT.lr,)),
    ("pictures exchanged", 80, (OWN_FIT.lr,)),
    ("lora", 20, (OWN_FIT.lr,)),
    ("pictures exchanged", 20, (OWN_FIT.lr,)),
)
STARTS = dict.fromkeys(method for method, *_ in MEASURED)


@cache
def parts(examples: int, seed: int) -> tuple[VQAData, VQAData, VQAData]:
    """Training, validation and test questions."""
    with tempfile.TemporaryDirectory() as folder:
        write_example(Path(folder) / "example")
        rows = read_rows(Path(folder) / "example")
        test, pool = by_picture(rows, (0.4,))
        some, _ = by_picture(pool, (examples / len(pool),), seed)
        validation, train = by_picture(some, (0.2,), seed)
        answers = frequent_answers(train, 1)
        train, validation, test = (
            questions_data(part, answers, False) for part in (train, validation, test)
        )
    return train, validation, test


def run(method: str, rate: float, examples: int, seed: int) -> Row:
    """Accuracies of one tuning: on its own training questions, on validation, and on test."""
    train, validation, test = parts(examples, seed)
    if method == "pictures exchanged":
        train, validation, test = (part.shuffle_images(seed) for part in (train, validation, test))
    torch.manual_seed(seed)
    model = tunable(len(train.answers), "lora")
    config = replace(OWN_FIT, lr=rate)
    history = tune(model, train, validation, config, seed=seed, device="cpu", progress=False)
    return dict(
        method=method,
        rate=rate,
        examples=examples,
        seed=seed,
        own=score(model, train).all,
        validation=max(history.score),
        accuracy=score(model, test).all,
        passes=len(history.score),
    )


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for method, examples, rates in MEASURED:
        for rate in rates:
            for seed in seeds:
                yield dict(method=method, rate=rate, examples=examples, seed=seed)


def best_rate(rows: Sequence[Row], method: str, examples: int = 320) -> float:
    """The rate with the best mean validation accuracy over the seeds."""
    mine = [r for r in rows if (r["method"], r["examples"]) == (method, examples)]
    found = {r["rate"]: [] for r in mine}
    for row in mine:
        found[row["rate"]].append(row["validation"])
    return max(found, key=lambda rate: sum(found[rate]) / len(found[rate]))


def accuracies(rows: Sequence[Row], method: str, examples: int, rate: float) -> list[float]:
    """On the test, one a seed."""
    wanted = (method, examples, rate)
    return [r["accuracy"] for r in rows if (r["method"], r["examples"], r["rate"]) == wanted]


STUDY = Study(
    measures="lesson 11: what 20, 80 and 320 examples of one's own pictures are worth",
    takes="six minutes",
    columns={"method": STARTS, "rate": None, "examples": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

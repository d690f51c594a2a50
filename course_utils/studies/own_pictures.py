"""What 20, 80 and 320 examples of one's own pictures are worth. For lesson 11.

    python -m course_utils.studies own_pictures

tunes the pretrained model for real pictures in several ways on the worked example of
`course_utils.own.example`, and writes data/studies/own_pictures.json: the accuracy on 320 questions
about 160 other pictures. "blind" never looks at a picture; "not pretrained" begins from random
weights, on the same frozen features of pictures and words.
"""

import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path

import torch

from course_utils.datasets import VQAData
from course_utils.datasets.rows import by_picture, frequent_answers, read_rows
from course_utils.models.joint import JointEncoder
from course_utils.models.vqa import VQAModel
from course_utils.own.example import write_example
from course_utils.own.pictures import (
    METHODS,
    blind_score,
    questions_data,
    real_vqa_model,
    score,
    tunable,
    tune,
)
from course_utils.peft import freeze_base
from course_utils.studies.runs import Row, Setting, Study

SIZES = (20, 80, 320)  # examples, of which a fifth chooses the epoch
SEEDS = (0, 1, 2)
STARTS = ("not pretrained", "head only", *METHODS, "full tuning")


def start(kind: str, answers: int, seed: int) -> VQAModel:
    """A model to be tuned: one of STARTS."""
    torch.manual_seed(seed)
    if kind in METHODS:
        return tunable(answers, kind)
    model = real_vqa_model(answers)
    if kind == "head only":
        freeze_base(model, keep=("head",))
    if kind == "not pretrained":  # but on the same frozen features of pictures and words
        random = JointEncoder(model.encoder.config, token=model.encoder.embedding.token)
        random.embedding.token.project.reset_parameters()
        model.encoder = random
    return model


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


def run(method: str, examples: int, seed: int) -> Row:
    """Accuracy on the test questions of one tuning, or of the blind."""
    train, validation, test = parts(examples, seed)
    if method == "blind":
        found = blind_score(train, test)
    else:
        model = start(method, len(train.answers), seed)
        tune(model, train, validation, seed=seed, device="cpu", progress=False)
        found = score(model, test)
    return dict(method=method, examples=examples, seed=seed, accuracy=found.all)


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for examples, seed, method in product(SIZES, seeds, ("blind", *STARTS)):
        yield dict(method=method, examples=examples, seed=seed)


def by_method(rows: Sequence[Row]) -> dict[str, dict[int, list[float]]]:
    """Accuracies, one a seed, for each number of examples and each method."""
    methods = ("blind", *STARTS)
    return {
        method: {
            size: [r["accuracy"] for r in rows if (r["method"], r["examples"]) == (method, size)]
            for size in SIZES
        }
        for method in methods
    }


STUDY = Study(
    measures="lesson 11: what 20, 80 and 320 examples of one's own pictures are worth",
    takes="five minutes",
    columns={"method": ("blind", *STARTS), "examples": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

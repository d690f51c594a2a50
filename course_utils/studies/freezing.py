"""What does it cost, and what does it bring, to freeze a part of a model? For lesson 09.

    python -m course_utils.studies freezing

tunes the pretrained joint model of the world on 1,600 answered questions in Chinese with a part of
it frozen, at three seeds and three or four learning rates, and writes data/studies/freezing.json.
For every strategy the learning rate is chosen on validation, seed by seed. Task and training are
those of `tuning_curve`, which has measured the two extremes: the head alone, and all weights.

The control of a frozen pretrained stem is a frozen random one. And what a model loses whose frozen
stem is left in train mode for an epoch is measured with batches of 16 pictures and of two.
"""

import copy
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import torch

from course_utils.datasets import VQAData, loader
from course_utils.datasets.files import data_path
from course_utils.datasets.pairs import pair_tokenizer
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.answering import base_model
from course_utils.methods.pretraining import world_pretraining_model
from course_utils.models.vqa import VQAModel
from course_utils.peft import count_parameters
from course_utils.studies.runs import Row, Setting, Study
from course_utils.studies.tuning_curve import IMAGES_PER_BATCH, LABELS, UPDATES, questions
from course_utils.studies.tuning_curve import tune as tune_encoded
from course_utils.training.fit import FitConfig, fit
from course_utils.training.freezing import (
    freeze_all_but_head,
    freeze_all_but_top,
    freeze_stem,
    freeze_stem_in_train_mode,
)
from course_utils.training.objective import answer_objective

RATES = (1e-3, 3e-3, 1e-2)
LOWER = (3e-4, *RATES)  # where the lowest of three was chosen
RANDOM, MOVED = "stem random, frozen", "stem frozen, statistics moved"
ENCODED = ("stem frozen", RANDOM, MOVED)  # the stem sees each picture once, which is faster
BATCHES = (16, 2)  # pictures, in train mode
SEEDS = (0, 1, 2)
STRATEGIES = {
    "all frozen but the head": freeze_all_but_head,
    "top layer and head trained": freeze_all_but_top,
    "stem frozen": freeze_stem,
    "stem frozen, in train mode": freeze_stem_in_train_mode,
    "nothing frozen": lambda model: None,
}
MEASURED = {
    "top layer and head trained": RATES,
    "stem frozen": LOWER,
    "stem frozen, in train mode": RATES,
    RANDOM: RATES[1:],
    MOVED: (1e-3,),  # the rate that most seeds chose for "stem frozen"
}
IN_TUNING_CURVE = {"all frozen but the head": "head only", "nothing frozen": "all weights"}


def tune(
    strategy: str,
    rate: float,
    seed: int,
    train: VQAData,
    validation: VQAData,
    weights: Path,
    updates: int = UPDATES,
):
    """A tuned model with more or less of it frozen, and its history."""
    model = base_model(len(train.answers), weights, seed)
    if strategy == RANDOM:
        draw_stem(model, train, seed)
    STRATEGIES.get(strategy, freeze_stem)(model)
    if strategy in ENCODED:
        return model, tune_encoded(
            model, "all weights", train, validation, rate, seed, updates=updates
        )
    batches = loader(train, IMAGES_PER_BATCH, seed=seed)
    config = FitConfig(epochs=-(-updates // len(batches)), lr=rate, warmup=0.1, max_steps=updates)
    history = fit(
        model,
        answer_objective,
        batches,
        lambda m: evaluate(m, validation).accuracy,
        config,
        progress=False,
        device="cpu",
    )
    return model, history


def draw_stem(model: VQAModel, train: VQAData, seed: int) -> None:
    """Gives the model a new random stem, with the running statistics of the training pictures."""
    torch.manual_seed(1000 + seed)
    model.stem = world_pretraining_model(pair_tokenizer()).stem
    move_statistics(model, train, 16, passes=5)


@torch.no_grad()
def move_statistics(model: VQAModel, data: VQAData, size: int, passes: int = 1) -> None:
    """Shows the stem pictures in train mode, `size` at a time, and trains nothing."""
    model.stem.train()
    for _ in range(passes):
        for some in data.images.split(size):
            model.stem(some.float() / 255)
    model.eval()


def run(strategy: str, rate: float, seed: int) -> Row:
    """Trained weights, validation and test accuracy of one tuning."""
    train, validation = questions("train", LABELS // 4, 100 + seed), questions("validation", 100)
    weights = data_path("checkpoints/world_pretrained.safetensors")
    model, history = tune(strategy, rate, seed, train, validation, weights)
    test = questions("test", 500)
    row = dict(
        strategy=strategy,
        rate=rate,
        seed=seed,
        trained=count_parameters(model).trainable,
        validation=max(history.score),
        accuracy=evaluate(model, test).accuracy,
    )
    for size in BATCHES if strategy == MOVED else ():
        moved = copy.deepcopy(model)
        move_statistics(moved, train, size)
        row[f"after batches of {size}"] = evaluate(moved, test).accuracy
    return row


def chosen(runs: Sequence[Row], strategy: str) -> list[Row]:
    """One run a seed: that of the learning rate with the best validation accuracy. `runs` are those
    of data/studies/freezing.json and of data/studies/tuning_curve.json together."""
    if strategy in IN_TUNING_CURVE:
        mine = [r for r in runs if r.get("method") == IN_TUNING_CURVE[strategy]]
    else:
        mine = [r for r in runs if r.get("strategy") == strategy]
    return [
        max((r for r in mine if r["seed"] == seed), key=lambda r: r["validation"])
        for seed in sorted({r["seed"] for r in mine})
    ]


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for strategy, rates in MEASURED.items():
        for seed, rate in product(seeds, rates):
            yield dict(strategy=strategy, rate=rate, seed=seed)


STUDY = Study(
    measures="lesson 09: accuracy after tuning with a part of a model frozen",
    takes="six minutes",
    columns={"strategy": (*STRATEGIES, RANDOM, MOVED), "rate": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

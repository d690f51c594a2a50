"""Few answers and many pictures without: FixMatch. For lesson 12.

    python -m course_utils.studies semi_supervised

tunes the pretrained joint model of the world on 5 % of the answers, with and without the questions
whose answers are hidden, and writes data/studies/semi_supervised.json.

All runs make equally many updates in the same loop, and look at validation equally often: training
on the labelled part alone is FixMatch with weight 0. The learning rate is chosen on validation at
the first seed, for each method but those of ONE_RATE. Batch normalisation keeps the statistics of
pretraining: else perturbed pictures would move them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from course_utils.datasets import loader
from course_utils.datasets.files import data_path
from course_utils.datasets.world_vqa import answered
from course_utils.evaluation.evaluate import evaluate, predict_logits
from course_utils.methods.answering import base_model
from course_utils.methods.semi_supervised import (
    FixMatch,
    FixMatchConfig,
    harmful_view,
    kept_wrong,
    look,
    strong_view,
)
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import FitConfig, fit
from course_utils.training.freezing import freeze_statistics

SCENES = 2000  # pictures to learn from, each with four questions
SHARE = 0.05  # of the pictures whose questions are answered
UPDATES = 400
IMAGES_PER_BATCH = 16  # of the labelled part, and as many of the other
LOOKS = (100, 200, 300, 400)  # updates after which pseudo-labels are looked at
EARLY = 200  # the look after which wrong pseudo-labels are followed to the end
THRESHOLDS = (0.0, 0.5, 0.7, 0.9, 0.95, 0.99)  # at which the last pseudo-labels are looked at
RATES = (1e-3, 3e-3)
ALL_LABELS = "all labels"  # the upper end: every answer is known
# As many answers as 5 % and validation have together, all of them learnt: nothing is chosen
TWICE = "10 %, no validation"
TRUTH = "FixMatch 0.95, the truth on what is let in"  # is it the wrong pseudo-labels?
ONE_RATE = ("FixMatch 0.95, colours mixed", TWICE, TRUTH, ALL_LABELS)  # the first only
SEEDS = (0, 1, 2)
TWO_SEEDS = (TWICE,)  # at the first two only

METHODS = {
    "5 %, pictures as they are": FixMatchConfig(weight=0, labelled_view=None),
    "5 %, weak views": FixMatchConfig(weight=0),
    "5 %, strong views": FixMatchConfig(weight=0, labelled_view=strong_view),
    "FixMatch, threshold 0": FixMatchConfig(threshold=0.0),
    "FixMatch, threshold 0.7": FixMatchConfig(threshold=0.7),
    "FixMatch, threshold 0.95": FixMatchConfig(threshold=0.95),
    "FixMatch 0.95, colours mixed": FixMatchConfig(threshold=0.95, view=harmful_view),
    TRUTH: FixMatchConfig(threshold=0.95, truth=True),
    TWICE: FixMatchConfig(weight=0, labelled_view=None),
    ALL_LABELS: FixMatchConfig(weight=0),
}


def run(method: str, rate: float, seed: int, updates: int = UPDATES) -> Row:
    """Validation and test accuracy of one method, and what became of its pseudo-labels."""
    config = METHODS[method]
    train, validation = answered("train", SCENES, 100 + seed), answered("validation", 100)
    hidden, shown = train.split_by_image(SHARE, seed)
    weights = data_path("checkpoints/world_pretrained.safetensors")
    model = base_model(len(train.answers), weights, seed)
    freeze_statistics(model)
    labelled = train if method == ALL_LABELS else shown
    if method == TWICE:
        labelled = train.split_by_image(2 * SHARE, seed)[1]  # with all of `shown`
    objective = FixMatch(loader(labelled, IMAGES_PER_BATCH, seed), config, seed)
    some = hidden.select(hidden.image_index < 200)
    threshold = config.threshold if config.weight else 0.95
    seen: dict[int, Tensor] = {}

    def after_update(step: int) -> None:
        if step + 1 in LOOKS:
            seen[step + 1] = predict_logits(model, some)  # (examples, answers)

    # without answers: `y` is blanked, so that nothing can read it by mistake
    blank = hidden if config.truth else replace(hidden, y=torch.zeros_like(hidden.y))
    batches = loader(blank, IMAGES_PER_BATCH, seed)
    training = FitConfig(epochs=-(-updates // len(batches)), lr=rate, warmup=0.3, max_steps=updates)
    history = fit(
        model,
        objective,
        batches,
        None if method == TWICE else lambda m: evaluate(m, validation).accuracy,
        training,
        device="cpu",
        progress=False,
        after_update=after_update,
    )
    found = evaluate(model, answered("test", 500))
    row = dict(
        method=method,
        rate=rate,
        seed=seed,
        validation=max(history.score, default=None),
        accuracy=found.accuracy,
        by_family=found.by_family,
        labels=len(labelled),
        looks={str(n): look(z, some.y, threshold) for n, z in seen.items()},
    )
    if EARLY in seen:
        first, last = seen[EARLY], seen[max(seen)]
        row |= dict(
            kept=kept_wrong(first, last, some.y, threshold),
            kept_of_all=kept_wrong(first, last, some.y, 0.0),
            at_last={str(t): look(last, some.y, t) for t in THRESHOLDS},
        )
    return row


def best_rate(runs: Sequence[Row], method: str) -> float:
    """The learning rate with the best validation accuracy at the first seed.

    Raises:
        ValueError: no run of the method at that seed.
    """
    mine = [r for r in runs if r["method"] == method and r["seed"] == SEEDS[0]]
    if not mine:
        raise ValueError(f"expected runs of {method!r} at seed {SEEDS[0]}, but there are none")
    return max(mine, key=lambda r: r["validation"])["rate"]


def chosen(runs: Sequence[Row], method: str) -> list[Row]:
    """The runs at the best rate, one a seed."""
    rate = best_rate(runs, method)
    return sorted(
        (r for r in runs if r["method"] == method and r["rate"] == rate), key=lambda r: r["seed"]
    )


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    """Every rate at the first seed, the best one at the others."""
    for seed, method in product(seeds, METHODS):
        if method in TWO_SEEDS and seed not in SEEDS[:2]:
            continue
        first = RATES[:1] if method in ONE_RATE else RATES
        for rate in first if seed == SEEDS[0] else [best_rate(rows, method)]:
            yield dict(method=method, rate=rate, seed=seed)


STUDY = Study(
    measures="lesson 12: FixMatch on 5 % of the answers, against these alone and all",
    takes="a quarter of an hour",
    columns={"method": METHODS, "rate": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

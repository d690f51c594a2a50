"""One family of questions after the other: what is forgotten, and what helps. For lesson 12.

    python -m course_utils.studies continual

tunes the pretrained joint model of the world on four families of questions in turn, and writes
data/studies/continual.json.

Every method makes equally many updates and has two settings; the one with the better validation
accuracy over all families at the first seed is used at all. (Nobody who meets the families one
after the other could choose so. It is the same for all methods, and flatters all of them.) The last
weights of each stage are kept. Batch normalisation keeps the statistics of pretraining.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import torch

from course_utils.datasets import loader
from course_utils.datasets.files import data_path
from course_utils.datasets.world_vqa import WORLD_FAMILIES, answered
from course_utils.evaluation.evaluate import predict_logits
from course_utils.methods.answering import base_model
from course_utils.methods.continual import Learner, LearnerConfig, own_answers, scores
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import FitConfig, fit
from course_utils.training.freezing import freeze_statistics

SCENES = 1200  # pictures to learn from; each family asks about most of them
UPDATES = 120  # a stage
IMAGES_PER_BATCH = 16  # of a stage, where a picture has one question or two
MEMORY = 0.05  # share of the pictures of a stage that replay keeps
MEMORY_PER_BATCH = 16  # kept pictures in an update
FISHER_EXAMPLES = 200
SEEDS = (0, 1, 2)
RATES = ((1e-3, 0.0), (3e-3, 0.0))
TRIES = {  # (learning rate, strength of the penalty)
    "naive": RATES,
    "replay": RATES,
    "EWC": ((1e-3, 1e3), (1e-3, 1e4)),
    "distillation": ((1e-3, 1.0), (1e-3, 3.0)),
    "joint": RATES,
}


def run(method: str, rate: float, strength: float, seed: int) -> Row:
    """Accuracy on every family after every stage; joint training has one stage."""
    train, validation = answered("train", SCENES, 100 + seed), answered("validation", 200)
    test, own = answered("test", 500), own_answers(train, WORLD_FAMILIES)
    weights = data_path("checkpoints/world_pretrained.safetensors")
    model = base_model(len(train.answers), weights, seed)
    freeze_statistics(model)
    how = LearnerConfig(method, strength, MEMORY, MEMORY_PER_BATCH, FISHER_EXAMPLES)
    learner = Learner(how, model, seed)
    stages = [(train.family == train.families.index(f)).nonzero()[:, 0] for f in WORLD_FAMILIES]
    updates, images = UPDATES, IMAGES_PER_BATCH
    if method == "joint":  # all questions of a picture at once: a quarter of the pictures
        stages, updates, images = [torch.arange(len(train))], 4 * UPDATES, IMAGES_PER_BATCH // 4
    matrix, among = [], []
    for rows in stages:
        batches = loader(train.select(rows), images, seed)
        config = FitConfig(
            epochs=-(-updates // len(batches)), lr=rate, warmup=0.1, max_steps=updates
        )
        fit(model, learner.objective(train), batches, config=config, device="cpu", progress=False)
        learner.remember(train, rows)
        free, restricted = scores(predict_logits(model, test), test, own)
        matrix.append(free)
        among.append(restricted)
    chosen_by, _ = scores(predict_logits(model, validation), validation, own)
    return dict(
        method=method,
        rate=rate,
        strength=strength,
        seed=seed,
        validation=sum(chosen_by) / len(chosen_by),
        matrix=matrix,
        among=among,
    )


def best_setting(runs: Sequence[Row], method: str) -> tuple[float, float]:
    """Rate and strength with the best validation accuracy at the first seed.

    Raises:
        ValueError: no run of the method at that seed.
    """
    mine = [r for r in runs if r["method"] == method and r["seed"] == SEEDS[0]]
    if not mine:
        raise ValueError(f"expected runs of {method!r} at seed {SEEDS[0]}, but there are none")
    best = max(mine, key=lambda r: r["validation"])
    return best["rate"], best["strength"]


def chosen(runs: Sequence[Row], method: str) -> list[Row]:
    """The runs of the best setting, one a seed."""
    best = best_setting(runs, method)
    return sorted(
        (r for r in runs if r["method"] == method and (r["rate"], r["strength"]) == best),
        key=lambda r: r["seed"],
    )


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    """Both settings of each method at the first seed, the better one at the others."""
    for seed, (method, tries) in product(seeds, TRIES.items()):
        for rate, strength in tries if seed == SEEDS[0] else [best_setting(rows, method)]:
            yield dict(method=method, rate=rate, strength=strength, seed=seed)


STUDY = Study(
    measures="lesson 12: four families learnt in turn by five methods, and what is forgotten",
    takes="a quarter of an hour",
    columns={"method": TRIES, "rate": None, "strength": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

"""What an accuracy on data like the training data doesn't tell. For lesson 10.

    python -m course_utils.studies generalisation

trains the cross-attention model of lesson 05 and writes data/studies/generalisation.json.

"pairs K": K of the 32 combinations of colour and shape occur in no training picture and no training
question; test questions about these combinations are scored apart from those about others. "prior":
the answers of a question are skewed one way in training and validation, and the other way in test.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import torch

from course_utils.datasets import VQAData, load_world, loader
from course_utils.datasets.combinations import (
    asked_pairs,
    held_out,
    new_and_seen,
    scene_pairs,
    without,
)
from course_utils.datasets.world_vqa import WORLD_FAMILIES
from course_utils.evaluation.baselines import mode_per_question
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.answering import world_model
from course_utils.models.vqa import VQAModel
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import FitConfig, fit
from course_utils.training.objective import answer_objective
from course_utils.world import generate

HELD = (0, 2, 8, 16)  # how many of the combinations are held out
SETTINGS = (*(f"pairs {count}" for count in HELD), "prior")
SEEDS = (0, 1, 2)
SCENES = 4000  # that are trained on
FIT = FitConfig(epochs=8, lr=1e-3, warmup=0.3)
IMAGES_PER_BATCH = 16


def train(data: VQAData, seed: int) -> VQAModel:
    """The cross-attention model of lesson 05, trained on `data`; the last weights are kept."""
    torch.manual_seed(seed)
    model = world_model(data, "cross")
    fit(
        model,
        answer_objective,
        loader(data, IMAGES_PER_BATCH, seed=seed),
        config=FIT,
        device="cpu",
        progress=False,
    )
    return model


def chance_of_new(counts: Sequence[int] = HELD[1:], scenes: int = 2000) -> dict[int, list[float]]:
    """What a guess gets on the new questions that knows only which kind of answer fits: one of two
    for "is there", of eight colours, of four shapes. One share a seed, for each number held out."""
    world = generate("iid", "test", scenes, 4, WORLD_FAMILIES)
    asked, found = asked_pairs(world), {}
    for count in counts:
        sets = [held_out(count, seed) for seed in SEEDS]
        found[count] = [
            float(world.chance[[bool(about & pairs) for about in asked]].mean()) for pairs in sets
        ]
    return found


def objects_left(counts: Sequence[int] = HELD, scenes: int = 3000) -> dict[int, float]:
    """How many objects a training picture has on average that has none of the held-out
    combinations; for those of seed 0. A picture with many objects is more likely to have one."""
    world = generate("iid", "train", scenes, 4, WORLD_FAMILIES)
    there, objects = scene_pairs(world), (world.scenes.shape >= 0).sum(1)  # (scenes,)
    sets = {count: held_out(count, 0) for count in counts}
    return {
        count: float(objects[[not pairs & held for pairs in there]].mean())
        for count, held in sets.items()
    }


def run_pairs(count: int, seed: int) -> list[Row]:
    """Right answers of one training, and of the best blind guess, on each part of the test."""
    pairs = held_out(count, seed)
    data = without(pairs, SCENES, seed)
    return scored(f"pairs {count}", seed, data, train(data, seed), new_and_seen(pairs))


def run_prior(seed: int) -> list[Row]:
    """The same with a changed prior: "validation" has the prior of training, "test" the other."""
    data = load_world("prior", "train", SCENES, 4, WORLD_FAMILIES, seed)
    parts = {
        part: load_world("prior", part, 1000, 4, WORLD_FAMILIES) for part in ("validation", "test")
    }
    return scored("prior", seed, data, train(data, seed), parts)


def scored(setting: str, seed: int, data: VQAData, model: VQAModel, parts: dict) -> list[Row]:
    """A row for each part: how many questions, and how many right answers, also of the blind."""
    rows = []
    for part, test in parts.items():
        found, blind = evaluate(model, test), mode_per_question(data, test)
        rows.append(
            dict(
                setting=setting,
                seed=seed,
                part=part,
                questions=len(test),
                right=int(found.right.sum()),
                blind=int(blind.right.sum()),
            )
        )
    return rows


def run(setting: str, seed: int) -> list[Row]:
    """The rows of one training."""
    return run_prior(seed) if setting == "prior" else run_pairs(int(setting.split()[1]), seed)


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed, setting in product(seeds, SETTINGS):
        yield dict(setting=setting, seed=seed)


STUDY = Study(
    measures="lesson 10: held-out combinations of colour and shape, and a changed prior",
    takes="twenty minutes",
    columns={"seed": None, "setting": SETTINGS},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

"""Incoming data that change at an unknown time: noticing it without answers. For lesson 12.

    python -m course_utils.studies drift

lets the joint models of lesson 05 answer a stream of questions that changes half-way, watches it
with five detectors, repairs the model without answers and with a few bought ones, and writes
data/studies/drift.json.

A detector sees a number for each batch, and never an answer. It is set on validation
pictures, where nothing has changed; how often it rings for nothing is measured on test pictures.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from course_utils.datasets import VQAData, load_world, perturb
from course_utils.datasets.files import data_path
from course_utils.datasets.world_vqa import world_data
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.answering import world_model
from course_utils.methods.detectors import rung
from course_utils.methods.drift import Watch, new_statistics, retune, watches
from course_utils.models.vqa import VQAModel
from course_utils.models.weights import load_weights
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.freezing import freeze_statistics

PICTURES = 600  # from which streams are drawn, other ones for each seed
TESTED = 250  # of them, on which accuracy is measured
BEFORE, AFTER = 30, 50  # batches before and after the change
STREAMS = 2000
VALIDATION = 1200  # half of them standardise, half set the threshold
BOUGHT = 40  # pictures whose questions are answered by people after an alarm
UPDATES = 240  # of tuning on them, after which their answers are learnt
IMAGES_PER_BATCH = 8
SEEDS = (0, 1, 2)  # of the models of lesson 05


# What changes


def change_pictures(data: VQAData, change: Callable[[Tensor], Tensor]) -> VQAData:
    """`data` with other pictures; `change` gets and gives values in [0, 1]."""
    return replace(data, images=(change(data.images.float() / 255) * 255).round().to(torch.uint8))


def nothing(part: str, scenes: int, seed: int) -> VQAData:
    return world_data(part, scenes, seed)


def noisy_camera(part: str, scenes: int, seed: int) -> VQAData:
    generator = torch.Generator().manual_seed(seed)
    return change_pictures(nothing(part, scenes, seed), lambda v: perturb.noise(v, 0.15, generator))


def dim_light(part: str, scenes: int, seed: int) -> VQAData:
    return change_pictures(nothing(part, scenes, seed), lambda v: 0.5 * v)


def another_family(part: str, scenes: int, seed: int) -> VQAData:
    """Questions such as "is there no red circle?", which the model has never been asked."""
    return load_world("iid", part, scenes, 4, ("negation",), seed)


def another_meaning(part: str, scenes: int, seed: int) -> VQAData:
    """The same pictures and questions, but who writes the answers now says "yes" to "is there a
    ...?" where something is missing. No input tells."""
    data = nothing(part, scenes, seed)
    turned = data.family == data.families.index("exists")  # (examples,)
    return replace(data, y=torch.where(turned, 1 - data.y, data.y))  # "no" is 0, "yes" is 1


CHANGES = {
    "nothing": nothing,
    "noisy camera": noisy_camera,
    "dim light": dim_light,
    "another family": another_family,
    "another meaning": another_meaning,
}


# How a model is repaired: its questions answered, and with old ones beside them. Where the meaning
# has changed, old answers contradict the new ones
TUNED = {
    "noisy camera": ("answers, replay",),
    "dim light": ("answers, replay",),
    "another family": ("answers", "answers, replay"),
    "another meaning": ("answers",),
}


# A run


def deployed(seed: int, folder: Path) -> VQAModel:
    """A joint model of lesson 05."""
    model = world_model(nothing("validation", 64, 0), "joint")
    load_weights(model, folder / f"world_joint_{seed}.safetensors")
    freeze_statistics(model)
    return model


SIDES = {
    "doubt, one side": ("doubt", False),
    "doubt, both sides": ("doubt", True),
    "pixels": ("pixels", False),
    "probabilities": ("probabilities", False),
    "shift of h": ("shift of h", False),
}


@cache
def watched(seed: int, folder: Path) -> tuple[VQAModel, dict[str, Watch], dict[str, Tensor]]:
    """A deployed model, what is watched, and its values on test pictures before any change."""
    model, test = deployed(seed, folder), nothing("test", PICTURES, seed)
    found = watches(model, nothing("validation", VALIDATION, seed), BEFORE + AFTER, STREAMS)
    return model, found, {name: w.values(test) for name, w in found.items()}


def detect(change: str, seed: int, folder: Path) -> Row:
    """When and how often each detector rings."""
    _, found, usual = watched(seed, folder)
    data, row = CHANGES[change]("test", PICTURES, 10 + seed), {}
    unusual = {name: w.values(data) for name, w in found.items()}
    for detector, (name, both) in SIDES.items():
        w = found[name]
        row[detector] = rung(
            w.detector(both),
            w.stream(usual[name], BEFORE, 2 * seed + 1),
            w.stream(unusual[name], AFTER, 2 * seed + 2),
        )
    return row


def repair(change: str, seed: int, folder: Path) -> Row:
    """Accuracy on data from before and after the change, and on the bought answers (`own`), of the
    model as it was and repaired. Statistics come from the pictures of the bought questions."""
    model, make = watched(seed, folder)[0], CHANGES[change]
    parts = dict(before=nothing("test", TESTED, seed), after=make("test", PICTURES, 10 + seed))
    parts["after"] = parts["after"].select(parts["after"].image_index < TESTED)
    bought, memory = make("train", BOUGHT, 200 + seed), world_data("train", 400)
    parts["own"] = bought
    models = {"as it was": model, "new statistics": new_statistics(model, bought.images)}
    for name in TUNED.get(change, ()):
        old = memory if name == "answers, replay" else None
        models[name] = retune(model, bought, old, UPDATES, IMAGES_PER_BATCH, seed)
    return dict(
        labels=len(bought),
        accuracy={
            name: {part: evaluate(m, data).accuracy for part, data in parts.items()}
            for name, m in models.items()
        },
    )


def run(change: str, seed: int) -> Row:
    """Detection and repair of one change."""
    folder = data_path("checkpoints")
    found = detect(change, seed, folder) | repair(change, seed, folder)
    return dict(change=change, seed=seed) | found


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed, change in product(seeds, CHANGES):
        yield dict(change=change, seed=seed)


STUDY = Study(
    measures="lesson 12: changed data: how soon detectors ring, and tuning on a few bought answers",
    takes="ten minutes",
    columns={"change": CHANGES, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

"""Incoming data that change at an unknown time: noticing it without answers. For lesson 11.

    python -m course_utils.studies drift

lets the joint models of lesson 04 answer a stream of questions that changes half-way, watches it
with two detectors, tunes on a few bought answers when one rings, and writes data/studies/drift.json. Runs
that the file holds already are not repeated. It takes a few minutes on one CPU core.

A detector sees a number for each batch, and never an answer. It is set on validation
pictures, where nothing has changed; how often it rings for nothing is measured on test pictures.
"""

import argparse
import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_utils.datasets import VQAData, load_world, loader, perturb
from course_utils.evaluation.evaluate import predict_logits
from course_utils.methods.detectors import (
    Detector,
    calibrate,
    draw_batches,
    mean_doubt,
    rung,
    shift,
)
from course_utils.models.vqa import VQAModel
from course_utils.studies.continual import with_memory
from course_utils.studies.recipes import (
    WORLD_FAMILIES,
    answer_objective,
    load_weights,
    world_data,
    world_model,
)
from course_utils.studies.runs import read_runs, write_runs
from course_utils.studies.semi_supervised import freeze_statistics
from course_utils.training.fit import FitConfig, fit

PICTURES = 600  # from which streams are drawn, other ones for each seed
TESTED = 250  # of them, on which accuracy is measured
BEFORE, AFTER = 30, 50  # batches before and after the change
STREAMS = 2000
BOUGHT = 40  # pictures whose questions are answered by people after an alarm
UPDATES = 80  # of tuning on them
IMAGES_PER_BATCH = 8
SEEDS = (0, 1, 2)  # of the models of lesson 04
COMMAND = "python -m course_utils.studies drift"


# What is watched: of a batch, without its answers


def per_picture(
    values: Float[Tensor, "examples dim"], data: VQAData
) -> Float[Tensor, "pictures dim"]:
    """The mean over the questions of each picture."""
    sums = torch.zeros(len(data.images), values.shape[1]).index_add_(0, data.image_index, values)
    counts = torch.bincount(data.image_index, minlength=len(data.images))  # (pictures,)
    return sums / counts[:, None]


def doubt(model: VQAModel, data: VQAData) -> Float[Tensor, "pictures 1"]:
    """1 - the probability of the likeliest answer."""
    confidence = predict_logits(model, data).softmax(-1).max(-1, keepdim=True).values
    return per_picture(1 - confidence, data)


@torch.no_grad()
def representations(model: VQAModel, data: VQAData) -> Float[Tensor, "examples dim"]:
    """What the head reads of h, in the order of `data`."""
    head, model.head = model.head, nn.Flatten()  # (batch, 1, dim) -> (batch, dim)
    try:
        return predict_logits(model, data)
    finally:
        model.head = head


def standardised_by(values: Float[Tensor, "pictures dim"]) -> Callable[[Tensor], Tensor]:
    """Takes from each dimension the mean that it has in `values`, in units of its deviation."""
    mean, std = values.mean(0), values.std(0)  # (dim,)
    return lambda other: (other - mean) / std


# What changes


def change_pictures(data: VQAData, change: Callable[[Tensor], Tensor]) -> VQAData:
    """`data` with other pictures; `change` gets and gives values in [0, 1]."""
    return replace(data, images=(change(data.images.float() / 255) * 255).round().to(torch.uint8))


def nothing(part: str, scenes: int, seed: int) -> VQAData:
    return load_world("iid", part, scenes, 4, WORLD_FAMILIES, seed)


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


# A run


def deployed(seed: int, folder: Path) -> VQAModel:
    """A joint model of lesson 04."""
    model = world_model(nothing("validation", 64, 0), "joint")
    load_weights(model, folder / f"world_joint_{seed}.safetensors")
    freeze_statistics(model)
    return model


@dataclass(frozen=True)
class Watch:
    """One quantity of a deployed model that is watched."""

    values: Callable[[VQAData], Tensor]  # data -> (pictures, dim), without the answers
    statistic: Callable[[Tensor], Tensor]  # (streams, batches, dim) -> (streams, batches)
    unchanged: Float[Tensor, "pictures dim"]  # of validation pictures

    def stream(self, values: Tensor, batches: int, seed: int, streams: int = STREAMS) -> Tensor:
        """What is seen of batches that are drawn from `values`: (streams, batches)."""
        return self.statistic(draw_batches(values, streams, batches, seed))

    def detector(self, both: bool = False) -> Detector:
        """Set on validation pictures, for streams as long as those that will come."""
        return calibrate(self.stream(self.unchanged, BEFORE + AFTER, 0), both)


def watches(model: VQAModel, validation: VQAData) -> dict[str, Watch]:
    """Doubt, and the shift of h."""
    plain = lambda data: per_picture(representations(model, data), data)  # noqa: E731
    h = plain(validation)  # (pictures, dim)
    scale = standardised_by(h)
    return {
        "doubt": Watch(lambda data: doubt(model, data), mean_doubt, doubt(model, validation)),
        "shift of h": Watch(lambda data: scale(plain(data)), shift, scale(h)),
    }


def accuracy(model: VQAModel, data: VQAData) -> float:
    return (predict_logits(model, data).argmax(1) == data.y).double().mean().item()


def retune(model: VQAModel, bought: VQAData, memory: VQAData | None, seed: int) -> VQAModel:
    """A copy, tuned on bought answers, with questions of `memory` beside them or without."""
    tuned, batches = copy.deepcopy(model), loader(bought, IMAGES_PER_BATCH, seed)
    freeze_statistics(tuned)
    objective = answer_objective if memory is None else with_memory(memory, seed, IMAGES_PER_BATCH)
    config = FitConfig(epochs=-(-UPDATES // len(batches)), lr=1e-3, max_steps=UPDATES)
    fit(tuned, objective, batches, config=config, device="cpu", progress=False)
    return tuned


SIDES = {
    "doubt, one side": ("doubt", False),
    "doubt, both sides": ("doubt", True),
    "shift of h": ("shift of h", False),
}


@cache
def watched(seed: int, folder: Path) -> tuple[VQAModel, dict[str, Watch], dict[str, Tensor]]:
    """A deployed model, what is watched, and its values on test pictures before any change."""
    model, test = deployed(seed, folder), nothing("test", PICTURES, seed)
    found = watches(model, nothing("validation", PICTURES, seed))
    return model, found, {name: w.values(test) for name, w in found.items()}


def detect(change: str, seed: int, folder: Path) -> dict:
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


def repair(change: str, seed: int, folder: Path) -> dict:
    """Accuracy on data from before and after the change, of the model as it was and tuned."""
    model, make = watched(seed, folder)[0], CHANGES[change]
    parts = dict(before=nothing("test", TESTED, seed), after=make("test", PICTURES, 10 + seed))
    parts["after"] = parts["after"].select(parts["after"].image_index < TESTED)
    bought, memory = make("train", BOUGHT, 200 + seed), world_data("train", 400)
    models = {
        "as it was": model,
        "tuned": retune(model, bought, None, seed),
        "tuned with replay": retune(model, bought, memory, seed),
    }
    return dict(
        labels=len(bought),
        accuracy={
            name: {part: accuracy(m, data) for part, data in parts.items()}
            for name, m in models.items()
        },
    )


def run(change: str, seed: int, folder: Path) -> dict:
    """Detection and repair of one change."""
    return (
        dict(change=change, seed=seed) | detect(change, seed, folder) | repair(change, seed, folder)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("data/studies/drift.json"))
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found, order = read_runs(options.out), list(CHANGES)
    done = {(r["change"], r["seed"]) for r in found}
    for seed, change in product(options.seeds, CHANGES):
        if (change, seed) not in done:
            new = run(change, seed, Path("data/checkpoints"))
            found.append(new)
            found.sort(key=lambda r: (order.index(r["change"]), r["seed"]))
            write_runs(options.out, found, COMMAND)
            print(new, flush=True)


if __name__ == "__main__":
    main()

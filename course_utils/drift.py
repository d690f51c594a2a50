"""Incoming data that change at an unknown time: noticing it without answers. For lesson 11.

    python -m course_utils.drift

lets the joint models of lesson 04 answer a stream of questions that changes half-way, watches it
with two detectors, tunes on a few bought answers when one rings, and writes data/drift.json. Runs
that the file holds already are not repeated. It takes a few minutes on one CPU core.

A detector sees a number for each picture of a batch, and never an answer. It is set on validation
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
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_utils import perturb
from course_utils.continual import with_memory
from course_utils.datasets import VQAData, load_world, loader
from course_utils.evaluation import predict_logits
from course_utils.models.vqa import VQAModel
from course_utils.recipes import (
    WORLD_FAMILIES,
    answer_objective,
    load_weights,
    world_data,
    world_model,
)
from course_utils.runs import read_runs, write_runs
from course_utils.semi_supervised import freeze_statistics
from course_utils.training import FitConfig, fit

PICTURES = 300  # from which streams are drawn
PER_BATCH = 8  # pictures in an incoming batch, with four questions each
BEFORE, AFTER = 30, 50  # batches before and after the change
STREAMS = 2000
RINGS = 0.05  # share of unchanged streams in which a detector may ring
BOUGHT = 40  # pictures whose questions are answered by people after an alarm
UPDATES = 120  # of tuning on them
IMAGES_PER_BATCH = 8
SEEDS = (0, 1, 2)  # of the models of lesson 04
COMMAND = "python -m course_utils.drift"


# A detector: CUSUM


def cusum(z: Float[Tensor, "streams batches"], slack: float) -> Float[Tensor, "streams batches"]:
    """S_t = max(0, S_(t-1) + z_t - slack), S_0 = 0: how much more than `slack` above its mean z has
    been, summed since it was last at 0 (Page 1954).

    Args:
        z: what is watched, standardised on unchanged data; larger is more suspicious.

    Raises:
        ValueError: z isn't (streams, batches).
    """
    if z.ndim != 2:
        raise ValueError(f"z: expected (streams, batches), got {tuple(z.shape)}")
    total, found = z.new_zeros(len(z)), []
    for column in z.T:  # (streams,)
        total = (total + column - slack).clamp(min=0)
        found.append(total)
    return torch.stack(found, dim=1)  # (streams, batches)


def first_alarm(above: Bool[Tensor, "streams batches"]) -> Int[Tensor, " streams"]:
    """The first batch, from 0, in which a stream's alarm rings; the number of batches if never."""
    times = torch.arange(above.shape[1])  # (batches,)
    return torch.where(above, times, above.shape[1]).min(1).values  # (streams,)


@dataclass(frozen=True)
class Detector:
    """CUSUM on the mean of a batch."""

    mean: float  # of a batch, where nothing has changed
    std: float  # of a batch, likewise
    threshold: float  # rings above it
    both: bool = False  # whether it also watches for numbers that are too small
    slack: float = 0.5  # half of the change, in std, that is to be noticed

    def level(self, batches: Float[Tensor, "streams batches"]) -> Tensor:
        """What is compared with the threshold: (streams, batches)."""
        z = (batches - self.mean) / self.std  # (streams, batches)
        up = cusum(z, self.slack)  # (streams, batches)
        return torch.maximum(up, cusum(-z, self.slack)) if self.both else up

    def __call__(self, batches: Float[Tensor, "streams batches"]) -> Tensor:
        """Where the alarm rings: (streams, batches) bool."""
        return self.level(batches) > self.threshold


def draw_streams(
    scores: Float[Tensor, " pictures"], streams: int, batches: int, seed: int
) -> Float[Tensor, "streams batches"]:
    """Means of batches of PER_BATCH pictures, drawn with replacement."""
    generator = torch.Generator().manual_seed(seed)
    size = (streams, batches, PER_BATCH)
    return scores[torch.randint(len(scores), size, generator=generator)].mean(-1)


def calibrate(
    scores: Float[Tensor, " pictures"], both: bool = False, rings: float = RINGS, seed: int = 0
) -> Detector:
    """The detector that rings in a share `rings` of streams of unchanged data, as long as those
    that it will watch.

    Raises:
        ValueError: scores that don't differ, or a share outside (0, 1).
    """
    if not 0 < rings < 1:
        raise ValueError(f"rings: expected a share between 0 and 1, got {rings}")
    if len(scores) < 2 or not scores.std() > 0:
        raise ValueError("scores: expected two or more that differ")
    std = (scores.std() / PER_BATCH**0.5).item()
    batches = draw_streams(scores, STREAMS, BEFORE + AFTER, seed)  # (streams, batches)
    detector = Detector(scores.mean().item(), std, 0.0, both)
    highest = detector.level(batches).max(1).values  # (streams,)
    return replace(detector, threshold=highest.quantile(1 - rings).item())


# What is watched: a number a picture, without its answers


def per_picture(values: Float[Tensor, " examples"], data: VQAData) -> Float[Tensor, " pictures"]:
    """The mean over the questions of each picture."""
    sums = torch.zeros(len(data.images)).index_add_(0, data.image_index, values.float())
    return sums / torch.bincount(data.image_index, minlength=len(data.images))  # (pictures,)


def doubt(model: VQAModel, data: VQAData) -> Float[Tensor, " pictures"]:
    """1 - the probability of the likeliest answer."""
    return per_picture(1 - predict_logits(model, data).softmax(-1).max(-1).values, data)


@torch.no_grad()
def representations(model: VQAModel, data: VQAData) -> Float[Tensor, "examples dim"]:
    """What the head reads of h, in the order of `data`."""
    head, model.head = model.head, nn.Flatten()  # (batch, 1, dim) -> (batch, dim)
    try:
        return predict_logits(model, data)
    finally:
        model.head = head


def distance_from(reference: Float[Tensor, "n dim"]) -> Callable[[VQAModel, VQAData], Tensor]:
    """(model, data) -> squared distance of h from the mean of `reference`, each dimension in units
    of its standard deviation there; a mean over dimensions."""
    mean, std = reference.mean(0), reference.std(0)  # (dim,)
    return lambda model, data: per_picture(
        ((representations(model, data) - mean) / std).square().mean(1), data)  # fmt: skip


# What changes


def change_pictures(data: VQAData, change: Callable[[Tensor], Tensor]) -> VQAData:
    """`data` with other pictures; `change` gets and gives values in [0, 1]."""
    return replace(data, images=(change(data.images.float() / 255) * 255).round().to(torch.uint8))


def nothing(part: str, scenes: int, seed: int) -> VQAData:
    return load_world("iid", part, scenes, 4, WORLD_FAMILIES, seed)


def noisy_camera(part: str, scenes: int, seed: int) -> VQAData:
    generator = torch.Generator().manual_seed(seed)
    return change_pictures(nothing(part, scenes, seed),
                           lambda v: perturb.noise(v, 0.15, generator))  # fmt: skip


def dim_light(part: str, scenes: int, seed: int) -> VQAData:
    return change_pictures(nothing(part, scenes, seed), lambda v: 0.5 * v)


def another_family(part: str, scenes: int, seed: int) -> VQAData:
    """Questions such as "is there no red circle?", which the model has never been asked."""
    return load_world("iid", part, scenes, 4, ("negation",), seed)


def another_prior(part: str, scenes: int, seed: int) -> VQAData:
    """Some answers are asked for more often than others."""
    return load_world("prior", part, scenes, 4, WORLD_FAMILIES, seed)


def another_meaning(part: str, scenes: int, seed: int) -> VQAData:
    """The same pictures and questions, but who writes the answers now says "yes" to "is there a
    ...?" where something is missing. No input tells."""
    data = nothing(part, scenes, seed)
    turned = data.family == data.families.index("exists")  # (examples,)
    return replace(data, y=torch.where(turned, 1 - data.y, data.y))  # "no" is 0, "yes" is 1


CHANGES = {
    "nothing": nothing, "noisy camera": noisy_camera, "dim light": dim_light,
    "another family": another_family, "another prior": another_prior,
    "another meaning": another_meaning,
}  # fmt: skip


# A run


def deployed(seed: int, folder: Path) -> VQAModel:
    """A joint model of lesson 04."""
    model = world_model(nothing("validation", 64, 0), "joint")
    load_weights(model, folder / f"world_joint_{seed}.safetensors")
    freeze_statistics(model)
    return model


def quantities(model: VQAModel, unchanged: VQAData) -> dict[str, Callable]:
    """What can be watched: functions (model, data) -> a score a picture."""
    return {"doubt": doubt, "distance of h": distance_from(representations(model, unchanged))}


def watch(detector: Detector, before: Tensor, after: Tensor, seed: int) -> dict:
    """Many streams that change after BEFORE batches: in which share of them the detector rang too
    early, and of the others the share in which it never rang, and the median delay in batches
    (None if it rang in fewer than half). `before` and `after` are scores a picture."""
    batches = torch.cat([draw_streams(before, STREAMS, BEFORE, 2 * seed + 1),
                         draw_streams(after, STREAMS, AFTER, 2 * seed + 2)], dim=1)  # fmt: skip
    first = first_alarm(detector(batches))  # (streams,)
    late = first[first >= BEFORE]
    delay = late - BEFORE + 1  # 1: in the first changed batch
    missed = (delay > AFTER).double().mean().item()
    return dict(early=1 - len(late) / STREAMS, missed=missed,
                delay=None if missed > 0.5 else delay.median().item())  # fmt: skip


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


@cache
def unchanged_scores(seed: int, folder: Path) -> tuple[VQAModel, dict]:
    """A deployed model, and for each quantity its function, and its scores on validation and test
    pictures where nothing has changed."""
    model, validation = deployed(seed, folder), nothing("validation", PICTURES, 0)
    test = nothing("test", PICTURES, 0)
    return model, {name: (score, score(model, validation), score(model, test))
                   for name, score in quantities(model, validation).items()}  # fmt: skip


def run(change: str, seed: int, folder: Path) -> dict:
    """Detection and repair of one change."""
    (model, scores), make = unchanged_scores(seed, folder), CHANGES[change]
    before, after = nothing("test", PICTURES, 0), make("test", PICTURES, 1)
    row = dict(change=change, seed=seed)
    for name, (score, set_on, usual) in scores.items():
        unusual = score(model, after)  # (pictures,)
        row[name] = {sides: watch(calibrate(set_on, both), usual, unusual, seed)
                     for sides, both in (("one side", False), ("both sides", True))}  # fmt: skip
    bought, memory = make("train", BOUGHT, 200 + seed), world_data("train", 400)
    models = {"as it was": model, "tuned": retune(model, bought, None, seed),
              "tuned with replay": retune(model, bought, memory, seed)}  # fmt: skip
    row["labels"] = len(bought)
    row["accuracy"] = {name: dict(before=accuracy(m, before), after=accuracy(m, after))
                       for name, m in models.items()}  # fmt: skip
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("data/drift.json"))
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

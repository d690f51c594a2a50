"""Training on easy-VQA: time to an accuracy, waiting for data, and the rate of operations."""

import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.ideas import Vilt, easy_vqa
from bench.speed import GOAL, SpeedConfig, fast_model, learn, optimizers
from course_utils.datasets import VQAData, load_easy_vqa, loader
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.answering import easy_vqa_model
from course_utils.studies import recipes
from course_utils.training.fit import fit, make_optimizer
from course_utils.training.objective import answer_objective

Validate = Callable[[nn.Module], float]


class Reached(Exception):
    """Ends a training run: the validation score has reached the goal."""


@dataclass(frozen=True)
class Run:
    seconds: float  # of training and validation
    passes: int
    validation: float
    test: float


def today(train: VQAData, validate: Validate, seed: int, device: str) -> nn.Module:
    """Lesson 08's recipe; `validate` ends it."""
    return _by_fit(easy_vqa_model(train), train, validate, seed, device)


def vilt(train: VQAData, validate: Validate, seed: int, device: str) -> nn.Module:
    """The same recipe for transformers' ViltModel of the same size."""
    return _by_fit(Vilt(train), train, validate, seed, device)


def _by_fit(model, train, validate, seed, device) -> nn.Module:
    with contextlib.suppress(Reached):
        fit(
            model,
            answer_objective,
            loader(train, recipes.IMAGES_PER_BATCH, seed=seed),
            validate,
            recipes.EASY_VQA_FIT,
            device=device if device == "cpu" else None,
            progress=False,
        )
    return model


def fast(train: VQAData, validate: Validate, seed: int, device: str) -> nn.Module:
    """The recipe of bench/speed.py."""
    model, config = fast_model(train).to(device), SpeedConfig()
    with contextlib.suppress(Reached):
        learn(model, optimizers(model, config), train, validate, config, seed)
    return model


RECIPES = {"lesson 08": today, "fast": fast, "ViltModel": vilt}


def time_to_accuracy(recipe: str, seed: int = 0, device: str = "cpu", pictures: int = 0) -> Run:
    """Train until the validation accuracy reaches GOAL after a pass, or to the end; then test once.
    With `pictures`, on so many only."""
    train, validation, test = easy_vqa()
    if pictures:
        train = train.select(train.image_index < pictures)
    scores = []

    def validate(model) -> float:
        scores.append(evaluate(model, validation).accuracy)
        if scores[-1] >= GOAL:
            raise Reached
        return scores[-1]

    torch.manual_seed(seed)
    start = time.perf_counter()
    model = RECIPES[recipe](train, validate, seed, device)
    seconds = time.perf_counter() - start  # the last thing was a validation: the device has ended
    return Run(seconds, len(scores), scores[-1], evaluate(model, test).accuracy)


def waiting_for_data(threads: int, steps: int = 60) -> tuple[float, float, float]:
    """Share of a step spent waiting for its batch, median ms a step, GFLOP/s achieved."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    train = load_easy_vqa("train")
    model = easy_vqa_model(train).train()
    optimizer = make_optimizer(model, recipes.EASY_VQA_FIT)
    batches = iter(loader(train, recipes.IMAGES_PER_BATCH))
    waits, totals, rates = [], [], []
    for _ in range(steps):
        start = time.perf_counter()
        batch = next(batches)
        arrived = time.perf_counter()
        optimizer.zero_grad()
        answer_objective(model, batch).backward()
        optimizer.step()
        end = time.perf_counter()
        counter = FlopCounterMode(display=False)
        with counter:  # counted outside of the timing, on the same batch
            answer_objective(model, batch).backward()
        waits.append(arrived - start)
        totals.append(end - start)
        rates.append(counter.get_total_flops() / (end - start) / 1e9)
    share = sum(waits[3:]) / sum(totals[3:])
    return share, 1000 * statistics.median(totals[3:]), statistics.median(rates[3:])


def products_rate(threads: int, size: int = 1024) -> float:
    """GFLOP/s of float32 matrix products of this size: what the machine can do at best."""
    torch.set_num_threads(threads)
    a, b = torch.rand(2, size, size).unbind(0)
    times = []
    for _ in range(18):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(times[3:]) / 1e9

"""Training of lesson 07: time to an accuracy, waiting for data, and the rate of operations."""

import contextlib
import statistics
import time
from dataclasses import dataclass, replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from course_utils.datasets import load_easy_vqa, loader
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.answering import easy_vqa_model
from course_utils.studies import recipes
from course_utils.training.fit import fit, make_optimizer
from course_utils.training.objective import answer_objective

GOAL = 0.995


class Reached(Exception):
    """Ends a training run: the validation score has reached the goal."""


@dataclass(frozen=True)
class Run:
    seconds: float
    epochs: int
    validation: float
    test: float


def time_to_accuracy(threads: int, seed: int = 0) -> Run:
    """Train until the validation accuracy reaches GOAL after a pass; then test once."""
    torch.set_num_threads(threads)
    train_all = load_easy_vqa("train")
    test = load_easy_vqa("test", train_all.tokenizer, train_all.answers)
    train, validation = train_all.split_by_image(0.1, seed=0)
    torch.manual_seed(seed)
    model = easy_vqa_model(train)
    scores = []

    def validate(model) -> float:
        scores.append(evaluate(model, validation).accuracy)
        if scores[-1] >= GOAL:
            raise Reached
        return scores[-1]

    start = time.perf_counter()
    with contextlib.suppress(Reached):
        fit(
            model,
            answer_objective,
            loader(train, recipes.IMAGES_PER_BATCH, seed=seed),
            validate,
            replace(recipes.EASY_VQA_FIT),
            device="cpu",
            progress=False,
        )
    seconds = time.perf_counter() - start
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

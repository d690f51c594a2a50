"""Where the time of an update goes: reading, stem, encoder, head, clipping, optimiser."""

import itertools
import statistics
import time
from collections import defaultdict

import torch
from torch import nn

from bench.ideas import IDEAS, as_today, easy_vqa
from course_utils.datasets import loader
from course_utils.models.vqa import VQAModel
from course_utils.objectives.classification import cross_entropy

PARTS = ("reading", "stem", "encoder and head", "their gradients", "the stem's gradients")
PARTS += ("clipping", "optimiser")


def parts_of_an_update(ideas: tuple[str, ...], updates: int = 40) -> dict[str, dict[str, float]]:
    """For each idea and part the median milliseconds of processor time on one thread, taken in
    turns so that a busy moment hits all alike."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    train = easy_vqa()[0]
    batches = {
        name: itertools.cycle(loader(train, IDEAS[name].config.images_per_batch)) for name in ideas
    }
    models = {name: IDEAS[name].model(train).train() for name in ideas}
    steppers = {
        name: (IDEAS[name].optimizers or as_today)(model, IDEAS[name].config)
        for name, model in models.items()
    }
    times = {name: defaultdict(list) for name in ideas}
    for i, name in itertools.product(range(updates), ideas):
        marks = list(_update(models[name], steppers[name], batches[name]))
        for part, begin, end in zip(PARTS, marks, marks[1:]):
            if i > 2:  # the first ones warm up
                times[name][part].append(1000 * (end - begin))
    return {
        name: {part: statistics.median(values) for part, values in of_parts.items()}
        for name, of_parts in times.items()
    }


def _update(model: VQAModel, steppers: list, batches):
    """One update of a model cut into PARTS; the time before, between and after them."""
    yield time.thread_time()
    batch = next(batches)
    yield time.thread_time()
    v = model.stem(batch.images)  # (images, patches, dim)
    yield time.thread_time()
    cut = v.detach().requires_grad_()  # the gradient stops here, and is handed on below
    h = model.encoder(batch.x, cut[batch.image_index], batch.mask, keep=1)  # (batch, 1, dim)
    loss = cross_entropy(model.head(h), batch.y)
    yield time.thread_time()
    loss.backward()
    yield time.thread_time()
    v.backward(cut.grad)
    yield time.thread_time()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    yield time.thread_time()
    for stepper in steppers:
        stepper.step()
        stepper.zero_grad()
    yield time.thread_time()

"""Does a small network leave the language prior? Runs over seeds for lesson 01.

    python -m course_utils.studies prior_runs

trains the network that easy-VQA's author published, from two initialisations, and writes
data/studies/prior_runs.json: at five seeds with batches of whole pictures, and at the first one
with batches as the author formed them, which takes about five times as long.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, RandomSampler

from course_utils.datasets import VQAData, load_easy_vqa, loader
from course_utils.datasets.batch import set_epoch
from course_utils.evaluation.evaluate import evaluate
from course_utils.models.small import INITS, SmallNetwork
from course_utils.studies.runs import Row, Setting, Study

BATCHES = ("pictures", "questions")
EPOCHS = 8
SEEDS = (0, 1, 2, 3, 4)


def batched(data: VQAData, kind: str, seed: int) -> DataLoader:
    """Batches of 32 questions in random order, as the author has them ("questions"), or of three
    pictures with all their questions, about 29 ("pictures"), which encodes each picture once.

    Raises:
        ValueError: unknown kind.
    """
    if kind == "pictures":
        return loader(data, images_per_batch=3, seed=seed)
    if kind != "questions":
        raise ValueError(f"kind: expected one of {', '.join(BATCHES)}, got {kind!r}")
    order = RandomSampler(data, generator=torch.Generator().manual_seed(seed))
    return DataLoader(data, 32, sampler=order, collate_fn=lambda batch: batch)


def train(
    model: nn.Module, data: DataLoader, epochs: int, lr: float = 5e-4, max_steps: int = 0
) -> Iterator[float]:
    """Adam with Keras' settings, without schedule or clipping; after each epoch the mean loss of
    its batches, measured while the weights moved. `max_steps` above 0 ends an epoch after so many
    updates."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, eps=1e-7)
    for epoch in range(epochs):
        set_epoch(data, epoch)
        model.train()
        losses = []
        for batch in data:
            optimizer.zero_grad()
            logits = model(batch.images, batch.image_index, batch.x, batch.mask)  # (batch, answers)
            loss = F.cross_entropy(logits, batch.y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == max_steps:
                break
        model.eval()
        yield sum(losses) / len(losses)


@cache
def data() -> tuple[VQAData, VQAData]:
    """Training and test questions of easy-VQA."""
    learnt = load_easy_vqa("train")
    return learnt, load_easy_vqa("test", learnt.tokenizer, learnt.answers)


def run(init: str, batches: str, seed: int, epochs: int = EPOCHS) -> Row:
    """One run; all accuracies are shares on the test questions, and nothing is chosen by them."""
    learnt, test = data()
    torch.manual_seed(seed)
    model = SmallNetwork(learnt.tokenizer.get_vocab_size(), len(learnt.answers), init)
    losses, accuracies = [], []
    for loss in train(model, batched(learnt, batches, seed), epochs):
        losses.append(round(loss, 4))
        accuracies.append(round(evaluate(model, test).accuracy, 4))
    last = evaluate(model, test)
    shuffled = evaluate(model, test.shuffle_images(seed))
    return {
        "init": init,
        "batches": batches,
        "seed": seed,
        "loss": losses,
        "test": accuracies,
        "by_family": {name: round(share, 4) for name, share in last.by_family.items()},
        "shuffled": round(shuffled.accuracy, 4),
        "same_answers": round((last.predictions == shuffled.predictions).double().mean().item(), 4),
    }


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed, init in product(seeds, INITS):
        yield dict(batches="pictures", init=init, seed=seed)
    for init in INITS if SEEDS[0] in seeds else ():
        yield dict(batches="questions", init=init, seed=SEEDS[0])


STUDY = Study(
    measures="lesson 01: does a small network leave the language prior, from two initialisations?",
    takes="twenty minutes",
    columns={"batches": BATCHES, "init": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

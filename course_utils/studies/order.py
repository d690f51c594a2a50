"""Which ways of reading a clip see its order, and how soon? For lesson 15.

    python -m course_utils.studies order

trains models that differ in how they read the frames, on questions about clips and their reverses,
with lesson 07's frozen stem. Each has its own best learning rate, chosen at the first seed by the
accuracy on validation clips. Writes data/studies/order.json: right answers, right answers with
shuffled frames, same answers forwards and backwards, and both after every pass.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.datasets.clips import (
    ClipBatch,
    ClipData,
    clip_data,
    clip_features,
    clip_loader,
    clip_words,
)
from course_utils.evaluation.order_tests import answers_to, same_answers, test_order
from course_utils.methods.captioning import new_captioner
from course_utils.models.video import READERS, ClipAnswerer
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import FitConfig, fit
from course_utils.world.motion import Clips, sample_clips
from course_utils.world.motion_words import ANSWERS, same_way

SEEDS = range(3)
KINDS = ("first", "which")
MODELS = tuple(READERS)
RATES = (1e-3, 3e-3)
PARTS = {"train": (2000, 1), "validation": (300, 2), "test": (500, 3)}  # clips, seed
FIT = FitConfig(epochs=12, warmup=0.1)


@cache
def clips(kind: str, part: str, count: int) -> tuple[Clips, Tensor]:
    """Clips of a part, and their features (clips, frames, patches, dim)."""
    some = sample_clips(kind, count, PARTS[part][1])
    return some, clip_features(some, new_captioner().stem, f"order-{kind}-{part}")


def data(kind: str, part: str, count: int | None = None) -> ClipData:
    """Questions about clips and their reverses."""
    some, v = clips(kind, part, count or PARTS[part][0])
    return clip_data(v, some, PARTS[part][1])


def new_model(model: str, vocab_size: int) -> ClipAnswerer:
    """A model with random weights.

    Raises:
        ValueError: an unknown model.
    """
    if model not in READERS:
        raise ValueError(f"model: expected one of {', '.join(READERS)}, got {model!r}")
    return ClipAnswerer(READERS[model](), vocab_size, len(ANSWERS))


def objective(model: nn.Module, batch: ClipBatch) -> Tensor:
    """Mean -log p of the right answers, in nat."""
    return F.cross_entropy(model(batch.v, batch.x, batch.mask), batch.y)


def split_by_way(answers: Tensor, test: ClipData, some: Clips) -> dict[str, float]:
    """Shares of right answers where both objects move the same way, and where they don't."""
    right = (answers == test.y).double()  # (rows,)
    together = torch.from_numpy(same_way(some)).repeat(2)  # (rows,)
    return {
        "same_way": round(right[together].mean().item(), 4),
        "opposite": round(right[~together].mean().item(), 4),
    }


def run(
    kind: str,
    model: str,
    rate: float,
    seed: int,
    config: FitConfig = FIT,
    counts: tuple[int | None, int | None, int | None] = (None, None, None),
) -> Row:
    """One training, with what validation and test say of it.

    Raises:
        ValueError: an unknown model.
    """
    train, validation, test = (data(kind, part, n) for part, n in zip(PARTS, counts))
    torch.manual_seed(seed)
    network = new_model(model, len(clip_words()))
    curve: dict[str, list[float]] = {"right": [], "same": []}

    def judge(network: nn.Module) -> float:
        answers = answers_to(network, validation)
        right = (answers == validation.y).double().mean().item()
        curve["right"].append(round(right, 4))
        curve["same"].append(round(same_answers(answers).double().mean().item(), 4))
        return right

    history = fit(
        network,
        objective,
        clip_loader(train, seed=seed),
        validate=judge,
        config=replace(config, lr=rate),
        device="cpu",
        progress=False,
    )
    found = test_order(network, test, seed)
    row: Row = dict(kind=kind, model=model, rate=rate, seed=seed)
    row |= dict(validation=max(curve["right"]), curve=curve)
    row |= {name: round(value, 4) for name, value in found._asdict().items()}
    by_pass = torch.tensor(history.loss).chunk(config.epochs)
    row["train_loss"] = [round(losses.mean().item(), 4) for losses in by_pass]
    if kind == "which":
        some, _ = clips(kind, "test", counts[2] or PARTS["test"][0])
        row |= split_by_way(answers_to(network, test), test, some)
    return row


def best_rate(rows: Sequence[Row], kind: str, model: str) -> float:
    """The rate with the best validation accuracy at the first seed."""
    first = [r for r in rows if (r["kind"], r["model"], r["seed"]) == (kind, model, SEEDS[0])]
    return max(first, key=lambda r: r["validation"])["rate"]


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for kind, model, rate in product(KINDS, MODELS, RATES):
        yield dict(kind=kind, model=model, rate=rate, seed=SEEDS[0])
    for seed, kind, model in product(seeds, KINDS, MODELS):
        yield dict(kind=kind, model=model, rate=best_rate(rows, kind, model), seed=seed)


STUDY = Study(
    measures="lesson 15: ways of reading a clip, and which of them see its order",
    takes="half an hour",
    columns={"kind": KINDS, "model": MODELS, "rate": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

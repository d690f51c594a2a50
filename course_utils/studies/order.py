"""Which ways of reading a clip see its order, and how soon? For lesson 15.

    python -m course_utils.studies order

trains models that differ in how they read the frames, on questions about clips and their reverses,
with lesson 07's frozen stem. Each that can see time has its own best learning rate, chosen at the
first seed by the accuracy on validation clips; the others are on their bound at any. Two of them
are trained twice as long on questions of two forms ("first" and "last"), and one of them once more
after a training on one form. Writes data/studies/order.json: right answers, right answers with
shuffled frames, same answers forwards and backwards, and both after every pass.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product

import torch
from torch import Tensor, nn

from course_utils.datasets.clips import ClipData, clip_data, clip_features, clip_loader
from course_utils.evaluation.order_tests import answers_to, same_answers, test_order
from course_utils.methods.clip_answering import clip_objective, new_clip_model, world_stem
from course_utils.models.video import READERS
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import FitConfig, fit
from course_utils.world.motion import Clips, sample_clips
from course_utils.world.motion_words import same_way

SEEDS = range(3)
KINDS = ("first",)  # `run` knows "which" and "direction" too
MODELS = tuple(READERS)
RATES = (1e-3, 3e-3)
BLIND = ("middle frame", "first frame", "mean", "set")  # to order: one rate, half the passes
EXACT = ("middle frame", "mean", "set")  # exactly on it, so one seed is enough
SEEING = tuple(model for model in MODELS if model not in BLIND)
LONGER = ("recurrence", "joint")  # on questions of two forms
AFTER = "1, then 2"  # forms: two, behind a training on one
PARTS = {"train": (1200, 1), "validation": (200, 2), "test": (400, 3)}  # clips, seed
PASSES, TIMES_LONGER = 8, 2  # passes, and how often as many for two forms


@cache
def clips(kind: str, part: str, count: int) -> tuple[Clips, Tensor]:
    """Clips of a part, and their features (clips, frames, patches, dim)."""
    some = sample_clips(kind, count, PARTS[part][1])
    return some, clip_features(some, world_stem(), f"order-{kind}-{part}")


def data(kind: str, part: str, count: int | None = None, forms: int = 1) -> ClipData:
    """Questions about clips and their reverses."""
    some, v = clips(kind, part, count or PARTS[part][0])
    return clip_data(v, some, PARTS[part][1], forms=forms)


def fit_config(model: str, forms: int | str, rate: float) -> FitConfig:
    """How a model of the study is trained."""
    passes = PASSES // 2 if model in BLIND else PASSES
    return FitConfig(epochs=passes * (TIMES_LONGER if forms == 2 else 1), lr=rate, warmup=0.1)


def known_order(model: str, kind: str, seed: int, config: FitConfig, clips: int | None):
    """A model that was trained on questions of one form."""
    network = new_clip_model(model)
    batches = clip_loader(data(kind, "train", clips), seed=seed)
    fit(network, clip_objective, batches, config=config, device="cpu", progress=False)
    return network


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
    forms: int | str,
    model: str,
    rate: float,
    seed: int,
    config: FitConfig | None = None,
    counts: tuple[int | None, int | None, int | None] = (None, None, None),
) -> Row:
    """One training, with what validation and test say of it.

    Raises:
        ValueError: an unknown model.
    """
    asked = 1 if forms == 1 else 2
    train, validation, test = (data(kind, part, n, asked) for part, n in zip(PARTS, counts))
    config = config or fit_config(model, forms, rate)
    torch.manual_seed(seed)
    if forms == AFTER:
        network = known_order(model, kind, seed, config, counts[0])
    else:
        network = new_clip_model(model)
    curve: dict[str, list[float]] = {"right": [], "same": []}

    def judge(network: nn.Module) -> float:
        answers = answers_to(network, validation)
        right = (answers == validation.y).double().mean().item()
        curve["right"].append(round(right, 4))
        curve["same"].append(round(same_answers(answers).double().mean().item(), 4))
        return right

    history = fit(
        network,
        clip_objective,
        clip_loader(train, seed=seed),
        validate=judge,
        config=config,
        device="cpu",
        progress=False,
    )
    found = test_order(network, test, seed)
    row: Row = dict(kind=kind, forms=forms, model=model, rate=rate, seed=seed)
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
    if model in BLIND:
        return RATES[-1]
    wanted = (kind, 1, model, SEEDS[0])
    first = [r for r in rows if (r["kind"], r["forms"], r["model"], r["seed"]) == wanted]
    return max(first, key=lambda r: r["validation"])["rate"]


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for kind in KINDS:
        for model, rate in product(SEEING, RATES):
            yield dict(kind=kind, forms=1, model=model, rate=rate, seed=SEEDS[0])
        for seed, model in product(seeds, MODELS):
            if model in EXACT and seed != SEEDS[0]:
                continue
            rate = best_rate(rows, kind, model)
            yield dict(kind=kind, forms=1, model=model, rate=rate, seed=seed)
        if kind == "first":
            yield from _two_forms(seeds, rows)


def _two_forms(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for model, forms in ((LONGER[0], 2), (LONGER[0], AFTER), (LONGER[1], 2)):
        for seed in seeds:
            rate = best_rate(rows, "first", model)
            yield dict(kind="first", forms=forms, model=model, rate=rate, seed=seed)


STUDY = Study(
    measures="lesson 15: ways of reading a clip, and which of them see its order",
    takes="twenty minutes",
    columns={"kind": KINDS, "forms": (1, 2, AFTER), "model": MODELS, "rate": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

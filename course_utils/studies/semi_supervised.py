"""Few answers and many pictures without: FixMatch. For lesson 11.

    python -m course_utils.studies semi_supervised

tunes the pretrained joint model of the world on 5 % of the answers, with and without the questions
whose answers are hidden, and writes data/studies/semi_supervised.json. Runs that the file holds already are
not repeated. It takes about a quarter of an hour on one CPU core.

All runs make equally many updates in the same loop, and look at validation equally often: training
on the labelled part alone is FixMatch with weight 0. The learning rate is chosen on validation at
the first seed, for each method but those of ONE_RATE. Batch normalisation keeps the statistics of
pretraining: else perturbed pictures would move them.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.data import DataLoader

from course_utils.datasets import Batch, VQAData, load_world, loader, perturb
from course_utils.datasets.pairs import pair_tokenizer
from course_utils.evaluation.evaluate import evaluate, predict_logits
from course_utils.objectives.classification import cross_entropy
from course_utils.studies.recipes import WORLD_FAMILIES
from course_utils.studies.runs import read_runs, write_runs
from course_utils.studies.tuning_curve import base_model
from course_utils.training.fit import FitConfig, fit, freeze

SCENES = 2000  # pictures to learn from, each with four questions
SHARE = 0.05  # of the pictures whose questions are answered
UPDATES = 400
IMAGES_PER_BATCH = 16  # of the labelled part
LOOKS = (100, 200, 300, 400)  # updates after which pseudo-labels are looked at
EARLY = 200  # the look after which wrong pseudo-labels are followed to the end
THRESHOLDS = (0.0, 0.5, 0.7, 0.9, 0.95, 0.99)  # at which the last pseudo-labels are looked at
RATES = (1e-3, 3e-3)
ONE_RATE = ("FixMatch 0.95, colours mixed", "all labels")  # the first rate only
SEEDS = (0, 1, 2)
COMMAND = "python -m course_utils.studies semi_supervised"
Pictures = Float[Tensor, "images 3 height width"]
View = Callable[[Pictures, torch.Generator], Pictures]


# What is learnt from a question without an answer


class Consistency(NamedTuple):
    """The loss of a batch without answers, and which of its questions were let in."""

    loss: Float[Tensor, ""]
    accepted: Bool[Tensor, " batch"]
    labels: Int[Tensor, " batch"]  # the pseudo-labels, also of those that were not let in


def pseudo_labels(
    logits: Float[Tensor, "batch answers"], threshold: float
) -> tuple[Int[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """The likeliest answers, and whether their probability reaches `threshold`.

    Raises:
        ValueError: a threshold outside [0, 1].
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold: expected a probability from 0 to 1, got {threshold}")
    confidence, labels = logits.detach().softmax(-1).max(-1)  # (batch,), (batch,)
    return labels, confidence >= threshold


def fixmatch_loss(
    weak: Float[Tensor, "batch answers"], strong: Float[Tensor, "batch answers"], threshold: float
) -> Consistency:
    """1/n of the sum over n questions of [max p(weak) >= threshold] * -log p(strong)[argmax weak].

    `weak` and `strong` are logits for a weakly and a strongly perturbed picture. The target is a
    constant: no gradient flows into `weak`. The sum is divided by all n questions, not by those
    that were let in, so that the loss weighs little while few are (Sohn et al., arXiv 2001.07685,
    equation 4).

    Raises:
        ValueError: shapes differ, or a threshold outside [0, 1].
    """
    if weak.shape != strong.shape or weak.ndim != 2:
        raise ValueError(
            "expected weak and strong logits of one shape (batch, answers), got "
            f"{tuple(weak.shape)} and {tuple(strong.shape)}"
        )
    labels, accepted = pseudo_labels(weak, threshold)  # (batch,), (batch,)
    each = F.cross_entropy(strong, labels, reduction="none")  # (batch,)
    return Consistency((each * accepted).mean(), accepted, labels)


# Perturbations that no answer of WORLD_FAMILIES depends on


def flip(images: Pictures, generator: torch.Generator | None = None) -> Pictures:
    """Mirrors about half of the pictures, left to right. Harmless only where no question asks for
    left or right."""
    chosen = torch.rand(len(images), generator=generator, device=images.device) < 0.5  # (images,)
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def weak_view(images: Pictures, generator: torch.Generator | None = None) -> Pictures:
    """Flipped, and moved by up to 2 pixels."""
    return perturb.shift(flip(images, generator), 2, generator)


def strong_view(images: Pictures, generator: torch.Generator | None = None) -> Pictures:
    """As the weak view, with a shift of up to 4, turned upside down, darker or lighter, noisy."""
    images = flip(flip(images, generator).transpose(2, 3), generator).transpose(2, 3)
    images = perturb.brightness(perturb.shift(images, 4, generator), 0.2, generator)
    return perturb.noise(images, 0.1, generator)


def harmful_view(images: Pictures, generator: torch.Generator | None = None) -> Pictures:
    """The strong view of a picture whose colours were mixed: the answer to a question for a colour
    is another one now, or none."""
    return strong_view(perturb.mix_colours(images, 2.0, generator), generator)


# Training


@dataclass(frozen=True)
class Method:
    """What an update adds up."""

    threshold: float = 0.95  # tau: the least probability of a pseudo-label that is learnt
    weight: float = 1.0  # lambda: of the loss without answers; 0 trains on answers alone
    labelled_view: View | None = weak_view  # of pictures with answers; None leaves them
    view: View = strong_view  # of pictures without answers
    all_labels: bool = False  # the upper end: every answer is known
    ratio: int = 1  # pictures without answers a picture with


METHODS = {
    "5 %, pictures as they are": Method(weight=0, labelled_view=None),
    "5 %, weak views": Method(weight=0),
    "5 %, strong views": Method(weight=0, labelled_view=strong_view),
    "FixMatch, threshold 0": Method(threshold=0.0),
    "FixMatch, threshold 0.7": Method(threshold=0.7),
    "FixMatch, threshold 0.95": Method(threshold=0.95),
    "FixMatch 0.95, colours mixed": Method(threshold=0.95, view=harmful_view),
    "all labels": Method(weight=0, all_labels=True),
}


def endless(batches: DataLoader) -> Iterator[Batch]:
    """Batches for ever, each pass in another order."""
    epoch = 0
    while True:
        batches.batch_sampler.set_epoch(epoch)
        yield from batches
        epoch += 1


class FixMatch:
    """(model, batch without answers) -> loss, to be handed to `fit`; each call takes the next batch
    with answers too. The answers of the first batch are never read."""

    def __init__(self, labelled: DataLoader, method: Method, seed: int):
        self.labelled, self.method = endless(labelled), method
        self.generator = torch.Generator().manual_seed(seed)
        self.accepted: list[float] = []  # share of the pseudo-labels that were let in, each update

    def __call__(self, model: nn.Module, unlabelled: Batch) -> Tensor:
        batch, view = next(self.labelled), self.method.labelled_view
        images = batch.images if view is None else view(batch.images, self.generator)
        logits = model(images, batch.image_index, batch.x, batch.mask)  # (batch, answers)
        loss = cross_entropy(logits, batch.y)
        if self.method.weight == 0:
            return loss
        u, question = unlabelled, (unlabelled.image_index, unlabelled.x, unlabelled.mask)
        with torch.no_grad():
            weak = model(weak_view(u.images, self.generator), *question)  # (batch u, answers)
        strong = model(self.method.view(u.images, self.generator), *question)
        found = fixmatch_loss(weak, strong, self.method.threshold)
        self.accepted.append(found.accepted.float().mean().item())
        return loss + self.method.weight * found.loss


def freeze_statistics(model: nn.Module) -> None:
    """Freezes batch normalisation: `fit` keeps it in eval mode, with the statistics it has."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            freeze(module)


def questions(part: str, scenes: int, seed: int = 0) -> VQAData:
    """Four questions a scene, with the tokens of the pretrained model."""
    return load_world("iid", part, scenes, 4, WORLD_FAMILIES, seed, tokenizer=pair_tokenizer())


def look(logits: Tensor, y: Tensor, threshold: float) -> dict:
    """How good pseudo-labels are that nobody can check in earnest: shares of all questions that are
    let in, and of those the share that is right."""
    labels, accepted = pseudo_labels(logits, threshold)
    right = labels == y  # (examples,)
    precision = right[accepted].double().mean().item() if accepted.any() else None
    return dict(
        accepted=accepted.double().mean().item(),
        precision=precision,
        right=right.double().mean().item(),
    )


def kept_wrong(first: Tensor, last: Tensor, y: Tensor, threshold: float) -> dict:
    """Of the wrong pseudo-labels that were let in at first (logits `first`): how many there were,
    the share that is the same wrong answer at last, and the share that was put right."""
    before, accepted = pseudo_labels(first, threshold)
    wrong, after = accepted & (before != y), last.argmax(1)  # (examples,)
    share = lambda rows: rows[wrong].double().mean().item() if wrong.any() else None  # noqa: E731
    return dict(wrong=int(wrong.sum()), same=share(after == before), mended=share(after == y))


def run(name: str, rate: float, seed: int, weights: Path, updates: int = UPDATES) -> dict:
    """Validation and test accuracy of one method, and what became of its pseudo-labels."""
    method = METHODS[name]
    train, validation = questions("train", SCENES, 100 + seed), questions("validation", 100)
    hidden, shown = train.split_by_image(SHARE, seed)
    model = base_model(len(train.answers), weights, seed)
    freeze_statistics(model)
    objective = FixMatch(
        loader(train if method.all_labels else shown, IMAGES_PER_BATCH, seed), method, seed
    )
    some = hidden.select(hidden.image_index < 200)
    threshold = method.threshold if method.weight else 0.95
    seen: dict[int, Tensor] = {}

    def after_update(step: int) -> None:
        if step + 1 in LOOKS:
            seen[step + 1] = predict_logits(model, some)  # (examples, answers)

    # without answers: `y` is blanked, so that nothing can read it by mistake
    blank = replace(hidden, y=torch.zeros_like(hidden.y))
    batches = loader(blank, method.ratio * IMAGES_PER_BATCH, seed)
    config = FitConfig(epochs=-(-updates // len(batches)), lr=rate, warmup=0.3, max_steps=updates)
    history = fit(
        model,
        objective,
        batches,
        lambda m: evaluate(m, validation).accuracy,
        config,
        device="cpu",
        progress=False,
        after_update=after_update,
    )
    found = evaluate(model, questions("test", 500))
    row = dict(
        method=name,
        rate=rate,
        seed=seed,
        validation=max(history.score),
        accuracy=found.accuracy,
        by_family=found.by_family,
        labels=len(shown),
        looks={str(n): look(z, some.y, threshold) for n, z in seen.items()},
    )
    if EARLY in seen:
        first, last = seen[EARLY], seen[max(seen)]
        row |= dict(
            kept=kept_wrong(first, last, some.y, threshold),
            kept_of_all=kept_wrong(first, last, some.y, 0.0),
            at_last={str(t): look(last, some.y, t) for t in THRESHOLDS},
        )
    return row


def best_rate(runs: list[dict], method: str) -> float:
    """The learning rate with the best validation accuracy at the first seed.

    Raises:
        ValueError: no run of the method at that seed.
    """
    mine = [r for r in runs if r["method"] == method and r["seed"] == SEEDS[0]]
    if not mine:
        raise ValueError(f"expected runs of {method!r} at seed {SEEDS[0]}, but there are none")
    return max(mine, key=lambda r: r["validation"])["rate"]


def chosen(runs: list[dict], method: str) -> list[dict]:
    """The runs at the best rate, one a seed."""
    rate = best_rate(runs, method)
    return sorted(
        (r for r in runs if r["method"] == method and r["rate"] == rate), key=lambda r: r["seed"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("data/studies/semi_supervised.json"))
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = read_runs(options.out)
    done = {(r["method"], r["rate"], r["seed"]) for r in found}
    order = list(METHODS)
    weights = Path("data/checkpoints/world_pretrained.safetensors")
    for seed, method, rate in product(options.seeds, options.methods, RATES):
        first = rate == RATES[0] or method not in ONE_RATE
        wanted = first if seed == SEEDS[0] else rate == best_rate(found, method)
        if wanted and (method, rate, seed) not in done:
            new = run(method, rate, seed, weights)
            found.append(new)
            found.sort(key=lambda r: (order.index(r["method"]), r["rate"], r["seed"]))
            write_runs(options.out, found, COMMAND)
            print(f"{method}, rate {rate}, seed {seed}: {100 * new['accuracy']:.1f} %", flush=True)


if __name__ == "__main__":
    main()

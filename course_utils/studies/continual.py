"""One family of questions after the other: what is forgotten, and what helps. For lesson 11.

    python -m course_utils.studies continual

tunes the pretrained joint model of the world on four families of questions in turn, and writes
data/studies/continual.json. Runs that the file holds already are not repeated. It takes about a quarter of
an hour on one CPU core.

Every method makes equally many updates and has two settings; the one with the better validation
accuracy over all families at the first seed is used at all. (Nobody who meets the families one
after the other could choose so. It is the same for all methods, and flatters all of them.) The last
weights of each stage are kept. Batch normalisation keeps the statistics of pretraining.
"""

import argparse
import copy
from collections.abc import Callable
from itertools import product
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_utils.datasets import Batch, VQAData, load_world, loader
from course_utils.datasets.pairs import pair_tokenizer
from course_utils.evaluation.evaluate import predict_logits
from course_utils.methods.consolidation import (
    Anchor,
    anchor,
    distillation_loss,
    ewc_penalty,
    fisher_diagonal,
)
from course_utils.objectives.classification import cross_entropy
from course_utils.studies.recipes import WORLD_FAMILIES
from course_utils.studies.runs import read_runs, write_runs
from course_utils.studies.semi_supervised import endless, freeze_statistics
from course_utils.studies.tuning_curve import base_model
from course_utils.training.fit import FitConfig, fit

SCENES = 1200  # pictures to learn from; each family asks about most of them
UPDATES = 120  # a stage
IMAGES_PER_BATCH = 16  # of a stage, where a picture has one question or two
MEMORY = 0.05  # share of the pictures of a stage that replay keeps
MEMORY_PER_BATCH = 16  # kept pictures in an update
FISHER_EXAMPLES = 200
SEEDS = (0, 1, 2)
COMMAND = "python -m course_utils.studies continual"
RATES = ((1e-3, 0.0), (3e-3, 0.0))
TRIES = {  # (learning rate, strength of the penalty)
    "naive": RATES,
    "replay": RATES,
    "EWC": ((1e-3, 1e3), (1e-3, 1e4)),
    "distillation": ((1e-3, 1.0), (1e-3, 3.0)),
    "joint": RATES,
}


# Training, stage by stage


def logits_of(model: nn.Module, batch: Batch) -> Float[Tensor, "batch answers"]:
    return model(batch.images, batch.image_index, batch.x, batch.mask)


def log_probabilities(model: nn.Module, batch: Batch) -> Float[Tensor, " answers"]:
    """Of a batch of one question."""
    return logits_of(model, batch)[0].log_softmax(-1)


def questions(part: str, scenes: int, seed: int = 0) -> VQAData:
    """Four questions a scene, one of each family or so, with the pretrained model's tokens."""
    return load_world("iid", part, scenes, 4, WORLD_FAMILIES, seed, tokenizer=pair_tokenizer())


def of_family(data: VQAData, name: str) -> VQAData:
    """The questions of one family.

    Raises:
        ValueError: there are none.
    """
    if name not in data.families or not (rows := data.family == data.families.index(name)).any():
        raise ValueError(f"expected questions of the family {name!r}, but there are none")
    return data.select(rows)


def own_answers(data: VQAData) -> dict[str, Tensor]:
    """The ids of the answers that each family of `data` has."""
    return {name: of_family(data, name).y.unique() for name in WORLD_FAMILIES}


def with_memory(memory: VQAData, seed: int, images: int = MEMORY_PER_BATCH):
    """(model, batch) -> loss of the batch, plus that of some kept questions."""
    kept = endless(loader(memory, images, seed))

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        old = next(kept)
        return cross_entropy(logits_of(model, batch), batch.y) + cross_entropy(
            logits_of(model, old), old.y
        )

    return objective


class Learner:
    """One model that learns a stage at a time with one of the methods; `remember` ends a stage."""

    def __init__(self, method: str, model: nn.Module, strength: float, seed: int):
        self.method, self.model, self.strength, self.seed = method, model, strength, seed
        self.anchors: list[Anchor] = []  # EWC
        self.old: nn.Module | None = None  # distillation: the model after the last stage
        self.known = torch.zeros(0, dtype=torch.long)  # ids of the answers learnt so far
        self.memory: list[Tensor] = []  # replay: rows of the training data

    def objective(self, data: VQAData) -> Callable[[nn.Module, Batch], Tensor]:
        if self.method == "replay" and self.memory:
            return with_memory(data.select(torch.cat(self.memory)), self.seed)

        def loss(model: nn.Module, batch: Batch) -> Tensor:
            logits = logits_of(model, batch)  # (batch, answers)
            loss = cross_entropy(logits, batch.y)
            if self.anchors:
                loss = loss + self.strength * ewc_penalty(model, self.anchors)
            if self.old is not None:  # the old model is asked the new questions
                with torch.no_grad():
                    told = logits_of(self.old, batch)  # (batch, answers)
                loss = loss + self.strength * distillation_loss(
                    logits[:, self.known], told[:, self.known]
                )
            return loss

        return loss

    def remember(self, data: VQAData, rows: Tensor) -> None:
        """After a stage on the questions `rows` of `data`."""
        generator = torch.Generator().manual_seed(self.seed)
        self.model.eval()
        if self.method == "EWC":
            some = rows[torch.randperm(len(rows), generator=generator)[:FISHER_EXAMPLES]]
            fisher = fisher_diagonal(
                self.model, (data[int(i)] for i in some), log_probabilities, 1, generator
            )
            self.anchors.append(anchor(self.model, fisher))
        if self.method == "distillation":
            self.old = copy.deepcopy(self.model)
            self.known = torch.cat([self.known, data.y[rows].unique()])  # (answers so far,)
        if self.method == "replay":
            pictures = data.image_index[rows].unique()  # (pictures,)
            order = torch.randperm(len(pictures), generator=generator)
            kept = pictures[order[: max(1, round(MEMORY * len(pictures)))]]
            self.memory.append(rows[torch.isin(data.image_index[rows], kept)])


def scores(logits: Tensor, data: VQAData, own: dict[str, Tensor]) -> tuple[list, list]:
    """Accuracy on each family, and the same where only the family's own answers may be given."""
    free, among = [], []
    for name, ids in own.items():
        rows = data.family == data.families.index(name)
        z, y = logits[rows], data.y[rows]  # (n, answers), (n,)
        free.append((z.argmax(1) == y).double().mean().item())
        among.append((ids[z[:, ids].argmax(1)] == y).double().mean().item())
    return free, among


def run(method: str, rate: float, strength: float, seed: int, weights: Path) -> dict:
    """Accuracy on every family after every stage; joint training has one stage."""
    train, validation = questions("train", SCENES, 100 + seed), questions("validation", 200)
    test, own = questions("test", 500), own_answers(train)
    model = base_model(len(train.answers), weights, seed)
    freeze_statistics(model)
    learner = Learner(method, model, strength, seed)
    stages = [(train.family == train.families.index(f)).nonzero()[:, 0] for f in WORLD_FAMILIES]
    updates, images = UPDATES, IMAGES_PER_BATCH
    if method == "joint":  # all questions of a picture at once: a quarter of the pictures
        stages, updates, images = [torch.arange(len(train))], 4 * UPDATES, IMAGES_PER_BATCH // 4
    matrix, among = [], []
    for rows in stages:
        batches = loader(train.select(rows), images, seed)
        config = FitConfig(
            epochs=-(-updates // len(batches)), lr=rate, warmup=0.1, max_steps=updates
        )
        fit(model, learner.objective(train), batches, config=config, device="cpu", progress=False)
        learner.remember(train, rows)
        free, restricted = scores(predict_logits(model, test), test, own)
        matrix.append(free)
        among.append(restricted)
    chosen_by, _ = scores(predict_logits(model, validation), validation, own)
    return dict(
        method=method,
        rate=rate,
        strength=strength,
        seed=seed,
        validation=sum(chosen_by) / len(chosen_by),
        matrix=matrix,
        among=among,
    )


def best_setting(runs: list[dict], method: str) -> tuple[float, float]:
    """Rate and strength with the best validation accuracy at the first seed.

    Raises:
        ValueError: no run of the method at that seed.
    """
    mine = [r for r in runs if r["method"] == method and r["seed"] == SEEDS[0]]
    if not mine:
        raise ValueError(f"expected runs of {method!r} at seed {SEEDS[0]}, but there are none")
    best = max(mine, key=lambda r: r["validation"])
    return best["rate"], best["strength"]


def chosen(runs: list[dict], method: str) -> list[dict]:
    """The runs of the best setting, one a seed."""
    best = best_setting(runs, method)
    return sorted(
        (r for r in runs if r["method"] == method and (r["rate"], r["strength"]) == best),
        key=lambda r: r["seed"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("data/studies/continual.json"))
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--methods", nargs="*", default=list(TRIES), choices=TRIES)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = read_runs(options.out)
    done = {(r["method"], r["rate"], r["strength"], r["seed"]) for r in found}
    order = list(TRIES)
    weights = Path("data/checkpoints/world_pretrained.safetensors")
    for seed, method in product(options.seeds, options.methods):
        for rate, strength in TRIES[method]:
            wanted = seed == SEEDS[0] or (rate, strength) == best_setting(found, method)
            if not wanted or (method, rate, strength, seed) in done:
                continue
            new = run(method, rate, strength, seed, weights)
            found.append(new)
            found.sort(
                key=lambda r: (order.index(r["method"]), r["rate"], r["strength"], r["seed"])
            )
            write_runs(options.out, found, COMMAND)
            last = ", ".join(f"{100 * a:.0f}" for a in new["matrix"][-1])
            print(f"{method}, {rate}, {strength}, seed {seed}: {last} %", flush=True)


if __name__ == "__main__":
    main()

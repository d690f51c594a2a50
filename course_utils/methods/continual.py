"""One family of questions after the other: a learner that replays, or holds weights or answers."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_utils.datasets import Batch, VQAData, loader
from course_utils.datasets.batch import Endless
from course_utils.methods.consolidation import (
    Anchor,
    anchor,
    distillation_loss,
    ewc_penalty,
    fisher_diagonal,
)
from course_utils.objectives.classification import cross_entropy
from course_utils.training.objective import answer_logits, answer_objective

METHODS = ("naive", "replay", "EWC", "distillation", "joint")


@dataclass(frozen=True)
class LearnerConfig:
    """How a learner holds on to what it knew.

    Raises:
        ValueError: a method that is not in METHODS.
    """

    method: str  # one of METHODS; "naive" and "joint" hold on to nothing
    strength: float = 0.0  # of the penalty: of EWC, or of distillation
    share: float = 0.05  # of the pictures of a stage that replay keeps
    images: int = 16  # kept pictures in an update
    fisher_examples: int = 200  # from which EWC learns how much each weight matters

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method: expected one of {METHODS}, got {self.method!r}")


def log_probabilities(model: nn.Module, batch: Batch) -> Float[Tensor, " answers"]:
    """Of a batch of one question."""
    return answer_logits(model, batch)[0].log_softmax(-1)


def of_family(data: VQAData, name: str) -> VQAData:
    """The questions of one family.

    Raises:
        ValueError: there are none.
    """
    if name not in data.families or not (rows := data.family == data.families.index(name)).any():
        raise ValueError(f"expected questions of the family {name!r}, but there are none")
    return data.select(rows)


def own_answers(data: VQAData, families: Sequence[str]) -> dict[str, Tensor]:
    """The ids of the answers that each of `families` has in `data`."""
    return {name: of_family(data, name).y.unique() for name in families}


class WithMemory:
    """(model, batch) -> loss of the batch, plus that of the questions of `images` kept pictures."""

    def __init__(self, memory: VQAData, images: int, seed: int):
        self.kept = Endless(loader(memory, images, seed))
        self.state_dict = self.kept.state_dict
        self.load_state_dict = self.kept.load_state_dict

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        return answer_objective(model, batch) + answer_objective(model, next(self.kept))


class Learner:
    """One model that learns a stage at a time with one of the methods; `remember` ends a stage."""

    def __init__(self, config: LearnerConfig, model: nn.Module, seed: int):
        self.config, self.model, self.seed = config, model, seed
        self.anchors: list[Anchor] = []  # EWC
        self.old: nn.Module | None = None  # distillation: the model after the last stage
        self.known = torch.zeros(0, dtype=torch.long)  # ids of the answers learnt so far
        self.memory: list[Tensor] = []  # replay: rows of the training data

    def objective(self, data: VQAData) -> Callable[[nn.Module, Batch], Tensor]:
        if self.config.method == "replay" and self.memory:
            return WithMemory(data.select(torch.cat(self.memory)), self.config.images, self.seed)

        def loss(model: nn.Module, batch: Batch) -> Tensor:
            logits = answer_logits(model, batch)  # (batch, answers)
            loss = cross_entropy(logits, batch.y)
            if self.anchors:
                loss = loss + self.config.strength * ewc_penalty(model, self.anchors)
            if self.old is not None:  # the old model is asked the new questions
                with torch.no_grad():
                    told = answer_logits(self.old, batch)  # (batch, answers)
                loss = loss + self.config.strength * distillation_loss(
                    logits[:, self.known], told[:, self.known]
                )
            return loss

        return loss

    def remember(self, data: VQAData, rows: Tensor) -> None:
        """After a stage on the questions `rows` of `data`."""
        generator = torch.Generator().manual_seed(self.seed)
        self.model.eval()
        if self.config.method == "EWC":
            some = rows[
                torch.randperm(len(rows), generator=generator)[: self.config.fisher_examples]
            ]
            fisher = fisher_diagonal(
                self.model, (data[int(i)] for i in some), log_probabilities, 1, generator
            )
            self.anchors.append(anchor(self.model, fisher))
        if self.config.method == "distillation":
            self.old = copy.deepcopy(self.model)
            self.known = torch.cat([self.known, data.y[rows].unique()])  # (answers so far,)
        if self.config.method == "replay":
            pictures = data.image_index[rows].unique()  # (pictures,)
            order = torch.randperm(len(pictures), generator=generator)
            kept = pictures[order[: max(1, round(self.config.share * len(pictures)))]]
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

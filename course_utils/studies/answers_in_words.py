"""Answers written word by word, against answers chosen from a list. For lesson 13.

    python -m course_utils.studies answers_in_words

trains two models on the world's questions: lesson 13's captioner, which writes the answer behind
the question ("words"), and a joint encoder of the same width and depth with a head for 21 answers
("list"), in English and in Chinese. Both read the same frozen features, and make the same number of
updates on as many questions. Each has its own best learning rate, chosen at the first seed by the
accuracy on validation questions in English. Beside them stands the most common answer of the
training questions of the same family ("family"), which needs neither picture nor question. Writes
data/studies/answers_in_words.json: shares of right answers to test questions.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.datasets.captions import (
    CHINESE,
    END,
    PAD,
    START,
    CaptionBatch,
    CaptionData,
    caption_loader,
    encode_rows,
    world_words,
)
from course_utils.datasets.features import cached_features
from course_utils.methods.captioning import caption_objective, new_captioner, write
from course_utils.models.captioner import Captioner
from course_utils.models.heads import AnswerHead
from course_utils.models.joint import JointConfig, JointEncoder
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import FitConfig, fit
from course_utils.world.generate import World, generate
from course_utils.world.questions import ANSWERS

SEEDS = range(3)
METHODS = ("list", "words")
BLIND = "family"
LANGUAGES = ("en", "zh")
RATES = (1e-3, 2e-3, 4e-3, 8e-3)
FAMILIES = ("exists", "colour", "shape", "count")
TRAIN, TEST = 3000, 400  # scenes
QUESTIONS = 4  # a scene
ROWS = 64  # questions of an update
FIT = FitConfig(epochs=3, warmup=0.1)


@cache
def questions(part: str, scenes: int, language: str) -> World:
    return generate("iid", part, scenes, QUESTIONS, FAMILIES, seed=13, language=language)


@cache
def features(part: str, scenes: int) -> Tensor:
    """(scenes, patches, visual_dim), the same for both languages."""
    images = torch.from_numpy(questions(part, scenes, "en").images)
    stem = new_captioner().stem
    return cached_features(f"answers-{part}", images, stem, stem, batch=64)


def answers(world: World, language: str) -> list[str]:
    """The right answers in words."""
    found = [ANSWERS[answer] for answer in world.answers]
    return [CHINESE[one] for one in found] if language == "zh" else found


def rows(part: str, scenes: int, language: str) -> CaptionData:
    world = questions(part, scenes, language)
    x, mask = encode_rows(world.questions, answers(world, language))
    return CaptionData(features(part, scenes), torch.from_numpy(world.scene_index).long(), x, mask)


class Classifier(nn.Module):
    """A joint encoder over frozen features and question, and a head for all answers."""

    def __init__(self):
        super().__init__()
        config = JointConfig(
            dim=64, layers=2, heads=4, mlp_dim=256, vocab_size=len(world_words()), max_words=40
        )
        self.encoder, self.head = JointEncoder(config), AnswerHead(64, len(ANSWERS))

    def forward(self, batch: CaptionBatch) -> Tensor:
        """(batch, answers) logits. [START] is taken to the front, where the head reads; the answer
        behind it is left out."""
        behind = (batch.x == START).cumsum(1) > 0  # (batch, words) the answer, and [START]
        x = batch.x.masked_fill(behind, PAD)  # (batch, words)
        x = F.pad(x, (1, 0), value=START)  # (batch, 1 + words)
        longest = int((x != PAD).sum(1).max())
        x = x[:, :longest]
        h = self.encoder(x, batch.v, x != PAD, keep=1)  # (batch, 1, dim)
        return self.head(h)


@cache
def _numbers(language: str) -> dict[tuple[int, ...], int]:
    """The number of each answer, by its tokens."""
    names = [CHINESE[one] if language == "zh" else one for one in ANSWERS]
    return {tuple(world_words().ids(name)): i for i, name in enumerate(names)}


def right_answers(batch: CaptionBatch, language: str) -> Tensor:
    """(batch,) numbers of the answers behind [START]."""
    numbers = _numbers(language)
    return torch.tensor([numbers[answer_ids(row)] for row in batch.x.tolist()])


def answer_ids(row: list[int]) -> tuple[int, ...]:
    """The tokens between [START] and [END]."""
    first = row.index(START) + 1
    return tuple(row[first : row.index(END, first)])


@torch.no_grad()
def accuracy(model: Classifier | Captioner, part: str, scenes: int, language: str) -> float:
    """Share of right answers; those in words must be right to the letter."""
    data = rows(part, scenes, language)
    if isinstance(model, Classifier):
        right = 0
        for some in torch.arange(len(data)).split(256):
            batch = data.__getitems__(some.tolist())
            right += int((model(batch).argmax(1) == right_answers(batch, language)).sum())
        return right / len(data)
    world = questions(part, scenes, language)
    wanted = answers(world, language)
    by_prompt: dict[str, list[int]] = {}
    for i, question in enumerate(world.questions):
        by_prompt.setdefault(question, []).append(i)
    right = 0
    for question, those in by_prompt.items():
        texts = write(model, data.v[data.picture[those]], question, most=6)
        right += sum(text == wanted[i] for text, i in zip(texts, those))
    return right / len(data)


def most_common(part: str, scenes: int, tests: int, language: str) -> float:
    """Share of right answers by the most common training answer of each question's family."""
    known, asked = (questions(p, n, language) for p, n in (("train", scenes), (part, tests)))
    best = {
        family: Counter(a for a, f in zip(known.answers, known.family) if f == family)
        for family in set(known.family)
    }
    right = [best[f].most_common(1)[0][0] == a for a, f in zip(asked.answers, asked.family)]
    return float(np.mean(right))


def run(
    method: str,
    language: str,
    rate: float,
    seed: int,
    scenes: int = TRAIN,
    tests: int = TEST,
    config: FitConfig = FIT,
) -> Row:
    """Accuracy of one model on validation and test questions.

    Raises:
        ValueError: an unknown method.
    """
    if method not in (*METHODS, BLIND):
        expected = ", ".join((*METHODS, BLIND))
        raise ValueError(f"method: expected one of {expected}, got {method!r}")
    setting = dict(method=method, language=language, rate=rate, seed=seed)
    parts = ("validation", "test")
    if method == BLIND:
        return setting | {p: round(most_common(p, scenes, tests, language), 4) for p in parts}
    data = rows("train", scenes, language)
    torch.manual_seed(seed)
    model = new_captioner() if method == "words" else Classifier()

    def choosing(model: nn.Module, batch: CaptionBatch) -> Tensor:
        return F.cross_entropy(model(batch), right_answers(batch, language))

    fit(
        model,
        caption_objective if method == "words" else choosing,
        caption_loader(data, ROWS, seed),
        config=replace(config, lr=rate),
        device="cpu",
    )
    return setting | {p: round(accuracy(model, p, tests, language), 4) for p in parts}


def best_rate(rows: Sequence[Row], method: str) -> float:
    """The rate with the best validation accuracy in English at the first seed."""
    first = [r for r in rows if r["method"] == method and r["language"] == LANGUAGES[0]]
    first = [r for r in first if r["seed"] == SEEDS[0]]
    return max(first, key=lambda r: r["validation"])["rate"]


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for language in LANGUAGES:
        yield dict(method=BLIND, language=language, rate=0.0, seed=SEEDS[0])
    for method, rate in product(METHODS, RATES):
        yield dict(method=method, language=LANGUAGES[0], rate=rate, seed=SEEDS[0])
    for seed, method, language in product(seeds, METHODS, LANGUAGES):
        rate = best_rate(rows, method)
        yield dict(method=method, language=language, rate=rate, seed=seed)


STUDY = Study(
    measures="lesson 13: answers in words, against answers from a list",
    takes="20 minutes",
    columns={"method": (*METHODS, BLIND), "language": LANGUAGES, "rate": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

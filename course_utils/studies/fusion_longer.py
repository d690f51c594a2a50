"""Does joint fusion only need more training? For lesson 05.

    python -m course_utils.studies fusion_longer

trains a shipped joint model of the world on, for twelve more passes over the same data (it was
trained for eight), and writes data/studies/fusion_longer.json. The pass is chosen on validation, as
in `recipes.train_world`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from course_utils.datasets import loader
from course_utils.datasets.files import data_path
from course_utils.datasets.world_vqa import WORLD_FAMILIES, from_world, world_data
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.answering import FUSIONS, world_model
from course_utils.models.vqa import VQAModel
from course_utils.models.weights import load_weights
from course_utils.studies.recipes import WORLD_FIT
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import fit
from course_utils.training.objective import answer_objective
from course_utils.world import FAMILIES, all_programs, answers_of, generate, text_of
from course_utils.world.generate import World

PASSES = 12
SEEDS = (0,)
PAIRED = ("colour", "shape")  # families of which pairs are asked


def pair_questions(drawn: World, family: str, seed: int = 0) -> World:
    """Two questions of `family` about each scene of `drawn` that allows two with different answers.

    Questions 2 i and 2 i + 1 make a pair: they name different objects of one picture.

    Raises:
        ValueError: a family other than colour and shape.
    """
    if family not in PAIRED:
        raise ValueError(f"family: expected one of {', '.join(PAIRED)}, got {family!r}")
    rng = np.random.default_rng(seed)
    programs = all_programs(family)
    table = np.stack([answers_of(p, drawn.scenes) for p in programs])  # (programs, scenes)
    chosen, scenes = [], []
    for i, answers in enumerate(table.T):  # (programs,)
        asked = rng.permutation((answers >= 0).nonzero()[0])  # those that apply to the scene
        others = asked[answers[asked] != answers[asked[:1]]]
        if len(others):
            chosen += [asked[0], others[0]]
            scenes += [i, i]
    index = np.array(scenes, dtype=int)
    return replace(
        drawn,
        questions=tuple(text_of(programs[k]) for k in chosen),
        answers=table[chosen, index].astype(np.int64),
        scene_index=index,
        family=np.full(len(index), FAMILIES.index(family)),
        chance=np.full(len(index), np.nan),
        programs=tuple(programs[k] for k in chosen),
    )


def share_of_pairs(model: VQAModel, pairs: World) -> float:
    """The share of pairs of which both questions are answered right."""
    right = evaluate(model, from_world(pairs)).right.view(-1, 2)  # (pairs, 2)
    return right.all(1).double().mean().item()


def run(fusion: str, seed: int, passes: int = PASSES, max_steps: int = 0) -> Row:
    """Accuracy by family on test, and the share of pairs with both answers right on validation
    (before, and after each pass) and on test."""
    train = world_data("train", 8000)
    validation = generate("iid", "validation", 600, 4, WORLD_FAMILIES, 0)
    test = generate("iid", "test", 500, 4, WORLD_FAMILIES, 0)
    held = from_world(validation)
    pairs = {f: pair_questions(validation, f) for f in PAIRED}
    model = world_model(train, fusion)
    load_weights(model, data_path(f"checkpoints/world_{fusion}_{seed}.safetensors"))
    curves: dict[str, list[float]] = {f: [] for f in PAIRED}
    scores = []

    def validate(trained: Any) -> float:
        for family in PAIRED:
            curves[family].append(round(share_of_pairs(trained, pairs[family]), 4))
        scores.append(evaluate(trained, held).accuracy)
        return scores[-1]

    validate(model)
    torch.manual_seed(seed)
    fit(
        model,
        answer_objective,
        loader(train, 16, seed=100 + seed),
        validate=validate,
        config=replace(WORLD_FIT, epochs=passes, warmup=0.1, max_steps=max_steps),
        device="cpu",
        progress=False,
    )
    both = {f: share_of_pairs(model, pair_questions(test, f)) for f in PAIRED}
    right = evaluate(model, from_world(test)).by_family
    return dict(
        fusion=fusion,
        seed=seed,
        validation=[round(score, 4) for score in scores],
        validation_pairs=curves,
        test={f: round(share, 4) for f, share in right.items()},
        pairs={f: round(share, 4) for f, share in both.items()},
    )


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed in seeds:
        yield dict(fusion="joint", seed=seed)


STUDY = Study(
    measures="lesson 05: a joint model of the world trained on for twelve passes",
    takes="eight minutes",
    columns={"fusion": tuple(FUSIONS), "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

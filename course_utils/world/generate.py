"""Whole datasets of the world: pictures with balanced questions, in several splits.

Balanced means: among the examples of one question string, all its answers occur equally often. So
nothing that reads only the words can do better than guessing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from course_utils.world.drawing import draw
from course_utils.world.questions import (
    ANSWERS,
    FAMILIES,
    INVALID,
    Program,
    all_programs,
    answers_of,
    text_of,
)
from course_utils.world.scenes import COLOUR_NAMES, SHAPES, Scenes, sample_scenes

SPLITS = ("iid", "composition", "prior")
PARTS = ("train", "validation", "test")
HELD_OUT = (("red", "circle"), ("blue", "square"), ("green", "triangle"), ("yellow", "cross"))
MULTIPLE_CHOICE_ROOM = 1.1  # answers of a question with more than two may differ by a tenth
RARE = 0.02  # share below which an answer of a question is not asked for
ROUNDS = 12


@dataclass(frozen=True)
class World:
    """n scenes with pictures and q questions."""

    scenes: Scenes
    images: np.ndarray  # (n, 3, 64, 64) uint8
    questions: tuple[str, ...]  # (q,)
    answers: np.ndarray  # (q,) index into answer_names
    scene_index: np.ndarray  # (q,) which scene each question is about
    family: np.ndarray  # (q,) index into families
    chance: np.ndarray  # (q,) 1 / number of answers that the question has
    programs: tuple[Program, ...]  # (q,)
    answer_names: tuple[str, ...] = ANSWERS
    families: tuple[str, ...] = FAMILIES


def generate(
    split: str = "iid",
    part: str = "train",
    scenes: int = 10_000,
    questions_per_scene: int = 8,
    families: Sequence[str] = FAMILIES,
    seed: int = 0,
    language: str = "en",
) -> World:
    """A dataset of the world; the same arguments give the same bytes.

    Splits: "iid", all parts alike (but for the textures of the ground, which no two parts share);
    "composition", where HELD_OUT combinations of colour and shape are neither drawn nor asked about
    in train and validation, and one of them is in every test scene (about half of the test
    questions are about such an object: score them apart); "prior", where the answers of a
    question are skewed one way in train and validation, and the other way in test. There, and where
    few families are asked for that do not apply to every scene (relation, colour), some scenes have
    fewer questions than wanted.

    Raises:
        ValueError: an unknown split, part, family or language, or a number below 1.
    """
    for what, value, allowed in (("split", split, SPLITS), ("part", part, PARTS)):
        if value not in allowed:
            raise ValueError(f"{what}: expected one of {', '.join(allowed)}, got {value!r}")
    for what, value in (
        ("scenes", scenes),
        ("questions_per_scene", questions_per_scene),
        ("seed", seed),
    ):
        if not isinstance(value, (int, np.integer)) or value < 0:
            raise ValueError(f"{what}: expected a whole number from 0, got {value!r}")
    if isinstance(families, str):
        raise ValueError(f"families: expected a tuple of names, got the string {families!r}")
    if scenes < 1 or not 1 <= questions_per_scene <= 16:
        raise ValueError(
            "expected scenes >= 1 and 1 <= questions_per_scene <= 16, got "
            f"{scenes} and {questions_per_scene}"
        )
    if not families:
        raise ValueError("families: expected at least one")
    rng = np.random.default_rng((seed, SPLITS.index(split), PARTS.index(part)))
    pool = _distinct(split, part, int(1.08 * scenes) + 64, rng)
    tables = {f: _table(f, pool, split, part) for f in families}
    rows, programs, answers = _balanced(tables, len(pool), questions_per_scene, rng)
    if split == "prior":
        kept = _skew(programs, answers, part == "test", rng)
        rows, programs, answers = rows[kept], programs[kept], answers[kept]
    return _world(pool, rows, programs, answers, tables, scenes, language)


# Scenes of a split


def split_scenes(split: str, part: str, n: int, seed: int = 0) -> Scenes:
    """n scenes of a part of a split, without questions: all of them, so nothing is balanced.

    Raises:
        ValueError: an unknown split or part.
    """
    for what, value, allowed in (("split", split, SPLITS), ("part", part, PARTS)):
        if value not in allowed:
            raise ValueError(f"{what}: expected one of {', '.join(allowed)}, got {value!r}")
    # the fourth number keeps these draws apart from those of `generate`
    rng = np.random.default_rng((seed, SPLITS.index(split), PARTS.index(part), 16))
    return _distinct(split, part, n, rng)


def _distinct(split: str, part: str, n: int, rng: np.random.Generator) -> Scenes:
    """n scenes. Parts can't overlap: the texture, which every scene has, tells them apart."""
    scenes = sample_scenes(n, rng)
    # 256 textures, dealt to the parts: 6 of 8 to train, one each to validation and test
    eighths = {"train": range(6), "validation": (6,), "test": (7,)}[part]
    base = scenes.texture // 8 * 8
    scenes = replace(scenes, texture=(base + rng.choice(list(eighths), n)).astype(np.int16))
    if split == "composition":
        scenes = _compositions(scenes, part == "test", rng)
    return scenes


def held_out(scenes: Scenes) -> np.ndarray:
    """(n, 4) bool: objects with a combination from HELD_OUT."""
    return np.any(
        [
            (scenes.colour == COLOUR_NAMES.index(c)) & (scenes.shape == SHAPES.index(s))
            for c, s in HELD_OUT
        ],
        axis=0,
    )


def _compositions(scenes: Scenes, test: bool, rng: np.random.Generator) -> Scenes:
    colour = scenes.colour.copy()
    if test:  # the first object of every scene gets the held-out colour of its shape
        wanted = np.array(
            [COLOUR_NAMES.index({s: c for c, s in HELD_OUT}[s]) for s in SHAPES], np.int8
        )
        colour[:, 0] = wanted[scenes.shape[:, 0]]
        return replace(scenes, colour=colour)
    while (bad := held_out(replace(scenes, colour=colour))).any():
        colour[bad] = rng.integers(0, len(COLOUR_NAMES), bad.sum())
    return replace(scenes, colour=colour)


# Balance


def _table(family: str, scenes: Scenes, split: str, part: str) -> tuple:
    """Programs of a family and their answers (programs, n)."""
    programs = all_programs(family)
    if split == "composition" and part != "test":
        programs = tuple(p for p in programs if not p.pairs() & set(HELD_OUT))
    answers = np.stack([answers_of(p, scenes) for p in programs])
    for row in answers:  # an answer that hardly ever occurs (four circles) can't be balanced
        count = np.bincount(row[row != INVALID], minlength=len(ANSWERS))
        row[np.isin(row, (count < RARE * count.sum()).nonzero()[0])] = INVALID
    return programs, answers


def _balanced(tables: dict, n: int, per_scene: int, rng: np.random.Generator) -> tuple:
    """Choose up to `per_scene` questions a scene, so that each question string is balanced.

    Families take turns. In its turn a family proposes one question for each scene that still needs
    one; then surplus answers of each question are dropped again.
    """
    offsets = dict(zip(tables, np.cumsum([0] + [len(p) for p, _ in tables.values()])))
    total = sum(len(p) for p, _ in tables.values())
    kinds = {f: _kinds(answers) for f, (_, answers) in tables.items()}
    taken = np.zeros((total, n), bool)  # questions never repeat within a scene
    need = np.full(n, per_scene)
    found = []
    for _ in range(ROUNDS):
        for family, (programs, answers) in tables.items():
            rows = (need > 0).nonzero()[0]
            if not len(rows):
                break
            offset = offsets[family]
            free = (answers[:, rows] != INVALID) & ~taken[offset : offset + len(programs), rows]
            choice = _propose(answers[:, rows], free, rng)
            rows, choice = rows[choice >= 0], choice[choice >= 0]
            if not len(rows):
                continue
            given = answers[choice, rows]
            kept = _drop_surplus(choice, given, kinds[family], rng)
            rows, choice, given = rows[kept], choice[kept], given[kept]
            taken[offset + choice, rows] = True
            need[rows] -= 1
            found.append(np.stack([rows, offset + choice, given]))
    rows, programs, answers = np.concatenate(found, axis=1)
    return rows, programs, answers


def _kinds(answers: np.ndarray) -> np.ndarray:
    """(programs,) how many different answers each program has."""
    return np.array([len(np.unique(row[row != INVALID])) for row in answers])


def _propose(answers: np.ndarray, free: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(m,) one program a scene, or -1: an answer drawn at random among those that are possible in
    the scene, then a program with that answer. Rare answers so come up as often as they can."""
    m = answers.shape[1]
    best, choice = np.full(m, -1.0), np.full(m, -1)
    for answer in np.unique(answers[free]) if free.any() else ():
        score = np.where(free & (answers == answer), rng.random(answers.shape), -1)  # (programs, m)
        program = score.argmax(0)  # (m,)
        possible = score[program, np.arange(m)] >= 0
        weight = np.where(possible, rng.random(m), -1)
        better = weight > best
        best[better], choice[better] = weight[better], program[better]
    return choice


def _drop_surplus(
    programs: np.ndarray, answers: np.ndarray, kinds: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(m,) bool: keeps, for each program, equally many of each of its `kinds` answers (with a
    little room where there are more than two)."""
    count = np.zeros((len(kinds), len(ANSWERS)), int)
    np.add.at(count, (programs, answers), 1)
    complete = (count > 0).sum(1) == kinds  # where an answer is missing, none can be asked
    least = np.where(count > 0, count, len(programs)).min(1)  # (programs,)
    room = np.where(kinds > 2, MULTIPLE_CHOICE_ROOM, 1)
    cap = np.where(complete & (kinds > 1), np.floor(least * room), 0)  # (programs,)
    return _rank_within(programs * len(ANSWERS) + answers, rng) < cap[programs]


def _rank_within(group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(m,) a random order within each group: 0, 1, 2, ..."""
    shuffled = rng.permutation(len(group))
    order = shuffled[group[shuffled].argsort(kind="stable")]
    sorted_group = group[order]
    starts = np.r_[True, sorted_group[1:] != sorted_group[:-1]]
    first = np.maximum.accumulate(np.where(starts, np.arange(len(group)), 0))
    rank = np.empty(len(group), int)
    rank[order] = np.arange(len(group)) - first
    return rank


def _skew(programs: np.ndarray, answers: np.ndarray, test: bool, rng: np.random.Generator):
    """(q,) bool: thins out half of the answers of each question to a quarter; in test the other
    half. Which half alternates from question to question."""
    rare = (programs + answers + test) % 2 == 1
    return ~rare | (rng.random(len(programs)) < 0.25)


def _world(pool, rows, programs, answers, tables, scenes, language) -> World:
    """The first `scenes` scenes that have the full number of questions (or any, if too few do)."""
    per_scene = np.bincount(rows, minlength=len(pool))
    order = np.argsort(-per_scene, kind="stable")[:scenes]
    order.sort()
    position = np.full(len(pool), -1)
    position[order] = np.arange(len(order))
    kept = (position[rows] >= 0).nonzero()[0]
    kept = kept[np.lexsort((programs[kept], position[rows[kept]]))]
    listed = [p for ps, _ in tables.values() for p in ps]
    numbers = programs[kept]
    texts = [text_of(p, language) for p in listed]
    kinds = np.concatenate([_kinds(answers) for _, answers in tables.values()])
    chosen = pool.select(order)
    return World(
        scenes=chosen,
        images=draw(chosen),
        questions=tuple(texts[i] for i in numbers),
        answers=answers[kept].astype(np.int64),
        scene_index=position[rows[kept]],
        family=np.array([FAMILIES.index(p.family) for p in listed])[numbers],
        chance=1 / kinds[numbers],
        programs=tuple(listed[i] for i in numbers),
    )

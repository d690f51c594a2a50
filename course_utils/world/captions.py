"""Sentences about scenes: captions from a small grammar with known probabilities, and referring
expressions that name exactly one object."""

import math
from dataclasses import dataclass

import numpy as np

from course_utils.world.drawing import boxes
from course_utils.world.language import thing, words
from course_utils.world.questions import APART, RELATIONS
from course_utils.world.scenes import COLOUR_NAMES, MAX_OBJECTS, SHAPES, SIZES, Scenes

WITH_SIZE = 0.5  # how often a caption tells the size
THERE_IS = 0.3  # how often it begins with "there is"
WITH_RELATION = 0.5  # how often it goes on to a second object, where one lies clearly to a side


def _names(scenes: Scenes, i: int, k: int) -> dict:
    return dict(
        size=SIZES[scenes.size[i, k]],
        colour=COLOUR_NAMES[scenes.colour[i, k]],
        shape=SHAPES[scenes.shape[i, k]],
    )


def _relations(scenes: Scenes, i: int, k: int) -> list[tuple[str, int]]:
    """(relation, other object) for every object that lies clearly to some side of object k."""
    found = []
    for j in range(MAX_OBJECTS):
        if j == k or not scenes.present[i, j]:
            continue
        dx = float(scenes.cx[i, k] - scenes.cx[i, j])
        dy = float(scenes.cy[i, k] - scenes.cy[i, j])
        sides = dict(left=dx <= -APART, right=dx >= APART, above=dy <= -APART, below=dy >= APART)
        found += [(name, j) for name in RELATIONS if sides[name]]
    return found


def caption_distribution(scenes: Scenes, i: int, language: str = "en") -> dict[str, float]:
    """Every caption that the grammar can give scene i, with its probability; they sum to 1.

    An object is drawn at random. It is named by colour and shape, and half of the time by its
    size. "there is" comes first in 30 %. Where other objects lie clearly to a side, half of the
    captions go on to one of them, drawn at random with the relation.
    """
    table = words(language)
    objects = [k for k in range(MAX_OBJECTS) if scenes.present[i, k]]
    captions: dict[str, float] = {}
    for k in objects:
        names = _names(scenes, i, k)
        relations = _relations(scenes, i, k)
        for size, p_size in ((None, 1 - WITH_SIZE), (names["size"], WITH_SIZE)):
            noun = thing(language, size, names["colour"], names["shape"])
            for form, p_form in (("caption", 1 - THERE_IS), ("caption there", THERE_IS)):
                first = table[form].format(thing=noun)
                p = p_size * p_form / len(objects)
                stops = 1 - WITH_RELATION if relations else 1.0
                captions[first] = captions.get(first, 0) + p * stops
                for relation, j in relations:
                    names_j = _names(scenes, i, j)
                    other = thing(language, None, names_j["colour"], names_j["shape"])
                    text = table["caption relation"].format(
                        caption=first, relation=table["relation"][relation], thing=other
                    )
                    captions[text] = captions.get(text, 0) + p * WITH_RELATION / len(relations)
    return captions


def captions(scenes: Scenes, seed: int = 0, language: str = "en") -> list[str]:
    """One caption a scene, drawn from `caption_distribution`."""
    rng = np.random.default_rng((seed, 11))
    chosen = []
    for i in range(len(scenes)):
        distribution = caption_distribution(scenes, i, language)
        texts, p = list(distribution), np.array(list(distribution.values()))
        chosen.append(texts[rng.choice(len(texts), p=p / p.sum())])
    return chosen


def caption_log_prob(text: str, scenes: Scenes, i: int, language: str = "en") -> float:
    """log p(caption | scene i) in nat; -inf if the grammar can't give it."""
    p = caption_distribution(scenes, i, language).get(text, 0.0)
    return math.log(p) if p > 0 else -math.inf


@dataclass(frozen=True)
class Referring:
    """Expressions that each name one object of a scene."""

    texts: tuple[str, ...]  # (m,)
    scene_index: np.ndarray  # (m,)
    object_index: np.ndarray  # (m,) column in the scene
    boxes: np.ndarray  # (m, 4) left, top, right, bottom in pixels


def unique_expressions(scenes: Scenes, i: int, language: str = "en") -> list[tuple[str, int]]:
    """(expression, object) for every expression of the forms "the large red circle" (any of the
    words may be missing) and "the circle left of the cross" that fits exactly one object."""
    table = words(language)
    objects = [k for k in range(MAX_OBJECTS) if scenes.present[i, k]]
    fits: dict[str, set[int]] = {}
    for k in objects:
        names = _names(scenes, i, k)
        for keep in range(1, 8):
            part = {n: v for b, (n, v) in enumerate(names.items()) if keep >> b & 1}
            text = table["the"].format(thing=thing(language, **part))
            fits.setdefault(text, set()).add(k)
    shape_of = {k: _names(scenes, i, k)["shape"] for k in objects}
    for k in objects:
        for relation, j in _relations(scenes, i, k):
            alone = sum(shape == shape_of[j] for shape in shape_of.values()) == 1
            if not alone:  # "the cross" must itself name one object
                continue
            text = table["the relation"].format(
                thing=thing(language, shape=shape_of[k]),
                relation=table["relation"][relation],
                thing2=thing(language, shape=shape_of[j]),
            )
            fits.setdefault(text, set()).add(k)
    return [(text, next(iter(ks))) for text, ks in fits.items() if len(ks) == 1]


def referring(scenes: Scenes, seed: int = 0, language: str = "en") -> Referring:
    """One expression a scene, where it has any: an object is drawn, then an expression for it."""
    rng = np.random.default_rng((seed, 12))
    frame = boxes(scenes)
    texts, rows, columns = [], [], []
    for i in range(len(scenes)):
        found = unique_expressions(scenes, i, language)
        if not found:
            continue
        objects = sorted({k for _, k in found})
        k = objects[rng.integers(len(objects))]
        mine = [text for text, j in found if j == k]
        texts.append(mine[rng.integers(len(mine))])
        rows.append(i)
        columns.append(k)
    rows, columns = np.array(rows, int), np.array(columns, int)
    return Referring(tuple(texts), rows, columns, frame[rows, columns])

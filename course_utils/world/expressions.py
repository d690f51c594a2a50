"""Referring expressions that are hard on purpose: what the words before a relation say fits two or
more objects, so the relation decides which one is meant.

Three kinds, by what is needed to find the one object:

    name    "the large red circle"            the names fit one object alone
    side    "the circle left of the cross"    they fit more; one is on that side
    near    "the circle next to the cross"    they fit more; one is next to the second object

Place alone doesn't do either: in half of the scenes another object is the leftmost of all, or
nearer to the second object, a `decoy`.

Of "side", the second object is not needed: if just one of the circles is left of the cross, it is
the leftmost circle. So every "near" has a partner in its scene, with another second object, that
means another of the circles, and the two are as near: whoever doesn't read the last words is right
once in two.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from course_utils.world.captions import _names
from course_utils.world.drawing import boxes
from course_utils.world.generate import HELD_OUT, split_scenes
from course_utils.world.language import thing, words
from course_utils.world.questions import APART, RELATIONS
from course_utils.world.scenes import MAX_OBJECTS, Scenes

KINDS = ("name", "side", "near")
NEAR, FAR = 33.0, 37.0  # pixels between centres: nearer is next to, farther is not; between: unsaid
POOL = {"name": 2, "side": 6, "near": 40}  # scenes that are drawn in a turn for each wanted one
ALIKE = 0.6  # how often an object of a "near" scene gets the size, colour or shape of another

Words = dict[str, str]  # some of size, colour and shape


@dataclass(frozen=True)
class Expression:
    """One object of a scene, in words."""

    text: str
    column: int  # which object it means
    kind: str  # one of KINDS
    fits: tuple[int, ...]  # columns that the words before the relation fit
    noun: str = ""  # the words before the relation, without "the"
    anchor: int = -1  # the column of the second object, if there is one
    decoy: bool = False  # whether place alone, without these words, finds another object


@dataclass(frozen=True)
class Expressions:
    """Expressions, one a scene, with what they mean."""

    scenes: Scenes  # m of them, one for each expression
    said: tuple[Expression, ...]  # (m,)
    boxes: np.ndarray  # (m, 4, 4) int: left, top, right, bottom of each object, in pixels

    def __len__(self) -> int:
        return len(self.said)

    @property
    def texts(self) -> list[str]:
        return [one.text for one in self.said]

    @property
    def columns(self) -> np.ndarray:
        """(m,) which object each means."""
        return np.array([one.column for one in self.said], int)

    @property
    def wanted(self) -> np.ndarray:
        """(m, 4) its box in pixels."""
        return self.boxes[np.arange(len(self)), self.columns]


def phrases(scenes: Scenes, i: int) -> list[tuple[Words, tuple[int, ...]]]:
    """Every choice of at least one of size, colour and shape that fits an object of scene i, with
    the columns that it fits."""
    names = {k: _names(scenes, i, k) for k in range(MAX_OBJECTS) if scenes.present[i, k]}
    found: dict[tuple, tuple[Words, tuple[int, ...]]] = {}
    for of_one in names.values():
        for count in (1, 2, 3):
            for some in combinations(of_one.items(), count):
                fits = tuple(k for k, has in names.items() if all(has[n] == v for n, v in some))
                found[some] = dict(some), fits
    return list(found.values())


def _on_side(scenes: Scenes, i: int, relation: str, k: int, anchor: int) -> bool:
    dx = float(scenes.cx[i, k] - scenes.cx[i, anchor])
    dy = float(scenes.cy[i, k] - scenes.cy[i, anchor])
    away = {"left": -dx, "right": dx, "above": -dy, "below": dy}[relation]
    return away >= APART


def _distance(scenes: Scenes, i: int, k: int, anchor: int) -> float:
    dx, dy = (float(c[i, k] - c[i, anchor]) for c in (scenes.cx, scenes.cy))
    return float(np.hypot(dx, dy))


def _sides(scenes: Scenes, i: int, fits: tuple[int, ...], anchor: int) -> Iterator[tuple[str, int]]:
    for relation in RELATIONS:
        hits = [k for k in fits if _on_side(scenes, i, relation, k, anchor)]
        if len(hits) == 1:
            yield relation, hits[0]


def _neighbour(scenes: Scenes, i: int, fits: tuple[int, ...], anchor: int) -> int:
    """The one of `fits` that is next to the anchor while the others are far; -1: there is none."""
    away = sorted((_distance(scenes, i, k, anchor), k) for k in fits)
    return away[0][1] if away[0][0] <= NEAR and away[1][0] >= FAR else -1


class Meaning(NamedTuple):
    """What can be said of an object, but for how the second object is named."""

    kind: str
    said: Words  # before the relation
    relation: str  # "" for a name
    column: int
    fits: tuple[int, ...]
    anchor: int = -1
    decoy: bool = False


def meanings(scenes: Scenes, i: int) -> list[Meaning]:
    """All that can be said of the objects of scene i."""
    known = phrases(scenes, i)
    found = [Meaning("name", said, "", fits[0], fits) for said, fits in known if len(fits) == 1]
    objects = [k for k in range(MAX_OBJECTS) if scenes.present[i, k]]
    for said, fits in known:
        anchors = [k for k in objects if k not in fits]
        if len(fits) < 2 or not anchors:
            continue
        for anchor in anchors:
            for relation, k in _sides(scenes, i, fits, anchor):
                decoy = _extreme(scenes, i, relation, objects) != k
                found.append(Meaning("side", said, relation, k, fits, anchor, decoy))
        near = []
        for anchor in anchors:
            k = _neighbour(scenes, i, fits, anchor)
            others = [other for other in objects if other != anchor]
            nearest = min(others, key=lambda other: _distance(scenes, i, other, anchor))
            if k >= 0:
                near.append(Meaning("near", said, "near", k, fits, anchor, nearest != k))
        # two partners that differ in nothing but the second object: place doesn't tell which
        if len({one.column for one in near}) > 1 and len({one.decoy for one in near}) == 1:
            found += near
    return found


def _extreme(scenes: Scenes, i: int, relation: str, columns: Sequence[int]) -> int:
    """The leftmost (rightmost, topmost, lowest) of some objects."""
    place = scenes.cx[i] if relation in ("left", "right") else scenes.cy[i]
    sign = 1 if relation in ("left", "above") else -1
    return min(columns, key=lambda k: sign * float(place[k]))


def _draw(
    scenes: Scenes, i: int, found: Sequence[Meaning], rng: np.random.Generator, language: str
) -> Expression | None:
    """An object is drawn, then words for it; None where nothing can be said."""
    table = words(language)
    named = {k[0] for _, k in phrases(scenes, i) if len(k) == 1}  # those that have a name
    found = [one for one in found if one.anchor < 0 or one.anchor in named]
    if not found:
        return None
    columns = sorted({one.column for one in found})
    column = columns[rng.integers(len(columns))]
    of_it = [one for one in found if one.column == column]
    one = of_it[rng.integers(len(of_it))]
    noun = _noun(one.said, language)
    text = table["the"].format(thing=noun)
    if one.anchor >= 0:
        text = _related(scenes, i, noun, one.relation, one.anchor, rng, language)
    return Expression(text, column, one.kind, one.fits, noun, one.anchor, one.decoy)


def _noun(said: Words, language: str) -> str:
    return thing(language, said.get("size"), said.get("colour"), said.get("shape"))


def _related(scenes, i, noun: str, relation: str, anchor: int, rng, language: str) -> str:
    table = words(language)
    names = [said for said, k in phrases(scenes, i) if k == (anchor,)]
    other = _noun(names[rng.integers(len(names))], language)
    told = table["near"] if relation == "near" else table["relation"][relation]
    return table["the relation"].format(thing=noun, relation=told, thing2=other)


def _with_twins(scenes: Scenes, decoys_only: bool, rng: np.random.Generator) -> Scenes:
    """The scenes of four objects in which one of the first two is next to the third, the other one
    to the fourth, and the second is often like the first. With `decoys_only`, those in which the
    third and the fourth are nearer to each other than to these."""
    scenes = scenes.select(scenes.count == MAX_OBJECTS)
    dx, dy = (c[:, :, None] - c[:, None] for c in (scenes.cx, scenes.cy))  # (n, 4, 4) each
    away = np.hypot(dx, dy)  # (n, 4, 4)
    kept = np.zeros(len(scenes), bool)
    for a, b in ((0, 1), (1, 0)):
        pair = np.stack([away[:, a, 2], away[:, b, 3]])  # (2, n)
        far = np.minimum(away[:, a, 3], away[:, b, 2])  # (n,)
        decoy = away[:, 2, 3] < pair.min(0)  # (n,)
        kept |= (pair.max(0) <= NEAR) & (far >= FAR) & (decoy | (not decoys_only))
    scenes = scenes.select(kept)
    changed = {}
    for name in ("shape", "colour", "size"):
        column = getattr(scenes, name).copy()  # (n, 4)
        alike = rng.random(len(scenes)) < ALIKE
        column[alike, 1] = column[alike, 0]
        changed[name] = column
    return replace(scenes, **changed)


def refer(
    part: str,
    count: int,
    kinds: Sequence[str] = KINDS,
    seed: int = 0,
    split: str = "iid",
    language: str = "en",
) -> Expressions:
    """`count` expressions, one a scene, the `kinds` in turn; a kind may be named several times.

    Every scene has at least two objects; those of "near" have four. The same arguments give the
    same expressions.

    Raises:
        ValueError: an unknown kind, part, split or language, none, or a count below 1.
    """
    if not kinds or isinstance(kinds, str) or set(kinds) - set(KINDS):
        raise ValueError(f"kinds: expected some of {', '.join(KINDS)}, got {kinds!r}")
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    rng = np.random.default_rng((seed, 16))
    wanted: dict[tuple[str, bool], int] = {}
    for n in range(count):  # of each kind with a relation, every second one has a decoy
        kind = kinds[n % len(kinds)]
        quota = kind, kind != "name" and (n // len(kinds)) % 2 == 1
        wanted[quota] = wanted.get(quota, 0) + 1
    parts, said, turn = [], [], 0
    for kind in dict.fromkeys(kinds):
        while left := sum(wanted.get((kind, decoy), 0) for decoy in (False, True)):
            size = min(20_000, max(64, POOL[kind] * left))
            pool = split_scenes(split, part, size, 1000 * seed + turn)
            turn += 1
            if kind == "near":
                pool = _with_twins(pool, not wanted.get((kind, False), 0), rng)
            rows = []
            for i in np.flatnonzero(pool.count >= 2).tolist():
                open_ = {quota for quota, number in wanted.items() if number and quota[0] == kind}
                found = [one for one in meanings(pool, i) if (one.kind, one.decoy) in open_]
                one = _draw(pool, i, found, rng, language)
                if one is not None:
                    wanted[one.kind, one.decoy] -= 1
                    rows.append(i)
                    said.append(one)
            parts.append(pool.select(np.array(rows, int)))
    order = rng.permutation(count)
    scenes = _join(parts).select(order)
    return Expressions(scenes, tuple(said[i] for i in order), boxes(scenes))


def say_again(
    given: Expressions, times: int, seed: int = 0, language: str = "en"
) -> list[Expressions]:
    """`times` other choices of words, each for all of the scenes: of the same kinds, about the same
    or another object.

    Raises:
        ValueError: `times` below 1.
    """
    if times < 1:
        raise ValueError(f"times: expected at least 1, got {times}")
    rng = np.random.default_rng((seed, 21))
    said: list[list[Expression]] = [[] for _ in range(times)]
    for i, one in enumerate(given.said):
        found = [m for m in meanings(given.scenes, i) if (m.kind, m.decoy) == (one.kind, one.decoy)]
        for row in said:
            row.append(_draw(given.scenes, i, found, rng, language) or one)
    return [Expressions(given.scenes, tuple(row), given.boxes) for row in said]


def refer_to_pairs(count: int, new: bool, seed: int = 0, language: str = "en") -> Expressions:
    """`count` expressions "the COLOUR SHAPE" about test scenes of the split "composition", of at
    least two objects: about HELD_OUT combinations (`new`), or about the others.

    Raises:
        ValueError: a count below 1.
    """
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    rng = np.random.default_rng((seed, 17))
    parts, said, turn = [], [], 0
    while len(said) < count:
        pool = split_scenes("composition", "test", 4 * count, 1000 * seed + turn)
        turn += 1
        rows = []
        for i in np.flatnonzero(pool.count >= 2).tolist():
            found = [
                one
                for one in meanings(pool, i)
                if one.kind == "name"
                and one.said.keys() == {"colour", "shape"}
                and ((one.said["colour"], one.said["shape"]) in HELD_OUT) == new
            ]
            one = _draw(pool, i, found, rng, language) if len(said) < count else None
            if one is not None:
                rows.append(i)
                said.append(one)
        parts.append(pool.select(np.array(rows, int)))
    scenes = _join(parts)
    return Expressions(scenes, tuple(said), boxes(scenes))


def exchanged_anchors(given: Expressions, seed: int = 0, language: str = "en") -> Expressions:
    """Each "near" expression with its partner's second object, so that another object is meant.

    Raises:
        ValueError: an expression of another kind.
    """
    rng = np.random.default_rng((seed, 18))
    said = []
    for i, one in enumerate(given.said):
        if one.kind != "near":
            raise ValueError(f"expected expressions of the kind 'near', got {one.kind!r}")
        others = [
            other
            for other in meanings(given.scenes, i)
            if other.kind == "near"
            and _noun(other.said, language) == one.noun
            and other.column != one.column
            and any(k == (other.anchor,) for _, k in phrases(given.scenes, i))
        ]
        if not others:  # the partner's second object has no name of its own
            said.append(one)
            continue
        other = others[rng.integers(len(others))]
        text = _related(given.scenes, i, one.noun, "near", other.anchor, rng, language)
        said.append(
            replace(one, text=text, column=other.column, anchor=other.anchor, decoy=other.decoy)
        )
    return Expressions(given.scenes, tuple(said), given.boxes)


def _join(parts: Sequence[Scenes]) -> Scenes:
    fields = Scenes.__dataclass_fields__
    return Scenes(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))

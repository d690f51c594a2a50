"""Questions as small programs, and what each program answers in each scene.

A program is a family and its arguments. `answers_of` runs many programs over many scenes at once;
where a program does not apply (no such object, or more than one "the circle"), it answers INVALID.
"""

from dataclasses import dataclass
from functools import cache
from itertools import permutations

import numpy as np

from course_utils.world.language import thing, words
from course_utils.world.scenes import COLOUR_NAMES, NONE, RADII, SHAPES, SIDE, SIZES, Scenes

FAMILIES = ("exists", "negation", "colour", "shape", "size", "count", "compare", "relation")
RELATIONS = ("left", "right", "above", "below")
NUMBERS = ("zero", "one", "two", "three", "four")
ANSWERS = ("no", "yes", *COLOUR_NAMES, *SHAPES, *SIZES, *NUMBERS)
INVALID = -1
APART = 6.0  # pixels by which centres must differ before "left of" and "above" are asked

FIRST = {
    name: ANSWERS.index(names[0])
    for name, names in (
        ("yes/no", ("no",)),
        ("colour", COLOUR_NAMES),
        ("shape", SHAPES),
        ("size", SIZES),
        ("count", NUMBERS),
    )
}


@dataclass(frozen=True)
class Program:
    """One question. None means "any"; the second thing is that of compare and relation."""

    family: str
    size: str | None = None
    colour: str | None = None
    shape: str | None = None
    colour2: str | None = None
    shape2: str | None = None
    relation: str | None = None

    def pairs(self) -> set[tuple[str, str]]:
        """The (colour, shape) combinations that the question names."""
        named = {(self.colour, self.shape), (self.colour2, self.shape2)}
        return {(c, s) for c, s in named if c and s}


@cache
def all_programs(family: str) -> tuple[Program, ...]:
    """Every program of a family.

    Raises:
        ValueError: unknown family.
    """
    C, S = COLOUR_NAMES, SHAPES
    both = [dict(colour=c, shape=s) for c in C for s in S]
    single = [dict(colour=c) for c in C] + [dict(shape=s) for s in S]
    arguments = {
        "exists": both + single,
        "negation": both + single,
        "colour": [dict(shape=s) for s in S] + [dict(size=z, shape=s) for z in SIZES for s in S],
        "shape": [dict(colour=c) for c in C] + [dict(size=z, colour=c) for z in SIZES for c in C],
        "size": both + single,
        "count": [dict(), *single],
        "compare": [dict(shape=a, shape2=b) for a, b in permutations(S, 2)]
        + [dict(colour=a, colour2=b) for a, b in permutations(C, 2)],
        "relation": [
            dict(shape=a, shape2=b, relation=r) for a, b in permutations(S, 2) for r in RELATIONS
        ]
        + [dict(colour=a, colour2=b, relation=r) for a, b in permutations(C, 2) for r in RELATIONS],
    }
    if family not in arguments:
        raise ValueError(f"family: expected one of {', '.join(FAMILIES)}, got {family!r}")
    return tuple(Program(family, **a) for a in arguments[family])


@cache
def text_of(program: Program, language: str = "en") -> str:
    """The question as a sentence."""
    table = words(language)
    key = program.family
    key = key + "?" if key in ("colour", "shape", "size", "relation") else key
    one = (program.size, program.colour, program.shape)
    two = (None, program.colour2, program.shape2)
    return table[key].format(
        thing=thing(language, *one),
        things=thing(language, *one, plural=True),
        thing2=thing(language, *two),
        things2=thing(language, *two, plural=True),
        relation=table["relation"].get(program.relation, ""),
    )


def matching(scenes: Scenes, size: str | None, colour: str | None, shape: str | None) -> np.ndarray:
    """(n, 4) bool: the objects that a description fits."""
    fits = scenes.present
    for name, names, values in (
        (size, SIZES, scenes.size),
        (colour, COLOUR_NAMES, scenes.colour),
        (shape, SHAPES, scenes.shape),
    ):
        if name is not None:
            fits = fits & (values == names.index(name))
    return fits


def answers_of(program: Program, scenes: Scenes) -> np.ndarray:
    """(n,) int8 index into ANSWERS, or INVALID where the question does not apply."""
    fits = matching(scenes, program.size, program.colour, program.shape)  # (n, 4)
    number = fits.sum(1)  # (n,)
    family = program.family
    if family == "exists":
        answer = number > 0
    elif family == "negation":
        answer = number == 0
    elif family == "count":
        answer = FIRST["count"] + number
    elif family == "compare":
        other = matching(scenes, None, program.colour2, program.shape2).sum(1)
        answer = np.where(number + other > 0, number > other, INVALID)
    elif family == "relation":
        answer = _relation(program, scenes, fits)
    else:  # colour, shape and size are asked of the one object that fits
        values = getattr(scenes, family)
        value = np.where(fits, values, 0).sum(1)  # (n,)
        answer = np.where(number == 1, FIRST[family] + value, INVALID)
    return answer.astype(np.int8)


def _relation(program: Program, scenes: Scenes, fits: np.ndarray) -> np.ndarray:
    """Whether the one thing lies left of, right of, above or below the other one."""
    other = matching(scenes, None, program.colour2, program.shape2)  # (n, 4)
    centre = scenes.cx if program.relation in ("left", "right") else scenes.cy
    difference = np.where(fits, centre, 0).sum(1) - np.where(other, centre, 0).sum(1)  # (n,)
    yes = difference < 0 if program.relation in ("left", "above") else difference > 0
    clear = (fits.sum(1) == 1) & (other.sum(1) == 1) & (np.abs(difference) >= APART)
    return np.where(clear, yes, INVALID)


@cache
def _programs_by_text(language: str) -> dict[str, Program]:
    return {_plain(text_of(p, language)): p for family in FAMILIES for p in all_programs(family)}


def _plain(text: str) -> str:
    """Without capitals, question marks (Chinese has its own) and double spaces."""
    return " ".join(text.lower().replace("?", " ").replace("？", " ").split())


def parse(text: str, language: str = "en") -> Program:
    """The program of a question in the world's words.

    Raises:
        ValueError: not such a question; the message shows one of each family.
    """
    if not isinstance(text, str):
        raise ValueError(f"expected a question as a string, got {text!r}")
    known = _programs_by_text(language)
    if _plain(text) not in known:
        examples = "; ".join(text_of(all_programs(f)[-1], language) for f in FAMILIES)
        raise ValueError(f"expected a question such as: {examples}; got {text!r}")
    return known[_plain(text)]


def ask(text: str, scenes: Scenes, i: int = 0, language: str = "en") -> str:
    """The true answer to a question about scene i.

    Raises:
        ValueError: the question can't be parsed, or does not apply to the scene.
    """
    program = parse(text, language)
    if not 0 <= i < len(scenes):
        raise ValueError(f"i: expected a scene from 0 to {len(scenes) - 1}, got {i}")
    answer = int(answers_of(program, scenes.select(np.array([i])))[0])
    if answer == INVALID:
        raise ValueError(f"{text!r} does not apply: the scene holds {scenes.describe(i)}")
    return ANSWERS[answer]


def counterfactual(scenes: Scenes, i: int, program: Program, seed: int = 0) -> Scenes:
    """Scene i with one attribute of one object changed, so that the answer becomes another one.

    Changes colour, shape, size, or the place (to another free one).

    Raises:
        ValueError: the question does not apply, or no single change flips it.
    """
    before = answers_of(program, scenes.select(np.array([i])))[0]
    if before == INVALID:
        raise ValueError(f"{text_of(program)!r} does not apply to scene {i}")
    candidates = _single_changes(scenes, i, np.random.default_rng((seed, i)))
    after = answers_of(program, candidates)
    flips = ((after != before) & (after != INVALID)).nonzero()[0]
    if not len(flips):
        raise ValueError(f"no single change flips {text_of(program)!r} in scene {i}")
    chosen = np.random.default_rng((seed, i, 1)).choice(flips)
    return candidates.select(np.array([chosen]))


def _single_changes(scenes: Scenes, i: int, rng: np.random.Generator) -> Scenes:
    """Every scene that differs from scene i in one attribute of one object."""
    changes = []  # (field, column, value, second value)
    for k in range(int(scenes.count[i])):
        for field, names in (("colour", COLOUR_NAMES), ("shape", SHAPES), ("size", SIZES)):
            now = getattr(scenes, field)[i, k]
            values = [value for value in range(len(names)) if value != now]
            if field == "size":  # an object that grows may reach another one, or the border
                values = [value for value in values if _has_room(scenes, i, k, RADII[value])]
            changes += [(field, k, value, None) for value in values]
        changes += [("place", k, cx, cy) for cx, cy in _free_places(scenes, i, k, rng)]
    copies = scenes.select(np.full(len(changes), i))
    arrays = {f: getattr(copies, f) for f in ("shape", "colour", "size", "cx", "cy")}
    for row, (field, k, value, second) in enumerate(changes):
        if field == "place":
            arrays["cx"][row, k], arrays["cy"][row, k] = value, second
        else:
            arrays[field][row, k] = value
    return Scenes(**arrays, ground=copies.ground, texture=copies.texture)


def _has_room(scenes: Scenes, i: int, k: int, radius: float) -> bool:
    """Whether object k of scene i, with this radius, stays inside and touches no other object."""
    cx, cy = scenes.cx[i, k], scenes.cy[i, k]
    if min(cx, cy, SIDE - cx, SIDE - cy) < radius + 0.5:
        return False
    return all(
        max(abs(scenes.cx[i, j] - cx), abs(scenes.cy[i, j] - cy))
        >= radius + RADII[scenes.size[i, j]] + 1
        for j in range(scenes.shape.shape[1])
        if j != k and scenes.present[i, j]
    )


def _free_places(scenes: Scenes, i: int, k: int, rng: np.random.Generator):
    """Middles of grid cells that are far from every other object, slightly moved."""
    third = 64 / 3
    others = [j for j in range(4) if j != k and scenes.shape[i, j] != NONE]
    for row in range(3):
        for column in range(3):
            cx, cy = (np.array([column, row]) + 0.5) * third + rng.uniform(-0.5, 0.5, 2)
            if all(
                max(abs(scenes.cx[i, j] - cx), abs(scenes.cy[i, j] - cy)) > third - 2
                for j in others
            ):
                yield np.float32(cx), np.float32(cy)

"""Words about clips: captions, and questions whose answer turns around when a clip does."""

from typing import NamedTuple

import numpy as np

from course_utils.world.language import thing, words
from course_utils.world.motion import DIRECTIONS, Clips
from course_utils.world.scenes import COLOUR_NAMES, SHAPES

# One table a language, as in world/language.py
SENTENCES = {
    "en": {
        "answer": dict(left="left", right="right", up="up", down="down", yes="yes", no="no"),
        "direction": "which way does the {thing} move?",
        "which": "does the {thing} move {way}?",
        "first": "which colour comes first?",
        "last": "which colour comes last?",
        "moves": "a {thing} moves {way}",
        "and": " and ",
        "appear": "a {thing} comes first and a {thing2} comes last",
    },
    "zh": {
        "answer": dict(left="左", right="右", up="上", down="下", yes="是", no="否"),
        "direction": "{thing}向哪边移动？",
        "which": "{thing}向{way}移动吗？",
        "first": "先出现的是什么颜色？",
        "last": "后出现的是什么颜色？",
        "moves": "一个{thing}向{way}移动",
        "and": "，",
        "appear": "先出现一个{thing}，后出现一个{thing2}",
    },
}
WAYS = tuple(DIRECTIONS)
ANSWERS = ("no", "yes", *WAYS, *COLOUR_NAMES)  # of all kinds; in English


class Questions(NamedTuple):
    """One question a clip."""

    texts: list[str]  # (n,)
    answers: np.ndarray  # (n,) index into ANSWERS


def _table(language: str) -> dict:
    words(language)  # refuses an unknown one
    return SENTENCES[language]


def answer_in(language: str, answer: int) -> str:
    """The text of an answer, by its index into ANSWERS.

    Raises:
        ValueError: an unknown language.
    """
    name, table = ANSWERS[answer], _table(language)["answer"]
    return table[name] if name in table else words(language)["colour"][name]


def _noun(clips: Clips, i: int, k: int, language: str) -> str:
    colour, shape = COLOUR_NAMES[clips.colour[i, k]], SHAPES[clips.shape[i, k]]
    return thing(language, None, colour, shape)


def way_of(clips: Clips, i: int, k: int = 0) -> str:
    """Where object k of clip i moves: "left", "right", "up" or "down".

    Raises:
        ValueError: it doesn't move.
    """
    dx = float(clips.cx[i, -1, k] - clips.cx[i, 0, k])
    dy = float(clips.cy[i, -1, k] - clips.cy[i, 0, k])
    if dx == dy == 0:
        raise ValueError(f"clip {i}: expected an object that moves, object {k} doesn't")
    if abs(dx) >= abs(dy):
        return "left" if dx < 0 else "right"
    return "up" if dy < 0 else "down"


def in_turn(clips: Clips, i: int) -> list[int]:
    """The objects of clip i, in the order in which they appear."""
    first = clips.shown[i].argmax(0)  # (objects,) the first frame of each
    return np.argsort(first, kind="stable").tolist()


def same_way(clips: Clips) -> np.ndarray:
    """(n,) bool: where both objects of a clip move the same way.

    Raises:
        ValueError: clips of another kind than "which".
    """
    if clips.kind != "which":
        raise ValueError(f"expected clips of the kind 'which', got {clips.kind!r}")
    return np.array([way_of(clips, i, 0) == way_of(clips, i, 1) for i in range(len(clips))])


def questions(clips: Clips, seed: int = 0, language: str = "en", forms: int = 2) -> Questions:
    """A question about each clip, and its answer.

    What is asked is drawn from the seed and the clip's place in the list alone. So clips and their
    reverses get the same questions with the same seed, and all answers are the other ones.

    With forms=1 the questions are "does ... move right?" and "which colour comes first?" alone;
    with 2 half of them say "left" and "last".

    Raises:
        ValueError: an unknown language, or another number of forms.
    """
    if forms not in (1, 2):
        raise ValueError(f"forms: expected 1 or 2, got {forms!r}")
    table = _table(language)
    coin = np.random.default_rng((seed, 23)).integers(0, 2, (len(clips), 2))  # (n, 2)
    coin[:, 1] *= forms - 1
    texts, answers = [], []
    for i, (k, other) in enumerate(coin.tolist()):
        if clips.kind == "direction":
            texts.append(table["direction"].format(thing=_noun(clips, i, 0, language)))
            answers.append(way_of(clips, i))
        elif clips.kind == "which":
            asked = ("right", "left")[other]
            way = table["answer"][asked]
            texts.append(table["which"].format(thing=_noun(clips, i, k, language), way=way))
            answers.append("yes" if way_of(clips, i, k) == asked else "no")
        else:
            texts.append(table["last" if other else "first"])
            answers.append(COLOUR_NAMES[clips.colour[i, in_turn(clips, i)[-1 if other else 0]]])
    return Questions(texts, np.array([ANSWERS.index(answer) for answer in answers], int))


def clip_captions(clips: Clips, language: str = "en") -> list[str]:
    """A sentence a clip that tells what moves where, or what comes first. Of two moving objects the
    upper one is named first, so that there is one right caption.

    Raises:
        ValueError: an unknown language.
    """
    table, found = _table(language), []
    for i in range(len(clips)):
        if clips.kind == "first":
            one, two = (_noun(clips, i, k, language) for k in in_turn(clips, i))
            found.append(table["appear"].format(thing=one, thing2=two))
            continue
        objects = np.argsort(clips.cy[i, 0], kind="stable").tolist()
        if clips.kind == "direction":
            objects = [0]
        parts = [
            table["moves"].format(
                thing=_noun(clips, i, k, language), way=table["answer"][way_of(clips, i, k)]
            )
            for k in objects
        ]
        found.append(table["and"].join(parts))
    return found


def every_sentence(language: str) -> list[str]:
    """Sentences that together hold every word of captions, questions and answers about clips."""
    table, found = _table(language), []
    nouns = [thing(language, None, colour, shape) for colour in COLOUR_NAMES for shape in SHAPES]
    for noun in nouns:
        for way in (table["answer"][name] for name in WAYS):
            found += [table[name].format(thing=noun, way=way) for name in ("which", "moves")]
        found += [table["direction"].format(thing=noun)]
        found += [table["appear"].format(thing=noun, thing2=noun)]
    found += [table["first"], table["last"], *table["answer"].values(), table["and"]]
    return found

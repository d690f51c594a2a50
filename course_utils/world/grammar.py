"""Sentences without pictures, from a grammar whose entropy is known exactly.

    there is a large red circle left of a small blue cross

Each choice on the way to a sentence has a known probability, and a sentence can be made in one way
only. So the probability of every sentence is known, and no model can do better in the mean.
"""

import math
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from course_utils.world.captions import THERE_IS, WITH_RELATION, WITH_SIZE
from course_utils.world.language import thing, words
from course_utils.world.questions import RELATIONS
from course_utils.world.scenes import COLOUR_NAMES, SHAPES, SIZES


@dataclass(frozen=True)
class Grammar:
    """Every sentence of the grammar with its probability."""

    texts: tuple[str, ...]  # (sentences,), none twice
    p: np.ndarray  # (sentences,) float64, sums to 1

    def log_prob(self, text: str) -> float:
        """log p(text) in nat; -inf where the grammar can't give it."""
        row = _rows().get(text)
        return -math.inf if row is None else math.log(self.p[row])

    def sample(self, n: int, seed: int = 0) -> list[str]:
        """`n` sentences, drawn independently."""
        rng = np.random.default_rng((seed, 13))
        return [self.texts[i] for i in rng.choice(len(self.texts), n, p=self.p)]

    @property
    def entropy(self) -> float:
        """-sum of p log p, in nat a sentence."""
        return float(-(self.p * np.log(self.p)).sum())

    @property
    def tokens(self) -> float:
        """Mean number of tokens that a model predicts in a sentence: its words and the end."""
        return float(self.p @ [len(text.split()) + 1 for text in self.texts])

    @property
    def entropy_per_token(self) -> float:
        """Nat a predicted token: the least mean loss that a language model can have."""
        return self.entropy / self.tokens


@cache
def grammar() -> Grammar:
    """The course's grammar, in English.

    A thing has a colour and a shape. Half of the sentences tell sizes, of every thing that they
    name. "there is" comes first in 30 %. Half go on: one of four relations, then a second thing. It
    has the first one's colour and another shape, or, as often, its shape and another colour. All
    else is drawn evenly.
    """
    table = words("en")
    p_thing = 1 / (len(COLOUR_NAMES) * len(SHAPES))
    p_relation = WITH_RELATION / len(RELATIONS)
    found: list[tuple[str, float]] = []
    for told, (form, p_form) in product(
        (True, False), (("caption", 1 - THERE_IS), ("caption there", THERE_IS))
    ):
        sizes = SIZES if told else (None,)
        p_first = p_form * (WITH_SIZE if told else 1 - WITH_SIZE) * p_thing / len(sizes)
        for size, colour, shape in product(sizes, COLOUR_NAMES, SHAPES):
            first = table[form].format(thing=thing("en", size, colour, shape))
            found.append((first, p_first * (1 - WITH_RELATION)))
            for relation, size2, colour2, shape2 in product(RELATIONS, sizes, COLOUR_NAMES, SHAPES):
                if (colour2 == colour) != (shape2 == shape):  # they differ in one of the two
                    others = len(SHAPES if colour2 == colour else COLOUR_NAMES) - 1
                    text = table["caption relation"].format(
                        caption=first,
                        relation=table["relation"][relation],
                        thing=thing("en", size2, colour2, shape2),
                    )
                    found.append((text, p_first * p_relation / len(sizes) / 2 / others))
    texts, p = zip(*found)
    return Grammar(texts, np.array(p))


@cache
def _rows() -> dict[str, int]:
    return {text: row for row, text in enumerate(grammar().texts)}

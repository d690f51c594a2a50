"""Which captions of the world's grammar are true of which scene, and how much each tells."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from course_utils.world.captions import caption_distribution
from course_utils.world.language import words
from course_utils.world.scenes import Scenes


class TrueCaptions:
    """All true captions of each scene: `truth(text, i)` says whether a text is one of scene i's."""

    def __init__(self, scenes: Scenes, language: str = "en"):
        self.of = [caption_distribution(scenes, i, language) for i in range(len(scenes))]

    def __len__(self) -> int:
        return len(self.of)

    def __call__(self, text: str, i: int) -> bool:
        """Whether `text` is true of scene i, and a sentence of the grammar."""
        return text in self.of[i]

    def surprises(self, text: str, i: int, end: str = "[END]") -> list[float]:
        """-log p in nat of each word of a true caption in English, and of its end, given scene i
        and the words before it.

        Raises:
            ValueError: the caption isn't true of scene i.
        """
        if not self(text, i):
            raise ValueError(f"text: expected a true caption of scene {i}, got {text!r}")
        of = {(*caption.split(), end): p for caption, p in self.of[i].items()}
        row, left, found = (*text.split(), end), 1.0, []
        for n in range(1, len(row) + 1):
            p = sum(q for other, q in of.items() if other[:n] == row[:n])
            found.append(math.log(left / p))
            left = p
        return found

    def entropy(self) -> float:
        """The mean over scenes of the entropy of their captions, in nat: no captioner's expected
        loss is lower."""
        return mean(-sum(p * math.log(p) for p in of.values()) for of in self.of)

    def bits(self) -> "Information":
        """How much each caption tells, measured on these scenes."""
        return Information(Counter(text for of in self.of for text in of), len(self.of))


@dataclass(frozen=True)
class Information:
    """`bits(text)`: minus the base-2 logarithm of the share of scenes of which a caption is true.
    One that is true of none of them is taken for true of one in twice as many."""

    scenes_of: Counter
    scenes: int

    def __call__(self, text: str) -> float:
        return -math.log2(max(self.scenes_of[text], 0.5) / self.scenes)


@dataclass(frozen=True)
class Told:
    """What captions say, on average over pictures."""

    true: float  # share
    true_relation: float  # share of those that tell a relation; 0 where none does
    true_at_random: float  # of those with one relation, when it is exchanged for one at random
    true_other: float  # share of the others; 0 where there are none
    length: float  # words
    size: float  # share that tells a size
    relation: float  # share that tells a relation
    bits: float  # of the true ones; 0 where none is true
    different: int  # captions


def relations_of(text: str) -> list[str]:
    """The different relations that a caption in English tells, such as "left of"."""
    return [relation for relation in words("en")["relation"].values() if f" {relation} " in text]


def tells_relation(text: str) -> bool:
    """Whether a caption in English says where one thing is, seen from another."""
    return bool(relations_of(text))


def with_each_relation(text: str) -> list[str]:
    """A caption in English that tells a relation, with each of the four in its place.

    Raises:
        ValueError: it tells none, or several.
    """
    relations, mine = words("en")["relation"].values(), relations_of(text)
    if len(mine) != 1:
        raise ValueError(f"text: expected a caption with one relation, got {text!r}")
    return [text.replace(f" {mine[0]} ", f" {other} ") for other in relations]


def told(texts: Sequence[str], truth: TrueCaptions, information: Information) -> Told:
    """What captions in English, one a scene of `truth`, say.

    Raises:
        ValueError: not one a scene.
    """
    if len(texts) != len(truth) or not texts:
        raise ValueError(f"texts: expected {len(truth)}, one a scene, got {len(texts)}")
    table = words("en")
    sizes = set(table["size"].values())
    right = [truth(text, i) for i, text in enumerate(texts)]
    bits = [information(text) for text, ok in zip(texts, right) if ok]
    related = [tells_relation(text) for text in texts]
    split = {
        kind: [ok for ok, told_one in zip(right, related) if told_one == kind]
        for kind in (True, False)
    }
    by_chance = [
        truth(other, i)
        for i, text in enumerate(texts)
        if len(relations_of(text)) == 1
        for other in with_each_relation(text)
    ]
    return Told(
        mean(right),
        mean(split[True] or [0]),
        mean(by_chance or [0]),
        mean(split[False] or [0]),
        mean(len(text.split()) for text in texts),
        mean(bool(sizes & set(text.split())) for text in texts),
        mean(related),
        mean(bits) if bits else 0.0,
        len(set(texts)),
    )

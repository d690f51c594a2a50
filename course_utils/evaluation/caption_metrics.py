"""How good is a sentence? Overlap with other people's words (BLEU, CIDEr), and what it says of the
picture: the objects that it states, against those that are there."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

SIGMA = 6.0  # words; how quickly CIDEr-D's factor falls with the difference in length


def n_grams(text: str, n: int) -> Counter[tuple[str, ...]]:
    """How often each row of n neighbouring words occurs. Words stand between spaces."""
    words = text.split()
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def clipped_matches(candidate: str, references: Sequence[str], n: int) -> tuple[int, int]:
    """How many of the candidate's n-grams are in a reference, and how many it has. An n-gram counts
    at most as often as in the one reference that has it most often (Papineni et al. 2002, "BLEU",
    section 2.1)."""
    own = n_grams(candidate, n)
    most: Counter[tuple[str, ...]] = Counter()
    for reference in references:
        most |= n_grams(reference, n)  # the larger count of each
    return sum((own & most).values()), sum(own.values())


def _check(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if isinstance(candidates, str) or len(candidates) == 0 or len(candidates) != len(references):
        raise ValueError(
            f"expected candidates, and as many lists of references, got {len(candidates)} "
            f"and {len(references)}"
        )
    for texts in references:
        if isinstance(texts, str) or not texts:
            raise ValueError(f"references: expected a list of texts each, got {texts!r}")


def bleu(candidates: Sequence[str], references: Sequence[Sequence[str]], n: int = 4) -> float:
    """BLEU of a whole corpus, from 0 to 1: the geometric mean of the clipped precisions of 1- to
    n-grams, each summed over all candidates, times exp(1 - r / c) where the candidates' c words are
    fewer than the r of their references (of each candidate's the one closest in length, the shorter
    at a tie). 0 where any of the precisions is 0. Nothing is smoothed (Papineni et al. 2002).

    Raises:
        ValueError: no candidate, or not a list of references for each.
    """
    _check(candidates, references)
    if n < 1:
        raise ValueError(f"n: expected at least 1, got {n}")
    log_precision = 0.0
    for k in range(1, n + 1):
        pairs = [clipped_matches(c, r, k) for c, r in zip(candidates, references)]
        matches, total = (sum(column) for column in zip(*pairs))
        if matches == 0:
            return 0.0
        log_precision += math.log(matches / total) / n
    own = sum(len(c.split()) for c in candidates)
    theirs = 0
    for candidate, texts in zip(candidates, references):
        length = len(candidate.split())
        theirs += min((abs(len(t.split()) - length), len(t.split())) for t in texts)[1]
    return math.exp(min(0.0, 1 - theirs / own) + log_precision)


def cider(
    candidates: Sequence[str], references: Sequence[Sequence[str]], n: int = 4
) -> list[float]:
    """CIDEr-D of each candidate, from 0 to 10; the score of a system is their mean.

    Each text becomes a vector of its n-grams, weighted by their counts and by log(pictures /
    pictures with that n-gram in a reference). The score is the mean over references and over 1- to
    4-grams of their cosine, with the candidate's weights cut at the reference's, times
    exp(-(difference in length)^2 / (2 * 6^2)), times 10 (Vedantam et al. 2014, arXiv 1411.5726,
    equation 5; the D has no stemming). With one picture, or where all references have the same
    n-grams, all weights are 0, and so are all scores.

    Raises:
        ValueError: no candidate, or not a list of references for each.
    """
    _check(candidates, references)
    pictures: Counter[tuple[str, ...]] = Counter()  # with the n-gram in at least one reference
    for texts in references:
        pictures.update({gram for t in texts for k in range(1, n + 1) for gram in n_grams(t, k)})

    def vector(text: str, k: int) -> dict[tuple[str, ...], float]:
        return {
            gram: count * math.log(len(references) / max(1, pictures[gram]))
            for gram, count in n_grams(text, k).items()
        }

    def similarity(text: str, reference: str, k: int) -> float:
        a, b = vector(text, k), vector(reference, k)
        norms = math.hypot(*a.values()) * math.hypot(*b.values())
        shared = sum(min(a[gram], b[gram]) * b[gram] for gram in a.keys() & b.keys())
        return shared / norms if norms else 0.0

    scores = []
    for candidate, texts in zip(candidates, references):
        total = 0.0
        for text in texts:
            apart = len(candidate.split()) - len(text.split())
            near = math.exp(-(apart**2) / (2 * SIGMA**2))
            total += near * sum(similarity(candidate, text, k) for k in range(1, n + 1)) / n
        scores.append(10 * total / len(texts))
    return scores


@dataclass(frozen=True)
class Objects:
    """Objects that sentences state, against those that are there."""

    sentences: int
    exact: int  # sentences that state what is there, no more and no less
    hallucinating: int  # sentences with at least one object that isn't there
    stated: int  # objects in all sentences
    invented: int  # of these, not there
    there: int  # objects in all pictures

    @property
    def f1(self) -> float:
        """Of objects, over all sentences together: 2 * right / (stated + there)."""
        return 2 * (self.stated - self.invented) / max(1, self.stated + self.there)

    @property
    def chair_i(self) -> float:
        """Share of the stated objects that aren't there."""
        return self.invented / max(1, self.stated)

    @property
    def chair_s(self) -> float:
        """Share of the sentences with at least one of these."""
        return self.hallucinating / self.sentences


def count_objects(stated: Sequence[Sequence | None], there: Sequence[Sequence]) -> Objects:
    """Compares what each sentence states (None where it can't be read) with what is there; a thing
    that is stated twice must be there twice. A sentence that can't be read states nothing: it is
    not exact, and invents nothing, so count such sentences beside. `chair_i` and `chair_s` are
    those of Rohrbach et al. 2018, arXiv 1809.02156, section 3.1, but for whole objects, with size
    and colour.

    Raises:
        ValueError: no sentences, or not one picture each.
    """
    if not stated or len(stated) != len(there):
        raise ValueError(f"expected a picture for each sentence, got {len(there)}, {len(stated)}")
    exact = hallucinating = invented = 0
    for said, true in zip(stated, there):
        wrong = (Counter(said or ()) - Counter(true)).total()
        invented += wrong
        hallucinating += wrong > 0
        exact += said is not None and Counter(said) == Counter(true)
    return Objects(
        len(stated),
        exact,
        hallucinating,
        sum(len(said or ()) for said in stated),
        invented,
        sum(map(len, there)),
    )

"""BLEU equal to torchmetrics, CIDEr-D to its definition with dense vectors, objects by counting."""

import math
import random

import numpy as np
import pytest
from torchmetrics.functional.text import bleu_score

from course_utils.evaluation.caption_metrics import bleu, cider, clipped_matches, count_objects
from course_utils.evaluation.true_captions import TrueCaptions, told
from course_utils.world import caption_log_prob, captions, sample_scenes

WORDS = ["a", "large", "small", "red", "blue", "circle", "cross", "above", "left", "of"]


def corpus(seed, pictures=30):
    rng = random.Random(seed)
    references = [
        [" ".join(rng.choices(WORDS, k=rng.randint(3, 9))) for _ in range(rng.randint(1, 4))]
        for _ in range(pictures)
    ]
    candidates = []
    for texts in references:
        words = rng.choice(texts).split()
        words[rng.randrange(len(words))] = rng.choice(WORDS)
        candidates.append(" ".join(words[: rng.randint(2, 9)]))
    return candidates, references


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [1, 2, 4])
def test_bleu_equals_torchmetrics(seed, n):
    candidates, references = corpus(seed)
    # at a tie in length torchmetrics 1.9 takes the reference that comes first, not the shorter one
    references = [sorted(texts, key=lambda text: len(text.split())) for texts in references]
    want = bleu_score(candidates, references, n_gram=n).item()
    assert bleu(candidates, references, n) == pytest.approx(want, abs=1e-6)


def test_matches_are_clipped_by_one_reference_and_not_by_their_sum():
    # the example of Papineni et al. 2002, section 2.1: 2 of 7, not 7 of 7 and not 3 of 7
    references = ["the cat is on the mat", "there is a cat on the mat"]
    assert clipped_matches("the the the the the the the", references, 1) == (2, 7)
    assert clipped_matches("a", references, 4) == (0, 0)


def test_bleu_of_short_and_of_perfect_texts():
    assert bleu(["a red circle"], [["a red circle"]]) == 0.0  # it has no 4-gram
    assert bleu(["a red circle"], [["a red circle"]], 3) == 1.0
    assert bleu(["a red"], [["a red circle now"]], 1) == pytest.approx(math.exp(1 - 4 / 2))
    # of two references that are as near in length the shorter one counts: no penalty
    assert bleu(["a b"], [["a b c", "a"]], 1) == 1.0


def dense_cider(candidates, references):
    """CIDEr-D once more: one dense vector a text, over all n-grams of all texts."""

    def grams(text, n):
        words = text.split()
        return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]

    scores = np.zeros(len(candidates))
    for n in range(1, 5):
        names = sorted(
            {g for texts in references for t in texts for g in grams(t, n)}
            | {g for t in candidates for g in grams(t, n)}
        )
        has = np.array(
            [[any(g in grams(t, n) for t in texts) for g in names] for texts in references]
        ).reshape(len(references), len(names))
        idf = np.log(len(references)) - np.log(np.maximum(has.sum(0), 1))
        for i, texts in enumerate(references):
            hyp = np.array([grams(candidates[i], n).count(g) for g in names], float) * idf
            for t in texts:
                ref = np.array([grams(t, n).count(g) for g in names], float) * idf
                norm = np.sqrt((hyp**2).sum()) * np.sqrt((ref**2).sum())
                sim = (np.minimum(hyp, ref) * ref).sum() / norm if norm else 0.0
                d = len(candidates[i].split()) - len(t.split())
                scores[i] += 10 / 4 / len(texts) * sim * np.exp(-(d**2) / 72)
    return scores


@pytest.mark.parametrize("seed", range(3))
def test_cider_equals_its_definition(seed):
    candidates, references = corpus(seed, 20)
    assert cider(candidates, references) == pytest.approx(list(dense_cider(candidates, references)))


def test_cider_of_perfect_captions():
    """What the published implementation gives too: 10 with two pictures and texts of four words
    and more; a quarter less for each n-gram that a shorter text lacks; 0 with one picture."""
    long = ["a small red circle above crosses", "two large blue squares left of it"]
    assert cider(long, [[t] for t in long]) == pytest.approx([10, 10])
    for words, want in ((3, 7.5), (2, 5.0), (1, 2.5)):
        short = [" ".join(t.split()[:words]) for t in long]
        assert cider(short, [[t] for t in short]) == pytest.approx([want, want])
    assert cider(long[:1], [long[:1]]) == [0.0]
    assert cider(long[:1] * 2, [long[:1]] * 2) == [0.0, 0.0]


@pytest.mark.parametrize("metric", [bleu, cider])
def test_bad_references_are_named(metric):
    for wrong in (([], []), (["a"], []), ("ab", [["a"], ["b"]]), (["a"], ["a"]), (["a"], [[]])):
        with pytest.raises(ValueError, match="expected"):
            metric(*wrong)
    with pytest.raises(ValueError, match="n: expected at least 1"):
        bleu(["a"], [["a"]], 0)


def test_objects_are_counted():
    a, b, c = ("large", "red", "circle"), ("small", "blue", "cross"), ("small", "red", "cross")
    found = count_objects([[a, b], [a, a], None, [b]], [[b, a], [a], [c], [b, c]])
    assert (found.sentences, found.exact, found.hallucinating) == (4, 1, 1)
    assert (found.stated, found.invented, found.there) == (5, 1, 6)
    assert found.f1 == pytest.approx(2 * 4 / 11)
    assert found.chair_i == 1 / 5 and found.chair_s == 1 / 4
    with pytest.raises(ValueError, match="a picture for each"):
        count_objects([[a]], [])


def test_true_captions_are_those_of_the_grammar():
    scenes = sample_scenes(60, np.random.default_rng(5))
    truth = TrueCaptions(scenes)
    drawn = captions(scenes, seed=1)
    assert all(truth(text, i) for i, text in enumerate(drawn))
    assert not truth("a purple circle", 0) and not truth("", 0)
    loss = [-caption_log_prob(text, scenes, i) for i, text in enumerate(captions(scenes, seed=2))]
    assert truth.entropy() == pytest.approx(np.mean(loss), abs=0.4)
    bits = truth.bits()
    common = max(truth.of[0], key=truth.of[0].get)
    assert bits(common) == -math.log2(sum(common in of for of in truth.of) / 60)
    assert bits("a purple circle") == math.log2(120)
    found = told(drawn, truth, bits)
    assert found.true == 1 and 0.3 < found.size < 0.7 and found.different > 40
    wrong = told(["a small red circle above a purple dot"] * 60, truth, bits)
    assert (wrong.true, wrong.size, wrong.relation, wrong.length) == (0, 1, 1, 8)
    assert wrong.bits == 0 and wrong.different == 1
    two = told(["a red cross left of a red circle above a red square"] * 60, truth, bits)
    assert (two.true, two.relation, two.true_relation, two.true_at_random) == (0, 1, 0, 0)
    with pytest.raises(ValueError, match="expected 60"):
        told(drawn[:3], truth, bits)

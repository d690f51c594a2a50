"""The grammar: one derivation a sentence, exact probabilities and entropy."""

import math
from collections import Counter

import numpy as np
import pytest

from course_utils.world.grammar import grammar
from course_utils.world.scenes import COLOUR_NAMES, SHAPES


def test_probabilities_sum_to_one_and_each_sentence_has_one_derivation():
    g = grammar()
    assert len(set(g.texts)) == len(g.texts) == len(g.p)
    assert g.p.min() > 0 and g.p.sum() == pytest.approx(1, abs=1e-12)


def test_entropy_is_the_sum_over_the_choices():
    coin = math.log(2)
    there = -0.3 * math.log(0.3) - 0.7 * math.log(0.7)
    colour, shape = math.log(len(COLOUR_NAMES)), math.log(len(SHAPES))
    second = math.log(4) + coin + (math.log(len(COLOUR_NAMES) - 1) + math.log(len(SHAPES) - 1)) / 2
    sizes = coin * (1 + 0.5) / 2  # told in half of the sentences, of one thing or of two
    by_choices = there + coin + sizes + colour + shape + coin + second / 2
    assert grammar().entropy == pytest.approx(by_choices, abs=1e-9)
    # "there is", "a", size, colour and shape, the end; relation (1 or 2 words), and the same again
    tokens = 0.6 + 1 + 0.5 + 2 + 1 + (1.5 + 1 + 0.5 + 2) / 2
    assert grammar().tokens == pytest.approx(tokens, abs=1e-9)
    assert grammar().entropy_per_token == pytest.approx(by_choices / tokens, abs=1e-9)


def test_samples_follow_the_probabilities():
    g, n = grammar(), 20_000
    texts = g.sample(n, seed=1)
    assert texts == g.sample(n, seed=1) != g.sample(n, seed=2)
    nll = -np.array([g.log_prob(text) for text in texts])
    assert abs(nll.mean() - g.entropy) < 4 * nll.std() / math.sqrt(n)
    starts = Counter(text.split()[0] for text in texts)
    assert abs(starts["there"] / n - 0.3) < 0.015
    assert abs(np.mean([" of " in t or "above" in t or "below" in t for t in texts]) - 0.5) < 0.015


def test_what_the_grammar_cannot_give_has_no_probability():
    g = grammar()
    assert g.log_prob("a red circle above a red cross") > -math.inf
    for text in (
        "a red circle above a red circle",
        "a red circle above a blue cross",
        "a red",
        "a circle red",
        "a small red circle above a red cross",
        "",
    ):
        assert g.log_prob(text) == -math.inf

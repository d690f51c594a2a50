"""The studies of lesson 13: kept rows, and short runs that repeat."""

from itertools import product
from pathlib import Path

import pytest
import torch

from course_utils.datasets.captions import CaptionBatch, encode_rows
from course_utils.methods.reward_tuning import RewardConfig
from course_utils.studies import answers_in_words, captions, reward
from course_utils.studies.runs import read_runs
from course_utils.training.fit import FitConfig

DATA = Path(__file__).resolve().parents[2] / "data" / "studies"
SHORT = FitConfig(epochs=1, max_steps=2)


def test_every_run_is_there_once():
    rows = read_runs(DATA / "captions.json")
    assert [(r["model"], r["seed"]) for r in rows] == list(product(captions.MODELS, range(3)))
    rows = read_runs(DATA / "reward.json")
    assert [(r["reward"], r["seed"]) for r in rows] == list(product(reward.REWARDS, range(3)))


def test_every_answering_run_has_the_rate_that_validation_chose():
    rows = read_runs(DATA / "answers_in_words.json")
    for method, language in product(answers_in_words.METHODS, answers_in_words.LANGUAGES):
        rate = answers_in_words.best_rate(rows, method)
        seeds = [
            r["seed"]
            for r in rows
            if (r["method"], r["language"], r["rate"]) == (method, language, rate)
        ]
        assert seeds == [0, 1, 2]


def test_a_short_captioner_repeats():
    found = [captions.run("seeing", 0, 70, 20, SHORT) for _ in range(2)]
    assert found[0] == found[1]
    blind = captions.run("blind", 0, 70, 20, SHORT)
    assert blind["loss"] == blind["loss_exchanged"] and blind["own"] == blind["exchanged"]
    with pytest.raises(ValueError, match="got 'deaf'"):
        captions.run("deaf", 0, 70, 20, SHORT)


def test_a_short_tuning_repeats():
    config = RewardConfig(updates=2, pictures=2, group=2)
    found = [reward.run("information", 1, 20, 20, config) for _ in range(2)]
    assert found[0] == found[1] and 0 <= found[0]["true"] <= 1
    with pytest.raises(ValueError, match="got 'fame'"):
        reward.reward_of("fame", reward.truth("test", 20), reward.truth("test", 20).bits())


def test_rewards_are_what_they_say():
    true = reward.truth("test", 20)
    information = true.bits()
    text = next(text for text in true.of[3] if " left of " in text or " above " in text)
    short = min(true.of[3], key=len)
    for name, want in (("true", 1), ("true, kl", 1), ("relation", 1)):
        assert reward.reward_of(name, true, information)(text, 3) == want
    assert reward.reward_of("relation", true, information)(short, 3) == 0
    assert reward.reward_of("information", true, information)(short, 3) == information(short) / 8
    for name in ("true", "true, kl", "information", "information, half", "relation"):
        assert reward.reward_of(name, true, information)("a purple dot", 3) == 0


def test_the_blind_answer_is_the_most_common_of_its_family():
    english, chinese = (answers_in_words.most_common("test", 60, 40, name) for name in ("en", "zh"))
    assert english == chinese  # the same questions
    assert 0.25 < english < 0.45  # two, seven, three and four answers, nearly balanced


@pytest.mark.parametrize("method", answers_in_words.METHODS)
def test_short_answering_repeats(method):
    found = [answers_in_words.run(method, "zh", 1e-3, 0, 30, 10, SHORT) for _ in range(2)]
    assert found[0] == found[1]


def test_the_classifier_never_sees_the_answer():
    model = answers_in_words.Classifier().eval()
    question, other = "what colour is the circle?", "is there a red circle?"
    v = torch.randn(2, 16, 64)
    with torch.no_grad():
        logits = [
            model(CaptionBatch(v, *encode_rows([question, other], list(pair))))
            for pair in (("red", "no"), ("blue", "yes"))
        ]
        apart = model(CaptionBatch(v, *encode_rows([other, question], ["no", "red"])))
    assert torch.equal(*logits) and not torch.allclose(apart, logits[0])


def test_answers_are_found_behind_the_question():
    for language, texts in (("en", ["red", "no"]), ("zh", ["红色", "否"])):
        x, mask = encode_rows(["is there a circle?"] * 2, texts)
        batch = CaptionBatch(torch.zeros(2, 16, 64), x, mask)
        numbers = answers_in_words.right_answers(batch, language)
        assert [answers_in_words.ANSWERS[i] for i in numbers] == ["red", "no"]


def test_both_languages_ask_about_the_same_pictures():
    english, chinese = (answers_in_words.questions("test", 10, name) for name in ("en", "zh"))
    assert english.scenes.keys() == chinese.scenes.keys()
    assert (english.answers == chinese.answers).all()
    assert (english.scene_index == chinese.scene_index).all()

"""What a few own pictures are worth: the kept runs, and one of them again."""

import pytest

from course_utils.datasets.files import data_path
from course_utils.own.pictures import OWN_FIT
from course_utils.studies import own_pictures
from course_utils.studies.runs import read_runs


def stored():
    return read_runs(data_path("studies/own_pictures.json"))


def test_every_setting_is_there_once():
    key = own_pictures.STUDY.key
    wanted = [key(s) for s in own_pictures.settings(own_pictures.SEEDS, [])]
    found = [key(row) for row in stored()]
    assert len(found) == len(set(found)) and set(found) == set(wanted)
    assert {examples for _, examples, _ in own_pictures.MEASURED} == set(own_pictures.SIZES)


def test_the_default_rate_is_the_one_that_validation_chose():
    assert own_pictures.best_rate(stored(), "lora") == OWN_FIT.lr


def test_the_rate_with_the_best_mean_counts():
    rows = [
        dict(method="a", examples=320, rate=rate, seed=seed, validation=score, accuracy=rate)
        for rate, scores in ((1, (0.5, 0.7)), (2, (0.8, 0.2)))
        for seed, score in enumerate(scores)
    ]
    assert own_pictures.best_rate(rows, "a") == 1
    assert own_pictures.accuracies(rows, "a", 320, 2) == [2, 2]


@pytest.mark.parametrize("method", ["lora", "pictures exchanged"])
def test_a_run_gives_the_stored_accuracy(method):
    again = own_pictures.run(method, OWN_FIT.lr, 20, 0)
    told = next(
        r for r in stored() if all(r[k] == again[k] for k in ("method", "rate", "examples", "seed"))
    )
    assert again["accuracy"] == pytest.approx(told["accuracy"], abs=0.1)
    assert [len(part) for part in own_pictures.parts(20, 0)] == [16, 4, 320]


def test_exchanged_questions_keep_words_and_answers_and_lose_their_pictures():
    for part in own_pictures.parts(20, 0):
        other = part.shuffle_images(0)
        assert other.questions == part.questions and (other.y == part.y).all()
        assert (other.image_index != part.image_index).all()

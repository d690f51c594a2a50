"""`check`, `hint` and `quiz`: what they say, what they return, and what they leave alone."""

import importlib
import json
import pkgutil
import random

import numpy as np
import pytest
import torch

import course_utils.checks as checks
from course_utils.checks import Exercise, Feedback, call, check, compare, hint, quiz


def double(x):
    return 2 * x


def _test_double(function):
    for x in (torch.arange(4.0), torch.arange(6.0).view(2, 3)):
        compare(call(function, x), 2 * x, "the result")


SAMPLE = Exercise("Double", 5, 1, double, _test_double, ("Multiply.", "2 * x."),
                  mistakes=((lambda x: x + 2, "You added 2."),))  # fmt: skip


@pytest.fixture(autouse=True)
def sample(monkeypatch, tmp_path):
    monkeypatch.setattr(checks, "exercise", lambda number: SAMPLE)
    monkeypatch.setenv("COURSE_REFERENCE", "0")
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "home" / "progress.json"))
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.setattr(checks, "_hints_shown", {})
    return tmp_path / "home" / "progress.json"


def said(capsys, answer):
    returned = check("99.1", answer)
    return capsys.readouterr().out, returned


def test_a_right_answer_is_returned_and_noted(capsys, sample):
    mine = lambda x: x + x  # noqa: E731
    text, returned = said(capsys, mine)
    assert text == "Exercise 99.1: right.\n" and returned is mine
    assert list(json.loads(sample.read_text())) == ["99.1"]


def raises(x):
    return x[7]


def not_attempted(x):
    raise NotImplementedError


@pytest.mark.parametrize(
    "answer, expected",
    [
        (None, "not attempted"),
        (not_attempted, "not attempted"),
        (3.0, "expected a function, got a number"),
        (lambda x: None, "got None. Does every path return something?"),
        (lambda x: x + 2, r"largest difference is 2 at index (0,). You added 2."),
        (lambda x: 2 * x + 1e-3, "0.001 at index (0,). That is close"),
        (lambda x: (2 * x)[None], "wrong shape, expected (4,), got (1, 4)"),
        (lambda x: "two", "expected a tensor, got a text"),
        (lambda x: x / 0, "values are inf or nan"),
        (lambda x: 2 * x > 1, "expected float32 values, got bool"),
        (raises, "It raised IndexError"),
    ],
)
def test_feedback_says_what_is_wrong(capsys, answer, expected):
    text, returned = said(capsys, answer)
    assert expected in text and "right." not in text
    assert returned is double


@pytest.mark.parametrize("answer", [None, not_attempted, lambda x: x])
def test_grading_raises_where_it_is_not_right(monkeypatch, answer):
    monkeypatch.setenv("NBGRADER_EXECUTION", "validate")
    with pytest.raises(Feedback, match="99.1"):
        check("99.1", answer)


def test_a_check_changes_no_random_number_and_no_input():
    def greedy(x):
        random.random(), np.random.rand(), torch.rand(3)
        x *= 2
        return x

    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    assert check("99.1", greedy) is greedy
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), states[2])


def test_hints_come_one_after_the_other(capsys):
    for expected in ("Hint 1 of 2 for 99.1: Multiply.", "Hint 2 of 2 for 99.1: 2 * x.") * 2:
        if "Multiply" in expected and checks._hints_shown.get("99.1"):
            expected = "Hint 2 of 2 for 99.1: 2 * x."  # the last one stays
        hint("99.1")
        assert capsys.readouterr().out.strip() == expected


@pytest.mark.parametrize(
    "got, want, message",
    [
        ({"a"}, {"a", "b"}, "got {'a'}, which is not it"),
        ([1, 2], {1, 2}, "expected a set, got a list"),
        ([1, 2, 3], [1, 2, 4], r"1 of 3 values differ, the largest difference is 1 at index \(2,\)"),
        (1, True, "expected True or False, got a whole number"),
        (float("nan"), 1.0, "inf or nan"),
    ],
)
def test_compare_other_kinds(got, want, message):
    with pytest.raises(Feedback, match=message):
        compare(got, want)


def test_compare_accepts_equals_in_other_clothes():
    compare(np.array([1.0, 2.0]), torch.tensor([1.0, 2.0]))
    compare([torch.tensor(1.0), torch.tensor(2.0)], [1.0, 2.0])
    compare(torch.tensor(float("inf")), float("inf"))
    compare(1_000_000.0 + 0.5, 1_000_000.0)  # relative to the size of what is wanted


def test_quiz_hides_its_answers(capsys):
    quiz([("Why?", "Because <of> it.")])
    text = capsys.readouterr().out
    assert "Why?" in text and "Because" not in text
    page = checks._Quiz([("Why?", "Because <of> it.")])._repr_html_()
    assert "<details>" in page and "Because &lt;of&gt; it." in page


def test_unknown_ids_list_the_known_ones(monkeypatch):
    monkeypatch.undo()
    with pytest.raises(KeyError, match="this lesson has 07.1, 07.2"):
        checks.exercise("07.99")
    with pytest.raises(KeyError, match="no such lesson"):
        checks.exercise("77.1")


# Every exercise of every lesson


LESSONS = [m.name for m in pkgutil.iter_modules(checks.__path__) if m.name.startswith("lesson")]
EXERCISES = [
    (number, exercise)
    for name in LESSONS
    for number, exercise in importlib.import_module(f"course_utils.checks.{name}").EXERCISES.items()
]


@pytest.mark.parametrize("number, exercise", EXERCISES, ids=[n for n, _ in EXERCISES])
def test_the_courses_own_answer_passes(number, exercise):
    exercise.test(exercise.reference)
    assert len(exercise.hints) == 2 and all(len(hint) > 10 for hint in exercise.hints)
    assert exercise.difficulty in (1, 2, 3) and exercise.minutes > 0


@pytest.mark.parametrize("number, exercise", EXERCISES, ids=[n for n, _ in EXERCISES])
def test_plausible_mistakes_are_refused_each_with_its_reason(monkeypatch, capsys, number, exercise):
    monkeypatch.setattr(checks, "exercise", lambda _: exercise)
    for wrong, reason in exercise.mistakes:
        assert check(number, wrong) is exercise.reference
        text = capsys.readouterr().out
        assert "not yet" in text and reason in text

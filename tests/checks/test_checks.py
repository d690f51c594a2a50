"""`check`, `hint` and `quiz`: what they say, what they return, and what they leave alone."""

import importlib
import json
import os
import random
import re
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import course_utils.checks as checks
from course_utils.checks import (
    Exercise,
    Feedback,
    call,
    check,
    choice,
    compare,
    compare_prediction,
    hint,
    prediction,
    progress,
    quiz,
    value,
)
from course_utils.checks.feedback import alike
from course_utils.notebook import lab

GOES_ON = " The lesson continues with the course's solution.\n"


def double(x):
    return 2 * x


def _test_double(function):
    for x in (torch.arange(4.0), torch.arange(6.0).view(2, 3)):
        compare(call(function, x), 2 * x, "the result")


SAMPLE = Exercise(
    "Double",
    5,
    1,
    double,
    _test_double,
    ("Multiply.", "2 * x."),
    mistakes=(
        (lambda x: x + 2, "You added 2."),
        (lambda x: x[:1], "Only one."),
        (lambda x: x.nothing, "There is nothing."),
    ),
)


@pytest.fixture(autouse=True)
def sample(monkeypatch, tmp_path):
    monkeypatch.setattr(checks, "exercise", lambda number: SAMPLE)
    monkeypatch.setenv("COURSE_REFERENCE", "0")
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "home" / "progress.json"))
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.delenv("COURSE_GRADING", raising=False)
    monkeypatch.setattr(checks, "_hints_shown", {})
    return tmp_path / "home" / "progress.json"


def said(capsys, answer):
    returned = check("99.1", answer)
    return capsys.readouterr().out, returned


def test_a_right_answer_is_returned_and_noted(capsys, sample):
    mine = lambda x: x + x
    text, returned = said(capsys, mine)
    assert text == "Exercise 99.1: right.\n" and returned is mine
    assert list(json.loads(sample.read_text())) == ["99.1"]


def test_what_is_graded_or_compared_is_not_noted(monkeypatch, capsys, sample):
    for name, setting in (
        ("NBGRADER_EXECUTION", "autograde"),
        ("COURSE_GRADING", "1"),
        ("COURSE_REFERENCE", "1"),
    ):
        monkeypatch.setenv("COURSE_REFERENCE", "0")
        monkeypatch.setenv(name, setting)
        assert said(capsys, double)[0] == "Exercise 99.1: right.\n"
        assert not sample.exists()
        monkeypatch.delenv(name)


def raises(x):
    return x[7]


def not_attempted(x):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, "not attempted"),
        (..., "not attempted"),
        (not_attempted, "not attempted"),
        (3.0, "not yet. expected a function, got a number."),
        (lambda x: None, "got None. Does every path return something?"),
        (lambda x: x + 2, r"largest difference is 2 at index (0,). You added 2."),
        (lambda x: 2 * x + 1e-3, "0.001 at index (0,). That is close"),
        (lambda x: (2 * x)[None], "wrong shape, expected (4,), got (1, 4)"),
        (lambda x: "two", "expected a tensor, got a text"),
        (lambda x: x / 0, "values are inf or nan"),
        (lambda x: 2 * x > 1, "expected float32 values, got bool"),
        (raises, "It raised IndexError: index 7 is out of bounds"),
        (lambda: 0, "takes 0 positional arguments but 1 was given"),
        (lambda x: torch.nn.Module()(x), "It raised NotImplementedError: Module"),
        (lambda x: (2 * x).long(), "expected float32 values, got int64"),
        (lambda x: (2 * x).numpy(), "expected a tensor, got an array"),
        (lambda x: 2 * x.flatten(), "wrong shape, expected (2, 3), got (6,)"),
        (lambda x: 2 * x.T if x.ndim == 2 else 2 * x, "Rows and columns are exchanged"),
        (lambda x: (2 * x).mean(), "wrong shape, expected (4,), got ()"),
        (lambda x: -2 * x, "All of them have the wrong sign."),
        (lambda x: 6 * x, "All of them are 3 times too large."),
        (lambda x: x, "All of them are 0.5 times what they should be."),
        (lambda x: 2 * x - 1, "All of them are off by the same 1."),
        (lambda x: 2 * x.flip(0), "They are the right values in another order."),
        (lambda x: torch.add(x, torch.tensor(2.0)), "You added 2."),
        (lambda x: x.narrow(0, 0, 1), "Only one."),
    ],
)
def test_feedback_says_what_is_wrong(capsys, answer, expected):
    text, returned = said(capsys, answer)
    assert expected in text and "right." not in text
    assert returned is double


@pytest.mark.parametrize("name", ["NBGRADER_EXECUTION", "COURSE_GRADING"])
@pytest.mark.parametrize("answer", [None, not_attempted, lambda x: x])
def test_grading_raises_where_it_is_not_right(monkeypatch, answer, name):
    monkeypatch.setenv(name, "1")
    with pytest.raises(Feedback, match=r"99.1"):
        check("99.1", answer)


def test_a_check_that_is_run_twice_does_not_count_the_course_s_own_answer(capsys):
    given = check("99.1", None)
    assert check("99.1", given) is given
    said = capsys.readouterr().out
    assert "right" not in said and "this is the course's solution" in said
    assert check("99.1", lambda x: 2 * x) is not given  # an answer of one's own counts


@pytest.mark.parametrize(("number", "wrong", "right"), [("03.4", "a", "b"), ("11.9", 32, 16)])
def test_a_text_or_a_number_that_was_given_back_is_not_the_learner_s(
    number, wrong, right, capsys, monkeypatch
):
    exercises = checks._exercises(number[:2])
    monkeypatch.setattr(checks, "exercise", lambda name: exercises[name])
    given = check(number, wrong)
    capsys.readouterr()
    assert check(number, given) == right and "the course's solution. Run" in capsys.readouterr().out
    check(number, right)  # typed by the learner, it counts
    assert f"Exercise {number}: right" in capsys.readouterr().out


def test_code_above_the_raise_that_was_left_is_noticed(capsys):
    def forgot(x):
        doubled = 2 * x
        raise NotImplementedError
        return doubled

    check("99.1", forgot)
    assert "still stands there" in capsys.readouterr().out
    check("99.1", not_attempted)
    assert "still stands there" not in capsys.readouterr().out


def test_an_answer_that_writes_into_its_input_is_refused(capsys):
    def in_place(x):
        x *= 2
        return x

    assert check("99.1", in_place) is double
    assert "changes its input 1" in capsys.readouterr().out


def test_a_check_changes_no_random_number_and_no_input():
    def greedy(x):
        random.random(), np.random.rand(), torch.rand(3)
        return 2 * x

    def wrong(x):
        torch.set_grad_enabled(False)
        return greedy(x) + torch.rand(1)

    lab.seed_everything(123)
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    assert check("99.1", greedy) is greedy and check("99.1", wrong) is double
    assert torch.is_grad_enabled()
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), states[2])


def test_a_random_answer_gets_the_same_words_each_time(capsys):
    noisy = lambda x: x + torch.rand(x.shape)
    lab.seed_everything(7)
    first = said(capsys, noisy)
    lab.seed_everything(8)
    assert said(capsys, noisy) == first


def test_an_error_is_told_in_one_line_with_the_line_of_the_cell(capsys):
    source = textwrap.dedent("""
        def broken(x):
            y = x + 1
            raise ValueError("first line\\nsecond line")
        """)
    names = {}
    exec(compile(source, "/tmp/ipykernel_12/345.py", "exec"), names)
    text, _ = said(capsys, names["broken"])
    assert text.removeprefix("Exercise 99.1: not yet. ") == (
        "It raised ValueError: first line (line 4 of your cell). The lesson continues with "
        "the course's solution.\n"
    )


def test_two_mistakes_that_cannot_be_told_apart_are_both_named(monkeypatch, capsys):
    twice = Exercise(
        "Double",
        5,
        1,
        double,
        _test_double,
        ("Multiply.", "2 * x."),
        mistakes=(
            (lambda x: x + 2, "You added."),
            (lambda x: 2 + x, "A sum."),
            (lambda x: x + 3, "You added 3."),
            (7, "That is a number."),
        ),
    )
    monkeypatch.setattr(checks, "exercise", lambda number: twice)
    assert said(capsys, lambda x: x + 2)[0].removesuffix(GOES_ON).endswith("You added. Or: A sum.")
    assert (
        said(capsys, 7)[0].removesuffix(GOES_ON).endswith("got a whole number. That is a number.")
    )
    assert said(capsys, lambda x: x**2)[0].removesuffix(GOES_ON).endswith(" at index (3,).")


def test_a_mistake_with_the_same_words_but_other_values_is_not_named(capsys):
    assert "Only one." in said(capsys, lambda x: x.narrow(0, 0, 1))[0]
    text, _ = said(capsys, lambda x: x[1:2])
    assert "expected (4,), got (1,)" in text and "Only one." not in text


def test_hints_come_one_after_the_other(capsys):
    for expected in ("Hint 1 of 2 for 99.1: Multiply.", "Hint 2 of 2 for 99.1: 2 * x.") * 2:
        if "Multiply" in expected and checks._hints_shown.get("99.1"):
            expected = "Hint 2 of 2 for 99.1: 2 * x."  # the last one stays
        hint("99.1")
        assert capsys.readouterr().out.strip() == expected


@pytest.mark.parametrize(
    ("got", "want", "message"),
    [
        ({"a", "c"}, {"a", "b"}, "'c' should not be there and 1 missing"),
        ({"a": 1.0}, {"a": 2.0}, "result, 'a': got 1, which is too small"),
        ({"a": 1.0}, {"b": 1.0}, "the keys: 'a' should not be there and 1 missing"),
        ("Red ", "red", "Only capitals or spaces differ"),
        ("blue", "red", "got 'blue', which is not right"),
        ("x" * 200, "red", r"xxx\.\.\., which"),
        (False, True, "got False, which is not right"),
        (-0.5, 0.5, "got -0.5, which has the wrong sign"),
        (0.50002, 0.5, "too large. That is close"),
        (["a"], ["a", "b"], "expected 2 entries, got 1"),
        ((torch.ones(2), torch.ones(2, 2)), (torch.ones(2), torch.zeros(2, 2)), "entry 1: 4 of 4"),
        (torch.ones(3), torch.zeros(3, dtype=torch.long), "expected int64 values, got float32"),
        (torch.ones(2, 3), torch.ones(2), r"expected \(2,\), got \(2, 3\)"),
        (torch.ones(2), torch.tensor(1.0), "a mean, a sum or a count is missing"),
        ([1, 2], {1, 2}, "expected a set, got a list"),
        ([1, 2, 3], [1, 2, 4], r"1 of 3 .* the largest difference is 1 at index \(2,\)"),
        (1, True, "expected True or False, got a whole number"),
        (float("nan"), 1.0, "inf or nan"),
    ],
)
def test_compare_other_kinds(got, want, message):
    with pytest.raises(Feedback, match=message):
        compare(got, want)


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (0.003, 0.002),  # half as large again
        (torch.tensor([3e-4, 1e-4]), torch.tensor([2e-4, 1e-4])),
        (torch.zeros(2), torch.tensor([3e-5, 2e-5])),
        (5e-4, 0.0),
    ],
)
def test_a_small_number_that_is_wrong_is_not_called_close_or_related(got, want):
    with pytest.raises(Feedback) as told:
        compare(got, want)
    assert "close" not in str(told.value) and "All of them" not in str(told.value)


def test_a_model_is_called_a_model():
    with pytest.raises(Feedback, match="expected a number, got a model"):
        compare(torch.nn.Linear(1, 1), 1.0)


def test_compare_accepts_equals_in_other_clothes():
    compare(np.array([1.0, 2.0]), [1.0, 2.0])
    compare(torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([1.0, 2.0]))
    compare(torch.tensor([1.0, 2.0], requires_grad=True).bfloat16(), torch.tensor([1.0, 2.0]))
    compare((torch.ones(2), torch.ones(2, 2)), [torch.ones(2), torch.ones(2, 2)])
    compare({"a": torch.ones(2)}, {"a": torch.ones(2)})
    compare(np.bool_(True), True)
    compare(torch.tensor(True), True)
    compare(2, 2.0)
    compare([torch.tensor(1.0), torch.tensor(2.0)], [1.0, 2.0])
    compare(torch.tensor(float("inf")), float("inf"))
    compare(1_000_000.0 + 0.5, 1_000_000.0)  # relative to the size of what is wanted


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (torch.ones(2), torch.ones(2), True),
        (torch.ones(2), 1 + 1e-6 * torch.ones(2), True),
        (torch.ones(2), torch.zeros(2), False),
        (torch.ones(2), torch.ones(2, 1), False),
        (None, None, True),
        (None, 1, False),
        (double, double, True),
        (double, len, False),
        (SimpleNamespace(a=1), SimpleNamespace(a=2), False),
    ],
)
def test_alike(one, other, same):
    assert alike(one, other) == same


# Common kinds of exercise


def test_values_choices_and_predictions():
    value(3, "the count")(3.0)
    with pytest.raises(Feedback, match="the count: got 4, which is too large"):
        value(3, "the count")(4)
    which = choice("b", {"a": "It is blind.", "c": "It is slow."})
    for same in (" B", "b)", "(b)", "B."):
        which(same)
    with pytest.raises(Feedback, match=r"'c' is not right. It is slow."):
        which("c")
    for answer in ("d", 3, ["b"]):
        with pytest.raises(Feedback, match="expected one of 'a', 'b', 'c', got"):
            which(answer)
    guess = prediction(0, 100, "%")
    for answer in (0, 55.5, torch.tensor(100)):
        guess(answer)
    for answer in (-1, 101, "many", True, torch.tensor(True), np.bool_(True), [50], float("nan")):
        with pytest.raises(Feedback, match="expected a number from 0 to 100 %, got"):
            guess(answer)
    for answer in (0.55, np.float64(0.55), torch.tensor(0.55)):
        with pytest.raises(Feedback, match=r"less than 1 %. Did you mean 55"):
            guess(answer)
        prediction(0, 100, "%", below_1=True)(answer)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("%", "Predicted: 95.0 %, measured: 82.4 (81.0 ± 0.5) %."),
        ("", "Predicted: 95.0, measured: 82.4 (81.0 ± 0.5)."),
    ],
)
def test_a_prediction_stands_beside_the_measurement(monkeypatch, tmp_path, capsys, unit, expected):
    path = tmp_path / "spreads.json"
    path.write_text('{"99.a": {"mean": 81, "std": 0.5}}')
    monkeypatch.setattr(lab, "data_path", lambda name: path)
    compare_prediction("99.a", 95, 82.42, unit)
    assert capsys.readouterr().out == expected + "\n"


# Quiz and progress


def test_quiz_hides_its_answers(capsys):
    quiz([("Why?", "Because <of> it.")])
    text = capsys.readouterr().out
    assert "Why?" in text and "Because" not in text
    page = checks._Quiz([("Why?", "Because <of> it.")])._repr_html_()
    assert "<details>" in page and "Because &lt;of&gt; it." in page
    assert "<code>x &lt; 1</code>" in checks._Quiz([("`x < 1`?", "No.")])._repr_html_()
    for wrong in [("Why?",), ("Why?", " "), ("Why?", 3)]:
        with pytest.raises(ValueError, match=r"expected .question, answer."):
            quiz([wrong])


def test_progress_shows_what_is_done(monkeypatch, capsys):
    progress()
    assert re.search(r"08 +0 of 9 +○○○○○○○○○", capsys.readouterr().out)
    lab.mark_done("08.2", "2026-01-01")
    progress(["08"])
    assert re.search(r"08 +1 of 9 +○●○○○○○○○", capsys.readouterr().out)
    monkeypatch.setenv("COURSE_REFERENCE", "1")
    progress(["08"])
    assert "0 of 9" in capsys.readouterr().out


def test_a_home_that_is_read_only_does_not_break_a_check(monkeypatch, capsys, sample):
    def refuse(*args, **kwargs):
        raise PermissionError("read-only")

    for name in ("replace", "open"):
        monkeypatch.setattr(os, name, refuse)
    text, returned = said(capsys, double)
    assert "right." in text and "could not be saved: read-only" in text and returned is double


def test_unknown_ids_list_the_known_ones(monkeypatch):
    monkeypatch.undo()
    with pytest.raises(KeyError, match=r"this lesson has 08.1, 08.2"):
        checks.exercise("08.99")
    for number in ("77.1", "", 7.2, "feedback"):
        with pytest.raises(KeyError, match="no such lesson"):
            checks.exercise(number)


# Every exercise of every lesson


EXERCISES = [
    (number, exercise)
    for lesson in checks.lessons()
    for number, exercise in importlib.import_module(
        f"course_utils.checks.lesson{lesson}"
    ).EXERCISES.items()
]


@pytest.mark.parametrize(("number", "exercise"), EXERCISES, ids=[n for n, _ in EXERCISES])
def test_the_courses_own_answer_passes(number, exercise):
    exercise.test(exercise.reference)
    assert len(exercise.hints) == 2 and all(len(hint) > 10 for hint in exercise.hints)
    assert exercise.difficulty in (1, 2, 3) and exercise.minutes > 0


@pytest.mark.parametrize(("number", "exercise"), EXERCISES, ids=[n for n, _ in EXERCISES])
def test_plausible_mistakes_are_refused_each_with_its_reason(monkeypatch, capsys, number, exercise):
    monkeypatch.setattr(checks, "exercise", lambda _: exercise)
    for wrong, reason in exercise.mistakes:
        given = check(number, wrong)
        assert given is exercise.reference or type(given) in (
            checks._CourseText,
            checks._CourseNumber,
        )
        assert given is exercise.reference or given == exercise.reference
        text = capsys.readouterr().out
        assert "not yet" in text and reason in text

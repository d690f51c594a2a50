"""Exercises and their answers: `check`, `hint`, `quiz`, `progress`.

Each lesson has a module lessonNN.py with a dictionary EXERCISES: id -> `Exercise`. Its tests call
the learner's function through `call`, on copies of the inputs, and `compare` what it returns with
an independent reference:

    def _test_double(function):
        x = torch.tensor([1.0, 3.0])
        compare(call(function, x), torch.tensor([2.0, 6.0]), "the doubled values")

    EXERCISES = {
        "99.1": Exercise("Double", 5, 1, double, _test_double, ("Multiply.", "Try 2 * x."),
                         mistakes=((lambda x: x + 2, "You added 2."),)),
        "99.2": Exercise("Count", 3, 1, 25, value(25, "the count"), (..., ...)),
        "99.3": Exercise("Which fails?", 3, 2, "b", choice("b", {"a": "Why not a."}), (..., ...)),
        "99.4": Exercise("Guess", 2, 1, 50, prediction(0, 100, "%"), (..., ...)),
    }

An answer that returns what a mistake returns is told that mistake's reason.
"""

import datetime
import html
import importlib
import os
import pkgutil
import random
import re
import textwrap
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from IPython.display import display

from course_utils.checks.feedback import (
    Exercise,
    Feedback,
    alike,
    call,
    choice,
    compare,
    listening,
    prediction,
    value,
)
from course_utils.notebook import lab, plots

__all__ = [
    "Exercise",
    "Feedback",
    "call",
    "check",
    "choice",
    "compare",
    "compare_prediction",
    "hint",
    "prediction",
    "progress",
    "quiz",
    "value",
]

GOES_ON = "The lesson continues with the course's solution."

_hints_shown: dict[str, int] = {}
_handed_out: set[str] = set()  # exercises for which `check` gave the course's solution back


def lessons() -> list[str]:
    """The numbers of the lessons that have exercises: ["00", "01", ...]."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    return sorted(name.removeprefix("lesson") for name in names if name.startswith("lesson"))


def _exercises(lesson: str) -> dict[str, Exercise]:
    return importlib.import_module(f"course_utils.checks.lesson{lesson}").EXERCISES


def exercise(number: str) -> Exercise:
    """The exercise with this id, such as "08.2".

    Raises:
        KeyError: there is none; the message lists those of the lesson.
    """
    lesson = str(number).partition(".")[0]
    if lesson not in lessons():
        raise KeyError(f"expected an id such as '08.2', got {number!r}: no such lesson")
    if number not in _exercises(lesson):
        raise KeyError(f"no exercise {number!r}; this lesson has {', '.join(_exercises(lesson))}")
    return _exercises(lesson)[number]


def check(number: str, answer: Any) -> Any:
    """Checks an answer and says what is wrong with it.

    Returns the learner's answer if it is right, and the course's solution if not, so that a
    notebook runs to its end whatever state its exercises are in. While nbgrader grades
    (NBGRADER_EXECUTION is set), or with COURSE_GRADING=1, a wrong or missing answer raises
    `Feedback` instead.
    """
    this = exercise(number)
    if _is_the_course_s(number, answer):  # the cell was run twice
        again = "this is the course's solution. Run the cell with your answer first."
        print(f"Exercise {number}: {again}")
        return answer
    grading = bool(os.environ.get("NBGRADER_EXECUTION")) or os.environ.get("COURSE_GRADING") == "1"
    message = _verdict(this, answer)
    if not message:
        print(f"Exercise {number}: {'noted' if hasattr(this.test, 'noted') else 'right'}.")
        if not grading:
            lab.mark_done(number, datetime.date.today().isoformat())
        return answer
    print(f"Exercise {number}: {message} {GOES_ON}")
    if grading:
        raise Feedback(f"exercise {number}: {message}")
    _handed_out.add(number)
    return _marked(this.reference)


class _CourseText(str):
    """A text that `check` gave back: equal to any other, and known again."""


class _CourseNumber(int):
    """The same for a whole number."""


def _marked(value: Any) -> Any:
    """The value as it is handed out. Python keeps one object for all equal texts and whole numbers,
    so these get a type of their own."""
    if isinstance(value, bool):
        return value
    for kind, own in ((str, _CourseText), (int, _CourseNumber)):
        if isinstance(value, kind):
            return own(value)
    return value


def _is_the_course_s(number: str, answer: Any) -> bool:
    """Whether this very object was given back by `check` before."""
    given = answer is exercise(number).reference and not isinstance(answer, (int, str))
    return number in _handed_out and (given or isinstance(answer, (_CourseText, _CourseNumber)))


def _verdict(this: Exercise, answer: Any) -> str:
    """What to say about an answer; "" if it is right."""
    missing = "not attempted yet."
    if answer is None or answer is ...:
        return missing
    with _isolated():
        error, outcomes = _run(this, answer)
        if error is None:
            return ""
        if isinstance(error, NotImplementedError) and not error.args:
            left = " `raise NotImplementedError` still stands there."
            return missing + ("" if _blank(answer) else left)
        reasons = [
            reason
            for wrong, reason in this.mistakes
            if reason and _same(this, answer, error, outcomes, wrong)
        ]
    text = str(error) if isinstance(error, Feedback) else _raised(error)
    return f"not yet. {text} {' Or: '.join(reasons)}".rstrip()


def _blank(answer: Any) -> bool:
    """Whether a function does nothing but raise NotImplementedError."""
    code = getattr(answer, "__code__", None)
    return code is None or (
        code.co_names == ("NotImplementedError",)
        and code.co_nlocals == code.co_argcount + code.co_kwonlyargcount
    )


def _run(this: Exercise, answer: Any) -> tuple[Exception | None, list]:
    """What the test raises, and what the answer returned. Always from the same random state."""
    random.seed(0)
    np.random.seed(0)
    torch.default_generator.manual_seed(0)
    with listening() as outcomes:
        try:
            this.test(answer)
        except Exception as error:  # a learner's code may raise anything
            return error, outcomes
    return None, outcomes


def _same(this: Exercise, answer: Any, error: Exception, outcomes: list, wrong: Any) -> bool:
    """Whether an answer is a known mistake: it gives the same wrong values, or is the same value.
    Where neither can be compared, it fails with the very same words."""
    if not callable(wrong):
        return alike(answer, wrong)
    other, others = _run(this, wrong)
    if isinstance(error, Feedback) and outcomes and others:
        return len(outcomes) == len(others) and all(map(alike, outcomes, others))
    return str(other) == str(error)


def _raised(error: Exception) -> str:
    """The kind of error, its first line, and the line of the learner's cell, in one line."""
    first = (str(error).strip().splitlines() or [""])[0]
    short = textwrap.shorten(first, 150, placeholder=" ...")
    text = f"It raised {type(error).__name__}: {short}".rstrip(":. ")
    trace, line = error.__traceback__, None
    while trace:  # the deepest frame in a cell; a cell's file is named ipykernel_123/456.py
        if re.search("ipykernel_|ipython-input", trace.tb_frame.f_code.co_filename):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{text} (line {line} of your cell)." if line else f"{text}."


@contextmanager
def _isolated():
    """Keeps the random state: a check must not change what the lesson computes afterwards."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    gradients = torch.is_grad_enabled()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)
        torch.set_grad_enabled(gradients)


def hint(number: str) -> None:
    """Shows the first hint, and the second when called again."""
    hints = exercise(number).hints
    shown = _hints_shown.get(number, 0)
    index = min(shown, len(hints) - 1)
    _hints_shown[number] = shown + 1
    print(f"Hint {index + 1} of {len(hints)} for {number}: {hints[index]}")


def compare_prediction(
    name: str, predicted: float, measured: float, unit: str = "", digits: int = 1
) -> None:
    """Sets a prediction beside what was measured; `name` is the one of `lab.measured`."""
    found = lab.measured(name, measured, unit, digits)
    print(f"Predicted: {predicted:.{digits}f}{' ' + unit if unit else ''}, measured: {found}.")


def _page(text: str) -> str:
    """Text as HTML, with `code` between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


class _Quiz:
    """Questions whose answers open on a click; hidden where there is no HTML."""

    def __init__(self, questions: Sequence[tuple[str, str]]):
        self.questions = questions

    def _repr_html_(self) -> str:
        items = "".join(
            f"<li>{_page(question)}<details><summary>Answer</summary>{_page(answer)}</details></li>"
            for question, answer in self.questions
        )
        return f"<ol>{items}</ol>"

    def __repr__(self) -> str:
        return "\n".join(f"{i}. {q}" for i, (q, _) in enumerate(self.questions, 1))


def quiz(questions: Sequence[tuple[str, str]]) -> None:
    """Shows questions with hidden answers. Takes (question, answer) pairs.

    Raises:
        ValueError: a question without an answer.
    """
    for pair in questions:
        if len(pair) != 2 or not all(isinstance(p, str) and p.strip() for p in pair):
            raise ValueError(f"expected (question, answer), two texts, got {pair!r}")
    display(_Quiz(questions))


def progress(numbers: Sequence[str] | None = None) -> None:
    """A table of what is done: lesson, exercises solved, exercises in all. All lessons if none is
    named."""
    done = lab.load_progress()
    rows = []
    for lesson in numbers or lessons():
        ids = _exercises(lesson)
        solved = sum(number in done for number in ids)
        marks = "".join("●" if number in done else "○" for number in ids)
        rows.append((lesson, f"{solved} of {len(ids)}", marks))
    plots.table(rows, header=["lesson", "exercises solved", ""])

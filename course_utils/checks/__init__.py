"""Exercises and their answers: `check`, `hint`, `quiz`.

Each lesson has a module lessonNN.py with a dictionary EXERCISES: id -> `Exercise`.
"""

import datetime
import html
import importlib
import os
import random
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from IPython.display import HTML, display

from course_utils import lab, plots
from course_utils.checks.feedback import Exercise, Feedback, call, compare

__all__ = ["Exercise", "Feedback", "call", "check", "compare", "hint", "progress", "quiz"]

_hints_shown: dict[str, int] = {}


def exercise(number: str) -> Exercise:
    """The exercise with this id, such as "07.2".

    Raises:
        KeyError: there is none; the message lists those of the lesson.
    """
    lesson = number.partition(".")[0]
    try:
        exercises = importlib.import_module(f"course_utils.checks.lesson{lesson}").EXERCISES
    except ModuleNotFoundError:
        raise KeyError(f"expected an id such as '07.2', got {number!r}: no such lesson") from None
    if number not in exercises:
        raise KeyError(f"no exercise {number!r}; this lesson has {', '.join(exercises)}")
    return exercises[number]


def check(number: str, answer: Any) -> Any:
    """Checks an answer and says what is wrong with it.

    Returns the learner's answer if it is right, and the course's own otherwise, so that a notebook
    runs to its end whatever state its exercises are in. While nbgrader grades (NBGRADER_EXECUTION
    is set), a wrong or missing answer raises `Feedback` instead.
    """
    this = exercise(number)
    try:
        if answer is None:
            raise NotImplementedError
        with _isolated():
            _test(this, answer)
    except NotImplementedError:
        message = "not attempted yet. The lesson goes on with the course's own."
    except Feedback as feedback:
        message = f"not yet. {feedback}"
    except Exception as error:  # a learner's code may raise anything
        message = f"not yet. It raised {type(error).__name__}: {error}{_line(error)}"
    else:
        print(f"Exercise {number}: right.")
        lab.mark_done(number, datetime.date.today().isoformat())
        return answer
    print(f"Exercise {number}: {message}")
    if os.environ.get("NBGRADER_EXECUTION"):
        raise Feedback(f"exercise {number}: {message}")
    return this.reference


def _test(this: Exercise, answer: Any) -> None:
    """Runs the test; where it fails as a known mistake does, says which mistake that is."""
    try:
        this.test(answer)
    except NotImplementedError:
        raise
    except Exception as error:
        for wrong, reason in this.mistakes:
            if _same_failure(this, wrong, error):
                raise Feedback(f"{error} {reason}") from None
        raise


def _same_failure(this: Exercise, wrong: Any, error: Exception) -> bool:
    """Whether the known mistake fails with the very same words, values included."""
    try:
        this.test(wrong)
    except Exception as other:
        return type(other) is type(error) and str(other) == str(error)
    return False


@contextmanager
def _isolated():
    """Keeps the random state: a check must not change what the lesson computes afterwards."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _line(error: Exception) -> str:
    """Where in the learner's cell an error arose."""
    trace, line = error.__traceback__, None
    while trace:
        if "ipykernel" in trace.tb_frame.f_code.co_filename or "<" in trace.tb_frame.f_code.co_filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line} of your cell)" if line else ""


def hint(number: str) -> None:
    """Shows the first hint, and the second when called again."""
    hints = exercise(number).hints
    shown = _hints_shown.get(number, 0)
    index = min(shown, len(hints) - 1)
    _hints_shown[number] = shown + 1
    print(f"Hint {index + 1} of {len(hints)} for {number}: {hints[index]}")


class _Quiz:
    """Questions whose answers open on a click; hidden where there is no HTML."""

    def __init__(self, questions: list[tuple[str, str]]):
        self.questions = questions

    def _repr_html_(self) -> str:
        items = "".join(
            f"<li>{html.escape(question)}<details><summary>Answer</summary>"
            f"{html.escape(answer)}</details></li>"
            for question, answer in self.questions
        )
        return f"<ol>{items}</ol>"

    def __repr__(self) -> str:
        return "\n".join(f"{i}. {q}" for i, (q, _) in enumerate(self.questions, 1))


def quiz(questions: list[tuple[str, str]]) -> None:
    """Shows questions with hidden answers. Takes (question, answer) pairs."""
    display(_Quiz(questions))


def progress(lessons: tuple[str, ...]) -> None:
    """A table of what is done: lesson, exercises solved, exercises in all."""
    done = {} if lab.reference() else lab.load_progress()
    rows = []
    for lesson in lessons:
        ids = importlib.import_module(f"course_utils.checks.lesson{lesson}").EXERCISES
        solved = sum(number in done for number in ids)
        rows.append((lesson, f"{solved} of {len(ids)}", "●" * solved + "○" * (len(ids) - solved)))
    plots.table(rows, header=["lesson", "exercises solved", ""])



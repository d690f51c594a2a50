"""What a check says: close, wrong values, wrong shape, wrong type, with the reason if known."""

import copy
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from course_utils.checks import differences


class Feedback(AssertionError):
    """An answer is not right; the message tells the learner what is."""


@dataclass(frozen=True)
class Exercise:
    """One checked exercise of a lesson."""

    title: str
    minutes: int
    difficulty: int  # 1 to 3
    reference: Any  # the package's own function or value, with which the lesson continues
    test: Callable[[Any], None]  # raises Feedback where an answer is wrong
    hints: tuple[str, str]  # the second helps more than the first
    mistakes: tuple[tuple[Any, str], ...] = ()  # (a plausible wrong answer, what is wrong with it)


def compare(got: Any, want: Any, what: str = "result", atol: float = 1e-5) -> None:
    """Accepts `got` where it equals `want` up to `atol`; says how far off it is otherwise.

    Takes tensors, arrays, numbers, strings, sets, and lists, tuples or dictionaries of them. `atol`
    counts relative to the largest wanted value where that is above 1.

    Raises:
        Feedback: with the difference, but without the right values.
    """
    if got is None and want is not None:
        raise Feedback(f"{what}: got None. Does every path return something?")
    if isinstance(want, torch.Tensor) and not isinstance(got, torch.Tensor):
        raise Feedback(f"{what}: expected {kind(want)}, got {kind(got)}.")
    if isinstance(want, (bool, str, set, frozenset, Mapping)) or not _numeric(want):
        _compare_objects(got, want, what, atol)
        return
    if not _numeric(got):
        raise Feedback(f"{what}: {_no_numbers(got, want)}")
    _compare_types(got, want, what)
    got_array, want_array = _array(got), _array(want)
    if got_array.shape != want_array.shape:
        why = differences.of_shapes(got_array, want_array)
        raise Feedback(
            f"{what}: wrong shape, expected {want_array.shape}, got {got_array.shape}.{why}"
        )
    problem = differences.of_values(got_array, want_array, atol)
    if problem:
        raise Feedback(f"{what}: {problem}")


def _no_numbers(got: Any, want: Any) -> str:
    """What to say of something that isn't, or doesn't hold, numbers."""
    if isinstance(got, (list, tuple)) and isinstance(want, (list, tuple)):
        for i, entry in enumerate(got):
            if not _numeric(entry):
                return f"entry {i} is {_short(entry)}, expected a number."
    if kind(got) == kind(want):  # an integer beyond what an array can hold, say
        return f"got {_short(got)}, which can't be compared as a number."
    return f"expected {kind(want)}, got {kind(got)}."


def _compare_types(got: Any, want: Any, what: str) -> None:
    """Whole numbers, floats and truth values are different things in a tensor."""
    if isinstance(got, torch.Tensor) and isinstance(want, torch.Tensor):
        types = (want.dtype, got.dtype)
        same = (types[0] == torch.bool) == (types[1] == torch.bool)
        same &= types[0].is_floating_point == types[1].is_floating_point
    else:
        types = (_array(want).dtype, _array(got).dtype)
        same = (types[0].kind == "b") == (types[1].kind == "b")
    if not same:
        names = [str(dtype).removeprefix("torch.") for dtype in types]
        raise Feedback(f"{what}: expected {names[0]} values, got {names[1]}.")


def _compare_objects(got: Any, want: Any, what: str, atol: float) -> None:
    """Texts, truth values, sets, dictionaries, and sequences of tensors."""
    if isinstance(want, bool) and _truth(got):
        got = bool(got)
    if (isinstance(want, (list, tuple)) and not isinstance(got, (list, tuple))) or (
        not isinstance(want, (list, tuple)) and type(got) is not type(want)
    ):
        raise Feedback(f"{what}: expected {kind(want)}, got {kind(got)}.")
    if isinstance(want, (list, tuple)):
        if len(got) != len(want):
            raise Feedback(f"{what}: expected {len(want)} entries, got {len(got)}.")
        for i, (one, other) in enumerate(zip(got, want)):
            compare(one, other, f"{what}, entry {i}", atol)
    elif isinstance(want, Mapping):
        _compare_sets(set(got), set(want), f"{what}, the keys")
        for key in want:
            compare(got[key], want[key], f"{what}, {key!r}", atol)
    elif isinstance(want, (set, frozenset)):
        _compare_sets(set(got), set(want), what)
    elif isinstance(want, str) and got != want and _plain(got) == _plain(want):
        raise Feedback(f"{what}: got {got!r}. Only capitals or spaces differ.")
    elif got != want:
        raise Feedback(f"{what}: got {_short(got)}, which is not right.")


def _compare_sets(got: set, want: set, what: str) -> None:
    extra = ", ".join(sorted(map(repr, got - want)))
    parts = [f"{_short(extra, text=True)} should not be there"] if extra else []
    parts += [f"{len(want - got)} missing"] if want - got else []
    if parts:
        raise Feedback(f"{what}: {' and '.join(parts)}.")


def _plain(text: Any) -> str:
    return text.strip().lower()


def _truth(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.dtype == torch.bool and value.numel() == 1
    return isinstance(value, np.bool_)


def _short(value: Any, text: bool = False) -> str:
    words = value if text else repr(value)
    return words if len(words) <= 80 else f"{words[:77]}..."


def _numeric(value: Any) -> bool:
    try:
        return _array(value).dtype.kind in "biuf"
    except (ValueError, TypeError, RuntimeError):
        return False


def _array(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, (list, tuple)) and any(isinstance(v, torch.Tensor) for v in value):
        return np.stack([_array(v) for v in value])
    return np.asarray(value)


def kind(value: Any) -> str:
    """What something is, in a word that a learner knows."""
    names = {
        "Tensor": "a tensor",
        "ndarray": "an array",
        "int": "a whole number",
        "float": "a number",
        "bool": "True or False",
        "str": "a text",
        "dict": "a dictionary",
        "NoneType": "None",
    }
    if isinstance(value, np.number):
        return "a NumPy number"
    if isinstance(value, torch.nn.Module):
        return "a model"
    name = type(value).__name__
    if name not in names and callable(value):
        return "a function"
    return names.get(name, f"a {name}")


# Calling a learner's function

_outcomes: list | None = None  # what `call` returned, while `outcomes_of` listens


def call(function: Any, *inputs: Any) -> Any:
    """Calls a learner's function on copies of the inputs.

    Raises:
        Feedback: the answer isn't a function, or it writes into a tensor, array or list that it
            was given and that the lesson needs afterwards.
    """
    if not callable(function):
        raise Feedback(f"expected a function, got {kind(function)}.")
    copies = copy.deepcopy(inputs)
    outcome = function(*copies)
    for number, (given, now) in enumerate(zip(inputs, copies), start=1):
        kept = not isinstance(given, (torch.Tensor, np.ndarray, list)) or alike(now, given, atol=0)
        if not kept:
            raise Feedback(
                f"it changes its input {number}, which is needed afterwards: work on a copy."
            )
    if _outcomes is not None:
        _outcomes.append(outcome)
    return outcome


@contextmanager
def listening():
    """Collects what `call` returns: the list that it yields fills while a test runs."""
    global _outcomes
    before, _outcomes = _outcomes, []
    try:
        yield _outcomes
    finally:
        _outcomes = before


def alike(one: Any, other: Any, atol: float = 1e-4) -> bool:
    """Whether two outcomes are the same up to `atol`, of whatever kind they are."""
    if callable(one) or callable(other):
        return one is other
    try:
        compare(one, other, atol=atol)
    except Exception:  # outcomes of learners' code may be anything
        return False
    return True


def number(value: Any) -> Any:
    """The number in a tensor of one entry; anything else as it is, for `compare` to judge.

    Raises:
        Feedback: a tensor of more entries.
    """
    if isinstance(value, torch.Tensor):
        if value.numel() != 1:
            raise Feedback(f"expected one number, got a tensor of {value.numel()}.")
        return value.item()
    return value


# Tests for common kinds of exercise


def value(want: Any, what: str = "your answer", atol: float = 1e-5) -> Callable[[Any], None]:
    """The test of an exercise whose answer is a value: a number, a text, a set, a tensor."""
    return lambda answer: compare(answer, want, what, atol)


def choice(right: str, reasons: Mapping[str, str]) -> Callable[[Any], None]:
    """The test of a choice between options: `reasons` says of each wrong one why it is wrong."""

    def test(answer: Any) -> None:
        known = sorted([right, *reasons])
        text = answer.strip(" ().").lower() if isinstance(answer, str) else answer
        if not isinstance(text, str) or text not in known:
            raise Feedback(f"expected one of {', '.join(map(repr, known))}, got {answer!r}.")
        if text != right:
            raise Feedback(f"{text!r} is not right. {reasons[text]}")

    return test


def prediction(
    low: float, high: float, unit: str = "", below_1: bool = False
) -> Callable[[Any], None]:
    """The test of a number that is guessed before it is measured: anything possible is noted.

    Less than 1 % is taken for a share that was not given in per cent, unless `below_1` says that
    what is measured may be so small.
    """

    def test(answer: Any) -> None:
        number = _numeric(answer) and _array(answer).ndim == 0 and _array(answer).dtype.kind != "b"
        if not number or not low <= float(answer) <= high:
            span = f"a number from {low:g} to {high:g}{' ' + unit if unit else ''}"
            raise Feedback(f"expected {span}, got {_short(answer)}.")
        if unit == "%" and not below_1 and 0 < float(answer) < 1:
            raise Feedback(
                f"in per cent: {float(answer):g} is less than 1 %. Did you mean "
                f"{100 * float(answer):g}?"
            )

    test.noted = True  # a prediction can't be right before it's measured
    return test

"""What a check says: exact, close, wrong values, wrong shape, wrong type, with the reason."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


class Feedback(AssertionError):
    """An answer is not right; the message tells the learner what is."""


@dataclass(frozen=True)
class Exercise:
    """One checked exercise of a lesson."""

    title: str
    minutes: int
    difficulty: int  # 1 to 3
    reference: Any  # the package's own function or value, which the lesson goes on with
    test: Callable[[Any], None]  # raises Feedback where an answer is wrong
    hints: tuple[str, str]  # the second helps more than the first
    mistakes: tuple[tuple[Any, str], ...] = ()  # (a plausible wrong answer, what is wrong with it)


def compare(got: Any, want: Any, what: str = "result", atol: float = 1e-5) -> None:
    """Accepts `got` where it equals `want` up to `atol`; says how far off it is otherwise.

    Takes tensors, arrays, numbers, strings, and lists, tuples or sets of them.

    Raises:
        Feedback: with the difference, but without the right values.
    """
    if got is None:
        raise Feedback(f"{what}: got None. Does every path return something?")
    if isinstance(want, (str, set, bool, dict)) or not _numeric(want):
        if type(got) is not type(want):
            raise Feedback(f"{what}: expected {_kind(want)}, got {_kind(got)}.")
        if got != want:
            raise Feedback(f"{what}: got {got!r}, which is not it.")
        return
    want_array = _array(want)
    if not _numeric(got):
        raise Feedback(f"{what}: expected {_kind(want)}, got {_kind(got)}.")
    got_array = _array(got)
    if got_array.shape != want_array.shape:
        raise Feedback(
            f"{what}: wrong shape, expected {want_array.shape}, got {got_array.shape}."
        )
    if (want_array.dtype == bool) != (got_array.dtype == bool):
        raise Feedback(f"{what}: expected {want_array.dtype} values, got {got_array.dtype}.")
    _compare_values(got_array, want_array, what, atol)


def _compare_values(got: np.ndarray, want: np.ndarray, what: str, atol: float) -> None:
    if got.size == 0:
        return
    got, want = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(invalid="ignore"):
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        difference = np.where(same, 0.0, np.abs(got - want))
    if not np.isfinite(got[np.isfinite(want)]).all():
        bad = int((~np.isfinite(got) & np.isfinite(want)).sum())
        raise Feedback(f"{what}: {bad} of {got.size} values are inf or nan.")
    where = np.unravel_index(difference.argmax(), difference.shape)
    largest = float(difference[where])
    tolerance = atol * max(1.0, float(np.abs(want[np.isfinite(want)]).max(initial=1.0)))
    if largest <= tolerance:
        return
    place = "" if got.ndim == 0 else f" at index {tuple(int(i) for i in where)}"
    wrong = f"{int((difference > tolerance).sum())} of {got.size} values differ, " if got.ndim else ""
    close = " That is close: rounding, or a small term left out?" if largest < 100 * tolerance else ""
    raise Feedback(f"{what}: {wrong}the largest difference is {largest:.2g}{place}.{close}")


def _numeric(value: Any) -> bool:
    try:
        return _array(value).dtype.kind in "biuf"
    except (ValueError, TypeError, RuntimeError):
        return False


def _array(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, (list, tuple)) and any(isinstance(v, torch.Tensor) for v in value):
        return np.stack([_array(v) for v in value])
    return np.asarray(value)


def _kind(value: Any) -> str:
    if callable(value):
        return "a function"
    names = {"Tensor": "a tensor", "ndarray": "an array", "int": "a whole number",
             "float": "a number", "bool": "True or False", "str": "a text"}  # fmt: skip
    name = type(value).__name__
    return names.get(name, f"a {name}")


def call(function: Any, *inputs: Any) -> Any:
    """Calls a learner's function on copies of the inputs, which it may write into.

    Raises:
        Feedback: the answer isn't a function.
    """
    if not callable(function):
        raise Feedback(f"expected a function, got {_kind(function)}.")
    return function(*copy.deepcopy(inputs))

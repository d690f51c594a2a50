"""How two arrays differ, in words that help without giving the right values away."""

import numpy as np


def of_shapes(got: np.ndarray, want: np.ndarray) -> str:
    """What turns one shape into the other, where something simple does."""
    if got.ndim == want.ndim == 2 and got.shape == want.shape[::-1]:
        return " Rows and columns are exchanged."
    if [n for n in got.shape if n != 1] == [n for n in want.shape if n != 1]:
        more = "too many" if got.ndim > want.ndim else "too few"
        return f" There is an axis of size 1 {more}." if got.ndim != want.ndim else ""
    if want.ndim == 0:
        return " One number is wanted: a mean, a sum or a count is missing."
    return ""


def of_values(got: np.ndarray, want: np.ndarray, atol: float) -> str:
    """What is wrong with the values of an array of the right shape; "" if nothing is."""
    if got.size == 0:
        return ""
    truths = want.dtype == bool
    got, want = got.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(want)
    bad = int((~np.isfinite(got) & finite).sum())
    if bad:
        return f"{bad} of {got.size} values are inf or nan." if got.ndim else "got inf or nan."
    with np.errstate(invalid="ignore"):
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        difference = np.where(same, 0.0, np.abs(got - want))
    tolerance = atol * max(1.0, float(np.abs(want[finite]).max(initial=1.0)))
    largest = float(difference.max())
    if largest <= tolerance:
        return ""
    scale = float(np.abs(want[finite]).max(initial=0.0))
    close = largest < min(100 * tolerance, 0.01 * scale)
    told = _of_array if got.ndim else _of_number
    text = told(got, want, difference, tolerance)
    if close:
        return f"{text} That is close: rounding, or a small term left out?"
    return text + (
        _pattern(got, want, tolerance) if got.size > 1 and finite.all() and not truths else ""
    )


def _of_number(got, want, difference, tolerance) -> str:
    """Of a single number not even the difference is told: it would give the answer away."""
    shown = f"{got:,.0f}" if float(got).is_integer() else f"{got:.4g}"
    if got * want < 0 and abs(want) > tolerance:
        return f"got {shown}, which has the wrong sign."
    return f"got {shown}, which is too {'large' if got > want else 'small'}."


def _of_array(got, want, difference, tolerance) -> str:
    place = tuple(int(i) for i in np.unravel_index(difference.argmax(), difference.shape))
    count = int((difference > tolerance).sum())
    return (
        f"{count} of {got.size} values differ, the largest difference is "
        f"{difference.max():.2g} at index {place}."
    )


def _pattern(got: np.ndarray, want: np.ndarray, tolerance: float) -> str:
    """What relates all wrong values to the right ones, where something simple does."""

    scale = np.abs(want).max()
    if scale <= tolerance:
        return ""
    small = min(10 * tolerance, 0.01 * scale)

    def near(one, other):
        return bool((np.abs(one - other) <= small).all())

    ratio = float((got * want).sum() / (want * want).sum())
    offset = float((got - want).mean())
    if near(got, -want):
        return " All of them have the wrong sign."
    if abs(ratio) > 1e-3 and near(got / ratio, want):
        return (
            f" All of them are {ratio:.3g} times too large."
            if ratio > 1
            else (f" All of them are {ratio:.3g} times what they should be.")
        )
    if near(got - offset, want):
        return f" All of them are off by the same {abs(offset):.3g}."
    if near(np.sort(got, axis=None), np.sort(want, axis=None)):
        return " They are the right values in another order."
    return ""

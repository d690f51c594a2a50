"""What a number may be where the arithmetic is another: on another processor, with more threads.

`make disturbed` runs each lesson ten times at the reference seed with disturbed arithmetic, and
keeps every printed number that moved, with all its values, in data/disturbed/NN.json. A new run is
as if it were one more of them, so it should lie in their prediction interval,

    mean ± t(n - 1) s sqrt(1 + 1 / n),

on a logit scale for percentages and on a log scale in exponent notation. The interval's level is
such that all numbers of the course together fail falsely in fewer than FALSE_ALARMS of all test
runs (Bonferroni: no independence is needed).
"""

import json
import math
import re
import statistics
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from scipy.stats import t as student

FALSE_ALARMS = 0.01  # of the test runs of the whole course, at most
DIGITS = 1.5  # units of the last printed digit that are always allowed
FOLDER = Path(__file__).resolve().parent.parent / "data" / "disturbed"


def last_digit(number: str) -> float:
    """The size of one unit of the last printed digit: 0.01 for "1.25", 1e-06 for "1.2e-05"."""
    mantissa, _, exponent = number.lower().partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def value(number: str) -> float:
    """A printed number."""
    return float(number.replace("−", "-"))


@dataclass(frozen=True)
class Moving:
    """A printed number that moved when a lesson was run with disturbed arithmetic."""

    cell: str  # which cell prints it: see `tools.disturbed.cell_key`
    place: str  # where in its outputs
    words: str  # what is printed before it, for people
    unit: str  # what is printed after it: "%", or ""
    values: tuple[str, ...]  # as printed, a run each

    @property
    def scale(self) -> str:
        """ "logit", "log" or "linear"."""
        numbers = [value(text) for text in self.values]
        if self.unit == "%" and all(0 <= number <= 100 for number in numbers):
            return "logit"
        if any("e" in text.lower() for text in self.values) and min(numbers) > 0:
            return "log"
        return "linear"

    @property
    def digit(self) -> float:
        """A unit of the last digit of the most coarsely printed value."""
        return max(last_digit(text) for text in self.values)


def to_scale(number: float, scale: str, digit: float) -> float:
    """A number on a scale on which its scatter is about normal. Half a digit is added at both ends
    of percentages, so that the logit stays finite at 0 and at 100."""
    if scale == "logit":
        return math.log((number + digit / 2) / (100 - number + digit / 2))
    return math.log(number) if scale == "log" else number


def from_scale(number: float, scale: str, digit: float) -> float:
    """The inverse of `to_scale`."""
    if scale == "logit":
        share = 1 / (1 + math.exp(-number)) if number > -700 else 0.0
        return share * (100 + digit) - digit / 2
    return math.exp(min(number, 700)) if scale == "log" else number


def interval(numbers: list[float], level: float) -> tuple[float, float]:
    """Where the next of such numbers lies, but for a share `level` of cases.

    Raises:
        ValueError: fewer than two numbers, or a level that is no share.
    """
    if len(numbers) < 2 or not 0 < level < 1:
        raise ValueError(
            f"expected two numbers or more and a level between 0 and 1, got {len(numbers)} and "
            f"{level}"
        )
    n, mean, std = len(numbers), statistics.fmean(numbers), statistics.stdev(numbers)
    half = student.ppf(1 - level / 2, n - 1) * std * math.sqrt(1 + 1 / n)
    return mean - half, mean + half


def allowed(moving: Moving, level: float) -> tuple[float, float]:
    """The lowest and the highest value that a new run may print."""
    scale, digit = moving.scale, moving.digit
    numbers = [to_scale(value(text), scale, digit) for text in moving.values]
    low, high = (from_scale(end, scale, digit) for end in interval(numbers, level))
    mean = statistics.fmean(value(text) for text in moving.values)
    slack = DIGITS * digit * (1 + 1e-6)  # the share is for the rounding of the subtraction
    return min(low - digit / 2, mean - slack), max(high + digit / 2, mean + slack)


@cache
def read(folder: Path = FOLDER) -> dict[str, dict[tuple[str, str], Moving]]:
    """Of each lesson, by its number, all numbers that moved: (cell, place) -> Moving."""
    found = {}
    for path in sorted(folder.glob("[0-9][0-9].json")):
        rows = json.loads(path.read_text(encoding="utf-8"))["numbers"]
        moving = [Moving(**row | {"values": tuple(row["values"])}) for row in rows]
        found[path.stem] = {(m.cell, m.place): m for m in moving}
    return found


def level(folder: Path = FOLDER) -> float:
    """The share of false alarms of one number at which the whole course has FALSE_ALARMS."""
    return FALSE_ALARMS / max(1, sum(len(numbers) for numbers in read(folder).values()))


def write(path: Path, made: dict, cells: list[str], numbers: list[Moving]) -> None:
    """Keep what a lesson's runs have shown, a line a number."""
    rows = ",\n".join("  " + json.dumps(asdict(number), ensure_ascii=False) for number in numbers)
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f'{{\n "made": {json.dumps(made)},\n "cells": {json.dumps(cells)},\n'
        f' "numbers": [\n{rows}\n ]\n}}\n',
        encoding="utf-8",
    )


def tidy_words(text: str) -> str:
    """The last words before a number, as people recognise them."""
    return re.sub(r"<[^>]*>|\s+", " ", text)[-40:].strip()

"""What it means that a notebook still gives its reference outputs (a pytest plugin for nbval).

nbval runs every cell and compares as text. That is too strict for numbers (the last digit of a
training run differs from processor to processor) and too lax elsewhere: a figure that is missing,
or a cell whose outputs were cleared, passes. Here, cell by cell and output by output:

- a float matches within 1.5 units of the last digit that the reference prints (0.123 matches
  0.124, 1.2e-05 matches 1.3e-05); spaces beside a number don't matter, tables move with them;
- a difference that is only rounding (in exponent notation, below 1e-5) matches within a factor of
  10, or if both are below 1e-6: another processor rounds otherwise;
- a number that moves when the lesson is run with disturbed arithmetic (`make disturbed`) matches
  when it lies in the prediction interval of those runs, see tools/allowed.py. So do both numbers
  of `a ± b`; where they don't move, they match within 1.5 units of their last digits;
- all other integers (percentages printed without decimals too), words and shapes are exact, but for
  the width of a gap between columns;
- a figure must be there, decode, not be blank, have the same alt text and, shrunk, look the same;
- of an interactive widget only its presence is compared, its ids are random;
- stderr (progress bars, warnings) is left out.
In a cell tagged `varies` the kinds of output must be the same and figures must not be blank; their
looks and the text aren't compared. A cell without an execution count fails: it was cleared.
"""

import base64
import binascii
import hashlib
import html
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from nbval.plugin import IPyNbCell, IPyNbFile
from PIL import Image

from tools import allowed
from tools.allowed import last_digit, value

NUMBER = r"(?<![\w.])(?:(?<![\w)\]])[-+−])?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?(?![\w]|\.\d)"
TOKEN = re.compile(rf"\s*({NUMBER})(?:\s*±\s*({NUMBER}))?[^\S\n]*")
# One run, with the mean and the deviation of others: 40.3 (60.4 ± 18.2) %
RUN = re.compile(rf"({NUMBER}) \(({NUMBER}) ± ({NUMBER})\)( %)?")
FLAT = 2.0  # grey levels of 255: below this standard deviation a picture is blank
SIDE = 16  # pictures are compared at SIDE x SIDE, where a curve's noise counts least
ALIKE = 0.6  # grey levels of 255: largest mean difference of pictures that look the same. The tests
# show why: noise of 3 % on two curves is 0.4, a missing curve is 0.8, bars in another order are 14
WIDGET = "application/vnd.jupyter.widget-view+json"
PICTURES = ("image/png", "image/jpeg")


def compare_number(new: str, old: str) -> str:
    """Why a printed number doesn't match its reference; "" if it does."""
    if not re.search(r"[.eE]", old):
        return "" if new == old else f"expected {old}, got {new} (integers are exact)"
    if not re.search(r"[.eE]", new):
        return f"expected a float such as {old}, got the integer {new}"
    if _only_rounding(new, old):
        return ""
    # The small share is for the rounding of the subtraction: 0.3 - 0.2 > 0.1 in floating point.
    slack = 1.5 * last_digit(old) * (1 + 1e-6)
    if abs(value(new) - value(old)) <= slack:
        return ""
    return f"expected {old}, got {new} (more than 1.5 units of the last digit apart)"


def _only_rounding(new: str, old: str) -> bool:
    """Whether both are what remains of equal computations in float32, such as 4e-07 and 2e-07."""
    small, large = sorted(abs(value(number)) for number in (new, old))
    written = all("e" in number.lower() for number in (new, old))
    return written and large < 1e-5 and (large <= 10 * small or large < 1e-6)


class Number(NamedTuple):
    """A number in a text."""

    place: str  # "3a": the fourth number, or the first of the fourth pair `a ± b`; "3b": the second
    text: str  # as printed
    words: str  # before it
    unit: str  # "%" after it, or ""
    pair: bool  # whether it belongs to `a ± b`
    spread: str  # b for the a of a pair, else ""


def pieces(text: str) -> list:
    """Words, a, b, words, a, b, ..., words; b is None where there is no ±. The columns of a table
    are as wide as its numbers: any number of spaces, from two on, is alike. Of a run in the form
    40.3 (60.4 ± 18.2) % the pair is 40.3 and 18.2; the mean follows as a number of its own."""
    text = RUN.sub(r"\1 ± \3\4 around \2", text)
    return TOKEN.split(re.sub(r" {2,}", "  ", text))


def numbers(text: str) -> Iterator[Number]:
    """Every number in a text, from left to right."""
    found = pieces(text)
    for i in range(0, len(found) - 1, 3):
        words, a, b, after = found[i : i + 4]
        unit = "%" if after.startswith("%") else ""
        yield Number(f"{i // 3}a", a, words, unit, b is not None, b or "")
        if b is not None:
            yield Number(f"{i // 3}b", b, words + a + " ±", unit, True, "")


Range = tuple[float, float]  # the lowest and the highest value allowed
Interval = Callable[[str, Number], Range | None]  # for a place and its number in the reference


def steady(place: str, old: Number) -> Range | None:
    """Nothing moves."""
    return None


def unmeasured(place: str, old: Number) -> Range | None:
    """In a lesson that `make disturbed` hasn't run yet, a of `a ± b` may be three b off."""
    if not old.spread:
        return None
    slack = max(3 * value(old.spread), 1.5 * last_digit(old.text)) * (1 + 1e-6)
    return value(old.text) - slack, value(old.text) + slack


def compare_moving(new: Number, old: Number, interval: Range | None) -> str:
    """Why a number doesn't match its reference, where it may move in an interval; "" if it does."""
    if interval is not None:
        low, high = interval
        if low <= value(new.text) <= high:
            return ""
        return f"expected {low:.6g} to {high:.6g} (reference {old.text}), got {new.text}"
    if not old.pair:
        return compare_number(new.text, old.text)
    slack = 1.5 * last_digit(old.text) * (1 + 1e-6)
    if abs(value(new.text) - value(old.text)) <= slack:
        return ""
    return f"expected {old.text}, got {new.text} (more than 1.5 units of the last digit apart)"


def compare_text(new: str, old: str, interval: Interval = steady) -> str:
    """Why a text doesn't match its reference; "" if it does. `interval` gives, for the place of a
    number that moves, what is allowed there."""
    for one, other in zip(pieces(new)[::3], pieces(old)[::3]):
        if one != other:
            return f"expected {other!r}, got {one!r}"
    for one, other in zip(numbers(new), numbers(old)):
        if (one.place, one.pair) != (other.place, other.pair):
            return f"{one.text} and {other.text}: one has a spread (±), the other doesn't"
        if problem := compare_moving(one, other, interval(other.place, other)):
            return f"after {allowed.tidy_words(other.words)!r}: {problem}"
    if len(pieces(new)) != len(pieces(old)):
        return f"expected {old!r}, got {new!r}"
    return ""


def picture(data: str) -> tuple[Image.Image | None, str]:
    """A decoded picture, or None and why it is none. Transparent is white."""
    try:
        image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")
    except (OSError, binascii.Error) as error:
        return None, f"the figure can't be decoded: {error}"
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image).convert("RGB")
    if np.asarray(image.convert("L")).std() < FLAT:
        return None, "the figure is blank"
    return image, ""


def difference(new: Image.Image, old: Image.Image) -> float:
    """The mean difference of two pictures after shrinking, in grey levels (0 to 255)."""
    small = [
        np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=float)
        for image in (new, old)
    ]  # (SIDE, SIDE, 3)
    return float(np.abs(small[0] - small[1]).mean())


def compare_picture(new: str, old: str, varies: bool) -> str:
    """Why a figure doesn't match its reference; "" if it does."""
    new_image, problem = picture(new)
    if new_image is None or varies:
        return problem
    old_image, problem = picture(old)
    if old_image is None:
        return f"in the reference, {problem}"
    if max(abs(a - b) / b for a, b in zip(new_image.size, old_image.size)) > 0.05:
        return f"the figure has size {new_image.size}, the reference {old_image.size}"
    gap = difference(new_image, old_image)
    return (
        ""
        if gap <= ALIKE
        else (
            f"the figure looks different: shrunk, {gap:.1f} grey levels "
            f"from the reference, allowed are {ALIKE}"
        )
    )


def kinds(output: dict) -> list[str]:
    """What an output is made of: its type, a stream's name, the formats of its data."""
    return [output["output_type"], output.get("name", ""), *sorted(output.get("data", {}))]


def parts(output: dict) -> dict[str, str]:
    """The texts in an output, by name, that are to be compared."""
    data = output.get("data", {})
    texts = {
        key: html.unescape(content)
        if key == "text/html"
        else content
        if isinstance(content, str)
        else json.dumps(content, sort_keys=True)
        for key, content in data.items()
        if key not in (*PICTURES, WIDGET)
    }
    if any(key in data for key in PICTURES):
        texts.pop("text/plain", None)  # <Figure size 640x480 with 1 Axes>
    texts |= {key: output[key] for key in ("text", "ename", "evalue") if key in output}
    return texts


def alt_texts(output: dict) -> str:
    """The alt text of an output's figures."""
    metadata = output.get("metadata", {})
    return " ".join(str(metadata.get(key, {}).get("alt", "")) for key in PICTURES)


def texts(output: dict) -> dict[str, str]:
    """All that is compared as text: the parts of an output, and its figures' alt texts."""
    alt = alt_texts(output)
    return parts(output) | ({"alt text": alt} if alt else {})


def compare_output(new: dict, old: dict, varies: bool = False, interval: Interval = steady) -> str:
    """Why an output doesn't match its reference; "" if it does. `interval` is asked for places such
    as "text:3a"."""
    if kinds(new) != kinds(old):
        return f"expected an output of kind {kinds(old)}, got {kinds(new)}"
    for key in PICTURES:
        if key in old.get("data", {}):
            problem = compare_picture(new["data"][key], old["data"][key], varies)
            if problem:
                return problem
    if varies:
        return ""
    new_texts, old_texts = texts(new), texts(old)
    if new_texts.keys() != old_texts.keys():
        return f"expected {list(old_texts)}, got {list(new_texts)}"
    for key, text in new_texts.items():
        inside = lambda place, n, key=key: interval(f"{key}:{place}", n)
        if problem := compare_text(text, old_texts[key], inside):
            return f"{key}: {problem}"
    return ""


def shown(outputs: list[dict]) -> list[dict]:
    """The outputs that are compared: all but stderr, and but streams without text."""
    return [
        output
        for output in outputs
        if output.get("name") != "stderr" and output.get("text", "x") != ""
    ]


def compare_outputs(
    new: list[dict], old: list[dict], varies: bool = False, interval: Interval = steady
) -> str:
    """Why the outputs of a cell don't match their reference; "" if they do. `interval` is asked for
    places such as "0:text:3a"."""
    new, old = shown(new), shown(old)
    for number, (one, other) in enumerate(zip(new, old)):
        inside = lambda place, n, number=number: interval(f"{number}:{place}", n)
        if problem := compare_output(one, other, varies, inside):
            return f"output {number}: {problem}"
    if len(new) != len(old):
        extra, which = (new, "unexpected") if len(new) > len(old) else (old, "missing")
        rest = [kinds(output) for output in extra[min(len(new), len(old)) :]]
        return f"{which} outputs: {rest}"
    return ""


# --- nbval's cells and files, with this comparison in place of the textual one


def cell_keys(cells: list[dict]) -> list[str]:
    """A name for each cell that depends on its source alone, so that it is the same in both
    notebooks of a lesson and stays when a cell is put before it; equal ones get a number."""
    names, seen = [], {}
    for cell in cells:
        name = hashlib.sha256(cell["source"].encode()).hexdigest()[:12]
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
    return names


def interval_of(cell: IPyNbCell) -> Interval:
    """What is allowed for the numbers of this cell, by their places."""
    moving = allowed.read().get(cell.parent.path.name[:2])
    if moving is None:
        return unmeasured
    sources = cell.parent.nb.cells
    key = cell_keys(sources)[next(i for i, c in enumerate(sources) if c is cell.cell)]

    def interval(place: str, old: Number) -> Range | None:
        number = moving.get((key, place))
        return None if number is None else allowed.allowed(number, allowed.level())

    return interval


def compare_cell(cell: IPyNbCell, new: list[dict], old: list[dict], skip_compare=None) -> bool:
    varies = "varies" in cell.cell.metadata.get("tags", [])
    problem = compare_outputs(new, old, varies, interval_of(cell))
    cell.comparison_traceback = [problem]
    return not problem


run_cell = IPyNbCell.runtest
next_message = IPyNbFile.get_kernel_message


def run_executed_cell(cell: IPyNbCell) -> None:
    if cell.cell.execution_count is None and cell.cell.source.strip():
        cell.raise_cell_error("This cell has no execution count: its outputs were cleared")
    run_cell(cell)


def message_outside_widgets(file: IPyNbFile, timeout=None, stream="iopub") -> dict:
    """The kernel's next message that isn't caught by an Output widget, as in a browser."""
    catching = file.__dict__.setdefault("catching", set())  # the Output widgets that catch now
    while True:
        message = next_message(file, timeout=timeout, stream=stream)
        content = message["content"]
        state = content.get("data", {}).get("state", {}) if "comm_id" in content else {}
        if "msg_id" in state:
            (catching.add if state["msg_id"] else catching.discard)(content["comm_id"])
        caught = ("stream", "display_data", "execute_result", "clear_output")
        if not (catching and message["msg_type"] in caught):
            return message


IPyNbCell.compare_outputs = compare_cell
IPyNbCell.runtest = run_executed_cell
IPyNbFile.get_kernel_message = message_outside_widgets

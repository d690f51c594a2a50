"""How long a lesson takes a learner, counted from its source: the core path, and everything.

Words of prose are read at 130 a minute, lines of code at 12 a minute, what a cell shows takes half
a minute, and an exercise takes the minutes that stand in its first line, which include reading it.
Not counted are headings, the code of a cell that is collapsed or holds a solution, empty lines, and
lines that call `check` or `hint`. (Readers with a watch took 43, 115, 120 and 130 minutes for the
core paths of 00, 01, 02 and 06 of that time; without the half minutes they came out at 40, 95, 100
and 100.)

A section says in its heading whether it is core or may be skipped, and so does an exercise:

    ## 3. Masks · extra
    ### Why the square root? · extra
    > **Exercise 04.1 · write it** · core · difficulty 1 of 3 · 5 minutes

Without a mark a subsection is what its section is, and anything else is core.
"""

import ast
import math
import re
from pathlib import Path
from typing import NamedTuple

import jupytext
import nbformat

WORDS, LINES = 130, 12  # a minute
OUTPUT = 0.5  # minutes for what a cell shows
COLLAPSED = {"figure", "setup"}  # tags
HEADING = re.compile(r"^(##+) (.+?)(?: · (core|extra))?$")
EXERCISE = re.compile(
    r"^> \*\*Exercise (?P<id>\d\d\.\d+) · [^*]+\*\*(?: · (?P<mark>core|extra))?"
    r" · difficulty [1-3] of 3 · (?P<minutes>\d+) minutes?$"
)
CHECKING = re.compile(r"\b(?:check|hint)\(\"")


class Piece(NamedTuple):
    """A part of a lesson with the minutes that it takes."""

    kind: str  # "prose", "code" or an exercise's id
    extra: bool
    minutes: float


class Minutes(NamedTuple):
    core: int
    everything: int


def only_imports(code: str) -> bool:
    """Whether a cell does nothing but import; one with magics does more."""
    try:
        body = ast.parse(code).body
    except SyntaxError:
        return False
    return bool(body) and all(
        isinstance(node, ast.Import | ast.ImportFrom) for node in body
    )


def collapsed(cell: nbformat.NotebookNode) -> bool:
    """Whether a code cell opens without its code: a figure, set-up, imports."""
    tags = COLLAPSED & set(cell.metadata.get("tags", []))
    return bool(tags) or only_imports(cell.source)


def words(text: str) -> int:
    """Words with a letter or a digit; a formula's parts between blanks are words too."""
    return sum(bool(re.search(r"\w", word)) for word in text.split())


def lines_to_read(cell: nbformat.NotebookNode) -> int:
    """Lines of code that are neither empty nor a check."""
    if collapsed(cell) or "### BEGIN SOLUTION" in cell.source:
        return 0
    return sum(
        bool(line.strip()) and not CHECKING.search(line)
        for line in cell.source.splitlines()
    )


def shows_something(cell: nbformat.NotebookNode) -> bool:
    """Whether a code cell is run to see what comes out: not one that only imports or defines, and
    none that belongs to an exercise or sets the lesson up."""
    if "setup" in cell.metadata.get("tags", []) or CHECKING.search(cell.source):
        return False
    if "### BEGIN SOLUTION" in cell.source:
        return False
    try:
        body = ast.parse(cell.source).body
    except SyntaxError:
        return True
    kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef
    return not all(isinstance(node, kinds) for node in body)


def pieces(cells: list[nbformat.NotebookNode]) -> list[Piece]:
    """A lesson's cells as pieces, each core or extra."""
    found, section, subsection = [], False, False  # False is core
    for cell in cells:
        extra = section or subsection
        if cell.cell_type == "code":
            looking = OUTPUT * shows_something(cell)
            found.append(
                Piece("code", extra, lines_to_read(cell) / LINES + looking)
            )
            continue
        in_exercise = False
        for line in cell.source.splitlines():
            heading, exercise = HEADING.match(line), EXERCISE.match(line)
            in_exercise = bool(exercise) or (
                in_exercise and line.startswith(">")
            )
            if heading:
                subsection = len(heading[1]) > 2 and heading[3] == "extra"
                if len(heading[1]) == 2:
                    section = heading[3] == "extra"
                extra = section or subsection
            elif exercise:
                skipped = extra or exercise["mark"] == "extra"
                minutes = float(exercise["minutes"])
                found.append(Piece(exercise["id"], skipped, minutes))
            elif not in_exercise:
                found.append(Piece("prose", extra, words(line) / WORDS))
    return found


def minutes(source: Path) -> Minutes:
    """The minutes of a lesson, each rounded up to 5: core path and everything."""
    parts = pieces(jupytext.read(source, fmt="py:percent").cells)
    core = sum(part.minutes for part in parts if not part.extra)
    everything = sum(part.minutes for part in parts)
    return Minutes(5 * math.ceil(core / 5), 5 * math.ceil(everything / 5))

"""What makes a lesson easy to read: one idea a cell, core and extra marked, an honest map."""

import re
import statistics
from pathlib import Path

import jupytext
import pytest

from lessons.heads import header, sources
from lessons.minutes import EXERCISE, HEADING, minutes, words

LESSONS = sources()
each = pytest.mark.parametrize("source", LESSONS, ids=[source.stem for source in LESSONS])
MEDIAN = 60  # words of a text cell
MOST_FIRST, MOST = 150, 250  # in 00 to 03, where a reader starts, and later
LONGEST_CORE = 150  # minutes
LONGEST = 180  # minutes with all extras


def texts(source: Path) -> list[str]:
    cells = jupytext.read(source, fmt="py:percent").cells
    return [cell.source for cell in cells if cell.cell_type == "markdown"]


def prose(text: str) -> str:
    """What is read through: without the rows of tables, displayed formulas and code, which are
    looked up, and without the statement of an exercise, which is worked on."""
    text = re.sub(r"\$\$.*?\$\$|```.*?```", "", text, flags=re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith(("|", ">")))


def marks(text: str) -> list[tuple[str, str, bool]]:
    """What is marked in a lesson's text, in order: (what, its mark or "", whether it must have
    one)."""
    found = []
    for line in text.splitlines():
        heading, exercise = HEADING.match(line), EXERCISE.match(line)
        if heading:
            numbered = bool(re.match(r"\d+\. ", heading[2]))
            found.append((f"{heading[1]} {heading[2]}", heading[3] or "", numbered))
        elif exercise:
            found.append((f"exercise {exercise['id']}", exercise["mark"] or "", True))
        elif line.startswith("> **Exercise"):
            found.append((line, "", True))
    return found


def misplaced(found: list[tuple[str, str, bool]]) -> list[str]:
    """What is marked as core where it can't be: an exercise or a part of an extra, and a part of a
    section behind one that may be skipped."""
    wrong, section, part = [], "core", "core"
    for what, mark, _ in found:
        if what.startswith("## "):
            section, part = mark or "core", "core"
        elif what.startswith("#"):
            if (part == "extra" and mark != "extra") or (section == "extra" and mark == "core"):
                wrong.append(what)
            part = mark or "core"
        elif mark == "core" and "extra" in (section, part):
            wrong.append(what)
    return wrong


@each
def test_a_text_cell_is_one_idea(source):
    most = MOST_FIRST if source.name < "04" else MOST
    counts = {text: words(prose(text)) for text in texts(source)}
    long = [f"{n} words: {text[:80]!r}" for text, n in counts.items() if n > most]
    assert not long, f"lessons/{source.name}, more than {most}:\n" + "\n".join(long)
    median = statistics.median(counts.values())
    assert median <= MEDIAN, f"lessons/{source.name}: half of the text cells have {median} words"


@each
def test_every_section_and_exercise_is_core_or_extra(source):
    found = marks("\n".join(texts(source)))
    bare = [what for what, mark, needed in found if needed and not mark]
    assert not bare, f"lessons/{source.name}: core or extra?\n" + "\n".join(bare)
    wrong = misplaced(found)
    assert not wrong, f"lessons/{source.name}: may what stands around it be skipped?\n" + "\n".join(
        wrong
    )


def test_marks_that_are_missing_or_misplaced_are_found():
    exercise = "> **Exercise 07.1 · guess**{} · difficulty 1 of 3 · 2 minutes"
    assert marks(f"## 1. One\n### Part\n{exercise.format('')}\n## Papers · extra") == [
        ("## 1. One", "", True),
        ("### Part", "", False),
        ("exercise 07.1", "", True),
        ("## Papers", "extra", False),
    ]
    assert marks("> **Exercise 07.1 · guess** · core · 2 minutes")[0][1:] == ("", True)
    core, extra = exercise.format(" · core"), exercise.format(" · extra")
    for text, wrong in [
        (f"## 1. One · core\n{core}\n{extra}\n### Part · extra\n{extra}", []),
        (f"## 1. One · extra\n{core}", ["exercise 07.1"]),
        (f"## 1. One · core\n### Part · extra\n{core}", ["exercise 07.1"]),
        ("## 1. One · core\n### A · extra\n### B", ["### B"]),
        ("## 1. One · core\n### A · extra\n## 2. Two · core\n### B", []),
        ("## 1. One · extra\n### A · core", ["### A"]),
    ]:
        assert misplaced(marks(text)) == wrong, text


@each
def test_a_lesson_can_be_read_in_an_afternoon(source):
    core, everything = minutes(source)
    assert core <= LONGEST_CORE, f"lessons/{source.name}: {core} minutes for the core path"
    assert everything <= LONGEST, f"lessons/{source.name}: {everything} minutes in all"


def test_minutes_are_nowhere_typed():
    for source in LESSONS:
        assert "minutes:" not in source.read_text(encoding="utf-8").split("# ---\n")[1], source.name


def behind(arrows: dict[str, set[str]], lesson: str) -> set[str]:
    """All that leads to a lesson along arrows."""
    found, new = set(), {lesson}
    while new:
        new = set().union(*(arrows.get(one, set()) for one in new)) - found
        found |= new
    return found


def test_the_map_of_lesson_00_and_the_needs_of_the_lessons_agree():
    """An arrow of the map comes from something that its lesson needs, and whatever a lesson needs
    lies before it on the map. So each of the two can be had from the other."""
    text = LESSONS[0].read_text(encoding="utf-8")
    drawn: dict[str, set[str]] = {}
    for start, end in re.findall(r'\("(\d\d)", "(\d\d)"', text):
        drawn.setdefault(end, set()).add(start)
    assert drawn, 'lesson 00 has no arrows such as ("00", "01")'
    known = {source.name[:2] for source in LESSONS}
    for source in LESSONS:
        number, needs = source.name[:2], set(header(source)["needs"]) & known
        assert all(need < number for need in needs), f"{number} needs a later lesson: {needs}"
        assert drawn.get(number, set()) <= needs, (
            f"the map has arrows to {number} from {sorted(drawn[number] - needs)}, which it "
            "doesn't say that it needs"
        )
        missing = needs - behind(drawn, number)
        assert not missing, f"{number} needs {sorted(missing)}; on the map they don't lead to it"

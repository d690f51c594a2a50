"""How a lesson's minutes are counted: what is read, what is worked on, what may be skipped."""

import nbformat
import pytest

from lessons import minutes
from lessons.heads import sources

V4 = nbformat.v4
text, code = V4.new_markdown_cell, V4.new_code_cell
HUNDRED_AND_THIRTY = "word " * 130


def counted(*cells):
    """{(kind, extra): minutes}"""
    found = {}
    for kind, extra, time in minutes.pieces(list(cells)):
        if time:
            found[kind, extra] = found.get((kind, extra), 0) + time
    return found


def test_words_and_lines_at_their_pace():
    cells = [text(HUNDRED_AND_THIRTY), code("x = 1\n\n" * 24), text("## 1. A title · core")]
    assert counted(*cells) == {("prose", False): 1, ("code", False): 2 + minutes.OUTPUT}
    assert minutes.words("a | b, $x = 2$ and – 7") == 6  # signs alone aren't words


@pytest.mark.parametrize(
    "cell",
    [
        code("import math\nimport torch"),
        code("x = 1\n" * 12, metadata={"tags": ["setup"]}),
        code("def f():\n    ### BEGIN SOLUTION\n    pass\n    ### END SOLUTION"),
        code('f = check("07.1", f)'),
        code('hint("07.1")'),
    ],
)
def test_what_is_collapsed_solved_or_checked_is_not_counted(cell):
    assert counted(cell) == {}


def test_what_a_cell_shows_takes_half_a_minute_and_a_definition_shows_nothing():
    figure = code("x = 1\n" * 12, metadata={"tags": ["figure"]})
    assert counted(figure) == {("code", False): 0.5}
    assert counted(code("import math\n\ndef f():\n    return 1")) == {("code", False): 0.25}
    assert counted(code("%time f()")) == {("code", False): 0.5 + 1 / 12}


def test_an_exercise_takes_its_own_minutes_with_its_statement():
    exercise = (
        "> **Exercise 07.1 · write it** · core · difficulty 1 of 3 · 5 minutes\n"
        f"> {HUNDRED_AND_THIRTY}\n>\n> {HUNDRED_AND_THIRTY}\n\n{HUNDRED_AND_THIRTY}"
    )
    assert counted(text(exercise)) == {("07.1", False): 5, ("prose", False): 1}


def test_marks_hold_until_the_next_heading_of_their_rank():
    line, x = (
        HUNDRED_AND_THIRTY,
        "> **Exercise 07.{} · guess** · {} · difficulty 1 of 3 · 2 minutes",
    )
    cells = [
        text(f"## 1. One · core\n{line}\n### Inside · extra\n{line}"),
        code("x = 1\n" * 12),
        text(f"### Again\n{line}\n\n{x.format(1, 'extra')}"),
        text(f"## 2. Two · extra\n{line}\n### Inside\n{line}\n\n{x.format(2, 'core')}"),
        text(f"## 3. Three · core\n{line}\n\n{x.format(3, 'core')}"),
    ]
    assert counted(*cells) == {
        ("prose", False): 3,
        ("prose", True): 3,
        ("code", True): 1 + minutes.OUTPUT,
        ("07.1", True): 2,
        ("07.2", True): 2,  # in a section that may be skipped
        ("07.3", False): 2,
    }


def test_the_lessons_are_counted():
    for source in sources():
        core, everything = minutes.minutes(source)
        assert 0 < core <= everything and core % 5 == everything % 5 == 0

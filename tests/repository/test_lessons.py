"""The built notebooks are what their sources say, were executed, and are fit to be read."""

import ast
import json
import re
from pathlib import Path

import jupytext
import nbformat
import pytest

from course_utils import checks
from lessons import build
from lessons.heads import ROOT, colab, header, repository, sources
from tools import start

LESSONS = sources()
BUILT = [(folder, source) for source in LESSONS for folder in build.FOLDERS]
built = pytest.mark.parametrize(
    ("folder", "source"), BUILT, ids=[f"{folder}-{source.stem}" for folder, source in BUILT]
)
each = pytest.mark.parametrize("source", LESSONS, ids=[source.stem for source in LESSONS])
REGION = re.compile(r"^([ ]*)### BEGIN SOLUTION\n.*?### END SOLUTION", re.DOTALL | re.MULTILINE)
MATHS_CODE_AND_LINKS = re.compile(
    r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\[[^\]]*\d{4}\.\d{5}\]|\]\([^)]*\)", re.DOTALL
)
NUMBER_IN_PROSE = re.compile(r"(?<![\w.,/-])(?:\d+\.\d+(?![\w.]|\.\d)|\d+(?= ?%))")
MOST_LINES = 40
MOST_COLUMNS = 80  # what a printed page and JupyterLab with a side bar show
MOST_BYTES = 1_500_000


def path_of(folder: str, source: Path) -> Path:
    return ROOT / folder / f"{source.stem}.ipynb"


def read(folder: str, source: Path) -> nbformat.NotebookNode:
    path = path_of(folder, source)
    assert path.exists(), f"{folder}/{path.name} isn't built yet: make lesson N={source.name[:2]}"
    return nbformat.read(path, as_version=4)


def code_cells(nb: nbformat.NotebookNode) -> list:
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def test_every_notebook_has_a_source():
    known = {source.stem for source in LESSONS}
    for folder in build.FOLDERS:
        extra = {path.stem for path in (ROOT / folder).glob("*.ipynb")} - known
        assert not extra, f"{folder}/ has notebooks without a source in lessons/: {sorted(extra)}"


@built
def test_notebook_is_built_from_its_source(folder, source):
    advice = (
        f"{folder}/{source.stem}.ipynb isn't what lessons/{source.name} gives. Edit "
        f"lessons/{source.name}, never {folder}/, then: make lesson N={source.name[:2]} (or, if "
        "only an address or a time has changed: make readme)"
    )
    expected, found = build.compose(source)[folder], read(folder, source)
    for number, (cell, other) in enumerate(zip(expected.cells, found.cells)):
        for part in ("cell_type", "source", "id", "metadata"):
            assert cell[part] == other[part], f"cell {number}, {part}: {advice}"
    assert len(expected.cells) == len(found.cells), advice
    metadata = {key: value for key, value in found.metadata.items() if key != "widgets"}
    assert metadata == expected.metadata, advice


@each
def test_blank_equals_solution_outside_the_regions(source):
    """Written apart from nbgrader's ClearSolutions, so that it can't be wrong in the same way."""

    def blank(match: re.Match) -> str:
        indent = match[1]
        return (
            f"{indent}# Your code here\n{indent}raise NotImplementedError"
            if indent
            else "# Your answer here"
        )

    solved, learner = (read(folder, source).cells for folder in build.FOLDERS)
    assert [REGION.sub(blank, cell.source) for cell in solved] == [c.source for c in learner]


@built
def test_every_code_cell_was_executed_in_order_and_without_errors(folder, source):
    cells = code_cells(read(folder, source))
    counts = [cell.execution_count for cell in cells]
    assert counts == list(range(1, len(cells) + 1)), "a cell is empty, or wasn't executed in order"
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error", f"an error is kept as output of:\n{cell.source}"
            assert output.get("name") != "stderr", f"stderr is kept as output of:\n{cell.source}"


@built
def test_every_figure_has_an_alt_text(folder, source):
    for cell in code_cells(read(folder, source)):
        for output in cell.outputs:
            for kind in ("image/png", "image/jpeg"):
                if kind in output.get("data", {}):
                    alt = output.metadata.get(kind, {}).get("alt", "")
                    assert len(alt) > 10, f"no alt text (plots.show(.., alt=..)):\n{cell.source}"
    for cell in read(folder, source).cells:
        if cell.cell_type == "markdown":
            assert "![](" not in cell.source, f"a picture without alt text in:\n{cell.source}"


@built
def test_cells_and_files_are_small(folder, source):
    for cell in code_cells(read(folder, source)):
        lines = len(cell.source.splitlines())
        assert lines <= MOST_LINES, f"{lines} lines, more than {MOST_LINES}:\n{cell.source}"
    size = path_of(folder, source).stat().st_size
    assert size < MOST_BYTES, f"{size / 1e6:.1f} MB, expected at most {MOST_BYTES / 1e6} MB"


def too_wide(nb: nbformat.NotebookNode) -> list[str]:
    """Lines of code, comments and strings too, that a printed page would cut."""
    lines = [line for cell in code_cells(nb) for line in cell.source.splitlines()]
    return [line for line in lines if len(line) > MOST_COLUMNS]


@each
def test_code_is_as_narrow_as_a_page(source):
    """Of the source, not of what is built: the set-up cell is not a lesson's own."""
    wide = too_wide(jupytext.read(source, fmt="py:percent"))
    assert not wide, f"lessons/{source.name}: wider than {MOST_COLUMNS}:\n" + "\n".join(wide)


def not_python(nb: nbformat.NotebookNode) -> list[str]:
    """Cells with a magic or a command of the shell: where it is unknown or fails, no error is
    raised, and the notebook counts as right."""
    found = []
    for cell in code_cells(nb):
        try:
            ast.parse(cell.source)
        except SyntaxError:
            found.append(cell.source)
    return found


@each
def test_code_is_plain_python(source):
    """Of the source: what installs the course in Colab isn't a lesson's own."""
    assert not_python(jupytext.read(source, fmt="py:percent")) == []


def test_a_magic_and_a_command_of_the_shell_are_found():
    v4 = nbformat.v4
    cells = [v4.new_code_cell(text) for text in ("%nothing\nx = 1", "!exit 3", "x = 1 % 3")]
    assert not_python(v4.new_notebook(cells=cells)) == ["%nothing\nx = 1", "!exit 3"]


def test_a_line_that_is_too_wide_is_found():
    v4 = nbformat.v4
    prose, just, over = "word " * 40, '"""' + "x" * 77, "# " + "x" * 79
    nb = v4.new_notebook(cells=[v4.new_markdown_cell(prose), v4.new_code_cell(f"{just}\n{over}")])
    assert too_wide(nb) == [over]


TAGS = {"figure", "result", "setup", "varies"}


@each
def test_collapsed_cells_hold_no_exercise(source):
    """Cells tagged `figure` or `setup` are collapsed when a notebook opens."""
    for cell in code_cells(jupytext.read(source, fmt="py:percent")):
        tags = set(cell.metadata.get("tags", []))
        assert tags <= TAGS, f"lessons/{source.name}: unknown tag {tags - TAGS}:\n{cell.source}"
        if tags & {"figure", "setup"}:
            for taught in ("### BEGIN SOLUTION", "check(", "lab.claim("):
                assert taught not in cell.source, (
                    f"lessons/{source.name}: {taught} in a collapsed cell:\n{cell.source}"
                )


@each
def test_the_result_of_a_prediction_is_not_handed_out(source):
    """Behind a prediction (from lesson 01 on) comes a cell with the tag `result`, and the copy of a
    learner shows neither it nor the cell that compares."""
    path = path_of("notebooks", source)
    copy = nbformat.reads(start.handed_out_as(path).decode(), as_version=4)
    waiting = ""
    for cell in copy.cells:
        found = re.findall(r"\*\*Exercise (\d\d\.\d+) · predict(?: first)?\*\*", cell.source)
        if cell.cell_type == "markdown":
            waiting = found[-1] if found and source.name[:2] != "00" else waiting
        elif waiting and "result" in cell.metadata.get("tags", []):
            waiting = ""
        if cell.cell_type == "code" and "compare_prediction(" in cell.source:
            assert not cell.outputs, f"tag the cell `result`:\n{cell.source}"
    assert not waiting, f"lessons/{source.name}: no cell behind {waiting} has the tag `result`"


@each
def test_exercises_have_a_check_and_two_hints(source):
    text = source.read_text(encoding="utf-8")
    number = source.name[:2]
    used = re.findall(r'\bcheck\("([^"]+)"', text)
    assert len(used) == len(set(used)), f"{source.name} checks an exercise twice: {used}"
    assert len(used) >= (5 if number != "00" else 1), f"{source.name} has too few exercises: {used}"
    for exercise in used:
        assert exercise.startswith(f"{number}."), f"{source.name}: exercise {exercise}"
        hints = checks.exercise(exercise).hints
        assert len(hints) == 2 and all(hints), f"exercise {exercise} needs two hints, has {hints}"
        assert hints[0] != hints[1]
    blanks = text.count("### BEGIN SOLUTION")
    assert blanks == text.count("### END SOLUTION") and blanks >= len(used), (
        f"{source.name}: {blanks} solutions for {len(used)} checks"
    )


@each
def test_colab_button_opens_an_existing_notebook_of_this_repository(source):
    """Every Colab link in a notebook is the one that pyproject.toml's address gives."""
    for folder in build.FOLDERS:
        text = path_of(folder, source).read_text(encoding="utf-8")
        links = re.findall(r"https://colab\.research\.google\.com/[^\s)\"\\]+", text)
        assert links == ([colab(source.stem)] if colab(source.stem) else [])
        for link in links:
            assert (ROOT / link.partition("/blob/main/")[2]).exists(), link
            assert repository().removeprefix("https://") in link.replace(
                "colab.research.google.com/github", "github.com"
            )


@built
def test_measured_numbers_have_a_measured_spread(folder, source):
    """`99.8 (? ± ?)` would mean that `make spreads` wasn't run for this lesson."""
    for cell in code_cells(read(folder, source)):
        assert "± ?" not in json.dumps(cell.outputs, ensure_ascii=False), (
            f"a spread wasn't measured: make spreads N={source.name[:2]}\n{cell.source}"
        )


def shown(nb: nbformat.NotebookNode) -> list[float]:
    """Every number in the outputs (alt texts too) and in the code of a notebook."""
    text = "\n".join(
        cell.source
        + json.dumps(
            [
                [
                    output.get("text"),
                    [
                        data
                        for kind, data in output.get("data", {}).items()
                        if kind.startswith("text/")
                    ],
                    output.get("metadata"),
                ]
                for output in cell.outputs
            ],
            ensure_ascii=False,
        )
        for cell in code_cells(nb)
    )
    return [float(n) for n in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e[-+]?\d+)?", text)]


def unsupported(nb: nbformat.NotebookNode) -> list[str]:
    """Decimals and percentages in the prose that no output shows. What others have published
    stands in a paragraph with a link to it."""
    numbers, found = shown(nb), []
    prose = (cell.source for cell in nb.cells if cell.cell_type == "markdown")
    for paragraph in (part for source in prose for part in source.split("\n\n")):
        if "https://" in paragraph:
            continue
        for number in NUMBER_IN_PROSE.findall(MATHS_CODE_AND_LINKS.sub("", paragraph)):
            half = 0.5 * 10.0 ** -len(number.partition(".")[2]) + 1e-9  # as rounded in the prose
            if not any(abs(other - float(number)) <= half for other in numbers):
                found.append(f"{number} in: {paragraph[:200]}")
    return found


@each
def test_numbers_in_the_prose_stand_in_an_output(source):
    found = unsupported(read("solutions", source))
    assert not found, "no output or code shows\n" + "\n".join(found)


def test_a_number_that_no_output_shows_is_found():
    v4 = nbformat.v4
    code = v4.new_code_cell("print(score)", outputs=[v4.new_output("stream", text="82.47 % ± 0.3")])
    for prose, wrong in [
        ("It reaches 82.5 %.", 0),
        ("It reaches 83.5 %.", 1),
        ("by 0.7", 1),
        ("[They](https://example.org) report 93.8 %.", 0),
        ("$0.9$, `0.8`", 0),
    ]:
        nb = v4.new_notebook(cells=[v4.new_markdown_cell(prose), code])
        assert len(unsupported(nb)) == wrong, prose


def test_the_map_of_lesson_00_shows_the_lessons_that_are_here():
    text = LESSONS[0].read_text(encoding="utf-8")
    shown = text[text.index("LESSONS = {") : text.index("ARROWS = [")]
    numbers = [source.name[:2] for source in LESSONS]
    assert re.findall(r'"(\d\d)": \(', shown) == numbers
    assert re.findall(r"^# \| \*\*(\d\d)\*\* ", text, re.MULTILINE) == numbers


def test_the_arrows_of_the_map_are_what_the_lessons_need():
    """An arrow for each need that doesn't follow from the others, and no other arrow."""
    text = LESSONS[0].read_text(encoding="utf-8")
    drawn = text[text.index("ARROWS = [") : text.index("diagrams.flow(\n    LESSONS")]
    arrows = set(re.findall(r'\("(\d\d)", "(\d\d)"\)', drawn))
    needs = {source.name[:2]: set(header(source)["needs"]) for source in LESSONS}
    before: dict[str, set[str]] = {}  # all that a lesson needs, directly or not
    for number in sorted(needs):
        before[number] = needs[number].union(*(before.get(need, set()) for need in needs[number]))
    direct = {
        (need, number)
        for number, own in needs.items()
        for need in own
        if not any(need in before.get(other, set()) for other in own - {need})
    }
    assert arrows == direct, "the map of lesson 00 (ARROWS) and the `needs` of the lessons differ"

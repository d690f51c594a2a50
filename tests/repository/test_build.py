"""How notebooks are made from a source, on a small lesson of its own."""

import re
import shutil
import subprocess

import nbformat
import pytest

from lessons import build, heads
from lessons.heads import ROOT
from tools import readme, release, repository, start

LESSON = '''\
# ---
# jupyter:
#   course:
#     title: A sample
#     needs: [3, "a little Python"]
# ---

# %% [markdown]
# In this lesson you will double a number.

# %%
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION

# %%
double = check("07.1", double)

# %%
guess = None
### BEGIN SOLUTION
guess = 3
### END SOLUTION

# %% tags=["varies"]
guess = check("07.2", guess)
'''
PROJECT = '[project]\nname = "x"\n\n[tool.course]\nrepository = ""\n'


@pytest.fixture
def course(tmp_path):
    """A course of one lesson that needs another, without outputs."""
    for folder in ("lessons", "notebooks", "solutions", "course_utils", "data", "tools"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "lessons" / "07_sample.py").write_text(LESSON)
    (tmp_path / "lessons" / "03_other.py").write_text(LESSON.replace("07.", "03."))
    return tmp_path


def compose(course, text=LESSON):
    source = course / "lessons" / "07_sample.py"
    source.write_text(text)
    return build.compose(source, course)


def test_blanks_stand_for_solutions_and_nothing_else_changes(course):
    made = compose(course)
    solved, blank = ([cell.source for cell in made[name].cells] for name in build.FOLDERS)
    assert blank[2] == (
        'def double(x):\n    """Twice x."""\n    # Your code here\n    raise NotImplementedError'
    )
    assert blank[4] == "guess = None\n# Your answer here"
    assert "return 2 * x" in solved[2] and "guess = 3" in solved[4]
    assert [index for index in range(len(solved)) if solved[index] != blank[index]] == [2, 4]
    for nb in made.values():
        nbformat.validate(nb)
        assert nb.cells[5].metadata.tags == ["varies"]
        assert not any("lines_to_next_cell" in cell.metadata for cell in nb.cells)


COLLAPSED = """
# %% [markdown]
# A drawing.

# %%
import math
from pathlib import Path  # noqa: E402

# %%
import math
pi = math.pi

# %% tags=["figure", "varies"]
# fmt: off
table = [
    [1,  0],  # (2,)  # fmt: skip
    [0,  1],
]
    # fmt: on
draw(table)  # format: as a table

# %% tags=["setup"]
%matplotlib inline
"""


def test_set_up_imports_and_figures_are_collapsed_and_nothing_else(course):
    for nb in compose(course, LESSON + COLLAPSED).values():
        nbformat.validate(nb)
        hidden = {
            i: cell.metadata.get("cellView")
            for i, cell in enumerate(nb.cells)
            if cell.metadata.get("jupyter", {}).get("source_hidden")
        }
        first = len(nb.cells) - 5  # the Markdown cell of the addition
        assert hidden == dict.fromkeys((1, first + 1, first + 3, first + 4), "form")
        assert not any(
            "cellView" in cell.metadata for i, cell in enumerate(nb.cells) if i not in hidden
        )
        assert nb.cells[first + 3].metadata.tags == ["figure", "varies"]


def test_comments_for_tools_stay_in_the_source(course):
    cells = compose(course, LESSON + COLLAPSED)["notebooks"].cells
    assert cells[-4].source == "import math\nfrom pathlib import Path"
    assert cells[-2].source == (
        "table = [\n    [1,  0],  # (2,)\n    [0,  1],\n]\ndraw(table)  # format: as a table"
    )


def test_the_set_up_cell_is_short(course):
    assert len(heads.setup_cell(course).splitlines()) <= 3
    repository.set_address("https://github.com/owner/name", course)
    assert heads.setup_cell(course).endswith(heads.SETUP)
    lines = heads.setup_cell(course).splitlines()
    assert all(len(line) <= 80 for line in lines if "https://" not in line)


def test_composing_twice_gives_the_same_bytes_and_ids_depend_on_position(course):
    first, second = compose(course), compose(course)
    assert {k: nbformat.writes(v) for k, v in first.items()} == {
        k: nbformat.writes(v) for k, v in second.items()
    }
    ids = [cell.id for cell in first["notebooks"].cells]
    assert len(set(ids)) == len(ids)
    assert ids == [cell.id for cell in first["solutions"].cells]


def test_head_names_minutes_needs_and_time_once_measured(course):
    assert (
        compose(course)["notebooks"]
        .cells[0]
        .source.startswith(
            "# 07 A sample\n\n**5 minutes** · needs [03](03_other.ipynb), a little Python · "
            "computing time CPU not measured\n\nIn this lesson"
        )
    )
    (course / "data" / "timings.json").write_text('{"cpu": {"notebooks": {"07": 41.6}}}')
    assert "time 42 s on one CPU core\n" in compose(course)["notebooks"].cells[0].source
    (course / "bench").mkdir()
    assert "not measured yet" in heads.gpu(course)
    (course / "bench" / "gpu.json").write_text(
        '{"machine": "a card", "torch": "2", "at_once": 4, "lessons": {"07": 8.7}}'
    )
    head = compose(course)["notebooks"].cells[0].source
    assert "computing time 42 s on one CPU core, 9 s on a GPU\n" in head
    assert "42 s on one CPU core, 9 s on a GPU |" in heads.table(course)
    assert "a card, torch 2, 4 lessons at once" in heads.gpu(course)


def test_head_and_table_show_the_core_path_and_everything(course):
    text = LESSON + "\n# %% [markdown]\n# ## 2. More · extra\n# " + "many words" + "\n"
    text = text.replace("# In this", "# > **Exercise 07.1 · guess** · core · difficulty 1 of 3 · "
                                     "14 minutes\n# > Guess.\n#\n# In this")  # fmt: skip
    made = compose(course, text.replace("many words", 200 * "many words "))["notebooks"]
    assert "**15 minutes** for the core path, 20 with all extras · needs" in made.cells[0].source
    assert made.metadata.course.minutes == {"core": 15, "everything": 20}
    assert "| 03, a little Python | 15 / 20 |" in heads.table(course)


def test_nbgrader_knows_answers_and_checks(course):
    cells = compose(course)["notebooks"].cells
    known = {
        cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader
        for cell in cells
        if "nbgrader" in cell.metadata
    }
    assert list(known) == ["answer-07-1", "check-07-1", "answer-07-2", "check-07-2"]
    assert known["answer-07-1"].solution and not known["answer-07-1"].grade
    assert known["check-07-1"].grade and known["check-07-1"].points == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("#     title: A sample\n", "", "title"),
        ("needs: [3,", "needs: 3 #", "needs"),
        ("# %% [markdown]\n# In", "# %%\n# In", "markdown"),
        (
            "guess = None\n",
            "def f():\n    ### BEGIN SOLUTION\n    pass\n    ### END SOLUTION\n",
            "both",
        ),
    ],
)
def test_faulty_sources_give_one_clear_error(course, old, new, message):
    assert old in LESSON
    with pytest.raises(ValueError, match=message):
        compose(course, LESSON.replace(old, new))


def test_tidy_joins_streams_drops_stderr_and_numbers_widgets():
    def stream(name, text):
        return nbformat.v4.new_output("stream", name=name, text=text)

    model = "0123456789abcdef0123456789abcdef"
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": model}}
    cell = nbformat.v4.new_code_cell(
        "f()",
        execution_count=1,
        outputs=[
            stream("stdout", "a"),
            stream("stderr", "12 %"),
            stream("stdout", "b"),
            nbformat.v4.new_output("display_data", view),
        ],
        metadata={"execution": {"x": "now"}},
    )
    nb = nbformat.v4.new_notebook(
        cells=[cell],
        metadata={
            "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {model: {"a": 1}}}}
        },
    )
    nb.metadata.language_info = {"name": "python", "version": "3.11.7"}
    build.tidy(nb, {"language_info": {"name": "python"}})
    (cell,) = nb.cells
    assert [output.get("text") for output in cell.outputs] == ["ab", None]
    assert "execution" not in cell.metadata and "version" not in nb.metadata.language_info
    assert model not in nbformat.writes(nb) and f"{0:032x}" in nbformat.writes(nb)


def test_address_is_set_in_one_place_and_reaches_heads_without_running(course):
    source = course / "lessons" / "07_sample.py"
    for folder, nb in build.compose(source, course).items():
        nb.cells[2].outputs, nb.cells[2].execution_count = (
            [nbformat.v4.new_output("stream", name="stdout", text="kept")],
            3,
        )
        nbformat.write(nb, course / folder / "07_sample.ipynb")
    assert "Colab" not in (course / "notebooks" / "07_sample.ipynb").read_text()
    repository.set_address("https://github.com/owner/name.git", course)
    build.build(source, course, heads=True)
    nb = nbformat.read(course / "notebooks" / "07_sample.ipynb", 4)
    button = (
        "https://colab.research.google.com/github/owner/name/blob/main/notebooks/07_sample.ipynb"
    )
    assert button in nb.cells[0].source
    assert "git+https://github.com/owner/name" in nb.cells[1].source
    assert nb.cells[2].outputs[0].text == "kept" and nb.cells[2].execution_count == 3
    assert button in heads.table(course) and "git clone" in readme.address(course)
    repository.set_address("", course)
    assert "not set yet" in readme.address(course)
    with pytest.raises(ValueError, match="address"):
        repository.set_address("my course", course)


def test_heads_refuse_a_notebook_that_is_not_built_from_its_source(course):
    source = course / "lessons" / "07_sample.py"
    with pytest.raises(ValueError, match="make lesson N=07"):
        build.build(source, course, heads=True)


def test_copies_are_never_overwritten(course):
    lesson = course / "notebooks" / "07_sample.ipynb"
    mine = course / "my"
    lesson.write_text('{"cells": [], "nbformat": 1}')
    assert start.copy_lessons(course) == ["07_sample.ipynb"]
    assert start.copy_lessons(course) == []
    (mine / "07_sample.ipynb").write_text("my work")
    assert start.copy_lessons(course) == []
    lesson.write_text('{"cells": [], "nbformat": 2}')
    assert start.copy_lessons(course) == ["07_sample.new.ipynb"]
    assert start.copy_lessons(course) == []
    (mine / "07_sample.new.ipynb").write_text("more of my work")
    lesson.write_text('{"cells": [], "nbformat": 3}')
    assert start.copy_lessons(course) == ["07_sample.new2.ipynb"]
    assert (mine / "07_sample.ipynb").read_text() == "my work"
    assert (mine / "07_sample.new.ipynb").read_text() == "more of my work"
    (mine / "07_sample.ipynb").unlink()  # to start again
    assert start.copy_lessons(course) == ["07_sample.ipynb"]


PREDICTION = """
# %% [markdown]
# > **Exercise 07.3 · predict first** · core · difficulty 1 of 3 · 2 minutes
# >
# > How many?

# %%
how_many = None
### BEGIN SOLUTION
how_many = 5
### END SOLUTION

# %%
how_many = check("07.3", how_many)

# %%
print("no secret")

# %% tags=["varies", "result"]
print("six")
"""


def test_copies_do_not_spoil_a_prediction(course):
    nb = compose(course, LESSON + PREDICTION)["notebooks"]
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, start=1):
        cell.execution_count = number
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"ü {number}")]
    nbformat.write(nb, course / "notebooks" / "07_sample.ipynb")
    before = (course / "notebooks" / "07_sample.ipynb").read_bytes()
    assert start.copy_lessons(course) == ["07_sample.ipynb"]
    copy = nbformat.read(course / "my" / "07_sample.ipynb", 4)
    nbformat.validate(copy)
    counts = [cell.execution_count for cell in copy.cells if cell.cell_type == "code"]
    assert counts == [1, 2, 3, 4, 5, None, None, 8, None]  # the guess, its check; the result
    for kept, cell in zip(nb.cells, copy.cells):
        assert kept.source == cell.source and kept.metadata == cell.metadata and kept.id == cell.id
        if cell.cell_type == "code":
            assert cell.outputs == (kept.outputs if cell.execution_count else [])
    for cell in code[5:7] + code[8:]:
        cell.outputs, cell.execution_count = [], None
    nbformat.write(nb, course / "notebooks" / "07_sample.ipynb")  # nothing else differs, no byte
    assert (
        (course / "my" / "07_sample.ipynb").read_bytes()
        == (course / "notebooks" / "07_sample.ipynb").read_bytes()
        != before
    )


def test_release_has_no_solutions(course):
    for source in heads.sources(course):
        for folder, nb in build.compose(source, course).items():
            nbformat.write(nb, course / folder / f"{source.stem}.ipynb")
    for name in release.FILES:
        (course / name).parent.mkdir(parents=True, exist_ok=True)
        if not (course / name).exists():
            (course / name).write_text("x")
    (course / "README.md").write_text("# The title\n")
    target = release.main(course)
    assert release.main(course) == target  # again, over the old one
    files = [path for path in target.rglob("*") if path.is_file()]
    assert {path.name for path in (target / "notebooks").iterdir()} == {
        "03_other.ipynb",
        "07_sample.ipynb",
    }
    assert not (target / "solutions").exists() and not (target / "lessons").exists()
    assert not any("2 * x" in path.read_text() or "SOLUTION" in path.read_text() for path in files)
    assert "| 5 / 5 |" in (target / "README.md").read_text()
    (course / "notebooks" / "07_sample.ipynb").unlink()
    with pytest.raises(FileNotFoundError, match="make lesson N=07"):
        release.main(course)


def test_the_makefile_of_a_release_has_what_a_release_can_do(tmp_path):
    text = release.makefile((ROOT / "Makefile").read_text(encoding="utf-8"))
    assert set(re.findall(r"^([a-z]+):", text, re.M)) == {"help", "environment", "lab"}
    assert re.findall(r"^\.PHONY: (.*)$", text, re.M) == ["help environment lab"]
    modules = {f"{name.replace('.', '/')}.py" for name in re.findall(r"-m (tools\.\w+)", text)}
    assert modules and modules <= set(release.FILES)
    assert "TESTING" not in text
    (tmp_path / "Makefile").write_text(text)
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run(["make", "-n", "lab"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "tools.start" in done.stdout, done.stderr


def test_nbgrader_s_configuration_gives_training_its_time():
    from nbgrader.preprocessors import Execute
    from traitlets.config import PyFileConfigLoader

    assert Execute().timeout == 30, "nbgrader's own has changed: is the file still needed?"
    found = PyFileConfigLoader("nbgrader_config.py", str(ROOT)).load_config()
    assert Execute(config=found).timeout == 3600


def test_readme_needs_its_markers(course):
    (course / "lessons" / "glossary.yaml").write_text("b: two\na: one\n")
    (course / "docs").mkdir()
    for file, parts in readme.PARTS.items():
        text = "".join(f"before {name}\n<!-- {name} -->\nold\n<!-- /{name} -->\n" for name in parts)
        (course / file).write_text(text)
    readme.main(course)
    text, terms = ((course / file).read_text() for file in readme.PARTS)
    assert "old" not in text + terms and "before gpu\n" in text
    assert "- **a**: one\n- **b**: two" in terms and "| lesson |" in text
    assert readme.filled("README.md", course) == text
    (course / "docs" / "GLOSSARY.md").write_text(terms.replace("<!-- /glossary -->", ""))
    with pytest.raises(ValueError, match=r"docs/GLOSSARY.md needs <!-- glossary"):
        readme.filled("docs/GLOSSARY.md", course)

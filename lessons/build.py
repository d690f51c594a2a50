"""Build the notebooks of a lesson from its one source, lessons/NN_topic.py.

    python -m lessons.build 07        both notebooks of lesson 08, executed
    python -m lessons.build           every lesson
    python -m lessons.build --heads   only title, links and times; the outputs stay as they are

The source is a jupytext py:percent file. From it come, in this one direction only,
`solutions/NN_topic.ipynb` (every exercise solved) and `notebooks/NN_topic.ipynb` (solutions
replaced by blanks, which is what learners open). Both are executed from top to bottom with one
thread and seed 0. CONTRIBUTING.md says how a source is written.
"""

import argparse
import copy
import hashlib
import os
import re
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbgrader.preprocessors import ClearSolutions

from lessons.heads import ROOT, chosen, facts, head, setup_cell
from lessons.minutes import collapsed

FOLDERS = ("solutions", "notebooks")
GLOSSARY = "**Terms** of all lessons: [glossary](../docs/GLOSSARY.md)."
# one thread, CPU, seed 0
REFERENCE = {"COURSE_REFERENCE": "1", "OMP_NUM_THREADS": "1"}
# comments for formatters and linters; a line that is nothing else goes with them
FOR_TOOLS = re.compile(
    r"^[ \t]*# ?(?:fmt|isort|ruff|noqa)\b[^\n]*\n?"
    r"|[ \t]*# ?(?:fmt|isort|ruff|noqa)\b[^\n]*",
    re.MULTILINE,
)
BLANK_IN_FUNCTION = "# Your code here\nraise NotImplementedError"
BLANK_VALUE = "# Your answer here"


def clear(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with every solution replaced by a blank, by nbgrader's ClearSolutions."""
    nb = copy.deepcopy(nb)
    for index, cell in enumerate(nb.cells):
        indents = {
            len(line) - len(line.lstrip()) > 0
            for line in cell.source.splitlines()
            if "BEGIN SOLUTION" in line
        }
        if len(indents) > 1:
            raise ValueError(
                f"an exercise is a function or a value, not both:\n{cell.source}"
            )
        stub = BLANK_IN_FUNCTION if True in indents else BLANK_VALUE
        step = ClearSolutions(
            enforce_metadata=False, code_stub={"python": stub}
        )
        if indents:
            step.preprocess_cell(cell, {"language": "python"}, index)
    return nb


def mark_for_nbgrader(cells: list) -> None:
    """Mark answers and checks with nbgrader's metadata, so that a teacher may grade with it."""
    answers = []
    for cell in cells:
        found = re.search(r'\bcheck\("(\d\d)\.(\d+)"', cell.source)
        if cell.cell_type != "code":
            continue
        if "### BEGIN SOLUTION" in cell.source:
            answers.append(cell)
        elif found and answers:
            exercise = "-".join(found.groups())
            for number, answer in enumerate(answers, start=1):
                name = (
                    f"answer-{exercise}"
                    if number == 1
                    else f"answer-{exercise}-{number}"
                )
                answer.metadata.nbgrader = {
                    "schema_version": 3,
                    "grade_id": name,
                    "solution": True,
                    "grade": False,
                    "locked": False,
                    "task": False,
                }
            cell.metadata.nbgrader = {
                "schema_version": 3,
                "grade_id": f"check-{exercise}",
                "points": 1,
                "solution": False,
                "grade": True,
                "locked": True,
                "task": False,
            }
            answers = []


def collapse(cell: nbformat.NotebookNode) -> None:
    """Hide a cell's code in JupyterLab (source_hidden) and Colab (a form)."""
    cell.metadata["jupyter"] = {"source_hidden": True}
    cell.metadata["cellView"] = "form"


def compose(
    source: Path, root: Path = ROOT
) -> dict[str, nbformat.NotebookNode]:
    """Both notebooks of a lesson without outputs: {"solutions": ..., "notebooks": ...}."""
    cells = jupytext.read(source, fmt="py:percent").cells
    if not cells or cells[0].cell_type != "markdown":
        raise ValueError(
            f"{source.name}: the first cell must be markdown: what it teaches"
        )
    cells[0].source = f"{head(source, root)}\n\n{cells[0].source}"
    if cells[-1].cell_type == "markdown":
        cells[-1].source += f"\n\n{GLOSSARY}"
    setup = nbformat.v4.new_code_cell(
        setup_cell(root), metadata={"tags": ["setup"]}
    )
    cells.insert(1, setup)
    for position, cell in enumerate(cells):
        cell.metadata.pop("lines_to_next_cell", None)
        if cell.cell_type == "code":
            cell.source = FOR_TOOLS.sub("", cell.source)
            if collapsed(cell):
                collapse(cell)
        key = f"{position}\n{cell.cell_type}\n{cell.source}"
        cell.id = hashlib.sha256(key.encode()).hexdigest()[:12]
    mark_for_nbgrader(cells)
    solved = nbformat.v4.new_notebook(
        cells=cells,
        metadata={
            "course": facts(source),
            "kernelspec": {
                "display_name": "Python 3",
                "language": "python",
                "name": "python3",
            },
            "language_info": {
                "name": "python",
                "file_extension": ".py",
                "mimetype": "text/x-python",
            },
        },
    )
    return {"solutions": solved, "notebooks": clear(solved)}


def execute(
    nb: nbformat.NotebookNode, folder: Path, env: dict, **options
) -> None:
    """Run a notebook in place, in `folder`. Raises nbclient's CellExecutionError."""
    folder.mkdir(exist_ok=True)
    client = NotebookClient(
        nb,
        resources={"metadata": {"path": str(folder)}},
        **({"timeout": 3600, "kernel_name": "python3"} | options),
    )
    client.execute(env={**os.environ, **env})


def tidy(nb: nbformat.NotebookNode, metadata: dict) -> None:
    """Drop what differs from run to run or isn't for the reader: stderr, times, random ids."""
    for cell in nb.cells:
        cell.metadata.pop("execution", None)
        kept = []
        for output in cell.get("outputs", []):
            stream = output.get("name")
            if kept and stream and kept[-1].get("name") == stream:
                kept[-1].text += output.text
            elif stream != "stderr":
                kept.append(output)
        if "outputs" in cell:
            cell.outputs = kept
    widgets = nb.metadata.get("widgets")
    nb.metadata = nbformat.from_dict(
        metadata | ({"widgets": widgets} if widgets else {})
    )
    # widget ids are random: number them in the order in which they were made
    if widgets:
        text = nbformat.writes(nb)
        for number, key in enumerate(
            widgets["application/vnd.jupyter.widget-state+json"]["state"]
        ):
            text = text.replace(key, f"{number:032x}")
        nb.update(nbformat.reads(text, as_version=4))


def keep_outputs(nb: nbformat.NotebookNode, path: Path) -> None:
    """Take the outputs of a built notebook over. Raises ValueError where its code is another."""
    old = (
        nbformat.read(path, as_version=4)
        if path.exists()
        else nbformat.v4.new_notebook()
    )
    new_code, old_code = (
        [c for c in n.cells if c.cell_type == "code"] for n in (nb, old)
    )
    # 0 is the set-up cell
    if [c.source for c in old_code[1:]] != [c.source for c in new_code[1:]]:
        raise ValueError(
            f"{path} isn't built from its source: make lesson N={path.name[:2]}"
        )
    for cell, before in zip(new_code, old_code):
        cell.outputs, cell.execution_count = (
            before.outputs,
            before.execution_count,
        )
    if "widgets" in old.metadata:
        nb.metadata.widgets = old.metadata.widgets


def build(source: Path, root: Path = ROOT, heads: bool = False) -> None:
    """Write both notebooks of a lesson, executed (or, with `heads`, with the outputs they have)."""
    for folder, nb in compose(source, root).items():
        path = root / folder / f"{source.stem}.ipynb"
        if heads:
            keep_outputs(nb, path)
        else:
            metadata = dict(nb.metadata)
            execute(nb, path.parent, REFERENCE)
            tidy(nb, metadata)
        nbformat.validate(nb)
        nbformat.write(nb, path)
        print(f"{folder}/{path.name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "lessons", nargs="*", help="numbers such as 07; none means all"
    )
    parser.add_argument(
        "--heads",
        action="store_true",
        help="keep the outputs, renew heads and prose",
    )
    options = parser.parse_args()
    for source in chosen(options.lessons):
        build(source, heads=options.heads)


if __name__ == "__main__":
    main()

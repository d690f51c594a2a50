"""The comparison is itself tested: what must fail fails, what must pass passes.

Each case is a cell, executed for its reference and then changed. nbval checks them in a pytest of
its own, with the plugin that `make test` uses.
"""

import base64
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest

from lessons.build import REFERENCE, execute, tidy
from tests.notebook_compare import ALIKE, compare_picture, compare_text, difference, picture

ROOT = Path(__file__).resolve().parents[2]
TRAIN = "print('step 10: loss 0.4312, 99.8 ± 0.1 %')"
SHAPE = "print('shape', (2, 3, 64))"
FIGURE = """\
from matplotlib.figure import Figure
from IPython.display import Image, display
import io
figure = Figure(figsize=(4, 3)); axes = figure.subplots(); axes.plot([0, 1, 2], [1.0, 0.5, 0.4])
buffer = io.BytesIO(); figure.savefig(buffer, format="png")
display(Image(buffer.getvalue(), alt="the loss falls"))"""
TABLE = """\
from IPython.display import HTML
HTML("<table><tr><td>baseline</td><td>67.0</td></tr></table>")"""
WIDGET = """\
import ipywidgets
out = ipywidgets.Output()
with out:
    print("inside", 5)
print("outside")
ipywidgets.VBox([out, ipywidgets.IntSlider(3)])"""
UNSOLVED = """\
def double(x):
    # Your code here
    raise NotImplementedError"""
ASK = """\
try:
    double(2)
except NotImplementedError:
    print("07.1 is not attempted yet")"""
STDERR = "import sys; print('12 %', file=sys.stderr); print('done')"
UNTOUCHED = (TRAIN, SHAPE, FIGURE, TABLE, WIDGET, UNSOLVED, ASK, STDERR)


@pytest.fixture(scope="module")
def failed(tmp_path_factory) -> set[str]:
    """Run nbval once over a notebook with one cell a case; give the cases that failed."""
    folder = tmp_path_factory.mktemp("nbval")
    cases = {"untouched " + code: (code, lambda cell: None) for code in UNTOUCHED}
    cases |= MUST_FAIL | MUST_PASS
    cells = [nbformat.v4.new_code_cell(code) for code, _ in cases.values()]
    nb = nbformat.v4.new_notebook(cells=cells)
    execute(nb, folder, REFERENCE)
    tidy(nb, {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
    for cell, (_, change) in zip(nb.cells, cases.values()):
        change(cell)
    nbformat.write(nb, folder / "sample.ipynb")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.notebook_compare",
            "--nbval",
            "--nbval-current-env",
            "-q",
            "-rfp",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            "--rootdir",
            str(folder),
            "--color=no",
            "sample.ipynb",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    results = re.findall(r"^(FAILED|PASSED) \S+::Cell (\d+)", done.stdout, flags=re.MULTILINE)
    assert sorted(int(number) for _, number in results) == list(range(len(cases))), done.stdout
    return {list(cases)[int(number)] for result, number in results if result == "FAILED"}


def blank_figure() -> str:
    buffer = io.BytesIO()
    plt.imsave(buffer, np.ones((300, 400, 3)), format="png")
    return base64.b64encode(buffer.getvalue()).decode()


def without_output(kind):
    """A change of the reference: the cell's outputs of this kind are gone."""

    def change(cell):
        cell.outputs = [output for output in cell.outputs if kind not in output.get("data", {})]

    return change


def text(old, new):
    """A change of the reference: a printed text is another."""

    def change(cell):
        assert old in cell.outputs[0].text
        cell.outputs[0].text = cell.outputs[0].text.replace(old, new)

    return change


def data(key, old, new):
    """A change of the reference: what is displayed is another."""

    def change(cell):
        output = next(output for output in cell.outputs if key in output.get("data", {}))
        assert old in output.data[key]
        output.data[key] = output.data[key].replace(old, new)

    return change


def cleared(cell):
    cell.outputs, cell.execution_count = [], None


def emptied(cell):
    cell.outputs = []


def extra(cell):
    cell.outputs.append(nbformat.v4.new_output("display_data", {"text/plain": "more"}))


def blank_reference(cell):
    cell.outputs[0].data["image/png"] = blank_figure()


def other_alt(cell):
    cell.outputs[0].metadata["image/png"]["alt"] = "the loss rises"


def source(code, tag=""):
    """A change of the code, so that the new output is another than the reference."""

    def change(cell):
        cell.source = code
        if tag:
            cell.metadata.tags = [tag]

    return change


MUST_FAIL = {
    "a wrong loss": (TRAIN, text("0.4312", "0.4310")),
    "a measured value beyond three spreads": (TRAIN, text("99.8 ±", "99.4 ±")),
    "another spread": (TRAIN, text("± 0.1", "± 0.4")),
    "a spread that is gone": (TRAIN, text("99.8 ± 0.1", "99.8")),
    "a wrong step": (TRAIN, text("step 10", "step 11")),
    "a wrong word": (TRAIN, text("loss", "gain")),
    "a wrong shape": (SHAPE, text("(2, 3, 64)", "(2, 4, 64)")),
    "a shape with one number more": (SHAPE, text("(2, 3, 64)", "(2, 3, 64, 1)")),
    "a figure that the reference has not": (FIGURE, without_output("image/png")),
    "a missing figure": (FIGURE, source("print()")),
    "a missing figure among its text": (FIGURE, source(FIGURE.replace("display(", "print("))),
    "a blank figure": (FIGURE, source(FIGURE.replace("axes.plot", "axes.set_axis_off(); str"))),
    "a blank reference": (FIGURE, blank_reference),
    "a figure that shows another thing": (FIGURE, source(FIGURE.replace(".plot(", ".bar("))),
    "another alt text": (FIGURE, other_alt),
    "a blank figure in a varying cell": (
        FIGURE,
        source(FIGURE.replace("axes.plot", "axes.set_axis_off(); str"), "varies"),
    ),
    "a missing figure in a varying cell": (FIGURE, source("print()", "varies")),
    "a wrong number in a table": (TABLE, data("text/html", "67.0", "66.7")),
    "a missing widget": (WIDGET, without_output("application/vnd.jupyter.widget-view+json")),
    "a cleared cell": (SHAPE, cleared),
    "a cleared cell without output": (UNSOLVED, cleared),
    "an output that the reference has not": (SHAPE, emptied),
    "an extra output in the reference": (SHAPE, extra),
    "an exception": (SHAPE, source("1 / 0")),
}
MUST_PASS = {
    "the last digit": (TRAIN, text("0.4312", "0.4311")),
    "within three spreads": (TRAIN, text("99.8 ±", "99.6 ±")),
    "padding beside a number": (TRAIN, text("step 10", "step   10")),
    "the last digit in a table": (TABLE, data("text/html", "67.0", "67.1")),
    "another text in a varying cell": (TRAIN, source("print('step 3')", "varies")),
    "another figure in a varying cell": (
        FIGURE,
        source(FIGURE.replace(".plot(", ".bar("), "varies"),
    ),
    "other progress on stderr": (STDERR, source(STDERR.replace("12", "14"))),
}


@pytest.mark.parametrize("code", UNTOUCHED)
def test_untouched_cell_passes(failed, code):
    assert "untouched " + code not in failed


@pytest.mark.parametrize("case", MUST_FAIL)
def test_must_fail(failed, case):
    assert case in failed


@pytest.mark.parametrize("case", MUST_PASS)
def test_must_pass(failed, case):
    assert case not in failed


SAME = [
    ("0.124", "0.123"),
    ("2e-07", "4e-07"),
    ("0e+00", "6e-08"),
    ("8e-06", "2e-06"),
    ("-0.50", "-0.49"),
    ("1.3e-05", "1.2e-05"),
    ("1.01e+10", "1.00e+10"),
    ("99.9 %", "99.8 %"),
    ("99.9%", "99.8%"),
    ("-0.0", "0.0"),
    ("| 10.000 |", "|  9.999 |"),
    ("[ 0.51 -1.20]", "[0.50 -1.21]"),
    ("120 ± 4", "121 ± 4"),
    ("1.1 ± 0.2", "1.0 ± 0.2"),
    ("100.0 ± 0.0 %", "99.9 ± 0.0 %"),
    ("50 ± 2", "50 ± 1"),
    ("40.4 (60.4 ± 18.2) %", "40.3 (60.4 ± 18.2) %"),
    ("0.43 (0.40 ± 0.02)", "0.43 (0.40 ± 0.02)"),
    ("0.30", "0.2"),
    ("1.", "2."),
    ("name   all    half\na  0.5", "name  all   half\na  0.6"),
    ("torch 2.14.1", "torch 2.14.1"),
    ("x\ny 0.5", "x\ny 0.6"),
    ("", ""),
]
DIFFERENT = [
    ("0.125", "0.123"),
    ("0.5", "-0.5"),
    ("3", "2"),
    ("80 %", "79 %"),
    ("0.12", "12"),
    ("1.4e-05", "1.2e-05"),
    ("9e-06", "4e-07"),
    ("2e-05", "4e-06"),
    ("0.0000002", "0.0000004"),
    ("1.2e-04", "1.2e-05"),
    ("1.0", "nan"),
    ("a  b", "a b"),
    ("torch 2.14.2", "torch 2.14.1"),
    ("(1, 2)", "(1, 3)"),
    ("122 ± 4", "120 ± 4"),
    ("40.5 (60.4 ± 18.2) %", "40.3 (60.4 ± 18.2) %"),
    ("40.3 (60.4 ± 18.5) %", "40.3 (60.4 ± 18.2) %"),
    ("40.3 (60.7 ± 18.2) %", "40.3 (60.4 ± 18.2) %"),
    ("40.3 (60.4 ± 18.2)", "40.3 (60.4 ± 18.2) %"),
    ("40.3", "40.3 (60.4 ± 18.2)"),
    ("0.5", "0.5\n"),
    ("0.5 kg", "0.5 g"),
    ("float64", "float32"),
    ("3-2", "3-1"),
    ("64x64", "64x32"),
    ("0.50", "0.50 0.50"),
    ("52 ± 0", "50 ± 0"),
    ("loss  0.5", "gain  0.5"),
    ("5", "5.0"),
    ("a 0.5\nb", "a 0.5 b"),
    ("1.2 ± 0.2", "1.0 ± 0.2"),
    ("0.302", "0.15"),
]


@pytest.mark.parametrize(("new", "old"), SAME)
def test_texts_that_match(new, old):
    assert compare_text(new, old) == ""


@pytest.mark.parametrize(("new", "old"), DIFFERENT)
def test_texts_that_differ(new, old):
    assert compare_text(new, old) != ""


def drawn(draw, **options) -> str:
    with plt.rc_context():
        plt.rcdefaults()  # another test may have set the course's style
        figure, axes = plt.subplots(figsize=(6.4, 4), **options)
        draw(axes)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=100)
        plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()


def curves(seed=0, runs=2, rate=-3, noise=0.02) -> str:
    """A figure as lessons have them: loss curves with noise, labels and a legend."""
    random, t = np.random.default_rng(seed), np.linspace(0, 1, 100)

    def draw(axes):
        for run in range(runs):
            axes.plot(t, np.exp(rate * t) * (1 + 0.3 * run) + noise * random.normal(size=100))
        axes.set(title="the loss falls", xlabel="step", ylabel="loss", ylim=(0, 1.4))

    return drawn(draw)


def bars(*heights) -> str:
    return drawn(lambda axes: (axes.bar(range(len(heights)), heights), axes.set_ylim(0, 100)))


def test_figures_that_look_the_same_and_others_are_told_apart():
    """ALIKE lies between what noise of 2 % does and what the smallest real change does."""
    same = [
        (curves(1, noise=0.03), curves(2, noise=0.03)),
        (bars(67, 80, 99), bars(67.5, 80.5, 98.5)),
    ]
    other = [
        (curves(), curves(runs=1)),
        (curves(), curves(rate=-6)),
        (bars(67, 80, 99), bars(99, 80, 67)),
        (bars(67, 80, 99), bars(67, 80, 0)),
        (curves(), drawn(lambda axes: axes.set(title="the loss falls", ylim=(0, 1.4)))),
    ]

    def gap(pair):
        return difference(picture(pair[0])[0], picture(pair[1])[0])

    assert max(map(gap, same)) < 0.8 * ALIKE < ALIKE < 0.8 * min(map(gap, other))


def test_figure_that_cannot_be_decoded_or_has_another_size_fails():
    good = curves()
    assert compare_picture(good, good, varies=False) == ""
    assert "decoded" in compare_picture("AAAA", good, varies=True)
    wide = drawn(lambda axes: axes.plot([1, 2]), layout="constrained")
    assert compare_picture(wide, good, varies=True) == ""
    assert "size" in compare_picture(small_version(good), good, varies=False)


def small_version(png: str) -> str:
    image, _ = picture(png)
    buffer = io.BytesIO()
    image.resize((320, 200)).save(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()

"""Figures with alt text and equal bytes, pictures, curves, and tables."""

import io

import matplotlib.pyplot as plt
import pytest
import torch
from PIL import Image

from course_utils.notebook import plots


@pytest.fixture(autouse=True)
def displayed(monkeypatch):
    outputs = []
    monkeypatch.setattr(plots, "display", outputs.append)
    return outputs


def show_line(alt="A line that rises from 0 to 1."):
    plots.style()
    figure, axis = plt.subplots(figsize=(3, 2))
    axis.plot([0, 1])
    plots.show(figure, alt=alt)
    assert not plt.fignum_exists(figure.number)


def test_figures_carry_their_text_and_the_same_bytes(displayed):
    show_line()
    show_line()
    first, second = displayed
    assert first.data == second.data and Image.open(io.BytesIO(first.data)).size == (300, 200)
    assert first._repr_mimebundle_()[1]["image/png"]["alt"] == "A line that rises from 0 to 1."


@pytest.mark.parametrize("alt", ["", "figure", "a plot", None])
def test_a_figure_without_a_text_is_refused(alt):
    with pytest.raises(ValueError, match="expected a sentence"):
        show_line(alt)


def test_pictures_and_heat():
    images = torch.zeros(3, 3, 64, 64, dtype=torch.uint8)
    figure = plots.images_grid(images, ["a", "b", "c"], columns=2)
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "c", ""]
    with pytest.raises(ValueError, match=r"expected \(3, height, width\), got \(64, 64\)"):
        plots.as_picture(images[0, 0])
    figure, axis = plt.subplots()
    weights = torch.zeros(4, 4)
    weights[1, 2] = 1.0
    plots.heat_over_image(axis, torch.ones(3, 64, 64), weights)
    alpha = axis.images[1].get_alpha()
    assert alpha[1, 2] == 0 and alpha[0, 0] == pytest.approx(0.75)
    plots.heat_over_image(axis, torch.ones(3, 64, 64), torch.zeros(4, 4, requires_grad=True))
    assert (axis.images[3].get_alpha() == 0.75).all()  # no attention at all: dark, not undefined
    for wrong in (torch.zeros(16), -torch.ones(4, 4), torch.full((4, 4), float("nan"))):
        with pytest.raises(ValueError, match="weights: expected"):
            plots.heat_over_image(axis, torch.ones(3, 64, 64), wrong)
    with pytest.raises(ValueError, match=r"expected values in \[0, 1\], got 0 to 255"):
        plots.as_picture(torch.tensor([0.0, 255.0]).expand(3, 2, 2))
    plt.close("all")


@pytest.mark.parametrize(
    ("images", "titles", "message"),
    [
        ([], None, "expected at least one picture"),
        (torch.zeros(2, 3, 8, 8), ["a"], "titles: expected 2, one a picture, got 1"),
    ],
)
def test_a_grid_needs_pictures_and_as_many_titles(images, titles, message):
    with pytest.raises(ValueError, match=message):
        plots.images_grid(images, titles)


def test_curves_have_labels_and_can_be_told_apart_without_colour():
    figure = plots.curves(
        {"loss": [3.0, 2.0, 1.0], "both": ([0, 10], [2.0, 2.5])},
        "pass",
        "loss (nat)",
        "it falls",
        baseline=("blind", 2.2),
    )
    axis = figure.axes[0]
    loss, both, blind = axis.lines
    assert loss.get_xdata().tolist() == [1, 2, 3] and both.get_xdata().tolist() == [0, 10]
    assert len({line.get_linestyle() for line in axis.lines}) == 3
    assert blind.get_ydata()[0] == 2.2
    assert (axis.get_xlabel(), axis.get_ylabel(), axis.get_title()) == (
        "pass",
        "loss (nat)",
        "it falls",
    )
    assert [t.get_text() for t in axis.get_legend().get_texts()] == ["loss", "both", "blind"]
    again = plots.curves({"a pair": (1.0, 2.0)}, "pass", "loss", axis=axis)  # a tuple of two values
    assert again is figure and axis.lines[-1].get_xdata().tolist() == [1, 2]
    plt.close("all")


@pytest.mark.parametrize(
    ("series", "xlabel", "message"),
    [
        ({}, "pass", "got 0 curves"),
        ({"a": [1.0]}, "", "both labels"),
        ({"a": ([1, 2], [1.0])}, "pass", "a: expected as many xs as ys, got 2 and 1"),
    ],
)
def test_curves_without_a_label_are_refused(series, xlabel, message):
    with pytest.raises(ValueError, match=message):
        plots.curves(series, xlabel, "loss")
    plt.close("all")


def test_bars_stand_in_order_with_their_intervals():
    figure, axis = plt.subplots()
    plots.bars_with_interval(axis, ["blind", "ours"], [67.0, 99.0], [0.3, 0.1])
    assert [bar.get_width() for bar in axis.patches] == [67.0, 99.0]
    assert axis.yaxis_inverted()
    with pytest.raises(ValueError, match="for each of 2 names, got 2 and 1"):
        plots.bars_with_interval(axis, ["blind", "ours"], [67.0, 99.0], [0.3])
    plt.close(figure)


def test_confusion_writes_every_count_that_is_not_zero():
    figure = plots.confusion(torch.tensor([[3, 0], [1, 2]]), ["a", "b"])
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["1", "2", "3"]
    plt.close(figure)
    with pytest.raises(ValueError, match=r"expected \(3, 3\), .* got \(2, 2\)"):
        plots.confusion(torch.zeros(2, 2), ["a", "b", "c"])


def test_tables_as_page_and_as_text(displayed):
    plots.table([["blind", "67 %"], ["<ours>", "99 %"]], header=["model", "right"], best=1)
    page = displayed[0]._repr_html_()
    assert "<b>&lt;ours&gt;</b>" in page and "<b>blind" not in page
    assert repr(displayed[0]).splitlines()[0] == "model   right"
    with pytest.raises(ValueError, match="expected 2 cells in each row, got 1"):
        plots.table([["blind"]], header=["model", "right"])


def test_single_cells_can_be_the_best(displayed):
    plots.table([["a", "1"], ["b", "2"]], header=["model", "right"], best=[(1, 1), (0, 0)])
    page = displayed[0]._repr_html_()
    assert page.count("<b>") == 2 and "<b>a</b>" in page and "<b>2</b>" in page
    for wrong in (2, [(0, 2)], [(-1, 0)]):
        with pytest.raises(ValueError, match="best: expected cells of 2 rows and 2 columns"):
            plots.table([["a", "1"], ["b", "2"]], header=["model", "right"], best=wrong)


def test_names_with_dollars_are_drawn_as_they_are_and_errors_leave_no_figure():
    names = ["$5 or $6", "a\\b_{", "\\frac$ $"]  # none of them is a formula
    figure = plots.confusion(torch.eye(3).long(), names)
    plots.png(figure)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        name.replace("$", r"\$") for name in names
    ]
    plots.png(plots.curves({name: [1, 2] for name in names}, "x", "y"))
    plots.png(plots.images_grid([torch.zeros(3, 4, 4)] * 3, names))
    figure, axis = plt.subplots()
    plots.bars_with_interval(axis, names, [1, 2, 3], [0, 0, 0])
    plots.png(figure)
    with pytest.raises(ValueError, match="image: expected"):
        plots.images_grid([torch.zeros(3, 4, 4), torch.zeros(4, 4)])
    assert not plt.get_fignums()

"""Figures with alt text and equal bytes, tables, and the controls of widgets."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from course_utils import plots, widgets


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


@pytest.mark.parametrize("alt", ["", "figure", "a plot"])
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
    plt.close("all")


def test_confusion_writes_every_count_that_is_not_zero():
    figure = plots.confusion(torch.tensor([[3, 0], [1, 2]]), ["a", "b"])
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["1", "2", "3"]
    plt.close(figure)


def test_tables_as_page_and_as_text(displayed):
    plots.table([["blind", "67 %"], ["<ours>", "99 %"]], header=["model", "right"], best=1)
    page = displayed[0]._repr_html_()
    assert "<b>&lt;ours&gt;</b>" in page and "<b>blind" not in page
    assert repr(displayed[0]).splitlines()[0] == "model   right"
    with pytest.raises(ValueError, match="expected 2 cells in each row, got 1"):
        plots.table([["blind"]], header=["model", "right"])


# Widgets: used as a learner would, by changing the value of a control


def draw(shape, size):
    picture = torch.full((3, 64, 64), 200, dtype=torch.uint8)
    picture[:, :size, :size] = {"square": 0, "bar": 90}[shape]
    return picture


def ask(picture, question):
    if "purple" in question:
        raise ValueError("unknown word <purple>")
    dark = (picture < 100).float().mean()
    return torch.tensor([dark, 1 - dark]), torch.rand(4, 4)


def controls(box):
    found = []
    for child in getattr(box, "children", ()):
        found += controls(child)
    return found or [box]


def test_composing_and_asking_follows_the_controls():
    box = widgets.compose_and_ask(draw, ask, ("yes", "no"), {"shape": ("square", "bar")},
                                  {"size": (4, 60, 10)}, "is it dark?")  # fmt: skip
    shape, size, question, message, view = controls(box)
    before = view.value
    assert Image.open(io.BytesIO(before)).size[0] > 300
    size.value = 50
    assert view.value != before
    question.value = "is it purple?"
    assert message.value == "<b>unknown word &lt;purple&gt;</b>"
    question.value = "is it dark?"
    assert message.value == ""


def test_a_switcher_draws_each_figure_once():
    drawn = []

    def figure(i):
        drawn.append(i)
        f, axis = plt.subplots(figsize=(2, 2))
        axis.plot(np.arange(i + 2))
        return f

    box = widgets.switcher(figure, ["first", "second"], "layer")
    slider, view = controls(box)
    first = view.value
    slider.index = 1
    assert view.value != first
    slider.index = 0
    assert view.value == first and drawn == [0, 1]

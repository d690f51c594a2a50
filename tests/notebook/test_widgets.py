"""Controls in notebooks, used as a learner would: by changing the value of a control."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.notebook import widgets


def draw(shape, size):
    picture = torch.full((3, 64, 64), 200, dtype=torch.uint8)
    picture[:, :size, :size] = {"square": 0, "bar": 90}[shape]
    return picture


def ask(picture, question):
    if "purple" in question:
        raise ValueError("unknown word <purple>")
    dark = (picture < 100).float().mean()
    return torch.tensor([dark, 1 - dark]), torch.arange(16.0).view(4, 4)


def controls(box):
    found = []
    for child in getattr(box, "children", ()):
        found += controls(child)
    return found or [box]


def compose(**options):
    settings = {
        "choices": {"shape": ("square", "bar")},
        "sliders": {"size": (4, 60, 10)},
        "question": "is it dark?",
    }
    return widgets.compose_and_ask(draw, ask, ("yes", "no"), **(settings | options))


def test_composing_and_asking_follows_the_controls():
    shape, size, _question, message, view = controls(compose())
    before = view.value
    assert Image.open(io.BytesIO(before)).size[0] > 300
    assert message.value == "The likeliest answers: no (98 %), yes (2 %)."
    size.value = 50
    assert view.value != before
    assert message.value == "The likeliest answers: yes (61 %), no (39 %)."
    shape.value = "bar"
    assert message.value.startswith("The likeliest answers: yes")
    size.value, shape.value = 10, "square"
    assert view.value == before
    assert not plt.get_fignums()


def test_a_question_that_cannot_be_asked_leaves_no_old_answer():
    *_, question, message, view = controls(compose())
    question.value = "is it purple?"
    assert message.value == "<b>unknown word &lt;purple&gt;</b>" and view.layout.display == "none"
    question.value = "does it cost $5 or $_6?"  # no formula
    assert message.value.startswith("The likeliest") and view.layout.display is None


def test_no_error_leaves_an_old_answer_or_a_figure():
    broken = []

    def ask_or_fail(picture, question):
        if broken:
            raise broken[0]
        return ask(picture, question)

    box = widgets.compose_and_ask(
        draw, ask_or_fail, ("yes", "no"), {"shape": ("bar",), "size": (9,)}, {}, "is it dark?"
    )
    *_, question, message, view = controls(box)
    broken.append(RuntimeError("out of memory"))
    with pytest.raises(RuntimeError, match="out of memory"):
        question.value = "is it light?"
    assert message.value == "<b>out of memory</b>" and view.layout.display == "none"
    broken.clear()
    question.value = "is it dark?"
    assert message.value.startswith("The likeliest") and view.layout.display is None

    def figure(i):
        figure, _ = plt.subplots()
        if i == 1:
            raise RuntimeError("broken")
        return figure

    slider, view = controls(widgets.switcher(figure, ["first", "second"], "layer"))
    with pytest.raises(RuntimeError, match="broken"):
        slider.index = 1
    assert view.layout.display == "none" and not plt.get_fignums()
    slider.index = 0
    assert view.layout.display is None
    with pytest.raises(ValueError, match="weights: expected"):
        widgets.answer_figure(draw("bar", 4), "?", torch.ones(1), ["a"], torch.ones(3))
    assert not plt.get_fignums()


def test_questions_are_suggested_and_others_allowed():
    *_, question, _, _ = controls(compose(questions=["is it light?"]))
    assert question.options == ("is it light?",) and question.value == "is it dark?"


def test_two_runs_give_the_same_state():
    def state():
        return [
            {
                key: value
                for key, value in control.get_state().items()
                if key not in ("layout", "style")
            }
            for control in controls(compose())
        ]

    assert state() == state()


def test_the_five_likeliest_answers_come_in_order():
    p = torch.tensor([0.1, 0.3, 0.05, 0.25, 0.2, 0.1], requires_grad=True)
    names = [name for name, _ in widgets.likeliest(p, "abcdef")]
    assert names[:3] == ["b", "d", "e"] and len(names) == 5
    figure = widgets.answer_figure(draw("bar", 9), "what?", p, "abcdef", torch.ones(4, 4))
    assert [t.get_text() for t in figure.axes[2].get_yticklabels()] == names
    plt.close(figure)
    with pytest.raises(ValueError, match=r"expected \(2,\), one an answer, got \(6,\)"):
        widgets.answer_figure(draw("bar", 9), "what?", p, "ab", torch.ones(4, 4))


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


@pytest.mark.parametrize("labels", [[], ["a", "a"]])
def test_a_switcher_needs_different_labels(labels):
    with pytest.raises(ValueError, match="labels: expected different texts"):
        widgets.switcher(lambda i: None, labels, "layer")


def test_an_explorer_searches_both_ways_and_shows_errors():
    pictures = [draw("bar", 9), draw("bar", 30)]

    def find(words):
        if not words.strip():
            raise ValueError("type a word")
        return (pictures, ["$1 bar", "bar"]) if "wide" in words else (pictures[:1], ["bar"])

    tabs = widgets.explorer(find, lambda i: [(f"<{i}>", 0.5)], pictures, ["a", "b"], "wide")
    (text, message, found), (which, answer) = (tab.children for tab in tabs.children)
    first = found.value
    text.value = "thin"
    assert found.value != first and message.value == ""
    text.value = " "
    assert "type a word" in message.value and found.layout.display == "none"
    which.value = 1
    assert "&lt;1&gt; (0.50)" in answer.children[1].value


def test_mistakes_are_browsed_by_family():
    pictures = [torch.rand(3, 8, 8) for _ in range(3)]
    found = {
        "colour": [(pictures[0], "a"), (pictures[1], "b")],
        "none": [],
        "shape": [(pictures[2], "costs $5, and $6")],
    }
    box = widgets.mistakes(found)
    (family, place), view = box.children[0].children, box.children[1]
    assert [name for name, _ in family.options] == ["colour (2)", "shape (1)"]
    first = view.value
    place.value = 2
    assert view.value != first
    family.value = "shape"  # has one only: the slider goes back
    assert place.value == 1 and place.max == 1
    family.value = "colour"
    assert place.max == 2 and view.value == first
    with pytest.raises(ValueError, match="at least one mistake"):
        widgets.mistakes({"colour": []})


def test_without_attention_there_are_two_panels():
    p = torch.tensor([0.3, 0.7])
    assert len(widgets.answer_figure(draw("bar", 9), "dark?", p, ("yes", "no")).axes) == 2
    box = widgets.compose_and_ask(
        draw,
        lambda picture, question: (ask(picture, question)[0], None),
        ("yes", "no"),
        choices={"shape": ("square", "bar")},
        sliders={"size": (4, 60, 10)},
        question="is it dark?",
    )
    assert controls(box)[3].value == "The likeliest answers: no (98 %), yes (2 %)."


def test_cases_show_the_likeliest_answer_below_each_picture():
    cases = [("small", draw("square", 9), "dark?"), ("large", draw("square", 60), "costs it $5?")]
    figure = widgets.cases_figure(cases, lambda *asked: ask(*asked)[0], ("yes", "no"), "Sizes")
    assert [axis.get_xlabel() for axis in figure.axes] == ["→ no (98 %)", "→ yes (88 %)"]
    assert figure.axes[1].get_title() == "large\ncosts it \\$5?"
    plt.close(figure)


def test_watching_it_write_follows_picture_and_question():
    plt.close("all")
    pictures = {"small": draw("square", 9), "large": draw("square", 60)}
    seen = []

    def write(picture, question):
        if not question:
            raise ValueError("question: expected some words")
        for text in ("a", "a <square>"):
            seen.append(text)
            yield text

    box = widgets.watch_it_write(pictures, write, "what is it?")
    which, question, message, view = controls(box)
    before = view.value
    assert message.value == "<b>a &lt;square&gt;</b>" and seen == ["a", "a <square>"]
    assert Image.open(io.BytesIO(before)).size[0] > 100
    which.value = "large"
    assert view.value != before and len(seen) == 4
    question.value = ""
    assert "expected some words" in message.value and view.layout.display == "none"
    assert not plt.get_fignums()

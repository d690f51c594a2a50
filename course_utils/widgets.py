"""Controls in a notebook (ipywidgets). They take plain functions and know no model by name."""

import html
import io
from collections.abc import Callable, Sequence

import ipywidgets as ipw
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from course_utils import plots


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def answer_figure(
    picture: Tensor, question: str, probabilities: Tensor, answers: Sequence[str], attention: Tensor
) -> Figure:
    """The picture, the attention (rows, columns) over it, and the five likeliest answers."""
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), width_ratios=(1, 1, 1.5))
    axes[0].imshow(plots.as_picture(picture))
    axes[0].axis("off")
    axes[0].set_title("the picture")
    plots.heat_over_image(axes[1], picture, attention)
    axes[1].set_title("attention of [CLS]")
    top = probabilities.topk(min(5, len(answers)))
    names = [answers[i] for i in top.indices.tolist()]
    plots.bars_with_interval(axes[2], names, (100 * top.values).tolist(), [0] * len(names))
    axes[2].set(xlim=(0, 100), xlabel="probability (%)", title=question)
    return figure


def compose_and_ask(
    draw: Callable[..., Tensor],
    ask: Callable[[Tensor, str], tuple[Tensor, Tensor]],
    answers: Sequence[str],
    choices: dict[str, Sequence[str]],
    sliders: dict[str, tuple[int, int, int]],
    question: str,
) -> ipw.VBox:
    """Compose a picture with controls, type a question, see the model's answer.

    Args:
        draw: called with one keyword for each control -> picture (3, height, width).
        ask: (picture, question) -> probabilities (answers,), attention (rows, columns).
        choices: name -> options, a drop-down each.
        sliders: name -> (smallest, largest, start), a slider each.
        question: the question at the start.
    """
    controls = {name: ipw.Dropdown(options=list(o), description=name) for name, o in choices.items()}
    for name, (low, high, start) in sliders.items():
        controls[name] = ipw.IntSlider(start, low, high, description=name, continuous_update=False)
    text = ipw.Text(question, description="question", continuous_update=False)
    view, message = ipw.Image(format="png"), ipw.HTML()

    def refresh(_=None):
        try:
            picture = draw(**{name: control.value for name, control in controls.items()})
            probabilities, attention = ask(picture, text.value)
            view.value = _png(
                answer_figure(picture, text.value, probabilities, answers, attention)
            )
            message.value = ""
        except ValueError as error:
            message.value = f"<b>{html.escape(str(error))}</b>"

    for control in (*controls.values(), text):
        control.observe(refresh, names="value")
    refresh()
    return ipw.VBox([ipw.HBox([ipw.VBox(list(controls.values())), text]), message, view])


def switcher(figures: Callable[[int], Figure], labels: Sequence[str], description: str) -> ipw.VBox:
    """A slider through figures, each drawn by `figures(i)` when it is first asked for."""
    slider = ipw.SelectionSlider(options=[(l, i) for i, l in enumerate(labels)],
                                 description=description, continuous_update=False)  # fmt: skip
    view, drawn = ipw.Image(format="png"), {}

    def refresh(_=None):
        i = slider.value
        if i not in drawn:
            drawn[i] = _png(figures(i))
        view.value = drawn[i]

    slider.observe(refresh, names="value")
    refresh()
    return ipw.VBox([slider, view])

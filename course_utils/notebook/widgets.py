"""Controls in a notebook (ipywidgets). They take plain functions and know no model by name.

A page without a kernel shows no controls, so each stands beside a static figure that tells the
same: `answer_figure` for some cases beside `compose_and_ask`, all figures beside `switcher`.
"""

import html
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets as ipw
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from course_utils.notebook import plots


@plots.closed_on_error()
def answer_figure(
    picture: Tensor,
    question: str,
    probabilities: Tensor,
    answers: Sequence[str],
    attention: Tensor | None = None,
) -> Figure:
    """The picture, the attention (rows, columns) over it if there is one, and the five likeliest
    answers.

    Raises:
        ValueError: not one probability for each answer.
    """
    if probabilities.shape != (len(answers),):
        raise ValueError(
            f"probabilities: expected ({len(answers)},), one an answer, got "
            f"{tuple(probabilities.shape)}"
        )
    panels = 2 if attention is None else 3
    figure, axes = plt.subplots(
        1, panels, figsize=(3 * panels, 2.8), width_ratios=(*[1] * (panels - 1), 1.5)
    )
    axes[0].imshow(plots.as_picture(picture))
    axes[0].axis("off")
    axes[0].set_title("the picture")
    if attention is not None:
        plots.heat_over_image(axes[1], picture, attention)
        axes[1].set_title("attention of [CLS]")
    names, shares = zip(*likeliest(probabilities, answers))
    axes[-1].barh([plots.plain(name) for name in names], shares, color=plots.PALETTE[0])
    axes[-1].invert_yaxis()
    axes[-1].set(xlim=(0, 100), xlabel="probability (%)")
    axes[-1].set_title(plots.plain(textwrap.fill(question, 40)))
    return figure


@plots.closed_on_error()
def cases_figure(
    cases: Sequence[tuple[str, Tensor, str]],
    probabilities: Callable[[Tensor, str], Tensor],
    answers: Sequence[str],
    title: str = "",
    columns: int = 4,
) -> Figure:
    """Pictures side by side, each with its name and a question above and the likeliest answer
    below; `title` says how to read them.

    Args:
        cases: (name, picture (3, height, width), question).
        probabilities: (picture, question) -> (answers,).
    """
    columns = min(columns, len(cases))
    rows = -(-len(cases) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.6 * columns, 3.2 * rows + 0.3 * bool(title)), squeeze=False
    )
    for axis in axes.flat[len(cases) :]:
        axis.axis("off")
    for axis, (name, picture, question) in zip(axes.flat, cases):
        answer, share = likeliest(probabilities(picture, question), answers, count=1)[0]
        axis.imshow(plots.as_picture(picture))
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(visible=True, color="grey")
        asked = plots.plain(textwrap.fill(question, 30))
        axis.set_title(f"{name}\n{asked}", fontsize=10)
        axis.set_xlabel(f"→ {answer} ({share:.0f} %)", fontsize=11, weight="bold")
    if title:
        figure.suptitle(title)
    return figure


def likeliest(
    probabilities: Tensor, answers: Sequence[str], count: int = 5
) -> list[tuple[str, float]]:
    """The `count` likeliest answers with their probabilities (answers,) in per cent."""
    top = probabilities.detach().cpu().topk(min(count, len(answers)))
    return [(answers[int(i)], 100 * float(p)) for i, p in zip(top.indices, top.values)]


@contextmanager
def _anew(view: ipw.Image, message: ipw.HTML | None = None) -> Iterator[None]:
    """An old answer must not stand under a new question: the view is hidden until there is a new
    one. An error is told in `message`; one that isn't a ValueError is raised too."""
    view.layout.display = "none"
    try:
        with plots.closed_on_error():
            yield
        view.layout.display = None
    except Exception as error:
        if message is not None:
            message.value = f"<b>{html.escape(str(error) or type(error).__name__)}</b>"
        if message is None or not isinstance(error, ValueError):
            raise


def _question(question: str, questions: Sequence[str]) -> ipw.Combobox:
    """A field to type a question into, with suggestions."""
    return ipw.Combobox(
        value=question,
        options=list(questions),
        description="question",
        ensure_option=False,
        continuous_update=False,
    )


def compose_and_ask(
    draw: Callable[..., Tensor],
    ask: Callable[[Tensor, str], tuple[Tensor, Tensor | None]],
    answers: Sequence[str],
    choices: dict[str, Sequence[str]],
    sliders: dict[str, tuple[int, int, int]],
    question: str,
    questions: Sequence[str] = (),
) -> ipw.VBox:
    """Compose a picture with controls, type a question, see the model's answer.

    Args:
        draw: called with one keyword for each control -> picture (3, height, width).
        ask: (picture, question) -> probabilities (answers,), and attention (rows, columns) or
            None. A ValueError, for a word that it doesn't know say, is shown to the learner.
        choices: name -> options, a drop-down each.
        sliders: name -> (smallest, largest, start), a slider each.
        question: the question at the start.
        questions: suggestions to choose from; others can still be typed.
    """
    controls: dict[str, Any] = {
        name: ipw.Dropdown(options=list(options), description=name)
        for name, options in choices.items()
    }
    for name, (low, high, start) in sliders.items():
        controls[name] = ipw.IntSlider(start, low, high, description=name, continuous_update=False)
    text = _question(question, questions)
    view, message = ipw.Image(format="png"), ipw.HTML()

    def refresh(_=None):
        with _anew(view, message):
            picture = draw(**{name: control.value for name, control in controls.items()})
            probabilities, attention = ask(picture, text.value)
            view.value = plots.png(
                answer_figure(picture, text.value, probabilities, answers, attention)
            )
            said = [f"{name} ({p:.0f} %)" for name, p in likeliest(probabilities, answers)]
            message.value = html.escape(f"The likeliest answers: {', '.join(said)}.")

    for control in (*controls.values(), text):
        control.observe(refresh, names="value")
    refresh()
    return ipw.VBox([ipw.HBox([ipw.VBox(list(controls.values())), text]), message, view])


def watch_it_write(
    pictures: dict[str, Tensor],
    write: Callable[[Tensor, str], Iterator[str]],
    question: str,
    questions: Sequence[str] = (),
) -> ipw.VBox:
    """Choose a picture, type a question, watch the answer appear word by word.

    Args:
        pictures: name -> picture (3, height, width).
        write: (picture, question) -> the answer so far, again and again until it is whole. A
            ValueError is shown to the learner.
    """
    which = ipw.Dropdown(options=list(pictures), description="picture")
    text = _question(question, questions)
    view, message = ipw.Image(format="png"), ipw.HTML()

    def refresh(_=None):
        with _anew(view, message):
            picture, answer = pictures[str(which.value)], ""
            for answer in write(picture, text.value):
                message.value = f"<b>{html.escape(answer)}</b>"
            titles = [textwrap.fill(f"{text.value} {answer}", 32)]
            view.value = plots.png(plots.images_grid([picture], titles, columns=1))

    for control in (which, text):
        control.observe(refresh, names="value")
    refresh()
    return ipw.VBox([ipw.HBox([which, text]), message, view])


def switcher(figures: Callable[[int], Figure], labels: Sequence[str], description: str) -> ipw.VBox:
    """A slider through figures, each drawn by `figures(i)` when it is first asked for.

    Raises:
        ValueError: no labels, or one label twice.
    """
    if not labels or len(set(labels)) != len(labels):
        raise ValueError(f"labels: expected different texts, at least one, got {list(labels)}")
    slider = ipw.SelectionSlider(
        options=[(label, i) for i, label in enumerate(labels)],
        description=description,
        continuous_update=False,
        layout=ipw.Layout(width="36em"),
    )
    view, drawn = ipw.Image(format="png"), {}

    def refresh(_=None):
        i = slider.value
        with _anew(view):
            if i not in drawn:
                drawn[i] = plots.png(figures(i))
            view.value = drawn[i]

    slider.observe(refresh, names="value")
    refresh()
    return ipw.VBox([slider, view])


def explorer(
    find_pictures: Callable[[str], tuple[Sequence[Tensor], Sequence[str]]],
    find_words: Callable[[int], Sequence[tuple[str, float]]],
    pictures: Sequence[Tensor],
    names: Sequence[str],
    query: str,
) -> ipw.Tab:
    """Search both ways: type words and see the nearest pictures, choose a picture and see the
    nearest words.

    Args:
        find_pictures: words -> pictures (3, height, width), nearest first, and a title for each. A
            ValueError is shown to the learner.
        find_words: number of a picture -> (words, score), nearest first.
        pictures, names: to choose from.
        query: the words at the start.
    """
    text = ipw.Text(value=query, description="words", continuous_update=False)
    found, message = ipw.Image(format="png"), ipw.HTML()

    def search(_=None):
        with _anew(found, message):
            shown, titles = find_pictures(text.value)
            titles = [textwrap.fill(title, 18) for title in titles]
            found.value = plots.png(plots.images_grid(shown, titles, columns=6, size=1.5))
            message.value = ""

    which: Any = ipw.Dropdown(
        options=[(name, i) for i, name in enumerate(names)], description="picture"
    )
    picture, words = ipw.Image(format="png"), ipw.HTML()

    def name_it(_=None):
        with _anew(picture, words):
            picture.value = plots.png(plots.images_grid([pictures[which.value]], size=1.5))
            rows = [
                f"<li>{html.escape(name)} ({score:.2f})</li>"
                for name, score in find_words(which.value)
            ]
            words.value = "The nearest names, with their cosine:<ol>" + "".join(rows) + "</ol>"

    text.observe(search, names="value")
    which.observe(name_it, names="value")
    search()
    name_it()
    back = ipw.VBox([which, ipw.HBox([picture, words])])
    return ipw.Tab(
        [ipw.VBox([text, message, found]), back], titles=["words to pictures", "picture to words"]
    )


@plots.closed_on_error()
def mistake_figure(picture: Tensor, caption: str) -> Figure:
    """One picture with what was asked, answered and right."""
    figure, axis = plt.subplots(figsize=(4.2, 3.6))
    axis.imshow(plots.as_picture(picture))
    axis.axis("off")
    axis.set_title(plots.plain(caption), fontsize=10)
    return figure


def mistakes(found: dict[str, Sequence[tuple[Tensor, str]]]) -> ipw.VBox:
    """A browser of wrong answers: choose a family, then move through its (picture, caption) pairs.

    Raises:
        ValueError: no family has a mistake.
    """
    families = [name for name, pairs in found.items() if pairs]
    if not families:
        raise ValueError("expected at least one mistake, got none")
    family: Any = ipw.Dropdown(
        options=[(f"{name} ({len(found[name])})", name) for name in families], description="family"
    )
    place = ipw.IntSlider(
        1, 1, len(found[families[0]]), description="mistake", continuous_update=False
    )
    view = ipw.Image(format="png", layout=ipw.Layout(width="26em", align_self="flex-start"))

    def refresh(_=None):
        pairs = found[family.value]
        if place.value > len(pairs):
            place.value = 1  # which calls this again
            return
        place.max = len(pairs)
        with _anew(view):
            view.value = plots.png(mistake_figure(*pairs[place.value - 1]))

    for control in (family, place):
        control.observe(refresh, names="value")
    refresh()
    return ipw.VBox([ipw.HBox([family, place]), view])

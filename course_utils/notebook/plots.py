"""Figures in one style, each with a text for those who don't see it, and tables."""

import html
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from torch import Tensor

# Okabe and Ito's palette, made to be told apart by colour-blind readers
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
DASHES = ["-", "--", "-."]  # with the colours, so that lines can be told apart in grey too


def style() -> None:
    """Sets the look of every figure that follows."""
    plt.rcdefaults()
    plt.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=PALETTE),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 11,
            "axes.labelsize": 10,
            "legend.frameon": False,
            "figure.dpi": 100,
            "savefig.dpi": 100,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "image.cmap": "cividis",
            "image.interpolation": "nearest",
        }
    )
    plt.ioff()


def show(figure: Figure, alt: str) -> None:
    """Shows a figure as PNG with `alt`, the text for readers who don't see it, and closes it.

    Raises:
        ValueError: `alt` says nothing.
    """
    if not isinstance(alt, str) or len(alt.split()) < 3:
        raise ValueError(f"alt: expected a sentence that says what the figure shows, got {alt!r}")
    display(Image(png(figure), alt=alt))


def png(figure: Figure) -> bytes:
    """The figure as PNG, which is closed; the same bytes each time, without a date."""
    buffer = io.BytesIO()
    try:
        figure.savefig(buffer, format="png", metadata={"Software": None})
    finally:
        plt.close(figure)
    return buffer.getvalue()


def plain(text: object) -> str:
    """A text that is drawn as it is: two $ would make a formula of what is between them."""
    return str(text).replace("$", r"\$")


@contextmanager
def closed_on_error() -> Iterator[None]:
    """Closes what was drawn where an error comes before it is shown; it would stay in memory."""
    before = set(plt.get_fignums())
    try:
        yield
    except BaseException:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
        raise


def as_picture(image: Tensor | np.ndarray) -> np.ndarray:
    """(3, height, width), uint8 or in [0, 1] -> (height, width, 3) for matplotlib.

    Raises:
        ValueError: another shape, or floats outside [0, 1].
    """
    image = torch.as_tensor(image)
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"image: expected (3, height, width), got {tuple(image.shape)}")
    if image.is_floating_point() and not -1e-4 <= image.min() <= image.max() <= 1 + 1e-4:
        raise ValueError(
            f"image: expected values in [0, 1], got {image.min():.3g} to {image.max():.3g}"
        )
    if image.is_floating_point():
        image = image.clamp(0, 1)
    return image.permute(1, 2, 0).cpu().numpy()  # (height, width, 3)


@closed_on_error()
def images_grid(
    images: Sequence[Tensor],
    titles: Sequence[str] | None = None,
    columns: int = 4,
    size: float = 2.4,
) -> Figure:
    """Pictures (3, height, width) side by side, with a title each; `size` in inches.

    Raises:
        ValueError: no pictures, or not one title for each.
    """
    if not len(images):
        raise ValueError("images: expected at least one picture, got none")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"titles: expected {len(images)}, one a picture, got {len(titles)}")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(size * columns, (size + 0.4) * rows), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for i, (axis, image) in enumerate(zip(axes.flat, images)):
        axis.imshow(as_picture(image))
        if titles is not None:
            axis.set_title(plain(titles[i]), fontsize=9)
    return figure


def heat_over_image(axis: Axes, image: Tensor, weights: Tensor) -> None:
    """A picture (3, height, width) with weights (rows, columns) as brightness over its patches:
    the largest weight leaves its patch as it is, weight 0 darkens it.

    Raises:
        ValueError: weights that are no grid, negative, or not numbers.
    """
    picture = as_picture(image)
    height, width = picture.shape[:2]
    grid = np.asarray(torch.as_tensor(weights).detach().cpu(), dtype=np.float64)
    if grid.ndim != 2:
        raise ValueError(f"weights: expected (rows, columns), got {grid.shape}")
    if not np.isfinite(grid).all() or grid.min() < 0:
        raise ValueError("weights: expected finite numbers of at least 0")
    share = grid / max(grid.max(), 1e-12)  # (rows, columns)
    axis.imshow(picture)
    axis.imshow(
        np.zeros_like(share),
        alpha=0.75 * (1 - share),
        cmap="gray",
        vmin=0,
        vmax=1,
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )
    axis.axis("off")


@closed_on_error()
def confusion(matrix: Tensor, names: Sequence[str]) -> Figure:
    """Counts (answers, answers): row the true answer, column the predicted one; shaded by the
    share of the row.

    Raises:
        ValueError: the matrix isn't (answers, answers).
    """
    counts = np.asarray(matrix)
    if counts.shape != (len(names), len(names)):
        raise ValueError(
            f"matrix: expected {(len(names),) * 2}, one row and column for each of "
            f"{len(names)} names, got {counts.shape}"
        )
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 1.8 + 0.42 * len(names)
    figure, axis = plt.subplots(figsize=(side, side))
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in zip(*counts.nonzero()):
        axis.text(
            j,
            i,
            str(counts[i, j]),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if shares[i, j] > 0.5 else "black",
        )
    drawn = [plain(name) for name in names]
    axis.set_xticks(range(len(names)), drawn, rotation=60, ha="right")
    axis.set_yticks(range(len(names)), drawn)
    axis.set(xlabel="predicted", ylabel="true")
    return figure


@closed_on_error()
def curves(
    series: Mapping[str, Sequence[float] | tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    baseline: tuple[str, float] | None = None,
    axis: Axes | None = None,
) -> Figure:
    """Lines with a name each: `{"loss": ys}`, over 1, 2, ..., or `{"loss": (xs, ys)}`.

    They differ in colour and in dash. `baseline` is a (name, height) for a dotted horizontal line.
    The title states the reading, the axes have units. Draws on `axis`, or on a new figure.

    Raises:
        ValueError: no curve, an axis without a label, or xs and ys of different lengths.
    """
    if not series or not xlabel or not ylabel:
        raise ValueError(
            f"expected at least one curve and both labels, got {len(series)} curves, "
            f"{xlabel!r} and {ylabel!r}"
        )
    if axis is None:
        _, axis = plt.subplots(figsize=(6, 3.4))
    for i, (name, points) in enumerate(series.items()):
        pair = isinstance(points, tuple) and len(points) == 2 and np.ndim(points[0]) == 1
        curve: Any = points if pair else (range(1, len(points) + 1), points)
        xs, ys = curve
        if len(xs) != len(ys):
            raise ValueError(f"{name}: expected as many xs as ys, got {len(xs)} and {len(ys)}")
        axis.plot(
            xs, ys, DASHES[i % len(DASHES)], color=PALETTE[i % len(PALETTE)], label=plain(name)
        )
    if baseline is not None:
        axis.axhline(baseline[1], linestyle=":", color="grey", label=plain(baseline[0]))
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if len(series) + (baseline is not None) > 1:
        axis.legend()
    figure = axis.get_figure(root=True)
    assert figure is not None  # axes that stand in no figure
    return figure


def bars_with_interval(
    axis: Axes, names: Sequence[str], means: Sequence[float], spreads: Sequence[float]
) -> None:
    """Horizontal bars, first on top, with an interval of one spread to each side.

    Raises:
        ValueError: not one mean and one spread for each name.
    """
    if not len(names) == len(means) == len(spreads):
        raise ValueError(
            f"expected a mean and a spread for each of {len(names)} names, got "
            f"{len(means)} and {len(spreads)}"
        )
    place = np.arange(len(names))
    axis.barh(place, means, xerr=spreads, color=PALETTE[0], alpha=0.8, capsize=3)
    axis.set_yticks(place, [plain(name) for name in names])
    axis.invert_yaxis()


class _Table:
    """A table as a page with the best cells in bold, and as text where there is no page."""

    def __init__(self, rows: list[list[str]], header: list[str], best: set[tuple[int, int]]):
        self.rows, self.header, self.best = rows, header, best

    def _repr_html_(self) -> str:
        def cells(row, tag, number=-1):
            texts = [html.escape(text) for text in row]
            texts = [f"<b>{t}</b>" if (number, j) in self.best else t for j, t in enumerate(texts)]
            return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"

        body = "".join(cells(row, "td", i) for i, row in enumerate(self.rows))
        return f"<table><thead>{cells(self.header, 'th')}</thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[j]) for line in lines) for j in range(len(self.header))]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip()
            for line in lines
        )


def table(
    rows: Sequence[Sequence],
    header: Sequence[str],
    best: int | Sequence[tuple[int, int]] | None = None,
) -> None:
    """Shows a table, the baseline first; `best` is in bold: the index of a row, or single cells
    as (row, column) pairs.

    Raises:
        ValueError: a row has not as many cells as the header, or `best` lies outside the table.
    """
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"expected {len(header)} cells in each row, got {len(row)}: {row}")
    if isinstance(best, int):
        best = [(best, j) for j in range(len(header))]
    for i, j in best or ():
        if not (0 <= i < len(rows) and 0 <= j < len(header)):
            raise ValueError(
                f"best: expected cells of {len(rows)} rows and {len(header)} columns, got {(i, j)}"
            )
    texts = [[str(cell) for cell in row] for row in rows]
    display(_Table(texts, [str(name) for name in header], set(best or ())))

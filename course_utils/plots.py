"""Figures in one style, each with a text for those who don't see it, and tables."""

import html
import io
from collections.abc import Sequence

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

# Okabe and Ito's palette, made to be told apart by colour-blind readers
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]


def style() -> None:
    """Sets the look of every figure that follows."""
    plt.rcdefaults()
    plt.rcParams.update({
        "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
        "axes.spines.top": False, "axes.spines.right": False,
        "axes.titlesize": 11, "axes.labelsize": 10, "legend.frameon": False,
        "figure.dpi": 100, "savefig.dpi": 100, "figure.constrained_layout.use": True,
        "font.size": 10, "image.cmap": "cividis", "image.interpolation": "nearest",
    })  # fmt: skip
    plt.ioff()


def show(figure: Figure, alt: str) -> None:
    """Shows a figure as PNG with `alt`, the text for readers who don't see it, and closes it.

    Raises:
        ValueError: `alt` says nothing.
    """
    if len(alt.split()) < 3:
        raise ValueError(f"alt: expected a sentence that says what the figure shows, got {alt!r}")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    plt.close(figure)
    display(Image(buffer.getvalue(), alt=alt))


def as_picture(image: Tensor | np.ndarray) -> np.ndarray:
    """(3, height, width), uint8 or in [0, 1] -> (height, width, 3) for matplotlib.

    Raises:
        ValueError: another shape.
    """
    image = torch.as_tensor(image)
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"image: expected (3, height, width), got {tuple(image.shape)}")
    return image.permute(1, 2, 0).cpu().numpy()


def images_grid(
    images: Sequence[Tensor], titles: Sequence[str] | None = None, columns: int = 4,
    size: float = 2.4,
) -> Figure:  # fmt: skip
    """Pictures (3, height, width) side by side, with a title each; `size` in inches."""
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(size * columns, (size + 0.4) * rows),
                                squeeze=False)  # fmt: skip
    for axis in axes.flat:
        axis.axis("off")
    for i, (axis, image) in enumerate(zip(axes.flat, images)):
        axis.imshow(as_picture(image))
        if titles is not None:
            axis.set_title(titles[i], fontsize=9)
    return figure


def heat_over_image(axis: Axes, image: Tensor, weights: Tensor) -> None:
    """A picture (3, height, width) with weights (rows, columns) as brightness over its patches:
    the largest weight leaves its patch as it is, weight 0 darkens it."""
    picture = as_picture(image)
    height, width = picture.shape[:2]
    share = np.asarray(weights, dtype=np.float64) / float(weights.max())  # (rows, columns)
    axis.imshow(picture)
    axis.imshow(np.zeros_like(share), alpha=0.75 * (1 - share), cmap="gray", vmin=0, vmax=1,
                extent=(-0.5, width - 0.5, height - 0.5, -0.5))  # fmt: skip
    axis.axis("off")


def confusion(matrix: Tensor, names: Sequence[str]) -> Figure:
    """Counts (answers, answers): row the true answer, column the predicted one; shaded by the
    share of the row."""
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 1.8 + 0.42 * len(names)
    figure, axis = plt.subplots(figsize=(side, side))
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in zip(*counts.nonzero()):
        axis.text(j, i, counts[i, j], ha="center", va="center", fontsize=8,
                  color="white" if shares[i, j] > 0.5 else "black")  # fmt: skip
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="predicted", ylabel="true")
    return figure


def bars_with_interval(
    axis: Axes, names: Sequence[str], means: Sequence[float], spreads: Sequence[float]
) -> None:
    """Horizontal bars, first on top, with an interval of one spread to each side."""
    place = np.arange(len(names))
    axis.barh(place, means, xerr=spreads, color=PALETTE[0], alpha=0.8, capsize=3)
    axis.set_yticks(place, names)
    axis.invert_yaxis()


class _Table:
    def __init__(self, rows: list[list[str]], header: list[str], best: int | None):
        self.rows, self.header, self.best = rows, header, best

    def _repr_html_(self) -> str:
        def cells(row, tag, bold=False):
            texts = [html.escape(text) for text in row]
            if bold:
                texts = [f"<b>{text}</b>" for text in texts]
            return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"

        body = "".join(cells(row, "td", i == self.best) for i, row in enumerate(self.rows))
        return f"<table><thead>{cells(self.header, 'th')}</thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip()
            for line in lines
        )


def table(rows: Sequence[Sequence], header: Sequence[str], best: int | None = None) -> None:
    """Shows a table, the baseline first; `best` is the index of the row in bold.

    Raises:
        ValueError: a row has not as many cells as the header.
    """
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"expected {len(header)} cells in each row, got {len(row)}: {row}")
    display(_Table([[str(c) for c in row] for row in rows], [str(h) for h in header], best))

"""Drawings of a data flow: boxes on a grid, arrows between them, shapes on the arrows.

Boxes stand at (column, row), row 0 on top; halves such as 0.5 are allowed. The size of the figure
follows from the texts, so that no label lies on a box.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from course_utils.notebook import plots

Box = tuple[float, float, str]  # column, row, text
Arrow = tuple[str, str, str]  # from, to, label ("" for none)
Point = tuple[float, float]  # in inches, y upwards

FONT, SMALL = 13.0, 11.5  # points, of boxes and of labels; still readable at half size
LINE = 1.25  # lines of text, from one to the next, in font sizes
PAD = 0.17  # inches between a text and its box
LANE = 0.32  # inches from a box to an arrow that goes around others
INK = "#333333"
FILL, EDGE = "#E3EFF7", plots.PALETTE[0]  # of a box
FILL_MARKED, EDGE_MARKED = "#FBE7D9", plots.PALETTE[1]  # of a box that the text is about


def flow(
    boxes: Mapping[str, Box],
    arrows: Iterable[Arrow],
    alt: str,
    *,
    marked: Iterable[str] = (),
    heads: Sequence[str] = (),
    across: bool | None = None,
) -> None:
    """Shows a data flow, with `alt` for readers who don't see it.

    `boxes` is {name: (column, row, text)} with row 0 on top, `arrows` a list of (from, to, label),
    where a label is a shape such as "(batch, words, dim)" or "". Boxes in `marked` have another
    colour; `heads` are titles over columns 0, 1, 2, ...

    An arrow within a row or a column is straight. One that would go through another box there, or
    back where an arrow came from, goes around: on the right of a column, above a row. Other arrows
    are curves, which leave their box at the side if the drawing reads from left to right, and
    below it if it reads downwards. The straight arrows decide that, or `across`.

    Raises:
        ValueError: no boxes, two at one place, an unknown name, or `alt` says nothing.
    """
    plots.show(draw(boxes, arrows, marked=marked, heads=heads, across=across), alt=alt)


def draw(
    boxes: Mapping[str, Box],
    arrows: Iterable[Arrow],
    *,
    marked: Iterable[str] = (),
    heads: Sequence[str] = (),
    across: bool | None = None,
) -> Figure:
    """The figure that `flow` shows."""
    arrows, marked = list(arrows), set(marked)
    _refuse(boxes, arrows, marked)
    grid = _Grid(boxes, arrows, heads, across)
    figure = plt.figure(figsize=grid.size, layout="none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, grid.size[0]), ylim=(0, grid.size[1]))
    axis.axis("off")
    for number, head in enumerate(heads):
        _write(axis, (grid.x(number), grid.size[1] - grid.head / 2), head, FONT, weight="bold")
    for arrow in arrows:
        _arrow(axis, grid, arrow)
    for name, (column, row, text) in boxes.items():
        x, y = grid.x(column), grid.y(row)
        axis.add_patch(
            FancyBboxPatch(
                (x - grid.width / 2, y - grid.height / 2),
                grid.width,
                grid.height,
                boxstyle="round,pad=0,rounding_size=0.1",
                facecolor=FILL_MARKED if name in marked else FILL,
                edgecolor=EDGE_MARKED if name in marked else EDGE,
                linewidth=1.5,
                zorder=3,
            )
        )
        _write(axis, (x, y), text, FONT, zorder=4)
    return figure


def _refuse(boxes: Mapping[str, Box], arrows: list[Arrow], marked: set[str]) -> None:
    if not boxes:
        raise ValueError("boxes: expected at least one, got none")
    named = {name for start, end, _ in arrows for name in (start, end)} | marked
    unknown = sorted(named - set(boxes))
    if unknown:
        raise ValueError(f"no box is named {', '.join(unknown)}; there are {', '.join(boxes)}")
    places: dict[tuple[float, float], str] = {}
    for name, (column, row, _) in boxes.items():
        if (column, row) in places:
            raise ValueError(f"{places[column, row]} and {name} both stand at {(column, row)}")
        places[column, row] = name


def _extent(text: str, size: float) -> tuple[float, float]:
    """Width and height of a text in inches."""
    lines = text.split("\n")
    widths = [TextPath((0, 0), line, size=size).get_extents().width for line in lines if line]
    return max(widths, default=0.0) / 72, len(lines) * LINE * size / 72


def _write(axis: Axes, place: Point, text: str, size: float, **options: Any) -> None:
    options = {"ha": "center", "va": "center", "color": "black"} | options
    x, y = place
    axis.text(x, y, text, fontsize=size, linespacing=LINE, **options)


class _Grid:
    """Where boxes stand, in inches, and which way an arrow goes."""

    def __init__(
        self,
        boxes: Mapping[str, Box],
        arrows: list[Arrow],
        heads: Sequence[str],
        across: bool | None,
    ):
        self.arrows = arrows
        self.places = {name: (column, row) for name, (column, row, _) in boxes.items()}
        extents = [_extent(text, FONT) for _, _, text in boxes.values()]
        self.width = max(width for width, _ in extents) + 2 * PAD
        self.height = max(max(height for _, height in extents) + 1.2 * PAD, 0.55)
        level = sum(self.row(a) == self.row(b) for a, b, _ in arrows)
        upright = sum(self.column(a) == self.column(b) for a, b, _ in arrows)
        if across is None:
            across = level > upright or (level == upright and self._wide())
        self.across = across
        self._steps(heads)
        columns = [box[0] for box in boxes.values()] + list(range(len(heads)))
        rows = [box[1] for box in boxes.values()]
        self.first, self.top = min(columns), min(rows)
        self.head = max((_extent(head, FONT)[1] + 0.2 for head in heads), default=0.0)
        left, right, above, below = self._margins()
        self.left, self.above = left, above + self.head
        self.size = (
            left + right + self.width + (max(columns) - self.first) * self.step_x,
            self.above + below + self.height + (max(rows) - self.top) * self.step_y,
        )

    def column(self, name: str) -> float:
        return self.places[name][0]

    def row(self, name: str) -> float:
        return self.places[name][1]

    def x(self, column: float) -> float:
        return self.left + self.width / 2 + (column - self.first) * self.step_x

    def y(self, row: float) -> float:
        return self.size[1] - self.above - self.height / 2 - (row - self.top) * self.step_y

    def _wide(self) -> bool:
        columns, rows = ({box[i] for box in self.places.values()} for i in (0, 1))
        return len(columns) >= len(rows)

    def kind(self, arrow: Arrow) -> str:
        """'level', 'upright', 'bend' (another column and row) or 'around' (other boxes)."""
        start, end, _ = arrow
        if start == end:
            return "around"
        (c, r), (d, s) = self.places[start], self.places[end]
        if c != d and r != s:
            return "bend"
        main, low, high = (1, min(r, s), max(r, s)) if c == d else (0, min(c, d), max(c, d))
        between = any(
            box[1 - main] == (c, r)[1 - main] and low < box[main] < high
            for box in self.places.values()
        )
        back = (d < c or s < r) and any(a == end and b == start for a, b, _ in self.arrows)
        if between or back:
            return "around"
        return "upright" if c == d else "level"

    def late(self, arrow: Arrow) -> bool:
        """Whether the label stands at the arrow's end: several arrows leave its start."""
        return sum(start == arrow[0] and self.kind((start, end, "")) != "around"
                   for start, end, _ in self.arrows) > 1  # fmt: skip

    def sideways(self, arrow: Arrow) -> bool:
        """Whether an arrow leaves its box at the side; over half a column or row it must."""
        (c, r), (d, s) = self.places[arrow[0]], self.places[arrow[1]]
        if r == s or abs(r - s) < 1:
            return True
        return c != d and self.across and abs(c - d) >= 1

    def clear(self, arrow: Arrow, name: str) -> bool:
        """Whether an arrow's way along the row (or column) of the box `name` touches no box."""
        main = 0 if self.sideways(arrow) else 1
        start, end, at = (self.places[key] for key in (arrow[0], arrow[1], name))
        low, high = sorted((start[main], end[main]))
        return not any(
            low < box[main] < high and abs(box[1 - main] - at[1 - main]) < 0.45
            for box in self.places.values()
        )

    def _steps(self, heads: Sequence[str]) -> None:
        """From column to column and from row to row, wide enough for what is written between."""
        beside, under = [0.6], [0.45]  # inches between boxes
        apart = [_extent(head, FONT)[0] + 0.3 for head in heads]  # from middle to middle
        for arrow in self.arrows:
            width, height = _extent(arrow[2], SMALL)
            kind = self.kind(arrow)
            if kind == "around":
                beside.append(self.reach(arrow) + 0.2 if self.beside(arrow) else 0.0)
                under.append(0.0 if self.beside(arrow) else self.reach(arrow) + 0.2)
            elif kind == "bend" and not self.sideways(arrow):
                under.append(height + 0.75 if arrow[2] else 0.6)
            elif arrow[2] and kind == "upright":
                under.append(height + 0.4)
                apart.append(width + 0.4)
            elif arrow[2]:
                beside.append(width + 0.45)
        self.step_x = max(self.width + max(beside), *apart, 0)
        self.step_y = self.height + max(under)

    def _margins(self) -> tuple[float, float, float, float]:
        """Inches left, right, above and below all boxes, for labels that hang over the edge."""
        edge = 0.12
        left = right = above = below = edge
        columns = [box[0] for box in self.places.values()]
        rows = [box[1] for box in self.places.values()]
        for arrow in self.arrows:
            width = _extent(arrow[2], SMALL)[0]
            kind, (start, end, label) = self.kind(arrow), arrow
            if kind == "around" and self.beside(arrow):
                hidden = (max(columns) - self.column(start)) * self.step_x
                right = max(right, self.reach(arrow) + edge - hidden)
            elif kind == "around":
                hidden = (self.row(start) - min(rows)) * self.step_y
                above = max(above, self.reach(arrow) + edge - hidden)
            elif kind == "upright" and label:
                spare = width + 0.1 + edge - self.width / 2
                reach = (max(columns) - self.column(start)) * self.step_x
                right = max(right, spare - reach)
            elif kind == "bend" and label and not self.sideways(arrow):
                at = self.column(end if self.late(arrow) else start)
                other = self.column(start if self.late(arrow) else end)
                spare = width + 0.1 + edge - self.width / 2
                if at < other:
                    left = max(left, spare - (at - min(columns)) * self.step_x)
                else:
                    right = max(right, spare - (max(columns) - at) * self.step_x)
        return left, right, above, below

    def beside(self, arrow: Arrow) -> bool:
        """Whether an arrow that goes around does so at the side of a column, not above a row."""
        return self.column(arrow[0]) == self.column(arrow[1])

    def _span(self, arrow: Arrow) -> tuple[bool, float, float, float]:
        """Beside or above, which column or row, and from where to where on it."""
        (c, r), (d, s) = self.places[arrow[0]], self.places[arrow[1]]
        if self.beside(arrow):
            return True, c, min(r, s), max(r, s)
        return False, r, min(c, d), max(c, d)

    def lane(self, arrow: Arrow) -> float:
        """How far from its boxes an arrow goes around, in inches: outside the labels and the
        shorter ways that lie between."""
        beside, line, low, high = self._span(arrow)
        size = 0 if beside else 1
        far = LANE
        for place, other in enumerate(self.arrows):
            side, at, first, last = self._span(other)
            if other == arrow or (side, at) != (beside, line) or first >= high or last <= low:
                continue
            kind = self.kind(other)
            if kind == "around":
                inner = (last - first, place) < (high - low, self.arrows.index(arrow))
                far = max(far, self.reach(other) + 0.15) if inner else far
            elif kind == "upright" and beside and other[2]:
                far = max(far, _extent(other[2], SMALL)[size] + 0.25 - self.width / 2)
        return far

    def reach(self, arrow: Arrow) -> float:
        """How far from its boxes an arrow that goes around ends with its label, in inches."""
        size = _extent(arrow[2], SMALL)[0 if self.beside(arrow) else 1]
        return self.lane(arrow) + (size + 0.12 if arrow[2] else 0.0)


def _arrow(axis: Axes, grid: _Grid, arrow: Arrow) -> None:
    """Draws one arrow with its label."""
    start, end, label = arrow
    kind = grid.kind(arrow)
    a = np.array([grid.x(grid.column(start)), grid.y(grid.row(start))])  # (2,)
    b = np.array([grid.x(grid.column(end)), grid.y(grid.row(end))])  # (2,)
    half = np.array([grid.width, grid.height]) / 2  # (2,)
    if kind == "around":
        points, codes, place, align = _around(grid, arrow, a, b, half)
    else:
        along = 0 if grid.sideways(arrow) else 1
        sign = np.sign(b[along] - a[along])
        a[along] += sign * half[along]
        b[along] -= sign * (half[along] + 0.03)
        points, codes = _curve(grid, arrow, along, a, b)
        place, align = _label_place(grid, arrow, along, a, b)
    axis.add_patch(
        FancyArrowPatch(
            path=Path(points, codes),
            arrowstyle="-|>,head_length=0.5,head_width=0.25",
            mutation_scale=14,
            color=INK,
            linewidth=1.4,
            joinstyle="round",
            zorder=1,
        )
    )
    if label:
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        _write(axis, place, label, SMALL, color=INK, zorder=2, bbox=paper, **align)


def _curve(grid: _Grid, arrow: Arrow, along: int, a, b) -> tuple[list, list]:
    """From a to b (x, y). Over several rows or columns it bends in one of the gaps only: in the
    last where nothing stands in its way before, else in the first."""
    step = (grid.step_x, grid.step_y)[along] * np.sign(b[along] - a[along])
    begin, finish = a.copy(), b.copy()
    if abs(b[along] - a[along]) > abs(step) and a[1 - along] != b[1 - along]:
        gap = np.sign(step) * (abs(step) - (grid.width, grid.height)[along])
        if grid.clear(arrow, arrow[0]):
            begin[along] = b[along] - gap
        elif grid.clear(arrow, arrow[1]):
            finish[along] = a[along] + gap
    first, second = begin.copy(), finish.copy()
    first[along] = second[along] = (begin[along] + finish[along]) / 2
    points, codes = [begin, first, second, finish], [Path.MOVETO, *3 * [Path.CURVE4]]
    if begin[along] != a[along]:
        points, codes = [a, *points], [Path.MOVETO, Path.LINETO, *codes[1:]]
    if finish[along] != b[along]:
        points, codes = [*points, b], [*codes, Path.LINETO]
    return points, codes


def _label_place(grid: _Grid, arrow: Arrow, along: int, a, b) -> tuple[Point, dict]:
    """Beside the arrow from a to b (x, y), on the side away from where it bends."""
    late = grid.late(arrow)
    at = b if late else a
    away = np.sign(a - b)[1 - along] * (-1 if late else 1)
    if along == 0:  # above the line, or below it where it bends upwards
        side = {"va": "bottom" if away >= 0 else "top"}
        return ((a[0] + b[0]) / 2, at[1] + (0.06 if away >= 0 else -0.06)), side
    side = {"ha": "left" if away >= 0 else "right"}
    height = (a[1] + b[1]) / 2
    if away or (late and a[0] == b[0] and _bends(grid, arrow[0])):
        height = at[1] + (0.3 if (at is b) == (a[1] > b[1]) else -0.3)
    return (at[0] + (0.1 if away >= 0 else -0.1), height), side


def _bends(grid: _Grid, start: str) -> bool:
    return any(other[0] == start and grid.kind(other) == "bend" for other in grid.arrows)


def _around(grid: _Grid, arrow: Arrow, a, b, half) -> tuple[list, list, Point, dict]:
    """The way around the boxes between: on the right of a column, above a row."""
    far, small = grid.lane(arrow), 0.12  # inches: how far out, and the corner's radius
    out = 0 if grid.beside(arrow) else 1  # the axis along which it leaves
    sign = np.sign(b[1 - out] - a[1 - out])
    edge = max(a[out], b[out]) + half[out]
    shift = 0.16 * sign if a[1 - out] != b[1 - out] else 0.12
    corners = [a.copy(), a.copy(), b.copy(), b.copy()]
    for corner, level in zip(corners, (edge, edge + far, edge + far, edge + 0.03)):
        corner[out] = level
    for corner in corners[:2]:
        corner[1 - out] += shift
    for corner in corners[2:]:
        corner[1 - out] -= shift
    points, codes = [corners[0]], [Path.MOVETO]
    for before, corner, after in zip(corners, corners[1:], corners[2:]):
        for near in (before, after):
            step = near - corner
            leg = corner + step / np.linalg.norm(step) * min(small, np.linalg.norm(step) / 2)
            points += [leg] if near is before else [corner, leg]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    points.append(corners[3])
    codes.append(Path.LINETO)
    place = (corners[1] + corners[2]) / 2
    place[out] += 0.08
    return points, codes, tuple(place), {"ha": "left"} if out == 0 else {"va": "bottom"}

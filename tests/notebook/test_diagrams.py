"""Data flows: every text readable, no label on a box, unknown names refused."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from course_utils.notebook import diagrams, plots

SHAPE = "(batch, words, dim)"
CHAIN = (
    {name: (place, 0, name) for place, name in enumerate(("ids", "vectors", "layer", "norm"))},
    [("ids", "vectors", "(batch, words)"), ("vectors", "layer", SHAPE), ("layer", "norm", SHAPE)],
)
MERGE = (
    {"words": (0, 0, "words"), "picture": (1, 0, "picture"), "stem": (1, 1, "stem\n(CNN)"),
     "joint": (0.5, 2, "Transformer"), "head": (0.5, 3, "head")},
    [("picture", "stem", "(batch, 3, 64, 64)"), ("words", "joint", SHAPE),
     ("stem", "joint", "(batch, patches, dim)"), ("joint", "head", SHAPE)],
)  # fmt: skip
RESIDUAL = (
    {"x": (0, 0, "x"), "a": (0, 1, "attention"), "p": (0, 2, "+"), "y": (0, 3, "y")},
    [("x", "a", SHAPE), ("a", "p", SHAPE), ("p", "y", SHAPE), ("x", "p", "residual"),
     ("y", "x", "the next layer")],
)  # fmt: skip
FAN = (
    {"x": (1, 0, "x"), "q": (0, 1, "q"), "k": (1, 1, "k"), "v": (2, 1, "v"), "s": (0.5, 2, "qk")},
    [("x", "q", SHAPE), ("x", "k", SHAPE), ("x", "v", SHAPE), ("q", "s", ""), ("k", "s", "")],
)
MAP = (
    {f"{n:02d}": (n // 4, n % 4 + (n // 4 == 3) / 2, f"{n:02d} lesson") for n in range(13)},
    [("00", "01", ""), ("01", "02", ""), ("02", "05", ""), ("04", "05", ""), ("05", "08", "")],
)


def extents(figure):
    """Boxes, texts in boxes and labels with their places in pixels."""
    figure.canvas.draw()
    axis = figure.axes[0]
    boxes = [p.get_window_extent() for p in axis.patches if isinstance(p, FancyBboxPatch)]
    texts = [(text.get_text(), text.get_window_extent()) for text in axis.texts]
    return boxes, texts


@pytest.mark.parametrize("across", [None, True, False])
@pytest.mark.parametrize("layout", [CHAIN, MERGE, RESIDUAL, FAN, MAP])
def test_labels_lie_on_no_box_and_texts_stay_inside(layout, across):
    plots.style()
    figure = diagrams.draw(*layout, across=across)
    boxes, texts = extents(figure)
    page = Bbox.from_bounds(0, 0, *figure.get_size_inches() * figure.dpi)
    shown = {text for _, _, text in layout[0].values()}
    assert len(boxes) == len(layout[0])
    for text, place in texts:
        over = [box for box in boxes if box.overlaps(place)]
        assert page.x0 <= place.x0 and place.x1 <= page.x1, f"{text} is cut"
        assert page.y0 <= place.y0 and place.y1 <= page.y1, f"{text} is cut"
        assert len(over) == (1 if text in shown else 0), f"{text} lies on {len(over)} boxes"
        if over:
            assert over[0].x0 < place.x0 and place.x1 < over[0].x1, f"{text} leaves its box"
    labels = [place for text, place in texts if text not in shown]
    for i, one in enumerate(labels):
        assert not any(one.overlaps(other) for other in labels[:i])
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[:i])
    plt.close(figure)


@pytest.mark.parametrize("layout", [CHAIN, MERGE, RESIDUAL, FAN])
def test_an_arrow_touches_only_the_boxes_it_connects(layout):
    figure = diagrams.draw(*layout)
    boxes = dict(zip(layout[0], extents(figure)[0]))
    lines = [p for p in figure.axes[0].patches if isinstance(p, FancyArrowPatch)]
    assert len(lines) == len(layout[1])
    for (start, end, _), line in zip(layout[1], lines):
        path = line.get_transform().transform_path(line.get_path())
        parts = [Path(points) for points in path.to_polygons(closed_only=False)]
        touched = {
            name
            for name, box in boxes.items()
            if any(part.intersects_bbox(box, filled=False) for part in parts)
        }
        assert touched <= {start, end}, f"{start} to {end} touches {touched}"
    plt.close(figure)


def test_marked_boxes_and_heads():
    figure = diagrams.draw(*CHAIN, marked=["layer"], heads=["first", "second"])
    colours = [p.get_edgecolor() for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]
    assert len(set(colours)) == 2 and colours.count(colours[2]) == 1
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert {"first", "second", "ids", SHAPE} <= texts
    plt.close(figure)


def test_it_is_shown_with_its_text_and_the_same_bytes(monkeypatch):
    outputs = []
    monkeypatch.setattr(plots, "display", outputs.append)
    for _ in range(2):
        diagrams.flow(*CHAIN, alt="From ids to vectors through a layer.")
    first, second = outputs
    assert first.data == second.data
    assert first._repr_mimebundle_()[1]["image/png"]["alt"].startswith("From ids")
    with pytest.raises(ValueError, match="expected a sentence"):
        diagrams.flow(*CHAIN, alt="")


@pytest.mark.parametrize(
    ("boxes", "arrows", "marked", "message"),
    [
        ({}, [], [], "boxes: expected at least one"),
        ({"a": (0, 0, "A")}, [("a", "b", ""), ("c", "a", "")], [],
         "no box is named b, c; there are a"),
        ({"a": (0, 0, "A")}, [], ["z"], "no box is named z; there are a"),
        ({"a": (0, 0, "A"), "b": (0, 0, "B")}, [], [], r"a and b both stand at \(0, 0\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(boxes, arrows, marked, message):
    with pytest.raises(ValueError, match=message):
        diagrams.draw(boxes, arrows, marked=marked)

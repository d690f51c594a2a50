"""The picture at the top of README shows what the shipped model answers."""

import io

import numpy as np
from PIL import Image

from course_utils.notebook import plots
from lessons.heads import ROOT
from tools import first_look

KEPT = ROOT / "docs" / "first_look.png"


def test_the_answers_are_those_that_readme_tells():
    assert [answer for answer, _ in first_look.answers().values()] == ["teal", "red", "gray"]
    assert all(sure > 95 for _, sure in first_look.answers().values())


def test_the_kept_picture_is_small_and_the_one_that_is_drawn():
    assert KEPT.stat().st_size < 100_000
    kept, drawn = Image.open(KEPT), Image.open(io.BytesIO(plots.png(first_look.draw())))
    assert kept.size == drawn.size, "python -m tools.first_look"
    small = [np.asarray(picture.convert("L").resize((40, 20)), float) for picture in (kept, drawn)]
    assert abs(small[0] - small[1]).max() < 16, "python -m tools.first_look"


def test_readme_begins_with_it_and_with_the_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    places = [text.index(part) for part in ("docs/first_look.png", "make lab", "<!-- lessons -->")]
    assert places == sorted(places) and places[1] < 1500

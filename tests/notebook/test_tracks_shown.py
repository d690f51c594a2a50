"""Tracks as moving and as still pictures."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.notebook import tracks_shown
from course_utils.world import draw
from course_utils.world.tracks import Tracks, glide


@pytest.fixture(scope="module")
def clip():
    return glide(6, 2, seed=1)


def test_boxes_stand_where_they_should(clip):
    frames = np.full((2, 3, 20, 20), 255, np.uint8)
    one = Tracks(np.array([1]), np.array([7]), np.array([[5.0, 4, 10, 12]]))
    found = tracks_shown.boxed(frames, one, scale=4)
    assert found.shape == (2, 80, 80, 3) and (found[0] == 255).all()
    rows, columns = (found[1] != 255).any(-1).nonzero()
    assert (columns.min(), rows.min()) == (20, 16)
    assert (columns.max(), rows.max()) == (42, 50)


def test_a_gif_has_every_frame_also_where_nothing_moves(clip):
    still = np.full((5, 8, 8, 3), 9, np.uint8)
    with Image.open(io.BytesIO(tracks_shown.gif(still))) as file:
        assert file.n_frames == 5
    with pytest.raises(ValueError, match="got 60"):
        tracks_shown.gif(still, ms=60)


def test_both_forms_have_the_text(clip, capsys, monkeypatch):
    shown = []
    monkeypatch.setattr("course_utils.notebook.animation.display", shown.append)
    monkeypatch.setattr("course_utils.notebook.plots.display", shown.append)
    frames = torch.from_numpy(draw(clip.scenes))
    tracks_shown.show(frames, clip.truth(), alt="Two things that glide about.")
    assert 'alt="Two things that glide about."' in shown[0].data
    assert shown[1].alt == "Two things that glide about."
    with pytest.raises(ValueError, match="alt: expected a sentence"):
        tracks_shown.show(frames, clip.truth(), alt="")


def test_bad_input_is_named(clip):
    with pytest.raises(ValueError, match=r"expected \(frames, 3, height, width\)"):
        tracks_shown.boxed(np.zeros((3, 8, 8)), clip.truth())
    with pytest.raises(ValueError, match="expected frames below 2"):
        tracks_shown.boxed(draw(clip.scenes)[:2], clip.truth())

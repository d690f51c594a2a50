"""Clips in a notebook: GIFs with as many frames as the clip, film strips, alt texts."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.notebook import animation
from course_utils.world.motion import draw_clips, sample_clips

CLIPS = torch.from_numpy(draw_clips(sample_clips("first", 2, seed=1)))  # (2, 7, 3, 64, 64)


def test_no_frame_is_merged_even_where_nothing_happens():
    """Without the strip equal neighbours become one frame: in "first" most frames are empty."""
    still = torch.zeros(1, 9, 3, 32, 32, dtype=torch.uint8)
    for clips, frames in ((CLIPS, 7), (still, 9), (CLIPS[0], 7), (CLIPS[:, :1], 1)):
        assert animation.frames_in(animation.gif(clips)) == frames


@pytest.mark.parametrize("ms", animation.SPEEDS)
def test_times_are_kept(ms):
    with Image.open(io.BytesIO(animation.gif(CLIPS, ms))) as file:
        for frame in range(7):
            file.seek(frame)
            assert file.info["duration"] == ms
        assert file.info["loop"] == 0


def test_pictures_are_those_of_the_clip():
    with Image.open(io.BytesIO(animation.gif(CLIPS))) as file:
        file.seek(4)
        shown = np.asarray(file.convert("RGB"))[:: animation.SCALE, :: animation.SCALE]
    other = shown[:64, 64 + animation.GAP :]
    off = np.abs(other.astype(int) - CLIPS[1, 4].permute(1, 2, 0).numpy().astype(int))
    assert off.max() < 40 and off.mean() < 4  # 256 colours


def test_both_are_shown_with_alt(monkeypatch):
    shown = []
    monkeypatch.setattr(animation, "display", shown.append)
    monkeypatch.setattr(animation.plots, "display", shown.append)
    animation.show(CLIPS, 'Two clips with "flashes" in them.', names=["a", "b"])
    page, picture = shown
    alt, data = re.search(r'<img alt="(.*?)" src="data:image/gif;base64,(.*)">', page.data).groups()
    assert alt == "Two clips with &quot;flashes&quot; in them."
    assert animation.frames_in(base64.b64decode(data)) == 7
    assert picture.alt == 'Two clips with "flashes" in them.'


def test_floats_in_0_to_1_are_as_bytes():
    one, other = (animation.gif(c) for c in (CLIPS, CLIPS.float() / 255))
    assert one == other


def test_what_cannot_be_shown_is_named():
    with pytest.raises(ValueError, match=r"expected \(clips, frames, 3, height, width\)"):
        animation.gif(CLIPS[:, :, :1])
    with pytest.raises(ValueError, match="expected one of 20, 40"):
        animation.gif(CLIPS, ms=17)
    with pytest.raises(ValueError, match="expected 2, one a clip, got 1"):
        animation.filmstrip(CLIPS, ["a"])
    with pytest.raises(ValueError, match="expected a sentence"):
        animation.show(CLIPS, "clip")

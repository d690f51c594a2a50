"""Clips whose objects glide, bounce and hide each other, and a detector with known faults."""

import numpy as np
import pytest

from course_utils.world import compose, draw
from course_utils.world.scenes import RADII, SIDE, Scenes
from course_utils.world.tracks import Tracks, detect, glide, visible_shares


def test_objects_keep_their_looks_and_stay_inside():
    clip = glide(60, 3, seed=4, speed=6)
    assert len(clip) == 60 and (clip.scenes.count == 3).all()
    for name in ("shape", "colour", "size"):
        assert (getattr(clip.scenes, name) == getattr(clip.scenes, name)[0]).all()
    radius = RADII[clip.scenes.size[0, :3]]
    for place in (clip.scenes.cx, clip.scenes.cy):
        assert (place[:, :3] >= radius).all() and (place[:, :3] <= SIDE - radius).all()
        moved = np.abs(np.diff(place[:, :3], axis=0))
        assert moved.max() <= 6.01 and moved.max(0).min() > 0.1


def test_boxes_are_those_of_the_drawn_pixels():
    clip = glide(5, 1, seed=1)
    ground = draw(Scenes(*(a[:1] for a in (
        np.full((1, 4), -1, np.int8), np.full((1, 4), -1, np.int8), np.full((1, 4), -1, np.int8),
        np.zeros((1, 4), np.float32), np.zeros((1, 4), np.float32),
        clip.scenes.ground, clip.scenes.texture,
    ))))[0]  # fmt: skip
    for t, picture in enumerate(draw(clip.scenes)):
        rows, columns = (picture != ground).any(0).nonzero()
        want = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert clip.boxes[t, 0].tolist() == list(want)


def test_what_is_hidden_is_counted():
    apart = compose([("small", "red", "circle", 12, 12), ("large", "blue", "square", 50, 50)])
    assert visible_shares(apart)[0].tolist() == [1, 1, 0, 0]
    hidden = compose([("small", "red", "circle", 30, 30), ("large", "blue", "square", 30, 30)])
    assert visible_shares(hidden)[0].tolist() == pytest.approx([0, 1, 0, 0], abs=1e-9)
    half = compose([("large", "red", "square", 30, 30), ("large", "blue", "square", 37.65, 30)])
    assert visible_shares(half)[0, 0] == pytest.approx(0.5, abs=0.05)


def test_a_detector_without_faults_gives_the_truth():
    clip = glide(10, 3, seed=2)
    seen = detect(clip, noise=0, missed=0, false=0, hidden=0, right_colour=1)
    assert len(seen.frame) == 30
    for t in range(10):
        mine = sorted(seen.boxes[seen.frame == t].tolist())
        assert mine == sorted(clip.boxes[t, :3].astype(float).tolist())
    assert set(seen.colour.tolist()) == set(clip.scenes.colour[0, :3].tolist())


def test_faults_are_as_frequent_as_asked():
    clip = glide(400, 4, seed=3, speed=1)
    rows = clip.truth()
    assert len(rows) == 1600 and rows.identity.max() == 3
    seen = detect(clip, seed=1, noise=0, missed=0.25, false=0, hidden=0)
    assert abs(len(seen.frame) / 1600 - 0.75) < 0.04
    seen = detect(clip, seed=1, noise=0, missed=1, false=0.5)
    assert abs(len(seen.frame) / 400 - 0.5) < 0.08
    hiding = detect(clip, noise=0, missed=0, false=0, hidden=0.3)
    assert len(hiding.frame) == (clip.visible >= 0.3).sum() < 1600
    again = detect(clip, seed=1, noise=0, missed=1, false=0.5)
    assert (again.boxes == seen.boxes).all()


def test_bad_arguments_are_named():
    for bad in (dict(frames=0), dict(objects=5), dict(colours=0)):
        with pytest.raises(ValueError, match="expected frames >= 1"):
            glide(**bad)
    with pytest.raises(ValueError, match="shares from 0 to 1"):
        detect(glide(3), missed=1.5)
    boxes = np.zeros((2, 4))
    with pytest.raises(ValueError, match="never fall"):
        Tracks(np.array([1, 0]), np.array([0, 1]), boxes)
    with pytest.raises(ValueError, match="nobody twice"):
        Tracks(np.array([1, 1]), np.array([0, 0]), boxes)
    with pytest.raises(ValueError, match="expected 2 identities"):
        Tracks(np.array([1, 1]), np.array([0]), boxes)

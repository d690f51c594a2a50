"""Following: links, velocities, appearance, and tracks that end."""

import numpy as np
import pytest

from course_utils.methods.following import FollowConfig, Follower, follow, link
from course_utils.world.tracks import Detections, detect, glide


def moving(places, colours=None):
    """One box of 10 pixels a frame at each place; None where it isn't seen."""
    seen = [(t, x) for t, x in enumerate(places) if x is not None]
    frame, x = (np.array(c) for c in zip(*seen))
    boxes = np.stack([x, 0 * x, x + 10, 0 * x + 10], 1).astype(float)
    return Detections(frame, boxes, np.array(colours or [0] * len(frame)))


def test_links_take_the_best_sum_and_greedy_ones_the_best_pair():
    score = np.array([[0.6, 0.5], [0.5, 0.0]])
    assert sorted(link(score)) == [(0, 1), (1, 0)]
    assert link(score, greedy=True) == [(0, 0)]
    assert link(np.zeros((2, 3))) == [] == link(np.zeros((0, 3)))


def test_without_faults_every_object_keeps_its_number():
    clip = glide(30, 1, seed=0, speed=2)
    seen = detect(clip, noise=0, missed=0, false=0, hidden=0)
    assert set(follow(seen, 30).identity) == {0}


def test_with_its_velocity_a_track_finds_its_object_after_a_pause():
    places = [0, 5, 10, 15, None, None, None, 35, 40]
    still = follow(moving(places), 9, FollowConfig(motion=False)).identity
    ahead = follow(moving(places), 9).identity
    assert len(set(still)) == 2 and len(set(ahead)) == 1


def test_with_its_colour_a_track_finds_its_object_in_reach():
    places, far = [0, 0, None, 15, 15], [0, 0, None, 45, 45]
    config = FollowConfig(motion=False, appearance=1.0)
    assert len(set(follow(moving(places), 5, config).identity)) == 1
    assert len(set(follow(moving(far), 5, config).identity)) == 2
    other = follow(moving(places, [1, 1, 2, 2]), 5, config)
    assert len(set(other.identity)) == 2


def test_a_track_ends_when_patience_does():
    config = FollowConfig(motion=False, patience=2)
    assert len(set(follow(moving([0, None, None, 0]), 4, config).identity)) == 1
    assert len(set(follow(moving([0, None, None, None, 0]), 5, config).identity)) == 2


def test_a_frame_gives_each_box_another_number():
    follower = Follower()
    boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]])
    assert follower.update(boxes, np.zeros(3)).tolist() == [0, 1, 2]
    assert sorted(follower.update(boxes[::-1], np.zeros(3)).tolist()) == [0, 1, 2]
    assert follower.update(np.zeros((0, 4)), np.zeros(0)).tolist() == []


def test_bad_input_is_named():
    for bad in (dict(least=0), dict(patience=-1), dict(smooth=1)):
        with pytest.raises(ValueError, match="expected 0 < least <= 1"):
            FollowConfig(**bad)
    with pytest.raises(ValueError, match="with a colour each"):
        Follower().update(np.zeros((2, 4)), np.zeros(1))

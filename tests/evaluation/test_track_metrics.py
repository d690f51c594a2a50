"""MOTA, IDF1 and HOTA: the values of TrackEval 1.3.0, kept, and cases by hand."""

import math

import numpy as np
import pytest

from course_utils.evaluation.track_metrics import box_iou, clear, hota, idf1, pair
from course_utils.methods.following import FollowConfig, follow
from course_utils.world.tracks import Tracks, detect, glide

# TrackEval 1.3.0 with numpy 2.4: HOTA, DetA, AssA, MOTA, IDSW, IDF1 of the clips of `followed`
TRACKEVAL = [
    [0.6313748678, 0.5955714247, 0.6715180699, 0.7416666667, 0, 0.8658008658],
    [0.3780701418, 0.4996839854, 0.2906703538, 0.5583333333, 7, 0.4608695652],
    [0.4322223011, 0.4988528242, 0.3809948685, 0.4666666667, 12, 0.5663716814],
    [0.5125859482, 0.5627404402, 0.4676163886, 0.5833333333, 15, 0.6877828054],
    [0.5415167424, 0.565860397, 0.5209100559, 0.7416666667, 2, 0.7615062762],
    [0.2749945116, 0.4722510831, 0.1659309575, 0.4166666667, 14, 0.2894736842],
]


def followed(s: int):
    clip = glide(30, 4, s, 3 + s % 4)
    seen = detect(clip, s, 1 + 0.5 * (s % 3), 0.1 + 0.05 * (s % 4), false=0.3)
    config = FollowConfig(motion=s % 2 == 0, appearance=float(s % 3 == 0))
    return pair(clip.truth(), follow(seen, 30, config))


@pytest.mark.parametrize("s", range(6))
def test_clips_have_the_values_of_trackeval(s):
    paired = followed(s)
    h, c = hota(paired), clear(paired)
    found = [h.hota, h.det_a, h.ass_a, c.mota, c.switches, idf1(paired).idf1]
    assert found == pytest.approx(TRACKEVAL[s], abs=1e-9)


def rows(*of_frames):
    """Tracks from {number: place} of each frame; a place is a box of 10 pixels."""
    flat = [(t, n, x) for t, one in enumerate(of_frames) for n, x in one.items()]
    frame, number, x = (np.array(c) for c in zip(*flat)) if flat else (np.zeros(0, int),) * 3
    boxes = np.stack([x, 0 * x, x + 10, 0 * x + 10], 1).astype(float).reshape(-1, 4)
    return Tracks(frame, number, boxes)


def test_the_swap_half_way():
    true = rows(*[{0: 0, 1: 30}] * 20)
    given = rows(*[{5: 0, 9: 30}] * 10, *[{9: 0, 5: 30}] * 10)
    paired = pair(true, given)
    assert clear(paired).mota == pytest.approx(0.95) and clear(paired).switches == 2
    assert idf1(paired).idf1 == 0.5 and idf1(paired).right == 20
    found = hota(paired)
    assert found.hota == pytest.approx(math.sqrt(1 / 3)) and found.det_a == 1
    assert found.ass_a == pytest.approx(1 / 3)


def test_a_switch_after_a_pause_is_counted_as_trackeval_does():
    paired = pair(rows({0: 0}, {0: 0}, {0: 0}), rows({1: 0}, {}, {2: 0}))
    found = clear(paired)
    assert (found.misses, found.false, found.switches) == (1, 0, 1)
    assert found.mota == pytest.approx(1 - 2 / 3)


def test_an_old_match_goes_on_though_another_fits_better():
    true = rows({0: 0}, {0: 0})
    found = clear(pair(true, rows({1: 0}, {1: 3, 2: 0})))
    assert found.switches == 0 and found.false == 1


def test_perfect_nothing_given_and_nothing_true():
    true = rows({0: 0, 1: 30}, {0: 1, 1: 31})
    paired = pair(true, true)
    assert (clear(paired).mota, idf1(paired).idf1) == (1, 1)
    assert hota(paired).hota == pytest.approx(1)
    nothing = rows()
    paired = pair(true, nothing)
    assert (clear(paired).mota, idf1(paired).idf1, hota(paired).hota) == (0, 0, 0)
    paired = pair(nothing, true)
    assert math.isnan(clear(paired).mota) and clear(paired).false == 4
    assert idf1(paired).idf1 == 0 and hota(paired).hota == 0
    paired = pair(nothing, nothing)
    assert math.isnan(idf1(paired).idf1) and math.isnan(hota(paired).hota)


def test_any_numbers_may_name_a_track():
    true, given = rows({70: 0}, {70: 2}), rows({-3: 0}, {-3: 2})
    assert idf1(pair(true, given)).idf1 == 1


def test_overlaps_and_thresholds():
    a = np.array([[0.0, 0, 10, 10], [5, 5, 5, 5]])
    assert box_iou(a, a).tolist() == [[1, 0], [0, 0]]
    paired = pair(rows({0: 0}), rows({1: 10 / 3}))  # IoU is one half
    assert clear(paired).matches == 1 and clear(paired, 0.6).matches == 0
    for wrong in (0, 1.5):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            clear(paired, wrong)

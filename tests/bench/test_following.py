"""The bench of lesson 16: a sequence whose values are known, and what is kept."""

import json

import numpy as np
import pytest

from bench import following
from course_utils.evaluation.track_metrics import clear, hota, idf1, pair


def test_the_sequence_repeats_and_has_faults_of_every_kind():
    one, two = (following.sequence(60, 8, 1) for _ in range(2))
    assert (one[1].boxes == two[1].boxes).all() and len(one[0]) == 480
    paired = pair(*one)
    found = clear(paired)
    assert min(found.misses, found.false, found.switches) > 0
    assert 0 < hota(paired).hota < 1 and 0 < idf1(paired).idf1 < 1
    told = following.for_trackeval(paired)
    assert told["num_gt_dets"] == 480 and told["num_timesteps"] == 60
    assert sum(map(len, told["tracker_ids"])) == told["num_tracker_dets"] == len(one[1])
    assert max(np.max(ids) for ids in told["gt_ids"]) + 1 == told["num_gt_ids"]


def test_what_is_kept_says_that_the_values_are_equal():
    kept = json.loads(following.FILE.read_text(encoding="utf-8"))
    ours, trackeval, alone, motmetrics = kept["rows"]
    assert ours[2] == alone[2] == 1
    assert trackeval[2] >= 1 and motmetrics[2] >= 10
    assert trackeval[3].startswith("within") and motmetrics[3].startswith("within")


def test_cpu_time_is_a_median_of_turns():
    calls = []
    found = following.cpu_ms({"a": lambda: calls.append(1)}, turns=3)
    assert len(calls) == 4 and found["a"] >= 0
    with pytest.raises(ZeroDivisionError):
        following.cpu_ms({"a": lambda: 1 / 0})

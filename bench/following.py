"""HOTA, IDF1 and MOTA of 600 frames with 20 objects, beside TrackEval and py-motmetrics; equal
values first. In turns, in CPU time.

python -m bench.following     writes bench/following.json; needs trackeval and motmetrics, which
                              are not among the course's packages
"""

import contextlib
import importlib.metadata
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from course_utils.evaluation.track_metrics import Paired, clear, hota, idf1, pair
from course_utils.world.tracks import Tracks
from tools.run import processor

FRAMES, OBJECTS, TURNS = 600, 20, 5
FILE = Path(__file__).parent / "following.json"


def sequence(frames: int = FRAMES, objects: int = OBJECTS, seed: int = 0) -> tuple[Tracks, Tracks]:
    """True tracks, and what a tracker with misses, false boxes, noise and switches gives."""
    rng = np.random.default_rng(seed)
    frame = np.repeat(np.arange(frames), objects)  # (n,)
    person = np.tile(np.arange(objects), frames)
    start, step = rng.uniform(0, 900, (objects, 2)), rng.normal(0, 1, (objects, 2))
    corner = start[person] + step[person] * frame[:, None]  # (n, 2)
    boxes = np.concatenate([corner, corner + 60 + 40 * rng.random((objects, 2))[person]], 1)
    number = person.copy()
    for t in np.sort(rng.integers(1, frames, frames // 20)):  # two exchange their numbers
        a, b = rng.choice(objects, 2, replace=False)
        later, now = frame >= t, number.copy()
        number[later & (now == a)], number[later & (now == b)] = b, a
    kept = rng.random(len(frame)) > 0.1
    wrong = rng.random(len(frame)) < 0.03
    found = boxes + rng.normal(0, 6, boxes.shape) + 500 * wrong[:, None]
    return Tracks(frame, person, boxes), Tracks(frame[kept], number[kept], found[kept])


def for_trackeval(paired: Paired) -> dict:
    """The dictionary that TrackEval's metrics take."""
    return dict(
        num_gt_dets=int(paired.true_count.sum()),
        num_tracker_dets=int(paired.given_count.sum()),
        num_gt_ids=len(paired.true_count),
        num_tracker_ids=len(paired.given_count),
        num_timesteps=len(paired.true_ids),
        gt_ids=paired.true_ids,
        tracker_ids=paired.given_ids,
        similarity_scores=paired.similar,
        seq="bench",
    )


def cpu_ms(steps: dict[str, Callable[[], object]], turns: int = TURNS) -> dict[str, float]:
    """Median CPU time of each step in milliseconds; all in turns, after one round to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(turns + 1):
        for name, step in steps.items():
            begun = time.process_time()
            step()
            if turn:
                taken[name].append(1000 * (time.process_time() - begun))
    return {name: sorted(some)[len(some) // 2] for name, some in taken.items()}


def measure() -> list[tuple[str, float, float, str]]:
    """Rows of the benchmark: name, ms, times ours, what was checked first.

    Raises:
        RuntimeError: results differ.
    """
    import motmetrics
    from trackeval.metrics import CLEAR, HOTA, Identity

    with contextlib.redirect_stdout(io.StringIO()):
        quiet = {"PRINT_CONFIG": False, "THRESHOLD": 0.5}
        theirs = HOTA(), Identity(quiet), CLEAR(quiet)
    true, given = sequence()
    paired = pair(true, given)
    data = for_trackeval(paired)

    def ours():
        return hota(paired), idf1(paired), clear(paired)

    def trackeval():
        with contextlib.redirect_stdout(io.StringIO()):
            return [metric.eval_sequence(data) for metric in theirs]

    def trackeval_hota_idf1():
        with contextlib.redirect_stdout(io.StringIO()):
            return [metric.eval_sequence(data) for metric in theirs[:2]]

    def motmetrics_idf1():
        kept = motmetrics.MOTAccumulator(auto_id=True)
        for a, b, similar in zip(paired.true_ids, paired.given_ids, paired.similar):
            kept.update(a, b, np.where(similar >= 0.5, 1 - similar, np.nan))
        host = motmetrics.metrics.create()
        return float(host.compute(kept, metrics=["idf1"])["idf1"].iloc[0])

    (h, i, c), (want_h, want_i, want_c) = ours(), trackeval()
    off = max(
        float(np.abs(h.by_threshold - want_h["HOTA"]).max()),
        abs(i.idf1 - want_i["IDF1"]),
        abs(c.mota - want_c["MOTA"]),
    )
    off_motmetrics = abs(i.idf1 - motmetrics_idf1())
    if max(off, off_motmetrics) > 1e-9:
        raise RuntimeError(f"results differ by {off:.1e} and {off_motmetrics:.1e}")
    versions = {name: importlib.metadata.version(name) for name in ("trackeval", "motmetrics")}
    steps = {
        "HOTA, IDF1 (ours)": lambda: (hota(paired), idf1(paired)),
        f"the same, TrackEval {versions['trackeval']}": trackeval_hota_idf1,
        "IDF1 (ours)": lambda: idf1(paired),
        f"the same, py-motmetrics {versions['motmetrics']}": motmetrics_idf1,
    }
    ms = cpu_ms(steps)
    names = list(ms)
    notes = {names[1]: f"within {off:.0e}", names[3]: f"within {off_motmetrics:.0e}"}
    return [
        (name, ms[name], ms[name] / ms[names[n // 2 * 2]], notes.get(name, ""))
        for n, name in enumerate(names)
    ]


def main() -> None:
    """Measures on one thread, and keeps rows and machine in FILE, which `python -m bench` shows."""
    found = measure()
    kept = {"machine": processor(), "numpy": np.__version__, "rows": found}
    FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    for name, ms, ratio, note in found:
        print(f"{name:52}{ms:8.1f}{ratio:7.2f}  {note}")


if __name__ == "__main__":
    main()

"""Claims at several seeds, spreads and timings, on a small lesson of its own."""

import json

import pytest

from lessons import build
from tools import run

LESSON = """\
# ---
# jupyter:
#   course:
#     title: A sample
#     needs: []
# ---

# %% [markdown]
# A lesson that measures its seed.

# %%
import json, os
seed = int(os.environ.get("COURSE_SEED", 0))
if "COURSE_RECORD" in os.environ:
    with open(os.environ["COURSE_RECORD"], "a") as file:
        file.write(json.dumps({"name": "07.seed", "value": 10.0 * seed, "seed": seed}) + "\\n")

# %%
assert seed < LIMIT, "the claim does not hold"
"""


@pytest.fixture
def sample(tmp_path, monkeypatch):
    """Write the lesson with a limit; the set-up cell is left out to be quick."""
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "SPREADS", tmp_path / "spreads.json")
    monkeypatch.setattr(run, "TIMINGS", tmp_path / "timings.json")
    monkeypatch.setattr(build, "setup_cell", lambda root: "import os")

    def write(limit):
        source = tmp_path / "07_sample.py"
        source.write_text(LESSON.replace("LIMIT", str(limit)))
        return [source]

    return write


def test_claims_are_run_at_three_seeds_and_a_failure_is_reported(sample, capsys):
    assert run.claims(sample(limit=3))
    assert capsys.readouterr().out.count("claims hold") == 3
    assert not run.claims(sample(limit=2))
    printed = capsys.readouterr()
    assert "seed 2: FAILED" in printed.out and printed.out.count("claims hold") == 2
    assert "the claim does not hold" in printed.err


def test_spreads_are_the_standard_deviation_over_five_seeds(sample):
    run.SPREADS.write_text('{"01.other": {"mean": 1.0, "std": 0.1}}')
    assert run.spreads(sample(limit=5))
    spreads = json.loads(run.SPREADS.read_text())
    assert spreads["07.seed"] == {
        "mean": 20.0,
        "std": pytest.approx(15.811, abs=1e-3),
        "values": [0.0, 10.0, 20.0, 30.0, 40.0],
    }
    assert spreads["01.other"]["std"] == 0.1
    made = spreads["made"]["07"]
    assert made["command"] == "make spreads N=07" and made["seeds"] == [0, 1, 2, 3, 4]
    assert {"python", "torch", "processor"} <= set(made)


def test_timings_are_written_per_lesson_with_the_slowest_cells(sample, capsys):
    run.TIMINGS.write_text('{"cpu": {"machine": "x", "notebooks": {"01": 2.5}}}')
    assert run.timings(sample(limit=1))
    times = json.loads(run.TIMINGS.read_text())["cpu"]["notebooks"]
    assert times["01"] == 2.5 and 0 <= times["07"] < 10
    assert " s  assert seed < 1" in capsys.readouterr().out
    assert not run.timings(sample(limit=0))

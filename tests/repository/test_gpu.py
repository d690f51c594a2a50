"""`make gpu` writes what it has measured, skips what it knows and is taken up; on a card that isn't
there: only the lesson of the last test is really run."""

import json
import subprocess

import pytest
import torch

from lessons import build
from tools import gpu, run

LESSON = """\
# ---
# jupyter:
#   course:
#     title: A sample
#     needs: []
# ---

# %% [markdown]
# A lesson that says how it is run.

# %%
import os
print(os.environ["COURSE_PROFILE"], os.environ["COURSE_REFERENCE"], os.environ["OMP_NUM_THREADS"])
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Three lessons, the second of which takes longest on a CPU, and a card."""
    for folder in ("lessons", "data", "bench", "course_utils"):
        (tmp_path / folder).mkdir()
    for number in ("01", "02", "03"):
        (tmp_path / "lessons" / f"{number}_sample.py").write_text(LESSON)
    times = {"cpu": {"notebooks": {"01": 5.0, "02": 60.0, "03": 20.0}}}
    (tmp_path / "data" / "timings.json").write_text(json.dumps(times))
    (tmp_path / "bench" / "speed.py").write_text("")
    (tmp_path / "course_utils" / "model.py").write_text("")
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    monkeypatch.setattr(gpu, "TARGET", tmp_path / "bench" / "gpu.json")
    monkeypatch.setattr(gpu, "chosen", lambda numbers: sorted((tmp_path / "lessons").glob("0*.py")))
    monkeypatch.setattr(build, "setup_cell", lambda root: "import os")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    return tmp_path


@pytest.fixture
def start(course, monkeypatch):
    """start(...) runs `make gpu`, one lesson at a time: (exit status, the lessons it ran)."""

    def go(*words, fails=(), cut_at="", bench=(0, {"pass": 1.5})):
        ran = []

        def seconds_of(source, at_once):
            ran.append(source.name[:2])
            if ran[-1] == cut_at:
                raise KeyboardInterrupt
            return None if ran[-1] in fails else 1.25 * int(ran[-1])

        def call(command, cwd):
            ran.append("rows")
            if bench[1]:
                run.update(gpu.TARGET, {"rows": bench[1]})
            return bench[0]

        monkeypatch.setattr(gpu, "seconds_of", seconds_of)
        monkeypatch.setattr(subprocess, "call", call)
        monkeypatch.setattr("sys.argv", ["gpu", *words, "--at-once", "1"])
        with pytest.raises(SystemExit) as ended:
            gpu.main()
        return ended.value.code, ran

    return go


def written(course):
    return json.loads((course / "bench" / "gpu.json").read_text())


def test_the_longest_comes_first_and_all_is_written(start, course):
    assert start() == (False, ["02", "03", "01", "rows"])
    state = written(course)
    assert state["machine"] == "a card"
    assert state["torch"] == torch.__version__
    assert state["lessons"] == {"01": 1.2, "02": 2.5, "03": 3.8}
    assert state["rows"] == {"pass": 1.5}


def test_what_is_known_is_skipped_until_its_code_changes(start, course):
    start()
    assert start() == (False, [])
    changed = course / "lessons" / "03_sample.py"
    changed.write_text(LESSON.replace("how it is run", "something else"))  # prose
    assert start() == (False, [])
    changed.write_text(LESSON + "print(1)\n")
    assert start() == (False, ["03"])
    (course / "bench" / "speed.py").write_text("x = 1")
    assert start() == (False, ["rows"])
    (course / "course_utils" / "model.py").write_text("x = 1")
    assert start() == (False, ["02", "03", "01", "rows"])


def test_a_run_that_is_cut_off_is_taken_up(start, course):
    with pytest.raises(KeyboardInterrupt):
        start(cut_at="03")
    assert list(written(course)["lessons"]) == ["02"]
    assert start() == (False, ["03", "01", "rows"])


def test_a_failed_lesson_is_not_written_and_the_others_go_on(start, course):
    assert start(fails=["03"]) == (True, ["02", "03", "01", "rows"])
    assert list(written(course)["lessons"]) == ["01", "02"]
    assert start() == (False, ["03"])


def test_times_of_another_card_are_not_mixed_in(start, course, monkeypatch):
    start()
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "another card")
    with pytest.raises(KeyboardInterrupt):
        start(cut_at="03")
    assert written(course)["machine"] == "another card"
    assert list(written(course)["lessons"]) == ["02"]
    assert written(course)["rows"] == {}


@pytest.mark.parametrize("bench", [(2, {}), (0, {}), (1, {"pass": 1.5})])
def test_a_benchmark_without_rows_is_an_error_and_keeps_the_lessons(start, course, capsys, bench):
    assert start(bench=bench) == (True, ["02", "03", "01", "rows"])
    assert "python -m bench --gpu" in capsys.readouterr().out
    assert len(written(course)["lessons"]) == 3
    assert start() == (False, ["rows"])


def test_only_the_lessons_that_are_named_and_no_rows(start, course, monkeypatch):
    monkeypatch.setattr(gpu, "chosen", lambda n: [course / "lessons" / f"{n[0]}_sample.py"])
    assert start("03") == (False, ["03"])


def test_without_a_card_nothing_is_run(start, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    status, ran = start()
    assert "make gpu needs one" in status
    assert ran == []


def test_a_lesson_runs_at_full_size_with_its_share_of_the_cores(course, monkeypatch):
    ended = []
    monkeypatch.setattr(run, "ROOT", course)
    monkeypatch.setattr(gpu, "cores", lambda: 8)
    monkeypatch.setattr(gpu, "cell_seconds", lambda nb: ended.append(nb) or run.cell_seconds(nb))
    assert gpu.seconds_of(course / "lessons" / "01_sample.py", at_once=4) > 0
    assert ended[0].cells[2].outputs[0].text == "gpu 0 2\n"

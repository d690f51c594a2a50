"""Files of measured runs."""

import json
import os

import pytest

from course_utils.studies.runs import read_runs, write_runs


def test_runs_come_back_in_order_with_what_made_them(tmp_path):
    path, runs = tmp_path / "r.json", [{"seed": 1, "right": 3}, {"seed": 0, "right": 2}]
    assert read_runs(path) == []
    write_runs(path, runs, "python -m x")
    assert read_runs(path) == runs
    made = json.loads(path.read_text())["made"]
    assert made["command"] == "python -m x" and set(made) == {
        "command",
        "python",
        "torch",
        "machine",
    }


@pytest.mark.parametrize("content", ["{", "[]", '{"made": {}}', "3"])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(ValueError, match="expected runs in .*r.json.*delete it"):
        read_runs(tmp_path / "r.json")


def test_a_process_that_is_killed_while_writing_leaves_the_old_runs(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    write_runs(path, [{"seed": 0}], "python -m x")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_runs(path, [{"seed": 0}, {"seed": 1}], "python -m x")
    assert read_runs(path) == [{"seed": 0}]

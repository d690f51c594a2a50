"""The runner of studies: files, what is missing, progress, the command, and every kept file."""

import importlib
import json
import os
from dataclasses import replace

import pytest

from course_utils.datasets.files import data_path
from course_utils.studies import runs as runner
from course_utils.studies.runs import Study, read_runs, write_runs


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
    with pytest.raises(ValueError, match=r"expected runs in .*r.json.*delete it"):
        read_runs(tmp_path / "r.json")


def test_a_process_that_is_killed_while_writing_leaves_the_old_runs(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    write_runs(path, [{"seed": 0}], "python -m x")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_runs(path, [{"seed": 0}, {"seed": 1}], "python -m x")
    assert read_runs(path) == [{"seed": 0}]


# The runner, on a study of two methods: both rates at the first seed, then the better one


def choosing(made):
    def settings(seeds, rows):
        for seed in seeds:
            for method in ("b", "a"):
                mine = [r for r in rows if r["method"] == method and r["seed"] == 0]
                best = max(mine, key=lambda r: r["validation"])["rate"] if seed else None
                for rate in (best,) if seed else (1, 2):
                    yield dict(method=method, rate=rate, seed=seed)

    def run(method, rate, seed):
        made.append((method, rate, seed))
        return dict(
            method=method, rate=rate, seed=seed, validation=rate if method == "b" else -rate
        )

    columns = {"method": ("b", "a"), "rate": None, "seed": None}
    return Study("a choice", "a moment", columns, (0, 1, 2), settings, run)


ALL = [("b", 1, 0), ("b", 2, 0), ("a", 1, 0), ("a", 2, 0)]
ALL += [("b", 2, 1), ("a", 1, 1), ("b", 2, 2), ("a", 1, 2)]


def test_settings_depend_on_what_was_found(tmp_path):
    made, path = [], tmp_path / "c.json"
    assert runner.complete(choosing(made), path, (0, 1, 2), "python -m x") == 8
    assert made == ALL
    rows = read_runs(path)
    assert [(r["method"], r["rate"], r["seed"]) for r in rows] == [
        *(("b", 1, 0), ("b", 2, 0), ("b", 2, 1), ("b", 2, 2)),
        *(("a", 1, 0), ("a", 1, 1), ("a", 1, 2), ("a", 2, 0)),
    ]


@pytest.mark.parametrize("there", range(8))
def test_a_study_that_was_stopped_is_taken_up(tmp_path, there):
    """Stopped in the setting after `there` others: these are kept, and are not measured again."""
    made, path = [], tmp_path / "c.json"
    study = choosing(made)

    def stopped(**setting):
        if len(made) == there:
            raise KeyboardInterrupt
        return study.run(**setting)

    with pytest.raises(KeyboardInterrupt):
        runner.complete(replace(study, run=stopped), path, (0, 1, 2), "python -m x")
    assert len(read_runs(path)) == there
    missing = runner.count_missing(study, (0, 1, 2), read_runs(path))
    assert missing == 8 - there  # also where it isn't known yet which rate will be chosen
    runner.complete(study, path, (0, 1, 2), "python -m x")
    assert made == ALL
    written = path.read_bytes()
    assert runner.complete(study, path, (0, 1, 2), "python -m y") == 0
    assert path.read_bytes() == written and made == ALL


def test_a_setting_may_give_several_rows(tmp_path):
    study = Study(
        "parts",
        "a moment",
        {"seed": None},
        (1, 0),
        lambda seeds, rows: iter([dict(seed=s) for s in seeds]),
        lambda seed: [dict(seed=seed, part=part) for part in ("z", "a")],
    )
    assert runner.complete(study, tmp_path / "p.json", study.seeds, "python -m x") == 2
    rows = read_runs(tmp_path / "p.json")
    assert [(r["seed"], r["part"]) for r in rows] == [(0, "z"), (0, "a"), (1, "z"), (1, "a")]
    assert runner.complete(study, tmp_path / "p.json", study.seeds, "python -m x") == 0


def test_the_command(monkeypatch, tmp_path, capsys):
    made = []
    monkeypatch.setattr(runner, "names", lambda: ["choice"])
    monkeypatch.setattr(runner, "load", lambda name: choosing(made))
    runner.main(["--list"])
    assert capsys.readouterr().out.split() == ["choice", "a", "choice", "(a", "moment)"]
    out = tmp_path / "c.json"
    runner.main(["choice", "--seeds", "0", "--out", str(out)])
    told = capsys.readouterr()
    assert made == ALL[:4] and told.out == f"{out}: 4 settings measured\n"
    assert "4/4" in told.err  # progress
    assert json.loads(out.read_text())["made"]["command"] == "python -m course_utils.studies choice"
    runner.main(["choice", "--out", str(out)])
    assert made == ALL
    capsys.readouterr()
    runner.main(["choice", "--out", str(out)])
    assert capsys.readouterr().out == f"{out}: nothing was missing\n"
    for wrong in ([], ["other"], ["choice", "--out", str(tmp_path / "no" / "c.json")]):
        with pytest.raises(SystemExit):
            runner.main(wrong)
    assert "start in the course's folder" in capsys.readouterr().err
    out.write_text("{")
    with pytest.raises(ValueError, match=r"expected runs in .*c.json"):
        runner.main(["choice", "--out", str(out)])


# The studies


def test_every_study_has_a_file_and_every_file_a_study():
    assert {path.stem for path in data_path("studies").glob("*.json")} == set(runner.names())


@pytest.mark.parametrize("name", runner.names())
def test_the_kept_file_lacks_nothing_and_is_in_order(name):
    study, path = runner.load(name), data_path(f"studies/{name}.json")
    rows = read_runs(path)
    assert list(runner.missing(study, study.seeds, rows)) == []
    assert sorted(rows, key=study.place) == rows
    asked = {study.key(setting) for setting in study.settings(study.seeds, rows)}
    assert {study.key(row) for row in rows} == asked  # nothing is kept that is not asked for
    command = json.loads(path.read_text(encoding="utf-8"))["made"]["command"]
    assert command == f"python -m course_utils.studies {name}"
    assert command in importlib.import_module(f"course_utils.studies.{name}").__doc__


@pytest.mark.parametrize("name", runner.names())
def test_one_row_less_is_one_setting_more(name):
    study = runner.load(name)
    rows = read_runs(data_path(f"studies/{name}.json"))
    last = study.key(rows[-1])
    short = [row for row in rows if study.key(row) != last]
    assert [study.key(s) for s in runner.missing(study, study.seeds, short)][:1] == [last]

"""The scripts in findings/ say what they show; how they are run, on some that need no network."""

import os
import re
import tomllib

import pytest

from lessons.heads import ROOT
from tools import findings

SCRIPTS = sorted((ROOT / "findings").iterdir())
PARTS = ("package", "behaviour", "expected", "seen")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_finding_is_an_executable_script_that_says_what_it_shows(script):
    text = script.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert script.suffix == ".sh"
    assert os.access(script, os.X_OK), f"chmod +x findings/{script.name}"
    assert lines[0] == "#!/bin/sh"
    head = text.partition("\nset -eu\n")[0]
    assert all(line.startswith("#") for line in head.splitlines()), "set -eu comes after the head"
    assert re.match(r"# \S.*\.$", lines[1]), "the second line says the finding in one sentence"
    for part in PARTS:
        assert re.search(rf"^# {part}: +\S", head, flags=re.MULTILINE), f"the head needs # {part}:"
    name, version = re.search(r"^# package: +(\S+) ([\d.]+)$", head, flags=re.MULTILINE).groups()
    assert f"{name}=={version}" in text, "what the head names is what is installed"
    assert "course" not in text.lower(), "a finding stands without the course"
    assert len(lines) <= 60


def test_findings_are_in_neither_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    targets = settings["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"]["only-include"] == ["course_utils", "data"]
    assert "findings" not in targets["sdist"]["include"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """run(names) over four scripts: (exit status, lines on stdout, stderr)."""
    for name, body in {
        "a": 'test "$PWD" = "$(cd "$TMPDIR" && pwd)" && ! ls | grep . && test -z "${PYTHONPATH:-}"',
        "b": "echo another sentence; exit 3",
        "c": "echo no network >&2; exit 1",
        "d": "exit 0",
    }.items():
        (tmp_path / f"{name}.sh").write_text(f"#!/bin/sh\n{body}\n")
    monkeypatch.setenv("PYTHONPATH", "here")

    def go(*names):
        monkeypatch.setattr("sys.argv", ["findings", *names])
        with pytest.raises(SystemExit) as ended:
            findings.main(tmp_path)
        printed = capsys.readouterr()
        return ended.value.code, printed.out.splitlines(), printed.err

    return go


def test_each_gets_a_line(run):
    status, lines, errors = run()
    assert lines == ["a: ok", "b: behaviour changed", "c: could not run", "d: ok"]
    assert status == 1
    assert "another sentence" in errors
    assert "no network" in errors


def test_one_by_its_name(run):
    assert run("d") == (0, ["d: ok"], "")
    status, lines, _ = run("e")
    assert "no e in findings/; there are a, b, c, d" in status
    assert lines == []


def test_one_that_does_not_end_is_cut_off(run, monkeypatch, tmp_path):
    monkeypatch.setattr(findings, "MOST_SECONDS", 0.2)
    (tmp_path / "d.sh").write_text("exec sleep 30\n")
    assert run("d")[:2] == (1, ["d: could not run"])

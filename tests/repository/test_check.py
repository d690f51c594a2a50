"""The checks of `make check` pass, and each of them would notice a fault."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml

from lessons.heads import ROOT
from tools import check

FAULTS = {
    "lint": ("tools/bad.py", "import os\n", "F401"),
    "format": ("tools/bad.py", "x = 'one'\n", "tools/bad.py"),
    "types": ("course_utils/own/bad.py", "n: int = 'one'\n", "reportAssignmentType"),
    "imports": (
        "course_utils/world/bad.py",
        "from course_utils.own import train\n",
        "course_utils.world.bad -> course_utils.own",
    ),
    "spelling": ("tools/bad.py", '"""How to ' + "rec" + "ieve" + ' it."""\n', "receive"),
}


@pytest.mark.parametrize("name", check.CHECKS)
def test_the_tree_passes(name):
    good, said = check.run(name)
    assert good, said


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """The settings, and of the package no more than its rooms: without code there is no fault."""
    root = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "lessons/ruff.toml"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / "typings", root / "typings")
    package = ROOT / "course_utils"
    for path in (*package.rglob("__init__.py"), *package.glob("*.py")):
        (root / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        (root / path.relative_to(ROOT)).touch()
    (root / "course_utils/own/train.py").touch()
    (root / "tools").mkdir()
    return root


@pytest.mark.parametrize("name", check.CHECKS)
def test_a_fault_is_noticed(scratch, name):
    where, text, told = FAULTS[name]
    good, said = check.run(name, scratch)
    assert good, said
    (scratch / where).write_text(text, encoding="utf-8")
    try:
        good, said = check.run(name, scratch)
    finally:
        (scratch / where).unlink()
    assert not good and told in said


def test_all_checks_run_before_it_fails(monkeypatch, capsys):
    said = {"lint": (False, "one\n" * 100), "types": (True, ""), "spelling": (False, "a typo")}
    monkeypatch.setattr(check, "run", said.get)
    assert check.main(list(said)) == 1
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in printed if line.split()[0] in said] == [
        "FAILED",
        "ok",
        "FAILED",
    ]
    assert printed[-1] == "failed: lint, spelling" and len(printed) < 40
    assert check.main(["types"]) == 0


def test_pre_commit_has_the_same_checks_and_fetches_nothing(tmp_path):
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repo,) = hooks["repos"]
    assert repo["repo"] == "local"
    assert {hook["entry"] for hook in repo["hooks"]} == {
        f".venv/bin/python -m tools.check {name}" for name in check.CHECKS
    }
    assert all(hook["language"] == "system" for hook in repo["hooks"])
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-config", ".pre-commit-config.yaml"],
        cwd=ROOT,
        env=os.environ | {"PRE_COMMIT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr

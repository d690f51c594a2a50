"""The floors of the package, which pyproject.toml describes: a step upwards would be noticed. That
there is none is one of the checks (test_check.py)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def lint(folder):
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--config", "pyproject.toml"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("module", "line", "told"),
    [
        ("methods/active.py", "from course_utils.studies import drift", "methods -> course_utils"),
        (
            "objectives/language.py",
            "def f():\n    from course_utils.models import heads",  # within a function
            "course_utils.objectives -> course_utils.models",
        ),
        (
            "training/optimizers.py",
            "import course_utils.evaluation.metrics",
            "course_utils.training -> course_utils.evaluation",
        ),
        ("training/state.py", "import course_utils.training.fit", "course_utils.training"),
        ("attic/__init__.py", "", "attic"),
    ],
)
def test_an_import_upwards_or_in_a_circle_and_a_new_room_are_noticed(tmp_path, module, line, told):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for path in (ROOT / "course_utils").rglob("*.py"):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    changed = tmp_path / "course_utils" / module
    changed.parent.mkdir(exist_ok=True)
    with changed.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1
    assert told in done.stdout.replace("is not allowed to import", "->"), done.stdout

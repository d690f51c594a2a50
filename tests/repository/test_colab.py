"""The case of Colab: a notebook alone in an empty folder, in an environment without the course.

Colab has torch and the common packages already. So the fresh environment sees the packages of this
one, except for the course itself, and nothing is fetched from a network.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest

from lessons import build
from lessons.heads import ROOT, SETUP, setup_cell, sources


def packages_without_the_course(folder: Path) -> None:
    """Fill a folder with links to what is installed here, leaving the course out."""
    folder.mkdir()
    for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(place).iterdir():
            if "course_utils" not in entry.name and entry.suffix != ".pth":
                (folder / entry.name).symlink_to(entry)


def clone(folder: Path) -> None:
    """A copy of what git keeps here, changes that aren't committed included."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("this isn't a git repository")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """An environment like Colab's, a clone, and an empty folder."""
    base = tmp_path_factory.mktemp("colab")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", base / "env"], check=True)
    python = base / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    packages_without_the_course(base / "packages")
    here = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (Path(here) / "preinstalled.pth").write_text(f"{base / 'packages'}\n")
    clone(base / "clone")
    (base / "empty").mkdir()
    kernel = base / "jupyter" / "kernels" / "colab"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(
        json.dumps(
            {
                "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                "display_name": "Colab",
                "language": "python",
            }
        )
    )
    patch = pytest.MonkeyPatch()
    patch.setenv("JUPYTER_PATH", str(base / "jupyter"))
    patch.delenv("PYTHONPATH", raising=False)
    patch.delenv("COURSE_REPOSITORY", raising=False)
    patch.setenv("COURSE_REFERENCE", "0")
    patch.setenv("COURSE_PROGRESS", str(base / "progress.json"))
    patch.setenv("PIP_NO_INDEX", "1")  # nothing comes from a network: hatchling is installed here
    patch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # pip reads this as --no-build-isolation
    patch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    yield base, python, Path(here)
    patch.undo()


def ask(python: Path, folder: Path, code: str) -> str:
    done = subprocess.run([python, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_an_address_the_set_up_says_how_to_install(colab):
    base, python, _ = colab
    code = SETUP.replace("@REPOSITORY@", "")
    done = subprocess.run([python, "-c", code], cwd=base / "empty", capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("ModuleNotFoundError: course_utils is")
    assert "-m pip install" in done.stderr


@pytest.mark.slow
def test_first_lesson_alone_in_an_empty_folder(colab):
    base, python, site_packages = colab
    find = "import importlib.util as u; print(u.find_spec('course_utils'), u.find_spec('torch'))"
    course, torch = ask(python, base / "empty", find).split(" ", 1)
    assert course == "None" and torch != "None"
    before = {path.name for path in site_packages.iterdir()}

    name = f"{sources()[0].stem}.ipynb"
    nb = nbformat.read(base / "clone" / "notebooks" / name, as_version=4)
    assert nb.cells[1].source == setup_cell()
    nb.cells.insert(2, nbformat.v4.new_code_cell(nb.cells[1].source))  # the set-up may run twice
    build.execute(
        nb, base / "empty", {"COURSE_REPOSITORY": str(base / "clone")}, kernel_name="colab"
    )

    new = {path.name for path in site_packages.iterdir()} - before
    assert {name.split("-")[0] for name in new} == {"course_utils"}, "more than the course came"
    where = ask(python, base / "empty", "import course_utils; print(course_utils.__file__)")
    assert Path(where).is_relative_to(site_packages)
    assert (Path(where).parent / "data" / "spreads.json").exists()

"""The case of Colab: a notebook alone in an empty folder, in an environment without the course.

Colab has torch and the common packages already. So the fresh environment sees the packages of this
one, except for the course itself, and nothing is fetched from a network.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from lessons import build
from lessons.heads import COLAB, ROOT, SETUP, setup_cell, sources


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
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", folder]
    for step in (["init", "-q"], ["add", "."], ["commit", "-qm", "All that is here"]):
        subprocess.run([*git, *step], check=True)


@pytest.fixture(scope="module")
def colab(tmp_path_factory, request):
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
    request.addfinalizer(patch.undo)
    patch.setenv("JUPYTER_PATH", str(base / "jupyter"))
    patch.delenv("PYTHONPATH", raising=False)
    patch.delenv("COLAB_RELEASE_TAG", raising=False)
    patch.setenv("COURSE_REFERENCE", "0")
    patch.setenv("COURSE_PROGRESS", str(base / "progress.json"))
    patch.setenv("PIP_NO_INDEX", "1")  # nothing comes from a network: hatchling is installed here
    patch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # pip reads this as --no-build-isolation
    patch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return base, python, Path(here)


def ask(python: Path, folder: Path, code: str) -> str:
    done = subprocess.run([python, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def first_lesson() -> nbformat.NotebookNode:
    return build.compose(sources()[0])["notebooks"]


def fill(nb: nbformat.NotebookNode, address: str) -> nbformat.NotebookNode:
    """The notebook as `make repository URL=address` makes it."""
    assert nb.cells[1].source == setup_cell()
    nb.cells[1].source = COLAB.replace("@REPOSITORY@", address) + SETUP
    return nb


def failure(nb: nbformat.NotebookNode, folder: Path, env: dict | None = None) -> str:
    """What a reader sees of the set-up cell, which has to fail, without colours."""
    with pytest.raises(CellExecutionError):
        build.execute(nb, folder, env or {}, kernel_name="colab")
    told = "\n".join(
        output.get("text", "") + "\n".join([output.get("evalue", ""), *output.get("traceback", [])])
        for output in nb.cells[1].outputs
    )
    assert all(cell.execution_count is None for cell in nb.cells[2:] if "execution_count" in cell)
    return re.sub(r"\x1b\[[\d;]*m", "", told)


@pytest.mark.parametrize("address", ["", "https://github.com/owner/name"])
@pytest.mark.parametrize("rest", [False, True], ids=["nothing installed", "data are left"])
def test_without_the_course_the_set_up_says_what_to_do(colab, address, rest):
    """On a learner's machine nothing is installed unasked, whether an address is known or not."""
    base, _, site_packages = colab
    nb = first_lesson()
    if address:
        nb = fill(nb, address)
    if rest:  # a package without __init__: its import fails with "unknown location"
        (site_packages / "course_utils" / "data").mkdir(parents=True)
    try:
        told = failure(nb, base / "empty")
    finally:
        if rest:
            shutil.rmtree(site_packages / "course_utils")
    assert "make lab" in told and "unknown location" not in told and "Traceback" not in told
    assert not any("course" in path.name for path in site_packages.iterdir())


def test_a_course_of_another_clone_is_not_used(colab, monkeypatch):
    """As after `cp -r one two`: the environment of two has the address of one."""
    base, _, site_packages = colab
    nb = first_lesson()
    there = site_packages / "other_clone.pth"
    there.write_text(f"{ROOT}\n")
    try:
        told = failure(nb, base / "clone" / "notebooks")
        assert str(ROOT) in told and f"make lab` in {base / 'clone'}" in told
    finally:
        there.unlink()


@pytest.mark.slow
def test_first_lesson_alone_in_an_empty_folder(colab):
    base, python, site_packages = colab
    find = "import importlib.util as u; print(u.find_spec('course_utils'), u.find_spec('torch'))"
    course, torch = ask(python, base / "empty", find).split(" ", 1)
    assert course == "None" and torch != "None"
    before = {path.name for path in site_packages.iterdir()}

    nb = first_lesson()
    nb = fill(nb, f"file://localhost{base / 'clone'}")
    nb.cells.insert(2, nbformat.v4.new_code_cell(nb.cells[1].source))  # the set-up may run twice
    newer_torch(base / "wheels")  # which pip finds, and must not take
    env = {"COLAB_RELEASE_TAG": "a release", "PIP_FIND_LINKS": str(base / "wheels")}
    build.execute(nb, base / "empty", env, kernel_name="colab")

    new = {path.name for path in site_packages.iterdir()} - before
    assert {name.split("-")[0] for name in new} == {"course_utils"}, "more than the course came"
    assert not any("pip" in output.get("text", "") for output in nb.cells[2].outputs)
    where = ask(python, base / "empty", "import course_utils; print(course_utils.__file__)")
    assert Path(where).is_relative_to(site_packages)
    assert (Path(where).parent / "data" / "spreads.json").exists()


def newer_torch(folder: Path) -> None:
    """A package index of two wheels with nothing in them but a number: torch and torchvision."""
    folder.mkdir()
    for name in ("torch", "torchvision"):
        info = f"{name}-99.0.dist-info"
        with zipfile.ZipFile(folder / f"{name}-99.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 99.0\n"
            )
            wheel.writestr(
                f"{info}/WHEEL",
                "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            wheel.writestr(f"{info}/RECORD", "")

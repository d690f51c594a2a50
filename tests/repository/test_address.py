"""The address of a clone or a fork: found at git's origin, written into all that shows it."""

import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

from lessons import build
from lessons.heads import ROOT, setup_cell, sources
from tools import origin, repository, start

REMOTE, ADDRESS = "https://github.com/OWNER/NAME.git", "https://github.com/OWNER/NAME"
BUTTON = re.compile(r"\[Open in Colab\]\([^)]*\) · ")
MARKED = re.compile(r"<!-- (repository|lessons) -->.*?<!-- /\1 -->", re.DOTALL)


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True)
    return done.stdout


def of_owner(folder: Path, remote: str = REMOTE) -> Path:
    """Make a folder a repository with this remote."""
    git(folder, "init", "--quiet")
    git(folder, "remote", "add", "origin", remote)
    return folder


@pytest.mark.parametrize(
    "remote",
    [
        REMOTE,
        ADDRESS,
        "https://github.com/OWNER/NAME/",
        REMOTE.replace("//", "//name:token@"),
        "git@github.com:OWNER/NAME.git",
        "git@github.com:OWNER/NAME",
        "ssh://git@github.com/OWNER/NAME.git",
        "ssh://git@ssh.github.com:443/OWNER/NAME.git",
        "git://github.com/OWNER/NAME.git",
    ],
)
def test_every_form_of_a_remote_on_github_gives_one_address(remote):
    assert origin.github_address(remote) == ADDRESS


@pytest.mark.parametrize(
    "remote",
    [
        "",
        "https://gitlab.com/OWNER/NAME.git",
        "https://notgithub.com/OWNER/NAME.git",
        "https://github.com.example.org/OWNER/NAME.git",
        "https://github.com/OWNER",
        "https://github.com/OWNER/NAME/tree/main",
        "/srv/git/github.com/OWNER/NAME.git",
        "../NAME",
    ],
)
def test_other_remotes_give_none(remote):
    assert origin.github_address(remote) == ""


def test_a_name_with_dots_keeps_them():
    assert origin.github_address("git@github.com:o/my.course.git").endswith("/o/my.course")


@pytest.fixture
def folder(tmp_path):
    """A clone without lessons, whose address isn't set."""
    (tmp_path / "lessons").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\n\n[tool.course]\nrepository = ""\n')
    return of_owner(tmp_path)


def test_the_address_is_offered_until_it_is_set(folder, capsys):
    origin.offer(folder)
    assert capsys.readouterr().out.count("\n") == 1
    repository.set_address("https://github.com/somebody/else", folder)
    origin.offer(folder)
    assert ADDRESS in capsys.readouterr().out
    repository.set_address("https://github.com/owner/name", folder)  # case doesn't matter there
    before = git(folder, "status", "--short")
    origin.offer(folder)
    assert capsys.readouterr().out == ""
    assert git(folder, "status", "--short") == before


def test_the_address_is_not_offered_elsewhere(folder, capsys, tmp_path_factory):
    inside = folder / "inside"
    shutil.copytree(folder, inside, ignore=shutil.ignore_patterns(".git", "inside"))
    origin.offer(inside)  # a copy inside another repository
    (folder / "lessons").rmdir()
    origin.offer(folder)  # a release has no sources
    other = tmp_path_factory.mktemp("other")
    (other / "lessons").mkdir()
    origin.offer(of_owner(other, "https://gitlab.com/OWNER/NAME.git"))
    assert capsys.readouterr().out == ""


def test_lab_offers_it_and_changes_nothing(folder, capsys, monkeypatch):
    monkeypatch.setattr(start, "ROOT", folder)
    monkeypatch.setattr("sys.argv", ["start", "--copies-only"])
    monkeypatch.chdir(folder)
    start.main()
    assert f"Is {ADDRESS} yours?" in capsys.readouterr().out
    assert 'repository = ""' in (folder / "pyproject.toml").read_text()


@pytest.mark.parametrize("arguments", [[], [ADDRESS + ".git"]])
def test_the_address_is_that_of_origin_if_none_is_given(folder, monkeypatch, arguments):
    given = []
    monkeypatch.setattr(repository, "ROOT", folder)
    monkeypatch.setattr(repository, "renew", given.append)
    monkeypatch.setattr("sys.argv", ["repository", *arguments])
    repository.main()
    assert given == (arguments or [ADDRESS])
    git(folder, "remote", "remove", "origin")
    if not arguments:
        with pytest.raises(SystemExit, match="which address"):
            repository.main()


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """All lessons as they are here, in a clone of OWNER's, before and after `make repository`."""
    after = tmp_path_factory.mktemp("clone")
    for name in ("lessons", "notebooks", "solutions"):
        shutil.copytree(ROOT / name, after / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        "README.md",
        "docs/GLOSSARY.md",
        "pyproject.toml",
        "data/timings.json",
        "bench/gpu.json",
    ):
        if (ROOT / name).exists():
            (after / name).parent.mkdir(exist_ok=True)
            shutil.copy2(ROOT / name, after / name)
    (after / "my").mkdir()
    (after / "my" / "00_start_here.ipynb").write_text("a learner's work")
    before = tmp_path_factory.mktemp("before") / "clone"
    shutil.copytree(after, before)
    repository.renew(origin.origin(of_owner(after)), after)
    return before, after


def contents(folder: Path) -> dict[str, bytes]:
    """What every file of a clone holds, git's own aside."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }


def test_the_address_reaches_every_notebook_and_readme_and_no_other_file(clone):
    before, after = map(contents, clone)
    changed = {name for name in after if after[name] != before.get(name)}
    built = {f"{folder}/{s.stem}.ipynb" for folder in build.FOLDERS for s in sources()}
    assert before.keys() == after.keys()
    assert changed == {"README.md", "pyproject.toml"} | built
    readme = after["README.md"].decode()
    for source in sources():
        place = f"github/OWNER/NAME/blob/main/notebooks/{source.stem}.ipynb"
        assert f"[open](https://colab.research.google.com/{place})" in readme
    assert f"git clone {ADDRESS}\n" in readme
    assert MARKED.sub("", readme) == MARKED.sub("", before["README.md"].decode())


@pytest.mark.parametrize("name", build.FOLDERS)
@pytest.mark.parametrize("source", sources(), ids=lambda source: source.stem)
def test_a_notebook_gets_its_button_and_address_and_keeps_the_rest(clone, name, source):
    before, after = (nbformat.read(f / name / f"{source.stem}.ipynb", 4) for f in clone)
    head, setup, *rest = after.cells
    was_head, was_setup, *was_rest = before.cells
    assert rest == was_rest
    assert after.metadata == before.metadata
    colab = "https://colab.research.google.com/github/OWNER/NAME/blob/main/notebooks"
    assert f"[Open in Colab]({colab}/{source.stem}.ipynb) · " in head.source
    assert BUTTON.sub("", head.source) == BUTTON.sub("", was_head.source)
    assert "OWNER/NAME" in setup.source
    assert setup.source == setup_cell(clone[1])
    for key in set(setup) - {"source", "id"}:
        assert setup[key] == was_setup[key]


def test_a_second_run_changes_nothing(clone):
    after = clone[1]
    once = contents(after)
    repository.renew(origin.origin(after), after)
    assert contents(after) == once

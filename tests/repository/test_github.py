"""The workflows, issue forms and the container: what can be checked without a network."""

import ast
import json
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from lessons.heads import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(p for p in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if p.name != "config.yml")
each = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def commands(job: dict) -> list[str]:
    return [line.strip() for step in job["steps"] for line in step.get("run", "").splitlines()]


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@each
def test_actions_are_pinned_and_jobs_are_bounded(path):
    text, workflow = path.read_text(encoding="utf-8"), read(path)
    for action in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
    assert workflow["permissions"] == {}, "nothing is allowed but what a job names"
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        assert "permissions" in job
        checkout = next(s for s in job["steps"] if "checkout" in s.get("uses", ""))
        assert checkout["with"] == {"persist-credentials": False}
        for line in commands(job):
            assert "${{" not in line, "values reach commands through env, never as their text"


def test_linux_runs_make_test_on_every_python_from_the_lowest_on():
    job = read(GITHUB / "workflows" / "tests.yml")["jobs"]["linux"]
    pythons = job["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13", "3.14"]
    assert project()["project"]["requires-python"] == f">={pythons[0]}"
    assert "make test" in commands(job)


def test_windows_is_set_up_with_the_lines_that_readme_gives():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    given = readme.partition("### Windows\n")[2].partition("\n### ")[0]
    blocks = re.findall(r"```\n(.*?)```", given, flags=re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    job = commands(read(GITHUB / "workflows" / "tests.yml")["jobs"]["windows"])
    assert len(lines) > 5
    for line in lines:
        assert any(own.startswith(line) for own in job), f"README says {line!r}"


def test_only_the_address_workflow_may_write_and_only_on_the_default_branch():
    jobs = {path.stem: read(path)["jobs"] for path in WORKFLOWS}
    writing = [
        n for n in jobs if any("write" in j["permissions"].values() for j in jobs[n].values())
    ]
    assert writing == ["address"]
    job = jobs["address"]["address"]
    assert job["if"] == "github.ref_name == github.event.repository.default_branch"
    checked, *later = [step for step in job["steps"] if "checkout" not in step.get("uses", "")]
    assert checked["id"] == "address"
    assert {step["if"] for step in later} == {"steps.address.outputs.new"}


@pytest.mark.parametrize(
    ("known", "new"), [("", True), ("OWNER/NAME", False), ("OWNER/NAME2", True)]
)
def test_the_address_workflow_does_nothing_where_the_address_is_right(tmp_path, known, new):
    address = f"https://github.com/{known}" if known else ""
    (tmp_path / "pyproject.toml").write_text(f'[tool.course]\nrepository = "{address}"\n')
    step = read(GITHUB / "workflows" / "address.yml")["jobs"]["address"]["steps"][1]
    (tmp_path / "output").write_text("")
    env = {"ADDRESS": "https://github.com/OWNER/NAME", "GITHUB_OUTPUT": str(tmp_path / "output")}
    subprocess.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=env, check=True)
    assert ("new=true" in (tmp_path / "output").read_text()) == new


def imported_by_the_address_tool() -> set[str]:
    """Packages from elsewhere that setting the address imports, from the sources it is made of."""
    files = ["tools/repository.py", "tools/readme.py", "tools/origin.py"]
    files += ["lessons/build.py", "lessons/heads.py"]
    names = set()
    for file in files:
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"tools", "lessons"}


def test_the_address_workflow_installs_what_it_imports_and_no_more():
    job = read(GITHUB / "workflows" / "address.yml")["jobs"]["address"]
    text = " ".join(commands(job))
    installed = re.search(r"-c constraints\.txt \\ ([a-z ]+?) python", text)[1].split()
    names = {"yaml": "pyyaml"}
    assert set(installed) == {names.get(name, name) for name in imported_by_the_address_tool()}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_for_what_is_needed(path):
    form = read(path)
    asked = {part["id"] for part in form["body"] if part.get("validations", {}).get("required")}
    assert form["name"]
    assert form["description"].endswith(".")
    assert len(asked) >= 2
    assert asked & {"lesson", "versions"}


def test_there_are_three_forms():
    assert [p.stem for p in FORMS] == ["hard_to_understand", "setup", "wrong_output"]


def test_the_container_installs_tests_and_forwards_jupyterlab():
    text = (ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8")
    container = json.loads(text)
    assert container["onCreateCommand"].startswith("make lab")
    assert container["postCreateCommand"].startswith("make test")
    assert container["forwardPorts"] == [8888]


def test_citation_has_the_version_and_title_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    title = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    assert citation["version"] == project()["project"]["version"]
    assert citation["title"] == title
    assert citation["authors"] == project()["project"]["authors"]


def test_the_changelog_has_the_version_and_what_is_unreleased():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[?([^\]\s,]+)", text, flags=re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert project()["project"]["version"] in versions
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, flags=re.MULTILINE)) <= kinds


def test_editors_use_the_widths_of_the_formatter():
    text = (ROOT / ".editorconfig").read_text(encoding="utf-8")
    widths = dict(
        re.findall(r"^\[([^\n]+)\]\n(?:[^\[]*?\n)?max_line_length = (\d+)$", text, flags=re.M)
    )
    lessons = tomllib.loads((ROOT / "lessons" / "ruff.toml").read_text(encoding="utf-8"))
    assert int(widths["*.py"]) == project()["tool"]["ruff"]["line-length"]
    assert int(widths["lessons/*.py"]) == lessons["line-length"]

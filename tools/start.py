"""Open the course in JupyterLab, on the learner's own copy of the notebooks in my/.

    python -m tools.start [--copies-only] [options of jupyter lab]

In a copy, predictions and their results stand without outputs, so that nobody reads what they are
to guess. A file in my/ is never overwritten. Where a lesson has changed since it was copied, its
new version is put beside the learner's as NN_topic.new.ipynb (then .new2, ...).
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import webbrowser
from pathlib import Path

from tools import environment
from tools.origin import offer

ROOT = Path(__file__).resolve().parent.parent
# Defaults of JupyterLab's settings for the course: it asks no question about news.
SETTINGS = ROOT / "tools" / "jupyter"
EXERCISE = re.compile(r"\*\*Exercise (\d\d\.\d+) · ([^*]+)\*\*")
# No look-up of a server (an answer "no" to that question wouldn't stop all).
QUIET = (
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)


def versions_handed_out(ledger: Path, mine: Path) -> dict[str, list[str]]:
    """For each lesson the versions that were copied. Where the file is damaged, they are those of
    the copies that nobody has changed."""
    try:
        known = json.loads(ledger.read_text(encoding="utf-8"))
        if not isinstance(known, dict) or not all(isinstance(v, list) for v in known.values()):
            raise ValueError(f"expected an object of lists, got {known!r:.60}")
        return known
    except FileNotFoundError:
        return {}
    except ValueError as error:
        print(f"{ledger.name} was damaged and is made anew ({error})")
    found = {}
    for copy in sorted(mine.glob("*.ipynb")):
        found.setdefault(copy.name.partition(".")[0], []).append(digest(copy))
    return found


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def handed_out_as(lesson: Path) -> bytes:
    """A lesson as a learner gets it: without the outputs of predictions, up to their check, and of
    cells with the tag `result`."""
    nb = json.loads(lesson.read_text(encoding="utf-8"))
    prediction = ""  # the exercise whose cells come now
    for cell in nb["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code":
            exercises = EXERCISE.findall(source)
            if exercises:
                number, sort = exercises[-1]
                prediction = number if sort.startswith("predict") else ""
            continue
        if prediction or "result" in cell["metadata"].get("tags", []):
            cell["outputs"], cell["execution_count"] = [], None
        if prediction and f'check("{prediction}"' in source:
            prediction = ""
    return (json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def copy_lessons(root: Path = ROOT) -> list[str]:
    """Copy to my/ what isn't there in this version yet. Returns the names of the new files."""
    mine = root / "my"
    mine.mkdir(exist_ok=True)
    ledger = mine / ".versions.json"
    handed_out = versions_handed_out(ledger, mine)
    written = []
    for lesson in sorted((root / "notebooks").glob("*.ipynb")):
        copy = handed_out_as(lesson)
        version = hashlib.sha256(copy).hexdigest()
        versions = handed_out.setdefault(lesson.stem, [])
        first_choice = mine / lesson.name
        if version in versions and first_choice.exists():
            continue
        target = first_choice
        number = 1
        while target.exists():
            target = mine / f"{lesson.stem}.new{number if number > 1 else ''}.ipynb"
            number += 1
        target.write_bytes(copy)
        versions.append(version)
        written.append(target.name)
    whole = ledger.with_suffix(".part")  # a full disk leaves the old one
    whole.write_text(json.dumps(handed_out, indent=1) + "\n", encoding="utf-8")
    os.replace(whole, ledger)
    return written


def has_screen() -> bool:
    """Whether a browser can be opened here."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def jupyter_options(first: Path) -> list[str]:
    """What JupyterLab needs to be told: the lesson in front, and this machine's peculiarities."""
    options = [*QUIET, f"--LabApp.default_url=/lab/tree/{first.as_posix()}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    if not has_screen():
        options.append("--no-browser")
    return options


def main() -> None:
    os.chdir(ROOT)
    options = sys.argv[1:]
    environment.repair(Path(sys.prefix), environment.PACKAGES)
    written = copy_lessons()
    for name in written:
        print(f"my/{name}" + (" (a newer version, beside your own)" if ".new" in name else ""))
    offer(ROOT)
    if "--copies-only" in options:
        return
    if todo := environment.to_do(environment.PACKAGES):
        sys.exit(todo)
    lessons = sorted(Path("my").glob("[0-9][0-9]_*.ipynb"))
    if not lessons:
        sys.exit("there are no lessons in notebooks/ yet: make notebooks")
    if not has_screen():
        print("No screen here: open the address that JupyterLab prints below in a browser.")
    paths = [str(SETTINGS), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, paths))
    command = [sys.executable, "-m", "jupyterlab", *jupyter_options(lessons[0]), *options]
    if os.name == "posix":
        os.execv(command[0], command)  # JupyterLab takes over, so that Ctrl-C reaches it alone
    sys.exit(subprocess.call(command))


if __name__ == "__main__":
    main()

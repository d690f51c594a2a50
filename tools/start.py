"""Open the course in JupyterLab, on the learner's own copy of the notebooks in my/.

    python -m tools.start [--copies-only] [options of jupyter lab]

A file in my/ is never overwritten. Where a lesson has changed since it was copied, its new version
is put beside the learner's as NN_topic.new.ipynb (then .new2, ...).
"""

import hashlib
import json
import os
import sys
import webbrowser
from pathlib import Path

from tools.origin import offer

ROOT = Path(__file__).resolve().parent.parent


def copy_lessons(root: Path = ROOT) -> list[str]:
    """Copy to my/ what isn't there in this version yet. Returns the names of the new files."""
    mine = root / "my"
    mine.mkdir(exist_ok=True)
    ledger = mine / ".versions.json"  # for each lesson, the versions that were handed out
    handed_out = json.loads(ledger.read_text(encoding="utf-8")) if ledger.exists() else {}
    written = []
    for lesson in sorted((root / "notebooks").glob("*.ipynb")):
        content = lesson.read_bytes()
        version = hashlib.sha256(content).hexdigest()
        versions = handed_out.setdefault(lesson.stem, [])
        first_choice = mine / lesson.name
        if version in versions and first_choice.exists():
            continue
        target = first_choice
        number = 1
        while target.exists():
            target = mine / f"{lesson.stem}.new{number if number > 1 else ''}.ipynb"
            number += 1
        target.write_bytes(content)
        versions.append(version)
        written.append(target.name)
    ledger.write_text(json.dumps(handed_out, indent=1) + "\n", encoding="utf-8")
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


def jupyter_options() -> list[str]:
    """What JupyterLab needs to be told on this machine: as root, and without a screen."""
    options = []
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    if not has_screen():
        options.append("--no-browser")
    return options


def main() -> None:
    os.chdir(ROOT)
    options = sys.argv[1:]
    written = copy_lessons()
    for name in written:
        print(f"my/{name}" + (" (a newer version, beside your own)" if ".new" in name else ""))
    offer(ROOT)
    if "--copies-only" in options:
        return
    lessons = sorted(Path("my").glob("[0-9][0-9]_*.ipynb"))
    if not lessons:
        sys.exit("there are no lessons in notebooks/ yet: make notebooks")
    if not has_screen():
        print("No screen here: open the address that JupyterLab prints below in a browser.")
    command = [sys.executable, "-m", "jupyterlab", *jupyter_options(), *options, str(lessons[0])]
    if os.name == "posix":
        os.execv(command[0], command)  # JupyterLab takes over, so that Ctrl-C reaches it alone
    import subprocess

    sys.exit(subprocess.call(command))


if __name__ == "__main__":
    main()

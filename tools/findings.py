"""Run the scripts in findings/: does a real library still surprise as it did?

    python -m tools.findings [NAME ...]

Each script runs in a temporary folder of its own, without the course, and ends with 0 (as its head
says), 3 (the behaviour changed) or another status (it could not run: no network, no such version).
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "findings"
CHANGED = 3
MOST_SECONDS = 1800


def run(script: Path) -> tuple[int | None, str]:
    """Run a script: its status (None: cut off) and what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        try:
            done = subprocess.run(
                ["sh", script.resolve()],
                cwd=folder,
                env=env | {"TMPDIR": folder, "PYTHON": sys.executable},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=MOST_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return None, f"more than {MOST_SECONDS} s"
    return done.returncode, done.stdout


def main(folder: Path = FOLDER) -> None:
    scripts = {path.stem: path for path in sorted(folder.glob("*.sh"))}
    unknown = sorted(set(sys.argv[1:]) - set(scripts))
    if unknown:
        sys.exit(f"no {', '.join(unknown)} in findings/; there are {', '.join(scripts)}")
    different = False
    for name in sys.argv[1:] or scripts:
        status, printed = run(scripts[name])
        word = {0: "ok", CHANGED: "behaviour changed"}.get(status, "could not run")
        print(f"{name}: {word}", flush=True)
        if status != 0:
            different = True
            print("    " + "\n    ".join(printed.splitlines()[-5:]), file=sys.stderr)
    sys.exit(different)


if __name__ == "__main__":
    main()

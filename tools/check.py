"""What holds the code in shape: `make check`. All checks run, then it ends with 1 if one failed.

python -m tools.check [lint format types imports spelling]
"""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES = 30  # of what a failed check says

# Each tool reads its settings in pyproject.toml and finds its files itself.
CHECKS = {
    "lint": ["-m", "ruff", "check", "--output-format", "concise", "."],
    "format": ["-m", "ruff", "format", "--check", "."],
    "types": ["-m", "basedpyright", "--pythonpath", sys.executable],
    "imports": [
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-logo",
        "--no-cache",
    ],
    "spelling": ["-m", "codespell_lib"],
}
REPAIR = {
    "lint": "python -m ruff check --fix . repairs a part of them",
    "format": "python -m ruff format . does it",
    "imports": "pyproject.toml says which room may import from which",
    "spelling": "python -m codespell_lib --write-changes corrects what it is sure of",
}


def run(name: str, root: Path = ROOT) -> tuple[bool, str]:
    """Whether the tree at `root` passes a check, and what the check says."""
    done = subprocess.run(
        [sys.executable, *CHECKS[name]],
        cwd=root,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        sys.exit(f"no check {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    failed = []
    for name in names or CHECKS:
        start = time.perf_counter()
        good, said = run(name)
        seconds = time.perf_counter() - start
        print(f"{name:9} {'ok' if good else 'FAILED':7} {seconds:5.1f} s", flush=True)
        if not good:
            failed.append(name)
            lines = said.splitlines()
            print(*(f"    {line}" for line in lines[:MOST_LINES]), sep="\n")
            if len(lines) > MOST_LINES:
                print(f"    ... and {len(lines) - MOST_LINES} more lines")
            if name in REPAIR:
                print(f"    ({REPAIR[name]})")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

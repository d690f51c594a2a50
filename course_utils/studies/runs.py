"""Files of measured runs, for what takes too long for a lesson: a row a run, and what made them."""

import json
import os
import platform
from pathlib import Path

import torch


def read_runs(path: Path) -> list[dict]:
    """The runs in a file; none where there is no file.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"expected runs in {path}, got: {error}; delete it to begin anew"
        ) from None


def write_runs(path: Path, runs: list[dict], command: str) -> None:
    """Writes all runs, in the given order, with the command and the versions that made them. A
    process that is killed leaves the old file whole: hours of runs stand in it."""
    made = {
        "command": command,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    text = ",\n".join("  " + json.dumps(row) for row in runs)
    beside = path.with_name(path.name + ".part")
    beside.write_text(
        f'{{\n "made": {json.dumps(made)},\n "runs": [\n{text}\n ]\n}}\n', encoding="utf-8"
    )
    os.replace(beside, path)

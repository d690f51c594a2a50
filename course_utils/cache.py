"""Where the course keeps what it has computed once, and how a file or folder gets there whole.

Something is written under another name and then renamed, which happens as a whole or not at all: a
process that is killed leaves nothing half-done under the final name.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

A_DAY = 86_400  # seconds


def cache_folder() -> Path:
    """$COURSE_CACHE, or .cache/vision-language-course in the home folder; where there is no home,
    in the folder for temporary files."""
    if place := os.environ.get("COURSE_CACHE"):
        return Path(place).expanduser()
    try:
        home = Path.home()
    except RuntimeError:  # a container may have none
        home = Path(tempfile.gettempdir())
    return home / ".cache" / "vision-language-course"


def sweep(folder: Path) -> None:
    """Remove the files and folders *.part that killed processes left here more than a day ago."""
    for old in folder.glob("*.part"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > A_DAY:
                shutil.rmtree(old) if old.is_dir() else old.unlink()


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A file to write beside `target`, which takes its place at the end. Each process has its own.

    It gets the mode that files of this user have, which others may read: safetensors (0.8) writes
    files that only their owner may.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{uuid4().hex}.part")
    try:
        part.touch()
        mode = part.stat().st_mode
        yield part
        part.chmod(mode)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder to write to, which becomes `target` at the end.

    Where another process was first, its folder stays and this one is removed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent)
    part = target.with_name(f"{target.name}-{uuid4().hex}.part")
    part.mkdir()  # with the user's own mask: other users of a shared cache may read it
    try:
        yield part
        try:
            part.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)

"""The address of this repository on GitHub, as git's remote `origin` tells it."""

import re
import subprocess
import tomllib
from pathlib import Path

WHERE = r"(?:www\.|ssh\.)?github\.com"
WHOSE = r"(?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)(?:\.git)?/?"
REMOTES = (
    re.compile(rf"(?:https?|ssh|git)://(?:[^@/\s]+@)?{WHERE}(?::\d+)?/{WHOSE}", re.IGNORECASE),
    re.compile(rf"(?:[^@/\s]+@)?{WHERE}:/?{WHOSE}", re.IGNORECASE),  # git@github.com:OWNER/NAME.git
)


def github_address(remote: str) -> str:
    """https://github.com/OWNER/NAME for a git remote in any of its forms; "" for other remotes."""
    for form in REMOTES:
        found = form.fullmatch(remote.strip())
        if found:
            return f"https://github.com/{found['owner']}/{found['name']}"
    return ""


def origin(root: Path) -> str:
    """The GitHub address of the clone in this folder; "" where it is none, or not from GitHub."""
    if not (root / ".git").exists():  # a folder inside another repository isn't that repository
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "remote", "get-url", "origin"], capture_output=True, text=True
        )
    except OSError:  # no git here
        return ""
    return github_address(done.stdout) if done.returncode == 0 else ""


def offer(root: Path) -> None:
    """Say how to set the address, in one line, where origin is on GitHub and the course's address
    is another one or none. Nothing is changed."""
    address = origin(root)
    if not address or not (root / "lessons").is_dir():  # what is handed out has no sources
        return
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    known = settings["tool"]["course"]["repository"].removesuffix(".git").rstrip("/")
    if known.lower() != address.lower():
        print(f"Is {address} yours? `make repository` sets it as the address of the Colab buttons.")

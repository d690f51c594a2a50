"""Set the address of this repository, in pyproject.toml and in all that is made from it.

python -m tools.repository https://github.com/OWNER/NAME
"""

import re
import sys
from pathlib import Path

from lessons.build import build
from lessons.heads import ROOT, sources
from tools import readme


def set_address(url: str, root: Path = ROOT) -> None:
    """Write the address into pyproject.toml. Raises ValueError if it isn't one; "" unsets it."""
    if url and not re.fullmatch(r"https://[\w.-]+(/[\w.-]+){2,}", url):
        raise ValueError(f"expected an address such as https://HOST/OWNER/NAME, got {url!r}")
    path = root / "pyproject.toml"
    text, count = re.subn(
        r'(?<=\n\[tool\.course\]\nrepository = )".*"', f'"{url}"', path.read_text(encoding="utf-8")
    )
    if count != 1:
        raise ValueError('pyproject.toml needs [tool.course] with repository = "" below it')
    path.write_text(text, encoding="utf-8")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        set_address(sys.argv[1])
    except ValueError as error:
        sys.exit(str(error))
    for source in sources():
        build(source, heads=True)
    readme.main()


if __name__ == "__main__":
    main()

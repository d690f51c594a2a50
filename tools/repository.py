"""Set the address of this repository, in pyproject.toml and in all that is made from it.

    python -m tools.repository [https://github.com/OWNER/NAME]

Without an address it takes that of git's remote `origin`, if this is on GitHub. Outputs, learners'
copies in my/ and git's history stay as they are.
"""

import re
import sys
from pathlib import Path

from lessons.build import build
from lessons.heads import ROOT, sources
from tools import readme
from tools.origin import origin


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


def renew(url: str, root: Path = ROOT) -> None:
    """Set the address and renew what shows it: both notebooks of each lesson, README."""
    set_address(url, root)
    for source in sources(root):
        build(source, root, heads=True)
    readme.main(root)


def main() -> None:
    if len(sys.argv) > 2:
        sys.exit(__doc__)
    address = sys.argv[1] if len(sys.argv) == 2 else origin(ROOT)
    if not address and len(sys.argv) == 1:
        sys.exit(
            "which address? git's origin isn't on GitHub: "
            "make repository URL=https://HOST/OWNER/NAME"
        )
    try:
        renew(address)
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

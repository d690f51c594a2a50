"""Write the generated parts of README.md (address, lessons, GPU times) and of docs/GLOSSARY.md.

    python -m tools.readme

They stand between markers such as `<!-- lessons -->` and `<!-- /lessons -->`; the rest of a
file is written by people and stays as it is.
"""

import re
from pathlib import Path

import yaml

from lessons.heads import ROOT, gpu, repository, table
from tools.origin import offer


def address(root: Path = ROOT) -> str:
    """How to get the course, or that its address isn't set yet."""
    home = repository(root)
    if not home:
        return (
            "The address of this repository is not set yet, so the lessons have no Colab "
            "buttons. On GitHub the first push sets it everywhere; so does `make repository`."
        )
    return f"```\ngit clone {home}\ncd {home.rsplit('/', 1)[1]}\n```"


def glossary(root: Path = ROOT) -> str:
    """The terms of the course in alphabetical order, from lessons/glossary.yaml."""
    terms = yaml.safe_load((root / "lessons" / "glossary.yaml").read_text(encoding="utf-8"))
    return "\n".join(
        f"- **{term}**: {' '.join(terms[term].split())}" for term in sorted(terms, key=str.casefold)
    )


PARTS = {  # file -> its generated parts
    "README.md": {"repository": address, "lessons": table, "gpu": gpu},
    "docs/GLOSSARY.md": {"glossary": glossary},
}


def filled(name: str, root: Path = ROOT) -> str:
    """A file's text with its generated parts renewed. Raises ValueError if a marker is missing."""
    file, text = name, (root / name).read_text(encoding="utf-8")
    for name, part in PARTS[file].items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        content = part(root)
        text, count = re.subn(
            pattern, lambda m, content=content: f"{m[1]}{content}\n{m[2]}", text, flags=re.DOTALL
        )
        if count != 1:
            raise ValueError(f"{file} needs <!-- {name} --> and <!-- /{name} --> once each")
    return text


def main(root: Path = ROOT) -> None:
    for name in PARTS:
        (root / name).write_text(filled(name, root), encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
    offer(ROOT)

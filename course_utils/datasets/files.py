"""Where the files of the course's data/ folder are."""

from pathlib import Path

# what makes a file, by its folder or, where it stands in none, by its name
MADE_BY = {
    "checkpoints": "python -m course_utils.studies.recipes {name}",
    "studies": "python -m course_utils.studies {name}",
    "spreads.json": "make spreads N=NN",
    "timings.json": "make timings",
}


def data_path(name: str) -> Path:
    """A file of the course's data/ folder, in the repository or in the installed package.

    Raises:
        FileNotFoundError: it is in neither; the message says where it was looked for and, where
            that is known, which command makes it.
    """
    package = Path(__file__).parents[1]
    places = [package / "data" / name, package.parent / "data" / name]
    for path in places:
        if path.exists():
            return path
    file = Path(name)
    command = MADE_BY.get(file.parts[0], "").format(name=file.stem)
    raise FileNotFoundError(
        f"expected data/{name} in the course's folder or in the installed package, found neither "
        f"{' nor '.join(str(p) for p in places)}" + (f"; it is made by: {command}" * bool(command))
    )

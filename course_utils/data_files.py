"""Where the files of the course's data/ folder are."""

from pathlib import Path


def data_path(name: str) -> Path:
    """A file of the course's data/ folder, in the repository or in the installed package.

    Raises:
        FileNotFoundError: it is in neither; the message says where it was looked for and, where
            that is known, which command makes it.
    """
    package = Path(__file__).parent
    places = [package / "data" / name, package.parent / "data" / name]
    for path in places:
        if path.exists():
            return path
    file = Path(name)
    command = {"spreads.json": "make spreads N=NN", "timings.json": "make timings"}.get(name, "")
    if file.parts[0] == "checkpoints":
        from course_utils.recipes import RECIPES  # only here, as it imports every model

        command = f"python -m course_utils.recipes {file.stem}" if file.stem in RECIPES else ""
    raise FileNotFoundError(
        f"expected data/{name} in the course's folder or in the installed package, found neither "
        f"{' nor '.join(str(p) for p in places)}" + (f"; it is made by: {command}" * bool(command))
    )

"""Studies: what takes too long for a lesson, measured once and kept, a row or more a setting.

    python -m course_utils.studies NAME      measures what data/studies/NAME.json lacks
    python -m course_utils.studies --list    the studies, and about how long each takes

A module of this folder that defines STUDY is a study. Settings that the file holds already are not
measured again, and the file is whole after every setting: a study may be stopped and taken up.
"""

import argparse
import importlib
import json
import os
import pkgutil
import platform
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

Row = dict
Setting = Mapping[str, object]  # a value for each of a study's columns

FOLDER = Path("data/studies")


@dataclass(frozen=True)
class Study:
    """What is measured, and in which settings."""

    measures: str  # in a line
    takes: str  # about how long, on one CPU core
    # What a setting is made of: rows are found by these columns and sorted by them in turn, by
    # the place of a value in the collection, or by the value itself where that is None.
    columns: Mapping[str, Collection | None]
    seeds: Sequence[int]
    # (seeds, rows so far) -> settings in the order in which they are measured. What comes later may
    # be chosen by the column `validation` of the rows so far, and by nothing else.
    settings: Callable[[Sequence[int], Sequence[Row]], Iterator[Setting]]
    run: Callable[..., Row | list[Row]]  # (**setting) -> one row or several, with the columns

    def key(self, row: Setting) -> tuple:
        """Which setting a row belongs to."""
        return tuple(row[column] for column in self.columns)

    def place(self, row: Setting) -> tuple:
        """What rows are sorted by."""
        return tuple(
            row[column] if values is None else list(values).index(row[column])
            for column, values in self.columns.items()
        )


def missing(study: Study, seeds: Sequence[int], rows: list[Row]) -> Iterator[Setting]:
    """The settings that `rows` lacks; `rows` may grow between two of them."""
    for setting in study.settings(seeds, rows):
        if study.key(setting) not in {study.key(row) for row in rows}:
            yield setting


def count_missing(study: Study, seeds: Sequence[int], rows: Sequence[Row]) -> int:
    """How many settings are lacking, where it is not known yet which will be chosen."""
    imagined = list(rows)
    for setting in missing(study, seeds, imagined):  # which looks at what has been added
        imagined.append(dict(setting, validation=0.0))  # noqa: PERF401
    return len(imagined) - len(rows)


def complete(study: Study, path: Path, seeds: Sequence[int], command: str) -> int:
    """Measures what the file lacks, and writes it after every setting; how many settings that were.

    Raises:
        ValueError: the file is damaged.
    """
    rows, done = read_runs(path), 0
    with tqdm(total=count_missing(study, seeds, rows), unit="setting") as bar:
        for setting in missing(study, seeds, rows):
            bar.set_description(", ".join(str(value) for value in setting.values()))
            new = study.run(**setting)
            rows += new if isinstance(new, list) else [new]
            rows.sort(key=study.place)
            write_runs(path, rows, command)
            done += 1
            bar.update()
    return done


def read_runs(path: Path) -> list[Row]:
    """The rows in a file; none where there is no file.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"expected runs in {path}, got: {error}; delete it to begin anew"
        ) from None


def write_runs(path: Path, rows: Sequence[Row], command: str) -> None:
    """Writes all rows, in the given order, with the command and the versions that made them. A
    process that is killed leaves the old file whole: hours of runs stand in it."""
    made = {
        "command": command,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    text = ",\n".join("  " + json.dumps(row) for row in rows)
    beside = path.with_name(path.name + ".part")
    beside.write_text(
        f'{{\n "made": {json.dumps(made)},\n "runs": [\n{text}\n ]\n}}\n', encoding="utf-8"
    )
    os.replace(beside, path)


def names() -> list[str]:
    """The studies: modules of this folder, but for the runner and the checkpoints."""
    folder = [str(Path(__file__).parent)]
    found = {module.name for module in pkgutil.iter_modules(folder)}
    return sorted(found - {"__main__", "runs", "recipes"})


def load(name: str) -> Study:
    """The study of a name."""
    return importlib.import_module(f"course_utils.studies.{name}").STUDY


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `python -m course_utils.studies`."""
    parser = argparse.ArgumentParser(
        prog="python -m course_utils.studies",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=names(), metavar="NAME")
    parser.add_argument("--list", action="store_true", help="what there is, and how long it takes")
    parser.add_argument("--seeds", type=int, nargs="+", help="these only, instead of the study's")
    parser.add_argument("--out", type=Path, help=f"another file than {FOLDER}/NAME.json")
    options = parser.parse_args(arguments)
    if options.list:
        for name in names():
            study = load(name)
            print(f"{name:16} {study.measures} ({study.takes})")
        return
    if options.name is None:
        parser.error("expected the NAME of a study, or --list")
    path = options.out or FOLDER / f"{options.name}.json"
    if not path.parent.is_dir():
        parser.error(
            f"expected a folder {path.parent}: start in the course's folder, or give --out"
        )
    study = load(options.name)
    torch.set_num_threads(1)
    command = f"python -m course_utils.studies {options.name}"
    done = complete(study, path, options.seeds or study.seeds, command)
    print(f"{path}: {done} settings measured" if done else f"{path}: nothing was missing")

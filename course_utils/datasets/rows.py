"""Questions about one's own pictures: a folder, and a table with a row a question.

    picture,question,answer
    kitchen.jpg,how many cups are on the table?,two

The table is CSV with this header, or JSON: a list of objects with these three keys. Pictures are
named relative to the folder.
"""

import csv
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

COLUMNS = ("picture", "question", "answer")
TABLES = ("questions.csv", "questions.json")
SHOWN = 5  # bad rows that an error names; it counts the others


class Row(NamedTuple):
    """A question about a picture, with the score that each answer to it gets."""

    picture: Path
    question: str
    scores: dict[str, float]  # answer -> more than 0, at most 1; {"two": 1.0} where one is right


def read_rows(folder: str | Path, table: str | Path | None = None) -> list[Row]:
    """The rows of a table, each picture of which is there.

    Args:
        table: CSV or JSON; `questions.csv` or `questions.json` in the folder when None.

    Raises:
        FileNotFoundError: no such folder or table.
        ValueError: the table can't be read, a column is missing, or there are bad rows: an empty
            cell, a picture that is missing or lies outside of the folder, a cell too many. All bad
            rows are counted, the first ones named.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"expected a folder with pictures, but there is no folder {folder}")
    path = _table(folder, table)
    rows, bad = [], []
    for where, record in _records(path):
        wrong = _wrong(record, folder)
        if wrong:
            bad.append(f"{where}: {wrong}")
        else:
            picture, question, answer = (str(record[name]).strip() for name in COLUMNS)
            rows.append(Row(folder / picture, question, {" ".join(answer.lower().split()): 1.0}))
    refuse_bad(bad, len(rows), path)
    return rows


def refuse_bad(bad: list[str], good: int, path: Path) -> None:
    """ValueError that counts the bad rows and names the first; or where there are no rows."""
    if bad:
        more = f"\n  ... and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise ValueError(
            f"{path.name}: {len(bad)} of {len(bad) + good} rows can't be used:\n  "
            + "\n  ".join(bad[:SHOWN])
            + more
        )
    if not good:
        raise ValueError(f"{path.name}: expected at least one row, got none")


def frequent_answers(rows: Sequence[Row], at_least: int) -> tuple[str, ...]:
    """The answers that are the best one of at least so many questions, sorted. Count in training
    data only: an answer that a model can't know shows in its score.

    Raises:
        ValueError: there is none.
    """
    counts = Counter(max(row.scores, key=row.scores.__getitem__) for row in rows if row.scores)
    kept = tuple(sorted(answer for answer, count in counts.items() if count >= at_least))
    if not kept:
        raise ValueError(
            f"expected an answer that occurs at least {at_least} times, but the most frequent one "
            f"of {len(rows)} rows occurs {max(counts.values(), default=0)} times"
        )
    return kept


def by_picture(rows: list[Row], shares: tuple[float, ...], seed: int = 0) -> list[list[Row]]:
    """Parts that share no picture; the last one takes what the `shares` of the others leave."""
    pictures = sorted({row.picture for row in rows})
    random.Random(seed).shuffle(pictures)
    ends = [0, *(round(sum(shares[: i + 1]) * len(pictures)) for i in range(len(shares))), None]
    groups = [set(pictures[a:b]) for a, b in itertools.pairwise(ends)]
    return [[row for row in rows if row.picture in group] for group in groups]


def soft_targets(rows: Sequence[Row], answers: Sequence[str]) -> UInt8[Tensor, "rows answers"]:
    """(rows, answers) uint8: the scores in tenths, which is exact. Answers not in the list have no
    column, so a row may be all 0."""
    ids = {name: i for i, name in enumerate(answers)}
    y = torch.zeros(len(rows), len(answers), dtype=torch.uint8)
    for i, row in enumerate(rows):
        for answer, score in row.scores.items():
            if answer in ids:
                y[i, ids[answer]] = round(10 * score)
    return y


def _table(folder: Path, table: str | Path | None) -> Path:
    tried = [Path(table)] if table is not None else [folder / name for name in TABLES]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"expected a table of questions in {' or '.join(map(str, tried))}, but there is none"
        )
    return found


def _records(path: Path) -> Iterator[tuple[str, dict]]:
    """("line 2", record) for each row of a CSV file, ("row 1", record) of a JSON file."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # as spreadsheets write it
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}: expected UTF-8 text, got: {error}") from None
    if path.suffix.lower() == ".json":
        try:
            records = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{path.name}: expected JSON, got: {error}") from None
        if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
            raise ValueError(
                f"{path.name}: expected a list of objects with the keys {', '.join(COLUMNS)}"
            )
        yield from ((f"row {i}", record) for i, record in enumerate(records, 1))
        return
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
    if missing:
        raise ValueError(
            f"{path.name}: expected the columns {', '.join(COLUMNS)}, got "
            f"{', '.join(reader.fieldnames or []) or 'an empty file'}"
        )
    for record in reader:
        yield f"line {reader.line_num}", record


def _wrong(record: dict, folder: Path) -> str:
    """What is wrong with a row; empty where nothing is."""
    if None in record:  # csv puts what is too much there
        return "expected 3 cells, got more: a cell with a comma needs quotation marks"
    for name in COLUMNS:
        value = record.get(name)
        if value is None or not str(value).strip():
            return f"{name}: expected something, got an empty cell"
        if not isinstance(value, str | int | float):
            return f"{name}: expected text, got {value!r}"
    picture = str(record["picture"]).strip()
    if not (folder / picture).resolve().is_relative_to(folder.resolve()):
        return f"picture: expected a file in the folder, got {picture}"
    if not (folder / picture).is_file():
        return f"picture: expected the file {picture}, but there is none"
    return ""


def read_picture(path: Path, side: int) -> UInt8[np.ndarray, "3 side side"]:
    """A picture file of any size as a square: turned as its camera says, made smaller or larger as
    a whole, on white where it is transparent or no square.

    Raises:
        ValueError: no picture, a damaged one, or one of too many pixels to be opened safely.
    """
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file).convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"expected a readable picture in {path}, got: {error}") from None
    small = ImageOps.contain(picture, (side, side), Image.Resampling.BICUBIC)
    square = Image.new("RGBA", (side, side), "white")
    square.alpha_composite(small, ((side - small.width) // 2, (side - small.height) // 2))
    return np.asarray(square.convert("RGB")).transpose(2, 0, 1).copy()  # (3, side, side)

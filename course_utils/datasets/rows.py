"""Questions about one's own pictures: a folder, and a table with a row a question.

    picture,question,answer
    kitchen.jpg,how many cups are on the table?,two

The table is CSV with this header, separated by commas, semicolons or tabs, or JSON: a list of
objects with these three keys. Pictures are named relative to the folder.
"""

import codecs
import csv
import hashlib
import io
import itertools
import json
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

COLUMNS = ("picture", "question", "answer")
TABLES = ("questions.csv", "questions.json")
LONGEST = 1000  # signs of a picture's name with its folders
SHOWN = 5  # bad rows that an error names; it counts the others


class Row(NamedTuple):
    """A question about a picture, with the score that each answer to it gets."""

    picture: Path
    question: str
    scores: dict[str, float]  # answer -> more than 0, at most 1; {"two": 1.0} where one is right
    kind: str = ""  # of answer, where the source tells it: "yes/no", "number" or "other"

    @property
    def best(self) -> str:
        """The answer with the highest score, of several the first; "" where nothing has one."""
        return max(self.scores, key=self.scores.__getitem__) if self.scores else ""


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
    _files.cache_clear()
    rows, bad = [], []
    for where, record in _records(path):
        wrong = _wrong(record, folder)
        if wrong:
            bad.append(f"{where}: {wrong}")
        else:
            question = tidy(record["question"])
            answer = plain_number(tidy(record["answer"]).lower())
            picture = picture_file(folder, str(record["picture"]).strip())
            assert picture is not None  # `_wrong` has looked
            rows.append(Row(picture, question, {answer: 1.0}))
    refuse_bad(bad, len(rows), path)
    return rows


def tidy(text: object) -> str:
    """One space for each white space, line breaks too, and composed characters (Unicode's NFC), so
    that texts that look alike are equal."""
    return " ".join(unicodedata.normalize("NFC", str(text)).split())


def plain_number(answer: str) -> str:
    """A number in its shortest form, "2" for "2.0" and "02"; any other text as it is."""
    number = re.fullmatch(r"0*([0-9]+?)(?:(\.[0-9]*[1-9])0*|\.0*)?", answer)
    return number[1] + (number[2] or "") if number else answer


def picture_file(folder: Path, name: str) -> Path | None:
    """The file of this name in the folder, also where the disk writes its accents in another of
    Unicode's forms; None if there is none."""
    if (folder / name).is_file():
        return folder / name
    same = {unicodedata.normalize("NFC", other): other for other in _files(folder)}
    other = same.get(unicodedata.normalize("NFC", name))
    return folder / other if other else None


@cache
def _files(folder: Path) -> tuple[str, ...]:
    """Names of all files in the folder, relative to it."""
    return tuple(
        path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()
    )


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
    counts = Counter(row.best for row in rows if row.scores)
    kept = tuple(sorted(answer for answer, count in counts.items() if count >= at_least))
    if not kept:
        raise ValueError(
            f"expected an answer that occurs at least {at_least} times, but the most frequent one "
            f"of {len(rows)} rows occurs {max(counts.values(), default=0)} times"
        )
    return kept


def content(path: Path) -> str:
    """A hash of a file: equal for copies under other names."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def by_picture(
    rows: list[Row],
    shares: tuple[float, ...],
    seed: int = 0,
    same: Callable[[Path], object] = content,
) -> list[list[Row]]:
    """Parts that share no picture; the last one takes what the `shares` of the others leave. Files
    for which `same` gives equal values, by default copies, come into one part."""
    first: dict[object, Path] = {}
    known = {path: first.setdefault(same(path), path) for path in sorted({r.picture for r in rows})}
    pictures = list(known)  # copies too, so that a copy moves no other picture
    random.Random(seed).shuffle(pictures)
    ends = [0, *(round(sum(shares[: i + 1]) * len(pictures)) for i in range(len(shares))), None]
    groups = [set(pictures[a:b]) for a, b in itertools.pairwise(ends)]
    return [[row for row in rows if known[row.picture] in group] for group in groups]


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
    text = _text(path)
    if path.suffix.lower() == ".json":
        try:
            records = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path.name}: expected JSON, got: {error}") from None
        if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
            raise ValueError(
                f"{path.name}: expected a list of objects with the keys {', '.join(COLUMNS)}"
            )
        yield from ((f"row {i}", record) for i, record in enumerate(records, 1))
        return
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)  # semicolons where commas are decimal points
    file = io.StringIO(text, newline="")  # a cell in quotation marks may hold a line break
    reader = csv.DictReader(file, skipinitialspace=True, delimiter=separator, strict=True)
    try:
        names = [name.strip() for name in reader.fieldnames or []]
        wrong = [name for name in COLUMNS if names.count(name) != 1]
        if wrong:
            raise ValueError(
                f"{path.name}: expected the columns {', '.join(COLUMNS)}, each once, got "
                f"{', '.join(names) or 'an empty file'}"
            )
        reader.fieldnames = names
        for record in reader:
            yield f"line {reader.line_num}", record
    except csv.Error as error:
        raise ValueError(f"{path.name}, line {reader.line_num}: {error}") from None


def _text(path: Path) -> str:
    """UTF-8 with or without a mark, or UTF-16 with one: what spreadsheets write."""
    found = path.read_bytes()
    wide = found.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return found.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path.name}: expected UTF-8 text (spreadsheets: save as 'CSV UTF-8'), got: {error}"
        ) from None


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
    if len(picture) > LONGEST or "\0" in picture:
        return f"picture: expected the name of a file, got {picture[:40]!r} ({len(picture)} signs)"
    try:
        inside = (folder / picture).resolve().is_relative_to(folder.resolve())
        found = picture_file(folder, picture)
    except OSError as error:  # a part of the name is too long, or may not be read
        return f"picture: {error.strerror}: {picture}"
    if not inside:
        return f"picture: expected a file in the folder, got {picture}"
    if found is None:
        near = get_close_matches(picture, _files(folder), 1)
        hint = f"; the nearest name is {near[0]}" if near else ""
        return f"picture: expected the file {picture}, but there is none{hint}"
    return ""


def _eight_bits(picture: Image.Image, kind: str | None) -> Image.Image:
    """16-bit grey, of X-rays and depth, scaled to 8 bits; Pillow would cut it off at 255."""
    if picture.mode.startswith("I;16") or (picture.mode == "I" and kind == "PNG"):
        grey = np.asarray(picture).astype(np.float64) * (255 / 65535)  # (height, width)
        return Image.fromarray(grey.round().astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError(
            f"its numbers (mode {picture.mode}) have no stated range: save it with 8 or 16 bits"
        )
    return picture


def read_picture(path: Path, side: int) -> UInt8[np.ndarray, "3 side side"]:
    """A picture file of any size as a square: turned as its camera says, made smaller or larger as
    a whole, on white where it is transparent or no square. Of an animation it's the first frame.

    Raises:
        ValueError: no picture, a damaged one, one of too many pixels to be opened safely, one whose
            numbers have no stated range (32-bit or floating point), or one of which nothing is left
            to see: all transparent, or a strip that would be thinner than a pixel.
    """
    try:
        with Image.open(path) as file:
            picture = _eight_bits(ImageOps.exif_transpose(file), file.format).convert("RGBA")
    except (
        UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError,
    ) as error:  # fmt: skip
        apple = path.suffix.lower() in (".heic", ".heif")
        hint = "; HEIC isn't read: save it as JPEG" if apple else ""
        raise ValueError(f"expected a readable picture in {path}, got: {error}{hint}") from None
    if max(picture.size) > side * min(picture.size):
        raise ValueError(
            f"expected a picture in {path}, got a strip of "
            f"{picture.width} x {picture.height} pixels"
        )
    if picture.getchannel("A").getextrema()[1] == 0:
        raise ValueError(f"expected a picture in {path}, but all of it is transparent")
    small = ImageOps.contain(picture, (side, side), Image.Resampling.BICUBIC)
    square = Image.new("RGBA", (side, side), "white")
    square.alpha_composite(small, ((side - small.width) // 2, (side - small.height) // 2))
    return np.asarray(square.convert("RGB")).transpose(2, 0, 1).copy()  # (3, side, side)

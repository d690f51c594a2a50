"""Captions and conversations about pictures, in the two forms in which they are published.

COCO captions (Chen et al. 2015, arXiv 1504.00325; https://cocodataset.org/#format-data):

    {"images": [{"id": 9, "file_name": "000000000009.jpg"}, ...],
     "annotations": [{"id": 1, "image_id": 9, "caption": "A tray with food."}, ...]}

LLaVA's instructions (Liu et al. 2023, arXiv 2304.08485), where "<image>" is the picture's place:

    [{"id": "1", "image": "kitchen.jpg", "conversations": [
        {"from": "human", "value": "<image>\\nHow many cups are there?"},
        {"from": "gpt", "value": "There are two cups."}, ...]}, ...]
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from course_utils.datasets.rows import picture_file, refuse_bad, tidy

IMAGE = "<image>"
SPEAKERS = ("human", "gpt")


class Caption(NamedTuple):
    picture: Path
    text: str


class Conversation(NamedTuple):
    """Turns about one picture, or about none."""

    picture: Path | None
    turns: tuple[tuple[str, str], ...]  # (question, answer), without the picture's placeholder


def read_coco_captions(table: str | Path, pictures: str | Path) -> list[Caption]:
    """The captions of a file such as captions_val2014.json, in its order.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file has another form, or rows can't be used: the first are named.
    """
    path, folder = Path(table), Path(pictures)
    content = _json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path.name}: expected an object, got {_kind(content)}")
    images, annotations = (_list(path, content, name) for name in ("images", "annotations"))
    counts = Counter(image.get("id") for image in images)
    names = {image.get("id"): image.get("file_name") for image in images}
    found, bad = [], []
    for number, row in enumerate(annotations, 1):
        wrong, key = "", row.get("image_id")
        name = names.get(key)
        caption = row.get("caption")
        if counts[key] != 1:
            wrong = f"image_id {key!r}: expected one image of that id, got {counts[key]}"
        elif not isinstance(name, str) or picture_file(folder, name) is None:
            wrong = f"expected a picture in {folder.name}/, got file_name {name!r}"
        elif not isinstance(caption, str) or not tidy(caption):
            wrong = f"caption: expected some words, got {caption!r}"
        else:
            found.append(Caption(folder / name, tidy(caption)))
        if wrong:
            bad.append(f"annotation {number} (id {row.get('id')!r}): {wrong}")
    refuse_bad(bad, len(found), path)
    return found


def read_conversations(table: str | Path, pictures: str | Path) -> list[Conversation]:
    """The conversations of a file in LLaVA's form, in its order.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file has another form, or rows can't be used: the first are named.
    """
    path, folder = Path(table), Path(pictures)
    content = _json(path)
    if not isinstance(content, list):
        raise ValueError(f"{path.name}: expected a list of conversations, got {_kind(content)}")
    found, bad = [], []
    for number, row in enumerate(content, 1):
        try:
            found.append(_conversation(row, folder))
        except ValueError as error:
            name = row.get("id") if isinstance(row, dict) else None
            bad.append(f"row {number} (id {name!r}): {error}")
    refuse_bad(bad, len(found), path)
    return found


def _conversation(row: Any, folder: Path) -> Conversation:
    if not isinstance(row, dict):
        raise ValueError(f"expected an object, got {_kind(row)}")
    turns = tuple(_turns(row.get("conversations")))
    marks = sum(text.count(IMAGE) for turn in turns for text in turn)
    name = row.get("image")
    if name is None:
        if marks:
            raise ValueError(f"{IMAGE} stands in a text, but there is no image")
        return Conversation(None, turns)
    if not isinstance(name, str) or picture_file(folder, name) is None:
        raise ValueError(f"image: expected a picture in {folder.name}/, got {name!r}")
    if marks != 1 or IMAGE not in turns[0][0]:
        raise ValueError(f"expected {IMAGE} once, in the first question, got it {marks} times")
    clean = [(question.replace(IMAGE, " ").strip(), answer) for question, answer in turns]
    if not clean[0][0]:
        raise ValueError(f"the first question: expected some words beside {IMAGE}")
    return Conversation(folder / name, tuple(clean))


def _turns(texts: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(texts, list) or not texts or len(texts) % 2:
        size = len(texts) if isinstance(texts, list) else _kind(texts)
        raise ValueError(f"conversations: expected question and answer in turn, got {size}")
    values = []
    for number, text in enumerate(texts):
        speaker = SPEAKERS[number % 2]
        if not isinstance(text, dict) or text.get("from") != speaker:
            got = text.get("from") if isinstance(text, dict) else _kind(text)
            raise ValueError(f"text {number + 1}: expected one from {speaker!r}, got {got!r}")
        value = text.get("value")
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"text {number + 1}: value: expected some words, got {value!r}")
        values.append(value.strip())
    return zip(values[::2], values[1::2])


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise FileNotFoundError(f"expected {path}, but there is no such file") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name}: expected JSON, got: {error!r:.100}") from None


def _list(path: Path, content: dict, name: str) -> list[dict]:
    found = content.get(name)
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ValueError(f"{path.name}: {name}: expected a list of objects, got {_kind(found)}")
    return found


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__

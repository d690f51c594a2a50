"""MSR-VTT (Xu et al. 2016, CVPR): 10,000 short videos with 20 sentences each, in its own files.

    train_val_videodatainfo.json, test_videodatainfo.json:
    {"videos": [{"video_id": "video0", "category": 9, "url": ..., "start time": 137.72,
                 "end time": 149.44, "split": "train", "id": 0}, ...],
     "sentences": [{"caption": "a car is shown", "video_id": "video0", "sen_id": 0}, ...]}

The files of videos are named video0.mp4, video1.mp4, ... "start time" and "end time" are seconds in
the film on the web from which a video was cut, so they are no times in the file.
"""

import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from course_utils.datasets.rows import refuse_bad, tidy

SPLITS = ("train", "validate", "test")
ENDINGS = (".mp4", ".webm", ".mkv", ".avi")


class DescribedVideo(NamedTuple):
    """A video file and what people say about it."""

    name: str  # "video0"
    path: Path
    split: str  # one of SPLITS
    category: int
    captions: tuple[str, ...]


def read_msr_vtt(
    table: str | Path, videos: str | Path, split: str = "", skip_missing: bool = False
) -> list[DescribedVideo]:
    """The videos of a file in its order, all or those of a split. Many are gone from the web: with
    `skip_missing` those without a file are left out.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: the file has another form, an unknown split, or rows that can't be used: the
            first are named.
    """
    path, folder = Path(table), Path(videos)
    if split and split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    if not folder.is_dir():
        raise FileNotFoundError(f"expected a folder of videos, found none at {folder}")
    content = _content(path)
    names = Counter(row.get("video_id") for row in content["videos"])
    said, bad = _captions(content["sentences"], names)
    files = {file.stem: file for file in folder.iterdir() if file.suffix.lower() in ENDINGS}
    found = []
    for number, row in enumerate(content["videos"], 1):
        name, part, category = (row.get(key) for key in ("video_id", "split", "category"))
        if split and part != split:
            continue
        wrong = ""
        if not isinstance(name, str) or names[name] != 1:
            wrong = f"video_id: expected a name of its own, got {name!r}"
        elif part not in SPLITS:
            wrong = f"split: expected one of {', '.join(SPLITS)}, got {part!r}"
        elif not isinstance(category, int) or isinstance(category, bool):
            wrong = f"category: expected a whole number, got {category!r}"
        elif name not in files and skip_missing:
            continue
        elif name not in files:
            wrong = f"expected the file {name}.mp4 in {folder.name}/, found none"
        elif not said.get(name):
            wrong = f"expected sentences about {name}, found none"
        else:
            found.append(DescribedVideo(name, files[name], part, category, tuple(said[name])))
        if wrong:
            bad.append(f"video {number}: {wrong}")
    refuse_bad(bad, len(found), path)
    return found


def _captions(sentences: list, names: Counter) -> tuple[dict[str, list[str]], list[str]]:
    """The sentences of each video in the order of their ids, and what is wrong with others."""
    found: dict[str, list[tuple[int, str]]] = {}
    bad = []
    for number, row in enumerate(sentences, 1):
        name, text, key = (row.get(field) for field in ("video_id", "caption", "sen_id"))
        if not isinstance(name, str) or name not in names:
            bad.append(f"sentence {number}: expected a video of the file, got {name!r}")
        elif not isinstance(text, str) or not tidy(text):
            bad.append(f"sentence {number}: expected some words, got {text!r}")
        elif not isinstance(key, int) or isinstance(key, bool):
            bad.append(f"sentence {number}: sen_id: expected a whole number, got {key!r}")
        else:
            found.setdefault(name, []).append((key, tidy(text)))
    return {name: [text for _, text in sorted(some)] for name, some in found.items()}, bad


def _content(path: Path) -> dict[str, list]:
    """The file's two lists of objects."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise FileNotFoundError(f"expected MSR-VTT's file, found none at {path}") from None
    except ValueError as error:
        raise ValueError(f"{path.name}: expected JSON, got: {error}") from None
    for name in ("videos", "sentences"):
        rows = content.get(name) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError(f'{path.name}: expected a list of objects under "{name}"')
    return content

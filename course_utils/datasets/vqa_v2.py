"""VQA v2 in the form in which it is published: questions and annotations in JSON, COCO's pictures.

Goyal et al., arXiv 1612.00837; https://visualqa.org/download.html. In one folder:

    v2_OpenEnded_mscoco_train2014_questions.json   train2014/COCO_train2014_000000000009.jpg ...
    v2_mscoco_train2014_annotations.json

and the same with val2014. Ten people answered each question; an answer's score is the official one,
0.3, 0.6, 0.9, or 1 for 1, 2, 3, or at least 4 of them.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from course_utils.datasets.rows import Row, refuse_bad

PARTS = ("train2014", "val2014")
ANNOTATORS = 10

DIGITS = {
    word: str(i)
    for i, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    )
} | {"none": "0"}
ARTICLES = {"a", "an", "the"}
# Words whose apostrophe people leave out. Those that are words without it too (its, were, well,
# hell, shell, ill, id, shed, wed, lets, whore) stay as they are written.
APOSTROPHES = {
    word.replace("'", ""): word
    for word in [
        "ain't",
        "aren't",
        "can't",
        "couldn't",
        "couldn't've",
        "didn't",
        "doesn't",
        "don't",
        "hadn't",
        "hasn't",
        "haven't",
        "he'd",
        "he's",
        "how'd",
        "how'll",
        "how's",
        "i'm",
        "i've",
        "isn't",
        "it'd",
        "it'll",
        "ma'am",
        "mightn't",
        "might've",
        "mustn't",
        "must've",
        "needn't",
        "o'clock",
        "oughtn't",
        "shan't",
        "she's",
        "shouldn't",
        "should've",
        "somebody's",
        "someone's",
        "something's",
        "that'd",
        "that'll",
        "that's",
        "there'd",
        "there're",
        "there's",
        "they'd",
        "they'll",
        "they're",
        "they've",
        "wasn't",
        "we've",
        "weren't",
        "what'll",
        "what're",
        "what's",
        "what've",
        "when's",
        "where'd",
        "where's",
        "where've",
        "who'd",
        "who'll",
        "who's",
        "who've",
        "why'll",
        "why're",
        "why's",
        "won't",
        "wouldn't",
        "would've",
        "y'all",
        "you'd",
        "you'll",
        "you're",
        "you've",
    ]
}
MARKS = ';/[]"{}()=+\\_-><@`,?!'


def normalise_answer(answer: str) -> str:
    """The form in which answers are compared: lower case, digits, no articles, no punctuation.

    A mark beside a space, or any mark where the answer has a number such as 1,000, is left out;
    another becomes a space. Points stay in numbers only. The rules are those of the official
    evaluation (Antol et al., arXiv 1505.00468, section 5); the list of apostrophes is shorter.
    """
    text = " ".join(answer.split())
    number = re.search(r"\d,\d", text)
    for mark in MARKS:
        if mark in text:
            drop = number or f"{mark} " in text or f" {mark}" in text
            text = text.replace(mark, "" if drop else " ")
    text = re.sub(r"\.(?!\d)", "", text).lower()
    words = [DIGITS.get(word, word) for word in text.split()]
    return " ".join(APOSTROPHES.get(word, word) for word in words if word not in ARTICLES)


def read_vqa_v2(folder: str | Path, part: str, limit: int = 0) -> list[Row]:
    """The questions of one part with the official score of each answer.

    Args:
        part: "train2014" or "val2014".
        limit: only the questions of so many pictures, the first ones; 0 for all.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: unknown part, a file in another format, or bad questions: no annotation, not ten
            answers, no picture. All are counted, the first ones named.
    """
    if part not in PARTS:
        raise ValueError(f"part: expected one of {', '.join(PARTS)}, got {part!r}")
    folder = Path(folder)
    path = folder / f"v2_OpenEnded_mscoco_{part}_questions.json"
    questions = _load(path, "questions")
    annotations = _load(folder / f"v2_mscoco_{part}_annotations.json", "annotations")
    answers: dict[Any, Any] = {
        record.get("question_id"): record.get("answers") for record in annotations
    }
    if limit:
        first = set(list(dict.fromkeys(q.get("image_id") for q in questions))[:limit])
        questions = [q for q in questions if q.get("image_id") in first]
    there = {file.name for file in (folder / part).glob("*.jpg")}
    rows, bad = [], []
    for record in questions:
        wrong = _wrong(record, answers, part, there)
        if wrong:
            bad.append(f"question {record.get('question_id')}: {wrong}")
        else:
            rows.append(
                Row(
                    folder / part / _name(part, record["image_id"]),
                    record["question"],
                    scores_of(answers[record["question_id"]]),
                )
            )
    refuse_bad(bad, len(rows), path)
    return rows


def scores_of(answers: Sequence[dict]) -> dict[str, float]:
    """Score of each normalised answer that somebody gave: the mean over all ways to leave one
    person out of min(agreeing / 3, 1), exact to the tenth."""
    counts = Counter(normalise_answer(record["answer"]) for record in answers)
    return {answer: min(3 * count, 10) / 10 for answer, count in counts.items() if answer}


def _load(path: Path, key: str) -> list[dict]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        records = content[key]
    except FileNotFoundError:
        raise FileNotFoundError(f"expected {path}, but there is no such file") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name}: expected JSON with {key!r}, got: {error!r}") from None
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise ValueError(f"{path.name}: {key}: expected a list of objects")
    return records


def _name(part: str, image_id: int) -> str:
    return f"COCO_{part}_{image_id:012d}.jpg"


def _wrong(record: dict, answers: dict, part: str, there: set[str]) -> str:
    """What is wrong with a question; empty where nothing is."""
    if not isinstance(record.get("image_id"), int) or not isinstance(record.get("question"), str):
        return "expected image_id, question_id and question"
    if not record["question"].strip():
        return "expected a question, got nothing"
    given = answers.get(record.get("question_id"))
    if given is None:
        return "expected an annotation with this question_id, but there is none"
    if len(given) != ANNOTATORS or not all(isinstance(g.get("answer"), str) for g in given):
        return f"expected {ANNOTATORS} answers, got {len(given)}"
    name = _name(part, record["image_id"])
    return "" if name in there else f"expected the picture {part}/{name}, but there is none"

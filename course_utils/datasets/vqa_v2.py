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

from course_utils.datasets.rows import Row, refuse_bad, tidy

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
    """The questions of one part with the official score of each answer and its type.

    Args:
        part: "train2014" or "val2014".
        limit: only the questions of so many pictures, the first whose files are there; 0 for all,
            and then a picture that is missing is an error.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: unknown part, a file in another format, or bad questions: an id that is missing
            or there twice, no annotation, not ten answers, no picture. All are counted, the first
            ones named.
    """
    if part not in PARTS:
        raise ValueError(f"part: expected one of {', '.join(PARTS)}, got {part!r}")
    folder = Path(folder)
    path = folder / f"v2_OpenEnded_mscoco_{part}_questions.json"
    questions = _load(path, "questions")
    annotations = _load(folder / f"v2_mscoco_{part}_annotations.json", "annotations")
    there = {file.name for file in (folder / part).glob("*.jpg")}
    if limit:
        listed = dict.fromkeys(_picture(q, part) for q in questions)
        first = set([name for name in listed if name in there][:limit])
        questions = [q for q in questions if _picture(q, part) in first]
        if not first:
            raise ValueError(
                f"expected pictures in {folder / part}, but none of the {len(listed)} that "
                f"{path.name} names is there"
            )
    asked = Counter(_id(q) for q in questions)
    known = Counter(_id(a) for a in annotations)
    answers = {_id(a): a for a in annotations}
    rows, bad = [], []
    for record in questions:
        key = _id(record)
        wrong = _wrong_question(record, asked[key], part, there)
        wrong = wrong or _wrong_answers(answers.get(key), known[key], record)
        if wrong:
            bad.append(f"question {record.get('question_id')}: {wrong}")
        else:
            picture, given = folder / part / str(_picture(record, part)), answers[key]
            kind = given.get("answer_type", "")
            scores = scores_of(given["answers"], given.get("multiple_choice_answer", ""))
            rows.append(Row(picture, tidy(record["question"]), scores, kind))
    refuse_bad(bad, len(rows), path)
    return rows


def scores_of(answers: Sequence[dict], named: str = "") -> dict[str, float]:
    """Score of each normalised answer that somebody gave: the mean over all ways to leave one
    person out of min(agreeing / 3, 1), exact to the tenth. The most frequent answer is the first;
    of equally frequent ones the one `named`, which the file names as the most frequent."""
    counts = Counter(normalise_answer(record["answer"]) for record in answers)
    first = normalise_answer(named)
    ordered = sorted(counts, key=lambda answer: (-counts[answer], answer != first))
    return {answer: min(3 * counts[answer], 10) / 10 for answer in ordered if answer}


def _load(path: Path, key: str) -> list[dict]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        records = content[key]
    except FileNotFoundError:
        raise FileNotFoundError(f"expected {path}, but there is no such file") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path.name}: expected JSON with {key!r}, got: {error!r}") from None
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise ValueError(f"{path.name}: {key}: expected a list of objects")
    return records


def _id(record: dict) -> int | None:
    """The number of a question; None where there is none."""
    found = record.get("question_id")
    return found if _whole(found) else None


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _picture(record: dict, part: str) -> str | None:
    """The name of a question's picture; None where it has none."""
    found = record.get("image_id")
    return f"COCO_{part}_{found:012d}.jpg" if _whole(found) else None


def _wrong_question(record: dict, count: int, part: str, there: set[str]) -> str:
    """What is wrong with a question that is there `count` times; empty where nothing is."""
    for name in ("question_id", "image_id"):
        if not _whole(record.get(name)):
            return f"{name}: expected a whole number, got {record.get(name)!r}"
    question = record.get("question")
    if not isinstance(question, str) or not question.strip():
        return f"question: expected some words, got {question!r}"
    if count > 1:
        return f"expected this question_id once, but it is there {count} times"
    name = _picture(record, part)
    return "" if name in there else f"expected the picture {part}/{name}, but there is none"


def _wrong_answers(given: dict | None, count: int, record: dict) -> str:
    """What is wrong with the annotation of a question, which is there `count` times."""
    if given is None:
        return "expected an annotation with this question_id, but there is none"
    if count > 1:
        return f"expected one annotation with this question_id, but there are {count}"
    if given.get("image_id", record["image_id"]) != record["image_id"]:
        return f"its annotation has another picture, image_id {given['image_id']!r}"
    answers = given.get("answers")
    if not isinstance(answers, list):
        return (
            f"expected a list of {ANNOTATORS} answers in its annotation, got {answers!r:.60} (the "
            "test questions of VQA v2 are published without answers)"
        )
    if not all(isinstance(a, dict) and isinstance(a.get("answer"), str) for a in answers):
        return f'expected each answer as {{"answer": "yes"}}, got {answers!r:.60}'
    if len(answers) != ANNOTATORS:
        return f"expected {ANNOTATORS} answers, got {len(answers)}"
    for name in ("answer_type", "multiple_choice_answer"):
        if not isinstance(given.get(name, ""), str):
            return f"{name}: expected text, got {given[name]!r:.60}"
    return ""

"""Writes a worked example for `course train`: emoji as a folder of pictures with a table.

    course example FOLDER

The pretrained model hasn't seen these emoji. What 20, 80 and 320 examples of them are worth is
measured in `course_utils.studies.own_pictures`.
"""

import argparse
import csv
import random
from pathlib import Path

from PIL import Image

from course_utils.datasets.emoji import load_emoji

KINDS = {
    "Animals & Nature": "animal or plant",
    "Food & Drink": "food or drink",
    "Travel & Places": "place or vehicle",
    "Activities": "game or sport",
    "Objects": "object",
    "People & Body": "person",
    "Smileys & Emotion": "face",
    "Symbols": "symbol",
}


def write_example(folder: str | Path, seed: int = 0) -> int:
    """Writes 400 PNG files and questions.csv with two questions about each; the number of rows.

    Two pictures of different kinds share a yes/no question, so that without the picture "yes" and
    "no" are equally likely.

    Raises:
        ValueError: there is something in the folder.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"expected an empty or a new folder, but there are files in {folder}")
    (folder / "pictures").mkdir(parents=True)
    rows, kinds = [], []
    for part in ("validation", "test"):
        emoji = load_emoji(part)
        for image, category, name in zip(emoji.images, emoji.categories, emoji.ids):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"pictures/{name}.png")
            kinds.append((f"pictures/{name}.png", KINDS[category]))
    for picture, kind in kinds:
        rows.append((picture, "what kind of thing is this?", kind))
    order = sorted(random.Random(seed).sample(kinds, len(kinds)), key=lambda pair: pair[1])
    half = len(order) // 2  # no kind has so many pictures: the two of a pair differ
    pairs = random.Random(seed).sample([*zip(order[:half], order[half:])], half)
    for i, pair in enumerate(pairs):
        (one, kind), (other, _) = pair if i % 2 else pair[::-1]
        question = f"is this {'an' if kind[0] in 'aeiou' else 'a'} {kind}?"
        rows += [(one, question, "yes"), (other, question, "no")]
    with (folder / "questions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("picture", "question", "answer"), *sorted(rows)])
    return len(rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a new or an empty folder")


def run(options: argparse.Namespace) -> None:
    """Writes the folder."""
    print(f"{options.folder}: {write_example(options.folder)} questions in questions.csv")

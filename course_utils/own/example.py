"""Writes a worked example for `course train`: emoji as a folder of pictures with a table.

    course example FOLDER

The pretrained model hasn't seen these emoji. What 20, 80 and 320 examples of them are worth is
measured here too:

    python -m course_utils.own.example --measure    data/studies/own_pictures.json (five minutes)
"""

import argparse
import csv
import json
import random
import statistics
import tempfile
from pathlib import Path

import torch
from PIL import Image

from course_utils.datasets.emoji import load_emoji
from course_utils.datasets.rows import by_picture, frequent_answers, read_rows
from course_utils.models.joint import JointEncoder
from course_utils.models.vqa import VQAModel
from course_utils.own.pictures import (
    METHODS,
    blind_score,
    questions_data,
    real_vqa_model,
    score,
    tunable,
    tune,
)
from course_utils.peft import freeze_base

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
SIZES = (20, 80, 320)  # examples, of which a fifth chooses the epoch
SEEDS = (0, 1, 2)
STARTS = ("not pretrained", "head only", *METHODS, "full tuning")
TARGET = Path("data/studies/own_pictures.json")


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


def start(kind: str, answers: int, seed: int) -> VQAModel:
    """A model to be tuned: one of STARTS."""
    torch.manual_seed(seed)
    if kind in METHODS:
        return tunable(answers, kind)
    model = real_vqa_model(answers)
    if kind == "head only":
        freeze_base(model, keep=("head",))
    if kind == "not pretrained":  # but on the same frozen features of pictures and words
        random = JointEncoder(model.encoder.config, token=model.encoder.embedding.token)
        random.embedding.token.project.reset_parameters()
        model.encoder = random
    return model


def measure(progress: bool = True) -> dict:
    """Accuracy on 320 questions about 160 other pictures, for each start, size and seed."""
    with tempfile.TemporaryDirectory() as folder:
        write_example(Path(folder) / "example")
        rows = read_rows(Path(folder) / "example")
        test, pool = by_picture(rows, (0.4,))
        found = {name: {str(size): [] for size in SIZES} for name in ("blind", *STARTS)}
        for size in SIZES:
            for seed in SEEDS:
                some, _ = by_picture(pool, (size / len(pool),), seed)
                validation, train = by_picture(some, (0.2,), seed)
                answers = frequent_answers(train, 1)
                parts = [questions_data(p, answers, False) for p in (train, validation, test)]
                found["blind"][str(size)].append(blind_score(parts[0], parts[2]).all)
                for kind in STARTS:
                    model = start(kind, len(answers), seed)
                    tune(model, *parts[:2], seed=seed, device="cpu", progress=False)
                    found[kind][str(size)].append(score(model, parts[2]).all)
                if progress:
                    print(size, seed, {n: f"{v[str(size)][-1]:.3f}" for n, v in found.items()})
    return {"examples": SIZES, "seeds": SEEDS, "test_questions": len(test), "accuracy": found}


def summary(found: dict) -> str:
    """A line for each method: mean and standard deviation over the seeds, in per cent."""
    lines = ["examples       " + "".join(f"{size:>16}" for size in found["examples"])]
    for name, sizes in found["accuracy"].items():
        cells = [
            f"{100 * statistics.mean(v):.1f} ± {100 * statistics.stdev(v):.1f}"
            for v in sizes.values()
        ]
        lines.append(f"{name:<15}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a new or an empty folder")


def run(options: argparse.Namespace) -> None:
    """Writes the folder."""
    print(f"{options.folder}: {write_example(options.folder)} questions in questions.csv")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--measure", action="store_true", required=True)
    parser.parse_args()
    found = measure()
    TARGET.write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(summary(found))


if __name__ == "__main__":
    main()

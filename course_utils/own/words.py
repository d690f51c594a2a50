"""SmolLM2 with eyes, tuned on one's own pictures: it answers in words of its own choice.

`course train FOLDER --base smollm2` is this as a command.
"""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from course_utils.datasets.instructions import Instruction, instruction_loader
from course_utils.datasets.instructions import by_picture as turns_by_picture
from course_utils.datasets.rows import Row, read_picture, refuse_bad
from course_utils.evaluation.intervals import wilson
from course_utils.methods.eyes import SIDE, Eyes, load_eyes, patch_features
from course_utils.methods.instruction_tuning import answer_loss, answers
from course_utils.peft import save_tuning
from course_utils.training.fit import FitConfig, History, fit

WORDS_FIT = FitConfig(epochs=8, lr=3e-4, warmup=0.1, patience=3)
PICTURES = 4  # a batch
TURNS = 3  # about a picture in a batch, at most
FILE, ABOUT = "smollm2.safetensors", "smollm2.json"


def turns_of(rows: Sequence[Row]) -> tuple[list[Path], list[Instruction]]:
    """The pictures of some rows, each once, and the rows as turns about them, answered by the best
    answer of each."""
    paths = list(dict.fromkeys(row.picture for row in rows))
    number = {path: i for i, path in enumerate(paths)}
    return paths, [Instruction(number[row.picture], row.question, row.best) for row in rows]


def features(
    eyes: Eyes, paths: Sequence[Path], progress: bool = True
) -> Float[Tensor, "pictures 9 1280"]:
    """What the image network sees in picture files.

    Raises:
        ValueError: pictures can't be read; the first are named.
    """
    found, bad = [], []
    for path in tqdm(paths, "pictures", disable=not progress, leave=False):
        try:
            image = torch.from_numpy(read_picture(path, SIDE))[None]  # (1, 3, side, side)
        except ValueError as error:
            bad.append(str(error))
            continue
        with torch.no_grad():
            found.append(patch_features(eyes.backbone, image.float() / 255))  # (1, 9, 1280)
    if bad:
        refuse_bad(bad, len(found), Path("pictures"))
    return torch.cat(found)


def right(
    eyes: Eyes, v: Float[Tensor, "pictures 9 1280"], rows: Sequence[Instruction]
) -> list[bool]:
    """Which answers are those of the rows, but for capitals and spaces at the ends."""
    pictures = [row.picture for row in rows]
    asked = [row.question for row in rows]
    written = answers(eyes.model, eyes.tokenizer, v[pictures], asked, 24)
    return [text.lower() == row.answer.strip().lower() for text, row in zip(written, rows)]


def words_alone(train: Sequence[Instruction], rows: Sequence[Instruction]) -> list[bool]:
    """Which rows a table of questions gets right: the most frequent answer to the same question in
    the training rows, else to any."""
    asked: dict[str, Counter] = {}
    for row in train:
        asked.setdefault(row.question.lower(), Counter())[row.answer] += 1
    most = Counter(row.answer for row in train).most_common(1)[0][0]
    said = [
        asked[row.question.lower()].most_common(1)[0][0] if row.question.lower() in asked else most
        for row in rows
    ]
    return [text == row.answer for text, row in zip(said, rows)]


def tune_words(
    eyes: Eyes,
    train: tuple[Tensor, list[Instruction]],
    validation: tuple[Tensor, list[Instruction]],
    config: FitConfig = WORDS_FIT,
    seed: int = 0,
    progress: bool = True,
) -> History:
    """Tunes projector and low-rank changes in place, and keeps the best pass on validation."""
    v, rows = train
    turns = turns_by_picture(rows, TURNS)
    size = min(PICTURES, len(turns))

    def validate(_) -> float:
        correct = right(eyes, *validation)
        return sum(correct) / len(correct)

    return fit(
        eyes.model,
        lambda model, batch: answer_loss(model, v, batch),
        instruction_loader(eyes.tokenizer, turns, v.shape[1], size, seed),
        validate,
        config,
        device="cpu",
        progress=progress,
    )


def train_words(
    parts: Mapping[str, list[Row]],
    folder: Path,
    config: FitConfig,
    seed: int,
    progress: bool = True,
) -> str:
    """Tunes, measures and writes into `folder`; the lines to print."""
    eyes = load_eyes()
    read = {name: turns_of(rows) for name, rows in parts.items()}
    data = {name: (features(eyes, paths, progress), rows) for name, (paths, rows) in read.items()}
    history = tune_words(eyes, data["training"], data["validation"], config, seed, progress)
    folder.mkdir(parents=True, exist_ok=True)
    save_tuning(eyes.model, folder / FILE, torch.float16)
    lines = [f"{'':<12}{'questions':>9}{'blind':>9}{'exchanged':>11}{'tuned':>9}   95 %"]
    found: dict = {"epochs": len(history.score), "best": history.best_epoch + 1}
    for name in ("validation", "test"):
        v, rows = data[name]
        own = right(eyes, v, rows)
        other = right(eyes, v, exchanged(rows, len(v), seed))
        blind = words_alone(data["training"][1], rows)
        sure = wilson(sum(own), len(own))
        found[name] = {
            "questions": len(own),
            "blind": sum(blind),
            "exchanged": sum(other),
            "tuned": sum(own),
        }
        shares = [100 * sum(some) / len(own) for some in (blind, other, own)]
        lines.append(
            f"{name:<12}{len(own):>9}{shares[0]:>8.1f}%{shares[1]:>10.1f}%{shares[2]:>8.1f}%   "
            f"{100 * sure.low:.1f} to {100 * sure.high:.1f}"
        )
    (folder / ABOUT).write_text(json.dumps(found, indent=1), encoding="utf-8")
    lines.append(f"best epoch {history.best_epoch + 1} of {len(history.score)}")
    return "\n".join(lines)


def exchanged(rows: Sequence[Instruction], pictures: int, seed: int) -> list[Instruction]:
    """The rows, each about another picture where there is one."""
    step = random.Random(seed).randint(1, max(1, pictures - 1))
    return [row._replace(picture=(row.picture + step) % pictures) for row in rows]


def load_words(folder: str | Path) -> Eyes:
    """What `train_words` wrote.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or belongs to another model.
    """
    return load_eyes(Path(folder) / FILE)


def ask_words(eyes: Eyes, picture: str | Path, question: str) -> str:
    """What the tuned model writes about a picture file.

    Raises:
        ValueError: the picture can't be read, or the question is empty.
    """
    image = torch.from_numpy(read_picture(Path(picture), SIDE))  # (3, side, side)
    return eyes.ask(image, question, most=24)

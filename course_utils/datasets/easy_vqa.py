"""easy-VQA: the published benchmark of this course.

4,000 training and 1,000 test pictures of 64x64 with one coloured shape each, 38,575 and 9,673
questions, 13 answers (Victor Zhou, https://github.com/vzhou842/easy-VQA, MIT licence). The
package `easy-vqa` carries the pictures; nothing is downloaded.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageColor, ImageDraw, UnidentifiedImageError
from tokenizers import Tokenizer
from torch import Tensor

from course_utils.datasets.batch import VQAData
from course_utils.datasets.text import encode, word_tokenizer

FAMILIES = ("yes/no", "colour", "shape")
SHAPES = ("circle", "rectangle", "triangle")
COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "black": (0, 0, 0),
    "gray": (128, 128, 128),
    "teal": (0, 128, 128),
    "brown": (165, 42, 42),
    "yellow": (255, 255, 0),
}
BACKGROUND = (240, 240, 240)  # theirs are alike: each channel is from 230 to 255


def easy_vqa_folder() -> Path:
    """The folder with the data of the installed package `easy-vqa`.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    spec = importlib.util.find_spec("easy_vqa")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("easy-VQA is missing: install it with `pip install easy-vqa`")
    return Path(spec.origin).parent / "data"


def _read_picture(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))  # (height, width, 3)
    except FileNotFoundError:
        raise FileNotFoundError(f"expected the picture {path}, but there is no such file") from None
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"expected a readable picture in {path}, got: {error}") from None


def _read_questions(path: Path) -> list[tuple[str, str, int]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [(str(question), str(answer), int(picture)) for question, answer, picture in rows]
    except FileNotFoundError:
        raise FileNotFoundError(
            f"expected questions in {path}, but there is no such file"
        ) from None
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"expected a JSON list of [question, answer, picture number] in {path}, got: {error}"
        ) from None


def _family(answer: str) -> int:
    return 0 if answer in ("yes", "no") else 2 if answer in SHAPES else 1


def load_easy_vqa(
    split: str,
    tokenizer: Tokenizer | None = None,
    answers: tuple[str, ...] | None = None,
    folder: Path | None = None,
) -> VQAData:
    """One split of easy-VQA as `VQAData`.

    Args:
        split: "train" or "test".
        tokenizer: fitted on this split when None; pass the training split's to "test".
        answers: names of the answer ids; the sorted answers of this split when None. Pass the
            training split's to "test": an answer outside of it is an error.
        folder: where the data lie, in the published layout; the installed package when None.

    Raises:
        ValueError: unknown split, unreadable file, pictures of different sizes, or an unknown
            answer.
        FileNotFoundError: a file is missing.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split: expected 'train' or 'test', got {split!r}")
    folder = (folder or easy_vqa_folder()) / split
    rows = _read_questions(folder / "questions.json")
    questions = tuple(question for question, _, _ in rows)
    if answers is None:
        answers = tuple(sorted({answer for _, answer, _ in rows}))
    ids = {name: i for i, name in enumerate(answers)}
    for question, answer, _ in rows:
        if answer not in ids:
            raise ValueError(
                f"unknown answer {answer!r} to {question!r} in the {split} split: "
                f"expected one of {', '.join(answers)}"
            )
    numbers = sorted({picture for _, _, picture in rows})
    position = {number: i for i, number in enumerate(numbers)}
    pictures = [_read_picture(folder / "images" / f"{number}.png") for number in numbers]
    for number, picture in zip(numbers, pictures):
        if picture.shape != pictures[0].shape:
            raise ValueError(
                f"expected every picture of the size of the first {pictures[0].shape}, "
                f"got {picture.shape} in {number}.png"
            )
    tokenizer = tokenizer or word_tokenizer(questions)
    x, mask = encode(tokenizer, questions)
    return VQAData(
        images=torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous(),
        questions=questions,
        x=x,
        mask=mask,
        image_index=torch.tensor([position[picture] for _, _, picture in rows]),
        y=torch.tensor([ids[answer] for _, answer, _ in rows]),
        family=torch.tensor([_family(answer) for _, answer, _ in rows]),
        answers=answers,
        families=FAMILIES,
        tokenizer=tokenizer,
    )


def easy_vqa_words(folder: Path | None = None) -> tuple[Tokenizer, tuple[str, ...]]:
    """Tokenizer and answers of the training split, as `load_easy_vqa` makes them, without its
    4,000 pictures.

    Raises:
        FileNotFoundError: the data are missing.
        ValueError: the questions can't be read.
    """
    rows = _read_questions((folder or easy_vqa_folder()) / "train" / "questions.json")
    answers = tuple(sorted({answer for _, answer, _ in rows}))
    return word_tokenizer(question for question, _, _ in rows), answers


def draw_shape(
    shape: str,
    colour: str,
    size: int = 28,
    x: int = 32,
    y: int = 32,
    upside_down: bool = False,
    covered: bool = False,
) -> Tensor:
    """A picture like those of easy-VQA: (3, 64, 64) uint8 with one shape around (x, y).

    Args:
        shape: one of SHAPES.
        colour: one of COLOURS, or another name that Pillow knows, such as "purple".
        size: width and height in pixels; 0 for a single point.
        x, y: the middle, in pixels from the left and from the top; it may lie outside.
        upside_down: whether a triangle stands on its tip; the other shapes don't change.
        covered: background only, as if a sheet of paper lay on the picture.

    Raises:
        ValueError: an unknown shape or colour, or a size below 0.
    """
    if shape not in SHAPES:
        raise ValueError(f"shape: expected one of {', '.join(SHAPES)}, got {shape!r}")
    if size < 0:
        raise ValueError(f"size: expected 0 or more, got {size}")
    fill = COLOURS.get(colour) or ImageColor.getrgb(colour)
    picture = Image.new("RGB", (64, 64), BACKGROUND)
    box = (x - size / 2, y - size / 2, x + size / 2, y + size / 2)
    if not covered:
        _paint(ImageDraw.Draw(picture), shape, fill, box, upside_down)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)  # (3, 64, 64)


def _paint(pen, shape: str, fill, box: tuple[float, ...], upside_down: bool) -> None:
    left, top, right, bottom = box
    if shape == "triangle":
        tip, base = (bottom, top) if upside_down else (top, bottom)
        pen.polygon([((left + right) / 2, tip), (left, base), (right, base)], fill=fill)
    elif shape == "circle":
        pen.ellipse(box, fill=fill)
    else:
        pen.rectangle(box, fill=fill)

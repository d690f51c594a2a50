"""The joint model for real pictures, tuned on questions about one's own.

Frozen EfficientNet-Lite0 features, MiniLM's frozen WordPiece vectors and the joint encoder that was
pretrained on emoji and captions (`course_utils.methods.pretraining`) get a new head and a small
number of new parameters (`course_utils.peft`). `course train` is this as a command.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm import tqdm

from course_utils.datasets.batch import Batch, VQAData, loader
from course_utils.datasets.features import cached_features
from course_utils.datasets.files import data_path
from course_utils.datasets.rows import Row, read_picture, refuse_bad, soft_targets
from course_utils.evaluation.baselines import mode_scores, questions_as_tokens, words_scores
from course_utils.evaluation.evaluate import predict_logits
from course_utils.evaluation.intervals import Interval, bootstrap
from course_utils.methods.pretraining import REAL_SIDE, REAL_WORDS, load_real_pretrained
from course_utils.models.heads import AnswerHead
from course_utils.models.pretrained import load_efficientnet_lite0, load_minilm
from course_utils.models.pretraining import JointPretraining
from course_utils.models.text import encode_texts
from course_utils.models.vqa import VQAModel
from course_utils.objectives.classification import soft_binary_cross_entropy, soft_cross_entropy
from course_utils.peft import (
    AdapterConfig,
    LoRAConfig,
    PrefixConfig,
    add_adapters,
    add_lora,
    add_prefix,
    freeze_base,
    load_tuning,
    save_tuning,
)
from course_utils.training.fit import FitConfig, History, fit

TYPES = ("yes/no", "number", "other")
CHUNK = 512  # pictures whose features are computed, and kept on disk, together
METHODS = {
    "lora": lambda model: add_lora(model, LoRAConfig(rank=8)),
    "adapters": lambda model: add_adapters(model, AdapterConfig(width=16)),
    "prefix": lambda model: add_prefix(model, PrefixConfig(length=8, hidden=0)),
}
OWN_FIT = FitConfig(epochs=30, lr=1e-3, warmup=0.1, patience=10)
IMAGES_PER_BATCH = 4


@dataclass(frozen=True)
class Score:
    """How often, and how well, questions were answered; all in [0, 1]."""

    all: float
    by_type: dict[str, float]  # those of TYPES that occur
    questions: int
    each: Float[Tensor, " questions"] = field(repr=False, compare=False)  # float64


def picture_features(
    paths: Sequence[Path], progress: bool = True
) -> Float[Tensor, "pictures 16 1280"]:
    """EfficientNet-Lite0's features of picture files, float16, kept on disk in chunks: what is
    interrupted goes on with the chunk that was missing.

    Raises:
        ValueError: a picture can't be read.
        FileNotFoundError: EfficientNet-Lite0's weights are not here.
    """
    net, parts = load_efficientnet_lite0(), []
    starts = range(0, len(paths), CHUNK)
    for start in tqdm(starts, "pictures", disable=not progress, leave=False):
        some = _read_pictures(paths[start : start + CHUNK], paths[start + CHUNK :])
        images = torch.stack([torch.from_numpy(image) for image in some])  # (some, 3, side, side)
        parts.append(
            cached_features("own-pictures", images, net, lambda batch: net.grid(batch).half())
        )
    return torch.cat(parts)  # (pictures, 16, 1280)


def _read_pictures(some: Sequence[Path], others: Sequence[Path]) -> list[np.ndarray]:
    """The pictures in `some` files. If one can't be read, `others` are tried too, so that the error
    names all that are to be mended."""
    read, bad = [], []
    for path in some:
        try:
            read.append(read_picture(path, REAL_SIDE))  # (3, side, side)
        except ValueError as error:
            bad.append(str(error))
    if not bad:
        return read
    for path in others:
        try:
            read_picture(path, REAL_SIDE)
        except ValueError as error:
            bad.append(str(error))
    refuse_bad(bad, len(some) + len(others) - len(bad), Path("pictures"))
    raise AssertionError  # never: there are bad ones


def answer_type(row: Row) -> int:
    """The number in TYPES of the kind of a row's best answer: the source's own, where it tells."""
    if row.kind in TYPES:
        return TYPES.index(row.kind)
    best = row.best
    if best in ("yes", "no"):
        return 0
    return 1 if best.replace(",", "").replace(".", "", 1).isdigit() else 2


def questions_data(rows: Sequence[Row], answers: tuple[str, ...], progress: bool = True) -> VQAData:
    """Rows as `VQAData` with features in the place of pictures.

    Raises:
        ValueError: a picture can't be read, or a question has too many words.
    """
    _, tokenizer = load_minilm()
    pictures = list(dict.fromkeys(row.picture for row in rows))
    position = {path: i for i, path in enumerate(pictures)}
    questions = tuple(row.question for row in rows)
    x, mask = question_tokens(tokenizer, questions)  # (questions, words) each
    return VQAData(
        images=picture_features(pictures, progress),
        questions=questions,
        x=x,
        mask=mask,
        image_index=torch.tensor([position[row.picture] for row in rows]),
        y=soft_targets(rows, answers),
        family=torch.tensor([answer_type(row) for row in rows]),
        answers=answers,
        families=TYPES,
        tokenizer=tokenizer,
    )


def question_tokens(tokenizer: Tokenizer, questions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids and mask (questions, words).

    Raises:
        ValueError: questions are too long, or mostly of words that the tokenizer doesn't know.
    """
    x, mask = encode_texts(tokenizer, questions, REAL_WORDS + 1)  # (questions, words) each
    unknown = ((x == tokenizer.token_to_id("[UNK]")) & mask).sum(1)  # (questions,)
    texts = mask.sum(1) - 2  # (questions,) without [CLS] and [SEP]
    for wrong, what in (
        (mask.sum(1) > REAL_WORDS, f"are longer than {REAL_WORDS} tokens"),
        (
            2 * unknown > texts,
            "are mostly of signs that the tokenizer doesn't know: ask in English",
        ),
    ):
        if wrong.any():
            first = questions[int(wrong.nonzero()[0])]
            raise ValueError(
                f"{int(wrong.sum())} of {len(questions)} questions {what}; the first: {first!r}"
            )
    return x[:, :REAL_WORDS], mask[:, :REAL_WORDS]


def real_vqa_model(answers: int, checkpoint: Path | None = None) -> VQAModel:
    """The pretrained joint model for real pictures under a new head; nothing is frozen yet."""
    pretrained = _pretrained(checkpoint or data_path("checkpoints/real_pretrained.safetensors"))
    head = AnswerHead(pretrained.encoder.config.dim, answers, dropout=0.1)
    return VQAModel(nn.Identity(), copy.deepcopy(pretrained.encoder), head)


@cache
def _pretrained(path: Path) -> JointPretraining:
    # building a model draws random numbers: without the fork the first call of a process, which
    # is the only one that loads, would leave another state behind than all later ones
    with torch.random.fork_rng(devices=[]):
        return load_real_pretrained(path)


def softmax_objective(model: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy: one right answer a question."""
    logits = model(batch.images, batch.image_index, batch.x, batch.mask)  # (batch, answers)
    return soft_cross_entropy(logits, batch.y)


def scores_objective(model: nn.Module, batch: Batch) -> Tensor:
    """Binary cross-entropy with the score of each answer, summed over the answers."""
    logits = model(batch.images, batch.image_index, batch.x, batch.mask)  # (batch, answers)
    return soft_binary_cross_entropy(logits, batch.y)


def score(model: nn.Module, data: VQAData) -> Score:
    """The mean score of the answer with the largest logit.

    Raises:
        FloatingPointError: a logit is NaN.
    """
    return _score(_refuse_nan(predict_logits(model, data)).argmax(1), data)


def _refuse_nan(logits: Tensor) -> Tensor:
    if logits.isnan().any():  # of which argmax would make the first answer
        raise FloatingPointError("the model's logits are NaN: its weights are damaged")
    return logits


def _score(chosen: Tensor, data: VQAData) -> Score:
    got = data.y.gather(1, chosen[:, None])[:, 0].double() / 10  # (examples,)
    parts = {
        name: got[data.family == i].mean().item()
        for i, name in enumerate(TYPES)
        if (data.family == i).any()
    }
    return Score(got.mean().item(), parts, len(got), got)


def blind_score(train: VQAData, data: VQAData) -> Score:
    """That of the best training answer to each question, without pictures."""
    return _score(mode_scores(train, data), data)


def without_pictures(data: VQAData, train: VQAData) -> VQAData:
    """The same questions, each about the mean of the training pictures' features."""
    mean = train.images.mean(0, dtype=torch.float32).to(train.images.dtype)  # (16, 1280)
    return replace(data, images=mean.expand_as(data.images))


def best_blind(
    train: VQAData, validation: VQAData, test: VQAData, model: nn.Module | None = None
) -> tuple[str, list[Score]]:
    """Of the ways to answer without pictures the one that is best on validation: its name, and its
    scores on validation and test.

    Args:
        model: one that was tuned as the model is with which it is compared, but on training and
            validation data `without_pictures`.
    """
    ways = {
        "a table of questions": lambda data: mode_scores(train, data),
        "a bag of words": lambda data: words_scores(train, data),
    }
    if model is not None:
        ways["the model without pictures"] = lambda data: predict_logits(
            model, without_pictures(data, train)
        ).argmax(1)
    found = {
        name: [_score(way(data), data) for data in (validation, test)] for name, way in ways.items()
    }
    best = max(found, key=lambda name: found[name][0].all)  # of equal ones the simplest
    return best, found[best]


def asked_before(train: VQAData, data: VQAData) -> float:
    """The share of the questions that were asked in training too, with the very same tokens."""
    known = set(questions_as_tokens(train))
    return sum(question in known for question in questions_as_tokens(data)) / len(data)


def gain(tuned: Score, blind: Score, data: VQAData) -> Interval | None:
    """How much higher the first score is, question by question, with its 95 % interval by picture
    (lesson 10); None where fewer than two pictures are asked about."""
    if len(data.image_index.unique()) < 2:
        return None
    return bootstrap(tuned.each - blind.each, data.image_index)


def tunable(answers: int, method: str = "lora", checkpoint: Path | None = None) -> VQAModel:
    """The pretrained joint model under a new head, with a method in it; that and the head train.

    Raises:
        ValueError: unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    model = real_vqa_model(answers, checkpoint)
    METHODS[method](model)
    freeze_base(model, keep=("head",))
    return model


def tune(
    model: VQAModel,
    train: VQAData,
    validation: VQAData,
    config: FitConfig = OWN_FIT,
    soft: bool = False,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: bool = True,
    seen: list[float] | None = None,
) -> History:
    """Trains what isn't frozen in `model`, in place; the epoch is chosen on `validation`.

    With `soft`, answers have scores of several people: binary cross-entropy instead of softmax.
    `seen` gets the validation score of each epoch at once, for who stops it by hand.
    """
    seen = [] if seen is None else seen

    def validate(model: nn.Module) -> float:
        seen.append(score(model, validation).all)
        return seen[-1]

    return fit(
        model,
        scores_objective if soft else softmax_objective,
        loader(train, IMAGES_PER_BATCH, seed=seed),
        validate=validate,
        config=config,
        device=device,
        progress=progress,
    )


class Answerer(NamedTuple):
    """A tuned model and what it needs to answer."""

    model: VQAModel
    answers: tuple[str, ...]
    soft: bool = False  # trained by binary cross-entropy: each answer has a probability of its own


def save_answerer(answerer: Answerer, folder: str | Path) -> None:
    """Writes what was trained, the names of the answers and the loss into `folder`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_tuning(answerer.model, folder / "tuning.safetensors")
    about = {"answers": answerer.answers, "soft": answerer.soft}
    text = json.dumps(about, ensure_ascii=False, indent=1)
    (folder / "answers.json").write_text(text, encoding="utf-8")


def load_answerer(folder: str | Path, checkpoint: Path | None = None) -> Answerer:
    """What `save_answerer` wrote, the model in eval mode.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or belongs to another pretrained model.
    """
    path = Path(folder) / "answers.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        answers, soft = tuple(about["answers"]), bool(about["soft"])
    except FileNotFoundError:
        raise FileNotFoundError(f"expected {path}, but there is no such file") from None
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: expected answers and their loss, got: {error!r}") from None
    model = real_vqa_model(len(answers), checkpoint)
    load_tuning(model, Path(folder) / "tuning.safetensors")
    return Answerer(model, answers, soft)


@torch.no_grad()
def ask(
    answerer: Answerer, picture: str | Path, question: str, top: int = 3
) -> list[tuple[str, float]]:
    """The likeliest answers to a question about a picture file, with their probabilities: these
    sum to 1 over all answers, unless the model was trained with soft scores, where each is the
    score that people would give that answer.

    Raises:
        ValueError: the picture can't be read, or the question is empty, too long or in a script
            that the tokenizer doesn't know.
        FloatingPointError: a logit is NaN.
    """
    if not question.strip():
        raise ValueError(f"question: expected some words, got {question!r}")
    _, tokenizer = load_minilm()
    image = torch.from_numpy(read_picture(Path(picture), REAL_SIDE))[None]  # (1, 3, side, side)
    v = load_efficientnet_lite0().grid(image.float() / 255)  # (1, 16, 1280)
    x, mask = question_tokens(tokenizer, [question])  # (1, words) each
    model, answers, soft = answerer
    logits = _refuse_nan(model(v, torch.zeros(1, dtype=torch.long), x, mask)[0])  # (answers,)
    chances = logits.sigmoid() if soft else logits.softmax(-1)  # (answers,)
    best = chances.topk(min(top, len(answers)))
    return [(answers[i], p) for p, i in zip(best.values.tolist(), best.indices.tolist())]

"""Lesson 14: SmolLM2 learns to see, beside the same training without pictures.

python -m course_utils.studies eyes
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedTokenizerBase

from course_utils.cache import cache_folder
from course_utils.datasets.emoji import load_emoji
from course_utils.datasets.instruction_sources import (
    KIND,
    Source,
    easy_vqa_turns,
    emoji_kinds,
    emoji_turns,
    joined,
    of_kinds,
    world_turns,
)
from course_utils.datasets.instructions import (
    Instruction,
    InstructionBatch,
    by_picture,
    instruction_loader,
)
from course_utils.methods.eyes import GRID, add_tuning, visual_features, with_eyes
from course_utils.methods.instruction_tuning import answer_loss, answers, choice_log_probs
from course_utils.models import smollm2
from course_utils.models.convert import from_llama
from course_utils.models.llama import Llama
from course_utils.models.pretrained import load_efficientnet_lite0
from course_utils.models.seeing import SeeingDecoder
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import FitConfig, History, fit

PICTURES = 5  # a batch
TURNS = 3  # about a picture in a batch, at most
SCENES = 8000  # of the world
PASSES = {"easy-VQA": 0.2, "world": 0.65, "emoji": 2.4}  # over the turns of each source
FIT = FitConfig(epochs=1, lr=1.5e-3, warmup=0.05, precision="bf16", save_every=500)
SHORT = 300  # updates of the runs that compare numbers of visual tokens
REPEATED = 20  # updates of the seeing model that are kept in float32 too
FREE = ("world caption", "world absent", "emoji name")  # answered in words, not asked of others
SPECIAL = 200  # pictures of the world that are described, and asked about what is not there
WORDS = (  # what a model of language is to go on predicting; own sentences, never trained on
    "The train was late, so we missed the last bus and walked home through the rain.",
    "She put the letters into a drawer, locked it, and forgot where she had hidden the key.",
    "Water boils at a lower temperature in the mountains, because the air is thinner there.",
    "If you want the bread to rise, leave the dough in a warm place for at least an hour.",
    "The committee will meet again in March to decide who is going to pay for the bridge.",
    "My grandmother used to say that a good knife and an empty table are half of cooking.",
    "Most birds that spend the summer here fly south before the first frost comes.",
    "He opened the window, listened for a while, and then went back to his book.",
)


@dataclass(frozen=True)
class Kind:
    """One model of the study."""

    sees: bool = True  # or its features are zeros
    tuned: bool = True  # low-rank changes in the decoder, or the projector alone
    grid: int = GRID
    updates: int = 0  # 0 for the whole pass


KINDS = {
    "seeing": Kind(),
    "blind": Kind(sees=False, updates=1000),  # its loss falls no further
    "projector alone": Kind(tuned=False, updates=SHORT),
    "1 token": Kind(grid=1, updates=SHORT),
    "9 tokens": Kind(updates=SHORT),
    "25 tokens": Kind(grid=5, updates=SHORT),
}


@dataclass(frozen=True)
class Seen:
    """A source with the features of its pictures."""

    v: Float[Tensor, "pictures patches visual_dim"]
    source: Source


def seen(name: str, sources: Sequence[Source], kind: Kind) -> Seen:
    """Sources as one, with their pictures' features; zeros for a blind model."""
    backbone = load_efficientnet_lite0()
    parts = [
        visual_features(f"eyes-{name}-{i}", source.images, backbone, kind.grid)
        for i, source in enumerate(sources)
    ]
    v = torch.cat(parts)  # (pictures, patches, 1280)
    return Seen(v if kind.sees else torch.zeros_like(v), joined(sources))


def training_turns(source: Source, seed: int) -> list[list[Instruction]]:
    """Turns of the training data, together by picture, in the shares of PASSES."""
    rng = random.Random(seed)
    found: list[list[Instruction]] = []
    for name, passes in PASSES.items():
        rows = [row for row, kind in zip(source.rows, source.kinds) if kind.split(" ")[0] == name]
        while passes > 0:
            rng.shuffle(rows)
            turns = by_picture(rows, TURNS)
            found += turns[: round(min(passes, 1.0) * len(turns))]
            passes -= 1
    return found


def training_sources() -> list[Source]:
    """Pictures and turns that the models learn from."""
    return [easy_vqa_turns("train"), world_turns("train", SCENES), emoji_turns("train")]


def training_data(kind: Kind) -> Seen:
    """`training_sources` with their pictures' features."""
    return seen("train", training_sources(), kind)


def objective(
    v: Float[Tensor, "pictures patches visual_dim"], model: SeeingDecoder, batch: InstructionBatch
) -> Float[Tensor, ""]:
    """`answer_loss` with attention written out: in bfloat16, on a CPU, with so few tokens, the
    fused kernel's way back takes much longer."""
    with sdpa_kernel(SDPBackend.MATH):
        return answer_loss(model, v, batch)


@contextmanager
def half_frozen(model: SeeingDecoder) -> Iterator[None]:
    """The frozen matrices are in bfloat16 inside, so that no update has to convert them; the table
    of tokens isn't, because the states begin with it."""
    table = model.decoder.token.weight
    frozen = [
        p for p in model.parameters() if not p.requires_grad and p.ndim == 2 and p is not table
    ]
    kept = [p.data for p in frozen]
    try:
        for p in frozen:
            p.data = p.data.bfloat16()
        yield
    finally:
        for p, data in zip(frozen, kept):
            p.data = data


def new_model(kind: Kind, seed: int) -> tuple[SeeingDecoder, PreTrainedTokenizerBase]:
    """SmolLM2 with eyes that have learnt nothing."""
    reference, tokenizer = smollm2.load()
    model = with_eyes(from_llama(reference), tokenizer, seed)
    if kind.tuned:
        add_tuning(model, seed=seed)
    return model, tokenizer


def train_eyes(
    kind: Kind, seed: int = 0, updates: int = 0, config: FitConfig = FIT, resume: Path | None = None
) -> tuple[SeeingDecoder, PreTrainedTokenizerBase, History]:
    """Trains one kind of model for the first `updates` of its pass; all of them when 0."""
    data = training_data(kind)
    model, tokenizer = new_model(kind, seed)
    turns = training_turns(data.source, seed)
    batches = instruction_loader(tokenizer, turns, data.v.shape[1], PICTURES, seed)
    with half_frozen(model):
        history = fit(
            model,
            partial(objective, data.v),
            batches,
            config=replace(config, max_steps=updates or kind.updates),
            device="cpu",
            resume=resume,
        )
    return model, tokenizer, history


def first_batches(
    tokenizer: PreTrainedTokenizerBase, updates: int, seed: int = 0
) -> tuple[Float[Tensor, "pictures patches visual_dim"], DataLoader]:
    """The batches of the seeing model's first updates, and the features of their pictures alone."""
    source = joined(training_sources())
    turns = training_turns(source, seed)
    loader = instruction_loader(tokenizer, turns, GRID * GRID, PICTURES, seed)
    batches = list(islice(loader, updates))
    pictures, number = torch.cat([batch.picture for batch in batches]).unique(return_inverse=True)
    v = visual_features("eyes-first", source.images[pictures], load_efficientnet_lite0())
    parts = number.split([len(batch.picture) for batch in batches])
    small = [batch._replace(picture=part) for batch, part in zip(batches, parts)]
    return v, DataLoader(cast(Dataset, small), batch_size=None)


def first_updates(updates: int, total: int) -> FitConfig:
    """FIT's first `updates` of `total`, in float32: the rate is still rising."""
    rising = round(FIT.warmup * total)
    if updates > rising:
        raise ValueError(f"updates: expected at most {rising}, the warm-up, got {updates}")
    return replace(FIT, precision="no", save_every=0, lr=FIT.lr * updates / rising, warmup=1.0)


def first_losses(tokenizer: PreTrainedTokenizerBase, total: int, seed: int = 0) -> list[float]:
    """The losses of the seeing model's first REPEATED updates of `total` in float32, in which they
    repeat on other processors; in bfloat16 runs part sooner."""
    model, _ = new_model(KINDS["seeing"], seed)
    v, batches = first_batches(tokenizer, REPEATED, seed)
    config = first_updates(REPEATED, total)
    history = fit(
        model,
        lambda model, batch: answer_loss(model, v, batch),
        batches,
        config=config,
        device="cpu",
        progress=False,
    )
    return history.loss


# How good they are


def asked_once(part: str) -> list[Source]:
    """Pictures that no model has seen, with one question of each picture at random, so that answers
    are independent; captions and absent things of some pictures; all emoji."""
    rng = random.Random(0)
    sources = []
    for source in (easy_vqa_turns(part), world_turns(part, 1000)):
        asked: dict[tuple[int, str], list[int]] = {}
        for i, (row, name) in enumerate(zip(source.rows, source.kinds)):
            special = name in ("world caption", "world absent")
            if not special or row.picture < SPECIAL:
                asked.setdefault((row.picture, name if special else ""), []).append(i)
        chosen = [rng.choice(some) for some in asked.values()]
        rows = tuple(source.rows[i] for i in chosen)
        sources.append(Source(source.images, rows, tuple(source.kinds[i] for i in chosen)))
    return [*sources, emoji_turns(part)]


def test_data(kind: Kind, part: str = "test") -> Seen:
    """`asked_once` with the pictures' features."""
    return seen(part, asked_once(part), kind)


def marks(
    model: SeeingDecoder, tokenizer: PreTrainedTokenizerBase, data: Seen, exchanged: bool = False
) -> dict[str, list[int]]:
    """Of each kind of turn: how many answers are right to the letter, how many turns there are, and
    how many answers are "yes". With `exchanged`, each question is asked about another picture."""
    rows = data.source.rows
    pictures = torch.tensor([row.picture for row in rows])  # (turns,)
    if exchanged:
        pictures = other_pictures(pictures, data.source.kinds)
    written = answers(
        model, tokenizer, data.v[pictures].float(), [row.question for row in rows], 16, at_once=64
    )
    found: dict[str, list[int]] = {}
    for row, kind, text in zip(rows, data.source.kinds, written):
        counts = found.setdefault(kind, [0, 0, 0])
        for place, one in enumerate((text == row.answer, True, text == "yes")):
            counts[place] += int(one)
    return found


def other_pictures(pictures: Tensor, kinds: Sequence[str]) -> Tensor:
    """For each turn (turns,) the picture of another one of its kind."""
    other = pictures.clone()
    for kind in dict.fromkeys(kinds):
        here = torch.tensor([i for i, name in enumerate(kinds) if name == kind])
        other[here] = pictures[here].roll(len(here) // 2)
    return other


def kinds_ranked(model: SeeingDecoder, tokenizer: PreTrainedTokenizerBase, data: Seen) -> list[int]:
    """How many emoji have their own kind as the likeliest of all, and how many emoji there are."""
    rows = [row for row in data.source.rows if row.question == KIND]
    names = emoji_kinds(load_emoji("train"))
    v = data.v[[row.picture for row in rows]].float()  # (emoji, patches, 1280)
    scores = choice_log_probs(model, tokenizer, v, [KIND] * len(rows), names)  # (emoji, kinds)
    best = [names[i] for i in scores.argmax(1).tolist()]
    return [sum(name == row.answer for name, row in zip(best, rows)), len(rows)]


@torch.no_grad()
def language_loss(
    decoder: Llama, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str] = WORDS
) -> float:
    """Mean -log p of the tokens of plain texts, each after the tokens before it, in nat."""
    total, count = 0.0, 0
    for text in texts:
        x = tokenizer(text, return_tensors="pt").input_ids  # (1, words)
        logits = decoder(x)[0, :-1]  # (words - 1, vocab_size)
        total += F.cross_entropy(logits, x[0, 1:], reduction="sum").item()
        count += x.shape[1] - 1
    return total / count


def run(model: str, seed: int) -> Row:
    """Trains one model and asks it about all test pictures."""
    kind = KINDS[model]
    resume = cache_folder() / f"eyes-{model.replace(' ', '-')}-{seed}.state"
    trained, tokenizer, history = train_eyes(kind, seed, resume=resume)
    row = judged(trained, tokenizer, kind) | {"model": model, "seed": seed}
    resume.unlink(missing_ok=True)
    row |= {"updates": len(history.loss), "loss": [round(x, 4) for x in history.loss]}
    if model == "seeing":
        row["float32"] = [round(x, 4) for x in first_losses(tokenizer, row["updates"], seed)]
    return row


def judged(model: SeeingDecoder, tokenizer: PreTrainedTokenizerBase, kind: Kind) -> Row:
    """What is measured of a trained model, its answers in bfloat16 as in training."""
    data = test_data(kind)
    asked = [name for name in dict.fromkeys(data.source.kinds) if name not in FREE]
    with half_frozen(model), torch.autocast("cpu", torch.bfloat16):
        found: Row = {"marks": marks(model, tokenizer, data), "exchanged": None}
        if kind.sees and not kind.updates:
            few = Seen(data.v, of_kinds(data.source, asked))
            found["exchanged"] = marks(model, tokenizer, few, exchanged=True)
        found["ranked"] = kinds_ranked(model, tokenizer, data)
    return found | {"language": round(language_loss(model.decoder, tokenizer), 3)}


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    """Every model; the seeing one and its blind twin with each seed, the others with the first."""
    for model in KINDS:
        for seed in seeds if model in ("seeing", "blind") else seeds[:1]:
            yield {"model": model, "seed": seed}


STUDY = Study(
    measures="what SmolLM2 with eyes answers, beside a blind twin and other pictures",
    takes="about an hour a seed and model on a processor that knows bfloat16",
    columns={"model": tuple(KINDS), "seed": None},
    seeds=(0,),
    settings=settings,
    run=run,
)

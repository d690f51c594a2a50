"""The world's captioner: its model, what it is trained on, and how it is asked for a sentence."""

from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_utils.datasets.captions import (
    CAPTION,
    DESCRIBE,
    END,
    PAD,
    PROMPTS,
    START,
    CaptionBatch,
    caption_data,
    caption_loader,
    prompt_ids,
    world_words,
)
from course_utils.datasets.features import cached_features
from course_utils.datasets.files import data_path
from course_utils.datasets.pairs import pair_tokenizer
from course_utils.methods.generation import Choose, beam_search, continued, greedy
from course_utils.methods.pretraining import world_pretraining_model
from course_utils.models.captioner import Captioner
from course_utils.models.decoder import DecoderConfig
from course_utils.models.vision import ConvStem
from course_utils.models.weights import load_weights
from course_utils.objectives.language import answer_labels, shifted_loss
from course_utils.training.fit import FitConfig, History, fit
from course_utils.world.descriptions import same_objects, scene_graph, stated
from course_utils.world.drawing import draw
from course_utils.world.generate import generate
from course_utils.world.scenes import Scenes

PATCHES, VISUAL_DIM = 16, 64
# What the course's captioner is trained on: descriptions twice, captions in both languages
KINDS = (("en", DESCRIBE), ("en", DESCRIBE), ("en", CAPTION), ("zh", CAPTION))
CAPTIONER_FIT = FitConfig(epochs=6, lr=4e-3, warmup=0.1)
LONGEST = 40  # tokens of a text with its prompt: four objects in Chinese
MOST = 24  # tokens that are written to a prompt


def new_captioner() -> Captioner:
    """Random weights, but for lesson 07's stem, which is frozen.

    Raises:
        FileNotFoundError, ValueError: as `load_weights`, of checkpoints/world_pretrained.
    """
    seeing = world_pretraining_model(pair_tokenizer())
    load_weights(seeing, data_path("checkpoints/world_pretrained.safetensors"))
    stem = seeing.stem
    assert isinstance(stem, ConvStem)
    config = DecoderConfig(
        dim=64,
        layers=2,
        heads=4,
        mlp_dim=256,
        vocab_size=len(world_words()),
        max_words=PATCHES + LONGEST,
    )
    return Captioner(stem, VISUAL_DIM, config)


def trained_captioner() -> Captioner:
    """The captioner of data/checkpoints/captioner.safetensors, in eval mode.

    Raises:
        FileNotFoundError, ValueError: as `load_weights`.
    """
    path = data_path("checkpoints/captioner.safetensors")
    return load_weights(new_captioner(), path).eval()


def scene_features(model: Captioner, scenes: Scenes, name: str = "") -> Tensor:
    """v (scenes, patches, visual_dim) of the scenes' pictures; with a `name` they are kept on
    disk."""
    images = torch.from_numpy(draw(scenes))  # (scenes, 3, 64, 64) uint8
    if name:
        return cached_features(name, images, model.stem, model.stem, batch=64)
    return torch.cat([model.see(some.float() / 255) for some in images.split(64)])


def caption_objective(model: Captioner, batch: CaptionBatch) -> Float[Tensor, ""]:
    """Mean of -log p(token | picture, what stands before it) in nat, over what is to be written."""
    labels = answer_labels(batch.x, batch.mask, START, batch.v.shape[1])  # (batch, positions)
    return shifted_loss(model(batch.v, batch.x), labels)


@torch.no_grad()
def write(
    model: Captioner,
    v: Float[Tensor, "pictures patches visual_dim"],
    prompt: str,
    choose: Choose = greedy,
    most: int = MOST,
    at_once: int = 256,
) -> list[str]:
    """What the captioner writes about each picture, in up to `most` tokens."""
    return [world_words().text(row) for row in write_ids(model, v, prompt, choose, most, at_once)]


@torch.no_grad()
def write_ids(
    model: Captioner,
    v: Float[Tensor, "pictures patches visual_dim"],
    prompt: str,
    choose: Choose = greedy,
    most: int = MOST,
    at_once: int = 256,
) -> list[list[int]]:
    """The same as token ids, [END] among them."""
    x, found = prompt_ids(prompt), []
    for some in v.split(at_once):
        h = model.read(some, x.expand(len(some), -1))  # (pictures, positions, dim)
        new = continued(model.decoder, x, most, choose=choose, end=END, h=h)  # (pictures, new)
        found += new.tolist()
    return found


@torch.no_grad()
def search(
    model: Captioner,
    v: Float[Tensor, "pictures patches visual_dim"],
    prompt: str,
    width: int,
    length_penalty: float = 0.0,
    most: int = MOST,
    at_once: int = 128,
) -> list[str]:
    """What a beam search of `width` finds for each picture."""
    x, found = prompt_ids(prompt), []
    for some in v.split(at_once):
        h = model.read(some, x.expand(len(some), -1))  # (pictures, positions, dim)
        new, _ = beam_search(
            model.decoder, h, most, width, END, length_penalty, forbidden=(PAD, START)
        )
        found += new.tolist()
    return [world_words().text(row) for row in found]


def token_log_p(
    model: Captioner,
    v: Float[Tensor, "batch patches visual_dim"],
    x: Int[Tensor, "batch words"],
    mask: Bool[Tensor, "batch words"],
) -> tuple[Float[Tensor, "batch words-1"], Bool[Tensor, "batch words-1"]]:
    """log p in nat of each token but the first, and True where it was to be written."""
    patches = v.shape[1]
    logits = model(v, x)[:, patches:-1]  # (batch, words - 1, vocab_size)
    log_p = logits.log_softmax(-1).gather(-1, x[:, 1:, None])[..., 0]  # (batch, words - 1)
    return log_p, answer_labels(x, mask, START)[:, 1:] >= 0


@torch.no_grad()
def sentence_log_p(
    model: Captioner, v: Tensor, x: Tensor, mask: Tensor, at_once: int = 256
) -> Float[Tensor, " rows"]:
    """log p of each whole text given its picture, in nat."""
    found = []
    for some in zip(v.split(at_once), x.split(at_once), mask.split(at_once)):
        log_p, told = token_log_p(model, *some)
        found.append((log_p * told).sum(1))
    return torch.cat(found)


def exact_descriptions(model: Captioner, v: Tensor, scenes: Scenes) -> float:
    """Share of the scenes whose greedy description states just what is there."""
    texts = write(model, v, PROMPTS["en", DESCRIBE])
    right = [
        same_objects(stated(text) or [], scene_graph(scenes, i)) for i, text in enumerate(texts)
    ]
    return sum(right) / len(right)


def train_captioner(
    seed: int = 0,
    scenes: int = 12_000,
    config: FitConfig = CAPTIONER_FIT,
    checkpoint: Path | None = None,
    device: str | torch.device | None = None,
) -> tuple[Captioner, History]:
    """Trains the course's captioner on its frozen stem; the epoch is chosen by exact descriptions
    of 400 validation scenes."""
    train, validation = (
        generate("iid", part, count, 1, families=("exists",)).scenes
        for part, count in (("train", scenes), ("validation", 400))
    )
    torch.manual_seed(seed)
    model = new_captioner()
    v, v_validation = (scene_features(model, some, "captioner") for some in (train, validation))
    history = fit(
        model,
        caption_objective,
        caption_loader(caption_data(v, train, KINDS, seed), 64, seed),
        validate=lambda _: exact_descriptions(model, v_validation, validation),
        config=config,
        checkpoint=checkpoint,
        device=device,
    )
    return model, history

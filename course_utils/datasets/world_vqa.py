"""The teaching world as questions about pictures, in the same form as easy-VQA."""

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer

from course_utils.datasets.batch import VQAData
from course_utils.datasets.pairs import pair_tokenizer
from course_utils.datasets.text import encode, word_tokenizer
from course_utils.world import ANSWERS, FAMILIES, all_programs, generate, text_of
from course_utils.world.generate import World

WORLD_FAMILIES = ("exists", "colour", "shape", "count")  # what the course's models are asked


def world_tokenizer(language: str = "en") -> Tokenizer:
    """One token for every word that any question of the world may have, whatever the split."""
    return word_tokenizer(text_of(p, language) for f in FAMILIES for p in all_programs(f))


def load_world(
    split: str = "iid",
    part: str = "train",
    scenes: int = 10_000,
    questions_per_scene: int = 8,
    families: Sequence[str] = FAMILIES,
    seed: int = 0,
    language: str = "en",
    tokenizer: Tokenizer | None = None,
) -> VQAData:
    """A freshly drawn dataset of the world; see `course_utils.world.generate` for the arguments.

    `tokenizer` is `world_tokenizer(language)` when None; a pretrained model comes with its own.
    Answer ids and token ids are the same in every split, part and seed.

    Raises:
        ValueError: an argument is unknown, or no question could be balanced in so few scenes.
    """
    world = generate(split, part, scenes, questions_per_scene, families, seed, language)
    return from_world(world, language, tokenizer)


def from_world(world: World, language: str = "en", tokenizer: Tokenizer | None = None) -> VQAData:
    """The questions of `world` as `VQAData`."""
    if not world.questions:
        raise ValueError(
            f"no question could be balanced in {len(world.scenes)} scenes: ask for more scenes"
        )
    tokenizer = tokenizer or world_tokenizer(language)
    x, mask = encode(tokenizer, world.questions)
    return VQAData(
        images=torch.from_numpy(world.images),
        questions=world.questions,
        x=x,
        mask=mask,
        image_index=torch.from_numpy(world.scene_index),
        y=torch.from_numpy(world.answers),
        family=torch.from_numpy(world.family),
        answers=ANSWERS,
        families=FAMILIES,
        tokenizer=tokenizer,
    )


def world_data(part: str, scenes: int, seed: int = 0) -> VQAData:
    """Four questions a scene, one of each family of WORLD_FAMILIES or so."""
    return load_world("iid", part, scenes, 4, WORLD_FAMILIES, seed)


def answered(part: str, scenes: int, seed: int = 0, each: int = 4) -> VQAData:
    """`each` questions of WORLD_FAMILIES a scene, with the tokens of the pretrained model."""
    return load_world("iid", part, scenes, each, WORLD_FAMILIES, seed, tokenizer=pair_tokenizer())

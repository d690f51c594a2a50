"""The pictures that a language model with eyes learns from, each with what is asked and answered.

easy-VQA's questions, the world's questions and captions, questions about things that are not there,
and the names and kinds of emoji, all in one form: pictures of 64x64 and turns about them.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from course_utils.datasets.easy_vqa import load_easy_vqa
from course_utils.datasets.emoji import EmojiData, load_emoji
from course_utils.datasets.instructions import Instruction
from course_utils.datasets.world_vqa import WORLD_FAMILIES
from course_utils.world import ANSWERS, FAMILIES, captions, generate, text_of
from course_utils.world.language import thing
from course_utils.world.questions import Program, matching
from course_utils.world.scenes import COLOUR_NAMES, SHAPES, Scenes

DESCRIBE = "describe the picture."
NAME, KIND = "what is this?", "what kind of thing is this?"


class Source(NamedTuple):
    """Pictures and turns about them."""

    images: UInt8[Tensor, "pictures 3 64 64"]
    rows: tuple[Instruction, ...]
    kinds: tuple[str, ...]  # of each row: its data and what is asked, such as "world colour"


def joined(sources: Sequence[Source]) -> Source:
    """Several sources as one: the pictures one behind the other."""
    rows: list[Instruction] = []
    before = 0
    for source in sources:
        rows += [row._replace(picture=row.picture + before) for row in source.rows]
        before += len(source.images)
    kinds = tuple(kind for source in sources for kind in source.kinds)
    return Source(torch.cat([source.images for source in sources]), tuple(rows), kinds)


def easy_vqa_turns(part: str) -> Source:
    """easy-VQA's questions; "validation" is those about a tenth of the training pictures."""
    data = load_easy_vqa("test" if part == "test" else "train")
    if part != "test":
        data = data.split_by_image(0.1, seed=0)[part == "validation"]
    answers = [data.answers[y] for y in data.y.tolist()]
    rows = tuple(map(Instruction, data.image_index.tolist(), data.questions, answers))
    kinds = tuple(f"easy-VQA {data.families[family]}" for family in data.family.tolist())
    return Source(data.images, rows, kinds)


def world_turns(part: str, scenes: int, seed: int = 0) -> Source:
    """Four questions about each scene of the world, a caption, and where there is a shape that the
    scene lacks, a question about its colour: "there is no circle"."""
    world = generate("iid", part, scenes, 4, WORLD_FAMILIES, seed)
    numbers = world.scene_index.tolist()
    rows = [
        Instruction(number, question, ANSWERS[answer])
        for number, question, answer in zip(numbers, world.questions, world.answers.tolist())
    ]
    kinds = [f"world {FAMILIES[f]}" for f in world.family.tolist()]
    told = [Instruction(i, DESCRIBE, text) for i, text in enumerate(captions(world.scenes, seed))]
    missing = absent_turns(world.scenes, seed)
    rows += [*told, *missing]
    kinds += ["world caption"] * len(told) + ["world absent"] * len(missing)
    return Source(torch.from_numpy(world.images), tuple(rows), tuple(kinds))


def absent_turns(scenes: Scenes, seed: int = 0) -> list[Instruction]:
    """A question about each scene that takes something for granted which is not there: the colour
    of a shape, or the shape of a colour, drawn from those that the scene lacks."""
    rng = np.random.default_rng((seed, 13))
    there = [matching(scenes, None, None, name).any(1) for name in SHAPES]
    there += [matching(scenes, None, name, None).any(1) for name in COLOUR_NAMES]
    found = np.stack(there, axis=1)  # (scenes, names)
    rows = []
    for i in range(len(scenes)):
        name = str(rng.choice(np.array((*SHAPES, *COLOUR_NAMES))[~found[i]]))
        if name in SHAPES:
            question, what = Program("colour", shape=name), thing("en", shape=name)
        else:
            question, what = Program("shape", colour=name), thing("en", colour=name)
        rows.append(Instruction(i, text_of(question), f"there is no {what}"))
    return rows


def emoji_turns(part: str) -> Source:
    """Each emoji's name and its kind, Unicode's category in small letters."""
    emoji = load_emoji(part)
    names = [Instruction(i, NAME, name) for i, name in enumerate(emoji.names)]
    kinds = [Instruction(i, KIND, kind_of(name)) for i, name in enumerate(emoji.categories)]
    labels = ("emoji name",) * len(names) + ("emoji kind",) * len(kinds)
    return Source(emoji.images, (*names, *kinds), labels)


def kind_of(category: str) -> str:
    """A category as it is answered: "Food & Drink" is "food and drink"."""
    return category.lower().replace("&", "and")


def emoji_kinds(emoji: EmojiData) -> tuple[str, ...]:
    """The kinds of thing, in the order of their names."""
    return tuple(sorted({kind_of(category) for category in emoji.categories}))


def of_kinds(source: Source, kinds: Iterable[str]) -> Source:
    """The rows of some kinds only, with all pictures."""
    wanted = set(kinds)
    kept = [i for i, kind in enumerate(source.kinds) if kind in wanted]
    return source._replace(
        rows=tuple(source.rows[i] for i in kept), kinds=tuple(source.kinds[i] for i in kept)
    )

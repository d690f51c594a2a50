"""Combinations of colour and shape that are held out of training: what a question is about, what is
in a picture, and data without or about some of them."""

from itertools import product

import numpy as np
import torch

from course_utils.datasets.batch import VQAData
from course_utils.datasets.world_vqa import WORLD_FAMILIES, from_world
from course_utils.world import COLOURS, SHAPES, generate
from course_utils.world.generate import World

Pair = tuple[str, str]


def held_out(count: int, seed: int) -> set[Pair]:
    """The first `count` combinations in a random order, so that those for 2 are among those for 8.

    Raises:
        ValueError: `count` is negative or above 32.
    """
    pairs = list(product(COLOURS, SHAPES))
    if not 0 <= count <= len(pairs):
        raise ValueError(f"count: expected 0 to {len(pairs)}, got {count}")
    order = np.random.default_rng(seed).permutation(len(pairs))
    return {pairs[i] for i in order[:count]}


def asked_pairs(world: World) -> list[set[Pair]]:
    """The combinations that each question is about: those that it names, and that of its answer."""
    found = []
    for program, answer in zip(world.programs, world.answers.tolist()):
        name, pairs = world.answer_names[answer], set(program.pairs())
        if program.family == "colour" and program.shape:
            pairs.add((name, program.shape))
        if program.family == "shape" and program.colour:
            pairs.add((program.colour, name))
        found.append(pairs)
    return found


def scene_pairs(world: World) -> list[set[Pair]]:
    """The combinations that are in each scene."""
    colours, scenes = list(COLOURS), world.scenes
    return [
        {(colours[c], SHAPES[s]) for c, s in zip(row_c, row_s) if s >= 0}
        for row_c, row_s in zip(scenes.colour, scenes.shape)
    ]


def without(pairs: set[Pair], scenes: int, seed: int) -> VQAData:
    """Training questions about `scenes` scenes none of which has, or is asked about, `pairs`."""
    share = max(0.02, (1 - len(pairs) / 32) ** 3.5)  # of the scenes that will be left, about
    world = generate("iid", "train", int(scenes / share), 4, WORLD_FAMILIES, seed)
    clean = np.array([not (there & pairs) for there in scene_pairs(world)])
    asked = np.array([not (about & pairs) for about in asked_pairs(world)])
    keep = asked & clean[world.scene_index]
    chosen = np.unique(world.scene_index[keep])[:scenes]
    keep &= np.isin(world.scene_index, chosen)
    return from_world(world).select(torch.from_numpy(keep))


def new_and_seen(pairs: set[Pair], seed: int = 0) -> dict[str, VQAData]:
    """Test questions about a combination of `pairs` ("new"), and about others only ("seen")."""
    world = generate("iid", "test", 2000, 4, WORLD_FAMILIES, seed)
    data, asked = from_world(world), asked_pairs(world)
    new = torch.tensor([bool(about & pairs) for about in asked])
    seen = torch.tensor([bool(about) and not about & pairs for about in asked])
    return {name: data.select(rows) for name, rows in (("new", new), ("seen", seen)) if rows.any()}

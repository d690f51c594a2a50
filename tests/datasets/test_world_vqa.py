"""The teaching world as a dataset: what lesson 05 relies on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from course_utils import world
from course_utils.datasets import load_world
from course_utils.datasets.text import UNKNOWN
from course_utils.datasets.world_vqa import from_world, world_tokenizer


def test_a_drawn_world_and_its_dataset_agree_row_by_row():
    drawn = world.generate("iid", "test", 40, 4, ("colour", "shape"), seed=3)
    data = from_world(drawn)
    assert data.questions == drawn.questions
    assert np.array_equal(data.image_index.numpy(), drawn.scene_index)
    for i, (question, picture) in enumerate(zip(data.questions, data.image_index.tolist())):
        assert world.ask(question, drawn.scenes, picture) == data.answers[data.y[i]]
        assert data.families[data.family[i]] == world.parse(question).family
    again = load_world("iid", "test", 40, 4, ("colour", "shape"), seed=3)
    assert torch.equal(again.x, data.x) and torch.equal(again.images, data.images)


def test_every_question_of_the_world_has_known_words_and_fits():
    tokenizer = world_tokenizer()
    for family in world.FAMILIES:
        for program in world.all_programs(family):
            tokens = tokenizer.encode(world.text_of(program)).tokens
            assert UNKNOWN not in tokens and len(tokens) <= 32


def test_the_colour_word_stands_where_lesson_04_looks_for_it():
    tokenizer = world_tokenizer()
    for colour in world.COLOURS:
        tokens = tokenizer.encode(f"what shape is the {colour} object?").tokens
        assert tokens.index(colour) == 5


def test_a_world_without_questions_is_refused():
    empty = replace(world.generate("iid", "test", 5, 2, ("shape",), seed=3), questions=())
    with pytest.raises(ValueError, match="ask for more scenes"):
        from_world(empty)

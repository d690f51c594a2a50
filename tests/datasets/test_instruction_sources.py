from collections import Counter

import pytest
import torch

from course_utils.datasets.emoji import load_emoji
from course_utils.datasets.instruction_sources import (
    DESCRIBE,
    KIND,
    NAME,
    absent_turns,
    easy_vqa_turns,
    emoji_kinds,
    emoji_turns,
    joined,
    of_kinds,
    world_turns,
)
from course_utils.datasets.instructions import Instruction
from course_utils.world import ask, caption_log_prob, generate


@pytest.fixture(scope="module")
def world():
    return world_turns("train", 60, seed=3)


@pytest.fixture(scope="module")
def scenes():
    return generate("iid", "train", 60, 4, ("exists", "colour", "shape", "count"), 3).scenes


def test_the_worlds_answers_are_true(world, scenes):
    for row, kind in zip(world.rows, world.kinds):
        if kind == "world caption":
            assert row.question == DESCRIBE
            assert caption_log_prob(row.answer, scenes, row.picture) > -100
        elif kind != "world absent":
            assert ask(row.question, scenes, row.picture) == row.answer


def test_one_caption_and_one_question_about_nothing_a_scene(world):
    counts = Counter(world.kinds)
    assert counts["world caption"] == counts["world absent"] == len(world.images) == 60


def test_what_is_called_absent_is_absent(scenes):
    rows = absent_turns(scenes, seed=5)
    asked = set()
    for row in rows:
        with pytest.raises(ValueError, match="does not apply"):
            ask(row.question, scenes, row.picture)
        name = row.answer.removeprefix("there is no ").split()[0]
        assert name not in scenes.describe(row.picture) and name in row.question
        asked.add(row.question.split()[1])
    assert asked == {"colour", "shape"}
    assert rows == absent_turns(scenes, seed=5) != absent_turns(scenes, seed=6)


def test_easy_vqa_is_divided_by_picture():
    train, validation = easy_vqa_turns("train"), easy_vqa_turns("validation")
    assert len(train.images) == 3600 and len(validation.images) == 400
    assert len(train.rows) + len(validation.rows) == 38_575
    assert {kind.split()[0] for kind in train.kinds} == {"easy-VQA"}
    assert max(row.picture for row in validation.rows) == 399


def test_emoji_have_a_name_and_a_kind():
    emoji, source = load_emoji("validation"), emoji_turns("validation")
    assert source.rows[3] == Instruction(3, NAME, emoji.names[3])
    assert source.rows[len(emoji) + 3].question == KIND
    assert {row.answer for row in source.rows[len(emoji) :]} <= set(emoji_kinds(emoji))
    assert all("&" not in kind for kind in emoji_kinds(emoji))


def test_joined_sources_keep_their_pictures(world):
    emoji = emoji_turns("validation")
    both = joined([world, emoji])
    last = both.rows[-1]
    assert torch.equal(both.images[last.picture], emoji.images[emoji.rows[-1].picture])
    assert both.rows[: len(world.rows)] == world.rows and both.kinds[-1] == "emoji kind"


def test_rows_of_some_kinds(world):
    some = of_kinds(world, ["world caption"])
    assert len(some.rows) == 60 and set(some.kinds) == {"world caption"}
    assert len(some.images) == len(world.images)

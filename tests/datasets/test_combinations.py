"""Held-out combinations are really out."""

import pytest

from course_utils.datasets import combinations
from course_utils.datasets.world_vqa import WORLD_FAMILIES
from course_utils.world import generate


def test_fewer_combinations_are_among_more():
    assert combinations.held_out(2, 1) < combinations.held_out(8, 1)
    assert len(combinations.held_out(16, 0)) == 16 and not combinations.held_out(0, 0)
    assert combinations.held_out(8, 0) != combinations.held_out(8, 1)
    with pytest.raises(ValueError, match="count: expected 0 to 32, got 33"):
        combinations.held_out(33, 0)


def test_what_a_question_is_about_includes_its_answer():
    world = generate("iid", "test", 200, 4, WORLD_FAMILIES)
    there, asked = combinations.scene_pairs(world), combinations.asked_pairs(world)
    met = 0
    for i, (program, pairs) in enumerate(zip(world.programs, asked)):
        if program.family in ("colour", "shape") and pairs:
            assert pairs <= there[world.scene_index[i]]  # the object that it asks about is there
            met += 1
    assert met > 50


def test_training_data_have_no_held_out_combination():
    pairs = combinations.held_out(16, 3)
    data = combinations.without(pairs, scenes=40, seed=3)
    assert len(data.images) == 40
    clean = set()
    world = generate("iid", "train", int(40 / max(0.02, 0.5**3.5)), 4, WORLD_FAMILIES, 3)
    for image, there in zip(world.images, combinations.scene_pairs(world)):
        if not there & pairs:
            clean.add(image.tobytes())
    assert all(image.numpy().tobytes() in clean for image in data.images)
    for colour, shape in pairs:
        assert not any(f"{colour} {shape}" in question for question in data.questions)


def test_new_and_seen_questions_share_nothing():
    parts = combinations.new_and_seen(combinations.held_out(8, 0))
    assert set(parts) == {"new", "seen"} and min(len(p) for p in parts.values()) > 500
    assert set(combinations.new_and_seen(set())) == {"seen"}

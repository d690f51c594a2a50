"""Whole descriptions: in reading order, and back to the objects."""

import numpy as np
import pytest

from course_utils.world import compose, sample_scenes
from course_utils.world.descriptions import (
    describe,
    descriptions,
    reading_order,
    same_objects,
    scene_graph,
    stated,
)
from course_utils.world.language import LANGUAGES

OBJECTS = [
    ("small", "blue", "cross", 50, 10),
    ("large", "red", "circle", 12, 14),
    ("small", "red", "circle", 12, 50),
]


def test_objects_are_told_row_by_row_from_the_left():
    scene = compose(OBJECTS)
    assert reading_order(scene, 0) == [1, 0, 2]
    assert descriptions(scene) == [
        "a large red circle and a small blue cross and a small red circle"
    ]
    assert descriptions(scene, "zh") == ["一个大红色圆形和一个小蓝色十字形和一个小红色圆形"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_description_states_its_scene_and_no_other(language):
    scenes = sample_scenes(200, np.random.default_rng(3))
    graphs = [scene_graph(scenes, i) for i in range(200)]
    for text, graph in zip(descriptions(scenes, language), graphs):
        assert stated(text, language) == graph
    assert all(len(graph) == count for graph, count in zip(graphs, scenes.count))


def test_what_is_no_description_states_nothing():
    for text in ("", "a red circle", "a large red circle and", "large red circle", "a big red dot"):
        assert stated(text) is None, text
    assert stated(" a  large red circle ") == [("large", "red", "circle")]
    assert stated("一 个 大 红 色 圆 形", "zh") == [("large", "red", "circle")]


def test_the_same_objects_in_another_order_each_as_often():
    a, b = ("large", "red", "circle"), ("small", "blue", "cross")
    assert same_objects([a, b], [b, a])
    assert not same_objects([a, a], [a]) and not same_objects([a], [b])


def test_bad_input_is_named():
    scene = compose(OBJECTS)
    with pytest.raises(ValueError, match="scene from 0 to 0, got 1"):
        reading_order(scene, 1)
    with pytest.raises(ValueError, match="at least one"):
        describe([])
    with pytest.raises(ValueError, match="language"):
        stated("a", "fr")

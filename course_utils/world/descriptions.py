"""A whole description of a scene, each object once in reading order, and the way back: from a
text to the objects that it states."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import product

from course_utils.world.language import thing, words
from course_utils.world.scenes import CELLS, COLOUR_NAMES, MAX_OBJECTS, SHAPES, SIDE, SIZES, Scenes

Object = tuple[str, str, str]  # size, colour, shape, in English whatever the language of a text


def reading_order(scenes: Scenes, i: int) -> list[int]:
    """The columns of scene i's objects, row by row of the 3x3 grid, each row from the left.

    Raises:
        ValueError: there is no scene i.
    """
    if not 0 <= i < len(scenes):
        raise ValueError(f"i: expected a scene from 0 to {len(scenes) - 1}, got {i}")
    columns = [k for k in range(MAX_OBJECTS) if scenes.present[i, k]]
    return sorted(
        columns, key=lambda k: (int(scenes.cy[i, k] * CELLS // SIDE), float(scenes.cx[i, k]))
    )


def scene_graph(scenes: Scenes, i: int) -> list[Object]:
    """What is in scene i: (size, colour, shape) of each object, in reading order."""
    return [
        (SIZES[scenes.size[i, k]], COLOUR_NAMES[scenes.colour[i, k]], SHAPES[scenes.shape[i, k]])
        for k in reading_order(scenes, i)
    ]


def describe(objects: Sequence[Object], language: str = "en") -> str:
    """The objects as a sentence: "a large red circle and a small blue cross".

    Raises:
        ValueError: an unknown language, or no object.
    """
    if not objects:
        raise ValueError("objects: expected at least one")
    table = words(language)
    return table["and"].join(
        table["caption"].format(thing=thing(language, *one)) for one in objects
    )


def descriptions(scenes: Scenes, language: str = "en") -> list[str]:
    """The whole description of each scene."""
    return [describe(scene_graph(scenes, i), language) for i in range(len(scenes))]


def stated(text: str, language: str = "en") -> list[Object] | None:
    """The objects that a description states, in its order; None where it isn't one. Spaces between
    Chinese characters don't count.

    Raises:
        ValueError: an unknown language.
    """
    table, known = words(language), _phrases(language)
    text = "".join(text.split()) if language == "zh" else " ".join(text.split())
    found = [known.get(phrase) for phrase in text.split(table["and"])]
    return None if None in found else [one for one in found if one is not None]


def same_objects(one: Sequence[Object], other: Sequence[Object]) -> bool:
    """Whether both hold the same objects, each as often; the order doesn't count."""
    return Counter(one) == Counter(other)


@cache
def _phrases(language: str) -> dict[str, Object]:
    table = words(language)
    return {
        table["caption"].format(thing=thing(language, *one)): one
        for one in product(SIZES, COLOUR_NAMES, SHAPES)
    }

"""The teaching world: scenes, pictures and words with exact ground truth.

world = generate("iid", "train", scenes=1000, seed=0)
world.images           # (1000, 3, 64, 64) uint8
world.questions[0]     # "is there a red circle?"
world.answer_names[world.answers[0]]
ask("how many objects are there?", world.scenes, 0)

scene = compose([("large", "red", "circle", 20, 20), ("small", "blue", "cross", 45, 45)])
draw(scene)            # (1, 3, 64, 64) uint8
"""

from course_utils.world.captions import (
    Referring,
    caption_distribution,
    caption_log_prob,
    captions,
    referring,
    unique_expressions,
)
from course_utils.world.drawing import boxes, draw
from course_utils.world.generate import HELD_OUT, SPLITS, World, generate
from course_utils.world.questions import (
    ANSWERS,
    FAMILIES,
    Program,
    all_programs,
    answers_of,
    ask,
    counterfactual,
    parse,
    text_of,
)
from course_utils.world.scenes import COLOURS, SHAPES, SIZES, Scenes, compose, sample_scenes

__all__ = [
    "ANSWERS",
    "COLOURS",
    "FAMILIES",
    "HELD_OUT",
    "SHAPES",
    "SIZES",
    "SPLITS",
    "Program",
    "Referring",
    "Scenes",
    "World",
    "all_programs",
    "answers_of",
    "ask",
    "boxes",
    "caption_distribution",
    "caption_log_prob",
    "captions",
    "compose",
    "counterfactual",
    "draw",
    "generate",
    "parse",
    "referring",
    "sample_scenes",
    "text_of",
    "unique_expressions",
]

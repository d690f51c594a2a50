"""Every source of questions about pictures, in one form."""

from course_utils.datasets.batch import Batch, VQAData, loader
from course_utils.datasets.easy_vqa import load_easy_vqa
from course_utils.datasets.emoji import EmojiData, load_emoji
from course_utils.datasets.pairs import PairBatch, PairData, load_captions, pair_loader
from course_utils.datasets.world_vqa import load_world

__all__ = [
    "Batch",
    "EmojiData",
    "PairBatch",
    "PairData",
    "VQAData",
    "load_captions",
    "load_easy_vqa",
    "load_emoji",
    "load_world",
    "loader",
    "pair_loader",
]

"""Pictures with sentences that a decoder learns to write: captions, descriptions and answers.

A text is a prompt, [START], what is to be written, and [END]; padding stands behind. The prompt is
"caption" (one true sentence of the grammar in world/captions.py), "describe" (every object), the
same in Chinese, or a question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from course_utils.datasets.pairs import caption_words
from course_utils.world.captions import captions
from course_utils.world.descriptions import descriptions
from course_utils.world.language import LANGUAGES
from course_utils.world.questions import ANSWERS, FAMILIES, all_programs, text_of
from course_utils.world.scenes import Scenes

PAD, START, END = range(3)
SPECIAL = ("[PAD]", "[START]", "[END]")
CAPTION, DESCRIBE = "caption", "describe"
PROMPTS = {("en", CAPTION): "caption", ("en", DESCRIBE): "describe"} | {
    ("zh", CAPTION): "说",
    ("zh", DESCRIBE): "描述",
}
# Answers in Chinese; those of world/questions.py are English
CHINESE = dict(
    zip(
        ANSWERS,
        [
            *("否", "是"),
            *("红色", "绿色", "蓝色", "黑色", "灰色", "青色", "棕色", "黄色"),
            *("圆形", "正方形", "三角形", "十字形"),
            *("小", "大"),
            *("零", "一", "二", "三", "四"),
        ],
        strict=True,
    )
)


def split(text: str) -> list[str]:
    """The tokens of a text: words, and single Chinese characters; no punctuation."""
    spaced = "".join(f" {c} " if "\u4e00" <= c <= "\u9fff" else c for c in text.lower())
    return spaced.replace("?", " ").replace("\uff1f", " ").split()


@dataclass(frozen=True)
class Words:
    """One number a word of the world's sentences, the same in every run."""

    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def ids(self, text: str) -> list[int]:
        """Of each token of a text.

        Raises:
            ValueError: a word that the world doesn't have.
        """
        known = {name: i for i, name in enumerate(self.names)}
        unknown = [word for word in split(text) if word not in known]
        if unknown:
            raise ValueError(f"expected words of the world, got {unknown[0]!r} in {text!r}")
        return [known[word] for word in split(text)]

    def text(self, ids: Sequence[int]) -> str:
        """The words up to the first [END]; Chinese ones without spaces between them."""
        ids = list(ids)
        found = [self.names[i] for i in ids[: ids.index(END) if END in ids else len(ids)]]
        chinese = any(len(word) == 1 and ord(word) >= 0x4E00 for word in found)
        return ("" if chinese else " ").join(found)


@cache
def world_words() -> Words:
    """Every word of prompts, captions, descriptions, questions and answers, in both languages."""
    texts = [*PROMPTS.values(), *ANSWERS, *CHINESE.values()]
    for language in LANGUAGES:
        texts += [LANGUAGES[language]["and"], *caption_words(language)]
        texts += [text_of(p, language) for family in FAMILIES for p in all_programs(family)]
    return Words((*SPECIAL, *sorted({word for text in texts for word in split(text)})))


class CaptionBatch(NamedTuple):
    """Pictures with a text each, ready for a captioner."""

    v: Float[Tensor, "batch patches visual_dim"]
    x: Int[Tensor, "batch words"]  # prompt, [START], text, [END], padding
    mask: Bool[Tensor, "batch words"]  # True where there is a token


@dataclass(frozen=True)
class CaptionData(Dataset):
    """Rows of text, each about one picture; `v` holds the features of all pictures.

    Raises:
        ValueError: fields don't fit together.
    """

    v: Float[Tensor, "pictures patches visual_dim"]
    picture: Int[Tensor, " rows"]  # which picture each row is about
    x: Int[Tensor, "rows words"]
    mask: Bool[Tensor, "rows words"]

    def __post_init__(self) -> None:
        if not len(self.picture) == len(self.x) == len(self.mask):
            raise ValueError(
                "expected as many rows in picture, x and mask, got "
                f"{len(self.picture)}, {len(self.x)} and {len(self.mask)}"
            )

    def __len__(self) -> int:
        return len(self.picture)

    def __getitem__(self, index: int) -> CaptionBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> CaptionBatch:
        """The rows at `indices` as one batch, cut to the longest."""
        rows = torch.as_tensor(indices)
        longest = int(self.mask[rows].sum(1).max())  # padding stands behind
        v, x, mask = self.v[self.picture[rows]], self.x[rows], self.mask[rows]
        return CaptionBatch(v, x[:, :longest], mask[:, :longest])


def caption_loader(data: CaptionData, rows_per_batch: int = 64, seed: int = 0) -> DataLoader:
    """Shuffled batches; a last one that isn't full is left out."""
    return DataLoader(
        data,
        batch_size=rows_per_batch,
        shuffle=True,
        drop_last=True,
        collate_fn=lambda batch: batch,
        generator=torch.Generator().manual_seed(seed),
    )


def encode_rows(
    prompts: Sequence[str], texts: Sequence[str]
) -> tuple[Int[Tensor, "rows words"], Bool[Tensor, "rows words"]]:
    """prompt, [START], text, [END] of each row, and where there is a token.

    Raises:
        ValueError: no rows, not one prompt a text, or words that the world doesn't have.
    """
    if not prompts or len(prompts) != len(texts):
        raise ValueError(f"expected a prompt for each text, got {len(prompts)} and {len(texts)}")
    table = world_words()
    known = {text: table.ids(text) for text in {*prompts, *texts}}
    rows = [[*known[p], START, *known[t], END] for p, t in zip(prompts, texts)]
    longest = max(map(len, rows))
    x = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])  # (rows, words)
    return x, x != PAD


def prompt_ids(prompt: str) -> Int[Tensor, "1 words"]:
    """A prompt with [START], ready to be continued."""
    return torch.tensor([[*world_words().ids(prompt), START]])


def caption_rows(
    scenes: Scenes, kinds: Sequence[tuple[str, str]], seed: int = 0
) -> tuple[list[int], list[str], list[str]]:
    """For each (language, "caption" or "describe") a row a scene: scene, prompt and text. A kind
    that is named twice gives two rows; captions are drawn anew for each.

    Raises:
        ValueError: an unknown kind.
    """
    picture: list[int] = []
    prompts: list[str] = []
    told: list[str] = []
    for number, (language, what) in enumerate(kinds):
        if (language, what) not in PROMPTS:
            raise ValueError(f"kinds: expected some of {list(PROMPTS)}, got {(language, what)}")
        if what == DESCRIBE:
            told += descriptions(scenes, language)
        else:
            told += captions(scenes, 1000 * seed + number, language)
        picture += np.arange(len(scenes)).tolist()
        prompts += [PROMPTS[language, what]] * len(scenes)
    return picture, prompts, told


def caption_data(
    v: Float[Tensor, "pictures patches visual_dim"],
    scenes: Scenes,
    kinds: Sequence[tuple[str, str]],
    seed: int = 0,
) -> CaptionData:
    """`caption_rows` of scenes whose pictures have the features `v`.

    Raises:
        ValueError: an unknown kind, or not one picture a scene.
    """
    if len(v) != len(scenes):
        raise ValueError(f"v: expected {len(scenes)} pictures, one a scene, got {len(v)}")
    picture, prompts, told = caption_rows(scenes, kinds, seed)
    x, mask = encode_rows(prompts, told)
    return CaptionData(v, torch.tensor(picture), x, mask)

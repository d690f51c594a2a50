"""Pictures with expressions that each name one of their objects, as tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from course_utils.datasets.captions import Words
from course_utils.world.expressions import Expressions
from course_utils.world.language import LANGUAGES
from course_utils.world.scenes import COLOUR_NAMES, SHAPES, SIDE, SIZES

PAD = 0


@cache
def expression_words() -> Words:
    """Every word of the expressions in English, the same in every run; 0 is padding."""
    table = LANGUAGES["en"]
    relations = [*table["relation"].values(), table["near"], "the", table["object"]]
    text = " ".join([*SIZES, *COLOUR_NAMES, *SHAPES, *relations])
    return Words(("[PAD]", *sorted(set(text.split()))))


def encode_expressions(
    texts: Sequence[str],
) -> tuple[Int[Tensor, "rows words"], Bool[Tensor, "rows words"]]:
    """Ids with padding behind, and True where there is a word.

    Raises:
        ValueError: no texts, an empty one, or a word that the world doesn't have.
    """
    rows = [expression_words().ids(text) for text in texts]
    if not rows or not all(rows):
        raise ValueError(f"texts: expected expressions of one word or more, got {list(texts)!r}")
    longest = max(map(len, rows))
    x = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])  # (rows, words)
    return x, x != PAD


class LocateBatch(NamedTuple):
    """Pictures with an expression each."""

    v: Float[Tensor, "batch patches visual_dim"]
    x: Int[Tensor, "batch words"]
    mask: Bool[Tensor, "batch words"]
    objects: Float[Tensor, "batch 4 4"]  # each object's box in shares, zeros where there is none
    column: Int[Tensor, " batch"]  # which object is named

    @property
    def box(self) -> Float[Tensor, "batch 4"]:
        """That of the named object."""
        return self.objects[torch.arange(len(self.column)), self.column]


@dataclass(frozen=True)
class LocateData(Dataset):
    """Pictures with an expression each; with several sets of `expressions` about the same pictures,
    each batch takes one of them, drawn by torch's own generator.

    Raises:
        ValueError: no expressions, or not one picture for each.
    """

    v: Float[Tensor, "rows patches visual_dim"]
    expressions: Sequence[Expressions]

    def __post_init__(self) -> None:
        if not self.expressions or any(len(self.v) != len(one) for one in self.expressions):
            counts = [len(one) for one in self.expressions]
            raise ValueError(
                f"v: expected as many pictures as expressions, {counts}, got {len(self.v)}"
            )
        encoded = []
        for one in self.expressions:
            x, mask = encode_expressions(one.texts)
            shares = torch.from_numpy(one.boxes).float() / SIDE  # (rows, 4, 4)
            columns = torch.from_numpy(one.columns)  # (rows,)
            encoded.append(LocateBatch(self.v, x, mask, shares, columns))
        object.__setattr__(self, "_sets", encoded)

    def __len__(self) -> int:
        return len(self.v)

    def __getitem__(self, index: int) -> LocateBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> LocateBatch:
        """The rows at `indices` as one batch, cut to the longest expression."""
        rows, sets = torch.as_tensor(indices), self._sets  # pyright: ignore
        which = int(torch.randint(len(sets), ())) if len(sets) > 1 else 0
        batch = LocateBatch(*(part[rows] for part in sets[which]))
        longest = int(batch.mask.sum(1).max())
        return batch._replace(x=batch.x[:, :longest], mask=batch.mask[:, :longest])


def locate_loader(data: LocateData, rows_per_batch: int = 32, seed: int = 0) -> DataLoader:
    """Shuffled batches; a last one that isn't full is left out."""
    return DataLoader(
        data,
        batch_size=rows_per_batch,
        shuffle=True,
        drop_last=True,
        collate_fn=lambda batch: batch,
        generator=torch.Generator().manual_seed(seed),
    )

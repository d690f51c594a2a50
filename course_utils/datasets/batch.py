"""The one form in which every source gives questions about pictures: `VQAData` and `Batch`.

Many questions share one picture (about ten in easy-VQA, eight in the teaching world). A batch
therefore holds every distinct picture once and says for each question which picture it is about,
so that the vision part of a model encodes each picture once, not once a question.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler


class Batch(NamedTuple):
    """Questions about pictures, ready for a model. A named tuple: accelerate can move it."""

    images: Tensor  # every distinct picture once: (images, 3, height, width) in [0, 1], or features
    image_index: Int[Tensor, " batch"]  # which of `images` each question is about
    x: Int[Tensor, "batch words"]  # token ids
    mask: Bool[Tensor, "batch words"]  # True where there is a word
    y: Tensor  # (batch,) answer ids, or (batch, answers) soft targets
    family: Int[Tensor, " batch"]  # question family


@dataclass(frozen=True)
class VQAData(Dataset):
    """Pictures with questions and answers, held in memory.

    Raises:
        ValueError: shapes or ids don't fit together; the message names the field.
    """

    images: Tensor  # (images, 3, height, width) uint8, or float features (images, patches, dim)
    questions: tuple[str, ...]  # the question of each example, as text
    x: Int[Tensor, "examples words"]  # token ids
    mask: Bool[Tensor, "examples words"]  # True where there is a word
    image_index: Int[Tensor, " examples"]  # which picture each question is about
    y: Tensor  # (examples,) answer ids, or (examples, answers) soft targets: float, or uint8 tenths
    family: Int[Tensor, " examples"]  # question family
    answers: tuple[str, ...]  # the name of each answer id
    families: tuple[str, ...]  # the name of each family
    tokenizer: Tokenizer

    def __post_init__(self) -> None:
        pictures = (
            self.images.dtype == torch.uint8 and self.images.ndim == 4 and self.images.shape[1] == 3
        )
        if not pictures and not (self.images.is_floating_point() and self.images.ndim == 3):
            raise ValueError(
                "images: expected uint8 of shape (images, 3, height, width), or floating-point "
                f"features (images, patches, dim), got {self.images.dtype} of shape "
                f"{tuple(self.images.shape)}"
            )
        if self.mask.shape != self.x.shape:
            raise ValueError(
                f"mask: expected the shape of x {tuple(self.x.shape)}, got {tuple(self.mask.shape)}"
            )
        count = len(self.questions)
        for name in ("x", "image_index", "y", "family"):
            if len(getattr(self, name)) != count:
                raise ValueError(
                    f"{name}: expected one entry for each of {count} questions, "
                    f"got {len(getattr(self, name))}"
                )
        self._check_ids("image_index", self.image_index, len(self.images), "pictures")
        self._check_ids("family", self.family, len(self.families), "families")
        if self.y.ndim == 1:
            self._check_ids("y", self.y, len(self.answers), "answers")
        elif self.y.shape[1:] != (len(self.answers),):
            raise ValueError(
                f"y: expected soft targets of shape ({count}, {len(self.answers)}), "
                f"got {tuple(self.y.shape)}"
            )

    @staticmethod
    def _check_ids(name: str, ids: Tensor, size: int, what: str) -> None:
        if len(ids) and (ids.min() < 0 or ids.max() >= size):
            raise ValueError(
                f"{name}: expected ids from 0 to {size - 1} ({size} {what}), "
                f"got ids from {int(ids.min())} to {int(ids.max())}"
            )

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The examples at `indices` as one `Batch`, each distinct picture once."""
        rows = torch.as_tensor(indices)
        pictures, image_index = self.image_index[rows].unique(return_inverse=True)
        longest = int(self.mask[rows].sum(1).max())  # padding on the right only
        images, y = self.images[pictures], self.y[rows]
        return Batch(
            images=images.float() / 255 if images.dtype == torch.uint8 else images.float(),
            image_index=image_index,  # (batch,)
            x=self.x[rows, :longest],  # (batch, words)
            mask=self.mask[rows, :longest],  # (batch, words)
            y=y.float() / 10 if y.dtype == torch.uint8 else y,  # (batch,) or (batch, answers)
            family=self.family[rows],  # (batch,)
        )

    def select(self, indices: Tensor) -> "VQAData":
        """The examples at `indices` (ids or a bool mask), with the pictures that they need."""
        rows = torch.as_tensor(indices)
        if rows.dtype == torch.bool:
            rows = rows.nonzero().squeeze(1)
        pictures, image_index = self.image_index[rows].unique(return_inverse=True)
        return replace(
            self,
            images=self.images[pictures],
            questions=tuple(self.questions[i] for i in rows.tolist()),
            x=self.x[rows],
            mask=self.mask[rows],
            image_index=image_index,
            y=self.y[rows],
            family=self.family[rows],
        )

    def restrict_answers(self, answers: tuple[str, ...]) -> "VQAData":
        """The examples whose answer is among `answers`, with ids in that order.

        Raises:
            ValueError: a name is not an answer of this dataset.
        """
        unknown = [name for name in answers if name not in self.answers]
        if unknown:
            raise ValueError(
                f"answers: expected names among {', '.join(self.answers)}, got {', '.join(unknown)}"
            )
        new_id = torch.full((len(self.answers),), -1)
        for i, name in enumerate(answers):
            new_id[self.answers.index(name)] = i
        kept = self.select(new_id[self.y] >= 0)
        return replace(kept, y=new_id[kept.y], answers=tuple(answers))

    def split_by_image(self, fraction: float, seed: int = 0) -> tuple["VQAData", "VQAData"]:
        """Two parts that share no picture; the second has `fraction` of the pictures.

        Splitting by question instead would put the same picture on both sides.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"fraction: expected a number between 0 and 1, got {fraction}")
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.images), generator=generator)  # (images,)
        second = torch.zeros(len(self.images), dtype=torch.bool)
        second[order[: round(fraction * len(self.images))]] = True
        in_second = second[self.image_index]  # (examples,)
        return self.select(~in_second), self.select(in_second)

    def shuffle_images(self, seed: int = 0) -> "VQAData":
        """The same questions and answers, each set of questions with another picture.

        Every picture moves (a cyclic shift of a random order), so no question keeps its own.
        """
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.images), generator=generator)  # (images,)
        other = torch.empty_like(order)
        other[order] = order.roll(1)
        return replace(self, image_index=other[self.image_index])


class WholePictures(Sampler[list[int]]):
    """Batches of example indices in which a picture comes with all its questions.

    Call `set_epoch` to get another order; the same seed and epoch give the same order.
    """

    def __init__(self, data: VQAData, images_per_batch: int, seed: int, shuffle: bool):
        order = data.image_index.argsort(stable=True).numpy()  # examples, picture by picture
        counts = np.bincount(data.image_index.numpy(), minlength=len(data.images))
        self.groups = np.split(order, np.cumsum(counts)[:-1])
        self.images_per_batch, self.seed, self.shuffle, self.epoch = (
            images_per_batch,
            seed,
            shuffle,
            0,
        )

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.groups) // self.images_per_batch)

    def __iter__(self) -> Iterator[list[int]]:
        pictures = np.arange(len(self.groups))
        if self.shuffle:
            pictures = np.random.default_rng((self.seed, self.epoch)).permutation(pictures)
        for start in range(0, len(pictures), self.images_per_batch):
            chosen = pictures[start : start + self.images_per_batch]
            yield np.concatenate([self.groups[i] for i in chosen]).tolist()


def loader(data: VQAData, images_per_batch: int, seed: int = 0, shuffle: bool = True) -> DataLoader:
    """A loader of `Batch`es of `images_per_batch` pictures with all their questions.

    Raises:
        ValueError: `images_per_batch` is below 1 or `data` is empty.
    """
    if images_per_batch < 1:
        raise ValueError(f"images_per_batch: expected 1 or more, got {images_per_batch}")
    if len(data) == 0:
        raise ValueError("loader expected at least one example, got an empty dataset")
    sampler = WholePictures(data, images_per_batch, seed, shuffle)
    return DataLoader(data, batch_sampler=sampler, collate_fn=lambda batch: batch)


def set_epoch(batches: DataLoader, epoch: int) -> None:
    """Tells the order of the batches which pass it is, where it wants to know."""
    change: Any = getattr(batches.batch_sampler, "set_epoch", None)
    if change is not None:
        change(epoch)


class Endless:
    """Batches for ever, each pass in another order. With its state it goes on where another one
    was, if the order hangs on the pass alone, as that of `loader` does."""

    def __init__(self, batches: DataLoader):
        self.batches, self.drawn, self.left = batches, 0, iter(())

    def __next__(self) -> Batch:
        epoch, place = divmod(self.drawn, len(self.batches))
        if place == 0:
            self._begin(epoch)
        self.drawn += 1
        return next(self.left)

    def _begin(self, epoch: int) -> None:
        set_epoch(self.batches, epoch)
        self.left = iter(self.batches)

    def state_dict(self) -> dict[str, int]:
        return {"drawn": self.drawn}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.drawn = state["drawn"]
        epoch, place = divmod(self.drawn, len(self.batches))
        if place:
            self._begin(epoch)
        for _ in range(place):
            next(self.left)

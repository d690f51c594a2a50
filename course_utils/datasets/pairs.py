"""Pictures with texts that are true of them: captions of the world, names of emoji.

In a batch, text i comes with picture i. It may be true of other pictures too ("a red circle" of
every scene that has one), so each batch says which texts are right for which pictures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from course_utils.datasets.emoji import EmojiData
from course_utils.datasets.text import PAD, encode, token_id, word_tokenizer
from course_utils.world import FAMILIES, all_programs, caption_distribution, generate, text_of
from course_utils.world.language import thing, words
from course_utils.world.questions import RELATIONS
from course_utils.world.scenes import COLOUR_NAMES, SHAPES, SIZES, Scenes


class PairBatch(NamedTuple):
    """Pictures and texts, ready for a model."""

    images: Tensor  # (batch, 3, height, width) in [0, 1], or features (batch, patches, visual_dim)
    x: Int[Tensor, "batch words"]  # token ids
    mask: Bool[Tensor, "batch words"]  # True where there is a word
    right: Bool[Tensor, "batch batch"]  # True where text j is true of picture i


@dataclass(frozen=True)
class PairData(Dataset):
    """Pictures with several texts each, held in memory. Example i is text i % k of picture i // k,
    where k is the number of texts that come with a picture.

    Raises:
        ValueError: fields don't fit together.
    """

    images: Tensor  # (pictures, 3, height, width) uint8, or float features (pictures, patches, dim)
    own: Int[Tensor, "pictures k"]  # the texts that come with each picture, as rows of `texts`
    true: tuple[frozenset[int], ...]  # all texts that are true of each picture
    texts: tuple[str, ...]  # all different texts
    x: Int[Tensor, "texts words"]
    mask: Bool[Tensor, "texts words"]
    tokenizer: Tokenizer

    def __post_init__(self) -> None:
        if not len(self.images) == len(self.own) == len(self.true):
            raise ValueError(
                "expected as many rows of own and true as pictures, got "
                f"{len(self.images)} pictures, {len(self.own)} and {len(self.true)} rows"
            )
        if not len(self.texts) == len(self.x) == len(self.mask):
            raise ValueError(
                "expected as many rows of x and mask as texts, got "
                f"{len(self.texts)} texts, {len(self.x)} and {len(self.mask)} rows"
            )

    def __len__(self) -> int:
        return self.own.numel()

    def __getitem__(self, index: int) -> PairBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> PairBatch:
        """The examples at `indices` as one `PairBatch`."""
        rows = torch.as_tensor(indices)
        picture = rows // self.own.shape[1]  # (batch,)
        text = self.own.flatten()[rows]  # (batch,)
        images = self.images[picture]  # (batch, ...)
        if images.dtype == torch.uint8:
            images = images.float() / 255
        longest = int(self.mask[text].sum(1).max())  # padding on the right only
        return PairBatch(
            images, self.x[text, :longest], self.mask[text, :longest], self.right(picture, text)
        )

    def right(self, pictures: Int[Tensor, "p"], texts: Int[Tensor, "t"]) -> Bool[Tensor, "p t"]:
        """True where the text is true of the picture."""
        ids = texts.tolist()
        return torch.tensor([[t in self.true[p] for t in ids] for p in pictures.tolist()])


class OneTextEach(Sampler[list[int]]):
    """Batches in which each picture comes once an epoch, with one of its texts at random. A last
    batch that isn't full is left out. Call `set_epoch` for another order."""

    def __init__(self, data: PairData, pairs_per_batch: int, seed: int):
        self.pictures, self.k = data.own.shape
        self.pairs_per_batch, self.seed, self.epoch = pairs_per_batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.pictures // self.pairs_per_batch

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(self.pictures) * self.k + rng.integers(self.k, size=self.pictures)
        for i in range(len(self)):
            yield order[i * self.pairs_per_batch : (i + 1) * self.pairs_per_batch].tolist()


def pair_loader(data: PairData, pairs_per_batch: int, seed: int = 0) -> DataLoader:
    """A loader of `PairBatch`es.

    Raises:
        ValueError: `pairs_per_batch` is below 2 or above the number of pictures.
    """
    if not 2 <= pairs_per_batch <= len(data.images):
        raise ValueError(
            f"pairs_per_batch: expected 2 to {len(data.images)}, got {pairs_per_batch}"
        )
    sampler = OneTextEach(data, pairs_per_batch, seed)
    return DataLoader(data, batch_sampler=sampler, collate_fn=lambda batch: batch)


def caption_words(language: str = "en") -> Iterator[str]:
    """Captions that between them have every word that a caption may have."""
    table = words(language)
    for size, colour, shape in product((None, *SIZES), COLOUR_NAMES, SHAPES):
        noun = thing(language, size, colour, shape)
        for form, relation in product(("caption", "caption there"), RELATIONS):
            yield table["caption relation"].format(
                caption=table[form].format(thing=noun),
                relation=table["relation"][relation],
                thing=noun,
            )


def pair_tokenizer(languages: Sequence[str] = ("en", "zh")) -> Tokenizer:
    """One token for every word of the captions and questions of the world, in all `languages`, and
    `[MASK]`."""
    asked = (text_of(p, name) for name in languages for f in FAMILIES for p in all_programs(f))
    told = (text for name in languages for text in caption_words(name))
    return word_tokenizer([*asked, *told], masks=True)


def load_captions(
    split: str = "iid",
    part: str = "train",
    scenes: int = 8000,
    seed: int = 0,
    languages: Sequence[str] = ("en",),
    per_scene: int = 4,
    tokenizer: Tokenizer | None = None,
) -> PairData:
    """Pictures of the world, with `per_scene` captions each in every language.

    Raises:
        ValueError: an unknown split, part or language, or a number below 1.
    """
    if per_scene < 1:
        raise ValueError(f"per_scene: expected 1 or more, got {per_scene}")
    world = generate(split, part, scenes, 1, seed=seed)
    return captioned(world.scenes, world.images, seed, languages, per_scene, tokenizer)


def captioned(
    scenes: Scenes,
    images: np.ndarray,
    seed: int = 0,
    languages: Sequence[str] = ("en",),
    per_scene: int = 4,
    tokenizer: Tokenizer | None = None,
) -> PairData:
    """`PairData` of scenes and their pictures (scenes, 3, 64, 64) uint8; as `load_captions`."""
    rng = np.random.default_rng((seed, 14))
    number: dict[str, int] = {}  # of each text
    own, true = [], []
    for i in range(len(scenes)):
        chosen, all_true = [], set()
        for language in languages:
            distribution = caption_distribution(scenes, i, language)
            ids = [number.setdefault(text, len(number)) for text in distribution]
            p = np.array(list(distribution.values()))
            chosen += rng.choice(ids, per_scene, p=p / p.sum()).tolist()
            all_true.update(ids)
        own.append(chosen)
        true.append(frozenset(all_true))
    tokenizer = tokenizer or pair_tokenizer()
    x, mask = encode(tokenizer, list(number))
    return PairData(
        torch.from_numpy(images), torch.tensor(own), tuple(true), tuple(number), x, mask, tokenizer
    )


def named(
    emoji: EmojiData,
    encoded: tuple[Tensor, Tensor],
    tokenizer: Tokenizer,
    images: Float[Tensor, "n ..."] | None = None,
    alike: float = 0.05,
) -> PairData:
    """Emoji with two texts each: the name, and the name with its keywords.

    Args:
        encoded: `x` and `mask` of `[*emoji.names, *emoji.texts()]`, from the tokenizer.
        images: features to take the pictures' place.
        alike: pictures that differ by less share their names; see `EmojiData.right_answers`.
    """
    n = len(emoji)
    own = torch.stack([torch.arange(n), torch.arange(n) + n], dim=1)  # (n, 2)
    true = tuple(
        frozenset([*row.nonzero()[:, 0].tolist(), *(row.nonzero()[:, 0] + n).tolist()])
        for row in emoji.right_answers(alike)
    )
    texts = (*emoji.names, *emoji.texts())
    return PairData(
        emoji.images if images is None else images, own, true, texts, *encoded, tokenizer
    )


def join(parts: Sequence[PairData]) -> PairData:
    """Several sources as one. Texts of different sources are true of their own pictures only, also
    where they read alike.

    Raises:
        ValueError: no part, or parts with different tokenizers or numbers of texts a picture.
    """
    if not parts or len({(id(part.tokenizer), part.own.shape[1]) for part in parts}) > 1:
        raise ValueError("join expected parts with one tokenizer and as many texts a picture")
    longest = max(part.x.shape[1] for part in parts)
    pad = token_id(parts[0].tokenizer, PAD)
    first = np.cumsum([0, *(len(part.texts) for part in parts)]).tolist()  # of each part's texts
    return PairData(
        images=torch.cat([part.images for part in parts]),
        own=torch.cat([part.own + start for part, start in zip(parts, first)]),
        true=tuple(
            frozenset(i + start for i in row)
            for part, start in zip(parts, first)
            for row in part.true
        ),
        texts=tuple(text for part in parts for text in part.texts),
        x=torch.cat([_wider(part.x, longest, pad) for part in parts]),
        mask=torch.cat([_wider(part.mask, longest, False) for part in parts]),
        tokenizer=parts[0].tokenizer,
    )


def _wider(rows: Tensor, width: int, value: int) -> Tensor:
    return torch.nn.functional.pad(rows, (0, width - rows.shape[1]), value=value)

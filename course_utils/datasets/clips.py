"""Clips with questions: frozen features of frames, computed once, and batches of questions.

A clip's reverse holds the same frames, so it needs no features of its own: a row of `ClipData`
names a clip and says whether it is read backwards. Folders of frames are read here too; video files
in datasets/video_files.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from course_utils.datasets.captions import PAD, SPECIAL, START, Words, split
from course_utils.datasets.features import cached_features
from course_utils.datasets.rows import read_picture
from course_utils.world.language import LANGUAGES
from course_utils.world.motion import Clips, draw_clips
from course_utils.world.motion_words import every_sentence, questions

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


@cache
def clip_words() -> Words:
    """Every word of questions, answers and captions about clips, in both languages."""
    texts = [text for language in LANGUAGES for text in every_sentence(language)]
    texts += [LANGUAGES[language]["object"] for language in LANGUAGES]
    return Words((*SPECIAL, *sorted({word for text in texts for word in split(text)})))


def clip_features(
    clips: Clips, stem: nn.Module, name: str = ""
) -> Float[Tensor, "clips frames patches dim"]:
    """Features of each frame from a frozen stem; with a `name` they are kept on disk, in half
    precision."""
    frames = torch.from_numpy(draw_clips(clips)).flatten(0, 1)  # (clips frames, 3, 64, 64)
    if name:
        v = cached_features(
            name, frames, stem, lambda some: stem(some).half(), batch=64, version="half"
        )
    else:
        stem.eval()
        with torch.no_grad():
            v = torch.cat([stem(some.float() / 255).half() for some in frames.split(64)])
    return v.float().unflatten(0, (len(clips), clips.frames))  # (clips, frames, patches, dim)


class ClipBatch(NamedTuple):
    """Questions about clips, ready for a model."""

    v: Float[Tensor, "batch frames patches dim"]
    x: Int[Tensor, "batch words"]  # [START], the question, padding
    mask: Bool[Tensor, "batch words"]  # True where there is a token
    y: Int[Tensor, " batch"]  # index into ANSWERS of world/motion_words.py


@dataclass(frozen=True)
class ClipData(Dataset):
    """Questions, each about a clip read forwards or backwards.

    Raises:
        ValueError: fields don't fit together.
    """

    v: Float[Tensor, "clips frames patches dim"]
    clip: Int[Tensor, " rows"]  # which clip each question is about
    backwards: Bool[Tensor, " rows"]  # True where it is read from its last frame to its first
    x: Int[Tensor, "rows words"]
    mask: Bool[Tensor, "rows words"]
    y: Int[Tensor, " rows"]

    def __post_init__(self) -> None:
        lengths = [len(a) for a in (self.clip, self.backwards, self.x, self.mask, self.y)]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"expected as many rows in clip, backwards, x, mask and y, got {lengths}"
            )

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> ClipBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> ClipBatch:
        """The rows at `indices` as one batch."""
        rows = torch.as_tensor(indices)
        v = self.v[self.clip[rows]]  # (batch, frames, patches, dim)
        back = self.backwards[rows, None, None, None]  # (batch, 1, 1, 1)
        v = torch.where(back, v.flip(1), v)  # (batch, frames, patches, dim)
        return ClipBatch(v, self.x[rows], self.mask[rows], self.y[rows])


def encode(texts: Sequence[str]) -> tuple[Int[Tensor, "rows words"], Bool[Tensor, "rows words"]]:
    """[START] and the tokens of each text, and where there is a token.

    Raises:
        ValueError: no texts, or a word that clips don't have.
    """
    if not texts:
        raise ValueError("texts: expected at least one, got none")
    known = {text: clip_words().ids(text) for text in set(texts)}
    rows = [[START, *known[text]] for text in texts]
    longest = max(map(len, rows))
    x = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])  # (rows, words)
    return x, x != PAD


def clip_data(
    v: Tensor, clips: Clips, seed: int = 0, language: str = "en", forms: int = 2
) -> ClipData:
    """A question about each clip and the same question about its reverse: row i and row i + n are
    a pair with different answers. `forms` as in `questions`.

    Raises:
        ValueError: not one clip for each of `v`, or as `questions`.
    """
    if len(v) != len(clips):
        raise ValueError(f"v: expected {len(clips)} clips, got {len(v)}")
    asked = [questions(some, seed, language, forms) for some in (clips, clips.reversed())]
    x, mask = encode(asked[0].texts + asked[1].texts)  # (2 n, words) each
    y = torch.from_numpy(np.concatenate([one.answers for one in asked])).long()  # (2 n,)
    clip = torch.arange(len(clips)).repeat(2)  # (2 n,)
    return ClipData(v, clip, torch.arange(2 * len(clips)) >= len(clips), x, mask, y)


def clip_loader(data: ClipData, rows_per_batch: int = 32, seed: int = 0) -> DataLoader:
    """Shuffled batches; a last one that isn't full is left out."""
    return DataLoader(
        data,
        batch_size=rows_per_batch,
        shuffle=True,
        drop_last=True,
        collate_fn=lambda batch: batch,
        generator=torch.Generator().manual_seed(seed),
    )


# Folders of frames


def _by_number(path: Path) -> list:
    """Names in the order in which people count: frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if part.isdecimal() else part for part in parts]


def frame_files(folder: str | Path) -> list[Path]:
    """The pictures of a folder, in the order of the numbers in their names: frame2 before frame10.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: there are no pictures in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"expected a folder of frames, found none at {folder}")
    found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES]
    if not found:
        raise ValueError(f"{folder}: expected pictures ({', '.join(PICTURES)}), found none")
    return sorted(found, key=_by_number)


def spread(frames: int, wanted: int) -> list[int]:
    """Numbers of `wanted` of the frames: the middles of as many equal parts.

    Raises:
        ValueError: fewer than one wanted, or no frames.
    """
    if wanted < 1 or frames < 1:
        raise ValueError(f"expected one or more frames of one or more, got {wanted} of {frames}")
    return [(2 * i + 1) * frames // (2 * wanted) for i in range(wanted)]


def read_frames(
    folder: str | Path, wanted: int | None = None, side: int = 64
) -> UInt8[Tensor, "frames 3 side side"]:
    """A folder of frames as one clip; all of them, or `wanted` of them spread over the clip.

    Raises:
        FileNotFoundError, ValueError: as `frame_files` and `spread`; a picture that can't be read.
    """
    files = frame_files(folder)
    chosen = range(len(files)) if wanted is None else spread(len(files), wanted)
    return torch.from_numpy(np.stack([read_picture(files[i], side) for i in chosen]))

"""Emoji: 1,585 small pictures with a name and keywords in English and in Chinese.

The pictures are Twemoji (CC-BY 4.0), the names those of Unicode CLDR (Unicode-3.0). The prepared
files lie in data/emoji, with a datasheet and the licences; nothing is downloaded.
"""

import hashlib
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int, UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

PARTS = ("train", "validation", "test")
LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class EmojiData:
    """Pictures with names in one language. Row i of everything belongs to the same emoji."""

    images: UInt8[Tensor, "n 3 64 64"]  # on a white ground
    names: tuple[str, ...]  # one a picture
    keywords: tuple[tuple[str, ...], ...]  # some a picture, often without the name itself
    ids: tuple[str, ...]  # code points as hexadecimal numbers, such as "1F436"
    categories: tuple[str, ...]  # Unicode's, such as "Food & Drink"
    family: Int[Tensor, "n"]  # number of the family, an index of `families`
    families: tuple[str, ...]  # the same numbers in all parts
    language: str

    def __len__(self) -> int:
        return len(self.names)

    def select(self, indices: Int[Tensor, "some"]) -> "EmojiData":
        """The emoji at `indices`, in that order."""
        rows = torch.as_tensor(indices).tolist()
        pick = {
            field: tuple(getattr(self, field)[i] for i in rows)
            for field in ("names", "keywords", "ids", "categories")
        }
        return replace(self, images=self.images[rows], family=self.family[rows], **pick)

    def floats(self) -> Tensor:
        """The pictures (n, 3, 64, 64) as float32 in [0, 1], as models expect them."""
        return self.images.float() / 255

    def texts(self) -> tuple[str, ...]:
        """Name and keywords as one text a picture: "dog face, adorbs, animal, ..."."""
        return tuple(
            ", ".join([name, *(word for word in words if word != name)])
            for name, words in zip(self.names, self.keywords)
        )

    def right_answers(self, alike: float = 0.0) -> Bool[Tensor, "n n"]:
        """True where name j is a right answer to picture i, and the other way round: the same name
        but for case, or the same picture.

        With `alike` > 0, pictures also count as the same when, reduced to 16x16 pixels, they differ
        by at most that much (root mean square, 1 from black to white). A search that finds such a
        name instead of its own isn't wrong, and as a "negative" of contrastive learning such a pair
        teaches a falsehood.
        """
        right = _equal([name.casefold() for name in self.names])  # (n, n)
        right |= _equal([image.numpy().tobytes() for image in self.images])  # (n, n)
        if alike > 0:
            small = F.avg_pool2d(self.floats(), 4).flatten(1)  # (n, 768)
            distance = torch.cdist(small, small, compute_mode="donot_use_mm_for_euclid_dist")
            right |= distance / small.shape[1] ** 0.5 <= alike  # (n, n)
        return right


def _equal(keys: list) -> Bool[Tensor, "n n"]:
    number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    same = torch.tensor([number[key] for key in keys])  # (n,)
    return same[:, None] == same


def emoji_folder() -> Path:
    """data/emoji of the repository, or of the installed package.

    Raises:
        FileNotFoundError: there is neither.
    """
    package = Path(__file__).resolve().parent.parent
    for place in (package / "data" / "emoji", package.parent / "data" / "emoji"):
        if place.is_dir():
            return place
    raise FileNotFoundError(
        f"expected the folder data/emoji beside {package.name} or in it: get the whole repository, "
        "or make the folder with `python -m tools.make_emoji`"
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"expected {path}, but there is no such file: `python -m tools.make_emoji` makes it"
        ) from None


def _pictures(path: Path, sha256: str, side: int, columns: int, count: int) -> np.ndarray:
    """(count, side, side, 3) uint8, cut out of the sheet."""
    content = _read(path)
    if (got := hashlib.sha256(content).hexdigest()) != sha256:
        raise ValueError(f"{path} is damaged: expected SHA-256 {sha256}, got {got}")
    try:
        with Image.open(io.BytesIO(content)) as picture:
            sheet = np.asarray(picture.convert("RGB"))  # (rows * side, columns * side, 3)
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"expected a readable picture in {path}, got: {error}") from None
    rows = -(-count // columns)
    if sheet.shape != (rows * side, columns * side, 3):
        raise ValueError(
            f"expected {path} to have {columns * side} x {rows * side} pixels "
            f"for {count} pictures, got {sheet.shape[1]} x {sheet.shape[0]}"
        )
    cells = sheet.reshape(rows, side, columns, side, 3).swapaxes(1, 2)
    return cells.reshape(-1, side, side, 3)[:count]


def load_emoji(part: str = "train", language: str = "en", folder: Path | None = None) -> EmojiData:
    """One part of the emoji, with names and keywords in one language.

    Args:
        part: "train", "validation" or "test"; whole families are in one of them. "all" for all.
        language: "en" or "zh". Both have the same pictures in the same order.
        folder: where pictures.png and emoji.json lie; the course's data/emoji when None.

    Raises:
        ValueError: unknown part or language, or a damaged file.
        FileNotFoundError: a file is missing.
    """
    if part not in (*PARTS, "all"):
        raise ValueError(f"part: expected one of {', '.join(PARTS)}, all; got {part!r}")
    if language not in LANGUAGES:
        raise ValueError(f"language: expected 'en' or 'zh', got {language!r}")
    folder = Path(folder) if folder is not None else emoji_folder()
    path = folder / "emoji.json"
    try:
        content = json.loads(_read(path))
        records = content["emoji"]
        sha256, side, columns = (content[key] for key in ("sha256", "side", "columns"))
        families = tuple(sorted({record["family"] for record in records}))
        number = {family: i for i, family in enumerate(families)}
        rows = [i for i, record in enumerate(records) if part in (record["part"], "all")]
        chosen = [records[i] for i in rows]
        texts: dict[str, Any] = dict(
            names=tuple(str(record["names"][language]) for record in chosen),
            keywords=tuple(tuple(record["keywords"][language]) for record in chosen),
            ids=tuple(record["id"] for record in chosen),
            categories=tuple(record["category"] for record in chosen),
            family=torch.tensor([number[record["family"]] for record in chosen]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"expected the emoji's names in {path}, got: {error!r}") from None
    sheet = _pictures(folder / "pictures.png", sha256, side, columns, len(records))
    pictures = sheet[rows]  # (n, 64, 64, 3)
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()  # (n, 3, 64, 64)
    return EmojiData(images=images, families=families, language=language, **texts)

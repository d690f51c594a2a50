"""Locators: a picture and an expression in, scored boxes out.

`PatchLocator` scores every place of a grid and gives a box for each. The words come in by one of
three ways: "towers", a dot product with a vector of the sentence, as OWL-ViT has it (Minderer et
al. 2022, arXiv 2205.06230); "cross", patches that attend to words; "joint", words and patches in
one Transformer. `QueryLocator` has a few learnt queries in the place of the grid, as DETR does
(Carion et al. 2020, arXiv 2005.12872).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_utils.models.joint import JointConfig, JointEmbedding, joint_mask
from course_utils.models.transformer import TransformerEncoder
from course_utils.models.vision import ConvStem, grid_side
from course_utils.objectives.boxes import to_corners

WAYS = ("towers", "cross", "joint")
NAMED, OTHER, NOTHING = range(3)  # labels of the query locator


@dataclass(frozen=True)
class LocatorConfig(JointConfig):
    """Sizes of a locator."""

    layers: int = 2  # of the patches' side; the words' side has as many with towers, one with cross
    visual_dim: int = 320  # of `FineStem`
    patches: int = 16  # places of the grid
    queries: int = 8  # candidates of the query locator


class Located(NamedTuple):
    """Candidates for each expression."""

    scores: Float[Tensor, "batch places"]  # the higher, the likelier it is meant
    boxes: Float[Tensor, "batch places 4"]  # left, top, right, bottom, in shares of the picture


class Candidates(NamedTuple):
    """What `objectives.sets.set_loss` takes."""

    logits: Float[Tensor, "batch queries 3"]  # of NAMED, OTHER and NOTHING
    boxes: Float[Tensor, "batch queries 4"]  # centre and size, in shares


class FineStem(nn.Module):
    """A stem's features, and beside them those of the stage before, whose grid is twice as fine:
    each place gets its own vector and those of its four quarters.

    What is there stands in the last stage, where exactly it begins and ends in the one before.
    """

    def __init__(self, stem: ConvStem):
        super().__init__()
        self.blocks = stem.blocks
        self.dim = 5 * stem.dim

    def forward(
        self, images: Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, "images patches dim"]:
        fine = self.blocks[:-1](images)  # (images, dim, 2 rows, 2 columns)
        coarse = self.blocks[-1](fine)  # (images, dim, rows, columns)
        quarters = F.pixel_unshuffle(fine, 2)  # (images, 4 dim, rows, columns)
        grid = torch.cat([coarse, quarters], dim=1)  # (images, 5 dim, rows, columns)
        return grid.flatten(2).transpose(1, 2)  # (images, patches, 5 dim)


class BoxHead(nn.Module):
    """A box for each vector, from a place where it begins: the centre moves by up to half the
    picture, the size is a share of it."""

    def __init__(self, dim: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 4))

    def forward(
        self, h: Float[Tensor, "batch places dim"], start: Float[Tensor, "places 2"]
    ) -> Float[Tensor, "batch places 4"]:
        """Centre and size, in shares of the picture."""
        move, size = self.layers(h).split(2, dim=-1)  # (batch, places, 2) each
        return torch.cat([start + move.tanh() / 2, size.sigmoid()], dim=-1)  # (batch, places, 4)


def place_centres(patches: int) -> Float[Tensor, "patches 2"]:
    """The middle (x, y) of each place of a square grid, row by row, in shares of the picture.

    Raises:
        ValueError: not a square number.
    """
    side = grid_side(patches)
    along = (torch.arange(side) + 0.5) / side  # (side,)
    return torch.stack([along.repeat(side), along.repeat_interleave(side)], dim=1)  # (patches, 2)


class PatchLocator(nn.Module):
    """A score and a box at each place of the grid.

    Raises:
        ValueError: an unknown way.
    """

    def __init__(self, config: LocatorConfig, way: str = "towers"):
        super().__init__()
        if way not in WAYS:
            raise ValueError(f"way: expected one of {', '.join(WAYS)}, got {way!r}")
        self.config, self.way = config, way
        self.embedding = JointEmbedding(config)
        self.picture = TransformerEncoder(config, cross=way == "cross")
        if way != "joint":
            layers = config.layers if way == "towers" else 1
            self.text = TransformerEncoder(replace(config, layers=layers))
        if way == "towers":
            self.to_text = nn.Linear(config.dim, config.dim)
        else:
            self.to_score = nn.Linear(config.dim, 1)
        self.box = BoxHead(config.dim)
        self.register_buffer("centres", place_centres(config.patches), persistent=False)

    def sentence(
        self, x: Int[Tensor, "batch words"], mask: Bool[Tensor, "batch words"]
    ) -> Float[Tensor, "batch dim"]:
        """One vector of each expression (towers only): the mean over its words."""
        h, _ = self.text(self.embedding.words(x), mask)  # (batch, words, dim)
        there = mask[..., None]  # (batch, words, 1)
        return self.to_text((h * there).sum(1) / there.sum(1))

    def places(
        self, v: Float[Tensor, "batch patches visual_dim"]
    ) -> Float[Tensor, "batch patches dim"]:
        """The patches' vectors, which have seen no words (towers only)."""
        return self.picture(self.embedding.patches(v))[0]

    def forward(
        self,
        x: Int[Tensor, "batch words"],
        v: Float[Tensor, "batch patches visual_dim"],
        mask: Bool[Tensor, "batch words"],
    ) -> Located:
        """Scores and boxes of every place."""
        if self.way == "towers":
            u = self.places(v)  # (batch, patches, dim)
            t = self.sentence(x, mask)  # (batch, dim)
            scores = (u @ t[:, :, None])[..., 0] / t.shape[1] ** 0.5  # (batch, patches)
        else:
            u = self._with_words(x, v, mask)  # (batch, patches, dim)
            scores = self.to_score(u)[..., 0]  # (batch, patches)
        return Located(scores, to_corners(self.box(u, self.centres)))

    def _with_words(self, x: Tensor, v: Tensor, mask: Tensor) -> Float[Tensor, "batch patches dim"]:
        words, patches = self.embedding.words(x), self.embedding.patches(v)
        if self.way == "cross":
            words, _ = self.text(words, mask)  # (batch, words, dim)
            return self.picture(patches, context=words, context_mask=mask)[0]
        both = torch.cat([words, patches], dim=1)  # (batch, words + patches, dim)
        return self.picture(both, joint_mask(mask, patches.shape[1]))[0][:, words.shape[1] :]


class QueryLocator(nn.Module):
    """A few queries that attend to each other, to the patches and to the words; each ends as a
    box with a label: the object that is named, another object, or nothing."""

    def __init__(self, config: LocatorConfig):
        super().__init__()
        self.config = config
        one = replace(config, layers=1)
        self.embedding = JointEmbedding(config)
        self.picture, self.text = TransformerEncoder(one), TransformerEncoder(one)
        self.decoder = TransformerEncoder(config, cross=True)
        self.queries = nn.Parameter(torch.randn(config.queries, config.dim))
        self.start = nn.Parameter(torch.rand(config.queries, 2))  # where each looks at first
        self.to_label = nn.Linear(config.dim, 3)
        self.box = BoxHead(config.dim)

    def candidates(
        self,
        x: Int[Tensor, "batch words"],
        v: Float[Tensor, "batch patches visual_dim"],
        mask: Bool[Tensor, "batch words"],
    ) -> Candidates:
        """Labels and boxes of the queries."""
        words, _ = self.text(self.embedding.words(x), mask)  # (batch, words, dim)
        patches, _ = self.picture(self.embedding.patches(v))  # (batch, patches, dim)
        context = torch.cat([words, patches], dim=1)  # (batch, words + patches, dim)
        queries = self.queries.expand(len(x), -1, -1)  # (batch, queries, dim)
        seen = joint_mask(mask, patches.shape[1])  # (batch, words + patches)
        h, _ = self.decoder(queries, context=context, context_mask=seen)  # (batch, queries, dim)
        return Candidates(self.to_label(h), self.box(h, self.start))

    def forward(self, x: Tensor, v: Tensor, mask: Tensor) -> Located:
        """The queries, scored by the probability that theirs is the named object."""
        found = self.candidates(x, v, mask)
        return Located(found.logits.softmax(-1)[..., NAMED], to_corners(found.boxes))

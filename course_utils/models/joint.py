"""The joint representation h = Transformer(x, v): words and patches in one sequence.

Single-stream fusion, as in VisualBERT (Li et al., arXiv 1908.03557) and ViLT (Kim et al.,
arXiv 2102.03334): every position may attend to every other from the first layer on.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_utils.models.transformer import TransformerConfig, TransformerEncoder


@dataclass(frozen=True)
class JointConfig(TransformerConfig):
    """Sizes of an encoder of words and patches."""

    vocab_size: int = 100  # different token ids
    max_words: int = 32  # longest text
    visual_dim: int = 64  # width of the features that come in
    patches: int = 16  # patches a picture


class JointEmbedding(nn.Module):
    """Words and patches as one sequence of vectors, words first.

    word: token + position + type 0; patch: projected feature + place + type 1. A post-norm encoder
    normalises the sum, as BERT does; a pre-norm one normalises in its layers and needs no more.
    `visual_positions=False` leaves out the places of patches, so that the order in which patches
    come makes no difference (VisualBERT gives all of them position 0).
    """

    def __init__(
        self, config: JointConfig, visual_positions: bool = True, token: nn.Module | None = None
    ):
        super().__init__()
        own = nn.Embedding(config.vocab_size, config.dim) if token is None else None
        self.token: Any = own or token  # a caller's may be any map of ids to vectors
        self.position = nn.Embedding(config.max_words, config.dim)
        self.token_type = nn.Embedding(2, config.dim)  # 0 word, 1 patch
        self.project = nn.Linear(config.visual_dim, config.dim)
        self.place = nn.Embedding(config.patches, config.dim) if visual_positions else None
        post = config.norm == "post"
        self.norm = nn.LayerNorm(config.dim, eps=config.norm_eps) if post else nn.Identity()
        self.drop = nn.Dropout(config.dropout)
        for table in (own, self.position, self.token_type, self.place):
            if table is not None:  # BERT's 0.02 is right before a normalisation; without one,
                nn.init.normal_(table.weight, std=0.02 if post else 0.5)  # as large as patches

    def words(self, x: Int[Tensor, "batch words"]) -> Float[Tensor, "batch words dim"]:
        """Word part, before normalisation."""
        if x.shape[1] > self.position.num_embeddings:
            raise ValueError(
                f"x: expected at most {self.position.num_embeddings} words, got {x.shape[1]}"
            )
        place = self.position.weight[: x.shape[1]] + self.token_type.weight[0]  # (words, dim)
        return self.token(x) + place

    def patches(
        self, v: Float[Tensor, "batch patches visual_dim"]
    ) -> Float[Tensor, "batch patches dim"]:
        """Visual part, before normalisation."""
        if v.ndim != 3 or v.shape[-1] != self.project.in_features:
            raise ValueError(
                f"v: expected (batch, patches, {self.project.in_features}), got {tuple(v.shape)}"
            )
        place = self.token_type.weight[1]  # (dim,)
        if self.place is None:
            return self.project(v) + place
        if v.shape[1] != self.place.num_embeddings:
            raise ValueError(f"v: expected {self.place.num_embeddings} patches, got {v.shape[1]}")
        return self.project(v) + (self.place.weight + place)

    def forward(self, x: Tensor, v: Tensor | None) -> Float[Tensor, "batch positions dim"]:
        if v is None:
            return self.drop(self.norm(self.words(x)))  # (batch, words, dim)
        if len(x) != len(v):
            raise ValueError(f"expected as many texts as pictures, got {len(x)} and {len(v)}")
        both = torch.cat([self.words(x), self.patches(v)], dim=1)  # (batch, words + patches, dim)
        return self.drop(self.norm(both))


def joint_mask(mask: Bool[Tensor, "batch words"], patches: int) -> Bool[Tensor, "batch positions"]:
    """The words' mask, followed by True for every patch: there is always a picture to look at."""
    return torch.cat([mask, mask.new_ones(len(mask), patches)], dim=1)  # (batch, words + patches)


class JointEncoder(nn.Module):
    """h = Transformer(x, v), single stream.

    `token` takes the place of the table of words: any module that turns x (batch, words) into
    (batch, words, dim), such as `WordPieces`.
    """

    def __init__(
        self, config: JointConfig, visual_positions: bool = True, token: nn.Module | None = None
    ):
        super().__init__()
        self.config = config
        self.embedding = JointEmbedding(config, visual_positions, token)
        self.encoder = TransformerEncoder(config)

    def forward(
        self,
        x: Int[Tensor, "batch words"],
        v: Float[Tensor, "batch patches visual_dim"] | None,
        mask: Bool[Tensor, "batch words"] | None = None,
        need_weights: bool = False,
        keep: int | None = None,
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """h (batch, words + patches, dim), or (batch, words, dim) where there is no v.

        With `need_weights` also the attention weights (batch, heads, positions, positions) of each
        layer; with `keep` only the first `keep` positions of h, computed with less work.

        Raises:
            ValueError: shapes of x, v or mask don't fit; the message names them.
        """
        h = self.embedding(x, v)  # (batch, positions, dim)
        if mask is not None:
            if mask.shape != x.shape:
                raise ValueError(
                    f"mask: expected the shape of x {tuple(x.shape)}, got {tuple(mask.shape)}"
                )
            if v is not None:
                mask = joint_mask(mask, v.shape[1])  # (batch, positions)
        h, weights = self.encoder(h, mask, need_weights=need_weights, keep=keep)
        return (h, weights) if need_weights else h

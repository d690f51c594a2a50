"""Two other ways to bring words and picture together, called as `JointEncoder` is.

`TwoTowerEncoder` (late fusion): each side is summarised alone, as in CLIP (Radford et al.,
arXiv 2103.00020). `CrossAttentionEncoder`: words attend to themselves and then to the patches, as
the decoder of Vaswani et al., arXiv 1706.03762, attends to its source, and as ALBEF's and BLIP's
multimodal encoders do (Li et al., arXiv 2107.07651 and 2201.12086).
"""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_utils.models.joint import JointConfig, JointEmbedding
from course_utils.models.transformer import TransformerEncoder


class TwoTowerEncoder(nn.Module):
    """One Transformer for the words, one for the patches; they meet in one vector.

    h has a single position, a linear map of [t, u, t * u] where t and u summarise words and
    picture. `layers` are split between the towers, so that sizes compare with `JointEncoder`.

    Raises:
        ValueError: an odd number of layers.
    """

    def __init__(self, config: JointConfig):
        super().__init__()
        if config.layers % 2:
            raise ValueError(f"layers: expected an even number for two towers, got {config.layers}")
        self.config = config
        self.embedding = JointEmbedding(config)
        tower = replace(config, layers=config.layers // 2)
        self.text_tower, self.image_tower = TransformerEncoder(tower), TransformerEncoder(tower)
        self.fuse = nn.Linear(3 * config.dim, config.dim)

    def text(
        self, x: Int[Tensor, "batch words"], mask: Bool[Tensor, "batch words"] | None = None
    ) -> Float[Tensor, "batch dim"]:
        """t: the state of `[CLS]`, which has seen the words only."""
        h = self.embedding.norm(self.embedding.words(x))  # (batch, words, dim)
        return self.text_tower(self.embedding.drop(h), mask, keep=1)[0][:, 0]

    def image(self, v: Float[Tensor, "batch patches visual_dim"]) -> Float[Tensor, "batch dim"]:
        """u: the mean over the patches, which have seen the picture only."""
        h = self.embedding.norm(self.embedding.patches(v))  # (batch, patches, dim)
        return self.image_tower(self.embedding.drop(h))[0].mean(1)

    def scores(
        self, x: Tensor, v: Tensor, mask: Tensor | None = None
    ) -> Float[Tensor, "texts pictures"]:
        """Dot products of every text with every picture: a matrix of rank at most dim."""
        return self.text(x, mask) @ self.image(v).T

    def forward(
        self,
        x: Int[Tensor, "batch words"],
        v: Float[Tensor, "batch patches visual_dim"],
        mask: Bool[Tensor, "batch words"] | None = None,
        keep: int | None = None,
    ) -> Float[Tensor, "batch 1 dim"]:
        """h with one position; `keep` changes nothing and is taken so that all fusions are called
        in the same way."""
        t, u = self.text(x, mask), self.image(v)  # (batch, dim) each
        return self.fuse(torch.cat([t, u, t * u], dim=-1))[:, None]


class CrossAttentionEncoder(nn.Module):
    """Words attend to themselves, then to the patches; patches never attend to words.

    The patches' side does not depend on the question, so it could be computed once a picture.
    """

    def __init__(self, config: JointConfig):
        super().__init__()
        self.config = config
        self.embedding = JointEmbedding(config)
        self.encoder = TransformerEncoder(config, cross=True)

    def forward(
        self,
        x: Int[Tensor, "batch words"],
        v: Float[Tensor, "batch patches visual_dim"],
        mask: Bool[Tensor, "batch words"] | None = None,
        need_weights: bool = False,
        keep: int | None = None,
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """h (batch, words, dim); with `need_weights` also the weights of each layer over the
        patches (batch, heads, words, patches)."""
        words = self.embedding.drop(self.embedding.norm(self.embedding.words(x)))
        patches = self.embedding.norm(self.embedding.patches(v))  # (batch, patches, dim)
        h, weights = self.encoder(words, mask, patches, need_weights, keep)
        return (h, weights) if need_weights else h

"""The Transformer encoder: layers of attention and a two-layer network, each with a residual.

Vaswani et al., arXiv 1706.03762, figure 1 (post-norm: the normalisation follows the sum);
Xiong et al., arXiv 2002.04745 (pre-norm: the normalisation precedes each part).
"""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_utils.models.attention import MultiHeadAttention


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of a Transformer encoder."""

    dim: int = 64  # width of every position
    layers: int = 2  # number of layers
    heads: int = 4  # attention heads; divides dim
    mlp_dim: int = 128  # hidden width of the two-layer network
    dropout: float = 0.0  # share of values set to zero while training
    norm: str = "pre"  # "pre": normalise before each part; "post": after each sum
    norm_eps: float = 1e-5  # added to the variance; BERT uses 1e-12
    causal: bool = False  # True: a position attends to itself and to what comes before it only

    def __post_init__(self) -> None:
        if self.norm not in ("pre", "post"):
            raise ValueError(f"norm: expected 'pre' or 'post', got {self.norm!r}")


class TransformerLayer(nn.Module):
    """Attention, then a two-layer network with erf-GELU, each added to what came in."""

    def __init__(self, config: TransformerConfig, cross: bool = False):
        super().__init__()
        self.pre = config.norm == "pre"
        self.norm1 = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.attention = MultiHeadAttention(config.dim, config.heads, config.dropout, config.causal)
        self.cross = None
        if cross:
            self.norm_cross = nn.LayerNorm(config.dim, eps=config.norm_eps)
            self.cross = MultiHeadAttention(config.dim, config.heads, config.dropout)
        self.norm2 = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.mlp = nn.Sequential(
            nn.Linear(config.dim, config.mlp_dim), nn.GELU(), nn.Linear(config.mlp_dim, config.dim)
        )
        self.drop = nn.Dropout(config.dropout)

    def forward(
        self,
        h: Float[Tensor, "batch positions dim"],
        mask: Bool[Tensor, "batch positions"] | None = None,
        context: Float[Tensor, "batch keys dim"] | None = None,
        need_weights: bool = False,
        keep: int | None = None,
        cache: Any = None,
        layer: int = 0,
        context_mask: Bool[Tensor, "batch keys"] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """New h (batch, positions, dim), and attention weights or None.

        With `context`, positions attend to themselves and then to the context, where
        `context_mask` is True (everywhere, if it is None); the weights returned are those over the
        context. With `keep`, only the first `keep` positions are
        computed: they still attend to all of them. A `cache` keeps keys and values, under the
        number of this `layer`.
        """
        normed = self.norm1(h) if self.pre else h  # (batch, positions, dim)
        if keep is None:
            kept = {} if cache is None else {"cache": cache, "layer": layer}
            update, weights = self.attention(normed, None, mask, need_weights, **kept)
        else:
            update, weights = self.attention(normed[:, :keep], normed, mask, need_weights)
            h = h[:, :keep]  # (batch, keep, dim)
        h = self._add(h, update, self.norm1)  # (batch, positions, dim)
        if self.cross is not None:
            update, weights = self.cross(
                self.norm_cross(h) if self.pre else h, context, context_mask, need_weights
            )
            h = self._add(h, update, self.norm_cross)  # (batch, positions, dim)
        update = self.mlp(self.norm2(h) if self.pre else h)  # (batch, positions, dim)
        return self._add(h, update, self.norm2), weights

    def _add(self, h: Tensor, update: Tensor, norm: nn.LayerNorm) -> Tensor:
        h = h + self.drop(update)  # (batch, positions, dim)
        return h if self.pre else norm(h)


class TransformerEncoder(nn.Module):
    """A stack of layers; a pre-norm stack ends in one more normalisation."""

    def __init__(self, config: TransformerConfig, cross: bool = False):
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerLayer(config, cross=cross) for _ in range(config.layers)
        )
        self.norm = (
            nn.LayerNorm(config.dim, eps=config.norm_eps) if config.norm == "pre" else nn.Identity()
        )

    def forward(
        self,
        h: Float[Tensor, "batch positions dim"],
        mask: Bool[Tensor, "batch positions"] | None = None,
        context: Float[Tensor, "batch keys dim"] | None = None,
        need_weights: bool = False,
        keep: int | None = None,
        cache: Any = None,
        context_mask: Bool[Tensor, "batch keys"] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """h (batch, positions, dim), and the weights of each layer (empty unless asked for).

        With `keep`, the last layer computes the first `keep` positions only: what a head that
        reads one position needs, with equal values, for nearly half the work of two layers.
        """
        all_weights = []
        last = len(self.layers) - 1
        for i, layer in enumerate(self.layers):
            part = keep if i == last else None
            h, weights = layer(h, mask, context, need_weights, part, cache, i, context_mask)
            if need_weights:
                all_weights.append(weights)  # (batch, heads, positions, keys)
        return self.norm(h), all_weights

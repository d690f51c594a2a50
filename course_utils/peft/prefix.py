"""Prefix tuning: learned keys and values, in every layer, that all positions may attend to.

Li and Liang, arXiv 2101.00190, section 4. While training they come out of a small network
(section 4.3), which is folded away afterwards.

A prefix is never without effect, not even at 0: its keys take part of every softmax.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_utils.models.attention import (
    MultiHeadAttention,
    attention_weights,
    causal_mask,
    refuse_numbers,
)
from course_utils.peft.base import Tuning, refuse_tuned, replace, tunings


@dataclass(frozen=True)
class PrefixConfig:
    """How long the prefix is, and how it is made."""

    length: int = 8  # learned keys, and as many values, in every layer
    hidden: int = 64  # width of the network they come out of; 0: they are parameters themselves

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length: expected at least 1, got {self.length}")
        if self.hidden < 0:
            raise ValueError(f"hidden: expected at least 0, got {self.hidden}")


class Prefix(nn.Module):
    """The keys and values of all layers; `table` has those of layer l in its columns
    2 l dim to 2 (l + 1) dim, keys first."""

    def __init__(self, config: PrefixConfig, layers: int, dim: int, like: Tensor):
        super().__init__()
        self.dim = dim
        options: dict[str, Any] = dict(device=like.device, dtype=like.dtype)
        if config.hidden:
            self.embedding = nn.Embedding(config.length, dim, **options)
            self.inner = nn.Linear(dim, config.hidden, **options)
            self.outer = nn.Linear(config.hidden, layers * 2 * dim, **options)
        else:
            self.embedding = nn.Embedding(config.length, layers * 2 * dim, **options)
            nn.init.normal_(self.embedding.weight, std=0.02)
            self.inner = self.outer = None

    def layer(self, index: int) -> Float[Tensor, "length 2*dim"]:
        """Keys and values of one layer; only its own columns are computed."""
        rows = slice(2 * index * self.dim, 2 * (index + 1) * self.dim)
        if self.inner is None or self.outer is None:
            return self.embedding.weight[:, rows]  # (length, 2 * dim)
        hidden = torch.tanh(self.inner(self.embedding.weight))  # (length, hidden)
        return F.linear(hidden, self.outer.weight[rows], self.outer.bias[rows])

    @torch.no_grad()
    def fold(self) -> None:
        """Keeps what the network puts out, and drops the network."""
        if self.inner is None or self.outer is None:
            raise ValueError("expected a prefix with a network, but it is folded or never had one")
        table = self.outer(torch.tanh(self.inner(self.embedding.weight)))  # (length, all columns)
        trained = self.embedding.weight.requires_grad
        self.embedding = nn.Embedding.from_pretrained(table, freeze=not trained)
        self.inner = self.outer = None


class PrefixAttention(Tuning):
    """`MultiHeadAttention` to its context and to a prefix in front of it."""

    def __init__(self, base: MultiHeadAttention, config: PrefixConfig, prefix: Prefix, index: int):
        super().__init__(base, config)
        self.base: MultiHeadAttention
        self.prefix, self.index = prefix, index  # one `Prefix`, in every layer

    def forward(
        self,
        h: Float[Tensor, "batch queries dim"],
        context: Float[Tensor, "batch keys dim"] | None = None,
        mask: Bool[Tensor, "batch keys"] | None = None,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As `MultiHeadAttention`; the weights (batch, heads, queries, length + keys) are those of
        the prefix first."""
        base, (batch, queries, dim) = self.base, h.shape
        q, k, v = base._project(h, context)  # each (batch, heads, positions, dim / heads)
        both = self.prefix.layer(self.index).unflatten(-1, (2, base.heads, -1))
        first = both.permute(1, 2, 0, 3)  # (2, heads, length, dim / heads)
        length = first.shape[2]
        first = first[:, None].expand(2, batch, -1, -1, -1)  # (2, batch, heads, length, ...)
        k = torch.cat([first[0], k], dim=2)  # (batch, heads, length + keys, dim / heads)
        v = torch.cat([first[1], v], dim=2)  # (batch, heads, length + keys, dim / heads)
        if mask is not None:
            refuse_numbers(mask)
            mask = F.pad(mask, (length, 0), value=True)[:, None, None]  # (batch, 1, 1, ...)
        if base.causal:  # every position sees the whole prefix
            before = F.pad(causal_mask(queries, h.device), (length, 0), value=True)
            mask = before if mask is None else mask & before  # (..., queries, length + keys)
        weights = None
        if need_weights:
            weights = attention_weights(q, k, mask)  # (batch, heads, queries, length + keys)
            mixed = F.dropout(weights, base.dropout, self.training) @ v
        else:
            dropout = base.dropout if self.training else 0.0
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        mixed = mixed.transpose(1, 2).reshape(batch, queries, dim)  # (batch, queries, dim)
        return base.out(mixed), weights


def add_prefix(model: nn.Module, config: PrefixConfig = PrefixConfig()) -> list[str]:
    """Puts a prefix before the self-attention of every layer, in place; their names.

    Nothing is frozen: `freeze_base` does that. The outputs change.

    Raises:
        ValueError: the model has no attention, attention of several widths, or is tuned already.
    """
    refuse_tuned(model)
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, MultiHeadAttention) and not name.endswith("cross")
    }
    dims = {module.out.in_features for module in found.values()}
    if len(dims) != 1:
        raise ValueError(f"expected a model with attention of one width, got {sorted(dims)}")
    weight = next(iter(found.values())).out.weight
    prefix = Prefix(config, len(found), dims.pop(), weight)
    for index, (name, module) in enumerate(found.items()):
        replace(model, name, PrefixAttention(module, config, prefix, index))
    return list(found)


def fold(model: nn.Module) -> None:
    """Drops the network behind the prefix: the same keys and values, as parameters.

    Raises:
        ValueError: the model has no prefix, or one without a network.
    """
    found = [m for _, m in tunings(model) if isinstance(m, PrefixAttention)]
    if not found:
        raise ValueError("expected a model with a prefix in it, but it has none")
    found[0].prefix.fold()
    for module in found:  # so that the saved configuration describes what is saved
        module.config = PrefixConfig(length=module.config.length, hidden=0)

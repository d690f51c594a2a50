"""Attention: softmax(q k^T / sqrt(d_head) + mask) v, with several heads.

Vaswani et al., "Attention Is All You Need", arXiv 1706.03762, section 3.2.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn


def attention_weights(
    q: Float[Tensor, "... queries dim"],
    k: Float[Tensor, "... keys dim"],
    mask: Bool[Tensor, "... queries keys"] | None = None,
) -> Float[Tensor, "... queries keys"]:
    """softmax(q k^T / sqrt(dim)) over the keys; keys where `mask` is False get weight 0.

    A query whose keys are all masked gets weights of 0, as in PyTorch's fused kernel since 2.5 (a
    plain softmax over -inf would be 0 / 0).
    """
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (..., queries, keys)
    if mask is None:
        return scores.softmax(dim=-1)
    lowest = torch.finfo(scores.dtype).min  # not -inf, whose gradient would be NaN without any key
    return scores.masked_fill(~mask, lowest).softmax(dim=-1).masked_fill(~mask, 0.0)


def refuse_numbers(mask: Tensor) -> None:
    """PyTorch's kernel would add numbers to the scores: with 0 and 1 nothing is masked."""
    if mask.dtype != torch.bool:
        raise ValueError(f"mask: expected bool, True where there is something, got {mask.dtype}")


def causal_mask(words: int, device=None, before: int = 0) -> Bool[Tensor, "words keys"]:
    """True where a position (row) may look: at itself and at what comes before it, and at the
    `before` positions whose keys were kept."""
    keys = before + words
    return torch.ones(words, keys, dtype=torch.bool, device=device).tril(before)  # (words, keys)


class MultiHeadAttention(nn.Module):
    """Attention of `h` to `context` (to itself when None), in `heads` parts of the width.

    One matrix product makes queries, keys and values of a self-attention, and PyTorch's fused
    kernel does the rest, unless the weights are asked for. With `causal`, a position attends to
    itself and to what comes before it.

    Raises:
        ValueError: `dim` is not a multiple of `heads`.
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.0, causal: bool = False):
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim: expected a multiple of heads={heads}, got {dim}")
        self.heads, self.dropout, self.causal = heads, dropout, causal
        self.qkv = nn.Linear(dim, 3 * dim)  # rows: queries, keys, values
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        h: Float[Tensor, "batch queries dim"],
        context: Float[Tensor, "batch keys dim"] | None = None,
        mask: Bool[Tensor, "batch keys"] | None = None,
        need_weights: bool = False,
        cache: Any = None,
        layer: int = 0,
    ) -> tuple[Tensor, Tensor | None]:
        """Output (batch, queries, dim), and the weights (batch, heads, queries, keys) or None. A
        `cache` (models/llama.py) keeps keys and values: those of `h` are put behind the ones that
        it holds of this `layer`, and all of them are attended to."""
        batch, queries, dim = h.shape
        q, k, v = self._project(h, context)  # each (batch, heads, positions, dim / heads)
        if cache is not None:
            k, v = cache.put(layer, k, v)  # each (batch, heads, keys, dim / heads)
        before = k.shape[2] - queries if cache is not None else 0
        if mask is not None:
            refuse_numbers(mask)
            mask = mask[:, None, None, :]  # (batch, 1, 1, keys): the same for heads and queries
        causal = self.causal and queries > 1  # the only new position sees all that came before
        if causal and (need_weights or mask is not None or before):
            seen = causal_mask(queries, h.device, before)  # (queries, keys)
            mask = seen if mask is None else mask & seen  # (..., queries, keys)
        weights = None
        if need_weights:
            weights = attention_weights(q, k, mask)  # (batch, heads, queries, keys)
            mixed = F.dropout(weights, self.dropout, self.training) @ v
        else:
            mixed = F.scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=mask,
                is_causal=causal and mask is None,
                dropout_p=self.dropout if self.training else 0.0,
            )
        mixed = mixed.transpose(1, 2).reshape(batch, queries, dim)  # (batch, queries, dim)
        return self.out(mixed), weights

    def _project(self, h: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        if context is None:
            q, k, v = self.qkv(h).chunk(3, dim=-1)  # (batch, positions, dim) each
        else:
            dim = h.shape[-1]
            w_q, w_kv = self.qkv.weight.split([dim, 2 * dim])
            b_q, b_kv = self.qkv.bias.split([dim, 2 * dim])
            q = F.linear(h, w_q, b_q)  # (batch, queries, dim)
            k, v = F.linear(context, w_kv, b_kv).chunk(2, dim=-1)  # (batch, keys, dim) each
        return self._heads(q), self._heads(k), self._heads(v)

    def _heads(self, part: Tensor) -> Float[Tensor, "batch heads positions dim_of_a_head"]:
        batch, positions, _ = part.shape
        return part.view(batch, positions, self.heads, -1).transpose(1, 2)

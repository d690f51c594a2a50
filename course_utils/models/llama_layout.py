"""A `Llama` laid out for writing: one token at a time, on a CPU.

A token of one text is multiplied by every weight once, so the time goes into reading the weights
from memory. Three changes help, none of which changes what is computed: products of the same input
are one product (query, key and value; gate and up), and a matrix with more outputs than inputs
lies in memory as (in, out), so that it is read in long runs.
"""

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_utils.models.llama import Cache, GatedMLP, GroupedAttention, Llama, LlamaLayer, turn

MATRICES = (
    "attention.q",
    "attention.k",
    "attention.v",
    "attention.out",
    "mlp.gate",
    "mlp.up",
    "mlp.down",
)


class LaidOut(nn.Module):
    """A matrix (out, in) that is kept as (in, out) where `turned`."""

    kept: Tensor

    def __init__(self, weight: Float[Tensor, "out in"], turned: bool):
        super().__init__()
        self.turned = turned
        kept = weight.detach().T.contiguous() if turned else weight.detach().contiguous()
        self.register_buffer("kept", kept, persistent=False)

    def forward(self, x: Float[Tensor, "... in"]) -> Float[Tensor, "... out"]:
        return x @ self.kept if self.turned else F.linear(x, self.kept)


class LaidOutTable(LaidOut):
    """A table of token vectors that is also the head: one copy serves both."""

    @property
    def weight(self) -> Float[Tensor, "ids dim"]:
        return self.kept.T if self.turned else self.kept

    def forward(self, x: Int[Tensor, "..."]) -> Float[Tensor, "... dim"]:
        return self.weight[x]


class FusedAttention(nn.Module):
    """`GroupedAttention` whose queries, keys and values come out of one product."""

    def __init__(self, attention: GroupedAttention, turned: bool):
        super().__init__()
        self.config = attention.config
        parts = [part.weight for part in (attention.q, attention.k, attention.v)]
        self.qkv = LaidOut(torch.cat(parts), turned)
        self.out = LaidOut(attention.out.weight, False)

    def forward(self, h, angles, mask, cache: Cache | None, layer: int) -> Tensor:
        c = self.config
        qkv = self.qkv(h).unflatten(-1, (-1, c.head_dim)).transpose(1, 2)  # (batch, all, words, 64)
        turned, v = qkv.split((c.heads + c.key_heads, c.key_heads), 1)
        turned = turn(turned, angles)  # (batch, heads + key_heads, words, head_dim)
        q, k = turned.split((c.heads, c.key_heads), 1)  # (batch, heads or key_heads, words, 64)
        if cache is not None:
            k, v = cache.put(layer, k, v)  # (batch, key_heads, keys, head_dim)
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None and q.shape[2] > 1, enable_gqa=True
        )  # (batch, heads, words, head_dim)
        return self.out(mixed.transpose(1, 2).flatten(2))


class FusedMLP(nn.Module):
    """`GatedMLP` whose two halves come out of one product."""

    def __init__(self, mlp: GatedMLP, turned: bool):
        super().__init__()
        self.gate_up = LaidOut(torch.cat([mlp.gate.weight, mlp.up.weight]), turned)
        self.down = LaidOut(mlp.down.weight, False)

    def forward(self, h: Float[Tensor, "... dim"]) -> Float[Tensor, "... dim"]:
        gate, up = self.gate_up(h).chunk(2, dim=-1)  # (..., mlp) each
        return self.down(F.silu(gate) * up)


def lay_out(model: Llama, turned: bool = True) -> Llama:
    """Lays out a trained model for writing, in place, a layer at a time, so that no second copy of
    it is ever in memory; it can't be trained afterwards. Low-rank changes must be merged before.

    Args:
        turned: whether matrices with more outputs than inputs are kept as (in, out).

    Raises:
        ValueError: a layer is not as `Llama` makes it: laid out before, or tuned.
    """
    for number, layer in enumerate(model.layers):
        for name in MATRICES:
            owner, _, part = name.partition(".")
            found = getattr(getattr(layer, owner), part, None)
            if type(found) is not nn.Linear:
                raise ValueError(
                    f"layer {number}, {name}: expected a plain matrix, got {type(found).__name__}; "
                    "merge and remove low-rank changes first"
                )
    with torch.no_grad():
        for layer in model.layers:
            assert isinstance(layer, LlamaLayer)
            setattr(layer, "attention", FusedAttention(layer.attention, turned))  # noqa: B010
            setattr(layer, "mlp", FusedMLP(layer.mlp, turned))  # noqa: B010
        model.token = cast(nn.Embedding, LaidOutTable(model.token.weight, turned))
    return model.requires_grad_(False).eval()

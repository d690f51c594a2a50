"""A decoder of Llama's kind, as SmolLM2 is one: causal, with keys and values that are kept.

Four things differ from GPT-2 (models/decoder.py): RMSNorm (Zhang and Sennrich 2019, arXiv
1910.07467), positions that turn queries and keys (rotary: Su et al. 2021, 2104.09864), heads that
share keys and values (grouped queries: Ainslie et al. 2023, 2305.13245), and a gated MLP (SwiGLU:
Shazeer 2020, 2002.05202). The head is the token embedding.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_utils.models.attention import refuse_numbers


@dataclass(frozen=True)
class LlamaConfig:
    """Sizes of a decoder; those of SmolLM2-135M."""

    vocab_size: int = 49_152  # different token ids
    dim: int = 576  # width of the residual path
    layers: int = 30
    heads: int = 9  # of queries
    key_heads: int = 3  # of keys and values; each serves heads / key_heads of the queries
    mlp: int = 1536  # width inside the MLP
    theta: float = 100_000.0  # the slowest pair of a head turns by 1 / theta a position, about
    eps: float = 1e-5  # added to the mean square in RMSNorm

    def __post_init__(self) -> None:
        if self.dim % self.heads or (self.dim // self.heads) % 2:
            raise ValueError(
                f"dim: expected a multiple of 2 * heads={2 * self.heads}, got {self.dim}"
            )
        if self.heads % self.key_heads:
            raise ValueError(
                f"heads: expected a multiple of key_heads={self.key_heads}, got {self.heads}"
            )

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


class RMSNorm(nn.Module):
    """h / sqrt(mean of h^2 + eps), times a weight for each entry. No mean is taken off."""

    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(dim)), eps

    def forward(self, h: Float[Tensor, "... dim"]) -> Float[Tensor, "... dim"]:
        return F.rms_norm(h, self.weight.shape, self.weight, self.eps)


def rotary_angles(
    positions: Int[Tensor, "batch words"], head_dim: int, theta: float
) -> Float[Tensor, "batch words half"]:
    """By how much each pair of entries is turned: position / theta^(2 i / head_dim) for pair i, in
    radians (2104.09864, equation 15)."""
    pair = torch.arange(0, head_dim, 2, device=positions.device).float()  # (half,)
    return positions[..., None] / theta ** (pair / head_dim)  # (batch, words, half)


def turn(
    q: Float[Tensor, "batch heads words head_dim"], angles: Float[Tensor, "batch words half"]
) -> Float[Tensor, "batch heads words head_dim"]:
    """Each pair (q_i, q_{i + half}) turned by its angle. Then the product of a query and a key
    depends on how far they are apart, and not on where they stand."""
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]  # (batch, 1, words, half)
    a, b = q.chunk(2, dim=-1)  # (batch, heads, words, half) each
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1).to(q.dtype)


class Cache:
    """Keys and values of the tokens so far, in memory laid out for `room` of them."""

    def __init__(self, config: LlamaConfig, batch: int, room: int, like: Tensor):
        shape = (config.layers, batch, config.key_heads, room, config.head_dim)
        self.k, self.v = like.new_zeros(shape), like.new_zeros(shape)
        self.mask = torch.zeros(batch, room, dtype=torch.bool, device=like.device)
        self.length = 0  # tokens that it holds

    @property
    def room(self) -> int:
        return self.mask.shape[1]

    @property
    def bytes(self) -> int:
        """Of the keys and values."""
        return 2 * self.k.numel() * self.k.element_size()

    def repeated(self, times: int) -> "Cache":
        """A copy in which each text stands `times` times, one behind the other, to be continued in
        as many ways."""
        copy = object.__new__(Cache)
        copy.k, copy.v = (part.repeat_interleave(times, 1) for part in (self.k, self.v))
        copy.mask, copy.length = self.mask.repeat_interleave(times, 0), self.length
        return copy

    def put(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Adds keys and values (batch, key_heads, words, head_dim) of a layer behind those that are
        there, and gives all of that layer."""
        end = self.length + k.shape[2]
        self.k[layer, :, :, self.length : end] = k
        self.v[layer, :, :, self.length : end] = v
        return self.k[layer, :, :, :end], self.v[layer, :, :, :end]


class GroupedAttention(nn.Module):
    """Causal attention in which several heads of queries share keys and values."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.config = config
        shared = config.key_heads * config.head_dim
        self.q = nn.Linear(config.dim, config.dim, bias=False)
        self.k = nn.Linear(config.dim, shared, bias=False)
        self.v = nn.Linear(config.dim, shared, bias=False)
        self.out = nn.Linear(config.dim, config.dim, bias=False)

    def forward(
        self,
        h: Float[Tensor, "batch words dim"],
        angles: Float[Tensor, "batch words half"],
        mask: Bool[Tensor, "batch #one words keys"] | None,
        cache: Cache | None,
        layer: int,
    ) -> Float[Tensor, "batch words dim"]:
        q, k, v = (
            part(h).unflatten(-1, (-1, self.config.head_dim)).transpose(1, 2)
            for part in (self.q, self.k, self.v)
        )  # (batch, heads or key_heads, words, head_dim)
        q, k = turn(q, angles), turn(k, angles)
        if cache is not None:
            k, v = cache.put(layer, k, v)  # (batch, key_heads, keys, head_dim)
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None and q.shape[2] > 1, enable_gqa=True
        )  # (batch, heads, words, head_dim)
        return self.out(mixed.transpose(1, 2).flatten(2))


class GatedMLP(nn.Module):
    """down(silu(gate(h)) * up(h)): one half says how much of the other passes."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.gate = nn.Linear(config.dim, config.mlp, bias=False)
        self.up = nn.Linear(config.dim, config.mlp, bias=False)
        self.down = nn.Linear(config.mlp, config.dim, bias=False)

    def forward(self, h: Float[Tensor, "... dim"]) -> Float[Tensor, "... dim"]:
        return self.down(F.silu(self.gate(h)) * self.up(h))


class LlamaLayer(nn.Module):
    """Attention and MLP, each on the normalised state and added to the residual path."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.norm1 = RMSNorm(config.dim, config.eps)
        self.attention = GroupedAttention(config)
        self.norm2 = RMSNorm(config.dim, config.eps)
        self.mlp = GatedMLP(config)

    def forward(self, h: Tensor, angles: Tensor, mask: Tensor | None, cache, layer: int) -> Tensor:
        h = h + self.attention(self.norm1(h), angles, mask, cache, layer)  # (batch, words, dim)
        return h + self.mlp(self.norm2(h))  # (batch, words, dim)


class Llama(nn.Module):
    """Logits of the next token at every position."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.config = config
        self.token = nn.Embedding(config.vocab_size, config.dim)
        self.layers = nn.ModuleList(LlamaLayer(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.dim, config.eps)
        nn.init.normal_(self.token.weight, std=0.02)

    def cache(self, batch: int, room: int) -> Cache:
        """An empty cache for `batch` texts of up to `room` tokens."""
        return Cache(self.config, batch, room, like=self.token.weight)

    def states(
        self,
        h: Float[Tensor, "batch words dim"],
        mask: Bool[Tensor, "batch words"] | None = None,
        cache: Cache | None = None,
        branch: Int[Tensor, "batch words"] | None = None,
    ) -> Float[Tensor, "batch words dim"]:
        """The normalised states behind the last layer, from vectors in the place of tokens (from
        `self.token`, or visual ones). `mask` is False in padding, which stands on the left, so that
        all texts of a batch end at the same place. A cache is filled with what is read.

        With `branch` a text goes on in several ways: tokens of branch 0 are the common beginning,
        and those of branch k see it and branch k, as if the other branches were not there.

        Raises:
            ValueError: the cache is full, `mask` is no bool, or branches are to be cached.
        """
        batch, words, _ = h.shape
        if mask is not None:
            refuse_numbers(mask)
        if branch is not None and cache is not None:
            raise ValueError("branch: expected none with a cache, which holds one way on")
        before = 0 if cache is None else cache.length
        if cache is not None:
            if before + words > cache.room:
                raise ValueError(
                    f"cache: expected room for {before + words} tokens, got {cache.room}"
                )
            cache.mask[:, before : before + words] = True if mask is None else mask
            seen = cache.mask[:, : before + words]  # (batch, keys)
        else:
            seen = h.new_ones(batch, words, dtype=torch.bool) if mask is None else mask
        together = attention_mask(seen, words, branch)  # (batch, 1, words, keys) or None
        if together is None:
            positions = torch.arange(before, before + words, device=h.device)[None]  # (1, words)
        else:  # how many tokens a token sees before itself
            positions = (together.sum(-1)[:, 0] - 1).clamp(min=0)  # (batch, words)
        angles = rotary_angles(positions, self.config.head_dim, self.config.theta)
        for number, layer in enumerate(self.layers):
            h = layer(h, angles, together, cache, number)  # (batch, words, dim)
        if cache is not None:
            cache.length += words
        return self.norm(h)

    def forward(
        self,
        x: Int[Tensor, "batch words"],
        mask: Bool[Tensor, "batch words"] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "batch words vocab_size"]:
        """logits[:, t] are for x[:, t + 1]."""
        return self.logits(self.states(self.token(x), mask, cache))

    def logits(self, h: Float[Tensor, "... dim"]) -> Float[Tensor, "... vocab_size"]:
        """Scores of all tokens: how alike a state and each token's embedding are."""
        return F.linear(h, self.token.weight)


def attention_mask(
    seen: Bool[Tensor, "batch keys"], words: int, branch: Int[Tensor, "batch keys"] | None = None
) -> Bool[Tensor, "batch 1 words keys"] | None:
    """True where one of the last `words` positions may look: at itself and what comes before, but
    for padding and other branches. None where the plain causal mask says the same."""
    keys = seen.shape[1]
    if branch is None and bool(seen.all()) and words in (1, keys):
        return None
    causal = torch.ones(words, keys, dtype=torch.bool, device=seen.device).tril(keys - words)
    allowed = causal & seen[:, None, None, :]  # (batch, 1, words, keys)
    if branch is None:
        return allowed
    common = branch[:, None, None, :] == 0  # (batch, 1, 1, keys)
    return allowed & (common | (branch[:, None, None, :] == branch[:, None, :, None]))

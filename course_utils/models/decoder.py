"""A causal Transformer decoder: p(x) = product over t of p(x_t | x_1 ... x_{t-1}).

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (GPT-2): pre-norm layers,
learned positions, a last normalisation, and output weights shared with the token embedding.
"""

from dataclasses import dataclass, replace
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_utils.models.llama import Cache, LlamaConfig
from course_utils.models.transformer import TransformerConfig, TransformerEncoder


@dataclass(frozen=True)
class DecoderConfig(TransformerConfig):
    """Sizes of a decoder; it is causal whatever `causal` says."""

    vocab_size: int = 100  # different token ids
    max_words: int = 32  # longest text, with what stands in front of it

    # What a cache of keys and values asks for: every head has its own
    @property
    def key_heads(self) -> int:
        return self.heads

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


class Decoder(nn.Module):
    """Logits of the next token at every position.

    Padding comes last and needs no mask: no word looks at what follows it.
    """

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = replace(config, causal=True)
        self.token = nn.Embedding(config.vocab_size, config.dim)
        self.position = nn.Embedding(config.max_words, config.dim)
        self.drop = nn.Dropout(config.dropout)
        self.encoder = TransformerEncoder(self.config)
        for table in (self.token, self.position):  # a length of about 1; GPT-2's 0.02 suits 768
            nn.init.normal_(table.weight, std=config.dim**-0.5)

    def forward(
        self,
        x: Int[Tensor, "batch words"],
        need_weights: bool = False,
        prefix: Float[Tensor, "batch prefix dim"] | None = None,
    ) -> Float[Tensor, "batch positions vocab_size"] | tuple[Tensor, list[Tensor]]:
        """logits[:, t] are for x[:, t + 1]; with `need_weights` also the attention weights
        (batch, heads, positions, positions) of each layer.

        A `prefix` of vectors, a picture's say, stands in front of the words and takes the first
        positions: there are logits at them too, those at the last one for x[:, 0].

        Raises:
            ValueError: words and prefix are longer than `max_words`, or a prefix of another width.
        """
        h = self.embed(x, prefix)  # (batch, positions, dim)
        h, weights = self.encoder(self.drop(h), need_weights=need_weights)
        logits = self.logits(h)  # (batch, positions, vocab_size)
        return (logits, weights) if need_weights else logits

    def embed(
        self,
        x: Int[Tensor, "batch words"],
        prefix: Float[Tensor, "batch prefix dim"] | None = None,
        before: int = 0,
    ) -> Float[Tensor, "batch positions dim"]:
        """What the first layer reads: vectors of prefix and words, and the places behind the
        `before` positions that were read already.

        Raises:
            ValueError: as `forward`.
        """
        h = self.token(x)  # (batch, words, dim)
        if prefix is not None:
            if prefix.ndim != 3 or len(prefix) != len(x) or prefix.shape[2] != self.config.dim:
                raise ValueError(
                    f"prefix: expected (batch, positions, dim) = ({len(x)}, ..., "
                    f"{self.config.dim}), got {tuple(prefix.shape)}"
                )
            h = torch.cat([prefix, h], dim=1)  # (batch, positions, dim)
        return h + self._places(h, before)

    def _places(self, h: Tensor, before: int) -> Float[Tensor, "positions dim"]:
        end = before + h.shape[1]
        if end > self.config.max_words:
            raise ValueError(f"x: expected at most {self.config.max_words} tokens, got {end}")
        return self.position.weight[before:end]

    # The four that `methods/generation.py` calls, as `Llama` has them

    def cache(self, batch: int, room: int) -> Cache:
        """An empty cache for `batch` texts of up to `room` positions."""
        return Cache(cast(LlamaConfig, self.config), batch, room, like=self.token.weight)

    def states(
        self,
        h: Float[Tensor, "batch positions dim"],
        mask: Bool[Tensor, "batch positions"] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "batch positions dim"]:
        """The normalised states behind the last layer, from vectors in the place of tokens (from
        `self.token`, or visual ones), to which the places are added here. A cache is filled with
        what is read.

        Raises:
            ValueError: a mask, the text is longer than `max_words`, or the cache is full.
        """
        if mask is not None:
            raise ValueError("mask: expected None, texts of one length: padding stands behind")
        before = 0 if cache is None else cache.length
        if cache is not None and before + h.shape[1] > cache.room:
            raise ValueError(
                f"cache: expected room for {before + h.shape[1]} tokens, got {cache.room}"
            )
        h, _ = self.encoder(self.drop(h + self._places(h, before)), cache=cache)
        if cache is not None:
            cache.length += h.shape[1]
        return h

    def logits(self, h: Float[Tensor, "... dim"]) -> Float[Tensor, "... vocab_size"]:
        """Scores of all tokens: how alike a state and each token's embedding are."""
        return h @ self.token.weight.T

    @torch.no_grad()
    def generate(
        self,
        x: Int[Tensor, "batch words"],
        steps: int,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        end: int | None = None,
    ) -> Int[Tensor, "batch longer"]:
        """`x`, continued by up to `steps` tokens that are drawn from softmax(logits / temperature)
        (the likeliest ones with temperature 0). After `end` a text is filled up with `end`.

        Raises:
            ValueError: a negative temperature, or a text that would become too long.
        """
        if temperature < 0:
            raise ValueError(f"temperature: expected at least 0, got {temperature}")
        done = torch.zeros(len(x), dtype=torch.bool, device=x.device)  # (batch,)
        for _ in range(steps):
            logits = self(x)[:, -1]  # (batch, vocab_size)
            if temperature == 0:
                token = logits.argmax(-1)  # (batch,)
            else:
                p = (logits / temperature).softmax(-1)  # (batch, vocab_size)
                token = torch.multinomial(p, 1, generator=generator)[:, 0]  # (batch,)
            if end is not None:
                token = token.masked_fill(done, end)  # (batch,)
                done = done | (token == end)  # (batch,)
            x = torch.cat([x, token[:, None]], dim=1)  # (batch, words + 1)
            if done.all():
                break
        return x

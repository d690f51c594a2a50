"""A causal Transformer decoder: p(x) = product over t of p(x_t | x_1 ... x_{t-1}).

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (GPT-2): pre-norm layers,
learned positions, a last normalisation, and output weights shared with the token embedding.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_utils.models.transformer import TransformerConfig, TransformerEncoder


@dataclass(frozen=True)
class DecoderConfig(TransformerConfig):
    """Sizes of a decoder; it is causal whatever `causal` says."""

    vocab_size: int = 100  # different token ids
    max_words: int = 32  # longest text


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
        self, x: Int[Tensor, "batch words"], need_weights: bool = False
    ) -> Float[Tensor, "batch words vocab_size"] | tuple[Tensor, list[Tensor]]:
        """logits[:, t] are for x[:, t + 1]; with `need_weights` also the attention weights
        (batch, heads, words, words) of each layer.

        Raises:
            ValueError: `x` is longer than `max_words`.
        """
        if x.shape[1] > self.config.max_words:
            raise ValueError(
                f"x: expected at most {self.config.max_words} tokens, got {x.shape[1]}"
            )
        h = self.token(x) + self.position.weight[: x.shape[1]]  # (batch, words, dim)
        h, weights = self.encoder(self.drop(h), need_weights=need_weights)  # (batch, words, dim)
        logits = h @ self.token.weight.T  # (batch, words, vocab_size)
        return (logits, weights) if need_weights else logits

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

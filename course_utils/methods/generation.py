"""Continuing texts token by token, with the keys and values of what was read kept."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_utils.models.llama import Llama

Choose = Callable[[Tensor], Tensor]  # logits (batch, vocab_size) -> token ids (batch,)


def greedy(logits: Float[Tensor, "batch vocab_size"]) -> Int[Tensor, " batch"]:
    """The token with the highest score."""
    return logits.argmax(-1)


@dataclass(frozen=True)
class Sample:
    """Draws a token: from softmax(logits / temperature), of the `top_k` most likely ones only, and
    of these only the fewest whose shares reach `top_p` (the nucleus: Holtzman et al. 2019, arXiv
    1904.09751).

    Raises:
        ValueError: a temperature or top_k that isn't above 0, or top_p outside (0, 1].
    """

    generator: torch.Generator
    temperature: float = 1.0
    top_k: int | None = None  # all
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature: expected above 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k: expected at least 1, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: expected above 0 and at most 1, got {self.top_p}")

    def __call__(self, logits: Float[Tensor, "batch vocab_size"]) -> Int[Tensor, " batch"]:
        p = self.shares(logits)  # (batch, vocab_size)
        return torch.multinomial(p, 1, generator=self.generator)[:, 0]

    def shares(self, logits: Float[Tensor, "batch vocab_size"]) -> Float[Tensor, "batch vocab"]:
        """With what probability each token is drawn."""
        p = (logits / self.temperature).softmax(-1)  # (batch, vocab_size)
        p, order = p.sort(dim=-1, descending=True, stable=True)  # (batch, vocab_size) each
        before = p.cumsum(-1) - p  # what the more likely ones have together
        p = p.masked_fill(before >= self.top_p, 0.0)  # the first one always stays
        if self.top_k is not None:
            p[:, self.top_k :] = 0.0
        p = torch.empty_like(p).scatter_(-1, order, p)  # (batch, vocab_size)
        return p / p.sum(-1, keepdim=True)


@torch.no_grad()
def continued(
    model: Llama,
    x: Int[Tensor, "batch words"],
    steps: int,
    mask: Bool[Tensor, "batch words"] | None = None,
    choose: Choose = greedy,
    end: int | None = None,
    h: Float[Tensor, "batch words dim"] | None = None,
) -> Int[Tensor, "batch new"]:
    """Up to `steps` new tokens behind `x`. After `end` a text is filled up with `end`.

    Args:
        mask: False in padding, which stands on the left.
        h: vectors to read in the place of the tokens `x`, visual ones among them, say.

    Raises:
        ValueError: fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    cache = model.cache(len(x), x.shape[1] + steps - 1)
    states = model.states(model.token(x) if h is None else h, mask, cache)  # (batch, words, dim)
    done, tokens = torch.zeros(len(x), dtype=torch.bool, device=x.device), []
    while True:
        token = choose(model.logits(states[:, -1]))  # (batch,)
        if end is not None:
            token = token.masked_fill(done, end)  # (batch,)
            done = done | (token == end)  # (batch,)
        tokens.append(token)
        if len(tokens) == steps or done.all():
            return torch.stack(tokens, dim=1)  # (batch, new)
        states = model.states(model.token(token[:, None]), None, cache)  # (batch, 1, dim)

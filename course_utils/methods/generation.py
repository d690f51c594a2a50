"""Continuing texts token by token, with the keys and values of what was read kept."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_utils.models.decoder import Decoder
from course_utils.models.llama import Cache, Llama

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
        if self.top_k is None and self.top_p == 1:
            return p  # nothing to leave out, and no rounding of sums leaves out a rare token
        p, order = p.sort(dim=-1, descending=True, stable=True)  # (batch, vocab_size) each
        before = p.cumsum(-1) - p  # what the more likely ones have together
        p = p.masked_fill(before >= self.top_p, 0.0)  # the first one always stays
        if self.top_k is not None:
            p[:, self.top_k :] = 0.0
        p = torch.empty_like(p).scatter_(-1, order, p)  # (batch, vocab_size)
        return p / p.sum(-1, keepdim=True)


@torch.no_grad()
def tokens_of(
    model: Llama | Decoder,
    x: Int[Tensor, "batch words"],
    steps: int,
    mask: Bool[Tensor, "batch words"] | None = None,
    choose: Choose = greedy,
    end: int | None = None,
    h: Float[Tensor, "batch words dim"] | None = None,
) -> Iterator[Int[Tensor, " batch"]]:
    """`continued`, token by token, as they are chosen."""
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    h = model.token(x) if h is None else h  # (batch, words, dim)
    assert h is not None
    cache = model.cache(len(h), h.shape[1] + steps - 1)
    states = model.states(h, mask, cache)  # (batch, words, dim)
    done = torch.zeros(len(h), dtype=torch.bool, device=x.device)  # (batch,)
    for step in range(1, steps + 1):
        token = choose(model.logits(states[:, -1]))  # (batch,)
        if end is not None:
            token = token.masked_fill(done, end)  # (batch,)
            done = done | (token == end)  # (batch,)
        yield token
        if step == steps or done.all():
            return
        states = model.states(model.token(token[:, None]), None, cache)  # (batch, 1, dim)


def continued(
    model: Llama | Decoder,
    x: Int[Tensor, "batch words"],
    steps: int,
    mask: Bool[Tensor, "batch words"] | None = None,
    choose: Choose = greedy,
    end: int | None = None,
    h: Float[Tensor, "batch words dim"] | None = None,
) -> Int[Tensor, "batch new"]:
    """Up to `steps` new tokens behind `x`. After `end` a text is filled up with `end`.

    Args:
        mask: False in padding, which stands on the left. A `Decoder` takes none.
        h: vectors to read in the place of the tokens `x`, visual ones among them, say.

    Raises:
        ValueError: fewer than one step.
    """
    return torch.stack(list(tokens_of(model, x, steps, mask, choose, end, h)), dim=1)


def best_continuations(
    scores: Float[Tensor, "batch beams"], log_p: Float[Tensor, "batch beams vocab_size"], k: int
) -> tuple[Float[Tensor, "batch k"], Int[Tensor, "batch k"], Int[Tensor, "batch k"]]:
    """The k continuations with the highest sums, over all beams of a text together.

    Args:
        scores: sum of log p of each beam so far.
        log_p: of each token behind each beam.

    Returns:
        Their sums, the beams that they continue, and their tokens, best first.
    """
    sums = (scores[..., None] + log_p).flatten(1)  # (batch, beams * vocab_size)
    best, place = sums.topk(min(k, sums.shape[1]), dim=1)  # (batch, k) each
    return best, place // log_p.shape[-1], place % log_p.shape[-1]


@torch.no_grad()
def beam_search(
    model: Llama | Decoder,
    h: Float[Tensor, "batch positions dim"],
    steps: int,
    width: int,
    end: int,
    length_penalty: float = 0.0,
    forbidden: tuple[int, ...] = (),
) -> tuple[Int[Tensor, "batch new"], Float[Tensor, " batch"]]:
    """For each text the best of the texts that a search with `width` beams finished, and its score:
    the sum of log p of its tokens, `end` among them, divided by their number to the power
    `length_penalty`.

    Each step looks at the 2 * width best continuations of all beams. Those that end, if they are
    among the first `width`, are finished, and the best `width` of the others go on. That is what
    `generate(num_beams=width, early_stopping="never")` of transformers does. A text that is cut
    after `steps` counts as finished. Behind `end` a text is filled up with `end`.

    Args:
        h: vectors of what has been read, all texts equally long.
        forbidden: tokens that are never written, such as padding.

    Raises:
        ValueError: fewer than one step or one beam.
    """
    if steps < 1 or width < 1:
        raise ValueError(f"expected steps and width of at least 1, got {steps} and {width}")
    batch, read, _ = h.shape
    cache = model.cache(batch, read)
    logits = model.logits(model.states(h, None, cache)[:, -1])  # (batch, vocab_size)
    cache = _picked(model, cache, torch.arange(batch).repeat_interleave(width), steps - 1)
    row = torch.arange(batch, device=h.device)[:, None]  # (batch, 1)
    scores = h.new_full((batch, width), -torch.inf)
    scores[:, 0] = 0.0  # the beams begin alike: one of them counts
    logits = logits.repeat_interleave(width, 0)  # (batch * width, vocab_size)
    texts = torch.zeros(batch, width, 0, dtype=torch.long, device=h.device)
    best = h.new_full((batch,), -torch.inf)
    kept = torch.full((batch, steps), end, device=h.device)
    for step in range(1, steps + 1):
        log_p = logits.log_softmax(-1).view(batch, width, -1)  # (batch, width, vocab_size)
        log_p[..., list(forbidden)] = -torch.inf
        sums, beam, token = best_continuations(scores, log_p, 2 * width)  # (batch, 2 width) each
        grown = torch.cat([texts[row, beam], token[..., None]], dim=2)  # (batch, 2 width, step)
        ends = token == end  # (batch, 2 width)
        done = ends[:, :width] | (step == steps)  # (batch, width): a text that is cut counts too
        final = (sums / step**length_penalty)[:, :width].masked_fill(~done, -torch.inf)
        top, which = final.max(1)  # (batch,) each
        for i in (top > best).nonzero()[:, 0].tolist():
            best[i], kept[i, :step] = top[i], grown[i, which[i]]
            kept[i, step:] = end
        order = ends.to(torch.int8).argsort(dim=1, stable=True)[:, :width]  # the others, best first
        scores = sums.gather(1, order).masked_fill(ends.gather(1, order), -torch.inf)
        texts, beam = grown[row, order], beam.gather(1, order)
        longest = steps if length_penalty > 0 else step + 1
        if step == steps or bool((scores[:, 0] / longest**length_penalty <= best).all()):
            break
        cache = _picked(model, cache, (row * width + beam).flatten())
        states = model.states(model.token(texts[..., -1].flatten()[:, None]), None, cache)
        logits = model.logits(states[:, -1])  # (batch * width, vocab_size)
    return kept, best


def _picked(model: Llama | Decoder, cache: Cache, rows: Tensor, more: int = 0) -> Cache:
    """A cache with the texts at `rows`, and room for `more` tokens."""
    new = model.cache(len(rows), cache.room + more)
    new.k[..., : cache.room, :], new.v[..., : cache.room, :] = cache.k[:, rows], cache.v[:, rows]
    new.mask[:, : cache.room], new.length = cache.mask[rows], cache.length
    return new

"""Self-supervised losses on words: the next token, and masked tokens."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

IGNORE = -100  # the label that PyTorch's cross-entropy leaves out


def next_token_loss(
    logits: Float[Tensor, "batch words vocab_size"],
    x: Int[Tensor, "batch words"],
    mask: Bool[Tensor, "batch words"],
) -> Float[Tensor, ""]:
    """Mean of -log p(x_{t+1} | x_1 ... x_t) in nat over all words but the first of each text.

    Args:
        logits: at position t for the token at t + 1.
        mask: True where there is a word; padding is left out of the mean.

    Raises:
        ValueError: shapes don't fit.
    """
    if logits.shape[:2] != x.shape or mask.shape != x.shape:
        raise ValueError(
            "expected logits (batch, words, vocab_size), x and mask (batch, words), got "
            f"{tuple(logits.shape)}, {tuple(x.shape)} and {tuple(mask.shape)}"
        )
    targets = x[:, 1:].masked_fill(~mask[:, 1:], IGNORE)  # (batch, words - 1)
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), ignore_index=IGNORE)


def mask_tokens(
    x: Int[Tensor, "batch words"],
    maskable: Bool[Tensor, "batch words"],
    mask_id: int,
    vocab_size: int,
    share: float = 0.15,
    generator: torch.Generator | None = None,
    first_word: int = 0,
    words: Int[Tensor, " words"] | None = None,
) -> tuple[Int[Tensor, "batch words"], Int[Tensor, "batch words"]]:
    """What BERT is shown, and what it is to say (Devlin et al., arXiv 1810.04805, section 3.1).

    Each maskable position is chosen with probability `share`. Of the chosen ones, 80 % become
    `mask_id`, 10 % a random token from `first_word` on (or of `words`), and 10 % stay as they are.

    Args:
        maskable: True where a token may be chosen: not padding, not [CLS] and [SEP].

    Returns:
        The tokens to show (batch, words), and the labels (batch, words): the true token where one
        was chosen, -100 elsewhere.

    Raises:
        ValueError: `share` is not a probability, or shapes differ.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share: expected a probability, got {share}")
    if maskable.shape != x.shape:
        raise ValueError(
            f"maskable: expected the shape of x {tuple(x.shape)}, got {tuple(maskable.shape)}"
        )

    def draw():
        return torch.rand(x.shape, generator=generator, device=x.device)  # (batch, words)

    chosen = maskable & (draw() < share)  # (batch, words)
    labels = x.masked_fill(~chosen, IGNORE)  # (batch, words)
    lot = draw()  # (batch, words)
    low, high = (first_word, vocab_size) if words is None else (0, len(words))
    random = torch.randint(low, high, x.shape, generator=generator, device=x.device)
    if words is not None:
        random = words.to(x.device)[random]  # (batch, words)
    shown = x.masked_fill(chosen & (lot < 0.8), mask_id)  # (batch, words)
    return torch.where(chosen & (lot >= 0.9), random, shown), labels


def masked_token_loss(
    logits: Float[Tensor, "batch words vocab_size"], labels: Int[Tensor, "batch words"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy in nat where `labels` is not -100; 0, with a gradient of 0, where no token
    was chosen (a plain mean would be 0 / 0).

    Raises:
        ValueError: shapes don't fit.
    """
    if logits.shape[:2] != labels.shape:
        raise ValueError(
            f"expected logits (batch, words, vocab_size) and labels (batch, words), got "
            f"{tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    total = F.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    return total / (labels != IGNORE).sum().clamp(min=1)


def answer_labels(
    x: Int[Tensor, "batch words"], mask: Bool[Tensor, "batch words"], start: int, patches: int = 0
) -> Int[Tensor, "batch positions"]:
    """What a decoder with `patches` positions in front of the words is to say: the tokens behind
    the first `start`, the end among them, and -100 at patches, prompt, `start` and padding. Not
    shifted: the label of a position is the token that stands there.

    Raises:
        ValueError: a text without `start`.
    """
    if not bool((x == start).any(1).all()):
        raise ValueError(f"x: expected the start token {start} in each text")
    behind = (x == start).cumsum(1) - (x == start).long() > 0  # (batch, words)
    labels = x.masked_fill(~(behind & mask), IGNORE)  # (batch, words)
    return torch.cat([x.new_full((len(x), patches), IGNORE), labels], dim=1)


def shifted_loss(
    logits: Float[Tensor, "batch positions vocab_size"], labels: Int[Tensor, "batch positions"]
) -> Float[Tensor, ""]:
    """Mean of -log p in nat over the labels that aren't -100: the logits at t are for the label at
    t + 1.

    Raises:
        ValueError: shapes don't fit.
    """
    if logits.shape[:2] != labels.shape:
        raise ValueError(
            f"expected logits (batch, positions, vocab_size) and labels (batch, positions), got "
            f"{tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    return F.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORE
    )

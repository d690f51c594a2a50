"""Tuning a decoder with eyes on instructions, and asking it."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from course_utils.datasets.instructions import END, InstructionBatch, left_padded, prompt_ids
from course_utils.methods.generation import Choose, continued, greedy
from course_utils.models.seeing import SeeingDecoder


def answer_loss(
    model: SeeingDecoder, v: Float[Tensor, "pictures patches visual_dim"], batch: InstructionBatch
) -> Float[Tensor, ""]:
    """Mean of -log p(token | picture, what stands before it) in nat over the tokens of the answers
    and their ends. Scores of the other tokens, 49,152 each, are never computed."""
    h = model.embedded(v[batch.picture], batch.x)  # (batch, words, dim)
    states = model.decoder.states(h, batch.mask)[:, :-1]  # (batch, words - 1, dim)
    scored = batch.scored[:, 1:]  # (batch, words - 1): whether the next token is scored
    logits = model.decoder.logits(states[scored])  # (scored tokens, vocab_size)
    return F.cross_entropy(logits, batch.x[:, 1:][scored])


@torch.no_grad()
def answers(
    model: SeeingDecoder,
    tokenizer: PreTrainedTokenizerBase,
    v: Float[Tensor, "questions patches visual_dim"],
    questions: Sequence[str],
    most: int = 12,
    choose: Choose = greedy,
    at_once: int = 32,
) -> list[str]:
    """What the model writes to each question about its picture, in up to `most` tokens.

    Raises:
        ValueError: not one picture a question.
    """
    if len(v) != len(questions):
        raise ValueError(f"expected a picture for each of {len(questions)} questions, got {len(v)}")
    written: list[str] = []
    for rows in _parts(len(questions), at_once):
        prompts = [prompt_ids(tokenizer, questions[i], v.shape[1]) for i in rows]
        x, mask = left_padded(prompts, tokenizer.pad_token_id)  # (batch, words) each
        h = model.embedded(v[list(rows)], x)  # (batch, words, dim)
        end = tokenizer.convert_tokens_to_ids(END)
        new = continued(model.decoder, x, most, mask, choose, end, h)  # (batch, new)
        texts = tokenizer.batch_decode(new, skip_special_tokens=True)
        written += [text.strip() for text in texts]
    return written


def _parts(count: int, size: int) -> Iterator[range]:
    return (range(first, min(first + size, count)) for first in range(0, count, size))

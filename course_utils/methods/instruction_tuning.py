"""Tuning a decoder with eyes on instructions, and asking it."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from course_utils.datasets.instructions import (
    END,
    InstructionBatch,
    left_padded,
    prompt_ids,
    text_ids,
)
from course_utils.methods.generation import Choose, continued, greedy
from course_utils.models.seeing import SeeingDecoder


def answer_loss(
    model: SeeingDecoder, v: Float[Tensor, "pictures patches visual_dim"], batch: InstructionBatch
) -> Float[Tensor, ""]:
    """Mean of -log p(token | picture, what stands before it) in nat over the tokens of the answers
    and their ends. Scores of the other tokens, 49,152 each, are never computed."""
    h = model.embedded(v[batch.picture].float(), batch.x)  # (batch, words, dim)
    states = model.decoder.states(h, batch.mask, branch=batch.branch)  # (batch, words, dim)
    scored = batch.scored[:, 1:]  # (batch, words - 1): whether the next token is scored
    logits = model.decoder.logits(states[:, :-1][scored])  # (scored tokens, vocab_size)
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


@torch.no_grad()
def choice_log_probs(
    model: SeeingDecoder,
    tokenizer: PreTrainedTokenizerBase,
    v: Float[Tensor, "questions patches visual_dim"],
    questions: Sequence[str],
    choices: Sequence[str],
    at_once: int = 16,
) -> Float[Tensor, "questions choices"]:
    """log p(choice and its end | picture, question) in nat. What stands before the choices is read
    once a question, and its keys and values are shared.

    Raises:
        ValueError: not one picture a question, no question, or no choice.
    """
    if len(v) != len(questions) or not questions or not choices:
        raise ValueError(
            f"expected a picture each for {len(questions)} questions, one or more, and a choice, "
            f"got {len(v)} pictures and {len(choices)} choices"
        )
    end = tokenizer.convert_tokens_to_ids(END)
    ids = [[*text_ids(tokenizer, choice), end] for choice in choices]
    flipped, there = left_padded([row[::-1] for row in ids], tokenizer.pad_token_id)
    y, there = flipped.flip(1), there.flip(1)  # (choices, tokens) each: padding stands on the right
    found = []
    for rows in _parts(len(questions), at_once):
        prompts = [prompt_ids(tokenizer, questions[i], v.shape[1]) for i in rows]
        x, mask = left_padded(prompts, tokenizer.pad_token_id)  # (batch, words) each
        cache = model.decoder.cache(len(x), x.shape[1] + y.shape[1])
        first = model.decoder.states(model.embedded(v[list(rows)], x), mask, cache)[:, -1:]
        first = first.repeat_interleave(len(choices), 0)  # (batch * choices, 1, dim)
        again, real = y.repeat(len(x), 1), there.repeat(len(x), 1)  # (batch * choices, tokens) each
        rest = model.decoder.states(
            model.decoder.token(again[:, :-1]), real[:, :-1], cache.repeated(len(choices))
        )  # (batch * choices, tokens - 1, dim)
        logits = model.decoder.logits(torch.cat([first, rest], 1)[real])  # (real tokens, vocab)
        scores = torch.zeros(real.shape, device=logits.device)  # (batch * choices, tokens)
        scores[real] = -F.cross_entropy(logits.float(), again[real], reduction="none")
        found.append(scores.sum(1).view(len(x), len(choices)))
    return torch.cat(found)


@torch.no_grad()
def what_each_patch_tells(
    model: SeeingDecoder,
    tokenizer: PreTrainedTokenizerBase,
    v: Float[Tensor, "patches visual_dim"],
    question: str,
    answer: str,
) -> Float[Tensor, " patches"]:
    """How much log p(answer | picture, question), in nat, falls when a patch is replaced by the
    mean of the others: where the answer comes from. Below 0 where the patch speaks against it.

    Raises:
        ValueError: fewer than two patches.
    """
    count = len(v)
    if count < 2:
        raise ValueError(f"v: expected two or more patches, got {count}")
    others = (v.sum(0) - v) / (count - 1)  # (patches, visual_dim)
    covered = v.repeat(count, 1, 1)  # (patches, patches, visual_dim)
    covered[range(count), range(count)] = others
    all_of_them = torch.cat([v[None], covered])  # (1 + patches, patches, visual_dim)
    scores = choice_log_probs(model, tokenizer, all_of_them, [question] * (1 + count), [answer])
    return scores[0, 0] - scores[1:, 0]  # (patches,)


def _parts(count: int, size: int) -> Iterator[range]:
    return (range(first, min(first + size, count)) for first in range(0, count, size))

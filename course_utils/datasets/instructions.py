"""Instructions with pictures: what a user asks, what the model is to answer, in the form of a chat.

    <|im_start|>user
    (one placeholder for each patch)what is left of the red cross?<|im_end|>
    <|im_start|>assistant
    a blue circle<|im_end|>

Only the answer and its end are scored: a model that is scored on the question learns to ask.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedTokenizerBase

START, END, PLACEHOLDER = "<|im_start|>", "<|im_end|>", "<file_sep>"  # tokens of SmolLM2


class Instruction(NamedTuple):
    """A turn about a picture."""

    picture: int  # a row of the visual features
    question: str
    answer: str


class InstructionBatch(NamedTuple):
    """Texts of one length, padded on the left, so that all end at the same place."""

    picture: Int[Tensor, " batch"]
    x: Int[Tensor, "batch words"]
    mask: Bool[Tensor, "batch words"]  # False in padding
    scored: Bool[Tensor, "batch words"]  # True at the tokens of the answer and its end


def prompt_ids(tokenizer: PreTrainedTokenizerBase, question: str, patches: int) -> list[int]:
    """The tokens up to where the answer begins. A question's own "<|im_end|>" is text.

    Raises:
        ValueError: the tokenizer has no placeholder, or the question is empty.
    """
    placeholder = tokenizer.convert_tokens_to_ids(PLACEHOLDER)
    if placeholder is None or placeholder == tokenizer.unk_token_id:
        raise ValueError(f"expected a tokenizer with the token {PLACEHOLDER}")
    if not question.strip():
        raise ValueError("question: expected some words, got none")
    begin = tokenizer(f"{START}user\n", add_special_tokens=False).input_ids
    end = tokenizer(f"{END}\n{START}assistant\n", add_special_tokens=False).input_ids
    return [*begin, *[placeholder] * patches, *text_ids(tokenizer, question), *end]


def text_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The tokens of a text that others wrote: none of them is special."""
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids


def left_padded(
    texts: Sequence[Sequence[int]], padding: int
) -> tuple[Int[Tensor, "batch words"], Bool[Tensor, "batch words"]]:
    """Token ids of several texts, and where there is a token."""
    longest = max(map(len, texts))
    x = torch.tensor([[padding] * (longest - len(text)) + list(text) for text in texts])
    lengths = torch.tensor([len(text) for text in texts])  # (batch,)
    return x, torch.arange(longest, 0, -1) <= lengths[:, None]


def as_batch(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Instruction], patches: int
) -> InstructionBatch:
    """Instructions with their answers, to be trained on."""
    end = tokenizer.convert_tokens_to_ids(END)
    prompts = [prompt_ids(tokenizer, row.question, patches) for row in rows]
    answers = [[*text_ids(tokenizer, row.answer), end] for row in rows]
    x, mask = left_padded(
        [p + a for p, a in zip(prompts, answers)], tokenizer.pad_token_id
    )  # (batch, words) each
    lengths = torch.tensor([len(answer) for answer in answers])  # (batch,)
    place = torch.arange(x.shape[1], 0, -1)  # (words,): 1 is the last
    scored = place <= lengths[:, None]  # (batch, words)
    picture = torch.tensor([row.picture for row in rows])  # (batch,)
    return InstructionBatch(picture, x, mask, scored)


def instruction_loader(
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Instruction],
    patches: int,
    size: int,
    seed: int,
) -> DataLoader:
    """Batches of `size` rows, for `fit`; each pass over the rows in another order.

    Raises:
        ValueError: fewer rows than a batch.
    """
    if not 1 <= size <= len(rows):
        raise ValueError(f"size: expected 1 to {len(rows)} (rows), got {size}")
    return DataLoader(
        cast(Dataset, rows),
        size,
        shuffle=True,
        drop_last=True,
        collate_fn=lambda some: as_batch(tokenizer, some, patches),
        generator=torch.Generator().manual_seed(seed),
    )

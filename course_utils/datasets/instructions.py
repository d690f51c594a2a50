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
    """Pictures with turns about each, padded on the left, so that all end at the same place.

    A picture's opening, with its placeholders, is written once. Each turn is a branch of it, which
    sees the opening and nothing of the other turns.
    """

    picture: Int[Tensor, " batch"]
    x: Int[Tensor, "batch words"]
    mask: Bool[Tensor, "batch words"]  # False in padding
    branch: Int[Tensor, "batch words"]  # 0 in the opening, 1, 2, ... in the turns
    scored: Bool[Tensor, "batch words"]  # True at the tokens of the answer and its end


def opening_ids(tokenizer: PreTrainedTokenizerBase, patches: int) -> list[int]:
    """The tokens in front of the question: the user's turn begins, and there is the picture.

    Raises:
        ValueError: the tokenizer has no placeholder.
    """
    placeholder = tokenizer.convert_tokens_to_ids(PLACEHOLDER)
    if placeholder is None or placeholder == tokenizer.unk_token_id:
        raise ValueError(f"expected a tokenizer with the token {PLACEHOLDER}")
    begin = tokenizer(f"{START}user\n", add_special_tokens=False).input_ids
    return [*begin, *[placeholder] * patches]


def question_ids(tokenizer: PreTrainedTokenizerBase, question: str) -> list[int]:
    """The tokens of the question, up to where the answer begins. Its own "<|im_end|>" is text.

    Raises:
        ValueError: the question is empty.
    """
    if not question.strip():
        raise ValueError("question: expected some words, got none")
    end = tokenizer(f"{END}\n{START}assistant\n", add_special_tokens=False).input_ids
    return [*text_ids(tokenizer, question), *end]


def prompt_ids(tokenizer: PreTrainedTokenizerBase, question: str, patches: int) -> list[int]:
    """The tokens up to where the answer begins.

    Raises:
        ValueError: the tokenizer has no placeholder, or the question is empty.
    """
    return [*opening_ids(tokenizer, patches), *question_ids(tokenizer, question)]


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
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[Sequence[Instruction]], patches: int
) -> InstructionBatch:
    """Turns with their answers, to be trained on: a sequence of them for each picture.

    Raises:
        ValueError: turns that belong together are about different pictures, or there are none.
    """
    if not turns:
        raise ValueError("turns: expected those about one picture or more, got none")
    end = tokenizer.convert_tokens_to_ids(END)
    opening = opening_ids(tokenizer, patches)
    texts, branches, scored = [], [], []
    for rows in turns:
        if len({row.picture for row in rows}) != 1:
            raise ValueError(
                f"turns: expected some about one picture, got {[row.picture for row in rows]}"
            )
        x, branch, counts = list(opening), [0] * len(opening), [0] * len(opening)
        for number, row in enumerate(rows, 1):
            question = question_ids(tokenizer, row.question)
            answer = [*text_ids(tokenizer, row.answer), end]
            x += [*question, *answer]
            branch += [number] * (len(question) + len(answer))
            counts += [0] * len(question) + [1] * len(answer)
        texts.append(x)
        branches.append(branch)
        scored.append(counts)
    x, mask = left_padded(texts, tokenizer.pad_token_id)  # (batch, words) each
    branch, _ = left_padded(branches, 0)  # (batch, words)
    counts, _ = left_padded(scored, 0)  # (batch, words)
    picture = torch.tensor([rows[0].picture for rows in turns])  # (batch,)
    return InstructionBatch(picture, x, mask, branch, counts == 1)


def by_picture(rows: Sequence[Instruction], most: int) -> list[list[Instruction]]:
    """Rows about one picture together, up to `most` of them, in the order of their pictures' first
    rows.

    Raises:
        ValueError: fewer than one together.
    """
    if most < 1:
        raise ValueError(f"most: expected at least 1, got {most}")
    together: dict[int, list[Instruction]] = {}
    for row in rows:
        together.setdefault(row.picture, []).append(row)
    return [
        some[first : first + most]
        for some in together.values()
        for first in range(0, len(some), most)
    ]


def instruction_loader(
    tokenizer: PreTrainedTokenizerBase,
    turns: Sequence[Sequence[Instruction]],
    patches: int,
    size: int,
    seed: int,
) -> DataLoader:
    """Batches of `size` pictures with their turns, for `fit`; each pass in another order.

    Raises:
        ValueError: fewer pictures than a batch.
    """
    if not 1 <= size <= len(turns):
        raise ValueError(f"size: expected 1 to {len(turns)} (pictures), got {size}")
    return DataLoader(
        cast(Dataset, turns),
        size,
        shuffle=True,
        drop_last=True,
        collate_fn=lambda some: as_batch(tokenizer, some, patches),
        generator=torch.Generator().manual_seed(seed),
    )

"""Does a model of clips see their order? Three numbers beside each other.

A model that sees the frames as a set gives a clip and its reverse the same answer. Where the two
have different right answers, it is right in one of the two at most.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from course_utils.datasets.clips import ClipData
from course_utils.world.motion import shuffle_frames

AT_ONCE = 128  # rows


class OrderTest(NamedTuple):
    """Shares from 0 to 1."""

    right: float  # right answers, to clips and their reverses
    shuffled: float  # the same with each clip's frames in a random order of its own
    same: float  # pairs of a clip and its reverse that get the same answer


@torch.no_grad()
def answers_to(
    model: nn.Module, data: ClipData, change: Callable[[Tensor], Tensor] | None = None
) -> Int[Tensor, " rows"]:
    """The model's answers (rows,), in the order of the data; `change` may alter the features."""
    model.eval()
    found = []
    for rows in torch.arange(len(data)).split(AT_ONCE):
        batch = data.__getitems__(rows.tolist())
        v = batch.v if change is None else change(batch.v)
        found.append(model(v, batch.x, batch.mask).argmax(1))  # (batch,)
    return torch.cat(found)


def same_answers(answers: Int[Tensor, " rows"]) -> Bool[Tensor, " pairs"]:
    """Where row i and row i + n of 2 n rows, a clip and its reverse, got the same answer.

    Raises:
        ValueError: an odd number of rows, or none.
    """
    if len(answers) == 0 or len(answers) % 2:
        raise ValueError(f"expected rows of clips and of their reverses, got {len(answers)}")
    forwards, backwards = answers.chunk(2)  # (n,) each
    return forwards == backwards


def test_order(model: nn.Module, data: ClipData, seed: int = 0) -> OrderTest:
    """Right, right with shuffled frames, and same answers both ways.

    Raises:
        ValueError: the data are no pairs of clips and reverses.
    """
    answers = answers_to(model, data)
    same = same_answers(answers)
    generator = torch.Generator().manual_seed(seed)
    shuffled = answers_to(model, data, lambda v: shuffle_frames(v, generator))
    return OrderTest(
        (answers == data.y).double().mean().item(),
        (shuffled == data.y).double().mean().item(),
        same.double().mean().item(),
    )


test_order.__test__ = False  # pytest: this is no test

"""The same training on another processor, simulated: initial weights that differ by a rounding.

Two processors add in another order. A training is chaotic: from a difference in the seventh digit
it ends in other last digits, or elsewhere. `make disturbed` runs each lesson ten times so, with one
and two threads and two sets of instructions, to see how far its numbers move.
"""

from functools import wraps

import torch
from torch import Tensor, nn

SIZE = 1e-6  # of a weight's own size; float32 rounds at 6e-8
INITIALISERS = (
    "constant_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
)


@torch.no_grad()
def disturbed(weights: Tensor, run: int) -> Tensor:
    """`weights`, changed in place by up to 1e-6 of themselves, otherwise in every run.

    The change is a function of the value alone, so equal weights stay equal: two models that are
    made from the same seed are the same to the bit, as before.
    """
    wave = torch.sin(1e6 * weights.double() + run)  # as weights, -1 to 1
    return weights.mul_((1 + SIZE * wave).to(weights.dtype))


def start(run: int) -> None:
    """From now on every initialiser of `torch.nn.init` disturbs what it has filled. Run 0 doesn't.
    May be called again."""
    for name in INITIALISERS:
        fill = getattr(nn.init, name)
        fill = getattr(fill, "undisturbed", fill)

        @wraps(fill)
        def fill_and_disturb(tensor: Tensor, *args, fill=fill, **kwargs) -> Tensor:
            return disturbed(fill(tensor, *args, **kwargs), run)

        vars(fill_and_disturb)["undisturbed"] = fill
        setattr(nn.init, name, fill_and_disturb if run else fill)

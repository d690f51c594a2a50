"""LoRA: a frozen matrix W learns a change of low rank, W + s B A.

Hu et al., arXiv 2106.09685, section 4.1 (s = alpha / r); Kalajdzievski, arXiv 2312.03732
(rank-stabilised: s = alpha / sqrt(r)).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from course_utils.peft.base import Tuning, matching, replace, tunings


@dataclass(frozen=True)
class LoRAConfig:
    """Where the factors are, and how large."""

    rank: int = 8  # r: rows of A and columns of B
    alpha: float = 16.0  # the change is multiplied by alpha / r
    targets: tuple[str, ...] = ("qkv",)  # names of Linear modules, or their last parts
    parts: str = "qv"  # of a stacked qkv: each gets factors of its own; "" for one pair over all
    rank_stabilised: bool = False  # alpha / sqrt(r): the size of the change doesn't fall with r

    def __post_init__(self) -> None:
        check_low_rank(self.rank, self.alpha, self.parts)

    @property
    def scale(self) -> float:
        """What B A is multiplied by."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)


def check_low_rank(rank: int, alpha: float, parts: str) -> None:
    """ValueError where a rank, alpha or parts make no sense."""
    if rank < 1:
        raise ValueError(f"rank: expected at least 1, got {rank}")
    if alpha <= 0:
        raise ValueError(f"alpha: expected more than 0, got {alpha}")
    if len(set(parts)) != len(parts) or not set(parts) <= set("qkv"):
        raise ValueError(f"parts: expected different letters of 'qkv', got {parts!r}")


class LowRankLinear(Tuning):
    """A frozen Linear with a change of low rank: x W^T + s (x down^T) up^T.

    The full matrix of the change is never made in `forward`. Attention that reads `weight` and
    `bias` itself gets the changed weight: a wrapper that only has `forward` would be skipped there,
    and nobody would notice.
    """

    def __init__(self, base: nn.Linear, config: object, rank: int, stacked: bool, parts: str):
        super().__init__(base, config)
        self.base: nn.Linear
        if rank > min(base.weight.shape):
            raise ValueError(
                f"rank: expected at most {min(base.weight.shape)}, the smaller side of the matrix, "
                f"got {rank}"
            )
        # In a stacked qkv the rows of queries, keys and values are matrices of their own.
        if stacked and parts and base.out_features != 3 * base.in_features:
            raise ValueError(
                f"parts: expected a qkv of three equal square matrices, got ({base.out_features}, "
                f"{base.in_features}), where it isn't known which rows are whose (grouped keys and "
                'values?); parts="" puts one pair of factors over all'
            )
        self.parts = "".join(p for p in "qkv" if p in parts) if stacked else ""
        self.out_dim = base.out_features // 3 if self.parts else base.out_features
        self.in_features, self.out_features = base.in_features, base.out_features
        self.original: Tensor | None = None  # the weight without the change, while merged
        # what is saved has factors and a weight without them, merged or not: a fresh model that
        # loads it would have the change twice
        self.register_state_dict_post_hook(_unmerged_weight)
        self.register_load_state_dict_pre_hook(_begin_unmerged)

    def factors(self) -> tuple[Tensor, Tensor]:
        """down (parts, rank, in) and up (parts, out, rank); one part in an ordinary Linear."""
        raise NotImplementedError

    def _flat(self) -> tuple[Float[Tensor, "k in"], Float[Tensor, "out k"]]:
        down, up = self.factors()  # (parts, rank, in), (parts, out, rank)
        if not self.parts:
            return down[0], up[0]
        empty = up.new_zeros(self.out_dim, 0)  # rows of a part that has no factors
        own = dict(zip(self.parts, up))
        return down.flatten(0, 1), torch.block_diag(*(own.get(p, empty) for p in "qkv"))

    @property
    def merged(self) -> bool:
        """Whether the change is inside `base` now."""
        return self.original is not None

    def delta(self) -> Float[Tensor, "out in"]:
        """The change of the weight, s up down."""
        down, up = self._flat()  # (k, in), (out, k)
        return self.config.scale * (up @ down)

    @property
    def weight(self) -> Float[Tensor, "out in"]:
        """The weight with the change."""
        return self.base.weight if self.merged else self.base.weight + self.delta()

    @property
    def bias(self) -> Float[Tensor, " out"] | None:
        """The bias; no change."""
        return self.base.bias

    def forward(self, x: Float[Tensor, "... in"]) -> Float[Tensor, "... out"]:
        out = self.base(x)  # (..., out)
        if self.merged:
            return out
        down, up = self._flat()  # (k, in), (out, k)
        low = F.linear(x, down).flatten(0, -2)  # (positions, k)
        # one kernel multiplies, scales and adds
        changed = torch.addmm(out.flatten(0, -2), low, up.T, alpha=self.config.scale)
        return changed.view_as(out)  # (..., out)

    @torch.no_grad()
    def merge(self) -> None:
        """Adds the change to the weight of `base`: from then on, no more work than without it."""
        if self.merged:
            raise ValueError("expected factors that aren't merged; merging twice adds them twice")
        changed = self.weight  # (out, in)
        self.original = self.base.weight.detach().clone()  # subtracting would leave rounding errors
        self.base.weight.copy_(changed)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Puts the weight back as it was, to the bit."""
        if self.original is None:
            raise ValueError("expected merged factors, but they aren't merged")
        self.base.weight.copy_(self.original)
        self.original = None


def _unmerged_weight(module: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
    assert isinstance(module, LowRankLinear)
    if module.original is not None:
        state[f"{prefix}base.weight"] = module.original


def _begin_unmerged(module: nn.Module, *arguments: object) -> None:
    assert isinstance(module, LowRankLinear)
    if module.merged:
        module.unmerge()


class LoRALinear(LowRankLinear):
    """A frozen Linear with s B A beside it. A starts random and B at 0: no change at first, and a
    gradient for B. (Both at 0: no gradient for either, for ever.)"""

    def __init__(self, base: nn.Linear, config: LoRAConfig, stacked: bool = False):
        super().__init__(base, config, config.rank, stacked, config.parts)
        n, weight = max(1, len(self.parts)), base.weight
        self.A = nn.Parameter(weight.new_empty(n, config.rank, base.in_features))
        self.B = nn.Parameter(weight.new_zeros(n, self.out_dim, config.rank))
        for a in self.A:  # (rank, in): as a Linear of that shape
            nn.init.kaiming_uniform_(a, a=math.sqrt(5))

    def factors(self) -> tuple[Tensor, Tensor]:
        return self.A, self.B


def add_lora(model: nn.Module, config: LoRAConfig = LoRAConfig()) -> list[str]:
    """Puts factors beside every Linear that `config.targets` names, in place; their names.

    The outputs don't change, and nothing is frozen: `freeze_base` does that.

    Raises:
        ValueError: an unknown target, a rank above the size of a matrix, or a model that is tuned.
    """
    return add_low_rank(model, config, LoRALinear)


def add_low_rank(model: nn.Module, config: Any, kind: Callable[..., LowRankLinear]) -> list[str]:
    """As `add_lora`, with another kind of factors."""
    names = matching(model, config.targets, nn.Linear)
    # all are made before the first is put in: a refused one leaves the model as it was
    made = {n: kind(model.get_submodule(n), config, n.rpartition(".")[2] == "qkv") for n in names}
    for name, module in made.items():
        replace(model, name, module)
    return names


def low_rank_modules(model: nn.Module) -> dict[str, LowRankLinear]:
    """The modules with factors, by name.

    Raises:
        ValueError: the model has none.
    """
    found = {n: m for n, m in tunings(model) if isinstance(m, LowRankLinear)}
    if not found:
        raise ValueError("expected a model with LoRA or AdaLoRA in it, but it has neither")
    return found


def merge(model: nn.Module) -> None:
    """Adds all changes to the weights of the base.

    Raises:
        ValueError: there are none, they are merged already, or a weight is tied to another module,
            which would get the change too. Nothing is merged then.
    """
    found = low_rank_modules(model)
    holders = [(n, p) for n, m in model.named_modules() for p in m.parameters(recurse=False)]
    for name, module in found.items():
        if module.merged:
            raise ValueError(
                f"expected factors that aren't merged, but those of {name} are; merging twice "
                "adds them twice"
            )
        for other, weight in holders:
            if weight is module.base.weight and other != f"{name}.base":
                raise ValueError(
                    f"{name} and {other} share one weight, and both would get the change: first "
                    f"give {name} a copy, module.base.weight = "
                    "nn.Parameter(module.base.weight.detach().clone())"
                )
    for module in found.values():
        module.merge()


def unmerge(model: nn.Module) -> None:
    """Puts all weights back as they were.

    Raises:
        ValueError: there is nothing to unmerge.
    """
    for module in low_rank_modules(model).values():
        module.unmerge()

"""AdaLoRA: W + s P diag(lam) Q, and a budget of ranks that moves to where the loss needs it.

Zhang et al., arXiv 2303.10512. As in the authors' program, s = alpha / (r + 1e-5), the penalty is
the Frobenius norm and not its square, and the importance of a singular value adds the means of its
two vectors.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_utils.peft.lora import LowRankLinear, add_low_rank, check_low_rank, low_rank_modules


@dataclass(frozen=True)
class AdaLoRAConfig:
    """Where the triplets are, and how their number falls."""

    initial_rank: int = 12  # triplets of every matrix at the start
    target_rank: int = 8  # of a matrix at the end, on average
    total_steps: int = 1000  # updates of the whole training; a shorter one misses the target
    warmup: int = 100  # updates before the first triplet goes
    final: int = 300  # updates at the end, with the triplets that were kept
    every: int = 1  # updates between two allocations
    alpha: float = 16.0  # the change is multiplied by alpha / (initial_rank + 1e-5)
    smooth: float = 0.85  # beta 1: of the running mean of the sensitivity
    smooth_uncertainty: float = 0.85  # beta 2: of its running uncertainty
    targets: tuple[str, ...] = ("qkv",)  # names of Linear modules, or their last parts
    parts: str = "qv"  # of a stacked qkv: each is a matrix of its own; "" for one over all

    def __post_init__(self) -> None:
        check_low_rank(self.initial_rank, self.alpha, self.parts)
        if not 1 <= self.target_rank <= self.initial_rank:
            raise ValueError(
                f"target_rank: expected 1 to initial_rank={self.initial_rank}, "
                f"got {self.target_rank}"
            )
        if min(self.warmup, self.final) < 0 or self.warmup + self.final >= self.total_steps:
            raise ValueError(
                "expected warmup and final of at least 0 and less than total_steps together, got "
                f"{self.warmup}, {self.final} and total_steps={self.total_steps}"
            )
        if self.every < 1:
            raise ValueError(f"every: expected at least 1, got {self.every}")
        if not (0 < self.smooth < 1 and 0 < self.smooth_uncertainty < 1):
            raise ValueError(
                "smooth, smooth_uncertainty: expected between 0 and 1, got "
                f"{self.smooth} and {self.smooth_uncertainty}"
            )

    @property
    def scale(self) -> float:
        """What P diag(lam) Q is multiplied by; the rank in it stays the first one."""
        return self.alpha / (self.initial_rank + 1e-5)


class AdaLoRALinear(LowRankLinear):
    """A frozen Linear with s P diag(lam) Q beside it; lam starts at 0, so that nothing changes."""

    def __init__(self, base: nn.Linear, config: AdaLoRAConfig, stacked: bool = False):
        super().__init__(base, config, config.initial_rank, stacked, config.parts)
        n, rank, weight = max(1, len(self.parts)), config.initial_rank, base.weight
        self.P = nn.Parameter(0.02 * torch.randn_like(weight.new_empty(n, self.out_dim, rank)))
        self.lam = nn.Parameter(weight.new_zeros(n, rank))
        self.Q = nn.Parameter(0.02 * torch.randn_like(weight.new_empty(n, rank, base.in_features)))
        kept = torch.ones(n, rank, dtype=torch.bool, device=weight.device)
        self.kept: Tensor
        self.register_buffer("kept", kept)  # which triplets the last allocation left

    def factors(self) -> tuple[Tensor, Tensor]:
        return self.lam[..., None] * self.Q, self.P  # (parts, rank, in), (parts, out, rank)

    @torch.no_grad()
    def mask(self) -> None:
        """Sets the singular values of the triplets that weren't kept to 0."""
        self.lam.masked_fill_(~self.kept, 0.0)


def add_adalora(model: nn.Module, config: AdaLoRAConfig = AdaLoRAConfig()) -> list[str]:
    """Puts triplets beside every Linear that `config.targets` names, in place; their names.

    Nothing allocates ranks until a `RankAllocator` is called in every update.

    Raises:
        ValueError: as `add_lora`.
    """
    return add_low_rank(model, config, AdaLoRALinear)


def orthogonality(model: nn.Module) -> Float[Tensor, ""]:
    """The mean over all P and Q of ||P^T P - I|| and ||Q Q^T - I||: to be added to the loss, times
    0.1 to 0.5. Without it lam would not be singular values, and not comparable.

    Raises:
        ValueError: the model has no AdaLoRA.
    """
    products = []
    for module in _modules(model).values():
        products += [module.P.mT @ module.P, module.Q @ module.Q.mT]  # (parts, rank, rank) each
    product = torch.cat(products)  # (matrices, rank, rank)
    one = torch.eye(product.shape[-1], dtype=product.dtype, device=product.device)
    return torch.linalg.matrix_norm(product - one).mean()


def ranks(model: nn.Module) -> dict[str, int]:
    """How many triplets each matrix has kept; a part of a stacked qkv is a matrix: "qkv.q".

    Raises:
        ValueError: the model has no AdaLoRA.
    """
    return {
        f"{name}.{part}".rstrip("."): int(kept.sum())
        for name, module in _modules(model).items()
        for part, kept in zip(module.parts or [""], module.kept)
    }


class RankAllocator:
    """Decides which triplets are kept. In every update:

        loss.backward(); optimizer.step(); allocator.update_and_allocate(step); zero_grad()

    with `step` from 0. Without this call every matrix keeps its first rank.

    Raises:
        ValueError: the model has no AdaLoRA, or matrices of several configurations.
    """

    def __init__(self, model: nn.Module):
        self.modules = list(_modules(model).values())
        self.config: AdaLoRAConfig = self.modules[0].config
        matrices = sum(len(m.kept) for m in self.modules)
        self.first = matrices * self.config.initial_rank
        self.last = matrices * self.config.target_rank
        self.parameters = [p for m in self.modules for p in (m.P, m.lam, m.Q)]
        self.mean = {p: torch.zeros_like(p) for p in self.parameters}  # of the sensitivity
        self.uncertainty = {p: torch.zeros_like(p) for p in self.parameters}

    def expect_updates(self, total: int) -> None:
        """`fit` calls this (`stateful`) with the number of its updates, before the first one.

        Raises:
            ValueError: so few never reach the target rank.
        """
        end = self.config.total_steps - self.config.final
        if total <= end:
            raise ValueError(
                f"total_steps={self.config.total_steps}, final={self.config.final}: the target "
                f"rank is reached in update {end + 1}, but the training has {total}"
            )

    def state_dict(self) -> dict[str, list[Tensor]]:
        """The running means, which `fit` keeps for a run that is taken up again (`stateful`)."""
        return {"mean": [*self.mean.values()], "uncertainty": [*self.uncertainty.values()]}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        for name, kept in state.items():
            for here, value in zip(getattr(self, name).values(), kept, strict=True):
                here.copy_(value)

    def budget(self, step: int) -> int:
        """Triplets of all matrices together after update `step`: all during the warm-up, then
        down a cubic to the target, equation 12."""
        c = self.config
        if step <= c.warmup:
            return self.first
        left = max(0.0, 1 - (step - c.warmup) / (c.total_steps - c.final - c.warmup))
        return int((self.first - self.last) * left**3 + self.last)

    def update_and_allocate(self, step: int) -> None:
        """Brings the importance up to date, and zeroes the triplets beyond the budget of `step`.

        Raises:
            ValueError: there are no gradients: call it after `optimizer.step` (which would bring
                zeroed values back) and before `zero_grad`.
        """
        end = self.config.total_steps - self.config.final
        if step > end:  # the choice is made; the optimiser must not bring the others back
            for module in self.modules:
                module.mask()
            return
        if step < end:
            self._update_importance()
        if step == end or (step > self.config.warmup and step % self.config.every == 0):
            self._allocate(self.budget(step))

    @torch.no_grad()
    def _update_importance(self) -> None:
        """Sensitivity |w dL/dw|, its running mean, and how far it strays from that (equations 9
        and 10 of the paper)."""
        for p in self.parameters:
            if p.grad is None:
                raise ValueError(
                    "expected gradients of the triplets: call update_and_allocate after "
                    "loss.backward() and optimizer.step(), and before optimizer.zero_grad()"
                )
            sensitivity = (p * p.grad).abs()  # as p
            mean = self.mean[p].lerp_(sensitivity, 1 - self.config.smooth)
            stray = (sensitivity - mean).abs()  # as p
            self.uncertainty[p].lerp_(stray, 1 - self.config.smooth_uncertainty)

    def importance(self) -> list[Float[Tensor, "parts rank"]]:
        """Of every triplet, one tensor a module: that of lam, plus the means over its vectors."""

        def score(p: nn.Parameter) -> Tensor:
            return self.mean[p] * self.uncertainty[p]

        return [score(m.lam) + score(m.P).mean(1) + score(m.Q).mean(2) for m in self.modules]

    @torch.no_grad()
    def _allocate(self, budget: int) -> None:
        scores = self.importance()  # (parts, rank) each
        surplus = self.first - budget
        worst = -torch.inf  # nothing is below it
        if surplus:
            worst = torch.cat([s.flatten() for s in scores]).kthvalue(surplus).values
        for module, score in zip(self.modules, scores):
            module.kept = score > worst  # (parts, rank); a tie goes to neither
            module.mask()


def _modules(model: nn.Module) -> dict[str, AdaLoRALinear]:
    found = {n: m for n, m in low_rank_modules(model).items() if isinstance(m, AdaLoRALinear)}
    if not found:
        raise ValueError("expected a model with AdaLoRA in it, but it has LoRA")
    return found

"""Learning one thing after the other: what is measured, and penalties against forgetting."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Parameters = dict[str, Tensor]


# What is measured. R[i, j]: accuracy on family j after stage i.


def _square(R: Tensor) -> Tensor:
    R = torch.as_tensor(R, dtype=torch.float64)
    if R.ndim != 2 or R.shape[0] != R.shape[1] or len(R) < 2:
        raise ValueError(
            f"R: expected (stages, families), two or more and equally many, got {tuple(R.shape)}"
        )
    return R


def average_accuracy(R: Float[Tensor, "stages families"]) -> float:
    """ACC: the mean of the last row (Lopez-Paz and Ranzato, arXiv 1706.08840, equation 2).

    Raises:
        ValueError: R isn't square, or has one stage only.
    """
    return _square(R)[-1].mean().item()


def backward_transfer(R: Float[Tensor, "stages families"]) -> float:
    """BWT: the mean over all families but the last of R[last, j] - R[j, j]: what the later stages
    did to a family, against how good it was when it had just been learnt. Negative: it got worse
    (equation 3 there)."""
    R = _square(R)
    return (R[-1] - R.diagonal())[:-1].mean().item()


def forgetting(R: Float[Tensor, "stages families"]) -> float:
    """The mean over all families but the last of max_i R[i, j] - R[last, j], over the stages i
    before the last: how far below its best a family has fallen (Chaudhry et al., arXiv 1801.10112,
    section 3). Where a family was best just after its own stage it is -BWT."""
    R = _square(R)
    return (R[:-1].max(0).values - R[-1])[:-1].mean().item()


# EWC


def fisher_diagonal(
    model: nn.Module,
    items: Iterable,
    log_probabilities: Callable[[nn.Module, Any], Float[Tensor, " answers"]],
    draws: int = 0,
    generator: torch.Generator | None = None,
) -> Parameters:
    """E over items, and over answers c drawn from the model's own p, of (d log p_c / d weight)^2,
    for each trainable weight.

    Gradients are squared item by item: the square of a mean gradient is another thing, and near 0
    where training has ended.

    Args:
        log_probabilities: (model, item) -> log p of one item.
        draws: answers drawn an item; 0 for the exact sum over all answers, weighted by p.

    Raises:
        ValueError: no items, or a negative `draws`.
    """
    if draws < 0:
        raise ValueError(f"draws: expected 0 or more, got {draws}")
    names, weights = zip(*((n, p) for n, p in model.named_parameters() if p.requires_grad))
    total, count = [torch.zeros_like(p) for p in weights], 0
    for item in items:
        logp = log_probabilities(model, item)  # (answers,)
        p = logp.detach().exp()  # (answers,)
        if draws:
            picked = torch.multinomial(p, draws, replacement=True, generator=generator)  # (draws,)
            shares = [(int(c), 1 / draws) for c in picked]
        else:
            shares = [(c, p[c].item()) for c in range(len(p))]
        for c, share in shares:
            grads = torch.autograd.grad(logp[c], weights, retain_graph=True, allow_unused=True)
            for sum_, grad in zip(total, grads):
                if grad is not None:
                    sum_ += share * grad.square()
        count += 1
    if not count:
        raise ValueError("items: expected at least one, got none")
    return {name: sum_ / count for name, sum_ in zip(names, total)}


@dataclass(frozen=True)
class Anchor:
    """What EWC remembers of a stage: the weights after it, and how much each of them matters."""

    weights: Parameters
    fisher: Parameters


def anchor(model: nn.Module, fisher: Parameters) -> Anchor:
    """The weights as they are now."""
    now = dict(model.named_parameters())
    return Anchor({name: now[name].detach().clone() for name in fisher}, fisher)


def ewc_penalty(model: nn.Module, anchors: list[Anchor]) -> Float[Tensor, ""]:
    """1/2 of the sum over stages and weights of F (weight - weight after the stage)^2 (Kirkpatrick
    et al., arXiv 1612.00796, equation 3, without lambda)."""
    now = dict(model.named_parameters())
    terms = [
        (a.fisher[n] * (now[n] - a.weights[n]).square()).sum() for a in anchors for n in a.fisher
    ]
    return 0.5 * torch.stack(terms).sum()


# Learning without forgetting


def distillation_loss(
    new: Float[Tensor, "batch answers"],
    old: Float[Tensor, "batch answers"],
    temperature: float = 2.0,
) -> Float[Tensor, ""]:
    """temperature^2 KL(softmax(old / temperature) || softmax(new / temperature)), a mean over the
    batch. No gradient flows into `old`. The factor keeps the size of the gradient, which falls with
    temperature^2. (Li and Hoiem, arXiv 1606.09282, equation 2, which is this cross-entropy plus a
    constant, without the factor.)

    Raises:
        ValueError: shapes differ, or a temperature that isn't positive.
    """
    if new.shape != old.shape or temperature <= 0:
        raise ValueError(
            "expected logits of one shape and a temperature above 0, got "
            f"{tuple(new.shape)}, {tuple(old.shape)} and {temperature}"
        )
    told = (old.detach() / temperature).log_softmax(-1)  # (batch, answers)
    said = (new / temperature).log_softmax(-1)  # (batch, answers)
    return temperature**2 * F.kl_div(said, told, reduction="batchmean", log_target=True)

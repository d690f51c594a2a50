"""The optimisers of lesson 09, written out: SGD with momentum, Adam, AdamW. Equal to torch's.

`fit` uses torch's own, which are faster; these are to be read.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SGDConfig:
    """Stochastic gradient descent."""

    lr: float = 1e-2
    momentum: float = 0.0  # share of the old direction that is kept
    nesterov: bool = False  # look ahead along the new direction
    weight_decay: float = 0.0  # L2: weight_decay * w is added to the gradient

    def __post_init__(self) -> None:
        _check(self.lr, self.weight_decay, {"momentum": self.momentum})
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: expected a momentum above 0")


@dataclass(frozen=True)
class AdamConfig:
    """Adam (Kingma and Ba, arXiv 1412.6980), and AdamW (Loshchilov and Hutter, 1711.05101)."""

    lr: float = 1e-3
    beta1: float = 0.9  # of the running mean of gradients
    beta2: float = 0.999  # of the running mean of their squares
    eps: float = 1e-8  # added to the root of the latter
    weight_decay: float = 0.0
    decoupled: bool = True  # AdamW: the decay acts on the weight; else L2, on the gradient

    def __post_init__(self) -> None:
        _check(self.lr, self.weight_decay, {"beta1": self.beta1, "beta2": self.beta2})
        if self.eps <= 0:
            raise ValueError(f"eps: expected above 0, got {self.eps}")


def _check(lr: float, weight_decay: float, shares: dict[str, float]) -> None:
    if lr < 0 or weight_decay < 0:
        raise ValueError(f"expected lr and weight_decay of at least 0, got {lr} and {weight_decay}")
    for name, value in shares.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}: expected 0 <= {name} < 1, got {value}")


class Optimizer:
    """What SGD and Adam share: parameters, their gradients, and a memory for each.

    Parameters without a gradient are left alone, their memory too, as in torch.

    Raises:
        ValueError: no parameters.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], config: SGDConfig | AdamConfig):
        self.parameters, self.config = list(parameters), config
        if not self.parameters:
            raise ValueError("expected at least one parameter, got none")
        self.lr = config.lr  # a schedule may change it
        self.memory: dict[nn.Parameter, dict] = {p: {} for p in self.parameters}

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Changes every parameter that has a gradient."""
        for p in self.parameters:
            if p.grad is not None:
                self.update(p, p.grad, self.memory[p])

    def update(self, p: Tensor, grad: Tensor, memory: dict) -> None:
        """Changes one parameter in place."""
        raise NotImplementedError


class SGD(Optimizer):
    """w <- w - lr u, with the velocity u <- momentum u + gradient (u starts as the gradient)."""

    def __init__(self, parameters: Iterable[nn.Parameter], config: SGDConfig = SGDConfig()):
        super().__init__(parameters, config)
        self.config: SGDConfig

    def update(self, p: Tensor, grad: Tensor, memory: dict) -> None:
        c = self.config
        grad = grad + c.weight_decay * p  # as p: the gradient of weight_decay / 2 * ||w||^2
        if c.momentum:
            velocity = memory["velocity"] = c.momentum * memory.get("velocity", 0) + grad  # as p
            grad = grad + c.momentum * velocity if c.nesterov else velocity
        p -= self.lr * grad


class Adam(Optimizer):
    """w <- w - lr m / (sqrt(v) + eps), with running means m of gradients and v of their squares,
    both divided by 1 - beta^t, because they start at 0 and would be too small at first."""

    def __init__(self, parameters: Iterable[nn.Parameter], config: AdamConfig = AdamConfig()):
        super().__init__(parameters, config)
        self.config: AdamConfig

    def update(self, p: Tensor, grad: Tensor, memory: dict) -> None:
        c = self.config
        t = memory["t"] = memory.get("t", 0) + 1
        if c.decoupled:
            p *= 1 - self.lr * c.weight_decay  # not divided by sqrt(v): each weight alike
        else:
            grad = grad + c.weight_decay * p  # as p
        m = memory["m"] = c.beta1 * memory.get("m", 0) + (1 - c.beta1) * grad  # as p
        v = memory["v"] = c.beta2 * memory.get("v", 0) + (1 - c.beta2) * grad**2  # as p
        m, v = m / (1 - c.beta1**t), v / (1 - c.beta2**t)  # as p
        p -= self.lr * m / (v.sqrt() + c.eps)

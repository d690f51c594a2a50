"""Muon (Jordan et al., https://kellerjordan.github.io/posts/muon/): a step of a matrix in which all
its directions are equally long.

torch.optim.Muon does the same in bfloat16, one matrix after the other, and refuses convolutions. On
a processor without bfloat16 units its update takes ten times as long as this one, which computes in
float32 and takes matrices of one shape together.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn


def orthogonalised(
    matrices: Float[Tensor, "n rows columns"], steps: int = 5
) -> Float[Tensor, "n rows columns"]:
    """Each matrix with its singular values moved to between about 0.7 and 1.2 and its singular
    vectors kept, by so many steps of Newton and Schulz's iteration (three products each)."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices  # (n, short, long): the small side is squared
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        a = x @ x.mT  # (n, short, short)
        b = torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315)  # (n, short, short)
        x = torch.baddbmm(x, b, x, beta=3.4445)  # (n, short, long)
    return x.mT if tall else x


def inner_and_others(
    model: nn.Module, last: nn.Module
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The trained parameters of a model: those for Muon (matrices and convolutions), and those for
    AdamW (vectors, embeddings, and the `last` layer, whose rows are the classes)."""
    tables = [m for m in model.modules() if isinstance(m, nn.Embedding)]
    ends = {id(p) for m in (*tables, last) for p in m.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    inner = [p for p in trained if p.ndim > 1 and id(p) not in ends]
    others = [p for p in trained if p.ndim <= 1 or id(p) in ends]
    return inner, others


class Muon(torch.optim.Optimizer):
    """Nesterov's momentum, orthogonalised and scaled to the size of an AdamW step
    (`adjust_lr_fn="match_rms_adamw"`), with decoupled decay. A convolution's weight counts as a
    matrix with a row an output.

    Raises:
        ValueError: a parameter with fewer than two dimensions.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))
        for p in (p for group in self.param_groups for p in group["params"]):
            if p.ndim < 2:
                raise ValueError(f"expected matrices and convolutions, got shape {tuple(p.shape)}")

    @torch.no_grad()
    def step(self) -> None:
        """Changes every parameter that has a gradient."""
        for group in self.param_groups:
            alike = defaultdict(list)  # parameters by the shape of their matrix
            for p in group["params"]:
                if p.grad is not None:
                    alike[len(p), p[0].numel()].append((p, p.grad))
            for shape, pairs in alike.items():
                directions = [self._direction(p, grad, group["momentum"]) for p, grad in pairs]
                size = group["lr"] * 0.2 * max(shape) ** 0.5
                for (p, _), direction in zip(pairs, orthogonalised(torch.stack(directions))):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.sub_(direction.reshape(p.shape), alpha=size)

    def _direction(
        self, p: nn.Parameter, gradient: Tensor, momentum: float
    ) -> Float[Tensor, "rows columns"]:
        mean = self.state[p].setdefault("mean", torch.zeros_like(p))
        mean.lerp_(gradient, 1 - momentum)
        return gradient.lerp(mean, momentum).flatten(1)  # (rows, columns)

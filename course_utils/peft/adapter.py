"""Adapters: two small networks in every layer, h + W_up sigma(W_down h).

Houlsby et al., arXiv 1902.00751, section 2.1 and figure 2: one behind the attention, one behind the
two-layer network, each before the sum with what came in.
"""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from course_utils.models.transformer import TransformerLayer
from course_utils.peft.base import Tuning, refuse_tuned, replace


@dataclass(frozen=True)
class AdapterConfig:
    """How wide the adapters are."""

    width: int = 8  # of the bottleneck
    start: float = 1e-2  # standard deviation of W_down at first; W_up starts at 0

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width: expected at least 1, got {self.width}")
        if self.start <= 0:  # with both matrices at 0, neither has a gradient
            raise ValueError(f"start: expected more than 0, got {self.start}")


class Adapted(Tuning):
    """A frozen Linear, and an adapter on what it puts out: h + W_up GELU(W_down h + b) + c."""

    def __init__(self, base: nn.Linear, config: AdapterConfig):
        super().__init__(base, config)
        weight, dim = base.weight, base.out_features
        self.down = nn.Linear(dim, config.width, device=weight.device, dtype=weight.dtype)
        self.up = nn.Linear(config.width, dim, device=weight.device, dtype=weight.dtype)
        nn.init.normal_(self.down.weight, std=config.start)
        for start_at_zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(start_at_zero)

    def forward(self, x: Float[Tensor, "... in"]) -> Float[Tensor, "... dim"]:
        h = self.base(x)  # (..., dim)
        return h + self.up(nn.functional.gelu(self.down(h)))  # (..., dim)


def add_adapters(model: nn.Module, config: AdapterConfig = AdapterConfig()) -> list[str]:
    """Puts an adapter behind the attention and behind the two-layer network of every layer, and
    behind the cross-attention of layers that have one; the names of the places.

    The outputs don't change, and nothing is frozen: `freeze_base` does that. Unlike LoRA, adapters
    can't be merged: they cost time in every forward pass, for ever.

    Raises:
        ValueError: the model has no Transformer layer, or is tuned already.
    """
    refuse_tuned(model)
    names = []
    for name, layer in model.named_modules():
        if isinstance(layer, TransformerLayer):
            attentions = ["attention"] if layer.cross is None else ["attention", "cross"]
            names += [f"{name}.{which}.out".lstrip(".") for which in attentions]
            names.append(f"{name}.mlp.{len(layer.mlp) - 1}".lstrip("."))
    if not names:
        raise ValueError("expected a model with TransformerLayers, but it has none")
    for name in names:
        linear: Any = model.get_submodule(name)  # each of these places is a Linear
        replace(model, name, Adapted(linear, config))
    return names

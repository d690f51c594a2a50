"""Joint against divided attention over clips: time and memory of a layer, forward and backward.
Taken in turns, in CPU time, since another process on the machine stops a clock no less.

python -m bench.clips     writes bench/clips.json
"""

import json
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.decoding import cpu_ms
from course_utils.models.transformer import TransformerConfig, TransformerLayer
from course_utils.models.video import DividedLayer
from course_utils.training.memory import saved_bytes
from tools.run import processor

BATCH, PATCHES, DIM, HEADS = 4, 64, 64, 4
FRAMES = (7, 16, 32)
TURNS = 5
FILE = Path(__file__).parent / "clips.json"


class Cost(NamedTuple):
    """Of one layer over a batch of clips."""

    frames: int
    layer: str  # "joint", "divided" or "joint, all weights kept"
    ms: float  # forward and backward, CPU time of one thread
    megabytes: float  # what autograd keeps for the backward pass


class _Joint(nn.Module):
    """A layer over all patches of all frames. With `weights` attention is computed as the formula
    says, and its weights are kept; without, in pieces by PyTorch's fused kernel."""

    def __init__(self, weights: bool):
        super().__init__()
        config = TransformerConfig(dim=DIM, heads=HEADS, mlp_dim=4 * DIM)
        self.layer, self.weights = TransformerLayer(config), weights

    def forward(self, v: Tensor) -> Tensor:
        h, _ = self.layer(v.flatten(1, 2), need_weights=self.weights)  # (batch, tokens, dim)
        return h.view_as(v)


def costs(frames: int, turns: int = TURNS) -> list[Cost]:
    """Of joint attention, in pieces and as the formula says, and of divided attention."""
    torch.manual_seed(0)
    v = torch.randn(BATCH, frames, PATCHES, DIM)  # (batch, frames, patches, dim)
    layers = {
        "joint": _Joint(weights=False),
        "joint, all weights kept": _Joint(weights=True),
        "divided": DividedLayer(DIM, HEADS, 4 * DIM),
    }
    kept = {
        name: saved_bytes(lambda layer=layer: layer(v).square().mean(), layer)
        for name, layer in layers.items()
    }
    steps = {
        name: lambda layer=layer: layer(v).square().mean().backward()
        for name, layer in layers.items()
    }
    ms = cpu_ms(steps, turns)
    return [Cost(frames, name, ms[name], kept[name] / 1e6) for name in layers]


def rows() -> list[list]:
    """The table of bench/clips.json; none where it wasn't measured."""
    if not FILE.exists():
        return []
    kept = json.loads(FILE.read_text(encoding="utf-8"))["rows"]
    return [[f, name, f"{ms:.0f}", f"{megabytes:.1f}"] for f, name, ms, megabytes in kept]


def main() -> None:
    torch.set_num_threads(1)
    found = [cost for frames in FRAMES for cost in costs(frames)]
    kept = {"machine": processor(), "torch": torch.__version__, "rows": found}
    FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    for row in rows():
        print(*row, sep="\t")


if __name__ == "__main__":
    main()

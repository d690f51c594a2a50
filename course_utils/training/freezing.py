"""Training with a part of a model frozen: which part, how to get it wrong, and what it costs."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from course_utils.datasets.batch import Batch
from course_utils.models.vqa import VQAModel
from course_utils.training.fit import freeze
from course_utils.training.memory import saved_bytes
from course_utils.training.objective import answer_objective


def freeze_all_but_head(model: VQAModel) -> None:
    freeze(model.stem)
    freeze(model.encoder)


def freeze_all_but_top(model: VQAModel) -> None:
    """The last layer, the normalisation after it and the head are trained."""
    freeze_all_but_head(model)
    model.encoder.encoder.layers[-1].requires_grad_(True)
    model.encoder.encoder.norm.requires_grad_(True)


def freeze_stem(model: VQAModel) -> None:
    freeze(model.stem)


def freeze_statistics(model: nn.Module) -> None:
    """Freezes batch normalisation: `fit` keeps it in eval mode, with the statistics it has."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            freeze(module)


class TrainModeStem(nn.Module):
    """A frozen stem left in train mode: the mistake. Batch normalisation then uses the statistics
    of each batch, and goes on changing the running ones that it will use later."""

    def __init__(self, stem: nn.Module):
        super().__init__()
        self.stem = stem
        self.unfrozen = nn.Parameter(torch.zeros(()))  # so that `fit` doesn't put it into eval mode

    def forward(self, images: Tensor) -> Tensor:
        self.stem.train(self.training)
        return self.stem(images) + 0 * self.unfrozen  # (images, patches, dim)


def freeze_stem_in_train_mode(model: VQAModel) -> None:
    freeze(model.stem)
    model.stem = TrainModeStem(model.stem)


def cost(model: nn.Module, batch: Batch) -> dict[str, int]:
    """What an update costs: floating-point operations of the forward and of the backward pass (in
    matrix products and convolutions), and bytes that the first keeps for the second."""
    forward, backward = FlopCounterMode(display=False), FlopCounterMode(display=False)
    with forward:
        loss = answer_objective(model, batch)
    with backward:
        loss.backward()
    model.zero_grad()
    held = saved_bytes(lambda: answer_objective(model, batch), model)
    return dict(forward=forward.get_total_flops(), backward=backward.get_total_flops(), held=held)

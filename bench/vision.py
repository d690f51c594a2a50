"""Our ViT against timm's VisionTransformer and our ResNet-18 against torchvision's, with copied
weights and equal values first."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
import torchvision
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from bench.encoders import median_ms
from course_utils.models.cnn import ResNet
from course_utils.models.vit import ViT, ViTConfig, weights_from_timm

BATCH, SIDE, CLASSES = 32, 64, 10
SIZES = dict(img_size=SIDE, patch_size=16, embed_dim=64, depth=2, num_heads=4, num_classes=CLASSES)

Row = tuple[str, float, float, str]  # name, ms, times ours, what was checked before


def vision_models(threads: int) -> list[Row]:
    """Rows for a forward pass and a training step of each pair; ours first."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    timms = VisionTransformer(**SIZES)
    vit = ViT(ViTConfig(classes=CLASSES))
    vit.load_state_dict(weights_from_timm(timms.state_dict()))
    rows = _pair(("ViT (ours)", vit, vit.classify), ("timm VisionTransformer", timms, timms))
    theirs = torchvision.models.resnet18(weights=None, num_classes=CLASSES)
    ours = ResNet(classes=CLASSES)
    ours.load_state_dict(theirs.state_dict())
    return rows + _pair(
        ("ResNet-18 (ours)", ours, ours.classify), ("torchvision resnet18", theirs, theirs)
    )


Named = tuple[str, nn.Module, Callable[[torch.Tensor], torch.Tensor]]


def _pair(ours: Named, theirs: Named) -> list[Row]:
    images = torch.rand(BATCH, 3, SIDE, SIDE)  # (images, 3, 64, 64)
    labels = torch.randint(CLASSES, (BATCH,))  # (images,)
    values, gradients = [], []
    for _, model, classify in (ours, theirs):
        model.eval()
        logits = classify(images)  # (images, classes)
        F.cross_entropy(logits, labels).backward()
        values.append(logits.detach())
        gradients.append(model.get_parameter(_first(model)).grad)
    gap = (values[0] - values[1]).abs().max().item()
    gradient = (gradients[0] - gradients[1]).abs().max().item()
    if gap > 1e-5 or gradient > 1e-5:
        raise AssertionError(f"expected equal logits and gradients, got {gap:.1e}, {gradient:.1e}")
    rows = []
    for kind, make in (("forward", _forward), ("training step", _training)):
        steps = {
            f"{name}, {kind}": make(model, classify, images, labels)
            for name, model, classify in (ours, theirs)
        }
        ms = median_ms(steps)
        first = next(iter(ms.values()))
        note = f"logits within {gap:.0e}, gradient within {gradient:.0e}"
        rows += [
            (name, value, value / first, note if i else "")
            for i, (name, value) in enumerate(ms.items())
        ]
    return rows


def _first(model: nn.Module) -> str:
    """The name of the first convolution's weight."""
    return next(f"{n}.weight" for n, m in model.named_modules() if isinstance(m, nn.Conv2d))


def _forward(model, classify, images, labels) -> Callable[[], None]:
    def step() -> None:
        model.eval()
        with torch.no_grad():
            classify(images)  # (images, classes)

    return step


def _training(model, classify, images, labels) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        F.cross_entropy(classify(images), labels).backward()
        optimizer.step()

    return step

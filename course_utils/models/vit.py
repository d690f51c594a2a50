"""The Vision Transformer: patches as tokens, with a class token and learnt positions.

Dosovitskiy et al., arXiv 2010.11929, section 3.1 and equations 1 to 4. Called as every stem is:
images (images, 3, height, width) -> v (images, patches, dim).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from course_utils.models.cnn import check_images
from course_utils.models.transformer import TransformerConfig, TransformerEncoder
from course_utils.models.vision import PatchStem, grid_side


@dataclass(frozen=True)
class ViTConfig:
    """Sizes of a Vision Transformer."""

    image_size: int = 64  # side of the pictures in pixels; a multiple of patch
    patch: int = 16  # side of a patch in pixels
    dim: int = 64  # width of every position
    layers: int = 2  # number of layers
    heads: int = 4  # attention heads; divides dim
    mlp_dim: int = 256  # hidden width of the two-layer network
    dropout: float = 0.0  # share of values set to zero while training
    norm_eps: float = 1e-6  # added to the variance
    positions: bool = True  # False: patches are a set, without places
    position_std: float = 0.02  # standard deviation of positions and class token at the start
    classes: int | None = None  # outputs of the classifier; None for no classifier

    def __post_init__(self) -> None:
        if self.image_size % self.patch:
            raise ValueError(
                f"image_size: expected a multiple of patch={self.patch}, got {self.image_size}"
            )


class ViT(nn.Module):
    """Patches are mapped linearly, a class token is put in front, positions are added, and a
    pre-norm encoder follows. `v` is the states of the patches, the logits come from the class
    token's state.

    Pictures of another size than `image_size` are taken too: the positions are interpolated.

    Raises:
        ValueError: sides that aren't multiples of the patch, or something else than pictures.
    """

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.patches = PatchStem(config.dim, config.patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, config.dim))
        count = (config.image_size // config.patch) ** 2
        self.position = (
            nn.Parameter(torch.zeros(1, 1 + count, config.dim)) if config.positions else None
        )
        self.encoder = TransformerEncoder(
            TransformerConfig(
                dim=config.dim,
                layers=config.layers,
                heads=config.heads,
                mlp_dim=config.mlp_dim,
                dropout=config.dropout,
                norm_eps=config.norm_eps,
            )
        )
        self.fc = nn.Linear(config.dim, config.classes) if config.classes else None
        for table in (self.cls, self.position):
            if table is not None:
                nn.init.normal_(table, std=config.position_std)

    def no_weight_decay(self) -> set[str]:
        """The names of parameters that are tables, which don't decay (see `parameter_groups`)."""
        return {"cls", "position"}

    def states(
        self,
        images: Float[Tensor, "images 3 height width"],
        keep: int | None = None,
        need_weights: bool = False,
    ) -> tuple[Float[Tensor, "images positions dim"], list[Tensor]]:
        """States of the class token and the patches behind it, and each layer's attention weights
        (empty unless asked for). With `keep`, only the first `keep` positions come back."""
        check_images(images, self.config.patch)
        h = self.patches(images)  # (images, patches, dim)
        h = torch.cat([self.cls.expand(len(h), -1, -1), h], dim=1)  # (images, 1 + patches, dim)
        if self.position is not None:
            rows, columns = (side // self.config.patch for side in images.shape[-2:])
            h = h + interpolate_positions(self.position, rows, columns)
        return self.encoder(h, keep=keep, need_weights=need_weights)

    def forward(
        self, images: Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, "images patches dim"]:
        return self.states(images)[0][:, 1:]  # (images, patches, dim)

    def classify(self, images: Tensor) -> Float[Tensor, "images classes"]:
        """Logits from the class token's state.

        Raises:
            ValueError: the network was made without classes.
        """
        if self.fc is None:
            raise ValueError("expected a ViT with classes=N, but this one has no classifier")
        return self.fc(self.states(images, keep=1)[0][:, 0])  # (images, classes)


def interpolate_positions(
    position: Float[Tensor, "1 positions dim"], rows: int, columns: int
) -> Float[Tensor, "1 new_positions dim"]:
    """Positions of a class token and a square grid, for a grid of another size: bicubic, as timm's.

    Raises:
        ValueError: the positions aren't one class token and a square grid.
    """
    side = grid_side(position.shape[1] - 1)
    if (rows, columns) == (side, side):
        return position
    cls, grid = position[:, :1], position[:, 1:]  # (1, 1, dim), (1, side * side, dim)
    grid = grid.transpose(1, 2).unflatten(2, (side, side))  # (1, dim, side, side)
    grid = F.interpolate(grid, (rows, columns), mode="bicubic", antialias=True)
    return torch.cat([cls, grid.flatten(2).transpose(1, 2)], dim=1)  # (1, 1 + rows * columns, dim)


TIMM = {
    "cls_token": "cls",
    "pos_embed": "position",
    "patch_embed.proj": "patches.project",
    "norm": "encoder.norm",
    "head": "fc",
}
TIMM_LAYER = {
    "norm1": "norm1",
    "attn.qkv": "attention.qkv",
    "attn.proj": "attention.out",
    "norm2": "norm2",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
}


def weights_from_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a timm VisionTransformer under the names of `ViT`.

    Raises:
        ValueError: a name that a plain VisionTransformer with a class token doesn't have.
    """
    ours = {}
    for name, value in state.items():
        inside = re.fullmatch(r"blocks\.(\d+)\.(.+)\.(weight|bias)", name)
        if name in ("cls_token", "pos_embed"):
            ours[TIMM[name]] = value
        elif inside and inside[2] in TIMM_LAYER:
            ours[f"encoder.layers.{inside[1]}.{TIMM_LAYER[inside[2]]}.{inside[3]}"] = value
        elif name.rpartition(".")[0] in TIMM:
            part, _, kind = name.rpartition(".")
            ours[f"{TIMM[part]}.{kind}"] = value
        else:
            raise ValueError(f"expected the weights of timm's VisionTransformer, got {name!r}")
    return ours

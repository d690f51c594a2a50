"""A model that answers questions about pictures: stem, encoder, head."""

from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class VQAModel(nn.Module):
    """Composes a stem, an encoder of words and patches, and a head; each can be exchanged."""

    def __init__(self, stem: nn.Module, encoder: nn.Module, head: nn.Module):
        super().__init__()
        self.stem, self.head = stem, head
        self.encoder: Any = encoder  # what it has besides its call depends on its kind

    def forward(
        self,
        images: Float[Tensor, "images 3 height width"],
        image_index: Int[Tensor, " batch"],
        x: Int[Tensor, "batch words"],
        mask: Bool[Tensor, "batch words"] | None = None,
    ) -> Float[Tensor, "batch answers"]:
        """Logits. Each picture is encoded once, then handed to all of its questions."""
        v = self.stem(images)  # (images, patches, visual_dim)
        h = self.encoder(x, v[image_index], mask, keep=1)  # (batch, 1, dim): what the head reads
        return self.head(h)  # (batch, answers)

    def attention(
        self, images: Tensor, image_index: Tensor, x: Tensor, mask: Tensor | None = None
    ) -> list[Float[Tensor, "batch heads positions positions"]]:
        """The attention weights of each layer."""
        v = self.stem(images)  # (images, patches, visual_dim)
        return self.encoder(x, v[image_index], mask, need_weights=True)[1]

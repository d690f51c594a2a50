"""A small convolutional network with a bag of words: a port of the network that easy-VQA's author
published beside the data (easy-VQA-keras, small model)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

INITS = ("torch", "keras")


class SmallNetwork(nn.Module):
    """Two convolutions without a non-linearity for the picture, two dense layers for the bag of
    words, their elementwise product, two more dense layers: about 136,000 weights.

    Raises:
        ValueError: unknown initialisation.
    """

    def __init__(self, vocab_size: int, answers: int, init: str = "torch", dim: int = 32):
        super().__init__()
        if init not in INITS:
            raise ValueError(f"init: expected one of {', '.join(INITS)}, got {init!r}")
        self.vocab_size = vocab_size
        self.picture = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.MaxPool2d(2),  # (images, 8, 32, 32)
            nn.Conv2d(8, 16, 3, padding=1),
            nn.MaxPool2d(2),  # (images, 16, 16, 16)
            nn.Flatten(),
            nn.Linear(16 * 16 * 16, dim),
            nn.Tanh(),  # (images, dim)
        )
        self.question = nn.Sequential(
            nn.Linear(vocab_size, dim), nn.Tanh(), nn.Linear(dim, dim), nn.Tanh()
        )
        self.head = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, answers))
        if init == "keras":
            self.apply(keras_init)

    def forward(
        self,
        images: Float[Tensor, "images 3 64 64"],
        image_index: Int[Tensor, " batch"],
        x: Int[Tensor, "batch words"],
        mask: Bool[Tensor, "batch words"],
    ) -> Float[Tensor, "batch answers"]:
        v = self.picture(images - 0.5)[image_index]  # (batch, dim)
        x, mask = x[:, 1:], mask[:, 1:]  # (batch, words - 1): [CLS] is not a word
        words = torch.zeros(len(x), self.vocab_size, device=x.device)  # (batch, vocab)
        words.scatter_reduce_(1, x, mask.float(), reduce="amax")  # 1 where the word occurs
        return self.head(v * self.question(words))  # (batch, answers)


def keras_init(module: nn.Module) -> None:
    """Keras' default for dense and convolutional layers: Glorot uniform weights, zero biases."""
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

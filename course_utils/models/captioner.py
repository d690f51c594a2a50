"""Words from a picture: its features stand in front of the words, in one causal decoder.

Wang et al. 2022, "GIT", arXiv 2205.14100, and Liu et al. 2023, "Visual Instruction Tuning"
(LLaVA), 2304.08485: features of a vision model, mapped to the decoder's width, are read before the
text.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_utils.models.decoder import Decoder, DecoderConfig


class Captioner(nn.Module):
    """A frozen stem, a linear map to the decoder's width, and the decoder.

    The stem makes `v` from pictures; all the rest takes `v`, so that features can be computed once.
    """

    def __init__(self, stem: nn.Module, visual_dim: int, config: DecoderConfig):
        super().__init__()
        self.stem = stem.requires_grad_(False)
        self.project = nn.Linear(visual_dim, config.dim)
        self.decoder = Decoder(config)

    @torch.no_grad()
    def see(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch patches visual_dim"]:
        """Visual features, from the stem in eval mode."""
        self.stem.eval()
        return self.stem(images)

    def forward(
        self, v: Float[Tensor, "batch patches visual_dim"], x: Int[Tensor, "batch words"]
    ) -> Float[Tensor, "batch positions vocab_size"]:
        """Logits at all positions, the patches' first: those at position patches + t are for
        x[:, t + 1].

        Raises:
            ValueError: patches and words are too many, or not one picture a text.
        """
        logits = self.decoder(x, prefix=self.project(v))  # (batch, positions, vocab_size)
        assert isinstance(logits, Tensor)
        return logits

    def read(
        self, v: Float[Tensor, "batch patches visual_dim"], x: Int[Tensor, "batch words"]
    ) -> Float[Tensor, "batch positions dim"]:
        """Vectors of patches and words, for `decoder.states` and `methods/generation.py`."""
        return torch.cat([self.project(v), self.decoder.token(x)], dim=1)

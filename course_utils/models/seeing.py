"""A language model with eyes: visual features, projected to the width of its tokens, stand in the
text where a picture's placeholders were.

Liu et al. 2023, "Visual Instruction Tuning" (LLaVA), arXiv 2304.08485; the projector of two layers
is that of its successor (2310.03744).
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_utils.models.llama import Cache, Llama


class Projector(nn.Module):
    """Visual features as vectors that a decoder reads in the place of tokens. `scale` is the
    typical size of an entry of the decoder's embeddings: visual tokens start at it."""

    def __init__(self, visual_dim: int, dim: int, hidden: int, scale: float):
        super().__init__()
        self.norm = nn.LayerNorm(visual_dim)
        self.hidden = nn.Linear(visual_dim, hidden)
        self.out = nn.Linear(hidden, dim)
        self.size = nn.LayerNorm(dim)
        nn.init.constant_(self.size.weight, scale)

    def forward(
        self, v: Float[Tensor, "batch patches visual_dim"]
    ) -> Float[Tensor, "batch patches dim"]:
        h = nn.functional.gelu(self.hidden(self.norm(v)))  # (batch, patches, hidden)
        return self.size(self.out(h))


class SeeingDecoder(nn.Module):
    """A decoder that reads `placeholder` tokens as the patches of a picture, in their order."""

    def __init__(self, decoder: Llama, projector: Projector, placeholder: int):
        super().__init__()
        self.decoder, self.projector, self.placeholder = decoder, projector, placeholder

    def embedded(
        self, v: Float[Tensor, "batch patches visual_dim"], x: Int[Tensor, "batch words"]
    ) -> Float[Tensor, "batch words dim"]:
        """Tokens as vectors, with the picture in the place of the placeholders.

        Raises:
            ValueError: a text has not as many placeholders as its picture has patches.
        """
        here = x == self.placeholder  # (batch, words)
        counts = here.sum(1)  # (batch,)
        if (counts != v.shape[1]).any():
            row = int((counts != v.shape[1]).nonzero()[0])
            raise ValueError(
                f"text {row}: expected {v.shape[1]} placeholders (token {self.placeholder}), one "
                f"for each patch, got {int(counts[row])}"
            )
        h = self.decoder.token(x)  # (batch, words, dim)
        seen = self.projector(v).to(h.dtype)  # (batch, patches, dim)
        return h.masked_scatter(here[..., None], seen)

    def forward(
        self,
        v: Float[Tensor, "batch patches visual_dim"],
        x: Int[Tensor, "batch words"],
        mask: Bool[Tensor, "batch words"] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "batch words vocab_size"]:
        """logits[:, t] are for x[:, t + 1]; padding stands on the left."""
        return self.decoder.logits(self.decoder.states(self.embedded(v, x), mask, cache))

"""The joint encoder with what it needs to learn from pictures and texts without answers.

Masked words given the picture and matching: ViLT (Kim et al., arXiv 2102.03334, section 3.2);
contrast of picture and text alone first, then matching: ALBEF (Li et al., arXiv 2107.07651).
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_utils.models.joint import JointEncoder
from course_utils.objectives.contrastive import Temperature


class WordPieces(nn.Module):
    """Frozen vectors of another model's tokens, mapped linearly to the width of this one.

    The vectors are not part of the state dict: they are that model's, and large.
    """

    def __init__(self, table: Float[Tensor, "vocab_size width"], dim: int):
        super().__init__()
        self.table: Tensor
        self.register_buffer("table", table.detach(), persistent=False)
        self.project = nn.Linear(table.shape[1], dim)

    def forward(self, x: Int[Tensor, "batch words"]) -> Float[Tensor, "batch words dim"]:
        return self.project(self.table[x])  # (batch, words, dim)


class JointPretraining(nn.Module):
    """Stem and joint encoder, with a head for each way of learning without labels.

    Args:
        stem: pictures -> v (batch, patches, visual_dim).
        cls_id: token id of [CLS], which stands alone beside a picture without a text.
        words: ids of the tokens that can be guessed; a guess is compared with their `WordPieces`.
            When None, every token can be guessed, each with weights of its own.
        space: width of the vectors in which pictures and texts are compared.
        pixels: numbers a patch that `patch_pixels` gives, guessed for hidden patches.
    """

    def __init__(
        self,
        stem: nn.Module,
        encoder: JointEncoder,
        cls_id: int,
        words: Int[Tensor, " choices"] | None = None,
        space: int = 64,
        pixels: int = 48,
    ):
        super().__init__()
        dim = encoder.config.dim
        self.stem, self.encoder, self.cls_id = stem, encoder, cls_id
        self.words: Tensor | None
        self.register_buffer("words", words)
        token = encoder.embedding.token
        width = encoder.config.vocab_size if words is None else token.table.shape[1]
        self.word_head = nn.Linear(dim, width)
        self.match_head = nn.Linear(dim, 1)
        self.picture_head, self.text_head = nn.Linear(dim, space), nn.Linear(dim, space)
        self.temperature = Temperature()
        self.hidden_patch = nn.Parameter(torch.zeros(encoder.config.visual_dim))
        self.pixel_head = nn.Linear(dim, pixels)

    def forward(
        self,
        v: Float[Tensor, "batch patches visual_dim"],
        x: Int[Tensor, "batch words"],
        mask: Bool[Tensor, "batch words"],
        keep: int | None = None,
    ) -> Float[Tensor, "batch positions dim"]:
        """h of pictures with texts."""
        return self.encoder(x, v, mask, keep=keep)

    def word_logits(self, h: Float[Tensor, "some dim"]) -> Float[Tensor, "some choices"]:
        """Which word stands at the positions whose states are `h`."""
        guess = self.word_head(h)  # (some, vocab_size) or (some, width)
        if self.words is None:
            return guess
        table = self.encoder.embedding.token.table[self.words]  # (choices, width)
        return guess @ table.T * table.shape[1] ** -0.5  # (some, choices)

    def match_logits(
        self,
        v: Float[Tensor, "batch patches visual_dim"],
        x: Int[Tensor, "batch words"],
        mask: Bool[Tensor, "batch words"],
    ) -> Float[Tensor, " batch"]:
        """Above 0: the text is true of the picture."""
        return self.match_head(self(v, x, mask, keep=1))[:, 0, 0]  # (batch,)

    def embed_pictures(
        self, v: Float[Tensor, "batch patches visual_dim"]
    ) -> Float[Tensor, "batch space"]:
        """A vector for each picture, beside no text."""
        x = torch.full((len(v), 1), self.cls_id, device=v.device)  # (batch, 1)
        return self.picture_head(self.encoder(x, v, keep=1))[:, 0]  # (batch, space)

    def embed_texts(
        self, x: Int[Tensor, "batch words"], mask: Bool[Tensor, "batch words"]
    ) -> Float[Tensor, "batch space"]:
        """A vector for each text, beside no picture."""
        return self.text_head(self.encoder(x, None, mask, keep=1))[:, 0]  # (batch, space)

    def guess_patches(
        self, v: Float[Tensor, "batch patches visual_dim"], hidden: Bool[Tensor, "batch patches"]
    ) -> Float[Tensor, "some pixels"]:
        """The pixels of the hidden patches, from the others."""
        v = torch.where(hidden[..., None], self.hidden_patch, v)  # (batch, patches, visual_dim)
        x = torch.full((len(v), 1), self.cls_id, device=v.device)  # (batch, 1)
        h = self.encoder(x, v)[:, 1:]  # (batch, patches, dim)
        return self.pixel_head(h[hidden])  # (some, pixels)


def patch_pixels(
    images: Float[Tensor, "batch 3 height width"], grid: int = 4, inner: int = 4
) -> Float[Tensor, "batch patches pixels"]:
    """What each patch of a grid looks like, coarsely: inner x inner mean colours, row by row."""
    small = nn.functional.adaptive_avg_pool2d(images, grid * inner)  # (batch, 3, side, side)
    cells = small.unfold(2, inner, inner).unfold(3, inner, inner)  # (batch, 3, g, g, i, i)
    return cells.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)  # (batch, g * g, 3 * i * i)

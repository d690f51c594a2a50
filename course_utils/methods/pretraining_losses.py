"""Learning from pairs of pictures and texts, and from either alone, with a `JointPretraining`.

Each function takes the model, features v, and texts, and gives one loss. They add up to the
objective in `course_utils.methods.pretraining`.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_utils.models.pretraining import JointPretraining
from course_utils.objectives.classification import binary_cross_entropy
from course_utils.objectives.contrastive import contrastive_loss, cosine_scores
from course_utils.objectives.language import masked_token_loss

Features = Float[Tensor, "batch patches visual_dim"]
Words = Int[Tensor, "batch words"]
Mask = Bool[Tensor, "batch words"]


def masked_words(
    model: JointPretraining, v: Features | None, shown: Words, mask: Mask, labels: Words
) -> Float[Tensor, ""]:
    """Cross-entropy of the words that `labels` names (-100 elsewhere), given the shown words and
    the picture, or the shown words alone where v is None."""
    h = model.encoder(shown, v, mask)[:, : shown.shape[1]]  # (batch, words, dim)
    chosen = labels >= 0  # (batch, words)
    logits = model.word_logits(h[chosen])  # (some, choices)
    return masked_token_loss(logits[None], labels[chosen][None])


def contrast(
    model: JointPretraining, v: Features, x: Words, mask: Mask, right: Bool[Tensor, "batch batch"]
) -> tuple[Float[Tensor, ""], Float[Tensor, "batch batch"]]:
    """The contrastive loss of pictures alone and texts alone, and their scores."""
    scores = model.temperature(cosine_scores(model.embed_pictures(v), model.embed_texts(x, mask)))
    return contrastive_loss(scores, right), scores  # (), (batch, batch)


def matching(
    model: JointPretraining, v: Features, x: Words, mask: Mask, wrong: Int[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Binary cross-entropy: each picture with its text (true), and with text `wrong[i]` (false)."""
    both = torch.cat([v, v])  # (2 batch, patches, visual_dim)
    logits = model.match_logits(both, torch.cat([x, x[wrong]]), torch.cat([mask, mask[wrong]]))
    y = torch.cat([torch.ones(len(v)), torch.zeros(len(v))]).to(logits)  # (2 batch,)
    return binary_cross_entropy(logits, y)


def hidden_patches(
    model: JointPretraining,
    v: Features,
    pixels: Float[Tensor, "batch patches pixels"],
    hidden: Bool[Tensor, "batch patches"],
) -> Float[Tensor, ""]:
    """Mean squared error of the pixels of the hidden patches."""
    return nn.functional.mse_loss(model.guess_patches(v, hidden), pixels[hidden])

"""Asking a model that is not trained any further: blanks to fill in, templates, learned prompts,
and a few examples.

The first part asks the joint model of lesson 07, which can guess a masked word beside a picture.
The second asks two frozen encoders whose vectors lie in one space.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from tokenizers import Tokenizer
from torch import Tensor, nn

from course_utils.datasets.text import MASK, UNKNOWN, encode, token_id
from course_utils.models.pretraining import JointPretraining
from course_utils.models.text import TextEncoder, encode_texts, sentence_embedding
from course_utils.objectives.contrastive import Temperature, contrastive_loss, cosine_scores

BLANK = "___"  # the word to be guessed, in a text


# A blank in a sentence


def fill_in(
    tokenizer: Tokenizer, texts: Sequence[str]
) -> tuple[Int[Tensor, "batch words"], Bool[Tensor, "batch words"], Int[Tensor, " batch"]]:
    """Token ids with [MASK] where a text has its BLANK, the mask of words, and where the blank is.

    [MASK] cannot be typed: `word_tokenizer` drops brackets, and what is left is an unknown word.

    Raises:
        ValueError: a text without a blank, with several, or with a word that is not in the
            vocabulary.
    """
    x, mask = encode(tokenizer, texts)  # (batch, words) each
    unknown = x == tokenizer.token_to_id(UNKNOWN)  # (batch, words)
    for text, row in zip(texts, unknown):
        if text.split().count(BLANK) != 1 or int(row.sum()) != 1:
            raise ValueError(
                f"expected one {BLANK} and known words otherwise, got {text!r} with "
                f"{int(row.sum())} unknown words"
            )
    x = x.masked_fill(unknown, token_id(tokenizer, MASK))
    return x, mask, unknown.float().argmax(1)


@torch.no_grad()
def guess(
    model: JointPretraining,
    v: Float[Tensor, "batch patches visual_dim"],
    x: Tensor,
    mask: Tensor,
    at: Int[Tensor, " batch"],
    choices: Int[Tensor, " choices"],
    size: int = 100,
) -> Float[Tensor, "batch choices"]:
    """Logits of the tokens `choices` in the blanks of texts beside pictures, `size` at a time."""
    found = []
    for rows in torch.arange(len(x)).split(size):
        h = model(v[rows], x[rows], mask[rows])  # (some, positions, dim)
        h = h[torch.arange(len(rows)), at[rows]]  # (some, dim)
        found.append(model.word_logits(h)[:, choices])  # (some, choices)
    return torch.cat(found)


# Two frozen encoders and their heads


class TwoHeads(nn.Module):
    """Pictures and texts in one space, from frozen vectors of both; the heads of lesson 07."""

    def __init__(self, v: Float[Tensor, "n picture_dim"], text_dim: int, space: int = 256):
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", v.mean(0))  # (picture_dim,)
        self.register_buffer("std", v.std(0) + 1e-3)
        self.picture = nn.Sequential(nn.Dropout(0.5), nn.Linear(v.shape[1], space))
        self.text = nn.Sequential(nn.Dropout(0.5), nn.Linear(text_dim, space))
        self.temperature = Temperature()

    def pictures(self, v: Float[Tensor, "n picture_dim"]) -> Float[Tensor, "n space"]:
        """Unit vectors."""
        return F.normalize(self.picture((v - self.mean) / self.std), dim=-1)

    def texts(self, t: Float[Tensor, "n text_dim"]) -> Float[Tensor, "n space"]:
        """Unit vectors."""
        return F.normalize(self.text(t), dim=-1)


def train_heads(
    v: Float[Tensor, "n picture_dim"],
    texts: Sequence[Float[Tensor, "n text_dim"]],
    right: Bool[Tensor, "n n"],
    seed: int,
    updates: int = 300,
    batch: int = 256,
) -> TwoHeads:
    """As lesson 07: each picture against one of its `texts` at random; `right` says which other
    texts are true of it too."""
    torch.manual_seed(seed)
    model = TwoHeads(v, texts[0].shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1.0)
    for _ in range(updates):
        rows = torch.randperm(len(v))[:batch]  # (batch,)
        which = torch.randint(len(texts), (len(rows),)).tolist()
        t = torch.stack([texts[k][i] for k, i in zip(which, rows.tolist())])  # (batch, text_dim)
        scores = model.temperature(cosine_scores(model.pictures(v[rows]), model.texts(t)))
        loss = contrastive_loss(scores, right[rows][:, rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval().requires_grad_(False)


def ensemble(vectors: Float[Tensor, "templates classes space"]) -> Float[Tensor, "classes space"]:
    """One unit vector a class: the mean over templates of unit vectors, brought back to length 1
    (Radford et al., arXiv 2103.00020, section 3.1.4: in the space of vectors, not of
    probabilities)."""
    return F.normalize(F.normalize(vectors, dim=-1).mean(0), dim=-1)


# Learned vectors in front of the words


def with_prompt(
    encoder: TextEncoder,
    prompt: Float[Tensor, "length dim"],
    x: Int[Tensor, "batch words"],
    mask: Bool[Tensor, "batch words"],
) -> tuple[Float[Tensor, "batch more dim"], Bool[Tensor, "batch more"]]:
    """h and mask of texts with the vectors of `prompt` between [CLS] and the first word, as if they
    were the token vectors of words there.

    Raises:
        ValueError: the prompt's width is not the encoder's, or too few positions are left.
    """
    if prompt.ndim != 2 or prompt.shape[1] != encoder.config.dim:
        raise ValueError(
            f"prompt: expected (length, {encoder.config.dim}), got {tuple(prompt.shape)}"
        )
    length = x.shape[1] + len(prompt)
    if length > encoder.config.max_words:
        raise ValueError(f"expected at most {encoder.config.max_words} positions, got {length}")
    words = encoder.token(x)  # (batch, words, dim)
    between = prompt.expand(len(x), -1, -1)  # (batch, length, dim)
    token = torch.cat([words[:, :1], between, words[:, 1:]], dim=1)  # (batch, more, dim)
    place = encoder.position.weight[:length] + encoder.token_type.weight[0]  # (more, dim)
    seen = torch.cat([mask[:, :1], mask.new_ones(len(x), len(prompt)), mask[:, 1:]], dim=1)
    h, _ = encoder.encoder(encoder.drop(encoder.norm(token + place)), seen)
    return h, seen


class SoftPrompt(nn.Module):
    """Learned vectors in front of the names of classes; encoder and heads stay as they are (CoOp,
    Zhou et al., arXiv 2109.01134, equation 2, with the class name at the end).

    Args:
        start: the words whose token vectors the prompt begins with.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        tokenizer: Tokenizer,
        heads: TwoHeads,
        names: Sequence[str],
        start: str = "a picture of a",
    ):
        super().__init__()
        self.frozen = (encoder, heads)  # in a tuple: not a part of this module's weights
        self.x, self.mask = encode_texts(tokenizer, names)  # (classes, words) each
        ids = torch.tensor(tokenizer.encode(start, add_special_tokens=False).ids)  # (length,)
        self.prompt = nn.Parameter(encoder.token(ids).detach().clone())  # (length, dim)

    def class_vectors(self) -> Float[Tensor, "classes space"]:
        encoder, heads = self.frozen
        h, seen = with_prompt(encoder, self.prompt, self.x, self.mask)  # (classes, more, dim)
        return heads.texts(sentence_embedding(h, seen))

    def forward(self, z: Float[Tensor, "n space"]) -> Float[Tensor, "n classes"]:
        """Logits of pictures whose unit vectors are `z`."""
        return self.frozen[1].temperature(z @ self.class_vectors().T)


# A few examples of each class


def few_of_each(y: Int[Tensor, " n"], k: int, generator: torch.Generator) -> Int[Tensor, " chosen"]:
    """Rows of k random examples of each class that occurs in `y`.

    Raises:
        ValueError: a class has fewer than k.
    """
    rows = []
    for c in y.unique():
        mine = (y == c).nonzero()[:, 0]  # (examples of c,)
        if not 1 <= k <= len(mine):
            raise ValueError(f"k: expected 1 to {len(mine)}, as many as class {c} has, got {k}")
        rows.append(mine[torch.randperm(len(mine), generator=generator)[:k]])
    return torch.cat(rows)


def class_means(
    z: Float[Tensor, "n dim"], y: Int[Tensor, " n"], classes: int
) -> Float[Tensor, "classes dim"]:
    """The mean of the examples of each class (Snell et al., arXiv 1703.05175, equation 1).

    Raises:
        ValueError: a class has no example.
    """
    count = torch.bincount(y, minlength=classes)  # (classes,)
    if len(count) > classes or not count.all():
        raise ValueError(f"y: expected examples of {classes} classes, got counts {count.tolist()}")
    return z.new_zeros(classes, z.shape[1]).index_add_(0, y, z) / count[:, None]


def nearest(z: Float[Tensor, "n dim"], means: Float[Tensor, "classes dim"]) -> Int[Tensor, " n"]:
    """The class whose mean is nearest."""
    return torch.cdist(z, means).argmin(1)

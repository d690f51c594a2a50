"""A text encoder as BERT has it: token + position + type, normalised, then a post-norm Transformer.

Devlin et al., "BERT", arXiv 1810.04805. The call is that of the other encoders, and so are the
layers; only the embedding differs. Real weights come from `course_utils.models.pretrained`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from tokenizers import Tokenizer
from torch import Tensor, nn

from course_utils.models.transformer import TransformerConfig, TransformerEncoder


@dataclass(frozen=True)
class TextConfig(TransformerConfig):
    """Sizes of a text encoder; the defaults of the normalisation are BERT's."""

    norm: str = "post"
    norm_eps: float = 1e-12
    vocab_size: int = 100  # different token ids
    max_words: int = 512  # longest text
    types: int = 2  # kinds of tokens: BERT marks the second of two sentences with 1


class TextEncoder(nn.Module):
    """h = Transformer(x): one state a word, each of which has seen all words."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.config = config
        self.token = nn.Embedding(config.vocab_size, config.dim)
        self.position = nn.Embedding(config.max_words, config.dim)
        self.token_type = nn.Embedding(config.types, config.dim)
        post = config.norm == "post"
        self.norm = nn.LayerNorm(config.dim, eps=config.norm_eps) if post else nn.Identity()
        self.drop = nn.Dropout(config.dropout)
        self.encoder = TransformerEncoder(config)
        for table in (self.token, self.position, self.token_type):
            nn.init.normal_(table.weight, std=0.02)

    def embed(
        self, x: Int[Tensor, "batch words"], token_type: Int[Tensor, "batch words"] | None = None
    ) -> Float[Tensor, "batch words dim"]:
        """What goes into the first layer: token + position + type, normalised.

        Raises:
            ValueError: `x` is longer than `max_words`.
        """
        if x.shape[1] > self.config.max_words:
            raise ValueError(f"x: expected at most {self.config.max_words} words, got {x.shape[1]}")
        if token_type is None:
            kind = self.token_type.weight[0]  # (dim,)
        else:
            kind = self.token_type(token_type)  # (batch, words, dim)
        h = self.token(x) + self.position.weight[: x.shape[1]] + kind  # (batch, words, dim)
        return self.drop(self.norm(h))

    def forward(
        self,
        x: Int[Tensor, "batch words"],
        mask: Bool[Tensor, "batch words"] | None = None,
        token_type: Int[Tensor, "batch words"] | None = None,
        need_weights: bool = False,
        keep: int | None = None,
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """h (batch, words, dim); with `need_weights` also the attention weights
        (batch, heads, words, words) of each layer; with `keep` only the first `keep` positions.

        States where `mask` is False mean nothing, but nothing else looks at them.

        Raises:
            ValueError: `x` is too long, or `mask` has another shape than `x`.
        """
        if mask is not None and mask.shape != x.shape:
            raise ValueError(
                f"mask: expected the shape of x {tuple(x.shape)}, got {tuple(mask.shape)}"
            )
        h = self.embed(x, token_type)  # (batch, words, dim)
        h, weights = self.encoder(h, mask, need_weights=need_weights, keep=keep)
        return (h, weights) if need_weights else h


def encode_texts(
    tokenizer: Tokenizer, texts: Sequence[str], max_words: int = 32
) -> tuple[Int[Tensor, "batch words"], Bool[Tensor, "batch words"]]:
    """Token ids `x` and `mask` of `texts`, padded to the longest; longer texts are cut.

    `max_words` counts all tokens, [CLS] and [SEP] too; a text that is cut keeps its [SEP].

    Raises:
        ValueError: no text, a single string, or fewer than 3 words.
    """
    if isinstance(texts, str) or len(texts) == 0:
        raise ValueError(f"encode_texts expected a list of at least one text, got {texts!r}")
    if max_words < 3:  # [CLS], a word, [SEP]
        raise ValueError(f"max_words: expected at least 3, got {max_words}")
    tokenizer.enable_truncation(max_words)
    rows = [torch.tensor(e.ids) for e in tokenizer.encode_batch(list(texts))]  # (words,) each
    tokenizer.no_truncation()
    pad = tokenizer.token_to_id("[PAD]") or 0
    x = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)  # (batch, words)
    lengths = torch.tensor([len(row) for row in rows])  # (batch,)
    return x, torch.arange(x.shape[1]) < lengths[:, None]  # both (batch, words)


def sentence_embedding(
    h: Float[Tensor, "batch words dim"], mask: Bool[Tensor, "batch words"]
) -> Float[Tensor, "batch dim"]:
    """The mean of the states of the words, with length 1 (Reimers and Gurevych, arXiv 1908.10084).

    The dot product of two of them is their cosine similarity. As in the published model, [CLS] and
    [SEP] count as words, padding doesn't.
    """
    keep = mask[..., None].to(h.dtype)  # (batch, words, 1)
    mean = (h * keep).sum(1) / keep.sum(1).clamp(min=1)  # (batch, dim)
    return F.normalize(mean, dim=-1)  # (batch, dim)


BERT_NAMES = {  # part of a name in BERT's file -> in ours
    "embeddings.word_embeddings": "token",
    "embeddings.position_embeddings": "position",
    "embeddings.token_type_embeddings": "token_type",
    "embeddings.LayerNorm": "norm",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "mlp.0",
    "output.dense": "mlp.2",
    "output.LayerNorm": "norm2",
}


def config_from_bert(sizes: Mapping) -> TextConfig:
    """The config of a `TextEncoder` with the sizes in a BERT config (its config.json as a dict).

    Raises:
        ValueError: a size is missing, or what is described isn't an encoder with erf-GELU.
    """
    if sizes.get("hidden_act") != "gelu" or sizes.get("is_decoder"):
        raise ValueError(
            f"expected an encoder with hidden_act 'gelu' (by erf), got "
            f"{sizes.get('hidden_act')!r}, is_decoder={sizes.get('is_decoder', False)}"
        )
    try:
        return TextConfig(
            dim=sizes["hidden_size"],
            layers=sizes["num_hidden_layers"],
            heads=sizes["num_attention_heads"],
            mlp_dim=sizes["intermediate_size"],
            dropout=sizes["hidden_dropout_prob"],
            norm_eps=sizes["layer_norm_eps"],
            vocab_size=sizes["vocab_size"],
            max_words=sizes["max_position_embeddings"],
            types=sizes["type_vocab_size"],
        )
    except KeyError as error:
        raise ValueError(f"expected BERT's sizes, but there is no {error}") from None


def weights_from_bert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A BERT state dict under the names of `TextEncoder`: queries, keys and values stacked.

    The pooler (one more layer on [CLS], for next-sentence prediction) has no counterpart.

    Raises:
        ValueError: this is not the state dict of a BertModel.
    """
    state = {name.removeprefix("bert."): value for name, value in state.items()}
    ours = {}
    try:
        for name, value in state.items():
            if name.startswith(("pooler.", "cls.")) or name.endswith("position_ids"):
                continue
            name = re.sub(r"^encoder\.layer\.", "encoder.layers.", name)
            part = re.search(r"attention\.self\.(query|key|value)\.", name)
            if part and part[1] == "query":
                stack = [
                    state[
                        name.replace("encoder.layers.", "encoder.layer.").replace(
                            ".query.", f".{which}."
                        )
                    ]
                    for which in ("query", "key", "value")
                ]
                ours[name.replace("self.query", "qkv")] = torch.cat(stack)  # (3 * dim, ...)
            elif not part:
                theirs = next(key for key in BERT_NAMES if f".{key}." in f".{name}")
                ours[name.replace(theirs, BERT_NAMES[theirs])] = value
    except (KeyError, StopIteration):
        raise ValueError(f"expected the state dict of a BertModel, got {name!r} in it") from None
    return ours

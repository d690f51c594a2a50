"""Words to token ids, with the `tokenizers` library.

The world's sentences and easy-VQA use fewer than a hundred different words, so one token a word
is enough. Lesson 03 opens subword tokenizers (WordPiece, byte-pair encoding).
"""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Int
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor

PAD, UNKNOWN, CLS, MASK = "[PAD]", "[UNK]", "[CLS]", "[MASK]"


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a token.

    Raises:
        ValueError: the tokenizer doesn't have it.
    """
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ValueError(f"expected a tokenizer with {token}, but it has no such token")
    return found


def word_tokenizer(texts: Iterable[str], masks: bool = False) -> Tokenizer:
    """A tokenizer with one token a word (a character, in Chinese), fitted on `texts`.

    Lower-cases, drops punctuation, and puts `[CLS]` in front: the position whose final state is
    read out as the summary of words and picture. Words that were not in `texts` become `[UNK]`.
    Ids are given in alphabetical order, so the same words give the same ids in any order. With
    `masks` there is one more token, `[MASK]`, for words that are to be guessed.

    Fit it on the training split only, and pass it to every other split.

    Raises:
        ValueError: there is not a single word in `texts`.
    """
    apart = normalizers.BertNormalizer(  # spaces around Chinese characters
        clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=True
    )
    same = [normalizers.NFC(), normalizers.Replace("\u2019", "'")]  # é is one sign, ’ is '
    normalizer = normalizers.Sequence([*same, apart, normalizers.Replace(Regex(r"[^\w\s']"), " ")])
    splitter = pre_tokenizers.WhitespaceSplit()
    words = {
        word
        for text in set(texts)
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))
    }
    if not words:
        raise ValueError("word_tokenizer expected texts with at least one word, got none")
    special = [PAD, UNKNOWN, CLS, MASK] if masks else [PAD, UNKNOWN, CLS]
    vocabulary = {word: i for i, word in enumerate([*special, *sorted(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A", special_tokens=[(CLS, vocabulary[CLS])]
    )
    tokenizer.enable_padding(pad_id=vocabulary[PAD], pad_token=PAD)
    return tokenizer


def encode(
    tokenizer: Tokenizer, texts: Sequence[str]
) -> tuple[Int[Tensor, "batch words"], Bool[Tensor, "batch words"]]:
    """Token ids `x` and `mask` (True where there is a word) of `texts`, padded to the longest.

    Raises:
        ValueError: `texts` is empty or a single string instead of a list of strings.
    """
    if isinstance(texts, str):
        raise ValueError(f"encode expected a list of texts, got the single string {texts!r}")
    if len(texts) == 0:
        raise ValueError("encode expected at least one text, got none")
    encodings = tokenizer.encode_batch(list(texts))
    x = torch.tensor([e.ids for e in encodings])  # (batch, words)
    mask = torch.tensor([e.attention_mask for e in encodings], dtype=torch.bool)  # (batch, words)
    return x, mask

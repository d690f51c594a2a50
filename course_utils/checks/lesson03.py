"""Lesson 02: language models and the Transformer."""

import math

import torch

from course_utils.checks.feedback import Exercise, Feedback, call, choice, compare, prediction
from course_utils.models.attention import causal_mask

# 03.1 WordPiece

VOCABULARY = {
    "a",
    "ab",
    "abc",
    "b",
    "c",
    "circle",
    "##a",
    "##b",
    "##bc",
    "##c",
    "##s",
    "##cle",
    "cir",
    "red",
    "##d",
    "##dish",
    "##ish",
    "re",
}
# abcle: abc is the longest, and then ##le is missing; dish: only ##dish is there
WORDS = (
    "abc",
    "circle",
    "circles",
    "abcbc",
    "reddish",
    "cabs",
    "redx",
    "x",
    "bbc",
    "circ",
    "c",
    "abcle",
    "dish",
)


def _wordpiece(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        ends = range(len(word), start, -1)
        found = ["##" * (start > 0) + word[start:end] for end in ends]
        piece = next((p for p in found if p in vocabulary), None)
        if piece is None:
            return ["[UNK]"]
        pieces.append(piece)
        start += len(piece) - 2 * (start > 0)
    return pieces


def _shortest_match(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        found = ["##" * (start > 0) + word[start:end] for end in range(start + 1, len(word) + 1)]
        piece = next((p for p in found if p in vocabulary), None)
        if piece is None:
            return ["[UNK]"]
        pieces.append(piece)
        start += len(piece) - 2 * (start > 0)
    return pieces


def _goes_back(word, vocabulary, start=0):
    for end in range(len(word), start, -1):
        piece = "##" * (start > 0) + word[start:end]
        if piece in vocabulary:
            rest = [] if end == len(word) else _goes_back(word, vocabulary, end)
            if rest != ["[UNK]"]:
                return [piece, *rest]
    return ["[UNK]"]


def _mark_anywhere(word, vocabulary):
    found = _wordpiece(word, vocabulary)
    return [f"##{word}"] if found == ["[UNK]"] and f"##{word}" in vocabulary else found


def _without_marks(word, vocabulary):
    return [piece.removeprefix("##") for piece in _wordpiece(word, vocabulary)]


def _unknown_at_the_end(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = "##" * (start > 0) + word[start:end]
            if piece in vocabulary:
                break
        else:
            return [*pieces, "[UNK]"]
        pieces.append(piece)
        start = end
    return pieces


def _no_unknown(word, vocabulary):
    return _wordpiece(
        word,
        set(vocabulary)
        | set("abcdefghijklmnopqrstuvwxyz")
        | {f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"},
    )


def _test_wordpiece(function):
    for kind in (set, dict.fromkeys):  # the real vocabulary is a dictionary
        for word in WORDS:
            got = call(function, word, kind(VOCABULARY))
            if isinstance(got, tuple):
                got = list(got)
            compare(got, _wordpiece(word, VOCABULARY), f"the pieces of {word!r}")


# 03.2 what a divisor does to the weights


def _mean_largest_weight(q, k, power):
    scores = q @ k.T / q.shape[-1] ** power  # (queries, keys)
    return scores.softmax(-1).max(-1).values.mean()


def _softmax_over_queries(q, k, power):
    return (q @ k.T / q.shape[-1] ** power).softmax(0).max(-1).values.mean()


def _multiplied(q, k, power):
    return (q @ k.T * q.shape[-1] ** power).softmax(-1).max(-1).values.mean()


def _by_number_of_keys(q, k, power):
    return (q @ k.T / k.shape[0] ** power).softmax(-1).max(-1).values.mean()


def _queries_throughout(q, k, power):
    return (q @ k.T / q.shape[-1] ** power).softmax(0).max(0).values.mean()


def _power_ignored(q, k, power):
    return (q @ k.T / math.sqrt(q.shape[-1])).softmax(-1).max(-1).values.mean()


def _undivided(q, k, power):
    return (q @ k.T).softmax(-1).max(-1).values.mean()


def _largest_of_all(q, k, power):
    return (q @ k.T / q.shape[-1] ** power).softmax(-1).max()


def _test_largest(function):
    generator = torch.Generator().manual_seed(2)
    for queries, keys, dim in ((5, 3, 4), (7, 10, 16)):
        q = torch.randn(queries, dim, generator=generator)  # (queries, dim)
        k = torch.randn(keys, dim, generator=generator)  # (keys, dim)
        for power in (0, 0.5, 1):
            got = call(function, q, k, power)
            got = got.item() if isinstance(got, torch.Tensor) and got.numel() == 1 else got
            compare(
                got,
                _mean_largest_weight(q, k, power).item(),
                f"the mean largest weight for dim = {dim}, power = {power}",
            )


# 03.3 causal attention


def _causal_attention(q, k, v):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (..., words, words)
    before = causal_mask(q.shape[-2])  # (words, words)
    return scores.masked_fill(~before, -torch.inf).softmax(-1) @ v  # (..., words, dim)


def _causal_by(mask):
    def attention(q, k, v):
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        return scores.masked_fill(~mask(q.shape[-2]), -torch.inf).softmax(-1) @ v

    return attention


def _masked_after_softmax(q, k, v):
    weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1)
    return weights.tril() @ v


def _zero_scores(q, k, v):
    scores = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).tril()
    return scores.softmax(-1) @ v


def _causal_undivided(q, k, v):
    return _causal_attention(q * math.sqrt(q.shape[-1]), k, v)


def _all_axes_reversed(q, k, v):
    scores = q @ k.permute(*reversed(range(k.ndim))) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~causal_mask(q.shape[-2]), -torch.inf).softmax(-1) @ v


def _over_queries(q, k, v):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~causal_mask(q.shape[-2]), -torch.inf).softmax(-2) @ v


def _leaking(q, k, v):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~causal_mask(q.shape[-2]), -10.0).softmax(-1) @ v


_no_future_mask = _causal_by(lambda n: torch.ones(n, n, dtype=torch.bool))
_future_only = _causal_by(lambda n: torch.ones(n, n, dtype=torch.bool).triu())
_not_itself = _causal_by(lambda n: torch.ones(n, n, dtype=torch.bool).tril(-1))
_one_ahead = _causal_by(lambda n: torch.ones(n, n, dtype=torch.bool).tril(1))


def _test_causal(function):
    generator = torch.Generator().manual_seed(3)
    for shape in ((5, 4), (2, 3, 6, 8)):
        q, k, v = (torch.randn(shape, generator=generator) for _ in "qkv")  # (..., words, dim)
        got = call(function, q, k, v)
        if isinstance(got, torch.Tensor) and got.shape == q.shape and got[..., 0, :].isnan().all():
            raise Feedback("the first word's state is nan: it reads nothing. It may read itself.")
        compare(got, _causal_attention(q, k, v), f"the output for tensors of shape {shape}")


# 03.4 one mask, three conventions


def _masks_for(mask):
    keep = mask[:, None, None, :]  # (batch, 1, 1, words)
    added = torch.zeros(keep.shape).masked_fill(~keep, -torch.inf)  # (batch, 1, 1, words)
    return keep, ~mask, added


def _all_the_same_sense(mask):
    keep, leave_out, added = _masks_for(mask)
    return keep, ~leave_out, added


def _wrong_masks(mask):
    keep = mask[:, None, None, :]  # (batch, 1, 1, words)
    return keep, mask, keep.float()


def _all_inverted(mask):
    return _masks_for(~mask)


def _ones_added(mask):
    keep, leave_out, _ = _masks_for(mask)
    return keep, leave_out, keep.float()


def _zero_times_inf(mask):
    keep, leave_out, _ = _masks_for(mask)
    return keep, leave_out, (~keep).float() * -torch.inf


def _test_masks(function):
    for mask in (torch.arange(4) < torch.tensor([[4], [2], [1]]), torch.tensor([[True, False]])):
        got = call(function, mask)
        if not isinstance(got, (tuple, list)) or len(got) != 3:
            raise Feedback("expected three masks: for SDPA, for nn.MultiheadAttention, and to add.")
        if all(isinstance(part, torch.Tensor) for part in got) and got[2].isnan().any():
            raise Feedback("the mask to add holds nan: 0 times infinity. Fill, don't multiply.")
        keep, leave_out, added = _masks_for(mask)
        compare(got[0], keep, "the mask for SDPA")
        compare(got[1], leave_out, "the mask for nn.MultiheadAttention")
        compare(_hidden_alike(got[2], keep), added, "the mask to add")


def _hidden_alike(add, keep):
    """The mask to add, with every number so low that it hides taken for -inf."""
    if not (isinstance(add, torch.Tensor) and add.is_floating_point() and add.shape == keep.shape):
        return add
    add = add.masked_fill(add <= -1e4, -torch.inf)  # (batch, 1, 1, words)
    weak = add[~keep & (add != -torch.inf)]  # (places that aren't hidden,)
    if len(weak):
        raise Feedback(
            "the mask to add: padding is to get -torch.inf, or a number below -10,000, "
            f"and gets {weak[0]:g}. Words get 0."
        )
    return add


# 03.5 perplexity


def _perplexity(log_p, mask):
    return torch.exp(-log_p[mask].mean())


def _times_the_mask(log_p, mask):
    return torch.exp(-(log_p * mask).sum() / mask.sum())


def _mean_with_padding(log_p, mask):
    return torch.exp(-(log_p * mask).mean())


def _of_sentences(log_p, mask):
    return torch.exp(-(log_p * mask).sum(1) / mask.sum(1)).mean()


def _mean_of_means(log_p, mask):
    return torch.exp((-(log_p * mask).sum(1) / mask.sum(1)).mean())


def _positive(log_p, mask):
    return 1 / _perplexity(log_p, mask)


def _in_bits(log_p, mask):
    return 2 ** torch.log(_perplexity(log_p, mask))


def _no_exponential(log_p, mask):
    return -(log_p * mask).sum() / mask.sum()


def _test_perplexity(function):
    generator = torch.Generator().manual_seed(5)
    for batch, words in ((1, 4), (3, 6), (40, 9)):
        log_p = -3 * torch.rand(batch, words, generator=generator)  # (batch, words)
        lengths = torch.randint(1, words + 1, (batch, 1), generator=generator)  # (batch, 1)
        mask = torch.arange(words) < lengths  # (batch, words)
        got = call(function, log_p, mask)
        impossible = call(function, log_p.masked_fill(~mask, -torch.inf), mask)
        if isinstance(impossible, (float, torch.Tensor)) and impossible != impossible:
            raise Feedback(
                "with a log p of -inf in the padding the result is nan: 0 times infinity. "
                "Take log_p[mask], don't multiply."
            )
        compare(
            float(got) if isinstance(got, torch.Tensor) and got.numel() == 1 else got,
            float(_perplexity(log_p, mask)),
            f"the perplexity of a batch of {batch}",
        )


# 03.7 80/10/10


def _corrupt(x, chosen, lot, random, mask_id):
    shown = torch.where(chosen & (lot < 0.8), mask_id, x)  # (batch, words)
    shown = torch.where(chosen & (lot >= 0.8) & (lot < 0.9), random, shown)  # (batch, words)
    return shown, x.masked_fill(~chosen, -100)


def _label_zero(x, chosen, lot, random, mask_id):
    return _corrupt(x, chosen, lot, random, mask_id)[0], x.masked_fill(~chosen, 0)


def _all_labels(x, chosen, lot, random, mask_id):
    return _corrupt(x, chosen, lot, random, mask_id)[0], x


def _not_only_chosen(x, chosen, lot, random, mask_id):
    everywhere = torch.ones_like(chosen)
    return _corrupt(x, everywhere, lot, random, mask_id)[0], x.masked_fill(~chosen, -100)


def _always_mask(x, chosen, lot, random, mask_id):
    return x.masked_fill(chosen, mask_id), x.masked_fill(~chosen, -100)


def _labels_without_kept(x, chosen, lot, random, mask_id):
    shown, labels = _corrupt(x, chosen, lot, random, mask_id)
    return shown, labels.masked_fill(shown == x, -100)


def _labels_of_shown(x, chosen, lot, random, mask_id):
    shown, _ = _corrupt(x, chosen, lot, random, mask_id)
    return shown, shown.masked_fill(~chosen, -100)


def _random_over_mask(x, chosen, lot, random, mask_id):
    shown = torch.where(chosen & (lot < 0.8), mask_id, x)
    return torch.where(chosen & (lot < 0.9), random, shown), x.masked_fill(~chosen, -100)


def _none_kept(x, chosen, lot, random, mask_id):
    shown = torch.where(chosen & (lot < 0.8), mask_id, x)
    return torch.where(chosen & (lot >= 0.8), random, shown), x.masked_fill(~chosen, -100)


def _test_corrupt(function):
    generator = torch.Generator().manual_seed(7)
    x = torch.randint(4, 30, (6, 50), generator=generator)  # (batch, words)
    random = torch.randint(4, 30, x.shape, generator=generator)  # (batch, words)
    chosen = torch.rand(x.shape, generator=generator) < 0.4  # (batch, words)
    lot = torch.rand(x.shape, generator=generator)  # (batch, words)
    got = call(function, x, chosen, lot, random, 3)
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Feedback("expected two tensors: the tokens to show, and the labels.")
    want = _corrupt(x, chosen, lot, random, 3)
    if isinstance(got[0], torch.Tensor) and got[0].shape == x.shape:
        shown, kept, swapped = got[0], chosen & (lot >= 0.9), chosen & (lot >= 0.8) & (lot < 0.9)
        # which of the two tenths is random doesn't matter: both are as likely
        if torch.equal(shown[kept], random[kept]) and torch.equal(shown[swapped], x[swapped]):
            want = (torch.where(kept, random, torch.where(swapped, x, want[0])), want[1])
    compare(got[0], want[0], "the tokens to show")
    compare(got[1], want[1], "the labels")


EXERCISES = {
    "03.1": Exercise(
        "WordPiece by longest match",
        15,
        2,
        _wordpiece,
        _test_wordpiece,
        (
            "Keep the place `start` that you have reached. Try the whole rest of the word, then "
            "the rest without its last letter, and so on, until a piece is in the vocabulary.",
            "A piece is `word[start:end]`, with '##' in front if start > 0. Take the largest `end` "
            "that is known and set start = end. If there is none, return ['[UNK]'] at once.",
        ),
        mistakes=(
            (_shortest_match, "That takes the shortest piece. Begin with the longest."),
            (_without_marks, "A piece that continues a word begins with ##."),
            (_unknown_at_the_end, "A word with an unknown rest becomes [UNK] as a whole."),
            (_no_unknown, "A piece that is not in the vocabulary has no id."),
            (
                _goes_back,
                "WordPiece never goes back: if the longest piece leads nowhere, the word is [UNK].",
            ),
            (_mark_anywhere, "A piece with ## can't begin a word."),
        ),
    ),
    "03.2": Exercise(
        "What the divisor does",
        10,
        1,
        _mean_largest_weight,
        _test_largest,
        (
            "Scores are q @ k.T, divided by q.shape[-1] ** power. Over which axis is the softmax?",
            "Each query weighs the keys, so the softmax runs over the last axis. Then "
            ".max(-1).values.mean().",
        ),
        mistakes=(
            (_softmax_over_queries, "The softmax runs over the keys, so that rows add up to 1."),
            (_multiplied, "Divide by the power of the width; you multiplied."),
            (_by_number_of_keys, "The width is q.shape[-1], not the number of keys."),
            (_largest_of_all, "Take the largest weight of each query, then the mean of those."),
            (_queries_throughout, "Softmax and maximum both run over the keys, the last axis."),
            (_power_ignored, "`power` isn't used: divide by q.shape[-1] ** power."),
            (_undivided, "The scores aren't divided: by q.shape[-1] ** power."),
        ),
    ),
    "03.3": Exercise(
        "Causal attention",
        10,
        2,
        _causal_attention,
        _test_causal,
        (
            "Scores are q @ k.transpose(-2, -1), divided by the root of the width. Row i of the "
            "mask belongs to the query i; it may look at the columns 0 to i.",
            "With words = q.shape[-2], torch.ones(words, words, dtype=torch.bool).tril() is that "
            "mask. Where it is False the score becomes -torch.inf, before the softmax.",
        ),
        mistakes=(
            (_no_future_mask, "Every word still reads those that follow it."),
            (_future_only, "Each word reads what follows it: the triangle is the wrong one."),
            (_not_itself, ""),
            (_one_ahead, "Each word reads one word too far: the very word that it is to predict."),
            (
                _masked_after_softmax,
                "After the softmax it is too late: the rows no longer add up to 1.",
            ),
            (_zero_scores, "A score of 0 is not 'no weight': exp(0) = 1. It must be -inf."),
            (_causal_undivided, "The scores aren't divided by the root of the width."),
            (
                _all_axes_reversed,
                "`.T` turns all axes round. There may be axes in front: k.transpose(-2, -1).",
            ),
            (_over_queries, "The softmax runs over the keys, the last axis."),
            (_leaking, "A finite score leaves a weight: exp(-10) isn't 0. Use -torch.inf."),
        ),
    ),
    "03.4": Exercise(
        "One mask, three conventions",
        10,
        2,
        _masks_for,
        _test_masks,
        (
            "SDPA's boolean mask has our sense, nn.MultiheadAttention's has the opposite one, and "
            "a mask of floats is added to the scores.",
            "Two of the three need nothing but `~` and new axes (`[:, None, None, :]`). For the "
            "third begin with zeros and fill.",
        ),
        mistakes=(
            (_all_the_same_sense, "In nn.MultiheadAttention True means: leave this one out."),
            (_all_inverted, "Everything is the wrong way round."),
            (_ones_added, "Adding 1 to words' scores hardly hides the padding: add 0, and -inf."),
            (_zero_times_inf, ""),
            (
                _wrong_masks,
                "That is `wrong_masks`: in nn.MultiheadAttention True means leave this "
                "one out, and a mask to add has 0 for words, -inf for padding.",
            ),
        ),
    ),
    "03.5": Exercise(
        "Perplexity",
        5,
        1,
        _perplexity,
        _test_perplexity,
        (
            "It is the exponential of the mean loss over all tokens. Padding isn't a token.",
            "log_p[mask] holds the tokens only. Mean, negate, torch.exp.",
        ),
        mistakes=(
            (_mean_with_padding, "Padding was counted as tokens: divide by mask.sum()."),
            (
                _of_sentences,
                "That is the mean over texts of their perplexities. Long texts count "
                "for more: sum over all tokens first.",
            ),
            (_positive, "The sign is missing: a perplexity is at least 1."),
            (_in_bits, "log_p is in nat, so the base is e."),
            (_no_exponential, "That is the loss. Its exponential is wanted."),
            (_times_the_mask, ""),
            (_mean_of_means, "That gives each text the same weight. Sum over all tokens first."),
        ),
    ),
    "03.6": Exercise(
        "Predict the loss on 200 sentences",
        3,
        1,
        0.8,
        prediction(0, 5, "nat"),
        (
            "The grammar's entropy is 1.02 nat a token. Does it bound the loss on these 200 "
            "sentences?",
            "Imagine a model that knows the list by heart: each sentence then has the probability "
            "1 / 200. How many nat is that a sentence, and about how many a token, at 8 or 9 "
            "tokens a sentence?",
        ),
    ),
    "03.7": Exercise(
        "Masking 80/10/10",
        10,
        2,
        _corrupt,
        _test_corrupt,
        (
            "lot < 0.8 holds for 80 % of the chosen tokens, 0.8 <= lot < 0.9 for 10 %.",
            "torch.where(chosen & (lot < 0.8), mask_id, x), then once more for the random ones. "
            "The labels are x.masked_fill(~chosen, -100).",
        ),
        mistakes=(
            (_label_zero, "Label 0 is a token, which would be learnt. What is left out is -100."),
            (_all_labels, "Tokens that weren't chosen must have the label -100."),
            (_not_only_chosen, "Only chosen tokens may change."),
            (_always_mask, "Every chosen token became the mask."),
            (_labels_without_kept, "The tokens that stay as they are have labels, too."),
            (_labels_of_shown, "The labels are the words of `x`, not those shown."),
            (
                _random_over_mask,
                "lot < 0.9 also holds where lot < 0.8: the random words overwrite the masks.",
            ),
            (_none_kept, "A tenth of the chosen tokens stays as it is."),
        ),
    ),
    "03.8": Exercise(
        "Which training finds mistakes?",
        5,
        2,
        "b",
        choice(
            "b",
            {
                "a": "In the third column it is about level with b, but its state of a word tells "
                "the word far less often: second column.",
                "c": "It misses several times as many wrong words as b: it has seen only right "
                "words in the open.",
            },
        ),
        (
            "Begin with the third column. How large are the differences beside their ±?",
            "Two rows are about level there. Which of these two tells the word better, in the "
            "second column?",
        ),
        mistakes=(("a", ""), ("c", ""), ("d", "")),
    ),
}

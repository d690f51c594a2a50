"""Lesson 03: language models."""

import torch
import torch.nn.functional as F

from course_utils.checks.feedback import Exercise, Feedback, call, choice, compare, prediction
from course_utils.objectives.language import next_token_loss

# 03.7 WordPiece

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


def _marks_not_looked_up(word, vocabulary):
    """Looks for the bare letters, so that a piece with ## is never found."""
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            if word[start:end] in vocabulary:
                break
        else:
            return ["[UNK]"]
        pieces.append(word[start:end] if start == 0 else "##" + word[start:end])
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
            want = _wordpiece(word, VOCABULARY)
            if isinstance(got, list) and got != want:
                raise Feedback(f"the pieces of {word!r}: got {got}.")
            compare(got, want, f"the pieces of {word!r}")


# 03.1 the loss of the next token


def _loss_by(logits, targets, keep):
    log_p = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]  # (batch, places)
    return -log_p[keep].mean()


def _no_shift(logits, x, mask):
    return _loss_by(logits, x, mask)


def _shifted_back(logits, x, mask):
    return _loss_by(logits[:, 1:], x[:, :-1], mask[:, 1:])


def _padding_counted(logits, x, mask):
    return _loss_by(logits[:, :-1], x[:, 1:], torch.ones_like(mask[:, 1:]))


def _mask_unshifted(logits, x, mask):
    return _loss_by(logits[:, :-1], x[:, 1:], mask[:, :-1])


def _loss_positive(logits, x, mask):
    return -next_token_loss(logits, x, mask)


def _no_softmax(logits, x, mask):
    log_p = logits[:, :-1].gather(-1, x[:, 1:, None])[..., 0]
    return -log_p[mask[:, 1:]].mean()


def _no_log(logits, x, mask):
    p = logits[:, :-1].softmax(-1).gather(-1, x[:, 1:, None])[..., 0]
    return -p[mask[:, 1:]].mean()


def _softmax_over_places(logits, x, mask):
    log_p = logits[:, :-1].log_softmax(1).gather(-1, x[:, 1:, None])[..., 0]
    return -log_p[mask[:, 1:]].mean()


def _loss_of_texts(logits, x, mask):
    log_p = logits[:, :-1].log_softmax(-1).gather(-1, x[:, 1:, None])[..., 0]
    keep = mask[:, 1:]
    return (-(log_p * keep).sum(1) / keep.sum(1)).mean()


def _loss_summed(logits, x, mask):
    return next_token_loss(logits, x, mask) * mask[:, 1:].sum()


def _ids_on_the_wrong_axis(logits, x, mask):
    """cross_entropy wants (batch, ids, places), or all places in one row."""
    return F.cross_entropy(logits[:, :-1], x[:, 1:])


def _id_0_left_out(logits, x, mask):
    return _loss_by(logits[:, :-1], x[:, 1:], mask[:, 1:] & (x[:, 1:] != 0))


def _divided_by_all(logits, x, mask):
    return _loss_summed(logits, x, mask) / mask.sum()


def _test_next_token_loss(function):
    generator = torch.Generator().manual_seed(2)

    def with_gradient(logits, x, mask):
        logits.requires_grad_()
        loss = function(logits, x, mask)
        if not isinstance(loss, torch.Tensor) or loss.ndim or not loss.requires_grad:
            return loss, None
        return loss.detach(), torch.autograd.grad(loss, logits)[0]

    if not callable(function):
        call(function)
    for lengths in ([6, 4, 2], [3, 5], [4]):
        words = max(lengths)
        logits = torch.randn(len(lengths), words, 7, generator=generator)  # (batch, words, ids)
        x = torch.randint(7, (len(lengths), words), generator=generator)  # (batch, words)
        x[0, 1] = 0  # id 0 is a token like any other
        mask = torch.arange(words) < torch.tensor(lengths)[:, None]  # (batch, words)
        loss, gradient = call(with_gradient, logits, x, mask)
        leaf = logits.clone().requires_grad_()
        want = next_token_loss(leaf, x, mask)
        what = f"the loss of {len(lengths)} texts with {lengths} tokens"
        compare(loss, want.detach(), what)
        if gradient is None:
            raise Feedback(
                "the loss has no gradient: return the tensor, neither .item() nor float."
            )
        compare(gradient, torch.autograd.grad(want, leaf)[0], f"the gradient of {what}")


# 03.8 perplexity


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


def _zeros_counted(log_p, mask):
    return torch.exp(-log_p.masked_fill(~mask, 0.0).mean())


def _mask_unused(log_p, mask):
    return torch.exp(-log_p.mean())


def _texts_alike(log_p, mask):
    return torch.exp((-log_p.masked_fill(~mask, 0.0).sum(1) / mask.sum(1)).mean())


def _mean_of_perplexities(log_p, mask):
    return torch.exp(-log_p.masked_fill(~mask, 0.0).sum(1) / mask.sum(1)).mean()


def _positive(log_p, mask):
    return 1 / _perplexity(log_p, mask)


def _in_bits(log_p, mask):
    return 2 ** torch.log(_perplexity(log_p, mask))


def _no_exponential(log_p, mask):
    return -(log_p * mask).sum() / mask.sum()


def _test_perplexity(function):
    generator = torch.Generator().manual_seed(5)
    for batch, words in ((3, 6), (1, 4), (40, 9)):
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


# 03.3 the sampling loop


def _generate(model, x, steps, temperature=1.0, top_k=None, generator=None):
    for _ in range(steps):
        logits = model(x)[:, -1] / temperature  # (batch, ids)
        if top_k is not None:
            least = logits.topk(top_k).values[:, -1:]  # (batch, 1)
            logits = logits.masked_fill(logits < least, -torch.inf)  # (batch, ids)
        token = torch.multinomial(logits.softmax(-1), 1, generator=generator)  # (batch, 1)
        x = torch.cat([x, token], dim=1)  # (batch, words + 1)
    return x


def _loop(probabilities, given=lambda x: x, place=-1):
    """A loop with another way from logits to probabilities, for the mistakes."""

    def generate(model, x, steps, temperature=1.0, top_k=None, generator=None):
        for _ in range(steps):
            p = probabilities(model(given(x))[:, place], temperature, top_k)  # (batch, ids)
            x = torch.cat([x, torch.multinomial(p, 1, generator=generator)], dim=1)
        return x

    return generate


def _best(logits, top_k, fill=-torch.inf, largest=True):
    if top_k is None:
        return logits
    kept = logits.topk(top_k, largest=largest).indices  # (batch, k)
    hide = torch.ones_like(logits, dtype=torch.bool).scatter(1, kept, False)  # (batch, ids)
    return logits.masked_fill(hide, fill)


_multiplied = _loop(lambda z, t, k: _best(z * t, k).softmax(-1))
_divided_probabilities = _loop(lambda z, t, k: _best(z, k).softmax(-1) / t)
_first_place = _loop(lambda z, t, k: _best(z / t, k).softmax(-1), place=0)
_last_token_only = _loop(lambda z, t, k: _best(z / t, k).softmax(-1), given=lambda x: x[:, -1:])
_top_k_ignored = _loop(lambda z, t, k: (z / t).softmax(-1))
_temperature_ignored = _loop(lambda z, t, k: _best(z, k).softmax(-1))
_filled_with_zero = _loop(lambda z, t, k: _best(z / t, k, fill=0.0).softmax(-1))
_smallest = _loop(lambda z, t, k: _best(z / t, k, largest=False).softmax(-1))
_softmax_over_texts = _loop(lambda z, t, k: _best(z / t, k).softmax(0))


def _all_but(least):
    """Top-k with another border, for the mistakes; `least` takes the k largest logits."""
    return lambda z, t, k: (
        z / t if k is None else (z / t).masked_fill(z < least(z.topk(k).values), -torch.inf)
    ).softmax(-1)


_text_0_for_all = _loop(lambda z, t, k: _best(z / t, k).softmax(-1)[:1].expand(len(z), -1))
_border_of_text_0 = _loop(_all_but(lambda best: best[0, -1]))
_one_border = _loop(_all_but(lambda best: best.min()))


def _values_minus_one(model, x, steps, temperature=1.0, top_k=None, generator=None):
    """The border as in the lesson's example of a single row: a row of k logits, not a column."""
    for _ in range(steps):
        z = model(x)[:, -1] / temperature  # (batch, ids)
        if top_k is not None:
            z = z.masked_fill(z < z.topk(top_k).values[-1], -torch.inf)
        x = torch.cat([x, torch.multinomial(z.softmax(-1), 1, generator=generator)], dim=1)
    return x


def _without_second_axis(model, x, steps, temperature=1.0, top_k=None, generator=None):
    for _ in range(steps):
        p = _best(model(x)[:, -1] / temperature, top_k).softmax(-1)  # (batch, ids)
        x = torch.cat([x, torch.multinomial(p, 1, generator=generator)[:, 0]], dim=1)
    return x


def _always_the_likeliest(model, x, steps, temperature=1.0, top_k=None, generator=None):
    return _generate(model, x, steps, temperature, 1, generator)


def _only_the_new(model, x, steps, temperature=1.0, top_k=None, generator=None):
    return _generate(model, x, steps, temperature, top_k, generator)[:, x.shape[1] :]


def _without_generator(model, x, steps, temperature=1.0, top_k=None, generator=None):
    return _generate(model, x, steps, temperature, top_k)


def _places_for_ids(model, x, steps, temperature=1.0, top_k=None, generator=None):
    for _ in range(steps):
        logits = model(x)[:, -1] / temperature  # (batch, ids)
        if top_k is not None:
            logits = logits.topk(top_k).values  # (batch, k)
        x = torch.cat([x, torch.multinomial(logits.softmax(-1), 1, generator=generator)], dim=1)
    return x


TABLE = torch.tensor(  # logits of five ids, without ties; each row has another best id
    [
        [0.1, 1.5, -0.4, 0.9, 0.3],
        [0.8, -0.6, 0.2, 1.7, 0.5],
        [-1.6, -0.3, 0.0, -0.6, 0.6],  # all of them smaller, so that each text needs its own border
        [1.9, 0.6, -0.2, 0.3, 1.1],
        [0.2, -0.7, 2.0, 1.2, 0.9],
    ]
)
DRAWS = 20_000


def _toy(x):
    """Logits (batch, words, 5) that depend on all tokens up to each place."""
    return TABLE[x.cumsum(1) % 5]


def _seeded(function):
    """Calls it with a generator of its own, so that two calls can be compared."""

    def run(x, steps, temperature, top_k):
        generator = torch.Generator().manual_seed(4)
        return function(_toy, x, steps, temperature, top_k, generator)

    return run


def _compare_shares(drawn, want, temperature, top_k):
    """Whether the drawn ids (draws,) come as often as their probabilities (5,) say."""
    shares = torch.bincount(drawn, minlength=5)[:5] / len(drawn)  # (5,)
    what = f"temperature {temperature:g}, top_k {top_k}"
    if ((want == 0) & (shares > 0)).any():
        raise Feedback(f"{what}: a token was drawn that isn't among the {top_k} likeliest.")
    worst = int((shares - want).abs().argmax())
    if (shares - want).abs().max() > 0.02:  # more than five standard errors
        much = "too often" if shares[worst] > want[worst] else "too rarely"
        raise Feedback(f"{what}: in {len(drawn):,} draws token {worst} comes {much}.")


def _test_generate(function):
    if not callable(function):
        call(function)
    run = _seeded(function)
    # (batch, words): texts that read rows 2, 1 and 3 of TABLE
    start = torch.tensor([[2, 0], [1, 0], [4, 4]]).repeat(3, 1)
    for steps in (1, 4):
        got = call(run, start, steps, 1.0, 1)
        what = f"with top_k = 1, which leaves no choice, and {steps} step{'s' * (steps > 1)}"
        if not isinstance(got, torch.Tensor):
            compare(got, start, what)
        if got.shape == (len(start), steps):
            raise Feedback(f"{what}: only the new tokens came back. Return them behind x.")
        compare(got, _generate(_toy, start, steps, 1.0, 1), what)
    # (2 * draws, 2): texts that read rows 4 and 2 of TABLE
    many = torch.tensor([[1, 3], [3, 4]]).repeat_interleave(DRAWS, 0)
    for temperature, top_k in ((1.0, None), (0.5, None), (2.0, None), (2.0, 2), (1.0, 3)):
        got = call(run, many, 1, temperature, top_k)
        for drawn, row in zip(got[:, -1].split(DRAWS), (4, 2)):  # (draws,) each
            want = _best(TABLE[[row]] / temperature, top_k).softmax(-1)[0]  # (5,)
            _compare_shares(drawn, want, temperature, top_k)
    if not torch.equal(call(run, many, 1, 1.0, None), call(run, many, 1, 1.0, None)):
        raise Feedback(
            "two runs with the same generator differ: give it to torch.multinomial "
            "(`generator=generator`)."
        )


# 03.5 80/10/10


def _corrupt(x, chosen, draws, others, mask_id):
    shown = torch.where(chosen & (draws < 0.8), mask_id, x)  # (batch, words)
    shown = torch.where(chosen & (draws >= 0.8) & (draws < 0.9), others, shown)  # (batch, words)
    return shown, x.masked_fill(~chosen, -100)


def _label_zero(x, chosen, draws, others, mask_id):
    return _corrupt(x, chosen, draws, others, mask_id)[0], x.masked_fill(~chosen, 0)


def _all_labels(x, chosen, draws, others, mask_id):
    return _corrupt(x, chosen, draws, others, mask_id)[0], x


def _not_only_chosen(x, chosen, draws, others, mask_id):
    everywhere = torch.ones_like(chosen)
    return _corrupt(x, everywhere, draws, others, mask_id)[0], x.masked_fill(~chosen, -100)


def _always_mask(x, chosen, draws, others, mask_id):
    return x.masked_fill(chosen, mask_id), x.masked_fill(~chosen, -100)


def _labels_without_kept(x, chosen, draws, others, mask_id):
    shown, labels = _corrupt(x, chosen, draws, others, mask_id)
    return shown, labels.masked_fill(shown == x, -100)


def _labels_of_shown(x, chosen, draws, others, mask_id):
    shown, _ = _corrupt(x, chosen, draws, others, mask_id)
    return shown, shown.masked_fill(~chosen, -100)


def _random_over_mask(x, chosen, draws, others, mask_id):
    shown = torch.where(chosen & (draws < 0.8), mask_id, x)
    return torch.where(chosen & (draws < 0.9), others, shown), x.masked_fill(~chosen, -100)


def _none_kept(x, chosen, draws, others, mask_id):
    shown = torch.where(chosen & (draws < 0.8), mask_id, x)
    return torch.where(chosen & (draws >= 0.8), others, shown), x.masked_fill(~chosen, -100)


def _labels_of_masks(x, chosen, draws, others, mask_id):
    shown, _ = _corrupt(x, chosen, draws, others, mask_id)
    return shown, x.masked_fill(shown != mask_id, -100)


def _labels_the_other_way(x, chosen, draws, others, mask_id):
    return _corrupt(x, chosen, draws, others, mask_id)[0], x.masked_fill(chosen, -100)


def _exchanged(x, chosen, draws, others, mask_id):
    return _corrupt(x, chosen, draws, others, mask_id)[::-1]


def _test_corrupt(function):
    generator = torch.Generator().manual_seed(7)
    x = torch.randint(4, 30, (6, 50), generator=generator)  # (batch, words)
    others = torch.randint(4, 30, x.shape, generator=generator)  # (batch, words)
    chosen = torch.rand(x.shape, generator=generator) < 0.4  # (batch, words)
    draws = torch.rand(x.shape, generator=generator)  # (batch, words)
    chosen[0, :2], draws[0, :2] = True, torch.tensor([0.8, 0.9])  # the borders
    got = call(function, x, chosen, draws, others, 3)
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Feedback("expected two tensors: the tokens to show, and the labels.")
    want = _corrupt(x, chosen, draws, others, 3)
    if isinstance(got[0], torch.Tensor) and got[0].shape == x.shape:
        shown, kept, swapped = (
            got[0],
            chosen & (draws >= 0.9),
            chosen & (draws >= 0.8) & (draws < 0.9),
        )
        # which of the two tenths is exchanged doesn't matter: both are as likely
        if torch.equal(shown[kept], others[kept]) and torch.equal(shown[swapped], x[swapped]):
            want = (torch.where(kept, others, torch.where(swapped, x, want[0])), want[1])
    _compare_ids(got[0], want[0], "the tokens to show")
    _compare_ids(got[1], want[1], "the labels")


def _compare_ids(got, want, what):
    """Ids are names: a distance between two of them means nothing."""
    same_kind = isinstance(got, torch.Tensor) and got.shape == want.shape
    if same_kind and not got.is_floating_point() and not torch.equal(got, want):
        wrong = (got != want).nonzero()  # (wrong places, 2)
        raise Feedback(
            f"{what}: {len(wrong)} of {want.numel()} are wrong, the first at "
            f"{tuple(wrong[0].tolist())}."
        )
    compare(got, want, what)


EXERCISES = {
    "03.1": Exercise(
        "The loss of the next token",
        20,
        2,
        next_token_loss,
        _test_next_token_loss,
        (
            "Three steps: log_softmax over the ids; the log p of the token that follows; the mean "
            "over the tokens that are words. Which place has no token after it?",
            "logits[:, :-1] belongs to x[:, 1:]. `gather(-1, x[:, 1:, None])[..., 0]` picks the "
            "log p of these tokens; keep those whose mask[:, 1:] is True.",
        ),
        mistakes=(
            (
                _no_shift,
                "Each place is asked for the very token that it reads. The logits at t are for the "
                "token at t + 1.",
            ),
            (
                _shifted_back,
                "The shift goes the wrong way: each place is asked for the one before.",
            ),
            (_padding_counted, "Padding was counted as tokens."),
            (_mask_unshifted, "The mask belongs to the token that is predicted: mask[:, 1:]."),
            (_loss_positive, "The loss is minus the mean of log p."),
            (_no_softmax, "Logits aren't log p yet: log_softmax over the ids first."),
            (_no_log, "That is minus the mean of p. The logarithm is missing."),
            (_softmax_over_places, "The softmax runs over the ids, the last axis."),
            (
                _loss_of_texts,
                "That is the mean over texts of their means. Take one mean over all tokens.",
            ),
            (_loss_summed, "That is a sum. Divide by the number of predicted tokens."),
            (_divided_by_all, "The first token of a text is not predicted: don't count it."),
            (
                _ids_on_the_wrong_axis,
                "F.cross_entropy wants the ids on axis 1: give it logits[:, :-1][keep] and "
                "x[:, 1:][keep] with keep = mask[:, 1:]. That also leaves out the padding.",
            ),
            (_id_0_left_out, "Only `mask` tells what is padding: 0 may be the id of a token."),
        ),
    ),
    "03.2": Exercise(
        "Too good to be true",
        4,
        1,
        "b",
        choice(
            "b",
            {
                "a": "No model has an expected loss below the entropy of what it is judged on, "
                "however well it has learnt.",
                "c": "The mask is there, and nothing after a place is needed: look at what this "
                "loss asks for.",
                "d": "Knowing a list by heart leaves a larger loss: the first word of a sentence "
                "stays a guess.",
            },
        ),
        (
            "Write down, for one place t, what the model reads there and what this loss asks for.",
            "Without the shift the logits at t are compared with x[:, t]. Which tokens has the "
            "model read at t?",
        ),
        mistakes=(("a", ""), ("c", ""), ("d", "")),
    ),
    "03.3": Exercise(
        "The sampling loop",
        25,
        3,
        _generate,
        _test_generate,
        (
            "One round: the model's logits at the last place, divided by the temperature; all but "
            "the k largest become -inf; softmax; draw; put the token behind x.",
            "`logits.topk(top_k).values[:, -1:]` is the smallest logit that stays. "
            "`torch.multinomial(p, 1, generator=generator)` draws one id for each text.",
        ),
        mistakes=(
            (_multiplied, "Divide by the temperature; you multiplied."),
            (
                _divided_probabilities,
                "Dividing all probabilities by one number doesn't change their ratios: divide the "
                "logits, before the softmax.",
            ),
            (_first_place, "The next token's logits are those at the last place: [:, -1]."),
            (
                _last_token_only,
                "The model gets only the last token. It must read the whole text, each time.",
            ),
            (_top_k_ignored, "`top_k` isn't used."),
            (_temperature_ignored, "The temperature isn't used."),
            (_filled_with_zero, "A logit of 0 is not 'never': exp(0) = 1. It must be -inf."),
            (_smallest, "These are the k smallest logits."),
            (
                _values_minus_one,
                "Each text has its own k-th largest logit, a column: `.values[:, -1:]`. "
                "`.values[-1]` is the last text's row.",
            ),
            (_softmax_over_texts, "The softmax runs over the ids, the last axis."),
            (_always_the_likeliest, "This takes the likeliest token each time. Draw one."),
            (_only_the_new, ""),
            (_without_generator, ""),
            (
                _places_for_ids,
                "A place among the k largest logits is not an id: topk also returns the ids.",
            ),
            (
                _text_0_for_all,
                "Each text has probabilities of its own; all of yours draw from those of text 0.",
            ),
            (
                _border_of_text_0,
                "Each text has its own k-th largest logit: `.values[:, -1:]`, not that of text 0.",
            ),
            (_one_border, "Each text has its own k-th largest logit; yours is the batch's least."),
            (
                _without_second_axis,
                "torch.cat needs the new tokens as (batch, 1): keep the second axis, or give it "
                "back with [:, None].",
            ),
        ),
    ),
    "03.4": Exercise(
        "Which temperature?",
        4,
        2,
        "b",
        choice(
            "b",
            {
                "a": "At 0.3 likely tokens come more often than the model's own probabilities say.",
                "c": "At 1.5 unlikely tokens come more often than the model's own probabilities "
                "say.",
                "d": "The likeliest token each time gives one sentence: there is nothing to count.",
            },
        ),
        (
            "The shares must be those of the model itself. What does a temperature do to its "
            "probabilities?",
            "Dividing the logits by which number leaves the softmax as it is?",
        ),
        mistakes=(("a", ""), ("c", ""), ("d", "")),
    ),
    "03.5": Exercise(
        "Masking 80/10/10",
        10,
        2,
        _corrupt,
        _test_corrupt,
        (
            "draws < 0.8 holds for 80 % of the chosen tokens, 0.8 <= draws < 0.9 for 10 %.",
            "torch.where(chosen & (draws < 0.8), mask_id, x), then once more for the random ones. "
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
                "draws < 0.9 also holds where draws < 0.8: the random words overwrite the masks.",
            ),
            (_none_kept, "A tenth of the chosen tokens stays as it is."),
            (
                _labels_of_masks,
                "Every chosen token has a label: those that were exchanged or kept, too.",
            ),
            (
                _labels_the_other_way,
                "masked_fill fills where its mask is True: -100 belongs where nothing was chosen, "
                "so the mask is ~chosen.",
            ),
            (_exchanged, "The two results are exchanged: first what is shown, then the labels."),
        ),
    ),
    "03.6": Exercise(
        "Predict how many colours it knows",
        2,
        1,
        14,
        prediction(0, 40, "of 40"),
        (
            "Red is right for 7 of the 40: a model that always says red would get these.",
            "People seldom write that grass is green. What is written about, and what is not?",
        ),
    ),
    "03.7": Exercise(
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
            (
                _marks_not_looked_up,
                "Inside a word it is the piece with ## that must be in the vocabulary.",
            ),
            (_mark_anywhere, "A piece with ## can't begin a word."),
        ),
    ),
    "03.8": Exercise(
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
            (_zeros_counted, "Padding was counted as tokens: divide by mask.sum()."),
            (_mask_unused, "Padding was counted: `mask` isn't used."),
            (_texts_alike, "That gives each text the same weight. Sum over all tokens first."),
            (
                _mean_of_perplexities,
                "That is the mean over texts of their perplexities. Sum over all tokens first.",
            ),
        ),
    ),
}

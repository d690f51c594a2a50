"""Lesson 13: captions."""

import math
from collections import Counter

import torch

from course_utils.checks.feedback import (
    Exercise,
    Feedback,
    call,
    choice,
    compare,
    prediction,
    value,
)
from course_utils.evaluation.caption_metrics import clipped_matches, n_grams
from course_utils.methods.generation import best_continuations
from course_utils.models.decoder import Decoder, DecoderConfig
from course_utils.objectives.language import IGNORE, answer_labels
from course_utils.objectives.policy import group_advantages

# 13.1 what a captioner is to say


def _labels(x, mask, start, patches):
    return answer_labels(x, mask, start, patches)


def _prompt_scored(x, mask, start, patches):
    labels = x.masked_fill(~mask, IGNORE)
    return torch.cat([x.new_full((len(x), patches), IGNORE), labels], 1)


def _start_scored(x, mask, start, patches):
    behind = (x == start).cumsum(1) > 0
    labels = x.masked_fill(~(behind & mask), IGNORE)
    return torch.cat([x.new_full((len(x), patches), IGNORE), labels], 1)


def _already_shifted(x, mask, start, patches):
    labels = _labels(x, mask, start, patches)
    return torch.cat([labels[:, 1:], labels.new_full((len(x), 1), IGNORE)], 1)


def _padding_scored(x, mask, start, patches):
    return _labels(x, torch.ones_like(mask), start, patches)


def _end_left_out(x, mask, start, patches):
    labels = _labels(x, mask, start, patches)
    last = patches + mask.sum(1, keepdim=True) - 1
    return labels.scatter(1, last, IGNORE)


def _patches_forgotten(x, mask, start, patches):
    return _labels(x, mask, start, 0)


def _patches_behind(x, mask, start, patches):
    labels = _labels(x, mask, start, 0)
    return torch.cat([labels, x.new_full((len(x), patches), IGNORE)], 1)


def _zero_for_left_out(x, mask, start, patches):
    labels = _labels(x, mask, start, patches)
    return labels.masked_fill(labels == IGNORE, 0)


def _place_of_text_0(x, mask, start, patches):
    first = int((x[0] == start).nonzero()[0]) + 1
    behind = (torch.arange(x.shape[1]) >= first).expand_as(x)
    labels = x.masked_fill(~(behind & mask), IGNORE)
    return torch.cat([x.new_full((len(x), patches), IGNORE), labels], 1)


def _test_labels(function):
    x = torch.tensor(
        [[7, 1, 9, 5, 2, 0, 0], [7, 8, 6, 1, 9, 5, 2], [8, 1, 2, 0, 0, 0, 0], [1, 0, 6, 2, 0, 0, 0]]
    )
    mask = torch.arange(7) < torch.tensor([[5], [7], [3], [4]])  # (4, 7); id 0 may be a word
    for patches in (3, 0):
        got = call(function, x, mask, 1, patches)
        compare(got, answer_labels(x, mask, 1, patches), f"the labels with {patches} patches")
    other = x.masked_fill(x == 1, 4)  # the id of [START] is given, not built in
    compare(call(function, other, mask, 4, 2), answer_labels(other, mask, 4, 2), "with start = 4")


# 13.2 how many positions are computed

COUNTS = (343, 31)  # 16 patches, "caption [START]", and 14 tokens to write

# 13.3 the loop with a cache


class _Counting(Decoder):
    """A decoder that notes how many positions it computes. Its scores have a matrix of their own:
    with the token table it would repeat itself."""

    def __init__(self, head: torch.Tensor):
        super().__init__(DecoderConfig(dim=16, heads=2, vocab_size=9, max_words=400))
        self.head = head  # (ids, dim)
        self.read: list[int] = []

    def logits(self, h):
        return h @ self.head.T

    def states(self, h, mask=None, cache=None):
        self.read.append(h.shape[1])
        return super().states(h, mask, cache)


def _model(seed: int, texts: int = 3, words: int = 5) -> tuple[_Counting, torch.Tensor]:
    """A decoder of random weights, and some texts that it has read, as vectors."""
    generator = torch.Generator().manual_seed(seed)
    head = torch.randn(9, 16, generator=generator)
    h = torch.randn(texts, words, 16, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _Counting(head).eval(), h


@torch.no_grad()
def _write(model, h, steps, end):
    cache = model.cache(len(h), h.shape[1] + steps)
    states = model.states(h, None, cache)  # (batch, positions, dim)
    done, tokens = torch.zeros(len(h), dtype=torch.bool), []
    for step in range(steps):
        token = model.logits(states[:, -1]).argmax(-1)  # (batch,)
        token = token.masked_fill(done, end)  # (batch,)
        done = done | (token == end)  # (batch,)
        tokens.append(token)
        if step + 1 == steps or done.all():
            break
        states = model.states(model.token(token[:, None]), None, cache)  # (batch, 1, dim)
    return torch.stack(tokens, 1)  # (batch, new)


@torch.no_grad()
def _without_cache(model, h, steps, end):
    done, tokens = torch.zeros(len(h), dtype=torch.bool), []
    for _ in range(steps):
        token = model.logits(model.states(h)[:, -1]).argmax(-1).masked_fill(done, end)
        done = done | (token == end)
        tokens.append(token)
        h = torch.cat([h, model.token(token[:, None])], 1)
        if done.all():
            break
    return torch.stack(tokens, 1)


@torch.no_grad()
def _reads_all_again(model, h, steps, end):
    cache = model.cache(len(h), (h.shape[1] + steps) * (steps + 1))
    done, tokens = torch.zeros(len(h), dtype=torch.bool), []
    for _ in range(steps):
        token = model.logits(model.states(h, None, cache)[:, -1]).argmax(-1).masked_fill(done, end)
        done = done | (token == end)
        tokens.append(token)
        h = torch.cat([h, model.token(token[:, None])], 1)
        if done.all():
            break
    return torch.stack(tokens, 1)


@torch.no_grad()
def _writing(model, h, steps, end, at=-1, fill=True, stop="all", new_cache=False):
    cache = model.cache(len(h), h.shape[1] + steps)
    states = model.states(h, None, cache)
    done, tokens = torch.zeros(len(h), dtype=torch.bool), []
    for _ in range(steps):
        token = model.logits(states[:, at]).argmax(-1)
        token = token.masked_fill(done, end) if fill else token
        done = done | (token == end)
        tokens.append(token)
        if (done.all() if stop == "all" else done.any()) and stop != "never":
            break
        cache = model.cache(len(h), h.shape[1] + steps) if new_cache else cache
        states = model.states(model.token(token[:, None]), None, cache)
    return torch.stack(tokens, 1)


def _first_position(model, h, steps, end):
    return _writing(model, h, steps, end, at=0)


def _goes_on(model, h, steps, end):
    return _writing(model, h, steps, end, fill=False)


def _stops_with_the_first(model, h, steps, end):
    return _writing(model, h, steps, end, stop="any")


def _cache_anew(model, h, steps, end):
    return _writing(model, h, steps, end, new_cache=True)


def _never_stops(model, h, steps, end):
    return _writing(model, h, steps, end, stop="never")


def _test_write(function):
    cases = ((7, 12, 2), (8, 8, 2), (28, 12, 2), (31, 1, 2), (7, 9, 6, 2, 24), (8, 9, 4, 4, 1))
    for seed, steps, end, *sizes in cases:
        model, h = _model(seed, *sizes)
        got = call(function, model, h, steps, end)
        asked, h = _model(seed, *sizes)
        want = _write(asked, h, steps, end)
        if isinstance(got, list) and got and isinstance(got[0], torch.Tensor):
            raise Feedback("expected a tensor (batch, new), got a list of tensors: stack them.")
        if isinstance(got, list):
            got = torch.as_tensor(got)
        what = f"the tokens, in up to {steps} steps"
        if isinstance(got, torch.Tensor) and got.shape == want.shape:
            wrong = (got != want).nonzero()  # ids are names: no distances
            if len(wrong):
                raise Feedback(
                    f"{what}: {len(wrong)} of {want.numel()} are wrong, the first at "
                    f"{tuple(wrong[0].tolist())}."
                )
        compare(got, want, what)
        # a copy of the model was handed out: count on one that is called directly
        counted, h = _model(seed, *sizes)
        function(counted, h, steps, end)
        least, found = sum(asked.read), sum(counted.read)
        if found > least + 1:
            raise Feedback(
                f"the tokens are right, but {found} positions were computed where {least} are "
                "enough. Behind the first step, only the newest token has to be read."
            )


# 13.4 one step of a beam search


def _of_one(scores, log_p, k):
    best, beam, token = best_continuations(scores[None], log_p[None], k)
    return best[0], beam[0], token[0]


def _each_beam_its_best(scores, log_p, k):
    best, token = (scores[:, None] + log_p).max(1)
    best, order = best.sort(descending=True)
    return best[:k], order[:k], token[order[:k]]


def _score_forgotten(scores, log_p, k):
    best, beam, token = _of_one(torch.zeros_like(scores), log_p, k)
    return best, beam, token


def _scores_multiplied(scores, log_p, k):
    sums = (scores[:, None] * log_p).flatten()
    best, place = sums.topk(k)
    return best, place // log_p.shape[1], place % log_p.shape[1]


def _beam_and_token_exchanged(scores, log_p, k):
    best, beam, token = _of_one(scores, log_p, k)
    return best, token, beam


def _divided_by_beams(scores, log_p, k):
    best, place = (scores[:, None] + log_p).flatten().topk(k)
    return best, place // len(scores), place % len(scores)


def _worst(scores, log_p, k):
    best, place = (scores[:, None] + log_p).flatten().topk(k, largest=False)
    return best, place // log_p.shape[1], place % log_p.shape[1]


def _places(scores, log_p, k):
    best, place = (scores[:, None] + log_p).flatten().topk(k)
    return best, place // log_p.shape[1], place


def _test_beams(function):
    generator = torch.Generator().manual_seed(1)
    for beams, ids, k in ((2, 5, 3), (4, 3, 4), (1, 6, 6)):
        scores = -3 * torch.rand(beams, generator=generator)  # (beams,) not sorted
        log_p = torch.randn(beams, ids, generator=generator).log_softmax(-1)  # (beams, ids)
        got, want = call(function, scores, log_p, k), _of_one(scores, log_p, k)
        if not isinstance(got, (tuple, list)) or len(got) != 3:
            raise Feedback("expected three tensors: the sums, the beams, and the tokens.")
        for one, other, name in zip(got, want, ("sums", "beams", "tokens")):
            compare(one, other, f"the {name} with {beams} beams, {ids} tokens and k = {k}")


# 13.6 the nucleus at a temperature


def _nucleus(logits, temperature, top_p):
    p = (logits / temperature).softmax(-1)  # (batch, ids)
    sorted_p, order = p.sort(dim=-1, descending=True, stable=True)  # (batch, ids) each
    before = sorted_p.cumsum(-1) - sorted_p  # what the more likely ones have together
    kept = sorted_p.masked_fill(before >= top_p, 0.0)  # (batch, ids)
    kept = torch.zeros_like(p).scatter(-1, order, kept)  # (batch, ids)
    return kept / kept.sum(-1, keepdim=True)


def _nucleus_by(logits, temperature, top_p, first=1.0, inside=False, renormalise=True, value=0.0):
    p = (logits / first).softmax(-1)
    sorted_p, order = p.sort(dim=-1, descending=True, stable=True)
    together = sorted_p.cumsum(-1)
    out = together > top_p if inside else together - sorted_p >= top_p
    out = torch.zeros_like(out).scatter(-1, order, out)
    if first == temperature:
        kept = p.masked_fill(out, value)
        return kept / kept.sum(-1, keepdim=True) if renormalise else kept
    return (logits.masked_fill(out, -torch.inf) / temperature).softmax(-1)


def _filter_first(logits, temperature, top_p):
    return _nucleus_by(logits, temperature, top_p)


def _without_the_last(logits, temperature, top_p):
    return _nucleus_by(logits, temperature, top_p, first=temperature, inside=True)


def _not_renormalised(logits, temperature, top_p):
    return _nucleus_by(logits, temperature, top_p, first=temperature, renormalise=False)


def _temperature_twice(logits, temperature, top_p):
    return _nucleus(logits / temperature, temperature, top_p)


def _temperature_times(logits, temperature, top_p):
    return _nucleus(logits * temperature, 1.0, top_p)


def _in_sorted_order(logits, temperature, top_p):
    return _nucleus(logits, temperature, top_p).sort(-1, descending=True).values


def _test_nucleus(function):
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4, 7, generator=generator)
    for temperature, top_p in ((0.5, 0.9), (2.0, 0.6), (1.0, 1.0), (0.7, 0.01)):
        compare(
            call(function, logits, temperature, top_p),
            _nucleus(logits, temperature, top_p),
            f"the probabilities at temperature {temperature} and top_p {top_p}",
        )


# 13.7 clipped matches


def _unclipped(candidate, references, n):
    own = n_grams(candidate, n)
    known = {gram for reference in references for gram in n_grams(reference, n)}
    return sum(count for gram, count in own.items() if gram in known), sum(own.values())


def _clipped_by_the_sum(candidate, references, n):
    own, total = n_grams(candidate, n), n_grams("", n)
    for reference in references:
        total += n_grams(reference, n)
    return sum((own & total).values()), sum(own.values())


def _as_a_set(candidate, references, n):
    own = set(n_grams(candidate, n))
    known = {gram for reference in references for gram in n_grams(reference, n)}
    return len(own & known), len(own)


def _first_reference(candidate, references, n):
    return clipped_matches(candidate, references[:1], n)


def _words_only(candidate, references, n):
    return clipped_matches(candidate, references, 1)


def _at_least_one(candidate, references, n):
    matches, total = clipped_matches(candidate, references, n)
    return matches, max(1, total)


def _recall(candidate, references, n):
    return clipped_matches(references[0], [candidate], n)


def _clip_at_one(candidate, references, n):
    own = n_grams(candidate, n)
    known = {gram for reference in references for gram in n_grams(reference, n)}
    return len(set(own) & known), sum(own.values())


def _last_missing(candidate, references, n):
    cut = lambda text: " ".join(text.split()[:-1])
    return clipped_matches(cut(candidate), [cut(reference) for reference in references], n)


def _tails_counted(candidate, references, n):
    ends = lambda text: Counter(tuple(text.split()[i : i + n]) for i in range(len(text.split())))
    own, most = ends(candidate), Counter()
    for reference in references:
        most |= ends(reference)
    return sum((own & most).values()), sum(own.values())


def _last_reference(candidate, references, n):
    return clipped_matches(candidate, references[-1:], n)


def _below_zero(candidate, references, n):
    return clipped_matches(candidate, references, n)[0], len(candidate.split()) - n + 1


def _letters(candidate, references, n):
    own = n_grams(candidate, n)
    most = {g: max(reference.count(" ".join(g)) for reference in references) for g in own}
    return sum(min(own[g], most[g]) for g in own), sum(own.values())


def _order_lost(candidate, references, n):
    count = lambda text: Counter(tuple(sorted(g)) for g in n_grams(text, n).elements())
    own, most = count(candidate), Counter()
    for reference in references:
        most |= count(reference)
    return sum((own & most).values()), sum(own.values())


def _small_letters(candidate, references, n):
    return clipped_matches(candidate.lower(), [reference.lower() for reference in references], n)


def _test_matches(function):
    cases = [
        ("a large red cross", ["a large red cross", "a red cross"], 1),
        ("the the the the the the the", ["the cat is on the mat", "there is a cat on the mat"], 1),
        ("the cat the cat", ["the cat", "a cat the cat", "the the dog"], 1),
        ("the cat the cat", ["the cat", "a cat the cat"], 2),
        ("a red circle", ["a red circle"], 3),
        ("a red circle", ["a red circle"], 4),
        ("a large red circle above a red circle", ["a red circle below a large cross"], 2),
        ("red", ["red circle"], 4),
        ("a a a", ["a large cat"], 1),
        ("red a", ["a red"], 2),
        ("Red circle red.", ["red circle"], 1),
    ]
    for candidate, references, n in cases:
        got = call(function, candidate, references, n)
        want = clipped_matches(candidate, references, n)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise Feedback("expected two numbers: matches, and the candidate's n-grams.")
        compare(list(got), list(want), f"{n}-grams of {candidate!r} in {references}")


# 13.8 CIDEr of one n


def _cider(candidate, reference, pictures, total, clip=True, length=math.hypot):
    """`cider_n`; `mistakes` change one thing each."""

    def weights(counts):
        return {g: c * math.log(total / max(1, pictures.get(g, 0))) for g, c in counts.items()}

    a, b = weights(candidate), weights(reference)
    norms = length(*a.values()) * length(*b.values())
    shared = sum((min(a[g], b[g]) if clip else a[g]) * b[g] for g in a.keys() & b.keys())
    return shared / norms if norms else 0.0


def _plain_cosine(candidate, reference, pictures, total):
    return _cider(candidate, reference, pictures, total, clip=False)


def _unweighted(candidate, reference, pictures, total):
    return _cider(candidate, reference, {}, total)


def _share_not_log(candidate, reference, pictures, total):
    a, b = (
        {g: c * total / max(1, pictures.get(g, 0)) for g, c in counts.items()}
        for counts in (candidate, reference)
    )
    norms = math.hypot(*a.values()) * math.hypot(*b.values())
    return sum(min(a[g], b[g]) * b[g] for g in a.keys() & b.keys()) / norms if norms else 0.0


def _both_clipped(candidate, reference, pictures, total):
    return _cider(candidate & reference, reference & candidate, pictures, total)


def _divided_by_sums(candidate, reference, pictures, total):
    return _cider(candidate, reference, pictures, total, length=lambda *g: sum(g))


def _counts_lost(candidate, reference, pictures, total):
    return _cider(dict.fromkeys(candidate, 1), dict.fromkeys(reference, 1), pictures, total)


def _unknown_left_out(candidate, reference, pictures, total):
    known = {g: c for g, c in candidate.items() if g in pictures}
    return _cider(known, {g: c for g, c in reference.items() if g in pictures}, pictures, total)


def _times_ten(candidate, reference, pictures, total):
    return 10 * _cider(candidate, reference, pictures, total)


def _test_cider(function):
    grams = n_grams("a large red circle a red red cross", 1), n_grams("a red red circle", 1)
    others = n_grams("a red circle right of a red cross", 2), n_grams("a red circle", 2)
    few = {("a",): 8, ("red",): 4, ("circle",): 2}
    cases = (
        ("words of two texts", *grams, few, 8),
        ("the same the other way round", *grams[::-1], few, 8),
        ("pairs of words", *others, {("a", "red"): 3, ("red", "circle"): 2}, 5),
        ("two equal texts", grams[1], grams[1], few, 8),
        ("texts without a common word", n_grams("red", 1), n_grams("a circle", 1), few, 8),
        ("a text without n-grams", n_grams("red", 4), n_grams("red", 4), {}, 8),
        ("a word that all pictures have", n_grams("a", 1), n_grams("a a", 1), few, 8),
        ("a single picture", *grams, dict.fromkeys(grams[0] | grams[1], 1), 1),
    )
    for what, candidate, reference, pictures, total in cases:
        want = _cider(candidate, reference, pictures, total)
        got = call(function, candidate, reference, pictures, total)
        compare(got, want, f"the score of {what}")


# 13.9 advantages


def _advantages(reward):
    return group_advantages(reward)


def _mean_of_all(reward):
    return reward - reward.mean()


def _mean_over_prompts(reward):
    return reward - reward.mean(0, keepdim=True)


def _no_baseline(reward):
    return reward.clone()


def _wrong_sign(reward):
    return reward.mean(1, keepdim=True) - reward


def _divided_without_eps(reward):
    return (reward - reward.mean(1, keepdim=True)) / reward.std(1, keepdim=True)


def _divided(reward):
    return group_advantages(reward, normalise=True)


def _sign_only(reward):
    return (reward - reward.mean(1, keepdim=True)).sign()


def _without_itself(reward):
    n = reward.shape[1]
    return (reward - reward.mean(1, keepdim=True)) * n / (n - 1)


def _median(reward):
    return reward - reward.median(1, keepdim=True).values


def _test_advantages(function):
    one_right = torch.zeros(2, 8)
    one_right[0, 3], one_right[1] = 1.0, 1.0  # one of eight, and all alike
    generator = torch.Generator().manual_seed(2)
    for name, reward in (
        ("one right caption of eight, and a group of right ones", one_right),
        ("rewards of three groups", torch.rand(3, 4, generator=generator)),
    ):
        compare(call(function, reward), _advantages(reward), f"the advantages for {name}")


EXERCISES = {
    "13.1": Exercise(
        "What a captioner is to say",
        12,
        2,
        answer_labels,
        _test_labels,
        (
            "Left out with -100 are the patches, the prompt with [START], and padding. What "
            "remains? In which row does [START] stand at which place?",
            "`(x == start).cumsum(1)` is 1 at [START] and behind it. Take off `(x == start).long()`"
            " to leave [START] out; `torch.cat` puts a block of -100 in front.",
        ),
        mistakes=(
            (_prompt_scored, "The prompt is given: it gets -100, or the model learns to ask."),
            (_start_scored, "[START] belongs to the prompt: it is read, not written."),
            (
                _already_shifted,
                "These labels are shifted already. The loss shifts once more, and then each place "
                "is asked for the token after the next.",
            ),
            (_padding_scored, "Padding gets -100."),
            (_end_left_out, "[END] is written too: without it no text ever stops."),
            (_patches_forgotten, "The patches have positions too: a block of -100 in front."),
            (_patches_behind, "The patches stand in front of the words."),
            (_zero_for_left_out, "0 is the id of a token. What is left out is -100."),
            (
                _place_of_text_0,
                "Each row has [START] at a place of its own; yours is the same in all rows.",
            ),
        ),
    ),
    "13.2": Exercise(
        "Positions that are computed",
        4,
        1,
        COUNTS,
        value(COUNTS, "(without a cache, with a cache)"),
        (
            "In front stand 16 patches, the prompt's one word and [START]. Before the first token "
            "is written, 18 positions are read. How many before the second?",
            "Without a cache all of them are read again with each token, one more each time. With "
            "one, each is read once. Is the last token read at all?",
        ),
        mistakes=(
            ((343, 32), "The last token is written and then not read: it costs nothing more."),
            ((252, 31), "Without a cache the text to read grows by one with each token."),
            ((329, 30), "Count [START] and the word of the prompt: 18 positions stand in front."),
            ((31, 343), "The other way round: first the number without a cache."),
            ((343, 14), "The patches and the prompt have to be read once with a cache too."),
        ),
    ),
    "13.3": Exercise(
        "The loop with a cache",
        15,
        2,
        _write,
        _test_write,
        (
            "One `states` call reads all of h into the cache. Then in turn: the best token from "
            "the last state; [END] for texts that are done; read that one token, with the cache.",
            "`model.token(token[:, None])` is (batch, 1, dim): hand it to `model.states(..., None, "
            "cache)` and use the last of the new states. The cache knows the place itself.",
        ),
        mistakes=(
            (_without_cache, "only the newest token has to be read"),
            (
                _reads_all_again,
                "What stands in the cache was read once more, so each token stands there several "
                "times. Hand over the newest token alone.",
            ),
            (_first_position, "The next token's logits belong to the last state: [:, -1]."),
            (_goes_on, "A text that has its [END] is filled up with [END]."),
            (_stops_with_the_first, "Stop when all texts have ended, not at the first [END]."),
            (_cache_anew, "A new cache has forgotten the picture. Keep one through the loop."),
            (_never_stops, "Stop when every text has its [END]."),
        ),
    ),
    "13.4": Exercise(
        "One step of a beam search",
        10,
        2,
        _of_one,
        _test_beams,
        (
            "Every continuation of every beam has a sum. The k largest of all of them are wanted, "
            "not the best of each row.",
            "`flatten` makes one row of a table, and `topk` tells places in it. How many rows of "
            "the table stand before a place, and how far is it into its own?",
        ),
        mistakes=(
            (_each_beam_its_best, "All k may continue the same beam: don't take one of each."),
            (_score_forgotten, "The score of the beam so far is missing."),
            (_scores_multiplied, "Logarithms are added where probabilities are multiplied."),
            (_beam_and_token_exchanged, "Beams and tokens are exchanged."),
            (_divided_by_beams, "A row has as many entries as there are tokens, not beams."),
            (_worst, "These are the k smallest sums."),
            (_places, "A place in the flattened table is not yet a token: take the remainder."),
        ),
    ),
    "13.6": Exercise(
        "A nucleus at a temperature",
        8,
        2,
        _nucleus,
        _test_nucleus,
        (
            "Which distribution is drawn from in the end? The nucleus must be that one's.",
            "Begin with p = (logits / temperature).softmax(-1), sort it, drop what has top_p or "
            "more in front of it, put the rest back in the order of ids, and divide by its sum.",
        ),
        mistakes=(
            (
                _filter_first,
                "The nucleus is that of temperature 1. Divide by the temperature first: the kept "
                "set must be that of the distribution from which you draw.",
            ),
            (
                _without_the_last,
                "The token that reaches top_p stays; you dropped it. And the first one always "
                "stays.",
            ),
            (_not_renormalised, "What is kept must add up to 1 again."),
            (_temperature_twice, "The temperature was used twice."),
            (_temperature_times, "Divide the logits by the temperature; you multiplied."),
            (_in_sorted_order, "The probabilities came back sorted, not in the order of the ids."),
        ),
    ),
    "13.7": Exercise(
        "Clipped matches",
        10,
        2,
        clipped_matches,
        _test_matches,
        (
            "Count the n-grams of the candidate. Each counts at most as often as in the one "
            "reference that has it most often.",
            "For two Counters, `a & b` takes the smaller and `a | b` the larger of each count. "
            "Join the references with |, then & with the candidate's.",
        ),
        mistakes=(
            (_unclipped, "Nothing is clipped: seven times 'the' would all match."),
            (
                _clipped_by_the_sum,
                "The references' counts were added up. It is the largest count in one reference.",
            ),
            (_as_a_set, "Each n-gram was counted once only, in the candidate too."),
            (_first_reference, "All references count, not the first alone."),
            (_words_only, "That counts single words, whatever n is."),
            (_at_least_one, "A text shorter than n words has 0 n-grams, not 1."),
            (_recall, "That asks how much of the reference is in the candidate: recall."),
            (_last_missing, "The last n-gram is missing: with m words there are m - n + 1."),
            (_tails_counted, "At the end stand groups of fewer than n words: they don't count."),
            (_last_reference, "All references count, not the last alone."),
            (_below_zero, "A text of fewer than n words has 0 n-grams, not a number below."),
            (_letters, "Letters were searched for: 'a' also stands in 'cat'. Compare whole words."),
            (_order_lost, "The order of the words counts: 'red a' is not 'a red'."),
            (_small_letters, "'Red' and 'red' are two words here: they differ."),
            (_clip_at_one, "Matches were clipped at 1. A reference may have an n-gram twice."),
        ),
    ),
    "13.8": Exercise(
        "CIDEr of one n",
        10,
        2,
        _cider,
        _test_cider,
        (
            "First a dictionary of weights for each text: the count times the logarithm. "
            "`pictures.get(g, 0)` is 0 for an unknown n-gram, and then it counts like 1.",
            "The sum above the bar needs only n-grams that both have: `a.keys() & b.keys()`. "
            "`math.hypot(*values)` is the root of the sum of squares, of any number of them.",
        ),
        mistakes=(
            (_plain_cosine, "That is the plain cosine: the candidate's weights aren't clipped."),
            (_unweighted, "How many pictures have an n-gram was left out: all count the same."),
            (_share_not_log, "The logarithm is missing: the weight is c log(N / N_g)."),
            (_both_clipped, "Only the sum above the bar is clipped: the lengths are of all."),
            (_divided_by_sums, "The length |g| is the root of the sum of squares, not the sum."),
            (_counts_lost, "An n-gram that stands there twice weighs twice as much."),
            (_unknown_left_out, "An n-gram that no reference has counts too, as if one had it."),
            (_times_ten, "This is 10 times as much: the 10 comes later, with the mean over n."),
        ),
    ),
    "13.9": Exercise(
        "Advantages in a group",
        8,
        1,
        _advantages,
        _test_advantages,
        (
            "A caption is good if it got more than the other captions of the same picture.",
            "Each row has a mean of its own. `keepdim=True` keeps it as a column.",
        ),
        mistakes=(
            (_mean_of_all, "That is the mean over all pictures. Each group has its own."),
            (_mean_over_prompts, "That is the mean over pictures: a group is a row."),
            (_no_baseline, "Nothing was taken off: the group's mean is missing."),
            (_wrong_sign, "The sign is wrong: more reward than the mean is positive."),
            (
                _divided_without_eps,
                "Where all rewards of a group are equal, this is 0 / 0. And nothing is to be "
                "divided here.",
            ),
            (_divided, "That is GRPO's version, divided by the deviation; here nothing is."),
            (_sign_only, "How much more counts too, not only whether."),
            (_without_itself, "That is the mean of the others. Take the mean of the whole group."),
            (_median, "That is the median. Take the mean."),
        ),
    ),
    "13.10": Exercise(
        "Predict what it will say",
        2,
        1,
        30.0,
        prediction(0, 100, "%"),
        (
            "Before, about half of its captions tell a size. Telling one costs nothing if it is "
            "right. Is it always right?",
            "Which captions are the safest? Those that say the least.",
        ),
    ),
    "13.11": Exercise(
        "Which groups teach?",
        3,
        2,
        "b",
        choice(
            "b",
            {
                "a": "All eight rewards are 0, so all advantages are 0: nothing is punished.",
                "c": "All eight rewards are 1, so all advantages are 0: there is nothing to "
                "prefer.",
                "d": "Where all rewards of a group are equal, all of its advantages are 0.",
            },
        ),
        (
            "Compute the advantages of eight rewards that are all 0, and of eight that are all 1.",
            "An advantage is a difference from the group's mean. When is there one?",
        ),
        mistakes=(("a", ""), ("c", ""), ("d", "")),
    ),
}

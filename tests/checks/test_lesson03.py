"""Lesson 03's exercises: right answers written in another way pass, wrong ones are told why."""

import math

import pytest
import torch
import torch.nn.functional as F
from tokenizers import models

from course_utils.checks import check
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson03 import EXERCISES, VOCABULARY, WORDS, _wordpiece


def wordpiece_by_library(word, vocabulary):
    ids = {piece: i for i, piece in enumerate(["[UNK]", *sorted(vocabulary)])}
    return [token.value for token in models.WordPiece(ids, unk_token="[UNK]").tokenize(word)]


def wordpiece_by_recursion(word, vocabulary, mark=""):
    for end in range(len(word), 0, -1):
        if mark + word[:end] in vocabulary:
            rest = wordpiece_by_recursion(word[end:], vocabulary, "##") if word[end:] else ()
            return ("[UNK]",) if rest == ("[UNK]",) else (mark + word[:end], *rest)
    return ("[UNK]",)


def loss_by_pytorch(logits, x, mask):
    labels = torch.where(mask[:, 1:], x[:, 1:], -100)
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), labels, ignore_index=-100)


def loss_by_loop(logits, x, mask):
    losses = [
        logits[i, t].logsumexp(0) - logits[i, t, x[i, t + 1]]
        for i in range(len(x))
        for t in range(x.shape[1] - 1)
        if mask[i, t + 1]
    ]
    return sum(losses) / len(losses)


def perplexity_by_product(log_p, mask):
    return log_p[mask].double().exp().log().mean().neg().exp().item()


def perplexity_by_where(log_p, mask):
    return (-torch.where(mask, log_p, 0.0).sum() / mask.sum()).exp()


def generate_from_the_k_best(model, x, steps, temperature=1.0, top_k=None, generator=None):
    for _ in range(steps):
        logits = model(x)[:, -1]
        values, ids = logits.topk(top_k or logits.shape[-1])
        drawn = torch.multinomial((values / temperature).exp(), 1, generator=generator)
        x = torch.hstack([x, ids.gather(1, drawn)])
    return x


def generate_by_sums(model, x, steps, temperature=1.0, top_k=None, generator=None):
    texts = list(x.T)
    for _ in range(steps):
        p = F.softmax(model(torch.stack(texts, 1))[:, -1] / temperature, -1)
        if top_k:
            p = torch.where(p < p.sort(descending=True).values[:, top_k - 1, None], 0, p)
        sums = p.cumsum(1) / p.sum(1, keepdim=True)
        u = torch.rand(len(p), 1, generator=generator)
        texts.append((sums <= u).sum(1).clamp(max=p.shape[1] - 1))
    return torch.stack(texts, 1)


def corrupt_the_other_tenth(x, chosen, draws, others, mask_id):
    shown, labels = x.clone(), torch.full_like(x, -100)
    shown[chosen & (draws < 0.8)] = mask_id
    shown[chosen & (draws >= 0.9)] = others[chosen & (draws >= 0.9)]
    labels[chosen] = x[chosen]
    return shown, labels


def corrupt_by_loop(x, chosen, draws, others, mask_id):
    shown, labels = x.clone(), x.clone()
    for place in torch.cartesian_prod(*map(torch.arange, x.shape)):
        at = tuple(place.tolist())
        if not chosen[at]:
            labels[at] = -100
        elif draws[at] < 0.8:
            shown[at] = mask_id
        elif draws[at] < 0.9:
            shown[at] = others[at]
    return [shown, labels]


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("03.7", wordpiece_by_library),
        ("03.7", wordpiece_by_recursion),
        ("03.1", loss_by_pytorch),
        ("03.1", loss_by_loop),
        ("03.2", "B"),
        ("03.2", " b "),
        ("03.8", perplexity_by_product),
        ("03.8", perplexity_by_where),
        ("03.3", generate_from_the_k_best),
        ("03.3", generate_by_sums),
        ("03.4", "B"),
        ("03.5", corrupt_the_other_tenth),
        ("03.5", corrupt_by_loop),
        ("03.6", 0),
        ("03.6", 17.5),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "03.7": [
        "longest",
        "begins with ##",
        "as a whole",
        "not in the vocabulary",
        "never goes back",
        "piece with ##",
        "can't begin a word",
    ],
    "03.1": [
        "that it reads",
        "wrong way",
        "Padding was counted",
        "mask\\[:, 1:\\]",
        "minus the mean of log p",
        "aren't log p yet",
        "logarithm is missing",
        "the last axis",
        "one mean over all tokens",
        "a sum",
        "first token",
        "ids on axis 1",
        "0 may be the id",
    ],
    "03.2": ["below the entropy", "what this loss asks", "stays a guess"],
    "03.8": [
        "counted as tokens",
        "over texts",
        "sign is missing",
        "base is e",
        "That is the loss",
        "0 times infinity",
        "same weight",
        "divide by mask.sum",
        "isn't used",
        "same weight",
        "over texts",
    ],
    "03.3": [
        "you multiplied",
        "their ratios",
        "the last place",
        "only the last token",
        "`top_k` isn't used",
        "temperature isn't used",
        "exp\\(0\\) = 1",
        "k smallest",
        "last text's row",
        "the last axis",
        "Draw one",
        "only the new tokens",
        "same generator differ",
        "not an id",
        "those of text 0",
        "not that of text 0",
        "batch's least",
        "keep the second axis",
    ],
    "03.4": ["At 0.3", "At 1.5", "one sentence"],
    "03.5": [
        "Label 0",
        "must have the label -100",
        "Only chosen",
        "became the mask",
        "stay as they are",
        "not those shown",
        "overwrite",
        "stays as it is",
        "exchanged or kept",
        "~chosen",
        "results are exchanged",
    ],
}


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=f"(?i){NAMED[number][i]}"):
        check(number, wrong)


def test_every_known_mistake_is_tried_above():
    for number, exercise in EXERCISES.items():
        if number != "03.6":
            assert len(exercise.mistakes) == len(NAMED[number]) >= 3


@pytest.mark.parametrize("guess", [-1, 41, "few", True])
def test_a_prediction_must_be_a_possible_number(guess):
    with pytest.raises(Feedback):
        EXERCISES["03.6"].test(guess)


def test_the_words_try_every_path():
    pieces = [_wordpiece(word, VOCABULARY) for word in WORDS]
    assert ["[UNK]"] in pieces and any(len(p) > 2 for p in pieces) and ["circle"] in pieces


def test_a_reply_gives_only_reasons_that_hold(monkeypatch):
    """log p times the mask is right but for 0 times infinity: nothing else may be said of it."""
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    with pytest.raises(Feedback) as raised:
        check("03.8", lambda log_p, mask: (-(log_p * mask).sum() / mask.sum()).exp())
    assert "Or:" not in str(raised.value) and "weight" not in str(raised.value)


def test_answers_of_another_kind_are_named():
    with pytest.raises(Feedback, match="no gradient"):
        EXERCISES["03.1"].test(lambda *inputs: loss_by_pytorch(*inputs).detach())
    with pytest.raises(Feedback, match="two tensors"):
        EXERCISES["03.5"].test(lambda x, *rest: x)
    with pytest.raises(Feedback, match="too small"):
        EXERCISES["03.8"].test(lambda log_p, mask: math.e)
    with pytest.raises(Feedback, match="expected a function"):
        EXERCISES["03.3"].test(3)
    with pytest.raises(Feedback, match="are wrong"):
        EXERCISES["03.5"].test(lambda x, *rest: (x, x))

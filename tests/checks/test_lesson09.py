"""Lesson 09's exercises: right answers written in another way pass, and enough wrong ones fail."""

import pytest
import torch
from torch import nn

from course_utils.checks import check
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson09 import EXERCISES


def adamw_by_torch(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.01):
    p = nn.Parameter(w.clone())
    optimizer = torch.optim.AdamW([p], lr, (beta1, beta2), eps, decay)
    optimizer.state[p] = {
        "step": torch.tensor(float(t - 1)),
        "exp_avg": m.clone(),
        "exp_avg_sq": v.clone(),
    }
    p.grad = g
    optimizer.step()
    state = optimizer.state[p]
    return p.detach(), state["exp_avg"], state["exp_avg_sq"]


def decaying_by_modules(model):
    names = set()
    for place, module in model.named_modules():
        if not isinstance(module, nn.Embedding):
            names |= {
                f"{place}.{n}".lstrip(".")
                for n, p in module.named_parameters(recurse=False)
                if p.requires_grad and p.dim() >= 2
            }
    return sorted(names)


def steepest_by_loop(rates, losses):
    best, where = float("inf"), 0
    for i in range(int(losses.argmin())):
        slope = (losses[i + 1] - losses[i]) / torch.log10(rates[i + 1] / rates[i])
        if slope < best:
            best, where = slope, i
    return float(rates[where])


def early_by_counter(scores, patience):
    best, waited = 0, 0
    for epoch in range(1, len(scores)):
        waited += 1
        if scores[epoch] > scores[best]:
            best, waited = epoch, 0
        if waited == patience:
            return [epoch + 1, best]
    return [len(scores), best]


def ready_by_hand(model):
    for module in model.modules():
        module.training = module not in set(model.stem.modules())
    for p in model.stem.parameters():
        p.requires_grad = False
    return torch.optim.AdamW([*model.layers.parameters(), *model.head.parameters()], lr=1e-3)


def epoch_by_groups(model, batches, optimizer, schedule, accumulate):
    for start in range(0, len(batches), accumulate):
        optimizer.zero_grad()
        group = batches[start : start + accumulate]
        torch.stack([(model(x) - y).square().mean() for x, y in group]).mean().backward()
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("09.1", adamw_by_torch),
        ("09.2", decaying_by_modules),
        ("09.3", steepest_by_loop),
        ("09.4", early_by_counter),
        ("09.5", 0),
        ("09.5", 3.5),
        ("09.6", ready_by_hand),
        ("09.7", epoch_by_groups),
        ("09.8", 5),
        ("09.9", ["A", "C", "D", "E", "F", "G"]),
        ("09.9", "acdefg"),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "09.1": [
        "Adam with L2",
        "Nothing decays",
        "multiplied by the learning rate",
        "correction",
        "as they are kept",
        "root of v",
        "not under it",
        "Shrink w first",
        "eps isn't used",
    ],
    "09.2": [
        "Biases, norms and embeddings",
        "scale of a norm",
        "embedding is among",
        "frozen matrix",
        "other modules",
        "sit deeper",
    ],
    "09.3": [
        "lowest",
        "not of their logarithms",
        "evenly spaced",
        "larger of the two",
        "doesn't count",
        "cut one later",
        "A fall is negative",
    ],
    "09.4": [
        "last rise",
        "too many",
        "isn't a better",
        "not the number of the last",
        "never run",
        "begins anew",
        "don't begin at 0",
    ],
    "09.6": [
        "in train mode",
        "rest is in eval",
        "holds weights of the frozen",
        "in train mode",
        "still get gradients",
        "doesn't hold layers",
    ],
    "09.7": [
        "as it was",
        "belongs to the update",
        "isn't divided",
        "only the last one counts",
        "never zeroed",
        "count from 1",
        "step\\(\\) first",
        "pieces of one update",
    ],
    "09.8": [
        "float32 weights alone",
        "16-bit weights alone",
        "4 bytes are missing",
        "not 2",
        "count bits",
        "In billions",
        "2 bytes are missing",
        "gradient has 16",
    ],
    "09.9": ["Weights alone", "are lost", "best epoch", "made anew", "zeroed before"],
}


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=f"(?i){NAMED[number][i]}"):
        check(number, wrong)


def test_every_known_mistake_is_tried_above():
    for number, exercise in EXERCISES.items():
        if number != "09.5":
            assert len(exercise.mistakes) == len(NAMED[number]) >= 3


def dropout_on(model):
    """Batch normalisation in eval mode, dropout of the stem not."""
    model.stem.requires_grad_(False)
    model.train()
    model.stem[1].eval()
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)


def frozen_head(model):
    ready_by_hand(model)
    return torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=1e-3)


@pytest.mark.parametrize(
    ("number", "value", "message"),
    [
        ("09.1", lambda w, *rest: w, "new w, new m, new v"),
        ("09.2", lambda model: 3, "expected"),
        ("09.3", lambda rates, losses: rates, "shape"),
        ("09.4", lambda s, p: 3, "epochs run"),
        ("09.5", -1, "0 to 100"),
        ("09.6", lambda model: None, "optimiser back"),
        ("09.6", dropout_on, "still deletes"),
        ("09.6", frozen_head, "doesn't hold layers"),
        ("09.7", 3, "a function"),
        ("09.7", lambda *a: None, "moved 0 times"),
        ("09.8", "x", "number"),
        ("09.9", 7, "a set of letters"),
        ("09.9", {"a", "b", "z"}, "should not be there"),
    ],
)
def test_answers_of_another_kind_are_told_so(number, value, message):
    with pytest.raises(Feedback, match=message):
        EXERCISES[number].test(value)

"""Lesson 09's exercises: right answers written in another way pass, and enough wrong ones fail."""

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.checks import check
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson09 import EXERCISES
from course_utils.training.fit import FitConfig, fit, parameter_groups


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
    words = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    for place, module in model.named_modules():
        if not isinstance(module, nn.Embedding | nn.EmbeddingBag | nn.LayerNorm):
            tables = module.no_weight_decay() if hasattr(module, "no_weight_decay") else ()
            names |= {
                f"{place}.{n}".lstrip(".")
                for n, p in module.named_parameters(recurse=False)
                if p.requires_grad and p.dim() >= 2 and n not in tables and id(p) not in words
            }
    return sorted(names)


def decaying_by_the_package(model):
    if not any(p.requires_grad for p in model.parameters()):
        return frozenset()
    names = {id(p): name for name, p in model.named_parameters()}
    groups = parameter_groups(model, 0.1)
    return frozenset(
        names[id(p)] for group in groups for p in group["params"] if group["weight_decay"]
    )


def steepest_by_loop(rates, losses):
    best, where = float("inf"), 0
    bad = (~losses.isfinite()).nonzero()
    losses = losses[: int(bad[0])] if len(bad) else losses
    for i in range(int(losses.argmin())):
        slope = (losses[i + 1] - losses[i]) / torch.log10(rates[i + 1] / rates[i])
        if slope < best:
            best, where = slope, i
    return float(rates[where])


def early_by_counter(scores, patience):
    best, waited = None, 0
    for epoch, score in enumerate(scores):
        waited += 1
        if score == score and (best is None or score > scores[best]):
            best, waited = epoch, 0
        if patience > 0 and waited == patience:
            return [epoch + 1, -1 if best is None else np.int64(best)]
    return [len(scores), -1 if best is None else best]


class Told:
    """What `fit` does with such scores."""

    def __init__(self, scores, patience):
        model = nn.Linear(1, 1)
        given = iter(scores)
        batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(1, 1)))
        config = FitConfig(epochs=len(scores), patience=patience)
        self.history = fit(
            model,
            lambda m, batch: m(batch[0]).sum(),
            batches,
            lambda m: next(given),
            config,
            device="cpu",
            progress=False,
        )


def early_by_fit(scores, patience):
    if not scores:
        return 0, -1
    history = Told(scores, patience).history
    return len(history.score), history.best_epoch


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
        ("09.2", adamw_by_torch),
        ("09.1", 60),
        ("09.3", decaying_by_modules),
        ("09.3", decaying_by_the_package),
        ("09.4", 1),
        ("09.4", 0.1),
        ("09.5", steepest_by_loop),
        ("09.6", early_by_counter),
        ("09.6", early_by_fit),
        ("09.7", 0),
        ("09.7", 3.5),
        ("09.9", ready_by_hand),
        ("09.10", epoch_by_groups),
        ("09.8", " B "),
        ("09.11", ["A", "C", "D", "E", "F", "G", "I"]),
        ("09.11", "acdefgi"),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "09.2": [
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
    "09.3": [
        "Biases, norms and tables",
        "Tables are among",
        "aren't the only tables",
        "EmbeddingBag is among",
        "without dimensions",
        "over two dimensions",
        "module names in",
        "scale of a norm",
        "Embeddings are among",
        "frozen matrix",
        "other modules",
        "sit deeper",
        "may be called the same",
        "that two layers share",
    ],
    "09.5": [
        "takes nan for the smallest",
        "a number either",
        "not its logarithm",
        "lowest",
        "not of their logarithms",
        "not by the ratio",
        "evenly spaced",
        "larger of the two",
        "doesn't count",
        "cut one later",
        "A fall is negative",
    ],
    "09.6": [
        "last rise",
        "too many",
        "isn't a better",
        "not the number of the last",
        "never run",
        "begins anew",
        "never stops early",
        "isn't the best",
        "never the best",
        "best is -1",
        "don't begin at 0",
    ],
    "09.9": [
        "in train mode",
        "rest is in eval",
        "holds weights of the frozen",
        "in train mode",
        "still get gradients",
        "doesn't hold layers",
    ],
    "09.10": [
        "as it was",
        "belongs to the update",
        "isn't divided",
        "only the last one counts",
        "never zeroed",
        "count from 1",
        "step\\(\\) first",
        "pieces of one update",
    ],
    "09.8": ["from the runs", "same 300 questions", "in both kinds"],
    "09.11": [
        "Weights alone",
        "are lost",
        "best epoch",
        "made anew",
        "zeroed before",
        "Other versions",
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
        if number not in ("09.1", "09.4", "09.7"):  # predictions
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


def root_in_eval(model):
    model.stem.requires_grad_(False)
    model.eval()
    model.layers.train()
    model.head.train()
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)


def zeroes_after_updates(model, batches, optimizer, schedule, accumulate):
    for number, (x, y) in enumerate(batches, start=1):
        ((model(x) - y).square().mean() / accumulate).backward()
        if number % accumulate == 0:
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


def test_a_rate_that_is_half_as_large_again_is_not_close():
    with pytest.raises(Feedback) as told:
        EXERCISES["09.5"].test(lambda rates, losses: 1.5 * steepest_by_loop(rates, losses))
    assert "close" not in str(told.value)


@pytest.mark.parametrize("letters", ["acdefg", "G, F, E, D, C, A", list("acdefg"), set("acdefg")])
def test_letters_are_told_what_is_missing_however_they_are_written(letters):
    with pytest.raises(Feedback, match="Other versions") as told:
        EXERCISES["09.11"].test(letters)
    assert str(told.value).count("Other versions") == 1


@pytest.mark.parametrize(
    ("number", "value", "message"),
    [
        ("09.2", lambda w, *rest: w, "new w, new m, new v"),
        ("09.3", lambda model: 3, "expected"),
        ("09.5", lambda rates, losses: rates, "shape"),
        ("09.6", lambda s, p: 3, "epochs run"),
        ("09.7", -1, "0 to 100"),
        ("09.9", lambda model: None, "optimiser back"),
        ("09.9", lambda model: model, "optimiser back, got a model"),
        ("09.9", root_in_eval, "`model` itself is in eval mode"),
        ("09.10", zeroes_after_updates, "left over from before"),
        ("09.9", dropout_on, "still deletes"),
        ("09.9", frozen_head, "doesn't hold layers"),
        ("09.10", 3, "a function"),
        ("09.10", lambda *a: None, "moved 0 times"),
        ("09.1", -1, "0 to 10000"),
        ("09.4", "lower", "a number from"),
        ("09.8", "x", "expected one of"),
        ("09.11", 7, "a set of letters"),
        ("09.11", {"a", "b", "z"}, "should not be there"),
    ],
)
def test_answers_of_another_kind_are_told_so(number, value, message):
    with pytest.raises(Feedback, match=message):
        EXERCISES[number].test(value)

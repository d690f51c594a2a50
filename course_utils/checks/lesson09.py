"""Lesson 09: training well."""

import re
import warnings

import torch
import torch.nn.functional as F
from torch import nn

from course_utils.checks.feedback import (
    Exercise,
    Feedback,
    alike,
    call,
    compare,
    kind,
    prediction,
    value,
)


def _draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# 09.1 AdamW


def _adamw(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.01):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    step = (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + eps)
    return w * (1 - lr * decay) - lr * step, m, v


def _l2(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.01):
    return _adamw(w, g + decay * w, m, v, t, lr, beta1, beta2, eps, 0.0)


def _no_decay(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.01):
    return _adamw(w, g, m, v, t, lr, beta1, beta2, eps, 0.0)


def _decay_without_rate(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.01):
    return _adamw(w, g, m, v, t, lr, beta1, beta2, eps, decay / lr)


def _uncorrected(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.01):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return w * (1 - lr * decay) - lr * m / (v.sqrt() + eps), m, v


def _returns_corrected(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.01):
    new, m, v = _adamw(w, g, m, v, t, lr, beta1, beta2, eps, decay)
    return new, m / (1 - beta1**t), v / (1 - beta2**t)


def _no_root(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.01):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return w * (1 - lr * decay) - lr * (m / (1 - beta1**t)) / (v / (1 - beta2**t) + eps), m, v


def _eps_inside(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.01):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    step = (m / (1 - beta1**t)) / (v / (1 - beta2**t) + eps).sqrt()
    return w * (1 - lr * decay) - lr * step, m, v


def _decay_last(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.01):
    new, m, v = _adamw(w, g, m, v, t, lr, beta1, beta2, eps, 0.0)
    return new * (1 - lr * decay), m, v


def _no_eps(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.01):
    return _adamw(w, g, m, v, t, lr, beta1, beta2, 0.0, decay)


def _test_adamw(function):
    for seed, shape in enumerate(((3,), (2, 4))):
        w, m, v = _draw(seed, *shape), torch.zeros(shape), torch.zeros(shape)
        for t in (1, 2, 3):
            g = _draw(10 * seed + t, *shape)
            want = _adamw(w, g, m, v, t, 0.05, 0.8, 0.95, 0.1, 0.3)  # an eps that can't hide
            got = call(function, w, g, m, v, t, 0.05, 0.8, 0.95, 0.1, 0.3)
            if not isinstance(got, tuple) or len(got) != 3:
                raise Feedback(f"expected (new w, new m, new v), got {kind(got)}.")
            for name, one, other in zip(
                "mvw", (got[1], got[2], got[0]), (want[1], want[2], want[0])
            ):
                compare(one, other, f"{name} after step {t}")
            w, m, v = want


# 09.2 decay groups


class _Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.conv = nn.Embedding(5, 4), nn.Conv1d(4, 4, 3)
        self.norm, self.frozen = nn.LayerNorm(4), nn.Linear(4, 4).requires_grad_(False)
        self.head, self.mix = nn.Linear(4, 2), nn.Parameter(torch.zeros(6, 4))


def _decaying(model):
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    return {
        n
        for n, p in model.named_parameters()
        if p.requires_grad and p.ndim > 1 and id(p) not in tables
    }


def _everything(model):
    return {n for n, p in model.named_parameters() if p.requires_grad}


def _by_name(model):
    return {n for n, p in model.named_parameters() if p.requires_grad and n.endswith("weight")}


def _with_embeddings(model):
    return {n for n, p in model.named_parameters() if p.requires_grad and p.ndim > 1}


def _with_frozen(model):
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    return {n for n, p in model.named_parameters() if p.ndim > 1 and id(p) not in tables}


def _linear_only(model):
    return {
        f"{n}.weight"
        for n, m in model.named_modules()
        if isinstance(m, nn.Linear) and m.weight.requires_grad
    }


def _own_children(model):
    tables = {id(m.weight) for m in model.children() if isinstance(m, nn.Embedding)}
    return {
        n
        for n, p in model.named_parameters()
        if p.requires_grad and p.ndim > 1 and id(p) not in tables
    }


def _test_decaying(function):
    nested = nn.Sequential(nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 2)), nn.Linear(2, 3))
    for model in (
        _Model(),
        nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 2), nn.LayerNorm(2)),
        nested,
    ):
        got = call(function, model)
        if isinstance(got, list | tuple | set) and not all(isinstance(name, str) for name in got):
            raise Feedback("expected a set of names: texts such as 'conv.weight'.")
        if isinstance(got, list | tuple):
            got = set(got)
        compare(got, _decaying(model), "the names")


# 09.3 the range test


def _steepest(rates, losses):
    end = int(losses.argmin()) + 1
    slopes = losses[:end].diff() / rates[:end].log().diff()
    return rates[int(slopes.argmin())].item()


def _lowest_loss(rates, losses):
    return rates[int(losses.argmin())].item()


def _per_rate(rates, losses):
    end = int(losses.argmin()) + 1
    return rates[int((losses[:end].diff() / rates[:end].diff()).argmin())].item()


def _per_entry(rates, losses):
    end = int(losses.argmin()) + 1
    return rates[int(losses[:end].diff().argmin())].item()


def _upper_end(rates, losses):
    end = int(losses.argmin()) + 1
    return rates[int((losses[:end].diff() / rates[:end].log().diff()).argmin()) + 1].item()


def _whole_curve(rates, losses):
    return rates[int((losses.diff() / rates.log().diff()).argmin())].item()


def _without_the_lowest(rates, losses):
    end = int(losses.argmin())
    return rates[int((losses[:end].diff() / rates[:end].log().diff()).argmin())].item()


def _largest_size(rates, losses):
    end = int(losses.argmin()) + 1
    return rates[int((losses[:end].diff() / rates[:end].log().diff()).abs().argmax())].item()


def _test_steepest(function):
    cases = (  # the second falls steeply once more behind its lowest loss
        ([1e-4, 1e-3, 2e-3, 1e-2, 3e-2, 1e-1], [3.0, 2.9, 2.6, 1.4, 1.2, 4.0]),
        ([1e-4, 1e-3, 1e-2, 2e-2, 1e-1, 1.0, 1.1], [3.0, 2.8, 2.0, 1.5, 1.4, 9.0, 5.0]),
        # rises first, and falls fastest in the step to its lowest loss
        ([1e-4, 2e-4, 1e-3, 1e-2, 3e-2, 1e-1], [2.0, 4.0, 3.9, 3.4, 1.9, 5.0]),
    )
    for rates, losses in cases:
        rates, losses = torch.tensor(rates), torch.tensor(losses)
        got = call(function, rates, losses)
        got = got.item() if isinstance(got, torch.Tensor) and got.numel() == 1 else got
        compare(got, _steepest(rates, losses), "the rate")


# 09.4 patience


def _early(scores, patience):
    best = 0
    for epoch, score in enumerate(scores):
        if score > scores[best]:
            best = epoch
        elif epoch - best >= patience:
            return epoch + 1, best
    return len(scores), best


def _since_last_rise(scores, patience):
    best, waited = 0, 0
    for epoch in range(1, len(scores)):
        waited = 0 if scores[epoch] > scores[epoch - 1] else waited + 1
        best = epoch if scores[epoch] > scores[best] else best
        if waited >= patience:
            return epoch + 1, best
    return len(scores), best


def _one_late(scores, patience):
    return _early(scores, patience + 1)


def _tie_is_better(scores, patience):
    best = 0
    for epoch, score in enumerate(scores):
        if score >= scores[best]:
            best = epoch
        elif epoch - best >= patience:
            return epoch + 1, best
    return len(scores), best


def _last_epoch_number(scores, patience):
    run, best = _early(scores, patience)
    return run - 1, best


def _best_of_all(scores, patience):
    return _early(scores, patience)[0], max(range(len(scores)), key=lambda i: scores[i])


def _never_anew(scores, patience):
    best, waited = 0, 0
    for epoch in range(1, len(scores)):
        if scores[epoch] > scores[best]:
            best = epoch
        else:
            waited += 1
        if waited >= patience:
            return epoch + 1, best
    return len(scores), best


def _from_zero(scores, patience):
    best_score, best = 0.0, 0
    for epoch, score in enumerate(scores):
        if score > best_score:
            best_score, best = score, epoch
        elif epoch - best >= patience:
            return epoch + 1, best
    return len(scores), best


def _test_early(function):
    for scores, patience in (
        ([0.1, 0.4, 0.3, 0.35, 0.36, 0.2, 0.9], 3),
        ([0.5, 0.5, 0.5, 0.5], 2),
        ([0.2, 0.3, 0.25, 0.4, 0.1], 2),
        ([0.3], 1),
        ([0.2, 0.3, 0.25, 0.4, 0.35, 0.5, 0.1], 2),  # the wait begins anew
        ([-0.9, -0.5, -0.6, -0.7, -0.2], 2),  # scores may be negative
        ([0.5, 0.51, 0.5, 0.5], 2),
    ):
        got = call(function, scores, patience)
        if not isinstance(got, list | tuple) or len(got) != 2:
            raise Feedback(f"expected (epochs run, best epoch), got {kind(got)}.")
        compare(tuple(got), _early(scores, patience), f"scores {scores}, patience {patience}")


# 09.6 frozen is two things


class _Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.layers = nn.Conv2d(4, 4, 1)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 2))

    def forward(self, images):
        return self.head(self.layers(self.stem(images)))


def _ready(model):
    model.stem.requires_grad_(False)
    model.train()
    model.stem.eval()
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)


def _stem_trains(model):
    model.stem.requires_grad_(False)
    model.train()
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)


def _all_in_eval(model):
    model.stem.requires_grad_(False)
    model.eval()
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)


def _holds_frozen(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.stem.requires_grad_(False)
    model.train()
    model.stem.eval()
    return optimizer


def _eval_first(model):
    model.stem.requires_grad_(False)
    model.stem.eval()
    model.train()
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)


def _only_eval(model):
    model.train()
    model.stem.eval()
    return torch.optim.AdamW(model.parameters(), lr=1e-3)


def _head_only(model):
    _ready(model)
    return torch.optim.AdamW(model.head.parameters(), lr=1e-3)


def _test_ready(function):
    if not callable(function):
        raise Feedback(f"expected a function, got {kind(function)}.")
    torch.manual_seed(0)
    model = _Frozen()
    model.eval()
    stem = model.stem
    # not through `call`, which hands a copy over: this function is to change the model
    optimizer = function(model)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise Feedback(f"expected an optimiser back, got {kind(optimizer)}.")
    if not isinstance(optimizer, torch.optim.AdamW) or any(
        group["lr"] != 1e-3 for group in optimizer.param_groups
    ):
        raise Feedback("leave the optimiser what it was: AdamW with lr=1e-3.")
    if any(p.requires_grad for p in stem.parameters()):
        raise Feedback("the stem's weights still get gradients.")
    rest = {n: p for n, p in model.named_parameters() if not n.startswith("stem.")}
    if not all(p.requires_grad for p in rest.values()):
        raise Feedback("more than the stem is frozen.")
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    missing = [name for name, p in rest.items() if id(p) not in held]
    if missing:
        raise Feedback(f"the optimiser doesn't hold {', '.join(missing)}.")
    if held & {id(p) for p in stem.parameters()}:
        raise Feedback("the optimiser also holds weights of the frozen stem.")
    before = {name: value.clone() for name, value in stem.state_dict().items()}
    model(_draw(0, 4, 3, 4, 4)).square().mean().backward()
    optimizer.step()
    if not all(torch.equal(value, before[name]) for name, value in stem.state_dict().items()):
        raise Feedback(
            "after one update the stem's running statistics have moved: it is in train mode."
        )
    if any(m.training for m in stem.modules()):
        raise Feedback("a part of the stem is in train mode: its dropout still deletes.")
    if not (model.layers.training and model.head.training and model.head[1].training):
        raise Feedback("a part of the rest is in eval mode: its dropout is off while it learns.")


# 09.7 accumulation


def _epoch(model, batches, optimizer, schedule, accumulate):
    optimizer.zero_grad()
    for number, (x, y) in enumerate(batches, start=1):
        (F.mse_loss(model(x), y) / accumulate).backward()
        if number % accumulate == 0:
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


def _as_given(model, batches, optimizer, schedule, accumulate):
    for x, y in batches:
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()
        schedule.step()


def _schedule_each_batch(model, batches, optimizer, schedule, accumulate):
    for number, (x, y) in enumerate(batches, start=1):
        (F.mse_loss(model(x), y) / accumulate).backward()
        if number % accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
        schedule.step()


def _not_divided(model, batches, optimizer, schedule, accumulate):
    for number, (x, y) in enumerate(batches, start=1):
        F.mse_loss(model(x), y).backward()
        if number % accumulate == 0:
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


def _zeroed_each_batch(model, batches, optimizer, schedule, accumulate):
    for number, (x, y) in enumerate(batches, start=1):
        optimizer.zero_grad()
        (F.mse_loss(model(x), y) / accumulate).backward()
        if number % accumulate == 0:
            optimizer.step()
            schedule.step()


def _never_zeroed(model, batches, optimizer, schedule, accumulate):
    for number, (x, y) in enumerate(batches, start=1):
        (F.mse_loss(model(x), y) / accumulate).backward()
        if number % accumulate == 0:
            optimizer.step()
            schedule.step()


def _counted_from_0(model, batches, optimizer, schedule, accumulate):
    for number, (x, y) in enumerate(batches):
        (F.mse_loss(model(x), y) / accumulate).backward()
        if number % accumulate == 0:
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


def _schedule_first(model, batches, optimizer, schedule, accumulate):
    for number, (x, y) in enumerate(batches, start=1):
        (F.mse_loss(model(x), y) / accumulate).backward()
        if number % accumulate == 0:
            schedule.step()
            optimizer.step()
            optimizer.zero_grad()


def _by_all_batches(model, batches, optimizer, schedule, accumulate):
    for number, (x, y) in enumerate(batches, start=1):
        (F.mse_loss(model(x), y) / len(batches)).backward()
        if number % accumulate == 0:
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


def _epoch_result(function, accumulate=2):
    """Weights and position of the schedule after an epoch of six batches."""
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    x = _draw(1, 24, 3)
    batches = list(zip(x.split(4), x.sum(1, keepdim=True).split(4)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of a schedule that is moved before a step
        function(model, batches, optimizer, schedule, accumulate)
    weights = torch.cat([model.weight.detach().flatten(), model.bias.detach()])
    return weights, schedule.last_epoch


_EPOCH_MISTAKES = (
    (_as_given, "That is the loop as it was: an update for every batch."),
    (_schedule_each_batch, "The schedule is moved on for every batch: it belongs to the update."),
    (_not_divided, "The loss isn't divided by `accumulate`: gradients add up, they don't average."),
    (_zeroed_each_batch, "Gradients are zeroed for every batch, so only the last one counts."),
    (_never_zeroed, "Gradients are never zeroed after an update: old ones go on acting."),
    (
        _counted_from_0,
        "The first update comes after one batch: count from 1, or ask for "
        "(number + 1) % accumulate.",
    ),
    (_schedule_first, "The schedule moves before the update: optimizer.step() first."),
    (_by_all_batches, "Divide by the pieces of one update, `accumulate`, not by all batches."),
)


def _test_epoch(function):
    # not through `call`, which hands copies over: this function is to change the model
    if not callable(function):
        raise Feedback(f"expected a function, got {kind(function)}.")
    for accumulate in (2, 3):
        got, want = _epoch_result(function, accumulate), _epoch_result(_epoch, accumulate)
        for mistake, told in _EPOCH_MISTAKES:
            wrong = _epoch_result(mistake, accumulate)
            if alike(got[0], wrong[0]) and got[1] == wrong[1]:
                raise Feedback(told)
        if got[1] != want[1]:
            raise Feedback(
                f"after six batches with accumulate={accumulate} the schedule was moved "
                f"{got[1]} times, expected {want[1]}."
            )
        compare(got[0], want[0], f"the weights after six batches with accumulate={accumulate}")


EXERCISES = {
    "09.1": Exercise(
        "A step of AdamW",
        15,
        2,
        _adamw,
        _test_adamw,
        (
            "Four lines: shrink w by 1 - lr * decay; the two running means; their corrections; the "
            "step. g is used as it is, the decay doesn't go into it.",
            "m = beta1 * m + (1 - beta1) * g; v likewise with g**2; then w * (1 - lr * decay) - "
            "lr * "
            "m_hat / (v_hat.sqrt() + eps). Return m and v uncorrected.",
        ),
        mistakes=(
            (_l2, "The decay goes through the gradient: that is Adam with L2, not AdamW."),
            (_no_decay, "Nothing decays: w isn't multiplied by 1 - lr * decay."),
            (_decay_without_rate, "The decay has to be multiplied by the learning rate."),
            (_uncorrected, "The bias correction by 1 - beta**t is missing."),
            (
                _returns_corrected,
                "Return m and v as they are kept; corrected is only what the step uses.",
            ),
            (_no_root, "The step is divided by the root of v, not by v."),
            (_eps_inside, "eps is added to the root, not under it."),
            (_decay_last, "Shrink w first, then take the step."),
            (_no_eps, "eps isn't used."),
        ),
    ),
    "09.2": Exercise(
        "What should decay",
        10,
        2,
        _decaying,
        _test_decaying,
        (
            "Biases and the weights of norms have one dimension. Embeddings have two: find them by "
            "their module.",
            "Collect id(m.weight) of every nn.Embedding; keep names of parameters that need a "
            "gradient, "
            "have ndim > 1 and aren't among those.",
        ),
        mistakes=(
            (_everything, "Biases, norms and embeddings shouldn't decay."),
            (
                _by_name,
                "The scale of a norm is called weight too: ask for the number of dimensions.",
            ),
            (
                _with_embeddings,
                "The embedding is among them: it has two dimensions, but shouldn't decay.",
            ),
            (_with_frozen, "A frozen matrix is among them: it isn't trained at all."),
            (_linear_only, "Matrices of other modules (convolutions, bare parameters) decay too."),
            (_own_children, "An embedding may sit deeper: look through model.modules()."),
        ),
    ),
    "09.3": Exercise(
        "The range test",
        12,
        2,
        _steepest,
        _test_steepest,
        (
            "Cut both at the lowest loss. Differences of neighbours: tensor.diff(). Divide by "
            "those of "
            "rates.log().",
            "Slopes of neighbours up to the lowest loss, then argmin: which of the two rates has "
            "that index?",
        ),
        mistakes=(
            (
                _lowest_loss,
                "That is where the loss is lowest, the edge of what works, not where it falls.",
            ),
            (_per_rate, "You divide by the difference of the rates, not of their logarithms."),
            (
                _per_entry,
                "The rates aren't evenly spaced: divide by the difference of their logarithms.",
            ),
            (_upper_end, "That is the larger of the two rates."),
            (_whole_curve, "What comes after the lowest loss doesn't count: there it jumps about."),
            (_without_the_lowest, "The lowest loss itself still belongs to it: cut one later."),
            (_largest_size, "A fall is negative: take the lowest slope, not the largest size."),
        ),
    ),
    "09.4": Exercise(
        "Patience",
        10,
        2,
        _early,
        _test_early,
        (
            "Go through the epochs and remember the best so far. When is an epoch the last one?",
            "If score > best score: new best. Otherwise, if epoch - best >= patience: return "
            "epoch + 1, "
            "best.",
        ),
        mistakes=(
            (_since_last_rise, "Patience counts from the best epoch, not from the last rise."),
            (_one_late, "That is one epoch too many."),
            (_tie_is_better, "An equal score isn't a better one."),
            (_last_epoch_number, "Return how many epochs were run, not the number of the last."),
            (_best_of_all, "You look at scores of epochs that are never run."),
            (_never_anew, "The wait begins anew with each better epoch."),
            (_from_zero, "Scores may be negative (minus a loss): don't begin at 0."),
        ),
    ),
    "09.5": Exercise(
        "Predict the flattery",
        3,
        1,
        2.0,
        prediction(0, 100, "points"),
        (
            "Any number of points is an answer.",
            "A score on 300 questions has a standard error of some three points; 100 runs are "
            "tried, which "
            "share the questions.",
        ),
    ),
    "09.6": Exercise(
        "Frozen is two things",
        10,
        2,
        _ready,
        _test_ready,
        (
            "train() reaches every part. Which part should not be in train mode? And what should "
            "the "
            "optimiser hold?",
            "Freeze; model.train(); model.stem.eval(); then an AdamW of the parameters with "
            "requires_grad.",
        ),
        mistakes=(
            (_stem_trains, ""),
            (_all_in_eval, ""),
            (_holds_frozen, ""),
            (_eval_first, ""),
            (_only_eval, ""),
            (_head_only, ""),
        ),
    ),
    "09.7": Exercise(
        "Accumulation, mended",
        15,
        3,
        _epoch,
        _test_epoch,
        (
            "Which of the four lines belong to a batch, and which to an update? What is the "
            "gradient of a "
            "sum of losses, and what should it be?",
            "Divide the loss by accumulate; step, schedule and zero_grad only when number % "
            "accumulate == "
            "0, counted from 1; one zero_grad before the loop.",
        ),
        mistakes=tuple((mistake, "") for mistake, _ in _EPOCH_MISTAKES),
    ),
    "09.8": Exercise(
        "How many weights fit",
        5,
        2,
        5.0,
        value(5.0, "billions of weights"),
        (
            "How many bytes does one weight need, all in all?",
            "2 + 2 + 4 + 4 + 4 bytes; 80 divided by that.",
        ),
        mistakes=(
            (20.0, "That is float32 weights alone: there are gradient, m and v as well."),
            (40.0, "That is 16-bit weights alone."),
            (
                80 / 12,
                "Somewhere 4 bytes are missing: 16-bit weight and gradient, and three "
                "numbers of 32.",
            ),
            (10.0, "32 bits are 4 bytes, not 2."),
            (0.625, "You count bits: 8 of them are a byte."),
            (5e9, "In billions: divide by 10^9."),
            (80 / 14, "2 bytes are missing: weight and gradient have 2 each."),
            (4.0, "The gradient has 16 bits here."),
        ),
    ),
    "09.9": Exercise(
        "What belongs into the file",
        5,
        2,
        frozenset("acdefg"),
        lambda answer: _test_file(answer),
        (
            "What does an update read that the one before it wrote? And what does early stopping "
            "need besides?",
            "What an update makes anew needn't be kept: two of the eight.",
        ),
        mistakes=(
            ({"a"}, "Weights alone: the optimiser begins anew, and so do schedule and order."),
            ({"a", "c"}, "Schedule, random numbers, order and the best score are lost."),
            ({"a", "c", "d", "e", "f"}, "Early stopping forgets the best epoch and its weights."),
            (set("abcdefgh"), "Gradients and activations are made anew in every update."),
            (set("abcdefg"), "Gradients are zeroed before the next update: they needn't be kept."),
        ),
    ),
}


def _test_file(answer):
    if isinstance(answer, str):
        answer = set(re.findall("[a-z]", answer.lower()))
    if not isinstance(answer, set | frozenset | list | tuple):
        raise Feedback(f"expected a set of letters, got {kind(answer)}.")
    compare({str(letter).strip().lower() for letter in answer}, set("acdefg"), "the letters")

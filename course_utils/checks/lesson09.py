"""Lesson 09: training well."""

import math
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
    choice,
    compare,
    kind,
    prediction,
)


def _draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# 09.2 AdamW


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
    outcomes = []
    for seed, shape in enumerate(((3,), (2, 4))):
        w, m, v = _draw(seed, *shape), torch.zeros(shape), torch.zeros(shape)
        for t in (1, 2, 3):
            g = _draw(10 * seed + t, *shape)
            g[..., 0] = 0  # a weight that never gets a gradient decays all the same
            given = (w, g, m, v, t, 0.05, 0.8, 0.95, 0.1, 0.3)  # an eps that can't hide
            want = _adamw(*given)
            outcomes.append((t, call(function, *given), want))
            w, m, v = want
    for t, got, want in outcomes:
        if not isinstance(got, list | tuple) or len(got) != 3:
            raise Feedback(f"expected (new w, new m, new v), got {kind(got)}.")
        for name, one, other in zip("mvw", (got[1], got[2], got[0]), (want[1], want[2], want[0])):
            compare(one, other, f"{name} after step {t}")


# 09.3 decay groups


class _Patches(nn.Module):
    """As a ViT has it: tables that are bare parameters, and a method that names them."""

    def __init__(self):
        super().__init__()
        self.cls, self.position = nn.Parameter(torch.zeros(1, 1, 4)), nn.Parameter(torch.ones(6, 4))
        self.mix = nn.Parameter(torch.ones(4, 4))

    def no_weight_decay(self):
        return {"cls", "position"}


class _Tied(nn.Module):
    """An output layer that uses the table of words."""

    def __init__(self):
        super().__init__()
        self.words, self.hidden, self.out = nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 5)
        self.out.weight = self.words.weight


class _Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.bag = nn.Embedding(5, 4), nn.EmbeddingBag(5, 4)
        self.conv, self.norm, self.norm2 = nn.Conv1d(4, 4, 3), nn.LayerNorm(4), nn.LayerNorm([2, 4])
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.head, self.mix = nn.Linear(4, 2), nn.Parameter(torch.zeros(6, 4))
        self.scale = nn.Parameter(torch.zeros(()))  # without dimensions
        self.position = nn.Parameter(torch.zeros(3, 3))  # which only another module's table is
        self.below = nn.Sequential(nn.Embedding(3, 2), _Patches(), nn.Linear(2, 2))


def _kept(model, kinds=(nn.Embedding, nn.EmbeddingBag, nn.LayerNorm), named=True, modules=None):
    """The ids of tables and norms."""
    found = set()
    for module in model.modules() if modules is None else modules:
        if isinstance(module, kinds):
            found |= {id(p) for p in module.parameters(recurse=False)}
        if named and hasattr(module, "no_weight_decay"):
            found |= {id(module.get_parameter(name)) for name in module.no_weight_decay()}
    return found


def _decaying(model, few=lambda p: p.ndim > 1, frozen=False, **changes):
    kept = _kept(model, **changes)
    return {
        n
        for n, p in model.named_parameters()
        if (p.requires_grad or frozen) and few(p) and id(p) not in kept
    }


def _everything(model):
    return {n for n, p in model.named_parameters() if p.requires_grad}


def _by_name(model):
    return {n for n, p in model.named_parameters() if p.requires_grad and n.endswith("weight")}


def _matrices(model):
    return {n for n, p in model.named_parameters() if p.requires_grad and p.ndim > 1}


def _with_embeddings(model):
    return _decaying(model, kinds=(nn.LayerNorm,))


def _with_bags(model):
    return _decaying(model, kinds=(nn.Embedding, nn.LayerNorm))


def _with_frozen(model):
    return _decaying(model, frozen=True)


def _scalars(model):
    return _decaying(model, few=lambda p: p.ndim != 1)


def _norm_of_two(model):
    return _decaying(model, kinds=(nn.Embedding, nn.EmbeddingBag))


def _positions(model):
    return _decaying(model, named=False)


def _only_embeddings(model):
    return _decaying(model, kinds=(nn.Embedding,), named=False)


def _linear_only(model):
    return {
        f"{n}.weight"
        for n, m in model.named_modules()
        if isinstance(m, nn.Linear) and m.weight.requires_grad
    }


def _own_children(model):
    return _decaying(model, modules=[model, *model.children()])


def _last_part(model):
    named = [m.no_weight_decay() for m in model.modules() if hasattr(m, "no_weight_decay")]
    tables = set().union(*named)
    return {n for n in _decaying(model, named=False) if n.split(".")[-1] not in tables}


def _tied_decays(model):
    found = set()
    for place, module in model.named_modules():
        kept = _kept(model, modules=[module])
        for name, p in module.named_parameters(recurse=False):
            if p.requires_grad and p.ndim > 1 and id(p) not in kept:
                found.add(f"{place}.{name}".lstrip("."))
    return found


def _test_decaying(function):
    bare = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)).requires_grad_(False)
    plain = nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 2))
    models = (_Model(), plain, _Patches(), _Tied(), bare)
    outcomes = [call(function, model) for model in models]
    for model, got in zip(models, outcomes):
        names = got if isinstance(got, list | tuple | set | frozenset) else ()
        if not all(isinstance(name, str) for name in names):
            raise Feedback("expected a set of names: texts such as 'conv.weight'.")
        if isinstance(got, list | tuple | frozenset):
            got = set(got)
        compare(got, _decaying(model), f"the names of {type(model).__name__}")


# 09.5 the range test


def _until_it_explodes(losses):
    """How many losses stand before the first that isn't finite."""
    return int(losses.isfinite().long().cumprod(0).sum())


def _steepest(rates, losses):
    losses = losses[: _until_it_explodes(losses)]
    end = int(losses.argmin()) + 1
    slopes = losses[:end].diff() / rates[:end].log().diff()
    return rates[int(slopes.argmin())].item()


def _nan_is_lowest(rates, losses):
    end = int(losses.argmin()) + 1
    slopes = losses[:end].diff() / rates[:end].log().diff()
    return rates[int(slopes.argmin())].item()


def _all_that_is_finite(rates, losses):
    return _steepest(rates[losses.isfinite()], losses[losses.isfinite()])


def _slopes(rates, losses, extra=1):
    """Rates and losses up to the lowest (`extra` 1: with it), cut where the loss isn't finite."""
    losses = losses[: _until_it_explodes(losses)]
    end = int(losses.argmin()) + extra
    return rates[:end], losses[:end]


def _lowest_loss(rates, losses):
    return rates[int(losses[: _until_it_explodes(losses)].argmin())].item()


def _per_rate(rates, losses):
    rates, losses = _slopes(rates, losses)
    return rates[int((losses.diff() / rates.diff()).argmin())].item()


def _by_the_ratio(rates, losses):
    rates, losses = _slopes(rates, losses)
    return rates[int((losses.diff() / (rates[1:] / rates[:-1])).argmin())].item()


def _per_entry(rates, losses):
    rates, losses = _slopes(rates, losses)
    return rates[int(losses.diff().argmin())].item()


def _of_the_logarithm(rates, losses):
    rates, losses = _slopes(rates, losses)
    return rates[int((losses.log().diff() / rates.log().diff()).argmin())].item()


def _upper_end(rates, losses):
    rates, losses = _slopes(rates, losses)
    return rates[int((losses.diff() / rates.log().diff()).argmin()) + 1].item()


def _whole_curve(rates, losses):
    losses = losses[: _until_it_explodes(losses)]
    slopes = losses.diff() / rates[: len(losses)].log().diff()
    return rates[int(slopes.argmin())].item()


def _without_the_lowest(rates, losses):
    rates, losses = _slopes(rates, losses, extra=0)
    return rates[int((losses.diff() / rates.log().diff()).argmin())].item()


def _largest_size(rates, losses):
    rates, losses = _slopes(rates, losses)
    return rates[int((losses.diff() / rates.log().diff()).abs().argmax())].item()


def _test_steepest(function):
    nan, inf = math.nan, math.inf
    cases = (  # the second falls steeply once more behind its lowest loss
        ([1e-4, 1e-3, 2e-3, 1e-2, 3e-2, 1e-1], [3.0, 2.9, 2.6, 1.4, 1.2, 4.0]),
        ([1e-4, 1e-3, 1e-2, 2e-2, 1e-1, 1.0, 1.1], [3.0, 2.8, 2.0, 1.5, 1.4, 9.0, 5.0]),
        # rises first, and falls fastest in the step to its lowest loss
        ([1e-4, 2e-4, 1e-3, 1e-2, 3e-2, 1e-1], [2.0, 4.0, 3.9, 3.4, 1.9, 5.0]),
        # explodes: nan to the end, or a number once more
        ([1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0], [3.0, 2.8, 2.0, 1.9, 8.0, nan]),
        ([1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0], [3.0, 2.8, 2.0, 1.9, inf, 0.1]),
        # the logarithm falls fastest elsewhere
        ([1e-3, 1e-2, 1e-1, 1.0], [3.0, 1.5, 0.2, 7.0]),
        # falls fastest in its first step, but by the ratio of the rates in its second
        ([1e-3, 1e-2, 2e-2], [3.0, 1.5, 1.15]),
    )
    cases = [(torch.tensor(rates), torch.tensor(losses)) for rates, losses in cases]
    outcomes = [call(function, *case) for case in cases]
    for case, got in zip(cases, outcomes):
        got = got.item() if isinstance(got, torch.Tensor) and got.numel() == 1 else got
        told = ", ".join(f"{loss:g}" for loss in case[1].tolist())
        compare(got, _steepest(*case), f"the rate for losses of {told}")


# 09.6 patience


def _early(scores, patience):
    best, top = -1, -math.inf
    for epoch, score in enumerate(scores):
        if score > top:  # never of nan
            best, top = epoch, score
        elif patience and epoch - best >= patience:
            return epoch + 1, best
    return len(scores), best


def _since_last_rise(scores, patience):
    best, top, waited, before = -1, -math.inf, 0, -math.inf
    for epoch, score in enumerate(scores):
        waited = 0 if score > before else waited + 1
        before = score
        if score > top:
            best, top = epoch, score
        if patience and waited >= patience:
            return epoch + 1, best
    return len(scores), best


def _one_late(scores, patience):
    return _early(scores, patience + 1 if patience else 0)


def _tie_is_better(scores, patience):
    best, top = -1, -math.inf
    for epoch, score in enumerate(scores):
        if score >= top:
            best, top = epoch, score
        elif patience and epoch - best >= patience:
            return epoch + 1, best
    return len(scores), best


def _last_epoch_number(scores, patience):
    run, best = _early(scores, patience)
    return run - 1, best


def _best_of_all(scores, patience):
    return _early(scores, patience)[0], _early(scores, 0)[1]


def _never_anew(scores, patience):
    best, top, waited = -1, -math.inf, 0
    for epoch, score in enumerate(scores):
        if score > top:
            best, top = epoch, score
        else:
            waited += 1
        if patience and waited >= patience:
            return epoch + 1, best
    return len(scores), best


def _from_zero(scores, patience):
    top, best = 0.0, -1
    for epoch, score in enumerate(scores):
        if score > top:
            top, best = score, epoch
        elif patience and epoch - best >= patience:
            return epoch + 1, best
    return len(scores), best


def _zero_stops_at_once(scores, patience):
    best, top = -1, -math.inf
    for epoch, score in enumerate(scores):
        if score > top:
            best, top = epoch, score
        elif epoch - best >= patience:
            return epoch + 1, best
    return len(scores), best


def _nan_is_first(scores, patience):
    best = 0 if len(scores) else -1
    for epoch, score in enumerate(scores):
        if score > scores[best]:
            best = epoch
        elif patience and epoch - best >= patience:
            return epoch + 1, best
    return len(scores), best


def _nan_is_better(scores, patience):
    best, top = -1, -math.inf
    for epoch, score in enumerate(scores):
        if not score <= top:
            best, top = epoch, score
        elif patience and epoch - best >= patience:
            return epoch + 1, best
    return len(scores), best


def _first_is_best_of_none(scores, patience):
    run, best = _early(scores, patience)
    return run, max(best, 0)


def _test_early(function):
    nan = math.nan
    cases = (
        ([0.1, 0.4, 0.3, 0.35, 0.36, 0.2, 0.9], 3),
        ([0.5, 0.5, 0.5, 0.5], 2),
        ([0.2, 0.3, 0.25, 0.4, 0.1], 2),
        ([0.3], 1),
        ([0.2, 0.3, 0.25, 0.4, 0.35, 0.5, 0.1], 2),  # the wait begins anew
        ([-0.9, -0.5, -0.6, -0.7, -0.2], 2),  # scores may be negative
        ([0.5, 0.51, 0.5, 0.5], 2),
        ([1.0, 2.0, 3.0, 2.0, 2.5, 2.0], 0),  # never stop
        ([nan, 1.0, 2.0, nan, 3.0, 1.0], 3),
        ([0.5, nan, nan, 0.9], 2),
        ([nan, nan], 5),
        ([], 3),
    )
    outcomes = [call(function, *case) for case in cases]
    for (scores, patience), got in zip(cases, outcomes):
        if not isinstance(got, list | tuple) or len(got) != 2:
            raise Feedback(f"expected (epochs run, best epoch), got {kind(got)}.")
        compare(tuple(got), _early(scores, patience), f"scores {scores}, patience {patience}")


# 09.9 frozen is two things


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
    if not model.training:
        raise Feedback(
            "`model` itself is in eval mode: call model.train(), then the stem's eval()."
        )


# 09.10 accumulation


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


def _epoch_result(function, accumulate=2, left_over=False):
    """Weights and position of the schedule after an epoch of six batches; with gradients of before
    if there are any `left_over`."""
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    if left_over:
        for p in model.parameters():
            p.grad = torch.ones_like(p)
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
    if not alike(_epoch_result(function, left_over=True)[0], _epoch_result(_epoch)[0]):
        raise Feedback(
            "gradients that were left over from before the epoch go into its first update: zero "
            "them before the first batch."
        )


_FILE_MISTAKES = {
    "a": "Weights alone: the optimiser begins anew, and so do schedule and order.",
    "ac": "Schedule, random numbers, order and the best score are lost.",
    "acdefi": "Early stopping forgets the best epoch and its weights.",
    "abcdefghi": "Gradients and activations are made anew in every update.",
    "abcdefgi": "Gradients are zeroed before the next update: they needn't be kept.",
    "acdefg": "Other versions, threads or devices add in another order: the end is another one, "
    "and without a note nobody knows why.",
}


EXERCISES = {
    "09.1": Exercise(
        "Predict the steps of momentum",
        3,
        1,
        177,
        prediction(0, 10_000, "steps"),
        (
            "Without momentum the steps grew like the condition number: 231 to 3,685. Any number "
            "of steps is an answer.",
            "Which power of 16 fits a method that shrinks by about 1 - 2 / root(kappa) a step?",
        ),
    ),
    "09.2": Exercise(
        "A step of AdamW",
        15,
        2,
        _adamw,
        _test_adamw,
        (
            "Four lines: shrink w by 1 - lr * decay; the two running means; their corrections; the "
            "step. g is used as it is, the decay doesn't go into it.",
            "Both means are corrected by 1 - beta ** t for the step only: m and v are returned as "
            "they are kept. eps is added to the root.",
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
    "09.3": Exercise(
        "What should decay",
        10,
        2,
        _decaying,
        _test_decaying,
        (
            "Two passes: first what must not decay, found by its module, then all names but those. "
            "A parameter is recognised by id(p).",
            "model.modules() reaches every depth; module.parameters(recurse=False) are a module's "
            "own; module.get_parameter(name) finds what `no_weight_decay` names.",
        ),
        mistakes=(
            (_everything, "Biases, norms and tables shouldn't decay."),
            (_matrices, "Tables are among them: they have two dimensions, but shouldn't decay."),
            (_only_embeddings, "Embeddings aren't the only tables; and a norm may be a matrix."),
            (_with_bags, "An EmbeddingBag is among them: it is a table too."),
            (_scalars, "A parameter without dimensions is no matrix: two or more are needed."),
            (_norm_of_two, "A norm over two dimensions is among them: ask for its module."),
            (_positions, "What a module names in `no_weight_decay()` is among them."),
            (
                _by_name,
                "The scale of a norm is called weight too: ask for the number of dimensions.",
            ),
            (
                _with_embeddings,
                "Embeddings are among them: they have two dimensions, but shouldn't decay.",
            ),
            (_with_frozen, "A frozen matrix is among them: it isn't trained at all."),
            (_linear_only, "Matrices of other modules (convolutions, bare parameters) decay too."),
            (_own_children, "A table may sit deeper: look through model.modules()."),
            (
                _last_part,
                "`no_weight_decay()` has that module's own names: a parameter of another module "
                "may be called the same.",
            ),
            (
                _tied_decays,
                "A weight that two layers share is a table where one of them is an Embedding.",
            ),
        ),
    ),
    "09.4": Exercise(
        "Predict the best rate",
        2,
        1,
        0.1,
        prediction(0.0001, 10_000),
        (
            "1 if it stays. What did a low rate lack after eight passes?",
            "A low rate needs more updates; eight times as many are there now.",
        ),
    ),
    "09.5": Exercise(
        "The range test",
        12,
        2,
        _steepest,
        _test_steepest,
        (
            "Cut twice: before the first loss that isn't finite, then behind the lowest. "
            "Differences of neighbours: tensor.diff().",
            "argmin takes nan for the smallest number, so the first cut comes first. Slope i lies "
            "between rates i and i + 1.",
        ),
        mistakes=(
            (
                _nan_is_lowest,
                "argmin takes nan for the smallest: cut before the first loss that isn't finite.",
            ),
            (
                _all_that_is_finite,
                "What comes after the first loss that isn't finite doesn't count, a number either.",
            ),
            (_of_the_logarithm, "The loss falls, not its logarithm: only rates are logarithms."),
            (
                _lowest_loss,
                "That is where the loss is lowest, the edge of what works, not where it falls.",
            ),
            (_per_rate, "You divide by the difference of the rates, not of their logarithms."),
            (_by_the_ratio, "Divide by the difference of the logarithms, not by the ratio."),
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
    "09.6": Exercise(
        "Patience",
        10,
        2,
        _early,
        _test_early,
        (
            "Go through the epochs and remember the best so far. When is an epoch the last one?",
            "Begin with best -1 and a top score below all. nan > top is False; and a patience of 0 "
            "is False too.",
        ),
        mistakes=(
            (_since_last_rise, "Patience counts from the best epoch, not from the last rise."),
            (_one_late, "That is one epoch too many."),
            (_tie_is_better, "An equal score isn't a better one."),
            (_last_epoch_number, "Return how many epochs were run, not the number of the last."),
            (_best_of_all, "You look at scores of epochs that are never run."),
            (_never_anew, "The wait begins anew with each better epoch."),
            (_zero_stops_at_once, "With patience 0 training never stops early."),
            (_nan_is_first, "A first score that is nan isn't the best: no number is above it."),
            (_nan_is_better, "nan is never the best, and then nothing is above it."),
            (_first_is_best_of_none, "Where no epoch had a score, the best is -1."),
            (_from_zero, "Scores may be negative (minus a loss): don't begin at 0."),
        ),
    ),
    "09.7": Exercise(
        "Predict the flattery",
        3,
        1,
        2.0,
        prediction(0, 100, "points"),
        (
            "Any number of points is an answer.",
            "A score on 300 questions has a standard error of some three points; 100 runs are "
            "tried, which share the questions.",
        ),
    ),
    "09.8": Exercise(
        "Where the formula fails",
        4,
        2,
        "b",
        choice(
            "b",
            {
                "a": "The formula takes sigma and s from the runs, and there are as many of each "
                "kind.",
                "c": "In both kinds the choice and the report use the same 300 questions: that is "
                "what flatters.",
                "d": "s is much the same in both kinds, and it is printed.",
            },
        ),
        (
            "Which of the 100 runs could win at all? Compare the quarters that are printed.",
            "Imagine 50 more runs that never learn anything. What do they do to sigma, and what "
            "to the winner?",
        ),
        mistakes=(("a", ""), ("c", ""), ("d", "")),
    ),
    "09.9": Exercise(
        "Frozen is two things",
        10,
        2,
        _ready,
        _test_ready,
        (
            "train() reaches every part. Which part should not be in train mode? And what should "
            "the optimiser hold?",
            "The order matters twice: what does train() do to a part that was put into eval mode "
            "before?",
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
    "09.10": Exercise(
        "Accumulation, fixed",
        15,
        3,
        _epoch,
        _test_epoch,
        (
            "Which of the four lines belong to a batch, and which to an update? What is the "
            "gradient of a sum of losses, and what should it be?",
            "Count batches with enumerate(batches, start=1); an update is due where the count is a "
            "multiple of accumulate. Where are gradients zeroed the first time?",
        ),
        mistakes=tuple((mistake, "") for mistake, _ in _EPOCH_MISTAKES),
    ),
    "09.11": Exercise(
        "What belongs into the file",
        5,
        2,
        frozenset("acdefgi"),
        lambda answer: _test_file(answer),
        (
            "What does an update read that the one before it wrote? What does early stopping need "
            "besides? And what must be the same on the machine that goes on?",
            "What an update makes anew needn't be kept: two of the nine.",
        ),
        mistakes=tuple((set(letters), "") for letters in _FILE_MISTAKES),
    ),
}


def _test_file(answer):
    if isinstance(answer, str):
        answer = set(re.findall("[a-z]", answer.lower()))
    if not isinstance(answer, set | frozenset | list | tuple):
        raise Feedback(f"expected a set of letters, got {kind(answer)}.")
    letters = {str(letter).strip().lower() for letter in answer}
    try:
        compare(letters, set("acdefgi"), "the letters")
    except Feedback as error:
        reason = _FILE_MISTAKES.get("".join(sorted(letters)), "")
        raise Feedback(f"{error} {reason}".rstrip()) from None

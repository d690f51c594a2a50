"""Lesson 12: fewer labels, moving data."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.checks.feedback import (
    Exercise,
    Feedback,
    call,
    choice,
    compare,
    number,
    prediction,
)
from course_utils.evaluation.intervals import wilson


def _draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# 12.2 choosing honestly


def _report(validation, test):
    return test[max(range(len(validation)), key=lambda i: validation[i])]


def _best_on_test(validation, test):
    return max(test)


def _validation_itself(validation, test):
    return max(validation)


def _mean_test(validation, test):
    return sum(test) / len(test)


def _chosen_number(validation, test):
    return max(range(len(validation)), key=lambda i: validation[i])


def _test_report(function):
    cases = (
        ([0.5, 0.6, 0.8, 0.1], [0.3, 0.7, 0.6, 0.9]),
        ([0.6, 0.9, 0.7], [0.8, 0.5, 0.6]),
        ([0.4, 0.4, 0.4], [0.3, 0.9, 0.5]),
        ([0.2], [0.4]),
    )
    # all before the first comparison: more than one case tells which mistake it is
    outcomes = [call(function, *case) for case in cases]
    for (validation, test), got in zip(cases, outcomes):
        compare(
            number(got),
            _report(validation, test),
            f"validation {validation}, test {test}: what is reported",
        )


# 12.3 the mean of each class


def _means(v, y, classes):
    return torch.stack([v[y == c].mean(0) for c in range(classes)])


def _one_mean(v, y, classes):
    return v.mean(0).expand(classes, -1).clone()


def _sums(v, y, classes):
    return torch.stack([v[y == c].sum(0) for c in range(classes)])


def _over_dimensions(v, y, classes):
    return torch.stack([v[y == c].mean(1).mean().expand(v.shape[1]) for c in range(classes)])


def _by_all(v, y, classes):
    return torch.stack([v[y == c].sum(0) / len(v) for c in range(classes)])


def _in_order(v, y, classes):
    return torch.stack([part.mean(0) for part in v.chunk(classes)])


def _test_means(function):
    for seed, y in enumerate(([0, 1, 0, 2, 1, 0], [1, 0, 1, 1], [2, 1, 0])):
        y = torch.tensor(y)
        v, classes = _draw(seed, len(y), 3), int(y.max()) + 1
        got = call(function, v, y, classes)
        compare(got, _means(v, y, classes), f"the means of {classes} classes, y = {y.tolist()}")


# 12.5 FixMatch's loss


def _consistency(weak, strong, threshold):
    confidence, labels = weak.detach().softmax(-1).max(-1)
    accepted = confidence >= threshold
    return F.cross_entropy(strong[accepted], labels[accepted], reduction="sum") / len(weak)


def _times_zero(weak, strong, threshold):
    confidence, labels = weak.detach().softmax(-1).max(-1)
    each = F.cross_entropy(strong, labels, reduction="none")
    return (each * (confidence >= threshold)).mean()


def _strictly_sure(weak, strong, threshold):
    confidence, labels = weak.detach().softmax(-1).max(-1)
    return (
        _times_zero(weak, strong, threshold)
        - (F.cross_entropy(strong, labels, reduction="none") * (confidence == threshold)).mean()
    )


def _by_accepted(weak, strong, threshold):
    confidence, labels = weak.detach().softmax(-1).max(-1)
    accepted = confidence >= threshold
    each = F.cross_entropy(strong, labels, reduction="none")
    return (each * accepted).sum() / accepted.sum().clamp(min=1)


def _no_threshold(weak, strong, threshold):
    return F.cross_entropy(strong, weak.detach().argmax(-1))


def _own_label(weak, strong, threshold):
    accepted = weak.detach().softmax(-1).max(-1).values >= threshold
    each = F.cross_entropy(strong, strong.detach().argmax(-1), reduction="none")
    return (each * accepted).mean()


def _own_confidence(weak, strong, threshold):
    accepted = strong.detach().softmax(-1).max(-1).values >= threshold
    each = F.cross_entropy(strong, weak.detach().argmax(-1), reduction="none")
    return (each * accepted).mean()


def _soft_target(weak, strong, threshold):
    p = weak.detach().softmax(-1)
    each = -(p * strong.log_softmax(-1)).sum(-1)
    return (each * (p.max(-1).values >= threshold)).mean()


def _learns_weak(weak, strong, threshold):
    accepted = weak.detach().softmax(-1).max(-1).values >= threshold
    each = F.cross_entropy(weak, strong.detach().argmax(-1), reduction="none")
    return (each * accepted).mean()


def _no_softmax(weak, strong, threshold):
    confidence, labels = weak.detach().max(-1)
    each = F.cross_entropy(strong, labels, reduction="none")
    return (each * (confidence >= threshold)).mean()


def _softmax_twice(weak, strong, threshold):
    confidence, labels = weak.detach().softmax(-1).max(-1)
    each = F.cross_entropy(strong.softmax(-1), labels, reduction="none")
    return (each * (confidence >= threshold)).mean()


def _summed_loss(weak, strong, threshold):
    return _consistency(weak, strong, threshold) * len(weak)


def _test_consistency(function):
    hand = (
        torch.tensor([[0.9, 0.1], [0.4, 0.6]]).log(),
        torch.tensor([[0.5, 0.5], [0.75, 0.25]]).log(),
    )
    for weak, strong, threshold in (
        (*(2 * _draw(3, 2, 40, 5)), 0.5),
        (*hand, 0.8),
        (torch.zeros(2, 2), _draw(5, 2, 2), 0.5),
        (torch.zeros(3, 4), _draw(6, 3, 4), 0.9),
        (*(2 * _draw(8, 2, 1, 3)), 0.0),
    ):
        _same_loss(function, weak, strong, threshold, f"{len(weak)} questions")
    weak, strong = 2 * _draw(9, 2, 3, 3)
    weak[1], weak[2] = torch.tensor([9.0, 0.0, 0.0]), torch.zeros(3)
    strong[2, 0] = -torch.inf  # the label of a question that is not let in
    what = "3 questions, of which one is not let in and has a strong logit of -inf"
    _same_loss(function, weak, strong, 0.6, what)


def _same_loss(function, weak, strong, threshold, what):
    """Value and gradients, with a sure view, an unsure one, or none that is let in."""
    what = f"{what}, threshold {threshold}"
    views = [view.clone().requires_grad_() for view in (weak, strong)]
    want = torch.autograd.grad(_consistency(views[0], views[1], threshold), views[1])[0]
    got = call(function, weak, strong, threshold)
    if not want.any() and isinstance(got, (int, float)) and not isinstance(got, bool):
        got = torch.tensor(float(got))
    compare(got, _consistency(weak, strong, threshold), f"the loss of {what}")
    loss = function(*views, threshold)
    learns = isinstance(loss, torch.Tensor) and loss.requires_grad
    if not learns and not want.any():  # where nothing is let in, a plain 0 is right
        return
    if not learns:
        raise Feedback("the loss has no gradient: the strong view has to learn from it.")
    of_weak, of_strong = torch.autograd.grad(loss, views, allow_unused=True)
    if of_weak is not None and of_weak.abs().max() > 0:
        raise Feedback("a gradient flows into the weak view: the pseudo-label is a constant.")
    if of_strong is None and want.any():
        raise Feedback("no gradient flows into the strong view, which is to learn.")
    of_strong = torch.zeros_like(want) if of_strong is None else of_strong
    compare(of_strong, want, f"the gradient of the strong view, {what}")


# 12.6 the threshold


def _sure_enough(confidence, right, precision, enough):
    """The lowest confidence t for which `enough(right ones, all)` of those at or above t reaches
    `precision`."""
    for t in confidence.sort().values.tolist():
        let_in = confidence >= t
        if enough(int(right[let_in].sum()), int(let_in.sum())) >= precision:
            return t
    return None


def _lowest(confidence, right, precision):
    return _sure_enough(confidence, right, precision, lambda r, n: wilson(r, n).low)


def _observed(confidence, right, precision):
    return _sure_enough(confidence, right, precision, lambda r, n: r / n)


def _upper(confidence, right, precision):
    return _sure_enough(confidence, right, precision, lambda r, n: wilson(r, n).high)


def _of_all(confidence, right, precision):
    return _sure_enough(confidence, right, precision, lambda r, n: wilson(r, len(right)).low)


def _highest(confidence, right, precision):
    for t in confidence.sort(descending=True).values.tolist():
        let_in = confidence >= t
        if wilson(int(right[let_in].sum()), int(let_in.sum())).low >= precision:
            return t
    return None


def _as_confidence(confidence, right, precision):
    return precision


def _strictly_above(confidence, right, precision):
    for t in confidence.sort().values.tolist():
        let_in = confidence > t
        if let_in.any() and wilson(int(right[let_in].sum()), int(let_in.sum())).low >= precision:
            return t
    return None


def _until_it_fails(confidence, right, precision):
    found = None
    for t in confidence.sort(descending=True).values.tolist():
        let_in = confidence >= t
        if wilson(int(right[let_in].sum()), int(let_in.sum())).low < precision:
            return found
        found = t
    return found


def _validated(seed, n):
    """Confidences with ties, in no order, and which answers are right: the surer, the likelier."""
    generator = torch.Generator().manual_seed(seed)
    confidence = (torch.rand(n, generator=generator) * 0.6 + 0.4).mul(50).round() / 50  # (n,)
    return confidence, torch.rand(n, generator=generator) < confidence.sqrt()


def _test_lowest(function):
    cases = [(*_validated(seed, 200), 0.8) for seed in (0, 1)] + [
        (*_validated(2, 60), 0.6),
        (torch.tensor([0.9, 0.6]).repeat(10), torch.tensor([True, False]).repeat(10), 0.7),
        (torch.tensor([0.5, 0.9]), torch.tensor([True, True]), 0.9),
        (torch.tensor([0.8]), torch.tensor([True]), 0.2),
        (torch.tensor([0.7, 0.9, 0.8]).repeat(7), torch.tensor([True, False, True]).repeat(7), 0.4),
    ]
    outcomes = [call(function, *case) for case in cases]
    for (confidence, right, precision), got in zip(cases, outcomes):
        want = _lowest(confidence, right, precision)
        what = (
            f"{len(right)} answers, {int(right.sum())} of them right, precision {precision}: "
            "the threshold"
        )
        if want is None and got is not None:
            raise Feedback(f"{what}: no threshold reaches it, so None was expected, got {got}.")
        if want is not None:
            compare(number(got), want, what)


# 12.7 k-centre


def _k_centre(points, bought, free, count):
    nearest = torch.cdist(points, points[bought]).min(1).values.masked_fill(~free, -torch.inf)
    chosen = []
    for _ in range(count):
        i = int(nearest.argmax())
        chosen.append(i)
        nearest = torch.minimum(nearest, (points - points[i]).norm(dim=1))
        nearest[i] = -torch.inf
    return chosen


def _greedy(score):
    """Greedy choice by score(points, centres) -> (n,), the highest of the free first."""

    def choose(points, bought, free, count):
        centres, free, chosen = bought.nonzero()[:, 0].tolist(), free.clone(), []
        for _ in range(count):
            i = int(score(points, centres).masked_fill(~free, -torch.inf).argmax())
            free[i] = False
            centres.append(i)
            chosen.append(i)
        return chosen

    return choose


_by_mean_distance = _greedy(lambda points, c: torch.cdist(points, points[c]).mean(1))
_by_largest_distance = _greedy(lambda points, c: torch.cdist(points, points[c]).max(1).values)
_to_the_last = _greedy(lambda points, c: torch.cdist(points, points[c[-1:]])[:, 0])
_to_the_mean = _greedy(lambda points, c: (points - points[c].mean(0)).norm(dim=1))
_closest = _greedy(lambda points, c: -torch.cdist(points, points[c]).min(1).values)


def _not_updated(points, bought, free, count):
    nearest = torch.cdist(points, points[bought]).min(1).values.masked_fill(~free, -torch.inf)
    return nearest.argsort(descending=True, stable=True)[:count].tolist()


def _among_all(points, bought, free, count):
    return _k_centre(points, bought, ~bought, count)


def _test_k_centre(function):
    line = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.9, 0.1], [0.0, 3.0], [4.0, 0.0]])
    mask = lambda n, rows: torch.zeros(n, dtype=torch.bool).index_fill(0, torch.tensor(rows), True)
    cases = [
        (_draw(11, 30, 3), mask(30, [4, 17]), ~mask(30, [4, 17, 2, 9, 21]), 8),
        (line, mask(5, [0]), mask(5, [1, 2, 3, 4]), 3),
        (_draw(12, 12, 2), mask(12, [5]), mask(12, [0, 1, 2, 3, 6, 7, 8]), 7),
        # copies of what is bought, and of each other: at the end all are at distance 0
        (line[[0, 3, 0, 3, 3, 0]], mask(6, [2]), mask(6, [0, 1, 3, 4]), 4),
    ]
    for points, bought, free, count in cases:
        got = call(function, points, bought, free, count)
        got = got.tolist() if isinstance(got, torch.Tensor) else got
        if isinstance(got, (list, tuple)):
            if any(isinstance(i, bool) for i in got):
                raise Feedback(
                    "expected the numbers of the chosen rows, in the order of the choice, got a "
                    "mask of True and False."
                )
            got = [int(i) if isinstance(i, torch.Tensor) else i for i in got]
            if any(i in got[:k] for k, i in enumerate(got)):
                raise Feedback(f"a row is chosen twice: {got}.")
        compare(
            got, _k_centre(points, bought, free, count), f"{count} of {len(points)} points, chosen"
        )


# 12.8 forgetting


def _forgetting(R):
    return (R[:-1].max(0).values - R[-1])[:-1].mean().item()


def _against_diagonal(R):
    return (R.diagonal() - R[-1])[:-1].mean().item()


def _last_family_too(R):
    return (R[:-1].max(0).values - R[-1]).mean().item()


def _negative(R):
    return -_forgetting(R)


def _last_stage_too(R):
    return (R.max(0).values - R[-1])[:-1].mean().item()


def _sum(R):
    return (R[:-1].max(0).values - R[-1])[:-1].sum().item()


def _best_of_row(R):
    return (R[:-1].max(1).values - R[-1, :-1]).mean().item()


MATRICES = (
    [[0.5, 0.0, 0.0], [0.8, 0.6, 0.0], [0.55, 0.65, 0.9]],
    [[0.5, 0.7, 0.0], [0.8, 0.6, 0.0], [0.6, 0.5, 0.9]],  # best before its own stage
    [[0.9, 0.1, 0.2], [0.6, 0.8, 0.3], [0.7, 0.5, 0.9]],
    [[0.7, 0.2], [0.3, 0.9]],
)


def _test_forgetting(function):
    matrices = [torch.tensor(rows) for rows in MATRICES]
    outcomes = [call(function, R) for R in matrices]
    for rows, R, got in zip(MATRICES, matrices, outcomes):
        compare(number(got), _forgetting(R), f"the forgetting of {rows}")


# 12.9 distillation


def _distillation(new, old, temperature):
    p = (old.detach() / temperature).softmax(-1)
    ratio = (old.detach() / temperature).log_softmax(-1) - (new / temperature).log_softmax(-1)
    return temperature**2 * (p * ratio).sum(-1).mean()


def _without_the_factor(new, old, temperature):
    return _distillation(new, old, temperature) / temperature**2


def _factor_once(new, old, temperature):
    return _distillation(new, old, temperature) / temperature


def _exchanged(new, old, temperature):
    q = (new / temperature).softmax(-1)
    ratio = (new / temperature).log_softmax(-1) - (old.detach() / temperature).log_softmax(-1)
    return temperature**2 * (q * ratio).sum(-1).mean()


def _no_temperature(new, old, temperature):
    return _distillation(new, old, 1.0)


def _over_all_entries(new, old, temperature):
    return _distillation(new, old, temperature) / new.shape[-1]


def _sum_of_questions(new, old, temperature):
    return _distillation(new, old, temperature) * len(new)


def _cross_entropy_of_p(new, old, temperature):
    p = (old.detach() / temperature).softmax(-1)
    return -(temperature**2) * (p * (new / temperature).log_softmax(-1)).sum(-1).mean()


def _only_old(new, old, temperature):
    p, q = (old.detach() / temperature).softmax(-1), new.softmax(-1)
    return temperature**2 * (p * (p.log() - q.log())).sum(-1).mean()


def _test_distillation(function):
    for seed, (n, answers, temperature) in enumerate(((6, 5, 2.0), (1, 3, 3.0), (5, 2, 1.0))):
        new, old = 2 * _draw(20 + seed, 2, n, answers)
        what = f"{n} questions, {answers} answers, temperature {temperature:g}"
        got = call(function, new, old, temperature)
        compare(got, _distillation(new, old, temperature), f"the loss of {what}")
        found = []
        for each in (function, _distillation):
            logits = [z.clone().requires_grad_() for z in (new, old)]
            loss = each(logits[0], logits[1], temperature)
            if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
                raise Feedback("the loss has no gradient: the new model has to learn from it.")
            found.append(torch.autograd.grad(loss, logits, allow_unused=True))
        if found[0][1] is not None and found[0][1].abs().max() > 0:
            raise Feedback("a gradient flows into the old model, which is to stay: detach `old`.")
        if found[0][0] is None:
            raise Feedback("no gradient flows into the new model, which is to learn.")
        compare(found[0][0], found[1][0], f"the gradient of the new logits, {what}")


# 12.10 the Fisher diagonal


def _fisher(W, items):
    p = (items @ W.detach().T).softmax(-1)
    return torch.einsum("nk,nj->kj", p * (1 - p), items.square()) / len(items)


def _squared_mean(W, items):
    logp = (items @ W.T).log_softmax(-1)
    y = logp.detach().exp()
    (grad,) = torch.autograd.grad((y * logp).sum(1).mean(), W)
    return grad.square()


def _unweighted(W, items):
    total = torch.zeros_like(W)
    for x in items:
        logp = (W @ x).log_softmax(-1)
        for c in range(len(W)):
            (grad,) = torch.autograd.grad(logp[c], W, retain_graph=True)
            total += grad.square() / len(W)
    return total / len(items)


def _likeliest(W, items):
    total = torch.zeros_like(W)
    for x in items:
        (grad,) = torch.autograd.grad((W @ x).log_softmax(-1).max(), W)
        total += grad.square()
    return total / len(items)


def _not_squared_input(W, items):
    p = (items @ W.detach().T).softmax(-1)
    return torch.einsum("nk,nj->kj", p * (1 - p), items) / len(items)


def _summed(W, items):
    return _fisher(W, items) * len(items)


def _test_fisher(function):
    for seed, (answers, dim, n) in enumerate(((4, 3, 20), (2, 2, 1))):
        W, items = _draw(seed, answers, dim).requires_grad_(), _draw(9 + seed, n, dim)
        got = call(function, W, items)
        got = got.detach() if isinstance(got, torch.Tensor) else got
        compare(got, _fisher(W, items), f"the Fisher diagonal of {answers} x {dim}, {n} items")


# 12.11 CUSUM


def _cusum(z, slack):
    total, found = 0.0, []
    for value in z.tolist():
        total = max(0.0, total + value - slack)
        found.append(total)
    return torch.tensor(found)


def _never_below(z, slack):
    return (z - slack).cumsum(0)


def _clamped_at_last(z, slack):
    return (z - slack).cumsum(0).clamp(min=0)


def _only_what_exceeds(z, slack):
    return (z - slack).clamp(min=0).cumsum(0)


def _no_slack(z, slack):
    return _cusum(z, 0.0)


def _slack_added(z, slack):
    return _cusum(z, -slack)


def _last_only(z, slack):
    return _cusum(z, slack)[-1:]


def _is_a_number(value):
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and value.dtype != torch.bool
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _test_cusum(function):
    for z, slack in (
        (2 * _draw(31, 12), 0.4),
        (torch.tensor([1.0, -2.0, 2.0, 2.0]), 0.5),
        (torch.tensor([-1.0, -1.0, 0.7]), 0.5),
        (torch.tensor([1.5]), 0.5),
        (_draw(32, 9).abs() + 0.1, 0.0),
    ):
        got = call(function, z, slack)
        if isinstance(got, (list, tuple)) and all(map(_is_a_number, got)):
            got = torch.tensor([float(s) for s in got])
        if isinstance(got, torch.Tensor) and got.dtype != torch.bool:
            got = got.float()  # max(0, ...) gives whole numbers where it is 0
        compare(got, _cusum(z, slack), f"S of {len(z)} batches, slack {slack:g}")


# 12.13 new statistics


def _norms(model):
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


def _new_statistics(model, images):
    new = copy.deepcopy(model).eval()
    for module in _norms(new):
        module.reset_running_stats()
        module.momentum = None
        module.train()
    with torch.no_grad():
        new(images)
    return new.eval()


def _mixed_in(model, images):
    new = copy.deepcopy(model).eval()
    for module in _norms(new):
        module.train()
    with torch.no_grad():
        new(images)
    return new.eval()


def _reset_only(model, images):
    new = copy.deepcopy(model).eval()
    for module in _norms(new):
        module.reset_running_stats()
    return new


def _reset_and_mixed(model, images):
    new = copy.deepcopy(model).eval()
    for module in _norms(new):
        module.reset_running_stats()
        module.train()
    with torch.no_grad():
        new(images)
    return new.eval()


def _nothing_done(model, images):
    new = copy.deepcopy(model).eval()
    with torch.no_grad():
        new(images)
    return new


def _everything_in_train_mode(model, images):
    new = copy.deepcopy(model).train()
    for module in _norms(new):
        module.reset_running_stats()
        module.momentum = None
    with torch.no_grad():
        new(images)
    return new.eval()


def _state(model, images):
    """What is compared: statistics of each normalisation, and outputs in the mode it is in."""
    with torch.no_grad():
        outputs = model(images)
    found: list[torch.Tensor] = []
    for module in _norms(model):
        for part in (module.running_mean, module.running_var):
            assert part is not None  # None where a layer keeps no statistics
            found.append(part)
    return [*found, outputs]


def _test_new_statistics(function):
    torch.manual_seed(12)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)]
    stem = nn.Sequential(*layers)  # its layer of batch normalisation lies deeper
    small = nn.Sequential(stem, nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5), nn.Flatten())
    alone = nn.Sequential(nn.BatchNorm2d(3))
    old = _draw(40, 50, 3, 6, 6)
    for name, model, training in (("two layers", small, False), ("one layer", alone, True)):
        model.train()
        with torch.no_grad():
            for _ in range(20):
                model(old)
            for module in _norms(model):  # as after training: scales are not 1
                module.weight.uniform_(0.5, 2.0)
        model.train(training)
        images = 0.4 * _draw(41, 20, 3, 6, 6) + 0.3
        before = copy.deepcopy(model.state_dict())
        if not callable(function):
            raise Feedback(f"expected a function, got {type(function).__name__}.")
        torch.manual_seed(0)  # as in _compare_states, for the dropout of a mistake
        new = function(model, images.clone())
        what = f"a model with {name} of batch normalisation"
        if not isinstance(new, nn.Module):
            raise Feedback(f"{what}: expected a model, got {type(new).__name__}.")
        now = model.state_dict()
        if new is model or any(not torch.equal(now[key], before[key]) for key in before):
            raise Feedback(f"{what}: the model that was given has changed. Work on a copy.")
        if model.training != training:
            raise Feedback(f"{what}: the model that was given is in another mode. Work on a copy.")
        for key, weight in new.named_parameters():
            if key not in before or not torch.equal(weight, before[key]):
                raise Feedback(f"{what}: the weight {key} is not what it was. No weight changes.")
        if len(_norms(new)) != len(_norms(model)):
            raise Feedback(f"{what}: the copy has {len(_norms(new))} such layers.")
        _compare_states(model, new, images, what)


KNOWN = (
    (_nothing_done, "The statistics are the old ones: in eval mode a forward pass leaves them."),
    (
        _mixed_in,
        "Each layer has moved by a tenth only: PyTorch's `momentum` of 0.1 mixes the new "
        "statistics into the old ones.",
    ),
    (_reset_only, "The statistics are 0 and 1: reset, but then no picture has gone through."),
    (_reset_and_mixed, "A tenth of the new statistics is mixed into 0 and 1: look at `momentum`."),
    (
        _everything_in_train_mode,
        "All layers were in train mode while the pictures went through: dropout drops, and the "
        "layers behind it measure what is left.",
    ),
)


def _compare_states(model, new, images, what):
    """Names a mistake whose statistics these are in all layers."""
    if new.training:
        raise Feedback(f"{what}: the copy is in train mode. Return it in eval mode.")
    if any(module.training for module in new.modules()):
        raise Feedback(
            f"{what}: layers of the copy are in train mode, so that the next pictures change "
            "them. Return all of it in eval mode."
        )
    got = _state(new, images)
    try:
        for i, (one, other) in enumerate(zip(got, _state(_new_statistics(model, images), images))):
            part = "the outputs" if i == len(got) - 1 else ("mean", "variance")[i % 2]
            where = part if i == len(got) - 1 else f"the {part} of layer {i // 2 + 1}"
            # whether n or n - 1 divides is left open; the first mean doesn't hang on it
            atol = 1e-4 if i == 0 else 2e-3 if part == "mean" else 5e-3
            compare(one, other, f"{what}: {where}", atol)
    except Feedback:
        for wrong, why in KNOWN:
            torch.manual_seed(0)
            theirs = _state(wrong(model, images), images)
            if all(torch.allclose(a, b, atol=1e-4) for a, b in zip(got, theirs)):
                raise Feedback(f"{what}: {why}") from None
        raise


EXERCISES = {
    "12.1": Exercise(
        "A sentence that decides",
        4,
        1,
        "b",
        choice(
            "b",
            {
                "a": "It is a caption, and its blank stands where captions have a colour: both "
                "explanations expect good guesses.",
                "c": "It is no caption, and its blank stands where no caption has a colour: both "
                "explanations expect bad guesses.",
            },
        ),
        (
            "For each sentence, write down what each of the two explanations expects.",
            "One of them is no caption at all, and still has its blank at token 3, before the "
            "shape.",
        ),
    ),
    "12.2": Exercise(
        "What may be reported",
        5,
        1,
        _report,
        _test_report,
        (
            "Which of the two lists may decide, and which one only counts?",
            "`validation` decides which sentence; you need its place in the list, then one entry "
            "of `test`. max() takes a `key`.",
        ),
        mistakes=(
            (_best_on_test, "You still choose on the test."),
            (
                _validation_itself,
                "That is the validation accuracy of the chosen one: it was chosen "
                "for being high there, so it is too high as well.",
            ),
            (_mean_test, "That is the mean over all sentences; you were to report the chosen one."),
            (
                lambda validation, test: max(zip(validation, test))[1],
                "Where two are equal on validation you let the test decide: take the first.",
            ),
            (_chosen_number, "That is the index of the chosen sentence, not its accuracy."),
        ),
    ),
    "12.3": Exercise(
        "The mean of each class",
        6,
        1,
        _means,
        _test_means,
        (
            "v[y == c] has the rows of class c.",
            "Make a list with one mean per class, in the order of the numbers, and stack it.",
        ),
        mistakes=(
            (_one_mean, "All your means are the same: take only the rows of each class."),
            (_sums, "You add up and don't divide by the number of examples of the class."),
            (_by_all, "Divide by the number of examples of the *class*, not of all."),
            (_over_dimensions, "The mean is over examples, not over dimensions."),
            (_in_order, "The rows aren't sorted by class: `y` says which class a row is of."),
        ),
    ),
    "12.4": Exercise(
        "A view that may be used",
        3,
        2,
        "b",
        choice(
            "b",
            {
                "a": "Mirrored left to right, what was left is right: the answer turns round, and "
                "the pseudo-label is wrong.",
                "c": "After a quarter turn, what was left lies above or below: the answer may "
                "change.",
                "d": 'Noise in the pixels is fine, but other colours are not: "the red circle" '
                "may be another one now, or none.",
            },
        ),
        (
            "Do to a picture in your head what each view does. Is the answer still right?",
            "Turned upside down, what was left is still left.",
        ),
    ),
    "12.5": Exercise(
        "The loss without answers",
        12,
        2,
        _consistency,
        _test_consistency,
        (
            "The label and whether it counts come from the weak view, as constants: detach it "
            "first. softmax, then max, gives both.",
            'F.cross_entropy has reduction="none". Choose the rows that are let in before you add '
            "up (0 times infinity is not 0), and mind what you divide by.",
        ),
        mistakes=(
            (
                _times_zero,
                "What is not let in is multiplied by 0, and 0 times infinity is nan: leave these "
                "questions out.",
            ),
            (_strictly_sure, "A confidence that equals the threshold is let in: >=."),
            (_by_accepted, "Divide by all n questions, not only by those that were let in."),
            (_no_threshold, "The threshold isn't used."),
            (_own_label, "The label comes from the weak view; yours is the strong view's own."),
            (_own_confidence, "The weak view has to be sure, not the strong one."),
            (_soft_target, "The label is one answer, the likeliest, not all probabilities."),
            (_no_softmax, "These are logits: softmax before you compare with the threshold."),
            (_softmax_twice, "F.cross_entropy takes logits."),
            (_summed_loss, "The loss is a mean over the n questions."),
            (
                _learns_weak,
                "The roles are exchanged: the strong view learns what the weak one says.",
            ),
        ),
    ),
    "12.6": Exercise(
        "The lowest threshold",
        8,
        2,
        _lowest,
        _test_lowest,
        (
            "Only the confidences that occur can matter. Try them from the lowest on.",
            "Count for each t how many are let in and how many of these are right, and ask "
            "`wilson` for the lower end. What is returned where no t will do?",
        ),
        mistakes=(
            (
                _observed,
                "That is the share that was observed. Of many thresholds one looks good by luck: "
                "ask for the lower end of its interval.",
            ),
            (_upper, "You use the upper end of the interval."),
            (_highest, "That is the highest threshold that will do: it lets in too few."),
            (
                _until_it_fails,
                "You stop at the first threshold from above that fails: a lower one may do again.",
            ),
            (_as_confidence, "A model that is 90 % sure need not be right in 90 %: measure it."),
            (_of_all, "Precision is a share of those that are let in, not of all."),
            (_strictly_above, "The answer at the threshold itself is let in too: >=."),
        ),
    ),
    "12.7": Exercise(
        "k-centre",
        12,
        2,
        _k_centre,
        _test_k_centre,
        (
            "Keep for each point the distance to its nearest bought or chosen point. "
            "torch.cdist(points, points[bought]) has all distances to start from.",
            "Set the distance of what isn't free to -inf. After each choice take the minimum of "
            "the old distances and those to the new point, and rule the new point out.",
        ),
        mistakes=(
            (_not_updated, "After each choice the distances change: what was just chosen counts."),
            (_by_mean_distance, "The distance to the *nearest* one counts, not the mean distance."),
            (_by_largest_distance, "The distance to the nearest one counts, not to the farthest."),
            (_to_the_last, "All that was bought and chosen counts, not only the last choice."),
            (_to_the_mean, "The distance to the nearest one counts, not to the mean of all."),
            (_closest, "You choose the point that is closest to what was bought."),
            (_among_all, "Only points in `free` may be chosen."),
        ),
    ),
    "12.8": Exercise(
        "Forgetting",
        8,
        2,
        _forgetting,
        _test_forgetting,
        (
            "For each family: its best accuracy before the last stage, minus that after it. The "
            "last family is left out.",
            "R[:-1] leaves out the last stage; which axis are the stages? Subtract R[-1], and "
            "leave out the last family before the mean.",
        ),
        mistakes=(
            (
                _against_diagonal,
                "That is minus the backward transfer: a family may have been best "
                "at another stage than its own.",
            ),
            (_last_family_too, "The last family can't have been forgotten yet: leave it out."),
            (_negative, "The sign is turned round: forgetting is positive where accuracy fell."),
            (
                _last_stage_too,
                "With the last stage among the best, a family that got better counts "
                "as 0: take the maximum over the stages before the last.",
            ),
            (_sum, "The mean over families is wanted, not the sum."),
            (_best_of_row, "Your maximum goes over families; it has to go over stages."),
        ),
    ),
    "12.9": Exercise(
        "Distillation",
        8,
        2,
        _distillation,
        _test_distillation,
        (
            "Both logits are divided by the temperature before softmax and log_softmax.",
            "KL(p || q) = sum over answers of p (log p - log q), with the old model as p. Then the "
            "mean over questions, and the factor.",
        ),
        mistakes=(
            (_without_the_factor, "The factor, the square of the temperature, is missing."),
            (_factor_once, "The factor is the *square* of the temperature."),
            (_exchanged, "The two are exchanged: the old probabilities come first, and weigh."),
            (_no_temperature, "The logits aren't divided by the temperature."),
            (_only_old, "Only the old logits are divided by the temperature."),
            (_over_all_entries, "The sum goes over answers; only over questions it is a mean."),
            (_sum_of_questions, "A mean over questions is wanted, not the sum."),
            (
                _cross_entropy_of_p,
                "That is the cross-entropy. It has the same gradient, but it isn't 0 where both "
                "models agree: the old model's entropy is missing.",
            ),
        ),
    ),
    "12.10": Exercise(
        "The Fisher diagonal",
        12,
        3,
        _fisher,
        _test_fisher,
        (
            "One item and one answer at a time: the gradient of log p_c, squared entry by entry, "
            "times p_c. Then sum over answers and take the mean over items.",
            "Two loops around torch.autograd.grad(logp[c], W, retain_graph=True). The weight p_c "
            "is a constant: detach it.",
        ),
        mistakes=(
            (
                _squared_mean,
                "The square of a mean gradient is another thing, and near 0 here: square "
                "item by item and answer by answer.",
            ),
            (_unweighted, "The answers are drawn from p: weight each with its probability."),
            (_likeliest, "All answers count, each with its probability, not the likeliest alone."),
            (_not_squared_input, "The input is squared too: p (1 - p) x^2."),
            (_summed, "A mean over items is wanted, not the sum."),
        ),
    ),
    "12.11": Exercise(
        "CUSUM",
        6,
        1,
        _cusum,
        _test_cusum,
        (
            "One number goes through the batches: the sum so far.",
            "In each batch: add z, take the slack off, and don't let it fall below 0. Keep every "
            "value.",
        ),
        mistakes=(
            (_never_below, "The max with 0 is missing."),
            (_clamped_at_last, "The max with 0 comes in every batch, not after the sum."),
            (
                _only_what_exceeds,
                "You add only what exceeds the slack: a quiet batch must bring S down again.",
            ),
            (_no_slack, "The slack isn't taken off."),
            (_slack_added, "The slack is taken off, not added."),
            (_last_only, "All values of S are wanted, one per batch."),
        ),
    ),
    "12.12": Exercise(
        "Predict the repair",
        2,
        1,
        60.0,
        prediction(0, 100, "%"),
        (
            "Any number of per cent is an answer.",
            "What does batch normalisation do to a picture that is half as bright, once it knows "
            "the mean and the deviation of such pictures?",
        ),
    ),
    "12.13": Exercise(
        "New statistics",
        10,
        2,
        _new_statistics,
        _test_new_statistics,
        (
            "In which mode does a layer of batch normalisation update its running statistics? "
            "Which layers must not be in it? Work on a copy.",
            "What was there before has to be forgotten: look for a method and for what momentum = "
            "None means in the documentation of nn.BatchNorm2d. modules() reaches every depth. "
            "At the end all is in eval mode.",
        ),
    ),
}

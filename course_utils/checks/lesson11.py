"""Lesson 11: parameter-efficient tuning."""

import numpy as np
import torch
from torch import nn

from course_utils.checks.feedback import (
    Exercise,
    Feedback,
    call,
    choice,
    compare,
    kind,
    number,
    prediction,
)
from course_utils.models.transformer import TransformerConfig, TransformerEncoder
from course_utils.peft import LoRAConfig, add_adapters, add_lora, freeze_base
from course_utils.peft.base import tuning_names, tunings


def _draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# 11.2 the forward pass


def _forward(x, linear, A, B, scale):
    return linear(x) + scale * (x @ A.T) @ B.T


def _no_scale(x, linear, A, B, scale):
    return linear(x) + (x @ A.T) @ B.T


def _no_linear(x, linear, A, B, scale):
    return scale * (x @ A.T) @ B.T


def _without_bias(x, linear, A, B, scale):
    return x @ linear.weight.T + scale * (x @ A.T) @ B.T


def _scales_all(x, linear, A, B, scale):
    return scale * (linear(x) + (x @ A.T) @ B.T)


def _after_the_linear(x, linear, A, B, scale):
    return linear(x) + scale * (linear(x) @ A.T) @ B.T


def _other_order(x, linear, A, B, scale):
    return linear(x) + scale * x @ (B @ A)


def _minus(x, linear, A, B, scale):
    return linear(x) - scale * (x @ A.T) @ B.T


def _over_rank(x, linear, A, B, scale):
    return linear(x) + scale / len(A) * (x @ A.T) @ B.T


def _cuts_the_input(x, linear, A, B, scale):
    return linear(x.detach()) + scale * (x @ A.T) @ B.T


def _into_the_weight(x, linear, A, B, scale):
    with torch.no_grad():
        linear.weight += scale * B @ A
    return linear(x)


def _no_gradient(x, linear, A, B, scale):
    with torch.no_grad():
        return linear(x) + scale * (x @ A.T) @ B.T


def _test_forward(function):
    cases = ((3, 4, 4, 2, 0.5), (2, 5, 3, 1, 3.0), (1, 3, 6, 4, -1.5))
    for seed, (batch, into, out, rank, scale) in enumerate(cases):
        torch.manual_seed(seed)
        linear = nn.Linear(into, out).requires_grad_(False)
        x, A, B = _draw(seed, batch, into), _draw(1, rank, into), _draw(2, out, rank)
        want = nn.functional.linear(x, linear.weight + scale * B @ A, linear.bias)
        got = call(function, x, linear, A, B, scale)
        compare(got, want, f"the output for a matrix of {out} x {into} with rank {rank}")
        # once more, not on copies: what becomes of the frozen layer and of the gradients?
        kept = [p.clone() for p in linear.parameters()]
        x, A, B = (part.requires_grad_() for part in (x, A, B))
        got = function(x, linear, A, B, scale)
        if not all(map(torch.equal, kept, linear.parameters())):
            raise Feedback("it changes the weight of `linear`, which is frozen: add to its output.")
        _test_gradients(got, _forward(x, linear, A, B, scale), {"A": A, "B": B, "x": x})


def _test_gradients(got, want, inputs):
    """The gradients of a weighted sum of two outputs with respect to named inputs are equal."""
    weights = _draw(7, *want.shape)
    right = torch.autograd.grad((want * weights).sum(), list(inputs.values()))
    found = (None,) * len(right)
    if got.requires_grad:
        found = torch.autograd.grad((got * weights).sum(), list(inputs.values()), allow_unused=True)
    cut = [name for name, gradient in zip(inputs, found) if gradient is None]
    if cut:
        raise Feedback(
            f"no gradient reaches {' and '.join(cut)}: leave out `no_grad`, `detach` and `.data`."
        )
    for name, mine, theirs in zip(inputs, found, right):
        compare(mine, theirs, f"the output is right, but the gradient of {name}")


# 11.4 counting


def _count(shapes, rank):
    return sum(rank * (out + into) for out, into in shapes)


def _whole_matrices(shapes, rank):
    return sum(out * into for out, into in shapes)


def _only_a(shapes, rank):
    return sum(rank * into for _, into in shapes)


def _only_b(shapes, rank):
    return sum(rank * out for out, _ in shapes)


def _product(shapes, rank):
    return sum(rank * out * into for out, into in shapes)


def _square(shapes, rank):
    return sum(2 * rank * into for _, into in shapes)


def _test_count(function):
    for shapes, rank in (([(6, 5)], 2), ([(6, 4), (4, 10), (5, 5)], 3)):
        got = number(call(function, shapes, rank))
        many = "1 matrix" if len(shapes) == 1 else f"{len(shapes)} matrices"
        compare(got, _count(shapes, rank), f"the weights of {many} with rank {rank}")


# 11.5 merging


def _merged(W, A, B, scale):
    return W + scale * B @ A


def _in_place(W, A, B, scale):
    W += scale * B @ A
    return W


def _delta_only(W, A, B, scale):
    return scale * B @ A


def _forgot_scale(W, A, B, scale):
    return W + B @ A


def _transposed(W, A, B, scale):
    return W + scale * (B @ A).T


def _a_times_b(W, A, B, scale):
    return W + scale * A @ B


def _subtracted(W, A, B, scale):
    return W - scale * B @ A


def _divided_by_rank(W, A, B, scale):
    return W + scale / len(A) * B @ A


def _test_merged(function):
    for seed, (out, into, rank, scale) in enumerate(((4, 4, 2, 3.0), (3, 5, 1, 0.5))):
        W, A, B = _draw(seed, out, into), _draw(5, rank, into), _draw(6, out, rank)
        got = call(function, W, A, B, scale)
        compare(got, W + scale * B @ A, f"the merged weight of {out} x {into}")


# 11.6 a prefix


def _prefix(q, k, v, keys, values):
    weights = (q @ torch.cat([keys, k]).T / q.shape[1] ** 0.5).softmax(1)
    return weights @ torch.cat([values, v]), weights[:, : len(keys)].sum(1)


def _unscaled_prefix(q, k, v, keys, values):
    weights = (q @ torch.cat([keys, k]).T).softmax(1)
    return weights @ torch.cat([values, v]), weights[:, : len(keys)].sum(1)


def _two_softmaxes(q, k, v, keys, values):
    old = (q @ k.T / q.shape[1] ** 0.5).softmax(1) @ v
    new = (q @ keys.T / q.shape[1] ** 0.5).softmax(1) @ values
    return old + new, _prefix(q, k, v, keys, values)[1]


def _old_share(q, k, v, keys, values):
    out, share = _prefix(q, k, v, keys, values)
    return out, 1 - share


def _other_axis(q, k, v, keys, values):
    weights = (q @ torch.cat([keys, k]).T / q.shape[1] ** 0.5).softmax(0)
    return weights @ torch.cat([values, v]), weights[:, : len(keys)].sum(1)


def _no_values(q, k, v, keys, values):
    weights = (q @ torch.cat([keys, k]).T / q.shape[1] ** 0.5).softmax(1)
    return weights[:, len(keys) :] @ v, weights[:, : len(keys)].sum(1)


def _ratio(q, k, v, keys, values):
    out, share = _prefix(q, k, v, keys, values)
    return out, share / (1 - share)


def _dead_prefix(q, k, v, keys, values):
    return _prefix(q, k, v, keys.detach(), values.detach())


def _test_prefix(function):
    for seed, (positions, dim, length) in enumerate(((3, 4, 2), (1, 3, 5), (4, 2, 0))):
        q, k, v = (_draw(10 * seed + i, positions, dim) for i in range(3))
        keys, values = (_draw(10 * seed + i, length, dim) for i in (3, 4))
        what = f"{positions} positions and a prefix of {length}"
        pair = call(function, q, k, v, keys, values)
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise Feedback(f"expected a pair, output and share, got {kind(pair)}.")
        out, share = _prefix(q, k, v, keys, values)
        compare(pair[1], share, f"the share for {what}")
        compare(pair[0], out, f"the output for {what}")
        if length:
            keys, values = keys.requires_grad_(), values.requires_grad_()
            got, _ = function(q, k, v, keys, values)
            named = {"keys": keys, "values": values}
            _test_gradients(got, _prefix(q, k, v, keys, values)[0], named)


# 11.7 what may be reported


def _by_seed(runs, best):
    """What `best` picks among the runs of each seed, in rising order of the seeds."""
    seeds = sorted({run["seed"] for run in runs})
    return [best([run for run in runs if run["seed"] == seed])["accuracy"] for seed in seeds]


def _reported(runs):
    return _by_seed(runs, lambda mine: max(mine, key=lambda run: (run["validation"], -run["rate"])))


def _best_on_test(runs):
    return _by_seed(runs, lambda mine: max(mine, key=lambda run: run["accuracy"]))


def _first_of_equals(runs):
    return _by_seed(runs, lambda mine: max(mine, key=lambda run: run["validation"]))


def _higher_rate(runs):
    return _by_seed(runs, lambda mine: max(mine, key=lambda run: (run["validation"], run["rate"])))


def _validation_itself(runs):
    seeds = sorted({run["seed"] for run in runs})
    return [max(run["validation"] for run in runs if run["seed"] == seed) for seed in seeds]


def _one_for_all(runs):
    return [max(runs, key=lambda run: run["validation"])["accuracy"]]


def _one_rate(runs):
    by_rate = {}
    for run in runs:
        by_rate.setdefault(run["rate"], []).append(run["validation"])
    rate = max(by_rate, key=lambda rate: sum(by_rate[rate]) / len(by_rate[rate]))
    mine = sorted((run for run in runs if run["rate"] == rate), key=lambda run: run["seed"])
    return [run["accuracy"] for run in mine]


def _mean_over_rates(runs):
    seeds = sorted({run["seed"] for run in runs})
    found = [[run["accuracy"] for run in runs if run["seed"] == seed] for seed in seeds]
    return [sum(mine) / len(mine) for mine in found]


def _as_they_come(runs):
    seeds = dict.fromkeys(run["seed"] for run in runs)
    return [
        max((r for r in runs if r["seed"] == seed), key=lambda r: (r["validation"], -r["rate"]))[
            "accuracy"
        ]
        for seed in seeds
    ]


def _runs(*rows):
    return [dict(zip(("seed", "rate", "validation", "accuracy"), row)) for row in rows]


_REPORTED_CASES = {
    "two seeds with three rates each": _runs(
        (4, 0.03, 0.50, 0.61),
        (1, 0.01, 0.70, 0.52),
        (4, 0.01, 0.90, 0.43),
        (1, 0.03, 0.60, 0.74),
        (4, 0.001, 0.75, 0.65),
        (1, 0.001, 0.80, 0.31),
    ),
    "two equally good rates, the lower one first": _runs((0, 0.01, 0.8, 0.5), (0, 0.03, 0.8, 0.6)),
    "two equally good rates, the higher one first": _runs((0, 0.03, 0.8, 0.6), (0, 0.01, 0.8, 0.5)),
}


def _test_reported(function):
    for what, runs in _REPORTED_CASES.items():
        got = call(function, runs)
        if isinstance(got, (torch.Tensor, np.ndarray)):
            got = got.tolist()
        if isinstance(got, tuple):
            got = list(got)
        if isinstance(got, list):
            got = [number(entry) for entry in got]
        compare(got, _reported(runs), f"the accuracies for {what}")


# 11.8 the forgotten head


class _Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = TransformerEncoder(TransformerConfig(dim=8, heads=2, mlp_dim=16))
        self.head = nn.Linear(8, 3)


def _prepare(model):
    add_lora(model, LoRAConfig(rank=2))
    freeze_base(model, keep=("head",))
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)


def _frozen_head(model):
    add_lora(model, LoRAConfig(rank=2))
    freeze_base(model, keep=())
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)


def _early_optimizer(model):
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    add_lora(model, LoRAConfig(rank=2))
    freeze_base(model, keep=("head",))
    return optimizer


def _nothing_frozen(model):
    add_lora(model, LoRAConfig(rank=2))
    return torch.optim.AdamW(model.parameters(), lr=1e-3)


def _no_factors(model):
    freeze_base(model, keep=("head",))
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)


def _too_early_for_the_base(model):
    add_lora(model, LoRAConfig(rank=2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    freeze_base(model, keep=("head",))
    return optimizer


def _first_layer(model):
    add_lora(model, LoRAConfig(rank=2, targets=("layers.0.attention.qkv",)))
    freeze_base(model, keep=("head",))
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)


def _also_out(model):
    add_lora(model, LoRAConfig(rank=2, targets=("qkv", "out")))
    freeze_base(model, keep=("head",))
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)


def _adapters(model):
    add_adapters(model)
    freeze_base(model, keep=("head",))
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)


def _no_bias(model):
    add_lora(model, LoRAConfig(rank=2))
    freeze_base(model, keep=("head",))
    return torch.optim.AdamW(
        [p for n, p in model.named_parameters() if p.requires_grad and n != "head.bias"], lr=1e-3
    )


def _zeroed(model):
    torch.nn.init.zeros_(model.encoder.layers[0].attention.qkv.weight)
    return _prepare(model)


def _test_prepare(function):
    if not callable(function):
        raise Feedback(f"expected a function, got {kind(function)}.")
    torch.manual_seed(0)
    model = _Model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    # not through `call`, which hands a copy over: this function is to change the model
    optimizer = function(model)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise Feedback(f"expected an optimiser back, got {type(optimizer).__name__}.")
    _test_places(model)
    new, head = tuning_names(model), {"head.weight", "head.bias"}
    names = {id(p): name for name, p in model.named_parameters()}
    held = {
        names[id(p)] for group in optimizer.param_groups for p in group["params"] if id(p) in names
    }
    if not new <= held:
        raise Feedback("the optimiser holds no factors: it was built before they were there.")
    if not all(p.requires_grad for p in model.head.parameters()) or not head <= held:
        raise Feedback("the head is new and random, and it isn't trained, or not all of it.")
    base = {name for name, p in model.named_parameters() if p.requires_grad} - new - head
    if base:
        raise Feedback(f"the base isn't frozen: {sorted(base)[0]} still gets a gradient.")
    if extra := held - new - head:
        raise Feedback(
            f"the optimiser also holds frozen weights such as {sorted(extra)[0]}: it was built "
            "before the base was frozen."
        )
    if not isinstance(optimizer, torch.optim.AdamW):
        raise Feedback(f"expected an AdamW, got {type(optimizer).__name__}.")
    now = {name.replace(".base.", "."): p for name, p in model.named_parameters()}
    if not all(torch.equal(p, now[name]) for name, p in before.items()):
        raise Feedback("it changes the pretrained weights.")


def _test_places(model):
    """LoRA of rank 2 stands in the qkv of every layer, and nowhere else."""
    found = dict(tunings(model))
    if not any(isinstance(module.config, LoRAConfig) for module in found.values()):
        raise Feedback("there are no LoRA factors in the model.")
    wanted = {f"encoder.layers.{i}.attention.qkv" for i in range(len(model.encoder.layers))}
    if set(found) != wanted:
        raise Feedback(
            f"expected LoRA in {', '.join(sorted(wanted))} and nowhere else, found it in "
            f"{', '.join(sorted(found))}."
        )
    for module in found.values():
        if module.config.rank != 2:
            raise Feedback(f"expected rank 2, got {module.config.rank}.")


# 11.9 the highest rank

_EXACT_RANK = 630e6 / 100 / 2 / (24 * 4 * (1024 + 1024))


def _test_rank(answer):
    if isinstance(answer, float) and 16 < answer < 16.1:
        raise Feedback("a rank is a whole number: round down.")
    compare(answer, 16, "the highest rank")


EXERCISES = {
    "11.1": Exercise(
        "Predict the head alone",
        3,
        1,
        60.0,
        prediction(0, 100, "%"),
        (
            "Any number of per cent is an answer.",
            "Above stand what can be done without pictures, and what all weights give.",
        ),
    ),
    "11.2": Exercise(
        "The forward pass of LoRA",
        10,
        1,
        _forward,
        _test_forward,
        (
            "Two summands: what the frozen layer gives, and the detour through A, then B. Rows of "
            "x are examples, so a matrix M acts as x @ M.T.",
            "First x @ A.T, of shape (batch, rank). Which transposed matrix comes then, and what "
            "is multiplied by `scale`?",
        ),
        mistakes=(
            (_no_scale, "The factor `scale` isn't used."),
            (_no_linear, "The frozen layer's own output is missing."),
            (_without_bias, "The frozen layer has a bias too: call it, as linear(x)."),
            (_scales_all, "Only the detour is multiplied by `scale`, not the frozen layer."),
            (_after_the_linear, "A reads x, not what the frozen layer puts out."),
            (_other_order, "A matrix M acts on rows as x @ M.T, and A comes first."),
            (_minus, "The detour is added, not subtracted."),
            (_over_rank, "`scale` is alpha / r already: don't divide by the rank again."),
            (_cuts_the_input, ""),
            (_into_the_weight, ""),
            (_no_gradient, ""),
        ),
    ),
    "11.3": Exercise(
        "Where to start",
        5,
        2,
        "a",
        choice(
            "a",
            {
                "b": "The gradients above: with both at 0, the gradient of each is a product with "
                "the other, which is 0, in the first batch and in all that follow.",
                "c": "Nearly isn't exactly: a random change of every layer at once disturbs what "
                "was learnt, and the first updates go into undoing it.",
                "d": "It is exact at first (some methods do it, with factors taken from W "
                "itself), but the base changes: it can no longer be shared by a hundred tunings.",
            },
        ),
        (
            "Two wishes: the first outputs are the pretrained ones, and something gets a gradient.",
            "Look at the printed gradients for B = 0 and for both 0.",
        ),
    ),
    "11.4": Exercise(
        "Count the weights",
        5,
        1,
        _count,
        _test_count,
        (
            "A has a row for each of the ranks and as many columns as the matrix has inputs. And "
            "B?",
            "A is (rank, in) and B is (out, rank): count both, and sum over the matrices.",
        ),
        mistakes=(
            (_whole_matrices, "That is the size of the matrices themselves."),
            (_only_a, "That counts A only."),
            (_only_b, "That counts B only."),
            (_product, "A and B are added up, not multiplied: rank * (out + in)."),
            (_square, "Not every matrix is square: B has `out` rows."),
        ),
    ),
    "11.5": Exercise(
        "Merge",
        5,
        1,
        _merged,
        _test_merged,
        (
            "The change of the weight is a matrix of the weight's size. Which product of A and B "
            "has `out` rows and `in` columns?",
            "It is multiplied by `scale` and added to W, but not with `+=`, which would change W.",
        ),
        mistakes=(
            (_delta_only, "That is the change alone; the old weight is missing."),
            (_forgot_scale, "The factor `scale` isn't used."),
            (_transposed, "Your product is transposed: rows of W are outputs."),
            (_in_place, "You change W itself; return a new tensor."),
            (_a_times_b, "B @ A has `out` rows and `in` columns; A @ B is rank x rank."),
            (_subtracted, "The change is added, not subtracted."),
            (_divided_by_rank, "`scale` is alpha / r already: don't divide by the rank again."),
        ),
    ),
    "11.6": Exercise(
        "Attention with a prefix",
        10,
        2,
        _prefix,
        _test_prefix,
        (
            "To the queries, the keys of the prefix are keys like the others. So nothing is new "
            "but what is stacked on what.",
            "One softmax over the scores of both kinds of keys gives all weights. Which of its "
            "columns add up to the share of the prefix?",
        ),
        mistakes=(
            (_unscaled_prefix, "The scores aren't divided by the root of `dim`."),
            (_two_softmaxes, "Two softmaxes: the prefix and the rest have to share one sum."),
            (_old_share, "That is the share of the real keys; the prefix has the rest."),
            (_other_axis, "The softmax goes over the keys, for each query: along axis 1."),
            (_no_values, "The prefix takes its share, but its values are missing."),
            (_ratio, "That is Z' / Z; the share is Z' / (Z + Z')."),
            (_dead_prefix, ""),
        ),
    ),
    "11.7": Exercise(
        "What may be reported",
        8,
        2,
        _reported,
        _test_reported,
        (
            "Which seeds are there? For each of them, which of its runs has the best validation?",
            "`max` with a key does the choice; a key may be a pair, whose second entry decides "
            "where the first ones are equal. Which sign lets the lower rate win?",
        ),
        mistakes=(
            (_best_on_test, "That chooses the rate on the test, which is to judge the choice."),
            (_first_of_equals, "Of two equally good rates you take the first in the list."),
            (_higher_rate, "Of two equally good rates you take the higher one."),
            (_validation_itself, "That is the validation accuracy of the chosen runs."),
            (_one_for_all, "That is one run; each seed has a choice of its own."),
            (_one_rate, "That is one rate for all seeds; each seed has a choice of its own."),
            (_mean_over_rates, "That is the mean over the rates; nothing was chosen."),
            (_as_they_come, "The seeds come in the order of the list, not in rising order."),
        ),
    ),
    "11.8": Exercise(
        "The forgotten head",
        10,
        2,
        _prepare,
        _test_prepare,
        (
            "Which parameters does the optimiser know when it is built first? And who trains the "
            "head?",
            "The optimiser keeps the list that it is given: what must be settled before it? And "
            "what does `keep` of freeze_base do?",
        ),
        mistakes=(
            (_frozen_head, ""),
            (_early_optimizer, ""),
            (_nothing_frozen, ""),
            (_no_factors, ""),
            (_too_early_for_the_base, ""),
            (_first_layer, ""),
            (_also_out, ""),
            (_adapters, ""),
            (_no_bias, ""),
            (_zeroed, ""),
        ),
    ),
    "11.9": Exercise(
        "The highest rank",
        5,
        2,
        16,
        _test_rank,
        (
            "How many bytes may one tuning take, and how many does one rank take?",
            "6.3 MB a tuning are 3.15 million numbers; one rank takes 24 * 4 * (1024 + 1024).",
        ),
        mistakes=(
            (32, "Either you count one byte a number instead of two, or A without B."),
            (8, "You count four bytes a number, or something twice."),
            (64, "There are four matrices in each layer."),
            (384, "There are 24 layers."),
            (1602, "That is for one tuning; there are 100."),
            (17, "Rounded up, the tunings don't fit."),
            (_EXACT_RANK, ""),
            (
                0,
                "Not one whole rank? One rank takes 1024 + 1024 numbers a matrix, not 1024 * 1024.",
            ),
        ),
    ),
}

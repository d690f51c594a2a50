# ---
# jupyter:
#   course:
#     title: Training well
#     needs: ["04", "05", "07", "08"]
# ---

# %% [markdown]
# Lesson 08 called `fit` and got a good model. Inside `fit` stand a dozen decisions: which
# optimiser, how large a step, when to stop, what to keep fixed. A wrong one seldom gives an error.
# It gives a model that is a bit worse, or a number that is a bit too good.
#
# In this lesson you will
#
# - derive SGD, momentum, Adam and AdamW, and take the steps that PyTorch takes;
# - find a learning rate, warm it up and let it fall;
# - stop in time, and measure how far a score is too good when the test has chosen the model;
# - freeze parts of a model and see what that saves, in operations, memory and accuracy;
# - split a batch into pieces, and a training into processes, without changing its result;
# - kill a training at a random moment, start it again, and get the same weights to the bit;
# - watch curves in TensorBoard, and let a search choose settings.

# %% tags=["setup"]
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from course_utils.checks import check, hint, quiz
from course_utils.datasets import loader
from course_utils.methods.answering import base_model
from course_utils.methods.probe import (
    Features,
    SmallConfig,
    accuracy,
    features,
    small_network,
    train_small,
)
from course_utils.notebook import lab, plots
from course_utils.studies import freezing, small_runs, tuning_curve
from course_utils.training.fit import (
    FitConfig,
    fit,
    parameter_groups,
    train_mode,
    warmup_cosine,
)
from course_utils.training.freezing import cost
from course_utils.training.memory import checkpoint_layers, saved_bytes
from course_utils.training.objective import answer_objective
from course_utils.training.optimizers import SGD, Adam, AdamConfig, SGDConfig
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

# %% [markdown]
# ## 1. A valley · core
#
# Near a minimum every smooth loss looks like a bowl, steep in some directions and flat in others.
# The smallest such bowl has two weights:
#
# $$L(w) = \tfrac12 (\lambda_1 w_1^2 + \lambda_2 w_2^2), \qquad \lambda_1 = 1,\ \lambda_2 = 25 .$$
#
# Its gradient is $(\lambda_1 w_1, \lambda_2 w_2)$. **Gradient descent** with learning rate $\eta$
# subtracts $\eta$ times the gradient, so each weight is multiplied, in every step, by its own
# factor:
#
# $$w_i \leftarrow w_i - \eta \lambda_i w_i = (1 - \eta \lambda_i)\, w_i .$$

# %% [markdown]
# It shrinks as long as $|1 - \eta\lambda_i| < 1$, that is, $\eta < 2 / \lambda_i$. The *steepest*
# direction sets the limit, here $2/25 = 0.08$. The *flattest* direction pays: at $\eta = 0.07$ its
# weight shrinks by the factor 0.93 only.

# %%
CURVES = torch.tensor([1.0, 25.0], dtype=torch.float64)  # (weights,)


def path(make, steps=100):
    """The weights after each step, (steps + 1, 2), from (10, 2)."""
    # (weights,)
    w = nn.Parameter(torch.tensor([10.0, 2.0], dtype=torch.float64))
    optimizer, places = make([w]), [w.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * CURVES * w**2).sum().backward()
        optimizer.step()
        places.append(w.detach().clone())
    return torch.stack(places)  # (steps + 1, weights)


paths = {
    "SGD, rate 0.07": path(lambda p: SGD(p, SGDConfig(0.07))),
    "SGD, rate 0.081": path(lambda p: SGD(p, SGDConfig(0.081))),
    "momentum 0.6, rate 0.07": path(
        lambda p: SGD(p, SGDConfig(0.07, momentum=0.6))
    ),
    "Adam, rate 0.5": path(lambda p: Adam(p, AdamConfig(0.5))),
}

# %% tags=["figure"]
figure, axes = plt.subplots(1, 4, figsize=(11, 2.9), sharey=True)
first, second = torch.meshgrid(
    torch.linspace(-4, 11, 80), torch.linspace(-3, 3, 80), indexing="xy"
)
for axis, (name, places) in zip(axes, paths.items()):
    axis.contour(
        first,
        second,
        0.5 * (first**2 + 25 * second**2),
        levels=12,
        cmap="Greys",
        linewidths=0.6,
    )
    axis.plot(places[:40, 0], places[:40, 1], "-o", ms=2.5, lw=1)
    axis.set(title=name, xlim=(-4, 11), ylim=(-3, 3), xlabel="$w_1$ (flat)")
axes[0].set_ylabel("$w_2$ (steep)")
figure.suptitle(
    "One valley, four ways down: a rate just above the limit never arrives",
    fontsize=11,
)
plots.show(
    figure,
    alt=(
        "Forty steps in a narrow valley. SGD at 0.07 zigzags and creeps; at"
        " 0.081 it jumps further each time; momentum swings along the valley;"
        " Adam goes down in a curve."
    ),
)

# %%
start_length = paths["SGD, rate 0.07"][0].norm()
for name, places in paths.items():
    near = (places.norm(dim=1) < 0.01 * start_length).nonzero()
    arrived = (
        f"first within 1 % of the distance after {int(near[0])} steps"
        if len(near)
        else ("never within 1 % of the distance in 100 steps")
    )
    print(f"{name:24} {arrived}")
w1 = paths["SGD, rate 0.07"][:, 0]  # (steps + 1,)
lab.claim(
    "in the flat direction each step multiplies by 0.93, to 1e-12",
    (w1[1:] / w1[:-1] - 0.93).abs().max() < 1e-12,
)
lab.claim(
    "above 2/25 the steep direction grows",
    paths["SGD, rate 0.081"][-1, 1].abs() > 2,
)

# %% [markdown]
# The ratio $\kappa = \lambda_2/\lambda_1$ is the **condition number**. At the best rate, $\eta = 2
# / (\lambda_1 + \lambda_2)$, both factors have the size $(\kappa - 1)/(\kappa + 1)$, here $24/26$:
# the number of steps that plain gradient descent needs grows like $\kappa$. (The last two of the
# four ways are the next section's. **SGD**, stochastic gradient descent, takes the gradient of a
# batch in place of the whole loss.)

# %% [markdown]
# ## 2. Momentum and Adam · core
#
# **Momentum** keeps a velocity: $u \leftarrow \beta u + g$, $w \leftarrow w - \eta u$. Across the
# valley gradients change sign and cancel. Along it they agree and add up: for a gradient that
# stays the same, $u = g\,(1 + \beta + \beta^2 + \dots) = g / (1 - \beta)$. With $\beta = 0.9$ that
# is ten times the step. (For the same step along the valley the rate may be ten times lower. The
# steep direction would even bear a higher one: its limit rises to $2 (1 + \beta) / \lambda$.)

# %% [markdown]
# **Adam** gives each weight a step of its own size: the mean of its gradients divided by the root
# of their mean square. That is about $\pm 1$ where they agree and near 0 where they cancel; their
# size drops out. It keeps a running mean of gradients, and one of their squares,
#
# $$m_t = \beta_1 m_{t-1} + (1-\beta_1)\, g_t, \qquad
#   v_t = \beta_2 v_{t-1} + (1-\beta_2)\, g_t^2 .$$

# %% [markdown]
# Both start at 0, and are too small at first. By how much? Write $m_t$ out:
# $m_t = (1-\beta_1) \sum_{i=1}^{t} \beta_1^{t-i} g_i$. If all $g_i$ have the same mean $\bar g$,
# the sum of the powers is $(1 - \beta_1^t)/(1-\beta_1)$, so $m_t$ has the mean
# $(1-\beta_1^t)\,\bar g$. Dividing by $1-\beta_1^t$ corrects it (**bias correction**), and for $v$
# likewise:
#
# $$\hat m = \frac{m_t}{1-\beta_1^t}, \qquad \hat v = \frac{v_t}{1-\beta_2^t}, \qquad
#   w \leftarrow w - \eta\, \frac{\hat m}{\sqrt{\hat v} + \epsilon} .$$

# %% [markdown]
# Usual are $\beta_1 = 0.9$, $\beta_2 = 0.999$ and $\epsilon = 10^{-8}$, which only keeps the
# divisor from 0.
#
# **By hand**, first step, $g = 2$, $\beta_1 = 0.9$, $\beta_2 = 0.999$: $m = 0.2$, $v = 0.004$;
# corrected, $\hat m = 2$ and $\hat v = 4$. The step is $\eta \cdot 2/\sqrt4 = \eta$. With $g =
# 2000$ it is $\eta$ as well. **The first step of Adam is as long as the learning rate, whatever
# the gradient.**


# %%
def after_one_step(make, scale):
    """How far one step moves a weight of 1 whose gradient is 2 * scale."""
    w = nn.Parameter(torch.ones(1, dtype=torch.float64))  # (1,)
    (2 * scale * w).sum().backward()
    make([w]).step()
    return 1 - w.item()


rows = [
    [name, *(f"{after_one_step(make, scale):.4f}" for scale in (1, 10, 1000))]
    for name, make in (
        ("SGD, rate 0.01", lambda p: SGD(p, SGDConfig(0.01))),
        ("Adam, rate 0.01", lambda p: Adam(p, AdamConfig(0.01))),
    )
]
plots.table(rows, ["moved by one step, gradient:", "2", "20", "2000"])

# %% [markdown]
# ### Weight decay
#
# Large weights make steep functions. Two ways to pull weights towards 0, with a strength that is
# also called $\lambda$ (no curvature here):
#
# - **L2**: add $\tfrac{\lambda}{2}\lVert w\rVert^2$ to the loss, so $\lambda w$ to the gradient;
# - **decoupled decay**: multiply the weight by $1 - \eta\lambda$ in each step, and leave the
#   gradient alone.

# %% [markdown]
# Under plain SGD they are the same: $w - \eta(g + \lambda w) = (1 - \eta\lambda)\,w - \eta g$.
# Under Adam they are not. L2's $\lambda w$ goes into $m$ *and* $v$ and is divided by $\sqrt{\hat
# v}$: a weight with large gradients barely decays, one with tiny gradients decays the more.
# **AdamW** (Loshchilov and Hutter) is Adam with decoupled decay: every weight shrinks by the same
# share.

# %% [markdown]
# > **Exercise 09.1 · write it** · core · difficulty 2 of 3 · 15 minutes
# >
# > One step of AdamW for one tensor. Return new tensors; `t` is 1 in the first step.


# %%
def adamw_step(w, g, m, v, t, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.01):
    """w, g, m, v: tensors of one shape -> (new w, new m, new v)."""
    ### BEGIN SOLUTION
    # as w: decoupled, before the step and without the gradient
    w = w * (1 - lr * decay)
    m = beta1 * m + (1 - beta1) * g  # as w
    v = beta2 * v + (1 - beta2) * g**2  # as w
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)  # as w
    return w - lr * m_hat / (v_hat.sqrt() + eps), m, v
    ### END SOLUTION


# %%
adamw_step = check("09.1", adamw_step)

# %% [markdown]
# Now a small network: 200 steps of that function against 200 of `torch.optim.AdamW`.


# %%
def train_on_noise(model, step, count, dtype=torch.float64):
    """`count` steps on the same random regression; `step()` is called when
    the gradients are there."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        # (batch, features)
        x = torch.randn(16, 6, generator=generator).to(dtype)
        model.zero_grad()
        (model(x) - x[:, :2].sin()).square().mean().backward()
        step()


def by_hand(model):
    """AdamW by `adamw_step` for all parameters of a model."""
    memory = {
        p: (torch.zeros_like(p), torch.zeros_like(p))
        for p in model.parameters()
    }
    t = 0

    @torch.no_grad()
    def step():
        nonlocal t
        t += 1
        for p in model.parameters():
            new, *memory[p] = adamw_step(
                p.detach(), p.grad, *memory[p], t, lr=0.01
            )
            p.copy_(new)

    return step


def largest_difference(one, other):
    return max(
        (a - b).abs().max().item()
        for a, b in zip(one.parameters(), other.parameters())
    )


# %%
for dtype, count, bound in (
    (torch.float64, 200, 1e-12),
    (torch.float32, 10, 1e-6),
):
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 2)).to(
        dtype
    )
    theirs = copy.deepcopy(ours)
    train_on_noise(ours, by_hand(ours), count, dtype)
    train_on_noise(
        theirs, torch.optim.AdamW(theirs.parameters(), 0.01).step, count, dtype
    )
    name = str(dtype).removeprefix("torch.")
    lab.claim(
        f"after {count} steps in {name} the weights differ from torch's by less"
        f" than {bound}",
        largest_difference(ours, theirs) < bound,
    )

# %% [markdown]
# The package has them all in `optimizers`, written to be read; its tests hold SGD, momentum
# (Nesterov's too), Adam with L2 and AdamW to torch's in the same way. Now decay itself. Two
# weights of 1, one with gradients of 10 and one with gradients of 0.01, their sign changing in
# every step, 20 steps:


# %%
def shrunk(make, decay):
    """By how many per cent decay shrinks a weight with large gradients and one
    with small ones, (2,)."""
    gradients = torch.tensor([10.0, 0.01], dtype=torch.float64)  # (weights,)
    ends = []
    for amount in (0.0, decay):
        w = nn.Parameter(torch.ones(2, dtype=torch.float64))  # (weights,)
        optimizer = make([w], amount)
        for step in range(20):
            optimizer.zero_grad()
            (w * gradients * (-1) ** step).sum().backward()
            optimizer.step()
        ends.append(w.detach())
    return 100 * (ends[0] - ends[1])  # (weights,)


kinds = {
    "SGD, L2": lambda p, d: SGD(p, SGDConfig(0.01, weight_decay=d)),
    "Adam, L2": lambda p, d: Adam(
        p, AdamConfig(0.01, weight_decay=d, decoupled=False)
    ),
    "AdamW, decoupled": lambda p, d: Adam(p, AdamConfig(0.01, weight_decay=d)),
}
found = {name: shrunk(make, 0.5) for name, make in kinds.items()}
rows = [
    [name, *(f"{share:.1f} %" for share in both.tolist())]
    for name, both in found.items()
]
plots.table(rows, ["decay 0.5", "large gradients", "small gradients"])

# %%
lab.claim(
    "under Adam, L2 does less than a fifth of decoupled decay where gradients"
    " are large",
    found["Adam, L2"][0] < 0.2 * found["AdamW, decoupled"][0],
)
lab.claim(
    "decoupled decay shrinks both weights alike, to a tenth of a point",
    (found["AdamW, decoupled"][0] - found["AdamW, decoupled"][1]).abs() < 0.1,
)

# %%
torch.manual_seed(0)
l2 = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 2)).double()
decoupled = copy.deepcopy(l2)
plain = SGD(decoupled.parameters(), SGDConfig(0.05))


@torch.no_grad()
def decay_then_step():
    for p in decoupled.parameters():
        p *= 1 - 0.05 * 0.1  # 1 - lr * decay: the factor lr belongs to it
    plain.step()


train_on_noise(
    l2, SGD(l2.parameters(), SGDConfig(0.05, weight_decay=0.1)).step, 200
)
train_on_noise(decoupled, decay_then_step, 200)
lab.claim(
    "under plain SGD, L2 and decay by 1 - lr * decay agree after 200 steps to"
    " 1e-12",
    largest_difference(l2, decoupled) < 1e-12,
)

# %% [markdown]
# ### What should decay · extra
#
# Decay says: without evidence, be 0. For the entry of a matrix that makes sense. For the *scale*
# of a normalisation 0 would silence the layer; a bias only shifts; and the vector of a rare word
# would decay in all the steps in which its word doesn't occur, since decoupled decay doesn't ask
# for a gradient. So matrices and convolutions decay; biases, norms and embeddings don't.

# %% [markdown]
# > **Exercise 09.2 · write it** · extra · difficulty 2 of 3 · 10 minutes
# >
# > The names (as `model.named_parameters()` gives them) of the parameters that should decay, as a
# > set. An embedding is an `nn.Embedding`; a bare `nn.Parameter` of two or more dimensions decays.
# > Frozen ones belong to no group.


# %%
def decaying(model):
    """model -> set of names of parameters."""
    ### BEGIN SOLUTION
    embeddings = {
        id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)
    }
    return {
        name
        for name, p in model.named_parameters()
        if p.requires_grad and p.ndim > 1 and id(p) not in embeddings
    }
    ### END SOLUTION


# %%
decaying = check("09.2", decaying)


# %%
class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.conv = nn.Embedding(5, 4), nn.Conv1d(4, 4, 3)
        self.norm, self.frozen = (
            nn.LayerNorm(4),
            nn.Linear(4, 4).requires_grad_(False),
        )


small = Small()
names = {id(p): name for name, p in small.named_parameters()}
groups = parameter_groups(small, weight_decay=0.01)
for group in groups:
    print(
        f"decay {group['weight_decay']:4}:",
        ", ".join(names[id(p)] for p in group["params"]),
    )
lab.claim(
    "the package puts the same names into the group that decays",
    {names[id(p)] for p in groups[0]["params"]} == decaying(small),
)

# %% [markdown]
# ## 3. The learning rate · core
#
# Few numbers matter as much. To see it, a network that trains in a fraction of a second: one
# hidden layer over what the pretrained model of lesson 07 says about a question and a picture.
# That model is frozen, so its $h$ is computed once. 1,600 answers to learn from; every rate three
# times.

# %%
train = features("train", 400, seed=100)  # h (1600, 64), y (1600,)
validation = features("validation", 375)  # h (1500, 64), y (1500,)
majority = 100 * validation.y.bincount().max().item() / len(validation.y)
EPOCHS = lab.steps(cpu=8, gpu=8)
trained = cache(train_small)  # settings and seed that were met before: no work


def scores(seeds=3, data=train, **changes):
    """Validation accuracies in per cent of so many changed trainings."""
    config = SmallConfig(**{"epochs": EPOCHS} | changes)
    models = [
        trained(config, data, 100 * lab.seed + seed) for seed in range(seeds)
    ]
    return [100 * accuracy(model, validation) for model in models]


rates = [10 ** (-4 + i / 2) for i in range(10)]
sweep = {
    kind: [scores(lr=rate, optimizer=kind) for rate in rates]
    for kind in ("sgd", "adamw")
}

# %% tags=["figure"]
figure, axis = plt.subplots(figsize=(6.4, 3.4))
for i, (kind, name) in enumerate(
    (("sgd", "SGD with momentum 0.9"), ("adamw", "AdamW"))
):
    values = np.array(sweep[kind])  # (rates, seeds)
    axis.errorbar(
        rates,
        values.mean(1),
        values.std(1, ddof=1),
        marker="so"[i],
        ms=4,
        capsize=2,
        linestyle=plots.DASHES[i],
        label=name,
    )
axis.axhline(majority, linestyle=":", color="grey", label="commonest answer")
axis.set(
    xscale="log",
    xlabel="learning rate",
    ylabel="validation accuracy (%)",
    title=(
        "A tenth or ten times the best rate costs more than the optimiser's"
        " name"
    ),
)
axis.legend(fontsize=8)
plots.show(
    figure,
    alt=(
        "Validation accuracy against the learning rate over five decades for"
        " SGD and AdamW: both rise to a narrow top and fall to the commonest"
        " answer; AdamW's top lies at a smaller rate."
    ),
)

# %%
# (rates,) each
means = {kind: np.array(values).mean(1) for kind, values in sweep.items()}
best_rate = {kind: int(m.argmax()) for kind, m in means.items()}
gap = abs(means["sgd"].max() - means["adamw"].max())
for kind, i in best_rate.items():
    print(
        f"{kind:6} at its best rate"
        f" {lab.measured(f'09.best_{kind}', means[kind][i], '%')}, at a tenth"
        f" of it {lab.measured(f'09.tenth_{kind}', means[kind][i - 2], '%')}"
    )
    lab.claim(
        f"{kind}: a tenth of the best rate loses more than the two optimisers"
        " differ",
        means[kind][i] - means[kind][i - 2] > 2 * gap,
    )

# %% [markdown]
# Each optimiser has a rate of its own: what is right for AdamW is far too little for SGD here. To
# compare two optimisers at *one* rate compares nothing. At the best rate of each they differ by
# far less than a wrong rate costs. (At the smallest rates both lie below the most common answer:
# after so few tiny steps they haven't even learnt which answers are common.)

# %% [markdown]
# ### Finding it with one run
#
# A sweep of ten rates costs ten trainings. The **range test** (Smith 2015) costs one short one:
# raise the rate a little in every update, from far too small to far too large, and write down the
# loss. It stays, falls, and explodes. By a common rule of thumb (not Smith's own) a good highest
# rate lies where the loss falls fastest, before its minimum.

# %% [markdown]
# > **Exercise 09.3 · write it** · core · difficulty 2 of 3 · 12 minutes
# >
# > The rate where the loss falls fastest *per factor of the rate*: the difference of neighbouring
# > losses divided by the difference of the logarithms of their rates is lowest between two rates;
# > return the smaller of those two. Rates rise, but not evenly. Ignore everything behind the
# > lowest loss (which itself still counts, and isn't the first).


# %%
def steepest_rate(rates, losses):
    """rates, losses: tensors (n,) -> a float."""
    ### BEGIN SOLUTION
    end = int(losses.argmin()) + 1
    slopes = losses[:end].diff() / rates[:end].log().diff()  # (end - 1,)
    return rates[int(slopes.argmin())].item()
    ### END SOLUTION


# %%
steepest_rate = check("09.3", steepest_rate)


# %%
def range_test(low=1e-4, high=10.0, updates=120, smooth=0.85):
    """Rates (updates,) and smoothed losses (updates,), the rate rising."""
    torch.manual_seed(lab.seed)
    model = small_network(train.h.shape[1], train.answers, SmallConfig())
    optimizer = torch.optim.AdamW(model.parameters(), lr=low)
    tried = torch.logspace(np.log10(low), np.log10(high), updates)  # (updates,)
    mean, losses = 0.0, []
    for t, rate in enumerate(tried.tolist(), start=1):
        optimizer.param_groups[0]["lr"] = rate
        rows = torch.randint(len(train.y), (64,))  # (batch,)
        loss = F.cross_entropy(model(train.h[rows]), train.y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mean = smooth * mean + (1 - smooth) * loss.item()
        losses.append(mean / (1 - smooth**t))  # corrected as Adam's mean is
    return tried, torch.tensor(losses)


tried, losses = range_test()
suggestion = steepest_rate(tried, losses)

# %% tags=["figure"]
figure, axis = plt.subplots(figsize=(6, 3))
axis.plot(tried, losses.clamp(max=6))
axis.axvline(suggestion, linestyle="--", color="C1", label="fastest fall")
axis.axvline(
    rates[best_rate["adamw"]],
    linestyle=":",
    color="black",
    label="best of the sweep",
)
axis.set(
    xscale="log",
    xlabel="learning rate",
    ylabel="smoothed loss",
    title="One short run with a rising rate finds the region",
)
axis.legend()
plots.show(
    figure,
    alt=(
        "Loss against a rising learning rate: level at first, falling, lowest"
        " near a tenth, then rising steeply. The dashed line stands shortly"
        " before the lowest loss."
    ),
)

# %%
lab.claim(
    "the suggestion lies within a factor of 10 of the best rate of the sweep",
    0.1 < suggestion / rates[best_rate["adamw"]] < 10,
)

# %% [markdown]
# It finds the region, not the rate: differences of neighbours are noisy, so the dashed line
# needn't stand where the eye sees the fastest fall, and it depends on smoothing and on the batch.
# Then try two or three rates around it.

# %% [markdown]
# ### Warm-up and cosine
#
# At first, Adam's $v$ rests on a few gradients only; so the rate rises slowly (**warm-up**). At
# the end, noise of the batches keeps the weights jumping about the minimum by an amount that grows
# with the rate; so it falls to 0. In between `fit` follows half a cosine. With $T$ updates, $W$ of
# them warm-up:
#
# $$\eta_t = \eta \cdot \begin{cases} (t+1)/W & t < W \\
#   \tfrac12\left(1 + \cos \pi \frac{t - W}{T - W}\right) & t \ge W \end{cases}$$

# %% [markdown]
# $t$ counts **updates**. Not epochs, and not batches either, once several batches make one update.
# What if the schedule is moved on four times an update, as when it stands inside the loop over
# four pieces of a batch? It is at its end after a quarter of the training:

# %%
updates = 200
factors = {
    name: [warmup_cosine(ticks * t, 20, updates) for t in range(updates)]
    for name, ticks in (("once an update", 1), ("four times an update", 4))
}

# %% tags=["figure"]
figure = plots.curves(
    factors,
    "update",
    "factor of the rate",
    "Moved on too often, the rate is 0 for most of the training",
)
plots.show(
    figure,
    alt=(
        "Factor of the learning rate over 200 updates: once an update it rises"
        " for 20 and falls to 0 at 200; four times an update it is 0 from"
        " update 50 on."
    ),
)

# %%
right_way, too_often = scores(5, lr=0.01), scores(5, lr=0.01, ticks=4)
print(
    "once an update:      "
    f" {lab.measured('09.ticks_1', np.mean(right_way), '%')}"
)
print(
    "four times an update:"
    f" {lab.measured('09.ticks_4', np.mean(too_often), '%')}"
)
lab.claim(
    "the schedule that runs four times too fast costs more than ten points"
    " here",
    np.mean(right_way) - np.mean(too_often) > 10,
)

# %% [markdown]
# The loss falls, nothing complains. Others had to fix the same slip, for example in
# [xformers](https://github.com/facebookresearch/xformers/pull/222) and in
# [a robot model's trainer](https://github.com/starVLA/starVLA/pull/210).
#
# And is the schedule worth anything? Five trainings each, constant rate against warm-up and
# cosine:

# %%
rows, better = [], {}
for rate, name in ((0.01, "low"), (0.03, "high")):
    pair = {
        kind: np.mean(scores(5, lr=rate, schedule=kind))
        for kind in ("constant", "cosine")
    }
    better[name] = pair["cosine"] - pair["constant"]
    rows.append(
        [
            f"{rate:g}",
            *(
                lab.measured(f"09.{kind}_{name}", mean, "%")
                for kind, mean in pair.items()
            ),
        ]
    )
plots.table(rows, ["rate", "constant", "warm-up and cosine"])
lab.claim(
    "the schedule gains at the higher rate and loses at the lower one",
    better["high"] > 0 > better["low"],
)

# %% [markdown]
# It depends on the rate. At the higher one the schedule helps. At the lower one the constant rate
# is better: there the weights don't get far enough in so few updates, and a rate that falls lets
# them get less far. Compare schedules, like optimisers, each at its own better rate: compared so,
# the two are equal here, within their spreads. On this small task the schedule brings nothing but
# a better rate that is three times as high.

# %% [markdown]
# ## 4. Dropout, and when to stop · core
#
# **Dropout** sets each hidden value to 0 with probability $p$ while training, so that no value can
# rely on another. What stays is divided by $1-p$: with $b = 1$ with probability $1-p$ and 0
# otherwise, $E[b\,a/(1-p)] = a$. So in eval mode nothing has to be changed.

# %%
torch.manual_seed(0)
drop, a = nn.Dropout(0.25), torch.full((100_000,), 3.0)  # (n,)
kept = drop(a)  # (n,)
print(
    "values after dropout:",
    sorted(set(kept.tolist())),
    f"mean {kept.mean():.2f}",
)
print("in eval mode:", set(drop.eval()(a).tolist()))
few = Features(train.h[:200], train.y[:200], train.answers)
rows = []
for p in (0.0, 0.5, 0.8):
    row = [f"{p}"]
    for name, data, count in (("few", few, 40), ("all", train, 16)):
        epochs = min(count, 5 * EPOCHS)
        found = scores(3, data, lr=0.01, width=256, dropout=p, epochs=epochs)
        row.append(lab.measured(f"09.dropout_{name}_{p}", np.mean(found), "%"))
    rows.append(row)
plots.table(rows, ["dropout", "200 answers to learn from", "1,600"])

# %% [markdown]
# A hypothesis that proved false: dropout should help, most of all with few examples. Here, with a
# small network on good frozen features, a half changes nothing with 200 answers that could be told
# from noise. With 1,600 it costs a little (perhaps because the training is short), and
# 0.8 costs much. Dropout is one thing to try, not a law.

# %% [markdown]
# ### Early stopping
#
# With 200 answers the network goes on fitting them long after validation has stopped improving. We
# watch with `fit`: 40 passes, the loss of both parts.


# %%
def few_loader(seed):
    return DataLoader(
        TensorDataset(few.h, few.y),
        32,
        shuffle=True,
        generator=torch.Generator().manual_seed(seed),
    )


def mean_loss(model, data):
    with torch.no_grad():
        return F.cross_entropy(model(data.h), data.y).item()


def feature_objective(model, batch):
    h, y = batch  # (batch, 64), (batch,)
    return F.cross_entropy(model(h), y)


# %%
def watched(patience, epochs=lab.steps(cpu=40, gpu=40)):
    """Losses of training and validation after each epoch, and the history."""
    torch.manual_seed(lab.seed)
    model = small_network(64, few.answers, SmallConfig(width=256))
    seen = {"train": [], "validation": []}

    def score(model):  # higher is better
        seen["train"].append(mean_loss(model, few))
        seen["validation"].append(mean_loss(model, validation))
        return -seen["validation"][-1]

    config = FitConfig(epochs=epochs, lr=0.01, patience=patience)
    history = fit(
        model,
        feature_objective,
        few_loader(lab.seed),
        score,
        config,
        progress=False,
        device="cpu",
    )
    return seen, history


# %%
seen, history = watched(patience=0)

# %% tags=["figure"]
figure = plots.curves(
    seen,
    "epoch",
    "loss (nats)",
    "Training goes on falling; validation turns round and rises",
)
figure.axes[0].axvline(1 + history.best_epoch, linestyle=":", color="grey")
plots.show(
    figure,
    alt=(
        "Loss of training and validation over 40 epochs: training falls to near"
        " 0, validation falls, reaches its lowest value, marked by a line, and"
        " rises."
    ),
)

# %%
lab.claim(
    "at the end validation's loss is a tenth above its lowest, and training's"
    " is the lowest",
    seen["validation"][-1] > 1.1 * min(seen["validation"])
    and seen["train"][-1] < 1.05 * min(seen["train"]),
)

# %% [markdown]
# So keep the weights of the best epoch, and stop when there was none better for `patience` epochs.
# Two details: a tie is not better, and patience counts from the *best* epoch, not from the last
# rise.

# %% [markdown]
# > **Exercise 09.4 · write it** · core · difficulty 2 of 3 · 10 minutes
# >
# > Given the validation scores that epochs would have (higher is better), say where training
# > stops: how many epochs are run, and which was the best, counted from 0.


# %%
def early_stop(scores, patience):
    """scores: list of floats -> (epochs run, best epoch)."""
    ### BEGIN SOLUTION
    best = 0
    for epoch, score in enumerate(scores):
        if score > scores[best]:
            best = epoch
        elif epoch - best >= patience:
            return epoch + 1, best
    return len(scores), best
    ### END SOLUTION


# %%
early_stop = check("09.4", early_stop)

# %%
stopped, short = watched(patience=5)
lab.claim(
    "`fit` stops where your function says, and keeps the same epoch",
    early_stop(history.score, 5) == (len(short.score), short.best_epoch),
)

# %% [markdown]
# ## 5. A score that has chosen is no longer a score · core
#
# Why measure on validation, and not on the test at once? "I only look, I don't train on it." But
# choosing is learning too, if only a little.
#
# An experiment: the small network, trained 100 times with *the same settings*; only the seed
# differs. Each is tested with 300 questions, and the best of the 100 is reported with its score.
# How good is it really? We can know, since in our world questions cost nothing: 12,000 new ones,
# in 40 parts of 300. Each part is once the test, and all the others tell the truth. For comparison
# the choice is also made on validation: the next part of 300 chooses, the test part reports. For
# fewer than 100 runs to choose from, some are drawn at random, twenty times.

# %% [markdown]
# > **Exercise 09.5 · predict** · core · difficulty 1 of 3 · 3 minutes
# >
# > By how many percentage points is the reported score of the best of 100 too high, on average?

# %%
my_prediction = None
### BEGIN SOLUTION
my_prediction = 2.0
### END SOLUTION

# %%
my_prediction = check("09.5", my_prediction)

# %%
runs = json.loads(lab.data_path("studies/small_runs.json").read_text())["runs"]
SIZES = (1, 2, 5, 10, 20, 50, 100)


def reported_and_true(kind, tries, chosen_on_test, repeats=20):
    """Of the best of `tries` runs: its score on the test part and on all
    others, (parts,) each."""
    # (runs, parts)
    right = np.array([run["right"] for run in runs if run["kind"] == kind])
    share = 100 * right / small_runs.QUESTIONS
    draw, parts = np.random.default_rng(0), share.shape[1]
    reported, true = np.zeros((parts, repeats)), np.zeros((parts, repeats))
    for test in range(parts):
        chooses = test if chosen_on_test else (test + 1) % parts
        others = [
            part
            for part in range(parts)
            if part not in (test, (test + 1) % parts)
        ]
        for k in range(repeats):
            some = draw.choice(len(share), tries, replace=False)
            best = some[share[some, chooses].argmax()]
            reported[test, k], true[test, k] = (
                share[best, test],
                share[best][others].mean(),
            )
    return reported.mean(1), true.mean(1)


too_good = {}  # (kind, chosen on): for each size (parts,) how much too high
for kind in small_runs.KINDS:
    for on_test in (False, True):
        pairs = [reported_and_true(kind, tries, on_test) for tries in SIZES]
        too_good[kind, on_test] = np.array(
            [reported - true for reported, true in pairs]
        )

# %% tags=["figure", "result"]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.3), sharey=True)
for axis, kind in zip(axes, reversed(small_runs.KINDS)):
    for i, (on_test, name) in enumerate(
        ((True, "chosen on the test"), (False, "chosen on validation"))
    ):
        values = too_good[kind, on_test]  # (sizes, parts)
        error = values.std(1, ddof=1) / values.shape[1] ** 0.5
        axis.errorbar(
            SIZES,
            values.mean(1),
            error,
            marker="os"[i],
            ms=4,
            capsize=2,
            linestyle=plots.DASHES[i],
            label=name,
        )
    axis.axhline(0, color="grey", lw=0.8)
    axis.set(
        xscale="log",
        xlabel="runs to choose from",
        title=kind,
        xticks=SIZES,
        xticklabels=SIZES,
    )
    axis.minorticks_off()
axes[0].set_ylabel("reported minus true (points)")
axes[0].legend(fontsize=8)
figure.suptitle(
    "The more runs a test chooses from, the more it flatters the winner",
    fontsize=11,
)
plots.show(
    figure,
    alt=(
        "Reported minus true accuracy against the number of runs to choose"
        " from, with standard errors: chosen on the test it rises steadily,"
        " chosen on validation it stays at 0."
    ),
)


# %% tags=["result"]
from scipy.stats import t as student


def interval(values):
    """Mean and 95 % interval of independent values: "2.0 (1.5 to 2.5)"."""
    mean, error = values.mean(), values.std(ddof=1) / len(values) ** 0.5
    reach = student.ppf(0.975, len(values) - 1) * error
    return f"{mean:.1f} ({mean - reach:.1f} to {mean + reach:.1f})"


for kind in reversed(small_runs.KINDS):
    # (parts,), same test part
    flattery = too_good[kind, True][-1] - too_good[kind, False][-1]
    error = flattery.std(ddof=1) / len(flattery) ** 0.5
    print(f"{kind}: the best of 100 is too good by {interval(flattery)} points")
    lab.claim(
        "choosing on the test flatters, by more than three standard errors",
        flattery.mean() > 3 * error,
    )
    clean = too_good[kind, False][-1]
    lab.claim(
        "choosing on validation does not: within three standard errors of 0",
        abs(clean.mean()) < 3 * clean.std(ddof=1) / len(clean) ** 0.5,
    )
print(f"predicted: {my_prediction:.1f} points")

# %% [markdown]
# (In brackets the 95 % interval over the 40 parts. The figure's bars are wider: the parts differ
# in difficulty. Both curves share that, so their *difference* at 100, which is printed, is known
# better.) Nobody trained on the test. Still the best of 100 runs looks almost three points better
# than it is. The reason: a score on 300 questions is the true accuracy plus noise, and the largest
# of 100 noisy numbers is large *because* of its noise.

# %% [markdown]
# How large? Let true accuracies vary with standard deviation $\sigma$ between runs, and the noise
# on one test with $s$. All runs answer the *same* questions: that these are easier or harder than
# others moves every score alike and doesn't change who wins. So $s$ is only the part of the noise
# in which the runs differ, and smaller than the $\sqrt{p(1-p)/n}$ of independent questions. A
# score varies with $\sqrt{s^2 + \sigma^2}$. The largest of $k$ normal numbers lies $c_k$ standard
# deviations above the mean. And of what a score lies above the mean, the share $s^2 / (s^2 +
# \sigma^2)$ is noise, in the mean: that is the slope of the line of noise on score, covariance
# over variance. So
#
# $$\text{flattery} \approx c_k \sqrt{s^2 + \sigma^2} \cdot \frac{s^2}{s^2 + \sigma^2}
#   = \frac{c_k\, s^2}{\sqrt{s^2 + \sigma^2}} .$$

# %%
c_100 = np.random.default_rng(0).normal(size=(20_000, 100)).max(1).mean()
right = np.array(
    [run["right"] for run in runs if run["kind"] == "only the seed changed"]
)
share = 100 * right / small_runs.QUESTIONS  # (runs, parts)
true = share.mean(1, keepdims=True)  # (runs, 1)
noise = (share - true - (share - true).mean(0)).std(0, ddof=1).mean()
between = max(0.0, true.var(ddof=1) - noise**2 / share.shape[1]) ** 0.5
print(
    f"largest of 100 normal numbers: {c_100:.2f} standard deviations above the"
    " mean"
)
print(
    f"noise s = {noise:.2f} points, true accuracies sigma = {between:.2f}"
    " points"
)
print(
    "flattery by the formula:"
    f" {c_100 * noise**2 / (noise**2 + between**2) ** 0.5:.1f} points"
)

# %% [markdown]
# That is near what was measured. The formula also says why *different* settings are flattered
# less: $\sigma$ is large, the best is often really the best. But it doesn't go away, and epochs,
# seeds, prompts and thresholds are all runs to choose from. More questions make $s$ smaller;
# choosing on *other* questions makes the flattery 0. So: choose on validation, and open the test
# once.

# %% [markdown]
# ## 6. Freezing · core
#
# The model of lesson 07 has read captions in two languages and never a question. It is to answer
# Chinese questions, from 1,600 examples. What has to be trained? The cost of an update is counted:
# operations in matrix products and convolutions, and bytes that the forward pass keeps for the
# backward pass.

# %%
weights = lab.data_path("checkpoints/world_pretrained.safetensors")
asked = tuning_curve.questions("train", 400, seed=100)
batch = next(iter(loader(asked, 16, seed=0)))
STRATEGIES = [
    name for name in freezing.STRATEGIES if name != "stem frozen, in train mode"
]


def frozen_model(strategy):
    model = base_model(len(asked.answers), weights, lab.seed)
    freezing.STRATEGIES[strategy](model)
    train_mode(model)
    return model


def trained_weights(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


costs = {name: cost(frozen_model(name), batch) for name in STRATEGIES}

# %%
rows = [
    [
        name,
        f"{trained_weights(frozen_model(name)):,}",
        f"{c['forward'] / 1e6:.0f}",
        f"{c['backward'] / 1e6:.0f}",
        f"{c['held'] / 1e6:.2f}",
    ]
    for name, c in costs.items()
]
plots.table(
    rows,
    [
        "",
        "trained weights",
        "million operations forward",
        "and backward",
        "MB kept for it",
    ],
)
every = costs["nothing frozen"]
lab.claim(
    "backward costs nearly twice forward if nothing is frozen",
    1.8 < every["backward"] / every["forward"] < 2,
)

# %% [markdown]
# Forward costs the same whatever is frozen. Backward costs twice forward: for each matrix $W$ with
# $y = Wx$ one product gives the gradient of $W$ ($\partial L/\partial y \; x^\top$) and one that
# of $x$ ($W^\top \partial L/\partial y$). (Nearly: the gradient of the pixels isn't needed.) A
# frozen matrix saves the first. The second is saved too if nothing *below* is trained: then the
# backward pass ends there, and nothing has to be kept. So freezing from the bottom up saves most.
# Freezing only the top would save little.

# %% [markdown]
# Now time, which depends on the machine, and accuracy: three seeds, each at the learning rate that
# validation chose (`python -m course_utils.studies freezing`; the two extremes are from lesson 11's runs).


# %%
def seconds(step, times=lab.steps(cpu=8, gpu=8)):
    """Median seconds of a step."""
    step()  # the first is slower
    measured = []
    for _ in range(times):
        begin = time.perf_counter()
        step()
        measured.append(time.perf_counter() - begin)
    return sorted(measured)[len(measured) // 2]


def stepper(model):
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], 1e-3
    )

    def step():
        optimizer.zero_grad()
        answer_objective(model, batch).backward()
        optimizer.step()

    return step


# %% tags=["varies"]
step_time = {
    name: 1000 * seconds(stepper(frozen_model(name))) for name in STRATEGIES
}

# %%
both = []
for name in ("freezing", "tuning_curve"):
    text = lab.data_path(f"studies/{name}.json").read_text()
    both += json.loads(text)["runs"]
tuned = {
    name: [100 * run["accuracy"] for run in freezing.chosen(both, name)]
    for name in freezing.STRATEGIES
}

# %% tags=["figure", "varies"]
figure, axes = plt.subplots(1, 3, figsize=(10, 2.6), sharey=True)
shown = {
    "ms an update (this machine)": step_time.values(),
    "MB kept for backward": [c["held"] / 1e6 for c in costs.values()],
    "test accuracy (%)": [np.mean(tuned[name]) for name in STRATEGIES],
}
for axis, (label, values) in zip(axes, shown.items()):
    errors = [
        np.std(tuned[n], ddof=1) if "accuracy" in label else 0
        for n in STRATEGIES
    ]
    plots.bars_with_interval(axis, STRATEGIES, list(values), errors)
    axis.set_xlabel(label)
figure.suptitle(
    "Freezing the stem costs little, if any, accuracy; all but the head costs"
    " much",
    fontsize=11,
)
plots.show(
    figure,
    alt=(
        "Three bar charts for four strategies of freezing: time of an update, "
        "memory kept for the backward pass, and test accuracy over three seeds."
    ),
)

# %%
plots.table(
    [[name, lab.mean_spread(values, "%")] for name, values in tuned.items()],
    ["tuned on 1,600 answers", "test accuracy"],
)
for name in ("stem frozen, in train mode", "nothing frozen"):
    gaps = np.subtract(tuned[name], tuned["stem frozen"])  # (seeds,)
    print(f"{name}, minus stem frozen: {interval(gaps)} points")
lab.claim(
    "at every seed a frozen stem is better than a head alone, by more than ten"
    " points",
    min(np.subtract(tuned["stem frozen"], tuned["all frozen but the head"]))
    > 10,
)

# %% [markdown]
# **The stem can stay frozen** here: what it learnt about seeing serves for questions as well, and
# the interval of the difference to training everything holds 0. (Three seeds; it holds a point,
# too.) That saves about three quarters of the operations backward, and about as much of what is
# kept for it. (Of a whole update it is about half. What a frozen bottom says of a picture could
# even be computed once, and kept.) The head alone is cheaper still, but it costs accuracy. The top
# layer with the head lies between. (Two of the runs with a frozen stem chose the lowest rate that
# was tried; a lower one might be better still.)

# %% [markdown]
# ### Frozen is two things
#
# `requires_grad=False` keeps an optimiser away from weights. It does not stop **batch
# normalisation**, which in train mode uses the statistics of the batch and moves its running mean
# and variance, gradient or not; nor **dropout**, which goes on deleting. A frozen part has to be
# in eval mode as well. The row "in train mode" is the same training with the stem left in train
# mode. How far do the statistics drift in an epoch, if one looks on?

# %%
drifted = base_model(len(asked.answers), weights, lab.seed)
drifted.stem.requires_grad_(False)
before = copy.deepcopy(drifted.stem)
drifted.train()  # as most loops do
with torch.no_grad():
    for some in loader(asked, 16, seed=lab.seed):
        drifted(some.images, some.image_index, some.x, some.mask)
same_weights = all(
    torch.equal(a, b)
    for a, b in zip(before.parameters(), drifted.stem.parameters())
)
moved = [
    (new - old).abs().max().item()
    for (name, old), new in zip(before.named_buffers(), drifted.stem.buffers())
    if "running" in name
]
print(
    f"the weights of the frozen stem are unchanged: {same_weights}; running"
    f" statistics that moved: {sum(m > 0 for m in moved)} of {len(moved)}"
)
lab.claim(
    "without a single gradient, all running statistics of a frozen stem moved",
    same_weights and min(moved) > 0,
)

# %% [markdown]
# And the damage? We expected some. The table has none: the row "in train mode" is even ahead of
# "stem frozen", by less than three seeds can tell from 0. New and old pictures are of one world,
# so the statistics drift to nearly the same values. On other pictures, or with batches of two,
# they wouldn't. A frozen part that changes is a bug even where it costs nothing: nobody can say
# any more which model was tuned.

# %% [markdown]
# > **Exercise 09.6 · fix it** · core · difficulty 2 of 3 · 10 minutes
# >
# > This is to freeze `model.stem` (convolutions, batch normalisation, dropout), make the rest
# > ready to train, and return the optimiser. It has two defects. `train_mode` and `freeze` of the
# > package would do; write it without them.
# >
# > ```python
# > def ready(model):
# >     optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
# >     model.stem.requires_grad_(False)
# >     model.train()
# >     return optimizer
# > ```


# %%
def ready(model):
    """Freezes model.stem, makes the rest ready to train; returns an AdamW of
    what is trained."""
    ### BEGIN SOLUTION
    model.stem.requires_grad_(False)
    model.train()
    model.stem.eval()  # after train(), which reaches every part
    return torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=1e-3
    )
    ### END SOLUTION


# %%
ready = check("09.6", ready)

# %% [markdown]
# ## 7. A batch in pieces · core
#
# Large batches give quieter gradients, and need memory. **Accumulation** takes a batch in $k$
# pieces, adds up their gradients, and makes one update. The mean over $B$ examples is the mean
# over $k$ equal pieces of the means within them,
#
# $$\frac1B \sum_{i=1}^{B} g_i = \frac1k \sum_{j=1}^{k} \Bigl( \frac kB \sum_{i \in \text{piece } j}
#   g_i \Bigr),$$
#
# so each piece's loss is divided by $k$, and gradients are zeroed once per *update*. With pieces of
# unequal size the right side is another number: a mean of means. (`fit` says in its docstring what
# it does with a last group that isn't full.)


# %%
def gradient(norm, pieces):
    """The gradient of one batch of 32, in so many pieces, (parameters,)."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 12), norm(12), nn.GELU(), nn.Linear(12, 1)
    ).double()
    x = torch.randn(32, 6).double()  # (batch, features)
    for piece in x.split(pieces):
        loss = (model(piece)[:, 0] - piece.sum(1).sin()).square().mean()
        (loss / len(x.split(pieces))).backward()
    # (parameters,)
    return torch.cat([p.grad.flatten() for p in model.parameters()])


difference = {}
for name, norm, pieces in (
    ("LayerNorm, four pieces of 8", nn.LayerNorm, 8),
    ("GroupNorm, four pieces of 8", lambda n: nn.GroupNorm(3, n), 8),
    ("LayerNorm, pieces of 20 and 12", nn.LayerNorm, [20, 12]),
    ("BatchNorm, four pieces of 8", nn.BatchNorm1d, 8),
):
    whole = gradient(norm, 32)
    off = (gradient(norm, pieces) - whole).norm() / whole.norm()
    difference[name] = off.item()
    told = (
        "equal to the whole batch, to 1e-12"
        if off < 1e-12
        else f"off by {100 * off:.1f} %"
    )
    print(f"{name:31} {told}")
lab.claim(
    "equal pieces with LayerNorm or GroupNorm give the gradient of the whole"
    " batch, to 1e-12",
    max(list(difference.values())[:2]) < 1e-12,
)
lab.claim(
    "with unequal pieces, or with BatchNorm, they don't (off by more than 1 %)",
    min(list(difference.values())[2:]) > 0.01,
)

# %% [markdown]
# Batch normalisation is the exception because it makes each example depend on the others of its
# *piece*. No way of adding up repairs that. (Across processes there is `SyncBatchNorm`, which
# shares the statistics.) (A contrastive loss, lesson 07, is another exception: its negatives are
# the rest of the piece.) And dropout draws other numbers, so results are equal in the mean only.

# %% [markdown]
# > **Exercise 09.7 · fix it** · core · difficulty 3 of 3 · 15 minutes
# >
# > Accumulation with three mistakes. Batches are equally large, and `accumulate` divides their
# > number.
# >
# > ```python
# > def train_epoch(model, batches, optimizer, schedule, accumulate):
# >     for x, y in batches:
# >         optimizer.zero_grad()
# >         F.mse_loss(model(x), y).backward()
# >         optimizer.step()
# >         schedule.step()
# > ```


# %%
def train_epoch(model, batches, optimizer, schedule, accumulate):
    """An update for each `accumulate` batches; the schedule moves with it."""
    ### BEGIN SOLUTION
    optimizer.zero_grad()
    for number, (x, y) in enumerate(batches, start=1):
        (F.mse_loss(model(x), y) / accumulate).backward()
        if number % accumulate == 0:
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    ### END SOLUTION


# %%
train_epoch = check("09.7", train_epoch)

# %% [markdown]
# ### Clipping · extra
#
# Now and then one batch has a huge gradient, and one step ruins what many have built. **Clipping
# by the norm** shortens the gradient of *all* weights together to a length of at most $c$: $g
# \leftarrow g \cdot \min(1, c / \lVert g \rVert)$. The direction stays. (Clipping each number by
# itself would bend it.) It belongs after the last piece's `backward` and before `step`; under Adam
# a *constant* factor would do nothing, so what counts is that rare large ones don't fill $m$ and
# $v$.

# %%
w = nn.Parameter(torch.zeros(2))  # (weights,)
w.grad = torch.tensor([3.0, 40.0])  # (weights,)
norm = nn.utils.clip_grad_norm_([w], max_norm=1.0)
print(
    f"norm {norm:.2f}, after clipping by the norm:"
    f" {[f'{g:.3f}' for g in w.grad.tolist()]}"
)
w.grad = torch.tensor([3.0, 40.0])  # (weights,)
nn.utils.clip_grad_value_([w], clip_value=1.0)
print(
    f"after clipping each number at 1: {w.grad.tolist()}, which points"
    " elsewhere"
)

# %% [markdown]
# ## 8. Several processes · extra
#
# With several GPUs one *process*, a running program of its own, works for each. It has a copy of
# the model and takes a part of the batch, a **shard**. After `backward` the gradients are averaged
# over the processes, $(g_0 + g_1) / 2$ for two, so all copies make the same step. That is
# accumulation side by side, with the same conditions: equal shards, no layer that mixes examples.
# accelerate starts processes, and `fit` is made for it: the script stays the same.
#
# ```
# accelerate launch --multi_gpu --num_processes 2 -m course_utils.training.processes --out FILE
# ```

# %% [markdown]
# Two processes on a CPU talk through a library called gloo, two GPUs through NCCL. (On a CPU one
# would write `--cpu` instead of `--multi_gpu`. But in the version used here that starts *one*
# process, and says nothing. `launch` checks how many there were.) Here it is for real: one update
# of the joint model on 16 pictures, eight for each process, against the whole batch in this one.

# %%
from course_utils.training import processes as two_processes

off = {}
for norm in ("group", "batch"):
    alone = two_processes.gradients(norm)
    shared = two_processes.launch(2, norm)
    off[norm] = two_processes.furthest(alone, shared)
in_pieces = two_processes.furthest(
    two_processes.gradients("group"),
    two_processes.gradients("group", accumulate=4),
)
lab.claim(
    "two processes with GroupNorm and LayerNorm have the gradients of one, to"
    " 1e-10",
    off["group"] < 1e-10,
)
lab.claim("so has `fit` with accumulate=4, to 1e-10", in_pieces < 1e-10)
lab.claim(
    "with BatchNorm in the stem they differ, by more than a thousandth",
    off["batch"] > 1e-3,
)

# %% [markdown]
# More processes at the same shard mean a larger batch and fewer updates per epoch. The rate has to
# be looked for again; to multiply it by the number of processes, after a warm-up, is a good first
# guess for SGD (Goyal et al. 2017), not a law.

# %% [markdown]
# ## 9. Half the bits · extra
#
# A number is stored as $\pm 1.f \cdot 2^e$: the bits of the exponent $e$ set the range, those of
# the fraction $f$ the spacing. A float32 has 8 for the exponent and 23 for the fraction.
# **bfloat16** keeps the 8 and has 7 for the fraction: the same range, two to three digits. The
# neighbours of 1 are then $1 + 2^{-7}$ and $1 - 2^{-8}$; what is no further than half of that from
# 1 is rounded back to 1. **float16** has 5 and 10: more digits, a small range, up to 65,504. Three
# small experiments say what follows from that.

# %%
bf16, fp16 = torch.bfloat16, torch.float16
one = torch.tensor(1.0)
print("1 + 1/256 in bfloat16 is", (one.to(bf16) + 1 / 256).item())
w16, w32 = one.to(bf16), one.clone()
for _ in range(1000):
    w16, w32 = w16 - 1e-3, w32 - 1e-3
print(
    f"1 minus a thousand times 0.001: bfloat16 {w16.item():.3f}, float32"
    f" {w32.item():.3f}"
)
tiny = torch.tensor(1e-8)
print(
    f"1e-8 in float16: {tiny.to(fp16).item()}; times 65536 first: "
    f"{(tiny * 65536).to(fp16).item() / 65536:.1e}"
)
print(
    "70000 in float16:",
    torch.tensor(70000.0).to(fp16).item(),
    "- in bfloat16:",
    torch.tensor(70000.0).to(bf16).item(),
)

# %% [markdown]
# - A small update to a bfloat16 weight is rounded away, and a thousand of them still are. So
#   weights and the optimiser's means stay in float32 (**master weights**); only products are
#   computed in 16 bits. That is **mixed** precision, `FitConfig(precision="bf16")`.
# - Small gradients are 0 in float16. So its loss is multiplied by a large number before
#   `backward`, and the gradients divided by it after: **loss scaling**. bfloat16 needs none.

# %% [markdown]
# Some processors multiply bfloat16 in hardware, others only imitate it. What does this one do? One
# layer's worth of products, and an update of our model:

# %% tags=["varies"]
torch.manual_seed(lab.seed)
left, other = torch.randn(512, 512), torch.randn(512, 512)
times = {}
for dtype in (torch.float32, bf16):
    a, b = left.to(dtype), other.to(dtype)  # (512, 512) each
    times[dtype] = seconds(lambda: a @ b)
print(
    f"512 x 512 product: float32 {1000 * times[torch.float32]:.2f} ms, "
    f"bfloat16 {1000 * times[bf16]:.2f} ms"
)


# %% tags=["varies"]
def half_step(model, on):
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)

    def step():
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=bf16, enabled=on):
            loss = answer_objective(model, batch)
        loss.backward()
        optimizer.step()

    return step


for on, name in ((False, "float32"), (True, "mixed, bfloat16")):
    model = frozen_model("nothing frozen")
    ms = 1000 * seconds(half_step(model, on))
    with torch.autocast("cpu", dtype=bf16, enabled=on):
        kept = saved_bytes(lambda: answer_objective(model, batch), model)
    print(
        f"{name:16} {ms:6.0f} ms an update, {kept / 1e6:5.1f} MB kept for"
        " backward"
    )

# %% [markdown]
# Read the two lines of the update together with the first line. Even where one large product is
# much faster, the update of a small model need not be: each layer converts its inputs first, and
# these layers are small. What shrinks in any case is what the forward pass keeps. Measure on your
# machine before you switch it on.

# %% [markdown]
# > **Exercise 09.8 · work out a number** · extra · difficulty 2 of 3 · 5 minutes
# >
# > Mixed precision with AdamW, as large trainings do it. A weight has: itself and its gradient in
# > 16 bits, and in 32 bits the master weight, $m$ and $v$. (`autocast` above stores no 16-bit
# > copy: 4 bytes each for weight, gradient, $m$ and $v$, which adds up to the same.) How many
# > *billion* weights fit into 80 GB ($80 \cdot 10^9$ bytes), before the first activation?

# %%
billions = None
### BEGIN SOLUTION
billions = 80 / (2 + 2 + 4 + 4 + 4)
### END SOLUTION

# %%
billions = check("09.8", billions)

# %% [markdown]
# ## 10. Killed, and none the worse · core
#
# A training of days will be interrupted. What has to be kept so that it goes on *as if nothing had
# happened*? We train 60 updates with dropout, AdamW and a schedule; stop after 30, and go on from
# a copy in which one thing is missing.


# %%
def interrupted(left_out, stop=30, total=60):
    """The weights after `total` updates, with a break at `stop` after which
    one thing is new."""
    torch.manual_seed(0)

    def fresh():
        model = small_network(64, train.answers, SmallConfig(dropout=0.3))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        factor = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda t: warmup_cosine(t, 10, total)
        )
        return {"weights": model, "optimiser": optimizer, "schedule": factor}

    run, order = fresh(), torch.randperm(len(train.y))  # (questions,)
    for t in range(total):
        if t == stop:  # the process ends; a new one begins
            kept = {
                name: copy.deepcopy(part.state_dict())
                for name, part in run.items()
            }
            numbers, run = torch.get_rng_state(), fresh()
            for name in kept.keys() - {left_out}:
                run[name].load_state_dict(kept[name])
            if left_out != "random numbers":
                torch.set_rng_state(numbers)
            if left_out == "place in the order":
                # begins again with the first example
                order = order.roll(stop * 16)
        rows = order[16 * t % len(order) :][:16]  # (batch,)
        loss = F.cross_entropy(run["weights"](train.h[rows]), train.y[rows])
        run["optimiser"].zero_grad()
        loss.backward()
        run["optimiser"].step()
        run["schedule"].step()
    return torch.cat(
        [p.detach().flatten() for p in run["weights"].parameters()]
    )


# %%
whole = interrupted("nothing")
things = ("nothing", "random numbers", "place in the order")
things += ("schedule", "optimiser", "weights")
found = {
    name: (interrupted(name) - whole).norm() / whole.norm() for name in things
}
again = interrupted("nothing", stop=59)
for name, off in found.items():
    told = "the same weights, to the bit" if off == 0 else "other weights"
    print(f"left out: {name:20} {told}")
lab.claim(
    "with everything kept the end is the same to the bit, wherever it was"
    " interrupted",
    found["nothing"] == 0 and torch.equal(again, whole),
)
lab.claim(
    "with any of the five left out it is another",
    min(list(found.values())[1:]) > 1e-4,
)

# %% [markdown]
# > **Exercise 09.9 · choose and justify** · core · difficulty 2 of 3 · 5 minutes
# >
# > Which of these belong into the file? A set of letters, such as `{"a", "b"}`.
# >
# > - **a** the weights;
# > - **b** the gradients of the last update;
# > - **c** the optimiser's running means;
# > - **d** the position in the schedule;
# > - **e** the states of all random number generators;
# > - **f** which batches of the epoch have been used;
# > - **g** the best score so far, its weights, and how long ago it was;
# > - **h** the activations of the last batch.

# %%
in_the_file = None
### BEGIN SOLUTION
in_the_file = {"a", "c", "d", "e", "f", "g"}
### END SOLUTION

# %%
in_the_file = check("09.9", in_the_file)

# %% [markdown]
# `fit(..., resume=PATH)` keeps all of that, after each epoch and every `save_every` updates. It
# writes *beside* the old file and renames, so a process that dies while it writes leaves the old
# one whole. And it reads without running code: a pickle from elsewhere could do anything on your
# machine.

# %% [markdown]
# Now the real thing: a process of its own trains, and is killed (`SIGKILL`, nothing can be caught
# or tidied up) in an update that is drawn at random; is started again, killed again, and started
# again.

# %%
SCRIPT = """
import sys
from pathlib import Path
import torch
import torch.nn.functional as F
from safetensors.torch import save_model
from torch.utils.data import DataLoader, TensorDataset
from course_utils.methods.probe import SmallConfig, features, small_network
from course_utils.training.fit import FitConfig, fit

folder = Path(sys.argv[1])
torch.set_num_threads(1)
torch.manual_seed(0)
data = features("train", 100, seed=100)
model = small_network(64, data.answers, SmallConfig(dropout=0.3))
batches = DataLoader(TensorDataset(data.h, data.y), 16, shuffle=True)
fit(model, lambda m, batch: F.cross_entropy(m(batch[0]), batch[1]), batches,
    validate=lambda m: -F.cross_entropy(m(data.h), data.y).item(),
    config=FitConfig(epochs=8, lr=0.01, save_every=5),
    device="cpu", progress=False, resume=folder / "state.pt",
    after_update=lambda step: print(step, flush=True))
save_model(model, str(folder / "end.safetensors"))
"""


# %%
def start(folder, kill_at=None):
    """Runs the script, kills it when it reports update `kill_at`, and gives
    the updates that it reported."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(small_runs.__file__).parents[2],
    )
    reported = []
    for line in process.stdout:
        reported.append(int(line))
        if reported[-1] == kill_at:
            process.kill()
            break
    process.stdout.close()
    process.wait()
    return reported


# %%
draw = np.random.default_rng(lab.seed)
kills = sorted(int(k) for k in draw.choice(range(10, 190), 2, replace=False))
with (
    tempfile.TemporaryDirectory() as calm,
    tempfile.TemporaryDirectory() as rough,
):
    all_updates = start(calm)
    for kill_at in kills:
        start(rough, kill_at)
    last = start(rough)
    ends = [
        Path(folder, "end.safetensors").read_bytes() for folder in (calm, rough)
    ]
print(
    f"undisturbed: {len(all_updates)} updates; killed in updates {kills[0]} and"
    f" {kills[1]}"
)
lab.claim(
    "the last process began where a file was left, not at 0, and reached the"
    " last update",
    0 < last[0] <= kills[1] + 1 and last[-1] == all_updates[-1],
)
lab.claim(
    "the weights of the killed run are those of the undisturbed one, byte for"
    " byte",
    ends[0] == ends[1],
)

# %% [markdown]
# ## 11. Watching · extra
#
# A number at the end says that something went wrong; curves say when. `fit(...,
# tracker="tensorboard", run_folder=...)` writes loss, rate, norm of the gradient and score. One
# word changes to Weights & Biases: `tracker="wandb"`. It runs in its offline mode here: no
# account, and nothing is sent.

# %%
temporary = tempfile.TemporaryDirectory()
# in your own work: a folder that stays, such as runs/
RUNS = Path(temporary.name)
for tracker in ("tensorboard", "wandb"):
    torch.manual_seed(lab.seed)
    model = small_network(64, train.answers, SmallConfig())
    batches = DataLoader(
        TensorDataset(train.h, train.y),
        64,
        shuffle=True,
        generator=torch.Generator().manual_seed(lab.seed),
    )
    fit(
        model,
        feature_objective,
        batches,
        lambda m: accuracy(m, validation),
        FitConfig(epochs=6, lr=0.02, max_steps=lab.step_limit),
        device="cpu",
        progress=False,
        tracker=tracker,
        run_folder=RUNS / tracker,
    )

# %%
from course_utils.training.tracking import read_tensorboard, read_wandb

curves = {
    "tensorboard": read_tensorboard(RUNS / "tensorboard"),
    "wandb": read_wandb(RUNS / "wandb"),
}
for name, found in curves.items():
    told = ", ".join(
        f"{curve} ({len(found[curve])} points)" for curve in sorted(found)
    )
    print(f"{name:12}", told)
lab.claim(
    "both hold the same losses, to float32",
    all(
        a[0] == b[0] and abs(a[1] - b[1]) < 1e-6
        for a, b in zip(
            curves["tensorboard"]["loss"], curves["wandb"]["loss"], strict=True
        )
    ),
)

# %% [markdown]
# In your own copy, set the switch below to True: TensorBoard opens inside the notebook, in
# JupyterLab as in Colab. It is what the two lines `%load_ext tensorboard` and `%tensorboard
# --logdir FOLDER` do. (`tensorboard --logdir FOLDER` in a terminal opens it in a browser.)

# %%
open_tensorboard = False
if open_tensorboard:
    import shutil

    from tensorboard import notebook

    program = shutil.which("tensorboard", path=str(Path(sys.executable).parent))
    # the one that belongs to this Python, also where PATH doesn't hold it
    if program:
        os.environ["TENSORBOARD_BINARY"] = program
    notebook.start(f"--logdir {RUNS}")

# %% [markdown]
# The same curves as a picture that needs no server, read back from TensorBoard's file:

# %% tags=["figure", "varies"]
figure, axes = plt.subplots(1, 4, figsize=(11, 2.4))
for axis, name in zip(
    axes, ("loss", "learning_rate", "gradient_norm", "score")
):
    xs, ys = zip(*curves["tensorboard"][name])
    axis.plot(xs, ys)
    axis.set(xlabel="update", title=name.replace("_", " "))
plots.show(
    figure,
    alt=(
        "Four curves of a training: the loss falls, the rate rises and falls,"
        " the norm of the gradient jumps about, the validation score rises."
    ),
)

# %% [markdown]
# What to look for: a loss that is level from the start (rate too low, or nothing is trained);
# jumps that don't heal (too high); a norm that grows and grows; a rate that is 0 too early
# (section 3); a score that falls while the loss falls (section 4).

# %% [markdown]
# ## 12. Searching for settings · extra
#
# Rate, decay, dropout, width, batch: five numbers, no formula. Grids waste trials, because some of
# the numbers hardly matter and a grid repeats the same few values of those that do (Bergstra and
# Bengio 2012). **Random search** draws each trial independently. **TPE**, the default of Optuna, looks at
# the trials so far: it estimates one density of settings for the best of them, one for the rest,
# and tries what is much likelier under the first. It can use what it has learnt only after ten
# random trials.

# %%
from course_utils.training.search import best_so_far, search

chooses = Features(validation.h[:300], validation.y[:300], validation.answers)


def objective(trial):
    config = SmallConfig(
        lr=trial.suggest_float("lr", 1e-5, 1.0, log=True),
        dropout=trial.suggest_float("dropout", 0.0, 0.7),
        width=trial.suggest_int("width", 8, 256, log=True),
        epochs=EPOCHS,
    )
    return accuracy(trained(config, train, lab.seed), chooses)


studies = {
    name: search(
        objective, trials=lab.steps(cpu=24, gpu=24), sampler=name, seed=lab.seed
    )
    for name in ("random", "tpe")
}
same = [
    a.params == b.params
    for a, b in zip(*(study.trials for study in studies.values()))
]
lab.claim(
    "the first ten trials of both are the same",
    all(same[:10]) and not all(same),
)

# %% tags=["figure", "varies"]
figure, axes = plt.subplots(1, 2, figsize=(8.4, 3), sharey=True)
for axis, (name, study) in zip(axes, studies.items()):
    numbers, rates_tried = zip(
        *((t.number + 1, t.params["lr"]) for t in study.trials)
    )
    points = axis.scatter(
        numbers,
        rates_tried,
        c=[100 * t.value for t in study.trials],
        vmin=0,
        vmax=80,
        edgecolor="black",
        linewidth=0.5,
    )
    axis.axvline(10.5, linestyle=":", color="grey")
    best = 100 * best_so_far(study)[-1]
    axis.set(yscale="log", xlabel="trial", title=f"{name}: best {best:.0f} %")
axes[0].set_ylabel("learning rate tried")
figure.colorbar(points, label="validation accuracy (%)")
plots.show(
    figure,
    alt=(
        "The learning rate of each of 24 trials, shaded by accuracy: the random"
        " search goes on trying all rates, TPE turns to rates like those that"
        " did well."
    ),
)

# %% [markdown]
# After ten trials (dotted line) TPE keeps near what did well; random search goes on trying rates
# that can't work. One search of each proves nothing. Twelve of each, with the same budget, were
# run with `python -m course_utils.studies search_study`: 300 questions choose, 11,700 others judge the
# choice.

# %%
searches = json.loads(lab.data_path("studies/search_study.json").read_text())[
    "runs"
]
judged = {}  # (seeds, trials) each
for name in ("random", "tpe"):
    of_kind = [run["judged"] for run in searches if run["sampler"] == name]
    judged[name] = 100 * np.array(of_kind)

# %% tags=["figure"]
trials = np.arange(1, judged["tpe"].shape[1] + 1)
figure, axis = plt.subplots(figsize=(6.2, 3.3))
for i, (name, label) in enumerate((("random", "random"), ("tpe", "TPE"))):
    mean, n = judged[name].mean(0), len(judged[name])
    error = judged[name].std(0, ddof=1) / n**0.5
    axis.plot(
        trials, mean, plots.DASHES[i], color=plots.PALETTE[i], label=label
    )
    axis.fill_between(
        trials, mean - error, mean + error, color=plots.PALETTE[i], alpha=0.2
    )
axis.axvline(10, color="grey", linestyle=":", label="TPE begins to learn")
axis.set(
    xlabel="trials",
    ylabel="accuracy of the choice (%)",
    ylim=(40, 80),
    title="Same start; then the search that learns is ahead in the mean",
)
axis.legend(loc="lower right")
plots.show(
    figure,
    alt=(
        "True accuracy of the best settings so far against the number of"
        " trials, mean of many searches with standard errors, random against"
        " TPE."
    ),
)

# %%
rows = []
for budget in (10, 16, 24, 32, 48):
    # (seeds,)
    ahead = judged["tpe"][:, budget - 1] - judged["random"][:, budget - 1]
    both = [
        f"{judged[name][:, budget - 1].mean():.1f} %"
        for name in ("random", "tpe")
    ]
    rows.append([str(budget), *both, interval(ahead)])
plots.table(
    rows, ["trials", "random", "TPE", "TPE ahead (95 % interval), points"]
)
print(
    f"{len(judged['tpe'])} pairs of searches; both have the same first ten"
    " trials"
)

# %% [markdown]
# Up to trial 10 the two are the same by construction. After that TPE is ahead by two or three
# points in the mean; but most of the intervals of twelve pairs hold 0 (and five looks at the same
# pairs are not five tests), so whether it is better *here* is not settled, and at the end the gap
# is smaller again. What costs nothing and helps both is a good range: this one was deliberately
# wide. And a search *chooses*, here on 300 questions: the score that it reports of its winner is
# too good, as in section 5.

# %% [markdown]
# ## 13. Memory against time · extra
#
# The forward pass keeps what the backward pass will need: inputs of layers, attention weights.
# **Activation checkpointing** keeps only the *input* of each layer, and computes the layer a
# second time when the backward pass gets there (Chen et al. 2016). The encoder with six layers
# instead of two shows it:

# %%
from course_utils.models.transformer import (
    TransformerConfig,
    TransformerEncoder,
)

torch.manual_seed(0)
encoder = TransformerEncoder(
    TransformerConfig(dim=64, layers=6, heads=8, mlp_dim=128)
).double()
h = torch.randn(32, 26, 64).double()  # (batch, positions, dim)


def encoder_loss():
    return encoder(h)[0].square().mean()


found = {}  # checkpointed or not: gradients, bytes kept, milliseconds
for on in (False, True):
    checkpoint_layers(encoder, on)
    encoder.zero_grad()
    encoder_loss().backward()
    found[on] = (
        [p.grad.clone() for p in encoder.parameters()],
        saved_bytes(encoder_loss, encoder),
        1000 * seconds(lambda: encoder_loss().backward()),
    )
checkpoint_layers(encoder, False)
off = max(
    (a - b).abs().max().item() for a, b in zip(found[False][0], found[True][0])
)
print(
    f"kept for backward: {found[False][1] / 1e6:.1f} MB, "
    f"checkpointed {found[True][1] / 1e6:.1f} MB"
)
lab.claim(
    "gradients are the same to 1e-12, and less than a fifth is kept",
    off < 1e-12 and found[True][1] < 0.2 * found[False][1],
)

# %% tags=["varies"]
print(
    f"forward and backward: {found[False][2]:.0f} ms, checkpointed"
    f" {found[True][2]:.0f} ms"
)

# %% [markdown]
# The second forward pass is one part more where there were three (forward one, backward two), so
# about a third more work. (While a layer is computed again its own activations are there too, so
# the peak is higher than what is kept. Chen et al. keep the input of every segment of several
# layers.) Worth it where memory limits the batch, and only there.

# %% [markdown]
# **`torch.compile`** goes another way: it reads the operations of a model and writes one program
# for them. That program has to be made first, with a C++ compiler on a CPU. After how many calls
# has it paid?


# %% tags=["varies"]
def compile_pays():
    """Seconds to make the program, and of a call without and with it."""
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Linear(64, 256), nn.GELU(), nn.LayerNorm(256), nn.Linear(256, 64)
    )
    x = torch.randn(2048, 64)  # (batch, dim)
    with (
        torch.no_grad(),
        torch.compiler.config.patch(force_disable_caches=True),
    ):
        compiled = torch.compile(plain)
        begin = time.perf_counter()
        compiled(x)
        made = time.perf_counter() - begin
        return (
            made,
            seconds(lambda: plain(x), 30),
            seconds(lambda: compiled(x), 30),
        )


# %% tags=["varies"]
try:
    made, before, after = compile_pays()
    gain = before - after
    told = (
        f"pays after {made / gain:,.0f} calls"
        if gain > 0
        else "never pays here"
    )
    print(
        f"made in {made:.1f} s; a call {1000 * before:.2f} ms, "
        f"compiled {1000 * after:.2f} ms: {told}"
    )
except Exception as error:  # no C++ compiler, for one
    print(
        "torch.compile doesn't run here:",
        str(error).strip().splitlines()[0][:80],
    )

# %% [markdown]
# If it says *never*, there was nothing to win: each of these four layers is one call of a fast
# library already, and the saving would have to come from joining them. Try it with your own model
# and batch, and count how often the program will be used.

# %% [markdown]
# ## 14. On a GPU, at full scale · extra
#
# - **Precision** first: `FitConfig(precision="bf16")`. There the hardware multiplies 16-bit
#   numbers many times as fast as float32.
# - **Batch**: as large as memory allows; then accumulation. Then checkpointing, for still longer
#   inputs.
# - **Processes**: `accelerate launch` with as many as there are GPUs; everything in section 8
#   holds.
# - **Resume** always. Machines that may be taken away at any time are cheaper.
# - Memory: 16 bytes per weight with AdamW, before activations (exercise 09.8). Lesson 11 shows how
#   to tune without most of that.

# %% [markdown]
# The lesson's own code runs on a GPU as it stands; its networks are too small to gain by it. Times
# at scale: not measured here.

# %% [markdown]
# ## 15. What you know now · core
#
# - The steepest direction limits the rate, the flattest one waits. Adam gives each weight its own
#   step.
# - Decoupled decay shrinks all alike; L2 under Adam doesn't. Biases, norms and embeddings don't
#   decay.
# - Learning rates are compared each at its best. Schedules count updates.
# - A test that chose is too good, though nobody trained on it.
# - Frozen means no gradient *and* eval mode; freezing pays from the bottom up.
# - Pieces and processes equal the whole batch, if they are equally large and nothing mixes
#   examples.
# - A run that keeps all its state can be killed at any time.

# %%
quiz(
    [
        (
            "You multiply the loss by 1000. What changes under SGD, and"
            " what under Adam?",
            "Under SGD every step is 1000 times as long. Under Adam nothing"
            " but the role of epsilon: it divides by the root of the mean"
            " square.",
        ),
        (
            "Why does L2 hardly act under Adam where gradients are large?",
            "Its term goes through the division by the root of v, which is"
            " large there.",
        ),
        (
            "Somebody trains 30 seeds and reports the best test score. What"
            " is wrong?",
            "The largest of 30 noisy scores is too good. Choose the seed on"
            " validation, or report mean and spread.",
        ),
        (
            "You freeze the top half of a network. What do you save?",
            "Only the gradients of its matrices. The backward pass still"
            " has to go through it, and everything that needs is kept.",
        ),
        (
            "Accumulation over four batches, and the result differs from"
            " one large batch. Name three causes.",
            "Batch normalisation (or another layer that mixes examples),"
            " dropout, unequal batches; or a loss that isn't divided, or"
            " gradients zeroed in between.",
        ),
    ]
)

# %% [markdown]
# **Papers.** Kingma and Ba 2014, *Adam* ([arXiv 1412.6980](https://arxiv.org/abs/1412.6980)).
# Loshchilov and Hutter 2017, decoupled decay: L2 and decay are the same for plain SGD up to the
# learning rate, and not for Adam; on pictures AdamW then comes up to SGD with momentum
# ([1711.05101](https://arxiv.org/abs/1711.05101)). The same, the cosine
# ([1608.03983](https://arxiv.org/abs/1608.03983)). Smith 2015, the range test
# ([1506.01186](https://arxiv.org/abs/1506.01186)). Cawley and Talbot 2010: what choosing a model
# does to its score can be as large as differences between methods ([JMLR
# 11](https://jmlr.org/papers/v11/cawley10a.html)). Bergstra and Bengio 2012: random search finds
# as good settings as a grid in a fraction of the time, since few of them matter ([JMLR
# 13](https://jmlr.org/papers/v13/bergstra12a.html)). Chen et al. 2016, checkpointing
# ([1604.06174](https://arxiv.org/abs/1604.06174)). Micikevicius et al. 2017, mixed precision
# ([1710.03740](https://arxiv.org/abs/1710.03740)). Goyal et al. 2017, large batches with warm-up
# ([1706.02677](https://arxiv.org/abs/1706.02677)).

# %% [markdown]
# **Next:** lesson 10 asks what a test score can bear.

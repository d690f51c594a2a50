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
# - derive momentum, Adam and AdamW, and take the steps that PyTorch takes;
# - see that the best learning rate depends on how long you train;
# - stop in time, and measure how far a score is too good when the test has chosen the model;
# - freeze parts of a model, and count what that saves;
# - split a batch into pieces without changing its gradient;
# - kill a training, start it again, and get the same weights to the bit.

# %% tags=["setup"]
import copy
import json
import math
import subprocess
import sys
import tempfile
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
from course_utils.notebook import diagrams, lab, plots
from course_utils.studies import budgets, freezing, small_runs, tuning_curve
from course_utils.training.fit import (
    FitConfig,
    fit,
    freeze,
    parameter_groups,
    train_mode,
    warmup_cosine,
)
from course_utils.training.freezing import cost
from course_utils.training.optimizers import SGD, Adam, AdamConfig, SGDConfig
from scipy.stats import t as student
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

# %% [markdown]
# Two trainings of one small network, which differ in the learning rate only. Its input is what the
# pretrained model of lesson 07 says about a question and a picture: $h$, computed once. It learns
# from 1,600 answered questions, in eight passes. Add a third rate in the brackets of the `for`
# line, such as 0.003, run the cell again, and look at `score` in a new cell.

# %%
train = features("train", 400, seed=100)  # h (1600, 64), y (1600,)
validation = features("validation", 375)  # h (1500, 64), y (1500,)
most_common = validation.y.bincount().max().item() / len(validation.y)

EPOCHS = lab.steps(cpu=8, gpu=8)
score = {}
for rate in (0.0001, 0.03):
    config = SmallConfig(lr=rate, epochs=EPOCHS)
    score[rate] = accuracy(train_small(config, train, lab.seed), validation)
lab.claim(
    "with rate 0.03 at least 40 points more are right than with 0.0001",
    score[0.03] - score[0.0001] > 0.4,
)

# %% [markdown]
# ## 1. A valley · core
#
# Near a minimum every smooth loss looks like a bowl, steep in some directions and flat in others.
# The smallest such bowl has two weights:
#
# $$L(w) = \tfrac12 (\lambda_1 w_1^2 + \lambda_2 w_2^2), \qquad \lambda_1 = 1,\ \lambda_2 = 25 .$$
#
# Its gradient is $(\lambda_1 w_1, \lambda_2 w_2)$. **Gradient descent** with learning rate $\eta$
# subtracts $\eta$ times the gradient, so each weight is multiplied in every step by its own factor:
#
# $$w_i \leftarrow w_i - \eta \lambda_i w_i = (1 - \eta \lambda_i)\, w_i .$$

# %% [markdown]
# It shrinks as long as $|1 - \eta\lambda_i| < 1$, that is, $\eta < 2 / \lambda_i$. The *steepest*
# direction sets the limit, here $2/25 = 0.08$. The *flattest* direction pays: at $\eta = 0.07$ the
# factor of its weight is $1 - 0.07$, and after 64 steps it is below one per cent. **SGD**,
# stochastic gradient descent, does the same with the gradient of one batch.


# %%
def path(make, steepest=25.0, steps=100):
    """The weights after each step from (10, 2): (steps + 1, 2)."""
    curves = torch.tensor([1.0, steepest]).double()  # (weights,)
    w = nn.Parameter(torch.tensor([10.0, 2.0]).double())  # (weights,)
    optimizer, places = make([w]), [w.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * curves * w**2).sum().backward()
        optimizer.step()
        places.append(w.detach().clone())
    return torch.stack(places)  # (steps + 1, weights)


paths = {
    "SGD, rate 0.07": path(lambda p: SGD(p, SGDConfig(0.07))),
    "SGD, rate 0.081": path(lambda p: SGD(p, SGDConfig(0.081))),
    "momentum 0.6": path(lambda p: SGD(p, SGDConfig(0.07, momentum=0.6))),
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
def arrival(places):
    """Steps until it stays within 1 % of the first distance, or None."""
    distance = places.norm(dim=1)  # (steps + 1,)
    last = int((distance >= 0.01 * distance[0]).nonzero()[-1]) + 1
    return last if last < len(distance) else None


for name, places in paths.items():
    print(f"{name:16} stays within 1 % from step {arrival(places)}")

# %% [markdown]
# (None: it never does.) Adam, explained in section 2, runs past the minimum here: its steps do not
# shrink as fast as the gradient does. A small bowl is not what it was made for. The ratio $\kappa =
# \lambda_2/\lambda_1$ is the **condition number**. A larger rate speeds up the flat direction until
# the steep one becomes the slower one. Best is where both are equal, $1 - \eta\lambda_1 =
# \eta\lambda_2 - 1$. That is $\eta = 2 / (\lambda_1 + \lambda_2)$, and both factors have the size
# $(\kappa - 1)/(\kappa + 1)$. For large $\kappa$ that is about $1 - 2/\kappa$, so the number of
# steps grows like $\kappa$.
#
# Real networks are no bowls. But under gradient descent with whole batches their steepest curvature
# rises until it is about $2/\eta$ ([Cohen et al. 2021](https://arxiv.org/abs/2103.00065)).

# %% [markdown]
# ## 2. Momentum and Adam · core
#
# **Momentum** keeps a velocity: $u \leftarrow \beta u + g$, $w \leftarrow w - \eta u$. Across the
# valley gradients change sign and cancel. Along it they agree and add up: for a gradient that
# stays the same, $u = g\,(1 + \beta + \beta^2 + \dots) = g / (1 - \beta)$. With $\beta = 0.9$ that
# is ten times the step.

# %% [markdown]
# What is that worth in the valley? Put $g = \lambda w_t$ in. The old velocity is known from the
# last step, $\eta u = w_{t-1} - w_t$, so $w_{t+1} = w_t + \beta (w_t - w_{t-1}) - \eta\lambda w_t$:
#
# $$w_{t+1} = (1 + \beta - \eta\lambda)\, w_t - \beta\, w_{t-1} .$$
#
# Solutions are sums of powers $z^t$ with $z^2 - (1 + \beta - \eta\lambda) z + \beta = 0$. (Try $w_t
# = z^t$.) The product of the two roots is the last coefficient, $\beta$. If they are complex, they
# are conjugate and equally large, so both have the size $\sqrt\beta$: **then the speed no longer
# depends on $\lambda$**. They are complex where $(1 + \beta - \eta\lambda)^2 < 4\beta$, that is,
# where

# %% [markdown]
# $$(1 - \sqrt\beta)^2 < \eta \lambda < (1 + \sqrt\beta)^2 .$$
#
# Put the flattest direction at the left end and the steepest at the right end. Dividing the two
# gives $\sqrt\kappa = (1 + \sqrt\beta)/(1 - \sqrt\beta)$, so
#
# $$\sqrt\beta = \frac{\sqrt\kappa - 1}{\sqrt\kappa + 1}, \qquad
#   \eta = \frac{4}{(\sqrt{\lambda_1} + \sqrt{\lambda_2})^2} .$$
#
# Without momentum the factor of a step was $(\kappa - 1)/(\kappa + 1)$. Momentum replaces $\kappa$
# by its root ([Polyak 1964](https://doi.org/10.1016/0041-5553(64)90137-5)).

# %%
plain = {
    kappa: arrival(
        path(lambda p: SGD(p, SGDConfig(2 / (1 + kappa))), kappa, 3 * kappa)
    )
    for kappa in (25, 100, 400, 1600)
}
for kappa, steps in plain.items():
    print(f"condition number {kappa:4}: {steps:4} steps without momentum")

# %% [markdown]
# > **Exercise 09.1 · predict** · core · difficulty 1 of 3 · 3 minutes
# >
# > With momentum, at its best rate and $\beta$, the valley of condition number 100 takes 37 steps.
# > How many does that of 1,600 take?

# %%
my_steps = None
### BEGIN SOLUTION
my_steps = 4 * 37
### END SOLUTION

# %%
my_steps = check("09.1", my_steps)

# %% tags=["result"]
rows, swift = [], {}
for kappa, steps in plain.items():
    root = kappa**0.5
    best = SGDConfig(4 / (1 + root) ** 2, ((root - 1) / (root + 1)) ** 2)
    swift[kappa] = arrival(path(lambda p: SGD(p, best), kappa, 3 * kappa))
    rows.append([str(kappa), str(steps), str(swift[kappa])])
plots.table(rows, ["condition number", "without momentum", "with momentum"])
print(f"predicted for 1600: {my_steps}")
lab.claim(
    "at 16 times the condition number momentum needs about 4 times the steps,"
    " plain descent about 16 times",
    4 < swift[1600] / swift[100] < 5 and 15 < plain[1600] / plain[100] < 17,
)

# %% [markdown]
# It is a little more than 4 times, because the steep weight starts with a swing: at the best setting
# both roots are equal, and it moves like $t\sqrt\beta^{\,t}$, which first grows. And "best" means the best
# factor in the long run: in the short valley of section 1 another momentum arrived sooner.

# %% [markdown]
# ### Adam
#
# **Adam** gives each weight a step of its own size: the mean of its gradients divided by the root
# of their mean square. That is about $\pm 1$ where they agree and near 0 where they cancel. It
# keeps a running mean of gradients, and one of their squares:
#
# $$m_t = \beta_1 m_{t-1} + (1-\beta_1)\, g_t, \qquad
#   v_t = \beta_2 v_{t-1} + (1-\beta_2)\, g_t^2 .$$

# %% [markdown]
# Both start at 0, and are too small at first. By how much? Written out, $m_t = (1-\beta_1)
# \sum_{i=1}^{t} \beta_1^{t-i} g_i$. If all $g_i$ have the same mean $\bar g$, the sum of the
# powers is $(1 - \beta_1^t)/(1-\beta_1)$, so $m_t$ has the mean $(1-\beta_1^t)\,\bar g$. Dividing
# by $1-\beta_1^t$ corrects it (**bias correction**), and for $v$ likewise:
#
# $$\hat m = \frac{m_t}{1-\beta_1^t}, \qquad \hat v = \frac{v_t}{1-\beta_2^t}, \qquad
#   w \leftarrow w - \eta\, \frac{\hat m}{\sqrt{\hat v} + \epsilon} .$$

# %% [markdown]
# Usual are $\beta_1 = 0.9$, $\beta_2 = 0.999$ and $\epsilon = 10^{-8}$. `fit` takes $\beta_2 =
# 0.98$, which forgets faster.
#
# **By hand**, first step, $g = 2$: $m = 0.2$, $v = 0.004$; corrected, $\hat m = 2$ and $\hat v =
# 4$. The weight moves by $\eta \cdot 2/\sqrt4 = \eta$. With $g = 2000$ it moves by $\eta$ as well.
# How small may a gradient be?

# %%
rows = []
for gradient in (2e3, 2.0, 1e-7, 1e-8, 1e-9):
    w = nn.Parameter(torch.ones(1).double())  # (1,)
    w.grad = torch.full_like(w, gradient)
    Adam([w], AdamConfig(0.01)).step()
    rows.append([f"{gradient:g}", f"{(1 - w.item()) / 0.01:.2f}"])
plots.table(rows, ["gradient", "Adam's first step, in learning rates"])

# %% [markdown]
# A weight's first step is as long as the learning rate, until its gradient comes down to
# $\epsilon$. Then the step vanishes too. In deep networks some gradients are that small.

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
# v}$: a weight with large gradients barely decays. **AdamW** (Loshchilov and Hutter) is Adam with
# decoupled decay: every weight shrinks by the same share.

# %% tags=["figure"]
diagrams.flow(
    {
        "g": (0, 0, "gradient g"),
        "m": (1, 0, "m: mean of g"),
        "v": (1, 1, "v: mean of g²"),
        "hat": (2, 0, "÷ (1 − βᵗ)"),
        "ratio": (3, 0, "step: m̂ / (√v̂ + ε)"),
        "w": (3, 1, "w (1 − ηλ)"),
        "new": (4, 0, "new w"),
    },
    [
        ("g", "m", "as w"),
        ("g", "v", ""),
        ("m", "hat", "as w"),
        ("v", "hat", ""),
        ("hat", "ratio", "as w"),
        ("ratio", "new", "− η ·"),
        ("w", "new", ""),
    ],
    alt=(
        "The gradient goes into the running means m and v; both are corrected;"
        " their ratio is the step, which is subtracted from the shrunken"
        " weight. The decay doesn't pass through m and v."
    ),
    marked=["m", "v", "hat", "ratio", "w", "new"],
)

# %% [markdown]
# > **Exercise 09.2 · write it** · core · difficulty 2 of 3 · 12 minutes
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
adamw_step = check("09.2", adamw_step)

# %%
torch.manual_seed(0)
w = torch.randn(6, 4).double()
p, m, v = nn.Parameter(w.clone()), torch.zeros_like(w), torch.zeros_like(w)
theirs = torch.optim.AdamW([p], lr=0.01)
for t in range(1, 201):
    p.grad = torch.randn_like(w)
    theirs.step()
    w, m, v = adamw_step(w, p.grad, m, v, t, lr=0.01)
lab.claim(
    "after 200 steps your weights are those of torch.optim.AdamW, to 1e-12",
    (w - p).abs().max() < 1e-12,
)

# %% [markdown]
# Now decay itself. Two weights of 1, one with gradients of 10 and one with gradients of 0.01,
# their sign changing in every step, 20 steps with decay 0.5 and without:


# %%
def shrunk(make):
    """Per cent by which decay 0.5 shrinks both weights, (2,)."""
    gradients = torch.tensor([10.0, 0.01]).double()  # (weights,)
    ends = []
    for decay in (0.0, 0.5):
        w = nn.Parameter(torch.ones(2).double())  # (weights,)
        optimizer = make([w], decay)
        for step in range(20):
            w.grad = gradients * (-1) ** step  # (weights,)
            optimizer.step()
        ends.append(w.detach())
    return 100 * (ends[0] - ends[1])  # (weights,)


l2, decoupled = (
    shrunk(lambda p, d: Adam(p, AdamConfig(0.01, weight_decay=d, decoupled=on)))
    for on in (False, True)
)
rows = [
    ["SGD, L2", shrunk(lambda p, d: SGD(p, SGDConfig(0.01, weight_decay=d)))],
    ["Adam, L2", l2],
    ["AdamW, decoupled", decoupled],
]
rows = [[name, *(f"{x:.1f} %" for x in both)] for name, both in rows]
plots.table(rows, ["shrunk by", "large gradients", "small gradients"])
lab.claim(
    "under Adam, L2 does less than a fifth of decoupled decay where gradients"
    " are large; decoupled decay shrinks both alike",
    l2[0] < 0.2 * decoupled[0] and (decoupled[0] - decoupled[1]).abs() < 0.1,
)

# %% [markdown]
# Decay alone would take $1 - (1 - 0.01 \cdot 0.5)^{20}$, a little below a tenth. AdamW is near that for
# both. Under Adam, L2 hardly moves the weight with large gradients. For the other one, L2's term is far
# larger than the gradient, so Adam takes nearly 20 full steps of 0.01, however small the decay is meant
# to be.

# %% [markdown]
# ### What should decay · extra
#
# Decay says: without evidence, be 0. For the entry of a matrix that makes sense. For the *scale*
# of a normalisation 0 would silence the layer; a bias only shifts. The vector of a rare word would
# decay in all the steps in which its word doesn't occur. The same holds for other tables, such as
# the positions of a ViT. This is a custom, not a law: nothing here measures it.

# %% [markdown]
# The shape alone doesn't tell: tables are matrices too, and a norm over two dimensions is one. A
# bare `nn.Parameter` can't tell what it is either. So modules name such tables in a method
# `no_weight_decay()`, as models of the library timm do.
#
# > **Exercise 09.3 · write it** · extra · difficulty 2 of 3 · 10 minutes
# >
# > The names (as `model.named_parameters()` gives them) of the parameters that should decay, as a
# > set: those of two or more dimensions that are neither frozen, nor in a table, nor in a norm. A
# > norm is an `nn.LayerNorm`. A table is an `nn.Embedding`, an `nn.EmbeddingBag`, or what a module
# > of the model names in `no_weight_decay()`: a set of that module's own names.


# %%
def decaying(model):
    """model -> set of names of parameters."""
    ### BEGIN SOLUTION
    kinds, kept = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm), set()
    for module in model.modules():
        if isinstance(module, kinds):
            kept |= {id(p) for p in module.parameters(recurse=False)}
        if hasattr(module, "no_weight_decay"):
            names = module.no_weight_decay()
            kept |= {id(module.get_parameter(name)) for name in names}
    return {
        name
        for name, p in model.named_parameters()
        if p.requires_grad and p.ndim > 1 and id(p) not in kept
    }
    ### END SOLUTION


# %%
decaying = check("09.3", decaying)

# %%
from course_utils.models.vit import ViT, ViTConfig

# %%
vit = ViT(ViTConfig(dim=8, heads=2, layers=1))
names = {id(p): name for name, p in vit.named_parameters()}
decay, none = parameter_groups(vit, weight_decay=0.01)
print("decay:", ", ".join(names[id(p)] for p in decay["params"]))
lab.claim(
    "lesson 04's ViT decays in the package as you say, without its tables",
    {names[id(p)] for p in decay["params"]} == decaying(vit)
    and not {"cls", "position"} & decaying(vit),
)

# %% [markdown]
# ## 3. The learning rate · core
#
# Which rate is best? Two optimisers for the small network, and two **budgets**: 8 passes over the
# 1,600 answered questions, with ten rates, and 64 passes, with seven of them. Each training was
# done with five seeds (`python -m course_utils.studies budgets`). In each, the 1,500 questions of
# `validation` may choose; 10,500 others judge what was chosen.


# %% tags=["setup"]
kept = json.loads(lab.data_path("studies/budgets.json").read_text())["runs"]


def runs(part, width=64, schedule="cosine", **setting):
    """Per cent right in the kept trainings of a setting: (seeds,)."""
    setting |= {"width": width, "schedule": schedule}
    found = [r[part] for r in kept if setting.items() <= r.items()]
    return 100 * np.array(found)


def best_rate(rates, **setting):
    """The rate with the best mean on validation."""
    return max(
        rates, key=lambda lr: runs("validation", lr=lr, **setting).mean()
    )


def interval(values):
    """Mean and 95 % interval of independent values: "2.0 (1.5 to 2.5)"."""
    mean, error = values.mean(), values.std(ddof=1) / len(values) ** 0.5
    reach = student.ppf(0.975, len(values) - 1) * error
    return f"{mean:.1f} ({mean - reach:.1f} to {mean + reach:.1f})"


# %% [markdown]
# > **Exercise 09.4 · predict** · core · difficulty 1 of 3 · 2 minutes
# >
# > After 8 passes the best of AdamW's rates is 0.03. After 64 passes another may be. By what factor
# > is it larger? 1 is the same rate, 0.1 a tenth of it, 10 ten times as much.

# %%
my_factor = None
### BEGIN SOLUTION
my_factor = 0.1
### END SOLUTION

# %%
my_factor = check("09.4", my_factor)

# %% tags=["figure", "result"]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.3), sharey=True)
for axis, (kind, name) in zip(
    axes, (("adamw", "AdamW"), ("sgd", "SGD, momentum 0.9"))
):
    for i, passes in enumerate(budgets.PASSES):
        rates = budgets.RATES[passes]
        values = np.array(
            [
                runs("others", passes=passes, optimizer=kind, lr=rate)
                for rate in rates
            ]
        )  # (rates, seeds)
        axis.errorbar(
            rates,
            values.mean(1),
            values.std(1, ddof=1),
            marker="so"[i],
            ms=4,
            capsize=2,
            linestyle=plots.DASHES[i],
            label=f"{passes} passes",
        )
    axis.axhline(100 * most_common, ls=":", color="grey", label="most common")
    axis.set(xscale="log", xlabel="learning rate", title=name)
axes[0].set_ylabel("accuracy (%)")
axes[0].legend(fontsize=8)
figure.suptitle(
    "With more passes low rates catch up; rates that are too high stay bad",
    fontsize=11,
)
plots.show(
    figure,
    alt=(
        "Accuracy against the learning rate for AdamW and SGD, after 8 and 64"
        " passes. After 8 passes each curve has a narrow top; after 64 the"
        " left side has risen to the height of the top, the right side hasn't."
    ),
)

# %% tags=["setup", "result"]
rows, lead, best_rates = [], {}, {}
for kind in ("adamw", "sgd"):
    for passes in budgets.PASSES:
        same = dict(optimizer=kind, passes=passes)
        rate = best_rate(budgets.RATES[passes], **same)
        best_rates[kind, passes], at = rate, budgets.EVERY.index(rate)
        others = [
            runs("others", lr=budgets.EVERY[i], **same)
            for i in (at - 2, at, at + 2)
        ]
        lead[kind, passes] = [others[1].mean() - x.mean() for x in others]
        row = [kind, str(passes), f"{rate:.2g}"]
        row += [lab.mean_spread(values, "%") for values in others]
        rows.append([*row, lab.mean_spread(runs("train", lr=rate, **same))])
header = ["", "passes", "best rate", "a tenth of it", "at it", "ten times"]
plots.table(rows, [*header, "own answers"])
factor = best_rates["adamw", 64] / best_rates["adamw", 8]
print(f"AdamW's factor: {factor:.1g}, predicted: {my_factor}")

# %% [markdown]
# In this lesson the number behind ± is the standard deviation of the runs themselves: five here,
# three in the tables on dropout and freezing. The last column is the accuracy on the answers that
# were learnt: after 8 passes no network has finished.

# %% tags=["result"]
long = dict(optimizer="adamw", passes=64)
low, high = (runs("others", lr=rate, **long) for rate in (0.00316, 0.03162))
print("AdamW, 64 passes, 0.003 minus 0.03:", interval(low - high), "points")
lab.claim(
    "with either optimiser a tenth of the best rate costs more than ten points"
    " after 8 passes; SGD's costs less than three after 64",
    min(lead["adamw", 8][0], lead["sgd", 8][0]) > 10 and lead["sgd", 64][0] < 3,
)
lab.claim(
    "after 64 passes AdamW is better at 0.003, a tenth of what was best after"
    " 8, at every seed",
    (low > high).all(),
)
lab.claim(
    "ten times the best rate costs more than five points at either budget",
    min(costs[2] for costs in lead.values()) > 5,
)

# %% [markdown]
# **The best rate may depend on the budget.** AdamW's is lower after 64 passes than after 8; SGD's
# is the same. A low rate is slow, and more passes repair that. A rate ten times too high stays bad.
# So a rate, and whatever is compared at a rate, is tuned at the length at which it will be used.
#
# And each optimiser has its own: what is right for AdamW is too little for SGD. At *one* rate two
# optimisers can't be compared. Each at its best, they hardly differ here.

# %% [markdown]
# ### Warm-up and cosine
#
# At the end, noise of the batches keeps the weights jumping about the minimum, by an amount that
# grows with the rate; so the rate falls to 0, along half a cosine. At the start it rises slowly:
# **warm-up**. With $T$ updates, $W$ of them warm-up:
#
# $$\eta_t = \eta \cdot \begin{cases} (t+1)/W & t < W \\
#   \tfrac12\left(1 + \cos \pi \frac{t - W}{T - W}\right) & t \ge W \end{cases}$$

# %% [markdown]
# $t$ counts **updates**. Not epochs, and not batches either, once several batches make one update.
# What if the schedule is moved on four times an update, as when it stands inside the loop over
# four pieces of a batch?

# %% tags=["figure"]
updates = 200
figure = plots.curves(
    {
        name: [warmup_cosine(ticks * t, 20, updates) for t in range(updates)]
        for name, ticks in (("once an update", 1), ("four times", 4))
    },
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
ends = {1: [], 4: []}  # ticks of the schedule an update: validation accuracies
for ticks, found in ends.items():
    for seed in range(3):
        config = SmallConfig(lr=0.01, epochs=EPOCHS, ticks=ticks)
        network = train_small(config, train, 100 * lab.seed + seed)
        found.append(100 * accuracy(network, validation))
lab.claim(
    "a schedule that runs four times too fast costs more than ten points here",
    np.mean(ends[1]) - np.mean(ends[4]) > 10,
)

# %% [markdown]
# The loss falls, nothing complains. Others had to fix the same slip, for example in
# [xformers](https://github.com/facebookresearch/xformers/pull/222) and in
# [a robot model's trainer](https://github.com/starVLA/starVLA/pull/210).
#
# What is warm-up worth? The same cosine with it and without, both optimisers, five seeds:

# %% tags=["setup"]
rows, gain = [], {}
for passes, kind in budgets.AROUND:
    for rate in budgets.AROUND[passes, kind]:
        with_it, without = (
            runs("others", passes=passes, optimizer=kind, lr=rate, schedule=s)
            for s in ("cosine", "cosine without warm-up")
        )
        gain[passes, kind, rate] = with_it - without
        both = [lab.mean_spread(values, "%") for values in (with_it, without)]
        told = interval(gain[passes, kind, rate])
        rows.append([kind, str(passes), f"{rate:.2g}", *both, told])
header = ["", "passes", "rate", "warm-up", "none", "warm-up's gain, points"]
plots.table(rows, header)

# %%
lab.claim(
    "for AdamW at 0.1 warm-up gains more than five points at either budget; for"
    " SGD at 0.3 less than one",
    min(gain[8, "adamw", 0.1].mean(), gain[64, "adamw", 0.1].mean()) > 5
    and gain[8, "sgd", 0.31623].mean() < 1,
)

# %% [markdown]
# At good rates warm-up moves AdamW by about a point at most. At 0.1, which is too high, it gains
# fifteen points and more. At rates too high for SGD it gains nothing. Why Adam's? One account: at
# first $v$ rests on a few gradients, so the size of a step is noise ([Liu et al.
# 2019](https://arxiv.org/abs/1908.03265)). Another disputes that: the first steps are simply large
# ([Ma and Yarats 2019](https://arxiv.org/abs/1910.04209)). This table can't tell them apart.
#
# And the whole schedule, against a constant rate? Each at its own best rate:

# %% tags=["setup"]
rows = []
for passes in budgets.PASSES:
    found, rates, row = {}, budgets.AROUND[passes, "adamw"], [str(passes)]
    for schedule in ("constant", "cosine"):
        same = dict(optimizer="adamw", passes=passes, schedule=schedule)
        rate = best_rate(rates, **same)
        found[schedule] = runs("others", lr=rate, **same)
        row += [f"{rate:.2g}", lab.mean_spread(found[schedule], "%")]
    rows.append([*row, interval(found["cosine"] - found["constant"])])
header = ["passes", "rate", "constant", "rate", "schedule", "its gain, points"]
plots.table(rows, header)
for rate in (0.01, 0.03162):
    one, two = (
        runs("others", optimizer="adamw", passes=8, lr=rate, schedule=s)
        for s in ("constant", "cosine")
    )
    print(f"8 passes, both at {rate:.2g}: {interval(two - one)} points")

# %% [markdown]
# The first rate belongs to the constant one, the second to the schedule (warm-up and cosine). Each
# at its own rate they are within a point of each other at either budget: this small network does
# not need the schedule. (The constant rate's is the lowest that was tried after 64 passes; a lower
# one might do better.) After eight passes at the *same* rate one would have found a clear winner,
# and which one depends on the rate.

# %% [markdown]
# ### Finding a rate with one run · extra
#
# The **range test** (Smith 2015) is one short training: raise the rate a little in every update,
# from far too small to far too large, and write down the loss. It stays, falls, and explodes. By a
# common rule of thumb, not Smith's own, a good highest rate lies where the loss falls fastest.

# %% [markdown]
# > **Exercise 09.5 · write it** · extra · difficulty 2 of 3 · 10 minutes
# >
# > The rate where the loss falls fastest *per factor of the rate*: the difference of neighbouring
# > losses divided by the difference of the logarithms of their rates is lowest between two rates;
# > return the smaller of those two. Rates rise, but not evenly. Where the loss explodes it may be
# > inf or nan: nothing from the first such loss on counts. Of the rest, ignore what stands behind
# > the lowest loss (which itself still counts, and isn't the first).


# %%
def steepest_rate(rates, losses):
    """rates, losses: tensors (n,) -> a float."""
    ### BEGIN SOLUTION
    finite = int(losses.isfinite().long().cumprod(0).sum())
    end = int(losses[:finite].argmin()) + 1
    slopes = losses[:end].diff() / rates[:end].log().diff()  # (end - 1,)
    return rates[int(slopes.argmin())].item()
    ### END SOLUTION


# %%
steepest_rate = check("09.5", steepest_rate)


# %%
def range_test(seed, low=1e-4, high=10.0, updates=120, smooth=0.85):
    """Rates (updates,) and smoothed losses (updates,), the rate rising."""
    torch.manual_seed(seed)
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


tests = [range_test(100 * lab.seed + seed) for seed in range(5)]
found = [steepest_rate(*test) for test in tests]

# %% tags=["figure", "varies"]
figure, axis = plt.subplots(figsize=(6, 3))
for i, (tried, losses) in enumerate(tests):
    axis.plot(tried, losses.clamp(max=6), color=plots.PALETTE[0], lw=0.8)
    axis.axvline(found[i], linestyle="--", color="C1", lw=0.8)
axis.axvline(0.0316, linestyle=":", color="black", lw=2)
axis.set(
    xscale="log",
    xlabel="learning rate",
    ylabel="smoothed loss",
    title="Fastest fall (dashed), and best rate for 8 passes (dotted)",
)
plots.show(
    figure,
    alt=(
        "Loss against a rising learning rate in five runs: level at first,"
        " falling, lowest near a tenth, then rising steeply. The dashed lines"
        " stand before the lowest loss, scattered about the dotted one."
    ),
)

# %%
lab.claim(
    "the middle one of five suggestions lies within a factor of 4 of the best"
    " rate for 8 passes; the five differ by more than a factor of 2",
    1 / 4 < np.median(found) / 0.0316 < 4 and max(found) > 2 * min(found),
)

# %% [markdown]
# It finds a region, not a rate, and knows nothing of the budget. It depends on smoothing and on the
# batches, so run it more than once. Then try two or three rates around it.

# %% [markdown]
# ## 4. Dropout, and when to stop · core
#
# **Dropout** sets each hidden value to 0 with probability $p$ while training, so that no value can
# rely on another. What stays is divided by $1-p$: with $b = 1$ with probability $1-p$ and 0
# otherwise, $E[b\,a/(1-p)] = a$. So in eval mode nothing has to be changed.

# %%
torch.manual_seed(0)
dropped = nn.Dropout(0.25)(torch.full((100_000,), 3.0))  # (n,)
print(f"values {dropped.unique().tolist()}, mean {dropped.mean():.2f}")

# %% [markdown]
# Does it help? A wider network, half of its hidden values dropped or none, with few answers and
# with all, at two budgets. Each has its own rate, chosen on validation, and three seeds. "own" is
# the accuracy on the answers that were learnt. Read the columns in threes: without dropout, with
# it; the last is the difference.

# %% tags=["setup"]
rows, helps = [], {}
for answers, both in budgets.DROPOUT_PASSES.items():
    for passes in both:
        found, row = {}, [str(answers), str(passes)]
        for p in budgets.DROPOUT:
            same = dict(answers=answers, passes=passes, dropout=p, width=256)
            same["lr"] = best_rate(budgets.DROPOUT_RATES, **same)
            found[p] = runs("others", **same)
            row += [f"{same['lr']:g}", f"{runs('train', **same).mean():.0f} %"]
            row.append(lab.mean_spread(found[p], "%"))
        helps[answers, passes] = found[0.5] - found[0.0]
        rows.append([*row, interval(helps[answers, passes])])
header = ["answers", "passes", "rate", "own", "p = 0", "rate", "own"]
plots.table(rows, [*header, "p = 0.5", "dropout's gain, points"])

# %%
lab.claim(
    "with 1,600 answers dropout loses at every seed after 16 passes, and gains"
    " at every seed after 64",
    (helps[1600, 16] < 0).all() and (helps[1600, 64] > 0).all(),
)

# %% [markdown]
# With 1,600 answers the verdict turns round. After 16 passes dropout costs about a point, after 64
# it gains more than one. It learns more slowly, as the own answers show after 16 passes. "Dropout
# doesn't help here" would have been a conclusion of 16 passes. With 200 answers both intervals hold
# 0. (After 160 passes over them the lowest rate that was tried is chosen.)

# %% [markdown]
# ### Early stopping
#
# With 200 answers the network goes on fitting them long after validation has stopped improving. We
# watch with `fit`: 40 passes, the loss of both parts.


# %% tags=["setup"]
few = Features(train.h[:200], train.y[:200], train.answers)


@torch.no_grad()
def mean_loss(model, data):
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

    batches = DataLoader(TensorDataset(few.h, few.y), 32, shuffle=True)
    config = FitConfig(epochs=epochs, lr=0.01, patience=patience)
    same = dict(progress=False, device="cpu")
    return seen, fit(model, feature_objective, batches, score, config, **same)


seen, history = watched(patience=0)  # 0: never stop

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
    " is at its lowest",
    seen["validation"][-1] > 1.1 * min(seen["validation"])
    and seen["train"][-1] < 1.05 * min(seen["train"]),
)

# %% [markdown]
# So keep the weights of the best epoch, and stop when there was none better for `patience` epochs.
# A tie is not better. Patience counts from the *best* epoch, not from the last rise.

# %% [markdown]
# > **Exercise 09.6 · write it** · core · difficulty 2 of 3 · 10 minutes
# >
# > Given the validation scores that epochs would have (higher is better), say where training
# > stops: how many epochs are run, and which was the best, counted from 0. With patience 0 it never
# > stops early. A score may be nan: it is never the best. Where no epoch had a score, the best is
# > -1.


# %%
def early_stop(scores, patience):
    """scores: list of floats -> (epochs run, best epoch)."""
    ### BEGIN SOLUTION
    best, top = -1, -math.inf
    for epoch, score in enumerate(scores):
        if score > top:  # False for nan
            best, top = epoch, score
        elif patience and epoch - best >= patience:
            return epoch + 1, best
    return len(scores), best
    ### END SOLUTION


# %%
early_stop = check("09.6", early_stop)

# %%
for patience in (2, 5, 0):
    _, short = watched(patience)
    lab.claim(
        f"with patience {patience} `fit` stops where your function says, and"
        " keeps the same epoch",
        early_stop(history.score, patience)
        == (len(short.score), short.best_epoch),
    )

# %% [markdown]
# ## 5. A score that has chosen is no longer a score · core
#
# Why measure on validation, and not on the test at once? "I only look, I don't train on it." But
# choosing is learning too, if only a little.
#
# An experiment: the small network, trained 100 times with *the same settings*; only the seed
# differs. Each is tested with 300 questions, and the best of the 100 is reported with its score.
# How good is it really?

# %% [markdown]
# We can know, since in our world questions cost nothing: 12,000 new ones, in 40 parts of 300. Each
# part is once the test, and the others tell the truth. For comparison the choice is also made on
# validation: the next part of 300 chooses, the test part reports.

# %% [markdown]
# > **Exercise 09.7 · predict** · core · difficulty 1 of 3 · 3 minutes
# >
# > By how many percentage points is the reported score of the best of 100 too high, on average?

# %%
my_prediction = None
### BEGIN SOLUTION
my_prediction = 2.0
### END SOLUTION

# %%
my_prediction = check("09.7", my_prediction)

# %% tags=["setup"]
trained = json.loads(lab.data_path("studies/small_runs.json").read_text())
shares = {
    kind: 100
    / small_runs.QUESTIONS
    * np.array([r["right"] for r in trained["runs"] if r["kind"] == kind])
    for kind in ("only the seed changed", "settings drawn")
}  # (runs, parts) each, per cent


# %%
def too_high(share, tries, on_test, draws=20):
    """Reported minus true score of the best of `tries` runs, (parts,)."""
    draw, parts = np.random.default_rng(0), share.shape[1]
    found = np.zeros((draws, parts))
    for k, test in np.ndindex(found.shape):
        after = (test + 1) % parts  # the part that is validation
        some = share[draw.choice(len(share), tries, replace=False)]
        best = some[some[:, test if on_test else after].argmax()]  # (parts,)
        found[k, test] = best[test] - np.delete(best, [test, after]).mean()
    return found.mean(0)


SIZES = (1, 2, 5, 10, 20, 50, 100)
optimism = {
    (kind, on_test): np.array([too_high(share, k, on_test) for k in SIZES])
    for kind, share in shares.items()
    for on_test in (True, False)
}  # (sizes, parts) each

# %% tags=["figure", "result"]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.3), sharey=True)
for axis, kind in zip(axes, shares):
    for i, (on_test, name) in enumerate(
        ((True, "chosen on the test"), (False, "chosen on validation"))
    ):
        values = optimism[kind, on_test]  # (sizes, parts)
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
flattery = {}
for kind in shares:
    clean = optimism[kind, False][-1]  # (parts,)
    flattery[kind] = optimism[kind, True][-1] - clean  # (parts,)
    print(f"{kind}: too good by {interval(flattery[kind])} points")
    lab.claim(
        "choosing on the test flatters, choosing on validation doesn't: more"
        " and less than three standard errors from 0",
        flattery[kind].mean() > 3 * flattery[kind].std(ddof=1) / 40**0.5
        and abs(clean.mean()) < 3 * clean.std(ddof=1) / 40**0.5,
    )
print(f"predicted: {my_prediction:.1f} points")

# %% [markdown]
# In brackets stands the 95 % interval over the 40 parts; all choose among the same 100 trainings.
# The bars of the figure are standard errors. Both curves share most of them, since a part may be
# easy or hard; the printed number is the *difference* of the curves and is surer than the bars
# look. Nobody trained on the test. Still the best of 100 runs looks almost three points better than
# it is. A score on 300 questions is the true accuracy plus noise, and the largest of 100 noisy
# numbers is large *because* of its noise.

# %% [markdown]
# How large? Let true accuracies vary with standard deviation $\sigma$ between runs, and the noise
# on one test with $s$. All runs answer the *same* questions, so $s$ is only the part of the noise
# in which runs differ. A score varies with $\sqrt{s^2 + \sigma^2}$. The largest of $k$ normal
# numbers lies $c_k$ standard deviations above the mean. If a score lies above the mean, part of
# that is truth and part is noise. On average the share of noise is $s^2 / (s^2 + \sigma^2)$. So
#
# $$\text{flattery} \approx c_k \sqrt{s^2 + \sigma^2} \cdot \frac{s^2}{s^2 + \sigma^2}
#   = \frac{c_k\, s^2}{\sqrt{s^2 + \sigma^2}} .$$


# %%
def formula(share):
    """s, sigma and the flattery that the formula gives, in points."""
    c = np.random.default_rng(0).normal(size=(20_000, len(share))).max(1).mean()
    true = share.mean(1, keepdims=True)  # (runs, 1)
    noise = share - true  # (runs, parts)
    s = (noise - noise.mean(0)).std(0, ddof=1).mean()
    sigma = max(0.0, true.var(ddof=1) - s**2 / share.shape[1]) ** 0.5
    return s, sigma, c * s**2 / (s**2 + sigma**2) ** 0.5


for kind, share in shares.items():
    s, sigma, points = formula(share)
    print(f"{kind}: s {s:.2f}, sigma {sigma:.2f}, formula {points:.1f} points")
    quarters = np.percentile(share.mean(1), (0, 25, 50, 75, 100))
    print("  true accuracies, lowest, quarters, highest:", quarters.round(1))

# %% [markdown]
# For runs that differ in the seed only, the formula gives what was measured. For different
# settings it is wrong by a factor of nearly four. One might read it like this: "$\sigma$ is large,
# so the best is really the best, and different settings are hardly flattered". The measurement
# says otherwise.
#
# > **Exercise 09.8 · choose and justify** · core · difficulty 2 of 3 · 4 minutes
# >
# > Why does the formula fail for different settings?
# >
# > - **a** there are too few runs to know $\sigma$;
# > - **b** bad runs make $\sigma$ large, but never win: what counts is the spread among the best;
# > - **c** different settings are chosen on another set of questions;
# > - **d** the noise $s$ is much smaller there.

# %%
my_reason = None
### BEGIN SOLUTION
my_reason = "b"
### END SOLUTION

# %%
my_reason = check("09.8", my_reason)

# %% tags=["result"]
drawn = shares["settings drawn"]
order = drawn.mean(1).argsort()  # (runs,), the best last
for top in (100, 20, 10):
    s, sigma, points = formula(drawn[order[-top:]])
    print(f"best {top:3}: sigma {sigma:5.2f}, formula {points:.1f} points")
print(f"measured: {interval(flattery['settings drawn'])} points")
really = (drawn.argmax(0) == drawn.mean(1).argmax()).mean()
print(f"the chosen run is the truly best in {100 * really:.0f} % of the parts")

# %% [markdown]
# Among the contenders $\sigma$ is small, whatever else was tried. So flattery doesn't go away by
# trying different things: epochs, seeds, prompts and thresholds are all runs to choose from. More
# questions make $s$ smaller; choosing on *other* questions makes the flattery 0. **Choose on
# validation, and open the test once.**

# %% [markdown]
# ## 6. Freezing · core
#
# The model of lesson 07 has read captions in two languages and never a question. It is to answer
# Chinese questions, from 1,600 examples. What has to be trained? The cost of an update is counted:
# operations in matrix products and convolutions, and bytes that the forward pass keeps for the
# backward pass.

# %% tags=["figure"]
diagrams.flow(
    {
        "picture": (0, 0, "pictures"),
        "stem": (1, 0, "stem: frozen, eval"),
        "words": (1, 1, "question"),
        "encoder": (2, 0, "encoder: trained"),
        "head": (3, 0, "head: trained"),
        "loss": (4, 0, "loss"),
    },
    [
        ("picture", "stem", "(images, 3, 64, 64)"),
        ("stem", "encoder", "v (images, 16, 64)"),
        ("words", "encoder", "x (batch, words)"),
        ("encoder", "head", "h (batch, 64)"),
        ("head", "loss", "z (batch, answers)"),
        ("loss", "encoder", "backward ends here"),
    ],
    alt=(
        "Pictures go through a frozen stem, the encoder and the head to the"
        " loss. The backward pass goes from the loss to the encoder and ends"
        " there: nothing below it is trained."
    ),
    marked=["stem"],
)

# %%
weights = lab.data_path("checkpoints/world_pretrained.safetensors")
asked = tuning_curve.questions("train", 400, seed=100)
batch = next(iter(loader(asked, 16, seed=0)))
ways = {
    name: way
    for name, way in freezing.STRATEGIES.items()
    if name != "stem frozen, in train mode"
}
ways["encoder frozen"] = lambda model: freeze(model.encoder)
ways["nothing frozen"] = ways.pop("nothing frozen")  # the last row


def prepared(way):
    """The pretrained model under a new head, with a part of it frozen."""
    model = base_model(len(asked.answers), weights, lab.seed)
    way(model)
    train_mode(model)
    return model


costs = {name: cost(prepared(way), batch) for name, way in ways.items()}

# %% tags=["setup"]
rows = []
for name, way in ways.items():
    trained = [p for p in prepared(way).parameters() if p.requires_grad]
    forward, backward = (
        f"{costs[name][part] / 1e6:.0f}" for part in ("forward", "backward")
    )
    kept_for_it = f"{costs[name]['held'] / 1e6:.1f}"
    count = f"{sum(p.numel() for p in trained):,}"
    rows.append([name, count, forward, backward, kept_for_it])
header = ["", "trained", "million operations forward", "and backward"]
plots.table(rows, [*header, "MB kept for it"])

# %%
whole, top = costs["nothing frozen"], costs["encoder frozen"]
lab.claim(
    "backward costs nearly twice forward; to freeze the encoder above a stem"
    " that is trained saves less than a fifth of it",
    1.8 < whole["backward"] / whole["forward"] < 2
    and top["backward"] > 0.8 * whole["backward"],
)

# %% [markdown]
# Backward costs twice forward: for each matrix $W$ with $y = Wx$ one product gives the gradient of
# $W$ ($\partial L/\partial y \; x^\top$) and one that of $x$ ($W^\top \partial L/\partial y$). A
# frozen matrix saves the first. The second is saved too if nothing *below* is trained: then the
# backward pass ends there, and nothing has to be kept. So freezing pays from the bottom up.

# %% [markdown]
# And the accuracy? Three seeds, each at the rate that validation chose (`python -m
# course_utils.studies freezing`; the two extremes are runs of lesson 11). Is it the pretraining
# that makes a frozen stem good? To know, we need a row with a frozen **random** stem: the same
# network, weights drawn anew, tuned at two of the rates. (The row "in train mode" is explained
# below.)

# %% tags=["setup"]
both = []
for name in ("freezing", "tuning_curve"):
    text = lab.data_path(f"studies/{name}.json").read_text()
    both += json.loads(text)["runs"]
order = ["all frozen but the head", "top layer and head trained"]
order += [freezing.RANDOM, "stem frozen", "stem frozen, in train mode"]
tuned = {
    name: np.array([100 * r["accuracy"] for r in freezing.chosen(both, name)])
    for name in [*order, "nothing frozen"]
}
rows = [
    [name, lab.mean_spread(found, "%"), interval(found - tuned["stem frozen"])]
    for name, found in tuned.items()
]
header = ["", "test accuracy", "minus stem frozen, points (95 %)"]
plots.table(rows, header)

# %%
lab.claim(
    "at every seed a frozen pretrained stem is better than a frozen random one"
    " by more than 15 points, and than a head alone by more than ten",
    (tuned["stem frozen"] - tuned[freezing.RANDOM]).min() > 15
    and (tuned["stem frozen"] - tuned["all frozen but the head"]).min() > 10,
)

# %% [markdown]
# **The stem can stay frozen** here. With a random stem the model stays far behind: what the
# pretrained one learnt about seeing serves for questions as well. (The random stem's rate is the
# lower of the two; still lower ones were not tried.) The difference to training everything may be
# 0, or a whole point: three seeds can't tell. To freeze the stem saves about three quarters of the
# backward operations, and as much of the memory. The head alone is cheaper still, but it costs
# accuracy; the top layer with the head lies between.

# %% [markdown]
# ### Frozen is two things
#
# `requires_grad=False` keeps an optimiser away from weights. It does not stop **batch
# normalisation**, which in train mode uses the statistics of the batch and moves its running mean
# and variance, gradient or not; nor **dropout**, which goes on deleting. A frozen part has to be
# in eval mode as well.
#
# What happens otherwise? The frozen stem of a tuned model sees the training pictures once more, in
# train mode, without a single update:

# %%
moved = [r for r in both if r.get("strategy") == freezing.MOVED]
before = np.array([100 * r["accuracy"] for r in moved])  # (seeds,)
for size in freezing.BATCHES:
    after = np.array([100 * r[f"after batches of {size}"] for r in moved])
    print(f"after batches of {size:2}: {interval(after - before)} points")

# %% [markdown]
# On average it costs less than a point, and both intervals hold 0. These pictures are of the world
# that the stem knows, so its statistics stay near what they were; nothing here tells what other
# pictures would do. In the table the row "in train mode" isn't behind either. Still, a frozen part
# that changes is a bug: nobody can say any more which model was tuned.

# %% [markdown]
# > **Exercise 09.9 · fix it** · core · difficulty 2 of 3 · 10 minutes
# >
# > This is to freeze `model.stem` (convolutions, batch normalisation, dropout), make the rest ready
# > to train, and return the optimiser. It has two defects: what the optimiser holds, and the mode
# > of the stem. (AdamW skips a weight without a gradient. But one that is left over from before
# > would still move it.) `train_mode` and `freeze` of the package would do; write it without them.
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
ready = check("09.9", ready)

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
# so each piece's loss is divided by $k$, and gradients are zeroed once per *update*.

# %% tags=["figure"]
diagrams.flow(
    {
        "one": (0, 0, "piece 1"),
        "dots": (0, 1, "..."),
        "k": (0, 2, "piece k"),
        "sum": (1, 1, "gradients add up"),
        "step": (2, 1, "optimiser step"),
        "schedule": (3, 1, "schedule moves"),
        "zero": (4, 1, "gradients zeroed"),
    },
    [
        ("one", "sum", "loss / k, backward"),
        ("dots", "sum", ""),
        ("k", "sum", ""),
        ("sum", "step", "once"),
        ("step", "schedule", "once"),
        ("schedule", "zero", "once"),
    ],
    alt=(
        "Each of k pieces gives a gradient of its loss divided by k; they add"
        " up; then the optimiser steps once, the schedule moves once, and the"
        " gradients are zeroed once."
    ),
    marked=["sum"],
)


# %%
def gradient(norm, pieces):
    """The gradient of one batch of 32, in so many pieces, (parameters,)."""
    torch.manual_seed(0)
    layers = nn.Linear(6, 12), norm(12), nn.GELU(), nn.Linear(12, 1)
    model = nn.Sequential(*layers).double()
    x = torch.randn(32, 6).double()  # (batch, features)
    for piece in x.split(pieces):
        loss = (model(piece)[:, 0] - piece.sum(1).sin()).square().mean()
        (loss / len(x.split(pieces))).backward()
    # (parameters,)
    return torch.cat([p.grad.flatten() for p in model.parameters()])


off = {}
for name, norm, pieces in (
    ("LayerNorm, four pieces of 8", nn.LayerNorm, 8),
    ("GroupNorm, four pieces of 8", lambda n: nn.GroupNorm(3, n), 8),
    ("LayerNorm, pieces of 20 and 12", nn.LayerNorm, [20, 12]),
    ("BatchNorm, four pieces of 8", nn.BatchNorm1d, 8),
):
    whole = gradient(norm, 32)
    off[name] = ((gradient(norm, pieces) - whole).norm() / whole.norm()).item()
    same = off[name] < 1e-12
    told = "equal, to 1e-12" if same else f"off by {100 * off[name]:.1f} %"
    print(f"{name:31} {told}")
lab.claim(
    "equal pieces with LayerNorm or GroupNorm give the gradient of the whole"
    " batch; unequal pieces, or BatchNorm, don't",
    [error < 1e-12 for error in off.values()] == [True, True, False, False],
)

# %% [markdown]
# With pieces of unequal size the result is a mean of means. Batch normalisation makes each example
# depend on the others of its *piece*; no way of adding up repairs that. A contrastive loss, lesson
# 07, is another exception: its negatives are the rest of the piece. And dropout draws other
# numbers, so results are equal in the mean only.

# %% [markdown]
# > **Exercise 09.10 · fix it** · core · difficulty 3 of 3 · 12 minutes
# >
# > Accumulation with three mistakes. Batches are equally large, and `accumulate` divides their
# > number. (`fit` makes one more update of a last group that isn't full.)
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
train_epoch = check("09.10", train_epoch)

# %% [markdown]
# How large should a batch be? Its gradient is the true one plus noise, which shrinks as the batch
# grows. Once noise is the smaller part, more examples bring little: a measurable **noise scale**
# predicts where ([McCandlish et al. 2018](https://arxiv.org/abs/1812.06162)). A larger batch means
# fewer updates an epoch, so the rate is looked for again. To multiply it by the same factor, after
# a warm-up, is a first guess for SGD (Goyal et al. 2017), not a law.

# %% [markdown]
# ### Clipping · extra
#
# Now and then one batch has a huge gradient, and one step ruins what many have built. **Clipping
# by the norm** shortens the gradient of *all* weights together to a length of at most $c$: $g
# \leftarrow g \cdot \min(1, c / \lVert g \rVert)$. The direction stays. It belongs after the last
# piece's `backward` and before `step`.

# %%
w = nn.Parameter(torch.zeros(2))  # (weights,)
for clip in (nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_):
    w.grad = torch.tensor([3.0, 40.0])  # (weights,)
    clip([w], 1.0)
    print(f"{clip.__name__:16}", [f"{g:.3f}" for g in w.grad.tolist()])

# %% [markdown]
# The second clips each number by itself.

# %% [markdown]
# ## 8. Several processes · extra
#
# With several GPUs one *process*, a running program of its own, works for each. It has a copy of
# the model and takes a part of the batch, a **shard**. After `backward` the gradients are averaged
# over the processes, so all copies make the same step. That is accumulation side by side, with the
# same conditions. The library accelerate starts processes, and `fit` is made for it:
#
# ```
# accelerate launch --multi_gpu --num_processes 2 -m course_utils.training.processes --out FILE
# ```

# %% [markdown]
# One update of the joint model by two processes, against the whole batch in this one:

# %%
from course_utils.training import processes as two_processes

# %%
off = {
    norm: two_processes.furthest(
        two_processes.gradients(norm), two_processes.launch(2, norm)
    )
    for norm in ("group", "batch")
}
lab.claim(
    "two processes with GroupNorm and LayerNorm have the gradients of one, to"
    " 1e-10; with BatchNorm they are off by more than a thousandth",
    off["group"] < 1e-10 and off["batch"] > 1e-3,
)

# %% [markdown]
# ## 9. Half the bits · extra
#
# A number is stored as $\pm 1.f \cdot 2^e$: the bits of the exponent $e$ set the range, those of
# the fraction $f$ the spacing. A float32 has 8 for the exponent and 23 for the fraction.
# **bfloat16** keeps the 8 and has 7 for the fraction: the same range, two to three digits.
# **float16** has 5 and 10: more digits, and a range up to 65,504.

# %%
bf16, fp16 = torch.bfloat16, torch.float16
one = torch.tensor(1.0)
print("1 + 1/256 in bfloat16 is", (one.to(bf16) + 1 / 256).item())
w16, w32 = one.to(bf16), one.clone()
for _ in range(1000):
    w16, w32 = w16 - 1e-3, w32 - 1e-3
print(f"1 minus a thousand times 0.001: {w16.item():.3f}, float32 {w32:.3f}")
tiny = torch.tensor(1e-8)
rescued = (tiny * 65536).to(fp16).item() / 65536
print(f"1e-8 in float16: {tiny.to(fp16).item()}; scaled: {rescued:.1e}")
print("70000 in float16:", torch.tensor(70000.0).to(fp16).item())

# %% [markdown]
# - A small update to a bfloat16 weight is rounded away, and a thousand of them still are. So
#   weights and the optimiser's means stay in float32 (**master weights**); only products are
#   computed in 16 bits. That is **mixed** precision, `FitConfig(precision="bf16")`.
# - Small gradients are 0 in float16. So its loss is multiplied by a large number before
#   `backward`, and the gradients divided by it after: **loss scaling**. bfloat16 needs none.

# %% [markdown]
# ## 10. Killed, and none the worse · core
#
# A training of days will be interrupted. What has to be kept so that it goes on *as if nothing had
# happened*? We train 60 updates with dropout, AdamW and a schedule; stop after 30, and go on from a
# copy in which one thing is missing. In the code: at `t == stop` the states are copied, everything
# is made anew, and all but one are loaded back. `order.roll` shifts the order so that it begins
# with the first example again.


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
            state = {name: part.state_dict() for name, part in run.items()}
            state, numbers = copy.deepcopy(state), torch.get_rng_state()
            run = fresh()
            for name in state.keys() - {left_out}:
                run[name].load_state_dict(state[name])
            if left_out != "random numbers":
                torch.set_rng_state(numbers)
            if left_out == "place in the order":  # the first example again
                order = order.roll(stop * 16)
        rows = order[16 * t % len(order) :][:16]  # (batch,)
        loss = F.cross_entropy(run["weights"](train.h[rows]), train.y[rows])
        run["optimiser"].zero_grad()
        loss.backward()
        run["optimiser"].step()
        run["schedule"].step()
    return nn.utils.parameters_to_vector(run["weights"].parameters()).detach()


# %%
whole, off = interrupted("nothing", stop=59), {}
things = ["nothing", "random numbers", "place in the order"]
for name in [*things, "schedule", "optimiser", "weights"]:
    off[name] = (interrupted(name) - whole).norm() / whole.norm()
    told = "the same weights, to the bit" if off[name] == 0 else "other weights"
    print(f"left out: {name:20} {told}")
lab.claim(
    "with everything kept the end is the same to the bit; with any of the five"
    " left out it is another",
    off.pop("nothing") == 0 and min(off.values()) > 1e-4,
)

# %% [markdown]
# *To the bit* holds on one machine. Other numbers of threads, other versions of PyTorch and other
# devices add in another order. On a GPU even the same run twice may differ: some operations there
# have no fixed order. `torch.use_deterministic_algorithms(True)` asks for those that have one, and
# costs time. Workers of a loader have seeds of their own. [PyTorch's
# notes](https://docs.pytorch.org/docs/stable/notes/randomness.html) list all that.

# %% [markdown]
# > **Exercise 09.11 · choose and justify** · core · difficulty 2 of 3 · 5 minutes
# >
# > Which of these belong in the file, so that the end is the same to the bit, or one can at least
# > say why it isn't? A set of letters, such as `{"a", "b"}`.
# >
# > - **a** the weights;
# > - **b** the gradients of the last update;
# > - **c** the optimiser's running means;
# > - **d** the position in the schedule;
# > - **e** the states of all random number generators;
# > - **f** which batches of the epoch have been used;
# > - **g** the best score so far, its weights, and how long ago it was;
# > - **h** the activations of the last batch;
# > - **i** a note of the versions, the device and the number of threads.

# %%
in_the_file = None
### BEGIN SOLUTION
in_the_file = {"a", "c", "d", "e", "f", "g", "i"}
### END SOLUTION

# %%
in_the_file = check("09.11", in_the_file)

# %% [markdown]
# `fit(..., resume=PATH)` keeps all of these except **i**, after each epoch and every `save_every`
# updates. It writes *beside* the old file and renames, so a process that dies while it writes
# leaves the old one whole. And reading it runs no code; reading a pickle may.

# %% [markdown]
# ### Killed for real · extra
#
# A process of its own trains, and is killed in an update that is drawn at random, with `SIGKILL`:
# nothing can be caught or tidied up. It is started again, killed again, and started again.

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


# %% tags=["setup"]
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
folders = [Path(tempfile.mkdtemp()) for _ in range(2)]
undisturbed = start(folders[0])
for kill_at in kills:
    start(folders[1], kill_at)
last = start(folders[1])
print(f"{len(undisturbed)} updates; killed in {kills[0]} and {kills[1]}")
ends = [(folder / "end.safetensors").read_bytes() for folder in folders]
lab.claim(
    "the last process began where a file was left, and its weights are those of"
    " the undisturbed run, byte for byte",
    0 < last[0] <= kills[1] + 1 and ends[0] == ends[1],
)

# %% [markdown]
# ## 11. Watching · extra
#
# A number at the end says that something went wrong; curves say when. `fit(...,
# tracker="tensorboard", run_folder=...)` writes loss, rate, norm of the gradient and score.
# `tracker="wandb"` writes the same for Weights & Biases, in its offline mode: no account, and
# nothing is sent.

# %%
from course_utils.training.tracking import read_tensorboard

# %%
run_folder = Path(tempfile.mkdtemp())  # in your own work: one that stays
torch.manual_seed(lab.seed)
fit(
    small_network(64, train.answers, SmallConfig()),
    feature_objective,
    DataLoader(TensorDataset(train.h, train.y), 64, shuffle=True),
    lambda m: accuracy(m, validation),
    FitConfig(epochs=6, lr=0.02, max_steps=lab.step_limit),
    device="cpu",
    progress=False,
    tracker="tensorboard",
    run_folder=run_folder,
)
watched_curves = read_tensorboard(run_folder)

# %% tags=["figure", "varies"]
figure, axes = plt.subplots(1, 4, figsize=(11, 2.4))
for axis, name in zip(
    axes, ("loss", "learning_rate", "gradient_norm", "score")
):
    xs, ys = zip(*watched_curves[name])
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
# ## 12. Searching for settings · extra
#
# Rate, decay, dropout, width, batch: five numbers, no formula. A grid repeats the same few values
# of those that matter (Bergstra and Bengio 2012). **Random search** draws each trial independently.
# **TPE**, the default of the library Optuna, tries what is much likelier among the best trials so
# far than among the rest. It begins after ten random trials.
#
# Twelve searches of each kind, with the same budget (`python -m course_utils.studies
# search_study`): 300 questions choose, 11,700 others judge the choice.

# %% tags=["setup"]
text = lab.data_path("studies/search_study.json").read_text()
searches, judged = json.loads(text)["runs"], {}
for name in ("random", "tpe"):
    of_kind = [run["judged"] for run in searches if run["sampler"] == name]
    judged[name] = 100 * np.array(of_kind)  # (seeds, trials)
rows = []
for trials in (10, 16, 24, 32, 48):
    one, two = (judged[name][:, trials - 1] for name in ("random", "tpe"))
    means = [f"{found.mean():.1f} %" for found in (one, two)]
    rows.append([str(trials), *means, interval(two - one)])
header = ["trials", "random", "TPE", "TPE ahead (95 % interval), points"]
plots.table(rows, header)

# %% [markdown]
# After the tenth trial TPE is ahead in the mean, but most of the intervals hold 0. A search *chooses*: the score that it reports of its
# winner is too good, as in section 5.

# %% [markdown]
# ## 13. Memory against time · extra
#
# The forward pass keeps what the backward pass will need. **Activation checkpointing** keeps only
# the *input* of each layer, and computes the layer a second time when the backward pass gets there
# (Chen et al. 2016). An encoder with six layers shows it:

# %%
from course_utils.models.transformer import (
    TransformerConfig,
    TransformerEncoder,
)
from course_utils.training.memory import checkpoint_layers, saved_bytes

# %%
torch.manual_seed(0)
sizes = TransformerConfig(dim=64, layers=6, heads=8, mlp_dim=128)
encoder = TransformerEncoder(sizes).double()
h = torch.randn(32, 26, 64).double()  # (batch, positions, dim)
found = {}  # checkpointed or not: gradients, bytes kept
for on in (False, True):
    checkpoint_layers(encoder, on)
    encoder.zero_grad()
    encoder(h)[0].square().mean().backward()
    found[on] = (
        torch.cat([p.grad.flatten() for p in encoder.parameters()]),
        saved_bytes(lambda: encoder(h)[0].square().mean(), encoder),
    )
print(f"kept: {found[False][1] / 1e6:.1f} MB or {found[True][1] / 1e6:.1f} MB")
lab.claim(
    "gradients are the same to 1e-12, and less than a fifth is kept",
    (found[False][0] - found[True][0]).abs().max() < 1e-12
    and found[True][1] < 0.2 * found[False][1],
)

# %% [markdown]
# ## 14. What you know now · core
#
# - The steepest direction limits the rate, the flattest one waits. Momentum replaces the condition
#   number by its root; Adam gives each weight its own step.
# - Decoupled decay shrinks all alike; L2 under Adam doesn't.
# - The best rate may depend on the budget. Whatever is compared, each at its best rate, at the length
#   at which it will be used.
# - A test that chose is too good, though nobody trained on it.
# - Frozen means no gradient *and* eval mode; freezing pays from the bottom up.
# - Pieces equal the whole batch, if they are equally large and nothing mixes examples.
# - A run that keeps all its state can be killed at any time.

# %%
quiz(
    [
        (
            "You multiply the loss by 1000. What changes under SGD, and"
            " what under Adam?",
            "Under SGD every step is 1000 times as long. Under Adam nothing"
            " but the role of epsilon.",
        ),
        (
            "After ten epochs rate A beats rate B by far. You will train a"
            " hundred epochs. Which do you take?",
            "Neither yet. If B is lower it may only be slower: compare them"
            " at a hundred.",
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
            " has to go through it.",
        ),
        (
            "Accumulation over four batches, and the result differs from"
            " one large batch. Name three causes.",
            "A layer that mixes examples, dropout, unequal batches; or a"
            " loss that isn't divided, or gradients zeroed in between.",
        ),
    ]
)

# %% [markdown]
# **Papers.** Kingma and Ba 2014, *Adam* ([arXiv 1412.6980](https://arxiv.org/abs/1412.6980)).
# Loshchilov and Hutter 2017, decoupled decay: L2 and decay are the same for plain SGD up to the
# learning rate, and not for Adam ([1711.05101](https://arxiv.org/abs/1711.05101)). The same, the
# cosine ([1608.03983](https://arxiv.org/abs/1608.03983)). Smith 2015, the range test
# ([1506.01186](https://arxiv.org/abs/1506.01186)). Cawley and Talbot 2010: what choosing a model
# does to its score can be as large as differences between methods ([JMLR
# 11](https://jmlr.org/papers/v11/cawley10a.html)).

# %% [markdown]
# Bergstra and Bengio 2012: random search finds as good settings as a grid in a fraction of the
# time, since few of them matter ([JMLR 13](https://jmlr.org/papers/v13/bergstra12a.html)). Chen et
# al. 2016, checkpointing ([1604.06174](https://arxiv.org/abs/1604.06174)). Micikevicius et al.
# 2017, mixed precision ([1710.03740](https://arxiv.org/abs/1710.03740)). Goyal et al. 2017, large
# batches with warm-up ([1706.02677](https://arxiv.org/abs/1706.02677)).

# %% [markdown]
# **Next:** lesson 10 asks what a test score can bear.

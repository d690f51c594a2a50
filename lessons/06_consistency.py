# ---
# jupyter:
#   course:
#     title: "L_vs: consistency, and how it collapses"
#     needs: ["01", "05"]
# ---

# %% [markdown]
# Labels cost money. Pictures and sentences do not. Can a model learn from pictures and questions
# that nobody has answered?
#
# Here is an idea. Disturb a picture a little, $v \to v'$. What the model makes of the picture
# should stay the same:
#
# $$L_{vs} = \lVert \mathrm{Transformer}(x, v) - \mathrm{Transformer}(x, v') \rVert^2 .$$
#
# In this lesson you will
#
# - train with this loss and find out what is lost while it falls;
# - say exactly when the loss is zero;
# - build the indicators that show a collapse, and find the blind spot of each;
# - cure the collapse, see the cure fail silently, and repair it with one line;
# - choose the perturbation $v'$, and use the loss beside labels.

# %% [markdown]
# The symbols are those of lesson 05: $x$ the words, $v$ the picture's features, and the joint
# representation $h = \mathrm{Transformer}(x, v)$. We write $T$ for the Transformer.
#
# Here $h$ is the first position only: `[CLS]`, which the answer heads, the small networks on top,
# read. It has $d$ entries (`DIM` in the code). What is disturbed are the pixels, and $v'$ are the
# features of the disturbed picture. In code and in papers the word is *perturb*.
#
# From here on we also write $v$ for the picture itself. The drawing shows both branches: they share
# all weights.

# %% tags=["setup"]
import inspect
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from course_utils.checks import check, compare_prediction, hint, quiz
from course_utils.datasets import load_easy_vqa
from course_utils.datasets.perturb import (
    brightness,
    mix_colours,
    noise,
    perturb,
    perturb_colour,
    shift,
)
from course_utils.datasets.text import encode
from course_utils.evaluation.baselines import mode_per_question
from course_utils.models.heads import AnswerHead
from course_utils.models.joint import JointConfig, JointEncoder
from course_utils.models.vision import PatchStem
from course_utils.notebook import diagrams, lab, plots
from course_utils.objectives import indicators
from course_utils.objectives.consistency import (
    covariance_penalty,
    picture_text_distance,
    vicreg,
)
from course_utils.studies.runs import read_runs
from course_utils.training.fit import warmup_cosine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

# %% tags=["figure"]
diagrams.flow(
    {
        "v": (0, 0, "picture v"),
        "x": (0, 1, "words x"),
        "v'": (0, 2, "disturbed v'"),
        "T": (1, 0.5, "Transformer T"),
        "T'": (1, 1.5, "Transformer T,\nthe same weights"),
        "h": (2, 0.5, "h"),
        "h'": (2, 1.5, "h'"),
        "L": (3, 1, "L_vs = ‖h - h'‖²,\nmean over pairs"),
    },
    [
        ("v", "T", ""),
        ("x", "T", ""),
        ("x", "T'", ""),
        ("v'", "T'", ""),
        ("T", "h", "(batch, d)"),
        ("T'", "h'", "(batch, d)"),
        ("h", "L", ""),
        ("h'", "L", ""),
    ],
    alt=(
        "Two branches. A picture v with words x, and the disturbed v' with the"
        " same words, go through the same Transformer. L_vs is the squared"
        " distance of the two outputs h and h'."
    ),
    marked=["L"],
)

# %% [markdown]
# On numbers: two pairs, $d = 2$. The loss sums the squares over the entries and takes the mean over
# the pairs.


# %%
def consistency(h, h_other):
    """L_vs for h, h_other (batch, dim): a tensor ()."""
    return (h - h_other).square().sum(-1).mean()


h = torch.tensor([[1.0, 2.0], [0.0, 1.0]])  # (2, 2)
h_other = torch.tensor([[1.0, 4.0], [1.0, 1.0]])  # (2, 2)
print("squares:", (h - h_other).square().tolist())
print("L_vs = (4 + 1) / 2 =", consistency(h, h_other).item())

# %% [markdown]
# ## 1. A loss that falls · core
#
# The pictures and questions are those of easy-VQA, without the answers. Below are four pictures $v$
# and one disturbed version $v'$ of each. It is shifted by up to 4 pixels, a little brighter or
# darker, and noisy.

# %%
data = load_easy_vqa("train")
train, held_out = data.split_by_image(0.1, seed=0)  # no picture on both sides
test = load_easy_vqa("test", data.tokenizer, data.answers)
questions = sorted(set(data.questions))
x_all, mask_all = (
    part.to(lab.device) for part in encode(data.tokenizer, questions)
)
pictures = {
    name: (part.images.to(lab.device).float() / 255)  # (images, 3, 64, 64) each
    for name, part in (("train", train), ("held out", held_out))
}
print(
    f"{len(train.images)} pictures to train on, {len(held_out.images)} held"
    f" out, {len(questions)} different questions"
)

# %% tags=["figure"]
some = pictures["train"][:4].cpu()  # (4, 3, 64, 64)
changed = perturb(some, torch.Generator().manual_seed(0))
both = torch.cat([some, changed])  # (8, 3, 64, 64)
figure = plots.images_grid(both, ["v"] * 4 + ["v'"] * 4, size=1.7)
plots.show(
    figure,
    alt="Four pictures of one shape each; below, the same shifted and noisy.",
)

# %% [markdown]
# The model is small. It cuts a picture into 16 patches and projects them linearly. They go with
# the words into a Transformer of two layers. Nobody has to say which question belongs to which
# picture: any pair will do.

# %%
DIM = 64
STEPS = lab.steps(cpu=200, gpu=2000)


class Joint(nn.Module):
    """h of [CLS] for pictures and questions, row by row."""

    def __init__(self):
        super().__init__()
        config = JointConfig(
            dim=DIM,
            layers=2,
            heads=4,
            mlp_dim=2 * DIM,
            visual_dim=64,
            vocab_size=data.tokenizer.get_vocab_size(),
        )
        self.stem = PatchStem(config.visual_dim)
        self.encoder = JointEncoder(config)

    def forward(self, images, x, mask):
        v = self.stem(images)  # (batch, patches, visual_dim)
        return self.encoder(x, v, mask, keep=1)[:, 0]  # (batch, dim)


def draw(questions_a_batch, pictures_a_question, generator):
    """A batch without labels: random questions, random pictures for each."""
    random = {"generator": generator, "device": lab.device}
    group = torch.randint(len(questions), (questions_a_batch,), **random)
    group = group.repeat_interleave(pictures_a_question)  # (batch,) question
    chosen = torch.randint(len(train.images), (len(group),), **random)
    return pictures["train"][chosen], x_all[group], mask_all[group], group


# %% [markdown]
# `pretrain` is the training loop of the whole lesson. Every run starts from the same weights.
# Runs differ in the loss, `loss_of`, and in how a batch is drawn. Whatever is minimised, the loop
# notes $L_{vs}$. `group` tells which rows share a question; section 4 needs it.


# %%
def pretrain(
    loss_of, questions_a_batch, pictures_a_question, change=perturb, watch=None
):
    """Trains a fresh `Joint` on loss_of(h, h_other, group).

    Returns the model, and L_vs of every update.
    """
    torch.manual_seed(lab.seed)
    model = Joint().to(lab.device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-3, weight_decay=0.01, fused=True
    )
    generator = torch.Generator(lab.device).manual_seed(lab.seed)
    l_vs = []
    for step in range(STEPS):
        images, x, mask, group = draw(
            questions_a_batch, pictures_a_question, generator
        )
        views = torch.cat([images, change(images, generator)])  # v, then v'
        both = model(views, x.repeat(2, 1), mask.repeat(2, 1))
        h, h_other = both.chunk(2)  # (batch, dim) each
        l_vs.append(consistency(h.detach(), h_other.detach()).item())
        optimizer.zero_grad()
        loss_of(h, h_other, group).backward()
        optimizer.step()
        if watch is not None and step % 20 == 19:
            watch(model)
    return model.eval(), np.array(l_vs)


# %% [markdown]
# How would we know whether $h$ still holds the picture? Ask 12 questions about each of 64 pictures
# that were not trained on. That gives a table of $12 \times 64$ representations:
#
# | | picture 1 | picture 2 | ... | picture 64 |
# |---|---|---|---|---|
# | question 1 | $h$ | $h$ | ... | $h$ |
# | ... | ... | ... | ... | ... |
# | question 12 | $h$ | $h$ | ... | $h$ |
#
# Along a row the question is fixed and only the picture changes. Take the variance inside each row
# and average it over the 12 rows. Divided by the total variance, it is the **picture's share**. The
# rest belongs to the words. Section 3 makes this exact.

# %% [markdown]
# Beside it we watch the **effective rank**: roughly, how many of the $d$ dimensions $h$ uses. It is
# popular as a sign of health.

# %% tags=["figure"]
# the same pictures and questions for every model
chooser = torch.Generator().manual_seed(7)
GRID_QUESTIONS = torch.randperm(len(questions), generator=chooser)[:12].tolist()
grid_images = pictures["held out"][:64]  # (64, 3, 64, 64)
# 256 random questions, each about a random picture
MIXED = torch.randint(len(questions), (256,), generator=chooser)
MIXED_PICTURES = torch.randint(len(held_out.images), (256,), generator=chooser)
mixed_images = pictures["held out"][MIXED_PICTURES.to(lab.device)]
# the perturbed versions, (64, 3, 64, 64)
grid_other = perturb(grid_images.cpu(), chooser).to(lab.device)


@torch.no_grad()
def ask_each(model, question_ids, images):
    """Every question about every picture: h (questions, pictures, dim)."""
    n = len(images)
    rows = [
        model(images, x_all[[q]].expand(n, -1), mask_all[[q]].expand(n, -1))
        for q in question_ids
    ]
    return torch.stack(rows).cpu()


@torch.no_grad()
def ask_mixed(model, images):
    """One random question about each of 256 pictures: h (256, dim)."""
    rows = MIXED.to(lab.device)
    return model(images, x_all[rows], mask_all[rows]).cpu()


# %%
torch.manual_seed(lab.seed)
start = Joint().to(lab.device).eval()
share_at_start = indicators.visual_share(
    ask_each(start, GRID_QUESTIONS, grid_images)
)
print(
    "the picture's share at the start:",
    lab.measured("06.share.start", 100 * share_at_start, "%"),
)

# %% [markdown]
# > **Exercise 06.1 · predict first** · core · difficulty 1 of 3 · 3 minutes
# >
# > We are going to minimise $L_{vs}$ alone for 200 steps. What will the picture's share of the
# > variance of $h$ be then, in per cent? (Less than 1 is allowed.)

# %%
my_prediction = None
### BEGIN SOLUTION
my_prediction = 5.0  # a guess, written down before the run
### END SOLUTION

# %%
my_prediction = check("06.1", my_prediction)

# %%
seen = []


def watch(model):
    grid = ask_each(model, GRID_QUESTIONS, grid_images)
    mixed = ask_mixed(model, mixed_images)
    seen.append(
        (indicators.visual_share(grid), indicators.effective_rank(mixed))
    )


def l_vs_alone(h, h_other, group):
    return consistency(h, h_other)


alone, alone_l_vs = pretrain(l_vs_alone, 64, 1, watch=watch)
models = {"start": start, "L_vs alone": alone}

# %% tags=["figure", "varies", "result"]
figure, axis = plt.subplots(figsize=(6, 3))
axis.semilogy(range(1, len(alone_l_vs) + 1), alone_l_vs)
axis.set(xlabel="update", ylabel="$L_{vs}$", title="A perfect run?")
plots.show(
    figure,
    alt=(
        "The loss falls steadily by more than three powers of ten in 200"
        " updates."
    ),
)

# %% [markdown]
# There are no labels, and the loss falls by powers of ten (each step of the scale is one). Many a
# training log shows nothing else. Now the other two curves, each divided by its value at the
# start.

# %%
rank_at_start = indicators.effective_rank(ask_mixed(start, mixed_images))
# (looks,) each
shares, ranks = np.array([(share_at_start, rank_at_start), *seen]).T

# %% tags=["figure", "varies", "result"]
figure, axis = plt.subplots(figsize=(6.6, 3.6))
updates = np.arange(len(shares)) * 20
smooth = np.convolve(alone_l_vs, np.ones(5) / 5, "valid")
at = np.arange(len(smooth)) + 3
axis.semilogy(at, smooth / alone_l_vs[0], color="C0", label="$L_{vs}$")
axis.semilogy(
    updates, ranks / ranks[0], "--", color="C4", label="effective rank"
)
label = "picture's share of h"
axis.semilogy(updates, shares / shares[0], "-oC1", markersize=3, label=label)
axis.set(
    xlabel="update",
    ylabel="value / value at the start",
    title="The loss takes the picture with it; the effective rank hardly moves",
)
axis.legend()
plots.show(
    figure,
    alt=(
        "Three curves on a log scale: L_vs and the picture's share of h fall"
        " together by about three powers of ten; the effective rank stays"
        " near 1."
    ),
)

# %% tags=["result"]
share_alone = indicators.visual_share(
    ask_each(alone, GRID_QUESTIONS, grid_images)
)
fallen = {
    "L_vs": alone_l_vs[0] / alone_l_vs[-10:].mean(),
    "share": share_at_start / share_alone,
}
for name, factor in fallen.items():
    print(
        f"{name:5} is smaller by",
        lab.measured(f"06.alone.{name}", math.log10(factor), "powers of ten"),
    )
compare_prediction(
    "06.share.alone", my_prediction, 100 * share_alone, "%", digits=3
)
lab.claim(
    "the loss and the picture's share both fall more than a hundredfold, while"
    " the effective rank keeps more than two thirds of its value",
    min(fallen.values()) > 100 and ranks[-1] > 2 / 3 * ranks[0],
)

# %% [markdown]
# The model has become consistent by not looking. Whatever is asked, the answer hardly depends on
# the picture any more, so disturbing the picture changes nothing. Was that bad luck, or is it what
# the loss asks for?

# %% [markdown]
# ## 2. When is the loss zero? · core
#
# $L_{vs}$ is a mean of squares, $\mathbb{E}\,\lVert T(x, v) - T(x, v') \rVert^2$. It is zero only if
# every square is zero: $T(x, v) = T(x, v')$ for every picture and every disturbance that can occur.
#
# Link two pictures whenever a disturbance makes one from the other, directly or in several steps.
# Then $T(x, \cdot)$ must be constant on each group of linked pictures. Write $\pi(v)$ for what all
# pictures of a group have in common: what the disturbance leaves as it is. In short:
#
# $$L_{vs} = 0 \iff T(x, v) = g(x, \pi(v)) \text{ for some function } g .$$

# %% [markdown]
# Suppose first that $v'$ is only a shift, which leaves the whole shape in the picture. Three very
# different models have the form above:
#
# 1. **$g(x, \pi(v))$ that uses $\pi(v)$.** It keeps colour and shape, and drops position: many small
#    shifts, one after another, link any two places. This is the model that we want.
# 2. **$g(x)$.** It keeps the words and drops the picture.
# 3. **A constant.** It drops everything.
#
# The loss is 0 for each of them, so it cannot prefer the first. With noise on every pixel model 1
# reaches only *nearly* 0, so the loss has even less reason to prefer it.

# %% [markdown]
# There is a fourth way, which does not even reach zero: shrinking. $\varepsilon T$ has the loss
# $\varepsilon^2 L_{vs}$. A LayerNorm at the end does not prevent that. It normalises the entries of
# *each* $h$, not the spread *over pictures*: $c + \varepsilon T$, nearly the same vector $c$ for
# every picture, still gets through.

# %% [markdown]
# If the disturbance can turn any picture into any other one, all pictures are linked, and
# only models 2 and 3 remain. Gaussian noise on every pixel can do that, though with tiny
# probability. Our $v'$ has such noise, so strictly no model that looks has loss 0 here. But a model
# that reads colours off means over many pixels comes near 0, and a loss near 0 does not tell it
# from the others.

# %% [markdown]
# ### A model that we can solve · extra
#
# Let $T(x, v) = A x + B v$ with two matrices, and let $v' = v + \delta$ with independent noise of
# mean 0 and variance $\sigma^2$ in each entry. Then
#
# $$L_{vs} = \mathbb{E}\,\lVert B v - B (v + \delta) \rVert^2 = \mathbb{E}\,\lVert B \delta \rVert^2
#   = \sigma^2 \lVert B \rVert^2 ,$$
#
# where $\lVert B \rVert^2$ is the sum of the squared entries. The last step: entry $i$ of
# $B \delta$ is $\sum_j B_{ij} \delta_j$, and its mean square is $\sigma^2 \sum_j B_{ij}^2$, because
# $\mathbb{E}\, \delta_j \delta_k = 0$ for $j \ne k$.

# %% [markdown]
# $A$ has dropped out: *the words' part gets no gradient at all*. The gradient with respect to $B$
# is $2 \sigma^2 B$. So one step of gradient descent with learning rate $\eta$ multiplies $B$ by
# $1 - 2 \eta \sigma^2$. The picture fades by a constant factor a step. It is never quite gone, and
# the model approaches solution 2, $g(x)$.

# %% [markdown]
# > **Exercise 06.2 · write it** · extra · difficulty 1 of 3 · 10 minutes
# >
# > A batch is not an expectation: its products $\delta_j \delta_k$ do not vanish. Give the gradient
# > with respect to `B` (dim, visual_dim) of the mean of $\lVert B v_i - B v'_i \rVert^2$ over the
# > rows of `v` and `v_other` (batch, visual_dim).


# %%
def gradient_of_consistency(B, v, v_other):
    """The gradient by B of mean_i ||B v_i - B v'_i||^2: (dim, visual_dim)."""
    ### BEGIN SOLUTION
    difference = v - v_other  # (batch, visual_dim)
    # the gradient of ||B d||^2 is 2 B d d^T; d.T @ d adds the d d^T up
    return 2 * B @ difference.T @ difference / len(v)
    ### END SOLUTION


# %%
gradient_of_consistency = check("06.2", gradient_of_consistency)

# %% [markdown]
# Now descend with it, twice: once with noise in both entries of $v$, once in its first entry only.

# %%
generator = torch.Generator().manual_seed(1)
for entries in ([1.0, 1.0], [1.0, 0.0]):  # which entries of v are disturbed
    B = torch.tensor([[1.0, 2.0], [-1.0, 1.0]])  # (dim, visual_dim)
    v = torch.randn(5000, 2, generator=generator)  # (batch, visual_dim)
    delta = (
        0.5 * torch.randn(5000, 2, generator=generator) * torch.tensor(entries)
    )
    for step in range(40):
        B = B - 0.1 * gradient_of_consistency(B, v, v + delta)
    predicted = (1 - 2 * 0.1 * 0.25) ** 40
    rounded = [[round(b, 2) for b in row] for row in B.tolist()]
    print(
        f"disturbed {entries}: B after 40 steps {rounded}, predicted factor"
        f" {predicted:.2f}"
    )
expected = torch.tensor([[predicted, 2.0], [-predicted, 1.0]])
lab.claim(
    "what is not disturbed keeps its weights, what is disturbed fades as"
    " predicted",
    torch.allclose(B, expected, atol=0.02),
)

# %% [markdown]
# In the first line everything is disturbed, and everything fades. That is the case of section 1:
# its noise lies on every pixel.
#
# In the second line the loss does what it was made for. The disturbed entry fades. The other entry,
# which is $\pi(v)$ here, keeps its weights. So a linear model with separate inputs behaves well. A
# deep network may not: the same weights can carry the colour *and* the noise.

# %% [markdown]
# ## 3. Indicators, and what each is blind to · core
#
# A loss that cannot tell good from bad needs company. The indicator that decides here rests on the
# **law of total variance**. First by hand: two questions about two pictures, and one entry of $h$.
#
# | | picture 1 | picture 2 | mean | variance |
# |---|---|---|---|---|
# | question 1 | 1 | 3 | 2 | 1 |
# | question 2 | 5 | 11 | 8 | 9 |
#
# Within the questions the variances are 1 and 9, on average 5. That is the picture's part. The
# means 2 and 8 have the variance 9. That is the words' part. All four values have the mean 5 and
# the variance $(16 + 4 + 0 + 36) / 4 = 14 = 5 + 9$. The picture's share is $5/14$.

# %% [markdown]
# In general, with the words $x$ and the picture $v$ drawn independently,
#
# $$\mathrm{Var}(h) = \underbrace{\mathbb{E}_x \mathrm{Var}(h \mid x)}_{\text{the picture}}
#   + \underbrace{\mathrm{Var}_x\, \mathbb{E}(h \mid x)}_{\text{the words alone}} .$$
#
# Sum over the entries of $h$ and divide by the left side. The first term is then the picture's
# share. It is *all* that varies at a fixed question: the picture's own part, and whatever depends
# on picture and words together. The proof stands below, with the formulas of the other indicators.

# %% [markdown]
# > **Exercise 06.3 · write it** · core · difficulty 2 of 3 · 10 minutes
# >
# > Compute the picture's share for `h` (questions, pictures, dim). Use variances that divide by
# > $n$ (`correction=0`): only these add up exactly. (`h` is not constant.)
# >
# > Stuck? In a new cell, run `from course_utils.checks import hint` and then `hint("06.3")`. Run it
# > again for a second hint. Every exercise has two.


# %%
def visual_share(h):
    """E Var(h | x) / Var(h), both summed over dim: a number or a tensor ()."""
    ### BEGIN SOLUTION
    within = h.var(1, correction=0).mean(0).sum()  # (): at each question
    total = h.flatten(0, 1).var(0, correction=0).sum()  # (): over all rows
    return within / total
    ### END SOLUTION


# %%
visual_share = check("06.3", visual_share)

# %%
# h (2, 2, 1)
by_hand = visual_share(torch.tensor([[1.0, 3.0], [5.0, 11.0]])[..., None])
print(f"by hand 5/14 = {5 / 14:.4f}, computed {float(by_hand):.4f}")
h = ask_each(start, GRID_QUESTIONS, grid_images).double()  # (12, 64, dim)
all_rows = h.flatten(0, 1)  # (12 * 64, dim)
words = h.mean(1).var(0, correction=0).sum()  # ()
words = words / all_rows.var(0, correction=0).sum()
total = float(visual_share(h) + words)
print(f"picture's share + words' share = {total:.12f}")
lab.claim("the two shares add up to 1 to ten digits", abs(total - 1) < 1e-10)

# %% [markdown]
# The usual indicators look at a batch `h` (batch, dim), as it comes in training:
#
# - **std**: the standard deviation over the batch, mean over dim.
# - **normalised std**: $\sqrt{d}$ times the std of $h / \lVert h \rVert$. Near 1, directions spread
#   evenly; at 0, all rows point one way.
# - **effective rank** and **participation ratio**: how many dimensions are in use. Both come from
#   the variances along the main directions of $h$.
# - **uniformity**: how evenly the rows cover the unit sphere. About -4 is best, 0 is one direction.

# %% [markdown]
# Two more hold the question fixed: the **std at a fixed question**, and the **picture's share**.

# %% [markdown]
# The package has them all, each with the value to expect in its docstring:

# %%
print(inspect.getsource(indicators.effective_rank))

# %% [markdown]
# ### A healthy h and four known faults
#
# To see what an indicator is blind to, give it an $h$ whose fault we know. Five cases, made by
# hand: 40 questions about 16 pictures, 32 dimensions.

# %%
generator = torch.Generator().manual_seed(2)
word_part = torch.randn(40, 1, 32, generator=generator).expand(40, 16, 32)
picture_part = torch.randn(1, 16, 32, generator=generator).expand(40, 16, 32)
mixture = torch.randn(40, 16, 32, generator=generator)
one_line = torch.randn(40, 16, 1, generator=generator) * torch.ones(32)
cases = {
    "healthy": word_part + picture_part + mixture,
    "shrunk to a thousandth": (word_part + picture_part + mixture) / 1000,
    "everything on one line": one_line,
    "a constant": torch.ones(40, 16, 32),
    "words only": word_part,
}

# %% tags=["figure"]
USUAL = {
    "std": indicators.batch_std,
    "norm. std": indicators.normalised_std,
    "eff. rank": indicators.effective_rank,
    "part. ratio": indicators.participation_ratio,
    "uniformity": indicators.uniformity,
}
AT_FIXED_X = {
    "std, fixed x": indicators.std_given_question,
    "share": indicators.visual_share,
}
NAMES = [*USUAL, *AT_FIXED_X]


def all_indicators(mixed, grid):
    """The seven indicators of NAMES, from h of a mixed batch and of a grid."""
    return [f(mixed) for f in USUAL.values()] + [
        f(grid) for f in AT_FIXED_X.values()
    ]


rows = []
for name, h in cases.items():
    values = all_indicators(h.flatten(0, 1), h)
    texts = (f"{v:.3f}" if abs(v) < 0.01 else f"{v:.2f}" for v in values)
    rows.append([name, *texts])
plots.table(rows, header=["h", *NAMES])

# %% [markdown]
# Read the table row by row.
#
# - *Shrunk*: the normalised std, both ranks, uniformity and the share do not see it.
# - *On one line*: none of the three standard deviations sees it, nor does the share. The share is
#   near 1, because the line was drawn anew for each pair of question and picture. It tells that $h$
#   depends on the picture, not that it does so usefully.
# - *A constant*: all of the usual five see it. The two ranks see only an exact one: noise of a
#   millionth on top looks healthy to them.
# - *Words only*: *every usual indicator is fine*. Only the last two columns, which hold the
#   question fixed, see that there is no picture in it.

# %% [markdown]
# > **Exercise 06.4 · find the blind spot** · core · difficulty 2 of 3 · 10 minutes
# >
# > Make an `h` (questions, pictures, dim) that passes every usual indicator: batch std at least
# > `0.8`, effective rank at least three quarters of `dim`, uniformity at most -2, each over all
# > questions x pictures rows. It must hold nothing of the picture, not even a little. There are
# > more than twice as many questions as dimensions: `fool(40, 12, 16)` is checked.


# %%
def fool(questions, pictures, dim):
    """h (questions, pictures, dim), healthy to all but those that fix x."""
    ### BEGIN SOLUTION
    # one random vector a question, the same for every picture
    words = torch.randn(questions, 1, dim)
    return words.expand(questions, pictures, dim)
    ### END SOLUTION


# %%
fool = check("06.4", fool)

# %% [markdown]
# You have just made by hand what the next section's training will find by itself.

# %% [markdown]
# ### Why the law holds, and the formulas · extra
#
# Write $m_x = \mathbb{E}(h \mid x)$ and split
# $h - \mathbb{E} h = (h - m_x) + (m_x - \mathbb{E} h)$. Square it and take the mean. The first
# square gives $\mathbb{E}_x \mathrm{Var}(h \mid x)$, the second $\mathrm{Var}_x(m_x)$. The product
# $2\, \mathbb{E}\,[(h - m_x)(m_x - \mathbb{E} h)]$ is 0: at a fixed $x$ the second factor is a
# constant, and the first has mean 0.

# %% [markdown]
# The *covariance* $C_{ij}$ is the mean product of the centred entries $i$ and $j$. Its eigenvalues
# $\lambda$ are the variances along its main directions. The singular values of centred $h$ are
# their square roots, up to a factor.
#
# - Effective rank: $e^{\text{entropy}}$ of the singular values, divided by their sum.
# - Participation ratio: $(\sum \lambda)^2 / \sum \lambda^2$.
# - Uniformity: $\log \mathbb{E}\, e^{-2 \lVert f - g \rVert^2}$ over pairs of rows $f$, $g$ of
#   length 1. Two opposite directions give $\log \tfrac{1}{2}$.

# %% [markdown]
# A line *through 0* has two ends. If half of the rows point one way and half the other, the
# normalised std is 1. Alignment, another popular indicator, is $L_{vs}$ itself up to the length of
# $h$.

# %% [markdown]
# ## 4. A cure, and how it fails · core
#
# If collapse means too little variance, forbid it. **VICReg** adds two terms to consistency. It was
# published for pictures alone; here there are words as well, and that will matter. With
# $s_j$ the standard deviation of entry $j$ of $h$ over the batch, and $C$ the covariance matrix,
#
# $$\text{loss} = 25\, \underbrace{\tfrac{1}{d} L_{vs}}_{\text{invariance}}
#   + 25\, \underbrace{\tfrac{1}{d} \sum_j \max(0, 1 - s_j)}_{\text{variance}}
#   + \underbrace{\tfrac{1}{d} \sum_{i \ne j} C_{ij}^2}_{\text{covariance}} .$$

# %% [markdown]
# The last two are taken for both views. As in the authors' program we average the variance terms of
# the two views and add their covariance terms; the weights 25, 25 and 1 are theirs.
#
# The variance term asks each $s_j$ to be at least 1; $\max(0, 1 - s)$ is called a *hinge*. A constant
# now costs about 25. The covariance term keeps the entries from all carrying the same
# thing. Ours, and the formula written out in NumPy:

# %%
generator = torch.Generator().manual_seed(3)
a, b = torch.randn(2, 50, 8, generator=generator)  # (50, 8) two views
by_hand = 25 * np.square(a.numpy() - b.numpy()).mean()
for z in (a.numpy(), b.numpy()):
    # (8,); the 1e-4 keeps the root's slope finite at 0
    s = np.sqrt(z.var(0, ddof=1) + 1e-4)
    C = np.cov(z, rowvar=False)  # (8, 8)
    by_hand += 25 * np.maximum(0, 1 - s).mean() / 2
    by_hand += (C**2)[~np.eye(8, dtype=bool)].sum() / 8
print(f"ours {vicreg(a, b):.5f}, by hand {by_hand:.5f}")
lab.claim(
    "VICReg equals its formula to five digits",
    abs(vicreg(a, b) - by_hand) < 1e-4,
)

# %% [markdown]
# Train it, from the same weights, on batches of 64 random pictures with 64 random questions.

# %%
models["VICReg"], _ = pretrain(
    lambda h, h_other, group: vicreg(h, h_other), 64, 1
)


# %% tags=["figure"]
def diagnose(name, columns=slice(None)):
    """The indicators of a trained model, as texts with their spread."""
    model = models[name]
    mixed = ask_mixed(model, mixed_images)
    values = all_indicators(mixed, ask_each(model, GRID_QUESTIONS, grid_images))
    values[-1] *= 100  # the share in per cent
    digits, units = [2, 2, 0, 0, 2, 4, 3], [""] * 6 + ["%"]
    texts = [
        lab.measured(f"06.{name}.{n}", v, u, d)
        for n, v, u, d in zip(NAMES, values, units, digits)
    ]
    return values, [name, *texts[columns]]


# %% tags=["figure"]
found = {}
rows = []
for name in models:
    found[name], row = diagnose(name, slice(0, 5))
    rows.append(row)
plots.table(rows, header=["", *NAMES[:5]])
print(f"(best possible: norm. std about 1, rank {DIM}, uniformity about -4)")
h = ask_mixed(start, mixed_images)  # (256, dim)
lengths = h.norm(dim=1)  # (256,)
print(
    f"start: mean length of h {lengths.mean():.1f},"
    f" length of its mean {h.mean(0).norm():.1f}"
)

# %% [markdown]
# By these five numbers L_vs alone did no harm: it has the values of the start. Both have a low std,
# because $h$ of an untrained encoder is one long vector, nearly the same for every input, plus
# little.
#
# And VICReg looks like a cure. The std is near 1, most of the 64 dimensions are in use, the rows
# cover the sphere. Any of these five numbers would be shown as proof that nothing collapsed. Now
# the two that hold the question fixed:

# %%
rows = [
    [
        name,
        lab.measured(f"06.{name}.{NAMES[5]}", found[name][5], "", 4),
        lab.measured(f"06.{name}.{NAMES[6]}", found[name][6], "%", 3),
    ]
    for name in models
]
plots.table(rows, header=["", *NAMES[5:]])
lab.claim(
    "VICReg on mixed questions has a batch std above 0.9, an effective rank"
    " above half of dim, and a picture's share below 0.1 %",
    found["VICReg"][0] > 0.9
    and found["VICReg"][2] > DIM / 2
    and found["VICReg"][6] < 0.1,
)

# %% [markdown]
# Measured by its share, the picture is as absent as without the cure. Why?
#
# The variance term asks for variance over the batch, and a batch mixes questions. By the law of
# total variance the words can pay for all of it. The words are not disturbed, so their variance
# costs no consistency. The cheapest model that satisfies all three terms is $g(x)$ with well-spread
# vectors, one for each question: just your `fool`.

# %% [markdown]
# The repair follows from the same law: ask for variance **at fixed words**. Draw 4 questions, each
# with 16 pictures, and subtract from each row the mean of its own question before anything is
# measured. What is left is what the picture adds.

# %% tags=["figure"]
diagrams.flow(
    {
        "h": (0, 0, "h and h'\n4 questions x 16 pictures"),
        "inv": (1, 0, "invariance: L_vs / d\n(v' must not matter)"),
        "c": (0, 1, "minus the mean\nof its own question"),
        "var": (1, 1, "variance at fixed words\n(v must matter)"),
        "cov": (1, 2, "covariance\n(no entry says it twice)"),
        "loss": (2, 1, "25 · invariance\n+ 25 · variance\n+ covariance"),
    },
    [
        ("h", "inv", "(batch, d)"),
        ("h", "c", "(batch, d)"),
        ("c", "var", "(batch, d)"),
        ("c", "cov", ""),
        ("inv", "loss", ""),
        ("var", "loss", ""),
        ("cov", "loss", ""),
    ],
    alt=(
        "The cure: L_vs is taken from h and h' as they are. From each row the"
        " mean of its own question is subtracted; from what is left come the"
        " variance and the covariance term. The three are added."
    ),
    marked=["c"],
)

# %% [markdown]
# > **Exercise 06.5 · write it** · core · difficulty 2 of 3 · 15 minutes
# >
# > Write the variance term given the words: `h` (batch, dim), `group` (batch,) the question of
# > each row. Pool the squares of all groups. Divide by `len(h)` minus the number of groups: each
# > group's mean was fitted to its own rows and uses up one of them, as in $n - 1$. Add 1e-4 under
# > the root. Rows of a group need not stand side by side.


# %%
def variance_hinge_given_words(h, group):
    """Mean over dim of max(0, 1 - s), s the standard deviation around each
    group's mean: a tensor () through which gradients flow."""
    ### BEGIN SOLUTION
    centred = h.clone()  # (batch, dim)
    for g in group.unique():
        centred[group == g] = h[group == g] - h[group == g].mean(0)
    freedom = len(h) - len(group.unique())
    variance = centred.square().sum(0) / freedom  # (dim,)
    return F.relu(1 - (variance + 1e-4).sqrt()).mean()
    ### END SOLUTION


# %%
variance_hinge_given_words = check("06.5", variance_hinge_given_words)


# %%
def vicreg_given_words(h, h_other, group):
    """VICReg with your variance term, and the covariance around each group."""
    views = (h, h_other)
    invariance = consistency(h, h_other) / h.shape[1]
    variance = sum(variance_hinge_given_words(z, group) for z in views) / 2
    covariance = sum(covariance_penalty(z, group) for z in views)
    return 25 * invariance + 25 * variance + covariance


g = torch.arange(4).repeat_interleave(3)  # (12,)
ours = vicreg_given_words(a[:12], b[:12], g)
difference = abs(ours - vicreg(a[:12], b[:12], g))
print(
    f"difference to the package's vicreg(h, h_other, group): {difference:.0e}"
)

# %%
models["VICReg given x"], _ = pretrain(vicreg_given_words, 4, 16)
found["VICReg given x"], _ = diagnose("VICReg given x")

# %% [markdown]
# Two things have changed: the batch, now 4 questions with 16 pictures each instead of 64 with one,
# and the mean that is subtracted. Which of them matters? A control tells: the new batch with the
# old loss.
#
# The control and the runs of section 7 take too long here. `python -m course_utils.studies
# collapse` made them at five seeds, with this notebook's network and loop. Where a table has a row
# of such runs, it gives mean ± standard deviation.

# %%
collapse = read_runs(lab.data_path("studies/collapse.json"))


def kept(objective, name):
    """What five kept runs measured: a list of five numbers."""
    return [run[name] for run in collapse if run["objective"] == objective]


CONTROL = "VICReg, 4 x 16"
shares = {
    name: lab.measured(f"06.{name}.share", found[name][6], "%", 3)
    for name in ("VICReg", "VICReg given x")
}
shares[CONTROL] = lab.mean_spread(kept(CONTROL, "share"), "%", 3)
plots.table(
    [[name, shares[name]] for name in ("VICReg", CONTROL, "VICReg given x")],
    header=["", "picture's share"],
)
lab.claim(
    "with the new batch alone the picture's share stays below 1 %",
    max(kept(CONTROL, "share")) < 1,
)

# %% [markdown]
# The new batch alone does not bring the picture back. The subtracted mean does.

# %% [markdown]
# ### The whole story in one figure
#
# Each point is one $h$, drawn in the plane of the two directions (*principal components*) in which
# the model's $h$ spreads most. Top: 256 random questions and pictures, which is what the usual
# indicators see. Bottom: *one* question, asked about 200 pictures, in the colour of the shape in
# the picture. If the model looks, the bottom row must spread, and colours should part.

# %% tags=["figure"]
OTHERS = ("yes", "no", "circle", "rectangle", "triangle")
COLOURS = tuple(a for a in data.answers if a not in OTHERS)
FIXED = questions.index("what color is the shape?")


def with_label(part, names):
    """The pictures whose label is known from an answer, and the labels."""
    known = part.restrict_answers(names)
    rows = [  # the first question about each picture
        (known.image_index == i).nonzero()[0, 0].item()
        for i in range(len(known.images))
    ]
    # (images, 3, 64, 64), (images,)
    return known.images.to(lab.device).float() / 255, known.y[rows]


colour_images, colour = with_label(held_out, COLOURS)

# %% tags=["figure", "varies"]
figure, axes = plt.subplots(2, 4, figsize=(11, 5.6), sharex="col", sharey="col")
titles = {
    "start": "before training",
    "L_vs alone": (
        f"(a) L_vs alone: loss {fallen['L_vs']:,.0f} times\n"
        "smaller, the picture fades"
    ),
    "VICReg": "(b) variance cure, mixed batch:\nhealthy on top, blind below",
    "VICReg given x": "(c) the same cure given words:\nthe picture is back",
}
for (top, bottom), (name, title) in zip(axes.T, titles.items()):
    mixed = ask_mixed(models[name], mixed_images)  # (256, dim)
    fixed = ask_each(models[name], [FIXED], colour_images[:200])[0]
    mixed, fixed = mixed - mixed.mean(0), fixed - fixed.mean(0)  # (200, dim)
    directions = torch.linalg.svd(mixed, full_matrices=False)[2]  # (dim, dim)
    plane = directions[:2].T  # (dim, 2)
    top.scatter(*(mixed @ plane).T, s=8, color="0.45")
    names = [COLOURS[i] for i in colour[:200]]
    edges = {"edgecolors": "0.7", "linewidths": 0.3}
    bottom.scatter(*(fixed @ plane).T, s=12, c=names, **edges)
    top.set_title(title, fontsize=10)
    bottom.set_xlabel(
        f"effective rank {found[name][2]:.0f} of {DIM}\n"
        f"picture's share {found[name][6]:.2g} %"
    )
axes[0, 0].set_ylabel("random questions\nand pictures")
axes[1, 0].set_ylabel("one question,\n200 pictures")
plots.show(
    figure,
    alt=(
        "Scatter plots of h for four models. Top row, mixed questions: all four"
        " spread. Bottom row, one question about 200 pictures: spread before"
        " training, a point for L_vs alone and for VICReg on mixed batches,"
        " spread with colours apart for VICReg given the words."
    ),
)

# %%
lab.claim(
    "given the words, the picture's share is more than half and the std at a"
    " fixed question above 0.5",
    found["VICReg given x"][6] > 50 and found["VICReg given x"][5] > 0.5,
)

# %% [markdown]
# - Column (a): L_vs alone has shrunk the bottom to a point.
# - Column (b): the effective rank is the highest of all four, and yet the bottom is nearly a point.
#   In our run one dot stands apart; the others lie on one another. Compare the dots on top. Each
#   panel has 256, and far fewer can be seen in (a) and (b): all pictures with the same question lie
#   on one another.
# - Column (c): because training asked for variance at fixed words, the points spread and colours
#   begin to part.

# %% [markdown]
# ## 5. What v' must keep · core
#
# By section 2, a consistent model may keep what the disturbance keeps and nothing else. So choosing
# $v'$ means deciding what the model may forget. Below, `mix_colours` gives each picture new
# channels, random mixtures of the three old ones.

# %% tags=["figure"]
# with shifts large enough to be seen
generator = torch.Generator().manual_seed(38)
changes = {
    "v": lambda p: p,
    "shift": lambda p: shift(p, 4, generator),
    "brightness": lambda p: brightness(p, 0.2, generator),
    "noise": lambda p: noise(p, 0.05, generator),
    "mix colours": lambda p: mix_colours(p, generator=generator),
}
views = [change(some[:2]) for change in changes.values()]
views = torch.stack(views, 1).flatten(0, 1)  # (10, 3, 64, 64) row by row
figure = plots.images_grid(views, list(changes) * 2, columns=5, size=1.6)
plots.show(
    figure,
    alt=(
        "Two pictures, each shifted, with another brightness, noisy, and with"
        " mixed colours, which turns shape and background into other colours."
    ),
)

# %% [markdown]
# > **Exercise 06.6 · design v'** · core · difficulty 1 of 3 · 10 minutes
# >
# > For each of four questions, which changes always leave the answer as it is? Give a dictionary
# > with a set of names for each question:
# >
# > ```python
# > harmless = {
# >     "what colour is the shape?": {...},
# >     "what shape is it?": {...},
# >     "is the circle left of the square?": {...},
# >     "how many shapes are there?": {...},
# > }
# > ```
# >
# > The names are `"shift"` (a few pixels), `"noise"`, `"mirror"` (left becomes right),
# > `"mix colours"` and `"cut off half"`. Shapes are circles, squares, rectangles and triangles.
# > Assume that a shift pushes none out of the picture, and that mixed colours still stand out
# > from the background.

# %%
harmless = None
### BEGIN SOLUTION
harmless = {
    "what colour is the shape?": {"shift", "noise", "mirror"},
    "what shape is it?": {"shift", "noise", "mirror", "mix colours"},
    "is the circle left of the square?": {"shift", "noise", "mix colours"},
    "how many shapes are there?": {"shift", "noise", "mirror", "mix colours"},
}  # cutting off half may take away what is asked for
### END SOLUTION

# %%
harmless = check("06.6", harmless)

# %% [markdown]
# What is in $h$? A **probe** tells, with labels. A linear classifier is fitted to $h$ of 1,200
# pictures at one fixed question, "what color is the shape?", and tested on pictures of the test
# set. If a line through $h$ can tell the colours, $h$ holds them.

# %%
probe_images, probe_colour = (
    part[:1200] for part in with_label(train, COLOURS)
)
test_images, test_colour = with_label(test, COLOURS)
commonest = (test_colour == probe_colour.mode().values).double().mean().item()
h_of_probe = {}  # by name of the model: h at FIXED, to fit on and to test on
probed = {}  # by name of the model: per cent of right colours


def probe(name, new_labels=test_colour, scale=True):
    """Per cent of right colours that a linear classifier reads from h."""
    if name not in h_of_probe:
        h_of_probe[name] = [
            ask_each(models[name], [FIXED], images)[0].double().numpy()
            for images in (probe_images, test_images)
        ]
    h, h_new = h_of_probe[name]  # (images, dim) each
    line = LogisticRegression(max_iter=1000)
    line = make_pipeline(StandardScaler(), line) if scale else line
    line.fit(h, probe_colour.numpy())
    return 100 * line.score(h_new, new_labels.numpy())


# %% [markdown]
# Now the cure that worked, with mixed colours in $v'$. Consistency then makes every $h$ costly that
# tells the colour of the shape.

# %%
models["colours mixed"], _ = pretrain(
    vicreg_given_words, 4, 16, change=perturb_colour
)

# %%
found["colours mixed"], _ = diagnose("colours mixed")
for name in ("start", "VICReg given x", "colours mixed"):
    probed[name] = probe(name)
means = [  # (images, 48) each: the mean colours of 16 patches
    F.avg_pool2d(part, 16).flatten(1).cpu().double().numpy()
    for part in (probe_images, test_images)
]
h_of_probe["colours of 16 patches"] = means
raw = probe("colours of 16 patches")
rows = [
    ["always the most common colour", "", f"{100 * commonest:.1f} %"],
    ["no network, colours of 16 patches", "", f"{raw:.1f} %"],
]
for name in ("start", "VICReg given x", "colours mixed"):
    share = lab.measured(f"06.{name}.share", found[name][6], "%", 1)
    rows.append(
        [name, share, lab.measured(f"06.{name}.probe", probed[name], "%")]
    )
plots.table(rows, header=["", "picture's share", "colour probe"])
lab.claim(
    "with mixed colours the probe is more than 15 points below the same cure"
    " without them, although the picture's share is above a half",
    probed["colours mixed"] < probed["VICReg given x"] - 15
    and found["colours mixed"][6] > 50,
)

# %% [markdown]
# $\pm$ is a spread over runs, so it may point past 100 %.
#
# The share is high: $h$ is full of picture. But its colours can be read about as well as from the
# untrained model, and far worse than after the same cure with colours left alone. Training
# gave $h$ nothing new about what $v'$ changes.
#
# So even the best indicator of section 3 has a blind spot. It says *how much* of the picture is in
# $h$, not *what*. Only a task tells that.

# %% [markdown]
# Look at the first rows, too. The probe reads colours from the mean colours of the patches without
# any network, and in more than half of the pictures from a random one. A cure must be compared with
# that, not with chance only.

# %% [markdown]
# ## 6. L_vs beside labels · core
#
# Used alone, consistency asks for too little. Beside labels it does not have to hold the picture in
# $h$: the labels do. Does it help when labels are few? We take 64 answered colour questions and all
# the unlabelled pictures, and compare trainings from the same weights:
#
# - **labels only, 96 rows**: 96 disturbed labelled rows an update;
# - **with L_vs**: 32 labelled rows, plus $0.1 \cdot 25\, L_{vs} / d$ on 32 unlabelled ones, in two
#   disturbed versions each (25 is the weight of $L_{vs} / d$ in VICReg);
# - **with L_vs and its cure**: the same, with $0.1 \cdot$ VICReg given the words.

# %% [markdown]
# Rows repeat, each time with another $v'$: there are only 64 labels. Each update makes 96 passes
# through the Transformer in these three, so the computing is equal. A fourth run, 32 labelled rows
# and nothing else, has a third of it. It shows what the other two start from.

# %% tags=["figure"]
answered = train.restrict_answers(COLOURS)
generator = torch.Generator().manual_seed(lab.seed)
few = torch.randperm(len(answered), generator=generator)[:64]  # (64,)
few_images = answered.images[answered.image_index[few]]  # (64, 3, 64, 64)
few_images = few_images.to(lab.device).float() / 255
few_x, few_mask, few_y = (
    part[few].to(lab.device) for part in (answered.x, answered.mask, answered.y)
)
asked = test.restrict_answers(COLOURS)
asked_images = asked.images[asked.image_index].to(lab.device).float() / 255


@torch.no_grad()
def share_right(model, head):
    """The share of right answers to the test set's colour questions."""
    h = model(asked_images, asked.x.to(lab.device), asked.mask.to(lab.device))
    guess = head(h[:, None]).argmax(1).cpu()  # (questions,)
    return (guess == asked.y).double().mean().item()


# %% [markdown]
# The learning rate rises, then falls (`warmup_cosine`). Here you run the last of the three. `tune`
# passes `group` on, so `vicreg` is VICReg given the words there.


# %%
def tune(labelled, extra=None):
    """Trains on 64 labels, `labelled` rows an update, plus
    0.1 * extra(h, h_other, group) on 32 unlabelled ones if given.

    Gives the share of right answers on the test set.
    """
    torch.manual_seed(lab.seed)
    model = Joint().to(lab.device)
    head = AnswerHead(DIM, len(COLOURS)).to(lab.device)
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=1e-3, weight_decay=0.01, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(step, STEPS // 5, STEPS)
    )
    generator = torch.Generator(lab.device).manual_seed(lab.seed)
    for step in range(STEPS):
        rows = torch.randint(
            len(few), (labelled,), generator=generator, device=lab.device
        )
        images = perturb(few_images[rows], generator)  # (rows, 3, 64, 64)
        h = model(images, few_x[rows], few_mask[rows])  # (rows, dim)
        loss = F.cross_entropy(head(h[:, None]), few_y[rows])
        if extra is not None:
            images, x, mask, group = draw(2, 16, generator)
            images = perturb(images.repeat(2, 1, 1, 1), generator)  # two views
            both = model(images, x.repeat(2, 1), mask.repeat(2, 1))  # (64, dim)
            loss = loss + 0.1 * extra(*both.chunk(2), group)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return share_right(model.eval(), head.eval())


# %%
blind = mode_per_question(answered, asked).accuracy
CURE = "32 rows, with L_vs and its cure"
right = tune(32, vicreg)
print(
    "with L_vs and its cure:", lab.measured(f"06.tune.{CURE}", 100 * right, "%")
)
print(f"blind, the most common answer to each question: {100 * blind:.1f} %")
lab.claim(
    "with L_vs and its cure, 64 labels lead more than 30 points above blind",
    right > blind + 0.3,
)

# %% [markdown]
# One run can flatter: such short trainings differ widely. So all four were run at five seeds, with
# `python -m course_utils.studies beside_labels`. The last column compares runs of the same seed.

# %%
runs = read_runs(lab.data_path("studies/beside_labels.json"))
ways = {}  # way -> per cent right in five runs
for run in runs:
    ways.setdefault(run["way"], []).append(run["right"])
reference = np.array(ways["labels only, 96 rows"])  # (seeds,)
rows = [["blind", f"{100 * blind:.1f} %", ""]]
for way, values in ways.items():
    gain = lab.mean_spread(np.array(values) - reference, "points")
    gain = "" if way == "labels only, 96 rows" else gain
    rows.append([way, lab.mean_spread(values, "%"), gain])
header = ["colour questions of the test set, 64 labels", "five runs"]
plots.table(rows, header=[*header, "gain over 96 rows"])

# %% [markdown]
# **L_vs without its cure gave nothing back** at equal computing: two thirds of the computing went
# into L_vs, and these runs did no better than the 32 labelled rows alone.
#
# **With its cure**, the same 32 rows did far better in these 200 updates, and training became
# reliable: its $\pm$ is the smallest. Against 96 labelled rows the mean gain is about as large as
# its own spread over runs. Five runs do not settle that, so we claim no gain.

# %% [markdown]
# Whether the new pictures helped, or only that $h$ was spread early, these runs do not tell. To find
# out, let `draw` choose among the 64 labelled pictures. In `draw`, write `len(few_images)` for
# `len(train.images)` and `few_images` for `pictures["train"]`, run that cell again, then
# `tune(32, vicreg)`. Put it back afterwards.

# %% [markdown]
# Two limits. First, the runs are short. Try longer ones in a new cell, and see what becomes of the
# gap and of L_vs without the cure:
#
# ```python
# STEPS = 600
# print("labels only, 96 rows:", tune(96))
# print("labels only, 32 rows:", tune(32))
# print("with L_vs:", tune(32, lambda h, o, group: 25 * consistency(h, o) / DIM))
# print("with L_vs and its cure:", tune(32, vicreg))
# ```
#
# All four together make ten times the passes of the cell above in the profile `cpu`, and take about
# ten times as long. Put `STEPS` back afterwards.
#
# Second, one weight was tried for both, a tenth. Try others, but choose them on held-out pictures,
# not on the test set.

# %% [markdown]
# ## 7. Other cures, under the same light · extra
#
# **Stop-gradient.** A popular thought: let no gradient flow through one of the two views. Alone,
# this does nothing. $L_{vs}$ is symmetric in $h$ and $h'$, so its gradient has two parts, one
# through each. Stop one side in half of the loss and the other side in the other half, and each
# part is counted once with the factor $\tfrac{1}{2}$.

# %% [markdown]
# So the gradient is halved and its direction is the same. Adam, which divides by the size of the
# gradient, does not even notice.

# %%
torch.manual_seed(lab.seed)
model = Joint()
generator = torch.Generator(lab.device).manual_seed(0)
images, x, mask, _ = (part.cpu() for part in draw(32, 1, generator))
# (32, dim) each
h, h_other = model(images, x, mask), model(perturb(images, chooser), x, mask)
stopped = 0.5 * (
    consistency(h, h_other.detach()) + consistency(h.detach(), h_other)
)
used = [p for p in model.parameters() if p.requires_grad]
options = {"retain_graph": True, "allow_unused": True}
full = torch.autograd.grad(consistency(h, h_other), used, **options)
half = torch.autograd.grad(stopped, used, **options)
pairs = [(a, b) for a, b in zip(full, half) if a is not None]
worst = max((a / 2 - b).abs().max() for a, b in pairs)
largest = max(a.abs().max() for a, _ in pairs)
print(f"largest difference to half of the gradient {worst:.0e}")
lab.claim(
    "with stop-gradient alone, the gradient of every weight is half of what"
    " it was",
    worst < 1e-5 * largest,
)

# %% [markdown]
# **SimSiam** adds a *predictor*, a small network that guesses one view's $h$ from the other's. Its
# loss is $-\cos(\text{predictor}(h), \text{stop}(h'))$, and the other way round, where
# $\text{stop}(h')$ is $h'$ as a constant, in code `.detach()`. Now the two sides differ, and
# stopping one matters. Why this resists collapse is not proved in general; the paper shows that it
# needs both parts.

# %% [markdown]
# > **Exercise 06.7 · repair it** · extra · difficulty 3 of 3 · 10 minutes
# >
# > A colleague's program runs, but it is not SimSiam. One line of thought is wrong: which side
# > gets the gradient? Return the symmetric loss of SimSiam, the mean over the batch and of both
# > directions: a tensor of one number.
# >
# > ```python
# > def loss(h, h_other, predictor):
# >     one = F.cosine_similarity(predictor(h).detach(), h_other, dim=-1).mean()
# >     other = F.cosine_similarity(predictor(h_other).detach(), h, dim=-1).mean()
# >     return -0.5 * (one + other)
# > ```


# %%
def simsiam_loss(h, h_other, predictor):
    """The mean negative cosine of each view's prediction with the other view,
    which gets no gradient."""
    ### BEGIN SOLUTION
    # the prediction learns, its target doesn't: detach what is predicted
    one = F.cosine_similarity(predictor(h), h_other.detach(), dim=-1).mean()
    other = F.cosine_similarity(predictor(h_other), h.detach(), dim=-1).mean()
    return -0.5 * (one + other)
    ### END SOLUTION


# %%
simsiam_loss = check("06.7", simsiam_loss)

# %% [markdown]
# **InfoNCE** lets the rows compete: among all rows, which one is my other view? It is a multiple
# choice by the cosine, a softmax with temperature `0.1`; lesson 07 derives it. A constant cannot win
# at that. But with mixed questions most of the competition can be won by the words.

# %% [markdown]
# So it exists in two forms as well: against all rows, or against the rows with the same question
# only. And here, too, a control stands between them: all rows of a batch with 4 questions.

# %%
COLUMNS = {"std": 2, "eff. rank": 0, "std, fixed x": 4, "share": 3}  # digits
# each control stands between the two that it tells apart
ORDER = ["start", "L_vs alone", "VICReg", "VICReg, 4 x 16", "VICReg given x"]
ORDER += ["SimSiam", "InfoNCE", "InfoNCE, 4 x 16", "InfoNCE given x"]


def row_of(name):
    """A row of the table: a model of this notebook, or five kept runs."""
    if name not in models:
        values = [*COLUMNS.items(), ("probe", 1)]
        return [lab.mean_spread(kept(name, c), "", d) for c, d in values]
    probed[name] = probe(name)
    return [
        *(
            lab.measured(f"06.{name}.{c}", found[name][NAMES.index(c)], "", d)
            for c, d in COLUMNS.items()
        ),
        lab.measured(f"06.{name}.probe", probed[name]),
    ]


rows = [["always the most common colour", *[""] * 4, f"{100 * commonest:.1f}"]]
rows += [[name, *row_of(name)] for name in ORDER]
header = ["", "std", "eff. rank", "std, fixed x", "share, %", "probe, %"]
plots.table(rows, header=header)

# %%
cured = min(probed["VICReg given x"], *kept("InfoNCE given x", "probe"))
others = [probed[n] for n in ("start", "L_vs alone", "VICReg")]
lab.claim(
    "with the words held fixed, both cures lead the untrained model, L_vs"
    " alone, VICReg and SimSiam by more than 10 points of the colour probe",
    cured > 10 + max(*others, *kept("SimSiam", "probe")),
)

# %% [markdown]
# SimSiam, trained on mixed questions, loses the picture like the others, and most of the dimensions
# too. It stands here without the repair, and without the network that the paper puts on top. Yet
# from these collapsed models the probe reads colours no worse than before training, although their
# share is a hundredth of a per cent or so. That looks like a contradiction; section 8 resolves it.

# %% [markdown]
# InfoNCE on mixed questions lies in between. One likely reason: among 64 rows with 107 questions to
# draw from, nearly half share their question with another row, and the words cannot tell those
# apart. Its control fits: with 4 questions a batch, InfoNCE finds most of the picture without any
# group, which VICReg did not.

# %% [markdown]
# With the words held fixed, both VICReg and InfoNCE put colours into $h$ that were much harder to
# read before any training. *No label was used for that.*
#
# Look also at the share of *InfoNCE given x*, near 100 %. Now the **words** are turned down: given
# the question, no term asks for them. For a head that must know what was asked, that is no better
# than a share near 0. Such a cure needs a partner that holds the words, such as labels (section 6)
# or masked words (lesson 07).

# %% [markdown]
# ## 8. Forgotten, or turned down? · extra
#
# After L_vs alone the picture's share was about a hundredth of a per cent, and yet a probe reads the
# colours no worse than before training. How? It rescales each dimension to standard deviation 1
# before it fits. What was turned down it turns up again. Three more numbers tell the two apart:
#
# - a probe that does not rescale;
# - a probe whose test pictures are exchanged: each is scored with another picture's colour, so what
#   is left is what guessing gives;
# - the **sensitivity**, an indicator without labels: the variance over pictures at a fixed question,
#   divided by the mean of $\lVert h - h' \rVert^2$ over disturbances. At $\tfrac{1}{2}$ a
#   disturbance moves $h$ as much as another picture does.

# %%
generator = torch.Generator().manual_seed(5)
shuffle = torch.randperm(len(test_colour), generator=generator)
rows, plain, exchanged = [], {}, {}
for name in ("start", "L_vs alone", "VICReg", "VICReg given x"):
    probed[name], plain[name] = probe(name), probe(name, scale=False)
    exchanged[name] = probe(name, test_colour[shuffle])
    grid, other = (
        ask_each(models[name], GRID_QUESTIONS, images)
        for images in (grid_images, grid_other)
    )
    sensitivity = indicators.visual_sensitivity(grid, other)
    rows.append(
        [
            name,
            lab.measured(f"06.{name}.probe", probed[name], "%"),
            lab.measured(f"06.{name}.plain", plain[name], "%"),
            lab.measured(f"06.{name}.exchanged", exchanged[name], "%"),
            lab.measured(f"06.{name}.sensitivity", sensitivity),
        ]
    )
header = ["", "probe that rescales", "probe that does not"]
plots.table(rows, header=[*header, "pictures exchanged", "sensitivity"])

# %%
print(f"always the most common colour: {100 * commonest:.1f} %")
lab.claim(
    "after L_vs alone the rescaling probe still reads colours, more than 25"
    " points above exchanged pictures, and the plain probe is within 8 points"
    " of the most common colour",
    probed["L_vs alone"] > exchanged["L_vs alone"] + 25
    and abs(plain["L_vs alone"] - 100 * commonest) < 8,
)

# %% [markdown]
# So the word for L_vs alone is *turned down*, not *forgotten*. The std at a fixed question is 0.0002,
# so the plain probe would need weights 5,000 times larger than for a std of 1. Scikit-learn's
# classifier penalises large weights. It also stops where gradients are small, and here they are
# small from the start.

# %% [markdown]
# We would write "forgotten" only where a rescaling probe is no better than with exchanged pictures,
# and even then only as far as a *linear* probe can tell. None of our runs is there. That fits
# section 2: the loss turns the picture down, and no step has to remove it.

# %% [markdown]
# The sensitivity even rose: the loss turned pictures down, and noise further still. It would pass
# for a success, as it is blind to scale. Whether a head that is trained on top gets along with such
# an $h$ was not measured: a step of its weight changes the output 5,000 times less.

# %% [markdown]
# ## 9. The other L_vs · extra
#
# The name is also used for a second loss: the squared distance between the projected picture $W v$
# and the $h$ of its text. Pull each picture to its own text: is that safer? The distance is zero if
# $W v = h$ for all pairs, and a constant does that too: $W v = h = c$.

# %% [markdown]
# Take the real pairs of easy-VQA, with the mean colours of 16 patches as $v$. A learnt vector for
# each question replaces the $h$ of its text. Train both.

# %%
torch.manual_seed(lab.seed)
# (images, 16, 3)
patches = F.avg_pool2d(pictures["train"].cpu(), 16).flatten(2).transpose(1, 2)
# the pictures' means spread
patches = (patches - patches.mean((0, 1))) / patches.mean(1).std(0)
# (examples,)
which = torch.tensor([questions.index(q) for q in train.questions])
project, texts = nn.Linear(3, 32), nn.Embedding(len(questions), 32)
optimizer = torch.optim.AdamW(
    [*project.parameters(), *texts.parameters()], lr=0.02
)
curve = []
for step in range(lab.steps(cpu=400, gpu=400)):
    # (batch,) pairs of a picture and its own question
    rows = torch.randint(len(train), (256,))
    # (256, 16, 3), (256, 32)
    v, text = patches[train.image_index[rows]], texts(which[rows])
    distance = picture_text_distance(v, text, project)
    sides = (project(v.mean(1)).detach(), text.detach())  # (256, 32) each
    curve.append((distance.item(), *map(indicators.batch_std, sides)))
    optimizer.zero_grad()
    distance.backward()
    optimizer.step()

# %% tags=["figure", "varies"]
curve = np.array(curve)  # (updates, 3)
series = {
    "distance": curve[:, 0] ** 0.5,
    "std of W v": curve[:, 1],
    "std of h": curve[:, 2],
}
figure = plots.curves(
    {name: y / y[0] for name, y in series.items()},
    xlabel="update",
    ylabel="value / value at the start",
    title="Picture and text agree, because both say nothing",
)
figure.axes[0].set_yscale("log")
plots.show(
    figure,
    alt=(
        "On a log scale the distance of picture and text falls by more than two"
        " powers of ten, and the spread of both sides falls with it."
    ),
)

# %%
lab.claim(
    "the squared distance falls more than a thousandfold, and both sides keep"
    " less than a tenth of their spread",
    curve[-1, 0] < curve[0, 0] / 1000
    and (curve[-1, 1:] < curve[0, 1:] / 10).all(),
)

# %% [markdown]
# The distance is the root of the loss, so that it has the unit of the spreads. At the end it has
# fallen about as far as the spread of the texts. So for their size, picture and text agree hardly
# better than at the start: they have only both become small.

# %% [markdown]
# One limit: a question of easy-VQA says little about its picture, so there was little to learn from
# these pairs. With captions there is. There the competition of InfoNCE between pictures and *texts*
# is the usual cure. Lesson 07 is about it.

# %% [markdown]
# ## 10. On a GPU, at full scale · extra
#
# With a GPU, `lab.start()` chooses the profile `gpu`: here 2,000 updates. The network stays as it
# is. With 107 questions, words alone cannot fill many more dimensions than these 64, so section 4
# would tell another story in a wide network. The stored runs have 200 updates. At the scale of the
# papers:
#
# | | here | VICReg and SimSiam, as published |
# |---|---|---|
# | pictures | 3,600 of 64x64 | ImageNet, 224x224 |
# | $T$ | patches and a Transformer of two layers | ResNet-50, and a projector behind it |
# | $v'$ | shift, brightness, noise | crops, flips, colour jitter, blur |
# | batch | 64 | 512 to 2,048 |
# | words | 107 questions | none |

# %% [markdown]
# Three things to know there:
#
# - Both papers put a *projector* behind the network, a small network on top. They apply the loss to
#   its output and throw it away after training. Measure the indicators on the $h$ that is used
#   later, not on the projector's output.
# - Random crops link pictures that share no pixel. By section 2 they let the model forget where
#   things are, which a left-or-right question needs.
# - With batches spread over several GPUs the variance has to be taken over all of them, and, with
#   words in the game, over rows of the same words.

# %% [markdown]
# ## 11. What you know now · core
#
# - $L_{vs}$ is zero for every model that depends on the picture only through what the disturbance
#   keeps, and for models that do not look at all. It does not choose.
# - A falling loss is no evidence, and neither is a high effective rank: each indicator has a blind
#   spot.
# - Variance over a batch of mixed questions can be paid by the words. Hold the words fixed, in the
#   indicator and in the cure.
# - What $v'$ changes, the loss gives $h$ no reason to keep.
#
# Questions 3 and 5 of the quiz are about the extra sections 7 and 8.

# %%
quiz(
    [
        (
            "L_vs went from 0.006 to 0.000001. What has been learnt?",
            "That can't be told. It is near zero for the wanted model, for one"
            " that ignores the picture, and for a constant.",
        ),
        (
            "The effective rank of h on a batch is 47 of 64, its std is 1. Is"
            " the picture in h?",
            "That can't be told either: vectors that differ by question alone"
            " give the same. Fix the question and look at the spread over"
            " pictures.",
        ),
        (
            "Why does stop-gradient without a predictor not help?",
            "By symmetry it halves the gradient of every weight and leaves its"
            " direction as it was.",
        ),
        (
            "v' is a grey copy of v. Which questions become harder?",
            "Those about colours: consistency asks that h be the same for all"
            " colours of one grey.",
        ),
        (
            "A probe reads colours from h, whose spread is 0.0002. Has the"
            " model forgotten them?",
            "No, they are turned down. The probe rescales. They would be"
            " forgotten, as far as a linear probe can tell, if it did no"
            " better than with exchanged pictures.",
        ),
    ]
)

# %% [markdown]
# **Papers.** Chen and He 2021, *Exploring Simple Siamese Representation Learning* ([arXiv
# 2011.10566](https://arxiv.org/abs/2011.10566)): stop-gradient and predictor together prevent
# collapse on ImageNet, either alone does not; the normalised std. Grill et al. 2020, *Bootstrap
# Your Own Latent* ([2006.07733](https://arxiv.org/abs/2006.07733)): the same with a slowly moving
# copy as target. Bardes et al. 2022, *VICReg* ([2105.04906](https://arxiv.org/abs/2105.04906)):
# the three terms, on pictures alone, where there are no words to pay the variance. Van den Oord et
# al. 2018, *Contrastive Predictive Coding* ([1807.03748](https://arxiv.org/abs/1807.03748)):
# InfoNCE. Wang and Isola 2020 ([2005.10242](https://arxiv.org/abs/2005.10242)): alignment and
# uniformity as what contrastive losses pull at. Garrido et al. 2023, *RankMe*
# ([2210.02885](https://arxiv.org/abs/2210.02885)): effective rank without labels as a predictor of
# later accuracy, for pictures alone. Roy and Vetterli 2007: the effective rank itself.

# %% [markdown]
# **Next:** lesson 07 trains on pairs that belong together, pictures and their captions.

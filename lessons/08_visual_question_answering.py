# ---
# jupyter:
#   course:
#     title: Visual question answering and cross-entropy
#     needs: ["01", "05"]
# ---

# %% [markdown]
# A picture and a question go in, an answer comes out. In this lesson you will
#
# - derive the loss that trains such a model, and its gradient;
# - write it in a form that no number can break;
# - train a joint Transformer on a published benchmark: first yes or no, then all 13 answers;
# - find out whether the model looks at the picture, and where;
# - ask it yourself, and break it.
#
# Two symbols come from lesson 05: $x$ is the question, as a row of token ids, and $v$ is the
# picture, as 16 feature vectors. The model reads both at once: $h = \mathrm{Transformer}(x, v)$.

# %% tags=["setup"]
import inspect
import json
import math
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from course_utils.checks import check, compare_prediction, hint, quiz
from course_utils.datasets import load_easy_vqa, loader
from course_utils.datasets.text import encode
from course_utils.evaluation.baselines import majority, mode_per_question
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.answering import easy_vqa_model
from course_utils.notebook import diagrams, lab, plots, widgets
from course_utils.studies import recipes, yes_no_runs
from course_utils.training.fit import FitConfig, fit
from course_utils.training.objective import answer_objective
from PIL import Image, ImageDraw
from torch import nn
from transformers import BertConfig, BertForQuestionAnswering

# %% [markdown]
# ## 1. The question · core
#
# easy-VQA is a published benchmark. It has small pictures with one coloured shape each, and about
# ten questions per picture. It can be learnt within minutes on a laptop.
#
# Here are four pictures of the training set, each with one of its questions.

# %%
train_all = load_easy_vqa("train")
test = load_easy_vqa("test", train_all.tokenizer, train_all.answers)
train, validation = train_all.split_by_image(0.1, seed=0)
for name, data in (
    ("train", train),
    ("validation", validation),
    ("test", test),
):
    print(f"{name:10}  {len(data.images):5} pictures  {len(data):6} questions")
print("answers:", ", ".join(train.answers))

# %%
rows = [train.image_index.tolist().index(i) + 2 for i in (10, 11, 12, 13)]
titles = [f"{train.questions[r]}\n{train.answers[train.y[r]]}" for r in rows]
figure = plots.images_grid(train.images[train.image_index[rows]], titles)
plots.show(
    figure,
    alt=(
        "Four pictures with one coloured shape each, a question and its answer."
    ),
)

# %% [markdown]
# The validation pictures are taken from the *training* pictures: 400 of 4,000, with all their
# questions. If we had split by question, the same picture would be in both parts. In every run of
# this lesson, the weights to keep are chosen on the validation pictures. The test pictures are only
# used to report.

# %% [markdown]
# First a surprise. How many questions does an untrained model answer correctly? And how many does
# a model that never sees a picture?

# %%
torch.manual_seed(lab.seed)
model = easy_vqa_model(train)
untrained = evaluate(model, test)
blind = mode_per_question(train, test)
plots.table(
    [
        ["chance: one of 13 answers", f"{100 / 13:.1f} %"],
        [
            "untrained joint Transformer",
            lab.measured("08.untrained", 100 * untrained.accuracy, "%"),
        ],
        [
            "always the most common answer",
            f"{100 * majority(train, test).accuracy:.1f} %",
        ],
        [
            "the most common answer to each question, blind",
            f"{100 * blind.accuracy:.1f} %",
        ],
    ],
    header=["on the 9,673 test questions", "right"],
)

# %% [markdown]
# A model without training knows nothing. It gives nearly always the same few answers. If these are
# not "yes" or "no", which are three quarters of the right answers, it is even below chance.
#
# A model that is **blind**, which never sees the picture, is right two times out of three! So 67 %
# is where *nothing* has been learnt about pictures. A training run that ends at 67 % has failed,
# whatever its loss did.

# %% [markdown]
# The number after `±` is always the standard deviation over runs with other random numbers;
# `data/spreads.json` names the seeds. The first row has a large one: which answers an untrained
# model prefers depends on its random weights.
#
# Where do the 67 % come from? Mostly from the yes/no questions. Half of all their answers are "yes",
# but each wording is predictable. There are eight colours, so "is there a red shape?" is mostly a
# "no", and "is there not a red shape?" mostly a "yes".

# %%
for family, share in blind.by_family.items():
    print(f"blind on {family:7} questions: {100 * share:.1f} %")

# %% [markdown]
# ## 2. Yes or no: cross-entropy from the likelihood · core
#
# Take the yes/no questions first. For an example $i$ let $y_i$ be 1 if the answer is "yes" and 0 if
# it is "no". The model, with all its weights called $\theta$, gives one number $z_i$, the **logit**.
# It may be any real number. The logistic function turns it into a probability of "yes":
#
# $$p_i = \sigma(z_i) = \frac{1}{1 + e^{-z_i}} .$$
#
# A logit of 0 means that both answers are equally likely. Solved for the logit,
# $z = \log \frac{p}{1 - p}$: it is the logarithm of the odds of "yes", and adding 1 to it
# multiplies the odds by $e$.

# %% [markdown]
# How well does $\theta$ fit what was observed? By the probability that it gave to the observed
# answer. That is $p_i$ if $y_i = 1$ and $1 - p_i$ if $y_i = 0$, in one formula
# $p_i^{y_i} (1 - p_i)^{1 - y_i}$. For $N$ independent examples these multiply:
#
# $$\text{likelihood}(\theta) = \prod_{i=1}^{N} p_i^{\,y_i} (1 - p_i)^{1 - y_i} .$$
#
# A product of thousands of numbers below 1 is too small for a computer. So we take the logarithm,
# which turns it into a sum and does not move the maximum. Then we change the sign, so that less is
# better, and divide by $N$, so that the size of the dataset does not matter:
#
# $$\mathcal{L}(\theta) = \frac{1}{N} \sum_{i=1}^{N} \ell_i, \qquad
#   \ell_i = -\big[\, y_i \log p_i + (1 - y_i) \log (1 - p_i) \,\big] .$$
#
# This is the **binary cross-entropy**. Training looks for the weights
# $\theta^* = \arg\min_\theta \mathcal{L}(\theta)$; the mean $\mathcal{L}$ is also called the
# empirical risk. In each $\ell_i$ only one of the two terms is not 0. Three examples, by hand:

# %%
z = torch.tensor([2.0, -1.0, 0.5])  # (3,) logits
y = torch.tensor([1.0, 0.0, 0.0])  # (3,) answers: yes, no, no
p = 1 / (1 + torch.exp(-z))  # (3,) probabilities of yes
terms = -(y * p.log() + (1 - y) * (1 - p).log())  # (3,)
print("p    ", p)
print("terms", terms)
print(f"mean  {terms.mean():.4f}")
print(f"PyTorch's own: {F.binary_cross_entropy_with_logits(z, y):.4f}")

# %% [markdown]
# The first two examples are on the right side and cost little. The third says "yes" with
# probability 0.62 where "no" is true, and costs the most.

# %% [markdown]
# ### The gradient is the mistake
#
# How does $\ell$ change with the logit $z$? Two facts are enough. First,
# $\sigma'(z) = \sigma(z)(1 - \sigma(z)) = p(1-p)$. Second, the chain rule:
#
# $$\frac{d\ell}{dz}
#   = -\Big[ \frac{y}{p} - \frac{1-y}{1-p} \Big] \, p(1-p)
#   = -\big[ y(1-p) - (1-y)p \big]
#   = p - y .$$
#
# The gradient is what the model said minus what was true. Its size is at most 1, and it vanishes
# as the model becomes right *and* sure. Autograd agrees:

# %%
z_leaf = z.clone().requires_grad_()  # (3,)
F.binary_cross_entropy_with_logits(z_leaf, y, reduction="sum").backward()
print("autograd", z_leaf.grad)
print("p - y   ", p - y)
print(f"largest difference {(z_leaf.grad - (p - y)).abs().max():.0e}")

# %% [markdown]
# ### The plain formula breaks
#
# Written as above, the loss works for small logits only. A wrong answer that the model is sure of is
# exactly where training needs the gradient most. Watch the plain formula there: $y = 0$, and the
# logit grows.


# %%
def plain_bce(z, y):
    p = 1 / (1 + torch.exp(-z))  # (), rounds to 0 or 1 where |z| is large
    return -(y * p.log() + (1 - y) * (1 - p).log())


for value in (5.0, 10.0, 20.0, 100.0):
    row = [f"z = {value:5.0f}"]
    for loss_of in (plain_bce, F.binary_cross_entropy_with_logits):
        z_one, no = torch.tensor(value, requires_grad=True), torch.tensor(0.0)
        loss = loss_of(z_one, no)
        loss.backward()
        row.append(
            f"loss {loss.item():8.4f}, gradient {z_one.grad.item():6.4f}"
        )
    print("   plain: ".join(row[:2]) + "   PyTorch: " + row[2])

# %% [markdown]
# Somewhere between 10 and 20, $p$ rounds to exactly 1 in 32-bit floats. Then $\log(1 - p)$ is
# $-\infty$, and the gradient is infinite. One such example ruins all weights.
#
# The cure is never to compute $p$. From $\sigma(z) = 1/(1 + e^{-z})$ follows
# $1 - \sigma(z) = e^{-z} / (1 + e^{-z})$. Take the logarithms,
# $\log \sigma(z) = -\log(1 + e^{-z})$ and $\log(1 - \sigma(z)) = -z - \log(1 + e^{-z})$, and put
# them into $\ell$:
#
# $$\ell = (1 - y)\, z + \log(1 + e^{-z}) .$$
#
# For large negative $z$ the exponential overflows. There, use
# $\log(1 + e^{-z}) = -z + \log(1 + e^{z})$. Both cases in one:
#
# $$\ell = \max(z, 0) - y z + \log\!\big(1 + e^{-|z|}\big) .$$
#
# The exponent is never positive, so nothing can overflow.

# %% [markdown]
# > **Exercise 08.1 · write it** · core · difficulty 1 of 3 · 10 minutes
# >
# > Write the mean binary cross-entropy of logits `z` and answers `y`, both of shape (batch,), as a
# > tensor. It and its gradient must stay finite and right for large logits of either sign. For
# > $\max(z, 0)$ of a tensor there is `z.clamp(min=0)`. Don't call PyTorch's own loss.
# >
# > Stuck? Run `hint("08.1")` in a new cell, and again for a second hint.


# %%
def binary_cross_entropy(z, y):
    """Mean binary cross-entropy of logits z and answers y, (batch,) each."""
    ### BEGIN SOLUTION
    # max(z, 0) carries the part that may be large,
    # log1p keeps the digits of a small exponential
    return (z.clamp(min=0) - z * y + torch.log1p(torch.exp(-z.abs()))).mean()
    ### END SOLUTION


# %%
binary_cross_entropy = check("08.1", binary_cross_entropy)

# %%
# (1000,) each
z_random, y_random = torch.randn(1000) * 30, (torch.rand(1000) < 0.5).float()
difference = binary_cross_entropy(
    z_random, y_random
) - F.binary_cross_entropy_with_logits(z_random, y_random)
print(
    f"difference to PyTorch on 1,000 logits up to {z_random.abs().max():.0f}:"
    f" {difference:.0e}"
)

# %% [markdown]
# ### A bug that raises no error
#
# `F.binary_cross_entropy_with_logits` applies $\sigma$ itself. Give it probabilities instead of
# logits, and $\sigma$ is applied twice. Nothing fails, and training goes on. But the loss cannot
# fall far, because $\sigma$ of a number in $[0, 1]$ lies between 0.5 and 0.73.

# %% [markdown]
# > **Exercise 08.2 · write it** · core · difficulty 2 of 3 · 10 minutes
# >
# > A share `s` of the answers is "yes". What is the smallest mean loss that any model can reach with
# > this bug, even one that knows every answer? Write it as a function of `s`.


# %%
def smallest_loss_with_the_bug(s):
    """The least mean loss where p in [0, 1] is taken for a logit."""
    ### BEGIN SOLUTION
    # the best p is 1 where y = 1 and 0 where y = 0
    yes = torch.log1p(torch.exp(torch.tensor(-1.0)))  # -log sigma(1)
    no = torch.log(torch.tensor(2.0))  # -log(1 - sigma(0))
    return s * yes + (1 - s) * no
    ### END SOLUTION


# %%
smallest_loss_with_the_bug = check("08.2", smallest_loss_with_the_bug)

# %%
yes_no = train.restrict_answers(("no", "yes"))
share = yes_no.y.double().mean().item()
print(f"share of yes in training {share:.4f}")
print(
    "with the bug the loss stays above"
    f" {smallest_loss_with_the_bug(share):.4f}, not above 0"
)
counts = {}  # question -> how often its answer was no, yes
for question, answer in zip(yes_no.questions, yes_no.y.tolist()):
    counts.setdefault(question, [0, 0])[answer] += 1
blind_loss = -sum(
    n * math.log(n / sum(row)) for row in counts.values() for n in row if n
)
blind_loss /= len(yes_no)  # H(Y|Q) of lesson 01, of these questions and in nat
print(f"the best blind model has a loss of {blind_loss:.3f}")

# %% [markdown]
# ## 3. Train it on yes or no · core
#
# The model is the one of lesson 05. A small convolutional **stem** turns a picture into 16 visual
# features, the joint Transformer reads them together with the words, and a **head** turns the state
# of `[CLS]` into one logit. In section 5 there will be 13 logits.

# %% tags=["figure"]
diagrams.flow(
    {
        "question": (0, 0, "question"),
        "picture": (1, 0, "picture"),
        "stem": (1, 1, "stem"),
        "joint": (0.5, 2, "joint Transformer"),
        "head": (0.5, 3, "head"),
        "loss": (0.5, 4, "cross-entropy"),
        "answer": (1.5, 4, "right answer"),
    },
    [
        ("question", "joint", "x (batch, words)"),
        ("picture", "stem", "(images, 3, 64, 64)"),
        ("stem", "joint", "v (images, 16, 64)"),
        ("joint", "head", "h of [CLS] (batch, 64)"),
        ("head", "loss", "z (batch, answers)"),
        ("answer", "loss", "y (batch,)"),
    ],
    marked=("loss",),
    alt=(
        "Data flow: the question and the stem's features of the picture go into"
        " the joint Transformer; the head turns the state of [CLS] into logits,"
        " which the cross-entropy compares with the right answer."
    ),
)

# %% [markdown]
# In code, the three parts are composed like this:

# %%
print(inspect.getsource(easy_vqa_model))

# %% [markdown]
# The training loop is `fit`, which lesson 09 opens up. It uses the optimiser AdamW, with a learning
# rate that first rises and then falls to 0. After each pass over the data it scores the model on the
# validation pictures, and it keeps the weights of the best pass.
#
# All that it needs from us is the **objective**, which says what to do with a batch. A batch holds
# each picture once (`images`). `image_index` says which picture each question is about. `x` holds
# the token ids of the questions, and `mask` is True where there is a word.


# %%
def yes_no_objective(model, batch):
    """Mean binary cross-entropy of one batch."""
    # (batch,)
    z = model(batch.images, batch.image_index, batch.x, batch.mask)[:, 0]
    return binary_cross_entropy(z, batch.y.float())


# %% [markdown]
# > **Exercise 08.3 · predict first** · core · difficulty 1 of 3 · 3 minutes
# >
# > The blind baseline is right on about 82 % of the yes/no questions. We are going to train on
# > yes/no questions alone, for two passes. What accuracy do you expect then, in per cent? Any honest
# > number is fine: only a prediction can be surprised.

# %%
my_prediction = None
### BEGIN SOLUTION
my_prediction = 95.0  # a guess, written down before the run
### END SOLUTION

# %%
my_prediction = check("08.3", my_prediction)

# %%
torch.manual_seed(lab.seed)
yes_no_model = easy_vqa_model(yes_no, outputs=1)
yes_no_model = yes_no_model.to(memory_format=torch.channels_last)
yes_no_validation = validation.restrict_answers(("no", "yes"))
history = fit(
    yes_no_model,
    yes_no_objective,
    loader(yes_no, images_per_batch=8, seed=lab.seed),
    validate=lambda m: evaluate(m, yes_no_validation).accuracy,
    config=FitConfig(epochs=2, lr=1e-3, warmup=0.35, max_steps=lab.step_limit),
    device=lab.device,
)

# %% tags=["result"]
blind_yes_no = mode_per_question(train, test).by_family["yes/no"]
yes_no_test = test.restrict_answers(("no", "yes"))
yes_no_result = evaluate(yes_no_model, yes_no_test)
plots.table(
    [
        [
            "blind: most common answer to each question",
            f"{100 * blind_yes_no:.1f} %",
        ],
        [
            "joint Transformer, trained on yes/no alone",
            lab.measured("08.yes_no", 100 * yes_no_result.accuracy, "%"),
        ],
    ],
    header=["yes/no questions of the test set", "right"],
)
elsewhere = evaluate(yes_no_model, yes_no_test.shuffle_images(seed=lab.seed))
same = (
    (elsewhere.predictions == yes_no_result.predictions).double().mean().item()
)
compare_prediction(
    "08.yes_no", my_prediction, 100 * yes_no_result.accuracy, "%"
)

# %% tags=["figure", "result", "varies"]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
window = min(50, len(history.loss))
# (updates - window + 1,)
smooth = torch.tensor(history.loss).unfold(0, window, 1).mean(1)
at = range(window - 1, len(history.loss))
axes[0].plot(history.loss, color="C0", linewidth=0.6, alpha=0.4)
axes[0].plot(at, smooth, color="C1", label="mean of 50 updates")
axes[0].axhline(
    blind_loss, color="grey", linestyle="--", label="best blind model"
)
axes[0].set(
    xlabel="update", ylabel="binary cross-entropy", title="The loss falls ..."
)
passes = range(1, len(history.score) + 1)
right = [100 * s for s in history.score]
axes[1].plot(passes, right, marker="o", label="joint Transformer")
blind_validation = mode_per_question(train, validation).by_family["yes/no"]
axes[1].axhline(
    100 * blind_validation, color="grey", linestyle="--", label="blind"
)
axes[1].set(
    xlabel="pass over the data",
    ylabel="right on validation (%)",
    ylim=(50, 101),
    xticks=list(passes),
    title="... and accuracy stays where blind is",
)
axes[0].legend()
axes[1].legend(loc="lower right")
plots.show(
    figure,
    alt="Left: the training loss falls to that of the best blind model."
    " Right: after each of two passes the validation accuracy lies on the"
    " blind baseline.",
)

# %% tags=["result"]
lab.claim(
    "after two passes over the yes/no questions the model is within 3 points"
    " of blind",
    abs(yes_no_result.accuracy - blind_yes_no) < 0.03,
)
lab.claim(
    "with exchanged pictures it gives the same answer to 19 of 20 questions",
    same > 0.95,
)

# %% [markdown]
# The loss fell, so the optimiser did its work. But it fell by learning which *questions* tend to be
# answered "no" and which "yes". That needs no picture: the loss stops where the best blind model
# stops, and the answers stay the same when the pictures are exchanged.
#
# Is the network too small? Is something broken? Keep the question in mind: section 8 comes back to
# it, with runs of the same network.

# %% [markdown]
# ## 4. Many answers: softmax · core
#
# Now all 13 answers. The head gives 13 logits $z_1 \dots z_{13}$. Exactly one answer is right, so
# the probabilities must add up to 1, which the **softmax** ensures:
#
# $$p_c = \frac{e^{z_c}}{\sum_{k} e^{z_k}} .$$
#
# The likelihood of the observed answer $y$ is $p_y$, so the loss of one example is
#
# $$\ell = -\log p_y = -z_y + \log \sum_k e^{z_k},
#   \qquad \frac{\partial \ell}{\partial z_c} = p_c - [c = y] ,$$
#
# where $[c = y]$ is 1 for the right answer and 0 for the others. The second term gives the $p_c$:
# the derivative of $\log \sum_k e^{z_k}$ with respect to $z_c$ is $e^{z_c} / \sum_k e^{z_k}$.
# Again: what was said minus what was true.

# %% [markdown]
# With two answers, softmax is the logistic function of the *difference* of the logits:
# $e^{z_1} / (e^{z_0} + e^{z_1}) = \sigma(z_1 - z_0)$. So the binary loss is the special case in
# which one of the two logits is fixed at 0:

# %%
# (3, 2) no, yes
two = torch.tensor([[0.0, 2.0], [0.0, -1.0], [0.0, 0.5]], requires_grad=True)
# (3,) yes, no, no: the three examples from above
target = torch.tensor([1, 0, 0])
loss = F.cross_entropy(two, target)
print(
    f"softmax over (no, yes) {loss:.4f}, binary cross-entropy"
    f" {terms.mean():.4f}"
)
loss.backward()
says, truth = two.detach().softmax(1), F.one_hot(target, 2)  # (3, 2) each
print(
    "gradient minus (p - truth) / 3:"
    f" {(two.grad - (says - truth) / 3).abs().max():.0e}"
)

# %% [markdown]
# ### Several right answers: soft targets · extra
#
# easy-VQA has one right answer per question, so nothing below needs this part. VQA v2 asks ten people
# each question, and people disagree. It counts an answer as fully right if at least three of the
# *other* nine people gave it. The official score of an answer is the mean, over the ten ways to leave
# one person out, of $\min(\text{number who agree} / 3,\; 1)$.
#
# > **Exercise 08.4 · write it** · extra · difficulty 2 of 3 · 10 minutes
# >
# > Write the official score of an answer that `count` of `annotators` people gave, as a float.
# > It is *not* min(count / 3, 1).


# %%
def vqa_score(count, annotators=10):
    """The mean of min(agreeing / 3, 1), each person left out once."""
    ### BEGIN SOLUTION
    # the person left out gave this answer: count ways
    with_one_less = min((count - 1) / 3, 1)
    with_all = min(count / 3, 1)  # the person left out gave another one
    return (
        count * with_one_less + (annotators - count) * with_all
    ) / annotators
    ### END SOLUTION


# %%
vqa_score = check("08.4", vqa_score)

# %%
print("people who agree", *[f"{c:5d}" for c in range(6)])
print("official score  ", *[f"{vqa_score(c):5.2f}" for c in range(6)])
print("min(count/3, 1) ", *[f"{min(c / 3, 1):5.2f}" for c in range(6)])

# %% [markdown]
# With such scores an example has a row of **soft targets** $t_c$ between 0 and 1 instead of one
# answer. Two losses fit. One divides the row by its sum $T = \sum_c t_c$, which gives a
# distribution, and uses $-\sum_c \frac{t_c}{T} \log p_c$. The other, usual for VQA v2, treats each
# answer as a yes/no question of its own, "is this one right?", with $t_c$ in place of $y$. It sums
# the binary cross-entropies over the $C$ answers.
#
# Sum or mean over the answers? The mean is $C$ times smaller, and so is its gradient. VQA v2 models
# use about $C = 3129$ answers. What does that do to a step of the optimiser?


# %%
def first_step(optimizer, scale, answers=3129):
    """Loss, the sum times `scale`, and length of the first update."""
    logits = nn.Parameter(torch.zeros(1, answers))  # (1, answers)
    soft = torch.zeros(1, answers)  # (1, answers)
    soft[0, :3] = torch.tensor([1.0, 0.6, 0.3])
    loss = (
        F.binary_cross_entropy_with_logits(logits, soft, reduction="sum")
        * scale
    )
    loss.backward()
    optimizer([logits], lr=0.1).step()
    return loss.item(), logits.detach().norm().item()


for name, optimizer in (("SGD", torch.optim.SGD), ("Adam", torch.optim.Adam)):
    for scale, what in ((1.0, "sum"), (1 / 3129, "mean")):
        loss, size = first_step(optimizer, scale)
        print(
            f"{name:4}  {what:4} over answers   loss {loss:9.4f}   step of"
            f" length {size:.6f}"
        )

# %% [markdown]
# SGD's step shrinks by the factor $C$. Adam divides by the size of the gradient and hardly notices:
# its first step has the length of the learning rate in each of the 3,129 directions, and
# $0.1 \sqrt{3129} = 5.59$. But two other things change for Adam as well: gradients are clipped less,
# and the loss weighs less when it is added to another one. When a recipe from a paper does not train,
# a forgotten factor $C$ is worth looking for.

# %% [markdown]
# ## 5. Train it on everything · core
#
# The same model with 13 logits, on all questions of the training pictures, for six passes instead
# of two. The objective is the package's: the cross-entropy of the 13 logits.

# %%
print(inspect.getsource(answer_objective))

# %%
torch.manual_seed(lab.seed)
model = easy_vqa_model(train)
# The same numbers in another order in memory: convolutions run faster.
model = model.to(memory_format=torch.channels_last)
by_pass = []  # accuracy of each family after each pass


def score(model):
    found = evaluate(model, validation)
    by_pass.append(found.by_family)
    return found.accuracy


history = fit(
    model,
    answer_objective,
    loader(train, recipes.IMAGES_PER_BATCH, seed=lab.seed),
    validate=score,
    config=FitConfig(epochs=6, lr=1e-3, warmup=0.35, max_steps=lab.step_limit),
    device=lab.device,
)
parameters = sum(p.numel() for p in model.parameters())
print(
    f"{parameters:,} weights, {len(history.loss):,} updates of about "
    f"{len(train) // len(loader(train, recipes.IMAGES_PER_BATCH))} questions"
)

# %% [markdown]
# Now the test set. Three numbers belong beside each other: what needs no picture, what the model
# reaches, and what it reaches when every picture is exchanged for another one.

# %%
result, shuffled = (
    evaluate(model, test),
    evaluate(model, test.shuffle_images(seed=lab.seed)),
)
table = [
    [
        "blind: most common answer to each question",
        f"{100 * blind.accuracy:.1f} %",
    ]
    + [f"{100 * blind.by_family[f]:.1f} %" for f in test.families]
]
for key, name, e in (
    ("untrained", "the model before training", untrained),
    ("shuffled", "trained, pictures exchanged", shuffled),
    ("test", "trained", result),
):
    digits = 2 if key == "test" else 1
    table.append(
        [name, lab.measured(f"08.{key}", 100 * e.accuracy, "%", digits=digits)]
        + [
            lab.measured(
                f"08.{key}.{f}", 100 * e.by_family[f], "%", digits=digits
            )
            for f in test.families
        ]
    )
plots.table(table, header=["test set", "all", *test.families])

# %%
lab.claim(
    "at least 99.5 % of the test questions are answered correctly",
    result.accuracy >= 0.995,
)
lab.claim(
    "with exchanged pictures the model is worse than the blind baseline",
    shuffled.accuracy < blind.accuracy,
)

# %% [markdown]
# With exchanged pictures the trained model loses more than a third of its answers. It does not even
# fall back on the blind 67 %: it ends below. So it does not ignore the picture, it describes the
# wrong one. Is nearly 100 % a leak? Lesson 01 looked: no test picture occurs in training.
#
# The [author of easy-VQA](https://github.com/vzhou842/easy-VQA-keras) reports 93.8 % for a small
# convolutional network after eight passes, and 99.5 % for a larger one on a regenerated dataset of
# twice the size. In his program the test set also decides which weights are saved, so both may be a
# little optimistic.
#
# How long did it take to look at the picture?

# %% tags=["figure", "varies"]
figure, axis = plt.subplots(figsize=(6, 3.2))
passes = range(1, len(by_pass) + 1)
blind_by_family = mode_per_question(train, validation).by_family
for i, family in enumerate(validation.families):
    colour = plots.PALETTE[i]
    axis.plot(
        passes,
        [100 * found[family] for found in by_pass],
        "os^"[i] + "-",
        color=colour,
        label=family,
    )
    axis.axhline(
        100 * blind_by_family[family], color=colour, linestyle="--", linewidth=1
    )
axis.set(
    xlabel="pass over the data",
    ylabel="right on validation (%)",
    ylim=(0, 103),
    title="Each family rises above its blind baseline (dashed)",
)
axis.legend()
plots.show(
    figure,
    alt=(
        "Validation accuracy of yes/no, colour and shape questions after each"
        " pass, each with its blind baseline as a dashed line; close to 100 per"
        " cent at the end."
    ),
)
for i, found in enumerate(by_pass[:3], start=1):
    print(
        f"after pass {i}:",
        ", ".join(f"{f} {100 * share:.1f} %" for f, share in found.items()),
    )

# %% [markdown]
# The families rise above the blind baseline one after another. Colours and shapes are far above theirs
# after the first pass, while yes/no is still at its own; it follows later. Keep that for section 8.
#
# ### Where are the last mistakes?
#
# A confusion matrix counts, for each true answer (row), what was answered (column). Right answers lie
# on the diagonal, and everything else is a mistake. There may be none left, so here is the same model
# with the pictures exchanged. Whatever it gets wrong now, it read off the wrong picture. If it
# answered a colour where a shape is true, it would have misread the *question*.

# %% tags=["figure", "varies"]
# 0: yes or no, 1: a shape, 2: a colour
kinds = {"yes": 0, "no": 0, "circle": 1, "rectangle": 1, "triangle": 1}
# (answers,)
kind = torch.tensor([kinds.get(answer, 2) for answer in test.answers])
order = kind.argsort(stable=True)  # (answers,)
figure = plots.confusion(
    shuffled.confusion[order][:, order], [test.answers[i] for i in order]
)
figure.axes[0].set_title("pictures exchanged: wrong answers of the right kind")
plots.show(
    figure,
    alt=(
        "Confusion matrix with exchanged pictures: colours are taken for"
        " colours, shapes for shapes, yes for no; hardly anything outside these"
        " blocks."
    ),
)

# %%
crossed = (
    (kind[shuffled.predictions.cpu()] != kind[test.y]).double().mean().item()
)
lab.claim(
    "with exchanged pictures fewer than 1 in 100 answers are of another kind"
    " than the question",
    crossed < 0.01,
)

# %% [markdown]
# ## 6. What does it look at? · core
#
# The answer is read from `[CLS]`. Its attention in the last layer is the weight that it gives to each
# position. Below are the weights of the 16 patches, averaged over the heads. The patch with the
# largest weight is as bright as in the picture; the smaller the weight, the darker the patch. The
# squares are coarse pointers: each of the 16 features has seen 46x46 pixels around its patch.

# %% tags=["varies"]
rows = [
    next(i for i in range(start, len(test)) if test.family[i] == f)
    for start, f in ((0, 0), (200, 1), (400, 2), (600, 0))
]
figure, axes = plt.subplots(1, 4, figsize=(11, 3.2))
for axis, row in zip(axes, rows):
    batch = test[row]
    with torch.no_grad():
        inputs = [part.to(lab.device) for part in batch[:4]]
        # (1, heads, positions, positions)
        weights = model.attention(*inputs)[-1]
        logits = model(*inputs)  # (1, answers)
    # (4, 4)
    to_patches = weights[0, :, 0, batch.x.shape[1] :].mean(0).view(4, 4).cpu()
    plots.heat_over_image(axis, batch.images[0], to_patches)
    axis.set_title(
        f"{test.questions[row]}\n{test.answers[logits.argmax()]}", fontsize=9
    )
plots.show(figure, alt="Attention of the answer position over four pictures.")

# %% [markdown]
# Four pictures are an anecdote. How often does the brightest patch hold a part of the shape? We ask
# one question about each test picture, and compare with a random patch and with the one patch that is
# best over all pictures.

# %% tags=["varies"]
# a row a picture
first = [test.image_index.tolist().index(i) for i in range(len(test.images))]
# (pictures, 3, 1, 1) the colour of the corner
background = test.images[:, :, :1, :1].float()
# (pictures, 64, 64) the shape
differs = (test.images.float() - background).abs().amax(1) > 60
# (pictures, 16)
holds = F.max_pool2d(differs[:, None].float(), 16)[:, 0].flatten(1).bool()
brightest, on_patches = [], []
for batch in loader(
    test.select(torch.tensor(first)), images_per_batch=100, shuffle=False
):
    inputs = [part.to(lab.device) for part in batch[:4]]
    with torch.no_grad():
        weights = model.attention(*inputs)[-1]
    seen = weights[:, :, 0, batch.x.shape[1] :].mean(1).cpu()  # (questions, 16)
    brightest.append(seen.argmax(1))
    on_patches.append(seen.sum(1))
# (pictures,) each
brightest, on_patches = torch.cat(brightest), torch.cat(on_patches)
hits = holds[torch.arange(len(holds)), brightest].double()  # (pictures,)

# %% tags=["figure", "varies"]
plots.table(
    [
        ["a random patch", f"{100 * holds.double().mean():.0f} %"],
        ["the best fixed patch", f"{100 * holds.double().mean(0).max():.0f} %"],
        ["the patch with the largest weight", f"{100 * hits.mean():.0f} %"],
    ],
    header=[f"holds a part of the shape ({len(holds):,} test pictures)", ""],
)
print(
    f"weight on all patches together: {on_patches.mean():.2f}; the rest lies on"
    " the words"
)

# %%
lab.claim(
    "the patch with the largest weight holds the shape 20 points more often"
    " than any fixed patch",
    hits.mean() > holds.double().mean(0).max() + 0.2,
)

# %% [markdown]
# In nearly all pictures the patch with the largest weight holds a part of the shape, far more often
# than the best fixed patch. With one object on an empty background that is easy. Lesson 05 asked
# among several objects, and there `[CLS]` of the joint models pointed no better than at the largest
# one. And where a model reads is not yet what it uses.

# %% [markdown]
# ### Ask it yourself
#
# Compose a picture and ask about it. In JupyterLab or Colab the controls below are alive. On a page
# without a kernel you see the figure that follows, with four cases. Try to break it:
#
# - a shape half outside the picture, or a tiny one;
# - a question with a word that the model has never seen;
# - a question that presumes something false, such as "what color is the circle?" over a triangle.

# %%
COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "black": (0, 0, 0),
    "gray": (128, 128, 128),
    "teal": (0, 128, 128),
    "brown": (165, 42, 42),
    "yellow": (255, 255, 0),
}


def draw(
    shape="circle",
    colour="red",
    size=24,
    cx=32,
    cy=32,
    background=(240, 240, 240),
):
    """A picture (3, 64, 64) uint8 with one shape around (cx, cy)."""
    image = Image.new("RGB", (64, 64), background)
    half = size / 2
    box = (cx - half, cy - half, cx + half, cy + half)
    pen = ImageDraw.Draw(image)
    if shape == "triangle":
        pen.polygon(
            [(cx, box[1]), (box[0], box[3]), (box[2], box[3])],
            fill=COLOURS[colour],
        )
    else:
        {"circle": pen.ellipse, "rectangle": pen.rectangle}[shape](
            box, fill=COLOURS[colour]
        )
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)  # (3, 64, 64)


# %%
def ask(picture, question):
    """Probabilities (answers,) and attention over the patches (4, 4)."""
    x, mask = encode(test.tokenizer, [question])
    inputs = (
        picture[None].float() / 255,
        torch.zeros(1, dtype=torch.long),
        x,
        mask,
    )
    with torch.no_grad():
        inputs = [part.to(lab.device) for part in inputs]
        p = model(*inputs).softmax(1)[0].cpu()  # (answers,)
        # (1, heads, positions, positions)
        weights = model.attention(*inputs)[-1]
    return p, weights[0, :, 0, x.shape[1] :].mean(0).view(4, 4).cpu()


# %% tags=["varies"]
widgets.compose_and_ask(
    draw,
    ask,
    test.answers,
    choices={
        "shape": ("circle", "rectangle", "triangle"),
        "colour": tuple(COLOURS),
    },
    sliders={"size": (6, 60, 24), "cx": (0, 63, 32), "cy": (0, 63, 32)},
    question="what color is the shape?",
)

# %% tags=["figure", "varies"]
what = "what color is the "
cases = [
    ("as in training", draw("circle", "teal", 26, 30, 34), what + "shape?"),
    ("false premise", draw("triangle", "red", 30), what + "circle?"),
    ("unknown word", draw("rectangle", "blue", 30), "is there a purple shape?"),
    (
        "nothing there",
        draw("circle", "red", 0, -20, -20),
        "what shape is in the image?",
    ),
]
figure, axes = plt.subplots(1, 4, figsize=(11, 3.6))
for axis, (name, picture, question) in zip(axes, cases):
    probabilities, attention = ask(picture, question)
    plots.heat_over_image(axis, picture, attention)
    best = probabilities.argmax()
    axis.set_title(
        f"{name}\n{question}\n{test.answers[best]}"
        f" ({100 * probabilities[best]:.0f} %)",
        fontsize=9,
    )
plots.show(
    figure,
    alt=(
        "Four composed pictures with attention, question and the model's"
        " answer."
    ),
)

# %% [markdown]
# The model has no way to say "there is no circle". Softmax spreads a probability of 1 over the 13
# answers that it knows, whatever it is shown, and it may be very sure. Over an empty picture it still
# names a shape. And "purple" was not a word of training, so it became the token for unknown words. The
# blind answer to such a question is "no" too: being right proves nothing there.

# %% [markdown]
# ### Break it on purpose
#
# All test pictures look like the training pictures. What if they don't? Below are the questions about
# the first 500 of the 1,000 test pictures, with the pictures changed. Most of these changes would not
# disturb a person, though grey hides colours. Before you run it, guess which change hurts most, and
# which kind of question.


# %%
def changed(data, change):
    """The data with `change` applied to its pictures, as floats in [0, 1]."""
    # (images, 3, 64, 64)
    images = change(data.images.float() / 255).clamp(0, 1)
    return replace(data, images=(images * 255).round().byte())


is_asked = test.image_index < 500  # (questions,)
asked = test.select(is_asked)
noise = torch.randn(
    asked.images.shape, generator=torch.Generator().manual_seed(0)
)
changes = {
    "upside down": lambda p: p.flip(2),
    "a little darker (times 0.7)": lambda p: 0.7 * p,
    "noise (standard deviation 0.1)": lambda p: p + 0.1 * noise,
    "grey": lambda p: p.mean(1, keepdim=True).expand_as(p),
    "half the size": lambda p: F.pad(
        F.avg_pool2d(p, 2), (16,) * 4, mode="replicate"
    ),
}
broken = {"unchanged": result.select(is_asked)}  # known since section 5
for name, change in changes.items():
    broken[name] = evaluate(model, changed(asked, change))

# %% tags=["result", "varies"]
blind_asked = mode_per_question(train, asked).by_family
blind_row = [f"{100 * s:.0f} %" for s in blind_asked.values()]
rows = [["blind, whatever the picture", *blind_row]]
for name, e in broken.items():
    key = f"08.break.{name.split()[0]}"
    shares = [
        lab.measured(f"{key}.{family}", 100 * share, "%", digits=0)
        for family, share in e.by_family.items()
    ]
    rows.append([name, *shares])
plots.table(rows, header=["pictures", *test.families])
recognised = broken["upside down"].right.double()  # (questions,)
by_shape = {
    shape: 100 * recognised[asked.y == asked.answers.index(shape)].mean()
    for shape in ("circle", "rectangle", "triangle")
}
print(
    "upside down,",
    ", ".join(f"{shape} {share:.0f} %" for shape, share in by_shape.items()),
)

# %% [markdown]
# Compare each row with the blind one. Upside down, circles and rectangles are what they were. But
# hardly any of the triangles, which now stand on their tip, is recognised: training never showed such a
# thing. A picture that is only a little darker costs far more than noise. Perhaps training never showed
# a background this dark; perhaps a darker red comes close to brown. Darken the background alone, or
# the shape alone, to find out.
#
# And look at the `±`, which stands for training runs with other seeds. Where it is large, models that
# agree on the test set disagree about these pictures, and the test set cannot tell which one is better.

# %% [markdown]
# ## 7. Two ways to a wrong number · core
#
# A model may be fine, and its accuracy computed wrongly. Two ways to do that are common.
#
# > **Exercise 08.5 · write it** · core · difficulty 1 of 3 · 10 minutes
# >
# > The answers of the test set must not decide what the model can say. Return the pair
# > `(ids, encoded)`. `ids` is a dictionary that gives each *training* answer its number, in
# > alphabetical order from 0. `encoded` lists the numbers of the other split's answers, in order,
# > with -1 where an answer is unknown: no prediction can equal it.


# %%
def encode_answers(train_answers, other_answers):
    """Ids of the training answers, and the other split's answers as ids."""
    ### BEGIN SOLUTION
    ids = {name: i for i, name in enumerate(sorted(set(train_answers)))}
    # -1: always counted as wrong
    return ids, [ids.get(name, -1) for name in other_answers]
    ### END SOLUTION


# %%
encode_answers = check("08.5", encode_answers)

# %%
_, encoded = encode_answers(
    ["no", "yes", "no", "red"], ["red", "purple", "no", "purple"]
)
print("answers red, purple, no, purple ->", encoded)
print(
    "the best possible accuracy here:",
    sum(i >= 0 for i in encoded) / len(encoded),
)

# %% [markdown]
# Answers that training never saw stay in the denominator. Leaving their questions out would measure
# an easier test.

# %% [markdown]
# > **Exercise 08.6 · write it** · core · difficulty 2 of 3 · 10 minutes
# >
# > Someone trains one binary cross-entropy for each answer. An example counts as right if
# > $\sigma(z_c) > 0.5$ for the true answer and for no other. Somebody else takes the answer with the
# > largest logit. Return both accuracies, by threshold and by argmax, for logits (batch, answers)
# > and answers `y` (batch,). Below they are compared on four rows made for the purpose.


# %%
def accuracies(logits, y):
    """(accuracy by threshold at 0.5, accuracy by argmax) as two floats."""
    ### BEGIN SOLUTION
    one_hot = F.one_hot(y, logits.shape[1]).bool()  # (batch, answers)
    by_threshold = (
        ((logits.sigmoid() > 0.5) == one_hot).all(1).double().mean().item()
    )
    by_argmax = (logits.argmax(1) == y).double().mean().item()
    return by_threshold, by_argmax
    ### END SOLUTION


# %%
accuracies = check("08.6", accuracies)

# %%
logits = torch.tensor(
    [[2.0, 1.0, -3.0], [-0.2, -0.9, -1.0], [0.4, 3.0, -2.0], [-4.0, -5.0, 1.5]]
)
print(
    "by threshold %.2f, by argmax %.2f"
    % tuple(accuracies(logits, torch.tensor([0, 0, 1, 2])))
)

# %% [markdown]
# The same logits, two very different numbers. Only one answer is right, so thresholds throw away what
# we know: the first and the third row have two answers above 0.5, the second has none. Use argmax
# where answers exclude each other, and say which one you used.

# %% [markdown]
# ## 8. Yes or no, once more · extra
#
# Section 3 left a puzzle: the same network, trained on yes/no questions alone, was no better than
# blind after two passes. It is not too small: in section 5, with colour and shape questions beside
# them, it answered nearly all of them. So what was missing? Two explanations:
#
# - **Features.** A yes/no question is mostly answered by its prior, and what is left needs features
#   that don't exist yet. "What color is the shape?" has hardly a prior, so it teaches the
#   convolutions from the first update on. Once colours and shapes have features, the yes/no questions
#   only have to use them. The curves of section 5 look like that.
# - **Time.** Two passes are too few for yes/no questions alone.

# %% [markdown]
# Both can be tried. One run trains section 3 for seven passes. The other trains three passes on the
# colour and shape questions only, copies stem and encoder into a model with one logit, and trains it
# on yes/no for three more. Three seeds each take ten minutes, so the runs were made once, by the
# command that is printed.

# %%
kept = json.loads(
    lab.data_path("studies/yes_no_runs.json").read_text(encoding="utf-8")
)
print(kept["made"]["command"])
rows = [["blind", f"{100 * blind_yes_no:.1f} %", "", ""]]
for kind in yes_no_runs.KINDS:
    runs = [r for r in kept["runs"] if r["kind"] == kind]
    rows.append(
        [
            kind,
            lab.mean_spread([100 * r["test"] for r in runs], "%"),
            ", ".join(f"{100 * r['test']:.1f}" for r in runs),
            lab.mean_spread([100 * r["exchanged"] for r in runs], "%"),
        ]
    )
plots.table(
    rows,
    header=[
        "trained on yes/no questions",
        "right on test",
        "seeds 0, 1, 2",
        "pictures exchanged",
    ],
)
for r in kept["runs"]:
    print(
        f"{r['kind']}, seed {r['seed']}, validation after each pass:",
        *(f"{100 * s:.1f}" for s in r["validation"]),
    )

# %%
longer, prepared = (
    [r["test"] for r in kept["runs"] if r["kind"] == kind]
    for kind in yes_no_runs.KINDS
)
lab.claim(
    "every one of these runs ends 2 points above blind",
    min(longer + prepared) > blind_yes_no + 0.02,
)
lab.claim(
    "each run that learnt colours and shapes first, in six passes together, is"
    " ahead of each run with seven passes of yes/no",
    min(prepared) > max(longer),
)

# %% [markdown]
# Both explanations are partly right. With seven passes each run rises above the blind baseline,
# though only in the fourth or fifth of them. From colours and shapes the same questions are learnt
# within two. Exchanged pictures bring all of them below blind: they look. So nothing was broken in
# section 3. **A loss that has stopped may only be waiting for features that another part of the data
# would teach.**
#
# What stays open: all of these runs end well below the model of section 5. Whether more passes close
# that gap wasn't tried.

# ## 9. A program with defects · extra
#
# The following sketch is how a first "BERT with pictures" may look. It reads well. Before you go on,
# count the defects that you can see. It uses `transformers`, a library of published models. Its class
# `BertForQuestionAnswering` finds an answer *as a span inside a text*: for each word it gives one logit
# for "starts here" (`start_logits`) and one for "ends here". Our answers aren't part of a text, so it
# is the wrong kind of model to begin with.
#
# ```python
# from transformers import AdamW, BertForQuestionAnswering
#
# class PictureQuestions(Dataset):
#     def __getitem__(self, i):
#         words = self.tokenizer(self.questions[i], return_tensors="pt", padding="max_length")
#         pixels = image.load_img(self.paths[i], target_size=(224, 224))
#         bert = BertForQuestionAnswering.from_pretrained("bert-base-cased").eval()
#         with torch.no_grad():
#             h = bert(words["input_ids"], image_features=pixels).pooler_output
#         return {"input_ids": words["input_ids"][0], "logits": h[:, 0]}
#
# model = BertForQuestionAnswering.from_pretrained("bert-base-cased")
# optimizer = AdamW(model.parameters(), lr=2e-5)
# for batch in DataLoader(train_dataset):
#     loss = model.loss(batch["input_ids"], logits=batch["logits"])
#     loss.backward(); optimizer.step()
# score = accuracy(batch["logits"].argmax(1), batch["labels"])
# ```
#
# Each of the next lines runs one suspect in isolation, with a small randomly filled BERT in place of
# the downloaded one, and prints what happens. A *pooled* state is one vector for the whole input.

# %%
small = BertConfig(
    vocab_size=50,
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=64,
)
bert = BertForQuestionAnswering(small).eval()
# (1, words), a picture
ids, pixels = torch.randint(0, 50, (1, 8)), torch.rand(1, 3, 224, 224)


silent = []


def show(number, what, run):
    """Runs one suspect and prints the error, or what it silently gives."""
    try:
        outcome = f"silent: {run()}"
    except Exception as error:
        # without the path of a file
        text = str(error).splitlines()[0].partition(" (/")[0]
        outcome = f"{type(error).__name__}: {text}"
    silent.append(outcome.startswith("silent"))
    print(f"{number}. {what}\n     {outcome[:100]}")


# %%
def no_gradient():
    with torch.no_grad():
        h = bert(ids).start_logits  # (1, words)
    h.sum().backward()


def with_pictures():
    h = [
        bert(ids, image_features=picture).start_logits
        for picture in (pixels, 1 - pixels)
    ]
    return (
        "accepted and ignored: two pictures, largest difference"
        f" {(h[0] - h[1]).abs().max():.0f}"
    )


def two_steps():
    weight = bert.qa_outputs.weight
    norms = []
    for _ in range(2):  # the same batch twice, without zero_grad between
        bert(ids).start_logits.sum().backward()
        norms.append(weight.grad.norm().item())
    return (
        f"the second gradient is {norms[1] / norms[0]:.1f} times the first, on"
        " the same batch"
    )


# %%
pooled = torch.randn(1, 32)  # what a pooled state would look like: (1, dim)
show(
    1,
    "AdamW is imported from transformers",
    lambda: exec("from transformers import AdamW"),
)
show(
    2,
    "the picture is read by a name that is never imported",
    lambda: image.load_img("a.png"),
)
show(3, "a text model is given pictures", with_pictures)
show(4, "its output has no pooled state", lambda: bert(ids).pooler_output)
show(
    5,
    "h[:, 0] of a pooled state is no row of logits",
    lambda: (
        f"shape {tuple(pooled[:, 0].shape)}: one number, but there are 13"
        " answers"
    ),
)
show(6, "h comes from no_grad, so no gradient reaches any weight", no_gradient)
show(
    7,
    "the labels were never put into the batch",
    lambda: {"logits": pooled}["labels"],
)
show(8, "train_dataset is never made", lambda: train_dataset)
show(
    9,
    "the loss is a method that does not exist",
    lambda: bert.loss(ids, logits=None),
)
show(10, "the gradients are never set to zero", two_steps)
print(
    f"\n{len(silent) - sum(silent)} stop the program, {sum(silent)} say nothing"
)

# %% [markdown]
# Most of them stop the program, one after the other, as soon as the one before is fixed. The worst
# ones say nothing. Number 3 accepts the picture and throws it away: once the rest is fixed, this
# program would train without ever seeing one. Four more defects can only be found by counting:

# %%
other = BertForQuestionAnswering(small)
shared = {id(p) for p in bert.parameters()} & {
    id(p) for p in other.parameters()
}
print(
    "11. weights shared by the model that makes h and the one that is"
    f" optimised: {len(shared)}"
)
longest = BertConfig().max_position_embeddings
print(
    "12. positions computed for a question of 8 words with"
    f" padding='max_length': {longest}"
)
pictures, questions = len(train.images), len(train)
print(
    f"13. models loaded in one pass: {questions:,}; pictures read:"
    f" {questions:,}, distinct ones: {pictures:,}"
)
print(
    "14. questions that the score is computed on: 1, and it was trained on, of"
    f" {questions:,}"
)

# %% [markdown]
# A strict reader finds more: the attention mask is never passed, so padding counts as words, and
# nothing is shuffled. Every one of the fourteen is fixed somewhere in this lesson:
#
# | defect | where it is fixed |
# |---|---|
# | 1, 9, 10 | `fit` has torch's AdamW and sets gradients to zero; the loss is a function we derived |
# | 2, 8 | `load_easy_vqa` reads the pictures and gives both splits |
# | 3, 4, 5 | `JointEncoder` takes words *and* features; `AnswerHead` has a logit for each answer |
# | 6, 11 | one model computes $h$ inside the training step, with gradients, and is optimised |
# | 7 | a `Batch` always holds `y` |
# | 12 | a batch is padded to its own longest question |
# | 13 | a batch holds each distinct picture once, and one model is made once |
# | 14 | `evaluate` predicts every question of a split that was not trained on |

# %% [markdown]
# ## 10. At full scale · extra
#
# What would change for VQA v2:
#
# | | here | VQA v2, typical |
# |---|---|---|
# | pictures, questions (train) | 4,000 and 38,575 | 82,783 and 443,757 |
# | visual features | convolutions trained from scratch, 16 patches | pretrained backbone, 36 regions to 576 patches |
# | text | one token per word | WordPiece |
# | answers | 13, exclusive | about 3,129 (the frequent ones), soft scores |
# | loss | softmax cross-entropy | binary cross-entropy summed over answers |
# | precision | float32 | bfloat16 |

# %% [markdown]
# ## 11. What you know now · core
#
# - Cross-entropy is the negative log-likelihood, and its gradient is what was said minus what was true.
# - It is computed from logits, never from probabilities.
# - A falling loss may only mean that the prior is being learnt. The blind baseline and exchanged
#   pictures tell you.
# - A model may stay at the prior for a long time although it could do better.
# - Choose on validation pictures, report on test pictures, and split by picture.

# %%
quiz(
    [
        (
            "Why do we minimise the mean of -log p, and not maximise the"
            " product of the p?",
            "The logarithm turns the product into a sum without moving the"
            " maximum; nothing underflows.",
        ),
        (
            "A model says yes with p = 0.9 and the answer is no. What is"
            " the gradient of the loss with respect to z?",
            "p - y = 0.9.",
        ),
        (
            "A model reaches 67 % on easy-VQA. What has it learnt about"
            " pictures?",
            "Nothing that shows: blind reaches the same. Look at each"
            " family, and exchange the pictures.",
        ),
        (
            "With exchanged pictures a model keeps its accuracy. What follows?",
            "It does not use the pictures. A model that does loses much of"
            " its accuracy.",
        ),
        (
            "Three of ten people gave an answer. What is its official score?",
            "0.9: three times out of ten one of the three is left out,"
            " which leaves two, scored 2/3.",
        ),
    ]
)

# %% [markdown]
# **Papers.** Antol et al. 2015, *VQA: Visual Question Answering*
# ([arXiv 1505.00468](https://arxiv.org/abs/1505.00468)): the task and the ten-people score. Goyal et
# al. 2017, *Making the V in VQA Matter* ([1612.00837](https://arxiv.org/abs/1612.00837)): balances
# VQA with pairs of similar pictures with different answers, because blind models were too good. Teney
# et al. 2018, *Tips and Tricks for Visual Question Answering: Learnings from the 2017 Challenge*
# ([1708.02711](https://arxiv.org/abs/1708.02711)): shows by ablation that soft scores with sigmoid
# outputs are among the choices that matter. Li et al. 2019, *VisualBERT*
# ([1908.03557](https://arxiv.org/abs/1908.03557)): the single-stream design used here. It reads detected
# regions and starts from BERT. The benchmark: [easy-VQA](https://github.com/vzhou842/easy-VQA).
#
# **Next:** lesson 09 opens `fit` and takes training itself apart.

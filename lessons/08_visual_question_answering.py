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
# - train a joint Transformer on a published benchmark with it: first yes or no, then all 13 answers;
# - find out whether the model looks at the picture, and what it learnt first;
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
import torch
import torch.nn.functional as F
from course_utils.checks import check, hint, quiz
from course_utils.datasets import load_easy_vqa, loader
from course_utils.datasets.easy_vqa import COLOURS, SHAPES, draw_shape
from course_utils.datasets.text import encode
from course_utils.evaluation.baselines import majority, mode_per_question
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.answering import easy_vqa_model
from course_utils.notebook import diagrams, lab, plots, widgets
from course_utils.training.fit import FitConfig, fit
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
titles = [f"{train.questions[r]}\n→ {train.answers[train.y[r]]}" for r in rows]
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
# First the number from lesson 01 that everything here stands beside: how many questions does a
# model answer correctly that never sees a picture?

# %%
blind = mode_per_question(train, test)
plots.table(
    [
        ["chance: one of 13 answers", f"{100 / 13:.1f} %"],
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
# A model that is **blind**, which never sees the picture, is right two times out of three. So 67 %
# is where *nothing* has been learnt about pictures. A training run that ends at 67 % has failed,
# whatever its loss did.
#
# Where do the 67 % come from? Mostly from the yes/no questions. Half of all their answers are "yes",
# but each wording is predictable. There are eight colours, so "is there a red shape?" is mostly a
# "no", and "is there not a red shape?" mostly a "yes". There are three shapes, so a yes/no question
# that names a shape is less predictable.

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
# > tensor. It and its gradient $p - y$ must stay finite and right for large logits of either sign,
# > and at $z = 0$ too, where $\max(z, 0)$ and $|z|$ have a corner. For a tensor, $\max(z, 0)$ is
# > `torch.maximum(z, torch.zeros_like(z))`. Don't call PyTorch's own loss.
# >
# > Stuck? Run `hint("08.1")` in a new cell, and again for a second hint.


# %%
def binary_cross_entropy(z, y):
    """Mean binary cross-entropy of logits z and answers y, (batch,) each."""
    ### BEGIN SOLUTION
    # max(z, 0) carries the part that may be large; at its corner, z = 0,
    # torch.maximum has the gradient 1/2, which is p there
    largest = torch.maximum(z, torch.zeros_like(z))  # (batch,)
    # log1p keeps the digits of a small exponential
    return (largest - z * y + torch.log1p(torch.exp(-z.abs()))).mean()
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
for name, largest in (
    ("z.clamp(min=0)", lambda z: z.clamp(min=0)),
    ("torch.maximum ", lambda z: torch.maximum(z, torch.zeros_like(z))),
):
    corner = torch.zeros(1, requires_grad=True)  # (1,)
    loss = largest(corner) + torch.log1p(torch.exp(-corner.abs()))  # (1,)
    loss.sum().backward()
    print(f"{name}: gradient at z = 0 with y = 0 is {corner.grad.item():.1f}")

# %% [markdown]
# The corner matters. A last layer that starts at zero gives $z = 0$ for every example. With
# `clamp`, the examples answered "no" would give no gradient at all in the first update, and those
# answered "yes" twice the right one.

# %% [markdown]
# ### How low can the loss go?
#
# Take one question, asked of many pictures. For a share $s$ of them the answer is "yes". A blind
# model gives the same $p$ to all of them, so its mean loss is $-[s \log p + (1 - s) \log(1 - p)]$.
# Its derivative with respect to $z$ is the mean of $p - y$, which is $p - s$. It is 0 at $p = s$:
# the best $p$ is $s$ itself, the true probability.
#
# What is left at $p = s$ is the **entropy** $H(s) = -[s \log s + (1 - s) \log(1 - s)]$. Anything
# else costs the Kullback-Leibler divergence on top, which is never negative:
#
# $$-[s \log p + (1 - s) \log(1 - p)]
#   = H(s) + s \log \frac{s}{p} + (1 - s) \log \frac{1 - s}{1 - p} .$$

# %%
s = 1 / 8  # is there a red shape?
entropy = -(s * math.log(s) + (1 - s) * math.log(1 - s))
for p_said in (0.01, 0.125, 0.5):
    loss = -(s * math.log(p_said) + (1 - s) * math.log(1 - p_said))
    print(
        f"p = {p_said:5.3f}: loss {loss:.3f} = entropy {entropy:.3f}"
        f" + divergence {loss - entropy:.3f}"
    )

# %% [markdown]
# So a blind model can't get below $H(Y|Q)$ of lesson 01. A model that sees can: here picture and
# question decide the answer, $H(Y|Q, V) = 0$, and the loss may go to 0.

# %% [markdown]
# ### A bug that raises no error
#
# `F.binary_cross_entropy_with_logits` applies $\sigma$ itself. Give it probabilities instead of
# logits, and $\sigma$ is applied twice. Nothing fails, and training goes on. But the loss cannot
# fall far, because $\sigma$ of a number in $[0, 1]$ lies between 0.5 and 0.73.

# %% [markdown]
# > **Exercise 08.2 · write it** · core · difficulty 2 of 3 · 10 minutes
# >
# > A share `s` of the answers is "yes". Take a model that sees the picture and knows every answer.
# > It gives a probability $p$ from 0 to 1, and the loss takes $p$ for a logit. What is its smallest
# > mean loss? Write it as a function of `s`.


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
# Does training with the bug still learn something? The smallest model that can tell is a blind
# table with one logit for each wording. In the code, `F.softplus(a)` is $\log(1 + e^a)$:
# `softplus(-z)` is the loss of a "yes", `softplus(z)` that of a "no". The gradient of the mean is
# divided among about a hundred wordings, so the rate is large.


# %%
def train_table(bug, updates):
    """Loss and accuracy of a table of logits, one for each wording."""
    n = torch.tensor(list(counts.values()), dtype=torch.float)  # (wordings, 2)
    table = torch.zeros(len(n), requires_grad=True)  # (wordings,)
    optimizer = torch.optim.SGD([table], lr=20.0)
    for update in range(updates + 1):
        z = table.sigmoid() if bug else table  # (wordings,)
        loss = (n[:, 1] * F.softplus(-z) + n[:, 0] * F.softplus(z)).sum()
        loss = loss / n.sum()
        if update < updates:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    right = torch.where(table > 0, n[:, 1], n[:, 0]).sum() / n.sum()
    return loss.item(), right.item()


for updates in (1, 10, 100, 1000):
    row = [train_table(bug, updates) for bug in (False, True)]
    print(
        f"{updates:4} updates: right loss {row[0][0]:.3f},"
        f" {100 * row[0][1]:.1f} % right;   with the bug"
        f" {row[1][0]:.3f}, {100 * row[1][1]:.1f} % right"
    )

# %% [markdown]
# The table answers nearly as many questions correctly with the bug as without. So accuracy hardly
# shows it. The loss does: at the same learning rate it falls more slowly, and it is still far above
# the blind 0.443 at the end. (It doesn't reach 0.503 either: that needs a model that knows every
# answer, and this one is blind.) If a loss ends at a value that you can't explain, look for a
# probability where a logit is expected.

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
# rate that rises for the first 35 % of the updates (`warmup=0.35`) and then falls to 0. After each
# pass over the data it scores the model on the validation pictures, and it keeps the weights of the
# best pass.
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
# > yes/no questions alone, for one pass over all of them. What accuracy do you expect then, in per
# > cent? Any honest number is fine: only a prediction can be surprised.

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
    config=FitConfig(epochs=1, lr=1e-3, warmup=0.35, max_steps=lab.step_limit),
    device=lab.device,
)

# %% [markdown]
# > **Exercise 08.4 · write it** · core · difficulty 1 of 3 · 10 minutes
# >
# > One accuracy can hide two stories. Split it by what is asked. `right` (questions,) says which
# > answers were right. A question asks for a colour if it contains one of the words `names`, and for
# > a shape otherwise. Return a dictionary from "colour" and "shape" to the share of right answers
# > (0 to 1). A kind that doesn't occur is left out.


# %%
def by_what_is_asked(questions, right, names=tuple(COLOURS)):
    """Share of right answers to questions for a colour and for a shape."""
    ### BEGIN SOLUTION
    found = {"colour": [], "shape": []}
    for question, one in zip(questions, right.tolist()):
        words = question.rstrip("?").split()
        asks_colour = any(word in names for word in words)
        found["colour" if asks_colour else "shape"].append(one)
    return {kind: sum(of) / len(of) for kind, of in found.items() if of}
    ### END SOLUTION


# %%
by_what_is_asked = check("08.4", by_what_is_asked)

# %% tags=["result", "varies"]
yes_no_test = test.restrict_answers(("no", "yes"))
exchanged_test = yes_no_test.shuffle_images(seed=lab.seed)
blind_test = mode_per_question(yes_no, yes_no_test)
yes_no_result = evaluate(yes_no_model, yes_no_test)
elsewhere = evaluate(yes_no_model, exchanged_test)
rows = []
for name, found in (
    ("blind: most common answer to each question", blind_test),
    ("joint Transformer, trained on yes/no alone", yes_no_result),
    ("the same, pictures exchanged", elsewhere),
):
    split = by_what_is_asked(yes_no_test.questions, found.right)
    shares = (found.accuracy, split["colour"], split["shape"])
    rows.append([name, *(f"{100 * share:.1f} %" for share in shares)])
header = ["yes/no questions of the test set, right", "all"]
plots.table(rows, header=[*header, "for a colour", "for a shape"])
print(
    f"You predicted {my_prediction:.1f} %;"
    f" measured {100 * yes_no_result.accuracy:.1f} %."
)

# %% tags=["figure", "result", "varies"]
figure, axis = plt.subplots(figsize=(6, 3.2))
window = min(50, len(history.loss))
# (updates - window + 1,)
smooth = torch.tensor(history.loss).unfold(0, window, 1).mean(1)
at = range(window - 1, len(history.loss))
axis.plot(history.loss, color="C0", linewidth=0.6, alpha=0.4)
axis.plot(at, smooth, color="C1", label="mean of 50 updates")
axis.axhline(blind_loss, color="grey", linestyle="--", label="best blind model")
axis.set(
    xlabel="update",
    ylabel="binary cross-entropy",
    title="The loss falls to that of the best blind model",
)
axis.legend()
plots.show(
    figure,
    alt="The training loss falls to that of the best blind model and stays"
    " there.",
)

# %% tags=["result"]
same = elsewhere.predictions == yes_no_result.predictions  # (questions,)
lab.claim(
    "after one pass over the yes/no questions the model is within 3 points of"
    " blind",
    abs(yes_no_result.accuracy - blind_test.accuracy) < 0.03,
)
lab.claim(
    "with exchanged pictures it gives the same answer to 19 of 20 questions",
    same.double().mean() > 0.95,
)

# %% [markdown]
# The loss fell, so the optimiser did its work. But it fell by learning which *questions* tend to be
# answered "no" and which "yes". That needs no picture: the loss stops where the best blind model
# stops, and the answers stay the same when the pictures are exchanged. (The curve may dip below the
# line for a while. It is a mean over few pictures, and some batches are easier than others; the
# bound holds for the whole training set.)
#
# Is the network too small? Is something broken? Keep the question in mind: section 7 comes back to
# it.

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
# > **Exercise 08.5 · write it** · core · difficulty 2 of 3 · 10 minutes
# >
# > Write the mean softmax cross-entropy of `logits` (batch, answers) for the right answers `y`
# > (batch,), their numbers. It must hold for logits of 200, and when all logits are equal. Don't
# > call PyTorch's own loss. The model of this lesson is trained with yours.


# %%
def softmax_cross_entropy(logits, y):
    """Mean of -log softmax(logits)[y]; logits (batch, answers), y (batch,)."""
    ### BEGIN SOLUTION
    # logsumexp takes the largest logit out of the sum before exp
    total = logits.logsumexp(1)  # (batch,)
    right = logits.gather(1, y[:, None])[:, 0]  # (batch,)
    return (total - right).mean()
    ### END SOLUTION


# %%
softmax_cross_entropy = check("08.5", softmax_cross_entropy)

# %% [markdown]
# ### Several right answers: soft targets · extra
#
# easy-VQA has one right answer per question, so nothing below needs this part. VQA v2 asks ten people
# each question, and people disagree. It counts an answer as fully right if at least three of the
# *other* nine people gave it. The official score of an answer is the mean, over the ten ways to leave
# one person out, of $\min(\text{number who agree} / 3,\; 1)$.
#
# > **Exercise 08.6 · write it** · extra · difficulty 2 of 3 · 10 minutes
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
vqa_score = check("08.6", vqa_score)

# %%
print("people who agree", *[f"{c:5d}" for c in range(6)])
print("official score  ", *[f"{vqa_score(c):5.2f}" for c in range(6)])
print("min(count/3, 1) ", *[f"{min(c / 3, 1):5.2f}" for c in range(6)])

# %% [markdown]
# With such scores an example has a row of **soft targets** $t_c$ between 0 and 1 instead of one
# answer. Two losses fit. One divides the row by its sum $T = \sum_c t_c$, which gives a
# distribution, and uses $-\sum_c \frac{t_c}{T} \log p_c$. It must leave out the questions with
# $T = 0$, none of whose answers the model can give.
#
# The other loss, usual for VQA v2, treats each answer as a yes/no question of its own, "is this one
# right?", with $t_c$ in place of $y$. It sums the binary cross-entropies over the $C$ answers, and
# a row of zeros is no problem: every answer is a "no".

# %% [markdown]
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
# The same model with 13 logits, on all questions of the training pictures, for three passes. A
# batch has all questions about four pictures, which makes 900 updates per pass.


# %%
def answers_objective(model, batch):
    """Mean softmax cross-entropy of one batch."""
    # (batch, answers)
    logits = model(batch.images, batch.image_index, batch.x, batch.mask)
    return softmax_cross_entropy(logits, batch.y)


torch.manual_seed(lab.seed)
model = easy_vqa_model(train)
# The same numbers in another order in memory: convolutions run faster.
model = model.to(memory_format=torch.channels_last)
watched = validation.select(validation.image_index < 100)
curve = []  # (update, accuracy by what is asked)


def by_question(data, right):
    """Shares of right answers, yes/no questions split by what they ask for."""
    yes_no = data.family == data.families.index("yes/no")  # (questions,)
    asked = [data.questions[i] for i in yes_no.nonzero()[:, 0].tolist()]
    split = by_what_is_asked(asked, right[yes_no])
    shares = {f"yes/no, {kind}": split[kind] for kind in ("colour", "shape")}
    for family in ("colour", "shape"):
        rows = data.family == data.families.index(family)  # (questions,)
        shares[f"what {family}"] = right[rows].double().mean().item()
    return shares


def watch(update):
    """Notes what the model knows after every 150 updates."""
    if update % 150 == 149:
        right = evaluate(model, watched).right
        curve.append((update + 1, by_question(watched, right)))


# %%
history = fit(
    model,
    answers_objective,
    loader(train, images_per_batch=4, seed=lab.seed),
    validate=lambda m: evaluate(m, validation).accuracy,
    config=FitConfig(epochs=3, lr=1e-3, warmup=0.35, max_steps=lab.step_limit),
    device=lab.device,
    after_update=watch,
)
parameters = sum(p.numel() for p in model.parameters())
print(f"{parameters:,} weights, {len(history.loss):,} updates")

# %% [markdown]
# Now the test set. Read the column "all" first: what needs no picture, what the model reaches when
# every picture is exchanged for another one, what it reaches on pictures that it was trained on,
# and on new ones.

# %% tags=["result", "varies"]
swapped = test.shuffle_images(seed=lab.seed)
result, shuffled = evaluate(model, test), evaluate(model, swapped)
own = train.select(train.image_index < 500)  # of what it was trained on
rows = []
for name, data, right in (
    ("blind: most common answer to each question", test, blind.right),
    ("trained, pictures exchanged", test, shuffled.right),
    ("trained, 500 of its training pictures", own, evaluate(model, own).right),
    ("trained", test, result.right),
):
    shares = by_question(data, right)
    every = [right.double().mean().item(), *shares.values()]
    rows.append([name, *(f"{100 * share:.1f} %" for share in every)])
plots.table(rows, header=["right", "all", *shares])

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
# With exchanged pictures the trained model does not even fall back on the blind 67 %: it ends
# below. Does it describe the other picture, or is it only confused? The test set itself can tell.
# Often the same question was also asked about the picture that is now shown, and then we know its
# right answer *there*.
#
# > **Exercise 08.7 · write it** · core · difficulty 2 of 3 · 10 minutes
# >
# > `pictures[i]` is the number of the picture that was shown with `questions[i]`, and `said[i]` the
# > number of the model's answer. `truth` is a dictionary from (picture, question) to the number of
# > the right answer; many pairs are not in it. Return two counts. First: for how many questions is
# > (picture shown, question) in `truth`? Second: for how many of these is the model's answer the
# > one in `truth`?


# %%
def true_of_the_shown(pictures, questions, said, truth):
    """(questions whose truth is known, those of them that were answered so)."""
    ### BEGIN SOLUTION
    known = true = 0
    for picture, question, answer in zip(pictures, questions, said):
        fact = truth.get((picture, question))
        if fact is not None:  # an answer may have the number 0
            known += 1
            true += fact == answer
    return known, true
    ### END SOLUTION


# %%
true_of_the_shown = check("08.7", true_of_the_shown)

# %% tags=["result", "varies"]
pairs = list(zip(test.image_index.tolist(), test.questions))
truth = dict(zip(pairs, test.y.tolist()))
shown = (swapped.image_index.tolist(), test.questions)
known, true = true_of_the_shown(*shown, shuffled.predictions.tolist(), truth)
# whoever reads the other picture perfectly, scored by the labels of the first
_, by_chance = true_of_the_shown(*shown, test.y.tolist(), truth)
print(f"{known:,} questions whose answer about the shown picture is known")
print(f"answers that are true of the shown picture: {100 * true / known:.1f} %")
print(
    "a perfect reader of the wrong pictures would get"
    f" {100 * by_chance / known:.1f} % of the labels right"
)

# %%
lab.claim(
    "of 100 answers whose truth is known, 99 are true of the picture shown",
    true >= 0.99 * known,
)

# %% [markdown]
# So it describes the picture that it is shown. On these 1,133 questions a perfect reader of the
# wrong pictures loses as much. (Don't compare this share with that of the table: only half of the
# 1,133 are yes/no questions, of the whole test three quarters.) Is nearly 100 % a leak? Lesson 01
# looked: no test picture occurs in training.
#
# The [author of easy-VQA](https://github.com/vzhou842/easy-VQA-keras) reports 93.8 % for a small
# convolutional network after eight passes, and 99.5 % for a larger one on a regenerated dataset of
# twice the size. In his program the test set also decides which weights are saved, so the second
# may be a little optimistic. The first is the last of its eight passes.

# %% [markdown]
# What did the model learn first? Here are 100 validation pictures, looked at every 150 updates.

# %% tags=["figure", "varies"]
figure, axis = plt.subplots(figsize=(7, 3.6))
base = by_question(watched, mode_per_question(train, watched).right)
for i, name in enumerate(base):
    colour = plots.PALETTE[i]
    axis.plot(
        [update for update, _ in curve],
        [100 * found[name] for _, found in curve],
        "os^v"[i] + "-",
        color=colour,
        markersize=4,
        label=name,
    )
    axis.axhline(100 * base[name], color=colour, linestyle="--", linewidth=1)
axis.set(
    xlabel="update",
    ylabel="right on validation (%)",
    ylim=(0, 103),
    title="Each kind rises above its blind baseline (dashed) in its own time",
)
axis.legend(loc="lower right")
plots.show(
    figure,
    alt=(
        "Validation accuracy during training of what-colour, what-shape and"
        " two kinds of yes/no questions, each with its blind baseline as a"
        " dashed line."
    ),
)


# %%
def leaves(name):
    """The first update after which the kind is 5 points above blind."""
    above = [u for u, found in curve if found[name] > base[name] + 0.05]
    return min(above, default=math.inf)


lab.claim(
    "'what color?' leaves its blind baseline before any yes/no question does",
    leaves("what colour")
    < min(leaves("yes/no, colour"), leaves("yes/no, shape")),
)

# %% [markdown]
# "What color is the shape?" comes first. Yes/no questions stay at their baselines for some time
# while the model can already name colours. Keep that for section 7.
#
# ### What kind of answer does it give? · extra
#
# A confusion matrix counts, for each true answer (row), what was answered (column). Right answers lie
# on the diagonal. There may be hardly a mistake left, so here is the model with the pictures
# exchanged. Had it misread the *question*, it would answer a colour where a shape is true.

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
crossed = kind[shuffled.predictions.cpu()] != kind[test.y]  # (questions,)
lab.claim(
    "with exchanged pictures fewer than 1 in 100 answers are of another kind"
    " than the question",
    crossed.double().mean() < 0.01,
)

# %% [markdown]
# ## 6. Ask it, and break it · core
#
# The answer is read from `[CLS]`. Its attention in the last layer is the weight that it gives to each
# position. Below are the weights of the 16 patches, averaged over the heads: the smaller the weight,
# the darker the patch. These are coarse pointers. Each of the 16 features has seen 46x46 pixels
# around its patch, and where a model reads is not yet what it uses (lesson 05).

# %% tags=["figure", "varies"]
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
        f"{test.questions[row]}\n→ {test.answers[logits.argmax()]}", fontsize=9
    )
plots.show(figure, alt="Attention of the answer position over four pictures.")

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
    draw_shape,
    ask,
    test.answers,
    choices={"shape": SHAPES, "colour": tuple(COLOURS)},
    sliders={"size": (6, 60, 24), "x": (0, 63, 32), "y": (0, 63, 32)},
    question="what color is the shape?",
)

# %% tags=["figure", "varies"]
what = "what color is the "
cases = [
    (
        "as in training",
        draw_shape("circle", "teal", 26, 30, 34),
        what + "shape?",
    ),
    ("false premise", draw_shape("triangle", "red", 30), what + "circle?"),
    (
        "unknown word",
        draw_shape("rectangle", "blue", 30),
        "is there a purple shape?",
    ),
    (
        "nothing there",
        draw_shape("circle", "red", covered=True),
        "what shape is in the image?",
    ),
]
figure, axes = plt.subplots(1, 4, figsize=(11, 3.6))
for axis, (name, picture, question) in zip(axes, cases):
    probabilities, attention = ask(picture, question)
    plots.heat_over_image(axis, picture, attention)
    best = probabilities.argmax()
    axis.set_title(
        f"{name}\n{question}\n→ {test.answers[best]}"
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
# All test pictures look like the training pictures. What if they don't? Below are the questions
# about the first 300 of the 1,000 test pictures, with the pictures changed. To compare changes one
# must know how large they are: the column "size of the change" is the root mean square of what a
# pixel changes by, on a scale from 0 to 1.
#
# Before you run it, guess: what costs more, a little noise or a little less light? And is it the
# dark background that hurts, or the dark shape?


# %%
asked = test.select(test.image_index < 300)
original = asked.images.float() / 255  # (images, 3, 64, 64)
corner = original[:, :, :1, :1]  # (images, 3, 1, 1) the background's colour
shape = (original - corner).abs().amax(1, keepdim=True) > 0.24
noise = torch.randn(original.shape, generator=torch.Generator().manual_seed(0))
changes = {
    "unchanged": original,
    "upside down": original.flip(2),
    "noise": original + 0.1 * noise,
    "times 0.9": 0.9 * original,
    "times 0.7": 0.7 * original,
    "background alone times 0.7": original.where(shape, 0.7 * original),
    "shape alone times 0.7": original.where(~shape, 0.7 * original),
    "half the size": F.pad(
        F.avg_pool2d(original, 2), (16,) * 4, mode="replicate"
    ),
}
broken, sizes = {}, {}
for name, images in changes.items():
    images = images.clamp(0, 1)  # (images, 3, 64, 64)
    sizes[name] = (images - original).square().mean().sqrt().item()
    changed = replace(asked, images=(images * 255).round().byte())
    broken[name] = evaluate(model, changed)

# %% tags=["result", "varies"]
blind_asked = mode_per_question(train, asked).by_family.values()
rows = [["blind, whatever the picture", "", *blind_asked]]
for name, found in broken.items():
    rows.append([name, f"{sizes[name]:.2f}", *found.by_family.values()])
for row in rows:
    row[2:] = [f"{100 * share:.0f} %" for share in row[2:]]
plots.table(rows, header=["pictures", "size of the change", *test.families])
recognised = broken["upside down"].right.double()  # (questions,)
by_shape = {
    name: recognised[asked.y == asked.answers.index(name)].mean().item()
    for name in SHAPES
}
print(
    "upside down,",
    ", ".join(f"{name} {100 * of:.0f} %" for name, of in by_shape.items()),
)

# %%
lost = {name: 1 - found.by_family["shape"] for name, found in broken.items()}
lab.claim(
    "upside down, no more than 1 in 10 triangles is recognised, and at least 9"
    " in 10 circles and rectangles",
    by_shape["triangle"] <= 0.1
    and min(by_shape["circle"], by_shape["rectangle"]) >= 0.9,
)
lab.claim(
    "a darker background costs more shapes than a darker shape",
    lost["background alone times 0.7"] > lost["shape alone times 0.7"],
)

# %% [markdown]
# Upside down, circles and rectangles are what they were. But hardly any of the triangles, which now
# stand on their tip, is recognised: training never showed such a thing.
#
# Times 0.7 looks like a small change, but it moves pixels more than three times as far as the noise
# does. Times 0.9 is about as large as the noise, and costs less. What takes the shapes away at
# times 0.7 is the background alone: in training it is always nearly white.

# %% [markdown]
# ## 7. Yes or no, once more · core
#
# Section 3 left a puzzle: the network, trained on yes/no questions alone, was no better than blind.
# It is not too small: in section 5, with other questions beside them, it answered nearly all of
# them. Was it only too short? Section 3 made 450 updates, section 5 made 2,700. That is one
# possible answer, and it is not tested here. We test another one.
#
# An explanation that comes to mind is **features**. A yes/no question is mostly answered by its
# prior, and what is left needs features that don't exist yet. "What color is the shape?" has hardly
# a prior, so it teaches the convolutions from the first update on. The curves of section 5 look
# like that.

# %% [markdown]
# So let us give it the features. The stem of the course's shipped model knows every colour and
# shape; we freeze it. A new encoder learns to name colours and shapes from its features, in one
# pass over the "what" questions. Then it gets a head with one logit, and two passes over the yes/no
# questions alone; the better pass by validation is kept. If only features were missing, the yes/no
# questions are learnt now.
#
# That takes some minutes, so the runs were made once, with two seeds, by the command that is printed.

# %%
kept = json.loads(
    lab.data_path("studies/yes_no_runs.json").read_text(encoding="utf-8")
)
print(kept["made"]["command"])
plain = [r for r in kept["runs"] if r["kind"] == "as they are"]
even = [r for r in kept["runs"] if r["kind"] == "weighted evenly"]
named = ", ".join(f"{100 * r['named']:.1f}" for r in plain)
print(f"'what color?' and 'what shape?', right before, two seeds (%): {named}")
blind_split = by_what_is_asked(yes_no_test.questions, blind_test.right)
is_colour = [
    any(word in COLOURS for word in question.rstrip("?").split())
    for question in yes_no_test.questions
]
share = sum(is_colour) / len(is_colour)  # of the yes/no questions
for r in plain:
    every = share * r["test"]["colour"] + (1 - share) * r["test"]["shape"]
    print(
        f"yes/no questions of the test set, seed {r['seed']}:"
        f" {100 * every:.1f} % right; blind {100 * blind_test.accuracy:.1f} %"
    )

for learnt, other in (("colour", "shape"), ("shape", "colour")):
    weight = share if learnt == "colour" else 1 - share
    every = weight + (1 - weight) * blind_split[other]
    print(
        f"all questions for a {learnt} right, the others as the blind:"
        f" {100 * every:.1f} %"
    )

# %% [markdown]
# Both runs are far above blind now. "So it was the features", one would write, and go on. But what
# was learnt? The last two lines say that this number can't tell: colours alone and shapes alone
# would give the same. Here are the runs split by what is asked. The last row is explained below.

# %%
shares = [f"{100 * blind_split[kind]:.1f} %" for kind in ("colour", "shape")]
rows = [["blind", *shares, "", ""]]
for name, runs in (
    ("yes/no questions as they are", plain),
    ("each wording weighted evenly", even),
):
    cells = [
        ", ".join(f"{100 * r[part][kind]:.1f} %" for r in runs)
        for part in ("test", "train")
        for kind in ("colour", "shape")
    ]
    rows.append([name, *cells])
plots.table(
    rows,
    header=[
        "right, seeds 0 and 1",
        "test: for a colour",
        "for a shape",
        "own training: for a colour",
        "for a shape",
    ],
)

# %%
lab.claim(
    "every run answers 95 % of the yes/no questions for a shape, and not one is"
    " a point above blind on those for a colour",
    min(r["test"]["shape"] for r in plain) > 0.95
    and max(r["test"]["colour"] for r in plain) < blind_split["colour"] + 0.01,
)
for r in kept["runs"]:
    print(
        f"{r['kind']}, seed {r['seed']}: validation after each pass (%)",
        *(
            f"{kind} {100 * seen[kind]:.1f}"
            for seen in r["validation"]
            for kind in ("colour", "shape")
        ),
    )
lab.claim(
    "with even weights no run is 5 points away from one half on the questions"
    " for a colour",
    all(abs(r["test"]["colour"] - 0.5) < 0.05 for r in even),
)

# %% [markdown]
# The whole gain is in the questions for a shape. Questions for a colour, nearly three quarters of
# all, are answered as the blind do, by a model that names every colour. So with this start
# (features, and an encoder that can name things) one half of the puzzle is solved and the other is
# not. Which part of the start did it, these runs don't tell. The mean over both halves hid even
# that there are two.
#
# What separates the two kinds? The **prior**: a colour is there in one case of eight, a shape in one
# of three. Perhaps a strong prior leaves the loss too little to gain. The last row tests that. Its
# loss weighs the examples so that each wording has as much "yes" as "no", and the question alone
# tells nothing any more.

# %% [markdown]
# Then the colours stay near one half: within two passes they are learnt no better without their
# prior than with it. The shapes come more slowly than before, at one seed not at all. (At the other
# seed the second pass had more of the shapes right, and fewer colours. Over all questions its first
# pass was better, and that one was kept.) So the prior does not explain which kind is learnt. Why
# the network of section 5 learns both, these runs don't tell. What they do tell: **before you
# explain a mean, split it.**

# %% [markdown]
# ## 8. Two ways to a wrong number · extra
#
# A model may be fine, and its accuracy computed wrongly. Two ways to do that are common.
#
# > **Exercise 08.8 · write it** · extra · difficulty 1 of 3 · 5 minutes
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
encode_answers = check("08.8", encode_answers)

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
# > **Exercise 08.9 · write it** · extra · difficulty 2 of 3 · 10 minutes
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
accuracies = check("08.9", accuracies)

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


# %% tags=["figure"]
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

# %% tags=["figure"]
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
# nothing is shuffled. Each of the fourteen is avoided by something that this lesson uses: a model
# that takes words *and* features, a loss that we derived, `fit`, a `Batch` that always holds `y`
# and each distinct picture once, and `evaluate` on a split that was not trained on.

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
#
# A fixed list of answers is the older way. Newer models write their answer word by word, as lesson
# 03's do, and the official score then asks for an exact match with what people wrote. That punishes
# a right answer in other words ([Mañas et al. 2023](https://arxiv.org/abs/2310.02567)).

# %% [markdown]
# ## 11. What you know now · core
#
# - Cross-entropy is the negative log-likelihood, and its gradient is what was said minus what was true.
# - It is computed from logits, never from probabilities.
# - A blind model's loss can't get below the entropy of the answers given the questions.
# - A falling loss may only mean that the prior is being learnt. The blind baseline and exchanged
#   pictures tell you.
# - One accuracy may hide that one kind of question was learnt and another not at all: split it.
# - Choose on validation pictures, report on test pictures, and split by picture.

# %%
quiz(
    [
        (
            "A model reaches 67 % on easy-VQA. What has it learnt about"
            " pictures?",
            "Nothing that shows: blind reaches the same. Look at each"
            " family, and exchange the pictures.",
        ),
        (
            "Two models are compared with a blind one. Why by family?",
            "Blind is right on 82 % of yes/no and 13 % of colour questions. A"
            " mean over both hides which of them were learnt from pictures.",
        ),
        (
            "A model says yes with p = 0.9 and the answer is no. What is"
            " the gradient of the loss with respect to z?",
            "p - y = 0.9.",
        ),
        (
            "With exchanged pictures a model keeps its accuracy. What follows?",
            "It does not use the pictures. A model that does loses much of"
            " its accuracy.",
        ),
        (
            "A training loss stops at the entropy of the answers given the"
            " questions. What has been learnt?",
            "How often each question is answered how. Nothing from pictures"
            " is needed for that.",
        ),
    ]
)

# %% [markdown]
# **Papers.** Antol et al. 2015, *VQA: Visual Question Answering*
# ([arXiv 1505.00468](https://arxiv.org/abs/1505.00468)): the task and the ten-people score. Goyal et
# al. 2017, *Making the V in VQA Matter* ([1612.00837](https://arxiv.org/abs/1612.00837)): balances
# VQA with pairs of similar pictures with different answers, because blind models were too good.
# Agrawal et al. 2018, *Don't Just Assume; Look and Answer*
# ([1712.00377](https://arxiv.org/abs/1712.00377)): VQA-CP, whose training and test answers have
# different priors, so that the blind guess fails; models fell far there. Teney
# et al. 2018, *Tips and Tricks for Visual Question Answering: Learnings from the 2017 Challenge*
# ([1708.02711](https://arxiv.org/abs/1708.02711)): shows by ablation that soft scores with sigmoid
# outputs are among the choices that matter. Li et al. 2019, *VisualBERT*
# ([1908.03557](https://arxiv.org/abs/1908.03557)): the single-stream design used here. It reads detected
# regions and starts from BERT. The benchmark: [easy-VQA](https://github.com/vzhou842/easy-VQA).
#
# **Next:** lesson 09 opens `fit` and takes training itself apart.

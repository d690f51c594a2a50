# ---
# jupyter:
#   course:
#     title: Measuring honestly
#     needs: ["05", "08"]
# ---

# %% [markdown]
# A number in a table looks like a fact. It is the outcome of a small experiment: some questions,
# some pictures, one training, one metric that somebody chose. This lesson asks what such a number
# can bear.
#
# In this lesson you will
#
# - meet a model that is right in 95 % of the cases and is good for nothing;
# - build precision, recall, F1, ROC and calibration, each equal to scikit-learn's or
#   torchmetrics';
# - see when the usual standard error is too small because questions share a picture;
# - decide whether one model is better than another, or only luckier, and whether one *recipe* is;
# - guess how sure a model is on dark pictures, and measure it;
# - see accuracies fall on combinations that were never shown, and on answers that are
#   distributed differently, though the test on data like the training data promised much;
# - browse what a model gets wrong, and count why.

# %% tags=["setup"]
import json
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
from course_utils.checks import check, hint, quiz
from course_utils.datasets.world_vqa import WORLD_FAMILIES, world_data
from course_utils.evaluation import metrics
from course_utils.evaluation.evaluate import predict_logits
from course_utils.evaluation.intervals import (
    bootstrap,
    mcnemar,
    paired_difference,
    standard_error,
    wilson,
)
from course_utils.methods.answering import world_model
from course_utils.models.weights import load_weights
from course_utils.notebook import lab, plots, widgets
from course_utils.studies import generalisation
from course_utils.world import COLOURS, SHAPES, generate
from scipy import stats
from sklearn import metrics as sklearn_metrics
from torchmetrics.classification import MulticlassCalibrationError

# %% [markdown]
# ## 1. Right in 95 % of the cases · core
#
# A camera looks into a room, and a model answers one question about every picture: *is there ...?*
# Nearly always there is not. We take the questions *is there a ...* of our world and keep all "no"
# and as many "yes" as make 5 %. Two models: one from lesson 05, and one that always says no.

# %% [markdown]
# The cell loads nine trained models of lesson 05 (joint, late, cross; three seeds each) and asks
# each of them all test questions once; the whole lesson lives on these answers. For the camera it
# takes one of the weaker ones, which says yes where its logit for "yes" is the larger one.

# %%
test = world_data("test", 2000)
names = [
    f"world_{fusion}_{seed}"
    for fusion in ("joint", "late", "cross")
    for seed in range(3)
]


def trained(name):
    """A model of lesson 05 with its shipped weights."""
    model = world_model(test, name.split("_")[1])
    load_weights(model, lab.data_path(f"checkpoints/{name}.safetensors"))
    return model


# of every question, by every model: (questions, answers)
logits = {name: predict_logits(trained(name), test) for name in names}
# (questions,) bool each
right = {name: logits[name].argmax(1) == test.y for name in names}

# %%
YES, NO = (test.answers.index(word) for word in ("yes", "no"))
is_there = test.family == test.families.index("exists")  # (questions,)
no = (is_there & (test.y == NO)).nonzero()[:, 0]
yes = (is_there & (test.y == YES)).nonzero()[: len(no) // 19, 0]
room = torch.cat([no, yes])  # question numbers
there = test.y[room] == YES  # (room,)
# (room,)
score = logits["world_joint_1"][room, YES] - logits["world_joint_1"][room, NO]
alarm = {
    "always no": torch.zeros(len(room), dtype=torch.bool),
    "the model": score > 0,
}
for name, said in alarm.items():
    print(
        f"{name:10} right in"
        f" {100 * metrics.accuracy(said.long(), there.long()):.1f} % of"
        f" {len(room)} cases; finds {int((said & there).sum())} of"
        f" {int(there.sum())}"
    )

lab.claim(
    "by accuracy the model that never looks beats this one",
    metrics.accuracy(alarm["always no"].long(), there.long())
    > metrics.accuracy(alarm["the model"].long(), there.long()),
)

# %% [markdown]
# By accuracy the model that never looks beats this one, and by far. What a model is *for* is not
# in that number. The **confusion matrix** (lesson 08) has it all:

# %%
table = metrics.confusion_matrix(alarm["the model"].long(), there.long(), 2)
plots.table(
    [
        ["nothing there", str(int(table[0, 0])), str(int(table[0, 1]))],
        ["something there", str(int(table[1, 0])), str(int(table[1, 1]))],
    ],
    ["the model says", "no", "yes"],
)

# %% [markdown]
# Of all that the model called "yes", what share really is "yes"? That is **precision**. Of all that
# really is "yes", what share did it find? That is **recall**. With $TP$ for the hits (here 65),
# $FP$ for the false alarms (156), $FN$ for what was missed (1), and $TN$ for the right "no" (1114),
#
# $$P = \frac{TP}{TP + FP}, \qquad R = \frac{TP}{TP + FN},$$
#
# $$F_1 = \frac{2PR}{P + R} = \frac{2\,TP}{2\,TP + FP + FN} .$$

# %% [markdown]
# $F_1$ is the *harmonic* mean: it lies nearer to the smaller of the two. A model that calls
# everything "yes" has $R = 1$ and $P = 0.05$: the arithmetic mean would be above 0.5, $F_1$ is
# below 0.1. (Recall at $k$ in lesson 07 asks, search by search, whether anything right was found.
# This recall asks of all positives how many were found.)

# %%
mine = metrics.precision_recall(alarm["the model"].long(), there.long(), 2)
theirs = sklearn_metrics.precision_recall_fscore_support(
    there, alarm["the model"]
)
print(
    f"precision {100 * mine.precision[1]:.1f} %, recall"
    f" {100 * mine.recall[1]:.1f} %, F1 {100 * mine.f1[1]:.1f} %"
)
lab.claim(
    "precision, recall and F1 equal scikit-learn's to 1e-12",
    all(abs(torch.tensor(b) - a).max() < 1e-12 for a, b in zip(mine, theirs)),
)

# %% [markdown]
# 156 false alarms: is it a bad model? It was trained where half of these questions are answered
# yes, and its threshold is right for that world; here one in twenty is. Section 2 moves the
# threshold. And precision isn't the model's alone. Let the positives get rarer, while positives and
# negatives look as before: recall and the share of false alarms among the negatives stay what they
# are, but precision and $F_1$ fall. Never compare precision or $F_1$ between test sets whose shares
# of positives differ.

# %% [markdown]
# > **Exercise 10.1 · choose and justify** · core · difficulty 1 of 3 · 5 minutes
# >
# > The camera is in the flat of somebody who may fall. 95 % of all pictures are normal. A message
# > is sent when the model's score is above a threshold that the family sets. By what do you choose
# > between two models?
# >
# > - **a** accuracy: it counts every picture.
# > - **b** the mean of the two classes' F1: both classes count alike.
# > - **c** recall and precision of "fallen" at every threshold: what can be found, at the price of
# >   which alarms.
# > - **d** the loss: it is what was trained.

# %%
the_metric = None
### BEGIN SOLUTION
the_metric = "c"
### END SOLUTION

# %%
the_metric = check("10.1", the_metric)

# %% [markdown]
# ### One number for many classes
#
# With many classes there is a precision, a recall and an $F_1$ for each. **Macro** averages over
# classes: each class counts as much, however rare. **Micro** sums the counts first: each *example*
# counts as much, and where every example has one class it is the accuracy. Neither is wrong; they
# answer different questions. (What is wrong is a mean of the batches' means: exercise 00.4.)

# %% [markdown]
# > **Exercise 10.2 · write it** · core · difficulty 2 of 3 · 8 minutes
# >
# > Macro $F_1$ from a confusion matrix: the $F_1$ of each class, then their mean. For one class,
# > all others together are "not this class". A class that neither occurs nor is said has no $F_1$
# > and is left out; a class that occurs and is never said has 0, and so has one that is said and
# > never occurs.


# %%
def macro_f1(table):
    """table (classes, classes) counts, row: true, column: said -> a number."""
    ### BEGIN SOLUTION
    hits = table.diagonal().double()  # (classes,)
    # the row of a class has its hits and what was missed,
    # the column its hits and false alarms
    both = table.sum(0) + table.sum(1)  # (classes,)
    return (2 * hits / both)[both > 0].mean().item()
    ### END SOLUTION


# %%
macro_f1 = check("10.2", macro_f1)

# %%
for name, said in alarm.items():
    counts = metrics.confusion_matrix(said.long(), there.long(), 2)  # (2, 2)
    theirs = sklearn_metrics.f1_score(there, said, average="macro")
    print(
        f"{name:10} macro F1 {100 * macro_f1(counts):.1f} %, micro F1 ="
        " accuracy "
        f"{100 * metrics.f1_score(said.long(), there.long(), 2, 'micro'):.1f} %"
    )
    lab.claim(
        "macro F1 equals scikit-learn's to 1e-6",
        abs(macro_f1(counts) - theirs) < 1e-6,
    )

# %% [markdown]
# By macro the model wins, by micro the one that always says no.

# %% [markdown]
# ## 2. Every threshold at once · core
#
# The model gives a score; somebody sets the threshold. The **ROC curve** shows all thresholds: how
# many of the positives are found ($y$) against how many of the negatives are taken for positive
# ($x$). The area under it, **AUC**, has a meaning of its own:
#
# $$\mathrm{AUC} = P(\text{score of a positive} > \text{score of a negative})
#   + \tfrac12 P(\text{equal}) .$$

# %% [markdown]
# Why: walk along the curve from the left, lowering the threshold. Let $N_+$ and $N_-$ be the
# numbers of positives and negatives. Each negative moves the curve one step to the right, by
# $1/N_-$, at the height that is reached then: the share of positives with a *higher* score. The
# area is the mean of that share over all negatives, which is the probability above.

# %% [markdown]
# To count it, sort all scores; the lowest gets rank 1. A positive at rank $r_i$ beats $r_i - 1$
# others. Over all positives that makes $\sum_i r_i - N_+$ victories. Among themselves the
# positives have $0 + 1 + \dots + (N_+ - 1) = N_+ (N_+ - 1) / 2$ of these, which don't count. What
# is left is $\sum_i r_i - N_+ (N_+ + 1) / 2$, out of $N_+ N_-$ pairs:
#
# $$\mathrm{AUC} = \frac{\sum_i r_i - N_+ (N_+ + 1) / 2}{N_+ N_-} ,$$
#
# where equal scores share the mean of their ranks. So AUC can be computed without a threshold and
# without drawing the curve.

# %% [markdown]
# The **precision-recall curve** goes through the same thresholds and draws precision against
# recall. Its summary is the **average precision**: go down the list from the highest score, note
# the precision at each positive that you meet, and take the mean of these notes. A perfect order
# gives 1; chance gives about the share of positives, here 0.05.

# %% [markdown]
# > **Exercise 10.3 · write it** · core · difficulty 2 of 3 · 12 minutes
# >
# > AUC by either formula. Mind equal scores.


# %%
def area_under_roc(scores, positive):
    """scores (n,) float, positive (n,) bool -> a number from 0 to 1."""
    ### BEGIN SOLUTION
    # (positives, 1), (negatives,)
    a, b = scores[positive][:, None], scores[~positive]
    # over (positives, negatives)
    return ((a > b).double() + 0.5 * (a == b)).mean().item()
    ### END SOLUTION


# %%
area_under_roc = check("10.3", area_under_roc)

# %%
scores = {
    name: logits[name][room, YES] - logits[name][room, NO]
    for name in ("world_joint_1", "world_late_0", "world_cross_0")
}  # (room,) each
for name, s in scores.items():
    area = area_under_roc(s, there)
    average = metrics.average_precision(s, there)
    best = max(((s > t) == there).double().mean().item() for t in s.unique())
    print(
        f"{name:14} AUC {area:.3f}, average precision {average:.3f}, accuracy"
        f" at the best threshold {100 * best:.1f} %"
    )
    lab.claim(
        "both equal scikit-learn's to 1e-9",
        max(
            abs(area - sklearn_metrics.roc_auc_score(there, s)),
            abs(average - sklearn_metrics.average_precision_score(there, s)),
        )
        < 1e-9,
    )

# %% tags=["figure"]
figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.6))
for i, (name, s) in enumerate(scores.items()):
    for axis, curve in zip(
        axes,
        (metrics.roc_curve(s, there), metrics.precision_recall_curve(s, there)),
    ):
        axis.plot(
            100 * curve.x,
            100 * curve.y,
            plots.DASHES[i],
            color=plots.PALETTE[i],
            label=name,
        )
axes[0].set(
    xlabel="false alarms of all negatives (%)",
    ylabel="found of all positives (%)",
    title="ROC",
)
axes[1].set(
    xlabel="recall (%)", ylabel="precision (%)", title="precision and recall"
)
axes[0].plot([0, 100], [0, 100], color="grey", linewidth=1, label="chance")
axes[1].axhline(100 * there.double().mean(), color="grey", linewidth=1)
axes[0].legend(fontsize=8)
figure.tight_layout()
plots.show(
    figure,
    alt=(
        "Left: ROC curves of three models, all near the upper left corner."
        " Right: precision against recall for the same models: two fall off"
        " early, one stays at the top. A grey line in each is chance."
    ),
)

# %% [markdown]
# The same scores, two pictures. With 19 negatives for each positive, a false-alarm rate of 5 %
# looks small on the left. But 5 % of 19 is nearly one false alarm for each positive, so the
# precision there is at most about a half. To find the last positives, these two models need even
# more false alarms: see the right end of their curves. (There each curve drops straight down:
# behind the last positive only negatives are left.) When positives are rare, look at the right one.

# %% [markdown]
# At its best threshold the model of section 1 does beat the one that never looks, by accuracy too.
# (That threshold was chosen on the test, so the number is a little too good.) And "1.000" rests on
# 66 positives. How much can so few tell? Section 3 asks.

# %% [markdown]
# ## 3. How sure is a percentage? · core
#
# Another draw of test questions would have given another number. For $n$ *independent* answers, of
# which a share $p$ is right, the standard error is $\sqrt{p(1-p)/n}$, and $p \pm 2$ standard
# errors holds the true value in about 95 % of all such draws. But our questions come in fours:
# four about each picture. Is an answer about a picture independent of the others about it?

# %% [markdown]
# > **Exercise 10.4 · predict** · core · difficulty 1 of 3 · 3 minutes
# >
# > 500 questions about 125 pictures, 80 % right. Half the width of the 95 % interval, in
# > percentage points?

# %%
my_width = None
### BEGIN SOLUTION
my_width = 3.6
### END SOLUTION

# %%
my_width = check("10.4", my_width)

# %% tags=["result"]
some = test.image_index < 125  # (questions,)
few, groups = right["world_late_0"][some].double(), test.image_index[some]
p = few.mean().item()
# points
alone, together = 200 * standard_error(few), 200 * standard_error(few, groups)
print(f"predicted:          ± {my_width:.1f} points")
print(f"{len(few)} questions about 125 pictures, {100 * p:.1f} % right")
print(f"as if independent:  ± {alone:.1f} points")
print(
    f"by picture:         ± {together:.1f} points; the square is"
    f" {(together / alone) ** 2:.1f} times as large"
)
found = wilson(int(few.sum()), len(few))
print(
    f"Wilson's interval, as if independent: {100 * found.low:.1f} to"
    f" {100 * found.high:.1f} %"
)

# %% [markdown]
# Two standard errors of 500 independent answers, 80 % right, would be 3.6 points. The line "by
# picture" sums the deviations *within* each picture before it squares them:
#
# $$\mathrm{se}^2 = \frac{1}{n^2} \frac{G}{G - 1} \sum_{g=1}^{G} \Bigl(\sum_{i \in g}
#   (z_i - \bar z)\Bigr)^2 ,$$
#
# with $G$ pictures, $z_i = 1$ for a right answer and 0 for a wrong one, and $\bar z$ for their
# mean. If the answers of a picture go together, the inner sums are large: take ten answers about
# one picture. If all are alike, the sum is ten deviations, and its square is 100 squared
# deviations. If they are independent, plus and minus cancel in part, and the square is about 10. In
# between, with $m$ answers per picture whose correlation is $\rho$, $\mathrm{se}^2$ is $1 + (m -
# 1)\rho$ times that of independent answers. This factor is the **design effect**. How large is it
# on all 2,000 pictures, for each of the nine models?
#
# (Wilson's interval is for shares near 0 or 1: it stays inside 0 to 100 %, where $p \pm 2$
# standard errors may not, and where all answers are right it isn't empty.)

# %%
effect = {}
for name in names:
    values = right[name].double()  # (questions,)
    errors = standard_error(values), standard_error(values, test.image_index)
    effect[name] = (errors[1] / errors[0]) ** 2
plots.table(
    [
        [f, *(f"{effect[f'world_{f}_{seed}']:.2f}" for seed in range(3))]
        for f in ("joint", "late", "cross")
    ],
    ["design effect", "seed 0", "seed 1", "seed 2"],
)
lab.claim(
    "questions of a picture go together for joint and late, not for cross",
    all((effect[name] > 1.1) == ("cross" not in name) for name in names),
)

# %% [markdown]
# So the design effect depends on the model, and it can be 1, which is no effect: where nearly all
# answers are right, perhaps no picture is hard. And from few pictures, such as the 125 above, the
# factor itself is uncertain. In other data it can be a factor of $\sqrt{10}$ in the width, where
# ten questions stand or fall together. Miller 2024 ([arXiv
# 2411.00640](https://arxiv.org/abs/2411.00640)) shows the same computation for the tests of large
# language models.

# %% [markdown]
# Formulas exist for means. For anything else (F1, AUC, a difference of medians) there is the
# **bootstrap**: draw from the data, with replacement, as many as there are; compute the statistic;
# repeat; the middle 95 % of what comes out is the interval.

# %% [markdown]
# > **Exercise 10.5 · write it** · core · difficulty 3 of 3 · 15 minutes
# >
# > The bootstrap of the accuracy, by picture. In each of `draws` rounds draw as many pictures as
# > there are, with replacement and with `generator`. Take all questions of each; a picture that is
# > drawn twice counts twice. Return the share of right answers of each round. Pictures have
# > different numbers of questions, in any order, and picture numbers may have gaps.


# %%
def bootstrap_means(right, picture, draws, generator):
    """right (n,) bool, picture (n,) number of each question's picture ->
    float tensor (draws,)."""
    ### BEGIN SOLUTION
    rows = [(picture == number).nonzero()[:, 0] for number in picture.unique()]
    means = []
    for _ in range(draws):
        picked = torch.randint(
            len(rows), (len(rows),), generator=generator
        ).tolist()
        means.append(
            right[torch.cat([rows[i] for i in picked])].double().mean()
        )
    return torch.stack(means)  # (draws,)
    ### END SOLUTION


# %%
bootstrap_means = check("10.5", bootstrap_means)

# %%
# (draws,)
drawn = bootstrap_means(few, groups, 1000, torch.Generator().manual_seed(0))
low, high = (100 * drawn.quantile(share).item() for share in (0.025, 0.975))
print(
    f"the 500 questions again, bootstrap by picture: ± {(high - low) / 2:.1f}"
    " points"
)

# %% [markdown]
# **Draw again what was drawn independently**: pictures, patients, users, not questions.
#
# Now the average precision of section 2, which rests on 66 positives:


# %%
def precision_of(column):
    """The average precision of the scores in a column; column 2 is `there`."""
    return lambda rows: metrics.average_precision(
        rows[:, column], rows[:, 2] > 0
    )


pair = scores["world_joint_1"], scores["world_late_0"]
rows = torch.stack([*pair, there], 1).double()  # (room, 3)
about = test.image_index[room]  # (room,)
for name, statistic in (
    ("world_joint_1", precision_of(0)),
    ("world_late_0", precision_of(1)),
    ("late - joint", lambda r: precision_of(1)(r) - precision_of(0)(r)),
):
    found = bootstrap(rows, about, statistic, draws=200)
    print(
        f"{name:14} average precision {found.value:+.2f} ({found.low:+.2f} to"
        f" {found.high:+.2f})"
    )
print(
    f"none of {int(there.sum())} wrong: the truth may be up to"
    f" {300 / int(there.sum()):.1f} % wrong"
)

# %% [markdown]
# Each of the two is known to about 0.1 only, and the two intervals overlap. The third line draws
# the same cases for both models and looks at the difference: it doesn't hold 0. Why that can be is
# the next section.
#
# The last line is for the AUC of 1.000: none of the positives stands below a negative. The
# bootstrap can't help there: 66 perfect ranks, drawn again, are perfect. The **rule of three**
# does: if $3/n$ of all cases went wrong, none of $n$ would in only one test of twenty, since $(1 -
# 3/n)^n \approx e^{-3}$.

# %% [markdown]
# ### Does it keep its promise? · extra
#
# Does such an interval keep its promise? Only a world in which the truth is known can tell. Forty
# pictures with ten questions each; each picture has its own ease, drawn between 0 and 1; the true
# accuracy is 50 %. Two hundred such tests, a 95 % interval for each, by question and by picture:


# %%
def covered(by_picture, tests=200):
    """How many intervals hold the true 50 %, and their mean half width."""
    generator, hits, half = torch.Generator().manual_seed(0), 0, 0.0
    picture = torch.arange(40).repeat_interleave(10)  # (400,)
    for test_number in range(tests):
        # (400,)
        ease = torch.rand(40, generator=generator).repeat_interleave(10)
        # (400,)
        answers = (torch.rand(400, generator=generator) < ease).double()
        found = bootstrap(
            answers,
            picture if by_picture else None,
            draws=300,
            seed=test_number,
        )
        hits += found.low <= 0.5 <= found.high
        half += 100 * found.half / tests
    return hits, half


coverage = {
    name: covered(flag)
    for name, flag in (("by question", False), ("by picture", True))
}
for name, (hits, half) in coverage.items():
    print(
        f"{name}: {hits} of 200 intervals hold the truth; half width {half:.1f}"
        " points"
    )
lab.claim(
    "by question fewer than 160 of 200, by picture more than 175",
    coverage["by question"][0] < 160 and coverage["by picture"][0] > 175,
)

# %% [markdown]
# An interval that ignores the pictures promises 95 % and delivers far less. (186 of 200 is a little
# below 95 %. That is within what 200 tests can tell, and with forty pictures the bootstrap is
# indeed a little too narrow.)

# %% [markdown]
# ## 4. Better, or luckier? · core
#
# Two models answered the *same* questions. Each has an interval, and the intervals overlap. That
# says little: hard questions are hard for both. What counts is the difference *question by
# question*.
#
# The test beside that interval is McNemar's. Questions that both get right or both get wrong say
# nothing. Of the others, if the models were equally good, half would fall to each side, like a
# coin. The **p-value** is the probability that a fair coin would fall at least as unevenly as it
# did: 0.05 means one time in twenty. It is *not* the probability that the models are equal. (It
# takes questions for independent; the interval by picture doesn't need to.)


# %%
def compare(a, b, rows):
    """The models' difference on some questions, its interval by picture."""
    found = paired_difference(
        right[a][rows], right[b][rows], test.image_index[rows]
    )
    p = mcnemar(right[a][rows], right[b][rows])
    ends = f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"
    verdict = "0 is inside" if found.low <= 0 <= found.high else "0 is outside"
    print(
        f"{a} - {b}: {100 * found.value:+.1f} points ({ends}), {verdict};"
        f" McNemar's p = {p:.2g}"
    )
    return found


# %%
everything = torch.ones(len(test), dtype=torch.bool)
large = {
    other: compare("world_joint_0", other, everything)
    for other in ("world_joint_1", "world_late_0")
}
apart = bootstrap(right["world_joint_0"].double(), test.image_index)
print(
    f"for one of them alone: ± {100 * apart.half:.1f} points, for the last"
    f" difference: ± {100 * large['world_late_0'].half:.1f}"
)

# %% [markdown]
# The last line is the reason for pairing. Two separate intervals of ± 0.9 would give the
# difference $\pm \sqrt{0.9^2 + 0.9^2} \approx 1.3$. Asked question by question it is ± 0.8.
#
# `world_joint_0` and `world_joint_1` are two trainings of one recipe, with two seeds; 0 is inside.
# `world_late_0` is a little worse, and 8,000 questions are enough to see it. Would 400 be? Cut the
# test into 20 blocks of 100 pictures, and let each block be somebody's whole test. In the figure, a
# dot is the difference that one block finds, and the bar is its interval. Orange bars don't hold 0:
# these blocks "find" a difference. The dashed line is the difference on all questions.

# %%
blocks = {}
for other in large:
    blocks[other] = []
    for k in range(20):
        rows = test.image_index // 100 == k  # (questions,)
        found = paired_difference(
            right["world_joint_0"][rows],
            right[other][rows],
            test.image_index[rows],
        )
        blocks[other].append(found)
outside = {
    other: [100 * b.value for b in found if not b.low <= 0 <= b.high]
    for other, found in blocks.items()
}

# %% tags=["figure"]
figure, axes = plt.subplots(1, 2, figsize=(8.4, 3), sharey=True)
for axis, (other, found) in zip(axes, blocks.items()):
    for k, b in enumerate(found):
        seen = not b.low <= 0 <= b.high
        axis.plot(
            [k + 1, k + 1],
            [100 * b.low, 100 * b.high],
            color=plots.PALETTE[1] if seen else "grey",
        )
        axis.plot(k + 1, 100 * b.value, "o", ms=4, color="black")
    truth = 100 * large[other].value
    axis.axhline(truth, color=plots.PALETTE[0], linestyle="--")
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(
        xlabel="block of 100 pictures",
        xticks=(1, 5, 10, 15, 20),
        title=f"joint_0 - {other[6:]}: {len(outside[other])} of 20 leave 0 out",
    )
    axis.title.set_size(10)
axes[0].set_ylabel("difference (points)")
figure.tight_layout()
plots.show(
    figure,
    alt=(
        "Twenty intervals of a difference for two pairs of models; those that"
        " leave 0 out are marked, and lie far above the dashed line of the"
        " difference on all questions."
    ),
)

# %% tags=["figure"]
for other, values in outside.items():
    print(
        f"joint_0 - {other[6:]}: on all questions"
        f" {100 * large[other].value:+.1f} points; in the blocks that leave 0"
        f" out {', '.join(f'{value:+.1f}' for value in values)}"
    )
found = outside["world_late_0"]
print(f"the mean of the last: {sum(found) / len(found):+.1f} points")
step = 100 * large["world_late_0"].half / 1.96  # standard error, in points
print(
    "to see a true difference of 1 point four times out of five:"
    f" {round(len(test) * (2.8 * step) ** 2, -3):,.0f} questions"
)

# %%
lab.claim(
    "the blocks that see a difference see more than twice the true one",
    min(found) > 2 * 100 * large["world_late_0"].value,
)

# %% [markdown]
# Left, two trainings of one recipe that hardly differ: one block in twenty "finds" a difference.
# That is what 95 % means. Whoever compares many pairs meets such cases. Right, a true difference
# of about one point: only five blocks see it, and those report four times as much as is true.
# **What a small test finds is mostly too large**: it is found because it is large.
#
# So **an interval that holds 0 does not say "no difference"**. It says that these questions could
# not tell. The last line tells how many could. It uses that a difference of 2.8 standard errors is
# found four times out of five: 1.96 of them are half the interval. The rest is there because the
# found difference must lie far enough above in four cases of five.

# %% [markdown]
# And there is a second kind of luck. The two files come from *one* training each. What if one had
# been trained from another seed?

# %%
by_recipe = {
    fusion: [
        100 * right[f"world_{fusion}_{seed}"].double().mean().item()
        for seed in range(3)
    ]
    for fusion in ("joint", "late", "cross")
}  # per cent, one a seed
for fusion, values in by_recipe.items():
    error = 100 * standard_error(right[f"world_{fusion}_0"], test.image_index)
    print(
        f"{fusion:6} seeds 0, 1, 2: {', '.join(f'{s:.1f}' for s in values)} %,"
        f" {lab.mean_spread(values)}; standard error of the first {error:.1f}"
    )

# %% [markdown]
# Mean ± standard deviation of three runs is no interval: it holds the recipe's true mean in 77 % of
# cases, if the runs are normal. With $k$ runs of mean $m$ and standard deviation $s$, the 95 %
# interval is
#
# $$m \pm t_{k-1} \frac{s}{\sqrt{k}} ,$$
#
# where $t_{k-1}$ is the number that a t-distributed variable with $k - 1$ degrees of freedom
# exceeds in one case of forty. It is larger than 1.96, since $s$ itself is only estimated: 4.30 for
# three runs, 2.78 for five.

# %% [markdown]
# > **Exercise 10.6 · write it** · core · difficulty 2 of 3 · 8 minutes
# >
# > From a few runs to the interval of their recipe. `stats.t.ppf(0.975, k - 1)` gives $t_{k-1}$.
# > `torch.std` and `statistics.stdev` divide by $k - 1$, as it should be here; NumPy's `std` divides
# > by $k$. One run has no interval: raise a ValueError.


# %%
def recipe_interval(values):
    """values: the results of k runs -> (low, high)."""
    ### BEGIN SOLUTION
    if len(values) < 2:
        raise ValueError(f"expected two or more runs, got {len(values)}")
    runs = torch.tensor(values, dtype=torch.double)  # (k,)
    k = len(runs)
    half = stats.t.ppf(0.975, k - 1) * (runs.std() / k**0.5).item()
    return runs.mean().item() - half, runs.mean().item() + half
    ### END SOLUTION


# %%
recipe_interval = check("10.6", recipe_interval)

# %%
for fusion, values in by_recipe.items():
    low, high = recipe_interval(values)
    print(f"{fusion:6} {low:.1f} to {high:.1f} %")
differ = {}
for a, b in (("joint", "late"), ("cross", "late")):
    found = stats.ttest_ind(by_recipe[a], by_recipe[b], equal_var=False)
    differ[a] = found.confidence_interval()  # Welch: two spreads
    print(f"{a} - {b}: {differ[a].low:+.1f} to {differ[a].high:+.1f} points")
for k in (3, 5, 10):
    t, holds = stats.t.ppf(0.975, k - 1), 2 * stats.t.cdf(k**0.5, k - 1) - 1
    print(
        f"{k:2} runs: t = {t:.2f}, ± {t / k**0.5:.2f} standard deviations;"
        f" ± one holds the truth in {100 * holds:.0f} %"
    )
lab.claim(
    "the file joint_0 is better than the file late_0; of the recipes nothing"
    " can be said, while cross is better than late",
    large["world_late_0"].low > 0
    and differ["joint"].low < 0 < differ["joint"].high
    and differ["cross"].low > 0,
)

# %% [markdown]
# Two uncertainties, two questions. *Is this file better than that file on questions like these?*
# The interval over questions answers it: `world_joint_0` beats `world_late_0`. *Is this recipe
# better than that one?* Only several trainings can tell. For joint and late they tell nothing; for
# cross and late they do. The sentence about the files is true and says nothing about the recipes;
# more questions would make it ever surer, and still say nothing.
#
# The course prints mean ± standard deviation of its runs. Read it with the last lines: for an
# interval, three runs need 2.48 times what stands behind the ±, five runs 1.24 times.

# %% [markdown]
# ## 5. Is it as sure as it says? · core
#
# A softmax gives probabilities. The **confidence** of an answer is the probability that the model
# gives it. If a model says 80 % a hundred times, are 80 of these answers right? Then it is
# **calibrated**. Put the answers into bins by confidence and compare the mean confidence in each
# with its accuracy. The mean gap, each bin weighted by its number of answers, is the **expected
# calibration error** (ECE).

# %%
errors, BINS = {}, 15
theirs = MulticlassCalibrationError(len(test.answers), n_bins=BINS, norm="l1")
for name in ("world_joint_0", "world_late_0", "world_cross_0"):
    chance = logits[name].softmax(1)  # (questions, answers)
    errors[name] = metrics.expected_calibration_error(
        chance.max(1).values, right[name], BINS
    )
    lab.claim(
        f"{name}: ECE equals torchmetrics' (in float32) to 1e-4",
        abs(theirs(chance, test.y).item() - errors[name]) < 1e-4,
    )

# %% tags=["figure"]
figure, axes = plt.subplots(1, 3, figsize=(9.4, 3.3), sharey=True)
for axis, name in zip(axes, errors):
    confidence = logits[name].softmax(1).max(1).values  # (questions,)
    bins = metrics.calibration(confidence, right[name], BINS)
    axis.plot([0, 100], [0, 100], color="grey", linewidth=1)
    axis.scatter(
        100 * bins.confidence,
        100 * bins.accuracy,
        4 + bins.count / 20,
        color=plots.PALETTE[0],
    )
    axis.set(
        xlabel="confidence (%)",
        title=f"{name}: ECE {100 * errors[name]:.1f} %, {BINS} bins",
        xlim=(0, 106),
        ylim=(-6, 112),
    )
    axis.title.set_size(9)
axes[0].set_ylabel("right (%); area: number of answers")
figure.tight_layout()
plots.show(
    figure,
    alt=(
        "Reliability diagrams of three models: points of up to fifteen bins of "
        "confidence near the diagonal, their area the number of answers."
    ),
)

# %% [markdown]
# Tiny dots are bins with few answers; they say little. Two traps. First, a small ECE isn't a good
# model: one that always answers "no" to the camera of section 1, and is 95 % sure of it, is
# perfectly calibrated. Second, **chance alone makes ECE larger than 0, even for a perfectly
# calibrated model**: in each bin accuracy misses the confidence a little, up or down, and the gaps
# are added without their sign, so they don't cancel. How large is it for a model that is calibrated
# *by construction*, where each answer is right with exactly the probability that it claims? (Drawn
# independently: answers about one picture go together, which makes chance larger still.)

# %%
generator, chance_ece = torch.Generator().manual_seed(0), {}
for name, n in (
    ("world_late_0", 100),
    ("world_late_0", 400),
    ("world_late_0", 2000),
    *((other, 8000) for other in errors),
):
    # (questions,)
    confidence, values = logits[name].softmax(1).max(1).values, []
    for _ in range(100):
        claimed = confidence[
            torch.randint(len(confidence), (n,), generator=generator)
        ]  # (n,)
        true = torch.rand(n, generator=generator) < claimed  # (n,)
        values.append(
            100 * metrics.expected_calibration_error(claimed, true, BINS)
        )
    chance_ece[name] = lab.mean_spread(values)  # the last one stays: of 8,000
    print(
        f"as sure as {name}, but calibrated, {n:4} answers: ECE"
        f" {chance_ece[name]} %"
    )

# %% [markdown]
# An ECE of a few per cent on some hundred answers may be nothing but this. Say the number of
# answers and of bins beside it. And three files are not three recipes. All nine, seed by seed:

# %%
for fusion in by_recipe:
    values = [
        metrics.expected_calibration_error(
            logits[name].softmax(1).max(1).values, right[name], BINS
        )
        for name in names
        if fusion in name
    ]
    print(f"{fusion:6} ECE {', '.join(f'{100 * v:.1f}' for v in values)} %")

# %% [markdown]
# Where a model is surer than it should be, **temperature scaling** repairs it with one number:
# divide the logits by $\tau$ (lesson 03: above 1 it makes less sure, below 1 surer), chosen on
# *validation* by the loss. No answer changes, since dividing all logits changes no order. The last
# column of the next table is the ECE after this repair.
#
# Validation looks like the training data. What happens on pictures that don't? Two changes that a
# camera can make: noise, and half the light.

# %% [markdown]
# > **Exercise 10.7 · predict** · core · difficulty 1 of 3 · 2 minutes
# >
# > `world_cross_0` is 98 % sure of its answers on average, and 98 % of them are right. On the same
# > pictures at half their brightness it is right in about three cases of ten. How sure is it there,
# > on average, in per cent?

# %%
my_confidence = None
### BEGIN SOLUTION
my_confidence = 50
### END SOLUTION

# %%
my_confidence = check("10.7", my_confidence)

# %%
validation = world_data("validation", 500)
some = test.select(test.image_index < 500)  # 2,000 questions
bright = some.images.float()  # (images, 3, height, width)
noise = torch.randn(bright.shape, generator=torch.Generator().manual_seed(0))
changed = {
    "as in training": bright,
    "with noise": (bright + 30 * noise).clamp(0, 255),
    "half the light": bright / 2,
}
seen = {}  # how sure, how often right, ECE before and after the temperature
for name in errors:
    held = predict_logits(trained(name), validation)  # (questions, answers)
    tau = min(
        (0.5 + 0.05 * k for k in range(50)),
        key=lambda t: float(
            torch.nn.functional.cross_entropy(held / t, validation.y)
        ),
    )
    for kind, images in changed.items():
        data = replace(some, images=images.to(torch.uint8))
        z = predict_logits(trained(name), data)  # (questions, answers)
        confidence, said = z.softmax(1).max(1)  # (questions,) each
        after = (z / tau).softmax(1).max(1).values  # (questions,)
        correct = said == data.y  # (questions,)
        gaps = [
            metrics.expected_calibration_error(c, correct, BINS)
            for c in (confidence, after)
        ]
        seen[name, kind] = (
            confidence.mean().item(),
            correct.double().mean().item(),
            *gaps,
        )

# %% tags=["result", "figure"]
plots.table(
    [
        [name, kind, *(f"{100 * value:.0f}" for value in values)]
        for (name, kind), values in seen.items()
    ],
    [
        "model",
        "pictures",
        "sure (%)",
        "right (%)",
        "ECE (%)",
        "with the temperature (%)",
    ],
)
sure = 100 * seen["world_cross_0", "half the light"][0]
print(f"predicted {my_confidence:.0f} %, measured {sure:.0f} %")

# %% tags=["result"]
lab.claim(
    "in half the light all three are sure of more than 80 % and right in fewer"
    " than 40 %",
    all(
        seen[name, "half the light"][0] > 0.8
        and seen[name, "half the light"][1] < 0.4
        for name in errors
    ),
)
lab.claim(
    "for joint and cross the temperature makes it worse there",
    all(
        seen[name, "half the light"][3] > seen[name, "half the light"][2]
        for name in ("world_joint_0", "world_cross_0")
    ),
)

# %% [markdown]
# **Sure where it should not be.** Calibration on data like the training data promises nothing on
# other data. And the repair was chosen on data like the training data. Where validation chose a
# temperature below 1, which means "be surer", that is the wrong way on dark pictures.

# %% [markdown]
# Guo et al. 2017 found large networks of their time far too sure, and one temperature enough.
# Minderer et al. 2021 ([arXiv 2106.07998](https://arxiv.org/abs/2106.07998)) found the most recent
# ones among the best calibrated. Ovadia et al. 2019 ([1906.02530](https://arxiv.org/abs/1906.02530))
# found what the table shows: a repair after training falls short once the data shift.

# %% [markdown]
# ## 6. Data that aren't like the training data · core
#
# All numbers so far come from test pictures drawn like the training pictures: **iid**, independent
# and identically distributed. What if they aren't? For the next table the *cross* model of lesson
# 05 was trained on 4,000 pictures (8 passes) with three seeds, for each of four training sets: all
# 32 combinations of shape and colour, or 2, 8 or 16 of them held out. Held out means that no
# training picture shows such an object and no training question mentions one. Each shape and each
# colour is well known from others. Each seed holds out *other* combinations, so the ± has both
# kinds of luck in it.
#
# These runs are short. The cross files of section 1 saw twice as many pictures, in twice as many
# updates, and are right in 98 to 99 % of all questions. So don't read the rows as what the model
# can learn; read the step from *seen* to *new* within a row.

# %% [markdown]
# "New" are test questions about a held-out combination, because they name it or because it is the
# answer; "seen" are those about other combinations. "How many" is about none and is left out.
#
# `python -m course_utils.studies generalisation` makes these runs.

# %% tags=["figure"]
text = lab.data_path("studies/generalisation.json").read_text()
runs = json.loads(text)["runs"]


def shares(setting, part, what="right"):
    """Per cent of right answers, one a seed."""
    return [
        100 * row[what] / row["questions"]
        for row in runs
        if (row["setting"], row["part"]) == (setting, part)
    ]


# %% tags=["figure"]
kind, objects = generalisation.chance_of_new(), generalisation.objects_left()
rows, drops, new = [], {}, {}
for count in (0, 2, 8, 16):
    setting = f"pairs {count}"
    seen, new[count] = shares(setting, "seen"), shares(setting, "new")
    row = [
        f"{count} of 32",
        f"{objects[count]:.1f}",
        lab.mean_spread(shares(setting, "seen", "blind")),
        lab.mean_spread(seen),
    ]
    if count:
        drops[count] = [a - b for a, b in zip(seen, new[count])]
        guesses = [100 * share for share in kind[count]]
        row += map(lab.mean_spread, (guesses, new[count], drops[count]))
    rows.append(row if count else [*row, "–", "–", "–"])
plots.table(
    rows,
    [
        "held out",
        "objects in a training picture",
        "seen: blind (%)",
        "seen: model (%)",
        "new: guess of the right kind (%)",
        "new: model (%)",
        "drop (points)",
    ],
)
for told, values in (
    ("all combinations", shares("pairs 0", "seen")),
    ("16 held out, new", new[16]),
):
    each = ", ".join(f"{value:.1f} %" for value in values)
    print(f"{told}, run by run: {each}")

# %% tags=["figure"]
figure, axis = plt.subplots(figsize=(6, 3.2))
for i, (part, label) in enumerate(
    (
        ("seen", "combinations that were trained on"),
        ("new", "combinations that were held out"),
    )
):
    counts = [c for c in (0, 2, 8, 16) if shares(f"pairs {c}", part)]
    # (counts, seeds)
    values = torch.tensor([shares(f"pairs {c}", part) for c in counts])
    axis.errorbar(
        counts,
        values.mean(1),
        values.std(1),
        marker="o",
        capsize=3,
        label=label,
        color=plots.PALETTE[i],
        linestyle=plots.DASHES[i],
    )
guess = [100 * sum(kind[c]) / len(kind[c]) for c in counts]
axis.plot(
    counts, guess, color="grey", label="guess of the right kind, held out"
)
axis.set(
    xlabel="combinations held out, of 32",
    ylim=(0, 100),
    xticks=(0, 2, 8, 16),
    ylabel="right (%), ± std of 3 runs",
    title="What was never shown together is answered far worse",
)
axis.legend(loc="lower left", fontsize=8)
plots.show(
    figure,
    alt=(
        "Accuracy on seen and on held-out combinations against the number held"
        " out: the held-out curve lies far below, with 16 held out near a"
        " guess."
    ),
)

# %%
lab.claim(
    "held-out combinations are answered worse in every one of the nine runs",
    all(drop > 0 for values in drops.values() for drop in values),
)
lab.claim(
    "with 2 or 8 held out, all six runs are 15 points above a guess of the"
    " right kind",
    all(
        value - 100 * share > 15
        for c in (2, 8)
        for value, share in zip(new[c], kind[c])
    ),
)
# %% [markdown]
# The test on combinations that were seen promises nearly everything; on new ones, made of a shape
# and a colour that the model knows well, far more is wrong, even with two of 32 held out.
#
# **What is the bar?** The favourite answer of a question isn't one here. To *what colour is the
# circle?* no training question had the answer that is right for a new one, so the favourite is
# always wrong. The table has another guess: it knows only which kind of answer fits, and guesses
# among these: yes and no, the eight colours, or the four shapes. With 2 or 8 combinations held out
# the model is well above it in all six runs: something carries over. With 16 it is clearly above it
# in one run of three.

# %% [markdown]
# **Read along a row, not down a column.** Rows differ in more than the number. Pictures without 16
# of the combinations are pictures with few objects (second column). And "seen" are other questions
# in each row: see what the blind guess gets. All three trainings on *all* combinations end below
# those with 2 or 8 held out. That is no evidence that holding out helps: one of the three stands
# 14 points behind the best, and a run that is not trained to the end says nothing of its data.

# %% [markdown]
# ### A changed prior · extra
#
# The second way to be unlike: the pictures are the same, the *answers* are distributed in another
# way. In the split "prior" each question string has a favourite answer in training. A model can
# learn that instead of looking. In validation the favourites are the same; in test they are
# reversed.

# %% tags=["figure"]
rows = []
for part, told in (
    ("validation", "prior as in training"),
    ("test", "prior reversed"),
):
    rows.append(
        [
            told,
            lab.mean_spread(shares("prior", part, "blind"), "%"),
            lab.mean_spread(shares("prior", part), "%"),
        ]
    )
plots.table(
    rows, ["answers", "blind: favourite answer of the question", "model"]
)

# %%
fall = [
    a - b
    for a, b in zip(shares("prior", "validation"), shares("prior", "test"))
]
print(f"the model falls by {lab.mean_spread(fall, 'points')}")
lab.claim(
    "the favourite answers are worth more with the prior of training, in"
    " every run",
    all(
        a > b
        for a, b in zip(
            shares("prior", "validation", "blind"),
            shares("prior", "test", "blind"),
        )
    ),
)
lab.claim("the model falls in every run", min(fall) > 0)

# %% [markdown]
# The blind guess falls far: the old favourites are now rare answers. The model falls, but not that
# far. It does look. From the first row alone nobody could have said how much of the 90 % was
# looking, and how much relied on what used to be true. Agrawal et al. split the questions of VQA
# again so that each type of question has other frequent answers in test than in training: published
# models fell as well. Such a test has a trap of its own: whoever knows that the prior is reversed
# can use it, and gain without looking (Teney et al. 2020,
# [arXiv 2005.09241](https://arxiv.org/abs/2005.09241)).

# %% [markdown]
# ## 7. A leak · core
#
# The opposite mistake makes a test too much *like* the training data.

# %% [markdown]
# > **Exercise 10.8 · write it** · core · difficulty 2 of 3 · 8 minutes
# >
# > Split questions into training and test so that no picture is on both sides. Exactly
# > `round(fraction * pictures)` *pictures*, drawn with `generator`, go to the test part. Picture
# > numbers may have gaps.


# %%
def split(picture, fraction, generator):
    """picture (n,) number of each question's picture -> bool tensor (n,), True
    for test."""
    ### BEGIN SOLUTION
    pictures = picture.unique()  # (pictures,)
    order = pictures[torch.randperm(len(pictures), generator=generator)]
    chosen = order[: round(fraction * len(pictures))]
    return torch.isin(picture, chosen)  # (n,)
    ### END SOLUTION


# %%
split = check("10.8", split)

# %%
generator = torch.Generator().manual_seed(0)
by_question = torch.rand(len(test), generator=generator) < 0.2  # (questions,)
for name, part in (
    ("by question", by_question),
    ("by picture", split(test.image_index, 0.2, generator)),
):
    shared = torch.isin(
        test.image_index[part].unique(), test.image_index[~part]
    )
    print(
        f"split {name}: {100 * shared.double().mean():.1f} % of the test"
        " pictures are also in training"
    )

# %% [markdown]
# Lesson 01 measured what such a leak is worth to a mere memory. Other leaks are harder to see: the
# same photograph in two sizes, frames of one video, a patient with two scans; features that were
# normalised with the mean of all data; an answer list that was made from all answers; and the test
# set itself, when it decided which epoch, which seed or which prompt was kept.

# %% [markdown]
# ## 8. What does it get wrong? · extra
#
# A single number hides where a model fails. By family, with intervals by picture:

# %%
name = "world_joint_0"
figure, axis = plt.subplots(figsize=(6, 2.8))
families = [i for i in range(len(test.families)) if (test.family == i).any()]
for place, i in enumerate(families):
    rows = test.family == i  # (questions,)
    found = bootstrap(right[name][rows].double(), test.image_index[rows])
    axis.errorbar(
        100 * found.value,
        place,
        fmt="o",
        color=plots.PALETTE[0],
        capsize=3,
        xerr=[
            [100 * (found.value - found.low)],
            [100 * (found.high - found.value)],
        ],
    )
    guess = test.y[rows].bincount().max().item() / int(rows.sum())
    axis.plot(100 * guess, place, "|", ms=12, color="grey")
    print(
        f"{test.families[i]:8} {100 * found.value:.1f} % ({100 * found.low:.1f}"
        f" to {100 * found.high:.1f}), {int(rows.sum())} questions"
    )
axis.set(
    yticks=range(len(families)),
    yticklabels=[test.families[i] for i in families],
    xlabel="right answers (%), 95 % interval; grey: most common answer",
    title=f"{name}: colours and shapes are its weak side",
)
plots.show(
    figure,
    alt=(
        "Accuracy of one model by question family with 95 % intervals, and the"
        " most common answer's: exists is best, colour and shape are lowest."
    ),
)

# %% [markdown]
# And then look at the mistakes themselves. Choose a family, and move through what this model got
# wrong (in the running notebook). Below stand six of them.

# %%
chance = logits[name].softmax(1)  # (questions, answers)
wrong = (~right[name]).nonzero()[:, 0].tolist()


def told(i):
    said = int(chance[i].argmax())
    return (
        f"{test.questions[i]}\nsays {test.answers[said]}"
        f" ({100 * chance[i, said]:.0f} %), right: {test.answers[test.y[i]]}"
    )


def picture_of(i):
    return test.images[test.image_index[i]].float() / 255  # (3, height, width)


browser = widgets.mistakes(
    {
        test.families[k]: [
            (picture_of(i), told(i)) for i in wrong if test.family[i] == k
        ][:40]
        for k in families
    }
)
browser  # noqa: B018

# %%
chosen = wrong[:: max(1, len(wrong) // 6)][:6]
plots.show(
    plots.images_grid(
        torch.stack([picture_of(i) for i in chosen]),
        [told(i) for i in chosen],
        columns=3,
        size=2.8,
    ),
    alt="Six pictures with a question that the model answers wrongly.",
)

# %% [markdown]
# In most of these the model names something that is in the picture, but belongs to *another*
# object. It is the binding of lesson 05. Six pictures give a guess, no more. The world keeps the
# scenes behind its pictures, so we can count it in **all** wrong colours and shapes, beside how
# often a random wrong answer would be another object's:

# %%
world = generate("iid", "test", 2000, 4, WORLD_FAMILIES)  # `test`, with scenes
scenes = world.scenes
assert list(world.questions) == list(test.questions)
for name in ("world_joint_0", "world_late_0"):
    said = logits[name].argmax(1)  # (questions,)
    for family, values in (("colour", COLOURS), ("shape", SHAPES)):
        random, rows = 0.0, []
        for i in (~right[name]).nonzero()[:, 0].tolist():
            if test.families[test.family[i]] != family:
                continue
            scene, truth = int(test.image_index[i]), test.answers[test.y[i]]
            kept = scenes.shape[scene] >= 0  # (objects,)
            found = {
                list(values)[k] for k in getattr(scenes, family)[scene][kept]
            }
            others = found - {truth}
            rows.append(test.answers[said[i]] in others)
            random += len(others) / (len(values) - 1)
        print(
            f"{name}, wrong {family}s: {sum(rows)} of {len(rows)} are another"
            f" object's (at random {100 * random / len(rows):.0f} %)"
        )

# %% [markdown]
# Every wrong colour, and most wrong shapes, are those of another object in the same picture.
# Counting all of them took a few lines, and says more than any six pictures.

# %% [markdown]
# ## 9. A list for the next table that you make or read · core
#
# 1. What does the simplest baseline get? The most common answer, the question alone?
# 2. On which data, split by what? Who chose epoch, seed, prompt or threshold, on which part?
# 3. How many *independent* things were tested, and how wide is the interval?
# 4. Is the difference paired, and is it about two files or two recipes? How many seeds?
#    How many comparisons were made, and how many of them are shown?
# 5. Does the metric measure what the model is for? What does it say about rare cases?
# 6. What happens on data that are unlike the training data in a known way?

# %% [markdown]
# ## 10. On a GPU · extra
#
# Nothing here changes but the time: metrics cost next to nothing beside the model's answers. What
# grows with the model is the price of a second seed, and it is the first thing that is saved. Then
# a sentence about a recipe can't be had; say "this file".

# %% [markdown]
# ## 11. What you know now · core
#
# - Accuracy rewards silence where positives are rare; precision and recall, over all thresholds,
#   show what can be found at what price.
# - An interval must draw again what was drawn independently.
# - Differences are paired, and a small test that finds one finds it too large.
# - Seeds are a second source of luck: a sentence about a recipe needs an interval over runs.
# - Chance alone makes ECE larger than 0; a temperature repairs confidence, not answers, and only on
#   data like those on which it was chosen.
# - iid accuracy promises nothing about new combinations or another prior, and a baseline that
#   can't be right there is no bar.

# %%
quiz(
    [
        (
            "95 % of cases are negative. Model A has 95.0 % accuracy, model"
            " B 93.8 %. Which is better?",
            "Can't be said: A may never find a positive. Look at precision"
            " and recall of the positives.",
        ),
        (
            "What is an AUC of 0.5, and of 0.2?",
            "0.5: positives rank before negatives as often as not. 0.2: it"
            " ranks them the wrong way round; turn the sign and it is 0.8.",
        ),
        (
            "Ten questions a picture, 1,000 questions. How many independent"
            " things were measured?",
            "Between 100 and 1,000, nearer to 100 the more the answers"
            " about a picture go together.",
        ),
        (
            "Three runs gave 83 ± 3.2 %, mean and standard deviation. Another"
            " recipe gave 86 ± 2.0 %. Is it better?",
            "Nothing can be said: the intervals are ± 7.9 and ± 5.0, and that"
            " of the difference holds 0.",
        ),
        (
            "Two intervals overlap. Are the models equally good?",
            "That doesn't follow: the difference on the same questions has"
            " an interval of its own, which is often narrower than the two"
            " suggest.",
        ),
        (
            "Accuracy on the test set 99 %, on new combinations 60 %. Was"
            " the test wrong?",
            "It was right about data like the training data. It was never"
            " asked about anything else.",
        ),
    ]
)

# %% [markdown]
# **Papers.** Naeini et al. 2015, *Obtaining well calibrated probabilities using Bayesian binning*
# (AAAI): the expected calibration error. Guo et al. 2017 ([arXiv
# 1706.04599](https://arxiv.org/abs/1706.04599)): modern networks are over-confident, and one
# temperature helps. Agrawal et al. 2018 ([1712.00377](https://arxiv.org/abs/1712.00377)): VQA-CP,
# where the prior of the answers changes between training and test, and models fall. Johnson et al.
# 2017, *CLEVR* ([1612.06890](https://arxiv.org/abs/1612.06890)): pictures with known programs, and
# a test on new combinations. Kish 1965, *Survey Sampling*: the design effect. Efron 1979 gave the bootstrap, McNemar 1947 the paired test, Wilson
# 1927 the interval of a share, Mann and Whitney 1947 the count of pairs that AUC is.

# %% [markdown]
# **Next:** lesson 11 tunes a pretrained model with few parameters.

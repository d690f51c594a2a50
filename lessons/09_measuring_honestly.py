# ---
# jupyter:
#   course:
#     title: Measuring honestly
#     minutes: 100
#     needs: ["04", "07"]
# ---

# %% [markdown]
# A number in a table looks like a fact. It is the outcome of a small experiment: some questions,
# some pictures, one training, one metric that somebody chose. This lesson asks what such a number
# can bear.
#
# In this lesson you will
#
# - meet a model that is right in 95 % of the cases and is good for nothing;
# - build precision, recall, F1, ROC and calibration, each equal to scikit-learn's or torchmetrics';
# - find out why the usual standard error is too small when questions share a picture;
# - decide whether one model is better than another, or only luckier;
# - see accuracies fall on combinations that were never shown, and on answers that are
#   distributed in another way, though the test on data like the training data promised much;
# - browse what a model gets wrong.

# %%
import json

import matplotlib.pyplot as plt
import torch
from sklearn import metrics as sklearn_metrics
from torchmetrics.classification import MulticlassCalibrationError

from course_utils import lab, metrics, plots, widgets
from course_utils.checks import check, hint, quiz
from course_utils.evaluation import predict_logits
from course_utils.intervals import (
    bootstrap, mcnemar, paired_difference, standard_error, wilson,
)  # fmt: skip
from course_utils.recipes import load_weights, world_data, world_model

# %% [markdown]
# ## 1. Right in 95 % of the cases
#
# A camera looks into a room, and a model answers one question about every picture: *is there ...?*
# Nearly always there is not. We take the questions *is there a ...* of our world and keep all "no"
# and so many "yes" that they are 5 %. Two models: one from lesson 04, and one that always says no.

# %%
test = world_data("test", 2000)
names = [f"world_{fusion}_{seed}" for fusion in ("joint", "late", "cross") for seed in range(3)]
logits = {}  # of every question, by every model
for name in names:
    model = world_model(test, name.split("_")[1])
    load_weights(model, lab.data_path(f"checkpoints/{name}.safetensors"))
    logits[name] = predict_logits(model, test)  # (questions, answers)
right = {name: logits[name].argmax(1) == test.y for name in names}  # (questions,) bool each
YES, NO = (test.answers.index(word) for word in ("yes", "no"))
is_there = test.family == test.families.index("exists")  # (questions,)
no = (is_there & (test.y == NO)).nonzero()[:, 0]
yes = (is_there & (test.y == YES)).nonzero()[: len(no) // 19, 0]
room = torch.cat([no, yes])  # question numbers
there = test.y[room] == YES  # (room,)
score = (logits["world_joint_1"][room, YES] - logits["world_joint_1"][room, NO])  # (room,)
alarm = {"always no": torch.zeros(len(room), dtype=torch.bool), "the model": score > 0}
for name, said in alarm.items():
    print(f"{name:10} right in {100 * metrics.accuracy(said.long(), there.long()):.1f} % of "
          f"{len(room)} cases; finds {int((said & there).sum())} of {int(there.sum())}")  # fmt: skip

lab.claim("by accuracy the model that never looks wins", metrics.accuracy(
    alarm["always no"].long(), there.long()) > metrics.accuracy(alarm["the model"].long(),
                                                                there.long()))  # fmt: skip

# %% [markdown]
# By accuracy the model that never looks wins, and by far. What a model is *for* is not in that
# number. A table of four counts has it all:

# %%
table = metrics.confusion_matrix(alarm["the model"].long(), there.long(), 2)
plots.table([["nothing there", str(int(table[0, 0])), str(int(table[0, 1]))],
             ["something there", str(int(table[1, 0])), str(int(table[1, 1]))]],
            ["the model says", "no", "yes"])  # fmt: skip

# %% [markdown]
# Of what it called "yes", how much is? That is **precision**. Of what is "yes", how much did it
# find? That is **recall**. With $TP$ for the hits, $FP$ for the false alarms and $FN$ for what was
# missed,
#
# $$P = \frac{TP}{TP + FP}, \qquad R = \frac{TP}{TP + FN},$$
#
# $$F_1 = \frac{2PR}{P + R} = \frac{2\,TP}{2\,TP + FP + FN} .$$
#
# $F_1$ is the *harmonic* mean: it is near the smaller of the two. A model that calls everything
# "yes" has $R = 1$ and $P = 0.05$: the arithmetic mean would be above 0.5, $F_1$ is below 0.1.

# %%
mine = metrics.precision_recall(alarm["the model"].long(), there.long(), 2)
theirs = sklearn_metrics.precision_recall_fscore_support(there, alarm["the model"])
print(f"precision {100 * mine.precision[1]:.1f} %, recall {100 * mine.recall[1]:.1f} %, "
      f"F1 {100 * mine.f1[1]:.1f} %")
lab.claim("precision, recall and F1 equal scikit-learn's to 1e-12",
          all(abs(torch.tensor(b) - a).max() < 1e-12 for a, b in zip(mine, theirs)))

# %% [markdown]
# > **Exercise 09.1 · choose and justify** · difficulty 1 of 3 · 5 minutes
# >
# > The camera is in the flat of somebody who may fall. 95 % of all pictures are normal. A message is
# > sent when the model's score is above a threshold that the family sets. By what do you choose
# > between two models?
# >
# > - **a** accuracy: it counts every picture.
# > - **b** macro F1: both classes count alike.
# > - **c** the precision-recall curve of "fallen": what can be found, at the price of which alarms.
# > - **d** the loss: it is what was trained.

# %%
the_metric = None
### BEGIN SOLUTION
the_metric = "c"
### END SOLUTION

# %%
the_metric = check("09.1", the_metric)

# %% [markdown]
# ### Averages of averages
#
# With many classes there is a precision and a recall for each. **Macro** averages over classes:
# each class counts as much, however rare. **Micro** sums the counts first: each *example* counts as
# much, and where every example has one class it is the accuracy. Neither is wrong; they answer
# different questions. But one average is wrong:
#
# > **Exercise 09.2 · mend it** · difficulty 1 of 3 · 5 minutes
# >
# > An evaluation loop collects for each batch which answers were right, and reports the mean of the
# > batches' means. The last batch is shorter. Write what it should report.

# %%
def accuracy_of(batches):
    """batches: list of bool tensors of different lengths -> the share of right answers."""
    ### BEGIN SOLUTION
    hits = sum(batch.sum().item() for batch in batches)
    return hits / sum(len(batch) for batch in batches)
    ### END SOLUTION


# %%
accuracy_of = check("09.2", accuracy_of)

# %%
batches = [right["world_late_0"][rows] for rows in torch.arange(len(test)).split(300)]
wrong_way = sum(batch.double().mean().item() for batch in batches) / len(batches)
print(f"last batch: {len(batches[-1])} questions instead of 300")
print(f"mean of means {100 * wrong_way:.2f} %, accuracy {100 * accuracy_of(batches):.2f} %")
lab.claim("the two differ", wrong_way != accuracy_of(batches))

# %% [markdown]
# The difference is small here. It is as large as the short batch is odd, and evaluation data are
# often sorted.
#
# ## 2. Every threshold at once
#
# The model gives a score; somebody sets the threshold. The **ROC curve** shows all thresholds: how
# many of the positives are found ($y$) against how many of the negatives are taken for positive
# ($x$). The area under it, **AUC**, has a meaning of its own:
#
# $$\mathrm{AUC} = P(\text{score of a positive} > \text{score of a negative})
#   + \tfrac12 P(\text{equal}) .$$
#
# Why: walk along the curve from the left, lowering the threshold. Each negative moves the curve one
# step to the right, by $1/N_-$, at the height that is reached then: the share of positives with a
# *higher* score. The area is the mean of that share over all negatives, which is the probability
# above. Sort all scores and let $r_i$ be the ranks of the positives: a positive at rank
# $r_i$ beats $r_i - 1$ others, of which some are positives themselves, $0 + 1 + \dots + (N_+ - 1)$
# in all. So
#
# $$\mathrm{AUC} = \frac{\sum_i r_i - N_+ (N_+ + 1) / 2}{N_+ N_-} ,$$
#
# where equal scores share the mean of their ranks. No threshold, no curve.
#
# > **Exercise 09.3 · write it** · difficulty 2 of 3 · 12 minutes
# >
# > AUC by either formula. Mind equal scores.

# %%
def area_under_roc(scores, positive):
    """scores (n,) float, positive (n,) bool -> a number from 0 to 1."""
    ### BEGIN SOLUTION
    a, b = scores[positive][:, None], scores[~positive]  # (positives, 1), (negatives,)
    return ((a > b).double() + 0.5 * (a == b)).mean().item()  # over (positives, negatives)
    ### END SOLUTION


# %%
area_under_roc = check("09.3", area_under_roc)

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.6))
for i, name in enumerate(("world_joint_1", "world_late_0", "world_cross_0")):
    s = logits[name][room, YES] - logits[name][room, NO]  # (room,)
    roc, pr = metrics.roc_curve(s, there), metrics.precision_recall_curve(s, there)
    area, average = area_under_roc(s, there), metrics.average_precision(s, there)
    axes[0].plot(100 * roc.x, 100 * roc.y, plots.DASHES[i], color=plots.PALETTE[i], label=name)
    axes[1].plot(100 * pr.x, 100 * pr.y, plots.DASHES[i], color=plots.PALETTE[i], label=name)
    print(f"{name:14} AUC {area:.3f}, average precision {average:.3f}")
    lab.claim("both equal scikit-learn's to 1e-9", max(
        abs(area - sklearn_metrics.roc_auc_score(there, s)),
        abs(average - sklearn_metrics.average_precision_score(there, s))) < 1e-9)
axes[0].set(xlabel="false alarms of all negatives (%)", ylabel="found of all positives (%)",
            title="ROC")
axes[1].set(xlabel="recall (%)", ylabel="precision (%)", title="precision and recall")
axes[1].axhline(100 * there.double().mean(), color="grey", linewidth=1)
axes[0].legend(fontsize=8)
figure.tight_layout()
plots.show(figure, alt="Left: ROC curves of three models, all near the upper left corner. Right: "
           "precision against recall for the same models, with visible differences.")

# %% [markdown]
# The same scores, two pictures. With 19 negatives for each positive, a false-alarm rate of 5 %
# looks small on the left; on the right it halves the precision, because 5 % of very many negatives
# are as many as all positives. When positives are rare, look at the right one. (The grey line is
# chance.)
#
# ## 3. How sure is a percentage?
#
# Another draw of test questions would have given another number. For $n$ *independent* answers, of
# which a share $p$ is right, the standard error is $\sqrt{p(1-p)/n}$, and $p \pm 2$ standard errors
# holds the true value in about 95 % of all such draws. But our questions come in fours: four about
# each picture. Is an answer about a picture independent of the others about it?
#
# > **Exercise 09.4 · predict** · difficulty 1 of 3 · 3 minutes
# >
# > 500 questions about 125 pictures, 80 % right. Half the width of the 95 % interval, in
# > percentage points?

# %%
my_width = None
### BEGIN SOLUTION
my_width = 3.6
### END SOLUTION

# %%
my_width = check("09.4", my_width)

# %%
some = test.image_index < 125  # (questions,)
few, groups = right["world_late_0"][some].double(), test.image_index[some]
p = few.mean().item()
print(f"{len(few)} questions about 125 pictures, {100 * p:.1f} % right")
print(f"as if independent:  ± {200 * standard_error(few):.1f} points")
print(f"by picture:         ± {200 * standard_error(few, groups):.1f} points")
found = wilson(int(few.sum()), len(few))
print(f"Wilson's interval, as if independent: {100 * found.low:.1f} to {100 * found.high:.1f} %")

# %% [markdown]
# The second line sums the deviations *within* each picture before it squares them:
#
# $$\mathrm{se}^2 = \frac{1}{n^2} \frac{G}{G - 1} \sum_{g=1}^{G} \Bigl(\sum_{i \in g}
#   (z_i - \bar z)\Bigr)^2 ,$$
#
# with $z_i = 1$ for a right answer. If the answers of a group go together, the inner sums are
# large. How much that matters depends on the data: it can be nothing, and it can be a factor of
# $\sqrt{10}$ where ten questions about a picture stand or fall together.
#
# Formulas exist for means. For anything else (F1, AUC, a difference of medians) there is the
# **bootstrap**: draw from the data, with replacement, as many as there are; compute the statistic;
# repeat; the middle 95 % of what comes out is the interval.
#
# > **Exercise 09.5 · write it** · difficulty 3 of 3 · 15 minutes
# >
# > The bootstrap of the accuracy, by picture.

# %%
def bootstrap_means(right, picture, draws, generator):
    """right (n,) bool, picture (n,) number of each question's picture -> (draws,) accuracies."""
    ### BEGIN SOLUTION
    rows = [(picture == number).nonzero()[:, 0] for number in picture.unique()]
    means = []
    for _ in range(draws):
        picked = torch.randint(len(rows), (len(rows),), generator=generator).tolist()
        means.append(right[torch.cat([rows[i] for i in picked])].double().mean())
    return torch.stack(means)  # (draws,)
    ### END SOLUTION


# %%
bootstrap_means = check("09.5", bootstrap_means)

# %% [markdown]
# Does it keep its promise? Only a world in which the truth is known can tell. Forty pictures with
# ten questions each; each picture has its own ease, drawn between 0 and 1; the true accuracy is 50
# %. Two hundred such tests, a 95 % interval for each, by question and by picture:

# %%
def covered(by_picture, tests=200):
    """How many of the intervals hold the true 50 %, and their mean half width in points."""
    generator, hits, half = torch.Generator().manual_seed(0), 0, 0.0
    picture = torch.arange(40).repeat_interleave(10)  # (400,)
    for _ in range(tests):
        ease = torch.rand(40, generator=generator).repeat_interleave(10)  # (400,)
        answers = (torch.rand(400, generator=generator) < ease).double()  # (400,)
        found = bootstrap(answers, picture if by_picture else None, draws=300)
        hits += found.low <= 0.5 <= found.high
        half += 100 * found.half / tests
    return hits, half


coverage = {name: covered(flag) for name, flag in (("by question", False), ("by picture", True))}
for name, (hits, half) in coverage.items():
    print(f"{name}: {hits} of 200 intervals hold the truth; half width {half:.1f} points")
lab.claim("by question fewer than 160 of 200, by picture more than 175",
          coverage["by question"][0] < 160 and coverage["by picture"][0] > 175)  # fmt: skip

# %% [markdown]
# An interval that ignores the pictures promises 95 and delivers far less. **Draw again what was
# drawn independently**: pictures, patients, users, not questions.
#
# ## 4. Better, or luckier?
#
# Two models answered the *same* questions. Each has an interval, and the intervals overlap. That
# says little: hard questions are hard for both. What counts is the difference *question by
# question*.

# %%
def compare(a, b, rows):
    """Difference of two models on some questions, in points, with its interval by picture."""
    found = paired_difference(right[a][rows], right[b][rows], test.image_index[rows])
    p = mcnemar(right[a][rows], right[b][rows])
    ends = f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"
    verdict = "no difference shown" if found.low <= 0 <= found.high else "a difference"
    print(f"{a} - {b}: {100 * found.value:+.1f} points ({ends}), p = {p:.2g}: {verdict}")
    return found


everything = torch.ones(len(test), dtype=torch.bool)
first = test.image_index < 100  # (questions,)
small, large = {}, {}
for rows, found in ((first, small), (everything, large)):
    print(f"{int(rows.sum())} questions:")
    for other in ("world_joint_1", "world_late_0"):
        found[other] = compare("world_joint_0", other, rows)
apart = bootstrap(right["world_joint_0"].double(), test.image_index)
print(f"for one of them alone: ± {100 * apart.half:.1f} points, for the last difference: "
      f"± {100 * large['world_late_0'].half:.1f}")
lab.claim("on the first 400 questions one seed of the recipe looks better, on all 8,000 it doesn't",
          small["world_joint_1"].low > 0 > large["world_joint_1"].low)
lab.claim("with fewer questions the interval of a difference is wider",
          all(small[other].half > large[other].half for other in small))

# %% [markdown]
# `world_joint_0` and `world_joint_1` are two trainings of one recipe, with two seeds. On the first
# 400 questions the first one looks better, and the interval says so. On twenty times as many the
# difference is gone. Nothing was wrong: a 95 % interval misses in one case of twenty, and whoever
# compares many pairs meets such a case. A model that looks better and is not looks just like this.
#
# The test beside the interval is McNemar's: questions that both get right or both get wrong say
# nothing. Of the others, if the models were equally good, half would fall to each side, like a
# coin. (It takes questions for independent; the interval by picture doesn't need to.) **"No
# difference shown" is not "no difference".** It says that these questions could not tell.
#
# And there is a second kind of luck. The two files come from *one* training each. What if one had
# been trained from another seed?

# %%
for fusion in ("joint", "late", "cross"):
    shares = [100 * right[f"world_{fusion}_{seed}"].double().mean().item() for seed in range(3)]
    spread = torch.tensor(shares).std().item()
    error = 100 * standard_error(right[f"world_{fusion}_0"], test.image_index)
    print(f"{fusion:6} seeds 0, 1, 2: {', '.join(f'{s:.1f}' for s in shares)} %; "
          f"standard deviation over seeds {spread:.1f}, standard error of one {error:.1f} points")

# %% [markdown]
# Two uncertainties, two questions. *Is this file better than that file on questions like these?*
# The interval over questions answers it. *Is this recipe better than that one?* Only several
# trainings can, and their spread may be the larger of the two: then a test with ever more
# questions proves ever more surely which *file* is better, and nothing about the recipe. This
# course prints the spread over seeds wherever a sentence is about a recipe.
#
# ## 5. Is it as sure as it says?
#
# A softmax gives probabilities. If a model says 80 % a hundred times, are 80 of these answers
# right? Then it is **calibrated**. Put the answers into bins by confidence and compare the mean
# confidence in each with its accuracy. The mean gap, bins weighted by their number, is the
# **expected calibration error** (ECE).

# %%
figure, axes = plt.subplots(1, 3, figsize=(9.4, 3.3), sharey=True)
errors = {}
for axis, name in zip(axes, ("world_joint_0", "world_late_0", "world_cross_0")):
    confidence, said = logits[name].softmax(1).max(1)  # (questions,) each
    bins = metrics.calibration(confidence, right[name], bins=10)
    errors[name] = metrics.expected_calibration_error(confidence, right[name])
    axis.plot([0, 100], [0, 100], color="grey", linewidth=1)
    axis.scatter(100 * bins.confidence, 100 * bins.accuracy, 4 + bins.count / 20,
                 color=plots.PALETTE[0])
    axis.set(xlabel="confidence (%)", title=f"{name}: ECE {100 * errors[name]:.1f} %",
             xlim=(0, 106), ylim=(0, 106))
    reference = MulticlassCalibrationError(len(test.answers), n_bins=15, norm="l1")
    same = abs(reference(logits[name].softmax(1), test.y).item() - errors[name]) < 1e-4
    lab.claim(f"{name}: ECE equals torchmetrics' (in float32) to 1e-4", same)
axes[0].set_ylabel("right (%)")
figure.tight_layout()
plots.show(figure, alt="Reliability diagrams of three models: points of ten bins of confidence near "
           "the diagonal, their area the number of answers.")

# %% [markdown]
# Two traps. First, a small ECE isn't a good model: one that always answers with the prior, and says
# so, is perfectly calibrated. Second, **ECE is never 0 by chance**: gaps are counted without their
# sign. How large is it for a model that is calibrated *by construction*, where each answer is right
# with exactly the probability that it claims?

# %%
confidence = logits["world_late_0"].softmax(1).max(1).values  # (questions,)
generator = torch.Generator().manual_seed(0)
for n in (100, 400, 2000):
    values = []
    for _ in range(100):
        claimed = confidence[torch.randint(len(confidence), (n,), generator=generator)]  # (n,)
        true = torch.rand(n, generator=generator) < claimed  # (n,)
        values.append(100 * metrics.expected_calibration_error(claimed, true))
    print(f"calibrated, {n:4} answers: ECE {lab.mean_spread(values, '%')}")

# %% [markdown]
# An ECE of a few per cent on some hundred answers may be nothing but this. Say the number of
# answers and of bins beside it.
#
# Where a model is surer than it should be, **temperature scaling** repairs it with one number:
# divide the logits by $T$, chosen on *validation* by the loss. No answer changes, since dividing
# all logits changes no order.

# %%
validation = world_data("validation", 500)
rows = []
for name in ("world_joint_0", "world_late_0", "world_cross_0"):
    model = world_model(test, name.split("_")[1])
    load_weights(model, lab.data_path(f"checkpoints/{name}.safetensors"))
    held = predict_logits(model, validation)  # (questions, answers)
    T = min((0.5 + 0.05 * k for k in range(50)), key=lambda T: float(
        torch.nn.functional.cross_entropy(held / T, validation.y)))
    after = metrics.expected_calibration_error((logits[name] / T).softmax(1).max(1).values,
                                               right[name])
    rows.append([name, f"{T:.2f}", f"{100 * errors[name]:.1f}", f"{100 * after:.1f}"])
plots.table(rows, ["model", "temperature", "ECE before (%)", "ECE after (%)"])

# %% [markdown]
# Nothing to repair here: these small models are nearly calibrated on data like their training data,
# and the changes are of the size of chance. Guo et al. found large networks far too sure, and one
# temperature enough.
#
# ## 6. Data that aren't like the training data
#
# All numbers so far come from test pictures drawn like the training pictures: **iid**, independent
# and identically distributed. What if they aren't? For the next table a model was trained three
# times (seeds 0, 1, 2) for each of four training sets: all 32 combinations of shape and colour, or
# 2, 8 or 16 of them held out. Held out means that no training picture shows such an object and no
# training question mentions one. Each shape and each colour is well known from others.
#
# `python -m course_utils.generalisation` makes these runs.

# %%
runs = json.loads(lab.data_path("generalisation.json").read_text())["runs"]


def shares(setting, part, what="right"):
    """Per cent of right answers, one a seed."""
    return [100 * row[what] / row["questions"] for row in runs
            if (row["setting"], row["part"]) == (setting, part)]  # fmt: skip


rows, drops = [], {}
for count in (0, 2, 8, 16):
    setting = f"pairs {count}"
    seen, new = shares(setting, "seen"), shares(setting, "new")
    row = [f"{count} of 32", lab.mean_spread(shares(setting, "seen", "blind")),
           lab.mean_spread(seen), "–", "–", "–"]
    if count:
        drops[count] = [a - b for a, b in zip(seen, new)]
        row[3:] = [lab.mean_spread(values) for values in (shares(setting, "new", "blind"), new,
                                                          drops[count])]
    rows.append(row)
plots.table(rows, ["held out", "seen: blind (%)", "seen: model (%)", "new: blind (%)",
                   "new: model (%)", "drop (points)"])  # fmt: skip

# %%
figure, axis = plt.subplots(figsize=(6, 3.2))
for i, (part, label) in enumerate((("seen", "combinations that were trained on"),
                                   ("new", "combinations that were held out"))):
    counts = [c for c in (0, 2, 8, 16) if shares(f"pairs {c}", part)]
    values = torch.tensor([shares(f"pairs {c}", part) for c in counts])  # (counts, seeds)
    axis.errorbar(counts, values.mean(1), values.std(1), marker="o", capsize=3, label=label,
                  color=plots.PALETTE[i], linestyle=plots.DASHES[i])
axis.set(xlabel="combinations held out, of 32", ylabel="right answers (%)", ylim=(0, 100),
         xticks=(0, 2, 8, 16), title="What was never shown together is answered far worse")
axis.legend(loc="lower left")
plots.show(figure, alt="Accuracy on seen and on held-out combinations against the number held out: "
           "the held-out curve lies far below.")

# %%
lab.claim("held-out combinations are answered worse in every one of the nine runs",
          all(drop > 0 for values in drops.values() for drop in values))

# %% [markdown]
# The test on combinations that were seen promises nearly everything; on new ones, made of a shape
# and a colour that the model knows well, far more is wrong, even with two of 32 held out. It is
# still above the blind guess, so something carries over. One explanation, not tested here: where
# red things are never circles, "red" itself is evidence against "circle", and a model that uses
# this does *better* on data like the training data. The more combinations are missing, the more
# there is of such evidence.
#
# (Look at the first row too: trained on all combinations, seeds differ more than in the other rows,
# which is luck of training again. With a single seed one might have "found" that holding out
# combinations helps.)
#
# ### A changed prior
#
# The second way to be unlike: the pictures are the same, the *answers* are distributed in another
# way. In the split "prior" each question string has a favourite answer in training. A model can
# learn that instead of looking. In validation the favourites are the same; in test they are turned
# round.

# %%
rows = []
for part, told in (("validation", "prior as in training"), ("test", "prior turned round")):
    rows.append([told, lab.mean_spread(shares("prior", part, "blind"), "%"),
                 lab.mean_spread(shares("prior", part), "%")])  # fmt: skip
plots.table(rows, ["answers", "blind: favourite answer of the question", "model"])

# %%
fall = [a - b for a, b in zip(shares("prior", "validation"), shares("prior", "test"))]
print(f"the model falls by {lab.mean_spread(fall, 'points')}")
lab.claim("the favourite answers are worth more with the prior of training, in every run",
          all(a > b for a, b in zip(shares("prior", "validation", "blind"),
                                    shares("prior", "test", "blind"))))  # fmt: skip
lab.claim("the model falls in every run", min(fall) > 0)

# %% [markdown]
# The blind guess falls far: the old favourites are now rare answers. The model falls, but not to
# there. It looks, and where it isn't sure, it leans on what used to be true. On the data
# of the first row nobody could have told the two apart. Published models of real questions fell as
# well when Agrawal et al. turned the prior of VQA round.
#
# ## 7. A leak
#
# The opposite mistake makes a test too much *like* the training data.
#
# > **Exercise 09.6 · write it** · difficulty 2 of 3 · 8 minutes
# >
# > Split questions into training and test so that no picture is on both sides. `fraction` of the
# > *pictures* go to the test part.

# %%
def split(picture, fraction, generator):
    """picture (n,) number of each question's picture -> (n,) bool, True for a test question."""
    ### BEGIN SOLUTION
    pictures = picture.unique()  # (pictures,)
    order = pictures[torch.randperm(len(pictures), generator=generator)]
    chosen = order[: round(fraction * len(pictures))]
    return torch.isin(picture, chosen)  # (n,)
    ### END SOLUTION


# %%
split = check("09.6", split)

# %%
generator = torch.Generator().manual_seed(0)
by_question = torch.rand(len(test), generator=generator) < 0.2  # (questions,)
for name, part in (("by question", by_question), ("by picture", split(test.image_index, 0.2,
                                                                      generator))):  # fmt: skip
    shared = torch.isin(test.image_index[part].unique(), test.image_index[~part])
    print(f"split {name}: {100 * shared.double().mean():.0f} % of the test pictures are also in "
          "training")  # fmt: skip

# %% [markdown]
# Other leaks are harder to see: the same photograph in two sizes, frames of one video, a patient
# with two scans; features that were normalised with the mean of all data; an answer list that was
# made from all answers; and the test set itself, when it decided which epoch, which seed or which
# prompt was kept.
#
# ## 8. What does it get wrong?
#
# A single number hides where a model fails. By family, with intervals by picture:

# %%
name = "world_joint_0"
figure, axis = plt.subplots(figsize=(6, 2.8))
families = [i for i in range(len(test.families)) if (test.family == i).any()]
for place, i in enumerate(families):
    rows = test.family == i  # (questions,)
    found = bootstrap(right[name][rows].double(), test.image_index[rows])
    axis.errorbar(100 * found.value, place, fmt="o", color=plots.PALETTE[0], capsize=3,
                  xerr=[[100 * (found.value - found.low)], [100 * (found.high - found.value)]])
    print(f"{test.families[i]:8} {100 * found.value:.1f} % ({100 * found.low:.1f} to "
          f"{100 * found.high:.1f}), {int(rows.sum())} questions")
axis.set(yticks=range(len(families)), yticklabels=[test.families[i] for i in families],
         xlabel="right answers (%)", title=f"{name}: where it fails")
plots.show(figure, alt="Accuracy of one model by question family with 95 % intervals.")

# %% [markdown]
# And then look at the mistakes themselves. Choose a family, and move through what this model got
# wrong (in the running notebook). Below stand six of them.

# %%
chance = logits[name].softmax(1)  # (questions, answers)
wrong = (~right[name]).nonzero()[:, 0].tolist()


def told(i):
    said = int(chance[i].argmax())
    return (f"{test.questions[i]}\nsays {test.answers[said]} ({100 * chance[i, said]:.0f} %), "
            f"right: {test.answers[test.y[i]]}")  # fmt: skip


def picture_of(i):
    return test.images[test.image_index[i]].float() / 255  # (3, height, width)


browser = widgets.mistakes({test.families[k]: [(picture_of(i), told(i)) for i in wrong
                                               if test.family[i] == k][:40] for k in families})
browser  # noqa: B018

# %%
chosen = wrong[:: max(1, len(wrong) // 6)][:6]
plots.show(plots.images_grid(torch.stack([picture_of(i) for i in chosen]),
                             [told(i) for i in chosen], columns=3, size=2.8),
           alt="Six pictures with a question that the model answers wrongly.")  # fmt: skip

# %% [markdown]
# ## 9. A list for the next table that you make or read
#
# 1. What does the simplest baseline get? The commonest answer, the question alone?
# 2. On which data, split by what? Who chose epoch, seed, prompt or threshold, on which part?
# 3. How many *independent* things were tested, and how wide is the interval?
# 4. Is the difference paired, and is it about two files or two recipes? How many seeds?
# 5. Does the metric measure what the model is for? What does it say about rare cases?
# 6. What happens on data that are unlike the training data in a known way?
#
# On a GPU nothing here changes but the time: metrics cost next to nothing beside the model's
# answers.
#
# ## 10. What you know now
#
# - Accuracy rewards silence where positives are rare; precision and recall, over all thresholds,
#   show what can be found at which price.
# - An interval must draw again what was drawn independently.
# - Differences are paired; seeds are a second source of luck.
# - ECE is biased upwards; a temperature repairs confidence, not answers.
# - iid accuracy promises nothing about new combinations or another prior.

# %%
quiz([
    ("95 % of cases are negative. Model A has 95.0 % accuracy, model B 93.8 %. Which is better?",
     "Can't be said: A may never find a positive. Look at precision and recall of the positives."),
    ("What is an AUC of 0.5, and of 0.2?",
     "0.5: positives rank before negatives as often as not. 0.2: it ranks them the wrong way round; "
     "turn the sign and it is 0.8."),
    ("Ten questions a picture, 1,000 questions. How many independent things were measured?",
     "Between 100 and 1,000, nearer to 100 the more the answers about a picture go together."),
    ("Two intervals overlap. Are the models equally good?",
     "That doesn't follow: the difference on the same questions has an interval of its own, which "
     "is often narrower than the two suggest."),
    ("Accuracy on the test set 99 %, on new combinations 60 %. Was the test wrong?",
     "It was right about data like the training data. It was never asked about anything else."),
])  # fmt: skip

# %% [markdown]
# **Papers.** Naeini et al. 2015 and Guo et al. 2017
# ([arXiv 1706.04599](https://arxiv.org/abs/1706.04599)): calibration error; modern networks are
# over-confident, and one temperature helps. Agrawal et al. 2018
# ([1712.00377](https://arxiv.org/abs/1712.00377)): VQA-CP, where the prior of the answers changes
# between training and test, and models fall. Johnson et al. 2017, *CLEVR*
# ([1612.06890](https://arxiv.org/abs/1612.06890)): pictures with known programs, and a test on new
# combinations. Efron 1979 gave the bootstrap, McNemar 1947 the paired test.
#
# **Next:** lesson 10 tunes a pretrained model with few parameters.

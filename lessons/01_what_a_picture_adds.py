# ---
# jupyter:
#   course:
#     title: What a picture adds
#     needs: [00]
# ---

# %% [markdown]
# How much of "visual question answering" needs the picture? In this lesson you will
#
# - look at the data of the course: a published benchmark and a world that we draw ourselves;
# - measure in bits what a question says about its answer, and what is left for the picture;
# - derive the best model that never looks, build it, and see how good it is;
# - balance a biased dataset, and find two leaks that make blind models look clever;
# - watch a real network, published together with the data, learn every question and no picture.

# %% tags=["setup"]
import dataclasses
import inspect
import json
import math
from collections import Counter, defaultdict

import matplotlib.pyplot as plt
import torch
from course_utils import world
from course_utils.checks import check, quiz
from course_utils.datasets import load_easy_vqa, load_world
from course_utils.evaluation import baselines
from course_utils.evaluation.evaluate import predict_logits
from course_utils.models.small import INITS, SmallNetwork
from course_utils.notebook import lab, plots
from course_utils.studies import prior_runs
from scipy.stats import fisher_exact
from sklearn.metrics import mutual_info_score

# %% [markdown]
# ## 1. Two sources of questions
#
# **easy-VQA** is a published benchmark: small pictures with one coloured shape each. It is the
# data on which we can compare with others.

# %%
train = load_easy_vqa("train")
test = load_easy_vqa("test", train.tokenizer, train.answers)
for name, data in (("train", train), ("test", test)):
    print(
        f"{name:5}  {len(data.images):,} pictures, {len(data):,} questions, "
        f"{len(set(data.questions))} different ones"
    )
print("answers:", ", ".join(train.answers))

# %% tags=["figure"]
first = train.image_index.tolist().index  # a picture's first question
rows = [first(i) + j for i, j in ((3, 0), (5, 1), (21, 3), (30, 5))]
figure = plots.images_grid(
    train.images[train.image_index[rows]],
    [f"{train.questions[r]}\n{train.answers[train.y[r]]}" for r in rows],
    size=2.6,
)
plots.show(
    figure,
    alt=(
        "Four pictures with one coloured shape each, a question and its answer."
    ),
)

# %% [markdown]
# The **teaching world** is drawn by the course: one to four objects with shape, colour, size and
# place. A question is a small program that computes its answer from the scene, so no answer is
# ever wrong. And we can change one thing in a picture so that the answer flips. Such a
# **counterfactual pair** shows what the picture adds: the question stays, the answer changes.

# %%
scene = world.compose(
    [
        ("large", "teal", "cross", 18, 18),
        ("small", "red", "circle", 46, 20),
        ("large", "yellow", "triangle", 40, 46),
    ]
)
question = "is there a red circle?"
changed = world.counterfactual(scene, 0, world.parse(question), seed=1)
pair = [(s, world.ask(question, s)) for s in (scene, changed)]

# %% tags=["figure"]
figure = plots.images_grid(
    [torch.from_numpy(world.draw(s))[0] for s, _ in pair],
    [f"{question}\n{answer}" for _, answer in pair],
    size=2.6,
)
plots.show(
    figure,
    alt=(
        "Two pictures that differ in one attribute of one object; the answer to"
        " the same question is yes for the first and no for the second."
    ),
)

# %%
world_train = load_world("iid", "train", scenes=4000, seed=0)
world_test = load_world("iid", "test", scenes=1500, seed=0)
print(
    f"train {len(world_train.images):,} pictures, {len(world_train):,}"
    f" questions, test {len(world_test.images):,} and {len(world_test):,}"
)
for name in world_train.families:
    mine = world_train.family == world_train.families.index(name)  # (all,)
    rows = mine.nonzero()[:, 0]  # (of this family,)
    example = world_train.questions[rows[0]]
    print(f"{name:9} {len(rows):5} questions, such as: {example}")

# %% [markdown]
# A third source, emoji with their names in English and Chinese, comes with lesson 07.
#
# ### A guess to begin with
#
# There are 13 possible answers, so whoever draws one of them is right one time in 13. How much
# better can one do without looking?
#
# > **Exercise 01.1 · predict first** · difficulty 1 of 3 · 3 minutes
# >
# > What accuracy, in per cent, does the best model reach that reads the question and **never sees
# > the picture**? Look at the questions above, and write down your guess. Any honest number is
# > right.

# %%
my_prediction = None
### BEGIN SOLUTION
my_prediction = 45.0  # a guess, written down before the measurement
### END SOLUTION

# %%
my_prediction = check("01.1", my_prediction)

# %% [markdown]
# ## 2. How uncertain is an answer? Entropy
#
# Accuracy says how often a model is right, not how much it had to know. We need a measure of what is
# not known. (In section 7 the same number turns up in the loss of a training.) Let the answer $Y$ take the value $a$ with probability
# $p(a)$. If $p(a)$ is small, seeing $a$ is a surprise. Call $\log_2 \frac{1}{p(a)}$ the
# **surprise** of $a$, in **bits**: an answer of probability $\frac12$ has one bit, of $\frac14$
# two bits, and a certain one zero. For such probabilities it is the number of yes/no questions
# that a good questioner needs to find $a$. The mean surprise is the **entropy**:
#
# $$H(Y) = \sum_a p(a) \log_2 \frac{1}{p(a)} = - \sum_a p(a) \log_2 p(a) .$$
#
# Here is a tiny dataset, small enough to do by hand. Each row is a question, each column an
# answer, and each entry says how often they occurred together.
#
# | | no | yes | circle | square |
# |---|--:|--:|--:|--:|
# | is there a red shape? | 3 | 1 | 0 | 0 |
# | what shape is it? | 0 | 0 | 2 | 2 |
#
# Over both questions, $p(\text{no}) = \frac38$, $p(\text{yes}) = \frac18$, and the shapes have
# $\frac14$ each. So
#
# $$H(Y) = \tfrac38 \log_2 \tfrac83 + \tfrac18 \cdot 3 + \tfrac14 \cdot 2 + \tfrac14 \cdot 2
#   \approx 0.531 + 0.375 + 0.5 + 0.5 = 1.906 \text{ bits}.$$
#
# > **Exercise 01.2 · write it** · difficulty 1 of 3 · 10 minutes
# >
# > Write the entropy in bits of the distribution given by a tensor of counts, of any shape. Some
# > counts may be 0: since $p \log p \to 0$ for $p \to 0$, they add nothing.


# %%
def entropy_bits(counts):
    """Entropy in bits of the distribution given by counts of any shape."""
    ### BEGIN SOLUTION
    # (outcomes,) zeros are left out: 0 * log2(0) is nan
    p = counts[counts > 0] / counts.sum()
    return -(p * p.log2()).sum()  # ()
    ### END SOLUTION


# %%
entropy_bits = check("01.2", entropy_bits)

# %%
# (questions, answers)
tiny = torch.tensor([[3.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 2.0]])
p = tiny.sum(0) / tiny.sum()  # (answers,)
torchs = torch.distributions.Categorical(p).entropy() / math.log(2)  # in bits
print(
    f"by hand 1.906, by the function {entropy_bits(tiny.sum(0)):.3f}, by"
    f" PyTorch {torchs:.3f} bits"
)

# %% [markdown]
# ## 3. What the question says about its answer
#
# Now somebody tells us the question $Q$. How much uncertainty is left? For the question $q$ it is
# the entropy within its row. On average over the questions, it is the **conditional entropy**
#
# $$H(Y \mid Q) = \sum_q p(q) \, H(Y \mid Q = q)
#   = -\sum_{q, a} p(q, a) \log_2 p(a \mid q) .$$
#
# Here $p(q, a)$ is the share of one cell in the whole table, and $p(a \mid q)$ its share within its
# row.
#
# With $p(a \mid q) = p(q, a) / p(q)$ the logarithm splits in two. The $p(q, a)$ of a row add up to
# $p(q)$, and we get a form that needs only entropies: $H(Q, Y)$ of all cells of the table, and
# $H(Q)$ of its row sums:
#
# $$H(Y \mid Q) = -\sum_{q,a} p(q,a) \log_2 p(q,a) + \sum_{q} p(q) \log_2 p(q) = H(Q, Y) - H(Q) .$$
#
# What the question took away is the **mutual information** of question and answer:
#
# $$I(Y; Q) = H(Y) - H(Y \mid Q) = H(Y) + H(Q) - H(Q, Y) .$$
#
# By hand, in the tiny table: half of the questions ask "is there a red shape?", with answers 3 to
# 1, so $H = \frac34 \log_2 \frac43 + \frac14 \cdot 2 = 0.811$ bits. The other half has two equally
# frequent answers: 1 bit. So $H(Y \mid Q) = \frac12 \cdot 0.811 + \frac12 \cdot 1 = 0.906$ bits,
# and $I(Y; Q) = 1.906 - 0.906 = 1$ bit. That makes sense: the question tells which of two *kinds*
# of answer to expect, and both kinds are equally frequent.
#
# > **Exercise 01.3 · write it** · difficulty 2 of 3 · 10 minutes
# >
# > Write the mutual information in bits of the rows and columns of a table of counts, of shape
# > (questions, answers). You may use `entropy_bits`.


# %%
def mutual_information(table):
    """I(Y; Q) in bits, of a table of counts (questions, answers)."""
    ### BEGIN SOLUTION
    # the rows added up count the answers, the columns the questions
    answers, questions = table.sum(0), table.sum(1)
    both = entropy_bits(answers) + entropy_bits(questions)
    return both - entropy_bits(table)  # ()
    ### END SOLUTION


# %%
mutual_information = check("01.3", mutual_information)

# %%
questions, answers = tiny.nonzero(as_tuple=True)  # the cells that occur
repeats = tiny[questions, answers].long()  # how often each
reference = mutual_info_score(
    questions.repeat_interleave(repeats), answers.repeat_interleave(repeats)
) / math.log(2)
print(
    f"by hand 1, by the function {mutual_information(tiny):.4f}, by"
    f" scikit-learn {reference:.4f}"
)

# %% [markdown]
# ### And what the picture adds
#
# In easy-VQA the answer is certain once question *and* picture $V$ are known: nothing is left,
# $H(Y \mid Q, V) = 0$. The information that the picture adds to the question is therefore
#
# $$I(Y; V \mid Q) = H(Y \mid Q) - H(Y \mid Q, V) = H(Y \mid Q) .$$
#
# So $H(Y \mid Q)$ is the answer to the title of this lesson, in bits per question. First the claim
# that nothing is left. We compare questions about a picture that mean the same: "is there a circle?", "does the image contain a circle?", and "does the
# image not contain a circle?" with the opposite answer.

# %%
COLOURS = {"black", "blue", "brown", "gray", "green", "red", "teal", "yellow"}
SHAPES = {"circle", "rectangle", "triangle"}


def meaning(question):
    """What is asked, in whatever words, and whether it is negated."""
    asked = question.rstrip("?").split()
    kind = "yes/no"
    if asked[0] == "what":
        kind = "colour" if "color" in asked else "shape"
    named = frozenset(asked) & (COLOURS | SHAPES)
    return (kind, named), "no" in asked or "not" in asked


# %%
answer_of, repeats, clashes = {}, 0, 0
for question, i, y in zip(
    train.questions, train.image_index.tolist(), train.y.tolist()
):
    asked, negated = meaning(question)
    answer = train.answers[y]
    if negated:
        answer = {"yes": "no", "no": "yes"}[answer]
    repeats += (asked, i) in answer_of
    clashes += answer_of.setdefault((asked, i), answer) != answer
print(
    f"{repeats:,} questions ask in other words what was asked about the same"
    " picture already"
)
lab.claim(
    "none of them gets another answer than the first time",
    repeats > 0 and clashes == 0,
)


# %%
def table_of(data):
    """Counts, float64: (different questions, answers)."""
    ids = {
        question: i for i, question in enumerate(sorted(set(data.questions)))
    }
    # (examples,)
    rows = torch.tensor([ids[question] for question in data.questions])
    cells = rows * len(data.answers) + data.y  # (examples,)
    counts = torch.bincount(cells, minlength=len(ids) * len(data.answers))
    return counts.view(len(ids), len(data.answers)).double()


rows = []
for name, data in (("easy-VQA", train), ("teaching world", world_train)):
    table = table_of(data)
    whole, told = entropy_bits(table.sum(0)), mutual_information(table)
    rows.append([name, f"{whole:.2f}", f"{told:.2f}", f"{whole - told:.2f}"])
header = ["bits a question (training set)", "answer H(Y)"]
header += ["told by the question", "added by the picture"]
plots.table(rows, header=header)

# %% [markdown]
# In both, the question tells a good deal: whether a colour, a shape or yes/no is asked for. What
# remains for the picture in easy-VQA is hardly more than one bit, little more than one fair
# yes/no. Where is it?

# %%
shares, bits = [], []
for i, name in enumerate(train.families):
    part = train.select(train.family == i)
    table = table_of(part)
    shares.append(len(part) / len(train))
    bits.append(float(entropy_bits(table) - entropy_bits(table.sum(1))))

# %% tags=["figure"]
names = [
    f"{name} ({100 * share:.0f} % of questions)"
    for name, share in zip(train.families, shares)
]
figure, axis = plt.subplots(figsize=(7, 2.6))
axis.barh(names, bits, color=plots.PALETTE[0])
axis.invert_yaxis()
axis.axvline(1, color="grey", linestyle="--")
axis.text(1.05, 0, "a fair coin", va="center", color="grey")
axis.set(
    xlabel="bits that the picture adds to a question",
    title="Three of four questions need less than a coin toss",
)
plots.show(
    figure,
    alt=(
        "Bars: yes/no questions need about 0.64 bits of the picture, colour "
        "questions 3 bits, shape questions 1.6 bits."
    ),
)

# %% [markdown]
# Colour questions need $\log_2 8 = 3$ bits and shape questions $\log_2 3 \approx 1.58$: the
# question says nothing about *which* colour or shape. The yes/no questions are different. A fair
# yes/no would need 1 bit, and these need less. Something in their words gives the answer away;
# section 4 finds it.
#
# ### A warning: information is overestimated
#
# (At a first reading, look at the table below and go on with section 4.) We computed entropies from counts as if counts were probabilities. That is the **plug-in
# estimate**, and for mutual information it is too high, by chance alone. To see it, destroy all
# information: deal the answers out to the questions at random. The truth is then 0 bits. To first
# order, the estimate is too high by
#
# $$\frac{(k_q - 1)(k_a - 1)}{2 n \ln 2} \text{ bits},$$
#
# for $k_q$ questions, $k_a$ answers and $n$ examples: the more cells a table has, the more of its
# structure is accident.


# %%
def shuffled_information(n, seed):
    """Plug-in information (bits) of n questions with answers that were dealt
    out at random."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(train), generator=generator)[:n]  # (n,)
    part = train.select(rows)
    order = torch.randperm(n, generator=generator)  # (n,)
    dealt = dataclasses.replace(part, y=part.y[order])
    return float(mutual_information(table_of(dealt)))


# %%
rows = []
true_table = table_of(train)
k_q, k_a = true_table.shape  # questions, answers
for n in (300, 1000, 5000, len(train)):
    runs = [shuffled_information(n, seed) for seed in range(5)]
    expected = (k_q - 1) * (k_a - 1) / (2 * n * math.log(2))
    rows.append([f"{n:,}", lab.mean_spread(runs, digits=3), f"{expected:.3f}"])
header = ["examples", "information found where there is none (bits)"]
plots.table(rows, header=[*header, "expected from the formula"])
possible = int((true_table > 0).sum())
excess = (possible - k_q - k_a + 1) / (2 * len(train) * math.log(2))
print(
    f"in the true table {possible} of {k_q * k_a:,} cells occur: excess"
    f" {excess:.4f} bits"
)

# %% [markdown]
# With 300 examples the question seems to tell more than a bit where it tells nothing. (The formula
# holds when there are many examples *per* cell, so it fails at the top.) With all the data the
# error is small. In the true table it is smaller still: most of its cells are impossible (a
# question about a colour has no "yes"). Only the $k$ cells that can occur count, instead of $k_q
# k_a$: the excess is $(k - k_q - k_a + 1) / (2 n \ln 2)$. And where $I(Y; Q)$ comes out too high,
# $H(Y \mid Q)$ comes out too low.
#
# The safe way to find out what words tell is not to count bits but to *predict answers of questions
# that were not counted*. That is what a **baseline** does: a simple model whose score any serious
# model must beat.
#
# ## 4. The best model that never looks
#
# A blind model is a function $f$ from questions to answers. Its accuracy is
#
# $$\text{acc}(f) = \sum_q p(q) \; p\big(f(q) \mid q\big)
#   \;\le\; \sum_q p(q) \, \max_a p(a \mid q) ,$$
#
# because each term can be no larger than the largest in its row. The bound is reached by answering
# each question with its commonest answer. How often each answer occurs for a question, before
# anybody looks at the picture, is called the **prior**: the best blind model knows the prior and
# nothing else. So the best blind model is known: no network, however
# large, can do better in the long run without the picture. In the tiny table that is
# $\frac12 \cdot \frac34 + \frac12 \cdot \frac12 = \frac58$.
#
# > **Exercise 01.4 · write it** · difficulty 2 of 3 · 15 minutes
# >
# > Answer each test question with the commonest answer that it had in training. (If two are
# > equally common, either is right.) A question that training never had gets the commonest answer
# > of all. All three inputs are lists of texts.


# %%
def best_blind(train_questions, train_answers, test_questions):
    """A list with one answer for each test question."""
    ### BEGIN SOLUTION
    counts = defaultdict(Counter)
    for question, answer in zip(train_questions, train_answers):
        counts[question][answer] += 1
    overall = Counter(train_answers).most_common(1)[0][0]
    best = {question: c.most_common(1)[0][0] for question, c in counts.items()}
    return [best.get(question, overall) for question in test_questions]
    ### END SOLUTION


# %%
best_blind = check("01.4", best_blind)


# %%
def words(data):
    """The answers of a dataset as texts."""
    return [data.answers[y] for y in data.y.tolist()]


said = best_blind(train.questions, words(train), test.questions)
blind = baselines.mode_per_question(train, test)
on_train = best_blind(train.questions, words(train), train.questions)
mine = sum(one == true for one, true in zip(on_train, words(train)))
# the largest count of each row
bound = int(true_table.max(1).values.sum())
print(
    f"right on the training questions: yours {mine:,}, the bound {bound:,} of"
    f" {len(train):,}"
)
lab.claim("no function of the question is right on more of them", mine == bound)

# %% [markdown]
# Two more baselines stand beside it: the commonest answer to everything (**majority**), and a
# **bag-of-words** classifier, which knows which words occur but not their order. (It is a *logistic
# regression*: each word adds a learnt number to the score of each answer.) It can answer questions
# that it has never seen. The last row is the ceiling: the bound
# above, computed on the *test* questions, with their answers known.
#
# And the other way round: what could a model reach that sees the picture and **not the question**?
# At most it gives, about each picture, the answer that is right most often for that picture. But we
# choose that answer *after* seeing the picture's ten or so true answers. As with the bits above,
# some of what we find is accident, so beside it stands the same number with answers that were dealt
# out at random.


# %%
def picture_only(ys):
    """Share right if each picture gets the answer that is right most often in
    these same data."""
    of_picture = defaultdict(Counter)
    for picture, y in zip(test.image_index.tolist(), ys.tolist()):
        of_picture[picture][y] += 1
    return sum(max(counts.values()) for counts in of_picture.values()) / len(ys)


generator = torch.Generator().manual_seed(0)
dealt = test.y[torch.randperm(len(test), generator=generator)]  # (questions,)
ceiling = (table_of(test).max(1).values.sum() / len(test)).item()
results = {
    "majority: always the same answer": baselines.majority(train, test),
    "bag of words": baselines.bag_of_words(train, test),
    "commonest answer to each question": blind,
}

# %%
one_number = {
    "chance: one of 13 answers": 1 / 13,
    "picture only, chosen after seeing the answers": picture_only(test.y),
    "the same with answers dealt out at random": picture_only(dealt),
}
empty = [""] * len(test.families)
rows = [
    [name, f"{100 * share:.1f} %", *empty] for name, share in one_number.items()
]
for name, result in results.items():
    shares = [
        f"{100 * result.by_family[family]:.1f} %" for family in test.families
    ]
    rows.append([name, f"{100 * result.accuracy:.1f} %", *shares])
rows.append(["ceiling of all blind models", f"{100 * ceiling:.1f} %", *empty])
plots.table(rows, header=["easy-VQA test set", "all", *test.families], best=5)

# %%
lab.claim(
    "without a picture, two of three questions of easy-VQA are answered"
    " correctly",
    abs(blind.accuracy - 0.67) < 0.005,
)
print(
    f"Predicted for a blind model: {my_prediction:.0f} %; measured:"
    f" {100 * blind.accuracy:.1f} %"
)

# %% [markdown]
# So if somebody shows you a model that is right on 67 %, it may have learnt *nothing about
# pictures*. Chance is 8 %, but chance is the wrong thing to compare with. The picture without the
# question is right no more often than on dealt answers. So this test can't show that the picture
# alone helps: ten questions a picture are too few for it.
#
# What about the yes/no questions, where blindness is worth 82.5 %? The answers of the whole set
# look balanced. Within a question they are not.

# %%
yes_no = train.select(train.family == 0)
yes = (yes_no.y == yes_no.answers.index("yes")).double()  # (questions,)
print(f"yes among all yes/no questions: {100 * yes.mean():.1f} %")
for question in (
    "is there a red shape?",
    "is there not a red shape?",
    "is there a circle?",
    "is there not a circle?",
):
    # (questions,)
    asked = torch.tensor([q == question for q in yes_no.questions])
    print(f"  {question:27} {100 * yes[asked].mean():5.1f} %")

# %% [markdown]
# With eight colours, a picture with one shape rarely has the one that is asked for, so "is there a
# red shape?" is mostly a "no". Its negation is mostly a "yes". Together they are balanced, and
# nothing is gained by it: **a dataset must be balanced within each question, not as a whole**.
#
# ## 5. Balance it
#
# > **Exercise 01.5 · write it** · difficulty 3 of 3 · 15 minutes
# >
# > For each question keep equally many rows of each of its answers, and as many as that allows. A
# > question with 3 × no and 1 × yes keeps one of each; which ones doesn't matter. A question that
# > has only one answer in the data can't be balanced: leave it out. Return the list of the row
# > numbers that stay. `questions` and `answers` are lists of texts.


# %%
def balanced_rows(questions, answers):
    """Row numbers of a subset in which every question has its answers equally
    often."""
    ### BEGIN SOLUTION
    rows = defaultdict(lambda: defaultdict(list))
    for i, (question, answer) in enumerate(zip(questions, answers)):
        rows[question][answer].append(i)
    kept = []
    for by_answer in rows.values():
        if len(by_answer) > 1:  # otherwise the question alone gives the answer
            # keep the first so many
            fewest = min(len(group) for group in by_answer.values())
            kept += [i for group in by_answer.values() for i in group[:fewest]]
    return sorted(kept)
    ### END SOLUTION


# %%
balanced_rows = check("01.5", balanced_rows)

# %%
fair_train = train.select(
    torch.tensor(balanced_rows(train.questions, words(train)))
)
fair_test = test.select(
    torch.tensor(balanced_rows(test.questions, words(test)))
)
fair = baselines.mode_per_question(fair_train, fair_test)
before = [f"{100 * blind.by_family[family]:.1f} %" for family in test.families]
after = [f"{100 * fair.by_family[family]:.1f} %" for family in test.families]
plots.table(
    [
        ["as published", f"{len(test):,}", *before],
        ["balanced", f"{len(fair_test):,}", *after],
        ["chance", "", "50.0 %", "12.5 %", "33.3 %"],
    ],
    header=["blind on easy-VQA", "test questions", *test.families],
)

# %% [markdown]
# Balanced, the blind model is at chance in every family. No blind model can be above it: each
# answer that a question has is right equally often. The price is that more than half of the test
# questions are gone. Goyal et al. paid in another way when they balanced the large VQA dataset:
# for each question they collected a *second, similar picture with another answer*. The teaching
# world is balanced when it is drawn: each question is asked until all its answers occur about
# equally often.


# %%
def chance_of(first, second):
    """Share right of a guess among the answers that each question of `second`
    has in `first`."""
    options = defaultdict(set)
    for question, y in zip(first.questions, first.y.tolist()):
        options[question].add(y)
    return sum(
        1 / len(options[q]) if q in options else 0 for q in second.questions
    ) / len(second)


chance = chance_of(world_train, world_test)
ceiling = (table_of(world_test).max(1).values.sum() / len(world_test)).item()
world_blind = baselines.mode_per_question(world_train, world_test)
world_bag = baselines.bag_of_words(world_train, world_test)

# %%
shares = {
    "chance among the answers of the question": chance,
    "bag of words": world_bag.accuracy,
    "commonest answer to each question": world_blind.accuracy,
    "ceiling of all blind models on these questions": ceiling,
}
plots.table(
    [[name, f"{100 * share:.1f} %"] for name, share in shares.items()],
    header=["teaching world, test, without pictures", "right"],
)

# %%
lab.claim(
    "in the world no blind model is more than 3 points above chance",
    ceiling < chance + 0.03,
)

# %% [markdown]
# ### Where it breaks: the prior is a property of a dataset
#
# What a blind model knows is how often answers occurred *in training*. If that changes, its
# knowledge turns against it. The split `prior` of the world has skewed answers in training, and
# skewed the other way in the test. VQA-CP does something like it with real data: for each *type*
# of question, answers are distributed otherwise in the test than in training.

# %%
skewed_train = load_world("prior", "train", scenes=2000, seed=0)
skewed_test = load_world("prior", "test", scenes=800, seed=0)
skewed_validation = load_world("prior", "validation", scenes=800, seed=0)
rows = []
for name, data in (
    ("answers skewed as in training", skewed_validation),
    ("answers skewed the other way", skewed_test),
):
    by_mode = baselines.mode_per_question(skewed_train, data).accuracy
    shares = (chance_of(skewed_train, data), by_mode)
    rows.append([name, *(f"{100 * share:.1f} %" for share in shares)])
header = ["world, split prior", "chance", "commonest answer to each question"]
plots.table(rows, header=header)

# %%
worse = baselines.mode_per_question(skewed_train, skewed_test).accuracy
lab.claim(
    "where the prior changes, the blind model falls far below chance",
    worse < chance_of(skewed_train, skewed_test) - 0.15,
)

# %% [markdown]
# ## 6. Two leaks
#
# ### A question that gives something away
#
# "What is the blue shape?" asks for a shape, and takes for granted that something is **blue**.
# That doesn't help with this question. But the same picture has about nine more questions, and one
# of them may be "what color is the shape?".
#
# > **Exercise 01.6 · find it** · difficulty 2 of 3 · 10 minutes
# >
# > Return the set of colours and shapes that a question takes for granted: {"circle"} for "what
# > color is the circle?", and the empty set for "is there a circle?", which asks and doesn't say.
# > `COLOURS` and `SHAPES`, from section 3, are sets of words. Questions begin with "what", or they
# > are yes/no questions.


# %%
def stated(question):
    """The set of colours and shapes that the question says are in the picture.

    It may be empty.
    """
    ### BEGIN SOLUTION
    asked = question.rstrip("?").split()
    if asked[0] != "what":
        return set()  # "is there a red shape?" doesn't say that there is one
    return set(asked) & (COLOURS | SHAPES)
    ### END SOLUTION


# %%
stated = check("01.6", stated)


# %%
def answer_from(facts, question, guess):
    """The answer that follows from facts about a one-shape picture.

    `guess` if none does.
    """
    asked = question.rstrip("?").split()
    if asked[0] == "what":
        known = facts & (COLOURS if "color" in asked else SHAPES)
        return min(known) if known else guess
    word = next(w for w in asked if w in COLOURS | SHAPES)
    known = facts & (COLOURS if word in COLOURS else SHAPES)
    if not known:
        return guess
    negated = "not" in asked or "no" in asked
    return "yes" if (word in known) != negated else "no"


# %%
facts = defaultdict(set)  # picture -> what its questions take for granted
for question, picture in zip(test.questions, test.image_index.tolist()):
    facts[picture] |= stated(question)
peeking = [
    answer_from(facts[picture], question, guess)
    for question, picture, guess in zip(
        test.questions, test.image_index.tolist(), said
    )
]
right = sum(one == true for one, true in zip(peeking, words(test))) / len(test)
leaking = sum(bool(stated(q)) for q in test.questions) / len(test)
print(f"questions that take something for granted: {100 * leaking:.1f} %")
print(
    f"blind, one question at a time:             {100 * blind.accuracy:.1f} %"
)
print(f"blind, all questions of a picture at once: {100 * right:.1f} %")

# %%
lab.claim(
    "reading the other questions about a picture is worth over ten points,"
    " without a picture",
    right > blind.accuracy + 0.1,
)

# %% [markdown]
# Not one pixel was looked at. A model that is given all questions about a picture at once can do
# this, so questions must be answered one by one.
#
# ### A split that shares pictures
#
# For choosing when to stop, part of the training data is set aside for validation. Ten questions
# share a picture. Drawing *questions* at random is the obvious way, and a wrong one.

# %%
generator = torch.Generator().manual_seed(0)
order = torch.randperm(len(train), generator=generator)  # (examples,)
by_question = train.select(order[3857:]), train.select(order[:3857])
by_picture = train.split_by_image(0.1, seed=0)
for name, (first, second) in (
    ("by question", by_question),
    ("by picture", by_picture),
):
    print(
        f"split {name:11}  {len(first):,} and {len(second):,} questions about "
        f"{len(first.images):,} and {len(second.images):,} pictures"
    )

# %% [markdown]
# The second line adds up to 4,000 pictures. The first doesn't.
#
# > **Exercise 01.7 · spot the leak** · difficulty 2 of 3 · 10 minutes
# >
# > Count how many distinct pictures of the tensor `first` (n, 3, height, width) occur in `second`
# > too. Both are uint8. Their numbers don't help: each split numbers its pictures anew. With up to
# > 4,000 pictures on each side, comparing each with each would take very long.


# %%
def shared_pictures(first, second):
    """The number of distinct pictures that are in both."""
    ### BEGIN SOLUTION
    pixels = [
        {picture.numpy().tobytes() for picture in part}
        for part in (first, second)
    ]
    return len(pixels[0] & pixels[1])
    ### END SOLUTION


# %%
shared_pictures = check("01.7", shared_pictures)

# %%
for name, (first, second) in (
    ("by question", by_question),
    ("by picture", by_picture),
    ("published", (train, test)),
):
    count = shared_pictures(first.images, second.images)
    print(
        f"split {name:11}  {count:5,} of {len(second.images):,} pictures are on"
        " the other side too"
    )

# %% [markdown]
# (Only exact copies are found so. Real datasets also hold near copies, which need a comparison
# that forgives small changes.)
#
# What is that worth to a model that only **memorises**? It notes what the training questions said
# about each picture, and knows nothing about any other picture.


# %%
def pixels_of(data):
    """For each question its picture as bytes, to look it up in a dictionary."""
    keys = [picture.numpy().tobytes() for picture in data.images]
    return [keys[i] for i in data.image_index.tolist()]


def memory_of(data):
    """What questions and answers tell about each picture: {picture: words}."""
    memory = defaultdict(set)
    for question, answer, picture in zip(
        data.questions, words(data), pixels_of(data)
    ):
        asked = set(question.rstrip("?").split())
        memory[picture] |= stated(question) | ({answer} & (COLOURS | SHAPES))
        negated = bool(asked & {"no", "not"})
        if answer in ("yes", "no") and (answer == "yes") != negated:
            # "is there a red shape?" yes
            memory[picture] |= asked & (COLOURS | SHAPES)
    return memory


# %%
def memorise(first, second):
    """Accuracy on `second` of a memory of `first`, picture by picture."""
    memory = memory_of(first)
    guesses = best_blind(first.questions, words(first), second.questions)
    asked = zip(pixels_of(second), second.questions, guesses)
    said = [answer_from(memory[key], *question) for key, *question in asked]
    right = sum(one == true for one, true in zip(said, words(second)))
    return right / len(second)


by_question_score = memorise(*by_question)
by_picture_score = memorise(*by_picture)
shares = {
    "by picture": by_picture_score,
    "by question": by_question_score,
    "best blind model, split by picture": baselines.mode_per_question(
        *by_picture
    ).accuracy,
}
plots.table(
    [[name, f"{100 * share:.1f} %"] for name, share in shares.items()],
    header=["validation questions split off", "a memory is right"],
)

# %%
lab.claim(
    "split by question, a mere memory is right over 15 points more often than"
    " by picture",
    by_question_score > by_picture_score + 0.15,
)

# %% [markdown]
# That is why `split_by_image` is the only way to split in this course.
#
# ## 7. A network that never looks
#
# Now a real one. The author of easy-VQA published a small network with the data. A picture goes
# through two convolutions (layers that look for small patterns, lesson 04) and a dense layer (a
# matrix), and becomes one vector `v`. The question, as the list of words that occur in it, goes
# through two dense layers and becomes one vector too. The two are multiplied element by element,
# and two more layers give the answer. We have ported it to PyTorch. In its forward pass, `words`
# is the list of words, and `v` has one vector a picture instead of one a patch:

# %%
print(inspect.getsource(SmallNetwork.forward))

# %% [markdown]
# What loss should we expect if it doesn't look? A model gives each answer a probability $r(a \mid
# q)$. Its loss on an example is the **cross-entropy** $-\ln r(y \mid q)$, small if it gave the
# right answer $y$ a large probability. If $r$ is the true share $p(a \mid q)$, the mean over the
# examples is the conditional entropy. And whoever knows the question only can't do better: the
# logarithm lies below its tangent at 1, $\ln t \le t - 1$, and both $r$ and $p$ add up to 1. So
# for each question (and without writing it each time)
#
# $$\sum_a p(a) \ln \frac{r(a)}{p(a)} \;\le\; \sum_a p(a) \Bigl(\frac{r(a)}{p(a)} - 1\Bigr)
#   = 1 - 1 = 0, \qquad\text{so}\qquad -\sum_a p(a) \ln r(a) \;\ge\; -\sum_a p(a) \ln p(a) .$$
#
# > **Exercise 01.8 · write it** · difficulty 2 of 3 · 5 minutes
# >
# > PyTorch's cross-entropy uses the natural logarithm: its unit is the **nat**. Write the smallest
# > mean cross-entropy of a blind model, given $H(Y \mid Q)$ in bits.


# %%
def loss_without_picture(bits):
    """The smallest mean cross-entropy (nat) of a model that never looks, from
    H(Y|Q) in bits."""
    ### BEGIN SOLUTION
    return bits * math.log(2)  # ln p = log2 p * ln 2
    ### END SOLUTION


# %%
loss_without_picture = check("01.8", loss_without_picture)

# %%
bits = entropy_bits(true_table) - entropy_bits(true_table.sum(1))  # H(Y|Q)
floor = loss_without_picture(float(bits))
print(
    f"a loss near {floor:.3f} nat means: the question was learnt, the picture"
    " was not"
)

# %% [markdown]
# Now train it, for two passes over the data. The optimiser is the author's, Adam with a learning
# rate of 0.0005. A batch holds three pictures with all their questions, about 29, so that each picture is
# encoded once. (The author drew 32 questions at random, which is much slower.)

# %%
torch.manual_seed(lab.seed)
vocabulary = train.tokenizer.get_vocab_size()
network = SmallNetwork(vocabulary, len(train.answers))
batches = prior_runs.batched(train, "pictures", lab.seed)
losses = list(
    prior_runs.train(network, batches, epochs=2, max_steps=lab.step_limit)
)

# %%
# (questions, answers) each: with their own pictures, and with others
logits_own = predict_logits(network, test)
logits_other = predict_logits(network, test.shuffle_images(seed=0))
seeing, elsewhere = (
    (logits.argmax(1) == test.y).double().mean().item()
    for logits in (logits_own, logits_other)
)
loss = lab.measured("01.loss", losses[-1], digits=3)
right = lab.measured("01.seeing", 100 * seeing, "%")
right_elsewhere = lab.measured("01.elsewhere", 100 * elsewhere, "%")
plots.table(
    [
        ["best blind model", f"{floor:.3f}", f"{100 * blind.accuracy:.1f} %"],
        ["the network", loss, right],
        [
            "the network, each question with another picture",
            "",
            right_elsewhere,
        ],
    ],
    header=[
        "two passes",
        "mean loss in the second pass (nat)",
        "right on the test questions",
    ],
)

# %%
lab.claim(
    "after two passes the network isn't a point better than the best blind"
    " model",
    seeing < blind.accuracy + 0.01,
)
same = (logits_own.argmax(1) == logits_other.argmax(1)).double().mean().item()
lab.claim(
    "with other pictures, it gives the same answer to 19 of 20 questions",
    same > 0.95,
)
own, other = (
    torch.nn.functional.cross_entropy(logits, test.y).item()
    for logits in (logits_own, logits_other)
)
lab.claim(
    "its test loss changes by less than a thousandth of a nat",
    abs(own - other) < 1e-3,
)
print(f"the same answer with another picture: {100 * same:.1f} %")

# %% [markdown]
# **Exchange the pictures** is the test to remember. A model whose accuracy comes from the pictures
# must get worse when each question comes with another picture. This one doesn't. The loss is the
# sharper test of the two, since it moves with the probabilities, not only when an answer flips.
#
# ### Does it learn to look later? Runs that were kept
#
# Perhaps two passes are too few. Eight passes from several seeds take too long for a notebook, so
# these runs were made once, by the command that is printed below, and their results are kept with
# the course. They compare two **initialisations**: PyTorch's default, and the one of Keras, the
# library that the author used (Glorot uniform weights, zero biases). The last two rows are single
# runs with the author's batches of 32 random questions (`--batches questions`).

# %%
path = lab.data_path("studies/prior_runs.json")
kept = json.loads(path.read_text(encoding="utf-8"))
version = kept["made"]["torch"].partition("+")[0]
print(kept["made"]["command"], "· torch", version)


def from_to(shares):
    """Least and largest in per cent, as a text."""
    low, high = 100 * min(shares), 100 * max(shares)
    if len(shares) == 1:
        return f"{low:.1f} %"
    return f"{low:.1f} to {high:.1f} %"


rows = []
for kind in ("pictures", "questions"):
    for init in INITS:
        runs = [
            run
            for run in kept["runs"]
            if (run["init"], run["batches"]) == (init, kind)
        ]
        last = [run["test"][-1] for run in runs]
        left = sum(share > blind.accuracy + 0.02 for share in last)
        ends = [last]
        ends += [
            [r[name] for r in runs] for name in ("shuffled", "same_answers")
        ]
        name, count = f"{init}, batches of {kind}", f"{left} of {len(runs)}"
        rows.append([name, count, *map(from_to, ends)])

# %%
by_pictures = [run for run in kept["runs"] if run["batches"] == "pictures"]
header = ["initialisation", "seeds that left the prior"]
header += ["right after eight passes", "with other pictures"]
plots.table(rows, header=[*header, "same answers as before"])

# %% tags=["figure"]
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4))
for run in by_pictures:
    colour = "C0" if run["init"] == "torch" else "C1"
    axes[0].plot(range(1, 9), run["loss"], colour, linewidth=1.2)
    right = [100 * a for a in run["test"]]
    axes[1].plot(range(1, 9), right, colour, linewidth=1.2)
axes[0].axhline(floor, color="grey", linestyle="--")
axes[1].axhline(100 * blind.accuracy, color="grey", linestyle="--")
axes[0].set(
    xlabel="pass over the data",
    ylabel="training loss (nat)",
    title="Most losses stop at H(Y|Q) ...",
)
axes[1].set(
    xlabel="pass over the data",
    ylabel="right on the test questions (%)",
    title="... unless a run finds the picture",
)
for label, colour in (("PyTorch's initialisation", "C0"), ("Keras'", "C1")):
    axes[1].plot([], [], colour, label=label)
axes[1].plot([], [], "grey", linestyle="--", label="best blind model")
axes[1].legend()
plots.show(
    figure,
    alt=(
        "Left: training losses of all kept runs fall to the blind floor, and"
        " only some with Keras' initialisation go below it. Right: the same"
        " runs' test accuracy."
    ),
)

# %%
stuck = [r for r in by_pictures if r["test"][-1] < blind.accuracy + 0.02]
free = [r for r in by_pictures if r["test"][-1] >= blind.accuracy + 0.02]
lab.claim(
    "no kept run from PyTorch's initialisation left the prior within eight"
    " passes",
    all(r["init"] == "keras" for r in free),
)
lab.claim(
    "the runs that stay end within a hundredth of a nat above the blind loss",
    all(0 < r["loss"][-1] - floor < 0.01 for r in stuck),
)
lab.claim(
    "runs that left it get worse with other pictures, the others don't",
    all(r["test"][-1] - r["shuffled"] > 0.05 for r in free)
    and all(abs(r["test"][-1] - r["shuffled"]) < 0.005 for r in stuck),
)

# %% [markdown]
# From PyTorch's initialisation not one run found the pictures: all of them stop at the blind
# accuracy, within a hundredth of a nat of the loss that we computed, and give the very same
# answers when the pictures are exchanged. From Keras' some did, and they are still climbing after
# eight passes. Nothing warned of it: the loss falls, no error is raised, and 67 % looks like a
# fair beginning. With these batches, same network, same data and same initialisation, the *seed*
# decides whether it learns to see.
#
# Does the initialisation matter as well? None of five left the prior against two of five. Fisher's
# exact test, below, asks: if the initialisation made no difference, in what share of such
# comparisons would the two counts be at least as uneven? One thing can be measured without training: how much the
# vector $v$ of the picture differs *between pictures* at the start. If it hardly does, the product
# with the question's vector looks the same for every picture, and the easy progress lies in the
# question.


# %%
def spread_of_pictures(init, seed):
    """Standard deviation over 200 pictures of the picture vector at the start,
    mean over dims."""
    torch.manual_seed(seed)
    fresh = SmallNetwork(vocabulary, len(train.answers), init)
    with torch.no_grad():
        # (pictures, dim)
        v = fresh.picture(train.images[:200].float() / 255 - 0.5)
    return v.std(0).mean().item()


# %%
luck = fisher_exact([[0, 5], [2, 3]]).pvalue
print(
    f"as uneven as 0 of 5 against 2 of 5 by luck alone: {100 * luck:.0f} % of"
    " the time"
)
rows = []
for init in INITS:
    spreads = [spread_of_pictures(init, seed) for seed in range(5)]
    gone = [run["seed"] for run in free if run["init"] == init]
    mean, each = (
        lab.mean_spread(spreads, digits=3),
        (f"{s:.2f}" for s in spreads),
    )
    rows.append([init, mean, *each, ", ".join(map(str, gone)) or "none"])
header = ["how far pictures differ in v, before training", "mean"]
header += [f"seed {seed}" for seed in range(5)]
plots.table(rows, header=[*header, "left the prior"])

# %% [markdown]
# So these runs don't show that the initialisation matters. With Keras', pictures differ about four
# times as much from the start. But among Keras' own seeds, the two that left began with the
# *smallest* spread. So this explains at most why the two groups differ, if they do, and not which
# seed leaves.
#
# The [author](https://github.com/vzhou842/easy-VQA-keras) reports 93.8 % for this network after
# eight passes, and 99.5 % for a larger one on a regenerated dataset of twice the size. The first
# is the last pass of what the README calls a typical run, with weights chosen by the loss *on the
# test set*. None of the kept runs comes near. The one known difference in training is the batch,
# and it may well matter: with batches of random questions, seed 0 from Keras' initialisation left
# the prior, which it did not with three whole pictures. That is a single run, so it proves little.
# But one number from one run hides all of this. Lesson 08 trains a model on the same data that does
# look.
#
# ## 8. On real data, and on a GPU
#
# Counting works here because questions repeat word by word. On real data they hardly do: the table
# of counts is nearly empty, and bits can't be counted. What is left is the accuracy of a text-only
# model (a language model) as the baseline, and the exchange of pictures, which always works.
#
# Nothing in this lesson needs a GPU; its largest cost is two passes of a small network. GPU times
# were not measured.
#
# ## 9. What you know now
#
# - Entropy is mean surprise. What the question leaves open, $H(Y \mid Q)$, is what the picture
#   adds.
# - The best blind model answers each question with its commonest answer. Compare with it, not with
#   chance.
# - Balance within each question. Split by picture.
# - A loss that stops at $H(Y \mid Q)$, and answers that stay when pictures are exchanged, say that
#   a model doesn't look yet.

# %%
quiz(
    [
        (
            "A question has the answers yes and no, equally often. How many"
            " bits must the picture add?",
            "One bit, if question and picture together decide the answer.",
        ),
        (
            "A dataset has as many yes as no. Can a blind model still be right"
            " on 90 %?",
            "Yes: if each question has mostly one answer, and the questions"
            " balance each other.",
        ),
        (
            "A model's accuracy falls from 80 % to 60 % when pictures are"
            " exchanged; blind is 67 %. Does it look?",
            "Yes. It uses the pictures, so wrong pictures lead it below the"
            " best blind model.",
        ),
        (
            "Why is mutual information estimated from few examples too high?",
            "With few examples a cell, accidents look like structure.",
        ),
        (
            "A validation set is drawn question by question. What goes wrong?",
            "Its pictures are also in training, so a memory scores well on it.",
        ),
    ]
)

# %% [markdown]
# **Papers.** Antol et al. 2015, *VQA: Visual Question Answering* ([arXiv
# 1505.00468](https://arxiv.org/abs/1505.00468)): the task, with language-only baselines beside the
# models. Goyal et al. 2017, *Making the V in VQA Matter*
# ([1612.00837](https://arxiv.org/abs/1612.00837)): balances the dataset with pairs of similar
# pictures that have different answers. Agrawal et al. 2018, *Don't Just Assume; Look and Answer*
# ([1712.00377](https://arxiv.org/abs/1712.00377)): VQA-CP, where the prior changes between
# training and test, and models that relied on it fall.
#
# **Next:** lesson 02, how words look at each other, lesson 03, how a machine learns a language from text alone, and lesson 04, what it can
# know of pictures. If you know Transformers and convolutional networks already, go on to lesson 05,
# which reads words and picture together.

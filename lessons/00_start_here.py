# ---
# jupyter:
#   course:
#     title: Start here
#     needs: []
# ---

# %% [markdown]
# A **vision-language model** takes a picture and a text, and answers: "what colour is the cross?",
# "blue". How does a language model learn to see? In twelve lessons of half an hour to three hours
# you build such a model from its parts, train it, tune it to pictures of your own, and learn to
# tell whether it really looks. In this first lesson you will
#
# - meet the small world in which most lessons take place;
# - find out whether this machine is ready, and how long the lessons will take on it;
# - see the map of the course and the notation that all lessons share;
# - solve the first two exercises, and see what a wrong answer looks like;
# - learn what `±` and "Claim holds" mean in the outputs.
#
# You need some Python, a little PyTorch (what a tensor is, and its shape), and from mathematics
# what a derivative, a matrix product and a probability are. The rest is built from the start.

# %% tags=["setup"]
import json

import matplotlib.pyplot as plt
import torch
from course_utils import world
from course_utils.checks import check, hint, progress, quiz
from course_utils.notebook import lab, machine, plots

# %% [markdown]
# ## 1. What it is about
#
# Below is a picture of the **teaching world**: a few shapes on a ground. The course draws such
# pictures itself, so it knows exactly what is in each of them, and can ask any number of questions
# with certain answers.

# %%
scene = world.compose(
    [
        ("large", "red", "circle", 20, 22),
        ("small", "blue", "cross", 46, 14),
        ("large", "yellow", "square", 44, 44),
    ]
)
figure = plots.images_grid(
    torch.from_numpy(world.draw(scene)), ["three objects"], size=2.8
)
plots.show(
    figure,
    alt="A large red circle, a small blue cross and a large yellow square.",
)

# %%
for question in (
    "how many objects are there?",
    "what colour is the cross?",
    "is the red object above the yellow object?",
    "is there a green circle?",
):
    print(f"{question:45} {world.ask(question, scene, 0)}")

# %% [markdown]
# A person answers these at a glance. A language model that only reads words can't: nothing in
# "what colour is the cross?" says *blue*. Or can it, at least often? In pictures drawn at random,
# "is there a green circle?" is mostly answered by "no", so a model that always says "no" looks
# clever without eyes. How much is such cleverness worth? Lesson 01 measures that. It is the first
# thing to know before any model is called good.
#
# ## 2. How a lesson works
#
# A lesson is a notebook: text, code, outputs. Run the cells from top to bottom, one after the
# other, with <kbd>Shift</kbd>+<kbd>Enter</kbd>. The outputs that you see before you run anything
# are reference outputs, made on one CPU core with seed 0.
#
# - **Exercises** are cells that say `# Your code here` or `# Your answer here`. The cell after one
#   checks your answer at once. `check` gives your answer back if it is right, and the course's own
#   solution if it is missing or wrong. So every notebook runs to its end whatever you have solved.
#   To try again, change your cell, and run it and the check.
# - **Hints** come in two steps: `hint("00.2")`, and again for more. Solved notebooks are in the
#   folder `solutions`, with the reasoning beside the code.
# - **Predictions** ask for a guess before a measurement. Any honest number is right. You can only
#   be surprised by what you have predicted.
# - If something behaves oddly, restart the kernel and run all cells from the top. Cells that were
#   run in another order are the commonest reason.
#
# ## 3. Is this machine ready?
#
# The first cell of every lesson chose a device and a seed. What else is here?

# %% tags=["varies"]
missing = [
    name for name, version in machine.versions().items() if version == "missing"
]
plots.table(list(machine.versions().items()), header=["package", "version"])
print("missing:", ", ".join(missing) or "nothing")
threads = torch.get_num_threads()
print(f"CPU cores: {machine.cores()}, used by PyTorch: {threads}")
gpu = torch.cuda.is_available()
print("GPU:", torch.cuda.get_device_name() if gpu else "none (not needed)")

# %% [markdown]
# How fast is it? Nearly all the time of a neural network goes into products of matrices. The
# product of two $n \times n$ matrices has $n^2$ entries, each a sum of $n$ products: $n$
# multiplications and about $n$ additions. That is about $2 n^3$ operations. We time products of
# two $512 \times 512$ matrices, so $2 \cdot 512^3$ operations each.

# %%
print(f"operations in one product: {2 * 512**3:,}")

# %% tags=["varies"]
rate = machine.single_core_rate()
rates = [
    ["one CPU thread, 512 x 512", f"{rate:.0f}"],
    ["all CPU threads in use, 512 x 512", f"{machine.matrix_rate('cpu'):.0f}"],
]
if gpu:
    on_gpu = machine.matrix_rate("cuda", size=4096)
    rates.append(["GPU, 4096 x 4096", f"{on_gpu:.0f}"])
plots.table(rates, header=["matrix products", "billion operations a second"])

# %% [markdown]
# The course keeps the seconds that each lesson took on a reference machine, with the rate of that
# machine. The ratio of the two rates gives an estimate for yours. It is a rough one: reading
# data and drawing figures don't scale with matrix products, and a lesson uses all your cores,
# while the reference used one.

# %% tags=["varies"]
try:
    path = lab.data_path("timings.json")
    timings = json.loads(path.read_text(encoding="utf-8"))
except FileNotFoundError:
    timings = {}
estimates = machine.estimates(timings, rate)
if estimates:
    kept = timings["cpu"]
    print(
        f"reference: {kept['rate']:.0f} billion operations a second;"
        f" here: {rate:.0f}"
    )
    rows = []
    for lesson, seconds in estimates.items():
        here = f"about {max(1, round(seconds))} s"
        rows.append([lesson, f"{kept['notebooks'][lesson]:.0f} s", here])
    header = ["lesson", "reference, one core", "here, one core"]
    plots.table(rows, header=header)
else:
    print("No times are kept yet. `make timings` writes them.")

# %% [markdown]
# If "missing" names a package, install the course again as README says. A GPU isn't needed
# anywhere. Where there is one, the lessons use it, and choose larger sizes (`profile gpu`).
#
# ## 4. The map of the course
#
# The arrows show the main path; what a lesson strictly needs stands in its first line. Read by
# number, nothing is missing. In a hurry: 00, 01, 04, then 05 or 07.

# %% tags=["figure"]
LESSONS = {  # number: (column, row, title)
    "00": (0, 4, "Start here"),
    "01": (0, 3, "What a\npicture adds"),
    "02": (1, 4, "Language\nmodels"),
    "03": (1, 2, "Visual\nfeatures"),
    "04": (1, 3, "h = Trans-\nformer(x, v)"),
    "05": (2, 4, "L_vs and\nits collapse"),
    "06": (2, 2, "Pretraining\non pairs"),
    "07": (3, 3, "Answering\nquestions"),
    "08": (3, 2, "Training well"),
    "09": (3, 1, "Measuring\nhonestly"),
    "10": (3, 0, "Efficient\ntuning"),
    "11": (3, -1, "Fewer labels"),
}
ARROWS = [
    ("00", "01"),
    ("00", "02"),
    ("01", "04"),
    ("02", "04"),
    ("03", "04"),
    ("04", "05"),
    ("04", "06"),
    ("04", "07"),
    ("06", "10"),
    ("07", "08"),
    ("08", "09"),
    ("09", "10"),
    ("10", "11"),
]
PARTS = (
    "First steps",
    "Two inputs, one\nTransformer",
    "Learning\nwithout labels",
    "Learning\nthe task",
)
WIDTH, HEIGHT, STEP = 2.0, 0.68, 2.7  # of a box; from column to column
MIDDLE = {"ha": "center", "va": "center", "fontsize": 11}

# %% tags=["figure"]
figure, axis = plt.subplots(figsize=(9, 5.6))
for number, (column, row, title) in LESSONS.items():
    x, text = STEP * column, f"{number}  {title}"
    corner = (x, row - HEIGHT / 2)
    axis.add_patch(plt.Rectangle(corner, WIDTH, HEIGHT, facecolor="C0"))
    axis.text(x + WIDTH / 2, row, text, color="white", **MIDDLE)
for start, goal in ARROWS:
    (c1, r1, _), (c2, r2, _) = LESSONS[start], LESSONS[goal]
    if c1 == c2:  # down or up within a column
        x, side = STEP * c1 + WIDTH / 2, HEIGHT / 2 if r1 < r2 else -HEIGHT / 2
        tail, tip = (x, r1 + side), (x, r2 - side)
    else:
        tail, tip = (STEP * c1 + WIDTH, r1), (STEP * c2, r2)
    arrow = {"arrowstyle": "->", "color": "grey"}
    axis.annotate("", tip, tail, arrowprops=arrow)
for column, part in enumerate(PARTS):
    x = STEP * column + WIDTH / 2
    axis.text(x, 4.85, part, weight="bold", **MIDDLE)
LATER = (
    "later: captions and locating, video, knowledge,\nwhy a model answers so,"
    " serving, applications"
)
axis.text(0, -0.5, LATER, va="center", fontsize=11, color="grey")
axis.set(xlim=(-0.1, 3 * STEP + WIDTH + 0.1), ylim=(-1.4, 5.25))
axis.axis("off")
plots.show(
    figure,
    alt=(
        "Map of lessons 00 to 12 in four columns. 00 leads to 01 and 02; 01, 02"
        " and 03 lead to 04; 05, 06 and 07 follow 04; 08 to 11 follow 07, and"
        " 10 also 06."
    ),
)

# %% [markdown]
# What these lessons hold:
#
# | lesson | the question that it answers |
# |---|---|
# | **00** Start here | is everything ready? |
# | **01** What a picture adds | how much of "visual question answering" needs the picture? |
# | **02** Language models and the Transformer | how does a machine learn a language from text alone? |
# | **03** Visual features | how do pixels become features, and what does a network for photographs know? |
# | **04** The joint representation | how does one Transformer read words and a picture together? |
# | **05** L_vs: consistency, and how it collapses | can a model learn to see without labels, and when does its loss mislead? |
# | **06** Pretraining on pairs | what do pictures with texts teach, and how many labels does it save? |
# | **07** Visual question answering | how does such a model learn to answer, and does it look? |
# | **08** Training well | which of the many settings of a training matter, and how is it kept safe? |
# | **09** Measuring honestly | what can an accuracy bear, and what happens on other data? |
# | **10** Parameter-efficient tuning | how few weights make a pretrained model do a new task? |
# | **11** Fewer labels, moving data | what can be done with few labels, and when the data change? |
#
# Where a lesson needs something from one that follows later, it says so and brings what it needs.
#
# ## 5. Notation
#
# A **token** is a word or a piece of one; its *id* is its number in a list of all tokens. The model
# keeps a vector for each id. A **patch** is one square of the picture, and becomes a vector too. A
# **Transformer** is a network that reads a row of vectors and gives back a row of as many; here the
# words' vectors stand first, then the patches':
#
# $$\underbrace{\text{what}\;\;\text{colour}\;\;\text{is}\;\;\text{the}\;\;\text{cross}\;\;\text{?}}_{\text{words, from } x}
#   \;\;\underbrace{\text{patch}_1\;\;\text{patch}_2\;\cdots\;\;\text{patch}_{16}}_{\text{picture, } v}
#   \;\;\xrightarrow{\;\text{Transformer}\;}\;\; h .$$
#
# Five letters are enough to begin with. They mean the same in every lesson, in formulas and in
# code.
#
# | symbol | in code | what it is |
# |---|---|---|
# | $x$ | `x` (batch, words) | a question or sentence, as a row of token ids |
# | $v$ | `v` (batch, patches, dim) | visual features: one vector for each part of a picture |
# | $h$ | `h` (batch, positions, dim) | joint representation $h = \mathrm{Transformer}(x, v)$: words, then patches |
# | $y$ | `y` (batch,) | the right answer, as an id |
# | $\theta$ | `model.parameters()` | all weights of the model $M_\theta$ |
#
# Two more things are fixed. A **shape** is written in brackets after each tensor line, as in `#
# (batch, dim)`. And a **mask** is True where there is something to read, False where a short text
# was only filled up. (Some libraries mean the opposite. Lesson 05 shows what happens then.)
#
# The symbols of later lessons, to look up when they come: $\ell$ is the loss of one example, and
# $\mathcal{L}(\theta)$ its mean over the training data (the *empirical risk*), smallest at the
# weights $\theta^*$. $v'$ is $v$ after a small random change of the picture, and $\mathcal{L}_{vs}
# = \lVert \mathrm{Transformer}(x, v) - \mathrm{Transformer}(x, v') \rVert^2$ is lesson 06's loss.
# $D_v$ are pictures without text, $D_t$ text without pictures, and $D_s$ pairs of both.
#
# > **Exercise 00.1 · predict a shape** · difficulty 1 of 3 · 3 minutes
# >
# > A batch has 32 questions of 9 tokens each, and one picture for each question. Each picture has
# > 16 patches, and every vector has 64 numbers. What is the shape of $h$? Write three numbers in
# > brackets.

# %%
shape_of_h = None
### BEGIN SOLUTION
# 9 words, then 16 patches, in one row of positions
shape_of_h = (32, 9 + 16, 64)
### END SOLUTION

# %%
shape_of_h = check("00.1", shape_of_h)

# %% [markdown]
# ## 6. Your first function, and a wrong answer on purpose
#
# Models are evaluated in batches, because the data don't fit into memory at once. The last batch is
# often smaller than the others.
#
# > **Exercise 00.2 · write it** · difficulty 1 of 3 · 5 minutes
# >
# > Write the **accuracy**: the share of questions that were answered right. `batches` is a list of
# > pairs `(predictions, y)`, two tensors of answer ids of shape (batch,). Batches may differ in
# > size.
#
# A first idea: take the accuracy of each batch, and average. Here is what the check says to it.


# %%
def first_idea(batches):
    """The mean of the accuracies of the batches."""
    shares = [
        (predictions == y).double().mean().item() for predictions, y in batches
    ]
    return sum(shares) / len(shares)


attempt = "00.2"
_ = check(attempt, first_idea)

# %% [markdown]
# Feedback says what was compared, what came out, and where it can tell, why that is wrong. It
# doesn't show the right value. (To a right answer it says "Exercise 00.2: right.") Stuck? Ask for a hint, and once more for a second one.

# %%
hint("00.2")
hint("00.2")

# %% [markdown]
# Now write it so that each question counts once.


# %%
def accuracy(batches):
    """Share of right answers over a list of (predictions, y).

    Each of the two is (batch,) int64.
    """
    ### BEGIN SOLUTION
    # add up over all batches first, then divide once: sizes don't matter
    right = sum((predictions == y).sum().item() for predictions, y in batches)
    return right / sum(len(y) for _, y in batches)
    ### END SOLUTION


# %%
accuracy = check("00.2", accuracy)

# %%
y = torch.zeros(101, dtype=torch.long)  # (101,) the right answers
predictions = y.clone()
predictions[100] = 1  # one mistake, in the last batch
# sizes 100 and 1
batches = [(predictions[:100], y[:100]), (predictions[100:], y[100:])]
print(f"one mistake in 101 questions: {100 * accuracy(batches):.1f} % right")
print(f"the mean over the two batches says {100 * first_idea(batches):.1f} %")

# %% [markdown]
# One wrong answer in a hundred, or every second one? Averaging over batches is common, because
# nobody notices it as long as the batches are equally large.
#
# ### Where your progress is kept
#
# A solved exercise is noted in a small file in your home folder, so it is still known when you come
# back. It stays on your machine.

# %% tags=["varies"]
progress()
file = lab.progress_file()
print("kept in", str(file).replace(str(file.home()), "~"))

# %% [markdown]
# ## 7. Training, and what `±` means
#
# **Training** changes a model's weights in small steps. The *loss* says how wrong the model is on
# a *batch* of examples. Its *gradient* says for each weight which way the loss grows, and an
# *optimiser* (SGD, Adam) moves the weight a little the other way, by a step whose size the
# *learning rate* sets. One *pass*, or epoch, is once through all training examples. *Validation*
# examples are kept out of training, to choose when to stop; *test* examples only to report.
#
# Training begins with random weights and takes the data in random order. Another **seed**, the
# number that all this randomness starts from, gives another model and another accuracy. So a number
# from a single run says little, and the lessons print `a ± b`. `b` is the **standard deviation**
# over five runs with different seeds, whose results are $a_1$ to $a_5$ with the mean $\bar a$:
#
# $$b = \sqrt{\frac{1}{5 - 1} \sum_{i=1}^{5} (a_i - \bar a)^2} .$$
#
# - Usually the lesson makes one run, the others are kept with the course, and `a` is this run's
#   result.
# - Where a lesson makes all the runs itself, as below, `a` is their mean. Where it made another
#   number of runs, it says so.
#
# Here is the smallest "training" that there is: a model that guesses yes or no with a coin, tested
# on 1,000 questions, with five seeds.


# %%
def coin_accuracy(seed, questions=1000):
    """Accuracy in per cent of guesses with a coin."""
    generator = torch.Generator().manual_seed(seed)
    # (questions,) each
    guesses = torch.randint(0, 2, (questions,), generator=generator)
    truth = torch.randint(0, 2, (questions,), generator=generator)
    return 100 * accuracy([(guesses, truth)])


runs = [coin_accuracy(seed) for seed in range(5)]
print("five runs:", *[f"{run:.1f}" for run in runs])
print("in short: ", lab.mean_spread(runs, "%"))

# %% [markdown]
# For the coin we can know $b$ beforehand. Each answer is right with probability $p$, independently
# of the others, so the share of right ones among $n$ questions has the standard deviation
# $\sqrt{p(1-p)/n}$.

# %%
print(f"expected spread: {100 * (0.5 * 0.5 / 1000) ** 0.5:.1f} %")

# %% [markdown]
# Both are right: five runs give $b$ only roughly, to about a third ($1/\sqrt{2(5-1)}$). Read it
# as an order of magnitude. (A spread smaller than the last printed digit is shown as one of that
# digit, so it is never 0.)
#
# For trained models there is no such formula. Their five runs share the test questions and most of
# their answers, so $b$ may be far smaller, or larger. And $b$ doesn't include the luck of *which
# questions* are in the test; the formula for the coin does. Lesson 10 takes the two apart.
#
# Two coins differ by a number whose standard deviation is $\sqrt 2$ times that of one. So on 1,000
# questions they may well differ by three points, and neither is better. A difference between two
# models that is about as large as the spread says nothing. One that is several times as large does.
#
# Whatever a sentence asserts about a result is checked where it stands, by a **claim**. A claim
# that doesn't hold stops the notebook, so a text can't go on asserting what its own output denies.

# %%
mean = sum(runs) / len(runs)
lab.claim(
    "a coin is right on about half of the yes/no questions", abs(mean - 50) < 2
)

# %%
try:
    lab.claim("a coin is right on 60 % of them", abs(mean - 60) < 2)
except AssertionError as error:
    print(error)

# %% [markdown]
# ### Your last digits will differ
#
# Computers round after each operation, so the order of a sum matters. The same three numbers,
# added in two orders:

# %%
a, b, c = torch.tensor([1e8, 1.0, -1e8])  # float32, about seven digits each
print("(a + b) + c =", ((a + b) + c).item())
print("(a + c) + b =", ((a + c) + b).item())

# %% [markdown]
# Another processor adds in another order. In a long training run such differences grow. Expect the
# same picture and the same claims, and other last digits. Outputs that have to differ, such as
# times, are never compared.
#
# On one machine, with the same software and number of threads, the same seed gives the same numbers
# on the CPU. (Some GPU operations add in an order that changes from run to run.)

# %%
torch.manual_seed(lab.seed)
first = torch.rand(3)  # (3,)
torch.manual_seed(lab.seed)
second = torch.rand(3)  # (3,)
lab.claim(
    "the same seed gives the same random numbers", torch.equal(first, second)
)

# %% [markdown]
# ## 8. On a GPU
#
# With a GPU, the first cell of each lesson prints `device cuda, profile gpu`. Models and numbers
# of steps become larger, and sums are taken in yet another order. Nothing else changes: the same
# code runs. With the environment variable `COURSE_PROFILE=cpu` the sizes stay those of the
# reference. GPU times of this lesson were not measured.
#
# ## 9. What you know now
#
# - Check, hint, solution: an exercise answers at once, and says why.
# - Accuracy is summed over questions and divided once.
# - `a ± b` is a run and the spread over five seeds; a claim is a sentence that was tested here.
# - Words are $x$, pictures are $v$, and $h$ holds words, then patches.

# %%
quiz(
    [
        (
            "You skip an exercise. What happens to the rest of the notebook?",
            "It runs on with the course's own solution.",
        ),
        (
            "Two models reach 84.2 ± 0.6 % and 84.5 ± 0.7 %. Which one is"
            " better?",
            "Nobody can tell from this: the difference is smaller than either"
            " spread.",
        ),
        (
            "A text has 7 tokens and a picture 16 patches. How many positions"
            " has h?",
            "23: words and patches stand in one row.",
        ),
        (
            "Your output says 67.04 where the reference says 67.03. Is"
            " something wrong?",
            "No. Sums in another order round differently.",
        ),
        (
            "Three batches of 50, 50 and 2 questions have accuracies 0.9, 0.9"
            " and 0.5. The accuracy?",
            "(45 + 45 + 1) / 102, about 0.892. The mean of the three, 0.767,"
            " gives two questions the weight of fifty.",
        ),
    ]
)

# %% [markdown]
# **Next:** lesson 01 asks what a picture adds to a question, and how far a model gets without eyes.

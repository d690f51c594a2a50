# ---
# jupyter:
#   course:
#     title: Start here
#     needs: []
# ---

# %% [markdown]
# A small model is waiting below. It looks at a picture, reads a question, and answers. In this
# lesson you will
#
# - ask it, change the picture, and find out where it fails;
# - see in one drawing how it works;
# - test whether a model really looks at the picture, and write that test yourself;
# - learn how the lessons work, and what the course holds.
#
# You need Python and a little PyTorch: what a tensor is, its shape, and how it is indexed. Playing
# with the model comes on top of the minutes above.

# %% tags=["setup"]
from dataclasses import replace

import torch
from course_utils.checks import check, hint, progress, quiz
from course_utils.datasets import load_easy_vqa
from course_utils.datasets.easy_vqa import COLOURS, SHAPES, draw_shape
from course_utils.datasets.text import encode
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.answering import trained_easy_vqa
from course_utils.notebook import diagrams, lab, machine, plots, widgets

# %% [markdown]
# ## 1. A model that sees · core
#
# Run the cells from top to bottom, each with <kbd>Shift</kbd>+<kbd>Enter</kbd>. We draw a picture
# and ask the model about it.

# %%
model = trained_easy_vqa(lab.device)
picture = draw_shape("triangle", "teal")
question = "what color is the shape?"
print(question, "->", model.answer(picture, question))

# %% tags=["figure"]
there, shape = "is there a red shape?", "what shape is in the image?"
corner = draw_shape("triangle", "teal", x=54, y=10)
cases = [
    ("a triangle", picture, question),
    ("the same picture", picture, there),
    ("moved to a corner", corner, shape),
]
plots.show(
    widgets.cases_figure(
        cases,
        model.probabilities,
        model.answers,
        title="One colour, one shape, anywhere: the model is right",
    ),
    alt=(
        "A teal triangle: the model answers teal to what color is the shape,"
        " and no to is there a red shape. Moved to a corner, it is still"
        " called a triangle."
    ),
)

# %% [markdown]
# The number in brackets is the probability that the model gives to its answer.

# %% [markdown]
# Now you: choose a shape and a colour, move it, make it tiny, write your own question. The controls
# work in JupyterLab and in Colab. On a page without them, go on with the figures.


# %% tags=["figure", "varies"]
def ask(picture, question):
    return model.probabilities(picture, question), None


widgets.compose_and_ask(
    draw_shape,
    ask,
    model.answers,
    choices={
        "shape": SHAPES,
        "colour": (*COLOURS, "purple"),
        "upside_down": (False, True),
        "covered": (False, True),
    },
    sliders={"size": (4, 60, 28), "x": (0, 63, 32), "y": (0, 63, 32)},
    question=question,
    questions=(question, shape, there, "is there a purple shape?"),
)

# %% [markdown]
# The model knows these eight colours, three shapes, and "yes" and "no": 13 answers. So what will it
# say about something else? **Guess before you run the next cell.** If its figure is already there,
# cover it first.
#
# 1. The circle is *purple*. What color is the shape?
# 2. The same picture. Is there a purple shape?
# 3. A triangle stands upside down. What shape is in the image?
# 4. The picture is covered, so only background is left. What color is the shape?

# %% tags=["figure", "result"]
purple = draw_shape("circle", "purple")
cases = [
    ("1. purple", purple, question),
    ("2. the same picture", purple, "is there a purple shape?"),
    ("3. upside down", draw_shape("triangle", "teal", upside_down=True), shape),
    ("4. covered", draw_shape("circle", "red", covered=True), question),
]
plots.show(
    widgets.cases_figure(
        cases,
        model.probabilities,
        model.answers,
        title="Sure four times, and never right",
    ),
    alt=(
        "Four cases. A purple circle is called brown, and the question for a"
        " purple shape is answered no. A triangle upside down is called a"
        " rectangle. A covered picture is called gray. The model is sure each"
        " time."
    ),
)

# %% [markdown]
# None of the four answers is right, and the model is sure of each. "Purple" is none of its answers,
# and in a question it is a word that training never used. All triangles of its training stood
# upright. And for the covered picture none of the 13 answers would be right: there is no "I can't
# see it". **A model can be sure and wrong**, above all where its input is not like its training.

# %% [markdown]
# ## 2. Exchange the pictures · core
#
# A few pictures prove little. The model comes with a test: questions about 1,000 pictures that it
# has never seen. The set is called [easy-VQA](https://github.com/vzhou842/easy-VQA). VQA is short
# for *visual question answering*.

# %%
test = load_easy_vqa("test", model.tokenizer, model.answers)
own = evaluate(model.network, test)
print(f"{len(test.images):,} pictures, {len(test):,} questions")
asks_yes_no = (test.family == test.families.index("yes/no")).double()
print(f"yes/no questions: {100 * asks_yes_no.mean():.0f} %")
print(f"right: {100 * own.accuracy:.1f} %")

# %% [markdown]
# A perfect score. Does the model *look*, then? Here is a simple test: keep all questions and the
# expected answers, but show each question another picture of the set.

# %% [markdown]
# First you guess. Exercises look like this: a statement, a cell for your answer, and a cell with
# `check(...)` that tells at once what it saw. If an answer is not right yet, or you skip it, the
# notebook goes on with the course's own solution. `hint("00.1")` in a cell of your own gives a hint.

# %% [markdown]
# > **Exercise 00.1 · predict a number** · core · difficulty 1 of 3 · 3 minutes
# >
# > How many per cent of its answers will still be right? Write a number, run the cell, then the
# > next one. Any honest guess is fine.

# %%
my_guess = None
### BEGIN SOLUTION
my_guess = 10.0  # a guess: there are 13 answers, so most would change
### END SOLUTION

# %%
my_guess = check("00.1", my_guess)

# %% tags=["result"]
exchanged = evaluate(model.network, test.shuffle_images(seed=0))
sheet = draw_shape("circle", "red", covered=True)  # (3, 64, 64)
hidden = replace(test, images=sheet.expand_as(test.images))
covered = evaluate(model.network, hidden)
rows = [
    ["its own picture", f"{100 * own.accuracy:.1f} %"],
    ["another picture", f"{100 * exchanged.accuracy:.1f} %"],
    ["a covered picture", f"{100 * covered.accuracy:.1f} %"],
]
plots.table(rows, header=["each question is asked about", "right"])
print(f"the guess for another picture: {my_guess:.0f} %")

# %% tags=["result"]
lab.claim(
    "with another picture the model loses more than 30 points",
    own.accuracy - exchanged.accuracy > 0.3,
)

# %% [markdown]
# With another picture, 58.5 % are still right. The score falls, so the model uses the picture. But
# why is more than half still right?

# %% [markdown]
# About three of four questions want a "yes" or "no". Take "is there a red shape?": with eight
# colours the answer is mostly "no", whatever the picture shows. So the words alone give much away.
# Even with every picture covered, the model is right in 64.7 % of the cases. That is more than with
# another picture: a covered one can't mislead the model.

# %% [markdown]
# How far can one get without looking at all? Lesson 01 measures that. It is the first thing to know
# before any model is called good.

# %% [markdown]
# ## 3. How does it do that? · core

# %% tags=["figure"]
diagrams.flow(
    {
        "picture": (0, 0, "picture"),
        "question": (0, 1, "what color is\nthe shape?"),
        "patches": (1, 0, "cut into\n16 patches"),
        "tokens": (1, 1, "[CLS] what color\nis the shape"),
        "see": (2, 0, "describe\neach patch"),
        "ids": (2, 1, "look up\neach id"),
        "transformer": (3, 0.5, "Transformer"),
        "answer": (4, 0.5, "13 scores"),
    },
    [
        ("picture", "patches", "(3, 64, 64)"),
        ("question", "tokens", ""),
        ("patches", "see", ""),
        ("tokens", "ids", "x: 6 ids"),
        ("see", "transformer", "v: (16, 64)"),
        ("ids", "transformer", "(6, 64)"),
        ("transformer", "answer", "h: (22, 64)"),
    ],
    alt=(
        "A picture is cut into 16 patches, which become v, 16 vectors of 64"
        " numbers. A question becomes x, the ids of [CLS] and 5 words, and each"
        " id is replaced by 64 numbers. The Transformer reads both and gives h,"
        " 22 vectors of 64 numbers, from which 13 scores are made."
    ),
)

# %% [markdown]
# Read the drawing from the left.
#
# - The picture is a tensor of 3 colour channels of 64 x 64 pixels.
# - **v**: the picture is divided into 4 x 4 squares, the *patches*. Each square, with what is
# around
#   it, becomes a *vector*: here a list of 64 numbers.
# - **x**: the question is split into *tokens*: its words, with `[CLS]` in front. Each token has a
#   number in a list of known words, its *id*. For each id a vector is looked up, also 64 numbers.
# - The **Transformer** reads all these vectors together. It returns one new vector for each vector
#   that it reads. Each new vector also contains what matters from the others: the vector of
#   "color" can now hold what the patches show.
# - **h**: these new vectors, words first, then patches.

# %% [markdown]
# Each of the 13 answers gets a score, computed from the first vector of h, that of `[CLS]`. The
# highest score wins. In the code, the network's `stem` makes v, its `encoder` is the Transformer,
# and its `head` gives the scores.

# %%
# mask: which tokens are real; shorter questions of a batch are filled up
x, mask = encode(model.tokenizer, [question])  # (1, words) each
x, mask = x.to(lab.device), mask.to(lab.device)
# [None] puts a dimension in front, / 255 brings pixels into 0 to 1
image = picture[None].to(lab.device) / 255  # (1, 3, height, width)
with torch.no_grad():  # we don't train
    v = model.network.stem(image)  # (1, patches, 64)
    h = model.network.encoder(x, v, mask)  # (1, words + patches, 64)
    scores = model.network.head(h)  # (1, answers)
print("tokens:", model.tokenizer.encode(question).tokens)
print("x:", x.tolist())
for name, tensor in {"v": v, "h": h, "scores": scores}.items():
    print(f"{name}: shape {tuple(tensor.shape)}")

# %% [markdown]
# The first dimension, here 1, is the *batch*: how many questions are read at once.

# %% [markdown]
# > **Exercise 00.2 · predict a shape** · core · difficulty 1 of 3 · 5 minutes
# >
# > A batch has 32 questions of 9 tokens each, `[CLS]` included. Each question has a picture of 16
# > patches. Every vector has 64 numbers. What is the shape of h? Write three numbers in brackets.

# %%
shape_of_h = None
### BEGIN SOLUTION
# 9 words, then 16 patches, in one sequence
shape_of_h = (32, 9 + 16, 64)
### END SOLUTION

# %%
shape_of_h = check("00.2", shape_of_h)

# %% [markdown]
# Nobody told the model what "teal" looks like. All its calculations use numbers called *weights*.
# They were random at first. Then the model saw questions with their right answers, again and again,
# and after each few of them every weight was changed a little, so that the right answers got higher
# scores. That is **training**. In lesson 08 you do it.

# %% [markdown]
# ## 4. How would we know that it looks? · core
#
# The exchange of pictures tells whether a model looks. But it is easy to get wrong. So here you
# write it yourself.

# %% [markdown]
# > **Exercise 00.3 · write it** · core · difficulty 1 of 3 · 10 minutes
# >
# > `image_index` says for each question which picture it is about: a tensor of whole numbers, such
# > as `[0, 0, 0, 1, 1, 2]`. There are `pictures` pictures, numbered from 0. Return a new tensor
# > that
# > gives each question the *next* picture, and the first one after the last.


# %%
def exchange(image_index, pictures):
    """The next picture for each question, (questions,) whole numbers."""
    ### BEGIN SOLUTION
    # % is the remainder of a division: the last picture + 1 becomes 0
    return (image_index + 1) % pictures
    ### END SOLUTION


# %%
exchange = check("00.3", exchange)

# %% [markdown]
# To try again after a wrong answer, change your cell, run it, and run the check. A check says what
# it saw, and the reason where it can tell.

# %% [markdown]
# This is a hint, here for exercise 00.2. A second call gives a second hint. Solved notebooks are in
# the folder `solutions`.

# %%
hint("00.2")

# %% [markdown]
# Here is an idea that looks right and isn't: move the whole list by one place. The check tells what
# is wrong with it.


# %%
def first_idea(image_index, pictures):
    return image_index.roll(1)  # the last entry comes first


attempt = "00.3"
_ = check(attempt, first_idea)

# %% [markdown]
# Now both versions as tests of our model.

# %%
rows = []
for name, change in {"first idea": first_idea, "exchange": exchange}.items():
    index = change(test.image_index, len(test.images))  # (questions,)
    kept = (index == test.image_index).double().mean().item()
    right = evaluate(model.network, replace(test, image_index=index)).accuracy
    rows.append([name, f"{100 * kept:.1f} %", f"{100 * right:.1f} %"])
plots.table(rows, header=["test", "kept their own picture", "right"])

# %% [markdown]
# With the first idea, the model is right on 92.8 % "with other pictures", as if it barely looked.
# In
# truth, 89.7 % of the questions kept their own picture. There was no error message.

# %% [markdown]
# A test can be wrong, just like a model. In this course you check both.
#
# What the exchange tells: if the answers stay the same, the picture decides none of them. If they
# change, it does. What in the picture it uses, the test does not tell.

# %% [markdown]
# ## 5. How the course works · core
#
# - Sections and exercises are **core** or **extra**. Extra ones may be skipped; no core part needs
#   them.
# - **Predictions** come before measurements. You can only be surprised if you have guessed.
# - "**Claim holds**" in an output means that a statement was tested right there. If it were false,
#   the notebook would stop.
# - Outputs that you see before you run a cell are reference outputs, made on a CPU. Your last
# digits
#   may differ, because computers round.
# - If something behaves oddly, restart the kernel and run all cells from the top.

# %% [markdown]
# ### What `±` means
#
# Much in training is random, and so was our exchange: each order of the pictures gives another
# score. Five orders, on a part of the test:

# %%
part = test.select(test.image_index < 200)
runs = []
for seed in range(5):
    result = evaluate(model.network, part.shuffle_images(seed))
    runs.append(100 * result.accuracy)
print("five runs:", *[f"{run:.1f}" for run in runs])
print("in short: ", lab.mean_spread(runs, "%"))

# %% [markdown]
# Before `±` stands the mean of the runs, after it their **standard deviation**: how far a run
# typically is from the mean. A *seed* is the number that randomness starts from. If two models
# differ by no more than such a spread, nobody can tell which is better.
#
# Where a lesson trains a model once, you see "40 (60 ± 18)": your own run's number, then in
# brackets the mean and deviation of five runs that were made before and are kept with the course.

# %% [markdown]
# ### Where your progress is kept
#
# A solved exercise is noted in a small file in your home folder. It stays on your machine.

# %% tags=["varies"]
progress(["00"])
file = lab.progress_file()
print("kept in", str(file).replace(str(file.home()), "~"))

# %% [markdown]
# ## 6. The map of the course · core
#
# An arrow means "is needed for". What a lesson needs stands above it. If you read the lessons in
# order, nothing is missing. In a hurry, read the marked ones: 00, 01, 02, 05 and 08.

# %% tags=["figure"]
LESSONS = {  # number: (column, row, title)
    "00": (2, 0, "00 Start here"),
    "01": (2, 1, "01 What a\npicture adds"),
    "02": (2, 2, "02 Attention"),
    "03": (0, 3, "03 Language\nmodels"),
    "04": (1, 3, "04 Visual\nfeatures"),
    "05": (2, 3, "05 Words and\npicture together"),
    "06": (3, 4, "06 Learning\nwithout labels"),
    "07": (1, 4, "07 Pretraining\non pairs"),
    "08": (2, 4, "08 Answering\nquestions"),
    "09": (1, 5, "09 Training\nwell"),
    "10": (3, 5, "10 Measuring\nhonestly"),
    "11": (2, 5, "11 Tuning few\nweights"),
    "12": (2, 6, "12 Fewer\nlabels"),
    "13": (0, 5, "13 Captions"),
    "14": (1, 6, "14 A model\nlearns to see"),
    "15": (0, 6, "15 Video"),
    "16": (4, 5, "16 Finding and\nfollowing"),
}
# fmt: off
ARROWS = [
    ("00", "01"), ("01", "02"), ("02", "03"), ("02", "04"),
    ("02", "05"), ("05", "06"), ("03", "07"), ("04", "07"),
    ("05", "07"), ("05", "08"), ("07", "09"), ("08", "09"),
    ("08", "10"), ("07", "11"), ("08", "11"), ("10", "12"),
    ("11", "12"), ("03", "13"), ("08", "13"),
    ("11", "14"), ("13", "14"), ("13", "15"), ("08", "16"),
]
# fmt: on
diagrams.flow(
    LESSONS,
    [(start, goal, "") for start, goal in ARROWS],
    alt="Map: " + ", ".join(f"{b} needs {a}" for a, b in ARROWS),
    marked=["00", "01", "02", "05", "08"],
)

# %% [markdown]
# | lesson | the question that it answers |
# |---|---|
# | **00** Start here | does a model that answers also look? |
# | **01** What a picture adds | how much do words alone answer? |
# | **02** Attention and the Transformer | how do words read each other? |
# | **03** Language models | how is a language learnt from text? |
# | **04** Visual features | how do pixels become vectors? |
# | **05** The joint representation | how are words and picture read together? |
# | **06** Consistency, and how it collapses | can a model learn to see without labels? |
# | **07** Pretraining on pairs | what do pictures with texts teach? |
# | **08** Visual question answering | how is a model trained to answer? |
# | **09** Training well | which settings of a training matter? |
# | **10** Measuring honestly | how much does an accuracy prove? |
# | **11** Parameter-efficient tuning | how few weights are enough for a new task? |
# | **12** Fewer labels, moving data | what if labels are few, or the data change? |
# | **13** Captions | how does a model that names things correctly write a false sentence? |
# | **14** A real language model learns to see | what does a language model need to get eyes? |
# | **15** Video | does a model that sees clips see their order? |
# | **16** Finding and following | how does a model point at what words name? |

# %% [markdown]
# Lessons 17 to 25 will follow: drawing, knowledge, explaining, compressing and serving a model,
# applications.

# %% [markdown]
# ## 7. Accuracy in batches · extra
#
# Models are evaluated in batches, because the data don't fit into memory at once. The last batch is
# often smaller than the others.

# %% [markdown]
# > **Exercise 00.4 · write it** · extra · difficulty 1 of 3 · 7 minutes
# >
# > Write the **accuracy**: the share of questions that were answered correctly. `batches` is a list
# > of pairs `(predictions, y)`, two tensors of answer ids of shape (batch,). `y` holds the right
# > answers. Batches may differ in size.


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
accuracy = check("00.4", accuracy)

# %% [markdown]
# What goes wrong if you average the accuracies of the batches instead? Here is one mistake in 101
# questions, and it is in the last batch, which holds a single question.

# %%
y = torch.zeros(101, dtype=torch.long)  # (101,) the right answers
predictions = y.clone()  # (101,)
predictions[100] = 1
batches = [(predictions[:100], y[:100]), (predictions[100:], y[100:])]
averaged = sum(accuracy([batch]) for batch in batches) / len(batches)
print(f"over all questions: {100 * accuracy(batches):.1f} % right")
print(f"mean of the batches: {100 * averaged:.1f} %")

# %% [markdown]
# One wrong answer in a hundred, or one in two? The mistake is easy to overlook: as long as all
# batches are equally large, both numbers agree.

# %% [markdown]
# ## 8. Is this machine ready? · extra
#
# All lessons run on a CPU. With a GPU they choose larger sizes. If a package is
# missing below, install the course again as its README says.

# %% tags=["varies"]
versions = machine.versions()
missing = [name for name, version in versions.items() if version == "missing"]
print("missing packages:", ", ".join(missing) or "none")
print("CPU cores:", machine.cores(), " device:", lab.device)

# %% [markdown]
# ## 9. What you know now · core
#
# - A model that answers perfectly may still be sure and wrong about a new kind of picture.
# - Exchange the pictures: answers that stay say that the model doesn't look.
# - Some of a score needs no picture at all.
# - A picture becomes patches v, a question becomes tokens x, a Transformer mixes them to h.

# %%
quiz(
    [
        (
            "A model gives the same answers with exchanged pictures. What"
            " follows?",
            "The picture decides none of its answers.",
        ),
        (
            "Why did 58.5 % of the answers stay right with other pictures?",
            "Most questions have the same answer for most pictures: 'is there"
            " a red shape?' is mostly 'no'.",
        ),
        (
            "The model calls a purple circle brown, with a probability near"
            " 100 %. Why doesn't it say purple?",
            "It can only choose among its 13 answers. How sure it is says"
            " nothing about what it has never seen.",
        ),
        (
            "A question has 7 tokens and a picture 16 patches. How many"
            " vectors does h hold?",
            "23: one for each token and each patch.",
        ),
        (
            "Two models reach 84.2 ± 0.6 % and 84.5 ± 0.7 %. Which one is"
            " better?",
            "Nobody can tell from this: the difference is smaller than either"
            " spread.",
        ),
    ]
)

# %% [markdown]
# **Next:** lesson 01 asks how far a model gets without eyes.

# ---
# jupyter:
#   course:
#     title: "Video: does the model see time?"
#     needs: ["08", "13"]
# ---

# %% [markdown]
# Play a film backwards, and a model that has watched it says the same as before. In this lesson you
# will
#
# - catch a model that answers about clips and doesn't see their order;
# - derive how right such a model can be at most, without training anything;
# - write what sees time: a difference, attention over time, and the test with shuffled frames;
# - find out why a model that *can* see time may not do so for a long while;
# - turn words and a first frame into the frames that follow, and compute what nobody can know;
# - read folders of frames, video files and the files of a published data set.

# %% tags=["setup"]
import itertools
import math
import re

import matplotlib.pyplot as plt
import numpy as np
import torch
from course_utils.checks import check, compare_prediction, hint, quiz
from course_utils.datasets.clips import (
    clip_data,
    clip_features,
    clip_loader,
    spread,
)
from course_utils.datasets.future_clips import WAYS, future_data
from course_utils.evaluation.intervals import wilson
from course_utils.evaluation.order_tests import (
    answers_to,
    same_answers,
    test_order,
)
from course_utils.methods.clip_answering import (
    ask_clip,
    clip_objective,
    foretell,
    new_clip_model,
    trained_future,
    world_stem,
)
from course_utils.models.future import nearest_future
from course_utils.notebook import animation, diagrams, lab, plots
from course_utils.studies.runs import read_runs
from course_utils.training.fit import FitConfig, fit
from course_utils.world.motion import (
    draw_clips,
    random_orders,
    sample_clips,
)
from course_utils.world.motion_words import (
    ANSWERS,
    answer_in,
    clip_captions,
    questions,
    same_way,
)

# %% [markdown]
# ## 1. The same answer to both · core
#
# A **clip** is a row of pictures, its **frames**. In these clips two objects move, each to the left or
# to the right. Here is one, and below it the same clip backwards.

# %%
clips = sample_clips("which", 300, seed=3)  # new ones, for testing
frames = torch.from_numpy(draw_clips(clips))  # (300, 7, 3, 64, 64)
number = 5  # any number up to 299
both = torch.stack([frames[number], frames[number].flip(0)])  # (2, 7, ...)

# %% tags=["figure", "varies"]
animation.show(
    both,
    alt=(
        "Seven frames of a clip in which two objects move sideways, and the"
        " same frames from the last to the first."
    ),
    names=["clip", "backwards"],
)

# %% [markdown]
# A first model for clips is quickly made. Lesson 07's frozen stem turns each frame into 16 patches.
# We take the **mean over the seven frames**, patch by patch, and hand these 16 vectors to a joint
# encoder, together with the question, as in lesson 08. Published models for video have begun like
# this too.

# %% tags=["setup"]
stem = world_stem()
training_clips = sample_clips("which", lab.pick(cpu=600, gpu=6000), seed=1)
v_train = clip_features(training_clips, stem, "lesson15-which-train")
v = clip_features(clips, stem, "lesson15-which-test")
train = clip_data(v_train, training_clips, seed=1, forms=1)
test = clip_data(v, clips, seed=3, forms=1)


def trained(reader, epochs, lr=3e-3):
    """A model that reads clips in one way, trained on `train`."""
    torch.manual_seed(lab.seed)
    model = new_clip_model(reader)
    fit(
        model,
        clip_objective,
        clip_loader(train, seed=lab.seed),
        config=FitConfig(
            epochs=epochs, lr=lr, warmup=0.1, max_steps=lab.step_limit
        ),
        device=lab.device,
        progress=False,
    )
    return model.cpu()


# %%
mean_model = trained("mean", epochs=4)
texts = questions(clips, seed=3, forms=1).texts
for features, name in ((v, "forwards"), (v.flip(1), "backwards")):
    answer = ask_clip(mean_model, features[number], texts[number])
    print(f"{name:10} {texts[number]} {answer}")

# %% [markdown]
# It gives the same answer to both, and one of them must be wrong. Change the number: it happens
# with every clip. Is the model too small, or was it trained too briefly?

# %%
asked = answers_to(mean_model, test)  # 300 clips, then their 300 reverses
share = same_answers(asked).double().mean().item()
right = (asked == test.y).double().mean().item()
print(f"the same answer forwards and backwards: {100 * share:.0f} %")
print(f"right: {100 * right:.1f} %")
lab.claim("a clip and its reverse always get the same answer", share == 1)
lab.claim("exactly half of the answers are right", right == 0.5)

# %% [markdown]
# Exactly half, to the last clip. That is not what a bad model looks like, whose result would be
# somewhere near a half. It is a law, and the next section derives it.

# %% [markdown]
# ## 2. A bound that needs no training · core
#
# Here is a clip of three frames, each with a single feature, and the same clip backwards.

# %%
clip = torch.tensor([0.0, 1.0, 5.0])  # (frames,)
for name, order in (("forwards", clip), ("backwards", clip.flip(0))):
    print(f"{name:10} mean {order.mean():.0f}, largest {order.max():.0f}")

# %% [markdown]
# Mean and maximum don't ask where a number stands. We call a model that depends on *which* frames
# there are, and not on their order, a model of a **set of frames**. For such a model $f$, a clip $c$
# and its reverse $\bar c$, which holds the same frames:
#
# $$f(c) = f(\bar c) .$$
#
# Now let the right answers $y(c)$ and $y(\bar c)$ be different, as with "does it move right?". Then at
# most one of the two equal answers is right. So over a test of clips and their reverses:
#
# $$\text{accuracy} \le \frac{1}{2} .$$
#
# With yes and no, one of the two is always right, so it is exactly a half. This holds for every $f$
# of this kind, however large and however trained.

# %% [markdown]
# Some questions don't turn around: "what colour is the circle?" has the same answer in both. There,
# both answers may be right.
#
# > **Exercise 15.1 · write it** · core · difficulty 1 of 3 · 7 minutes
# >
# > `forwards[i]` is the right answer to question i about a clip, and `backwards[i]` the right answer
# > to the same question about its reverse. What is the largest share of right answers, over all
# > clips and reverses, that a model of a set of frames can have? It may know everything but the
# > order. Stuck? Run `hint("15.1")` in a new cell, and again for a second hint.


# %%
def set_bound(forwards, backwards):
    """Largest share (0 to 1) of right answers over both lists."""
    ### BEGIN SOLUTION
    # of each pair, one answer can be right; both where they are equal
    possible = [1 + (a == b) for a, b in zip(forwards, backwards)]
    return sum(possible) / (len(forwards) + len(backwards))
    ### END SOLUTION


# %%
set_bound = check("15.1", set_bound)

# %%
turned = questions(clips.reversed(), seed=3, forms=1)
told = questions(clips, seed=3, forms=1)
bound = set_bound(told.answers.tolist(), turned.answers.tolist())
print(f"does it move right? bound {100 * bound:.0f} %")
mixed = set_bound(["yes", "red", "blue", "left"], ["no", "red", "blue", "right"])
print(f"two of four questions turn around: bound {100 * mixed:.0f} %")
lab.claim("the model of section 1 is exactly on its bound", right == bound)

# %% [markdown]
# > **Exercise 15.2 · choose and justify** · core · difficulty 1 of 3 · 3 minutes
# >
# > Four models see clips of seven frames. Which one may be right in more than half of these
# > questions?
# >
# > - "a": it takes the maximum over the frames, patch by patch;
# > - "b": all patches of all frames attend to each other; they have places in the picture, none in
# >   time;
# > - "c": it sees the middle frame only;
# > - "d": it sees the first frame only.

# %%
my_model = None
### BEGIN SOLUTION
my_model = "d"
### END SOLUTION

# %%
my_model = check("15.2", my_model)

# %% [markdown]
# The first frame of the reverse is the last one of the clip: another frame, so the bound doesn't
# hold. It doesn't follow that one frame is enough. An object that begins on the left will more often
# move right, so a model can gain a little. You will see below how much.

# %% [markdown]
# ### The test with shuffled frames
#
# A model that sees order must suffer when the order is destroyed. So: shuffle the frames of each
# clip and ask again. One detail decides whether this is a test. Each clip needs an order **of its
# own**. With one order for all clips, that order may happen to be close to the reverse, and then a
# good model is wrong nearly always instead of half of the time.
#
# > **Exercise 15.3 · write it** · core · difficulty 2 of 3 · 8 minutes
# >
# > `v` (clips, frames, ...) holds features, `order` (clips, frames) which frame of each clip comes
# > first, second, and so on. Return `v` with each clip in its own order.


# %%
def in_order(v, order):
    """v (clips, frames, ...) with the frames of each clip in its order."""
    ### BEGIN SOLUTION
    clip = torch.arange(len(v))[:, None]  # (clips, 1)
    return v[clip, order]  # (clips, frames, ...)
    ### END SOLUTION


# %%
in_order = check("15.3", in_order)

# %%
generator = torch.Generator().manual_seed(lab.seed)
own = random_orders(3, 7, generator)  # (3, 7)
print(own + 1)
shuffled = in_order(frames[:3], own)  # (3, 7, 3, 64, 64)

# %% tags=["figure"]
plots.show(
    animation.filmstrip(shuffled, ["clip 1", "clip 2", "clip 3"]),
    alt="Three clips, each with its frames in another random order.",
)

# %% [markdown]
# ## 3. What sees time · core
#
# Features of a clip have four axes: **(batch, frames, patches, dim)**. Here are five ways to read
# them. All give vectors to the same joint encoder, so that only the way of reading differs.

# %% tags=["figure"]
diagrams.flow(
    {
        "clip": (0, 1, "clip"),
        "stem": (1, 1, "frozen stem,\nframe by frame"),
        "read": (2, 1, "a way to\nread time"),
        "question": (2, 0, "question"),
        "joint": (3, 1, "joint encoder"),
        "answer": (4, 1, "answer"),
    },
    [
        ("clip", "stem", "(batch, 7, 3, 64, 64)"),
        ("stem", "read", "(batch, 7, 16, 64)"),
        ("read", "joint", "(batch, tokens, 64)"),
        ("question", "joint", "(batch, words)"),
        ("joint", "answer", "(batch, answers)"),
    ],
    marked=["read"],
    alt=(
        "Data flow: a frozen stem turns each frame of a clip into 16 patches;"
        " a way to read time makes visual tokens of all frames; a joint"
        " encoder reads them with the question and gives the answer."
    ),
)

# %% [markdown]
# ### A difference
#
# The simplest: what has changed? Take the mean of the later half of the frames minus the mean of
# the earlier half. If all frames come in the reverse order, the sign turns around.
#
# > **Exercise 15.4 · write it** · core · difficulty 1 of 3 · 6 minutes
# >
# > Write it, for each patch. With an odd number of frames the middle one belongs to neither half.
# > There are at least two frames.


# %%
def later_minus_earlier(v):
    """v (batch, frames, patches, dim) -> (batch, patches, dim)."""
    ### BEGIN SOLUTION
    half = v.shape[1] // 2  # 3 of 7
    return v[:, -half:].mean(1) - v[:, :half].mean(1)  # (batch, patches, dim)
    ### END SOLUTION


# %%
later_minus_earlier = check("15.4", later_minus_earlier)

# %%
change = later_minus_earlier(v)  # (300, 16, 64)
lab.claim(
    "backwards, the difference has the other sign",
    torch.allclose(later_minus_earlier(v.flip(1)), -change, atol=1e-5),
)

# %% [markdown]
# The package's `FrameDifference` puts this beside the mean, and a linear map mixes the two. Train it
# like the first model, and test both.

# %%
difference_model = trained("difference", epochs=6)
exact = test_order(mean_model, test, lab.seed)
found = test_order(difference_model, test, lab.seed)
rows = [["mean", *(f"{100 * part:.0f} %" for part in exact)]]
shown = [
    lab.measured(f"15.difference_{name}", 100 * part, "%", 0)
    for name, part in found._asdict().items()
]
rows.append(["mean and difference", *shown])
header = ["reads", "right", "frames shuffled", "same answer both ways"]
plots.table(rows, header=header)
lab.claim("the difference is far above the bound", found.right > 0.8)
lab.claim("shuffled, it is near a half", abs(found.shuffled - 0.5) < 0.1)

# %% [markdown]
# Three numbers beside each other say more than one. *Right* above the bound: it sees order. *Shuffled*
# near a half: it was the order that helped. *Same answer both ways*: how often it is certainly
# wrong once.

# %% [markdown]
# ### A recurrence
#
# A **recurrent network** walks over the frames. It keeps a state, and at each frame it makes a new
# state from the old one and the frame. A GRU is one of them
# ([Cho et al. 2014](https://arxiv.org/abs/1406.1078)): gates decide how much of the old state is
# kept. Each patch has its own walk, with the same weights.

# %%
gru = torch.nn.GRU(64, 64, batch_first=True)
walks = v[:2].transpose(1, 2).flatten(0, 1)  # (2 * 16, 7, 64)
states, last = gru(walks)
print("rows", tuple(walks.shape), "states", tuple(states.shape))
print("last state of each patch:", tuple(last[0].unflatten(0, (2, 16)).shape))

# %% [markdown]
# Note the axes. The GRU takes (rows, steps, dim), so clips and patches together become rows. To bring
# the frames next to `dim`, the axes are *exchanged* first; only then may they be joined.

# %% [markdown]
# ### Attention over space and time
#
# Attention sees a set, unless tokens say where they stand (lesson 02). So a vector for the place in
# time is added to each patch, as well as one for its place in the picture. Then all patches of all
# frames attend to each other: **joint** space-time attention. With $T$ frames of $P$ patches that are
# $(TP)^2$ products of queries and keys in each head and layer.
#
# **Divided** attention is cheaper: each patch attends to *itself in all frames*, and then to *all
# patches of its own frame*
# ([Bertasius et al. 2021](https://arxiv.org/abs/2102.05095)). Anything can still reach anything, in two
# steps.

# %% tags=["figure"]
figure, axes = plt.subplots(1, 3, figsize=(9, 2.6))
query = (1, 4)  # frame, patch
for axis, title in zip(axes, ("joint", "divided: time", "divided: space")):
    for frame, patch in itertools.product(range(4), range(9)):
        seen = title == "joint" or (
            patch == query[1] if "time" in title else frame == query[0]
        )
        colour = plots.PALETTE[0] if seen else "#DDDDDD"
        colour = plots.PALETTE[1] if (frame, patch) == query else colour
        x, y = 4 * frame + patch % 3, -(patch // 3)
        axis.add_patch(plt.Rectangle((x, y), 0.9, 0.9, fc=colour))
    axis.set(xlim=(-0.3, 15.3), ylim=(-2.4, 1.3), title=title)
    axis.set_aspect("equal")
    axis.axis("off")
plots.show(
    figure,
    alt=(
        "Four frames of nine patches, three times. One patch asks. Jointly it"
        " sees all patches of all frames; in time only its own place in all"
        " frames; in space only its own frame."
    ),
)

# %% [markdown]
# > **Exercise 15.5 · write it** · core · difficulty 2 of 3 · 12 minutes
# >
# > Write the first half of divided attention. `attend` is any attention: it takes (rows, positions,
# > dim), mixes the positions of each row, and returns the same shape. Let each patch of each clip
# > attend to the same patch in all frames. Return the shape of `h`.


# %%
def attend_over_time(h, attend):
    """h (batch, frames, patches, dim) -> the same shape."""
    ### BEGIN SOLUTION
    rows = h.transpose(1, 2).flatten(0, 1)  # (batch * patches, frames, dim)
    mixed = attend(rows)  # (batch * patches, frames, dim)
    apart = mixed.unflatten(0, (h.shape[0], h.shape[2]))
    return apart.transpose(1, 2)  # (batch, frames, patches, dim)
    ### END SOLUTION


# %%
attend_over_time = check("15.5", attend_over_time)

# %% [markdown]
# The trap is silent: `h.reshape(batch * patches, frames, dim)` has the right shape too, and its rows
# hold other numbers. Here is a test that needs no second implementation. Give every frame the
# number of its patch. Then a row over time holds equal numbers, and their mean is what came in.

# %%
h = torch.arange(3.0).view(1, 1, 3, 1).expand(2, 4, 3, 1)  # patch numbers
average = lambda rows: rows.mean(1, keepdim=True).expand_as(rows)
print(attend_over_time(h, average)[0, 0, :, 0])
wrong = average(h.reshape(6, 4, 1)).reshape(h.shape)
print(wrong[0, 0, :, 0])

# %% [markdown]
# And one that does: PyTorch's attention over all tokens, with a mask that lets each token see only
# its own patch. Same weights, same result?

# %%
torch.manual_seed(lab.seed)
attention = torch.nn.MultiheadAttention(64, 4, batch_first=True)
tokens = v[:2].flatten(1, 2)  # (2, 7 * 16, 64)
patch = torch.arange(7 * 16) % 16
hidden = patch[:, None] != patch[None]  # (112, 112) True: not seen
with torch.no_grad():
    joint, _ = attention(tokens, tokens, tokens, attn_mask=hidden)
    mine = attend_over_time(v[:2], lambda r: attention(r, r, r)[0])
apart = (mine.flatten(1, 2) - joint).abs().max().item()
print(f"largest difference: {apart:.0e}")
lab.claim("divided in time equals masked joint attention", apart < 1e-4)

# %% [markdown]
# > **Exercise 15.6 · predict a number** · core · difficulty 1 of 3 · 5 minutes
# >
# > 16 frames of 64 patches. How many products of a query and a key does one head compute in one
# > layer, jointly and divided? Give both: `(joint, divided)`.

# %%
products = None
### BEGIN SOLUTION
products = ((16 * 64) ** 2, 16 * 64 * (16 + 64))
### END SOLUTION

# %%
products = check("15.6", products)

# %%
for frames_now in (7, 16, 64):
    jointly = (frames_now * 64) ** 2
    apart = frames_now * 64 * (frames_now + 64)
    print(f"{frames_now:3} frames: {jointly / apart:5.1f} times as many jointly")

# %% [markdown]
# On a small machine the number of products isn't yet the time. What both cost in time and memory at
# 16 frames is measured by `python -m bench.clips`, not here, since it depends on the machine.

# %% [markdown]
# ## 4. Who sees order, and how soon? · core
#
# A study trained all of them on two tasks, with 1,200 clips and their reverses, three seeds each:
#
# - **which**: "does the red square move right?", as above;
# - **first**: two objects appear, each in one frame, and "which colour comes first?"
#
# The ways that can see time had eight passes, and each the better of two learning rates, chosen on
# validation clips.

# %% tags=["setup"]
kept = read_runs(lab.data_path("studies/order.json"))


def best_runs(kind, model, forms=1):
    """The rows of three seeds at the rate that validation chose."""
    some = [
        row
        for row in kept
        if (row["kind"], row["model"], row["forms"]) == (kind, model, forms)
    ]
    first = [row for row in some if row["seed"] == 0]
    rate = max(first, key=lambda row: row["validation"])["rate"]
    return [row for row in some if row["rate"] == rate]


def over_seeds(rows, name, digits=1):
    """Mean and deviation of a share over seeds, in per cent."""
    return lab.mean_spread([100 * row[name] for row in rows], "%", digits)


# %%
example = sample_clips("first", 3, seed=8)
asked_now = questions(example, forms=1)
for text, answer in zip(asked_now.texts, asked_now.answers):
    print(text, answer_in("en", answer))

# %% tags=["figure"]
plots.show(
    animation.filmstrip(torch.from_numpy(draw_clips(example))),
    alt="Three clips in which two objects appear in one frame each.",
)

# %% [markdown]
# A difference has a limit of its own here. It knows in which *half* an object appears. When both appear
# in the same half it has to guess. How often is that? Two different frames of seven can be chosen in
# 21 ways. In 6 of them, both lie in the same half.

# %%
pairs = list(itertools.combinations(range(7), 2))
same_half = [max(pair) < 3 or min(pair) > 3 for pair in pairs]
limit = 1 - np.mean(same_half) / 2
print(f"{sum(same_half)} of {len(pairs)} in one half")
print(f"a difference can be right in {100 * limit:.1f} %")

# %%
NAMES = {
    "middle frame": "the middle frame",
    "first frame": "the first frame",
    "mean": "the mean of all frames",
    "set": "attention, no places in time",
    "difference": "mean and difference",
    "recurrence": "a GRU for each patch",
    "joint": "joint attention",
    "divided": "divided attention",
}
rows = []
for model, name in NAMES.items():
    cells = [name]
    for kind in ("which", "first"):
        runs = best_runs(kind, model)
        cells += [over_seeds(runs, "right"), over_seeds(runs, "shuffled")]
    rows.append(cells)
header = ["reads", "which: right", "shuffled", "first: right", "shuffled"]
plots.table(rows, header=header)

# %%
for model in ("middle frame", "mean", "set"):
    which, first = (best_runs(k, model)[0] for k in ("which", "first"))
    lab.claim(f"{NAMES[model]}: half of which", which["right"] == 0.5)
    lab.claim(f"{NAMES[model]}: at most half of first", first["right"] <= 0.5)
for model in ("recurrence", "joint"):
    for kind in ("which", "first"):
        worst = min(row["right"] for row in best_runs(kind, model))
        lab.claim(f"{NAMES[model]} is right in 85 % of {kind}", worst > 0.85)
lab.claim(
    "on first no run of the difference is above its limit by 3 points",
    max(r["right"] for r in best_runs("first", "difference")) < limit + 0.03,
)

# %% [markdown]
# The upper four lines have no way to tell order, and are where the bound puts them, but for the first
# frame alone, which gains a little. (On "first" they have one more way to be wrong: a colour that isn't
# in the clip.) The lower four see it. The difference is best at what it is made for, and meets its
# limit on "first".

# %% [markdown]
# ### Two forms of one question
#
# Now something that looks harmless. In the study so far everyone was asked "which colour comes
# **first**?". Let half of the questions ask "which colour comes **last**?", with the same clips,
# the same models and the same rates.
#
# > **Exercise 15.7 · predict** · core · difficulty 1 of 3 · 3 minutes
# >
# > After eight passes, a GRU answered nearly every question of one form. With two forms of the
# > question, how many per cent will it get right after eight passes?

# %%
my_prediction = None
### BEGIN SOLUTION
my_prediction = 90
### END SOLUTION

# %%
my_prediction = check("15.7", my_prediction)

# %% tags=["result"]
two_forms = best_runs("first", "recurrence", forms=2)
after_eight = [100 * row["curve"]["right"][7] for row in two_forms]
found = lab.mean_spread(after_eight, "%")
print(f"Predicted: {my_prediction} %, measured: {found}, three runs.")

# %% tags=["figure", "result"]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
for axis, model in zip(axes, ("recurrence", "joint")):
    for i, (forms, name) in enumerate(((1, "one form"), (2, "two forms"))):
        for j, row in enumerate(best_runs("first", model, forms)):
            right = row["curve"]["right"]
            axis.plot(
                range(1, len(right) + 1),
                [100 * share for share in right],
                plots.DASHES[i],
                color=plots.PALETTE[i],
                label=name if j == 0 else None,
            )
    axis.axhline(50, color="grey", linestyle=":")
    axis.set(xlabel="passes", title=NAMES[model], ylim=(0, 103))
axes[0].set_ylabel("right, %")
axes[0].legend(loc="lower right")
plots.show(
    figure,
    alt=(
        "Right answers after each pass, for a GRU and for joint attention."
        " With one form of the question they rise at once, with two forms"
        " they stay at the bound of fifty per cent for many passes."
    ),
)

# %% [markdown]
# With two forms, both stay on the bound of the models that can't see time. They can: the very same
# model saw the order at once when one form was asked. A run that is stopped after eight passes would
# teach a false sentence: "a GRU can't tell which came first".
#
# Why does one more word cost so much? A model has to know two things now, the order *and* which word
# is asked. Let us count what each is worth alone.

# %%
print("knows          right")
for knows_order, knows_word in ((False, False), (True, False), (False, True), (True, True)):  # fmt: skip
    shares = []
    for order, word in itertools.product((0, 1), repeat=2):
        # what is certain of (order, word) stays; the rest is averaged over
        orders = [order] if knows_order else [0, 1]
        words = [word] if knows_word else [0, 1]
        answers = [o ^ w for o in orders for w in words]
        votes = answers.count(order ^ word) / len(answers)
        shares.append(votes)
    name = {(0, 0): "neither", (1, 0): "the order", (0, 1): "the word", (1, 1): "both"}  # fmt: skip
    print(f"{name[knows_order, knows_word]:14} {100 * np.mean(shares):.0f} %")

# %% [markdown]
# Alone, each of the two is worth *nothing*. So no small step in one direction lowers the loss, and
# training has to find both at once. If that is the reason, then a model that already knows the order
# should leave the bound soon. The study tested it: a GRU was first trained on one form, and then on
# two.

# %% tags=["varies"]
after = best_runs("first", "recurrence", forms="1, then 2")
rows = [
    [name, *(f"{100 * np.mean([r['curve']['right'][p] for r in runs]):.0f} %" for p in (0, 1, 3, 7))]  # fmt: skip
    for name, runs in (
        ("two forms from the start", two_forms),
        ("two forms, after one form", after),
    )
]
plots.table(rows, header=["mean of three runs, passes:", "1", "2", "4", "8"])

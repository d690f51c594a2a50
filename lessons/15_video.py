# ---
# jupyter:
#   course:
#     title: "Video: does the model see time?"
#     needs: ["08", "13"]
# ---

# %% [markdown]
# Play a film backwards, and a model that has watched it may say the same as before. In this lesson
# you will
#
# - catch a model that answers about clips and doesn't see their order;
# - derive how right such a model can be at most, without training anything;
# - write what sees time: a difference, attention over time, and the test with shuffled frames;
# - find out why a model that *can* see time may not do so for a long while;
# - turn words and a first frame into the frames that follow, and compute what nobody can know;
# - read folders of frames, video files and the files of a published data set.

# %% tags=["setup"]
import itertools
import re

import matplotlib.pyplot as plt
import numpy as np
import torch
from course_utils.checks import check, hint, quiz
from course_utils.datasets.clips import (
    clip_data,
    clip_features,
    clip_loader,
    spread,
)
from course_utils.datasets.future_clips import WAYS, future_data
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
from course_utils.world.motion import draw_clips, random_orders, sample_clips
from course_utils.world.motion_words import (
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
# encoder, together with the question, as in lesson 08. A well-known model that finds videos by text
# compares with the mean of its frames' vectors, in one of its variants ([Luo et al.
# 2021](https://arxiv.org/abs/2104.08860)).

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
# With yes and no, one of the two is always right, so it is exactly a half for a model that says one
# of them. This holds for every $f$ of this kind, however large and however trained.

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
one, other = ["yes", "red", "blue", "left"], ["no", "red", "blue", "right"]
mixed = set_bound(one, other)
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
# hold. One frame isn't enough for every clip. But it tells much here: an object that begins far
# left can only move right:

# %%
begins = clips.cx[:, 0]  # (300, 2) pixels from the left
moves_right = clips.cx[:, -1] > begins  # (300, 2)
for name, moving in (("right", moves_right), ("left", ~moves_right)):
    start = begins[moving]
    print(f"{name:5} begins between {start.min():.0f} and {start.max():.0f}")
low, high = begins[~moves_right].min(), begins[moves_right].max()
open_places = ((begins > low) & (begins < high)).mean()
print(f"best guess from the first frame: {100 * (1 - open_places / 2):.0f} %")

# %% [markdown]
# So a model without any movement could be right that often. Our clips are not a perfect test of
# order; section 4 has better ones. A test of order should be built so that no single frame gives
# the answer away. On popular sets of videos with texts, a model trained on single frames did better
# than methods of its time that used several ([Lei et al. 2022](https://arxiv.org/abs/2206.03428)).

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
# > first, second, and so on. Frames are counted from 0. Return `v` with each clip in its own order.


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
# Features of a clip have four axes: **(batch, frames, patches, dim)**. Besides the mean, here are
# four ways to read them: a difference, a recurrence, joint attention and divided attention. All
# give vectors to the same joint encoder, so that only the way of reading differs.

# %% tags=["figure"]
diagrams.flow(
    {
        "clip": (0, 1, "clip"),
        "stem": (1, 1, "frozen stem,\nframe by frame"),
        "read": (2, 1, "a way to\nread time"),
        "question": (3, 0, "question"),
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
# The package's `FrameDifference` puts this beside the mean, and a linear map mixes the two. Train
# it for two passes more than the first model. Beside it stands a model that sees the first frame
# only, trained in the same way.

# %%
difference_model = trained("difference", epochs=6)
first_model = trained("first frame", epochs=6)
exact = test_order(mean_model, test, lab.seed)
found = test_order(difference_model, test, lab.seed)
alone = test_order(first_model, test, lab.seed)
rows = [["mean", *(f"{100 * part:.0f} %" for part in exact)]]
for key, name, parts in (
    ("first", "the first frame alone", alone),
    ("difference", "mean and difference", found),
):
    shown = [
        lab.measured(f"15.{key}_{what}", 100 * part, "%", 0)
        for what, part in parts._asdict().items()
    ]
    rows.append([name, *shown])
header = ["reads", "right", "frames shuffled", "same answer both ways"]
plots.table(rows, header=header)
lab.claim("the difference is above the bound", found.right > 0.65)
lab.claim("shuffled, it is near a half", abs(found.shuffled - 0.5) < 0.1)
lab.claim("so is a model of the first frame", abs(alone.shuffled - 0.5) < 0.1)

# %% [markdown]
# In front of the brackets stands this run; in them, mean and deviation of five others. Three
# numbers beside each other say more than one. *Right* above the bound: it doesn't see its frames as
# a set. *Shuffled* near a half, where *right* is higher: it needs them in their places. *Same
# answer both ways*: how often it is certainly wrong once.

# %% [markdown]
# But none of the three says that a model sees a *movement*: the first frame alone passes them as
# well. It sees where objects begin. So always put a single frame beside a model of video. About a
# quarter of the difference's answers are wrong, too. Section 4 finds out which answers, and what
# the difference sees that a single frame doesn't.

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
figure, axes = plt.subplots(3, 1, figsize=(5, 4.2))
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
# > attend to the same patch in all frames. Return a tensor of the same shape as `h`.


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
    print(
        f"{frames_now:3} frames: {jointly / apart:4.1f} times as many jointly"
    )

# %% [markdown]
# Products aren't time. What a layer costs depends on the machine, and `python -m bench.clips` measures
# it on yours. On the course's machine, joint attention was no slower with 7 frames, and took
# more time from 16 on.
#
# ### And memory? · extra
#
# It is often said that joint attention fills the memory. So it was, as long as the weights of all pairs
# were kept for the backward pass. Count the bytes that are kept, for four clips of 16 frames with 64
# patches:

# %% tags=["varies"]
from course_utils.models.transformer import TransformerConfig, TransformerLayer
from course_utils.models.video import DividedLayer
from course_utils.training.memory import saved_bytes

some = torch.randn(4, 16, 64, 64)  # (batch, frames, patches, dim)
joint_layer = TransformerLayer(TransformerConfig(dim=64, heads=4, mlp_dim=256))
divided_layer = DividedLayer(64, heads=4, mlp_dim=256)
for name, run in {
    "joint, all weights kept": lambda: joint_layer(
        some.flatten(1, 2), need_weights=True
    )[0],
    "joint, fused kernel": lambda: joint_layer(some.flatten(1, 2))[0],
    "divided, fused kernel": lambda: divided_layer(some),
}.items():
    kept_bytes = saved_bytes(lambda run=run: run().mean())
    print(f"{name:24} {kept_bytes / 1e6:5.0f} MB")

# %% [markdown]
# PyTorch's fused kernel computes attention in pieces and never keeps the weights. With it, joint
# attention keeps *less* than divided attention, which has one more layer of attention to keep. What is
# left of divided attention's advantage is time, in long clips.

# %% [markdown]
# ## 4. Who sees order, and how soon? · core
#
# A study trained all of them on another task, with 1,200 clips and their reverses: two objects
# appear, each in one frame, and the question is **"which colour comes first?"**. The ways that can
# see time had eight passes, the others four; three seeds each, and the better of two learning
# rates, chosen on validation clips.

# %% tags=["setup"]
kept = read_runs(lab.data_path("studies/order.json"))


def best_runs(model, forms=1):
    """The rows of a model at the rate that validation chose."""
    some = [r for r in kept if (r["model"], r["forms"]) == (model, forms)]
    first = [row for row in some if row["seed"] == 0]
    rate = max(first, key=lambda row: row["validation"])["rate"]
    return [row for row in some if row["rate"] == rate]


def over_seeds(rows, name, digits=1):
    """A share in per cent: mean and deviation over seeds, if there are any."""
    shares = [100 * row[name] for row in rows]
    if len(shares) == 1:
        return f"{shares[0]:.{digits}f} %"
    return lab.mean_spread(shares, "%", digits)


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
# A difference has a limit of its own here. It knows in which *half* an object appears. When both
# appear in the same half it has to guess. (An object in the middle frame is in the mean and not in
# the difference, so its place is known too.) How often is that? Two different frames of seven can
# be chosen in 21 ways. In 6 of them, both lie in the same half.

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
    runs = best_runs(model)
    cells = [over_seeds(runs, c) for c in ("right", "shuffled", "same")]
    rows.append([name, *cells])
header = ["reads", "right", "frames shuffled", "same answer both ways"]
plots.table(rows, header=header)

# %%
for model in ("middle frame", "mean", "set"):
    (row,) = best_runs(model)
    lab.claim(f"{NAMES[model]}: at most half", row["right"] <= 0.5)
for model in ("recurrence", "joint", "divided"):
    worst = min(row["right"] for row in best_runs(model))
    lab.claim(f"{NAMES[model]}: right in more than 95 %", worst > 0.95)
differences = [row["right"] for row in best_runs("difference")]
lab.claim(
    "the difference is above half, and below its limit",
    min(differences) > 0.7 and max(differences) < limit,
)

# %% [markdown]
# The bound holds for the models of a set: none is above a half. (They may be lower, since a colour
# that isn't in the clip is wrong both times. One seed is shown: no seed can pass the bound.) GRU,
# joint and divided attention see the order, and the difference stays some points below its limit.
#
# Single frames we can count out. An object is in a given frame in 2 of 7 clips. In the first frame,
# it certainly came first; in the middle frame, in half of these clips. If the frame is empty, one
# of eight colours is guessed.

# %%
seen, guess = 2 / 7, 1 / 8
print(f"first frame:  {100 * (seen + (1 - seen) * guess):.1f} %")
print(f"middle frame: {100 * (seen / 2 + (1 - seen) * guess):.1f} %")

# %% [markdown]
# ### Two forms of one question
#
# Now something that looks harmless. In the study so far everyone was asked "which colour comes
# **first**?". Let half of the questions ask "which colour comes **last**?", with the same clips,
# the same models and the same rates.
#
# > **Exercise 15.7 · predict** · core · difficulty 1 of 3 · 3 minutes
# >
# > After four passes, a GRU was right in nine of ten validation questions of one form, on average. With
# > two forms of the question, how many per cent will it get right after four passes?

# %%
my_prediction = None
### BEGIN SOLUTION
my_prediction = 90
### END SOLUTION

# %%
my_prediction = check("15.7", my_prediction)

# %% tags=["result"]
two_forms = best_runs("recurrence", forms=2)
for runs, name in ((best_runs("recurrence"), "one"), (two_forms, "two")):
    after_four = [100 * row["curve"]["right"][3] for row in runs]
    shown = lab.mean_spread(after_four, "%")
    print(f"forms: {name}, right after four passes: {shown}, three runs")
print(f"Predicted: {my_prediction} %")

# %% tags=["figure", "result"]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
for axis, model in zip(axes, ("recurrence", "joint")):
    for i, (forms, name) in enumerate(((1, "one form"), (2, "two forms"))):
        for j, row in enumerate(best_runs(model, forms)):
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
        "Right validation answers after each pass, for a GRU and for joint"
        " attention."
        " With one form of the question they rise at once, with two forms"
        " they first stay near the bound of fifty per cent."
    ),
)

# %% [markdown]
# With two forms, the GRU first goes to the bound of the models that can't see time, and stays there for
# some passes. Then it leaves it, and in the end it is right nearly always. A run that is stopped after
# four passes would teach a false sentence: "a GRU can't tell which came first". Joint attention stays
# longer, and its runs aren't through after sixteen passes. (Rates were chosen for one form, so this
# doesn't compare the two ways of reading.)
#
# Why does one more word cost so much? A model has to know two things now, the order *and* which word
# is asked. Let us count what each is worth alone.

# %%
# two objects, A and B; 1: the answer is A. Rows: A is first, B is first;
# columns: asked for the first, asked for the last
answer_is_a = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # (2, 2)
print("knows nothing:       p(A) =", answer_is_a.mean().item())
print("knows who is first:  p(A) =", answer_is_a.mean(1).tolist())
print("knows what is asked: p(A) =", answer_is_a.mean(0).tolist())
print("knows both:          p(A) =", answer_is_a.flatten().tolist())

# %% [markdown]
# Alone, each of the two is worth *nothing*: every row and every column is a guess. So a small step
# towards one of them hardly lowers the loss, and training has to find both. If that is the reason, then
# a model that already knows the order should leave the bound soon. The study tested it: a GRU was
# trained on one form, and then on two.

# %% tags=["varies"]
after = best_runs("recurrence", forms="1, then 2")
rows = []
for name, runs in (("at once", two_forms), ("after one form", after)):
    curve = np.mean([row["curve"]["right"][:8] for row in runs], axis=0)  # (8,)
    rows.append([name, *(f"{100 * curve[p - 1]:.0f} %" for p in (1, 2, 4, 8))])
plots.table(rows, header=["two forms", "1 pass", "2", "4", "8 passes"])

# %%
last = min(row["curve"]["right"][3] for row in after)
best = max(row["curve"]["right"][3] for row in two_forms)
lab.claim("after four passes each GRU with a first stage is ahead", last > best)
lab.claim(
    "in the end, all of the GRU's runs with two forms are right in 19 of 20",
    min(row["right"] for row in two_forms + after) > 0.95,
)

# %% [markdown]
# With the order known, the second word is learnt in a few passes. (Count the eight passes before,
# and nothing was saved.) A stretch of training in which the result doesn't rise is called a
# **plateau**. It can come from the *question* rather than from the way of reading. Before you blame
# a model, ask it something simpler.

# %% [markdown]
# ### Three quarters
#
# Back to "does the red square move right?", and to the difference, which you trained in section 3.
# It was right in about three quarters.
#
# > **Exercise 15.8 · predict a number** · core · difficulty 2 of 3 · 5 minutes
# >
# > Each of the two objects moves left or right, as it likes. Suppose that a model sees perfectly
# > how both objects move, and doesn't use the name in the question. Where the two ways differ, it
# > guesses. How many per cent of the questions can it get right?

# %%
unbound = None
### BEGIN SOLUTION
# half of the clips: both move the same way, always right; the others: a guess
unbound = 100 * (0.5 * 1 + 0.5 * 0.5)
### END SOLUTION

# %%
unbound = check("15.8", unbound)

# %% [markdown]
# Is that what happened? Two tests. Split the answers by whether the objects move the same way. And
# hide the object's name: the question becomes "does it move right?". A model that doesn't use the
# name won't miss it.

# %%
from dataclasses import replace

mask = test.mask.clone()  # (rows, words), True where there is a word
mask[:, 3:5] = False  # [START] does the RED SQUARE move right
nameless = replace(test, mask=mask)
together = torch.from_numpy(same_way(clips)).repeat(2)  # (600,)
shares = {}
for name, data in (("named", test), ("nameless", nameless)):
    hits = (answers_to(difference_model, data) == test.y).double()  # (600,)
    shares[name] = [hits[some].mean().item() for some in (together, ~together)]

# %%
rows = []
for i, name in enumerate(("same", "opposite")):
    cells = [
        lab.measured(f"15.{asked}_{name}", 100 * shares[asked][i], "%", 0)
        for asked in shares
    ]
    rows.append([f"the objects move in {name} ways", *cells])
plots.table(rows, header=["clips", "right", "with the name hidden"])
same, opposite = shares["named"]
lab.claim("same way: more than 9 of 10 are right", same > 0.9)
if lab.profile == "cpu":  # with more clips it may leave the plateau
    lab.claim("opposite ways: fewer than 8 of 10", opposite < 0.8)
    lab.claim(
        "without the name, opposite ways: half, within 12 points",
        abs(shares["nameless"][1] - 0.5) < 0.12,
    )

# %% [markdown]
# So a result near three quarters has a meaning here. The model knows directions, and hardly whose
# they are: its mistakes are in the clips where that matters. To connect a property with the thing
# that has it is called **binding**. One number never tells you that it is missing; a split by kind
# does. It isn't the fault of the difference: here are a GRU, trained two passes longer, and the
# model of the first frame.

# %%
gru_model = trained("recurrence", epochs=8)
opposite = {}
for key, model in (("gru", gru_model), ("first_ways", first_model)):
    hits = (answers_to(model, test) == test.y).double()  # (600,)
    opposite[key] = hits[~together].mean().item()
    for name, some in (("same", together), ("opposite", ~together)):
        share = 100 * hits[some].mean().item()
        shown = lab.measured(f"15.{key}_{name}", share, "%", 0)
        print(f"{key.split('_')[0]:6} {name} ways: {shown}")
if lab.profile == "cpu":  # with few clips
    lab.claim("a GRU, opposite ways: below 8 of 10", opposite["gru"] < 0.8)

# %% [markdown]
# So the GRU does the same. One exception: of the five runs of the difference in the brackets above,
# one had begun to leave three quarters. It is a plateau again, in the clips with opposite ways:
# there, the name that is asked is worth nothing alone, and so are the two ways. The first frame
# isn't sure even where both objects move the same way, and the difference is. That is what it has
# more than a first frame.

# %% [markdown]
# ### What moves first? · extra
#
# On the bound, does nothing happen? Look at the share of clips that get the *same answer* both ways,
# in joint attention's runs with two forms.

# %% tags=["figure"]
figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), sharey=True)
for axis, row in zip(axes, best_runs("joint", forms=2)):
    for i, (key, name) in enumerate((("right", "right"), ("same", "same"))):
        shares = [100 * share for share in row["curve"][key]]
        passes = range(1, len(shares) + 1)
        colour = plots.PALETTE[i]
        axis.plot(passes, shares, plots.DASHES[i], color=colour, label=name)
    axis.axhline(50, color="grey", linestyle=":")
    axis.set(xlabel="passes", title=f"seed {row['seed']}", ylim=(0, 103))
axes[0].set_ylabel("%")
axes[0].legend(loc="lower left")
plots.show(
    figure,
    alt=(
        "Three runs: the share of same answers begins to fall while right"
        " answers are still at fifty per cent; these rise some passes later."
    ),
)

# %% [markdown]
# Accuracy is half of *same*, plus $(1 - \text{same})$ times $p$, the share right among the pairs
# with two different answers. So it can't move much while few pairs differ: *same* is the number
# that can move first. Is $p$ a half meanwhile, because the model sees the order and not yet the
# word? Computed from the kept runs, as $(\text{right} - \text{same} / 2) / (1 - \text{same})$, it
# jumps up and down in the first ten passes, since few pairs differ. So these runs don't tell.

# %% [markdown]
# ## 5. Words about clips · core
#
# A caption of a clip tells what happens, in English or in Chinese. The bound holds for captions as
# well: from a set of frames one of the two captions of a clip and its reverse can be right.

# %%
for i in (0, 1):
    print(clip_captions(clips)[i])
    print(clip_captions(clips, "zh")[i])
    print(clip_captions(clips.reversed())[i], "(backwards)")
forwards, backwards = clip_captions(clips), clip_captions(clips.reversed())
print(f"bound for captions: {100 * set_bound(forwards, backwards):.0f} %")

# %% [markdown]
# Questions exist in both languages too. In each, every question string has each of its answers equally
# often, since a clip and its reverse stand side by side: words alone do no better than chance.

# %%
for language in ("en", "zh"):
    found = questions(clips, seed=3, language=language)
    back = questions(clips.reversed(), seed=3, language=language)
    for i in (0, 1):
        there = answer_in(language, found.answers[i])
        again = answer_in(language, back.answers[i])
        print(f"{found.texts[i]}  {there}, backwards {again}")

# %% [markdown]
# Published tests for models of video work like this: the same words or the same frames, in another
# order. On Vinoground, pairs of short videos with captions that differ in order only, the best
# model of its time chose the right text for both in about half of the cases, where people did in
# nine of ten ([Zhang et al. 2024](https://arxiv.org/abs/2410.02763)).

# %% [markdown]
# ## 6. From words to a video · core
#
# Now the other way round: given words and the first frame, draw the frames that follow. This is
# **text to video** in its smallest form. An object stands somewhere, and it will move left, right, up
# or down. Here is one first frame with all four futures.

# %%
data = future_data(100, seed=2)
print("first frames", tuple(data.first.shape))
print("later frames", tuple(data.later.shape), "(ways, clips, frames, ...)")
number = 4  # any number up to 99


def whole(later, i=number):
    """Clips (ways, 7, 3, 32, 32): the first frame and what follows."""
    first = data.first[i].expand(len(later), 1, -1, -1, -1)
    return torch.cat([first, later[:, i]], dim=1).clamp(0, 1)


# %% tags=["figure", "varies"]
animation.show(
    whole(data.later),
    alt=(
        "The same first frame four times, and the object moves left, right,"
        " up and down from there."
    ),
    names=WAYS,
)

# %% [markdown]
# ### What nobody can know
#
# Without the words, all four futures are possible. What does a model learn then? It is trained by
# squared error: for futures $f_1 \dots f_4$, equally likely, its prediction $p$ should make
# $\frac{1}{4} \sum_i \lVert f_i - p \rVert^2$ small. Setting the gradient to 0:
#
# $$\frac{1}{4} \sum_i 2 (p - f_i) = 0 \quad\Rightarrow\quad p = \frac{1}{4} \sum_i f_i = \bar f .$$
#
# The best prediction is the **mean of the futures**, a picture that never happens. And its error can't
# be lowered by any model: it is $\frac{1}{4} \sum_i \lVert f_i - \bar f \rVert^2$.

# %% [markdown]
# > **Exercise 15.9 · write it** · core · difficulty 2 of 3 · 8 minutes
# >
# > `futures` (ways, ...) are equally likely ways to go on. Return the best single prediction by
# > squared error, and its mean squared error over all ways and numbers.


# %%
def blur(futures):
    """futures (ways, ...) -> (their best single prediction (...), error)."""
    ### BEGIN SOLUTION
    middle = futures.mean(0)  # (...)
    return middle, (futures - middle).square().mean()
    ### END SOLUTION


# %%
blur = check("15.9", blur)

# %%
middle, least = blur(torch.tensor([[0.0, 4.0], [2.0, 4.0]]))
print("of (0, 4) and (2, 4):", middle.tolist(), "error", least.item())
middle, least = blur(data.later)
repeated = (data.first[:, None] - data.later).square().mean().item()
print(f"repeat the first frame {repeated:.4f}")
print(f"least without words    {least:.4f}")

# %% [markdown]
# ### A model for both
#
# One small network gets the first frame and the words, or no words at all: in training, they were
# left out half of the time. Words change the scale and the shift of each channel, which is called
# **FiLM** ([Perez et al. 2017](https://arxiv.org/abs/1709.07871)). The network draws what *changes*
# from the first frame. It has a checkpoint; `python -m course_utils.studies.recipes future` trains it
# in a minute.

# %% tags=["figure"]
diagrams.flow(
    {
        "first": (0, 0, "first frame"),
        "words": (0, 1, "words, or none"),
        "down": (1, 0, "half the side"),
        "mean": (1, 1, "mean of vectors"),
        "blocks": (2, 0, "four blocks of\nconvolutions"),
        "up": (3, 0, "full side"),
        "add": (4, 0, "+ first frame"),
    },
    [
        ("first", "down", "(batch, 3, 32, 32)"),
        ("down", "blocks", "(batch, 32, 16, 16)"),
        ("words", "mean", "(batch, words)"),
        ("mean", "blocks", "(batch, 32)"),
        ("blocks", "up", ""),
        ("up", "add", "(batch, 6, 3, 32, 32)"),
    ],
    marked=["blocks"],
    alt=(
        "Data flow: the first frame is brought to half its side and goes"
        " through four blocks of convolutions, which words scale and shift;"
        " what comes out is added to the first frame, six times."
    ),
)

# %%
future = trained_future()
told = foretell(future, data)  # (4, 100, 6, 3, 32, 32)
untold = foretell(future, data, told=False)  # the same for all ways

# %% tags=["figure", "varies"]
animation.show(
    torch.cat([whole(told), whole(untold[:1])]),
    alt=(
        "Drawn by the model: told left, right, up or down the object moves"
        " there; without words pale copies of it move in all four directions."
    ),
    names=[*WAYS, "no words"],
)

# %% [markdown]
# Without words the object dissolves into four pale ghosts. The model isn't too weak: this is nearly
# the mean of the futures, the best that squared error knows.

# %%
errors = {
    "repeat the first frame": repeated,
    "without words": (untold - data.later).square().mean().item(),
    "least without words": float(least),
    "with words": (told - data.later).square().mean().item(),
}
kept_runs = read_runs(lab.data_path("studies/futures.json"))
keys = ("repeated", "untold", "least_untold", "told")
rows = []
for (name, error), key in zip(errors.items(), keys):
    three = lab.mean_spread([1e4 * run[key] for run in kept_runs], digits=1)
    if key in ("repeated", "least_untold"):  # nothing is trained
        three = f"{1e4 * kept_runs[0][key]:.1f}"
    rows.append([name, f"{1e4 * error:.1f}", three])
header = ["later frames", "squared error, in 1/10000", "three runs, others"]
plots.table(rows, header=header)
nearest = nearest_future(told[0], list(data.later))
lab.claim(
    "without words it is above the least error, by less than a fifth",
    1 < errors["without words"] / float(least) < 1.2,
)
lab.claim(
    "with words its error is less than a third of that",
    errors["with words"] < float(least) / 3,
)
lab.claim("told left, it draws left each time", bool((nearest == 0).all()))

# %% [markdown]
# The last column has three trainings, on 200 other first frames. The two numbers in the middle are
# what matters. No model *without words* can go below the second of them, and ours is close to it.
# So its blur isn't a fault that more training would cure. Two cures exist: tell more (words), or
# learn to *draw one* future instead of their mean, which a later lesson will do.

# %% [markdown]
# ### Words that don't fit · extra
#
# What if the words name another object than the one in the frame? (In the printed example only its
# colour differs.) Colour and shape are in the words as well as in the frame. Whom does the model
# believe?

# %% tags=["varies"]
from course_utils.world.motion import futures as all_futures

captions = clip_captions(all_futures(100, seed=2)["left"])
print(f"in frame 4:        {captions[4]}\nin frame 4's words: {captions[3]}")
x, mask = data.x[0].roll(1, 0), data.mask[0].roll(1, 0)  # of the clip before
with torch.no_grad():
    mixed = future(data.first, x, mask)  # (100, 6, 3, 32, 32)
way = nearest_future(mixed, list(data.later))
for name, drawn in (("own words", told[0]), ("another's words", mixed)):
    error = (drawn - data.later[0]).square().mean().item()
    left = (nearest_future(drawn, list(data.later)) == 0).double().mean()
    print(
        f"{name:16} error {1e4 * error:5.1f}, goes left in {100 * left:.0f} %"
    )

# %% [markdown]
# Words for another object change little: the frame tells how the object looks, and the word for the way
# tells where it goes. In training, the other words never told anything that the frame didn't show.

# %% [markdown]
# ## 7. Your own videos · core
#
# ### Folders of frames
#
# Many data sets are folders with a picture for each frame. Reading one has a trap: the order of file
# names. Here is a clip of twelve frames in a folder.

# %%
import tempfile
from pathlib import Path

from PIL import Image

folder = Path(tempfile.mkdtemp())
long_clip = sample_clips("direction", 1, seed=6, frames=12)
drawn = torch.from_numpy(draw_clips(long_clip))[0]  # (12, 3, 64, 64)
for t, frame in enumerate(drawn, 1):
    Image.fromarray(frame.permute(1, 2, 0).numpy()).save(folder / f"f{t}.png")
print(*sorted(path.name for path in folder.iterdir()))

# %% [markdown]
# Sorted as texts, frame 10 follows frame 1. A model trained on such clips sees them shuffled, always
# in the same way, and no error says so: the loss falls all the same.
#
# > **Exercise 15.10 · fix it** · core · difficulty 2 of 3 · 8 minutes
# >
# > `wrong_order` sorts file names as texts. Write it right: numbers in the names are compared as
# > numbers. Names may hold several, as "shot2_frame10.png", and all of a folder are built alike;
# > the first number counts first.


# %%
def wrong_order(names):
    """File names, letter by letter: "f10" comes before "f2"."""
    return sorted(names)


def in_time(names):
    """File names in the order of time."""

    ### BEGIN SOLUTION
    def key(name):
        parts = re.split(r"(\d+)", name)  # letters and digits in turn
        return [int(p) if p.isdecimal() else p for p in parts]

    return sorted(names, key=key)
    ### END SOLUTION


# %%
in_time = check("15.10", in_time)

# %%
from course_utils.datasets.clips import read_frames

print(*in_time([path.name for path in folder.iterdir()]))
read = read_frames(folder)  # (12, 3, 64, 64)
lab.claim("the package reads them in time", torch.equal(read, drawn))

# %% [markdown]
# ### Video files
#
# Most video files don't hold pictures. They hold some whole frames, and for the others what has
# changed. So a reader must decode from the beginning, or from a whole frame. `read_video` uses
# PyAV, which brings the library ffmpeg with it.

# %% tags=["varies"]
from course_utils.datasets.video_files import (
    frame_times,
    read_video,
    write_video,
)

for ending in (".mkv", ".mp4"):
    file = folder.with_suffix(ending)
    write_video(file, drawn, per_second=6)
    back = read_video(file)  # (12, 3, 64, 64)
    off = (back.int() - drawn.int()).abs()
    seconds = frame_times(file)[-1]
    print(
        f"{ending} {file.stat().st_size:6} bytes, {len(back)} frames, last at"
        f" {seconds:.2f} seconds, colours off by up to {off.max()} of 255"
    )

# %% [markdown]
# The .mkv file was written without loss. Most files are like the second: they keep colour at half
# the sides of the picture, and drop what eyes don't notice. Small bright objects suffer from that.
# When you train on video files, test on video files, or the model meets other colours than it has
# learnt.

# %% [markdown]
# ### Which frames? · extra
#
# A video of ten seconds has 300 frames, at 30 a second, and a model takes a few. The usual choice:
# cut the time into equal parts, and take the middle of each. For 12 frames and 4 wanted:

# %%
print([t + 1 for t in spread(12, 4)])

# %% [markdown]
# > **Exercise 15.11 · predict a number** · extra · difficulty 1 of 3 · 3 minutes
# >
# > A flash is in one of 30 frames, each as likely, and you take 6. In how many per cent of the clips do
# > you miss it?

# %%
missed = None
### BEGIN SOLUTION
missed = 100 * (30 - 6) / 30
### END SOLUTION

# %%
missed = check("15.11", missed)

# %%
taken = spread(30, 6)
print("taken:", [t + 1 for t in taken])
print(f"missed: {100 * np.mean([t not in taken for t in range(30)]):.0f} %")

# %% [markdown]
# ### A published data set · extra
#
# MSR-VTT ([Xu et al. 2016](https://openaccess.thecvf.com/content_cvpr_2016/html/Xu_MSR-VTT_A_Large_CVPR_2016_paper.html))
# has 10,000 short videos with 20 sentences each. Its files say what belongs together. We build a tiny
# one in the same form, and read it.

# %%
import json

from course_utils.datasets.msr_vtt import read_msr_vtt

videos = Path(tempfile.mkdtemp())
write_video(videos / "video0.mp4", drawn, per_second=6)
info = {"video_id": "video0", "category": 9, "split": "train", "id": 0}
said = [
    {"video_id": "video0", "sen_id": k, "caption": text}
    for k, text in enumerate([*clip_captions(long_clip), "something moves"])
]
table = videos / "train_val_videodatainfo.json"
table.write_text(json.dumps({"videos": [info], "sentences": said}))
for video in read_msr_vtt(table, videos, split="train"):
    print(video.name, video.split, video.captions)
    print(tuple(read_video(video.path, wanted=4).shape))

# %% [markdown]
# ## 8. On a GPU · extra
#
# What changes at real scale: 8 to 32 frames of 224x224, which give 196 patches each, and a
# pretrained vision Transformer as stem. There the $(TP)^2$ products of joint attention decide the
# time; memory only where a kernel keeps all weights. Features of frames are again computed once and
# kept. The `gpu` profile takes ten times as many clips. Its time is not measured.

# %% [markdown]
# ## 9. What you know now · core
#
# - A model of a set of frames gives a clip and its reverse the same answer. On questions that turn
#   around, it is right in half of them at most, whatever its size.
# - Differences, recurrence, and attention with places in time see order. Each has limits of its own.
# - Being able to see time isn't seeing it yet: with two forms of a question, order and word are worth
#   nothing alone.
# - Shuffle each clip by its own order, ask the reverse, hide the question, and put a single frame beside it.
# - Words and a first frame leave futures open. Squared error draws their mean, and its error has an
#   exact bound.
# - Frames have an order only if the loader keeps it.

# %% tags=["setup"]
quiz(
    [
        (
            "A model is right in exactly 50.0 % of yes/no questions about clips"
            " and their reverses. What do you look at?",
            "Whether it gives each clip and its reverse the same answer. Then"
            " it sees its frames as a set.",
        ),
        (
            "Why must each clip be shuffled by an order of its own?",
            "One order for all may be close to the reverse. Then a good model"
            " is wrong nearly always, and not in half of the cases.",
        ),
        (
            "Does a result at the bound prove that a model can't see time?",
            "No. With two forms of a question a GRU stayed there for some"
            " passes, and then left it. Train longer, and ask it less.",
        ),
        (
            "What is cheaper about divided attention?",
            "A token meets T + P others instead of T times P.",
        ),
        (
            "A model for video draws a pale blur where an object may go left or"
            " right. Should it be trained for longer?",
            "Not for that: the mean of the futures is the best answer by"
            " squared error. Tell it more, or let it draw one future.",
        ),
    ]
)

# %% [markdown]
# **Papers.** Bertasius et al. 2021, *Is Space-Time Attention All You Need for Video Understanding?*
# ([2102.05095](https://arxiv.org/abs/2102.05095)): divided attention was the best of five schemes
# they compared. Wang et al. 2016, *Temporal Segment Networks*
# ([1608.00859](https://arxiv.org/abs/1608.00859)): a few snippets spread over the whole video,
# pictures and optical flow, their scores averaged, gave the best results of their time on two sets
# of actions. Kesen et al. 2023, *ViLMA* ([2311.07022](https://arxiv.org/abs/2311.07022)): video
# models ground words no better than models of single images. Zhang et al. 2024, *Vinoground*
# ([2410.02763](https://arxiv.org/abs/2410.02763)). Wei et al. 2018, *Learning and Using the Arrow
# of Time*: a network that tells whether a film runs forwards or backwards. Goyal et al. 2017
# ([1706.04261](https://arxiv.org/abs/1706.04261)), *something-something*: more than 100,000 videos,
# whose 174 classes are templates of captions.
#
# **Next:** lesson 16 finds what words name, and follows it.

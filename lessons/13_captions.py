# ---
# jupyter:
#   course:
#     title: "Captions: words from pictures"
#     needs: ["03", "08"]
# ---

# %% [markdown]
# A model that names every thing in the picture correctly, and writes a false sentence: how? In this
# lesson you will
#
# - put a picture in front of the words of a decoder, and train it to write captions;
# - find the word at which it goes wrong, and why likelihood made it say that word;
# - write the decoding loop with a key-value cache, a step of beam search, and a nucleus;
# - write what is inside BLEU, and see what it can't see;
# - tune the captioner by a reward for true sentences, and see what it forgets, and what a better
#   reward teaches it.

# %% tags=["setup"]
import copy
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from course_utils.checks import check, compare_prediction, hint, quiz
from course_utils.datasets.captions import (
    END,
    START,
    caption_data,
    caption_loader,
    encode_rows,
    prompt_ids,
    world_words,
)
from course_utils.evaluation.caption_metrics import bleu, cider, count_objects
from course_utils.evaluation.true_captions import (
    TrueCaptions,
    tells_relation,
    told,
    with_each_relation,
)
from course_utils.methods.captioning import (
    new_captioner,
    scene_features,
    search,
    sentence_log_p,
    token_log_p,
    trained_captioner,
    write,
)
from course_utils.methods.generation import Sample, continued, greedy
from course_utils.notebook import diagrams, lab, plots
from course_utils.studies.runs import read_runs
from course_utils.world import captions, draw, generate
from course_utils.world.descriptions import describe, scene_graph, stated
from course_utils.world.language import words

# %% [markdown]
# ## 1. Every thing is right, and the sentence is false · core
#
# Here is a captioner that the course has trained. It reads the picture with lesson 07's frozen
# stem, and writes with a small decoder of lesson 03's kind. The pictures are new to it.

# %% tags=["setup"]
TESTS = 500  # pictures
scenes = generate("iid", "test", TESTS, 1, families=("exists",)).scenes
pictures = torch.from_numpy(draw(scenes))  # (500, 3, 64, 64)
captioner = trained_captioner()
v = scene_features(captioner, scenes, "lesson13-test")  # (500, 16, 64)
truth = TrueCaptions(scenes)  # truth(text, i): is the text true of scene i?
graphs = [scene_graph(scenes, i) for i in range(TESTS)]
weights = sum(p.numel() for p in captioner.parameters())
print(f"{weights:,} weights; {TESTS} test pictures")

# %% [markdown]
# Change the number of the picture, or the luck. Then put `greedy` in the place of `Sample(luck)`:
# the most likely word each time.

# %%
picture = 6  # any number up to 499
luck = torch.Generator().manual_seed(0)  # another number, another sentence
text = write(captioner, v[[picture]], "caption", Sample(luck))[0]
print(text)
print("This is", "true." if truth(text, picture) else "false.")

# %% tags=["figure"]
figure = plots.images_grid(pictures[[picture]], size=2.4)
plots.show(figure, alt=f"The picture to which the model wrote: {text}.")

# %% [markdown]
# Both things are there, each in its colour, and the English is right. But the circle is on the
# *left*. How often does this happen? We draw one caption for each of the 500 pictures, and divide
# them into those that tell a relation (left of, right of, above, below) and those that don't.
#
# For comparison, each relation is also exchanged for one at random: on average over all four, how
# many of these captions would be true? More than a quarter: an object up and to the left is both left
# of the other and above it.

# %%
drawn = write(
    captioner, v, "caption", Sample(torch.Generator().manual_seed(lab.seed))
)
related = [i for i in range(TESTS) if tells_relation(drawn[i])]
plain = [i for i in range(TESTS) if not tells_relation(drawn[i])]


def true_share(rows):
    """Share of true captions among those of the pictures in `rows`."""
    return sum(truth(drawn[i], i) for i in rows) / len(rows)


by_chance = np.mean(
    [[truth(t, i) for t in with_each_relation(drawn[i])] for i in related]
)

# %%
rows = [
    ["no relation", len(plain), f"{100 * true_share(plain):.0f} %", ""],
    [
        "a relation",
        len(related),
        f"{100 * true_share(related):.0f} %",
        f"{100 * by_chance:.0f} %",
    ],
]
header = ["the caption tells", "captions", "true", "with a random relation"]
plots.table(rows, header=header)
lab.claim(
    "without a relation more than 9 of 10 captions are true",
    true_share(plain) > 0.9,
)
lab.claim("with one fewer than 6 of 10 are", true_share(related) < 0.6)

# %% [markdown]
# So it knows *what* is there. Its relations are hardly better than dice.
#
# Is it blind to *where*? The same model can also write a whole description, when it is asked to
# "describe". That names all objects in reading order: row by row, from the left. To get the order
# right, it must know where the objects are.

# %%
described = write(captioner, v, "describe")
in_order = np.mean([stated(t) == g for t, g in zip(described, graphs)])
print(described[picture])
print(f"right, and in reading order: {100 * in_order:.0f} %")
lab.claim(
    "more than 19 of 20 descriptions are right and in order", in_order > 0.95
)

# %% [markdown]
# The model knows what is there and where it is. And still it writes sentences that are false. There
# are three places to look: what it was trained for, how a sentence is chosen from its
# probabilities, and how we score it. They are the parts of this lesson.

# %% [markdown]
# ## 2. A picture in front of the words · core
#
# Lesson 03 wrote the probability of a text as a product. A **captioner** does the same, given a
# picture. With $v$ for the picture's features and $x_1 \dots x_n$ for the words,
#
# $$p(x_1 \dots x_n \mid v) = \prod_{t=1}^{n} p(x_t \mid v, x_1 \dots x_{t-1}) .$$
#
# How does a decoder come to know $v$? The simplest way: each of the 16 patches becomes a vector of
# the decoder's width, and these vectors stand in front of the words. That is a **visual prefix**.
# Causal attention does the rest, since every word may look at all that stands before it.

# %% tags=["figure"]
diagrams.flow(
    {
        "picture": (0, 0, "picture"),
        "stem": (0, 1, "frozen stem"),
        "project": (0, 2, "linear map"),
        "ids": (1, 1, "token ids x"),
        "table": (1, 2, "table of vectors"),
        "decoder": (0.5, 3, "prefix + words + places,\ncausal layers"),
        "logits": (0.5, 4, "logits"),
    },
    [
        ("picture", "stem", "(batch, 3, 64, 64)"),
        ("stem", "project", "v (batch, 16, 64)"),
        ("ids", "table", "(batch, words)"),
        ("project", "decoder", "(batch, 16, dim)"),
        ("table", "decoder", "(batch, words, dim)"),
        ("decoder", "logits", "(batch, 16 + words, ids)"),
    ],
    across=False,
    marked=["project"],
    alt=(
        "Data flow: the frozen stem turns a picture into 16 features, a linear"
        " map into 16 vectors; they stand in front of the vectors of the words"
        " in a causal decoder, which gives logits at all positions."
    ),
)

# %% [markdown]
# In front of the words stands a **prompt** too, since this model does several jobs. "describe" asks
# for all objects, "caption" for one sentence, and 说, "say", for a sentence in Chinese.

# %%
for prompt in ("describe", "caption", "说"):
    print(f"{prompt:10}{write(captioner, v[[picture]], prompt)[0]}")

# %% [markdown]
# The token `[START]` ends the prompt. Here are the positions of one row, and what each is asked for.

# %%
row = ["caption", "[START]", "a", "red", "circle", "[END]"]
shown = [*(f"patch {i}" for i in (1, 2)), "...", "patch 16", *row]
for here, following in zip(shown, [*shown[1:], ""]):
    asked = following if shown.index(here) >= shown.index("[START]") else ""
    print(f"reads {here:10} is asked for  {asked or '-'}")

# %% [markdown]
# The patches aren't asked for anything: they are no words. The prompt is given, so it isn't either.
# The common way to say this is a row of **labels**. The label of a position is the token that
# stands there, or -100 if it is not to be learnt; -100 is what PyTorch's cross-entropy leaves out.
# The shift by one is made later, in the loss, and only once.

# %% [markdown]
# > **Exercise 13.1 · write it** · core · difficulty 2 of 3 · 12 minutes
# >
# > Write the labels of a batch. In front of the words stand `patches` positions. Each row of `x`
# > holds a prompt, `start` once, the words to write, `[END]`, and padding, where `mask` is False.
# > What stands behind `start` is to be learnt, `[END]` too. Don't shift. Stuck? Run `hint("13.1")`
# > in a new cell, and again for a second hint.


# %%
def answer_labels(x, mask, start, patches):
    """Labels (batch, patches + words): token ids, -100 for what isn't learnt.

    x (batch, words) are token ids, mask (batch, words) is True at tokens.
    """
    ### BEGIN SOLUTION
    # the count is 0 up to `start`, and 1 from the next position on
    after = (x == start).cumsum(1) - (x == start).long()  # (batch, words)
    labels = x.masked_fill(~((after > 0) & mask), -100)  # (batch, words)
    prefix = torch.full((len(x), patches), -100, device=x.device)
    return torch.cat([prefix, labels], dim=1)  # (batch, patches + words)
    ### END SOLUTION


# %%
answer_labels = check("13.1", answer_labels)


# %% [markdown]
# With your labels, the loss is three lines. Training a model on the true words so far, never on its
# own, is called **teacher forcing**: all positions are computed at once.


# %%
def caption_loss(model, batch):
    """Mean -log p of the words to write, in nat."""
    labels = answer_labels(batch.x, batch.mask, START, batch.v.shape[1])
    logits = model(batch.v, batch.x)  # (batch, positions, ids)
    return F.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    )


# %% [markdown]
# ### Train a small one
#
# Now train one from random weights, with your labels, for a short time: on two captions each of
# 1,500 pictures. The course's captioner saw 12,000 pictures, and had twenty times as many updates.

# %% tags=["setup"]
train_scenes = generate(
    "iid", "train", lab.pick(cpu=1500, gpu=12000), 1, families=("exists",)
).scenes
v_train = scene_features(captioner, train_scenes, "lesson13-train")

# %% tags=["varies"]
from course_utils.training.fit import FitConfig, fit

torch.manual_seed(lab.seed)
small = new_captioner()
two_each = [("en", "caption"), ("en", "caption")]
data = caption_data(v_train, train_scenes, two_each, lab.seed)
updates = lab.steps(cpu=230, gpu=4500)
history = fit(
    small,
    caption_loss,
    caption_loader(data, rows_per_batch=64, seed=lab.seed),
    config=FitConfig(epochs=100, lr=4e-3, warmup=0.1, max_steps=updates),
    device=lab.device,
)
small = small.cpu()
print(*write(small, v[:3], "caption"), sep="\n")

# %% [markdown]
# The captions of this world come from a small grammar: an object at random, its size half of the time,
# and, where another object lies clearly to a side, a relation half of the time.
#
# How good is that? In this world the answer is known. From a scene, the grammar gives each true
# caption its probability. So the **entropy** of a caption given its scene can be computed, and by
# lesson 03 no captioner's expected loss is lower. Without the picture a caption is harder to guess;
# how much harder, a trained blind captioner tells. Its features were all 0.

# %%
drawn_true = captions(scenes, seed=77)  # one true caption for each picture
told_x, told_mask = encode_rows(["caption"] * TESTS, drawn_true)


def caption_nat(model, features):
    """Mean of -log p(caption | v) over the test pictures, in nat."""
    return -sentence_log_p(model, features, told_x, told_mask).mean().item()


# %% tags=["setup"]
kept = read_runs(lab.data_path("studies/captions.json"))


def over_seeds(rows, *path, digits=2, scale=1):
    """Mean and deviation over the seeds of a study of the value at `path`."""
    values = []
    for row in rows:
        for key in path:
            row = row[key]
        values.append(scale * row)
    return lab.mean_spread(values, digits=digits)


blind_rows = [row for row in kept if row["model"] == "blind"]
seeing_rows = [row for row in kept if row["model"] == "seeing"]

# %%
now = lab.measured("13.small", caption_nat(small, v), digits=2)
elsewhere = caption_nat(captioner, v.roll(1, 0))  # each gets another's picture
best = caption_nat(captioner, v)
plots.table(
    [
        ["blind, three runs", over_seeds(blind_rows, "loss")],
        ["yours, just trained", now],
        ["the course's captioner", f"{best:.2f}"],
        ["the same, pictures exchanged", f"{elsewhere:.1f}"],
        ["the grammar: no expected loss is lower", f"{truth.entropy():.2f}"],
    ],
    header=["model", "nat per caption"],
)
blind_loss = np.mean([row["loss"] for row in blind_rows])
lab.claim("a picture saves more than 3 nat", best < blind_loss - 3)
lab.claim("exchanged pictures are worse than none", elsewhere > blind_loss)

# %% [markdown]
# A picture saves about 4 nat per caption. With a wrong picture the captioner is far worse than a
# blind one, because it trusts what it sees.

# %% [markdown]
# ### Which word costs what?
#
# The course's captioner is still about half a nat above the grammar. Where? We can split both
# numbers by kind of word: the model's $-\log p$ of each word, and the grammar's own.

# %%
table = words("en")
KINDS = {
    "relation": ["left", "right", "above", "below"],
    "colour": list(table["colour"].values()),
    "shape": list(table["shape"].values()),
    "size": list(table["size"].values()),
    "whether to go on": ["[END]"],
}
with torch.no_grad():
    log_p, _ = token_log_p(captioner, v, told_x, told_mask)  # (500, words - 1)
rows, excess = [], {}
for kind, members in KINDS.items():
    models, grammars = [], []
    for i, text in enumerate(drawn_true):
        ideal = truth.surprises(text, i)
        for t, word in enumerate([*text.split(), "[END]"]):
            if word in members:
                models.append(-log_p[i, t + 1].item())
                grammars.append(ideal[t])
    excess[kind] = np.mean(models) - np.mean(grammars)
    costs = [f"{np.mean(c):.2f}" for c in (models, grammars)]
    rows.append([kind, len(models), *costs, f"{excess[kind]:.2f}"])
plots.table(rows, header=["kind", "words", "model", "grammar", "difference"])
print(f"a coin, then one of four at random: {math.log(8):.2f} nat")
lab.claim(
    "a relation costs most above the grammar",
    excess["relation"] == max(excess.values()),
)

# %% [markdown]
# The relation is where it goes wrong. Its loss is what a blind guess costs: a coin for whether a
# relation comes at all, and then one of four at random. The grammar pays less: of the four it takes
# only those that are true.
#
# And here is the answer to the first part of our question. In training, the captions go on with a
# relation half of the time, wherever an object lies to a side. Cross-entropy asks the model to do this **as often as
# they do, whether it knows the relation or not**. It isn't asked to say only what it knows.

# %% [markdown]
# ## 3. Teacher forcing and free running · core
#
# In training the model always reads true words. When it writes, it reads its own. So rare mistakes
# add up: if each word is right with probability $q$, a sentence of $n$
# words is right with about $q^n$.

# %%
whole = [describe(graph) for graph in graphs]
x, mask = encode_rows(["describe"] * TESTS, whole)  # (500, words) each
with torch.no_grad():
    best_words = captioner(v, x)[:, 16:-1].argmax(-1)  # (500, words - 1)
asked = answer_labels(x, mask, START, 0)[:, 1:]  # (500, words - 1)
hits = (best_words == asked) | (asked < 0)  # (500, words - 1)
word_right = (best_words == asked)[asked >= 0].double().mean().item()
length = (asked >= 0).sum(1).double().mean().item()
sentence_right = hits.all(1).double().mean().item()
print(f"words right {100 * word_right:.2f} %, {length:.1f} words per sentence")
print(f"sentences right {100 * sentence_right:.1f} %")
print(f"{word_right:.4f} ** {length:.1f} = {100 * word_right**length:.1f} %")
greedy_right = torch.tensor([d == w for d, w in zip(described, whole)])
lab.claim(
    "greedy writing is right in just the sentences whose words are all right",
    torch.equal(hits.all(1), greedy_right),
)

# %% [markdown]
# Each word is right in far more than 99 of 100 cases, and the sentences in fewer. Written greedily,
# the same sentences are right: the model leaves the true path at its first wrong word, not before.

# %% [markdown]
# ### What comes after a mistake? · extra
#
# Behind its own first mistake the model reads something that it has never seen in training:
# a false sentence. The common fear is that one mistake leads to the next. This is called
# **exposure bias** ([Ranzato et al. 2015](https://arxiv.org/abs/1511.06732)). Let us test it: we put
# a false first object into the mouth of the model, and let it finish.

# %%
rng = np.random.default_rng(0)
COLOURS, SHAPES = list(table["colour"]), list(table["shape"])


def finished(rows, starts):
    """What the model states after a forced first object, for each picture."""
    x = prompt_ids("describe").expand(len(rows), -1)  # (rows, 2)
    x = torch.cat([x, torch.tensor(starts)], dim=1)  # (rows, 6)
    h = captioner.read(v[rows], x)  # (rows, 16 + 6, dim)
    ids = continued(captioner.decoder, x, 20, end=END, h=h).tolist()
    rest = [world_words().text(row).removeprefix("and ") for row in ids]
    return [stated(text) if text else [] for text in rest]


def forced(change):
    """Share of descriptions whose other objects are right, after a first one
    in which `change` is false."""
    starts = []
    for (size, colour, shape), *_ in graphs:
        if change == "colour":
            colour = rng.choice([c for c in COLOURS if c != colour])
        if change == "shape":
            shape = rng.choice([s for s in SHAPES if s != shape])
        if change == "size":
            size = "small" if size == "large" else "large"
        starts.append(world_words().ids(f"a {size} {colour} {shape}"))
    said = finished(list(range(TESTS)), starts)
    return np.mean([one == g[1:] for one, g in zip(said, graphs)])


shares = {c: forced(c) for c in ("nothing", "colour", "shape", "size")}
for change, share in shares.items():
    print(f"false in the first object: {change:8} rest right {share:.1%}")
lab.claim(
    "after a false first object the rest is as right, within 2 points",
    max(shares.values()) - min(shares.values()) < 0.02,
)

# %% [markdown]
# In these, only a property was false. Now skip an object: the description has to begin with the
# *second* one, which is true.

# %%
several = [i for i in range(TESTS) if len(graphs[i]) > 1]
second = [world_words().ids("a " + " ".join(graphs[i][1])) for i in several]
said = finished(several, second)
right = np.mean([one == graphs[i][2:] for one, i in zip(said, several)])
again = np.mean([one == graphs[i][1:] for one, i in zip(said, several)])
print(f"the rest is right in {right:.0%} of {len(several)}")
print(f"the second object is named again in {again:.0%}")
lab.claim("a skipped object spoils most descriptions", right < 0.1)

# %% [markdown]
# So it depends on the mistake. After a false property the model goes on with the objects that are really
# there. After a skipped one it goes on by place: its second object is the second of the picture,
# whatever stands in its text. It never looks back to see which one is missing.

# %% [markdown]
# ## 4. Write faster: the key-value cache · core
#
# A decoder writes one token, puts it behind the text, and reads the text again. But in causal
# attention a position never looks at what comes later. So its keys and values don't change when a
# token is added, and they need not be computed again. Keep them: that is a **key-value cache**. For
# each new token only one position is computed, whose query meets all kept keys.

# %% tags=["figure"]
figure, axes = plt.subplots(1, 2, figsize=(8, 2.6), sharey=True)
for axis, cached in zip(axes, (False, True)):
    for step in range(6):
        first = 8 + step - 1 if cached and step else 0
        for place in range(8 + step):
            new = place >= first
            axis.add_patch(
                plt.Rectangle(
                    (place, -step),
                    0.9,
                    0.8,
                    fc=plots.PALETTE[1] if new else "#DDDDDD",
                )
            )
    axis.set(xlim=(-0.5, 13.4), ylim=(-5.4, 1.2), xlabel="position")
    axis.set_yticks([0.4 - s for s in range(6)], range(1, 7))
    axis.set_title("with a cache" if cached else "without")
axes[0].set_ylabel("step")
plots.show(
    figure,
    alt=(
        "Positions computed in each step: without a cache all of them each"
        " time, with one all of them once and then a single one per step."
    ),
)

# %% [markdown]
# > **Exercise 13.2 · predict a number** · core · difficulty 1 of 3 · 4 minutes
# >
# > A caption of 14 tokens is to be written, `[END]` included. In front stand 16 patches, the word
# > "caption" and `[START]`. How many positions are computed in all, without a cache and with one?
# > Give both: `(without, with)`. The last token is written, but never read.

# %%
positions = None
### BEGIN SOLUTION
# 18 + 19 + ... + 31; and 18 once, then one for each of 13 tokens
positions = (sum(18 + t for t in range(14)), 18 + 13)
### END SOLUTION

# %%
positions = check("13.2", positions)

# %% [markdown]
# > **Exercise 13.3 · write it** · core · difficulty 2 of 3 · 15 minutes
# >
# > Write the greedy loop with a cache. `model.cache(batch, room)` gives an empty one;
# > `room` is the number of positions that it must hold, those of h and those of the new tokens.
# > `model.states(h, None, cache)` reads vectors `h` (batch, positions, dim) behind what the cache
# > holds, adds them to it, and returns their states. `model.logits(states)` are scores of all
# > tokens, and `model.token(ids)` is the table of vectors.
# >
# > A text that has its `end` is filled up with `end`. Stop after `steps` tokens, or when every text
# > has its `end`.


# %%
@torch.no_grad()
def write_cached(model, h, steps, end):
    """Token ids (batch, new) that the model writes behind h."""
    ### BEGIN SOLUTION
    cache = model.cache(len(h), h.shape[1] + steps)
    states = model.states(h, None, cache)  # (batch, positions, dim)
    done, tokens = torch.zeros(len(h), dtype=torch.bool), []
    while True:
        token = model.logits(states[:, -1]).argmax(-1)  # (batch,)
        token = token.masked_fill(done, end)  # (batch,)
        done = done | (token == end)  # (batch,)
        tokens.append(token)
        if len(tokens) == steps or done.all():
            return torch.stack(tokens, dim=1)  # (batch, new)
        # only the newest token is read: (batch, 1, dim)
        states = model.states(model.token(token[:, None]), None, cache)
    ### END SOLUTION


# %%
write_cached = check("13.3", write_cached)

# %% [markdown]
# Let yours write a caption of each of the 500 pictures.

# %%
x = prompt_ids("caption").expand(TESTS, -1)  # (500, 2)
ids = write_cached(captioner.decoder, captioner.read(v, x), 24, END)
mine = [world_words().text(row) for row in ids.tolist()]
print(mine[picture])
lab.claim(
    "your loop writes what the package's loop writes",
    mine == write(captioner, v, "caption"),
)

# %% [markdown]
# The cache costs memory: for each token a key and a value in each layer. In large models, this
# memory limits how many texts can be written at once.

# %% [markdown]
# ### Equal to transformers · extra
#
# GPT-2 in the library transformers takes vectors in the place of tokens, `inputs_embeds`. With copied
# weights, our decoder must give the same logits behind a prefix, and your loop the same tokens as
# `generate`.

# %% tags=["setup"]
from course_utils.models.convert import from_gpt2
from transformers import GPT2Config, GPT2LMHeadModel

torch.manual_seed(lab.seed)
gpt2 = GPT2LMHeadModel(
    GPT2Config(
        vocab_size=50,
        n_positions=64,
        n_embd=32,
        n_layer=2,
        n_head=4,
        activation_function="gelu",
        bos_token_id=START,
        eos_token_id=END,
        pad_token_id=END,
        initializer_range=0.3,
    )
).eval()
ours = from_gpt2(gpt2).eval()
prefix, x = torch.randn(3, 16, 32), torch.randint(3, 50, (3, 4))
with torch.no_grad():
    h = torch.cat([prefix, ours.token(x)], dim=1)  # (3, 20, 32)
    apart = (ours(x, prefix=prefix) - gpt2(inputs_embeds=h).logits).abs().max()
print(f"largest difference of the logits: {apart:.0e}")


# %%
with torch.no_grad():
    mine = write_cached(ours, h, 32, END)  # (3, up to 32)
    theirs = gpt2.generate(
        inputs_embeds=h,
        attention_mask=torch.ones(h.shape[:2], dtype=torch.long),
        max_new_tokens=32,
        do_sample=False,
    )
lab.claim("the decoder with a prefix equals GPT-2", apart < 1e-5)
lab.claim("your tokens are those of generate", torch.equal(mine, theirs))

# %% [markdown]
# ## 5. Which sentence? · core
#
# The model gives every sentence a probability. Someone has to choose one.
#
# - **Greedy**: the most likely token each time.
# - **Sampling**: a token drawn from the probabilities. A temperature below 1 makes likely tokens
#   more likely (lesson 03).
# - **Nucleus** sampling, or top-p: only the most likely tokens that together reach a share $p$
#   are drawn from ([Holtzman et al. 2019](https://arxiv.org/abs/1904.09751)).
# - **Beam search**: keep the $k$ best beginnings, and continue all of them.

# %% [markdown]
# ### Beam search
#
# Greedy writing can miss the most likely sentence: a good first word may lead nowhere. A beam search
# keeps several beginnings with their scores, the sums of $\log p$. In each step it looks at all
# continuations of all of them, and keeps the best.

# %% [markdown]
# > **Exercise 13.4 · write it** · core · difficulty 2 of 3 · 10 minutes
# >
# > Write one step. `scores` (beams,) are the sums so far, and `log_p` (beams, ids) is the log p of
# > each token behind each beam. Return the `k` best continuations, best first, as three tensors of
# > shape (k,): their sums, which beam each continues, and its token.


# %%
def beam_step(scores, log_p, k):
    """(sums, beams, tokens) of the k best continuations, (k,) each."""
    ### BEGIN SOLUTION
    sums = scores[:, None] + log_p  # (beams, ids)
    best, place = sums.flatten().topk(k)  # (k,) each
    return best, place // log_p.shape[1], place % log_p.shape[1]
    ### END SOLUTION


# %%
beam_step = check("13.4", beam_step)

# %% [markdown]
# Watch yours, on the picture from the beginning: two beams, six steps. A text that ends is set
# aside.

# %%
names = world_words().names
beams, scores = [prompt_ids("caption")[0].tolist()], torch.zeros(1)
for step in range(6):
    x = torch.tensor(beams)  # (beams, words)
    with torch.no_grad():
        logits = captioner(v[[picture]].expand(len(x), -1, -1), x)[:, -1]
    sums, parents, tokens = beam_step(scores, logits.log_softmax(-1), 2)
    grown = [beams[p] + [t] for p, t in zip(parents.tolist(), tokens.tolist())]
    for text, score in zip(grown, sums.tolist()):
        written = " ".join(names[i] for i in text[2:])
        print(f"step {step + 1}  {score:6.2f}  {written}")
    left = [i for i, text in enumerate(grown) if text[-1] != END]
    beams, scores = [grown[i] for i in left], sums[left]
    if not beams:
        break

# %% [markdown]
# The package's `beam_search` does this for many pictures at once, with a cache, and goes on until no
# beam can become better. Its scores equal those of transformers' `generate(num_beams=4)`; the
# package's tests compare them.
#
# Now all of them, on 500 pictures. How much does a caption tell? If it is true of a share $s$ of all
# scenes, it tells $-\log_2 s$ **bits**: "a red circle" fits many scenes, "a small red circle left of
# a blue cross" few.

# %% tags=["setup"]
others = generate("iid", "validation", 1000, 1, families=("exists",)).scenes
other_truth = TrueCaptions(others)
bits = other_truth.bits()


def sampler(temperature=1.0, top_p=1.0):
    generator = torch.Generator().manual_seed(lab.seed)
    return Sample(generator, temperature, top_p=top_p)


# %%
decoded = {
    "greedy": write(captioner, v, "caption", greedy),
    "sampling": drawn,
    "temperature 0.5": write(captioner, v, "caption", sampler(0.5)),
    "nucleus 0.5": write(captioner, v, "caption", sampler(top_p=0.5)),
    "beams": search(captioner, v, "caption", width=5),
    "beams, mean": search(captioner, v, "caption", 5, length_penalty=1.0),
}
found = {name: told(texts, truth, bits) for name, texts in decoded.items()}
rows = [
    [
        name,
        f"{100 * what.true:.0f} %",
        f"{what.length:.1f}",
        f"{100 * what.relation:.0f} %",
        f"{what.bits:.1f}",
    ]
    for name, what in found.items()
]
header = ["decoding", "true", "words", "tell a relation", "bits if true"]
plots.table(rows, header=header)

# %%
lab.claim(
    "beams are true more often than samples",
    found["beams"].true > found["sampling"].true + 0.1,
)
lab.claim("no greedy caption tells a relation", not found["greedy"].relation)
lab.claim(
    "divided by the length, fewer beams are true than samples",
    found["beams, mean"].true < found["sampling"].true,
)

# %% [markdown]
# Here is the second part of the answer. A search for the most likely sentence finds a short one,
# since each word more is another factor below 1. It never tells a relation, so it is nearly always
# true, and says little. The common cure divides the score by the length ("beams, mean"). It brings
# relations back, and with them false sentences.
#
# The likeliest sentence isn't the best one, and a typical one is often not true.

# %% [markdown]
# Which one is right depends on the use. Read aloud to people who can't see the pictures: beams, because
# nobody can check the sentence. To make training data you want different sentences: sample, and then
# filter out the false ones if you can. For an answer of one word, greedy is enough.

# %% [markdown]
# ### A nucleus at a temperature · extra
#
# > **Exercise 13.6 · fix it** · extra · difficulty 2 of 3 · 8 minutes
# >
# > This nucleus is for sampling at a temperature. It is written as in some real programs, and draws
# > from more or fewer tokens than it should. Return the probabilities to draw from. The token with
# > which the share `top_p` is reached stays.
# >
# > ```python
# > def nucleus(logits, temperature, top_p):
# >     p, order = logits.softmax(-1).sort(descending=True)
# >     out = p.cumsum(-1) - p >= top_p
# >     out = torch.zeros_like(out).scatter(-1, order, out)
# >     return (logits.masked_fill(out, -torch.inf) / temperature).softmax(-1)
# > ```


# %%
def nucleus(logits, temperature, top_p):
    """Probabilities (batch, ids) to draw from; logits (batch, ids)."""
    ### BEGIN SOLUTION
    # the temperature first: the nucleus is that of what is drawn from
    p = (logits / temperature).softmax(-1)  # (batch, ids)
    sorted_p, order = p.sort(descending=True)  # (batch, ids) each
    out = sorted_p.cumsum(-1) - sorted_p >= top_p  # (batch, ids)
    out = torch.zeros_like(out).scatter(-1, order, out)  # (batch, ids)
    p = p.masked_fill(out, 0.0)  # (batch, ids)
    return p / p.sum(-1, keepdim=True)
    ### END SOLUTION


# %%
nucleus = check("13.6", nucleus)

# %%
logits = torch.tensor([[3.0, 2.0, 1.0, 0.0, -1.0]])  # (1, 5)
for temperature in (1.0, 0.5):
    p = nucleus(logits, temperature, 0.9)  # (1, 5)
    print(f"temperature {temperature}:", p.numpy().round(2))

# %% [markdown]
# ## 6. What is a good caption? · core
#
# On real pictures nobody can compute whether a sentence is true. So captions are compared with what
# people wrote, the **references**. The oldest such measure is **BLEU** (Papineni et al. 2002). It
# asks: how many of the candidate's words, word pairs, triples and quadruples are in a reference? Rows
# of $n$ neighbouring words are called **n-grams**.
#
# One detail matters. The candidate "the the the the" must not get full marks because "the" is in the
# reference. So an n-gram counts at most as often as in the one reference that has it most often: the
# matches are **clipped**.

# %% [markdown]
# > **Exercise 13.7 · write it** · core · difficulty 2 of 3 · 10 minutes
# >
# > Write the clipped matches of one candidate: how many of its n-grams match, and how many n-grams it
# > has. Words stand between spaces. A candidate with fewer than `n` words has 0 n-grams.


# %%
def clipped_matches(candidate, references, n):
    """(matches, n-grams of the candidate); references is a list of texts."""
    ### BEGIN SOLUTION
    from collections import Counter

    def count(text):
        parts = text.split()
        return Counter(zip(*(parts[i:] for i in range(n))))

    own, most = count(candidate), Counter()
    for reference in references:
        most |= count(reference)  # of each n-gram the larger number
    return sum((own & most).values()), sum(own.values())
    ### END SOLUTION


# %%
clipped_matches = check("13.7", clipped_matches)

# %% [markdown]
# BLEU-4 takes the precisions $p_n$ = matches / n-grams for $n = 1 \dots 4$, each summed over all
# candidates first, and their geometric mean. Candidates that are shorter in all than their
# references, $c < r$ words, are punished:
#
# $$\text{BLEU} = \min\!\big(1, e^{1 - r/c}\big) \cdot (p_1 p_2 p_3 p_4)^{1/4} .$$

# %%
candidate = "a large red circle left of a blue cross"
references = ["a large red circle right of a blue cross", "a blue cross"]
product = 1.0
for n in range(1, 5):
    matches, total = clipped_matches(candidate, references, n)
    product *= matches / total
    print(f"{n}-grams: {matches} of {total}")
print(f"BLEU-4 {product**0.25:.3f}")

# %%
from torchmetrics.functional.text import bleu_score

theirs = bleu_score([candidate], [references]).item()
apart = max(
    abs(product**0.25 - theirs), abs(bleu([candidate], [references]) - theirs)
)
lab.claim("yours and the package's equal torchmetrics' BLEU", apart < 1e-6)

# %% [markdown]
# With "right" in place of "left", as the reference has it, BLEU-4 would be 1. One wrong word of nine
# costs four tenths. A harmless other word would cost the same: BLEU can't tell the two apart.

# %% [markdown]
# **CIDEr** weighs the n-grams: those that occur for nearly every picture, such as "a", count little,
# and rare ones much. An n-gram's weight is $\log(N / N_g)$, where $N_g$ of the $N$ pictures have it
# in a reference. The score is 10 times the cosine of the two weighted vectors of counts, averaged over
# references and over $n = 1 \dots 4$ ([Vedantam et al. 2014](https://arxiv.org/abs/1411.5726)). We
# use its usual form, CIDEr-D: counts are clipped as in BLEU, and another length costs a little.

# %% [markdown]
# What do the two measures call good? Each of 300 pictures gets five true references from the grammar.
# We score sentences whose truth we know:

# %%
MANY = 300  # pictures
references = list(
    zip(*(captions(scenes, seed=s)[:MANY] for s in (1, 2, 3, 4, 5)))
)
references = [list(texts) for texts in references]
true_ones = captions(scenes, seed=6)[:MANY]
rng = np.random.default_rng(1)


def other_colour(text):
    """The caption with one colour exchanged for another."""
    parts = text.split()
    at = rng.choice([i for i, word in enumerate(parts) if word in COLOURS])
    parts[at] = rng.choice([c for c in COLOURS if c != parts[at]])
    return " ".join(parts)


candidates = {
    "a true caption": true_ones,
    "the same, one colour wrong": [other_colour(t) for t in true_ones],
    "a caption of another picture": true_ones[1:] + true_ones[:1],
    "the most likely true caption": [
        max(of, key=of.get) for of in truth.of[:MANY]
    ],
    "our captioner, sampling": decoded["sampling"][:MANY],
    "our captioner, beams": decoded["beams"][:MANY],
}

# %%
scores = {}
for name, texts in candidates.items():
    right = np.mean([truth(text, i) for i, text in enumerate(texts)])
    scores[name] = right, bleu(texts, references), cider(texts, references)
rows = [
    [name, f"{100 * right:.0f} %", f"{one:.2f}", f"{np.mean(two):.1f}"]
    for name, (right, one, two) in scores.items()
]
plots.table(rows, header=["sentences", "true", "BLEU-4", "CIDEr"])
lab.claim(
    "BLEU-4 puts captions with a wrong colour above the likeliest true ones",
    scores["the same, one colour wrong"][1]
    > scores["the most likely true caption"][1] + 0.1,
)

# %% [markdown]
# The most likely true captions have three words, "a red square", so they have no 4-gram at all, and
# BLEU-4 is 0. Those of the beams often have four, "a large red triangle". These few 4-grams decide, and
# being short and safe beats a typical true caption. Sentences of which nearly all are false get more. CIDEr puts the short true ones
# above them, but gives the false ones a good part of the points as well.
#
# Only what looks at the picture can see a lie.

# %% [markdown]
# ### Count what is stated
#
# A description can be turned back into what it states: a list of (size, colour, shape), its **scene
# graph** without relations. That can be compared with the scene: is it exact, how many objects are
# right (F1), and how many were invented? **CHAIR** counts such **hallucinated** objects: the share
# of the objects named that aren't there, and the share of sentences with at least one
# ([Rohrbach et al. 2018](https://arxiv.org/abs/1809.02156)).

# %%
example = "a large red circle and a small blue cross"
print(stated(example))
print("picture 6:", graphs[picture])
judged = count_objects([stated(text) for text in described], graphs)
print(f"{judged.exact} of {TESTS} exact, {judged.invented} objects invented")

# %% [markdown]
# And without a picture? A study trained small captioners at three seeds, with a sixth of the
# course's updates: with pictures, and blind. Here are their descriptions of 500 test pictures. The third
# row is the seeing model with another picture's features.

# %%
header = ["model", "fluent", "exact", "with an invention (CHAIR)", "BLEU-4"]
rows = []
for name, runs, which in (
    ("blind", blind_rows, "own"),
    ("seeing, another's picture", seeing_rows, "exchanged"),
    ("seeing", seeing_rows, "own"),
):
    cells = [
        over_seeds(runs, which, key, digits=1, scale=100)
        for key in ("fluent", "exact", "chair_s", "bleu")
    ]
    rows.append([name, *(f"{cell} %" for cell in cells)])
plots.table(rows, header=header)
lab.claim(
    "in each blind run, at least 95 of 100 sentences are fluent",
    min(row["own"]["fluent"] for row in blind_rows) >= 0.95,
)
lab.claim(
    "in each blind run, at least 9 of 10 invent something",
    min(row["own"]["chair_s"] for row in blind_rows) >= 0.9,
)

# %% [markdown]
# "Fluent" means that the sentence is one of the grammar. The blind model writes perfect English, and
# nearly every sentence invents something. Fluency needs no eyes, so it proves nothing about them.

# %% [markdown]
# ### Write CIDEr yourself · extra
#
# For one $n$, an n-gram that stands $c$ times in a text gets the weight $g = c \log(N / N_g)$. The
# candidate's weights and the reference's are compared by
#
# $$\frac{\sum \min(g_{\text{cand}}, g_{\text{ref}})\; g_{\text{ref}}}{|g_{\text{cand}}|\,|g_{\text{ref}}|} , \qquad
#   |g| = \sqrt{\textstyle\sum g^2} .$$
#
# The sums run over n-grams; one that a text doesn't have counts 0 there. Without the min it would be
# the plain cosine.

# %% [markdown]
# > **Exercise 13.8 · write it** · extra · difficulty 2 of 3 · 10 minutes
# >
# > Write it for one candidate and one reference, given as Counters of their n-grams. `pictures` says for an n-gram
# > how many pictures have it in a reference, `total` how many pictures there are. An n-gram that
# > `pictures` doesn't hold counts like one of a single picture. Where all weights of a text are 0, return 0.


# %%
def cider_n(candidate, reference, pictures, total):
    """The clipped cosine of two weighted Counters of n-grams, from 0 to 1."""
    ### BEGIN SOLUTION

    def weights(counts):
        return {
            g: c * math.log(total / max(1, pictures.get(g, 0)))
            for g, c in counts.items()
        }

    a, b = weights(candidate), weights(reference)
    norms = math.hypot(*a.values()) * math.hypot(*b.values())
    shared = sum(min(a[g], b[g]) * b[g] for g in a.keys() & b.keys())
    return shared / norms if norms else 0.0
    ### END SOLUTION


# %%
cider_n = check("13.8", cider_n)

# %% [markdown]
# Ten times its mean over $n = 1 \dots 4$ and over the references is the score, with a factor for the
# length. A perfect caption of three words, scored with yours:

# %%
from course_utils.evaluation.caption_metrics import n_grams

text, score = "a red circle", 0.0
for n in range(1, 5):
    grams = [{g for r in of for g in n_grams(r, n)} for of in references]
    pictures = {g: sum(g in one for one in grams) for g in n_grams(text, n)}
    score += cider_n(n_grams(text, n), n_grams(text, n), pictures, MANY) / 4
print(f"{10 * score:.1f} of 10")
same = cider([text, *true_ones[1:]], [[text], *references[1:]])[0]
lab.claim("the package says the same", abs(10 * score - same) < 1e-6)

# %% [markdown]
# It has no 4-gram, so a quarter of the score is lost, though not a word is wrong.

# %% [markdown]
# ## 7. Learn from what can be checked · core
#
# Likelihood asks for what the captions say. If truth can be checked, we can ask for truth instead: let the
# model write, give each sentence a **reward** $r(x)$, and make the expected reward large. The
# gradient of the expectation is
#
# $$\nabla_\theta \sum_x p_\theta(x)\, r(x) = \sum_x r(x)\, p_\theta(x)\, \nabla_\theta \log p_\theta(x)
#   = \mathbb{E}\big[\, r(x)\, \nabla_\theta \log p_\theta(x) \,\big] ,$$
#
# because $\nabla p = p \nabla \log p$. So: draw sentences, and push each one's $\log p$ by its
# reward. The reward itself needs no gradient; it may be any program. This is the **policy
# gradient**, and in this form it is called REINFORCE.

# %% [markdown]
# If every reward is positive, every sentence is pushed up, and only the difference counts. So a
# **baseline** $b$ is taken off. With a good $b$ single draws scatter less around their mean: without it,
# even the worst sentence is pushed up whenever it is drawn. And the mean stays the same, since
#
# $$\mathbb{E}[\, b\, \nabla \log p \,] = b\, \nabla \sum_x p(x) = b\, \nabla 1 = 0 .$$
#
# Both, on three sentences, against autograd:

# %%
theta = torch.tensor([0.5, -0.2, 0.1], requires_grad=True)  # three sentences
r = torch.tensor([1.0, 0.0, 0.3])  # their rewards
(true_gradient,) = torch.autograd.grad((theta.softmax(0) * r).sum(), theta)
print("gradient of the expected reward", true_gradient)
p = theta.softmax(0).detach()  # (3,)
for b in (0.0, 0.4):
    pushes = [
        (r[x] - b) * torch.autograd.grad(theta.log_softmax(0)[x], theta)[0]
        for x in range(3)
    ]
    mean = sum(p[x] * pushes[x] for x in range(3))  # (3,)
    scatter = sum(p[x] * (pushes[x] - mean).square().sum() for x in range(3))
    print(f"expected push, baseline {b}     ", mean)
    print(f"    mean squared distance from it: {scatter:.2f}")

# %% [markdown]
# A good baseline is what the model gets for this very picture. Draw a **group** of captions for one
# picture, and take off the group's mean. What is left is called the **advantage**. This is the idea
# of GRPO ([Shao et al. 2024](https://arxiv.org/abs/2402.03300)). The mean holds the caption's own
# reward too. That makes the expected gradient $\frac{n-1}{n}$ of the true one for groups of $n$: a
# little shorter, in the same direction.

# %% [markdown]
# > **Exercise 13.9 · write it** · core · difficulty 1 of 3 · 8 minutes
# >
# > Write the advantages: `reward` is (pictures, group), one row for each picture. Take the mean of
# > each group off. Divide by nothing. What do you get for a group whose captions are all true?


# %%
def group_advantages(reward):
    """Each reward minus the mean of its group, (pictures, group)."""
    ### BEGIN SOLUTION
    return reward - reward.mean(dim=1, keepdim=True)  # (pictures, group)
    ### END SOLUTION


# %%
group_advantages = check("13.9", group_advantages)

# %% [markdown]
# If all captions of a group get the same reward, all advantages are 0, and the group teaches
# nothing. GRPO also divides by the group's standard deviation. Then groups that are nearly all right
# or nearly all wrong weigh more, which
# [Liu et al. 2025](https://arxiv.org/abs/2503.20783) advise against. In groups of eight:

# %%
for n in (1, 4, 7):
    group = torch.tensor([[1.0] * n + [0.0] * (8 - n)])  # (1, 8)
    a = group_advantages(group)  # (1, 8)
    print(
        f"{n} of 8 true: a true one gets {a[0, 0]:.3f};"
        f" dividing makes it {1 / group.std():.2f} times as much"
    )

# %% [markdown]
# What is minimised? In code the loss is minus the sum of $\frac{p(x)}{p_{\text{old}}(x)} \cdot$
# advantage, where $p_{\text{old}}$ is the same number without its gradient. Its value is then minus
# the sum of the advantages, which is always 0. Its gradient isn't: it is $\nabla p / p_{\text{old}}$,
# which is $\nabla \log p$ as above, times the advantage.

# %%
theta = torch.zeros(8, requires_grad=True)  # log p of eight captions
a = group_advantages(torch.tensor([[1.0, 1, 0, 0, 0, 1, 0, 0]]))[0]  # (8,)
loss = -((theta - theta.detach()).exp() * a).sum()
loss.backward()
size = theta.grad.abs().max()
print(f"loss {abs(loss.item()):.3f}, largest gradient {size:.3f}")

# %% [markdown]
# Many who see this loss in a log think that nothing is learnt. Watch the reward instead.

# %% [markdown]
# Now tune the course's captioner with the simplest honest reward: 1 if the caption is true, and 0 if
# not. Each update draws 8 captions for each of 16 pictures, and 120 updates are made.

# %% [markdown]
# > **Exercise 13.10 · predict first** · core · difficulty 1 of 3 · 2 minutes
# >
# > Before, about half of the captions tell a size ("a *large* red circle"), and nearly all sizes are
# > right. What share will tell a size after the tuning, in per cent?

# %%
my_prediction = None
### BEGIN SOLUTION
my_prediction = 30.0  # a guess, written down before the run
### END SOLUTION

# %%
my_prediction = check("13.10", my_prediction)

# %%
from course_utils.methods.reward_tuning import RewardConfig, tune_by_reward

v_others = scene_features(captioner, others, "lesson13-others")
tuned = copy.deepcopy(captioner)
tuning = tune_by_reward(
    tuned,
    v_others,
    "caption",
    reward=lambda text, i: float(other_truth(text, i)),
    config=RewardConfig(updates=lab.steps(cpu=120, gpu=400)),
    seed=lab.seed,
    advantages=group_advantages,
)
after = write(tuned, v, "caption", sampler())

# %% tags=["result"]
then, at_start = told(after, truth, bits), found["sampling"]
rows = []
for key, name, scale, unit, digits in (
    ("true", "true", 100, "%", 1),
    ("size", "tell a size", 100, "%", 1),
    ("relation", "tell a relation", 100, "%", 1),
    ("length", "words", 1, "", 2),
    ("bits", "bits if true", 1, "", 2),
):
    before = f"{scale * getattr(at_start, key):.{max(0, digits - 1)}f} {unit}"
    value = scale * getattr(then, key)
    rows.append([name, before, lab.measured(f"13.{key}", value, unit, digits)])
plots.table(rows, header=["captions drawn for 500 pictures", "before", "after"])
compare_prediction("13.size", my_prediction, 100 * then.size, "%")

# %% tags=["figure", "result", "varies"]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.0))
window = min(10, len(tuning.reward))
smooth = np.convolve(tuning.reward, np.ones(window) / window, "valid")
axes[0].plot(range(window, len(tuning.reward) + 1), smooth)
axes[0].set(
    xlabel="update", ylabel="share of true captions", title="The reward rises"
)
axes[1].plot(tuning.loss, label="loss")
axes[1].plot(tuning.norm, "--", label="norm of its gradient")
axes[1].set(xlabel="update", title="The loss says nothing")
axes[1].legend()
plots.show(
    figure,
    alt=(
        "The share of true captions rises during tuning. The loss is 0 all the"
        " time, while the norm of its gradient isn't."
    ),
)

# %% tags=["result", "varies"]
for i in (6, 7, 8, 9):
    print(f"before  {drawn[i]}\nafter   {after[i]}\n")

# %% tags=["result"]
lab.claim("after the tuning 19 of 20 captions are true", then.true > 0.95)
lab.claim("fewer than 1 in 10 tell a relation", then.relation < 0.1)
lab.claim("fewer tell a size than before", then.size < at_start.size)

# %% [markdown]
# Here is the third part of the answer, and its price. Rewarded for truth, the captioner stops
# lying within seconds. It does so by saying less: no relations, since these were wrong, and hardly
# any sizes. Most of its sizes were right, but a few weren't, so leaving the size out makes a caption a
# little safer. "A red circle" is never punished for what it doesn't say. This is **reward hacking**: the reward is fulfilled, and what we wanted isn't.

# %% [markdown]
# ### Ask for what you want
#
# If saying little is the cheat, pay for saying more. Now a caption earns 1 only if it is true **and**
# tells a relation. At the start, few of them do: these relations are as good as random.
#
# > **Exercise 13.11 · choose and justify** · core · difficulty 2 of 3 · 3 minutes
# >
# > Which groups of eight captions teach the model something, with this reward?
# >
# > - "a": those in which no caption tells a true relation, since they are punished;
# > - "b": those in which some captions tell a true relation and others don't;
# > - "c": those in which all eight tell a true relation, since they are rewarded;
# > - "d": all groups, more or less.

# %%
my_groups = None
### BEGIN SOLUTION
my_groups = "b"
### END SOLUTION

# %%
my_groups = check("13.11", my_groups)

# %%
eager = copy.deepcopy(captioner)
tune_by_reward(
    eager,
    v_others,
    "caption",
    reward=lambda text, i: float(other_truth(text, i) and tells_relation(text)),
    config=RewardConfig(updates=lab.steps(cpu=120, gpu=400)),
    seed=lab.seed,
    advantages=group_advantages,
)
eager_said = write(eager, v, "caption", sampler())
paid = told(eager_said, truth, bits)

# %%
rows = []
for key, name in (
    ("true", "true"),
    ("size", "tell a size"),
    ("relation", "tell a relation"),
    ("true_relation", "true, of those with a relation"),
    ("true_at_random", "with a random relation"),
):
    before = f"{100 * getattr(at_start, key):.0f} %"
    value = lab.measured(f"13.paid_{key}", 100 * getattr(paid, key), "%")
    rows.append([name, before, value])
plots.table(rows, header=["captions drawn", "before", "paid for relations"])
lab.claim("more than half of the captions tell one", paid.relation > 0.5)
lab.claim(
    "now relations are true more often than random ones",
    paid.true_relation > paid.true_at_random,
)

# %% [markdown]
# More of the told relations are true. Has it learnt to read them? Look at *which* words it tells, and
# how often each is true.

# %% tags=["result", "varies"]
rows, counts = [], {}
for word in KINDS["relation"]:
    with_word = [i for i in range(TESTS) if word in eager_said[i].split()]
    counts[word] = len(with_word)
    before = sum(word in text.split() for text in drawn)
    true = np.mean([truth(eager_said[i], i) for i in with_word] or [0])
    rows.append([word, before, len(with_word), f"{100 * true:.0f} %"])
plots.table(rows, header=["word", "before", "paid for relations", "then true"])
lab.claim(
    "one word is more than half of the relations",
    max(counts.values()) > sum(counts.values()) / 2,
)

# %% [markdown]
# It keeps to one word, and begins with an object for which that word holds. Then ask it directly: put a
# *true first object* into its mouth, and see how much probability the next word gives to the relations
# that hold there. A guess gives each of the four a quarter.


# %% tags=["result", "varies"]
@torch.no_grad()
def right_word(model):
    """Share of p on true relations behind a true first object; a guess's."""
    shares, guesses = [], []
    ids = [world_words().ids(word)[0] for word in KINDS["relation"]]
    for i, text in enumerate(drawn_true):
        if not tells_relation(text):
            continue
        word = next(w for w in text.split() if w in KINDS["relation"])
        first = text.split(f" {word} ")[0]
        starts = [f"{first} {w} " for w in KINDS["relation"]]
        right = [any(t.startswith(s) for t in truth.of[i]) for s in starts]
        begun = [*prompt_ids("caption")[0].tolist(), *world_words().ids(first)]
        p = model(v[[i]], torch.tensor([begun]))[0, -1, ids].softmax(-1)  # (4,)
        shares.append(p[torch.tensor(right)].sum().item())
        guesses.append(np.mean(right))
    return np.mean(shares), np.mean(guesses)


asked = {"before": captioner, "paid for relations": eager}
for name, model in asked.items():
    share, guess = right_word(model)
    print(f"{name:20} {share:.2f}   a guess {guess:.2f}")
    lab.claim(
        "on the right relation it puts no more than a guess and a tenth",
        share < guess + 0.1,
    )

# %% [markdown]
# So it has *not* learnt to read relations. It has found one that it can always tell. The reward is
# hacked a second time, and again to the letter: true captions with a relation are what was paid for.
# A peer without any training does as well: take the first and the last object of its own description,
# which come in reading order, and say "above".

# %%
stated_now = [stated(text) or [] for text in described]
by_order = [
    truth(f"a {g[0][1]} {g[0][2]} above a {g[-1][1]} {g[-1][2]}", i)
    for i, g in enumerate(stated_now)
    if len(g) > 1
]
print(f"first above last: true in {np.mean(by_order):.0%} of {len(by_order)}")

# %% [markdown]
# ### Six ways to tune, three seeds · extra
#
# Is this luck, or would any further training have done it? A study tunes the same captioner at three
# seeds, with twice as many pictures, beside five other ways:
#
# - **likelihood**: as many updates with true captions of the same pictures, without any reward;
# - **true**: the first reward;
# - **true, kl**: the same, and a penalty for moving away from the start. The usual estimate for one
#   word is $e^d - d - 1$ with $d = \log p_{\text{start}} - \log p$: it is never negative, and its
#   expectation is the Kullback-Leibler divergence of lesson 08, since that of $e^d$ is 1. (Its gradient
#   is another's: that of the divergence with the two exchanged,
#   [Tang and Munos 2025](https://arxiv.org/abs/2506.09477));
# - **bits**: a true caption earns its bits, divided by 8;
# - **bits, half**: the same with half of the pictures, by which bits are counted too.

# %%
kept = read_runs(lab.data_path("studies/reward.json"))
NAMES = {
    "start": "start",
    "likelihood": "likelihood",
    "true": "true",
    "true, kl": "true, kl",
    "information": "bits",
    "information, half": "bits, half",
    "relation": "relation",
}
columns = ("true", "size", "relation", "true_relation", "true_at_random")
header = ["reward", "true", "tell a size", "tell a relation"]
header += ["true if related", "at random", "bits if true"]
rows, runs_of = [], {}
for name, shown in NAMES.items():
    runs = runs_of[name] = [row for row in kept if row["reward"] == name]
    cells = [over_seeds(runs, c, digits=0, scale=100) + " %" for c in columns]
    if max(row["relation"] for row in runs) < 0.02:
        cells[-2:] = "-", "-"  # hardly any tells one
    rows.append([shown, *cells, over_seeds(runs, "bits", digits=1)])
plots.table(rows, header=header)


# %%
def apart(name):
    """How much truer told relations are than random ones, for each seed."""
    runs = runs_of[name]
    return [row["true_relation"] - row["true_at_random"] for row in runs]


lab.claim(
    "after likelihood, relations are as good as random ones, within 5 points",
    max(map(abs, apart("likelihood"))) < 0.05,
)
lab.claim(
    "paid for, or paid by bits on all pictures, they are 25 points truer",
    min(apart("relation") + apart("information")) > 0.25,
)
lab.claim(
    "paid for relations alone, it tells half as many sizes as before, or fewer",
    max(row["size"] for row in runs_of["relation"])
    < min(row["size"] for row in runs_of["start"]) / 2,
)

# %% [markdown]
# More likelihood changes nothing. The penalty keeps the captioner near its start, so it keeps its
# sizes, and some of its false relations. Only with the rewards that pay for relations are most of them
# true, and they too may keep to one word, as above.
#
# And whatever a reward doesn't pay for is forgotten again: paid for relations alone, the captioner
# loses its sizes.
#
# By bits it is a race. As long as relations are mostly false, leaving them out earns more; so it
# depends on which is quicker, finding true ones or dropping them. In "bits, half" two things change,
# the pictures and how bits are counted; we don't know which of the two makes the difference.

# %% [markdown]
# What differs from likelihood: a wrong relation costs likelihood a part of one word, and it costs the
# whole caption its reward. Whether either way teaches to read a relation, we haven't shown.

# %% [markdown]
# ## 8. Answers, word by word · extra
#
# A decoder that writes captions can also answer questions: the question is its prompt. Lesson 08
# chose from a list of answers instead. A study trained both on the same frozen features and the same
# questions of four families (exists, colour, shape, count), for as many updates, in English and in
# Chinese. The learning rate of each was chosen among four on English validation questions, and a written
# answer must be right to the letter. The first row sees no picture: it gives the most common answer to
# questions of this family.

# %%
kept = read_runs(lab.data_path("studies/answers_in_words.json"))
rows, of = [], {}
for method, name in (
    ("family", "most common of the family"),
    ("list", "chosen from a list"),
    ("words", "written"),
):
    runs = [row for row in kept if row["method"] == method]
    first = [r for r in runs if r["seed"] == 0 and r["language"] == "en"]
    rate = max(first, key=lambda row: row["validation"])["rate"]
    cells = [f"{rate:g}" if rate else "-"]
    for language in ("en", "zh"):
        right = of[method, language] = [
            100 * row["test"]
            for row in runs
            if (row["language"], row["rate"]) == (language, rate)
        ]
        one = f"{right[0]:.1f} %"  # nothing is trained: no seeds
        cells.append(lab.mean_spread(right, "%", 1) if rate else one)
    rows.append([name, *cells])
header = ["answers", "learning rate", "right, English", "right, Chinese"]
plots.table(rows, header=header)
lab.claim(
    "in English each run with a list is above each written one",
    min(of["list", "en"]) > max(of["words", "en"]),
)

# %% [markdown]
# Both are far above the first row. In English each run with a list is above each written one, by a few
# points. In Chinese the runs with a list lie so far apart that nothing can be said. All of these
# trainings are short: three passes over 12,000 questions. What speaks for writing isn't accuracy: the
# same decoder writes captions, descriptions and answers, and an answer needs no list.

# %% [markdown]
# ## 9. On a GPU · extra
#
# What changes at real scale: the stem is a pretrained vision Transformer, the decoder a pretrained
# language model (lesson 14), and the references are five sentences that people wrote for each
# picture of COCO. `read_coco_captions` in the package reads its file. Features are
# computed once and kept, and only the decoder is trained. The `gpu` profile trains the small captioner on eight times as many pictures, for twenty
# times as many updates. Its time is not measured.

# %% [markdown]
# ## 10. What you know now · core
#
# - A captioner is a language model with a picture in front. Its labels leave out patches, prompt and
#   padding, and are shifted once.
# - It says what its captions say, as often as they say it, also where it can't know.
# - The most likely sentence is short and safe. A typical one tells more, and lies more.
# - With a key-value cache each token costs one position.
# - BLEU and CIDEr compare words with words. A false colour costs them a part; in BLEU-4 being short
#   and true costs more.
# - A reward that can be checked is followed to the letter: what it doesn't pay for is forgotten.
# - Paid for relations, it found one word that it can make true. It still can't read relations.

# %% tags=["setup"]
quiz(
    [
        (
            "Why is the label of a patch -100?",
            "A patch is no word. There is no token that the position before it"
            " should predict, so it is left out of the loss.",
        ),
        (
            "A captioner names all things correctly, and its relations are"
            " random. Why does it tell relations at all?",
            "Because the captions of its training do so half of the time."
            " Cross-entropy rewards saying them as often, known or not.",
        ),
        (
            "Beam search finds sentences with a higher probability than"
            " sampling. Why are they shorter?",
            "Each word more multiplies the probability by a number below 1."
            " A search for the maximum avoids these factors.",
        ),
        (
            "The loss of a policy gradient is 0 in every update. Is there a"
            " bug?",
            "No. With a group's mean as baseline its value is always 0. Look at"
            " the reward and at the norm of the gradient.",
        ),
        (
            "After tuning for truth, captions have lost their sizes, though"
            " these were right. How can that be?",
            "Telling a size never earns anything, and now and then it is wrong."
            " So the safest caption leaves it out.",
        ),
    ]
)

# %% [markdown]
# **Papers.** Papineni et al. 2002, *BLEU*: clipped n-grams, made for whole corpora of translations.
# Vedantam et al. 2014, *CIDEr* ([1411.5726](https://arxiv.org/abs/1411.5726)): n-grams weighted by
# how rare they are agree better with people's choices between captions. Rohrbach et al. 2018
# ([1809.02156](https://arxiv.org/abs/1809.02156)): captioners with better scores can hallucinate
# more. Holtzman et al. 2019 ([1904.09751](https://arxiv.org/abs/1904.09751)): the likeliest text is
# dull and repeats itself. Ranzato et al. 2015 ([1511.06732](https://arxiv.org/abs/1511.06732)):
# training on whole sentences by reward. Shao et al. 2024
# ([2402.03300](https://arxiv.org/abs/2402.03300)): the group's mean as baseline. Rennie et al. 2016
# ([1612.00563](https://arxiv.org/abs/1612.00563)): captions tuned by their CIDEr, with the greedy caption's
# score as baseline.
#
# **Next:** lesson 14 gives a real language model eyes.

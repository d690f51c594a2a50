# ---
# jupyter:
#   course:
#     title: A real language model learns to see
#     needs: ["11", "13"]
# ---

# %% [markdown]
# SmolLM2 has read a part of the web, and has never seen a picture. In this lesson you will
#
# - ask a version of it that has learnt to see, and find out what it cannot do;
# - open a modern decoder and write its parts: RMSNorm, rotary positions, grouped keys;
# - put a picture into a text, and choose what is scored;
# - teach SmolLM2 to see shapes, in 28 updates on your own machine;
# - test whether it looks, beside a blind twin and with other pictures;
# - teach it a new colour, and see what that costs.
#
# Everything is real and small enough for two CPU cores: SmolLM2-135M, an image network that has seen
# ImageNet, and a file of 4 MB between them.

# %% tags=["setup"]
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from course_utils.checks import check, hint, quiz
from course_utils.datasets import load_emoji
from course_utils.datasets.easy_vqa import draw_shape
from course_utils.datasets.instruction_sources import KIND, emoji_kinds
from course_utils.datasets.instructions import (
    Instruction,
    as_batch,
    instruction_loader,
    prompt_ids,
)
from course_utils.evaluation.intervals import wilson
from course_utils.methods.eyes import (
    add_tuning,
    load_eyes,
    patch_features,
    with_eyes,
)
from course_utils.methods.generation import continued
from course_utils.methods.instruction_tuning import (
    answer_loss,
    answers,
    choice_log_probs,
)
from course_utils.models import smollm2
from course_utils.models.convert import from_llama
from course_utils.models.llama import rotary_angles
from course_utils.notebook import diagrams, lab, plots, widgets
from course_utils.peft.base import remove
from course_utils.studies import eyes as eyes_study
from course_utils.studies.runs import read_runs
from course_utils.training.fit import FitConfig, fit

# %% [markdown]
# ## 1. Ask it · core
#
# The first time, SmolLM2 is turned from its 4-bit file into ordinary numbers; that takes some
# seconds.

# %%
eyes = load_eyes()
picture = draw_shape("circle", "red", size=30, x=24, y=40)
for question in (
    "what color is the shape?",
    "what shape is in the image?",
    "describe the picture.",
):
    print(f"{question:28} {eyes.ask(picture, question)}")

# %% [markdown]
# These are not classes with numbers, as in lesson 08. The model writes text, token by token, and
# nothing stops it from writing anything else. Change the shape, the colour, the place, the question:

# %% tags=["varies"]
picture = draw_shape("triangle", "yellow", size=26, x=40, y=20)
question = "what colour is the triangle?"  # your own question here
plots.show(
    plots.images_grid([picture], [eyes.ask(picture, question)], columns=1),
    alt="A small picture with a shape, and above it what the model answers.",
)

# %% [markdown]
# Now pictures that are nothing like its training data: emoji of families that it never saw.

# %% tags=["varies"]
emoji = load_emoji("test")
shown = [60, 106, 143, 181]
titles = [eyes.ask(emoji.images[i], "what is this?") for i in shown]
plots.show(
    plots.images_grid(emoji.images[shown].float() / 255, titles, columns=4),
    alt="Four emoji, above each what the model calls it.",
)
for i, title in zip(shown, titles):
    print(f"it is: {emoji.names[i]:28} it says: {title}")

# %% [markdown]
# Choose a picture and type your own question. The answer appears token by token.

# %% tags=["varies"]
choices = {
    "red circle": draw_shape("circle", "red", 30, 24, 40),
    "blue triangle": draw_shape("triangle", "blue", 26, 44, 22),
} | {emoji.names[i]: emoji.images[i] for i in shown}
widgets.watch_it_write(
    choices,
    eyes.write,
    question="what shape is in the image?",
    questions=("what is this?", KIND, "describe the picture."),
)

# %% [markdown]
# The emoji's names are fluent, and mostly wrong. So the questions of this lesson are: how does a
# language model get eyes at all, how would we know that it uses them, and where do they end?

# %% [markdown]
# ## 2. A language model without eyes · core
#
# Here is SmolLM2 as it was, without any picture, asked about one.

# %% tags=["varies"]
reference, tokenizer = smollm2.load()
plain = from_llama(reference).eval()  # the course's own decoder, see section 3


def chat(text, tokens=24):
    """What SmolLM2 answers to a user who has no picture."""
    ids = prompt_ids(tokenizer, text, patches=0)
    x = torch.tensor([ids])  # (1, words)
    new = continued(plain, x, tokens, end=tokenizer.eos_token_id)  # (1, new)
    return tokenizer.decode(new[0], skip_special_tokens=True)


for text in ("What colour is the circle?", "What colour is a banana?"):
    print(text, "->", chat(text))

# %% [markdown]
# It answers, of course. A language model has no way to say "I see nothing": it continues a text in a
# likely way, whether there is something behind the words or not.
#
# SmolLM2 was tuned on **chats**, and a chat is a text with marks. `<|im_start|>` begins a turn and
# `<|im_end|>` ends it. Each is a single token. The tokenizer makes it from these letters wherever they
# stand, so what a user types must be encoded with the marks switched off, as `prompt_ids` does.

# %%
ids = prompt_ids(tokenizer, "is it red?", patches=0)
for token in ids:
    print(f"{token:>6}  {tokenizer.decode([token])!r}")

# %% [markdown]
# > **Exercise 14.1 · choose and justify** · core · difficulty 1 of 3 · 5 minutes
# >
# > Below, SmolLM2 is asked three easy questions, and we look at how likely a right answer is, such
# > as "The capital of France is Paris." In which form is it most likely? Guess first.
# >
# > - "a": the question alone, then a line break;
# > - "b": `Question:` the question, a new line, `Answer:`;
# > - "c": `<|im_start|>user`, the question, `<|im_end|>`, `<|im_start|>assistant`;
# > - "d": as c, without `<|im_start|>assistant` at the end.

# %%
my_form = None
### BEGIN SOLUTION
my_form = "c"
### END SOLUTION

# %%
my_form = check("14.1", my_form)

# %% tags=["result"]
facts = {
    "What is the capital of France?": "The capital of France is Paris.",
    "What is the capital of Japan?": "The capital of Japan is Tokyo.",
    "What is the opposite of hot?": "The opposite of hot is cold.",
}


def form(name, question):
    """The text that SmolLM2 gets, in one of four forms."""
    turn = f"<|im_start|>user\n{question}<|im_end|>\n"
    return {
        "a": f"{question}\n",
        "b": f"Question: {question}\nAnswer: ",
        "c": turn + "<|im_start|>assistant\n",
        "d": turn,
    }[name]


@torch.no_grad()
def log_p_of(before, answer):
    """log p of a text's tokens behind another text, in nat."""
    head, tail = tokenizer(before).input_ids, tokenizer(answer).input_ids
    log_p = plain(torch.tensor([head + tail]))[0].log_softmax(-1)
    places = range(len(head) - 1, len(head) + len(tail) - 1)
    return sum(log_p[i, token].item() for i, token in zip(places, tail))


found = {
    name: [log_p_of(form(name, q), answer) for q, answer in facts.items()]
    for name in "abcd"
}
for name, values in found.items():
    print(name, "  log p:", "".join(f"{value:8.1f}" for value in values))
lab.claim(
    "with its own marks each answer is most likely",
    all(max(found, key=lambda n: found[n][i]) == "c" for i in range(3)),
)

# %% [markdown]
# A chat model that gets its marks wrong still writes something, and no error says so. In form d it
# would first have to write the mark of its own turn. That makes wrong marks one of the most frequent
# silent mistakes with these models.

# %% [markdown]
# ## 3. Inside a modern decoder · core
#
# SmolLM2 is a decoder like lesson 03's, and four of its parts are newer. Models of the Llama family
# have had all four since 2023. Each is small enough to write.

# %% tags=["figure"]
diagrams.flow(
    {
        "h": (0, 0, "state h"),
        "norm1": (0, 1, "RMSNorm"),
        "qkv": (0, 2, "9 queries,\n3 keys, 3 values"),
        "turn": (0, 3, "rotary: turn\nqueries and keys"),
        "mix": (0, 4, "causal attention"),
        "add1": (1, 4, "+ h"),
        "norm2": (1, 3, "RMSNorm"),
        "gate": (1, 2, "SwiGLU\n576 → 1536 → 576"),
        "add2": (1, 1, "+"),
    },
    [
        ("h", "norm1", "(batch, words, 576)"),
        ("norm1", "qkv", ""),
        ("qkv", "turn", "(batch, heads, words, 64)"),
        ("turn", "mix", ""),
        ("mix", "add1", ""),
        ("add1", "norm2", ""),
        ("norm2", "gate", ""),
        ("gate", "add2", "(batch, words, 576)"),
    ],
    across=False,
    marked=["norm1", "turn", "qkv", "gate"],
    alt=(
        "One of SmolLM2's 30 layers. Left, downwards: state, RMSNorm, nine"
        " queries with three keys and values, rotary turning, causal"
        " attention. Right, upwards: added to the state, RMSNorm, SwiGLU,"
        " added again."
    ),
)

# %% [markdown]
# ### RMSNorm · core
#
# LayerNorm takes the mean off a state and divides by its deviation. **RMSNorm** leaves the mean where
# it is, and divides by the root of the mean square:
#
# $$\text{RMSNorm}(h)_i = \frac{h_i}{\sqrt{\frac{1}{d} \sum_j h_j^2 + \varepsilon}} \; w_i .$$
#
# By hand: $h = (3, -4)$ has the squares 9 and 16, their mean is 12.5, and its root is 3.54. So the
# result is $(0.85, -1.13)$ times the weights.

# %% [markdown]
# > **Exercise 14.2 · write it** · core · difficulty 1 of 3 · 10 minutes
# >
# > Write RMSNorm. `h` may have any number of axes; the last one is normalised.


# %%
def rms_norm(h, weight, eps):
    """RMSNorm over the last axis: h (..., dim), weight (dim,) -> (..., dim)."""
    ### BEGIN SOLUTION
    mean_square = h.square().mean(-1, keepdim=True)  # (..., 1)
    return h / (mean_square + eps).sqrt() * weight  # (..., dim)
    ### END SOLUTION


# %%
rms_norm = check("14.2", rms_norm)

# %%
by_hand = rms_norm(torch.tensor([3.0, -4.0]), torch.ones(2), 0.0)  # (2,)
mean = (3.0**2 + 4.0**2) / 2
print(f"mean square {mean}, root {mean**0.5:.2f}")
print(f"(3, -4) becomes ({by_hand[0]:.2f}, {by_hand[1]:.2f})")
h = torch.randn(2, 5, 576)  # (batch, words, dim)
weight = torch.rand(576)  # (dim,)
theirs = F.rms_norm(h, (576,), weight, 1e-5)  # (batch, words, dim)
apart = (rms_norm(h, weight, 1e-5) - theirs).abs().max().item()
print(f"largest difference to PyTorch's: {apart:.0e}")

# %% [markdown]
# ### Rotary positions · core
#
# Lesson 02 added a vector to each token that says where it stands. **Rotary positions** add nothing.
# They *turn* each query and each key by an angle that grows with its position. Take two entries as an
# arrow in the plane. Turning both arrows by the same angle changes nothing between them. So the
# product of a query and a key depends only on *how far apart* they stand:

# %%
q, k = torch.tensor([1.0, 0.2]), torch.tensor([0.8, 0.6])  # (2,) each


def turned(arrow, position, step=0.5):
    """An arrow (2,), turned by position * step radians."""
    cos = torch.tensor(position * step).cos()
    sin = torch.tensor(position * step).sin()
    a, b = arrow
    return torch.stack([a * cos - b * sin, b * cos + a * sin])  # (2,)


print("query at  key at  apart  product")
for place_q, place_k in ((2, 1), (5, 4), (9, 8), (5, 2), (9, 6)):
    product = float(turned(q, place_q) @ turned(k, place_k))
    print(f"{place_q:>8}{place_k:>8}{place_q - place_k:>7}{product:>9.3f}")

# %% [markdown]
# One step apart gives the same product at every place, three steps apart another one. That is a
# property of turning: with $R_m$ for the turn at position $m$,
#
# $$(R_m q) \cdot (R_n k) = q \cdot (R_{n-m} k) .$$
#
# A head has 64 entries, so 32 arrows. Arrow $i$ turns by $\theta^{-2i/64}$ radians each step, with
# $\theta = 100{,}000$ here. The first turns by 1 radian, 57 degrees, the last one hardly at all. Fast
# arrows tell neighbours apart, slow ones tell near from far.

# %% tags=["figure"]
angles = rotary_angles(torch.arange(60)[None], 64, 100_000.0)[0]  # (60, 32)
figure, axis = plt.subplots(figsize=(7, 2.8))
for pair in (0, 4, 8, 12):
    axis.plot(angles[:, pair].cos(), label=f"arrow {pair}")
axis.set(
    xlabel="position",
    ylabel="cos of the angle",
    ylim=(-1.9, 1.2),
    title="Fast arrows count single steps, slow ones long distances",
)
axis.legend(loc="lower left", ncols=4)
plots.show(
    figure,
    alt=(
        "Four waves over 60 positions: arrow 0 swings fast, arrow 4 slower,"
        " arrow 8 makes half a turn, arrow 12 only begins to fall."
    ),
)

# %% [markdown]
# Which two entries are an arrow? It is a convention, and there are two: neighbours ($2i$ and
# $2i + 1$), or entry $i$ together with entry $i + 32$. SmolLM2's published weights use the second. The
# 4-bit file that we load uses the first, and the loader reorders it. Weights of one convention in the
# code of the other still run, without an error, and write nonsense.

# %% [markdown]
# > **Exercise 14.3 · write it** · core · difficulty 2 of 3 · 20 minutes
# >
# > Turn queries (or keys) of all heads. Entry i and entry i + half of the last axis are an arrow,
# > and `angles[..., i]` is its angle at each place. `angles` has no axis for the heads: give it one.
# > Leave the input as it is.


# %%
def turn(q, angles):
    """q (batch, heads, words, 2 half), angles (batch, words, half): as q."""
    ### BEGIN SOLUTION
    a, b = q.chunk(2, dim=-1)  # (batch, heads, words, half) each
    cos = angles.cos()[:, None]  # (batch, 1, words, half)
    sin = angles.sin()[:, None]  # (batch, 1, words, half)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)
    ### END SOLUTION


# %%
turn = check("14.3", turn)

# %% [markdown]
# ### Grouped keys, and the cache · core
#
# A decoder that writes reads one new token at a time. Keys and values of the tokens before stay the
# same, so they are kept: the **key-value cache**. It grows with every token of the text, and with
# many users it fills the memory before the weights do. **Grouped queries** shrink it: SmolLM2 has
# nine query heads, and each three of them share one head of keys and values.

# %% [markdown]
# > **Exercise 14.4 · write it** · core · difficulty 1 of 3 · 8 minutes
# >
# > How many bytes does the cache of one text take? Each number takes `each` bytes.


# %%
def cache_bytes(layers, key_heads, head_dim, tokens, each=4):
    """Bytes of the keys and values of one text."""
    ### BEGIN SOLUTION
    return 2 * layers * key_heads * head_dim * tokens * each
    ### END SOLUTION


# %%
cache_bytes = check("14.4", cache_bytes)

# %%
c = plain.config
for tokens in (100, 8192):
    shared = cache_bytes(c.layers, c.key_heads, c.head_dim, tokens)
    own = cache_bytes(c.layers, c.heads, c.head_dim, tokens)
    print(
        f"{tokens:>5} tokens: {shared / 1e6:6.1f} MB with {c.key_heads} key"
        f" heads, {own / 1e6:6.1f} MB with {c.heads}"
    )
real = plain.cache(batch=1, room=100).bytes
print(
    "the model's own cache for 100 tokens holds as many bytes:",
    real == cache_bytes(c.layers, c.key_heads, c.head_dim, 100),
)

# %% [markdown]
# ### All of it, with real weights · core
#
# The course's decoder, `course_utils/models/llama.py`, is these parts and a loop over 30 layers. With
# the real weights it must compute what the library transformers computes, token for token.

# %% tags=["varies"]
text = "<|im_start|>user\nName three birds.<|im_end|>\n<|im_start|>assistant\n"
x = tokenizer(text, return_tensors="pt").input_ids  # (1, words)
with torch.no_grad():
    apart = (plain(x) - reference(x).logits).abs().max().item()
print(f"logits: at most {apart:.0e} apart")
ours = continued(plain, x, 24)  # (1, new)
theirs = reference.generate(
    x,
    attention_mask=torch.ones_like(x),
    max_new_tokens=24,
    min_new_tokens=24,
    do_sample=False,
)
same = torch.equal(ours, theirs[:, x.shape[1] :])
print(tokenizer.decode(ours[0]))
lab.claim("24 tokens are transformers' own", same)
lab.claim("the logits agree to 0.001", apart < 1e-3)

# %% [markdown]
# ### SwiGLU · extra
#
# The MLP of lesson 02 widens a state, bends it and narrows it again. **SwiGLU** widens it twice: one
# copy goes through the smooth bend SiLU, $x \cdot \sigma(x)$, and says how much of the other copy
# passes.
#
# $$\text{MLP}(h) = W_{\text{down}} \big( \text{SiLU}(W_{\text{gate}} h) \odot W_{\text{up}} h \big)$$

# %%
layer = plain.layers[0]
h = torch.randn(1, 576)  # (words, dim)
gate, up = layer.mlp.gate(h), layer.mlp.up(h)  # (words, 1536) each
with torch.no_grad():
    mine = layer.mlp.down(gate * gate.sigmoid() * up)  # (words, dim)
    print("as the layer's:", torch.allclose(mine, layer.mlp(h), atol=1e-5))

# %% [markdown]
# ## 4. Where the picture goes · core
#
# The decoder's first step turns token ids into vectors, 576 numbers each. All later steps see vectors
# only. So a picture can enter as vectors, in the place of tokens. Three things are needed: an image
# network that gives a vector for each part of a picture, a **projector** that turns these vectors into
# ones that the decoder can read, and a place in the text.

# %% tags=["figure"]
diagrams.flow(
    {
        "image": (0, 0, "picture,\n160 × 160"),
        "net": (0, 1, "EfficientNet-Lite0\n(frozen)"),
        "proj": (0, 2, "projector\n(trained)"),
        "text": (1, 0, "chat with nine\nplaceholders"),
        "table": (1, 1, "table of tokens\n(frozen)"),
        "put": (1, 2, "placeholders\nreplaced"),
        "llm": (1, 3, "SmolLM2 (frozen)\n+ LoRA (trained)"),
        "out": (1, 4, "answer,\ntoken by token"),
    },
    [
        ("image", "net", ""),
        ("net", "proj", "(batch, 9, 1280)"),
        ("proj", "put", "(batch, 9, 576)"),
        ("text", "table", "(batch, words)"),
        ("table", "put", "(batch, words, 576)"),
        ("put", "llm", "(batch, words, 576)"),
        ("llm", "out", ""),
    ],
    across=False,
    marked=["proj", "put"],
    alt=(
        "Left: picture, frozen EfficientNet-Lite0, projector. Right: chat with"
        " nine placeholders, table of tokens, placeholders replaced by the"
        " projected patches, SmolLM2 with LoRA, answer."
    ),
)

# %% [markdown]
# EfficientNet-Lite0 gives 5 × 5 vectors for a picture of 160 × 160 pixels. Averaged to 3 × 3 they are
# nine **visual tokens**. The text holds nine placeholders, a token that SmolLM2's chats never use:

# %%
picture = draw_shape("circle", "red", size=30, x=24, y=40)
v = patch_features(eyes.backbone, picture[None].float() / 255)
print("visual features:", tuple(v.shape))  # (1, patches, 1280)
x = torch.tensor([prompt_ids(tokenizer, "is it red?", patches=9)])
print(tokenizer.decode(x[0]))

# %% [markdown]
# > **Exercise 14.5 · write it** · core · difficulty 2 of 3 · 15 minutes
# >
# > Put the projected patches in the place of the placeholders. These need not be neighbours. Texts of a batch have their
# > placeholders at different places, because padding stands on the left, and other words may stand
# > between two of them. `h` is needed again, so work
# > on a copy; a gradient must come back to `seen`.


# %%
def with_picture(h, x, seen, placeholder):
    """h (batch, words, dim) with the vectors seen (batch, patches, dim) where x
    (batch, words) is `placeholder`, in their order."""
    ### BEGIN SOLUTION
    out = h.clone()  # (batch, words, dim)
    for i in range(len(x)):
        out[i, x[i] == placeholder] = seen[i]  # (patches, dim)
    return out
    ### END SOLUTION


# %%
with_picture = check("14.5", with_picture)

# %% [markdown]
# With it you can ask the model yourself, without the course's `ask`:

# %%
model, end = eyes.model, tokenizer.eos_token_id
with torch.no_grad():
    h = model.decoder.token(x)  # (1, words, 576)
    seen = model.projector(v)  # (1, 9, 576)
    h = with_picture(h, x, seen, model.placeholder)  # (1, words, 576)
new = continued(model.decoder, x, 8, end=end, h=h)  # (1, new)
print("is it red?", tokenizer.decode(new[0], skip_special_tokens=True))

# %% [markdown]
# ### What is scored · core
#
# The training loss is lesson 03's, $-\log p$ of the next token, but not of every token. The
# placeholders have no next token to predict. And the question is given by the user: a model that is
# scored on questions learns to ask them. Only the answer counts, and the mark behind it, so that it
# learns to stop.

# %% [markdown]
# > **Exercise 14.6 · write it** · core · difficulty 2 of 3 · 10 minutes
# >
# > `lengths` tells how many tokens each answer has, its end included. All texts end at the last
# > place, because padding stands on the left. Return which places hold a scored token.


# %%
def scored_places(lengths, words):
    """lengths (batch,) -> (batch, words), True at the tokens of the answer."""
    ### BEGIN SOLUTION
    from_the_end = torch.arange(words, 0, -1)  # (words,): the last place has 1
    return from_the_end <= lengths[:, None]  # (batch, words)
    ### END SOLUTION


# %%
scored_places = check("14.6", scored_places)

# %%
turns = [
    [Instruction(0, "what color is the shape?", "red")],
    [Instruction(0, "describe the picture.", "there is a red circle")],
]
batch = as_batch(tokenizer, turns, patches=9)
lengths = batch.scored.sum(1)  # (batch,)
print(
    "your places are the batch's:",
    torch.equal(scored_places(lengths, batch.x.shape[1]), batch.scored),
)
for ids, scored in zip(batch.x, batch.scored):
    print(repr(tokenizer.decode(ids[scored])))

# %% [markdown]
# ### Questions as branches · extra
#
# One more thing saves time. A picture has several questions, and each would need the same nine visual
# tokens again. So the questions become **branches** behind one picture: a question sees the picture
# and itself, and none of the others. The mask of lesson 02 does that, and each question counts its
# positions as if it were alone.

# %%
both = [[turn for pair in turns for turn in pair]]
together = as_batch(tokenizer, both, patches=9)
with torch.no_grad():
    apart = answer_loss(model, v, batch)
    joint = answer_loss(model, v, together)
print(f"{batch.mask.sum()} tokens apart, {together.mask.sum()} together")
print(f"loss apart and together: {abs(apart - joint):.0e} between them")
lab.claim("branches cost what each would by itself", abs(apart - joint) < 1e-3)

# %% tags=["figure"]
ids, branch = together.x[0], together.branch[0]  # (words,) each
order = torch.ones(len(ids), len(ids)).tril().bool()  # (words, words)
own = (branch[None] == 0) | (branch[None] == branch[:, None])
figure, axis = plt.subplots(figsize=(4.6, 4.2))
axis.imshow(order & own, cmap="Blues")
axis.set(
    xlabel="token that is looked at",
    ylabel="token that looks",
    title="Two questions behind one picture",
)
plots.show(
    figure,
    alt=(
        "A square of places. The first columns, the picture, are seen by all"
        " later rows; then two triangles, one for each question, which do not"
        " see each other."
    ),
)

# %% [markdown]
# ## 5. Learning to see · core
#
# How long does it take? Begin with one question. The projector has random weights, so its outputs
# mean nothing to SmolLM2. SmolLM2's own weights are frozen; lesson 11's low-rank changes are trained
# beside the projector.

# %%
asked = {
    "shape": "what shape is in the image?",
    "colour": "what color is the shape?",
}
names = {
    "shape": ("circle", "rectangle", "triangle"),
    "colour": ("red", "green", "blue", "yellow"),
}
rng = torch.Generator().manual_seed(lab.seed)


def drawn(count):
    """Pictures (count, 3, 64, 64) of one shape each, and what is true."""
    pictures, truths = [], []
    for _ in range(count):
        i, j = (int(torch.randint(n, (), generator=rng)) for n in (3, 4))
        x, y, size = torch.randint(18, 36, (3,), generator=rng).tolist()
        truth = {"shape": names["shape"][i], "colour": names["colour"][j]}
        pictures.append(draw_shape(*truth.values(), size, x + 5, y + 5))
        truths.append(truth)
    return torch.stack(pictures), truths


# %%
updates = lab.steps(28, 28)
pictures, truths = drawn(6 * updates)
test_pictures, test_truths = drawn(36)
v_train, v_test = (
    patch_features(eyes.backbone, some.float() / 255)  # (pictures, 9, 1280)
    for some in (pictures, test_pictures)
)

# %% [markdown]
# > **Exercise 14.7 · predict** · core · difficulty 1 of 3 · 3 minutes
# >
# > Two separate trainings from the same start, 28 updates of six pictures each: one asks only for the
# > shape, the other only for the colour. There are three shapes and four colours. Which question is
# > answered above chance in the end?
# >
# > - "a": the colour, it is the simpler thing;
# > - "b": the shape;
# > - "c": both;
# > - "d": neither, 168 pictures are far too few.

# %%
my_first = None
### BEGIN SOLUTION
my_first = "b"
### END SOLUTION

# %%
my_first = check("14.7", my_first)


# %% tags=["result", "varies"]
def learn(what):
    """Trains new eyes on one question: losses, and right answers."""
    model = with_eyes(plain, tokenizer, seed=lab.seed)
    add_tuning(model, seed=lab.seed)
    rows = [
        [Instruction(i, asked[what], truth[what])]
        for i, truth in enumerate(truths)
    ]
    batches = instruction_loader(tokenizer, rows, 9, size=6, seed=lab.seed)
    history = fit(
        model,
        lambda model, batch: answer_loss(model, v_train, batch),
        batches,
        config=FitConfig(epochs=1, lr=3e-3),
        device="cpu",
        progress=False,
    )
    said = answers(model, tokenizer, v_test, [asked[what]] * len(v_test), 6)
    right = sum(a == t[what] for a, t in zip(said, test_truths))
    remove(plain)  # SmolLM2 is as it was
    return history.loss, right


learnt = {"shape": learn("shape")}
print(f"shape: right in {learnt['shape'][1]} of {len(v_test)} new pictures")

# %% tags=["result", "varies"]
learnt["colour"] = learn("colour")
print(f"colour: right in {learnt['colour'][1]} of {len(v_test)} new pictures")
lab.claim("shapes are learnt first", learnt["shape"][1] > learnt["colour"][1])

# %% tags=["result", "varies"]
plots.show(
    plots.curves(
        {f"{what}s": losses for what, (losses, _) in learnt.items()},
        "updates",
        "loss, nat per token",
        "A language model learns to see shapes in 28 updates",
    ),
    alt=(
        "Two falling curves over 28 updates. The loss of shapes falls to"
        " nearly zero, that of colours stays near one."
    ),
)

# %% [markdown]
# Guessing gets about 12 of 36 shapes and 9 of 36 colours right. So shapes are learnt, after 168
# pictures, and colours are not yet. A
# language model that never saw anything tells shapes apart, because 28 updates have taught it which of
# three answers goes with which features. Try it: put other words, such as "table", in the place of the
# three in `names`, and train again. Do the answers have to fit the shapes?
#
# And the colour? An easy explanation: an image network for things does not care about colours, so its
# features don't hold them. Such a sentence must be tested. The simplest test has no language model at
# all: a linear map from the same features to the answers, by **ridge regression**, in closed form.


# %%
def ridge_right(what, penalty=10.0):
    """New pictures that a linear map from the features gets right."""
    seen = v_train.flatten(1)  # (pictures, 9 * 1280)
    mean = seen.mean(0)  # (9 * 1280,)
    y = torch.tensor([names[what].index(t[what]) for t in truths])
    Y = F.one_hot(y).float()  # (pictures, answers)
    gram = (seen - mean) @ (seen - mean).T  # (pictures, pictures)
    c = torch.linalg.solve(gram + penalty * torch.eye(len(y)), Y - Y.mean(0))
    scores = (v_test.flatten(1) - mean) @ (seen - mean).T @ c  # (new, answers)
    z = torch.tensor([names[what].index(t[what]) for t in test_truths])
    return int((scores.argmax(1) == z).sum())


for what in names:
    print(f"ridge, {what}: right in {ridge_right(what)} of {len(v_test)}")
lab.claim(
    "the features hold the colour as well as the shape",
    min(ridge_right("colour"), ridge_right("shape")) == len(v_test),
)

# %% [markdown]
# The explanation is false: colours stand in the features, just as readable as shapes. What takes longer
# is the way from there through a language model to a word. Why it is longer for colours, we don't know.
# In the big training below they do come, as section 6 shows.

# %% [markdown]
# ### Everything at once · core
#
# The real training has turns of five kinds:
#
# | source | pictures | turns | for example |
# |---|--:|--:|---|
# | easy-VQA | 3,600 | 34,696 | what color is the shape? red |
# | the course's world | 8,000 | 32,000 | how many circles are there? two |
# | captions of the world | the same | 8,000 | describe the picture. a small red circle |
# | things that are not there | the same | 8,000 | what colour is the cross? there is no cross |
# | emoji | 1,185 | 2,370 | what is this? red apple |
#
# The training takes other shares of them: a fifth of easy-VQA's, two thirds of the world's, and the few emoji
# more than twice. Each update has five pictures with three turns each.

# %% [markdown]
# Both the projector and low-rank changes in the decoder are trained, for 3,158 updates. It took about an
# hour of one core, in bfloat16, numbers of about three digits.

# %% tags=["setup"]
runs = {
    (row["model"], row["seed"]): row
    for row in read_runs(lab.data_path("studies/eyes.json"))
}
kept = runs["seeing", 0]

# %% [markdown]
# Here is the whole run, and its **blind twin**: a second training from the same start, on the same
# words, with zeros for the visual features. It stops after 1,000 updates, so compare the two there.

# %% tags=["figure"]
blind = runs["blind", 0]


def smooth(losses, width=25):
    """Means of `width` updates each."""
    n = len(losses) // width * width
    return torch.tensor(losses[:n]).view(-1, width).mean(1)  # (n / width,)


figure, axis = plt.subplots(figsize=(7, 3.2))
for name, row in (("blind twin", blind), ("seeing", kept)):
    line = smooth(row["loss"])
    axis.plot(25 * torch.arange(1, len(line) + 1), line, label=name)
axis.set(
    xlabel="updates",
    ylabel="loss, nat per token of the answers",
    title="What the picture tells is the gap between the curves",
    yscale="log",
)
axis.minorticks_off()
axis.set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
axis.legend()
plots.show(
    figure,
    alt=(
        "Two falling curves of the training loss on a logarithmic scale. They"
        " fall together first; then the seeing model goes on falling, and the"
        " blind one stays above it."
    ),
)

# %%
end = len(blind["loss"])
at_end = {
    name: torch.tensor(row["loss"][end - 200 : end]).mean().item()
    for name, row in (("seeing", kept), ("blind", blind))
}
for name, value in at_end.items():
    print(f"{name:8} updates {end - 199} to {end}: {value:.2f} nat")
lab.claim(
    "after as many updates the seeing model's loss is lower",
    at_end["seeing"] < at_end["blind"],
)

# %% [markdown]
# The first hundred updates look alike. Both models learn what kind of answer is wanted: one small
# word, no full sentence. That needs no eyes. A falling loss alone never shows that a model looks.

# %% [markdown]
# ## 6. Does it look? · core
#
# > **Exercise 14.8 · predict** · core · difficulty 1 of 3 · 2 minutes
# >
# > The blind twin knows every question and all frequent answers. In how many per cent of easy-VQA's
# > test questions is it right?

# %%
my_blind_guess = None
### BEGIN SOLUTION
my_blind_guess = 50
### END SOLUTION

# %%
my_blind_guess = check("14.8", my_blind_guess)

# %% [markdown]
# One question about each test picture, written answers compared letter by letter. "Words" gives the
# most common training answer to this very question. "Exchanged" is the
# seeing model with another question's picture. An interval holds the true share in 95 of 100 such
# tests.

# %% tags=["setup"]
peers = {
    row["peer"]: row
    for row in read_runs(lab.data_path("studies/eyes_peers.json"))
}

# %% tags=["result"]
groups = {
    "easy-VQA": ("easy-VQA yes/no", "easy-VQA colour", "easy-VQA shape"),
    "the world": ("world exists", "world colour", "world shape", "world count"),
    "kinds of emoji": ("emoji kind",),
}


def share(row, names, which="marks"):
    """Right answers of some kinds of turns, with an interval, and how many."""
    right = sum(row[which][name][0] for name in names)
    n = sum(row[which][name][1] for name in names)
    return wilson(right, n), n


rows = []
for name, kinds in groups.items():
    cells = [
        share(peers["words"], kinds),
        share(blind, kinds),
        share(kept, kinds, "exchanged"),
        share(kept, kinds),
    ]
    shown = [f"{100 * i.value:.1f}" for i, _ in cells]
    best = cells[-1][0]
    shown[-1] += f" ({100 * best.low:.1f} to {100 * best.high:.1f})"
    rows.append([name, cells[0][1], *shown])
header = ["test, right in %", "questions", "words", "blind twin"]
plots.table(rows, [*header, "exchanged", "seeing"])
blind_right = 100 * share(blind, groups["easy-VQA"])[0].value
print(
    f"you guessed {my_blind_guess:g} %, the blind twin has {blind_right:.1f} %"
)

# %%
for name, kinds in groups.items():
    low = share(kept, kinds)[0].low
    others = [
        share(peers["words"], kinds),
        share(blind, kinds),
        share(kept, kinds, "exchanged"),
    ]
    highest = max(interval.high for interval, _ in others)
    lab.claim(f"{name}: seeing is ahead of the controls", low > highest)

# %% [markdown]
# The blind twin learnt what a table of common answers holds, and for emoji less: it gives all of them
# one kind, a rare one.
#
# A wrong picture is worse than none: the model answers what it sees there.
#
# The columns answer different questions. The table and the blind twin tell what words alone can earn. The
# exchanged column tells that this very model answers *from the picture that it is given*. A model that
# had only learnt frequent answers would not mind another picture.

# %% [markdown]
# Split by what is asked, the same rows say more:

# %% tags=["figure"]
names = [name for kinds in groups.values() for name in kinds]
figure, axis = plt.subplots(figsize=(7, 3.6))
place = torch.arange(len(names))
for offset, label, row, which in (
    (-0.2, "blind twin", blind, "marks"),
    (0.2, "seeing", kept, "marks"),
):
    found = [share(row, (name,), which)[0] for name in names]
    axis.barh(
        place + offset,
        [100 * i.value for i in found],
        height=0.38,
        xerr=[
            [100 * (i.value - i.low) for i in found],
            [100 * (i.high - i.value) for i in found],
        ],
        capsize=2,
        label=label,
    )
axis.set_yticks(place, names)
axis.invert_yaxis()
axis.set(
    xlim=(0, 105),
    xlabel="right, %",
    title="Shapes are easiest, kinds of new emoji hardest",
)
axis.legend(loc="lower right")
plots.show(
    figure,
    alt=(
        "Bars of right answers by kind of question, blind twin and seeing"
        " model beside each other, with intervals."
    ),
)

# %% [markdown]
# > **Exercise 14.9 · choose and justify** · core · difficulty 2 of 3 · 6 minutes
# >
# > Four reports about other models. Which one shows that the model looks at its picture?
# >
# > - "a": it answers 67 % of easy-VQA's questions;
# > - "b": its loss on answers fell from 5 to 0.5 nat;
# > - "c": it describes every picture in fluent sentences with colours and shapes;
# > - "d": with another picture, its accuracy falls from 71 to 34 %.

# %%
my_report = None
### BEGIN SOLUTION
my_report = "d"
### END SOLUTION

# %%
my_report = check("14.9", my_report)

# %% [markdown]
# ### Is the language model needed? · core
#
# Section 5 asked a linear map for colours. Ask it for the kinds of emoji as well: from the same nine
# vectors, without any language model, its penalty chosen on other emoji.

# %%
right, n = peers["ridge"]["marks"]["emoji kind"]
i = wilson(right, n)
print(f"ridge   {100 * i.value:.1f} ({100 * i.low:.1f} to {100 * i.high:.1f})")
i, _ = share(kept, groups["kinds of emoji"])
print(f"seeing  {100 * i.value:.1f} ({100 * i.low:.1f} to {100 * i.high:.1f})")

# %% [markdown]
# To *see* the kind of a thing, no language model is needed. What it adds is something else: any question
# in words, one model for all of them, and an answer in words.

# %% [markdown]
# ### Kinds by likelihood · extra
#
# A written answer is right or wrong by the letter: "animal" is not "animals and nature". There is
# another way to ask. Give the model all ten kinds, and let it say how likely each is as an answer:

# %% tags=["varies"]
kinds = emoji_kinds(load_emoji("train"))
i = 106
v_one = patch_features(eyes.backbone, emoji.images[i : i + 1].float() / 255)
scores = choice_log_probs(eyes.model, tokenizer, v_one, [KIND], kinds)[0]
print(f"{emoji.names[i]}: {emoji.categories[i].lower()}")
for rank in scores.argsort(descending=True)[:4].tolist():
    print(f"  {kinds[rank]:22}{100 * scores[rank].exp():5.1f} %")

# %%
for name, row in (("blind twin", blind), ("seeing", kept)):
    right, n = row["ranked"]
    i = wilson(right, n)
    print(
        f"{name:12} the likeliest of ten kinds is right for"
        f" {100 * i.value:.1f} % ({100 * i.low:.1f} to {100 * i.high:.1f})"
    )

# %% [markdown]
# ### Where does an answer come from? · extra
#
# One may try to see where the model looks: replace one of the nine visual tokens by the mean of the
# others, and see how much less likely the answer becomes. The largest fall of nine:

# %% tags=["varies"]
cases = [
    (draw_shape("circle", "red", 24, 14, 14), "what shape is in the image?"),
    (draw_shape("circle", "red", 24, 50, 50), "what shape is in the image?"),
    (draw_shape("triangle", "blue", 24, 50, 14), "is there a triangle?"),
]
for picture, question in cases:
    answer = eyes.ask(picture, question)
    told = eyes.looks(picture, question, answer)  # (3, 3) nat
    print(f"{question:28} {answer:8} {told.max():.2f} nat")

# %% [markdown]
# No single token is needed. Each of the nine vectors has seen far beyond its own part of the picture, so
# the others tell nearly the same. A map of such small falls would look like an explanation, and say
# nothing about where the model looks.

# %% [markdown]
# ## 7. Where it breaks · core
#
# **It has learnt kinds, and not names.** Of 240 test emoji, whose families it has not seen:

# %%
right, n, _ = kept["marks"]["emoji name"]
print(f"{right} of {n} names are right to the letter")

# %% [markdown]
# **It answers questions that have no answer in the picture.** It was trained on some: "there is no
# cross". Other questions of this kind were never in its data.

# %% tags=["varies"]
picture = draw_shape("circle", "red", size=30, x=24, y=40)
for question in (
    "what colour is the cross?",
    "what does it smell like?",
    "who painted this picture?",
    "is there a dog?",
):
    print(f"{question:28} {eyes.ask(picture, question)}")

# %%
right, n, _ = kept["marks"]["world absent"]
i = wilson(right, n)
print(
    'it says "there is no ..." where it should in'
    f" {100 * i.value:.1f} % ({100 * i.low:.1f} to {100 * i.high:.1f}) of {n}"
)

# %% [markdown]
# It was taught to refuse one form of question. The others above it answers all the same. And look at
# the blind twin:

# %%
right, n, _ = blind["marks"]["world absent"]
print(f'the blind twin says "there is no ..." in {100 * right / n:.0f} %')
right, n, _ = blind["marks"]["world colour"]
print(f"its answers to colours that are there: {100 * right / n:.0f} % right")

# %% [markdown]
# It says so without looking: right where nothing is there, and wrong where something is. So the first
# number alone proves nothing. It must stand beside questions about things that *are* there.
#
# Benchmarks such as POPE ask about things that are not there and count how often a model says yes. For
# yes/no questions of the world half of all true answers are "yes":

# %%
for which in ("marks", "exchanged"):
    right, n, yes = kept[which]["world exists"]
    print(
        f"{which:10} right {100 * right / n:.0f} %,"
        f" says yes {100 * yes / n:.0f} %"
    )

# %% [markdown]
# The thing that is asked for is rarely in another picture, so the model says no there, and is right by
# chance.
#
# **It has forgotten some English.** Eight plain sentences, none from the training: the loss of
# SmolLM2 before, and with the tuned weights.

# %%
before = eyes_study.language_loss(plain, tokenizer)
after = eyes_study.language_loss(eyes.model.decoder, tokenizer)
print(f"{before:.2f} nat per token before, {after:.2f} after")
lab.claim("plain English has become less likely", after > before)

# %% [markdown]
# And its answers to plain questions, without a picture?

# %% tags=["varies"]
for text in ("What is the capital of France?", "Name three birds."):
    x = torch.tensor([prompt_ids(tokenizer, text, patches=0)])  # (1, words)
    for who, decoder in (("before", plain), ("tuned", eyes.model.decoder)):
        new = continued(decoder, x, 12, end=tokenizer.eos_token_id)  # (1, new)
        said = tokenizer.decode(new[0], skip_special_tokens=True)
        print(f"{text:32}{who:8}{said}")

# %% [markdown]
# Its loss on English has grown a little, and it answers these questions as if they were about a picture: in
# a word or two, and wrongly. A small change of the mean can hide a large change of behaviour.

# %% [markdown]
# ### Eyes without forgetting? · extra
#
# The projector cannot have done that: a text without a picture never meets it. The low-rank changes in
# the decoder did. So one way to keep all English is to train the projector alone. What does that cost?
# The next table compares runs of equal length.

# %%
short = runs["9 tokens", 0]
rows = []
for label in ("blind", "projector alone", "9 tokens"):
    row = runs[label, 0]
    found = [share(row, kinds)[0] for kinds in groups.values()]
    shown = [
        f"{100 * i.value:.1f} ({100 * i.low:.1f} to {100 * i.high:.1f})"
        for i in found
    ]
    rows.append([label, *shown, f"{row['language']:.2f}"])
rows[0][0], rows[2][0] = "blind twin, longer", "projector and LoRA"
header = ["trained", *groups, "English, nat"]
print(f"{short['updates']} updates each; the blind twin {end}")
plots.table(rows, header)
alone = runs["projector alone", 0]["language"]
lab.claim("without LoRA English is as before", abs(alone - before) < 0.005)

# %% [markdown]
# The projector alone forgets nothing, and in so few updates it has learnt next to nothing either: it is
# behind the blind twin, which at least knows what form an answer has. With LoRA, kinds of emoji show
# that something is seen; on easy-VQA the short run is hardly better than blind. (It has also forgotten more
# English than the long one, 4.08. Read that column against 3.85 only.) LLaVA trains in two
# stages, on far more data: the projector alone first, then both.

# %% [markdown]
# ## 8. Teach it a colour · core
#
# Purple is not among easy-VQA's colours. SmolLM2 knows the *word*, and the image network has seen
# purple things. Does the model?

# %%
places = [(22, 22), (42, 24), (24, 42), (40, 40)]
shapes = ("circle", "rectangle", "triangle")


def pictures_of(colour, size):
    """Twelve pictures (12, 3, 64, 64): three shapes at four places."""
    drawn = [
        draw_shape(shape, colour, size, x, y)
        for shape in shapes
        for x, y in places
    ]
    return torch.stack(drawn)


asked = "what color is the shape?"
test = {
    name: pictures_of(name, 30)
    for name in ("purple", "red", "blue", "green", "yellow")
}


def says(colour):
    """How many of 12 pictures of a colour the model calls by its name."""
    said = eyes.ask_all(test[colour], [asked] * 12, most=4)
    return sum(text == colour for text in said)


print("purple before:", eyes.ask_all(test["purple"], [asked] * 12, most=4)[:4])

# %% [markdown]
# Eight updates, on twelve purple pictures of the same shapes at the same places, only smaller, and the
# one question.

# %% tags=["varies"]
kept_state = {
    name: p.detach().clone()
    for name, p in eyes.model.named_parameters()
    if p.requires_grad  # projector and low-rank changes
}


def teach(pictures, colours, updates=8):
    """Tunes projector and LoRA on what colour each picture has."""
    v = patch_features(eyes.backbone, pictures.float() / 255)
    rows = [[Instruction(i, asked, name)] for i, name in enumerate(colours)]
    batches = instruction_loader(tokenizer, rows, 9, size=6, seed=lab.seed)
    fit(
        eyes.model,
        lambda model, batch: answer_loss(model, v, batch),
        batches,
        config=FitConfig(epochs=updates, max_steps=updates, lr=1e-3),
        device="cpu",
        progress=False,
    )


def forget():
    """The model as it was."""
    for name, p in eyes.model.named_parameters():
        if name in kept_state:
            p.data.copy_(kept_state[name])


teach(pictures_of("purple", 24), ["purple"] * 12)
alone = {colour: says(colour) for colour in test}
for colour, right in alone.items():
    print(f"{colour:8} called {colour} in {right} of 12")

# %% [markdown]
# It has learnt to say purple. Has it learnt to *see* purple? Look at the other colours.
# The second try has red and blue pictures among the purple ones, but no green and no yellow:

# %% tags=["varies"]
forget()
some = ("purple", "red", "blue")
mixed = torch.cat([pictures_of(name, 24)[::3] for name in some])
teach(mixed, [name for name in some for _ in range(4)])
among = {colour: says(colour) for colour in test}
for colour, right in among.items():
    print(f"{colour:8} called {colour} in {right} of 12")
lab.claim("both learn to say purple", min(alone["purple"], among["purple"]) > 9)
lab.claim("alone, red and blue are lost", alone["red"] + alone["blue"] < 12)
lab.claim("among others, they are kept", among["red"] + among["blue"] > 20)
forget()

# %% [markdown]
# Twelve examples of one answer teach that answer, for other colours too. Examples of what is *not* purple
# teach the difference. Compare green and yellow: no picture of them was among the examples. The same holds for your own data: a table in which each question has one answer
# teaches nothing about pictures.

# %% [markdown]
# ## 9. How many visual tokens? · extra
#
# Nine is a choice. One token for the whole picture is cheaper, 25 keep places apart. Short runs, equal
# in all else:

# %%
rows = []
for label in ("1 token", "9 tokens", "25 tokens"):
    row = runs[label, 0]
    found = [share(row, kinds)[0] for kinds in groups.values()]
    shown = [
        f"{100 * i.value:.1f} ({100 * i.low:.1f} to {100 * i.high:.1f})"
        for i in found
    ]
    rows.append([label, *shown])
print(f"{runs['1 token', 0]['updates']} updates each")
plots.table(rows, ["visual tokens", *groups])

# %% [markdown]
# More tokens are not better here: 25 of them are behind nine at kinds of emoji. Nine lead the single one
# there, but the intervals overlap. But these runs are short, one seed each. They tell what is learnt first, not what is
# best in the end. Large models take hundreds of visual tokens, because they read text in pictures and
# count small things.

# %% [markdown]
# ## 10. On a GPU · extra
#
# The same code trains in minutes on a GPU. There, take the parts of a published model: nanoVLM joins
# SigLIP, an image network that was trained on captions, with this very SmolLM2, and trains on about
# two million conversations. `course_utils/datasets/conversations.py` reads their form. What changes is
# the image network and the data, not the idea.

# %% [markdown]
# ## 11. What you know now · core
#
# - A decoder reads vectors. A picture becomes vectors in the place of tokens, through a projector.
# - RMSNorm, rotary positions, grouped keys and SwiGLU are what is new in a modern decoder.
# - Only answers are scored, with the mark of their end.
# - A falling loss and fluent words don't show that a model looks. A blind twin and exchanged pictures
#   do.
# - A question that it was never taught to refuse, it answers.

# %%
quiz(
    [
        (
            "Why are queries and keys turned, and values not?",
            "Their product decides who looks at whom, and it should depend on"
            " the distance. Values are what is passed on; they need no place.",
        ),
        (
            "What does grouping keys save, and what not?",
            "Memory of the cache and the weights of keys and values. The"
            " number of queries, and so of attention maps, stays.",
        ),
        (
            "Why is the end mark scored?",
            "Without it the model never learns to stop and goes on writing.",
        ),
        (
            "The blind twin and the seeing model have the same loss after 50"
            " updates. Is something wrong?",
            "No. The form of answers is learnt first, and needs no picture.",
        ),
        (
            "A user's text contains <|im_end|>. What happens?",
            "It must be read as ordinary characters. Read as the mark, it"
            " would end the user's turn and let the text speak as the model.",
        ),
    ]
)

# %% [markdown]
# Papers, and what each showed:
#
# - Liu et al. 2023, *Visual Instruction Tuning* (LLaVA), [2304.08485](https://arxiv.org/abs/2304.08485): a projector between an image
#   network and a language model, trained on 158,000 generated turns, makes it answer about pictures.
# - Liu et al. 2023, *Improved Baselines with Visual Instruction Tuning*, [2310.03744](https://arxiv.org/abs/2310.03744): a projector of two
#   layers and plain academic VQA data improve it further.
# - Su et al. 2021, *RoFormer*, [2104.09864](https://arxiv.org/abs/2104.09864): rotary positions.
# - Zhang and Sennrich 2019, *Root Mean Square Layer Normalization*, [1910.07467](https://arxiv.org/abs/1910.07467).
# - Shazeer 2020, *GLU Variants Improve Transformer*, [2002.05202](https://arxiv.org/abs/2002.05202): MLPs with gates reach a lower loss; why, the
#   paper leaves open.
# - Ainslie et al. 2023, *GQA*, [2305.13245](https://arxiv.org/abs/2305.13245): grouped keys keep nearly all quality.
# - Allal et al. 2025, *SmolLM2*, [2502.02737](https://arxiv.org/abs/2502.02737).
# - Li et al. 2023, *Evaluating Object Hallucination in Large Vision-Language Models* (POPE), [2305.10355](https://arxiv.org/abs/2305.10355):
#   large models say yes to things that are not there, most often to things that are frequent.
#
# **Next:** lesson 15 asks whether a model sees time.

# ---
# jupyter:
#   course:
#     title: The joint representation h = Transformer(x, v)
#     needs: ["01", "02"]
# ---

# %% [markdown]
# A Transformer reads a row of vectors. Words can be made into vectors, and so can pieces of a
# picture. In this lesson you will
#
# - cut a picture into patches, and put words and patches into one sequence;
# - write the forward pass of the encoder $h = \mathrm{Transformer}(x, v)$, and find the package's
#   equal to the published VisualBERT;
# - see what VisualBERT cannot see, and why;
# - compare three ways to bring words and pictures together, by measurement, and by a proof
#   that is an extra;
# - test whether a model knows *which* object a question is about;
# - measure whether attention points at the object that a word names, and whether the answer needs
#   it.

# %% tags=["setup"]
import inspect
import math
from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from course_utils import world
from course_utils.checks import check, hint, quiz
from course_utils.datasets.text import encode
from course_utils.datasets.world_vqa import (
    WORLD_FAMILIES,
    from_world,
    world_data,
    world_tokenizer,
)
from course_utils.evaluation.baselines import mode_per_question
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods import answering
from course_utils.models.attention import MultiHeadAttention
from course_utils.models.convert import from_visual_bert
from course_utils.models.fusion import TwoTowerEncoder
from course_utils.models.joint import JointConfig, JointEncoder
from course_utils.models.vision import ConvStem, PatchStem
from course_utils.models.weights import load_weights
from course_utils.notebook import diagrams, lab, plots, widgets
from course_utils.studies import recipes
from course_utils.studies.fusion_longer import pair_questions
from course_utils.studies.runs import read_runs
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import nn
from transformers import (
    ViltConfig,
    ViltModel,
    VisualBertConfig,
    VisualBertModel,
)

# %% [markdown]
# ## 1. Two pictures that are one · core
#
# Here is a scene of the teaching world. Beside it is the same scene, cut into 16 square patches
# that were put back in another order.

# %%
scene = world.compose(
    [
        ("large", "red", "circle", 12, 13),
        ("small", "blue", "cross", 46, 14),
        ("large", "yellow", "square", 44, 46),
    ]
)
picture = torch.from_numpy(world.draw(scene))[0]  # (3, 64, 64) uint8


def patches_of(picture, side=16):
    """The square patches of a picture (3, 64, 64), row by row."""
    rows = picture.unfold(1, side, side).unfold(2, side, side)
    # rows (3, 4, 4, 16, 16), result (16, 3, 16, 16)
    return rows.permute(1, 2, 0, 3, 4).reshape(-1, 3, side, side)


def put_together(patches):
    """The inverse of `patches_of`: (16, 3, 16, 16) -> (3, 64, 64)."""
    side = patches.shape[-1]
    # (3, 4, 16, 4, 16)
    grid = patches.view(4, 4, 3, side, side).permute(2, 0, 3, 1, 4)
    return grid.reshape(3, 4 * side, 4 * side)


generator = torch.Generator().manual_seed(3)
disorder = torch.randperm(16, generator=generator)  # (16,)
mixed = put_together(patches_of(picture)[disorder])  # (3, 64, 64)

# %% tags=["figure"]
figure = plots.images_grid(
    [picture, mixed], ["a scene", "its patches in disorder"], size=2.6
)
plots.show(
    figure,
    alt=(
        "A scene with three shapes, and beside it the same 16 patches in"
        " disorder."
    ),
)

# %% [markdown]
# "Is the circle left of the cross?" can be answered from the left picture only. VisualBERT is a
# well-known model that reads words and pictures together. We build it small, with random weights,
# and give it the question and the pixels of the 16 patches.

# %% [markdown]
# Answers are read from its output at the first position. There `encode` puts an extra token
# `[CLS]`, which stands for no word. We look at this output three times: with each of the two
# pictures, and with a third one.

# %%
torch.manual_seed(lab.seed)
bert_sizes = VisualBertConfig(
    vocab_size=100,
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=128,
    visual_embedding_dim=768,
)
visual_bert = VisualBertModel(bert_sizes).eval()
tokenizer = world_tokenizer()
# (1, words) each
x, mask = encode(tokenizer, ["is the circle left of the cross?"])


def cls_of(picture):
    """VisualBERT's state of [CLS] for the question x and a picture: (64,)."""
    v = patches_of(picture).flatten(1)[None].float() / 255  # (1, 16, 768)
    with torch.no_grad():
        # (1, positions, 64)
        h = visual_bert(x, mask.long(), visual_embeds=v).last_hidden_state
    return h[0, 0]


# %%
other_scene = world.compose([("large", "teal", "triangle", 30, 34)])
other = torch.from_numpy(world.draw(other_scene))[0]  # (3, 64, 64)
same = (cls_of(mixed) - cls_of(picture)).abs().max()
different = (cls_of(other) - cls_of(picture)).abs().max()
print(f"largest difference to its patches in disorder: {same:.0e}")
print(f"largest difference to another scene:           {different:.0e}")
lab.claim(
    "VisualBERT's [CLS] is the same for a picture and for its patches in"
    " disorder",
    same < 1e-5 and different > 100 * same,
)

# %% [markdown]
# The difference is rounding. Fed in this way, no training can change that: whatever the parameters
# are, the two pictures are one to this model. To see why, and how to do better, we take it apart.

# %% [markdown]
# ## 2. Attention in two minutes · core
#
# Lesson 02 built attention. This is what we need of it. Attention answers one question for each
# position of a sequence: *which other positions should I read, and how much of each?* Every
# position has three vectors, made from its own vector by three learnt matrices:
#
# - a **query**: what it looks for;
# - a **key**: what it offers to be found by;
# - a **value**: what is read from it.

# %% [markdown]
# The score of position $i$ for position $j$ is the dot product of query $i$ and key $j$. A softmax
# turns the scores of one query into weights that add up to 1. The output is the weighted mean of
# the values. With queries, keys and values of width $d$ as rows of $Q$, $K$ and $V$:
#
# $$\mathrm{attention}(Q, K, V) = \mathrm{softmax}\!\Big(\frac{Q K^\top}{\sqrt{d}}\Big) V .$$
#
# By hand, with three positions of width 2. Position 0 looks for what position 1 offers.

# %%
q = torch.tensor([[0.0, 3.0], [1.0, 0.0], [0.0, 0.0]])  # (3, 2) queries
k = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])  # (3, 2) keys
value = torch.tensor([[10.0, 0.0], [0.0, 10.0], [5.0, 5.0]])  # (3, 2) values
scores = q @ k.T / math.sqrt(2)  # (3, 3): row i holds the scores of query i
weights = scores.softmax(1)  # (3, 3): rows add up to 1
print("weights\n", weights)
print("output\n", weights @ value)  # (3, 2)

# %% [markdown]
# Row 0: the score for position 1 is the largest, so nearly all that is read comes from there. Row 2
# has a query of zeros. It looks for nothing in particular, gets equal weights, and so the plain
# mean.
#
# Several **heads** do this side by side, each with its own matrices. A **mask** is True where a
# position may be read. Where it is False the weight is exactly 0.

# %% [markdown]
# ## 3. A picture as a row of vectors · core
#
# A picture of 64 x 64 pixels is cut into 16 patches of 16 x 16. Each has
# $3 \cdot 16 \cdot 16 = 768$ numbers. One matrix, the same for all patches, maps them to `dim`
# numbers: the **patch features** $v$. Written as a convolution whose stride is its kernel size, the
# cutting and the mapping are one step:

# %%
torch.manual_seed(lab.seed)
patch_stem = PatchStem(dim=64)
pixels = picture[None].float() / 255  # (1, 3, 64, 64)
with torch.no_grad():
    by_convolution = patch_stem(pixels)  # (1, 16, 64)
    flat = patches_of(pixels[0]).flatten(1)  # (16, 768)
    matrix = patch_stem.project.weight.flatten(1)  # (64, 768)
    by_matrix = flat @ matrix.T + patch_stem.project.bias  # (16, 64)
print(
    f"v has shape {tuple(by_convolution.shape)}; "
    f"largest difference {(by_convolution[0] - by_matrix).abs().max():.0e}"
)

# %% [markdown]
# Large models start from such patches and let many layers do the rest. Ours are small, so they
# start from a **convolutional stem**: four times a 3x3 convolution, normalisation, ReLU and
# max-pooling. It also ends in a 4x4 grid of features, and is called in the same way.

# %% [markdown]
# ## 4. One sequence · core
#
# Now the joint sequence, words first, then patches. Each word is the sum of three learnt vectors,
# and so is each patch:
#
# | | what it is | where it is | what kind it is |
# |---|---|---|---|
# | word $j$ | row $x_j$ of the token table | row $j$ of the position table | type 0 |
# | patch $p$ | projected feature $W v_p + b$ | row $p$ of the place table | type 1 |

# %% [markdown]
# Attention treats all positions alike. Without the second column it could not tell "the circle
# left of the cross" from "the cross left of the circle". The third column is a convention that
# comes from BERT. Here it could be left out: type 0 could be added to every row of the token table,
# and type 1 to $b$.


# %%
class Embedding(nn.Module):
    """Words and patches as one sequence of vectors, words first."""

    def __init__(self, vocab_size, max_words, visual_dim, patches, dim):
        super().__init__()
        self.token = nn.Embedding(vocab_size, dim)
        self.position = nn.Embedding(max_words, dim)
        self.token_type = nn.Embedding(2, dim)  # 0 word, 1 patch
        self.project = nn.Linear(visual_dim, dim)
        self.place = nn.Embedding(patches, dim)

    def forward(self, x, v):
        # (batch, words, dim)
        words = self.token(x) + self.position.weight[: x.shape[1]]
        words = words + self.token_type.weight[0]  # (batch, words, dim)
        patches = self.project(v) + self.place.weight  # (batch, patches, dim)
        patches = patches + self.token_type.weight[1]  # (batch, patches, dim)
        # (batch, words + patches, dim)
        return torch.cat([words, patches], dim=1)


# %% [markdown]
# > **Exercise 05.1 · write it** · core · difficulty 1 of 3 · 5 minutes
# >
# > The words come with a mask (batch, words), True where there is a word. Write the mask of the
# > joint sequence, (batch, words + patches): padding is left out, and every patch may be read.
# > Stuck? Run `hint("05.1")` in a new cell, and again for a second hint.


# %%
def joint_mask(mask, patches):
    """The mask of the joint sequence, bool (batch, words + patches)."""
    ### BEGIN SOLUTION
    # (batch, patches): there is always a picture
    seen = mask.new_ones(len(mask), patches)
    return torch.cat([mask, seen], dim=1)  # (batch, words + patches)
    ### END SOLUTION


# %%
joint_mask = check("05.1", joint_mask)

# %%
questions = [
    "is there a red circle?",
    "how many objects are there?",
    "what shape is the red object?",
]
x_three, mask_three = encode(tokenizer, questions)  # (3, words) each
print(joint_mask(mask_three, 4).int())

# %% [markdown]
# ## 5. The encoder · core
#
# A layer has two parts: attention, in which positions read from each other, and a small network
# with one hidden layer, which works on each position alone. What each part computes is *added* to
# what came in. We normalise before each part (pre-norm), as in lesson 02.


# %%
class Layer(nn.Module):
    """One pre-norm Transformer layer."""

    def __init__(self, dim, heads, mlp_dim):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = MultiHeadAttention(dim, heads)
        self.mlp = nn.Sequential(
            nn.Linear(dim, mlp_dim), nn.GELU(), nn.Linear(mlp_dim, dim)
        )

    def forward(self, h, mask):
        # (batch, positions, dim)
        h = h + self.attention(self.norm1(h), mask=mask)[0]
        return h + self.mlp(self.norm2(h))  # (batch, positions, dim)


# %% [markdown]
# The joint encoder on one drawing. From where words and patches meet, only their vectors tell them
# apart:

# %% tags=["figure"]
diagrams.flow(
    {
        "x": (0, 0, "words x"),
        "v": (0, 1, "patch features v"),
        "w": (1, 0, "token + position\n+ type 0"),
        "p": (1, 1, "W v + b + place\n+ type 1"),
        "s": (2, 0.5, "one sequence"),
        "l": (3, 0.5, "layers:\nall read all"),
        "h": (4, 0.5, "norm: h"),
    },
    [
        ("x", "w", "(batch, words)"),
        ("v", "p", "(batch, patches, ...)"),
        ("w", "s", ""),
        ("p", "s", ""),
        ("s", "l", "(batch, words\n+ patches, dim)"),
        ("l", "h", "same shape"),
    ],
    alt=(
        "Words and patch features each become vectors; both are put into one"
        " sequence, which goes through layers in which all positions read all,"
        " and one last normalisation gives h."
    ),
    marked=["s", "l", "h"],
)

# %% [markdown]
# > **Exercise 05.2 · write it** · core · difficulty 2 of 3 · 8 minutes
# >
# > Write the forward pass of the drawing. `embedding(x, v)` gives the sequence, each of `layers`
# > maps `(h, mask)` to a new `h`, and `norm` comes once, at the end. `mask` is that of the words;
# > the layers need the joint one.


# %%
def joint_forward(x, v, mask, embedding, layers, norm):
    """h = Transformer(x, v): (batch, words + patches, dim)."""
    ### BEGIN SOLUTION
    h = embedding(x, v)  # (batch, positions, dim)
    both = joint_mask(mask, v.shape[1])  # (batch, positions)
    for layer in layers:
        h = layer(h, both)  # (batch, positions, dim)
    return norm(h)  # (batch, positions, dim)
    ### END SOLUTION


# %%
joint_forward = check("05.2", joint_forward)


# %%
class Joint(nn.Module):
    """h = Transformer(x, v)."""

    def __init__(self, sizes):
        super().__init__()
        self.embedding = Embedding(
            sizes.vocab_size,
            sizes.max_words,
            sizes.visual_dim,
            sizes.patches,
            sizes.dim,
        )
        self.layers = nn.ModuleList(
            Layer(sizes.dim, sizes.heads, sizes.mlp_dim)
            for _ in range(sizes.layers)
        )
        self.norm = nn.LayerNorm(sizes.dim)

    def forward(self, x, v, mask):
        parts = self.embedding, self.layers, self.norm
        return joint_forward(x, v, mask, *parts)


# %%
sizes = JointConfig(
    dim=64,
    layers=2,
    heads=4,
    mlp_dim=128,
    visual_dim=64,
    vocab_size=tokenizer.get_vocab_size(),
)
torch.manual_seed(lab.seed)
joint = Joint(sizes)
v_three = torch.randn(3, 16, 64)  # (batch, patches, visual_dim)
print("h has shape", tuple(joint(x_three, v_three, mask_three).shape))

# %% [markdown]
# The package's `JointEncoder` is the same thing with a few options. It has the same parameters
# under the same names, so the weights can be handed over, and the outputs compared:

# %%
package = JointEncoder(sizes)
joint.load_state_dict(
    {n.removeprefix("encoder."): w for n, w in package.state_dict().items()}
)
with torch.no_grad():
    ours_h = joint(x_three, v_three, mask_three)  # (batch, positions, dim)
    difference = (ours_h - package(x_three, v_three, mask_three)).abs().max()
print(f"largest difference {difference:.0e}")
lab.claim(
    "what we built equals the package's encoder to 1e-5", difference < 1e-5
)

# %% [markdown]
# Does the mask do its work? We ask the same question once alone, and once in a batch with a longer
# one, so that it gets padding. With the mask, $h$ must not change:

# %%
alone, alone_mask = encode(tokenizer, questions[:1])  # (1, words): no padding
with torch.no_grad():
    h_alone = package(alone, v_three[:1], alone_mask)  # (1, positions, dim)
    h_batch = package(x_three, v_three, mask_three)[:1]  # (1, positions, dim)
    h_unmasked = package(x_three, v_three)[:1]  # (1, positions, dim)
for name, h in (("with the mask", h_batch), ("without", h_unmasked)):
    change = (h[:, 0] - h_alone[:, 0]).abs().max()
    print(f"{name:14} [CLS] changes by {change:.0e}")

# %% [markdown]
# ## 6. The same as VisualBERT, and better at one thing · core
#
# VisualBERT (Li et al. 2019) is a joint encoder too, with normalisations *after* each part. Our
# package has both orders, so the parameters of transformers' VisualBERT can be copied over, number
# by number. If both are the same function, the outputs agree, for a batch with padding too.

# %%
ours = from_visual_bert(visual_bert).eval()
pixels_three = torch.rand(3, 16, 768)  # (batch, patches, 3 * 16 * 16)
with torch.no_grad():
    theirs = visual_bert(
        x_three, mask_three.long(), visual_embeds=pixels_three
    ).last_hidden_state
    # (3, positions, 64)
    difference = (ours(x_three, pixels_three, mask_three) - theirs).abs()
# (3, positions)
words_and_patches = joint_mask(mask_three, 16)
print(f"largest difference {difference[words_and_patches].max():.0e}")
lab.claim(
    "our encoder equals transformers' VisualBertModel to 1e-5",
    difference[words_and_patches].max() < 1e-5,
)

# %% [markdown]
# So what was wrong in section 1? Let $P$ be a matrix that puts positions into another order. The
# queries, keys and values of $P H$ are $P Q$, $P K$ and $P V$. Let $A = Q K^\top / \sqrt d$ be the
# scores. In $P A P^\top$ the rows of $A$, and
# within each row its entries, stand in another order. A softmax over each row minds neither, so
# $\mathrm{softmax}(P A P^\top) = P\, \mathrm{softmax}(A)\, P^\top$. With $P^\top P = I$:
#
# $$\mathrm{softmax}\!\Big(\frac{P Q\, (P K)^\top}{\sqrt d}\Big) P V
#   = P\, \mathrm{softmax}\!\Big(\frac{Q K^\top}{\sqrt d}\Big) P^\top P V
#   = P \,\mathrm{attention}(Q, K, V) .$$

# %% [markdown]
# The other parts of a layer work on each position alone. So a Transformer is **equivariant**: the
# outputs move along with the inputs. The output at `[CLS]`, which has not moved, stays as it is.
#
# For words the position table prevents this. VisualBERT's patches have none: unless they come
# aligned with words (`image_text_alignment`), transformers gives position 0 to all of them:

# %%
source = inspect.getsource(type(visual_bert.embeddings).forward)
lines = [line.strip() for line in source.splitlines()]
sought = "visual_position_ids = torch.zeros"
start = [i for i, line in enumerate(lines) if sought in line][:1]
print("\n".join(lines[start[0] : start[0] + 3] if start else lines))

# %% [markdown]
# VisualBERT was made for features of detected objects. Two models of the same year, ViLBERT
# ([1908.02265](https://arxiv.org/abs/1908.02265)) and LXMERT
# ([1908.07490](https://arxiv.org/abs/1908.07490)), add the coordinates of each object's box to its
# features. Our `place` table does the same for patches. Side by side:

# %%
placed = JointEncoder(ours.config).eval()  # the same sizes, with places
with torch.no_grad():
    both = {"VisualBERT's embedding": ours, "with places": placed}
    for name, encoder in both.items():
        h = encoder(x_three, pixels_three, mask_three)  # (3, positions, 64)
        # (3, positions, 64)
        h_mixed = encoder(x_three, pixels_three[:, disorder], mask_three)
        cls = (h_mixed[:, 0] - h[:, 0]).abs().max()
        moved = (h_mixed[:, -16:] - h[:, -16:][:, disorder]).abs().max()
        print(f"{name:23} [CLS] changes by {cls:.0e}, patches by {moved:.0e}")
lab.claim("with places [CLS] notices the disorder", cls > 1e-3)

# %% [markdown]
# > **Exercise 05.3 · choose** · core · difficulty 1 of 3 · 3 minutes
# >
# > Now put the patch features *and* the rows of the place table into the same new order. What
# > changes in $h$: `"all"` outputs, `"patches"` (their outputs move to other positions, `[CLS]` and
# > the words keep theirs), or `"nothing"`?

# %%
what_changes = None
### BEGIN SOLUTION
# each feature keeps its place vector: the patches are the same set, reordered
what_changes = "patches"
### END SOLUTION

# %%
what_changes = check("05.3", what_changes)

# %% tags=["result"]
with torch.no_grad():
    h = placed(x_three, pixels_three, mask_three)  # (3, positions, 64)
    place = placed.embedding.place.weight
    place.copy_(place[disorder].clone())  # (16, 64)
    h_mixed = placed(x_three, pixels_three[:, disorder], mask_three)
cls = (h_mixed[:, 0] - h[:, 0]).abs().max()
moved = (h_mixed[:, -16:] - h[:, -16:][:, disorder]).abs().max()
print(f"[CLS] changes by {cls:.0e}; each patch's output, found at its new")
print(f"position, by {moved:.0e}")

# %% [markdown]
# ## 7. Three ways to bring words and picture together · core
#
# The joint encoder fuses **early**: from the first layer on, every word may read every patch, and
# every patch every word. Two alternatives are in use.
#
# **Late** fusion has two towers, as in CLIP. One Transformer reads the words, another one the
# patches. Only their summaries $t$ and $u$, one vector each, ever meet:

# %% tags=["figure"]
diagrams.flow(
    {
        "x": (0, 0, "words x"),
        "v": (0, 1, "patches v"),
        "t": (1, 0, "text tower:\nwords read words"),
        "u": (1, 1, "picture tower:\npatches read patches"),
        "f": (2, 0.5, "one linear map\nof [t, u, t * u]"),
        "h": (3, 0.5, "h"),
    },
    [
        ("x", "t", ""),
        ("v", "u", ""),
        ("t", "f", "t of [CLS]\n(batch, dim)"),
        ("u", "f", "u, the mean\n(batch, dim)"),
        ("f", "h", "(batch, 1, dim)"),
    ],
    alt=(
        "Late fusion: words and patches go through a tower each; the summaries"
        " t and u are put together by one linear map, which gives h."
    ),
    marked=["f"],
)

# %% [markdown]
# **Cross-attention**, as in ALBEF and BLIP: the words read each other, then the patches. The
# patches never read the words. In ALBEF and BLIP a Transformer over the patches comes first; ours
# has none.

# %% tags=["figure"]
diagrams.flow(
    {
        "x": (0, 0, "words x"),
        "s": (1, 0, "words read\nwords"),
        "c": (2, 0, "words read\npatches"),
        "m": (3, 0, "small network"),
        "h": (4, 0, "h"),
        "v": (2, 1, "patches v"),
    },
    [
        ("x", "s", "(batch, words, dim)"),
        ("s", "c", ""),
        ("c", "m", ""),
        ("m", "h", "(batch, words, dim)"),
        ("v", "c", "(batch, patches, dim)"),
        ("m", "s", "next layer"),
    ],
    alt=(
        "Cross-attention: in each layer the words read the words, then the"
        " patches, then go through a small network; h has the words' positions"
        " only."
    ),
    marked=["c"],
)

# %% [markdown]
# Who may read whom is a matter of which squares below are filled. The lighter ones are read in a
# second attention, after the first:

# %% tags=["figure"]
names = ["w1", "w2", "w3", "p1", "p2", "p3", "p4"]
early = np.ones((7, 7))
late, cross = np.zeros((7, 7)), np.zeros((7, 7))
late[:3, :3] = late[3:, 3:] = 1
cross[:3, :3], cross[:3, 3:] = 1, 0.5
panels = {
    "early (joint): all read all": early,
    "late: each side reads itself": late,
    "cross: words, then patches": cross,
}
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
for axis, (title, allowed) in zip(axes, panels.items()):
    axis.imshow(allowed, cmap="Blues", vmin=0, vmax=1.3)
    axis.set_xticks(range(7), names)
    axis.set_yticks(range(7), names)
    axis.set(title=title, xlabel="is read (key)", ylabel="reads (query)")
plots.show(
    figure,
    alt=(
        "Three 7x7 grids of words and patches: early all filled; late two"
        " filled blocks on the diagonal; cross the rows of the words only."
    ),
)

# %% [markdown]
# The filled squares are also what a layer costs:

# %%
words = 12
for patches in (16, 576):  # 576: 24 x 24 patches
    print(
        f"{patches:3} patches: early {(words + patches) ** 2:7,},"
        f" late {words**2 + patches**2:7,},"
        f" cross {words * (words + patches):6,} scores per head; of the picture"
        f" alone {patches**2:7,}"
    )

# %% [markdown]
# Early fusion pays all of it for each question. In late fusion the largest part is the picture's
# alone: computed once, stored, and used for every question. Our cross-attention has no tower for the
# picture; with one, as in ALBEF, that part comes once per picture as well.

# %% [markdown]
# > **Exercise 05.4 · write it** · core · difficulty 2 of 3 · 12 minutes
# >
# > Write cross-attention with one head and without biases: words `h` (batch, words, dim) read the
# > patches `context` (batch, patches, dim). The matrices (dim, dim) are multiplied from the right.


# %%
def cross_attention(h, context, w_q, w_k, w_v):
    """What the words h read from the context: (batch, words, dim)."""
    ### BEGIN SOLUTION
    q = h @ w_q  # (batch, words, dim)
    k, value = context @ w_k, context @ w_v  # (batch, patches, dim) each
    # (batch, words, patches)
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    return scores.softmax(dim=-1) @ value  # (batch, words, dim)
    ### END SOLUTION


# %%
cross_attention = check("05.4", cross_attention)

# %% [markdown]
# All three are called in the same way, so that one can be put in the place of another:

# %%
for name, fusion in answering.FUSIONS.items():
    torch.manual_seed(lab.seed)
    encoder = fusion(sizes)
    h = encoder(x_three, v_three, mask_three)  # (batch, positions, dim)
    print(
        f"{name:6} h {tuple(h.shape)!s:12} "
        f"{sum(p.numel() for p in encoder.parameters()):,} parameters"
    )

# %% [markdown]
# They are not equally deep. Late fusion divides its layers: of two, each tower gets one. A cross
# layer has two attentions, one after the other, so its words get two chances to read, and it has
# more parameters. Keep this in mind for section 8.

# %% [markdown]
# ### What a dot product of two towers cannot do · extra
#
# A search engine has $n$ texts and $m$ pictures and wants a score for each pair. With two
# towers it can use $s_{ij} = t_i \cdot u_j$. Write the $t_i$ as rows of $T$ $(n, d)$ and the $u_j$
# as rows of $U$ $(m, d)$. Then
#
# $$S = T\, U^\top \quad\Rightarrow\quad \operatorname{rank} S \le d .$$

# %% [markdown]
# The **rank** of a matrix is the least number of products "column times row" that add up to it, and
# $T U^\top$ is a sum of $d$ such products. It is also the number of its **singular values** that are
# not 0. The bound holds for all weights and all training, so untrained encoders will do to see
# it. In 64-bit numbers, values below about $10^{-13}$ of the first are rounding.

# %%
pool = world.generate("iid", "test", scenes=80, seed=lab.seed)
asked = sorted(set(pool.questions))[::3][:60]
x_rank, mask_rank = encode(tokenizer, asked)  # (questions, words) each
torch.manual_seed(lab.seed)
stem = ConvStem(64).double().eval()
with torch.no_grad():
    # (pictures, 16, 64)
    v_rank = stem(torch.from_numpy(pool.images).double() / 255)


# %%
def narrow(dim):
    """Sizes of an encoder of width `dim`."""
    return JointConfig(dim=dim, heads=2, vocab_size=tokenizer.get_vocab_size())


def late_scores(dim):
    """Dot products of untrained towers: (questions, pictures)."""
    towers = TwoTowerEncoder(narrow(dim)).double().eval()
    return towers.scores(x_rank, v_rank, mask_rank)


def early_scores(dim):
    """A linear score of [CLS] for each pair, from an untrained joint encoder:
    (questions, pictures)."""
    encoder = JointEncoder(narrow(dim)).double().eval()
    to_score, n = nn.Linear(dim, 1).double(), len(v_rank)
    rows = [
        encoder(x.expand(n, -1), v_rank, m.expand(n, -1), keep=1)
        for x, m in zip(x_rank, mask_rank)
    ]  # each (pictures, 1, dim)
    return torch.stack([to_score(h[:, 0])[:, 0] for h in rows])


# %%
curves = {}
with torch.no_grad():
    for dim in (4, 16):
        curves[f"late, d = {dim}"] = torch.linalg.svdvals(late_scores(dim))
    curves["early, d = 4"] = torch.linalg.svdvals(early_scores(4))  # (60,)

# %% tags=["figure"]
figure, axis = plt.subplots(figsize=(6.4, 3.4))
for (name, values), marker in zip(curves.items(), "osx"):
    at, style = range(1, len(values) + 1), {"markersize": 4, "label": name}
    axis.semilogy(at, values / values[0], marker, **style)
axis.axhline(1e-13, color="grey", linestyle="--", label="rounding")
axis.set(
    xlabel="number of the singular value",
    ylabel="size, relative to the first",
    ylim=(3e-14, 3),  # what lies below is rounding, another on each machine
    title="Two towers: after d values there is nothing left",
)
axis.legend()
plots.show(
    figure,
    alt=(
        "Singular values of three score matrices. Late fusion drops to rounding"
        " after 4 and after 16 values; early fusion of width 4 has no such"
        " step."
    ),
)

# %%
ranks = [(v > 1e-13 * v[0]).sum().item() for v in curves.values()]
for name, rank in zip(curves, ranks):
    print(f"{name:12} rank {rank:2} of {len(curves[name])}")
late_4, late_16, early_4 = ranks
lab.claim(
    "the scores of two towers have rank d at most, those of early fusion a"
    " higher one",
    late_4 <= 4 and late_16 <= 16 and early_4 > 16,
)

# %% [markdown]
# The step goes down to rounding. Before training it comes even one value early: the towers end in
# a normalisation, so the entries of $u$ add up to 0, and one direction is not used. Early fusion of
# width 4 has no such step, because a nonlinear computation is made for each pair.

# %% [markdown]
# What does the limit cost? A limit on *scores* need not be one on *decisions*. The extreme case: a
# table in which each picture belongs to exactly one text has full rank, but with a threshold
# *three* numbers per vector are enough, for any size.

# %% [markdown]
# Put text and picture $i$ at the angle $\alpha_i = 2 \pi i / n$, with
# $t_i = (\cos \alpha_i, \sin \alpha_i, 1)$ and $u_j = (\cos \alpha_j, \sin \alpha_j, -c)$. Then
# $t_i \cdot u_j = \cos(\alpha_i - \alpha_j) - c$. For $i = j$ this is $1 - c$, which is positive
# if $c < 1$. For $i \ne j$ it is at most $\cos(2 \pi / n) - c$, which is negative if
# $c > \cos(2 \pi / n)$. We take $c = \cos(\pi / n)$:

# %%
n = 100
angle = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n  # (n,)
c = math.cos(math.pi / n)
t = torch.stack([angle.cos(), angle.sin(), torch.ones(n)], dim=1)  # (n, 3)
# (n, 3)
u = torch.stack([angle.cos(), angle.sin(), torch.full((n,), -c)], dim=1)
matches = t @ u.T > 0  # (n, n)
print(
    f"rank of the scores {torch.linalg.matrix_rank(t @ u.T)}, "
    f"rank of the matches {torch.linalg.matrix_rank(matches.double())}"
)
lab.claim(
    "scores of rank 3 separate 100 matching pairs from all others",
    torch.equal(matches, torch.eye(n, dtype=torch.bool)),
)

# %% [markdown]
# How many numbers per vector the decisions of a table need is its *sign rank*. Weller et al.
# ([2508.21038](https://arxiv.org/abs/2508.21038)) show that for each width there are sets of best
# matches that no two towers can retrieve, and that it happens with simple texts. The late model of
# section 8 reads $[t, u, t \odot u]$ with a small network, so this limit is not its limit.

# %% [markdown]
# > **Exercise 05.5 · choose** · extra · difficulty 1 of 3 · 4 minutes
# >
# > You have a million pictures, and a new text comes in every second. You want the best matching
# > picture for each. Whatever depends on pictures alone was computed before and stored. Which of
# > `"early"`, `"cross"`, `"late"` do you take, and how many passes through a Transformer does a new
# > text then need? Answer with a pair.

# %%
my_choice = None
### BEGIN SOLUTION
# the text tower reads the text; the rest is a million dot products
my_choice = ("late", 1)
### END SOLUTION

# %%
my_choice = check("05.5", my_choice)

# %% [markdown]
# Early and cross fusion would need a pass for each pair of the text and a picture. In practice both
# are used: two towers find the best hundred, and a joint model puts these in order.

# %% [markdown]
# ## 8. Which fusion is better? · core
#
# Nine models were trained beforehand, three fusions with three seeds each, and six of the nine were
# not trained to the end: the joint and the late ones miss many of their own training questions. So
# this section shows what each fusion has learnt after eight passes over the data, and not how good
# it can become.

# %% [markdown]
# Alike are the width (64), the heads (8, of width 8), the data and the number of updates. Each
# model has three parts: the stem (picture to $v$), the encoder ($x$ and $v$ to $h$), and an answer
# **head**, a small network from $h$ at `[CLS]` to one number for each answer, of which the largest
# wins. Lesson 08 trains such a model. This is the recipe; one run takes some minutes on a CPU core.

# %%
print(inspect.getsource(recipes.train_world))

# %%
families = WORLD_FAMILIES
drawn = world.generate("iid", "test", 500, 4, families, lab.seed)
trained_on = world_data("train", 8000)  # as in the recipe
training = trained_on.select(trained_on.image_index < 500)
test = from_world(drawn)
models, results = {}, {}
for fusion in answering.FUSIONS:
    for run in range(3):
        model = answering.world_model(test, fusion)
        path = lab.data_path(f"checkpoints/world_{fusion}_{run}.safetensors")
        models[fusion, run] = load_weights(model, path).eval().to(lab.device)
        results[fusion, run] = {
            part: evaluate(models[fusion, run], data).by_family
            for part, data in (("training", training), ("test", test))
        }
print(
    f"{len(test):,} questions about {len(test.images)} new pictures,"
    f" {len(training):,} about {len(training.images)} of the training pictures"
)

# %% [markdown]
# Two baselines stand beside them. *Chance* picks one of a question's possible answers. *Blind* gives
# the most common training answer to each question. The world is balanced, so it should do no better.
# A third one sees the picture and ignores which object is named: it says the answer that most of
# the questions that can be asked of this picture have.


# %%
def guess_without_name(drawn, family):
    """Share right of who says the most common answer of the picture."""
    about = (drawn.family == world.FAMILIES.index(family)).nonzero()[0]
    programs = world.all_programs(family)
    # (programs, scenes): -1 where it can't be asked
    asked = np.stack([world.answers_of(p, drawn.scenes) for p in programs])
    shares = []
    for i in about:
        can = asked[:, drawn.scene_index[i]]
        counts = np.bincount(can[can >= 0])  # (answers,)
        most = counts == counts.max()
        shares.append(most[drawn.answers[i]] / most.sum())
    return float(np.mean(shares))


# %%
def over_runs(shares):
    """Mean ± standard deviation of three runs, in per cent."""
    return lab.mean_spread([100 * share for share in shares], "%")


blind = mode_per_question(trained_on, test).by_family
chance = {
    f: drawn.chance[drawn.family == world.FAMILIES.index(f)].mean()
    for f in families
}
nameless = {f: guess_without_name(drawn, f) for f in ("colour", "shape")}
rows = [
    [
        name,
        *(f"{100 * shares[f]:.0f} %" if f in shares else "–" for f in families),
    ]
    for name, shares in (
        ("chance", chance),
        ("blind", blind),
        ("a guess without the name", nameless),
    )
]
for fusion in answering.FUSIONS:
    for part in ("training", "test"):
        of_runs = [results[fusion, run][part] for run in range(3)]
        texts = [over_runs([s[f] for s in of_runs]) for f in families]
        rows.append([f"{fusion}, {part}", *texts])
header = "mean ± standard deviation of three seeds"
plots.table(rows, header=[header, *families])

# %% tags=["figure"]
figure, axis = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
for i, (fusion, marker) in enumerate(zip(answering.FUSIONS, "os^")):
    colour = plots.PALETTE[i]
    for part, shift in (("training", -0.05), ("test", 0.05)):
        of_runs = [results[fusion, run][part] for run in range(3)]
        shares = 100 * np.array([[s[f] for f in families] for s in of_runs])
        place = np.arange(len(families)) + 0.26 * (i - 1) + shift
        axis.plot(
            np.tile(place, 3),
            shares.ravel(),
            marker,
            color=colour,
            markerfacecolor="none" if part == "training" else colour,
            label=f"{fusion}, {part}",
        )
at = np.arange(len(families))
heights = [100 * chance[f] for f in families]
axis.hlines(
    heights, at - 0.4, at + 0.4, colors="grey", linestyles="--", label="chance"
)
axis.set_xticks(range(len(families)), families)
axis.set(
    ylabel="right (%)",
    ylim=(0, 104),
    title="Joint and late are not trained to the end:\nthey miss their own"
    " training questions as well",
)
figure.legend(ncols=4, fontsize=8, loc="outside lower center")
plots.show(
    figure,
    alt=(
        "Accuracy of joint, late and cross fusion for four families of"
        " questions, three runs each, on training questions as open and on test"
        " questions as filled markers, and chance as dashed lines. On colour"
        " and shape joint and late are near 75 per cent on both, cross near"
        " 100."
    ),
)

# %%
lab.claim(
    "each cross model answers 98 % of its own training questions on colour and"
    " on shape, no joint or late one 90 %",
    all(
        s["training"][f] > 0.98 if key[0] == "cross" else s["training"][f] < 0.9
        for key, s in results.items()
        for f in ("colour", "shape")
    ),
)

# %% [markdown]
# Blind does no better than chance, as it should. No fusion is more than a few points better on its
# training questions than on new ones. So what joint and late lack here is not more pictures. They
# have not learnt the questions on colour and shape that they were shown. On new ones they are about
# as good as the guess that ignores the name.

# %% [markdown]
# ### Does it know which object is meant?
#
# Accuracy hides something. Where all objects have one colour, or there is only one object, nobody has
# to know which one is meant. Knowing which colour belongs to which shape is called **binding**.
#
# A test of binding needs no baseline to guess against. Ask about two objects of one picture whose
# answers differ. Who ignores the name gives the same answer twice, and never gets both right.

# %%
pairs = {f: pair_questions(drawn, f, lab.seed) for f in ("colour", "shape")}
for name, both in pairs.items():
    first = f"{both.questions[0]} / {both.questions[1]}"
    print(f"{name}: {len(both.questions) // 2} pairs, such as: {first}")

# %% [markdown]
# > **Exercise 05.6 · write it** · core · difficulty 2 of 3 · 8 minutes
# >
# > Questions 0 and 1 are about one picture and make a pair, so do 2 and 3, and so on. Both arguments
# > hold answer ids, (2 pairs,). Return two shares between 0 and 1: of pairs with *both* answers
# > right, and of pairs to which the model gave the same answer twice.


# %%
def pair_test(predictions, answers):
    """Share of pairs with both answers right, and with the same answer
    twice."""
    ### BEGIN SOLUTION
    given, true = predictions.view(-1, 2), answers.view(-1, 2)  # (pairs, 2)
    both = (given == true).all(1)  # (pairs,)
    same = given[:, 0] == given[:, 1]  # (pairs,)
    return both.double().mean().item(), same.double().mean().item()
    ### END SOLUTION


# %%
pair_test = check("05.6", pair_test)

# %%
bound, rows = {}, []
for name, both in pairs.items():
    guess = mode_per_question(trained_on, from_world(both))
    bound["blind", name] = pair_test(guess.predictions, guess.y)
rows.append(
    ["blind"] + [f"{100 * s:.1f} %" for f in pairs for s in bound["blind", f]]
)
for (fusion, run), model in models.items():
    for name, both in pairs.items():
        found = evaluate(model, from_world(both))
        bound[fusion, run, name] = pair_test(found.predictions, found.y)
    texts = [f"{100 * s:.1f} %" for f in pairs for s in bound[fusion, run, f]]
    rows.append([f"{fusion}, run {run}", *texts])
header = ["pairs", "colour: both right", "same answer"]
plots.table(rows, header=[*header, "shape: both right", "same answer"])

# %%
lab.claim(
    "each cross model gets both right in 95 % of the pairs, no joint or late"
    " model in 60 %",
    all(
        share > 0.95 if key[0] == "cross" else share < 0.6
        for key, (share, _) in bound.items()
    ),
)
lab.claim(
    "each joint and late model gives the same answer twice more often than each"
    " cross model, by 30 points",
    all(
        bound[fusion, run, f][1] > bound["cross", other, f][1] + 0.3
        for fusion in ("joint", "late")
        for run in range(3)
        for other in range(3)
        for f in pairs
    ),
)

# %% [markdown]
# The cross models bind, nearly always. The joint and late ones give the same answer twice in about
# half of the pairs, or in nearly all. The runs of one fusion differ. Is joint ahead of late? Welch's
# t turns the spread of three runs a side into an interval. It holds the true difference 95 times in
# 100, if such runs scatter normally. With three runs it is wide:

# %%
for name in pairs:
    of_joint, of_late = (
        [100 * bound[fusion, run, name][0] for run in range(3)]
        for fusion in ("joint", "late")
    )
    interval = stats.ttest_ind(
        of_joint, of_late, equal_var=False
    ).confidence_interval()
    print(
        f"{name}: joint - late {np.mean(of_joint) - np.mean(of_late):.1f}"
        f" points, 95 % interval {interval.low:.0f} to {interval.high:.0f}"
    )

# %% [markdown]
# Both intervals hold 0, so three runs do not show a lead.

# %% [markdown]
# ### Only later?
#
# Can joint fusion not bind, or is it only later? Joint run 0, the best of its three on shape pairs,
# was trained on for twelve more passes over the same data. The learning rate rose and fell once
# more. The pass was chosen on validation, as before.

# %%
longer = read_runs(lab.data_path("studies/fusion_longer.json"))
for row in longer:
    key = row["fusion"], row["seed"]
    for f in pairs:
        shares = [100 * row[part][f] for part in ("test", "pairs")]
        print(
            f"{key[0]}, run {key[1]}, {f}: test {shares[0]:.1f} %,"
            f" both of a pair {shares[1]:.1f} %"
        )
        lab.claim(
            f"trained on, it gets 25 more of 100 pairs right: {f}",
            row["pairs"][f] > bound[*key, f][0] + 0.25,
        )

# %% tags=["figure"]
figure, axis = plt.subplots(figsize=(6.4, 3.2))
for row, style in zip(longer, ("-", ":")):
    for (f, shares), colour in zip(
        row["validation_pairs"].items(), plots.PALETTE
    ):
        passes = np.arange(8, 8 + len(shares))  # (passes,)
        label = f"{row['fusion']}, {f}"
        axis.plot(
            passes, 100 * np.array(shares), style, color=colour, label=label
        )
axis.axhline(0, color="grey", linewidth=0.8)
axis.set(
    xlabel="passes over the training data",
    ylabel="both of a pair right (%)",
    ylim=(-3, 103),
    title="Joint run 0 is only later: trained on, it learns to bind",
)
axis.legend()
plots.show(
    figure,
    alt=(
        "Share of validation pairs with both answers right over the passes of"
        " joint run 0, from 8 to 20: colour rises from 31 to 85 per cent, shape"
        " from 20 to 87."
    ),
)

# %% [markdown]
# It was only later. The same model with the same fusion now gets most pairs right. Had we stopped at the table, we would have said that joint fusion can't
# bind. What the table shows is that cross fusion learns it in fewer passes.
#
# This is one run. Other seeds, and late fusion for longer, were not measured.

# %% [markdown]
# What makes cross faster here? The models differ in more than who reads whom. In a cross layer the
# words read each other before they read the picture, so `[CLS]` knows in the first layer that red
# is asked for; it has a softmax for the patches alone, two attentions, and more parameters. This
# experiment can't tell these apart.

# %% [markdown]
# The question is an old one. Bugliarello et al. 2021
# ([2011.15124](https://arxiv.org/abs/2011.15124)) trained five published models of both kinds under
# the same conditions, and found that training data and hyperparameters explain most of the
# reported differences. METER (Dou et al. 2022, [2111.02387](https://arxiv.org/abs/2111.02387))
# compares merged attention with co-attention, in which each side reads the other.

# %% [markdown]
# We go on with the joint encoder, because it is the model of this course's loss (lesson 06) and
# needs no second kind of layer. Lesson 10 keeps an eye on binding.
#
# *To find out yourself*, in some minutes per run: change `layers` in `answering.world_model` or
# `epochs` in `recipes.WORLD_FIT` in your copy of the package, then
# `python -m course_utils.studies.recipes world_joint_0 --out joint3.safetensors`.

# %% [markdown]
# ### Does a trained model use its places? · extra

# %% [markdown]
# > **Exercise 05.7 · predict first** · extra · difficulty 1 of 3 · 3 minutes
# >
# > Take the trained cross models, and put the 16 patch features of each picture into disorder
# > before they enter the encoder, always in the same wrong order. In per cent: how many of the
# > questions that begin with "is there a" will be answered correctly then?

# %%
my_prediction = None
### BEGIN SOLUTION
my_prediction = 70.0  # a guess, written down before the measurement
### END SOLUTION

# %%
my_prediction = check("05.7", my_prediction)


# %%
class Disorder(nn.Module):
    """A stem whose patches come out in another order."""

    def __init__(self, stem, order):
        super().__init__()
        self.stem, self.order = stem, order

    def forward(self, images):
        return self.stem(images)[:, self.order]  # (images, patches, dim)


in_disorder = []
for run in range(3):
    model = answering.world_model(test, "cross")
    model.load_state_dict(models["cross", run].state_dict())
    model.stem = Disorder(model.stem, disorder)
    in_disorder.append(evaluate(model.to(lab.device), test).by_family)

# %% tags=["result"]
in_order = [results["cross", run]["test"] for run in range(3)]
rows = [
    [f"cross, {name}", *(over_runs([s[f] for s in shares]) for f in families)]
    for name, shares in (("in order", in_order), ("in disorder", in_disorder))
]
plots.table(rows, header=["patches", *families])

# %% tags=["result"]
found = over_runs([shares["exists"] for shares in in_disorder])
print(f"predicted: {my_prediction:.0f} %, measured: {found}")
lab.claim(
    "disorder costs less than 4 points on average in each family",
    all(
        np.mean([a[f] - b[f] for a, b in zip(in_order, in_disorder)]) < 0.04
        for f in families
    ),
)

# %% [markdown]
# Almost nothing happens. These models answer nearly everything, they have places, and
# section 6 showed that `[CLS]` can notice the disorder. But no question of these four families asks
# *where* something is, so training had little reason to use places. Only the order of the features
# is changed here: the stem saw the picture in order.

# %% [markdown]
# A model may be blind to something without any test noticing it. Before you believe that a model
# sees places, ask about places. Lesson 04 did so with a Transformer over patches: without a table
# of places it answered left or right as well as a coin, and with one nearly always.

# %% [markdown]
# ## 9. Does attention point at what the word names? · core
#
# Three questions, one after the other. Does a head point at the named object? Does the answer
# suffer if that patch is taken away? Does it suffer if the heads are switched off?
#
# "What shape is the **red** object?" To answer, a model has to find the red object. We take
# pictures with at least two objects, one of which is the only one of its colour and of its shape,
# and ask for its shape. A head **points** if its largest weight among the 16 patches falls on a patch that the
# object's box touches.

# %% [markdown]
# Whose attention do we look at? The answer is read from `[CLS]`, so in the last layer only what
# `[CLS]` reads can matter: what the word "red" reads there reaches nothing. In the first layer
# `[CLS]` of a joint model cannot know of "red" yet, but the word itself can look. So there are two
# places: **the word's row in the first layer** and **`[CLS]`'s row in the last one**.


# %% tags=["setup"]
def patches_touched(box):
    """Which of the 4x4 patches each box (n, 4) touches: bool (n, 16)."""
    start = np.arange(0, 64, 16)  # (4,)
    across = (box[:, :1] < start + 16) & (box[:, 2:3] > start)  # (n, 4)
    down = (box[:, 1:2] < start + 16) & (box[:, 3:] > start)  # (n, 4)
    both = down[:, :, None] & across[:, None, :]  # (n, 4, 4)
    return torch.from_numpy(both.reshape(-1, 16))


def middle_of(box):
    """The number of the patch in the middle of each box (n, 4): (n,)."""
    row, column = (box[:, 1] + box[:, 3]) // 32, (box[:, 0] + box[:, 2]) // 32
    return torch.from_numpy(row * 4 + column)


# %% tags=["setup"]
def pointing_data(part, scenes):
    """Pictures with an object that is the only one of its colour and of its
    shape."""
    drawn = world.generate("iid", part, scenes=scenes, seed=lab.seed + 10)
    # (scenes, 4), (scenes,)
    colour, count = drawn.scenes.colour, drawn.scenes.count
    # (scenes, 4)
    alone = (colour[:, :, None] == colour[:, None, :]).sum(2) == 1
    shape = drawn.scenes.shape  # (scenes, 4)
    alone &= (shape[:, :, None] == shape[:, None, :]).sum(2) == 1
    alone &= (colour >= 0) & (count[:, None] > 1)  # (scenes, 4)
    rows = alone.any(1).nonzero()[0]  # (n,)
    rng = np.random.default_rng(lab.seed)
    # (n,) one of them, at random
    which = (alone[rows] * rng.random((len(rows), 4))).argmax(1)
    chosen, n = drawn.scenes.select(rows), np.arange(len(rows))
    names = np.array(list(world.COLOURS))[colour[rows, which]]  # (n,)
    box = world.boxes(chosen)[n, which]  # (n, 4) of the named object
    return SimpleNamespace(
        images=torch.from_numpy(drawn.images[rows]).float() / 255,
        questions=[f"what shape is the {name} object?" for name in names],
        scenes=chosen,
        which=which,  # (n,) the named object
        target=patches_touched(box),  # (n, 16)
        middle=middle_of(box),  # (n,)
        shape=chosen.shape[n, which],  # (n,) the right answer
    )


# %%
PLACES = ("the word, first layer", "[CLS], last layer")
# of each place: layer and position; the colour word is at position 5
ROWS = ((0, 5), (1, 0))


@torch.no_grad()
def to_patches(model, images, questions):
    """Attention to the patches in both places: (2 places, n, heads, 16)."""
    # (n, words): [CLS] what shape is the red object
    x, mask = encode(tokenizer, questions)
    batch = (images, torch.arange(len(images)), x, mask)
    layers = model.attention(*(t.to(lab.device) for t in batch))
    # the last 16 keys
    return torch.stack([layers[i][:, :, row, -16:].cpu() for i, row in ROWS])


# %% [markdown]
# > **Exercise 05.8 · write it** · core · difficulty 2 of 3 · 8 minutes
# >
# > `weights` (n, heads, patches) is the attention to the patches in n pictures. `target`
# > (n, patches), bool, is True for patches of the named object. For each head: in which share of the
# > pictures does it point at the object?


# %%
def pointing(weights, target):
    """Share of pictures in which each head points at the target: (heads,)."""
    ### BEGIN SOLUTION
    first = weights.argmax(-1)  # (n, heads): the patch of the largest weight
    hits = target.gather(1, first)  # (n, heads)
    return hits.double().mean(0)  # (heads,)
    ### END SOLUTION


# %%
pointing = check("05.8", pointing)

# %% [markdown]
# Each place has 8 heads. Which one to report? Choosing the best one *on the pictures that are
# reported* would be cheating: the best of 8 coins looks clever too. So the head is chosen on
# validation pictures, and measured on test pictures.

# %%
choose_on = pointing_data("validation", 800)
report_on = pointing_data("test", 800)
torch.manual_seed(lab.seed)
groups = {}
for name in ("joint", "cross"):
    new = [answering.world_model(test, name).eval() for _ in range(3)]
    groups[f"{name}, untrained"] = [model.to(lab.device) for model in new]
    groups[name] = [models[name, run] for run in range(3)]

# %%
chosen_on, looks, pointed = {}, {}, {}
for name, members in groups.items():
    for run, model in enumerate(members):
        seen = to_patches(model, choose_on.images, choose_on.questions)
        look = to_patches(model, report_on.images, report_on.questions)
        looks[name, run] = look  # (2 places, n, heads, 16)
        for i in range(2):
            shares = pointing(seen[i], choose_on.target)  # (heads,)
            chosen_on[name, run, i] = shares
            share = pointing(look[i], report_on.target)[shares.argmax()]
            pointed.setdefault((name, i), []).append(100 * share.item())

# %% [markdown]
# Baselines that need no model: a random patch; the one patch that is best on the validation
# pictures, which is near the centre; the middle of a random object of the picture, and of the
# largest one.

# %%
target, n = report_on.target, len(report_on.target)  # (n, 16)
fixed = choose_on.target.double().mean(0).argmax()
rng = np.random.default_rng(lab.seed + 1)  # not that of pointing_data
boxes = world.boxes(report_on.scenes)  # (n, 4, 4)
at_random = rng.random((n, 4)) * report_on.scenes.present  # (n, 4)
by_size = report_on.scenes.size + rng.random((n, 4))  # (n, 4) ties: random
baselines = {
    "a random patch": target.double().mean().item(),
    "the best fixed patch": target[:, fixed].double().mean().item(),
}
for name, score in (("a random", at_random), ("the largest", by_size)):
    middle = middle_of(boxes[np.arange(n), score.argmax(1)])  # (n,)
    hit = target[torch.arange(n), middle].double().mean().item()
    baselines[f"the middle of {name} object"] = hit

# %%
rows = [
    [name, *2 * [f"{100 * share:.1f} %"]] for name, share in baselines.items()
]
for name in groups:
    texts = [lab.mean_spread(pointed[name, i], "%") for i in range(2)]
    rows.append([f"{name}, best head on validation", *texts])
header = f"points at the named object ({n} test pictures)"
plots.table(rows, header=[header, *PLACES])
for name in ("joint", "cross"):
    for i, place in enumerate(PLACES):
        runs = ", ".join(f"{v:.0f} %" for v in pointed[name, i])
        print(f"{name}, {place}, runs 0, 1, 2: {runs}")

# %%
untrained = []
for (name, _), values in pointed.items():
    untrained += values if "untrained" in name else []
lab.claim(
    "[CLS] of each cross model points better than every baseline and every"
    " untrained model, by 20 points",
    min(pointed["cross", 1])
    > max(*(100 * s for s in baselines.values()), *untrained) + 20,
)
lab.claim(
    "the word points better in each trained model than in every untrained one",
    min(pointed["joint", 0] + pointed["cross", 0]) > max(untrained) + 5,
)

# %% [markdown]
# In the cross models, `[CLS]` points at the object that the question names, nearly always. In the
# joint models it points only a little better than somebody who does not know the name. The word
# itself points better, with a very large spread over the runs. An untrained model does about as
# well as a fixed patch.

# %% [markdown]
# Move through the heads below: those of the joint run whose word points best, and of cross run 0.
# The figure after it shows two of them, for a page without a kernel. Bright is a large weight.

# %% tags=["figure", "varies"]
images, questions = report_on.images[:4], report_on.questions[:4]
shown = {"joint": int(np.argmax(pointed["joint", 0])), "cross": 0}  # run
maps = torch.cat(
    [to_patches(models[key], images, questions) for key in shown.items()]
)  # (2 models x 2 places, 4, 8 heads, 16)
labels = [
    f"{name}: {place}, head {head}"
    for name in ("joint", "cross")
    for place in PLACES
    for head in range(8)
]


def head_row(axes, grids):
    """Four test pictures with the attention (4, 16) of one head."""
    for axis, image, question, grid in zip(axes, images, questions, grids):
        plots.heat_over_image(axis, image, grid.view(4, 4))
        axis.set_title(question, fontsize=9)


def head_figure(i):
    figure, axes = plt.subplots(1, 4, figsize=(10, 2.9))
    head_row(axes, maps[i // 8, :, i % 8])
    return figure


widgets.switcher(head_figure, labels, "head")

# %% tags=["figure"]
figure, axes = plt.subplots(2, 4, figsize=(10, 5.8))
for row, (name, run), i in zip(axes, shown.items(), (0, 1)):
    head = chosen_on[name, run, i].argmax()
    head_row(row, maps[2 * (name == "cross") + i, :, head])
    text = f"{name} {run}: {PLACES[i]}"
    place = {"rotation": 90, "va": "center", "ha": "right"}
    row[0].text(-0.06, 0.5, text, transform=row[0].transAxes, **place)
plots.show(
    figure,
    alt=(
        "Four test pictures, brightened where the chosen head looks: above the"
        " colour word of a joint model, below [CLS] of a cross model."
    ),
)

# %% [markdown]
# ### Is the patch needed?
#
# Attention says what was read, not what was used. Take the patch away: replace its features by the
# mean of the picture's other features, and see whether the answer is still right.
#
# The control that matters needs no head at all: the patch in **the middle of the named object**. It
# shows most of the object, so whoever needs the object will miss it. For comparison, the last row
# takes the whole object away: the picture is drawn again without it.

# %%
x_report, mask_report = (
    t.to(lab.device) for t in encode(tokenizer, report_on.questions)
)  # (n, words)
first_shape = world.ANSWERS.index(world.SHAPES[0])


@torch.no_grad()
def shapes_said(model, v):
    """The shape said about each of the features v (n, 16, dim): (n,). Below 0
    or above 3: the answer is no shape."""
    logits = model.head(model.encoder(x_report, v, mask_report, keep=1))
    return logits.argmax(1).cpu() - first_shape


def right_shapes(model, v):
    """Per cent of right shapes from the features v (n, 16, dim)."""
    right = shapes_said(model, v) == torch.from_numpy(report_on.shape)
    return 100 * right.double().mean().item()


def without_patch(v, patch):
    """v (n, 16, dim) with the patch (n,) replaced by the mean of the rest."""
    kept = ~F.one_hot(patch.to(v.device), 16).bool()[..., None]  # (n, 16, 1)
    rest = (v * kept).sum(1, keepdim=True) / 15  # (n, 1, dim)
    return torch.where(kept, v, rest)  # (n, 16, dim)


# %%
def drawn_without(data):
    """The pictures (n, 3, 64, 64) without the named object."""
    gone = {}
    for name in ("shape", "colour", "size"):
        values = getattr(data.scenes, name).copy()  # (n, 4)
        values[np.arange(len(values)), data.which] = -1  # no object
        gone[name] = values
    scenes = replace(data.scenes, **gone)
    return torch.from_numpy(world.draw(scenes)).float() / 255


features, emptied = {}, {}  # of each model, (n, 16, dim)
images, empty = report_on.images, drawn_without(report_on)
with torch.no_grad():
    for name in ("joint", "cross"):
        for run, model in enumerate(groups[name]):
            features[name, run] = model.stem(images.to(lab.device))
            emptied[name, run] = model.stem(empty.to(lab.device))

# %%
generator = torch.Generator().manual_seed(lab.seed)
anywhere = torch.randint(16, (n,), generator=generator)  # (n,)
# (n,)
on_object = torch.multinomial(target.double(), 1, generator=generator)[:, 0]
without = {}
for key, v in features.items():
    removals = {
        "a random patch": anywhere,
        "a random patch of the object": on_object,
    }
    for i, place in enumerate(PLACES):
        head = chosen_on[*key, i].argmax()
        first = looks[key][i][:, head].argmax(-1)  # (n,)
        removals[f"the patch pointed at by {place}"] = first
    removals["the middle of the object"] = report_on.middle
    without[key] = {"nothing": right_shapes(models[key], v)} | {
        what: right_shapes(models[key], without_patch(v, patch))
        for what, patch in removals.items()
    }
    without[key]["the object"] = right_shapes(models[key], emptied[key])

# %%
programs = world.all_programs("shape")
asked = np.stack([world.answers_of(p, report_on.scenes) for p in programs])
counts = np.stack(
    [(asked == first_shape + i).sum(0) for i in range(4)], axis=1
)  # (n, shapes): questions that can be asked, by their answer
most = counts == counts.max(1, keepdims=True)  # (n, shapes)
guess = (most[np.arange(n), report_on.shape] / most.sum(1)).mean()
rows = [["(a guess without the name)", *2 * [f"{100 * guess:.1f} %"]]]
rows += [
    [
        what,
        *(
            lab.mean_spread([without[name, r][what] for r in range(3)], "%")
            for name in ("joint", "cross")
        ),
    ]
    for what in without["joint", 0]
]
plots.table(rows, header=["right shapes without", "joint", "cross"])
for name in ("joint", "cross"):
    said = [shapes_said(models[name, r], emptied[name, r]) for r in range(3)]
    none = [100 * ((s < 0) | (s > 3)).double().mean().item() for s in said]
    text = lab.mean_spread(none, "%")
    print(f"{name}, without the object: no shape is said in {text}")

# %%
middle, last = "the middle of the object", "the object"
lab.claim(
    "in each model no patch that a head points at is missed more than the"
    " middle of the object, by more than 8 points",
    all(
        shares[middle] < shares[f"the patch pointed at by {place}"] + 8
        for shares in without.values()
        for place in PLACES
    ),
)
lab.claim(
    "each model needs the object: without it, 15 points fewer are right than"
    " without a random patch",
    all(s[last] + 15 < s["a random patch"] for s in without.values()),
)

# %% [markdown]
# The first row needs no name: it says the most common answer to the questions that can be asked of
# the picture. The joint models are below it, so look at the cross column first.
#
# The answers need the object: without it hardly any is right, since no other object of these pictures
# has its shape. But taking away the patch that a head points at shows nothing about
# the head: the middle of the object is missed about as much or more, in every model. Without this
# control, the table would have looked like a proof. Without the object the joint models always name
# some shape, the cross models often none.

# %% [markdown]
# ### Are the heads needed?
#
# So a second test switches heads off: what they read at this position is set to 0, before the
# output map. One head is not enough, since another one may do the same work. We switch off the best
# head, then all heads that point in more than half of the *validation* pictures, then all others.


# %%
def without_heads(key, place, heads):
    """Per cent of right shapes when some heads read nothing in one of ROWS."""
    model, (i, row) = models[key], ROWS[place]
    layer = model.encoder.encoder.layers[i]
    attention = layer.attention if layer.cross is None else layer.cross

    def switch_off(module, inputs):
        mixed = inputs[0].clone()  # (n, positions, dim): what heads have read
        for head in heads:  # 8 heads of width 8
            mixed[:, row, 8 * head : 8 * head + 8] = 0
        return (mixed,)

    handle = attention.out.register_forward_pre_hook(switch_off)
    try:
        return right_shapes(model, features[key])
    finally:
        handle.remove()


# %%
off, rows = {}, []
for key in features:
    for i, place in enumerate(PLACES):
        shares = chosen_on[*key, i]  # (heads,)
        best = [shares.argmax().item()]
        group = [h for h in range(8) if shares[h] > 0.5]
        others = [h for h in range(8) if h not in group]
        off[key, i] = [
            without_heads(key, i, heads) for heads in (best, group, others)
        ]
        texts = [f"{share:.0f} %" for share in off[key, i]]
        texts[1] = texts[1] if group else "–"
        rows.append([f"{key[0]}, run {key[1]}: {place}", len(group), *texts])
header = ["right shapes", "heads that point", "the best one off"]
plots.table(rows, header=[*header, "all that point off", "all others off"])

# %%
lab.claim(
    "in each cross model [CLS] loses 25 points without the heads that point,"
    " and less than 5 without all others",
    all(
        off[("cross", r), 1][1] < without["cross", r]["nothing"] - 25
        and off[("cross", r), 1][2] > without["cross", r]["nothing"] - 5
        for r in range(3)
    ),
)
lab.claim(
    "in some cross model the best head alone can be switched off for less than"
    " 5 points",
    any(
        off[("cross", r), 1][0] > without["cross", r]["nothing"] - 5
        for r in range(3)
    ),
)
lab.claim(
    "in each cross model all of the word's heads that point can be switched off"
    " for less than 5 points",
    all(
        off[("cross", r), 0][1] > without["cross", r]["nothing"] - 5
        for r in range(3)
    ),
)

# %% [markdown]
# In the cross models the heads of `[CLS]` that point carry the answer, and the others can all be
# switched off. In one of them the single best head can be missed: another one points as well. Had
# we switched off only one head, we would have called it unused.
#
# In the joint models, which hardly do better than the guess, no such pattern stands out.
#
# The word's heads point too, and yet the cross models don't need them. So a bright patch on the
# right object is no proof that it is used. Switch the heads off, all that do the same.

# %% [markdown]
# ### Where the joint models lose the shape · extra
#
# A linear probe tells what a vector still holds: logistic regression from the vector to the asked
# shape, fitted on the validation pictures, judged on test pictures. Along the way to the answer:


# %%
@torch.no_grad()
def on_the_way(model, data):
    """Vectors (n, dim) from which the asked shape might be read."""
    x, mask = (t.to(lab.device) for t in encode(tokenizer, data.questions))
    v, first = model.stem(data.images.to(lab.device)), []  # (n, 16, dim)
    layer = model.encoder.encoder.layers[0]
    handle = layer.register_forward_hook(lambda *hook: first.append(hook[2][0]))
    h = model.encoder(x, v, mask)  # (n, positions, dim)
    handle.remove()
    return {
        "features of the object's middle": v[torch.arange(len(v)), data.middle],
        "the word after layer 1": first[0][:, 5],
        "[CLS] after layer 1": first[0][:, 0],
        "[CLS] at the end": h[:, 0],
    }


# %%
found = {}
for name in ("joint", "cross"):
    for run in range(3):
        fitted = on_the_way(models[name, run], choose_on)
        judged = on_the_way(models[name, run], report_on)
        for what, vectors in fitted.items():
            probe = LogisticRegression(max_iter=2000)
            probe.fit(vectors.cpu(), choose_on.shape)
            score = 100 * probe.score(judged[what].cpu(), report_on.shape)
            found.setdefault((what, name), []).append(score)
names = ("joint", "cross")
rows = [
    [what, *(lab.mean_spread(found[what, name], "%", 0) for name in names)]
    for what in fitted
]
plots.table(rows, header=["asked shape, by a linear probe", "joint", "cross"])

# %% [markdown]
# In the joint models the shape is in the features of one patch. Much of it is lost by the state of
# the word after layer 1, and by `[CLS]` at the end. In the cross models `[CLS]` ends with all of it.
# A probe says that something can be read, not that the model reads it.

# %% [markdown]
# ## 10. Where it breaks · extra
#
# **It can't say "nothing".** The weights of a row add up to 1 over everything it may read, whether
# or not there is anything to find. Ask about the red object, in pictures with something red and in
# pictures without. How much of the weight lies on the patches at all, and how large is the
# largest?


# %%
def red_weights(key, place, rows):
    """Mean weight of the chosen head on all patches, and on the largest one,
    asked about the red object."""
    # (n, 3, 64, 64)
    images = torch.from_numpy(drawn.images[rows]).float() / 255
    asked = ["what shape is the red object?"] * len(images)
    head = chosen_on[*key, place].argmax()
    w = to_patches(models[key], images, asked)[place, :, head]  # (n, 16)
    return w.sum(1).mean().item(), w.max(1).values.mean().item()


# (scenes,)
has_red = (drawn.scenes.colour == list(world.COLOURS).index("red")).any(1)
rows = []
for key in features:
    place = 0 if key[0] == "joint" else 1
    parts = [red_weights(key, place, r) for r in (has_red, ~has_red)]
    texts = (f"{part[j]:.2f}" for j in (0, 1) for part in parts)
    rows.append([f"{key[0]}, run {key[1]}: {PLACES[place]}", *texts])
header = ["chosen head", "on all patches: red there", "no red"]
plots.table(rows, header=[*header, "on the largest: red there", "no red"])

# %% [markdown]
# The cross models' weights over the patches always add up to 1. Without red they spread out, but
# something is read all the same. A joint model can move its weight to the words. Where a head barely
# looks at the patches, its "largest weight" is a small one: look at the weight, too.

# %% [markdown]
# **The table of places is fixed.** Our encoder has 16 places. A larger picture gives more patches,
# and there is no place for them. The usual way out, from the paper on ViT, is to interpolate the
# trained table on its grid:

# %%
larger = torch.randn(3, 25, 64)  # 5 x 5 patches
try:
    package(x_three, larger, mask_three)
except ValueError as error:
    print("ValueError:", error)
with torch.no_grad():
    table = package.embedding.place.weight  # (16, 64)
    grid = table.T.view(1, 64, 4, 4)
    grid = F.interpolate(grid, size=(5, 5), mode="bicubic")  # (1, 64, 5, 5)
    stretched = JointEncoder(replace(sizes, patches=25))
    stretched.load_state_dict(
        package.state_dict()
        | {"embedding.place.weight": grid.view(64, 25).T.contiguous()}
    )
    h = stretched(x_three, larger, mask_three)  # (3, words + 25, 64)
print("with an interpolated table, h has shape", tuple(h.shape))

# %% [markdown]
# ## 11. On a GPU, at full scale · extra
#
# ViLT (Kim et al. 2021) is this encoder, larger: linear patches of 32 x 32 pixels, 144 of them for
# a picture of 384 x 384, and ViLT-B has the size of BERT-base. PyTorch can build a model on the
# device `meta`, which has shapes but no memory, so we can count without a GPU.

# %%
vilt_b = JointConfig(
    dim=768,
    layers=12,
    heads=12,
    mlp_dim=3072,
    vocab_size=30522,
    max_words=40,
    visual_dim=3 * 32 * 32,
    patches=144,
)
with torch.device("meta"):
    ours_large, theirs_large = JointEncoder(vilt_b), ViltModel(ViltConfig())
ours_counted, theirs_counted, pooler = (
    sum(p.numel() for p in module.parameters())
    for module in (ours_large, theirs_large, theirs_large.pooler)
)
print(f"our encoder at ViLT-B's size  {ours_counted:,} parameters")
print(f"transformers' ViltModel       {theirs_counted:,} parameters")
print(f"of ViltModel, its pooler:     {pooler:,}", end="; ")
rest = theirs_counted - pooler - ours_counted
print(f"the rest of the difference: {rest:,}")

# %% [markdown]
# The rest is six vectors of 768: ViLT has one more token for the picture and its place, a scale
# and a shift to normalise the words, and BERT's own table of two types beside that of words and
# patches. The next cell makes one forward and backward pass: here with our small sizes, and with
# ViLT-B's under the profile `gpu`.

# %%
config = lab.pick(cpu=sizes, gpu=vilt_b)
batch = lab.pick(cpu=8, gpu=32)
large = JointEncoder(config).to(lab.device)
# (batch, words)
x_large = torch.randint(3, config.vocab_size, (batch, 12), device=lab.device)
v_large = torch.randn(
    batch, config.patches, config.visual_dim, device=lab.device
)
large(x_large, v_large).square().mean().backward()
print(
    f"one pass at dim {config.dim}: gradients for "
    f"{sum(p.grad is not None for p in large.parameters())} of "
    f"{sum(1 for _ in large.parameters())} tensors"
)

# %% [markdown]
# | | here | ViLT-B |
# |---|---|---|
# | pictures, patches | 64 x 64, 16 | 384 x 384, 144 |
# | visual features | small convolutional stem | linear patches |
# | width, layers, heads | 64, 2, 8 | 768, 12, 12 |
# | text | one token per word | WordPiece, 30,522 tokens |
# | precision | float32 | bfloat16, as a suggestion |
#
# GPU times were not measured for this lesson.

# %% [markdown]
# ## 12. What you know now · core
#
# - Words and patches become one sequence by adding where and what kind they are; the mask of the
#   words gets a True for each patch.
# - A Transformer without positions is equivariant, so `[CLS]` cannot know the order of the patches.
# - Before you compare models on the test set, look at their own training questions. A model that
#   misses these may only be later.
# - Two questions about one picture with different answers test binding without any baseline.
# - A head can point at what a word names without being used. Choose heads on other pictures than
#   you report, compare with the middle of the object, and switch off all heads that do the same.

# %%
quiz(
    [
        (
            "Why may every patch be attended to, while some words may not?",
            "Padding fills up short sentences and means nothing. Every picture"
            " has all of its patches.",
        ),
        (
            "A joint encoder has no table of places. What changes when patches"
            " change their order?",
            "Only the patches' own outputs move along. [CLS] and the words'"
            " outputs stay the same.",
        ),
        (
            "A model has 78 % of the test questions right, and 79 % of its own"
            " training questions. What would you try first?",
            "More training, or a larger model: it has not learnt what it was"
            " shown. More data would not help it yet.",
        ),
        (
            "A model answers 75 % of the colour questions. How do you find out"
            " whether it knows which object is meant?",
            "Ask about two objects of one picture with different colours, and"
            " count the pairs with both answers right.",
        ),
        (
            "Switching off the head that points best changes nothing. Is"
            " pointing unused?",
            "Perhaps another head does the same. Switch off all heads that"
            " point, and compare with switching off all others.",
        ),
    ]
)

# %% [markdown]
# **Papers.** Vaswani et al. 2017, *Attention Is All You Need* ([arXiv
# 1706.03762](https://arxiv.org/abs/1706.03762)): the Transformer, shown on translation. Li et al.
# 2019, *VisualBERT* ([1908.03557](https://arxiv.org/abs/1908.03557)): one Transformer over words
# and detected regions, pretrained on captions; also measures that some heads attend from words to
# the regions that they name. Kim et al. 2021, *ViLT*
# ([2102.03334](https://arxiv.org/abs/2102.03334)): linear patches instead of a detector, faster at
# a comparable accuracy.

# %% [markdown]
# Radford et al. 2021, *CLIP* ([2103.00020](https://arxiv.org/abs/2103.00020)): two towers, trained
# on 400 million pairs. Li et al. 2021, *ALBEF* ([2107.07651](https://arxiv.org/abs/2107.07651)):
# two towers, then layers with cross-attention; 2022, *BLIP*
# ([2201.12086](https://arxiv.org/abs/2201.12086)): cross-attention to the picture's tower in every
# layer of the text. Dosovitskiy et al. 2020, *ViT*
# ([2010.11929](https://arxiv.org/abs/2010.11929)): patches as tokens, as good as convolutions given
# enough pictures.

# %% [markdown]
# **Next:** lesson 06 trains $h$ without any answers, and lesson 08 with them.

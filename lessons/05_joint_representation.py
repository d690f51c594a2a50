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
# - recall attention by hand, on tensors small enough to print (lesson 02 builds it; what section 2
#   repeats of it is marked as extra);
# - cut a picture into patches, and put words and patches into one sequence;
# - build the encoder $h = \mathrm{Transformer}(x, v)$ and find it equal to the published
#   VisualBERT;
# - see what VisualBERT cannot see, and why;
# - compare three ways to bring words and pictures together, by proof and by measurement;
# - measure whether attention points at the thing that a word names.

# %% tags=["setup"]
import inspect
import math

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
from course_utils.models.attention import MultiHeadAttention, attention_weights
from course_utils.models.convert import from_visual_bert
from course_utils.models.fusion import TwoTowerEncoder
from course_utils.models.joint import JointConfig, JointEncoder
from course_utils.models.vision import ConvStem, PatchStem
from course_utils.models.weights import load_weights
from course_utils.notebook import lab, plots, widgets
from course_utils.studies import recipes
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
# Here is a scene of the teaching world, and the same scene cut into 16 square patches which were
# then put back in disorder.

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
# give it that question and the pixels of the 16 patches, and look at its output at the first
# position, from which answers are read. (`encode` puts an extra token `[CLS]` there, in front of
# the words; it stands for no word.) Once with each picture, and once with a third picture.

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
# ## 2. Attention · core
#
# Attention answers one question for each position of a sequence: *which other positions should I
# read, and how much of each?* Every position has three vectors:
#
# - a **query** $q_i$: what it looks for;
# - a **key** $k_j$: what it offers to be found by;
# - a **value** $v_j$: what is read from it. (By custom its letter is $v$ too; everywhere else in the
#   course $v$ is the picture.)

# %% [markdown]
# All three are made from the position's own vector $h_i$ by three learnt matrices, the same at
# every position: $q_i = h_i W_q$, $k_i = h_i W_k$, $v_i = h_i W_v$ (in the code each has a bias
# too). With the $h_i$ as rows of $H$: $Q = H W_q$, $K = H W_k$, $V = H W_v$.

# %% [markdown]
# The score of $i$ for $j$ is the dot product $q_i \cdot k_j$. A softmax turns the scores of one
# query into weights that are positive and add up to 1, and the output is the weighted mean of the
# values:
#
# $$\mathrm{attention}(Q, K, V) = \mathrm{softmax}\!\Big(\frac{Q K^\top}{\sqrt{d}}\Big) V .$$
#
# By hand, with three positions of width $d = 2$. Position 0 looks for what position 1 offers.

# %%
q = torch.tensor([[0.0, 3.0], [1.0, 0.0], [0.0, 0.0]])  # (3, 2) queries
k = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])  # (3, 2) keys
value = torch.tensor([[10.0, 0.0], [0.0, 10.0], [5.0, 5.0]])  # (3, 2) values
scores = q @ k.T / math.sqrt(2)  # (3, 3): row i holds the scores of query i
# (3, 3): rows add up to 1
weights = scores.exp() / scores.exp().sum(1, keepdim=True)
print("scores\n", scores)
print("weights\n", weights)
print("output\n", weights @ value)  # (3, 2)

# %% [markdown]
# Row 0: the score for position 1 is the largest, so nearly all that is read comes from there. Row 2
# has a query of zeros: it looks for nothing in particular, gets equal weights, and so the plain
# mean. PyTorch has the same function, fused into one kernel:

# %%
# (3, 2)
theirs = F.scaled_dot_product_attention(q[None], k[None], value[None])[0]
difference = (theirs - weights @ value).abs().max()
print(f"largest difference to PyTorch's: {difference:.0e}")

# %% [markdown]
# ### Why divide by the root of d? · extra
#
# Let the entries of $q$ and $k$ be independent with mean 0 and variance 1. A product $q_a k_a$ then
# has mean 0 and variance $E[q_a^2 k_a^2] = E[q_a^2]\,E[k_a^2] = 1$. The score is a sum of $d$ such
# products, and variances of independent terms add up:
#
# $$\operatorname{Var}(q \cdot k) = \sum_{a=1}^{d} \operatorname{Var}(q_a k_a) = d,
#   \qquad \operatorname{std}(q \cdot k) = \sqrt{d} .$$

# %% [markdown]
# So scores grow with the width. Large scores make the softmax **saturate**: one weight is near 1,
# the others near 0. The slope of a weight $w$ with respect to its own score is $w (1 - w)$, which is near 0 at
# both ends, so for most queries almost no gradient comes through. Dividing by $\sqrt{d}$ keeps the
# spread at 1, whatever the width is. Measured on 2,000 queries with 16 keys each:


# %%
def saturation(d, divide):
    """Spread of scores, share of queries with a weight above 0.99, and the
    median slope w (1 - w)."""
    generator = torch.Generator().manual_seed(d)
    q = torch.randn(2000, 1, d, generator=generator)  # (queries, 1, d)
    k = torch.randn(2000, 16, d, generator=generator)  # (queries, keys, d)
    scores = (q * k).sum(-1)  # (queries, keys)
    if divide:
        scores = scores / math.sqrt(d)  # (queries, keys)
    w = scores.softmax(1)  # (queries, keys)
    return (
        scores.std(),
        (w.max(1).values > 0.99).double().mean(),
        (w * (1 - w)).median(),
    )


# %%
rows = []
for d in (4, 64, 1024):
    for divide in (False, True):
        std, saturated, slope = saturation(d, divide)
        texts = (f"{std:.1f}", f"{saturated:.2f}", f"{slope:.0e}")
        rows.append([d, "yes" if divide else "no", *texts])
header = ["width d", "divided", "spread of scores"]
header += ["share of queries with a weight above 0.99", "median of w (1 - w)"]
plots.table(rows, header=header)

# %% [markdown]
# Without the division, most queries of a wide model would attend to one position only, before
# anything is learnt, and would learn slowly to look elsewhere.

# %% [markdown]
# > **Exercise 05.1 · predict a number** · extra · difficulty 1 of 3 · 5 minutes
# >
# > The derivation assumed a variance of 1. Let the entries of $q$ have standard deviation `sigma_q`
# > and those of $k$ `sigma_k`. What is the standard deviation of $q \cdot k / \sqrt{d}$? Stuck? Run
# > `hint("05.1")` in a new cell, and again for a second hint.


# %%
def score_std(dim, sigma_q, sigma_k):
    """Standard deviation of q . k / sqrt(dim).

    The entries of q and k are independent, with mean 0.
    """
    ### BEGIN SOLUTION
    variance = dim * sigma_q**2 * sigma_k**2  # of the dot product
    return math.sqrt(variance / dim)
    ### END SOLUTION


# %%
score_std = check("05.1", score_std)

# %%
print(
    "q and k twice as large: the scores spread by"
    f" {score_std(64, 2.0, 2.0):.0f}, not by 1"
)

# %% [markdown]
# The division takes care of the width, not of the size of the entries. That is one reason why
# Transformers normalise what goes into each layer.

# %% [markdown]
# ### Masks and heads · extra
#
# Sentences have different lengths, and a batch fills the shorter ones up with padding. A padded
# position must not be read. A **mask** says so: it is True where there is something to attend to.
# Where it is False the score becomes $-\infty$, and the weight exactly 0:

# %%
may_attend = torch.tensor([[True, True, False]]).expand(3, 3)  # (queries, keys)
print(attention_weights(q, k, may_attend))

# %% [markdown]
# One set of weights can look for one thing. With several **heads**, queries, keys and values are
# cut into parts, each part attends on its own, and the results are put side by side again. A
# fourth matrix, the **output map**, mixes them. The heads share the width, so they cost no more
# parameters. Each divides by the root of its *own* width, `dim / heads`. The module of the course
# does this:

# %%
print(inspect.getsource(MultiHeadAttention.forward))

# %% [markdown]
# Equal to PyTorch's `nn.MultiheadAttention`, with the same weights? Its mask has the opposite
# sense: in `key_padding_mask`, True means "leave this one out".

# %%
torch.manual_seed(lab.seed)
ours = MultiHeadAttention(64, 4)
torchs = nn.MultiheadAttention(64, 4, batch_first=True).eval()
with torch.no_grad():
    torchs.in_proj_weight.copy_(ours.qkv.weight)  # (192, 64)
    torchs.in_proj_bias.copy_(ours.qkv.bias)  # (192,)
    torchs.out_proj.load_state_dict(ours.out.state_dict())
    h_random = torch.randn(3, 6, 64)  # (batch, positions, dim)
    # (batch, positions)
    word_mask = torch.arange(6) < torch.tensor([[6], [4], [2]])
    got = ours(h_random, mask=word_mask)[0]  # (batch, positions, dim)
    want = torchs(h_random, h_random, h_random, key_padding_mask=~word_mask)[0]
print(f"largest difference {(got - want).abs().max():.0e}")
lab.claim(
    "our attention equals PyTorch's to 1e-5", (got - want).abs().max() < 1e-5
)

# %% [markdown]
# > **Exercise 05.2 · fix it** · extra · difficulty 1 of 3 · 5 minutes
# >
# > Somebody wrote the function below with *our* kind of mask. It runs. In evaluation it returns
# > `nan` for sentences without padding, and numbers for others. What is wrong? Write it right.


# %%
def attend_broken(attention, h, mask):
    """New h of an nn.MultiheadAttention (batch_first) for h.

    `mask` is True where there is a word.
    """
    return attention(h, h, h, key_padding_mask=mask, need_weights=False)[0]


with torch.no_grad():
    broken = attend_broken(torchs, h_random, word_mask)  # (3, 6, 64)
for words, row in zip(word_mask.sum(1), broken):
    print(
        f"{words} words of 6: {row.isnan().sum():3} of {row.numel()} values"
        " are nan"
    )


# %%
def attend(attention, h, mask):
    """New h of an nn.MultiheadAttention (batch_first) for h.

    `mask` is True where there is a word.
    """
    ### BEGIN SOLUTION
    # key_padding_mask is True where a key is left out, ours where a word is
    return attention(h, h, h, key_padding_mask=~mask, need_weights=False)[0]
    ### END SOLUTION


# %%
attend = check("05.2", attend)

# %%
with torch.no_grad():
    print(
        f"mended: {attend(torchs, h_random, word_mask).isnan().sum()} values"
        " are nan"
    )
training = attend_broken(torchs.train(), h_random, word_mask)  # (3, 6, 64)
print(f"broken, in training: {training.isnan().sum()} values are nan")

# %% [markdown]
# The `nan` is lucky, because it is seen. In training PyTorch takes another path, in which a query
# without any key reads 0, and nothing is seen at all. And a sentence with padding reads nothing
# but its padding either way, so that the model trains on, badly. What True means in a mask
# differs between libraries: look it up each time.

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
# A linear map of pixels is a poor describer: a circle moved by three pixels gets quite other
# numbers. Large models let many layers make up for that. Ours are small, so they start from a
# **convolutional stem**: four times a 3x3 convolution, normalisation, ReLU and max-pooling, which
# also end in a 4x4 grid. It is called in the same way:

# %%
print(inspect.getsource(ConvStem.forward))

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
#
# Attention treats all positions alike. Without the second column it could not tell "the circle
# left of the cross" from "the cross left of the circle". The third column is a convention that
# comes from BERT. Here it could be left out, because words and patches have tables of their own:
# type 0 could be added to every row of the token table, and type 1 to $b$.


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
# > **Exercise 05.3 · write it** · core · difficulty 1 of 3 · 5 minutes
# >
# > The words come with a mask (batch, words). Write the mask of the joint sequence,
# > (batch, words + patches): padding is left out, and every patch may be attended to.


# %%
def joint_mask(mask, patches):
    """The mask of the joint sequence, bool (batch, words + patches)."""
    ### BEGIN SOLUTION
    # (batch, patches): there is always a picture
    seen = mask.new_ones(len(mask), patches)
    return torch.cat([mask, seen], dim=1)  # (batch, words + patches)
    ### END SOLUTION


# %%
joint_mask = check("05.3", joint_mask)

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
# with one hidden layer, which works on each position alone (it is called the feed-forward network,
# or MLP). What each part computes is *added* to what came in: a residual connection. We normalise
# before each part (pre-norm), which trains more easily than after it.


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
# Embedding, layers, one last normalisation: that is the joint encoder.


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
        h = self.embedding(x, v)  # (batch, positions, dim)
        mask = joint_mask(mask, v.shape[1])  # (batch, positions)
        for layer in self.layers:
            h = layer(h, mask)  # (batch, positions, dim)
        return self.norm(h)  # (batch, positions, dim)


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
print(inspect.getsource(JointEncoder.forward))

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
# Does the mask do its work? The same question, once alone, and once in a batch with a longer one,
# so that it gets padding. With the mask, $h$ must not change:

# %%
alone, alone_mask = encode(tokenizer, questions[:1])  # (1, words): no padding
width = alone.shape[1]
with torch.no_grad():
    h_alone = package(alone, v_three[:1], alone_mask)  # (1, positions, dim)
    h_batch = package(x_three, v_three, mask_three)[:1]  # (1, positions, dim)
    h_unmasked = package(x_three, v_three)[:1]  # (1, positions, dim)
for name, h in (("with the mask", h_batch), ("without", h_unmasked)):
    change = (h[:, 0] - h_alone[:, 0]).abs().max()
    print(f"{name:14} [CLS] changes by {change:.0e}")

# %% [markdown]
# > **Exercise 05.4 · count** · extra · difficulty 2 of 3 · 15 minutes
# >
# > How many parameters has this encoder? Write it as a function of the sizes. Count the tables, the
# > projection, in each layer the attention, the small network and two normalisations, and the last
# > normalisation. Linear maps have biases; a normalisation has a scale and a shift.


# %%
def count_weights(
    dim, layers, mlp_dim, vocab_size, max_words, visual_dim, patches
):
    """The number of parameters of the joint encoder."""
    ### BEGIN SOLUTION
    tables = (vocab_size + max_words + 2 + patches) * dim
    project = visual_dim * dim + dim
    attention = 4 * (dim * dim + dim)  # queries, keys, values, output
    mlp = (dim * mlp_dim + mlp_dim) + (mlp_dim * dim + dim)
    norm = 2 * dim  # scale and shift
    return tables + project + layers * (attention + mlp + 2 * norm) + norm
    ### END SOLUTION


# %%
count_weights = check("05.4", count_weights)

# %%
counted = count_weights(
    sizes.dim,
    sizes.layers,
    sizes.mlp_dim,
    sizes.vocab_size,
    sizes.max_words,
    sizes.visual_dim,
    sizes.patches,
)
print(
    f"by formula {counted:,}, in the module"
    f" {sum(p.numel() for p in joint.parameters()):,}"
)

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
words_and_patches = torch.cat([mask_three, mask_three.new_ones(3, 16)], dim=1)
print(f"largest difference {difference[words_and_patches].max():.0e}")
lab.claim(
    "our encoder equals transformers' VisualBertModel to 1e-5",
    difference[words_and_patches].max() < 1e-5,
)

# %% [markdown]
# So what was wrong in section 1? Let $P$ be a matrix that puts positions into another order. The
# queries, keys and values of $P H$ are $P Q$, $P K$ and $P V$. In $P A P^\top$ the rows of $A$, and
# within each row its entries, stand in another order. A softmax over each row minds neither, so
# $\mathrm{softmax}(P A P^\top) = P\, \mathrm{softmax}(A)\, P^\top$. With $P^\top P = I$:
#
# $$\mathrm{softmax}\!\Big(\frac{P Q\, (P K)^\top}{\sqrt d}\Big) P V
#   = P\, \mathrm{softmax}\!\Big(\frac{Q K^\top}{\sqrt d}\Big) P^\top P V
#   = P \,\mathrm{attention}(Q, K, V) .$$

# %% [markdown]
# The other parts of a
# layer work on each position alone. So a Transformer is **equivariant**: the outputs move along
# with the inputs. The output at `[CLS]`, which has not moved, stays as it is.
#
# For words this is prevented by the position table. VisualBERT was made for features of detected
# objects, which know their place in the picture to some extent from the detector. Unless regions
# come aligned with words (the argument `image_text_alignment`), it gives position 0 to all of them.
# Feed it patches, and nothing tells where a patch was. Look at the default:

# %%
source = inspect.getsource(type(visual_bert.embeddings).forward)
lines = [line.strip() for line in source.splitlines()]
sought = "visual_position_ids = torch.zeros"
start = [i for i, line in enumerate(lines) if sought in line][:1]
print("\n".join(lines[start[0] : start[0] + 3] if start else lines))

# %% [markdown]
# Our `place` table gives each patch a vector for its place. The two models side by side:

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
# Section 8 shows what a trained model does when its patches come in disorder.

# %% [markdown]
# ## 7. Three ways to bring words and picture together · core
#
# The joint encoder fuses **early**: from the first layer on, every word may read every patch, and
# every patch every word. Two alternatives are in use:
#
# - **late** (two towers, as in CLIP): one Transformer reads the words, another one the patches.
#   Only their summaries $t$ and $u$, one vector each (`[CLS]` of the words, the mean of the
#   patches), ever meet;
# - **cross-attention** (as in ALBEF and BLIP): the words attend to themselves, then to the patches.
#   The patches never read the words. (In ALBEF and BLIP a Transformer over the patches comes first.
#   Ours has none.)

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
# > **Exercise 05.5 · write it** · core · difficulty 2 of 3 · 15 minutes
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
cross_attention = check("05.5", cross_attention)

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
# Late fusion leaves a single position: the two summaries, fused. For a search their dot product is
# the score; to answer questions, a small network reads $[t, u, t \odot u]$ ($\odot$: entry by
# entry). It divides its layers between its towers: of two, each gets one. A cross layer has two attentions one after the other, so it has more parameters, and words
# get two chances to read. Keep this in mind for section 8.

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
# not 0. The bound is exact, for all weights and all training, so untrained encoders will do to see
# it; in 64-bit numbers, values below about $10^{-13}$ of the first are rounding. Here are 60
# questions and 80 pictures. For the early fusion a score is read from `[CLS]` of each pair with one linear map.

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
# The step goes down to rounding. (Before training it comes even one value early, after $d - 1$. The
# towers end in a normalisation, so the entries of $u$ add up to 0, and one direction is not used.)
# Early fusion of width 4 has no such step, because a nonlinear computation is made for each pair.
# Its later values are tiny, but they are not rounding, and training can make them larger.

# %% [markdown]
# What does the limit cost? Take a table of truths: "is there a ...?" and "are there more ... than
# ...?" for 500 scenes, +1 for yes and -1 for no. The best matrix of rank $d$, in least squares, is
# the one that keeps the $d$ largest singular values (Eckart and Young). How many entries get the
# wrong sign? (A matrix made for signs could do better still, so these are upper bounds.)

# %%
scenes = world.generate("iid", "test", scenes=500, seed=lab.seed).scenes
programs = [*world.all_programs("exists"), *world.all_programs("compare")]
# (questions, scenes)
truth = np.stack([world.answers_of(p, scenes) for p in programs])
# (questions, scenes); no, or neither: -1
S = torch.from_numpy(np.where(truth == 1, 1.0, -1.0))
U, sigma, V = torch.linalg.svd(S, full_matrices=False)
rank = (sigma > 1e-9 * sigma[0]).sum()
print(f"rank of the table of {S.shape[0]} questions: {rank}")
wrong = 100 * (S > 0).double().mean()
print(f"always no: {wrong:5.2f} % of {S.numel():,} signs are wrong")
for d in (1, 4, 16, 64):
    best = (U[:, :d] * sigma[:d]) @ V[:d]  # (questions, scenes)
    wrong = 100 * ((best > 0) != (S > 0)).double().mean()
    print(f"rank {d:2}:   {wrong:5.2f} %")

# %% [markdown]
# The table has full rank, so no two towers of width 64 can produce it. But *deciding* by the sign
# of the score, they could: with rank 64 almost no sign is wrong, though one number per vector is no
# better than the answer "no" to everything. A limit that is exact need not hurt. The extreme case:
# a table in which each picture belongs to exactly one text has full rank, but with a threshold
# *three* numbers per vector are enough, for any size. Put text and picture $i$ at the angle
# $\alpha_i = 2 \pi i / n$, with $t_i = (\cos \alpha_i, \sin \alpha_i, 1)$ and $u_j = (\cos
# \alpha_j, \sin \alpha_j, -c)$. Then $t_i \cdot u_j = \cos(\alpha_i - \alpha_j) - c$. For $i = j$
# this is $1 - c$, positive if $c < 1$. For $i \ne j$ it is at most $\cos(2 \pi / n) - c$, negative if
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
# So the theorem says what *scores* a dot product can give, not which *decisions*. What late fusion
# lacks in practice has to be measured, which the next section does. The late model there reads $[t,
# u, t \odot u]$ with a small network, which is stronger than a dot product. So whatever it lacks is
# not this limit.

# %% [markdown]
# > **Exercise 05.6 · choose** · extra · difficulty 1 of 3 · 5 minutes
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
my_choice = check("05.6", my_choice)

# %% [markdown]
# Early and cross fusion would need a pass for each pair of the text and a picture. In practice both
# are used: two towers find the best hundred, and a joint model puts these in order.

# %% [markdown]
# ## 8. Which fusion is better? · core
#
# Nine models were trained beforehand: three fusions with three seeds each, alike in width (64),
# layers (2), heads (8, of width 8), data and updates. Each has three parts: the stem (picture to
# $v$), the encoder ($x$ and $v$ to $h$), and an answer **head**, a small network from $h$ at
# `[CLS]` to one number for each answer, of which the largest wins. Lesson 08 trains such a model.
# This is the recipe; one run takes some minutes on a CPU core.

# %%
print(inspect.getsource(recipes.train_world))

# %%
drawn = world.generate("iid", "test", 500, 4, WORLD_FAMILIES, lab.seed)
test = from_world(drawn)
families = WORLD_FAMILIES
models, evaluations, results = {}, {}, {}
for fusion in answering.FUSIONS:
    for run in range(3):
        model = answering.world_model(test, fusion)
        path = lab.data_path(f"checkpoints/world_{fusion}_{run}.safetensors")
        models[fusion, run] = load_weights(model, path).to(lab.device)
        evaluations[fusion, run] = evaluate(models[fusion, run], test)
        results[fusion, run] = evaluations[fusion, run].by_family
print(
    f"{len(test):,} questions about {len(test.images)} pictures that no model"
    " has seen"
)

# %% [markdown]
# Three baselines belong beside them. *Chance* picks one of a question's possible answers. *Blind*
# gives the most common training answer to each question; the world is balanced, so it should do no
# better. The third one sees everything but cannot tell which object is meant: asked for a colour or
# a shape, it names the most common one of the picture, or one of the most common. Knowing which colour
# belongs to which shape is called **binding**; this is a good guess without it.

# %%
blind = mode_per_question(world_data("train", 1500), test).by_family


def without_binding(name):
    """For each question of a family (questions,): how often the commonest value
    of its scene is right, and whether the scene has more than one value."""
    mine = drawn.family == world.FAMILIES.index(name)  # (all questions,)
    first = world.ANSWERS.index("red" if name == "colour" else "circle")
    # (questions, 4), -1: none
    of_scene = getattr(drawn.scenes, name)[drawn.scene_index[mine]]
    # (questions, values)
    counts = (of_scene[:, :, None] == np.arange(of_scene.max() + 1)).sum(1)
    commonest = counts == counts.max(1, keepdims=True)  # (questions, values)
    answer = drawn.answers[mine] - first  # (questions,)
    # (questions,)
    guess = commonest[np.arange(len(answer)), answer] / commonest.sum(1)
    return guess, (counts > 0).sum(1) > 1


chance = {
    f: drawn.chance[drawn.family == world.FAMILIES.index(f)].mean()
    for f in families
}
commonest = {f: without_binding(f)[0].mean() for f in ("colour", "shape")}

# %%
rows = []
for name, shares in (
    ("chance", chance),
    ("blind", blind),
    ("commonest of the scene", commonest),
):
    texts = (
        f"{100 * shares[f]:.0f} %" if f in shares else "–" for f in families
    )
    rows.append([name, *texts])
for fusion in answering.FUSIONS:
    of_runs = [results[fusion, run] for run in range(3)]
    texts = [
        lab.mean_spread([100 * s[f] for s in of_runs], "%") for f in families
    ]
    rows.append([fusion, *texts])
header = "mean ± standard deviation of three seeds"
plots.table(rows, header=[header, *families])

# %% [markdown]
# In about half of these scenes all objects have the same colour, or the same shape, and nobody has
# to know which one is meant. So once more, with the questions about the other scenes only:

# %%
hard, rows = {}, [["commonest of the scene"]]
for name in ("colour", "shape"):
    guess, several = without_binding(name)
    hard["guess", name] = 100 * guess[several].mean()
    rows[0].append(f"{hard['guess', name]:.0f} % of {several.sum()} questions")
    # (all questions,)
    of_family = torch.from_numpy(drawn.family == world.FAMILIES.index(name))
    for key, evaluation in evaluations.items():
        # (questions,)
        right = evaluation.right[of_family][torch.from_numpy(several)]
        hard[name, *key] = 100 * right.double().mean().item()
for fusion in answering.FUSIONS:
    texts = [
        lab.mean_spread([hard[name, fusion, run] for run in range(3)], "%")
        for name in ("colour", "shape")
    ]
    rows.append([fusion, *texts])
plots.table(rows, header=["scenes with several values", "colour", "shape"])

# %% tags=["figure"]
figure, axis = plt.subplots(figsize=(7.5, 3.4))
for i, (fusion, marker) in enumerate(zip(answering.FUSIONS, "os^")):
    of_runs = [results[fusion, run] for run in range(3)]
    shares = 100 * np.array([[s[f] for f in families] for s in of_runs])
    place = np.arange(len(families)) + 0.18 * (i - 1)  # (families,)
    style = {"fmt": marker, "capsize": 4, "color": plots.PALETTE[i]}
    spread = shares.std(0, ddof=1)
    axis.errorbar(place, shares.mean(0), spread, **style, label=fusion)
for name, shares, colour, style in (
    ("chance", chance, "grey", "--"),
    ("commonest of the scene", commonest, "black", ":"),
):
    at = np.array([families.index(f) for f in shares])
    heights = [100 * share for share in shares.values()]
    lines = {"colors": colour, "linestyles": style, "label": name}
    axis.hlines(heights, at - 0.35, at + 0.35, **lines)
axis.set_xticks(range(len(families)), families)
axis.set(
    ylabel="right (%)",
    ylim=(0, 104),
    title="Only cross fusion tells reliably whose colour it is",
)
axis.legend(
    ncols=5, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, -0.35)
)
plots.show(
    figure,
    alt=(
        "Accuracy of joint, late and cross fusion for four families of"
        " questions, with bars of one standard deviation over three seeds,"
        " chance as dashed lines. On colour and shape only cross fusion is far"
        " above the commonest value of the scene."
    ),
)


# %%
def per_run(fusion, name):
    return np.array([results[fusion, run][name] for run in range(3)])  # (runs,)


joint_hard, cross_hard = (
    [hard["colour", fusion, run] for run in range(3)]
    for fusion in ("joint", "cross")
)
lab.claim(
    "each cross model beats each joint and late one by 10 points on colour and"
    " on shape",
    all(
        per_run("cross", f).min()
        > max(per_run("joint", f).max(), per_run("late", f).max()) + 0.1
        for f in ("colour", "shape")
    ),
)
lab.claim(
    "some joint model binds in part: on hard colour questions it is 10 points"
    " above the best guess without binding, and 25 below each cross model",
    hard["guess", "colour"] + 10 < max(joint_hard) < min(cross_hard) - 25,
)
lab.claim(
    "late fusion counts at least as well as joint fusion on average",
    per_run("late", "count").mean() >= per_run("joint", "count").mean(),
)

# %% [markdown]
# Blind does no better than chance, as it should. One might expect that early fusion, which sees the
# whole picture from the first layer on, beats late fusion. Here it does not. On "exists" late is
# ahead by two points; on "count" its mean is higher, but the joint runs spread by seven points; on
# colour and shape the two are close. Where a scene has several colours, late fusion stays near the
# guess without binding, and the best joint run is more than ten points above it. The cross models
# bind; a joint one does in part, on colour.

# %% [markdown]
# Why? The models differ in more than who reads whom:
#
# - In a cross layer the words read each other before they read the picture, so `[CLS]` knows in the
#   first layer that red is asked for. In a joint model it learns so in layer 1, and can search for
#   red patches only in layer 2. (Or the word "red" reads the patches, and `[CLS]` the word.)
# - A cross layer has a softmax for the patches alone, and more parameters.
# - In a cross layer the patches enter without a layer normalisation.
# - All models had the same, small number of updates. The joint ones may only be later.

# %% [markdown]
# This experiment can't tell these causes apart, so the table is no verdict on fusion in general. We
# go on with the joint encoder, because it is the model of this course's loss (lesson 06), needs no
# second kind of layer, and answers nearly everything on easy-VQA, with one object per picture (lesson
# 08). Lesson 10 keeps an eye on binding.

# %% [markdown]
# *To find out yourself* (some minutes of one core per run): train a joint encoder with a third layer,
# which makes the number of parameters about equal, with a fourth, which makes the number of
# attentions equal, or for twice the passes. Change `layers` in `answering.world_model` or `epochs`
# in `recipes.WORLD_FIT` in your copy of the package, then `python -m course_utils.studies.recipes
# world_joint_0 --out joint3.safetensors`, which leaves the shipped file alone.

# %% [markdown]
# ### Does a trained model use its places?

# %% [markdown]
# > **Exercise 05.7 · predict first** · core · difficulty 1 of 3 · 3 minutes
# >
# > Take the trained joint models, and put the 16 patch features of each picture into disorder
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
    model = answering.world_model(test, "joint")
    model.load_state_dict(models["joint", run].state_dict())
    model.stem = Disorder(model.stem, disorder)
    in_disorder.append(evaluate(model.to(lab.device), test).by_family)

# %% tags=["result"]
in_order = [results["joint", r] for r in range(3)]
rows = []
for name, shares in (("in order", in_order), ("in disorder", in_disorder)):
    texts = [
        lab.mean_spread([100 * e[f] for e in shares], "%") for f in families
    ]
    rows.append([name, *texts])
plots.table(rows, header=["joint, patches", *families])

# %% tags=["result"]
found = lab.mean_spread([100 * e["exists"] for e in in_disorder], "%")
print(f"predicted: {my_prediction:.0f} %, measured: {found}")
worst = max(
    np.mean([a[f] - b[f] for a, b in zip(in_order, in_disorder)])
    for f in families
)
lab.claim("disorder costs less than 4 points in each family", worst < 0.04)

# %% [markdown]
# Almost nothing happens. The models have places, and section 6 showed that `[CLS]` can notice the
# disorder. But no question of these four families asks *where* something is, so training had
# little reason to use places. (Only the order of the features is changed: the stem saw the picture
# in order, and each feature covers 46 x 46 pixels of it, so neighbours overlap.) A model may be
# blind to something without any test noticing it: before you believe that a model sees places, ask
# about places. Lesson 04 did, of a Transformer over patches: without a table of places it answered
# left or right as well as a coin, and with one nearly always. So "is the circle left of the cross?"
# needs both, the places and questions about them in training.

# %% [markdown]
# ## 9. Does attention point at what the word names? · core
#
# Three questions, one after the other: does a head point at the named object? Does the answer
# suffer if the patch is taken away? Does it suffer if the head is switched off?
#
# "What shape is the **red** object?" To answer, a model has to find the red object. Does anything
# attend to the patches in which it lies? We take pictures with at least two objects, one of which
# is the only one of its colour, and ask for its shape. A head **points** if its largest weight
# among the 16 patches falls on a patch that the object's box touches.

# %% [markdown]
# Whose attention do we look at? The answer is read from `[CLS]`, so in the last layer only what
# `[CLS]` reads can matter: what the word "red" reads there reaches nothing. In the first layer
# `[CLS]` of a joint model cannot know of "red" yet, but the word itself can look. So there are two
# places: **the word's row in the first layer** and **`[CLS]`'s row in the last one**.


# %%
def pointing_data(part, scenes):
    """Pictures (n, 3, 64, 64), questions, the patches of the named object
    (n, 16), scenes."""
    drawn = world.generate("iid", part, scenes=scenes, seed=lab.seed + 10)
    # (scenes, 4), (scenes,)
    colour, count = drawn.scenes.colour, drawn.scenes.count
    # (scenes, 4)
    alone = (colour[:, :, None] == colour[:, None, :]).sum(2) == 1
    alone &= (colour >= 0) & (count[:, None] > 1)  # (scenes, 4)
    rows = alone.any(1).nonzero()[0]  # (n,)
    rng = np.random.default_rng(lab.seed)
    # (n,) one of them, at random
    which = (alone[rows] * rng.random((len(rows), 4))).argmax(1)
    chosen = drawn.scenes.select(rows)
    names = np.array(list(world.COLOURS))[colour[rows, which]]  # (n,)
    questions = [f"what shape is the {name} object?" for name in names]
    # (n, 4): left, top, right, bottom of the named object
    box = world.boxes(chosen)[np.arange(len(rows)), which]
    images = torch.from_numpy(drawn.images[rows]).float() / 255
    return images, questions, touched(box), chosen


def touched(box):
    """Which of the 4x4 patches each box (n, 4) touches: bool (n, 16)."""
    start = np.arange(0, 64, 16)  # (4,)
    across = (box[:, :1] < start + 16) & (box[:, 2:3] > start)  # (n, 4)
    down = (box[:, 1:2] < start + 16) & (box[:, 3:] > start)  # (n, 4)
    both = down[:, :, None] & across[:, None, :]  # (n, 4, 4)
    return torch.from_numpy(both.reshape(-1, 16))


# %% [markdown]
# Each place has 8 heads. Which one to report? Choosing the best one *on the pictures that are
# reported* would be cheating: the best of 8 coins looks clever too. So the head is chosen on
# validation pictures, and measured on test pictures.

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


def pointing(looks, target):
    """Share of pictures in which each head points at the target (n, 16):
    (2 places, heads). `looks` is what `to_patches` gives."""
    first = looks.argmax(-1)  # (2, n, heads)
    hits = target.expand(2, -1, -1).gather(2, first)  # (2, n, heads)
    return hits.double().mean(1)  # (2, heads)


# %%
choose_on = pointing_data("validation", 400)
report_on = pointing_data("test", 400)
torch.manual_seed(lab.seed)
groups = {
    f"{name}, untrained": [
        answering.world_model(test, name).eval().to(lab.device)
        for _ in range(3)
    ]
    for name in ("joint", "cross")
}
groups |= {
    name: [models[name, r] for r in range(3)] for name in ("joint", "cross")
}

# %%
best_head, pointed, looks = {}, {}, {}
for name, members in groups.items():
    best_head[name] = [
        pointing(to_patches(m, *choose_on[:2]), choose_on[2]).argmax(1).tolist()
        for m in members
    ]
    looks[name] = [to_patches(m, *report_on[:2]) for m in members]
    # each (2 places, heads)
    shares = [pointing(look, report_on[2]) for look in looks[name]]
    for i in range(2):
        pointed[name, i] = [
            100 * share[i, heads[i]].item()
            for share, heads in zip(shares, best_head[name])
        ]
for name in ("joint", "cross"):
    print(f"{name}: chosen heads of each run, [word, [CLS]]: {best_head[name]}")

# %% [markdown]
# Three baselines need no model: a random patch; the one patch that is best on the validation
# pictures (something near the centre); and the patch in the middle of the largest object.

# %%
target = report_on[2]  # (n, 16)
fixed = choose_on[2].double().mean(0).argmax()
# (n, 4), (n, 4, 4)
sizes_of, boxes = report_on[3].size, world.boxes(report_on[3])
# ties: at random
by_size = sizes_of + np.random.default_rng(lab.seed).random(sizes_of.shape)
largest = boxes[np.arange(len(boxes)), by_size.argmax(1)]  # (n, 4)


def patch_in_the_middle(box):
    """The number of the patch in the middle of each box (n, 4): (n,)."""
    row, column = (box[:, 1] + box[:, 3]) // 32, (box[:, 0] + box[:, 2]) // 32
    return torch.from_numpy(row * 4 + column)


hit = target[torch.arange(len(target)), patch_in_the_middle(largest)]  # (n,)
centre = 100 * target[:, fixed].double().mean().item()
size = 100 * hit.double().mean().item()

# %%
rows = [
    ["a random patch", *2 * [f"{100 * target.double().mean():.1f} %"]],
    ["the best fixed patch", *2 * [f"{centre:.1f} %"]],
    ["the middle of the largest object", *2 * [f"{size:.1f} %"]],
]
for name in groups:
    texts = [lab.mean_spread(pointed[name, i], "%") for i in range(2)]
    rows.append([f"{name}, best head on validation", *texts])
header = f"points at the named object ({len(target)} test pictures)"
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
    "[CLS] of each cross model points better than every baseline, by 20 points",
    min(pointed["cross", 1]) > max(centre, size, *untrained) + 20,
)
lab.claim(
    "the word points better in each trained model than in every untrained one",
    min(pointed["joint", 0] + pointed["cross", 0]) > max(untrained) + 5,
)

# %% [markdown]
# In the cross models, `[CLS]` points at the object that the question names, nearly always. In the
# joint models `[CLS]` points no better than at the largest object, and the word itself points best,
# with a very large spread: one of the three runs nearly always, the others less well. An untrained
# model does no better than a fixed patch. (± is over three runs. "The largest object" is a strong
# baseline, since large objects touch more patches.)

# %% [markdown]
# Move through the heads below; they are those of the joint run whose word points best, and of cross
# run 0. On a page without a kernel, the figure after it shows two of them. Bright is a large weight;
# each picture is scaled to its own largest.

# %%
images, questions = report_on[0][:4], report_on[1][:4]
best_pointer = int(np.argmax(pointed["joint", 0]))
shown = {"joint": best_pointer, "cross": 0}  # run
maps = torch.cat(
    [
        to_patches(models[name, run], images, questions)
        for name, run in shown.items()
    ]
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


# %% tags=["varies"]
widgets.switcher(head_figure, labels, "head")

# %% tags=["figure"]
figure, axes = plt.subplots(2, 4, figsize=(10, 5.8))
for row, name, i in zip(axes, ("joint", "cross"), (0, 1)):
    head = best_head[name][shown[name]][i]
    head_row(row, maps[2 * (name == "cross") + i, :, head])
    text = f"{name} {shown[name]}: {PLACES[i]}"
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
# ### Does the model need what it points at? · extra
#
# Attention says what was read, not what was used. A first test is to take the patch away: replace
# its features by the mean of the picture's other features, and see whether the answer is still
# right. As a comparison, a random patch of the picture, and a random one *of the object*: that one
# would be missed too by a model that needs the object and does not care about this head.

# %%
shape_answer = {name: world.ANSWERS.index(name) for name in world.SHAPES}
x_report, mask_report = (
    t.to(lab.device) for t in encode(tokenizer, report_on[1])
)  # (n, words)
answers = [world.ask(q, report_on[3], i) for i, q in enumerate(report_on[1])]
y_report = torch.tensor([shape_answer[a] for a in answers])  # (n,)


# the features of a picture are computed once a model: (n, 16, dim)
with torch.no_grad():
    features = {
        m: m.stem(report_on[0].to(lab.device))
        for name in ("joint", "cross")
        for m in groups[name]
    }


@torch.no_grad()
def right_shapes(model, remove):
    """Per cent of right shapes when the patches in `remove` (n, 16) become the
    mean of the rest."""
    v = features[model]  # (n, 16, dim)
    kept = ~remove[..., None].to(lab.device)  # (n, 16, 1)
    # (n, 1, dim)
    rest = (v * kept).sum(1, keepdim=True) / kept.sum(1, keepdim=True)
    v = torch.where(kept, v, rest)  # (n, 16, dim)
    # (n, answers)
    logits = model.head(model.encoder(x_report, v, mask_report, keep=1))
    return 100 * (logits.argmax(1).cpu() == y_report).double().mean().item()


# %%
def one_patch(index):
    return F.one_hot(index, 16).bool()  # (n, 16)


generator = torch.Generator().manual_seed(lab.seed)
anywhere = torch.randint(16, (len(target),), generator=generator)  # (n,)
# (n,)
on_object = torch.multinomial(target.double(), 1, generator=generator)[:, 0]
removals = {
    "nothing": torch.zeros_like(target),
    "a random patch": one_patch(anywhere),
    "a random patch of the object": one_patch(on_object),
    "all patches of the object": target,
}
without = {
    (name, what): [right_shapes(m, remove) for m in groups[name]]
    for what, remove in removals.items()
    for name in ("joint", "cross")
}
for i, place in enumerate(PLACES):
    for name in ("joint", "cross"):
        firsts = [
            look[i].argmax(-1)[:, heads[i]]
            for look, heads in zip(looks[name], best_head[name])
        ]  # each (n,)
        without[name, f"the patch pointed at by {place}"] = [
            right_shapes(m, one_patch(first))
            for m, first in zip(groups[name], firsts)
        ]

# %%
shapes = report_on[3].shape  # (n, 4), -1 where there is no object
# (n, shapes)
counts = (shapes[:, :, None] == np.arange(len(world.SHAPES))).sum(1)
commonest = counts == counts.max(1, keepdims=True)  # (n, shapes)
asked = (y_report - world.ANSWERS.index(world.SHAPES[0])).numpy()  # (n,)
guess = commonest[np.arange(len(asked)), asked] / commonest.sum(1)  # (n,)
guess = 100 * guess.mean()
rows = [["(the commonest shape of the scene)", *2 * [f"{guess:.1f} %"]]]
for what in dict.fromkeys(what for _, what in without):
    both = [without[name, what] for name in ("joint", "cross")]
    rows.append([what, *(lab.mean_spread(shares, "%") for shares in both)])
plots.table(rows, header=["right shapes without", "joint", "cross"])
for name in ("joint", "cross"):
    all_lost = without[name, "all patches of the object"]
    one_lost = without[name, "a random patch"]
    lab.claim(
        f"{name}: losing the object costs each model 15 points more than a"
        " random patch",
        all(a + 15 < b for a, b in zip(all_lost, one_lost)),
    )

# %% [markdown]
# The answers depend on the object: without it they fall below the guess, since what is left in the
# picture are the other objects. (The guess is higher than in section 8, because scenes in which all
# shapes agree are among these.) But do they depend on *these heads*? In the joint models, another
# patch of the object is missed about as much as the one pointed at. In the cross models the one
# pointed at is missed more, even by `[CLS]`'s last layer alone. So a second test switches the head
# itself off: what it reads at this position is set to 0, before the output map, and all other heads
# stay. The comparison is the mean of switching off each of the seven other heads.


# %%
def without_head(model, place, head):
    """Per cent of right shapes when one head reads nothing in one of ROWS."""
    i, row = ROWS[place]
    layer = model.encoder.encoder.layers[i]
    attention = layer.attention if layer.cross is None else layer.cross
    part = slice(8 * head, 8 * head + 8)  # 8 heads of width 8

    def switch_off(module, inputs):
        # (n, positions, dim): what all heads have read
        mixed = inputs[0].clone()
        mixed[:, row, part] = 0
        return (mixed,)

    handle = attention.out.register_forward_pre_hook(switch_off)
    try:
        return right_shapes(model, torch.zeros_like(target))
    finally:
        handle.remove()


# %%
off = {}
for name in ("joint", "cross"):
    for i in range(2):
        for model, heads in zip(groups[name], best_head[name]):
            each = [without_head(model, i, head) for head in range(8)]
            others = np.mean([each[h] for h in range(8) if h != heads[i]])
            off.setdefault((name, i), []).append((each[heads[i]], others))

# %%
rows = []
for name in ("joint", "cross"):
    for run in range(3):
        shares = [without[name, "nothing"][run]]
        for i in range(2):
            shares += reversed(off[name, i][run])
        rows.append([f"{name}, run {run}", *(f"{s:.1f} %" for s in shares)])
header = ["right shapes", "all heads", "word: another off", "chosen off"]
plots.table(rows, header=[*header, "[CLS]: another off", "chosen off"])

# %%
worst = int(np.argmin([chosen for chosen, _ in off["cross", 1]]))
lab.claim(
    "in some cross model, switching off the [CLS] head that points costs 30"
    " points more than switching off another",
    off["cross", 1][worst][0] < off["cross", 1][worst][1] - 30,
)
lab.claim(
    "switching off the word's head that points costs no model 5 points more"
    " than another",
    all(
        chosen > others - 5
        for name in ("joint", "cross")
        for chosen, others in off[name, 0]
    ),
)
lab.claim(
    "the joint model whose word points best points better than the word of any"
    " cross model, and gives 10 points fewer right shapes than any of them",
    pointed["joint", 0][best_pointer] > max(pointed["cross", 0])
    and without["joint", "nothing"][best_pointer]
    < min(without["cross", "nothing"]) - 10,
)

# %% [markdown]
# Read the last two columns. In the cross models the head of `[CLS]` that points is used, but not
# equally: one run loses about half of its answers without it, one a good tenth, and one almost none
# (perhaps other heads stand in for it there; that was not tested). In two joint runs the chosen
# `[CLS]` head costs several points too. The word's head points as well, and without it almost
# nothing changes in any run. And in the joint run whose word points best, better than in any cross
# model, the answers barely need that head, and many shapes are wrong: what is read at the right
# place does not reach the answer.

# %% [markdown]
# Or is the shape not in the features at all? A linear probe tells: logistic regression on the
# stem's features of the patch in the middle of the object, fitted on the validation pictures.


# %%
def middle_patch(v, data):
    """Of features v (n, 16, dim) those of the patch in the middle of the named
    object, (n, dim), and its shape (n,)."""
    _, questions, _, scenes = data
    named = [list(world.COLOURS).index(q.split()[4]) for q in questions]
    which = scenes.colour == np.array(named)[:, None]  # (n, 4)
    box = world.boxes(scenes)[np.arange(len(named)), which.argmax(1)]  # (n, 4)
    middle = v[torch.arange(len(v)), patch_in_the_middle(box)]  # (n, dim)
    return middle, scenes.shape[which]


# %%
for name in ("joint", "cross"):
    scores = []
    for model in groups[name]:
        probe = LogisticRegression(max_iter=2000)
        with torch.no_grad():
            v = model.stem(choose_on[0].to(lab.device)).cpu()  # (n, 16, dim)
        probe.fit(*middle_patch(v, choose_on))
        v = features[model].cpu()  # (n, 16, dim)
        scores.append(100 * probe.score(*middle_patch(v, report_on)))
    share = lab.mean_spread(scores, "%")
    print(f"{name}: shape from one patch's features {share}")

# %% [markdown]
# It is there, in one patch, and gets lost on the way to the answer. Together with the table above
# this means: a bright patch on the right object is neither an explanation nor a proof of
# understanding. Ask whether the answer changes without it.

# %% [markdown]
# ## 10. Where it breaks · core
#
# **It can't say "nothing".** The weights of a row add up to 1 over everything it may read, whether or
# not there is anything to find. Ask about the red object, in pictures with something red and in
# pictures without. How much of the weight lies on the patches at all, and how large is the
# largest?


# %%
@torch.no_grad()
def red_weights(model, place, head, rows):
    """Mean weight on all patches, and on the largest one, asked about the red
    object."""
    # (n, 3, 64, 64)
    images = torch.from_numpy(drawn.images[rows]).float() / 255
    asked = ["what shape is the red object?"] * len(images)
    w = to_patches(model, images, asked)[place, :, head]  # (n, 16)
    return w.sum(1).mean().item(), w.max(1).values.mean().item()


# (scenes,)
has_red = (drawn.scenes.colour == list(world.COLOURS).index("red")).any(1)
rows = []
for name, place in (("joint", 0), ("cross", 1)):
    for run, (model, heads) in enumerate(zip(groups[name], best_head[name])):
        seen = [
            red_weights(model, place, heads[place], r.nonzero()[0])
            for r in (has_red, ~has_red)
        ]
        texts = (f"{part[j]:.2f}" for j in (0, 1) for part in seen)
        rows.append([f"{name}, run {run}: {PLACES[place]}", *texts])
header = ["chosen head", "on all patches: red there", "no red"]
plots.table(rows, header=[*header, "on the largest: red there", "no red"])

# %% [markdown]
# (Scenes with something red have a few more objects, so small differences mean little.) The cross
# models' weights over the patches always add up to 1, and without red they spread out. Of the joint
# heads, that of the run that points best does the same and moves some of its weight to the words;
# the two others barely change. And where a head barely looks at the patches, as in one joint run,
# "the largest weight" is a small one: look at the weight, too.

# %% [markdown]
# **A query without keys.** If all keys of a query are masked, a plain softmax divides 0 by 0, and
# the `nan` spreads to everything that reads it. PyTorch's fused function and ours give 0 instead,
# so there is no alarm. (`nn.MultiheadAttention` takes another path, with nan: section 2.) The joint mask cannot run into this, since there is always a picture:

# %%
nothing = torch.zeros(1, 3, dtype=torch.bool)
print("plain softmax:", torch.full((1, 3), -torch.inf).softmax(1))
print("ours:         ", attention_weights(q[:1], k, nothing))
print(
    "fused kernel: ",
    F.scaled_dot_product_attention(q[None, :1], k[None], value[None], nothing),
)

# %% [markdown]
# **The table of places is fixed.** Our encoder has 16 places. A larger picture gives more patches,
# and there is no place for them. It says so:

# %%
try:
    package(x_three, torch.randn(3, 25, 64), mask_three)
except ValueError as error:
    print("ValueError:", error)

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
# - Attention is a weighted mean; dividing by $\sqrt d$ keeps the spread of scores at 1.
# - Words and patches become one sequence by adding where and what kind they are; the mask of the
#   words gets a True for each patch.
# - A Transformer without positions is equivariant, so `[CLS]` cannot know the order of the patches.
# - Scores of two towers have rank $d$ at most. That is a limit for scores, less so for decisions.
# - Which fusion is better is a question for measurements; ours went another way than planned.
# - A test without questions about places cannot show whether a model knows places.
# - A head can point at what a word names without being used. Look where the answer can read from,
#   choose the head on other pictures than you report, and switch it off.

# %%
quiz(
    [
        (
            "q and k have entries with spread 1 and width 64. What is the"
            " spread of q . k?",
            "8, the root of 64. Dividing by 8 brings it back to 1.",
        ),
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
            "Two towers of width 32 score 1,000 texts against 1,000 pictures."
            " How many singular values of the score matrix can differ from 0?",
            "32 at most.",
        ),
        (
            "Of 8 heads the best one on the test pictures points well. Why is"
            " that number too good?",
            "It is the largest of 8 noisy numbers. Choose on validation"
            " pictures, report on test ones.",
        ),
    ]
)

# %% [markdown]
# **Papers.** Vaswani et al. 2017, *Attention Is All You Need* ([arXiv
# 1706.03762](https://arxiv.org/abs/1706.03762)): attention with $1/\sqrt d$, heads, the
# Transformer, shown on translation. Xiong et al. 2020
# ([2002.04745](https://arxiv.org/abs/2002.04745)): pre-norm trains without the careful warm-up that
# post-norm needs. Li et al. 2019, *VisualBERT* ([1908.03557](https://arxiv.org/abs/1908.03557)):
# one Transformer over words and detected regions, pretrained on captions; also measures that some
# heads attend from words to the regions that they name. Kim et al. 2021, *ViLT*
# ([2102.03334](https://arxiv.org/abs/2102.03334)): linear patches instead of a detector, faster at
# a comparable accuracy. Radford et al. 2021, *CLIP*
# ([2103.00020](https://arxiv.org/abs/2103.00020)): two towers, trained on 400 million pairs. Li et
# al. 2021, *ALBEF* ([2107.07651](https://arxiv.org/abs/2107.07651)): two towers, then layers with
# cross-attention; 2022, *BLIP* ([2201.12086](https://arxiv.org/abs/2201.12086)): cross-attention to
# the picture's tower in every layer of the text.
# Dosovitskiy et al. 2020, *ViT* ([2010.11929](https://arxiv.org/abs/2010.11929)): patches as
# tokens, as good as convolutions given enough pictures.

# %% [markdown]
# **Next:** lesson 06 trains $h$ without any answers, and lesson 08 with them.

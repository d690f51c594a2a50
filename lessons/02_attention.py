# ---
# jupyter:
#   course:
#     title: Attention and the Transformer
#     needs: ["00", "01"]
# ---

# %% [markdown]
# From here on, nearly every model of this course is a Transformer, and what makes a Transformer is
# **attention**. In this
# lesson you will
#
# - compute attention by hand, then write it;
# - write the two masks that say what a word may read;
# - write a whole Transformer layer;
# - fill six such layers with the weights of a published model, and get that model's numbers.

# %% tags=["setup"]
import copy
import math

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from course_utils.checks import check, hint, quiz
from course_utils.models.pretrained import (
    MINILM,
    find,
    load_minilm,
    load_transformers,
)
from course_utils.models.text import encode_texts
from course_utils.models.transformer import (
    TransformerConfig,
    TransformerEncoder,
)
from course_utils.notebook import diagrams, lab, plots
from torch import nn

# %% [markdown]
# ## 1. One word, two meanings · core
#
# You light a candle with a match, and a team loses a match. MiniLM is a published Transformer that
# has read a billion pairs of sentences. It turns each word of a sentence into a row of 384
# numbers. How similar are the rows of "match" in these sentences?

# %%
minilm, tokenizer = load_minilm()
match = [
    "he lit the candle with a match",
    "the match burned his fingers",
    "they lost the match by two goals",
    "she watched the match on television",
]


def row_of(word, sentence):
    """MiniLM's row of a word in a sentence: (384,)."""
    word, tokens = word.lower(), tokenizer.encode(sentence).tokens
    if word not in tokens:
        raise ValueError(f"{word!r} must be one of MiniLM's pieces {tokens}")
    x, mask = encode_texts(tokenizer, [sentence])  # (1, words) each
    with torch.no_grad():
        return minilm(x, mask)[0, tokens.index(word)]  # (384,)


# %% [markdown]
# The **cosine** of two rows of numbers is 1 where they point in the same direction, and 0 where
# they
# have nothing in common. All rows of this model are somewhat alike, so one cosine says little:
# compare several.


# %%
def cosines_of(word, sentences):
    """Cosines of a word's rows: (sentences, sentences)."""
    # (sentences, 384)
    rows = torch.stack([row_of(word, sentence) for sentence in sentences])
    directions = F.normalize(rows, dim=-1)  # the same, each of length 1
    return directions @ directions.T  # (sentences, sentences)


cosines = cosines_of("match", match)  # (4, 4)
print(cosines.numpy().round(2))
nearest = min(cosines[0, 1], cosines[2, 3])
lab.claim("a match is near its own kind", nearest > cosines[:2, 2:].max())

# %% [markdown]
# Matches one and two are near each other, and so are three and four. Yet the model looks each word
# up in a table, and there "match" has one row, the *same* in all four sentences. Its place is added
# too (section 4), but no place can tell a candle from a goal. The difference comes from the other
# words: "candle", "goals".
#
# The question of this lesson is: *which other words should a word look at, and how would it
# know?*
#
# ### Other words · extra
#
# Is it so with other words? Two sentences have one meaning, then two have another.

# %%
examples = {
    "match": match,
    "letter": [
        "he wrote a letter to his mother",
        "the letter came by post",
        "the word begins with the letter b",
        "a is the first letter of the alphabet",
    ],
    "mouse": [
        "the cat caught a mouse",
        "a mouse ate the cheese",
        "click with the left mouse button",
        "the mouse is connected to the computer",
    ],
}
separate = {}
for word, sentences in examples.items():
    cosines = cosines_of(word, sentences)  # (4, 4)
    same = min(cosines[0, 1], cosines[2, 3])
    other = cosines[:2, 2:].max()
    separate[word] = same > other
    print(f"{word:7} same meaning: {same:.2f} or more", end=", ")
    print(f"another: {other:.2f} or less")
lab.claim(
    "the two meanings of letter separate, those of mouse don't",
    separate["letter"] and not separate["mouse"],
)

# %% [markdown]
# Not every word separates: an animal and a computer's mouse can be nearer to each other than two
# mice of one kind. **Try it:** add four sentences with a word of your own.

# %% [markdown]
# ## 2. Attention by hand · core
#
# Take three words, "red circle left". Each gets three rows of two numbers:
#
# - a **query** $q$: what the word looks for;
# - a **key** $k$: what it offers, so that others find it;
# - a **value** $v$: what it hands over to those who read it.
#
# In queries and keys the first number means "a colour" and the second "a shape". So "circle" looks
# for a colour, "left" looks for a shape (*what* is left?), and "red" looks for nothing.

# %%
words = ["red", "circle", "left"]
q = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])  # (3, 2) looks for
k = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]])  # (3, 2) offers
v = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])  # (3, 2) hands over

# %% [markdown]
# In the values, the first number means "red" and the second "round". (Elsewhere in the course $v$
# stands for the picture.)
#
# **Scores.** How well does a key fit a query? Take their dot product, the sum of the products of
# their entries. Row $i$ holds the scores of query $i$ with all three keys:


# %%
def show_rows(numbers):
    """Prints a table (words, columns) with the word before each row."""
    for word, row in zip(words, numbers.tolist()):
        print(f"{word:7}", *(f"{number:6.2f}" for number in row))


scores = q @ k.T  # (3, 3): reading word, word that is read
show_rows(scores)

# %% [markdown]
# "circle" has found "red": 4 against 0 and 0.
#
# **Weights.** The **softmax** turns the scores of a row into weights. It takes exp of each score,
# so
# that all are positive, and divides by their sum, so that they add up to 1.

# %%
weights = scores.exp()  # (3, 3)
weights = weights / weights.sum(1, keepdim=True)  # (3, 3): rows add up to 1
show_rows(weights)

# %% [markdown]
# "circle" reads nearly everything from "red". And "red", which looks for nothing, reads a third of
# each word.
#
# **Output.** Each word gets the mean of all values, weighted by its row of weights:

# %%
output = weights @ v  # (3, 2): red, round
show_rows(output)

# %% tags=["figure"]
tables = [
    ("scores", scores, words),
    ("softmax of each row: weights", weights, words),
    ("times values: output", output, ["red", "round"]),
]
figure, axes = plt.subplots(
    1, 3, figsize=(9, 2.7), gridspec_kw={"width_ratios": (3, 3, 2)}
)
for axis, (title, table, columns) in zip(axes, tables):
    axis.imshow(table, vmin=0, vmax=table.max(), cmap="Blues", aspect="auto")
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(3), words)
    axis.set_title(title)
    for row, numbers in enumerate(table.tolist()):
        for column, number in enumerate(numbers):
            dark = number > table.max() / 2
            axis.text(
                column,
                row,
                f"{number:.2f}",
                ha="center",
                va="center",
                color="white" if dark else "black",
            )
axes[0].set_ylabel("this word reads")
plots.show(
    figure,
    alt=(
        "Three small tables from left to right, a row for each of red, circle"
        " and left: the scores, the weights, and the output. They hold the"
        " numbers printed above."
    ),
)

# %% [markdown]
# The row of "circle" now says "red", which nobody had told it, and the row of "left" says that the
# thing on the left is round. That is attention: **score, softmax, weighted mean**.
#
# > **Exercise 02.1 · predict a number** · core · difficulty 1 of 3 · 6 minutes
# >
# > A query has the scores 0, $\log 4$ and $\log 3$, with the natural logarithm. The values of the
# > three words are the single numbers 40, 8 and 0. What is the output? Use paper. Stuck? Run
# > `hint("02.1")` in a new cell, and
# > again for a second hint.

# %%
my_output = None
### BEGIN SOLUTION
# exp: 1, 4, 3, their sum is 8, so the weights are 1/8, 4/8, 3/8
my_output = 40 * 1 / 8 + 8 * 4 / 8 + 0 * 3 / 8
### END SOLUTION

# %%
my_output = check("02.1", my_output)

# %% [markdown]
# ### The formula
#
# With the queries as rows of a matrix $Q$, the keys as rows of $K$ and the values as rows of $V$,
# the three steps are one line:
#
# $$\mathrm{attention}(Q, K, V) = \mathrm{softmax}\!\Big(\frac{Q K^\top}{\sqrt d}\Big) V .$$
#
# One thing is new: scores are divided by $\sqrt d$, where $d$ is the width of a query, here 2. It
# keeps scores from growing with the width; the extra below derives it.
#
# > **Exercise 02.2 · write it** · core · difficulty 1 of 3 · 8 minutes
# >
# > Write attention. In front of the last two axes there may be more, such as the batch.


# %%
def attention(q, k, v):
    """Attention of q (..., queries, d) to k (..., keys, d), v (..., keys, e).

    Returns (..., queries, e).
    """
    ### BEGIN SOLUTION
    # (..., queries, keys)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return scores.softmax(-1) @ v  # (..., queries, e)
    ### END SOLUTION


# %%
attention = check("02.2", attention)

# %%
show_rows(attention(q, k, v))
# (3, 2) PyTorch's own function; it wants a batch
theirs = F.scaled_dot_product_attention(q[None], k[None], v[None])[0]
gap = (attention(q, k, v) - theirs).abs().max()
print(f"largest difference from PyTorch's function {gap:.0e}")
lab.claim("attention equals PyTorch's scaled_dot_product_attention", gap < 1e-6)

# %% [markdown]
# The numbers are a little milder than before: that is the root.
#
# ### In a real model
#
# MiniLM has six layers, one after the other, and each has twelve attentions side by side, its
# **heads**. Here are the weights of two heads. `[CLS]` and `[SEP]` are marks which MiniLM puts
# around
# each text. **Try it:** change the sentence, or look at other heads.

# %%
sentence = "a red circle left of a blue cross"
heads_shown = [(1, 3), (2, 10)]  # (layer, head), counted from 1


def weights_in(sentence):
    """MiniLM's tokens of a sentence and its weights: (layers, heads, words,
    words), the reading word first."""
    x, mask = encode_texts(tokenizer, [sentence])  # (1, words) each
    with torch.no_grad():
        _, by_layer = minilm(x, mask, need_weights=True)
    return tokenizer.encode(sentence).tokens, torch.cat(by_layer)


tokens, heads = weights_in(sentence)

# %% tags=["figure"]
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.4), squeeze=False)
for axis, (layer, head) in zip(axes[0], heads_shown):
    picture = heads[layer - 1, head - 1]  # (words, words)
    image = axis.imshow(picture, vmin=0, vmax=1, cmap="Blues")
    axis.set_xticks(range(len(tokens)), tokens, rotation=60, ha="right")
    axis.set_yticks(range(len(tokens)), tokens)
    axis.set(xlabel="is read", title=f"layer {layer}, head {head}")
axes[0, 0].set_ylabel("this word reads")
figure.suptitle("Dark: the word of the row reads the word of the column")
figure.colorbar(image, ax=axes[0], label="weight")
plots.show(
    figure,
    alt=(
        "Attention weights of two heads of MiniLM on a sentence. In the first,"
        " most words read the word before them. In the second, most of them"
        " read [CLS]."
    ),
)

# %%
for text, word in (
    ("a red circle left of a blue cross", "red"),
    ("a circle that is red", "red"),
    ("a circle left of a blue cross", "a"),
):
    tokens, heads = weights_in(text)
    circle, read = tokens.index("circle"), tokens.index(word)
    print(text)
    for layer, head in heads_shown:
        weight = heads[layer - 1, head - 1, circle, read]
        print(f"  layer {layer}, head {head}: circle reads {word} {weight:.2f}")

# %% [markdown]
# Weights add up to 1, so a head must read something: the second one mostly reads `[CLS]`. Nobody told
# the first head to read the word before; that came out of training. In "a red circle" this word is
# the colour. In "a circle that is red" it isn't, and both heads miss the colour.
#
# The first head follows the place alone: it reads an "a" in front as fully as a "red". The second
# one needs both here. Of "red" in front it reads 0.27, of "a" 0.06, and of a "red" elsewhere
# 0.00.

# %% [markdown]
# ### Why the square root? · extra
#
# Let all entries of $q$ and $k$ be independent, with mean 0 and variance 1. One product $q_c k_c$
# has mean $E[q_c] E[k_c] = 0$ and variance $E[q_c^2] E[k_c^2] = 1$. Variances of independent terms
# add up, so $q \cdot k = \sum_{c=1}^d q_c k_c$ has variance $d$ and standard deviation $\sqrt d$.
# Divided by $\sqrt d$, scores have a spread of 1 at every width.
#
# If scores are spread too far, one weight is almost 1 and the others almost 0:

# %%
generator = torch.Generator().manual_seed(0)
rows = []
for d in (4, 64, 1024):
    # (512, d) queries, (16, d) keys
    queries = torch.randn(512, d, generator=generator)
    keys = torch.randn(16, d, generator=generator)
    products = queries @ keys.T  # (512, 16)
    largest = [
        (products / divisor).softmax(1).max(1).values.mean().item()
        for divisor in (1, math.sqrt(d), d)
    ]
    rows.append([d, *(f"{value:.2f}" for value in largest)])
header = ["width d", "not divided", "divided by √d", "divided by d"]
print("mean over queries of the largest of 16 weights")
plots.table(rows, header=header)

# %% [markdown]
# Only $\sqrt d$ gives every width the same start. Not divided, a wide model reads one word and
# ignores all others; divided by $d$, it reads all words alike, $1/16 \approx 0.06$ of each.
#
# Why is one weight of almost 1 bad? Because it hardly learns. By the quotient rule, the derivative
# of a weight $a_j$ with respect to its own score is $a_j (1 - a_j)$, and with respect to another
# score it is $-a_j a_{j'}$. All of these are near 0 when one weight is near 1.

# %% [markdown]
# ## 3. Masks · core
#
# Sometimes a word must not read another one. There are two reasons, and two masks.
#
# - Texts of a batch must be equally long, so short ones are filled up with `[PAD]`. The **padding
#   mask** hides this filling.
# - A model that is to predict the next word must not see it. The **causal mask** hides all words
#   that come later.
#
# In this course a mask is True where a word *may* be read. Where it is False, the score becomes
# $-\infty$. Then exp of the score is 0, and so is the weight. `masked_fill` writes where *its* mask
# is True, so it gets `~causal`: `~` turns True into False, and False into True.

# %%
causal = torch.tensor(
    [[True, False, False], [True, True, False], [True, True, True]]
)  # (3, 3): reading word, word that is read
hidden = (q @ k.T).masked_fill(~causal, -torch.inf)  # (3, 3)
show_rows(hidden)
print("weights")
show_rows(hidden.softmax(1))

# %% [markdown]
# "red" comes first and can read only itself; the last word may read all.
#
# > **Exercise 02.3 · write it** · core · difficulty 2 of 3 · 8 minutes
# >
# > Write both masks. `lengths` holds the number of words of each text; what follows is padding.
# > `two_masks(torch.tensor([3, 2]), 4)` gives a padding mask with the rows `True True True False`
# > and
# > `True True False False`, and a causal mask of the shape (4, 4).


# %%
def two_masks(lengths, words):
    """Padding mask (batch, words) and causal mask (words, words), True where a
    word may be read.

    `lengths` is (batch,); rows of the causal mask are the reading words.
    """
    ### BEGIN SOLUTION
    places = torch.arange(words)  # (words,)
    padding = places < lengths[:, None]  # (batch, words)
    causal = places <= places[:, None]  # (words, words)
    return padding, causal
    ### END SOLUTION


# %%
two_masks = check("02.3", two_masks)

# %%
padding, causal = two_masks(torch.tensor([3, 2]), 4)
print("padding\n", padding.int().numpy())
print("causal\n", causal.int().numpy())
both = padding[:, None] & causal  # (batch, words, words)
print("both, second text\n", both[1].int().numpy())

# %% [markdown]
# The padded words of the second text, rows 3 and 4, read too. That does no harm, since nobody reads
# them.
#
# A wrong mask raises no error, so mistakes with it are easily overlooked. Here is a function with
# mistakes. Say that the third place is only padding: then nobody may read it.

# %%
may_read = torch.tensor([[True, True, False]])  # (1, 3): the same for each word


def broken_weights(q, k, mask):
    """Attention weights (..., queries, keys); mask is True where k may be
    read."""
    # (..., queries, keys)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return scores.softmax(-1).masked_fill(mask, 0.0)  # (..., queries, keys)


show_rows(broken_weights(q, k, may_read))

# %% [markdown]
# > **Exercise 02.4 · fix it** · core · difficulty 2 of 3 · 8 minutes
# >
# > There are two mistakes in `broken_weights`, and the printed weights show both. Find them, and
# > write the function correctly.


# %%
def masked_weights(q, k, mask):
    """Attention weights (..., queries, keys); mask is True where k may be
    read."""
    ### BEGIN SOLUTION
    # (..., queries, keys)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    # hide what may not be read, before the softmax
    return scores.masked_fill(~mask, -torch.inf).softmax(-1)
    ### END SOLUTION


# %%
masked_weights = check("02.4", masked_weights)

# %%
show_rows(masked_weights(q, k, may_read))

# %% [markdown]
# ### Three conventions · extra
#
# Libraries don't agree on what a mask means.
#
# | where | a mask is | means |
# |---|---|---|
# | `F.scaled_dot_product_attention`, this course | boolean | True: may be read |
# | `nn.MultiheadAttention`, `key_padding_mask` | boolean | True: is left out |
# | both, and many others | numbers | added to the scores: 0, or $-\infty$ |
#
# What happens if you give PyTorch's layer our mask as it is?

# %%
torch.manual_seed(lab.seed)
torchs = nn.MultiheadAttention(8, 2, batch_first=True).eval()
h = torch.randn(2, 4, 8)  # (batch, words, dim)
# text 1 has no padding, text 2 has
word_mask, _ = two_masks(torch.tensor([4, 2]), 4)  # (2, 4)
with torch.no_grad():
    right = torchs(h, h, h, key_padding_mask=~word_mask)[0]  # (2, 4, 8)
    wrong = torchs(h, h, h, key_padding_mask=word_mask)[0]  # (2, 4, 8)
off = (wrong - right)[1, :2].abs().max()
print(f"text 1: {wrong[0].isnan().float().mean():.0%} of the values are nan")
print(f"text 2: no nan, and wrong by up to {off:.2f}")
nothing = torch.zeros(4, 4, dtype=torch.bool)  # (4, 4) no word may read
blind = F.scaled_dot_product_attention(h, h, h, nothing)  # (2, 4, 8)
print(f"scaled_dot_product_attention, nothing to read: {blind.abs().max():.0f}")
lab.claim(
    "under an inverted mask a padded text gets finite, wrong outputs",
    wrong[0].isnan().all() and wrong[1].isfinite().all() and off > 0.01,
)

# %% [markdown]
# Text 1 may read nothing, and a softmax over nothing but $-\infty$ is 0/0: `nan`, not a number. Here
# you would notice. But PyTorch's `scaled_dot_product_attention` returns 0 in this case, and its
# layers use it in training: there is no `nan` at all. The words of text 2 read only padding, and
# nobody notices.

# %% [markdown]
# ## 4. The whole on one drawing · core
#
# Now attention gets its place in the whole model. Read this from top to bottom. You know attention;
# section 6 shows the network.

# %% tags=["figure"]
diagrams.flow(
    {
        "text": (0, 0, "text\na red circle"),
        "words": (0, 1, "the word's row"),
        "places": (1, 2, "the place's row"),
        "sum": (0, 2, "sum =\nfirst states"),
        "attention": (0, 3, "attention\nwords read words"),
        "mlp": (0, 4, "network\neach word alone"),
        "out": (0, 5, "last states"),
    },
    [
        ("text", "words", "ids (batch, words)"),
        ("words", "sum", "(batch, words, dim)"),
        ("places", "sum", "(words, dim)"),
        ("sum", "attention", "h (batch, words, dim)"),
        ("attention", "mlp", "h"),
        ("mlp", "attention", "N layers"),
        ("mlp", "out", "h (batch, words, dim)"),
    ],
    alt=(
        "A Transformer from top to bottom: text becomes ids, each id a word's"
        " row; the place's row is added, which gives the first states; then"
        " attention and a small network, repeated N times, give the last ones."
    ),
)

# %% [markdown]
# A text is cut into **tokens**, which are words or pieces of words. Each token has a number, its
# **id**, and each id picks a row from a table, the **word's row**. Each place has a row, too. The
# sum
# of both is the word's first **state** $h$. Every layer changes the states, but not their shape: as
# many rows come out as went in.

# %%
pair = ["a red circle", "Is there a teal triangle?"]
x, mask = encode_texts(tokenizer, pair)  # (batch, words) each
print(tokenizer.encode(pair[1]).tokens)
print("ids\n", x.numpy())
print("mask\n", mask.int().numpy())
print("words' rows", tuple(minilm.token(x).shape))
print("last states", tuple(minilm(x, mask).shape))

# %% [markdown]
# "teal" isn't in MiniLM's list of 30,522 tokens, so it is cut into `tea` and `##l`. How such a list
# is made is a subject of the next lesson.

# %% [markdown]
# ### Why a row for each place?
#
# Look at the hand example again. Which word stands first plays no role in it: queries, keys and
# values come from the word alone. So we set MiniLM's table of places to zero and see what is lost.
#
# > **Exercise 02.5 · predict first** · core · difficulty 1 of 3 · 4 minutes
# >
# > Without places, which of these does the model take to be the same as "a red circle left of a
# > blue
# > cross"? Give a set of letters.
# >
# > - A: a blue cross left of a red circle
# > - B: a red circle right of a blue cross
# > - C: a blue circle left of a red cross

# %%
my_set = None
### BEGIN SOLUTION
my_set = {"A", "C"}  # the same words, in another order
### END SOLUTION

# %%
my_set = check("02.5", my_set)

# %% tags=["result"]
without = copy.deepcopy(minilm)
with torch.no_grad():
    without.position.weight.zero_()
four = [
    "a red circle left of a blue cross",
    "a blue cross left of a red circle",
    "a red circle right of a blue cross",
    "a blue circle left of a red cross",
]
x, mask = encode_texts(tokenizer, four)  # (4, words) each
change = {}
for name, model in (("with places", minilm), ("without", without)):
    with torch.no_grad():
        means = model(x, mask).mean(1)  # (4, dim) mean state of each sentence
    change[name] = (means - means[0]).abs().amax(1)[1:]  # (3,) A, B, C
    print(f"{name:12}", *(f"{value:.0e}" for value in change[name].tolist()))

# %% tags=["result"]
lab.claim(
    "without places the order of words makes no difference, with them it does",
    change["without"][[0, 2]].max() < 1e-5
    and change["without"][1] > 1e-3
    and change["with places"].min() > 1e-3,
)

# %% [markdown]
# Printed are the largest differences from the first sentence. Without places, A and C equal it up
# to
# rounding: the model can't know which thing is red, or left. So each place gets a row of its own,
# which is added to the word's row.
#
# There are other ways. SmolLM2, a model of the next lesson, has no row for each place: it turns $q$
# and $k$ by an angle that grows with the place. And as every word may read every other one, twice
# as many words make four times as many weights.

# %% [markdown]
# ## 5. Queries, keys and values from matrices · core
#
# By hand, we wrote down $q$, $k$ and $v$ for each word. A model computes them from the word's state
# $h$, with three matrices that are learnt and the same for all words:
#
# $$q = h W_q, \qquad k = h W_k, \qquad v = h W_v .$$
#
# Say that a state has five entries: *is a colour*, *is a shape*, *is a relation*, *red*, *round*.
# Then these matrices give the queries, keys and values that we had:

# %%
h = torch.tensor(
    [
        [1.0, 0, 0, 1, 0],  # red: a colour, red
        [0.0, 1, 0, 0, 1],  # circle: a shape, round
        [0.0, 0, 1, 0, 0],  # left: a relation
    ]
)  # (3, 5)
w_q = torch.tensor([[0.0, 0], [2, 0], [0, 2], [0, 0], [0, 0]])  # (5, 2)
w_k = torch.tensor([[2.0, 0], [0, 2], [0, 0], [0, 0], [0, 0]])  # (5, 2)
w_v = torch.tensor([[0.0, 0], [0, 0], [0, 0], [1, 0], [0, 1]])  # (5, 2)
same = [torch.equal(h @ w, old) for w, old in ((w_q, q), (w_k, k), (w_v, v))]
print("the same q, k and v:", same)

# %% [markdown]
# The second row of `w_q` reads: *a shape looks for a colour*. It knows nothing of circles. So it
# works as well for a square, and for "blue". The matrices say how *kinds* of words read each other,
# and what is learnt for one sentence helps in all others.

# %% [markdown]
# ### Several heads
#
# One softmax can look for one thing. So $q$, $k$ and $v$ are cut into parts, the heads. Each head
# computes attention on its own. The outputs are put side by side again, and one more matrix mixes
# them. With a width of 384 and 12 heads, each head has queries of 32 entries.
#
# > **Exercise 02.6 · write it** · core · difficulty 2 of 3 · 10 minutes
# >
# > Cut states (batch, words, dim) into heads (batch, heads, words, dim / heads). The first head
# > gets
# > the first dim / heads entries of each word, the second head the next ones, and so on.


# %%
def split_heads(h, heads):
    """(batch, words, dim) -> (batch, heads, words, dim / heads)."""
    ### BEGIN SOLUTION
    # (batch, words, heads, dim / heads), then two axes exchanged
    return h.unflatten(-1, (heads, -1)).transpose(1, 2)
    ### END SOLUTION


# %%
split_heads = check("02.6", split_heads)

# %%
two_words = torch.arange(8).view(1, 2, 4)  # (batch 1, words 2, dim 4)
print("states\n", two_words[0].numpy())
print("head 1\n", split_heads(two_words, 2)[0, 0].numpy())
print("head 2\n", split_heads(two_words, 2)[0, 1].numpy())

# %% [markdown]
# The rest is the attention that you know, with one more axis. All heads and all reading words share
# one mask. Scores are (batch, heads, words, words), so the mask (batch, words) needs two axes more:
# `mask[:, None, None]` is (batch, 1, 1, words).
#
# ### The same in PyTorch · extra
#
# PyTorch's `nn.MultiheadAttention` has the three matrices on top of each other in `in_proj_weight`;
# `chunk` takes their results apart. `F.linear` is the matrix product plus a **bias**, a number
# added
# to each entry.

# %%
torch.manual_seed(lab.seed)
torchs = nn.MultiheadAttention(64, 4, batch_first=True).eval()
h = torch.randn(2, 7, 64)  # (batch, words, dim)
mask, _ = two_masks(torch.tensor([7, 4]), 7)  # (batch, words)
with torch.no_grad():
    # (batch, words, 3 * dim)
    stacked = F.linear(h, torchs.in_proj_weight, torchs.in_proj_bias)
    # (batch, heads, words, dim / heads) each
    q, k, v = (split_heads(part, 4) for part in stacked.chunk(3, dim=-1))
    # (batch, heads, words, words)
    weights = masked_weights(q, k, mask[:, None, None])
    # (batch, words, dim): heads side by side again, then mixed
    ours = torchs.out_proj((weights @ v).transpose(1, 2).flatten(2))
    theirs = torchs(h, h, h, key_padding_mask=~mask)[0]  # (batch, words, dim)
gap = (ours - theirs)[mask].abs().max()
print(f"largest difference from nn.MultiheadAttention {gap:.0e}")
lab.claim("four heads by hand equal nn.MultiheadAttention", gap < 1e-5)

# %% [markdown]
# ## 6. The layer · core
#
# Three more things make a layer.
#
# **The residual path.** What attention returns doesn't *replace* the state, it is *added* to it. By
# hand: "circle" was a shape and round. It has read "red". The sum is a shape, round *and* red.

# %%
circle = torch.tensor([0.0, 1, 0, 0, 1])  # colour, shape, relation, red, round
w_mix = w_v.T  # (2, 5): from (red, round) back to the five entries
update = output[1] @ w_mix  # (5,) what circle has read
print("circle          ", circle.numpy())
print("what it has read", update.numpy().round(2))
print("sum             ", (circle + update).numpy().round(2))

# %% [markdown]
# **LayerNorm.** Sums grow from layer to layer. So each word's state is brought back to mean 0 and
# variance 1 over its entries. Then each entry is multiplied by a learnt scale and gets a learnt
# shift, which begin as 1 and 0.

# %%
state = torch.tensor([1.0, 2.0, 3.0, 6.0])  # (4,)
deviation = state - state.mean()  # (4,)
by_hand = deviation / deviation.square().mean().sqrt()  # (4,)
print("by hand  ", by_hand.numpy().round(3))
print("LayerNorm", F.layer_norm(state, (4,)).numpy().round(3))

# %% [markdown]
# **A small network.** Attention moves information between words. Then each word works on its own
# state: one matrix makes it wider, a bend brings negative numbers close to 0, and a second matrix
# makes it
# narrow again. The bend is **GELU**, a smooth version of ReLU, in code `F.gelu`. This part is
# called
# MLP, multi-layer perceptron.
#
# Here is the layer as MiniLM has it, then its parts. `nn.Linear` is a matrix product plus a
# **bias**,
# a learnt number added to each entry.

# %% tags=["figure"]
diagrams.flow(
    {
        "in": (0, 0, "states"),
        "attention": (0, 1, "attention\nquery, key, value, mix"),
        "norm1": (0, 2, "sum, norm1"),
        "mlp": (0, 3, "MLP\nwiden, GELU, narrow"),
        "norm2": (0, 4, "sum, norm2"),
        "out": (0, 5, "new states"),
    },
    [
        ("in", "attention", "h (batch, words, dim)"),
        ("attention", "norm1", "(batch, words, dim)"),
        ("in", "norm1", "residual path"),
        ("norm1", "mlp", "h (batch, words, dim)"),
        ("mlp", "norm2", "(batch, words, dim)"),
        ("norm1", "norm2", "residual path"),
        ("norm2", "out", "h (batch, words, dim)"),
    ],
    alt=(
        "A layer from top to bottom: states go through attention, are added to"
        " its output and normalised; then the same with the MLP."
    ),
)


# %%
class Parts(nn.Module):
    """What a layer consists of. How they work together is yours."""

    def __init__(self, dim, heads, mlp_dim):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.mix = nn.Linear(dim, dim)  # after the heads
        self.norm1 = nn.LayerNorm(dim, eps=1e-12)
        self.widen = nn.Linear(dim, mlp_dim)
        self.narrow = nn.Linear(mlp_dim, dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-12)


# %% [markdown]
# > **Exercise 02.7 · write it** · core · difficulty 3 of 3 · 22 minutes
# >
# > Write the layer. `parts.query(h)` gives all queries, and so on; use your `split_heads` and
# > `masked_weights`, and `F.gelu`. After attention, `.transpose(1, 2).flatten(2)` puts the heads
# > side by side
# > again.


# %%
def layer(parts, h, mask):
    """A Transformer layer: h (batch, words, dim) to the same.

    mask is (batch, words), True where there is a word.
    """
    ### BEGIN SOLUTION
    q, k, v = (
        split_heads(part(h), parts.heads)
        for part in (parts.query, parts.key, parts.value)
    )  # (batch, heads, words, dim / heads) each
    # (batch, heads, words, words)
    weights = masked_weights(q, k, mask[:, None, None])
    mixed = (weights @ v).transpose(1, 2).flatten(2)  # (batch, words, dim)
    h = parts.norm1(h + parts.mix(mixed))  # (batch, words, dim)
    # (batch, words, dim)
    return parts.norm2(h + parts.narrow(F.gelu(parts.widen(h))))
    ### END SOLUTION


# %%
layer = check("02.7", layer)

# %% [markdown]
# ### Where the norm stands · extra
#
# Your layer normalises each sum, as BERT does: **post-norm**, $h \leftarrow \mathrm{norm}(h +
# f(h))$. GPT-2 and most later models normalise what goes *into* each part: **pre-norm**, $h
# \leftarrow h + f(\mathrm{norm}(h))$. Then nothing stands on the residual path from the first layer
# to the last. Which layers get the larger gradient before any training?

# %%
ratios = {}
for norm in ("pre", "post"):
    torch.manual_seed(lab.seed)
    config = TransformerConfig(dim=64, layers=24, norm=norm)
    deep = TransformerEncoder(config)
    h, target = torch.randn(2, 8, 16, 64)  # (batch, words, dim) each
    F.mse_loss(deep(h)[0], target).backward()
    sizes = [part.mlp[0].weight.grad.norm() for part in deep.layers]
    ratios[norm] = sizes[-1] / sizes[0]
    print(f"{norm}-norm: last layer / first layer {ratios[norm]:.1f}")
lab.claim(
    "pre-norm gives its first layer more gradient than its last, post-norm not",
    ratios["pre"] < 0.85 and ratios["post"] > 0.95,
)

# %% [markdown]
# It is often said that gradients vanish or explode with post-norm. With PyTorch's initial weights
# they do neither. Xiong et al. (below) show why large post-norm models still need a slow start of
# their learning rate. What this course trains is pre-norm.

# %% [markdown]
# ## 7. The real weights · core
#
# Does your layer work? Here is the strongest test: fill it with the weights of a model that others
# have trained. `transformers` is the library in which most Transformers are published, and BERT, of
# 2018, is the architecture that MiniLM shares. The library reads the same files and has its own
# `BertModel`.

# %%
bert = load_transformers(find(MINILM))
theirs = bert.state_dict()
print(f"{len(theirs)} tensors, such as")
for name in list(theirs)[5:9]:
    print(f"  {name}  {tuple(theirs[name].shape)}")

# %% [markdown]
# The names differ from ours, the shapes don't. So a small dictionary is enough:

# %%
NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mix": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
    "norm2": "output.LayerNorm",
}
layers = [Parts(384, 12, 1536) for _ in range(6)]
for number, parts in enumerate(layers):
    for ours, name in NAMES.items():
        part = getattr(parts, ours)  # parts.query, then parts.key, ...
        part.weight.data = theirs[f"encoder.layer.{number}.{name}.weight"]
        part.bias.data = theirs[f"encoder.layer.{number}.{name}.bias"]


# %% [markdown]
# What comes before the first layer is the drawing of section 4: the word's row, plus the place's
# row.
# BERT adds a third row, which says whether a word belongs to a first or a second text; here all are
# of the first. Then it normalises, and that is the first state.


# %%
def my_minilm(x, mask):
    """States (batch, words, 384) of the ids x (batch, words)."""
    table = bert.embeddings
    rows = table.word_embeddings.weight[x]  # (batch, words, 384)
    rows = rows + table.position_embeddings.weight[: x.shape[1]]
    h = table.LayerNorm(rows + table.token_type_embeddings.weight[0])
    for parts in layers:
        h = layer(parts, h, mask)  # (batch, words, 384)
    return h


real = [
    "a red circle",
    "Is there a teal triangle?",
    "The small grey cat, asleep on the mat since noon, was unimpressed.",
]
x, mask = encode_texts(tokenizer, real)  # (3, words) each
with torch.no_grad():
    mine = my_minilm(x, mask)  # (3, words, 384)
    wanted = bert(x, attention_mask=mask.long()).last_hidden_state
gap = (mine - wanted)[mask].abs().max()
print(f"largest difference from BertModel {gap:.0e}")
lab.claim("my encoder with MiniLM's weights equals BertModel", gap < 1e-5)

# %% [markdown]
# That is rounding. You have written the model that told the matches apart in section 1.
#
# ### Padding must change nothing
#
# The first sentence was padded to the length of the third. Has it the same states alone? We compute
# in double precision, so that rounding doesn't blur the answer.

# %%
for module in (bert, *layers):
    module.double()
length = mask[0].sum()  # tokens of the first sentence
with torch.no_grad():
    alone = my_minilm(x[:1, :length], mask[:1, :length])[0]  # (length, 384)
    padded = my_minilm(x, mask)[0, :length]  # (length, 384)
    # (length, 384)
    dropped = my_minilm(x, mask | True)[0, :length]
with_mask = (padded - alone).abs().max()
without_mask = (dropped - alone).abs().max()
print(f"{(~mask[0]).sum()} padded places, with the mask: {with_mask:.0e}")
print(f"without the mask: {without_mask:.1f}")
lab.claim(
    "padding changes nothing, and does where the mask is dropped",
    with_mask < 1e-6 < 0.1 < without_mask,
)

# %% [markdown]
# Without the mask a sentence would mean something else in every batch.
#
# ### Counting · extra
#
# > **Exercise 02.8 · count** · extra · difficulty 2 of 3 · 5 minutes
# >
# > How many parameters, biases and norms included, does a layer have? Write a formula of its width
# > `dim` and the width `mlp_dim` inside the MLP.


# %%
def layer_parameters(dim, mlp_dim):
    """The number of parameters in `Parts(dim, heads, mlp_dim)`."""
    ### BEGIN SOLUTION
    attention = 4 * (dim * dim + dim)  # query, key, value, mix
    mlp = dim * mlp_dim + mlp_dim + mlp_dim * dim + dim
    norms = 2 * (dim + dim)  # a scale and a shift for each entry
    return attention + mlp + norms
    ### END SOLUTION


# %%
layer_parameters = check("02.8", layer_parameters)

# %%
in_layers = 6 * layer_parameters(384, 1536)
in_words = bert.embeddings.word_embeddings.weight.numel()
total = sum(p.numel() for p in minilm.parameters())
print(f"six layers {in_layers:11,}   {in_layers / total:.0%}")
print(f"word table {in_words:11,}   {in_words / total:.0%}")
print(f"everything {total:11,}")

# %% [markdown]
# The number of heads doesn't matter: they share the width. And more than half of this model is a
# table with a row for each token.

# %% [markdown]
# ## 8. Which word does "it" look at? · extra
#
# *The knife cannot cut the bread because it is too blunt.* What is blunt? The knife. With "hard" in
# place of "blunt", it is the bread. So a head that understands "it" must look at another word when
# the last word changes. Here are twelve such pairs, 24 sentences:

# %%
PAIRS = """
the ball does not fit in the box because it is too|ball large|box small
the animal did not cross the street because it was too|animal tired|street wide
the truck passed the bus because it was very|truck fast|bus slow
the knife cannot cut the bread because it is too|knife blunt|bread hard
the table will not go through the door because it is too|table wide|door narrow
the letter did not fit the envelope because it was too|letter big|envelope small
the shelf broke under the book because it was too|shelf weak|book heavy
the fox could not reach the bird because it was too|fox slow|bird high
the picture covered the hole because it was so|picture large|hole small
the boat could not pass the bridge because it was too|boat tall|bridge low
the rope could not hold the piano because it was too|rope thin|piano heavy
the coat did not go into the bag because it was too|coat thick|bag small
"""

# %% [markdown]
# For each of MiniLM's 72 heads we count the sentences in which "it" reads the right one of the two
# nouns more than the other one.
#
# > **Exercise 02.9 · predict first** · extra · difficulty 1 of 3 · 2 minutes
# >
# > The best of the 72 heads, chosen after the count: in how many of 24 sentences is it right?

# %%
my_count = None
### BEGIN SOLUTION
my_count = 20  # a guess before the count
### END SOLUTION

# %%
my_count = check("02.9", my_count)

# %% tags=["result"]
right = torch.zeros(6, 12)  # (layers, heads)
for line in PAIRS.strip().splitlines():
    start, *ends = line.split("|")
    nouns, adjectives = zip(*(end.split() for end in ends))
    for number, adjective in enumerate(adjectives):
        tokens, heads = weights_in(f"{start} {adjective}")
        it = heads[:, :, tokens.index("it")]  # (layers, heads, words)
        # (layers, heads) each: the right noun, the other one
        wanted, other = (
            it[..., tokens.index(noun)]
            for noun in (nouns[number], nouns[1 - number])
        )
        right += wanted > other  # (layers, heads)
print(f"predicted {my_count}, the best head: {right.max():.0f} of 24")
print(f"heads right in 10 to 14 of 24: {((right - 12).abs() <= 2).sum()} of 72")
lab.claim("no head is right in 18 of 24 sentences", right.max() < 18)

# %% [markdown]
# A head that always prefers the same noun is right in 12. All 72 are within two of that, so none
# follows "it". MiniLM was made to compare sentences, and nothing here says that it had to learn
# this.
# [Clark et al.](https://arxiv.org/abs/1906.04341) did find heads in the larger BERT that point from one
# name of a thing to another name of it. So count before you believe a picture of weights.

# %% [markdown]
# ## 9. What you know now · core

# %%
quiz(
    [
        (
            "What are a word's query, key and value?",
            "What it looks for, what it offers, and what it hands over.",
        ),
        (
            "Why is a hidden score set to minus infinity, and not to 0?",
            "exp(0) is 1, so a score of 0 gets a weight like any other.",
        ),
        (
            "What does an encoder, in which all words read all others, know of"
            " a sentence without places?",
            "Which words occur and how often, but not their order. A causal"
            " mask tells the order, even without places.",
        ),
        (
            "In which part of a layer do words read each other?",
            "Only in attention. The MLP and the norms see one word at a time.",
        ),
        (
            "A batch is padded and the mask is forgotten. What do you see?",
            "No error, but states that depend on the longest text.",
        ),
    ]
)

# %% [markdown]
# **Papers.** [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762) build a translator from
# attention alone; it was better than the recurrent networks of its time at a fraction of the
# training
# cost. [Devlin et al. 2018](https://arxiv.org/abs/1810.04805), BERT, train its first half on plain
# text. [Wang et al. 2020](https://arxiv.org/abs/2002.10957), MiniLM, train a small model to imitate
# the attention of a large one. [Xiong et al. 2020](https://arxiv.org/abs/2002.04745) compare
# pre-norm and post-norm.
#
# **Next:** [03 Language models](03_language_models.ipynb). You have the architecture. What does it
# learn if it is only ever asked for the next word?

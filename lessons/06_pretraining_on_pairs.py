# ---
# jupyter:
#   course:
#     title: "Pretraining on pairs of pictures and words"
#     minutes: 120
#     needs: ["02", "03", "04"]
# ---

# %% [markdown]
# Labels are made one by one, for one task. Pairs of a picture and a text are all around: a photo
# and its caption, a product and its name, an emoji and what it is called. Nobody made them to train
# a model, and yet a model can learn from them what words look like.
#
# In this lesson you will
#
# - derive the contrastive loss from the cross-entropy that you know, and find out what its
#   temperature does;
# - join two real pretrained encoders, one for pictures and one for sentences, by two small heads,
#   and search emoji by names that the heads were never trained on;
# - see the same search fail in Chinese, and repair part of it;
# - catch the loss teaching falsehoods (two scenes, one caption), and mend it;
# - guess masked words from pictures, and see which words teach nothing;
# - measure how many labels pretraining saves, and how many it does not.

# %%
import json
import math
import textwrap
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from course_utils import lab, plots, widgets
from course_utils.checks import check, compare_prediction, hint, quiz
from course_utils.datasets import load_captions, load_emoji
from course_utils.datasets.pairs import pair_tokenizer
from course_utils.features import cached_features
from course_utils.models.pretrained import imagenet_names, load_efficientnet_lite0, load_minilm
from course_utils.models.text import encode_texts, sentence_embedding
from course_utils.objectives.contrastive import (
    Temperature, contrastive_loss, cosine_scores, hard_negatives, sigmoid_loss,
)  # fmt: skip
from course_utils.pretraining import world_pairs, world_pretraining_model
from course_utils.recipes import load_weights
from course_utils.retrieval import chance, ranks, retrieval
from course_utils.text import encode, word_tokenizer
from course_utils.world import COLOURS, HELD_OUT, SHAPES, compose, draw
from course_utils.world.language import thing

# %% [markdown]
# ## 1. Pairs
#
# Here are twelve pairs: emoji, with their names in Unicode's list. They are this lesson's real
# pictures and real words. The names come in English and in Chinese, and pictures that resemble each
# other (all clocks, all flags, all kinds of hands) lie in one part of the data as a whole, so that
# what is tested has not been seen in another colour.

# %%
emoji = {part: load_emoji(part) for part in ("train", "validation", "test")}
chinese = {part: load_emoji(part, "zh") for part in emoji}
for part, data in emoji.items():
    print(f"{part:10} {len(data):5} emoji of {len(data.family.unique()):3} families")
some = torch.arange(0, 240, 21)[:12]
titles = [textwrap.fill(emoji["test"].names[i], 17) for i in some]
plots.show(plots.images_grid(emoji["test"].floats()[some], titles, columns=6, size=1.3),
           alt="Twelve emoji of the test part with their English names.")  # fmt: skip

# %% [markdown]
# A sentence encoder turns a name into a vector. An image network turns a picture into a vector.
# Both have learnt a great deal: MiniLM (lesson 02) from a billion pairs of sentences,
# EfficientNet-Lite0 (lesson 03) from 1.3 million photographs with labels. But neither has ever met
# the other. We keep both **frozen** and compute their vectors once.

# %%
net, (minilm, wordpiece) = load_efficientnet_lite0(), load_minilm()
SIDE = lab.pick(cpu=128, gpu=224)


@torch.no_grad()
def sentences(texts):
    """MiniLM's embedding (texts, 384) of each text."""
    parts = []
    for start in range(0, len(texts), 64):
        x, mask = encode_texts(wordpiece, texts[start : start + 64])  # (64, words) each
        parts.append(sentence_embedding(minilm(x, mask), mask))  # (64, 384)
    return torch.cat(parts)


pictures, names, names_and_keywords, right = {}, {}, {}, {}
for part, data in emoji.items():
    grid = cached_features(f"emoji-{part}-{SIDE}", data.images, net,
                           lambda some: net.grid(some, SIDE))  # (n, patches, 1280)
    pictures[part] = grid.mean(1)  # (n, 1280) the mean of the patches
    names[part] = sentences(data.names)  # (n, 384)
    names_and_keywords[part] = sentences(data.texts())  # (n, 384)
    right[part] = data.right_answers(alike=0.05)  # (n, n) bool
print({name: tuple(value["test"].shape) for name, value in
       (("pictures", pictures), ("names", names))})  # fmt: skip
print(f"in the test part {int(right['test'].sum()) - 240} of 240 x 239 other names are right too:")
i, j = (right["test"] & ~torch.eye(240, dtype=torch.bool)).nonzero()[0].tolist()
print(f"  for example {emoji['test'].names[i]!r} and {emoji['test'].names[j]!r}")

# %% [markdown]
# 1280 numbers on one side, 384 on the other. Which picture goes with which name?
#
# ## 2. The contrastive loss
#
# Give each side a linear map into a common space, $a_i = W_a v_i$ for picture $i$ and
# $b_j = W_b t_j$ for text $j$, both brought to length 1. Their dot product
# $s_{ij} = a_i \cdot b_j$ is the cosine of the angle between them, the **score**. A batch of $n$
# pairs gives a table of $n \times n$ scores. On its diagonal are the true pairs.
#
# Row $i$ is a multiple-choice question: *which of these n texts belongs to picture i?* We know how
# to train on multiple choice since lesson 02, where the choice was among words: softmax, then
# minus the logarithm of the right one's probability. With a **temperature** $\tau$ that divides
# the scores,
#
# $$p_{ij} = \frac{e^{s_{ij}/\tau}}{\sum_k e^{s_{ik}/\tau}}, \qquad
#   L_{\text{rows}} = -\frac1n \sum_i \log p_{ii} .$$
#
# Column $j$ asks the other way round: *which picture belongs to text j?* The **contrastive loss**,
# also called InfoNCE, is the mean of both. No label was needed: the batch itself is the set of
# wrong answers, the **negatives**.
#
# On a table small enough to check by hand, with $\tau = 1$:

# %%
scores = torch.tensor([[2.0, 1.0, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, 2.0]])  # (pictures, texts)
p = scores.softmax(dim=1)  # (pictures, texts) each row sums to 1
print(p)
print(f"row 0: e^2 / (e^2 + e^1 + e^0) = {math.e**2 / (math.e**2 + math.e + 1):.4f}")
print(f"L of the rows: {-p.diagonal().log().mean():.4f}")

# %% [markdown]
# > **Exercise 06.1 · write it** · difficulty 1 of 3 · 10 minutes
# >
# > The contrastive loss of a table of scores that are divided by the temperature already, both
# > ways.

# %%
def contrastive(scores):
    """The contrastive loss of scores (n, n): the right text of picture i is text i. One number."""
    ### BEGIN SOLUTION
    own = torch.arange(len(scores))  # (n,)
    find_text = F.cross_entropy(scores, own)
    find_picture = F.cross_entropy(scores.T, own)
    return (find_text + find_picture) / 2
    ### END SOLUTION


# %%
contrastive = check("06.1", contrastive)

# %% [markdown]
# The same loss is in `transformers`, inside CLIP. A small CLIP with random weights gives a table of
# scores and its loss; ours, from the same table:

# %%
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig  # noqa: E402

sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
ends = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0)
config = CLIPConfig(text_config=CLIPTextConfig(vocab_size=50, **sizes, **ends).to_dict(),
                    vision_config=CLIPVisionConfig(image_size=32, patch_size=16, **sizes).to_dict())
torch.manual_seed(0)
with torch.no_grad():
    clip = CLIPModel(config).eval()(input_ids=torch.randint(3, 50, (6, 7)),
                                    pixel_values=torch.randn(6, 3, 32, 32), return_loss=True)
table = clip.logits_per_image  # (pictures, texts)
print(f"CLIP {clip.loss:.5f}, the exercise's {contrastive(table):.5f}, "
      f"the package's {contrastive_loss(table):.5f}")  # fmt: skip
lab.claim("all three agree to 1e-6", max(abs(clip.loss - contrastive(table)),
                                         abs(clip.loss - contrastive_loss(table))) < 1e-6)

# %% [markdown]
# > **Exercise 06.2 · work out a number** · difficulty 1 of 3 · 5 minutes
# >
# > A model that knows nothing scores all pairs alike. What is its contrastive loss in a batch of
# > 256 pairs? Two digits after the point are enough.

# %%
know_nothing = None
### BEGIN SOLUTION
know_nothing = math.log(256)  # every text has probability 1 / 256
### END SOLUTION

# %%
know_nothing = check("06.2", know_nothing)

# %% [markdown]
# So a contrastive loss means nothing without its batch size: a loss of 4 is bad for 64 pairs and
# good for 4096.
#
# ### What the temperature does
#
# The gradient of cross-entropy by a score is $(p_{ij} - y_{ij}) / \tau$ with $y_{ij} = 1$ on the
# diagonal and 0 elsewhere (lesson 07, section 4, derives it): the right text is pulled with force
# $(1 - p_{ii}) / \tau$, and the wrong ones are pushed with $p_{ij} / \tau$ each, as much in all.
# How is the push shared out?
#
# > **Exercise 06.3 · write it** · difficulty 2 of 3 · 10 minutes
# >
# > Each wrong text's share of the whole push in a row of scores. The shares sum to 1; the own
# > text's is 0.

# %%
def push_shares(scores, own, temperature):
    """scores (texts,) cosines; own: which text is right -> shares (texts,) of the push."""
    ### BEGIN SOLUTION
    wrong = scores.clone()  # (texts,)
    wrong[own] = -torch.inf  # its softmax is 0
    return (wrong / temperature).softmax(0)
    ### END SOLUTION


# %%
push_shares = check("06.3", push_shares)

# %%
row = torch.tensor([0.6, 0.5, 0.3, 0.1, 0.0, -0.1, -0.2])  # (texts,) cosines; the first is right
figure, axis = plt.subplots(figsize=(6.4, 3))
for i, temperature in enumerate((1.0, 0.2, 0.07, 0.02)):
    shares = push_shares(row, 0, temperature)[1:]
    axis.plot(range(1, 7), 100 * shares, plots.DASHES[i % len(plots.DASHES)], marker="o",
              color=plots.PALETTE[i], label=f"temperature {temperature}")
    print(f"temperature {temperature:4}: the hardest negative gets {100 * shares[0]:5.1f} %")
axis.set(xlabel="wrong text (cosine 0.5, 0.3, 0.1, 0.0, -0.1, -0.2)",
         ylabel="share of the push (%)",
         title="A low temperature pushes the most confusing text only")
axis.legend()
plots.show(figure, alt="Shares of the push on six wrong texts: at temperature 1 nearly even, at "
           "0.02 all of it on the most similar one.")  # fmt: skip

# %% [markdown]
# A high temperature pushes all negatives alike, a low one only the most similar. Which is right
# depends on the data, so CLIP learns it: the weight is $\log(1/\tau)$, which starts at
# $\log(1/0.07)$, and $1/\tau$ is kept at 100 at most. `Temperature` does that.
#
# ## 3. Two heads
#
# All that we train are two matrices and a temperature. Dropout on the frozen features is strong:
# 1,185 pairs are few for 1280 inputs.

# %%
class Heads(nn.Module):
    """Scores (pictures, texts) of frozen vectors of both sides."""

    def __init__(self, picture_dim, text_dim, space=256):
        super().__init__()
        self.register_buffer("mean", pictures["train"].mean(0))  # (picture_dim,)
        self.register_buffer("std", pictures["train"].std(0) + 1e-3)
        self.picture = nn.Sequential(nn.Dropout(0.5), nn.Linear(picture_dim, space))
        self.text = nn.Sequential(nn.Dropout(0.5), nn.Linear(text_dim, space))
        self.temperature = Temperature()

    def forward(self, v, t):
        a = self.picture((v - self.mean) / self.std)  # (pictures, space)
        return cosine_scores(a, self.text(t))  # (pictures, texts)


UPDATES = lab.steps(cpu=300, gpu=300)


def train_heads(texts, batch=256, updates=UPDATES, seed=lab.seed):
    """Heads trained on pictures["train"] with two texts each: texts, a pair of (n, text_dim)."""
    torch.manual_seed(seed)
    model = Heads(pictures["train"].shape[1], texts[0].shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1.0)
    for _ in range(updates):
        rows = torch.randperm(len(pictures["train"]))[:batch]  # (batch,)
        which = torch.rand(len(rows), 1) < 0.5  # the name alone, or with keywords
        t = torch.where(which, texts[0][rows], texts[1][rows])  # (batch, text_dim)
        scores = model.temperature(model(pictures["train"][rows], t))  # (batch, batch)
        loss = contrastive_loss(scores, right["train"][rows][:, rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


heads = train_heads((names["train"], names_and_keywords["train"]))

# %% [markdown]
# `right` in the loss says which names are true of which pictures; section 6 shows what happens
# without it. To judge a search, count how often a right answer is among the first $k$ of the list:
# **recall at k**, R@k.
#
# > **Exercise 06.4 · write it** · difficulty 2 of 3 · 10 minutes
# >
# > Rows of `scores` (queries, choices) are searches. `right` (queries, choices) is True where a
# > choice is a right answer; there may be several, and one among the k best is enough.

# %%
def recall_at(scores, right, k):
    """Share of the queries with a right answer among the k best choices. A number."""
    ### BEGIN SOLUTION
    best = scores.topk(k, dim=1).indices  # (queries, k)
    return right.gather(1, best).any(1).double().mean().item()
    ### END SOLUTION


# %%
recall_at = check("06.4", recall_at)

# %% [markdown]
# Baselines first. *Chance* is exact: a random order. *Class names* needs no training at all: let
# the image network name what it sees (its ten likeliest ImageNet classes), and let MiniLM compare
# these words with the emoji's name.

# %%
@torch.no_grad()
def by_class_names(v):
    """Scores (pictures, names of the test part) through the names of ImageNet's classes."""
    top = net.classifier(v).softmax(1).topk(10)  # (pictures, 10) each
    weights = top.values / top.values.sum(1, keepdim=True)  # (pictures, 10)
    said = (weights[..., None] * class_vectors[top.indices]).sum(1)  # (pictures, 384)
    return cosine_scores(said, names["test"])


class_vectors = sentences(imagenet_names())  # (1000, 384)
with torch.no_grad():
    tables = {"class names, no training": by_class_names(pictures["test"]),
              "two trained heads": heads(pictures["test"], names["test"])}  # fmt: skip
guess = chance(right["test"])


def search_row(label, found):
    """Label, R@1, R@10 and median rank, with their spread over seeds."""
    return [label, lab.measured(f"06.{label}.r1", 100 * found.r1, "%"),
            lab.measured(f"06.{label}.r10", 100 * found.r10, "%"),
            lab.measured(f"06.{label}.median", found.median, digits=0)]  # fmt: skip


words_first = {name: retrieval(scores.T, right["test"].T) for name, scores in tables.items()}
rows = [["chance", f"{100 * guess.r1:.1f} %", f"{100 * guess.r10:.1f} %", f"{guess.median:.0f}"],
        *(search_row(name, found) for name, found in words_first.items())]  # fmt: skip
plots.table(rows, header=["240 unseen names: find the picture", "R@1", "R@10", "median rank"])
lab.claim("the heads find a right picture among the first ten more than four times as often as "
          "chance, and the median rank is less than half of chance's",
          words_first["two trained heads"].r10 > 4 * guess.r10
          and words_first["two trained heads"].median < guess.median / 2)  # fmt: skip
lab.claim("recall_at agrees with the package", math.isclose(
    recall_at(tables["two trained heads"].T, right["test"].T, 10),
    words_first["two trained heads"].r10))  # fmt: skip

# %% [markdown]
# Two matrices and 1,185 pairs: far better than chance, and far from good. All that the heads can
# use is what the frozen networks have kept. EfficientNet was trained on photographs of things, and
# many emoji are signs, faces and hands. Look at some searches.

# %% tags=["varies"]
def show_search(words, count=6):
    """The pictures of the test part that lie nearest to `words`."""
    with torch.no_grad():
        scores = heads(pictures["test"], sentences([words]))[:, 0]  # (pictures,)
    best = scores.topk(count)
    shown = [f"{emoji['test'].names[i]} ({s:.2f})" for s, i in zip(*(t.tolist() for t in best))]
    return emoji["test"].floats()[best.indices], shown


queries = ("something to drink", "a vehicle", "an animal that lives in the sea", "music")
found = [show_search(words) for words in queries]
images = torch.cat([pictures_of for pictures_of, _ in found])  # (24, 3, 64, 64)
titles = [textwrap.fill(title, 17) for _, shown in found for title in shown]
plots.show(plots.images_grid(images, titles, columns=6, size=1.5),
           alt="Four rows of six emoji, the nearest to: something to drink, a vehicle, an animal "
           "that lives in the sea, music.")  # fmt: skip
print("rows:", "; ".join(queries))

# %% [markdown]
# None of these four texts is an emoji's name. The sentence encoder brings its knowledge of language
# along.
#
# Try your own: type words, or choose a picture. (A page without a running kernel shows no
# controls.)

# %% tags=["varies"]
def nearest_names(i, count=8):
    """(name, score) of the names of the test part that lie nearest to its picture i."""
    with torch.no_grad():
        best = heads(pictures["test"][[i]], names["test"])[0].topk(count)
    return [(emoji["test"].names[j], s) for s, j in zip(*(t.tolist() for t in best))]


def nearest_pictures(words):
    """As `show_search`; says what is missing when there are no words."""
    if not words.strip():
        raise ValueError("type a word or a sentence, such as: something to drink")
    return show_search(words, 12)


widgets.explorer(nearest_pictures, nearest_names, emoji["test"].floats(), emoji["test"].names,
                 query="something to drink")  # fmt: skip

# %% [markdown]
# ### How large must a batch be?
#
# The batch is the set of wrong answers. Larger batches ask harder questions, and contain more
# similar things. Every run below sees equally many pairs.

# %%
by_batch = {}
for batch in (8, 32, 256):
    model = train_heads((names["train"], names_and_keywords["train"]), batch,
                        updates=UPDATES * 256 // batch // 4)  # fmt: skip
    with torch.no_grad():
        found = retrieval(model(pictures["validation"], names["validation"]).T,
                          right["validation"].T)  # fmt: skip
    by_batch[batch] = found
    print(f"batch {batch:3}: R@10 on the validation part",
          lab.measured(f"06.batch.{batch}", 100 * found.r10, "%"))  # fmt: skip
lab.claim("with equally many pairs a batch of 256 finds more than a batch of 8",
          by_batch[256].r10 > by_batch[8].r10)  # fmt: skip

# %% [markdown]
# With equally many pairs the larger batch wins, although the smallest makes 32 times as many
# updates: among eight names there is seldom one that is hard to tell from the right one. With
# encoders that are trained as a whole, on millions of pairs, batches of thousands are usual.
#
# One trap: **accumulating gradients does not make a contrastive batch larger.** Two halves of a
# batch, each with its own loss, are two smaller tables; the negatives across the halves are
# missing.

# %%
a, b = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(1))  # (8, 16) each
scores = cosine_scores(a, b) / 0.1  # (8, 8)
whole = contrastive(scores)
halves = (contrastive(scores[:4, :4]) + contrastive(scores[4:, 4:])) / 2
print(f"one table of 8: {whole:.3f}; mean of two tables of 4: {halves:.3f}")

# %% [markdown]
# ### A loss without competition
#
# SigLIP asks a yes/no question about every pair of the table instead: binary cross-entropy, with a
# bias that starts far below 0, as most pairs are wrong. It needs no sum over a row, which helps
# when a batch is spread over many machines. Its value equals that of `transformers` too:

# %%
from transformers import (  # noqa: E402
    SiglipConfig, SiglipModel, SiglipTextConfig, SiglipVisionConfig,
)  # fmt: skip

config = SiglipConfig(
    text_config=SiglipTextConfig(vocab_size=50, **sizes, **ends).to_dict(),
    vision_config=SiglipVisionConfig(image_size=32, patch_size=16, **sizes).to_dict())  # fmt: skip
torch.manual_seed(0)
with torch.no_grad():
    siglip = SiglipModel(config).eval()(input_ids=torch.randint(3, 50, (6, 7)),
                                        pixel_values=torch.randn(6, 3, 32, 32), return_loss=True)
print(f"SigLIP {siglip.loss:.5f}, ours {sigmoid_loss(siglip.logits_per_image):.5f}")
lab.claim("the sigmoid loss equals SigLIP's to 1e-5",
          abs(siglip.loss - sigmoid_loss(siglip.logits_per_image)) < 1e-5)  # fmt: skip

# %% [markdown]
# ## 4. In Chinese
#
# The same emoji have Chinese names. The heads do not care about the language: they take whatever
# vector the sentence encoder gives.
#
# > **Exercise 06.5 · predict first** · difficulty 1 of 3 · 3 minutes
# >
# > Search with the Chinese names, through MiniLM and the heads trained in English. What will the
# > median rank of the right picture among 240 be? (Chance gives 118.)

# %%
my_rank = None
### BEGIN SOLUTION
my_rank = 100  # a guess, written down before the search
### END SOLUTION

# %%
my_rank = check("06.5", my_rank)

# %%
zh_names = {part: sentences(data.names) for part, data in chinese.items()}
with torch.no_grad():
    in_chinese = retrieval(heads(pictures["test"], zh_names["test"]).T, right["test"].T)
compare_prediction("06.chinese.rank", my_rank, in_chinese.median, digits=0)
ids = [i for name in chinese["test"].names for i in wordpiece.encode(name).ids[1:-1]]
unknown = sum(i == wordpiece.token_to_id("[UNK]") for i in ids) / len(ids)
print(f"{chinese['test'].names[3]!r} becomes {wordpiece.encode(chinese['test'].names[3]).tokens}")
print(f"{100 * unknown:.1f} % of the tokens of the Chinese names are [UNK]")

# %% [markdown]
# The encoder was trained on English, and its vocabulary hardly has Chinese characters. Most of a
# name turns into `[UNK]`, the same token for every unknown character, and what has become the same
# no head can tell apart.
#
# The repair: a text side of our own, trained on nothing but the 1,185 Chinese names and their
# keywords. It is as simple as can be: one vector for each character, and their mean.

# %%
characters = word_tokenizer([*chinese["train"].names, *chinese["train"].texts()])
print(characters.get_vocab_size(), "characters and words")


class Characters(nn.Module):
    """A text is the mean of the vectors of its characters."""

    def __init__(self, vocab_size, dim=256):
        super().__init__()
        self.table = nn.Embedding(vocab_size, dim)
        nn.init.normal_(self.table.weight, std=0.1)

    def forward(self, x, mask):
        keep = mask[..., None]  # (texts, words, 1)
        return (self.table(x) * keep).sum(1) / keep.sum(1)  # (texts, dim)


def train_characters(updates=UPDATES):
    """Heads as before, but the Chinese text side is trained with them."""
    torch.manual_seed(lab.seed)
    encoded = [encode(characters, texts) for texts in (chinese["train"].names,
                                                       chinese["train"].texts())]  # fmt: skip
    text_side, model = Characters(characters.get_vocab_size()), Heads(1280, 256)
    parameters = [*text_side.parameters(), *model.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.1)
    for step in range(updates):
        rows = torch.randperm(len(pictures["train"]))[:256]  # (batch,)
        x, mask = (tensor[rows] for tensor in encoded[step % 2])  # (batch, words) each
        scores = model.temperature(model(pictures["train"][rows], text_side(x, mask)))
        loss = contrastive_loss(scores, right["train"][rows][:, rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return text_side.eval(), model.eval()


text_side, zh_heads = train_characters()
with torch.no_grad():
    t = text_side(*encode(characters, chinese["test"].names))  # (240, 256)
    own_side = retrieval(zh_heads(pictures["test"], t).T, right["test"].T)

# %% [markdown]
# And a second try with MiniLM: heads trained on its vectors of the Chinese names, so that only the
# encoder is to blame.

# %%
zh_keywords = sentences(chinese["train"].texts())  # (1185, 384)
retrained = train_heads((zh_names["train"], zh_keywords))
with torch.no_grad():
    through_minilm = retrieval(retrained(pictures["test"], zh_names["test"]).T, right["test"].T)
rows = [["chance", f"{100 * guess.r1:.1f} %", f"{100 * guess.r10:.1f} %", f"{guess.median:.0f}"],
        search_row("Chinese, MiniLM, heads from English", in_chinese),
        search_row("Chinese, MiniLM, heads from Chinese", through_minilm),
        search_row("Chinese, one vector a character", own_side),
        ["English, for comparison", *search_row("two trained heads",
                                                words_first["two trained heads"])[1:]]]  # fmt: skip
plots.table(rows, header=["240 unseen names: find the picture", "R@1", "R@10", "median rank"])
lab.claim("one vector a character finds more pictures among the first ten than MiniLM with heads "
          "from English, and fewer than MiniLM in English",
          in_chinese.r10 < own_side.r10 < words_first["two trained heads"].r10)  # fmt: skip

# %% [markdown]
# A character that occurs in a new name often occurred in a training name: 马 is in every horse. So
# even a mean of characters goes some way. The rest, that two different words mean the same, it can
# only have from pretraining on text, which it has not had.
#
# ## 5. False negatives
#
# A contrastive loss takes every other text of the batch for wrong. Is it? In the teaching world we
# can look: whether a caption is true of a scene is known exactly. We take its shortest captions,
# *a red circle*, *a blue cross*, one a scene.

# %%
tokenizer = pair_tokenizer()


def short_captions(part, scenes):
    """Pictures with one caption of three words each; there are 32 different ones."""
    data = load_captions("iid", part, scenes, seed=1, per_scene=1, tokenizer=tokenizer)
    short = [[i for i in sorted(true) if len(data.texts[i].split()) == 3] for true in data.true]
    chooser = torch.Generator().manual_seed(0)
    chosen = [ids[torch.randint(len(ids), (), generator=chooser)] for ids in short]
    return replace(data, own=torch.tensor(chosen)[:, None])


captions = short_captions("train", 2400)
n = 64
batch = captions.__getitems__(list(range(n)))  # 64 pictures with a caption each
off_diagonal = ~torch.eye(n, dtype=torch.bool)  # (64, 64)
texts = [captions.texts[i] for i in captions.own[:n, 0].tolist()]
same = torch.tensor([[a == b for b in texts] for a in texts])  # (64, 64) the same caption
print(f"of {n * (n - 1)} 'negatives' in a batch of {n}, {int((same & off_diagonal).sum())} are the "
      f"same caption, and {int((batch.right & off_diagonal).sum())} are true of the picture")
i, j = (batch.right & ~same).nonzero()[0].tolist()
plots.show(plots.images_grid(batch.images[[i, j]], [texts[i], texts[j]], size=2.2),
           alt="Two scenes with their captions; the caption of the second is true of both.")
print(f"{texts[j]!r} is true of the first picture too")
lab.claim("nearly every picture has a false negative in a batch of 64",
          (batch.right & off_diagonal).any(1).double().mean().item() > 0.9)

# %% [markdown]
# Such a pair is a **false negative**: the loss pushes apart what belongs together. With two
# identical captions the best that a perfect model can do is to give each half of the probability.
#
# > **Exercise 06.6 · write it** · difficulty 2 of 3 · 10 minutes
# >
# > A loss with several right answers: the target of a row is spread evenly over all its right
# > texts, the target of a column over all its right pictures.

# %%
def contrastive_with(scores, right):
    """scores (n, n) over temperature, right (n, n) bool -> the loss, both ways."""
    ### BEGIN SOLUTION
    rows = right / right.sum(1, keepdim=True)  # (n, n) each row sums to 1
    columns = right.T / right.T.sum(1, keepdim=True)  # (n, n)
    find_text = -(rows * scores.log_softmax(1)).sum(1).mean()
    find_picture = -(columns * scores.T.log_softmax(1)).sum(1).mean()
    return (find_text + find_picture) / 2
    ### END SOLUTION


# %%
contrastive_with = check("06.6", contrastive_with)

# %% [markdown]
# Does it matter? We train two small towers on the captions of 2,400 scenes with each of three
# ideas of what is right: the diagonal only; identical captions as well; the truth. The picture
# side stands on the frozen stem of a model that has been pretrained on the world's captions (its
# story is section 6), so it takes seconds. Then each of 400 new scenes looks for a caption among
# all 32, and every true one counts.

# %%
world = load_weights(world_pretraining_model(tokenizer),
                     lab.data_path("checkpoints/world_pretrained.safetensors"))  # fmt: skip


@torch.no_grad()
def stem_features(images):
    """v (n, 16, 64) of uint8 pictures."""
    return torch.cat([world.stem(some.float() / 255) for some in images.split(100)])


class Towers(nn.Module):
    """Scores of patches (n, 16, 64) and captions: a mean over patches, a mean over words."""

    def __init__(self, vocab_size, dim=64):
        super().__init__()
        self.picture = nn.Sequential(nn.Linear(16 * 64, 256), nn.GELU(), nn.Linear(256, dim))
        self.words = Characters(vocab_size, dim)
        self.text = nn.Sequential(nn.Linear(dim, 256), nn.GELU(), nn.Linear(256, dim))
        self.temperature = Temperature()

    def forward(self, v, x, mask):
        return cosine_scores(self.picture(v.flatten(1)), self.text(self.words(x, mask)))


shown, asked = captions, short_captions("test", 400)
shown_v, asked_v = (stem_features(data.images) for data in (shown, asked))  # (n, 16, 64) each
asked_texts = asked.own[:, 0].unique()  # (32,) each caption once
asked_right = asked.right(torch.arange(400), asked_texts)  # (400, 32)

# %%
def train_towers(what_is_right):
    """Trains on batches of 64; what_is_right(batch rows) -> (64, 64) bool."""
    torch.manual_seed(lab.seed)
    model = Towers(tokenizer.get_vocab_size())
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(lab.steps(cpu=400, gpu=400)):
        rows = torch.randperm(2400)[:64]  # (64,)
        own = shown.own[rows, 0]  # (64,) the caption of each
        scores = model.temperature(model(shown_v[rows], shown.x[own], shown.mask[own]))
        loss = contrastive_loss(scores, what_is_right(rows, own))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        scores = model.eval()(asked_v, asked.x[asked_texts], asked.mask[asked_texts])  # (400, 32)
    return retrieval(scores, asked_right)


# %%
ideas = {
    "the diagonal only": lambda rows, own: torch.eye(len(rows), dtype=torch.bool),
    "identical captions too": lambda rows, own: own[:, None] == own[None, :],
    "whatever is true": lambda rows, own: shown.right(rows, own),
}
towers = {name: train_towers(idea) for name, idea in ideas.items()}
guess_world = chance(asked_right)
rows = [["chance", f"{100 * guess_world.r1:.1f} %", f"{100 * guess_world.r5:.1f} %"],
        *([name, lab.measured(f"06.towers.{name}.r1", 100 * found.r1, "%"),
           lab.measured(f"06.towers.{name}.r5", 100 * found.r5, "%")]
          for name, found in towers.items())]  # fmt: skip
plots.table(rows, header=["right in the loss", "R@1 (a true caption first)", "R@5"])
gain = 100 * (towers["whatever is true"].r1 - towers["the diagonal only"].r1)
print("the truth against the diagonal:", lab.measured("06.towers.gain", gain, "points of R@1"))
lab.claim("the truth in the loss finds a true caption more often than the diagonal", gain > 0)

# %% [markdown]
# The truth helps. Identical captions alone do not: to call two copies of one caption right moves
# both in the same way, and a search among *different* captions does not notice. What hurts the
# search is another caption that is true as well.
#
# Nobody knows the truth about pictures from the web. Identical texts are easy to find; for the rest
# one uses larger data, a higher temperature, or a model's own scores as soft targets.
#
# ## 6. Masked words, given the picture
#
# The contrastive loss compares a whole picture with a whole text. The joint encoder of lesson 04
# can be asked a finer question: *there is a [MASK] circle. Which word?* This is the masked language
# model of lesson 02, with a picture beside the words.
#
# The checkpoint `world_pretrained` is the joint model, pretrained on captions of 6,000 scenes, in
# English and in Chinese, 24 passes, with four losses: masked words given the picture; contrast
# (the picture alone against the text alone, both through the same encoder); matching (section 7);
# and, from pictures and texts that need no partner, masked words without a picture and hidden
# patches without words. It is made by `python -m course_utils.recipes world_pretrained`, in about
# nine minutes on one core. It has never seen a question, an answer, or a caption that names one of
# four held-out combinations, such as a red circle.
#
# Mask one word at a time, and ask for it three times: with the right picture, with another one, and
# with none.

# %%
told = load_captions("composition", "validation", 400, seed=3, per_scene=1, tokenizer=tokenizer)
told_v, own = stem_features(told.images), told.own[:, 0]
x, mask = told.x[own], told.mask[own]  # (400, words) each
MASK = tokenizer.token_to_id("[MASK]")
KINDS = {"colour": set(COLOURS), "shape": set(SHAPES), "size": {"small", "large"},
         "relation": {"left", "right", "above", "below"},
         "a, there, is, of": {"a", "there", "is", "of"}}  # fmt: skip


@torch.no_grad()
def word_losses(v):
    """-log p (texts, words) of each word when it alone is masked; 0 at padding and [CLS]."""
    found = torch.zeros(x.shape)  # (400, words)
    for at in range(1, x.shape[1]):
        shown = x.clone()  # (400, words)
        shown[:, at] = MASK
        logits = world.word_logits(world.encoder(shown, v, mask)[:, at])  # (400, vocab_size)
        loss = F.cross_entropy(logits, x[:, at], reduction="none")  # (400,)
        found[:, at] = loss * mask[:, at]
    return found


def share(right_ones):
    """A share of independent cases in per cent, with its standard error."""
    p, n = right_ones.double().mean().item(), len(right_ones)
    return f"{100 * p:.1f} ± {100 * max(math.sqrt(p * (1 - p) / n), 0.5 / n):.1f} %"


vocabulary = tokenizer.get_vocab()
kind_of = {vocabulary[word]: kind for kind, group in KINDS.items() for word in group}
losses = {"its picture": word_losses(told_v), "another picture": word_losses(told_v.roll(1, 0)),
          "no picture": word_losses(None)}  # fmt: skip
means = {name: {kind: loss[torch.isin(x, torch.tensor([i for i, k in kind_of.items() if k == kind]))
                           & mask].mean().item() for kind in KINDS}
         for name, loss in losses.items()}  # fmt: skip

# %%
figure, axis = plt.subplots(figsize=(7, 3.2))
for i, (name, by_kind) in enumerate(means.items()):
    place = torch.arange(len(KINDS)) + 0.27 * (i - 1)
    axis.bar(place, list(by_kind.values()), 0.25, label=name, color=plots.PALETTE[i])
axis.set_xticks(range(len(KINDS)), list(KINDS))
axis.set(ylabel="-log p of the masked word (nat)",
         title="The picture tells colours and shapes; sizes were not learnt")
axis.legend()
plots.show(figure, alt="Bars: the loss of masked colours and shapes is far lower with the right "
           "picture than with another or none; for 'a, there, is, of' it is near zero each time.")
plots.table([[kind, *(f"{means[name][kind]:.2f}" for name in means)] for kind in KINDS],
            header=["masked word", *means])  # fmt: skip
told_by_picture = {k: means["no picture"][k] - means["its picture"][k] for k in KINDS}
lab.claim("its own picture takes more than half a nat off colours and shapes, against none",
          min(told_by_picture["colour"], told_by_picture["shape"]) > 0.5)
lab.claim("for all other words it takes off less than a tenth of a nat",
          all(told_by_picture[k] < 0.1 for k in ("size", "relation", "a, there, is, of")))

# %% [markdown]
# The difference between *no picture* and *its picture* is what the picture tells about the word, in
# nat, as this model can use it. With another picture the loss of colours and shapes is *above* that
# of no picture: the model believes what it sees.
#
# The words on the right have a loss of zero without any picture. **A masked word that the text
# alone can guess teaches nothing about pictures**, and if the masked words are drawn from all
# words, much of the training goes there.
#
# The words in the middle are another matter. The picture shows whether a thing is small, and where
# it lies, but this model has not learnt to read it: its loss is $\log 2$, a coin toss between the
# two words that fit. In the sum of all losses nothing of this can be seen. It took a table by
# kinds of words.
#
# ## 7. Matching, and hard negatives
#
# The third loss is a yes/no question to the joint encoder: does this text belong to this picture?
# Wrong texts have to come from somewhere. A random caption usually differs in colour *and* shape
# *and* number, so the question is easy. A **hard negative** is a wrong text that the contrastive
# scores find convincing. The function below was to draw them. It has two faults.
#
# > **Exercise 06.7 · repair it** · difficulty 2 of 3 · 10 minutes
# >
# > For each picture (row), draw a wrong text with the softmax of its scores. `right` is True where
# > a text is true of a picture: such a text must never be drawn.

# %%
def hard_wrong(scores, right, generator):
    """scores, right (pictures, texts) -> number of a wrong text for each picture (pictures,)."""
    p = scores.softmax(dim=0)
    ### BEGIN SOLUTION
    p = scores.masked_fill(right, -torch.inf).softmax(dim=1)  # over texts, the right ones left out
    ### END SOLUTION
    return p.multinomial(1, generator=generator)[:, 0]


# %%
hard_wrong = check("06.7", hard_wrong)

# %% [markdown]
# How good is the pretrained model at matching? Three kinds of wrong captions: random ones of the
# batch, hard ones, and the hardest kind, made by hand: scenes with two objects, where the caption
# exchanges the two colours. *A red circle left of a blue square* and *a blue circle left of a red
# square* have the same words.

# %%
with torch.no_grad():
    rows = torch.arange(400)
    told_right = told.right(rows, own)  # (400, 400)
    scores = cosine_scores(world.embed_pictures(told_v), world.embed_texts(x, mask))
    generator = torch.Generator().manual_seed(0)
    wrong = {"random": hard_negatives(torch.zeros_like(scores), told_right, generator),
             "hard": hard_negatives(20 * scores, told_right, generator)}  # (400,) each
    accepted = world.match_logits(told_v, x, mask) > 0  # (400,)
    refused = {kind: world.match_logits(told_v, x[w], mask[w]) < 0
               for kind, w in wrong.items()}  # fmt: skip

pairs = [(c1, s1, c2, s2) for c1 in COLOURS for s1 in SHAPES for c2 in COLOURS for s2 in SHAPES
         if c1 != c2 and s1 != s2 and not {(c1, s1), (c2, s2), (c1, s2), (c2, s1)} & set(HELD_OUT)]
chosen = [pairs[i] for i in torch.randperm(len(pairs), generator=generator)[:300].tolist()]
scene_images = torch.cat([torch.from_numpy(draw(compose([
    ("large", c1, s1, 16, 32), ("large", c2, s2, 48, 32)]))) for c1, s1, c2, s2 in chosen])
true_text = encode(tokenizer, [f"a {c1} {s1} left of a {c2} {s2}" for c1, s1, c2, s2 in chosen])
false_text = encode(tokenizer, [f"a {c2} {s1} left of a {c1} {s2}" for c1, s1, c2, s2 in chosen])
with torch.no_grad():
    v = stem_features(scene_images)  # (300, 16, 64)
    judged = [world.match_logits(v, *text) for text in (true_text, false_text)]  # (300,) each
    compared = [F.cosine_similarity(world.embed_pictures(v), world.embed_texts(*text))
                for text in (true_text, false_text)]  # fmt: skip
swap = {"matching": judged[0] > judged[1], "contrast": compared[0] > compared[1]}  # (300,) each
plots.table([["true captions accepted", share(accepted)],
             *([f"{kind} wrong captions refused", share(r)] for kind, r in refused.items()),
             *([f"colours exchanged: true one preferred by {kind}", share(s)]
               for kind, s in swap.items())],
            header=["the pretrained model (a coin: 50 %)", "right"])  # fmt: skip
lab.claim("random captions are refused far more often than hard ones",
          refused["random"].double().mean() > refused["hard"].double().mean() + 0.2)

# %% [markdown]
# (The $\pm$ of this table and of the next section is a standard error: it says how far the share
# would move with other pictures, not with another training. There is one checkpoint.)
#
# Random wrong captions are refused nearly always. Of the hard ones about half slip through, and
# section 6 says why: the model knows neither sizes nor relations, the contrastive scores know as
# little, and so a hard negative is one that is wrong in just these. That is what hard negatives are
# for: they are made of what is not learnt yet.
#
# With exchanged colours the words are the same, and only *which colour belongs to which shape*
# differs. Here the model is not far above a coin: it has a good sense of which colours and shapes
# are there, and a poor one of what belongs to what. Large models that were trained by contrast have
# been found with the same weakness ([2210.01936](https://arxiv.org/abs/2210.01936)).
#
# ## 8. Zero-shot: naming without labels
#
# A model that scores pictures against texts is a classifier without training: write a sentence for
# each class, and take the best. First the world: one object a picture, 32 sentences *a red circle*,
# *a blue square*, ... Four of these combinations were in no caption.

# %%
classes = [(colour, shape) for colour in COLOURS for shape in SHAPES]
generator = torch.Generator().manual_seed(1)
places = torch.randint(14, 50, (len(classes) * 12, 2), generator=generator).tolist()
truth = [i % len(classes) for i in range(len(places))]
single = torch.cat([torch.from_numpy(draw(compose([("large", *classes[i], cx, cy)])))
                    for i, (cx, cy) in zip(truth, places)])  # (384, 3, 64, 64)
prompts_en = [f"a {colour} {shape}" for colour, shape in classes]
prompts = encode(tokenizer, prompts_en)
zh_prompts = encode(tokenizer, ["一个" + thing("zh", None, *kind) for kind in classes])
print(prompts_en[0], "/", "一个" + thing("zh", None, *classes[0]))
with torch.no_grad():
    v = world.embed_pictures(stem_features(single))  # (384, 64)
    best = {language: cosine_scores(v, world.embed_texts(*p)).argmax(1)
            for language, p in (("English", prompts), ("Chinese", zh_prompts))}
truth = torch.tensor(truth)
held = torch.tensor([classes[i] in HELD_OUT for i in truth.tolist()])
for language, guessed in best.items():
    hit = guessed == truth
    print(f"{language}: {share(hit[~held])} of the 28 combinations that were captioned, "
          f"{share(hit[held])} of the 4 that never were (chance {100 / len(classes):.1f} %)")
lab.claim("zero-shot naming is far above chance, also for combinations that were never captioned",
          min((best[l] == truth)[held].double().mean().item() for l in best) > 0.2)

# %% [markdown]
# Without a single label the model names things, in both languages, and also most of the
# combinations that nobody ever named to it: it has learnt *red* and *circle*, not only *red
# circle*.
#
# Now real pictures: to which category does an emoji belong? The sentences are the names
# of the categories, as they stand in Unicode's list. The heads have not been trained on them.

# %%
categories = sorted(set(emoji["test"].categories))
truth = torch.tensor([categories.index(c) for c in emoji["test"].categories])  # (240,)
with torch.no_grad():
    scores = heads(pictures["test"], sentences([c.lower() for c in categories]))  # (240, classes)
zero_shot = (scores.argmax(1) == truth).double().mean().item()
commonest = torch.bincount(truth).max().item() / len(truth)
print(f"{len(categories)} categories; always the commonest: {100 * commonest:.1f} %; zero-shot:",
      lab.measured("06.zero_shot", 100 * zero_shot, "%"))  # fmt: skip
lab.claim("zero-shot is more than 10 points above the commonest", zero_shot > commonest + 0.1)

# %% [markdown]
# ## 9. How many labels does it save?
#
# The reason for all this: fewer labels. We tune the world's joint model on 100 to 6,400 answered
# questions of four families and count right answers on 2,000 new ones. It starts from
#
# - **pairs**: the recipe of section 6, but eight passes only;
# - **alone**: as long on the same pictures and captions, but never together: masked words without
#   pictures, hidden patches without words ($D_v$ and $D_t$ unpaired);
# - **none**: random weights, the same 400 updates;
# - **none, equal compute**: random weights, and 3,000 updates more, about the time that pretraining
#   took;
# - **pairs, checkpoint**: the shipped model, 24 passes. There is one of it, so its spread comes
#   from the tuning alone.
#
# Each was tuned for 400 updates (but for *equal compute*), and the best of its epochs was chosen
# on 200 other questions. The runs were made by `python -m course_utils.label_curve` with three
# seeds, and are kept in `data/label_curve.json`; here they are drawn.

# %%
runs = json.loads(lab.data_path("label_curve.json").read_text())["runs"]
starts = list(dict.fromkeys(run["start"] for run in runs))
labels = sorted({run["labels"] for run in runs})


def accuracies(start, count):
    """Accuracy in per cent of each seed."""
    rows = [r for r in runs if r["start"] == start and r["labels"] == count]
    return torch.tensor([100 * r["accuracy"] for r in sorted(rows, key=lambda r: r["seed"])])


figure, axis = plt.subplots(figsize=(6.6, 3.6))
for i, start in enumerate(starts):
    found = torch.stack([accuracies(start, count) for count in labels])  # (sizes, seeds)
    dash = plots.DASHES[i % len(plots.DASHES)]
    axis.errorbar(labels, found.mean(1), found.std(1), fmt=dash + "o", capsize=3, markersize=4,
                  color=plots.PALETTE[i], label=start)
axis.set(xscale="log", xlabel="answered questions", ylabel="right answers (%)",
         title="Pairs save labels; where labels abound, training on them does as well")
axis.set_xticks(labels, labels)
axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
plots.show(figure, alt="Accuracy over the number of labels from 100 to 6,400 for five starts: the "
           "checkpoint is highest; equal compute without pretraining passes the short pretraining "
           "at 6,400 labels; the start from unpaired data stays lowest.")  # fmt: skip
plots.table([[start, *(lab.mean_spread(accuracies(start, n).tolist(), "%") for n in labels)]
             for start in starts], header=["start", *(f"{n} labels" for n in labels)])

# %%
def area(start, base):
    """Mean gap in points between two curves over the logarithm of the labels, for each seed."""
    gaps = [accuracies(start, n) - accuracies(base, n) for n in labels]
    gaps = torch.stack(gaps)  # (sizes, seeds)
    return (gaps[1:] + gaps[:-1]).mean(0) / 2  # the sizes are evenly spaced on the log axis


gained = {(start, base): area(start, base) for start, base in (
    ("pairs", "none, equal compute"), ("pairs", "alone"), ("alone", "none"))}
for (start, base), gap in gained.items():
    print(f"{start} against {base}: {lab.mean_spread(gap.tolist(), 'points')}, "
          f"by seed {', '.join(f'{g:+.1f}' for g in gap.tolist())}")
lab.claim("against as much compute without pretraining, pairs are ahead with 400 labels and behind "
          "with 6,400, with every seed",
          (accuracies("pairs", 400) > accuracies("none, equal compute", 400)).all().item()
          and (accuracies("pairs", 6400) < accuracies("none, equal compute", 6400)).all().item())
lab.claim("the checkpoint with 1,600 labels is ahead of random weights with 6,400 labels",
          accuracies("pairs, checkpoint", 1600).min() > accuracies("none", 6400).max())

# %% [markdown]
# **Pairs save labels.** From the checkpoint, 400 updates on 1,600 answers do more than the same
# updates on 6,400 answers from random weights.
#
# **Compute counts too.** Eight passes over captions take as long as 3,000 updates on answers. With
# 400 answers those updates are lost on learning few pictures by heart, and the captions win. With
# 6,400 answers they are better spent on the answers. Over the whole range the two about cancel:
# look at the first area and its $\pm$. A curve that shows only *pairs* against *none* would have
# hidden that.
#
# **Unpaired data did not help.** Masked words without pictures and hidden patches without words
# learn about each side by itself; what *red* looks like is in neither. This start ends at or below
# random weights, most of all where labels are many.
#
# And **captions are supervision too**: somebody wrote them, and these name colours and shapes,
# which is what half of the questions ask for.
#
# ## 10. On real pictures
#
# There is a second checkpoint, `real_pretrained`, for pictures that are not drawn by us: a joint
# encoder over the frozen grid features of EfficientNet-Lite0 (16 patches) and MiniLM's frozen
# WordPiece vectors. It was pretrained by the same losses on emoji and on captions of the world:
# `python -m course_utils.recipes real_pretrained`, about ten minutes. Two questions to it: what
# does its contrast alone find, against the two heads? And does it guess a masked colour from a
# picture of the world that it has not seen?

# %%
from course_utils.pretraining import grid_features, load_real_pretrained  # noqa: E402

real = load_real_pretrained(lab.data_path("checkpoints/real_pretrained.safetensors"))
with torch.no_grad():
    grid = grid_features("emoji-test", emoji["test"].images)  # (240, 16, 1280)
    x_names, mask_names = encode_texts(wordpiece, emoji["test"].names)  # (240, words) each
    by_joint = cosine_scores(real.embed_pictures(grid), real.embed_texts(x_names, mask_names))
    place = ranks(by_joint.T, right["test"].T)  # (240,) of the best right picture
    scene_grid = grid_features("world-lesson06", told.images[:100])  # (100, 16, 1280)
    hidden = [told.texts[i] for i in own[:100].tolist()]  # captions
    said = [next(word for word in text.split() if word in COLOURS) for text in hidden]
    shown = [text.replace(word, "[MASK]", 1) for text, word in zip(hidden, said)]
    x_real, mask_real = encode_texts(wordpiece, shown)  # (100, words) each
    at = (x_real == wordpiece.token_to_id("[MASK]")).nonzero()  # (100, 2)
    guessed = {}
    for name, v in (("its picture", scene_grid), ("another picture", scene_grid.roll(1, 0)),
                    ("no picture", None)):  # fmt: skip
        h = real.encoder(x_real, v, mask_real)[at[:, 0], at[:, 1]]  # (100, dim)
        best = real.words[real.word_logits(h).argmax(1)].tolist()  # token ids
        guessed[name] = torch.tensor(
            [wordpiece.id_to_token(i) == word for i, word in zip(best, said)])  # (100,)
print(f"unseen emoji names, joint encoder, contrast alone: R@1 {share(place <= 1)}, "
      f"R@10 {share(place <= 10)}")
print("masked colours of the world guessed:",
      ", ".join(f"{share(hit)} with {name}" for name, hit in guessed.items()))  # fmt: skip
lab.claim("with its picture it guesses more than twice as many colours as with none",
          guessed["its picture"].sum() > 2 * guessed["no picture"].sum())  # fmt: skip

# %% [markdown]
# By contrast alone the joint encoder finds less than the two heads. It has the same 1,185 emoji
# and many more weights to fit to them. But it can do what two heads can't: read a word in the
# light of a picture. The colours of a world whose pictures its frozen network was never trained on
# it guesses far more often with the picture than without.
#
# ## 11. On a GPU, at full scale
#
# The profile `gpu` enlarges the pictures to 224 pixels. At the scale of the papers, the two frozen
# encoders become one model that is trained as a whole:
#
# | | here | CLIP, as published |
# |---|---|---|
# | pairs | 1,185 emoji | 400 million pictures with texts from the web |
# | picture side | EfficientNet-Lite0, frozen, and a matrix | ViT or ResNet, trained from scratch |
# | text side | MiniLM, frozen, and a matrix | a Transformer of 63 million weights, from scratch |
# | batch | 256 | 32,768 |
# | temperature | learnt, from 0.07 | learnt, from 0.07 |
#
# Things to know there: gather the vectors of all GPUs before the table is made, with gradients, or
# each GPU has its own small table; scores in float32 even when the rest is bfloat16; and remove
# duplicates from test *and* training data before you trust a zero-shot number. GPU times were not
# measured for this lesson.
#
# ## 12. What you know now
#
# - The contrastive loss is multiple choice within a batch, both ways; what it is worth depends on
#   the batch and on what is called wrong.
# - Two frozen encoders and two matrices make a search that knows unseen names, as far as the
#   encoders go: no vocabulary, no search.
# - A masked word teaches about pictures only if the text alone cannot guess it.
# - Wrong answers have to be hard, and really wrong.
# - Pairs save labels. Captions are supervision too: somebody wrote them.

# %%
quiz([
    ("A contrastive loss of 4.1: good or bad?",
     "It depends on the batch: guessing gives ln n. For n = 64 that is 4.16, so nothing has been "
     "learnt; for n = 4096 it is 8.3."),
    ("What does a lower temperature change?",
     "The push goes to the most similar wrong texts; at 0.02 practically all of it to one."),
    ("Why do identical captions in a batch hurt?",
     "Each is taken for wrong where it is right: the loss pushes a true pair apart, and its floor "
     "is no longer 0."),
    ("Why did the English encoder fail in Chinese, whatever the head?",
     "Most characters become the same unknown token, so different names get nearly the same "
     "vector; no head can undo that."),
    ("You mask 15 % of all words at random. What is wasted?",
     "Words that the text alone can guess, such as 'a' and 'of': their loss is small without any "
     "picture."),
])  # fmt: skip

# %% [markdown]
# **Papers.** Van den Oord et al. 2018 ([arXiv 1807.03748](https://arxiv.org/abs/1807.03748)):
# InfoNCE, a bound on mutual information. Radford et al. 2021, *CLIP*
# ([2103.00020](https://arxiv.org/abs/2103.00020)): contrast on 400 million pairs gives zero-shot
# classifiers; the learnt temperature. Zhai et al. 2023, *SigLIP*
# ([2303.15343](https://arxiv.org/abs/2303.15343)): the sigmoid loss. Khosla et al. 2020
# ([2004.11362](https://arxiv.org/abs/2004.11362)): several positives, spread evenly. Kim et al.
# 2021, *ViLT* ([2102.03334](https://arxiv.org/abs/2102.03334)): masked words and matching in a
# single stream. Li et al. 2021, *ALBEF* ([2107.07651](https://arxiv.org/abs/2107.07651)): contrast
# before fusion, and hard negatives drawn by its scores. Yuksekgonul et al. 2023
# ([2210.01936](https://arxiv.org/abs/2210.01936)): large contrastive models often ignore the order
# of words, and hard negatives help.
#
# **Next:** lesson 07 asks questions and answers them.

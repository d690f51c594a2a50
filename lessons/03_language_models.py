# ---
# jupyter:
#   course:
#     title: Language models
#     needs: ["02"]
# ---

# %% [markdown]
# A model was asked for the next word, and for almost nothing else. What does it know? In this
# lesson you will
#
# - let a real language model continue your own sentences;
# - write its loss, and the loop that makes it speak;
# - train a small one on sentences whose entropy is known exactly, and see how close it comes;
# - hide words and predict them from both sides, as BERT does;
# - ask a model that has never seen anything what colour things are.

# %% tags=["setup"]
import math
from collections import Counter, defaultdict

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from course_utils.checks import check, hint, quiz
from course_utils.datasets.text import encode
from course_utils.models import smollm2
from course_utils.models.pretrained import load_minilm
from course_utils.models.transformer import (
    TransformerConfig,
    TransformerEncoder,
)
from course_utils.notebook import diagrams, lab, plots
from course_utils.objectives.language import masked_token_loss
from course_utils.training.fit import FitConfig, fit
from course_utils.world.grammar import grammar
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

# %% [markdown]
# ## 1. A model that continues a sentence · core
#
# SmolLM2 is a real language model, small enough for one CPU core. It has read a part of the web. It
# has never seen a picture.

# %% tags=["setup"]
llm, pieces = None, None
if smollm2.find():
    llm, pieces = smollm2.load()  # the model and its tokenizer
    count = llm.num_parameters()
    print(f"{count / 1e6:.1f} million weights, {4 * count / 1e9:.2f} GB")
else:
    how = smollm2.SMOLLM2.install
    print(f"SmolLM2 is missing, so its cells stay empty; `{how}` brings it.")


def continued(text, tokens=15):
    """The text, and the tokens that SmolLM2 finds most likely to follow."""
    x = pieces(text, return_tensors="pt").input_ids  # (1, words)
    seen = torch.ones_like(x)  # (1, words) there is no padding
    ids = llm.generate(
        x, attention_mask=seen, max_new_tokens=tokens, do_sample=False
    )
    return pieces.decode(ids[0], skip_special_tokens=True)


# %% [markdown]
# This is its Instruct version: after reading, it was also trained on good answers and on which of
# two answers is preferred. And its weights were once rounded to about 4 bits. Here each is unpacked
# to 4 bytes again, so they fill 0.54 GB; what the rounding lost stays lost. Both can change what it
# says.
#
# Give it the beginning of a sentence. Change it, and run the cell again: a story, a fact, a sum, a
# joke.

# %%
beginning = "The little dog ran into the garden and"  # your own words here
if llm:
    print(continued(beginning))

# %%
if llm:
    for text in ("The capital of France is", "Two plus three is"):
        print(repr(continued(text, tokens=6)))

# %% [markdown]
# The English is right, the fact is right, and the sum is wrong. How does it do that?
#
# It does only one thing. A **language model** reads a text and gives each token that it knows a
# probability of coming next. Here are the eight most likely ones after two beginnings.

# %% tags=["figure"]
if llm:
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.8))
    texts = ("The capital of France is", "Every morning he drinks a cup of")
    for axis, text in zip(axes, texts):
        with torch.no_grad():
            x = pieces(text, return_tensors="pt").input_ids  # (1, words)
            p = llm(x).logits[0, -1].softmax(-1)  # (ids,)
        top, ids = p.topk(8)  # (8,) each
        axis.barh([repr(pieces.decode([i])) for i in ids.tolist()], 100 * top)
        axis.invert_yaxis()
        axis.set(title=f"{text} ...", xlabel="probability of the next token, %")
    plots.show(
        figure,
        alt=(
            "Bars of the eight most likely next tokens after two beginnings;"
            " Paris leads the first, coffee the second."
        ),
    )

# %% [markdown]
# The space in front of a word belongs to its token. To continue a text, take a token, put it behind
# the text, and ask again. Nobody wrote a table of capitals for it: nearly all of its training asked
# for the next token. What does it have to know for that, and what can it not know?

# %% [markdown]
# Names that you will meet:
#
# - An **encoder** reads a whole text, and every word reads all others. **BERT** is one; MiniLM of
#   lesson 02 is a small BERT.
# - A **decoder** reads from left to right only, and predicts the next token. **GPT** is one, and so
#   is SmolLM2.
# - An **encoder-decoder** has both: the encoder reads one text, and the decoder reads what the
#   encoder found while it writes another. The first Transformer, a translator, was one.
# - A **Transformer**, with a capital T, is the network of lesson 02. All three are built from it.
# - **transformers**, in lower case, is a Python library with these and many other models.

# %% [markdown]
# ## 2. Tokens · core
#
# A model reads numbers, so a text becomes a row of ids from a fixed list, the **vocabulary**. One
# id per word? Then every new word is unknown. One id per letter? Then rows get long, and letters
# mean little. **Subword tokens** lie between: frequent words stay whole, rare ones are built from
# pieces.
#
# **WordPiece**, BERT's way, reads a word from the left and always takes the *longest* piece that is
# in the vocabulary. A piece that continues a word is written with `##`. Take the vocabulary
#
# `red` `blue` `cross` `circle` `square` `left` `##s` `##es` `##ish` `##d` `##word` `##most` `un`
# `##left`

# %% [markdown]
# | word | longest match from the left | pieces |
# |---|---|---|
# | red | the whole word is there | `red` |
# | reddish | `red`, then `##d` (`##dish` is not in the list), then `##ish` | `red` `##d` `##ish` |
# | bluish | `blu…`: nothing that begins the word is there (`blue` has an e) | `[UNK]` |
# | crosses | `cross`, then `##es`, the whole rest, is there | `cross` `##es` |
# | crossword | `cross`, then `##word` | `cross` `##word` |
# | circles | `circle`, then `##s` | `circle` `##s` |
# | leftmost | `left`, then `##most` | `left` `##most` |
# | unleft | `un`, then `##left`: inside a word `left` does not fit | `un` `##left` |
# | squarely | `square`, then `##ly` and `##l` are missing: the *whole* word is unknown | `[UNK]` |

# %% [markdown]
# Section 8 lets you write this. **Byte-pair encoding** (BPE), GPT's way, is its rival: it starts
# from single characters, or bytes in GPT-2, and again and again makes the most frequent pair of
# neighbours one new piece.

# %% [markdown]
# Two real tokenizers, MiniLM's in the first column of pieces and SmolLM2's in the second. MiniLM's
# lower-cases the text, drops accents, cuts it at spaces and punctuation, and then does WordPiece in
# each word. SmolLM2's is a BPE on bytes, so no text at all is unknown to it. `Ġ` is its sign for a
# space. A byte that is no plain letter looks strange: `Ã¶` is ö.

# %%
_, wordpiece = load_minilm()
print(f"{'':14}{wordpiece.get_vocab_size():,} pieces")
examples = "circle teal crossword tokenisation multimodal Größe"
for word in examples.split():
    minilms = wordpiece.encode(word).tokens[1:-1]  # without [CLS] and [SEP]
    smollms = pieces.tokenize(f" {word}") if llm else ["SmolLM2 is missing"]
    print(f"{word:14}{' '.join(minilms):26}{' '.join(smollms)}")

# %% [markdown]
# "teal", a colour of our world, is `tea` and `##l` to MiniLM. Nothing in the two ids says that it
# is a colour: the layers above have to learn that.

# %% [markdown]
# ## 3. The loss of the next token · core
#
# A text is a row of tokens $x_1 \dots x_n$. The probability of any row is a product, each token
# given those before it:
#
# $$p(x_1 \dots x_n) = \prod_{t=1}^{n} p(x_t \mid x_1 \dots x_{t-1}) .$$
#
# This **autoregressive factorisation** is no assumption: it holds for every distribution. So a
# model of the next token is a model of whole texts. It needs no labels either. The text itself is
# the label, shifted by one place, and that is called **self-supervision**:

# %%
row = ["[START]", "a", "red", "circle", "[END]"]
print(f"{'place':7}{'the model has read':25}and is asked for")
for t in range(len(row) - 1):
    print(f"{t:<7}{' '.join(row[: t + 1]):25}{row[t + 1]}")

# %% [markdown]
# Nothing follows the last place, so its logits are not used: hence "words − 1" in the drawing
# below. The first token is never asked for. Here it is always [START], so its factor in the product
# is 1. So a text of one token has no loss at all. A decoder computes all places at once. With the
# causal mask of lesson 02, the state at place $t$ has seen the tokens up to $t$ and no more. One
# matrix turns each state into one number per token of the vocabulary, the **logits**, and a softmax
# turns those into probabilities.

# %% tags=["figure"]
diagrams.flow(
    {
        "x": (0, 0, "token ids x"),
        "h": (0, 1, "vectors\n+ places"),
        "layers": (0, 2, "causal layers\n(lesson 02)"),
        "logits": (0, 3, "logits"),
        "next": (1, 3, "x from the\nsecond token on"),
        "loss": (0.5, 4, "loss: mean\nof −log p"),
    },
    [
        ("x", "h", "(batch, words)"),
        ("h", "layers", "(batch, words, dim)"),
        ("layers", "logits", "(batch, words, dim)"),
        ("x", "next", "the shift"),
        ("logits", "loss", "(batch, words − 1, ids)"),
        ("next", "loss", "(batch, words − 1)"),
    ],
    across=False,
    marked=["loss"],
    alt=(
        "Data flow of a decoder from top to bottom: token ids, vectors plus"
        " places, causal layers, logits. Below them the loss compares the"
        " logits with the same text, shifted by one place."
    ),
)

# %% [markdown]
# By hand, for the first three of these places, with a vocabulary of four. The first row of logits
# is 2, 0, 0, 0: its softmax begins with e² / (e² + 3) = 0.71, and −log 0.71 = 0.34. Each row of
# logits belongs to one place. Its softmax is a row of probabilities, and the loss of the place is
# $-\log p$ of the token that comes next. With the natural logarithm its unit is the **nat**, with
# the logarithm to base 2 it would be the bit: 1 nat = 1.44 bits.

# %%
four = ["a", "red", "circle", "[END]"]
by_hand = torch.tensor([[2.0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 3, 1]])  # (3, 4)
print(
    "after     " + "".join(f"{name:>9}" for name in four) + "    asked    loss"
)
for t, p in enumerate(by_hand.softmax(-1)):  # (4,)
    shown = "".join(f"{x:9.2f}" for x in p)
    i = four.index(row[t + 1])
    print(f"{row[t]:10}{shown}{row[t + 1]:>9}{-p[i].log():8.2f}")
print(f"1 nat = {1 / math.log(2):.2f} bits")

# %% [markdown]
# `gather(-1, columns)` picks one entry of each row: `columns` says which. It needs as many axes as
# the logits, so `[:, None]` adds one behind, and `[:, 0]` takes it away again. With a batch in
# front, write `[..., None]` and `[..., 0]`.

# %%
asked_for = torch.tensor([0, 1, 2])  # (3,) ids of a, red, circle
log_p = by_hand.log_softmax(-1)  # (3, 4)
picked = log_p.gather(-1, asked_for[:, None])  # (3, 1)
print("the losses again:", (-picked[:, 0]).numpy().round(2))

# %% [markdown]
# > **Exercise 03.1 · write it** · core · difficulty 2 of 3 · 20 minutes
# >
# > Write the loss of a batch: the mean of $-\log p$ over all tokens that are asked for. The logits
# > at place t are for the token at t + 1. Texts have padding behind them: `mask` is True where
# > there is a token, and padding is never asked for. Stuck? Run `hint("03.1")` in a new cell, and
# > again for a second hint.


# %%
def next_token_loss(logits, x, mask):
    """Mean -log p of the next token, in nat: one number, with a gradient.

    logits is (batch, words, ids), x and mask are (batch, words).
    """
    ### BEGIN SOLUTION
    log_p = logits[:, :-1].log_softmax(-1)  # (batch, words - 1, ids)
    # (batch, words - 1) of the token that comes next
    log_p = log_p.gather(-1, x[:, 1:, None])[..., 0]
    return -log_p[mask[:, 1:]].mean()
    ### END SOLUTION


# %%
next_token_loss = check("03.1", next_token_loss)

# %% [markdown]
# Try it on the real model. The library transformers computes the same loss when it is given labels,
# so we can compare.

# %%
if llm:
    text = "The train was late, so we missed the last bus and walked home."
    x = pieces(text, return_tensors="pt").input_ids  # (1, words)
    with torch.no_grad():
        result = llm(x, labels=x)
        yours = next_token_loss(result.logits, x, torch.ones_like(x).bool())
    print(f"{yours:.2f} nat per token; {abs(yours - result.loss):.0e} apart")
    lab.claim("your loss equals transformers'", abs(yours - result.loss) < 1e-4)

# %% [markdown]
# ## 4. How good can a language model be? · core
#
# On real text nobody knows: a text holds an unknown amount of chance. So we take a grammar that
# makes captions of our world, with a coin or a die for each choice. Then the **entropy**, the mean
# surprise of lesson 01, is known exactly.

# %% [markdown]
# | choice | options | entropy in nat | how often |
# |---|---|---|---|
# | begin with "there is"? | 3 times of 10 | 0.611 | always |
# | tell the sizes? | a coin | log 2 | always |
# | size of the first thing | 2 | log 2 | half the time |
# | size of the second thing | 2 | log 2 | a quarter of the time |
# | colour and shape | 8 · 4 | log 32 | always |
# | go on to a second thing? | a coin | log 2 | always |
# | its relation | 4 | log 4 | half the time |
# | same colour or same shape? | a coin | log 2 | half the time |
# | the one that differs | 3 shapes or 7 colours | (log 3 + log 7) / 2 | half the time |

# %% [markdown]
# The second thing shares *exactly one* of colour and shape with the first. Independent choices
# multiply probabilities, so their logarithms add. A choice that is made half the time counts half.
# In the code, `second_thing` holds the choices that only a second thing needs, and is halved at the
# end; so its size counts a half of a half. We can also list all sentences and add up $-p \log p$.

# %%
captions = grammar()
log2, log_other = math.log(2), (math.log(3) + math.log(7)) / 2
opening = -0.3 * math.log(0.3) - 0.7 * math.log(0.7)
first_thing = opening + log2 + 0.5 * log2 + math.log(32) + log2
second_thing = math.log(4) + 0.5 * log2 + log2 + log_other
entropy = captions.entropy_per_token
print(*captions.sample(4, seed=3), sep="\n")
print(f"{len(captions.texts):,} different sentences")
print(f"'there is' or not: {opening:.3f} nat")
print(f"by choices  {first_thing + second_thing / 2:.4f} nat per sentence")
print(f"-sum p log p {captions.entropy:.4f}, so {entropy:.4f} nat per token")

# %% [markdown]
# (The second number is the first, divided by the mean number of tokens of a sentence, its end
# counted.) No model can have a smaller expected loss than this. The end of this section proves it.
# A loss below the entropy is a bug, or a leak.

# %% [markdown]
# One token per word is enough for this small world. A start token stands in front, so that the
# first word is asked for too, and an end token behind.

# %% tags=["setup"]
special = ["[PAD]", "[START]", "[END]", "[MASK]"]
PAD, START, END, MASK = range(4)
names = special + sorted(set(" ".join(captions.texts).split()))
by_word = Tokenizer(models.WordLevel({w: i for i, w in enumerate(names)}))
by_word.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
by_word.post_processor = processors.TemplateProcessing(
    single="[START] $A [END]",
    special_tokens=[("[START]", START), ("[END]", END)],
)
by_word.enable_padding(pad_id=PAD, pad_token="[PAD]")

train_texts = captions.sample(lab.pick(cpu=51_200, gpu=409_600), seed=lab.seed)
test_texts = captions.sample(4000, seed=1_000_000)
x_train, mask_train = encode(by_word, train_texts)  # (texts, words) each
x_test, mask_test = encode(by_word, test_texts)  # (texts, words) each
print(f"{len(names)} tokens. {test_texts[0]}:", x_test[0].tolist(), sep="\n")

# %% [markdown]
# And the model: vectors and places, the layers of lesson 02, and logits. The table that turns ids
# into vectors also turns states into logits: the logit of a token is the dot product of the state
# with the token's vector.


# %%
class LanguageModel(nn.Module):
    """Token and place vectors, Transformer layers, and logits of every
    token."""

    def __init__(self, causal, dim=64, layers=2, max_words=16):
        super().__init__()
        self.token = nn.Embedding(len(names), dim)
        self.place = nn.Embedding(max_words, dim)
        for table in (self.token, self.place):  # vectors of about length 1
            nn.init.normal_(table.weight, std=dim**-0.5)
        config = TransformerConfig(dim, layers, mlp_dim=4 * dim, causal=causal)
        self.encoder = TransformerEncoder(config)

    def forward(self, x, mask=None):
        # (batch, words, dim)
        h = self.token(x) + self.place.weight[: x.shape[1]]
        h, _ = self.encoder(h, mask)  # (batch, words, dim)
        return h @ self.token.weight.T  # (batch, words, ids)


# %% [markdown]
# `causal=True` makes it a decoder: a small GPT. `fit` is the training loop of the whole course,
# which lesson 09 opens. It needs a function that computes the loss of a batch. The decoder gets no
# padding mask: padding comes last, and no word looks at what follows it.


# %%
def train(causal, objective, updates, size=64):
    """A model trained on `updates` batches of captions, and its losses."""
    torch.manual_seed(lab.seed)
    model = LanguageModel(causal, **lab.pick({}, {"dim": 128, "layers": 4}))
    texts = TensorDataset(
        x_train[: updates * size], mask_train[: updates * size]
    )
    order = torch.Generator().manual_seed(lab.seed)
    history = fit(
        model,
        objective,
        DataLoader(texts, size, shuffle=True, generator=order),
        device=lab.device,
        config=FitConfig(epochs=1, lr=4e-3, max_steps=lab.step_limit),
    )
    return model, history.loss


def next_token(model, batch):
    """The mean loss of the next token on one batch."""
    x, mask = batch  # (batch, words) each
    return next_token_loss(model(x), x, mask)


decoder, losses = train(True, next_token, lab.pick(cpu=800, gpu=6400))


# %% tags=["figure", "varies"]
def smooth(losses, window=25):
    window = min(window, len(losses))
    # (updates - window + 1,)
    means = torch.tensor(losses).unfold(0, window, 1).mean(1)
    return list(range(window, len(losses) + 1)), means.tolist()


figure = plots.curves(
    {"decoder, mean of 25 updates": smooth(losses)},
    "update",
    "nat per token",
    "The loss comes down close to the entropy of the grammar",
    baseline=("entropy of the grammar", entropy),
)
figure.axes[0].set(ylim=(0.95, 1.6))
plots.show(
    figure, alt="The training loss falls and ends close to the entropy's line."
)

# %% [markdown]
# Where the curve touches the line, these batches were easier than the average. So how close is the
# decoder? A sample may be easy or hard. This grammar is small enough to do without one: we take
# every sentence, weighted by its probability. Many of them were in training. That is no leak here:
# we compare with the entropy of the grammar. No model has an expected loss below it, even if it
# knows every sentence by heart.


# %%
@torch.no_grad()
def log_probs(model, x):
    """log p of each token but the first: (texts, words - 1)."""
    parts = []
    for part in x.split(2048):
        # (texts, words - 1, ids)
        log_p = model(part.to(lab.device))[:, :-1].log_softmax(-1).cpu()
        parts.append(log_p.gather(-1, part[:, 1:, None])[..., 0])
    return torch.cat(parts)  # (texts, words - 1)


x_all, mask_all = encode(by_word, captions.texts)  # (sentences, words) each
p_all = torch.from_numpy(captions.p)  # (sentences,)
log_p = (log_probs(decoder, x_all) * mask_all[:, 1:]).double()
excess = -(p_all @ log_p.sum(1)).item() / captions.tokens - entropy

# %% [markdown]
# Beside it stand two models that only count. A **bigram** counts how often each word comes after
# each word. A 7-gram does the same with the last six words. Both count in the decoder's training
# texts. (The code is collapsed.)


# %% tags=["setup"]
def steps(text, n):
    """Each token of a text, with up to n - 1 tokens before it."""
    words = ["[START]", *text.split(), "[END]"]
    for i in range(1, len(words)):
        yield tuple(words[max(0, i - n + 1) : i]), words[i]


def counted(n):
    """Loss of an n-gram over all sentences, in nat per token."""
    pairs = Counter(step for text in train_texts for step in steps(text, n))
    seen, total = Counter(), 0.0
    for (before, _), count in pairs.items():
        seen[before] += count
    for text, p in zip(captions.texts, captions.p):
        for before, word in steps(text, n):
            # 0.01 on top of each count, so that no probability is 0
            top, below = pairs[before, word] + 0.01, seen[before]
            total -= p * math.log(top / (below + 0.01 * len(names)))
    return total / captions.tokens


bigram, seven_gram = counted(2), counted(7)
alike = math.log(len(names) - 3)  # all but [PAD], [START] and [MASK]

# %% tags=["setup"]
rows = [
    ["every token alike", f"{alike:.3f}"],
    ["bigram", f"{bigram:.3f}"],
    ["7-gram", f"{seven_gram:.3f}"],
    ["decoder", lab.measured("03.exact", entropy + excess, digits=3)],
    ["entropy of the grammar", f"{entropy:.3f}"],
]
header = ["model, on all sentences", "nat per token"]
plots.table(rows, header=header)

# %%
text = lab.measured("03.excess", 1000 * excess, "thousandths of a nat")
print("the decoder is above the entropy by", text)
behind = 1000 * (seven_gram - entropy - excess)
print(f"the 7-gram by {1000 * (seven_gram - entropy):.0f} thousandths")
print(f"from the 7-gram to the decoder: {behind:.0f} thousandths")
lab.claim("it is within 0.05 nat per token of the entropy", excess < 0.05)
lab.claim("it is above the entropy", excess > 0)
lab.claim(
    "it is better than the bigram by more than 0.1 nat",
    bigram > entropy + excess + 0.1,
)
lab.claim("it is better than the 7-gram", seven_gram > entropy + excess)

# %% [markdown]
# In brackets: mean ± deviation over five seeds. Counting goes far in so small a world: with six words to
# look back on, it is within 31 thousandths of the entropy. From the same texts the decoder gets
# closer by another 28 thousandths.

# %% [markdown]
# ### Too good to be true · core
#
# Here is a small slip: the same training, but the loss has no shift. The logits at place $t$ are
# compared with the token at place $t$. Look at what it reaches after 100 updates.


# %%
def without_shift(model, batch):
    """A loss with a mistake: logits at t are for the token at t."""
    x, mask = batch  # (batch, words) each
    return F.cross_entropy(model(x)[mask], x[mask])


copier, copier_losses = train(True, without_shift, 100)
end = torch.tensor(copier_losses[-25:]).mean().item()
print("at the end", lab.measured("03.copier", end, "nat", digits=3))
print(f"entropy of the grammar {entropy:.3f} nat")
lab.claim("the loss without the shift is far below the entropy", end < 0.3)

# %% [markdown]
# > **Exercise 03.2 · choose and justify** · core · difficulty 1 of 3 · 4 minutes
# >
# > No expected loss can be below the entropy. So why is this one?
# >
# > - "a": the model has learnt the grammar better than the bound allows;
# > - "b": at each place it has read the very token that it is asked for, and copies it;
# > - "c": the causal mask is missing, so it reads the next word;
# > - "d": it knows the training sentences by heart.

# %%
my_reason = None
### BEGIN SOLUTION
# place t has read tokens up to t, and is asked for the token at t
my_reason = "b"
### END SOLUTION

# %%
my_reason = check("03.2", my_reason)

# %% tags=["result"]
start = by_word.encode("a large red").ids[:-1]  # without the [END]
for name, model in (("with the shift", decoder), ("without", copier)):
    x = torch.tensor([start], device=lab.device)  # (1, 4)
    with torch.no_grad():
        best = model(x)[0, -1].argmax().item()
    print(f"{name:15} a large red -> {names[best]}")
    lab.claim(
        "it repeats its last word" if model is copier else "a shape follows",
        (names[best] == "red") == (model is copier),
    )

# %% [markdown]
# A loss that is too good is a reason to look for a leak, not to celebrate. What a model says shows
# it at once: this one can only repeat.

# %% [markdown]
# ### Why no loss is below the entropy · extra
#
# With $p$ for the grammar and $m$ for the model, the expected loss is
#
# $$-\sum_x p(x) \log m(x) = \underbrace{-\sum_x p(x) \log p(x)}_{\text{entropy}}
#   + \underbrace{\sum_x p(x) \log \frac{p(x)}{m(x)}}_{\mathrm{KL}(p \,\|\, m)} .$$
#
# The last sum is never negative. For every $u > 0$, $\log u \le u - 1$. Take $u = m(x) / p(x)$, for
# all $x$ with $p(x) > 0$:
#
# $$-\mathrm{KL} = \sum_x p \log \frac{m}{p} \le \sum_x p \left(\frac{m}{p} - 1\right)
#   = \sum_x m - \sum_x p \le 1 - 1 = 0 .$$

# %% [markdown]
# ## 5. Let it speak: the sampling loop · core
#
# A model that gives the next token's probabilities can write: draw a token, put it behind the text,
# repeat. Two knobs change the draw. A **temperature** $\tau$ divides the logits $z$ before the
# softmax, $p_i \propto \exp(z_i / \tau)$. **Top-k** keeps the k largest logits and gives all
# others the probability 0. Four logits by hand:

# %%
z = torch.tensor([2.0, 1.0, 0.5, -1.0])  # (4,)
print(f"{'logits':22}" + "".join(f"{value:7.1f}" for value in z))
for temperature in (0.5, 1.0, 2.0):
    p = (z / temperature).softmax(-1)  # (4,)
    print(f"temperature {temperature:<10}" + "".join(f"{x:7.2f}" for x in p))
kept = z.masked_fill(z < z.topk(2).values[-1], -torch.inf)  # (4,)
p = kept.softmax(-1)  # (4,)
print(f"{'top 2':22}" + "".join(f"{x:7.2f}" for x in p))

# %% [markdown]
# A low temperature sharpens, a high one flattens. Close to 0 only the most likely token is left.
# That is called **greedy**, and top-k with k = 1 does the same. At exactly 0 we would divide by
# zero, so programs that allow it mean greedy.
#
# > **Exercise 03.3 · write it** · core · difficulty 3 of 3 · 25 minutes
# >
# > Write the loop. In each of `steps` rounds: give the whole text to the model, take the logits of
# > the last place, divide by the temperature, keep the `top_k` largest of each text (all, if it is
# > None), draw one token for each text with `torch.multinomial` and the given generator, and put it
# > behind with `torch.cat`. Each text has its own smallest logit that stays: a column, (batch, 1).
# > Return the texts with the new tokens.


# %%
def generate(model, x, steps, temperature=1.0, top_k=None, generator=None):
    """x (batch, words), continued to (batch, words + steps).

    model(x) gives logits (batch, words, ids).
    """
    ### BEGIN SOLUTION
    for _ in range(steps):
        logits = model(x)[:, -1] / temperature  # (batch, ids)
        if top_k is not None:
            least = logits.topk(top_k).values[:, -1:]  # (batch, 1)
            logits = logits.masked_fill(logits < least, -torch.inf)
        p = logits.softmax(-1)  # (batch, ids)
        token = torch.multinomial(p, 1, generator=generator)  # (batch, 1)
        x = torch.cat([x, token], dim=1)  # (batch, words + 1)
    return x
    ### END SOLUTION


# %%
generate = check("03.3", generate)


# %% [markdown]
# In the grammar every sentence can be judged. Let the small decoder write 1,000 at each of five
# settings. The table says how many of them the grammar can give, and how many different ones there
# are.


# %%
@torch.no_grad()
def written(model, n, **knobs):
    """`n` texts of a model, and those of them that the grammar can't give."""
    start = torch.full((n, 1), START, device=lab.device)  # (n, 1)
    draws = torch.Generator(lab.device).manual_seed(lab.seed)
    texts = []
    for ids in generate(model, start, 13, generator=draws, **knobs).tolist():
        ids = ids[1 : ids.index(END) if END in ids else None]
        texts.append(" ".join(names[i] for i in ids))
    wrong = [text for text in texts if captions.log_prob(text) == -math.inf]
    return texts, wrong


SETTINGS = {
    "greedy": {"top_k": 1},
    "temperature 0.3": {"temperature": 0.3},
    "temperature 1": {},
    "temperature 1.5": {"temperature": 1.5},
    "1.5 and top-k 8": {"temperature": 1.5, "top_k": 8},
}
results = {name: written(decoder, 1000, **SETTINGS[name]) for name in SETTINGS}

right = {name: 100 - len(wrong) / 10 for name, (_, wrong) in results.items()}

# %% tags=["setup"]
rows = []
for key, (name, (texts, wrong)) in zip("abcde", results.items()):
    share = lab.measured(f"03.written_{key}", right[name], "%")
    distinct = len(set(texts))
    if key != "a":
        distinct = lab.measured(f"03.distinct_{key}", distinct, digits=0)
    rows.append([name, share if key != "a" else "", distinct])
own = len(set(captions.sample(1000, seed=lab.seed)))
own = lab.measured("03.distinct_grammar", own, digits=0)
rows.append(["the grammar itself", "100.0 %", own])
header = ["setting", "the grammar can give it", "different texts of 1,000"]
plots.table(rows, header=header)

# %%
lab.claim("greedy writes one text", len(set(results["greedy"][0])) == 1)
lab.claim(
    "a higher temperature gives more sentences that the grammar can't",
    right["temperature 0.3"] > right["temperature 1.5"] + 3,
)

# %% tags=["varies"]
for name, (texts, wrong) in results.items():
    print(f"{name:16} {texts[0]}")
    if wrong:
        print(f"{'  wrong:':16} {wrong[0]}")

# %% [markdown]
# A low temperature gives more correct sentences, and fewer different ones. Look at the wrong ones:
# in the grammar, the second thing shares exactly one of colour and shape; two equal ones are a
# mistake. Top-k takes away a part of the mistakes that 1.5 makes. Greedy writes the same text 1,000
# times, so a share says nothing.
#
# > **Exercise 03.4 · choose and justify** · core · difficulty 2 of 3 · 4 minutes
# >
# > In the grammar half of the sentences name two things. You want to find out from 1,000 texts
# > whether the model has learnt this share. How do you let it write: "a" at temperature 0.3, "b" at
# > temperature 1, "c" at temperature 1.5, or "d" greedily?

# %%
my_setting = None
### BEGIN SOLUTION
# only there the texts have the model's own probabilities
my_setting = "b"
### END SOLUTION

# %%
my_setting = check("03.4", my_setting)

# %% [markdown]
# Only temperature 1 with all tokens draws from the model's own probabilities, those that the loss
# asked for. Your loop does not care which model it drives. Here it drives SmolLM2: once greedily,
# and once with each of three other settings.


# %%
def logits_of_llm(x):
    """SmolLM2 as a function from ids (batch, words) to logits."""
    return llm(x).logits


if llm:
    text = "Once upon a time there was a painter who"
    x = pieces(text, return_tensors="pt").input_ids  # (1, words)
    usual = {"temperature": 0.8, "top_k": 40}
    for knobs in ({"top_k": 1}, usual, {}, {"temperature": 2.0}):
        draws = torch.Generator().manual_seed(lab.seed)
        with torch.no_grad():
            ids = generate(logits_of_llm, x, 14, generator=draws, **knobs)
        print(knobs or {"temperature": 1})
        print(f"   ...{pieces.decode(ids[0, x.shape[1] :])}")
    with torch.no_grad():
        p = llm(x).logits[0, -1].softmax(-1)  # (ids,)
    rare = 100 * (1 - p.topk(40).values.sum())
    print(f"all but the 40 most likely tokens, together: {rare:.0f} %")

# %% [markdown]
# The last line is why top-k exists. Each unlikely token has almost no probability, but there are
# 49,112 of them, so now and then one is drawn, and the text has to go on from there. At 2 it
# breaks. Top-k cuts them off. Greedy is repeatable, but it can loop.
#
# **Top-p** keeps as few of the most likely tokens as hold the share p of the probability together,
# so a sure model chooses among fewer. And your loop reads the whole text anew for each token; a
# *key-value cache* keeps what was computed (lesson 13).

# %% [markdown]
# ## 6. Words from both sides · core
#
# A decoder guesses a word from the left alone. How much easier is it if one also sees what follows?
# In the grammar we can compute both exactly. For each word: its surprise given the words before it,
# and given all other words of the sentence.
#
# Below, `before` adds up the probability of all sentences that begin alike, and `around` of all
# that are equal but for the word at one place. By hand, for a language of three sentences: "a red
# circle" has probability 1/2, "a red square" 1/4 and "a blue square" 1/4. From the left, "blue" has
# 1/4. With "square" behind it two sentences are left, and they are equally likely: 1/2. So its
# surprise falls from log 4 to log 2.


# %%
before, around = defaultdict(float), defaultdict(float)  # probabilities
rows = [(text.split(), p) for text, p in zip(captions.texts, captions.p)]
for words, p in rows:
    before[tuple(words)] += p
    for i in range(len(words)):
        before[tuple(words[:i])] += p
        around[tuple(words[:i]), tuple(words[i + 1 :])] += p


def surprises(words):
    """-log p of each word, given what is before it, and given all others."""
    p = math.exp(captions.log_prob(" ".join(words)))
    left, both = [], []
    for i in range(len(words)):
        head = tuple(words[:i])
        left.append(-math.log(before[*head, words[i]] / before[head]))
        both.append(-math.log(p / around[head, tuple(words[i + 1 :])]))
    return left, both


# %%
example = "a red circle left of a red cross"
print(f"{'nat':8}from the left   from both sides")
for word, *nat in zip(example.split(), *surprises(example.split())):
    print(f"{word:8}{abs(nat[0]):13.2f}{abs(nat[1]):18.2f}")

# %% [markdown]
# From the left, "red" first needs that no size comes (log 2), then one of eight colours (log 8):
# together 2.77. And "left" needs that a second thing comes (log 2) and one of four relations (log
# 4): 2.08. From both sides "red" is sure: the second thing must share exactly one property, and the
# shapes differ, so the colours must be equal. "left" is not sure: before "of" it may also be
# "right", so log 2 = 0.69 stays. What is this worth in the mean, over all words of the grammar?

# %%
total = [0.0, 0.0]
count = sum(p * len(words) for words, p in rows)
for words, p in rows:
    for side, found in enumerate(surprises(words)):
        total[side] += p * sum(found)
exact_left, exact_both = total[0] / count, total[1] / count
print(f"from the left alone {exact_left:.3f} nat per word")
print(f"from both sides     {exact_both:.3f} nat per word")
lab.claim("both sides are easier than the left", exact_both < exact_left - 0.1)

# %% [markdown]
# (From the left it was 1.024 nat per token. There the end counted as a token, and it is easy to
# guess. Here only words count.) BERT learns to guess from both sides, so it has no causal mask. But
# then each place could read the very word that it is asked for. So this word must be hidden. Choose
# 15 % of the tokens, replace them by `[MASK]`, and predict them: a **masked language model**.
#
# But the texts that the model is later used on hold no `[MASK]`, and a model that answers only
# there is never judged at other words. So of the chosen tokens 80 % become `[MASK]`, 10 % a random
# word, and 10 % stay. All of the chosen ones count in the loss. The others get the label -100,
# which PyTorch's loss leaves out.

# %% [markdown]
# > **Exercise 03.5 · write it** · core · difficulty 2 of 3 · 10 minutes
# >
# > `chosen` says which tokens were chosen. `draws` holds a random number from [0, 1) for each
# > token:
# > below 0.8 a chosen token becomes `mask_id`, from 0.8 to below 0.9 the word in `others`, and from
# > 0.9 on it stays. Return two tensors (batch, words): what is shown, and the labels, which are
# > -100 where nothing was chosen.


# %%
def corrupt(x, chosen, draws, others, mask_id):
    """What BERT is shown, and what it has to say.

    All tensors are (batch, words).
    """
    ### BEGIN SOLUTION
    shown = torch.where(chosen & (draws < 0.8), mask_id, x)  # (batch, words)
    swap = chosen & (draws >= 0.8) & (draws < 0.9)  # (batch, words)
    shown = torch.where(swap, others, shown)  # (batch, words)
    # the kept ones have a label, too
    return shown, x.masked_fill(~chosen, -100)
    ### END SOLUTION


# %%
corrupt = check("03.5", corrupt)

# %% [markdown]
# Here three words were chosen. One is masked, one becomes "gray", and one stays.

# %%
example = "a red circle left of a blue circle"
x = torch.tensor([by_word.encode(example).ids])  # (1, words)
draws = torch.ones(x.shape)  # (1, words)
draws[0, [2, 3, 7]] = torch.tensor([0.5, 0.95, 0.85])  # red, circle, blue
chosen = draws < 1  # (1, words)
others = torch.full_like(x, names.index("gray"))  # (1, words)
shown, labels = corrupt(x, chosen, draws, others, MASK)
for name, ids in (("sentence", x), ("shown", shown), ("labels", labels)):
    words = [names[i] if i >= 0 else str(i) for i in ids[0, 1:-1].tolist()]
    print(f"{name:10}" + "".join(f"{word:>8}" for word in words))

# %% [markdown]
# Section 9 trains an encoder with it. Encoders use both sides, decoders can write: an encoder has
# never been asked what comes after the end of a text. That is why *most* models that answer in
# words have a decoder, some behind an encoder. Models that write by filling in masks exist, too.

# %% [markdown]
# ## 7. What does it know? · core
#
# Back to the model that has read the web. It knows the order of words: here is its loss on six
# sentences of everyday English, and on the same words shuffled.

# %%
english = [
    "She opened the window because the room was too warm for her.",
    "The train arrived ten minutes late, so we missed the last bus.",
    "Water boils at a lower temperature in the mountains.",
    "My grandmother keeps his letters in a small box under the bed.",
    "If you want to learn a language, read a little of it every day.",
    "The museum is closed on Mondays, but the garden is always open.",
]
shuffle = torch.Generator().manual_seed(0)


def shuffled(text):
    """The same words in a random order."""
    words = text.split()
    order = torch.randperm(len(words), generator=shuffle)  # (words,)
    return " ".join(words[i] for i in order)


@torch.no_grad()
def loss_of(text):
    """SmolLM2's loss on a text, in nat per token."""
    x = pieces(text, return_tensors="pt").input_ids  # (1, words)
    return next_token_loss(llm(x).logits, x, torch.ones_like(x).bool()).item()


# %%
if llm:
    mixed = [shuffled(text) for text in english]
    print(f"for example: {mixed[0]}")
    nats = torch.tensor([[loss_of(t) for t in row] for row in (english, mixed)])
    for name, nat in zip(("English", "shuffled"), nats):  # (6,)
        span = f"from {nat.min():.1f} to {nat.max():.1f}"
        print(f"{name:9} {nat.mean():.2f} nat per token, {span}")
    print(f"every token alike {math.log(len(pieces)):.2f}")
    lab.claim("each is easier in its own order", (nats[0] + 2 < nats[1]).all())

# %% [markdown]
# And the world that the words are about? It has read about bananas, snow and flamingos, and has
# seen none of them. Here are 40 things whose usual colour people agree on.

# %% tags=["setup"]
THINGS = {
    "red": "blood, a tomato, a strawberry, a cherry, a fire engine, a ruby, "
    "a stop sign",
    "green": "grass, a cucumber, a frog, broccoli, an emerald, spinach",
    "yellow": "a banana, a lemon, a sunflower, butter, a canary, corn",
    "white": "snow, milk, a swan, salt, a polar bear, flour",
    "black": "coal, a raven, tar, a panther",
    "brown": "chocolate, coffee, a walnut",
    "blue": "the sky, a sapphire, a blueberry",
    "orange": "a carrot, a pumpkin",
    "pink": "a flamingo",
    "purple": "an eggplant",
    "gray": "an elephant",
}
WORDINGS = [
    "The color of {} is",
    "Q: What color is {}?\nA:",
    "Everyone knows that {} is",
    "I painted {} in its natural color,",
]
COLOURS = list(THINGS)
truth = {t: c for c, ts in THINGS.items() for t in ts.split(", ")}
print(f"{len(truth)} things, {len(COLOURS)} colours")

# %% [markdown]
# We ask in four wordings, and take the colour whose word gets the highest probability of coming
# next. Always saying "red" would be right for 7 of 40.
#
# > **Exercise 03.6 · predict first** · core · difficulty 1 of 3 · 2 minutes
# >
# > For how many of the 40 things does SmolLM2 name the right colour after "The color of a banana
# > is", and so on?

# %%
my_prediction = None
### BEGIN SOLUTION
# people seldom write that grass is green; a guess before the run
my_prediction = 14
### END SOLUTION

# %%
my_prediction = check("03.6", my_prediction)


# %%
@torch.no_grad()
def log_p_of_colours(wording):
    """log p of each colour's word after each thing: (things, colours)."""
    texts = [wording.format(thing) for thing in truth]
    # padding comes last here, and no word looks at what follows it
    x = pieces(texts, return_tensors="pt", padding=True, padding_side="right")
    last = x.attention_mask.sum(1) - 1  # (things,)
    h = llm.model(x.input_ids).last_hidden_state  # (things, words, dim)
    logits = llm.lm_head(h[torch.arange(len(texts)), last])  # (things, ids)
    ids = [pieces(f" {colour}").input_ids[0] for colour in COLOURS]
    return logits.log_softmax(-1)[:, ids]  # (things, colours)


# %% tags=["result"]
right_of = torch.tensor([COLOURS.index(c) for c in truth.values()])  # (things,)
if llm:
    asked = {wording: log_p_of_colours(wording) for wording in WORDINGS}
    said = torch.stack([log_p.argmax(1) for log_p in asked.values()])
    hits = (said == right_of).sum(1)  # (wordings,)
    given = F.one_hot(said, 11).sum(1)  # (wordings, colours) how often each
    # the same answers, given to the things at random: (wordings,)
    dealt = given @ right_of.bincount() / len(truth)

# %% tags=["setup", "result"]
if llm:
    rows = [["always red", 7, 40, 7.0]]
    for i, wording in enumerate(WORDINGS):
        red = given[i, 0].item()
        rows.append([repr(wording), hits[i].item(), red, f"{dealt[i]:.1f}"])
    header = ["wording", "right of 40", "says red", "right at random"]
    plots.table(rows, header=header)

# %% tags=["result"]
if llm:
    print(f"You predicted {my_prediction} for the first wording: {hits[0]}.")
    reds = given[0, 0].item()
    print(f"its red answers at random: {reds} · 7 / 40 = {reds * 7 / 40:.1f}")
    lab.claim("each is better than its answers at random", (hits > dealt).all())
    lab.claim("each wording says red too often", (given[:, 0] > 7).all())
    lab.claim("the wording matters", hits.max() > 2 * hits.min())

# %% [markdown]
# In the last column, the same answers are given to the things at random. By hand, for the first
# wording: 27 times it says "red", and 7 of 40 things are red, so 27 · 7 / 40 = 4.7 of these are
# right. The other colours bring it to 6.2.
#
# The model is above that in each wording, so it has picked up something about colours; 9 against
# 6.4 may be chance. But it is wrong for at least half of the things, and it says "red" of far more
# than 7.

# %% [markdown]
# Is it the thing that makes "red" likely, or the wording? For each colour, take the mean of its log
# p over the 40 things. It says how likely the colour's word is, whatever the thing. Subtract it
# from each log p of this colour, and choose again.

# %% tags=["result"]
if llm:
    rows = []
    for wording, log_p in asked.items():
        mass = log_p.exp().sum(1).mean().item()  # of all 11 colours together
        best = (log_p - log_p.mean(0)).argmax(1)  # (things,)
        right, red = (best == right_of).sum(), (best == 0).sum()
        rows.append(
            [repr(wording), f"{100 * mass:.1g} %", int(right), int(red)]
        )
    header = ["wording", "all colours together", "right", "says red"]
    print("with each colour's mean taken off:")
    plots.table(rows, header=header)

# %% [markdown]
# All colours together get on average at most 6 % of the probability, so this is a choice among
# words that it would seldom write. And "red" is likely after these words whatever the thing is:
# with each colour's mean taken off, "red" is chosen 2 to 6 times. Most of the wrong "red" goes, but
# few more answers are right.
#
# Here is what it says in the first wording, as in the first table:

# %% tags=["figure", "result"]
if llm:
    figure, axis = plt.subplots(figsize=(9, 3.6))
    for n, thing in enumerate(truth):
        x, y = 3.1 * (n // 10), -(n % 10)
        answer = COLOURS[said[0, n]]
        for shift, colour in ((0, truth[thing]), (0.26, answer)):
            shade = "saddlebrown" if colour == "brown" else colour
            box = plt.Rectangle((x + shift, y), 0.22, 0.7, ec="black", fc=shade)
            axis.add_patch(box)
        axis.text(x + 0.58, y + 0.15, f"{thing}: {answer}", fontsize=10)
    axis.set(xlim=(-0.1, 12.2), ylim=(-9.2, 1))
    axis.axis("off")
    axis.set_title("Left square: the usual colour. Right square: what it says.")
    plots.show(
        figure,
        alt=(
            "The 40 things, each with two squares: its usual colour and the"
            " colour that SmolLM2 says. Most of the right squares are red,"
            " also those of green, yellow and orange things."
        ),
    )

# %% [markdown]
# How much does this result prove? It is one small model, with 40 things of our choice and four
# wordings. Its training on answers and its rounded weights may have changed what it says. From the
# worst wording to the best the score in the first table more than doubles, so a single wording says
# little.
#
# And it does not tell us *why*. A common explanation is **reporting bias**: people seldom write
# what everyone can see. Lesson 14 gives this model eyes.

# %% [markdown]
# ## 8. Cut words like BERT and GPT · extra
#
# > **Exercise 03.7 · write it** · extra · difficulty 2 of 3 · 15 minutes
# >
# > Write WordPiece: the table of section 2 says what it does.


# %%
def longest_match(word, vocabulary):
    """The pieces of a word (a list), longest first from the left; ["[UNK]"] if
    they don't cover it. `vocabulary` is a set, or a dictionary whose keys are
    the pieces."""
    ### BEGIN SOLUTION
    found, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):  # the longest piece first
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:
            return ["[UNK]"]  # one part is unknown, so the word is
        found.append(piece)
        start = end
    return found
    ### END SOLUTION


# %%
longest_match = check("03.7", longest_match)

# %% [markdown]
# With MiniLM's 30,522 pieces, does it cut as the real tokenizer does?

# %%
vocabulary = wordpiece.get_vocab()  # {piece: id}
real_words = (
    "circle triangle teal crossword leftmost tokenisation embeddings"
    " unaffordable reddish hypotenuse multimodal transformers colourless yellow"
)
words = real_words.split()
equal = [
    wordpiece.encode(word).tokens[1:-1] == list(longest_match(word, vocabulary))
    for word in words
]
print(f"{sum(equal)} of {len(words)} words are cut alike")
lab.claim("longest match gives the real tokenizer's pieces", all(equal))

# %% [markdown]
# Where does a vocabulary come from? From counting. **Byte-pair encoding** starts from single
# letters here. It counts which two neighbours occur together most often in the training
# text, makes the pair one new token, and repeats. A new word is cut by the same merges in the same
# order.


# %%
def most_frequent_pair(counts):
    """The neighbours that occur most often, and how often.

    `counts` is {pieces of a word: how often the word occurs}.
    """
    pairs = Counter()
    for parts, count in counts.items():
        for pair in zip(parts, parts[1:]):
            pairs[pair] += count
    first = min(pairs, key=lambda pair: (-pairs[pair], pair))
    return first, pairs[first]


def merge(parts, pair):
    """`parts`, the two of `pair` made one wherever they are neighbours."""
    merged = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(merged)


# %% [markdown]
# Five words, with their counts in a training text; `_` marks the end of a word. Watch "cross"
# become one token. Where pairs are equally frequent, the first in the alphabet wins.

# %%
words_seen = {"red": 6, "reddish": 2, "cross": 5, "crosses": 3, "square": 4}
counts = {(*word, "_"): count for word, count in words_seen.items()}
merges = []
for _ in range(8):
    pair, often = most_frequent_pair(counts)
    counts = {merge(parts, pair): count for parts, count in counts.items()}
    merges.append(pair)
    rows = [" ".join(parts) for parts in counts]
    print(f"{' + '.join(pair):9}{often:3}", *rows, sep="  ")
new_word = (*"crossed", "_")
for pair in merges:
    new_word = merge(new_word, pair)
print("a new word:", *new_word)

# %% [markdown]
# ## 9. Train a masked model · extra
#
# An encoder of the decoder's size, trained with your `corrupt`:


# %%
def masked_words(model, batch):
    """The mean loss of the chosen words on one batch."""
    x, mask = batch  # (batch, words) each
    draws = torch.rand(x.shape, device=x.device)  # (batch, words)
    # (batch, words) words only
    chosen = mask & (x > MASK) & (torch.rand_like(draws) < 0.15)
    others = torch.randint_like(x, MASK + 1, len(names))  # (batch, words)
    shown, labels = corrupt(x, chosen, draws, others, MASK)
    return masked_token_loss(model(shown, mask), labels)


encoder, _ = train(False, masked_words, lab.pick(cpu=350, gpu=6400))

# %% [markdown]
# Both models meet the same 500 newly drawn sentences. Most of them also occur in training: this
# world is small. The decoder predicts each word from the left. The encoder gets one copy of the
# sentence for each word, with this one word masked.

# %%
drawn = [text.split() for text in test_texts[:500]]
lengths = torch.tensor([len(words) for words in drawn])  # (500,)
row = torch.arange(500).repeat_interleave(lengths)  # (words,) sentence of each
at = torch.cat([torch.arange(1, n + 1) for n in lengths])  # (words,) its place
word = x_test[row, at]  # (words,)
hidden = x_test[row]  # (words, places)
hidden[torch.arange(len(at)), at] = MASK
with torch.no_grad():
    guesses = encoder(hidden.to(lab.device), mask_test[row].to(lab.device))
    log_p = guesses.cpu().log_softmax(-1)  # (words, places, ids)
loss_both = F.nll_loss(log_p[torch.arange(len(at)), at], word).item()
loss_left = -log_probs(decoder, x_test)[row, at - 1].mean().item()
own_left, own_both = (
    sum(sum(surprises(words)[side]) for words in drawn) / len(at)
    for side in (0, 1)
)
trained_on = set(train_texts)
known = sum(text in trained_on for text in test_texts[:500]) / 500
print(f"{100 * known:.0f} % of these sentences occur in training")

# %%
rows = [
    ["the grammar itself", f"{own_left:.3f}", f"{own_both:.3f}"],
    ["decoder", lab.measured("03.left", loss_left, digits=3), ""],
    ["encoder", "", lab.measured("03.both", loss_both, digits=3)],
]
header = ["nat per word, on 500 sentences", "left alone", "both sides"]
plots.table(rows, header=header)
lab.claim(
    "the encoder guesses a hidden word better than anything from the left",
    loss_both < own_left - 0.05,
)

# %% [markdown]
# The encoder beats everything that reads from the left alone, but it is far from what both sides
# allow. It had 350 updates, the decoder 800. And in its training only about 15 % of the words had a
# loss; the decoder's had one at every word. Which of the two holds it back we have not tested.

# %% [markdown]
# ### What the two odd tenths are for · extra
#
# Why not mask all of the chosen words? Train the encoder once more, with `[MASK]` for all of them.
# Then show both models the test sentences, with nothing hidden. Is the best guess at each place the
# word that stands there?


# %%
def only_masks(model, batch):
    """The mean loss of the chosen words, all of them hidden."""
    x, mask = batch  # (batch, words) each
    # (batch, words) words only
    chosen = mask & (x > MASK) & (torch.rand(x.shape, device=x.device) < 0.15)
    labels = x.masked_fill(~chosen, -100)  # (batch, words)
    return masked_token_loss(model(x.masked_fill(chosen, MASK), mask), labels)


plain, _ = train(False, only_masks, lab.pick(cpu=350, gpu=6400))

# %%
kept = {}
words_only = mask_test & (x_test > MASK)  # (texts, words)
for key, name, model in (
    ("a", "all [MASK]", plain),
    ("b", "80/10/10", encoder),
):
    with torch.no_grad():
        guesses = model(x_test.to(lab.device), mask_test.to(lab.device))
    same = guesses.argmax(-1).cpu() == x_test  # (texts, words)
    kept[name] = 100 * same[words_only].float().mean().item()
    text = lab.measured(f"03.kept_{key}", kept[name], "%")
    print(f"{name:10} says the word that it sees: {text}")
lab.claim(
    "with kept words the model says more often what it sees",
    kept["80/10/10"] > kept["all [MASK]"] + 5,
)

# %% [markdown]
# The first model never saw a label at a visible word, so nothing asked it to keep that word. The
# random words have a job, too: without them a model could trust each visible word blindly.

# %% [markdown]
# ## 10. Perplexity · extra
#
# Papers often give the exponential of the loss, the **perplexity**: the number of equally likely
# choices that would be as hard to guess.
#
# > **Exercise 03.8 · write it** · extra · difficulty 1 of 3 · 5 minutes
# >
# > Write the perplexity of a batch of texts: one number for all of them together. In the padding
# > `log_p` may be anything, even $-\infty$.


# %%
def perplexity(log_p, mask):
    """Perplexity over all tokens; log_p (batch, words) is in nat, mask True
    where there is a token."""
    ### BEGIN SOLUTION
    return torch.exp(-log_p[mask].mean())
    ### END SOLUTION


# %%
perplexity = check("03.8", perplexity)

# %%
six_times = torch.full((1, 6), 0.5).log()  # (1, 6) a fair coin
all_six = torch.ones(1, 6, dtype=torch.bool)  # (1, 6)
of_decoder = perplexity(log_probs(decoder, x_test), mask_test[:, 1:])
print(f"a coin {float(perplexity(six_times, all_six)):.2f}")
print("decoder", lab.measured("03.perplexity", float(of_decoder), digits=2))
print(f"every token alike {math.exp(alike):.2f}")

# %% [markdown]
# ## 11. On a GPU: the size of GPT-2 · extra
#
# Nothing changes but the sizes. GPT-2's smallest size, which nanoGPT trains, in numbers:

# %%
dim, layers, ids, places = 768, 12, 50257, 1024
# attention 4 dim², MLP 8 dim², biases and norms 13 dim
count = (ids + places) * dim + layers * (12 * dim**2 + 13 * dim) + 2 * dim
print(f"{count:,} weights")
gigabytes = 16 * count / 1e9  # weights, gradients, AdamW's two means
print(f"to train in float32: {gigabytes:.1f} GB, activations not counted")

# %% [markdown]
# | | this lesson | the `gpu` profile | nanoGPT's GPT-2 |
# |---|---|---|---|
# | width, layers, heads | 64, 2, 4 | 128, 4, 4 | 768, 12, 12 |
# | texts | 51,200 captions | 409,600 captions | web pages |
# | tokens per update | about 500 | about 500 | about half a million |
# | time | see the head line | not measured | not measured here |
#
# [nanoGPT's README](https://github.com/karpathy/nanoGPT) reports a loss of about 2.85 for the last
# column after about four days on eight A100 GPUs. That number is theirs.

# %% [markdown]
# ## 12. What you know now · core
#
# - A language model gives each token a probability of coming next, and so gives one to each text.
# - Its labels are the text itself, shifted by one. Without the shift it learns to copy.
# - No expected loss is below the entropy of what it is judged on. A loss that is too good is a bug
#   or a leak.
# - Writing is a loop: logits, temperature, top-k, draw, append.
# - Words are easier from both sides than from the left. Encoders use both, decoders can write.
# - SmolLM2 tells ordinary order from shuffled. Asked for the colours of 40 things in four wordings, it gets at most half of them right.

# %% tags=["setup"]
quiz(
    [
        (
            "A model of the next token has a loss below the entropy of its"
            " source. What now?",
            "On a few texts it can happen by chance: they may be easier than"
            " the average. On many, look for the bug: a missing shift, a"
            " missing causal mask, a test that leaked.",
        ),
        (
            "Why does a text of 10 tokens give 9 losses?",
            "The first token has nothing before it, so it is not asked for; and"
            " at the last place nothing comes next.",
        ),
        (
            "You divide the logits by 0.01. What will the texts be like?",
            "Almost greedy: the most likely token nearly always, so nearly"
            " always the same text.",
        ),
        (
            "Why does BERT leave some chosen words as they are, with a label?",
            "So that it has a reason to keep a visible word. Later tasks have"
            " no [MASK].",
        ),
        (
            "A model says that a banana is red. Does that show that texts say"
            " nothing about the colour of bananas?",
            "No. It shows what this model says after this wording. Another"
            " wording, or a larger model, may get it right.",
        ),
    ]
)

# %% [markdown]
# **Papers.** Radford et al. 2019, *Language Models are Unsupervised Multitask Learners*: GPT-2, a
# decoder that was only asked for the next token, and BPE on bytes. Devlin et al. 2018, *BERT*
# ([1810.04805](https://arxiv.org/abs/1810.04805)): masked words with 80/10/10. Sennrich et al. 2015
# ([1508.07909](https://arxiv.org/abs/1508.07909)): merged pairs of characters for rare words. Fan
# et al. 2018 ([1805.04833](https://arxiv.org/abs/1805.04833)): top-k sampling, for stories. Allal
# et al. 2025, *SmolLM2* ([2502.02737](https://arxiv.org/abs/2502.02737)): the model of this lesson.
# Paik et al. 2021, *The World of an Octopus* ([2110.08182](https://arxiv.org/abs/2110.08182)): the
# colours that language models give to 521 objects follow what texts say more than what people see.
#
# **Next:** lesson 04 does for pictures what lessons 02 and 03 did for words.

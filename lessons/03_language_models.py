# ---
# jupyter:
#   course:
#     title: Language models
#     needs: ["02"]
# ---

# %% [markdown]
# What does a model know that has only ever been asked for the next word? In this lesson you will
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
from course_utils.checks import check, quiz
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
# the text, and ask again. Nobody told the model about France: it was only ever asked for the next
# token of texts from the web. What does it have to know for that, and what can it not know?

# %% [markdown]
# Four names that you will meet:
#
# - An **encoder** reads a whole text, and every word reads all others. **BERT** is one; MiniLM of
#   lesson 02 is a small BERT.
# - A **decoder** reads from left to right only, and predicts the next token. **GPT** is one, and so
#   is SmolLM2.
# - A **Transformer**, with a capital T, is the network of lesson 02. Both kinds are built from it.
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
# | reddish | `red`, then `##d` (not `##dish`), then `##ish` | `red` `##d` `##ish` |
# | bluish | `blu…`: nothing that begins the word is there (`blue` has an e) | `[UNK]` |
# | crosses | `cross`, then `##es`, the whole rest, is there | `cross` `##es` |
# | crossword | `cross`, then `##word` | `cross` `##word` |
# | circles | `circle`, then `##s` | `circle` `##s` |
# | leftmost | `left`, then `##most` | `left` `##most` |
# | unleft | `un`, then `##left`: inside a word `left` does not fit | `un` `##left` |
# | squarely | `square`, then `##ly` and `##l` are missing: the *whole* word is unknown | `[UNK]` |
#
# Section 8 lets you write this. **Byte-pair encoding** (BPE), GPT's way, is its rival: it starts from
# single bytes, and again and again makes the most frequent pair of neighbours one new piece.

# %% [markdown]
# Two real tokenizers. MiniLM's lower-cases the text, cuts it at spaces and punctuation, and then
# does WordPiece in each word. SmolLM2's is a BPE on bytes, so no text at all is unknown to it. `Ġ`
# is its sign for a space.

# %%
_, wordpiece = load_minilm()
print(f"{'':14}{wordpiece.get_vocab_size():,} pieces")
examples = "circle teal crossword tokenisation multimodal Größe"
for word in examples.split():
    theirs = wordpiece.encode(word).tokens[1:-1]  # without [CLS] and [SEP]
    ours = pieces.tokenize(f" {word}") if llm else ["SmolLM2 is missing"]
    print(f"{word:14}{' '.join(theirs):26}{' '.join(ours)}")

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
# The last place is asked for nothing, and the first token is never asked for. A decoder computes
# all places at once. With the causal mask of lesson 02, the state at place $t$ has seen the tokens
# up to $t$ and no more. One matrix turns each state into one number per token of the vocabulary,
# the **logits**, and a softmax turns those into probabilities.

# %% tags=["figure"]
diagrams.flow(
    {
        "x": (0, 0, "token ids x"),
        "h": (1, 0, "vectors\n+ places"),
        "layers": (2, 0, "causal layers\n(lesson 02)"),
        "logits": (3, 0, "logits"),
        "next": (0, 1, "x from the\nsecond token on"),
        "loss": (3, 1, "loss: mean\nof −log p"),
    },
    [
        ("x", "h", "(batch, words)"),
        ("h", "layers", "(batch, words, dim)"),
        ("layers", "logits", "(batch, words, dim)"),
        ("x", "next", "the shift"),
        ("next", "loss", "(batch, words − 1)"),
        ("logits", "loss", "(batch, words − 1, ids)"),
    ],
    marked=["loss"],
    alt=(
        "Data flow of a decoder: token ids, vectors plus places, causal layers,"
        " logits; the loss compares them with the same text, shifted by one"
        " place."
    ),
)

# %% [markdown]
# By hand, with a vocabulary of four. Each row of logits belongs to one place. Its softmax is a row
# of probabilities, and the loss of the place is $-\log p$ of the token that comes next. Its unit is
# the nat, since $\log$ is the natural logarithm.

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

# %% [markdown]
# > **Exercise 03.1 · write it** · core · difficulty 2 of 3 · 10 minutes
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
        theirs = llm(x, labels=x)
        ours = next_token_loss(theirs.logits, x, torch.ones_like(x).bool())
    print(f"{ours:.2f} nat per token; {(ours - theirs.loss).abs():.0e} apart")
    lab.claim("your loss equals transformers'", abs(ours - theirs.loss) < 1e-4)

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
# | size of a thing | 2 | log 2 | half the time, per thing |
# | colour and shape | 8 · 4 | log 32 | always |
# | go on to a second thing? | a coin | log 2 | always |
# | its relation | 4 | log 4 | half the time |
# | same colour or same shape? | a coin | log 2 | half the time |
# | the one that differs | 3 shapes or 7 colours | (log 3 + log 7) / 2 | half the time |

# %% [markdown]
# The second thing shares *exactly one* of colour and shape with the first. Independent choices
# multiply probabilities, so their logarithms add. A choice that is made half the time counts half.
# We can also list all sentences and add up $-p \log p$.

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
# No model can have a smaller expected loss than this. With $p$ for the grammar and $m$ for the
# model,
#
# $$-\sum_x p(x) \log m(x) = \underbrace{-\sum_x p(x) \log p(x)}_{\text{entropy}}
#   + \underbrace{\sum_x p(x) \log \frac{p(x)}{m(x)}}_{\mathrm{KL}(p \,\|\, m)} ,$$
#
# and the last sum is never negative: $\log u \le u - 1$ gives $-\mathrm{KL} = \sum p \log (m / p)
# \le \sum m - \sum p \le 0$. A loss below the entropy is a bug, or a leak.

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
# which lesson 09 opens. It needs a function that computes the loss of a batch.


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
    "The loss falls to the entropy of the grammar, and no further",
    baseline=("entropy of the grammar", entropy),
)
figure.axes[0].set(ylim=(0.95, 1.6))
plots.show(
    figure, alt="The training loss falls and ends on the line of the entropy."
)

# %% [markdown]
# Where the curve is below the line, these batches were easier than the average. So how close is the
# decoder? Beside it stands a **bigram**: a table of how often each word follows each other
# word.

# %%
counts = torch.full((len(names), len(names)), 0.01)  # never quite 0
follows = mask_train[:, 1:]  # (texts, words - 1)
pair = x_train[:, :-1][follows], x_train[:, 1:][follows]  # (tokens,) each
counts.index_put_(pair, torch.ones(len(pair[0])), accumulate=True)
bigram = (counts / counts.sum(1, keepdim=True)).log().to(lab.device)


# %% [markdown]
# We measure twice: on 4,000 fresh sentences, and without any sample on every sentence of the
# grammar, weighted by its probability.


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


def of_sentences(model, x, mask):
    """-log p of each text: (texts,)."""
    return -(log_probs(model, x) * mask[:, 1:]).double().sum(1)


x_all, mask_all = encode(by_word, captions.texts)  # (sentences, words) each
p_all = torch.from_numpy(captions.p)  # (sentences,)
expected = p_all @ of_sentences(decoder, x_all, mask_all)
excess = expected.item() / captions.tokens - entropy

# %% [markdown]
# The fresh sentences are a sample, and a sample may be easier than the average. So each sentence's
# loss is compared with the grammar's own $-\log p$ of the same sentence. The **standard error**
# says how much this mean would vary from sample to sample.

# %%
own = [-captions.log_prob(text) for text in test_texts]
over = of_sentences(decoder, x_test, mask_test) - torch.tensor(own).double()
tokens = mask_test[:, 1:].sum()
sampled = (over.sum() / tokens).item()
error = (over.std() * len(over) ** 0.5 / tokens).item()
alike = math.log(len(names) - 3)  # all but [PAD], [START] and [MASK]
after = of_sentences(lambda x: bigram[x], x_test, mask_test)  # (texts,)
counted = (after.sum() / tokens).item()

# %% tags=["setup"]
rows = [["every token alike", f"{alike:.3f}"], ["bigram", f"{counted:.3f}"]]
for name, key, nat in (
    ("decoder, on 4,000 fresh sentences", "fresh", entropy + sampled),
    ("decoder, on all sentences", "exact", entropy + excess),
):
    rows.append([name, lab.measured(f"03.{key}", nat, digits=3)])
rows.append(["entropy of the grammar", f"{entropy:.3f}"])
plots.table(rows, header=["model", "nat per token"])

# %%
text = lab.measured("03.excess", 1000 * excess, "thousandths of a nat")
print("the decoder is above the entropy by", text)
lab.claim("it is within 0.05 nat per token of the entropy", excess < 0.05)
lab.claim("over all sentences it is above the entropy", excess > 0)
lab.claim(
    "on the sample it is not below by more than three standard errors",
    sampled > -3 * error,
)
lab.claim(
    "it is better than the bigram by more than 0.1 nat",
    counted > entropy + excess + 0.1,
)

# %% [markdown]
# The ± is the spread over five seeds, not an interval: over all sentences no model can be below.

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
# > We have just proved that nothing can be below the entropy. So why is this loss?
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
# That is called **greedy**, and top-k with k = 1 does the same.
#
# > **Exercise 03.3 · write it** · core · difficulty 3 of 3 · 15 minutes
# >
# > Write the loop. In each of `steps` rounds: give the whole text to the model, take the logits of
# > the last place, divide by the temperature, keep the `top_k` largest (all, if it is None), draw
# > one token for each text with `torch.multinomial` and the given generator, and put it behind.
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
# In the grammar every sentence can be judged. Let the small decoder write 1,000 at several
# settings.


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
        print(f"{'':16} not the grammar's: {wrong[0]}")

# %% [markdown]
# A low temperature buys correctness with variety. Only temperature 1 with all tokens draws from the
# model's own probabilities, those that the loss asked for.
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
# Your loop does not care which model it drives. Here it drives SmolLM2: once greedily, and once
# with each of two other settings.


# %%
def logits_of_llm(x):
    """SmolLM2 as a function from ids (batch, words) to logits."""
    return llm(x).logits


if llm:
    text = "Once upon a time there was a painter who"
    x = pieces(text, return_tensors="pt").input_ids  # (1, words)
    for knobs in ({"top_k": 1}, {"temperature": 0.8, "top_k": 40}, {}):
        draws = torch.Generator().manual_seed(lab.seed)
        with torch.no_grad():
            ids = generate(logits_of_llm, x, 14, generator=draws, **knobs)
        print(knobs or "temperature 1, all tokens")
        print(f"   ...{pieces.decode(ids[0, x.shape[1] :])}")
    with torch.no_grad():
        p = llm(x).logits[0, -1].softmax(-1)  # (ids,)
    rare = 100 * (1 - p.topk(40).values.sum())
    print(f"all but the 40 most likely tokens, together: {rare:.0f} %")

# %% [markdown]
# The last line is why top-k exists. Each unlikely token has almost no probability, but there are
# 49,112 of them, so now and then one is drawn, and the text has to go on from there. Top-k cuts
# them off. Greedy is safe, and always the same.

# %% [markdown]
# ## 6. Words from both sides · core
#
# A decoder guesses a word from the left alone. How much easier is it if one also sees what follows?
# In the grammar we can compute both exactly. For each word: its surprise given the words before it,
# and given all other words of the sentence.


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
# From the left the first "red" is a coin, for no size is told, and one of eight colours. From both
# sides it is sure: the second thing must share exactly one property, and the shapes differ, so the
# colours must be equal. What is this worth in the mean, over all words of the grammar?

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
# BERT learns this. It can't be causal, so something must be hidden. Choose 15 % of the tokens,
# replace them by `[MASK]`, and predict them: a **masked language model**.
#
# But no later text holds a `[MASK]`, and a model that answers only there is never judged at other
# words. So of the chosen tokens 80 % become `[MASK]`, 10 % a random word, and 10 % stay. All of the
# chosen ones count in the loss, and no others: their label is -100, which PyTorch's loss leaves
# out.

# %% [markdown]
# > **Exercise 03.5 · write it** · core · difficulty 2 of 3 · 10 minutes
# >
# > `chosen` says which tokens were chosen. `draws` holds a random number from [0, 1) for each token:
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
# Section 9 trains an encoder with it. Encoders use both sides, decoders can write: an encoder has
# never been asked what comes after the end of a text. That is why models that answer in words, also
# those that see, are decoders.

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
    # the same answers, dealt out to the things at random: (wordings,)
    dealt = given @ right_of.bincount() / len(truth)

# %% tags=["setup", "result"]
if llm:
    rows = [["always red", 7, 40, 7.0]]
    for i, wording in enumerate(WORDINGS):
        red = given[i, 0].item()
        rows.append([repr(wording), hits[i].item(), red, f"{dealt[i]:.1f}"])
    header = ["wording", "right of 40", "says red", "right if dealt at random"]
    plots.table(rows, header=header)

# %% tags=["result"]
if llm:
    print(f"You predicted {my_prediction} for the first wording: {hits[0]}.")
    lab.claim(
        "each wording is better than its answers dealt", (hits > dealt).all()
    )
    lab.claim("each wording says red too often", (given[:, 0] > 7).all())
    lab.claim("the wording matters", hits.max() > 2 * hits.min())

# %% [markdown]
# The last column deals the same answers out to the things at random. The model is above it in each
# wording, so it has picked up something about colours. But it is wrong for at least half of the
# things, and it says "red" of far more than the 7 that are red. Here is what it says in the first
# wording:

# %% tags=["result"]
if llm:
    for colour in COLOURS:
        answers = [
            f"{thing}: {COLOURS[i]}"
            for thing, i in zip(truth, said[0].tolist())
            if truth[thing] == colour
        ]
        print(f"{colour:7} {', '.join(answers)}")

# %% [markdown]
# What can this result carry? It is one small model, with 40 things of our choice and four wordings.
# From the worst wording to the best the score more than doubles, so a single wording says little.
# And it does not tell us *why*. A common explanation is that people seldom write what everyone can
# see. Lesson 14 gives this model eyes, and lesson 18 lets it look things up.

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
# become one token.

# %%
words_seen = {"red": 6, "reddish": 2, "cross": 5, "crosses": 3, "square": 4}
counts = {(*word, "_"): count for word, count in words_seen.items()}
merges = []
for _ in range(8):
    pair, often = most_frequent_pair(counts)
    counts = {merge(parts, pair): count for parts, count in counts.items()}
    merges.append(pair)
    rows = [" ".join(parts) for parts in counts]
    print(f"{' + '.join(pair):9} occurs {often:2} times:  ", *rows, sep="  ")
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
# Both models meet the same 500 fresh sentences. The decoder predicts each word from the left. The
# encoder gets one copy of the sentence for each word, with this one word masked.

# %%
fresh = [text.split() for text in test_texts[:500]]
lengths = torch.tensor([len(words) for words in fresh])  # (500,)
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
    sum(sum(surprises(words)[side]) for words in fresh) / len(at)
    for side in (0, 1)
)

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
# ### What the two odd tenths are for · extra
#
# Why not mask all of the chosen words? Train the encoder once more, with `[MASK]` for all of them.
# Then show both models fresh sentences in which nothing is hidden. Is the best guess at each place
# the word that stands there?


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
# - A model that has read a lot knows grammar better than the look of things.

# %% tags=["setup"]
quiz(
    [
        (
            "A model of the next token has a loss below the entropy of its"
            " source. What now?",
            "First look at the standard error: on a sample it can happen by"
            " chance. If it is more than that, look for the bug: a missing"
            " shift, a missing causal mask, a test that leaked.",
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
# decoder that was only asked for the next token. Devlin et al. 2018, *BERT*
# ([1810.04805](https://arxiv.org/abs/1810.04805)): masked words with 80/10/10. Sennrich et al.
# 2015 ([1508.07909](https://arxiv.org/abs/1508.07909)): byte pairs for words. Fan et al. 2018
# ([1805.04833](https://arxiv.org/abs/1805.04833)): top-k sampling, for stories. Allal et al. 2025,
# *SmolLM2* ([2502.02737](https://arxiv.org/abs/2502.02737)): the model of this lesson. Paik et al.
# 2021, *The World of an Octopus* ([2110.08182](https://arxiv.org/abs/2110.08182)): the colours that
# language models give to 521 objects follow what texts say more than what people see.
#
# **Next:** lesson 04 does for pictures what lessons 02 and 03 did for words.

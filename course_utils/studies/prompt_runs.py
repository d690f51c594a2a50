"""What a template, a learned prompt and a few examples are worth. For lesson 12.

    python -m course_utils.studies prompt_runs

sorts unseen emoji into six of Unicode's categories, without and with a few examples of each, on the
frozen encoders and the two heads of lesson 07, and writes data/studies/prompt_runs.json.

The heads have been trained on names and keywords of other emoji, and never on a category. What has
to be chosen (a template, a learning rate, a penalty) is chosen on validation; test is only counted.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from course_utils.datasets import load_emoji
from course_utils.datasets.features import cached_features
from course_utils.methods.prompts import (
    SoftPrompt,
    TwoHeads,
    class_means,
    ensemble,
    few_of_each,
    nearest,
    train_heads,
)
from course_utils.models.pretrained import load_efficientnet_lite0, load_minilm
from course_utils.models.text import encode_texts, sentence_embedding
from course_utils.studies.runs import Row, Setting, Study

CATEGORIES = (
    "Activities",
    "Animals & Nature",
    "Food & Drink",
    "Objects",
    "People & Body",
    "Travel & Places",
)
WORDINGS = {
    "Unicode's names": tuple(name.lower() for name in CATEGORIES),
    "singular": (
        "an activity",
        "an animal or a plant",
        "food",
        "an object",
        "a person",
        "a place or a vehicle",
    ),
    "one word": ("sport", "animal", "food", "thing", "person", "travel"),
}
TEMPLATES = (
    "{}",
    "a picture of {}",
    "a photo of {}",
    "a drawing of {}",
    "an emoji of {}",
    "emoji: {}",
    "category: {}",
    "this is {}",
    "what is it? {}",
    "something like {}",
    "a small icon that shows {}",
    "there is no {}",
)
PARTS = ("train", "validation", "test")
SHOTS = (1, 2, 4, 8, 16)  # examples of each class
SOFT_SHOTS = (1, 4, 16)
DRAWS = 5  # of the examples, a seed
SOFT_UPDATES = 100
SOFT_RATES = (1e-3, 1e-2)
SENTENCE = "a picture of {}"  # to which examples are added
WORTH = (2, 8, 32)  # examples of each class that it may count as
PENALTIES = (1e-3, 1e-1, 1e1)  # inverse weights of the linear head's L2 penalty
SIDE = 128  # pixels to which pictures are enlarged
SEEDS = (0, 1, 2)
Data = dict[str, tuple[Tensor, Tensor]]  # of each part: pictures' vectors (n, dim), classes (n,)


def picture_vectors(part: str) -> Tensor:
    """EfficientNet-Lite0's features (n, 1280) of the emoji of a part: the mean over patches."""
    net, images = load_efficientnet_lite0(), load_emoji(part).images
    grid = cached_features(f"emoji-{part}-{SIDE}", images, net, lambda some: net.grid(some, SIDE))
    return grid.mean(1)  # (n, 1280)


def labelled(part: str) -> tuple[Tensor, Tensor]:
    """Vectors and classes of the emoji of a part that are in one of CATEGORIES."""
    names = load_emoji(part).categories
    rows = [i for i, name in enumerate(names) if name in CATEGORIES]
    return picture_vectors(part)[rows], torch.tensor([CATEGORIES.index(names[i]) for i in rows])


class Sentences:
    """MiniLM's vectors (texts, 384)."""

    def __init__(self):
        self.encoder, self.tokenizer = load_minilm()
        self.encoder.requires_grad_(False)

    @torch.no_grad()
    def __call__(self, texts) -> Tensor:
        found = []
        for i in range(0, len(texts), 64):
            x, mask = encode_texts(self.tokenizer, list(texts[i : i + 64]))  # (64, words) each
            found.append(sentence_embedding(self.encoder(x, mask), mask))
        return torch.cat(found)


def share(right: Tensor) -> float:
    return right.double().mean().item()


def templates(heads: TwoHeads, sentences: Sentences, data: Data, seed: int) -> list[Row]:
    """A row for each wording in each template, and for each wording in all templates together."""
    rows = []
    for wording, names in WORDINGS.items():
        vectors = torch.stack(
            [heads.texts(sentences([t.format(n) for n in names])) for t in TEMPLATES]
        )  # (templates, classes, space)
        for template, c in zip((*TEMPLATES, "all"), (*vectors, ensemble(vectors))):
            scores = {
                part: share((heads.pictures(v) @ c.T).argmax(1) == y)
                for part, (v, y) in data.items()
                if part != "train"
            }
            rows.append(
                dict(kind="template", seed=seed, wording=wording, template=template, **scores)
            )
    return rows


def few_shots(heads: TwoHeads, data: Data, seed: int) -> list[Row]:
    """Nearest class mean and a linear head on k examples of each class; several draws."""
    (v, y), (v_val, y_val), (v_test, y_test) = (data[part] for part in PARTS)
    scaled = [(some - heads.mean) / heads.std for some in (v, v_val, v_test)]  # (n, 1280) each
    spaces = [heads.pictures(some) for some in (v, v_val, v_test)]  # (n, space) each
    rows = []
    for k in SHOTS:
        for draw in range(DRAWS):
            chosen = few_of_each(y, k, torch.Generator().manual_seed(1000 * seed + draw))
            new = dict(seed=seed, k=k, draw=draw)
            for kind, (a, b, c) in (("mean of features", scaled), ("mean in the space", spaces)):
                means = class_means(a[chosen], y[chosen], len(CATEGORIES))  # (classes, dim)
                rows.append(
                    dict(
                        kind=kind,
                        **new,
                        validation=share(nearest(b, means) == y_val),
                        test=share(nearest(c, means) == y_test),
                    )
                )
            rows.append(dict(kind="linear head", **new, **linear(scaled, chosen, data)))
    return rows


def with_sentence(heads: TwoHeads, sentences: Sentences, data: Data, seed: int) -> list[Row]:
    """A sentence and k examples of each class together: the sum of the two unit vectors, and their
    weighted mean, both centred over classes, where the sentence counts as so many examples. Also
    the mean of all training examples, without a sentence."""
    (v, y), (v_val, y_val), (v_test, y_test) = (data[part] for part in PARTS)
    z, z_val, z_test = (heads.pictures(some) for some in (v, v_val, v_test))  # (n, space) each
    names = [SENTENCE.format(name) for name in WORDINGS["Unicode's names"]]
    said = heads.texts(sentences(names))  # (classes, space)

    def row(kind: str, k: int, draw: int, c: Tensor) -> Row:
        return dict(
            kind=kind,
            seed=seed,
            k=k,
            draw=draw,
            validation=share((z_val @ c.T).argmax(1) == y_val),
            test=share((z_test @ c.T).argmax(1) == y_test),
        )

    whole = class_means(z, y, len(CATEGORIES))  # (classes, space)
    rows: list[Row] = [
        dict(
            kind="all examples",
            seed=seed,
            validation=share(nearest(z_val, whole) == y_val),
            test=share(nearest(z_test, whole) == y_test),
        )
    ]
    for k in SHOTS:
        for draw in range(DRAWS):
            chosen = few_of_each(y, k, torch.Generator().manual_seed(1000 * seed + draw))
            seen = F.normalize(class_means(z[chosen], y[chosen], len(CATEGORIES)), dim=-1)
            rows.append(row("sentence and mean", k, draw, said + seen))
            for worth in WORTH:
                share_seen = k / (k + worth)
                both = share_seen * (seen - seen.mean(0)) + (1 - share_seen) * (said - said.mean(0))
                rows.append(row("weighted", k, draw, both) | dict(worth=worth))
    return rows


def linear(scaled: list[Tensor], chosen: Tensor, data: Data) -> dict:
    """Logistic regression; its penalty is chosen on validation."""
    y, y_val, y_test = (data[part][1] for part in PARTS)
    tries = []
    for penalty in PENALTIES:
        model = LogisticRegression(C=penalty, max_iter=500).fit(scaled[0][chosen], y[chosen])
        tries.append(
            dict(
                validation=float(model.score(scaled[1], y_val)),
                test=float(model.score(scaled[2], y_test)),
            )
        )
    return max(tries, key=lambda found: found["validation"])


def soft(heads: TwoHeads, sentences: Sentences, data: Data, seed: int) -> list[Row]:
    """A learned prompt from k examples of each class, at the rate that validation chooses."""
    z = {part: heads.pictures(v) for part, (v, _) in data.items()}  # (n, space) each
    y, rows = data["train"][1], []
    for k in SOFT_SHOTS:
        chosen = few_of_each(y, k, torch.Generator().manual_seed(1000 * seed))
        tries = []
        for rate in SOFT_RATES:
            model = SoftPrompt(
                sentences.encoder, sentences.tokenizer, heads, WORDINGS["Unicode's names"]
            )
            optimizer = torch.optim.Adam(model.parameters(), lr=rate)
            for _ in range(SOFT_UPDATES):
                loss = F.cross_entropy(model(z["train"][chosen]), y[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                scores = {
                    part: share(model(z[part]).argmax(1) == data[part][1])
                    for part in ("validation", "test")
                }
            tries.append(dict(kind="soft prompt", seed=seed, k=k, draw=0, rate=rate, **scores))
        rows.append(max(tries, key=lambda found: found["validation"]))
    return rows


def run(seed: int) -> list[Row]:
    """All rows of a seed: of the heads, of the examples that are drawn."""
    data, sentences, emoji = {p: labelled(p) for p in PARTS}, Sentences(), load_emoji("train")
    heads = train_heads(
        picture_vectors("train"),
        [sentences(emoji.names), sentences(emoji.texts())],
        emoji.right_answers(alike=0.05),
        seed,
    )
    return (
        templates(heads, sentences, data, seed)
        + few_shots(heads, data, seed)
        + with_sentence(heads, sentences, data, seed)
        + soft(heads, sentences, data, seed)
    )


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed in seeds:
        yield dict(seed=seed)


STUDY = Study(
    measures="lesson 12: emoji sorted by a template, a learned prompt and a few examples",
    takes="a few minutes",
    columns={"seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

"""What does a model learn from yes/no questions alone, once it has features? For lesson 08.

    python -m course_utils.studies yes_no_runs

trains lesson 08's encoder and head on the yes/no questions of easy-VQA and writes
data/studies/yes_no_runs.json. The features are given, and frozen: those of the stem in
data/checkpoints/easy_vqa.safetensors, which tell every colour and shape. The encoder has first
learnt to name colours and shapes from them. Then come the yes/no questions: as they are, or with
weights in the loss that give each wording as much "yes" as "no". Each accuracy is split by what is
asked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import product

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from course_utils.datasets import Batch, VQAData, load_easy_vqa, loader
from course_utils.datasets.easy_vqa import COLOURS
from course_utils.evaluation.evaluate import Evaluation, evaluate
from course_utils.methods.answering import easy_vqa_model, trained_easy_vqa
from course_utils.models.vqa import VQAModel
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import FitConfig, fit
from course_utils.training.objective import answer_objective

KINDS = ("as they are", "weighted evenly")
SEEDS = (0, 1)
PASSES = 2  # over the yes/no questions
IMAGES_PER_BATCH = 8


def asks_for(question: str) -> str:
    """What a yes/no question asks for: "colour" where it names one, otherwise "shape"."""
    words = question.lower().rstrip("?").split()
    return "colour" if any(colour in words for colour in COLOURS) else "shape"


def by_kind(found: Evaluation, data: VQAData) -> dict[str, float]:
    """Accuracy on the yes/no questions that ask for a colour, and on those for a shape."""
    colour = torch.tensor([asks_for(question) == "colour" for question in data.questions])
    parts = {"colour": colour, "shape": ~colour}
    return {name: round(found.select(rows).accuracy, 4) for name, rows in parts.items()}


@torch.no_grad()
def with_features(data: VQAData) -> VQAData:
    """The same with the features (images, 16, 64) of the trained stem in place of the pictures."""
    stem = trained_easy_vqa().network.stem
    parts = [stem(images.float() / 255) for images in data.images.split(100)]
    return replace(data, images=torch.cat(parts))


@cache
def easy_vqa() -> tuple[VQAData, VQAData, VQAData]:
    """Training and validation pictures and test, as features."""
    whole = load_easy_vqa("train")
    test = load_easy_vqa("test", whole.tokenizer, whole.answers)
    train, validation = whole.split_by_image(0.1, seed=0)
    return with_features(train), with_features(validation), with_features(test)


def model_of_features(data: VQAData, seed: int, outputs: int | None = None) -> VQAModel:
    """Lesson 08's model without its stem: it is given features."""
    torch.manual_seed(seed)
    model = easy_vqa_model(data, outputs)
    model.stem = nn.Identity()
    return model


def train(model, objective, data, validate, passes: int, seed: int, max_steps: int = 0) -> None:
    """The weights of the pass that is best by `validate` are kept."""
    fit(
        model,
        objective,
        loader(data, IMAGES_PER_BATCH, seed=seed),
        validate,
        FitConfig(epochs=passes, lr=1e-3, warmup=0.2, max_steps=max_steps),
        device="cpu",
        progress=False,
    )


@cache
def prepared(seed: int, max_steps: int = 0) -> tuple[VQAModel, float]:
    """A model that was trained for one pass on the questions for a colour or a shape, and the share
    of these that it answers on test; not to be changed."""
    names = tuple(answer for answer in easy_vqa()[0].answers if answer not in ("no", "yes"))
    data, held, test = (part.restrict_answers(names) for part in easy_vqa())
    model = model_of_features(data, seed)
    train(model, answer_objective, data, lambda m: evaluate(m, held).accuracy, 1, seed, max_steps)
    return model, evaluate(model, test).accuracy


class Weighted:
    """Binary cross-entropy in which each wording has as much weight of "yes" as of "no"."""

    def __init__(self, data: VQAData, even: bool):
        self.even = even
        words, which = data.x.unique(dim=0, return_inverse=True)
        counts = torch.bincount(2 * which + data.y, minlength=2 * len(words)).view(-1, 2)
        self.weight = {  # ids of a wording -> weights of no, yes
            self.key(x): (0.5 * row.sum() / row.clamp(min=1)).tolist()
            for x, row in zip(words, counts)
        }

    @staticmethod
    def key(x: Tensor) -> tuple[int, ...]:
        return tuple(i for i in x.tolist() if i)  # without padding

    def weights(self, batch: Batch) -> Float[Tensor, " batch"]:
        rows = zip(batch.x, batch.y.tolist())
        return torch.tensor([self.weight[self.key(x)][y] if self.even else 1.0 for x, y in rows])

    def __call__(self, model: VQAModel, batch: Batch) -> Tensor:
        z = model(batch.images, batch.image_index, batch.x, batch.mask)[:, 0]  # (batch,)
        each = F.binary_cross_entropy_with_logits(z, batch.y.float(), reduction="none")
        return (self.weights(batch) * each).mean()


def run(kind: str, seed: int, max_steps: int = 0) -> Row:
    """Accuracy by what is asked: on validation after each pass, on the training questions, and on
    test with the right and with exchanged pictures.

    Raises:
        ValueError: an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {KINDS}, got {kind!r}")
    data, held, test = (part.restrict_answers(("no", "yes")) for part in easy_vqa())
    first, named = prepared(seed, max_steps)
    model = model_of_features(data, seed, outputs=1)
    model.encoder.load_state_dict(first.encoder.state_dict())
    seen = []  # validation by what is asked, after each pass

    def validate(m: VQAModel) -> float:
        found = evaluate(m, held)
        seen.append(by_kind(found, held))
        return found.accuracy

    objective = Weighted(data, even=kind == "weighted evenly")
    train(model, objective, data, validate, PASSES, seed, max_steps)
    exchanged = test.shuffle_images(seed=seed)
    return dict(
        kind=kind,
        seed=seed,
        named=round(named, 4),
        validation=seen,
        train=by_kind(evaluate(model, data), data),
        test=by_kind(evaluate(model, test), test),
        exchanged=by_kind(evaluate(model, exchanged), exchanged),
    )


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed, kind in product(seeds, KINDS):
        yield dict(kind=kind, seed=seed)


STUDY = Study(
    measures="lesson 08: yes/no questions, once colours and shapes are known",
    takes="four minutes",
    columns={"kind": KINDS, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

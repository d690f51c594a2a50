"""What does a model learn that is trained on yes/no questions alone? For lesson 08.

    python -m course_utils.studies yes_no_runs

trains lesson 08's network on equally many yes/no questions of easy-VQA in three ways, at three
seeds, and writes data/studies/yes_no_runs.json: drawn at random; so that each wording has as many
"yes" as "no"; and drawn at random, from a stem and an encoder that have learnt colours and shapes
first. Each accuracy is split by what is asked.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product

import torch
from jaxtyping import Int
from torch import Tensor

from course_utils.datasets import Batch, VQAData, load_easy_vqa, loader
from course_utils.datasets.easy_vqa import COLOURS
from course_utils.evaluation.evaluate import Evaluation, evaluate
from course_utils.methods.answering import easy_vqa_model
from course_utils.models.vqa import VQAModel
from course_utils.objectives.classification import binary_cross_entropy
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import FitConfig, History, fit
from course_utils.training.objective import answer_objective

KINDS = (
    "as they come",
    "balanced",
    "colours and shapes first, as they come",
    "colours and shapes first, balanced",
)
SEEDS = (0, 1, 2)
PASSES = 2  # over the yes/no questions
PASSES_FIRST = 2  # over the questions for a colour or a shape
IMAGES_PER_BATCH = 4


def yes_no_objective(model: VQAModel, batch: Batch) -> Tensor:
    """Mean binary cross-entropy of a batch, by the single logit."""
    z = model(batch.images, batch.image_index, batch.x, batch.mask)[:, 0]  # (batch,)
    return binary_cross_entropy(z, batch.y.float())


def asks_for(question: str) -> str:
    """What a yes/no question asks for: "colour" where it names one, otherwise "shape"."""
    words = question.lower().rstrip("?").split()
    return "colour" if any(colour in words for colour in COLOURS) else "shape"


def by_kind(found: Evaluation, data: VQAData) -> dict[str, float]:
    """Accuracy on the yes/no questions that ask for a colour, and on those for a shape."""
    colour = torch.tensor([asks_for(question) == "colour" for question in data.questions])
    parts = {"colour": colour, "shape": ~colour}
    return {name: round(found.select(rows).accuracy, 4) for name, rows in parts.items()}


def balanced(data: VQAData, seed: int) -> Int[Tensor, " kept"]:
    """Rows of `data`, drawn so that each wording has as many "yes" as "no"."""
    rows = defaultdict(lambda: ([], []))  # wording -> rows answered no, yes
    for row, (question, answer) in enumerate(zip(data.questions, data.y.tolist())):
        rows[question][answer].append(row)
    generator = torch.Generator().manual_seed(seed)
    kept = []
    for answered in rows.values():
        count = min(len(each) for each in answered)
        for each in answered:
            chosen = torch.randperm(len(each), generator=generator)[:count]
            kept += torch.tensor(each)[chosen].tolist()
    return torch.tensor(sorted(kept))


def at_random(data: VQAData, count: int, seed: int) -> Int[Tensor, " count"]:
    """So many rows of `data`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(len(data), generator=generator)[:count].sort().values


def train(
    model: VQAModel, objective, data: VQAData, validate, passes: int, seed: int, max_steps: int = 0
) -> History:
    """Training as in lesson 08: the weights of the pass that is best by `validate` are kept."""
    return fit(
        model.to(memory_format=torch.channels_last),
        objective,
        loader(data, IMAGES_PER_BATCH, seed=seed),
        validate,
        FitConfig(epochs=passes, lr=1e-3, warmup=0.35, max_steps=max_steps),
        device="cpu",
        progress=False,
    )


@cache
def easy_vqa() -> tuple[VQAData, VQAData, VQAData]:
    """Training and validation pictures, and test."""
    whole = load_easy_vqa("train")
    test = load_easy_vqa("test", whole.tokenizer, whole.answers)
    return *whole.split_by_image(0.1, seed=0), test


@cache
def prepared(seed: int, max_steps: int = 0) -> VQAModel:
    """A model that was trained on the questions for a colour or a shape; not to be changed."""
    names = tuple(answer for answer in easy_vqa()[0].answers if answer not in ("no", "yes"))
    data, held = (part.restrict_answers(names) for part in easy_vqa()[:2])
    torch.manual_seed(seed)
    model = easy_vqa_model(data)

    def validate(m: VQAModel) -> float:
        return evaluate(m, held).accuracy

    train(model, answer_objective, data, validate, PASSES_FIRST, seed, max_steps)
    return model


def run(kind: str, seed: int, max_steps: int = 0) -> Row:
    """Accuracy by what is asked: on validation after each pass, on the training questions, and on
    test with the right and with exchanged pictures.

    Raises:
        ValueError: an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {KINDS}, got {kind!r}")
    yes_no, held, test = (part.restrict_answers(("no", "yes")) for part in easy_vqa())
    rows = balanced(yes_no, seed)
    if kind.endswith("as they come"):
        rows = at_random(yes_no, len(rows), seed)
    data = yes_no.select(rows)
    first = prepared(seed, max_steps) if kind.startswith("colours") else None
    torch.manual_seed(seed)
    model = easy_vqa_model(data, outputs=1)
    if first is not None:
        model.stem.load_state_dict(first.stem.state_dict())
        model.encoder.load_state_dict(first.encoder.state_dict())
    seen = []  # validation by what is asked, after each pass

    def validate(m: VQAModel) -> float:
        found = evaluate(m, held)
        seen.append(by_kind(found, held))
        return found.accuracy

    train(model, yes_no_objective, data, validate, PASSES, seed, max_steps)
    exchanged = test.shuffle_images(seed=seed)
    return dict(
        kind=kind,
        seed=seed,
        questions=len(data),
        validation=seen,
        train=by_kind(evaluate(model, data), data),
        test=by_kind(evaluate(model, test), test),
        exchanged=by_kind(evaluate(model, exchanged), exchanged),
    )


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed, kind in product(seeds, KINDS):
        yield dict(kind=kind, seed=seed)


STUDY = Study(
    measures="lesson 08: yes/no questions alone: as they come, balanced, after colours and shapes",
    takes="seven minutes",
    columns={"kind": KINDS, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

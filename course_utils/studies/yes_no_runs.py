"""Why does a model that is trained on yes/no questions alone stay blind? For lesson 08.

    python -m course_utils.studies yes_no_runs

trains lesson 08's network on the yes/no questions of easy-VQA in two ways, at three seeds, and
writes data/studies/yes_no_runs.json: for longer (seven passes instead of three), and for three
passes from a stem and an encoder that have learnt colours and shapes first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import torch

from course_utils.datasets import Batch, VQAData, load_easy_vqa, loader
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.answering import easy_vqa_model
from course_utils.models.vqa import VQAModel
from course_utils.objectives.classification import binary_cross_entropy
from course_utils.studies.recipes import EASY_VQA_FIT, IMAGES_PER_BATCH
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import History, fit
from course_utils.training.objective import answer_objective

KINDS = ("seven passes", "colours and shapes first")
SEEDS = (0, 1, 2)


def yes_no_objective(model: VQAModel, batch: Batch) -> torch.Tensor:
    """Mean binary cross-entropy of a batch, by the single logit."""
    z = model(batch.images, batch.image_index, batch.x, batch.mask)[:, 0]  # (batch,)
    return binary_cross_entropy(z, batch.y.float())


def train(
    model: VQAModel,
    objective,
    data: VQAData,
    validation: VQAData,
    epochs: int,
    seed: int,
    max_steps: int = 0,
) -> History:
    """Training as in lesson 08: the weights of the pass that is best on validation are kept."""
    return fit(
        model,
        objective,
        loader(data, IMAGES_PER_BATCH, seed=seed),
        lambda m: evaluate(m, validation).accuracy,
        replace(EASY_VQA_FIT, epochs=epochs, max_steps=max_steps),
        device="cpu",
        progress=False,
    )


def run(kind: str, seed: int, max_steps: int = 0) -> Row:
    """Validation accuracy after each pass over the yes/no questions, and test accuracy with the
    right and with exchanged pictures.

    Raises:
        ValueError: an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {KINDS}, got {kind!r}")
    whole = load_easy_vqa("train")
    test = load_easy_vqa("test", whole.tokenizer, whole.answers).restrict_answers(("no", "yes"))
    parts = whole.split_by_image(0.1, seed=0)  # training and validation pictures
    yes_no, held = (part.restrict_answers(("no", "yes")) for part in parts)
    torch.manual_seed(seed)
    model = easy_vqa_model(yes_no, outputs=1)
    if kind == "colours and shapes first":
        names = tuple(answer for answer in whole.answers if answer not in ("no", "yes"))
        others, held_others = (part.restrict_answers(names) for part in parts)
        first = easy_vqa_model(others)
        train(
            first, answer_objective, others, held_others, epochs=3, seed=seed, max_steps=max_steps
        )
        model.stem.load_state_dict(first.stem.state_dict())
        model.encoder.load_state_dict(first.encoder.state_dict())
    epochs = 7 if kind == "seven passes" else 3
    history = train(model, yes_no_objective, yes_no, held, epochs, seed, max_steps)
    exchanged = evaluate(model, test.shuffle_images(seed=seed)).accuracy
    return dict(
        kind=kind,
        seed=seed,
        validation=[round(s, 4) for s in history.score],
        test=round(evaluate(model, test).accuracy, 4),
        exchanged=round(exchanged, 4),
    )


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed, kind in product(seeds, KINDS):
        yield dict(kind=kind, seed=seed)


STUDY = Study(
    measures="lesson 08: yes/no questions alone: for longer, and after colours and shapes",
    takes="ten minutes",
    columns={"kind": KINDS, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

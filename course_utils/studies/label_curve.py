"""How many labels does answering questions need, with and without pretraining? For lesson 07.

    python -m course_utils.studies label_curve

pretrains the joint model of the world on captions, tunes it on few answered questions, and writes
data/studies/label_curve.json.

Starts: "pairs", pretrained on pictures with their captions for 8 passes; "alone", on the same
pictures and captions as long, but never on both together; "none", from random weights; "none, equal
compute", the same with as many more updates as pretraining took time for; "pairs, checkpoint", the
shipped model, which was pretrained three times as long (once: its seeds differ in the tuning only).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import product

import torch
from torch import Tensor

from course_utils.datasets import VQAData, loader
from course_utils.datasets.files import data_path
from course_utils.datasets.pairs import pair_tokenizer
from course_utils.datasets.world_vqa import answered
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.pretraining import (
    WORLD_PAIRS_FIT,
    Pretraining,
    pretrain_world,
    world_pretraining_model,
)
from course_utils.models.heads import AnswerHead
from course_utils.models.pretraining import JointPretraining
from course_utils.models.vqa import VQAModel
from course_utils.models.weights import load_weights
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import FitConfig, fit
from course_utils.training.objective import answer_objective

STARTS = {
    "pairs": Pretraining(),
    "alone": Pretraining(words=False, contrast=False, match="", alone=True),
    "none": None,
    "none, equal compute": None,
    "pairs, checkpoint": "world_pretrained",
}
SHORT = replace(WORLD_PAIRS_FIT, epochs=8)
LABELS = (100, 400, 1600, 6400)
SEEDS = (0, 1, 2)
UPDATES = 400  # of tuning
EQUAL = 3000  # more updates of tuning, which take the time of pretraining
IMAGES_PER_BATCH = 16


def tune(
    start: JointPretraining,
    labels: int,
    seed: int,
    updates: int = UPDATES,
    validation: VQAData | None = None,
    device=None,
) -> VQAModel:
    """Trains stem, encoder and a new head on `labels` answered questions."""
    train = answered("train", labels // 4, seed=100 + seed)
    torch.manual_seed(seed)
    head = AnswerHead(start.encoder.config.dim, len(train.answers))
    model = VQAModel(start.stem, start.encoder, head)
    batches = loader(train, IMAGES_PER_BATCH, seed=seed)
    epochs = -(-updates // len(batches))
    config = FitConfig(epochs=epochs, lr=1e-3, warmup=0.3, max_steps=updates)
    validate = None
    if validation is not None:
        validate = lambda m: evaluate(m, validation).accuracy
    fit(model, answer_objective, batches, validate, config, device=device, progress=False)
    return model


@cache
def pretrained(start: str, seed: int) -> dict[str, Tensor]:
    """The weights of a start, for all numbers of labels."""
    return pretrain_world(seed, STARTS[start], SHORT)[0].state_dict()


def run(start: str, labels: int, seed: int) -> Row:
    """Accuracy on test questions of the world after tuning."""
    torch.manual_seed(seed)
    model = world_pretraining_model(pair_tokenizer())
    if isinstance(STARTS[start], str):
        load_weights(model, data_path(f"checkpoints/{STARTS[start]}.safetensors"))
    elif STARTS[start] is not None:
        model.load_state_dict(pretrained(start, seed))
    updates = UPDATES + (EQUAL if start == "none, equal compute" else 0)
    tuned = tune(model, labels, seed, updates, answered("validation", 50))
    accuracy = evaluate(tuned, answered("test", 500)).accuracy
    return dict(start=start, labels=labels, seed=seed, accuracy=accuracy)


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed, start, labels in product(seeds, STARTS, LABELS):
        yield dict(start=start, labels=labels, seed=seed)


STUDY = Study(
    measures="lesson 07: accuracy after tuning on few labels, with and without pretraining",
    takes="an hour and a half",
    columns={"start": STARTS, "labels": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

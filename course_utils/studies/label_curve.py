"""How many labels does answering questions need, with and without pretraining? For lesson 07.

    python -m course_utils.studies label_curve

tunes the joint model of the world on few answered questions, and writes
data/studies/label_curve.json.

Starts: "none", random weights; "pairs", the shipped model, pretrained for 24 passes on pictures
with their captions. There is one pretraining: the seeds of "pairs" differ in the questions that are
answered, in their order and in the new head; those of "none" in all weights.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import torch

from course_utils.datasets import VQAData, loader
from course_utils.datasets.files import data_path
from course_utils.datasets.pairs import pair_tokenizer
from course_utils.datasets.world_vqa import answered
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.pretraining import world_pretraining_model
from course_utils.models.heads import AnswerHead
from course_utils.models.pretraining import JointPretraining
from course_utils.models.vqa import VQAModel
from course_utils.models.weights import load_weights
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import FitConfig, History, fit
from course_utils.training.objective import answer_objective

STARTS = ("none", "pairs")
UPDATES = {100: 250, 400: 1000}  # of tuning, for each number of labels
SEEDS = (0, 1, 2)
IMAGES_PER_BATCH = 8  # with four questions each


def tune(
    start: JointPretraining,
    train: VQAData,
    seed: int,
    updates: int,
    validation: VQAData | None = None,
    device=None,
) -> tuple[VQAModel, History]:
    """Trains stem, encoder and a new head on answered questions. With `validation` the weights of
    the pass that answers most of it rightly are kept, the first of several that are as good."""
    torch.manual_seed(seed)
    head = AnswerHead(start.encoder.config.dim, len(train.answers))
    model = VQAModel(start.stem, start.encoder, head)
    batches = loader(train, IMAGES_PER_BATCH, seed=seed)
    epochs = -(-updates // len(batches))
    config = FitConfig(epochs=epochs, lr=1e-3, warmup=0.1, max_steps=updates)
    validate = None
    if validation is not None:
        validate = lambda m: evaluate(m, validation).accuracy
    history = fit(model, answer_objective, batches, validate, config, device=device, progress=False)
    return model, history


def run(start: str, labels: int, seed: int) -> Row:
    """What a tuned model answers rightly: of its own training questions, and of 2,000 new ones, in
    all and by what they ask; and after how many updates the kept weights were reached."""
    torch.manual_seed(seed)
    model = world_pretraining_model(pair_tokenizer())
    if start == "pairs":
        load_weights(model, data_path("checkpoints/world_pretrained.safetensors"))
    train = answered("train", labels // 4, seed=100 + seed)
    tuned, history = tune(model, train, seed, UPDATES[labels], answered("validation", 50))
    test = evaluate(tuned, answered("test", 500))
    each = -(-labels // 4 // IMAGES_PER_BATCH)  # updates in a pass
    return dict(
        start=start,
        labels=labels,
        seed=seed,
        kept=min(each * (history.best_epoch + 1), UPDATES[labels]),
        own=round(evaluate(tuned, train).accuracy, 4),
        accuracy=round(test.accuracy, 4),
        **{name: round(share, 4) for name, share in test.by_family.items()},
    )


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for labels, seed, start in product(UPDATES, seeds, STARTS):
        yield dict(start=start, labels=labels, seed=seed)


STUDY = Study(
    measures="lesson 07: accuracy after tuning on few labels, with and without pretraining",
    takes="ten minutes",
    columns={"start": STARTS, "labels": UPDATES, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

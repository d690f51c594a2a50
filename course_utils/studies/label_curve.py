"""How many labels does answering questions need, with and without pretraining? For lesson 06.

    python -m course_utils.studies label_curve

pretrains the joint model of the world on captions, tunes it on few answered questions, and writes
data/studies/label_curve.json. Runs that the file holds already are not repeated. It takes about an hour and
a half on one CPU core.

Starts: "pairs", pretrained on pictures with their captions for 8 passes; "alone", on the same
pictures and captions as long, but never on both together; "none", from random weights; "none, equal
compute", the same with as many more updates as pretraining took time for; "pairs, checkpoint", the
shipped model, which was pretrained three times as long (once: its seeds differ in the tuning only).
"""

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch

from course_utils.datasets import VQAData, load_world, loader
from course_utils.datasets.pairs import pair_tokenizer
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
from course_utils.studies.recipes import WORLD_FAMILIES, answer_objective, load_weights
from course_utils.studies.runs import read_runs, write_runs
from course_utils.training.fit import FitConfig, fit

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
COMMAND = "python -m course_utils.studies label_curve"
UPDATES = 400  # of tuning
EQUAL = 3000  # more updates of tuning, which take the time of pretraining
IMAGES_PER_BATCH = 16


def answered(part: str, scenes: int, seed: int = 0) -> VQAData:
    """Four questions a scene, with the tokens of the pretrained model."""
    return load_world("iid", part, scenes, 4, WORLD_FAMILIES, seed, tokenizer=pair_tokenizer())


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
        validate = lambda m: evaluate(m, validation).accuracy  # noqa: E731
    fit(model, answer_objective, batches, validate, config, device=device, progress=False)
    return model


def run(start: str, labels: int, seed: int, pretrained: dict) -> float:
    """Accuracy on test questions of the world after tuning."""
    torch.manual_seed(seed)
    model = world_pretraining_model(pair_tokenizer())
    if isinstance(STARTS[start], str):
        load_weights(model, Path("data/checkpoints") / f"{STARTS[start]}.safetensors")
    elif STARTS[start] is not None:
        if (start, seed) not in pretrained:
            pretrained[start, seed] = pretrain_world(seed, STARTS[start], SHORT)[0].state_dict()
        model.load_state_dict(pretrained[start, seed])
    updates = UPDATES + (EQUAL if start == "none, equal compute" else 0)
    tuned = tune(model, labels, seed, updates, answered("validation", 50))
    return evaluate(tuned, answered("test", 500)).accuracy


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("data/studies/label_curve.json"))
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = read_runs(options.out)
    done = {(r["start"], r["labels"], r["seed"]) for r in found}
    pretrained: dict = {}
    for seed, start, labels in product(options.seeds, STARTS, LABELS):
        if (start, labels, seed) in done:
            continue
        accuracy = run(start, labels, seed, pretrained)
        found.append(dict(start=start, labels=labels, seed=seed, accuracy=accuracy))
        found.sort(key=lambda r: (list(STARTS).index(r["start"]), r["labels"], r["seed"]))
        write_runs(options.out, found, COMMAND)
        print(f"{start}, {labels} labels, seed {seed}: {100 * accuracy:.1f} %", flush=True)


if __name__ == "__main__":
    main()

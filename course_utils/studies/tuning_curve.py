"""How good is tuning with few parameters? For lesson 11.

    python -m course_utils.studies tuning_curve

tunes the pretrained joint model of the world, which has read captions but no question, on 1,600
answered questions in Chinese, and writes data/studies/tuning_curve.json.

The combinations of HELD_OUT are neither in the captions nor in the training questions; each scene
of the test has one. For every method the learning rate is chosen on validation, seed by seed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor, nn

from course_utils.datasets import Batch, VQAData, load_world, loader
from course_utils.datasets.files import data_path
from course_utils.datasets.pairs import pair_tokenizer
from course_utils.datasets.world_vqa import WORLD_FAMILIES
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.answering import base_model
from course_utils.models.vqa import VQAModel
from course_utils.peft import (
    AdaLoRAConfig,
    AdapterConfig,
    LoRAConfig,
    PrefixConfig,
    RankAllocator,
    add_adalora,
    add_adapters,
    add_lora,
    add_prefix,
    count_parameters,
    freeze_base,
    orthogonality,
)
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import FitConfig, History, fit
from course_utils.training.objective import answer_objective

LABELS = 1600
UPDATES = 400
IMAGES_PER_BATCH = 16
PENALTY = 0.1  # weight of AdaLoRA's orthogonality penalty
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
SEEDS = (0, 1, 2)
MATRICES = ("qkv", "out", "mlp.0", "mlp.2")  # every Linear of every layer
ALLOCATION = AdaLoRAConfig(
    initial_rank=6,
    target_rank=4,
    total_steps=UPDATES,
    warmup=50,
    final=100,
    alpha=6.0,
    targets=MATRICES,
    parts="qkv",
)


def lora(rank: int, **changes) -> Callable[[nn.Module], object]:
    """Factors of a rank for every matrix, with alpha = rank, so that B A is multiplied by 1."""
    config = LoRAConfig(
        rank, **{"alpha": float(rank), "targets": MATRICES, "parts": "qkv"} | changes
    )
    return lambda model: add_lora(model, config)


METHODS = {
    "head only": None,
    "prefix of 8": lambda model: add_prefix(model, PrefixConfig(length=8, hidden=0)),
    "prefix of 8, by a network": lambda model: add_prefix(model, PrefixConfig(length=8, hidden=64)),
    "LoRA 4, queries and values": lora(4, targets=("qkv",), parts="qv"),
    "LoRA 1": lora(1),
    "LoRA 4": lora(4),
    "LoRA 16": lora(16),
    "LoRA 16, alpha 1": lora(16, alpha=1.0),
    "LoRA 16, alpha 1, rank-stabilised": lora(16, alpha=1.0, rank_stabilised=True),
    "AdaLoRA 6 to 4": lambda model: add_adalora(model, ALLOCATION),
    "AdaLoRA 6, no allocation": lambda model: add_adalora(model, ALLOCATION),
    "adapters of 8": lambda model: add_adapters(model, AdapterConfig(width=8)),
    "all weights": None,
}


def questions(part: str, scenes: int, seed: int = 0, language: str = "zh") -> VQAData:
    """Four questions a scene, with the tokens of the pretrained model."""
    return load_world(
        "composition", part, scenes, 4, WORLD_FAMILIES, seed, language, pair_tokenizer()
    )


def prepare(model: VQAModel, method: str) -> None:
    """Puts a method of METHODS in, and freezes what it doesn't train."""
    if METHODS[method] is not None:
        METHODS[method](model)
    if method != "all weights":
        freeze_base(model, keep=("head",))


def penalised(model: nn.Module, batch: Batch) -> Tensor:
    """The loss of the answers, plus AdaLoRA's penalty."""
    return answer_objective(model, batch) + PENALTY * orthogonality(model)


@torch.no_grad()
def encoded(stem: nn.Module, data: VQAData) -> VQAData:
    """The data with the features of a frozen stem in the place of pictures."""
    stem.eval()
    parts = [stem(some.float() / 255) for some in data.images.split(100)]  # (100, patches, dim)
    return replace(data, images=torch.cat(parts))


def tune(
    model: VQAModel,
    method: str,
    train: VQAData,
    validation: VQAData | None,
    rate: float,
    seed: int,
    after_update: Callable[[int], None] | None = None,
    updates: int = UPDATES,
) -> History:
    """Trains what isn't frozen for UPDATES updates; the epoch is chosen on `validation`. A frozen
    stem sees each picture once, before."""
    stem = model.stem
    if not any(weight.requires_grad for weight in stem.parameters()):
        train = encoded(stem, train)
        validation = None if validation is None else encoded(stem, validation)
        model.stem = nn.Identity()
    batches = loader(train, IMAGES_PER_BATCH, seed=seed)
    config = FitConfig(epochs=-(-updates // len(batches)), lr=rate, warmup=0.1, max_steps=updates)
    if method == "AdaLoRA 6 to 4" and after_update is None:
        after_update = RankAllocator(model).update_and_allocate
    objective = penalised if method.startswith("AdaLoRA") else answer_objective
    score = None
    if validation is not None:
        score = lambda m: evaluate(m, validation).accuracy
    try:
        return fit(
            model,
            objective,
            batches,
            score,
            config,
            progress=False,
            device="cpu",
            after_update=after_update,
        )
    finally:
        model.stem = stem


def run(method: str, rate: float, seed: int) -> Row:
    """Trainable parameters, validation and test accuracy of one tuning."""
    train, validation = questions("train", LABELS // 4, 100 + seed), questions("validation", 100)
    weights = data_path("checkpoints/world_pretrained.safetensors")
    model = base_model(len(train.answers), weights, seed)
    prepare(model, method)
    counts = count_parameters(model)
    history = tune(model, method, train, validation, rate, seed)
    return dict(
        method=method,
        rate=rate,
        seed=seed,
        trainable=counts.trainable,
        validation=max(history.score),
        accuracy=evaluate(model, questions("test", 500)).accuracy,
    )


def chosen(runs: Sequence[Row], method: str) -> list[Row]:
    """One run a seed: that of the learning rate with the best validation accuracy."""
    mine = [r for r in runs if r["method"] == method]
    return [
        max((r for r in mine if r["seed"] == seed), key=lambda r: r["validation"])
        for seed in sorted({r["seed"] for r in mine})
    ]


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed, method, rate in product(seeds, METHODS, RATES):
        yield dict(method=method, rate=rate, seed=seed)


STUDY = Study(
    measures="lesson 11: accuracy after tuning with few parameters, against all weights",
    takes="half an hour",
    columns={"method": METHODS, "rate": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

"""What does it cost, and what does it bring, to freeze a part of a model? For lesson 08.

    python -m course_utils.studies freezing

tunes the pretrained joint model of the world on 1,600 answered questions in Chinese with a part of
it frozen, at three seeds and three learning rates, and writes data/studies/freezing.json. Runs that are
there already are not repeated. It takes about five minutes on one CPU core. For every strategy the
learning rate is chosen on validation, seed by seed. Task and training are those of `tuning_curve`,
which has measured the two extremes: the head alone, and all weights.
"""

import argparse
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from course_utils.datasets import Batch, VQAData, loader
from course_utils.evaluation.evaluate import evaluate
from course_utils.models.vqa import VQAModel
from course_utils.peft import count_parameters
from course_utils.studies.recipes import answer_objective
from course_utils.studies.runs import read_runs, write_runs
from course_utils.studies.tuning_curve import (
    IMAGES_PER_BATCH,
    LABELS,
    UPDATES,
    base_model,
    questions,
)
from course_utils.training.fit import FitConfig, fit, freeze
from course_utils.training.memory import saved_bytes

RATES = (1e-3, 3e-3, 1e-2)
SEEDS = (0, 1, 2)
COMMAND = "python -m course_utils.studies freezing"


class TrainModeStem(nn.Module):
    """A frozen stem left in train mode: the mistake. Batch normalisation then uses the statistics
    of each batch, and goes on changing the running ones that it will use later."""

    def __init__(self, stem: nn.Module):
        super().__init__()
        self.stem = stem
        self.unfrozen = nn.Parameter(torch.zeros(()))  # so that `fit` doesn't put it into eval mode

    def forward(self, images: Tensor) -> Tensor:
        self.stem.train(self.training)
        return self.stem(images) + 0 * self.unfrozen  # (images, patches, dim)


def freeze_all_but_head(model: VQAModel) -> None:
    freeze(model.stem)
    freeze(model.encoder)


def freeze_all_but_top(model: VQAModel) -> None:
    """The last layer, the normalisation after it and the head are trained."""
    freeze_all_but_head(model)
    model.encoder.encoder.layers[-1].requires_grad_(True)
    model.encoder.encoder.norm.requires_grad_(True)


def freeze_stem(model: VQAModel) -> None:
    freeze(model.stem)


def freeze_stem_in_train_mode(model: VQAModel) -> None:
    freeze(model.stem)
    model.stem = TrainModeStem(model.stem)


STRATEGIES = {
    "all frozen but the head": freeze_all_but_head,
    "top layer and head trained": freeze_all_but_top,
    "stem frozen": freeze_stem,
    "stem frozen, in train mode": freeze_stem_in_train_mode,
    "nothing frozen": lambda model: None,
}


MEASURED = tuple(STRATEGIES)[1:4]
IN_TUNING_CURVE = {"all frozen but the head": "head only", "nothing frozen": "all weights"}


def cost(model: nn.Module, batch: Batch) -> dict[str, int]:
    """What an update costs: floating-point operations of the forward and of the backward pass (in
    matrix products and convolutions), and bytes that the first keeps for the second."""
    forward, backward = FlopCounterMode(display=False), FlopCounterMode(display=False)
    with forward:
        loss = answer_objective(model, batch)
    with backward:
        loss.backward()
    model.zero_grad()
    held = saved_bytes(lambda: answer_objective(model, batch), model)
    return dict(forward=forward.get_total_flops(), backward=backward.get_total_flops(), held=held)


def tune(
    strategy: str,
    rate: float,
    seed: int,
    train: VQAData,
    validation: VQAData,
    weights: Path,
    updates: int = UPDATES,
):
    """A tuned model with more or less of it frozen, and its history."""
    model = base_model(len(train.answers), weights, seed)
    STRATEGIES[strategy](model)
    batches = loader(train, IMAGES_PER_BATCH, seed=seed)
    config = FitConfig(epochs=-(-updates // len(batches)), lr=rate, warmup=0.1, max_steps=updates)
    history = fit(
        model,
        answer_objective,
        batches,
        lambda m: evaluate(m, validation).accuracy,
        config,
        progress=False,
        device="cpu",
    )
    return model, history


def run(strategy: str, rate: float, seed: int, weights: Path) -> dict:
    """Trained weights, validation and test accuracy of one tuning."""
    train, validation = questions("train", LABELS // 4, 100 + seed), questions("validation", 100)
    model, history = tune(strategy, rate, seed, train, validation, weights)
    return dict(
        strategy=strategy,
        rate=rate,
        seed=seed,
        trained=count_parameters(model).trainable,
        validation=max(history.score),
        accuracy=evaluate(model, questions("test", 500)).accuracy,
    )


def chosen(runs: list[dict], strategy: str) -> list[dict]:
    """One run a seed: that of the learning rate with the best validation accuracy. `runs` are those
    of data/studies/freezing.json and of data/studies/tuning_curve.json together."""
    if strategy in IN_TUNING_CURVE:
        mine = [r for r in runs if r.get("method") == IN_TUNING_CURVE[strategy]]
    else:
        mine = [r for r in runs if r.get("strategy") == strategy]
    return [
        max((r for r in mine if r["seed"] == seed), key=lambda r: r["validation"])
        for seed in sorted({r["seed"] for r in mine})
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("data/studies/freezing.json"))
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = read_runs(options.out)
    done = {(r["strategy"], r["rate"], r["seed"]) for r in found}
    order = list(STRATEGIES)
    weights = Path("data/checkpoints/world_pretrained.safetensors")
    for seed, strategy, rate in product(options.seeds, MEASURED, RATES):
        if (strategy, rate, seed) not in done:
            new = run(strategy, rate, seed, weights)
            found.append(new)
            found.sort(key=lambda r: (order.index(r["strategy"]), r["rate"], r["seed"]))
            write_runs(options.out, found, COMMAND)
            print(
                {k: v if isinstance(v, str | int) else round(v, 4) for k, v in new.items()},
                flush=True,
            )


if __name__ == "__main__":
    main()

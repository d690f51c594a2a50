"""How the trained weights in data/checkpoints/ are made.

python -m course_utils.studies.recipes NAME      writes data/checkpoints/NAME.safetensors
python -m course_utils.studies.recipes --list    the names, and about how long each takes
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from course_utils.cache import cache_folder
from course_utils.datasets import load_easy_vqa, loader
from course_utils.datasets.world_vqa import world_data
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.answering import FUSIONS, easy_vqa_model, world_model
from course_utils.methods.captioning import train_captioner
from course_utils.methods.clip_answering import train_future
from course_utils.methods.locating import train_locator
from course_utils.methods.pretraining import pretrain_real, pretrain_world
from course_utils.models.seeing import SeeingDecoder
from course_utils.models.vqa import VQAModel
from course_utils.peft.files import save_tuning
from course_utils.studies.eyes import KINDS, train_eyes
from course_utils.training.fit import FitConfig, History, fit
from course_utils.training.objective import answer_objective

FOLDER = Path("data/checkpoints")
EASY_VQA_FIT = FitConfig(epochs=7, lr=1e-3, warmup=0.35)
IMAGES_PER_BATCH = 8  # about 77 questions; more updates learn more here than larger ones
WORLD_FIT = FitConfig(epochs=8, lr=1e-3, warmup=0.3)


def train_easy_vqa(
    seed: int = 0,
    config: FitConfig = EASY_VQA_FIT,
    checkpoint: Path | None = None,
    device: str | torch.device | None = None,
) -> tuple[VQAModel, History]:
    """Trains on 90 % of the training pictures, choosing the epoch on the other 10 %."""
    train, validation = load_easy_vqa("train").split_by_image(0.1, seed=0)
    torch.manual_seed(seed)
    model = easy_vqa_model(train)
    history = fit(
        model,
        answer_objective,
        loader(train, IMAGES_PER_BATCH, seed=seed),
        validate=lambda m: evaluate(m, validation).accuracy,
        config=config,
        checkpoint=checkpoint,
        device=device,
    )
    return model, history


def train_world(
    fusion: str, seed: int = 0, checkpoint: Path | None = None, device=None
) -> tuple[VQAModel, History]:
    """Trains one fusion on 8,000 scenes; the epoch is chosen on 600 others."""
    train, validation = world_data("train", 8000), world_data("validation", 600)
    torch.manual_seed(seed)
    model = world_model(train, fusion)
    history = fit(
        model,
        answer_objective,
        loader(train, 16, seed=seed),
        validate=lambda m: evaluate(m, validation).accuracy,
        config=WORLD_FIT,
        checkpoint=checkpoint,
        device=device,
    )
    return model, history


def train_smollm2_eyes(
    seed: int = 0, checkpoint: Path | None = None
) -> tuple[SeeingDecoder, History]:
    """SmolLM2 with eyes, kept in half precision. What a run that was stopped has done is kept in
    the cache, and the next one goes on from there."""
    resume = cache_folder() / f"smollm2-eyes-{seed}.state"
    model, _, history = train_eyes(KINDS["seeing"], seed, resume=resume)
    if checkpoint is not None:
        save_tuning(model, checkpoint, torch.float16)
    resume.unlink(missing_ok=True)
    return model, history


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint is made."""

    makes: str  # in a line
    takes: str  # about how long, on one CPU core
    train: Callable[..., tuple[torch.nn.Module, History]]  # (checkpoint=path) writes the file


RECIPES = (
    {"easy_vqa": Recipe("lesson 08: the model of easy-VQA", "a few minutes", train_easy_vqa)}
    | {
        f"world_{fusion}_{seed}": Recipe(
            f"lesson 05: the world with the fusion '{fusion}', seed {seed}",
            "a few minutes",
            partial(train_world, fusion, seed),
        )
        for fusion in FUSIONS
        for seed in range(3)
    }
    | {
        "world_pretrained": Recipe(
            "lesson 07: pretrained on captions of the world", "nine minutes", pretrain_world
        ),
        "real_pretrained": Recipe(
            "lesson 07: pretrained on emoji and captions, on real pretrained weights",
            "ten minutes",
            pretrain_real,
        ),
        "captioner": Recipe(
            "lesson 13: captions and descriptions of the world, on lesson 07's frozen stem",
            "six minutes",
            train_captioner,
        ),
        "future": Recipe(
            "lesson 15: words and a first frame to later frames", "a minute", train_future
        ),
        "smollm2_eyes": Recipe(
            "lesson 14: SmolLM2's projector and low-rank changes", "an hour", train_smollm2_eyes
        ),
        "locator": Recipe(
            "lesson 16: finds what an expression names, on lesson 07's frozen stem",
            "six minutes",
            train_locator,
        ),
    }
)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `python -m course_utils.studies.recipes`."""
    parser = argparse.ArgumentParser(
        prog="python -m course_utils.studies.recipes",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=RECIPES, metavar="NAME")
    parser.add_argument("--list", action="store_true", help="what there is, and how long it takes")
    parser.add_argument("--out", type=Path, help=f"another file than {FOLDER}/NAME.safetensors")
    options = parser.parse_args(arguments)
    if options.list:
        for name, recipe in RECIPES.items():
            print(f"{name:16} {recipe.makes} ({recipe.takes})")
        return
    if options.name is None:
        parser.error("expected the NAME of a checkpoint, or --list")
    path = options.out or FOLDER / f"{options.name}.safetensors"
    if not path.parent.is_dir():
        parser.error(
            f"expected a folder {path.parent}: start in the course's folder, or give --out"
        )
    _, history = RECIPES[options.name].train(checkpoint=path)
    score = f"best validation score {max(history.score):.4f}" if history.score else ""
    print(f"{path}: {score or f'last loss {history.loss[-1]:.3f}'}")


if __name__ == "__main__":
    main()

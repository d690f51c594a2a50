"""How the trained weights in data/checkpoints/ are made.

    python -m course_utils.studies.recipes easy_vqa          the model of lesson 07
    python -m course_utils.studies.recipes world_joint_0     of lesson 04: fusion joint, late or cross, and
                                                     the seed 0, 1 or 2
    python -m course_utils.studies.recipes world_pretrained  of lesson 06: pretrained on world captions
    python -m course_utils.studies.recipes real_pretrained   of lesson 06: pretrained on emoji and captions,
                                                     on real pretrained weights

writes data/checkpoints/NAME.safetensors.
"""

import argparse
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_model
from torch import Tensor, nn

from course_utils.datasets import Batch, VQAData, load_easy_vqa, load_world, loader
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.pretraining import pretrain_real, pretrain_world
from course_utils.models.fusion import CrossAttentionEncoder, TwoTowerEncoder
from course_utils.models.heads import AnswerHead
from course_utils.models.joint import JointConfig, JointEncoder
from course_utils.models.vision import ConvStem
from course_utils.models.vqa import VQAModel
from course_utils.objectives.classification import cross_entropy
from course_utils.training.fit import FitConfig, History, fit

EASY_VQA_FIT = FitConfig(epochs=7, lr=1e-3, warmup=0.35)
IMAGES_PER_BATCH = 8  # about 77 questions; more updates learn more here than larger ones


def easy_vqa_model(data: VQAData, outputs: int | None = None) -> VQAModel:
    """A joint Transformer over words and 16 patches, with `outputs` logits (one an answer)."""
    config = JointConfig(
        dim=64, layers=2, heads=8, mlp_dim=128, vocab_size=data.tokenizer.get_vocab_size()
    )
    head = AnswerHead(config.dim, outputs or len(data.answers))
    return VQAModel(ConvStem(config.visual_dim), JointEncoder(config), head)


def answer_objective(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy of the answers of one batch."""
    logits = model(batch.images, batch.image_index, batch.x, batch.mask)  # (batch, answers)
    return cross_entropy(logits, batch.y)


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


# Lesson 04: three fusions on the teaching world, alike in size, data and training

WORLD_FAMILIES = ("exists", "colour", "shape", "count")
WORLD_FIT = FitConfig(epochs=8, lr=1e-3, warmup=0.3)
FUSIONS = {"joint": JointEncoder, "late": TwoTowerEncoder, "cross": CrossAttentionEncoder}


def world_data(part: str, scenes: int) -> VQAData:
    """Four questions a scene, one of each family of WORLD_FAMILIES or so."""
    return load_world("iid", part, scenes, questions_per_scene=4, families=WORLD_FAMILIES)


def world_model(data: VQAData, fusion: str) -> VQAModel:
    """The model of lesson 07 with one of FUSIONS as its encoder."""
    if fusion not in FUSIONS:
        raise ValueError(f"fusion: expected one of {', '.join(FUSIONS)}, got {fusion!r}")
    config = JointConfig(
        dim=64, layers=2, heads=8, mlp_dim=128, vocab_size=data.tokenizer.get_vocab_size()
    )
    head = AnswerHead(config.dim, len(data.answers))
    return VQAModel(ConvStem(config.visual_dim), FUSIONS[fusion](config), head)


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


def load_weights(model: nn.Module, path: Path) -> nn.Module:
    """Fills `model` with the weights of a safetensors file and puts it into eval mode.

    Raises:
        FileNotFoundError: no such file; the message says how to make it.
        ValueError: the file is damaged or holds another model's weights.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"expected weights in {path}; make them with `python -m course_utils.studies.recipes "
            f"{path.stem}`"
        )
    try:
        load_model(model, str(path))
    except Exception as error:  # safetensors and torch raise several kinds
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"expected the weights of this model in {path.name}: {reason}") from None
    return model.eval()


RECIPES = (
    {"easy_vqa": train_easy_vqa}
    | {
        f"world_{fusion}_{seed}": partial(train_world, fusion, seed)
        for fusion in FUSIONS
        for seed in range(3)
    }
    | {"world_pretrained": pretrain_world, "real_pretrained": pretrain_real}
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("name", choices=RECIPES, metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--out", type=Path, default=None, help="another file to write")
    options = parser.parse_args()
    path = options.out or Path("data/checkpoints") / f"{options.name}.safetensors"
    _, history = RECIPES[options.name](checkpoint=path)
    told = (
        f"best validation score {max(history.score):.4f}"
        if history.score
        else (f"last loss {history.loss[-1]:.3f}")
    )
    print(f"{path}: {told}")


if __name__ == "__main__":
    main()

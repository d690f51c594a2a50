"""Models that answer questions about pictures: what the course trains from random weights, and a
pretrained one under a new head."""

from pathlib import Path

import torch

from course_utils.datasets.batch import VQAData
from course_utils.datasets.pairs import pair_tokenizer
from course_utils.methods.pretraining import world_pretraining_model
from course_utils.models.fusion import CrossAttentionEncoder, TwoTowerEncoder
from course_utils.models.heads import AnswerHead
from course_utils.models.joint import JointConfig, JointEncoder
from course_utils.models.vision import ConvStem
from course_utils.models.vqa import VQAModel
from course_utils.models.weights import load_weights

# Three fusions, alike in size
FUSIONS = {"joint": JointEncoder, "late": TwoTowerEncoder, "cross": CrossAttentionEncoder}


def easy_vqa_model(data: VQAData, outputs: int | None = None) -> VQAModel:
    """A joint Transformer over words and 16 patches, with `outputs` logits (one an answer)."""
    config = JointConfig(
        dim=64, layers=2, heads=8, mlp_dim=128, vocab_size=data.tokenizer.get_vocab_size()
    )
    head = AnswerHead(config.dim, outputs or len(data.answers))
    return VQAModel(ConvStem(config.visual_dim), JointEncoder(config), head)


def world_model(data: VQAData, fusion: str) -> VQAModel:
    """The same with one of FUSIONS as its encoder.

    Raises:
        ValueError: an unknown fusion.
    """
    if fusion not in FUSIONS:
        raise ValueError(f"fusion: expected one of {', '.join(FUSIONS)}, got {fusion!r}")
    config = JointConfig(
        dim=64, layers=2, heads=8, mlp_dim=128, vocab_size=data.tokenizer.get_vocab_size()
    )
    head = AnswerHead(config.dim, len(data.answers))
    return VQAModel(ConvStem(config.visual_dim), FUSIONS[fusion](config), head)


def base_model(answers: int, weights: Path, seed: int) -> VQAModel:
    """The pretrained stem and encoder in the file `weights` under a new head."""
    pretrained = load_weights(world_pretraining_model(pair_tokenizer()), weights)
    torch.manual_seed(seed)
    head = AnswerHead(pretrained.encoder.config.dim, answers)
    return VQAModel(pretrained.stem, pretrained.encoder, head)

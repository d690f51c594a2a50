"""Models that answer questions about pictures: what the course trains from random weights, and a
pretrained one under a new head."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import torch
from jaxtyping import Float, UInt8
from tokenizers import Tokenizer
from torch import Tensor

from course_utils.datasets.batch import VQAData
from course_utils.datasets.easy_vqa import easy_vqa_words
from course_utils.datasets.files import data_path
from course_utils.datasets.pairs import pair_tokenizer
from course_utils.datasets.text import encode
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


@dataclass(frozen=True)
class Answerer:
    """A trained network with the words that it reads and the answers that it can give."""

    network: VQAModel  # in eval mode
    tokenizer: Tokenizer
    answers: tuple[str, ...]  # the name of each logit

    @torch.no_grad()
    def probabilities(
        self, picture: UInt8[Tensor, "3 height width"], question: str
    ) -> Float[Tensor, " answers"]:
        """How likely each answer is, on the CPU. Unknown words are read as `[UNK]`."""
        device = next(self.network.parameters()).device
        x, mask = encode(self.tokenizer, [question])  # (1, words) each
        image = picture[None].float() / 255  # (1, 3, height, width)
        inputs = (image, torch.zeros(1, dtype=torch.long), x, mask)
        logits = self.network(*(part.to(device) for part in inputs))  # (1, answers)
        return logits.softmax(1)[0].cpu()

    def answer(self, picture: UInt8[Tensor, "3 height width"], question: str) -> str:
        """The likeliest answer."""
        return self.answers[int(self.probabilities(picture, question).argmax())]


def trained_easy_vqa(device: str | torch.device = "cpu") -> Answerer:
    """The model of data/checkpoints/easy_vqa.safetensors, ready to be asked.

    Raises:
        FileNotFoundError: easy-VQA or the checkpoint is missing.
    """
    tokenizer, answers = easy_vqa_words()
    words = SimpleNamespace(tokenizer=tokenizer, answers=answers)  # no pictures are needed
    network = easy_vqa_model(cast(VQAData, words))
    load_weights(network, data_path("checkpoints/easy_vqa.safetensors"))
    return Answerer(network.eval().to(device), tokenizer, answers)


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

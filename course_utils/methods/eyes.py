"""SmolLM2 with eyes: EfficientNet-Lite0's features, a projector, and LoRA in the frozen decoder.

The recipe is that of LLaVA (Liu et al. 2023, arXiv 2304.08485): a frozen image network, a frozen
language model, and a small projector between them that is trained on answers; then the language
model is tuned as well, here by low-rank changes (Hu et al. 2021, 2106.09685).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from course_utils.datasets.features import cached_features
from course_utils.datasets.files import data_path
from course_utils.datasets.instructions import END, PLACEHOLDER, prompt_ids
from course_utils.methods.generation import Choose, greedy, tokens_of
from course_utils.methods.instruction_tuning import answers, what_each_patch_tells
from course_utils.models import smollm2
from course_utils.models.convert import from_llama
from course_utils.models.efficientnet import EfficientNetLite0
from course_utils.models.llama import Llama
from course_utils.models.pretrained import load_efficientnet_lite0
from course_utils.models.seeing import Projector, SeeingDecoder
from course_utils.peft.files import load_tuning
from course_utils.peft.lora import LoRAConfig, add_lora

SIDE = 160  # pixels to which a picture is enlarged: EfficientNet-Lite0 gives 5 x 5 patches of it
GRID = 3  # rows and columns of visual tokens, into which these are averaged
HIDDEN = 768  # width inside the projector
LORA = LoRAConfig(rank=8, alpha=16.0, targets=("attention.q", "attention.v"), parts="")


def patch_features(
    backbone: EfficientNetLite0, images: Float[Tensor, "images 3 height width"], grid: int = GRID
) -> Float[Tensor, "images patches 1280"]:
    """The features of a picture's grid * grid parts, row by row."""
    h = backbone(F.interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True))
    return F.adaptive_avg_pool2d(h, grid).flatten(2).transpose(1, 2)  # (images, patches, 1280)


def visual_features(
    name: str,
    images: UInt8[Tensor, "images 3 64 64"],
    backbone: EfficientNetLite0,
    grid: int = GRID,
) -> Float[Tensor, "images patches 1280"]:
    """`patch_features` of many pictures in half precision, from the cache where they were computed
    before; `name` begins the file's name."""

    def compute(some: Tensor) -> Tensor:
        return patch_features(backbone, some, grid).half()  # (batch, patches, 1280)

    return cached_features(name, images, backbone, compute, version=f"{SIDE} {grid}")


def with_eyes(
    decoder: Llama, tokenizer: PreTrainedTokenizerBase, seed: int = 0, visual_dim: int = 1280
) -> SeeingDecoder:
    """The decoder, frozen, behind a projector that has learnt nothing yet."""
    decoder.requires_grad_(False)
    scale = decoder.token.weight.std().item()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        projector = Projector(visual_dim, decoder.config.dim, HIDDEN, scale)
    return SeeingDecoder(decoder, projector, tokenizer.convert_tokens_to_ids(PLACEHOLDER))


def add_tuning(model: SeeingDecoder, config: LoRAConfig = LORA, seed: int = 0) -> None:
    """Low-rank changes for the decoder's queries and values; they begin as no change."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        add_lora(model.decoder, config)


@dataclass(frozen=True)
class Eyes:
    """A language model that is asked about pictures."""

    model: SeeingDecoder  # in eval mode
    tokenizer: PreTrainedTokenizerBase
    backbone: EfficientNetLite0

    def ask(
        self,
        picture: UInt8[Tensor, "3 height width"],
        question: str,
        most: int = 16,
        choose: Choose = greedy,
    ) -> str:
        """What the model writes about one picture."""
        return self.ask_all(picture[None], [question], most, choose)[0]

    @torch.no_grad()
    def ask_all(
        self,
        pictures: UInt8[Tensor, "questions 3 height width"],
        questions: Sequence[str],
        most: int = 16,
        choose: Choose = greedy,
    ) -> list[str]:
        """What the model writes to each question about its picture, in up to `most` tokens."""
        v = patch_features(self.backbone, pictures.float() / 255)  # (questions, patches, 1280)
        return answers(self.model, self.tokenizer, v, questions, most, choose)

    @torch.no_grad()
    def write(
        self, picture: UInt8[Tensor, "3 height width"], question: str, most: int = 16
    ) -> Iterator[str]:
        """The answer so far, after each token, until it is whole."""
        v = patch_features(self.backbone, picture[None].float() / 255)  # (1, patches, 1280)
        x = torch.tensor([prompt_ids(self.tokenizer, question, v.shape[1])])  # (1, words)
        h = self.model.embedded(v, x)  # (1, words, dim)
        end, ids = self.tokenizer.convert_tokens_to_ids(END), []
        for token in tokens_of(self.model.decoder, x, most, end=end, h=h):
            ids.append(int(token[0]))
            yield self.tokenizer.decode(ids, skip_special_tokens=True).strip()

    @torch.no_grad()
    def looks(
        self, picture: UInt8[Tensor, "3 height width"], question: str, answer: str
    ) -> Float[Tensor, "rows columns"]:
        """`what_each_patch_tells` about an answer, as a grid over the picture."""
        v = patch_features(self.backbone, picture[None].float() / 255)[0]  # (patches, 1280)
        told = what_each_patch_tells(self.model, self.tokenizer, v, question, answer)
        return told.unflatten(0, (GRID, GRID))


def load_eyes(path: str | Path | None = None) -> Eyes:
    """SmolLM2 with the eyes that the course has trained.

    Args:
        path: what `save_tuning` wrote; the course's own file when None.

    Raises:
        FileNotFoundError: SmolLM2, EfficientNet-Lite0 or the file is missing.
        ValueError: one of them is not the one that it should be.
    """
    reference, tokenizer = smollm2.load()
    model = with_eyes(from_llama(reference), tokenizer)
    load_tuning(model, path or data_path("checkpoints/smollm2_eyes.safetensors"))
    return Eyes(model.eval(), tokenizer, load_efficientnet_lite0())

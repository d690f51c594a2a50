"""Answering questions about clips of the world: the model on lesson 07's frozen stem, and how it is
trained and asked. Text to video likewise."""

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from course_utils.datasets.clips import ClipBatch, clip_words, encode
from course_utils.datasets.files import data_path
from course_utils.datasets.future_clips import FutureBatch, Futures, draw_batch, future_data
from course_utils.methods.captioning import new_captioner
from course_utils.models.future import FutureModel
from course_utils.models.video import READERS, ClipAnswerer
from course_utils.models.weights import load_weights
from course_utils.training.fit import FitConfig, History, fit
from course_utils.world.motion_words import ANSWERS, answer_in

FUTURE_UPDATES, FUTURE_ROWS = 600, 32
TOLD = 0.5  # share of a batch's rows whose words are told


def world_stem() -> nn.Module:
    """Lesson 07's stem, frozen: pictures (images, 3, 64, 64) -> (images, 16, 64).

    Raises:
        FileNotFoundError, ValueError: as `load_weights`, of checkpoints/world_pretrained.
    """
    return new_captioner().stem.eval()


def new_clip_model(reader: str, frames: int = 7) -> ClipAnswerer:
    """A model with random weights that reads clips in one of the ways of READERS.

    Raises:
        ValueError: an unknown way.
    """
    if reader not in READERS:
        raise ValueError(f"reader: expected one of {', '.join(READERS)}, got {reader!r}")
    return ClipAnswerer(READERS[reader](frames), len(clip_words()), len(ANSWERS))


def clip_objective(model: nn.Module, batch: ClipBatch) -> Float[Tensor, ""]:
    """Mean of -log p of the right answers, in nat."""
    return F.cross_entropy(model(batch.v, batch.x, batch.mask), batch.y)


@torch.no_grad()
def ask_clip(
    model: ClipAnswerer, v: Float[Tensor, "frames patches dim"], question: str, language: str = "en"
) -> str:
    """The model's answer to a question about one clip.

    Raises:
        ValueError: words that clips don't have, or an unknown language.
    """
    x, mask = encode([question])  # (1, words) each
    return answer_in(language, int(model.eval()(v[None], x, mask).argmax()))


# Text to video


def future_objective(model: FutureModel, batch: FutureBatch) -> Float[Tensor, ""]:
    """Mean squared error of the later frames."""
    return F.mse_loss(model(batch.first, batch.x, batch.mask), batch.later)


class _Drawn(IterableDataset):
    """Random batches without an end, from a seed."""

    def __init__(self, data: Futures, rows: int, updates: int, seed: int):
        self.data, self.rows, self.updates = data, rows, updates
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self.updates

    def __iter__(self):
        for _ in range(self.updates):
            yield draw_batch(self.data, self.rows, TOLD, self.generator)


def train_future(
    seed: int = 0,
    clips: int = 400,
    updates: int = FUTURE_UPDATES,
    checkpoint: Path | None = None,
    device: str | torch.device | None = None,
) -> tuple[FutureModel, History]:
    """Trains text to video on first frames and their four futures; half of the rows have no
    words."""
    data = future_data(clips, seed=1)
    torch.manual_seed(seed)
    model = FutureModel(len(clip_words()))
    batches = DataLoader(_Drawn(data, FUTURE_ROWS, updates, seed), batch_size=None)
    config = FitConfig(epochs=1, lr=4e-3, warmup=0.2)
    history = fit(
        model, future_objective, batches, config=config, checkpoint=checkpoint, device=device
    )
    return model, history


def trained_future() -> FutureModel:
    """The model of data/checkpoints/future.safetensors, in eval mode.

    Raises:
        FileNotFoundError, ValueError: as `load_weights`.
    """
    model = FutureModel(len(clip_words()))
    return load_weights(model, data_path("checkpoints/future.safetensors")).eval()


@torch.no_grad()
def foretell(
    model: FutureModel, data: Futures, told: bool = True
) -> Float[Tensor, "ways clips later 3 side side"]:
    """What the model makes of each first frame, with the words of each way or with none."""
    mask = data.mask if told else torch.zeros_like(data.mask)  # (ways, clips, words)
    return torch.stack([model(data.first, x, m) for x, m in zip(data.x, mask)])

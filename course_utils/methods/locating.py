"""The world's locator: its model, how it learns, how it is asked, and how answers are judged."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_utils.datasets.expressions import (
    LocateBatch,
    LocateData,
    encode_expressions,
    expression_words,
    locate_loader,
)
from course_utils.datasets.features import cached_features
from course_utils.datasets.files import data_path
from course_utils.datasets.pairs import pair_tokenizer
from course_utils.methods.pretraining import world_pretraining_model
from course_utils.models.locator import (
    NAMED,
    OTHER,
    WAYS,
    FineStem,
    Located,
    LocatorConfig,
    PatchLocator,
    QueryLocator,
)
from course_utils.models.vision import ConvStem
from course_utils.models.weights import load_weights
from course_utils.objectives.boxes import box_loss, iou, pairwise, to_centres
from course_utils.objectives.sets import Target, set_loss
from course_utils.training.fit import FitConfig, History, fit
from course_utils.world.drawing import draw
from course_utils.world.expressions import Expressions, refer, say_again
from course_utils.world.language import LANGUAGES
from course_utils.world.scenes import Scenes

CONFIG = LocatorConfig(vocab_size=len(expression_words()), max_words=10, mlp_dim=128)
MIXED = ("name", "side", "near")
SETS = 4  # of expressions about each training picture
LOCATOR_FIT = FitConfig(epochs=12, lr=2e-3, warmup=0.1)


class Locator(nn.Module):
    """A frozen stem, which makes `v` from pictures, and the head that finds things in it."""

    def __init__(self, stem: nn.Module, head: PatchLocator | QueryLocator):
        super().__init__()
        self.stem = stem.requires_grad_(False)
        self.head = head

    @torch.no_grad()
    def see(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch patches visual_dim"]:
        """Visual features, from the stem in eval mode."""
        self.stem.eval()
        return self.stem(images)

    def forward(self, x: Tensor, v: Tensor, mask: Tensor) -> Located:
        """As the head."""
        return self.head(x, v, mask)


def new_locator(way: str = "towers") -> Locator:
    """Random weights, but for lesson 07's stem, which is frozen. `way` is one
    of "towers", "cross", "joint" and "queries".

    Raises:
        ValueError: an unknown way.
        FileNotFoundError, ValueError: as `load_weights`, of checkpoints/world_pretrained.
    """
    if way not in (*WAYS, "queries"):
        raise ValueError(f"way: expected one of {', '.join(WAYS)}, queries, got {way!r}")
    with torch.random.fork_rng():
        seeing = world_pretraining_model(pair_tokenizer())
    load_weights(seeing, data_path("checkpoints/world_pretrained.safetensors"))
    assert isinstance(seeing.stem, ConvStem)
    head = QueryLocator(CONFIG) if way == "queries" else PatchLocator(CONFIG, way)
    return Locator(FineStem(seeing.stem), head)


def trained_locator() -> Locator:
    """The locator of data/checkpoints/locator.safetensors, in eval mode.

    Raises:
        FileNotFoundError, ValueError: as `load_weights`.
    """
    return load_weights(new_locator("cross"), data_path("checkpoints/locator.safetensors")).eval()


def place_features(model: Locator, scenes: Scenes, name: str = "") -> Tensor:
    """v (scenes, 16, 320) of the scenes' pictures; with a `name` they are kept on disk."""
    images = torch.from_numpy(draw(scenes))  # (scenes, 3, 64, 64) uint8
    if name:
        return cached_features(name, images, model.stem, model.stem, batch=64)
    return torch.cat([model.see(some.float() / 255) for some in images.split(64)])


def place_of(box: Float[Tensor, "batch 4"], patches: int = CONFIG.patches) -> Int[Tensor, " batch"]:
    """The place of the grid in which a box (in shares) has its centre."""
    side = round(patches**0.5)
    cell = (to_centres(box)[:, :2] * side).long().clamp(0, side - 1)  # (batch, 2): column, row
    return cell[:, 1] * side + cell[:, 0]


def patch_loss(found: Located, box: Float[Tensor, "batch 4"]) -> Float[Tensor, ""]:
    """Cross-entropy of the place where the named object has its centre, and DETR's box loss of the
    box that is given there."""
    place = place_of(box, found.scores.shape[1])  # (batch,)
    given = found.boxes[torch.arange(len(place)), place]  # (batch, 4)
    return F.cross_entropy(found.scores, place) + box_loss(given, box).mean()


def set_targets(batch: LocateBatch) -> list[Target]:
    """Every object of each picture, the named one with another label than the others."""
    targets = []
    for boxes, column in zip(batch.objects, batch.column.tolist()):
        there = boxes[:, 2] > boxes[:, 0]  # (4,)
        labels = torch.full((len(boxes),), OTHER)
        labels[column] = NAMED
        targets.append(Target(labels[there], to_centres(boxes[there])))
    return targets


def locate_objective(model: Locator, batch: LocateBatch) -> Float[Tensor, ""]:
    """The loss of a batch: `set_loss` for queries, `patch_loss` for places."""
    if isinstance(model.head, QueryLocator):
        found = model.head.candidates(batch.x, batch.v, batch.mask)
        return set_loss(found.logits, found.boxes, set_targets(batch)).total
    return patch_loss(model(batch.x, batch.v, batch.mask), batch.box)


@torch.no_grad()
def locate(
    model: Locator, v: Float[Tensor, "rows patches visual_dim"], texts: Sequence[str]
) -> Float[Tensor, "rows 4"]:
    """The box (left, top, right, bottom, in shares) with the highest score for each expression."""
    x, mask = encode_expressions(texts)
    boxes = []
    for some in zip(x.split(256), v.split(256), mask.split(256)):
        found = model(*some)
        best = found.scores.argmax(1)  # (batch,)
        boxes.append(found.boxes[torch.arange(len(best)), best])
    return torch.cat(boxes)


class Judged(NamedTuple):
    """What became of answers, each (rows,) bool."""

    right: Bool[Tensor, " rows"]  # IoU with the named object is 0.5 or more
    chosen: Bool[Tensor, " rows"]  # of all objects, the named one is the nearest to the box
    found: Bool[Tensor, " rows"]  # IoU with some object is 0.5 or more


def judge(
    boxes: Float[Tensor, "rows 4"], given: Expressions, side: int = 64, least: float = 0.5
) -> Judged:
    """Answers (in shares) beside the truth."""
    objects = torch.from_numpy(given.boxes).float() / side  # (rows, 4, 4)
    there = objects[..., 2] > objects[..., 0]  # (rows, 4)
    overlap = pairwise(iou, boxes[:, None], objects)[:, 0]  # (rows, 4)
    columns = torch.from_numpy(given.columns)  # (rows,)
    away = (to_centres(boxes)[:, None, :2] - to_centres(objects)[..., :2]).norm(dim=-1)
    nearest = away.masked_fill(~there, torch.inf).argmin(1)  # (rows,)
    right = overlap[torch.arange(len(columns)), columns] >= least
    return Judged(right, nearest == columns, overlap.amax(1) >= least)


@torch.no_grad()
def locate_in_steps(
    model: Locator, v: Float[Tensor, "rows patches visual_dim"], texts: Sequence[str]
) -> Float[Tensor, "rows 4"]:
    """Boxes as of `locate`, but "the A next to the B" is read in two steps: where is the B, and
    which of the two likeliest boxes for "the A" is nearer to it? Other texts are read whole."""
    relation = f" {LANGUAGES['en']['near']} "
    parts = [text.partition(relation) for text in texts]
    boxes = locate(model, v, [first for first, _, _ in parts])  # (rows, 4)
    for i, (first, _, second) in enumerate(parts):
        if not second:
            continue
        anchor = to_centres(locate(model, v[i : i + 1], [second]))[0, :2]  # (2,)
        found = model(
            *encode_expressions([first])[:1], v[i : i + 1], encode_expressions([first])[1]
        )
        order = found.scores[0].argsort(descending=True)  # (places,)
        ranked = found.boxes[0, order]  # (places, 4)
        apart = iou(ranked[:1], ranked) < 0.3  # (places,): not the best one again
        both = torch.stack([ranked[0], ranked[apart.int().argmax()]])  # (2, 4)
        away = (to_centres(both)[:, :2] - anchor).norm(dim=1)  # (2,)
        boxes[i] = both[away.argmin()]
    return boxes


def accuracy(model: Locator, v: Tensor, given: Expressions) -> float:
    """Share of the expressions whose box is right."""
    return judge(locate(model, v, given.texts), given).right.float().mean().item()


def train_locator(
    seed: int = 0,
    count: int = 9000,
    config: FitConfig = LOCATOR_FIT,
    checkpoint: Path | None = None,
    device: str | torch.device | None = None,
) -> tuple[Locator, History]:
    """Trains the course's locator on its frozen stem; the epoch is chosen on 600 validation
    expressions of all kinds."""
    train, validation = refer("train", count, MIXED), refer("validation", 600, MIXED)
    torch.manual_seed(seed)
    model = new_locator("cross")
    v, v_validation = (
        place_features(model, some.scenes, "locator") for some in (train, validation)
    )
    history = fit(
        model,
        locate_objective,
        locate_loader(LocateData(v, [train, *say_again(train, SETS - 1)]), seed=seed),
        validate=lambda _: accuracy(model, v_validation, validation),
        config=config,
        checkpoint=checkpoint,
        device=device,
    )
    return model, history

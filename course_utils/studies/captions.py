"""What does a captioner need the picture for? For lesson 13.

    python -m course_utils.studies captions

trains small captioners of the world at three seeds, with pictures and blind (features of 0), and
writes data/studies/captions.json: the loss of a caption in nat, and what descriptions of 500 test
scenes state, with each scene's own picture and with another one's.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from course_utils.datasets.captions import (
    CAPTION,
    DESCRIBE,
    caption_data,
    caption_loader,
    encode_rows,
)
from course_utils.evaluation.caption_metrics import bleu, count_objects
from course_utils.methods.captioning import (
    caption_objective,
    new_captioner,
    scene_features,
    sentence_log_p,
    write,
)
from course_utils.models.captioner import Captioner
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import FitConfig, fit
from course_utils.world.captions import captions
from course_utils.world.descriptions import descriptions, scene_graph, stated
from course_utils.world.generate import generate
from course_utils.world.scenes import Scenes

SEEDS = range(3)
MODELS = ("blind", "seeing")
TRAIN, TEST = 4000, 500  # scenes
FIT = FitConfig(epochs=6, lr=4e-3, warmup=0.1)
KINDS = (("en", DESCRIBE), ("en", CAPTION))


class Pictures(NamedTuple):
    """Scenes and their features."""

    scenes: Scenes
    v: Tensor  # (scenes, patches, visual_dim)


@cache
def pictures(part: str, count: int) -> Pictures:
    """Scenes of a part of the world; the features are kept on disk."""
    scenes = generate("iid", part, count, 1, families=("exists",)).scenes
    return Pictures(scenes, scene_features(new_captioner(), scenes, f"captions-{part}"))


def judged(model: Captioner, v: Tensor, scenes: Scenes) -> dict[str, float]:
    """What the model's descriptions of scenes state, with the features `v`."""
    texts = write(model, v, "describe")
    graphs = [scene_graph(scenes, i) for i in range(len(scenes))]
    said = [stated(text) for text in texts]
    found = count_objects(said, graphs)
    return dict(
        fluent=round(sum(one is not None for one in said) / len(said), 4),
        exact=round(found.exact / found.sentences, 4),
        f1=round(found.f1, 4),
        chair_i=round(found.chair_i, 4),
        chair_s=round(found.chair_s, 4),
        bleu=round(bleu(texts, [[text] for text in descriptions(scenes)]), 4),
    )


def caption_loss(model: Captioner, v: Tensor, scenes: Scenes) -> float:
    """Mean of -log p(caption | picture), in nat a caption, over captions drawn for the scenes."""
    x, mask = encode_rows(["caption"] * len(scenes), captions(scenes, seed=77))
    return round(-sentence_log_p(model, v, x, mask).mean().item(), 4)


def run(
    model: str, seed: int, scenes: int = TRAIN, tests: int = TEST, config: FitConfig = FIT
) -> Row:
    """Losses and judgements of one captioner.

    Raises:
        ValueError: an unknown model.
    """
    if model not in MODELS:
        raise ValueError(f"model: expected one of {', '.join(MODELS)}, got {model!r}")
    train, test = pictures("train", scenes), pictures("test", tests)
    sees = float(model == "seeing")
    torch.manual_seed(seed)
    network = new_captioner()
    data = caption_data(sees * train.v, train.scenes, KINDS, seed)
    fit(network, caption_objective, caption_loader(data, 64, seed), config=config, device="cpu")
    own, others = sees * test.v, sees * test.v.roll(1, 0)
    return dict(
        model=model,
        seed=seed,
        loss=caption_loss(network, own, test.scenes),
        loss_exchanged=caption_loss(network, others, test.scenes),
        own=judged(network, own, test.scenes),
        exchanged=judged(network, others, test.scenes),
    )


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for model, seed in product(MODELS, seeds):
        yield dict(model=model, seed=seed)


STUDY = Study(
    measures="lesson 13: captioners with pictures and blind",
    takes="five minutes",
    columns={"model": MODELS, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

"""How good are words and a first frame for telling what comes? For lesson 15.

    python -m course_utils.studies futures

trains text to video at three seeds, and writes data/studies/futures.json: the mean squared errors
on new first frames with the words and without them, beside the least that is possible without, and
beside a repeated first frame.
"""

from collections.abc import Iterator, Sequence

import torch

from course_utils.datasets.future_clips import Futures, future_data
from course_utils.methods.clip_answering import FUTURE_UPDATES, foretell, train_future
from course_utils.models.future import FutureModel, least_error, mean_future, nearest_future
from course_utils.studies.runs import Row, Setting, Study

SEEDS = range(3)
TESTS, TEST_SEED = 200, 2


def judged(model: FutureModel, data: Futures) -> dict[str, float]:
    """Errors of a model, and of what needs no model."""
    ways = list(data.later)  # each (clips, later, 3, side, side)
    told, untold = (foretell(model, data, know) for know in (True, False))
    nearest = [nearest_future(one, ways) == way for way, one in enumerate(told)]
    return dict(
        told=(told - data.later).square().mean().item(),
        untold=(untold - data.later).square().mean().item(),
        untold_to_mean=(untold[0] - mean_future(ways)).square().mean().item(),
        right_way=torch.stack(nearest).double().mean().item(),
        least_untold=least_error(ways),
        repeated=(data.first[:, None] - data.later).square().mean().item(),
    )


def run(seed: int, clips: int = 400, tests: int = TESTS, updates: int = FUTURE_UPDATES) -> Row:
    """One training, judged on new first frames."""
    model, _ = train_future(seed, clips, updates, device="cpu")
    found = judged(model, future_data(tests, TEST_SEED))
    return dict(seed=seed) | {name: float(f"{value:.4g}") for name, value in found.items()}


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed in seeds:
        yield dict(seed=seed)


STUDY = Study(
    measures="lesson 15: text to video with and without words, beside its exact bound",
    takes="three minutes",
    columns={"seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

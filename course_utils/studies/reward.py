"""What does a captioner become that is tuned by a reward? For lesson 13.

    python -m course_utils.studies reward

tunes the captioner of data/checkpoints/ by five rewards, at three seeds, and writes
data/studies/reward.json: what the captions that it draws for 500 test scenes say. "true" gives 1
for a true caption; "true, kl" the same, with a term that holds the model near its start;
"information" gives a true caption its bits, divided by 8; "information, half" does so on half as
many pictures, on which bits are counted, too; "relation" gives 1 for a true caption
that tells a relation. "start" is the model before, and "likelihood" the same after as many updates
on as many captions drawn from the grammar for the same pictures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache
from itertools import product

import torch

from course_utils.datasets.captions import CAPTION, caption_data, caption_loader
from course_utils.evaluation.true_captions import Information, TrueCaptions, tells_relation, told
from course_utils.methods.captioning import caption_objective, trained_captioner, write
from course_utils.methods.generation import Sample
from course_utils.methods.reward_tuning import Reward, RewardConfig, tune_by_reward
from course_utils.models.captioner import Captioner
from course_utils.studies.captions import Pictures, pictures
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import FitConfig, fit

SEEDS = range(3)
REWARDS = (
    "start",
    "likelihood",
    "true",
    "true, kl",
    "information",
    "information, half",
    "relation",
)
TRAIN, TEST = 2000, 500  # scenes
CONFIG = RewardConfig(updates=120)
KL = 0.2  # weight of the distance from the start
PART = "validation"  # scenes that the captioner wasn't trained on


@cache
def truth(part: str, count: int) -> TrueCaptions:
    return TrueCaptions(pictures(part, count).scenes)


def reward_of(name: str, true: TrueCaptions, information: Information) -> Reward:
    """(text, row of the picture) -> reward.

    Raises:
        ValueError: an unknown name.
    """
    if name in ("true", "true, kl"):
        return lambda text, i: float(true(text, i))
    if name in ("information", "information, half"):
        return lambda text, i: information(text) / 8 if true(text, i) else 0.0
    if name == "relation":
        return lambda text, i: float(true(text, i) and tells_relation(text))
    raise ValueError(f"reward: expected one of {', '.join(REWARDS)}, got {name!r}")


def judged(model: Captioner, seed: int, tests: int = TEST) -> dict[str, float]:
    """What captions drawn from the model say, and the share of greedy ones that are true."""
    test, true = pictures("test", tests), truth("test", tests)
    information = truth(PART, TRAIN if tests == TEST else tests).bits()
    choose = Sample(torch.Generator().manual_seed(seed))
    drawn = told(write(model, test.v, "caption", choose), true, information)
    greedy = told(write(model, test.v, "caption"), true, information)
    rounded = {name: round(value, 4) for name, value in asdict(drawn).items()}
    return rounded | dict(greedy_true=round(greedy.true, 4), greedy_size=round(greedy.size, 4))


def tune_by_likelihood(model: Captioner, train: Pictures, config: RewardConfig, seed: int) -> None:
    """As many updates as by a reward, with as many texts in each: captions that the grammar draws
    for the same pictures."""
    kinds = [("en", CAPTION)] * config.group
    data = caption_data(train.v, train.scenes, kinds, seed=1000 + seed)
    fit(
        model,
        caption_objective,
        caption_loader(data, min(config.pictures * config.group, len(data)), seed),
        config=FitConfig(
            epochs=100,
            lr=config.lr,
            warmup=config.warmup,
            weight_decay=0.0,
            max_steps=config.updates,
        ),
        device="cpu",
    )


def run(
    reward: str, seed: int, scenes: int = TRAIN, tests: int = TEST, config: RewardConfig = CONFIG
) -> Row:
    """What the captioner says after tuning."""
    model = trained_captioner()
    if reward == "start":
        return dict(reward=reward, seed=seed, reached=0.0) | judged(model, seed, tests)
    scenes = scenes // 2 if reward == "information, half" else scenes
    train = pictures(PART, scenes)
    if reward == "likelihood":
        tune_by_likelihood(model, train, config, seed)
        return dict(reward=reward, seed=seed, reached=0.0) | judged(model, seed, tests)
    true = truth(PART, scenes)
    config = replace(config, kl=KL) if reward == "true, kl" else config
    history = tune_by_reward(
        model, train.v, "caption", reward_of(reward, true, true.bits()), config, seed
    )
    last = history.reward[-20:]
    return dict(reward=reward, seed=seed, reached=round(sum(last) / len(last), 4)) | judged(
        model, seed, tests
    )


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for reward, seed in product(REWARDS, seeds):
        yield dict(reward=reward, seed=seed)


STUDY = Study(
    measures="lesson 13: a captioner tuned by five rewards",
    takes="eight minutes",
    columns={"reward": REWARDS, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)

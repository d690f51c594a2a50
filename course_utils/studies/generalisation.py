"""What an accuracy on data like the training data doesn't tell. For lesson 09.

    python -m course_utils.studies generalisation

trains the cross-attention model of lesson 04 and writes data/studies/generalisation.json. Runs that the
file holds already are not repeated. It takes about twenty minutes on one CPU core.

"pairs K": K of the 32 combinations of colour and shape occur in no training picture and no training
question; test questions about these combinations are scored apart from those about others. "prior":
the answers of a question are skewed one way in training and validation, and the other way in test.
"""

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch

from course_utils.datasets import VQAData, load_world, loader
from course_utils.datasets.world_vqa import from_world
from course_utils.evaluation.baselines import mode_per_question
from course_utils.evaluation.evaluate import evaluate
from course_utils.models.vqa import VQAModel
from course_utils.studies.recipes import WORLD_FAMILIES, answer_objective, world_model
from course_utils.studies.runs import read_runs, write_runs
from course_utils.training.fit import FitConfig, fit
from course_utils.world import COLOURS, SHAPES, generate
from course_utils.world.generate import World

HELD = (0, 2, 8, 16)  # how many of the combinations are held out
SEEDS = (0, 1, 2)
COMMAND = "python -m course_utils.studies generalisation"
SCENES = 4000  # that are trained on
FIT = FitConfig(epochs=8, lr=1e-3, warmup=0.3)
IMAGES_PER_BATCH = 16
Pair = tuple[str, str]


def held_out(count: int, seed: int) -> set[Pair]:
    """The first `count` combinations in a random order, so that those for 2 are among those for 8.

    Raises:
        ValueError: `count` is negative or above 32.
    """
    pairs = list(product(COLOURS, SHAPES))
    if not 0 <= count <= len(pairs):
        raise ValueError(f"count: expected 0 to {len(pairs)}, got {count}")
    order = np.random.default_rng(seed).permutation(len(pairs))
    return {pairs[i] for i in order[:count]}


def asked_pairs(world: World) -> list[set[Pair]]:
    """The combinations that each question is about: those that it names, and that of its answer."""
    found = []
    for program, answer in zip(world.programs, world.answers.tolist()):
        name, pairs = world.answer_names[answer], set(program.pairs())
        if program.family == "colour" and program.shape:
            pairs.add((name, program.shape))
        if program.family == "shape" and program.colour:
            pairs.add((program.colour, name))
        found.append(pairs)
    return found


def scene_pairs(world: World) -> list[set[Pair]]:
    """The combinations that are in each scene."""
    colours, scenes = list(COLOURS), world.scenes
    return [
        {(colours[c], SHAPES[s]) for c, s in zip(row_c, row_s) if s >= 0}
        for row_c, row_s in zip(scenes.colour, scenes.shape)
    ]


def without(pairs: set[Pair], scenes: int, seed: int) -> VQAData:
    """Training questions about `scenes` scenes none of which has, or is asked about, `pairs`."""
    share = max(0.02, (1 - len(pairs) / 32) ** 3.5)  # of the scenes that will be left, about
    world = generate("iid", "train", int(scenes / share), 4, WORLD_FAMILIES, seed)
    clean = np.array([not (there & pairs) for there in scene_pairs(world)])
    asked = np.array([not (about & pairs) for about in asked_pairs(world)])
    keep = asked & clean[world.scene_index]
    chosen = np.unique(world.scene_index[keep])[:scenes]
    keep &= np.isin(world.scene_index, chosen)
    return from_world(world).select(torch.from_numpy(keep))


def train(data: VQAData, seed: int) -> VQAModel:
    """The cross-attention model of lesson 04, trained on `data`; the last weights are kept."""
    torch.manual_seed(seed)
    model = world_model(data, "cross")
    fit(
        model,
        answer_objective,
        loader(data, IMAGES_PER_BATCH, seed=seed),
        config=FIT,
        device="cpu",
        progress=False,
    )
    return model


def test_of_pairs(pairs: set[Pair], seed: int = 0) -> dict[str, VQAData]:
    """Test questions about a combination of `pairs` ("new"), and about others only ("seen")."""
    world = generate("iid", "test", 2000, 4, WORLD_FAMILIES, seed)
    data, asked = from_world(world), asked_pairs(world)
    new = torch.tensor([bool(about & pairs) for about in asked])
    seen = torch.tensor([bool(about) and not about & pairs for about in asked])
    return {name: data.select(rows) for name, rows in (("new", new), ("seen", seen)) if rows.any()}


def chance_of_new(counts: Sequence[int] = HELD[1:], scenes: int = 2000) -> dict[int, list[float]]:
    """What a guess gets on the new questions that knows only which kind of answer fits: one of two
    for "is there", of eight colours, of four shapes. One share a seed, for each number held out."""
    world = generate("iid", "test", scenes, 4, WORLD_FAMILIES)
    asked, found = asked_pairs(world), {}
    for count in counts:
        sets = [held_out(count, seed) for seed in SEEDS]
        found[count] = [
            float(world.chance[[bool(about & pairs) for about in asked]].mean()) for pairs in sets
        ]
    return found


def objects_left(counts: Sequence[int] = HELD, scenes: int = 3000) -> dict[int, float]:
    """How many objects a training picture has on average that has none of the held-out
    combinations; for those of seed 0. A picture with many objects is more likely to have one."""
    world = generate("iid", "train", scenes, 4, WORLD_FAMILIES)
    there, objects = scene_pairs(world), (world.scenes.shape >= 0).sum(1)  # (scenes,)
    sets = {count: held_out(count, 0) for count in counts}
    return {
        count: float(objects[[not pairs & held for pairs in there]].mean())
        for count, held in sets.items()
    }


def run_pairs(count: int, seed: int) -> list[dict]:
    """Right answers of one training, and of the best blind guess, on each part of the test."""
    pairs = held_out(count, seed)
    data = without(pairs, SCENES, seed)
    return scored(f"pairs {count}", seed, data, train(data, seed), test_of_pairs(pairs))


def run_prior(seed: int) -> list[dict]:
    """The same with a changed prior: "validation" has the prior of training, "test" the other."""
    data = load_world("prior", "train", SCENES, 4, WORLD_FAMILIES, seed)
    parts = {
        part: load_world("prior", part, 1000, 4, WORLD_FAMILIES) for part in ("validation", "test")
    }
    return scored("prior", seed, data, train(data, seed), parts)


def scored(setting: str, seed: int, data: VQAData, model: VQAModel, parts: dict) -> list[dict]:
    """A row for each part: how many questions, and how many right answers, also of the blind."""
    rows = []
    for part, test in parts.items():
        found, blind = evaluate(model, test), mode_per_question(data, test)
        rows.append(
            dict(
                setting=setting,
                seed=seed,
                part=part,
                questions=len(test),
                right=int(found.right.sum()),
                blind=int(blind.right.sum()),
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("data/studies/generalisation.json"))
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = read_runs(options.out)
    done = {(row["setting"], row["seed"]) for row in found}
    for seed in options.seeds:
        jobs = {f"pairs {count}": lambda c=count: run_pairs(c, seed) for count in HELD}
        for setting, job in (jobs | {"prior": lambda: run_prior(seed)}).items():
            if (setting, seed) not in done:
                found += job()
                write_runs(options.out, found, COMMAND)
                print(
                    [row for row in found if row["setting"] == setting and row["seed"] == seed],
                    flush=True,
                )


if __name__ == "__main__":
    main()

"""The runs of lesson 06 that the lesson does not make itself."""

from itertools import product

import pytest
import torch

from course_utils.datasets.files import data_path
from course_utils.objectives import indicators
from course_utils.objectives.consistency import Predictor
from course_utils.studies import collapse, starts
from course_utils.studies.runs import read_runs


def kept(column: str) -> dict[str, list[float]]:
    """A column of the kept runs, by objective."""
    found: dict[str, list[float]] = {}
    for run in read_runs(data_path("studies/collapse.json")):
        found.setdefault(run["objective"], []).append(run[column])
    return found


def test_every_run_is_there_once():
    runs = read_runs(data_path("studies/collapse.json"))
    keys = sorted((r["objective"], r["seed"]) for r in runs)
    assert keys == sorted(product(collapse.OBJECTIVES, collapse.SEEDS))
    for r in runs:
        assert 0 <= r["share"] <= 100 and 0 <= r["probe"] <= 100
        assert 1 <= r["eff. rank"] <= collapse.DIM


def test_only_what_holds_the_words_fixed_keeps_the_picture():
    share = kept("share")
    for name in ("VICReg given x", "SimSiam given x", "InfoNCE given x"):
        assert min(share[name]) > 50, name
    for name in ("L_vs alone", "VICReg", "VICReg, 4 x 16", "SimSiam"):
        assert max(share[name]) < 1 < min(share["start"]), name


@pytest.mark.parametrize("objective", ["SimSiam", "InfoNCE given x"])
def test_a_short_run_repeats_and_one_step_is_no_collapse(objective):
    found = collapse.run(objective, seed=0, steps=1)
    collapse.trained.cache_clear()
    assert found == collapse.run(objective, seed=0, steps=1)
    grid = collapse.pictures().grid_questions, collapse.pictures().grid_images
    untrained = collapse.pretrain(collapse.OBJECTIVES["start"], 0)
    share = 100 * indicators.visual_share(collapse.ask_each(untrained, *grid))
    # One step does not take the picture away. Given the words the loss asks for pictures only, and
    # its first step turns them up, but the words still have more than half of the variance.
    most = 50 if objective == "InfoNCE given x" else 2 * share
    assert share / 2 < found["share"] < most


def test_the_words_are_no_part_of_simsiam_given_words():
    h, h_other = torch.randn(2, 12, collapse.DIM, generator=torch.Generator().manual_seed(0))
    group = torch.arange(3).repeat_interleave(4)
    words = torch.randn(3, collapse.DIM, generator=torch.Generator().manual_seed(1))[group]
    torch.manual_seed(0)
    predictor = Predictor(collapse.DIM)
    loss = collapse.simsiam_given_words(h, h_other, group, predictor)
    moved = collapse.simsiam_given_words(h + words, h_other + words, group, predictor)
    assert abs(loss - moved) < 1e-5


def test_a_batch_has_as_many_pictures_for_each_question_as_asked_for():
    images, x, mask, group = collapse.pictures().draw(4, 16, torch.Generator().manual_seed(0))
    assert images.shape == (64, 3, 64, 64) and len(x) == len(mask) == 64
    assert group.view(4, 16).eq(group.view(4, 16)[:, :1]).all()


def test_every_tuning_is_there_once():
    runs = read_runs(data_path("studies/starts.json"))
    keys = sorted((r["start"], r["updates"], r["seed"]) for r in runs)
    assert keys == sorted((*run, seed) for run in starts.RUNS for seed in starts.SEEDS)
    assert all(0 <= r["own"] <= 100 and 0 <= r["test"] <= 100 for r in runs)


def test_a_start_and_a_long_tuning_cost_the_same():
    rows = 2 * 64 * collapse.STEPS  # both views
    assert starts.SHORT * starts.BATCH + rows == starts.LONG * starts.BATCH


@pytest.mark.parametrize("start", ["L_vs alone", starts.SMALL])
def test_a_short_tuning_repeats(start):
    found = starts.run(start, 1, seed=1, steps=1)
    collapse.trained.cache_clear()
    assert found == starts.run(start, 1, seed=1, steps=1)
    assert 0 <= found["test"] < 40


def test_a_tuning_leaves_the_kept_start_as_it_is():
    before = {k: v.clone() for k, v in collapse.trained("L_vs alone", 1, 1).state_dict().items()}
    starts.run("L_vs alone", 2, seed=1, steps=1)
    after = collapse.trained("L_vs alone", 1, 1).state_dict()
    assert all(before[k].equal(after[k]) for k in before)

"""Active learning: scores by value, k-centre against brute force, and copies."""

import math
from functools import partial

import pytest
import torch

from course_utils.datasets.files import data_path
from course_utils.datasets.world_vqa import answered
from course_utils.methods import active
from course_utils.methods.answering import base_model


def test_scores_by_hand():
    p = torch.tensor([[0.5, 0.5, 0.0], [0.6, 0.2, 0.2], [1.0, 0.0, 0.0]]).clamp(min=1e-12)
    two = 0.6 * math.log(1 / 0.6) + 0.4 * math.log(5)
    assert torch.allclose(active.entropy(p.log()), torch.tensor([math.log(2), two, 0.0]), atol=1e-5)
    assert torch.allclose(active.margin(p.log()), torch.tensor([1.0, 0.6, 0.0]), atol=1e-5)


def test_scores_do_not_change_when_logits_are_shifted():
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    for score in (active.entropy, active.margin):
        assert torch.allclose(score(logits), score(logits + 30), atol=1e-4)
    theirs = torch.distributions.Categorical(logits=logits).entropy()
    assert torch.allclose(active.entropy(logits), theirs, atol=1e-5)


def test_highest_takes_free_ones():
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5])
    free = torch.tensor([False, True, True, True, True])
    assert active.highest(scores, free, 2).tolist() == [1, 2]


@pytest.mark.parametrize("count", [0, 4])
def test_more_than_are_free_is_refused(count):
    with pytest.raises(ValueError, match=f"1 to 3, the free ones, got {count}"):
        active.highest(torch.rand(5), torch.tensor([1, 1, 1, 0, 0]).bool(), count)


def test_farthest_is_the_greedy_choice():
    points = torch.randn(30, 4, generator=torch.Generator().manual_seed(1))
    bought = torch.arange(30) < 3
    free = ~bought & (torch.arange(30) != 17)
    centres, want = [0, 1, 2], []
    for _ in range(8):
        best = max(
            (i for i in range(30) if free[i] and i not in want),
            key=lambda i: min((points[i] - points[c]).norm().item() for c in centres),
        )
        want.append(best)
        centres.append(best)
    assert active.farthest(points, bought, free, 8).tolist() == want


def test_farthest_leaves_copies_alone_and_needs_a_start():
    points = torch.tensor([[0.0], [5.0], [5.001], [5.002], [-3.0]])
    bought = torch.tensor([True, False, False, False, False])
    assert active.farthest(points, bought, ~bought, 2).tolist() == [3, 4]
    with pytest.raises(ValueError, match="at least one point"):
        active.farthest(points, torch.zeros(5).bool(), ~bought, 1)


def test_a_film_has_copies_of_pictures_and_questions():
    data = answered("train", 6)
    film, original = active.filmed(data, 2, 5, seed=0)
    assert len(film.images) == 2 * 5 + 4 and len(original) == len(film)
    for i, j in enumerate(original.tolist()):
        assert film.questions[i] == data.questions[j] and film.y[i] == data.y[j]
        assert torch.equal(film.x[i], data.x[j])
    same = film.images[0].float() - film.images[1].float()  # two frames of one scene
    other = film.images[0].float() - film.images[-1].float()
    assert 0 < same.abs().mean() < 0.5 * other.abs().mean()
    assert torch.bincount(original)[data.image_index == 0].tolist() == [5] * int(
        (data.image_index == 0).sum()
    )


def test_a_film_of_too_many_scenes_is_refused():
    with pytest.raises(ValueError, match="up to 6 scenes and 1 or more frames, got 7 and 2"):
        active.filmed(answered("train", 6), 7, 2, seed=0)


@pytest.mark.parametrize("count", [8, 40])
def test_strategies_buy_as_many_as_are_asked_and_never_twice(count):
    pool = answered("train", 75, seed=100, each=8)
    model = base_model(len(pool.answers), data_path("checkpoints/world_pretrained.safetensors"), 0)
    bought = torch.zeros(len(pool), dtype=torch.bool)
    bought[:100] = True
    for strategy in (
        active.at_random,
        active.evenly,
        active.by_entropy,
        active.by_margin,
        active.by_distance,
        partial(active.entropy_then_distance, candidates=5),
    ):
        rows = strategy(model, pool, bought, count, torch.Generator().manual_seed(0))
        assert len(rows.unique()) == count and not bought[rows].any(), strategy


def test_distance_chooses_among_the_candidates_only():
    pool = answered("train", 10, seed=100)
    model = base_model(len(pool.answers), data_path("checkpoints/world_pretrained.safetensors"), 0)
    bought = torch.arange(len(pool)) < 5
    by_doubt = active.by_entropy(model, pool, bought, 6, None)
    rows = active.entropy_then_distance(model, pool, bought, 3, None, candidates=2)
    assert set(rows.tolist()) < set(by_doubt.tolist())
    same = active.entropy_then_distance(model, pool, bought, 6, None, candidates=1)
    assert set(same.tolist()) == set(by_doubt.tolist())


def test_an_answer_that_is_ruled_out_adds_no_doubt():
    logits = torch.tensor([[0.0, 0.0, -torch.inf], [5.0, 1.0, 0.0]])
    found = active.entropy(logits)
    assert found[0].item() == pytest.approx(math.log(2)) and found[1].isfinite()
    assert active.highest(found, torch.tensor([True, True]), 1).tolist() == [0]


def test_a_mix_is_bought_at_random():
    pool = answered("validation", 12)
    bought = torch.zeros(len(pool), dtype=torch.bool)  # (n,)
    bought[:4] = True
    wanted = (~bought).nonzero()[:, 0][[0, 5, 9, 13, 20]]  # (count,)
    strategy = active.in_the_mix_of(lambda *_: wanted)
    picks = [
        strategy(None, pool, bought, 5, torch.Generator().manual_seed(seed)) for seed in range(8)
    ]
    for rows in picks:
        assert sorted(pool.family[rows].tolist()) == sorted(pool.family[wanted].tolist())
        assert not bought[rows].any() and len(rows.unique()) == 5
    assert len({tuple(sorted(rows.tolist())) for rows in picks}) > 1

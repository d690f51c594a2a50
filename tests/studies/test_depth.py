"""The runs of lesson 04 that the lesson does not make itself."""

import pytest
import torch

from course_utils.datasets.files import data_path
from course_utils.studies import cnn_vit, depth
from course_utils.studies.runs import read_runs


def test_pictures_are_standardised_by_the_training_pictures_alone():
    images, colours, shapes = depth.data(0, 8)
    assert [len(part) for part in images] == [4000, 500, 1000]
    assert [len(part) for part in colours] == [len(part) for part in shapes] == [4000, 500, 1000]
    assert images[0].mean((0, 2, 3)).abs().max() < 1e-4
    assert (images[0].std((0, 2, 3)) - 1).abs().max() < 1e-4
    assert images[2].mean((0, 2, 3)).abs().max() > 1e-4
    raw = torch.rand(3, 3, 4, 4)
    assert torch.equal(depth.standardised(raw[:1], raw), depth.standardised(raw, raw)[:1])


def test_no_picture_of_one_part_is_in_another():
    images = depth.data(0, 8)[0]
    parts = [{picture.numpy().tobytes() for picture in some} for some in images]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_the_two_starts_have_their_variances():
    for he, wanted in ((True, 2 / 144), (False, 1 / (3 * 144))):
        model = depth.deep("none", False, he, blocks=15)
        weights = torch.cat([block.conv1.weight.flatten() for block in model.layer1])
        assert weights.var().item() == pytest.approx(wanted, rel=0.05)
        assert all(not block.conv1.bias.any() for block in model.layer1)


def test_short_runs_repeat():
    found = depth.run("plain, He's start", 1, 1e-2, seed=1, updates=10)
    assert found == depth.run("plain, He's start", 1, 1e-2, seed=1, updates=10)
    assert len(found["losses"]) == 1
    short = dict(pictures=100, updates=2, rate=1e-3, seed=1)
    assert cnn_vit.run("VGG", **short) == cnn_vit.run("VGG", **short)


def test_the_rate_is_chosen_on_validation_at_the_first_seed():
    rows = [
        dict(network="a", rate=1, seed=0, validation=2, test=1),
        dict(network="a", rate=2, seed=0, validation=1, test=2),
        dict(network="a", rate=2, seed=1, validation=9, test=9),
        dict(network="b", rate=2, seed=0, validation=9, test=9),
    ]
    assert depth.best_rate(rows, network="a") == 1


def test_the_residual_path_lets_30_layers_learn():
    rows = read_runs(data_path("studies/depth.json"))
    best = {}
    for row in rows:
        key = row["network"], row["blocks"]
        best[key] = max(best.get(key, 0), row["test"])
    assert min(value for (_, blocks), value in best.items() if blocks == 1) > 90
    assert best["plain, default start", 15] < 25 < 90 < best["residual, default start", 15]

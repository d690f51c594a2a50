"""The locator: its loss, its answers, and the checkpoint."""

import pytest
import torch
import torch.nn.functional as F

from course_utils.checks.lesson16 import _locate_loss
from course_utils.datasets.expressions import LocateData
from course_utils.methods.locating import (
    accuracy,
    judge,
    locate,
    locate_in_steps,
    locate_objective,
    new_locator,
    patch_loss,
    place_features,
    place_of,
    set_targets,
    train_locator,
    trained_locator,
)
from course_utils.models.locator import NAMED, OTHER, Located
from course_utils.objectives.boxes import box_loss
from course_utils.training.fit import FitConfig
from course_utils.world import compose
from course_utils.world.expressions import exchanged_anchors, refer


@pytest.fixture(scope="module")
def given():
    return refer("test", 60, ("name", "side", "near"))


@pytest.fixture(scope="module")
def v(given):
    return place_features(new_locator(), given.scenes)


def test_places_of_boxes():
    box = torch.tensor([[0.0, 0, 0.2, 0.2], [0.5, 0, 0.7, 0.2], [0.9, 0.9, 1.1, 1.1]])
    assert place_of(box).tolist() == [0, 2, 15]


def test_the_loss_is_what_it_says():
    torch.manual_seed(0)
    found = Located(torch.randn(2, 16), torch.rand(2, 16, 4).sort(-1).values)
    box = torch.tensor([[0.0, 0.3, 0.2, 0.4], [0.6, 0.6, 0.8, 0.8]])  # places 4 and 10
    want = F.cross_entropy(found.scores, torch.tensor([4, 10]))
    want += (box_loss(found.boxes[0, 4], box[0]) + box_loss(found.boxes[1, 10], box[1])) / 2
    assert torch.allclose(patch_loss(found, box), want)
    assert torch.allclose(_locate_loss(*found, box), want)


@pytest.mark.parametrize("way", ["towers", "cross", "joint", "queries"])
def test_every_way_learns(way, given, v):
    torch.manual_seed(0)
    model = new_locator(way)
    batch = LocateData(v, [given]).__getitems__(range(24))
    steps = torch.optim.Adam(model.head.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        steps.zero_grad()
        loss = locate_objective(model, batch)
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(p.grad is None for p in model.stem.parameters())


def test_targets_name_one_object(given, v):
    batch = LocateData(v, [given]).__getitems__([0, 1, 2])
    for target, scene in zip(set_targets(batch), range(3)):
        assert len(target.labels) == given.scenes.count[scene]
        assert target.labels.tolist().count(NAMED) == 1
        assert set(target.labels.tolist()) <= {NAMED, OTHER}


def test_answers_are_judged(given):
    boxes = torch.from_numpy(given.wanted).float() / 64
    assert all(part.all() for part in judge(boxes, given))
    other = (given.columns + 1) % given.scenes.count
    wrong = torch.from_numpy(given.boxes[range(60), other]).float() / 64
    judged = judge(wrong, given)
    assert not judged.right.any() and not judged.chosen.any() and judged.found.all()
    moved = boxes + 0.14  # beside every object, nearest to its own
    assert not judge(moved, given).right.any()


def test_the_checkpoint_finds_what_is_named(given, v):
    model = trained_locator()
    kinds = torch.tensor([["name", "side", "near"].index(o.kind) for o in given.said])
    judged = judge(locate(model, v, given.texts), given)
    assert judged.found.float().mean() > 0.9
    assert judged.right[kinds == 0].float().mean() > 0.85
    assert accuracy(model, v, given) == judged.right.float().mean().item()
    scene = compose(
        [("large", "red", "cross", 32, 34), ("small", "blue", "circle", 11, 32),
         ("small", "teal", "circle", 54, 11)]
    )  # fmt: skip
    box = 64 * locate(model, place_features(model, scene), ["the circle left of the red cross"])[0]
    assert abs((box[0] + box[2]) / 2 - 11) < 4 and abs((box[1] + box[3]) / 2 - 32) < 4


def test_the_checkpoint_reads_the_second_object_in_two_steps_only():
    near = refer("test", 60, ("near",), seed=1)
    model = trained_locator()
    v = place_features(model, near.scenes)
    both = {}
    for ask in (locate, locate_in_steps):
        found = [judge(ask(model, v, g.texts), g).right for g in (near, exchanged_anchors(near))]
        both[ask] = (found[0] & found[1]).float().mean()
    assert both[locate] < 0.25 and both[locate_in_steps] > 0.85
    texts = ["the red object", near.texts[0]]
    assert torch.equal(
        locate_in_steps(model, v[:2], texts[:1] * 2), locate(model, v[:2], texts[:1] * 2)
    )


def test_a_short_training_repeats_and_writes_its_file(tmp_path):
    few = FitConfig(epochs=1, max_steps=2)
    for name in ("a", "b"):
        train_locator(0, 64, few, tmp_path / f"{name}.safetensors", "cpu")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_an_unknown_way_is_refused():
    with pytest.raises(ValueError, match="queries, got 'sum'"):
        new_locator("sum")

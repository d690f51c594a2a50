"""FixMatch: its loss by value, its views, and its loop."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.datasets import loader
from course_utils.datasets.batch import Endless
from course_utils.datasets.files import data_path
from course_utils.datasets.world_vqa import answered
from course_utils.methods import semi_supervised as semi
from course_utils.methods.answering import base_model
from course_utils.models.vqa import VQAModel
from course_utils.training.fit import FitConfig, fit
from course_utils.training.freezing import freeze_statistics

WEIGHTS = data_path("checkpoints/world_pretrained.safetensors")


def logits_for(*rows):
    return torch.tensor(rows).log()  # softmax gives the rows back


def reference(weak, strong, threshold):
    """One question at a time, with plain numbers."""
    total = 0.0
    for w, s in zip(weak.tolist(), strong.tolist()):
        p = [math.exp(a) / sum(math.exp(b) for b in w) for a in w]
        q = [math.exp(a) / sum(math.exp(b) for b in s) for a in s]
        if max(p) >= threshold:
            total -= math.log(q[p.index(max(p))])
    return total / len(weak)


def test_loss_by_hand():
    weak = logits_for([0.9, 0.1], [0.4, 0.6])
    strong = logits_for([0.5, 0.5], [0.75, 0.25])
    found = semi.fixmatch_loss(weak, strong, 0.8)  # the first question only, over two
    assert found.loss.item() == pytest.approx(math.log(2) / 2)
    assert found.accepted.tolist() == [True, False] and found.labels.tolist() == [0, 1]
    both = semi.fixmatch_loss(weak, strong, 0.0).loss.item()
    assert both == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert semi.fixmatch_loss(weak, strong, 1.0).loss.item() == 0


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.9])
def test_loss_equals_the_reference(threshold):
    weak, strong = 2 * torch.randn(2, 50, 7, generator=torch.Generator().manual_seed(1))
    found = semi.fixmatch_loss(weak, strong, threshold)
    assert found.loss.item() == pytest.approx(reference(weak, strong, threshold), rel=1e-5)


def test_a_question_at_the_threshold_is_let_in():
    _labels, accepted = semi.pseudo_labels(torch.zeros(1, 2), 0.5)
    assert accepted.tolist() == [True]


def test_no_gradient_flows_into_the_target():
    """One weight gives both logits: the gradient must be that of the strong side alone."""
    w = torch.tensor([1.5], requires_grad=True)
    a, b = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.3, 1.0]])
    semi.fixmatch_loss(w * a, w * b, 0.5).loss.backward()
    again = torch.tensor([1.5], requires_grad=True)
    F.cross_entropy(again * b, torch.tensor([0])).backward()
    torch.testing.assert_close(w.grad, again.grad)
    weak = torch.randn(3, 4, requires_grad=True)
    strong = torch.randn(3, 4, requires_grad=True)
    semi.fixmatch_loss(weak, strong, 0.0).loss.backward()
    assert weak.grad is None and strong.grad.abs().sum() > 0


def test_an_infinite_loss_that_is_not_let_in_adds_nothing():
    weak = logits_for([0.9, 0.1], [0.5, 0.5])
    strong = torch.tensor([[0.0, 0.0], [-math.inf, 0.0]], requires_grad=True)
    loss = semi.fixmatch_loss(weak, strong, 0.8).loss
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2) / 2)
    assert strong.grad.tolist() == [[-0.25, 0.25], [0.0, 0.0]]


def test_the_truth_is_taught_where_it_is_asked_for(data):
    model = base_model(len(data.answers), WEIGHTS, 0).eval()
    batch = next(iter(loader(data, 4, 0)))
    losses = []
    for y in (batch.y, (batch.y + 1) % len(data.answers)):
        config = semi.FixMatchConfig(threshold=0.0, truth=True)
        objective = semi.FixMatch(loader(data, 4, 0), config, 0)
        losses.append(objective(model, batch._replace(y=y)).item())
    assert losses[0] != losses[1]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="one shape"):
        semi.fixmatch_loss(torch.zeros(2, 3), torch.zeros(3, 3), 0.5)
    with pytest.raises(ValueError, match="0 to 1, got 95"):
        semi.fixmatch_loss(torch.zeros(2, 3), torch.zeros(2, 3), 95)


@pytest.mark.parametrize("view", [semi.weak_view, semi.strong_view, semi.harmful_view])
def test_views(view):
    images = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    one = view(images, torch.Generator().manual_seed(1))
    assert one.shape == images.shape and 0 <= one.min() <= one.max() <= 1
    torch.testing.assert_close(one, view(images, torch.Generator().manual_seed(1)))
    assert not torch.equal(one, view(images, torch.Generator().manual_seed(2)))


def test_flip_mirrors_about_half():
    images = torch.rand(400, 3, 2, 4)
    found = semi.flip(images, torch.Generator().manual_seed(0))
    same = (found == images).flatten(1).all(1)
    mirrored = (found == images.flip(-1)).flatten(1).all(1)
    assert (same ^ mirrored).all() and 150 < mirrored.sum() < 250


class Linear(nn.Module):
    """Counts its calls; logits from the mean colour of the picture."""

    def __init__(self):
        super().__init__()
        self.layer, self.calls = nn.Linear(3, 21), 0

    def forward(self, images, image_index, x, mask):
        self.calls += 1
        return self.layer(images.mean((2, 3)))[image_index]


@pytest.fixture(scope="module")
def data():
    return answered("train", 40)


def test_the_objective_adds_both_losses(data):
    torch.manual_seed(0)
    model, (hidden, shown) = Linear(), data.split_by_image(0.25)
    still = lambda images, generator: images
    config = semi.FixMatchConfig(threshold=0.0, weight=3.0, labelled_view=None, view=still)
    objective = semi.FixMatch(loader(shown, 5, shuffle=False), config, 0)
    batch, first = (next(iter(loader(d, 5, shuffle=False))) for d in (hidden, shown))
    weak = semi.weak_view(batch.images, torch.Generator().manual_seed(0))
    with torch.no_grad():
        told = model(weak, batch.image_index, batch.x, batch.mask).argmax(1)
        said = model(batch.images, batch.image_index, batch.x, batch.mask)
        known = model(first.images, first.image_index, first.x, first.mask)
        expected = F.cross_entropy(known, first.y) + 3 * F.cross_entropy(said, told)
    torch.testing.assert_close(objective(model, batch).detach(), expected)
    assert objective.accepted == [1.0]


def test_weight_0_never_looks_at_pictures_without_answers(data):
    model, (hidden, shown) = Linear(), data.split_by_image(0.25)
    objective = semi.FixMatch(loader(shown, 5), semi.FixMatchConfig(weight=0), 0)
    objective(model, next(iter(loader(hidden, 5))))
    assert model.calls == 1 and objective.accepted == []


def test_the_hidden_answers_are_never_read(data):
    hidden, shown = data.split_by_image(0.25)
    batch, losses = next(iter(loader(hidden, 5, shuffle=False))), []
    for y in (batch.y, 20 - batch.y):
        torch.manual_seed(0)
        objective = semi.FixMatch(loader(shown, 5), semi.FixMatchConfig(threshold=0.0), 0)
        losses.append(objective(Linear(), batch._replace(y=y)).item())
    assert losses[0] == losses[1]


def test_endless_batches_come_in_other_orders(data):
    batches = Endless(loader(data, 40, seed=3))
    one, two = next(batches), next(batches)
    assert one.y.sort().values.tolist() == two.y.sort().values.tolist()
    assert one.x.shape == two.x.shape


def test_looking_at_pseudo_labels_by_hand():
    first = logits_for([0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.99, 0.01])
    y = torch.tensor([0, 1, 1, 1])
    found = semi.look(first, y, 0.7)
    assert found["accepted"] == 0.75 and found["right"] == 0.5
    assert found["precision"] == pytest.approx(1 / 3)
    last = logits_for([0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.2, 0.8])
    assert semi.kept_wrong(first, last, y, 0.7) == dict(wrong=2, same=0.5, mended=0.5)
    assert semi.look(first, y, 1.0)["precision"] is None
    assert semi.kept_wrong(first, last, y, 1.0) == dict(wrong=0, same=None, mended=None)


def test_frozen_statistics_do_not_move(data):
    model = base_model(21, WEIGHTS, 0)
    assert isinstance(model, VQAModel)
    freeze_statistics(model)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [m.running_mean.clone() for m in norms]
    objective = semi.FixMatch(loader(data, 4), semi.FixMatchConfig(threshold=0.0), 0)
    config = FitConfig(epochs=1, max_steps=2)
    fit(model, objective, loader(data, 4), config=config, device="cpu", progress=False)
    assert norms and all(torch.equal(a, m.running_mean) for a, m in zip(before, norms))

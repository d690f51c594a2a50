"""What continual learning is measured with, EWC, distillation, and replay."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.datasets.files import data_path
from course_utils.datasets.world_vqa import WORLD_FAMILIES, answered
from course_utils.methods import consolidation as k
from course_utils.methods import continual as c
from course_utils.methods.answering import base_model
from course_utils.training.freezing import freeze_statistics
from course_utils.training.objective import answer_logits

WEIGHTS = data_path("checkpoints/world_pretrained.safetensors")
HAND = [[0.9, 0.1, 0.2], [0.6, 0.8, 0.3], [0.7, 0.5, 0.9]]


# Measures


def test_measures_by_hand():
    assert k.average_accuracy(HAND) == pytest.approx((0.7 + 0.5 + 0.9) / 3)
    assert k.backward_transfer(HAND) == pytest.approx(((0.7 - 0.9) + (0.5 - 0.8)) / 2)
    assert k.forgetting(HAND) == pytest.approx(((0.9 - 0.7) + (0.8 - 0.5)) / 2)


def test_forgetting_is_counted_from_the_best_stage_not_from_the_own_one():
    R = [[0.5, 0.0, 0.0], [0.8, 0.6, 0.0], [0.6, 0.7, 0.9]]
    assert k.backward_transfer(R) == pytest.approx(((0.6 - 0.5) + (0.7 - 0.6)) / 2)
    assert k.forgetting(R) == pytest.approx(((0.8 - 0.6) + (0.6 - 0.7)) / 2)


def test_the_last_family_does_not_count_for_forgetting():
    other = [row[:] for row in HAND]
    other[2][2] = 0.1
    assert k.forgetting(other) == k.forgetting(HAND)
    assert k.backward_transfer(other) == k.backward_transfer(HAND)
    assert k.average_accuracy(other) < k.average_accuracy(HAND)


@pytest.mark.parametrize("R", [[0.1, 0.2], [[0.1]], [[0.1, 0.2]]])
def test_a_matrix_that_is_none_is_refused(R):
    for measure in (k.average_accuracy, k.backward_transfer, k.forgetting):
        with pytest.raises(ValueError, match="stages, families"):
            measure(R)


# Fisher and EWC


class Softmax(nn.Module):
    """z = W x: here the Fisher diagonal is known, E[p_k (1 - p_k) x_j^2]."""

    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
        self.still = nn.Parameter(torch.ones(2), requires_grad=False)


def log_p(model, x):
    return (model.W @ x).log_softmax(-1)


@pytest.fixture
def items():
    return torch.randn(30, 3, generator=torch.Generator().manual_seed(1))


def closed_form(model, items):
    p = (items @ model.W.T).softmax(-1).detach()  # (n, 4)
    return torch.einsum("nk,nj->kj", p * (1 - p), items.square()) / len(items)


def test_fisher_equals_its_closed_form(items):
    model = Softmax()
    found = k.fisher_diagonal(model, items, log_p)
    assert set(found) == {"W"}  # not what is frozen
    torch.testing.assert_close(found["W"], closed_form(model, items))


def test_fisher_is_the_curvature_of_the_mean_kl(items):
    """The second derivative of KL(p(theta) || p(theta')) at theta' = theta, by autograd."""
    model = Softmax()
    p = (items @ model.W.T).softmax(-1).detach()

    def kl(W):
        return (p * (p.log() - (items @ W.T).log_softmax(-1))).sum(1).mean()

    hessian = torch.autograd.functional.hessian(kl, model.W.detach())  # (4, 3, 4, 3)
    diagonal = torch.einsum("kjkj->kj", hessian)
    torch.testing.assert_close(k.fisher_diagonal(model, items, log_p)["W"], diagonal)


def test_drawn_answers_come_near_the_exact_sum(items):
    model = Softmax()
    drawn = k.fisher_diagonal(model, items, log_p, 2000, torch.Generator().manual_seed(0))["W"]
    torch.testing.assert_close(drawn, closed_form(model, items), rtol=0.1, atol=0.01)


def test_the_square_of_the_mean_gradient_is_another_thing(items):
    model = Softmax()
    p = (items @ model.W.T).softmax(-1)
    loss = -(p.detach() * p.log()).sum(1).mean()
    (grad,) = torch.autograd.grad(loss, model.W)
    assert grad.square().max() < 1e-8 < 1e-3 < closed_form(model, items).max()


def test_a_fisher_of_nothing_is_refused(items):
    with pytest.raises(ValueError, match="at least one, got none"):
        k.fisher_diagonal(Softmax(), [], log_p)
    with pytest.raises(ValueError, match="0 or more, got -1"):
        k.fisher_diagonal(Softmax(), items, log_p, -1)


def test_ewc_penalty_by_hand():
    model = Softmax()
    first = k.anchor(model, {"W": torch.full((4, 3), 2.0)})
    assert k.ewc_penalty(model, [first]).item() == 0
    with torch.no_grad():
        model.W += 0.5
    assert k.ewc_penalty(model, [first]).item() == pytest.approx(0.5 * 12 * 2 * 0.25)
    second = k.anchor(model, {"W": torch.ones(4, 3)})  # where the weights are now
    with torch.no_grad():
        model.W[0, 0] += 1
    expected = 0.5 * (11 * 2 * 0.25 + 2 * 1.5**2) + 0.5 * 1
    assert k.ewc_penalty(model, [first, second]).item() == pytest.approx(expected)
    k.ewc_penalty(model, [second]).backward()  # F (weight - anchor)
    assert model.W.grad[0, 0] == 1 and model.W.grad.abs().sum() == 1


def test_ewc_keeps_the_weight_that_matters():
    """A quadratic old loss 2 a^2 + 0 b^2 and a new one (a - 1)^2 + (b - 1)^2: a stays near 0, b
    goes to 1. With lambda F = 4: a = 2 / (2 + 4)."""
    model = nn.Module()
    model.ab = nn.Parameter(torch.zeros(2))
    old = [k.anchor(model, {"ab": torch.tensor([4.0, 0.0])})]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        ((model.ab - 1).square().sum() + k.ewc_penalty(model, old)).backward()
        optimizer.step()
    torch.testing.assert_close(model.ab.detach(), torch.tensor([1 / 3, 1.0]))


# Distillation


def test_distillation_by_hand_and_by_reference():
    old = torch.tensor([[0.0, 0.0]])
    new = torch.tensor([[2 * torch.log(torch.tensor(3.0)), 0.0]])  # 3 : 1 at temperature 2
    by_hand = 4 * (0.5 * torch.tensor(0.5 / 0.75).log() + 0.5 * torch.tensor(0.5 / 0.25).log())
    torch.testing.assert_close(k.distillation_loss(new, old, 2.0), by_hand)
    a, b = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(0))
    p = (b / 3).softmax(-1)
    reference = F.cross_entropy(a / 3, p) - F.cross_entropy(b / 3, p)
    torch.testing.assert_close(k.distillation_loss(a, b, 3.0), 9 * reference)
    assert k.distillation_loss(a, a).abs() < 1e-6


def test_no_gradient_flows_into_the_old_model():
    new, old = torch.randn(2, 3, 4).unbind()
    new.requires_grad_(), old.requires_grad_()
    k.distillation_loss(new, old).backward()
    assert old.grad is None and new.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="one shape"):
        k.distillation_loss(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="above 0"):
        k.distillation_loss(torch.zeros(2, 3), torch.zeros(2, 3), 0.0)


# Stages


@pytest.fixture(scope="module")
def data():
    return answered("train", 120)


def rows_of(data, family):
    return (data.family == data.families.index(family)).nonzero()[:, 0]


def model_for(data):
    model = base_model(len(data.answers), WEIGHTS, 0)
    freeze_statistics(model)
    return model.eval()


def test_families_have_their_own_answers(data):
    own = {
        name: {data.answers[i] for i in ids}
        for name, ids in c.own_answers(data, WORLD_FAMILIES).items()
    }
    assert own["exists"] == {"no", "yes"} and "red" in own["colour"] and "red" not in own["shape"]
    only = c.of_family(data, "shape")
    assert set(only.family.tolist()) == {data.families.index("shape")}
    with pytest.raises(ValueError, match="'taste'"):
        c.of_family(data, "taste")


def test_accuracy_among_own_answers_by_hand(data):
    own = c.own_answers(data, WORLD_FAMILIES)
    logits = F.one_hot(data.y, len(data.answers)).float()
    assert c.scores(logits, data, own) == ([1.0] * 4, [1.0] * 4)
    logits[:, data.answers.index("zero")] = 2.0  # the head says "zero" to everything
    free, among = c.scores(logits, data, own)
    assert free[:3] == [0, 0, 0] and among[:3] == [1, 1, 1]


def test_replay_keeps_a_few_pictures_of_each_stage_whole(data):
    learner, counts = c.Learner(c.LearnerConfig("replay", share=0.1), model_for(data), 0), []
    for family in ("exists", "colour"):
        learner.remember(data, rows_of(data, family))
        pictures = data.image_index[rows_of(data, family)].unique()
        counts.append(max(1, round(0.1 * len(pictures))))
    for kept, family, count in zip(learner.memory, ("exists", "colour"), counts):
        assert len(data.image_index[kept].unique()) == count
        assert set(data.family[kept].tolist()) == {data.families.index(family)}
        pictures = data.image_index[kept].unique()
        whole = torch.isin(data.image_index, pictures) & torch.isin(
            torch.arange(len(data)), rows_of(data, family)
        )
        assert kept.sort().values.tolist() == whole.nonzero()[:, 0].tolist()


def test_replay_adds_the_loss_of_kept_questions(data):
    model, batch = model_for(data), data.__getitems__(list(range(8)))
    memory = data.select(torch.arange(100, 110))
    plain, kept = (
        F.cross_entropy(answer_logits(model, b), b.y)
        for b in (batch, memory.__getitems__(list(range(10))))
    )
    torch.testing.assert_close(c.WithMemory(memory, 99, 0)(model, batch), plain + kept)


@pytest.mark.parametrize("method", c.METHODS)
def test_the_first_stage_is_plain_for_every_method(data, method):
    model, batch = model_for(data), data.__getitems__(list(range(8)))
    loss = c.Learner(c.LearnerConfig(method, 7.0), model, 0).objective(data)(model, batch)
    torch.testing.assert_close(loss, F.cross_entropy(answer_logits(model, batch), batch.y))


@pytest.mark.parametrize("method", ["EWC", "distillation"])
def test_a_penalty_is_0_at_the_old_weights_and_positive_elsewhere(data, method):
    model, batch = model_for(data), data.__getitems__(list(range(8)))
    learner = c.Learner(c.LearnerConfig(method, 10.0, fisher_examples=5), model, 0)
    learner.remember(data, rows_of(data, "exists"))
    assert learner.model is model
    loss = learner.objective(data)
    plain = lambda m: F.cross_entropy(answer_logits(m, batch), batch.y)
    torch.testing.assert_close(loss(model, batch), plain(model))
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for p in moved.head.parameters():
            p += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(0))
    assert loss(moved, batch) > plain(moved) + 1e-6


def test_distillation_holds_the_answers_learnt_so_far_only(data):
    learner = c.Learner(c.LearnerConfig("distillation", 1.0), model_for(data), 0)
    learner.remember(data, rows_of(data, "exists"))
    assert {data.answers[i] for i in learner.known} == {"no", "yes"}
    learner.remember(data, rows_of(data, "shape"))
    assert {data.answers[i] for i in learner.known} >= {"no", "yes", "circle", "cross"}


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match=r"'naive', .*got 'reply'"):
        c.LearnerConfig("reply")

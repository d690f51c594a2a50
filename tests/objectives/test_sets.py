"""Set prediction: the match is SciPy's, cost and loss are those of DETR in transformers."""

from itertools import permutations

import pytest
import torch
from transformers.loss.loss_for_object_detection import HungarianMatcher, ImageLoss

from course_utils.objectives.sets import Target, match, set_cost, set_loss


def case(seed=0, batch=4, candidates=7, labels=3):
    torch.manual_seed(seed)
    logits = torch.randn(batch, candidates, labels + 1, requires_grad=True)
    boxes = (0.1 + 0.3 * torch.rand(batch, candidates, 4)).requires_grad_()
    targets = [
        Target(torch.randint(labels, (n,)), 0.1 + 0.3 * torch.rand(n, 4)) for n in (3, 1, 0, 5)
    ]
    return logits, boxes, targets[:batch]


def test_the_match_has_the_least_cost():
    for n, m in ((2, 2), (5, 3), (6, 1), (4, 4)):
        cost = torch.randn(n, m, generator=torch.Generator().manual_seed(n))
        rows, columns = match(cost)
        least = min(
            sum(cost[i, j].item() for j, i in enumerate(way)) for way in permutations(range(n), m)
        )
        assert cost[rows, columns].sum().item() == pytest.approx(least, abs=1e-5)
        assert rows.tolist() == sorted(rows.tolist()) and len(columns.unique()) == m


def test_greedy_costs_more_and_too_few_candidates_leave_objects_out():
    rows, columns = match(torch.tensor([[0.0, 1], [1, 9]]))
    assert list(zip(rows.tolist(), columns.tolist())) == [(0, 1), (1, 0)]
    rows, columns = match(torch.tensor([[3.0, 1, 2]]))
    assert (rows.tolist(), columns.tolist()) == ([0], [1])


def test_cost_and_match_equal_transformers():
    logits, boxes, targets = case()
    theirs = HungarianMatcher(class_cost=1, bbox_cost=5, giou_cost=2)(
        {"logits": logits, "pred_boxes": boxes},
        [{"class_labels": t.labels, "boxes": t.boxes} for t in targets],
    )
    for i, (rows, columns) in enumerate(theirs):
        mine = match(set_cost(logits[i], boxes[i], targets[i]))
        assert torch.equal(mine[0], rows) and torch.equal(mine[1], columns)


def test_the_loss_and_its_gradients_equal_transformers():
    logits, boxes, targets = case(1)
    found = set_loss(logits, boxes, targets)
    mine = torch.autograd.grad(found.total, (logits, boxes))
    criterion = ImageLoss(HungarianMatcher(1, 5, 2), 3, 0.1, ["labels", "boxes"])
    told = [{"class_labels": t.labels, "boxes": t.boxes} for t in targets]
    parts = criterion({"logits": logits, "pred_boxes": boxes}, told)
    total = parts["loss_ce"] + 5 * parts["loss_bbox"] + 2 * parts["loss_giou"]
    theirs = torch.autograd.grad(total, (logits, boxes))
    for one, other in zip(
        (found.label, found.l1, found.overlap, found.total, *mine),
        (parts["loss_ce"], parts["loss_bbox"], parts["loss_giou"], total, *theirs),
    ):
        assert torch.allclose(one, other, atol=1e-5)


def test_pictures_without_objects_learn_no_object():
    logits, boxes, _ = case(2, batch=2)
    nothing = [Target(torch.zeros(0).long(), torch.zeros(0, 4))] * 2
    found = set_loss(logits, boxes, nothing)
    assert found.l1 == 0 and found.overlap == 0 and found.label > 0
    want = -logits.log_softmax(-1)[..., -1].mean()
    assert torch.allclose(found.label, want)


def test_bad_input_is_named():
    logits, boxes, targets = case(3)
    with pytest.raises(ValueError, match="expected 4, one a picture, got 1"):
        set_loss(logits, boxes, targets[:1])
    wrong = [Target(torch.tensor([3]), targets[0].boxes[:1])] * 4
    with pytest.raises(ValueError, match="expected 0 to 2"):
        set_loss(logits, boxes, wrong)
    for bad in (torch.zeros(3), torch.tensor([[float("nan")]])):
        with pytest.raises(ValueError, match="expected a matrix of numbers"):
            match(bad)

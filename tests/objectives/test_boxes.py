"""Boxes: equal to torchvision's, gradients where boxes lie apart, and what is refused."""

import pytest
import torch
from torchvision.ops import box_convert, box_iou, generalized_box_iou, generalized_box_iou_loss

from course_utils.objectives.boxes import (
    area,
    box_loss,
    giou,
    iou,
    pairwise,
    to_centres,
    to_corners,
)


def drawn(n: int, seed: int = 0) -> torch.Tensor:
    corner = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed))
    side = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed + 1)) + 0.01
    return torch.cat([corner, corner + side], -1)


def test_pairs_equal_torchvision():
    a, b = drawn(200), 3 * drawn(150, 7)
    assert torch.allclose(pairwise(iou, a, b), box_iou(a, b), atol=1e-6)
    assert torch.allclose(pairwise(giou, a, b), generalized_box_iou(a, b), atol=1e-6)
    assert torch.allclose(1 - giou(a[:150], b), generalized_box_iou_loss(a[:150], b), atol=1e-5)


def test_forms_equal_torchvision_and_come_back():
    a = drawn(50)
    assert torch.allclose(to_centres(a), box_convert(a, "xyxy", "cxcywh"))
    assert torch.allclose(to_corners(to_centres(a)), a, atol=1e-6)
    assert torch.allclose(area(a), (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]))


def test_apart_iou_has_no_gradient_and_giou_has():
    a = torch.tensor([0.0, 0, 2, 2], requires_grad=True)
    b = torch.tensor([3.0, 3, 4, 4])
    assert torch.autograd.grad(iou(a, b), a)[0].tolist() == [0, 0, 0, 0]
    assert giou(a, b).item() == pytest.approx(-0.6875)
    assert torch.autograd.grad(giou(a, b), a)[0][2:].gt(0).all()


def test_empty_boxes_have_no_overlap_and_no_nan():
    empty = torch.tensor([1.0, 1, 1, 1])
    assert iou(empty, empty) == 0 and giou(empty, empty) == 0
    assert iou(empty, torch.tensor([0.0, 0, 2, 2])) == 0
    # torchvision 0.29 gives nan for an empty box with itself
    assert generalized_box_iou(empty[None], empty[None]).isnan().all()


def test_the_loss_is_0_for_the_same_box_and_weighs_as_in_detr():
    a = torch.tensor([0.2, 0.2, 0.4, 0.6])
    assert box_loss(a, a).item() == pytest.approx(0, abs=1e-6)
    b = a + 0.1
    want = 5 * 0.2 + 2 * (1 - generalized_box_iou(a[None], b[None]).item())
    assert box_loss(a, b).item() == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("bad", [torch.zeros(3), torch.zeros(2, 5), torch.zeros(4).long()])
def test_other_things_than_boxes_are_refused(bad):
    for function in (to_corners, to_centres, area, lambda x: iou(x, x), lambda x: giou(x, x)):
        with pytest.raises(ValueError, match=r"expected floating point \(..., 4\), got"):
            function(bad)

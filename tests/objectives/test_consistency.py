"""L_vs and its cures against published formulas written out; indicators in known cases; views."""

import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_utils.datasets import perturb as views
from course_utils.objectives import consistency as objectives
from course_utils.objectives import indicators

H, OTHER = torch.randn(2, 12, 8, generator=torch.Generator().manual_seed(0), dtype=torch.double)
GROUP = torch.tensor([5, 5, 5, 2, 2, 2, 9, 9, 9, 9, 5, 2])
PICTURES = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_consistency_is_the_mean_squared_euclidean_distance():
    expected = sum(torch.linalg.norm(a - b) ** 2 for a, b in zip(H, OTHER)) / len(H)
    torch.testing.assert_close(objectives.consistency(H, OTHER), expected)
    assert objectives.consistency(H, H) == 0
    with pytest.raises(ValueError, match="one shape"):
        objectives.consistency(H, OTHER[:1])  # would broadcast without a word


def test_the_gradient_of_consistency_is_twice_the_difference_and_half_of_it_with_stop_gradient():
    h, other = H.clone().requires_grad_(), OTHER.clone().requires_grad_()
    both = torch.autograd.grad(objectives.consistency(h, other), (h, other))
    torch.testing.assert_close(both[0], 2 * (H - OTHER) / len(H))
    torch.testing.assert_close(both[1], -both[0])
    weight = torch.eye(8, dtype=torch.double, requires_grad=True)
    pair = partial(torch.autograd.grad, inputs=weight)
    (full,) = pair(objectives.consistency(H @ weight, OTHER @ weight))
    a, b = H @ weight, OTHER @ weight
    (stopped,) = pair(
        0.5 * (objectives.consistency(a, b.detach()) + objectives.consistency(a.detach(), b))
    )
    torch.testing.assert_close(stopped, full / 2)


def test_picture_text_distance_takes_the_mean_patch():
    project = torch.nn.Linear(8, 8, dtype=torch.double)
    v = H[:, None].expand(12, 4, 8)
    expected = (project(H) - OTHER).pow(2).sum() / 12
    torch.testing.assert_close(objectives.picture_text_distance(v, OTHER, project), expected)


def test_simsiam_is_the_negative_cosine_with_one_side_stopped():
    predictor = torch.nn.Linear(8, 8, dtype=torch.double)
    h, other = H.clone().requires_grad_(), OTHER.clone().requires_grad_()
    loss = objectives.simsiam(h, other, predictor)

    def distance(p, z):  # algorithm 1 of the paper
        p, z = p / p.norm(dim=1, keepdim=True), z / z.norm(dim=1, keepdim=True)
        return -(p * z.detach()).sum(1).mean()

    expected = distance(predictor(h), other) / 2 + distance(predictor(other), h) / 2
    torch.testing.assert_close(loss, expected)
    got, want = (torch.autograd.grad(value, (h, other)) for value in (loss, expected))
    torch.testing.assert_close(got, want)
    same = objectives.simsiam(H, H, torch.nn.Identity())
    torch.testing.assert_close(same, torch.tensor(-1.0, dtype=torch.double))


def published_vicreg(x, y):
    """Equations 1 to 6 of arXiv 2105.04906, with the authors' halves."""
    x, y = x.numpy(), y.numpy()
    d = x.shape[1]
    hinge = [np.maximum(0, 1 - np.sqrt(z.var(0, ddof=1) + 1e-4)).mean() for z in (x, y)]
    covariances = [np.cov(z, rowvar=False) for z in (x, y)]
    off = [(c[~np.eye(d, dtype=bool)] ** 2).sum() / d for c in covariances]
    return 25 * ((x - y) ** 2).mean() + 25 * sum(hinge) / 2 + sum(off)


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_vicreg_equals_the_published_formula(scale):
    got = objectives.vicreg(scale * H, scale * OTHER)
    assert got.item() == pytest.approx(published_vicreg(scale * H, scale * OTHER), rel=1e-9)


def test_with_a_group_only_what_varies_within_it_counts():
    words = torch.randn(10, 8, dtype=torch.double)
    assert objectives.variance_hinge(10 * words[GROUP]) == 0  # the words satisfy the hinge
    only_words = objectives.variance_hinge(10 * words[GROUP], GROUP)
    assert only_words.item() == pytest.approx(0.99)  # 1 - sqrt(1e-4)
    shifted = H + 10 * words[GROUP]
    for term in (objectives.variance_hinge, objectives.covariance_penalty):
        torch.testing.assert_close(term(shifted, GROUP), term(H, GROUP))
        torch.testing.assert_close(term(H, torch.zeros(12)), term(H))
    centred, freedom = objectives.centre(H, GROUP)
    assert freedom == 9
    for g in (2, 5, 9):
        torch.testing.assert_close(centred[g == GROUP], H[g == GROUP] - H[g == GROUP].mean(0))


def test_info_nce_equals_its_definition_and_a_group_narrows_the_choice():
    cosine = F.cosine_similarity(H[:, None], OTHER[None], dim=-1) / 0.1
    expected = -0.5 * (cosine.log_softmax(1) + cosine.log_softmax(0)).diagonal().mean()
    torch.testing.assert_close(objectives.info_nce(H, OTHER), expected)
    parts = [
        objectives.info_nce(H[g == GROUP], OTHER[g == GROUP]) * (g == GROUP).sum() / 12
        for g in (2, 5, 9)
    ]
    torch.testing.assert_close(objectives.info_nce(H, OTHER, GROUP), sum(parts))
    constant = torch.ones(12, 8)
    assert objectives.info_nce(constant, constant).item() == pytest.approx(math.log(12))


@pytest.mark.parametrize(
    ("group", "message"),
    [(torch.arange(12), "share a group"), (torch.zeros(3), "one for each of 12 rows")],
)
def test_groups_that_leave_nothing_are_refused(group, message):
    with pytest.raises(ValueError, match=message):
        objectives.vicreg(H, OTHER, group)


# Indicators

SPREAD = torch.randn(4000, 16, generator=torch.Generator().manual_seed(2))
POINT = torch.ones(50, 16)
LINE = torch.linspace(-1, 1, 50)[:, None] * torch.arange(1.0, 17.0)


def test_indicators_of_a_batch_in_healthy_and_collapsed_cases():
    assert indicators.batch_std(SPREAD) == pytest.approx(1, abs=0.02)
    assert indicators.normalised_std(SPREAD) == pytest.approx(1, abs=0.02)
    assert indicators.effective_rank(SPREAD) == pytest.approx(16, rel=0.01)
    assert indicators.participation_ratio(SPREAD) == pytest.approx(16, rel=0.01)
    assert indicators.batch_std(POINT) == indicators.normalised_std(POINT) == 0
    assert indicators.uniformity(POINT) == 0
    assert indicators.effective_rank(POINT) == 1 and indicators.participation_ratio(POINT) == 0
    assert indicators.effective_rank(LINE) == pytest.approx(1)
    assert indicators.participation_ratio(LINE) == pytest.approx(1)


def test_effective_rank_and_participation_ratio_equal_their_formulas():
    singular = np.linalg.svd((H - H.mean(0)).numpy(), compute_uv=False)
    p = singular / singular.sum()
    assert indicators.effective_rank(H) == pytest.approx(np.exp(-(p * np.log(p)).sum()))
    eigenvalues = np.linalg.eigvalsh(np.cov(H.numpy(), rowvar=False))
    expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert indicators.participation_ratio(H) == pytest.approx(expected)


def test_alignment_and_uniformity_equal_their_formulas():
    a, b = (z / z.norm(dim=1, keepdim=True) for z in (H, OTHER))
    assert indicators.alignment(H, OTHER) == pytest.approx((2 - 2 * (a * b).sum(1)).mean().item())
    pairs = [math.exp(-2 * (a[i] - a[j]).square().sum()) for i in range(12) for j in range(i)]
    assert indicators.uniformity(H) == pytest.approx(math.log(sum(pairs) / len(pairs)))
    directions = F.normalize(torch.randn(2000, 512), dim=1)
    assert indicators.uniformity(directions) == pytest.approx(-4, abs=0.05)


def test_each_indicator_is_blind_to_what_its_text_says():
    for blind in (
        indicators.effective_rank,
        indicators.participation_ratio,
        indicators.normalised_std,
        indicators.uniformity,
    ):
        assert blind(SPREAD[:200] / 1000) == pytest.approx(blind(SPREAD[:200]), rel=1e-6)
    words = SPREAD[:20, None].expand(20, 10, 16)  # (questions, pictures, dim), no picture in it
    rows = words.flatten(0, 1)
    assert indicators.batch_std(rows) > 0.8 and indicators.effective_rank(rows) > 12
    assert indicators.std_given_question(words) == 0 and indicators.visual_share(words) == 0


def test_the_law_of_total_variance():
    words, pictures = SPREAD[:20, None], SPREAD[20:50][None]
    both = 2 * words + pictures  # (20, 30, 16)
    within = both.var(1, correction=0).mean(0).sum()
    between = both.mean(1).var(0, correction=0).sum()
    assert indicators.visual_share(both) == pytest.approx((within / (within + between)).item())
    assert indicators.visual_share(pictures.expand(20, 30, 16)) == pytest.approx(1)
    assert indicators.visual_share(torch.zeros(3, 4, 16)) == 0


def test_sensitivity_is_a_half_for_views_as_different_as_two_pictures():
    h, other = SPREAD[:1000].view(2, 500, 16), SPREAD[1000:2000].view(2, 500, 16)
    assert indicators.visual_sensitivity(h, other) == pytest.approx(0.5, rel=0.05)
    assert indicators.visual_sensitivity(h, h + 0.1 * other) == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize(
    "function",
    [
        indicators.batch_std,
        indicators.effective_rank,
        indicators.uniformity,
        indicators.std_given_question,
        indicators.visual_share,
    ],
)
@pytest.mark.parametrize("h", [torch.zeros(4), torch.zeros(1, 4), torch.zeros(3, 1, 4)])
def test_indicators_refuse_other_shapes(function, h):
    with pytest.raises(ValueError, match="h: expected"):
        function(h)


# Perturbations


@pytest.mark.parametrize(
    "change",
    [
        views.shift,
        views.brightness,
        views.noise,
        views.mix_colours,
        views.perturb,
        views.perturb_colour,
    ],
)
def test_a_view_has_the_pictures_shape_and_range_and_another_for_each(change):
    same = PICTURES[:1].expand(5, 3, 16, 16)
    generator = torch.Generator().manual_seed(3)
    one = change(same, generator=generator)
    again = change(same, generator=torch.Generator().manual_seed(3))
    assert one.shape == same.shape and one.min() >= 0 and one.max() <= 1
    torch.testing.assert_close(one, again)
    assert not torch.equal(one[0], one[1]), "every picture has random numbers of its own"
    assert not torch.equal(one, change(same, generator=generator))


def test_shift_moves_by_whole_pixels_and_repeats_the_border():
    moved = views.shift(PICTURES, 2, torch.Generator().manual_seed(4))
    padded = F.pad(PICTURES, (2, 2, 2, 2), mode="replicate")
    found = [
        any(torch.equal(m, p[:, r : r + 16, c : c + 16]) for r in range(5) for c in range(5))
        for m, p in zip(moved, padded)
    ]
    assert all(found)
    torch.testing.assert_close(views.shift(PICTURES, 0), PICTURES)
    torch.testing.assert_close(views.brightness(PICTURES, 0), PICTURES)
    torch.testing.assert_close(views.noise(PICTURES, 0), PICTURES)


def test_mixing_colours_leaves_grey_pictures_alone():
    grey = PICTURES.mean(1, keepdim=True).expand_as(PICTURES)
    torch.testing.assert_close(views.mix_colours(grey), grey)


@pytest.mark.parametrize(
    "images",
    [torch.zeros(3, 8, 8), torch.zeros(2, 1, 8, 8), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)],
)
def test_views_refuse_what_is_no_picture(images):
    with pytest.raises(ValueError, match="images: expected floats"):
        views.perturb(images)
    with pytest.raises(ValueError, match="most: expected 0 or more"):
        views.shift(PICTURES, -1)

"""Words and a first frame to later frames, and what cannot be known."""

import pytest
import torch

from course_utils.models.future import FutureModel, least_error, mean_future, nearest_future

FIRST = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
X = torch.tensor([[1, 4, 5], [1, 6, 0], [1, 4, 7]])


def test_it_begins_by_repeating_the_first_frame():
    model = FutureModel(9)
    later = model(FIRST, X, X > 0)
    assert later.shape == (3, 6, 3, 32, 32)
    assert torch.equal(later, FIRST[:, None].expand_as(later))


def test_words_matter_and_padding_does_not():
    torch.manual_seed(0)
    model = FutureModel(9)
    torch.nn.init.normal_(model.up[-1].weight, std=0.1)
    with torch.no_grad():
        told = model(FIRST, X, X > 0)
        short = model(FIRST[[1]], X[[1], :2], X[[1], :2] > 0)
        untold = model(FIRST, X, torch.zeros_like(X, dtype=torch.bool))
        other = model(FIRST, X.flip(0), torch.zeros_like(X, dtype=torch.bool))
    assert torch.allclose(told[[1]], short, atol=1e-5)
    assert torch.equal(untold, other) and (told - untold).abs().max() > 1e-3


def test_the_least_error_is_least():
    futures = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1))
    least = least_error(futures)
    error = lambda p: (futures - p).square().mean().item()
    assert error(mean_future(futures)) == pytest.approx(least, rel=1e-6)
    assert least == pytest.approx(futures.var(0, unbiased=False).mean().item(), rel=1e-6)
    generator = torch.Generator().manual_seed(2)
    for _ in range(20):
        step = torch.randn(5, 6, generator=generator)
        assert error(mean_future(futures) + 0.1 * step) > least
    pair = futures[:2]  # of two, a quarter of the squared distance
    assert least_error(pair) == pytest.approx((pair[0] - pair[1]).square().mean().item() / 4)
    assert least_error(futures[:1]) == 0


def test_the_nearest_future_is_found():
    futures = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(3))
    wanted = torch.tensor([2, 0, 3, 3, 1])
    near = futures[wanted, torch.arange(5)] + 0.01
    assert torch.equal(nearest_future(near, list(futures)), wanted)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="two or more, got 1"):
        FutureModel(9, frames=1)
    with pytest.raises(ValueError, match=r"even sides .* and 3 texts"):
        FutureModel(9)(FIRST[:2], X, X > 0)
    with pytest.raises(ValueError, match="at least one, got none"):
        least_error([])

"""A small network on frozen features: it learns, repeats itself, and does what its settings say."""

import pytest
import torch

from course_utils.methods.probe import Features, SmallConfig, accuracy, features, right, train_small
from course_utils.training.fit import warmup_cosine


def separable(n=300, seed=0):
    """Three answers that a line tells apart."""
    h = torch.randn(n, 5, generator=torch.Generator().manual_seed(seed))
    return Features(h, h[:, :3].argmax(1), 3)


def test_it_learns_and_repeats_itself():
    data, other = separable(), separable(seed=1)
    config = SmallConfig(lr=0.02, epochs=10)
    first, again = train_small(config, data, 3), train_small(config, data, 3)
    assert accuracy(first, other) > 0.85
    assert torch.equal(right(first, other), right(again, other))
    assert not torch.equal(first[0].weight, train_small(config, data, 4)[0].weight)


@pytest.mark.parametrize("ticks", [1, 2])
def test_the_schedule_follows_updates_times_ticks(ticks, monkeypatch):
    rates, step = [], torch.optim.AdamW.step

    def noted(self, *arguments, **named):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    train_small(SmallConfig(lr=0.5, epochs=2, batch=50, ticks=ticks), separable(), 0)
    total = 2 * 6  # epochs times batches
    want = [0.5 * warmup_cosine(ticks * t, round(0.1 * total), total) for t in range(total)]
    assert rates == pytest.approx(want)


def test_the_cosine_without_warm_up_begins_at_the_whole_rate(monkeypatch):
    made = []
    monkeypatch.setattr(torch.optim, "AdamW", _noting(torch.optim.AdamW, made))
    config = SmallConfig(lr=0.5, schedule="cosine without warm-up", epochs=1)
    train_small(config, separable(), 0)
    assert made[0].param_groups[0]["initial_lr"] == 0.5
    assert made[0].param_groups[0]["lr"] < 1e-9  # after the last update


def test_a_constant_rate_stays_and_sgd_is_sgd(monkeypatch):
    made = []
    monkeypatch.setattr(torch.optim, "SGD", _noting(torch.optim.SGD, made))
    train_small(SmallConfig(lr=0.1, optimizer="sgd", schedule="constant", epochs=1), separable(), 0)
    group = made[0].param_groups[0]
    assert group["momentum"] == 0.9 and group["lr"] == 0.1


def _noting(kind, made):
    def make(*arguments, **named):
        made.append(kind(*arguments, **named))
        return made[-1]

    return make


@pytest.mark.parametrize("changed", [dict(optimizer="adam"), dict(schedule="linear")])
def test_unknown_settings_are_refused(changed):
    with pytest.raises(ValueError, match="expected optimizer 'adamw' or 'sgd'"):
        SmallConfig(**changed)


def test_parts_of_the_data_do_not_share_pictures():
    train, pool = features("train", 400, seed=100), features("validation", 75)
    assert train.h.shape == (1600, 64) and pool.h.shape == (300, 64)
    both = torch.cat([train.h, pool.h])
    assert len(torch.unique(both, dim=0)) > 0.95 * len(both)

"""The search: deterministic by seed, TPE better than random where it should be, failed trials."""

import math

import numpy as np
import optuna
import pytest

from course_utils.training.search import best_so_far, search


def hill(trial):
    """Highest, 0, at rate 0.01 and width 0.3, of two numbers that matter and one that doesn't."""
    rate = trial.suggest_float("rate", 1e-5, 1.0, log=True)
    width = trial.suggest_float("width", 0.0, 1.0)
    trial.suggest_float("idle", 0.0, 1.0)
    return -((math.log10(rate) + 2) ** 2) - (4 * (width - 0.3)) ** 2


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_seed_decides_everything(sampler):
    one, two, other = (search(hill, 15, sampler, seed) for seed in (3, 3, 4))
    assert [t.params for t in one.trials] == [t.params for t in two.trials]
    assert [t.params for t in one.trials] != [t.params for t in other.trials]
    assert len(one.trials) == 15


def test_both_begin_with_the_same_ten():
    tpe, random = ([t.params for t in search(hill, 12, name).trials] for name in ("tpe", "random"))
    assert tpe[:10] == random[:10] and tpe[10] != random[10]


def test_random_search_draws_log_uniformly():
    rates = [t.params["rate"] for t in search(hill, 400, "random").trials]
    logs = np.log10(rates)
    assert logs.min() >= -5 and logs.max() <= 0
    assert abs(logs.mean() + 2.5) < 4 * (5 / math.sqrt(12)) / math.sqrt(400)


def test_tpe_finds_more_than_random_at_an_equal_budget():
    ends = {
        name: np.mean([best_so_far(search(hill, 40, name, seed))[-1] for seed in range(5)])
        for name in ("tpe", "random")
    }
    assert ends["tpe"] > ends["random"]


def test_a_training_that_diverges_counts_as_a_trial_without_score():
    scores = iter([None, 0.2, 0.1, None, 0.7])

    def objective(trial):
        trial.suggest_float("lr", 0, 1)
        if (score := next(scores)) is None:
            raise FloatingPointError("the loss became nan")
        return score

    study = search(objective, 5)
    curve = best_so_far(study)
    assert math.isnan(curve[0]) and curve[1:] == [0.2, 0.2, 0.2, 0.7]
    assert study.trials[0].state == optuna.trial.TrialState.FAIL and study.best_value == 0.7


def test_other_errors_are_not_swallowed_and_nothing_is_printed(capfd):
    search(hill, 3)
    assert capfd.readouterr() == ("", "")

    def wrong(trial):
        raise KeyError("a mistake")

    with pytest.raises(KeyError, match="a mistake"):
        search(wrong, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [(dict(sampler="grid"), "tpe, random, got 'grid'"), (dict(trials=0), "1 or more, got 0")],
)
def test_bad_settings_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        search(hill, **({"trials": 2} | fields))

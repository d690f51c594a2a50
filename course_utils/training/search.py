"""Search for settings with Optuna: by TPE (Tree-structured Parzen Estimator), which learns from
earlier trials, or at random, its baseline."""

import math
from collections.abc import Callable

import optuna

SAMPLERS = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}


def search(
    objective: Callable[[optuna.Trial], float], trials: int, sampler: str = "tpe", seed: int = 0
) -> optuna.Study:
    """Tries `trials` settings, one after the other; the same seed tries the same ones.

    TPE draws its first ten at random: with one seed the same ones as "random". A trial whose loss
    isn't finite (`fit` raises FloatingPointError) has failed: it counts, without a score.

    Args:
        objective: trial -> score, higher is better, on validation data. It asks for settings, for
            example `trial.suggest_float("lr", 1e-4, 1e-1, log=True)`.

    Raises:
        ValueError: an unknown sampler, or no trials.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler: expected one of {', '.join(SAMPLERS)}, got {sampler!r}")
    if trials < 1:
        raise ValueError(f"trials: expected 1 or more, got {trials}")
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # else a line a trial
    try:
        study = optuna.create_study(direction="maximize", sampler=SAMPLERS[sampler](seed=seed))
        study.optimize(objective, n_trials=trials, catch=(FloatingPointError,))
    finally:
        optuna.logging.set_verbosity(level)
    return study


def best_so_far(study: optuna.Study) -> list[float]:
    """The best score after each trial: what a search has found for so much of its budget. NaN until
    a trial has succeeded."""
    best, curve = -math.inf, []
    for trial in study.trials:
        if trial.value is not None:
            best = max(best, trial.value)
        curve.append(best if math.isfinite(best) else math.nan)
    return curve

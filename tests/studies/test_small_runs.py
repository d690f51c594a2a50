"""The small trainings of lesson 09: runs that repeat, fair searches."""

from pathlib import Path

import numpy as np
import optuna
import torch

from course_utils.methods.probe import Features
from course_utils.studies import search_study, small_runs
from course_utils.studies.runs import read_runs

DATA = Path(__file__).resolve().parents[2] / "data"


def separable(n=300, seed=0):
    """Three answers that a line tells apart."""
    h = torch.randn(n, 5, generator=torch.Generator().manual_seed(seed))
    return Features(h, h[:, :3].argmax(1), 3)


def test_every_run_is_there_once_and_one_repeats():
    found = read_runs(DATA / "studies" / "small_runs.json")
    expected = {(kind, seed) for kind in small_runs.KINDS for seed in range(small_runs.RUNS)}
    assert len(found) == len(expected) and {(r["kind"], r["seed"]) for r in found} == expected
    assert all(len(r["right"]) == small_runs.PARTS for r in found)
    told = found[small_runs.RUNS - 1]
    torch.set_num_threads(1)
    again = small_runs.run(told["kind"], told["seed"])
    assert {k: v for k, v in again.items() if k != "right"} == {
        k: v for k, v in told.items() if k != "right"
    }
    off = np.array(again["right"]) - np.array(told["right"])
    assert abs(off.mean()) < 0.03 * small_runs.QUESTIONS  # another processor adds differently


def test_searches_are_complete_and_begin_alike():
    found = read_runs(DATA / "studies" / "search_study.json")
    expected = {(s, seed) for s in search_study.SAMPLERS for seed in search_study.SEEDS}
    assert len(found) == len(expected) and {(r["sampler"], r["seed"]) for r in found} == expected
    for run in found:
        assert len(run["best"]) == len(run["judged"]) == search_study.TRIALS
        assert np.all(np.diff(run["best"]) >= 0)
    by = {(r["sampler"], r["seed"]): r for r in found}
    for seed in search_study.SEEDS:
        assert by["random", seed]["best"][:10] == by["tpe", seed]["best"][:10]


def test_a_search_keeps_the_choice_of_validation(monkeypatch):
    """The network that is judged is the one with the best validation score; the earlier of two."""
    scores = iter([0.2, 0.9, 0.5, 0.7, 0.5, 0.95])  # validation, judges, validation, ...
    monkeypatch.setattr(search_study, "train_small", lambda *arguments, **named: None)
    monkeypatch.setattr(search_study, "accuracy", lambda model, data: next(scores))
    found = search_study.searched("random", 0, separable(), separable(), trials=3)
    assert found["best"] == [0.2, 0.5, 0.5] and found["judged"] == [0.9, 0.7, 0.7]


def test_settings_lie_in_their_ranges():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        config = search_study.suggested(study.ask())
        assert 1e-5 <= config.lr <= 1 and 8 <= config.width <= 256 and 0 <= config.dropout <= 0.7
    assert small_runs.drawn(5) == small_runs.drawn(5) != small_runs.drawn(6)

"""The runs of lesson 10: what belongs to the table, a small run, and the stored table is whole."""

import json
from pathlib import Path

import pytest
import torch

from course_utils.datasets import combinations
from course_utils.datasets.world_vqa import WORLD_FAMILIES
from course_utils.studies import generalisation
from course_utils.training.fit import FitConfig
from course_utils.world import generate

ROOT = Path(__file__).resolve().parents[2]


def test_the_chance_of_new_questions_is_that_of_their_families():
    found = generalisation.chance_of_new((8,), scenes=300)[8]
    world = generate("iid", "test", 300, 4, WORLD_FAMILIES)
    one_of = {"exists": 2, "colour": 8, "shape": 4}
    for seed, chance in zip(generalisation.SEEDS, found):
        pairs = combinations.held_out(8, seed)
        new = [
            1 / one_of[p.family]
            for p, about in zip(world.programs, combinations.asked_pairs(world))
            if about & pairs
        ]
        assert chance == pytest.approx(sum(new) / len(new))


def test_pictures_without_combinations_have_fewer_objects():
    found = generalisation.objects_left(scenes=600)
    assert list(found) == list(generalisation.HELD)
    assert found[0] > found[8] > found[16] >= 1
    assert found[0] == pytest.approx(2.5, abs=0.15)  # one to four, equally often


def test_a_small_run(monkeypatch):
    monkeypatch.setattr(generalisation, "SCENES", 40)
    monkeypatch.setattr(generalisation, "FIT", FitConfig(epochs=1))
    rows = generalisation.run("pairs 8", 0)
    assert [row["part"] for row in rows] == ["new", "seen"]
    assert all(0 <= row["right"] <= row["questions"] for row in rows)


def test_the_kept_runs_are_whole():
    runs = json.loads((ROOT / "data/studies/generalisation.json").read_text())["runs"]
    found = {(r["setting"], r["seed"], r["part"]) for r in runs}
    expected = {
        (f"pairs {c}", s, p)
        for c in generalisation.HELD
        for s in generalisation.SEEDS
        for p in (("new", "seen") if c else ("seen",))
    }
    expected |= {("prior", s, p) for s in generalisation.SEEDS for p in ("validation", "test")}
    assert found == expected and len(runs) == len(expected)
    assert torch.tensor([r["right"] / r["questions"] for r in runs]).max() <= 1

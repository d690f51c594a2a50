"""The runs of lesson 09: held-out combinations are really out, the stored table is whole."""

import json
from pathlib import Path

import pytest
import torch

from course_utils.studies import generalisation
from course_utils.world import generate

ROOT = Path(__file__).resolve().parents[2]


def test_fewer_combinations_are_among_more():
    assert generalisation.held_out(2, 1) < generalisation.held_out(8, 1)
    assert len(generalisation.held_out(16, 0)) == 16 and not generalisation.held_out(0, 0)
    assert generalisation.held_out(8, 0) != generalisation.held_out(8, 1)
    with pytest.raises(ValueError, match="count: expected 0 to 32, got 33"):
        generalisation.held_out(33, 0)


def test_what_a_question_is_about_includes_its_answer():
    world = generate("iid", "test", 200, 4, generalisation.WORLD_FAMILIES)
    there, asked = generalisation.scene_pairs(world), generalisation.asked_pairs(world)
    met = 0
    for i, (program, pairs) in enumerate(zip(world.programs, asked)):
        if program.family in ("colour", "shape") and pairs:
            assert pairs <= there[world.scene_index[i]]  # the object that it asks about is there
            met += 1
    assert met > 50


def test_training_data_have_no_held_out_combination():
    pairs = generalisation.held_out(16, 3)
    data = generalisation.without(pairs, scenes=40, seed=3)
    assert len(data.images) == 40
    clean = set()
    world = generate(
        "iid", "train", int(40 / max(0.02, 0.5**3.5)), 4, generalisation.WORLD_FAMILIES, 3
    )
    for image, there in zip(world.images, generalisation.scene_pairs(world)):
        if not there & pairs:
            clean.add(image.tobytes())
    assert all(image.numpy().tobytes() in clean for image in data.images)
    for colour, shape in pairs:
        assert not any(f"{colour} {shape}" in question for question in data.questions)


def test_new_and_seen_questions_share_nothing():
    parts = generalisation.test_of_pairs(generalisation.held_out(8, 0))
    assert set(parts) == {"new", "seen"} and min(len(p) for p in parts.values()) > 500
    assert set(generalisation.test_of_pairs(set())) == {"seen"}


def test_the_chance_of_new_questions_is_that_of_their_families():
    found = generalisation.chance_of_new((8,), scenes=300)[8]
    world = generate("iid", "test", 300, 4, generalisation.WORLD_FAMILIES)
    one_of = {"exists": 2, "colour": 8, "shape": 4}
    for seed, chance in zip(generalisation.SEEDS, found):
        pairs = generalisation.held_out(8, seed)
        new = [
            1 / one_of[p.family]
            for p, about in zip(world.programs, generalisation.asked_pairs(world))
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
    monkeypatch.setattr(generalisation, "FIT", generalisation.FitConfig(epochs=1))
    rows = generalisation.run_pairs(8, 0)
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

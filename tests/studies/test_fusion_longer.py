"""Pairs of questions, and the run behind lesson 05: is a joint model only later?"""

from pathlib import Path

import numpy as np
import pytest

from course_utils.datasets.world_vqa import WORLD_FAMILIES
from course_utils.methods.answering import FUSIONS
from course_utils.studies import fusion_longer
from course_utils.studies.fusion_longer import PAIRED, PASSES, STUDY, pair_questions, run
from course_utils.studies.runs import read_runs
from course_utils.world import ask, generate

DATA = Path(__file__).resolve().parents[2] / "data"


def test_every_run_is_there_once():
    runs = read_runs(DATA / "studies" / "fusion_longer.json")
    wanted = list(STUDY.settings(STUDY.seeds, []))
    assert [(r["fusion"], r["seed"]) for r in runs] == [(w["fusion"], w["seed"]) for w in wanted]
    for r in runs:
        assert r["fusion"] in FUSIONS
        assert len(r["validation"]) == PASSES + 1
        assert all(len(r["validation_pairs"][f]) == PASSES + 1 for f in PAIRED)
        assert all(0 <= r[part][f] <= 1 for part in ("test", "pairs") for f in PAIRED)


@pytest.mark.parametrize("family", PAIRED)
def test_a_pair_asks_about_two_objects_of_one_scene_with_different_answers(family):
    drawn = generate("iid", "test", 60, 4, WORLD_FAMILIES, 3)
    pairs = pair_questions(drawn, family, 1)
    assert len(pairs.questions) % 2 == 0 and len(pairs.questions) > 20
    scenes, answers = (a.reshape(-1, 2) for a in (pairs.scene_index, pairs.answers))
    assert (scenes[:, 0] == scenes[:, 1]).all() and len(set(scenes[:, 0])) == len(scenes)
    assert (answers[:, 0] != answers[:, 1]).all()
    for question, i, answer in zip(pairs.questions, pairs.scene_index, pairs.answers, strict=True):
        assert ask(question, drawn.scenes, i) == pairs.answer_names[answer]
    values = getattr(drawn.scenes, family)  # a scene without a pair has one value, or no such names
    assert all(len(np.unique(values[i][values[i] >= 0])) > 1 for i in scenes[:, 0])
    again, other = pair_questions(drawn, family, 1), pair_questions(drawn, family, 2)
    assert pairs.questions == again.questions != other.questions


def test_a_family_without_pairs_is_named():
    with pytest.raises(ValueError, match=r"colour, shape, got 'count'"):
        pair_questions(generate("iid", "test", 5), "count")


def test_a_short_run_repeats(monkeypatch):
    whole, many = fusion_longer.world_data, fusion_longer.generate
    monkeypatch.setattr(fusion_longer, "world_data", lambda part, scenes: whole(part, 40))
    monkeypatch.setattr(
        fusion_longer, "generate", lambda split, part, scenes, *rest: many(split, part, 40, *rest)
    )
    found = run("late", 0, passes=2, max_steps=2)
    assert found == run("late", 0, passes=2, max_steps=2)
    assert len(found["validation"]) == len(found["validation_pairs"]["shape"]) == 2

"""Hard expressions: each names one object, and place, names or the second object alone don't."""

import numpy as np
import pytest

from course_utils.world import compose
from course_utils.world.expressions import (
    FAR,
    KINDS,
    NEAR,
    exchanged_anchors,
    meanings,
    phrases,
    refer,
    refer_to_pairs,
    say_again,
)
from course_utils.world.generate import HELD_OUT, generate
from course_utils.world.questions import APART

SCENE = compose(
    [
        ("small", "red", "circle", 10, 10),
        ("small", "blue", "circle", 54, 54),
        ("large", "teal", "cross", 32, 14),
        ("large", "gray", "square", 40, 34),
    ]
)


def test_phrases_say_what_they_fit():
    known = {" ".join(said.values()): fits for said, fits in phrases(SCENE, 0)}
    assert known["circle"] == (0, 1) and known["red circle"] == (0,) and known["large"] == (2, 3)
    assert known["small blue circle"] == (1,) and "blue square" not in known


def test_the_meanings_of_a_scene():
    found = {
        (m.kind, " ".join(m.said.values()), m.relation, m.anchor): m for m in meanings(SCENE, 0)
    }
    assert found["name", "red circle", "", -1].column == 0
    side = found["side", "circle", "left", 2]
    assert side.column == 0 and side.fits == (0, 1) and not side.decoy
    near = found["near", "circle", "near", 2]
    assert near.column == 0 and near.decoy  # the square is nearer to the cross
    assert found["near", "circle", "near", 3].column == 1
    # both circles are neither left nor right enough, or on both sides
    assert ("side", "circle", "right", 0) not in found


@pytest.fixture(scope="module")
def drawn():
    return refer("train", 96, KINDS, seed=3)


def told(scenes, i, k):
    return scenes.describe(i)[k][:3]


def test_every_expression_means_one_object_only(drawn):
    assert len(drawn) == 96 and [o.kind for o in drawn.said].count("near") == 32
    for i, one in enumerate(drawn.said):
        words = set(one.noun.split()) - {"object"}
        columns = range(int(drawn.scenes.count[i]))
        fits = tuple(k for k in columns if words <= set(told(drawn.scenes, i, k)))
        assert fits == one.fits and one.column in fits
        cx, cy = drawn.scenes.cx[i], drawn.scenes.cy[i]
        if one.kind == "name":
            assert len(fits) == 1 and one.text == f"the {one.noun}"
            continue
        assert len(fits) > 1 and one.anchor not in fits
        last = set(one.text.split(" the ")[1].split()) - {"object"}
        assert [k for k in columns if last <= set(told(drawn.scenes, i, k))] == [one.anchor]
        dx, dy = cx - cx[one.anchor], cy - cy[one.anchor]
        if one.kind == "near":
            away = np.hypot(dx, dy)
            assert away[one.column] <= NEAR
            assert all(away[k] >= FAR for k in fits if k != one.column)
        else:
            word = next(w for w in ("left", "right", "above", "below") if w in one.text.split())
            away = {"left": -dx, "right": dx, "above": -dy, "below": dy}[word]
            assert [k for k in fits if away[k] >= APART] == [one.column]
            assert max(fits, key=lambda k: away[k]) == one.column  # the second object isn't needed


def test_half_of_the_relations_have_a_decoy(drawn):
    for kind in ("side", "near"):
        assert sum(o.decoy for o in drawn.said if o.kind == kind) == 16


def test_every_near_has_a_partner_that_means_another(drawn):
    near = refer("test", 24, ("near",))
    other = exchanged_anchors(near)
    changed = [(a, b) for a, b in zip(near.said, other.said) if a.text != b.text]
    assert len(changed) >= 20
    for one, partner in changed:
        assert one.noun == partner.noun and one.column != partner.column
    with pytest.raises(ValueError, match="got 'name'"):
        exchanged_anchors(refer("test", 3, ("name",)))


def test_other_words_for_the_same_scenes():
    given = refer("train", 12, KINDS, seed=8)
    for other in say_again(given, 3, seed=1):
        assert other.scenes is given.scenes
        for i, (one, again) in enumerate(zip(given.said, other.said)):
            assert (one.kind, one.decoy) == (again.kind, again.decoy)
            words = set(again.noun.split()) - {"object"}
            assert words <= set(told(given.scenes, i, again.column))
    assert say_again(given, 2, 1)[0].texts != given.texts
    with pytest.raises(ValueError, match="expected at least 1, got 0"):
        say_again(given, 0)


def test_without_the_last_words_place_does_not_tell_which():
    near = refer("train", 60, ("near",), seed=6)
    for i, one in enumerate(near.said):
        partners = [m for m in meanings(near.scenes, i) if m.kind == "near" and m.fits == one.fits]
        assert len({m.column for m in partners}) == 2 and len({m.decoy for m in partners}) == 1


def test_the_same_arguments_give_the_same_and_parts_differ():
    one, two = (refer("train", 12, ("name", "side"), seed=5) for _ in range(2))
    assert one.texts == two.texts and one.scenes.keys() == two.scenes.keys()
    assert (one.boxes == two.boxes).all() and one.wanted.shape == (12, 4)
    other = refer("test", 12, ("name", "side"), seed=5)
    assert not set(one.scenes.keys()) & set(other.scenes.keys())
    assert not set(one.scenes.texture) & set(other.scenes.texture)


def test_new_pairs_are_those_that_training_never_shows():
    held = {" ".join(pair) for pair in HELD_OUT}
    assert all(text.removeprefix("the ") in held for text in refer_to_pairs(20, True).texts)
    assert not any(text.removeprefix("the ") in held for text in refer_to_pairs(20, False).texts)
    train = refer("train", 60, ("name",), split="composition")
    for i in range(60):
        assert not {" ".join(o[1:3]) for o in train.scenes.describe(i)} & held


def test_chinese_and_bad_arguments():
    assert any("旁边" in text for text in refer("train", 4, ("near",), language="zh").texts)
    for kinds in ((), "name", ("name", "colour")):
        with pytest.raises(ValueError, match="kinds: expected some of name, side, near"):
            refer("train", 3, kinds)
    with pytest.raises(ValueError, match="expected at least 1, got 0"):
        refer("train", 0)
    with pytest.raises(ValueError, match="part: expected one of"):
        refer("exam", 3)


def test_the_older_worlds_are_unchanged():
    world = generate("iid", "train", 20, 2)
    assert world.questions[0] and len(world.scenes) == 20

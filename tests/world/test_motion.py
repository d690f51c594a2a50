"""Clips of the world: frames, reverses, orders, and words about them that turn around."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from course_utils.world.language import LANGUAGES
from course_utils.world.motion import (
    DIRECTIONS,
    FRAMES,
    KINDS,
    both_ways,
    draw_clips,
    futures,
    random_orders,
    sample_clips,
    shuffle_frames,
)
from course_utils.world.motion_words import (
    ANSWERS,
    answer_in,
    clip_captions,
    every_sentence,
    in_turn,
    questions,
    same_way,
    way_of,
)

each = pytest.mark.parametrize("kind", KINDS)
OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up", "yes": "no", "no": "yes"}


@each
def test_a_clip_is_what_its_seed_says(kind):
    clips = sample_clips(kind, 6, seed=4)
    again, other = sample_clips(kind, 6, seed=4), sample_clips(kind, 6, seed=5)
    frames = draw_clips(clips)
    assert frames.shape == (6, FRAMES, 3, 64, 64) and frames.dtype == np.uint8
    assert (frames == draw_clips(again)).all() and (frames != draw_clips(other)).any()


@each
def test_the_reverse_holds_the_same_frames(kind):
    clips = sample_clips(kind, 5)
    frames, back = draw_clips(clips), draw_clips(clips.reversed())
    assert (back == frames[:, ::-1]).all()
    assert (draw_clips(both_ways(clips)) == np.concatenate([frames, back])).all()
    assert (frames[:, FRAMES // 2] == back[:, FRAMES // 2]).all()  # the middle one stays


@each
@pytest.mark.parametrize("frames", [2, 7, 12])
def test_objects_stay_inside_and_never_touch(kind, frames):
    clips = sample_clips(kind, 200, seed=1, frames=frames)
    for place in (clips.cx, clips.cy):
        assert place.shape[1] == frames and place.min() >= 9.9 and place.max() <= 54.1
    if kind != "direction":
        assert (np.abs(clips.cy[..., 0] - clips.cy[..., 1]) > 18).all()
        assert (clips.colour[:, 0] != clips.colour[:, 1]).all()


def test_each_object_flashes_in_one_frame_of_its_own():
    clips = sample_clips("first", 300, seed=2)
    assert (clips.shown.sum(1) == 1).all()  # each object once
    assert clips.shown.sum(2).max() == 1  # no two in a frame
    counts = clips.shown[:, :, 0].sum(0)
    assert counts.min() > 20  # every frame has its turn


def test_frames_can_be_taken_in_any_order_and_number():
    clips = sample_clips("direction", 3, seed=1)
    order = np.array([[0, 6, 6], [1, 2, 3], [6, 0, 3]])
    frames, chosen = draw_clips(clips), draw_clips(clips.in_order(order))
    for i in range(3):
        assert (chosen[i] == frames[i, order[i]]).all()
    with pytest.raises(ValueError, match=r"expected \(3, frames\), got \(2, 7\)"):
        clips.in_order(np.zeros((2, 7), int))
    with pytest.raises(ValueError, match="from 0 to 6"):
        clips.in_order(np.full((3, 2), 7))


def test_each_clip_is_shuffled_by_an_order_of_its_own():
    v = torch.arange(40 * 7).view(40, 7, 1).expand(40, 7, 3)
    shuffled = shuffle_frames(v, torch.Generator().manual_seed(0))
    assert (shuffled.sort(1).values == v).all()  # nothing lost, nothing from another clip
    assert (shuffled[..., 0] == shuffled[..., 2]).all()  # the rest of a frame stays together
    orders = {tuple(row) for row in (shuffled[..., 0] % 7).tolist()}
    assert len(orders) > 35
    one, other = (random_orders(4, 7, torch.Generator().manual_seed(s)) for s in (1, 1))
    assert torch.equal(one, other)
    with pytest.raises(ValueError, match="clips, frames"):
        shuffle_frames(torch.zeros(3), torch.Generator())


@each
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("forms", [1, 2])
def test_every_answer_turns_around_with_its_clip(kind, language, forms):
    clips = sample_clips(kind, 60, seed=3)
    there = questions(clips, 7, language, forms)
    back = questions(clips.reversed(), 7, language, forms)
    assert there.texts == back.texts
    for i, (a, b) in enumerate(zip(there.answers, back.answers)):
        one, other = ANSWERS[a], ANSWERS[b]
        if kind == "first":
            colours = {answer_in("en", 6 + c) for c in clips.colour[i]}
            assert {one, other} == colours
        else:
            assert OPPOSITE[one] == other


@each
def test_both_languages_ask_and_answer_the_same(kind):
    clips = sample_clips(kind, 30)
    answers = [questions(clips, 1, language).answers for language in LANGUAGES]
    assert (answers[0] == answers[1]).all()
    assert len(set(map(answer_in, ["zh"] * len(ANSWERS), range(len(ANSWERS))))) == len(ANSWERS)


def test_one_form_is_always_the_same_and_two_are_balanced():
    clips = sample_clips("first", 400)
    assert set(questions(clips, forms=1).texts) == {"which colour comes first?"}
    last = sum("last" in text for text in questions(clips, forms=2).texts)
    assert 160 < last < 240
    which = sample_clips("which", 40)
    assert all(text.endswith("move right?") for text in questions(which, forms=1).texts)
    with pytest.raises(ValueError, match="expected 1 or 2, got 3"):
        questions(clips, forms=3)


def test_answers_are_what_is_drawn():
    """The centre of the asked colour in the pictures, against the answer."""
    clips = sample_clips("direction", 40, seed=9)
    clips = replace(clips, ground=np.zeros_like(clips.ground))
    frames = draw_clips(clips).astype(float)
    for i in range(40):
        apart = np.abs(frames[i] - frames[i, :, :, :1, :1]).sum(1) > 60  # (7, 64, 64) not ground
        y0, x0 = (axis.mean() for axis in apart[0].nonzero())
        y1, x1 = (axis.mean() for axis in apart[-1].nonzero())
        way = way_of(clips, i)
        dx, dy = DIRECTIONS[way]
        assert (x1 - x0) * dx + (y1 - y0) * dy > 12


def test_the_first_frame_does_not_tell_the_direction():
    """Most objects begin where both directions are possible."""
    clips = sample_clips("which", 4000, seed=5)
    begin, right = clips.cx[:, 0].ravel(), (clips.cx[:, -1] > clips.cx[:, 0]).ravel()
    both = (begin > begin[~right].min()) & (begin < begin[right].max())
    assert 0.38 < both.mean() < 0.48  # 12 of 28 pixels
    best = np.where(both, 0.5, 1.0).mean()
    assert abs(best - (1 - 12 / 56)) < 0.02


def test_captions_name_what_moves_and_what_comes_first():
    clips = sample_clips("which", 50, seed=2)
    for i, text in enumerate(clip_captions(clips)):
        upper = int(clips.cy[i, 0].argmin())
        assert f"moves {way_of(clips, i, upper)} and" in text
    first = sample_clips("first", 50, seed=2)
    for text, back in zip(clip_captions(first), clip_captions(first.reversed())):
        one, other = text.removesuffix(" comes last").split(" comes first and ")
        assert back == f"{other} comes first and {one} comes last"
    assert "，" in clip_captions(clips, "zh")[0] and "先出现" in clip_captions(first, "zh")[0]


@each
def test_every_word_is_listed(kind):
    clips = both_ways(sample_clips(kind, 100))
    for language in LANGUAGES:
        known = " ".join(every_sentence(language))
        for text in [*clip_captions(clips, language), *questions(clips, 0, language).texts]:
            for word in text if language == "zh" else text.split():
                assert word in known


def test_all_futures_begin_alike():
    found = futures(8, seed=1)
    frames = {way: draw_clips(clips) for way, clips in found.items()}
    for way, pictures in frames.items():
        assert (pictures[:, 0] == frames["left"][:, 0]).all()
        assert all(way_of(found[way], i) == way for i in range(8))
    assert (frames["left"][:, 1] != frames["right"][:, 1]).any()


def test_what_does_not_fit_is_named():
    clips = sample_clips("which", 3)
    with pytest.raises(ValueError, match="expected one of direction, which, first, got 'jump'"):
        sample_clips("jump", 3)
    with pytest.raises(ValueError, match="two or more, got 1"):
        sample_clips("which", 3, frames=1)
    with pytest.raises(ValueError, match=r"ground: expected shape \(3,\), got \(2,\)"):
        replace(clips, ground=clips.ground[:2])
    with pytest.raises(ValueError, match="expected one of direction"):
        replace(clips, kind="jump")
    with pytest.raises(ValueError, match="'which', got 'first'"):
        same_way(sample_clips("first", 2))
    with pytest.raises(ValueError, match="doesn't"):
        way_of(sample_clips("first", 2), 0)
    with pytest.raises(ValueError, match="language"):
        clip_captions(clips, "fr")
    assert sorted(in_turn(sample_clips("first", 1), 0)) == [0, 1]
    assert len(clips.select(np.array([True, False, True]))) == 2

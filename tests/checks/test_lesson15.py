"""Lesson 15's exercises: right answers written in another way pass, wrong ones are told why."""

import re

import pytest
import torch

from course_utils.checks import check
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson15 import EXERCISES, _over_time


def bound_by_loop(forwards, backwards):
    right = 0
    for a, b in zip(forwards, backwards):
        right += 2 if a == b else 1
    return torch.tensor(right / (len(forwards) + len(backwards)))


def bound_by_share(forwards, backwards):
    differ = sum(a != b for a, b in zip(forwards, backwards))
    return 1 - differ / len(forwards) / 2


def reorder_by_loop(v, order):
    return torch.stack([clip[row] for clip, row in zip(v, order)])


def reorder_by_gather(v, order):
    index = order.view(*order.shape, *[1] * (v.ndim - 2)).expand(*order.shape, *v.shape[2:])
    return v.gather(1, index)


def difference_by_lists(v):
    frames = [v[:, t] for t in range(v.shape[1])]
    half = len(frames) // 2
    return (sum(frames[-half:]) - sum(frames[:half])) / half


def difference_by_weights(v):
    half = v.shape[1] // 2
    weights = torch.zeros(v.shape[1])
    weights[:half], weights[v.shape[1] - half :] = -1 / half, 1 / half
    return torch.einsum("t,btpd->bpd", weights, v)


def over_time_by_patches(h, attend):
    return torch.stack([attend(h[:, :, p]) for p in range(h.shape[2])], dim=2)


def over_time_by_permute(h, attend):
    b, t, p, d = h.shape
    rows = h.permute(0, 2, 1, 3).reshape(b * p, t, d)
    return attend(rows).reshape(b, p, t, d).permute(0, 2, 1, 3)


def blur_by_sums(futures):
    middle = sum(futures) / len(futures)
    return [middle, sum(((f - middle) ** 2).mean() for f in futures).item() / len(futures)]


def blur_by_variance(futures):
    return futures.mean(0), futures.var(0, unbiased=False).mean()


def in_time_by_padding(names):
    return sorted(names, key=lambda n: re.sub(r"\d+", lambda m: m[0].zfill(9), n))


def in_time_by_numbers(names):
    return tuple(sorted(names, key=lambda n: [int(d) for d in re.findall(r"\d+", n)]))


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("15.1", bound_by_loop),
        ("15.1", bound_by_share),
        ("15.2", "D"),
        ("15.2", "(d)"),
        ("15.3", reorder_by_loop),
        ("15.3", reorder_by_gather),
        ("15.4", difference_by_lists),
        ("15.4", difference_by_weights),
        ("15.5", over_time_by_patches),
        ("15.5", over_time_by_permute),
        ("15.6", [1024**2, 81920]),
        ("15.6", torch.tensor([1048576, 81920])),
        ("15.7", 0),
        ("15.7", 51.5),
        ("15.8", 0.75),
        ("15.8", torch.tensor(75)),
        ("15.9", blur_by_sums),
        ("15.9", blur_by_variance),
        ("15.10", in_time_by_padding),
        ("15.10", in_time_by_numbers),
        ("15.11", 80.0),
        ("15.11", 100 * 24 / 30),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "15.1": [
        "both of a pair can be right",
        "one of their two can be right",
        "both can be right",
        "is right, not none",
        "the same answer",
        "give each pair its own",
    ],
    "15.2": ["change places", "as a set", "from both ends"],
    "15.3": [
        "the first one",
        "not the time",
        "changed places too",
        "orders of all clips",
        "old order",
        "axis of size 1",
        "name the clip too",
        "as many axes as",
    ],
    "15.4": [
        "counted as late",
        "counted as early",
        "in both",
        "The sign",
        "the last and the first",
        "Those are sums",
        "Frames are axis 1",
        "over the frames only",
    ],
    "15.5": [
        "over space",
        "joint attention",
        "holds several patches",
        "exchanged again",
        "still exchanged",
        "different clips",
    ],
    "15.6": [
        "for one token",
        "64 rows of time",
        "attend to each other",
        "over time too",
        "exchanged",
    ],
    "15.8": [
        "no guess is needed",
        "no guess is needed",
        "which one is asked for",
        "which one is asked for",
        "share of wrong answers",
        "share of wrong answers",
    ],
    "15.9": [
        "first future only",
        "one less",
        "not to their mean",
        "not averaged",
        "prediction first, then its error",
        "mean over them too",
        "the root",
        "Square them",
        "mean of its own",
        "the median",
    ],
    "15.10": [
        "before '2'",
        "equal length",
        "weren't sorted",
        "later ones count",
        "joined into one",
        "the first one counts",
        "but backwards",
    ],
    "15.11": ["that is seen", "In per cent", "left out"],
}


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=f"(?i){NAMED[number][i]}"):
        check(number, wrong)


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_no_other_reason_is_given(number, i, monkeypatch, capsys):
    """Where two mistakes looked alike on all cases, a learner would be told both."""
    wrong, reason = EXERCISES[number].mistakes[i]
    check(number, wrong)
    said = capsys.readouterr().out
    others = [why for _, why in EXERCISES[number].mistakes if why and why != reason]
    assert reason in said and not any(why in said for why in others)


def test_every_known_mistake_is_tried_above():
    for number, exercise in EXERCISES.items():
        if number != "15.7":
            assert len(exercise.mistakes) == len(NAMED[number]) >= 3


@pytest.mark.parametrize("guess", [-1, 101, "few", True, 0.5])
def test_a_prediction_must_be_a_possible_number(guess):
    with pytest.raises(Feedback):
        EXERCISES["15.7"].test(guess)


def test_answers_of_another_kind_are_named():
    with pytest.raises(Feedback, match="two things"):
        EXERCISES["15.9"].test(lambda futures: futures.mean(0))
    with pytest.raises(Feedback, match="expected a list of names"):
        EXERCISES["15.10"].test(lambda names: 3)
    with pytest.raises(Feedback, match="other ones came back"):
        EXERCISES["15.10"].test(lambda names: names[:1])
    with pytest.raises(Feedback, match=r"takes \(rows, positions, dim\)"):
        EXERCISES["15.5"].test(lambda h, attend: attend(h))
    with pytest.raises(Feedback, match="changes its input"):
        EXERCISES["15.3"].test(lambda v, order: v.mul_(2))


def test_attention_over_time_is_the_package_s():
    h = torch.randn(2, 5, 3, 4)
    assert torch.allclose(over_time_by_patches(h, torch.sigmoid), _over_time(h, torch.sigmoid))

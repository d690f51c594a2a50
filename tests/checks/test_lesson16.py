"""Lesson 16's exercises: right answers written in another way pass, wrong ones are told why."""

from itertools import permutations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import box_iou, generalized_box_iou

from course_utils.checks import check
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson16 import EXERCISES
from course_utils.methods.following import link
from course_utils.objectives.boxes import box_loss, to_centres


def iou_by_sides(a, b):
    left, top, right, bottom = a.unbind(-1)
    left2, top2, right2, bottom2 = b.unbind(-1)
    wide = (torch.minimum(right, right2) - torch.maximum(left, left2)).clip(0)
    high = F.relu(torch.minimum(bottom, bottom2) - torch.maximum(top, top2))
    both = wide * high
    return both / ((right - left) * (bottom - top) + (right2 - left2) * (bottom2 - top2) - both)


def iou_by_torchvision(a, b):
    a, b = torch.broadcast_tensors(a, b)
    shape = a.shape[:-1]
    return box_iou(a.reshape(-1, 4), b.reshape(-1, 4)).diagonal().reshape(shape)


def giou_by_torchvision(a, b):
    a, b = torch.broadcast_tensors(a, b)
    shape = a.shape[:-1]
    return generalized_box_iou(a.reshape(-1, 4), b.reshape(-1, 4)).diagonal().reshape(shape)


def giou_by_stacking(a, b):
    both = torch.stack(torch.broadcast_tensors(a, b))
    around = (both[..., 2:].max(0).values - both[..., :2].min(0).values).prod(-1)
    inner = (both[..., 2:].min(0).values - both[..., :2].max(0).values).relu().prod(-1)
    union = (both[..., 2:] - both[..., :2]).prod(-1).sum(0) - inner
    return inner / union + union / around - 1


def loss_by_loop(scores, boxes, box):
    side, total = int(scores.shape[1] ** 0.5 + 0.5), 0.0
    for row, given, want in zip(scores, boxes, box):
        x, y = to_centres(want)[:2].tolist()
        place = min(int(y * side), side - 1) * side + min(int(x * side), side - 1)
        total = total - row.log_softmax(0)[place] + box_loss(given[place], want)
    return total / len(box)


def loss_by_one_hot(scores, boxes, box):
    side = round(scores.shape[1] ** 0.5)
    middle = (box[:, :2] + box[:, 2:]) / 2
    x, y = (middle * side).floor().clamp(max=side - 1).T
    hot = F.one_hot((y * side + x).long(), side * side).float()
    given = (boxes * hot[..., None]).sum(1)
    return F.cross_entropy(scores, hot) + box_loss(given, box).sum() / len(box)


def look_by_loop(patches, words, mask):
    rows = []
    for p, w, m in zip(patches, words, mask):
        known = w[m]
        rows.append((p @ known.T / w.shape[1] ** 0.5).softmax(-1) @ known)
    return torch.stack(rows)


def look_by_dividing(patches, words, mask):
    scores = torch.einsum("bpd,bwd->bpw", patches, words) / words.shape[-1] ** 0.5
    weights = scores.exp() * mask[:, None].float()
    return weights / weights.sum(-1, keepdim=True) @ words


def match_by_torch(cost):
    ways = torch.tensor(list(permutations(range(len(cost)), cost.shape[1])))
    return ways[cost.T.gather(1, ways.T).sum(0).argmin()]


def match_by_loop(cost):
    least, best = float("inf"), ()
    for way in permutations(range(cost.shape[0]), cost.shape[1]):
        total = sum(float(cost[i][j]) for j, i in enumerate(way))
        if total < least:
            least, best = total, way
    return best


def links_by_package(expected, boxes, least):
    from course_utils.evaluation.track_metrics import box_iou as overlaps

    score = overlaps(expected, boxes)
    return link(np.where(score < least, 0, score))


def links_by_trying(expected, boxes, least):
    from course_utils.evaluation.track_metrics import box_iou as overlaps

    score = overlaps(expected, boxes)
    best, found = -1.0, set()
    n, m = score.shape
    for way in permutations(list(range(m)) + [-1] * n, n):
        pairs = {(i, j) for i, j in enumerate(way) if j >= 0 and score[i, j] >= least}
        total = sum(score[i, j] for i, j in pairs)
        if total > best:
            best, found = total, pairs
    return found


def idf1_by_trying(agree, true_count, given_count):
    table = agree if agree.shape[0] <= agree.shape[1] else agree.T
    rows = range(table.shape[0])
    best = max(
        sum(table[i, j] for i, j in zip(rows, way))
        for way in permutations(range(table.shape[1]), table.shape[0])
    )
    return torch.tensor(best / ((sum(true_count) + sum(given_count)) / 2))


def idf1_by_parts(agree, true_count, given_count):
    from scipy.optimize import linear_sum_assignment

    right = agree[linear_sum_assignment(agree, maximize=True)].sum()
    precision, recall = right / given_count.sum(), right / true_count.sum()
    return 2 * precision * recall / max(precision + recall, 1e-12)


def hota_by_loop(matches, true_count, given_count):
    total = matches.sum()
    parts = [
        m * m / (true_count[i] + given_count[j] - m)
        for (i, j), m in np.ndenumerate(matches)
        if m > 0
    ]
    if not parts:
        return 0
    det = total / (sum(true_count) + sum(given_count) - total)
    return (det * sum(parts) / total) ** 0.5


def hota_in_one_root(matches, true_count, given_count):
    either = np.add.outer(true_count, given_count) - matches
    boxes = true_count.sum() + given_count.sum() - matches.sum()
    return np.sqrt((matches**2 / either).sum() / boxes)


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("16.1", iou_by_sides),
        ("16.1", iou_by_torchvision),
        ("16.2", giou_by_torchvision),
        ("16.2", giou_by_stacking),
        ("16.3", "B"),
        ("16.3", " (b)"),
        ("16.4", loss_by_loop),
        ("16.4", loss_by_one_hot),
        ("16.5", look_by_loop),
        ("16.5", look_by_dividing),
        ("16.7", "C"),
        ("16.7", "c."),
        ("16.6", match_by_torch),
        ("16.6", match_by_loop),
        ("16.8", links_by_package),
        ("16.8", links_by_trying),
        ("16.9", [0.95, 0.5, 0.577]),
        ("16.9", torch.tensor([0.95, 0.50, 0.58])),
        ("16.10", idf1_by_trying),
        ("16.10", idf1_by_parts),
        ("16.12", hota_by_loop),
        ("16.12", hota_in_one_root),
        ("16.11", ["a", "b"]),
        ("16.11", ("a", "b")),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "16.1": [
        "two negative sides",
        "not the result",
        "take it off the sum once",
        "smaller box",
        "first box",
        "name their last pixel",
        "centre and size",
        "box around both",
    ],
    "16.2": [
        "not by the union",
        "you added it",
        "share that is covered",
        "itself is missing",
        "That is the overlap",
        "That is the loss",
        "take the overlap off once",
    ],
    "16.3": ["doesn't choose", "GIoU alone ends", "parabola"],
    "16.4": [
        "exchanged",
        "top left corner",
        "highest score",
        "all places",
        "loss of the box is missing",
        "cross-entropy of the place is missing",
        "sum over the batch",
        "probabilities",
    ],
    "16.5": [
        "mask isn't used",
        "don't add up to 1",
        "no small score",
        "word of zeros",
        "upside down",
        "root of dim",
    ],
    "16.7": ["already lie on an object", "objects are found", "the first one is high"],
    "16.6": [
        "cheapest pair first",
        "same candidate",
        "one after the other",
        "largest sum",
        "more candidates than objects",
        "each candidate its object",
    ],
    "16.8": [
        "hardly overlaps",
        "change the sign",
        "same detection",
        "largest overlap first",
        "kept better pairs apart",
        "as many pairs as possible",
        "infinite costs",
        "exactly `least`",
        "track comes first",
    ],
    "16.9": [
        "two switches, not one",
        "counts a switch once",
        "switches are missing",
        "one number only",
        "root is missing",
        "10 of 30",
        "isn't IDF1",
    ],
    "16.10": [
        "all agreements",
        "same given track",
        "factor 2",
        "true boxes count too",
        "given boxes count too",
        "smallest sum",
        "mean over tracks",
    ],
    "16.12": ["pairs of tracks", "root is missing", "off once", "geometric mean", "AssA alone"],
    "16.11": ["other way round", "two parcels", "doesn't matter who"],
}


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=f"(?i){NAMED[number][i]}"):
        check(number, wrong)


def test_every_known_mistake_is_tried_above():
    for number, exercise in EXERCISES.items():
        assert len(exercise.mistakes) == len(NAMED[number]) >= 3


def test_other_slips_are_told_what_was_seen():
    cases = {
        "16.1": (lambda a, b: iou_by_sides(a, b).mean(), "wrong shape"),
        "16.2": (lambda a, b: giou_by_stacking(a.detach(), b), "no gradient"),
        "16.4": (lambda s, p, b: loss_by_one_hot(s.detach(), p, b), "no gradient|scores"),
        "16.6": (lambda cost: [0] * cost.shape[1], "a candidate has two objects"),
        "16.8": (lambda e, b, least: 3, "expected pairs"),
        "16.10": (lambda *case: "half", "expected one number"),
    }
    for number, (answer, told) in cases.items():
        with pytest.raises(Feedback, match=told):
            EXERCISES[number].test(answer)


@pytest.mark.parametrize("number", sorted(EXERCISES))
def test_the_reference_passes_and_hints_differ(number):
    exercise = EXERCISES[number]
    exercise.test(exercise.reference)
    assert len(set(exercise.hints)) == 2 and exercise.minutes > 0

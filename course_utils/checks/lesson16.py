"""Lesson 16: finding and following what words name."""

import math
import operator
from itertools import permutations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

from course_utils.checks.feedback import Exercise, Feedback, call, choice, compare, kind
from course_utils.objectives.boxes import box_loss, giou, iou, to_centres, to_corners

# 16.1 intersection over union


def _iou_by(a, b, clamp=True, less_inner=True, over="union", edge=0.0):
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    sides = high - low + edge
    inner = (sides.clamp(min=0) if clamp else sides).prod(-1)
    size_a, size_b = ((x[..., 2:] - x[..., :2] + edge).prod(-1) for x in (a, b))
    if over == "smaller":
        return inner / torch.minimum(size_a, size_b)
    if over == "first":
        return inner / size_a
    return inner / (size_a + size_b - (inner if less_inner else 0))


def _no_clamp(a, b):
    return _iou_by(a, b, clamp=False)


def _clamped_late(a, b):
    return _iou_by(a, b, clamp=False).clamp(min=0)


def _counted_twice(a, b):
    return _iou_by(a, b, less_inner=False)


def _of_the_smaller(a, b):
    return _iou_by(a, b, over="smaller")


def _of_the_first(a, b):
    return _iou_by(a, b, over="first")


def _one_pixel_more(a, b):
    return _iou_by(a, b, edge=1.0)


def _centres_and_sizes(a, b):
    return iou(to_corners(a), to_corners(b))


def _around(a, b):
    low = torch.minimum(a[..., :2], b[..., :2])
    high = torch.maximum(a[..., 2:], b[..., 2:])
    inner = iou(a, b) * 0 + _inner(a, b)
    return inner / (high - low).prod(-1)


def _inner(a, b):
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    return (high - low).clamp(min=0).prod(-1)


def _box_pairs(seed=0):
    """Boxes that overlap, lie apart along one axis, along both, inside one another, touch, and are
    the same."""
    a = torch.tensor([[0.0, 0, 2, 2], [0, 0, 4, 3], [1, 1, 3, 5], [0, 0, 6, 4], [5, 2, 9, 4]])
    b = torch.tensor([[1.0, 1, 3, 3], [5, 4, 7, 9], [4, 2, 6, 3], [0, 0, 2, 2], [9, 2, 11, 4]])
    more = torch.rand(6, 2, 4, generator=torch.Generator().manual_seed(seed))
    more = torch.cat([more[..., :2], more[..., :2] + 0.1 + more[..., 2:]], -1)  # (6, 2, 4)
    a, b = torch.cat([a, more[:, 0], more[:1, 0]]), torch.cat([b, more[:, 1], more[:1, 0]])
    return a, b  # (12, 4) each


def _test_iou(function):
    a, b = _box_pairs()
    compare(call(function, a, b), iou(a, b), "the IoU of 12 pairs of boxes")
    a, b = a.reshape(3, 4, 4), b.reshape(3, 4, 4)
    compare(call(function, a, b), iou(a, b), "the IoU of boxes (3, 4, 4)")
    compare(call(function, a[0, 0], b[0, 0]), iou(a[0, 0], b[0, 0]), "the IoU of one pair (4,)")
    _test_broadcast(function, iou, "IoU")
    moved = a[0].clone().requires_grad_()
    got = call(function, moved, b[0])
    if not isinstance(got, torch.Tensor) or not got.requires_grad:
        raise Feedback("no gradient arrives at the first box: use tensor operations only.")


def _test_broadcast(function, measure, name):
    """The lesson compares each box with each, and one with several."""
    a, b = _box_pairs()
    for one, other, what in (
        (a[:3, None], b, "boxes (3, 1, 4) with boxes (12, 4)"),
        (a[0], b[:5], "one box (4,) with boxes (5, 4)"),
        (a[0], b[0], "one pair (4,)"),
    ):
        what = f"the {name} of {what}"
        try:
            got = call(function, one, other)
        except (IndexError, RuntimeError, ValueError) as error:
            first = str(error).splitlines()[0]
            raise Feedback(
                f"{what}: it raised {type(error).__name__}: {first}. The lesson needs these shapes "
                "too: they are broadcast, and `...` stands for any axes before the last one."
            ) from error
        compare(got, measure(one, other), what)


# 16.2 generalised IoU


def _giou(a, b):
    return giou(a, b)


def _giou_of_union(a, b):
    around = _hull(a, b)
    union = _union(a, b)
    return iou(a, b) - (around - union) / union


def _hull(a, b):
    low, high = torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])
    return (high - low).prod(-1)


def _union(a, b):
    size_a, size_b = ((x[..., 2:] - x[..., :2]).prod(-1) for x in (a, b))
    return size_a + size_b - _inner(a, b)


def _plus_gap(a, b):
    around = _hull(a, b)
    return iou(a, b) + (around - _union(a, b)) / around


def _covered(a, b):
    return iou(a, b) - _union(a, b) / _hull(a, b)


def _gap_alone(a, b):
    around = _hull(a, b)
    return -(around - _union(a, b)) / around


def _hull_is_inner(a, b):
    around = _inner(a, b)
    return iou(a, b) - (around - _union(a, b)) / around.clamp(min=1e-6)


def _as_loss(a, b):
    return 1 - giou(a, b)


def _areas_added(a, b):
    around = _hull(a, b)
    return iou(a, b) - (around - _union(a, b) - _inner(a, b)) / around


def _test_giou(function):
    a, b = _box_pairs(1)
    compare(call(function, a, b), giou(a, b), "the GIoU of 12 pairs of boxes")
    _test_broadcast(function, giou, "GIoU")
    for one, other in ((a, b), (b, a)):
        moved = one.clone().requires_grad_()
        got = function(moved, other)
        if not isinstance(got, torch.Tensor) or not got.requires_grad:
            raise Feedback("no gradient arrives at the first box: use tensor operations only.")
        (found,) = torch.autograd.grad(got[1:3].sum(), moved)
        true = one.clone().requires_grad_()
        (want,) = torch.autograd.grad(giou(true, other)[1:3].sum(), true)
        compare(found, want, "the gradient of the GIoU of boxes that lie apart")


# 16.4 what a locator learns by


def _locate_loss(scores, boxes, box):
    side = round(scores.shape[1] ** 0.5)
    cell = (to_centres(box)[:, :2] * side).long().clamp(0, side - 1)  # (batch, 2)
    place = cell[:, 1] * side + cell[:, 0]  # (batch,)
    given = boxes[torch.arange(len(box)), place]  # (batch, 4)
    return F.cross_entropy(scores, place) + box_loss(given, box).mean()


def _loss_by(scores, boxes, box, swap=False, corner=False, given="place", parts="both"):
    side = round(scores.shape[1] ** 0.5)
    point = box[:, :2] if corner else to_centres(box)[:, :2]
    cell = (point * side).long().clamp(0, side - 1)
    place = cell[:, 0] * side + cell[:, 1] if swap else cell[:, 1] * side + cell[:, 0]
    rows = torch.arange(len(box))
    at = {"place": place, "best": scores.argmax(1), "first": torch.zeros_like(place)}
    if given == "all":
        of_boxes = box_loss(boxes, box[:, None]).mean()
    else:
        of_boxes = box_loss(boxes[rows, at[given]], box).mean()
    of_places = F.cross_entropy(scores, place)
    return {"both": of_places + of_boxes, "places": of_places, "boxes": of_boxes}[parts]


def _rows_and_columns(scores, boxes, box):
    return _loss_by(scores, boxes, box, swap=True)


def _top_left_corner(scores, boxes, box):
    return _loss_by(scores, boxes, box, corner=True)


def _box_of_the_best(scores, boxes, box):
    return _loss_by(scores, boxes, box, given="best")


def _every_box(scores, boxes, box):
    return _loss_by(scores, boxes, box, given="all")


def _places_only(scores, boxes, box):
    return _loss_by(scores, boxes, box, parts="places")


def _boxes_only(scores, boxes, box):
    return _loss_by(scores, boxes, box, parts="boxes")


def _summed(scores, boxes, box):
    return _locate_loss(scores, boxes, box) * len(box)


def _on_probabilities(scores, boxes, box):
    return _loss_by(scores.softmax(1), boxes, box)


def _locate_case(seed, batch=5, side=4):
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape):
        corner = 0.8 * torch.rand(*shape, 2, generator=generator)
        return torch.cat([corner, corner + 0.05 + 0.15 * torch.rand(*shape, 2)], -1)

    scores = 2 * torch.randn(batch, side * side, generator=generator)
    return scores, drawn(batch, side * side), drawn(batch)


def _loss_of(function, case, what):
    try:
        return call(function, *case)
    except IndexError as error:
        n = case[0].shape[1]
        raise Feedback(f"{what}: a place beyond the {n} of the grid was asked for.") from error


def _test_locate_loss(function):
    for seed, batch, side in ((0, 12, 4), (1, 1, 4), (2, 6, 3)):
        case = _locate_case(seed, batch, side)
        what = f"the loss of {batch} expressions on a grid of {side} x {side}"
        compare(_loss_of(function, case, what), _locate_loss(*case), what)
    edge = list(_locate_case(3, 4))
    # right below, left above, right in the second row, and on a border of two places
    middles = torch.tensor([[1.0, 1.0], [0.05, 0.05], [1.0, 0.375], [0.25, 0.5]])
    edge[2] = torch.cat([middles - 0.0625, middles + 0.0625], 1)
    what = "the loss of boxes whose centres are at the very edge, share 1, or between two places"
    compare(_loss_of(function, edge, what), _locate_loss(*edge), what)
    scores, boxes, box = _locate_case(4)
    scores.requires_grad_()
    boxes.requires_grad_()
    found = torch.autograd.grad(function(scores, boxes, box), (scores, boxes), allow_unused=True)
    want = torch.autograd.grad(_locate_loss(scores, boxes, box), (scores, boxes))
    for got, right, name in zip(found, want, ("scores", "boxes")):
        if got is None:
            raise Feedback(f"no gradient arrives at the {name}.")
        compare(got, right, f"the gradient with respect to the {name}")


# 16.5 padded words


def _look(patches, words, mask):
    scores = patches @ words.transpose(1, 2) / math.sqrt(words.shape[2])  # (b, p, w)
    weights = scores.masked_fill(~mask[:, None], -torch.inf).softmax(-1)  # (b, p, w)
    return weights @ words  # (b, p, dim)


def _look_by(patches, words, mask, when="none", scale=True):
    scores = patches @ words.transpose(1, 2) / (math.sqrt(words.shape[2]) if scale else 1)
    if when == "upside down":
        scores = scores.masked_fill(mask[:, None], -torch.inf)
    if when == "zero scores":
        scores = scores * mask[:, None]
    weights = scores.softmax(-1)
    if when == "after":
        weights = weights * mask[:, None]
    if when == "zero words":
        words = words * mask[..., None]
        weights = (patches @ words.transpose(1, 2) / math.sqrt(words.shape[2])).softmax(-1)
    return weights @ words


def _no_mask(patches, words, mask):
    return _look_by(patches, words, mask)


def _mask_after(patches, words, mask):
    return _look_by(patches, words, mask, "after")


def _zero_scores(patches, words, mask):
    return _look_by(patches, words, mask, "zero scores")


def _zero_words(patches, words, mask):
    return _look_by(patches, words, mask, "zero words")


def _upside_down(patches, words, mask):
    return _look_by(patches, words, mask, "upside down")


def _unscaled(patches, words, mask):
    scores = patches @ words.transpose(1, 2)
    return scores.masked_fill(~mask[:, None], -torch.inf).softmax(-1) @ words


def _test_look(function):
    generator = torch.Generator().manual_seed(5)
    patches = torch.randn(3, 6, 8, generator=generator)
    words = torch.randn(3, 5, 8, generator=generator)
    mask = torch.arange(5) < torch.tensor([[5], [2], [1]])  # (3, 5)
    want = _look(patches, words, mask)
    compare(call(function, patches, words, mask), want, "what the patches see of the words")
    alone = call(function, patches[1:2], words[1:2, :2], mask[1:2, :2])
    compare(alone, want[1:2], "the same expression alone, without padding")


# 16.6 the best assignment


def _best(cost):
    table = np.asarray(cost, float)
    rows, columns = linear_sum_assignment(table.T)
    return [int(i) for i in columns[rows.argsort()]]


def _greedy(cost):
    left = np.array(cost.tolist(), float)
    out = [0] * left.shape[1]
    for _ in range(left.shape[1]):
        i, j = np.unravel_index(left.argmin(), left.shape)
        out[j] = int(i)
        left[i], left[:, j] = np.inf, np.inf
    return out


def _each_its_best(cost):
    return np.asarray(cost, float).argmin(0).tolist()


def _in_turn(cost):
    table, out = np.array(cost.tolist(), float), []
    for j in range(table.shape[1]):
        i = int(table[:, j].argmin())
        table[i] = np.inf
        out.append(i)
    return out


def _most_expensive(cost):
    return _best(-np.asarray(cost, float))


def _first_ones_only(cost):
    table = np.asarray(cost, float)
    return _best(table[: table.shape[1]])


def _object_of_candidate(cost):
    table = np.asarray(cost, float)
    _rows, columns = linear_sum_assignment(table)
    return [int(j) for j in columns]


def _test_match(function):
    tables = [
        [[3.0, 4.0, 3.0], [5.0, 8.0, 7.5], [6.0, 4.5, 1.0], [4.0, 7.0, 7.0]],
        [[0.0, 1.0], [1.0, 9.0]],
        [[1.0, 3.0], [2.0, 8.0], [4.0, 9.0]],
        [[5.0, 1.0, 8.0], [2.0, 7.0, 3.0], [6.0, 2.0, 4.0], [9.0, 8.0, 1.5], [3.0, 9.0, 7.0]],
        [[-3.0, -2.5], [-2.9, 0.0], [1.0, 2.0]],
        [[4.0], [-1.0], [2.0]],
    ]
    generator = np.random.default_rng(7)
    tables += [generator.normal(size=(6, 4)).tolist(), generator.normal(size=(5, 5)).tolist()]
    for table in tables:
        cost = torch.tensor(table)
        got = call(function, cost)
        n, m = cost.shape
        what = f"the candidates of a table {n} x {m}"
        got = got.tolist() if isinstance(got, (torch.Tensor, np.ndarray)) else got
        if not isinstance(got, (list, tuple)):
            raise Feedback(f"{what}: expected a list of {m} numbers, got {kind(got)}.")
        try:
            got = [operator.index(one) for one in got]
        except TypeError:
            raise Feedback(
                f"{what}: expected a whole number for each object, got {got!r}."
            ) from None
        if len(got) != m:
            raise Feedback(f"{what}: expected {m} numbers, one an object, got {len(got)}.")
        if any(not 0 <= int(i) < n for i in got):
            raise Feedback(f"{what}: got {got}; candidates are numbered from 0 to {n - 1}.")
        if len({int(i) for i in got}) < m:
            raise Feedback(f"{what}: got {got}, where a candidate has two objects.")
        columns = range(m)
        total = sum(table[int(i)][j] for i, j in zip(got, columns))
        least = min(
            sum(table[i][j] for i, j in zip(some, columns)) for some in permutations(range(n), m)
        )
        if total > least + 1e-5:
            raise Feedback(
                f"{what}: the sum of the costs is {total:.4g}, and a smaller one is possible."
            )


# 16.8 the link from frame to frame


def _overlaps(a, b):
    a, b = (torch.as_tensor(np.asarray(x, float)).reshape(-1, 4) for x in (a, b))
    return iou(a[:, None], b[None]).numpy()


def _continue_tracks(expected, boxes, least):
    overlap = _overlaps(expected, boxes)  # (tracks, detections)
    score = np.where(overlap >= least, overlap, 0)
    rows, columns = linear_sum_assignment(-score)
    return [(int(i), int(j)) for i, j in zip(rows, columns) if score[i, j] > 0]


def _any_pair(expected, boxes, least):
    rows, columns = linear_sum_assignment(-_overlaps(expected, boxes))
    return [(int(i), int(j)) for i, j in zip(rows, columns)]


def _worst_pairs(expected, boxes, least):
    overlap = _overlaps(expected, boxes)
    rows, columns = linear_sum_assignment(overlap)
    return [(int(i), int(j)) for i, j in zip(rows, columns) if overlap[i, j] >= least]


def _best_for_each(expected, boxes, least):
    overlap = _overlaps(expected, boxes)
    if not overlap.size:
        return []
    return [(i, int(row.argmax())) for i, row in enumerate(overlap) if row.max() >= least]


def _greedy_links(expected, boxes, least):
    overlap, found = _overlaps(expected, boxes), []
    while overlap.size and overlap.max() >= least:
        i, j = np.unravel_index(overlap.argmax(), overlap.shape)
        found.append((int(i), int(j)))
        overlap[i], overlap[:, j] = -1, -1
    return found


def _threshold_after(expected, boxes, least):
    overlap = _overlaps(expected, boxes)
    rows, columns = linear_sum_assignment(-overlap)
    return [(int(i), int(j)) for i, j in zip(rows, columns) if overlap[i, j] >= least]


def _as_many_as_possible(expected, boxes, least):
    overlap = _overlaps(expected, boxes)
    rows, columns = linear_sum_assignment(np.where(overlap >= least, 1 - overlap, 1e6))
    return [(int(i), int(j)) for i, j in zip(rows, columns) if overlap[i, j] >= least]


def _infinite_cost(expected, boxes, least):
    overlap = _overlaps(expected, boxes)
    rows, columns = linear_sum_assignment(np.where(overlap >= least, -overlap, np.inf))
    return list(zip(rows.tolist(), columns.tolist()))


def _above_only(expected, boxes, least):
    overlap = _overlaps(expected, boxes)
    score = np.where(overlap > least, overlap, 0)
    rows, columns = linear_sum_assignment(-score)
    return [(int(i), int(j)) for i, j in zip(rows, columns) if score[i, j] > 0]


def _detection_first(expected, boxes, least):
    return [(j, i) for i, j in _continue_tracks(expected, boxes, least)]


LINK_CASES = (
    # each track's box has moved a little
    ([[0, 0, 10, 10], [40, 40, 50, 50]], [[1, 0, 11, 10], [41, 40, 51, 50]], 0.2),
    # the best sum is not greedy: 0.6 + 0 against 0.5 + 0.4
    ([[0, 0, 10, 10], [4, 0, 14, 10]], [[-4.0, 0, 6, 10], [2, 0, 12, 10]], 0.2),
    # a pair below the threshold, and more detections than tracks
    ([[0, 0, 10, 10], [40, 40, 50, 50]], [[44, 44, 54, 54], [1, 0, 11, 10], [90, 0, 99, 9]], 0.3),
    # IoU is exactly the threshold
    ([[0, 0, 10, 10]], [[0, 0, 10, 5]], 0.5),
    # nothing to continue, nothing seen
    ([], [[0, 0, 10, 10]], 0.2),
    ([[0, 0, 10, 10]], [], 0.2),
    # a pair below the threshold would raise the sum, and keep the good pair apart
    ([[0, 0, 10, 10], [8.8, 0, 18.8, 10]], [[3.3, 0, 13.3, 10], [-5.5, 0, 4.5, 10]], 0.3),
    # one pair of 0.90 is more than two of 0.41: the sum counts, not how many pairs there are
    ([[0, 0, 10, 10], [4.7, 0, 14.7, 10]], [[0.5, 0, 10.5, 10], [-4.2, 0, 5.8, 10]], 0.3),
    # two of 0.41 are more than one of 0.60: IoU itself is added up, neither its square nor what
    # lies above `least`
    ([[0, 0, 10, 10], [6.7, 0, 16.7, 10]], [[2.5, 0, 12.5, 10], [-4.2, 0, 5.8, 10]], 0.3),
)


def _test_links(function):
    for expected, boxes, least in LINK_CASES:
        tracks = np.array(expected, float).reshape(-1, 4)
        seen = np.array(boxes, float).reshape(-1, 4)
        got = call(function, tracks, seen, least)
        want = _continue_tracks(tracks, seen, least)
        what = f"{len(tracks)} tracks, {len(seen)} detections, least IoU {least}"
        try:
            pairs = sorted((int(i), int(j)) for i, j in got)
        except (TypeError, ValueError):
            raise Feedback(f"{what}: expected pairs (track, detection), got {got!r}.") from None
        if pairs != sorted(want):
            raise Feedback(f"{what}: got the pairs {pairs}, which is not right.")


# 16.9 three metrics by hand

SWAP = (0.95, 0.5, math.sqrt(1 / 3))  # MOTA, IDF1, HOTA

SWAP_REASONS = (  # entry, wrong value, why: to two decimals, as they are asked for
    (0, 0.975, "Both objects change their number: two switches, not one."),
    (0, 0.5, "MOTA counts a switch once, in the frame in which it happens."),
    (0, 1.0, "The switches are missing in MOTA."),
    (1, 1.0, "In IDF1 each object may have one number only."),
    (2, 1 / 3, "HOTA is the root of DetA times AssA: the root is missing."),
    (2, math.sqrt(0.5), "A's track and number 1 share 10 boxes, and each has 10 others: 10 of 30."),
    (2, 0.5, "HOTA isn't IDF1: it takes the root of DetA times AssA."),
)


def _test_swap(answer):
    try:
        compare(answer, SWAP, "(MOTA, IDF1, HOTA)", 6e-3)
    except Feedback as error:
        try:
            got = [float(one) for one in answer]
        except (TypeError, ValueError):
            raise error from None
        if len(got) != 3:
            raise
        told = [why for i, wrong, why in SWAP_REASONS if abs(got[i] - wrong) <= 6e-3]
        raise Feedback(" ".join([str(error), *told])) from None


# 16.10 IDF1


def _idf1(agree, true_count, given_count):
    table = np.asarray(agree, float)
    rows, columns = linear_sum_assignment(-table)
    return 2 * table[rows, columns].sum() / (np.sum(true_count) + np.sum(given_count))


def _idf1_by(agree, true_count, given_count, right="assigned", over="both", twice=True):
    table = np.asarray(agree, float)
    rows, columns = linear_sum_assignment(-table)
    found = {
        "assigned": table[rows, columns].sum(),
        "all": table.sum(),
        "best": table.max(1).sum(),
        "least": table[linear_sum_assignment(table)].sum(),
    }[right]
    boxes = {"both": np.sum(true_count) + np.sum(given_count), "true": np.sum(true_count)}[over]
    return (2 if twice else 1) * found / boxes


def _all_agreements(agree, true_count, given_count):
    return _idf1_by(agree, true_count, given_count, right="all")


def _best_of_each(agree, true_count, given_count):
    return _idf1_by(agree, true_count, given_count, right="best")


def _factor_missing(agree, true_count, given_count):
    return _idf1_by(agree, true_count, given_count, twice=False)


def _recall(agree, true_count, given_count):
    return _idf1_by(agree, true_count, given_count, over="true", twice=False)


def _precision(agree, true_count, given_count):
    return _idf1_by(agree, true_count, given_count, twice=False) * (
        (np.sum(true_count) + np.sum(given_count)) / np.sum(given_count)
    )


def _least_agreement(agree, true_count, given_count):
    return _idf1_by(agree, true_count, given_count, right="least")


def _mean_of_tracks(agree, true_count, given_count):
    table = np.asarray(agree, float)
    rows, columns = linear_sum_assignment(-table)
    pairs = zip(rows, columns)
    return float(np.mean([2 * table[i, j] / (true_count[i] + given_count[j]) for i, j in pairs]))


METRIC_CASES = (
    ([[8.0, 6.0, 0.0], [7.0, 1.0, 2.0]], [21, 12], [17, 7, 3]),
    ([[10.0, 10.0], [10.0, 10.0]], [20, 20], [20, 20]),
    ([[3.0], [9.0], [1.0]], [5, 10, 4], [16]),
    ([[0.0, 0.0]], [6], [2, 3]),
)


def _test_idf1(function):
    for agree, true, given in METRIC_CASES:
        case = np.array(agree), np.array(true), np.array(given)
        what = f"IDF1 of {len(true)} true and {len(given)} given tracks"
        if not np.sum(agree):
            what += " that agree in no frame, which is 0"
        try:
            got = call(function, *case)
        except ZeroDivisionError:
            raise Feedback(f"{what}: you divide by zero.") from None
        compare(_plain(got, what), float(_idf1(*case)), what)


def _plain(got, what):
    if not isinstance(got, (str, bool)):
        try:
            return float(got)
        except (TypeError, ValueError):
            pass
    raise Feedback(f"{what}: expected one number, got {kind(got)}.")


# 16.12 HOTA at one threshold


def _hota(matches, true_count, given_count):
    table = np.asarray(matches, float)
    true, given = np.asarray(true_count, float)[:, None], np.asarray(given_count, float)
    together = table.sum()
    if not together:
        return 0.0
    detected = together / (true.sum() + given.sum() - together)
    agreed = (table * table / (true + given - table)).sum() / together
    return float(np.sqrt(detected * agreed))


def _hota_by(matches, true_count, given_count, weight=True, root=True, twice=False, mean=False):
    table = np.asarray(matches, float)
    true, given = np.asarray(true_count, float)[:, None], np.asarray(given_count, float)
    together = table.sum()
    if not together:
        return 0.0
    minus = 0 if twice else together
    detected = together / (true.sum() + given.sum() - minus)
    share = table / (true + given - table)
    agreed = (table * share).sum() / together if weight else share[table > 0].mean()
    if mean:
        return float((detected + agreed) / 2)
    return float(np.sqrt(detected * agreed) if root else detected * agreed)


def _pairs_not_weighed(matches, true_count, given_count):
    return _hota_by(matches, true_count, given_count, weight=False)


def _root_missing(matches, true_count, given_count):
    return _hota_by(matches, true_count, given_count, root=False)


def _matches_twice(matches, true_count, given_count):
    return _hota_by(matches, true_count, given_count, twice=True)


def _arithmetic_mean(matches, true_count, given_count):
    return _hota_by(matches, true_count, given_count, mean=True)


def _association_alone(matches, true_count, given_count):
    table = np.asarray(matches, float)
    true, given = np.asarray(true_count, float)[:, None], np.asarray(given_count, float)
    return float((table * table / (true + given - table)).sum() / max(table.sum(), 1e-9))


def _test_hota(function):
    for matches, true, given in METRIC_CASES:
        case = np.array(matches), np.array(true), np.array(given)
        what = f"HOTA of {len(true)} true and {len(given)} given tracks"
        if not np.sum(matches):
            what += " without any match"
        compare(_plain(call(function, *case), what), _hota(*case), what)


# 16.11 a pair of metrics


def _test_pair(answer):
    got = answer.tolist() if isinstance(answer, np.ndarray) else answer
    if not isinstance(got, (list, tuple)) or len(got) != 2:
        raise Feedback(f'expected a pair, such as ("a", "a"), got {answer!r}.')
    names = {"mota": "a", "idf1": "b"}
    got = [one.strip(" ().").lower() if isinstance(one, str) else one for one in got]
    got = [names.get(one, one) if isinstance(one, str) else one for one in got]
    if any(one not in ("a", "b") for one in got):
        raise Feedback(f"expected 'a' or 'b' twice, got {answer!r}.")
    reasons = {
        "ba": "It is the other way round: who is who doesn't matter for a count of boxes.",
        "aa": "MOTA hardly notices if two parcels are exchanged: one switch each.",
        "bb": "For how many stand there, it doesn't matter who is who.",
    }
    if got != ["a", "b"]:
        raise Feedback(f"{tuple(got)} is not right. {reasons[''.join(got)]}")


EXERCISES = {
    "16.1": Exercise(
        "Intersection over union",
        6,
        1,
        iou,
        _test_iou,
        (
            "Where do the two boxes overlap? Its left side is the larger of the two left sides; "
            "and its right side? If that lies left of it, there is no overlap.",
            "torch.maximum of [..., :2] and torch.minimum of [..., 2:] give the corners of the "
            "overlap. Clamp its sides at 0 before you multiply them.",
        ),
        mistakes=(
            (
                _no_clamp,
                "Boxes that lie apart along both axes have two negative sides, whose product is "
                "positive. Clamp the sides at 0.",
            ),
            (
                _clamped_late,
                "Clamp the sides of the overlap, not the result: two negative sides have a "
                "positive product.",
            ),
            (_counted_twice, "The overlap is in both areas: take it off the sum once."),
            (_of_the_smaller, "You divided by the smaller box; divide by the union."),
            (_of_the_first, "You divided by the first box; divide by the union."),
            (
                _one_pixel_more,
                "Here a box from 0 to 2 is 2 wide. Adding 1 belongs to boxes that name their "
                "last pixel.",
            ),
            (
                _centres_and_sizes,
                "You read the boxes as centre and size. They are left, top, right, bottom.",
            ),
            (_around, "You divided by the box around both; divide by the union."),
        ),
    ),
    "16.2": Exercise(
        "Generalised IoU",
        6,
        1,
        _giou,
        _test_giou,
        (
            "The box around both has the smaller left and top, and the larger right and bottom.",
            "union = the two areas minus the overlap; GIoU = IoU - (around - union) / around.",
        ),
        mistakes=(
            (_giou_of_union, "The empty part is divided by the box around both, not by the union."),
            (_plus_gap, "The empty part is taken off, you added it."),
            (_covered, "That takes off the share that is covered. Take off the empty share."),
            (_gap_alone, "The IoU itself is missing."),
            (_hull_is_inner, "That is the overlap. The box around both reaches over both of them."),
            (_as_loss, "That is the loss, 1 - GIoU. GIoU itself is asked for."),
            (_areas_added, "Of the two areas take the overlap off once: that is the union."),
        ),
    ),
    "16.3": Exercise(
        "One box for two places",
        2,
        1,
        "b",
        choice(
            "b",
            {
                "a": "A squared error doesn't choose: on one box it would be large half of the "
                "time, and large errors are what it punishes most.",
                "c": "That is where GIoU alone ends. A squared error of the sides gives sides "
                "that are means.",
                "d": "Each coordinate has one best value, whatever the start: the loss is a "
                "parabola in it.",
            },
        ),
        (
            "One number has to stand for two. Which number has the least mean squared distance "
            "to 2 and to 8?",
            "The mean of two numbers is it. Now take each of the four sides.",
        ),
        mistakes=(("a", ""), ("c", ""), ("d", "")),
    ),
    "16.4": Exercise(
        "What a locator learns by",
        12,
        2,
        _locate_loss,
        _test_locate_loss,
        (
            "Which place does the middle of the true box lie in? Places are counted row by row, "
            "so one row further down is `side` places further.",
            "cell = (centre * side).long() is (batch, 2): column, then row. Take the box of that "
            "place with boxes[torch.arange(batch), place], and F.cross_entropy for the scores.",
        ),
        mistakes=(
            (_rows_and_columns, "Rows and columns are exchanged: y tells the row."),
            (_top_left_corner, "That is the place of the top left corner. Take the centre's."),
            (
                _box_of_the_best,
                "You trained the box of the place with the highest score. Train the box of the "
                "place where the named object is.",
            ),
            (
                _every_box,
                "You moved the boxes of all places to this object. Only the box of its own place "
                "is trained.",
            ),
            (_places_only, "The loss of the box is missing."),
            (_boxes_only, "The cross-entropy of the place is missing."),
            (_summed, "That is a sum over the batch: take the mean."),
            (_on_probabilities, "Cross-entropy takes scores, you gave it probabilities."),
        ),
    ),
    "16.5": Exercise(
        "Padded words",
        6,
        2,
        _look,
        _test_look,
        (
            "Which expressions come out wrong? Those that are shorter than the longest one of the "
            "batch.",
            "A padded word needs a weight of 0, and the other weights must still add up to 1: "
            "give it a score of minus infinity, before the softmax.",
        ),
        mistakes=(
            (_no_mask, "The mask isn't used: padded words get a part of the weights."),
            (
                _mask_after,
                "The weights of the other words don't add up to 1 any more. Mask the scores, "
                "before the softmax.",
            ),
            (_zero_scores, "A score of 0 is no small score: exp(0) is 1. Minus infinity is."),
            (_zero_words, "A word of zeros still gets weight: its score is 0, and exp(0) is 1."),
            (_upside_down, "The mask is upside down: True is where a word is."),
            (_unscaled, "The division by the root of dim is lost."),
        ),
    ),
    "16.6": Exercise(
        "The cheapest match",
        8,
        2,
        _best,
        _test_match,
        (
            "`itertools.permutations(range(n), m)` gives every way to choose m of n candidates "
            "in order: the first is for object 0, the second for object 1.",
            "Of each way compute sum(cost[i, j] for j, i in enumerate(way)), and take the way "
            "with the smallest sum: `min(ways, key=...)`.",
        ),
        mistakes=(
            (
                _greedy,
                "That takes the cheapest pair first. What is left can then be so expensive that "
                "the sum is larger.",
            ),
            (_each_its_best, "Two objects may want the same candidate. Each gets its own."),
            (
                _in_turn,
                "The objects choose one after the other. The last one has to take what is left, "
                "and the sum can be larger.",
            ),
            (_most_expensive, "That is the largest sum."),
            (_first_ones_only, "There are more candidates than objects: try all of them."),
            (
                _object_of_candidate,
                "That gives each candidate its object. Give each object its candidate, in the "
                "order of objects.",
            ),
        ),
    ),
    "16.7": Exercise(
        "Found, and not chosen",
        3,
        1,
        "c",
        choice(
            "c",
            {
                "a": "More precise boxes change nothing: 99 of 100 already lie on an object.",
                "b": "Of 100 boxes 99 lie on an object. The objects are found.",
                "d": "Both numbers are from the same test pictures, and the first one is high.",
            },
        ),
        (
            "Of 100 boxes, how many lie on some object, and how many on the one that is meant?",
            "What would raise the second number if the boxes stayed as they are?",
        ),
        mistakes=(("a", ""), ("b", ""), ("d", "")),
    ),
    "16.8": Exercise(
        "Continue the tracks",
        10,
        2,
        _continue_tracks,
        _test_links,
        (
            "Compute all overlaps (tracks, detections). What is below `least` must count nothing, "
            "before the assignment and after it.",
            "np.where(overlap >= least, overlap, 0) is the score; linear_sum_assignment finds "
            "the smallest sum, so give it the negative. Keep the pairs whose score is above 0.",
        ),
        mistakes=(
            (_any_pair, "A pair that hardly overlaps is no continuation: it is below `least`."),
            (_worst_pairs, "linear_sum_assignment looks for the smallest sum: change the sign."),
            (_best_for_each, "Two tracks may take the same detection here. Each is used once."),
            (
                _greedy_links,
                "That takes the largest overlap first. Another choice has a larger sum.",
            ),
            (
                _threshold_after,
                "Pairs below `least` took part in the sum and kept better pairs apart. Set them "
                "to 0 before the assignment.",
            ),
            (
                _as_many_as_possible,
                "That links as many pairs as possible. A pair below `least` adds 0 to the sum: it "
                "costs nothing more.",
            ),
            (
                _infinite_cost,
                "With infinite costs there may be no assignment. Give pairs below `least` a score "
                "of 0, and leave them out afterwards.",
            ),
            (_above_only, "An overlap of exactly `least` is enough."),
            (_detection_first, "The track comes first in a pair, then the detection."),
        ),
    ),
    "16.9": Exercise(
        "Three metrics by hand",
        8,
        2,
        SWAP,
        _test_swap,
        (
            "No box is missed or false, and all fit exactly. How many switches are there, of how "
            "many boxes? How many of the 40 boxes are right if A may have only one number?",
            "For HOTA: a match of A with number 1. The two tracks share 10 frames; A has 20, "
            "number 1 has 20. How many different boxes is that? DetA is 1.",
        ),
        mistakes=(
            # `_test_swap` says why
            ((0.975, 0.5, SWAP[2]), ""),
            ((0.5, 0.5, SWAP[2]), ""),
            ((1.0, 0.5, SWAP[2]), ""),
            ((0.95, 1.0, SWAP[2]), ""),
            ((0.95, 0.5, 1 / 3), ""),
            ((0.95, 0.5, math.sqrt(0.5)), ""),
            ((0.95, 0.5, 0.5), ""),
        ),
    ),
    "16.10": Exercise(
        "IDF1",
        8,
        2,
        _idf1,
        _test_idf1,
        (
            "Each true track gets at most one given track, and the sum of what agrees is to be as "
            "large as possible: which function does that?",
            "rows, columns = linear_sum_assignment(-agree) chooses the pairs. IDF1 is twice the "
            "sum of their entries, divided by all boxes, true and given.",
        ),
        mistakes=(
            (_all_agreements, "That adds up all agreements. A track may count with one only."),
            (_best_of_each, "Two true tracks may take the same given track here."),
            (_factor_missing, "The factor 2 is missing: a perfect result would be 0.5."),
            (_precision, "That is the share of the given boxes. The true boxes count too."),
            (_recall, "That is the share of the true boxes. The given boxes count too."),
            (_least_agreement, "That is the smallest sum: linear_sum_assignment minimises."),
            (_mean_of_tracks, "That is a mean over tracks. All boxes count alike: add up first."),
        ),
    ),
    "16.11": Exercise(
        "Which metric?",
        3,
        1,
        ("a", "b"),
        _test_pair,
        (
            "For which of the two does it matter that one and the same number stays on one and "
            "the same thing to the end?",
            "Counting looks at single frames. A parcel must be told from its neighbours the whole "
            "way.",
        ),
        mistakes=(
            (("b", "a"), ""),  # `_test_pair` says why
            (("a", "a"), ""),
            (("b", "b"), ""),
        ),
    ),
    "16.12": Exercise(
        "HOTA at one threshold",
        8,
        3,
        _hota,
        _test_hota,
        (
            "DetA: matches divided by all boxes, each match counted once. AssA: of each *match* "
            "the agreement of its two tracks, and the mean over matches.",
            "A pair of tracks with m matches agrees in m / (true + given - m), and that value "
            "counts m times. Without any match the result is 0.",
        ),
        mistakes=(
            (
                _pairs_not_weighed,
                "That is the mean over pairs of tracks. A pair with many matches counts as often "
                "as it has matches.",
            ),
            (_root_missing, "The root is missing."),
            (_matches_twice, "A match is one true and one given box: take the matches off once."),
            (_arithmetic_mean, "HOTA is the geometric mean: the root of the product."),
            (_association_alone, "That is AssA alone."),
        ),
    ),
}

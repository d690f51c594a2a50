"""Metrics equal scikit-learn's and torchmetrics'; intervals hold what they promise."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics as sk
from torchmetrics.classification import MulticlassCalibrationError

from course_utils.evaluation import intervals, metrics


def draw(seed, n=200, classes=5):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, classes, (n,), generator=g)
    logits = torch.randn(n, classes, generator=g) + 1.5 * torch.eye(classes)[y]
    return logits, y


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("classes", [2, 5, 9])
def test_classification_equals_scikit_learn(seed, classes):
    logits, y = draw(seed, classes=classes)
    predictions = logits.argmax(1)
    p, r, f, s = sk.precision_recall_fscore_support(
        y, predictions, labels=range(classes), zero_division=0
    )
    got = metrics.precision_recall(predictions, y, classes)
    for mine, theirs in zip(got, (p, r, f, s)):
        assert np.allclose(mine.numpy(), theirs, atol=1e-12)
    assert metrics.accuracy(predictions, y) == pytest.approx(sk.accuracy_score(y, predictions))
    for average in ("macro", "micro"):
        assert metrics.f1_score(predictions, y, classes, average) == pytest.approx(
            sk.f1_score(y, predictions, average=average), abs=1e-12
        )
    table = metrics.confusion_matrix(predictions, y, classes)
    assert (table.numpy() == sk.confusion_matrix(y, predictions, labels=range(classes))).all()


def test_a_class_that_is_never_predicted_or_never_there():
    predictions, y = torch.tensor([0, 0, 1, 3]), torch.tensor([0, 2, 1, 1])
    got = metrics.precision_recall(predictions, y, 5)
    assert got.precision.tolist() == [0.5, 1.0, 0.0, 0.0, 0.0]
    assert got.recall.tolist() == [1.0, 0.5, 0.0, 0.0, 0.0]
    expected = sk.f1_score(y, predictions, average="macro", zero_division=0)  # classes that occur
    assert metrics.f1_score(predictions, y, 5) == pytest.approx(expected)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_curves_equal_scikit_learn(seed, ties):
    logits, y = draw(seed, classes=2)
    scores, positive = logits[:, 1] - logits[:, 0], y == 1
    scores = scores.round() if ties else scores
    assert metrics.auc(scores, positive) == pytest.approx(sk.roc_auc_score(positive, scores))
    assert metrics.average_precision(scores, positive) == pytest.approx(
        sk.average_precision_score(positive, scores)
    )
    curve = metrics.roc_curve(scores, positive)
    x, y_, _ = sk.roc_curve(positive, scores, drop_intermediate=False)
    assert np.allclose(curve.x, x) and np.allclose(curve.y, y_)
    p, r, _ = sk.precision_recall_curve(positive, scores)
    curve = metrics.precision_recall_curve(scores, positive)
    assert np.allclose(curve.x.flip(0), r) and np.allclose(curve.y.flip(0), p)


def test_auc_counts_pairs_and_ties_half():
    scores = torch.tensor([0.1, 0.4, 0.4, 0.9])
    positive = torch.tensor([False, True, False, True])
    assert metrics.auc(scores, positive) == (1 + 0.5 + 1 + 1) / 4
    assert metrics.mid_ranks(scores).tolist() == [1.0, 2.5, 2.5, 4.0]
    assert metrics.auc(torch.zeros(4), positive) == 0.5


@pytest.mark.parametrize("bins", [5, 15])
@pytest.mark.parametrize("seed", range(3))
def test_calibration_equals_torchmetrics(seed, bins):
    logits, y = draw(seed, 400)
    p = logits.softmax(1)
    confidence, predictions = p.max(1)
    theirs = MulticlassCalibrationError(num_classes=5, n_bins=bins, norm="l1")(p, y)
    got = metrics.expected_calibration_error(confidence, predictions == y, bins)
    assert got == pytest.approx(theirs.item(), abs=1e-6)
    assert metrics.calibration(confidence, predictions == y, bins).count.sum() == 400


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.accuracy(torch.zeros(3), torch.zeros(4)), "two of shape"),
        (lambda: metrics.accuracy(torch.zeros(0), torch.zeros(0)), "at least one"),
        (lambda: metrics.confusion_matrix(torch.tensor([0, 3]), torch.tensor([0, 1]), 3), "0 to 2"),
        (lambda: metrics.f1_score(torch.tensor([0]), torch.tensor([0]), 1, "mean"), "average"),
        (
            lambda: metrics.auc(torch.zeros(3), torch.ones(3, dtype=torch.bool)),
            "3 positive ones of 3",
        ),
        (lambda: metrics.auc(torch.zeros(3), torch.ones(3)), "expected bool"),
        (lambda: metrics.calibration(torch.tensor([2.0]), torch.tensor([True])), "softmax first"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Intervals


@pytest.mark.parametrize(("right", "n"), [(0, 10), (10, 10), (7, 10), (950, 1000)])
def test_wilson_equals_scipy(right, n):
    theirs = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    got = intervals.wilson(right, n)
    assert (got.low, got.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_the_interval_over_runs_equals_scipys_and_needs_two():
    runs = [84.9, 84.5, 79.2]
    found, want = (
        intervals.t_interval(runs, 0.9),
        stats.ttest_1samp(runs, 0).confidence_interval(0.9),
    )
    assert found.value == pytest.approx(sum(runs) / 3)
    assert (found.low, found.high) == pytest.approx((want.low, want.high))
    assert intervals.t_interval([5, 5, 5]) == (5, 5, 5)
    with pytest.raises(ValueError, match="two or more runs, got 1"):
        intervals.t_interval([80.0])


def test_standard_error_without_groups_is_the_textbook_one():
    values = torch.randn(50).double()
    assert intervals.standard_error(values) == pytest.approx(stats.sem(values.numpy()))
    same = intervals.standard_error(values, torch.arange(50) + 7)
    assert same == pytest.approx(intervals.standard_error(values))


def test_equal_answers_of_a_group_count_once():
    values = (torch.rand(40, generator=torch.Generator().manual_seed(0)) < 0.7).double()
    copies, groups = values.repeat_interleave(5), torch.arange(40).repeat_interleave(5)
    assert intervals.standard_error(copies, groups) == pytest.approx(stats.sem(values.numpy()))
    assert intervals.standard_error(copies) < 0.5 * intervals.standard_error(copies, groups)


def test_bootstrap_agrees_with_scipy_and_with_its_own_slow_way():
    values = torch.rand(60, generator=torch.Generator().manual_seed(1)).double()
    got = intervals.bootstrap(values, draws=4000)
    theirs = stats.bootstrap(
        (values.numpy(),), np.mean, n_resamples=4000, method="percentile", random_state=0
    ).confidence_interval
    assert (got.low, got.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    groups = torch.arange(60) // 3
    slow = intervals.bootstrap(values, groups, lambda some: some.mean(), draws=500)
    fast = intervals.bootstrap(values, groups, draws=500)
    assert slow == pytest.approx(fast, abs=1e-12)


def coverage(by_group):
    """How often a 95 % interval holds the truth, with ten questions a picture that are alike."""
    g, hits = torch.Generator().manual_seed(0), 0
    groups = torch.arange(40).repeat_interleave(10)
    for _ in range(200):
        ease = torch.rand(40, generator=g).repeat_interleave(10)  # of each picture; mean 0.5
        right = (torch.rand(400, generator=g) < ease).double()
        found = intervals.bootstrap(right, groups if by_group else None, draws=300)
        hits += found.low <= 0.5 <= found.high
    return hits / 200


def test_only_the_bootstrap_by_picture_covers_as_promised():
    assert 0.88 <= coverage(by_group=True) <= 0.99
    assert coverage(by_group=False) < 0.8


def test_paired_difference_and_mcnemar():
    g = torch.Generator().manual_seed(0)
    a = torch.rand(500, generator=g) < 0.8
    b = a ^ (torch.rand(500, generator=g) < 0.05)
    got = intervals.paired_difference(a, b)
    assert got.value == pytest.approx((a.double() - b.double()).mean().item())
    unpaired = intervals.bootstrap(a.double()).half + intervals.bootstrap(b.double()).half
    assert got.half < 0.6 * unpaired
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    expected = stats.binomtest(only_a, only_a + only_b).pvalue
    assert intervals.mcnemar(a, b) == pytest.approx(expected)
    assert intervals.mcnemar(a, a) == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: intervals.wilson(3, 2), "right=3, n=2"),
        (lambda: intervals.wilson(0, 0), "n=0"),
        (lambda: intervals.standard_error(torch.ones(1)), "two or more"),
        (lambda: intervals.bootstrap(torch.ones(4), torch.zeros(4).long()), "got 4 and 1"),
        (lambda: intervals.mcnemar(torch.ones(3), torch.ones(3)), "two bool tensors"),
    ],
)
def test_bad_intervals_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("kind", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_small_integer_types_do_not_overflow(kind):
    predictions, y = torch.tensor([16, 0, 16]), torch.tensor([16, 16, 0])
    wide = metrics.confusion_matrix(predictions, y, 17)
    assert torch.equal(metrics.confusion_matrix(predictions.to(kind), y.to(kind), 17), wide)
    narrow = metrics.precision_recall(predictions.to(kind), y.to(kind), 17)
    assert narrow.f1[16] == 0.5


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_confidence_on_the_edge_of_a_bin_belongs_below_it(kind):
    right = torch.tensor([True, False, False, False, False])
    found = metrics.calibration(torch.full((5,), 0.2, dtype=kind), right, bins=5)
    assert found.count.tolist() == [5]
    mixed = torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0], dtype=kind)
    assert metrics.calibration(mixed, right, bins=5).count.tolist() == [1] * 5


def test_scores_that_are_no_numbers_are_refused():
    scores, positive = torch.tensor([0.1, float("nan"), 0.3]), torch.tensor([True, False, True])
    for metric in (
        metrics.auc,
        metrics.roc_curve,
        metrics.average_precision,
        metrics.expected_calibration_error,
    ):
        with pytest.raises(ValueError, match="NaN for 1 of 3"):
            metric(scores, positive)

"""Lesson 09: measuring honestly."""

from itertools import combinations_with_replacement

import torch

from course_utils.checks.feedback import (
    Exercise, Feedback, call, choice, compare, prediction,
)  # fmt: skip
from course_utils.intervals import standard_error
from course_utils.metrics import auc


def _draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# 09.2 macro F1


def _macro_f1(table):
    return (2 * table.diagonal() / (table.sum(0) + table.sum(1))).double().mean().item()


def _micro(table):
    return (table.diagonal().sum() / table.sum()).item()


def _macro_recall(table):
    return (table.diagonal() / table.sum(1)).mean().item()


def _macro_precision(table):
    return (table.diagonal() / table.sum(0)).mean().item()


def _f1_of_means(table):
    p, r = _macro_precision(table), _macro_recall(table)
    return 2 * p * r / (p + r)


def _by_support(table):
    f1 = 2 * table.diagonal() / (table.sum(0) + table.sum(1))
    return (f1 * table.sum(1) / table.sum()).sum().item()


def _hits_once(table):
    return (table.diagonal() / (table.sum(0) + table.sum(1) - table.diagonal())).mean().item()


def _hits_in_errors(table):
    hits = table.diagonal()
    return (2 * hits / (2 * hits + table.sum(0) + table.sum(1))).mean().item()


def _last_class(table):
    return (2 * table.diagonal() / (table.sum(0) + table.sum(1)))[-1].item()


def _one_each(table):
    return 2 * table.diagonal() / (table.sum(0) + table.sum(1))


def _test_macro_f1(function):
    for counts in ([[50, 10], [3, 7]], [[8, 1, 0], [2, 5, 4], [1, 6, 20]]):
        table = torch.tensor(counts)
        got = call(function, table)
        if isinstance(got, torch.Tensor) and got.numel() == len(counts):
            raise Feedback("that is one number for each class; macro F1 is their mean.")
        got = got.item() if isinstance(got, torch.Tensor) and got.numel() == 1 else got
        compare(got, _macro_f1(table), f"macro F1 of {len(counts)} classes")


# 09.3 AUC


def _auc(scores, positive):
    return auc(scores, positive)


def _ties_win(scores, positive):
    a, b = scores[positive], scores[~positive]
    return (a[:, None] >= b).double().mean().item()


def _ties_lose(scores, positive):
    a, b = scores[positive], scores[~positive]
    return (a[:, None] > b).double().mean().item()


def _other_way(scores, positive):
    return 1 - auc(scores, positive)


def _accuracy_at_half(scores, positive):
    return ((scores > 0.5) == positive).double().mean().item()


def _all_pairs(scores, positive):
    order = scores[:, None] > scores
    return order[positive].double().mean().item()


def _test_auc(function):
    for seed, (n, tied) in enumerate(((30, False), (40, True))):
        scores = _draw(seed, n)
        positive = _draw(seed + 5, n) + scores > 0.5
        scores = scores.round() if tied else scores
        got = call(function, scores, positive)
        got = got.item() if isinstance(got, torch.Tensor) and got.numel() == 1 else got
        compare(got, auc(scores, positive), "the AUC of scores " +
                ("with ties" if tied else "without ties"))  # fmt: skip


# 09.5 the bootstrap


def _bootstrap(right, picture, draws, generator):
    groups = picture.unique()
    rows = [(picture == g).nonzero()[:, 0] for g in groups]
    means = []
    for _ in range(draws):
        picked = torch.randint(len(groups), (len(groups),), generator=generator)
        means.append(right[torch.cat([rows[i] for i in picked.tolist()])].double().mean())
    return torch.stack(means)


def _by_question(right, picture, draws, generator):
    picked = torch.randint(len(right), (draws, len(right)), generator=generator)
    return right[picked].double().mean(1)


def _no_replacement(right, picture, draws, generator):
    means = []
    for _ in range(draws):
        order = torch.randperm(len(right), generator=generator)
        means.append(right[order].double().mean())
    return torch.stack(means)


def _picture_means(right, picture, draws, generator):
    groups = picture.unique()
    each = torch.stack([right[picture == g].double().mean() for g in groups])
    picked = torch.randint(len(groups), (draws, len(groups)), generator=generator)
    return each[picked].mean(1)


def _half_as_many(right, picture, draws, generator):
    groups = picture.unique()
    rows = [(picture == g).nonzero()[:, 0] for g in groups]
    means = []
    for _ in range(draws):
        picked = torch.randint(len(groups), (len(groups) // 2,), generator=generator)
        means.append(right[torch.cat([rows[i] for i in picked.tolist()])].double().mean())
    return torch.stack(means)


def _normal_noise(right, picture, draws, generator):
    error = standard_error(right, picture)
    return right.double().mean() + error * torch.randn(draws, generator=generator)


def _some_pictures():
    """Sixty pictures with one to nine questions, more and easier ones in the first thirty."""
    sizes = torch.cat([torch.full((30,), 9), torch.full((30,), 2)])
    picture = torch.arange(60).repeat_interleave(sizes)
    generator = torch.Generator().manual_seed(4)
    ease = torch.where(torch.arange(60) < 30, 0.55, 0.05) + 0.4 * torch.rand(60, generator=generator)
    return torch.rand(len(picture), generator=generator) < ease[picture], picture


def _test_bootstrap(function):
    right, picture = _some_pictures()
    got = call(function, right, picture, 600, torch.Generator().manual_seed(0))
    if not isinstance(got, torch.Tensor) or got.shape != (600,):
        found = tuple(got.shape) if isinstance(got, torch.Tensor) else type(got).__name__
        raise Feedback(f"expected one mean a draw, a tensor (600,), got {found}.")
    want = _bootstrap(right, picture, 600, torch.Generator().manual_seed(1))
    centre, spread = got.double().mean().item(), got.double().std().item()
    if abs(centre - right.double().mean().item()) > 0.03:
        raise Feedback(
            f"your means lie around {centre:.3f}, but {right.double().mean():.3f} of the questions "
            "are right. Each question of a drawn picture counts once, so pictures with many "
            "questions count more."
        )
    if spread < 1e-6:
        raise Feedback("all your draws give the same mean: draw with replacement.")
    ratio = spread / want.std().item()
    if ratio < 0.85:
        raise Feedback(
            f"your means spread {ratio:.2f} times as much as they should. Whole pictures are drawn, "
            "with all their questions: answers about one picture are alike."
        )
    if ratio > 1.18:
        raise Feedback(
            f"your means spread {ratio:.2f} times as much as they should. Draw as many pictures as "
            "there are."
        )
    _test_three_pictures(function)


def _test_three_pictures(function):
    """Three pictures can be drawn in ten ways: every mean must be one of ten."""
    picture = torch.tensor([2, 0, 1, 0, 2, 2, 0, 2])
    right = torch.tensor([1, 1, 0, 0, 1, 0, 1, 1]).bool()
    rows = [(picture == g).nonzero()[:, 0] for g in range(3)]
    possible = torch.stack([right[torch.cat([rows[i] for i in drawn])].double().mean()
                            for drawn in combinations_with_replacement(range(3), 3)])  # fmt: skip
    got = call(function, right, picture, 200, torch.Generator().manual_seed(0)).double()
    odd = ((got[:, None] - possible).abs().min(1).values > 1e-5).nonzero()[:, 0]
    if len(odd):
        raise Feedback(
            f"with three pictures a draw can give ten different shares, but {got[odd[0]]:.4f} is none "
            "of them. Whole pictures are drawn again, with the answers that were given."
        )


# 09.6 a split without a leak


def _split(picture, fraction, generator):
    groups = picture.unique()
    order = groups[torch.randperm(len(groups), generator=generator)]
    return torch.isin(picture, order[: round(fraction * len(groups))])


def _leaky(picture, fraction, generator):
    return torch.rand(len(picture), generator=generator) < fraction


def _always_a_fifth(picture, fraction, generator):
    groups = picture.unique()
    order = groups[torch.randperm(len(groups), generator=generator)]
    return torch.isin(picture, order[: len(groups) // 5])


def _of_all_numbers(picture, fraction, generator):
    count = int(picture.max()) + 1
    chosen = torch.randperm(count, generator=generator)[: round(fraction * count)]
    return torch.isin(picture, chosen)


def _until_enough_questions(picture, fraction, generator):
    groups = picture.unique()
    part = torch.zeros(len(picture), dtype=torch.bool)
    for group in groups[torch.randperm(len(groups), generator=generator)]:
        if part.double().mean() < fraction:
            part |= picture == group
    return part


def _first_ones(picture, fraction, generator):
    return picture < fraction * (picture.max() + 1)


def _not_random_size(picture, fraction, generator):
    return ~_split(picture, fraction, generator)


def _everything(picture, fraction, generator):
    return torch.ones(len(picture), dtype=torch.bool)


def _test_split(function):
    # fifty pictures with one to seven questions, in no order; numbers have gaps
    numbers = 3 * torch.arange(50) + 1
    sizes = torch.randint(1, 8, (50,), generator=torch.Generator().manual_seed(6))
    picture = numbers.repeat_interleave(sizes)
    picture = picture[torch.randperm(len(picture), generator=torch.Generator().manual_seed(7))]
    for fraction, wanted in ((0.2, 10), (0.5, 25)):
        parts = [call(function, picture, fraction, torch.Generator().manual_seed(seed))
                 for seed in (0, 1)]  # fmt: skip
        for part in parts:
            _test_part(part, picture, fraction, wanted)
        if torch.equal(*parts):
            raise Feedback("another generator gives the same split: it isn't drawn.")


def _test_part(part, picture, fraction, wanted):
    shape = picture.shape
    if not isinstance(part, torch.Tensor) or part.dtype != torch.bool or part.shape != shape:
        raise Feedback("expected a bool tensor (questions,), True for a test question.")
    if part.all() or not part.any():
        raise Feedback("all questions are on one side.")
    both = set(picture[part].tolist()) & set(picture[~part].tolist())
    if both:
        raise Feedback(f"{len(both)} of 50 pictures have questions on both sides: a leak.")
    found = len(picture[part].unique())
    if found != wanted:
        raise Feedback(
            f"with fraction {fraction}, expected {wanted} of 50 pictures in the test part, got "
            f"{found}. It is the fraction of the pictures that occur, not of the questions, and not "
            "of all numbers up to the highest."
        )


EXERCISES = {
    "09.1": Exercise(
        "Which metric?", 5, 1, "c",
        choice("c", {
            "a": "look at the two models above: the one that never finds anything wins by it.",
            "b": "it is for classes that all matter alike, and a threshold is already built in: it "
                 "can't say whether another threshold would find more.",
            "d": "the loss also counts how sure the model is of the 95 % that nobody asks about; it "
                 "may fall while not a single case more is found.",
        }),
        (
            "The family wants to know: of the true cases, how many are found, and how many alarms "
            "are false?",
            "Recall and precision say just that. Their curve says it for every threshold.",
        ),
    ),
    "09.2": Exercise(
        "Macro F1", 8, 2, _macro_f1, _test_macro_f1,
        (
            "For one class: where in the table are its hits, its false alarms and what was missed? "
            "Use F1 = 2 TP / (2 TP + FP + FN).",
            "The row sum of a class is TP + FN, the column sum TP + FP: together they are the "
            "denominator. Then the mean over the classes.",
        ),
        mistakes=(
            (_micro, "That is the accuracy, or micro F1: every example counts alike. In macro F1 "
             "every class does."),
            (_macro_recall, "That is the mean recall: false alarms don't count in it."),
            (_macro_precision, "That is the mean precision: what was missed doesn't count in it."),
            (_f1_of_means, "First F1 of each class, then the mean; you take the means of precision "
             "and recall first."),
            (_by_support, "You weight the classes by how often they occur; macro counts each alike."),
            (_hits_once, "Hits count twice, above and below: 2 TP / (2 TP + FP + FN)."),
            (_hits_in_errors, "Row and column sums hold the hits already: you count them four times "
             "below."),
            (_last_class, "That is the F1 of the last class alone."),
            (_one_each, ""),
        ),
    ),
    "09.3": Exercise(
        "AUC by ranks", 12, 2, _auc, _test_auc,
        (
            "Compare each positive with each negative. What does a tie count?",
            "a = scores[positive][:, None], b = scores[~positive]: the mean of (a > b) plus half "
            "the mean of (a == b).",
        ),
        mistakes=(
            (_ties_win, "A tie counts a half, not a whole."),
            (_ties_lose, "A tie counts a half, not nothing."),
            (_other_way, "That is the chance that the negative one is higher."),
            (_accuracy_at_half, "That is an accuracy at one threshold; AUC has none."),
            (_all_pairs, "Positives are compared with negatives only, not with all."),
        ),
    ),
    "09.4": Exercise(
        "Predict the interval", 3, 1, 3.0, prediction(0, 50, "points"),
        ("Any number of points is an answer.",
         "For n independent answers it is about 2 * sqrt(p (1 - p) / n)."),
    ),
    "09.5": Exercise(
        "The bootstrap by picture", 15, 3, _bootstrap, _test_bootstrap,
        (
            "What was drawn independently, pictures or questions? Draw that again.",
            "Keep the rows of each picture in a list; draw as many pictures as there are with "
            "torch.randint, join their rows with torch.cat, and take the mean of `right` there.",
        ),
        mistakes=(
            (_by_question, ""), (_no_replacement, ""), (_picture_means, ""), (_half_as_many, ""),
            (_normal_noise, ""),
        ),
    ),
    "09.6": Exercise(
        "A split without a leak", 8, 2, _split, _test_split,
        (
            "What must not be on both sides?",
            "Shuffle picture.unique() with torch.randperm, keep the first round(fraction * how many) "
            "of it, then torch.isin(picture, chosen).",
        ),
        mistakes=(
            (_leaky, ""), (_first_ones, ""), (_not_random_size, ""), (_everything, ""),
            (_always_a_fifth, ""), (_of_all_numbers, ""), (_until_enough_questions, ""),
        ),
    ),
}  # fmt: skip

"""Lesson 10: measuring honestly."""

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np
import torch
from scipy import stats

from course_utils.checks.feedback import (
    Exercise,
    Feedback,
    call,
    choice,
    compare,
    kind,
    number,
    prediction,
)
from course_utils.evaluation.intervals import standard_error, t_interval
from course_utils.evaluation.metrics import auc, mid_ranks


def _draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# 10.2 macro F1


def _macro_f1(table):
    both = table.sum(0) + table.sum(1)
    return (2 * table.diagonal().double() / both)[both > 0].mean().item()


def _empty_is_nan(table):
    return (2 * table.diagonal().double() / (table.sum(0) + table.sum(1))).mean().item()


def _empty_is_0(table):
    both = (table.sum(0) + table.sum(1)).clamp(min=1)
    return (2 * table.diagonal().double() / both).mean().item()


def _only_said(table):
    both, said = table.sum(0) + table.sum(1), table.sum(0) > 0
    return (2 * table.diagonal().double() / both)[said].mean().item()


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


def _only_occurring(table):
    both, there = table.sum(0) + table.sum(1), table.sum(1) > 0
    return (2 * table.diagonal().double() / both)[there].mean().item()


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
    cases = (
        ([[50, 10], [3, 7]], "2 classes"),
        ([[8, 1, 0], [2, 5, 4], [1, 6, 40]], "3 classes"),
        ([[5, 1, 0], [2, 6, 0], [3, 1, 0]], "3 classes, one of which is never said (its F1 is 0)"),
        (
            [[5, 1, 1], [1, 3, 0], [0, 0, 0]],
            "3 classes, one of which never occurs but is said (its F1 is 0)",
        ),
        ([[5, 0, 0], [1, 3, 0], [0, 0, 0]], "3 classes, one of which neither occurs nor is said"),
    )
    # the first two before any comparison: one alone doesn't tell which mistake it is
    plain = [call(function, torch.tensor(counts)) for counts, _ in cases[:2]]
    for i, (counts, which) in enumerate(cases):
        table = torch.tensor(counts)
        got = plain[i] if i < 2 else call(function, table)
        if isinstance(got, torch.Tensor) and got.numel() == len(counts):
            raise Feedback("that is one number for each class; macro F1 is their mean.")
        got = number(got)
        if isinstance(got, float) and math.isnan(got):
            raise Feedback(f"not a number for {which}: 0 divided by 0. See the exercise's text.")
        compare(got, _macro_f1(table), f"macro F1 of {which}")


# 10.3 AUC


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


def _ranks_without_ties(scores, positive):
    ranks = torch.empty(len(scores), dtype=torch.double)
    ranks[scores.argsort()] = torch.arange(1, len(scores) + 1, dtype=torch.double)
    ones, zeros = int(positive.sum()), int((~positive).sum())
    return ((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros)).item()


def _ranks_from_0(scores, positive):
    ones, zeros = int(positive.sum()), int((~positive).sum())
    total = (mid_ranks(scores) - 1)[positive].sum()
    return ((total - ones * (ones + 1) / 2) / (ones * zeros)).item()


def _never_below_half(scores, positive):
    return max(auc(scores, positive), 1 - auc(scores, positive))


def _test_auc(function):
    kinds = ((30, "without ties"), (40, "with ties"), (35, "that are wrong more often than right"))
    for seed, (n, which) in enumerate(kinds):
        scores = _draw(seed, n)
        positive = _draw(seed + 5, n) + (scores if seed < 2 else -scores) > 0.5
        scores = scores.round() if seed == 1 else 1e-3 * scores
        got = number(call(function, scores, positive))
        compare(got, auc(scores, positive), f"the AUC of scores {which}")


# 10.4 a width in points


def _test_width(answer):
    _any_width(answer)
    if 0 < float(answer) < 0.5:
        raise Feedback(
            f"in percentage points: {float(answer):g} is less than half a point. Did you mean "
            f"{100 * float(answer):g}?"
        )


_any_width = prediction(0, 50, "points")
_test_width.noted = True  # a prediction can't be right before it's measured


# 10.5 the bootstrap


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


def _draw_pictures(right, picture, draws, generator, take, share):
    """As `_bootstrap`, but for how many are taken, and what is made of the drawn rows."""
    groups = picture.unique()
    rows = [(picture == g).nonzero()[:, 0] for g in groups]
    picked = [take(len(groups), generator).tolist() for _ in range(draws)]
    return torch.stack([share(right, [rows[i] for i in some]) for some in picked])


def _with_replacement(count, generator):
    return torch.randint(count, (count,), generator=generator)


def _half_without_replacement(right, picture, draws, generator):
    return _draw_pictures(
        right,
        picture,
        draws,
        generator,
        lambda n, g: torch.randperm(n, generator=g)[: n // 2],
        lambda r, rows: r[torch.cat(rows)].double().mean(),
    )


def _twice_counts_once(right, picture, draws, generator):
    return _draw_pictures(
        right,
        picture,
        draws,
        generator,
        _with_replacement,
        lambda r, rows: r[torch.cat(rows).unique()].double().mean(),
    )


def _by_all_questions(right, picture, draws, generator):
    return _draw_pictures(
        right,
        picture,
        draws,
        generator,
        _with_replacement,
        lambda r, rows: r[torch.cat(rows)].double().sum() / len(r),
    )


def _not_a_number(right, picture, draws, generator):
    return _bootstrap(right, picture, draws, generator) * torch.nan


def _own_generator(right, picture, draws, generator):
    return _bootstrap(right, picture, draws, torch.Generator().manual_seed(0))


def _per_cent(right, picture, draws, generator):
    return 100 * _bootstrap(right, picture, draws, generator)


_SIZES, _HITS = {31: 1, 7: 2, 12: 4}, {31: 1, 7: 0, 12: 3}  # of three pictures
_DRAWS = 1000


def _three_pictures():
    """Right or wrong, and the picture of each question: mixed, and numbered with gaps."""
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    picture = torch.tensor([g for g, n in _SIZES.items() for _ in range(n)])[order]
    right = torch.tensor([i < _HITS[g] for g, n in _SIZES.items() for i in range(n)])[order]
    return right, picture


def _test_bootstrap(function):
    right, picture = _three_pictures()

    def means(seed):
        return call(function, right, picture, _DRAWS, torch.Generator().manual_seed(seed))

    got = means(0)
    if not isinstance(got, torch.Tensor) or got.shape != (_DRAWS,):
        found = tuple(got.shape) if isinstance(got, torch.Tensor) else type(got).__name__
        raise Feedback(f"expected one mean a draw, a tensor ({_DRAWS},), got {found}.")
    few = call(function, right, picture, 3, torch.Generator().manual_seed(0))
    if not isinstance(few, torch.Tensor) or few.shape != (3,):
        found = tuple(few.shape) if isinstance(few, torch.Tensor) else type(few).__name__
        raise Feedback(f"with draws = 3, expected a tensor (3,), got {found}: use `draws`.")
    if not got.is_floating_point() or not torch.isfinite(got).all():
        raise Feedback("expected finite numbers: some mean is NaN, or they are no floats.")
    if got.std() < 1e-6:
        raise Feedback("all your draws give the same mean: draw with replacement, anew each time.")
    _test_means(got.double())
    if not torch.equal(got, means(0)) or torch.equal(got, means(1)):
        raise Feedback(
            "draw with `generator`: the same one gives the same means, another one others."
        )


def _test_means(got):
    """Three pictures can be drawn in ten ways; each has a mean and a chance of its own."""
    drawn = list(combinations_with_replacement(_SIZES, 3))
    means = [sum(_HITS[g] for g in some) / sum(_SIZES[g] for g in some) for some in drawn]

    def are(values):
        return ((got[:, None] - torch.tensor(values).double()).abs() < 1e-5).any(1)

    odd = ~are(means)  # (draws,)
    if odd.any():
        once = [
            sum(_HITS[g] for g in set(some)) / sum(_SIZES[g] for g in set(some)) for some in drawn
        ]
        each = [sum(_HITS[g] / _SIZES[g] for g in some) / 3 for some in drawn]
        over_all = [sum(_HITS[g] for g in some) / sum(_SIZES.values()) for some in drawn]
        over_all = over_all if got.max() > 1 else []  # shares of 7 questions drawn singly, too
        for values, reason in (
            (
                once,
                "a picture that is drawn twice counts twice, with all its questions, and as many "
                "pictures are drawn as there are.",
            ),
            (
                each,
                "that is a mean over pictures; each question counts once, so pictures with many "
                "questions count more.",
            ),
            (over_all, "divide by the number of questions that were drawn, not of all."),
        ):
            if are(values)[odd].all():
                raise Feedback(f"{reason} ({int(odd.sum())} of {len(got)} means are off.)")
        if got.min() < 0 or got.max() > 1:
            raise Feedback("an accuracy is a share from 0 to 1, not per cent.")
        raise Feedback(
            f"{int(odd.sum())} of {len(got)} means are of no three whole pictures. Whole pictures "
            "are drawn, with all their questions and the answers that were given."
        )
    for some, mean in zip(drawn, means):
        chance = {1: 1, 2: 3, 3: 6}[len(set(some))] / 27
        seen, expected = int(((got - mean).abs() < 1e-5).sum()), chance * len(got)
        if abs(seen - expected) > 5 * math.sqrt(expected * (1 - chance)):
            raise Feedback(
                f"of three pictures, numbers {', '.join(map(str, some))} should be drawn together "
                f"{expected:.0f} times in {len(got)}; their mean comes out {seen} times. Draw as "
                "many pictures as there are, with replacement, each with the same chance."
            )


# 10.6 an interval from a few runs


def _runs(values):
    if len(values) < 2:
        raise ValueError(f"expected two or more runs, got {len(values)}")
    return torch.as_tensor(values, dtype=torch.double)


def _around(values, half):
    mean = _runs(values).mean().item()
    return mean - half, mean + half


def _t(k, share=0.975):
    return float(stats.t.ppf(share, k))


def _recipe_interval(values):
    found = t_interval(values)
    return found.low, found.high


def _one_deviation(values):
    return _around(values, _runs(values).std().item())


def _normal(values):
    return _around(values, 1.96 * _runs(values).std().item() / len(values) ** 0.5)


def _not_divided(values):
    return _around(values, _t(len(values) - 1) * _runs(values).std().item())


def _divided_by_k(values):
    return _around(values, _t(len(values) - 1) * _runs(values).std().item() / len(values))


def _biased(values):
    runs = _runs(values)
    return _around(values, _t(len(runs) - 1) * runs.std(correction=0).item() / len(runs) ** 0.5)


def _degrees_k(values):
    return _around(values, _t(len(values)) * _runs(values).std().item() / len(values) ** 0.5)


def _one_side(values):
    runs = _runs(values)
    return _around(values, _t(len(runs) - 1, 0.95) * runs.std().item() / len(runs) ** 0.5)


def _median(values):
    low, high = _recipe_interval(values)
    off = _runs(values).median().item() - _runs(values).mean().item()
    return low + off, high + off


def _half_width(values):
    low, high = _recipe_interval(values)
    return (low + high) / 2, (high - low) / 2


def _one_run_is_a_point(values):
    return (values[0], values[0]) if len(values) == 1 else _recipe_interval(values)


def _test_recipe_interval(function):
    rows = ([84.9, 84.5, 79.2], [70.0, 71.5, 68.0, 74.0, 69.5], [3.0, 9.0], [5.0, 6.0, 9.0])
    for values in rows:
        try:
            got = call(function, list(values))
        except ValueError:
            if len(values) != 2:
                raise
            raise Feedback("ValueError for two runs, which have an interval.") from None
        if isinstance(got, torch.Tensor | np.ndarray):
            got = got.tolist()
        if not isinstance(got, Sequence) or isinstance(got, str) or len(got) != 2:
            many = isinstance(got, Sequence) and not isinstance(got, str)
            found = f"{len(got)} entries" if many else kind(got)
            raise Feedback(f"expected the pair (low, high), got {found}.")
        for found, want, end in zip(got, _recipe_interval(values), ("lower", "upper")):
            compare(number(found), want, f"the {end} end for {values}")
    try:
        got = function([80.0])
    except ValueError:
        return
    except Exception as error:
        raise Feedback(f"one run: expected a ValueError, got {type(error).__name__}.") from None
    raise Feedback(f"one run has no interval: expected a ValueError, got {got!r}.")


# 10.8 a split without a leak


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


def _without_generator(picture, fraction, generator):
    groups = picture.unique()
    order = groups[torch.randperm(len(groups))]
    return torch.isin(picture, order[: round(fraction * len(groups))])


def _a_block(picture, fraction, generator):
    groups = picture.unique()
    start = int(torch.randint(len(groups), (1,), generator=generator))
    return torch.isin(picture, groups.roll(-start)[: round(fraction * len(groups))])


def _every_fifth(picture, fraction, generator):
    groups = picture.unique()
    step = round(1 / fraction)
    start = int(torch.randint(step, (1,), generator=generator))
    chosen = groups.roll(-start)[::step][: round(fraction * len(groups))]
    return torch.isin(picture, chosen)


def _test_split(function):
    for pictures, fraction in ((48, 0.2), (41, 0.5)):  # 9.6 and 20.5 pictures
        numbers = 3 * torch.arange(pictures) + 11  # they need not start at 0, or be without gaps
        sizes = 1 + torch.arange(pictures) % 5  # nor have all pictures as many questions
        picture = numbers.repeat_interleave(sizes)
        order = torch.randperm(len(picture), generator=torch.Generator().manual_seed(7))
        picture = picture[order]
        parts = [
            call(function, picture, fraction, torch.Generator().manual_seed(seed))
            for seed in (0, 0, *range(1, 31))
        ]
        for part in parts:
            _test_part(part, picture, fraction, pictures)
        if torch.equal(parts[0], parts[2]) and torch.equal(parts[0], parts[3]):
            raise Feedback("another generator gives the same split: it isn't drawn.")
        if not torch.equal(parts[0], parts[1]):
            raise Feedback("the same generator gives another split: draw with `generator`.")
        sides = torch.stack([torch.isin(numbers, picture[part]) for part in parts[1:]])
        if len(sides.unique(dim=1).T) < 0.9 * pictures or _neighbours(sides) > 0.6:
            raise Feedback("some pictures are always on the same side: draw each on its own.")


def _neighbours(sides):
    """The mean correlation of pictures with neighbouring numbers; near 0 where each is drawn."""
    off = sides.double() - sides.double().mean(0)  # (splits, pictures)
    off = off / off.norm(dim=0).clamp_min(1e-9)
    return (off[:, 1:] * off[:, :-1]).sum(0).mean().item()


def _test_part(part, picture, fraction, pictures):
    if (
        not isinstance(part, torch.Tensor)
        or part.dtype != torch.bool
        or part.shape != picture.shape
    ):
        found = (
            f"{part.dtype} {tuple(part.shape)}"
            if isinstance(part, torch.Tensor)
            else type(part).__name__
        )
        raise Feedback(
            f"expected a bool tensor (questions,), True for a test question, got {found}."
        )
    if part.all() or not part.any():
        raise Feedback("all questions are on one side.")
    both = set(picture[part].tolist()) & set(picture[~part].tolist())
    if both:
        raise Feedback(f"{len(both)} of {pictures} pictures have questions on both sides: a leak.")
    found, wanted = len(picture[part].unique()), round(fraction * pictures)
    if found != wanted:
        raise Feedback(
            f"with fraction {fraction}, expected {wanted} of {pictures} pictures in the test part, "
            f"got {found}. It is the fraction of the pictures that occur, rounded with round(), "
            "not of the questions, and not of all numbers up to the highest."
        )


EXERCISES = {
    "10.1": Exercise(
        "Which metric?",
        5,
        1,
        "c",
        choice(
            "c",
            {
                "a": "Look at the two models above: the one that never finds anything wins by it.",
                "b": "It is for classes that all matter alike, and a threshold is already built "
                "in: it can't say whether another threshold would find more.",
                "d": "The loss also counts how sure the model is of the 95 % that nobody asks "
                "about; it may fall while not a single case more is found.",
            },
        ),
        (
            "The family wants to know: of the true cases, how many are found, and how many alarms "
            "are false?",
            "Recall and precision say just that. Their curve says it for every threshold.",
        ),
    ),
    "10.2": Exercise(
        "Macro F1",
        8,
        2,
        _macro_f1,
        _test_macro_f1,
        (
            "For one class: where in the table are its hits, its false alarms and what was missed? "
            "Use F1 = 2 TP / (2 TP + FP + FN).",
            "The row sum of a class is TP + FN, the column sum TP + FP. What is their sum, and "
            "when is it 0?",
        ),
        mistakes=(
            (
                _micro,
                "That is the accuracy, or micro F1: every example counts alike. In macro F1 "
                "every class does.",
            ),
            (_macro_recall, "That is the mean recall: false alarms don't count in it."),
            (_macro_precision, "That is the mean precision: what was missed doesn't count in it."),
            (
                _f1_of_means,
                "First F1 of each class, then the mean; you take the means of precision "
                "and recall first.",
            ),
            (
                _by_support,
                "You weight the classes by how often they occur; macro counts each alike.",
            ),
            (_hits_once, "Hits count twice, above and below: 2 TP / (2 TP + FP + FN)."),
            (
                _hits_in_errors,
                "Row and column sums hold the hits already: you count them four times below.",
            ),
            (_last_class, "That is the F1 of the last class alone."),
            (_one_each, ""),
            (_empty_is_nan, ""),
            (
                _empty_is_0,
                "A class that neither occurs nor is said has no F1: leave it out of the mean.",
            ),
            (_only_said, "A class that occurs and is never said counts, with an F1 of 0."),
            (_only_occurring, "A class that is said and never occurs counts, with an F1 of 0."),
        ),
    ),
    "10.3": Exercise(
        "AUC by ranks",
        12,
        2,
        _auc,
        _test_auc,
        (
            "Compare each positive with each negative. What does a tie count?",
            "Give the scores of the positives a second axis, so that one comparison makes a table "
            "(positives, negatives).",
        ),
        mistakes=(
            (_ties_win, "A tie counts a half, not a whole."),
            (_ties_lose, "A tie counts a half, not nothing."),
            (_other_way, "That is the chance that the negative one is higher."),
            (_accuracy_at_half, "That is an accuracy at one threshold; AUC has none."),
            (_all_pairs, "Positives are compared with negatives only, not with all."),
            (
                _ranks_without_ties,
                "Equal scores must share the mean of their ranks; sorting gives "
                "them different ones.",
            ),
            (_ranks_from_0, "Ranks start at 1: your positives win one pair too few each."),
            (_never_below_half, "An AUC may be below a half: don't turn it round."),
        ),
    ),
    "10.4": Exercise(
        "Predict the interval",
        3,
        1,
        3.0,
        _test_width,
        (
            "Any number of points is an answer.",
            "For n independent answers it is about 200 * sqrt(p (1 - p) / n) points; here answers "
            "come in fours.",
        ),
    ),
    "10.5": Exercise(
        "The bootstrap by picture",
        15,
        3,
        _bootstrap,
        _test_bootstrap,
        (
            "What was drawn independently, pictures or questions? Draw that again. And what if it "
            "comes twice?",
            "Keep the rows of each picture in a list; draw as many pictures as there are with "
            "torch.randint, join their rows with torch.cat, and take the mean of `right` there.",
        ),
        mistakes=(
            (_by_question, ""),
            (_no_replacement, ""),
            (_picture_means, ""),
            (_half_as_many, ""),
            (_normal_noise, ""),
            (_half_without_replacement, ""),
            (_twice_counts_once, ""),
            (_by_all_questions, ""),
            (_not_a_number, ""),
            (_own_generator, ""),
            (_per_cent, ""),
        ),
    ),
    "10.6": Exercise(
        "From runs to an interval",
        8,
        2,
        _recipe_interval,
        _test_recipe_interval,
        (
            "Three parts: the mean, how much one run varies, and how many runs there are. Which of "
            "them does t need?",
            "The standard deviation (dividing by k - 1) over the root of k is the standard error "
            "of the mean; t has k - 1 degrees of freedom. Check the number of runs first.",
        ),
        mistakes=(
            (_one_deviation, "That is mean ± standard deviation: how much *one* run varies."),
            (_normal, "1.96 is for many runs; few runs need the larger t."),
            (_not_divided, "Divide the standard deviation by the root of k: a mean varies less."),
            (_divided_by_k, "Divide by the root of k, not by k."),
            (_biased, "The standard deviation divides by k - 1 here, not by k."),
            (_degrees_k, "t has k - 1 degrees of freedom, not k."),
            (_one_side, "The 95 % are in the middle: 2.5 % on each side, so 0.975."),
            (_median, "The interval stands around the mean, not the median."),
            (_half_width, "Return the two ends, not the mean and half the width."),
            (_one_run_is_a_point, ""),
        ),
    ),
    "10.7": Exercise(
        "Predict the confidence",
        2,
        1,
        60.0,
        prediction(0, 100, "%"),
        (
            "Any number of per cent is an answer.",
            "Would the model know that the pictures are strange to it? What in its training could "
            "have taught it to be less sure?",
        ),
    ),
    "10.8": Exercise(
        "A split without a leak",
        8,
        2,
        _split,
        _test_split,
        (
            "What must not be on both sides?",
            "Draw from picture.unique(), not from picture; torch.isin tells which questions go "
            "with what was drawn.",
        ),
        mistakes=(
            (_leaky, ""),
            (_first_ones, ""),
            (_not_random_size, ""),
            (_everything, ""),
            (_always_a_fifth, ""),
            (_of_all_numbers, ""),
            (_until_enough_questions, ""),
            (_without_generator, ""),
            (_a_block, ""),
            (_every_fifth, ""),
        ),
    ),
}

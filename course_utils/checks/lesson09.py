"""Lesson 09: measuring honestly."""

import torch

from course_utils.checks.feedback import (
    Exercise, Feedback, call, choice, compare, prediction,
)  # fmt: skip
from course_utils.metrics import auc


def _draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# 09.2 averages of averages


def _accuracy(batches):
    return sum(b.sum().item() for b in batches) / sum(len(b) for b in batches)


def _mean_of_means(batches):
    return sum(b.float().mean().item() for b in batches) / len(batches)


def _without_the_last(batches):
    return _accuracy(batches[:-1])


def _counts(batches):
    return sum(b.sum().item() for b in batches)


def _per_batch(batches):
    return sum(b.sum().item() for b in batches) / len(batches)


def _by_first_size(batches):
    return sum(b.sum().item() for b in batches) / (len(batches) * len(batches[0]))


def _test_accuracy(function):
    for seed, sizes in enumerate(((8, 8, 2), (5, 5, 5, 1))):
        batches = [_draw(10 * seed + i, n) < (0.8 if n > 2 else -0.5) for i, n in enumerate(sizes)]
        got = call(function, batches)
        got = got.item() if isinstance(got, torch.Tensor) and got.numel() == 1 else got
        compare(got, _accuracy(batches), f"the accuracy over batches of {sizes}")


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


# 09.6 a split without a leak


def _split(picture, fraction, generator):
    groups = picture.unique()
    order = groups[torch.randperm(len(groups), generator=generator)]
    return torch.isin(picture, order[: round(fraction * len(groups))])


def _leaky(picture, fraction, generator):
    return torch.rand(len(picture), generator=generator) < fraction


def _first_ones(picture, fraction, generator):
    return picture < fraction * (picture.max() + 1)


def _not_random_size(picture, fraction, generator):
    return ~_split(picture, fraction, generator)


def _everything(picture, fraction, generator):
    return torch.ones(len(picture), dtype=torch.bool)


def _test_split(function):
    picture = torch.arange(50).repeat_interleave(4)[torch.randperm(200)]
    parts = [call(function, picture, 0.2, torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    for part in parts:
        if not isinstance(part, torch.Tensor) or part.dtype != torch.bool or part.shape != (200,):
            raise Feedback("expected a bool tensor (questions,), True for a test question.")
        if part.all() or not part.any():
            raise Feedback("all questions are on one side.")
        both = set(picture[part].tolist()) & set(picture[~part].tolist())
        if both:
            raise Feedback(f"{len(both)} of 50 pictures have questions on both sides: a leak.")
        if len(picture[part].unique()) != 10:
            raise Feedback(
                f"expected 10 of 50 pictures in the test part, got {len(picture[part].unique())}."
            )
    if torch.equal(*parts):
        raise Feedback("another generator gives the same split: it isn't drawn.")


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
        "Averages of averages", 5, 1, _accuracy, _test_accuracy,
        (
            "Which batch does a question of the short last batch stand in, and how much does it "
            "count?",
            "Sum the right answers of all batches, sum their lengths, and divide once.",
        ),
        mistakes=(
            (_mean_of_means, "That is the mean of the batches' means: a question in a short batch "
             "counts more than one in a full batch."),
            (_without_the_last, "The last batch is missing."),
            (_counts, "That is the number of right answers; divide by how many there are."),
            (_per_batch, "You divide by the number of batches, not of questions."),
            (_by_first_size, "The last batch is shorter than the first."),
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
        ),
    ),
    "09.6": Exercise(
        "A split without a leak", 8, 2, _split, _test_split,
        (
            "What must not be on both sides?",
            "Draw a fifth of picture.unique(), then torch.isin(picture, chosen).",
        ),
        mistakes=(
            (_leaky, ""), (_first_ones, ""), (_not_random_size, ""), (_everything, ""),
        ),
    ),
}  # fmt: skip

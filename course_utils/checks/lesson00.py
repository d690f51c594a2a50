"""Lesson 00: how the course works."""

import torch

from course_utils.checks.feedback import Exercise, Feedback, call, compare, kind, number

# 00.1 shape of the joint representation


def _test_shape(value):
    if isinstance(value, torch.Size):
        value = tuple(value)
    if not isinstance(value, (tuple, list)):
        raise Feedback(f"expected three numbers in brackets, such as (1, 2, 3), got {kind(value)}.")
    value = tuple(value)
    if len(value) != 3:
        raise Feedback(f"expected three numbers, one a dimension, got {len(value)}.")
    batch, positions, dim = value
    if batch != 32:
        raise Feedback("the first dimension is the batch: one row for each of the 32 questions.")
    if dim != 64:
        raise Feedback("the last dimension is dim, the length of each vector.")
    if positions == 9 * 16:
        raise Feedback("positions: the patches stand behind the words, they are not multiplied.")
    if positions in (9, 16):
        raise Feedback("positions: words and patches are both read, so both count.")
    if positions != 9 + 16:
        raise Feedback(f"positions: {positions} is not it. There are words, then patches.")


# 00.2 accuracy over batches of different sizes


def accuracy(batches):
    """Share of right answers; `batches` is a list of (predictions, y), each (batch,) int64."""
    right = sum(int((predictions == y).sum()) for predictions, y in batches)
    return right / sum(len(y) for _, y in batches)


def mean_of_means(batches):
    """The wrong answer that the lesson shows on purpose: each batch counts the same."""
    shares = [(predictions == y).double().mean().item() for predictions, y in batches]
    return sum(shares) / len(shares)


def _test_accuracy(function):
    y = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2])
    predictions = torch.tensor([0, 1, 2, 0, 1, 0, 1, 1, 2])
    for batches, name in (
        ([(predictions[:8], y[:8])], "one batch"),
        ([(predictions[:4], y[:4]), (predictions[4:8], y[4:8])], "two batches of 4"),
        ([(predictions[:8], y[:8]), (predictions[8:], y[8:])], "a batch of 8 and a batch of 1"),
    ):
        compare(number(call(function, batches)), accuracy(batches), f"the accuracy of {name}")


def _wrong_answers(batches):
    return 1 - accuracy(batches)


def _last_batch(batches):
    return accuracy(batches[-1:])


def _count(batches):
    return sum(int((predictions == y).sum()) for predictions, y in batches)


def _per_batch(batches):
    return accuracy(batches) * sum(len(y) for _, y in batches) / (len(batches) * len(batches[0][1]))


EXERCISES = {
    "00.1": Exercise(
        "The shape of h",
        3,
        1,
        (32, 25, 64),
        _test_shape,
        (
            "h has a vector of length dim for every position, and positions are words then "
            "patches.",
            "Nine words and sixteen patches stand in one row: how many positions is that?",
        ),
    ),
    "00.2": Exercise(
        "Accuracy over batches",
        5,
        1,
        accuracy,
        _test_accuracy,
        (
            "The last batch is often smaller. Should its questions count more than the others?",
            "Add up the right answers of all batches, add up the sizes of all batches, and divide "
            "once, at the end.",
        ),
        mistakes=(
            (
                mean_of_means,
                "That is the mean of the batches' accuracies: a question in a small "
                "batch counts more than one in a large batch.",
            ),
            (_wrong_answers, "That is the share of wrong answers."),
            (_last_batch, "Only the last batch is counted."),
            (_count, "That is how many are right. Divide by how many there are."),
            (
                lambda batches: 100 * accuracy(batches),
                "That is in per cent; a share is from 0 to 1.",
            ),
            (lambda batches: accuracy(batches[:1]), "Only the first batch is counted."),
            (_per_batch, "That takes every batch to be as large as the first."),
        ),
    ),
}

"""Lesson 00: a model that sees, and how the course works."""

import numpy as np
import torch

from course_utils.checks.feedback import Exercise, Feedback, call, compare, kind, number, prediction

# 00.2 shape of the joint representation


def _test_shape(value):
    if isinstance(value, (torch.Tensor, np.ndarray)) and value.ndim == 1:
        value = value.tolist()
    if not isinstance(value, (tuple, list)):
        raise Feedback(f"expected three numbers in brackets, such as (1, 2, 3), got {kind(value)}.")
    value = tuple(value)
    if len(value) != 3:
        raise Feedback(f"expected three numbers, one per dimension, got {len(value)}.")
    for entry in value:
        if isinstance(entry, (str, bool)) or not hasattr(entry, "__float__"):
            raise Feedback(f"expected three numbers, got one entry that is {kind(entry)}.")
    batch, positions, dim = value
    if batch != 32:
        raise Feedback("the first dimension is the batch: one row for each of the 32 questions.")
    if dim != 64:
        raise Feedback("the last dimension is the length of each vector.")
    if positions == 9 * 16:
        raise Feedback("positions: the patches come after the words, they are not multiplied.")
    if positions in (9, 16):
        raise Feedback("positions: words and patches are both read, so both count.")
    if positions != 9 + 16:
        raise Feedback(f"positions: {positions} is not right. There are words, then patches.")


# 00.3 the exchange of pictures


def exchange(image_index, pictures):
    """The next picture for each question, the first one after the last: (questions,) int64."""
    return (image_index + 1) % pictures


def _test_exchange(function):
    cases = (
        (torch.tensor([0, 0, 0, 1, 1, 2, 3, 3]), 4),  # in order, as in easy-VQA
        (torch.tensor([2, 0, 0, 3, 1, 2]), 4),  # in another order
        (torch.tensor([1, 0, 1]), 6),  # nothing is asked about the last four
        (torch.tensor([5, 5, 4]), 6),
    )
    outcomes = [call(function, *case) for case in cases]
    for got, (own, pictures) in zip(outcomes, cases):
        if not isinstance(got, torch.Tensor):
            raise Feedback(f"expected a tensor of picture numbers, got {kind(got)}.")
        if got.is_floating_point() or got.dtype == torch.bool:
            raise Feedback("expected whole numbers, one picture number for each question.")
        if got.shape != own.shape:
            raise Feedback(
                f"expected one picture number for each question, shape {tuple(own.shape)}, got "
                f"shape {tuple(got.shape)}."
            )
        if got.min() < 0 or got.max() >= pictures:
            raise Feedback(
                f"with {pictures} pictures the numbers go from 0 to {pictures - 1}, got "
                f"{int(got.min())} to {int(got.max())}."
            )
        kept = int((got == own).sum())
        if kept:
            raise Feedback(f"{kept} of {len(own)} questions still have their own picture.")
        compare(got, exchange(own, pictures), "the picture of each question")


def _questions_forward(image_index, pictures):
    return image_index.roll(1)


def _questions_back(image_index, pictures):
    return image_index.roll(-1)


def _backwards(image_index, pictures):
    return image_index.flip(0)


def _mirrored(image_index, pictures):
    return pictures - 1 - image_index


def _no_wrap(image_index, pictures):
    return image_index + 1


def _stops(image_index, pictures):
    return (image_index + 1).clamp(max=pictures - 1)


def _before(image_index, pictures):
    return (image_index - 1) % pictures


def _largest(image_index, pictures):
    return (image_index + 1) % (image_index.max() + 1)


def _by_place(image_index, pictures):
    return torch.arange(len(image_index)) % pictures


SEVERAL = (
    "That moves the list of questions. Several questions in a row are about one picture, so "
    "most of them get the picture that they already have."
)

# 00.4 accuracy over batches of different sizes


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
        "Right with other pictures",
        3,
        1,
        10.0,
        prediction(0, 100, "%"),
        (
            "If the model answered from the picture alone, how often would another picture happen "
            "to give the same answer?",
            "Think of one question, such as 'is there a red shape?'. How many of all pictures "
            "give it the same answer as its own?",
        ),
    ),
    "00.2": Exercise(
        "The shape of h",
        5,
        1,
        (32, 25, 64),
        _test_shape,
        (
            "h has one vector for every position, and positions are words, then patches.",
            "Nine words and sixteen patches are one sequence: how many positions is that?",
        ),
    ),
    "00.3": Exercise(
        "Exchange the pictures",
        10,
        1,
        exchange,
        _test_exchange,
        (
            "Don't move entries of the list. Change each number: which picture comes after "
            "number 4?",
            "`image_index + 1` is right for every picture but the last. The operator `%` gives "
            "the remainder of a division: what is 4 % 4?",
        ),
        mistakes=(
            (_questions_forward, SEVERAL),
            (_questions_back, SEVERAL),
            (
                _backwards,
                "That reverses the list of questions, so most of them get some other picture and "
                "those in the middle may keep theirs. Change the numbers instead.",
            ),
            (
                _mirrored,
                "That exchanges first and last, second and last but one. Take the next picture: "
                "number 0 becomes 1, 1 becomes 2.",
            ),
            (_no_wrap, "After the last picture comes the first, number 0."),
            (_stops, "The last picture is followed by the first, not by itself."),
            (_before, "That is the picture before. Take the one after."),
            (
                _largest,
                "The last picture may have no question, so take `pictures`, not the largest "
                "number in `image_index`.",
            ),
            (_by_place, "That counts questions. Which picture does each one have now?"),
        ),
    ),
    "00.4": Exercise(
        "Accuracy over batches",
        7,
        1,
        accuracy,
        _test_accuracy,
        (
            "The last batch is often smaller. Should its questions count more than the others?",
            "Count over all batches first: right answers, and questions. What do you do with the "
            "two numbers?",
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

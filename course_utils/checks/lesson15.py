"""Lesson 15: video."""

import re

import numpy as np
import torch

from course_utils.checks.feedback import (
    Exercise,
    Feedback,
    call,
    choice,
    compare,
    number,
    prediction,
    value,
)
from course_utils.models.video import along_time

# 15.1 the bound


def _bound(forwards, backwards):
    same = [one == other for one, other in zip(forwards, backwards)]
    return (len(same) + sum(same)) / (2 * len(same))


def _always_half(forwards, backwards):
    return 0.5


def _share_that_stays(forwards, backwards):
    same = [one == other for one, other in zip(forwards, backwards)]
    return sum(same) / len(same)


def _half_of_those_that_turn(forwards, backwards):
    differ = [one != other for one, other in zip(forwards, backwards)]
    return sum(differ) / len(differ) / 2


def _never_right_where_they_turn(forwards, backwards):
    same = [one == other for one, other in zip(forwards, backwards)]
    return 2 * sum(same) / (2 * len(same) + 2 * (len(same) - sum(same)))


def _always_possible(forwards, backwards):
    return 1.0


def _one_answer_for_all(forwards, backwards):
    both = [*forwards, *backwards]
    return max(both.count(one) for one in both) / len(both)


def _test_bound(function):
    cases = (
        (["yes", "no", "red", "red", "left"], ["no", "yes", "red", "blue", "right"]),
        (["red", "no", "no"], ["red", "no", "no"]),
        (["yes"], ["no"]),
        ([3, 1, 4, 1, 5, 9, 2], [3, 1, 4, 1, 5, 2, 9]),
        ([2.5, 7.5], [float("2.5"), 3.5]),  # equal, and not the same object
    )
    for forwards, backwards in cases:
        got = number(call(function, forwards, backwards))
        what = f"the bound for {len(forwards)} clips and their reverses"
        compare(got, _bound(forwards, backwards), what)


# 15.3 each clip in an order of its own


def _reorder(v, order):
    return v[torch.arange(len(v))[:, None], order]


def _first_row_for_all(v, order):
    return v[:, order[0]]


def _where_it_goes(v, order):
    return _reorder(v, order.argsort(1))


def _clips_too(v, order):
    return v[order[:, 0] % len(v)][:, order[0]]


def _all_orders_of_each(v, order):
    return v[:, order]


def _no_axis_of_clips(v, order):
    return v[torch.arange(len(v)), order]


def _order_of_clips(v, order):
    return v[order]


def _gather_only(v, order):
    return v.gather(1, order)


def _sorted_back(v, order):
    return _reorder(v, order.sort(1).values)


def _test_reorder(function):
    generator = torch.Generator().manual_seed(3)
    for clips, frames, rest in ((4, 5, (2, 3)), (3, 3, ()), (1, 6, (2,)), (5, 2, (1, 1))):
        v = torch.randn(clips, frames, *rest, generator=generator)
        order = torch.rand(clips, frames, generator=generator).argsort(1)
        what = f"{clips} clips of {frames} frames"
        compare(call(function, v, order), _reorder(v, order), what)


# 15.4 the difference of two halves


def _difference(v):
    half = v.shape[1] // 2
    return v[:, v.shape[1] - half :].mean(1) - v[:, :half].mean(1)


def _middle_counts_late(v):
    half = v.shape[1] // 2
    return v[:, half:].mean(1) - v[:, :half].mean(1)


def _middle_counts_early(v):
    half = v.shape[1] - v.shape[1] // 2
    return v[:, half:].mean(1) - v[:, :half].mean(1)


def _middle_counts_twice(v):
    half = v.shape[1] // 2
    return v[:, half:].mean(1) - v[:, : v.shape[1] - half].mean(1)


def _earlier_minus_later(v):
    return -_difference(v)


def _last_minus_first(v):
    return v[:, -1] - v[:, 0]


def _sums(v):
    return _difference(v) * (v.shape[1] // 2)


def _along_patches(v):
    half = v.shape[2] // 2
    return v[:, :, v.shape[2] - half :].mean(2) - v[:, :, :half].mean(2)


def _one_mean_for_all(v):
    half = v.shape[1] // 2
    return (v[:, v.shape[1] - half :].mean() - v[:, :half].mean()).expand(v[:, 0].shape)


def _test_difference(function):
    generator = torch.Generator().manual_seed(5)
    for shape in ((3, 7, 4, 5), (2, 6, 2, 3), (1, 3, 2, 2), (2, 2, 3, 1)):
        v = torch.randn(*shape, generator=generator)
        what = f"the difference of {shape[1]} frames"
        compare(call(function, v), _difference(v), what)


# 15.5 attention over time


def _pair(rows):
    """For `along_time`, which expects attention's two outcomes."""
    return lambda h: (rows(h), None)


def _over_time(h, attend):
    return along_time(h, _pair(attend))


def _over_space(h, attend):
    return attend(h.flatten(0, 1)).view_as(h)


def _jointly(h, attend):
    return attend(h.flatten(1, 2)).view_as(h)


def _without_exchange(h, attend):
    batch, frames, patches, dim = h.shape
    return attend(h.reshape(batch * patches, frames, dim)).reshape(h.shape)


def _back_without_exchange(h, attend):
    return attend(h.transpose(1, 2).flatten(0, 1)).reshape(h.shape)


def _left_exchanged(h, attend):
    batch, frames, patches, dim = h.shape
    rows = attend(h.transpose(1, 2).flatten(0, 1))
    return rows.reshape(batch, patches, frames, dim)


def _clips_mixed(h, attend):
    batch, frames, patches, dim = h.shape
    rows = h.permute(2, 0, 1, 3).reshape(patches, batch * frames, dim)
    return attend(rows).reshape(patches, batch, frames, dim).permute(1, 2, 0, 3)


class _Attend:
    """In the place of attention: a weighted sum over positions, in which the order counts. Notes
    what it was given."""

    def __init__(self, dim):
        self.dim = dim
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, rows):
        self.shapes.append(tuple(rows.shape))
        if rows.ndim != 3:
            raise Feedback(
                f"`attend` takes (rows, positions, dim), it was given {tuple(rows.shape)}."
            )
        if rows.shape[2] != self.dim:
            raise Feedback(
                f"`attend` takes (rows, positions, {self.dim}), it was given {tuple(rows.shape)}: "
                f"only `dim` may be the last axis."
            )
        n = rows.shape[1]
        weights = torch.sin(1.0 + torch.arange(n * n, dtype=rows.dtype)).view(n, n)
        return weights @ rows  # (rows, positions, dim)


def _test_over_time(function):
    generator = torch.Generator().manual_seed(7)
    for shape in ((2, 5, 3, 4), (3, 2, 4, 2), (1, 3, 1, 2), (2, 1, 3, 2)):
        h = torch.randn(*shape, generator=generator)
        got = call(function, h, _Attend(shape[3]))
        what = "(batch, frames, patches, dim) = " + str(shape)
        compare(got, _over_time(h, _Attend(shape[3])), what)


# 15.6 how many products

PRODUCTS = (1024 * 1024, 1024 * (16 + 64))  # 16 frames of 64 patches

# 15.8 three quarters


def _test_three_quarters(answer):
    got = number(answer)
    if isinstance(got, (np.number, np.ndarray)) and np.size(got) == 1:
        got = np.asarray(got).item()
    if isinstance(got, (int, float)) and not isinstance(got, bool) and 0 < got <= 1:
        got = 100 * got
    compare(got, 75.0, "the share in per cent")


# 15.9 the mean of the futures


def _blur(futures):
    middle = futures.mean(0)
    return middle, (futures - middle).square().mean()


def _of_one_future(futures):
    middle = futures.mean(0)
    return middle, (futures[0] - middle).square().mean()


def _unbiased(futures):
    return futures.mean(0), futures.var(0).mean()


def _between_futures(futures):
    apart = (futures[:, None] - futures[None]).square().mean()
    return futures.mean(0), apart


def _summed(futures):
    middle = futures.mean(0)
    return middle, (futures - middle).square().sum(0).mean()


def _deviation(futures):
    middle = futures.mean(0)
    return middle, (futures - middle).square().mean().sqrt()


def _absolute(futures):
    middle = futures.mean(0)
    return middle, (futures - middle).abs().mean()


def _exchanged(futures):
    return _blur(futures)[::-1]


def _summed_over_numbers(futures):
    middle = futures.mean(0)
    return middle, (futures - middle).square().sum() / len(futures)


def _mean_of_all(futures):
    middle = futures.mean()
    return middle.expand(futures.shape[1:]), (futures - middle).square().mean()


def _middle_value(futures):
    middle = futures.median(0).values
    return middle, (futures - middle).square().mean()


def _test_blur(function):
    generator = torch.Generator().manual_seed(9)
    for shape in ((4, 3, 2, 5), (2, 6), (3, 1, 4), (1, 5)):
        futures = torch.randn(*shape, generator=generator)
        got = call(function, futures)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise Feedback("expected two things: the mean picture and its error.")
        middle, error = _blur(futures)
        compare(got[0], middle, f"the mean of {shape[0]} futures")
        compare(number(got[1]), error.item(), f"the least error of {shape[0]} futures")


# 15.10 frames in the order of time


def _in_time(names):
    def key(name):
        return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]

    return sorted(names, key=key)


def _alphabet(names):
    return sorted(names)


def _by_length(names):
    return sorted(names, key=len)


def _as_they_come(names):
    return list(names)


def _first_number(names):
    return sorted(names, key=lambda name: int(re.findall(r"\d+", name)[0]))


def _digits_joined(names):
    return sorted(names, key=lambda name: int("".join(re.findall(r"\d", name))))


def _last_number(names):
    return sorted(names, key=lambda name: int(re.findall(r"\d+", name)[-1]))


def _backwards(names):
    return _in_time(names)[::-1]


def _test_in_time(function):
    cases = (
        ["frame10.png", "frame1.png", "frame2.png"],
        [f"f{i:03d}.png" for i in (12, 3, 100)],
        ["a2_9.png", "a10_8.png", "a2_10.png", "a2_3.png", "a111_1.png", "a1_70.png"],
        ["s1_c2_f12000.png", "s1_c10_f3.png", "s1_c2_f999.png", "s2_c1_f7.png"],
        ["7.jpg", "11.jpg", "100.jpg", "9.jpg"],
    )
    for names in cases:
        got = call(function, names)
        if not isinstance(got, (list, tuple)):
            raise Feedback("expected a list of names.")
        want = _in_time(names)
        if sorted(map(str, got)) != sorted(names):
            raise Feedback(f"of {len(names)} names, other ones came back.")
        if list(got) != want:
            raise Feedback(f"{', '.join(names)}: they came back as {', '.join(map(str, got))}.")


EXERCISES = {
    "15.1": Exercise(
        "The bound for a set of frames",
        7,
        1,
        _bound,
        _test_bound,
        (
            "Take one clip with its reverse. The model gives both the same answer. How many of the "
            "two can be right if the right answers differ, and how many if they are equal?",
            "Count 2 for each pair with equal answers and 1 for each other pair. Of how many "
            "questions is that the share?",
        ),
        mistakes=(
            (_always_half, "Where the answer doesn't turn around, both of a pair can be right."),
            (
                _share_that_stays,
                "That leaves out the pairs that turn around: one of their two can be right.",
            ),
            (
                _half_of_those_that_turn,
                "That leaves out the pairs whose answer stays: both can be right.",
            ),
            (
                _never_right_where_they_turn,
                "In a pair that turns around one of the two is right, not none.",
            ),
            (_always_possible, "The model gives a clip and its reverse the same answer."),
            (
                _one_answer_for_all,
                "That is one answer for all clips. It may give each pair its own.",
            ),
        ),
    ),
    "15.2": Exercise(
        "Which model escapes the bound?",
        3,
        1,
        "d",
        choice(
            "d",
            {
                "a": "The maximum over frames doesn't change when they change places.",
                "b": "Without places in time attention treats its tokens as a set.",
                "c": "The fourth of seven frames is the fourth from both ends.",
            },
        ),
        (
            "Play each clip backwards in your mind. Does what the model gets change?",
            "Which frame of a clip of seven is the same frame of its reverse? Only the fourth.",
        ),
        mistakes=(("a", ""), ("b", ""), ("c", "")),
    ),
    "15.3": Exercise(
        "Each clip in an order of its own",
        8,
        2,
        _reorder,
        _test_reorder,
        (
            "`v[i, order[i]]` is right for clip i. Can you do it for all clips without a loop?",
            "Index with two tensors: one names the clip, (clips, 1), the other the frame, "
            "(clips, frames). A loop with `torch.stack` is right too.",
        ),
        mistakes=(
            (_first_row_for_all, "All clips got the order of the first one."),
            (
                _where_it_goes,
                "order[i, t] is the frame that comes at time t, not the time at which frame t "
                "comes.",
            ),
            (_clips_too, "The clips changed places too."),
            (_all_orders_of_each, "Each clip was given the orders of all clips."),
            (_sorted_back, "The frames are in their old order."),
            (
                _no_axis_of_clips,
                "The numbers of the clips (clips,) don't fit beside `order` (clips, frames): give "
                "them an axis of size 1.",
            ),
            (_order_of_clips, "Axis 0 of `v` is that of the clips: name the clip too."),
            (_gather_only, "`gather` wants an index with as many axes as `v`."),
        ),
    ),
    "15.4": Exercise(
        "Later minus earlier",
        6,
        1,
        _difference,
        _test_difference,
        (
            "How many frames has a half? For 7 frames it is 3, and frame 4 is left out.",
            "`v[:, :half]` are the first ones. Count from the end for the last ones, and take the "
            "mean over the axis of frames.",
        ),
        mistakes=(
            (_middle_counts_late, "With an odd number the middle frame was counted as late."),
            (
                _middle_counts_early,
                "With an odd number the middle frame was counted as early. (`chunk` does that.)",
            ),
            (_middle_counts_twice, "With an odd number the middle frame was counted in both."),
            (_earlier_minus_later, "The sign: it is later minus earlier."),
            (_last_minus_first, "That takes only the last and the first frame."),
            (_sums, "Those are sums. Take means of the halves."),
            (_along_patches, "That splits the patches. Frames are axis 1."),
            (_one_mean_for_all, "One number for all: the mean goes over the frames only."),
        ),
    ),
    "15.5": Exercise(
        "Attention over time",
        12,
        2,
        _over_time,
        _test_over_time,
        (
            "`attend` mixes along axis 1 of three axes. So frames must be axis 1, and clips and "
            "patches together axis 0.",
            "`transpose(1, 2)` puts patches before frames; `flatten(0, 1)` joins clips and patches "
            "into rows. Behind `attend` undo both, in the opposite order.",
        ),
        mistakes=(
            (_over_space, "That mixes the patches of each frame: attention over space."),
            (_jointly, "That mixes all patches of all frames: joint attention."),
            (
                _without_exchange,
                "The shape is right and the rows aren't: reshape only reads the numbers on in "
                "their order, so a row holds several patches. Exchange the axes first.",
            ),
            (
                _back_without_exchange,
                "On the way back, the axes must be exchanged again, not only reshaped.",
            ),
            (_left_exchanged, "Patches and frames are still exchanged in what you return."),
            (_clips_mixed, "Frames of different clips were mixed."),
        ),
    ),
    "15.6": Exercise(
        "Count the products",
        5,
        1,
        PRODUCTS,
        value(PRODUCTS, "(joint, divided)"),
        (
            "Jointly, each of the T P tokens meets T P keys.",
            "Divided, each token meets the T tokens of its patch, and then the P tokens of its "
            "frame. How many tokens are there?",
        ),
        mistakes=(
            ((1024, 80), "That is for one token. There are 16 times 64 of them."),
            ((1024**2, 16**2 + 64**2), "There are 64 rows of time, and 16 rows of space."),
            ((1024**2, 64 * 16**2), "The patches of each frame attend to each other too."),
            ((1024**2, 16 * 64**2), "Each patch attends over time too."),
            ((81_920, 1024**2), "The two are exchanged: (joint, divided)."),
        ),
    ),
    "15.7": Exercise(
        "Predict: two forms of the question",
        3,
        1,
        90.0,
        prediction(0, 100, "%"),
        (
            "Nothing about the clips has changed. What has a model to know now that it didn't need "
            "before?",
            "Suppose that it doesn't yet know which word is asked. What does knowing the order "
            "gain? And suppose that it knows the word, but not the order.",
        ),
    ),
    "15.8": Exercise(
        "Which share without binding?",
        5,
        2,
        75.0,
        _test_three_quarters,
        (
            "Split the clips: in half of them both objects move the same way.",
            "Where both move the same way it is always right. Where they don't, it has to guess "
            "between two.",
        ),
        mistakes=(
            (50.0, "Where both move the same way, no guess is needed."),
            (0.5, "Where both move the same way, no guess is needed."),
            (100.0, "Where they move in opposite ways, it doesn't know which one is asked for."),
            (1.0, "Where they move in opposite ways, it doesn't know which one is asked for."),
            (25.0, "That is the share of wrong answers."),
            (0.25, "That is the share of wrong answers."),
        ),
    ),
    "15.9": Exercise(
        "The blur and its error",
        8,
        2,
        _blur,
        _test_blur,
        (
            "The mean is taken over axis 0, the ways to go on.",
            "The error is a mean over everything: the ways, and all pixels. Which picture is taken "
            "off?",
        ),
        mistakes=(
            (_of_one_future, "That is the distance to the first future only."),
            (_unbiased, "`var` divides by one less than the number of futures. Divide by all."),
            (_between_futures, "Those are the distances between the futures, not to their mean."),
            (_summed, "The squared distances of the futures were added up, not averaged."),
            (_exchanged, "The two are exchanged: the prediction first, then its error."),
            (
                _summed_over_numbers,
                "The squares of a future's numbers were added up. Take the mean over them too.",
            ),
            (_deviation, "That is the root of it. Take the mean square itself."),
            (_absolute, "Those are absolute distances. Square them."),
            (_mean_of_all, "Each pixel has a mean of its own."),
            (_middle_value, "That is the median of the futures. Take the mean."),
        ),
    ),
    "15.10": Exercise(
        "Frames in the order of time",
        8,
        2,
        _in_time,
        _test_in_time,
        (
            "To a computer, '10' comes before '2', because it compares letter by letter. What has "
            "to be compared as a number?",
            "`re.split(r'(\\d+)', name)` cuts a name into letters and digits in turn. Make numbers "
            "of the digits, and sort by that list.",
        ),
        mistakes=(
            (_alphabet, "'10' still comes before '2'."),
            (_by_length, "Names of equal length are left as they came."),
            (_as_they_come, "They weren't sorted."),
            (_first_number, "Names may hold several numbers; the later ones count too."),
            (
                _digits_joined,
                "Several numbers counted as one (digits joined into one, or by length). They count "
                "one after the other.",
            ),
            (_last_number, "Names may hold several numbers; the first one counts first."),
            (_backwards, "They are in the order of time, but backwards."),
        ),
    ),
    "15.11": Exercise(
        "What sampling misses",
        3,
        1,
        80,
        value(80, "the share in per cent"),
        (
            "Of how many frames do you look at how many?",
            "The event is in one frame, each as likely. It is missed where that frame isn't looked "
            "at.",
        ),
        mistakes=(
            (20, "That is the share that is seen."),
            (0.8, "In per cent, please."),
            (83, "That would be 5 of 6. How many of 30 frames are left out?"),
        ),
    ),
}

"""Exercises of lessons 00 and 01: wrong answers are named, right ones written otherwise pass."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from course_utils.checks import check, feedback, lesson00, lesson01
from course_utils.datasets import load_easy_vqa
from course_utils.evaluation import baselines
from course_utils.notebook import machine

EXERCISES = lesson00.EXERCISES | lesson01.EXERCISES
PREDICTIONS = ("00.1", "01.1")


def accuracy_by_concatenation(batches):
    predictions, y = (torch.cat(parts) for parts in zip(*batches))
    return (predictions == y).float().mean()


def entropy_by_categorical(counts):
    return torch.distributions.Categorical((counts / counts.sum()).flatten()).entropy() / math.log(
        2
    )


def information_by_scikit_learn(table):
    return mutual_info_score(None, None, contingency=table.numpy()) / math.log(2)


def mode_by_sorting(train_questions, train_answers, test_questions):
    def commonest(answers):
        return max(sorted(set(answers)), key=answers.count)

    result = []
    for question in test_questions:
        same = [a for q, a in zip(train_questions, train_answers) if q == question]
        result.append(commonest(same or list(train_answers)))
    return result


def balanced_from_the_end(questions, answers):
    pairs = Counter(zip(questions, answers))
    kept = []
    for question in sorted(set(questions)):
        own = {a: n for (q, a), n in pairs.items() if q == question}
        for answer in own if len(own) > 1 else ():
            rows = [
                i for i, pair in enumerate(zip(questions, answers)) if pair == (question, answer)
            ]
            kept.extend(rows[-min(own.values()) :])
    return np.array(kept)


def stated_by_slices(question):
    if not question.startswith("what"):
        return set()
    return {w for w in lesson01.COLOURS | lesson01.SHAPES if f" {w}" in question}


def changed_by_sorting(scores, scores_moved):
    first, second = (part.sort(dim=-1).indices[:, -1].tolist() for part in (scores, scores_moved))
    return sum(a != b for a, b in zip(first, second)) / len(first)


def changed_by_marks(scores, scores_moved):
    best, moved = (
        part.softmax(-1) == part.softmax(-1).amax(-1, keepdim=True)
        for part in (scores, scores_moved)
    )
    return 1 - (best & moved).any(1).float().mean()


def shared_by_comparing(first, second):
    unique = first.unique(dim=0)
    return sum(bool((second == picture).flatten(1).all(1).any()) for picture in unique)


def exchange_by_looking_up(image_index, pictures):
    following = torch.arange(pictures).roll(-1)
    return following[image_index]


def exchange_by_choosing(image_index, pictures):
    return torch.where(image_index == pictures - 1, 0, image_index + 1).int()


RIGHT = [
    ("00.1", 33),
    ("00.2", [32, 25, 64]),
    ("00.2", torch.zeros(32, 25, 64).shape),
    ("00.2", torch.tensor([32, 25, 64])),
    ("00.2", np.array([32, 25, 64])),
    ("00.3", exchange_by_looking_up),
    ("00.3", exchange_by_choosing),
    ("00.4", accuracy_by_concatenation),
    ("01.1", 12),
    ("01.4", entropy_by_categorical),
    ("01.5", information_by_scikit_learn),
    ("01.2", mode_by_sorting),
    ("01.3", balanced_from_the_end),
    ("01.7", stated_by_slices),
    ("01.6", shared_by_comparing),
    ("01.8", changed_by_sorting),
    ("01.8", changed_by_marks),
]


@pytest.mark.parametrize(("number", "answer"), RIGHT)
def test_right_answers_written_differently_pass(number, answer, capsys):
    assert check(number, answer) is answer
    word = "noted" if number in PREDICTIONS else "right"
    assert capsys.readouterr().out == f"Exercise {number}: {word}.\n"


def test_every_exercise_has_such_an_answer():
    assert {number for number, _ in RIGHT} == set(EXERCISES)


@pytest.mark.parametrize("number", EXERCISES)
def test_the_reference_passes(number, capsys):
    check(number, EXERCISES[number].reference)
    assert ("noted" if number in PREDICTIONS else "right") in capsys.readouterr().out


def entropy_normalised(counts):
    return lesson01.entropy_bits(counts) / math.log2(len(counts))


def mode_of_the_test(train_questions, train_answers, test_questions):
    return train_answers[: len(test_questions)]


def entropy_of_a_list(counts):
    counts = [count for count in counts.tolist() if count != 0]
    return sum(n / sum(counts) * math.log2(sum(counts) / n) for n in counts)


def exchange_of_those_asked(image_index, pictures):
    asked = image_index.unique()
    return asked.roll(-1)[torch.searchsorted(asked, image_index)]


def entropy_by_filling_zeros(counts):
    counts[counts == 0] = 1e-12
    return lesson01.entropy_bits(counts)


def entropy_row_by_row(counts):
    total = counts.sum()
    return sum(-n / total * (n / total).log2() for n in counts if n > 0)


def changed_anywhere(scores, scores_moved):
    return (scores.argsort(1) != scores_moved.argsort(1)).any(1).double().mean()


def changed_ranks(scores, scores_moved):
    return (scores.argsort(1) != scores_moved.argsort(1)).double().mean()


def most_common_among_the_said(train_questions, train_answers, test_questions):
    said = lesson01.mode_per_question(train_questions, train_answers, test_questions)
    often = Counter(said).most_common(1)[0][0]
    return [a if q in train_questions else often for q, a in zip(test_questions, said)]


def rarest_answer(train_questions, train_answers, test_questions):
    pairs = list(zip(train_questions, train_answers))
    counts = [Counter(a for q, a in pairs if q == asked) for asked in test_questions]
    return [min(c, key=c.get) if c else "no" for c in counts]


def shared_by(key):
    return lambda first, second: len({key(p) for p in first} & {key(p) for p in second})


def shared_with_repeats(first, second):
    known = [Counter(p.numpy().tobytes() for p in part) for part in (first, second)]
    return sum((known[0] & known[1]).values())


# (exercise, wrong answer, words that the message must have)
WRONG = [
    ("00.2", (32, 9, 64), "words and patches are both read"),
    ("00.2", (32, 144, 64), "not multiplied"),
    ("00.2", (25, 32, 64), "first dimension is the batch"),
    ("00.2", (32, 25, 16), "last dimension is the length"),
    ("00.2", (32, 24, 64), "24 is not right"),
    ("00.2", (25, 64), "expected three numbers"),
    ("00.2", 25, "in brackets"),
    ("00.2", torch.zeros(32, 25, 64), "in brackets"),
    ("00.2", ("32", "25", "64"), "one entry that is a text"),
    ("00.3", exchange_of_those_asked, "2 of 3 values differ"),
    ("00.4", lesson00.mean_of_means, "counts more than one in a large batch"),
    ("00.4", lesson00._wrong_answers, "share of wrong answers"),
    ("00.4", lesson00._last_batch, "Only the last batch"),
    ("00.4", lesson00._count, "how many are right"),
    ("00.4", lesson00._per_batch, "as large as the first"),
    ("00.4", lambda batches: batches[0][0] == batches[0][1], "expected one number"),
    ("00.4", lambda batches: print(len(batches)), "got None. Does every path return"),
    ("00.4", lambda batches: "0.5", "expected a number, got a text"),
    ("00.4", lambda batches: 100 * lesson00.accuracy(batches), "in per cent"),
    ("00.4", lambda batches: lesson00.accuracy(batches[:1]), "Only the first batch"),
    ("00.1", 0.4, "Did you mean 40"),
    ("00.1", 101, "from 0 to 100"),
    ("00.1", "half", "from 0 to 100"),
    ("00.3", lesson00._questions_forward, "Several questions in a row"),
    ("00.3", lesson00._questions_forward, "still have their own picture"),
    ("00.3", lesson00._questions_back, "Several questions in a row"),
    ("00.3", lesson00._backwards, "reverses the list"),
    ("00.3", lesson00._backwards, "in the middle may keep theirs"),
    ("00.3", lesson00._mirrored, "Take the next picture"),
    ("00.3", lesson00._no_wrap, "comes the first, number 0"),
    ("00.3", lesson00._stops, "not by itself"),
    ("00.3", lesson00._before, "the picture before"),
    ("00.3", lesson00._largest, "may have no question"),
    ("00.3", lesson00._by_place, "counts questions"),
    ("00.3", lambda i, n: torch.randperm(n)[: len(i)], "expected one picture number"),
    ("00.3", lambda i, n: torch.randint(0, n, i.shape), "still have their own picture"),
    ("00.3", lambda i, n: [(k + 1) % n for k in i.tolist()], "got a list"),
    ("00.3", lambda i, n: (i + 1) / n, "whole numbers"),
    ("00.3", lambda i, n: i.add_(1) % n, "changes its input 1"),
    ("00.3", lambda i, n: (i + 2) % n, "the picture of each question"),
    ("01.1", 0.67, "Did you mean 67"),
    ("01.4", lesson01._entropy_per_column, "a table is one distribution"),
    ("01.4", lesson01._entropy_per_row, "a table is one distribution"),
    ("01.5", lambda table: lesson01.entropy_bits(table.sum(0)), "H(Y) alone"),
    ("01.5", lesson01._conditional_of_questions, "rows and columns are exchanged"),
    ("01.2", lesson01._empty_counter, "needs an answer too"),
    ("01.2", lambda a, b, c: lesson01.mode_per_question(a, b, c)[:6], "got a list of 6"),
    ("01.3", lambda q, a: set(lesson01.balanced_rows(q, a)), "got a set"),
    ("01.3", lambda q, a: [float(i) for i in lesson01.balanced_rows(q, a)], "got one with"),
    ("01.3", lambda q, a: [i in lesson01.balanced_rows(q, a) for i in range(17)], "a mask"),
    ("01.3", lambda q, a: [int(i in lesson01.balanced_rows(q, a)) for i in range(17)], "a mask"),
    ("01.3", lambda q, a: torch.tensor(lesson01.balanced_rows(q, a)).float(), "got one with 0.0"),
    ("01.3", lambda q, a: [[i] for i in lesson01.balanced_rows(q, a)], "got one with [0]"),
    ("01.3", lambda q, a: np.array(lesson01.balanced_rows(q, a))[None], "an array of 2 axes"),
    ("01.2", most_common_among_the_said, "Training never had it"),
    ("01.2", rarest_answer, "which is not it"),
    ("01.4", entropy_by_filling_zeros, "changes its input 1"),
    ("01.4", entropy_row_by_row, "counts may have any shape"),
    ("01.6", shared_by(id), "ids are given anew"),
    ("01.6", shared_by(lambda p: p[0].numpy().tobytes()), "the same first channel"),
    ("01.6", shared_by(lambda p: p.sort().values.numpy().tobytes()), "pixels in other places"),
    ("01.6", shared_by(lambda p: p[:, ::4, ::4].numpy().tobytes()), "got 1, which is too large"),
    ("01.6", shared_with_repeats, "twice on both sides"),
    ("01.7", lambda question: None, "got None"),
    ("01.8", lambda own, moved: (own.argmin(1) != moved.argmin(1)).double().mean(), "too small"),
    ("01.8", changed_anywhere, "too large"),
    ("01.8", changed_ranks, "too large"),
    (
        "01.3",
        lambda q, a: [i for i in lesson01.balanced_rows(q, a) if a[i] != "green"],
        "each answer that it has must stay",
    ),
    ("01.6", lesson01._first_repeated, "in the first"),
    ("01.6", lesson01._by_object, "which object they are"),
    ("01.6", lesson01._by_text, "look alike"),
    (
        "01.6",
        lambda f, s: len({p[0].numpy().tobytes() for p in f} & {p[0].numpy().tobytes() for p in s}),
        "too large",
    ),
    ("01.1", 130, "from 0 to 100"),
    ("01.1", "many", "from 0 to 100"),
    ("01.1", -1, "from 0 to"),
    ("01.4", lesson01._entropy_in_nats, "nats"),
    ("01.4", lesson01._entropy_of_counts, "divide by the sum first"),
    ("01.4", lesson01._entropy_without_zeros, "leave out what doesn't occur"),
    ("01.4", lesson01._entropy_mean, "not their mean"),
    ("01.4", lesson01._entropy_sign, "minus is missing"),
    ("01.4", entropy_normalised, "too"),
    ("01.4", lambda counts: counts / counts.sum(), "expected one number"),
    ("01.4", lesson01._entropy_of_counts_that_occur, "divide by the sum first"),
    ("01.4", lesson01._entropy_of_counts_weighted, "divide by the sum first"),
    ("01.4", entropy_of_a_list, "counts may have any shape"),
    ("01.5", lesson01._only_questions, "That is H(Q)"),
    ("01.5", lesson01.entropy_bits, "all cells"),
    ("01.5", lesson01._answers_minus_wrong_axis, "are mixed"),
    ("01.5", lesson01._questions_minus_wrong_axis, "are mixed"),
    ("01.5", lesson01._added, "take the second away"),
    ("01.5", lesson01._minus_missing, "H(Q) gets a plus"),
    ("01.5", lesson01._information_sign, "turned round"),
    ("01.6", lesson01._both_sides, "either side"),
    ("01.6", lesson01._all_repeated, "as if it were on both"),
    ("01.5", lesson01._conditional, "what the question leaves open"),
    ("01.5", lesson01._rows_alike, "weight the rows"),
    ("01.5", lesson01._information_in_nats, "nats"),
    ("01.5", lesson01._rows_summed, "weight each by the share"),
    ("01.2", lesson01._majority_only, "one answer for every question"),
    ("01.2", lesson01._last_answer, "last answer given in training"),
    ("01.2", lesson01._first_answer, "first answer given in training"),
    ("01.2", lesson01._no_fallback, "needs an answer too"),
    ("01.2", mode_of_the_test, "which is not it"),
    ("01.2", lambda a, b, c: {}, "one for each test question"),
    ("01.3", lesson01._balanced_overall, "within each question"),
    ("01.3", lesson01._keeps_single, "single answer"),
    ("01.3", lesson01._oversampled, "occur twice"),
    ("01.3", lesson01._one_each, "as many as the rarest"),
    ("01.3", lambda questions, answers: list(range(len(answers))), "not equally often"),
    ("01.3", lambda questions, answers: [99], "row numbers from 0 to 16"),
    ("01.3", lambda questions, answers: 7, "list of row numbers"),
    ("01.7", lesson01._stated_everywhere, "doesn't say so"),
    ("01.7", lesson01._stated_colours, "a shape as well"),
    ("01.7", lesson01._stated_with_question_mark, "take the question mark off"),
    ("01.7", lesson01._stated_shape_too, "gives nothing away"),
    ("01.7", lambda question: ["blue"], "expected a set"),
    ("01.6", lesson01._same_position, "another order"),
    ("01.6", lesson01._pairs, "Count each picture once"),
    ("01.6", lesson01._by_sum, "same sum of pixels"),
    ("01.6", lesson01._by_number, "the smaller side has"),
    ("01.8", lesson01._share_same, "that stay"),
    ("01.8", lesson01._changed_in_per_cent, "in per cent"),
    ("01.8", lesson01._how_many_changed, "Divide by how many"),
    ("01.8", lesson01._changed_scores, "Those are scores"),
    ("01.8", lesson01._changed_rows, "look for the highest"),
    ("01.8", lesson01._changed_largest, "but where it is"),
    ("01.8", lesson01._changed_columns, "Each row is one question"),
    ("01.8", lambda own, moved: own.argmax(1) != moved.argmax(1), "expected one number"),
    ("01.2", lesson01._last_fallback, "the most common answer of all"),
    ("01.2", lesson01._none_fallback, "Training never had it"),
    ("01.3", lesson01._neighbours, "don't stand together"),
    ("01.5", lesson01._without_questions, "H(Q) is missing"),
    ("01.6", lesson01._by_mean, "same mean colour"),
]


@pytest.mark.parametrize(("number", "answer", "words"), WRONG)
def test_wrong_answers_are_refused_with_the_reason(number, answer, words, capsys):
    check(number, answer)
    message = capsys.readouterr().out
    assert "not yet" in message and words in message, message


@pytest.mark.parametrize("number", EXERCISES)
def test_there_are_three_wrong_answers_for_each(number):
    assert sum(known == number for known, _, _ in WRONG) >= 3


def test_the_lesson_s_own_mode_equals_the_package_s():
    train = load_easy_vqa("train")
    test = load_easy_vqa("test", train.tokenizer, train.answers)
    answers = [train.answers[y] for y in train.y.tolist()]
    said = lesson01.mode_per_question(train.questions, answers, test.questions)
    expected = baselines.mode_per_question(train, test).predictions
    assert [train.answers.index(a) for a in said] == expected.tolist()


def test_machine_knows_its_versions_and_restores_threads():
    assert machine.versions()["torch"] == torch.__version__.partition("+")[0]
    assert machine.cores() >= 1
    threads = torch.get_num_threads()
    assert machine.single_core_rate() > 0
    assert torch.get_num_threads() == threads
    with pytest.raises(ValueError, match="size >= 1"):
        machine.matrix_rate(size=0)


def test_a_question_mark_left_on_has_one_reason(capsys):
    check("01.7", lesson01._stated_with_question_mark)
    message = capsys.readouterr().out
    assert "question mark" in message and "Or:" not in message, message


def test_mistakes_with_different_reasons_can_be_told_apart():
    """On all cases together: a reason is given only to what equals that mistake throughout."""
    for number in ("01.2", "01.3", "01.4", "01.5", "01.6", "01.7", "01.8"):
        this = EXERCISES[number]
        outcomes = []
        for wrong, reason in this.mistakes:
            with feedback.listening() as said:
                try:
                    this.test(wrong)
                except Exception:
                    outcomes.append((reason, list(said)))
        for i, (reason, said) in enumerate(outcomes):
            for other, others in outcomes[:i]:
                same = len(said) == len(others) and all(map(feedback.alike, said, others))
                assert reason == other or not same, (number, reason, other)


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("00.3", exchange_of_those_asked),
        ("01.2", rarest_answer),
        ("01.6", shared_with_repeats),
        ("01.6", shared_by(lambda p: p[0].numpy().tobytes())),
        ("01.6", shared_by(lambda p: p.sort().values.numpy().tobytes())),
        ("01.6", shared_by(lambda p: p.flatten().sort().values.numpy().tobytes())),
        ("01.6", shared_by(lambda p: p[:, 0].numpy().tobytes())),
    ],
)
def test_no_reason_is_given_that_belongs_to_another_mistake(number, answer, capsys):
    check(number, answer)
    message = capsys.readouterr().out
    assert "not yet" in message
    assert not any(reason in message for _, reason in EXERCISES[number].mistakes if reason)

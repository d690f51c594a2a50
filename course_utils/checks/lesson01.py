"""Lesson 01: what a picture adds."""

import math
from collections import Counter, defaultdict
from itertools import groupby
from typing import Any

import numpy as np
import torch

from course_utils.checks.feedback import Exercise, Feedback, call, compare, kind, number, prediction

COLOURS = {"black", "blue", "brown", "gray", "green", "red", "teal", "yellow"}
SHAPES = {"circle", "rectangle", "triangle"}

# 01.4 entropy


def entropy_bits(counts):
    """Entropy in bits of the distribution given by counts of any shape."""
    counts = torch.as_tensor(counts, dtype=torch.float64).flatten()  # (outcomes,)
    p = counts[counts > 0] / counts.sum()  # (outcomes that occur,)
    return (p * (1 / p).log2()).sum()  # (); 0 for a certain answer, not -0


def _test_entropy(function):
    cases = {
        "two equally frequent answers": [5.0, 5.0],
        "counts 1, 3": [1.0, 3.0],
        "counts 3, 1, 2, 2": [3.0, 1.0, 2.0, 2.0],
        "counts with a zero": [4.0, 0.0, 4.0],
        "a certain answer": [7.0, 0.0],
        "a table of two rows": [[3.0, 1.0], [0.0, 4.0]],
    }
    got = {name: number(_of_any_shape(function, torch.tensor(c))) for name, c in cases.items()}
    for name, counts in cases.items():
        compare(got[name], float(entropy_bits(counts)), f"the entropy of {name}")


def _of_any_shape(function, counts):
    """The learner's value; a loop over the rows of a table gets a reason, not only a TypeError."""
    try:
        return call(function, counts)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        if counts.ndim < 2:
            raise
        raise Feedback(
            "it works for a list of counts, and not for a table: counts may have any shape. "
            "Try counts.flatten() first."
        ) from error


def _entropy_in_nats(counts):
    return entropy_bits(counts) * math.log(2)


def _entropy_of_counts(counts):
    return -(counts * counts.log2()).sum()


def _entropy_of_counts_that_occur(counts):
    return _entropy_of_counts(counts[counts > 0])


def _entropy_of_counts_weighted(counts):
    counts = counts[counts > 0]
    return (counts * (counts.sum() / counts).log2()).sum()


def _entropy_without_zeros(counts):
    p = counts / counts.sum()
    return -(p * p.log2()).sum()


def _entropy_mean(counts):
    return entropy_bits(counts) / len(counts)


def _entropy_sign(counts):
    return -entropy_bits(counts)


def _entropy_per_column(counts):
    p = counts / counts.sum(0)
    return -torch.special.entr(p).neg().sum() / math.log(2)


def _entropy_per_row(counts):
    p = counts / counts.sum(-1, keepdim=True)
    return torch.special.entr(p).sum() / math.log(2)


# 01.5 mutual information


def mutual_information(table):
    """Mutual information in bits of rows and columns of a table of counts (questions, answers)."""
    table = torch.as_tensor(table)
    return entropy_bits(table.sum(0)) + entropy_bits(table.sum(1)) - entropy_bits(table)


def _test_information(function):
    tables = {
        "a table with rows of different sizes": [[6, 2, 0], [0, 1, 1], [3, 0, 1]],
        "a table where the question decides the answer": [[4, 0], [0, 4]],
        "a table where the question says nothing": [[2, 2], [3, 3]],
        "the tiny table": [[3, 1, 0, 0], [0, 0, 2, 2]],
    }
    tables = {n: torch.tensor(table, dtype=torch.float64) for n, table in tables.items()}
    got = {name: number(call(function, table)) for name, table in tables.items()}
    for name, table in tables.items():
        compare(got[name], float(mutual_information(table)), f"the information in {name}")


def _conditional(table):
    return entropy_bits(table) - entropy_bits(table.sum(1))


def _conditional_of_questions(table):
    return entropy_bits(table) - entropy_bits(table.sum(0))


def _only_answers(table):
    return entropy_bits(table.sum(0))


def _only_questions(table):
    return entropy_bits(table.sum(1))


def _answers_minus_wrong_axis(table):
    return entropy_bits(table.sum(0)) - _conditional_of_questions(table)


def _questions_minus_wrong_axis(table):
    return entropy_bits(table.sum(1)) - _conditional(table)


def _added(table):
    return entropy_bits(table.sum(0)) + _conditional(table)


def _minus_missing(table):
    return entropy_bits(table.sum(0)) - entropy_bits(table) - entropy_bits(table.sum(1))


def _information_sign(table):
    return -mutual_information(table)


def _rows_alike(table):
    rows = [entropy_bits(row) for row in table]
    return entropy_bits(table.sum(0)) - sum(rows) / len(rows)


def _information_in_nats(table):
    return mutual_information(table) * math.log(2)


def _without_questions(table):
    return entropy_bits(table.sum(0)) - entropy_bits(table)


def _rows_summed(table):
    return entropy_bits(table.sum(0)) - sum(entropy_bits(row) for row in table)


# 01.2 mode per question


def mode_per_question(train_questions, train_answers, test_questions):
    """Each question's most common training answer; the overall one for an unknown question."""
    counts = defaultdict(Counter)
    for question, answer in zip(train_questions, train_answers):
        counts[question][answer] += 1
    overall = Counter(train_answers).most_common(1)[0][0]
    return [counts[q].most_common(1)[0][0] if q in counts else overall for q in test_questions]


# Most common: "a?" yes, "b?" red, "c?" blue, "d?" no, and "no" over all. No question has it first
# or last, and the answers given to _ASKED have it no more often than others.
_ROWS = [
    *("d? yes", "a? no", "b? no", "c? no", "a? yes", "b? red", "d? no", "c? blue", "a? yes"),
    *("d? red", "b? blue", "c? yes", "a? red", "b? red", "d? no", "c? blue", "a? yes", "d? no"),
    *("b? red", "c? blue", "a? no", "d? blue", "c? no", "b? no", "d? blue"),
]
_TRAIN = tuple([row.split()[i] for row in _ROWS] for i in (0, 1))
# over all "red"
_OTHER = (["e?", "f?", "e?", "f?", "f?"], ["no", "red", "red", "red", "no"])
_ASKED = ["a?", "b?", "c?", "c?", "b?", "unknown?", "a?", "d?"]


def _test_mode(function):
    cases = [(*_TRAIN, _ASKED), (*_OTHER, ["unknown?", "f?"])]
    got = [call(function, *case) for case in cases]
    for said, (*training, asked) in zip(got, cases):
        if not isinstance(said, (list, tuple, np.ndarray, torch.Tensor)) or len(said) != len(asked):
            came = f" of {len(said)}" if isinstance(said, (list, tuple, dict, set, str)) else ""
            raise Feedback(
                f"expected a list of {len(asked)} answers, one for each test question, got "
                f"{kind(said)}{came}."
            )
        want = mode_per_question(training[0], training[1], asked)
        for question, one, right in zip(asked, said, want):
            if one != right and question == "unknown?":
                raise Feedback(
                    f"got {one!r} for 'unknown?'. Training never had it; take the most common "
                    "answer of all."
                )
            if one != right:
                raise Feedback(f"the answer to {question!r}: got {one!r}, which is not it.")


def _majority_only(train_questions, train_answers, test_questions):
    return [Counter(train_answers).most_common(1)[0][0]] * len(test_questions)


def _last_answer(train_questions, train_answers, test_questions):
    last = dict(zip(train_questions, train_answers))
    overall = Counter(train_answers).most_common(1)[0][0]
    return [last.get(q, overall) for q in test_questions]


def _no_fallback(train_questions, train_answers, test_questions):
    known = mode_per_question(train_questions, train_answers, train_questions)
    best = dict(zip(train_questions, known))
    return [best[q] for q in test_questions]


def _last_fallback(train_questions, train_answers, test_questions):
    known = set(train_questions)
    said = mode_per_question(train_questions, train_answers, test_questions)
    return [a if q in known else train_answers[-1] for q, a in zip(test_questions, said)]


def _none_fallback(train_questions, train_answers, test_questions):
    known = set(train_questions)
    said = mode_per_question(train_questions, train_answers, test_questions)
    return [a if q in known else None for q, a in zip(test_questions, said)]


def _empty_counter(train_questions, train_answers, test_questions):
    counts = defaultdict(Counter)
    for question, answer in zip(train_questions, train_answers):
        counts[question][answer] += 1
    return [counts[q].most_common(1)[0][0] for q in test_questions]


def _first_answer(train_questions, train_answers, test_questions):
    first = dict(zip(reversed(train_questions), reversed(train_answers)))
    overall = Counter(train_answers).most_common(1)[0][0]
    return [first.get(q, overall) for q in test_questions]


# 01.3 balancing


def balanced_rows(questions, answers):
    """Rows among which, for each question, all its answers occur equally often, as many as can be.
    Questions with a single answer are left out."""
    rows = defaultdict(lambda: defaultdict(list))
    for i, (question, answer) in enumerate(zip(questions, answers)):
        rows[question][answer].append(i)
    kept = []
    for by_answer in rows.values():
        if len(by_answer) > 1:
            fewest = min(map(len, by_answer.values()))
            kept += [i for group in by_answer.values() for i in group[:fewest]]
    return sorted(kept)


# "a?" 4 x no, 3 x yes; "b?" 3 x red, 2 x blue, 2 x green; "c?" yes only. The rows of a question
# don't stand together, and its first row has not its most common answer.
_PAIRS = [
    *("a? yes", "b? blue", "a? no", "c? yes", "b? red", "a? no", "b? green", "b? red", "a? yes"),
    *("c? yes", "a? no", "b? blue", "a? yes", "b? green", "c? yes", "a? no", "b? red"),
]
_BIASED = tuple([pair.split()[i] for pair in _PAIRS] for i in (0, 1))


def _test_balance(function):
    questions, answers = _BIASED
    got = call(function, list(questions), list(answers))
    if not isinstance(got, (list, tuple, np.ndarray, torch.Tensor)):
        raise Feedback(f"expected a list of row numbers, got {kind(got)}.")
    if isinstance(got, (np.ndarray, torch.Tensor)) and got.ndim != 1:
        raise Feedback(f"expected a list of row numbers, got {kind(got)} of {got.ndim} axes.")
    rows: list[Any] = [i.tolist() if hasattr(i, "tolist") else i for i in got]  # plain numbers
    for i in rows:
        if not isinstance(i, int):
            raise Feedback(f"expected a list of row numbers, got one with {i!r} in it.")
    if len(rows) == len(questions) and set(rows) <= {0, 1}:  # True and False are 1 and 0, too
        raise Feedback("that is a mask, True or False for each row: return the rows' numbers.")
    if rows and not (min(rows) >= 0 and max(rows) < len(questions)):
        raise Feedback(f"expected row numbers from 0 to {len(questions) - 1}.")
    if len(set(rows)) < len(rows):
        raise Feedback("some rows occur twice. A copy of an example is no new example.")
    counts = defaultdict(Counter)
    for i in rows:
        counts[questions[i]][answers[i]] += 1
    for question, wanted in (("a?", 2), ("b?", 3)):
        seen = counts[question]
        if len(seen) < wanted:
            raise Feedback(
                f"of the {wanted} answers of {question!r} only {len(seen)} are kept: "
                "each answer that it has must stay."
            )
        if len(set(seen.values())) > 1:
            raise Feedback(
                f"the answers kept for {question!r} are {dict(seen)}: not equally often."
            )
    if counts["c?"]:
        raise Feedback(
            "'c?' has a single answer. A blind model would be right on it every time, so "
            "nothing of it can stay."
        )
    best = len(balanced_rows(questions, answers))
    if len(rows) < best:
        raise Feedback(f"the {len(rows)} rows are balanced, but {best} could have been kept.")


def _neighbours(questions, answers):
    kept = []
    for _, rows in groupby(range(len(questions)), key=lambda i: questions[i]):
        rows = list(rows)
        part = balanced_rows([questions[i] for i in rows], [answers[i] for i in rows])
        kept += [rows[i] for i in part]
    return kept


def _balanced_overall(questions, answers):
    fewest = min(Counter(answers).values())
    groups = [[i for i, a in enumerate(answers) if a == name] for name in sorted(set(answers))]
    return [i for group in groups for i in group[:fewest]]


def _keeps_single(questions, answers):
    single = [i for i, q in enumerate(questions) if q == "c?"]
    return balanced_rows(questions, answers) + single


def _oversampled(questions, answers):
    kept = []
    for q in sorted(set(questions)):
        groups = [
            [i for i, a in enumerate(answers) if (questions[i], a) == (q, name)]
            for name in sorted(set(answers))
        ]
        groups = [g for g in groups if g]
        most = max(map(len, groups))
        kept += [g[k % len(g)] for g in groups for k in range(most)]
    return kept


def _one_each(questions, answers):
    first = {}
    for i, pair in enumerate(zip(questions, answers)):
        first.setdefault(pair, i)
    return [i for i in first.values() if questions[i] != "c?"]


# 01.7 what a question gives away


def stated(question):
    """The colours and shapes that an open question takes for granted; none for yes/no questions."""
    words = question.rstrip("?").split()
    return {w for w in words if w in COLOURS | SHAPES} if words[0] == "what" else set()


def _test_stated(function):
    questions = (
        "what is the blue shape?",
        "what color is the circle?",
        "what is the color of the triangle?",
        "what color does the circle have?",
        "what color is the shape?",
        "what shape is in the image?",
        "is there a red shape?",
        "does the image not contain a circle?",
    )
    got = [call(function, question) for question in questions]
    for question, one in zip(questions, got):
        if not isinstance(one, (set, frozenset)):
            raise Feedback(f"expected a set, such as {{'red'}} or set(), got {kind(one)}.")
        compare(set(one), stated(question), repr(question))


def _stated_everywhere(question):
    return {w for w in question.rstrip("?").split() if w in COLOURS | SHAPES}


def _stated_colours(question):
    return {w for w in stated(question) if w in COLOURS}


def _stated_with_question_mark(question):
    return {w for w in question.split() if w in COLOURS | SHAPES and question.startswith("what")}


def _stated_shape_too(question):
    return stated(question) | ({"shape"} if "shape" in question else set())


# 01.6 pictures on both sides of a split


def shared_pictures(first, second):
    """How many distinct pictures of `first` (n, 3, height, width) occur in `second` too."""
    return len({p.numpy().tobytes() for p in first} & {p.numpy().tobytes() for p in second})


def _pictures():
    """Pairs of splits with the number of pictures that they share, each pair with one trap."""
    generator = torch.Generator().manual_seed(1)
    pool = torch.randint(0, 256, (6, 3, 32, 32), generator=generator, dtype=torch.uint8)
    row = pool[:, :, 0, 10:20].clone()  # (6, 3, 10)
    pool[:, :, :4], pool[:, :, -4:] = 240, 240  # the same background, as in easy-VQA
    pool[:, :, 0, 10:20] = row  # where a shortened text shows nothing
    other = pool.clone()
    other[0], other[1] = pool[0].flip(2), pool[1].flip(1)  # the same pixels in other places
    other[2] = pool[2].roll(1, 0)  # the same pixels in other colours
    other[3, 0] = pool[3, 0] ^ 1  # another first channel
    other[4, 1:] = pool[4, 1:] ^ 1  # only the first channel is the same
    other[5, 1, 9, 21] = pool[5, 1, 9, 21] ^ 1  # one pixel
    one, two = pool[0].clone(), pool[0].clone()  # the same sum of pixels
    one[0, 9, 21], one[1, 9, 21] = 10, 20
    two[0, 9, 21], two[1, 9, 21] = 11, 19
    return {
        "two pictures that are both in the first": (pool[[0, 1, 2, 2]], pool[:2], 2),
        "splits without a common picture": (pool[:2], pool[3:6], 0),
        "splits with pictures in another order": (pool[:4], pool[[3, 4, 0, 5, 1]], 3),
        "a picture that is twice in the first": (pool[[0, 0, 1]], pool[[0, 2]], 1),
        "a picture that is twice in the second": (pool[[0, 1]], pool[[0, 2, 0]], 1),
        "a picture that is twice on both sides": (pool[[0, 0, 1]], pool[[2, 0, 0]], 1),
        "pictures with the same pixels in other places": (pool[:3], other[:3], 0),
        "pictures with the same sum of pixels": (one[None], two[None], 0),
        "pictures with the same first channel": (pool[4:5], other[4:5], 0),
        "pictures that differ in one pixel": (pool[5:], other[5:], 0),
    }


def _test_shared(function):
    cases = _pictures()
    got = {name: number(call(function, one, two)) for name, (one, two, _) in cases.items()}
    for name, (*_, want) in cases.items():
        compare(got[name], want, name)


def _same_position(first, second):
    n = min(len(first), len(second))
    return int((first[:n] == second[:n]).flatten(1).all(1).sum())


def _pairs(first, second):
    return int((first[:, None] == second[None]).flatten(2).all(2).sum())


def _first_repeated(first, second):
    known = {p.numpy().tobytes() for p in second}
    return sum(p.numpy().tobytes() in known for p in first)


def _second_repeated(first, second):
    return _first_repeated(second, first)


def _both_sides(first, second):
    return len(torch.cat([first, second]).unique(dim=0))


def _all_repeated(first, second):
    return len(first) + len(second) - _both_sides(first, second)


def _by_object(first, second):
    return len(set(first) & set(second))


def _by_text(first, second):
    return len({str(p) for p in first} & {str(p) for p in second})


def _by_sum(first, second):
    return len({int(p.sum()) for p in first} & {int(p.sum()) for p in second})


def _by_mean(first, second):
    means = [{tuple(p.float().mean((1, 2)).tolist()) for p in part} for part in (first, second)]
    return len(means[0] & means[1])


def _by_number(first, second):
    return len(set(range(len(first))) & set(range(len(second))))


# 01.8 answers that change when pictures are exchanged


def share_changed(scores, scores_moved):
    """Share of questions that get another answer; both (questions, answers)."""
    return (scores.argmax(1) != scores_moved.argmax(1)).double().mean()


def _scores():
    """Pairs of scores (questions, answers), in which other scores don't always change answers."""
    own = torch.tensor(
        [[3.0, 1, 2, 0], [0.0, 5, 2, 1], [1.0, 0, 4, 2], [2.0, 1, 0.5, 0], [4.0, 2, 1, 3]]
    )
    # other answers; only another lowest score, another second one, and a higher highest one
    moved = torch.tensor(
        [[2.0, 1, 3, 0], [0.0, 2, 5, 1], [0.0, 1, 4, 2], [2.0, 0.5, 1, 0], [6.0, 3, 1, 2]]
    )
    yield "where two answers of five change", own, moved
    yield "where none changes", own, own + 1
    yield "where all change", own, own.roll(1, 1)
    yield (
        "with seven questions and two answers",
        own[[0, 1, 2, 3, 1, 4, 0], :2],
        moved[[0, 1, 1, 3, 0, 4, 2], :2],
    )


def _test_changed(function):
    cases = list(_scores())
    got = [number(call(function, own, moved)) for _, own, moved in cases]
    for outcome, (what, own, moved) in zip(got, cases):
        compare(outcome, float(share_changed(own, moved)), f"the share {what}")


def _share_same(scores, scores_moved):
    return 1 - share_changed(scores, scores_moved)


def _changed_in_per_cent(scores, scores_moved):
    return 100 * share_changed(scores, scores_moved)


def _how_many_changed(scores, scores_moved):
    return (scores.argmax(1) != scores_moved.argmax(1)).sum()


def _changed_scores(scores, scores_moved):
    return (scores != scores_moved).double().mean()


def _changed_rows(scores, scores_moved):
    return (scores != scores_moved).any(1).double().mean()


def _changed_largest(scores, scores_moved):
    return (scores.amax(1) != scores_moved.amax(1)).double().mean()


def _changed_columns(scores, scores_moved):
    return (scores.argmax(0) != scores_moved.argmax(0)).double().mean()


MIXED = (
    "Rows and columns are mixed: table.sum(0) counts the answers, for H(Y), and table.sum(1) the "
    "questions, for H(Q)."
)
NEVER_HAD = (
    "A question that training never had needs an answer too: take the most common answer of all."
)
UNDIVIDED = "The logarithm is taken of the counts: divide by the sum first, p = counts / sum."

EXERCISES = {
    "01.1": Exercise(
        "Predict the blind accuracy",
        2,
        1,
        60.0,
        prediction(0, 100, "%"),
        (
            "There are 13 answers. Chance is one in 13, if nothing at all is known.",
            "About three of four questions can be answered by yes or no. Any number from 0 to 100 "
            "is an answer.",
        ),
    ),
    "01.2": Exercise(
        "The best blind model",
        10,
        2,
        mode_per_question,
        _test_mode,
        (
            "Count the training answers of each question string: a dictionary of Counters.",
            "A Counter has a method most_common. Count the answers of all questions together as "
            "well: where is that count needed?",
        ),
        mistakes=(
            (_majority_only, "That is one answer for every question."),
            (_last_answer, "That is the last answer given in training, not the most common."),
            (_first_answer, "That is the first answer given in training, not the most common."),
            (_last_fallback, "That is the last answer."),
            (_none_fallback, ""),
            (_no_fallback, NEVER_HAD),
            (_empty_counter, NEVER_HAD),
        ),
    ),
    "01.3": Exercise(
        "Balance a biased set",
        14,
        3,
        balanced_rows,
        _test_balance,
        (
            "Group the rows by question, and within a question by answer. How many of each answer "
            "can be kept at most?",
            "The rarest answer of a question sets the limit for its other answers. And a question "
            "with one answer only?",
        ),
        mistakes=(
            (_neighbours, "A question's rows don't stand together: collect them first."),
            (_balanced_overall, "Balance within each question: overall it is not enough."),
            (_keeps_single, ""),
            (_oversampled, ""),
            (_one_each, "Keep as many as the rarest answer of that question has, not one."),
        ),
    ),
    "01.4": Exercise(
        "Entropy",
        9,
        1,
        entropy_bits,
        _test_entropy,
        (
            "Turn counts into probabilities first: p = counts / counts.sum().",
            "An outcome with count 0 adds nothing, but 0 * log2(0) is nan. Leave such outcomes "
            "out, then take the sum of p times the surprise.",
        ),
        mistakes=(
            (_entropy_in_nats, "That is in nats: use log2 instead of log."),
            (_entropy_of_counts, UNDIVIDED),
            (_entropy_of_counts_that_occur, UNDIVIDED),
            (
                _entropy_of_counts_weighted,
                "The surprises are right, but weighted with counts: divide by the sum first.",
            ),
            (_entropy_without_zeros, "0 times log2(0) is nan: leave out what doesn't occur."),
            (_entropy_mean, "Entropy is a sum over the outcomes, weighted by p; not their mean."),
            (_entropy_sign, "log2(p) is never above 0, so a minus is missing."),
            (_entropy_per_column, "Divide by the sum of all counts: a table is one distribution."),
            (_entropy_per_row, "Divide by the sum of all counts: a table is one distribution."),
            (lambda c: entropy_bits(c) * math.log10(2), "That is with log10: use log2."),
            (
                lambda c: -(c / len(c) * (c / len(c)).log2()).sum(),
                "Probabilities are counts divided by their sum, not by how many there are.",
            ),
        ),
    ),
    "01.5": Exercise(
        "Mutual information",
        10,
        2,
        mutual_information,
        _test_information,
        (
            "I(Y; Q) = H(Y) - H(Y|Q). Add the rows up, and you have the counts of the answers.",
            "H(Y|Q) = H(Q, Y) - H(Q). entropy_bits of the whole table is H(Q, Y). For the others, "
            "add the table up along one of its dimensions.",
        ),
        mistakes=(
            (_conditional, "That is H(Y|Q), what the question leaves open."),
            (_conditional_of_questions, "That is H(Q|Y): rows and columns are exchanged."),
            (_rows_alike, "Each question must count as often as it occurs: weight the rows."),
            (_information_in_nats, "That is in nats."),
            (_only_answers, "That is H(Y) alone: take away what the question leaves open, H(Y|Q)."),
            (_only_questions, "That is H(Q), the entropy of the questions: add the rows up."),
            (entropy_bits, "That is H(Q, Y), the entropy of all cells."),
            (_answers_minus_wrong_axis, MIXED),
            (_questions_minus_wrong_axis, MIXED),
            (_added, "That is H(Y) plus H(Y|Q): take the second away."),
            (_minus_missing, "H(Y|Q) = H(Q, Y) - H(Q): taken away as a whole, H(Q) gets a plus."),
            (_information_sign, "The sign is turned round: H(Y) comes first, minus H(Y|Q)."),
            (_without_questions, "That is H(Y) - H(Q, Y): H(Q) is missing."),
            (_rows_summed, "The rows' entropies are summed: weight each by the share of its row."),
        ),
    ),
    "01.6": Exercise(
        "Pictures on both sides",
        9,
        2,
        shared_pictures,
        _test_shared,
        (
            "A set keeps each thing once, but it can't compare tensors by their pixels. Turn each "
            "picture into something that it can: bytes, or a tuple.",
            "picture.numpy().tobytes() can be put into a set. Make one set for each side.",
        ),
        mistakes=(
            (_same_position, "Pictures may stand in another order."),
            (_pairs, "Count each picture once, however often it occurs."),
            (_first_repeated, "Count each picture once, however often it occurs in the first."),
            (_second_repeated, "Count each picture once, however often it occurs in the second."),
            (
                _by_object,
                "Tensors in a set are told apart by which object they are, not by their pixels.",
            ),
            (_both_sides, "That counts the pictures of either side. Count those on both sides."),
            (
                _all_repeated,
                "A picture that occurs twice on one side is counted as if it were on both.",
            ),
            (_by_text, "PyTorch shortens the text of a long tensor: different ones look alike."),
            (_by_mean, "Two different pictures may have the same mean colour."),
            (_by_sum, "Two different pictures may have the same sum of pixels."),
            (
                _by_number,
                "That is how many pictures the smaller side has. Numbers and ids are given anew on "
                "each side, so they tell nothing: compare pixels.",
            ),
        ),
    ),
    "01.7": Exercise(
        "What a question gives away",
        7,
        2,
        stated,
        _test_stated,
        (
            "'is there a red shape?' doesn't say that there is one. 'what is the red shape?' does.",
            "Only questions that begin with 'what' take something for granted. Collect their words "
            "that are colours or shapes; take the question mark off first.",
        ),
        mistakes=(
            (_stated_everywhere, "A yes/no question asks whether it is there; it doesn't say so."),
            (_stated_colours, "A question can give away a shape as well."),
            (_stated_with_question_mark, "'circle?' is not 'circle': take the question mark off."),
            (_stated_shape_too, "The word 'shape' fits every picture, so it gives nothing away."),
        ),
    ),
    "01.8": Exercise(
        "Answers that change",
        5,
        1,
        share_changed,
        _test_changed,
        (
            "First find what the model answers to each question: the place of the highest score in "
            "each row.",
            "argmax(1) gives these places. Compare the two with !=, and take the mean of what "
            "comes out, as numbers.",
        ),
        mistakes=(
            (_share_same, "That is the share of answers that stay."),
            (_changed_in_per_cent, "That is in per cent; a share is from 0 to 1."),
            (_how_many_changed, "That is how many change. Divide by how many questions there are."),
            (_changed_scores, "Those are scores that change. The answer is the highest one."),
            (_changed_rows, "Scores may change and the answer stay: look for the highest one."),
            (_changed_largest, "How high the highest score is doesn't matter, but where it is."),
            (_changed_columns, "argmax goes along the questions there. Each row is one question."),
        ),
    ),
}

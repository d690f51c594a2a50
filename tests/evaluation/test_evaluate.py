"""Evaluation against scikit-learn, baselines against counting by hand."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix
from torch import nn

from course_utils.datasets import load_easy_vqa
from course_utils.evaluation.baselines import bag_of_words, majority, mode_per_question
from course_utils.evaluation.evaluate import Evaluation, evaluate, predict_logits


@pytest.fixture(scope="module")
def data():
    return load_easy_vqa("test").select(torch.arange(600))


def test_evaluation_equals_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    y, guess, family = torch.randint(0, 3, (3, 500), generator=generator)
    result = Evaluation(guess, y, family, ("a", "b", "c"), ("f", "g", "h", "never"))
    assert result.accuracy == pytest.approx(accuracy_score(y, guess))
    assert (result.confusion.numpy() == confusion_matrix(y, guess)).all()
    assert set(result.by_family) == {"f", "g", "h"}
    assert result.by_family["g"] == pytest.approx(
        accuracy_score(y[family == 1], guess[family == 1])
    )
    assert result.select(family == 1).accuracy == result.by_family["g"]


class Oracle(nn.Module):
    """Recognises each picture by its mean colour and looks the answers up."""

    def __init__(self, data, single=False):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        means = (data.images.float() / 255).mean((2, 3))
        self.table = {}
        for i, (q, y) in enumerate(zip(data.x.tolist(), data.y.tolist())):
            self.table[self.key(means[data.image_index[i]], q)] = y
        self.single, self.answers = single, len(data.answers)

    @staticmethod
    def key(mean, x):
        return tuple((mean * 1e4).round().int().tolist()), tuple(i for i in x if i)

    def forward(self, images, image_index, x, mask):
        assert not self.training
        means = images.mean((2, 3))
        y = torch.tensor(
            [self.table[self.key(means[i], q)] for i, q in zip(image_index.tolist(), x.tolist())]
        )
        return nn.functional.one_hot(y, self.answers).float()


def test_predictions_come_in_the_order_of_the_data(data):
    order = torch.randperm(600, generator=torch.Generator().manual_seed(1))
    mixed = data.select(order)
    model = Oracle(mixed).train()
    result = evaluate(model, mixed, images_per_batch=7)
    assert result.accuracy == 1 and model.training
    assert (predict_logits(model, mixed).argmax(1) == mixed.y).all()


def test_the_number_of_logits_must_fit(data):
    class Wrong(Oracle):
        def forward(self, *args):
            return super().forward(*args)[:, :5]

    with pytest.raises(ValueError, match=r"expected 13 logits .* got 5"):
        evaluate(Wrong(data), data)


def test_baselines(data):
    counts = Counter(data.y.tolist())
    assert majority(data, data).accuracy == pytest.approx(max(counts.values()) / 600)
    by_question = Counter()
    for question in set(data.questions):
        ys = [y for q, y in zip(data.questions, data.y.tolist()) if q == question]
        by_question[question] = max(Counter(ys).values())
    best = mode_per_question(data, data).accuracy
    assert best == pytest.approx(sum(by_question.values()) / 600)
    assert bag_of_words(data, data).accuracy <= best


class Fixed(nn.Module):
    """Gives the same logits to every question."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, images, image_index, x, mask):
        return self.logits.expand(len(x), -1)


def soft(data, rows):
    targets = torch.zeros(3, len(data.answers))
    for row, scores in zip(targets, rows):
        for answer, score in scores.items():
            row[answer] = score
    return replace(data.select(torch.arange(3)), y=targets)


def test_an_answer_that_is_unknown_is_no_answer(data):
    logits = [1.0] + [0.0] * (len(data.answers) - 1)
    found = evaluate(Fixed(logits), soft(data, [{0: 1.0}, {}, {1: 0.3}]))
    assert found.y.tolist() == [0, -1, 1] and found.accuracy == pytest.approx(1 / 3)
    assert found.confusion.sum() == 2 and sum(found.by_family.values()) <= len(found.by_family)


def test_each_of_equally_good_answers_is_right(data):
    logits = [0.0] * len(data.answers)
    logits[2] = 1.0
    found = evaluate(Fixed(logits), soft(data, [{0: 0.6, 2: 0.6}, {0: 0.9, 2: 0.6}, {2: 1.0}]))
    assert found.y.tolist() == [2, 0, 2] and found.right.tolist() == [True, False, True]


def test_a_model_that_answers_nan_is_not_measured(data):
    with pytest.raises(FloatingPointError, match="NaN for 3 of 3"):
        evaluate(Fixed([math.nan] + [0.0] * (len(data.answers) - 1)), soft(data, [{}, {}, {}]))

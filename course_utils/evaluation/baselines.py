"""Baselines that never see a picture. A result means nothing until it stands beside them."""

from collections import Counter, defaultdict

import numpy as np
import torch
from jaxtyping import Int
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import Tensor

from course_utils.datasets.batch import VQAData
from course_utils.evaluation.evaluate import Evaluation


def _evaluation(predictions: list[int] | np.ndarray, data: VQAData) -> Evaluation:
    ids = torch.as_tensor(np.asarray(predictions))  # (examples,)
    return Evaluation(ids, data.y, data.family, data.answers, data.families)


def majority(train: VQAData, test: VQAData) -> Evaluation:
    """The commonest answer of the training data, to every question."""
    answer = int(train.y.bincount().argmax())
    return _evaluation([answer] * len(test), test)


def mode_per_question(train: VQAData, test: VQAData) -> Evaluation:
    """For each question string its commonest training answer; for an unknown string the overall
    one. No function of the question string alone does better on the training data."""
    counts = defaultdict(Counter)
    for question, y in zip(train.questions, train.y.tolist()):
        counts[question][y] += 1
    overall = int(train.y.bincount().argmax())
    best = {question: c.most_common(1)[0][0] for question, c in counts.items()}
    return _evaluation([best.get(question, overall) for question in test.questions], test)


def bag_of_words(train: VQAData, test: VQAData) -> Evaluation:
    """Logistic regression on which words occur: word order and pictures are left out."""
    model = make_pipeline(CountVectorizer(binary=True), LogisticRegression(max_iter=300))
    model.fit(train.questions, train.y.numpy())
    return _evaluation(model.predict(test.questions), test)


def mode_scores(train: VQAData, test: VQAData) -> Int[Tensor, " examples"]:
    """As `mode_per_question`, where each answer has a score: the answer with the largest sum of
    training scores for each question string, (examples, answers) soft targets in both."""
    overall = int(train.y.sum(0, dtype=torch.float64).argmax())
    sums = defaultdict(Counter)  # question -> answer -> sum: a dense row each would fill gigabytes
    for row, answer in train.y.nonzero().tolist():
        sums[train.questions[row]][answer] += train.y[row, answer].item()
    best = {  # of equal sums the first answer
        question: min(total, key=lambda answer: (-total[answer], answer))
        for question, total in sums.items()
    }
    return torch.tensor([best.get(question, overall) for question in test.questions])

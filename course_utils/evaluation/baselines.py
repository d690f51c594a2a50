"""Baselines that never see a picture. A result means nothing until it stands beside them."""

from collections import Counter, defaultdict

import numpy as np
import torch
from jaxtyping import Int
from scipy.sparse import csr_array
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
    """As `mode_per_question`, where each answer has a score, (examples, answers) soft targets in
    both: the answer with the largest sum of training scores for each sequence of tokens."""
    overall = int(train.y.sum(0, dtype=torch.float64).argmax())
    asked = questions_as_tokens(train)
    # question -> answer -> sum: a dense row for each question would fill gigabytes
    sums: dict[tuple, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for row, answer in train.y.nonzero().tolist():
        sums[asked[row]][answer] += train.y[row, answer].item()
    best = {  # of equal sums the first answer
        question: min(total, key=lambda answer: (-total[answer], answer))
        for question, total in sums.items()
    }
    return torch.tensor([best.get(question, overall) for question in questions_as_tokens(test)])


def questions_as_tokens(data: VQAData) -> list[tuple[int, ...]]:
    """The tokens of each question: equal where a model can't tell two questions apart."""
    return [tuple(x[mask].tolist()) for x, mask in zip(data.x, data.mask)]


def words_scores(
    train: VQAData, test: VQAData, tokens: int = 4000, ridge: float = 1.0
) -> Int[Tensor, " examples"]:
    """As `bag_of_words`, where each answer has a score: the answer with the largest score by ridge
    regression, in closed form, on which of the most frequent `tokens` of the training questions
    occur. What is seen here no table of whole questions sees: a word that decides the answer."""
    seen = np.bincount(train.x[train.mask].numpy())  # (largest token + 1,)
    kept = np.argsort(-seen, kind="stable")[: min(tokens, int((seen > 0).sum()))]  # (tokens,)

    def occurs(data: VQAData) -> csr_array:  # (examples, tokens), 1 where a token occurs
        rows, places = data.mask.nonzero(as_tuple=True)
        ids = data.x[rows, places].numpy()
        column = np.full(max(len(seen), ids.max() + 1), -1)
        column[kept] = np.arange(len(kept))
        pairs = np.unique(np.stack([rows.numpy(), column[ids]])[:, column[ids] >= 0], axis=1)
        return csr_array((np.ones(pairs.shape[1]), pairs), (len(data), len(kept)))

    x, y = occurs(train), csr_array(train.y.numpy().astype(np.float64))
    gram = (x.T @ x).toarray() + ridge * np.eye(len(kept))  # (tokens, tokens)
    weights = np.linalg.solve(gram, (x.T @ y).toarray())  # (tokens, answers)
    questions = occurs(test)
    starts = range(0, len(test), 4096)  # all scores at once would fill gigabytes
    best = [(questions[i : i + 4096] @ weights).argmax(1) for i in starts]
    return torch.from_numpy(np.concatenate(best))

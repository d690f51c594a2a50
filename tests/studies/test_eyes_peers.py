"""The simplest peers of lesson 14's model."""

import pytest
import torch
from sklearn.linear_model import Ridge

from course_utils.datasets.files import data_path
from course_utils.datasets.instruction_sources import Source
from course_utils.datasets.instructions import Instruction
from course_utils.studies import eyes_peers
from course_utils.studies.runs import read_runs


def source(*rows):
    turns = tuple(Instruction(i, question, answer) for i, (question, answer) in enumerate(rows))
    return Source(torch.zeros(len(rows), 3, 64, 64, dtype=torch.uint8), turns, ("a",) * len(rows))


def test_the_most_common_answer_to_each_question():
    train = source(("red?", "yes"), ("red?", "no"), ("red?", "no"), ("how many?", "two"))
    test = source(("red?", "no"), ("red?", "yes"), ("how many?", "two"), ("new?", "no"))
    assert eyes_peers.most_common(train, test) == {"a": [2, 4]}


def test_ridge_is_scikit_learns():
    generator = torch.Generator().manual_seed(0)
    train, test = (torch.randn(n, 30, generator=generator) for n in (20, 7))
    y = torch.randint(3, (20,), generator=generator)
    theirs = Ridge(alpha=5.0).fit(train.numpy(), torch.nn.functional.one_hot(y).numpy())
    ours = eyes_peers.ridge_scores(train, y, test, penalty=5.0)  # (7, 3)
    assert ours.numpy() == pytest.approx(theirs.predict(test.numpy()), abs=1e-5)


def test_the_kept_peers():
    rows = {row["peer"]: row for row in read_runs(data_path("studies/eyes_peers.json"))}
    assert tuple(rows) == eyes_peers.PEERS
    kept = {row["model"]: row for row in read_runs(data_path("studies/eyes.json"))}["seeing"]
    asked = {kind: counts[1] for kind, counts in kept["marks"].items()}
    assert {kind: n for kind, (_, n) in rows["words"]["marks"].items()} == asked
    assert rows["ridge"]["penalty"] in eyes_peers.PENALTIES
    assert sum(rows["data"]["turns"].values()) <= kept["updates"] * 15  # 5 pictures, 3 turns

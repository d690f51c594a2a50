"""The study of lesson 14: what its models learn from and are asked, and its first updates."""

from collections import Counter

import pytest
import torch

from course_utils.datasets.files import data_path
from course_utils.datasets.instruction_sources import Source
from course_utils.datasets.instructions import Instruction
from course_utils.models import smollm2
from course_utils.studies import eyes
from course_utils.studies.runs import read_runs


@pytest.fixture(scope="module")
def tokenizer():
    try:
        return smollm2.load()[1]
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


def made_up(pictures=30):
    """A source with every kind of turn, six a picture."""
    rows, kinds = [], []
    for i in range(pictures):
        name = ("easy-VQA", "world", "emoji")[i % 3]
        rows += [Instruction(i, f"question {k}?", "yes") for k in range(6)]
        kinds += [f"{name} {k}" for k in range(6)]
    images = torch.zeros(pictures, 3, 64, 64, dtype=torch.uint8)
    return Source(images, tuple(rows), tuple(kinds))


def test_each_source_comes_as_often_as_it_should():
    source = made_up()
    turns = eyes.training_turns(source, seed=0)
    counts = Counter(source.kinds[6 * some[0].picture].split()[0] for some in turns)
    whole = 10 * 6 / eyes.TURNS  # groups in a pass over one of the sources
    assert counts == {name: round(whole * p) for name, p in eyes.PASSES.items()}
    assert all(len({row.picture for row in some}) == 1 for some in turns)
    assert turns == eyes.training_turns(source, seed=0) != eyes.training_turns(source, seed=1)


def test_exchanged_pictures_are_others_of_the_same_kind():
    pictures = torch.arange(9)
    kinds = ["a", "b", "a", "b", "a", "b", "a", "b", "a"]
    other = eyes.other_pictures(pictures, kinds)
    assert (other != pictures).all() and sorted(other.tolist()) == list(range(9))
    assert all(kinds[i] == kinds[j] for i, j in zip(pictures.tolist(), other.tolist()))


def test_a_rate_that_rises_as_in_the_whole_run():
    config = eyes.first_updates(10, total=3000)
    assert config.lr == pytest.approx(eyes.FIT.lr * 10 / 150) and config.precision == "no"
    with pytest.raises(ValueError, match="expected at most 150, the warm-up, got 151"):
        eyes.first_updates(151, total=3000)


def test_the_kept_runs_first_updates_repeat(tokenizer):
    rows = read_runs(data_path("studies/eyes.json"))
    kept = next(row for row in rows if (row["model"], row["seed"]) == ("seeing", 0))
    losses = eyes.first_losses(tokenizer, kept["updates"])
    assert losses == pytest.approx(kept["float32"], abs=0.05)  # one digit, on any processor
    assert losses[:10] == pytest.approx(kept["loss"][:10], abs=0.1)  # the run itself: bfloat16
    assert len(set(losses)) == len(losses) == eyes.REPEATED  # batches differ: the order is the same

"""What a first model asks for in a film: counting copies, and the kept runs."""

import torch

from course_utils.datasets.files import data_path
from course_utils.studies import film_picks as f
from course_utils.studies.active import EACH
from course_utils.studies.runs import read_runs


def test_a_copy_of_what_was_bought_before_is_not_new():
    original = torch.tensor([7, 7, 3, 3, 5, 9])
    first = torch.tensor([1])
    assert f.new_answers(torch.tensor([0]), first, original) == 0  # a copy of the first
    assert f.new_answers(torch.tensor([2, 3]), first, original) == 1  # copies of each other
    assert f.new_answers(torch.tensor([4, 5, 2, 0]), first, original) == 3


def test_at_most_one_of_each_group():
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5])
    groups, free = torch.tensor([4, 4, 2, 2, 1]), torch.tensor([False, True, True, True, True])
    assert f.one_each(scores, groups, free, 3).tolist() == [1, 2, 4]


def test_every_seed_is_there_once_and_nothing_is_more_than_was_bought():
    runs = read_runs(data_path("studies/film_picks.json"))
    assert [r["seed"] for r in runs] == list(f.SEEDS)
    for row in runs:
        counts = {name: n for name, n in row.items() if name != "seed"}
        assert len(counts) == 4 and all(0 < n <= EACH for n in counts.values())

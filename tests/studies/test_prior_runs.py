"""How the network of lesson 01 is trained, and its kept runs."""

import json

import pytest
import torch

from course_utils.datasets import load_easy_vqa
from course_utils.datasets.files import data_path
from course_utils.models.small import INITS, SmallNetwork
from course_utils.studies import prior_runs


@pytest.fixture(scope="module")
def data():
    return load_easy_vqa("test").select(torch.arange(120))


def network(data):
    return SmallNetwork(data.tokenizer.get_vocab_size(), len(data.answers))


def test_an_unknown_kind_of_batch_is_refused(data):
    with pytest.raises(ValueError, match="pictures, questions"):
        prior_runs.batched(data, "words", 0)


@pytest.mark.parametrize("kind", prior_runs.BATCHES)
def test_batches_hold_every_question_once(data, kind):
    y = torch.cat([batch.y for batch in prior_runs.batched(data, kind, 0)])
    assert y.sort().values.tolist() == data.y.sort().values.tolist()


def test_training_lowers_the_loss_and_stops_where_told(data):
    torch.manual_seed(0)
    losses = list(prior_runs.train(network(data), prior_runs.batched(data, "pictures", 0), 4))
    assert len(losses) == 4 and losses[-1] < losses[0]
    short = prior_runs.train(network(data), prior_runs.batched(data, "pictures", 0), 1, max_steps=2)
    assert len(list(short)) == 1


def test_kept_runs_are_whole():
    kept = json.loads(data_path("studies/prior_runs.json").read_text(encoding="utf-8"))
    assert kept["made"]["command"].startswith("python -m course_utils.studies prior_runs")
    runs = kept["runs"]
    keys = [(run["init"], run["batches"], run["seed"]) for run in runs]
    assert len(set(keys)) == len(keys)
    kinds = {batches for _, batches, _ in keys}
    for kind in kinds:  # both initialisations from the same seeds
        seeds = [{s for i, b, s in keys if (i, b) == (init, kind)} for init in INITS]
        assert seeds[0] == seeds[1] and len(seeds[0]) >= (3 if kind == "pictures" else 1)
    for run in runs:
        assert len(run["test"]) == len(run["loss"]) == 8
        assert all(0 < share < 1 for share in (*run["test"], run["shuffled"]))

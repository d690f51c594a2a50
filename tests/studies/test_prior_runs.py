"""The network of lesson 01 and its kept runs."""

import json

import pytest
import torch

from course_utils.datasets import load_easy_vqa
from course_utils.notebook import lab
from course_utils.studies import prior_runs


@pytest.fixture(scope="module")
def data():
    return load_easy_vqa("test").select(torch.arange(120))


def network(data, init="torch"):
    return prior_runs.SmallNetwork(data.tokenizer.get_vocab_size(), len(data.answers), init)


def test_size_and_shape(data):
    model, batch = network(data), data.__getitems__(list(range(20)))
    assert 135_000 < sum(p.numel() for p in model.parameters()) < 137_000
    logits = model(batch.images, batch.image_index, batch.x, batch.mask)
    assert logits.shape == (20, len(data.answers))


def test_word_order_padding_and_repetition_do_not_matter(data):
    model, batch = network(data), data.__getitems__([0])
    words = batch.x[:, 1:]
    other = torch.cat([batch.x[:, :1], words.flip(1), words[:, :1], torch.zeros_like(words)], dim=1)
    mask = torch.ones_like(other, dtype=torch.bool)
    mask[:, -words.shape[1] :] = False
    one = model(batch.images, batch.image_index, batch.x, batch.mask)
    two = model(batch.images, batch.image_index, other, mask)
    torch.testing.assert_close(one, two)


def test_keras_initialisation(data):
    torch.manual_seed(0)
    layer = network(data, "keras").picture[5]
    limit = (6 / (4096 + 32)) ** 0.5
    assert (layer.bias == 0).all()
    assert 0.99 * limit < layer.weight.abs().max() <= limit


def test_unknown_names_are_refused(data):
    with pytest.raises(ValueError, match="torch, keras"):
        network(data, "zeros")
    with pytest.raises(ValueError, match="questions, pictures"):
        prior_runs.batches(data, "words", 0)


@pytest.mark.parametrize("kind", prior_runs.BATCHES)
def test_batches_hold_every_question_once(data, kind):
    y = torch.cat([batch.y for batch in prior_runs.batches(data, kind, 0)])
    assert y.sort().values.tolist() == data.y.sort().values.tolist()


def test_training_lowers_the_loss_and_stops_where_told(data):
    torch.manual_seed(0)
    losses = list(prior_runs.train(network(data), prior_runs.batches(data, "pictures", 0), 4))
    assert len(losses) == 4 and losses[-1] < losses[0]
    short = prior_runs.train(network(data), prior_runs.batches(data, "pictures", 0), 1, max_steps=2)
    assert len(list(short)) == 1


def test_kept_runs_are_whole():
    kept = json.loads(lab.data_path("studies/prior_runs.json").read_text(encoding="utf-8"))
    assert kept["made"]["command"].startswith("python -m course_utils.studies prior_runs")
    runs = kept["runs"]
    keys = [(run["init"], run["batches"], run["seed"]) for run in runs]
    assert len(set(keys)) == len(keys)
    kinds = {batches for _, batches, _ in keys}
    for kind in kinds:  # both initialisations from the same seeds
        seeds = [{s for i, b, s in keys if (i, b) == (init, kind)} for init in prior_runs.INITS]
        assert seeds[0] == seeds[1] and len(seeds[0]) >= (3 if kind == "pictures" else 1)
    for run in runs:
        assert len(run["test"]) == len(run["loss"]) == 8
        assert all(0 < share < 1 for share in (*run["test"], run["shuffled"]))

"""The network of lesson 01."""

import pytest
import torch

from course_utils.datasets import load_easy_vqa
from course_utils.models.small import SmallNetwork


@pytest.fixture(scope="module")
def data():
    return load_easy_vqa("test").select(torch.arange(120))


def network(data, init="torch"):
    return SmallNetwork(data.tokenizer.get_vocab_size(), len(data.answers), init)


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


def test_an_unknown_initialisation_is_refused(data):
    with pytest.raises(ValueError, match="torch, keras"):
        network(data, "zeros")

"""Expressions as tensors."""

import pytest
import torch

from course_utils.datasets.expressions import (
    LocateData,
    encode_expressions,
    expression_words,
    locate_loader,
)
from course_utils.world.expressions import refer


@pytest.fixture(scope="module")
def given():
    return refer("train", 10, ("name", "side"))


def test_every_word_has_a_number_of_its_own(given):
    words = expression_words()
    assert words.names[0] == "[PAD]" and len(set(words.names)) == len(words)
    x, mask = encode_expressions(given.texts)
    for row, there, text in zip(x, mask, given.texts):
        said = [words.names[i] for i in row[there].tolist()]
        assert said == text.split() and (row[~there] == 0).all()


def test_a_row_holds_its_picture_its_words_and_its_box(given):
    v = torch.arange(10.0)[:, None, None].expand(10, 16, 320)
    data = LocateData(v, [given])
    batch = data.__getitems__([3, 7])
    assert batch.v[:, 0, 0].tolist() == [3, 7] and len(data) == 10
    longest = max(len(given.texts[i].split()) for i in (3, 7))
    assert batch.x.shape == (2, longest) and data[3].x.shape[0] == 1
    want = torch.from_numpy(given.wanted[[3, 7]]) / 64
    assert torch.allclose(batch.box, want.float())


def test_batches_are_shuffled_the_same_way_each_time(given):
    data = LocateData(torch.zeros(10, 16, 320), [given])
    one, two = ([b.column.tolist() for b in locate_loader(data, 4, 1)] for _ in range(2))
    assert one == two and len(one) == 2


def test_bad_input_is_named(given):
    with pytest.raises(ValueError, match="expected words of the world, got 'dog'"):
        encode_expressions(["the dog"])
    for texts in ([], ["the circle", ""]):
        with pytest.raises(ValueError, match="one word or more"):
            encode_expressions(texts)
    with pytest.raises(ValueError, match="as many pictures as expressions, \\[10\\], got 9"):
        LocateData(torch.zeros(9, 16, 320), [given])

"""Words, rows and batches of captions; labels of what is to be written."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_utils.datasets.captions import (
    CHINESE,
    END,
    PAD,
    PROMPTS,
    START,
    caption_data,
    caption_loader,
    caption_rows,
    encode_rows,
    prompt_ids,
    split,
    world_words,
)
from course_utils.objectives.language import IGNORE, answer_labels, shifted_loss
from course_utils.world import ANSWERS, captions, sample_scenes
from course_utils.world.descriptions import descriptions
from course_utils.world.language import LANGUAGES


@pytest.fixture(scope="module")
def scenes():
    return sample_scenes(40, np.random.default_rng(0))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_of_the_world_comes_back(scenes, language):
    table = world_words()
    for text in [*captions(scenes, 3, language), *descriptions(scenes, language)]:
        ids = table.ids(text)
        assert table.text([*ids, END, 5, 6]) == text
        assert min(ids) > END


def test_words_are_told_apart_and_unknown_ones_named():
    table = world_words()
    assert table.names[:3] == ("[PAD]", "[START]", "[END]")
    assert len(set(table.names)) == len(table)
    assert split("What colour is it?") == ["what", "colour", "is", "it"]
    assert split("红色圆形是大吗\uff1f") == list("红色圆形是大吗")
    with pytest.raises(ValueError, match=r"got 'purple' in 'a purple"):
        table.ids("a purple circle")
    assert set(CHINESE) == set(ANSWERS) and len(set(CHINESE.values())) == len(ANSWERS)


def test_a_row_is_prompt_start_text_end_and_padding():
    x, mask = encode_rows(["caption", "描述"], ["a red circle", "一个大红色圆形"])
    names = world_words().names
    assert [names[i] for i in x[0, :6]] == ["caption", "[START]", "a", "red", "circle", "[END]"]
    assert [names[i] for i in x[1]] == [*"描述", "[START]", *"一个大红色圆形", "[END]"]
    assert mask.sum(1).tolist() == [6, 11] and (x[~mask] == PAD).all()
    assert prompt_ids("caption").tolist() == x[:1, :2].tolist()
    for wrong in (([], []), (["caption"], [])):
        with pytest.raises(ValueError, match="a prompt for each text"):
            encode_rows(*wrong)


def test_rows_belong_to_their_scenes(scenes):
    kinds = [("en", "describe"), ("zh", "caption"), ("en", "caption"), ("en", "caption")]
    picture, prompts, told = caption_rows(scenes, kinds, seed=1)
    assert picture == 4 * list(range(40))
    assert prompts == [PROMPTS[kind] for kind in kinds for _ in range(40)]
    assert told[:40] == descriptions(scenes) and told[80:120] != told[120:]
    with pytest.raises(ValueError, match=r"got \('en', 'sing'\)"):
        caption_rows(scenes, [("en", "sing")])


def test_batches_hold_each_row_once_and_are_cut(scenes):
    v = torch.arange(40.0).view(40, 1, 1).expand(40, 16, 3)
    data = caption_data(v, scenes, [("en", "caption")])
    batches = list(caption_loader(data, 10, seed=2))
    assert len(batches) == 4 and len(data[0].x) == 1
    seen = torch.cat([b.v[:, 0, 0] for b in batches]).sort().values
    assert torch.equal(seen, torch.arange(40.0))
    for b in batches:
        assert b.mask.any(0).all() and torch.equal(b.mask, b.x != PAD)
        for v_row, x_row in zip(b.v, b.x):
            row = int(v_row[0, 0])
            assert torch.equal(data.x[row][: len(x_row)], x_row)
    again = list(caption_loader(data, 10, seed=2))
    assert all(torch.equal(a.x, b.x) for a, b in zip(batches, again))
    with pytest.raises(ValueError, match="expected 40 pictures"):
        caption_data(v[:3], scenes, [("en", "caption")])


def test_labels_and_the_shift():
    x = torch.tensor([[7, START, 9, 5, END, PAD], [7, 8, START, 9, END, PAD]])
    mask = x != PAD
    labels = answer_labels(x, mask, START, 2)
    no = IGNORE
    want = [[no, no, no, no, 9, 5, END, no], [no, no, no, no, no, 9, END, no]]
    assert labels.tolist() == want
    torch.manual_seed(0)
    logits = torch.randn(2, 8, 10)
    by_hand = [
        -logits[b, t - 1].log_softmax(-1)[token]
        for b, row in enumerate(want)
        for t, token in enumerate(row)
        if token != no
    ]
    assert torch.allclose(shifted_loss(logits, labels), torch.stack(by_hand).mean())
    # the padding of transformers' models: the loss of a library with the same labels
    shifted = F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:])
    assert torch.allclose(shifted_loss(logits, labels), shifted)
    twice = x.masked_fill(x == 5, START)  # a sampled text may hold one more
    assert answer_labels(twice, mask, START)[0].tolist() == [no, no, 9, START, END, no]
    with pytest.raises(ValueError, match="in each text"):
        answer_labels(x.masked_fill(x == START, 8), mask, START)
    with pytest.raises(ValueError, match="logits"):
        shifted_loss(logits[:, :5], labels)

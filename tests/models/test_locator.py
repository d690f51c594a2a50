"""Locators: shapes, what each way sees of the words, padding, and the context mask."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from course_utils.models.locator import (
    WAYS,
    FineStem,
    LocatorConfig,
    PatchLocator,
    QueryLocator,
    place_centres,
)
from course_utils.models.transformer import TransformerConfig, TransformerEncoder, TransformerLayer
from course_utils.models.vision import ConvStem

CONFIG = LocatorConfig(dim=16, mlp_dim=32, heads=2, vocab_size=20, max_words=6, visual_dim=10)


def model(way):
    torch.manual_seed(0)
    return (QueryLocator(CONFIG) if way == "queries" else PatchLocator(CONFIG, way)).eval()


def batch():
    torch.manual_seed(1)
    x, v = torch.randint(1, 20, (3, 5)), torch.randn(3, 16, 10)
    return x, v, torch.arange(5) < torch.tensor([[5], [2], [3]])


@pytest.mark.parametrize("way", [*WAYS, "queries"])
def test_every_way_gives_a_score_and_a_box_for_each_candidate(way):
    x, v, mask = batch()
    found = model(way)(x, v, mask)
    count = CONFIG.queries if way == "queries" else 16
    assert found.scores.shape == (3, count) and found.boxes.shape == (3, count, 4)
    assert (found.boxes[..., 2:] > found.boxes[..., :2]).all()


@pytest.mark.parametrize("way", [*WAYS, "queries"])
def test_padding_changes_nothing(way):
    x, v, mask = batch()
    locator = model(way)
    whole = locator(x, v, mask)
    alone = locator(x[1:2, :2], v[1:2], mask[1:2, :2])
    other = locator(x.masked_fill(~mask, 7), v, mask)
    for found, row in ((alone, 0), (other, 1)):
        assert torch.allclose(found.scores[row], whole.scores[1], atol=1e-5)
        assert torch.allclose(found.boxes[row], whole.boxes[1], atol=1e-5)


@pytest.mark.parametrize("way", [*WAYS, "queries"])
def test_words_and_picture_both_count(way):
    x, v, mask = batch()
    locator = model(way)
    before = locator(x, v, mask).scores
    assert not torch.allclose(locator(x % 19 + 1, v, mask).scores, before)
    assert not torch.allclose(locator(x, v.flip(1), mask).scores, before)


def test_the_places_of_two_towers_see_no_words():
    x, v, mask = batch()
    one = model("towers")
    boxes = [one(some, v, mask).boxes for some in (x, x % 19 + 1)]
    assert torch.equal(*boxes)
    t, u = one.sentence(x, mask), one.places(v)
    want = torch.einsum("bpd,bd->bp", u, t) / 4
    assert torch.allclose(one(x, v, mask).scores, want, atol=1e-5)


def test_places_are_numbered_row_by_row():
    centres = place_centres(16)
    assert centres[0].tolist() == [0.125, 0.125] and centres[1].tolist() == [0.375, 0.125]
    assert centres[4].tolist() == [0.125, 0.375]


def test_the_fine_stem_has_the_stem_s_features_and_their_four_quarters():
    torch.manual_seed(0)
    stem = ConvStem(8, width=4).eval()
    images = torch.rand(2, 3, 64, 64)
    v = FineStem(stem).eval()(images)  # (2, 16, 40)
    assert v.shape == (2, 16, 40) and torch.equal(v[..., :8], stem(images))
    fine = stem.blocks[:-1](images)  # (2, 8, 8, 8)
    place = v[:, 6, 8:].view(2, 8, 2, 2)  # row 1, column 2
    assert torch.equal(place, fine[:, :, 2:4, 4:6])


def test_an_unknown_way_is_refused():
    with pytest.raises(ValueError, match="towers, cross, joint, got 'sum'"):
        PatchLocator(CONFIG, "sum")


def encoder(**more):
    torch.manual_seed(3)
    config = TransformerConfig(dim=16, heads=2, mlp_dim=32, **more)
    return TransformerEncoder(config, cross=True).eval()


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_context_mask_of_true_changes_nothing_and_false_hides(norm):
    h, context = torch.randn(2, 5, 16), torch.randn(2, 4, 16)
    layers = encoder(norm=norm)
    plain, _ = layers(h, context=context)
    full, _ = layers(h, context=context, context_mask=torch.ones(2, 4, dtype=torch.bool))
    assert torch.allclose(plain, full, atol=1e-6)
    mask = torch.arange(4) < torch.tensor([[4], [2]])
    found, weights = layers(h, context=context, context_mask=mask, need_weights=True)
    short, _ = layers(h[1:], context=context[1:, :2])
    assert torch.allclose(found[1:], short, atol=1e-5)
    assert torch.allclose(found[:1], plain[:1], atol=1e-5)
    assert all((w[1, :, :, 2:] == 0).all() for w in weights)


def test_the_masked_layer_equals_pytorch_s():
    torch.manual_seed(4)
    theirs = nn.TransformerDecoderLayer(
        16, 2, 32, dropout=0, activation="gelu", batch_first=True, norm_first=True
    ).eval()
    config = TransformerConfig(dim=16, heads=2, mlp_dim=32)
    ours = TransformerLayer(config, cross=True).eval()
    pairs = (
        (ours.attention.qkv, theirs.self_attn.in_proj_weight, theirs.self_attn.in_proj_bias),
        (ours.attention.out, theirs.self_attn.out_proj.weight, theirs.self_attn.out_proj.bias),
        (ours.cross.qkv, theirs.multihead_attn.in_proj_weight, theirs.multihead_attn.in_proj_bias),
        (
            ours.cross.out,
            theirs.multihead_attn.out_proj.weight,
            theirs.multihead_attn.out_proj.bias,
        ),
        (ours.mlp[0], theirs.linear1.weight, theirs.linear1.bias),
        (ours.mlp[2], theirs.linear2.weight, theirs.linear2.bias),
    )
    with torch.no_grad():
        for mine, weight, bias in pairs:
            mine.weight.copy_(weight)
            mine.bias.copy_(bias)
        h, context = torch.randn(2, 5, 16), torch.randn(2, 4, 16)
        mask = torch.arange(4) < torch.tensor([[3], [2]])
        want = theirs(h, context, memory_key_padding_mask=~mask)
        found, _ = ours(h, context=context, context_mask=mask)
    assert torch.allclose(found, want, atol=1e-5)


def test_a_mask_of_numbers_is_refused():
    layers = encoder()
    with pytest.raises(ValueError, match="mask: expected bool"):
        layers(torch.randn(1, 2, 16), context=torch.randn(1, 3, 16), context_mask=torch.ones(1, 3))


def test_sizes_are_kept():
    assert replace(CONFIG, queries=3).queries == 3
    assert QueryLocator(replace(CONFIG, queries=3))(*batch()).boxes.shape == (3, 3, 4)

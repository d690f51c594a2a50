"""Ways to read a clip: which of them see order, and equality to plain implementations."""

import pytest
import torch
from torch import nn

from course_utils.models.video import (
    READERS,
    ClipAnswerer,
    ClipModule,
    DividedLayer,
    DividedSpaceTime,
    FrameDifference,
    FrameRecurrence,
    OneFrame,
    SpaceTime,
    along_space,
    along_time,
)

SETS = ("mean", "set", "middle frame")
V = torch.randn(3, 7, 16, 64, generator=torch.Generator().manual_seed(0))
X = torch.tensor([[1, 4, 5, 0], [1, 4, 6, 7], [1, 5, 0, 0]])
each = pytest.mark.parametrize("name", READERS)


def model(name):
    torch.manual_seed(1)
    return ClipAnswerer(READERS[name](), vocab_size=9, answers=5).eval()


@each
def test_one_interface(name):
    reader = READERS[name]()
    tokens = reader(V)
    assert tokens.shape == (3, reader.tokens, 64)
    assert model(name)(V, X, X > 0).shape == (3, 5)
    for wrong in (V[:, :6], V[..., :32], V[:, :, :9], V[0]):
        with pytest.raises(ValueError, match=r"expected \(batch, 7 frames, 16 patches, 64\)"):
            reader(wrong)


@each
def test_sets_do_not_see_the_reverse_and_the_others_do(name):
    with torch.no_grad():
        one, other = (model(name)(v, X, X > 0) for v in (V, V.flip(1)))
    apart = (one - other).abs().max()
    assert apart < 1e-5 if name in SETS else apart > 1e-3


@pytest.mark.parametrize("name", ["mean", "set"])
def test_sets_do_not_see_any_order(name):
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    with torch.no_grad():
        one, other = (model(name)(v, X, X > 0) for v in (V, V[:, order]))
    assert torch.allclose(one, other, atol=1e-5)


@each
def test_padding_and_other_clips_change_nothing(name):
    with torch.no_grad():
        all_of_them = model(name)(V, X, X > 0)
        alone = model(name)(V[2:], X[2:, :2], X[2:, :2] > 0)
    assert torch.allclose(all_of_them[2:], alone, atol=1e-5)


def test_recurrence_equals_a_walk_by_hand():
    reader = FrameRecurrence()
    cell = nn.GRUCell(64, 64)
    for mine, theirs in zip(cell.parameters(), reader.gru.parameters()):
        mine.data.copy_(theirs.data)
    tokens = reader(V)
    for patch in (0, 5, 15):
        state = torch.zeros(3, 64)
        for t in range(7):
            state = cell(V[:, t, patch], state)
        assert torch.allclose(tokens[:, patch], state + reader.place[patch], atol=1e-5)


def masked(layer, h, allowed):
    """One sub-layer over all tokens at once, by PyTorch's module with a mask."""
    theirs = nn.MultiheadAttention(64, layer.heads, batch_first=True)
    theirs.in_proj_weight.data.copy_(layer.qkv.weight)
    theirs.in_proj_bias.data.copy_(layer.qkv.bias)
    theirs.out_proj.weight.data.copy_(layer.out.weight)
    theirs.out_proj.bias.data.copy_(layer.out.bias)
    return theirs(h, h, h, attn_mask=~allowed, need_weights=False)[0]


def test_divided_attention_equals_masked_joint_attention():
    torch.manual_seed(2)
    layer = DividedLayer(64, 4, 256)
    for part in layer.parameters():
        nn.init.normal_(part, std=0.2)
    frame, patch = torch.arange(7).repeat_interleave(16), torch.arange(16).repeat(7)
    flat = V.flatten(1, 2)  # (3, 112, 64)
    with torch.no_grad():
        h = flat + masked(layer.over_time, layer.norms[0](flat), patch[:, None] == patch)
        h = h + masked(layer.over_space, layer.norms[1](h), frame[:, None] == frame)
        h = h + layer.mlp(layer.norms[2](h))
        assert torch.allclose(layer(V).flatten(1, 2), h, atol=2e-5)


def test_time_and_space_are_not_mixed_up():
    numbers = torch.arange(16.0).view(1, 1, 16, 1).expand(2, 7, 16, 1)
    average = lambda rows: (rows.mean(1, keepdim=True).expand_as(rows), None)
    assert torch.equal(along_time(numbers, average), numbers)
    assert (along_space(numbers, average) == 7.5).all()


@pytest.mark.parametrize("frames", [2, 3, 6, 7])
def test_difference_leaves_a_middle_frame_out(frames):
    torch.manual_seed(0)
    reader = FrameDifference(frames)
    v = torch.randn(2, frames, 16, 64)
    half = frames // 2
    later, earlier = v[:, frames - half :].mean(1), v[:, :half].mean(1)
    both = torch.cat([v.mean(1), later - earlier], -1)
    assert torch.allclose(reader(v), reader.mix(both) + reader.place, atol=1e-6)


def test_sizes_that_cannot_be_are_named():
    with pytest.raises(ValueError, match="two or more, got 1"):
        FrameDifference(1)
    with pytest.raises(ValueError, match="expected 0 to 6, got 7"):
        OneFrame(number=7)
    with pytest.raises(NotImplementedError, match="ClipModule has no `read`"):
        ClipModule()(V)


def test_places_are_tables_that_do_not_decay():
    from course_utils.training.fit import undecayed

    for reader in (SpaceTime(), DividedSpaceTime()):
        kept = undecayed(reader)
        assert {id(reader.place), id(reader.time)} <= kept

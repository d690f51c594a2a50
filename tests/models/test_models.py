"""Every model against an independent implementation, by value, with random weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import ViltConfig, VisualBertConfig, VisualBertModel
from transformers.models.vilt.modeling_vilt import ViltEncoder

from course_utils.models.attention import MultiHeadAttention, attention_weights
from course_utils.models.convert import copy_layer, from_visual_bert, qkv_gradient
from course_utils.models.fusion import CrossAttentionEncoder, TwoTowerEncoder
from course_utils.models.heads import AnswerHead
from course_utils.models.joint import JointConfig, JointEncoder, joint_mask
from course_utils.models.transformer import TransformerConfig, TransformerEncoder
from course_utils.models.vision import ConvStem, PatchStem, grid_side
from course_utils.models.vqa import VQAModel

DIM, HEADS, WORDS, PATCHES = 32, 4, 7, 16
CONFIG = JointConfig(dim=DIM, heads=HEADS, mlp_dim=64, vocab_size=50, visual_dim=24)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def random_inputs(batch=5):
    x = torch.randint(0, 50, (batch, WORDS))  # (batch, words)
    v = torch.randn(batch, PATCHES, 24)  # (batch, patches, visual_dim)
    lengths = torch.tensor([7, 3, 5, 1, 6][:batch])
    mask = torch.arange(WORDS) < lengths[:, None]  # (batch, words)
    return x, v, mask


def randomise(module):
    """Also biases and scales, which start at 0 and 1, where a mistake would not show."""
    for p in module.parameters():
        nn.init.normal_(p, std=0.2)
    return module.eval()


# Attention


@pytest.mark.parametrize("masked", [False, True])
def test_attention_weights_equal_scaled_dot_product_attention(masked):
    q, k, v = torch.randn(3, 2, HEADS, 6, 8).unbind(0)
    mask = torch.rand(2, 1, 6, 6) < 0.7 if masked else None
    if masked:
        mask[..., 0] = True
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(attention_weights(q, k, mask) @ v, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("need_weights", [False, True])
def test_multi_head_attention_equals_pytorch(cross, need_weights):
    ours = randomise(MultiHeadAttention(DIM, HEADS))
    theirs = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = ours.qkv.weight.data, ours.qkv.bias.data
    theirs.out_proj.load_state_dict(ours.out.state_dict())
    h, context = torch.randn(3, 6, DIM), torch.randn(3, 9, DIM) if cross else None
    keys = h if context is None else context
    mask = torch.rand(3, keys.shape[1]) < 0.6
    mask[:, 0] = True
    got, weights = ours(h, context, mask, need_weights)
    expected, expected_weights = theirs(
        h, keys, keys, key_padding_mask=~mask, average_attn_weights=False
    )
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-5)
    if need_weights:
        torch.testing.assert_close(weights, expected_weights, atol=1e-6, rtol=1e-5)
        assert (weights.masked_select(~mask[:, None, None].expand_as(weights)) == 0).all()


def test_dim_must_be_a_multiple_of_heads():
    with pytest.raises(ValueError, match="multiple of heads=5, got 32"):
        MultiHeadAttention(32, 5)


# Encoder and joint encoder


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_encoder_equals_pytorch(norm):
    config = TransformerConfig(dim=DIM, heads=HEADS, mlp_dim=64, norm=norm, layers=2)
    ours = randomise(TransformerEncoder(config))
    layer = nn.TransformerEncoderLayer(
        DIM, HEADS, 64, 0.0, "gelu", batch_first=True, norm_first=norm == "pre"
    )
    theirs = nn.TransformerEncoder(
        layer, 2, nn.LayerNorm(DIM) if norm == "pre" else None, enable_nested_tensor=False
    )
    for a, b in zip(ours.layers, theirs.layers):
        b.self_attn.in_proj_weight.data = a.attention.qkv.weight.data
        b.self_attn.in_proj_bias.data = a.attention.qkv.bias.data
        b.self_attn.out_proj.load_state_dict(a.attention.out.state_dict())
        b.linear1.load_state_dict(a.mlp[0].state_dict())
        b.linear2.load_state_dict(a.mlp[2].state_dict())
        b.norm1.load_state_dict(a.norm1.state_dict())
        b.norm2.load_state_dict(a.norm2.state_dict())
    if norm == "pre":
        theirs.norm.load_state_dict(ours.norm.state_dict())
    h = torch.randn(4, 9, DIM)
    mask = torch.rand(4, 9) < 0.7
    mask[:, 0] = True
    expected = theirs.eval()(h, src_key_padding_mask=~mask)
    got = ours(h, mask)[0]
    torch.testing.assert_close(got[mask], expected[mask], atol=1e-5, rtol=1e-5)


def test_pre_norm_encoder_equals_vilt():
    config = TransformerConfig(dim=DIM, heads=HEADS, mlp_dim=64, layers=2, norm_eps=1e-12)
    ours = TransformerEncoder(config).eval()
    theirs = randomise(
        ViltEncoder(
            ViltConfig(
                hidden_size=DIM,
                num_hidden_layers=2,
                num_attention_heads=HEADS,
                intermediate_size=64,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                layer_norm_eps=1e-12,
            )
        )
    )
    for layer, reference in zip(ours.layers, theirs.layer):
        copy_layer(layer, reference)
        layer.norm1.load_state_dict(reference.layernorm_before.state_dict())
        layer.norm2.load_state_dict(reference.layernorm_after.state_dict())
    h = torch.randn(4, 9, DIM)
    expected = theirs(h).last_hidden_state
    expected = F.layer_norm(expected, (DIM,), eps=1e-12)  # ViLT's model normalises after these
    torch.testing.assert_close(ours(h)[0], expected, atol=1e-5, rtol=1e-5)
    ours(h)[0].square().sum().backward()
    F.layer_norm(theirs(h).last_hidden_state, (DIM,), eps=1e-12).square().sum().backward()
    for layer, reference in zip(ours.layers, theirs.layer):
        torch.testing.assert_close(
            layer.attention.qkv.weight.grad, qkv_gradient(reference), atol=1e-4, rtol=1e-4
        )


def visual_bert():
    config = VisualBertConfig(
        vocab_size=50,
        hidden_size=DIM,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        intermediate_size=64,
        max_position_embeddings=32,
        visual_embedding_dim=24,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return randomise(VisualBertModel(config, add_pooling_layer=False))


def their_h(theirs, x, v, mask):
    return theirs(
        input_ids=x,
        attention_mask=mask.long(),
        visual_embeds=v,
        visual_attention_mask=torch.ones(v.shape[:2], dtype=torch.long),
    ).last_hidden_state


def test_joint_encoder_equals_visual_bert_in_values_and_gradients():
    theirs = visual_bert()
    x, v, mask = random_inputs()
    keep = joint_mask(mask, PATCHES)
    got, expected = from_visual_bert(theirs).eval()(x, v, mask), their_h(theirs, x, v, mask)
    torch.testing.assert_close(got[keep], expected[keep], atol=1e-5, rtol=1e-5)
    theirs, v = theirs.double(), v.double()  # gradients in float64: no rounding to allow for
    ours = from_visual_bert(theirs).double().eval()
    got, expected = ours(x, v, mask)[keep], their_h(theirs, x, v, mask)[keep]
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-6)
    weights = torch.randn_like(got)
    (got * weights).mean().backward()
    (expected * weights).mean().backward()
    pairs = {
        "token": (ours.embedding.token.weight, theirs.embeddings.word_embeddings.weight),
        "project": (ours.embedding.project.weight, theirs.embeddings.visual_projection.weight),
        "mlp": (
            ours.encoder.layers[0].mlp[0].weight,
            theirs.encoder.layer[0].intermediate.dense.weight,
        ),
        "norm": (
            ours.encoder.layers[1].norm2.weight,
            theirs.encoder.layer[1].output.LayerNorm.weight,
        ),
    }
    for name, (a, b) in pairs.items():
        grad = b.grad.clone()
        if name == "token":  # VisualBERT gives its padding id 1 no gradient
            a.grad[1] = grad[1] = 0
        torch.testing.assert_close(a.grad, grad, atol=1e-6, rtol=1e-6)
    for layer, reference in zip(ours.encoder.layers, theirs.encoder.layer):
        torch.testing.assert_close(
            layer.attention.qkv.weight.grad, qkv_gradient(reference), atol=1e-6, rtol=1e-6
        )


def test_visual_bert_with_another_activation_is_refused():
    config = VisualBertConfig(
        hidden_act="relu",
        hidden_size=DIM,
        num_attention_heads=HEADS,
        num_hidden_layers=1,
        intermediate_size=8,
    )
    with pytest.raises(ValueError, match=r"expected 'gelu'.*'relu'"):
        from_visual_bert(VisualBertModel(config))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_keeping_one_position_gives_the_same_values_and_gradients(norm):
    model = randomise(JointEncoder(JointConfig(**{**vars(CONFIG), "norm": norm})))
    x, v, mask = random_inputs()
    parameter = model.encoder.layers[0].attention.qkv.weight
    whole = model(x, v, mask)[:, :1]
    torch.testing.assert_close(model(x, v, mask, keep=1), whole, atol=1e-6, rtol=1e-5)
    (grad,) = torch.autograd.grad(whole.square().sum(), parameter)
    (kept,) = torch.autograd.grad(model(x, v, mask, keep=1).square().sum(), parameter)
    torch.testing.assert_close(kept, grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", [JointEncoder, TwoTowerEncoder, CrossAttentionEncoder])
def test_padding_changes_nothing_in_any_fusion(kind):
    model = randomise(kind(CONFIG))
    x, v, mask = random_inputs()
    for i, length in enumerate(mask.sum(1).tolist()):
        alone = model(x[i : i + 1, :length], v[i : i + 1])[:, 0]
        padded = model(x, v, mask)[i, 0]
        torch.testing.assert_close(padded[None], alone, atol=1e-5, rtol=1e-5)
    assert (model(x, v)[1, 0] - model(x, v, mask)[1, 0]).abs().max() > 1e-3  # the mask is used


def test_patch_order_matters_only_with_places():
    x, v, mask = random_inputs()
    order = torch.randperm(PATCHES)
    for places, expected in ((True, False), (False, True)):
        model = randomise(JointEncoder(CONFIG, visual_positions=places))
        same = torch.allclose(model(x, v, mask)[:, 0], model(x, v[:, order], mask)[:, 0], atol=1e-5)
        assert same == expected


@pytest.mark.parametrize("kind", [torch.float32, torch.long])
def test_a_mask_of_numbers_is_refused(kind):
    attention, h = MultiHeadAttention(8, 2), torch.randn(2, 3, 8)
    for need_weights in (False, True):
        with pytest.raises(ValueError, match="mask: expected bool"):
            attention(h, mask=torch.ones(2, 3, dtype=kind), need_weights=need_weights)


def test_attention_weights_of_the_joint_encoder():
    model = randomise(JointEncoder(CONFIG))
    x, v, mask = random_inputs()
    h, weights = model(x, v, mask, need_weights=True)
    torch.testing.assert_close(h, model(x, v, mask), atol=1e-5, rtol=1e-5)
    assert len(weights) == CONFIG.layers
    assert weights[0].shape == (5, HEADS, WORDS + PATCHES, WORDS + PATCHES)
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(5, HEADS, WORDS + PATCHES))


def test_scores_of_two_towers_have_rank_at_most_dim():
    model = randomise(TwoTowerEncoder(CONFIG)).double()
    x = torch.randint(0, 50, (100, WORDS))
    v = torch.randn(90, PATCHES, 24, dtype=torch.float64)
    scores = model.scores(x, v)
    assert scores.shape == (100, 90)
    assert torch.linalg.matrix_rank(scores) <= DIM


def test_two_towers_need_an_even_number_of_layers():
    with pytest.raises(ValueError, match=r"even number.*got 3"):
        TwoTowerEncoder(JointConfig(layers=3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, v, m: (x, v[..., :5], m), r"expected \(batch, patches, 24\), got \(5, 16, 5\)"),
        (lambda x, v, m: (x, v[:, :4], m), "expected 16 patches, got 4"),
        (lambda x, v, m: (x[:2], v, m), "as many texts as pictures, got 2 and 5"),
        (lambda x, v, m: (x, v, m[:, :3]), r"expected the shape of x \(5, 7\), got \(5, 3\)"),
        (lambda x, v, m: (x.repeat(1, 9), v, m), "at most 32 words, got 63"),
    ],
)
def test_wrong_shapes_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        JointEncoder(CONFIG)(*change(*random_inputs()))


def test_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="'pre' or 'post', got 'layer'"):
        TransformerConfig(norm="layer")


# Stems and the whole model


def test_patch_stem_equals_cutting_and_multiplying():
    stem = PatchStem(8, patch=16)
    images = torch.rand(2, 3, 64, 64)
    patches = F.unfold(images, 16, stride=16).transpose(1, 2)  # (images, patches, 3 * 16 * 16)
    expected = patches @ stem.project.weight.flatten(1).T + stem.project.bias
    torch.testing.assert_close(stem(images), expected, atol=1e-5, rtol=1e-5)


def test_stems_give_sixteen_patches_row_by_row():
    images = torch.zeros(1, 3, 64, 64)
    images[..., 22:26, 38:42] = 1  # in the middle of row 1, column 2: patch 6
    for stem in (PatchStem(8), ConvStem(64).eval()):
        v = stem(images)
        assert v.shape == (1, 16, stem.dim)
        change = (v - stem(torch.zeros_like(images))).norm(dim=-1)[0]  # (patches,)
        rows, columns = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
        centre = [(change * places.flatten()).sum() / change.sum() for places in (rows, columns)]
        assert abs(centre[0] - 1) < 0.5 and abs(centre[1] - 2) < 0.5


@pytest.mark.parametrize("stem", [PatchStem(8), ConvStem(16)])
def test_wrong_sides_are_named(stem):
    with pytest.raises(ValueError, match="multiples of 16, got 60x64"):
        stem(torch.zeros(1, 3, 60, 64))


def test_grid_side():
    assert grid_side(16) == 4
    with pytest.raises(ValueError, match="square number, got 15"):
        grid_side(15)


@pytest.mark.parametrize("kind", [JointEncoder, TwoTowerEncoder, CrossAttentionEncoder])
def test_encoding_each_picture_once_changes_nothing(kind):
    stem = ConvStem(24)
    model = VQAModel(stem, kind(CONFIG), AnswerHead(DIM, 13)).eval()
    x, _, mask = random_inputs()
    images, image_index = torch.rand(2, 3, 64, 64), torch.tensor([0, 1, 1, 0, 1])
    shared = model(images, image_index, x, mask)
    apart = model(images[image_index], torch.arange(5), x, mask)
    torch.testing.assert_close(shared, apart, atol=1e-5, rtol=1e-5)
    assert shared.shape == (5, 13)


def test_a_query_without_keys_reads_nothing_in_both_ways_and_has_a_finite_gradient():
    torch.manual_seed(0)
    attention, h = MultiHeadAttention(8, 2), torch.randn(2, 3, 8, requires_grad=True)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    fused, _ = attention(h, mask=mask)
    written, weights = attention(h, mask=mask, need_weights=True)
    torch.testing.assert_close(fused, written)
    assert (weights[1] == 0).all() and (weights[0, :, :, 2] == 0).all()
    written.square().sum().backward()
    assert h.grad.isfinite().all()

"""VGG, ResNet and ViT: equal by value to torchvision and timm, and refusing what is no picture."""

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from course_utils.models.cnn import VGG, BasicBlock, Bottleneck, ResNet, normalise, vgg_block
from course_utils.models.vit import ViT, ViTConfig, interpolate_positions, weights_from_timm

VGG11 = ((64, 1), (128, 1), (256, 2), (512, 2), (512, 2))


def pictures(side=64, count=2):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def shaken(model):
    """A model whose batch normalisations have statistics, scales and shifts of their own."""
    generator = torch.Generator().manual_seed(2)
    for name, value in model.state_dict().items():
        of_norm = "running" in name or "bn" in name or "downsample.1" in name
        if of_norm and value.is_floating_point():
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return model.eval()


@pytest.mark.parametrize(
    ("name", "options"),
    [("resnet18", {}), ("resnet50", dict(block=Bottleneck, blocks=(3, 4, 6, 3)))],
)
@torch.no_grad()
def test_torchvision_s_state_dict_loads_by_name_and_gives_its_logits(name, options):
    torch.manual_seed(0)
    theirs = shaken(getattr(torchvision.models, name)(num_classes=7))
    ours = ResNet(classes=7, **options).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    for side in (64, 72):
        want = theirs(pictures(side))
        assert (ours.classify(pictures(side)) - want).abs().max() < 1e-5 * want.abs().max().clip(1)


@torch.no_grad()
def test_small_stem_equals_torchvision_with_its_stem_replaced():
    theirs = torchvision.models.resnet18(num_classes=5)
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    ours = ResNet(stem="small", classes=5).eval()
    ours.load_state_dict(shaken(theirs).state_dict())
    want = theirs(pictures(32))
    assert ours(pictures(64)).shape == (2, 64, 512)  # 8x8 patches
    assert (ours.classify(pictures(32)) - want).abs().max() < 1e-5 * want.abs().max().clip(1)


def test_gradients_equal_torchvision_s_while_training():
    torch.manual_seed(0)
    theirs, ours = torchvision.models.resnet18(num_classes=3), ResNet(classes=3)
    ours.load_state_dict(theirs.state_dict())
    theirs, ours, images = theirs.double(), ours.double(), pictures(64, 4).double()
    theirs(images).square().sum().backward()
    ours.classify(images).square().sum().backward()
    for one, other in zip(ours.parameters(), theirs.parameters()):
        assert torch.allclose(one.grad, other.grad, atol=1e-9)
    assert torch.allclose(ours.bn1.running_var, theirs.bn1.running_var)


@torch.no_grad()
def test_vgg_takes_the_weights_of_torchvision_s_features():
    for norm, name in (("none", "vgg11"), ("batch", "vgg11_bn")):
        theirs = shaken(getattr(torchvision.models, name)(num_classes=2).features)
        ours = VGG(VGG11, norm=norm).eval()
        ours.features.load_state_dict(theirs.state_dict(), strict=True)
        want = theirs(pictures()).flatten(2).transpose(1, 2)
        assert torch.allclose(ours(pictures()), want, atol=1e-6)


def test_vgg_block_halves_the_sides_and_small_vgg_gives_sixteen_patches():
    block = nn.Sequential(*vgg_block(3, 8, convs=3))
    assert block(pictures(20)).shape == (2, 8, 10, 10)
    assert [type(m) for m in block].count(nn.Conv2d) == 3
    model = VGG(classes=4)
    assert model(pictures()).shape == (2, 16, 64) and model.classify(pictures()).shape == (2, 4)


@torch.no_grad()
def test_residual_block_is_x_plus_f_of_x():
    block = BasicBlock(8, 8).eval()
    plain = BasicBlock(8, 8, residual=False).eval()
    plain.load_state_dict(block.state_dict())
    x = torch.randn(2, 8, 5, 5).relu()
    for part in (block.bn2, plain.bn2):
        nn.init.zeros_(part.weight)
    assert torch.equal(block(x), x)  # F = 0: nothing is lost
    assert (plain(x) == 0).all()


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_norms(norm):
    model = ResNet((1, 1), width=8, stem="small", norm=norm, classes=2)
    assert model.classify(pictures(16)).isfinite().all()
    both = model(pictures(16))
    alone = model(pictures(16)[:1])
    # only the batch's own statistics mix pictures
    assert torch.allclose(both[:1], alone, atol=1e-5) == (norm != "batch")


def ours_from_timm(theirs, **options):
    ours = ViT(ViTConfig(**options))
    ours.load_state_dict(weights_from_timm(theirs.state_dict()), strict=True)
    return ours


def random_timm(**options):
    torch.manual_seed(0)
    theirs = VisionTransformer(
        **{
            "img_size": 64,
            "patch_size": 16,
            "embed_dim": 64,
            "depth": 2,
            "num_heads": 4,
            "num_classes": 5,
        }
        | options
    )
    for p in theirs.parameters():
        nn.init.normal_(p, std=0.1)
    return theirs.eval()


def test_vit_equals_timm_in_states_logits_and_gradients():
    theirs = random_timm().double()
    ours = ours_from_timm(theirs, classes=5).double().eval()
    images = pictures().double()
    assert torch.allclose(ours(images), theirs.forward_features(images)[:, 1:], atol=1e-12)
    mine, wanted = ours.classify(images), theirs(images)
    assert torch.allclose(mine, wanted, atol=1e-12)
    mine.square().sum().backward(), wanted.square().sum().backward()
    assert torch.allclose(ours.patches.project.weight.grad, theirs.patch_embed.proj.weight.grad)
    assert torch.allclose(ours.position.grad, theirs.pos_embed.grad)


@torch.no_grad()
def test_vit_takes_other_sizes_as_timm_does():
    theirs = random_timm(dynamic_img_size=True)
    ours = ours_from_timm(theirs, classes=5).eval()
    for shape in ((96, 96), (32, 32), (64, 128)):
        images = torch.rand(2, 3, *shape)
        assert torch.allclose(ours.classify(images), theirs(images), atol=1e-5)
    same = interpolate_positions(ours.position, 4, 4)
    assert same is ours.position


@torch.no_grad()
def test_vit_equals_transformers():
    from transformers import ViTConfig as TheirConfig
    from transformers import ViTModel

    torch.manual_seed(0)
    theirs = ViTModel(
        TheirConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            image_size=32,
            patch_size=8,
            layer_norm_eps=1e-6,
        ),
        add_pooling_layer=False,
    ).eval()
    names = {
        "embeddings.position_embeddings": "pos_embed",
        "layernorm_before": "norm1",
        "embeddings.patch_embeddings.projection": "patch_embed.proj",
        "layers": "blocks",
        "embeddings.cls_token": "cls_token",
        "attention.o_proj": "attn.proj",
        "layernorm_after": "norm2",
        "layernorm": "norm",
    }  # in this order
    state, moved = dict(theirs.state_dict()), {}
    for i in range(2):
        for kind in ("weight", "bias"):
            parts = [state.pop(f"layers.{i}.attention.{p}_proj.{kind}") for p in "qkv"]
            moved[f"blocks.{i}.attn.qkv.{kind}"] = torch.cat(parts)
    for name, value in state.items():
        for old, new in names.items():
            name = name.replace(old, new)
        moved[name] = value
    ours = ViT(ViTConfig(image_size=32, patch=8, dim=32, mlp_dim=48)).eval()
    ours.load_state_dict(weights_from_timm(moved), strict=True)
    want = theirs(pictures(32)).last_hidden_state[:, 1:]
    assert torch.allclose(ours(pictures(32)), want, atol=1e-5)


@given(order=st.permutations(range(16)), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_without_positions_a_vit_does_not_see_the_order_of_patches(order, seed):
    torch.manual_seed(seed)
    blind = ViT(ViTConfig(positions=False, classes=3)).double().eval()
    images = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    cut = F.unfold(images, 16, stride=16)  # (1, 768, 16)
    shuffled = F.fold(cut[..., list(order)], (64, 64), 16, stride=16)  # (1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(blind.classify(images), blind.classify(shuffled), atol=1e-10)
        assert torch.allclose(blind(images)[:, list(order)], blind(shuffled), atol=1e-10)


@given(
    side=st.integers(5, 30),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 2),
)
@settings(max_examples=40, deadline=None)
def test_convolution_is_unfold_and_a_product(side, kernel, stride, padding):
    images = pictures(side)
    weight = torch.randn(4, 3, kernel, kernel, generator=torch.Generator().manual_seed(3))
    cut = F.unfold(images, kernel, padding=padding, stride=stride)  # (2, 3 * kernel**2, places)
    out = (side + 2 * padding - kernel) // stride + 1
    ours = (weight.flatten(1) @ cut).unflatten(2, (out, out))
    assert torch.allclose(ours, F.conv2d(images, weight, None, stride, padding), atol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ResNet()(torch.rand(2, 1, 8, 8)), r"expected \(images, 3, height, width\)"),
        (lambda: ResNet()(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)), "floating point"),
        (lambda: VGG()(torch.rand(3, 64, 64)), r"got \(3, 64, 64\)"),
        (lambda: VGG()(torch.rand(1, 3, 60, 64)), "multiples of 16, got 60x64"),
        (lambda: ViT(ViTConfig())(torch.rand(1, 3, 64, 50)), "multiples of 16, got 64x50"),
        (lambda: ViTConfig(image_size=60), "image_size: expected a multiple of patch=16, got 60"),
        (lambda: ViT(ViTConfig(heads=5)), "multiple of heads=5"),
        (lambda: ResNet(stem="vgg"), "stem: expected 'imagenet' or 'small'"),
        (lambda: ResNet(norm="layer"), "norm: expected one of batch, group, none"),
        (lambda: VGG(norm="layer"), "norm: expected one of"),
        (lambda: normalise("group", 12), "multiple of 8 for groups, got 12"),
        (lambda: ResNet((1,), 8).classify(pictures()), "classes=N"),
        (lambda: ViT(ViTConfig()).classify(pictures()), "classes=N"),
        (lambda: interpolate_positions(torch.zeros(1, 16, 4), 2, 2), "square number, got 15"),
        (lambda: weights_from_timm({"reg_token": torch.zeros(1)}), "got 'reg_token'"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_timm_s_own_class_is_meant():
    """The names above are those of timm's plain ViT, whatever its version adds."""
    assert isinstance(timm.create_model("vit_tiny_patch16_224"), VisionTransformer)

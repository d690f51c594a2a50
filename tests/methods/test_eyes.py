"""SmolLM2 with eyes: its parts together, asked in several ways. A small decoder stands in."""

import pytest
import torch

from course_utils.datasets.easy_vqa import draw_shape
from course_utils.methods import eyes
from course_utils.models import smollm2
from course_utils.models.convert import from_llama
from course_utils.models.pretrained import load_efficientnet_lite0
from course_utils.peft import LoRAConfig, save_tuning
from tests.models.test_llama import small


@pytest.fixture(scope="module")
def parts():
    try:
        return smollm2.load()[1], load_efficientnet_lite0()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def little(parts):
    tokenizer, backbone = parts
    model = eyes.with_eyes(from_llama(small(vocab_size=len(tokenizer))), tokenizer, seed=3)
    eyes.add_tuning(model, LoRAConfig(rank=2, targets=("attention.q",), parts=""), seed=3)
    return eyes.Eyes(model.eval(), tokenizer, backbone)


def test_patches_are_means_of_the_grid(parts):
    picture = draw_shape("circle", "red")[None].float() / 255  # (1, 3, 64, 64)
    grid = parts[1].grid(picture, side=eyes.SIDE)  # (1, 25, 1280)
    five = eyes.patch_features(parts[1], picture, grid=5)
    assert torch.allclose(five, grid, atol=1e-5)
    one = eyes.patch_features(parts[1], picture, grid=1)
    assert torch.allclose(one[:, 0], grid.mean(1), atol=1e-5)
    nine = eyes.patch_features(parts[1], picture)  # pooled as PyTorch does it: parts overlap
    corner = grid.unflatten(1, (5, 5))[:, :2, :2].mean((1, 2))  # (1, 1280)
    assert nine.shape == (1, 9, 1280) and torch.allclose(nine[:, 0], corner, atol=1e-5)


def test_the_same_seed_gives_the_same_projector_and_leaves_the_others_alone(little, parts):
    tokenizer, _ = parts
    decoder = from_llama(small(vocab_size=len(tokenizer)))
    torch.manual_seed(9)
    wanted = torch.rand(3)
    torch.manual_seed(9)
    again = eyes.with_eyes(decoder, tokenizer, seed=3)
    assert torch.equal(torch.rand(3), wanted)
    for one, other in zip(again.projector.parameters(), little.model.projector.parameters()):
        assert torch.equal(one, other)
    trained = {n for n, p in little.model.named_parameters() if p.requires_grad}
    assert all(n.startswith("projector.") or n.endswith((".A", ".B")) for n in trained)


def test_it_writes_what_it_answers(little):
    picture = draw_shape("circle", "red")
    answer = little.ask(picture, "what is this?", most=5)
    steps = list(little.write(picture, "what is this?", most=5))
    assert 1 <= len(steps) <= 5 and steps[-1] == answer
    assert (
        little.ask_all(picture[None].repeat(2, 1, 1, 1), ["what is this?"] * 2, 5) == [answer] * 2
    )
    with pytest.raises(ValueError, match="question: expected some words"):
        little.ask(picture, " ")


def test_looks_is_a_grid(little):
    told = little.looks(draw_shape("circle", "red"), "what is this?", "a circle")
    assert told.shape == (3, 3) and told.isfinite().all()


def test_a_file_is_loaded_onto_the_same_decoder_only(little, parts, tmp_path, monkeypatch):
    tokenizer, backbone = parts
    path = tmp_path / "eyes.safetensors"
    save_tuning(little.model, path, torch.float16)
    monkeypatch.setattr(eyes, "load_efficientnet_lite0", lambda: backbone)
    reference = small(vocab_size=len(tokenizer))
    monkeypatch.setattr(eyes.smollm2, "load", lambda: (reference, tokenizer))
    loaded = eyes.load_eyes(path)
    picture = draw_shape("circle", "red")
    want = little.looks(picture, "what is this?", "red")
    assert torch.allclose(loaded.looks(picture, "what is this?", "red"), want, atol=0.05)
    with torch.no_grad():
        reference.model.norm.weight.add_(1)
    with pytest.raises(ValueError, match="belongs to another base"):
        eyes.load_eyes(path)

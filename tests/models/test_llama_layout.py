"""A decoder laid out for writing computes what it computed before."""

import copy

import pytest
import torch

from course_utils.methods.generation import continued
from course_utils.models.convert import from_llama
from course_utils.models.llama_layout import lay_out
from course_utils.peft.lora import LoRAConfig, add_lora
from tests.models.test_llama import small


@pytest.mark.parametrize("turned", [False, True])
def test_logits_and_tokens_stay(turned):
    model = from_llama(small()).eval()
    laid = lay_out(copy.deepcopy(model), turned)
    x = torch.randint(3, 50, (3, 7), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(3, 7, dtype=torch.bool)
    mask[1, :3] = False  # padding on the left
    with torch.no_grad():
        assert torch.allclose(laid(x, mask)[mask], model(x, mask)[mask], atol=1e-5)
    assert torch.equal(continued(laid, x, 9, mask), continued(model, x, 9, mask))


def test_it_holds_no_more_than_before_and_no_gradients():
    model = from_llama(small())
    before = sum(p.numel() for p in model.parameters())
    laid = lay_out(model)
    kept = sum(b.numel() for b in laid.buffers()) + sum(p.numel() for p in laid.parameters())
    assert kept == before
    assert not any(p.requires_grad for p in laid.parameters())


def test_a_tuned_or_laid_out_model_is_refused_and_left_as_it_was():
    model = from_llama(small())
    laid = lay_out(copy.deepcopy(model))
    with pytest.raises(
        ValueError, match=r"layer 0, attention.q: expected a plain matrix, got NoneType"
    ):
        lay_out(laid)
    add_lora(model, LoRAConfig(rank=2, targets=("layers.1.attention.v",), parts=""))
    with pytest.raises(
        ValueError, match=r"layer 1, attention.v: expected a plain matrix, got LoRALinear"
    ):
        lay_out(model)
    assert type(model.layers[0].attention).__name__ == "GroupedAttention"


@pytest.mark.parametrize("turned", [False, True])
def test_in_bfloat16_it_is_nearly_the_same(turned):
    model = from_llama(small()).eval()
    x = torch.randint(3, 50, (2, 7), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        want = model(x)
        halves = lay_out(copy.deepcopy(model), turned).bfloat16()
        for some in (halves, copy.deepcopy(model).bfloat16()):
            got = some(x)
            assert got.dtype == torch.bfloat16
            assert (got.float() - want).abs().max() < 0.05 * want.abs().max()

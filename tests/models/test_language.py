"""Decoder and language losses: equal to GPT-2 and to PyTorch, causal, and 80/10/10."""

import pytest
import torch
import torch.nn.functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from course_utils.models.convert import from_gpt2
from course_utils.models.decoder import Decoder, DecoderConfig
from course_utils.objectives.language import IGNORE, mask_tokens, masked_token_loss, next_token_loss


def small(**changes) -> Decoder:
    torch.manual_seed(0)
    return Decoder(
        DecoderConfig(**{"dim": 32, "heads": 4, "vocab_size": 20, "max_words": 12} | changes)
    ).eval()


def test_decoder_equals_gpt2_in_outputs_loss_and_gradients():
    torch.manual_seed(0)
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=20,
            n_positions=12,
            n_embd=32,
            n_layer=2,
            n_head=4,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            activation_function="gelu",
        )
    )
    ours = from_gpt2(theirs).double()
    theirs = theirs.double()
    x = torch.randint(0, 20, (3, 9))
    mask = torch.arange(9) < torch.tensor([[9], [4], [7]])
    labels = x.masked_fill(~mask, IGNORE)
    reference = theirs(x, labels=labels)
    loss = next_token_loss(ours(x), x, mask)
    assert torch.allclose(ours(x), reference.logits, atol=1e-12)
    assert torch.allclose(loss.float(), reference.loss, atol=1e-6)  # theirs is float32
    same = F.cross_entropy(reference.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    same.backward(), loss.backward()
    assert torch.allclose(ours.token.weight.grad, theirs.transformer.wte.weight.grad, atol=1e-12)
    first = theirs.transformer.h[0].attn.c_attn.weight.grad.T
    assert torch.allclose(ours.encoder.layers[0].attention.qkv.weight.grad, first, atol=1e-12)


def test_gpt2_with_another_activation_is_refused():
    config = GPT2Config(vocab_size=5, n_positions=4, n_embd=8, n_layer=1, n_head=2)
    with pytest.raises(ValueError, match=r"expected 'gelu'.*got 'gelu_new'"):
        from_gpt2(GPT2LMHeadModel(config))


def test_a_word_does_not_depend_on_what_follows():
    model, x = small(), torch.randint(0, 20, (2, 10))
    other = x.clone()
    other[:, 6:] = (other[:, 6:] + 1) % 20
    with torch.no_grad():
        assert torch.equal(model(x)[:, :6], model(other)[:, :6])
        assert not torch.allclose(model(x)[:, 6:], model(other)[:, 6:])
        logits, weights = model(x, need_weights=True)
    assert torch.allclose(logits, model(x), atol=1e-5)
    assert all((w.triu(1) == 0).all() for w in weights)


def test_generate_continues_and_stops():
    model, x = small(), torch.randint(0, 20, (2, 3))
    greedy = model.generate(x, 5, temperature=0)
    assert greedy.shape == (2, 8) and torch.equal(greedy[:, :3], x)
    assert torch.equal(greedy[:, 3], model(x)[:, -1].argmax(-1))
    one, two = (model.generate(x, 5, generator=torch.Generator().manual_seed(1)) for _ in "ab")
    assert torch.equal(one, two)
    end = int(greedy[0, 3])
    stopped = model.generate(x[:1], 5, temperature=0, end=end)
    assert stopped.shape == (1, 4)
    with pytest.raises(ValueError, match="at most 12 tokens, got 13"):
        model.generate(x, 11)
    with pytest.raises(ValueError, match="temperature"):
        model.generate(x, 1, temperature=-1)


def test_masking_is_80_10_10():
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(5, 50, (400, 100), generator=generator)
    maskable = torch.rand(x.shape, generator=generator) < 0.9
    shown, labels = mask_tokens(x, maskable, 4, 50, generator=generator, first_word=5)
    chosen = labels != IGNORE
    assert not (chosen & ~maskable).any()
    assert torch.equal(shown[~chosen], x[~chosen]) and torch.equal(labels[chosen], x[chosen])
    assert abs(chosen[maskable].float().mean() - 0.15) < 0.006
    masked = (shown == 4)[chosen].float().mean()
    same = (shown == x)[chosen].float().mean()  # 10 % kept, and 1 in 45 random ones by chance
    assert abs(masked - 0.8) < 0.02 and abs(same - (0.1 + 0.1 / 45)) < 0.015
    with pytest.raises(ValueError, match="probability, got 15"):
        mask_tokens(x, maskable, 4, 50, share=15)
    with pytest.raises(ValueError, match="shape of x"):
        mask_tokens(x, maskable[0], 4, 50)


def test_masked_loss_equals_pytorch_and_survives_no_choice():
    logits, labels = torch.randn(2, 6, 9, requires_grad=True), torch.full((2, 6), IGNORE)
    nothing = masked_token_loss(logits, labels)
    nothing.backward()
    assert nothing == 0 and (logits.grad == 0).all()
    labels[0, 2], labels[1, 5] = 3, 8
    expected = F.cross_entropy(logits[[0, 1], [2, 5]], torch.tensor([3, 8]))
    assert torch.allclose(masked_token_loss(logits, labels), expected)


def test_shapes_that_do_not_fit_are_named():
    logits, x = torch.zeros(2, 4, 7), torch.zeros(2, 4, dtype=torch.long)
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        next_token_loss(logits, x, torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"\(2, 4, 7\) and \(2, 3\)"):
        masked_token_loss(logits, x[:, :3])

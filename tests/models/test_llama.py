"""Our decoder equals transformers' Llama: logits, gradients, tokens, with and without a cache."""

import pytest
import torch
from transformers import LlamaConfig as TheirConfig
from transformers import LlamaForCausalLM

from course_utils.methods.generation import Sample, continued, greedy
from course_utils.models import smollm2
from course_utils.models.convert import from_llama
from course_utils.models.llama import Llama, LlamaConfig, rotary_angles, turn


def small(**options) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = dict(
        vocab_size=50,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        tie_word_embeddings=True,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(TheirConfig(**sizes | options)).eval()
    for layer in model.model.layers:  # norms of 1 would hide a missing weight
        torch.nn.init.uniform_(layer.input_layernorm.weight, 0.5, 1.5)
        torch.nn.init.uniform_(layer.post_attention_layernorm.weight, 0.5, 1.5)
    return model


@pytest.fixture(scope="module")
def pair():
    reference = small()
    return from_llama(reference), reference


def texts(batch=3, words=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 50, (batch, words), generator=generator)  # (batch, words)


def left_padded():
    x, mask = texts(), torch.ones(3, 7, dtype=torch.bool)
    mask[0, :3], mask[2, :6] = False, False
    return x.masked_fill(~mask, 0), mask


def test_logits_equal(pair):
    ours, theirs = pair
    x = texts()
    assert (ours(x) - theirs(x).logits).abs().max() < 1e-5


def test_left_padding_equals_and_changes_nothing(pair):
    ours, theirs = pair
    x, mask = left_padded()
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    want = theirs(x, attention_mask=mask.long(), position_ids=positions).logits
    got = ours(x, mask)
    assert (got - want)[mask].abs().max() < 1e-5
    alone = ours(x[:1, 3:])
    assert (got[0, 3:] - alone[0]).abs().max() < 1e-5


def test_gradients_equal():
    theirs = small()
    ours, x = from_llama(small()), texts()
    for logits in (theirs(x).logits, ours(x)):
        torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), x[:, 1:].flatten()
        ).backward()
    got = ours.layers[1].attention.k.weight.grad
    want = theirs.model.layers[1].self_attn.k_proj.weight.grad
    assert (got - want).abs().max() < 1e-6 and want.abs().max() > 1e-4
    assert (ours.token.weight.grad - theirs.model.embed_tokens.weight.grad).abs().max() < 1e-5


def test_a_cache_changes_nothing_whatever_is_read_at_once(pair):
    ours, _ = pair
    x, mask = left_padded()
    want, cache = ours(x, mask), ours.cache(3, 7)
    parts = [ours(x[:, a:b], mask[:, a:b], cache) for a, b in ((0, 1), (1, 4), (4, 5), (5, 7))]
    assert (torch.cat(parts, dim=1) - want)[mask].abs().max() < 1e-5
    assert cache.length == 7
    assert cache.bytes == 2 * 3 * 3 * 2 * 7 * 4 * 4  # k and v, layers, batch, heads, room, width
    with pytest.raises(ValueError, match="room for 8 tokens, got 7"):
        ours(x[:, :1], None, cache)


def test_greedy_tokens_equal_generate(pair):
    ours, theirs = pair
    x, mask = left_padded()
    want = theirs.generate(x, attention_mask=mask.long(), max_new_tokens=9, do_sample=False)[:, 7:]
    got = continued(ours, x, 9, mask, end=2)
    assert torch.equal(got, want[:, : got.shape[1]]) and got.shape[1] == want.shape[1]
    for row in range(3):
        alone = continued(ours, x[row : row + 1][:, mask[row]], got.shape[1])
        kept = (got[row] == 2).cumsum(0) < 1  # before the end
        assert torch.equal(alone[0][kept], got[row][kept])


def test_vectors_may_stand_in_the_place_of_tokens(pair):
    ours, _ = pair
    x = texts()
    assert torch.equal(continued(ours, x, 5), continued(ours, 0 * x, 5, h=ours.token(x)))


def test_turned_products_depend_on_distance_alone():
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.double)
    product = []
    for a, b in ((0, 3), (20, 23)):
        at = [
            turn(z, rotary_angles(torch.tensor([[p]]), 8, 100.0).double())
            for z, p in ((q, a), (k, b))
        ]
        product.append((at[0] * at[1]).sum())
        assert at[0].norm().item() == pytest.approx(q.norm().item())
    assert product[0].item() == pytest.approx(product[1].item(), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(attention_bias=True), "attention_bias: expected False, got True"),
        (dict(hidden_act="gelu"), "hidden_act: expected 'silu'"),
        (dict(tie_word_embeddings=False), "tie_word_embeddings"),
        (dict(head_dim=8), "head_dim: expected 4, got 8"),
    ],
)
def test_other_models_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        from_llama(small(**options))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (dict(dim=575), "multiple of 2 [*] heads=18, got 575"),
        (dict(key_heads=4), "multiple of key_heads=4, got 9"),
    ],
)
def test_sizes_that_do_not_fit_are_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        LlamaConfig(**sizes)


def test_numbers_for_a_mask_are_refused(pair):
    with pytest.raises(ValueError, match="mask: expected bool"):
        pair[0](texts(), torch.ones(3, 7))


def test_sampling_keeps_what_it_says():
    logits = torch.tensor([[0.5, 0.2, 0.2, 0.1]]).log()
    generator = torch.Generator().manual_seed(0)
    for options, want in (
        ({}, [0.5, 0.2, 0.2, 0.1]),
        (dict(top_k=1), [1, 0, 0, 0]),
        (dict(top_p=0.5), [1, 0, 0, 0]),  # the nucleus reaches its share with the first
        (dict(top_p=0.6), [5 / 7, 2 / 7, 0, 0]),
        (dict(top_p=1e-9), [1, 0, 0, 0]),
        (dict(temperature=0.5), [25 / 34, 4 / 34, 4 / 34, 1 / 34]),
    ):
        shares = Sample(generator, **options).shares(logits)
        assert shares[0].tolist() == pytest.approx(want, abs=1e-6), options
    drawn = Sample(generator)(logits.expand(4000, -1))
    assert drawn.bincount().div(4000).tolist() == pytest.approx([0.5, 0.2, 0.2, 0.1], abs=0.03)
    assert greedy(logits).tolist() == [0]
    for options in (dict(temperature=0), dict(top_k=0), dict(top_p=0), dict(top_p=1.1)):
        with pytest.raises(ValueError, match="expected"):
            Sample(generator, **options)


PROMPTS = (
    "The capital of France is",
    "Water boils at",
    "def add(a, b):",
    "1, 2, 3,",
    "Once upon a time there was",
    "The picture shows a red",
    "My favourite animal is the",
    "To make tea, first",
    "The sun is",
    "In 1969",
)


def test_the_real_weights_give_the_same_logits_and_tokens():
    try:
        theirs, tokenizer = smollm2.load()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    ours = from_llama(theirs)
    assert ours.token.weight.data_ptr() == theirs.model.embed_tokens.weight.data_ptr()
    batch = tokenizer(list(PROMPTS), return_tensors="pt", padding=True)
    x, mask = batch.input_ids, batch.attention_mask.bool()
    with torch.no_grad():
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        want = theirs(x, attention_mask=batch.attention_mask, position_ids=positions).logits
        assert (ours(x, mask) - want)[mask].abs().max() < 1e-3
        words = tokenizer("The quick brown fox jumps over the lazy dog.", return_tensors="pt")
        one = words.input_ids
        assert (ours(one) - theirs(one).logits).abs().max() < 1e-4
    end = tokenizer.eos_token_id
    want = theirs.generate(
        x, attention_mask=batch.attention_mask, max_new_tokens=32, do_sample=False, pad_token_id=end
    )[:, x.shape[1] :]
    got = continued(ours, x, 32, mask, end=end)
    assert torch.equal(got, want[:, : got.shape[1]])


def test_a_new_model_is_trained_from_random_weights():
    torch.manual_seed(0)
    model = Llama(LlamaConfig(vocab_size=20, dim=16, layers=1, heads=2, key_heads=1, mlp=32))
    x = texts() % 20
    loss = torch.nn.functional.cross_entropy(model(x)[:, :-1].flatten(0, 1), x[:, 1:].flatten())
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())

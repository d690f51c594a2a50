"""A prefix in front of a decoder, its cache, and beams: equal to transformers' GPT-2."""

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from course_utils.methods.generation import beam_search, best_continuations, continued
from course_utils.models.captioner import Captioner
from course_utils.models.convert import from_gpt2
from course_utils.models.decoder import Decoder, DecoderConfig

PREFIX, WORDS, END = 16, 4, 2


def both(seed):
    """GPT-2 of random weights, the same as a `Decoder`, and what both read: (prefix, x)."""
    torch.manual_seed(seed)
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=50,
            n_positions=64,
            n_embd=32,
            n_layer=2,
            n_head=4,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            activation_function="gelu",
            initializer_range=0.3,
            bos_token_id=1,
            eos_token_id=END,
            pad_token_id=0,
        )
    ).eval()
    prefix, x = torch.randn(3, PREFIX, 32), torch.randint(3, 50, (3, WORDS))
    return theirs, from_gpt2(theirs).eval(), prefix, x


def generate(theirs, h, steps, **options):
    return theirs.generate(
        inputs_embeds=h,
        attention_mask=torch.ones(h.shape[:2], dtype=torch.long),
        max_new_tokens=steps,
        do_sample=False,
        **options,
    )


def test_logits_behind_a_prefix_equal_gpt2s():
    theirs, ours, prefix, x = both(0)
    with torch.no_grad():
        h = torch.cat([prefix, ours.token(x)], 1)
        want = theirs(inputs_embeds=h).logits
        assert torch.equal(ours(x, prefix=prefix), want)
        assert torch.allclose(ours.logits(ours.states(h)), want, atol=1e-6)


def test_no_position_sees_what_follows_and_words_see_the_prefix():
    _, ours, prefix, x = both(1)
    with torch.no_grad():
        before = ours(x, prefix=prefix)
        other = prefix.clone()
        other[:, 9] = torch.randn(3, 32)  # a constant more is lost in the normalisation
        after = ours(x, prefix=other)
    assert torch.equal(before[:, :9], after[:, :9])
    assert (before[:, 9:] - after[:, 9:]).abs().amax(-1).min() > 1e-4


@pytest.mark.parametrize("parts", [(20,), (16, 4), (1,) * 20, (5, 7, 8)])
def test_read_in_parts_with_a_cache_is_the_same(parts):
    _, ours, prefix, x = both(2)
    with torch.no_grad():
        h = torch.cat([prefix, ours.token(x)], 1)
        cache = ours.cache(3, 20)
        found = [ours.states(part, None, cache) for part in h.split(parts, 1)]
        assert torch.allclose(torch.cat(found, 1), ours.states(h), atol=1e-5)
    assert cache.length == 20


@pytest.mark.parametrize("seed", range(5))
def test_the_tokens_with_a_cache_are_those_without_and_those_of_generate(seed):
    theirs, ours, prefix, x = both(seed)
    with torch.no_grad():
        h = torch.cat([prefix, ours.token(x)], 1)
        cached = continued(ours, x, 32, end=END, h=h)
        text = x
        for _ in range(cached.shape[1]):
            token = ours(text, prefix=prefix)[:, -1].argmax(-1)
            text = torch.cat([text, token[:, None]], 1)
        want = generate(theirs, h, 32, pad_token_id=END)  # what a finished text is filled with
    assert torch.equal(cached, want)
    plain = text[:, WORDS:]
    ended = (plain == END).cumsum(1) - (plain == END).long() > 0
    assert torch.equal(cached, plain.masked_fill(ended, END))


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_beams_score_as_those_of_generate(seed, penalty):
    theirs, ours, prefix, x = both(seed)
    with torch.no_grad():
        h = torch.cat([prefix, ours.token(x)], 1)
        want = generate(
            theirs,
            h,
            12,
            num_beams=4,
            length_penalty=penalty,
            early_stopping="never",
            suppress_tokens=[0],
            return_dict_in_generate=True,
            output_scores=True,
        )
        texts, scores = beam_search(ours, h, 12, 4, END, penalty, forbidden=(0,))
    assert torch.allclose(scores, want.sequences_scores, atol=1e-4)
    for mine, theirs_text in zip(texts.tolist(), want.sequences.tolist()):
        cut = mine[: mine.index(END)] if END in mine else mine
        assert theirs_text[: len(cut)] == cut


def test_a_search_over_all_texts_finds_the_best():
    torch.manual_seed(0)
    model = Decoder(DecoderConfig(dim=16, heads=2, vocab_size=4, max_words=8)).eval()
    h = model.token(torch.tensor([[1]]))
    texts, scores = beam_search(model, h, 3, 64, END)
    best, found = -torch.inf, None
    with torch.no_grad():
        for number in range(64):
            text = [number // 16, number // 4 % 4, number % 4]
            cut = text[: text.index(END) + 1] if END in text else text
            log_p = model(torch.tensor([[1, *cut]])).log_softmax(-1)[0]
            score = sum(log_p[t, token].item() for t, token in enumerate(cut))
            if score > best:
                best, found = score, cut
    assert scores.item() == pytest.approx(best, abs=1e-5)
    assert texts[0, : len(found)].tolist() == found


def test_continuations_are_compared_over_all_beams():
    scores = torch.tensor([[-1.0, -1.5]])
    log_p = torch.tensor([[[-3.0, -2.0, -4.0], [-0.1, -0.2, -9.0]]])
    sums, beam, token = best_continuations(scores, log_p, 3)
    assert torch.allclose(sums, torch.tensor([[-1.6, -1.7, -3.0]]))
    assert beam.tolist() == [[1, 1, 0]] and token.tolist() == [[0, 1, 1]]


def test_a_captioner_reads_the_picture_and_leaves_its_stem_alone():
    stem = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.BatchNorm2d(8), nn.Flatten(2))
    model = Captioner(stem, 16, DecoderConfig(dim=32, vocab_size=20, max_words=20)).train()
    images, x = torch.rand(2, 3, 16, 16), torch.randint(0, 20, (2, 5))
    before = [p.clone() for p in stem.state_dict().values()]
    v = model.see(images)
    assert v.shape == (2, 8, 16)
    assert all(torch.equal(a, b) for a, b in zip(before, stem.state_dict().values()))
    logits = model(v, x)
    assert logits.shape == (2, 13, 20)
    assert not torch.allclose(logits, model(v.flip(0), x))
    logits.sum().backward()
    assert all(p.grad is None for p in stem.parameters())
    assert torch.allclose(model.decoder.logits(model.decoder.states(model.read(v, x))), logits)


def test_bad_input_is_named():
    model = Decoder(DecoderConfig(dim=32, vocab_size=20, max_words=12))
    x = torch.zeros(2, 5, dtype=torch.long)
    with pytest.raises(ValueError, match=r"prefix: expected .*= \(2, ..., 32\), got \(1, 3, 32\)"):
        model(x, prefix=torch.zeros(1, 3, 32))
    with pytest.raises(ValueError, match="at most 12 tokens, got 13"):
        model(x, prefix=torch.zeros(2, 8, 32))
    h = torch.zeros(2, 5, 32)
    with pytest.raises(ValueError, match="mask: expected None"):
        model.states(h, torch.ones(2, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match="room for 5 tokens, got 4"):
        model.states(h, None, model.cache(2, 4))
    with pytest.raises(ValueError, match="at least 1, got 0 and 4"):
        beam_search(model, h, 0, 4, END)

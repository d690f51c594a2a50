"""Blanks, templates, soft prompts and class means, each against something independent."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.neighbors import NearestCentroid

from course_utils.datasets.pairs import pair_tokenizer
from course_utils.methods import prompts
from course_utils.models.pretrained import load_minilm
from course_utils.models.text import encode_texts, sentence_embedding


@pytest.fixture(scope="module")
def minilm():
    encoder, tokenizer = load_minilm()
    return encoder.requires_grad_(False).eval(), tokenizer


def test_a_blank_becomes_the_mask_token():
    tokenizer = pair_tokenizer()
    x, mask, at = prompts.fill_in(tokenizer, ["a ___ circle", "there is a large ___ cross"])
    names = [[tokenizer.id_to_token(i) for i in row] for row in x.tolist()]
    assert names[0][:4] == ["[CLS]", "a", "[MASK]", "circle"]
    assert at.tolist() == [2, 5] and mask.sum(1).tolist() == [4, 7]


@pytest.mark.parametrize("text", ["a red circle", "a ___ ___", "a ___ dragon", "a [MASK] circle"])
def test_texts_without_exactly_one_blank_are_refused(text):
    with pytest.raises(ValueError, match="expected one ___ and known words otherwise"):
        prompts.fill_in(pair_tokenizer(), [text])


@pytest.mark.parametrize("words", ["a picture of", "there is no"])
def test_a_prompt_of_word_vectors_equals_the_words(minilm, words):
    encoder, tokenizer = minilm
    ids = torch.tensor(tokenizer.encode(words, add_special_tokens=False).ids)
    names = ["food & drink", "a person", "an animal or a plant"]
    h, seen = prompts.with_prompt(encoder, encoder.token(ids), *encode_texts(tokenizer, names))
    x, mask = encode_texts(tokenizer, [f"{words} {name}" for name in names])
    want = encoder(x, mask)
    assert torch.equal(seen, mask)
    assert (h - want)[mask].abs().max() < 1e-5
    assert torch.allclose(sentence_embedding(h, seen), sentence_embedding(want, mask), atol=1e-6)


def test_prompts_of_another_width_or_too_long_are_refused(minilm):
    encoder, tokenizer = minilm
    names = encode_texts(tokenizer, ["food"])
    with pytest.raises(ValueError, match=r"expected \(length, 384\), got \(3, 7\)"):
        prompts.with_prompt(encoder, torch.zeros(3, 7), *names)
    with pytest.raises(ValueError, match="at most 512 positions, got 603"):
        prompts.with_prompt(encoder, torch.zeros(600, 384), *names)


def test_a_soft_prompt_trains_only_itself_and_lowers_the_loss(minilm):
    encoder, tokenizer = minilm
    torch.manual_seed(0)
    v, y = torch.randn(12, 5), torch.arange(12) % 3
    heads = prompts.TwoHeads(v, 384, space=16).eval().requires_grad_(False)
    model = prompts.SoftPrompt(encoder, tokenizer, heads, ["food", "person", "animal"])
    assert [name for name, _ in model.named_parameters()] == ["prompt"]
    assert model.prompt.shape == (4, 384)  # "a picture of a"
    z, before = heads.pictures(v), encoder.token.weight.clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        loss = F.cross_entropy(model(z), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.05
    assert torch.equal(before, encoder.token.weight)


def test_an_ensemble_averages_unit_vectors():
    vectors = torch.tensor([[[3.0, 0.0]], [[0.0, 0.5]]])  # (templates, classes, space)
    assert torch.allclose(prompts.ensemble(vectors), torch.tensor([[0.5, 0.5]]).sqrt())


def test_nearest_mean_equals_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(60, 8, generator=generator), torch.arange(60) % 4
    new = torch.randn(40, 8, generator=generator)
    theirs = NearestCentroid().fit(z.numpy(), y.numpy())
    means = prompts.class_means(z, y, 4)
    assert torch.allclose(means, torch.from_numpy(theirs.centroids_).float(), atol=1e-6)
    assert prompts.nearest(new, means).tolist() == theirs.predict(new.numpy()).tolist()
    with pytest.raises(ValueError, match="examples of 5 classes"):
        prompts.class_means(z, y, 5)


def test_few_of_each_draws_k_different_ones_of_each_class():
    y = torch.tensor([0] * 5 + [1] * 9 + [2] * 4)
    rows = prompts.few_of_each(y, 4, torch.Generator().manual_seed(0))
    assert len(rows.unique()) == 12 and torch.bincount(y[rows]).tolist() == [4, 4, 4]
    with pytest.raises(ValueError, match="expected 1 to 4, as many as class 2 has, got 5"):
        prompts.few_of_each(y, 5, torch.Generator())


def test_the_heads_learn_which_text_belongs_to_which_picture():
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(60, 10, generator=generator)
    t = v @ torch.randn(10, 6, generator=generator)
    heads = prompts.train_heads(v, [t, t], torch.eye(60).bool(), seed=0, updates=150, batch=60)
    scores = heads.pictures(v) @ heads.texts(t).T
    assert (scores.argmax(1) == torch.arange(60)).float().mean() > 0.5  # chance: 1 / 60
    assert not any(p.requires_grad for p in heads.parameters())

"""Losses on pairs, search, and the data and models of pretraining."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    SiglipConfig,
    SiglipModel,
    SiglipTextConfig,
    SiglipVisionConfig,
)

from course_utils.datasets import load_captions, load_emoji, load_world, pair_loader
from course_utils.datasets.pairs import join, named, pair_tokenizer
from course_utils.datasets.text import encode
from course_utils.evaluation.retrieval import chance, ranks, retrieval
from course_utils.methods import pretraining
from course_utils.methods import pretraining_losses as losses
from course_utils.models.joint import JointConfig, JointEncoder
from course_utils.models.pretraining import patch_pixels
from course_utils.objectives.contrastive import (
    Temperature,
    contrastive_loss,
    cosine_scores,
    hard_negatives,
    sigmoid_loss,
)
from course_utils.objectives.language import mask_tokens
from course_utils.training.fit import FitConfig, fit
from course_utils.world import HELD_OUT, caption_log_prob, generate

SMALL = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)


@pytest.mark.parametrize(
    ("kinds", "loss"),
    [
        ((CLIPModel, CLIPConfig, CLIPTextConfig, CLIPVisionConfig), contrastive_loss),
        ((SiglipModel, SiglipConfig, SiglipTextConfig, SiglipVisionConfig), sigmoid_loss),
    ],
)
def test_losses_equal_those_of_transformers(kinds, loss):
    model_kind, config_kind, text_kind, vision_kind = kinds
    torch.manual_seed(0)
    ends = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0)
    config = config_kind(
        text_config=text_kind(vocab_size=50, **SMALL, **ends).to_dict(),
        vision_config=vision_kind(image_size=32, patch_size=16, **SMALL).to_dict(),
    )
    model = model_kind(config).eval()
    out = model(
        input_ids=torch.randint(3, 50, (5, 7)),
        pixel_values=torch.randn(5, 3, 32, 32),
        return_loss=True,
    )
    assert loss(out.logits_per_image).item() == pytest.approx(out.loss.item(), abs=1e-6)
    assert contrastive_loss(torch.zeros(7, 7)).item() == pytest.approx(math.log(7))


def test_scores_and_temperature():
    a, b = torch.randn(3, 8), torch.randn(4, 8)
    want = F.cosine_similarity(a[:, None], b[None], dim=-1)
    torch.testing.assert_close(cosine_scores(a, b), want)
    torch.testing.assert_close(Temperature(0.5)(want), want / 0.5)
    cold = Temperature()
    cold.log_scale.data.fill_(9.0)
    torch.testing.assert_close(cold(want), want * 100)
    with pytest.raises(ValueError, match="of one dim"):
        cosine_scores(a, torch.randn(4, 7))
    with pytest.raises(ValueError, match="temperature above 0"):
        Temperature(0)


def test_several_right_answers_have_their_minimum_at_an_even_spread():
    right = torch.eye(4, dtype=torch.bool)
    right[0, 1] = right[1, 0] = True
    perfect = contrastive_loss(50.0 * right, right)
    assert perfect.item() == pytest.approx(0.5 * math.log(2), abs=1e-4)  # entropy of the targets
    assert contrastive_loss(50.0 * right).item() == pytest.approx(0.5 * math.log(2), abs=1e-4)
    pushed = torch.zeros(4, 4, requires_grad=True)
    contrastive_loss(pushed).backward()
    assert pushed.grad[0, 1] > 0  # the plain loss pushes a right answer away,
    pulled = torch.zeros(4, 4, requires_grad=True)
    contrastive_loss(pulled, right).backward()
    assert pulled.grad[0, 1] < 0  # the other one pulls it


@pytest.mark.parametrize(
    ("scores", "right", "message"),
    [
        (torch.zeros(2, 3), None, "as many texts as pictures"),
        (torch.zeros(2, 2), torch.ones(2, 3, dtype=torch.bool), "scores' shape"),
        (torch.zeros(2, 2), torch.eye(2), "expected bool"),
        (torch.zeros(2, 2), torch.tensor([[True, True], [False, False]]), "for each picture"),
    ],
)
def test_tables_that_do_not_fit_are_refused(scores, right, message):
    for loss in (contrastive_loss, sigmoid_loss, hard_negatives):
        with pytest.raises(ValueError, match=message):
            loss(scores, right)


def test_hard_negatives_are_wrong_and_follow_the_scores():
    scores = torch.tensor([[9.0, 2.0, 1.0], [0.0, 0.0, 9.0], [3.0, 1.0, 0.0]])
    right = torch.eye(3, dtype=torch.bool)
    right[1, 2] = True
    g = torch.Generator().manual_seed(0)
    drawn = torch.stack([hard_negatives(scores, right, g) for _ in range(2000)])  # (2000, 3)
    assert (drawn[:, 1] == 0).all()
    share = (drawn[:, 0] == 1).double().mean()
    assert abs(share - torch.sigmoid(torch.tensor(1.0))) < 0.04
    with pytest.raises(ValueError, match="all are right"):
        hard_negatives(torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool))


# Search


def test_recall_equals_scikit_learn():
    scores = torch.randn(40, 40, generator=torch.Generator().manual_seed(1))
    found = retrieval(scores)
    for k, got in ((1, found.r1), (5, found.r5), (10, found.r10)):
        assert got == pytest.approx(top_k_accuracy_score(range(40), scores.numpy(), k=k))


def test_ranks_with_ties_and_several_right_answers():
    scores = torch.tensor([[3.0, 2.0, 1.0], [1.0, 1.0, 1.0]])
    right = torch.tensor([[False, True, True], [True, False, False]])
    assert ranks(scores, right).tolist() == [2, 3]
    assert ranks(torch.zeros(4, 4)).tolist() == [4] * 4  # scoring all alike finds nothing
    with pytest.raises(ValueError, match="query 1 has none"):
        ranks(scores, torch.tensor([[True, False, False], [False] * 3]))
    with pytest.raises(ValueError, match="NaN"):
        ranks(scores * torch.nan, right)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(0, 100))
def test_chance_is_the_mean_over_random_orders(n, seed):
    g = torch.Generator().manual_seed(seed)
    right = torch.eye(n, dtype=torch.bool) | (torch.rand(n, n, generator=g) < 0.2)
    scores = torch.rand(3000, n, n, generator=g)  # ties have probability 0
    drawn = torch.stack([ranks(s, right) for s in scores]).double()  # (3000, n)
    assert chance(right).r1 == pytest.approx((drawn <= 1).double().mean().item(), abs=0.04)
    assert chance(right).r5 == pytest.approx((drawn <= 5).double().mean().item(), abs=0.04)


# Data


@pytest.fixture(scope="module")
def captions():
    return load_captions("composition", "train", 120, languages=("en", "zh"), per_scene=3)


def test_captions_are_true_and_right_says_of_which_pictures(captions):
    scenes = generate("composition", "train", 120, 1, seed=0).scenes
    for batch_index in range(3):
        rows = list(range(batch_index, len(captions), 29))[:12]
        batch = captions.__getitems__(rows)
        assert batch.right.diagonal().all() and batch.images.max() <= 1
        for i, row in enumerate(rows):
            for j, other in enumerate(rows):
                text = captions.texts[captions.own.flatten()[other]]
                languages = "en" if text.isascii() else "zh"
                true = caption_log_prob(text, scenes, row // captions.own.shape[1], languages)
                assert batch.right[i, j] == (true > -math.inf)


def test_no_caption_names_a_held_out_combination(captions):
    named_in_en = [t for t in captions.texts if t.isascii()]
    assert len(named_in_en) > 500
    for colour, shape in HELD_OUT:
        assert not any(f"{colour} {shape}" in text for text in named_in_en)


def test_the_tokenizer_knows_every_word(captions):
    tokenizer = pair_tokenizer()
    unknown = tokenizer.token_to_id("[UNK]")
    for language in ("en", "zh"):
        data = load_world("iid", "test", 60, 4, language=language, tokenizer=tokenizer)
        assert not (data.x == unknown).any()
        assert data.mask.sum(1).max() <= JointConfig.max_words
    assert not (captions.x == unknown).any()
    assert captions.mask.sum(1).max() <= JointConfig.max_words
    assert tokenizer.token_to_id("[MASK]") == 3


def test_each_picture_comes_once_an_epoch_with_other_texts(captions):
    batches = pair_loader(captions, 16, seed=3)
    order = list(batches.batch_sampler)
    pictures = [i // captions.own.shape[1] for rows in order for i in rows]
    assert len(pictures) == len(set(pictures)) == 112 and len(batches) == 7
    assert list(pair_loader(captions, 16, seed=3).batch_sampler) == order
    batches.batch_sampler.set_epoch(1)
    assert list(batches.batch_sampler) != order
    with pytest.raises(ValueError, match="expected 2 to 120"):
        pair_loader(captions, 121)
    with pytest.raises(ValueError, match="1 or more"):
        load_captions(scenes=4, per_scene=0)


def test_emoji_with_names_and_sources_joined(captions):
    emoji = load_emoji("validation")
    texts = [*emoji.names, *emoji.texts()]
    emoji_pairs = named(emoji, encode(captions.tokenizer, texts), captions.tokenizer)
    batch = emoji_pairs.__getitems__(list(range(0, 320, 7)))
    assert batch.right.diagonal().all()
    both = join([emoji_pairs, captions_of_two(captions)])
    assert len(both.images) == 160 + 120 and len(both.texts) == len(both.x)
    last = both.__getitems__([len(both) - 1])
    assert both.texts[both.own[-1, -1]] == captions.texts[captions.own[-1, 1]]
    assert torch.equal(last.x, both.x[both.own[-1, -1]][None, : last.x.shape[1]])
    with pytest.raises(ValueError, match="one tokenizer"):
        join([emoji_pairs, captions])


def captions_of_two(data):
    return replace(data, own=data.own[:, :2])


# Models and objectives


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return pretraining.world_pretraining_model(pair_tokenizer()).eval()


def test_words_alone_and_pictures_alone(model, captions):
    batch = captions.__getitems__([0, 5, 10])
    v = model.stem(batch.images)
    assert model.embed_pictures(v).shape == model.embed_texts(batch.x, batch.mask).shape == (3, 64)
    alone = model.encoder(batch.x, None, batch.mask)
    assert alone.shape == (*batch.x.shape, 64)
    wide = F.pad(batch.x, (0, 3)), F.pad(batch.mask, (0, 3))  # padding changes nothing
    torch.testing.assert_close(
        model.encoder(wide[0], None, wide[1])[:, : batch.x.shape[1]][batch.mask],
        alone[batch.mask],
        atol=1e-5,
        rtol=0,
    )


def test_patch_pixels_are_the_mean_colours():
    images = torch.rand(2, 3, 64, 64)
    cells = patch_pixels(images)  # (2, 16, 48)
    assert cells.shape == (2, 16, 48)
    want = images[1, 2, 16:20, 32 + 12 : 32 + 16].mean()  # patch row 1, column 2; cell row 0, col 3
    torch.testing.assert_close(cells[1, 4 + 2].view(3, 4, 4)[2, 0, 3], want)


def test_hidden_patches_are_not_seen(model):
    v = torch.randn(2, 16, 64)
    hidden = torch.zeros(2, 16, dtype=torch.bool)
    hidden[:, 3] = True
    other = v.clone()
    other[:, 3] = 100.0
    torch.testing.assert_close(model.guess_patches(v, hidden), model.guess_patches(other, hidden))
    assert model.guess_patches(v, hidden).shape == (2, 48)


def test_only_words_are_masked_and_random_words_are_words(captions):
    choices = pretraining.guessable(captions)
    tokenizer = captions.tokenizer
    assert all(choices[tokenizer.token_to_id(t)] == -1 for t in ("[PAD]", "[CLS]", "[MASK]"))
    words = (choices >= 0).nonzero()[:, 0]
    x, mask = captions.x[:500], captions.mask[:500]
    shown, labels = mask_tokens(
        x,
        mask & (choices[x] >= 0),
        3,
        len(choices),
        0.5,
        torch.Generator().manual_seed(0),
        words=words,
    )
    assert (labels[~mask] == -100).all() and (shown[:, 0] == x[:, 0]).all()
    changed = shown != x
    assert set(shown[changed].tolist()) <= {3, *words.tolist()}
    assert (labels[changed] == x[changed]).all()


@pytest.mark.parametrize(
    "recipe",
    [
        pretraining.Pretraining(),
        pretraining.Pretraining(match="random", alone=False),
        pretraining.Pretraining(words=False, contrast=False, match=""),
    ],
)
def test_each_recipe_learns_something_and_repeats(recipe, captions):
    runs = []
    for _ in range(2):
        torch.manual_seed(1)
        model = pretraining.world_pretraining_model(captions.tokenizer)
        choices = torch.arange(captions.tokenizer.get_vocab_size())
        choices[pretraining.guessable(captions) < 0] = -1
        objective = pretraining.pretraining_objective(
            recipe, 3, choices, torch.Generator().manual_seed(0)
        )
        config = FitConfig(epochs=3, lr=3e-3)
        history = fit(
            model, objective, pair_loader(captions, 24), config=config, device="cpu", progress=False
        )
        runs.append(history.loss)
    assert runs[0] == runs[1]
    assert sum(runs[0][-3:]) < sum(runs[0][:3])


def test_matching_takes_the_wrong_texts_that_it_is_told(model, captions):
    batch = captions.__getitems__([0, 9, 18])
    v = model.stem(batch.images)
    wrong = torch.tensor([1, 2, 0])
    true = model.match_logits(v, batch.x, batch.mask)
    false = model.match_logits(v, batch.x[wrong], batch.mask[wrong])
    want = (F.softplus(-true).mean() + F.softplus(false).mean()) / 2
    torch.testing.assert_close(losses.matching(model, v, batch.x, batch.mask, wrong), want)


def test_a_joint_encoder_with_other_words():
    torch.manual_seed(0)
    config = JointConfig(vocab_size=30)
    plain = JointEncoder(config)
    table = torch.nn.Embedding(30, 64)
    other = JointEncoder(config, token=table)
    other.load_state_dict(plain.state_dict())
    x, v = torch.randint(0, 30, (2, 5)), torch.randn(2, 16, 64)
    torch.testing.assert_close(plain(x, v), other(x, v))


def test_an_excluded_pair_leaves_the_loss_a_number():
    scores = torch.tensor([[1.0, -torch.inf], [0.5, 2.0]], requires_grad=True)
    found = contrastive_loss(scores)
    rows = [0.0, math.log1p(math.exp(0.5 - 2.0))]
    columns = [math.log1p(math.exp(0.5 - 1.0)), 0.0]
    assert found.item() == pytest.approx((sum(rows) + sum(columns)) / 4)
    found.backward()
    assert scores.grad is not None and scores.grad.isfinite().all()

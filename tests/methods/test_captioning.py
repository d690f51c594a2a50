"""The course's captioner: what it writes, what it is sure of, and tuning by a reward."""

import numpy as np
import pytest
import torch

from course_utils.datasets.captions import END, PAD, START, encode_rows
from course_utils.methods.captioning import (
    exact_descriptions,
    scene_features,
    search,
    sentence_log_p,
    token_log_p,
    train_captioner,
    trained_captioner,
    write,
    write_ids,
)
from course_utils.methods.generation import Sample
from course_utils.methods.reward_tuning import RewardConfig, tune_by_reward, with_prompt
from course_utils.training.fit import FitConfig
from course_utils.world import caption_log_prob, captions, generate


@pytest.fixture(scope="module")
def scenes():
    return generate("iid", "test", 60, 1, families=("exists",), seed=4).scenes


@pytest.fixture(scope="module")
def model():
    return trained_captioner()


@pytest.fixture(scope="module")
def v(model, scenes):
    return scene_features(model, scenes)


def test_the_trained_captioner_describes_what_is_there(model, v, scenes):
    assert exact_descriptions(model, v, scenes) > 0.9
    assert exact_descriptions(model, v.roll(1, 0), scenes) < 0.1
    beams = search(model, v, "caption", 4)
    true = [caption_log_prob(text, scenes, i) > -np.inf for i, text in enumerate(beams)]
    assert np.mean(true) > 0.9


def test_texts_don_t_depend_on_what_stands_beside_them(model, v):
    together = write(model, v, "describe")
    assert write(model, v, "describe", at_once=7) == together
    assert write(model, v[[11]], "describe") == [together[11]]
    found = search(model, v, "caption", 3)
    assert search(model, v, "caption", 3, at_once=9) == found
    assert search(model, v[[5]], "caption", 3) == [found[5]]


def test_sentence_log_p_is_the_sum_over_the_words_to_write(model, v, scenes):
    texts = captions(scenes, seed=9)
    x, mask = encode_rows(["caption"] * 60, texts)
    whole = sentence_log_p(model, v, x, mask, at_once=13)
    with torch.no_grad():
        for i in (0, 7):
            ids = x[i][mask[i]]
            logits = model(v[[i]], ids[None])[0, 16:].log_softmax(-1)
            first = ids.tolist().index(START)
            want = sum(logits[t, ids[t + 1]] for t in range(first, len(ids) - 1))
            assert whole[i] == pytest.approx(want.item(), abs=1e-4)
        log_p, told = token_log_p(model, v, x, mask)
    assert told.sum(1).tolist() == [len(text.split()) + 1 for text in texts]
    assert log_p.shape == told.shape == (60, x.shape[1] - 1)


def test_written_ids_go_back_into_rows():
    x = with_prompt("caption", [[9, 8, END, END], [7, 7, 7, 7]], END)
    assert x[:, 1].tolist() == [START, START]
    assert x[0, 2:].tolist() == [9, 8, END, PAD] and x[1, 2:].tolist() == [7, 7, 7, 7]


def test_a_reward_changes_what_is_written():
    model = trained_captioner()
    scenes = generate("iid", "validation", 24, 1, families=("exists",)).scenes
    v = scene_features(model, scenes)
    before = [p.clone() for p in model.stem.parameters()]
    config = RewardConfig(updates=12, pictures=4, group=6, lr=2e-3, kl=0.01)
    history = tune_by_reward(
        model, v, "caption", lambda text, i: float(text.startswith("there")), config, progress=False
    )
    assert np.mean(history.reward[-3:]) > np.mean(history.reward[:3]) + 0.2
    assert history.kl[0] == pytest.approx(0, abs=1e-6) and history.kl[-1] > 0
    assert all(0 <= share <= 1 for share in history.silent) and max(history.norm) > 0.01
    assert all(torch.equal(a, b) for a, b in zip(before, model.stem.parameters()))


def test_tuning_repeats_and_takes_other_advantages():
    scenes = generate("iid", "validation", 8, 1, families=("exists",)).scenes
    texts = []
    for _ in range(2):
        model = trained_captioner()
        v = scene_features(model, scenes)
        tune_by_reward(
            model,
            v,
            "caption",
            lambda text, i: float(len(text)),
            RewardConfig(updates=2, pictures=2, group=2),
            seed=3,
            advantages=lambda r: (r - r.mean(1, keepdim=True)) / 10,
            progress=False,
        )
        choose = Sample(torch.Generator().manual_seed(0))
        texts.append(write_ids(model, v, "caption", choose))
    assert texts[0] == texts[1]


def test_impossible_settings_are_named():
    for wrong in (dict(updates=0), dict(group=1), dict(kl=-1), dict(pictures=0)):
        with pytest.raises(ValueError, match="a group of at least 2"):
            RewardConfig(**wrong)


def test_the_recipe_writes_its_file(tmp_path):
    path = tmp_path / "captioner.safetensors"
    model, history = train_captioner(
        scenes=70, config=FitConfig(epochs=1, max_steps=2), checkpoint=path, device="cpu"
    )
    assert path.stat().st_size < 1_000_000 and len(history.score) == 1
    assert model.training is False

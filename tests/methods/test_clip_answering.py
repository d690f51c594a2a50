"""Answering questions about clips, and text to video: asked, trained for a moment, kept."""

import pytest
import torch

from course_utils.datasets.clips import clip_words
from course_utils.datasets.future_clips import WAYS, future_data
from course_utils.methods.clip_answering import (
    ask_clip,
    foretell,
    new_clip_model,
    train_future,
    trained_future,
    world_stem,
)
from course_utils.models.future import FutureModel, least_error, nearest_future
from course_utils.models.weights import load_weights


def test_the_stem_is_frozen():
    stem = world_stem()
    assert not stem.training and not any(p.requires_grad for p in stem.parameters())
    assert stem(torch.rand(2, 3, 64, 64)).shape == (2, 16, 64)


def test_an_answer_is_a_word():
    torch.manual_seed(0)
    model = new_clip_model("recurrence")
    v = torch.randn(7, 16, 64)
    answer = ask_clip(model, v, "does the red circle move right?")
    with torch.no_grad():
        model.head.layers[-1].bias[1] += 100
    assert answer and ask_clip(model, v, "does the red circle move right?") == "yes"
    assert ask_clip(model, v, "红色圆形向右移动吗？", "zh") == "是"
    with pytest.raises(ValueError, match="'purple'"):
        ask_clip(model, v, "does the purple circle move?")
    with pytest.raises(ValueError, match="got 'film'"):
        new_clip_model("film")


def test_a_checkpoint_is_written_and_read(tmp_path):
    path = tmp_path / "future.safetensors"
    model, history = train_future(seed=1, clips=4, updates=3, checkpoint=path, device="cpu")
    assert len(history.loss) == 3
    again = load_weights(FutureModel(len(clip_words())), path)
    for one, other in zip(model.parameters(), again.parameters()):
        assert torch.equal(one.cpu(), other)


def test_the_kept_model_follows_its_words_and_blurs_without():
    data = future_data(30, seed=11)
    model = trained_future()
    told, untold = foretell(model, data), foretell(model, data, told=False)
    for number, _ in enumerate(WAYS):
        found = nearest_future(told[number], list(data.later))
        assert (found == number).double().mean() > 0.9
    assert torch.equal(untold[0], untold[3])
    error = (untold - data.later).square().mean().item()
    assert 1 < error / least_error(list(data.later)) < 1.2
    assert (told - data.later).square().mean() < error / 3

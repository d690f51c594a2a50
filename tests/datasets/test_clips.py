"""Clips as data: features, batches of both directions, folders of frames."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from course_utils.datasets.captions import START
from course_utils.datasets.clips import (
    clip_data,
    clip_features,
    clip_loader,
    clip_words,
    encode,
    frame_files,
    read_frames,
    spread,
)
from course_utils.datasets.future_clips import WAYS, draw_batch, future_data, small_frames
from course_utils.world.motion import draw_clips, sample_clips
from course_utils.world.motion_words import clip_captions, questions


class Stem(nn.Module):
    """The mean colour of each quarter of a picture."""

    def forward(self, images):
        return nn.functional.avg_pool2d(images, 32).flatten(2).transpose(1, 2)


def test_features_stand_by_clip_and_frame(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    clips = sample_clips("first", 3, seed=1)
    v = clip_features(clips, Stem())
    assert v.shape == (3, 7, 4, 3)
    picture = torch.from_numpy(draw_clips(clips))[2, 5].float() / 255
    assert torch.allclose(v[2, 5], Stem()(picture[None])[0], atol=1e-3)
    kept = clip_features(clips, Stem(), "named")
    assert torch.equal(kept, v) and len(list(tmp_path.iterdir())) == 1
    assert torch.equal(clip_features(clips, Stem(), "named"), v)


def test_rows_are_clips_and_reverses_in_pairs():
    clips = sample_clips("which", 4, seed=2)
    v = torch.randn(4, 7, 2, 3)
    data = clip_data(v, clips, seed=5)
    assert len(data) == 8 and torch.equal(data.x[:4], data.x[4:])
    assert (data.y[:4] != data.y[4:]).all()
    batch = data.__getitems__([1, 5])
    assert torch.equal(batch.v[0], v[1]) and torch.equal(batch.v[1], v[1].flip(0))
    assert data[5].v.shape == (1, 7, 2, 3)
    text = questions(clips, 5).texts[1]
    assert batch.x[0, batch.mask[0]].tolist() == [START, *clip_words().ids(text)]
    with pytest.raises(ValueError, match="expected 4 clips, got 3"):
        clip_data(v[:3], clips)


def test_loader_repeats_with_its_seed():
    clips = sample_clips("first", 8)
    data = clip_data(torch.randn(8, 7, 1, 2), clips)
    one, other = (next(iter(clip_loader(data, 4, seed=3))).y for _ in range(2))
    assert torch.equal(one, other)
    assert len(clip_loader(data, 5)) == 3  # the last one, not full, is left out


def test_unknown_words_are_named():
    with pytest.raises(ValueError, match="'banana'"):
        encode(["does the banana move right?"])
    with pytest.raises(ValueError, match="at least one"):
        encode([])


def test_frames_are_read_in_the_order_of_their_numbers(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), np.uint8)
    for i, picture in enumerate(pictures, 1):
        Image.fromarray(picture).save(tmp_path / f"f{i}.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    assert [path.stem for path in frame_files(tmp_path)][:3] == ["f1", "f2", "f3"]
    frames = read_frames(tmp_path)
    assert np.array_equal(frames.numpy(), pictures.transpose(0, 3, 1, 2))
    few = read_frames(tmp_path, wanted=3, side=32)
    assert few.shape == (3, 3, 32, 32)
    with pytest.raises(FileNotFoundError, match="folder of frames"):
        read_frames(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="found none"):
        read_frames(tmp_path / "empty")


def test_spread_takes_middles():
    assert spread(12, 4) == [1, 4, 7, 10] and spread(7, 7) == list(range(7))
    assert spread(9, 1) == [4] and spread(2, 4) == [0, 0, 1, 1]
    for frames in range(1, 40):
        for wanted in range(1, 12):
            found = spread(frames, wanted)
            assert found == sorted(found) and 0 <= found[0] <= found[-1] < frames
            mirrored = [frames - 1 - i for i in found[::-1]]
            assert max(abs(a - b) for a, b in zip(found, mirrored)) <= 1
    with pytest.raises(ValueError, match="got 0 of 5"):
        spread(5, 0)


def test_futures_have_one_first_frame_and_their_own_words():
    data = future_data(5, seed=1)
    assert data.first.shape == (5, 3, 32, 32) and data.later.shape == (4, 5, 6, 3, 32, 32)
    names = clip_words().names
    for way, name in enumerate(WAYS):
        words = [names[i] for i in data.x[way, 2][data.mask[way, 2]].tolist()]
        assert words[-1] == name and words[-2] == "moves"
    batch = draw_batch(data, 64, 0.5, torch.Generator().manual_seed(0))
    told = batch.mask.any(1)
    assert 15 < int(told.sum()) < 50 and batch.later.shape == (64, 6, 3, 32, 32)
    clips = sample_clips("direction", 2)
    assert torch.allclose(
        small_frames(clips, 64), torch.from_numpy(draw_clips(clips)).float() / 255
    )
    with pytest.raises(ValueError, match="divisor of 64, got 20"):
        small_frames(clips, 20)
    assert clip_captions(clips)[0].split()[0] == "a"

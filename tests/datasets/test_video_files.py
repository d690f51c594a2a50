"""Video files: what is written is read, and what the files do to clips."""

import numpy as np
import pytest
import torch

from course_utils.datasets import video_files
from course_utils.datasets.video_files import frame_times, read_video, write_video
from course_utils.world.motion import draw_clips, sample_clips

pytest.importorskip("av")
CLIP = torch.from_numpy(draw_clips(sample_clips("direction", 1, seed=6, frames=12)))[0]


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".webm"])
def test_frames_and_times_are_kept(tmp_path, ending):
    path = tmp_path / f"clip{ending}"
    write_video(path, CLIP, per_second=6)
    back = read_video(path)
    assert back.shape == CLIP.shape
    assert np.allclose(frame_times(path), np.arange(12) / 6, atol=0.002)
    off = (back.int() - CLIP.int()).abs()
    if ending == ".mkv":
        assert off.max() == 0
    else:  # colours at half the sides: small objects lose most
        assert off.max() > 20 and off.float().mean() < 6


def test_some_frames_are_those_of_all(tmp_path):
    path = tmp_path / "clip.mkv"
    write_video(path, CLIP, per_second=6)
    assert torch.equal(read_video(path, wanted=4), CLIP[[1, 4, 7, 10]])
    assert torch.equal(read_video(path, start=0.5, end=1.0), CLIP[3:6])
    assert torch.equal(read_video(path, wanted=24), CLIP.repeat_interleave(2, 0))
    assert read_video(path, wanted=1, side=32).shape == (1, 3, 32, 32)
    with pytest.raises(ValueError, match="from 9 s to its end, found none"):
        read_video(path, start=9)


def test_what_cannot_be_read_or_written_is_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="found none"):
        read_video(tmp_path / "none.mp4")
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video at all")
    with pytest.raises(ValueError, match="expected a video"):
        read_video(bad)
    with pytest.raises(ValueError, match=r"ends in .mkv, .mp4, .webm; got 'clip.gif'"):
        write_video(tmp_path / "clip.gif", CLIP)
    with pytest.raises(ValueError, match="even sides, got 63 x 64"):
        write_video(tmp_path / "clip.mp4", CLIP[:, :, 1:])
    with pytest.raises(ValueError, match="whole number of at least 1, got 2"):
        write_video(tmp_path / "clip.mkv", CLIP, per_second=2.5)
    with pytest.raises(ValueError, match="uint8, got"):
        write_video(tmp_path / "clip.mkv", CLIP.float())
    path = tmp_path / "clip.mkv"
    write_video(path, CLIP)
    monkeypatch.setattr(video_files, "av", None)
    with pytest.raises(ImportError, match="pip install av"):
        read_video(path)


def test_what_a_file_says_of_its_length_is_not_its_length(tmp_path):
    """PyAV 18.1: webm and mkv say 0 frames, mp4 says how many. So `read_video` counts itself."""
    import av

    for ending, said in ((".mkv", 0), (".webm", 0), (".mp4", 12)):
        path = tmp_path / f"clip{ending}"
        write_video(path, CLIP)
        with av.open(str(path)) as file:
            assert file.streams.video[0].frames == said
        assert len(read_video(path)) == 12

"""MSR-VTT's files are read in exactly their form."""

import json

import pytest

from course_utils.datasets.msr_vtt import read_msr_vtt

VIDEOS = [
    {"video_id": f"video{i}", "category": 9 - i, "url": "https://example.org", "start time": 137.72,
     "end time": 149.44, "split": split, "id": i}
    for i, split in enumerate(["train", "validate", "train"])
]  # fmt: skip
SENTENCES = [
    {"caption": "a car is shown", "video_id": "video0", "sen_id": 3},
    {"caption": "a  group is dancing ", "video_id": "video1", "sen_id": 1},
    {"caption": "a car drives", "video_id": "video0", "sen_id": 2},
    {"caption": "a man speaks", "video_id": "video2", "sen_id": 4},
]


def made(folder, videos=VIDEOS, sentences=SENTENCES, files=("video0", "video1", "video2")):
    table = folder / "train_val_videodatainfo.json"
    table.write_text(json.dumps({"info": {}, "videos": videos, "sentences": sentences}))
    for name in files:
        (folder / f"{name}.mp4").touch()
    return table


def test_videos_have_their_sentences(tmp_path):
    found = read_msr_vtt(made(tmp_path), tmp_path)
    assert [video.name for video in found] == ["video0", "video1", "video2"]
    assert found[0].captions == ("a car drives", "a car is shown")  # by their ids
    assert found[1].captions == ("a group is dancing",)
    assert found[0].path == tmp_path / "video0.mp4" and found[0].category == 9
    assert [v.name for v in read_msr_vtt(made(tmp_path), tmp_path, "validate")] == ["video1"]


def test_missing_files_are_named_or_left_out(tmp_path):
    table = made(tmp_path, files=("video0", "video2"))
    with pytest.raises(ValueError, match=r"expected the file video1.mp4"):
        read_msr_vtt(table, tmp_path)
    found = read_msr_vtt(table, tmp_path, skip_missing=True)
    assert [video.name for video in found] == ["video0", "video2"]


@pytest.mark.parametrize(
    ("videos", "sentences", "message"),
    [
        ([VIDEOS[0], VIDEOS[0]], SENTENCES[:1], "a name of its own"),
        ([dict(VIDEOS[0], split="dev")], SENTENCES[:1], "split: expected one of train"),
        ([dict(VIDEOS[0], category="9")], SENTENCES[:1], "category: expected a whole number"),
        (VIDEOS[:1], [], "expected sentences about video0"),
        (VIDEOS[:1], [dict(SENTENCES[0], caption=" ")], "expected some words"),
        (VIDEOS[:1], [dict(SENTENCES[0], video_id="video7")], "expected a video of the file"),
        (VIDEOS[:1], [dict(SENTENCES[0], sen_id="3")], "sen_id: expected a whole number"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path, videos, sentences, message):
    with pytest.raises(ValueError, match=message):
        read_msr_vtt(made(tmp_path, videos, sentences), tmp_path)


def test_other_files_are_refused(tmp_path):
    table = tmp_path / "table.json"
    for text, message in (("{", "expected JSON"), ('{"videos": []}', 'under "sentences"')):
        table.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_msr_vtt(table, tmp_path)
    with pytest.raises(FileNotFoundError, match="MSR-VTT's file"):
        read_msr_vtt(tmp_path / "none.json", tmp_path)
    with pytest.raises(FileNotFoundError, match="folder of videos"):
        read_msr_vtt(table, tmp_path / "none")
    with pytest.raises(ValueError, match="got 'dev'"):
        read_msr_vtt(made(tmp_path), tmp_path, "dev")

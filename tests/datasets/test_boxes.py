"""Files with boxes, each held to a picture with known pixels."""

import json

import numpy as np
import pytest
from PIL import Image

from course_utils.datasets.boxes import read_coco_detections, read_mot, read_refcoco, write_mot
from course_utils.methods.following import follow
from course_utils.world.tracks import detect, glide


@pytest.fixture
def picture(tmp_path):
    """A black rectangle of 5 x 3 pixels whose first pixel is in column 7, row 2, on white."""
    pixels = np.full((20, 30, 3), 255, np.uint8)
    pixels[2:5, 7:12] = 0
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return pixels


def is_dark(pixels, box):
    left, top, right, bottom = (int(side) for side in box)
    dark = (pixels == 0).all(-1)
    return dark[top:bottom, left:right].all() and dark.sum() == (bottom - top) * (right - left)


def test_detections_of_coco(tmp_path, picture):
    path = tmp_path / "results.json"
    one = {"image_id": 9, "category_id": 3, "bbox": [7, 2, 5, 3], "score": 0.5}
    path.write_text(json.dumps([one]))
    (found,) = read_coco_detections(path)
    assert is_dark(picture, found.box) and found[:3] == (9, 3, 0.5)
    for bad, told in (
        ({"image_id": 9}, "detection 0: expected bbox, category_id, score"),
        (one | {"bbox": [7, 2, -5, 3]}, "at least 0"),
        (one | {"bbox": [7, 2, 5]}, "left, top, width, height"),
    ):
        path.write_text(json.dumps([bad]))
        with pytest.raises(ValueError, match=told):
            read_coco_detections(path)
    path.write_text("{}")
    with pytest.raises(ValueError, match="expected a list of detections, got dict"):
        read_coco_detections(path)
    path.write_text("[")
    with pytest.raises(ValueError, match="expected JSON"):
        read_coco_detections(path)


def test_expressions_of_refcoco(tmp_path, picture):
    refs, instances = tmp_path / "refs.json", tmp_path / "instances.json"
    told = {
        "images": [{"id": 9, "file_name": "picture.png"}],
        "annotations": [{"id": 4, "image_id": 9, "bbox": [7, 2, 5, 3]}],
    }
    instances.write_text(json.dumps(told))
    ref = {"split": "val", "ann_id": 4, "image_id": 9}
    ref["sentences"] = [{"sent": "the dark one "}, {"sent": "rectangle"}]
    refs.write_text(json.dumps([ref, ref | {"split": "testA"}]))
    found = read_refcoco(refs, instances)
    assert [one.text for one in found] == ["the dark one", "rectangle"]
    assert all(is_dark(picture, one.box) and one.file == "picture.png" for one in found)
    with pytest.raises(ValueError, match="expected one of testA, val, got 'train'"):
        read_refcoco(refs, instances, "train")
    refs.write_text(json.dumps([ref | {"ann_id": 5}]))
    with pytest.raises(ValueError, match="annotation 5 or image 9 isn't there"):
        read_refcoco(refs, instances)
    refs.write_text(json.dumps([{"split": "val"}]))
    with pytest.raises(ValueError, match="ref 0: lacks 'ann_id'"):
        read_refcoco(refs, instances)


def test_tracks_of_the_mot_challenge_count_pixels_and_frames_from_1(tmp_path, picture):
    path = tmp_path / "gt.txt"
    path.write_text(
        "2,5,8,3,5,3,1,1,0.9\n1,5,8,3,5,3,1,1,1\n1,6,1,1,2,2,0,1,1\n1,7,1,1,2,2,1,8,1\n"
    )
    found = read_mot(path)
    assert found.frame.tolist() == [0, 0, 1] and found.identity.tolist() == [5, 7, 5]
    assert is_dark(picture, found.boxes[0])
    assert read_mot(path, classes=(1,)).identity.tolist() == [5, 5]
    path.write_text("1,5,8,3\n")
    with pytest.raises(ValueError, match="line 1: expected frame, id"):
        read_mot(path)
    path.write_text("")
    assert len(read_mot(path)) == 0


def test_written_tracks_come_back(tmp_path):
    clip = glide(10, 4, seed=1)
    tracks = follow(detect(clip), 10)
    write_mot(tmp_path / "out.txt", tracks)
    again = read_mot(tmp_path / "out.txt")
    order = np.lexsort((tracks.identity, tracks.frame))
    assert (again.identity == tracks.identity[order]).all()
    assert np.abs(again.boxes - tracks.boxes[order]).max() < 0.011

"""COCO's captions and LLaVA's conversations are read from files in exactly their form."""

import json

import pytest
from PIL import Image

from course_utils.datasets.conversations import read_coco_captions, read_conversations


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "val2014"
    pictures.mkdir()
    for name in ("000000000009.jpg", "kitchen.jpg"):
        Image.new("RGB", (8, 6), "teal").save(pictures / name)
    return pictures


def coco(**changes):
    return {
        "info": {"year": 2014},
        "licenses": [{"id": 3, "name": "Attribution License"}],
        "images": [
            {"id": 9, "file_name": "000000000009.jpg", "height": 6, "width": 8, "license": 3}
        ],
        "annotations": [
            {"id": 1, "image_id": 9, "caption": "A tray  with food.\n"},
            {"id": 2, "image_id": 9, "caption": "Food on a tray."},
        ],
    } | changes


def llava(*texts, image="kitchen.jpg", **more):
    said = [{"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(texts)]
    return [{"id": "k1", "image": image, "conversations": said} | more]


def written(folder, content):
    path = folder.parent / "table.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_captions(folder):
    found = read_coco_captions(written(folder, coco()), folder)
    assert [caption.text for caption in found] == ["A tray with food.", "Food on a tray."]
    assert {caption.picture for caption in found} == {folder / "000000000009.jpg"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected an object, got list"),
        ("{", "expected JSON"),
        (coco(images=None), "images: expected a list of objects, got nothing"),
        (coco(annotations=[]), "at least one row"),
        (
            coco(annotations=[{"id": 7, "image_id": 8, "caption": "A dog."}]),
            r"annotation 1 \(id 7\): image_id 8: expected one image of that id, got 0",
        ),
        (coco(annotations=[{"id": 7, "image_id": 9, "caption": " "}]), "caption: expected some"),
        (coco(images=[{"id": 9, "file_name": "gone.jpg"}]), "got file_name 'gone.jpg'"),
        (coco(images=coco()["images"] * 2), "expected one image of that id, got 2"),
    ],
)
def test_bad_captions_are_named(folder, content, message):
    with pytest.raises(ValueError, match=message):
        read_coco_captions(written(folder, content), folder)


def test_conversations(folder):
    table = llava("<image>\nHow many cups?", "Two.", "Of which colour?", "Blue.")
    (found,) = read_conversations(written(folder, table), folder)
    assert found.picture == folder / "kitchen.jpg"
    assert found.turns == (("How many cups?", "Two."), ("Of which colour?", "Blue."))
    (behind,) = read_conversations(written(folder, llava("How many?\n<image>", "Two.")), folder)
    assert behind.turns == (("How many?", "Two."),)
    (words,) = read_conversations(written(folder, llava("Hello.", "Hi.", image=None)), folder)
    assert words.picture is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "expected a list of conversations, got dict"),
        ([3], r"row 1 \(id None\): expected an object, got int"),
        (llava("<image>\nHow many?"), r"row 1 \(id 'k1'\): conversations: .* got 1"),
        (llava("<image>\nA?", "B.", conversations=None), "got nothing"),
        (llava("How many?", "Two."), "<image> once, in the first question, got it 0 times"),
        (llava("<image>\nA?", "B.", "<image> C?", "D."), "got it 2 times"),
        (llava("A?", "B.", "<image> C?", "D."), "in the first question"),
        (llava("<image>\n", "B."), "expected some words beside <image>"),
        (llava("<image>\nA?", ""), "text 2: value: expected some words, got ''"),
        (llava("<image>\nA?", "B.", image="gone.jpg"), "image: expected a picture .* 'gone.jpg'"),
        (llava("<image>\nA?", "B.", image=None), "there is no image"),
        (
            llava("A?", "B.", conversations=[{"from": "gpt", "value": "B."}] * 2),
            "text 1: expected one from 'human', got 'gpt'",
        ),
    ],
)
def test_bad_conversations_are_named(folder, content, message):
    with pytest.raises(ValueError, match=message):
        read_conversations(written(folder, content), folder)


@pytest.mark.parametrize("read", [read_coco_captions, read_conversations])
def test_a_file_that_is_not_there(folder, read):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read(folder / "none.json", folder)

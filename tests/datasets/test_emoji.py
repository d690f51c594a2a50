"""The emoji: whole families in one part, real pictures, terms beside them, clear errors."""

import io
import json
import re
import shutil
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.datasets import load_emoji
from course_utils.datasets.emoji import PARTS, emoji_folder
from lessons.heads import ROOT
from tools import make_emoji

SIZES = {"train": 1185, "validation": 160, "test": 240}


@pytest.fixture(scope="module")
def everything():
    return load_emoji("all")


@pytest.fixture(scope="module")
def parts():
    return {part: load_emoji(part) for part in PARTS}


def find(data, name: str) -> int:
    return data.names.index(name)


def test_sizes_and_forms(everything, parts):
    assert {part: len(data) for part, data in parts.items()} == SIZES
    assert len(everything) == 1585 == sum(SIZES.values())
    assert everything.images.shape == (1585, 3, 64, 64) and everything.images.dtype == torch.uint8
    assert len(set(everything.ids)) == 1585
    for data in parts.values():
        lengths = {
            len(data.names),
            len(data.keywords),
            len(data.ids),
            len(data.categories),
            len(data.images),
            len(data.family),
        }
        assert lengths == {len(data)}
    assert sum(f.stat().st_size for f in emoji_folder().rglob("*") if f.is_file()) < 8e6


def test_no_family_is_in_two_parts(parts):
    sets = [set(data.family.tolist()) for data in parts.values()]
    assert sum(map(len, sets)) == len(set.union(*sets)) == len(parts["train"].families)


@pytest.mark.parametrize(
    "pattern",
    [
        r"o’clock|-thirty$",
        r"^keycap",
        r" skin tone$",
        r"^\w+ flags?$",
        r"^\w+ heart$",
        r" moon( face)?$",
        r"farmer$",
        r"astronaut$",
        r"in tuxedo$",
        r"^(mermaid|merman|merperson)$",
        r"^tiger( face)?$",
        r"^keycap: \d$",
        r" square$",
        r"grinning (face|squinting face)",
    ],
)
def test_variants_of_one_thing_are_one_family(everything, pattern):
    rows = [i for i, name in enumerate(everything.names) if re.search(pattern, name)]
    rows = [i for i in rows if everything.names[i] != "anatomical heart"]
    assert len(rows) > 1
    assert len(set(everything.family[rows].tolist())) == 1


def test_pictures_of_two_parts_do_not_look_alike(parts):
    train, test = (torch.nn.functional.avg_pool2d(parts[p].floats(), 4) for p in ("train", "test"))
    for picture in test:  # (3, 16, 16)
        difference = (train - picture).abs().mean((1, 2, 3))  # (1185,)
        ink = ((picture < 0.97).any(0)).float().mean()
        assert difference.min() > 0.03 * ink


def test_no_picture_is_blank_and_all_stand_on_white(everything):
    ink = (everything.images < 247).any(1).float().mean((1, 2))  # (n,)
    assert ink.min() > 0.05
    corners = everything.images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]  # (n, 3, 4)
    assert (corners == 255).all(1).any(1).float().mean() > 0.9


def test_pictures_have_their_names(everything):
    """Mean colours of things whose colour is their name."""
    centre = everything.floats()[:, :, 24:40, 24:40].mean((2, 3))  # (n, 3)
    for colour, (high, low) in {"red": (0, 2), "blue": (2, 0), "green": (1, 0)}.items():
        for kind in ("circle", "square"):
            rgb = centre[find(everything, f"{colour} {kind}")]
            assert rgb[high] > rgb[low] + 0.2, (colour, kind, rgb)


def test_both_languages_are_in_the_same_order(everything):
    chinese = load_emoji("all", "zh")
    assert chinese.ids == everything.ids and torch.equal(chinese.images, everything.images)
    assert chinese.names[find(everything, "dog")] == "狗"
    assert chinese.names[find(everything, "red apple")] == "红苹果"
    assert sum(any("\u4e00" <= c <= "\u9fff" for c in name) for name in chinese.names) > 1550
    assert all(everything.names) and all(chinese.names) and all(everything.keywords)


def test_texts_join_name_and_keywords(everything):
    dog = everything.texts()[find(everything, "dog")]
    assert dog.startswith("dog, ") and "pet" in dog.split(", ")
    assert dog.split(", ").count("dog") == 1


def test_select(everything):
    rows = torch.tensor([5, 3])
    some = everything.select(rows)
    assert some.names == (everything.names[5], everything.names[3])
    assert torch.equal(some.images, everything.images[rows])
    assert torch.equal(some.family, everything.family[rows])


def test_several_right_answers_are_found(parts):
    data = parts["test"]
    right = data.right_answers()
    assert right.shape == (240, 240) and right.diagonal().all() and torch.equal(right, right.T)
    pair = find(data, "family"), find(data, "family: adult, adult, child")
    assert right[pair] and right.sum() == 242
    near = data.right_answers(alike=0.05)
    assert near[find(data, "woman pouting"), find(data, "woman frowning")]
    assert (near | right).equal(near) and near.float().mean() < 0.02
    some = data.select(torch.tensor([0, 1]))
    renamed = type(some)(**{**some.__dict__, "names": ("Dog", "dog")})
    assert renamed.right_answers().all()


def test_licences_and_attribution_are_there():
    folder = emoji_folder()
    assert "Attribution 4.0 International" in (folder / "licences/CC-BY-4.0.txt").read_text()
    assert "UNICODE LICENSE V3" in (folder / "licences/Unicode-3.0.txt").read_text("utf-8")
    sheet = " ".join((folder / "README.md").read_text("utf-8").split())
    for words in ("Twemoji", "CC-BY 4.0", "Unicode-3.0", "Twitter, Inc."):
        assert words in sheet


def test_the_datasheet_tells_the_sizes(parts):
    text = (ROOT / "data" / "emoji" / "README.md").read_text("utf-8")
    for part, data in parts.items():
        assert f"| {part} | {len(data):,} | {len(set(data.family.tolist()))} |" in text


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(emoji_folder(), tmp_path / "emoji")


def test_bad_arguments_and_missing_files(copy):
    with pytest.raises(ValueError, match="train, validation, test, all; got 'dev'"):
        load_emoji("dev")
    with pytest.raises(ValueError, match="'en' or 'zh', got 'fr'"):
        load_emoji("test", "fr")
    (copy / "pictures.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"pictures.png, but there is no such file"):
        load_emoji("test", folder=copy)
    with pytest.raises(FileNotFoundError, match=r"emoji.json"):
        load_emoji("test", folder=copy / "nowhere")


def test_damaged_files(copy):
    picture = copy / "pictures.png"
    content = picture.read_bytes()
    picture.write_bytes(content[:-100])
    with pytest.raises(ValueError, match=r"pictures.png is damaged"):
        load_emoji("test", folder=copy)
    picture.write_bytes(content)
    names = json.loads((copy / "emoji.json").read_text("utf-8"))
    for broken in ({**names, "emoji": [{"part": "test"}]}, {"emoji": names["emoji"]}, []):
        (copy / "emoji.json").write_text(json.dumps(broken), encoding="utf-8")
        with pytest.raises(ValueError, match="expected the emoji's names in"):
            load_emoji("test", folder=copy)
    (copy / "emoji.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="expected the emoji's names in"):
        load_emoji("test", folder=copy)
    short = {**names, "emoji": names["emoji"][:50]}
    (copy / "emoji.json").write_text(json.dumps(short), encoding="utf-8")
    with pytest.raises(ValueError, match="for 50 pictures"):
        load_emoji("train", folder=copy)


def archive(path, files: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)


def test_the_script_on_two_small_packages(tmp_path):
    def png(colour) -> bytes:
        file = io.BytesIO()
        picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
        picture.paste(colour, (16, 16, 48, 48))
        picture.save(file, "PNG")
        return file.getvalue()

    entry = {"category": "Animals & Nature", "subcategory": "animal-mammal"}
    emoji = [
        {**entry, "unified": "1F436", "image": "a.png"},
        {**entry, "unified": "2763-FE0F", "image": "b.png"},
        {**entry, "unified": "1F431", "image": "none.png"},
    ]
    pictures = archive(
        tmp_path / "p.tgz",
        {
            "emoji.json": json.dumps(emoji).encode(),
            "img/twitter/64/a.png": png("red"),
            "img/twitter/64/b.png": png("blue"),
        },
    )
    notes = {
        text: {"default": ["word"], "tts": [name]}
        for text, name in (("🐶", "dog face"), ("❣", "cat"), ("🐱", "cow"))
    }
    content = json.dumps({"annotations": {"annotations": notes}}).encode()
    names = archive(
        tmp_path / "n.tgz",
        {f"annotations/{lang}/annotations.json": content for lang in ("en", "zh")},
    )
    images, records = make_emoji.make(pictures, names)
    assert [r["names"]["en"] for r in records] == ["dog face", "cat"], "no picture, no record"
    assert [r["family"] for r in records] == ["dog", "cat"]
    assert images.shape == (2, 64, 64, 3)
    assert images[0, 0, 0].tolist() == [255] * 3, "transparent becomes white"
    assert images[1, 32, 32].tolist() == [0, 0, 255]
    assert make_emoji.sheet(images).shape == (64, 64 * make_emoji.COLUMNS, 3)


def test_look_alikes_become_one_family():
    grey = np.full((3, 64, 64, 3), 128, np.uint8)
    grey[2, :32] = 255
    assert make_emoji.join(["a", "b", "c"], grey) in (["a", "a", "c"], ["b", "b", "c"])

"""Text, batches and easy-VQA: values, one clear error for each kind of bad input."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.datasets import VQAData, load_easy_vqa, loader
from course_utils.datasets.easy_vqa import (
    BACKGROUND,
    COLOURS,
    draw_shape,
    easy_vqa_folder,
    easy_vqa_words,
)
from course_utils.datasets.text import CLS, PAD, UNKNOWN, encode, word_tokenizer


@pytest.fixture(scope="module")
def train():
    return load_easy_vqa("train")


@pytest.fixture(scope="module")
def test_split(train):
    return load_easy_vqa("test", train.tokenizer, train.answers)


# Text


def test_tokenizer_is_one_token_a_word_in_any_order_of_texts():
    texts = ["Is it red?", "is it blue!", "what is it"]
    a, b = word_tokenizer(texts), word_tokenizer(reversed(texts))
    assert a.get_vocab() == b.get_vocab()
    words = sorted(a.get_vocab(), key=a.get_vocab().get)
    assert words == [PAD, UNKNOWN, CLS, "blue", "is", "it", "red", "what"]


def test_encoding_pads_on_the_right_and_marks_unknown_words():
    tokenizer = word_tokenizer(["is it red", "is it"])
    x, mask = encode(tokenizer, ["it is", "is it green now?"])
    assert x.tolist() == [[2, 4, 3, 0, 0], [2, 3, 4, 1, 1]]
    assert mask.tolist() == [[True] * 3 + [False] * 2, [True] * 5]


def test_texts_that_look_alike_are_equal():
    """An apostrophe as a telephone types it, and an accent in two of Unicode's forms."""
    tokenizer = word_tokenizer(["what's this \u00e9tude?"])
    x, _ = encode(tokenizer, ["what\u2019s this e\u0301tude?", "what's this \u00e9tude?"])
    assert torch.equal(x[0], x[1]) and tokenizer.token_to_id(UNKNOWN) not in x


def test_text_errors():
    with pytest.raises(ValueError, match="at least one word"):
        word_tokenizer(["?!"])
    with pytest.raises(ValueError, match="single string 'is it'"):
        encode(word_tokenizer(["is it"]), "is it")
    with pytest.raises(ValueError, match="at least one text"):
        encode(word_tokenizer(["is it"]), [])


# easy-VQA


def test_easy_vqa_is_the_published_data(train, test_split):
    assert (len(train.images), len(train)) == (4000, 38575)
    assert (len(test_split.images), len(test_split)) == (1000, 9673)
    assert len(train.answers) == 13 and train.images.shape[1:] == (3, 64, 64)
    assert len(set(train.questions)) == 107


def test_examples_agree_with_the_files(test_split):
    folder = easy_vqa_folder() / "test"
    rows = json.loads((folder / "questions.json").read_text())
    for i in (0, 17, 9672):
        question, answer, number = rows[i]
        batch = test_split[i]
        assert test_split.questions[i] == question
        assert test_split.answers[batch.y[0]] == answer
        picture = np.asarray(Image.open(folder / "images" / f"{number}.png").convert("RGB"))
        got = (batch.images[0] * 255).round().byte().permute(1, 2, 0).numpy()
        assert (got == picture).all()


def test_families(test_split):
    names = {test_split.families[f] for f in test_split.family.tolist()}
    assert names == {"yes/no", "colour", "shape"}
    yes_no = test_split.family == 0
    assert {test_split.answers[y] for y in test_split.y[yes_no].tolist()} == {"yes", "no"}


def write_easy_vqa(folder, rows=(("is it red?", "yes", 0), ("what is it?", "circle", 1)), size=64):
    images = folder / "train" / "images"
    images.mkdir(parents=True)
    (folder / "train" / "questions.json").write_text(json.dumps(rows))
    for i in range(2):
        Image.new("RGB", (size, size), (i, 0, 0)).save(images / f"{i}.png")
    return folder


def test_a_small_folder_in_the_published_layout_loads(tmp_path):
    data = load_easy_vqa("train", folder=write_easy_vqa(tmp_path))
    assert data.answers == ("circle", "yes") and len(data.images) == 2


def test_bad_files_give_one_clear_error(tmp_path):
    with pytest.raises(ValueError, match="'train' or 'test', got 'val'"):
        load_easy_vqa("val")
    with pytest.raises(FileNotFoundError, match=r"expected questions in .*questions.json"):
        load_easy_vqa("train", folder=tmp_path)
    folder = write_easy_vqa(tmp_path / "a")
    with pytest.raises(ValueError, match="unknown answer 'circle' to 'what is it"):
        load_easy_vqa("train", answers=("yes", "no"), folder=folder)
    (folder / "train" / "images" / "1.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"readable picture in .*1.png"):
        load_easy_vqa("train", folder=folder)
    (folder / "train" / "images" / "1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected the picture .*1.png"):
        load_easy_vqa("train", folder=folder)
    Image.new("RGB", (32, 64)).save(folder / "train" / "images" / "1.png")
    with pytest.raises(ValueError, match=r"first \(64, 64, 3\), got \(64, 32, 3\) in 1.png"):
        load_easy_vqa("train", folder=folder)
    (folder / "train" / "questions.json").write_text('[["is it red?", "yes"]]')
    with pytest.raises(ValueError, match=r"expected a JSON list of \[question, answer"):
        load_easy_vqa("train", folder=folder)


# Batches


def test_a_batch_holds_each_picture_once_and_the_right_one(train):
    for batch in loader(train.select(torch.arange(300)), 16):
        assert len(batch.image_index.unique()) == len(batch.images)
        flat = (batch.images * 255).round().byte().flatten(1)
        assert len({row.numpy().tobytes() for row in flat}) == len(flat)
        break
    rows = [5, 900, 7, 901]
    batch = train.__getitems__(rows)
    for i, row in enumerate(rows):
        picture = (batch.images[batch.image_index[i]] * 255).round().byte()
        assert (picture == train.images[train.image_index[row]]).all()


def test_an_epoch_holds_every_example_once_and_pictures_stay_whole(train):
    data = train.select(torch.arange(500))
    batches = loader(data, 16, seed=3)
    rows = [row for rows in batches.batch_sampler for row in rows]
    assert sorted(rows) == list(range(500))
    for chunk in batches.batch_sampler:
        pictures = data.image_index[chunk].unique()
        assert len(chunk) == torch.isin(data.image_index, pictures).sum()


def test_orders_follow_seed_and_epoch(train):
    data = train.select(torch.arange(500))
    first, again, other = (list(loader(data, 8, seed=s).batch_sampler) for s in (0, 0, 1))
    assert first == again and first != other
    sampler = loader(data, 8, seed=0).batch_sampler
    sampler.set_epoch(1)
    assert list(sampler) != first


def test_splitting_by_image_shares_no_picture(train):
    a, b = train.split_by_image(0.1, seed=0)
    assert len(a) + len(b) == len(train) and len(b.images) == 400
    pictures = [{p.numpy().tobytes() for p in part.images} for part in (a, b)]
    assert not pictures[0] & pictures[1]


def test_restricting_answers_renumbers_them(test_split):
    data = test_split.restrict_answers(("no", "yes"))
    assert len(data) == (test_split.family == 0).sum()
    names = [test_split.answers[y] for y in test_split.y.tolist()]
    assert [data.answers[y] for y in data.y.tolist()] == [n for n in names if n in ("no", "yes")]
    with pytest.raises(ValueError, match=r"expected names among .* got maybe"):
        test_split.restrict_answers(("no", "maybe"))


def test_shuffled_images_are_all_others(train):
    data = train.select(torch.arange(400))
    shuffled = data.shuffle_images(0)
    assert (shuffled.image_index != data.image_index).all()
    assert shuffled.questions == data.questions and (shuffled.y == data.y).all()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("images", torch.zeros(2, 3, 8, 8), "images: expected uint8 .* got torch.float32"),
        ("mask", torch.ones(2, 5, dtype=torch.bool), r"mask: expected the shape of x \(2, 4\)"),
        ("y", torch.tensor([0, 9]), r"y: expected ids from 0 to 1 \(2 answers\), got .* 0 to 9"),
        ("y", torch.zeros(2, 3), r"soft targets of shape \(2, 2\), got \(2, 3\)"),
        ("image_index", torch.tensor([0, 2]), r"image_index: expected ids from 0 to 1"),
        ("family", torch.tensor([0]), "family: expected one entry for each of 2 questions, got 1"),
    ],
)
def test_fields_that_do_not_fit_are_named(field, value, message):
    fields = dict(
        images=torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
        questions=("a", "b"),
        x=torch.zeros(2, 4, dtype=torch.long),
        mask=torch.ones(2, 4, dtype=torch.bool),
        image_index=torch.tensor([0, 1]),
        y=torch.tensor([0, 1]),
        family=torch.zeros(2, dtype=torch.long),
        answers=("no", "yes"),
        families=("all",),
        tokenizer=word_tokenizer(["a b"]),
    )
    VQAData(**fields)
    with pytest.raises(ValueError, match=message):
        VQAData(**{**fields, field: value})


def test_loader_errors(train):
    with pytest.raises(ValueError, match="images_per_batch: expected 1 or more, got 0"):
        loader(train, 0)
    with pytest.raises(ValueError, match="empty"):
        loader(train.select(torch.zeros(len(train), dtype=torch.bool)), 4)
    with pytest.raises(ValueError, match=r"between 0 and 1, got 1.5"):
        train.split_by_image(1.5)


def test_words_and_answers_are_those_of_the_training_split():
    train = load_easy_vqa("train")
    tokenizer, answers = easy_vqa_words()
    assert tokenizer.to_str() == train.tokenizer.to_str() and answers == train.answers


def test_drawn_shapes_look_like_those_of_the_benchmark():
    picture = draw_shape("rectangle", "teal", size=20)
    assert picture.dtype == torch.uint8 and picture.shape == (3, 64, 64)
    assert picture[:, 32, 32].tolist() == list(COLOURS["teal"])
    assert picture[:, 0, 0].tolist() == list(BACKGROUND)
    tip, base = draw_shape("triangle", "red"), draw_shape("triangle", "red", upside_down=True)
    assert (tip[1] == 0).sum(1)[20] < 5 < (base[1] == 0).sum(1)[20]
    assert draw_shape("circle", "purple")[:, 32, 32].tolist() == [128, 0, 128]
    covered = draw_shape("circle", "red", covered=True)
    assert all(len(channel.unique()) == 1 for channel in covered)
    away = draw_shape("circle", "red", x=-40)
    assert torch.equal(away, covered)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": "star", "colour": "red"}, "circle, rectangle, triangle, got 'star'"),
        ({"shape": "circle", "colour": "no colour"}, "no colour"),
        ({"shape": "circle", "colour": "red", "size": -1}, "size: expected 0 or more"),
    ],
)
def test_what_cannot_be_drawn(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_shape(**arguments)

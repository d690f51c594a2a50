"""One's own pictures: rows, VQA v2's published files, tuning, the commands."""

import csv
import importlib
import json
import os
import random
import re
import shlex
import tomllib
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import Ridge
from torch import nn

from course_utils.datasets.rows import (
    Row,
    by_picture,
    frequent_answers,
    read_picture,
    read_rows,
    soft_targets,
)
from course_utils.datasets.vqa_v2 import normalise_answer, read_vqa_v2, scores_of
from course_utils.evaluation.baselines import words_scores
from course_utils.own import command, train
from course_utils.own import example as own_example
from course_utils.own import pictures as own_pictures
from course_utils.own.pictures import (
    TYPES,
    Answerer,
    Score,
    answer_type,
    ask,
    asked_before,
    best_blind,
    blind_score,
    gain,
    load_answerer,
    picture_features,
    questions_data,
    save_answerer,
    score,
    tunable,
    tune,
    without_pictures,
)
from lessons.heads import ROOT

HEADER = "picture,question,answer\n"


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures, red or blue, with a question each."""
    rng = random.Random(0)
    rows = []
    for i in range(12):
        colour = ("red", "blue")[i % 2]
        shade = (200 + rng.randrange(50), 20, 20)
        Image.new("RGB", (40 + i, 30), shade if i % 2 == 0 else shade[::-1]).save(
            tmp_path / f"{i}.png"
        )
        rows.append((f"{i}.png", "which colour is it?", colour))
    with (tmp_path / "questions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("picture", "question", "answer"), *rows])
    return tmp_path


def write(folder, text, name="questions.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_csv_and_json_give_the_same_rows(folder):
    rows = read_rows(folder)
    assert len(rows) == 12
    assert rows[1] == Row(folder / "1.png", "which colour is it?", {"blue": 1.0})
    records = [
        {"picture": r.picture.name, "question": r.question, "answer": next(iter(r.scores))}
        for r in rows
    ]
    write(folder, json.dumps(records), "other.json")
    assert read_rows(folder, folder / "other.json") == rows


def test_answers_are_compared_without_case_and_spaces(folder):
    rows = read_rows(write(folder, HEADER + "0.png,what?, Dark  Red \n1.png,what?,dark red\n"))
    assert [row.scores for row in rows] == [{"dark red": 1.0}] * 2


def test_numbers_in_json_are_answers(folder):
    write(folder, '[{"picture": "0.png", "question": "how many?", "answer": 2}]', "n.json")
    assert read_rows(folder, folder / "n.json")[0].scores == {"2": 1.0}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("9.jpg,what?,red", "line 2: picture: expected the file 9.jpg, but there is none"),
        ("0.png,,red", "line 2: question: expected something, got an empty cell"),
        ("0.png,what?,", "line 2: answer: expected something, got an empty cell"),
        ("0.png,what?", "line 2: answer: expected something, got an empty cell"),
        (",what?,red", "line 2: picture: expected something, got an empty cell"),
        ("../0.png,what?,red", "expected a file in the folder"),
        ("0.png,what, then?,red", "quotation marks"),
    ],
)
def test_each_kind_of_bad_row_is_named(folder, line, message):
    with pytest.raises(ValueError, match="1 of 2 rows") as error:
        read_rows(write(folder, HEADER + line + "\n1.png,what?,blue\n"))
    assert message in str(error.value)


def test_many_bad_rows_are_counted(folder):
    with pytest.raises(ValueError, match="9 of 9 rows") as error:
        read_rows(write(folder, HEADER + "x.png,what?,red\n" * 9))
    assert "and 4 more" in str(error.value)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("image,question,answer\n0.png,what?,red\n", "q.csv", "expected the columns"),
        ("", "q.csv", "an empty file"),
        (HEADER, "q.csv", "at least one row"),
        ("{", "q.json", "expected JSON"),
        ('{"picture": 1}', "q.json", "list of objects"),
        ('[{"picture": "0.png", "question": ["what?"], "answer": "red"}]', "q.json", "got \\["),
    ],
)
def test_tables_that_cannot_be_read(folder, text, name, message):
    write(folder, text, name)
    with pytest.raises(ValueError, match=message):
        read_rows(folder, folder / name)


def test_a_table_that_is_no_text(folder):
    (folder / "questions.csv").write_bytes(
        "picture,question,answer\n0.png,Größe?,rot".encode("latin-1")
    )
    with pytest.raises(ValueError, match="UTF-8"):
        read_rows(folder)


def test_missing_folder_and_table(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        read_rows(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"questions.csv or .*questions.json"):
        read_rows(tmp_path)


def test_pictures_become_squares_on_white(tmp_path):
    Image.new("RGBA", (80, 40), (255, 0, 0, 255)).save(tmp_path / "wide.png")
    got = read_picture(tmp_path / "wide.png", 32)
    assert got.shape == (3, 32, 32)
    assert (got[:, :8] == 255).all() and (got[:, 24:] == 255).all()
    assert (got[0, 8:24] == 255).all() and (got[1:, 8:24] == 0).all()
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    half.paste((0, 0, 0, 255), (0, 0, 8, 4))
    half.save(tmp_path / "half.png")
    got = read_picture(tmp_path / "half.png", 8)
    assert (got[:, :4] == 0).all() and (got[:, 4:] == 255).all()


def test_pictures_are_turned_as_the_camera_says(tmp_path):
    picture = Image.new("RGB", (20, 20), "white")
    picture.paste("black", (0, 0, 20, 10))  # the upper half
    exif = picture.getexif()
    exif[274] = 6  # to be turned clockwise by a quarter
    picture.save(tmp_path / "turned.png", exif=exif)
    got = read_picture(tmp_path / "turned.png", 20)
    assert got[0, :, 15].mean() < 20 and got[0, :, 5].mean() > 235


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_broken_pictures(tmp_path, content):
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"readable picture in .*broken.png"):
        read_picture(tmp_path / "broken.png", 32)


def test_half_a_picture(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="readable picture"):
        read_picture(tmp_path / "half.jpg", 32)


def test_frequent_answers_and_targets():
    rows = [
        Row(None, "?", {"red": 1.0}),
        Row(None, "?", {"blue": 0.9, "red": 0.3}),
        Row(None, "?", {"red": 1.0}),
    ]
    assert frequent_answers(rows, 1) == ("blue", "red")
    assert frequent_answers(rows, 2) == ("red",)
    with pytest.raises(ValueError, match=r"at least 3 times.*occurs 2 times"):
        frequent_answers(rows, 3)
    assert soft_targets(rows, ("blue", "red")).tolist() == [[0, 10], [9, 3], [0, 10]]
    assert soft_targets(rows, ("green",)).tolist() == [[0]] * 3  # unknown: never right


# VQA v2


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes.", "yes"),
        ("The  Cat", "cat"),
        ("two", "2"),
        ("none", "0"),
        ("1,000", "1000"),
        ("dont know", "don't know"),
        ("red, white", "red white"),
        ("black/white", "black white"),
        ("3.5", "3.5"),
        ("hot dog\n", "hot dog"),
        ("well", "well"),
        ("it's", "it's"),
        ("a", ""),
    ],
)
def test_answers_are_normalised(answer, expected):
    assert normalise_answer(answer) == expected


def leave_one_out(count, annotators):
    """The mean over all ways to leave one person out of min(agreeing / 3, 1)."""
    people = [True] * count + [False] * (annotators - count)
    subsets = combinations(people, annotators - 1)
    scores = [min(sum(subset) / 3, 1) for subset in subsets]
    return sum(scores) / len(scores)


def test_scores_are_the_official_ones():
    for count in range(1, 11):
        given = [{"answer": "Yes"}] * count + [{"answer": f"x{i}"} for i in range(10 - count)]
        assert scores_of(given)["yes"] == pytest.approx(leave_one_out(count, 10), abs=1e-6)


def write_vqa_v2(folder, part="train2014", pictures=12, seed=0):
    """A small folder in the published format; every second picture is red."""
    folder.mkdir(exist_ok=True)
    (folder / part).mkdir()
    questions, annotations = [], []
    for i in range(pictures):
        colour = ("red", "blue")[i % 2]
        Image.new("RGB", (64, 48), colour).save(folder / part / f"COCO_{part}_{i + seed:012d}.jpg")
        for k, (question, right) in enumerate(
            [("What color is it?", colour), ("Is it red?", "yes" if i % 2 == 0 else "no")]
        ):
            number = 10 * (i + seed) + k
            questions.append({"image_id": i + seed, "question": question, "question_id": number})
            given = [right] * 8 + ["purple", "Dark " + right]
            annotations.append(
                {
                    "question_id": number,
                    "image_id": i + seed,
                    "question_type": "what color",
                    "answer_type": "other",
                    "multiple_choice_answer": right,
                    "answers": [
                        {"answer": a, "answer_confidence": "yes", "answer_id": n + 1}
                        for n, a in enumerate(given)
                    ],
                }
            )
    about = {"info": {}, "license": {}, "data_subtype": part, "data_type": "mscoco"}
    (folder / f"v2_OpenEnded_mscoco_{part}_questions.json").write_text(
        json.dumps(about | {"task_type": "Open-Ended", "questions": questions})
    )
    (folder / f"v2_mscoco_{part}_annotations.json").write_text(
        json.dumps(about | {"annotations": annotations})
    )
    return folder


def test_vqa_v2_is_read_in_its_published_form(tmp_path):
    rows = read_vqa_v2(write_vqa_v2(tmp_path / "v2"), "train2014")
    assert len(rows) == 24
    assert rows[0].picture.name == "COCO_train2014_000000000000.jpg"
    assert rows[0].scores == {"red": 1.0, "purple": 0.3, "dark red": 0.3}
    assert len(read_vqa_v2(tmp_path / "v2", "train2014", limit=3)) == 6


def change(path, key, edit):
    content = json.loads(path.read_text())
    edit(content[key])
    path.write_text(json.dumps(content))


def test_vqa_v2_bad_files(tmp_path):
    folder = write_vqa_v2(tmp_path / "v2")
    questions = folder / "v2_OpenEnded_mscoco_train2014_questions.json"
    annotations = folder / "v2_mscoco_train2014_annotations.json"
    with pytest.raises(ValueError, match="part: expected one of train2014"):
        read_vqa_v2(folder, "test2015")
    with pytest.raises(FileNotFoundError, match=r"val2014_questions.json"):
        read_vqa_v2(folder, "val2014")
    change(annotations, "annotations", lambda rows: rows[3]["answers"].pop())
    with pytest.raises(
        ValueError, match=r"1 of 24 rows.*\n.*question 11: expected 10 answers, got 9"
    ):
        read_vqa_v2(folder, "train2014")
    change(annotations, "annotations", lambda rows: rows.pop(3))
    with pytest.raises(ValueError, match="question 11: expected an annotation"):
        read_vqa_v2(folder, "train2014")
    change(questions, "questions", lambda rows: rows.pop(3))
    (folder / "train2014/COCO_train2014_000000000002.jpg").unlink()
    with pytest.raises(ValueError, match=r"2 of 23 rows.*\n.*COCO_train2014_000000000002.jpg"):
        read_vqa_v2(folder, "train2014")
    questions.write_text("[]")
    with pytest.raises(ValueError, match="expected JSON with 'questions'"):
        read_vqa_v2(folder, "train2014")


@pytest.mark.parametrize(
    ("which", "edit", "message"),
    [
        (
            "questions",
            lambda q: q[3].pop("question_id"),
            "question_id: expected a whole number, go",
        ),
        ("questions", lambda q: q[3].update(question_id="11"), "question_id: .*got '11'"),
        ("questions", lambda q: q[3].update(question_id=[11]), r"question_id: .*got \[11\]"),
        ("questions", lambda q: q[3].update(image_id=None), "image_id: expected a whole number"),
        (
            "questions",
            lambda q: q[3].update(question=" "),
            "question: expected some words, got ' '",
        ),
        ("questions", lambda q: q.append(q[3]), "2 of 25 rows.*there 2 times"),
        ("annotations", lambda a: a.append(a[3]), "question 11: .*there are 2"),
        ("annotations", lambda a: a[3].pop("question_id"), "question 11: expected an annotation"),
        ("annotations", lambda a: a[3].update(question_id=[11]), "question 11: expected an annot"),
        ("annotations", lambda a: a[3].pop("answers"), "expected a list of 10 answers.*got None"),
        ("annotations", lambda a: a[3].update(answers="yes"), "a list of 10 answers.*got 'yes'"),
        ("annotations", lambda a: a[3].update(answers=["yes"] * 10), "expected each answer as"),
        ("annotations", lambda a: a[3].update(answers=[{"answer": 2}] * 10), "each answer as"),
        ("annotations", lambda a: a[3].update(answer_type=3), "answer_type: expected text, got 3"),
        ("annotations", lambda a: a[3].update(image_id=5), "another picture, image_id 5"),
    ],
)
def test_each_kind_of_bad_question_of_vqa_v2_is_named(tmp_path, which, edit, message):
    folder = write_vqa_v2(tmp_path / "v2")
    (path,) = folder.glob(f"v2_*train2014_{which}.json")
    change(path, which, edit)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # a mark that some editors write
    with pytest.raises(ValueError, match=f"(?s){message}"):
        read_vqa_v2(folder, "train2014")


def test_json_that_is_too_deep_is_named(tmp_path, folder, monkeypatch):
    real = json.loads

    def too_deep(text):
        raise RecursionError("too deep")

    vqa = write_vqa_v2(tmp_path / "v2")
    (folder / "questions.json").write_text("[]")
    monkeypatch.setattr(json, "loads", too_deep)
    for read in (
        lambda: read_vqa_v2(vqa, "train2014"),
        lambda: read_rows(folder, folder / "questions.json"),
    ):
        with pytest.raises(ValueError, match=r"\.json: expected JSON"):
            read()
    monkeypatch.setattr(json, "loads", real)


def test_a_limit_counts_the_pictures_that_are_there(tmp_path):
    folder = write_vqa_v2(tmp_path / "v2")
    for i in (0, 1, 3):
        (folder / f"train2014/COCO_train2014_{i:012d}.jpg").unlink()
    found = {row.picture.name[-6:] for row in read_vqa_v2(folder, "train2014", limit=3)}
    assert found == {"02.jpg", "04.jpg", "05.jpg"}
    for path in (folder / "train2014").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="none of the 12 that"):
        read_vqa_v2(folder, "train2014", limit=3)


def test_the_most_frequent_answer_and_the_type_of_the_file_decide(tmp_path):
    """Four people make a score of 1.0: of two such answers the first that somebody gave isn't the
    most frequent one."""
    given = [{"answer": a} for a in ["red"] * 4 + ["2"] * 6]
    assert list(scores_of(given).items()) == [("2", 1.0), ("red", 1.0)]
    even = [{"answer": a} for a in ["red"] * 5 + ["2"] * 5]
    assert [next(iter(scores_of(even, named))) for named in ("", "2", "Red.")] == [
        "red",
        "2",
        "red",
    ]
    folder = write_vqa_v2(tmp_path / "v2")
    (path,) = folder.glob("v2_*train2014_annotations.json")

    def edit(annotations):
        annotations[0].update(answers=given, answer_type="number")
        annotations[1].update(answer_type="yes/no", answers=[{"answer": "maybe"}] * 10)

    change(path, "annotations", edit)
    one, two, *_ = read_vqa_v2(folder, "train2014")
    assert one.best == "2" and TYPES[answer_type(one)] == "number"
    assert TYPES[answer_type(two)] == "yes/no"
    assert frequent_answers([one], 1) == ("2",)


# Tuning


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path_factory.getbasetemp() / "own-pictures-cache"))


def parts(folder, answers=("blue", "red")):
    rows = read_rows(folder)
    return [questions_data(some, answers, False) for some in (rows[:8], rows[8:])]


def test_features_of_files(folder):
    paths = [row.picture for row in read_rows(folder)][:3]
    features = picture_features(paths, progress=False)
    assert features.shape == (3, 16, 1280) and features.dtype == torch.float16
    assert torch.equal(features[1:2], picture_features(paths[1:2], progress=False))


def test_a_long_question_is_refused(folder):
    rows = [Row(folder / "0.png", "why " * 40 + "?", {"red": 1.0})]
    with pytest.raises(ValueError, match="longer than 32 tokens"):
        questions_data(rows, ("red",), False)


def test_blind_and_unknown_answers_are_scored(folder):
    train_data, test = parts(folder, ("red",))  # "blue" can't be said
    assert blind_score(train_data, test).all == 0.5
    assert blind_score(train_data, test).questions == 4


@pytest.mark.parametrize("method", ["lora", "adapters", "prefix"])
def test_tuning_learns_and_its_files_give_the_same_model(folder, method):
    train_data, test = parts(folder)
    torch.manual_seed(0)
    model = tunable(2, method)
    before = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
    history = tune(
        model,
        train_data,
        test,
        train.replace(train.OWN_FIT, epochs=12, lr=3e-3),
        device="cpu",
        progress=False,
    )
    assert score(model, test).all == 1.0 and max(history.score) == 1.0
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters() if n in before)
    save_answerer(Answerer(model, ("blue", "red")), folder / "out")
    picture, question = folder / "9.png", "which colour is it?"
    expected = ask(Answerer(model, ("blue", "red")), picture, question)
    got = ask(load_answerer(folder / "out"), picture, question)
    assert [a for a, _ in got] == [a for a, _ in expected] and got[0][0] == "blue"
    assert [p for _, p in got] == pytest.approx([p for _, p in expected], abs=1e-6)
    assert sum(p for _, p in got) == pytest.approx(1, abs=1e-5)


def test_a_seed_means_the_same_in_every_call():
    """Also where the pretrained model is loaded, which draws random numbers, in the first one."""
    found = []
    for _ in range(3):
        own_pictures._pretrained.cache_clear() if len(found) == 1 else None
        torch.manual_seed(0)
        model = tunable(3, "lora")
        found.append((model.head.state_dict(), torch.rand(2)))
    for state, after in found[1:]:
        assert torch.equal(after, found[0][1])
        assert all(torch.equal(state[name], value) for name, value in found[0][0].items())


def test_probabilities_are_those_of_the_loss(folder):
    """Softmax sums to 1; after binary cross-entropy each answer has its own sigmoid."""
    torch.manual_seed(0)
    model = tunable(2, "lora").eval()
    picture, question = folder / "9.png", "which colour is it?"
    save_answerer(Answerer(model, ("blue", "red"), soft=True), folder / "soft")
    one, other = (
        dict(ask(a, picture, question))
        for a in (Answerer(model, ("blue", "red")), load_answerer(folder / "soft"))
    )
    assert sum(one.values()) == pytest.approx(1, abs=1e-5)
    logits = {name: torch.tensor(p).logit().item() for name, p in other.items()}
    odds = torch.tensor(one["red"]).logit().item()  # softmax of two: sigmoid of the difference
    assert odds == pytest.approx(logits["red"] - logits["blue"], abs=1e-4)
    (folder / "soft/answers.json").write_text('["blue", "red"]')
    with pytest.raises(ValueError, match="expected answers and their loss"):
        load_answerer(folder / "soft")


def test_the_gain_over_the_blind_guess_has_an_interval_by_picture():
    each = torch.tensor([1, 1, 0, 0, 1, 1, 1, 1]).double()
    scores = [Score(v.mean().item(), {}, 8, v) for v in (each, torch.zeros(8).double())]
    data = SimpleNamespace(image_index=torch.arange(4).repeat_interleave(2))
    found = gain(*scores, data)
    assert found.value == 0.75 and found.low in (0.0, 0.25) and found.high == 1.0
    assert gain(*scores, SimpleNamespace(image_index=torch.zeros(8).long())) is None


def test_unknown_method_and_question():
    with pytest.raises(ValueError, match="method: expected one of lora, adapters, prefix"):
        tunable(2, "magic")
    with pytest.raises(ValueError, match="question: expected some words"):
        ask(None, "x.png", " ")


def test_soft_scores_reach_the_loss_exactly(tmp_path):
    rows = read_vqa_v2(write_vqa_v2(tmp_path / "v2"), "train2014")
    data = questions_data(rows, ("blue", "dark red", "no", "purple", "red", "yes"), False)
    y = data[0].y
    assert torch.equal(y, torch.tensor([[0.0, 0.3, 0.0, 0.3, 1.0, 0.0]]))


# Commands


def test_the_command_tunes_and_the_answer_command_answers(folder, capsys):
    command.main(["train", str(folder), "--epochs", "8", "--lr", "3e-3", "--device", "cpu"])
    told = capsys.readouterr().out
    assert "2 answers" in told and "blind" in told
    out = folder / "tuned"
    assert {p.name for p in out.iterdir()} == {"tuning.safetensors", "answers.json", "metrics.json"}
    found = json.loads((out / "metrics.json").read_text())
    assert f"{100 * found['test']['tuned']['all']:.1f}%" in told
    more = found["test"]["difference"]
    assert f"({100 * more['low']:+.1f} to {100 * more['high']:+.1f})" in told
    assert "only 2 test pictures" in told
    assert "100.0 % of the test questions were asked in training too" in told
    assert f"blind: {found['blind']}, of the ways" in told
    assert f"written to {out}; ask it: course ask {shlex.quote(str(out))} PICTURE" in told
    command.main(["ask", str(out), str(folder / "3.png"), "which colour is it?"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and {line.split("%  ")[1] for line in lines} == {"red", "blue"}


def test_the_command_on_vqa_v2(tmp_path, capsys):
    folder = write_vqa_v2(tmp_path / "v2")
    write_vqa_v2(folder, "val2014", 4, seed=100)
    command.main(
        [
            "train",
            str(folder),
            "--data",
            "vqa_v2",
            "--epochs",
            "2",
            "--min-count",
            "2",
            "--device",
            "cpu",
        ]
    )
    told = capsys.readouterr().out
    assert "4 answers" in told  # yes, no, red, blue: "purple" is never the best answer
    with pytest.raises(SystemExit, match="error: expected an answer that occurs at least 9 times"):
        command.main(["train", str(folder), "--data", "vqa_v2", "--limit", "6"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "error: .*there is no folder nowhere"),
        (["{}", "--validation", "0.9"], "error: expected shares .* got 0.9 and 0.2"),
        (["{}", "--validation", "0.001"], "error: expected pictures enough for a validation part"),
    ],
)
def test_the_command_tells_what_is_wrong(folder, arguments, message):
    with pytest.raises(SystemExit, match=message):
        command.main(["train", *(a.format(folder) for a in arguments)])


def test_the_answer_command_tells_what_is_wrong(tmp_path):
    with pytest.raises(SystemExit, match=r"error: expected .*answers.json"):
        command.main(["ask", str(tmp_path), "x.png", "what?"])


def test_the_example_command_writes_the_example(tmp_path, capsys):
    command.main(["example", str(tmp_path / "example")])
    assert "800 questions" in capsys.readouterr().out
    assert len(read_rows(tmp_path / "example")) == 800
    with pytest.raises(SystemExit, match="error: expected an empty or a new folder"):
        command.main(["example", str(tmp_path / "example")])


def test_every_part_of_the_command_has_help(capsys):
    for arguments in ([], *([name] for name in command.COMMANDS)):
        with pytest.raises(SystemExit) as ended:
            command.main([*arguments, "--help"])
        assert ended.value.code == 0
        told = capsys.readouterr().out
        assert told.startswith(" ".join(["usage: course", *arguments]))
        assert all(f"course {name} " in told for name in arguments or command.COMMANDS)
    for wrong in ([], ["tune"], ["ask", "x"]):
        with pytest.raises(SystemExit) as ended:
            command.main(wrong)
        assert ended.value.code == 2
        assert "usage: course" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="other quotes there")
def test_paths_are_quoted_where_a_shell_needs_it():
    for path in ("tuned", "my cups/tuned", "it's/$HOME/tuned"):
        words = shlex.split(f"course ask {train.quoted(Path(path))} PICTURE")
        assert words == ["course", "ask", path, "PICTURE"]


def test_the_command_is_installed_under_its_name():
    """`course = ...` in pyproject.toml names what is tested here; README names nothing else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, name = project["scripts"]["course"].split(":")
    assert getattr(importlib.import_module(module), name) is command.main
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    used = re.findall(r"^\.venv/bin/course (\w+) (.+)$", readme, re.MULTILINE)
    assert {name for name, _ in used} == set(command.COMMANDS)
    for name, rest in used:
        command.parser().parse_args([name, *shlex.split(rest)])


def test_the_example_is_balanced_and_whole(tmp_path):
    count = own_example.write_example(tmp_path / "example")
    rows = read_rows(tmp_path / "example")
    assert count == len(rows) == 800
    yes = {}
    for row in rows:
        if row.question.startswith("is "):
            yes.setdefault(row.question, []).append("yes" in row.scores)
    assert all(sum(found) * 2 == len(found) for found in yes.values())
    with pytest.raises(ValueError, match="an empty or a new folder"):
        own_example.write_example(tmp_path / "example")
    groups = by_picture(rows, (0.2, 0.3), seed=1)
    pictures = [{row.picture for row in group} for group in groups]
    assert [len(p) for p in pictures] == [80, 119, 201]  # a copy came to its original
    assert len(set.union(*pictures)) == 400


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "epochs=0"),
        (["--lr", "0"], "lr=0"),
        (["--patience", "-1"], "patience=-1"),
        (["--out", "{}/3.png"], "error: --out: expected a new or empty folder"),
        (["--out", "{}/3.png/deeper"], "error: .*Not a directory"),
        (["--out", "{}"], "error: --out: expected a new or empty folder"),
    ],
)
def test_what_can_be_known_before_is_told_before_a_picture_is_read(
    folder, arguments, message, monkeypatch
):
    monkeypatch.setattr(train, "read", lambda options: pytest.fail("pictures were read"))
    before = sorted(folder.iterdir())
    with pytest.raises(SystemExit, match=message):
        command.main(["train", str(folder), *(a.format(folder) for a in arguments)])
    assert sorted(folder.iterdir()) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told(folder):
    with pytest.raises(SystemExit, match="--device cuda: expected a GPU"):
        command.main(["train", str(folder), "--device", "cuda"])


def test_a_second_training_keeps_the_first_and_ctrl_c_keeps_the_best(folder, capsys, monkeypatch):
    (folder / "tuned").mkdir()  # of an earlier one
    real = train.tune

    def stopped(*arguments):
        seen = arguments[-1]
        real(*arguments)
        del seen[1:]
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "tune", stopped)
    (folder / "tuned-2.part").mkdir()  # of one that was killed when it had a model
    (folder / "tuned-2.part/answers.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"tuned-2\.part holds the tuned model"):
        command.main(["train", str(folder), "--out", str(folder / "tuned-2")])
    command.main(["train", str(folder), "--epochs", "1", "--device", "cpu"])
    assert "stopped by hand after 1 passes" in capsys.readouterr().err
    assert (folder / "tuned-3/metrics.json").is_file() and not any((folder / "tuned").iterdir())
    assert [path.name for path in folder.glob("*.part")] == ["tuned-2.part"]


def test_what_fails_after_the_training_leaves_the_model(folder, capsys, monkeypatch):
    def fails(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr(train, "best_blind", fails)
    with pytest.raises(SystemExit, match="error: no space left"):
        command.main(["train", str(folder), "--epochs", "1", "--blind", "words", "--device", "cpu"])
    assert f"the tuned model is kept in {folder / 'tuned.part'}" in capsys.readouterr().err
    assert load_answerer(folder / "tuned.part").answers == ("blue", "red")


@pytest.fixture
def numbered(folder):
    """Each question carries the number of its picture, and no picture is needed to answer it."""
    lines = [
        f"{i}.png,Picture {i + 1}: is this a {thing}?,{answer}\n"
        for i in range(12)
        for thing, answer in (("cat", "no"), ("picture", "yes"))
    ]
    write(folder, HEADER + "".join(lines))
    return folder


def test_blind_is_the_best_way_without_pictures(numbered):
    rows = read_rows(numbered)
    train_data, validation, test = (
        questions_data(some, ("no", "yes"), False) for some in (rows[:12], rows[12:18], rows[18:])
    )
    assert blind_score(train_data, test).all == 0.5  # a table has none of these questions
    assert asked_before(train_data, test) == 0.0 and asked_before(test, test) == 1.0
    name, (chosen, found) = best_blind(train_data, validation, test)
    assert name == "a bag of words" and chosen.all == found.all == 1.0
    same = [without_pictures(data, train_data) for data in (train_data, validation)]
    assert all((data.images == same[0].images[0]).all() for data in same)
    assert torch.allclose(
        same[0].images[0].float(), train_data.images.float().mean(0), atol=1e-3, rtol=1e-3
    )

    class Sees(nn.Module):  # what a model answers that has learnt "cat"
        def __init__(self):
            super().__init__()
            self.one = nn.Parameter(torch.zeros(()))

        def forward(self, images, image_index, x, mask):
            assert (images == same[0].images[0]).all(), "a picture was shown"
            cat = (x == test.tokenizer.token_to_id("cat")).any(1)
            return torch.stack([cat, ~cat], 1).float()

    assert best_blind(train_data, validation, test, Sees())[1][1].all == 1.0


def test_the_bag_of_words_is_the_ridge_of_scikit_learn(numbered):
    rows = read_rows(numbered)
    rng = random.Random(0)
    rows = [
        row._replace(question=" ".join(rng.sample(["red", "cup", "big", "two", "cat", "sky"], 3)))
        for row in rows
    ]
    rows = [row._replace(scores={"no": rng.random(), "yes": rng.random()}) for row in rows]
    one, two = (questions_data(some, ("no", "yes"), False) for some in (rows[:16], rows[16:]))

    def occurs(data):
        dense = torch.zeros(len(data), 30_522)
        for i, (x, mask) in enumerate(zip(data.x, data.mask)):
            dense[i, x[mask]] = 1
        return dense.double().numpy()

    ridge = Ridge(alpha=1.0, fit_intercept=False).fit(occurs(one), one.y.numpy())
    expected = ridge.predict(occurs(two)).argmax(1)
    assert words_scores(one, two).tolist() == expected.tolist()
    assert len({*expected.tolist()}) == 2


def test_a_model_that_answers_nan_is_no_model(folder):
    rows = read_rows(folder)
    model = tunable(2)
    with torch.no_grad():
        model.head.layers[-1].bias[0] = torch.nan
    with pytest.raises(FloatingPointError, match="NaN"):
        score(model, questions_data(rows, ("blue", "red"), False))
    with pytest.raises(FloatingPointError, match="NaN"):
        ask(Answerer(model.eval(), ("blue", "red")), rows[0].picture, rows[0].question)


def test_a_question_that_would_be_cut_or_is_unreadable_is_refused(folder):
    train_rows = read_rows(folder)
    answerer = Answerer(tunable(2), ("blue", "red"))
    with pytest.raises(ValueError, match=r"1 of 1 questions are longer than \d+ tokens"):
        ask(answerer, train_rows[0].picture, "is it " + "very " * 60 + "red?")
    with pytest.raises(ValueError, match="signs that the tokenizer doesn't know"):
        ask(answerer, train_rows[0].picture, "ꕉꖸ ꕮꔷ ꔀꘂ")


# Tables and pictures as other programs write them


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_spreadsheets(folder, separator, encoding):
    lines = ["picture,question,answer", '0.png,"how many\ncups, left?",two', "1.png,is it red?,no"]
    text = "\r\n".join(lines).replace(",", separator).replace(f"cups{separator}", "cups,")
    (folder / "questions.csv").write_bytes(text.encode(encoding))
    found = [row.question for row in read_rows(folder)]
    assert found == ["how many cups, left?", "is it red?"]


@pytest.mark.parametrize("gap", ["\n", "\u2028", "\u0085", "\x0b", "\xa0"])
def test_a_line_break_in_a_cell_parts_words(folder, gap):
    write(folder, f'{HEADER}0.png,"how many{gap}cups?",dark{gap}red\n'.replace("\ncups", "\ncups"))
    if gap == "\n":
        write(folder, f'{HEADER}0.png,"how many\ncups?","dark\nred"\n')
    (row,) = read_rows(folder)
    assert row.question == "how many cups?" and row.scores == {"dark red": 1.0}


def test_a_repeated_column_is_refused(folder):
    write(folder, "picture,question,answer,answer\n0.png,what?,red,blue\n")
    with pytest.raises(ValueError, match="each once, got picture, question, answer, answer"):
        read_rows(folder)


def test_both_forms_of_an_accent_are_one(folder):
    composed, parted = "\u00e9tude", "e\u0301tude"
    Image.new("RGB", (8, 8)).save(folder / f"{parted}.png")
    write(folder, f"{HEADER}{composed}.png,is it a {parted}?,{parted}\n0.png,what?,{composed}\n")
    one, two = read_rows(folder)
    assert one.picture.is_file() and one.question == f"is it a {composed}?"
    assert one.scores == two.scores == {composed: 1.0}
    write(folder, f"{HEADER}10.pngg,what?,red\n")
    with pytest.raises(ValueError, match=r"the nearest name is 10\.png"):
        read_rows(folder)


def test_copies_of_a_picture_stay_on_one_side(folder):
    rows = read_rows(folder)
    copied = rows[3].picture
    (folder / "0 copy.png").write_bytes(copied.read_bytes())
    twice = [*rows, rows[3]._replace(picture=folder / "0 copy.png")]
    for seed in range(6):
        parts = by_picture(twice, (0.25, 0.25), seed)
        seen = [{row.picture.read_bytes() for row in part} for part in parts]
        assert not any(a & b for a, b in combinations(seen, 2))
        assert sum(map(len, parts)) == 13
        apart = by_picture(twice, (0.25, 0.25), seed, lambda path: path)  # copies aren't looked for
        for part, other in zip(parts, apart):  # a copy moves nothing but itself
            moved = {row.picture for row in part} ^ {row.picture for row in other}
            assert moved <= {copied, folder / "0 copy.png"}


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_of_grey_are_scaled(tmp_path, suffix):
    grey = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    path = tmp_path / f"depth.{suffix}"
    Image.fromarray(grey).save(path)
    found = read_picture(path, 32)
    assert abs(found[0].astype(int) - grey // 257).max() <= 1


def test_numbers_without_a_range_are_refused(tmp_path):
    path = tmp_path / "depth.tif"
    Image.fromarray(np.ones((8, 8), np.float32)).save(path)
    with pytest.raises(ValueError, match="mode F"):
        read_picture(path, 8)


def test_all_unreadable_pictures_are_named_at_once(tmp_path, monkeypatch):
    good = tmp_path / "good.png"
    Image.new("RGB", (8, 8)).save(good)
    bad = [tmp_path / f"{i}.heic" for i in range(3)]
    for path in bad:
        path.write_bytes(b"not a picture")
    monkeypatch.setattr(own_pictures, "CHUNK", 2)
    with pytest.raises(ValueError, match=r"3 of 5 rows can't be used(?s:.*)save it as JPEG"):
        own_pictures.picture_features([good, bad[0], bad[1], good, bad[2]], False)


@pytest.mark.parametrize("name", ["a" * 300 + ".png", "iVBORw0K" * 400, "a\0b.png"])
def test_a_cell_that_is_no_name_of_a_file_is_a_bad_row(folder, name):
    (folder / "questions.json").write_text(
        json.dumps([{"picture": name, "question": "what?", "answer": "red"}])
    )
    with pytest.raises(ValueError, match=r"1 of 1 rows can't be used:\n  row 1: picture: "):
        read_rows(folder, folder / "questions.json")


def test_a_number_is_one_answer_however_it_is_written(folder):
    told = {"2": "2", "2.0": "2", "02": "2", "2.": "2", "0": "0", "00": "0", "0.50": "0.5"}
    told |= {"100": "100", "10:30": "10:30", "1.5.2": "1.5.2", "-2": "-2", "two": "two"}
    lines = "".join(f"0.png,how many?,{answer}\n" for answer in told)
    write(folder, HEADER + lines)
    assert [row.best for row in read_rows(folder)] == list(told.values())


def test_pictures_of_which_nothing_is_left_to_see_are_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (5000, 1)).save(path)
    with pytest.raises(ValueError, match="a strip of 5000 x 1 pixels"):
        read_picture(path, 64)
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(path)
    with pytest.raises(ValueError, match="all of it is transparent"):
        read_picture(path, 64)
    Image.new("RGB", (64, 1)).save(path)
    assert (read_picture(path, 64) < 255).any()

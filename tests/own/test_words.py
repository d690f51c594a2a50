"""SmolLM2 with eyes on one's own pictures; a small decoder stands in for it."""

import json

import pytest
import torch
from PIL import Image

from course_utils.datasets.instructions import PLACEHOLDER, Instruction
from course_utils.datasets.rows import Row, read_rows
from course_utils.methods.eyes import Eyes, add_tuning
from course_utils.models import smollm2
from course_utils.models.convert import from_llama
from course_utils.models.pretrained import load_efficientnet_lite0
from course_utils.models.seeing import Projector, SeeingDecoder
from course_utils.own import command, words
from course_utils.peft import LoRAConfig, load_tuning
from tests.models.test_llama import small

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}


@pytest.fixture(scope="module")
def parts():
    try:
        return smollm2.load()[1], load_efficientnet_lite0()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def little(parts, monkeypatch):
    """`load_eyes` gives a small decoder, with a file's weights where it is given one."""
    tokenizer, backbone = parts

    def load(path=None):
        decoder = from_llama(small(vocab_size=len(tokenizer))).requires_grad_(False)
        torch.manual_seed(0)
        placeholder = tokenizer.convert_tokens_to_ids(PLACEHOLDER)
        model = SeeingDecoder(decoder, Projector(1280, 24, 32, scale=0.3), placeholder)
        if path is None:
            add_tuning(model, LoRAConfig(rank=2, targets=("attention.q",), parts=""))
            for name, p in decoder.named_parameters():  # it knows no words yet
                p.requires_grad_("layers.0" not in name or name.endswith((".A", ".B")))
        else:
            load_tuning(model, path)
        return Eyes(model.eval(), tokenizer, backbone)

    monkeypatch.setattr(words, "load_eyes", load)
    return load


@pytest.fixture
def folder(tmp_path):
    lines = ["picture,question,answer"]
    for i in range(20):
        colour = ("red", "blue")[i % 2]
        Image.new("RGB", (70 + i, 64), COLOURS[colour]).save(tmp_path / f"{i}.png")
        lines += [f"{i}.png,what colour is it?,{colour}", f"{i}.png,is it large?,yes"]
    (tmp_path / "questions.csv").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_it_learns_colours_and_is_asked_by_command(little, folder, capsys):
    out = folder / "tuned"
    words_fit = ["--epochs", "20", "--lr", "0.02", "--patience", "0"]
    command.main(["train", str(folder), "--base", "smollm2", "--out", str(out), *words_fit])
    said = capsys.readouterr().out
    found = json.loads((out / words.ABOUT).read_text(encoding="utf-8"))
    assert found["test"]["tuned"] == found["test"]["questions"] == 8
    assert found["test"]["blind"] == 4 and "exchanged" in said
    assert "tuned" in said and f"course ask {out}" in said
    for i, colour in ((0, "red"), (1, "blue")):
        command.main(["ask", str(out), str(folder / f"{i}.png"), "what colour is it?"])
        assert capsys.readouterr().out.strip() == colour
    assert (out / words.FILE).stat().st_size < 5e6


def test_what_it_cannot_use_is_refused_before_anything_is_read(folder):
    for option, value in (("--data", "vqa_v2"), ("--method", "prefix"), ("--device", "cuda")):
        with pytest.raises(SystemExit, match=rf"--base smollm2: expected no {option} {value}"):
            command.main(["train", str(folder), "--base", "smollm2", option, value])
    assert not (folder / "tuned").exists()


def test_pictures_that_cannot_be_read_are_named(little, folder):
    (folder / "3.png").write_bytes(b"no picture")
    rows = read_rows(folder)
    paths, _ = words.turns_of(rows)
    with pytest.raises(ValueError, match=r"(?s)pictures: 1 of 20 rows can't be used.*3\.png"):
        words.features(little(), paths, progress=False)


def test_rows_become_turns_and_keep_their_pictures(tmp_path):
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    rows = [
        Row(b, "one?", {"x": 1.0}),
        Row(a, "two?", {"y": 0.3, "z": 0.9}),
        Row(b, "3?", {"w": 1}),
    ]
    paths, turns = words.turns_of(rows)
    assert paths == [b, a]
    assert turns == [
        Instruction(0, "one?", "x"),
        Instruction(1, "two?", "z"),
        Instruction(0, "3?", "w"),
    ]


def test_the_table_of_questions():
    train = [Instruction(0, "A?", "x"), Instruction(0, "a?", "x"), Instruction(0, "b?", "y")]
    rows = [Instruction(0, "a?", "x"), Instruction(0, "b?", "x"), Instruction(0, "new?", "x")]
    assert words.words_alone(train, rows) == [True, False, True]


def test_exchanged_pictures_are_others_where_there_are_others():
    rows = [Instruction(i, "?", "x") for i in range(5)]
    assert all(o.picture != r.picture for o, r in zip(words.exchanged(rows, 5, 0), rows))
    assert words.exchanged(rows[:1], 1, 0) == rows[:1]

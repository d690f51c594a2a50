"""Trained weights: every file has its recipe, loads, and answers; damaged files are refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from course_utils.datasets import load_captions, load_easy_vqa, load_emoji
from course_utils.datasets.files import data_path
from course_utils.datasets.pairs import pair_tokenizer
from course_utils.datasets.world_vqa import world_data
from course_utils.evaluation.evaluate import evaluate
from course_utils.evaluation.retrieval import chance, retrieval
from course_utils.methods.answering import FUSIONS, easy_vqa_model, world_model
from course_utils.methods.pretraining import (
    grid_features,
    load_real_pretrained,
    world_pretraining_model,
)
from course_utils.models.pretrained import load_minilm
from course_utils.models.text import encode_texts
from course_utils.models.weights import load_weights
from course_utils.objectives.contrastive import cosine_scores
from course_utils.studies import recipes
from course_utils.training.fit import FitConfig, History

CHECKPOINTS = sorted(Path("data/checkpoints").glob("*.safetensors"))


@pytest.fixture(scope="module")
def test_split():
    train = load_easy_vqa("train")
    return load_easy_vqa("test", train.tokenizer, train.answers)


def test_every_checkpoint_has_a_recipe_and_every_recipe_a_checkpoint():
    assert {path.stem for path in CHECKPOINTS} == set(recipes.RECIPES)


def test_the_easy_vqa_weights_answer_the_test_set(test_split):
    model = easy_vqa_model(test_split)
    load_weights(model, data_path("checkpoints/easy_vqa.safetensors"))
    assert evaluate(model, test_split).accuracy > 0.995
    assert evaluate(model, test_split.shuffle_images()).accuracy < 0.65


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_world_weights_do_better_than_chance(fusion):
    data = world_data("test", 300)
    model = world_model(data, fusion)
    load_weights(model, data_path(f"checkpoints/world_{fusion}_0.safetensors"))
    by_family = evaluate(model, data).by_family
    assert by_family["colour"] > 0.4 and by_family["shape"] > 0.4


def test_the_pretrained_model_of_the_world_finds_captions():
    tokenizer = pair_tokenizer()
    model = load_weights(
        world_pretraining_model(tokenizer), data_path("checkpoints/world_pretrained.safetensors")
    )
    data = load_captions("composition", "test", 100, per_scene=1, tokenizer=tokenizer)
    x, mask = data.x[data.own[:, 0]], data.mask[data.own[:, 0]]
    with torch.no_grad():
        v = model.stem(data.images.float() / 255)
        scores = cosine_scores(model.embed_pictures(v), model.embed_texts(x, mask))
    right = data.right(torch.arange(100), data.own[:, 0])
    assert retrieval(scores, right).r5 > 2 * chance(right).r5


def test_the_pretrained_model_for_real_pictures_finds_emoji(tmp_path):
    path = data_path("checkpoints/real_pretrained.safetensors")
    model = load_real_pretrained(path)
    emoji = load_emoji("test")
    _, tokenizer = load_minilm()
    x, mask = encode_texts(tokenizer, emoji.names)
    with torch.no_grad():
        v = grid_features("emoji-test", emoji.images)
        scores = cosine_scores(model.embed_pictures(v), model.embed_texts(x, mask))
    right = emoji.right_answers(0.05)
    assert retrieval(scores, right).r10 > 2 * chance(right).r10
    with pytest.raises(ValueError, match="joint model for real pictures"):
        load_real_pretrained(data_path("checkpoints/easy_vqa.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"nothing.safetensors"):
        load_real_pretrained(tmp_path / "nothing.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"damaged.safetensors"):
        load_real_pretrained(damaged)


def test_weights_that_are_missing_damaged_or_of_another_model(test_split, tmp_path):
    model = easy_vqa_model(test_split)
    with pytest.raises(FileNotFoundError, match=r"python -m course_utils.studies.recipes easy_vqa"):
        load_weights(model, tmp_path / "easy_vqa.safetensors")
    path = tmp_path / "damaged.safetensors"
    whole = data_path("checkpoints/easy_vqa.safetensors").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="expected the weights of this model in damaged"):
        load_weights(model, path)
    save_file({"weight": torch.zeros(3)}, str(path))
    with pytest.raises(
        ValueError, match=r"expected the weights of this model.*issing key.*encoder"
    ):
        load_weights(model, path)


def test_a_recipe_writes_its_file_and_the_same_seed_gives_the_same_weights(monkeypatch, tmp_path):
    few = FitConfig(epochs=1, max_steps=3)
    runs = []
    for name in ("a", "b"):
        model, _ = recipes.train_easy_vqa(0, few, tmp_path / f"{name}.safetensors", "cpu")
        runs.append((tmp_path / f"{name}.safetensors").read_bytes())
    assert runs[0] == runs[1]
    again = load_weights(easy_vqa_model(load_easy_vqa("train")), tmp_path / "a.safetensors")
    for p, q in zip(model.parameters(), again.parameters()):
        assert torch.equal(p, q)


def test_unknown_fusions_are_named(test_split):
    with pytest.raises(ValueError, match="joint, late, cross, got 'sum'"):
        world_model(test_split, "sum")


def test_the_command_makes_a_file_or_lists_what_there_is(monkeypatch, tmp_path, capsys):
    def train(checkpoint):
        checkpoint.write_bytes(b"weights")
        return None, History(loss=[0.5], score=[0.25, 0.75])

    recipe = recipes.Recipe("lesson 08: this model", "a minute", train)
    monkeypatch.setattr(recipes, "RECIPES", {"small": recipe})
    recipes.main(["--list"])
    assert "lesson 08: this model (a minute)" in capsys.readouterr().out
    recipes.main(["small", "--out", str(tmp_path / "s.safetensors")])
    assert capsys.readouterr().out.endswith("s.safetensors: best validation score 0.7500\n")
    assert (tmp_path / "s.safetensors").read_bytes() == b"weights"
    for wrong in ([], ["large"], ["small", "--out", str(tmp_path / "no" / "s.safetensors")]):
        with pytest.raises(SystemExit):
            recipes.main(wrong)
    assert "start in the course's folder" in capsys.readouterr().err

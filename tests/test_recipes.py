"""Trained weights: every file has its recipe, loads, and answers; damaged files are refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from course_utils import recipes
from course_utils.datasets import load_easy_vqa
from course_utils.evaluation import evaluate
from course_utils.lab import data_path
from course_utils.training import FitConfig

CHECKPOINTS = sorted(Path("data/checkpoints").glob("*.safetensors"))


@pytest.fixture(scope="module")
def test_split():
    train = load_easy_vqa("train")
    return load_easy_vqa("test", train.tokenizer, train.answers)


def test_every_checkpoint_has_a_recipe_and_every_recipe_a_checkpoint():
    assert {path.stem for path in CHECKPOINTS} == set(recipes.RECIPES)


def test_the_easy_vqa_weights_answer_the_test_set(test_split):
    model = recipes.easy_vqa_model(test_split)
    recipes.load_weights(model, data_path("checkpoints/easy_vqa.safetensors"))
    assert evaluate(model, test_split).accuracy > 0.995
    assert evaluate(model, test_split.shuffle_images()).accuracy < 0.65


@pytest.mark.parametrize("fusion", recipes.FUSIONS)
def test_the_world_weights_do_better_than_chance(fusion):
    data = recipes.world_data("test", 300)
    model = recipes.world_model(data, fusion)
    recipes.load_weights(model, data_path(f"checkpoints/world_{fusion}_0.safetensors"))
    by_family = evaluate(model, data).by_family
    assert by_family["colour"] > 0.4 and by_family["shape"] > 0.4


def test_weights_that_are_missing_damaged_or_of_another_model(test_split, tmp_path):
    model = recipes.easy_vqa_model(test_split)
    with pytest.raises(FileNotFoundError, match="python -m course_utils.recipes easy_vqa"):
        recipes.load_weights(model, tmp_path / "easy_vqa.safetensors")
    path = tmp_path / "damaged.safetensors"
    whole = data_path("checkpoints/easy_vqa.safetensors").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="expected the weights of this model in damaged"):
        recipes.load_weights(model, path)
    save_file({"weight": torch.zeros(3)}, str(path))
    with pytest.raises(ValueError, match="expected the weights of this model"):
        recipes.load_weights(model, path)


def test_a_recipe_writes_its_file_and_the_same_seed_gives_the_same_weights(monkeypatch, tmp_path):
    few = FitConfig(epochs=1, max_steps=3)
    runs = []
    for name in ("a", "b"):
        model, _ = recipes.train_easy_vqa(0, few, tmp_path / f"{name}.safetensors", "cpu")
        runs.append((tmp_path / f"{name}.safetensors").read_bytes())
    assert runs[0] == runs[1]
    again = recipes.load_weights(recipes.easy_vqa_model(load_easy_vqa("train")),
                                 tmp_path / "a.safetensors")  # fmt: skip
    for p, q in zip(model.parameters(), again.parameters()):
        assert torch.equal(p, q)


def test_unknown_fusions_are_named(test_split):
    with pytest.raises(ValueError, match="joint, late, cross, got 'sum'"):
        recipes.world_model(test_split, "sum")

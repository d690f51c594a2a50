"""The runs behind the label curve: small ones work, those that are kept are whole."""

import json

import torch

from course_utils.datasets.files import data_path
from course_utils.datasets.pairs import pair_tokenizer
from course_utils.datasets.world_vqa import answered
from course_utils.methods.pretraining import world_pretraining_model
from course_utils.studies import label_curve


def test_the_kept_runs_are_whole():
    runs = json.loads(data_path("studies/label_curve.json").read_text())["runs"]
    kept = {(r["start"], r["labels"], r["seed"]) for r in runs}
    settings = label_curve.settings(label_curve.SEEDS, [])
    assert len(runs) == len(kept)
    assert kept == {(s["start"], s["labels"], s["seed"]) for s in settings}
    assert all(0.2 < r["accuracy"] < r["own"] <= 1 for r in runs)
    assert all(0 < r["kept"] <= label_curve.UPDATES[r["labels"]] for r in runs)


def test_tuning_changes_the_weights_that_it_is_given():
    torch.manual_seed(0)
    start = world_pretraining_model(pair_tokenizer())
    before = start.encoder.embedding.token.weight.clone()
    train = answered("train", 10)
    model, history = label_curve.tune(start, train, seed=0, updates=2, device="cpu")
    assert model.encoder is start.encoder and model.stem is start.stem
    assert len(history.loss) == 2 and history.best_epoch == -1  # no validation
    assert not torch.equal(before, start.encoder.embedding.token.weight)

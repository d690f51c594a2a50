"""The fast recipe: two updates, and each of its parts by value."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from bench import ideas, parts
from bench.speed import SpeedConfig, WhitenedStem, asked, fast_model, learn, optimizers, whitening
from course_utils.datasets import loader
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.answering import easy_vqa_model
from course_utils.studies.recipes import EASY_VQA_FIT, IMAGES_PER_BATCH
from course_utils.training.fit import fit
from course_utils.training.objective import answer_objective


def test_outputs_of_the_first_convolution_are_uncorrelated_with_variance_1():
    torch.manual_seed(0)
    noise = torch.rand(40, 3, 16, 16)
    noise[:, 1] = 0.7 * noise[:, 0] + 0.3 * noise[:, 1]  # the colours are correlated
    noise[:, :, :, 1::2] = 0.5 * (noise[:, :, :, ::2] + noise[:, :, :, 1::2])  # and neighbours
    images = (255 * noise).to(torch.uint8)
    first = whitening(images)
    z = first(images.float() / 255).transpose(0, 1).flatten(1)  # (12, patches)
    assert z.shape == (12, 40 * 64) and not any(p.requires_grad for p in first.parameters())
    assert z.mean(1).abs().max() < 1e-4
    off = z.cov() - torch.eye(12)
    assert (off - torch.diag(off.diagonal())).abs().max() < 1e-3
    assert off.diagonal().abs().max() < 0.1  # a little below 1: small variances are not blown up
    before = nn.functional.unfold(images.float() / 255, 2, stride=2).transpose(0, 1).flatten(1)
    assert before.corrcoef().abs().tril(-1).max() > 0.5


def test_each_output_whitens_its_own_square_of_pixels(small):
    stem = WhitenedStem(small.images)
    changed = small.images.float() / 255
    before = stem.first(changed)
    changed[0, :, 10, 21] += 0.5  # in the square of row 5, column 10
    assert ((stem.first(changed) - before).abs().amax(1) > 1e-3).nonzero().tolist() == [[0, 5, 10]]


def test_the_stem_keeps_the_largest_value_of_each_channel(small):
    one, all_of_them = (WhitenedStem(small.images, patches=n).eval() for n in (1, 16))
    one.load_state_dict(all_of_them.state_dict())
    images = small.images.float() / 255
    v, grid = one(images), all_of_them(images)
    assert v.shape == (18, 1, 64) and grid.shape == (18, 16, 64)
    assert torch.equal(v[:, 0], grid.max(1).values)


def test_muon_gets_inner_matrices_and_adamw_the_rest_and_none_the_fixed(small):
    model = fast_model(small)
    names = {id(p): name for name, p in model.named_parameters()}
    adam, muon = (
        {names[id(p)] for group in o.param_groups for p in group["params"]}
        for o in optimizers(model, SpeedConfig())
    )
    assert not adam & muon
    assert adam | muon == set(names.values()) - {"stem.first.weight", "stem.first.bias"}
    assert {"stem.blocks.0.weight", "encoder.fuse.weight", "head.layers.0.weight"} <= muon
    assert {"encoder.embedding.token.weight", "head.layers.3.weight"} <= adam
    assert all(dict(model.named_parameters())[name].ndim > 1 for name in muon)


def test_uncertain_questions_are_all_asked_and_some_of_the_others():
    certain = torch.arange(10_000) < 8_000
    rows = asked(certain, 0.25, torch.Generator().manual_seed(0))
    assert rows[8_000:].all() and 1_850 < rows[:8_000].sum() < 2_150
    assert torch.equal(asked(certain, 0.0, torch.Generator()), ~certain)
    assert asked(certain, 1.0, torch.Generator()).all()


class AlwaysYes(nn.Module):
    """Says yes, whatever is asked, and counts what it is asked."""

    def __init__(self, data):
        super().__init__()
        yes = torch.tensor(data.answers.index("yes"))
        self.logits = nn.Parameter(20.0 * nn.functional.one_hot(yes, len(data.answers)))
        self.asked = []

    def forward(self, images, image_index, x, mask):
        self.asked.append(len(x))
        return self.logits.expand(len(x), -1)  # (batch, answers)


@pytest.mark.parametrize(("keep", "share"), [(0.0, 0), (1.0, 1)])
def test_what_was_answered_with_certainty_is_left_out_of_the_next_pass(small, keep, share):
    model = AlwaysYes(small)
    still = torch.optim.SGD(model.parameters(), lr=0.0)
    config = SpeedConfig(passes=2, images_per_batch=9, keep=keep)
    scores = learn(model, [still], small, lambda m: 0.5, config)
    yes = int((small.y == small.answers.index("yes")).sum())
    assert scores == [0.5, 0.5] and 0 < yes < len(small)
    assert sum(model.asked[:2]) == len(small)
    assert sum(model.asked[2:]) == len(small) - yes + share * yes


def test_the_goal_ends_training(small):
    model, scores = AlwaysYes(small), iter([0.5, 0.996, 1.0])
    still = torch.optim.SGD(model.parameters(), lr=0.0)
    assert learn(model, [still], small, lambda m: next(scores), SpeedConfig(passes=3)) == [
        0.5,
        0.996,
    ]


def test_rates_rise_and_fall_to_nothing(small):
    model, rates = AlwaysYes(small), []
    still = torch.optim.SGD(model.parameters(), lr=0.1)
    config = SpeedConfig(passes=5, images_per_batch=9, warmup=0.5)
    note = lambda done: rates.append(still.param_groups[0]["lr"])
    learn(model, [still], small, lambda m: 0.0, config, after_update=note)
    assert rates[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert (
        rates[5] == pytest.approx(0.1)
        and 0 < rates[9] < 0.02
        and rates[5:] == sorted(rates[5:], reverse=True)
    )


def test_two_updates_and_shapes(small):
    torch.manual_seed(0)
    model = fast_model(small)
    fixed = model.stem.first.weight.clone()
    before = {name: p.clone() for name, p in model.named_parameters()}
    updates = []
    scores = learn(
        model,
        optimizers(model, SpeedConfig()),
        small,
        lambda m: evaluate(m, small).accuracy,
        SpeedConfig(passes=1, images_per_batch=9),
        after_update=updates.append,
    )
    assert updates == [0, 0.5] and len(scores) == 1 and 0 <= scores[0] <= 1
    batch = small.__getitems__(list(range(len(small))))
    logits = model(batch.images, batch.image_index, batch.x, batch.mask)
    assert logits.shape == (len(small), 13) and not model.training
    assert torch.equal(model.stem.first.weight, fixed)
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {
        "stem.blocks.0.weight",
        "encoder.fuse.weight",
        "encoder.embedding.token.weight",
    } <= moved


# The table of ideas


def test_the_average_of_weights():
    model = nn.BatchNorm1d(1)
    average = ideas.running_average(model, 0.9)
    for value in (1.0, 2.0):
        nn.init.constant_(model.weight, value)
        model.running_mean.fill_(value)
        average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(0.9 * 1 + 0.1 * 2)
    assert average.module.running_mean.item() == pytest.approx(0.9 * 1 + 0.1 * 2)


def test_todays_recipe_in_this_loop_is_that_of_fit(small):
    ends = []
    for loop in ("fit", "learn"):
        torch.manual_seed(0)
        model = easy_vqa_model(small)
        if loop == "fit":
            config = replace(EASY_VQA_FIT, epochs=2)
            batches = loader(small, IMAGES_PER_BATCH, seed=3)
            fit(model, answer_objective, batches, config=config, device="cpu", progress=False)
        else:
            config = replace(ideas.TODAY, passes=2)
            learn(model, ideas.as_today(model, config), small, lambda m: 0.0, config, seed=3)
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*ends)


def test_each_idea_alone_changes_one_thing(small):
    today = ideas.IDEAS["today"]
    for name, idea in ideas.IDEAS.items():
        changes = sum(
            [
                idea.config != today.config,
                idea.model is not today.model,
                idea.loss is not today.loss,
                idea.average != today.average,
                idea.optimizers is not today.optimizers and name != "muon",  # a rate of its own
            ]
        )
        assert changes == {"today": 0, "fast": 3}.get(name, 1), name


@pytest.mark.parametrize("name", [n for n in ideas.IDEAS if n != "compiled"])
def test_every_idea_runs(name, small, monkeypatch):
    few = small.select(small.image_index < 8)  # one update a pass
    monkeypatch.setattr(ideas, "easy_vqa", lambda: (few, few, few))
    row = ideas.run(name, 0)
    assert row["idea"] == name and row["seconds"] > 0 and row["update"] > 0
    assert len(row["scores"]) >= 1 and 0 <= row["test"] <= 1


def test_the_parts_of_an_update_are_whole(small, monkeypatch):
    monkeypatch.setattr(parts, "easy_vqa", lambda: (small, small, small))
    found = parts.parts_of_an_update(("today", "fast"), updates=5)
    assert set(found) == {"today", "fast"}
    assert all(list(of) == list(parts.PARTS) and min(of.values()) > 0 for of in found.values())


def test_an_update_in_parts_is_an_update(small):
    batch = next(iter(loader(small, 8)))
    ends = []
    for cut in (True, False):
        torch.manual_seed(0)
        model = easy_vqa_model(small).train()
        stepper = torch.optim.SGD(model.parameters(), lr=0.1)
        if cut:
            assert len(list(parts._update(model, [stepper], iter([batch])))) == len(parts.PARTS) + 1
        else:
            answer_objective(model, batch).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            stepper.step()
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*ends)

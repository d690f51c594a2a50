"""The training loop: parts against PyTorch, stopping, freezing, checkpoints, bad losses."""

import math

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import get_cosine_schedule_with_warmup

from course_utils.models.vit import ViT, ViTConfig
from course_utils.training.fit import (
    FitConfig,
    fit,
    freeze,
    make_optimizer,
    parameter_groups,
    train_mode,
    warmup_cosine,
)

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([1.0, -2.0, 0.5, 3.0]) + 0.1


def batches(size=16):
    return DataLoader(TensorDataset(X, Y), batch_size=size)


def squared_error(model, batch):
    x, y = batch
    return (model(x)[:, 0] - y).square().mean()


def quiet_fit(model, **options):
    options.setdefault("train", batches())
    config = options.pop("config", FitConfig(epochs=3))
    return fit(
        model,
        options.pop("objective", squared_error),
        config=config,
        device="cpu",
        progress=False,
        **options,
    )


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_fit_equals_a_loop_written_out(optimizer):
    config = FitConfig(epochs=4, lr=0.03, optimizer=optimizer, weight_decay=0.1, clip=0.5)
    ours = nn.Linear(4, 1)
    theirs = nn.Linear(4, 1)
    theirs.load_state_dict(ours.state_dict())
    history = quiet_fit(ours, config=config)
    groups = [
        {"params": [theirs.weight], "weight_decay": 0.1},
        {"params": [theirs.bias], "weight_decay": 0.0},
    ]
    if optimizer == "adamw":
        reference = torch.optim.AdamW(groups, lr=0.03, betas=(0.9, 0.98))
    else:
        reference = torch.optim.SGD(groups, lr=0.03, momentum=0.9)
    step = 0
    for _ in range(4):
        for x, y in batches():
            for group in reference.param_groups:  # 16 updates, 2 of them warm-up
                rate = (step + 1) / 2 if step < 2 else (1 + math.cos(math.pi * (step - 2) / 14)) / 2
                group["lr"] = 0.03 * rate
            reference.zero_grad()
            loss = (theirs(x)[:, 0] - y).square().mean()
            loss.backward()
            nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
            reference.step()
            assert history.loss[step] == pytest.approx(loss.item(), rel=1e-5)
            step += 1
    torch.testing.assert_close(ours.weight, theirs.weight, atol=1e-6, rtol=1e-6)


def test_schedule_equals_transformers_but_for_its_first_update_at_rate_zero():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_cosine_schedule_with_warmup(optimizer, 10, 100)
    for step in range(100):
        ours = warmup_cosine(step, 10, 100)
        expected = theirs.get_last_lr()[0] + (0.1 if step < 10 else 0)
        assert ours == pytest.approx(expected, abs=1e-9)
        optimizer.step()
        theirs.step()


def test_decay_groups_hold_matrices_only():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4), nn.Conv2d(1, 1, 3))
    decays, others = parameter_groups(model, 0.1)
    assert {id(p) for p in decays["params"]} == {id(model[1].weight), id(model[3].weight)}
    assert len(others["params"]) == 5 and others["weight_decay"] == 0
    assert sum(len(g["params"]) for g in make_optimizer(model, FitConfig()).param_groups) == 7


def test_tables_and_norms_do_not_decay_whatever_their_shape():
    vit = ViT(ViTConfig(dim=8, heads=2, layers=1, mlp_dim=8))
    model = nn.ModuleDict({"vit": vit, "bag": nn.EmbeddingBag(3, 2), "norm": nn.LayerNorm((3, 2))})
    model.scale = nn.Parameter(torch.zeros(()))
    names = {id(p): name for name, p in model.named_parameters()}
    decays, others = (
        {names[id(p)] for p in group["params"]} for group in parameter_groups(model, 0.1)
    )
    assert {"vit.cls", "vit.position", "bag.weight", "norm.weight", "scale"} <= others
    assert decays and all("weight" in name and "norm" not in name for name in decays)


def test_the_best_epoch_is_kept_and_saved(tmp_path):
    scores = iter([0.2, 0.9, 0.4, 0.3, 0.1])
    seen = []

    def validate(model):
        seen.append(model.weight.detach().clone())
        return next(scores)

    model = nn.Linear(4, 1)
    history = quiet_fit(
        model,
        validate=validate,
        config=FitConfig(epochs=5, patience=2),
        checkpoint=tmp_path / "best.safetensors",
    )
    assert history.score == [0.2, 0.9, 0.4, 0.3] and history.best_epoch == 1
    torch.testing.assert_close(model.weight, seen[1])
    torch.testing.assert_close(load_file(tmp_path / "best.safetensors")["weight"], seen[1])
    assert [p.name for p in tmp_path.iterdir()] == ["best.safetensors"]


def test_frozen_parts_do_not_move_even_in_batch_norm():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    freeze(model[:2])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    quiet_fit(model)
    after = model.state_dict()
    for key in before:
        assert torch.equal(before[key], after[key]) == (not key.startswith("3"))
    train_mode(model)
    assert not model[1].training and model[2].training and model[3].training


def test_a_wholly_frozen_model_is_refused():
    model = nn.Linear(4, 1)
    freeze(model)
    with pytest.raises(ValueError, match="all are frozen"):
        quiet_fit(model)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_update():
    def broken(model, batch):
        broken.calls += 1
        return squared_error(model, batch) * (math.inf if broken.calls == 3 else 1)

    broken.calls = 0
    with pytest.raises(FloatingPointError, match=r"in update 3.*smaller learning rate"):
        quiet_fit(nn.Linear(4, 1), objective=broken)


def test_max_steps_and_seeds():
    runs = []
    for _ in range(2):
        torch.manual_seed(5)
        runs.append(quiet_fit(nn.Linear(4, 1), config=FitConfig(epochs=9, max_steps=6)).loss)
    assert len(runs[0]) == 6 and runs[0] == runs[1]


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_precisions_learn_the_same_line(precision):
    model = nn.Linear(4, 1)
    config = FitConfig(epochs=60, lr=0.1, precision=precision, weight_decay=0)
    history = quiet_fit(model, config=config)
    assert history.loss[-1] < 0.02 * history.loss[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(optimizer="adam"), "'adamw' or 'sgd', got 'adam'"),
        (dict(lr=-1.0), "lr=-1.0"),
        (dict(accumulate=0), "accumulate=0"),
        (dict(save_every=-1), "save_every=-1"),
    ],
)
def test_bad_settings_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        FitConfig(**fields)


# Accumulation


class Normed(nn.Module):
    """Two layers with a normalisation between them, in double precision."""

    def __init__(self, norm):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 8), norm(8), nn.Tanh(), nn.Linear(8, 1)).double()

    def forward(self, x):
        return self.layers(x.double())


def accumulated(size, accumulate, norm=nn.LayerNorm, **fields):
    model = Normed(norm)
    config = FitConfig(**dict(epochs=3, lr=0.03, accumulate=accumulate) | fields)
    history = quiet_fit(model, train=batches(size), config=config)
    return history, model


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_four_small_batches_equal_a_large_one(optimizer):
    large, a = accumulated(32, 1, optimizer=optimizer)
    small, b = accumulated(8, 4, optimizer=optimizer)
    assert len(large.loss) == len(small.loss) == 6 and large.lr == small.lr
    torch.testing.assert_close(torch.tensor(small.loss), torch.tensor(large.loss))
    for name, p in a.state_dict().items():
        torch.testing.assert_close(b.state_dict()[name], p, atol=1e-12, rtol=1e-12)


def test_batch_norm_sees_the_small_batches():
    (_, a), (_, b) = (accumulated(*sizes, norm=nn.BatchNorm1d) for sizes in ((32, 1), (8, 4)))
    assert (a.layers[0].weight - b.layers[0].weight).abs().max() > 1e-4


def test_the_rest_of_an_epoch_makes_an_update_with_its_own_mean():
    seen = []
    model, start = nn.Linear(4, 1), nn.Linear(4, 1)
    start.load_state_dict(model.state_dict())
    config = FitConfig(epochs=1, lr=1e-9, accumulate=3, clip=0.0)  # 4 batches: of 3, and of 1

    def note(step):
        seen.append(model.weight.grad.clone())

    history = quiet_fit(model, config=config, after_update=note)
    for got, rows in zip(seen, (slice(0, 48), slice(48, 64)), strict=True):
        loss = squared_error(start, (X[rows], Y[rows]))
        torch.testing.assert_close(got, torch.autograd.grad(loss, start.weight)[0])
    assert history.loss[1] == pytest.approx(loss.item(), rel=1e-5)


def test_batches_of_unequal_size_count_alike_so_that_their_examples_do_not():
    """64 examples in batches of 60 and 4: the mean of means, not the mean of all."""
    model, seen = nn.Linear(4, 1), []
    start = nn.Linear(4, 1)
    start.load_state_dict(model.state_dict())
    quiet_fit(
        model,
        train=batches(60),
        config=FitConfig(epochs=1, lr=1e-9, accumulate=2, clip=0.0),
        after_update=lambda step: seen.append(model.weight.grad.clone()),
    )
    whole, first, second = (
        torch.autograd.grad(squared_error(start, (X[rows], Y[rows])), start.weight)[0]
        for rows in (slice(0, 64), slice(0, 60), slice(60, 64))
    )
    torch.testing.assert_close(seen[0], (first + second) / 2)
    assert (seen[0] - whole).abs().max() > 0.1


def test_steps_and_the_schedule_count_updates():
    config = FitConfig(epochs=9, max_steps=5, accumulate=2, warmup=0.4)
    history = quiet_fit(nn.Linear(4, 1), config=config)
    expected = [1e-3 * warmup_cosine(step, 2, 5) for step in range(5)]
    assert history.lr == pytest.approx(expected)
    assert len(history.loss) == 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"clip": -1.0},
        {"weight_decay": -0.1},
        {"momentum": 1.0},
        {"patience": -1},
        {"max_steps": -2},
        {"lr": math.nan},
        {"lr": math.inf},
    ],
)
def test_settings_that_would_train_wrongly_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        FitConfig(**wrong)


def test_a_loader_without_a_batch_is_refused():
    data = TensorDataset(X[:3], Y[:3])
    with pytest.raises(ValueError, match="at least one batch"):
        quiet_fit(nn.Linear(4, 1), train=DataLoader(data, batch_size=4, drop_last=True))


def test_a_score_that_is_no_number_is_never_the_best():
    scores = iter([math.nan, 0.3, math.nan, 0.2])
    history = quiet_fit(
        nn.Linear(4, 1), config=FitConfig(epochs=4), validate=lambda _: next(scores)
    )
    assert history.best_epoch == 1
    only_nan = quiet_fit(
        nn.Linear(4, 1), config=FitConfig(epochs=2), validate=lambda model: math.nan
    )
    assert only_nan.best_epoch == -1


def test_weights_that_turn_nan_in_the_last_update_are_not_kept(tmp_path):
    model, kept = nn.Linear(4, 1), tmp_path / "best.safetensors"

    def poison(step):
        if step == 7:  # the last of the second epoch
            with torch.no_grad():
                model.bias.fill_(math.nan)

    with pytest.raises(FloatingPointError, match=r"bias isn't finite after update 8"):
        quiet_fit(model, validate=lambda _: 1.0, after_update=poison, checkpoint=kept)
    assert all(p.isfinite().all() for p in model.parameters())  # those of the first epoch
    assert torch.equal(load_file(kept)["weight"], model.weight.detach())
    assert not model.training


def test_precision_does_not_stay_on_the_model():
    model = nn.Linear(4, 1)
    quiet_fit(model, config=FitConfig(epochs=1, precision="bf16"))
    assert "forward" not in vars(model)
    fresh = nn.Linear(4, 1)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(model(X), fresh(X)) and model(X).dtype == torch.float32

    def stops(model, batch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quiet_fit(model, config=FitConfig(epochs=1, precision="bf16"), objective=stops)
    assert "forward" not in vars(model) and not model.training


def test_a_forward_that_the_model_had_of_its_own_comes_back():
    model = nn.Linear(4, 1)
    model.forward = own = lambda x: nn.functional.linear(x, model.weight)
    quiet_fit(model, config=FitConfig(epochs=1, precision="bf16"))
    assert model.forward is own


def test_a_stop_by_hand_leaves_the_best_weights(tmp_path):
    model, seen = nn.Linear(4, 1), []

    def validate(model):
        seen.append({n: p.detach().clone() for n, p in model.named_parameters()})
        return -len(seen)

    def stop(step):
        if step == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quiet_fit(model, validate=validate, after_update=stop)
    assert len(seen) == 2 and torch.equal(model.weight, seen[0]["weight"])


def test_a_compiled_model_is_saved_under_its_own_names(tmp_path):
    compiled = torch.compile(nn.Linear(4, 1), backend="eager")
    quiet_fit(compiled, checkpoint=tmp_path / "model.safetensors")
    assert set(load_file(tmp_path / "model.safetensors")) == {"weight", "bias"}

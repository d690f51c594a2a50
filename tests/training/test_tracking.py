"""What TensorBoard and Weights & Biases keep of a run, read back from their own files."""

import os
import subprocess
import sys

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from course_utils.training.fit import FitConfig, fit
from course_utils.training.tracking import read_tensorboard, read_wandb

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
DATA = TensorDataset(X, X.sum(1))
NAMES = {"loss", "learning_rate", "gradient_norm", "score"}


def objective(model, batch):
    return (model(batch[0])[:, 0] - batch[1]).square().mean()


CONFIG = FitConfig(epochs=3, clip=0.1)


def run(tracker, folder, config=CONFIG, **options):
    """The history, and the norms of the gradients before clipping."""
    torch.manual_seed(0)
    model, norms = nn.Linear(4, 1), []

    def noting(model, batch):
        loss = objective(model, batch)
        gradients = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
        norms.append(torch.cat([g.flatten() for g in gradients]).norm().item())
        return loss

    scores = iter((0.1, 0.3, 0.2))
    history = fit(
        model,
        noting,
        DataLoader(DATA, batch_size=16),
        lambda m: next(scores),
        config,
        device="cpu",
        progress=False,
        tracker=tracker,
        run_folder=folder,
        **options,
    )
    return history, norms


def compare(curves, history, norms):
    assert curves.keys() == NAMES
    for name, values in (
        ("loss", history.loss),
        ("learning_rate", history.lr),
        ("gradient_norm", norms),
    ):
        steps, got = zip(*curves[name])
        assert steps == tuple(range(12))
        assert got == pytest.approx(values, rel=1e-5)
    steps, scores = zip(*curves["score"])
    assert steps == (3, 7, 11) and scores == pytest.approx(history.score)


@pytest.mark.parametrize("clip", [0.1, 0.0])
def test_tensorboard_keeps_the_run(tmp_path, clip):
    history, norms = run("tensorboard", tmp_path / "run", FitConfig(epochs=3, clip=clip))
    assert max(norms) > 0.5  # so that clipped and unclipped norms differ
    compare(read_tensorboard(tmp_path / "run"), history, norms)
    events = EventAccumulator(str(tmp_path / "run"))  # without our reader
    events.Reload()
    assert [e.value for e in events.Scalars("loss")] == pytest.approx(history.loss)
    text = events.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert f"clip: {clip}" in text and "lr: 0.001" in text


def test_a_run_that_goes_on_replaces_what_came_after_its_last_state(tmp_path):
    """Killed after update 9 with a state of update 8: update 8 is logged twice, shown once."""

    def stop(step):
        if step == 9:
            raise KeyboardInterrupt

    places = dict(resume=tmp_path / "state.pt", config=FitConfig(epochs=3, clip=0.1))
    with pytest.raises(KeyboardInterrupt):
        run("tensorboard", tmp_path / "run", after_update=stop, **places)
    assert [s for s, _ in read_tensorboard(tmp_path / "run")["loss"]] == list(range(10))
    history, _ = run("tensorboard", tmp_path / "run", **places)
    assert len(history.loss) == 12
    curves = read_tensorboard(tmp_path / "run")
    assert [s for s, _ in curves["loss"]] == list(range(12))
    assert [v for _, v in curves["loss"]] == pytest.approx(history.loss)


def stop_after(last):
    def stop(step):
        if step == last:
            raise KeyboardInterrupt

    return stop


def test_a_new_run_in_a_folder_does_not_mix_with_the_one_before(tmp_path):
    with pytest.raises(KeyboardInterrupt):  # killed before its first state
        run("tensorboard", tmp_path, FitConfig(epochs=3, lr=0.1), after_update=stop_after(6))
    history, norms = run("tensorboard", tmp_path)
    compare(read_tensorboard(tmp_path), history, norms)


@pytest.mark.slow
def test_wandb_tells_again_what_came_before_a_run_that_goes_on(tmp_path):
    _, norms = run(None, None)
    places = dict(resume=tmp_path / "state.pt")
    with pytest.raises(KeyboardInterrupt):
        run("wandb", tmp_path, after_update=stop_after(9), **places)
    scores = iter((0.1, 0.3, 0.2))  # `run` begins anew: the last epoch gets the first of them
    history, _ = run("wandb", tmp_path, **places)
    assert history.score == [next(scores), next(scores), 0.1]
    compare(read_wandb(tmp_path), history, norms)


@pytest.mark.slow
def test_wandb_keeps_the_run_offline(tmp_path):
    history, norms = run("wandb", tmp_path / "run")
    compare(read_wandb(tmp_path / "run"), history, norms)
    assert not os.environ.get("WANDB_API_KEY")  # no account was needed


SCRIPT = """
import socket, sys, pathlib
sys.path.insert(0, "tests")
real = socket.socket.connect
def guarded(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise AssertionError(f"connects to {address}")
    return real(self, address)
socket.socket.connect = guarded
from tests.training.test_tracking import run
run("wandb", pathlib.Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_wandb_says_nothing_and_reads_long_runs(tmp_path):
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}  # no account, no settings
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "run")],
        env=home,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and done.stderr == ""
    assert read_wandb(tmp_path / "run").keys() == NAMES
    long = FitConfig(epochs=150, max_steps=600, clip=0.0)  # more than one block of 32 kB
    torch.manual_seed(0)
    history = fit(
        nn.Linear(4, 1),
        objective,
        DataLoader(DATA, batch_size=16),
        config=long,
        device="cpu",
        progress=False,
        tracker="wandb",
        run_folder=tmp_path / "long",
    )
    assert max(p.stat().st_size for p in (tmp_path / "long").rglob("*.wandb")) > 3 * 32768
    curve = read_wandb(tmp_path / "long")["loss"]
    assert [s for s, _ in curve] == list(range(600))
    assert [v for _, v in curve] == pytest.approx(history.loss)


def test_numbers_are_the_same_without_a_tracker(tmp_path):
    assert run("tensorboard", tmp_path)[0] == run(None, None)[0]


def test_bad_trackers_are_named(tmp_path):
    with pytest.raises(ValueError, match="'tensorboard' or 'wandb', got 'wandbb'"):
        run("wandbb", tmp_path)
    with pytest.raises(ValueError, match="run_folder: expected a folder"):
        run("wandb", None)
    with pytest.raises(FileNotFoundError, match="found none"):
        read_wandb(tmp_path)

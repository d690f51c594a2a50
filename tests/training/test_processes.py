"""Training on two processes (gloo) equals one with batches twice as large, and where it doesn't."""

import csv
import os
import subprocess
import sys
import textwrap

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from bench.loop import LAUNCH
from course_utils.datasets import load_world
from course_utils.training import processes as two_processes

SCRIPT = """
import sys
import torch
from torch import nn
from safetensors.torch import save_file
from accelerate import PartialState
from course_utils.datasets.batch import VQAData, loader
from course_utils.models.heads import AnswerHead
from course_utils.models.joint import JointConfig, JointEncoder
from course_utils.models.vqa import VQAModel
from course_utils.training.objective import answer_objective
from course_utils.training.fit import FitConfig, fit

norm, per_process, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
g = torch.Generator().manual_seed(0)
n = 48
data = VQAData(
    images=torch.randint(0, 256, (n, 3, 16, 16), generator=g, dtype=torch.uint8),
    questions=("?",) * n, x=torch.randint(0, 9, (n, 4), generator=g),
    mask=torch.ones(n, 4, dtype=torch.bool), image_index=torch.arange(n),
    y=torch.randint(0, 3, (n,), generator=g), family=torch.zeros(n, dtype=torch.long),
    answers=("a", "b", "c"), families=("f",), tokenizer=None)


class Stem(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 8, 8)
        self.norm = {"batch": nn.BatchNorm2d(8), "group": nn.GroupNorm(2, 8)}[norm]

    def forward(self, images):
        return self.norm(self.conv(images)).flatten(2).transpose(1, 2)


torch.manual_seed(0)
config = JointConfig(dim=16, layers=1, heads=2, mlp_dim=32, visual_dim=8, patches=4, vocab_size=9)
model = VQAModel(Stem(), JointEncoder(config), AnswerHead(16, 3)).double()
forward = model.forward
model.forward = lambda images, *rest: forward(images.double(), *rest)
history = fit(model, answer_objective, loader(data, per_process, seed=0),
              config=FitConfig(epochs=2, lr=1e-2, optimizer="sgd", clip=0.0), device="cpu",
              progress=False)
state = PartialState()
if state.is_main_process:
    print("processes", state.num_processes, "updates", len(history.loss))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, out)
state.destroy_process_group()  # otherwise gloo's threads may abort the process as it ends
"""


def run(*arguments):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "same"), [("group", True), ("batch", False)])
def test_two_processes_equal_one_without_batch_norm(norm, same, tmp_path):
    """Equal shards, no dropout: the mean of two means is the mean of all. Batch normalisation sees
    its own process's half only."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    assert "processes 1 updates 12" in run(script, norm, 8, one)
    assert "processes 2 updates 12" in run(*LAUNCH, script, norm, 4, two)
    a, b = load_file(one), load_file(two)
    names = [n for n in a if a[n].is_floating_point() and "running" not in n]
    furthest = max((a[n] - b[n]).abs().max().item() for n in names)
    assert furthest < 1e-12 if same else furthest > 1e-6


@pytest.fixture(scope="module")
def one_process():
    return {norm: two_processes.gradients(norm) for norm in two_processes.NORMS}


def by_hand(norm):
    """The gradient of the mean loss of all sixteen pictures, without `fit` and accelerate."""
    data = load_world("iid", "train", two_processes.IMAGES, 4)
    model = two_processes.norm_model(norm, len(data.answers), data.tokenizer.get_vocab_size())
    batch = data.__getitems__(range(len(data)))
    loss = torch.nn.functional.cross_entropy(
        model.train()(batch.images.double(), batch.image_index, batch.x, batch.mask), batch.y
    )
    return dict(
        zip(dict(model.named_parameters()), torch.autograd.grad(loss, list(model.parameters())))
    )


@pytest.mark.parametrize(("norm", "same"), [("group", True), ("batch", False)])
def test_gradients_of_one_process(norm, same, one_process):
    assert two_processes.furthest(by_hand(norm), one_process[norm]) < 1e-12
    parts = two_processes.gradients(norm, accumulate=4)
    furthest = two_processes.furthest(one_process[norm], parts)
    assert furthest < 1e-12 if same else furthest > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "same"), [("group", True), ("batch", False)])
def test_gradients_of_two_processes_equal_those_of_one_without_batch_norm(norm, same, one_process):
    furthest = two_processes.furthest(one_process[norm], two_processes.launch(2, norm))
    assert furthest < 1e-12 if same else furthest > 1e-3


def test_bad_shares_and_norms_are_named():
    with pytest.raises(ValueError, match="divides 16, got 3"):
        two_processes.gradients(accumulate=3)
    with pytest.raises(ValueError, match="group, batch, got 'layer'"):
        two_processes.gradients("layer")
    with pytest.raises(ValueError, match="same parameters"):
        two_processes.furthest({"a": torch.ones(1)}, {})
    with pytest.raises(ValueError, match="group, batch, got 'layer'"):
        two_processes.launch(2, "layer")


@pytest.mark.slow
def test_processes_that_fail_say_why():
    with pytest.raises(RuntimeError, match=r"gradients of 3 processes.*(?s:.*)divides 16, got 3"):
        two_processes.launch(3)


RESUMED = """
import os, sys
from pathlib import Path
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from accelerate import PartialState
from safetensors.torch import save_file
from course_utils.training.fit import FitConfig, fit

folder, stop = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
state = PartialState(cpu=True)
rank = state.process_index
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5), nn.Linear(16, 1)).double()
torch.manual_seed(100 + rank + (50 if (folder / "state.pt").exists() else 0))  # dropout of its own
x = torch.randn(64, 4, dtype=torch.double, generator=torch.Generator().manual_seed(0))
batches = DataLoader(TensorDataset(x, x.sum(1)), batch_size=4, shuffle=True)

def after(step):
    if step == stop:
        os._exit(9)

fit(model, lambda m, b: (m(b[0])[:, 0] - b[1]).square().mean(), batches,
    config=FitConfig(epochs=3, save_every=3, accumulate=2), device="cpu", progress=False,
    resume=folder / "state.pt", after_update=after)
if rank == 0:
    save_file(model.state_dict(), folder / "end.safetensors")
state.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_go_on_each_with_its_own_random_numbers(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(RESUMED)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    whole.mkdir(), stopped.mkdir()
    run(*LAUNCH, script, whole, -1)
    failed = subprocess.run(
        [sys.executable, *LAUNCH, str(script), str(stopped), "7"],
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert failed.returncode != 0 and not (stopped / "end.safetensors").exists()
    assert len(torch.load(stopped / "state.pt")["random"]) == 2
    run(*LAUNCH, script, stopped, -1)
    a, b = (load_file(folder / "end.safetensors") for folder in (whole, stopped))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_the_command_runs_on_two_processes(tmp_path):
    rows = []
    for i in range(14):
        colour = ("red", "blue")[i % 2]
        Image.new("RGB", (32 + i, 32), colour).save(tmp_path / f"{i}.png")
        rows.append((f"{i}.png", "which colour is it?", colour))
    with (tmp_path / "questions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("picture", "question", "answer"), *rows])
    told = run(
        *LAUNCH,
        "-m",
        "course_utils.own.command",
        "train",
        tmp_path,
        "--device",
        "cpu",
        "--epochs",
        "4",
    )
    assert told.count("2 answers") == 1 and told.count("written to") == 1
    assert (tmp_path / "tuned/tuning.safetensors").exists()
    assert torch.isfinite(
        load_file(tmp_path / "tuned/tuning.safetensors")["head.layers.3.bias"]
    ).all()

"""A training run that is killed, really, and goes on, ends bit for bit like one that wasn't."""

import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from course_utils.datasets import load_world, loader
from course_utils.datasets.batch import Endless
from course_utils.training.fit import FitConfig, fit, freeze
from course_utils.training.state import random_state, set_random_state

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
CONFIG = FitConfig(epochs=4, lr=0.02, save_every=2)


class Noisy(Dataset):
    """Examples with noise of all three sources, as pictures are augmented."""

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        noise = random.random() + np.random.rand() + torch.rand(())
        return X[i] + 0.1 * noise, X[i].sum()


DATA = TensorDataset(X, X.sum(1))


def shuffled(data=DATA, generator=None, size=8):
    return DataLoader(data, batch_size=size, shuffle=True, generator=generator)


class Net(nn.Module):
    """Dropout and batch normalisation: random numbers and buffers."""

    def __init__(self, width=6):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, width),
            nn.BatchNorm1d(width),
            nn.Dropout(0.4),
            nn.Tanh(),
            nn.Linear(width, 1),
        )

    def forward(self, x):
        return self.layers(x)


def objective(model, batch):
    x, y = batch
    return (model(x)[:, 0] - y).square().mean()


def validate(model):
    """Falls and rises, and draws random numbers."""
    with torch.no_grad():
        return -objective(model, (X, X.sum(1))).item() + 1e-3 * torch.rand(()).item()


class Stop(Exception):
    pass


def train(make_loader, stop=None, config=CONFIG, seed=7, **options):
    """(history, weights, the random numbers that would come next) of a run; `stop` is an update."""
    for seeder in (random.seed, np.random.seed, torch.manual_seed):
        seeder(seed)
    model = options.pop("model", None) or Net()

    def after(step):
        if step == stop:
            raise Stop

    options.setdefault("validate", validate)
    history = fit(
        model,
        options.pop("objective", objective),
        make_loader(),
        config=config,
        device="cpu",
        progress=False,
        after_update=after,
        **options,
    )
    rest = (random.random(), np.random.rand(), torch.rand(()).item())
    return history, {k: v.clone() for k, v in model.state_dict().items()}, rest


def equal(one, other):
    (history, weights, rest), (history2, weights2, rest2) = one, other
    assert history == history2 and rest == rest2
    assert all(torch.equal(weights[name], weights2[name]) for name in weights)


LOADERS = {
    "torch's own numbers": shuffled,
    "a generator": lambda: shuffled(generator=torch.Generator().manual_seed(3)),
    "augmentation": lambda: shuffled(Noisy()),
    "augmentation in workers": lambda: DataLoader(Noisy(), 8, shuffle=True, num_workers=1),
}


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("stop", [2, 7, 12, 29])
def test_goes_on_from_any_update(name, stop, tmp_path):
    """8 updates an epoch: within the first, at the end of one, within the second, in the last."""
    if "workers" in name and stop != 12:
        pytest.skip("one moment is enough for workers, which are slow to start")
    whole = train(LOADERS[name])
    path = tmp_path / "state.pt"
    with pytest.raises(Stop):
        train(LOADERS[name], stop, resume=path)
    equal(train(LOADERS[name], resume=path, seed=99), whole)  # whatever seed the new process has
    equal(train(LOADERS[name], resume=path, seed=5), whole)  # finished: nothing is trained again


@pytest.mark.parametrize(
    "fields",
    [
        dict(accumulate=3),
        dict(save_every=0),
        dict(optimizer="sgd"),
        dict(max_steps=21),
        dict(patience=1, lr=0.5, epochs=9),
        dict(precision="bf16"),
    ],
)
def test_goes_on_with_other_settings(fields, tmp_path):
    config = FitConfig(**vars(CONFIG) | fields)
    whole = train(shuffled, config=config)
    if "patience" in fields:
        assert len(whole[0].score) < 9  # stops early, and so must the run that goes on
    stop, path = len(whole[0].loss) // 2, tmp_path / "state.pt"
    with pytest.raises(Stop):
        train(shuffled, stop, config=config, resume=path)
    for _ in range(2):
        equal(train(shuffled, config=config, resume=path, seed=99), whole)


def test_the_state_does_not_change_the_run(tmp_path):
    equal(train(shuffled, resume=tmp_path / "state.pt"), train(shuffled))
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


@pytest.mark.parametrize("given", [True, False])
def test_an_objective_with_its_own_generator(given, tmp_path):
    def run(stop=None, resume=None):
        own = torch.Generator().manual_seed(1)
        return train(
            shuffled,
            stop,
            resume=resume,
            generators=[own] if given else [],
            objective=lambda model, batch: objective(model, batch) * torch.rand((), generator=own),
        )

    whole = run()
    with pytest.raises(Stop):
        run(11, tmp_path / "state.pt")
    if given:
        equal(run(resume=tmp_path / "state.pt"), whole)
    else:  # what is not given is not kept
        assert run(resume=tmp_path / "state.pt")[0].loss != whole[0].loss


def test_whole_pictures_in_the_order_of_their_epoch(tmp_path):
    data = load_world("iid", "train", 24, 4)
    seen = []

    def run(stop=None, resume=None):
        def told(model, batch):
            seen.append(batch.image_index.tolist() + batch.x.flatten().tolist())
            return model(batch.images).square().mean()

        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 1))
        with torch.no_grad():
            for p in model.parameters():
                p.fill_(0.01)
        return train(
            lambda: loader(data, 4, seed=2),
            stop,
            FitConfig(epochs=3, save_every=2),
            model=model,
            validate=None,
            objective=told,
            resume=resume,
        )

    whole, order = run(), list(seen)
    seen.clear()
    with pytest.raises(Stop):
        run(10, tmp_path / "state.pt")  # states are written after updates 2, 4, 6, 8 and 10
    seen.clear()
    equal(run(resume=tmp_path / "state.pt"), whole)
    assert seen == order[10:]


# Files that don't fit


@pytest.fixture
def state(tmp_path):
    with pytest.raises(Stop):
        train(shuffled, 11, resume=tmp_path / "state.pt")
    return tmp_path / "state.pt"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(config=FitConfig(epochs=4, lr=0.03)), r"settings lr = 0.03, got 0.02"),
        (dict(config=FitConfig(epochs=5, lr=0.02)), r"settings epochs = 5, got 4"),
        (
            dict(model=Net(5)),
            r"model layers.0.weight = trained \(5, 4\) torch.float32, got .*\(6, 4\)",
        ),
        (dict(model=Net().double()), r"float64, got .*float32"),
        (dict(model=nn.Linear(4, 1)), r"= trained .* got none|= none, got"),
        (dict(make_loader=lambda: shuffled(size=20)), r"batches = 3, got 8"),
    ],
)
def test_another_run_is_refused_and_nothing_is_changed(state, options, message):
    model = options.setdefault("model", Net())
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match=f"holds another run: expected .*{message}.*delete"):
        train(options.pop("make_loader", shuffled), resume=state, **options)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_another_choice_of_frozen_parts_is_refused(state):
    model = Net()
    freeze(model.layers[0])
    with pytest.raises(ValueError, match=r"weight = fixed \(6, 4\) .*got trained"):
        train(shuffled, resume=state, model=model)


def test_how_often_the_state_is_written_may_change(state):
    config = FitConfig(**vars(CONFIG) | {"save_every": 5})
    equal(train(shuffled, resume=state, config=config), train(shuffled))


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "cut":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = b""
    elif how == "flipped":  # one bit, in a weight: torch.load alone would not notice
        place = content.index(torch.load(path)["model"]["layers.0.weight"].numpy().tobytes())
        content[place + 5] ^= 16
    else:
        content = b"hello"
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("how", ["cut", "empty", "flipped", "text"])
def test_a_damaged_file_is_named(state, how):
    damage(state, how)
    with pytest.raises(ValueError, match=r"expected a training state .*state.pt, got: .+; delete"):
        train(shuffled, resume=state)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_nothing_in_the_file_is_executed(state, capsys):
    torch.save(torch.load(state) | {"best": Evil()}, state)
    with pytest.raises(ValueError, match="expected a training state"):
        train(shuffled, resume=state)
    assert "executed" not in capsys.readouterr().out


def test_other_files_of_torch_are_refused(state):
    torch.save({"model": {}}, state)
    with pytest.raises(ValueError, match="expected a training state"):
        train(shuffled, resume=state)


def test_random_states_go_round_trip():
    own = torch.Generator().manual_seed(1)
    random.gauss(0, 1), np.random.randn()  # each keeps a second number for the next call
    before = random_state([own])

    def draw():
        return (
            random.gauss(0, 1),
            random.random(),
            np.random.randn(),
            np.random.rand(),
            torch.rand(()).item(),
            torch.rand((), generator=own).item(),
        )

    first = draw()
    set_random_state(before, [own])
    assert draw() == first


# Killed for real

SCRIPT = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from tests.training.test_resume import CONFIG, Net, FitConfig, fit, objective, shuffled, validate

folder = Path(sys.argv[1])
torch.set_num_threads(1)
torch.manual_seed(7)
model = Net(300)  # a state of some size, so that writing it takes a while
config = FitConfig(epochs=30, lr=0.02, save_every=1)
history = fit(model, objective, shuffled(), validate, config, device="cpu", progress=False,
              checkpoint=folder / "best.safetensors", resume=folder / "state.pt",
              after_update=lambda step: print("update", flush=True))
save_file(model.state_dict() | {"loss": torch.tensor(history.loss, dtype=torch.float64),
          "score": torch.tensor(history.score, dtype=torch.float64)}, folder / "end.safetensors")
"""


def start(folder):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """(updates told, seconds between the first and the last of them); the process ended well."""
    moments = [time.monotonic() for line in process.stdout if line == "update\n"]
    assert process.wait() == 0, process.stderr.read()
    return len(moments), moments[-1] - moments[0]


@pytest.mark.slow
def test_a_process_killed_at_random_moments_ends_like_an_undisturbed_one(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    updates, seconds = finish(start(whole))
    assert updates == 240
    chance = random.Random(time.time_ns())  # other moments each time; told if it fails
    waits, reached, parts = [], [], 0
    for _ in range(5):
        # updates, not seconds: machines differ. Five times 40 and a part of one leave some of 240
        waits.append((chance.randint(2, 40), chance.uniform(0, 1) * seconds / updates))
        process = start(killed)
        for _ in range(waits[-1][0]):  # so many updates,
            assert process.stdout.readline() == "update\n", process.communicate()[1]
        time.sleep(waits[-1][1])  # and a part of one more
        process.send_signal(signal.SIGKILL)
        process.communicate()
        values = torch.load(killed / "state.pt", weights_only=True)  # whole, whenever it was killed
        reached.append(len(values["history"]["loss"]))
        parts += (killed / "state.pt.part").exists()
    assert reached == sorted(reached) and reached[0] > 0, (waits, reached)
    finish(start(killed))
    for name in ("end.safetensors", "best.safetensors"):
        a, b = load_file(whole / name), load_file(killed / name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[k], b[k]) for k in a), (waits, reached, parts)
    assert len(load_file(killed / "end.safetensors")["loss"]) == 240


@pytest.mark.slow
def test_killed_while_the_file_is_written(tmp_path):
    """The kill comes from inside, between the first and the last byte."""
    script = SCRIPT.replace(
        "folder = ",
        """
import os, signal
real, count = torch.save, 0
def half(values, file):
    global count
    count += 1
    real(values, file)
    if count == 5 and len(sys.argv) == 3:
        file.truncate(file.tell() // 2)
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
torch.save = half
folder = """,
        1,
    )
    for folder, extra in (("whole", []), ("killed", ["kill"]), ("killed", [])):
        (tmp_path / folder).mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / folder), *extra],
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == (-signal.SIGKILL if extra else 0), done.stderr
        if extra:
            assert (tmp_path / folder / "state.pt.part").exists()
    a, b = (load_file(tmp_path / f / "end.safetensors") for f in ("whole", "killed"))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not (tmp_path / "killed/state.pt.part").exists()


class Second:
    """An objective with a loader and random numbers of its own, as replay and FixMatch have."""

    def __init__(self):
        self.kept = Endless(loader(load_world("iid", "test", 6), 2, seed=1))
        self.generator = torch.Generator().manual_seed(3)

    def state_dict(self):
        return {"kept": self.kept.state_dict(), "generator": self.generator.get_state()}

    def load_state_dict(self, state):
        self.kept.load_state_dict(state["kept"])
        self.generator.set_state(state["generator"])

    def __call__(self, model, batch):
        weight = next(self.kept).y.double().mean().item() + torch.rand((), generator=self.generator)
        return weight * objective(model, batch)


def test_an_objective_with_a_loader_of_its_own_goes_on(tmp_path):
    def run(stop_at=None, **options):
        model = Net()

        def stopping(step):
            if step + 1 == stop_at:
                raise Stop

        history = fit(
            model, Second(), shuffled(), config=CONFIG, device="cpu", progress=False,
            after_update=stopping, **options,
        )  # fmt: skip
        return history.loss, model.state_dict()

    torch.manual_seed(0)
    whole, weights = run(resume=tmp_path / "whole.pt")
    torch.manual_seed(0)
    with pytest.raises(Stop):
        run(stop_at=11, resume=tmp_path / "state.pt")
    torch.manual_seed(99)
    loss, again = run(resume=tmp_path / "state.pt")
    assert loss == whole and all(torch.equal(weights[k], again[k]) for k in weights)

"""Cached features: equal to fresh ones, and safe against all that can go wrong on a disk."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time

import pytest
import torch
from torch import nn

from course_utils.cache import cache_folder, whole_folder
from course_utils.datasets.features import cached_features, fingerprint
from course_utils.models.vision import PatchStem


class Counting(nn.Module):
    """A stem that counts how many pictures it has seen."""

    def __init__(self, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.stem, self.norm, self.seen = PatchStem(8), nn.BatchNorm1d(16), 0

    def forward(self, images):
        assert not self.training and images.dtype == torch.float32
        self.seen += len(images)
        return self.norm(self.stem(images))


@pytest.fixture
def images():
    return torch.randint(0, 256, (50, 3, 64, 64), generator=torch.manual_seed(1)).to(torch.uint8)


def test_features_are_computed_once_and_equal(images, tmp_path):
    model = Counting().train()
    first = cached_features("f", images, model, folder=tmp_path, batch=7)
    again = cached_features("f", images, model, folder=tmp_path)
    assert model.seen == 50 and model.training and not first.requires_grad
    assert torch.equal(first, again) and first.shape == (50, 16, 8)
    fresh = model.eval()(images.float() / 255)
    assert torch.allclose(first, fresh, atol=1e-6)
    assert [p.name for p in tmp_path.iterdir()] == [next(tmp_path.glob("f-*.safetensors")).name]


def test_a_changed_picture_model_or_version_is_computed_anew(images, tmp_path):
    model = Counting()
    cached_features("f", images, model, folder=tmp_path)
    changed = images.clone()
    changed[7, 0, 3, 3] ^= 1
    cached_features("f", changed, model, folder=tmp_path)
    assert model.seen == 100
    with torch.no_grad():
        model.stem.project.bias[0] += 1e-6
    cached_features("f", images, model, folder=tmp_path)
    model.norm.running_mean[0] += 1e-6  # no parameter, but the features depend on it
    cached_features("f", images, model, folder=tmp_path)
    assert model.seen == 200
    cached_features("g", images, model, folder=tmp_path)
    cached_features("g", images, model, folder=tmp_path, version="2")
    assert model.seen == 300
    cached_features("g", images.flip(0), model, folder=tmp_path)
    assert model.seen == 350, "another order is another set"
    cached_features("f", images, model, folder=tmp_path)
    assert model.seen == 350


def test_fingerprint_sees_shape_type_and_architecture(images):
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    other = nn.Sequential(nn.Linear(2, 2), nn.GELU())
    other.load_state_dict(model.state_dict())
    keys = [
        fingerprint(images),
        fingerprint(images.view(50, 3, 32, 128)),
        fingerprint(images.float()),
        fingerprint(images.view(torch.int8)),
        fingerprint(images, model),
        fingerprint(images, other),
        fingerprint(images, model, "x"),
    ]
    assert len(set(keys)) == len(keys)
    assert fingerprint(images, model) == keys[4]


def test_compute_chooses_what_is_kept(images, tmp_path):
    model = Counting()
    mean = cached_features("mean", images, model, lambda pixels: model(pixels).mean(1), tmp_path)
    assert mean.shape == (50, 8)
    with pytest.raises(ValueError, match=r"one feature a picture, got \(8,\) for 16 pictures"):
        cached_features("sum", images, model, lambda pixels: model(pixels).sum((0, 1)), tmp_path)


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "text", "other"])
def test_a_damaged_file_is_computed_anew(images, tmp_path, damage):
    model = Counting()
    right = cached_features("f", images, model, folder=tmp_path)
    path = next(tmp_path.glob("f-*"))
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "bit":
        content[-1] ^= 64
    elif damage == "empty":
        content = b""
    elif damage == "text":
        content = b"no features"
    elif damage == "other":  # a whole file of other pictures under this name
        cached_features("other", images.flip(0), model, folder=tmp_path)
        content = next(tmp_path.glob("other-*")).read_bytes()
        model.seen = 50
    path.write_bytes(content)
    assert torch.equal(cached_features("f", images, model, folder=tmp_path), right)
    assert model.seen == 100
    assert torch.equal(cached_features("f", images, model, folder=tmp_path), right)
    assert model.seen == 100, "the file is whole again"


WRITER = """
import sys, torch
from pathlib import Path
import course_utils.datasets.features as features
from tests.datasets.test_features import Counting
real = features.save_file
def slow(tensors, path, metadata):
    real(tensors, path, metadata)
    Path(path).write_bytes(Path(path).read_bytes()[:1000])  # half of it is on the disk
    print("writing", flush=True)
    sys.stdin.read()  # until it is killed
features.save_file = slow
images = torch.randint(0, 256, (50, 3, 64, 64), generator=torch.manual_seed(1)).to(torch.uint8)
features.cached_features("f", images, Counting(), folder=Path(sys.argv[1]))
"""


def test_a_killed_writer_leaves_nothing_that_is_read(images, tmp_path):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout.readline() == "writing\n"
    writer.send_signal(signal.SIGKILL)
    assert writer.wait() == -signal.SIGKILL
    writer.stdin.close()
    writer.stdout.close()
    assert list(tmp_path.glob("*.part")) and not list(tmp_path.glob("*.safetensors"))
    model = Counting()
    features = cached_features("f", images, model, folder=tmp_path)
    assert model.seen == 50
    assert torch.equal(cached_features("f", images, model, folder=tmp_path), features)
    assert model.seen == 50


def test_what_killed_writers_left_is_removed_after_a_day(images, tmp_path):
    old, new = tmp_path / "f-0.safetensorsx.part", tmp_path / "f-1.safetensorsx.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    cached_features("f", images, Counting(), folder=tmp_path)
    assert not old.exists() and new.exists(), "another process may be writing the new one"


def test_the_folder(images, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "here" / "there"))
    cached_features("f", images, Counting())
    assert len(list((tmp_path / "here" / "there").iterdir())) == 1
    monkeypatch.delenv("COURSE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "vision-language-course"


def test_without_a_home_the_cache_is_a_temporary_folder(monkeypatch):
    def none():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("COURSE_CACHE", raising=False)
    monkeypatch.setattr("pathlib.Path.home", none)
    assert cache_folder().is_relative_to(tempfile.gettempdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_what_is_kept_has_the_mode_that_the_user_asked_for(images, tmp_path):
    before = os.umask(0o022)
    try:
        cached_features("f", images, Counting(), folder=tmp_path / "new")
        with whole_folder(tmp_path / "new/folder") as part:
            (part / "file").touch()
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").rglob("*")}
    assert modes == {0o644, 0o755}


def test_without_a_writable_folder_features_come_all_the_same(images, tmp_path):
    (tmp_path / "file").write_text("in the way")
    model = Counting()
    for _ in range(2):
        features = cached_features("f", images, model, folder=tmp_path / "file" / "folder")
    assert features.shape == (50, 16, 8) and model.seen == 100


def test_bad_arguments(images, tmp_path):
    with pytest.raises(ValueError, match="at least one picture"):
        cached_features("f", images[:0], Counting(), folder=tmp_path)
    for name in ("", "a/b", "../a"):
        with pytest.raises(ValueError, match="name without slashes"):
            cached_features(name, images, Counting(), folder=tmp_path)

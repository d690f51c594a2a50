"""The rows for a GPU, measured on the CPU for a few pictures."""

import json

import pytest
import torch

from bench import __main__ as bench
from bench import gpu, training


def test_a_run_that_was_cut_off_is_taken_up(tmp_path):
    path, made = tmp_path / "gpu.json", []

    def row(name, fails=False):
        def measured(device):
            made.append(name)
            if fails:
                raise KeyboardInterrupt
            return {"seconds": 1.0}

        return measured

    with pytest.raises(KeyboardInterrupt):
        gpu.measure("cpu", path, {"a": row("a"), "b": row("b", fails=True)})
    assert json.loads(path.read_text()) == {
        "machine": "cpu",
        "torch": torch.__version__,
        "rows": {"a": {"seconds": 1.0}},
    }
    rows = {"a": row("a"), "b": row("b")}
    assert list(gpu.measure("cpu", path, rows)["rows"]) == ["a", "b"]
    assert made == ["a", "b", "b"]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lessons": {"07": 9.0}}))
    assert gpu.measure("cpu", path, rows)["lessons"] == {"07": 9.0}  # written by another command
    path.write_text(path.read_text().replace('"cpu"', '"another card"'))
    gpu.measure("cpu", path, rows)
    assert made == ["a", "b", "b", "a", "b"]
    assert set(json.loads(path.read_text())) == {"machine", "torch", "rows"}


def test_all_rows_on_the_cpu_for_a_few_pictures(small, tmp_path, monkeypatch):
    few = small.select(small.image_index < 9)  # two updates a pass
    monkeypatch.setattr(training, "easy_vqa", lambda: (few, few, few))
    monkeypatch.setattr(gpu, "FILE", tmp_path / "gpu.json")
    assert bench.on_gpu() == "not measured"
    found = gpu.measure("cpu", gpu.FILE)
    assert list(found["rows"]) == ["fast", "lesson 08", "encoders"]
    for name in ("fast", "lesson 08"):
        run = found["rows"][name]
        assert run["seconds"] > 0 and run["passes"] <= 7 and 0 <= run["test"] <= 1
    assert found["rows"]["encoders"]["JointEncoder (ours)"]["ratio"] == 1.0
    text = bench.on_gpu()
    assert "On: cpu" in text and "| lesson 08 | " in text and "| ViltModel, from pixels | " in text

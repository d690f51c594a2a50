"""The notebook's set-up: profiles, seeds, claims, spreads, progress that survives accidents."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from course_utils.datasets import files as data_files
from course_utils.notebook import lab


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in ("SEED", "PROFILE", "SMOKE", "RECORD", "THREADS"):
        monkeypatch.delenv(f"COURSE_{name}", raising=False)
    monkeypatch.setenv("COURSE_REFERENCE", "1")
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "home" / "progress.json"))
    yield
    monkeypatch.undo()
    lab.start()  # leave the module as other tests expect it


def test_start_may_run_twice_and_gives_the_same_numbers(capsys):
    lab.start()
    first = torch.rand(3)
    lab.start()
    assert torch.equal(first, torch.rand(3)) and torch.get_num_threads() == 1
    assert capsys.readouterr().out == "Ready: device cpu, profile cpu, seed 0.\n" * 2


def test_profiles(monkeypatch):
    lab.start()
    assert lab.pick(cpu=3, gpu=30) == 3 and lab.step_limit == 0 and lab.steps(300, 900) == 300
    monkeypatch.setenv("COURSE_SMOKE", "1")
    monkeypatch.setenv("COURSE_SEED", "4")
    lab.start()
    assert lab.pick(cpu=3, gpu=30) == 30 and lab.step_limit == 2 and lab.seed == 4
    assert lab.steps(300, 900) == 2 and lab.steps(300, 1) == 1


def test_tensors_are_printed_the_same_everywhere():
    torch.set_printoptions(profile="full", sci_mode=True)
    lab.start()
    assert str(torch.tensor([1e-3, 2.5])) == "tensor([0.0010, 2.5000])"


def test_references_are_made_without_the_network(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("COURSE_REFERENCE", "0")
    lab.start()
    assert "HF_HUB_OFFLINE" not in lab.os.environ
    monkeypatch.setenv("COURSE_REFERENCE", "1")
    lab.start()
    assert lab.os.environ["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(("name", "value"), [("COURSE_PROFILE", "tpu"), ("COURSE_SEED", "one")])
def test_bad_settings_are_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"{name}: expected .* got '{value}'"):
        lab.start()
    monkeypatch.delenv(name)


def test_claims(capsys, monkeypatch):
    lab.claim("water is wet", True)
    assert capsys.readouterr().out == "Claim holds: water is wet.\n"
    with pytest.raises(AssertionError, match="does not hold in this run: fire is wet"):
        lab.claim("fire is wet", False)
    monkeypatch.setattr(lab, "smoke", True)
    lab.claim("fire is wet", False)
    assert "not judged" in capsys.readouterr().out


def test_measured_numbers_carry_the_spread_of_the_file(monkeypatch, tmp_path):
    path = tmp_path / "spreads.json"
    path.write_text(
        json.dumps({n: {"mean": 2.0, "std": s} for n, s in (("a", 0.123), ("b", 0.0), ("c", 0.2))})
    )
    monkeypatch.setattr(lab, "data_path", lambda name: path)
    record = tmp_path / "record.jsonl"
    monkeypatch.setenv("COURSE_RECORD", str(record))
    assert lab.measured("a", 99.444, "%") == "99.4 (2.0 ± 0.2) %"  # rounded up
    assert lab.measured("b", 3, digits=2) == "3.00 (2.00 ± 0.01)"  # never zero
    assert lab.measured("c", 3) == "3.0 (2.0 ± 0.2)"  # not pushed up by rounding errors
    assert lab.measured("new", 1.0) == "1.0 (? ± ?)"
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [line["name"] for line in lines] == ["a", "b", "c", "new"]
    assert lines[0]["value"] == 99.444


def test_mean_and_spread_of_runs_in_the_notebook():
    assert lab.mean_spread([1.0, 2.0, 3.0], "%", digits=2) == "2.00 ± 1.00 %"
    with pytest.raises(ValueError, match="two or more runs, got 1"):
        lab.mean_spread([1.0])


def test_missing_data_says_where_it_was_looked_for():
    with pytest.raises(FileNotFoundError, match=r"expected data/none.bin .* found neither"):
        lab.data_path("none.bin")


def test_missing_data_names_the_command_that_makes_it(monkeypatch, tmp_path):
    monkeypatch.setattr(
        data_files, "__file__", str(tmp_path / "course_utils" / "datasets" / "files.py")
    )
    with pytest.raises(
        FileNotFoundError, match=r"by: python -m course_utils.studies.recipes easy_vqa$"
    ):
        lab.data_path("checkpoints/easy_vqa.safetensors")
    with pytest.raises(FileNotFoundError, match="made by: make spreads"):
        lab.data_path("spreads.json")
    with pytest.raises(FileNotFoundError) as unknown:
        lab.data_path("unknown.json")
    assert "made by" not in str(unknown.value)


def test_data_of_an_installed_package_comes_first(monkeypatch, tmp_path):
    monkeypatch.setattr(
        data_files, "__file__", str(tmp_path / "course_utils" / "datasets" / "files.py")
    )
    for folder in (tmp_path / "data", tmp_path / "course_utils" / "data"):
        folder.mkdir(parents=True)
        (folder / "a.json").write_text("{}")
        assert lab.data_path("a.json") == folder / "a.json"


def test_progress_is_kept_outside_reference_runs_only(monkeypatch):
    lab.mark_done("08.1", "2026-01-01")
    assert lab.load_progress() == {}
    monkeypatch.setenv("COURSE_REFERENCE", "0")
    lab.mark_done("08.1", "2026-01-01")
    lab.mark_done("08.1", "2026-01-02")  # the first day stays
    assert lab.load_progress() == {"08.1": "2026-01-01"}


@pytest.mark.parametrize("damage", ['{"08.1": ', "[1, 2]"])
def test_a_damaged_progress_file_is_moved_aside_not_lost(monkeypatch, capsys, damage):
    monkeypatch.setenv("COURSE_REFERENCE", "0")
    path = lab.progress_file()
    path.parent.mkdir(parents=True)
    path.write_text(damage)
    lab.mark_done("08.2", "2026-01-01")
    assert lab.load_progress() == {"08.2": "2026-01-01"}
    assert path.with_suffix(".damaged-1").read_text() == damage
    assert "could not be read" in capsys.readouterr().out
    path.write_bytes(b"\xff")
    assert lab.load_progress() == {}
    assert path.with_suffix(".damaged-1").read_text() == damage
    assert path.with_suffix(".damaged-2").read_bytes() == b"\xff"
    assert not list(path.parent.glob("*.part"))


def test_a_crash_while_saving_leaves_the_old_progress_whole(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_REFERENCE", "0")
    lab.mark_done("08.1", "2026-01-01")

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", stop)
        with pytest.raises(KeyboardInterrupt):
            lab.mark_done("08.2", "2026-01-01")
    assert lab.load_progress() == {"08.1": "2026-01-01"}
    assert [p.name for p in lab.progress_file().parent.iterdir()] == ["progress.json"]


def test_notebooks_that_note_progress_at_once_lose_nothing(monkeypatch):
    monkeypatch.setenv("COURSE_REFERENCE", "0")
    exercises = [f"08.{i}" for i in range(40)]
    with ThreadPoolExecutor(8) as notebooks:
        list(notebooks.map(lambda exercise: lab.mark_done(exercise, "2026-01-01"), exercises))
    assert sorted(lab.load_progress()) == sorted(exercises)
    assert [p.name for p in lab.progress_file().parent.iterdir()] == ["progress.json"]


def test_without_a_home_nothing_breaks(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_REFERENCE", "0")
    monkeypatch.delenv("COURSE_PROGRESS")

    def homeless(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(lab.Path, "expanduser", homeless)
    lab.mark_done("08.1", "2026-01-01")
    assert lab.load_progress() == {}
    assert capsys.readouterr().out.count("Could not determine home directory") == 2


def test_a_home_that_cannot_be_written_does_not_stop_a_check(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("COURSE_REFERENCE", "0")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "file" / "progress.json"))
    lab.mark_done("08.1", "2026-01-01")
    assert "could not be saved" in capsys.readouterr().out

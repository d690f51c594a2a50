"""What a notebook needs around its lesson: device, profile, seed, claims, spreads, progress.

Environment variables, all optional:
    COURSE_REFERENCE=1   how outputs are made and compared: CPU, one thread, nothing kept
    COURSE_SEED=0        the seed of a run
    COURSE_PROFILE=cpu   sizes and steps: "cpu" or "gpu"; by the device if not set
    COURSE_SMOKE=1       the gpu profile's sizes for two steps, to see that its code runs
    COURSE_THREADS=2     CPU threads
    COURSE_DISTURB=3     initial weights that differ by a rounding (see `make disturbed`)
    COURSE_RECORD=FILE   `measured` appends its values there (see `make spreads`)
    COURSE_PROGRESS=FILE where progress is kept
    COURSE_GRADING=1     a check raises where an answer is wrong or missing
"""

import json
import math
import os
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from course_utils.cache import whole_file
from course_utils.datasets.files import data_path
from course_utils.notebook import plots
from course_utils.training import disturb

device = torch.device("cpu")
profile = "cpu"
seed = 0
smoke = False
step_limit = 0  # updates after which a training run stops; 0 for no limit


def reference() -> bool:
    """Whether this run makes or compares reference outputs."""
    return os.environ.get("COURSE_REFERENCE") == "1"


def start() -> None:
    """Chooses device and profile, seeds everything, sets the style of figures. May run twice.

    Raises:
        ValueError: an environment variable holds something else than expected.
        RuntimeError: the notebook lies in one clone, and Python has the course of another.
    """
    _same_clone(Path.cwd())
    global device, profile, seed, smoke, step_limit
    smoke = os.environ.get("COURSE_SMOKE") == "1"
    step_limit = 2 if smoke else 0
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if reference():  # a reference must not depend on the network
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if not reference() and torch.cuda.is_available():
        device = torch.device("cuda")
    elif not reference() and torch.backends.mps.is_available():
        device = torch.device("mps")
    else:
        device = torch.device("cpu")
    profile = os.environ.get("COURSE_PROFILE", "gpu" if smoke or device.type == "cuda" else "cpu")
    if profile not in ("cpu", "gpu"):
        raise ValueError(f"COURSE_PROFILE: expected 'cpu' or 'gpu', got {profile!r}")
    seed = _integer("COURSE_SEED", 0)
    threads = _integer("COURSE_THREADS", 1 if reference() else 0)
    if threads:
        torch.set_num_threads(threads)
    disturb.start(_integer("COURSE_DISTURB", 0))
    torch.set_printoptions(profile="default", precision=4, sci_mode=False)
    seed_everything(seed)
    plots.style()
    print(f"Ready: device {device.type}, profile {profile}, seed {seed}.")


def _same_clone(folder: Path) -> None:
    """A clone that was renamed or copied has the address of the first one in its environment."""
    package = Path(__file__).resolve().parents[1]
    here = folder.resolve().parent / package.name
    installed_from_a_clone = (package.parent / "pyproject.toml").exists()
    if installed_from_a_clone and (here / "__init__.py").exists() and here != package:
        raise RuntimeError(
            f"this notebook lies in {here.parent}, but Python has the course of {package.parent}: "
            f"run `make lab` in {here.parent}"
        )


def _integer(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise ValueError(f"{name}: expected a whole number, got {text!r}")
    return int(text)


def seed_everything(value: int) -> None:
    """Seeds Python, NumPy and PyTorch."""
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)


def pick(cpu, gpu):
    """The value of the profile in use."""
    return gpu if profile == "gpu" else cpu


def steps(cpu: int, gpu: int) -> int:
    """A number of updates by profile; two in a smoke run."""
    return min(pick(cpu, gpu), step_limit) if step_limit else pick(cpu, gpu)


# Claims and measured numbers


def claim(sentence: str, condition: bool) -> None:
    """States something that the lesson asserts, and fails loudly where it does not hold.

    Raises:
        AssertionError: the condition is false (not in a smoke run, whose models learnt nothing).
    """
    sentence = sentence.rstrip(".")
    if smoke:
        print(f"Claim not judged in a smoke run: {sentence}.")
        return
    if not condition:
        raise AssertionError(f"This claim does not hold in this run: {sentence}.")
    print(f"Claim holds: {sentence}.")


def measured(name: str, value: float, unit: str = "", digits: int = 1) -> str:
    """A number of this training, and the mean and deviation of others: "40.3 (60.4 ± 18.2) %".

    In brackets stand mean and standard deviation over five seeds, whose values `make spreads` keeps
    in data/spreads.json. The deviation is rounded up, so it is never 0. "(? ± ?)" means that
    they were not measured yet. They are for the reader: what a test allows is measured apart (see
    `make disturbed`).
    """
    record = os.environ.get("COURSE_RECORD")
    if record:
        with open(record, "a", encoding="utf-8") as file:
            file.write(json.dumps({"name": name, "value": float(value), "seed": seed}) + "\n")
    try:
        spreads = json.loads(data_path("spreads.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        spreads = {}
    kept = spreads.get(name)
    over_seeds = _with_spread(kept["mean"], kept["std"], digits) if kept else "? ± ?"
    return f"{value:.{digits}f} ({over_seeds}){' ' + unit if unit else ''}"


def mean_spread(values: Sequence[float], unit: str = "", digits: int = 1) -> str:
    """Mean and standard deviation of runs made in the notebook: "84.2 ± 0.6 %"."""
    if len(values) < 2:
        raise ValueError(f"values: expected two or more runs, got {len(values)}")
    found = _with_spread(float(np.mean(values)), float(np.std(values, ddof=1)), digits)
    return f"{found}{' ' + unit if unit else ''}"


def _with_spread(mean: float, spread: float, digits: int) -> str:
    step = 10.0**-digits
    rounded_up = max(step, math.ceil(round(spread / step, 6)) * step)
    return f"{mean:.{digits}f} ± {rounded_up:.{digits}f}"


# Progress


def progress_file() -> Path:
    """Where progress is kept: a file in the learner's home folder."""
    chosen = os.environ.get("COURSE_PROGRESS")
    return Path(chosen or "~/.vision-language-course/progress.json").expanduser()


def load_progress() -> dict[str, str]:
    """Exercises that were solved, with the day; none in a reference run. A file that can't be
    understood is moved aside, not lost."""
    if reference():
        return {}
    try:
        return _read_progress(progress_file())
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        print(f"Your progress could not be read: {error}.")
        return {}


def _read_progress(path: Path) -> dict[str, str]:
    try:
        done = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(done, dict):
            raise ValueError(f"expected an object, got {type(done).__name__}")
        return done
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        count = 1
        while (aside := path.with_suffix(f".damaged-{count}")).exists():
            count += 1
        os.replace(path, aside)
        print(f"Your progress file could not be read ({error}). It was moved to {aside}.")
        return {}


def mark_done(exercise: str, day: str) -> None:
    """Notes a solved exercise, unless this is a reference run; never fails a check."""
    if reference():
        return
    try:
        path = progress_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            done = _read_progress(path)
            if exercise not in done:
                with whole_file(path) as part:  # a crash leaves the old one
                    text = json.dumps(done | {exercise: day}, indent=1, sort_keys=True)
                    part.write_text(text, encoding="utf-8")
    except (OSError, RuntimeError) as error:
        print(f"Your progress could not be saved: {error}.")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Waits while another notebook writes the file, at most five seconds: it may have been killed
    while it did."""
    lock = path.with_name(f"{path.name}.lock")
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            lock.touch(exist_ok=False)
            break
        except FileExistsError:
            time.sleep(0.02)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)

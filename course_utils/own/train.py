"""Tunes the course's joint model for real pictures on your own questions.

    course train FOLDER                  pictures and questions.csv in FOLDER
    course train FOLDER --base smollm2   the same, for a language model that answers in words
    course train FOLDER --data vqa_v2    the published files of VQA v2 in FOLDER

writes into --out (FOLDER/tuned, or tuned-2 where that is taken): tuning.safetensors and
answers.json, which `course ask` reads, and metrics.json. Ctrl-C ends the training early and keeps
the best pass so far. What it is worth shows beside "blind", the best answers without pictures.
Choose settings by the validation row; look at the test row once.
"""

import argparse
import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import PartialState

from course_utils.datasets.batch import VQAData
from course_utils.datasets.rows import Row, by_picture, frequent_answers, read_rows
from course_utils.datasets.vqa_v2 import read_vqa_v2
from course_utils.evaluation.intervals import Interval
from course_utils.models.vqa import VQAModel
from course_utils.own.pictures import (
    METHODS,
    OWN_FIT,
    Answerer,
    Score,
    asked_before,
    best_blind,
    gain,
    questions_data,
    save_answerer,
    score,
    tunable,
    tune,
    without_pictures,
)
from course_utils.own.words import ABOUT, WORDS_FIT, train_words
from course_utils.peft import count_parameters
from course_utils.training.fit import FitConfig

FEW = 50  # test pictures below which a bootstrap by picture is itself shaky


def read(options: argparse.Namespace) -> tuple[list[Row], list[Row], list[Row]]:
    """Training, validation and test rows, which share no picture."""
    if options.data == "vqa_v2":
        train = read_vqa_v2(options.folder, "train2014", options.limit)
        by_name = lambda path: path  # the published pictures aren't searched for copies
        validation, train = by_picture(train, (options.validation,), options.seed, by_name)
        return train, validation, read_vqa_v2(options.folder, "val2014", options.limit)
    rows = read_rows(options.folder, options.table)
    test, validation, train = by_picture(rows, (options.test, options.validation), options.seed)
    return train, validation, test


def table(scores: dict[str, tuple[Score, Score, Interval | None]]) -> str:
    """A line for each part: the model beside the best that was found without pictures, and the
    difference, with its 95 % interval by picture."""
    lines = [
        f"{'':<12}{'questions':>9}{'blind':>9}{'tuned':>9}   {'difference (95 %)':<27}"
        "tuned, by type of answer"
    ]
    for name, (blind, tuned, more) in scores.items():
        types = ", ".join(f"{kind} {100 * value:.1f}" for kind, value in tuned.by_type.items())
        told = (
            "–"
            if more is None
            else (f"{100 * more.value:+.1f} ({100 * more.low:+.1f} to {100 * more.high:+.1f})")
        )
        lines.append(
            f"{name:<12}{tuned.questions:>9}{100 * blind.all:>8.1f}%"
            f"{100 * tuned.all:>8.1f}%   {told:<27}{types}"
        )
    return "\n".join(lines)


def plain(score: Score) -> dict:
    """What of a score stands in metrics.json."""
    return {"all": score.all, "by_type": score.by_type, "questions": score.questions}


def run(options: argparse.Namespace) -> None:
    """Reads, tunes, measures, writes. Under `accelerate launch` each process trains on its share of
    the batches; the first one prints and writes."""
    if not (
        0 < options.validation < 1 and options.test > 0 and options.validation + options.test < 1
    ):
        raise ValueError(
            "expected shares above 0 whose sum is below 1 for --validation and --test, got "
            f"{options.validation} and {options.test}"
        )
    config = configured(options)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: expected a GPU that torch can use, but there is none")
    if not options.folder.is_dir():
        raise FileNotFoundError(
            f"expected a folder with pictures, but there is no folder {options.folder}"
        )
    state = PartialState(cpu=options.device == "cpu")
    with state.main_process_first():  # before anything is read: nothing is to be lost at the end
        out, beside = begin(options) if state.is_main_process else (Path(), Path())
    try:
        tune_and_write(options, config, state, out, beside)
    except BaseException:
        if state.is_main_process and _holds_a_model(beside):
            print(f"the tuned model is kept in {beside}", file=sys.stderr)
        elif state.is_main_process:
            shutil.rmtree(beside, ignore_errors=True)
        raise
    state.destroy_process_group()  # or gloo's threads may abort the process as it ends


def configured(options: argparse.Namespace) -> FitConfig:
    """How to train: what the options say, else what is usual for the base.

    Raises:
        ValueError: an option that the base doesn't know.
    """
    words = options.base == "smollm2"
    asked = {name: getattr(options, name) for name in ("epochs", "lr", "patience")}
    given = {name: value for name, value in asked.items() if value is not None}
    if words:
        for name, only in (("data", ("folder",)), ("method", ("lora",)), ("device", (None, "cpu"))):
            if (value := getattr(options, name)) not in only:
                raise ValueError(f"--base smollm2: expected no --{name} {value}: it can't use it")
    return replace(WORDS_FIT if words else OWN_FIT, **given)


def begin(options: argparse.Namespace) -> tuple[Path, Path]:
    """The folder to write, and a new one beside it that takes its name when all is written.

    Raises:
        ValueError: --out holds something already, or a run that wrote there was killed when it had
            a tuned model.
        OSError: it can't be written there.
    """
    out = options.out
    if out is None:
        names = (f"tuned-{i}" if i > 1 else "tuned" for i in itertools.count(1))
        places = (Path(options.folder) / name for name in names)
        out = next(p for p in places if not p.exists() and not _holds_a_model(_beside(p)))
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"--out: expected a new or empty folder, but {out} holds something")
    beside = _beside(out)
    if _holds_a_model(beside):
        raise ValueError(f"--out: {beside} holds the tuned model of a run that was killed: move it")
    if beside.exists():  # of a run that was killed before
        shutil.rmtree(beside)
    beside.mkdir(parents=True)
    return out, beside


def _beside(out: Path) -> Path:
    return out.with_name(f"{out.name}.part")


def _holds_a_model(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("answers.json", ABOUT))  # written last


def tune_and_write(
    options: argparse.Namespace, config: FitConfig, state: PartialState, out: Path, beside: Path
) -> None:
    soft = options.data == "vqa_v2"
    parts: dict[str, list[Row]] = dict(zip(("training", "validation", "test"), read(options)))
    for name, rows in parts.items():
        if not rows:
            raise ValueError(f"expected pictures enough for a {name} part, but it is empty")
    if options.base == "smollm2":
        told = train_words(parts, beside, config, options.seed)
        finish(out, beside)
        print(told)
        print(f'written to {out}; ask it: course ask {quoted(out)} PICTURE "QUESTION"')
        return
    answers = frequent_answers(parts["training"], options.min_count or (9 if soft else 1))
    with state.main_process_first():  # the others find the features on the disk
        train, validation, test = (
            questions_data(rows, answers, state.is_main_process) for rows in parts.values()
        )
    seen: list[float] = []  # validation score of each pass
    model = tuned(options, config, train, validation, state, seen)
    if state.is_main_process:  # at once: nothing that happens later loses it
        save_answerer(Answerer(model, answers, soft), beside)
    eyeless = None
    if options.blind == "model":
        learn, choose = (without_pictures(part, train) for part in (train, validation))
        with suppress(FloatingPointError, KeyboardInterrupt):
            eyeless = tuned(options, config, learn, choose, state, [])
    if not state.is_main_process:
        return
    counts = count_parameters(model)
    way, blind = best_blind(train, validation, test, eyeless)
    scores = {}
    for name, data, without in zip(("validation", "test"), (validation, test), blind):
        own = score(model, data)
        scores[name] = without, own, gain(own, without, data)
    repeated = asked_before(train, test)
    found = {
        name: {"blind": plain(b), "tuned": plain(t), "difference": more and more._asdict()}
        for name, (b, t, more) in scores.items()
    } | {"blind": way, "test questions asked in training too": repeated}
    (beside / "metrics.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    finish(out, beside)
    print(
        f"{len(train)} questions to learn from, {len(answers)} answers; "
        f"{counts.trainable:,} of {counts.total:,} parameters trained; "
        f"best epoch {seen.index(max(seen)) + 1} of {len(seen)}"
    )
    print(table(scores))
    print(
        f"blind: {way}, of the ways without pictures the best on validation; "
        f"{100 * repeated:.1f} % of the test questions were asked in training too"
    )
    if (pictures := len(test.images)) < FEW:
        print(f"only {pictures} test pictures: even the interval is uncertain")
    print(f'written to {out}; ask it: course ask {quoted(out)} PICTURE "QUESTION"')


def finish(out: Path, beside: Path) -> None:
    """Gives the folder its name."""
    if out.exists():
        out.rmdir()  # it is empty
    os.replace(beside, out)


def tuned(
    options: argparse.Namespace,
    config: FitConfig,
    train: VQAData,
    validation: VQAData,
    state: PartialState,
    seen: list[float],
) -> VQAModel:
    """A tuned model; of one that is stopped by hand the best pass is kept. `seen` gets the
    validation scores."""
    torch.manual_seed(options.seed)
    model = tunable(len(train.answers), options.method)
    soft, shown = options.data == "vqa_v2", state.is_main_process
    try:
        tune(model, train, validation, config, soft, options.seed, options.device, shown, seen)
    except KeyboardInterrupt:
        if not seen or state.num_processes > 1:
            raise
        print(f"stopped by hand after {len(seen)} passes", file=sys.stderr)
    return model


def quoted(path: Path) -> str:
    """A path as it's written in a command, in quotes where the shell needs them."""
    return subprocess.list2cmdline([str(path)]) if os.name == "nt" else shlex.quote(str(path))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", type=Path, help="pictures and questions")
    add("--data", choices=("folder", "vqa_v2"), default="folder", help="format (folder)")
    add("--table", type=Path, help="CSV or JSON (questions.csv or questions.json in the folder)")
    add("--out", type=Path, help="folder to write (FOLDER/tuned)")
    add(
        "--base",
        choices=("joint", "smollm2"),
        default="joint",
        help="what is tuned: the course's joint model, which chooses among the answers of your "
        "table, or SmolLM2 with eyes, which writes words (%(default)s)",
    )
    add("--method", choices=METHODS, default="lora", help="what is added to the model (lora)")
    add(
        "--blind",
        choices=("model", "words"),
        default="model",
        help="what it is compared with: the best of a table of questions, a bag of words and the "
        "same model trained without pictures, which takes as long again; or of the first two "
        "(%(default)s)",
    )
    for name, kind, told in (
        ("epochs", int, "most passes"),
        ("lr", float, "highest learning rate"),
        ("patience", int, "passes without a better validation score before it stops"),
    ):
        both = f"({getattr(OWN_FIT, name)}; smollm2: {getattr(WORDS_FIT, name)})"
        add(f"--{name}", type=kind, help=f"{told} {both}")
    add("--validation", type=float, default=0.15, help="share of the pictures (%(default)s)")
    add(
        "--test", type=float, default=0.2, help="share of the pictures; format folder (%(default)s)"
    )
    add(
        "--min-count",
        type=int,
        default=0,
        help="how often an answer must occur to be learnt (1; vqa_v2: 9)",
    )
    add("--limit", type=int, default=0, help="only so many pictures a part; format vqa_v2 (all)")
    add("--seed", type=int, default=0)
    add("--device", choices=("cpu", "cuda", "mps"), help="(a GPU where there is one)")

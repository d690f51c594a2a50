"""Run the course on a GPU: each lesson at full size with its claims, then the benchmark's GPU rows.

    python -m tools.gpu [07 ...] [--at-once 4]    -> bench/gpu.json

Several lessons run at once, the longest first. What has been measured is written down immediately
and skipped next time, as long as the code, the card and torch are the same; so a run that was cut
off is taken up where it was. With lessons named, only these are run, and no rows.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import torch

from course_utils.notebook.machine import cores
from lessons import build
from lessons.heads import ROOT, chosen, kept
from tools.run import cell_seconds, run

TARGET = ROOT / "bench" / "gpu.json"
ROWS = [sys.executable, "-m", "bench", "--gpu"]  # merges {"rows": {...}} into TARGET


def mark(*parts: bytes) -> str:
    """A short hash of these and of the package: another one means that the code is another."""
    package = sorted((ROOT / "course_utils").rglob("*.py"))
    return hashlib.sha256(b"\n".join([*parts, *(p.read_bytes() for p in package)])).hexdigest()[:12]


def mark_of_lesson(source: Path) -> str:
    """The mark of a lesson's code; its head, prose and set-up cell don't count."""
    cells = build.compose(source)["notebooks"].cells[2:]
    return mark(*(cell.source.encode() for cell in cells if cell.cell_type == "code"))


def mark_of_rows() -> str:
    return mark(*(path.read_bytes() for path in sorted((ROOT / "bench").glob("*.py"))))


def save(state: dict) -> None:
    """Write the file whole, so that a cut leaves the old one or the new one."""
    text = json.dumps(state, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    draft = TARGET.with_suffix(".draft")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, TARGET)


def known(at_once: int) -> dict:
    """What was measured under the same conditions, or a new start."""
    conditions = {
        "machine": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "at_once": at_once,
    }
    state = kept(TARGET)
    if state and any(state.get(key) != value for key, value in conditions.items()):
        print("bench/gpu.json is of another card, torch or --at-once: measured anew")
        state = {}
    return {"lessons": {}, "rows": {}, "sources": {}} | state | conditions


def seconds_of(source: Path, at_once: int) -> float | None:
    """Run a lesson at full size, with claims: seconds of all its cells, or None if one fails."""
    threads = max(1, cores() // at_once)
    env = {"COURSE_PROFILE": "gpu", "COURSE_REFERENCE": "0", "OMP_NUM_THREADS": str(threads)}
    nb = run(source, env, folder="notebooks")
    return None if nb is None else sum(seconds for seconds, _ in cell_seconds(nb))


def measure_lessons(sources: list[Path], state: dict) -> bool:
    """Run what isn't known yet, and write each lesson down as soon as it is through."""
    marks = {source: mark_of_lesson(source) for source in sources}
    cpu = kept(ROOT / "data" / "timings.json").get("cpu", {}).get("notebooks", {})
    todo = []
    for source in sorted(sources, key=lambda source: -cpu.get(source.name[:2], 0)):
        number = source.name[:2]
        if state["sources"].get(number) != marks[source]:
            todo.append(source)
        else:
            print(f"{source.stem}: {state['lessons'][number]:.0f} s (known)", flush=True)
    passed = True
    pool = ThreadPoolExecutor(max_workers=state["at_once"])  # a process each, all on one card
    try:
        runs = {pool.submit(seconds_of, source, state["at_once"]): source for source in todo}
        for done in as_completed(runs):
            source, seconds = runs[done], done.result()
            passed &= seconds is not None
            print(
                f"{source.stem}: {'FAILED' if seconds is None else f'{seconds:.0f} s'}", flush=True
            )
            if seconds is not None:
                state["lessons"][source.name[:2]] = round(seconds, 1)
                state["sources"][source.name[:2]] = marks[source]
                save(state)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return passed


def measure_rows(state: dict) -> bool:
    """Let the benchmark add its rows to the file, unless they are there from the same code."""
    if state["rows"] and state["sources"].get("rows") == mark_of_rows():
        print("rows of the benchmark: known")
        return True
    save(state | {"rows": {}})
    code = subprocess.call(ROWS, cwd=ROOT)
    rows = kept(TARGET)["rows"]
    if code or not rows:
        print("the benchmark gave no GPU rows: see what `python -m bench --gpu` says")
        return False
    state["rows"] = rows
    state["sources"]["rows"] = mark_of_rows()
    save(state)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="numbers such as 07; none means all")
    parser.add_argument("--at-once", type=int, default=max(1, min(4, cores() // 2)))
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no CUDA device here: make gpu needs one (make smoke tests its code on a CPU)")
    begin = time.monotonic()
    state = known(options.at_once)
    passed = measure_lessons(chosen(options.lessons), state)
    if not options.lessons:
        passed &= measure_rows(state)
    print(
        f"{(time.monotonic() - begin) / 60:.1f} minutes; renew README and heads with: make readme"
    )
    sys.exit(not passed)


if __name__ == "__main__":
    main()

"""Run lessons for what a single reference can't show: claims, spreads, times, the GPU profile.

    python -m tools.run claims [07 ...]    every claim at seeds 0, 1 and 2
    python -m tools.run spreads 07         five seeds -> data/spreads.json (what measured() prints)
    python -m tools.run timings [07 ...]   seconds and slowest cells -> data/timings.json
    python -m tools.run smoke [07 ...]     the gpu profile for two steps on a CPU

Nothing is compared with the reference outputs here, and no notebook is written.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path

import nbformat
import torch
from nbclient.exceptions import CellExecutionError

from course_utils.notebook.machine import single_core_rate
from lessons import build
from lessons.heads import ROOT, chosen

SPREADS = ROOT / "data" / "spreads.json"
TIMINGS = ROOT / "data" / "timings.json"
CPU_TIME = "import time; print(time.process_time())"  # seconds that this kernel has computed


def run(source: Path, env: dict, folder: str = "solutions", last: str = ""):
    """Execute one notebook of a lesson, with `last` as one more cell, and return it, or None (and
    print why) if a cell fails."""
    nb = build.compose(source)[folder]
    if last:
        nb.cells.append(nbformat.v4.new_code_cell(last))
    try:
        build.execute(nb, ROOT / folder, env)
    except CellExecutionError as error:
        print(f"{source.stem}: {error}", file=sys.stderr)
        return None
    return nb


def cell_seconds(nb) -> list[tuple[float, str]]:
    """Seconds and last line of every code cell."""
    times = []
    for cell in nb.cells:
        timing = cell.metadata.get("execution", {})
        if "iopub.execute_input" in timing and "shell.execute_reply" in timing:
            begin, end = (
                datetime.fromisoformat(timing[key].replace("Z", "+00:00"))
                for key in ("iopub.execute_input", "shell.execute_reply")
            )
            times.append(((end - begin).total_seconds(), cell.source.strip().splitlines()[-1]))
    return times


def processor() -> str:
    """The name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": processor(),
    }


def update(path: Path, change: dict) -> None:
    """Merge into a JSON file, two levels deep, and write it with sorted keys."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for key, content in change.items():
        known[key] = {**known.get(key, {}), **content}
    path.write_text(
        json.dumps(known, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def claims(sources: list[Path]) -> bool:
    """Run every lesson at three seeds; a claim that fails raises in its cell."""
    passed = True
    for source in sources:
        for seed in (0, 1, 2):
            nb = run(source, build.REFERENCE | {"COURSE_SEED": str(seed)})
            passed &= nb is not None
            print(f"{source.stem}, seed {seed}: {'claims hold' if nb else 'FAILED'}", flush=True)
    return passed


def measured_values(source: Path, seed: int) -> dict[str, float] | None:
    """The numbers that one run of a lesson passes to measured(); None if a cell fails."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "measured.jsonl"
        env = {"COURSE_SEED": str(seed), "COURSE_RECORD": str(record)}
        if run(source, build.REFERENCE | env) is None:
            return None
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    values: dict[str, float] = {}
    for entry in map(json.loads, lines):
        if values.setdefault(entry["name"], entry["value"]) != entry["value"]:
            sys.exit(
                f"measured({entry['name']!r}) got two values in one run: "
                f"{values[entry['name']]} and {entry['value']}"
            )
    print(f"{source.stem}, seed {seed}: {len(values)} numbers", flush=True)
    return values


def spreads(sources: list[Path]) -> bool:
    """Run lessons at five seeds; write mean and standard deviation of each measured number."""
    for source in sources:
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # a process each, one thread
            runs = list(pool.map(partial(measured_values, source), range(5)))
        if None in runs:
            return False
        if any(values.keys() != runs[0].keys() for values in runs):
            sys.exit("measured() must be called with the same names in every run")
        number = source.name[:2]
        given = {name: [values[name] for values in runs] for name in runs[0]}
        update(
            SPREADS,
            {
                name: {"mean": statistics.fmean(of), "std": statistics.stdev(of), "values": of}
                for name, of in given.items()
            },
        )
        update(
            SPREADS,
            {
                "made": {
                    number: {
                        "command": f"make spreads N={number}",
                        "seeds": list(range(5)),
                        **versions(),
                    }
                }
            },
        )
    return True


def timings(sources: list[Path]) -> bool:
    """Time lessons as a learner runs them and write it down, with the slowest cells.

    What counts is the processor's time, which other work on the machine doesn't change.
    """
    for source in sources:
        nb = run(source, build.REFERENCE, folder="notebooks", last=CPU_TIME)
        if nb is None:
            return False
        total = float(nb.cells[-1].outputs[0].text)
        print(f"{source.stem}: {total:.0f} s", flush=True)
        for seconds, line in sorted(cell_seconds(nb), reverse=True)[:5]:
            print(f"    {seconds:6.1f} s  {line[:80]}")
        known = json.loads(TIMINGS.read_text(encoding="utf-8")) if TIMINGS.exists() else {}
        notebooks = known.get("cpu", {}).get("notebooks", {}) | {source.name[:2]: round(total, 1)}
        rate = round(single_core_rate(), 1)  # of the machine that the times come from
        update(TIMINGS, {"cpu": {"machine": processor(), "notebooks": notebooks, "rate": rate}})
    return True


def smoke(sources: list[Path]) -> bool:
    """Run the gpu profile's code for two steps on a CPU."""
    env = build.REFERENCE | {"COURSE_PROFILE": "gpu", "COURSE_SMOKE": "1"}
    results = {source.stem: run(source, env) is not None for source in sources}
    for name, passed in results.items():
        print(f"{name}: {'runs' if passed else 'FAILED'}")
    return all(results.values())


def main() -> None:
    jobs = {job.__name__: job for job in (claims, spreads, timings, smoke)}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", choices=jobs)
    parser.add_argument("lessons", nargs="*", help="numbers such as 07; none means all")
    options = parser.parse_args()
    if not jobs[options.job](chosen(options.lessons)):
        sys.exit(1)
    if options.job == "timings":
        print("renew the heads of the notebooks with: make readme")


if __name__ == "__main__":
    main()

"""Run lessons with disturbed arithmetic, and keep every number that moves: data/disturbed/NN.json.

    python -m tools.disturbed 05            ten runs of lesson 06 at seed 0
    python -m tools.disturbed 05 --runs 20  more runs narrow what is allowed

Each run starts from weights that differ by 1e-6 of themselves, some with two threads, some with
AVX2's instructions in place of the processor's newest. `tools.allowed` says how a test uses the
values.
"""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nbval.plugin import coalesce_streams

from lessons import build
from lessons.heads import chosen
from tests.notebook_compare import (
    ALIKE,
    PICTURES,
    Number,
    cell_keys,
    difference,
    kinds,
    numbers,
    picture,
    pieces,
    shown,
    texts,
)
from tools import allowed
from tools.allowed import Moving
from tools.run import run, versions

RUNS = 10
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
TWO_THREADS = {"COURSE_THREADS": "2", "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}


def setting(number: int) -> dict[str, str]:
    """The environment of run `number`, counted from 1: AVX2 in every second, two threads in every
    fifth, other initial weights in each."""
    settings = {"COURSE_DISTURB": str(number)}
    return settings | (AVX2 if number % 2 else {}) | (TWO_THREADS if number % 5 == 0 else {})


def outputs(nb) -> dict[str, list[dict]]:
    """What each code cell shows that is compared, by the cell's key."""
    cells = [cell for cell in zip(cell_keys(nb.cells), nb.cells) if cell[1].cell_type == "code"]
    return {key: shown(coalesce_streams(cell.outputs)) for key, cell in cells}


def varying(nb) -> set[str]:
    """The cells whose text isn't compared."""
    tagged = ("varies" in cell.metadata.get("tags", []) for cell in nb.cells)
    return {key for key, tag in zip(cell_keys(nb.cells), tagged) if tag}


def compared_texts(found: list[dict]) -> dict[str, str]:
    """The texts of a cell's outputs by their place: "0:text"."""
    return {
        f"{i}:{key}": text for i, output in enumerate(found) for key, text in texts(output).items()
    }


def moving_in_text(cell: str, where: str, runs: list[str]) -> list[Moving]:
    """The numbers of a text that aren't the same in all runs. Raises ValueError if words differ."""
    if len({tuple(pieces(text)[::3]) for text in runs}) > 1:
        raise ValueError("its words differ from run to run; print a range, or tag it `varies`")
    found = []
    for same_place in zip(*map(numbers, runs)):
        first: Number = same_place[0]
        values = tuple(number.text for number in same_place)
        if len(set(values)) > 1:
            place, words = f"{where}:{first.place}", allowed.tidy_words(first.words)
            found.append(Moving(cell, place, words, first.unit, values))
    return found


def moving_figures(runs: list[list[dict]]) -> float:
    """How far the figures of a cell differ at most, in the units of ALIKE."""
    worst = 0.0
    for same_place in zip(*runs):
        for kind in PICTURES:
            images = [picture(o["data"][kind])[0] for o in same_place if kind in o.get("data", {})]
            worst = max([worst, *(difference(image, images[0]) for image in images[1:])])
    return worst


def compare_runs(runs: list[dict[str, list[dict]]], leave_out: set[str]) -> tuple[list, list[str]]:
    """All numbers that move, and what can't be compared: words, kinds of output, figures."""
    moving, problems = [], []
    for cell in runs[0]:
        if cell in leave_out:
            continue
        found = [run[cell] for run in runs]
        if len({str([kinds(output) for output in one]) for one in found}) > 1:
            problems.append(f"cell {cell}: other kinds of output")
            continue
        if (worst := moving_figures(found)) > ALIKE:
            problems.append(f"cell {cell}: its figure moves by {worst:.1f}, allowed are {ALIKE}")
        every = [compared_texts(one) for one in found]
        for where in every[0]:
            try:
                moving += moving_in_text(cell, where, [one[where] for one in every])
            except ValueError as error:
                problems.append(f"cell {cell}, {where}: {error}")
    return moving, problems


def measure(source: Path, runs: int = RUNS) -> bool:
    """Run a lesson and write its file. Prints the cells that can't be compared; False if there are
    any, or if a run fails."""
    jobs = [build.REFERENCE | setting(number) for number in range(1, runs + 1)]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        notebooks = list(pool.map(lambda env: run(source, env), jobs))
    if None in notebooks:
        return False
    found = [outputs(nb) for nb in notebooks]
    moving, problems = compare_runs(found, varying(notebooks[0]))
    number = source.name[:2]
    made = {"command": f"make disturbed N={number}", "runs": runs, **versions()}
    allowed.write(allowed.FOLDER / f"{number}.json", made, list(found[0]), moving)
    print(f"{source.stem}: {len(moving)} numbers move in {runs} runs", flush=True)
    text = {
        cell: "".join(one["source"])
        for nb in notebooks[:1]
        for cell, one in zip(cell_keys(nb.cells), nb.cells)
    }
    for problem in problems:
        cell = problem.split()[1].rstrip(":,")
        print(f"    {problem}\n        {text[cell].strip().splitlines()[-1][:90]}")
    return not problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", help="numbers such as 07; none means all")
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    good = [measure(source, options.runs) for source in chosen(options.lessons)]  # all of them
    if not all(good):
        sys.exit(1)


if __name__ == "__main__":
    main()

"""Run every measurement and write docs/BENCHMARK.md, with the machine named.

python -m bench              everything (about 15 minutes), and bench/gpu.json where there is a GPU
python -m bench --quick      without the training runs
python -m bench --gpu        bench/gpu.json only
python -m bench.clips        the table of clips, which is kept in bench/clips.json
python -m bench.ideas        the table of ideas, which is kept in bench/ideas.json
"""

import argparse
import json
import platform
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import torch

from bench import clips, decoding, following, gpu
from bench.encoders import against_peers
from bench.ideas import FILE as IDEAS_FILE
from bench.ideas import summary
from bench.language import language_models
from bench.loop import fit_against_trainer, two_processes
from bench.parts import PARTS, parts_of_an_update
from bench.training import RECIPES, products_rate, time_to_accuracy, waiting_for_data
from bench.tuning import muon_updates, tuning_methods
from bench.vision import vision_models
from course_utils.studies.runs import read_runs
from tools.run import processor

TARGET = Path(__file__).resolve().parent.parent / "docs" / "BENCHMARK.md"


def table(header: list[str], rows: list[list]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def encoders(threads: int) -> str:
    rows = [
        [name, f"{ms:.1f}", f"{ratio:.2f}", note]
        for name, ms, ratio, note in [
            *against_peers(threads),
            *language_models(threads),
            *vision_models(threads),
            *tuning_methods(threads),
            *muon_updates(threads),
        ]
    ]
    return table(["forward and backward", "ms (median)", "times ours", "checked first"], rows)


def trainings(seeds: Sequence[int]) -> str:
    rows = []
    for threads, seed, recipe in product((1, 2), seeds, RECIPES):  # beside each other
        if recipe == "ViltModel" and (threads, seed) != (1, seeds[0]):
            continue
        torch.set_num_threads(threads)
        run = time_to_accuracy(recipe, seed)
        scores = percent(run.validation, run.test)
        rows.append([threads, recipe, seed, f"{run.seconds:.0f}", run.passes, *scores])
    header = ["cores", "recipe", "seed", "seconds", "passes", "validation (%)", "test (%)"]
    return table(header, rows)


def ideas() -> str:
    header = ["one change", "runs", "time", "passes", "reached 99.5 %", "lowest test (%)"]
    return table(header, summary(read_runs(IDEAS_FILE)))


def written() -> str:
    """What bench/decoding.json holds, or 'not measured'."""
    if not decoding.FILE.exists():
        return "not measured"
    kept = json.loads(decoding.FILE.read_text(encoding="utf-8"))
    rows = [[name, f"{ms:.1f}", f"{ratio:.2f}", note] for name, ms, ratio, note in kept["rows"]]
    header = ["one thread", "CPU ms (median)", "times ours", "checked first"]
    return f"{WRITTEN_TEXT} {kept['machine']}, torch {kept['torch']}.\n\n{table(header, rows)}"


def of_clips() -> str:
    """What bench/clips.json holds, or 'not measured'."""
    if not clips.FILE.exists():
        return "not measured"
    kept = json.loads(clips.FILE.read_text(encoding="utf-8"))
    header = ["frames", "layer", "CPU ms (median)", "MB kept for the backward pass"]
    return (
        f"{CLIPS_TEXT} {kept['machine']}, torch {kept['torch']}.\n\n{table(header, clips.rows())}"
    )


def followed() -> str:
    """What bench/following.json holds, or 'not measured'."""
    if not following.FILE.exists():
        return "not measured"
    kept = json.loads(following.FILE.read_text(encoding="utf-8"))
    rows = [[name, f"{ms:.1f}", f"{ratio:.2f}", note] for name, ms, ratio, note in kept["rows"]]
    header = ["one thread", "CPU ms (median)", "times ours", "checked first"]
    return f"{FOLLOWED_TEXT} {kept['machine']}, numpy {kept['numpy']}.\n\n{table(header, rows)}"


def on_gpu() -> str:
    """What bench/gpu.json holds, or 'not measured'."""
    kept = json.loads(gpu.FILE.read_text(encoding="utf-8")) if gpu.FILE.exists() else {}
    if not kept.get("rows"):
        return "not measured"
    rows = [
        [recipe, f"{run['seconds']:.1f}", run["passes"], *percent(run["validation"], run["test"])]
        for recipe, run in kept["rows"].items()
        if "seconds" in run
    ]
    header = ["recipe", "seconds", "passes", "validation (%)", "test (%)"]
    peers = [
        [name, f"{row['ms']:.2f}", f"{row['ratio']:.2f}"]
        for name, row in kept["rows"].get("encoders", {}).items()
    ]
    return "\n\n".join(
        [
            f"On: {kept['machine']}, torch {kept['torch']}.",
            table(header, rows),
            table(["forward and backward", "ms (median)", "times ours"], peers),
        ]
    )


def percent(*shares: float) -> list[str]:
    return [f"{100 * share:.2f}" for share in shares]


def steps() -> str:
    rows = []
    for threads in (1, 2):
        share, step_ms, achieved = waiting_for_data(threads)
        peak = products_rate(threads)
        rows.append(
            [
                threads,
                f"{step_ms:.1f}",
                f"{100 * share:.1f}",
                f"{achieved:.0f}",
                f"{peak:.0f}",
                f"{100 * achieved / peak:.0f}",
            ]
        )
    return table(
        [
            "cores",
            "ms a step (median)",
            "waiting for data (%)",
            "GFLOP/s achieved",
            "GFLOP/s of large products",
            "share (%)",
        ],
        rows,
    )


def parts() -> str:
    ideas = {"today": "lesson 08 (ms)", "fast": "fast (ms)"}
    found = parts_of_an_update(tuple(ideas))
    rows = [[part, *(f"{found[name][part]:.1f}" for name in ideas)] for part in PARTS]
    rows.append(["all", *(f"{sum(found[name].values()):.1f}" for name in ideas)])
    return table(["part of an update", *ideas.values()], rows)


def loops() -> str:
    rows = []
    for threads in (1, 2):
        name, ms, ratio, ends = fit_against_trainer(threads)
        rows.append([threads, name, f"{ms:.1f}", f"{ratio:.2f}", ends])
    return table(["threads", "loop", "ms a step", "times ours", "the same result"], rows)


def processes() -> str:
    one, two = two_processes()
    return table(
        ["one process (s)", "two processes (s)", "times as fast", "efficiency (%)"],
        [[f"{one:.1f}", f"{two:.1f}", f"{one / two:.2f}", f"{50 * one / two:.0f}"]],
    )


IDEAS_TEXT = """## What helps, one change at a time

Each row is lesson 08's recipe with one change, over several seeds (`python -m bench.ideas`), or all
of bench/speed.py. A run stops as above. Time is processor time of one thread, training and
validation, as a share of the mean of lesson 08's recipe, with the standard deviation over seeds; it
is counted in updates of that recipe which every run measures in between, so that a busy machine
does not tilt the table. Runs that never reach 99.5 % count with the time of all their passes.

The fast recipe takes what easy-VQA allows: every picture shows one shape, so one vector a picture
is enough, and a picture and a question can be summarised alone before they meet. Pictures of
several things need lesson 08's patches. Its Muon computes in float32, all matrices of one shape
together: torch.optim.Muon's update takes longer here than the rest of an update of this recipe."""


WRITTEN_TEXT = """## Writing with a real language model

`python -m bench.decoding`: 32 tokens from a decoder of lesson 03's sizes; one token from
SmolLM2-135M (lesson 14), whose matrices lie in memory in two ways
(course_utils/models/llama_layout.py); forward and backward of four answers about four pictures, the
decoder frozen but for LoRA. One token reads all 538 MB of weights once: where a core's memory is
the limit, no code is faster than that. Made on:"""


CLIPS_TEXT = """## Joint and divided attention over clips

`python -m bench.clips`: one layer, forward and backward, of 4 clips with 64 patches a frame, 64
wide, 4 heads, one thread. Joint attention computes all pairs of patches of all frames; PyTorch's
fused kernel does so in pieces and keeps no weights. "All weights kept" is the same as the formula
says it. Made on:"""

FOLLOWED_TEXT = """## Scores of followed boxes

`python -m bench.following`: HOTA and IDF1 of 600 frames with 20 objects (lesson 16), from the
overlaps of each frame. py-motmetrics has no HOTA. Neither peer is among the course's packages. Made
on:"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the trainings")
    parser.add_argument("--gpu", action="store_true", help="what a GPU has to do, and no more")
    options = parser.parse_args()
    if torch.cuda.is_available():
        gpu.measure()
    if options.gpu:
        print(on_gpu())
        return
    text = [
        "# Benchmark",
        f"Made by `make bench` on: {processor()}, {torch.get_num_threads()} cores used at most; "
        f"Python {platform.python_version()}, torch {torch.__version__}. Other machines give "
        "other times; the ratios travel better.",
        "## The joint encoder against its peers\n\nThe same sizes (64 wide, 2 layers, 4 heads, "
        "inner width 256, 16 patches, 16 words, batch of 32, float32, no dropout), the same number "
        "of threads, 15 timed steps after 3 to warm up, taken in turns. Above 1 means that the "
        "peer takes longer. Last rows: a text encoder of MiniLM's sizes (32 x 24 words, forward "
        "only), lesson 03's decoder (32 x 24 words, with AdamW's update), ViT and ResNet-18 "
        "on 32 pictures of 64x64, forward and with AdamW's update; LoRA and AdaLoRA on every "
        "matrix of an encoder 384 wide with 3 layers, with AdamW's update; Muon's update of the "
        "8 matrices of an encoder 64 wide with 2 layers.",
        "The whole of h is only about 1.1 to 1.3 times as fast as VisualBertModel's, by processor: "
        "nearly all of it is the same matrix products and the same erf-GELU in both. (Leaving out "
        "the positions of padding gave another 7 % with the lengths drawn here. The course's "
        "own questions are of nearly equal length and would gain less than the copying costs.) "
        "An answer head reads h[:, 0] alone. With `keep=1` the last layer computes that position "
        "only, which is how the course trains and answers; VisualBertModel has no such way and "
        "computes all of them.",
    ]
    for threads in (1, 2):
        text += [f"### Threads: {threads}", encoders(threads)]
    text += [
        "## A training step on easy-VQA\n\nShare of the time spent waiting for the next batch, and "
        "the rate of floating-point operations (counted by PyTorch) beside that of 1024x1024 "
        "matrix products.",
        steps(),
    ]
    text += [
        "Where the time of an update of 8 pictures goes: processor time of one thread, the "
        "median, for lesson 08's recipe and for the fast one (bench/speed.py).",
        parts(),
        "## The loop\n\n`fit` and transformers' Trainer: the same small model, batches, optimiser "
        "and schedule, 150 updates, no logging; evaluation of the final loss included. The fastest "
        "of three.",
        loops(),
        "Two passes over 1,024 scenes in batches of 64 pictures, one thread a process: two "
        "processes with `accelerate launch`, 32 pictures each, against one.",
        processes(),
    ]
    if not options.quick:
        text += [
            "## Time to 99.5 % on easy-VQA\n\nTraining from scratch, all 13 answers. A run stops "
            "after the first pass in which at least 99.5 % of the *validation* questions are "
            "right; the test set is used once, afterwards. Seconds are those of training and "
            "validation. `lesson 08` is the recipe of that lesson, `fast` that of bench/speed.py, "
            "`ViltModel` transformers' model of the same size from pixels, trained as lesson 08 "
            "trains: where it stays below 99.5 %, the row tells how far it comes in all passes.",
            trainings(options.seeds),
        ]
    text += [
        written(),
        of_clips(),
        followed(),
        IDEAS_TEXT,
        ideas(),
        "## On a GPU\n\nThe recipes at seed 0, and the encoders of the first table.",
        on_gpu(),
    ]
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    print(TARGET.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
